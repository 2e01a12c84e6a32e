/* blake2s.h - BLAKE2s (RFC 7693), HMAC and HKDF over it: WireGuard's HASH, MAC and KDF.
 * Threads: any; no state outside the arguments.
 * Contexts hold secrets: blake2s_final() wipes them.
 */
#ifndef CRYPTO_BLAKE2S_H
#define CRYPTO_BLAKE2S_H

#include "crypto/secret.h"

#define BLAKE2S_BLOCK_BYTES 64
#define BLAKE2S_HASH_BYTES 32

struct blake2s {
	uint32_t h[8], t[2];
	uint8_t block[BLAKE2S_BLOCK_BYTES];
	uint32_t used_bytes, out_bytes;
};

/* out_bytes 1..32, key_bytes 0..32 (keyed hashing, RFC 7693 section 2.9). */
void blake2s_init(struct blake2s *s, size_t out_bytes, const void *key, size_t key_bytes);
void blake2s_update(struct blake2s *s, const void *in, size_t in_bytes);
void blake2s_final(struct blake2s *s, uint8_t *out);

/* One call: hash or, with a key, MAC. */
void blake2s(uint8_t *out, size_t out_bytes, const void *key, size_t key_bytes, const void *in,
	size_t in_bytes);
/* HMAC-BLAKE2s with 32 bytes of output (RFC 2104, block of 64). */
void blake2s_hmac(
	uint8_t out[32], const void *key, size_t key_bytes, const void *in, size_t in_bytes);
/* WireGuard's KDF1..KDF3: HKDF (RFC 5869) with HMAC-BLAKE2s; out2 and out3 may be NULL. Outputs may
 * be the same memory as key. */
void blake2s_kdf(uint8_t *out1, uint8_t *out2, uint8_t *out3, const uint8_t key[32], const void *in,
	size_t in_bytes);

#endif
