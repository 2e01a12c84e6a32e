/* policy.h - may these two talk, and who may start: the caller's policy, checked, copied and made
 * quick to ask.
 *
 * One byte for each pair of groups tells whether the table alone decides (CELL_PLAIN), so that a
 * pair without rules that may talk both ways costs one load. All else asks the rules in order, as
 * wgh_policy_decide() does. Threads: never changes once it is published with a hub_view; workers
 * read it without a lock. Cost: memory of its rules; asking them is linear in their number.
 */
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

#include "core/mem.h"
#include "wghub_policy.h"

enum cell {
	CELL_PLAIN = 1u << 0, /* both may start, and no rule could say otherwise */
	CELL_RULES = 1u << 1, /* rules about groups could concern this pair in this direction */
};

struct policy {
	struct retired retired;
	struct wgh_policy said; /* rules and forwards are ours */
	uint8_t cells[WGH_GROUPS_MAX][WGH_GROUPS_MAX]; /* enum cell bits of [from][to] */
};

/* Checks and copies. -EINVAL: error says which rule, forward or bound is wrong; -ENOMEM. */
MUST_CHECK int policy_new(struct policy **policy, const struct wgh_policy *said,
	struct mem_budget *budget, struct wgh_error *error);
void policy_free(struct policy *policy);
/* Does the forward serve this sender? */
bool policy_forward_allows(
	const struct wgh_forward *forward, const struct wgh_public_key *from, uint8_t group);
/* True if a rule or forward is about this very key: then its cells do not decide alone. */
bool policy_names(const struct policy *policy, const uint8_t key[WGH_KEY_BYTES]);

#endif
