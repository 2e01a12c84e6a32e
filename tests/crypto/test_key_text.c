/* test_key_text.c - one key has one base64 text, and anything else is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include "crypto/key_text.h"
#include "tests/lib/rng.h"

static const uint8_t zero[32];

/* The naive twin, from RFC 4648's table; it knows only canonical text. */
static bool naive_from_base64(uint8_t out[32], const char *text)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	int n_bits = 0, n_out = 0;

	for (int i = 0; i < 43; i++) {
		const char *at = memchr(alphabet, text[i], 64);

		if (!at)
			return false;
		bits = bits << 6 | (uint32_t)(at - alphabet);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[n_out++] = (uint8_t)(bits >> n_bits);
		}
	}
	return !(bits & 3) && text[43] == '=';
}

/* Both keys of a pair made by "wg genkey" and "wg pubkey" are text of this form; these here are
 * made up. */
static void test_key_text_known_keys_have_their_known_text(void **state)
{
	uint8_t key[32];
	char text[KEY_HEX_CHARS + 1];

	(void)state;
	key_to_base64(text, zero);
	assert_string_equal(text, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	memset(key, 0xff, sizeof key);
	key_to_base64(text, key);
	assert_string_equal(text, "//////////////////////////////////////////8=");
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)(i * 7 + 0x61);
	key_to_base64(text, key);
	assert_string_equal(text, "YWhvdn2Ei5KZoKeutbzDytHY3+bt9PsCCRAXHiUsMzo=");
	key_to_hex(text, key);
	assert_string_equal(
		text, "61686f767d848b9299a0a7aeb5bcc3cad1d8dfe6edf4fb020910171e252c333a");
}

static void test_key_text_random_keys_survive_both_texts(void **state)
{
	struct rng rng = {1};

	(void)state;
	for (int i = 0; i < 2000; i++) {
		uint8_t key[32], back[32];
		char base64[KEY_BASE64_CHARS + 1], hex[KEY_HEX_CHARS + 1];

		rng_fill(&rng, key, sizeof key);
		key_to_base64(base64, key);
		key_to_hex(hex, key);
		assert_int_equal(strlen(base64), KEY_BASE64_CHARS);
		assert_int_equal(strlen(hex), KEY_HEX_CHARS);
		assert_true(key_from_base64(back, base64, KEY_BASE64_CHARS));
		assert_memory_equal(back, key, sizeof key);
		assert_true(key_from_hex(back, hex, KEY_HEX_CHARS));
		assert_memory_equal(back, key, sizeof key);
	}
}

/* All 256 bytes at all 44 places: this meets foreign alphabets, zero bytes, blanks, early padding,
 * missing padding and spare bits. */
static void test_key_text_base64_accepts_exactly_what_the_naive_decoder_does(void **state)
{
	struct rng rng = {2};
	int n_good = 0;

	(void)state;
	for (int at = 0; at < KEY_BASE64_CHARS; at++) {
		for (int c = 0; c < 256; c++) {
			uint8_t key[32], want[32], got[32];
			char text[KEY_BASE64_CHARS + 1];
			bool ok;

			rng_fill(&rng, key, sizeof key);
			key_to_base64(text, key);
			text[at] = (char)c;
			ok = naive_from_base64(want, text);
			memset(got, 0xaa, sizeof got);
			assert_int_equal(key_from_base64(got, text, KEY_BASE64_CHARS), ok);
			assert_memory_equal(got, ok ? want : zero, sizeof got);
			n_good += ok;
		}
	}
	assert_int_equal(n_good, 42 * 64 + 16 + 1);
}

static void test_key_text_base64_of_another_length_or_padding_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* no padding */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", /* 31 bytes */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* 33 bytes */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", /* one too many */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		" AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", /* spare bits 01 */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAC=", /* spare bits 10 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		uint8_t key[32];

		memset(key, 0xaa, sizeof key);
		assert_false(key_from_base64(key, bad[i], strlen(bad[i])));
		assert_memory_equal(key, zero, sizeof key);
	}
}

static void test_key_text_hex_of_either_case_is_read(void **state)
{
	uint8_t key[32], want[32];

	(void)state;
	for (int i = 0; i < 32; i++)
		want[i] = (uint8_t)(0xab + 0x11 * (i % 5));
	assert_true(key_from_hex(
		key, "ABbcCddeefABbcCddeefABbcCddeefABbcCddeefABbcCddeefABbcCddeefABbc", 64));
	assert_memory_equal(key, want, sizeof key);
}

static void test_key_text_hex_accepts_no_other_character_anywhere(void **state)
{
	(void)state;
	for (int at = 0; at < KEY_HEX_CHARS; at++) {
		for (int c = 0; c < 256; c++) {
			uint8_t key[32];
			char text[KEY_HEX_CHARS];
			bool ok = c < 128 && isxdigit(c);

			memset(text, '1', sizeof text);
			memset(key, 0xaa, sizeof key);
			text[at] = (char)c;
			assert_int_equal(key_from_hex(key, text, sizeof text), ok);
			if (!ok)
				assert_memory_equal(key, zero, sizeof key);
		}
	}
}

static void test_key_text_hex_of_another_length_is_refused(void **state)
{
	char text[80];
	uint8_t key[32];

	(void)state;
	memset(text, '1', sizeof text);
	for (size_t n = 0; n <= sizeof text; n++) {
		memset(key, 0xaa, sizeof key);
		assert_int_equal(key_from_hex(key, text, n), n == KEY_HEX_CHARS);
		if (n != KEY_HEX_CHARS)
			assert_memory_equal(key, zero, sizeof key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_text_known_keys_have_their_known_text),
		cmocka_unit_test(test_key_text_random_keys_survive_both_texts),
		cmocka_unit_test(test_key_text_base64_accepts_exactly_what_the_naive_decoder_does),
		cmocka_unit_test(test_key_text_base64_of_another_length_or_padding_is_refused),
		cmocka_unit_test(test_key_text_hex_of_either_case_is_read),
		cmocka_unit_test(test_key_text_hex_accepts_no_other_character_anywhere),
		cmocka_unit_test(test_key_text_hex_of_another_length_is_refused),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
