/* test_aead.c - every bulk back end this machine can run computes what libsodium does, touches no
 * other byte and judges each packet alone; libsodium itself is held to the RFC's and the draft's
 * vectors.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crypto/aead_backend.h"
#include "tests/crypto/aead_edges.h"
#include "tests/crypto/aead_rfc8439.h"
#include "tests/lib/hex.h"
#include "tests/lib/rng.h"

#define LEN_MAX_BYTES 2048
#define ARENA_BYTES (AEAD_BATCH_MAX * (LEN_MAX_BYTES + AEAD_TAG_BYTES + 64) + 64)

/* A batch in one piece of memory, so that a byte too many lands in a neighbour or a gap and is
 * seen. */
struct batch {
	struct aead_job jobs[AEAD_BATCH_MAX];
	size_t n, used_bytes;
	struct sym_key keys[8];
	uint8_t *work; /* what the back end works on */
	uint8_t *plain; /* work before sealing */
	uint8_t *sealed; /* work as libsodium seals it */
};

static struct batch batch;

static struct aead *aead_make(const char *name)
{
	struct aead *aead;

	assert_int_equal(aead_new(&aead, name), 0);
	assert_string_equal(aead_name(aead), name);
	return aead;
}

/* ---- the self-test ---- */

/* Back ends with one fault each, over libsodium's; the self-test must find all of them. */
enum fault {
	FAULT_NONE,
	FAULT_TAG_BIT,
	FAULT_CIPHER_BIT,
	FAULT_BYTE_BEHIND,
	FAULT_OPENS_ALL,
	FAULT_OPENS_NONE,
	FAULT_VERDICT_OF_NEIGHBOUR,
	FAULT_COUNTER_32_BITS,
	FAULT_NOT_DECRYPTED,
	FAULT_KEEPALIVE,
	N_FAULTS,
};

static void faulty_seal(void *context, struct aead_job *jobs, size_t n)
{
	enum fault fault = *(enum fault *)context;

	for (size_t i = 0; i < n; i++) {
		struct aead_job job = jobs[i];

		if (fault == FAULT_COUNTER_32_BITS)
			job.counter = (uint32_t)job.counter;
		aead_sodium.seal(context, &job, 1);
		if (fault == FAULT_TAG_BIT && job.len_bytes == 257)
			job.data[257 + 15] ^= 0x80;
		if (fault == FAULT_CIPHER_BIT && job.len_bytes == 1023)
			job.data[1022] ^= 1;
		if (fault == FAULT_BYTE_BEHIND && job.len_bytes == 63)
			job.data[63 + 16] ^= 1;
		if (fault == FAULT_KEEPALIVE && !job.len_bytes)
			memset(job.data, 0, 16);
	}
}

static void faulty_open(void *context, struct aead_job *jobs, size_t n)
{
	enum fault fault = *(enum fault *)context;

	for (size_t i = 0; i < n; i++) {
		uint8_t first = jobs[i].data[0];
		uint64_t counter = jobs[i].counter;

		if (fault == FAULT_COUNTER_32_BITS)
			jobs[i].counter = (uint32_t)counter;
		aead_sodium.open(context, &jobs[i], 1);
		jobs[i].counter = counter;
		if (fault == FAULT_NOT_DECRYPTED && n > 1)
			jobs[i].data[0] = first;
	}
	for (size_t i = 0; i < n; i++) {
		if (fault == FAULT_OPENS_ALL && n > 1)
			jobs[i].ok = true;
		if (fault == FAULT_OPENS_NONE && n > 1)
			jobs[i].ok = false;
		if (fault == FAULT_VERDICT_OF_NEIGHBOUR && i + 1 < n)
			jobs[i].ok = jobs[i + 1].ok;
	}
}

static void test_aead_self_test_finds_every_kind_of_fault(void **state)
{
	static const struct aead_backend faulty = {
		.name = "faulty", .seal = faulty_seal, .open = faulty_open};

	(void)state;
	for (enum fault fault = FAULT_NONE; fault < N_FAULTS; fault++)
		assert_int_equal(aead_selftest(&faulty, &fault), fault == FAULT_NONE ? 0 : -EIO);
}

/* ---- every back end ---- */

/* A run of all back ends but the reference itself would prove less: sodium in place is tested as
 * well. */
static void for_each_back_end(void (*check)(struct aead *aead))
{
	for (const char *const *name = aead_names(); *name; name++) {
		struct aead *aead = aead_make(*name);

		check(aead);
		aead_free(aead);
	}
}

static void check_known_answer(struct aead *aead)
{
	uint8_t data[A5_BYTES + 16], sealed[A5_BYTES + 16];
	struct sym_key key;
	struct aead_job job = {
		.data = data, .key = &key, .counter = A5_COUNTER, .len_bytes = A5_BYTES};

	hex_bytes(key.bytes, 32, A5_KEY);
	hex_bytes(sealed, sizeof sealed, a5_sealed);
	memcpy(data, a5_plain, A5_BYTES);
	aead_seal(aead, &job, 1);
	assert_memory_equal(data, sealed, A5_BYTES);
	aead_open(aead, &job, 1);
	assert_true(job.ok);
	assert_memory_equal(data, a5_plain, A5_BYTES);
}

/* Associated data changes the tag only, so the RFC's ciphertext holds without it. */
static void test_aead_back_ends_give_the_ciphertext_of_rfc8439_appendix_a5(void **state)
{
	(void)state;
	for_each_back_end(check_known_answer);
}

static void batch_start(size_t n)
{
	batch.n = n;
	batch.used_bytes = 0;
}

/* gap: bytes before this packet that must survive. */
static void batch_place(
	size_t i, size_t gap_bytes, uint32_t len_bytes, size_t key_idx, uint64_t counter)
{
	batch.used_bytes += gap_bytes;
	batch.jobs[i] = (struct aead_job){
		.data = batch.work + batch.used_bytes,
		.key = &batch.keys[key_idx],
		.counter = counter,
		.len_bytes = len_bytes,
	};
	batch.used_bytes += len_bytes + AEAD_TAG_BYTES;
	assert_true(batch.used_bytes + 64 <= ARENA_BYTES);
}

/* Random content everywhere, gaps included, and libsodium's result of it. */
static void batch_fill(struct rng *rng)
{
	size_t all = batch.used_bytes + 64;

	rng_fill(rng, batch.keys, sizeof batch.keys);
	rng_fill(rng, batch.work, all);
	memcpy(batch.plain, batch.work, all);
	memcpy(batch.sealed, batch.work, all);
	for (size_t i = 0; i < batch.n; i++) {
		const struct aead_job *job = &batch.jobs[i];
		uint8_t *data = batch.sealed + (job->data - batch.work);

		aead_seal_one(data, data, job->len_bytes, NULL, 0, job->key, job->counter);
	}
}

/* After open: verdict as wanted[], plaintext where it is true, and all gaps as they were. */
static void batch_check_opened(const bool *wanted)
{
	const uint8_t *end = batch.work;

	for (size_t i = 0; i < batch.n; i++) {
		const struct aead_job *job = &batch.jobs[i];
		size_t at = (size_t)(job->data - batch.work);

		assert_memory_equal(
			end, batch.plain + (end - batch.work), (size_t)(job->data - end));
		end = job->data + job->len_bytes + AEAD_TAG_BYTES;
		assert_int_equal(job->ok, wanted[i]);
		if (job->ok)
			assert_memory_equal(job->data, batch.plain + at, job->len_bytes);
	}
	assert_memory_equal(end, batch.plain + (end - batch.work), 64);
}

static void batch_round_trip(struct aead *aead)
{
	bool wanted[AEAD_BATCH_MAX];

	aead_seal(aead, batch.jobs, batch.n);
	assert_memory_equal(batch.work, batch.sealed, batch.used_bytes + 64);
	for (size_t i = 0; i < batch.n; i++) {
		wanted[i] = true;
		batch.jobs[i].ok = false;
	}
	aead_open(aead, batch.jobs, batch.n);
	batch_check_opened(wanted);
}

static void check_every_length(struct aead *aead)
{
	struct rng rng = {10};

	for (uint32_t len = 0; len <= LEN_MAX_BYTES;) {
		batch_start(64);
		for (size_t i = 0; i < 64; i++, len++)
			batch_place(i, rng_below(&rng, 33), len <= LEN_MAX_BYTES ? len : 0, i % 8,
				rng_next(&rng));
		batch_fill(&rng);
		batch_round_trip(aead);
	}
}

static void test_aead_back_ends_agree_with_libsodium_for_every_length_to_2048(void **state)
{
	(void)state;
	for_each_back_end(check_every_length);
}

static void check_every_batch_size(struct aead *aead)
{
	struct rng rng = {11};

	for (size_t n = 1; n <= AEAD_BATCH_MAX; n++) {
		batch_start(n);
		for (size_t i = 0; i < n; i++)
			batch_place(i, 0, (uint32_t)rng_below(&rng, 200), rng_below(&rng, 8), i);
		batch_fill(&rng);
		batch_round_trip(aead);
	}
}

/* Packets touch: the next one begins right behind the tag, so most share a cache line with a
 * neighbour. */
static void test_aead_back_ends_take_batches_of_1_to_512_without_gaps(void **state)
{
	(void)state;
	for_each_back_end(check_every_batch_size);
}

static void check_empty_batch(struct aead *aead)
{
	aead_seal(aead, batch.jobs, 0);
	aead_open(aead, batch.jobs, 0);
	batch_start(AEAD_BATCH_MAX);
	for (size_t i = 0; i < AEAD_BATCH_MAX; i++)
		batch_place(i, 0, 0, i % 8, i);
	batch_fill(&(struct rng){12});
	batch_round_trip(aead);
}

static void test_aead_back_ends_take_no_packets_and_only_keepalives(void **state)
{
	(void)state;
	for_each_back_end(check_empty_batch);
}

static void check_alignments(struct aead *aead)
{
	static const uint32_t lens[] = {0, 1, 16, 63, 64, 65, 255, 256, 1420, 1424};
	struct rng rng = {13};

	for (size_t offset = 0; offset < 64; offset++) {
		batch_start(sizeof lens / sizeof lens[0]);
		for (size_t i = 0; i < batch.n; i++)
			batch_place(
				i, (offset - batch.used_bytes) % 64, lens[i], i % 8, ~(uint64_t)i);
		batch_fill(&rng);
		batch_round_trip(aead);
	}
}

static void test_aead_back_ends_take_data_at_every_offset_of_a_cache_line(void **state)
{
	(void)state;
	for_each_back_end(check_alignments);
}

static void check_large(struct aead *aead)
{
	static const uint32_t lens[] = {65519, 9000, 16384, 4095, 32768, 8192, 65535, 1};
	struct rng rng = {14};

	for (int round = 0; round < 4; round++) {
		batch_start(sizeof lens / sizeof lens[0]);
		for (size_t i = 0; i < batch.n; i++)
			batch_place(i, rng_below(&rng, 20), lens[i], i, rng_next(&rng));
		batch_fill(&rng);
		batch_round_trip(aead);
	}
}

static void test_aead_back_ends_take_packets_of_up_to_64_kib(void **state)
{
	(void)state;
	for_each_back_end(check_large);
}

/* One kind of damage to one packet. Length and key belong to the job, the rest to memory. */
static void damage(struct rng *rng, struct aead_job *job, size_t key_idx)
{
	uint32_t all_bytes = job->len_bytes + AEAD_TAG_BYTES;
	uint32_t bit;

	switch (rng_below(rng, 6)) {
	case 0: /* anywhere */
		bit = (uint32_t)rng_below(rng, 8 * all_bytes);
		job->data[bit / 8] ^= 1 << bit % 8;
		break;
	case 1: /* the tag */
		bit = 8 * job->len_bytes + (uint32_t)rng_below(rng, 8 * AEAD_TAG_BYTES);
		job->data[bit / 8] ^= 1 << bit % 8;
		break;
	case 2: /* last byte of the text, or of the tag of a keepalive */
		job->data[job->len_bytes ? job->len_bytes - 1 : AEAD_TAG_BYTES - 1] ^= 0x80;
		break;
	case 3: /* first byte */
		job->data[0] ^= 1;
		break;
	case 4:
		job->counter ^= (uint64_t)1 << rng_below(rng, 64);
		break;
	case 5:
		job->key = &batch.keys[(key_idx + 1) % 8];
		break;
	}
}

static void check_damage(struct aead *aead)
{
	struct rng rng = {15};
	size_t n_packets = 0;

	/* The fixed seed makes a failure come back; 40,000 packets take about a second. */
	while (n_packets < 40000) {
		bool wanted[AEAD_BATCH_MAX];
		/* from "one in two is bad" to "nearly none" */
		uint64_t one_in = 2 + rng_below(&rng, 60);

		batch_start(1 + rng_below(&rng, rng_next(&rng) % 4 ? 40 : AEAD_BATCH_MAX));
		for (size_t i = 0; i < batch.n; i++) {
			uint64_t limit = rng_next(&rng) % 4 ? 160 : LEN_MAX_BYTES + 1;

			batch_place(i, rng_next(&rng) % 2 ? rng_below(&rng, 64) : 0,
				(uint32_t)rng_below(&rng, limit), i % 8,
				rng_next(&rng) >> rng_below(&rng, 64));
		}
		batch_fill(&rng);
		aead_seal(aead, batch.jobs, batch.n);
		assert_memory_equal(batch.work, batch.sealed, batch.used_bytes + 64);
		for (size_t i = 0; i < batch.n; i++) {
			wanted[i] = rng_below(&rng, one_in) != 0;
			batch.jobs[i].ok = !wanted[i];
			if (!wanted[i])
				damage(&rng, &batch.jobs[i], i % 8);
		}
		aead_open(aead, batch.jobs, batch.n);
		batch_check_opened(wanted);
		n_packets += batch.n;
	}
}

static void test_aead_back_ends_refuse_a_damaged_packet_and_no_other(void **state)
{
	(void)state;
	for_each_back_end(check_damage);
}

static void check_every_tag_bit(struct aead *aead)
{
	struct rng rng = {16};

	for (uint32_t len = 0; len <= 272; len += 17) {
		bool wanted[128];

		batch_start(128);
		for (size_t i = 0; i < batch.n; i++)
			batch_place(i, 0, len, i % 8, i);
		batch_fill(&rng);
		aead_seal(aead, batch.jobs, batch.n);
		for (size_t i = 0; i < batch.n; i++) {
			wanted[i] = false;
			batch.jobs[i].ok = true;
			batch.jobs[i].data[len + i / 8] ^= 1 << i % 8;
		}
		aead_open(aead, batch.jobs, batch.n);
		batch_check_opened(wanted);
	}
}

static void test_aead_back_ends_look_at_every_bit_of_the_tag(void **state)
{
	(void)state;
	for_each_back_end(check_every_tag_bit);
}

/* Three pages of which only the middle run may be touched. */
static void check_page_edges(struct aead *aead)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = 2 * page;
	uint8_t *map = mmap(
		NULL, room + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sym_key key = {{7}};

	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map, page, PROT_NONE), 0);
	assert_int_equal(mprotect(map + page + room, page, PROT_NONE), 0);
	for (uint32_t len = 0; len <= LEN_MAX_BYTES; len += len < 600 ? 1 : 61) {
		uint8_t *from = map + page, *to = from + room - len - AEAD_TAG_BYTES;
		/* one at either end, so that no other packet hides a read too far */
		struct aead_job jobs[2] = {
			{.data = from, .key = &key, .counter = len, .len_bytes = len},
			{.data = to, .key = &key, .counter = ~(uint64_t)len, .len_bytes = len},
		};

		memset(from, 0x3c, room);
		for (size_t i = 0; i < 2; i++) {
			aead_seal(aead, &jobs[i], 1);
			aead_open(aead, &jobs[i], 1);
			assert_true(jobs[i].ok);
		}
		aead_seal(aead, jobs, 2);
		aead_open(aead, jobs, 2);
		assert_true(jobs[0].ok && jobs[1].ok);
		for (size_t i = 0; i < len; i++)
			assert_true(from[i] == 0x3c && to[i] == 0x3c);
	}
	munmap(map, room + 2 * page);
}

static void test_aead_back_ends_read_and_write_nothing_beyond_data_and_tag(void **state)
{
	(void)state;
	for_each_back_end(check_page_edges);
}

static void key_count_up(struct sym_key *key)
{
	for (size_t i = 0; i < sizeof key->bytes; i++)
		key->bytes[i] = (uint8_t)i;
}

/* All edges in one batch, as received; then sealed again. */
static void check_poly1305_edges(struct aead *aead)
{
	enum { N = sizeof aead_edges / sizeof aead_edges[0] };
	static uint8_t sealed[N][LEN_MAX_BYTES + 16], work[N][LEN_MAX_BYTES + 16];
	struct aead_job jobs[N];
	struct sym_key key;

	key_count_up(&key);
	for (size_t i = 0; i < N; i++) {
		const struct aead_edge *e = &aead_edges[i];
		uint32_t len = 16 * (e->before_blocks + 2 + e->after_blocks);

		assert_true(len <= LEN_MAX_BYTES);
		memset(sealed[i], 0xff, len);
		assert_int_equal(hex_bytes(sealed[i] + 16 * e->before_blocks, 32, e->middle), 32);
		assert_int_equal(hex_bytes(sealed[i] + len, 16, e->tag), 16);
		memcpy(work[i], sealed[i], len + 16);
		jobs[i] = (struct aead_job){
			.data = work[i], .key = &key, .counter = e->counter, .len_bytes = len};
	}
	aead_open(aead, jobs, N);
	for (size_t i = 0; i < N; i++) {
		if (!jobs[i].ok)
			fail_msg("%s refuses the packet of accumulator %s", aead_name(aead),
				aead_edges[i].accumulator);
		memset(work[i] + jobs[i].len_bytes, 0, AEAD_TAG_BYTES);
	}
	aead_seal(aead, jobs, N);
	for (size_t i = 0; i < N; i++)
		assert_memory_equal(work[i], sealed[i], jobs[i].len_bytes + AEAD_TAG_BYTES);
}

static void test_aead_back_ends_reduce_every_edge_of_the_accumulator(void **state)
{
	(void)state;
	for_each_back_end(check_poly1305_edges);
}

/* The ciphertext is all ones or all zeros, the worst for carries; found by sealing the keystream.
 */
static void check_extreme_r(struct aead *aead)
{
	struct sym_key key;

	key_count_up(&key);
	for (size_t k = 0; k < sizeof aead_edge_r_counters / sizeof aead_edge_r_counters[0]; k++) {
		for (int ones = 0; ones < 2; ones++) {
			for (uint32_t len = 0; len <= LEN_MAX_BYTES; len += len < 700 ? 1 : 67) {
				uint8_t work[LEN_MAX_BYTES + 16] = {0}, want[LEN_MAX_BYTES + 16];
				uint64_t counter = aead_edge_r_counters[k];
				struct aead_job job = {.data = work,
					.key = &key,
					.counter = counter,
					.len_bytes = len};

				aead_seal_one(work, work, len, NULL, 0, &key, counter);
				for (uint32_t i = 0; ones && i < len; i++)
					work[i] ^= 0xff;
				aead_seal_one(want, work, len, NULL, 0, &key, counter);
				aead_seal(aead, &job, 1);
				assert_memory_equal(work, want, len + AEAD_TAG_BYTES);
				if (len)
					assert_int_equal(work[len - 1], ones ? 0xff : 0);
				aead_open(aead, &job, 1);
				assert_true(job.ok);
			}
		}
	}
}

static void test_aead_back_ends_multiply_by_extreme_r_without_loss(void **state)
{
	(void)state;
	for_each_back_end(check_extreme_r);
}

static void check_nonces(struct aead *aead)
{
	struct rng rng = {17};

	/* every bit of the counter alone, and the numbers around the 32-bit border */
	batch_start(64 + 5);
	for (size_t i = 0; i < 64; i++)
		batch_place(i, 3, 200, 0, (uint64_t)1 << i);
	batch_place(64, 3, 200, 0, 0);
	batch_place(65, 3, 200, 0, UINT32_MAX);
	batch_place(66, 3, 200, 0, (uint64_t)UINT32_MAX + 2);
	batch_place(67, 3, 200, 0, UINT64_MAX);
	batch_place(68, 3, 200, 0, UINT64_MAX - 1);
	batch_fill(&rng);
	batch_round_trip(aead);
}

static void test_aead_back_ends_use_all_64_bits_of_the_counter(void **state)
{
	(void)state;
	for_each_back_end(check_nonces);
}

/* One context must not remember anything of the batch before. */
static void check_two_contexts(struct aead *aead)
{
	struct aead *other = aead_make(aead_name(aead));
	struct rng rng = {18};

	for (int round = 0; round < 20; round++) {
		batch_start(1 + rng_below(&rng, 100));
		for (size_t i = 0; i < batch.n; i++)
			batch_place(i, 1, (uint32_t)rng_below(&rng, 300), i % 8, i);
		batch_fill(&rng);
		aead_seal(round % 2 ? aead : other, batch.jobs, batch.n);
		assert_memory_equal(batch.work, batch.sealed, batch.used_bytes + 64);
		aead_open(round % 2 ? other : aead, batch.jobs, batch.n);
		for (size_t i = 0; i < batch.n; i++)
			assert_true(batch.jobs[i].ok);
	}
	aead_free(other);
}

static void test_aead_contexts_of_two_threads_work_side_by_side(void **state)
{
	(void)state;
	for_each_back_end(check_two_contexts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aead_self_test_finds_every_kind_of_fault),
		cmocka_unit_test(test_aead_back_ends_give_the_ciphertext_of_rfc8439_appendix_a5),
		cmocka_unit_test(test_aead_back_ends_agree_with_libsodium_for_every_length_to_2048),
		cmocka_unit_test(test_aead_back_ends_take_batches_of_1_to_512_without_gaps),
		cmocka_unit_test(test_aead_back_ends_take_no_packets_and_only_keepalives),
		cmocka_unit_test(test_aead_back_ends_take_data_at_every_offset_of_a_cache_line),
		cmocka_unit_test(test_aead_back_ends_take_packets_of_up_to_64_kib),
		cmocka_unit_test(test_aead_back_ends_refuse_a_damaged_packet_and_no_other),
		cmocka_unit_test(test_aead_back_ends_look_at_every_bit_of_the_tag),
		cmocka_unit_test(test_aead_back_ends_read_and_write_nothing_beyond_data_and_tag),
		cmocka_unit_test(test_aead_back_ends_reduce_every_edge_of_the_accumulator),
		cmocka_unit_test(test_aead_back_ends_multiply_by_extreme_r_without_loss),
		cmocka_unit_test(test_aead_back_ends_use_all_64_bits_of_the_counter),
		cmocka_unit_test(test_aead_contexts_of_two_threads_work_side_by_side),
	};

	if (secret_init())
		return 1;
	batch.work = malloc(ARENA_BYTES);
	batch.plain = malloc(ARENA_BYTES);
	batch.sealed = malloc(ARENA_BYTES);
	if (!batch.work || !batch.plain || !batch.sealed)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
