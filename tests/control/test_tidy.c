/* test_tidy.c - control/tidy.c: is a page that malloc has free still the process's? */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/tidy.h"
#include "tests/lib/sanitizer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define N_BLOCKS 2000
#define BLOCK_BYTES 1000

static bool is_resident(uintptr_t page)
{
	unsigned char there = 0;

	assert_int_equal(mincore((void *)page, 1, &there), 0);
	return there & 1;
}

/* Frees two megabytes of small blocks but the last one, without which the heap would shrink by
 * itself. Returns a page in their midst. */
static uintptr_t free_page(void **last)
{
	static char *blocks[N_BLOCKS];

	for (unsigned i = 0; i < N_BLOCKS; i++) {
		blocks[i] = malloc(BLOCK_BYTES);
		assert_non_null(blocks[i]);
		memset(blocks[i], 1, BLOCK_BYTES);
	}
	*last = blocks[N_BLOCKS - 1];
	for (unsigned i = 0; i < N_BLOCKS - 1; i++)
		free(blocks[i]);
	return (uintptr_t)blocks[N_BLOCKS / 2] & ~(uintptr_t)4095;
}

static void test_free_memory_goes_back_when_it_is_said_and_not_before(void **state)
{
	uintptr_t page;
	uv_loop_t loop;
	void *last;

	(void)state;
	if (UNDER_SANITIZER)
		skip(); /* which has a malloc of its own */
	tidy_init();
	assert_int_equal(uv_loop_init(&loop), 0);
	tidy_begin(&loop);
	page = free_page(&last);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_true(is_resident(page));
	tidy_soon();
	tidy_soon();
	assert_true(is_resident(page));
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_false(is_resident(page));
	free(last);
	tidy_end();
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_begin_gives_back_what_the_start_needed(void **state)
{
	uintptr_t page;
	uv_loop_t loop;
	void *last;

	(void)state;
	if (UNDER_SANITIZER)
		skip();
	page = free_page(&last);
	tidy_soon(); /* nothing to wait for yet */
	assert_true(is_resident(page));
	assert_int_equal(uv_loop_init(&loop), 0);
	tidy_begin(&loop);
	assert_false(is_resident(page));
	tidy_end();
	tidy_soon();
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	free(last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begin_gives_back_what_the_start_needed),
		cmocka_unit_test(test_free_memory_goes_back_when_it_is_said_and_not_before),
	};

	return cmocka_run_group_tests_name("tidy", tests, NULL, NULL);
}
