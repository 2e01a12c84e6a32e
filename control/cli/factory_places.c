/* factory_places.c - what a command for the Factory finds around it: credentials, the private key,
 * the interface's name, the folder of the state. For factory_options.h. */
#include "control/cli/factory_options.h"

#include "control/file.h"
#include "control/log.h"
#include "crypto/key_text.h"
#include "crypto/x25519.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 1024

/* ---- credentials ---- */

/* Nobody who looks at the process list shall read it a second time. */
const char *factory_take_token(struct factory_options *o, char *text)
{
	if (!*text)
		return "it is empty";
	free(o->token);
	o->token = strdup(text);
	memset(text, 'x', strlen(text));
	return o->token ? NULL : "out of memory";
}

static bool take_credential(struct factory_options *o, const char *dir, const char *name)
{
	int n = snprintf(o->creds_path, sizeof o->creds_path, "%s/%s", dir, name);

	if (n >= (int)sizeof o->creds_path || access(o->creds_path, R_OK))
		return false;
	o->factory.poll.http.creds_path = o->creds_path;
	return true;
}

int factory_find_creds(struct factory_options *o)
{
	struct factory_http_options *http = &o->factory.poll.http;
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *token = getenv("APITOKEN");

	if (o->token && http->creds_path)
		return say_usage(o->command, "--apitoken and --oauthcreds exclude each other");
	if (!o->token && !http->creds_path && dir && !take_credential(o, dir, "oauthcreds") &&
		!take_credential(o, dir, "apitoken"))
		dir = NULL;
	if (!o->token && !http->creds_path && token && *token && factory_take_token(o, token))
		return EXIT_FAILED;
	unsetenv("APITOKEN");
	if (!o->token && !http->creds_path)
		return say_usage(o->command,
			"credentials are missing: --oauthcreds FILE, --apitoken TOKEN, APITOKEN in "
			"the environment, or apitoken or oauthcreds among systemd's credentials");
	http->creds_text = o->token;
	return 0;
}

/* ---- the private key ---- */

/* The Python daemon made keys that everybody could read: ours are made private, or not used. */
static int tighten(const char *path, const char *shown, mode_t mode)
{
	if (!(mode & 077))
		return 0;
	if (chmod(path, mode & 0700)) {
		say_error("%s: others can read this private key: chmod 600 %s", shown, shown);
		return EXIT_FAILED;
	}
	log_warn("private key could be read by others file=\"%s\" now=\"mode %03o\"", shown,
		(unsigned)mode & 0700);
	return 0;
}

int factory_read_key(struct factory_options *o)
{
	struct wgh_error error = {""};
	struct file_text file;
	char shown[120];
	size_t n;
	int err;

	if (!o->key_path)
		return say_usage(o->command, "--privatekey FILE is missing");
	text_escape(shown, sizeof shown, o->key_path, strlen(o->key_path));
	if (file_read(&file, o->key_path, KEY_FILE_MAX, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	for (n = file.n; n && strchr(" \t\r\n", file.bytes[n - 1]);)
		n--;
	if (key_from_base64(o->factory.private_key, file.bytes, n)) {
		err = tighten(o->key_path, shown, file.mode);
	} else {
		say_error("%s: not a private key: make one with: umask 077; wghub genkey > %s",
			shown, shown);
		err = EXIT_FAILED;
	}
	file_text_fini(&file);
	return err;
}

int factory_read_or_make_key(struct factory_options *o, bool *is_new)
{
	struct {
		uint8_t random[32];
		struct x25519_secret secret;
	} s;

	*is_new = o->key_path && access(o->key_path, F_OK) && errno == ENOENT;
	if (!*is_new)
		return factory_read_key(o);
	secret_random(s.random, sizeof s.random);
	x25519_secret_from_random(&s.secret, s.random);
	memcpy(o->factory.private_key, s.secret.bytes, sizeof o->factory.private_key);
	secret_wipe(&s, sizeof s);
	return 0;
}

/* link() never replaces a file, so of two who make a key at once the second fails. */
static int write_new(const char *path, const char *text, size_t n)
{
	char temporary[4200];
	int fd, err = 0;

	snprintf(temporary, sizeof temporary, "%s.new-%ld", path, (long)getpid());
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, n) != (ssize_t)n || fsync(fd) || link(temporary, path))
		err = errno ? -errno : -EIO;
	close(fd);
	unlink(temporary);
	return err;
}

int factory_write_key(const struct factory_options *o)
{
	char text[KEY_BASE64_CHARS + 2], shown[120];
	int err;

	key_to_base64(text, o->factory.private_key);
	strcpy(text + KEY_BASE64_CHARS, "\n");
	err = strlen(o->key_path) < 4096 ? write_new(o->key_path, text, KEY_BASE64_CHARS + 1)
					 : -ENAMETOOLONG;
	secret_wipe(text, sizeof text);
	if (!err)
		return 0;
	text_escape(shown, sizeof shown, o->key_path, strlen(o->key_path));
	say_error("%s: the new private key cannot be written: %s", shown, strerror(-err));
	return EXIT_FAILED;
}

/* ---- names and folders ---- */

static int make_folder(char *path)
{
	for (char *at = path + 1;; at++) {
		char c = *at;

		if (c && c != '/')
			continue;
		*at = 0;
		if (mkdir(path, 0700) && errno != EEXIST)
			return -errno;
		*at = c;
		if (!c)
			return 0;
	}
}

/* Makes the state's folder. */
static int find_state(struct factory_options *o)
{
	const char *systemd = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME"), *asked = o->state_dir;
	char dir[3072], shown[120];
	int n;

	if (!asked && systemd && *systemd)
		n = snprintf(dir, sizeof dir, "%.*s", (int)strcspn(systemd, ":"), systemd);
	else if (asked || geteuid() == 0)
		n = snprintf(dir, sizeof dir, "%s", asked ? asked : "/var/lib/wghub");
	else if (xdg && *xdg == '/')
		n = snprintf(dir, sizeof dir, "%s/wghub", xdg);
	else
		n = snprintf(dir, sizeof dir, "%s/.local/state/wghub", home ? home : "");
	text_escape(shown, sizeof shown, dir, strlen(dir));
	if (n < 1 || n >= (int)sizeof dir || make_folder(dir) || access(dir, W_OK) ||
		!factory_absolute(o->state_folder, dir)) {
		say_error(
			"%s: the state's folder cannot be made or written: --state-dir DIR", shown);
		return EXIT_FAILED;
	}
	snprintf(o->state_path, sizeof o->state_path, "%.4000s/%.64s.json", o->state_folder,
		o->name);
	o->factory.state_path = o->state_path;
	return 0;
}

int factory_find_ifname(struct factory_options *o)
{
	if (!o->ifname[0]) {
		if (strlen(o->name) + 3 >= sizeof o->ifname)
			return say_usage(o->command,
				"fio%s is too long for an interface's name (15 characters): "
				"--intf-name NAME",
				o->name);
		snprintf(o->ifname, sizeof o->ifname, "fio%.12s", o->name);
	}
	o->hub.daemon.device.ifname = o->ifname;
	return 0;
}

int factory_find_hub(struct factory_options *o)
{
	int code;

	o->hub.daemon.foreground =
		o->who != FOR_ENABLE; /* which ends, and says by itself what it does */
	code = hub_options_finish(&o->hub, o->command);
	if (!code)
		code = factory_find_creds(o);
	if (!code)
		code = factory_find_ifname(o);
	if (!o->factory.clients_path) {
		o->factory.clients_path = FACTORY_CLIENTS_PATH;
		/* As the package wireguard-tools makes it, which need not be here. Where it cannot
		 * be made, nobody has clients, and who adds one is told. */
		(void)mkdir(FACTORY_CLIENTS_FOLDER, 0700);
	}
	if (o->no_hosts)
		o->factory.hosts_path = NULL;
	else if (!o->factory.hosts_path && geteuid() == 0)
		o->factory.hosts_path = FACTORY_HOSTS_PATH;
	return code ? code : find_state(o);
}

int factory_take_environment(struct factory_options *o)
{
	static const struct {
		const char *variable, *option;
	} all[] = {{"FACTORY", "factory"}, {"PORT", "port"}, {"VPNADDR", "vpnaddr"},
		{"INTERVAL", "interval"}, {"INTERF", "intf-name"}, {"ENDPOINT", "endpoint"},
		{"NOCHECKIP", "no-check-ip"}, {"NOUSESYSCTL", "no-sysctl"}};
	const bool given[] = {o->name, o->port, o->vpn_address.family != WGH_UNSPEC,
		o->factory.poll.interval_ms, o->ifname[0], o->endpoint, false, false};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char *value = getenv(all[i].variable), shown[64];
		const char *why;

		if (!value || !*value || given[i])
			continue;
		why = factory_take_option(o, all[i].option, value);
		if (!why)
			continue;
		text_escape(shown, sizeof shown, value, strlen(value));
		return say_usage(
			o->command, "%s=%s in the environment: %s", all[i].variable, shown, why);
	}
	return 0;
}
