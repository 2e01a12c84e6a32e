/* policy_ends.h - whom a line of a policy file is about, among the peers there are. For
 * policy_plan.c. Threads: any. Cost: a search each; addresses are searched one by one.
 */
#ifndef CONTROL_POLICY_ENDS_H
#define CONTROL_POLICY_ENDS_H

#include "control/policy_plan.h"

#define ALL_CLASSES UINT32_MAX

/* One end of a rule, taken apart. */
struct ends {
	bool any;
	uint32_t classes; /* bits */
	size_t *peers; /* indices in the world */
	size_t n_peers, peers_cap;
	const struct wgh_public_key *key; /* of somebody who is no peer yet, or NULL */
	uint32_t touched; /* all classes that this can be about */
};

struct named_peer {
	const char *name;
	size_t peer;
};

struct ends_finder {
	const struct policy_file *file;
	const struct policy_world *world;
	struct policy_plan *plan; /* its classes and settings; notes go there */
	struct named_peer *names; /* sorted */
	size_t n_names;
	size_t *keys; /* peers sorted by key */
};

MUST_CHECK int ends_finder_init(struct ends_finder *f, const struct policy_file *file,
	const struct policy_world *world, struct policy_plan *plan);
void ends_finder_fini(struct ends_finder *f);

/* All peers that are meant, without a word about nobody. who is no group. -ENOMEM. */
MUST_CHECK int ends_find_peers(
	const struct ends_finder *f, struct ends *ends, const struct policy_who *who);
/* Needs the plan's classes. all_of_a_name: also where several peers share it. -ENOMEM. */
MUST_CHECK int ends_find(struct ends_finder *f, struct ends *ends, const struct policy_who *who,
	unsigned line, bool all_of_a_name);
void ends_fini(struct ends *ends);
/* The nth party of them; false: there are no more. */
MUST_CHECK bool ends_party(
	struct wgh_party *party, const struct ends_finder *f, const struct ends *ends, size_t n);
/* A note about a line, once. format has one %s. */
void ends_note(struct ends_finder *f, unsigned line, const char *format, const char *what);

#endif
