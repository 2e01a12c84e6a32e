/* admit.h - may this packet pass between its two ends? Most pairs are settled by one load from the
 * policy's table (admit_plain()); the rest comes here. A peer of NULL is the hub's own host, in all
 * arguments. Threads: any worker, no lock.
 */
#ifndef CORE_ADMIT_H
#define CORE_ADMIT_H

#include "core/ip.h"
#include "core/peer.h"
#include "core/policy.h"

static inline uint32_t reach_of(const struct peer *peer)
{
	return peer ? relaxed_get(&((struct peer *)peer)->reach) : WGH_GROUP_HOST;
}

/* True if the table of groups alone lets both start whatever they like. */
static inline bool admit_plain(const struct policy *policy, uint32_t from_reach, uint32_t to_reach)
{
	return (policy->cells[REACH_GROUP(from_reach)][REACH_GROUP(to_reach)] & CELL_PLAIN) &&
		!((from_reach | to_reach) & ~(uint32_t)(WGH_GROUPS_MAX - 1));
}

/* May from start this? The packet is whole in its headers: ip_parse() has seen it. */
bool admit_start(const struct policy *policy, const struct peer *from, const struct peer *to,
	const uint8_t *packet, const struct ip_info *info);

#endif
