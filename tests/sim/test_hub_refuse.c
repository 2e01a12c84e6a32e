/* A hub between three peers: what does not pass, and what the sender is told about it. */
#include "tests/lib/naive.h"
#include "tests/sim/star.h"

#include <string.h>

static const enum wgh_family families[2] = {WGH_IPV4, WGH_IPV6};

/* The one packet at h is this error from the hub about that packet. Zero: none came. */
static void expect_error(struct star *s, struct sim_hub *h, const uint8_t *about,
	uint32_t about_len, uint8_t type, uint8_t code)
{
	uint8_t got[SIM_PACKET_BYTES_MAX];
	uint32_t len = sim_take(h, got);
	bool v4 = about[0] >> 4 == 4;
	uint32_t header = v4 ? 20 : 40, most = v4 ? 576 : 1280;
	uint32_t quote = about_len < most - header - 8 ? about_len : most - header - 8;

	assert_int_equal(len, header + 8 + quote);
	assert_true(sim_icmp_ok(got, len));
	assert_int_equal(got[header], type);
	assert_int_equal(got[header + 1], code);
	assert_memory_equal(got + header + 8, about, quote);
	if (v4) {
		assert_memory_equal(got + 12, s->hub->inner4.bytes, 4);
		assert_memory_equal(got + 16, about + 12, 4);
	} else {
		assert_memory_equal(got + 8, s->hub->inner6.bytes, 16);
		assert_memory_equal(got + 24, about + 8, 16);
	}
	assert_int_equal(sim_n_taken_left(h), 0);
}

static void expect_nothing(struct star *s)
{
	for (unsigned i = 1; i < s->sim->n_hubs; i++)
		assert_int_equal(sim_n_taken_left(s->sim->hubs[i]), 0);
}

static void test_used_up_ttl_is_answered_by_time_exceeded(void **state)
{
	(void)state;
	struct star s = star_new(1, 1);
	uint8_t packet[SIM_PACKET_BYTES_MAX];

	for (int i = 0; i < 2; i++)
		for (uint8_t ttl = 0; ttl < 3; ttl++) {
			for (uint32_t payload = 4; payload < 1400; payload += 400) {
				uint32_t len = star_udp(&s, s.a, s.b, families[i], packet, payload);

				packet[i ? 7 : 8] = ttl;
				sim_ip_mend(packet);
				star_send(&s, s.a, packet, len);
				if (ttl < 2)
					expect_error(&s, s.a, packet, len, i ? 3 : 11, 0);
				else
					assert_int_equal(sim_take_id(s.b), 77);
				expect_nothing(&s);
				sim_run(s.sim, NS_PER_S); /* rate limit */
			}
		}
	assert_int_equal(sim_drops(s.hub, DROP_TTL), 16);
	assert_int_equal(relaxed_get(&sim_peer(s.hub, s.a)->drops[DROP_TTL]), 16);
	star_free(&s);
}

static void test_destination_of_nobody_is_unreachable(void **state)
{
	(void)state;
	struct star s = star_new(1, 2);
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	struct wgh_addr dst4 = sim_addr4(10, 99, 0, 1);
	struct wgh_addr dst6 = {.bytes = {0x20, 1, [15] = 1}, .family = WGH_IPV6};
	uint32_t len = sim_udp(packet, &s.a->inner4, &dst4, 1, 30);

	star_send(&s, s.a, packet, len);
	expect_error(&s, s.a, packet, len, 3, 1);
	len = sim_udp(packet, &s.a->inner6, &dst6, 1, 30);
	star_send(&s, s.a, packet, len);
	expect_error(&s, s.a, packet, len, 1, 3);
	assert_int_equal(sim_drops(s.hub, DROP_NO_ROUTE), 2);
	star_free(&s);
}

static void test_peer_without_endpoint_is_unreachable(void **state)
{
	(void)state;
	struct star s = star_new(1, 3);
	struct sim_hub *d = sim_hub_new(s.sim, true, 1);
	uint8_t packet[SIM_PACKET_BYTES_MAX];

	sim_add_peer(s.hub, d, false);
	for (int i = 0; i < 2; i++) {
		uint32_t len = star_udp(&s, s.a, d, families[i], packet, 30);

		star_send(&s, s.a, packet, len);
		expect_error(&s, s.a, packet, len, i ? 1 : 3, i ? 3 : 1);
	}
	assert_int_equal(relaxed_get(&sim_peer(s.hub, d)->drops[DROP_NO_ENDPOINT]), 2);
	star_join(s.hub, d, false); /* d comes: from now on it is reached */
	sim_set_keepalive(d, s.hub, 25);
	sim_run(s.sim, NS_PER_S);
	sim_send4(s.a, d, 5);
	sim_run(s.sim, STAR_WAY_NS);
	assert_int_equal(sim_take_id(d), 5);
	star_free(&s);
}

static void test_packet_over_the_mtu_is_told_its_size(void **state)
{
	(void)state;
	struct star s = star_new(1, 4);
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	uint32_t len;

	assert_int_equal(hub_set_mtu(s.a->hub, 1500), 0);
	assert_int_equal(hub_set_mtu(s.b->hub, 1500), 0);
	for (int i = 0; i < 2; i++) {
		uint32_t header = i ? 48 : 28;

		len = star_udp(&s, s.a, s.b, families[i], packet, 1420 - header);
		star_send(&s, s.a, packet, len);
		assert_int_equal(sim_take_id(s.b), 77);
		len = star_udp(&s, s.a, s.b, families[i], packet, 1421 - header);
		pair_filter(&(struct pair){.sim = s.sim}, NULL, NULL);
		star_send(&s, s.a, packet, len);
		{
			uint8_t got[SIM_PACKET_BYTES_MAX];
			uint32_t at = i ? 40 + 4 : 20 + 6, got_len = sim_take(s.a, got);

			assert_true(sim_icmp_ok(got, got_len));
			assert_int_equal(got[i ? 40 : 20], i ? 2 : 3);
			assert_int_equal(got[i ? 41 : 21], i ? 0 : 4);
			assert_int_equal(
				i ? got[at + 2] << 8 | got[at + 3] : got[at] << 8 | got[at + 1],
				1420);
		}
		expect_nothing(&s);
	}
	/* May be fragmented: passes in an outer packet that may be fragmented. */
	len = star_udp(&s, s.a, s.b, WGH_IPV4, packet, 1450 - 28);
	packet[6] = 0;
	sim_ip_mend(packet);
	star_send(&s, s.a, packet, len);
	assert_int_equal(sim_take_id(s.b), 77);
	assert_int_equal(sim_drops(s.hub, DROP_TOO_BIG), 2);
	star_free(&s);
}

static void test_hub_without_tun_answers_ping_and_nothing_else(void **state)
{
	(void)state;
	struct star s = star_new(1, 5);
	uint8_t packet[SIM_PACKET_BYTES_MAX], got[SIM_PACKET_BYTES_MAX];

	for (int i = 0; i < 2; i++) {
		const struct wgh_addr *me = i ? &s.a->inner6 : &s.a->inner4;
		const struct wgh_addr *hub = i ? &s.hub->inner6 : &s.hub->inner4;
		uint32_t header = i ? 40 : 20, len;

		for (uint32_t data = 0; data < 1300; data += 321) {
			len = sim_echo(packet, me, hub, data);
			star_send(&s, s.a, packet, len);
			assert_int_equal(sim_take(s.a, got), len);
			assert_true(sim_icmp_ok(got, len));
			assert_int_equal(got[header], i ? 129 : 0);
			assert_int_equal(got[i ? 7 : 8], 64);
			assert_memory_equal(got + header + 4, packet + header + 4, 4 + data);
			assert_memory_equal(got + (i ? 8 : 12), packet + (i ? 24 : 16), i ? 16 : 4);
			assert_memory_equal(got + (i ? 24 : 16), packet + (i ? 8 : 12), i ? 16 : 4);
		}
		len = sim_udp(packet, me, hub, 1, 50);
		packet[i ? 7 : 8] = 1; /* packets for the hub itself are not hops */
		sim_ip_mend(packet);
		star_send(&s, s.a, packet, len);
		expect_error(&s, s.a, packet, len, i ? 1 : 3, i ? 4 : 3);
	}
	assert_int_equal(sim_drops(s.hub, DROP_NO_HOST), 2);
	expect_nothing(&s);
	star_free(&s);
}

static void test_source_of_another_is_refused(void **state)
{
	(void)state;
	struct star s = star_new(1, 6);
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	struct wgh_addr wide = sim_addr4(10, 1, 0, 0), inside = sim_addr4(10, 1, 2, 3);
	struct wgh_addr wide6 = {.bytes = {0xfd, 1}, .family = WGH_IPV6}, inside6 = wide6;
	uint64_t n = 0;

	inside6.bytes[7] = 1;
	sim_add_prefix(s.hub, s.a, sim_prefix(wide, 16));
	sim_add_prefix(s.hub, s.a, sim_prefix(wide6, 32));
	star_send(&s, s.a, packet, sim_udp(packet, &inside, &s.b->inner4, 1, 9));
	star_send(&s, s.a, packet, sim_udp(packet, &inside6, &s.b->inner6, 2, 9));
	assert_int_equal(sim_take_id(s.b), 1);
	assert_int_equal(sim_take_id(s.b), 2);
	/* The same sources, once a more specific prefix is c's. */
	sim_add_prefix(s.hub, s.c, sim_prefix(inside, 24));
	sim_add_prefix(s.hub, s.c, sim_prefix(inside6, 64));
	const struct wgh_addr wrong[] = {inside, inside6, s.b->inner4, s.b->inner6, s.c->inner4,
		s.hub->inner4, s.hub->inner6, sim_addr4(9, 9, 9, 9)};

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		bool v4 = wrong[i].family == WGH_IPV4;

		star_send(&s, s.a, packet,
			sim_udp(packet, &wrong[i], v4 ? &s.b->inner4 : &s.b->inner6, 3, 9));
		assert_int_equal(sim_drops(s.hub, DROP_SOURCE), ++n);
		star_send(&s, s.a, packet, /* ping is no exception */
			sim_echo(packet, &wrong[i], v4 ? &s.hub->inner4 : &s.hub->inner6, 9));
		assert_int_equal(sim_drops(s.hub, DROP_SOURCE), ++n);
	}
	expect_nothing(&s); /* and no error tells anybody */
	star_free(&s);
}

static void test_addresses_no_router_forwards_are_refused(void **state)
{
	(void)state;
	struct star s = star_new(1, 7);
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	struct wgh_addr any6 = {.family = WGH_IPV6};
	const struct {
		struct wgh_addr addr;
		enum drop as_destination;
	} cases[] = {
		{sim_addr4(0, 1, 2, 3), DROP_MARTIAN},
		{sim_addr4(127, 0, 0, 1), DROP_MARTIAN},
		{sim_addr4(169, 254, 1, 1), DROP_MARTIAN},
		{sim_addr4(224, 0, 0, 251), DROP_MULTICAST},
		{sim_addr4(239, 255, 255, 250), DROP_MULTICAST},
		{sim_addr4(240, 0, 0, 1), DROP_MARTIAN},
		{sim_addr4(255, 255, 255, 255), DROP_BROADCAST},
		{sim_addr4(10, 0, 0, 255), DROP_BROADCAST},
		{any6, DROP_MARTIAN},
		{{.bytes = {[15] = 1}, .family = WGH_IPV6}, DROP_MARTIAN},
		{{.bytes = {0xfe, 0x80, [15] = 9}, .family = WGH_IPV6}, DROP_MARTIAN},
		{{.bytes = {0xff, 0x02, [15] = 1}, .family = WGH_IPV6}, DROP_MULTICAST},
		{{.bytes = {[10] = 0xff, [11] = 0xff, [12] = 10}, .family = WGH_IPV6},
			DROP_MARTIAN},
	};

	/* b does not know that 10.0.0.255 is a broadcast address. */
	assert_int_equal(hub_set_addresses(s.b->hub, NULL, 0), 0);
	/* Also where a peer's prefix covers them. */
	sim_add_prefix(s.hub, s.a, sim_prefix(sim_addr4(0, 0, 0, 0), 0));
	sim_add_prefix(s.hub, s.a, sim_prefix(any6, 0));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bool v4 = cases[i].addr.family == WGH_IPV4;
		const struct wgh_addr *b = v4 ? &s.b->inner4 : &s.b->inner6;
		uint64_t before = sim_drops(s.hub, cases[i].as_destination);
		uint64_t refused = star_forwarded(&s);

		star_send(&s, s.b, packet, sim_udp(packet, b, &cases[i].addr, 3, 9));
		assert_int_equal(sim_drops(s.hub, cases[i].as_destination), before + 1);
		star_send(&s, s.a, packet, sim_udp(packet, &cases[i].addr, b, 3, 9));
		assert_int_equal(star_forwarded(&s), refused);
		sim_run(s.sim, NS_PER_S);
	}
	expect_nothing(&s);
	star_free(&s);
}

static void test_land_hairpin_and_source_routes_are_refused(void **state)
{
	(void)state;
	struct star s = star_new(1, 8);
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	struct wgh_addr other = sim_addr4(10, 5, 0, 1);
	uint32_t len;

	sim_add_prefix(s.hub, s.a, sim_prefix(other, 32));
	star_send(&s, s.a, packet, sim_udp(packet, &s.a->inner4, &other, 1, 40));
	assert_int_equal(sim_drops(s.hub, DROP_HAIRPIN), 1);
	star_send(&s, s.a, packet, sim_udp(packet, &other, &other, 1, 40));
	assert_int_equal(sim_drops(s.hub, DROP_LAND), 1);
	/* Loose source route, in the room of the UDP header. */
	len = sim_udp(packet, &s.a->inner4, &s.b->inner4, 1, 40);
	packet[0] = 0x47;
	memcpy(packet + 20, (uint8_t[]){131, 7, 4, 10, 0, 0, 9, 0}, 8);
	sim_ip_mend(packet);
	star_send(&s, s.a, packet, len);
	assert_int_equal(sim_drops(s.hub, DROP_SOURCE_ROUTE), 1);
	packet[20] = 7; /* record route passes */
	sim_ip_mend(packet);
	star_send(&s, s.a, packet, len);
	assert_int_equal(sim_take(s.b, packet), len);
	expect_nothing(&s);
	star_free(&s);
}

static void test_broken_inner_headers_are_refused(void **state)
{
	(void)state;
	struct star s = star_new(1, 9);
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	uint32_t len = sim_udp(packet, &s.a->inner4, &s.b->inner4, 1, 40);

	/* A host's own TUN would not let these out. */
	const struct {
		uint32_t at, value, plain_bytes;
		enum drop reason;
	} cases[] = {
		{0, 0x55, len, DROP_INNER_VERSION},
		{0, 0x44, len, DROP_INNER_HEADER}, /* a header of 16 bytes */
		{3, 19, len, DROP_INNER_HEADER}, /* shorter than its header */
		{3, (uint8_t)(len + 1), len, DROP_INNER_SHORT},
		{11, 0x99, len, DROP_INNER_HEADER}, /* the checksum */
		{0, 0x45, 19, DROP_INNER_SHORT},
		{0, 0x65, 39, DROP_INNER_SHORT},
		{0, 0x45, 1, DROP_INNER_SHORT},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t before = sim_drops(s.hub, cases[i].reason);
		uint8_t whole = packet[cases[i].at];

		packet[cases[i].at] = (uint8_t)cases[i].value;
		star_inject_plain(s.a, s.hub, packet, cases[i].plain_bytes);
		packet[cases[i].at] = whole;
		assert_int_equal(sim_drops(s.hub, cases[i].reason), before + 1);
	}
	sim_run(s.sim, NS_PER_S);
	expect_nothing(&s);
	star_free(&s);
}

static void test_errors_are_not_answered_by_errors(void **state)
{
	(void)state;
	struct star s = star_new(1, 10);
	uint8_t packet[SIM_PACKET_BYTES_MAX], error[SIM_PACKET_BYTES_MAX];
	uint32_t len;

	for (int i = 0; i < 2; i++) {
		len = star_udp(&s, s.a, s.b, families[i], packet, 30);
		packet[i ? 7 : 8] = 1;
		sim_ip_mend(packet);
		star_send(&s, s.a, packet, len);
		len = sim_take(s.a, error);
		/* Back to b, as an error of a's own making, with no hop left. */
		memcpy(error + (i ? 8 : 12), (i ? s.a->inner6 : s.a->inner4).bytes, i ? 16 : 4);
		memcpy(error + (i ? 24 : 16), (i ? s.b->inner6 : s.b->inner4).bytes, i ? 16 : 4);
		error[i ? 7 : 8] = 1;
		sim_ip_mend(error);
		star_send(&s, s.a, error, len);
	}
	assert_int_equal(sim_drops(s.hub, DROP_TTL), 4);
	expect_nothing(&s);
	/* Nor is a fragment other than the first. */
	len = star_udp(&s, s.a, s.b, WGH_IPV4, packet, 64);
	put16(packet + 6, 100); /* offset 800 */
	packet[8] = 1;
	sim_ip_mend(packet);
	star_send(&s, s.a, packet, len);
	assert_int_equal(sim_drops(s.hub, DROP_TTL), 5);
	expect_nothing(&s);
	star_free(&s);
}

static void test_errors_are_few_for_each_peer(void **state)
{
	(void)state;
	struct star s = star_new(1, 11);
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	uint32_t len = star_udp(&s, s.a, s.b, WGH_IPV4, packet, 30);
	size_t n;

	packet[8] = 1;
	sim_ip_mend(packet);
	for (int i = 0; i < 1000; i++) { /* a thousand in 5 s */
		sim_tun_send(s.a, packet, len);
		sim_run(s.sim, 5 * NS_PER_MS);
	}
	n = sim_n_taken_left(s.a);
	assert_in_range(n, 50, 65); /* ten a second and a burst of ten */
	len = star_udp(&s, s.c, s.b, WGH_IPV4, packet, 30);
	packet[8] = 1;
	sim_ip_mend(packet);
	star_send(&s, s.c, packet, len);
	assert_int_equal(sim_n_taken_left(s.c), 1); /* c has its own allowance */
	star_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_used_up_ttl_is_answered_by_time_exceeded),
		cmocka_unit_test(test_destination_of_nobody_is_unreachable),
		cmocka_unit_test(test_peer_without_endpoint_is_unreachable),
		cmocka_unit_test(test_packet_over_the_mtu_is_told_its_size),
		cmocka_unit_test(test_hub_without_tun_answers_ping_and_nothing_else),
		cmocka_unit_test(test_source_of_another_is_refused),
		cmocka_unit_test(test_addresses_no_router_forwards_are_refused),
		cmocka_unit_test(test_land_hairpin_and_source_routes_are_refused),
		cmocka_unit_test(test_broken_inner_headers_are_refused),
		cmocka_unit_test(test_errors_are_not_answered_by_errors),
		cmocka_unit_test(test_errors_are_few_for_each_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
