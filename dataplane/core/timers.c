/* timers.c - see timers.h. The heap is binary, its key is timer_armed_ns of each peer. */
#include "core/timers.h"

#include <errno.h>

uint64_t timers_deadline(const struct peer *const_peer, enum timer timer)
{
	struct peer *peer = (struct peer *)const_peer; /* atomic loads want it */
	uint64_t since, last;

	switch (timer) {
	case TIMER_RETRY_HANDSHAKE:
		return peer->handshake ? peer->handshake->retry_at_ns : TIME_NEVER;
	case TIMER_NEW_HANDSHAKE:
		since = atomic_load(&peer->unanswered_since_ns);
		return since ? since + KEEPALIVE_TIMEOUT_NS + REKEY_TIMEOUT_NS +
				peer->unanswered_jitter_ns
			     : TIME_NEVER;
	case TIMER_KEEPALIVE:
		since = atomic_load(&peer->unacked_since_ns);
		return since ? since + KEEPALIVE_TIMEOUT_NS : TIME_NEVER;
	case TIMER_PERSISTENT_KEEPALIVE:
		since = relaxed_get(&peer->keepalive_s);
		if (!since)
			return TIME_NEVER;
		last = relaxed_get(&peer->last_traversal_ns);
		return last ? last + since * NS_PER_S : 0; /* nothing yet: at once */
	case TIMER_WIPE:
		return peer->wipe_at_ns;
	case TIMER_PROBE:
		return peer->probe_at_ns ? peer->probe_at_ns : TIME_NEVER;
	case TIMER_N:
		break;
	}
	return TIME_NEVER;
}

uint64_t timers_next(const struct peer *peer)
{
	uint64_t next = TIME_NEVER;

	for (enum timer t = 0; t < TIMER_N; t++)
		next = time_earlier(next, timers_deadline(peer, t));
	return next;
}

void timer_heap_fini(struct timer_heap *heap)
{
	mem_free(heap->peers);
}

int timer_heap_reserve(struct timer_heap *heap, uint32_t n)
{
	struct peer **peers;

	if (n <= heap->room)
		return 0;
	if (n < heap->room * 2)
		n = heap->room * 2;
	peers = mem_resize(heap->budget, heap->peers, n, sizeof *peers);
	if (!peers)
		return -ENOMEM;
	heap->peers = peers;
	heap->room = n;
	return 0;
}

static uint64_t key(struct peer *peer)
{
	return relaxed_get(&peer->timer_armed_ns);
}

static void put(struct timer_heap *heap, uint32_t pos, struct peer *peer)
{
	heap->peers[pos] = peer;
	peer->heap_pos = pos;
}

/* Moves the peer from the hole at pos to where its key belongs. */
static void sift(struct timer_heap *heap, uint32_t pos, struct peer *peer)
{
	while (pos && key(heap->peers[(pos - 1) / 2]) > key(peer)) {
		put(heap, pos, heap->peers[(pos - 1) / 2]);
		pos = (pos - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * pos + 1;

		if (child + 1 < heap->n && key(heap->peers[child + 1]) < key(heap->peers[child]))
			child++;
		if (child >= heap->n || key(heap->peers[child]) >= key(peer))
			break;
		put(heap, pos, heap->peers[child]);
		pos = child;
	}
	put(heap, pos, peer);
}

void timer_arm(struct timer_heap *heap, struct peer *peer)
{
	timer_arm_within(heap, peer, TIME_NEVER);
}

void timer_arm_within(struct timer_heap *heap, struct peer *peer, uint64_t latest_ns)
{
	uint64_t next, wanted = time_earlier(timers_next(peer), latest_ns);

	/* A packet may come in between: see timers_must_ask(). */
	do {
		next = wanted;
		atomic_store(&peer->timer_armed_ns, next);
		wanted = time_earlier(timers_next(peer), latest_ns);
	} while (wanted < next);
	if (next == TIME_NEVER) {
		timer_disarm(heap, peer);
		return;
	}
	sift(heap, peer->heap_pos == UINT32_MAX ? heap->n++ : peer->heap_pos, peer);
}

void timer_disarm(struct timer_heap *heap, struct peer *peer)
{
	uint32_t pos = peer->heap_pos;
	struct peer *last;

	relaxed_set(&peer->timer_armed_ns, TIME_NEVER);
	if (pos == UINT32_MAX)
		return;
	peer->heap_pos = UINT32_MAX;
	last = heap->peers[--heap->n];
	if (last != peer)
		sift(heap, pos, last);
}

uint64_t timer_heap_next(const struct timer_heap *heap)
{
	return heap->n ? key(heap->peers[0]) : TIME_NEVER;
}

struct peer *timer_heap_due(const struct timer_heap *heap, uint64_t now_ns)
{
	return time_reached(now_ns, timer_heap_next(heap)) ? heap->peers[0] : NULL;
}
