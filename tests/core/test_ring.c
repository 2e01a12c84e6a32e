/* The queue from a worker to the control side, against a naive queue and between two threads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "core/ring.h"
#include "tests/lib/rng.h"

#define RING_BYTES 1024
#define RECORD_MAX 200

static void test_ring_gives_records_back_in_order(void **state)
{
	struct ring ring;
	char out[16] = "";

	(void)state;
	assert_int_equal(ring_init(&ring, RING_BYTES, NULL), 0);
	assert_int_equal(ring_pop(&ring, out, sizeof out), 0);
	assert_true(ring_push(&ring, "one", 3, NULL, 0));
	assert_true(ring_push(&ring, "t", 1, "wo", 2));
	assert_true(ring_push(&ring, "three", 5, NULL, 0));
	assert_int_equal(ring_count(&ring), 3);
	assert_int_equal(ring_pop(&ring, out, sizeof out), 3);
	assert_memory_equal(out, "one", 3);
	assert_int_equal(ring_pop(&ring, out, sizeof out), 3);
	assert_memory_equal(out, "two", 3);
	assert_int_equal(ring_pop(&ring, out, sizeof out), 5);
	assert_memory_equal(out, "three", 5);
	assert_int_equal(ring_pop(&ring, out, sizeof out), 0);
	assert_int_equal(ring_count(&ring), 0);
	ring_fini(&ring);
}

static void test_ring_full_refuses_and_keeps_what_it_has(void **state)
{
	uint8_t record[60] = {0}, out[60];
	struct ring ring;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(ring_init(&ring, RING_BYTES, NULL), 0);
	while (record[0] = (uint8_t)n, ring_push(&ring, record, sizeof record, NULL, 0))
		n++;
	assert_int_equal(n, RING_BYTES / 64); /* length and bytes, to the last one */
	assert_false(ring_push(&ring, record, 1, NULL, 0));
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(ring_pop(&ring, out, sizeof out), sizeof record);
		assert_int_equal(out[0], i);
		assert_true(ring_push(&ring, record, sizeof record, NULL, 0));
	}
	assert_int_equal(ring_count(&ring), n);
	ring_fini(&ring);
}

static void test_ring_refuses_a_record_larger_than_itself(void **state)
{
	static uint8_t big[2 * RING_BYTES];
	struct ring ring;

	(void)state;
	assert_int_equal(ring_init(&ring, RING_BYTES, NULL), 0);
	assert_false(ring_push(&ring, big, sizeof big, NULL, 0));
	assert_false(ring_push(&ring, big, RING_BYTES, NULL, 0));
	assert_true(ring_push(&ring, big, RING_BYTES - 4, NULL, 0));
	ring_fini(&ring);
}

static void test_ring_cuts_a_record_to_the_reader_s_room(void **state)
{
	struct ring ring;
	char out[4] = "....";

	(void)state;
	assert_int_equal(ring_init(&ring, RING_BYTES, NULL), 0);
	assert_true(ring_push(&ring, "abcdefgh", 8, NULL, 0));
	assert_true(ring_push(&ring, "xyz", 3, NULL, 0));
	assert_int_equal(ring_pop(&ring, out, 2), 2);
	assert_memory_equal(out, "ab..", 4);
	assert_int_equal(ring_pop(&ring, out, sizeof out), 3);
	assert_memory_equal(out, "xyz.", 4);
	ring_fini(&ring);
}

/* The counters of bytes and records wrap after 2^32. */
static void test_ring_agrees_with_a_naive_queue_also_where_its_counters_wrap(void **state)
{
	static struct {
		uint32_t len;
		uint8_t bytes[RECORD_MAX];
	} queue[RING_BYTES];
	struct rng rng = {3};
	uint32_t first = 0, last = 0, n_refused = 0;
	struct ring ring;

	(void)state;
	assert_int_equal(ring_init(&ring, RING_BYTES, NULL), 0);
	ring.written = ring.read = UINT32_MAX - 100 * RING_BYTES + 1;
	ring.n_written = ring.n_read = UINT32_MAX - 10;
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t record[RECORD_MAX];
		uint32_t len = 1 + (uint32_t)rng_below(&rng, RECORD_MAX);
		uint32_t head = (uint32_t)rng_below(&rng, len + 1);

		if (rng_below(&rng, 2)) {
			rng_fill(&rng, record, len);
			if (!ring_push(&ring, record, head, record + head, len - head)) {
				n_refused++;
				continue;
			}
			queue[last % RING_BYTES].len = len;
			memcpy(queue[last++ % RING_BYTES].bytes, record, len);
			continue;
		}
		len = ring_pop(&ring, record, sizeof record);
		if (first == last) {
			assert_int_equal(len, 0);
			continue;
		}
		assert_int_equal(len, queue[first % RING_BYTES].len);
		assert_memory_equal(record, queue[first++ % RING_BYTES].bytes, len);
		assert_int_equal(ring_count(&ring), last - first);
	}
	assert_true(ring.written < UINT32_MAX / 2); /* it did wrap */
	assert_true(n_refused > 100);
	ring_fini(&ring);
}

#define N_SENT 100000u

static void *writer(void *arg)
{
	struct rng rng = {17};
	uint32_t record[RECORD_MAX / 4];

	for (uint32_t i = 0; i < N_SENT;) {
		uint32_t n_words = 1 + (uint32_t)rng_below(&rng, RECORD_MAX / 4);

		for (uint32_t k = 0; k < n_words; k++)
			record[k] = i * 31 + k;
		record[0] = i;
		if (ring_push(arg, record, 4 * n_words, NULL, 0))
			i++;
		else
			sched_yield();
	}
	return NULL;
}

static void test_ring_carries_every_record_once_between_two_threads(void **state)
{
	uint32_t record[RECORD_MAX / 4];
	struct ring ring;
	pthread_t thread;

	(void)state;
	assert_int_equal(ring_init(&ring, RING_BYTES, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, writer, &ring), 0);
	for (uint32_t i = 0; i < N_SENT;) {
		uint32_t len = ring_pop(&ring, record, sizeof record);

		if (!len) {
			sched_yield();
			continue;
		}
		assert_int_equal(record[0], i);
		for (uint32_t k = 1; k < len / 4; k++)
			assert_int_equal(record[k], i * 31 + k);
		i++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(ring_count(&ring), 0);
	ring_fini(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring_gives_records_back_in_order),
		cmocka_unit_test(test_ring_full_refuses_and_keeps_what_it_has),
		cmocka_unit_test(test_ring_refuses_a_record_larger_than_itself),
		cmocka_unit_test(test_ring_cuts_a_record_to_the_reader_s_room),
		cmocka_unit_test(test_ring_agrees_with_a_naive_queue_also_where_its_counters_wrap),
		cmocka_unit_test(test_ring_carries_every_record_once_between_two_threads),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
