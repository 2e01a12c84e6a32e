/* key_text.c - keys to and from base64 and hex, by libsodium's constant-time codecs.
 *
 * Owns nothing, costs under a microsecond. Reading fails on any text that writing would not produce
 * (but for the case of hex digits), so that one key has one base64 form.
 */
#include "crypto/key_text.h"

#include <sodium.h>

void key_to_base64(char out[KEY_BASE64_CHARS + 1], const uint8_t key[32])
{
	sodium_bin2base64(out, KEY_BASE64_CHARS + 1, key, 32, sodium_base64_VARIANT_ORIGINAL);
}

void key_to_hex(char out[KEY_HEX_CHARS + 1], const uint8_t key[32])
{
	sodium_bin2hex(out, KEY_HEX_CHARS + 1, key, 32);
}

bool key_from_base64(uint8_t out[32], const char *text, size_t text_bytes)
{
	size_t out_bytes = 0;

	/* libsodium wants the padding and zero spare bits and, given nowhere to report the end,
	 * that all of the text is used. 44 characters give 32 bytes only with exactly one "=". */
	if (text_bytes == KEY_BASE64_CHARS &&
		sodium_base642bin(out, 32, text, text_bytes, NULL, &out_bytes, NULL,
			sodium_base64_VARIANT_ORIGINAL) == 0 &&
		out_bytes == 32)
		return true;
	secret_wipe(out, 32);
	return false;
}

bool key_from_hex(uint8_t out[32], const char *text, size_t text_bytes)
{
	size_t out_bytes = 0;

	if (text_bytes == KEY_HEX_CHARS &&
		sodium_hex2bin(out, 32, text, text_bytes, NULL, &out_bytes, NULL) == 0 &&
		out_bytes == 32)
		return true;
	secret_wipe(out, 32);
	return false;
}
