/* tcp.h - the little that the hub itself does with TCP: resets for segments of connections nobody
 * knows, and the largest segment that fits through the tunnel.
 * Source: RFC 9293 section 3.10.7.1 (reset), 3.7.1 (MSS); 6691.
 * Threads: any; no state.
 */
#ifndef CORE_TCP_H
#define CORE_TCP_H

#include "core/ip.h"

#define TCP_RESET_BYTES_MAX 60 /* an IPv6 and a TCP header */

/* True if this TCP segment may be answered with a reset: whole, its checksum right, no reset
 * itself, and between unicast addresses. */
bool tcp_may_reset(const uint8_t *packet, const struct ip_info *info);
/* Writes the reset that ends the segment's connection, from its destination to its source, into
 * room for TCP_RESET_BYTES_MAX. Ask tcp_may_reset() first. Returns the length. */
uint32_t tcp_reset_write(uint8_t *out, const uint8_t *packet, const struct ip_info *info);

/* In a SYN, lowers an MSS option to what fits into mtu_bytes; everything else is left alone. True
 * if it changed something. */
bool tcp_clamp_mss(uint8_t *packet, const struct ip_info *info, uint32_t mtu_bytes);

#endif
