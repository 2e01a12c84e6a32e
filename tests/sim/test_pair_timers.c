/* Two hubs: everything that happens because time passes: keepalives, retries, giving up, wiping. */
#include "tests/sim/pair.h"

/* ---- passive keepalive ---- */

static void test_keepalive_comes_10_s_after_the_first_unanswered_data(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	uint64_t first_ns;

	sim_run(p.sim, 20 * NS_PER_S); /* b has answered the packet that made the session */
	sim_forget(p.sim);
	first_ns = p.sim->now_ns + PAIR_ROUND_TRIP_NS / 2;
	for (uint32_t id = 1; id <= 3; id++) { /* at 0, 3 and 6 s: does not push it back */
		sim_send4(p.b, p.a, id);
		sim_run(p.sim, 3 * NS_PER_S);
	}
	sim_run(p.sim, 100 * NS_PER_S);
	/* Data came meanwhile: a second one, 10 s after the first. Then silence. */
	assert_int_equal(sim_count(p.sim, p.a, SIM_KEEPALIVE), 2);
	assert_int_equal(
		sim_nth(p.sim, p.a, SIM_KEEPALIVE, 0)->sent_ns, first_ns + KEEPALIVE_TIMEOUT_NS);
	assert_int_equal(sim_nth(p.sim, p.a, SIM_KEEPALIVE, 1)->sent_ns,
		first_ns + 2 * KEEPALIVE_TIMEOUT_NS);
	assert_int_equal(p.sim->n_log, 5); /* keepalives are not answered */
	pair_free(&p);
}

static void test_single_data_packet_gets_one_keepalive(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_run(p.sim, 20 * NS_PER_S);
	sim_forget(p.sim);
	sim_send4(p.b, p.a, 1);
	sim_run(p.sim, 80 * NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, SIM_KEEPALIVE), 1);
	assert_int_equal(p.sim->n_log, 2);
	pair_free(&p);
}

static void test_answering_data_cancels_the_keepalive(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_run(p.sim, 20 * NS_PER_S);
	sim_forget(p.sim);
	for (uint32_t id = 1; id <= 8; id++) {
		sim_send4(p.b, p.a, id);
		sim_run(p.sim, 8 * NS_PER_S);
		sim_send4(p.a, p.b, id);
		sim_run(p.sim, 2 * NS_PER_S);
	}
	assert_int_equal(sim_count(p.sim, NULL, SIM_KEEPALIVE), 0);
	pair_free(&p);
}

static void test_idle_peers_are_silent(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_run(p.sim, 20 * NS_PER_S);
	sim_forget(p.sim);
	sim_run(p.sim, 5000 * NS_PER_S);
	assert_int_equal(p.sim->n_log, 0);
	pair_free(&p);
}

/* ---- persistent keepalive ---- */

static void test_persistent_keepalive_starts_at_once(void **state)
{
	(void)state;
	struct pair p = pair_new(); /* the clock shows less than the interval */

	sim_set_keepalive(p.a, p.b, 25);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	sim_run(p.sim, NS_PER_S);
	sim_set_keepalive(p.b, p.a, 1000); /* there is a session already */
	assert_int_equal(sim_count(p.sim, p.b, SIM_KEEPALIVE), 1);
	sim_set_keepalive(p.b, p.a, 500); /* on before: no extra one */
	assert_int_equal(sim_count(p.sim, p.b, SIM_KEEPALIVE), 1);
	pair_free(&p);
}

static void test_persistent_keepalive_fires_on_an_idle_path_only(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	uint64_t last_ns;

	sim_run(p.sim, 20 * NS_PER_S);
	sim_set_keepalive(p.a, p.b, 25);
	sim_run(p.sim, 99 * NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, SIM_KEEPALIVE), 4); /* at 0, 25, 50 and 75 s */
	for (uint32_t i = 1; i < 4; i++)
		assert_int_equal(sim_nth(p.sim, p.a, SIM_KEEPALIVE, i)->sent_ns -
				sim_nth(p.sim, p.a, SIM_KEEPALIVE, i - 1)->sent_ns,
			25 * NS_PER_S);
	sim_forget(p.sim);
	for (uint32_t id = 1; id < 20; id++) { /* traffic either way restarts it */
		sim_send4(id & 1 ? p.a : p.b, id & 1 ? p.b : p.a, id);
		sim_run(p.sim, 9 * NS_PER_S);
	}
	/* But for those that confirm a renewed key. */
	assert_int_equal(
		sim_count(p.sim, p.a, SIM_KEEPALIVE), sim_count(p.sim, p.a, WIRE_INITIATION));
	last_ns = sim_last(p.sim, NULL, WIRE_DATA)->sent_ns;
	sim_run(p.sim, 40 * NS_PER_S);
	/* The last packet was a's, and 10 s later b answered it with its own. */
	assert_int_equal(sim_last(p.sim, p.a, SIM_KEEPALIVE)->sent_ns,
		last_ns + 35 * NS_PER_S + PAIR_ROUND_TRIP_NS);
	sim_set_keepalive(p.a, p.b, 0);
	sim_forget(p.sim);
	sim_run(p.sim, 1000 * NS_PER_S);
	assert_int_equal(p.sim->n_log, 0);
	pair_free(&p);
}

static void test_persistent_keepalive_holds_the_session_for_ever(void **state)
{
	(void)state;
	struct pair p = pair_new();

	sim_set_keepalive(p.a, p.b, 25);
	sim_run(p.sim, NS_PER_S);
	for (uint32_t id = 1; id < 200; id++) {
		sim_run(p.sim, 31 * NS_PER_S);
		assert_true(keys_usable(sim_peer(p.a, p.b), p.sim->now_ns));
		assert_true(keys_usable(sim_peer(p.b, p.a), p.sim->now_ns));
	}
	assert_int_equal(sim_count(p.sim, p.b, WIRE_INITIATION), 0);
	pair_free(&p);
}

/* ---- unanswered data ---- */

static void test_unanswered_data_starts_a_handshake_after_15_s(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	uint64_t first_ns;

	sim_run(p.sim, 20 * NS_PER_S);
	sim_forget(p.sim);
	pair_filter(&p, pair_drop_from, p.b);
	first_ns = p.sim->now_ns;
	for (uint32_t id = 1; id <= 7; id++) { /* the first one counts */
		sim_send4(p.a, p.b, id);
		sim_run(p.sim, 2 * NS_PER_S);
	}
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 0);
	sim_run(p.sim, 2 * NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	assert_in_range(sim_nth(p.sim, p.a, WIRE_INITIATION, 0)->sent_ns - first_ns,
		KEEPALIVE_TIMEOUT_NS + REKEY_TIMEOUT_NS,
		KEEPALIVE_TIMEOUT_NS + REKEY_TIMEOUT_NS + REKEY_TIMEOUT_JITTER_NS);
	pair_free(&p);
}

static bool drop_data_of(struct sim *sim, struct sim_datagram *d, void *hub)
{
	(void)sim;
	return d->from != hub || d->type != WIRE_DATA;
}

static void test_any_authenticated_packet_counts_as_an_answer(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_run(p.sim, 20 * NS_PER_S);
	sim_forget(p.sim);
	pair_filter(&p, drop_data_of, p.b); /* its keepalives pass */
	for (uint32_t id = 1; id <= 40; id++) {
		sim_send4(p.a, p.b, id);
		sim_run(p.sim, 2 * NS_PER_S);
	}
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 0);
	assert_true(sim_count(p.sim, p.b, SIM_KEEPALIVE) >= 7);
	pair_free(&p);
}

/* ---- retries ---- */

static void test_initiation_is_sent_20_times_and_then_given_up(void **state)
{
	(void)state;
	struct pair p = pair_new();
	uint64_t first_ns, last_ns, least = UINT64_MAX, most = 0;

	pair_filter(&p, pair_drop_from, p.b);
	sim_send4(p.a, p.b, 1);
	sim_send4(p.a, p.b, 2);
	sim_run(p.sim, 99 * NS_PER_S);
	assert_int_equal(p.a->n_events[WGH_EVENT_HANDSHAKE_GIVEUP], 0);
	pair_check(&p);
	sim_run(p.sim, 2000 * NS_PER_S);
	assert_int_equal(p.sim->n_log - sim_count(p.sim, p.b, WIRE_RESPONSE), 20);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 20);
	for (unsigned i = 1; i < 20; i++) {
		struct sim_datagram *d = sim_nth(p.sim, p.a, WIRE_INITIATION, i - 1);
		struct sim_datagram *e = sim_nth(p.sim, p.a, WIRE_INITIATION, i);
		uint64_t pause_ns = e->sent_ns - d->sent_ns;

		assert_in_range(
			pause_ns, REKEY_TIMEOUT_NS, REKEY_TIMEOUT_NS + REKEY_TIMEOUT_JITTER_NS - 1);
		least = time_earlier(least, pause_ns);
		most = pause_ns > most ? pause_ns : most;
		/* A new ephemeral, a new index. */
		assert_memory_not_equal(d->bytes + 4, e->bytes + 4, 4);
		assert_memory_not_equal(d->bytes + 8, e->bytes + 8, 32);
	}
	assert_true(most - least > 100 * NS_PER_MS); /* there is jitter */
	first_ns = sim_nth(p.sim, p.a, WIRE_INITIATION, 0)->sent_ns;
	last_ns = sim_nth(p.sim, p.a, WIRE_INITIATION, 19)->sent_ns;
	assert_in_range(last_ns - first_ns, 95 * NS_PER_S, 95 * NS_PER_S + 19 * 334 * NS_PER_MS);
	assert_int_equal(p.a->n_events[WGH_EVENT_HANDSHAKE_GIVEUP], 1);
	assert_int_equal(sim_drops(p.a, DROP_STAGED_EXPIRED), 2);
	assert_int_equal(sim_peer(p.a, p.b)->n_staged, 0);
	assert_null(sim_peer(p.a, p.b)->handshake);
	assert_int_equal(p.a->hub->handshakes.n_used, 0);
	pair_filter(&p, NULL, NULL);
	sim_set_keepalive(p.b, p.a, 0);
	pair_assert_talks(&p);
	pair_free(&p);
}

static void test_every_retry_of_a_lossy_start_is_a_valid_initiation(void **state)
{
	(void)state;
	struct pair p = pair_new();

	pair_filter(&p, pair_drop_from, p.b);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, 90 * NS_PER_S);
	assert_int_equal(
		sim_count(p.sim, p.b, WIRE_RESPONSE), sim_count(p.sim, p.a, WIRE_INITIATION));
	assert_true(p.b->hub->keypairs.n_used <= 3); /* whatever the other side does */
	pair_free(&p);
}

static void test_fresh_traffic_restarts_the_count(void **state)
{
	(void)state;
	struct pair p = pair_new();
	unsigned n;

	pair_filter(&p, pair_drop_from, p.b);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, 60 * NS_PER_S);
	n = sim_count(p.sim, p.a, WIRE_INITIATION);
	sim_send4(p.a, p.b, 2);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), n); /* none of its own */
	sim_run(p.sim, 90 * NS_PER_S);
	assert_int_equal(p.a->n_events[WGH_EVENT_HANDSHAKE_GIVEUP], 0);
	sim_run(p.sim, 200 * NS_PER_S);
	assert_int_equal(p.a->n_events[WGH_EVENT_HANDSHAKE_GIVEUP], 1);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), n + 19);
	sim_send4(p.a, p.b, 3); /* and a new attempt after giving up */
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), n + 20);
	pair_free(&p);
}

static void test_initiations_are_never_less_than_5_s_apart(void **state)
{
	(void)state;
	struct pair p = pair_new();

	for (uint32_t id = 1; id < 3000; id++) {
		/* Every kind of wish at every time, answered only now and then. */
		pair_filter(&p, id % 97 < 80 ? pair_drop_from : NULL, p.b);
		sim_send4(p.a, p.b, id);
		sim_run(p.sim, rng_below(&p.sim->rng, 2 * NS_PER_S));
	}
	for (unsigned i = 1; i < sim_count(p.sim, p.a, WIRE_INITIATION); i++)
		assert_true(sim_nth(p.sim, p.a, WIRE_INITIATION, i)->sent_ns -
				sim_nth(p.sim, p.a, WIRE_INITIATION, i - 1)->sent_ns >=
			REKEY_TIMEOUT_NS);
	pair_free(&p);
}

/* ---- wiping ---- */

static void test_keys_are_wiped_540_s_after_the_last_session(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	uint64_t a_ns, b_ns;

	sim_run(p.sim, 130 * NS_PER_S);
	sim_send4(p.a, p.b, 1); /* renews: now each has two */
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(p.a->hub->keypairs.n_used, 2);
	a_ns = pair_current(p.a, p.b)->created_ns + WIPE_AFTER_NS;
	b_ns = pair_current(p.b, p.a)->created_ns + WIPE_AFTER_NS;
	sim_run_until(p.sim, b_ns - 1);
	assert_int_equal(p.b->hub->keypairs.n_used, 2);
	sim_run_until(p.sim, b_ns);
	assert_int_equal(p.b->hub->keypairs.n_used, 0);
	assert_int_equal(p.a->hub->keypairs.n_used, 2);
	sim_run_until(p.sim, a_ns);
	assert_int_equal(p.a->hub->keypairs.n_used, 0);
	assert_int_equal(p.a->n_events[WGH_EVENT_EXPIRED], 1);
	assert_int_equal(p.b->n_events[WGH_EVENT_EXPIRED], 1);
	assert_int_equal(p.a->hub->sessions.n_live, 0);
	pair_assert_talks(&p);
	pair_free(&p);
}

static void test_session_nobody_confirms_is_wiped_too(void **state)
{
	(void)state;
	struct pair p = pair_new();

	pair_filter(&p, pair_drop_from, p.b);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, 50 * NS_PER_S);
	assert_int_equal(p.b->hub->keypairs.n_used, 1);
	sim_run(p.sim, 60 * NS_PER_S + WIPE_AFTER_NS);
	assert_int_equal(p.b->hub->keypairs.n_used, 0);
	assert_int_equal(p.a->hub->handshakes.n_used, 0);
	pair_free(&p);
}

static void test_wiping_leaves_an_attempt_and_its_packets_alone(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_run(p.sim, WIPE_AFTER_NS - 3 * NS_PER_S);
	pair_filter(&p, pair_drop_from, p.b);
	sim_send4(p.a, p.b, 5);
	sim_run(p.sim, 10 * NS_PER_S);
	assert_int_equal(p.a->n_events[WGH_EVENT_EXPIRED], 1);
	pair_check(&p);
	pair_filter(&p, NULL, NULL);
	sim_run(p.sim, 10 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 5);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keepalive_comes_10_s_after_the_first_unanswered_data),
		cmocka_unit_test(test_single_data_packet_gets_one_keepalive),
		cmocka_unit_test(test_answering_data_cancels_the_keepalive),
		cmocka_unit_test(test_idle_peers_are_silent),
		cmocka_unit_test(test_persistent_keepalive_starts_at_once),
		cmocka_unit_test(test_persistent_keepalive_fires_on_an_idle_path_only),
		cmocka_unit_test(test_persistent_keepalive_holds_the_session_for_ever),
		cmocka_unit_test(test_unanswered_data_starts_a_handshake_after_15_s),
		cmocka_unit_test(test_any_authenticated_packet_counts_as_an_answer),
		cmocka_unit_test(test_initiation_is_sent_20_times_and_then_given_up),
		cmocka_unit_test(test_every_retry_of_a_lossy_start_is_a_valid_initiation),
		cmocka_unit_test(test_fresh_traffic_restarts_the_count),
		cmocka_unit_test(test_initiations_are_never_less_than_5_s_apart),
		cmocka_unit_test(test_keys_are_wiped_540_s_after_the_last_session),
		cmocka_unit_test(test_session_nobody_confirms_is_wiped_too),
		cmocka_unit_test(test_wiping_leaves_an_attempt_and_its_packets_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
