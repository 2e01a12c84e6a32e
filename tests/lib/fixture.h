/* fixture.h - one hub on virtual time, with seeded randomness and everything it sends kept, and the
 * other end of its peers. For the unit tests of the core; whole networks are tests/lib/sim.h's.
 *
 * Each call that hands something in also runs the control side and frees what was retired, as one
 * thread may. Every datagram lives in a heap block of its exact size, so that a sanitizer sees a
 * byte too many.
 */
#ifndef TESTS_LIB_FIXTURE_H
#define TESTS_LIB_FIXTURE_H

#include "core/handshake.h"
#include "core/hub.h"
#include "core/keys.h"
#include "core/worker.h"
#include "tests/lib/rng.h"

#define SENT_MAX 4096
#define EVENTS_MAX 256
#define FIXTURE_START_NS (100000 * NS_PER_S)
#define FIXTURE_START_WALL_NS (INT64_C(1700000000) * (int64_t)NS_PER_S)

/* One datagram to the network, or one packet to the TUN. */
struct sent {
	struct wgh_endpoint to;
	uint8_t *data;
	uint32_t len_bytes;
	uint8_t tos; /* control side only */
	uint8_t ecn; /* workers only */
	bool by_worker;
};

struct fixture {
	struct hub *hub;
	struct mem_budget budget; /* no limit; the hub leaves it empty when it goes */
	struct worker *worker; /* the first */
	struct x25519_public hub_key;
	struct rng rng;
	uint64_t now_ns, next_ns; /* next: what hub_run() returned */
	int64_t wall_ns;
	struct sent sent[SENT_MAX], tun[SENT_MAX];
	size_t n_sent, n_tun;
	struct wgh_event events[EVENTS_MAX];
	size_t n_events;
};

struct fixture_options {
	uint64_t seed;
	unsigned n_workers; /* 0: one */
	bool has_tun, deliver_unowned;
	bool without_key, without_addresses, down;
};

/* Up, with a key, and with the addresses 10.0.0.254/24 and fd00::fe/64. */
void fixture_init(struct fixture *f, const struct fixture_options *options);
void fixture_fini(struct fixture *f);
/* As the teardown of a test whose setup has put the fixture into *state: the sum is checked first.
 */
int fixture_teardown(void **state);
/* Drops what was kept: sent, tun, events. */
void fixture_forget(struct fixture *f);
/* Both clocks go on; deadlines that come on the way are served at their time. */
void fixture_advance(struct fixture *f, uint64_t by_ns);
/* The control side, now. */
void fixture_run(struct fixture *f);
/* Datagrams of one burst. */
void fixture_burst(struct fixture *f, const struct wgh_endpoint *from,
	const struct wgh_packet *packets, uint32_t n);
void fixture_udp(
	struct fixture *f, const struct wgh_endpoint *from, const void *data, uint32_t len_bytes);
void fixture_tun(struct fixture *f, const void *data, uint32_t len_bytes);
/* As above, but the control side does not run: hub_run() comes later or never. */
void fixture_udp_only(
	struct fixture *f, const struct wgh_endpoint *from, const void *data, uint32_t len_bytes);
/* A change set; what it retired is freed. */
MUST_CHECK int fixture_apply(
	struct fixture *f, const struct wgh_change *change, struct wgh_error *error);
/* A change of one peer, which must be taken. */
void fixture_change_peer(struct fixture *f, const struct wgh_peer_change *peer);
/* Control side and workers together. */
uint64_t fixture_drops(const struct fixture *f, enum drop reason);
uint64_t fixture_all_drops(const struct fixture *f);
size_t fixture_count_events(const struct fixture *f, enum wgh_event_kind kind);
/* Fails the test if they do not add up: every packet in went somewhere that is counted. */
void fixture_check_sum(const struct fixture *f);

/* ---- the other end of a peer ---- */

struct remote {
	unsigned n; /* 1..253: it is 10.0.0.n, fd00::n, 192.0.2.n port 5000 + n */
	struct noise_identity identity;
	struct psk psk;
	struct cookie_jar jar;
	struct wgh_endpoint endpoint;
	uint64_t timestamp; /* of its last initiation */
	struct noise_state begun;
	uint32_t begun_index;
	struct noise_keys keys;
	uint32_t local_index, remote_index;
	uint64_t counter;
};

void remote_init(struct fixture *f, struct remote *r, unsigned n);
/* Makes it a peer of the hub with its two addresses, by a change set of its own. */
void remote_add(struct fixture *f, struct remote *r);
/* The same with an endpoint, so that the hub may start. */
void remote_add_with_endpoint(struct fixture *f, struct remote *r);
/* What most tests begin with: a is 1, b is 2, and both are peers; of a the hub knows the endpoint.
 */
void remote_pair_add(struct fixture *f, struct remote *a, struct remote *b);
/* The same, but both have called, and have sessions. */
void remote_pair_connect(struct fixture *f, struct remote *a, struct remote *b);
/* NULL: the hub does not know it. */
struct peer *remote_peer(const struct fixture *f, const struct remote *r);
struct wgh_public_key remote_key(const struct remote *r);

/* A whole initiation with macs, with a timestamp above all before. */
void remote_initiation(struct fixture *f, struct remote *r, struct wire_initiation *msg);
/* Signs again after a test changed something. */
void remote_sign(struct fixture *f, struct remote *r, void *msg, size_t len_bytes);
/* Takes the keys out of the hub's response. */
MUST_CHECK bool remote_take_response(struct remote *r, const struct sent *sent);
/* Answers the hub's initiation. False: it is not right. */
MUST_CHECK bool remote_answer(struct fixture *f, struct remote *r, const struct sent *initiation,
	struct wire_response *msg);
/* The session up to the confirmed key, begun by the remote; what was sent is forgotten. */
void remote_connect(struct fixture *f, struct remote *r);
/* The same, begun by the hub: it must have the endpoint. */
void remote_connect_from_hub(struct fixture *f, struct remote *r);
/* A transport message, padded to 16; out has room for len_bytes + 47. Returns its length. */
uint32_t remote_seal(struct remote *r, uint8_t *out, const void *inner, uint32_t len_bytes);
/* The same as it is, as a peer does that does not pad. */
uint32_t remote_seal_unpadded(
	struct remote *r, uint8_t *out, const void *inner, uint32_t len_bytes);
/* Seals and hands in. */
void remote_send(struct fixture *f, struct remote *r, const void *inner, uint32_t len_bytes);
/* Opens what the hub sent; the plaintext with its padding. -1: not for this remote, or not right.
 */
int remote_open(const struct remote *r, const struct sent *sent, uint8_t *out);
/* The i-th datagram sent to the remote, NULL if there are fewer. */
const struct sent *remote_sent(const struct fixture *f, const struct remote *r, size_t i);

/* ---- inner packets ---- */

struct inner {
	uint8_t data[2048];
	uint32_t len_bytes;
};

/* UDP port 7 to port 9 with this many bytes, between 10.0.0.src and 10.0.0.dst. */
struct inner inner4(unsigned src, unsigned dst, uint32_t payload_bytes);
/* The same between fd00::src and fd00::dst. */
struct inner inner6(unsigned src, unsigned dst, uint32_t payload_bytes);
/* An echo request. */
struct inner inner_echo4(unsigned src, unsigned dst);
/* After a test changed the IPv4 header. */
void inner_mend(struct inner *p);

struct wgh_prefix prefix4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t bits);
struct wgh_prefix prefix6(uint8_t last, uint8_t bits); /* fd00::last */
struct wgh_endpoint endpoint4(uint8_t last, uint16_t port); /* 192.0.2.last */

#endif
