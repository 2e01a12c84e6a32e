/* Two hubs and somebody in between: roaming, replays, forged handshake messages. */
#include "tests/sim/attacker.h"

/* ---- roaming ---- */

static void test_endpoint_follows_authenticated_data(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	for (uint32_t id = 2; id < 20; id++) {
		sim_rebind(p.a);
		sim_send4(p.a, p.b, id);
		sim_run(p.sim, NS_PER_S);
		assert_true(goes_to(p.b, p.a, &p.a->outer));
		sim_send4(p.b, p.a, id);
		sim_run(p.sim, NS_PER_S);
		assert_int_equal(sim_take_id(p.a), id);
	}
	assert_int_equal(p.b->n_events[WGH_EVENT_ROAMED], 18);
	assert_int_equal(p.a->n_events[WGH_EVENT_ROAMED], 0);
	assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
	pair_free(&p);
}

static void test_endpoint_follows_a_keepalive_and_an_initiation(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_rebind(p.a);
	sim_set_keepalive(p.a, p.b, 25);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_count(p.sim, NULL, WIRE_DATA), 0);
	assert_true(goes_to(p.b, p.a, &p.a->outer));
	sim_set_up(p.a, false);
	sim_rebind(p.a);
	sim_set_up(p.a, true); /* keepalive is due: an initiation */
	sim_run(p.sim, 15 * NS_PER_MS); /* not yet the response */
	assert_true(goes_to(p.b, p.a, &p.a->outer));
	pair_free(&p);
}

static void test_endpoint_follows_between_ipv4_and_ipv6(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	p.a->outer = (struct wgh_endpoint){
		.addr = {0x20, 1, 0xd, 0xb8, [15] = 9}, .port = 7, .family = WGH_IPV6};
	sim_send4(p.a, p.b, 2);
	sim_run(p.sim, NS_PER_S);
	sim_send4(p.b, p.a, 3);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.a), 3);
	pair_free(&p);
}

static void test_endpoint_stays_for_replays_and_bad_tags(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct copy data;

	sim_send4(p.a, p.b, 2);
	data = copy_of(sim_last(p.sim, p.a, WIRE_DATA));
	sim_run(p.sim, NS_PER_S);
	sim_inject(p.b, &elsewhere, data.bytes, data.len_bytes);
	assert_int_equal(sim_drops(p.b, DROP_REPLAY), 1);
	for (uint32_t at = 8; at < data.len_bytes; at++) { /* counter, ciphertext and tag */
		data.bytes[at] ^= 1;
		sim_inject(p.b, &elsewhere, data.bytes, data.len_bytes);
		data.bytes[at] ^= 1;
	}
	assert_int_equal(sim_drops(p.b, DROP_AUTH), data.len_bytes - 8);
	assert_true(goes_to(p.b, p.a, &p.a->outer));
	assert_int_equal(p.b->n_events[WGH_EVENT_ROAMED], 0);
	/* The forged counters have not moved the window either. */
	sim_take_id(p.b);
	pair_assert_talks(&p);
	pair_free(&p);
}

static void test_failing_packet_changes_no_counter_and_no_timer(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct peer *a_at_b = sim_peer(p.b, p.a);
	struct copy data;
	uint64_t rx_bytes, unanswered_ns;

	sim_run(p.sim, 20 * NS_PER_S);
	sim_send4(p.a, p.b, 2);
	data = copy_of(sim_last(p.sim, p.a, WIRE_DATA));
	sim_run(p.sim, NS_PER_S);
	sim_send4(p.b, p.a, 3);
	rx_bytes = relaxed_get(&a_at_b->rx_bytes);
	unanswered_ns = relaxed_get(&a_at_b->unanswered_since_ns);
	assert_true(unanswered_ns > 0);
	sim_inject(p.b, &elsewhere, data.bytes, data.len_bytes);
	data.bytes[data.len_bytes - 1] ^= 0x80;
	sim_inject(p.b, &elsewhere, data.bytes, data.len_bytes);
	assert_int_equal(relaxed_get(&a_at_b->rx_bytes), rx_bytes);
	assert_int_equal(relaxed_get(&a_at_b->unanswered_since_ns), unanswered_ns);
	assert_int_equal(relaxed_get(&a_at_b->unacked_since_ns), 0);
	pair_free(&p);
}

static void test_endpoint_stays_for_old_initiations(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct copy initiation;

	sim_send4(p.a, p.b, 1);
	initiation = copy_of(sim_nth(p.sim, p.a, WIRE_INITIATION, 0));
	sim_run(p.sim, 30 * NS_PER_S);
	for (int i = 0; i < 5; i++) {
		sim_inject(p.b, &elsewhere, initiation.bytes, initiation.len_bytes);
		sim_run(p.sim, NS_PER_S);
	}
	assert_int_equal(sim_drops(p.b, DROP_OLD_TIMESTAMP), 5);
	assert_int_equal(p.b->n_events[WGH_EVENT_REPLAYED_INITIATION], 1); /* rate limited */
	assert_true(goes_to(p.b, p.a, &p.a->outer));
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 1);
	assert_int_equal(p.b->hub->keypairs.n_used, 1);
	pair_assert_talks(&p);
	pair_free(&p);
}

static void test_old_initiation_taken_by_a_new_hub_yields_no_traffic(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct copy initiation;

	sim_send4(p.a, p.b, 1);
	initiation = copy_of(sim_nth(p.sim, p.a, WIRE_INITIATION, 0));
	sim_run(p.sim, NS_PER_S);
	sim_remove_peer(p.b, p.a); /* as after a restart: no timestamp is known */
	sim_add_peer(p.b, p.a, true);
	sim_forget(p.sim);
	sim_inject(p.b, &elsewhere, initiation.bytes, initiation.len_bytes);
	for (uint32_t id = 5; id < 9; id++) {
		sim_send4(p.b, p.a, id);
		sim_run(p.sim, NS_PER_S);
	}
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 1);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_DATA), 0); /* nobody has confirmed */
	assert_int_equal(sim_count(p.sim, p.b, SIM_KEEPALIVE), 0);
	pair_free(&p);
}

static void test_in_a_batch_the_last_valid_packet_decides(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct sim_datagram *d[3];

	pair_filter(&p, pair_drop_from, p.a);
	for (uint32_t id = 1; id <= 3; id++)
		sim_send4(p.a, p.b, id);
	for (unsigned i = 0; i < 3; i++)
		d[i] = sim_nth(p.sim, p.a, WIRE_DATA, i);
	d[2]->bytes[d[2]->len_bytes - 1] ^= 1;

	struct wgh_packet packets[3];
	struct wgh_burst bursts[3];

	for (int i = 0; i < 3; i++) {
		packets[i] = (struct wgh_packet){.data = d[i]->bytes, .len_bytes = d[i]->len_bytes};
		bursts[i] = (struct wgh_burst){
			.endpoint = sim_endpoint4(198, 51, 100, (uint8_t)(1 + i), 99),
			.packets = &packets[i],
			.n_packets = 1};
	}
	assert_int_equal(
		worker_input_udp(p.b->hub->workers[0], bursts, 3, p.sim->now_ns)->n_to_tun, 2);
	assert_true(goes_to(p.b, p.a, &bursts[1].endpoint));
	sim_hub_run(p.b);
	pair_free(&p);
}

/* ---- handshake messages that are wrong ---- */

static void test_right_response_works_after_any_number_of_wrong_ones(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct caught response = {.type = WIRE_RESPONSE};
	struct copy wrong;

	pair_filter(&p, catch_type, &response);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	for (uint32_t at = 12; at < response.copy.len_bytes - 32; at++) {
		wrong = response.copy; /* ephemeral and empty, with a right mac1 */
		wrong.bytes[at] ^= 0x40;
		sign(p.a, &wrong);
		sim_inject(p.a, &elsewhere, wrong.bytes, wrong.len_bytes);
	}
	assert_int_equal(sim_drops(p.a, DROP_HANDSHAKE), response.copy.len_bytes - 32 - 12);
	wrong = response.copy; /* an index that is nobody's, and a wrong mac1 */
	wrong.bytes[8] ^= 1;
	sign(p.a, &wrong);
	sim_inject(p.a, &elsewhere, wrong.bytes, wrong.len_bytes);
	assert_int_equal(sim_drops(p.a, DROP_STRAY_RESPONSE), 1);
	wrong.bytes[wrong.len_bytes - 20] ^= 1;
	sim_inject(p.a, &elsewhere, wrong.bytes, wrong.len_bytes);
	assert_int_equal(sim_drops(p.a, DROP_MAC1), 1);
	assert_true(goes_to(p.a, p.b, &p.b->outer));
	sim_inject(p.a, &p.b->outer, response.copy.bytes, response.copy.len_bytes);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 1);
	pair_free(&p);
}

static void test_response_twice_is_one_session(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct keypair *first;

	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	first = pair_current(p.a, p.b);
	for (int i = 0; i < 3; i++)
		sim_replay(p.a, sim_nth(p.sim, p.b, WIRE_RESPONSE, 0));
	assert_int_equal(sim_drops(p.a, DROP_STRAY_RESPONSE), 3);
	assert_ptr_equal(pair_current(p.a, p.b), first);
	assert_int_equal(p.a->hub->keypairs.n_used, 1);
	assert_int_equal(p.a->n_events[WGH_EVENT_HANDSHAKE], 1);
	pair_free(&p);
}

static void test_wrong_initiation_is_answered_by_nothing_and_costs_nothing(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct caught initiation = {.type = WIRE_INITIATION};
	uint64_t wrong_ones = 0;

	sim_run(p.sim, 130 * NS_PER_S);
	pair_filter(&p, catch_type, &initiation);
	sim_send4(p.a, p.b, 2);
	sim_run(p.sim, NS_PER_S);
	for (uint32_t at = 8; at < 116; at++) {
		struct copy wrong = initiation.copy;

		wrong.bytes[at] ^= 0x40;
		sim_inject(p.b, &elsewhere, wrong.bytes, wrong.len_bytes);
		assert_int_equal(sim_drops(p.b, DROP_MAC1), ++wrong_ones);
		sign(p.b, &wrong);
		sim_inject(p.b, &elsewhere, wrong.bytes, wrong.len_bytes);
		assert_int_equal(sim_drops(p.b, DROP_HANDSHAKE), wrong_ones);
	}
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 0);
	assert_true(goes_to(p.b, p.a, &p.a->outer));
	sim_inject(p.b, &p.a->outer, initiation.copy.bytes, initiation.copy.len_bytes);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 1); /* nothing was used up */
	pair_free(&p);
}

static void test_initiation_of_a_stranger_or_of_ourselves_is_ignored(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct sim_hub *stranger = sim_hub_new(p.sim, true, 1);
	struct x25519_secret b_secret = p.b->secret;

	sim_add_peer(stranger, p.b, true);
	sim_send4(stranger, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_drops(p.b, DROP_UNKNOWN_PEER), 1);
	sim_remove_peer(stranger, p.b);
	/* Somebody who has b's own key: told by a hub that has b for a peer under another name. */
	sim_add_peer(stranger, p.a, true);
	sim_set_secret(stranger, &b_secret);
	sim_change_peer(stranger, p.a,
		(struct wgh_peer_change){.flags = WGH_PEER_HAS_ENDPOINT, .endpoint = p.b->outer});
	sim_send4(stranger, p.a, 1);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 0);
	pair_free(&p);
}

static void test_public_points_of_low_order_end_the_handshake(void **state)
{
	(void)state;
	/* RFC 7748, 6.1: their products are zero. Orders 1, 2 (twice) and 8. */
	static const uint8_t points[][32] = {{0}, {1},
		{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
			0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62,
			0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
		{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}};
	const size_t n = sizeof points / sizeof *points;
	struct pair p = pair_new();
	struct caught response = {.type = WIRE_RESPONSE};

	pair_filter(&p, catch_type, &response);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	for (size_t i = 0; i < n; i++) {
		struct copy wrong = response.copy;

		memcpy(wrong.bytes + 12, points[i], 32);
		sign(p.a, &wrong);
		sim_inject(p.a, &elsewhere, wrong.bytes, wrong.len_bytes);
		wrong = copy_of(sim_nth(p.sim, p.a, WIRE_INITIATION, 0));
		memcpy(wrong.bytes + 8, points[i], 32);
		sign(p.b, &wrong);
		sim_inject(p.b, &elsewhere, wrong.bytes, wrong.len_bytes);
	}
	assert_int_equal(sim_drops(p.a, DROP_HANDSHAKE), n);
	assert_int_equal(sim_drops(p.b, DROP_HANDSHAKE), n);
	assert_null(pair_current(p.a, p.b));
	pair_free(&p);
}

static void test_second_initiation_within_20_ms_is_dropped(void **state)
{
	(void)state;
	struct pair p = pair_new();

	for (int i = 0; i < 3; i++) { /* a peer that does not keep to the limiter */
		sim_send4(p.a, p.b, 1);
		sim_remove_peer(p.a, p.b);
		sim_add_peer(p.a, p.b, true);
		sim_run(p.sim, i ? 21 * NS_PER_MS : 10 * NS_PER_MS);
	}
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 3);
	assert_int_equal(sim_drops(p.b, DROP_FLOOD), 1);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 2);
	pair_free(&p);
}

static void test_wall_clock_stepping_back_locks_nobody_out(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	p.a->wall_offset_ns = -86400 * (int64_t)NS_PER_S;
	for (uint32_t id = 1; id < 6;
		id++) { /* every handshake has a later timestamp all the same */
		sim_run(p.sim, 200 * NS_PER_S);
		sim_send4(p.a, p.b, id);
		sim_run(p.sim, NS_PER_S);
		assert_int_equal(sim_take_id(p.b), id);
	}
	p.b->wall_offset_ns =
		400 * 86400 * (int64_t)NS_PER_S; /* ours is not compared with theirs */
	sim_run(p.sim, 200 * NS_PER_S);
	pair_assert_talks(&p);
	assert_int_equal(sim_drops(p.b, DROP_OLD_TIMESTAMP), 0);
	pair_free(&p);
}

static void test_sources_that_cannot_be_answered_get_nothing(void **state)
{
	(void)state;
	struct pair p = pair_new();
	struct copy initiation;
	const struct wgh_endpoint odd[] = {sim_endpoint4(192, 0, 2, 1, 0),
		sim_endpoint4(224, 0, 0, 1, 5), sim_endpoint4(255, 255, 255, 255, 5),
		sim_endpoint4(0, 0, 0, 0, 5)};

	sim_send4(p.a, p.b, 1);
	initiation = copy_of(sim_nth(p.sim, p.a, WIRE_INITIATION, 0));
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
		sim_inject(p.b, &odd[i], initiation.bytes, initiation.len_bytes);
	assert_int_equal(sim_drops(p.b, DROP_REPLY_ADDRESS), sizeof odd / sizeof *odd);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 0);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 1);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoint_follows_authenticated_data),
		cmocka_unit_test(test_endpoint_follows_a_keepalive_and_an_initiation),
		cmocka_unit_test(test_endpoint_follows_between_ipv4_and_ipv6),
		cmocka_unit_test(test_endpoint_stays_for_replays_and_bad_tags),
		cmocka_unit_test(test_failing_packet_changes_no_counter_and_no_timer),
		cmocka_unit_test(test_endpoint_stays_for_old_initiations),
		cmocka_unit_test(test_old_initiation_taken_by_a_new_hub_yields_no_traffic),
		cmocka_unit_test(test_in_a_batch_the_last_valid_packet_decides),
		cmocka_unit_test(test_right_response_works_after_any_number_of_wrong_ones),
		cmocka_unit_test(test_response_twice_is_one_session),
		cmocka_unit_test(test_wrong_initiation_is_answered_by_nothing_and_costs_nothing),
		cmocka_unit_test(test_initiation_of_a_stranger_or_of_ourselves_is_ignored),
		cmocka_unit_test(test_public_points_of_low_order_end_the_handshake),
		cmocka_unit_test(test_second_initiation_within_20_ms_is_dropped),
		cmocka_unit_test(test_wall_clock_stepping_back_locks_nobody_out),
		cmocka_unit_test(test_sources_that_cannot_be_answered_get_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
