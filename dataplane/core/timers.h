/* timers.h - when a peer needs attention without a packet's help: retries, keepalives, renewal,
 * wiping.
 *
 * Lazy: packets only leave timestamps in the peer; nothing moves a timer for each of them. Each
 * peer has one place in a heap of deadlines, and when its deadline comes the control side computes
 * the next one from the timestamps. That is exact, because whatever a packet starts falls due 10 s
 * later at the earliest: a packet that finds the peer's deadline further away than that asks the
 * control side to look at once, and any other finds it in time.
 *
 * Source: paper, sections 6.1 to 6.5, with the counts and jitter of the Linux module's timers.c.
 * Threads: timers_packet_*() and timers_must_ask() from workers and the control side; the rest on
 * the control side.
 */
#ifndef CORE_TIMERS_H
#define CORE_TIMERS_H

#include "core/peer.h"

/* One authenticated packet or a run of them. data: at least one was not a keepalive. */
static inline void timers_packet_received(struct peer *peer, bool data, uint64_t now_ns)
{
	if (relaxed_get(&peer->unanswered_since_ns))
		relaxed_set(&peer->unanswered_since_ns, 0);
	if (relaxed_get(&peer->silent))
		relaxed_set(&peer->silent, false);
	relaxed_set(&peer->last_traversal_ns, now_ns);
	if (!data)
		return;
	relaxed_set(&peer->last_data_received_ns, now_ns);
	if (!relaxed_get(&peer->unacked_since_ns))
		atomic_store(&peer->unacked_since_ns, now_ns); /* before timers_must_ask() */
}

static inline void timers_packet_sent(struct peer *peer, bool data, uint64_t now_ns)
{
	if (relaxed_get(&peer->unacked_since_ns))
		relaxed_set(&peer->unacked_since_ns, 0);
	relaxed_set(&peer->last_traversal_ns, now_ns);
	if (data && !relaxed_get(&peer->unanswered_since_ns))
		atomic_store(&peer->unanswered_since_ns, now_ns); /* before timers_must_ask() */
}

/* True if the control side must be told that this peer is active again. Call it after the packet
 * has left its timestamp: timer_arm() leaves the deadline and then looks at the timestamps, so that
 * of the two at least one sees what the other did. */
static inline bool timers_must_ask(const struct peer *peer, uint64_t now_ns)
{
	return atomic_load(&((struct peer *)peer)->timer_armed_ns) > now_ns + KEEPALIVE_TIMEOUT_NS;
}

/* The events of a peer, each with its deadline; TIME_NEVER: not waiting. */
enum timer {
	TIMER_RETRY_HANDSHAKE, /* an initiation of ours is unanswered */
	TIMER_NEW_HANDSHAKE, /* data of ours is unanswered */
	TIMER_KEEPALIVE, /* data of theirs is unanswered */
	TIMER_PERSISTENT_KEEPALIVE,
	TIMER_WIPE,
	TIMER_PROBE, /* reach.h: does it accept other sources than the hub? */
	TIMER_N,
};

uint64_t timers_deadline(const struct peer *peer, enum timer timer);
/* The earliest of all. */
uint64_t timers_next(const struct peer *peer);

/* ---- the heap ---- */

struct timer_heap {
	struct mem_budget *budget; /* NULL: none */
	struct peer **peers;
	uint32_t n, room;
};

void timer_heap_fini(struct timer_heap *heap);
/* Makes room for n peers, so that arming cannot fail. -ENOMEM. */
MUST_CHECK int timer_heap_reserve(struct timer_heap *heap, uint32_t n);
/* Puts the peer where timers_next() says, or takes it out if that is TIME_NEVER. Cost: log of the
 * armed peers. */
void timer_arm(struct timer_heap *heap, struct peer *peer);
/* The same, but at latest_ns at the latest, whether anything is due then or not. */
void timer_arm_within(struct timer_heap *heap, struct peer *peer, uint64_t latest_ns);
void timer_disarm(struct timer_heap *heap, struct peer *peer);
uint64_t timer_heap_next(const struct timer_heap *heap);
/* A peer whose deadline has come, NULL if none; arm or disarm it before the next call. */
struct peer *timer_heap_due(const struct timer_heap *heap, uint64_t now_ns);

#endif
