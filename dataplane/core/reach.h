/* reach.h - which source addresses a peer accepts: only the hub's (stock), or also others' (wide).
 *
 * For peers with WGH_NAT_AUTO. Each new session begins as stock, which is always right. Proof that
 * the peer is wide is an authenticated packet of it to an address of the VPN other than the hub's:
 * of its own accord, or as its answer to an echo request from a reserved address that the hub sends
 * it, a few times at most. Silence proves nothing. Each family for itself. Threads: reach_learn()
 * from a worker; the rest on the control side.
 */
#ifndef CORE_REACH_H
#define CORE_REACH_H

#include "core/hub.h"

struct worker;

/* Would a packet of the peer to an address that is not the hub's be news? */
static inline bool reach_may_learn(struct peer *peer, uint8_t family)
{
	const uint32_t reach = relaxed_get(&peer->reach);

	return (reach & REACH_LEARNS) &&
		(reach & (family == WGH_IPV4 ? REACH_STOCK4 : REACH_STOCK6));
}

/* There was one. */
void reach_learn(struct worker *w, struct peer *peer, uint8_t family);

/* The caller has said how packets to the peer are to look. True if it was something else before. */
bool reach_set_mode(struct hub *hub, struct peer *peer, enum wgh_nat nat, uint64_t now_ns);
/* The peer has a new session that it can be asked through. */
void reach_session(struct hub *hub, struct peer *peer, uint64_t now_ns);
/* A worker has learned something. */
void reach_proved(struct hub *hub, struct peer *peer, uint64_t now_ns);
/* The peer's TIMER_PROBE. */
void reach_due(struct hub *hub, struct peer *peer, uint64_t now_ns);
/* Is this what we asked for? The packet is to the probe's address. */
bool reach_is_answer(const struct hub *hub, const uint8_t *packet, const struct ip_info *info);

#endif
