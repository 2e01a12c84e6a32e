/* icmp.h - what the hub itself says inside the tunnel: echo replies and a router's error messages.
 * Source: RFC 792, 4443, 1812 section 4.3, 1191, 8201.
 * Threads: any; no state but the caller's buffers.
 */
#ifndef CORE_ICMP_H
#define CORE_ICMP_H

#include "core/ip.h"

/* An error the hub makes is at most this long (RFC 4443 2.4 c), room around it not counted. */
#define ICMP_ERROR_BYTES_MAX 1280

enum icmp_error {
	ICMP_TIME_EXCEEDED, /* 11/0, ICMPv6 3/0 */
	ICMP_NO_ROUTE, /* 3/1 host unreachable, ICMPv6 1/3 address unreachable */
	ICMP_ADMIN_PROHIBITED, /* 3/13, ICMPv6 1/1 */
	ICMP_PORT_UNREACHABLE, /* 3/3, ICMPv6 1/4 */
	ICMP_PROTOCOL_UNREACHABLE, /* 3/2, ICMPv6 4/1 (pointer at the next header field) */
	ICMP_TOO_BIG, /* 3/4 with the MTU, ICMPv6 2/0 */
};

/* By its type and code; nothing else of it is checked. */
bool icmp_is_echo_request(const uint8_t *packet, const struct ip_info *info);

/* An echo request of the hub itself: eight bytes of payload. Returns the length; out has room for
 * ICMP_ECHO_BYTES_MAX. */
#define ICMP_ECHO_BYTES_MAX 56
uint32_t icmp_echo_write(uint8_t *out, const struct wgh_addr *from, const struct wgh_addr *to,
	uint16_t id, uint16_t sequence);
/* Is it a reply to such a one? */
bool icmp_is_echo_reply(const uint8_t *packet, const struct ip_info *info, uint16_t id);

/* Turns an echo request into its reply in place: addresses and type, TTL 64, checksums mended.
 * False: it is no whole echo request with right checksums, or one that carries a source route or
 * IPv6 extension headers; the packet is untouched. */
bool icmp_echo_reply(uint8_t *packet, const struct ip_info *info);

/* True if a router may answer this packet with an error: no ICMP error itself nor possibly one, no
 * fragment but the first, source and destination are unicast addresses (RFC 1812 4.3.2.7, RFC
 * 4443 2.4 e). */
bool icmp_may_answer(const uint8_t *packet, const struct ip_info *info);

/* Writes an error about packet, from hub to its source, quoting as much as fits into 576 bytes
 * (IPv4) or 1280 (IPv6). out has room for ICMP_ERROR_BYTES_MAX and does not overlap packet. hub is
 * of the packet's family; mtu_bytes counts for ICMP_TOO_BIG only. Ask icmp_may_answer() first.
 * Returns the length. */
uint32_t icmp_error_write(uint8_t *out, enum icmp_error error, uint32_t mtu_bytes,
	const struct wgh_addr *hub, const uint8_t *packet, const struct ip_info *info);

#endif
