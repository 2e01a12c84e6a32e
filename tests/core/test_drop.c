/* Drop reasons: their names end up in metrics and scripts, so their form is a promise. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/drop.h"
#include "wghub.h"

static void test_drop_every_reason_has_a_unique_plain_name_and_a_text(void **state)
{
	(void)state;
	assert_int_equal(DROP_N, wgh_n_drop_reasons());
	for (unsigned i = 0; i < wgh_n_drop_reasons(); i++) {
		const struct wgh_drop_reason *r = wgh_drop_reason(i);
		assert_non_null(r->name);
		assert_non_null(r->text);
		assert_true(*r->name && *r->text);
		/* A label value everywhere without quoting. */
		assert_int_equal(
			strlen(r->name), strspn(r->name, "abcdefghijklmnopqrstuvwxyz0123456789_"));
		for (unsigned j = 0; j < i; j++) {
			assert_string_not_equal(r->name, wgh_drop_reason(j)->name);
			assert_string_not_equal(r->text, wgh_drop_reason(j)->text);
		}
	}
}

static void test_drop_table_is_in_the_order_of_the_enum(void **state)
{
	(void)state;
	assert_string_equal("none", wgh_drop_reason(DROP_NONE)->name);
	assert_string_equal("truncated", wgh_drop_reason(1)->name);
	assert_string_equal("source", wgh_drop_reason(DROP_SOURCE)->name);
	assert_string_equal("tun_write", wgh_drop_reason(DROP_N - 1)->name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drop_every_reason_has_a_unique_plain_name_and_a_text),
		cmocka_unit_test(test_drop_table_is_in_the_order_of_the_enum),
	};

	return cmocka_run_group_tests_name("drop", tests, NULL, NULL);
}
