/* What the stages share: the list of receivers of a batch, and the wishes told to the control side
 * from another thread. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <unistd.h>

#include "tests/lib/fixture.h"

#define N_REMOTES 60u

static struct fixture f;
static struct remote a, b, many[N_REMOTES];

static int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_pair_connect(&f, &a, &b);
	return 0;
}

/* Packets of one pair stay in order, also when receivers alternate and chunks end between. */
static void test_worker_keeps_the_order_of_each_receiver_s_packets(void **state)
{
	enum { N = 480 };
	static uint8_t data[N][128];
	struct wgh_packet packets[N];
	uint32_t next_of[N_REMOTES] = {0};
	struct rng rng = {31};

	(void)state;
	for (unsigned i = 0; i < N_REMOTES; i++) {
		remote_init(&f, &many[i], 20 + i);
		remote_add(&f, &many[i]);
		remote_connect(&f, &many[i]);
	}
	for (uint32_t i = 0; i < N; i++) {
		struct inner p = inner4(1, 20 + (unsigned)rng_below(&rng, N_REMOTES), 20);

		p.data[28] = (uint8_t)i;
		p.data[29] = (uint8_t)(i >> 8);
		packets[i] = (struct wgh_packet){.data = data[i],
			.len_bytes = remote_seal(&a, data[i], p.data, p.len_bytes)};
	}
	for (uint32_t i = 0; i < N; i += 160) {
		struct wgh_burst bursts[5];
		const struct worker_output *out;

		/* Five bursts of 32: chunks of 128 end inside. */
		for (uint32_t k = 0; k < 5; k++)
			bursts[k] = (struct wgh_burst){.endpoint = a.endpoint,
				.packets = &packets[i + 32 * k],
				.n_packets = 32};
		out = worker_input_udp(f.worker, bursts, 5, f.now_ns);
		for (size_t k = 0; k < out->n_bursts; k++) {
			const unsigned n = out->bursts[k].endpoint.addr[3] - 20u;
			uint64_t counter = UINT64_MAX;

			for (uint32_t q = 0; q < out->bursts[k].n_packets; q++) {
				struct sent sent = {.data = out->bursts[k].packets[q].data,
					.len_bytes = out->bursts[k].packets[q].len_bytes};
				uint8_t plain[128];
				uint32_t no;

				assert_true(remote_open(&many[n], &sent, plain) > 0);
				no = plain[28] | (uint32_t)plain[29] << 8;
				assert_true(no + 1 > next_of[n]);
				next_of[n] = no + 1;
				/* Counters rise by one with the order. */
				if (counter != UINT64_MAX)
					assert_true(le64_get(sent.data + 8) == counter + 1);
				counter = le64_get(sent.data + 8);
			}
		}
	}
	assert_int_equal(relaxed_get(&f.worker->stats.n_forwarded), N);
	fixture_run(&f);
}

static void test_worker_gives_one_burst_for_each_receiver(void **state)
{
	static uint8_t data[6][128];
	struct wgh_packet packets[6];
	struct wgh_burst burst = {.endpoint = a.endpoint, .packets = packets, .n_packets = 6};
	const struct worker_output *out;
	struct remote c;

	(void)state;
	remote_init(&f, &c, 3);
	remote_add(&f, &c);
	remote_connect(&f, &c);
	for (unsigned i = 0; i < 6; i++) {
		struct inner p = inner4(1, 2 + i % 2, 20);

		packets[i] = (struct wgh_packet){.data = data[i],
			.len_bytes = remote_seal(&a, data[i], p.data, p.len_bytes)};
	}
	out = worker_input_udp(f.worker, &burst, 1, f.now_ns);
	assert_int_equal(out->n_bursts, 2);
	assert_int_equal(out->bursts[0].n_packets, 3);
	assert_int_equal(out->bursts[1].n_packets, 3);
	/* In place: what leaves lies where it came in. */
	assert_ptr_equal(out->bursts[0].packets[0].data, data[0]);
	assert_ptr_equal(out->bursts[1].packets[0].data, data[1]);
	assert_ptr_equal(out->bursts[0].packets[1].data, data[2]);
	fixture_run(&f);
}

static void test_worker_takes_the_largest_batch_with_its_own_packets_on_top(void **state)
{
	static uint8_t data[PACKETS_PER_BATCH][128];
	struct wgh_packet packets[PACKETS_PER_BATCH];

	(void)state;
	for (uint32_t i = 0; i < PACKETS_PER_BATCH; i++) {
		struct inner p = inner4(1, i % 3 ? 2 : 99, 20);

		packets[i] = (struct wgh_packet){.data = data[i],
			.len_bytes = remote_seal(&a, data[i], p.data, p.len_bytes)};
	}
	fixture_burst(&f, &a.endpoint, packets, PACKETS_PER_BATCH);
	assert_int_equal(relaxed_get(&f.worker->stats.n_forwarded), PACKETS_PER_BATCH * 2 / 3);
	assert_true(relaxed_get(&f.worker->stats.n_own) > 0);
}

/* After 2^32 batches, half a day of a busy hub, the number of the batch begins again. */
static void test_worker_survives_the_wrap_of_its_batch_counter(void **state)
{
	struct inner p = inner4(1, 3, 20);
	struct remote c;

	(void)state;
	alarm(20); /* it looped for ever */
	f.worker->batch = UINT32_MAX - 2;
	for (int i = 0; i < 6; i++) {
		/* A receiver whose place was never used, in each batch. */
		remote_init(&f, &c, 3);
		remote_add(&f, &c);
		remote_connect(&f, &c);
		remote_send(&f, &a, p.data, p.len_bytes);
		assert_int_equal(f.n_sent, 1);
		assert_non_null(remote_sent(&f, &c, 0));
		fixture_forget(&f);
		p = inner4(1, 2, 20);
		remote_send(&f, &a, p.data, p.len_bytes);
		assert_non_null(remote_sent(&f, &b, 0));
		p = inner4(1, 3, 20);
		fixture_advance(&f, NS_PER_S);
	}
	alarm(0);
}

/* ---- wishes ---- */

static void test_worker_asks_for_a_session_once_a_second(void **state)
{
	struct peer *peer = remote_peer(&f, &a);

	(void)state;
	for (int i = 0; i < 10; i++)
		worker_ask_session(f.worker, peer, NULL);
	assert_int_equal(ring_count(&f.worker->events), 1);
	f.worker->now_ns += NS_PER_S;
	worker_ask_session(f.worker, peer, NULL);
	assert_int_equal(ring_count(&f.worker->events), 2);
}

/* The wish was made under another key, or none; meanwhile there is a session. */
static void test_worker_wish_that_came_true_meanwhile_is_ignored(void **state)
{
	struct peer *peer = remote_peer(&f, &a);
	struct keypair *current = relaxed_get(&peer->current);

	(void)state;
	fixture_advance(&f, 6 * NS_PER_S);
	assert_true(worker_tell(f.worker, EVENT_WANT_SESSION, peer, 0, NULL, 0));
	fixture_run(&f);
	assert_int_equal(f.n_sent, 0);
	assert_true(worker_tell(f.worker, EVENT_WANT_SESSION, peer, current->local_index, NULL, 0));
	fixture_run(&f);
	assert_int_equal(f.n_sent, 1);
}

static void test_worker_wish_for_a_removed_peer_is_ignored(void **state)
{
	struct wgh_peer_change change = {.public_key = remote_key(&a), .flags = WGH_PEER_REMOVE};
	struct peer *peer = remote_peer(&f, &a);
	struct inner p = inner4(254, 1, 20);

	(void)state;
	for (enum worker_event kind = EVENT_CONFIRMED; kind <= EVENT_ROUTING_LOOP; kind++)
		assert_true(worker_tell(f.worker, kind, peer, 0, p.data, p.len_bytes));
	fixture_change_peer(&f, &change);
	remote_add(&f, &a); /* the same slot again, another serial */
	fixture_run(&f);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(f.n_events, 0);
	assert_int_equal(remote_peer(&f, &a)->n_staged, 0);
	assert_int_equal(fixture_drops(&f, DROP_STAGED_EXPIRED), 1); /* the packet of EVENT_STAGE */
}

/* The Makefile links this program with --wrap=ring_push: a control side that is faster than the
 * worker's next instruction. */
static bool serve_at_once;

bool __real_ring_push(struct ring *ring, const void *head, uint32_t head_bytes, const void *tail,
	uint32_t tail_bytes);
bool __wrap_ring_push(struct ring *ring, const void *head, uint32_t head_bytes, const void *tail,
	uint32_t tail_bytes);
bool __wrap_ring_push(struct ring *ring, const void *head, uint32_t head_bytes, const void *tail,
	uint32_t tail_bytes)
{
	if (!__real_ring_push(ring, head, head_bytes, tail, tail_bytes))
		return false;
	if (serve_at_once)
		hub_run(f.hub, f.now_ns, f.wall_ns);
	return true;
}

/* For so long that the next packet must ask for a timer. */
static void quiet(void)
{
	fixture_advance(&f, 20 * NS_PER_S);
	f.worker->now_ns = f.now_ns;
	assert_true(timers_must_ask(remote_peer(&f, &a), f.now_ns));
}

/* The note that a timer was asked for must not outlive the request, or nobody ever asks again. */
static void test_worker_request_for_a_timer_served_at_once_is_not_stuck(void **state)
{
	struct peer *peer = remote_peer(&f, &a);

	(void)state;
	quiet();
	serve_at_once = true;
	worker_arm_timer(f.worker, peer);
	serve_at_once = false;
	assert_int_equal(ring_count(&f.worker->events), 0);
	assert_false(relaxed_get(&peer->timer_asked));
}

static void test_worker_request_for_a_timer_that_finds_no_room_is_made_again(void **state)
{
	static uint8_t filler[60000];
	struct peer *peer = remote_peer(&f, &a);

	(void)state;
	quiet();
	for (size_t n = sizeof filler; n; n = n / 2)
		while (ring_push(&f.worker->events, filler, (uint32_t)n, NULL, 0))
			;
	worker_arm_timer(f.worker, peer);
	assert_false(relaxed_get(&peer->timer_asked));
	while (ring_pop(&f.worker->events, filler, sizeof filler))
		;
	worker_arm_timer(f.worker, peer);
	assert_int_equal(ring_count(&f.worker->events), 1);
	assert_true(relaxed_get(&peer->timer_asked));
}

/* ---- two threads ---- */

#define N_BATCHES 3000

static _Atomic bool done;

static void *control_side(void *arg)
{
	(void)arg;
	while (!atomic_load(&done))
		hub_run(f.hub, f.now_ns, f.wall_ns);
	hub_run(f.hub, f.now_ns, f.wall_ns);
	return NULL;
}

/* For the race detector: data both ways beside a busy control side, with changes of its own. */
static void test_worker_carries_data_beside_the_control_side(void **state)
{
	struct inner p = inner4(1, 2, 20);
	struct peer *peer = remote_peer(&f, &a);
	uint8_t message[128];
	pthread_t thread;

	(void)state;
	atomic_store(&done, false);
	assert_int_equal(pthread_create(&thread, NULL, control_side, NULL), 0);
	for (int i = 0; i < N_BATCHES; i++) {
		uint32_t len = remote_seal(&a, message, p.data, p.len_bytes);

		fixture_udp_only(&f, i % 2 ? &a.endpoint : &b.endpoint, message, len);
	}
	atomic_store(&done, true);
	pthread_join(thread, NULL);
	assert_int_equal(relaxed_get(&f.worker->stats.n_forwarded), N_BATCHES);
	assert_false(relaxed_get(&peer->timer_asked));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_worker_keeps_the_order_of_each_receiver_s_packets),
		TEST(test_worker_gives_one_burst_for_each_receiver),
		TEST(test_worker_takes_the_largest_batch_with_its_own_packets_on_top),
		TEST(test_worker_survives_the_wrap_of_its_batch_counter),
		TEST(test_worker_asks_for_a_session_once_a_second),
		TEST(test_worker_wish_that_came_true_meanwhile_is_ignored),
		TEST(test_worker_wish_for_a_removed_peer_is_ignored),
		TEST(test_worker_request_for_a_timer_served_at_once_is_not_stuck),
		TEST(test_worker_request_for_a_timer_that_finds_no_room_is_made_again),
		TEST(test_worker_carries_data_beside_the_control_side),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
