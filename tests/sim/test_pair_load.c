/* Two hubs of which one has too much to do: floods, cookies and who gets in all the same. */
#include "tests/sim/attacker.h"

struct flood {
	struct sim_hub *at;
	uint64_t until_ns;
	unsigned n; /* every 10 ms */
	bool right_mac1;
};

/* So many messages at once that nobody can sign them all: the same few, from many sources. */
static void flood_step(struct sim *sim, void *arg)
{
	struct flood *flood = arg;
	struct sim_hub *h = flood->at;
	struct wgh_packet packets[256];
	struct wgh_burst bursts[256];
	struct copy message = {.len_bytes = sizeof(struct wire_initiation)};
	uint8_t buffers[256][sizeof(struct wire_initiation)];

	rng_fill(&sim->rng, message.bytes, message.len_bytes);
	le32_put(message.bytes, WIRE_INITIATION);
	if (flood->right_mac1)
		sign(h, &message);
	for (unsigned i = 0; i < flood->n; i++) {
		memcpy(buffers[i], message.bytes, message.len_bytes);
		packets[i] =
			(struct wgh_packet){.data = buffers[i], .len_bytes = message.len_bytes};
		bursts[i] = (struct wgh_burst){
			.endpoint = sim_endpoint4(203, 0, (uint8_t)rng_below(&sim->rng, 256),
				(uint8_t)(1 + rng_below(&sim->rng, 250)), 1000),
			.packets = &packets[i],
			.n_packets = 1};
	}
	SIM_MUST(!worker_input_udp(h->hub->workers[0], bursts, flood->n, sim->now_ns)->n_bursts);
	/* The control side is slower than the flood: it comes when it was going to. */
	if (sim->now_ns < flood->until_ns)
		sim_at(sim, sim->now_ns + 10 * NS_PER_MS, flood_step, flood);
}

static struct flood flood_start(struct sim_hub *at, bool right_mac1, uint64_t duration_ns)
{
	return (struct flood){.at = at,
		.until_ns = at->sim->now_ns + duration_ns,
		.n = 200,
		.right_mac1 = right_mac1};
}

/* A control side that takes 32,000 messages a second: more than the flood, less than one CPU. */
static void every_5_ms(struct sim *sim, void *hub)
{
	for (int i = 0; i < 10; i++)
		sim_hub_run(hub);
	((struct sim_hub *)hub)->next_run_ns = TIME_NEVER;
	sim_at(sim, sim->now_ns + 5 * NS_PER_MS, every_5_ms, hub);
}

static void test_honest_peer_gets_in_through_a_flood_by_a_cookie(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct flood flood = flood_start(p.b, true, 20 * NS_PER_S);
	struct sim_hub *connected = sim_hub_new(p.sim, true, 1);
	uint32_t n_arrived = 0;

	sim_connect(connected, p.b);
	sim_send4(connected, p.b, 900);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 900);
	p.b->run_delay_max_ns = 1000000 * NS_PER_S; /* only every_5_ms() */
	every_5_ms(p.sim, p.b);
	flood_step(p.sim, &flood);
	sim_forget(p.sim);
	sim_send4(p.a, p.b, 1);
	for (uint32_t id = 1000; id < 1200; id++) { /* sessions carry traffic all the time */
		sim_send4(connected, p.b, id);
		sim_run(p.sim, 100 * NS_PER_MS);
	}
	for (uint32_t id; (id = sim_take_id(p.b)) != 0;)
		n_arrived += id != 1;
	assert_in_range(n_arrived, 200, 200);
	assert_non_null(pair_current(p.b, p.a));
	assert_true(sim_drops(p.b, DROP_UNDER_LOAD) > 1000);
	assert_true(sim_count(p.sim, p.b, WIRE_COOKIE) > 1000);
	for (size_t i = 0; i < p.sim->n_log; i++) /* the flood got cookies, nothing else */
		if (p.sim->log[i].from == p.b && p.sim->log[i].dest.addr[0] == 203)
			assert_int_equal(p.sim->log[i].len_bytes, sizeof(struct wire_cookie));
	/* A second after it, no proof is asked for. */
	p.b->run_delay_max_ns = 0;
	sim_run(p.sim, 3 * NS_PER_S);
	sim_forget(p.sim);
	sim_remove_peer(p.a, p.b);
	sim_add_peer(p.a, p.b, true);
	pair_assert_talks(&p);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_COOKIE), 0);
	pair_free(&p);
}

static void test_flood_with_wrong_mac1_gets_no_reply_at_all(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct flood flood = flood_start(p.b, false, 2 * NS_PER_S);

	flood_step(p.sim, &flood);
	sim_run(p.sim, 3 * NS_PER_S);
	sim_hub_run(p.b);
	sim_run(p.sim, 2 * NS_PER_S); /* it counts as load, though */
	assert_int_equal(sim_drops(p.b, DROP_MAC1), HANDSHAKE_QUEUE_MESSAGES);
	assert_true(sim_drops(p.b, DROP_HANDSHAKE_QUEUE) > 1000);
	assert_int_equal(p.sim->n_log, 0);
	pair_assert_talks(&p);
	pair_free(&p);
}

/* b believes to be under load. */
static void load(struct pair *p)
{
	p->b->hub->under_load_until_ns = p->sim->now_ns + 100 * NS_PER_S;
}

static void test_cookie_is_used_by_the_next_retry_and_not_at_once(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct sim_datagram *first, *second;

	load(&p);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_COOKIE), 1);
	assert_int_equal(sim_last(p.sim, p.b, WIRE_COOKIE)->tos, 0);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	sim_run(p.sim, 6 * NS_PER_S);
	first = sim_nth(p.sim, p.a, WIRE_INITIATION, 0);
	second = sim_nth(p.sim, p.a, WIRE_INITIATION, 1);
	assert_true(ct_is_zero(first->bytes + 132, 16));
	assert_false(ct_is_zero(second->bytes + 132, 16));
	assert_true(second->sent_ns - first->sent_ns >= REKEY_TIMEOUT_NS);
	assert_int_equal(sim_take_id(p.b), 1);
	assert_int_equal(relaxed_get(&sim_peer(p.a, p.b)->rx_bytes), 92); /* the response alone */
	pair_free(&p);
}

static void test_cookie_of_another_port_is_worth_nothing(void **state)
{
	(void)state;
	struct pair p = pair_new();

	load(&p);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	sim_rebind(p.a);
	sim_run(p.sim, 5 * NS_PER_S); /* the retry comes from the new port: another cookie */
	assert_int_equal(sim_count(p.sim, p.b, WIRE_COOKIE), 2);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 0);
	sim_run(p.sim, 6 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 1);
	pair_free(&p);
}

static void test_response_under_load_needs_a_cookie_too(void **state)
{
	(void)state;
	struct pair p = pair_new();

	p.a->hub->under_load_until_ns = p.sim->now_ns + 100 * NS_PER_S; /* the initiator */
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_COOKIE), 1); /* found by a keypair's index */
	assert_int_equal(sim_drops(p.b, DROP_COOKIE), 0);
	assert_null(pair_current(p.a, p.b));
	sim_run(p.sim, 6 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 1);
	pair_free(&p);
}

static void test_cookie_reply_forged_or_repeated_changes_nothing(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct caught reply = {.type = WIRE_COOKIE};
	struct cookie_jar before;

	load(&p);
	pair_filter(&p, catch_type, &reply);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	before = sim_peer(p.a, p.b)->cookie;
	for (uint32_t at = 4; at < reply.copy.len_bytes; at++) {
		struct copy wrong = reply.copy;

		wrong.bytes[at] ^= 2;
		sim_inject(p.a, &elsewhere, wrong.bytes, wrong.len_bytes);
	}
	assert_int_equal(sim_drops(p.a, DROP_COOKIE), reply.copy.len_bytes - 4);
	assert_memory_equal(&before, &sim_peer(p.a, p.b)->cookie, sizeof before);
	sim_inject(p.a, &elsewhere, reply.copy.bytes, reply.copy.len_bytes);
	assert_true(sim_peer(p.a, p.b)->cookie.has_cookie);
	sim_inject(p.a, &elsewhere, reply.copy.bytes, reply.copy.len_bytes); /* once only */
	assert_int_equal(sim_drops(p.a, DROP_COOKIE), reply.copy.len_bytes - 4 + 1);
	assert_true(goes_to(p.a, p.b, &p.b->outer)); /* and it moves nothing */
	assert_int_equal(p.a->n_events[WGH_EVENT_ROAMED], 0);
	pair_filter(&p, NULL, NULL);
	sim_run(p.sim, 6 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 1);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_honest_peer_gets_in_through_a_flood_by_a_cookie),
		cmocka_unit_test(test_flood_with_wrong_mac1_gets_no_reply_at_all),
		cmocka_unit_test(test_cookie_is_used_by_the_next_retry_and_not_at_once),
		cmocka_unit_test(test_cookie_of_another_port_is_worth_nothing),
		cmocka_unit_test(test_response_under_load_needs_a_cookie_too),
		cmocka_unit_test(test_cookie_reply_forged_or_repeated_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
