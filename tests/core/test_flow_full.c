/* A full flow table: who goes, who stays, who is refused; and the control side's sweeps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "tests/lib/flows.h"

/* ---- full ---- */

static void connect(const struct flow_key *answer)
{
	assert_true(find(answer, 0, NULL));
}

static void test_flow_table_evicts_an_expired_flow_first(void **state)
{
	const struct flow_options options = {
		.max = 8, .per_peer_max = 8, .ports = FLOWS_OPTIONS.ports};
	struct flow_want want;

	flows_teardown(state);
	flows_begin(&options);
	for (unsigned i = 0; i < 8; i++) {
		want = nth(CLIENT, i);
		must_open(&want);
		if (i == 3)
			now_ns += 20 * S; /* flows 0..3 are older */
	}
	want = nth(CLIENT, 0); /* but flow 0 has just been used */
	assert_true(find(&want.key, 0, NULL));
	now_ns += 10 * S;
	for (unsigned i = 0; i < 3; i++) {
		want = nth(CLIENT2, i);
		must_open(&want);
		assert_int_equal(n_ends, i + 1);
		assert_int_equal(ends[i].why, FLOW_END_IDLE);
		assert_in_range(ends[i].key[0].src_port, 1001, 1003);
	}
	assert_int_equal(flow_count(table), 8);
}

static void test_flow_table_evicts_oldest_half_open_first(void **state)
{
	const struct flow_options options = {
		.max = 8, .per_peer_max = 8, .ports = FLOWS_OPTIONS.ports};
	struct flow_want want;
	struct flow_key answer;

	flows_teardown(state);
	flows_begin(&options);
	for (unsigned i = 0; i < 8; i++) {
		want = nth(CLIENT, i);
		answer = must_open(&want);
		if (i == 0 || i == 2) /* answered ones stay */
			connect(&answer);
		now_ns++;
	}
	for (unsigned i = 0; i < 6; i++) {
		static const uint16_t ORDER[6] = {1001, 1003, 1004, 1005, 1006, 1007};
		want = nth(CLIENT2, i);
		answer = must_open(&want);
		connect(&answer);
		assert_int_equal(n_ends, i + 1);
		assert_int_equal(ends[i].why, FLOW_END_EVICTED);
		assert_int_equal(ends[i].key[0].src_port, ORDER[i]);
	}
	want = nth(CLIENT2, 7); /* now all are answered */
	assert_int_equal(open_flow(&want, NULL), DROP_FLOW_TABLE_FULL);
	assert_int_equal(flow_count(table), 8);
}

static void test_flow_peer_that_begins_too_many_loses_its_own(void **state)
{
	struct flow_want want = nth(CLIENT2, 0);
	struct flow_key answer = must_open(&want);

	(void)state;
	for (unsigned i = 0; i < 32; i++) {
		want = nth(CLIENT, i);
		must_open(&want);
	}
	assert_int_equal(flow_count_of(table, party(CLIENT)), 32);
	for (unsigned i = 32; i < 64; i++) {
		want = nth(CLIENT, i);
		answer = must_open(&want);
		connect(&answer);
		assert_int_equal(ends[n_ends - 1].why, FLOW_END_EVICTED);
		assert_int_equal(ends[n_ends - 1].key[0].src_port, 1000 + i - 32);
	}
	want = nth(CLIENT, 64);
	assert_int_equal(open_flow(&want, NULL), DROP_FLOW_PEER_FULL);
	assert_int_equal(flow_count_of(table, party(CLIENT)), 32);
	assert_int_equal(flow_count_of(table, party(CLIENT2)), 1);
	want = nth(CLIENT2, 1); /* the others' room is theirs */
	must_open(&want);
	/* And what expired makes room. */
	now_ns += 180 * S;
	want = nth(CLIENT, 64);
	must_open(&want);
	assert_int_equal(ends[n_ends - 1].why, FLOW_END_IDLE);
	assert_int_equal(flow_count_of(table, party(CLIENT)), 32);
}

static void test_flow_host_may_have_half_of_the_table(void **state)
{
	struct flow_want want;
	struct flow_key answer;

	(void)state;
	for (unsigned i = 0; i <= 32; i++) {
		want = nth(254, i);
		want.key.from = FLOW_HOST;
		if (i == 32)
			break;
		answer = must_open(&want);
		connect(&answer);
	}
	assert_int_equal(open_flow(&want, NULL), DROP_FLOW_PEER_FULL);
}

static void test_flow_lower_bounds_drain_the_table(void **state)
{
	struct flow_want want;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		want = nth(CLIENT, i);
		must_open(&want);
	}
	assert_int_equal(flow_table_set(table, 4, 32, &FLOWS_OPTIONS.ports), 0);
	assert_int_equal(flow_count(table), 20);
	for (unsigned i = 0; flow_count(table) > 4; i++) {
		assert_true(i < 10);
		want = nth(CLIENT2, i);
		open_flow(&want, NULL);
	}
	want = nth(CLIENT2, 50);
	must_open(&want);
	assert_int_equal(flow_count(table), 4);
	assert_int_equal(
		flow_table_set(table, 1000, 32, &FLOWS_OPTIONS.ports), 0); /* not beyond its room */
	for (unsigned i = 0; i < 100; i++) {
		want = nth(CLIENT + i % 4, 100 + i);
		must_open(&want);
	}
	assert_int_equal(flow_count(table), 64);
}

/* ---- the control side ---- */

static void test_flow_sweep_looks_at_no_more_than_it_is_told(void **state)
{
	struct flow_want want;

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		want = nth(CLIENT, i);
		must_open(&want);
	}
	now_ns += 30 * S;
	assert_int_equal(flow_sweep(table, 7, now_ns, &LOG), 7);
	assert_int_equal(flow_sweep(table, 7, now_ns, &LOG), 7);
	assert_int_equal(flow_count(table), 16);
	assert_int_equal(flow_sweep(table, 1000, now_ns, NULL), 16);
	assert_int_equal(flow_sweep(table, 1000, now_ns, &LOG), 0);
	assert_int_equal(n_ends, 14);
}

static bool is_of_client(void *arg, const struct flow_report *flow)
{
	(*(unsigned *)arg)++;
	return flow_party_is(flow->key[0].from, party(CLIENT));
}

static void test_flow_end_where_ends_those_and_no_others(void **state)
{
	struct flow_want want;
	unsigned n_asked = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		want = nth(i % 5 ? CLIENT2 : CLIENT, i);
		must_open(&want);
	}
	assert_int_equal(
		flow_end_where(table, is_of_client, &n_asked, FLOW_END_PEER, now_ns, &LOG), 10);
	assert_int_equal(n_ends, 8 + 10); /* 40 of CLIENT2, who may have 32: eight went before */
	assert_int_equal(flow_count_of(table, party(CLIENT)), 0);
	assert_int_equal(flow_count_of(table, party(CLIENT2)), 32);
	assert_int_equal(n_asked, 42);
}

static void test_flow_table_refuses_bounds_that_make_no_sense(void **state)
{
	struct flow_table *none = NULL;
	struct flow_options o = FLOWS_OPTIONS;

	(void)state;
	o.max = 0;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	o.max = FLOW_TABLE_MAX + 1;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	o = FLOWS_OPTIONS;
	o.per_peer_max = 0;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	o = FLOWS_OPTIONS;
	o.ports.first = 0;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	o.ports.first = o.ports.last + 1;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	assert_int_equal(flow_table_set(table, 64, 32, &o.ports), -EINVAL);
	assert_null(none);
}

static void test_flow_memory_is_what_the_header_says(void **state)
{
	struct mem_budget budget = {.limit_bytes = 0};
	struct flow_options o = FLOWS_OPTIONS;
	struct flow_table *own = NULL;

	(void)state;
	o.max = 65536;
	o.budget = &budget;
	assert_int_equal(flow_table_new(&own, &o), 0);
	assert_in_range(budget.used_bytes, 19 << 20, 20 << 20);
	assert_true(budget.used_bytes / o.max <= 310);
	flow_table_free(own);
	assert_int_equal(budget.used_bytes, 0);
}

static void test_flow_table_without_memory_is_none(void **state)
{
	struct mem_budget budget = {.limit_bytes = 1};
	struct flow_options o = FLOWS_OPTIONS;
	struct flow_table *own = NULL;
	int err, n_failed = 0;

	(void)state;
	o.budget = &budget;
	while ((err = flow_table_new(&own, &o))) {
		assert_int_equal(err, -ENOMEM);
		assert_null(own);
		assert_int_equal(budget.used_bytes, 0);
		budget.limit_bytes += 200;
		n_failed++;
	}
	assert_true(n_failed > 10); /* each of its parts */
	flow_table_free(own);
	assert_int_equal(budget.used_bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, flows_setup, flows_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flow_table_evicts_an_expired_flow_first),
		TEST(test_flow_table_evicts_oldest_half_open_first),
		TEST(test_flow_peer_that_begins_too_many_loses_its_own),
		TEST(test_flow_host_may_have_half_of_the_table),
		TEST(test_flow_lower_bounds_drain_the_table),
		TEST(test_flow_sweep_looks_at_no_more_than_it_is_told),
		TEST(test_flow_end_where_ends_those_and_no_others),
		TEST(test_flow_table_refuses_bounds_that_make_no_sense),
		TEST(test_flow_memory_is_what_the_header_says),
		TEST(test_flow_table_without_memory_is_none),
	};

	return cmocka_run_group_tests_name("flow_full", tests, NULL, NULL);
}
