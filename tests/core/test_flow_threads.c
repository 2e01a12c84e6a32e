/* The flow table with several workers and the control side at once: for the thread sanitizer, and
 * for what must be true at the end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/spin.h"
#include "tests/lib/flows.h"
#include "tests/lib/rng.h"
#include "tests/lib/sanitizer.h"

#define WORKERS 3
#define PACKETS (UNDER_SANITIZER ? 20000u : 60000u)
#define SOURCE_PORTS 40

static const struct flow_options SHARED = {
	.max = 100, .per_peer_max = 60, .ports = {61000, 61039, 61000, 61039}, .seed = {3, 4}};

static _Atomic uint64_t n_sent[WORKERS], n_opened, n_ended, n_counted, clock_ns;
static _Atomic bool running;

static void count_end(void *arg, const struct flow_report *r)
{
	(void)arg;
	relaxed_add(&n_ended, 1);
	relaxed_add(&n_counted, r->packets[0] + r->packets[1]);
}
static const struct flow_log COUNT = {count_end, NULL};

static void wrong(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort(); /* cmocka's failures belong to its own thread */
}

/* Packets of the same few flows from every thread, requests and answers, in short runs. */
static void *work(void *arg)
{
	const unsigned n = (unsigned)(uintptr_t)arg;
	struct rng rng = {n + 1};
	uint64_t n_mine = 0;

	for (unsigned i = 0; i < PACKETS; i++) {
		const uint64_t at_ns = relaxed_add(&clock_ns, NS_PER_MS);
		const unsigned from = rng_below(&rng, 2) ? CLIENT : CLIENT2;
		const struct flow_key key = key_of(IP_PROTO_UDP, from,
			(uint16_t)(1000 + rng_below(&rng, SOURCE_PORTS)), DEVICE, 53);
		const struct flow_want want = masked(&key, DEVICE, 0);
		struct flow_run run = {0};
		struct flow_key answer;

		if (!flow_find(table, &run, &key, 0, 100, at_ns)) {
			if (flow_open(table, &want, &run, at_ns, &COUNT))
				continue;
			relaxed_add(&n_opened, 1);
		}
		n_mine++;
		if (!flow_party_is(run.hit.to, party(DEVICE)) || !run.hit.translated ||
			run.hit.edit.src_port < 61000)
			wrong("a packet was sent to somebody else");
		answer = answer_to(&key, &run.hit);
		for (unsigned k = 0; k < 3; k++)
			n_mine += flow_find(table, &run, &key, 0, 100, at_ns);
		if (rng_below(&rng, 2) && flow_find(table, &run, &answer, 0, 100, at_ns)) {
			n_mine++;
			/* Its flow may have been evicted and its port given to another since. */
			if (run.hit.edit.dst_port < 1000 ||
				run.hit.edit.dst_port >= 1000 + SOURCE_PORTS)
				wrong("an answer went to a port nobody has");
		}
		if (!rng_below(&rng, 50))
			flow_end(table, &run.hit.ref, FLOW_END_MOVED, at_ns, &COUNT);
		flow_run_end(table, &run, at_ns);
	}
	atomic_store(&n_sent[n], n_mine);
	return NULL;
}

static bool is_unlucky(void *arg, const struct flow_report *flow)
{
	return flow->key[0].src_port == 1000 + rng_below(arg, SOURCE_PORTS);
}

static void *sweep(void *arg)
{
	struct rng rng = {99};

	(void)arg;
	while (atomic_load(&running)) {
		struct flow_report report;
		const struct flow_ref ref = {
			1 + (uint32_t)rng_below(&rng, 100), (uint32_t)rng_below(&rng, 50), 0};
		const uint64_t at_ns = relaxed_get(&clock_ns);

		flow_sweep(table, 30, at_ns, &COUNT);
		flow_end_where(table, is_unlucky, &rng, FLOW_END_POLICY, at_ns, &COUNT);
		if (flow_look(table, &ref, &report) && report.key[0].dst_port != 53)
			wrong("a report of no flow");
		if (flow_count(table) > SHARED.max || flow_count_of(table, party(CLIENT)) > 60)
			wrong("more flows than there may be");
		if (flow_table_set(table, 60 + (uint32_t)rng_below(&rng, 41), 60, &SHARED.ports))
			wrong("bounds that make sense were refused");
	}
	return NULL;
}

static bool all(void *arg, const struct flow_report *flow)
{
	(void)arg;
	(void)flow;
	return true;
}

static void test_flow_table_serves_several_threads_at_once(void **state)
{
	pthread_t workers[WORKERS], control;
	uint64_t n_all = 0;

	(void)state;
	flows_begin(&SHARED);
	atomic_store(&clock_ns, FLOWS_START_NS);
	atomic_store(&running, true);
	assert_int_equal(pthread_create(&control, NULL, sweep, NULL), 0);
	for (uintptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&workers[i], NULL, work, (void *)i), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(workers[i], NULL);
		n_all += atomic_load(&n_sent[i]);
	}
	atomic_store(&running, false);
	pthread_join(control, NULL);
	flow_end_where(table, all, NULL, FLOW_END_PEER, atomic_load(&clock_ns), &COUNT);
	assert_int_equal(flow_count(table), 0);
	assert_int_equal(flow_count_of(table, party(CLIENT)), 0);
	assert_true(atomic_load(&n_opened) > WORKERS * 10);
	/* Two threads may begin the same flow: then one of them is only told so. */
	assert_true(atomic_load(&n_ended) <= atomic_load(&n_opened));
	assert_true(atomic_load(&n_ended) * 10 >= atomic_load(&n_opened) * 9);
	/* Every packet was counted for one flow, but for runs whose flow ended under them. */
	assert_true(atomic_load(&n_counted) <= n_all);
	assert_true(atomic_load(&n_counted) * 10 >= n_all * 9);
	flow_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow_table_serves_several_threads_at_once),
	};

	return cmocka_run_group_tests_name("flow_threads", tests, NULL, NULL);
}
