/* aead_ipsec_mb.c - the back end over Intel's Multi-Buffer Crypto library, version 1.3 (x86 only).
 *
 * Owns one manager and the nonces and tags of a batch. One job per packet; for this cipher the
 * library finishes a job when it is submitted, but nothing here relies on it. Costs no system call
 * or allocation per batch. Fails closed: an open job the library refused is not ok, a seal job it
 * refused is wiped, so that nothing leaves in the clear. Empty without the library.
 */
#include "crypto/aead_backend.h"

#include <stdlib.h>
#include <string.h>

#ifdef HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>

#define NONCE_BYTES 12
/* Least CPU its ChaCha20-Poly1305 is faster on than libsodium's. */
#define FEATURES_NEEDED (IMB_FEATURE_AVX2 | IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ)

struct context {
	IMB_MGR *mgr;
	size_t mgr_bytes;
	uint8_t nonces[AEAD_BATCH_MAX][NONCE_BYTES]; /* the first 4 bytes stay zero */
	uint8_t tags[AEAD_BATCH_MAX][AEAD_TAG_BYTES];
};

static bool ipsec_mb_usable(void)
{
	return (imb_get_feature_flags() & FEATURES_NEEDED) == FEATURES_NEEDED;
}

static void ipsec_mb_context_free(void *context)
{
	struct context *c = context;

	/* Its memory is ours, because alloc_mb_mgr() gives no way to wipe what it keeps of keys. */
	if (c->mgr) {
		secret_wipe(c->mgr, c->mgr_bytes);
		free(c->mgr);
	}
	secret_wipe(c, sizeof *c);
	free(c);
}

static size_t ipsec_mb_context_bytes(const void *context)
{
	return sizeof(struct context) + ((const struct context *)context)->mgr_bytes;
}

/* Also starts over: the manager's memory is set anew. */
static bool mgr_start(struct context *c, void (*init)(IMB_MGR *))
{
	memset(c->mgr, 0, c->mgr_bytes);
	if (!imb_set_pointers_mb_mgr(c->mgr, 0, 1))
		return false;
	init(c->mgr);
	return !imb_get_errno(c->mgr);
}

static void *ipsec_mb_context_new(void)
{
	bool wide = imb_get_feature_flags() & IMB_FEATURE_AVX512_IFMA;
	struct context *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->mgr_bytes = (imb_get_mb_mgr_size() + 63) & ~(size_t)63;
	c->mgr = aligned_alloc(64, c->mgr_bytes);
	if (!c->mgr)
		goto fail;
	/* Version 1.3's IFMA code fails the self-test by a carry that it loses in about one packet
	 * of 10^12 (see aead_selftest.c). Its AVX2 code is right, at well under half the speed. Its
	 * code for AVX-512 without IFMA is not used at all, because we never had a machine to test
	 * it on. */
	if (wide && mgr_start(c, init_mb_mgr_avx512) && !aead_selftest(&aead_ipsec_mb, c))
		return c;
	if (mgr_start(c, init_mb_mgr_avx2))
		return c;
fail:
	ipsec_mb_context_free(c);
	return NULL;
}

/* Everything but tag_output, which differs between the directions. */
static IMB_JOB *job_next(struct context *c, struct aead_job *job, size_t i)
{
	IMB_JOB *imb = IMB_GET_NEXT_JOB(c->mgr);

	for (int k = 0; k < 8; k++)
		c->nonces[i][4 + k] = (uint8_t)(job->counter >> 8 * k);
	imb->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	imb->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	imb->enc_keys = job->key->bytes;
	imb->dec_keys = job->key->bytes;
	imb->key_len_in_bytes = sizeof job->key->bytes;
	imb->iv = c->nonces[i];
	imb->iv_len_in_bytes = NONCE_BYTES;
	imb->src = job->data;
	imb->dst = job->data;
	imb->cipher_start_src_offset_in_bytes = 0;
	imb->hash_start_src_offset_in_bytes = 0;
	imb->msg_len_to_cipher_in_bytes = job->len_bytes;
	imb->msg_len_to_hash_in_bytes = job->len_bytes;
	imb->u.CHACHA20_POLY1305.aad = NULL;
	imb->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
	imb->auth_tag_output_len_in_bytes = AEAD_TAG_BYTES;
	imb->user_data = job;
	return imb;
}

static void seal_done(const IMB_JOB *imb)
{
	struct aead_job *job = imb->user_data;

	if (imb->status != IMB_STATUS_COMPLETED)
		secret_wipe(job->data, (size_t)job->len_bytes + AEAD_TAG_BYTES);
}

static void open_done(const IMB_JOB *imb)
{
	struct aead_job *job = imb->user_data;

	job->ok = imb->status == IMB_STATUS_COMPLETED &&
		ct_equal(imb->auth_tag_output, job->data + job->len_bytes, AEAD_TAG_BYTES);
}

static void ipsec_mb_seal(void *context, struct aead_job *jobs, size_t n)
{
	struct context *c = context;
	IMB_JOB *imb;

	for (size_t i = 0; i < n; i++) {
		imb = job_next(c, &jobs[i], i);
		imb->cipher_direction = IMB_DIR_ENCRYPT;
		imb->chain_order = IMB_ORDER_CIPHER_HASH;
		imb->auth_tag_output = jobs[i].data + jobs[i].len_bytes;
		imb = IMB_SUBMIT_JOB(c->mgr);
		for (; imb; imb = IMB_GET_COMPLETED_JOB(c->mgr))
			seal_done(imb);
	}
	while ((imb = IMB_FLUSH_JOB(c->mgr)))
		seal_done(imb);
}

static void ipsec_mb_open(void *context, struct aead_job *jobs, size_t n)
{
	struct context *c = context;
	IMB_JOB *imb;

	for (size_t i = 0; i < n; i++) {
		jobs[i].ok = false;
		imb = job_next(c, &jobs[i], i);
		imb->cipher_direction = IMB_DIR_DECRYPT;
		imb->chain_order = IMB_ORDER_HASH_CIPHER;
		imb->auth_tag_output = c->tags[i];
		imb = IMB_SUBMIT_JOB(c->mgr);
		for (; imb; imb = IMB_GET_COMPLETED_JOB(c->mgr))
			open_done(imb);
	}
	while ((imb = IMB_FLUSH_JOB(c->mgr)))
		open_done(imb);
}

const struct aead_backend aead_ipsec_mb = {
	.name = "ipsec-mb",
	.usable = ipsec_mb_usable,
	.context_new = ipsec_mb_context_new,
	.context_free = ipsec_mb_context_free,
	.context_bytes = ipsec_mb_context_bytes,
	.seal = ipsec_mb_seal,
	.open = ipsec_mb_open,
};

#endif
