/* hub_options.c - see hub_options.h. */
#include "control/cli/hub_options.h"

#include "control/log.h"
#include "control/text.h"
#include "control/uapi.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX 64

static const struct option long_options[] = {
	{"foreground", no_argument, NULL, 'f'},
	{"no-tun", no_argument, NULL, HUB_OPT_NO_TUN},
	{"address", required_argument, NULL, HUB_OPT_ADDRESS},
	{"mtu", required_argument, NULL, HUB_OPT_MTU},
	{"workers", required_argument, NULL, HUB_OPT_WORKERS},
	{"deliver", required_argument, NULL, HUB_OPT_DELIVER},
	{"no-offload", optional_argument, NULL, HUB_OPT_NO_OFFLOAD},
	{"aead", required_argument, NULL, HUB_OPT_AEAD},
	{"user", required_argument, NULL, HUB_OPT_USER},
	{"no-sandbox", no_argument, NULL, HUB_OPT_NO_SANDBOX},
	{"policy", required_argument, NULL, HUB_OPT_POLICY},
	{"metrics", required_argument, NULL, HUB_OPT_METRICS},
	{"metrics-token", required_argument, NULL, HUB_OPT_METRICS_TOKEN},
	{"events", required_argument, NULL, HUB_OPT_EVENTS},
	{"events-command", required_argument, NULL, HUB_OPT_EVENTS_COMMAND},
	{"socket-dir", required_argument, NULL, HUB_OPT_DIR},
	{0},
};

/* All of the following give NULL or what is wrong with the value. */

static const char *take_address(struct hub_options *o, const char *text)
{
	if (o->n_addresses == HUB_ADDRESSES_MAX)
		return "at most 64 addresses";
	return text_prefix(&o->addresses[o->n_addresses++], text, strlen(text));
}

static const char *take_mtu(struct hub_options *o, const char *text)
{
	uint64_t n;

	if (!text_number(&n, text, strlen(text), 65440) || n < 576)
		return "an MTU is a number from 576 to 65440";
	o->daemon.device.mtu_bytes = (uint32_t)n;
	return NULL;
}

static const char *take_workers(struct hub_options *o, const char *text)
{
	uint64_t n;

	if (!text_number(&n, text, strlen(text), WORKERS_MAX) || n == 0)
		return "a number from 1 to 64";
	o->daemon.device.n_workers = (unsigned)n;
	return NULL;
}

static const char *take_deliver(struct hub_options *o, const char *text)
{
	if (strcmp(text, "own") && strcmp(text, "all"))
		return "own or all";
	o->daemon.device.deliver_unowned = !strcmp(text, "all");
	return NULL;
}

static const char *take_no_offload(struct hub_options *o, const char *text)
{
	if (!text)
		o->daemon.device.offloads_off = WGH_OFFLOAD_ALL;
	while (text) {
		size_t n = strcspn(text, ",");
		unsigned i = 0;

		while (uapi_offload_name(i) &&
			(strlen(uapi_offload_name(i)) != n ||
				memcmp(uapi_offload_name(i), text, n)))
			i++;
		if (!uapi_offload_name(i))
			return "kinds are udp-gro,udp-gso,tun-tso,tun-uso";
		o->daemon.device.offloads_off |= 1u << i;
		text = text[n] ? text + n + 1 : NULL;
	}
	return NULL;
}

static const char *take_aead(struct hub_options *o, const char *text)
{
	const char *const *names = wgh_aead_names();

	for (unsigned i = 0; names[i]; i++) {
		if (!strcmp(names[i], text)) {
			o->daemon.device.aead = names[i];
			return NULL;
		}
	}
	return "this machine has no such back end; wghub --version lists them";
}

/* The background has another working directory. */
static const char *take_policy(struct hub_options *o, const char *text)
{
	if (!realpath(text, o->policy_path))
		return strerror(errno);
	o->daemon.policy.path = o->policy_path;
	return NULL;
}

static const char *take_dir(struct hub_options *o, const char *text)
{
	if (text[0] != '/')
		return "must begin with /";
	o->daemon.socket_dir = text;
	return NULL;
}

const char *hub_options_take(struct hub_options *o, int option, const char *value)
{
	switch (option) {
	case 'f':
		o->daemon.foreground = true;
		return NULL;
	case HUB_OPT_NO_TUN:
		o->daemon.device.no_tun = true;
		return NULL;
	case HUB_OPT_ADDRESS:
		return take_address(o, value);
	case HUB_OPT_MTU:
		return take_mtu(o, value);
	case HUB_OPT_WORKERS:
		return take_workers(o, value);
	case HUB_OPT_DELIVER:
		return take_deliver(o, value);
	case HUB_OPT_NO_OFFLOAD:
		return take_no_offload(o, value);
	case HUB_OPT_AEAD:
		return take_aead(o, value);
	case HUB_OPT_USER:
		o->daemon.user = value;
		return *value ? NULL : "it is empty";
	case HUB_OPT_NO_SANDBOX:
		o->daemon.no_sandbox = true;
		return NULL;
	case HUB_OPT_POLICY:
		return take_policy(o, value);
	case HUB_OPT_METRICS:
		o->daemon.metrics.where = value;
		return metrics_check(value);
	case HUB_OPT_EVENTS:
		o->daemon.events_path = value;
		return *value == '/' || !strcmp(value, "-") ? NULL : "must begin with /, or be -";
	case HUB_OPT_EVENTS_COMMAND:
		o->daemon.events_command = value;
		return *value ? NULL : "it is empty";
	case HUB_OPT_METRICS_TOKEN:
		o->daemon.metrics.token_path = value;
		return *value ? NULL : "it is empty";
	default:
		return take_dir(o, value);
	}
}

/* ---- environment ---- */

/* *fd stays -1 where the variable is not set. */
static bool take_fd(int *fd, const char *variable)
{
	const char *text = getenv(variable);
	uint64_t n;

	if (!text)
		return true;
	if (!text_number(&n, text, strlen(text), INT32_MAX) ||
		fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0) {
		say_error("%s: not the number of an open descriptor", variable);
		return false;
	}
	*fd = (int)n;
	return true;
}

static int take_environment(struct hub_options *o)
{
	static const char *const variables[] = {"WG_TUN_FD", "WG_UAPI_FD", "WG_TUN_NAME_FILE",
		"WG_PROCESS_FOREGROUND", "LOG_LEVEL"};
	static char name_file[4096];
	const char *text = getenv("WG_PROCESS_FOREGROUND");
	enum log_level level;

	if (text && !strcmp(text, "1"))
		o->daemon.foreground = true;
	level = o->daemon.foreground ? LEVEL_INFO : LEVEL_WARN;
	text = getenv("LOG_LEVEL");
	if (text && *text && !log_level_from_text(&level, text)) {
		say_error("LOG_LEVEL: one of silent, error, warn, info, verbose, debug");
		return EXIT_USAGE;
	}
	o->daemon.keep_stderr = text && *text && level != LEVEL_SILENT;
	log_set_level(level);
	text = getenv("WG_TUN_NAME_FILE");
	if (text && strlen(text) < sizeof name_file)
		o->daemon.tun_name_file = strcpy(name_file, text);
	if (!take_fd(&o->daemon.device.tun_fd, "WG_TUN_FD") ||
		!take_fd(&o->daemon.uapi_fd, "WG_UAPI_FD"))
		return EXIT_FAILED;
	for (unsigned i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	return 0;
}

void hub_options_init(struct hub_options *o)
{
	*o = (struct hub_options){0};
	o->daemon.device.tun_fd = o->daemon.uapi_fd = -1;
}

int hub_options_finish(struct hub_options *o, const struct command *command)
{
	int err = take_environment(o);

	if (err)
		return err;
	if (o->n_addresses && !o->daemon.device.no_tun)
		return say_usage(command, "--address is for --no-tun; an interface has its own");
	if (o->daemon.device.no_tun && o->daemon.device.tun_fd >= 0)
		return say_usage(command, "--no-tun and WG_TUN_FD exclude each other");
	o->daemon.device.addresses = o->addresses;
	o->daemon.device.n_addresses = o->n_addresses;
	o->daemon.socket_dir = socket_dir_or_default(o->daemon.socket_dir);
	return o->daemon.socket_dir ? 0 : EXIT_FAILED;
}

int hub_options_read(struct hub_options *o, const struct command *command, int argc, char **argv,
	const char **word)
{
	char shown[64];
	int option, which = 0;

	hub_options_init(o);
	while ((option = getopt_long(argc, argv, ":f", long_options, &which)) != -1) {
		const char *why;

		if (option == '?' || option == ':')
			return say_bad_option(command, argv, option);
		why = hub_options_take(o, option, optarg);
		if (why) {
			text_escape(shown, sizeof shown, optarg ? optarg : "",
				optarg ? strlen(optarg) : 0);
			return say_usage(
				command, "--%s %s: %s", long_options[which].name, shown, why);
		}
	}
	if (argc - optind != 1)
		return say_usage(
			command, argc > optind ? "more than one name" : "a name is missing");
	*word = argv[optind];
	return hub_options_finish(o, command);
}
