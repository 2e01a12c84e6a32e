/* test_pending.c - control/pending.c: who tried to connect, bounded, and forgotten in time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/pending.h"

#include <string.h>

static struct pending list;

static int setup(void **state)
{
	(void)state;
	memset(&list, 0, sizeof list);
	return 0;
}

static struct wgh_public_key key(unsigned n)
{
	return (struct wgh_public_key){.bytes = {(uint8_t)n, (uint8_t)(n >> 8), 1}};
}

static bool note(unsigned n, int64_t now_s)
{
	const struct wgh_endpoint from = {
		.addr = {192, 0, 2, (uint8_t)n}, .port = (uint16_t)now_s, .family = WGH_IPV4};
	struct wgh_public_key k = key(n);

	return pending_note(&list, &k, &from, now_s);
}

static const struct pending_key *find(unsigned n, int64_t now_s)
{
	struct wgh_public_key k = key(n);

	pending_tidy(&list, now_s);
	for (unsigned i = 0; i < list.n; i++) {
		if (!memcmp(&list.keys[i].key, &k, sizeof k))
			return &list.keys[i];
	}
	return NULL;
}

static void test_tries_of_a_key_are_counted_and_the_last_one_kept(void **state)
{
	const struct pending_key *entry;

	(void)state;
	assert_true(note(1, 100));
	assert_false(note(1, 105));
	assert_false(note(1, 110));
	entry = find(1, 120);
	assert_non_null(entry);
	assert_int_equal(entry->n_tries, 3);
	assert_int_equal(entry->first_s, 100);
	assert_int_equal(entry->last_s, 110);
	assert_int_equal(entry->from.port, 110);
	assert_null(find(2, 120));
}

static void test_a_full_list_drops_the_one_heard_of_longest_ago(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PENDING_MAX; i++)
		assert_true(note(i, 100 + i));
	assert_false(note(0, 300)); /* so it is 1 now that was silent longest */
	assert_true(note(1000, 301));
	assert_int_equal(list.n, PENDING_MAX);
	assert_non_null(find(0, 302));
	assert_null(find(1, 302));
	assert_non_null(find(2, 302));
	assert_non_null(find(1000, 302));
}

static void test_keys_are_forgotten_after_an_hour_and_listed_latest_first(void **state)
{
	(void)state;
	note(1, 1000);
	note(2, 2000);
	note(3, 1500);
	pending_tidy(&list, 1000 + PENDING_S);
	assert_int_equal(list.n, 3);
	assert_int_equal(list.keys[0].last_s, 2000);
	assert_int_equal(list.keys[1].last_s, 1500);
	pending_tidy(&list, 1001 + PENDING_S);
	assert_int_equal(list.n, 2);
	assert_null(find(1, 1001 + PENDING_S));
	/* A clock that was set back makes nobody stay for ever. */
	pending_tidy(&list, 1400 - PENDING_S);
	assert_int_equal(list.n, 0);
}

static void test_one_that_was_let_in_is_not_listed(void **state)
{
	struct wgh_public_key two = key(2), nobody = key(9);

	(void)state;
	for (unsigned i = 1; i <= 3; i++)
		note(i, 100);
	pending_forget(&list, &two);
	pending_forget(&list, &nobody);
	assert_int_equal(list.n, 2);
	assert_null(find(2, 100));
	assert_non_null(find(1, 100));
	assert_non_null(find(3, 100));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(test_tries_of_a_key_are_counted_and_the_last_one_kept),
		T(test_a_full_list_drops_the_one_heard_of_longest_ago),
		T(test_keys_are_forgotten_after_an_hour_and_listed_latest_first),
		T(test_one_that_was_let_in_is_not_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
