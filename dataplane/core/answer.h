/* answer.h - what the hub owes the sender of a packet it cannot carry: an ICMP error, or a reset
 * for a TCP segment, from the hub's own address. To peers through their tunnels; to the hub's own
 * host through the TUN, where an error comes from the packet's destination, because a host takes
 * nothing from its own addresses. Limited for each peer and in all; what is over the limit is not
 * said. Threads: the worker's own.
 */
#ifndef CORE_ANSWER_H
#define CORE_ANSWER_H

#include "core/icmp.h"
#include "core/worker.h"

/* Takes one from a peer's allowance. Any thread; two at once may share one. */
bool answer_allowed(_Atomic uint64_t *of_sender, uint64_t now_ns);
/* sender NULL: the hub's own host. The packet is as it came in. */
void answer_error(struct worker *w, struct peer *sender, const struct packet *p,
	const struct ip_info *info, enum icmp_error error);
void answer_reset(
	struct worker *w, struct peer *sender, const struct packet *p, const struct ip_info *info);

#endif
