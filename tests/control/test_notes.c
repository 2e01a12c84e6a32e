/* test_notes.c - control/notes.c: lines are printable, and there is an end of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "control/notes.h"

static void test_lines_are_printable_and_bounded(void **state)
{
	struct notes notes = {0};
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = 0;
	notes_add(&notes, "name %s", "a\x1b[2J\nb");
	notes_add(&notes, "%s", text);
	assert_string_equal(notes.lines[0], "name a\\x1b[2J\\x0ab");
	assert_int_equal(strlen(notes.lines[1]), NOTE_CHARS - 1);
	notes_fini(&notes);
	notes_add(NULL, "nobody wants to know");
}

static void test_beyond_the_limit_lines_are_only_counted(void **state)
{
	struct notes notes = {0};

	(void)state;
	for (unsigned i = 0; i < NOTES_MAX + 5; i++)
		notes_add(&notes, "%u", i);
	assert_int_equal(notes.n, NOTES_MAX);
	assert_int_equal(notes.n_left_out, 5);
	assert_string_equal(notes.lines[NOTES_MAX - 1], "63");
	notes_fini(&notes);
	assert_int_equal(notes.n + notes.n_left_out, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_are_printable_and_bounded),
		cmocka_unit_test(test_beyond_the_limit_lines_are_only_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
