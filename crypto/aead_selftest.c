/* aead_selftest.c - does a bulk back end compute what RFC 8439 says and libsodium computes?
 *
 * Run by aead_new() once per context, on packets of fixed pseudo-random content so that a failure
 * comes back. Costs under a millisecond and about 300 KiB for that time. Fails with -EIO on the
 * first difference: in a byte of output, in a verdict, or in a byte outside of the packet.
 */
#include "crypto/aead_backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define N_JOBS 48
#define LEN_MAX_BYTES 2048
#define SLOT_BYTES (LEN_MAX_BYTES + AEAD_TAG_BYTES + 48) /* the rest must stay as it was */

/* Lengths around the blocks of ChaCha20 (64), Poly1305 (16) and the strides of vector code; the
 * remaining jobs get random ones. */
static const uint32_t edges[] = {0, 1, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 129, 191, 192, 255,
	256, 257, 511, 512, 513, 1023, 1024, 1025, LEN_MAX_BYTES};
#define N_EDGES (sizeof edges / sizeof edges[0])

/* 64 zero bytes under the zero key and counter: the ciphertext is the keystream of RFC 8439,
 * appendix A.1, test vector 2; the tag was computed from sections 2.5 and 2.8 with big integers. */
static const uint8_t known[64 + AEAD_TAG_BYTES] = {0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a,
	0x98, 0xba, 0x97, 0x7c, 0x73, 0x2d, 0x08, 0x0d, 0xcb, 0x0f, 0x29, 0xa0, 0x48, 0xe3, 0x65,
	0x69, 0x12, 0xc6, 0x53, 0x3e, 0x32, 0xee, 0x7a, 0xed, 0x29, 0xb7, 0x21, 0x76, 0x9c, 0xe6,
	0x4e, 0x43, 0xd5, 0x71, 0x33, 0xb0, 0x74, 0xd8, 0x39, 0xd5, 0x31, 0xed, 0x1f, 0x28, 0x51,
	0x0a, 0xfb, 0x45, 0xac, 0xe1, 0x0a, 0x1f, 0x4b, 0x79, 0x4d, 0x6f, 0x75, 0xc5, 0x18, 0x0e,
	0xf5, 0x2d, 0x69, 0x21, 0x03, 0x7a, 0x3d, 0x0a, 0xf9, 0xf0, 0xda, 0xc8};

struct test {
	uint8_t plain[N_JOBS * SLOT_BYTES], sealed[N_JOBS * SLOT_BYTES], work[N_JOBS * SLOT_BYTES];
	struct sym_key keys[N_JOBS];
	struct aead_job jobs[N_JOBS];
};

static bool known_answer_ok(const struct aead_backend *b, void *context)
{
	static const struct sym_key key;
	uint8_t data[sizeof known] = {0};
	struct aead_job job = {.data = data, .key = &key, .len_bytes = 64};

	b->seal(context, &job, 1);
	if (memcmp(data, known, sizeof known))
		return false;
	b->open(context, &job, 1);
	return job.ok && sodium_is_zero(data, 64);
}

static void test_fill(struct test *t)
{
	static const unsigned char seed[randombytes_SEEDBYTES] = "wghub aead self-test";
	uint32_t random[N_JOBS];

	randombytes_buf_deterministic(t, sizeof *t, seed);
	memcpy(random, t->work, sizeof random);
	for (size_t i = 0; i < N_JOBS; i++) {
		uint64_t counter;

		memcpy(&counter, t->keys[i].bytes, sizeof counter); /* any number will do */
		t->jobs[i] = (struct aead_job){
			.data = t->work + i * SLOT_BYTES + i % 17,
			/* Runs of one key are what a real burst brings. */
			.key = &t->keys[i & ~(size_t)3],
			.counter = i % 2 ? counter : i,
			.len_bytes = i < N_EDGES ? edges[i] : random[i] % (LEN_MAX_BYTES + 1),
		};
	}
	memcpy(t->work, t->plain, sizeof t->work);
	memcpy(t->sealed, t->plain, sizeof t->sealed);
	for (size_t i = 0; i < N_JOBS; i++) {
		const struct aead_job *job = &t->jobs[i];
		uint8_t *data = t->sealed + (job->data - t->work);

		aead_seal_one(data, data, job->len_bytes, NULL, 0, job->key, job->counter);
	}
}

/* Every fourth packet has one bit wrong and must be the only one refused. */
static bool open_ok(const struct aead_backend *b, void *context, struct test *t)
{
	for (size_t i = 0; i < N_JOBS; i++) {
		struct aead_job *job = &t->jobs[i];

		job->ok = i % 4 == 3;
		if (i % 4 == 3)
			job->data[i * 37 % (job->len_bytes + AEAD_TAG_BYTES)] ^= 1 << i % 8;
	}
	b->open(context, t->jobs, N_JOBS);
	for (size_t i = 0; i < N_JOBS; i++) {
		const struct aead_job *job = &t->jobs[i];

		if (job->ok != (i % 4 != 3))
			return false;
		if (job->ok && memcmp(job->data, t->plain + (job->data - t->work), job->len_bytes))
			return false;
	}
	return true;
}

int aead_selftest(const struct aead_backend *backend, void *context)
{
	struct test *t;
	bool ok;

	if (!known_answer_ok(backend, context))
		return -EIO;
	t = malloc(sizeof *t);
	if (!t)
		return -ENOMEM;
	test_fill(t);
	backend->seal(context, t->jobs, N_JOBS);
	ok = !memcmp(t->work, t->sealed, sizeof t->work) && open_ok(backend, context, t);
	free(t);
	return ok ? 0 : -EIO;
}
