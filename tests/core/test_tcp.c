/* Resets as RFC 9293 section 3.10.7.1 wants them, and the clamp, against packets built with the
 * lower MSS from the start. Every packet lives in a heap block of its exact size. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/flow_key.h"
#include "core/tcp.h"
#include "tests/lib/transport.h"

struct exact {
	uint8_t *data;
	uint32_t len_bytes;
	struct ip_info info;
};

static struct exact exact_of(const uint8_t *bytes, uint32_t len_bytes)
{
	struct exact e = {malloc(len_bytes), len_bytes};

	assert_non_null(e.data);
	memcpy(e.data, bytes, len_bytes);
	assert_int_equal(ip_parse(&e.info, e.data, len_bytes), DROP_NONE);
	return e;
}

static struct exact build(const struct transport *t)
{
	uint8_t bytes[TRANSPORT_BYTES_MAX];

	return exact_of(bytes, transport_build(bytes, t));
}

static struct transport segment(struct rng *rng, uint8_t family, uint8_t flags)
{
	struct transport t = transport_random(rng, family, TRANSPORT_TCP);

	t.tcp_flags = flags;
	return t;
}

/* ---- resets ---- */

static void test_tcp_reset_is_what_the_rfc_says(void **state)
{
	struct rng rng = {1};

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		const uint8_t family = round & 1 ? WGH_IPV4 : WGH_IPV6;
		const uint8_t flags = (uint8_t)(rng_next(&rng) & ~TCP_RST & 0xff);
		const struct transport t = segment(&rng, family, flags ? flags : TCP_SYN);
		struct exact e = build(&t);
		struct transport want = transport_reverse(&t);
		uint8_t out[TCP_RESET_BYTES_MAX], expected[TRANSPORT_BYTES_MAX];
		uint32_t l4 = family == WGH_IPV4 ? 20 : 40, len;

		assert_true(tcp_may_reset(e.data, &e.info));
		len = tcp_reset_write(out, e.data, &e.info);
		want.n_options = 0;
		want.payload_bytes = 0;
		want.ttl = 64;
		if (t.tcp_flags & TCP_ACK) {
			want.seq = t.ack;
			want.ack = 0;
			want.tcp_flags = TCP_RST;
		} else {
			want.seq = 0;
			want.ack = t.seq + t.payload_bytes + ((t.tcp_flags & TCP_SYN) != 0) +
				((t.tcp_flags & TCP_FIN) != 0);
			want.tcp_flags = TCP_RST | TCP_ACK;
		}
		assert_int_equal(transport_build(expected, &want), len);
		if (family == WGH_IPV4) {
			memcpy(expected + 4, (uint8_t[]){0, 0, 0x40, 0}, 4);
		}
		memset(expected + l4 + 14, 0, 2); /* no window */
		transport_checksums_set(expected, len);
		assert_memory_equal(out, expected, len);
		free(e.data);
	}
}

static void test_tcp_never_resets_a_reset_nor_anything_that_may_be_broken(void **state)
{
	struct rng rng = {2};

	(void)state;
	for (uint8_t family = WGH_IPV4; family <= WGH_IPV6; family += 2) {
		struct transport t = segment(&rng, family, TCP_RST);
		struct exact e = build(&t);
		uint8_t bytes[TRANSPORT_BYTES_MAX], out[TCP_RESET_BYTES_MAX];
		struct ip_info info;

		assert_false(tcp_may_reset(e.data, &e.info));
		free(e.data);

		t = segment(&rng, family, TCP_ACK);
		t.payload_bytes = 100;
		t.n_options = 0;
		e = build(&t);
		assert_true(tcp_may_reset(e.data, &e.info));
		/* No answer to the answer. */
		const uint32_t len = tcp_reset_write(out, e.data, &e.info);
		assert_int_equal(ip_parse(&info, out, len), DROP_NONE);
		assert_false(tcp_may_reset(out, &info));
		/* A wrong checksum; a header longer than the packet; a fragment. */
		e.data[e.len_bytes - 1] ^= 1;
		assert_false(tcp_may_reset(e.data, &e.info));
		e.data[e.len_bytes - 1] ^= 1;
		e.data[e.info.l4_offset + 12] = 0x40;
		transport_checksums_set(e.data, e.len_bytes);
		assert_false(tcp_may_reset(e.data, &e.info));
		e.data[e.info.l4_offset + 12] = 0x50;
		transport_checksums_set(e.data, e.len_bytes);
		assert_true(tcp_may_reset(e.data, &e.info));
		struct exact part =
			exact_of(bytes, transport_fragment(bytes, e.data, e.len_bytes, 1, 80, 0));
		assert_false(tcp_may_reset(part.data, &part.info));
		free(part.data);
		free(e.data);

		t.payload_bytes = 0;
		e = build(&t);
		e.data[e.info.l4_offset + 12] = 0x60;
		e.data[e.info.l4_offset + 13] = TCP_SYN;
		transport_checksums_set(e.data, e.len_bytes);
		assert_false(tcp_may_reset(e.data, &e.info));
		assert_false(tcp_clamp_mss(e.data, &e.info, 1000));
		free(e.data);

		/* From an address that is no host's. */
		t.src = transport_addr(family == WGH_IPV4 ? "224.0.0.1" : "ff02::1");
		e = build(&t);
		assert_false(tcp_may_reset(e.data, &e.info));
		free(e.data);
		/* And UDP is no TCP. */
		t = transport_random(&rng, family, TRANSPORT_UDP);
		e = build(&t);
		assert_false(tcp_may_reset(e.data, &e.info));
		free(e.data);
	}
}

/* ---- the clamp ---- */

/* A segment whose payload begins with these options; they become its header's. */
static struct exact with_options(
	uint8_t family, uint8_t flags, const uint8_t *options, uint32_t n_bytes)
{
	struct rng rng = {9};
	struct transport t = segment(&rng, family, flags);
	uint8_t bytes[TRANSPORT_BYTES_MAX];
	struct ip_info info;
	uint32_t len;

	t.n_options = 0;
	t.payload_bytes = n_bytes + 20;
	len = transport_build(bytes, &t);
	assert_int_equal(ip_parse(&info, bytes, len), DROP_NONE);
	memcpy(bytes + info.l4_offset + 20, options, n_bytes);
	bytes[info.l4_offset + 12] = (uint8_t)((20 + n_bytes) / 4 << 4);
	transport_checksums_set(bytes, len);
	return exact_of(bytes, len);
}

static void test_tcp_clamp_lowers_the_mss_and_nothing_else(void **state)
{
	/* The option at even and odd places. */
	static const struct {
		uint8_t options[8];
		unsigned at;
	} CASES[] = {
		{{2, 4, 0, 0, 1, 1, 1, 1}, 2},
		{{1, 2, 4, 0, 0, 1, 1, 1}, 3},
		{{3, 3, 7, 2, 4, 0, 0, 1}, 5},
		{{4, 2, 1, 1, 2, 4, 0, 0}, 6},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
		for (uint8_t family = WGH_IPV4; family <= WGH_IPV6; family += 2)
			for (uint32_t mss = 1300; mss < 1500; mss += 7) {
				const uint32_t fits = 1420 - (family == WGH_IPV4 ? 40 : 60);
				uint8_t is[8], shall[8];
				struct exact a, b;

				memcpy(is, CASES[i].options, 8);
				is[CASES[i].at] = (uint8_t)(mss >> 8);
				is[CASES[i].at + 1] = (uint8_t)mss;
				memcpy(shall, is, 8);
				if (mss > fits) {
					shall[CASES[i].at] = (uint8_t)(fits >> 8);
					shall[CASES[i].at + 1] = (uint8_t)fits;
				}
				a = with_options(family, TCP_SYN, is, 8);
				b = with_options(family, TCP_SYN, shall, 8);
				assert_int_equal(tcp_clamp_mss(a.data, &a.info, 1420), mss > fits);
				assert_memory_equal(a.data, b.data, a.len_bytes);
				free(a.data);
				free(b.data);
			}
}

static void assert_not_clamped(uint8_t flags, const uint8_t options[8])
{
	struct exact a = with_options(WGH_IPV4, flags, options, 8),
		     b = with_options(WGH_IPV4, flags, options, 8);

	assert_false(tcp_clamp_mss(a.data, &a.info, 1000));
	assert_memory_equal(a.data, b.data, a.len_bytes);
	free(a.data);
	free(b.data);
}

static void test_tcp_clamp_leaves_everything_else_alone(void **state)
{
	static const uint8_t MSS[8] = {2, 4, 5, 0xb4, 1, 1, 1, 1};
	struct exact e = with_options(WGH_IPV4, TCP_SYN, MSS, 8);

	(void)state;
	assert_true(tcp_clamp_mss(e.data, &e.info, 1000));
	free(e.data);
	e = with_options(WGH_IPV4, TCP_SYN, MSS, 8);
	assert_false(tcp_clamp_mss(e.data, &e.info, 40)); /* an MTU nothing fits in */
	free(e.data);
	assert_not_clamped(TCP_ACK, MSS);
	assert_not_clamped(TCP_SYN, (const uint8_t[]){1, 1, 1, 1, 1, 1, 1, 1});
	assert_not_clamped(
		TCP_SYN, (const uint8_t[]){0, 2, 4, 5, 0xb4, 0, 0, 0}); /* behind the end */
	assert_not_clamped(TCP_SYN, (const uint8_t[]){2, 3, 5, 1, 2, 4, 5, 0xb4});
	assert_not_clamped(TCP_SYN, (const uint8_t[]){3, 0, 2, 4, 5, 0xb4, 0, 0});
	assert_not_clamped(TCP_SYN, (const uint8_t[]){1, 1, 1, 1, 1, 2, 4, 5}); /* cut off */
	assert_not_clamped(TCP_SYN, (const uint8_t[]){1, 1, 1, 1, 1, 1, 1, 2});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_reset_is_what_the_rfc_says),
		cmocka_unit_test(test_tcp_never_resets_a_reset_nor_anything_that_may_be_broken),
		cmocka_unit_test(test_tcp_clamp_lowers_the_mss_and_nothing_else),
		cmocka_unit_test(test_tcp_clamp_leaves_everything_else_alone),
	};

	return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
