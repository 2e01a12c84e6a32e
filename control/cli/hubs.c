/* hubs.c - see hubs.h. What a hub answers may be hostile: values are escaped before they are
 * printed. */
#include "control/cli/hubs.h"

#include "control/progress.h"
#include "control/text.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

int hubs_list(char (**names)[16], size_t *n, const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	size_t cap = 0;

	*names = NULL;
	*n = 0;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (len < 6 || strcmp(entry->d_name + len - 5, ".sock") ||
			text_ifname(entry->d_name, len - 5))
			continue;
		if (*n == cap) {
			void *bigger = realloc(*names, (cap = cap * 2 + 8) * sizeof **names);

			if (!bigger)
				break;
			*names = bigger;
		}
		memcpy((*names)[*n], entry->d_name, len - 5);
		(*names)[(*n)++][len - 5] = 0;
	}
	closedir(dir);
	if (*n)
		qsort(*names, *n, sizeof **names, compare_names);
	return 0;
}

/* ---- options ---- */

enum { OPT_DIR = 256, OPT_JSON, OPT_PUBKEY, OPT_ADDRESS, OPT_QR };

/* The option's place in what a command allows; 0: every command has it. */
static unsigned needs(int option)
{
	switch (option) {
	case OPT_JSON:
		return HUB_ASK_JSON;
	case OPT_PUBKEY:
	case OPT_ADDRESS:
	case OPT_QR:
		return HUB_ASK_CLIENT;
	default:
		return 0;
	}
}

static void take(struct hub_ask *ask, int option, const char *value)
{
	switch (option) {
	case 'n':
		ask->ifname = value;
		break;
	case OPT_DIR:
		ask->socket_dir = value;
		break;
	case OPT_JSON:
		ask->json = true;
		break;
	case OPT_PUBKEY:
		ask->public_key = value;
		break;
	case OPT_ADDRESS:
		ask->address = value;
		break;
	case OPT_QR:
		ask->qr = true;
		break;
	}
}

int hub_ask_read(
	struct hub_ask *ask, const struct command *command, unsigned allowed, int argc, char **argv)
{
	static const struct option options[] = {{"intf-name", required_argument, NULL, 'n'},
		{"socket-dir", required_argument, NULL, OPT_DIR},
		{"json", no_argument, NULL, OPT_JSON},
		{"pubkey", required_argument, NULL, OPT_PUBKEY},
		{"address", required_argument, NULL, OPT_ADDRESS},
		{"qr", no_argument, NULL, OPT_QR}, {0}};
	int option, which = 0;

	*ask = (struct hub_ask){.command = command};
	while ((option = getopt_long(argc, argv, ":n:", options, &which)) != -1) {
		if (option == '?' || option == ':')
			return say_bad_option(command, argv, option);
		if (needs(option) & ~allowed)
			return say_usage(command, "there is no option --%s", options[which].name);
		take(ask, option, optarg);
	}
	ask->words = argv + optind;
	ask->n_words = argc - optind;
	ask->socket_dir = socket_dir_or_default(ask->socket_dir);
	if (!ask->socket_dir)
		return EXIT_FAILED;
	if (ask->ifname && !name_from_argument(ask->found, ask->ifname))
		return EXIT_USAGE;
	return 0;
}

/* ---- asking ---- */

/* The one Factory's hub in the directory. */
static int find(struct hub_ask *ask, bool quiet)
{
	char(*names)[16];
	struct wgh_error error = {""}, last = {""};
	struct ctl_answer answer;
	size_t n, n_found = 0;
	int err = hubs_list(&names, &n, ask->socket_dir);

	if (err)
		n = 0;
	progress_begin("waiting for the hubs that run here");
	for (size_t i = 0; i < n && n_found < 2; i++) {
		err = ctl_ask(&answer, ask->socket_dir, names[i], "status", NULL, 0, CTL_TIMEOUT_S,
			&error);
		if (err && err != -EOPNOTSUPP && err != -ECONNREFUSED && err != -ENOENT &&
			err != -EPROTO)
			last = error;
		if (err)
			continue;
		ctl_answer_fini(&answer);
		memcpy(ask->found, names[i], sizeof ask->found);
		n_found++;
	}
	progress_end();
	free(names);
	if (n_found == 1)
		return 0;
	if (quiet)
		return EXIT_FAILED;
	if (n_found > 1)
		say_error("several Factories' hubs run here: say which with -n INTERFACE");
	else if (last.text[0])
		say_error("%s", last.text);
	else
		say_error("no Factory's hub runs here: start one with systemctl start "
			  "factory-vpn-FACTORY, or see wghub help daemon");
	return EXIT_FAILED;
}

int hub_ask(struct hub_ask *ask, struct ctl_answer *answer, const char *verb,
	const struct ctl_line *params, size_t n_params, unsigned timeout_s)
{
	struct wgh_error error = {""};
	int code = ask->found[0] ? 0 : find(ask, false), err;

	*answer = (struct ctl_answer){0};
	if (code)
		return code;
	progress_begin(strcmp(verb, "sync") ? "waiting for the hub" : "the hub asks the Factory");
	err = ctl_ask(
		answer, ask->socket_dir, ask->found, verb, params, n_params, timeout_s, &error);
	progress_end();
	if (!err)
		return 0;
	if (err == -EOPNOTSUPP || err == -EPROTO)
		say_error("%s is no Factory's hub", ask->found);
	else
		say_error("%s", error.text);
	return EXIT_FAILED;
}

int hub_ask_quietly(
	struct hub_ask *ask, struct ctl_answer *answer, const char *verb, unsigned timeout_s)
{
	struct wgh_error ignored = {""};

	*answer = (struct ctl_answer){0};
	if (!ask->found[0] && find(ask, true))
		return EXIT_FAILED;
	return ctl_ask(answer, ask->socket_dir, ask->found, verb, NULL, 0, timeout_s, &ignored)
		? EXIT_FAILED
		: 0;
}

/* The name of the only hub that answers. */
static int find_any(char name[16], struct ctl_answer *answer, const char *dir)
{
	char(*names)[16];
	struct wgh_error error;
	size_t n, n_found = 0;

	if (hubs_list(&names, &n, dir))
		n = 0, names = NULL;
	progress_begin("waiting for the hubs that run here");
	for (size_t i = 0; i < n; i++) {
		struct ctl_answer one;

		if (ctl_get(&one, dir, names[i], &error))
			continue;
		ctl_answer_fini(answer);
		*answer = one;
		memcpy(name, names[i], 16);
		n_found++;
	}
	progress_end();
	free(names);
	if (n_found == 1)
		return 0;
	ctl_answer_fini(answer);
	if (n_found)
		say_error("several hubs run here: say which with -n NAME");
	else
		say_error("no hub runs here, or none that you may ask; start one, or try as root");
	return EXIT_FAILED;
}

int hub_any(char name[16], struct ctl_answer *answer, const char *dir, const char *asked)
{
	struct wgh_error error = {""};
	int err;

	*answer = (struct ctl_answer){0};
	if (!asked)
		return find_any(name, answer, dir);
	if (!name_from_argument(name, asked))
		return EXIT_USAGE;
	progress_begin("waiting for the hub");
	err = ctl_get(answer, dir, name, &error);
	progress_end();
	if (!err)
		return 0;
	say_error("%s", error.text);
	return EXIT_FAILED;
}

/* ---- answers ---- */

static size_t end_of_section(const struct ctl_answer *answer, const char *begin, size_t at)
{
	while (at < answer->n_lines && strcmp(answer->lines[at].key, begin))
		at++;
	return at;
}

void hub_head(struct show_section *section, const struct ctl_answer *answer, const char *begin,
	size_t *at)
{
	*at = end_of_section(answer, begin, 0);
	*section = (struct show_section){answer->lines, *at};
}

bool hub_next(struct show_section *section, const struct ctl_answer *answer, const char *begin,
	size_t *at)
{
	size_t first = *at;

	if (first >= answer->n_lines)
		return false;
	*at = end_of_section(answer, begin, first + 1);
	*section = (struct show_section){answer->lines + first, *at - first};
	return true;
}

void hub_print_lines(const struct show_section *section, const char *key, const char *label)
{
	char text[HUB_VALUE_CHARS];
	size_t n = 0;

	for (size_t i = 0; i < section->n; i++) {
		const char *value = section->lines[i].value;

		if (strcmp(section->lines[i].key, key) || n++ >= HUB_LINES_MAX)
			continue;
		text_escape(text, sizeof text, value, strlen(value));
		printf("%s%s\n", label, text);
	}
	if (n > HUB_LINES_MAX)
		printf("%sand %zu more\n", label, n - HUB_LINES_MAX);
}

void hub_span(char out[HUB_SPAN_CHARS], int64_t seconds)
{
	static const struct {
		int64_t seconds;
		const char *word;
	} units[] = {{172800, "d"}, {7200, "h"}, {120, "min"}, {0, "s"}};
	static const int64_t divisors[] = {86400, 3600, 60, 1};

	for (unsigned i = 0; i < 4; i++) {
		if (seconds < units[i].seconds && i < 3)
			continue;
		snprintf(out, HUB_SPAN_CHARS, "%" PRId64 " %s", seconds / divisors[i],
			units[i].word);
		return;
	}
}

const char *hub_value(
	char out[HUB_VALUE_CHARS], const struct show_section *section, const char *key)
{
	const char *value = show_value(section, key);

	text_escape(out, HUB_VALUE_CHARS, value ? value : "", value ? strlen(value) : 0);
	return out;
}

bool hub_is(const struct show_section *section, const char *key, const char *value)
{
	const char *is = show_value(section, key);

	return is && !strcmp(is, value);
}
