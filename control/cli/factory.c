/* factory.c - `wghub ... daemon`: a FoundriesFactory's hub, with the command line of the Python
 * daemon factory-wireguard.py, so that an old unit runs it after changing the program's name. */
#include "control/cli/factory_options.h"

#include "control/cli/host_check.h"
#include "control/log.h"

#include <string.h>

bool is_factory_command_line(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (argv[i][0] == '-' && argv[i][1] && strchr("tank", argv[i][1]))
			return true;
		if (factory_owns_option(argv[i]))
			return true;
	}
	return false;
}

int factory_run_hub(struct factory_options *o)
{
	const struct host_check check = {.ifname = o->ifname,
		.factory = o->name,
		.no_tun = o->hub.daemon.device.no_tun || o->hub.daemon.device.tun_fd >= 0};
	struct wgh_error error = {""};
	int code = factory_read_key(o);

	if (code)
		return code;
	if (host_check_interface(&check, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	if (o->token_in_argv)
		log_warn("token on the command line note=\"the process list showed it at "
			 "the start; give it as a file: --oauthcreds FILE\"");
	if (!o->hub.daemon.device.mtu_bytes && o->hub.daemon.device.tun_fd < 0)
		o->hub.daemon.device.mtu_bytes = HUB_MTU_DEFAULT;
	o->hub.daemon.factory = &o->factory;
	return daemon_run(&o->hub.daemon);
}

static int run(int argc, char **argv)
{
	struct factory_options o;
	int code = factory_options_read(&o, &command_daemon, FOR_DAEMON, argc, argv);

	if (!code)
		code = factory_find_hub(&o);
	if (!code)
		code = factory_run_hub(&o);
	factory_options_fini(&o);
	return code;
}

const struct command command_daemon = {"daemon", run,
	"keep a hub equal to a FoundriesFactory: devices from its API, engineers from a file",
	"Usage: wghub --factory F (--apitoken T | --oauthcreds FILE) --privatekey K [OPTIONS] "
	"daemon "
	"[-i S]\n"
	"\n"
	"Runs in the foreground, as the Python daemon factory-wireguard.py does, and takes its "
	"options. Where\n"
	"the hub listens and which address it has, the factory's config says (wireguard-server); "
	"which devices\n"
	"there are, wireguard-ips. Only peers that differ are touched. What was known last is kept "
	"on disk and\n"
	"served at once after a start, also while the API does not answer. SIGHUP: sync now.\n"
	"  -k, --privatekey FILE  text of wghub genkey; must be readable by its owner only\n"
	"  -n, --intf-name NAME   the interface (fio and the factory's name)\n"
	"  -i, --interval S       seconds between two syncs (60)\n"
	"  --range PREFIX         where devices and clients may have their addresses; may be "
	"repeated (the 9999\n"
	"                         addresses after the hub's, as far as they are private)\n"
	"  --clients-file FILE    engineers, a line each: KEY ADDRESS [NAME]; watched\n"
	"                         (" FACTORY_CLIENTS_PATH ")\n"
	"  --state-dir DIR        root: /var/lib/wghub; others: $XDG_STATE_HOME/wghub; systemd's "
	"StateDirectory=\n"
	"  --hosts-file FILE      gets the devices' names (root: " FACTORY_HOSTS_PATH
	"; others: none); --no-hosts: none\n"
	"  --allow-device-to-device\n"
	"                         devices may start to devices; else only clients may\n"
	"  --allow-device-to-host[=PORTS]\n"
	"                         devices may reach the hub's own host, all of it or these ports "
	"(22,80-90);\n"
	"                         else they may only ping it\n"
	"  --policy FILE          finer rules, NAT, port forwards: wghub help policy\n"
	"  --no-sysctl            accepted: ip_forward is never touched\n"
	"  --no-tun, --mtu, --workers, --no-offload, --aead, --metrics, --metrics-token, "
	"--events,\n"
	"  --events-command, --socket-dir, --user, --no-sandbox: see wghub help up\n" FACTORY_API_HELP "\n"
	"Environment: LOG_LEVEL silent, error, warn, info, verbose or debug (info).\n"};
