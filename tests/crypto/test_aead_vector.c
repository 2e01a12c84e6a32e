/* test_aead_vector.c - the vector back ends against libsodium, byte for byte.
 *
 * WGHUB_TEST_ROUNDS: random batches per back end (each of up to 512 packets), default 5000, under
 * an emulator 300. WGHUB_TEST_SEED: where the random cases start; the same seed gives the same
 * cases.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crypto/aead_backend.h"
#include "tests/lib/rng.h"

#define MAX_LEN 2048
#define MARGIN 64 /* canary bytes on both sides, and room for every alignment */
#define SLOT_BYTES (MARGIN + 64 + MAX_LEN + AEAD_TAG_BYTES + MARGIN)
#define POOL_BYTES (1 << 16)

struct slot {
	uint8_t bytes[SLOT_BYTES];
};

static struct slot ours[AEAD_BATCH_MAX], plain[AEAD_BATCH_MAX], expected[AEAD_BATCH_MAX];
static struct sym_key keys[AEAD_BATCH_MAX];
static struct aead_job jobs[AEAD_BATCH_MAX];
static uint8_t pool[POOL_BYTES + SLOT_BYTES];
static struct rng rng;

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static size_t random_below(size_t n)
{
	return (size_t)rng_below(&rng, n);
}

static void random_fill(void *p, size_t n)
{
	memcpy(p, pool + random_below(POOL_BYTES), n);
}

static void nonce_of(uint8_t nonce[12], uint64_t counter)
{
	memset(nonce, 0, 4);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

static uint64_t random_counter(void)
{
	static const uint64_t edges[] = {
		0, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, 0};

	if (random_below(2))
		return rng_next(&rng);
	return edges[random_below(5)] + random_below(5) - 2;
}

static size_t random_len(void)
{
	switch (random_below(4)) {
	case 0:
		return random_below(130);
	case 1:
		return 16 * random_below(MAX_LEN / 16 + 1);
	case 2:
		return (size_t[]){0, 64, 80, 512, 528, 1420, 1424, 1440, MAX_LEN}[random_below(9)];
	default:
		return random_below(MAX_LEN + 1);
	}
}

enum content {
	CONTENT_RANDOM,
	CONTENT_ONES_PLAIN,
	CONTENT_ONES_SEALED,
	CONTENT_ZEROS_SEALED,
	N_CONTENTS
};

/* Prepares job i: a slot full of random canary, the packet somewhere in it, and what libsodium
 * makes of it. */
static void job_prepare(size_t i, size_t len, size_t align, uint64_t counter, enum content content)
{
	uint8_t nonce[12], *at = ours[i].bytes + MARGIN + align;

	random_fill(ours[i].bytes, SLOT_BYTES);
	random_fill(keys[i].bytes, sizeof keys[i].bytes);
	nonce_of(nonce, counter);
	if (content == CONTENT_ONES_PLAIN) {
		memset(at, 0xff, len);
	} else if (content != CONTENT_RANDOM) {
		memset(at, content == CONTENT_ONES_SEALED ? 0xff : 0, len);
		crypto_stream_chacha20_ietf_xor_ic(at, at, len, nonce, 1, keys[i].bytes);
	}
	plain[i] = ours[i];
	expected[i] = ours[i];
	crypto_aead_chacha20poly1305_ietf_encrypt(expected[i].bytes + MARGIN + align, NULL, at, len,
		NULL, 0, NULL, nonce, keys[i].bytes);
	jobs[i] = (struct aead_job){
		.data = at, .key = &keys[i], .counter = counter, .len_bytes = (uint32_t)len};
}

static void assert_sealed(size_t i)
{
	if (memcmp(&ours[i], &expected[i], sizeof ours[i]) != 0)
		print_error("packet %zu: %u bytes at %zu, counter %llu\n", i, jobs[i].len_bytes,
			(size_t)(jobs[i].data - ours[i].bytes),
			(unsigned long long)jobs[i].counter);
	assert_memory_equal(&ours[i], &expected[i], sizeof ours[i]);
}

/* Plaintext is back, the tag and all around it untouched. */
static void assert_opened(size_t i)
{
	size_t tag = (size_t)(jobs[i].data - ours[i].bytes) + jobs[i].len_bytes;

	assert_true(jobs[i].ok);
	assert_memory_equal(ours[i].bytes, plain[i].bytes, tag);
	assert_memory_equal(ours[i].bytes + tag, expected[i].bytes + tag, SLOT_BYTES - tag);
}

/* Nothing but the packet's data may have changed. */
static void assert_refused(size_t i)
{
	size_t start = (size_t)(jobs[i].data - ours[i].bytes);

	assert_false(jobs[i].ok);
	assert_memory_equal(ours[i].bytes, plain[i].bytes, start);
	start += jobs[i].len_bytes + AEAD_TAG_BYTES;
	assert_memory_equal(ours[i].bytes + start, plain[i].bytes + start, SLOT_BYTES - start);
}

struct fixture {
	const struct aead_backend *backend;
	void *context;
};

static int fixture_open(void **state, const struct aead_backend *backend)
{
	static struct fixture f;

	f = (struct fixture){.backend = backend};
	rng.state = env_number("WGHUB_TEST_SEED", 1);
	rng_fill(&rng, pool, sizeof pool);
	if (backend->usable()) {
		f.context = backend->context_new();
		assert_non_null(f.context);
	}
	*state = &f;
	return 0;
}

static int setup_avx512(void **state)
{
	return fixture_open(state, &aead_avx512);
}

#ifdef HAVE_AEAD_AVX2
static int setup_avx2(void **state)
{
	return fixture_open(state, &aead_avx2);
}
#endif

#ifdef HAVE_AEAD_NEON
static int setup_neon(void **state)
{
	return fixture_open(state, &aead_neon);
}
#endif

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->context)
		f->backend->context_free(f->context);
	return 0;
}

/* The test is skipped on a CPU without the instructions. */
static const struct fixture *fixture_get(void **state)
{
	const struct fixture *f = *state;

	if (!f->context)
		skip();
	return f;
}

static void seal_and_open(const struct fixture *f, size_t n)
{
	f->backend->seal(f->context, jobs, n);
	for (size_t i = 0; i < n; i++)
		assert_sealed(i);
	f->backend->open(f->context, jobs, n);
	for (size_t i = 0; i < n; i++)
		assert_opened(i);
}

static void test_random_batches_agree_with_libsodium(void **state)
{
	const struct fixture *f = fixture_get(state);
	uint64_t rounds = env_number("WGHUB_TEST_ROUNDS", getenv("WGHUB_EMULATOR") ? 300 : 5000);

	for (uint64_t round = 0; round < rounds; round++) {
		size_t n =
			1 + random_below((size_t[]){3, 8, 20, 70, AEAD_BATCH_MAX}[random_below(5)]);
		bool same_len = random_below(2);
		size_t len = random_len(), forged = random_below(2 * n), byte;

		for (size_t i = 0; i < n; i++)
			job_prepare(i, same_len ? len : random_len(), random_below(64),
				random_counter(),
				random_below(2) ? CONTENT_RANDOM
						: (enum content)random_below(N_CONTENTS));
		f->backend->seal(f->context, jobs, n);
		for (size_t i = 0; i < n; i++)
			assert_sealed(i);
		if (forged < n) {
			byte = random_below(jobs[forged].len_bytes + AEAD_TAG_BYTES);
			jobs[forged].data[byte] ^= (uint8_t)(1 << random_below(8));
		}
		f->backend->open(f->context, jobs, n);
		for (size_t i = 0; i < n; i++)
			i == forged ? assert_refused(i) : assert_opened(i);
	}
}

static void test_every_length_agrees_alone_and_in_company(void **state)
{
	const struct fixture *f = fixture_get(state);
	static const size_t batches[] = {1, 3, 8, 16};

	for (size_t len = 0; len <= MAX_LEN; len++) {
		size_t n = batches[len % 4];

		job_prepare(0, len, len % 64, len, CONTENT_RANDOM);
		seal_and_open(f, 1);
		for (size_t i = 0; i < n;
			i++) /* neighbours a little shorter: lanes end at different times */
			job_prepare(i, len - (i * 7 > len ? len : i * 7), i, len, CONTENT_RANDOM);
		seal_and_open(f, n);
	}
}

static void test_every_alignment_agrees(void **state)
{
	const struct fixture *f = fixture_get(state);

	for (size_t align = 0; align < 64; align++) {
		for (size_t i = 0; i < 20; i++)
			job_prepare(i, 61 * i, (align + i) % 64, align, CONTENT_RANDOM);
		seal_and_open(f, 20);
	}
}

static void test_counters_agree_at_word_borders(void **state)
{
	const struct fixture *f = fixture_get(state);
	const uint64_t borders[] = {0, UINT64_C(1) << 8, UINT64_C(1) << 31, UINT64_C(1) << 32,
		UINT64_C(1) << 33, UINT64_C(1) << 63};
	size_t n = 0;

	for (size_t b = 0; b < 6; b++)
		for (uint64_t d = 0; d < 5; d++)
			job_prepare(n++, 100, 0, borders[b] + d - 2, CONTENT_RANDOM);
	seal_and_open(f, n);
	for (size_t i = 0; i < n; i++) {
		job_prepare(0, 1424, 0, borders[i / 5] + i % 5 - 2, CONTENT_RANDOM);
		seal_and_open(f, 1);
	}
}

/* 32-bit lengths of block counters and offsets: one packet of more than 64 KiB. */
static void test_packets_larger_than_a_datagram_agree(void **state)
{
	const struct fixture *f = fixture_get(state);
	const size_t len = 70001;
	uint8_t *data = malloc(len + AEAD_TAG_BYTES), *want = malloc(len + AEAD_TAG_BYTES),
		nonce[12];

	assert_non_null(data);
	assert_non_null(want);
	for (size_t n = 1; n <= 9; n += 8) {
		for (size_t i = 1; i < n; i++)
			job_prepare(i, 33 * i, 0, i, CONTENT_RANDOM);
		job_prepare(0, 0, 0, 7, CONTENT_RANDOM);
		rng_fill(&rng, data, len);
		nonce_of(nonce, 7);
		crypto_aead_chacha20poly1305_ietf_encrypt(
			want, NULL, data, len, NULL, 0, NULL, nonce, keys[0].bytes);
		jobs[0].data = data;
		jobs[0].len_bytes = (uint32_t)len;
		f->backend->seal(f->context, jobs, n);
		assert_memory_equal(data, want, len + AEAD_TAG_BYTES);
		f->backend->open(f->context, jobs, n);
		assert_true(jobs[0].ok);
		for (size_t i = 1; i < n; i++)
			assert_opened(i);
	}
	free(data);
	free(want);
}

static void test_open_refuses_every_flipped_bit(void **state)
{
	const struct fixture *f = fixture_get(state);
	static const size_t lens[] = {0, 1, 16, 33, 64, 100}, batches[] = {1, 5, 17};

	for (size_t b = 0; b < 3; b++) {
		for (size_t k = 0; k < 6; k++) {
			size_t bits = 8 * (lens[k] + AEAD_TAG_BYTES), n = batches[b];

			for (size_t bit = 0; bit < bits; bit++) {
				size_t forged = bit % n;

				for (size_t i = 0; i < n; i++) {
					job_prepare(i, lens[k], i, bit, CONTENT_RANDOM);
					ours[i] = expected[i];
				}
				jobs[forged].data[bit / 8] ^= (uint8_t)(1 << bit % 8);
				f->backend->open(f->context, jobs, n);
				for (size_t i = 0; i < n; i++)
					i == forged ? assert_refused(i) : assert_opened(i);
			}
		}
	}
}

/* A packet against an unreadable page on either side: one byte too far and the test dies. */
static void test_no_byte_outside_is_touched(void **state)
{
	const struct fixture *f = fixture_get(state);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *map =
		mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map, page, PROT_NONE), 0);
	assert_int_equal(mprotect(map + 2 * page, page, PROT_NONE), 0);
	for (size_t len = 0; len <= 700; len++) {
		for (size_t n = 1; n <= 5; n += 4) {
			for (int at_end = 0; at_end < 2; at_end++) {
				uint8_t *data =
					at_end ? map + 2 * page - AEAD_TAG_BYTES - len : map + page;

				for (size_t i = 0; i < n; i++)
					job_prepare(i, len, 0, len, CONTENT_RANDOM);
				memcpy(data, jobs[0].data, len);
				jobs[0].data = data;
				f->backend->seal(f->context, jobs, n);
				assert_memory_equal(
					data, expected[0].bytes + MARGIN, len + AEAD_TAG_BYTES);
				f->backend->open(f->context, jobs, n);
				assert_true(jobs[0].ok);
				assert_memory_equal(data, plain[0].bytes + MARGIN, len);
			}
		}
	}
	munmap(map, 3 * page);
}

/* ---- numbers modulo p = 2^130 - 5, slow and plain: little-endian words ---- */

struct num {
	uint64_t w[3];
};

static const struct num prime = {{UINT64_MAX - 4, UINT64_MAX, 3}};

static bool num_less(struct num a, struct num b)
{
	for (int i = 2; i > 0; i--)
		if (a.w[i] != b.w[i])
			return a.w[i] < b.w[i];
	return a.w[0] < b.w[0];
}

static struct num num_sub(struct num a, struct num b)
{
	uint64_t borrow = 0;

	for (int i = 0; i < 3; i++) {
		unsigned __int128 d = (unsigned __int128)a.w[i] - b.w[i] - borrow;
		a.w[i] = (uint64_t)d;
		borrow = (uint64_t)(d >> 64) & 1;
	}
	return a;
}

static struct num num_add(struct num a, struct num b)
{
	uint64_t carry = 0;

	for (int i = 0; i < 3; i++) {
		unsigned __int128 s = (unsigned __int128)a.w[i] + b.w[i] + carry;
		a.w[i] = (uint64_t)s;
		carry = (uint64_t)(s >> 64);
	}
	return num_less(a, prime) ? a : num_sub(a, prime);
}

static struct num num_mul(struct num a, struct num b)
{
	struct num sum = {{0}};

	for (int bit = 129; bit >= 0; bit--) {
		sum = num_add(sum, sum);
		if (b.w[bit / 64] >> bit % 64 & 1)
			sum = num_add(sum, a);
	}
	return sum;
}

/* a^(p - 2) */
static struct num num_inverse(struct num a)
{
	struct num e = num_sub(prime, (struct num){{2}}), product = {{1}};

	for (int bit = 129; bit >= 0; bit--) {
		product = num_mul(product, product);
		if (e.w[bit / 64] >> bit % 64 & 1)
			product = num_mul(product, a);
	}
	return product;
}

/* The hash must be brought below p before the pad is added. A random packet never ends with a hash
 * next to p or with limbs full of ones, so solve for one: ((c + 2^128) r + lengths + 2^128) r =
 * wanted. */
static bool job_prepare_hash(size_t i, struct num wanted)
{
	uint8_t block0[64], nonce[12];
	struct num r, inverse, c, lengths = {{0, 16, 1}};

	job_prepare(i, 16, 0, rng_next(&rng), CONTENT_RANDOM);
	nonce_of(nonce, jobs[i].counter);
	memset(block0, 0, sizeof block0);
	crypto_stream_chacha20_ietf_xor_ic(block0, block0, sizeof block0, nonce, 0, keys[i].bytes);
	memcpy(r.w, block0, 16);
	r.w[0] &= 0x0ffffffc0fffffff;
	r.w[1] &= 0x0ffffffc0ffffffc;
	r.w[2] = 0;
	inverse = num_inverse(r);
	c = num_mul(wanted, inverse);
	c = num_mul(num_add(c, num_sub(prime, lengths)), inverse);
	if (c.w[2] != 1)
		return false; /* no such block under this key */
	memcpy(jobs[i].data, c.w, 16);
	crypto_stream_chacha20_ietf_xor_ic(jobs[i].data, jobs[i].data, 16, nonce, 1, keys[i].bytes);
	plain[i] = ours[i];
	expected[i] = ours[i];
	crypto_aead_chacha20poly1305_ietf_encrypt(expected[i].bytes + MARGIN, NULL, jobs[i].data,
		16, NULL, 0, NULL, nonce, keys[i].bytes);
	assert_memory_equal(expected[i].bytes + MARGIN, c.w, 16);
	return true;
}

static void test_tag_agrees_when_the_hash_ends_next_to_the_prime(void **state)
{
	const struct fixture *f = fixture_get(state);
	const struct num p = prime;
	struct num wanted[] = {{{0}}, {{1}}, {{4}}, {{5}}, num_sub(p, (struct num){{1}}),
		num_sub(p, (struct num){{5}}), {{UINT64_MAX, UINT64_MAX, 0}}, {{0, 0, 1}},
		{{UINT64_MAX, UINT64_MAX, 2}}, {{(UINT64_C(1) << 44) - 1}}, {{UINT64_C(1) << 44}},
		{{UINT64_MAX, (1 << 24) - 1, 0}}, {{0, 1 << 24, 0}}, {{(1 << 26) - 1}}, {{0, 0, 3}},
		{{0, UINT64_MAX, 3}}};
	size_t n = sizeof wanted / sizeof wanted[0];

	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < n; i++)
			while (!job_prepare_hash(i, wanted[i])) {}
		f->backend->seal(f->context, jobs, n);
		for (size_t i = 0; i < n; i++)
			assert_sealed(i);
		for (size_t i = 0; i < n; i++) { /* and alone */
			f->backend->open(f->context, jobs + i, 1);
			assert_opened(i);
		}
	}
}

#define VECTOR_TESTS(setup)                                                                        \
	cmocka_unit_test_setup_teardown(                                                           \
		test_random_batches_agree_with_libsodium, setup, teardown),                        \
		cmocka_unit_test_setup_teardown(                                                   \
			test_every_length_agrees_alone_and_in_company, setup, teardown),           \
		cmocka_unit_test_setup_teardown(test_every_alignment_agrees, setup, teardown),     \
		cmocka_unit_test_setup_teardown(                                                   \
			test_counters_agree_at_word_borders, setup, teardown),                     \
		cmocka_unit_test_setup_teardown(                                                   \
			test_packets_larger_than_a_datagram_agree, setup, teardown),               \
		cmocka_unit_test_setup_teardown(                                                   \
			test_open_refuses_every_flipped_bit, setup, teardown),                     \
		cmocka_unit_test_setup_teardown(test_no_byte_outside_is_touched, setup, teardown), \
		cmocka_unit_test_setup_teardown(                                                   \
			test_tag_agrees_when_the_hash_ends_next_to_the_prime, setup, teardown)

int main(void)
{
	const struct CMUnitTest avx512[] = {VECTOR_TESTS(setup_avx512)};
#ifdef HAVE_AEAD_AVX2
	const struct CMUnitTest avx2[] = {VECTOR_TESTS(setup_avx2)};
#endif
#ifdef HAVE_AEAD_NEON
	const struct CMUnitTest neon[] = {VECTOR_TESTS(setup_neon)};
#endif
	int failed;

	if (sodium_init() < 0)
		return 1;
	failed = cmocka_run_group_tests_name("avx512", avx512, NULL, NULL);
#ifdef HAVE_AEAD_AVX2
	failed += cmocka_run_group_tests_name("avx2", avx2, NULL, NULL);
#endif
#ifdef HAVE_AEAD_NEON
	failed += cmocka_run_group_tests_name("neon", neon, NULL, NULL);
#endif
	return failed;
}
