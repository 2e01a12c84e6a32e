/* up.c - `wghub up FILE`: a hub with all that its file says. */
#include "control/cli/hub_options.h"
#include "control/conf.h"
#include "control/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "wg0" alone is /etc/wireguard/wg0.conf, as for wg-quick. */
static void path_from_word(char path[4096], const char *word)
{
	bool name = !text_ifname(word, strlen(word)) && !strstr(word, ".conf");

	snprintf(path, 4096, name ? "/etc/wireguard/%s.conf" : "%s", word);
}

/* A default route through the hub would take its own outer packets along; wg-quick's remedy are
 * policy rules, which are for a client, not for a hub. */
static bool has_default_route(const struct conf *conf, const char *path)
{
	char shown[100];

	for (size_t i = 0; i < conf->n_peers && !conf->table_off; i++) {
		const struct conf_peer *peer = &conf->peers[i];

		for (size_t j = 0; j < peer->n_allowed_ips; j++) {
			if (peer->allowed_ips[j].bits)
				continue;
			text_escape(shown, sizeof shown, path, strlen(path));
			say_error("%s:%u: AllowedIPs with length 0: wghub makes no default route; "
				  "add Table = off "
				  "to [Interface] and make the routes you need yourself",
				shown, peer->allowed_lines[j]);
			return true;
		}
	}
	return false;
}

/* Without a TUN nobody else can tell the hub its addresses. */
static int take_addresses(struct hub_options *o, const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_addresses; i++) {
		if (o->n_addresses == HUB_ADDRESSES_MAX) {
			say_error("more than %d addresses", HUB_ADDRESSES_MAX);
			return EXIT_FAILED;
		}
		o->addresses[o->n_addresses++] = conf->addresses[i];
	}
	o->daemon.device.n_addresses = o->n_addresses;
	return 0;
}

static int up(int argc, char **argv)
{
	struct wgh_error error = {""};
	struct hub_options o;
	char path[4096], real[4096], name[16];
	struct conf *conf;
	const char *word;
	int err = hub_options_read(&o, &command_up, argc, argv, &word);

	if (err)
		return err;
	path_from_word(path, word);
	if (!name_from_argument(name, path))
		return EXIT_FAILED;
	if (conf_read(&conf, path, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	if (!o.daemon.device.mtu_bytes)
		o.daemon.device.mtu_bytes = conf->mtu_bytes ? conf->mtu_bytes : HUB_MTU_DEFAULT;
	if (o.daemon.device.no_tun)
		err = take_addresses(&o, conf);
	else if (has_default_route(conf, path))
		err = EXIT_FAILED;
	if (err) {
		conf_free(conf);
		return err;
	}
	for (size_t i = 0; i < conf->n_notes; i++)
		say_error("note: %s", conf->notes[i]);
	o.daemon.device.ifname = name;
	o.daemon.conf = conf;
	/* The background has another working directory; a link may be turned to another file later.
	 */
	o.daemon.conf_path = path[0] == '/' ? path : realpath(path, real);
	return daemon_run(&o.daemon);
}

const struct command command_up = {"up", up,
	"start a hub from a wg-quick(8) file: wghub up FILE.conf",
	"Usage: wghub up [-f] [OPTIONS] FILE.conf\n"
	"\n"
	"The file's name is the interface's: /etc/wireguard/wg0.conf makes wg0, and `wghub up wg0` "
	"means that\n"
	"file. The interface gets the addresses, the MTU and, unless Table = off, routes to the "
	"allowed ips.\n"
	"A file that others can read is refused, and so is one that gives one prefix to two "
	"peers.\n"
	"  [Interface] PrivateKey ListenPort FwMark Address MTU Table = off|auto\n"
	"  [Peer]      PublicKey PresharedKey AllowedIPs Endpoint PersistentKeepalive\n"
	"DNS and SaveConfig are ignored with a note; PreUp, PostUp, PreDown and PostDown are "
	"refused, for\n"
	"wghub runs no commands. `# friendly_name = X` in a [Peer], or a comment line above it, is "
	"its name\n"
	"in `wghub show` and in the log. An Endpoint may be a host name; one that is not found is "
	"tried again.\n"
	"SIGHUP reads the file again: only peers that differ are touched, all others keep their "
	"sessions.\n"
	"\n" HUB_OPTIONS_HELP};
