/* sim.h - hubs on an in-memory network with virtual time: everything the core may meet, as often as
 * one likes, from one seed.
 *
 * A sim owns the time, the random source, the wire and its hubs. Each hub is the real core with one
 * or more workers, all in the calling thread. Datagrams wait in an event queue and arrive in
 * buffers of exactly their length, so that AddressSanitizer sees a byte too far. After each worker
 * call the control side runs at once, or up to run_delay_max_ns later; what was retired is freed at
 * the end of each call.
 *
 * Shapes: hub number n is outside 192.0.2.n:51820 and inside 10.0.0.n/24 and fd00::n/64.
 * Errors: what cannot happen in a right test ends the program with file and line.
 */
#ifndef TESTS_LIB_SIM_H
#define TESTS_LIB_SIM_H

#include "core/hub.h"
#include "core/worker.h"
#include "tests/lib/rng.h"

#include <stdio.h>
#include <stdlib.h>

#define SIM_HUBS_MAX 20
#define SIM_PACKET_BYTES_MAX 2048
#define SIM_WALL_START_NS (INT64_C(1700000000) * 1000000000)

#define SIM_MUST(condition)                                                                        \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* What a hub's line does to every datagram in either direction. */
struct sim_wire {
	uint32_t loss_pm, duplicate_pm, corrupt_pm; /* of a thousand datagrams */
	uint64_t delay_ns, jitter_ns; /* jitter puts them out of order */
};

/* Message types as in wire.h, and one more for empty data messages. */
enum { SIM_KEEPALIVE = 5, SIM_TYPES = 6 };

struct sim_datagram {
	uint64_t sent_ns;
	struct sim_hub *from; /* NULL: injected by the test */
	struct wgh_endpoint source, dest;
	uint32_t len_bytes;
	uint32_t type; /* a wire type, SIM_KEEPALIVE, or 0 for anything else */
	uint8_t ecn, tos;
	uint8_t *bytes;
};

struct sim_packet {
	uint64_t at_ns;
	uint32_t len_bytes;
	uint8_t *bytes;
};

#define SIM_EVENT_KINDS 32 /* of enum wgh_event_kind, and some to come */

struct sim_hub {
	struct sim *sim;
	struct hub *hub;
	unsigned number;
	struct x25519_secret secret;
	struct x25519_public key;
	struct wgh_endpoint outer; /* where the network finds it; a NAT may change it */
	struct wgh_addr inner4, inner6;
	struct sim_wire wire;
	uint64_t run_delay_max_ns; /* 0: the control side runs after each worker call */
	uint64_t next_run_ns;
	int64_t wall_offset_ns;
	uint64_t n_events[SIM_EVENT_KINDS];
	struct wgh_event last_event;
	uint64_t n_sent[SIM_TYPES]; /* datagrams by type */
	uint64_t n_in_place; /* transport messages that left in the buffer they came in */
	/* Gets each packet for the TUN; NULL: they are kept for sim_take(). */
	void (*on_tun)(struct sim_hub *h, const uint8_t *packet, uint32_t len_bytes);
	void *arg; /* for on_tun */
	bool pings_back; /* its host answers echo requests; they are not kept */
	struct sim_packet *inbox;
	size_t n_inbox, inbox_first, inbox_room;
};

struct sim {
	uint64_t now_ns;
	struct rng rng;
	struct sim_hub *hubs[SIM_HUBS_MAX];
	unsigned n_hubs;
	struct sim_event *events; /* a heap by time and number */
	size_t n_events, events_room;
	uint64_t next_event_no;
	/* False: the datagram is lost. NULL: all pass. May change the bytes. */
	bool (*filter)(struct sim *sim, struct sim_datagram *datagram, void *arg);
	void *filter_arg;
	/* Replaces the random source of the hubs where a test wants odd numbers. */
	void (*random)(struct sim *sim, void *out, size_t len_bytes);
	bool record; /* keep every datagram sent in log */
	struct sim_datagram *log;
	size_t n_log, log_room;
};

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *sim);

/* A hub with a key of its own and its addresses, up, without peers. */
struct sim_hub *sim_hub_new(struct sim *sim, bool has_tun, unsigned n_workers);
/* The same hub after a restart: it has its key and its addresses, and knows nobody. */
void sim_restart(struct sim_hub *h);

/* ---- time ---- */

/* Everything that happens until then, including at that very time. */
void sim_run_until(struct sim *sim, uint64_t until_ns);
void sim_run(struct sim *sim, uint64_t duration_ns);
/* Calls back at that time. */
void sim_at(struct sim *sim, uint64_t at_ns, void (*call)(struct sim *sim, void *arg), void *arg);

/* ---- configuration ---- */

/* hub_apply(), then the control side runs. */
int sim_apply(struct sim_hub *h, const struct wgh_change *change);
struct wgh_public_key sim_public(const struct sim_hub *h);
/* A change about one peer: fill in what is needed. */
void sim_change_peer(struct sim_hub *h, struct sim_hub *peer, struct wgh_peer_change change);
void sim_add_peer(struct sim_hub *h, struct sim_hub *peer, bool endpoint);
void sim_remove_peer(struct sim_hub *h, struct sim_hub *peer);
void sim_set_keepalive(struct sim_hub *h, struct sim_hub *peer, uint16_t keepalive_s);
void sim_set_psk(struct sim_hub *h, struct sim_hub *peer, const uint8_t psk[32]);
void sim_add_prefix(struct sim_hub *h, struct sim_hub *peer, struct wgh_prefix prefix);
/* A new private key; NULL takes it away. */
void sim_set_secret(struct sim_hub *h, const struct x25519_secret *secret);
void sim_set_up(struct sim_hub *h, bool up);
/* Each is the other's peer, for its inner addresses, with endpoint. */
void sim_connect(struct sim_hub *a, struct sim_hub *b);
/* The NAT in front of h gives it another port. */
void sim_rebind(struct sim_hub *h);
/* NULL: h does not know that peer. */
struct peer *sim_peer(struct sim_hub *h, const struct sim_hub *peer);

struct wgh_addr sim_addr4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
struct wgh_prefix sim_prefix(struct wgh_addr addr, uint8_t bits);
struct wgh_endpoint sim_endpoint4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port);

/* ---- packets ---- */

/* From the host of h, through its TUN. */
void sim_tun_send(struct sim_hub *h, const uint8_t *packet, uint32_t len_bytes);
/* A whole batch of them in one call. */
void sim_tun_send_many(struct sim_hub *h, const struct sim_packet *packets, size_t n);
/* The oldest packet that came out of the TUN; 0: none. */
uint32_t sim_take(struct sim_hub *h, uint8_t packet[SIM_PACKET_BYTES_MAX]);
size_t sim_n_taken_left(const struct sim_hub *h);
void sim_forget_inbox(struct sim_hub *h);

/* A datagram out of nowhere arrives at h now. */
void sim_inject(struct sim_hub *h, const struct wgh_endpoint *source, const void *bytes,
	uint32_t len_bytes);
/* The same datagram again, as it was sent. */
void sim_replay(struct sim_hub *h, const struct sim_datagram *datagram);
/* The control side runs now. */
void sim_hub_run(struct sim_hub *h);

/* ---- the log, with sim->record ---- */

/* from NULL: of all hubs. */
unsigned sim_count(const struct sim *sim, const struct sim_hub *from, uint32_t type);
/* The n-th of that type, from 0; it must be there. Valid until the next call that sends. */
struct sim_datagram *sim_nth(
	struct sim *sim, const struct sim_hub *from, uint32_t type, unsigned n);
struct sim_datagram *sim_last(struct sim *sim, const struct sim_hub *from, uint32_t type);
void sim_forget(struct sim *sim);

/* ---- truths that hold after each step ---- */

/* Memory, indices, timers and counters of a hub fit together. Ends the program if not. */
void sim_check(struct sim_hub *h);
uint64_t sim_drops(struct sim_hub *h, enum drop reason);

#endif
