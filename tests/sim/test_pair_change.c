/* Two hubs whose keys, peers and state change while packets are on their way. */
#include "tests/sim/pair.h"

#include <errno.h>

static struct x25519_secret other_secret(struct sim *sim)
{
	struct x25519_secret secret;
	uint8_t random[32];

	rng_fill(&sim->rng, random, sizeof random);
	x25519_secret_from_random(&secret, random);
	return secret;
}

/* ---- private key ---- */

static void test_same_private_key_again_changes_nothing(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct x25519_secret same = p.a->secret, unclamped = p.a->secret;
	struct keypair *before = pair_current(p.a, p.b);

	sim_set_secret(p.a, &same);
	unclamped.bytes[0] |= 7; /* the same key once it is clamped */
	sim_set_secret(p.a, &unclamped);
	assert_ptr_equal(pair_current(p.a, p.b), before);
	pair_assert_talks(&p);
	assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
	pair_free(&p);
}

static void test_new_private_key_ends_sessions_and_the_limiter(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct x25519_secret secret = other_secret(p.sim);

	sim_send4(p.b, p.a, 3); /* on its way under the old key */
	sim_remove_peer(p.b, p.a);
	sim_set_secret(p.a, &secret);
	assert_null(pair_current(p.a, p.b));
	assert_int_equal(p.a->hub->keypairs.n_used, 0);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.a), 0);
	assert_int_equal(sim_drops(p.a, DROP_NO_SESSION), 1);
	sim_add_peer(p.b, p.a, true); /* under its new key */
	sim_send4(p.a, p.b, 2); /* a second after the last handshake */
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 2);
	pair_assert_talks(&p);
	pair_free(&p);
}

static void test_new_private_key_drops_an_attempt_and_its_packets(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct x25519_secret secret = other_secret(p.sim);

	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_MS);
	sim_set_secret(p.a, &secret);
	pair_check(&p);
	assert_int_equal(p.a->hub->handshakes.n_used, 0);
	assert_int_equal(sim_drops(p.a, DROP_STAGED_EXPIRED), 1);
	sim_run(p.sim, NS_PER_S); /* the response to the old attempt finds nobody */
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 1);
	/* Its mac1 is for the old key. */
	assert_int_equal(sim_drops(p.a, DROP_MAC1), 1);
	pair_free(&p);
}

static void test_hub_without_private_key_is_silent_and_deaf(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct x25519_secret secret = p.a->secret;

	sim_set_keepalive(p.a, p.b, 5);
	sim_run(p.sim, 7 * NS_PER_S);
	sim_set_secret(p.a, NULL);
	sim_forget(p.sim);
	for (uint32_t id = 1; id < 20; id++) {
		sim_send4(p.a, p.b, id);
		sim_send4(p.b, p.a, id);
		sim_run(p.sim, NS_PER_S);
		pair_check(&p);
	}
	sim_run(p.sim, 100 * NS_PER_S);
	assert_int_equal(p.a->n_sent[WIRE_RESPONSE], 0);
	for (size_t i = 0; i < p.sim->n_log; i++)
		assert_ptr_equal(p.sim->log[i].from, p.b);
	assert_true(sim_drops(p.a, DROP_NO_IDENTITY) > 0);
	assert_int_equal(sim_drops(p.a, DROP_STAGED_EXPIRED), 19);
	assert_int_equal(sim_peer(p.a, p.b)->n_staged, 0);
	sim_set_secret(p.a, &secret);
	sim_run(p.sim, 10 * NS_PER_S);
	pair_assert_talks(&p);
	pair_free(&p);
}

static void test_peer_with_our_own_new_key_goes(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct x25519_secret secret = p.b->secret;

	sim_set_secret(p.a, &secret);
	assert_null(sim_peer(p.a, p.b));
	assert_int_equal(p.a->hub->peers.n_peers, 0);
	sim_add_peer(p.a, p.b, true); /* ignored, without an error */
	assert_int_equal(p.a->hub->peers.n_peers, 0);
	sim_send4(p.a, p.b, 1);
	assert_int_equal(sim_drops(p.a, DROP_NO_ROUTE), 1);
	pair_free(&p);
}

/* ---- preshared key, endpoint, prefixes, MTU ---- */

static void test_new_psk_counts_from_the_next_handshake(void **state)
{
	(void)state;
	static const uint8_t psk[32] = {9};
	struct pair p = pair_connected();

	sim_set_psk(p.a, p.b, psk);
	pair_assert_talks(&p); /* the live session stays */
	assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
	sim_run(p.sim, 200 * NS_PER_S);
	sim_send4(p.a, p.b, 5);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 0); /* one side alone has it */
	assert_int_equal(sim_drops(p.a, DROP_HANDSHAKE), 1);
	sim_set_psk(p.b, p.a, psk);
	sim_run(p.sim, 6 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 5);
	pair_free(&p);
}

static void test_endpoint_of_the_operator_counts_from_the_next_packet(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_rebind(p.b); /* b is silent: a cannot know */
	sim_send4(p.a, p.b, 2);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 0);
	sim_change_peer(p.a, p.b,
		(struct wgh_peer_change){.flags = WGH_PEER_HAS_ENDPOINT, .endpoint = p.b->outer});
	sim_send4(p.a, p.b, 3);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 3);
	assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
	pair_free(&p);
}

static void test_bad_change_set_changes_nothing_at_all(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct wgh_allowed_ip bad = {.prefix = sim_prefix(p.b->inner4, 33)};
	struct wgh_peer_change peers[] = {
		{.public_key = sim_public(p.b), .flags = WGH_PEER_REMOVE},
		{.public_key = {{7}}, .allowed_ips = &bad, .n_allowed_ips = 1},
	};

	assert_int_equal(
		sim_apply(p.a, &(struct wgh_change){.peers = peers, .n_peers = 2}), -EINVAL);
	peers[1] = (struct wgh_peer_change){
		.public_key = {{7}}, .flags = WGH_PEER_HAS_ENDPOINT}; /* without a family */
	assert_int_equal(
		sim_apply(p.a, &(struct wgh_change){.peers = peers, .n_peers = 2}), -EINVAL);
	assert_int_equal(p.a->hub->peers.n_peers, 1);
	pair_assert_talks(&p);
	assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
	pair_free(&p);
}

static void test_prefix_of_another_peer_moves_with_a_report(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct sim_hub *c = sim_hub_new(p.sim, true, 1);
	struct wgh_public_key b = sim_public(p.b), key = sim_public(c);

	sim_add_peer(p.a, c, true);
	sim_add_peer(c, p.a, true);
	sim_add_prefix(p.a, c, sim_prefix(p.b->inner4, 32));
	assert_int_equal(p.a->n_events[WGH_EVENT_ROUTE_MOVED], 1);
	assert_memory_equal(&p.a->last_event.peer, &key, 32);
	assert_memory_equal(&p.a->last_event.other, &b, 32);
	assert_int_equal(p.a->last_event.prefix.bits, 32);
	sim_send4(p.b, p.a, 2); /* b may no longer say that */
	sim_send6(p.b, p.a, 3); /* but keeps its other prefix */
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.a), 3);
	assert_int_equal(sim_drops(p.a, DROP_SOURCE), 1);
	pair_free(&p);
}

/* ---- peers come and go ---- */

static void test_removed_peer_is_dead_at_once(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_set_keepalive(p.a, p.b, 5);
	sim_run(p.sim, NS_PER_S);
	for (uint32_t id = 2; id < 6; id++)
		sim_send4(p.b, p.a, id);
	sim_remove_peer(p.a, p.b);
	assert_int_equal(p.a->hub->keypairs.n_used, 0);
	assert_int_equal(p.a->hub->peers.memory.n_used, 0);
	assert_int_equal(p.a->hub->sessions.n_live, 0);
	sim_forget(p.sim);
	sim_run(p.sim, 100 * NS_PER_S); /* no timer, no answer */
	assert_int_equal(sim_take_id(p.a), 0);
	assert_int_equal(p.a->n_sent[WIRE_RESPONSE], 0);
	for (size_t i = 0; i < p.sim->n_log; i++)
		assert_ptr_equal(p.sim->log[i].from, p.b);
	assert_true(sim_drops(p.a, DROP_UNKNOWN_PEER) > 0);
	sim_remove_peer(p.a, p.b); /* no error */
	pair_free(&p);
}

static void test_removing_with_work_waiting_for_the_control_side_is_safe(void **state)
{
	(void)state;
	struct pair p = pair_new();

	p.a->run_delay_max_ns = 50 * NS_PER_MS;
	p.b->run_delay_max_ns = 50 * NS_PER_MS;
	for (uint32_t round = 1; round < 300; round++) {
		uint64_t pause_ns = rng_below(&p.sim->rng, 60 * NS_PER_MS);

		/* At every stage: packet, initiation, response or confirmation in some queue. */
		sim_send4(p.a, p.b, round);
		sim_run(p.sim, pause_ns);
		sim_send4(p.b, p.a, round);
		if (round & 1)
			sim_remove_peer(p.a, p.b);
		if (round & 2)
			sim_remove_peer(p.b, p.a);
		pair_check(&p);
		if (round & 4)
			sim_run(p.sim, pause_ns);
		sim_connect(p.a, p.b);
		sim_forget(p.sim);
	}
	sim_run(p.sim, 20 * NS_PER_S);
	pair_assert_talks(&p);
	pair_free(&p);
}

static void test_peer_removed_and_listed_in_one_set_comes_back_new(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct wgh_allowed_ip ip = {.prefix = sim_prefix(p.b->inner4, 32)};
	struct wgh_peer_change again = {.public_key = sim_public(p.b),
		.flags = WGH_PEER_HAS_ENDPOINT,
		.endpoint = p.b->outer,
		.allowed_ips = &ip,
		.n_allowed_ips = 1};
	struct wgh_peer_change both[] = {
		{.public_key = sim_public(p.b), .flags = WGH_PEER_REMOVE}, again};

	assert_int_equal(
		sim_apply(p.a,
			&(struct wgh_change){
				.flags = WGH_REPLACE_PEERS, .peers = &again, .n_peers = 1}),
		0);
	assert_null(pair_current(p.a, p.b));
	assert_int_equal(p.a->hub->peers.memory.n_used, 1);
	sim_send4(p.a, p.b, 2);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 2);
	assert_int_equal(sim_apply(p.a, &(struct wgh_change){.peers = both, .n_peers = 2}), 0);
	assert_null(pair_current(p.a, p.b));
	sim_send4(p.a, p.b, 3);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 3);
	assert_int_equal(p.a->hub->peers.memory.n_used, 1);
	pair_free(&p);
}

static void test_change_of_another_peer_leaves_the_session_alone(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct sim_hub *c = sim_hub_new(p.sim, true, 1);

	for (int i = 0; i < 40; i++) {
		sim_add_peer(p.a, c, true);
		sim_add_prefix(p.a, c, sim_prefix(sim_addr4(10, 7, (uint8_t)i, 0), 24));
		sim_send4(p.a, p.b, 50);
		sim_remove_peer(p.a, c);
		sim_run(p.sim, NS_PER_MS * 10);
		assert_int_equal(sim_take_id(p.b), 50);
	}
	assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
	pair_free(&p);
}

/* ---- down and up ---- */

static void test_hub_that_is_down_keeps_still_and_has_no_keys(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_set_keepalive(p.a, p.b, 5);
	sim_send4(p.b, p.a, 4); /* on its way */
	sim_set_up(p.a, false);
	pair_check(&p);
	assert_int_equal(p.a->hub->keypairs.n_used, 0);
	sim_forget(p.sim);
	sim_send4(p.a, p.b, 5);
	sim_run(p.sim, 60 * NS_PER_S);
	assert_int_equal(sim_take_id(p.a), 0);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 0);
	assert_int_equal(sim_drops(p.a, DROP_STAGED_EXPIRED), 1);
	for (size_t i = 0; i < p.sim->n_log; i++)
		assert_ptr_equal(p.sim->log[i].from, p.b);
	sim_set_up(p.a, true);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1); /* the keepalive, at once */
	pair_assert_talks(&p);
	pair_free(&p);
}

static void test_going_down_drops_what_waits(void **state)
{
	(void)state;
	struct pair p = pair_new();

	pair_filter(&p, pair_drop_from, p.b);
	for (uint32_t id = 1; id <= 5; id++)
		sim_send4(p.a, p.b, id);
	sim_set_up(p.a, false);
	assert_int_equal(sim_drops(p.a, DROP_STAGED_EXPIRED), 5);
	assert_int_equal(p.a->hub->handshakes.n_used, 0);
	assert_int_equal(p.a->hub->staged_bytes, 0);
	pair_filter(&p, NULL, NULL);
	sim_run(p.sim, INITIATION_INTERVAL_NS * 2); /* b takes no more than 50 a second */
	sim_set_up(p.a, true);
	sim_send4(p.a, p.b, 6); /* the limiter is gone too */
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 6);
	pair_free(&p);
}

static void test_down_and_up_forgets_no_timestamp(void **state)
{
	(void)state;
	struct pair p = pair_new();

	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, 30 * NS_PER_S);
	sim_set_up(p.b, false);
	sim_set_up(p.b, true);
	sim_replay(p.b, sim_nth(p.sim, p.a, WIRE_INITIATION, 0));
	assert_int_equal(sim_drops(p.b, DROP_OLD_TIMESTAMP), 1);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 1);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_private_key_again_changes_nothing),
		cmocka_unit_test(test_new_private_key_ends_sessions_and_the_limiter),
		cmocka_unit_test(test_new_private_key_drops_an_attempt_and_its_packets),
		cmocka_unit_test(test_hub_without_private_key_is_silent_and_deaf),
		cmocka_unit_test(test_peer_with_our_own_new_key_goes),
		cmocka_unit_test(test_new_psk_counts_from_the_next_handshake),
		cmocka_unit_test(test_endpoint_of_the_operator_counts_from_the_next_packet),
		cmocka_unit_test(test_bad_change_set_changes_nothing_at_all),
		cmocka_unit_test(test_prefix_of_another_peer_moves_with_a_report),
		cmocka_unit_test(test_removed_peer_is_dead_at_once),
		cmocka_unit_test(test_removing_with_work_waiting_for_the_control_side_is_safe),
		cmocka_unit_test(test_peer_removed_and_listed_in_one_set_comes_back_new),
		cmocka_unit_test(test_change_of_another_peer_leaves_the_session_alone),
		cmocka_unit_test(test_hub_that_is_down_keeps_still_and_has_no_keys),
		cmocka_unit_test(test_going_down_drops_what_waits),
		cmocka_unit_test(test_down_and_up_forgets_no_timestamp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
