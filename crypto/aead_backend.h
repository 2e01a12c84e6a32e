/* aead_backend.h - what one bulk ChaCha20-Poly1305 implementation offers; only aead*.c include it.
 * A back end may assume: n <= AEAD_BATCH_MAX, jobs do not overlap, its usable() said true.
 */
#ifndef CRYPTO_AEAD_BACKEND_H
#define CRYPTO_AEAD_BACKEND_H

#include "crypto/aead.h"

struct aead_backend {
	const char *name;
	bool (*usable)(void); /* compiled in, and this CPU has what it needs */
	void *(*context_new)(
		void); /* NULL: no memory. A back end without state gives any non-NULL */
	void (*context_free)(void *context);
	size_t (*context_bytes)(const void *context); /* NULL: nothing worth counting */
	void (*seal)(void *context, struct aead_job *jobs, size_t n);
	void (*open)(void *context, struct aead_job *jobs, size_t n);
};

/* Compares with libsodium and a known answer. -EIO: it computes something else; -ENOMEM. */
MUST_CHECK int aead_selftest(const struct aead_backend *backend, void *context);

extern const struct aead_backend aead_sodium;
extern const struct aead_backend aead_ipsec_mb;
extern const struct aead_backend aead_avx512; /* our own, x86 with AVX-512 and IFMA */
extern const struct aead_backend aead_avx2; /* our own, x86 with AVX2 */
extern const struct aead_backend aead_neon; /* our own, 64-bit Arm */

#endif
