/* test_late_library.c - control/late_library.c with libm, which is everywhere, and with what is
 * nowhere. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/late_library.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static struct {
	typeof(&ldexp) ldexp;
	typeof(&lround) lround;
} m;

static struct late_library library_of(const char *file, const char *const names[2])
{
	return (struct late_library){
		.file = file, .package = "libc6", .names = names, .n = 2, .functions = &m};
}

static void test_functions_stand_where_their_names_do(void **state)
{
	static const char *const names[2] = {"ldexp", "lround"};
	struct late_library libm = library_of("libm.so.6", names);
	struct wgh_error error;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(late_library_load(&libm, &error), 0);
		assert_true(m.ldexp(3, 2) == 12);
		assert_int_equal(m.lround(2.5), 3);
	}
}

static void test_missing_library_is_named_and_its_package(void **state)
{
	static const char *const names[2] = {"ldexp", "lround"};
	struct late_library none = library_of("libnowhere.so.7", names);
	struct wgh_error error;

	(void)state;
	assert_int_equal(late_library_load(&none, &error), -ENOENT);
	assert_non_null(strstr(error.text, "libnowhere.so.7"));
	assert_non_null(strstr(error.text, "apt-get install libc6"));
	assert_int_equal(late_library_load(&none, &error), -ENOENT);
}

static void test_library_without_a_function_is_refused(void **state)
{
	static const char *const names[2] = {"ldexp", "not_in_libm"};
	struct late_library old = library_of("libm.so.6", names);
	struct wgh_error error;

	(void)state;
	assert_int_equal(late_library_load(&old, &error), -ENOENT);
	assert_non_null(strstr(error.text, "not_in_libm"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_functions_stand_where_their_names_do),
		cmocka_unit_test(test_missing_library_is_named_and_its_package),
		cmocka_unit_test(test_library_without_a_function_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
