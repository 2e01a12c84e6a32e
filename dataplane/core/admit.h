/* admit.h - may this packet pass between its two ends, and how must it look at the other one? Most
 * pairs are settled by one load from the policy's table (admit_plain()). The rest comes to admit(),
 * which asks in this order: does it belong to a flow, may its sender start one, must the receiver
 * see the hub's address as its source.
 *
 * A flow's packets pass both ways whatever the policy says about their direction, translated for
 * its whole life or never; so do ICMP errors about it and the later fragments of its datagrams. A
 * peer of NULL is the hub's own host, in all arguments. Threads: the worker's own; the flow table
 * is shared and locks itself.
 */
#ifndef CORE_ADMIT_H
#define CORE_ADMIT_H

#include "core/answer.h"

static inline uint32_t reach_of(const struct hub_view *view, const struct peer *peer)
{
	return peer ? relaxed_get(&((struct peer *)peer)->reach) : view->host_reach;
}

/* True if the table of groups alone lets both start whatever they like, and nothing is translated.
 */
static inline bool admit_plain(const struct policy *policy, uint32_t from_reach, uint32_t to_reach)
{
	return (policy->cells[REACH_GROUP(from_reach)][REACH_GROUP(to_reach)] & CELL_PLAIN) &&
		!((from_reach | to_reach) & ~(uint32_t)(WGH_GROUPS_MAX - 1));
}

/* What the sender of a refused packet is told. */
enum refusal { REFUSE_SILENTLY, REFUSE_BY_POLICY, REFUSE_PROTOCOL, REFUSE_BY_RESET };

struct admission {
	struct peer *to; /* the receiver, who need not own the address that the packet came with */
	/* NULL: it passes as it is. In the worker; good until its next packet is admitted. */
	const struct nat_edit *edit;
	const struct fragment_way *way; /* of a fragment; NULL: it is none */
	bool is_error; /* ICMP, about a packet that edit is for */
	enum refusal refusal;
};

/* to: who owns the packet's destination. Changes nothing in the packet. */
enum drop admit(struct worker *w, struct peer *from, struct peer *to, const uint8_t *packet,
	const struct ip_info *info, struct admission *a);
/* Once nothing else can stop it: what its receiver must see. */
enum drop admit_rewrite(uint8_t *packet, const struct ip_info *info, const struct admission *a);

#endif
