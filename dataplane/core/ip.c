/* ip.c - reads inner IP packets for everyone who decides about them, and changes the few fields a
 * router may change. Every function trusts only what it has bounded itself. Costs: ip_parse() is a
 * handful of loads for a packet without options or extension headers. Fails with a drop reason and
 * leaves *info zeroed; the packet is never changed by a failing call.
 */
#include "core/ip.h"

#include "core/be.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define IPV4_HEADER_BYTES 20u
#define IPV6_HEADER_BYTES 40u
#define IPV4_DF 0x4000u
#define IPV4_MF 0x2000u
#define IPV4_OFFSET 0x1fffu
/* RFC 7045 lists more; these are the ones a host walks through to a transport header. */
enum {
	EXT_HOP_BY_HOP = 0,
	EXT_ROUTING = 43,
	EXT_FRAGMENT = 44,
	EXT_AUTH = 51,
	EXT_DESTINATION = 60,
};
#define EXT_HEADERS_MAX 8
#define ECN_MASK 3u
#define ECN_CE 3u

/* ---- parsing ---- */

/* A fragment that could make filter and receiver see different transport headers: a first one that
 * does not hold ports and flags, or one that writes over TCP's flags. RFC 1858, RFC 3128. */
static bool fragment_is_devious(const struct ip_info *info, uint32_t offset_units)
{
	const bool tcp = info->proto == IP_PROTO_TCP;

	if (offset_units)
		return tcp && offset_units == 1;
	return info->len_bytes - info->l4_offset < (tcp ? 16u : 8u);
}

/* Finds source routes. False: options that run over the header's end. RFC 791 section 3.1. */
static bool ipv4_options(struct ip_info *info, const uint8_t *option, const uint8_t *end)
{
	enum { END = 0, NOP = 1, LSRR = 131, SSRR = 137 };

	while (option < end && *option != END) {
		if (*option == NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return false;
		if (*option == LSRR || *option == SSRR)
			info->source_route = true;
		option += option[1];
	}
	return true;
}

static enum drop ipv4_parse(struct ip_info *info, const uint8_t *packet, uint32_t len_bytes)
{
	if (len_bytes < IPV4_HEADER_BYTES)
		return DROP_INNER_SHORT;

	const uint32_t header_bytes = (packet[0] & 0xfu) * 4;
	const uint32_t total_bytes = be16_get(packet + 2);
	const uint32_t fragment = be16_get(packet + 6);

	if (header_bytes < IPV4_HEADER_BYTES || total_bytes < header_bytes)
		return DROP_INNER_HEADER;
	if (total_bytes > len_bytes)
		return DROP_INNER_SHORT;
	info->src.family = info->dst.family = WGH_IPV4;
	memcpy(info->src.bytes, packet + 12, 4);
	memcpy(info->dst.bytes, packet + 16, 4);
	info->len_bytes = total_bytes;
	info->l4_offset = (uint16_t)header_bytes;
	info->proto = packet[9];
	info->proto_offset = 9;
	info->ttl = packet[8];
	info->ecn = packet[1] & ECN_MASK;
	info->dont_fragment = fragment & IPV4_DF;
	info->fragment = fragment & (IPV4_MF | IPV4_OFFSET);
	info->first_fragment = !(fragment & IPV4_OFFSET);
	if (header_bytes > IPV4_HEADER_BYTES &&
		!ipv4_options(info, packet + IPV4_HEADER_BYTES, packet + header_bytes))
		return DROP_INNER_HEADER;
	if (info->fragment && fragment_is_devious(info, fragment & IPV4_OFFSET))
		return DROP_INNER_HEADER;
	return DROP_NONE;
}

static bool is_extension(uint8_t header)
{
	return header == EXT_HOP_BY_HOP || header == EXT_ROUTING || header == EXT_FRAGMENT ||
		header == EXT_AUTH || header == EXT_DESTINATION;
}

/* From proto and l4_offset at the first extension header to the transport header, or to l4_offset 0
 * behind too many. A chain that is cut off is malformed, in a first fragment also by RFC 7112. */
static enum drop ipv6_extensions(struct ip_info *info, const uint8_t *packet)
{
	uint32_t offset = IPV6_HEADER_BYTES, fragment_offset = 0;
	bool seen_fragment = false;

	for (unsigned n = 0; is_extension(info->proto); n++) {
		const uint8_t *header = packet + offset;
		const uint8_t kind = info->proto;
		uint32_t header_bytes = 8;

		if (n == EXT_HEADERS_MAX) {
			offset = 0;
			break;
		}
		if (info->len_bytes - offset < 8)
			return DROP_INNER_HEADER;
		if (kind == EXT_AUTH)
			header_bytes = (header[1] + 2u) * 4;
		else if (kind != EXT_FRAGMENT)
			header_bytes = (header[1] + 1u) * 8;
		if (header_bytes > info->len_bytes - offset)
			return DROP_INNER_HEADER;
		info->proto = header[0];
		info->proto_offset = (uint16_t)offset;
		offset += header_bytes;
		if (kind == EXT_ROUTING && header[2] == 0)
			info->source_route = true;
		if (kind != EXT_FRAGMENT)
			continue;
		if (seen_fragment)
			return DROP_INNER_HEADER;
		seen_fragment = true;
		fragment_offset = be16_get(header + 2) >> 3;
		/* Offset 0 and no more to come is a whole packet (RFC 6946). */
		info->fragment = fragment_offset || (header[3] & 1);
		if (fragment_offset) {
			info->first_fragment = false;
			break;
		}
	}
	info->l4_offset = (uint16_t)offset;
	if (info->fragment && fragment_is_devious(info, fragment_offset))
		return DROP_INNER_HEADER;
	return DROP_NONE;
}

static enum drop ipv6_parse(struct ip_info *info, const uint8_t *packet, uint32_t len_bytes)
{
	if (len_bytes < IPV6_HEADER_BYTES)
		return DROP_INNER_SHORT;

	/* In 32 bits: 65535 + 40 must not wrap. */
	const uint32_t total_bytes = be16_get(packet + 4) + IPV6_HEADER_BYTES;

	if (total_bytes > len_bytes)
		return DROP_INNER_SHORT;
	info->src.family = info->dst.family = WGH_IPV6;
	memcpy(info->src.bytes, packet + 8, 16);
	memcpy(info->dst.bytes, packet + 24, 16);
	info->len_bytes = total_bytes;
	info->l4_offset = IPV6_HEADER_BYTES;
	info->proto = packet[6];
	info->proto_offset = 6;
	info->ttl = packet[7];
	info->ecn = packet[1] >> 4 & ECN_MASK;
	info->dont_fragment = true;
	info->first_fragment = true;
	return is_extension(info->proto) ? ipv6_extensions(info, packet) : DROP_NONE;
}

enum drop ip_parse(struct ip_info *info, const uint8_t *packet, uint32_t len_bytes)
{
	enum drop drop = DROP_INNER_SHORT;

	*info = (struct ip_info){0};
	if (!len_bytes)
		return drop;
	switch (packet[0] >> 4) {
	case 4:
		drop = ipv4_parse(info, packet, len_bytes);
		break;
	case 6:
		drop = ipv6_parse(info, packet, len_bytes);
		break;
	default:
		return DROP_INNER_VERSION;
	}
	if (drop)
		*info = (struct ip_info){0};
	return drop;
}

bool ip_header_checksum_ok(const uint8_t *packet)
{
	uint32_t word;
	uint64_t sum = 0;

	if (packet[0] >> 4 != 4)
		return true;
	/* Five words for almost every packet: too few for what ip_checksum_add() does for payloads.
	 */
	for (unsigned at = 0, end = (packet[0] & 0xfu) * 4; at < end; at += 4) {
		memcpy(&word, packet + at, sizeof word);
		sum += word;
	}
	return ip_checksum_finish(sum) == 0;
}

/* ---- addresses ---- */

enum scope { SCOPE_ROUTABLE, SCOPE_LINK, SCOPE_NONE, SCOPE_MULTICAST, SCOPE_BROADCAST };

static enum scope ipv4_scope(const uint8_t *a)
{
	if (a[0] == 0 || a[0] == 127)
		return SCOPE_NONE;
	if (a[0] == 169 && a[1] == 254)
		return SCOPE_LINK;
	if (a[0] < 224)
		return SCOPE_ROUTABLE;
	if (a[0] < 240)
		return SCOPE_MULTICAST;
	return (a[0] & a[1] & a[2] & a[3]) == 255 ? SCOPE_BROADCAST : SCOPE_NONE;
}

static enum scope ipv6_scope(const uint8_t *a)
{
	uint64_t hi, lo;

	if (a[0] == 0xff)
		return SCOPE_MULTICAST;
	if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80)
		return SCOPE_LINK;
	memcpy(&hi, a, 8);
	memcpy(&lo, a + 8, 8);
	if (hi)
		return SCOPE_ROUTABLE;
	lo = be64toh(lo);
	return lo <= 1 || lo >> 32 == 0xffff ? SCOPE_NONE : SCOPE_ROUTABLE;
}

static enum scope addr_scope(const struct wgh_addr *addr)
{
	switch (addr->family) {
	case WGH_IPV4:
		return ipv4_scope(addr->bytes);
	case WGH_IPV6:
		return ipv6_scope(addr->bytes);
	default:
		return SCOPE_NONE;
	}
}

enum drop ip_forwardable(const struct ip_info *info)
{
	const enum scope src = addr_scope(&info->src), dst = addr_scope(&info->dst);

	/* The destination first: a host that looks for its neighbours with an unspecified source
	 * sends broadcasts and multicasts, and that is what an operator wants to read. */
	if (dst == SCOPE_BROADCAST)
		return DROP_BROADCAST;
	if (dst == SCOPE_MULTICAST)
		return DROP_MULTICAST;
	if (src != SCOPE_ROUTABLE || dst != SCOPE_ROUTABLE)
		return DROP_MARTIAN;
	return wgh_addr_equal(&info->src, &info->dst) ? DROP_LAND : DROP_NONE;
}

bool ip_addr_is_unicast(const struct wgh_addr *addr)
{
	const enum scope scope = addr_scope(addr);

	return scope == SCOPE_ROUTABLE || scope == SCOPE_LINK;
}

bool wgh_addr_equal(const struct wgh_addr *a, const struct wgh_addr *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == WGH_IPV4)
		return memcmp(a->bytes, b->bytes, 4) == 0;
	return memcmp(a->bytes, b->bytes, 16) == 0;
}

int ip_prefix_check(const struct wgh_prefix *prefix)
{
	switch (prefix->addr.family) {
	case WGH_IPV4:
		return prefix->bits <= 32 ? 0 : -EINVAL;
	case WGH_IPV6:
		return prefix->bits <= 128 ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

void ip_prefix_mask(struct wgh_prefix *prefix)
{
	const unsigned whole = prefix->bits / 8;

	if (whole >= sizeof prefix->addr.bytes)
		return;
	prefix->addr.bytes[whole] &= (uint8_t) ~(0xff >> prefix->bits % 8);
	memset(prefix->addr.bytes + whole + 1, 0, sizeof prefix->addr.bytes - whole - 1);
}

/* ---- changes to a header ---- */

/* RFC 1624, equation 3. checksum is the field in the packet; the words as two bytes in network
 * order. */
static void checksum_replace(uint8_t *checksum, uint32_t from, uint32_t to)
{
	uint32_t sum = (~be16_get(checksum) & 0xffff) + (~from & 0xffff) + to;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	checksum[0] = (uint8_t)(sum >> 8);
	checksum[1] = (uint8_t)sum;
}

void ip_decrement_ttl(uint8_t *packet)
{
	if (packet[0] >> 4 == 6) {
		packet[7]--;
		return;
	}

	const uint32_t before = be16_get(packet + 8); /* TTL and protocol */

	packet[8]--;
	checksum_replace(packet + 10, before, be16_get(packet + 8));
}

void ip_identify(uint8_t *packet, uint16_t id)
{
	const uint32_t before = be16_get(packet + 4);

	packet[4] = (uint8_t)(id >> 8);
	packet[5] = (uint8_t)id;
	checksum_replace(packet + 10, before, id);
}

void ip_ecn_decapsulate(uint8_t *packet, uint8_t outer_ecn)
{
	if ((outer_ecn & ECN_MASK) != ECN_CE)
		return;
	if (packet[0] >> 4 == 6) {
		if (packet[1] >> 4 & ECN_MASK)
			packet[1] |= ECN_CE << 4;
		return;
	}
	if (!(packet[1] & ECN_MASK))
		return;

	const uint32_t before = be16_get(packet);

	packet[1] |= ECN_CE;
	checksum_replace(packet + 10, before, be16_get(packet));
}

/* ---- the internet checksum (RFC 1071): any word size does, and the byte order of the machine ----
 */

/* Half sums of 32-bit words cannot overflow 64 bits. Vectors of 16 bytes, because every CPU we know
 * holds them in registers: with wider ones gcc keeps the sums in memory, which takes four times as
 * long. */
uint64_t ip_checksum_add(uint64_t sum, const void *data, uint32_t len_bytes)
{
	typedef uint64_t lanes __attribute__((vector_size(16)));
	const uint8_t *p = data;
	lanes low = {0}, high = {0}, low2 = {0}, high2 = {0};
	uint32_t four;
	uint16_t two;

	for (; len_bytes >= 32; len_bytes -= 32, p += 32) {
		lanes words, words2;
		memcpy(&words, p, sizeof words);
		memcpy(&words2, p + 16, sizeof words2);
		low += words & 0xffffffff;
		high += words >> 32;
		low2 += words2 & 0xffffffff;
		high2 += words2 >> 32;
	}
	low += high + low2 + high2;
	sum += low[0] + low[1];
	for (; len_bytes >= 4; len_bytes -= 4, p += 4) {
		memcpy(&four, p, sizeof four);
		sum += four;
	}
	if (len_bytes >= 2) {
		memcpy(&two, p, sizeof two);
		sum += two;
		p += 2;
	}
	if (len_bytes & 1) {
		two = 0;
		memcpy(&two, p, 1);
		sum += two;
	}
	return (sum & 0xffffffff) + (sum >> 32);
}

uint16_t ip_checksum_finish(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint64_t ip_checksum_pseudo(
	const struct wgh_addr *src, const struct wgh_addr *dst, uint8_t proto, uint32_t l4_bytes)
{
	const uint32_t addr_bytes = src->family == WGH_IPV4 ? 4 : 16;
	const uint32_t tail[2] = {htobe32(l4_bytes), htobe32(proto)};
	uint64_t sum = ip_checksum_add(0, src->bytes, addr_bytes);

	sum = ip_checksum_add(sum, dst->bytes, addr_bytes);
	return ip_checksum_add(sum, tail, sizeof tail);
}
