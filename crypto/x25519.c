/* x25519.c - Diffie-Hellman on Curve25519 for the handshake, by libsodium.
 *
 * Owns nothing. Costs about 40 microseconds a call. Fails only where the other side's point has low
 * order (or the secret is no key): then the result is all zero and is never handed out as a secret.
 */
#include "crypto/x25519.h"

#include <string.h>

#include <sodium.h>

void x25519_clamp(struct x25519_secret *secret)
{
	secret->bytes[0] &= 0xf8;
	secret->bytes[31] &= 0x7f;
	secret->bytes[31] |= 0x40;
}

void x25519_secret_from_random(struct x25519_secret *secret, const uint8_t random[32])
{
	memcpy(secret->bytes, random, sizeof secret->bytes);
	x25519_clamp(secret);
}

bool x25519_public_from_secret(struct x25519_public *out, const struct x25519_secret *secret)
{
	if (ct_is_zero(secret->bytes, sizeof secret->bytes)) {
		memset(out->bytes, 0, sizeof out->bytes);
		return false;
	}
	return crypto_scalarmult_base(out->bytes, secret->bytes) == 0;
}

bool x25519(uint8_t out[32], const struct x25519_secret *secret, const struct x25519_public *theirs)
{
	uint8_t shared[32] = {0}; /* so that out may be the memory of an argument */
	bool ok;

	/* libsodium refuses points of low order by a list and an all-zero result; the second test
	 * here is ours because the protocol rests on it and a build of libsodium may differ. */
	ok = crypto_scalarmult(shared, secret->bytes, theirs->bytes) == 0;
	ok &= !ct_is_zero(shared, sizeof shared);
	if (ok)
		memcpy(out, shared, sizeof shared);
	else
		secret_wipe(out, sizeof shared);
	secret_wipe(shared, sizeof shared);
	return ok;
}
