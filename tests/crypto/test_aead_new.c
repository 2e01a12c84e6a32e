/* test_aead_new.c - which back end is chosen, and that none is used which fails its self-test. The
 * self-test itself is replaced here: the linker takes this file's before it looks into internal.a.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "crypto/aead_backend.h"

static int selftest_result;

int aead_selftest(const struct aead_backend *backend, void *context)
{
	(void)backend;
	(void)context;
	return selftest_result;
}

static struct aead *aead_make(const char *name)
{
	struct aead *aead;

	assert_int_equal(aead_new(&aead, name), 0);
	assert_string_equal(aead_name(aead), name);
	return aead;
}

static void test_aead_names_end_with_sodium_and_each_can_be_made(void **state)
{
	const char *const *names = aead_names();
	size_t n = 0;

	(void)state;
	for (; names[n]; n++)
		aead_free(aead_make(names[n]));
	assert_true(n >= 1);
	assert_string_equal(names[n - 1], "sodium");
	aead_free(NULL);
}

#ifdef HAVE_AEAD_NEON
static void test_aead_neon_is_the_first_choice_on_arm(void **state)
{
	(void)state;
	assert_string_equal(aead_names()[0], "neon");
}
#endif

static void test_aead_environment_forces_a_back_end_and_a_name_beats_it(void **state)
{
	const char *first = aead_names()[0];
	struct aead *aead;

	(void)state;
	assert_int_equal(unsetenv("WGHUB_AEAD"), 0);
	assert_int_equal(aead_new(&aead, NULL), 0);
	assert_string_equal(aead_name(aead), first);
	aead_free(aead);
	assert_int_equal(setenv("WGHUB_AEAD", "sodium", 1), 0);
	assert_int_equal(aead_new(&aead, NULL), 0);
	assert_string_equal(aead_name(aead), "sodium");
	aead_free(aead);
	assert_int_equal(aead_new(&aead, first), 0);
	assert_string_equal(aead_name(aead), first);
	aead_free(aead);
	assert_int_equal(setenv("WGHUB_AEAD", "", 1), 0);
	assert_int_equal(aead_new(&aead, NULL), 0);
	assert_string_equal(aead_name(aead), first);
	aead_free(aead);
	assert_int_equal(unsetenv("WGHUB_AEAD"), 0);
}

static void test_aead_unknown_name_is_refused_from_caller_and_environment(void **state)
{
	struct aead *aead = NULL;

	(void)state;
	assert_int_equal(aead_new(&aead, "rot13"), -ENOENT);
	assert_int_equal(aead_new(&aead, "Sodium"), -ENOENT);
	assert_int_equal(setenv("WGHUB_AEAD", "rot13", 1), 0);
	assert_int_equal(aead_new(&aead, NULL), -ENOENT);
	assert_int_equal(unsetenv("WGHUB_AEAD"), 0);
	assert_null(aead);
}

static void test_aead_new_refuses_a_back_end_that_fails_its_self_test(void **state)
{
	struct aead *aead = NULL;

	(void)state;
	for (const char *const *name = aead_names(); *name; name++) {
		selftest_result = -EIO;
		assert_int_equal(aead_new(&aead, *name), -EIO);
		selftest_result = -ENOMEM;
		assert_int_equal(aead_new(&aead, *name), -ENOMEM);
		selftest_result = 0;
	}
	/* nor does it take another one instead */
	selftest_result = -EIO;
	assert_int_equal(aead_new(&aead, NULL), -EIO);
	selftest_result = 0;
	assert_null(aead);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aead_names_end_with_sodium_and_each_can_be_made),
#ifdef HAVE_AEAD_NEON
		cmocka_unit_test(test_aead_neon_is_the_first_choice_on_arm),
#endif
		cmocka_unit_test(test_aead_environment_forces_a_back_end_and_a_name_beats_it),
		cmocka_unit_test(test_aead_unknown_name_is_refused_from_caller_and_environment),
		cmocka_unit_test(test_aead_new_refuses_a_back_end_that_fails_its_self_test),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
