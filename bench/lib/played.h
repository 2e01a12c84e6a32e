/* played.h - a WireGuard peer that the load generator plays: its keys, its socket, its session.
 *
 * It speaks the protocol with the project's own core/noise.h and core/cookie.h, as initiator only:
 * a hub's initiations are ignored, since sessions are renewed before a hub wants to. One socket per
 * peer, because that is what a hub sees of real ones.
 * Threads: the caller's. Fails: a hub that does not answer is an error text and false.
 */
#ifndef BENCH_PLAYED_H
#define BENCH_PLAYED_H

#include <netinet/in.h>

#include "core/cookie.h"
#include "core/noise.h"

struct played {
	struct noise_identity identity;
	struct cookie_jar jar;
	int fd;
	uint32_t inner_address; /* host order; its only allowed IP */
	uint32_t local_index, hub_index;
	struct noise_keys keys;
	uint64_t n_sent; /* the next counter towards the hub */
	uint64_t n_received; /* the lowest counter the hub may use next */
	uint64_t session_born_ns;
};

uint64_t clock_now_ns(void); /* CLOCK_MONOTONIC */
/* TAI64N; each handshake's must be later than the one before, so the grain is fine. */
void played_timestamp(uint8_t out[WIRE_TIMESTAMP_BYTES]);

/* As many as the system does: each peer has a socket. */
void descriptors_allow(void);

/* Opens a socket that is connected to the hub, GRO on, buffers large. False: why is on stderr. */
MUST_CHECK bool played_init(
	struct played *p, const struct sockaddr_in *hub, uint32_t inner_address);
void played_fini(struct played *p);
/* A whole handshake, tried for some seconds, and a keepalive, without which a hub may not send. */
MUST_CHECK bool played_handshake(struct played *p, const struct x25519_public *hub);
/* Shows the hub life, so that it starts no handshake of its own. */
MUST_CHECK bool played_keepalive(struct played *p);

#endif
