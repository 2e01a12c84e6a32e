/* The rate limit of handshake sources, on virtual time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "core/limits.h"
#include "core/ratelimit.h"

#define MS NS_PER_MS
#define T0 (1000 * NS_PER_S)

static const uint8_t KEY[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static struct wgh_endpoint from(const char *text)
{
	struct wgh_endpoint e = {.family = strchr(text, ':') ? WGH_IPV6 : WGH_IPV4, .port = 51820};

	assert_int_equal(1, inet_pton(e.family == WGH_IPV6 ? AF_INET6 : AF_INET, text, e.addr));
	return e;
}

static struct wgh_endpoint from_number(uint32_t n)
{
	struct wgh_endpoint e = {.family = WGH_IPV4};

	memcpy(e.addr, &n, 4);
	return e;
}

/* How many of 100 messages at the same moment pass. */
static unsigned burst(struct ratelimit *limit, const struct wgh_endpoint *e, uint64_t now_ns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 100; i++)
		n += ratelimit_allow(limit, e, now_ns);
	return n;
}

static int setup(void **state)
{
	*state = ratelimit_new(KEY, NULL);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	ratelimit_free(*state);
	return 0;
}

static void test_ratelimit_allows_a_burst_of_five(void **state)
{
	const struct wgh_endpoint a = from("192.0.2.1"), b = from("2001:db8::1");

	assert_int_equal(5, burst(*state, &a, T0));
	assert_int_equal(5, burst(*state, &b, T0));
	assert_int_equal(0, burst(*state, &a, T0 + 50 * MS - 1));
}

static void test_ratelimit_allows_twenty_a_second(void **state)
{
	const struct wgh_endpoint a = from("192.0.2.1");
	unsigned n = 0;

	assert_int_equal(5, burst(*state, &a, T0));
	for (unsigned ms = 1; ms <= 10000; ms++)
		n += ratelimit_allow(*state, &a, T0 + ms * MS);
	assert_int_equal(200, n);
}

static void test_ratelimit_refills_to_five_and_no_more(void **state)
{
	const struct wgh_endpoint a = from("192.0.2.1");

	assert_int_equal(5, burst(*state, &a, T0));
	assert_int_equal(1, burst(*state, &a, T0 + 50 * MS));
	assert_int_equal(4, burst(*state, &a, T0 + 250 * MS));
	assert_int_equal(5, burst(*state, &a, T0 + 500 * MS));
	assert_int_equal(5, burst(*state, &a, T0 + 1499 * MS)); /* remembered */
	assert_int_equal(5, burst(*state, &a, T0 + 9000 * MS)); /* forgotten */
}

static void test_ratelimit_counts_ipv4_by_address_whatever_the_port(void **state)
{
	struct wgh_endpoint a = from("192.0.2.1"), b = from("192.0.2.2");

	assert_int_equal(5, burst(*state, &a, T0));
	a.port = 1;
	a.local[3] = 9;
	a.local_ifindex = 7;
	assert_int_equal(0, burst(*state, &a, T0));
	assert_int_equal(5, burst(*state, &b, T0));
}

static void test_ratelimit_counts_ipv6_by_64_bits(void **state)
{
	const struct wgh_endpoint a = from("2001:db8:0:1::1"), same = from("2001:db8:0:1:ffff::2");
	const struct wgh_endpoint other = from("2001:db8:0:2::1");

	assert_int_equal(5, burst(*state, &a, T0));
	assert_int_equal(0, burst(*state, &same, T0));
	assert_int_equal(5, burst(*state, &other, T0));
}

static void test_ratelimit_keeps_the_families_apart(void **state)
{
	const struct wgh_endpoint v4 = from("32.1.13.184"),
				  v6 = from("2001:db8::"); /* same bytes */

	assert_int_equal(5, burst(*state, &v4, T0));
	assert_int_equal(5, burst(*state, &v6, T0));
}

static void test_ratelimit_denies_an_unknown_family(void **state)
{
	const struct wgh_endpoint none = {.family = WGH_UNSPEC};

	assert_int_equal(0, burst(*state, &none, T0));
}

static void test_ratelimit_gives_nothing_for_a_clock_that_steps_back(void **state)
{
	const struct wgh_endpoint a = from("192.0.2.1");

	assert_int_equal(5, burst(*state, &a, T0));
	assert_int_equal(0, burst(*state, &a, T0 - 500 * MS));
	assert_int_equal(0, burst(*state, &a, T0));
	assert_int_equal(1, burst(*state, &a, T0 + 50 * MS));
}

static void test_ratelimit_full_table_denies_newcomers_and_keeps_the_known(void **state)
{
	unsigned n = 0;

	/* Far more sources than places, all in one second. */
	for (uint32_t i = 0; i < 200000; i++) {
		const struct wgh_endpoint e = from_number(i);
		n += ratelimit_allow(*state, &e, T0);
	}
	assert_int_equal(8192, n);

	/* Those inside go on; nobody else gets in. */
	n = 0;
	for (uint32_t i = 0; i < 400000; i++) {
		const struct wgh_endpoint e = from_number(i);
		n += ratelimit_allow(*state, &e, T0 + 1 * MS);
	}
	assert_int_equal(8192, n);
}

static void test_ratelimit_forgets_idle_sources_after_a_second(void **state)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < 200000; i++) {
		const struct wgh_endpoint e = from_number(i);
		n += ratelimit_allow(*state, &e, T0);
	}
	assert_int_equal(8192, n);
	for (uint32_t i = 200000; i < 400000; i++) {
		const struct wgh_endpoint e = from_number(i);
		n += ratelimit_allow(*state, &e, T0 + 1000 * MS);
	}
	assert_int_equal(8192, n); /* not yet */
	for (uint32_t i = 200000; i < 400000; i++) {
		const struct wgh_endpoint e = from_number(i);
		n += ratelimit_allow(*state, &e, T0 + 1000 * MS + 1);
	}
	assert_int_equal(2 * 8192, n);
}

static void test_ratelimit_key_decides_who_shares_a_row(void **state)
{
	uint8_t other_key[16] = {0};
	struct ratelimit *other = ratelimit_new(other_key, NULL);
	unsigned differ = 0;

	assert_non_null(other);
	for (uint32_t i = 0; i < 20000; i++) {
		const struct wgh_endpoint e = from_number(i);
		differ += ratelimit_allow(*state, &e, T0) != ratelimit_allow(other, &e, T0);
	}
	assert_true(differ > 1000);
	ratelimit_free(other);
	ratelimit_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_ratelimit_allows_a_burst_of_five),
		T(test_ratelimit_allows_twenty_a_second),
		T(test_ratelimit_refills_to_five_and_no_more),
		T(test_ratelimit_counts_ipv4_by_address_whatever_the_port),
		T(test_ratelimit_counts_ipv6_by_64_bits),
		T(test_ratelimit_keeps_the_families_apart),
		T(test_ratelimit_denies_an_unknown_family),
		T(test_ratelimit_gives_nothing_for_a_clock_that_steps_back),
		T(test_ratelimit_full_table_denies_newcomers_and_keeps_the_known),
		T(test_ratelimit_forgets_idle_sources_after_a_second),
		T(test_ratelimit_key_decides_who_shares_a_row),
	};

	return cmocka_run_group_tests_name("ratelimit", tests, NULL, NULL);
}
