/* why.h - why does FROM not reach TO? Walks every link between the two and says where it breaks,
 * and what to do. For `wghub why`.
 *
 * A pure function of what the hub answered. Threads: any. Every reason to drop a packet and every
 * reason to refuse a peer has an explanation here; tests/control/test_why.c sees to it.
 */
#ifndef CONTROL_WHY_H
#define CONTROL_WHY_H

#include "control/facts.h"

enum why_state {
	WHY_OK,
	WHY_NOTE, /* may matter */
	WHY_BROKEN,
};

#define WHY_CHARS 500

struct why_step {
	enum why_state state;
	const char *link; /* a stable word, for programs: "from", "policy", "drop" .. */
	const char *about; /* of drop and refused: its name; else "" */
	char text[WHY_CHARS];
	char remedy[WHY_CHARS]; /* "" where there is nothing to do */
};

struct why_report {
	struct why_step *steps; /* in the order a packet meets them */
	size_t n, cap;
	bool out_of_memory;
};

struct why_question {
	const char *from, *to; /* names, keys, addresses or "host" */
	uint8_t proto; /* 0: none in particular */
	uint16_t port;
};

/* -EINVAL: a word that is nobody, *error says which; -ENOMEM. why_report_fini() in any case. */
MUST_CHECK int why_walk(struct why_report *report, const struct facts *facts,
	const struct why_question *question, struct wgh_error *error);
void why_report_fini(struct why_report *report);
/* The first broken one, or NULL. */
const struct why_step *why_broken(const struct why_report *report);

/* Why that happens and what to do; two sentences. */
struct why_explanation {
	const char *name, *cause, *remedy;
};
/* Of a drop reason by its name, or NULL. */
const struct why_explanation *why_drop(const char *name);
/* Of a refusal (wanted.h) by its name, or NULL. */
const struct why_explanation *why_refusal(const char *name);

/* May from start that to to, and whose word that is: "policy.conf:7: allow client -> device", or
 * "by default". Ends: a peer's index in the world, WHY_HOST, or -2 - class for a group alone. */
#define WHY_HOST (-1)
enum wgh_verdict why_decide(const struct facts *facts, long from, long to, uint8_t proto,
	uint16_t port, char *by, size_t size);
/* A peer's index in the world or WHY_HOST; -EISDIR: a group; -EEXIST: several; -ENOENT. */
long why_end_of(const struct facts *facts, const struct policy_who *who);
/* The device's group of an end. */
unsigned why_class(const struct facts *facts, long end);
/* Whom that word means, for why_decide(). False: nobody or several, *error says so. */
MUST_CHECK bool why_find(
	long *end, const struct facts *facts, const char *word, struct wgh_error *error);

#endif
