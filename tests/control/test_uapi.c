/* test_uapi.c - control/uapi.c: the whole grammar as a table, and requests in pieces. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/uapi.h"

#define K1 "1111111111111111111111111111111111111111111111111111111111111111"
#define K2 "22222222222222222222222222222222222222222222222222222222222222aB"
#define PEER1 "public_key=" K1 "\n"

static struct uapi_parser *parser_new(void)
{
	struct uapi_parser *p = uapi_parser_new();

	assert_non_null(p);
	return p;
}

/* Feeds the text in pieces of step bytes; every byte must be used by the one request it is. */
static enum uapi_event feed(struct uapi_parser *p, const char *text, size_t n, size_t step)
{
	enum uapi_event event = UAPI_MORE;
	size_t at = 0, used;

	while (at < n) {
		size_t piece = n - at < step ? n - at : step;

		assert_int_equal(event, UAPI_MORE);
		event = uapi_parse(p, text + at, piece, &used);
		assert_int_equal(used, piece);
		at += piece;
	}
	return event;
}

/* The errno of "set=1", the given lines and the empty line; the same in one piece and byte by byte.
 */
static int set_errno_n(const char *lines, size_t n)
{
	char *text = malloc(n + 8);
	int error[2];

	memcpy(text, "set=1\n", 6);
	memcpy(text + 6, lines, n);
	memcpy(text + 6 + n, "\n", 1);
	for (size_t i = 0; i < 2; i++) {
		struct uapi_parser *p = parser_new();

		assert_int_equal(feed(p, text, n + 7, i ? 1 : SIZE_MAX), UAPI_SET);
		error[i] = uapi_error(p);
		assert_true(!error[i] == !*uapi_error_text(p));
		uapi_parser_free(p);
	}
	free(text);
	assert_int_equal(error[0], error[1]);
	return error[0];
}

static int set_errno(const char *lines)
{
	return set_errno_n(lines, strlen(lines));
}

static void test_every_key_good_and_bad(void **state)
{
	static const struct {
		const char *lines;
		int error;
	} cases[] = {
		{"", 0},
		{"private_key=" K1 "\n", 0},
		{"private_key=" K2 "\n", 0},
		{"private_key=" K1 "1\n", -EINVAL},
		{"private_key= " K1 "\n", -EINVAL},
		{"private_key=\n", -EINVAL},
		{"private_key=g" K1 "\n", -EINVAL},
		{"listen_port=0\n", 0},
		{"listen_port=65535\n", 0},
		{"listen_port=65536\n", -EINVAL},
		{"listen_port=-1\n", -EINVAL},
		{"listen_port=+1\n", -EINVAL},
		{"listen_port= 1\n", -EINVAL},
		{"listen_port=0x10\n", -EINVAL},
		{"listen_port=\n", -EINVAL},
		{"fwmark=4294967295\n", 0},
		{"fwmark=0\n", 0},
		{"fwmark=4294967296\n", -EINVAL},
		{"fwmark=off\n", -EINVAL},
		{"replace_peers=true\n", 0},
		{"replace_peers=false\n", -EINVAL},
		{"replace_peers=1\n", -EINVAL},
		{"replace_peers=\n", -EINVAL},
		{"protocol_version=1\n", 0},
		{"protocol_version=2\n", -EINVAL},
		{"protocol_version=01\n", -EINVAL},
		{PEER1, 0},
		{"public_key=" K2 "\n", 0},
		{"public_key=11\n", -EINVAL},
		{"public_key=" K1 "11\n", -EINVAL},
		{PEER1 "remove=true\n", 0},
		{PEER1 "remove=yes\n", -EINVAL},
		{PEER1 "update_only=true\n", 0},
		{PEER1 "update_only=false\n", -EINVAL},
		{PEER1 "preshared_key=" K2 "\n", 0},
		{PEER1 "preshared_key=2\n", -EINVAL},
		{PEER1 "endpoint=192.0.2.1:5\n", 0},
		{PEER1 "endpoint=[2001:db8::1]:5\n", 0},
		{PEER1 "endpoint=[fe80::1%lo]:5\n", 0},
		{PEER1 "endpoint=2001:db8::1:5\n", -EINVAL},
		{PEER1 "endpoint=host.example:5\n", -EINVAL},
		{PEER1 "endpoint=192.0.2.1\n", -EINVAL},
		{PEER1 "endpoint=\n", -EINVAL},
		{PEER1 "persistent_keepalive_interval=25\n", 0},
		{PEER1 "persistent_keepalive_interval=0\n", 0},
		{PEER1 "persistent_keepalive_interval=65536\n", -EINVAL},
		{PEER1 "persistent_keepalive_interval=off\n", -EINVAL},
		{PEER1 "replace_allowed_ips=true\n", 0},
		{PEER1 "replace_allowed_ips=\n", -EINVAL},
		{PEER1 "allowed_ip=10.0.0.0/8\n", 0},
		{PEER1 "allowed_ip=10.0.0.1\n", 0},
		{PEER1 "allowed_ip=fd00::1\n", 0},
		{PEER1 "allowed_ip=-10.0.0.0/8\n", 0},
		{PEER1 "allowed_ip=+10.0.0.0/8\n", -EINVAL},
		{PEER1 "allowed_ip=--10.0.0.0/8\n", -EINVAL},
		{PEER1 "allowed_ip=10.0.0.0/33\n", -EINVAL},
		{PEER1 "allowed_ip=10.0.0.0/8,10.1.0.0/16\n", -EINVAL},
		{PEER1 "allowed_ip=\n", -EINVAL},
		{PEER1 "allowed_ip=-\n", -EINVAL},
		{PEER1 "protocol_version=1\n", 0},
		{PEER1 "protocol_version=9\n", -EINVAL},
		/* keys where they do not belong, and keys that only an answer has */
		{"allowed_ip=10.0.0.0/8\n", -EINVAL},
		{"update_only=true\n", -EINVAL},
		{PEER1 "private_key=" K1 "\n", -EINVAL},
		{PEER1 "listen_port=1\n", -EINVAL},
		{PEER1 "replace_peers=true\n", -EINVAL},
		{PEER1 "rx_bytes=1\n", -EINVAL},
		{"errno=0\n", -EINVAL},
		{"get=1\n", -EINVAL},
		{"set=1\n", -EINVAL},
		/* lines that are none */
		{"listen_port\n", -EPROTO},
		{PEER1 "allowed_ip\n", -EPROTO},
		{" \n", -EPROTO},
		{"\r\n", -EPROTO},
		{"=\n", -EINVAL},
		{"=1\n", -EINVAL},
		{"unknown=1\n", -EINVAL},
		{"Listen_port=1\n", -EINVAL},
		{"listen_port =1\n", -EINVAL},
		{"listen_port=1\r\n", -EINVAL},
		{"listen_port==1\n", -EINVAL},
		/* the first mistake decides */
		{"listen_port\nunknown=1\n", -EPROTO},
		{"unknown=1\nlisten_port\n", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int error = set_errno(cases[i].lines);

		if (error != cases[i].error)
			print_error("case %zu: %s", i, cases[i].lines);
		assert_int_equal(error, cases[i].error);
	}
}

static void test_zero_bytes_hide_nothing(void **state)
{
	static const char in_key[] = "listen_port\0x=1\n", in_value[] = "listen_port=1\0\n",
			  in_prefix[] = PEER1 "allowed_ip=10.0.0.1\0/8\n";

	(void)state;
	assert_int_equal(set_errno_n(in_key, sizeof in_key - 1), -EINVAL);
	assert_int_equal(set_errno_n(in_value, sizeof in_value - 1), -EINVAL);
	assert_int_equal(set_errno_n(in_prefix, sizeof in_prefix - 1), -EINVAL);
}

static void test_first_line_is_get_or_set_or_the_end(void **state)
{
	static const struct {
		const char *text;
		enum uapi_event event;
	} cases[] = {{"get=1\n\n", UAPI_GET}, {"get=wghub\n\n", UAPI_GET_WGHUB},
		{"set=1\n\n", UAPI_SET}, {"get=2\n", UAPI_CLOSE}, {"set=2\n", UAPI_CLOSE},
		{"\n", UAPI_CLOSE}, {"get\n", UAPI_CLOSE}, {"GET / HTTP/1.1\r\n", UAPI_CLOSE},
		{"get=1 \n", UAPI_CLOSE}, {"get=1\r\n", UAPI_CLOSE}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct uapi_parser *p = parser_new();

		assert_int_equal(feed(p, cases[i].text, strlen(cases[i].text), 1), cases[i].event);
		uapi_parser_free(p);
	}
}

static void test_get_refuses_further_lines(void **state)
{
	struct uapi_parser *p = parser_new();

	(void)state;
	assert_int_equal(feed(p, "get=1\nlisten_port=1\n\n", 21, 1), UAPI_GET);
	assert_int_equal(uapi_error(p), -EINVAL);
	uapi_parser_free(p);
}

static void test_overlong_line_fails_and_the_next_request_works(void **state)
{
	static const char *const starts[] = {"set=1\n", "get=1\n"};
	struct uapi_parser *p = parser_new();
	char line[3 * UAPI_LINE_MAX];

	(void)state;
	memset(line, 'a', sizeof line);
	line[sizeof line - 1] = '\n';
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(feed(p, starts[i], 6, 6), UAPI_MORE);
		assert_int_equal(feed(p, line, sizeof line, 1000), UAPI_MORE);
		assert_int_equal(feed(p, "\n", 1, 1), i ? UAPI_GET : UAPI_SET);
		assert_int_equal(uapi_error(p), -EMSGSIZE);
		uapi_parser_reset(p);
	}
	assert_int_equal(feed(p, "set=1\nlisten_port=1\n\n", 21, 21), UAPI_SET);
	assert_int_equal(uapi_error(p), 0);
	uapi_parser_reset(p);
	assert_int_equal(feed(p, line, sizeof line, SIZE_MAX), UAPI_CLOSE);
	uapi_parser_free(p);
}

static void test_longest_line_is_read_whole(void **state)
{
	char line[UAPI_LINE_MAX];

	(void)state;
	/* 4095 bytes are a line, with the right error for what it says; one more is too long. */
	memset(line, 'a', sizeof line);
	line[UAPI_LINE_MAX - 1] = '\n';
	assert_int_equal(set_errno_n(line, sizeof line), -EPROTO);
	{
		char longer[UAPI_LINE_MAX + 1];

		memset(longer, 'a', sizeof longer);
		longer[UAPI_LINE_MAX] = '\n';
		assert_int_equal(set_errno_n(longer, sizeof longer), -EMSGSIZE);
	}
}

static void test_change_holds_what_the_request_says(void **state)
{
	static const char text[] =
		"set=1\nprivate_key=" K2 "\nlisten_port=51820\nfwmark=7\nreplace_peers=true\n" PEER1
		"preshared_key=" K2 "\nendpoint=[2001:db8::5]:9\npersistent_keepalive_interval=25\n"
		"replace_allowed_ips=true\nallowed_ip=10.0.0.0/8\nallowed_ip=-fd00::1\n"
		"public_key=" K2 "\nupdate_only=true\nallowed_ip=10.9.0.0/16\n\n";
	struct uapi_parser *p = parser_new();
	const struct wgh_change *c;
	const struct wgh_peer_change *peer;

	(void)state;
	assert_int_equal(feed(p, text, sizeof text - 1, 7), UAPI_SET);
	assert_int_equal(uapi_error(p), 0);
	c = uapi_change(p);
	assert_int_equal(c->flags,
		WGH_HAS_PRIVATE_KEY | WGH_HAS_LISTEN_PORT | WGH_HAS_FWMARK | WGH_REPLACE_PEERS);
	assert_int_equal(c->private_key[0], 0x22);
	assert_int_equal(c->private_key[31], 0xab);
	assert_int_equal(c->listen_port, 51820);
	assert_int_equal(c->fwmark, 7);
	assert_int_equal(c->n_peers, 2);
	peer = &c->peers[0];
	assert_int_equal(peer->public_key.bytes[5], 0x11);
	assert_int_equal(peer->flags,
		WGH_PEER_HAS_PRESHARED_KEY | WGH_PEER_HAS_ENDPOINT | WGH_PEER_HAS_KEEPALIVE |
			WGH_PEER_REPLACE_ALLOWED_IPS);
	assert_int_equal(peer->preshared_key[31], 0xab);
	assert_int_equal(peer->endpoint.port, 9);
	assert_int_equal(peer->keepalive_s, 25);
	assert_int_equal(peer->n_allowed_ips, 2);
	assert_int_equal(peer->allowed_ips[0].prefix.bits, 8);
	assert_false(peer->allowed_ips[0].remove);
	assert_int_equal(peer->allowed_ips[1].prefix.bits, 128);
	assert_true(peer->allowed_ips[1].remove);
	peer = &c->peers[1];
	assert_int_equal(peer->flags, WGH_PEER_UPDATE_ONLY);
	assert_int_equal(peer->n_allowed_ips, 1);
	assert_int_equal(peer->allowed_ips[0].prefix.bits, 16);
	uapi_parser_free(p);
}

static void test_remove_ignores_the_peers_other_keys(void **state)
{
	static const char text[] =
		"set=1\n" PEER1 "allowed_ip=10.0.0.1\nremove=true\nallowed_ip=10.0.0.2\n"
		"public_key=" K2 "\nallowed_ip=10.0.0.3\n\n";
	struct uapi_parser *p = parser_new();
	const struct wgh_change *c;

	(void)state;
	assert_int_equal(feed(p, text, sizeof text - 1, SIZE_MAX), UAPI_SET);
	c = uapi_change(p);
	assert_true(c->peers[0].flags & WGH_PEER_REMOVE);
	assert_int_equal(c->peers[0].n_allowed_ips, 0);
	assert_int_equal(c->peers[1].n_allowed_ips, 1);
	assert_int_equal(c->peers[1].allowed_ips[0].prefix.addr.bytes[3], 3);
	uapi_parser_free(p);
	/* Ignored, but still checked. */
	assert_int_equal(set_errno(PEER1 "remove=true\nallowed_ip=x\n"), -EINVAL);
}

static void test_replace_after_prefixes_keeps_their_order(void **state)
{
	static const char text[] = "set=1\n" PEER1 "update_only=true\nallowed_ip=10.0.0.1\n"
				   "replace_allowed_ips=true\nallowed_ip=10.0.0.2\n\n";
	struct uapi_parser *p = parser_new();
	const struct wgh_change *c;

	(void)state;
	assert_int_equal(feed(p, text, sizeof text - 1, SIZE_MAX), UAPI_SET);
	c = uapi_change(p);
	assert_int_equal(c->n_peers, 2);
	assert_memory_equal(&c->peers[0].public_key, &c->peers[1].public_key, 32);
	assert_int_equal(c->peers[0].flags, WGH_PEER_UPDATE_ONLY);
	assert_int_equal(c->peers[1].flags, WGH_PEER_UPDATE_ONLY | WGH_PEER_REPLACE_ALLOWED_IPS);
	assert_int_equal(c->peers[1].n_allowed_ips, 1);
	uapi_parser_free(p);
}

static void test_several_requests_in_one_stream(void **state)
{
	static const char text[] =
		"set=1\nlisten_port=1\n\nget=1\n\nset=1\nbad\n\nget=wghub\n\nset=1\n" PEER1 "\n";
	static const struct {
		enum uapi_event event;
		int error;
	} want[] = {{UAPI_SET, 0}, {UAPI_GET, 0}, {UAPI_SET, -EPROTO}, {UAPI_GET_WGHUB, 0},
		{UAPI_SET, 0}};
	struct uapi_parser *p = parser_new();
	size_t at = 0, used;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(
			uapi_parse(p, text + at, sizeof text - 1 - at, &used), want[i].event);
		assert_int_equal(uapi_error(p), want[i].error);
		at += used;
		if (i == 4)
			assert_int_equal(uapi_change(p)->flags,
				0); /* nothing of the first request is left */
		uapi_parser_reset(p);
	}
	assert_int_equal(at, sizeof text - 1);
	uapi_parser_free(p);
}

/* ---- requests of our own ---- */

/* The error of one such request, in one piece and byte by byte. */
static int own_error(const char *text, size_t n)
{
	int error[2];

	for (size_t i = 0; i < 2; i++) {
		struct uapi_parser *p = parser_new();

		assert_int_equal(feed(p, text, n, i ? 1 : SIZE_MAX), UAPI_OWN);
		error[i] = uapi_error(p);
		assert_true(!error[i] == !*uapi_error_text(p));
		uapi_parser_free(p);
	}
	assert_int_equal(error[0], error[1]);
	return error[0];
}

static void test_own_request_has_a_verb_and_parameters(void **state)
{
	static const char text[] = "wghub=client-add\nname=bench laptop\nempty=\neq=a=b\n\n";
	struct uapi_parser *p = parser_new();
	const struct uapi_request *r;

	(void)state;
	assert_int_equal(feed(p, text, sizeof text - 1, 3), UAPI_OWN);
	assert_int_equal(uapi_error(p), 0);
	r = uapi_request(p);
	assert_string_equal(r->verb, "client-add");
	assert_int_equal(r->n_params, 3);
	assert_string_equal(uapi_param(r, "name"), "bench laptop");
	assert_string_equal(uapi_param(r, "empty"), "");
	assert_string_equal(uapi_param(r, "eq"), "a=b");
	assert_null(uapi_param(r, "nam"));
	uapi_parser_reset(p);
	assert_int_equal(feed(p, "wghub=sync\n\n", 12, SIZE_MAX), UAPI_OWN);
	assert_int_equal(uapi_request(p)->n_params, 0);
	uapi_parser_free(p);
}

static void test_own_request_is_bounded(void **state)
{
	static char text[3 * UAPI_LINE_MAX];
	size_t n = (size_t)sprintf(text, "wghub=x\n");

	(void)state;
	for (unsigned i = 0; i < UAPI_PARAMS_MAX; i++)
		n += (size_t)sprintf(text + n, "k%u=v\n", i);
	assert_int_equal(own_error(strcat(text, "\n"), n + 1), 0);
	n += (size_t)sprintf(text + n, "more=v\n\n");
	assert_int_equal(own_error(text, n), -E2BIG);
	/* Two lines of half the room fit, and not a byte more than all of it. */
	n = (size_t)sprintf(text, "wghub=x\na=%02039d\nb=%02043d\n\n", 1, 2);
	assert_int_equal(own_error(text, n), 0);
	n = (size_t)sprintf(text, "wghub=x\na=%02039d\nb=%02044d\n\n", 1, 2);
	assert_int_equal(own_error(text, n), -E2BIG);
	assert_int_equal(own_error("wghub=x\nnonsense\n\n", 18), -EPROTO);
	assert_int_equal(own_error("wghub=x\na=1\na=2\n\n", 17), -EINVAL);
	assert_int_equal(own_error("wghub=x\n=1\n\n", 12), -EINVAL);
	assert_int_equal(own_error("wghub=x\na=\0b\n\n", 14), -EINVAL);
	assert_int_equal(own_error("wghub=\0\n\n", 9), -EINVAL);
}

/* n_peers peers with n_ips prefixes each, as text. */
static char *big_request(size_t n_peers, size_t n_ips, size_t *len)
{
	char *text = malloc(64 + n_peers * (80 + n_ips * 40));
	size_t n = (size_t)sprintf(text, "set=1\n");
	unsigned ip = 0;

	for (size_t i = 0; i < n_peers; i++) {
		n += (size_t)sprintf(text + n, "public_key=%064zx\n", i + 1);
		for (size_t j = 0; j < n_ips; j++, ip++)
			n += (size_t)sprintf(text + n, "allowed_ip=10.%u.%u.%u/32\n",
				ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	}
	text[n++] = '\n';
	*len = n;
	return text;
}

static void check_big(size_t n_peers, size_t n_ips)
{
	struct uapi_parser *p = parser_new();
	const struct wgh_change *c;
	unsigned ip = 0;
	size_t n;
	char *text = big_request(n_peers, n_ips, &n);

	assert_int_equal(feed(p, text, n, 4001), UAPI_SET);
	assert_int_equal(uapi_error(p), 0);
	c = uapi_change(p);
	assert_int_equal(c->n_peers, n_peers);
	for (size_t i = 0; i < n_peers; i++) {
		assert_int_equal(c->peers[i].public_key.bytes[31], (i + 1) & 255);
		assert_int_equal(c->peers[i].n_allowed_ips, n_ips);
		for (size_t j = 0; j < n_ips; j++, ip++) {
			const uint8_t *b = c->peers[i].allowed_ips[j].prefix.addr.bytes;

			assert_int_equal((unsigned)b[1] << 16 | b[2] << 8 | b[3], ip);
		}
	}
	uapi_parser_free(p);
	free(text);
}

static void test_no_number_of_peers_or_prefixes_breaks_it(void **state)
{
	(void)state;
	check_big(40, 52);
	check_big(1, 130560);
	check_big(100000, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key_good_and_bad),
		cmocka_unit_test(test_zero_bytes_hide_nothing),
		cmocka_unit_test(test_first_line_is_get_or_set_or_the_end),
		cmocka_unit_test(test_get_refuses_further_lines),
		cmocka_unit_test(test_overlong_line_fails_and_the_next_request_works),
		cmocka_unit_test(test_longest_line_is_read_whole),
		cmocka_unit_test(test_change_holds_what_the_request_says),
		cmocka_unit_test(test_remove_ignores_the_peers_other_keys),
		cmocka_unit_test(test_replace_after_prefixes_keeps_their_order),
		cmocka_unit_test(test_several_requests_in_one_stream),
		cmocka_unit_test(test_own_request_has_a_verb_and_parameters),
		cmocka_unit_test(test_own_request_is_bounded),
		cmocka_unit_test(test_no_number_of_peers_or_prefixes_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
