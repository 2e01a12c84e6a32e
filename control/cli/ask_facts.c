/* ask_facts.c - see ask_facts.h. */
#include "control/cli/ask_facts.h"

#include "control/cli/hubs.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* Only a Factory's hub knows of peers that it does not have. */
static int ask_absent(struct facts *facts, const char *dir)
{
	static const char *const verbs[] = {"peers", "pending"};
	struct wgh_error error;

	for (unsigned i = 0; i < 2; i++) {
		struct ctl_answer answer;
		int err = ctl_ask(
			&answer, dir, facts->ifname, verbs[i], NULL, 0, CTL_TIMEOUT_S, &error);

		if (err)
			continue;
		err = facts_add_absent(facts, &answer, i == 1);
		ctl_answer_fini(&answer);
		if (err)
			return err;
	}
	return 0;
}

int ask_facts(struct facts *facts, const char *dir, const char *name)
{
	struct wgh_error error = {"out of memory"};
	struct ctl_answer answer;
	char found[16];
	int code = hub_any(found, &answer, dir, name);

	if (code)
		return code;
	code = facts_init(facts, found, &answer, (int64_t)time(NULL), &error);
	ctl_answer_fini(&answer);
	if (!code && ask_absent(facts, dir)) {
		facts_fini(facts);
		code = -ENOMEM;
	}
	if (!code)
		return 0;
	say_error("%s", error.text);
	return EXIT_FAILED;
}

int ask_question(
	struct why_question *question, const struct command *command, char **words, int n_words)
{
	uint64_t port = 0;

	*question = (struct why_question){.proto = 0};
	if (n_words < 2 || n_words > 4)
		return say_usage(
			command, "it takes FROM and TO, and perhaps tcp, udp or icmp and a port");
	question->from = words[0];
	question->to = words[1];
	if (n_words > 2 && !policy_proto(&question->proto, words[2], strlen(words[2])))
		return say_usage(command, "the third word is tcp, udp, icmp or any");
	if (n_words > 3 &&
		(question->proto < 2 ||
			!text_number(&port, words[3], strlen(words[3]), UINT16_MAX) || port == 0))
		return say_usage(command, "the fourth word is a port of tcp or udp, 1 to 65535");
	question->port = (uint16_t)port;
	return 0;
}
