/* secret.h - kinds of key as distinct types, wiping, constant-time comparison, locked memory.
 * Threads: all functions may be called from any thread. Call secret_init() once before anything
 * else. Source: libsodium for every operation; nothing here is our own cryptography.
 */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
/* For the few calls whose failure changes nothing; a comment beside it says why. */
#define IGNORE_RESULT(call) ((void)!(call))

struct x25519_secret {
	uint8_t bytes[32];
};
struct x25519_public {
	uint8_t bytes[32];
};
/* A ChaCha20-Poly1305 key. */
struct sym_key {
	uint8_t bytes[32];
};
/* A preshared key; all zero means none. */
struct psk {
	uint8_t bytes[32];
};

/* -EIO: libsodium has no source of randomness. Repeated calls do nothing. */
MUST_CHECK int secret_init(void);
/* Survives the optimiser. */
void secret_wipe(void *p, size_t len_bytes);
MUST_CHECK bool ct_equal(const void *a, const void *b, size_t len_bytes);
MUST_CHECK bool ct_is_zero(const void *p, size_t len_bytes);
/* From the kernel's generator; blocks until it is initialised, ends the process if it cannot give
 * any. */
void secret_random(void *p, size_t len_bytes);

/* Zeroed memory that is kept out of core dumps and, where the limit allows it, out of swap. For
 * few, long-lived objects: each takes whole pages. A child of fork() finds it zeroed, so a program
 * that turns into a daemon does that first. NULL: no memory. */
MUST_CHECK void *secret_alloc(size_t len_bytes);
/* Wipes and frees; NULL is fine. */
void secret_free(void *p, size_t len_bytes);
/* False once a lock was refused (RLIMIT_MEMLOCK): say so once in the log. */
bool secret_memory_locked(void);

#endif
