/* transport.h - builds inner packets of every transport that NAT knows, from addresses and ports,
 * with checksums summed the plainest way; nothing of the code under test is used for that.
 */
#ifndef TESTS_LIB_TRANSPORT_H
#define TESTS_LIB_TRANSPORT_H

#include "core/flow_key.h"
#include "tests/lib/rng.h"

#define TRANSPORT_BYTES_MAX 1600

enum transport_kind {
	TRANSPORT_TCP,
	TRANSPORT_UDP,
	TRANSPORT_ECHO_REQUEST,
	TRANSPORT_ECHO_REPLY,
	TRANSPORT_KINDS
};

/* One direction of a conversation. Of an echo, src_port is a request's identifier, dst_port a
 * reply's. */
struct transport {
	enum transport_kind kind;
	struct wgh_addr src, dst;
	uint16_t src_port, dst_port;
	uint8_t tcp_flags; /* 0: ACK */
	uint8_t ttl; /* 0: 63 */
	uint8_t n_options; /* of IPv4, in words; of IPv6, destination headers of 8 bytes each */
	bool udp_without_checksum;
	uint32_t seq, ack;
	uint64_t payload_seed;
	uint32_t payload_bytes;
};

struct wgh_addr transport_addr(const char *text);
/* Random addresses of the family, ports and payload; never port 0. */
struct transport transport_random(struct rng *rng, uint8_t family, enum transport_kind kind);
/* What answers it. */
struct transport transport_reverse(const struct transport *t);
/* Writes the whole packet; its length. */
uint32_t transport_build(uint8_t *out, const struct transport *t);
/* An ICMP error from src to dst that quotes len_bytes, of at most TRANSPORT_BYTES_MAX - 48. type is
 * the family's own. */
uint32_t transport_error_build(uint8_t *out, const struct wgh_addr *src, const struct wgh_addr *dst,
	uint8_t type, uint8_t code, const uint8_t *quoted, uint32_t len_bytes);
/* Sets every checksum of a whole packet, an ICMP error's quote not included. */
void transport_checksums_set(uint8_t *packet, uint32_t len_bytes);
/* Cuts a packet into fragments of at most n_bytes of payload each, a multiple of 8; the i-th one.
 * Its length, or 0 behind the last one. */
uint32_t transport_fragment(uint8_t *out, const uint8_t *packet, uint32_t len_bytes, uint32_t id,
	uint32_t n_bytes, uint32_t i);

#endif
