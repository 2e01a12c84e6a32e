/* vnet.h - the header that a TUN device with IFF_VNET_HDR puts before each packet, in host byte
 * order. Source: include/uapi/linux/virtio_net.h of Linux (struct virtio_net_hdr, legacy byte
 * order).
 */
#ifndef IO_VNET_H
#define IO_VNET_H

#include <stdint.h>

struct vnet_hdr {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len; /* a hint: bytes of IP and transport header */
	uint16_t gso_size; /* payload bytes of each segment but the last */
	uint16_t csum_start, csum_offset;
};
_Static_assert(sizeof(struct vnet_hdr) == 10, "virtio layout");

enum {
	VNET_F_NEEDS_CSUM =
		1, /* the checksum at csum_start + csum_offset is of the pseudo header only */
	VNET_GSO_NONE = 0,
	VNET_GSO_TCPV4 = 1,
	VNET_GSO_TCPV6 = 4,
	VNET_GSO_UDP_L4 = 5,
	VNET_GSO_ECN = 0x80, /* added to a TCP type: CWR is set in the first segment */
};

/* Where transport headers keep what we change. Source: RFC 9293, RFC 768. */
enum {
	TCP_SEQ = 4,
	TCP_ACK = 8,
	TCP_DATA_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CHECKSUM = 16,
	TCP_URGENT = 18,
	TCP_HEADER_BYTES = 20,
	UDP_LENGTH = 4,
	UDP_CHECKSUM = 6,
	UDP_HEADER_BYTES = 8,

	TCP_F_FIN = 0x01,
	TCP_F_PSH = 0x08,
	TCP_F_ACK = 0x10,
	TCP_F_ECE = 0x40,
	TCP_F_CWR = 0x80,
};

#endif
