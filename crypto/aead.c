/* aead.c - picks the bulk back end of a thread, and the single calls of the handshake over
 * libsodium.
 *
 * Owns the table of back ends and its order, which bench/aead justifies. aead_new() costs one
 * self-test (about a millisecond); after that a batch costs one indirect call. A back end that
 * fails its test is refused, not replaced: whoever starts the hub shall hear of a CPU or library
 * that computes wrongly.
 */
#include "crypto/aead_backend.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

struct aead {
	const struct aead_backend *backend;
	void *context;
};

/* Fastest first. */
static const struct aead_backend *const backends[] = {
#ifdef HAVE_AEAD_AVX512
	&aead_avx512,
#endif
#ifdef HAVE_AEAD_AVX2
	&aead_avx2,
#endif
#ifdef HAVE_IPSEC_MB
	&aead_ipsec_mb,
#endif
#ifdef HAVE_AEAD_NEON
	&aead_neon,
#endif
	&aead_sodium,
};
#define N_BACKENDS (sizeof backends / sizeof backends[0])

static pthread_once_t usable_once = PTHREAD_ONCE_INIT;
static const char *usable_names[N_BACKENDS + 1];

static void usable_init(void)
{
	size_t n = 0;

	for (size_t i = 0; i < N_BACKENDS; i++) {
		if (backends[i]->usable())
			usable_names[n++] = backends[i]->name;
	}
}

const char *const *aead_names(void)
{
	pthread_once(&usable_once, usable_init);
	return usable_names;
}

static const struct aead_backend *backend_find(const char *name)
{
	for (size_t i = 0; i < N_BACKENDS; i++) {
		if (!strcmp(backends[i]->name, name) && backends[i]->usable())
			return backends[i];
	}
	return NULL;
}

int aead_new(struct aead **aead, const char *name)
{
	const struct aead_backend *backend;
	struct aead *a;
	int err;

	if (!name)
		name = secure_getenv("WGHUB_AEAD");
	if (!name || !*name)
		name = aead_names()[0];
	backend = backend_find(name);
	if (!backend)
		return -ENOENT;

	a = calloc(1, sizeof *a);
	if (!a)
		return -ENOMEM;
	a->backend = backend;
	a->context = backend->context_new();
	if (!a->context) {
		free(a);
		return -ENOMEM;
	}
	err = aead_selftest(backend, a->context);
	if (err) {
		aead_free(a);
		return err;
	}
	*aead = a;
	return 0;
}

void aead_free(struct aead *aead)
{
	if (!aead)
		return;
	aead->backend->context_free(aead->context);
	free(aead);
}

const char *aead_name(const struct aead *aead)
{
	return aead->backend->name;
}

size_t aead_bytes(const struct aead *aead)
{
	const struct aead_backend *backend = aead->backend;

	return sizeof *aead + (backend->context_bytes ? backend->context_bytes(aead->context) : 0);
}

void aead_seal(struct aead *aead, struct aead_job *jobs, size_t n)
{
	aead->backend->seal(aead->context, jobs, n);
}

void aead_open(struct aead *aead, struct aead_job *jobs, size_t n)
{
	aead->backend->open(aead->context, jobs, n);
}

/* RFC 8439 leaves the first 4 of 12 bytes to the protocol: zero here. */
static void nonce_set(uint8_t nonce[12], uint64_t counter)
{
	memset(nonce, 0, 4);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> 8 * i);
}

void aead_seal_one(uint8_t *out, const void *in, size_t len_bytes, const void *ad, size_t ad_bytes,
	const struct sym_key *key, uint64_t counter)
{
	uint8_t nonce[12];

	nonce_set(nonce, counter);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		out, NULL, in, len_bytes, ad, ad_bytes, NULL, nonce, key->bytes);
}

bool aead_open_one(uint8_t *out, const void *in, size_t in_bytes, const void *ad, size_t ad_bytes,
	const struct sym_key *key, uint64_t counter)
{
	uint8_t nonce[12];

	nonce_set(nonce, counter);
	return crypto_aead_chacha20poly1305_ietf_decrypt(
		       out, NULL, NULL, in, in_bytes, ad, ad_bytes, nonce, key->bytes) == 0;
}

void xaead_seal(uint8_t *out, const void *in, size_t len_bytes, const void *ad, size_t ad_bytes,
	const struct sym_key *key, const uint8_t nonce[24])
{
	crypto_aead_xchacha20poly1305_ietf_encrypt(
		out, NULL, in, len_bytes, ad, ad_bytes, NULL, nonce, key->bytes);
}

bool xaead_open(uint8_t *out, const void *in, size_t in_bytes, const void *ad, size_t ad_bytes,
	const struct sym_key *key, const uint8_t nonce[24])
{
	return crypto_aead_xchacha20poly1305_ietf_decrypt(
		       out, NULL, NULL, in, in_bytes, ad, ad_bytes, nonce, key->bytes) == 0;
}
