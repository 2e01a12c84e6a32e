/* A hub between three peers: what passes, and that nothing but the TTL of it changes. */
#include "tests/sim/star.h"

#include <string.h>

static const enum wgh_family families[2] = {WGH_IPV4, WGH_IPV6};

static void test_packet_is_forwarded_in_its_own_buffer(void **state)
{
	(void)state;
	struct star s = star_new(1, 1);

	for (uint32_t id = 1; id <= 50; id++) {
		sim_send4(s.a, s.b, id);
		sim_send6(s.b, s.c, id);
		sim_run(s.sim, STAR_WAY_NS);
		assert_int_equal(sim_take_id(s.b), id);
		assert_int_equal(sim_take_id(s.c), id);
	}
	assert_int_equal(star_forwarded(&s), 100);
	assert_int_equal(s.hub->n_in_place, 100);
	assert_int_equal(sim_n_taken_left(s.a), 0);
	star_free(&s);
}

/* What a packet looks like one hop on. */
static void expect_hop(uint8_t *packet)
{
	packet[packet[0] >> 4 == 4 ? 8 : 7]--;
	sim_ip_mend(packet);
}

static void test_only_ttl_and_header_checksum_change(void **state)
{
	(void)state;
	struct star s = star_new(1, 2);
	uint8_t packet[SIM_PACKET_BYTES_MAX], got[SIM_PACKET_BYTES_MAX];

	for (int round = 0; round < 600; round++) {
		enum wgh_family family = families[round & 1];
		uint32_t len = star_udp(
			&s, s.a, s.b, family, packet, 4 + (uint32_t)rng_below(&s.sim->rng, 1300));

		if (family == WGH_IPV4) {
			packet[1] = (uint8_t)rng_next(&s.sim->rng) & 0xfc; /* DSCP */
			rng_fill(&s.sim->rng, packet + 4, 2); /* identification */
			packet[8] = (uint8_t)(2 + rng_below(&s.sim->rng, 254));
			sim_ip_mend(packet);
		} else {
			packet[0] = 0x60 | (uint8_t)rng_below(&s.sim->rng, 16);
			packet[1] = (uint8_t)rng_next(&s.sim->rng) & 0xcf; /* flow label */
			packet[7] = (uint8_t)(2 + rng_below(&s.sim->rng, 254));
		}
		star_send(&s, s.a, packet, len);
		expect_hop(packet);
		assert_int_equal(sim_take(s.b, got), len);
		assert_memory_equal(got, packet, len);
	}
	star_free(&s);
}

static void test_order_within_each_pair_is_kept_through_batches(void **state)
{
	(void)state;
	struct star s = star_new(1, 3);
	static uint8_t bytes[300][SIM_PACKET_BYTES_MAX];
	struct sim_packet batch[300];
	struct sim_hub *to[2] = {s.b, s.c};
	uint32_t next[2] = {1, 1}, sent[2] = {0, 0};

	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 300; i++) {
			int which = rng_below(&s.sim->rng, 3) == 0;

			batch[i] = (struct sim_packet){.bytes = bytes[i],
				.len_bytes = sim_udp(bytes[i], &s.a->inner4, &to[which]->inner4,
					++sent[which], 4 + (uint32_t)rng_below(&s.sim->rng, 99))};
		}
		sim_tun_send_many(s.a, batch, 300);
		sim_run(s.sim, STAR_WAY_NS * 3);
	}
	for (int which = 0; which < 2; which++)
		for (uint32_t id; (id = sim_take_id(to[which])) != 0;)
			assert_int_equal(id, next[which]++);
	assert_int_equal(next[0] + next[1], 1500 + 2);
	assert_int_equal(s.hub->n_in_place, 1500);
	star_free(&s);
}

static void test_padding_of_the_sender_is_not_passed_on(void **state)
{
	(void)state;
	struct star s = star_new(1, 4);
	uint8_t packet[SIM_PACKET_BYTES_MAX];

	for (int i = 0; i < 2; i++) {
		uint32_t len = star_udp(&s, s.a, s.b, families[i], packet, 21), padded;
		struct sim_datagram *d;
		struct aead_job job;

		memset(packet + len, 0xaa, 300); /* not zeroes, and far too many */
		star_inject_plain(s.a, s.hub, packet, len + 300);
		d = sim_last(s.sim, s.hub, WIRE_DATA);
		padded = d->len_bytes - 32;
		assert_int_equal(padded, (len + 15) & ~15u);
		job = (struct aead_job){.data = d->bytes + 16,
			.key = &pair_current(s.b, s.hub)->receive,
			.counter = le64_get(d->bytes + 8),
			.len_bytes = padded};
		aead_open(s.b->hub->aead, &job, 1);
		assert_true(job.ok);
		for (uint32_t at = len; at < padded; at++)
			assert_int_equal(job.data[at], 0);
		sim_run(s.sim, STAR_WAY_NS);
		assert_int_equal(sim_take_id(s.b), 77);
	}
	star_free(&s);
}

static void test_ecn_goes_out_and_congestion_comes_in(void **state)
{
	(void)state;
	struct star s = star_new(1, 5);
	uint8_t packet[SIM_PACKET_BYTES_MAX], got[SIM_PACKET_BYTES_MAX];

	for (int i = 0; i < 2; i++) {
		uint32_t len = star_udp(&s, s.a, s.b, families[i], packet, 30);

		for (uint8_t ecn = 0; ecn < 4; ecn++) {
			if (i == 0)
				packet[1] = 0xb8 | ecn; /* with a DSCP, which stays inside */
			else
				packet[1] = (uint8_t)(ecn << 4);
			sim_ip_mend(packet);
			star_send(&s, s.a, packet, len);
			assert_int_equal(sim_last(s.sim, s.a, WIRE_DATA)->ecn, ecn);
			assert_int_equal(sim_last(s.sim, s.hub, WIRE_DATA)->ecn, ecn);
			assert_int_equal(sim_take(s.b, got), len);
			expect_hop(packet);
			assert_memory_equal(got, packet, len);
			packet[i == 0 ? 8 : 7]++;
		}
		for (uint8_t ecn = 0; ecn < 4; ecn++) { /* a router on the way marks the outer */
			struct sim_datagram d;

			packet[1] = i == 0 ? ecn : (uint8_t)(ecn << 4);
			sim_ip_mend(packet);
			pair_filter(&(struct pair){.sim = s.sim}, pair_drop_from, s.a);
			sim_tun_send(s.a, packet, len);
			pair_filter(&(struct pair){.sim = s.sim}, NULL, NULL);
			d = *sim_last(s.sim, s.a, WIRE_DATA);
			d.ecn = 3;
			sim_replay(s.hub, &d);
			sim_run(s.sim, STAR_WAY_NS);
			assert_int_equal(sim_take(s.b, got), len);
			assert_int_equal(i == 0 ? got[1] : got[1] >> 4 & 3, ecn ? 3 : 0);
			sim_udp_id(got, len); /* checksums are right */
		}
	}
	star_free(&s);
}

static void test_packets_wait_for_a_peer_without_session_and_keep_their_order(void **state)
{
	(void)state;
	struct star s = star_new(1, 6);

	sim_change_peer(s.hub, s.b,
		(struct wgh_peer_change){.flags = WGH_PEER_HAS_ENDPOINT, .endpoint = s.b->outer});
	sim_run(s.sim, 200 * NS_PER_S); /* all keys are too old */
	star_forget(&s);
	for (uint32_t id = 1; id <= 20; id++)
		sim_send4(s.a, s.b, id);
	sim_run(s.sim, NS_PER_S);
	for (uint32_t id = 1; id <= 20; id++)
		assert_int_equal(sim_take_id(s.b), id);
	assert_int_equal(sim_count(s.sim, s.hub, WIRE_INITIATION), 1); /* of its own */
	star_free(&s);
}

static void test_peer_that_is_gone_costs_its_packets_only(void **state)
{
	(void)state;
	struct star s = star_new(1, 7);

	pair_filter(&(struct pair){.sim = s.sim}, pair_drop_from, s.b);
	sim_run(s.sim, 200 * NS_PER_S);
	sim_send4(s.a, s.c, 900);
	sim_run(s.sim, NS_PER_S);
	assert_int_equal(sim_take_id(s.c), 900);
	for (uint32_t id = 1; id <= 300; id++) {
		sim_send4(s.a, s.b, id);
		sim_send4(s.a, s.c, id);
		sim_run(s.sim, 100 * NS_PER_MS);
		assert_int_equal(sim_take_id(s.c), id);
	}
	sim_run(s.sim, 120 * NS_PER_S);
	assert_int_equal(s.hub->n_events[WGH_EVENT_HANDSHAKE_GIVEUP], 1);
	assert_int_equal(sim_drops(s.hub, DROP_STAGED_FULL), 300 - STAGED_PACKETS_PER_PEER);
	assert_int_equal(sim_drops(s.hub, DROP_STAGED_EXPIRED), STAGED_PACKETS_PER_PEER);
	assert_int_equal(s.hub->hub->staged_bytes, 0);
	star_free(&s);
}

static void test_waiting_packets_of_all_peers_are_bounded_together(void **state)
{
	(void)state;
	struct sim *sim = sim_new(8);
	struct sim_hub *hub = sim_hub_new(sim, true, 1), *ghost = sim_hub_new(sim, true, 1);
	const struct x25519_secret base = ghost->secret;
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	struct wgh_stats stats = {.size = sizeof stats};

	/* 120 peers that never answer, 128 packets of 1400 bytes for each: 21 MB. */
	for (uint8_t i = 0; i < 120; i++) {
		struct wgh_addr dst = sim_addr4(10, 8, i, 1);
		struct wgh_allowed_ip ip = {.prefix = sim_prefix(dst, 32)};
		struct x25519_secret secret = base;

		secret.bytes[5] ^= i;
		sim_set_secret(ghost, &secret);
		sim_change_peer(hub, ghost,
			(struct wgh_peer_change){.flags = WGH_PEER_HAS_ENDPOINT,
				.endpoint = sim_endpoint4(198, 51, 100, i, 9),
				.allowed_ips = &ip,
				.n_allowed_ips = 1});
		for (uint32_t n = 0; n < STAGED_PACKETS_PER_PEER; n++)
			sim_tun_send(hub, packet, sim_udp(packet, &hub->inner4, &dst, n, 1372));
		assert_true(hub->hub->staged_bytes <= STAGED_BYTES_TOTAL);
	}
	assert_true(hub->hub->staged_bytes > STAGED_BYTES_TOTAL - 2000);
	assert_int_equal(hub_stats(hub->hub, &stats), 0);
	assert_int_equal(stats.staged_bytes, hub->hub->staged_bytes);
	assert_int_equal(stats.staged_max_bytes, STAGED_BYTES_TOTAL);
	assert_true(sim_drops(hub, DROP_STAGED_FULL) > 1000);
	sim_check(hub);
	sim_run(sim, 200 * NS_PER_S);
	assert_int_equal(hub->hub->staged_bytes, 0);
	sim_check(hub);
	sim_free(sim);
}

static void test_random_traffic_adds_up_with_workers_and_a_late_control_side(void **state)
{
	(void)state;
	struct star s = star_new(3, 9);
	uint64_t n_sent = 0, n_arrived = 0;

	s.sim->record = false;
	for (unsigned i = 0; i < s.sim->n_hubs; i++)
		s.sim->hubs[i]->run_delay_max_ns = 3 * NS_PER_MS;
	for (uint32_t id = 1; id < 20000; id++) {
		struct sim_hub *from = s.sim->hubs[1 + rng_below(&s.sim->rng, 3)];
		struct sim_hub *to = s.sim->hubs[1 + rng_below(&s.sim->rng, 3)];

		(id & 1 ? sim_send4 : sim_send6)(from, to, id);
		n_sent += from != to;
		sim_run(s.sim, rng_below(&s.sim->rng, 60 * NS_PER_MS));
		for (int i = 1; i < 4; i++)
			for (uint32_t got; (got = sim_take_id(s.sim->hubs[i])) != 0;)
				n_arrived++;
		if (id % 64 == 0)
			sim_check(s.hub);
	}
	sim_run(s.sim, NS_PER_S);
	for (int i = 1; i < 4; i++)
		n_arrived += sim_n_taken_left(s.sim->hubs[i]);
	assert_int_equal(n_arrived, n_sent); /* four renewals of each key, and nothing lost */
	star_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packet_is_forwarded_in_its_own_buffer),
		cmocka_unit_test(test_only_ttl_and_header_checksum_change),
		cmocka_unit_test(test_order_within_each_pair_is_kept_through_batches),
		cmocka_unit_test(test_padding_of_the_sender_is_not_passed_on),
		cmocka_unit_test(test_ecn_goes_out_and_congestion_comes_in),
		cmocka_unit_test(test_packets_wait_for_a_peer_without_session_and_keep_their_order),
		cmocka_unit_test(test_peer_that_is_gone_costs_its_packets_only),
		cmocka_unit_test(test_waiting_packets_of_all_peers_are_bounded_together),
		cmocka_unit_test(test_random_traffic_adds_up_with_workers_and_a_late_control_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
