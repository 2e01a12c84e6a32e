/* factory.c - `wghub ... daemon`: a FoundriesFactory's hub, with the command line of the Python
 * daemon factory-wireguard.py, so that an old unit runs it after changing the program's name. */
#include "control/cli/hub_options.h"

#include "control/file.h"
#include "control/log.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS_PATH "/etc/wireguard/factory-clients.conf"
#define HOSTS_PATH "/etc/hosts"
#define HEADERS_MAX 16
#define INTERVAL_MAX_S 86400
#define KEY_FILE_MAX 1024

enum {
	OPT_API_URL = N_HUB_OPTIONS,
	OPT_OAUTH_URL,
	OPT_CA_FILE,
	OPT_HEADER,
	OPT_STATE_DIR,
	OPT_CLIENTS_FILE,
	OPT_HOSTS_FILE,
	OPT_NO_HOSTS,
	OPT_NO_SYSCTL,
	OPT_DEVICE_TO_DEVICE,
	OPT_WRITE_FIOCTL,
};

static const struct option long_options[] = {
	{"apitoken", required_argument, NULL, 't'},
	{"oauthcreds", required_argument, NULL, 'a'},
	{"factory", required_argument, NULL, 'f'},
	{"intf-name", required_argument, NULL, 'n'},
	{"privatekey", required_argument, NULL, 'k'},
	{"interval", required_argument, NULL, 'i'},
	{"no-sysctl", no_argument, NULL, OPT_NO_SYSCTL},
	{"allow-device-to-device", no_argument, NULL, OPT_DEVICE_TO_DEVICE},
	{"api-url", required_argument, NULL, OPT_API_URL},
	{"oauth-url", required_argument, NULL, OPT_OAUTH_URL},
	{"ca-file", required_argument, NULL, OPT_CA_FILE},
	{"header", required_argument, NULL, OPT_HEADER},
	{"state-dir", required_argument, NULL, OPT_STATE_DIR},
	{"clients-file", required_argument, NULL, OPT_CLIENTS_FILE},
	{"hosts-file", required_argument, NULL, OPT_HOSTS_FILE},
	{"no-hosts", no_argument, NULL, OPT_NO_HOSTS},
	{"write-fioctl", no_argument, NULL, OPT_WRITE_FIOCTL},
	{"no-tun", no_argument, NULL, HUB_OPT_NO_TUN},
	{"mtu", required_argument, NULL, HUB_OPT_MTU},
	{"workers", required_argument, NULL, HUB_OPT_WORKERS},
	{"no-offload", optional_argument, NULL, HUB_OPT_NO_OFFLOAD},
	{"aead", required_argument, NULL, HUB_OPT_AEAD},
	{"socket-dir", required_argument, NULL, HUB_OPT_DIR},
	{0},
};

struct factory_options {
	struct hub_options hub;
	struct factory_hub_options factory;
	const char *name, *key_path, *state_dir;
	char *token; /* -t or the environment; ours, wiped */
	const char *headers[HEADERS_MAX + 1];
	unsigned n_headers;
	bool no_hosts, device_to_device, token_in_argv;
	char ifname[TEXT_IFNAME_CHARS];
	char creds_path[4096], state_path[4096];
};

bool is_factory_command_line(int argc, char **argv)
{
	static const char *const words[] = {
		"--factory", "--apitoken", "--oauthcreds", "--privatekey", "--intf-name"};

	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (argv[i][0] == '-' && argv[i][1] && strchr("tank", argv[i][1]))
			return true;
		for (unsigned j = 0; j < sizeof words / sizeof *words; j++) {
			size_t n = strlen(words[j]);

			if (!strncmp(argv[i], words[j], n) && (!argv[i][n] || argv[i][n] == '='))
				return true;
		}
	}
	return false;
}

/* ---- options: NULL, or what is wrong with the value ---- */

/* It is part of a path of the API, of a file's name and of a line in /etc/hosts. */
static const char *take_name(struct factory_options *o, const char *text)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t n = strlen(text);

	if (n < 1 || n > 64 || !strchr(letters, text[0]))
		return "a factory's name is 1 to 64 letters, digits and .-_";
	for (const char *at = text; *at; at++) {
		if (!strchr(letters, *at) && !strchr("._-", *at))
			return "a factory's name is 1 to 64 letters, digits and .-_";
	}
	o->name = text;
	return NULL;
}

/* Nobody who looks at the process list shall read it a second time. */
static const char *take_token(struct factory_options *o, char *text)
{
	if (!*text)
		return "it is empty";
	free(o->token);
	o->token = strdup(text);
	memset(text, 'x', strlen(text));
	return o->token ? NULL : "out of memory";
}

static const char *take_interval(struct factory_options *o, const char *text)
{
	uint64_t seconds;

	if (!text_number(&seconds, text, strlen(text), INTERVAL_MAX_S) || seconds == 0)
		return "a number of seconds from 1 to 86400";
	o->factory.poll.interval_ms = seconds * 1000;
	return NULL;
}

static const char *take_url(const char **url, const char *text)
{
	*url = text;
	return https_is_base(text) ? NULL : "must begin with https:// and have no user or query";
}

static const char *take_header(struct factory_options *o, const char *text)
{
	if (o->n_headers == HEADERS_MAX)
		return "at most 16 headers";
	if (!strchr(text, ':') || strpbrk(text, "\r\n"))
		return "a header is \"Name: value\"";
	o->headers[o->n_headers++] = text;
	return NULL;
}

static const char *take_option(struct factory_options *o, int option, char *value)
{
	switch (option) {
	case 't':
		o->token_in_argv = true;
		return take_token(o, value);
	case 'a':
		o->factory.poll.http.creds_path = value;
		return NULL;
	case 'f':
		return take_name(o, value);
	case 'n':
		snprintf(o->ifname, sizeof o->ifname, "%s", value);
		return text_ifname(value, strlen(value));
	case 'k':
		o->key_path = value;
		return NULL;
	case 'i':
		return take_interval(o, value);
	case OPT_API_URL:
		return take_url(&o->factory.poll.http.api_url, value);
	case OPT_OAUTH_URL:
		return take_url(&o->factory.poll.http.oauth_url, value);
	case OPT_CA_FILE:
		o->factory.poll.http.ca_file = value;
		return access(value, R_OK) ? strerror(errno) : NULL;
	case OPT_HEADER:
		return take_header(o, value);
	case OPT_STATE_DIR:
		o->state_dir = value;
		return NULL;
	case OPT_CLIENTS_FILE:
		o->factory.clients_path = value;
		return NULL;
	case OPT_HOSTS_FILE:
		o->factory.hosts_path = value;
		return NULL;
	case OPT_NO_HOSTS:
		o->no_hosts = true;
		return NULL;
	case OPT_WRITE_FIOCTL:
		o->factory.poll.http.write_fioctl = true;
		return NULL;
	case OPT_NO_SYSCTL: /* ip_forward is never touched */
		return NULL;
	case OPT_DEVICE_TO_DEVICE:
		o->device_to_device = true;
		return NULL;
	default:
		return hub_options_take(&o->hub, option, value);
	}
}

/* The value of -t stays out of what is printed. */
static int say_bad_value(int option, int which, const char *value, const char *why)
{
	char shown[64], name[3] = {'-', (char)option, 0};

	text_escape(shown, sizeof shown, value ? value : "", value ? strlen(value) : 0);
	if (option == 't' || option == OPT_HEADER)
		snprintf(shown, sizeof shown, "(value not shown)");
	return say_usage(&command_daemon, "%s%s %s: %s", option < 256 ? "" : "--",
		option < 256 ? name : long_options[which].name, shown, why);
}

static int read_words(struct factory_options *o, int argc, char **argv)
{
	int option, which = 0;
	char shown[64];

	while ((option = getopt_long(argc, argv, ":t:a:f:n:k:i:", long_options, &which)) != -1) {
		const char *why;

		if (option == '?' || option == ':')
			return say_bad_option(&command_daemon, argv, option);
		why = take_option(o, option, optarg);
		if (why)
			return say_bad_value(option, which, optarg, why);
	}
	/* The word itself is gone where the program was called as `wghub daemon ...`. */
	if (optind == argc && strcmp(argv[0], command_daemon.name))
		return say_usage(&command_daemon, "the subcommand is missing: daemon");
	if (optind < argc && strcmp(argv[optind], command_daemon.name)) {
		text_escape(shown, sizeof shown, argv[optind], strlen(argv[optind]));
		return say_usage(&command_daemon, "there is no subcommand %s, only daemon", shown);
	}
	if (argc - optind > 1)
		return say_usage(&command_daemon, "more than one subcommand");
	return 0;
}

/* ---- credentials, key, places ---- */

static bool take_credential(struct factory_options *o, const char *dir, const char *name)
{
	int n = snprintf(o->creds_path, sizeof o->creds_path, "%s/%s", dir, name);

	if (n >= (int)sizeof o->creds_path || access(o->creds_path, R_OK))
		return false;
	o->factory.poll.http.creds_path = o->creds_path;
	return true;
}

static int find_creds(struct factory_options *o)
{
	struct factory_http_options *http = &o->factory.poll.http;
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *token = getenv("APITOKEN");

	if (o->token && http->creds_path)
		return say_usage(&command_daemon, "--apitoken and --oauthcreds exclude each other");
	if (!o->token && !http->creds_path && dir && !take_credential(o, dir, "oauthcreds") &&
		!take_credential(o, dir, "apitoken"))
		dir = NULL;
	if (!o->token && !http->creds_path && token && *token && take_token(o, token))
		return EXIT_FAILED;
	unsetenv("APITOKEN");
	if (!o->token && !http->creds_path)
		return say_usage(&command_daemon,
			"credentials are missing: --oauthcreds FILE, --apitoken TOKEN, APITOKEN in "
			"the environment, or apitoken or oauthcreds among systemd's credentials");
	http->creds_text = o->token;
	return 0;
}

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

static int read_key(struct factory_options *o)
{
	struct wgh_error error = {""};
	struct file_text file;
	char shown[120];
	size_t n;
	int err;

	if (!o->key_path)
		return say_usage(&command_daemon, "--privatekey FILE is missing");
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
	if (n < 1 || n >= (int)sizeof dir || make_folder(dir) || access(dir, W_OK)) {
		say_error(
			"%s: the state's folder cannot be made or written: --state-dir DIR", shown);
		return EXIT_FAILED;
	}
	snprintf(o->state_path, sizeof o->state_path, "%s/%s.json", dir, o->name);
	o->factory.state_path = o->state_path;
	return 0;
}

static int find_places(struct factory_options *o)
{
	if (!o->ifname[0]) {
		if (strlen(o->name) + 3 >= sizeof o->ifname)
			return say_usage(&command_daemon,
				"fio%s is too long for an interface's name (15 characters): "
				"--intf-name NAME",
				o->name);
		snprintf(o->ifname, sizeof o->ifname, "fio%.12s", o->name);
	}
	o->hub.daemon.device.ifname = o->ifname;
	if (!o->factory.clients_path)
		o->factory.clients_path = CLIENTS_PATH;
	if (o->no_hosts)
		o->factory.hosts_path = NULL;
	else if (!o->factory.hosts_path && geteuid() == 0)
		o->factory.hosts_path = HOSTS_PATH;
	return find_state(o);
}

static int read_options(struct factory_options *o, int argc, char **argv)
{
	int err = read_words(o, argc, argv);

	if (err)
		return err;
	if (!o->name)
		return say_usage(&command_daemon, "--factory NAME is missing");
	if (o->device_to_device) {
		say_error("--allow-device-to-device: there is no policy yet that could deny it: "
			  "peers whose own allowed-ips permit it reach each other; leave the "
			  "option out");
		return EXIT_USAGE;
	}
	o->hub.daemon.foreground = true;
	err = hub_options_finish(&o->hub, &command_daemon);
	if (!err)
		err = find_creds(o);
	if (!err)
		err = find_places(o);
	return err ? err : read_key(o);
}

static int run(int argc, char **argv)
{
	struct factory_options o = {.name = NULL};
	int code;

	hub_options_init(&o.hub);
	code = read_options(&o, argc, argv);
	if (!code) {
		if (o.token_in_argv)
			log_warn("token on the command line note=\"the process list showed it at "
				 "the start; give it as a file: --oauthcreds FILE\"");
		if (!o.hub.daemon.device.mtu_bytes && o.hub.daemon.device.tun_fd < 0)
			o.hub.daemon.device.mtu_bytes = HUB_MTU_DEFAULT;
		o.factory.poll.factory = o.name;
		o.factory.poll.http.headers = o.headers;
		o.hub.daemon.factory = &o.factory;
		code = daemon_run(&o.hub.daemon);
	}
	secret_wipe(o.factory.private_key, sizeof o.factory.private_key);
	if (o.token)
		secret_wipe(o.token, strlen(o.token));
	free(o.token);
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
	"  -f, --factory NAME     the factory\n"
	"  -a, --oauthcreds FILE  credentials, by content: the Python daemon's or fioctl's (JSON, "
	"YAML), or an\n"
	"                         API token on one line; without it and -t: oauthcreds or "
	"apitoken in\n"
	"                         $CREDENTIALS_DIRECTORY, or $APITOKEN\n"
	"  -t, --apitoken TOKEN   works, but the process list shows it for a moment\n"
	"  -k, --privatekey FILE  text of wghub genkey; must be readable by its owner only\n"
	"  -n, --intf-name NAME   the interface (fio and the factory's name)\n"
	"  -i, --interval S       seconds between two syncs (60)\n"
	"  --clients-file FILE    engineers, a line each: KEY ADDRESS [NAME]; watched\n"
	"                         (" CLIENTS_PATH ")\n"
	"  --state-dir DIR        root: /var/lib/wghub; others: $XDG_STATE_HOME/wghub; systemd's "
	"StateDirectory=\n"
	"  --hosts-file FILE      gets the devices' names (root: " HOSTS_PATH
	"; others: none); --no-hosts: none\n"
	"  --api-url URL, --oauth-url URL, --ca-file FILE\n"
	"                         another Factory; only this file's authorities are trusted then\n"
	"  --header \"NAME: VALUE\" in each request to the API; may be repeated\n"
	"  --write-fioctl         write renewed tokens into a fioctl YAML, which is only read "
	"otherwise\n"
	"  --no-sysctl            accepted: ip_forward is never touched\n"
	"  --no-tun, --mtu, --workers, --no-offload, --aead, --socket-dir: see wghub help up\n"
	"\n"
	"Not there yet: a policy between peers. The hub forwards between all of them; a stock "
	"device drops what\n"
	"does not come from the hub's own address. Engineers cannot reach stock devices yet. "
	"--allow-device-to-device\n"
	"is therefore refused.\n"
	"\n"
	"Environment: LOG_LEVEL silent, error, warn, info, verbose or debug (info).\n"};
