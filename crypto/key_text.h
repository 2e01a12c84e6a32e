/* key_text.h - keys as text: base64 for people and files, hex for the UAPI; constant time.
 * Threads: any; no state.
 */
#ifndef CRYPTO_KEY_TEXT_H
#define CRYPTO_KEY_TEXT_H

#include "crypto/secret.h"

#define KEY_BASE64_CHARS 44
#define KEY_HEX_CHARS 64

/* out gets the text and a final zero byte. */
void key_to_base64(char out[KEY_BASE64_CHARS + 1], const uint8_t key[32]);
void key_to_hex(char out[KEY_HEX_CHARS + 1], const uint8_t key[32]);
/* Exactly 44 characters, padding "=", spare bits zero; exactly 64 hex digits of either case. text
 * need not end with a zero byte. False: out is wiped. */
MUST_CHECK bool key_from_base64(uint8_t out[32], const char *text, size_t text_bytes);
MUST_CHECK bool key_from_hex(uint8_t out[32], const char *text, size_t text_bytes);

#endif
