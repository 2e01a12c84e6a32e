/* Two hubs: handshakes, the life of keys, and the packets that wait for them. */
#include "tests/sim/pair.h"

#include <string.h>

static void test_first_packet_starts_a_handshake_and_arrives(void **state)
{
	(void)state;
	struct pair p = pair_new();

	sim_send4(p.a, p.b, 5);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 5);
	assert_int_equal(sim_take_id(p.b), 0);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_RESPONSE), 1);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_DATA), 1);
	assert_int_equal(p.sim->n_log, 3); /* the packet itself confirms: no keepalive */
	assert_int_equal(sim_nth(p.sim, p.a, WIRE_INITIATION, 0)->tos, 0x88);
	assert_int_equal(sim_nth(p.sim, p.b, WIRE_RESPONSE, 0)->tos, 0x88);
	assert_int_equal(p.a->n_events[WGH_EVENT_HANDSHAKE], 1);
	assert_int_equal(p.b->n_events[WGH_EVENT_HANDSHAKE], 1);
	pair_free(&p);
}

static void test_initiator_without_packets_confirms_with_a_keepalive(void **state)
{
	(void)state;
	struct pair p = pair_new();

	sim_set_keepalive(p.a, p.b, 60000); /* wants a session, has nothing to say */
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, SIM_KEEPALIVE), 1);
	assert_int_equal(p.b->n_events[WGH_EVENT_HANDSHAKE], 1);
	pair_free(&p);
}

static void test_packets_of_all_sizes_and_families_arrive_unchanged_both_ways(void **state)
{
	(void)state;
	struct pair p = pair_new();
	uint8_t packet[SIM_PACKET_BYTES_MAX];

	for (uint32_t payload = 4; payload <= 1420 - 28; payload += payload < 100 ? 1 : 61) {
		struct sim_hub *from = payload & 1 ? p.a : p.b, *to = payload & 1 ? p.b : p.a;

		sim_tun_send(from, packet,
			sim_udp(packet, &from->inner4, &to->inner4, payload, payload));
		sim_run(p.sim, PAIR_ROUND_TRIP_NS * 3);
		assert_int_equal(sim_take_id(to), payload);
		if (payload > 1420 - 48)
			continue;
		sim_tun_send(from, packet,
			sim_udp(packet, &from->inner6, &to->inner6, payload, payload));
		sim_run(p.sim, PAIR_ROUND_TRIP_NS);
		assert_int_equal(sim_take_id(to), payload);
	}
	pair_free(&p);
}

static void test_messages_are_padded_to_16_but_not_past_the_mtu(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	static const struct {
		uint32_t inner, outer;
	} cases[] = {{32, 64}, {33, 80}, {1408, 1440}, {1409, 1420 + 32}, {1420, 1420 + 32}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		sim_tun_send(p.a, packet,
			sim_udp(packet, &p.a->inner4, &p.b->inner4, 1, cases[i].inner - 28));
		assert_int_equal(sim_last(p.sim, p.a, WIRE_DATA)->len_bytes, cases[i].outer);
	}
	assert_int_equal(hub_set_mtu(p.a->hub, 1300), 0);
	sim_tun_send(p.a, packet, sim_udp(packet, &p.a->inner4, &p.b->inner4, 1, 1299 - 28));
	assert_int_equal(sim_last(p.sim, p.a, WIRE_DATA)->len_bytes, 1300 + 32);
	sim_run(p.sim, NS_PER_S);
	pair_free(&p);
}

static void test_handshake_succeeds_only_with_the_same_psk(void **state)
{
	(void)state;
	static const uint8_t psk[32] = {1, 2, 3}, other[32] = {1, 2, 4};
	struct pair p = pair_new();

	sim_set_psk(p.a, p.b, psk);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, 2 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 0); /* one has it, the other does not */
	assert_int_equal(sim_drops(p.a, DROP_HANDSHAKE), 1);
	sim_set_psk(p.b, p.a, other);
	sim_run(p.sim, 6 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 0);
	assert_int_equal(sim_drops(p.a, DROP_HANDSHAKE), 2);
	assert_null(pair_current(p.a, p.b));
	sim_set_psk(p.b, p.a, psk);
	sim_run(p.sim, 6 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 1);
	pair_free(&p);
}

static bool drop_data(struct sim *sim, struct sim_datagram *d, void *arg)
{
	(void)sim;
	(void)arg;
	return d->type != WIRE_DATA && d->type != SIM_KEEPALIVE;
}

static void test_responder_sends_nothing_before_confirmation(void **state)
{
	(void)state;
	struct pair p = pair_new();

	pair_filter(&p, drop_data, NULL);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	sim_send4(p.b, p.a, 2);
	sim_run(p.sim, 3 * NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_DATA), 0);
	assert_null(pair_current(p.b, p.a));
	assert_int_equal(sim_peer(p.b, p.a)->last_handshake_wall_ns, 0);
	assert_int_equal(p.b->n_events[WGH_EVENT_HANDSHAKE], 0);
	/* Its own attempt waits for 5 s after its response. */
	assert_int_equal(sim_count(p.sim, p.b, WIRE_INITIATION), 0);
	sim_run(p.sim, 2 * NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_INITIATION), 1);
	assert_true(sim_nth(p.sim, p.b, WIRE_INITIATION, 0)->sent_ns >=
		sim_nth(p.sim, p.b, WIRE_RESPONSE, 0)->sent_ns + REKEY_TIMEOUT_NS);
	pair_free(&p);
}

static void test_responder_sends_what_waited_when_confirmed(void **state)
{
	(void)state;
	struct pair p = pair_new();

	pair_filter(&p, drop_data, NULL);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_S);
	sim_send4(p.b, p.a, 2);
	sim_send4(p.b, p.a, 3);
	sim_run(p.sim, NS_PER_S);
	pair_filter(&p, NULL, NULL);
	sim_send4(p.a, p.b, 4);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 4);
	assert_int_equal(sim_take_id(p.a), 2);
	assert_int_equal(sim_take_id(p.a), 3);
	sim_run(p.sim, 20 * NS_PER_S);
	assert_int_equal(
		sim_count(p.sim, p.b, WIRE_INITIATION), 0); /* the waiting attempt is off */
	pair_free(&p);
}

static void test_last_128_waiting_packets_go_out_in_order(void **state)
{
	(void)state;
	struct pair p = pair_new();

	pair_filter(&p, pair_drop_from, p.b);
	for (uint32_t id = 1; id <= 130; id++)
		sim_send4(p.a, p.b, id);
	sim_run(p.sim, NS_PER_S);
	pair_check(&p);
	pair_filter(&p, NULL, NULL);
	sim_run(p.sim, 6 * NS_PER_S);
	for (uint32_t id = 3; id <= 130; id++)
		assert_int_equal(sim_take_id(p.b), id);
	assert_int_equal(sim_take_id(p.b), 0);
	assert_int_equal(sim_drops(p.a, DROP_STAGED_FULL), 2);
	pair_free(&p);
}

static void test_byte_counters_agree_on_both_sides(void **state)
{
	(void)state;
	struct pair p = pair_new();
	uint64_t on_wire = 0;

	for (uint32_t id = 1; id < 300; id++) {
		sim_send4(p.a, p.b, id);
		sim_send6(p.b, p.a, id);
		sim_run(p.sim, NS_PER_S);
	}
	for (size_t i = 0; i < p.sim->n_log; i++)
		if (p.sim->log[i].from == p.a)
			on_wire += p.sim->log[i].len_bytes;
	assert_int_equal(relaxed_get(&sim_peer(p.a, p.b)->tx_bytes), on_wire);
	assert_int_equal(relaxed_get(&sim_peer(p.b, p.a)->rx_bytes), on_wire);
	assert_int_equal(relaxed_get(&sim_peer(p.b, p.a)->tx_bytes),
		relaxed_get(&sim_peer(p.a, p.b)->rx_bytes));
	pair_free(&p);
}

/* ---- renewal ---- */

static void test_one_side_renews_at_120_s_and_nothing_is_lost(void **state)
{
	(void)state;
	struct pair p = pair_new();
	const uint32_t n = 620;

	for (uint32_t id = 1; id <= n; id++) {
		sim_send4(p.a, p.b, id);
		sim_run(p.sim, 300 * NS_PER_MS);
		sim_send6(p.b, p.a, id);
		sim_run(p.sim, 700 * NS_PER_MS);
	}
	for (uint32_t id = 1; id <= n; id++) {
		assert_int_equal(sim_take_id(p.a), id);
		assert_int_equal(sim_take_id(p.b), id);
	}
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 6);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_INITIATION), 0);
	for (unsigned i = 1; i < 6; i++)
		assert_in_range(sim_nth(p.sim, p.a, WIRE_INITIATION, i)->sent_ns -
				sim_nth(p.sim, p.a, WIRE_INITIATION, i - 1)->sent_ns,
			REKEY_AFTER_TIME_NS, REKEY_AFTER_TIME_NS + 2 * NS_PER_S);
	pair_free(&p);
}

static void test_responder_sending_never_renews_by_time(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_run(p.sim, 119 * NS_PER_S);
	for (uint32_t id = 1; id < 45; id++) { /* until 163 s: a keeps still, but for keepalives */
		sim_send4(p.b, p.a, id);
		sim_run(p.sim, NS_PER_S);
	}
	assert_int_equal(sim_count(p.sim, p.b, WIRE_INITIATION), 0);
	pair_free(&p);
}

static void test_sending_a_keepalive_at_120_s_renews(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_run(p.sim, 115 * NS_PER_S);
	sim_send4(p.b, p.a, 1);
	sim_run(p.sim, 9 * NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 0);
	sim_run(p.sim, 2 * NS_PER_S); /* 10 s after it a says something, under a key of 125 s */
	assert_int_equal(sim_count(p.sim, p.a, SIM_KEEPALIVE), 2); /* the second for the new key */
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	pair_free(&p);
}

static void test_initiator_renews_when_it_receives_at_165_s(void **state)
{
	(void)state;
	struct pair p = pair_connected();

	sim_run(p.sim, 164 * NS_PER_S);
	sim_send4(p.b, p.a, 1);
	sim_run(p.sim, NS_PER_S / 2);
	assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
	sim_run(p.sim, NS_PER_S);
	sim_send4(p.b, p.a, 2);
	sim_run(p.sim, NS_PER_S / 2);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_INITIATION), 0);
	sim_run(p.sim, 60 * NS_PER_S); /* once */
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	pair_free(&p);
}

static bool drop_handshakes(struct sim *sim, struct sim_datagram *d, void *arg)
{
	(void)sim;
	(void)arg;
	return d->type != WIRE_INITIATION && d->type != WIRE_RESPONSE;
}

static void test_no_key_is_used_at_180_s(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	uint64_t a_born_ns = pair_current(p.a, p.b)->created_ns;
	uint64_t b_born_ns = pair_current(p.b, p.a)->created_ns;

	pair_filter(&p, drop_handshakes, NULL);
	sim_run_until(p.sim, b_born_ns + REJECT_AFTER_TIME_NS - 11 * NS_PER_MS);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, 2 * NS_PER_MS);
	sim_send4(p.a, p.b, 2); /* arrives 1 ms too late */
	sim_run_until(p.sim, a_born_ns + REJECT_AFTER_TIME_NS - 1);
	assert_int_equal(sim_take_id(p.b), 1);
	assert_int_equal(sim_take_id(p.b), 0);
	assert_int_equal(sim_drops(p.b, DROP_EXPIRED), 1);
	assert_int_equal(relaxed_get(&sim_peer(p.b, p.a)->drops[DROP_EXPIRED]), 1);
	sim_send4(p.a, p.b, 3);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_DATA), 3);
	sim_run(p.sim, 1);
	sim_send4(p.a, p.b, 4);
	sim_send4(p.b, p.a, 5);
	sim_run(p.sim, NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_DATA), 3);
	assert_int_equal(sim_count(p.sim, p.b, WIRE_DATA), 0);
	pair_filter(&p, NULL, NULL);
	sim_run(p.sim, 6 * NS_PER_S);
	assert_int_equal(sim_take_id(p.b), 4);
	assert_int_equal(sim_take_id(p.a), 5);
	pair_free(&p);
}

static void test_many_messages_make_either_side_renew(void **state)
{
	(void)state;
	for (int responder = 0; responder < 2; responder++) {
		struct pair p = pair_connected();
		struct sim_hub *from = responder ? p.b : p.a, *to = responder ? p.a : p.b;

		sim_run(p.sim, 6 * NS_PER_S); /* past the limiter */
		relaxed_set(&pair_current(from, to)->send_counter, REKEY_AFTER_MESSAGES - 1);
		sim_send4(from, to, 1);
		assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
		sim_run(p.sim, NS_PER_S);
		sim_send4(from, to, 2);
		sim_send4(from, to, 3);
		assert_int_equal(sim_count(p.sim, from, WIRE_INITIATION), 1);
		sim_run(p.sim, NS_PER_S);
		for (uint32_t id = 1; id <= 3; id++)
			assert_int_equal(sim_take_id(to), id);
		pair_free(&p);
	}
}

static void test_key_with_no_counters_left_is_dead(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct sim_packet batch[3];
	uint8_t packets[3][SIM_PACKET_BYTES_MAX];

	sim_run(p.sim, 6 * NS_PER_S);
	relaxed_set(&pair_current(p.a, p.b)->send_counter, REJECT_AFTER_MESSAGES - 2);
	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, NS_PER_MS);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_DATA), 1);
	for (uint32_t i = 0; i < 3; i++) /* one counter is left, three are wanted */
		batch[i] = (struct sim_packet){.bytes = packets[i],
			.len_bytes = sim_udp(packets[i], &p.a->inner4, &p.b->inner4, 2 + i, 40)};
	sim_tun_send_many(p.a, batch, 3);
	sim_run(p.sim, NS_PER_S);
	for (size_t i = 0; i < p.sim->n_log; i++)
		if (p.sim->log[i].type == WIRE_DATA)
			assert_true(le64_get(p.sim->log[i].bytes + 8) < REJECT_AFTER_MESSAGES);
	for (uint32_t id = 1; id <= 4; id++)
		assert_int_equal(sim_take_id(p.b), id);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	pair_free(&p);
}

/* ---- slots ---- */

/* Takes the first data message of hub out of the network. */
struct held {
	struct sim_hub *from;
	struct sim_datagram datagram;
};

static bool hold_data(struct sim *sim, struct sim_datagram *d, void *arg)
{
	struct held *held = arg;

	(void)sim;
	if (d->from != held->from || d->type != WIRE_DATA || held->datagram.bytes)
		return true;
	held->datagram = *d;
	held->datagram.bytes = malloc(d->len_bytes);
	memcpy(held->datagram.bytes, d->bytes, d->len_bytes);
	return false;
}

static void renew(struct pair *p)
{
	sim_run(p->sim, REKEY_AFTER_TIME_NS);
	sim_send4(p->a, p->b, 900);
	sim_run(p->sim, NS_PER_S);
	assert_int_equal(sim_take_id(p->b), 900);
}

static void test_packet_on_its_way_survives_one_renewal_but_not_two(void **state)
{
	(void)state;
	for (int to_responder = 0; to_responder < 2; to_responder++) {
		struct pair p = pair_connected();
		struct held held = {.from = to_responder ? p.a : p.b};
		struct sim_hub *to = to_responder ? p.b : p.a;

		pair_filter(&p, hold_data, &held);
		sim_send4(held.from, to, 7);
		renew(&p);
		sim_replay(to, &held.datagram);
		assert_int_equal(sim_take_id(to), 7);
		free(held.datagram.bytes);
		held.datagram.bytes = NULL;
		sim_send4(held.from, to, 8);
		renew(&p);
		renew(&p);
		sim_replay(to, &held.datagram);
		assert_int_equal(sim_take_id(to), 0);
		assert_int_equal(sim_drops(to, DROP_NO_SESSION), 1);
		free(held.datagram.bytes);
		pair_free(&p);
	}
}

static void test_late_packet_under_the_previous_key_renews_nothing(void **state)
{
	(void)state;
	struct pair p = pair_connected();
	struct held held = {.from = p.b};

	pair_filter(&p, hold_data, &held);
	sim_run(p.sim, NS_PER_S);
	sim_send4(p.b, p.a, 7);
	renew(&p);
	sim_forget(p.sim);
	sim_run(p.sim, 48 * NS_PER_S); /* the key it is under is 169 s old, the current one 49 s */
	sim_replay(p.a, &held.datagram);
	assert_int_equal(sim_take_id(p.a), 7);
	sim_run(p.sim, 10 * NS_PER_S - PAIR_ROUND_TRIP_NS);
	assert_int_equal(sim_count(p.sim, NULL, WIRE_INITIATION), 0);
	free(held.datagram.bytes);
	pair_free(&p);
}

static void test_simultaneous_initiations_converge(void **state)
{
	(void)state;
	struct pair p = pair_new();

	for (uint32_t id = 1; id <= 110; id++) {
		sim_send4(p.a, p.b, id);
		sim_send4(p.b, p.a, id);
		sim_run(p.sim, NS_PER_S);
	}
	for (uint32_t id = 1; id <= 110; id++) {
		assert_int_equal(sim_take_id(p.a), id);
		assert_int_equal(sim_take_id(p.b), id);
	}
	assert_in_range(sim_count(p.sim, NULL, WIRE_INITIATION), 1, 2);
	pair_free(&p);
}

/* ---- indices ---- */

/* Indices (and jitter) are the only 4-byte draws. */
static void few_indices(struct sim *sim, void *out, size_t len_bytes)
{
	rng_fill(&sim->rng, out, len_bytes);
	if (len_bytes == 4)
		le32_put(out, (uint32_t)rng_below(&sim->rng, 100));
}

static void test_indices_are_never_zero_or_shared(void **state)
{
	(void)state;
	struct pair p = pair_new();

	p.sim->random = few_indices;
	for (uint32_t round = 1; round < 400; round++) {
		sim_send4(p.a, p.b, round);
		sim_run(p.sim, NS_PER_S);
		assert_int_equal(sim_take_id(p.b), round);
		sim_send4(p.b, p.a, round);
		sim_run(p.sim, NS_PER_S);
		assert_int_equal(sim_take_id(p.a), round);
		pair_check(&p);
		sim_remove_peer(p.a, p.b);
		sim_remove_peer(p.b, p.a);
		sim_connect(p.a, p.b);
	}
	for (size_t i = 0; i < p.sim->n_log; i++) /* its sender, or for data its receiver */
		assert_int_not_equal(le32_get(p.sim->log[i].bytes + 4), 0);
	pair_free(&p);
}

static void test_wish_for_a_session_that_came_meanwhile_is_forgotten(void **state)
{
	(void)state;
	struct pair p = {.sim = sim_new(2)};
	struct wgh_addr dst = sim_addr4(10, 9, 9, 1); /* its packets go to the second worker */
	uint8_t packet[SIM_PACKET_BYTES_MAX];

	p.sim->record = true;
	p.a = sim_hub_new(p.sim, true, 2);
	p.b = sim_hub_new(p.sim, true, 1);
	sim_connect(p.a, p.b);
	sim_add_prefix(p.a, p.b, sim_prefix(dst, 24));
	sim_set_keepalive(p.a, p.b, 60000); /* begins a handshake */
	p.a->run_delay_max_ns = 1000000 * NS_PER_S; /* the control side looks when told */
	sim_run(p.sim, PAIR_ROUND_TRIP_NS);
	assert_int_equal(ring_count(&p.a->hub->workers[0]->handshakes), 1); /* the response */
	sim_tun_send(p.a, packet, sim_udp(packet, &p.a->inner4, &dst, 1, 40));
	assert_int_equal(ring_count(&p.a->hub->workers[1]->events), 2); /* packet and wish */
	sim_hub_run(p.a);
	sim_check(p.a); /* among others: the packet's timer runs */
	p.a->run_delay_max_ns = 0;
	sim_hub_run(p.a);
	sim_run(p.sim, 60 * NS_PER_S);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_DATA), 1);
	assert_int_equal(sim_count(p.sim, p.a, WIRE_INITIATION), 1);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_packet_starts_a_handshake_and_arrives),
		cmocka_unit_test(test_initiator_without_packets_confirms_with_a_keepalive),
		cmocka_unit_test(test_packets_of_all_sizes_and_families_arrive_unchanged_both_ways),
		cmocka_unit_test(test_messages_are_padded_to_16_but_not_past_the_mtu),
		cmocka_unit_test(test_handshake_succeeds_only_with_the_same_psk),
		cmocka_unit_test(test_responder_sends_nothing_before_confirmation),
		cmocka_unit_test(test_responder_sends_what_waited_when_confirmed),
		cmocka_unit_test(test_last_128_waiting_packets_go_out_in_order),
		cmocka_unit_test(test_byte_counters_agree_on_both_sides),
		cmocka_unit_test(test_one_side_renews_at_120_s_and_nothing_is_lost),
		cmocka_unit_test(test_responder_sending_never_renews_by_time),
		cmocka_unit_test(test_sending_a_keepalive_at_120_s_renews),
		cmocka_unit_test(test_initiator_renews_when_it_receives_at_165_s),
		cmocka_unit_test(test_no_key_is_used_at_180_s),
		cmocka_unit_test(test_many_messages_make_either_side_renew),
		cmocka_unit_test(test_key_with_no_counters_left_is_dead),
		cmocka_unit_test(test_packet_on_its_way_survives_one_renewal_but_not_two),
		cmocka_unit_test(test_late_packet_under_the_previous_key_renews_nothing),
		cmocka_unit_test(test_simultaneous_initiations_converge),
		cmocka_unit_test(test_indices_are_never_zero_or_shared),
		cmocka_unit_test(test_wish_for_a_session_that_came_meanwhile_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
