/* tidy.c - see tidy.h. One for the process, as malloc is. */
#include "control/tidy.h"

#include <malloc.h>
#include <stdbool.h>

#define AFTER_MS 1000

static uv_timer_t timer;
static bool is_on;

/* Tables of thousands of peers come and go with each change. Mapped, they return to the system by
 * themselves; after the first time glibc would take them from the heap. */
void tidy_init(void)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	mallopt(M_TOP_PAD, 0);
#endif
}

static void tidy(uv_timer_t *unused)
{
	(void)unused;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

void tidy_begin(uv_loop_t *loop)
{
	uv_timer_init(loop, &timer);
	is_on = true;
	tidy(&timer); /* what the start needed: filters of system calls, the text of the conf file
		       */
}

void tidy_soon(void)
{
	if (is_on && !uv_is_active((uv_handle_t *)&timer))
		uv_timer_start(&timer, tidy, AFTER_MS, 0);
}

void tidy_end(void)
{
	if (is_on)
		uv_close((uv_handle_t *)&timer, NULL);
	is_on = false;
}
