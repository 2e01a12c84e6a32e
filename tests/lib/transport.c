/* transport.c - see transport.h. */
#include "tests/lib/transport.h"

#include "tests/lib/naive.h"

#include <arpa/inet.h>
#include <string.h>

struct wgh_addr transport_addr(const char *text)
{
	struct wgh_addr a = {.family = strchr(text, ':') ? WGH_IPV6 : WGH_IPV4};

	return inet_pton(a.family == WGH_IPV6 ? AF_INET6 : AF_INET, text, a.bytes) == 1
		? a
		: (struct wgh_addr){0};
}

static struct wgh_addr random_addr(struct rng *rng, uint8_t family)
{
	struct wgh_addr a = {.family = family};

	rng_fill(rng, a.bytes, family == WGH_IPV4 ? 4 : 16);
	a.bytes[0] = family == WGH_IPV4 ? 10 : 0xfd;
	return a;
}

struct transport transport_random(struct rng *rng, uint8_t family, enum transport_kind kind)
{
	struct transport t = {.kind = kind,
		.src = random_addr(rng, family),
		.dst = random_addr(rng, family),
		.src_port = (uint16_t)(1 + rng_below(rng, 65535)),
		.dst_port = (uint16_t)(1 + rng_below(rng, 65535)),
		.tcp_flags = TCP_ACK,
		.n_options = (uint8_t)(rng_below(rng, 4) ? 0 : rng_below(rng, 4)),
		.udp_without_checksum = family == WGH_IPV4 && !rng_below(rng, 4),
		.seq = (uint32_t)rng_next(rng),
		.ack = (uint32_t)rng_next(rng),
		.payload_seed = rng_next(rng),
		.payload_bytes = (uint32_t)rng_below(rng, rng_below(rng, 2) ? 40 : 1400)};

	if (kind == TRANSPORT_ECHO_REQUEST)
		t.dst_port = 0;
	if (kind == TRANSPORT_ECHO_REPLY)
		t.src_port = 0;
	return t;
}

struct transport transport_reverse(const struct transport *t)
{
	struct transport r = *t;

	r.src = t->dst;
	r.dst = t->src;
	r.src_port = t->dst_port;
	r.dst_port = t->src_port;
	if (t->kind == TRANSPORT_ECHO_REQUEST)
		r.kind = TRANSPORT_ECHO_REPLY;
	if (t->kind == TRANSPORT_ECHO_REPLY)
		r.kind = TRANSPORT_ECHO_REQUEST;
	return r;
}

static uint8_t proto_of(const struct transport *t)
{
	switch (t->kind) {
	case TRANSPORT_TCP:
		return IP_PROTO_TCP;
	case TRANSPORT_UDP:
		return IP_PROTO_UDP;
	default:
		return t->src.family == WGH_IPV4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6;
	}
}

/* Where the transport header is, and its protocol. */
static uint32_t l4_of(const uint8_t *packet, uint8_t *proto)
{
	uint32_t at = 40;

	if (packet[0] >> 4 == 4) {
		*proto = packet[9];
		return (packet[0] & 15u) * 4;
	}
	for (*proto = packet[6]; *proto == 60; at += 8)
		*proto = packet[at];
	return at;
}

static uint8_t *checksum_of(uint8_t *l4, uint8_t proto)
{
	return l4 + (proto == IP_PROTO_TCP ? 16 : proto == IP_PROTO_UDP ? 6 : 2);
}

void transport_checksums_set(uint8_t *packet, uint32_t len_bytes)
{
	const bool v4 = packet[0] >> 4 == 4;
	uint8_t proto, *field;
	const uint32_t l4 = l4_of(packet, &proto);
	uint32_t sum = 0;

	if (v4) {
		put16(packet + 10, 0);
		put16(packet + 10, ~naive_sum(0, packet, l4) & 0xffff);
	}
	if (proto != IP_PROTO_ICMP) {
		sum = naive_sum(0, packet + (v4 ? 12 : 8), v4 ? 8 : 32);
		sum += proto + (len_bytes - l4);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	field = checksum_of(packet + l4, proto);
	put16(field, 0);
	sum = ~naive_sum(sum, packet + l4, len_bytes - l4) & 0xffff;
	put16(field, proto == IP_PROTO_UDP && !sum ? 0xffff : sum);
}

/* The IP header; where the transport header begins. */
static uint32_t header(uint8_t *out, const struct transport *t, uint8_t proto, uint32_t l4_bytes)
{
	const bool v4 = t->src.family == WGH_IPV4;
	const uint32_t l4 = v4 ? 20 + t->n_options * 4u : 40 + t->n_options * 8u;

	memset(out, 0, l4);
	if (v4) {
		out[0] = (uint8_t)(0x40 + l4 / 4);
		put16(out + 2, l4 + l4_bytes);
		put16(out + 4, 0x1234);
		out[8] = t->ttl ? t->ttl : 63;
		out[9] = proto;
		memcpy(out + 12, t->src.bytes, 4);
		memcpy(out + 16, t->dst.bytes, 4);
		memset(out + 20, 1, l4 - 20);
		return l4;
	}
	out[0] = 0x60;
	put16(out + 4, l4 - 40 + l4_bytes);
	out[6] = t->n_options ? 60 : proto;
	out[7] = t->ttl ? t->ttl : 63;
	memcpy(out + 8, t->src.bytes, 16);
	memcpy(out + 24, t->dst.bytes, 16);
	for (uint32_t i = 0; i < t->n_options; i++) {
		out[40 + i * 8] = i + 1u == t->n_options ? proto : 60;
		out[40 + i * 8 + 2] = 1; /* PadN of the other four */
		out[40 + i * 8 + 3] = 4;
	}
	return l4;
}

uint32_t transport_build(uint8_t *out, const struct transport *t)
{
	const bool v4 = t->src.family == WGH_IPV4;
	const uint32_t l4_bytes = (t->kind == TRANSPORT_TCP ? 20u : 8u) + t->payload_bytes;
	const uint32_t l4 = header(out, t, proto_of(t), l4_bytes), len = l4 + l4_bytes;
	struct rng rng = {t->payload_seed};
	uint8_t *p = out + l4;

	memset(p, 0, l4_bytes);
	switch (t->kind) {
	case TRANSPORT_TCP:
		put16(p, t->src_port);
		put16(p + 2, t->dst_port);
		put32(p + 4, t->seq);
		put32(p + 8, t->ack);
		p[12] = 0x50;
		p[13] = t->tcp_flags ? t->tcp_flags : TCP_ACK;
		put16(p + 14, 500);
		break;
	case TRANSPORT_UDP:
		put16(p, t->src_port);
		put16(p + 2, t->dst_port);
		put16(p + 4, l4_bytes);
		break;
	default:
		p[0] = t->kind == TRANSPORT_ECHO_REQUEST ? (v4 ? 8 : 128) : (v4 ? 0 : 129);
		put16(p + 4, t->kind == TRANSPORT_ECHO_REQUEST ? t->src_port : t->dst_port);
		put16(p + 6, t->seq);
	}
	rng_fill(&rng, out + len - t->payload_bytes, t->payload_bytes);
	transport_checksums_set(out, len);
	if (t->kind == TRANSPORT_UDP && t->udp_without_checksum)
		put16(p + 6, 0);
	return len;
}

uint32_t transport_error_build(uint8_t *out, const struct wgh_addr *src, const struct wgh_addr *dst,
	uint8_t type, uint8_t code, const uint8_t *quoted, uint32_t len_bytes)
{
	const struct transport t = {.src = *src, .dst = *dst};
	const uint32_t l4 = header(
		out, &t, src->family == WGH_IPV4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6, 8 + len_bytes);

	memset(out + l4, 0, 8);
	out[l4] = type;
	out[l4 + 1] = code;
	memcpy(out + l4 + 8, quoted, len_bytes);
	transport_checksums_set(out, l4 + 8 + len_bytes);
	return l4 + 8 + len_bytes;
}

uint32_t transport_fragment(uint8_t *out, const uint8_t *packet, uint32_t len_bytes, uint32_t id,
	uint32_t n_bytes, uint32_t i)
{
	const bool v4 = packet[0] >> 4 == 4;
	const uint32_t header_bytes = v4 ? (packet[0] & 15u) * 4 : 40;
	const uint32_t from = i * n_bytes, all = len_bytes - header_bytes;
	const uint32_t bytes = all - from < n_bytes ? all - from : n_bytes;
	const bool more = from + bytes < all;
	const uint32_t l4 = header_bytes + (v4 ? 0 : 8);

	if (from >= all)
		return 0;
	memcpy(out, packet, header_bytes);
	memcpy(out + l4, packet + header_bytes + from, bytes);
	if (v4) {
		put16(out + 2, l4 + bytes);
		put16(out + 4, id);
		put16(out + 6, (more ? 0x2000u : 0) | from / 8);
		put16(out + 10, 0);
		put16(out + 10, ~naive_sum(0, out, header_bytes) & 0xffff);
		return l4 + bytes;
	}
	put16(out + 4, 8 + bytes);
	out[6] = 44;
	out[40] = packet[6];
	out[41] = 0;
	put16(out + 42, from | more);
	put32(out + 44, id);
	return l4 + bytes;
}
