/* tun_coalesce.c - sorts a batch into runs, and writes the one header that a run needs.
 *
 * For tun_write(). Runs stay in the order of their first packets, and a packet only ever joins the
 * newest run of its flow, so that a flow keeps its order. Where the flow of a packet cannot be told
 * (fragments, options, extension headers) no later packet may pass it: all runs are closed. Costs:
 * see the header. Fails: never; what fits nowhere is a run of one, left as it came for the kernel
 * to judge.
 */
#include "io/tun_coalesce.h"

#include "core/be.h"
#include "core/ip.h"

#include <arpa/inet.h>
#include <string.h>

enum {
	IPV4_PLAIN = 0x45, /* version 4, no options */
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	IPV4_DF = 0x4000,
	TOTAL_MAX = 65535,
	/* UDP_MAX_SEGMENTS of Linux before 6.9; 128 since. */
	UDP_SEGMENTS_MAX = 64,
};

/* What a packet is to the coalescer. */
struct shape {
	uint8_t proto;
	uint16_t l4_offset, header_bytes;
	uint32_t payload_bytes;
};

enum kind {
	KIND_ALONE, /* of no flow that we look at */
	KIND_FLOW, /* plain TCP or UDP: *shape is filled */
	KIND_OPAQUE /* may belong to any flow */
};

static enum kind ip_shape(struct shape *s, const struct wgh_packet *p)
{
	const uint8_t *d = p->data;
	uint32_t len = p->len_bytes;

	if (len >= IPV4_BYTES && d[0] == IPV4_PLAIN) {
		if (be16_get(d + 2) != len || (be16_get(d + 6) & ~(uint32_t)IPV4_DF))
			return KIND_OPAQUE;
		s->l4_offset = IPV4_BYTES;
		s->proto = d[9];
	} else if (len >= IPV6_BYTES && d[0] >> 4 == 6) {
		if (be16_get(d + 4) + IPV6_BYTES != len)
			return KIND_OPAQUE;
		s->l4_offset = IPV6_BYTES;
		s->proto = d[6];
	} else {
		return KIND_OPAQUE;
	}
	switch (s->proto) {
	case IP_PROTO_TCP:
	case IP_PROTO_UDP:
		return KIND_FLOW;
	case IP_PROTO_ICMP:
	case IP_PROTO_ICMPV6:
		return KIND_ALONE;
	default:
		return KIND_OPAQUE;
	}
}

static enum kind packet_shape(struct shape *s, const struct wgh_packet *p)
{
	enum kind kind = ip_shape(s, p);
	const uint8_t *l4 = p->data + s->l4_offset;
	uint32_t l4_bytes, header;

	if (kind != KIND_FLOW)
		return kind;
	l4_bytes = p->len_bytes - s->l4_offset;
	if (s->proto == IP_PROTO_TCP) {
		if (l4_bytes < TCP_HEADER_BYTES)
			return KIND_OPAQUE;
		header = (l4[TCP_DATA_OFFSET] >> 4) * 4u;
		if (header < TCP_HEADER_BYTES || header > l4_bytes)
			return KIND_OPAQUE;
	} else {
		header = UDP_HEADER_BYTES;
		if (l4_bytes < header || be16_get(l4 + UDP_LENGTH) != l4_bytes)
			return KIND_OPAQUE;
	}
	s->header_bytes = (uint16_t)(s->l4_offset + header);
	s->payload_bytes = l4_bytes - header;
	return KIND_FLOW;
}

/* May this packet be part of a run at all? */
static bool is_eligible(const struct shape *s, const uint8_t *d, bool tcp, bool udp)
{
	const uint8_t *l4 = d + s->l4_offset;

	if (s->payload_bytes == 0)
		return false;
	if (s->proto == IP_PROTO_UDP)
		return udp && be16_get(l4 + UDP_CHECKSUM) != 0;
	/* Reserved bits, SYN, FIN, RST, URG and CWR are for one packet only. */
	return tcp && (l4[TCP_DATA_OFFSET] & 0x0f) == 0 &&
		(l4[TCP_FLAGS] & ~(TCP_F_PSH | TCP_F_ECE)) == TCP_F_ACK &&
		be16_get(l4 + TCP_URGENT) == 0;
}

/* Sum of the pseudo header. */
static uint64_t pseudo_sum(const uint8_t *d, uint8_t proto, uint32_t l4_bytes)
{
	bool v4 = d[0] == IPV4_PLAIN;
	uint64_t sum = ip_checksum_add(0, d + (v4 ? 12 : 8), v4 ? 8 : 32);

	return sum + htons(proto) + htons((uint16_t)l4_bytes);
}

static bool checksums_right(const struct shape *s, const uint8_t *d)
{
	uint32_t l4_bytes = s->header_bytes - s->l4_offset + s->payload_bytes;

	return ip_header_checksum_ok(d) &&
		ip_checksum_finish(ip_checksum_add(
			pseudo_sum(d, s->proto, l4_bytes), d + s->l4_offset, l4_bytes)) == 0;
}

static unsigned flow_bucket(const struct shape *s, const uint8_t *d)
{
	uint64_t a, b = 0, ports = 0;

	if (s->l4_offset == IPV4_BYTES) {
		memcpy(&a, d + 12, 8);
	} else {
		memcpy(&a, d + 16, 8);
		memcpy(&b, d + 32, 8);
	}
	memcpy(&ports, d + s->l4_offset, 4);
	a = (a ^ b * 3 ^ ports << 16 ^ s->proto) * UINT64_C(0x9e3779b97f4a7c15);
	return (unsigned)(a >> 56);
}

/* The same flow, and the same in every IP field that cutting the run would copy. */
static bool ip_headers_match(const struct shape *s, const uint8_t *head, const uint8_t *d)
{
	if (s->l4_offset == IPV4_BYTES)
		return head[0] == d[0] && head[1] == d[1] && head[8] == d[8] && head[9] == d[9] &&
			memcmp(head + 6, d + 6, 2) == 0 && memcmp(head + 12, d + 12, 8) == 0;
	return memcmp(head, d, 4) == 0 && head[6] == d[6] && head[7] == d[7] &&
		memcmp(head + 8, d + 8, 32) == 0;
}

static bool may_join(
	const struct packet_run *r, const struct shape *s, const uint8_t *head, const uint8_t *d)
{
	const uint8_t *hl4 = head + s->l4_offset, *l4 = d + s->l4_offset;

	if (!r->open || r->proto != s->proto || r->l4_offset != s->l4_offset ||
		r->header_bytes != s->header_bytes || s->payload_bytes > r->segment_bytes ||
		r->total_bytes + s->payload_bytes > TOTAL_MAX || !ip_headers_match(s, head, d) ||
		memcmp(hl4, l4, 4) != 0)
		return false;
	/* Cutting counts the IPv4 identification up. With DF nobody may look at it (RFC 6864). */
	if (s->l4_offset == IPV4_BYTES && !(be16_get(d + 6) & IPV4_DF) &&
		((be16_get(head + 4) + r->n) & 0xffff) != be16_get(d + 4))
		return false;
	if (s->proto == IP_PROTO_UDP)
		return r->n < UDP_SEGMENTS_MAX;
	/* In sequence, same acknowledgement, data offset, window and options; flags but PSH. */
	return be32_get(l4 + TCP_SEQ) == r->next_seq &&
		memcmp(hl4 + TCP_ACK, l4 + TCP_ACK, 5) == 0 &&
		((hl4[TCP_FLAGS] ^ l4[TCP_FLAGS]) & ~TCP_F_PSH) == 0 &&
		memcmp(hl4 + TCP_FLAGS + 1, l4 + TCP_FLAGS + 1, 2) == 0 &&
		memcmp(hl4 + TCP_HEADER_BYTES, l4 + TCP_HEADER_BYTES,
			s->header_bytes - s->l4_offset - TCP_HEADER_BYTES) == 0;
}

/* The first packet's checksums are looked at when the second comes: most runs stay runs of one. */
static bool head_is_right(struct packet_run *r, const struct wgh_packet *head)
{
	struct shape s = {.proto = r->proto,
		.l4_offset = r->l4_offset,
		.header_bytes = r->header_bytes,
		.payload_bytes = head->len_bytes - r->header_bytes};

	if (!r->head_right)
		r->head_right = checksums_right(&s, head->data);
	return r->head_right;
}

static bool is_pushed(const struct shape *s, const uint8_t *d)
{
	return s->proto == IP_PROTO_TCP && (d[s->l4_offset + TCP_FLAGS] & TCP_F_PSH);
}

static struct packet_run *run_begin(struct coalescer *c, size_t i)
{
	struct packet_run *r = &c->runs[c->n_runs++];

	*r = (struct packet_run){.first = (uint16_t)i, .last = (uint16_t)i, .n = 1};
	return r;
}

static void run_join(struct coalescer *c, struct packet_run *r, const struct shape *s,
	const uint8_t *d, size_t i)
{
	c->next[r->last] = (uint16_t)i;
	r->last = (uint16_t)i;
	r->n++;
	r->total_bytes += s->payload_bytes;
	r->next_seq += s->payload_bytes;
	r->push = is_pushed(s, d);
	r->open = !r->push && s->payload_bytes == r->segment_bytes;
}

void coalesce(struct coalescer *c, const struct wgh_packet *packets, size_t n, bool tcp, bool udp)
{
	c->n_runs = 0;
	memset(c->buckets, 0, sizeof c->buckets);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *d = packets[i].data;
		struct shape s = {0};
		enum kind kind = packet_shape(&s, &packets[i]);

		if (kind == KIND_OPAQUE)
			memset(c->buckets, 0, sizeof c->buckets);
		if (kind != KIND_FLOW) {
			run_begin(c, i);
			continue;
		}
		uint16_t *bucket = &c->buckets[flow_bucket(&s, d)];
		bool eligible = is_eligible(&s, d, tcp, udp);
		struct packet_run *r = *bucket ? &c->runs[*bucket - 1] : NULL;

		if (r && eligible && may_join(r, &s, packets[r->first].data, d) &&
			head_is_right(r, &packets[r->first]) && checksums_right(&s, d)) {
			run_join(c, r, &s, d, i);
			continue;
		}
		r = run_begin(c, i);
		/* Another flow in the bucket only loses the chance of longer runs. */
		*bucket = eligible ? (uint16_t)c->n_runs : 0;
		if (!eligible)
			continue;
		r->proto = s.proto;
		r->l4_offset = s.l4_offset;
		r->header_bytes = s.header_bytes;
		r->segment_bytes = (uint16_t)s.payload_bytes;
		r->total_bytes = packets[i].len_bytes;
		r->push = is_pushed(&s, d);
		r->open = !r->push;
		if (s.proto == IP_PROTO_TCP)
			r->next_seq = be32_get(d + s.l4_offset + TCP_SEQ) + s.payload_bytes;
	}
}

void coalesce_head(const struct packet_run *run, uint8_t *head, struct vnet_hdr *h)
{
	bool v4 = run->l4_offset == IPV4_BYTES, tcp = run->proto == IP_PROTO_TCP;
	uint8_t *l4 = head + run->l4_offset;
	uint32_t l4_bytes = run->total_bytes - run->l4_offset;

	*h = (struct vnet_hdr){.flags = VNET_F_NEEDS_CSUM,
		.gso_type = !tcp ? VNET_GSO_UDP_L4
			: v4	 ? VNET_GSO_TCPV4
				 : VNET_GSO_TCPV6,
		.hdr_len = run->header_bytes,
		.gso_size = run->segment_bytes,
		.csum_start = run->l4_offset,
		.csum_offset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM};
	if (v4) {
		be16_put(head + 2, run->total_bytes);
		be16_put(head + 10, 0);
		uint16_t header_sum = ip_checksum_finish(ip_checksum_add(0, head, IPV4_BYTES));
		memcpy(head + 10, &header_sum, sizeof header_sum);
	} else {
		be16_put(head + 4, l4_bytes);
	}
	if (!tcp)
		be16_put(l4 + UDP_LENGTH, l4_bytes);
	else if (run->push)
		l4[TCP_FLAGS] |= TCP_F_PSH;
	/* The kernel adds the rest: it wants the sum of the pseudo header, not inverted. */
	uint16_t partial = (uint16_t)~ip_checksum_finish(pseudo_sum(head, run->proto, l4_bytes));
	memcpy(l4 + h->csum_offset, &partial, sizeof partial);
}
