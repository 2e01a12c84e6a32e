/* test_text.c - control/text.c: what is read and what is refused, and that hostile bytes become
 * harmless. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <net/if.h>
#include <string.h>

#include "control/text.h"

static void test_number_takes_digits_only(void **state)
{
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x10", "1.0", "65536",
		"18446744073709551616", "99999999999999999999999", "1\n"};
	uint64_t n = 7;

	(void)state;
	assert_true(text_number(&n, "65535", 5, 65535));
	assert_int_equal(n, 65535);
	assert_true(text_number(&n, "0", 1, 65535));
	assert_int_equal(n, 0);
	assert_true(text_number(&n, "18446744073709551615", 20, UINT64_MAX));
	assert_true(n == UINT64_MAX);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(text_number(&n, bad[i], strlen(bad[i]), 65535));
	assert_true(n == UINT64_MAX);
	/* Only the first n bytes count. */
	assert_true(text_number(&n, "12x", 2, 65535));
	assert_int_equal(n, 12);
}

static void test_prefix_round_trip(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {{"10.0.0.2/32", "10.0.0.2/32"}, {"10.0.0.2", "10.0.0.2/32"},
		{"10.1.2.3/8", "10.1.2.3/8"}, {"0.0.0.0/0", "0.0.0.0/0"},
		{"fd00::2", "fd00::2/128"}, {"2001:DB8:0:0::1/64", "2001:db8::1/64"},
		{"::/0", "::/0"}, {"::ffff:10.0.0.1/128", "::ffff:10.0.0.1/128"}};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		char text[TEXT_PREFIX_CHARS];
		struct wgh_prefix p;

		assert_null(text_prefix(&p, good[i].in, strlen(good[i].in)));
		text_from_prefix(text, &p);
		assert_string_equal(text, good[i].out);
	}
}

static void test_prefix_refuses_what_is_not_exactly_one(void **state)
{
	static const char *const bad[] = {"", "/", "/24", "10.0.0.0/", "10.0.0.0/33", "fd00::/129",
		"10.0.0.0/-1", "10.0.0.0/ 8", "10.0.0/24", "10.0.0.256/32", "010.0.0.1/32",
		"10.0.0.0/8/8", "10.0.0.0/8 ", " 10.0.0.0/8", "fe80::1%eth0/128", "[fd00::1]/128",
		"name/32", "1", "0x0a.0.0.1", ":::/0", "1:2:3:4:5:6:7:8:9/64",
		"fd00:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/64"};
	struct wgh_prefix p = {.bits = 77};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(text_prefix(&p, bad[i], strlen(bad[i])));
	assert_non_null(text_prefix(&p, "10.0.0.0\0/8", 11));
	assert_int_equal(p.bits, 77);
}

static void test_prefix_mask_clears_host_bits(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {{"10.1.2.255/24", "10.1.2.0/24"}, {"10.1.2.255/25", "10.1.2.128/25"},
		{"10.1.2.3/0", "0.0.0.0/0"}, {"10.1.2.3/32", "10.1.2.3/32"},
		{"10.1.2.3/9", "10.0.0.0/9"}, {"fd00:1:2:3:4::1/65", "fd00:1:2:3::/65"},
		{"ffff::1/128", "ffff::1/128"}, {"ffff::/4", "f000::/4"}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[TEXT_PREFIX_CHARS];
		struct wgh_prefix p;

		assert_null(text_prefix(&p, cases[i].in, strlen(cases[i].in)));
		text_prefix_mask(&p);
		text_from_prefix(text, &p);
		assert_string_equal(text, cases[i].out);
	}
}

static void test_prefix_covers_its_own_part_of_the_family(void **state)
{
	static const struct {
		const char *a, *b;
		bool covers;
	} cases[] = {{"10.0.0.1/24", "10.0.0.77/32", true}, {"10.0.0.1/24", "10.0.0.0/24", true},
		{"10.0.0.1/24", "10.0.1.0/32", false}, {"10.0.0.1/24", "10.0.0.0/23", false},
		{"0.0.0.0/0", "10.0.0.0/8", true}, {"0.0.0.0/0", "fd00::/8", false},
		{"fd00::1/64", "fd00::ffff/128", true}, {"fd00::1/64", "fd00:0:0:1::/128", false}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_prefix a, b;

		assert_null(text_prefix(&a, cases[i].a, strlen(cases[i].a)));
		assert_null(text_prefix(&b, cases[i].b, strlen(cases[i].b)));
		assert_int_equal(text_prefix_covers(&a, &b), cases[i].covers);
	}
}

static void test_endpoint_round_trip(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {{"192.0.2.1:51820", "192.0.2.1:51820"}, {"[2001:db8::1]:1", "[2001:db8::1]:1"},
		{"[::ffff:192.0.2.1]:65535", "192.0.2.1:65535"},
		{"[fe80::1%lo]:5", "[fe80::1%lo]:5"},
		{"[fe80::1%4000000]:5", "[fe80::1%4000000]:5"}};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		char text[TEXT_ENDPOINT_CHARS];
		struct wgh_endpoint e;

		assert_null(text_endpoint(&e, good[i].in, strlen(good[i].in)));
		text_from_endpoint(text, &e);
		assert_string_equal(text, good[i].out);
	}
}

static void test_endpoint_gets_scope_of_link_local(void **state)
{
	struct wgh_endpoint e;

	(void)state;
	assert_null(text_endpoint(&e, "[fe80::1%lo]:5", 14));
	assert_int_equal(e.scope_id, if_nametoindex("lo"));
	assert_int_equal(e.family, WGH_IPV6);
	assert_int_equal(e.port, 5);
}

static void test_endpoint_refuses(void **state)
{
	static const char *const bad[] = {"", ":", ":5", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0",
		"192.0.2.1:65536", "192.0.2.1:-1", "[192.0.2.1]:5", "2001:db8::1:5",
		"[2001:db8::1]", "[2001:db8::1]5", "[2001:db8::1:5", "[]:5", "[2001:db8::1%lo]:5",
		"[fe80::1%]:5", "[fe80::1%nosuchif0]:5", "[fe80::1%averyveryverylongname]:5",
		"example.org:5", "192.0.2.1:5 ", "192.0.2.1:5x", "192.0.2.1:0x5", "[[::1]]:5"};
	struct wgh_endpoint e = {.port = 99};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(text_endpoint(&e, bad[i], strlen(bad[i])));
	assert_int_equal(e.port, 99);
}

static void test_host_port_takes_names_only(void **state)
{
	static const char *const bad[] = {"example.org", "example.org:", "example.org:0", ":5",
		"-x.org:5", ".org:5", "a b.org:5", "10.0.0.256:5", "10.1:5", "a;b:5", "[a]:5",
		"a/b:5"};
	char host[TEXT_HOST_CHARS], longest[300];
	uint16_t port;

	(void)state;
	assert_null(text_host_port(host, &port, "vpn-1.example.org:51820", 23));
	assert_string_equal(host, "vpn-1.example.org");
	assert_int_equal(port, 51820);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(text_host_port(host, &port, bad[i], strlen(bad[i])));
	memset(longest, 'a', sizeof longest);
	memcpy(longest + 253, ":5", 2);
	assert_null(text_host_port(host, &port, longest, 255));
	assert_int_equal(strlen(host), 253);
	memset(longest, 'a', sizeof longest);
	memcpy(longest + 254, ":5", 2);
	assert_non_null(text_host_port(host, &port, longest, 256));
}

static void test_ifname_is_what_the_kernel_takes(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "sixteen-letters.", "wg 0", "wg0\n",
		"wg%d", "--help", "\xc3\xa4"};

	(void)state;
	assert_null(text_ifname("wg0", 3));
	assert_null(text_ifname("fifteen-letters", 15));
	assert_null(text_ifname("a_=+.-Z9", 8));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(text_ifname(bad[i], strlen(bad[i])));
	assert_non_null(text_ifname("wg\0", 3));
}

static void test_escape_leaves_nothing_a_terminal_obeys(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {{"plain text", "plain text"}, {"a\nb\x1b[2J", "a\\x0ab\\x1b[2J"},
		{"back\\slash", "back\\slash"}, {"Z\xc3\xbcrich", "Z\xc3\xbcrich"},
		{"\xff\xfe", "\\xff\\xfe"}, {"\xc3", "\\xc3"}, {"\xc0\xaf", "\\xc0\\xaf"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, {"\xc2\x9b", "\\xc2\\x9b"},
		{"a\xe2\x80\xaez", "a\\xe2\\x80\\xaez"},
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, {"\xe0\x80\x80", "\\xe0\\x80\\x80"},
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		text_escape(out, sizeof out, cases[i].in, strlen(cases[i].in));
		assert_string_equal(out, cases[i].out);
		text_escape(out, sizeof out, cases[i].out, strlen(cases[i].out));
		assert_string_equal(out, cases[i].out);
	}
	text_escape(out, sizeof out, "a\0b", 3);
	assert_string_equal(out, "a\\x00b");
}

static void test_escape_ends_long_text_within_its_room(void **state)
{
	char in[200], out[64];

	(void)state;
	memset(in, 'a', sizeof in);
	for (size_t size = 4; size <= sizeof out; size++) {
		memset(out, '#', sizeof out);
		text_escape(out, size, in, sizeof in);
		assert_int_equal(strlen(out), size - 1);
		assert_string_equal(out + size - 4, "...");
	}
	text_escape(out, 9, "aaaaaaa\n", 8);
	assert_string_equal(out, "aaaaa...");
	text_escape(out, 9, "aaaaaaaa", 8);
	assert_string_equal(out, "aaaaaaaa");
}

static void test_peer_address_is_one_ipv4_address(void **state)
{
	static const char *const bad[] = {"", "/32", "10.0.0.2/24", "10.0.0.2/33", "10.0.0.2/032",
		"10.0.0.2/", "10.0.0", "10.0.0.02", "10.0.0.256", "fd00::2", "fd00::2/128",
		"(none)", "10.0.0.2 ", "0x0a.0.0.2", "10.0.0.2/32/32", "name"};
	struct wgh_addr addr = {.family = 77};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(text_peer_addr(&addr, bad[i], strlen(bad[i])));
	assert_int_equal(addr.family, 77);
	assert_null(text_peer_addr(&addr, "10.0.0.2", 8));
	assert_null(text_peer_addr(&addr, "10.0.0.3/32", 11));
	assert_int_equal(addr.family, WGH_IPV4);
	assert_int_equal(addr.bytes[3], 3);
}

static void test_line_has_no_control_characters(void **state)
{
	(void)state;
	assert_true(text_is_line("", 0));
	assert_true(text_is_line("b\xc3\xa4nk \xc2\xa0", 8));
	assert_false(text_is_line("a\nb", 3));
	assert_false(text_is_line("a\0b", 3));
	assert_false(text_is_line("\x7f", 1));
	assert_false(text_is_line("\x1b[2J", 4));
	assert_false(text_is_line("\xc2\x9b", 2)); /* CSI as one character */
}

static void test_one_slip_of_the_finger_is_near_and_two_are_not(void **state)
{
	(void)state;
	assert_true(text_is_near("show", "show"));
	assert_true(text_is_near("sho", "show"));
	assert_true(text_is_near("shoow", "show"));
	assert_true(text_is_near("shaw", "show"));
	assert_true(text_is_near("shwo", "show"));
	assert_true(text_is_near("", "a"));
	assert_false(text_is_near("", "ab"));
	assert_false(text_is_near("hsow", "shwo"));
	assert_false(text_is_near("shawl", "show"));
	assert_false(text_is_near("wosh", "show"));
	assert_true(text_is_near("aaa", "aaaa")); /* head and tail would overlap */
	assert_false(text_is_near("aa", "aaaa"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number_takes_digits_only),
		cmocka_unit_test(test_peer_address_is_one_ipv4_address),
		cmocka_unit_test(test_one_slip_of_the_finger_is_near_and_two_are_not),
		cmocka_unit_test(test_line_has_no_control_characters),
		cmocka_unit_test(test_prefix_round_trip),
		cmocka_unit_test(test_prefix_refuses_what_is_not_exactly_one),
		cmocka_unit_test(test_prefix_mask_clears_host_bits),
		cmocka_unit_test(test_prefix_covers_its_own_part_of_the_family),
		cmocka_unit_test(test_endpoint_round_trip),
		cmocka_unit_test(test_endpoint_gets_scope_of_link_local),
		cmocka_unit_test(test_endpoint_refuses),
		cmocka_unit_test(test_host_port_takes_names_only),
		cmocka_unit_test(test_ifname_is_what_the_kernel_takes),
		cmocka_unit_test(test_escape_leaves_nothing_a_terminal_obeys),
		cmocka_unit_test(test_escape_ends_long_text_within_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
