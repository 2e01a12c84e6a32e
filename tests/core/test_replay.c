/* The replay window. The edges are those the Linux module's selftest/counter.c looks at (as facts).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/replay.h"
#include "tests/lib/rng.h"

#define LIMIT REJECT_AFTER_MESSAGES
#define W ((uint64_t)REPLAY_WINDOW)

struct step {
	uint64_t counter;
	bool accepted;
};

static void walk(const struct step *steps, size_t n)
{
	struct replay replay;

	memset(&replay, 0xa5, sizeof replay);
	replay_init(&replay);
	for (size_t i = 0; i < n; i++)
		if (replay_accept(&replay, steps[i].counter) != steps[i].accepted)
			fail_msg("step %zu: counter %llu", i, (unsigned long long)steps[i].counter);
}
#define WALK(...)                                                                                  \
	walk((const struct step[]){__VA_ARGS__},                                                   \
		sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

static void test_replay_window_is_at_least_what_wireguard_promises(void **state)
{
	(void)state;
	assert_int_equal(8128, REPLAY_WINDOW);
}

static void test_replay_accepts_each_counter_once(void **state)
{
	(void)state;
	WALK({0, true}, {0, false}, {1, true}, {1, false}, {0, false}, {9, true}, {8, true},
		{7, true}, {7, false}, {8, false}, {9, false}, {2, true}, {2, false});
	WALK({5, true}, {0, true}, {0, false}); /* the first need not be 0 */
}

static void test_replay_window_edges(void **state)
{
	(void)state;
	WALK({W, true}, {0, true}, {0, false}); /* 8128 below the greatest: in */
	WALK({W + 1, true}, {0, false}, {1, true}); /* 8129 below: out */
	WALK({0, true}, {1, true}, {W + 1, true}, {W, true}, {W, false}, {W - 1, true}, {2, true},
		{2, false}, {W + 17, true}, {3, false}, {16, false}, {17, true}, {17, false},
		{W + 17, false}, {W * 4, true}, {W * 4 - W, true}, {W * 4 - W - 1, false},
		{W * 4 - W, false}, {10, false}, {0, false}, {W * 4 - W + 1, true});
}

static void test_replay_window_edge_at_every_bit_of_a_word(void **state)
{
	(void)state;
	for (uint64_t greatest = 20000; greatest < 20000 + 130; greatest++)
		WALK({greatest, true}, {greatest - W - 1, false}, {greatest - W, true},
			{greatest - W, false}, {greatest - W + 1, true}, {greatest - W - 64, false},
			{greatest - 8192, false}, {greatest, false});
}

static void test_replay_refuses_counters_at_the_limit_without_moving(void **state)
{
	(void)state;
	WALK({0, true}, {LIMIT, false}, {UINT64_MAX, false}, {LIMIT + 1, false}, {1, true});
	WALK({LIMIT - 1, true}, {LIMIT, false}, {LIMIT - 1, false}, {LIMIT - 2, true},
		{LIMIT + 1, false}, {LIMIT - 2, false}, {LIMIT - 1 - W, true},
		{LIMIT - 2 - W, false}, {0, false});
}

static void test_replay_fills_the_whole_window_forwards_and_backwards(void **state)
{
	(void)state;
	struct replay replay;

	replay_init(&replay);
	for (uint64_t i = 1; i <= W; i++)
		assert_true(replay_accept(&replay, i));
	assert_true(replay_accept(&replay, 0));
	for (uint64_t i = 0; i <= W; i++)
		assert_false(replay_accept(&replay, i));

	replay_init(&replay);
	for (uint64_t i = W + 1; i-- > 0;)
		assert_true(replay_accept(&replay, i));
	assert_false(replay_accept(&replay, 0));

	replay_init(&replay);
	for (uint64_t i = W + 2; i-- > 1;)
		assert_true(replay_accept(&replay, i));
	assert_false(replay_accept(&replay, 0));

	replay_init(&replay);
	for (uint64_t i = W + 1; i-- > 1;)
		assert_true(replay_accept(&replay, i));
	assert_true(replay_accept(&replay, W + 1));
	assert_false(replay_accept(&replay, 0));
}

static void test_replay_jump_forgets_nothing_but_what_left_the_window(void **state)
{
	(void)state;
	/* Marks a ring full, jumps by each distance around the ring's size, and finds all new room
	 * empty. */
	for (uint64_t jump = 1; jump <= 3 * 8192;
		jump += jump < 200 || jump % 8192 > 8000 ? 1 : 61) {
		struct replay replay;
		replay_init(&replay);
		for (uint64_t i = 0; i <= W; i++)
			replay_accept(&replay, i);
		assert_true(replay_accept(&replay, W + jump));
		for (uint64_t i = W + jump - 1; i > W && i >= jump; i--)
			assert_true(replay_accept(&replay, i));
		for (uint64_t i = jump; i <= W; i++)
			assert_false(replay_accept(&replay, i));
	}
}

/* Jumps of 2^60 in a loop end at once, or this test never does. */
static void test_replay_far_jump_clears_no_more_than_the_ring(void **state)
{
	(void)state;
	struct replay replay;

	replay_init(&replay);
	for (uint64_t i = 0; i < 15; i++) {
		assert_true(replay_accept(&replay, i << 60));
		assert_false(replay_accept(&replay, i << 60));
		if (i) {
			assert_true(replay_accept(&replay, (i << 60) - W));
			assert_true(replay_accept(&replay, (i << 60) - 1));
		}
	}
}

/* ---- the naive twin: remembers every counter it accepted ---- */

#define TWIN_MAX 300000

static struct rng rng;

static void test_replay_agrees_with_a_list_of_all_counters(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		bool *seen = calloc(TWIN_MAX, sizeof *seen);
		struct replay replay;
		uint64_t greatest = 0;
		bool any = false;

		assert_non_null(seen);
		rng.state = seed;
		replay_init(&replay);
		for (unsigned i = 0; i < 40000; i++) {
			uint64_t r = rng_next(&rng) % 1000, counter;
			if (r < 600) /* near the front, in both directions */
				counter =
					greatest + 20 - rng_next(&rng) % (greatest < 40 ? 20 : 40);
			else if (r < 990)
				counter = greatest -
					rng_next(&rng) % (greatest < 9000 ? greatest + 1 : 9000);
			else
				counter = greatest + rng_next(&rng) % (r == 999 ? 20000 : 500);
			if (counter >= TWIN_MAX)
				break;
			bool want = !seen[counter] && (!any || counter + W >= greatest);
			assert_int_equal(want, replay_accept(&replay, counter));
			if (!want)
				continue;
			seen[counter] = any = true;
			if (counter > greatest)
				greatest = counter;
		}
		assert_true(greatest > 10 * W);
		free(seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay_window_is_at_least_what_wireguard_promises),
		cmocka_unit_test(test_replay_accepts_each_counter_once),
		cmocka_unit_test(test_replay_window_edges),
		cmocka_unit_test(test_replay_window_edge_at_every_bit_of_a_word),
		cmocka_unit_test(test_replay_refuses_counters_at_the_limit_without_moving),
		cmocka_unit_test(test_replay_fills_the_whole_window_forwards_and_backwards),
		cmocka_unit_test(test_replay_jump_forgets_nothing_but_what_left_the_window),
		cmocka_unit_test(test_replay_far_jump_clears_no_more_than_the_ring),
		cmocka_unit_test(test_replay_agrees_with_a_list_of_all_counters),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
