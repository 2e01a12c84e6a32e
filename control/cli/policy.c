/* policy.c - `wghub policy check FILE`, `wghub policy test FROM TO`: what a file of rules says,
 * before it is used and while it is. */
#include "control/cli/ask_facts.h"

#include "control/text.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

/* ---- check ---- */

static void print_notes(const struct notes *notes, const char *what)
{
	for (size_t i = 0; i < notes->n; i++)
		say_error("%s%s", what, notes->lines[i]);
	if (notes->n_left_out)
		say_error("%sand %zu more", what, notes->n_left_out);
}

/* NULL: it is said what is wrong. */
static struct policy_file *read_file(const char *path)
{
	struct wgh_error error = {""};
	struct policy_file *file;

	if (policy_file_read(&file, path, &error)) {
		say_error("%s", error.text);
		return NULL;
	}
	if (file->errors.n == 0)
		return file;
	print_notes(&file->errors, "");
	policy_file_free(file);
	return NULL;
}

static int check(int n_words, char **words)
{
	const struct policy_world nobody = {.n_peers = 0};
	struct wgh_error error = {""};
	struct policy_file *file;
	struct policy_plan *plan;
	int err;

	if (n_words != 1)
		return say_usage(&command_policy, "check takes one file");
	file = read_file(words[0]);
	if (!file)
		return EXIT_FAILED;
	err = policy_plan_make(&plan, file, &nobody, &error);
	if (err)
		say_error("%s", error.text);
	print_notes(&file->notes, "note: ");
	if (!err)
		printf("%s is right: %zu rules, %zu forwards, %zu groups\n", file->path,
			file->n_rules, file->n_forwards, file->n_groups);
	policy_plan_free(plan);
	policy_file_free(file);
	return err ? EXIT_FAILED : 0;
}

/* ---- test ---- */

/* Without a running hub there are no peers, but groups. */
static int facts_of_nobody(struct facts *facts)
{
	const struct ctl_answer nothing = {.n_lines = 0};
	struct wgh_error error = {""};

	if (!facts_init(facts, "", &nothing, 0, &error))
		return 0;
	say_error("%s", error.text);
	return EXIT_FAILED;
}

static int decide(const struct facts *facts, const struct why_question *q)
{
	static const char *const verdicts[] = {
		[WGH_DENY] = "deny", [WGH_ALLOW] = "allow", [WGH_PING] = "ping"};
	struct wgh_error error = {""};
	char by[POLICY_LINE_MAX + 200];
	enum wgh_verdict verdict;
	long from, to;

	if (!why_find(&from, facts, q->from, &error) || !why_find(&to, facts, q->to, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	verdict = why_decide(facts, from, to, q->proto, q->port, by, sizeof by);
	printf("%s (%s)\n", verdicts[verdict], by);
	return verdict == WGH_DENY ? EXIT_FAILED : 0;
}

struct test_options {
	const char *dir, *name, *file;
};

static int test(const struct test_options *o, int n_words, char **words)
{
	struct policy_file *file = NULL;
	struct why_question question;
	struct wgh_error error = {""};
	struct facts facts;
	int code = ask_question(&question, &command_policy, words, n_words);

	if (code)
		return code;
	if (o->file && !(file = read_file(o->file)))
		return EXIT_FAILED;
	if (o->file && !o->name)
		code = facts_of_nobody(&facts);
	else
		code = ask_facts(&facts, o->dir, o->name);
	if (code) {
		policy_file_free(file);
		return code;
	}
	if (file && facts_use_file(&facts, file, &error)) {
		say_error("%s", error.text);
		code = EXIT_FAILED;
	}
	if (!code)
		code = decide(&facts, &question);
	facts_fini(&facts);
	return code;
}

static int policy(int argc, char **argv)
{
	static const struct option options[] = {{"intf-name", required_argument, NULL, 'n'},
		{"socket-dir", required_argument, NULL, 'd'},
		{"file", required_argument, NULL, 'f'}, {0}};
	struct test_options o = {.dir = NULL};
	int option;
	char shown[40];

	while ((option = getopt_long(argc, argv, ":n:", options, NULL)) != -1) {
		if (option == 'd')
			o.dir = optarg;
		else if (option == 'n')
			o.name = optarg;
		else if (option == 'f')
			o.file = optarg;
		else
			return say_bad_option(&command_policy, argv, option);
	}
	o.dir = socket_dir_or_default(o.dir);
	if (!o.dir)
		return EXIT_FAILED;
	if (optind == argc)
		return say_usage(&command_policy, "check or test?");
	if (!strcmp(argv[optind], "check"))
		return check(argc - optind - 1, argv + optind + 1);
	if (!strcmp(argv[optind], "test"))
		return test(&o, argc - optind - 1, argv + optind + 1);
	text_escape(shown, sizeof shown, argv[optind], strlen(argv[optind]));
	return say_usage(&command_policy, "there is no %s, only check and test", shown);
}

const struct command command_policy = {"policy", policy,
	"rules for who may start what: wghub policy check FILE, policy test FROM TO",
	"Usage: wghub policy check FILE\n"
	"       wghub policy test [-n HUB] [--file FILE] FROM TO [tcp|udp|icmp [PORT]]\n"
	"\n"
	"check reads a file for --policy and names every mistake in it. test says what a running "
	"hub "
	"decides, and\n"
	"which line does; with --file FILE what that file would decide, for groups, or with -n for "
	"the "
	"peers of\n"
	"that hub. FROM and TO are names, keys, addresses, groups, or host.\n"
	"\n"
	"The file has a line for each rule; the first that fits decides. What no line is about:\n"
	"client -> device, client -> host, host -> all, peer -> peer, peer -> host: allow; device "
	"-> "
	"host: ping;\n"
	"all else: deny. Replies to what was allowed always pass.\n"
	"  allow client -> device tcp 22,80-90 udp 53\n"
	"  deny  laptop1 -> device             laptop1 is a peer's name; or its key, or its "
	"address\n"
	"  ping  device -> device              echo requests, nothing else\n"
	"  group lab = press-1, \"bench laptop\" then: allow lab -> lab. A device in it remains a "
	"device\n"
	"  group client = KEY                  what a peer made with wg(8), or of wghub up, counts "
	"as\n"
	"  forward 8883/tcp -> press-07:8883 from device\n"
	"                                      a port of the hub's address that leads to a peer: "
	"how a "
	"stock\n"
	"                                      device, which can send to the hub only, reaches "
	"others\n"
	"  nat press-2 = never                 does press-2 see senders as they are (never), or "
	"the "
	"hub's address\n"
	"                                      in their place (always)? auto, for devices: always, "
	"until it has\n"
	"                                      proved that it accepts others\n"
	"  probe-address 10.42.42.250          an unused address to find that out with, or off\n"
	"  nat-ports 61000-65535               which the hub uses where it speaks for others\n"
	"  clamp-mss                           tell TCP connections the hub's MTU\n"
	"  log-flows                           a line in the log when a flow begins and when it "
	"ends; off: none\n"
	"                                      (a Factory's hub logs them, since a stock device "
	"sees the hub only)\n"
	"  flows 65536                         remembered at a time; flows-per-peer 4096\n"
	"\n"
	"Groups: client (engineers: factory-clients.conf), device (the Factory's), host (the hub's "
	"own "
	"machine),\n"
	"peer (all others), any. A peer that is called like a group: name:device. SIGHUP makes the "
	"hub "
	"read the\n"
	"file again; one with a mistake changes nothing, and no session is touched.\n"
	"\n"
	"Exit code of test: 0 allow or ping, 1 deny.\n"};
