/* mac1, mac2 and cookies. What the right values are is said by the messages of wireguard-go in
 * test_noise.c and, for the cookie, by the naive recomputation here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "core/cookie.h"
#include "core/limits.h"
#include "crypto/blake2s.h"
#include "tests/lib/rng.h"

#define NOW_NS (1000 * NS_PER_S)
#define MSG_BYTES sizeof(struct wire_initiation)

struct scene {
	struct rng rng;
	struct x25519_public responder;
	struct cookie_checker checker;
	struct cookie_jar jar;
	struct wgh_endpoint from;
	uint8_t msg[MSG_BYTES];
};

static int setup(void **state)
{
	static struct scene s;

	memset(&s, 0, sizeof s);
	s.rng.state = 7;
	rng_fill(&s.rng, &s.responder, sizeof s.responder);
	rng_fill(&s.rng, s.msg, sizeof s.msg);
	cookie_checker_set_key(&s.checker, &s.responder);
	s.from = (struct wgh_endpoint){
		.addr = {192, 0, 2, 1}, .port = 0x1234, .family = WGH_IPV4, .local = {9}};
	*state = &s;
	return 0;
}

static void sign(struct scene *s, uint64_t now_ns)
{
	cookie_jar_sign(&s->jar, &s->responder, s->msg, sizeof s->msg, now_ns);
}

static bool mac2_ok(struct scene *s, const struct wgh_endpoint *from, uint64_t now_ns)
{
	uint8_t random[32];

	rng_fill(&s->rng, random, sizeof random);
	return cookie_mac2_ok(&s->checker, s->msg, sizeof s->msg, from, random, now_ns);
}

static void reply_to(struct scene *s, struct wire_cookie *reply)
{
	uint8_t nonce[WIRE_NONCE_BYTES];

	rng_fill(&s->rng, nonce, sizeof nonce);
	cookie_reply_write(&s->checker, reply, 0xa1b2c3d4, s->msg, sizeof s->msg, &s->from, nonce);
}

/* The initiator gets a cookie at NOW_NS. */
static void get_cookie(struct scene *s)
{
	struct wire_cookie reply;

	sign(s, NOW_NS);
	assert_false(mac2_ok(s, &s->from, NOW_NS));
	reply_to(s, &reply);
	assert_true(cookie_jar_open(&s->jar, &s->responder, &reply, NOW_NS));
}

static void test_cookie_mac1_covers_every_byte_before_it(void **state)
{
	struct scene *s = *state;

	sign(s, NOW_NS);
	assert_true(cookie_mac1_ok(&s->checker, s->msg, sizeof s->msg));
	for (size_t i = 0; i < MSG_BYTES - WIRE_MAC_BYTES; i++) {
		s->msg[i] ^= 0x80;
		assert_false(cookie_mac1_ok(&s->checker, s->msg, sizeof s->msg));
		s->msg[i] ^= 0x80;
	}
	s->msg[MSG_BYTES - 1] ^= 1; /* mac2 is not part of it */
	assert_true(cookie_mac1_ok(&s->checker, s->msg, sizeof s->msg));
}

static void test_cookie_mac1_is_bound_to_our_public_key(void **state)
{
	struct scene *s = *state;
	struct x25519_public other = s->responder;

	sign(s, NOW_NS);
	other.bytes[0] ^= 1;
	cookie_checker_set_key(&s->checker, &other);
	assert_false(cookie_mac1_ok(&s->checker, s->msg, sizeof s->msg));
}

static void test_cookie_without_cookie_mac2_is_zero(void **state)
{
	struct scene *s = *state;

	sign(s, NOW_NS);
	assert_true(ct_is_zero(s->msg + MSG_BYTES - WIRE_MAC_BYTES, WIRE_MAC_BYTES));
}

static void test_cookie_lets_its_holder_pass(void **state)
{
	struct scene *s = *state;

	get_cookie(s);
	sign(s, NOW_NS);
	assert_true(cookie_mac1_ok(&s->checker, s->msg, sizeof s->msg));
	assert_true(mac2_ok(s, &s->from, NOW_NS));
	for (size_t i = 0; i < MSG_BYTES; i++) {
		s->msg[i] ^= 0x10;
		assert_false(mac2_ok(s, &s->from, NOW_NS));
		s->msg[i] ^= 0x10;
	}
}

/* cookie = MAC(secret, address and port as in the outer headers), written out here:
 * one keyed BLAKE2s over the bytes written out. */
static void test_cookie_is_the_mac_of_address_and_port_as_on_the_wire(void **state)
{
	static const uint8_t source4[] = {192, 0, 2, 1, 0x12, 0x34};
	static const uint8_t source6[] = {
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x12, 0x34};
	struct scene *s = *state;
	uint8_t want[WIRE_MAC_BYTES];

	get_cookie(s);
	blake2s(want, sizeof want, s->checker.secret, 32, source4, sizeof source4);
	assert_memory_equal(s->jar.cookie, want, sizeof want);

	memset(&s->from, 0, sizeof s->from);
	s->from.family = WGH_IPV6;
	s->from.port = 0x1234;
	memcpy(s->from.addr, source6, 16);
	get_cookie(s);
	blake2s(want, sizeof want, s->checker.secret, 32, source6, sizeof source6);
	assert_memory_equal(s->jar.cookie, want, sizeof want);
}

static void test_cookie_of_one_address_or_port_is_worth_nothing_at_another(void **state)
{
	struct scene *s = *state;
	struct wgh_endpoint other;

	get_cookie(s);
	sign(s, NOW_NS);
	other = s->from;
	other.port++;
	assert_false(mac2_ok(s, &other, NOW_NS));
	other = s->from;
	other.port ^= 0x0100;
	assert_false(mac2_ok(s, &other, NOW_NS));
	other = s->from;
	other.addr[3]++;
	assert_false(mac2_ok(s, &other, NOW_NS));
	other = s->from;
	other.local[0]++; /* where it came to does not matter */
	assert_true(mac2_ok(s, &other, NOW_NS));
}

static void test_cookie_of_an_ipv6_source_binds_all_sixteen_bytes(void **state)
{
	struct scene *s = *state;
	struct wgh_endpoint other;

	s->from = (struct wgh_endpoint){.addr = {0x20, 1}, .port = 5, .family = WGH_IPV6};
	get_cookie(s);
	sign(s, NOW_NS);
	assert_true(mac2_ok(s, &s->from, NOW_NS));
	for (size_t i = 0; i < 16; i++) {
		other = s->from;
		other.addr[i] ^= 1;
		assert_false(mac2_ok(s, &other, NOW_NS));
	}
}

static void test_cookie_secret_lives_120_s(void **state)
{
	struct scene *s = *state;

	get_cookie(s);
	sign(s, NOW_NS);
	assert_true(mac2_ok(s, &s->from, NOW_NS + COOKIE_SECRET_MAX_AGE_NS - 1));
	assert_false(mac2_ok(s, &s->from, NOW_NS + COOKIE_SECRET_MAX_AGE_NS));
	/* That call made a new secret: the old one is gone also for a clock that steps back. */
	assert_false(mac2_ok(s, &s->from, NOW_NS));
	assert_int_equal(COOKIE_SECRET_MAX_AGE_NS, 120 * NS_PER_S);
}

static void test_cookie_is_used_for_115_s(void **state)
{
	struct scene *s = *state;
	const uint8_t *mac2 = s->msg + MSG_BYTES - WIRE_MAC_BYTES;

	get_cookie(s);
	sign(s, NOW_NS + 115 * NS_PER_S - 1);
	assert_false(ct_is_zero(mac2, WIRE_MAC_BYTES));
	sign(s, NOW_NS + 115 * NS_PER_S);
	assert_true(ct_is_zero(mac2, WIRE_MAC_BYTES));
}

static void test_cookie_reply_is_a_whole_message_of_64_bytes_naming_the_sender(void **state)
{
	struct scene *s = *state;
	struct wire_cookie reply;
	uint8_t key[32], cookie[WIRE_MAC_BYTES], label_and_key[40];

	sign(s, NOW_NS);
	assert_false(mac2_ok(s, &s->from, NOW_NS));
	reply_to(s, &reply);
	assert_int_equal(le32_get(reply.type), WIRE_COOKIE);
	assert_int_equal(le32_get(reply.receiver), 0xa1b2c3d4);
	/* Opened by libsodium itself: key HASH("cookie--" + key), associated data mac1. */
	memcpy(label_and_key, "cookie--", 8);
	memcpy(label_and_key + 8, s->responder.bytes, 32);
	blake2s(key, 32, NULL, 0, label_and_key, sizeof label_and_key);
	assert_int_equal(
		crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, reply.cookie,
			sizeof reply.cookie, s->msg + MSG_BYTES - sizeof(struct wire_macs),
			WIRE_MAC_BYTES, reply.nonce, key),
		0);
}

static void test_cookie_forged_reply_changes_nothing_and_the_right_one_still_works(void **state)
{
	struct scene *s = *state;
	struct wire_cookie reply;
	struct cookie_jar before;

	sign(s, NOW_NS);
	assert_false(mac2_ok(s, &s->from, NOW_NS));
	reply_to(s, &reply);
	before = s->jar;
	for (size_t i = offsetof(struct wire_cookie, nonce); i < sizeof reply; i++) {
		((uint8_t *)&reply)[i] ^= 0x40;
		assert_false(cookie_jar_open(&s->jar, &s->responder, &reply, NOW_NS));
		assert_memory_equal(&s->jar, &before, sizeof before);
		((uint8_t *)&reply)[i] ^= 0x40;
	}
	assert_true(cookie_jar_open(&s->jar, &s->responder, &reply, NOW_NS));
}

static void test_cookie_reply_is_taken_once_for_each_message(void **state)
{
	struct scene *s = *state;
	struct wire_cookie reply;
	struct cookie_jar before;

	get_cookie(s);
	reply_to(s, &reply);
	before = s->jar;
	assert_false(cookie_jar_open(&s->jar, &s->responder, &reply, NOW_NS + 1));
	assert_memory_equal(&s->jar, &before, sizeof before);
	sign(s, NOW_NS + 2);
	reply_to(s, &reply);
	assert_true(cookie_jar_open(&s->jar, &s->responder, &reply, NOW_NS + 3));
}

static void test_cookie_reply_to_an_earlier_message_is_refused(void **state)
{
	struct scene *s = *state;
	struct wire_cookie reply;

	sign(s, NOW_NS);
	assert_false(mac2_ok(s, &s->from, NOW_NS));
	reply_to(s, &reply);
	s->msg[0] ^= 1; /* the next message */
	sign(s, NOW_NS);
	assert_false(cookie_jar_open(&s->jar, &s->responder, &reply, NOW_NS));
}

static void test_cookie_reply_before_any_message_is_refused(void **state)
{
	struct scene *s = *state;
	struct wire_cookie reply = {{0}};

	reply_to(s, &reply);
	assert_false(cookie_jar_open(&s->jar, &s->responder, &reply, NOW_NS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, setup)
		TEST(test_cookie_mac1_covers_every_byte_before_it),
		TEST(test_cookie_mac1_is_bound_to_our_public_key),
		TEST(test_cookie_without_cookie_mac2_is_zero),
		TEST(test_cookie_lets_its_holder_pass),
		TEST(test_cookie_is_the_mac_of_address_and_port_as_on_the_wire),
		TEST(test_cookie_of_one_address_or_port_is_worth_nothing_at_another),
		TEST(test_cookie_of_an_ipv6_source_binds_all_sixteen_bytes),
		TEST(test_cookie_secret_lives_120_s),
		TEST(test_cookie_is_used_for_115_s),
		TEST(test_cookie_reply_is_a_whole_message_of_64_bytes_naming_the_sender),
		TEST(test_cookie_forged_reply_changes_nothing_and_the_right_one_still_works),
		TEST(test_cookie_reply_is_taken_once_for_each_message),
		TEST(test_cookie_reply_to_an_earlier_message_is_refused),
		TEST(test_cookie_reply_before_any_message_is_refused),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
