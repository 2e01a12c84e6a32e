/* aead.h - ChaCha20-Poly1305 (RFC 8439) for whole bursts, and the single calls of the handshake.
 *
 * A transport packet's nonce is 4 zero bytes and its 64-bit counter, little endian, without
 * associated data. The batch calls take N packets with N keys and counters, work in place and give
 * a verdict for each. Back ends are chosen at start by CPU feature and a self-test against
 * libsodium.
 *
 * Threads: a struct aead belongs to one thread. Everything else may be called from any.
 * Cost: no allocation after aead_new().
 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "crypto/secret.h"

#define AEAD_TAG_BYTES 16
#define AEAD_BATCH_MAX 512

struct aead_job {
	uint8_t *data; /* plaintext or ciphertext; the tag follows it: 16 bytes that seal writes and
			  open reads */
	const struct sym_key *key; /* borrowed until the call returns */
	uint64_t counter;
	uint32_t len_bytes; /* without the tag; 0 is a keepalive */
	bool ok; /* set by aead_open(): the tag matched. Else data is undefined: drop it. */
};

struct aead;

/* name: one of aead_names(), or NULL for the first of them (or for the environment's WGHUB_AEAD,
 * which names one). -ENOENT: no such back end here; -EIO: it failed its self-test; -ENOMEM. */
MUST_CHECK int aead_new(struct aead **aead, const char *name);
void aead_free(struct aead *aead);
const char *aead_name(const struct aead *aead);
/* Memory it takes. */
size_t aead_bytes(const struct aead *aead);
/* The back ends this CPU can run, fastest first, NULL at the end. "sodium" is always the last. */
const char *const *aead_names(void);

/* n at most AEAD_BATCH_MAX. Jobs must not overlap in memory. Order does not matter. */
void aead_seal(struct aead *aead, struct aead_job *jobs, size_t n);
void aead_open(struct aead *aead, struct aead_job *jobs, size_t n);

/* Handshake: nonce all zero but the counter, associated data ad. out has room for len_bytes + 16;
 * out and in may be the same. */
void aead_seal_one(uint8_t *out, const void *in, size_t len_bytes, const void *ad, size_t ad_bytes,
	const struct sym_key *key, uint64_t counter);
/* in is ciphertext and tag, in_bytes at least 16. False: out holds nothing to use. */
MUST_CHECK bool aead_open_one(uint8_t *out, const void *in, size_t in_bytes, const void *ad,
	size_t ad_bytes, const struct sym_key *key, uint64_t counter);

/* XChaCha20-Poly1305 with a 24-byte nonce, for cookie replies. */
void xaead_seal(uint8_t *out, const void *in, size_t len_bytes, const void *ad, size_t ad_bytes,
	const struct sym_key *key, const uint8_t nonce[24]);
MUST_CHECK bool xaead_open(uint8_t *out, const void *in, size_t in_bytes, const void *ad,
	size_t ad_bytes, const struct sym_key *key, const uint8_t nonce[24]);

#endif
