/* key_text.c - keys to and from base64 and hex, in constant time; libsodium's codecs where they are
 * strict.
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

/* All ones if from <= c <= to, else 0; each below 256. */
static uint32_t range_mask(uint32_t c, uint32_t from, uint32_t to)
{
	return -(((from - 1 - c) & (c - to - 1)) >> 31);
}

/* The 6 bits of a character of RFC 4648's table; in *bad all ones if it is none. */
static uint32_t base64_value(uint32_t c, uint32_t *bad)
{
	uint32_t upper = range_mask(c, 'A', 'Z'), lower = range_mask(c, 'a', 'z');
	uint32_t number = range_mask(c, '0', '9');
	uint32_t plus = range_mask(c, '+', '+'), slash = range_mask(c, '/', '/');

	*bad |= ~(upper | lower | number | plus | slash);
	return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (number & (c - '0' + 52)) |
		(plus & 62) | (slash & 63);
}

/* Not libsodium's reader: 1.0.18's takes bytes above 127 for zero bits where char is signed. */
bool key_from_base64(uint8_t out[32], const char *text, size_t text_bytes)
{
	const uint8_t *p = (const uint8_t *)text;
	uint32_t bits = 0, bad = 0;
	int n_bits = 0, n_out = 0;

	if (text_bytes != KEY_BASE64_CHARS) {
		secret_wipe(out, 32);
		return false;
	}
	for (int i = 0; i < KEY_BASE64_CHARS - 1; i++) {
		bits = bits << 6 | base64_value(p[i], &bad);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[n_out++] = (uint8_t)(bits >> n_bits);
		}
	}
	bad |= bits & 3; /* 43 characters carry 2 bits more than the key */
	bad |= p[KEY_BASE64_CHARS - 1] ^ '=';
	if (bad)
		secret_wipe(out, 32);
	return !bad;
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
