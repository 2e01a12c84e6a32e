/* flow_key.c - reads a packet's flow key from its headers, and from the headers that an ICMP error
 * quotes. A quote is usually cut off and was written by somebody far away: each of its bytes is
 * checked to be there. Costs: a few loads; nothing is kept. Fails by kind: FLOW_KIND_BROKEN.
 */
#include "core/flow_key.h"

#include "core/be.h"

#include <string.h>

/* Up to the last byte that translation touches. */
#define TCP_HEADER_BYTES 20u
#define UDP_HEADER_BYTES 8u
#define ICMP_HEADER_BYTES 8u

enum {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_ECHO = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
	ICMP6_ERROR_FIRST = 1, /* unreachable, too big, time exceeded, parameter problem */
	ICMP6_ERROR_LAST = 4,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
};

static bool is_icmp(const struct flow_key *key)
{
	return key->proto == (key->family == WGH_IPV4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6);
}

static enum flow_echo echo_of(uint8_t family, uint8_t type)
{
	if (type == (family == WGH_IPV4 ? ICMP4_ECHO : ICMP6_ECHO))
		return FLOW_ECHO_REQUEST;
	return type == (family == WGH_IPV4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY) ? FLOW_ECHO_REPLY
										  : FLOW_ECHO_NONE;
}

static bool is_error(uint8_t family, uint8_t type)
{
	if (family == WGH_IPV4)
		return type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED ||
			type == ICMP4_PARAMETER;
	return type >= ICMP6_ERROR_FIRST && type <= ICMP6_ERROR_LAST;
}

/* Ports of the transport header at l4, of which at least 8 bytes are there. */
static enum flow_kind read_ports(struct flow_key *key, const uint8_t *l4)
{
	if (key->proto == IP_PROTO_TCP || key->proto == IP_PROTO_UDP) {
		key->src_port = be16_get(l4);
		key->dst_port = be16_get(l4 + 2);
		return FLOW_KIND_PORTS;
	}
	if (!is_icmp(key))
		return FLOW_KIND_OTHER;
	key->echo = echo_of(key->family, l4[0]);
	if (!key->echo)
		return is_error(key->family, l4[0]) ? FLOW_KIND_ERROR : FLOW_KIND_OTHER;
	*(key->echo == FLOW_ECHO_REQUEST ? &key->src_port : &key->dst_port) = be16_get(l4 + 4);
	return FLOW_KIND_PORTS;
}

bool flow_quote_find(
	struct flow_quote *quote, uint8_t family, const uint8_t *packet, uint32_t len_bytes)
{
	enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION = 60, HEADERS_MAX = 4 };
	uint32_t at;

	if (family == WGH_IPV4) {
		at = len_bytes ? (packet[0] & 0xfu) * 4 : 0;
		if (at < 20 || at > len_bytes || packet[0] >> 4 != 4 ||
			(be16_get(packet + 6) & 0x1fff))
			return false;
		*quote = (struct flow_quote){at, packet[9]};
		return len_bytes - at >= 8;
	}
	if (len_bytes < 40 || packet[0] >> 4 != 6)
		return false;
	*quote = (struct flow_quote){40, packet[6]};
	for (unsigned n = 0; n < HEADERS_MAX; n++) {
		const uint8_t *header = packet + quote->l4_offset;

		at = quote->l4_offset;
		if (len_bytes - at < 8)
			return false;
		if (quote->proto == FRAGMENT) {
			if (be16_get(header + 2) >> 3)
				return false;
			at += 8;
		} else if (quote->proto == HOP_BY_HOP || quote->proto == ROUTING ||
			quote->proto == DESTINATION) {
			at += (header[1] + 1u) * 8;
		} else {
			return true;
		}
		if (at > len_bytes)
			return false;
		*quote = (struct flow_quote){at, header[0]};
	}
	return false;
}

static void read_addresses(struct flow_key *key, const uint8_t *packet)
{
	if (key->family == WGH_IPV4) {
		memcpy(key->src, packet + 12, 4);
		memcpy(key->dst, packet + 16, 4);
	} else {
		memcpy(key->src, packet + 8, 16);
		memcpy(key->dst, packet + 24, 16);
	}
}

/* The quoted packet is one that its receiver, or somebody before it, could not take. The error's
 * sender stands on that side: what it would send itself has the reverse key. */
static enum flow_kind read_quote(
	struct flow_key *key, const uint8_t *quoted, uint32_t len_bytes, struct flow_party from)
{
	struct flow_key of = {.family = key->family};
	struct flow_quote quote;

	if (!flow_quote_find(&quote, key->family, quoted, len_bytes))
		return FLOW_KIND_BROKEN;
	of.proto = quote.proto;
	read_addresses(&of, quoted);
	if (read_ports(&of, quoted + quote.l4_offset) == FLOW_KIND_ERROR)
		return FLOW_KIND_BROKEN; /* nobody answers an error with one */
	if (memcmp(of.src, key->dst, sizeof of.src))
		return FLOW_KIND_BROKEN; /* it goes to whoever sent what it quotes */
	*key = flow_key_reverse(&of, from);
	return FLOW_KIND_ERROR;
}

enum flow_kind flow_key_read(struct flow_key *key, uint8_t *tcp_flags, const uint8_t *packet,
	const struct ip_info *info, struct flow_party from)
{
	const uint32_t l4_bytes = info->len_bytes - info->l4_offset;
	const uint8_t *l4 = packet + info->l4_offset;
	enum flow_kind kind;

	*tcp_flags = 0;
	if (!info->first_fragment)
		return FLOW_KIND_FRAGMENT;
	*key = (struct flow_key){.family = info->src.family, .proto = info->proto, .from = from};
	memcpy(key->src, info->src.bytes, sizeof key->src);
	memcpy(key->dst, info->dst.bytes, sizeof key->dst);
	if (!info->l4_offset) /* behind too many extension headers */
		return FLOW_KIND_OTHER;
	switch (info->proto) {
	case IP_PROTO_TCP:
		if (l4_bytes < TCP_HEADER_BYTES)
			return FLOW_KIND_BROKEN;
		*tcp_flags = l4[13];
		return read_ports(key, l4);
	case IP_PROTO_UDP:
		return l4_bytes < UDP_HEADER_BYTES ? FLOW_KIND_BROKEN : read_ports(key, l4);
	default:
		if (!is_icmp(key))
			return FLOW_KIND_OTHER;
		if (l4_bytes < ICMP_HEADER_BYTES)
			return FLOW_KIND_BROKEN;
		kind = read_ports(key, l4);
		if (kind != FLOW_KIND_ERROR)
			return kind;
		return read_quote(key, l4 + ICMP_HEADER_BYTES, l4_bytes - ICMP_HEADER_BYTES, from);
	}
}

struct flow_key flow_key_reverse(const struct flow_key *key, struct flow_party from)
{
	struct flow_key reverse = *key;

	memcpy(reverse.src, key->dst, sizeof reverse.src);
	memcpy(reverse.dst, key->src, sizeof reverse.dst);
	reverse.src_port = key->dst_port;
	reverse.dst_port = key->src_port;
	if (key->echo)
		reverse.echo = FLOW_ECHO_REQUEST + FLOW_ECHO_REPLY - key->echo;
	reverse.from = from;
	return reverse;
}

static struct wgh_addr addr_of(const struct flow_key *key, const uint8_t bytes[16])
{
	struct wgh_addr addr = {.family = key->family};

	memcpy(addr.bytes, bytes, sizeof addr.bytes);
	return addr;
}

struct wgh_addr flow_key_src(const struct flow_key *key)
{
	return addr_of(key, key->src);
}

struct wgh_addr flow_key_dst(const struct flow_key *key)
{
	return addr_of(key, key->dst);
}
