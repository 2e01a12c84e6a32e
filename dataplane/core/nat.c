/* nat.c - see nat.h. All checksums change by deltas: what the one's complement sum of the words
 * that change grows by, folded to 16 bits, in the order of the machine. Packets are changed last,
 * after all that can refuse them. Costs: no loop but over an ICMP error's few fields.
 */
#include "core/nat.h"

#include "core/be.h"

#include <endian.h>
#include <string.h>

#define TCP_HEADER_BYTES 20u
#define TCP_CHECKSUM 16u
#define UDP_HEADER_BYTES 8u
#define UDP_CHECKSUM 6u
#define ICMP_HEADER_BYTES 8u
#define ICMP_CHECKSUM 2u
#define ICMP_ID 4u
#define IPV4_CHECKSUM 10u

/* ---- deltas ---- */

static uint32_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* What the sum grows by where len_bytes, an even number, become others. */
static uint32_t delta_of(const void *is, const void *shall, uint32_t len_bytes)
{
	const uint16_t minus = ip_checksum_finish(ip_checksum_add(0, is, len_bytes));
	const uint16_t plus = (uint16_t)~ip_checksum_finish(ip_checksum_add(0, shall, len_bytes));

	return fold((uint32_t)minus + plus);
}

/* Host order on both sides. */
static uint32_t port_delta_of(uint16_t is, uint16_t shall)
{
	return fold((uint32_t)(uint16_t)~htobe16(is) + htobe16(shall));
}

/* The same as delta_of() of both addresses: words of four bytes sum up to as much as their halves.
 */
static uint16_t addresses_delta(
	const struct flow_key *is, const struct flow_key *shall, uint32_t addr_bytes)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < addr_bytes; i += 4) {
		uint32_t minus[2], plus[2];

		memcpy(&minus[0], is->src + i, 4);
		memcpy(&minus[1], is->dst + i, 4);
		memcpy(&plus[0], shall->src + i, 4);
		memcpy(&plus[1], shall->dst + i, 4);
		sum += (uint64_t)(uint32_t)~minus[0] + (uint32_t)~minus[1] + plus[0] + plus[1];
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (uint16_t)fold(
		(uint32_t)(sum & 0xffff) + (uint32_t)(sum >> 16 & 0xffff) + (uint32_t)(sum >> 32));
}

/* RFC 1624, equation 3. */
static void checksum_grow(uint8_t *checksum, uint32_t delta)
{
	uint16_t value;

	memcpy(&value, checksum, 2);
	value = (uint16_t)~fold((~value & 0xffffu) + delta);
	memcpy(checksum, &value, 2);
}

/* UDP: 0 says that there is none, and so a sum of 0 is written as its other form. RFC 768. */
static void udp_checksum_grow(uint8_t *checksum, uint32_t delta)
{
	if (!(checksum[0] | checksum[1]))
		return;
	checksum_grow(checksum, delta);
	if (!(checksum[0] | checksum[1]))
		checksum[0] = checksum[1] = 0xff;
}

void nat_edit_init(struct nat_edit *edit, const struct flow_key *is, const struct flow_key *shall)
{
	const uint32_t addr_bytes = is->family == WGH_IPV4 ? 4 : 16;

	memcpy(edit->src, shall->src, sizeof edit->src);
	memcpy(edit->dst, shall->dst, sizeof edit->dst);
	edit->src_port = shall->src_port;
	edit->dst_port = shall->dst_port;
	edit->addr_delta = addresses_delta(is, shall, addr_bytes);
	edit->port_delta = (uint16_t)fold(port_delta_of(is->src_port, shall->src_port) +
		port_delta_of(is->dst_port, shall->dst_port));
	edit->both_delta = (uint16_t)fold((uint32_t)edit->addr_delta + edit->port_delta);
	edit->changes_src = memcmp(is->src, shall->src, addr_bytes) != 0;
}

/* ---- packets ---- */

void nat_rewrite_fragment(uint8_t *packet, const struct nat_edit *edit)
{
	if (packet[0] >> 4 == 6) {
		memcpy(packet + 8, edit->src, 16);
		memcpy(packet + 24, edit->dst, 16);
		return;
	}
	memcpy(packet + 12, edit->src, 4);
	memcpy(packet + 16, edit->dst, 4);
	checksum_grow(packet + IPV4_CHECKSUM, edit->addr_delta);
}

/* An echo's identifier is its only port; NULL: no echo. */
static const uint16_t *echo_id(
	uint8_t proto, bool v4, const uint8_t *message, const struct nat_edit *edit)
{
	enum { REPLY4 = 0, REQUEST4 = 8, REQUEST6 = 128, REPLY6 = 129 };

	if (proto != (v4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6))
		return NULL;
	if (message[0] == (v4 ? REQUEST4 : REQUEST6))
		return &edit->src_port;
	return message[0] == (v4 ? REPLY4 : REPLY6) ? &edit->dst_port : NULL;
}

enum drop nat_rewrite(uint8_t *packet, const struct ip_info *info, const struct nat_edit *edit)
{
	const bool v4 = info->src.family == WGH_IPV4;
	const uint32_t l4_bytes = info->len_bytes - info->l4_offset;
	uint8_t *l4 = packet + info->l4_offset;
	const uint16_t *id;

	if (!info->l4_offset || !info->first_fragment)
		return DROP_NAT_PROTOCOL;
	switch (info->proto) {
	case IP_PROTO_TCP:
		if (l4_bytes < TCP_HEADER_BYTES)
			return DROP_NAT_HEADER;
		checksum_grow(l4 + TCP_CHECKSUM, edit->both_delta);
		break;
	case IP_PROTO_UDP:
		if (l4_bytes < UDP_HEADER_BYTES)
			return DROP_NAT_HEADER;
		udp_checksum_grow(l4 + UDP_CHECKSUM, edit->both_delta);
		break;
	default:
		if (l4_bytes < ICMP_HEADER_BYTES)
			return DROP_NAT_HEADER;
		id = echo_id(info->proto, v4, l4, edit);
		if (!id)
			return DROP_NAT_PROTOCOL;
		checksum_grow(l4 + ICMP_CHECKSUM, v4 ? edit->port_delta : edit->both_delta);
		be16_put(l4 + ICMP_ID, *id);
		nat_rewrite_fragment(packet, edit);
		return DROP_NONE;
	}
	be16_put(l4, edit->src_port);
	be16_put(l4 + 2, edit->dst_port);
	nat_rewrite_fragment(packet, edit);
	return DROP_NONE;
}

/* ---- errors and what they quote ---- */

/* Writes bytes and returns what the sum over them grows by. */
static uint32_t put(uint8_t *at, const void *bytes, uint32_t len_bytes)
{
	const uint32_t delta = delta_of(at, bytes, len_bytes);

	memcpy(at, bytes, len_bytes);
	return delta;
}

static uint32_t put_port(uint8_t *at, uint16_t port)
{
	uint8_t bytes[2];

	be16_put(bytes, port);
	return put(at, bytes, 2);
}

/* Source and destination of an IP header, its checksum too. Returns what the addresses grow by. */
static uint32_t put_addresses(uint8_t *packet, const uint8_t *src, const uint8_t *dst)
{
	const bool v4 = packet[0] >> 4 == 4;
	const uint32_t addr_bytes = v4 ? 4 : 16;
	uint8_t *at = packet + (v4 ? 12 : 8);
	const uint32_t delta =
		fold((src ? put(at, src, addr_bytes) : 0) + put(at + addr_bytes, dst, addr_bytes));

	if (v4)
		checksum_grow(packet + IPV4_CHECKSUM, delta);
	return delta;
}

/* The quoted packet went the other way, so everything is swapped; as much of it as is there.
 * Returns what the sum over the quote grows by. */
static uint32_t rewrite_quote(uint8_t *quoted, uint32_t len_bytes, const struct flow_quote *quote,
	const struct nat_edit *edit)
{
	const bool v4 = quoted[0] >> 4 == 4;
	const uint32_t l4_bytes = len_bytes - quote->l4_offset;
	/* What came the other way is edit reversed. */
	const struct nat_edit back = {.src_port = edit->dst_port, .dst_port = edit->src_port};
	uint8_t *l4 = quoted + quote->l4_offset, *checksum = NULL, before[2];
	uint32_t addr_delta, delta, port_delta = 0;
	const uint16_t *id;

	addr_delta = put_addresses(quoted, edit->dst, edit->src);
	/* An IPv4 header and its checksum sum up to the same as before. */
	delta = v4 ? 0 : addr_delta;
	switch (quote->proto) {
	case IP_PROTO_TCP:
	case IP_PROTO_UDP:
		port_delta = put_port(l4, back.src_port) + put_port(l4 + 2, back.dst_port);
		checksum = l4 + (quote->proto == IP_PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
		break;
	default:
		id = echo_id(quote->proto, v4, l4, &back);
		if (!id)
			return delta;
		port_delta = put_port(l4 + ICMP_ID, *id);
		checksum = l4 + ICMP_CHECKSUM;
		if (v4)
			addr_delta = 0;
	}
	delta = fold(delta + port_delta);
	if (checksum + 2 > l4 + l4_bytes)
		return delta;
	memcpy(before, checksum, 2);
	(quote->proto == IP_PROTO_UDP ? udp_checksum_grow : checksum_grow)(
		checksum, fold(addr_delta + port_delta));
	return fold(delta + delta_of(before, checksum, 2));
}

enum drop nat_rewrite_error(
	uint8_t *packet, const struct ip_info *info, const struct nat_edit *edit)
{
	const bool v4 = info->src.family == WGH_IPV4;
	const uint32_t quote_offset = info->l4_offset + ICMP_HEADER_BYTES;
	struct flow_quote quote;
	uint32_t delta;

	if (!info->l4_offset || !info->first_fragment || quote_offset > info->len_bytes ||
		!flow_quote_find(&quote, info->src.family, packet + quote_offset,
			info->len_bytes - quote_offset))
		return DROP_NAT_HEADER;
	delta = rewrite_quote(packet + quote_offset, info->len_bytes - quote_offset, &quote, edit);
	/* ICMPv6's checksum covers the outer addresses too. */
	const uint32_t outer_delta =
		put_addresses(packet, edit->changes_src ? edit->src : NULL, edit->dst);

	checksum_grow(
		packet + info->l4_offset + ICMP_CHECKSUM, fold(v4 ? delta : delta + outer_delta));
	return DROP_NONE;
}
