/* test_x25519.c - RFC 7748's vectors and the points that must never become a secret. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "crypto/x25519.h"
#include "tests/lib/hex.h"

#define A_SECRET "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"
#define A_POINT "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"

static void secret_set(struct x25519_secret *secret, const char *hex)
{
	assert_int_equal(hex_bytes(secret->bytes, 32, hex), 32);
}

static void public_set(struct x25519_public *public, const char *hex)
{
	assert_int_equal(hex_bytes(public->bytes, 32, hex), 32);
}

static void assert_hex(const uint8_t bytes[32], const char *hex)
{
	uint8_t want[32];

	assert_int_equal(hex_bytes(want, 32, hex), 32);
	assert_memory_equal(bytes, want, 32);
}

/* RFC 7748, section 5.2; the second u has bit 255 set, which must be ignored. */
static void test_x25519_gives_the_results_of_rfc7748(void **state)
{
	struct x25519_secret secret;
	struct x25519_public point;
	uint8_t out[32];

	(void)state;
	secret_set(&secret, A_SECRET);
	public_set(&point, A_POINT);
	assert_true(x25519(out, &secret, &point));
	assert_hex(out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");

	secret_set(&secret, "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d");
	public_set(&point, "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
	assert_true(x25519(out, &secret, &point));
	assert_hex(out, "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

/* RFC 7748, section 5.2: k, u := x25519(k, u), k, from 9 for both. */
static void test_x25519_iterated_a_thousand_times_gives_the_result_of_rfc7748(void **state)
{
	struct x25519_secret k = {{9}};
	struct x25519_public u = {{9}};

	(void)state;
	for (int i = 1; i <= 1000; i++) {
		uint8_t out[32];

		assert_true(x25519(out, &k, &u));
		memcpy(u.bytes, k.bytes, 32);
		memcpy(k.bytes, out, 32);
		if (i == 1)
			assert_hex(k.bytes,
				"422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
	}
	assert_hex(k.bytes, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

/* RFC 7748, section 6.1. */
static void test_x25519_two_sides_agree_on_the_secret_of_rfc7748(void **state)
{
	struct x25519_secret alice, bob;
	struct x25519_public alice_public, bob_public;
	uint8_t out[32];

	(void)state;
	secret_set(&alice, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	secret_set(&bob, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
	assert_true(x25519_public_from_secret(&alice_public, &alice));
	assert_hex(alice_public.bytes,
		"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	assert_true(x25519_public_from_secret(&bob_public, &bob));
	assert_hex(bob_public.bytes,
		"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	assert_true(x25519(out, &alice, &bob_public));
	assert_hex(out, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	assert_true(x25519(out, &bob, &alice_public));
	assert_hex(out, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

/* The list is Daniel Bernstein's, https://cr.yp.to/ecdh.html#validate: 0, 1, two points of order 8,
 * and p - 1, p, p + 1. Bit 255 is masked on the way in and so must not hide them. */
static void test_x25519_refuses_every_point_of_low_order_with_either_bit_255(void **state)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	static const uint8_t zero[32];
	struct x25519_secret secret;

	(void)state;
	secret_set(&secret, A_SECRET);
	for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
		for (int high = 0; high < 2; high++) {
			struct x25519_public point;
			uint8_t out[32];

			public_set(&point, points[i]);
			point.bytes[31] |= (uint8_t)(high << 7);
			memset(out, 0xaa, sizeof out);
			assert_false(x25519(out, &secret, &point));
			assert_memory_equal(out, zero, sizeof out);
		}
	}
}

static void test_x25519_result_may_replace_an_argument(void **state)
{
	union {
		struct x25519_secret secret;
		uint8_t out[32];
	} a;
	union {
		struct x25519_public point;
		uint8_t out[32];
	} b;
	struct x25519_secret secret;
	struct x25519_public point;

	(void)state;
	secret_set(&secret, A_SECRET);
	public_set(&point, A_POINT);
	a.secret = secret;
	assert_true(x25519(a.out, &a.secret, &point));
	assert_hex(a.out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	b.point = point;
	assert_true(x25519(b.out, &secret, &b.point));
	assert_hex(b.out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
}

static void test_x25519_clamp_sets_and_clears_the_five_bits(void **state)
{
	uint8_t random[32];
	struct x25519_secret secret;

	(void)state;
	memset(random, 0xff, sizeof random);
	x25519_secret_from_random(&secret, random);
	assert_hex(
		secret.bytes, "f8ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
	memset(random, 0, sizeof random);
	x25519_secret_from_random(&secret, random);
	assert_hex(
		secret.bytes, "0000000000000000000000000000000000000000000000000000000000000040");
	x25519_clamp(&secret);
	assert_hex(
		secret.bytes, "0000000000000000000000000000000000000000000000000000000000000040");
}

static void test_x25519_public_of_no_key_is_refused(void **state)
{
	static const uint8_t zero[32];
	struct x25519_secret secret = {{0}};
	struct x25519_public public = {{1}};

	(void)state;
	assert_false(x25519_public_from_secret(&public, &secret));
	assert_memory_equal(public.bytes, zero, sizeof zero);
}

/* A key file may hold an unclamped key; it must mean the same key as its clamped form. */
static void test_x25519_public_is_the_same_before_and_after_clamping(void **state)
{
	struct x25519_secret secret;
	struct x25519_public before, after;

	(void)state;
	memset(secret.bytes, 0xff, sizeof secret.bytes);
	assert_true(x25519_public_from_secret(&before, &secret));
	x25519_clamp(&secret);
	assert_true(x25519_public_from_secret(&after, &secret));
	assert_memory_equal(&before, &after, sizeof before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x25519_gives_the_results_of_rfc7748),
		cmocka_unit_test(test_x25519_iterated_a_thousand_times_gives_the_result_of_rfc7748),
		cmocka_unit_test(test_x25519_two_sides_agree_on_the_secret_of_rfc7748),
		cmocka_unit_test(test_x25519_refuses_every_point_of_low_order_with_either_bit_255),
		cmocka_unit_test(test_x25519_result_may_replace_an_argument),
		cmocka_unit_test(test_x25519_clamp_sets_and_clears_the_five_bits),
		cmocka_unit_test(test_x25519_public_of_no_key_is_refused),
		cmocka_unit_test(test_x25519_public_is_the_same_before_and_after_clamping),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
