/* why.c - `wghub why FROM TO`: every link between the two, where it breaks, and what to do. */
#include "control/cli/ask_facts.h"

#include "control/text.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const states[] = {[WHY_OK] = "ok", [WHY_NOTE] = "note", [WHY_BROKEN] = "broken"};

static void print_text(const struct why_report *report)
{
	static const char *const marks[] = {
		[WHY_OK] = "ok    ", [WHY_NOTE] = "note  ", [WHY_BROKEN] = "BROKEN"};
	const struct why_step *broken = why_broken(report);

	for (size_t i = 0; i < report->n; i++) {
		const struct why_step *step = &report->steps[i];

		printf("%s  %s\n", marks[step->state], step->text);
		if (step->remedy[0])
			printf("        -> %s\n", step->remedy);
	}
	if (broken)
		printf("\nIt breaks here: %s\n", broken->text);
	else
		puts("\nNothing breaks at the hub. What is left: the receiver's own firewall, and "
		     "whether "
		     "the service runs there.");
}

/* jansson takes well-formed UTF-8 only, which a cut text may not be. NULL for an empty one. */
static json_t *string(const char *text)
{
	char shown[WHY_CHARS + 100];

	text_escape(shown, sizeof shown, text, strlen(text));
	return *shown ? json_string(shown) : NULL;
}

/* False: no memory. */
static bool print_json(const struct why_report *report, const struct why_question *q)
{
	const struct why_step *broken = why_broken(report);
	json_t *steps = json_array();
	json_t *all = json_pack("{s:o, s:o, s:b, s:s?, s:o}", "from", string(q->from), "to",
		string(q->to), "reachable", broken == NULL, "broken", broken ? broken->link : NULL,
		"steps", steps);
	bool ok;

	for (size_t i = 0; all && i < report->n; i++) {
		const struct why_step *step = &report->steps[i];

		json_array_append_new(steps,
			json_pack("{s:s, s:s, s:s*, s:o, s:o*}", "state", states[step->state],
				"link", step->link, "reason", step->about[0] ? step->about : NULL,
				"text", string(step->text), "remedy", string(step->remedy)));
	}
	ok = all && json_array_size(steps) == report->n &&
		!json_dumpf(all, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) && puts("") >= 0;
	json_decref(all);
	return ok;
}

static int explain(const struct facts *facts, const struct why_question *question, bool json)
{
	struct wgh_error error = {""};
	struct why_report report;
	int code = 0;

	if (why_walk(&report, facts, question, &error)) {
		say_error("%s", error.text);
		why_report_fini(&report);
		return EXIT_FAILED;
	}
	if (!json)
		print_text(&report);
	else if (!print_json(&report, question))
		code = EXIT_FAILED;
	if (!code && why_broken(&report))
		code = EXIT_FAILED;
	why_report_fini(&report);
	return code;
}

static int why(int argc, char **argv)
{
	static const struct option options[] = {{"intf-name", required_argument, NULL, 'n'},
		{"socket-dir", required_argument, NULL, 'd'}, {"json", no_argument, NULL, 'j'},
		{0}};
	const char *dir = NULL, *name = NULL;
	struct why_question question;
	struct facts facts;
	bool json = false;
	int option, code;

	while ((option = getopt_long(argc, argv, ":n:", options, NULL)) != -1) {
		if (option == 'd')
			dir = optarg;
		else if (option == 'n')
			name = optarg;
		else if (option == 'j')
			json = true;
		else
			return say_bad_option(&command_why, argv, option);
	}
	code = ask_question(&question, &command_why, argv + optind, argc - optind);
	if (code)
		return code;
	dir = socket_dir_or_default(dir);
	if (!dir)
		return EXIT_FAILED;
	code = ask_facts(&facts, dir, name);
	if (code)
		return code;
	code = explain(&facts, &question, json);
	facts_fini(&facts);
	return code;
}

const struct command command_why = {"why", why,
	"why does FROM not reach TO, and what to do: wghub why FROM TO [tcp PORT]",
	"Usage: wghub why [-n HUB] [--json] FROM TO [tcp|udp|icmp [PORT]]\n"
	"\n"
	"Walks every link between two peers of a running hub and says where it breaks: is FROM a "
	"peer, "
	"is it\n"
	"online, which line of the policy decides, is TO online, does it accept other senders than "
	"the "
	"hub, is\n"
	"the table of flows full, and why packets of the two were dropped; each with what to do. "
	"FROM "
	"and TO are\n"
	"names, public keys, addresses, or host: the hub's own machine.\n"
	"  -n, --intf-name HUB    which hub, where several run here\n"
	"  --json                 an object: reachable, broken (the link), steps with state, link, "
	"text, remedy\n"
	"  --socket-dir DIR       where its socket is (root: /var/run/wireguard)\n"
	"\n"
	"Exit code: 0 nothing breaks at the hub, 1 something does, or the hub cannot be asked.\n"};
