/* flow_table.h - how the flow table lies in memory; for the flow*.c files only.
 *
 * A flow has two halves, one for each direction. A half hangs in the bucket of its key's hash, and
 * that bucket's lock guards the chain and the half: only who holds it writes the half's counters,
 * so two workers that carry the two directions never wait for each other nor share a line. What a
 * half needs to know of the other is mirrored as flags, written on the rare change.
 *
 * The table's lock guards everything else: which flows are in use, lists, initiators, chains (which
 * change under both locks, so that the holder of this one may read them). Order: first this lock,
 * then a bucket's; never two buckets at once.
 *
 * Numbers of flows and initiators begin at 1; 0 is nothing. A link in a chain is flow * 2 +
 * direction.
 */
#ifndef CORE_FLOW_TABLE_H
#define CORE_FLOW_TABLE_H

#include "core/flow.h"
#include "core/route_hash.h"
#include "core/spin.h"

#include <string.h>

enum flow_flags {
	FLOW_SEEN = 1u << 0, /* a packet went this way */
	FLOW_ANSWERED = 1u << 1, /* TCP, the responder's: something that is no reset */
	FLOW_ACKED = 1u << 2, /* TCP, the initiator's: an ACK after that; connected */
	FLOW_FIN = 1u << 3,
	FLOW_RST = 1u << 4,
};

struct flow_half {
	_Atomic uint64_t seen_ns, packets, bytes;
	_Atomic uint32_t generation; /* changes when a flow ends */
	_Atomic uint8_t flags; /* of this direction */
	_Atomic uint8_t other; /* a copy of the other direction's */
};

struct flow {
	/* Two lines that do not change while it lives, but for the links. */
	_Alignas(64) struct flow_key key[2];
	uint32_t next[2]; /* in the buckets' chains; next[0] also in the list of free flows */
	uint32_t initiator; /* number */
	bool in_use, half_open, translated;
	uint64_t began_ns;
	uint32_t own_previous, own_next; /* among its initiator's half-open or other flows */
	_Alignas(64) struct flow_half half[1 + 1];
	uint32_t queue_previous, queue_next; /* among all half-open flows */
};

struct flow_bucket {
	struct spin lock;
	uint32_t first; /* link */
};

struct flow_list {
	uint32_t first, last;
};

/* A peer that has begun flows which still live. */
struct flow_initiator {
	struct flow_party party;
	uint32_t n, next; /* flows; in its hash chain, or free */
	struct flow_list half_open, others; /* the oldest first */
};

struct flow_table {
	struct flow *flows;
	void *flows_block; /* what to free */
	struct flow_bucket *buckets;
	struct flow_initiator *initiators;
	uint32_t *initiator_heads;
	uint64_t seed[2];
	uint32_t bucket_mask, initiator_mask;
	uint32_t room; /* made for */

	_Alignas(64) struct spin lock;
	uint32_t max, per_peer_max;
	struct flow_ports ports;
	uint32_t free_flows, n_flows_touched; /* above this number none was ever in use */
	uint32_t free_initiators, n_initiators_touched;
	struct flow_list queue; /* half-open flows, the oldest first */
	uint32_t hand; /* the last flow the sweep looked at */
	_Atomic uint32_t n_flows;
};

/* ---- by key ---- */

static inline uint64_t flow_hash(const struct flow_table *t, const struct flow_key *key)
{
	uint64_t words[6];
	uint32_t src4, dst4;

	memcpy(words, key, sizeof words);
	if (key->family == WGH_IPV4) {
		memcpy(&src4, key->src, 4);
		memcpy(&dst4, key->dst, 4);
		words[0] = (uint64_t)src4 << 32 | dst4;
	} else {
		words[0] = route_mix(words[0] ^ t->seed[1]) + words[1];
		words[0] = route_mix(words[0]) + words[2];
		words[0] = route_mix(words[0]) + words[3];
	}
	return route_mix((route_mix(words[0] ^ t->seed[0]) + words[4]) ^ t->seed[1]);
}

static inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	uint64_t x[6], y[6];

	memcpy(x, a, sizeof x);
	memcpy(y, b, sizeof y);
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) |
		(x[5] ^ y[5]));
}

/* With the bucket's lock or the table's. 0: there is none. */
static inline uint32_t flow_chain_find(
	const struct flow_table *t, const struct flow_bucket *bucket, const struct flow_key *key)
{
	uint32_t link = bucket->first;

	while (link && !flow_key_equal(&t->flows[link >> 1].key[link & 1], key))
		link = t->flows[link >> 1].next[link & 1];
	return link;
}

static inline struct flow_bucket *flow_bucket_of(
	const struct flow_table *t, const struct flow_key *key)
{
	return &t->buckets[flow_hash(t, key) & t->bucket_mask];
}

/* ---- states: made of the flags of both directions, [0] the initiator's ---- */

static inline bool flow_is_half_open(uint8_t proto, uint8_t flags0, uint8_t flags1)
{
	return proto == IP_PROTO_TCP ? !(flags0 & FLOW_ACKED) : !(flags1 & FLOW_SEEN);
}

/* A TCP connection that is over. */
static inline bool flow_is_closed(uint8_t proto, uint8_t flags0, uint8_t flags1)
{
	return proto == IP_PROTO_TCP &&
		(((flags0 | flags1) & FLOW_RST) || (flags0 & flags1 & FLOW_FIN));
}

/* With the table's lock. */
bool flow_is_expired(const struct flow *flow, uint64_t now_ns);
void flow_fill_report(struct flow_report *report, const struct flow *flow);
/* Out of the half-open lists, if it is that very flow and still in them. */
void flow_settle(struct flow_table *t, const struct flow_ref *ref);

/* ---- with the table's lock ---- */

/* Flows that ended while it was held. */
#define FLOW_ENDED_MAX 16u
struct flow_ended {
	struct flow_report reports[FLOW_ENDED_MAX];
	uint32_t n;
};

/* A place that is not in use; there must be one. */
uint32_t flow_take(struct flow_table *t);
/* Its keys and halves are filled in: from here on it is found, and half-open. */
void flow_link(struct flow_table *t, uint32_t index);
void flow_end_locked(struct flow_table *t, uint32_t index, enum flow_end why, uint64_t now_ns,
	struct flow_ended *ended);
/* To the end of that list of its initiator which it is in. */
void flow_to_end(struct flow_table *t, uint32_t index);
/* Its number; 0: it has no flows. */
uint32_t flow_initiator_find(struct flow_table *t, struct flow_party party);
/* Without the lock: tells the log, and empties *ended. */
void flow_report_all(struct flow_ended *ended, const struct flow_log *log);

#endif
