/* x25519.h - Diffie-Hellman on Curve25519 (RFC 7748), over libsodium.
 * Threads: any; no state.
 */
#ifndef CRYPTO_X25519_H
#define CRYPTO_X25519_H

#include "crypto/secret.h"

/* Clears bits 0-2 and 255, sets bit 254. */
void x25519_clamp(struct x25519_secret *secret);
/* A fresh clamped key from 32 random bytes of the caller. */
void x25519_secret_from_random(struct x25519_secret *secret, const uint8_t random[32]);
/* False if secret is all zero (no key). */
bool x25519_public_from_secret(struct x25519_public *out, const struct x25519_secret *secret);
/* False, and out all zero, if the result is all zero: the other side sent a point of low order. */
MUST_CHECK bool x25519(
	uint8_t out[32], const struct x25519_secret *secret, const struct x25519_public *theirs);

#endif
