/* bench.h - what the measurements of wghub_bench.h share: peers that exist only here.
 * Threads: the caller of the public functions. */
#ifndef IO_BENCH_H
#define IO_BENCH_H

#include "core/hub.h"

/* Peer 0 is 10.0.0.2, and so on to 2^22. */
struct wgh_addr bench_address(uint32_t peer);
/* A session with the peer in this slot, as if a handshake had just been confirmed: the peer's side
 * of it, and the hub's index. The hub's control side must be the caller's. -ENOMEM. */
MUST_CHECK int bench_session_add(struct hub *hub, uint32_t slot, uint64_t now_ns, int64_t wall_ns,
	struct noise_keys *theirs, uint32_t *index);
/* A whole IPv4 packet of UDP's protocol number between two peers, zeros inside. */
void bench_packet_write(
	uint8_t *ip, uint32_t len_bytes, const struct wgh_addr *src, const struct wgh_addr *dst);
/* What packet_bytes of plaintext become with padding. */
uint32_t bench_padded(uint32_t packet_bytes);

#endif
