/* show.c - `wghub show`: finds the hubs and asks them; show_text.c and show_json.c print. */
#include "control/cli/show.h"

#include "control/cli/cli.h"
#include "control/cli/hubs.h"
#include "control/progress.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t end_of_section(const struct ctl_answer *answer, size_t at)
{
	while (at < answer->n_lines && strcmp(answer->lines[at].key, "public_key"))
		at++;
	return at;
}

void show_hub_section(struct show_section *section, const struct ctl_answer *answer, size_t *at)
{
	*at = end_of_section(answer, 0);
	*section = (struct show_section){answer->lines, *at};
}

bool show_next_peer(struct show_section *section, const struct ctl_answer *answer, size_t *at)
{
	size_t begin = *at;

	if (begin >= answer->n_lines)
		return false;
	*at = end_of_section(answer, begin + 1);
	*section = (struct show_section){answer->lines + begin, *at - begin};
	return true;
}

const char *show_value(const struct show_section *section, const char *key)
{
	for (size_t i = 0; i < section->n; i++) {
		if (!strcmp(section->lines[i].key, key))
			return section->lines[i].value;
	}
	return NULL;
}

uint64_t show_number(const struct show_section *section, const char *key)
{
	const char *text = show_value(section, key);
	uint64_t n;

	return text && text_number(&n, text, strlen(text), INT64_MAX) ? n : 0;
}

void show_key(char out[SHOW_KEY_CHARS], const struct show_section *section, const char *key)
{
	const char *hex = show_value(section, key);
	uint8_t bytes[32];

	if (hex && key_from_hex(bytes, hex, strlen(hex)))
		key_to_base64(out, bytes);
	else
		strcpy(out, "(wrong)");
}

/* One hub, to standard output or into json. With all: one that does not run is passed over. */
static int show_one(const char *dir, const char *name, bool all, json_t *json, size_t *n_shown)
{
	struct ctl_answer answer;
	struct wgh_error error = {""};
	int err;

	progress_begin("waiting for the hub");
	err = ctl_get(&answer, dir, name, &error);
	progress_end();
	if (all && (err == -ECONNREFUSED || err == -ENOENT))
		return 0; /* left over from a hub that ended */
	++*n_shown;
	if (err) {
		say_error("%s", error.text);
		return all && err == -EPROTO ? 0 : EXIT_FAILED;
	}
	if (!json)
		show_text(name, &answer);
	else if (json_object_set_new(json, name, show_json(&answer)))
		err = EXIT_FAILED;
	ctl_answer_fini(&answer);
	return err;
}

static int show_all(const char *dir, json_t *json)
{
	char(*names)[16];
	size_t n, n_shown = 0;
	int err = hubs_list(&names, &n, dir), code = 0;
	char shown[80];

	if (err && err != -ENOENT) {
		text_escape(shown, sizeof shown, dir, strlen(dir));
		say_error("%s: %s", shown, strerror(-err));
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < n; i++)
		code |= show_one(dir, names[i], true, json, &n_shown);
	free(names);
	if (!n_shown && !code && !json) /* nothing on standard output, as with wg show */
		say_error("no hub runs here, or none that you may ask");
	return code;
}

static int show(int argc, char **argv)
{
	static const struct option long_options[] = {{"socket-dir", required_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'}, {0}};
	json_t *json = NULL;
	const char *dir = NULL;
	bool as_json = false;
	int option, code = 0;
	size_t n_shown = 0;
	char name[16];

	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (option == 'd')
			dir = optarg;
		else if (option == 'j')
			as_json = true;
		else
			return say_bad_option(&command_show, argv, option);
	}
	if (argc - optind > 1)
		return say_usage(&command_show, "more than one name");
	dir = socket_dir_or_default(dir);
	if (!dir)
		return EXIT_FAILED;
	if (as_json && !(json = json_object())) {
		say_error("out of memory");
		return EXIT_FAILED;
	}
	if (optind == argc)
		code = show_all(dir, json);
	else if (name_from_argument(name, argv[optind]))
		code = show_one(dir, name, false, json, &n_shown);
	else
		code = EXIT_FAILED;
	if (json && !code) {
		if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) || puts("") < 0)
			code = EXIT_FAILED;
	}
	json_decref(json);
	return code;
}

const struct command command_show = {"show", show,
	"peers by name, handshakes, traffic, drops: wghub show [NAME] [--json]",
	"Usage: wghub show [--json] [--socket-dir DIR] [NAME]\n"
	"\n"
	"Shows the hub NAME, or all that run here. Peers have the names that comments in the conf "
	"file give\n"
	"them. Drops are packets that were refused, by reason. No secret is ever shown or even "
	"asked for;\n"
	"wg(8) does that: wg showconf NAME.\n"
	"--json prints an object with one member for each hub: {\"wg0\": {\"peers\": [...], ...}}. "
	"Times are Unix\n"
	"seconds, latest_handshake is null where there was none.\n"};
