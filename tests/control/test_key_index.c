/* test_key_index.c - control/key_index.c: structs found by the key they begin with. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "control/key_index.h"

struct item {
	struct wgh_public_key public_key;
	unsigned n;
};

KEY_INDEX_CAN_HOLD(struct item);

static struct wgh_public_key key(unsigned n)
{
	struct wgh_public_key k = {{0}};

	memcpy(k.bytes + 28, &n, sizeof n); /* alike but for the end */
	return k;
}

/* 7 has no divisor in common with 512: each number once, in no order. */
static void test_each_of_many_is_found_by_its_key_and_no_other(void **state)
{
	enum { N = 512 };
	static struct item items[N];
	struct key_index index;

	(void)state;
	for (unsigned i = 0; i < N; i++)
		items[i] = (struct item){key(i * 7 % N * 2), i};
	assert_int_equal(key_index_init(&index, items, N, sizeof *items), 0);
	for (unsigned i = 0; i < N; i++) {
		struct wgh_public_key odd = key(i * 2 + 1);

		assert_ptr_equal(key_index_find(&index, &items[i].public_key), &items[i]);
		assert_null(key_index_find(&index, &odd));
	}
	key_index_fini(&index);
}

static void test_nothing_is_found_in_an_empty_list(void **state)
{
	struct key_index index, zero = {0};
	struct wgh_public_key k = key(1);

	(void)state;
	assert_int_equal(key_index_init(&index, NULL, 0, sizeof(struct item)), 0);
	assert_null(key_index_find(&index, &k));
	assert_null(key_index_find(&zero, &k));
	key_index_fini(&index);
	assert_null(key_index_find(&index, &k));
	key_index_fini(&index);
	key_index_fini(&zero);
}

static void test_of_two_with_one_key_one_is_found(void **state)
{
	struct item items[3] = {{key(2), 0}, {key(1), 1}, {key(2), 2}};
	struct wgh_public_key k = key(2);
	struct key_index index;
	const struct item *found;

	(void)state;
	assert_int_equal(key_index_init(&index, items, 3, sizeof *items), 0);
	found = key_index_find(&index, &k);
	assert_non_null(found);
	assert_int_not_equal(found->n, 1);
	key_index_fini(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_of_many_is_found_by_its_key_and_no_other),
		cmocka_unit_test(test_nothing_is_found_in_an_empty_list),
		cmocka_unit_test(test_of_two_with_one_key_one_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
