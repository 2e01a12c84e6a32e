/* What the hub says inside the tunnel. Checksums are judged by a textbook sum of its own. Packets
 * live in heap blocks of exactly their size. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/icmp.h"
#include "tests/lib/naive.h"

struct bytes {
	uint8_t data[2048];
	uint32_t len;
};

static bool is_v4(const struct bytes *b)
{
	return b->data[0] >> 4 == 4;
}

static uint32_t header_bytes(const struct bytes *b)
{
	return is_v4(b) ? (b->data[0] & 15u) * 4 : 40;
}

/* The sum over the ICMP message, with ICMPv6's pseudo header; 0xffff if its checksum is right. */
static uint32_t message_sum(const struct bytes *b)
{
	uint32_t at = header_bytes(b), sum = 0;

	if (!is_v4(b))
		sum = naive_sum(58 + b->len - at, b->data + 8, 32);
	return naive_sum(sum, b->data + at, b->len - at);
}

static void mend_header(struct bytes *b)
{
	put16(b->data + 10, 0);
	put16(b->data + 10, ~naive_sum(0, b->data, header_bytes(b)) & 0xffff);
}

static void mend_message(struct bytes *b)
{
	put16(b->data + header_bytes(b) + 2, 0);
	put16(b->data + header_bytes(b) + 2, ~message_sum(b) & 0xffff);
}

static void assert_checksums(const struct bytes *b)
{
	if (is_v4(b))
		assert_int_equal(0xffff, naive_sum(0, b->data, header_bytes(b)));
	assert_int_equal(0xffff, message_sum(b));
}

/* 10.0.0.7 -> 10.0.0.1 or fd00::7 -> fd00::1, body counted from the transport header. */
static struct bytes packet(unsigned version, uint8_t proto, uint32_t body_bytes)
{
	struct bytes b = {.len = body_bytes + (version == 4 ? 20 : 40)};

	for (uint32_t i = b.len - body_bytes; i < b.len; i++)
		b.data[i] = (uint8_t)(i * 7);
	if (version == 4) {
		b.data[0] = 0x45;
		put16(b.data + 2, b.len);
		put16(b.data + 4, 0x1234);
		b.data[8] = 17;
		b.data[9] = proto;
		memcpy(b.data + 12, (uint8_t[]){10, 0, 0, 7, 10, 0, 0, 1}, 8);
		mend_header(&b);
		return b;
	}
	b.data[0] = 0x60;
	put16(b.data + 4, body_bytes);
	b.data[6] = proto;
	b.data[7] = 17;
	b.data[8] = b.data[24] = 0xfd;
	b.data[23] = 7;
	b.data[39] = 1;
	return b;
}

static struct bytes icmp(unsigned version, uint8_t type, uint8_t code, uint32_t body_bytes)
{
	struct bytes b = packet(version, version == 4 ? 1 : 58, body_bytes);

	b.data[header_bytes(&b)] = type;
	b.data[header_bytes(&b) + 1] = code;
	mend_message(&b);
	return b;
}

/* Parses the packet in a block of its own; true: the reply is in *b. */
static bool echo(struct bytes *b)
{
	uint8_t *exact = malloc(b->len);
	struct ip_info info;

	assert_non_null(exact);
	memcpy(exact, b->data, b->len);
	assert_int_equal(DROP_NONE, ip_parse(&info, exact, b->len));
	bool replied = icmp_echo_reply(exact, &info);
	if (!replied)
		assert_memory_equal(b->data, exact, b->len); /* untouched */
	memcpy(b->data, exact, b->len);
	free(exact);
	return replied;
}

static bool may_answer(const struct bytes *b)
{
	uint8_t *exact = malloc(b->len);
	struct ip_info info;

	assert_non_null(exact);
	memcpy(exact, b->data, b->len);
	assert_int_equal(DROP_NONE, ip_parse(&info, exact, b->len));
	bool may = icmp_may_answer(exact, &info);
	free(exact);
	return may;
}

static struct bytes error_about(const struct bytes *about, enum icmp_error error, uint32_t mtu)
{
	struct wgh_addr hub = {.family = is_v4(about) ? WGH_IPV4 : WGH_IPV6};
	uint8_t *exact = malloc(about->len), *out = malloc(ICMP_ERROR_BYTES_MAX);
	struct bytes b = {0};
	struct ip_info info;

	inet_pton(is_v4(about) ? AF_INET : AF_INET6, is_v4(about) ? "10.0.0.254" : "fd00::fe",
		hub.bytes);
	assert_true(exact && out);
	memcpy(exact, about->data, about->len);
	memset(out, 0xa5, ICMP_ERROR_BYTES_MAX);
	assert_int_equal(DROP_NONE, ip_parse(&info, exact, about->len));
	b.len = icmp_error_write(out, error, mtu, &hub, exact, &info);
	assert_true(b.len <= ICMP_ERROR_BYTES_MAX);
	memcpy(b.data, out, b.len);
	assert_memory_equal(about->data, exact, about->len);
	free(exact);
	free(out);
	return b;
}

/* ---- echo ---- */

static void test_icmp_echo_reply_swaps_addresses_and_mends_checksums(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2)
		for (uint32_t bytes = 8; bytes < 80; bytes++) { /* odd ones too */
			struct bytes b = icmp(version, version == 4 ? 8 : 128, 0, bytes), was = b;
			uint32_t at = header_bytes(&b), addr = version == 4 ? 4 : 16;
			uint32_t src = version == 4 ? 12 : 8;

			assert_true(echo(&b));
			assert_checksums(&b);
			assert_int_equal(version == 4 ? 0 : 129, b.data[at]);
			assert_int_equal(0, b.data[at + 1]);
			assert_memory_equal(was.data + src, b.data + src + addr, addr);
			assert_memory_equal(was.data + src + addr, b.data + src, addr);
			assert_int_equal(64, b.data[version == 4 ? 8 : 7]);
			/* Identifier, sequence number and data come back as they are. */
			assert_memory_equal(was.data + at + 4, b.data + at + 4, bytes - 4);
		}
}

static void test_icmp_echo_reply_ignores_the_padding_of_the_tunnel(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		struct bytes b = icmp(version, version == 4 ? 8 : 128, 0, 13);
		memset(b.data + b.len, 0xee, 3);
		b.len += 3;
		assert_true(echo(&b));
		assert_int_equal(0xee, b.data[b.len - 1]);
		b.len -= 3;
		assert_checksums(&b);
	}
}

static void test_icmp_echo_with_ipv4_options_is_answered_but_no_source_route(void **state)
{
	(void)state;
	for (unsigned source_route = 0; source_route < 2; source_route++) {
		struct bytes b = icmp(4, 8, 0, 16);
		memmove(b.data + 28, b.data + 20, 16);
		memcpy(b.data + 20, (uint8_t[]){7, 7, 4, 0, 0, 0, 0, 0}, 8);
		if (source_route)
			b.data[20] = 131;
		b.data[0] = 0x47;
		b.len += 8;
		put16(b.data + 2, b.len);
		mend_header(&b);
		assert_int_equal(!source_route, echo(&b));
		assert_checksums(&b);
	}
}

static void test_icmp_echo_reply_refuses_all_but_whole_right_requests(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		uint8_t request = version == 4 ? 8 : 128;
		struct bytes good = icmp(version, request, 0, 24), b = good;
		uint32_t at = header_bytes(&good);

		for (unsigned type = 0; type < 256; type++) {
			b = icmp(version, (uint8_t)type, 0, 24);
			assert_int_equal(type == request, echo(&b));
		}
		b = icmp(version, request, 1, 24);
		assert_false(echo(&b));
		for (uint32_t bytes = 4; bytes < 8; bytes++) {
			b = icmp(version, request, 0, bytes);
			assert_false(echo(&b));
		}
		for (uint32_t i = at; i < good.len; i++) { /* every byte counts in the checksum */
			b = good;
			b.data[i] ^= 4;
			assert_false(echo(&b));
		}
		b = packet(version, 17, 24);
		assert_false(echo(&b));
		b = good;
		b.data[version == 4 ? 15 : 23] ^=
			4; /* another sender: a wrong header or pseudo header */
		assert_false(echo(&b));
		/* The other family's protocol number is no ping. */
		b = good;
		b.data[version == 4 ? 9 : 6] = version == 4 ? 58 : 1;
		if (version == 4)
			mend_header(&b);
		assert_false(echo(&b));
	}
}

static void test_icmp_echo_reply_refuses_fragments_and_extension_headers(void **state)
{
	(void)state;
	struct bytes b = icmp(4, 8, 0, 24);

	b.data[6] = 0x20;
	mend_header(&b);
	assert_false(echo(&b));

	b = icmp(6, 128, 0, 24);
	memmove(b.data + 48, b.data + 40, 24);
	memset(b.data + 40, 0, 8);
	b.data[40] = 58;
	b.data[6] = 60;
	b.len += 8;
	put16(b.data + 4, 32);
	assert_false(echo(&b));
}

/* ---- may we answer? ---- */

static void test_icmp_answers_data_and_queries_but_no_errors(void **state)
{
	(void)state;
	static const uint8_t queries4[] = {0, 8, 9, 10, 13, 14, 15, 16, 17, 18};

	for (unsigned version = 4; version <= 6; version += 2) {
		struct bytes b = packet(version, 17, 8);
		assert_true(may_answer(&b));
		b = packet(version, 6, 20);
		assert_true(may_answer(&b));
		b = packet(version, 17, 0);
		assert_true(may_answer(&b));
		b = packet(version, version == 4 ? 1 : 58, 0); /* not even a type */
		assert_false(may_answer(&b));
	}
	for (unsigned type = 0; type < 256; type++) {
		struct bytes v4 = icmp(4, (uint8_t)type, 0, 8), v6 = icmp(6, (uint8_t)type, 0, 8);
		assert_int_equal(
			memchr(queries4, (int)type, sizeof queries4) != NULL, may_answer(&v4));
		assert_int_equal(type >= 128 && type != 137, may_answer(&v6));
	}
}

static void test_icmp_answers_first_fragments_only(void **state)
{
	(void)state;
	struct bytes b = packet(4, 17, 16);

	b.data[6] = 0x20;
	assert_true(may_answer(&b));
	b.data[7] = 2;
	assert_false(may_answer(&b));

	b = packet(6, 44, 24);
	memcpy(b.data + 40, (uint8_t[]){17, 0, 0, 1, 0, 0, 0, 1}, 8);
	assert_true(may_answer(&b));
	b.data[43] = 16;
	assert_false(may_answer(&b));
}

static void test_icmp_answers_unicast_sources_and_destinations_only(void **state)
{
	(void)state;
	static const char *const bad[] = {"0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1",
		"255.255.255.255", "::", "::1", "ff02::1", "::ffff:10.0.0.1"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		bool v4 = !strchr(bad[i], ':');
		uint8_t addr[16];
		assert_int_equal(1, inet_pton(v4 ? AF_INET : AF_INET6, bad[i], addr));
		struct bytes b = packet(v4 ? 4 : 6, 17, 8), other = b;
		memcpy(b.data + (v4 ? 12 : 8), addr, v4 ? 4 : 16);
		assert_false(may_answer(&b));
		memcpy(other.data + (v4 ? 16 : 24), addr, v4 ? 4 : 16);
		assert_false(may_answer(&other));
	}
}

static void test_icmp_does_not_answer_what_hides_behind_many_headers(void **state)
{
	(void)state;
	struct bytes b = packet(6, 60, 9 * 8 + 8);

	memset(b.data + 40, 0, b.len - 40);
	for (unsigned n = 0; n < 9; n++)
		b.data[40 + n * 8] = n < 8 ? 60 : 58;
	assert_false(may_answer(&b));
}

/* ---- errors ---- */

static void test_icmp_errors_have_the_type_and_code_of_their_rfc(void **state)
{
	(void)state;
	static const struct {
		enum icmp_error error;
		uint8_t type4, code4, type6, code6;
	} rows[] = {
		{ICMP_TIME_EXCEEDED, 11, 0, 3, 0},
		{ICMP_NO_ROUTE, 3, 1, 1, 3},
		{ICMP_ADMIN_PROHIBITED, 3, 13, 1, 1},
		{ICMP_PORT_UNREACHABLE, 3, 3, 1, 4},
		{ICMP_PROTOCOL_UNREACHABLE, 3, 2, 4, 1},
		{ICMP_TOO_BIG, 3, 4, 2, 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bytes v4 = packet(4, 17, 30), v6 = packet(6, 17, 30);
		struct bytes e4 = error_about(&v4, rows[i].error, 1420);
		struct bytes e6 = error_about(&v6, rows[i].error, 1420);
		uint32_t rest4 = rows[i].error == ICMP_TOO_BIG ? 1420 : 0;
		uint32_t rest6 = rows[i].error == ICMP_PROTOCOL_UNREACHABLE ? 6 : rest4;

		assert_int_equal(rows[i].type4, e4.data[20]);
		assert_int_equal(rows[i].code4, e4.data[21]);
		assert_int_equal(0, get16(e4.data + 24));
		assert_int_equal(rest4, get16(e4.data + 26));
		assert_int_equal(rows[i].type6, e6.data[40]);
		assert_int_equal(rows[i].code6, e6.data[41]);
		assert_int_equal(0, get16(e6.data + 44));
		assert_int_equal(rest6, get16(e6.data + 46));
		assert_checksums(&e4);
		assert_checksums(&e6);
	}
}

static void test_icmp_error_goes_from_the_hub_to_the_source(void **state)
{
	(void)state;
	struct bytes v4 = packet(4, 17, 30), v6 = packet(6, 17, 30);
	struct bytes e4 = error_about(&v4, ICMP_TIME_EXCEEDED, 0);
	struct bytes e6 = error_about(&v6, ICMP_TIME_EXCEEDED, 0);
	struct wgh_addr hub4 = {.family = WGH_IPV4}, hub6 = {.family = WGH_IPV6};
	struct ip_info info;

	inet_pton(AF_INET, "10.0.0.254", hub4.bytes);
	inet_pton(AF_INET6, "fd00::fe", hub6.bytes);
	assert_int_equal(DROP_NONE, ip_parse(&info, e4.data, e4.len));
	assert_int_equal(e4.len, info.len_bytes);
	assert_true(wgh_addr_equal(&hub4, &info.src));
	assert_memory_equal(v4.data + 12, info.dst.bytes, 4);
	assert_int_equal(64, info.ttl);
	assert_int_equal(IP_PROTO_ICMP, info.proto);
	assert_int_equal(DROP_NONE, ip_forwardable(&info));
	assert_int_equal(DROP_NONE, ip_parse(&info, e6.data, e6.len));
	assert_int_equal(e6.len, info.len_bytes);
	assert_true(wgh_addr_equal(&hub6, &info.src));
	assert_memory_equal(v6.data + 8, info.dst.bytes, 16);
	assert_int_equal(64, info.ttl);
	assert_int_equal(IP_PROTO_ICMPV6, info.proto);
	assert_int_equal(DROP_NONE, ip_forwardable(&info));
}

static void test_icmp_error_quotes_as_much_as_fits(void **state)
{
	(void)state;
	for (uint32_t bytes = 0; bytes < 1500; bytes += bytes < 60 ? 1 : 13) {
		struct bytes v4 = packet(4, 17, bytes), v6 = packet(6, 17, bytes);
		struct bytes padded = v4;
		uint32_t want4 = 28 + v4.len < 576 ? 28 + v4.len : 576;
		uint32_t want6 = 48 + v6.len < 1280 ? 48 + v6.len : 1280;

		padded.len += 5; /* padding of the tunnel is not quoted */
		struct bytes e4 = error_about(&padded, ICMP_NO_ROUTE, 0);
		struct bytes e6 = error_about(&v6, ICMP_NO_ROUTE, 0);
		assert_int_equal(want4, e4.len);
		assert_int_equal(want6, e6.len);
		assert_memory_equal(v4.data, e4.data + 28, want4 - 28);
		assert_memory_equal(v6.data, e6.data + 48, want6 - 48);
		assert_checksums(&e4);
		assert_checksums(&e6);
	}
}

static void test_icmp_too_big_never_wraps_its_mtu(void **state)
{
	(void)state;
	struct bytes v4 = packet(4, 17, 30), v6 = packet(6, 17, 30);
	struct bytes e4 = error_about(&v4, ICMP_TOO_BIG, 65536 + 9);
	struct bytes e6 = error_about(&v6, ICMP_TOO_BIG, 65536 + 9);

	assert_int_equal(65535, get16(e4.data + 26));
	assert_int_equal(1, get16(e6.data + 44));
	assert_int_equal(9, get16(e6.data + 46));
}

static void test_icmp_protocol_unreachable_points_at_the_last_next_header(void **state)
{
	(void)state;
	struct bytes b = packet(6, 0, 16 + 8);

	memset(b.data + 40, 0, 24);
	b.data[40] = 60; /* hop by hop, then destination options, then protocol 200 */
	b.data[48] = 200;
	struct bytes e = error_about(&b, ICMP_PROTOCOL_UNREACHABLE, 0);
	assert_int_equal(0, get16(e.data + 44));
	assert_int_equal(48, get16(e.data + 46));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_icmp_echo_reply_swaps_addresses_and_mends_checksums),
		cmocka_unit_test(test_icmp_echo_reply_ignores_the_padding_of_the_tunnel),
		cmocka_unit_test(test_icmp_echo_with_ipv4_options_is_answered_but_no_source_route),
		cmocka_unit_test(test_icmp_echo_reply_refuses_all_but_whole_right_requests),
		cmocka_unit_test(test_icmp_echo_reply_refuses_fragments_and_extension_headers),
		cmocka_unit_test(test_icmp_answers_data_and_queries_but_no_errors),
		cmocka_unit_test(test_icmp_answers_first_fragments_only),
		cmocka_unit_test(test_icmp_answers_unicast_sources_and_destinations_only),
		cmocka_unit_test(test_icmp_does_not_answer_what_hides_behind_many_headers),
		cmocka_unit_test(test_icmp_errors_have_the_type_and_code_of_their_rfc),
		cmocka_unit_test(test_icmp_error_goes_from_the_hub_to_the_source),
		cmocka_unit_test(test_icmp_error_quotes_as_much_as_fits),
		cmocka_unit_test(test_icmp_too_big_never_wraps_its_mtu),
		cmocka_unit_test(test_icmp_protocol_unreachable_points_at_the_last_next_header),
	};

	return cmocka_run_group_tests_name("icmp", tests, NULL, NULL);
}
