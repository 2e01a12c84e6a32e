/* The slab: objects that hold keys are wiped when they are put back and zero when they come out.
 * Sparse counters: the same, and their pages are the system's until something is counted.
 * The budget: what is taken is charged to the last byte, and never more than the limit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "core/mem.h"
#include "core/spin.h"
#include "tests/lib/rng.h"

#define OBJECT_BYTES 1000 /* 64 of them in a chunk, and not whole lines */
#define N_OBJECTS 500

static void test_slab_objects_are_zero_aligned_and_apart(void **state)
{
	static uint8_t *objects[N_OBJECTS];
	struct slab slab;

	(void)state;
	slab_init(&slab, OBJECT_BYTES, NULL);
	for (unsigned i = 0; i < N_OBJECTS; i++) {
		objects[i] = slab_get(&slab);
		assert_non_null(objects[i]);
		assert_int_equal((uintptr_t)objects[i] % 64, 0);
		assert_true(ct_is_zero(objects[i], OBJECT_BYTES));
		memset(objects[i], (int)i, OBJECT_BYTES);
	}
	assert_int_equal(slab.n_used, N_OBJECTS);
	for (unsigned i = 0; i < N_OBJECTS; i++)
		for (unsigned b = 0; b < OBJECT_BYTES; b++)
			assert_int_equal(objects[i][b], (uint8_t)i);
	slab_fini(&slab);
}

static void test_slab_wipes_what_is_put_back(void **state)
{
	struct slab slab;
	uint8_t *object;

	(void)state;
	slab_init(&slab, OBJECT_BYTES, NULL);
	object = slab_get(&slab);
	assert_non_null(object);
	memset(object, 0xee, OBJECT_BYTES);
	slab_put(&slab, object);
	/* Still our memory; only the link of the free list stands there. */
	assert_true(ct_is_zero(object + sizeof(void *), OBJECT_BYTES - sizeof(void *)));
	assert_ptr_equal(slab_get(&slab), object);
	assert_true(ct_is_zero(object, OBJECT_BYTES));
	slab_fini(&slab);
}

/* Any order of get and put: always zero, never one object twice, no growth beyond the most in use.
 */
static void test_slab_reuses_objects_zeroed_in_any_order(void **state)
{
	static uint8_t *held[128];
	struct rng rng = {11};
	struct slab slab;

	(void)state;
	memset(held, 0, sizeof held);
	slab_init(&slab, 64, NULL);
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t **slot = &held[rng_below(&rng, 128)];

		if (*slot) {
			assert_int_equal(**slot, (uint8_t)(slot - held + 1));
			slab_put(&slab, *slot);
			*slot = NULL;
			continue;
		}
		*slot = slab_get(&slab);
		assert_non_null(*slot);
		assert_true(ct_is_zero(*slot, 64));
		memset(*slot, (int)(slot - held + 1), 64);
	}
	slab_fini(&slab);
}

static void test_slab_put_of_nothing_is_allowed(void **state)
{
	struct slab slab;

	(void)state;
	slab_init(&slab, 64, NULL);
	slab_put(&slab, NULL);
	assert_int_equal(slab.n_used, 0);
	slab_fini(&slab);
}

/* ---- sparse counters ---- */

#define N_COUNTERS 52

static void test_sparse_counters_are_zero_and_apart(void **state)
{
	static _Atomic uint32_t *arrays[2000]; /* in several chunks */
	struct sparse sparse;

	(void)state;
	sparse_init(&sparse, N_COUNTERS, NULL);
	for (uint32_t i = 0; i < 2000; i++) {
		arrays[i] = sparse_get(&sparse);
		assert_non_null(arrays[i]);
		for (unsigned c = 0; c < N_COUNTERS; c++)
			assert_int_equal(relaxed_add(&arrays[i][c], i + 1), 0);
	}
	for (uint32_t i = 0; i < 2000; i++)
		for (unsigned c = 0; c < N_COUNTERS; c++)
			assert_int_equal(relaxed_get(&arrays[i][c]), i + 1);
	sparse_fini(&sparse);
}

static void test_sparse_counters_are_used_again_from_zero(void **state)
{
	struct sparse sparse;
	_Atomic uint32_t *first, *second;

	(void)state;
	sparse_init(&sparse, N_COUNTERS, NULL);
	first = sparse_get(&sparse);
	second = sparse_get(&sparse);
	assert_true(first && second);
	for (unsigned c = 0; c < N_COUNTERS; c++)
		relaxed_set(&first[c], UINT32_MAX);
	sparse_put(&sparse, first);
	sparse_put(&sparse, NULL);
	assert_ptr_equal(sparse_get(&sparse), first);
	assert_true(ct_is_zero((const void *)first, N_COUNTERS * sizeof *first));
	assert_ptr_not_equal(sparse_get(&sparse), second);
	sparse_fini(&sparse);
}

static bool is_resident(const volatile void *p)
{
	unsigned char there = 0;

	assert_int_equal(mincore((void *)((uintptr_t)p & ~(uintptr_t)4095), 1, &there), 0);
	return there & 1;
}

static void test_sparse_counters_take_a_page_when_one_counts(void **state)
{
	static _Atomic uint32_t *arrays[10000];
	struct sparse sparse;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* its calloc() writes */
#endif
	sparse_init(&sparse, N_COUNTERS, NULL);
	for (unsigned i = 0; i < 10000; i++) {
		arrays[i] = sparse_get(&sparse);
		assert_non_null(arrays[i]);
	}
	/* The first ones may stand in what malloc had. */
	for (unsigned i = 5000; i < 9000; i++)
		assert_false(is_resident(arrays[i]));
	relaxed_add(&arrays[7000][0], 1);
	assert_true(is_resident(arrays[7000]));
	assert_false(is_resident(arrays[6950]));
	assert_false(is_resident(arrays[7050]));
	sparse_fini(&sparse);
}

static void test_sparse_counters_are_charged_by_chunk(void **state)
{
	struct mem_budget budget = {.limit_bytes = 200000};
	struct sparse sparse;
	unsigned n = 0;

	(void)state;
	sparse_init(&sparse, N_COUNTERS, &budget);
	while (sparse_get(&sparse))
		n++;
	assert_int_equal(n, (131072 - 2 * sizeof(void *)) / (N_COUNTERS * 4));
	assert_int_equal(relaxed_get(&budget.n_refused), 1);
	sparse_fini(&sparse);
	assert_int_equal(relaxed_get(&budget.used_bytes), 0);
}

static void test_budget_counts_every_block_until_it_is_freed(void **state)
{
	struct mem_budget budget = {0};
	uint32_t *numbers;
	uint8_t *lines;
	void *secret;

	(void)state;
	numbers = mem_new(&budget, 100, sizeof *numbers);
	lines = mem_new_lines(&budget, 1000);
	secret = mem_secret_new(&budget, 10);
	assert_true(numbers && lines && secret);
	assert_int_equal((uintptr_t)lines % 64, 0);
	assert_true(ct_is_zero(numbers, 100 * sizeof *numbers));
	assert_in_range(
		relaxed_get(&budget.used_bytes), 400 + 1000 + 4096, 400 + 1000 + 4096 + 256);
	numbers[99] = 7;
	numbers = mem_resize(&budget, numbers, 5000, sizeof *numbers);
	assert_non_null(numbers);
	assert_int_equal(numbers[99], 7);
	assert_true(relaxed_get(&budget.used_bytes) >= 20000 + 1000 + 4096);
	mem_free(numbers);
	mem_free(lines);
	mem_secret_free(&budget, secret, 10);
	mem_free(NULL);
	assert_int_equal(relaxed_get(&budget.used_bytes), 0);
	assert_true(relaxed_get(&budget.peak_bytes) >= 20000 + 1000 + 4096);
	assert_int_equal(relaxed_get(&budget.n_refused), 0);
}

static void test_budget_refuses_what_would_pass_its_limit_and_counts_it(void **state)
{
	struct mem_budget budget = {.limit_bytes = 100000};
	uint8_t *all, *same;

	(void)state;
	assert_null(mem_new(&budget, 100000, 1)); /* with its head it is more */
	all = mem_new(&budget, 100000 - MEM_HEAD_BYTES, 1);
	assert_non_null(all);
	assert_null(mem_new(&budget, 1, 1));
	assert_null(mem_new_lines(&budget, 1));
	assert_null(mem_secret_new(&budget, 1));
	same = mem_resize(&budget, all, 200000, 1);
	assert_null(same); /* all is as it was */
	assert_int_equal(relaxed_get(&budget.used_bytes), 100000);
	assert_int_equal(relaxed_get(&budget.n_refused), 5);
	mem_free(all);
	assert_null(mem_new(&budget, SIZE_MAX, 16));
	assert_null(mem_new_lines(&budget, SIZE_MAX - 7));
	assert_int_equal(relaxed_get(&budget.used_bytes), 0);
	assert_int_equal(relaxed_get(&budget.peak_bytes), 100000);
}

static void test_budget_of_a_slab_is_charged_by_chunk(void **state)
{
	struct mem_budget budget = {.limit_bytes = 100000};
	struct slab slab;
	unsigned n = 0;

	(void)state;
	slab_init(&slab, 64, &budget);
	while (slab_get(&slab))
		n++;
	assert_int_equal(n, 65536 / 64 - 1); /* one chunk; a second would be too much */
	assert_int_equal(relaxed_get(&budget.n_refused), 1);
	slab_fini(&slab);
	assert_int_equal(relaxed_get(&budget.used_bytes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slab_objects_are_zero_aligned_and_apart),
		cmocka_unit_test(test_slab_wipes_what_is_put_back),
		cmocka_unit_test(test_slab_reuses_objects_zeroed_in_any_order),
		cmocka_unit_test(test_slab_put_of_nothing_is_allowed),
		cmocka_unit_test(test_sparse_counters_are_zero_and_apart),
		cmocka_unit_test(test_sparse_counters_are_used_again_from_zero),
		cmocka_unit_test(test_sparse_counters_take_a_page_when_one_counts),
		cmocka_unit_test(test_sparse_counters_are_charged_by_chunk),
		cmocka_unit_test(test_budget_counts_every_block_until_it_is_freed),
		cmocka_unit_test(test_budget_refuses_what_would_pass_its_limit_and_counts_it),
		cmocka_unit_test(test_budget_of_a_slab_is_charged_by_chunk),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
