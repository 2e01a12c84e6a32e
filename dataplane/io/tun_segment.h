/* tun_segment.h - cuts a large TCP or UDP packet of the kernel into packets that fit the wire.
 * Pure functions on memory; threads: any, no state but what is passed. Nothing in the virtio header
 * or the packet is trusted. Cost: one copy and one checksum of the payload. Source: RFC 9293, RFC
 * 768; Documentation/networking/segmentation-offloads.rst of Linux.
 */
#ifndef IO_TUN_SEGMENT_H
#define IO_TUN_SEGMENT_H

#include "io/vnet.h"
#include "wghub.h"

/* A packet on its way into pieces. Zeroed: none. */
struct segmenter {
	const uint8_t *packet; /* borrowed until segment_pending() is false */
	uint32_t len_bytes;
	uint32_t header_bytes; /* copied to each piece; 0: the packet stays whole */
	uint32_t l4_offset; /* of the transport header */
	uint32_t segment_bytes; /* payload of each piece but the last */
	uint32_t done_bytes; /* payload that is in pieces already */
	uint32_t n_done;
	uint64_t pseudo_sum; /* addresses and protocol */
	uint8_t proto;
	bool pending;
};

/* Where pieces go: packets[n] and the memory behind at. */
struct packet_room {
	uint8_t *at, *end;
	struct wgh_packet *packets;
	size_t n, n_max;
};

/* Takes on a packet that the kernel gave with h. Completes its checksum in place where it stays
 * whole. False: header and packet do not fit together; nothing is pending then. */
bool segment_start(
	struct segmenter *s, uint8_t *packet, uint32_t len_bytes, const struct vnet_hdr *h);
/* Puts out as many pieces as there is room for, laid out as tun_read() says. */
void segment_put(struct segmenter *s, struct packet_room *room);

static inline bool segment_pending(const struct segmenter *s)
{
	return s->pending;
}

#endif
