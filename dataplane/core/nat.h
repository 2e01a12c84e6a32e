/* nat.h - writes other addresses and ports into a packet, in place, and mends its checksums
 * incrementally, so that a packet that was broken before stays broken. Works the same for source
 * and destination, one or both.
 *
 * What can be translated: TCP, UDP, ICMP and ICMPv6 echo, and the ICMP errors about those, the
 * packet they quote included. Everything else is refused: DROP_NAT_PROTOCOL. Sizes never change.
 * Source: RFC 1624 (checksums), 768 (UDP's zero), 5508 (ICMP), 6296 and 7915 (ICMPv6).
 * Threads: any; no state. Costs: nat_edit_init() once for each run of packets of one flow;
 * nat_rewrite() a few stores and two or three 16-bit sums for each packet.
 */
#ifndef CORE_NAT_H
#define CORE_NAT_H

#include "core/flow_key.h"

/* What packets with one key become. */
struct nat_edit {
	uint8_t src[16], dst[16];
	uint16_t src_port, dst_port; /* host order; of an echo one is its identifier */
	/* What checksums grow by, in the order of the machine. */
	uint16_t addr_delta, port_delta, both_delta;
	bool changes_src; /* the address */
};

/* From the key the packets have to the key they shall have (its `from` does not matter). Both are
 * of one family and protocol. */
void nat_edit_init(struct nat_edit *edit, const struct flow_key *is, const struct flow_key *shall);

/* For a packet whose kind is FLOW_KIND_PORTS and whose key edit was made for. A first fragment is
 * rewritten whole too. DROP_NAT_PROTOCOL, DROP_NAT_HEADER (too short): nothing was changed. */
enum drop nat_rewrite(uint8_t *packet, const struct ip_info *info, const struct nat_edit *edit);
/* For the later fragments of such a packet: addresses only. */
void nat_rewrite_fragment(uint8_t *packet, const struct nat_edit *edit);
/* For an ICMP error (FLOW_KIND_ERROR): edit is that of the direction it travels in. It goes to
 * edit's destination and tells of the packet as that one's sender knows it. Its source becomes
 * edit's where edit changes the source; else a router on the way keeps its address.
 * DROP_NAT_HEADER: what it quotes cannot be read; nothing was changed. */
enum drop nat_rewrite_error(
	uint8_t *packet, const struct ip_info *info, const struct nat_edit *edit);

#endif
