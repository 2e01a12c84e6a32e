/* test_wake.c - a loop that is woken by another thread never misses the last time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/wake.h"

#define N_SENT 200000u

struct scene {
	uv_loop_t loop;
	struct wake wake;
	uv_timer_t limit;
	_Atomic uint32_t n_done, n_seen; /* by the sender; by the receiver */
	uint32_t n_calls;
	_Atomic bool late;
	bool closed;
};

static void end(struct scene *s)
{
	uv_close((uv_handle_t *)&s->limit, NULL);
	wake_close(&s->wake, NULL);
}

static void on_limit(uv_timer_t *timer)
{
	struct scene *s = timer->data;

	s->late = true;
	end(s);
}

static void on_wake(void *arg)
{
	struct scene *s = arg;

	s->n_calls++;
	atomic_store(&s->n_seen, atomic_load_explicit(&s->n_done, memory_order_relaxed));
	if (s->n_seen == N_SENT)
		uv_stop(&s->loop);
}

/* Only when the sender has ended: its last wake_send() may not have returned before. */
static void run_to_the_end(struct scene *s)
{
	assert_false(s->late);
	end(s);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s->loop), 0);
}

static void scene_init(struct scene *s, void (*call)(void *))
{
	*s = (struct scene){0};
	assert_int_equal(uv_loop_init(&s->loop), 0);
	assert_int_equal(wake_init(&s->wake, &s->loop, call, s), 0);
	uv_timer_init(&s->loop, &s->limit);
	s->limit.data = s;
	uv_timer_start(&s->limit, on_limit, 60000, 0);
}

static void send_and_watch(void *arg)
{
	struct scene *s = arg;

	for (uint32_t i = 1; i <= N_SENT; i++) {
		atomic_store_explicit(&s->n_done, i, memory_order_relaxed);
		wake_send(&s->wake);
		/* Now and then the receiver is let catch up, so that it sleeps in between. */
		while (i % 64 == 0 && atomic_load(&s->n_seen) != i && !s->late)
			;
	}
}

/* Each 64th time the sender goes on only when it was seen: a lost wake-up would end it all. */
static void test_wake_is_never_lost_and_shows_what_was_done_before(void **state)
{
	struct scene s;
	uv_thread_t sender;

	(void)state;
	scene_init(&s, on_wake);
	assert_int_equal(uv_thread_create(&sender, send_and_watch, &s), 0);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	uv_thread_join(&sender);
	assert_int_equal(atomic_load(&s.n_seen), N_SENT);
	run_to_the_end(&s);
}

static void test_wake_sent_often_before_the_loop_runs_is_one_call(void **state)
{
	struct scene s;

	(void)state;
	scene_init(&s, on_wake);
	for (uint32_t i = 1; i <= N_SENT; i++) {
		atomic_store(&s.n_done, i);
		wake_send(&s.wake);
	}
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_int_equal(s.n_calls, 1);
	run_to_the_end(&s);
}

static void on_wake_send_again(void *arg)
{
	struct scene *s = arg;

	if (++s->n_calls == 3)
		end(s);
	else
		wake_send(&s->wake);
}

static void test_wake_sent_from_within_the_call_calls_again(void **state)
{
	struct scene s;

	(void)state;
	scene_init(&s, on_wake_send_again);
	wake_send(&s.wake);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_false(s.late);
	assert_int_equal(s.n_calls, 3);
	assert_int_equal(uv_loop_close(&s.loop), 0);
}

static void on_closed(uv_handle_t *handle)
{
	struct scene *s = (struct scene *)((uint8_t *)handle - offsetof(struct scene, wake));

	s->closed = true;
}

static void test_wake_closed_says_when_its_memory_is_free(void **state)
{
	struct scene s;

	(void)state;
	scene_init(&s, on_wake);
	uv_close((uv_handle_t *)&s.limit, NULL);
	wake_close(&s.wake, on_closed);
	assert_false(s.closed);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_true(s.closed);
	assert_int_equal(s.n_calls, 0);
	assert_int_equal(uv_loop_close(&s.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wake_is_never_lost_and_shows_what_was_done_before),
		cmocka_unit_test(test_wake_sent_often_before_the_loop_runs_is_one_call),
		cmocka_unit_test(test_wake_sent_from_within_the_call_calls_again),
		cmocka_unit_test(test_wake_closed_says_when_its_memory_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
