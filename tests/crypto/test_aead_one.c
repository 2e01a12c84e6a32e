/* test_aead_one.c - the single calls of the handshake, held to the RFC and the draft. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/aead.h"
#include "tests/crypto/aead_rfc8439.h"
#include "tests/lib/hex.h"

static void test_aead_one_packet_is_that_of_rfc8439_appendix_a5(void **state)
{
	uint8_t sealed[A5_BYTES + 16], got[A5_BYTES + 16], ad[12];
	struct sym_key key;

	(void)state;
	assert_int_equal(sizeof a5_plain - 1, A5_BYTES);
	assert_int_equal(hex_bytes(key.bytes, 32, A5_KEY), 32);
	assert_int_equal(hex_bytes(ad, sizeof ad, A5_AD), sizeof ad);
	assert_int_equal(hex_bytes(sealed, sizeof sealed, a5_sealed), sizeof sealed);
	aead_seal_one(got, a5_plain, A5_BYTES, ad, sizeof ad, &key, A5_COUNTER);
	assert_memory_equal(got, sealed, sizeof sealed);
	assert_true(aead_open_one(got, got, sizeof got, ad, sizeof ad, &key, A5_COUNTER));
	assert_memory_equal(got, a5_plain, A5_BYTES);
}

static void test_aead_one_packet_with_any_bit_of_any_input_wrong_is_refused(void **state)
{
	uint8_t sealed[A5_BYTES + 16], got[A5_BYTES], ad[12];
	struct sym_key key;

	(void)state;
	hex_bytes(key.bytes, 32, A5_KEY);
	hex_bytes(ad, sizeof ad, A5_AD);
	hex_bytes(sealed, sizeof sealed, a5_sealed);
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= 1 << bit % 8;
		assert_false(
			aead_open_one(got, sealed, sizeof sealed, ad, sizeof ad, &key, A5_COUNTER));
		sealed[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t bit = 0; bit < 8 * sizeof ad; bit++) {
		ad[bit / 8] ^= 1 << bit % 8;
		assert_false(
			aead_open_one(got, sealed, sizeof sealed, ad, sizeof ad, &key, A5_COUNTER));
		ad[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t bit = 0; bit < 64; bit++)
		assert_false(aead_open_one(got, sealed, sizeof sealed, ad, sizeof ad, &key,
			A5_COUNTER ^ (uint64_t)1 << bit));
	for (size_t bit = 0; bit < 256; bit++) {
		key.bytes[bit / 8] ^= 1 << bit % 8;
		assert_false(
			aead_open_one(got, sealed, sizeof sealed, ad, sizeof ad, &key, A5_COUNTER));
		key.bytes[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t n = 16; n < sizeof sealed; n++)
		assert_false(aead_open_one(got, sealed, n, ad, sizeof ad, &key, A5_COUNTER));
	assert_false(aead_open_one(got, sealed, sizeof sealed, ad, 0, &key, A5_COUNTER));
	assert_true(aead_open_one(got, sealed, sizeof sealed, ad, sizeof ad, &key, A5_COUNTER));
}

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1. */
static void test_aead_cookie_cipher_is_that_of_the_xchacha_draft(void **state)
{
	static const char plain[] =
		"Ladies and Gentlemen of the class of '99: If I could offer you "
		"only one tip for the future, sunscreen would be it.";
	uint8_t want[114 + 16], got[114 + 16], nonce[24], ad[12];
	struct sym_key key;

	(void)state;
	hex_bytes(
		key.bytes, 32, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	hex_bytes(nonce, 24, "404142434445464748494a4b4c4d4e4f5051525354555657");
	hex_bytes(ad, 12, "50515253c0c1c2c3c4c5c6c7");
	hex_bytes(want, sizeof want,
		"bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440b"
		"f3"
		"a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac"
		"2b"
		"c369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deaf"
		"d8"
		"780acf49");
	xaead_seal(got, plain, 114, ad, sizeof ad, &key, nonce);
	assert_memory_equal(got, want, sizeof want);
	assert_true(xaead_open(got, got, sizeof got, ad, sizeof ad, &key, nonce));
	assert_memory_equal(got, plain, 114);
	for (size_t bit = 0; bit < 8 * sizeof want; bit++) {
		want[bit / 8] ^= 1 << bit % 8;
		assert_false(xaead_open(got, want, sizeof want, ad, sizeof ad, &key, nonce));
		want[bit / 8] ^= 1 << bit % 8;
	}
	nonce[23] ^= 1;
	assert_false(xaead_open(got, want, sizeof want, ad, sizeof ad, &key, nonce));
	nonce[23] ^= 1;
	ad[0] ^= 1;
	assert_false(xaead_open(got, want, sizeof want, ad, sizeof ad, &key, nonce));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aead_one_packet_is_that_of_rfc8439_appendix_a5),
		cmocka_unit_test(test_aead_one_packet_with_any_bit_of_any_input_wrong_is_refused),
		cmocka_unit_test(test_aead_cookie_cipher_is_that_of_the_xchacha_draft),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
