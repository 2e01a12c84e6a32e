/* The slab: objects that hold keys are wiped when they are put back and zero when they come out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/mem.h"
#include "tests/lib/rng.h"

#define OBJECT_BYTES 1000 /* 64 of them in a chunk, and not whole lines */
#define N_OBJECTS 500

static void test_slab_objects_are_zero_aligned_and_apart(void **state)
{
	static uint8_t *objects[N_OBJECTS];
	struct slab slab;

	(void)state;
	slab_init(&slab, OBJECT_BYTES);
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
	slab_init(&slab, OBJECT_BYTES);
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
	slab_init(&slab, 64);
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
	slab_init(&slab, 64);
	slab_put(&slab, NULL);
	assert_int_equal(slab.n_used, 0);
	slab_fini(&slab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slab_objects_are_zero_aligned_and_apart),
		cmocka_unit_test(test_slab_wipes_what_is_put_back),
		cmocka_unit_test(test_slab_reuses_objects_zeroed_in_any_order),
		cmocka_unit_test(test_slab_put_of_nothing_is_allowed),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
