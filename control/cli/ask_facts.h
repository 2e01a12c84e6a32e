/* ask_facts.h - what `wghub why` and `wghub policy` share: the running hub's answers as facts, and
 * the words FROM TO [PROTO [PORT]].
 */
#ifndef CONTROL_ASK_FACTS_H
#define CONTROL_ASK_FACTS_H

#include "control/cli/cli.h"
#include "control/why.h"

/* Asks the hub of that name, or the only one that runs here. 0 or the exit code: the error is said.
 * facts_fini() it. */
MUST_CHECK int ask_facts(struct facts *facts, const char *dir, const char *name);
/* 0 or EXIT_USAGE: the error is said. */
MUST_CHECK int ask_question(
	struct why_question *question, const struct command *command, char **words, int n_words);

#endif
