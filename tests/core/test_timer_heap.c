/* The heap of deadlines against a naive twin, and their order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/timers.h"
#include "tests/lib/rng.h"

#define N_PEERS 300u

static void test_timer_heap_agrees_with_a_naive_twin(void **state)
{
	struct peer *peers = aligned_alloc(64, N_PEERS * sizeof *peers);
	struct timer_heap heap = {0};
	struct rng rng = {6};

	(void)state;
	memset(peers, 0, N_PEERS * sizeof *peers);
	assert_int_equal(timer_heap_reserve(&heap, N_PEERS), 0);
	for (uint32_t i = 0; i < N_PEERS; i++) {
		peers[i].wipe_at_ns = TIME_NEVER;
		peers[i].heap_pos = UINT32_MAX;
		relaxed_set(&peers[i].timer_armed_ns, TIME_NEVER);
	}
	for (unsigned round = 0; round < 20000; round++) {
		struct peer *p = &peers[rng_below(&rng, N_PEERS)], *due;
		uint64_t least = TIME_NEVER, now_ns = rng_below(&rng, 1000);
		uint32_t n = 0;

		switch (rng_below(&rng, 4)) {
		case 0:
			timer_disarm(&heap, p);
			break;
		case 1:
			p->wipe_at_ns = TIME_NEVER;
			timer_arm(&heap, p);
			break;
		default:
			p->wipe_at_ns = rng_below(&rng, 1000);
			timer_arm(&heap, p);
		}
		for (uint32_t i = 0; i < N_PEERS; i++) {
			least = time_earlier(least, relaxed_get(&peers[i].timer_armed_ns));
			n += relaxed_get(&peers[i].timer_armed_ns) != TIME_NEVER;
		}
		assert_int_equal(heap.n, n);
		assert_true(timer_heap_next(&heap) == least);
		due = timer_heap_due(&heap, now_ns);
		assert_int_equal(due != NULL, least <= now_ns);
		if (due)
			assert_true(relaxed_get(&due->timer_armed_ns) == least);
	}
	timer_heap_fini(&heap);
	free(peers);
}

static void test_timer_heap_gives_peers_in_the_order_of_their_deadlines(void **state)
{
	struct peer *peers = aligned_alloc(64, N_PEERS * sizeof *peers), *due;
	struct timer_heap heap = {0};
	struct rng rng = {7};
	uint64_t last = 0;
	uint32_t n = 0;

	(void)state;
	memset(peers, 0, N_PEERS * sizeof *peers);
	assert_int_equal(timer_heap_reserve(&heap, N_PEERS), 0);
	for (uint32_t i = 0; i < N_PEERS; i++) {
		peers[i].heap_pos = UINT32_MAX;
		peers[i].wipe_at_ns = 1 + rng_below(&rng, 100);
		timer_arm(&heap, &peers[i]);
	}
	while ((due = timer_heap_due(&heap, 1000)) != NULL) {
		assert_true(due->wipe_at_ns >= last);
		last = due->wipe_at_ns;
		timer_disarm(&heap, due);
		n++;
	}
	assert_int_equal(n, N_PEERS);
	assert_true(timer_heap_next(&heap) == TIME_NEVER);
	timer_heap_fini(&heap);
	free(peers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_heap_agrees_with_a_naive_twin),
		cmocka_unit_test(test_timer_heap_gives_peers_in_the_order_of_their_deadlines),
	};

	return cmocka_run_group_tests_name("timer_heap", tests, NULL, NULL);
}
