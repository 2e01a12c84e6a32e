/* peer.h - one remote public key: its keys, endpoint, counters, timers and waiting packets.
 *
 * Two kinds of fields. What workers touch is atomic or behind endpoint_lock and stands first, by
 * cache line; the rest belongs to the control side. A peer is found by public key and by slot
 * number; slots are reused, so what names a peer across threads is slot and serial together. Life:
 * peer_new(), peer_insert(); then, in this order, routes removed, sessions dropped, peer_unlink(),
 * and once every worker has passed a batch end peer_free() through the retired list. Memory: 512
 * bytes at rest; keypairs, a handshake in progress and waiting packets come on top.
 */
#ifndef CORE_PEER_H
#define CORE_PEER_H

#include "core/cookie.h"
#include "core/drop.h"
#include "core/keypair.h"
#include "wghub_policy.h"

struct staged_packet;

/* An initiation of ours that waits for its response. */
struct handshake {
	struct noise_state noise;
	uint64_t retry_at_ns;
	uint32_t local_index;
	uint32_t n_sent; /* transmissions of this attempt */
};

/* In peer.reach, over the group: each bit says that the table of groups alone does not decide about
 * packets of and to this peer. */
enum {
	REACH_NAMED = 1u << 8, /* a rule or forward names it */
	REACH_NAT =
		1u << 9, /* sources may have to be the hub's address: its flows are remembered */
	REACH_LEARNS = 1u << 10, /* it may prove that they need not */
	REACH_STOCK4 = 1u << 11, /* now they have to be, for IPv4 */
	REACH_STOCK6 = 1u << 12,
};
#define REACH_GROUP(reach) ((reach) & (WGH_GROUPS_MAX - 1))

struct peer {
	/* read by workers for each burst */
	_Atomic(struct keypair *) current; /* the one to send with; NULL: none */
	uint32_t slot, serial;
	_Atomic uint64_t timer_armed_ns; /* when the control side looks at this peer by itself */
	_Atomic uint64_t handshake_asked_ns; /* a worker asked for a new session then */
	_Atomic uint16_t keepalive_s;
	_Atomic bool timer_asked;
	_Atomic bool has_endpoint;
	_Atomic bool silent; /* it was called and does not answer */
	_Atomic uint32_t reach; /* its group, and REACH_* bits */
	_Atomic uint32_t *drops; /* DROP_N, elsewhere: most peers never drop anything */

	/* written by workers, a few times for each burst */
	_Alignas(64) _Atomic uint64_t rx_bytes;
	_Atomic uint64_t tx_bytes;
	_Atomic uint64_t last_traversal_ns; /* any authenticated packet, either way */
	_Atomic uint64_t last_data_received_ns;
	_Atomic uint64_t unacked_since_ns; /* data came and nothing went out since; 0: none */
	_Atomic uint64_t unanswered_since_ns; /* data went out and nothing came since; 0: none */
	_Atomic uint64_t icmp_allowed_ns; /* next error message may be sent then */
	struct spin endpoint_lock;
	struct wgh_endpoint endpoint;

	/* control side only, from here on; in an order without gaps */
	struct x25519_public public_key;
	struct psk psk;
	uint8_t static_static[32];
	struct keypair *previous, *next;
	struct handshake *handshake;
	uint8_t last_timestamp[WIRE_TIMESTAMP_BYTES];
	uint32_t unanswered_jitter_ns;
	uint64_t last_initiation_ns; /* accepted from them; 0: never */
	uint64_t last_handshake_sent_ns; /* initiation or response of ours; 0: never */
	uint64_t wipe_at_ns; /* TIME_NEVER: nothing to wipe */
	int64_t last_handshake_wall_ns; /* CLOCK_REALTIME; 0: never */
	struct cookie_jar cookie;

	struct staged_packet *staged_first, *staged_last;
	uint16_t n_staged;
	bool has_static_static, static_static_bad;
	bool leaving; /* it will be unlinked by this change */
	uint8_t nat; /* enum wgh_nat */
	_Atomic uint64_t tag; /* the embedder's number; workers show it to its filter */
	uint8_t n_probes; /* of this session */
	uint32_t wide; /* REACH_STOCK4 and 6: what it last proved, as people were told */
	uint64_t probe_at_ns; /* 0: no probe to send or to give up */
	uint64_t last_probe_ns;
	uint32_t heap_pos; /* in the deadline heap; UINT32_MAX: not in it */
	struct peer *by_key_next;
	struct retired retired;
};

/* ---- the table of peers: control side ---- */

struct peer_table {
	struct peer **slots;
	uint32_t n_slots;
	_Atomic uint32_t n_peers; /* anyone may look */
	uint32_t *free_slots;
	uint32_t n_free_slots, next_serial;
	struct peer **by_key;
	uint32_t by_key_mask;
	uint8_t hash_key[16];
	struct mem_budget *budget;
	struct slab memory;
	struct sparse drops;
};

MUST_CHECK int peer_table_init(
	struct peer_table *table, const uint8_t hash_key[16], struct mem_budget *budget);
void peer_table_fini(struct peer_table *table);
struct peer *peer_find(const struct peer_table *table, const struct x25519_public *key);
/* NULL unless that very peer is still there. */
struct peer *peer_at(const struct peer_table *table, uint32_t slot, uint32_t serial);
/* Room for n more peers, so that peer_insert() cannot fail. -ENOMEM. */
MUST_CHECK int peer_reserve(struct peer_table *table, uint32_t n);
/* A peer that nothing finds yet. NULL: no memory. */
MUST_CHECK struct peer *peer_new(struct peer_table *table, const struct x25519_public *key);
/* The key must not be there yet, and room must be reserved. */
void peer_insert(struct peer_table *table, struct peer *peer);
/* Nothing finds it any more. */
void peer_unlink(struct peer_table *table, struct peer *peer);
/* Wipes it. Only after every worker has passed a batch end, or if no worker ever saw it. */
void peer_free(struct peer_table *table, struct peer *peer);

/* ---- shared with workers ---- */

struct wgh_endpoint peer_endpoint(struct peer *peer);
/* True if it differed. An unknown local part of endpoint does not count as a difference and leaves
 * ours alone. */
bool peer_endpoint_learn(struct peer *peer, const struct wgh_endpoint *endpoint);
/* As the operator set it: replaces everything, sticky source included. */
void peer_endpoint_set(struct peer *peer, const struct wgh_endpoint *endpoint);
void peer_endpoint_forget_source(struct peer *peer);

static inline void peer_drop(struct peer *peer, enum drop reason, uint32_t n)
{
	relaxed_add(&peer->drops[reason], n);
}

#endif
