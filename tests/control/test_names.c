/* test_names.c - control/names.c: names of peers, found again among many. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "control/names.h"

static struct wgh_public_key key(unsigned n)
{
	struct wgh_public_key k = {{0}};

	memcpy(k.bytes + 28, &n, sizeof n); /* alike but for the end */
	return k;
}

static void test_names_are_those_of_the_last_file(void **state)
{
	struct names *names = names_new();
	struct conf_peer peers[2] = {{.public_key = key(1), .name = "one"}, {.public_key = key(2)}};
	struct conf conf = {.peers = peers, .n_peers = 2};
	struct wgh_public_key k1 = key(1), k2 = key(2);

	(void)state;
	assert_null(names_get(names, &k1));
	assert_int_equal(names_from_conf(names, &conf), 0);
	assert_string_equal(names_get(names, &k1), "one");
	assert_null(names_get(names, &k2));
	peers[0].name = NULL;
	peers[1].name = "two";
	assert_int_equal(names_from_conf(names, &conf), 0);
	assert_null(names_get(names, &k1));
	assert_string_equal(names_get(names, &k2), "two");
	names_free(names);
}

static void test_up_is_news_once(void **state)
{
	struct names *names = names_new();
	struct wgh_public_key k = key(1);

	(void)state;
	assert_false(names_set_up(names, &k, false));
	assert_false(names_is_up(names, &k));
	assert_true(names_set_up(names, &k, true));
	assert_true(names_is_up(names, &k));
	assert_false(names_set_up(names, &k, true));
	assert_true(names_set_up(names, &k, false));
	names_free(names);
}

static void test_many_peers_are_told_apart(void **state)
{
	struct names *names = names_new();

	(void)state;
	for (unsigned i = 0; i < 20000; i += 2) {
		struct wgh_public_key k = key(i);

		assert_true(names_set_up(names, &k, true));
	}
	for (unsigned i = 0; i < 20000; i++) {
		struct wgh_public_key k = key(i);

		assert_int_equal(names_set_up(names, &k, true), i % 2);
	}
	names_free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_those_of_the_last_file),
		cmocka_unit_test(test_up_is_news_once),
		cmocka_unit_test(test_many_peers_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
