/* Inner IP packets: what is refused, what is read, and that checksums stay right. Every packet
 * lives in a heap block of exactly its size, so that ASan sees each byte read beyond it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/ip.h"
#include "tests/lib/naive.h"

struct bytes {
	uint8_t data[256];
	uint32_t len;
};

static void mend(struct bytes *b)
{
	uint32_t header = (b->data[0] & 15u) * 4;

	put16(b->data + 10, 0);
	put16(b->data + 10, ~naive_sum(0, b->data, header) & 0xffff);
}

/* An IPv4 packet 10.0.0.1 -> 10.0.0.2 with an L4 part of zeros. options may be NULL. */
static struct bytes ipv4(
	uint8_t proto, const void *options, uint32_t option_bytes, uint32_t l4_bytes)
{
	struct bytes b = {.len = 20 + option_bytes + l4_bytes};

	b.data[0] = (uint8_t)(0x40 + 5 + option_bytes / 4);
	put16(b.data + 2, b.len);
	b.data[8] = 63;
	b.data[9] = proto;
	memcpy(b.data + 12, (uint8_t[]){10, 0, 0, 1, 10, 0, 0, 2}, 8);
	if (options)
		memcpy(b.data + 20, options, option_bytes);
	mend(&b);
	return b;
}

/* An IPv6 packet fd00::1 -> fd00::2; body is everything after the fixed header. */
static struct bytes ipv6(uint8_t next, const void *body, uint32_t body_bytes)
{
	struct bytes b = {.len = 40 + body_bytes};

	b.data[0] = 0x60;
	put16(b.data + 4, body_bytes);
	b.data[6] = next;
	b.data[7] = 63;
	b.data[8] = b.data[24] = 0xfd;
	b.data[23] = 1;
	b.data[39] = 2;
	if (body)
		memcpy(b.data + 40, body, body_bytes);
	return b;
}

static enum drop parse_len(struct ip_info *info, const struct bytes *b, uint32_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	assert_non_null(exact);
	memcpy(exact, b->data, len);
	memset(info, 0xa5, sizeof *info);
	enum drop drop = ip_parse(info, exact, len);
	free(exact);
	return drop;
}

static enum drop parse(struct ip_info *info, const struct bytes *b)
{
	return parse_len(info, b, b->len);
}

static struct wgh_addr addr(const char *text)
{
	struct wgh_addr a = {.family = strchr(text, ':') ? WGH_IPV6 : WGH_IPV4};

	assert_int_equal(1, inet_pton(a.family == WGH_IPV6 ? AF_INET6 : AF_INET, text, a.bytes));
	return a;
}

static void test_ip_parse_reads_every_field_of_ipv4(void **state)
{
	(void)state;
	struct bytes b = ipv4(IP_PROTO_UDP, NULL, 0, 12);
	struct ip_info info;
	struct wgh_addr src = addr("10.0.0.1"), dst = addr("10.0.0.2");

	b.data[1] = 0xba; /* DSCP 46, ECT(0) */
	b.data[6] = 0x40;
	b.len += 9; /* padding of the tunnel */
	assert_int_equal(DROP_NONE, parse(&info, &b));
	assert_memory_equal(&src, &info.src, sizeof src);
	assert_memory_equal(&dst, &info.dst, sizeof dst);
	assert_int_equal(32, info.len_bytes);
	assert_int_equal(20, info.l4_offset);
	assert_int_equal(IP_PROTO_UDP, info.proto);
	assert_int_equal(9, info.proto_offset);
	assert_int_equal(63, info.ttl);
	assert_int_equal(2, info.ecn);
	assert_false(info.fragment);
	assert_true(info.first_fragment);
	assert_false(info.source_route);
	assert_true(info.dont_fragment);
	b.data[6] = 0;
	assert_int_equal(DROP_NONE, parse(&info, &b));
	assert_false(info.dont_fragment);
}

static void test_ip_parse_reads_every_field_of_ipv6(void **state)
{
	(void)state;
	struct bytes b = ipv6(IP_PROTO_TCP, NULL, 20);
	struct ip_info info;
	struct wgh_addr src = addr("fd00::1"), dst = addr("fd00::2");

	b.data[0] = 0x6b;
	b.data[1] = 0x9f; /* ECT(1), flow label */
	b.len += 4;
	assert_int_equal(DROP_NONE, parse(&info, &b));
	assert_memory_equal(&src, &info.src, sizeof src);
	assert_memory_equal(&dst, &info.dst, sizeof dst);
	assert_int_equal(60, info.len_bytes);
	assert_int_equal(40, info.l4_offset);
	assert_int_equal(IP_PROTO_TCP, info.proto);
	assert_int_equal(6, info.proto_offset);
	assert_int_equal(63, info.ttl);
	assert_int_equal(1, info.ecn);
	assert_false(info.fragment);
	assert_true(info.first_fragment);
	assert_false(info.source_route);
	assert_true(info.dont_fragment);
}

static void test_ip_parse_refuses_every_cut_and_zeroes_info(void **state)
{
	(void)state;
	const struct ip_info zero = {0};
	struct bytes v4 = ipv4(IP_PROTO_UDP, (uint8_t[]){1, 1, 1, 0}, 4, 16),
		     v6 = ipv6(17, NULL, 16);
	struct ip_info info;

	for (uint32_t len = 0; len < v4.len; len++) {
		assert_int_equal(DROP_INNER_SHORT, parse_len(&info, &v4, len));
		assert_memory_equal(&zero, &info, sizeof info);
	}
	assert_int_equal(DROP_NONE, parse(&info, &v4));
	for (uint32_t len = 0; len < v6.len; len++) {
		assert_int_equal(DROP_INNER_SHORT, parse_len(&info, &v6, len));
		assert_memory_equal(&zero, &info, sizeof info);
	}
	assert_int_equal(DROP_NONE, parse(&info, &v6));
}

static void test_ip_parse_refuses_every_other_version(void **state)
{
	(void)state;
	struct bytes b = ipv6(17, NULL, 16);
	struct ip_info info;

	for (unsigned version = 0; version < 16; version++) {
		if (version == 4 || version == 6)
			continue;
		b.data[0] = (uint8_t)(version << 4 | 5);
		assert_int_equal(DROP_INNER_VERSION, parse(&info, &b));
		assert_int_equal(DROP_INNER_VERSION, parse_len(&info, &b, 1));
	}
}

static void test_ip_parse_refuses_wrong_ipv4_lengths(void **state)
{
	(void)state;
	struct bytes b = ipv4(IP_PROTO_UDP, NULL, 0, 40);
	struct ip_info info;

	for (unsigned ihl = 0; ihl < 5; ihl++) {
		b.data[0] = (uint8_t)(0x40 + ihl);
		assert_int_equal(DROP_INNER_HEADER, parse(&info, &b));
	}
	b.data[0] = 0x45;
	put16(b.data + 2, 19);
	assert_int_equal(DROP_INNER_HEADER, parse(&info, &b));
	b.data[0] = 0x4a; /* 40 bytes of header in a total of 39 */
	put16(b.data + 2, 39);
	assert_int_equal(DROP_INNER_HEADER, parse(&info, &b));
	put16(b.data + 2, 40);
	assert_int_equal(DROP_NONE, parse(&info, &b));
	put16(b.data + 2, b.len + 1);
	assert_int_equal(DROP_INNER_SHORT, parse(&info, &b));
	put16(b.data + 2, 65535);
	assert_int_equal(DROP_INNER_SHORT, parse(&info, &b));
}

static void test_ip_parse_ipv6_length_does_not_wrap(void **state)
{
	(void)state;
	struct bytes b = ipv6(17, NULL, 16);
	struct ip_info info;

	/* 65535 + 40 and 65496 + 40 are 39 and 0 in sixteen bits. */
	put16(b.data + 4, 65535);
	assert_int_equal(DROP_INNER_SHORT, parse(&info, &b));
	put16(b.data + 4, 65496);
	assert_int_equal(DROP_INNER_SHORT, parse(&info, &b));
}

static void test_ip_parse_finds_source_routes_among_options(void **state)
{
	(void)state;
	static const struct {
		uint8_t options[12];
		enum drop drop;
		bool source_route;
	} rows[] = {
		{{131, 7, 4, 10, 0, 0, 9, 0}, DROP_NONE, true}, /* LSRR */
		{{137, 7, 4, 10, 0, 0, 9, 0}, DROP_NONE, true}, /* SSRR */
		{{1, 1, 7, 3, 4, 137, 7, 4, 10, 0, 0, 9}, DROP_NONE, true}, /* behind others */
		{{7, 11, 4}, DROP_NONE, false}, /* record route */
		{{148, 4, 0, 0}, DROP_NONE, false}, /* router alert */
		{{0, 131, 7, 4}, DROP_NONE, false}, /* behind the end of the list */
		{{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, DROP_NONE, false},
		{{148, 0}, DROP_INNER_HEADER, false}, /* would not advance */
		{{148, 1}, DROP_INNER_HEADER, false},
		{{148, 13}, DROP_INNER_HEADER, false}, /* one byte too long */
		{{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 131}, DROP_INNER_HEADER, false}, /* no length */
	};
	struct ip_info info;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bytes b = ipv4(IP_PROTO_UDP, rows[i].options, 12, 8);
		assert_int_equal(rows[i].drop, parse(&info, &b));
		assert_int_equal(rows[i].source_route, info.source_route);
		if (!rows[i].drop)
			assert_int_equal(32, info.l4_offset);
	}
}

static void test_ip_parse_walks_extension_headers(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		uint8_t next;
		uint8_t body[64];
		uint32_t len;
		enum drop drop;
		uint8_t proto;
		uint16_t l4_offset, proto_offset;
		bool source_route;
	} rows[] = {
		{"hop by hop", 0, {17}, 16, DROP_NONE, 17, 48, 40, false},
		{"destination options of 16", 60, {6, 1}, 36, DROP_NONE, 6, 56, 40, false},
		{"authentication counts in fours", 51, {17, 4}, 32, DROP_NONE, 17, 64, 40, false},
		{"routing type 0", 43, {17, 0, 0}, 16, DROP_NONE, 17, 48, 40, true},
		{"routing type 2", 43, {17, 0, 2}, 16, DROP_NONE, 17, 48, 40, false},
		{"two of them", 0, {60, 0, 0, 0, 0, 0, 0, 0, 58}, 24, DROP_NONE, 58, 56, 48, false},
		{"no next header", 59, {0}, 0, DROP_NONE, 59, 40, 6, false},
		{"ESP hides the rest", 50, {0}, 8, DROP_NONE, 50, 40, 6, false},
		{"nothing left behind it", 0, {17}, 8, DROP_NONE, 17, 48, 40, false},
		{"cut after 7 bytes", 0, {17}, 7, DROP_INNER_HEADER, 0, 0, 0, false},
		{"missing", 0, {0}, 0, DROP_INNER_HEADER, 0, 0, 0, false},
		{"longer than the packet", 60, {17, 1}, 15, DROP_INNER_HEADER, 0, 0, 0, false},
		{"255 units", 60, {17, 255}, 64, DROP_INNER_HEADER, 0, 0, 0, false},
		{"cut fragment header", 44, {17}, 7, DROP_INNER_HEADER, 0, 0, 0, false},
		{"fragment in a fragment", 44, {44, 0, 0, 1, 0, 0, 0, 0, 17}, 32, DROP_INNER_HEADER,
			0, 0, 0, false},
	};
	struct ip_info info;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bytes b = ipv6(rows[i].next, rows[i].body, rows[i].len);
		if (parse(&info, &b) != rows[i].drop)
			fail_msg("%s", rows[i].what);
		assert_int_equal(rows[i].proto, info.proto);
		assert_int_equal(rows[i].l4_offset, info.l4_offset);
		assert_int_equal(rows[i].proto_offset, info.proto_offset);
		assert_int_equal(rows[i].source_route, info.source_route);
	}
}

static void test_ip_parse_follows_eight_extension_headers_and_no_more(void **state)
{
	(void)state;
	uint8_t body[9 * 8 + 8] = {0};
	struct ip_info info;

	for (unsigned n = 0; n < 9; n++)
		body[n * 8] = n < 7 ? 60 : 17;
	struct bytes b = ipv6(60, body, 8 * 8 + 8);
	assert_int_equal(DROP_NONE, parse(&info, &b));
	assert_int_equal(40 + 64, info.l4_offset);
	assert_int_equal(17, info.proto);
	body[7 * 8] = 60;
	b = ipv6(60, body, sizeof body);
	assert_int_equal(DROP_NONE, parse(&info, &b));
	assert_int_equal(0, info.l4_offset);
	assert_int_equal(60, info.proto);
}

static void test_ip_parse_ipv4_fragments_hold_their_transport_header_or_are_refused(void **state)
{
	(void)state;
	enum { MF = 0x2000 };
	static const struct {
		uint8_t proto;
		uint32_t fragment, l4_bytes;
		enum drop drop;
		bool first;
	} rows[] = {
		{IP_PROTO_UDP, MF, 8, DROP_NONE, true},
		{IP_PROTO_UDP, MF, 7, DROP_INNER_HEADER, true},
		{IP_PROTO_ICMP, MF, 8, DROP_NONE, true},
		{IP_PROTO_ICMP, MF, 0, DROP_INNER_HEADER, true},
		{47, MF, 7, DROP_INNER_HEADER, true},
		{IP_PROTO_TCP, MF, 16, DROP_NONE, true},
		{IP_PROTO_TCP, MF, 15, DROP_INNER_HEADER, true},
		{IP_PROTO_TCP, MF + 1, 64, DROP_INNER_HEADER, false}, /* over the flags: RFC 3128 */
		{IP_PROTO_TCP, 1, 64, DROP_INNER_HEADER, false},
		{IP_PROTO_TCP, 2, 1, DROP_NONE, false},
		{IP_PROTO_UDP, 1, 1, DROP_NONE, false},
		{IP_PROTO_UDP, MF + 185, 8, DROP_NONE, false},
		{IP_PROTO_UDP, 0x1fff, 1, DROP_NONE, false},
	};
	struct ip_info info;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bytes b = ipv4(rows[i].proto, NULL, 0, rows[i].l4_bytes);
		put16(b.data + 6, rows[i].fragment);
		assert_int_equal(rows[i].drop, parse(&info, &b));
		if (rows[i].drop)
			continue;
		assert_true(info.fragment);
		assert_int_equal(rows[i].first, info.first_fragment);
	}
}

static void test_ip_parse_ipv6_fragments_hold_their_transport_header_or_are_refused(void **state)
{
	(void)state;
	static const struct {
		uint8_t proto;
		uint32_t fragment, l4_bytes; /* fragment: offset times 8, plus 1 for more */
		enum drop drop;
		bool is_fragment, first;
	} rows[] = {
		{IP_PROTO_UDP, 1, 8, DROP_NONE, true, true},
		{IP_PROTO_UDP, 1, 7, DROP_INNER_HEADER, true, true},
		{IP_PROTO_TCP, 1, 16, DROP_NONE, true, true},
		{IP_PROTO_TCP, 1, 15, DROP_INNER_HEADER, true, true},
		{IP_PROTO_TCP, 8, 64, DROP_INNER_HEADER, true, false},
		{IP_PROTO_TCP, 16, 1, DROP_NONE, true, false},
		{IP_PROTO_UDP, 8, 1, DROP_NONE, true, false},
		{60, 8, 1, DROP_NONE, true, false}, /* content that looks like another header */
		{60, 1, 0, DROP_INNER_HEADER, true, true}, /* RFC 7112: chain ends in the first */
		{IP_PROTO_TCP, 0, 4, DROP_NONE, false, true}, /* whole: RFC 6946 */
	};
	struct ip_info info;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t body[128] = {rows[i].proto};
		put16(body + 2, rows[i].fragment);
		struct bytes b = ipv6(44, body, 8 + rows[i].l4_bytes);
		assert_int_equal(rows[i].drop, parse(&info, &b));
		if (rows[i].drop)
			continue;
		assert_int_equal(rows[i].is_fragment, info.fragment);
		assert_int_equal(rows[i].first, info.first_fragment);
		assert_int_equal(48, info.l4_offset);
		assert_int_equal(rows[i].proto, info.proto);
	}
}

/* ---- addresses ---- */

static void test_ip_forwardable_refuses_what_no_router_forwards(void **state)
{
	(void)state;
	static const struct {
		const char *addr;
		enum drop as_dst, as_src;
		bool unicast;
	} rows[] = {
		{"10.0.0.7", DROP_NONE, DROP_NONE, true},
		{"1.0.0.0", DROP_NONE, DROP_NONE, true},
		{"0.0.0.0", DROP_MARTIAN, DROP_MARTIAN, false},
		{"0.255.255.255", DROP_MARTIAN, DROP_MARTIAN, false},
		{"126.255.255.255", DROP_NONE, DROP_NONE, true},
		{"127.0.0.1", DROP_MARTIAN, DROP_MARTIAN, false},
		{"127.255.255.255", DROP_MARTIAN, DROP_MARTIAN, false},
		{"128.0.0.0", DROP_NONE, DROP_NONE, true},
		{"169.253.255.255", DROP_NONE, DROP_NONE, true},
		{"169.254.0.0", DROP_MARTIAN, DROP_MARTIAN, true},
		{"169.254.255.255", DROP_MARTIAN, DROP_MARTIAN, true},
		{"169.255.0.0", DROP_NONE, DROP_NONE, true},
		{"223.255.255.255", DROP_NONE, DROP_NONE, true},
		{"224.0.0.1", DROP_MULTICAST, DROP_MARTIAN, false},
		{"239.255.255.255", DROP_MULTICAST, DROP_MARTIAN, false},
		{"240.0.0.0", DROP_MARTIAN, DROP_MARTIAN, false},
		{"255.255.255.254", DROP_MARTIAN, DROP_MARTIAN, false},
		{"255.255.255.255", DROP_BROADCAST, DROP_MARTIAN, false},
		{"fd00::7", DROP_NONE, DROP_NONE, true},
		{"2001:db8::1", DROP_NONE, DROP_NONE, true},
		{"::", DROP_MARTIAN, DROP_MARTIAN, false},
		{"::1", DROP_MARTIAN, DROP_MARTIAN, false},
		{"::2", DROP_NONE, DROP_NONE, true},
		{"::ffff:10.0.0.1", DROP_MARTIAN, DROP_MARTIAN, false},
		{"::fffe:10.0.0.1", DROP_NONE, DROP_NONE, true},
		{"::1:ffff:0:1", DROP_NONE, DROP_NONE, true},
		{"64:ff9b::a00:1", DROP_NONE, DROP_NONE, true},
		{"fe7f:ffff::1", DROP_NONE, DROP_NONE, true},
		{"fe80::1", DROP_MARTIAN, DROP_MARTIAN, true},
		{"febf:ffff::1", DROP_MARTIAN, DROP_MARTIAN, true},
		{"fec0::1", DROP_NONE, DROP_NONE, true},
		{"feff::1", DROP_NONE, DROP_NONE, true},
		{"ff00::", DROP_MULTICAST, DROP_MARTIAN, false},
		{"ff02::1", DROP_MULTICAST, DROP_MARTIAN, false},
		{"ffff::1", DROP_MULTICAST, DROP_MARTIAN, false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct wgh_addr a = addr(rows[i].addr);
		const struct wgh_addr good = addr(a.family == WGH_IPV4 ? "10.9.9.9" : "fd99::9");
		struct ip_info to = {.src = good, .dst = a}, from = {.src = a, .dst = good};
		if (ip_forwardable(&to) != rows[i].as_dst ||
			ip_forwardable(&from) != rows[i].as_src ||
			ip_addr_is_unicast(&a) != rows[i].unicast)
			fail_msg("%s", rows[i].addr);
		struct ip_info land = {.src = a, .dst = a};
		assert_int_equal(
			rows[i].as_dst ? rows[i].as_dst : DROP_LAND, ip_forwardable(&land));
	}
	struct wgh_addr none = {0};
	assert_false(ip_addr_is_unicast(&none));
}

static void test_ip_neighbour_discovery_counts_as_multicast_and_dhcp_as_broadcast(void **state)
{
	(void)state;
	struct ip_info info = {.src = addr("::"), .dst = addr("ff02::1:ff00:1")};

	assert_int_equal(DROP_MULTICAST, ip_forwardable(&info));
	info = (struct ip_info){.src = addr("0.0.0.0"), .dst = addr("255.255.255.255")};
	assert_int_equal(DROP_BROADCAST, ip_forwardable(&info));
}

static void test_ip_addresses_of_two_families_are_never_equal(void **state)
{
	(void)state;
	struct wgh_addr a = addr("10.0.0.1"), b = a, c = addr("a00:1::"), d = addr("a00:1::1");

	assert_true(wgh_addr_equal(&a, &b));
	assert_false(wgh_addr_equal(&a, &c)); /* the same 16 bytes */
	assert_false(wgh_addr_equal(&c, &d));
	b.bytes[3] = 2;
	assert_false(wgh_addr_equal(&a, &b));
}

static void test_ip_prefix_masks_at_every_length(void **state)
{
	(void)state;
	for (unsigned max = 32; max <= 128; max += 96)
		for (unsigned bits = 0; bits <= max; bits++) {
			struct wgh_prefix p = {.bits = (uint8_t)bits};
			memset(p.addr.bytes, 0xff, max / 8);
			p.addr.family = max == 32 ? WGH_IPV4 : WGH_IPV6;
			assert_int_equal(0, ip_prefix_check(&p));
			ip_prefix_mask(&p);
			for (unsigned i = 0; i < 128; i++)
				assert_int_equal(i < bits, p.addr.bytes[i / 8] >> (7 - i % 8) & 1);
		}
}

static void test_ip_prefix_check_refuses_too_many_bits_and_unknown_families(void **state)
{
	(void)state;
	struct wgh_prefix p = {.addr = addr("10.0.0.0"), .bits = 33};

	assert_int_equal(-EINVAL, ip_prefix_check(&p));
	p.bits = 255;
	assert_int_equal(-EINVAL, ip_prefix_check(&p));
	p = (struct wgh_prefix){.addr = addr("fd00::"), .bits = 129};
	assert_int_equal(-EINVAL, ip_prefix_check(&p));
	p = (struct wgh_prefix){.addr.family = 5, .bits = 1};
	assert_int_equal(-EINVAL, ip_prefix_check(&p));
}

/* ---- changes ---- */

static uint32_t rng_state = 1;

static uint32_t rng(void)
{
	rng_state = rng_state * 1664525 + 1013904223;
	return rng_state >> 8;
}

static void test_ip_ttl_goes_down_by_one_and_nothing_else_changes(void **state)
{
	(void)state;
	for (unsigned ttl = 1; ttl < 256; ttl++)
		for (unsigned id = 0; id < 65536;
			id += 17) { /* makes the checksum take many values */
			struct bytes b = ipv4(IP_PROTO_UDP, NULL, 0, 8);
			b.data[8] = (uint8_t)ttl;
			put16(b.data + 4, id);
			mend(&b);
			struct bytes want = b;
			want.data[8]--;
			mend(&want);
			ip_decrement_ttl(b.data);
			assert_memory_equal(want.data, b.data, 28);
			assert_true(ip_header_checksum_ok(b.data));
		}
	struct bytes v6 = ipv6(17, NULL, 8), want = v6;
	want.data[7]--;
	ip_decrement_ttl(v6.data);
	assert_memory_equal(want.data, v6.data, 48);
}

static void test_ip_wrong_header_checksum_is_seen_and_stays_wrong(void **state)
{
	(void)state;
	struct bytes b = ipv4(IP_PROTO_UDP, (uint8_t[]){1, 1, 1, 0}, 4, 8), v6 = ipv6(17, NULL, 8);

	assert_true(ip_header_checksum_ok(b.data));
	for (unsigned i = 4; i < 24; i++) {
		struct bytes bad = b;
		bad.data[i] ^= 0x10;
		assert_false(ip_header_checksum_ok(bad.data));
		ip_decrement_ttl(bad.data);
		assert_false(ip_header_checksum_ok(bad.data));
	}
	assert_true(ip_header_checksum_ok(v6.data));
}

static void test_ip_ecn_decapsulation_marks_capable_packets_only(void **state)
{
	(void)state;
	for (unsigned inner = 0; inner < 4; inner++)
		for (unsigned outer = 0; outer < 4; outer++) {
			unsigned want = outer == 3 && inner ? 3 : inner;
			struct bytes v4 = ipv4(IP_PROTO_UDP, NULL, 0, 8), v6 = ipv6(17, NULL, 8);
			struct bytes before4, before6;
			struct ip_info info;

			v4.data[1] = (uint8_t)(0xb8 | inner);
			mend(&v4);
			v6.data[0] = 0x6b;
			v6.data[1] = (uint8_t)(0x8f | inner << 4);
			before4 = v4;
			before6 = v6;
			before4.data[1] = (uint8_t)(0xb8 | want);
			mend(&before4);
			before6.data[1] = (uint8_t)(0x8f | want << 4);
			ip_ecn_decapsulate(v4.data, (uint8_t)outer);
			ip_ecn_decapsulate(v6.data, (uint8_t)outer);
			assert_memory_equal(before4.data, v4.data, v4.len);
			assert_memory_equal(before6.data, v6.data, v6.len);
			assert_int_equal(DROP_NONE, parse(&info, &v4));
			assert_int_equal(want, info.ecn);
			assert_int_equal(DROP_NONE, parse(&info, &v6));
			assert_int_equal(want, info.ecn);
		}
}

static void test_ip_ecn_mark_mends_every_checksum(void **state)
{
	(void)state;
	for (unsigned inner = 1; inner < 4; inner++)
		for (unsigned id = 0; id < 65536; id++) {
			struct bytes b = ipv4(IP_PROTO_UDP, NULL, 0, 0);
			b.data[1] = (uint8_t)inner;
			put16(b.data + 4, id);
			mend(&b);
			ip_ecn_decapsulate(b.data, 3);
			assert_int_equal(3, b.data[1]);
			assert_int_equal(0xffff, naive_sum(0, b.data, 20));
		}
}

static uint32_t as_number(uint16_t checksum)
{
	uint8_t two[2];

	memcpy(two, &checksum, 2);
	return get16(two);
}

static void test_ip_checksum_agrees_with_the_textbook_at_every_length_and_alignment(void **state)
{
	(void)state;
	for (uint32_t len = 0; len <= 300; len++)
		for (unsigned shift = 0; shift < 9; shift++) {
			uint8_t *block = malloc(len + shift + 1);
			assert_non_null(block);
			for (uint32_t i = 0; i < len + shift; i++)
				block[i] = shift == 8 ? 0xff : (uint8_t)rng();
			uint8_t *exact = realloc(block, len + shift ? len + shift : 1);
			assert_non_null(exact);
			uint32_t want = ~naive_sum(0, exact + shift, len) & 0xffff;
			assert_int_equal(want,
				as_number(ip_checksum_finish(
					ip_checksum_add(0, exact + shift, len))));
			/* In two parts, the first even. */
			uint32_t cut = len / 2 & ~1u;
			uint64_t sum = ip_checksum_add(0, exact + shift, cut);
			sum = ip_checksum_add(sum, exact + shift + cut, len - cut);
			assert_int_equal(want, as_number(ip_checksum_finish(sum)));
			free(exact);
		}
}

static void test_ip_checksum_of_a_full_super_packet(void **state)
{
	(void)state;
	uint8_t *block = malloc(65536);

	assert_non_null(block);
	memset(block, 0xff, 65536);
	assert_int_equal(0, ip_checksum_finish(ip_checksum_add(0, block, 65536)));
	block[65535] = 0xfe; /* the sum is one less than "all ones" */
	assert_int_equal(1, as_number(ip_checksum_finish(ip_checksum_add(0, block, 65536))));
	free(block);
}

static void test_ip_pseudo_header_counts_addresses_protocol_and_length(void **state)
{
	(void)state;
	struct wgh_addr s4 = addr("192.0.2.1"), d4 = addr("198.51.100.2");
	struct wgh_addr s6 = addr("2001:db8::1"), d6 = addr("2001:db8:ff::2");
	/* RFC 768 and RFC 8200 section 8.1, written out. */
	uint8_t p4[12] = {192, 0, 2, 1, 198, 51, 100, 2, 0, 17, 0x12, 0x34};
	uint8_t p6[40] = {0};

	memcpy(p6, s6.bytes, 16);
	memcpy(p6 + 16, d6.bytes, 16);
	p6[33] = 1; /* length 0x00010203 */
	p6[34] = 2;
	p6[35] = 3;
	p6[39] = 58;
	assert_int_equal(~naive_sum(0, p4, 12) & 0xffff,
		as_number(ip_checksum_finish(ip_checksum_pseudo(&s4, &d4, 17, 0x1234))));
	assert_int_equal(~naive_sum(0, p6, 40) & 0xffff,
		as_number(ip_checksum_finish(ip_checksum_pseudo(&s6, &d6, 58, 0x10203))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip_parse_reads_every_field_of_ipv4),
		cmocka_unit_test(test_ip_parse_reads_every_field_of_ipv6),
		cmocka_unit_test(test_ip_parse_refuses_every_cut_and_zeroes_info),
		cmocka_unit_test(test_ip_parse_refuses_every_other_version),
		cmocka_unit_test(test_ip_parse_refuses_wrong_ipv4_lengths),
		cmocka_unit_test(test_ip_parse_ipv6_length_does_not_wrap),
		cmocka_unit_test(test_ip_parse_finds_source_routes_among_options),
		cmocka_unit_test(test_ip_parse_walks_extension_headers),
		cmocka_unit_test(test_ip_parse_follows_eight_extension_headers_and_no_more),
		cmocka_unit_test(
			test_ip_parse_ipv4_fragments_hold_their_transport_header_or_are_refused),
		cmocka_unit_test(
			test_ip_parse_ipv6_fragments_hold_their_transport_header_or_are_refused),
		cmocka_unit_test(test_ip_forwardable_refuses_what_no_router_forwards),
		cmocka_unit_test(
			test_ip_neighbour_discovery_counts_as_multicast_and_dhcp_as_broadcast),
		cmocka_unit_test(test_ip_addresses_of_two_families_are_never_equal),
		cmocka_unit_test(test_ip_prefix_masks_at_every_length),
		cmocka_unit_test(test_ip_prefix_check_refuses_too_many_bits_and_unknown_families),
		cmocka_unit_test(test_ip_ttl_goes_down_by_one_and_nothing_else_changes),
		cmocka_unit_test(test_ip_wrong_header_checksum_is_seen_and_stays_wrong),
		cmocka_unit_test(test_ip_ecn_decapsulation_marks_capable_packets_only),
		cmocka_unit_test(test_ip_ecn_mark_mends_every_checksum),
		cmocka_unit_test(
			test_ip_checksum_agrees_with_the_textbook_at_every_length_and_alignment),
		cmocka_unit_test(test_ip_checksum_of_a_full_super_packet),
		cmocka_unit_test(test_ip_pseudo_header_counts_addresses_protocol_and_length),
	};

	return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
