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

/* Ciphertexts that leave Poly1305's accumulator just above a multiple of 2^44 where the vector code
 * of 16, 32 or 48 blocks ends; found with big integers, for the key of bytes 0 to 31. The AVX-512
 * IFMA code of Intel's library 1.3 loses a carry there: about one packet in 10^12 by chance, and
 * all of these. */
static const struct edge {
	uint32_t counter, before_blocks, after_blocks; /* blocks of ones around the two of middle */
	uint8_t middle[32];
} carry_edges[] = {
	{1001, 14, 0,
		{0xd7, 0xa5, 0x6d, 0x3c, 0xfc, 0xf9, 0xa4, 0x4d, 0xc7, 0x16, 0x69, 0x1a, 0xcd, 0xab,
			0xa1, 0xb8, 0xcf, 0x7e, 0xc0, 0x3a, 0x4b, 0x78, 0x7d, 0x3d, 0x95, 0x39,
			0x6a, 0xe9, 0x40, 0x90, 0xae, 0xf6}}, /* 2^88 + 2^45 */
	{1009, 14, 2,
		{0xad, 0x1a, 0x34, 0xd4, 0xb3, 0x2b, 0x04, 0xa4, 0xb0, 0xc4, 0x80, 0xce, 0x03, 0x04,
			0xa0, 0x42, 0xa8, 0xdb, 0x1e, 0xfa, 0x5b, 0x06, 0x5a, 0x12, 0xba, 0x68,
			0x28, 0xc9, 0x08, 0x53, 0xaa, 0xdc}}, /* 2^129 + 2^87 + 1 */
	{1019, 30, 2,
		{0x3f, 0xb9, 0xab, 0xe8, 0x6a, 0xb0, 0xbc, 0x4a, 0x75, 0xa1, 0x86, 0x92, 0xe8, 0xc7,
			0x74, 0xb4, 0xd8, 0x0c, 0x2e, 0x3f, 0xb9, 0xfd, 0x9e, 0xe7, 0xa4, 0xd3,
			0xfb, 0x98, 0xc3, 0x6f, 0xe1, 0xfb}}, /* 2^46 + 4 */
	{1020, 46, 2,
		{0xf9, 0x8a, 0xdf, 0xe1, 0x83, 0xa5, 0xcf, 0x4f, 0xda, 0x6a, 0x19, 0xd9, 0x92, 0xa8,
			0xe4, 0xc3, 0x41, 0xd1, 0xf5, 0x3e, 0x4d, 0xc1, 0x97, 0xf9, 0xd1, 0xe2,
			0xdd, 0x2b, 0x94, 0xb6, 0x8a, 0xc0}}, /* 2^88 + 9 */
};
#define N_CARRY_EDGES (sizeof carry_edges / sizeof carry_edges[0])
#define CARRY_EDGE_MAX_BYTES (50 * 16)

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

static bool carry_edges_ok(const struct aead_backend *b, void *context)
{
	struct sym_key key;

	for (size_t i = 0; i < sizeof key.bytes; i++)
		key.bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < N_CARRY_EDGES; i++) {
		const struct edge *e = &carry_edges[i];
		uint8_t want[CARRY_EDGE_MAX_BYTES + AEAD_TAG_BYTES] = {0}, got[sizeof want];
		struct aead_job job = {
			.data = got,
			.key = &key,
			.counter = e->counter,
			.len_bytes = 16 * (e->before_blocks + 2 + e->after_blocks),
		};

		/* Keystream, xor wanted ciphertext: the plaintext that seals to it. */
		aead_seal_one(want, want, job.len_bytes, NULL, 0, &key, e->counter);
		for (size_t k = 0; k < job.len_bytes; k++) {
			size_t at = k - 16 * (size_t)e->before_blocks; /* huge before the middle */

			want[k] ^= at < sizeof e->middle ? e->middle[at] : 0xff;
		}
		memcpy(got, want, sizeof got);
		aead_seal_one(want, want, job.len_bytes, NULL, 0, &key, e->counter);
		b->seal(context, &job, 1);
		if (memcmp(got, want, job.len_bytes + AEAD_TAG_BYTES))
			return false;
		b->open(context, &job, 1);
		if (!job.ok)
			return false;
	}
	return true;
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

	if (!known_answer_ok(backend, context) || !carry_edges_ok(backend, context))
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
