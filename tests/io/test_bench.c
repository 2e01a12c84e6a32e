/* test_bench.c - the measurements that the library offers really forward packets, and refuse what
 * they cannot measure. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "wghub_bench.h"
#include "wghub_device.h"

static const struct wgh_bench_options good = {
	.n_peers = 10, .n_active = 6, .burst_packets = 4, .packet_bytes = 512};

static void test_path_forwards_every_packet_of_each_shape(void **state)
{
	static const struct wgh_bench_options shapes[] = {
		{.n_peers = 2, .n_active = 2, .burst_packets = 64, .packet_bytes = 64},
		{.n_peers = 300, .n_active = 100, .burst_packets = 1, .packet_bytes = 1419},
		{.n_peers = 100, .n_active = 100, .burst_packets = 4, .packet_bytes = 1500},
		{.aead = "sodium",
			.n_peers = 3,
			.n_active = 2,
			.burst_packets = 8,
			.packet_bytes = 65},
		{.n_peers = 20,
			.n_active = 20,
			.burst_packets = 4,
			.packet_bytes = 64,
			.both_ways = true},
		/* Answers go to the hub: only translation brings them to those who asked. */
		{.n_peers = 20,
			.n_active = 20,
			.burst_packets = 1,
			.packet_bytes = 1420,
			.both_ways = true,
			.nat = true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		struct wgh_bench *bench;

		assert_int_equal(wgh_bench_new(&bench, &shapes[i]), 0);
		/* More than the replay window holds, and all pairs have their turn again. */
		for (int round = 0; round < 8; round++) {
			struct wgh_bench_cost cost = {0};

			assert_int_equal(wgh_bench_round(bench, &cost), 0);
			assert_true(cost.aead > 0);
			assert_true(cost.path > 0);
		}
		wgh_bench_free(bench);
	}
}

static void test_path_runs_with_the_back_end_that_was_asked_for(void **state)
{
	struct wgh_bench_options o = good;
	struct wgh_bench *bench;

	(void)state;
	for (const char *const *name = wgh_aead_names(); *name; name++) {
		o.aead = *name;
		assert_int_equal(wgh_bench_new(&bench, &o), 0);
		assert_string_equal(wgh_bench_aead(bench), *name);
		wgh_bench_free(bench);
	}
	o.aead = "rot13";
	assert_int_equal(wgh_bench_new(&bench, &o), -ENOENT);
}

static void test_path_refuses_shapes_it_cannot_have(void **state)
{
	struct wgh_bench_options bad[10];
	struct wgh_bench *bench;

	(void)state;
	for (int i = 0; i < 10; i++)
		bad[i] = good;
	bad[0].n_active = 5; /* half a pair */
	bad[1].n_active = 0;
	bad[2].n_active = 12; /* more than there are */
	bad[3].n_peers = 1u << 22; /* more than 10.0.0.0/8 is used for */
	bad[4].burst_packets = 0;
	bad[5].burst_packets = 3; /* no whole number of bursts in a batch */
	bad[6].burst_packets = 128;
	bad[7].packet_bytes = 63;
	bad[8].packet_bytes = 1501;
	bad[9].packet_bytes = UINT32_MAX;
	for (int i = 0; i < 10; i++)
		assert_int_equal(wgh_bench_new(&bench, &bad[i]), -EINVAL);
}

static void test_loopback_carries_packets_through_sockets(void **state)
{
	static const struct wgh_bench_options shapes[] = {{.packet_bytes = 64},
		{.aead = "sodium", .packet_bytes = 1419}, {.packet_bytes = 512, .nat = true}};

	(void)state;
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		struct wgh_bench_loopback r = {0};

		assert_int_equal(wgh_bench_loopback(&shapes[i], 200000000, &r), 0);
		assert_true(r.packets_per_s > 0);
		assert_true(r.cpu_ns > 0);
		assert_true(r.lost_percent >= 0 && r.lost_percent < 100);
	}
}

static void test_loopback_refuses_what_it_cannot_have(void **state)
{
	struct wgh_bench_options o = {.packet_bytes = 63};
	struct wgh_bench_loopback r;

	(void)state;
	assert_int_equal(wgh_bench_loopback(&o, 1, &r), -EINVAL);
	o.packet_bytes = 1501;
	assert_int_equal(wgh_bench_loopback(&o, 1, &r), -EINVAL);
	o.packet_bytes = 64;
	o.aead = "rot13";
	assert_int_equal(wgh_bench_loopback(&o, 1, &r), -ENOENT);
}

static void test_freeing_no_bench_does_nothing(void **state)
{
	(void)state;
	wgh_bench_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_forwards_every_packet_of_each_shape),
		cmocka_unit_test(test_path_runs_with_the_back_end_that_was_asked_for),
		cmocka_unit_test(test_path_refuses_shapes_it_cannot_have),
		cmocka_unit_test(test_loopback_carries_packets_through_sockets),
		cmocka_unit_test(test_loopback_refuses_what_it_cannot_have),
		cmocka_unit_test(test_freeing_no_bench_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
