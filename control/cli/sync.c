/* sync.c - `wghub sync`: a Factory's hub asks the API now, and says what came of it. */
#include "control/cli/hubs.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Two rounds of a slow API, each with its renewals. */
#define SYNC_TIMEOUT_S 180

static int print_json(const struct show_section *s)
{
	static const char *const numbers[] = {"devices", "clients", "added", "changed", "removed"};
	bool ok = hub_is(s, "outcome", "ok");
	char text[HUB_VALUE_CHARS];
	json_t *json = json_object(), *troubles = hub_list_json(s, "trouble");
	int code;

	json_object_set_new(json, "outcome", json_string(hub_value(text, s, "outcome")));
	json_object_set_new(json, "outcome_why",
		ok ? json_null() : json_string(hub_value(text, s, "outcome_why")));
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		json_object_set_new(
			json, numbers[i], json_integer((json_int_t)show_number(s, numbers[i])));
	json_object_set_new(json, "refused", hub_list_json(s, "refused"));
	ok = ok && json_array_size(troubles) == 0;
	json_object_set_new(json, "troubles", troubles);
	code = hub_print_json(json, true);
	return ok ? code : EXIT_FAILED;
}

static int print_outcome(const struct show_section *s)
{
	char why[HUB_VALUE_CHARS];
	int code = 0;

	if (!hub_is(s, "outcome", "ok")) {
		say_error("not synced: %s", hub_value(why, s, "outcome_why"));
		return EXIT_FAILED;
	}
	printf("synced: %" PRIu64 " devices, %" PRIu64 " clients; %" PRIu64 " added, %" PRIu64
	       " changed, %" PRIu64 " removed\n",
		show_number(s, "devices"), show_number(s, "clients"), show_number(s, "added"),
		show_number(s, "changed"), show_number(s, "removed"));
	hub_print_lines(s, "refused", "");
	for (size_t i = 0; i < s->n; i++) {
		struct show_section rest = {s->lines + i, s->n - i};
		char name[HUB_VALUE_CHARS];

		if (strcmp(s->lines[i].key, "trouble"))
			continue;
		say_error(
			"%s: %s", hub_value(name, &rest, "trouble"), hub_value(why, &rest, "why"));
		code = EXIT_FAILED;
	}
	return code;
}

static int run(int argc, char **argv)
{
	struct ctl_answer answer;
	struct show_section s;
	struct hub_ask ask;
	int code = hub_ask_read(&ask, &command_sync, HUB_ASK_JSON, argc, argv);

	if (code)
		return code;
	if (ask.n_words)
		return say_usage(&command_sync, "it takes no words");
	code = hub_ask(&ask, &answer, "sync", NULL, 0, SYNC_TIMEOUT_S);
	if (code)
		return code;
	s = (struct show_section){answer.lines, answer.n_lines};
	code = ask.json ? print_json(&s) : print_outcome(&s);
	ctl_answer_fini(&answer);
	return code;
}

const struct command command_sync = {"sync", run,
	"ask the Factory's API now, and read the clients file again",
	"Usage: wghub sync [--json] [-n INTERFACE] [--socket-dir DIR]\n"
	"\n"
	"Waits until the running hub has asked the API and says what changed. What is wrong is on\n"
	"standard error, and the exit code is 1; wghub status says more.\n"
	"--json prints an object: outcome, outcome_why, devices, clients, added, changed, removed, "
	"refused, "
	"troubles.\n" HUB_ASK_HELP};
