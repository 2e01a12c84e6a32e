/* tcp.c - see tcp.h. A reset needs no state: the segment it answers says all. Costs: one checksum
 * over the segment for a reset, a walk over at most 40 bytes of options for a clamp. Fails by
 * false.
 */
#include "core/tcp.h"

#include "core/be.h"
#include "core/flow_key.h"

#include <string.h>

#define IPV4_HEADER_BYTES 20u
#define IPV6_HEADER_BYTES 40u
#define TCP_HEADER_BYTES 20u
#define HUB_TTL 64
#define IPV4_DF 0x40

/* Of the TCP header with options; 0: it does not fit into the packet. */
static uint32_t header_bytes(const uint8_t *packet, const struct ip_info *info)
{
	uint32_t bytes;

	if (info->proto != IP_PROTO_TCP || !info->l4_offset || !info->first_fragment ||
		info->len_bytes - info->l4_offset < TCP_HEADER_BYTES)
		return 0;
	bytes = (packet[info->l4_offset + 12] >> 4) * 4u;
	return bytes < TCP_HEADER_BYTES || bytes > info->len_bytes - info->l4_offset ? 0 : bytes;
}

bool tcp_may_reset(const uint8_t *packet, const struct ip_info *info)
{
	const uint32_t segment_bytes = info->len_bytes - info->l4_offset;
	const uint8_t *segment = packet + info->l4_offset;

	return !info->fragment && header_bytes(packet, info) && !(segment[13] & TCP_RST) &&
		ip_addr_is_unicast(&info->src) && ip_addr_is_unicast(&info->dst) &&
		ip_checksum_finish(ip_checksum_add(
			ip_checksum_pseudo(&info->src, &info->dst, IP_PROTO_TCP, segment_bytes),
			segment, segment_bytes)) == 0;
}

/* Everything but TCP; returns its length. */
static uint32_t ip_header_write(uint8_t *out, const struct ip_info *info)
{
	if (info->src.family == WGH_IPV4) {
		uint16_t checksum;

		memset(out, 0, IPV4_HEADER_BYTES);
		out[0] = 0x45;
		be16_put(out + 2, IPV4_HEADER_BYTES + TCP_HEADER_BYTES);
		out[6] = IPV4_DF; /* and so it needs no identification: RFC 6864 */
		out[8] = HUB_TTL;
		out[9] = IP_PROTO_TCP;
		memcpy(out + 12, info->dst.bytes, 4);
		memcpy(out + 16, info->src.bytes, 4);
		checksum = ip_checksum_finish(ip_checksum_add(0, out, IPV4_HEADER_BYTES));
		memcpy(out + 10, &checksum, 2);
		return IPV4_HEADER_BYTES;
	}
	memset(out, 0, IPV6_HEADER_BYTES);
	out[0] = 0x60;
	be16_put(out + 4, TCP_HEADER_BYTES);
	out[6] = IP_PROTO_TCP;
	out[7] = HUB_TTL;
	memcpy(out + 8, info->dst.bytes, 16);
	memcpy(out + 24, info->src.bytes, 16);
	return IPV6_HEADER_BYTES;
}

uint32_t tcp_reset_write(uint8_t *out, const uint8_t *packet, const struct ip_info *info)
{
	const uint8_t *segment = packet + info->l4_offset;
	const uint8_t flags = segment[13];
	const uint32_t data_bytes = info->len_bytes - info->l4_offset - header_bytes(packet, info);
	const uint32_t offset = ip_header_write(out, info);
	uint8_t *reset = out + offset;
	uint16_t checksum;

	memset(reset, 0, TCP_HEADER_BYTES);
	memcpy(reset, segment + 2, 2);
	memcpy(reset + 2, segment, 2);
	reset[12] = TCP_HEADER_BYTES / 4 << 4;
	if (flags & TCP_ACK) {
		memcpy(reset + 4, segment + 8, 4);
		reset[13] = TCP_RST;
	} else {
		be32_put(reset + 8,
			be32_get(segment + 4) + data_bytes + !!(flags & TCP_SYN) +
				!!(flags & TCP_FIN));
		reset[13] = TCP_RST | TCP_ACK;
	}
	checksum = ip_checksum_finish(ip_checksum_add(
		ip_checksum_pseudo(&info->dst, &info->src, IP_PROTO_TCP, TCP_HEADER_BYTES), reset,
		TCP_HEADER_BYTES));
	memcpy(reset + 16, &checksum, 2);
	return offset + TCP_HEADER_BYTES;
}

/* The option's two bytes of value; NULL: none, or options that run over their end. */
static uint8_t *mss_find(uint8_t *option, const uint8_t *end)
{
	enum { END = 0, NOP = 1, MSS = 2, MSS_BYTES = 4 };

	while (option < end && *option != END) {
		if (*option == NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return NULL;
		if (*option == MSS)
			return option[1] == MSS_BYTES ? option + 2 : NULL;
		option += option[1];
	}
	return NULL;
}

bool tcp_clamp_mss(uint8_t *packet, const struct ip_info *info, uint32_t mtu_bytes)
{
	const uint32_t headers_bytes = TCP_HEADER_BYTES +
		(info->src.family == WGH_IPV4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
	const uint32_t tcp_bytes = header_bytes(packet, info);
	uint8_t *segment = packet + info->l4_offset, *mss;
	uint32_t is, shall, sum;

	if (!tcp_bytes || !(segment[13] & TCP_SYN) || mtu_bytes <= headers_bytes)
		return false;
	mss = mss_find(segment + TCP_HEADER_BYTES, segment + tcp_bytes);
	shall = mtu_bytes - headers_bytes;
	if (!mss || be16_get(mss) <= shall)
		return false;
	/* At an odd place its bytes weigh the other way round in the checksum. */
	is = be16_get(mss);
	be16_put(mss, shall);
	if ((mss - segment) & 1) {
		is = (is >> 8 | is << 8) & 0xffff;
		shall = (shall >> 8 | shall << 8) & 0xffff;
	}
	sum = (~be16_get(segment + 16) & 0xffff) + (~is & 0xffff) + shall;
	sum = (sum & 0xffff) + (sum >> 16);
	be16_put(segment + 16, ~((sum & 0xffff) + (sum >> 16)));
	return true;
}
