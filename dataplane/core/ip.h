/* ip.h - inner IP packets: checks, addresses, TTL, checksums, ECN.
 * Shapes: packets as on the wire; every function bounds its reads by len_bytes.
 * Source: RFC 791, 8200, 1071, 1624, 1812, 6040, 6890.
 * Threads: any; no state. Cost: ip_parse() reads one cache line of the packet.
 */
#ifndef CORE_IP_H
#define CORE_IP_H

#include "core/drop.h"
#include "wghub.h"

#include <stdbool.h>
#include <stdint.h>

enum { IP_PROTO_ICMP = 1, IP_PROTO_TCP = 6, IP_PROTO_UDP = 17, IP_PROTO_ICMPV6 = 58 };

/* What one look at an inner packet tells. Offsets count from the start of the packet. */
struct ip_info {
	struct wgh_addr src, dst;
	uint32_t len_bytes; /* from the header's length field: what follows is padding */
	uint16_t l4_offset; /* IPv6: after the extension headers; 0 if they are more than 8 */
	uint16_t proto_offset; /* of the byte that names proto: what ICMPv6 errors point at */
	uint8_t proto; /* of the transport header at l4_offset */
	uint8_t ttl;
	uint8_t ecn;
	bool fragment; /* part of a fragmented packet */
	bool first_fragment; /* true for whole packets too: the transport header starts in here */
	bool source_route; /* LSRR, SSRR or a type 0 routing header */
	bool dont_fragment; /* DF; always true for IPv6 */
};

/* Lengths and version as WireGuard checks them (len_bytes at most the bytes there are), and what a
 * router must check besides: header lengths, options and extension headers that stay inside, and
 * fragments that could show a filter another transport header than the receiver (RFC 1858, 3128).
 * DROP_NONE, DROP_INNER_SHORT, DROP_INNER_VERSION or DROP_INNER_HEADER. IPv4's header checksum is
 * not verified here. Fills all of *info; zeroes it where the packet is dropped. */
enum drop ip_parse(struct ip_info *info, const uint8_t *packet, uint32_t len_bytes);

/* True if the IPv4 header's checksum is right; IPv6 has none and is always right. */
bool ip_header_checksum_ok(const uint8_t *packet);

/* Addresses a router never forwards, as source or destination: DROP_NONE, DROP_MARTIAN,
 * DROP_BROADCAST (255.255.255.255 as destination), DROP_MULTICAST (as destination), DROP_LAND. */
enum drop ip_forwardable(const struct ip_info *info);
/* True if the address can be one host's, on this link or beyond: something that may be answered. */
bool ip_addr_is_unicast(const struct wgh_addr *addr);

/* Lowers TTL / hop limit by one and mends the IPv4 checksum incrementally. ttl must be above 0. */
void ip_decrement_ttl(uint8_t *packet);

/* Gives an IPv4 packet another identification and mends the checksum. */
void ip_identify(uint8_t *packet, uint16_t id);

/* RFC 6040 decapsulation: outer CE on an ECN-capable inner packet becomes CE there; on a not-ECT
 * one it is passed on unchanged, as Linux does. */
void ip_ecn_decapsulate(uint8_t *packet, uint8_t outer_ecn);

/* One's complement sum of len_bytes, at most 34 bits wide; sums may be added as long as every part
 * but the last has an even length. ip_checksum_finish folds and inverts and gives the value as two
 * bytes in network order (store with memcpy). */
uint64_t ip_checksum_add(uint64_t sum, const void *data, uint32_t len_bytes);
uint16_t ip_checksum_finish(uint64_t sum);
/* Pseudo header of TCP, UDP, ICMPv6 for these addresses. */
uint64_t ip_checksum_pseudo(
	const struct wgh_addr *src, const struct wgh_addr *dst, uint8_t proto, uint32_t l4_bytes);

bool wgh_addr_equal(const struct wgh_addr *a, const struct wgh_addr *b);
/* Zeroes the bits after the prefix. bits may be at most 32 / 128. */
void ip_prefix_mask(struct wgh_prefix *prefix);
/* -EINVAL: unknown family or too many bits. */
int ip_prefix_check(const struct wgh_prefix *prefix);

#endif
