/* inner.h - builds inner TCP and UDP packets for tests, and checks them in the plainest way. */
#ifndef TESTS_INNER_H
#define TESTS_INNER_H

#include <stdbool.h>
#include <stdint.h>

struct inner_spec {
	uint8_t version; /* 4 or 6 */
	uint8_t proto; /* 6 or 17 */
	uint8_t tos, ttl, flags;
	bool df;
	uint16_t id, src_port, dst_port, window;
	uint32_t seq, ack;
	uint8_t options[40]; /* TCP */
	uint8_t n_options; /* a multiple of 4 */
	uint32_t payload_bytes;
	uint32_t payload_from; /* the payload is a piece of one endless pattern, from here on */
};

/* A plain segment of a flow. */
struct inner_spec inner_spec_default(uint8_t version, uint8_t proto);
/* Writes the packet with right checksums; its length. */
uint32_t inner_build(uint8_t *out, const struct inner_spec *spec);
/* Bytes of IP header; of IP and transport header. */
uint32_t inner_l4_offset(const uint8_t *packet);
uint32_t inner_header_bytes(const uint8_t *packet);
/* Sets all checksums right again after a change. */
void inner_checksums_set(uint8_t *packet, uint32_t len_bytes);
/* All checksums right, lengths as given. */
bool inner_is_right(const uint8_t *packet, uint32_t len_bytes);
/* The transport checksum as the kernel has it while it is not finished: the pseudo header's sum. */
uint16_t inner_pseudo_sum(const uint8_t *packet, uint32_t len_bytes);

#endif
