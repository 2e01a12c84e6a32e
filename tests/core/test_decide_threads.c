/* Workers decide while the control side changes what they decide by: policy, groups, modes, the
 * size of the flow table. For the thread sanitizer; by itself it sees that every packet is counted
 * and nothing is used after its end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "tests/lib/talk.h"

#define N_WORKERS 2
#define N_CHANGES 400

static _Atomic bool stop;

struct thread {
	struct worker *worker;
	pthread_t thread;
	_Atomic uint64_t n_batches;
	uint64_t seed;
};

/* The host's packets, to everybody, of many flows. */
static void *carry(void *arg)
{
	struct thread *t = arg;
	struct rng rng = {t->seed};
	static _Thread_local uint8_t room[8][TRANSPORT_BYTES_MAX + 64];
	struct wgh_packet packets[8];

	while (!atomic_load(&stop)) {
		for (int i = 0; i < 8; i++) {
			struct transport out = {.kind = (enum transport_kind)rng_below(&rng, 3),
				.src = {{10, 0, 0, HUB}, WGH_IPV4},
				.dst = {{10, 0, 0, (uint8_t)(1 + rng_below(&rng, 5))}, WGH_IPV4},
				.src_port = (uint16_t)(40000 + rng_below(&rng, 200)),
				.dst_port = 22,
				.tcp_flags = TCP_SYN,
				.payload_bytes = 20};

			packets[i].data = room[i] + WGH_HEADROOM_BYTES;
			packets[i].len_bytes = transport_build(packets[i].data, &out);
			packets[i].ecn = 0;
		}
		worker_input_tun(t->worker, packets, 8, FIXTURE_START_NS + NS_PER_S);
		atomic_fetch_add(&t->n_batches, 1);
	}
	return NULL;
}

/* Every worker has been outside of a batch since. */
static void reclaim(struct thread *threads)
{
	struct retired *list = hub_take_retired(f.hub);

	for (int i = 0; i < N_WORKERS; i++) {
		const uint64_t seen = atomic_load(&threads[i].n_batches);

		while (atomic_load(&threads[i].n_batches) < seen + 2)
			sched_yield();
	}
	hub_free_retired(f.hub, list);
}

static void change_something(unsigned n)
{
	static struct wgh_rule rule;
	struct wgh_peer_change peer = {.public_key = remote_key(&talkers[1 + n % 5]),
		.flags = WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT,
		.group = n % 3 ? WGH_GROUP_DEVICE : WGH_GROUP_PEER,
		.nat = (uint8_t)(n % 7 % 3)};
	const struct wgh_change of_peer = {.peers = &peer, .n_peers = 1};
	const struct wgh_change of_policy = {.flags = WGH_HAS_POLICY, .policy = &policy};

	rule = (struct wgh_rule){.from = {WGH_PARTY_ANY},
		.to = {WGH_PARTY_PEER, .peer = remote_key(&talkers[1 + n % 4])},
		.verdict = (uint8_t)(n % 2),
		.port_last = UINT16_MAX};
	policy.rules = &rule;
	policy.n_rules = n % 3 == 1;
	policy.flows_max = n % 50 == 49 ? 1000 + n : 1000;
	policy.flows_per_peer_max = 100;
	assert_int_equal(hub_apply(f.hub, n % 2 ? &of_peer : &of_policy, f.now_ns, NULL), 0);
}

static void test_decide_workers_go_on_while_all_of_it_changes(void **state)
{
	struct thread threads[N_WORKERS] = {0};

	(void)state;
	talk_begin_workers(true, WGH_NAT_ALWAYS, 1000, N_WORKERS);
	for (int i = 0; i < N_WORKERS; i++) {
		threads[i].worker = f.hub->workers[i];
		threads[i].seed = (uint64_t)i + 1;
		assert_int_equal(pthread_create(&threads[i].thread, NULL, carry, &threads[i]), 0);
	}
	for (unsigned n = 0; n < N_CHANGES; n++) {
		change_something(n);
		(void)hub_run(f.hub, f.now_ns + NS_PER_S, f.wall_ns);
		reclaim(threads);
		fixture_forget(&f);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < N_WORKERS; i++)
		pthread_join(threads[i].thread, NULL);
	for (int i = 0; i < N_WORKERS; i++)
		assert_true(relaxed_get(&f.hub->workers[i]->stats.n_to_udp) > 0);
	assert_true(flow_count(f.hub->flows) <= f.hub->flows_room);
	talk_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide_workers_go_on_while_all_of_it_changes),
	};

	return cmocka_run_group_tests_name("decide_threads", tests, NULL, NULL);
}
