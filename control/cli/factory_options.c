/* factory_options.c - see factory_options.h: one table of all options, and what each does. */
#include "control/cli/factory_options.h"

#include "control/factory_plan.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_MAX_S 86400
#define WORDS_TEXT "enable, daemon, enable_run, update_endpoint, login, server or device"

enum {
	OPT_API_URL = N_HUB_OPTIONS,
	OPT_OAUTH_URL,
	OPT_CA_FILE,
	OPT_HEADER,
	OPT_STATE_DIR,
	OPT_CLIENTS_FILE,
	OPT_HOSTS_FILE,
	OPT_NO_HOSTS,
	OPT_RANGE,
	OPT_NO_SYSCTL,
	OPT_DEVICE_TO_DEVICE,
	OPT_DEVICE_TO_HOST,
	OPT_WRITE_FIOCTL,
	OPT_NO_CHECK_IP,
	OPT_TAKE_OVER,
	OPT_ADDRESS_URL,
	OPT_UNIT_DIR,
	OPT_CLIENT_ID,
	OPT_BROWSER,
	OPT_CODE_STDIN,
	OPT_JSON,
};

enum { IS_PATH = 1 << 16 }; /* beside the bits of enum factory_who */

struct row {
	struct option option;
	unsigned who;
};

static const struct row rows[] = {
	{{"apitoken", required_argument, NULL, 't'}, FOR_ALL},
	{{"oauthcreds", required_argument, NULL, 'a'}, FOR_ALL},
	{{"factory", required_argument, NULL, 'f'}, FOR_ALL},
	{{"intf-name", required_argument, NULL, 'n'}, FOR_ALL},
	{{"privatekey", required_argument, NULL, 'k'}, FOR_ALL},
	{{"no-sysctl", no_argument, NULL, OPT_NO_SYSCTL}, FOR_ALL},
	{{"api-url", required_argument, NULL, OPT_API_URL}, FOR_ALL},
	{{"oauth-url", required_argument, NULL, OPT_OAUTH_URL}, FOR_ALL},
	{{"ca-file", required_argument, NULL, OPT_CA_FILE}, FOR_ALL | IS_PATH},
	{{"header", required_argument, NULL, OPT_HEADER}, FOR_ALL},
	{{"write-fioctl", no_argument, NULL, OPT_WRITE_FIOCTL}, FOR_ALL},
	{{"interval", required_argument, NULL, 'i'}, FOR_HUB},
	{{"allow-device-to-device", no_argument, NULL, OPT_DEVICE_TO_DEVICE}, FOR_HUB},
	{{"allow-device-to-host", optional_argument, NULL, OPT_DEVICE_TO_HOST}, FOR_HUB},
	{{"policy", required_argument, NULL, HUB_OPT_POLICY}, FOR_HUB | IS_PATH},
	{{"state-dir", required_argument, NULL, OPT_STATE_DIR}, FOR_HUB | IS_PATH},
	{{"clients-file", required_argument, NULL, OPT_CLIENTS_FILE}, FOR_HUB | IS_PATH},
	{{"hosts-file", required_argument, NULL, OPT_HOSTS_FILE}, FOR_HUB | IS_PATH},
	{{"no-hosts", no_argument, NULL, OPT_NO_HOSTS}, FOR_HUB},
	{{"range", required_argument, NULL, OPT_RANGE}, FOR_HUB},
	{{"metrics", required_argument, NULL, HUB_OPT_METRICS}, FOR_HUB},
	{{"metrics-token", required_argument, NULL, HUB_OPT_METRICS_TOKEN}, FOR_HUB | IS_PATH},
	{{"events", required_argument, NULL, HUB_OPT_EVENTS}, FOR_HUB},
	{{"events-command", required_argument, NULL, HUB_OPT_EVENTS_COMMAND}, FOR_HUB},
	{{"no-tun", no_argument, NULL, HUB_OPT_NO_TUN}, FOR_HUB},
	{{"mtu", required_argument, NULL, HUB_OPT_MTU}, FOR_HUB},
	{{"workers", required_argument, NULL, HUB_OPT_WORKERS}, FOR_HUB},
	{{"no-offload", optional_argument, NULL, HUB_OPT_NO_OFFLOAD}, FOR_HUB},
	{{"aead", required_argument, NULL, HUB_OPT_AEAD}, FOR_HUB},
	{{"user", required_argument, NULL, HUB_OPT_USER}, FOR_HUB},
	{{"no-sandbox", no_argument, NULL, HUB_OPT_NO_SANDBOX}, FOR_HUB},
	{{"socket-dir", required_argument, NULL, HUB_OPT_DIR},
		FOR_HUB | FOR_UPDATE_ENDPOINT | FOR_SERVER | FOR_DEVICE},
	{{"port", required_argument, NULL, 'p'}, FOR_PUBLISH},
	{{"endpoint", required_argument, NULL, 'e'}, FOR_PUBLISH},
	{{"vpnaddr", required_argument, NULL, 'v'}, FOR_ENABLE | FOR_ENABLE_RUN},
	{{"no-check-ip", no_argument, NULL, OPT_NO_CHECK_IP}, FOR_PUBLISH},
	{{"take-over", no_argument, NULL, OPT_TAKE_OVER}, FOR_ENABLE | FOR_ENABLE_RUN},
	{{"address-url", required_argument, NULL, OPT_ADDRESS_URL}, FOR_PUBLISH},
	{{"unit-dir", required_argument, NULL, OPT_UNIT_DIR}, FOR_ENABLE},
	{{"client-id", required_argument, NULL, OPT_CLIENT_ID}, FOR_PUBLISH | FOR_LOGIN},
	{{"code-stdin", no_argument, NULL, OPT_CODE_STDIN}, FOR_PUBLISH | FOR_LOGIN},
	{{"browser", no_argument, NULL, OPT_BROWSER}, FOR_LOGIN},
	{{"json", no_argument, NULL, OPT_JSON}, FOR_SERVER | FOR_DEVICE},
};
#define N_ROWS (sizeof rows / sizeof *rows)
#define LETTERS ":t:a:f:n:k:i:p:e:v:"

/* ---- values: NULL, or what is wrong with the value ---- */

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

static const char *take_interval(struct factory_options *o, const char *text)
{
	uint64_t seconds;

	if (!text_number(&seconds, text, strlen(text), INTERVAL_MAX_S) || seconds == 0)
		return "a number of seconds from 1 to 86400";
	o->factory.poll.interval_ms = seconds * 1000;
	return NULL;
}

static const char *take_range(struct factory_options *o, const char *text)
{
	struct wgh_prefix *range = &o->ranges[o->factory.n_ranges];
	const char *why;

	if (o->factory.n_ranges == FACTORY_RANGES_MAX)
		return "at most 16 ranges";
	why = text_prefix(range, text, strlen(text));
	if (why)
		return why;
	if (range->addr.family != WGH_IPV4)
		return "a range is IPv4, as 10.42.0.0/16";
	text_prefix_mask(range);
	o->factory.n_ranges++;
	return NULL;
}

static const char *take_url(const char **url, const char *text)
{
	static struct wgh_error error;

	*url = text;
	return https_check_base(text, &error) ? error.text : NULL;
}

/* Its value may be a secret, too, so it is starred out where it stood. */
static const char *take_header(struct factory_options *o, char *text)
{
	char *colon = strchr(text, ':'), *copy;

	if (o->n_headers == FACTORY_HEADERS_MAX)
		return "at most 16 headers";
	if (!colon || strpbrk(text, "\r\n"))
		return "a header is \"Name: value\"";
	copy = strdup(text);
	if (!copy)
		return "out of memory";
	memset(colon + 1, 'x', strlen(colon + 1));
	o->headers[o->n_headers++] = copy;
	return NULL;
}

/* Those of the commands that publish or log in. */
static const char *take_other(struct factory_options *o, int option, const char *value)
{
	switch (option) {
	case 'p':
		return text_port(&o->port, value, strlen(value));
	case 'e':
		o->endpoint = value;
		return *value ? NULL : "it is empty";
	case 'v':
		return plan_address(&o->vpn_address, value);
	case OPT_NO_CHECK_IP:
		o->no_check_ip = true;
		return NULL;
	case OPT_TAKE_OVER:
		o->take_over = true;
		return NULL;
	case OPT_ADDRESS_URL:
		return take_url(&o->address_url, value);
	case OPT_UNIT_DIR:
		o->unit_dir = value;
		return NULL;
	case OPT_CLIENT_ID:
		o->client_id = value;
		return NULL;
	case OPT_BROWSER:
		o->browser = true;
		return NULL;
	case OPT_CODE_STDIN:
		o->code_stdin = true;
		return NULL;
	case OPT_JSON:
		o->json = true;
		return NULL;
	default:
		return hub_options_take(&o->hub, option, value);
	}
}

static const char *take_option(struct factory_options *o, int option, char *value)
{
	struct factory_http_options *http = &o->factory.poll.http;

	switch (option) {
	case 't':
		o->token_in_argv = true;
		return factory_take_token(o, value);
	case 'a':
		http->creds_path = value;
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
		return take_url(&http->api_url, value);
	case OPT_OAUTH_URL:
		return take_url(&http->oauth_url, value);
	case OPT_CA_FILE:
		http->ca_file = value;
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
	case OPT_RANGE:
		return take_range(o, value);
	case OPT_NO_HOSTS:
		o->no_hosts = true;
		return NULL;
	case OPT_WRITE_FIOCTL:
		http->write_fioctl = true;
		return NULL;
	case OPT_NO_SYSCTL: /* ip_forward is never touched */
		return NULL;
	case OPT_DEVICE_TO_DEVICE:
		o->hub.daemon.policy.device_to_device = true;
		return NULL;
	case OPT_DEVICE_TO_HOST:
		o->hub.daemon.policy.device_to_host = true;
		o->hub.daemon.policy.host_ports = value;
		return value ? policy_ports_wrong(value) : NULL;
	default:
		return take_other(o, option, value);
	}
}

/* ---- words ---- */

/* "-t" or "--state-dir", as it was given. */
static void shown_name(char out[40], const struct row *row, bool is_long)
{
	if (is_long)
		snprintf(out, 40, "--%s", row->option.name);
	else
		snprintf(out, 40, "-%c", row->option.val);
}

/* Key, credentials, factory and interface are not among them: the unit has its own; headers may be
 * secret. */
static const char *note_given(struct factory_options *o, const struct row *row, const char *value)
{
	static char absolute[FACTORY_GIVEN_MAX][4096];
	unsigned n = o->n_given;

	if (!(row->who & FOR_DAEMON) || row->option.val == OPT_HEADER ||
		(row->option.val < 256 && strchr("tafnk", row->option.val)))
		return NULL;
	if (n == FACTORY_GIVEN_MAX)
		return "too many options";
	if (value && row->who & IS_PATH) {
		if (!factory_absolute(absolute[n], value))
			return "the path is too long";
		value = absolute[n];
	}
	o->given[o->n_given++] = (struct factory_given){row->option.name, value};
	return NULL;
}

/* The value of -t stays out of what is printed. */
static int take_row(struct factory_options *o, const struct row *row, bool is_long, char *value)
{
	char shown[64], name[40];
	const char *why;

	shown_name(name, row, is_long);
	if (!(row->who & o->who))
		return say_usage(o->command, "it takes no %s", name);
	text_escape(shown, sizeof shown, value ? value : "", value ? strlen(value) : 0);
	why = value && !*value ? "it is empty" : take_option(o, row->option.val, value);
	if (!why)
		why = note_given(o, row, value);
	if (!why)
		return 0;
	if (row->option.val == 't' || row->option.val == OPT_HEADER)
		snprintf(shown, sizeof shown, "(value not shown)");
	return say_usage(o->command, "%s %s: %s", name, shown, why);
}

static const struct row *row_of_letter(int letter)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		if (rows[i].option.val == letter)
			return &rows[i];
	}
	return NULL;
}

static void long_options(struct option all[N_ROWS + 1])
{
	for (size_t i = 0; i < N_ROWS; i++)
		all[i] = rows[i].option;
	all[N_ROWS] = (struct option){0};
}

const char *factory_take_option(struct factory_options *o, const char *name, char *value)
{
	const char *why;

	for (size_t i = 0; i < N_ROWS; i++) {
		if (strcmp(rows[i].option.name, name))
			continue;
		if (rows[i].option.has_arg == no_argument)
			value = NULL;
		why = take_option(o, rows[i].option.val, value);
		return why ? why : note_given(o, &rows[i], value);
	}
	return "there is no such option";
}

bool factory_absolute(char out[4096], const char *path)
{
	char here[4096];

	if (path[0] == '/')
		return snprintf(out, 4096, "%s", path) < 4096;
	return getcwd(here, sizeof here) && snprintf(out, 4096, "%s/%s", here, path) < 4096;
}

static int take_words(struct factory_options *o, int argc, char **argv)
{
	const char *name = o->command->name;
	char shown[64];

	/* The word itself is gone where the program was called as `wghub daemon ...`. */
	if (strcmp(argv[0], name)) {
		if (optind == argc)
			return say_usage(o->command, "the subcommand is missing: " WORDS_TEXT);
		if (strcmp(argv[optind], name)) {
			text_escape(shown, sizeof shown, argv[optind], strlen(argv[optind]));
			return say_usage(
				o->command, "there is no subcommand %s, only " WORDS_TEXT, shown);
		}
		optind++;
	}
	o->words = argv + optind;
	o->n_words = argc - optind;
	return 0;
}

static int read_words(struct factory_options *o, int argc, char **argv)
{
	struct option all[N_ROWS + 1];
	int letter, which = -1, code;

	long_options(all);
	while ((letter = getopt_long(argc, argv, LETTERS, all, &which)) != -1) {
		const struct row *row = which < 0 ? row_of_letter(letter) : &rows[which];

		if (letter == '?' || letter == ':')
			return say_bad_option(o->command, argv, letter);
		code = take_row(o, row, which >= 0, optarg);
		if (code)
			return code;
		which = -1;
	}
	return take_words(o, argc, argv);
}

int factory_options_read(struct factory_options *o, const struct command *command, unsigned who,
	int argc, char **argv)
{
	int code;

	*o = (struct factory_options){.command = command, .who = who};
	hub_options_init(&o->hub);
	o->factory.ranges = o->ranges;
	o->factory.poll.http.headers = (const char *const *)o->headers;
	code = read_words(o, argc, argv);
	if (!code && who == FOR_ENABLE_RUN)
		code = factory_take_environment(o);
	if (code)
		return code;
	/* A command about a device may learn it from the hub that runs here. */
	if (!o->name && who != FOR_DEVICE)
		return say_usage(command, "--factory NAME is missing");
	if (o->n_words && who & (FOR_HUB | FOR_PUBLISH)) /* these take none */
		return say_usage(command, "more than one subcommand");
	o->factory.poll.factory = o->name;
	return 0;
}

bool factory_owns_option(const char *word)
{
	if (strncmp(word, "--", 2) != 0)
		return false;
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct option *o = &rows[i].option;
		size_t n = strlen(o->name);

		if ((o->val < HUB_OPT_NO_TUN || o->val >= N_HUB_OPTIONS) &&
			!strncmp(word + 2, o->name, n) && (!word[2 + n] || word[2 + n] == '='))
			return true;
	}
	return false;
}

/* Options may have values that look like a subcommand, so getopt() finds the word; it moves
 * options to the front, which does not matter to it the next time. */
const struct command *factory_command_find(int argc, char **argv)
{
	static const struct command *const all[] = {&command_daemon, &command_enable,
		&command_enable_run, &command_update_endpoint, &command_login, &command_server,
		&command_device};
	struct option options[N_ROWS + 1];
	const struct command *found = NULL;

	long_options(options);
	while (getopt_long(argc, argv, LETTERS, options, NULL) != -1)
		;
	for (size_t i = 0; i < sizeof all / sizeof *all && optind < argc; i++) {
		if (!strcmp(argv[optind], all[i]->name))
			found = all[i];
	}
	optind = 0; /* glibc: begin anew */
	return found;
}

void factory_options_fini(struct factory_options *o)
{
	secret_wipe(o->factory.private_key, sizeof o->factory.private_key);
	if (o->token)
		secret_wipe(o->token, strlen(o->token));
	free(o->token);
	o->token = NULL;
	while (o->n_headers) {
		char *header = o->headers[--o->n_headers];

		secret_wipe(header, strlen(header));
		free(header);
	}
}
