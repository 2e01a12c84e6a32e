/* Devices that nobody touched: they take packets from the hub's own address only, and send to it
 * only. What reaches them, what comes back, and that they open nothing. With and without TUN, in
 * both families. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/talk.h"

/* Says it, and at the device it is the hub's; its port. */
static uint16_t port_at(unsigned device, unsigned sender, struct transport t, uint16_t dst_port)
{
	struct heard h;

	say(sender, t);
	assert_true(heard_by(device, &h));
	assert_int_equal(h.src, HUB);
	return must_hear(device, HUB, h.src_port, device, dst_port).src_port;
}

static bool in_range(uint16_t port)
{
	return port >= NAT_PORT_FIRST;
}

static void test_decide_nat_shows_a_device_the_hub_and_brings_the_answer_back(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		struct heard h;

		say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN));
		h = must_hear(
			DEVICE, HUB, 40000, DEVICE, 22); /* no TUN: nobody else has the port */
		assert_int_equal(h.ttl, 62);
		say(DEVICE, tcp(DEVICE, 22, HUB, 40000, SYNACK));
		h = must_hear(CLIENT, DEVICE, 22, CLIENT, 40000);
		assert_int_equal(h.ttl, 62);
		say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
		must_hear(DEVICE, HUB, 5000, DEVICE, 53);
		say(DEVICE, udp(DEVICE, 53, HUB, 5000));
		must_hear(CLIENT, DEVICE, 53, CLIENT, 5000);
	}
	must_count(DROP_NONE);
	assert_int_equal(talk_flows(), 4);
}

static void test_decide_nat_of_a_hub_with_a_tun_leaves_the_hosts_ports_alone(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		uint16_t port = port_at(DEVICE, CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN), 22);

		assert_true(in_range(port));
		say(HUB, tcp(HUB, 40000, DEVICE, 22, SYN));
		must_hear(DEVICE, HUB, 40000, DEVICE, 22);
		say(DEVICE, tcp(DEVICE, 22, HUB, 40000, SYNACK));
		must_hear(HUB, DEVICE, 22, HUB, 40000);
		say(DEVICE, tcp(DEVICE, 22, HUB, port, SYNACK));
		must_hear(CLIENT, DEVICE, 22, CLIENT, 40000);
	}
	must_count(DROP_NONE);
}

/* Also where the host uses a port that it should not. */
static void test_decide_nat_gives_the_host_another_port_where_its_own_is_taken(void **state)
{
	uint16_t port, of_host;

	(void)state;
	port = port_at(DEVICE, CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN), 22);
	of_host = port_at(DEVICE, HUB, tcp(HUB, port, DEVICE, 22, SYN), 22);
	assert_int_not_equal(of_host, port);
	say(DEVICE, tcp(DEVICE, 22, HUB, of_host, SYNACK));
	must_hear(HUB, DEVICE, 22, HUB, port);
	say(DEVICE, tcp(DEVICE, 22, HUB, port, SYNACK));
	must_hear(CLIENT, DEVICE, 22, CLIENT, 40000);
}

static void test_decide_nat_keeps_two_clients_with_one_port_apart(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		uint16_t first = port_at(DEVICE, CLIENT, udp(CLIENT, 5000, DEVICE, 53), 53);
		uint16_t second = port_at(DEVICE, CLIENT2, udp(CLIENT2, 5000, DEVICE, 53), 53);

		assert_int_not_equal(first, second);
		say(DEVICE, udp(DEVICE, 53, HUB, second));
		must_hear(CLIENT2, DEVICE, 53, CLIENT2, 5000);
		say(DEVICE, udp(DEVICE, 53, HUB, first));
		must_hear(CLIENT, DEVICE, 53, CLIENT, 5000);
		/* And a device answers for itself only. */
		say(DEVICE2, udp(DEVICE2, 53, HUB, first));
		must_count(in_range(first) ? DROP_NO_FLOW : DROP_POLICY);
	}
}

static void test_decide_nat_of_pings_goes_by_their_identifier(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		uint16_t first = port_at(DEVICE, CLIENT, echo(CLIENT, 7, DEVICE), 0);
		uint16_t second = port_at(DEVICE, CLIENT2, echo(CLIENT2, 7, DEVICE), 0);
		struct transport answer =
			transport_reverse(&(struct transport){.kind = TRANSPORT_ECHO_REQUEST,
				.src = echo(HUB, 0, DEVICE).src,
				.dst = echo(HUB, 0, DEVICE).dst});

		assert_int_not_equal(first, second);
		answer.dst_port = second;
		say(DEVICE, answer);
		must_hear(CLIENT2, DEVICE, 0, CLIENT2, 7);
		answer.dst_port = first;
		say(DEVICE, answer);
		must_hear(CLIENT, DEVICE, 0, CLIENT, 7);
		answer.dst_port = 1;
		say(DEVICE, answer);
		must_be_silent();
		must_count(DROP_NO_FLOW);
	}
}

static void test_decide_nat_translates_errors_and_what_they_quote(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		const uint8_t type = family == WGH_IPV4 ? 3 : 1, code = family == WGH_IPV4 ? 3 : 4;
		const uint32_t header = family == WGH_IPV4 ? 20 : 40;
		uint8_t quoted[TRANSPORT_BYTES_MAX], error[TRANSPORT_BYTES_MAX];
		struct transport seen = udp(HUB, 0, DEVICE, 53);
		struct ip_info about;
		struct heard h;

		seen.src_port = port_at(DEVICE, CLIENT, udp(CLIENT, 5000, DEVICE, 53), 53);
		say_bytes(DEVICE, error,
			transport_error_build(error, &seen.dst, &seen.src, type, code, quoted,
				transport_build(quoted, &seen)));
		h = must_hear(CLIENT, DEVICE, 0, CLIENT, 0);
		assert_int_equal(h.icmp_type, type);
		assert_int_equal(ip_parse(&about, h.packet + header + 8, h.len_bytes - header - 8),
			DROP_NONE);
		assert_int_equal(about.src.bytes[family == WGH_IPV4 ? 3 : 15], CLIENT);
		assert_int_equal(about.dst.bytes[family == WGH_IPV4 ? 3 : 15], DEVICE);
		assert_int_equal(
			h.packet[header + 8 + header] << 8 | h.packet[header + 8 + header + 1],
			5000);
		seen.src_port++;
		say_bytes(DEVICE, error,
			transport_error_build(error, &seen.dst, &seen.src, type, code, quoted,
				transport_build(quoted, &seen)));
		must_be_silent();
		must_count(DROP_NO_FLOW);
	}
}

/* As the sender knows its packet. */
static void test_decide_nat_answers_the_sender_about_its_own_packet(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		struct transport t = udp(CLIENT, 5000, DEVICE, 53);
		const uint32_t header = family == WGH_IPV4 ? 20 : 40;
		struct heard h;

		t.ttl = 1;
		say(CLIENT, t);
		must_be_told(CLIENT, ICMP_TIME_EXCEEDED);
		must_count(DROP_TTL);
		assert_true(heard_by(CLIENT, &h));
		assert_int_equal(
			h.packet[header + 8 + header] << 8 | h.packet[header + 8 + header + 1],
			5000);
		t = udp(DEVICE, 53, HUB, 5000);
		t.ttl = 1;
		say(DEVICE, t);
		must_be_told(DEVICE, ICMP_TIME_EXCEEDED);
		must_count(DROP_TTL);
	}
}

static void test_decide_nat_carries_fragments_under_one_identification(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		uint8_t packet[TRANSPORT_BYTES_MAX], piece[TRANSPORT_BYTES_MAX];
		const unsigned clients[2] = {CLIENT, CLIENT2};
		uint8_t ids[2][4];
		struct heard h;
		uint32_t len;

		for (int c = 0; c < 2; c++) { /* the same identification from both */
			struct transport t = udp(clients[c], 5000, DEVICE, 53);
			const uint32_t whole =
				(t.payload_bytes = 1200, transport_build(packet, &t));

			for (uint32_t i = 0;
				(len = transport_fragment(piece, packet, whole, 77, 400, i)); i++) {
				const uint8_t *id;

				say_bytes(clients[c], piece, len);
				assert_true(heard_by(DEVICE, &h));
				assert_int_equal(h.src, HUB);
				id = h.packet + (family == WGH_IPV4 ? 4 : 44);
				if (!i)
					memcpy(ids[c], id, 4);
				assert_memory_equal(ids[c], id, family == WGH_IPV4 ? 2 : 4);
			}
		}
		assert_memory_not_equal(ids[0], ids[1], family == WGH_IPV4 ? 2 : 4);
		/* And back. */
		struct transport t = udp(DEVICE, 53, HUB, 5000);
		const uint32_t whole = (t.payload_bytes = 1200, transport_build(packet, &t));

		for (uint32_t i = 0; (len = transport_fragment(piece, packet, whole, 5, 400, i));
			i++) {
			say_bytes(DEVICE, piece, len);
			assert_true(heard_by(CLIENT, &h));
			assert_int_equal(h.src, DEVICE);
		}
		must_count(DROP_NONE);
	}
}

/* ---- what is refused ---- */

static void test_decide_nat_opens_nothing_for_a_device(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		fixture_advance(&f, 10 * NS_PER_S);
		say(DEVICE, tcp(DEVICE, 22, HUB, 62000, ACK)); /* of a hub that was restarted */
		must_be_reset(DEVICE, HUB, 62000);
		must_count(DROP_NO_FLOW);
		say(DEVICE, tcp(DEVICE, 22, HUB, 62000, SYN));
		must_be_reset(DEVICE, HUB, 62000);
		must_count(DROP_NO_FLOW);
		say(DEVICE, tcp(DEVICE, 22, HUB, 62000, RST));
		must_be_silent();
		must_count(DROP_NO_FLOW);
		say(DEVICE, udp(DEVICE, 22, HUB, 62000));
		must_be_silent();
		must_count(DROP_NO_FLOW);
		say(DEVICE, udp(DEVICE, 22, HUB, 60000));
		must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
		must_count(DROP_POLICY);
		/* Behind an open port, not beside it. */
		say(CLIENT, udp(CLIENT, 63000, DEVICE, 53));
		say(DEVICE, udp(DEVICE, 54, HUB, 63000));
		must_be_silent();
		must_count(DROP_NO_FLOW);
	}
}

static void test_decide_nat_resets_a_connection_that_nobody_knows_any_more(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, ACK));
		must_be_reset(CLIENT, DEVICE, 22);
		must_count(DROP_NO_FLOW);
		say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, RST));
		must_be_silent();
		must_count(DROP_NO_FLOW);
		port_at(DEVICE, CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN), 22); /* anew */
	}
}

static void test_decide_nat_refuses_other_protocols_and_says_so(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		uint8_t packet[TRANSPORT_BYTES_MAX];
		const struct transport t = udp(CLIENT, 1, DEVICE, 2);
		const uint32_t len = transport_build(packet, &t);

		packet[family == WGH_IPV4 ? 9 : 6] = 47; /* GRE */
		transport_checksums_set(packet, len);
		say_bytes(CLIENT, packet, len);
		must_be_told(CLIENT, ICMP_PROTOCOL_UNREACHABLE);
		must_count(DROP_NAT_PROTOCOL);
	}
}

static void test_decide_nat_runs_out_of_ports_and_says_so_by_its_counter(void **state)
{
	(void)state;
	policy.nat_port_first = 61000;
	policy.nat_port_last = 61003;
	talk_policy();
	for (uint16_t port = 1; port <= 5; port++) { /* below 1024: none is kept */
		say(CLIENT, tcp(CLIENT, port, DEVICE, 22, SYN));
		must_count(port <= 4 ? DROP_NONE : DROP_NAT_PORTS);
	}
	say(CLIENT, tcp(CLIENT, 5, DEVICE2, 22, SYN)); /* each device has all of them */
	must_count(DROP_NONE);
}

/* ---- forwards ---- */

static void forward(
	unsigned from_group, unsigned to, uint8_t proto, uint16_t port, uint16_t to_port)
{
	static struct wgh_forward only;

	only = (struct wgh_forward){.from = {WGH_PARTY_GROUP, (uint8_t)from_group},
		.to = remote_key(&talkers[to]),
		.proto = proto,
		.port = port,
		.to_port = to_port};
	policy.forwards = &only;
	policy.n_forwards = 1;
	talk_policy();
}

static void test_decide_forward_leads_a_device_to_a_client(void **state)
{
	(void)state;
	forward(WGH_GROUP_DEVICE, CLIENT, IP_PROTO_TCP, 8883, 1883);
	BOTH_FAMILIES
	{
		say(DEVICE, tcp(DEVICE, 40000, HUB, 8883, SYN));
		must_hear(CLIENT, DEVICE, 40000, CLIENT, 1883);
		say(CLIENT, tcp(CLIENT, 1883, DEVICE, 40000, SYNACK));
		must_hear(DEVICE, HUB, 8883, DEVICE, 40000);
		say(DEVICE, tcp(DEVICE, 40000, HUB, 8883, ACK));
		must_hear(CLIENT, DEVICE, 40000, CLIENT, 1883);
		must_count(DROP_NONE);
		/* Its port and protocol, and whom it is for. */
		say(DEVICE, tcp(DEVICE, 40000, HUB, 8884, SYN));
		must_count(DROP_POLICY);
		say(DEVICE, udp(DEVICE, 40000, HUB, 8883));
		must_count(DROP_POLICY);
		say(CLIENT2, tcp(CLIENT2, 40000, HUB, 8883, SYN));
		must_be_told(CLIENT2, ICMP_PORT_UNREACHABLE); /* the hub's host has no such port */
		must_count(DROP_NO_HOST);
		/* A connection from before the hub's time. */
		say(DEVICE, tcp(DEVICE, 40001, HUB, 8883, ACK));
		must_be_reset(DEVICE, HUB, 8883);
		must_count(DROP_NO_FLOW);
	}
}

static void test_decide_forward_leads_a_device_to_another_one(void **state)
{
	(void)state;
	forward(WGH_GROUP_DEVICE, DEVICE2, IP_PROTO_UDP, 5353, 53);
	BOTH_FAMILIES
	{
		say(DEVICE, udp(DEVICE, 40000, HUB, 5353));
		must_hear(DEVICE2, HUB, 40000, DEVICE2, 53);
		say(DEVICE2, udp(DEVICE2, 53, HUB, 40000));
		must_hear(DEVICE, HUB, 5353, DEVICE, 40000);
		must_count(DROP_NONE);
		say(DEVICE2, udp(DEVICE2, 53, HUB, 5353)); /* to itself */
		must_be_silent();
		must_count(DROP_HAIRPIN);
	}
}

static void test_decide_forward_that_is_taken_away_ends_its_flows(void **state)
{
	(void)state;
	forward(WGH_GROUP_DEVICE, CLIENT, IP_PROTO_TCP, 8883, 1883);
	say(DEVICE, tcp(DEVICE, 40000, HUB, 8883, SYN));
	talk_policy();
	assert_int_equal(talk_flows(), 1);
	policy.n_forwards = 0;
	talk_policy();
	assert_int_equal(talk_flows(), 0);
	say(CLIENT, tcp(CLIENT, 1883, DEVICE, 40000, SYNACK));
	must_be_reset(CLIENT, DEVICE, 40000);
}

static void test_decide_forward_to_a_peer_that_is_not_there_is_the_hosts(void **state)
{
	struct wgh_peer_change change = {
		.public_key = remote_key(&talkers[CLIENT]), .flags = WGH_PEER_REMOVE};

	(void)state;
	forward(WGH_GROUP_CLIENT, CLIENT, IP_PROTO_TCP, 8883, 1883);
	fixture_change_peer(&f, &change);
	say(CLIENT2, tcp(CLIENT2, 40000, HUB, 8883, SYN));
	must_be_told(CLIENT2, ICMP_PORT_UNREACHABLE);
	must_count(DROP_NO_HOST);
	remote_add(&f, &talkers[CLIENT]); /* back again */
	remote_connect(&f, &talkers[CLIENT]);
	say(CLIENT2, tcp(CLIENT2, 40000, HUB, 8883, SYN));
	must_hear(CLIENT, CLIENT2, 40000, CLIENT, 1883);
}

/* ---- for the life of a flow ---- */

static void test_decide_nat_that_is_switched_off_ends_what_was_translated(void **state)
{
	(void)state;
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
	say(CLIENT, udp(CLIENT, 5000, DEVICE2, 53));
	talk_set(DEVICE, WGH_PEER_HAS_NAT, 0, WGH_NAT_NEVER);
	assert_int_equal(talk_flows(), 1);
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
	must_hear(DEVICE, CLIENT, 5000, DEVICE, 53);
	talk_set(DEVICE, WGH_PEER_HAS_NAT, 0, WGH_NAT_ALWAYS);
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53)); /* as it began */
	must_hear(DEVICE, CLIENT, 5000, DEVICE, 53);
	say(CLIENT, udp(CLIENT, 5001, DEVICE, 53));
	must_hear(DEVICE, HUB, 5001, DEVICE, 53);
}

/* The client's address is another's now: that one gets no answers to what it did not ask. */
static void test_decide_nat_answer_does_not_follow_an_address_to_its_new_owner(void **state)
{
	struct wgh_allowed_ip ip = {.prefix = prefix4(10, 0, 0, CLIENT, 32)};
	struct wgh_peer_change change = {.public_key = remote_key(&talkers[CLIENT2]),
		.allowed_ips = &ip,
		.n_allowed_ips = 1};

	(void)state;
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
	fixture_change_peer(&f, &change);
	fixture_forget(&f);
	say(DEVICE, udp(DEVICE, 53, HUB, 5000));
	must_count(DROP_POLICY); /* as if nobody had asked */
	must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
	assert_int_equal(talk_flows(), 0);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_FLOW_END), 1);
}

static void test_decide_nat_log_tells_the_hubs_port(void **state)
{
	const struct wgh_flow *flow;

	(void)state;
	say(CLIENT, udp(CLIENT, 100, DEVICE, 53));
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_FLOW_BEGIN), 1);
	flow = &f.events[0].flow;
	assert_true(flow->translated);
	assert_true(in_range(flow->nat_port));
	assert_int_equal(flow->src_port, 100);
	must_hear(DEVICE, HUB, flow->nat_port, DEVICE, 53);
}

/* Every port of every address: what answers and what passes is what the policy allows, ping. */
static void test_decide_scan_of_a_device_finds_nothing(void **state)
{
	const unsigned targets[] = {HUB, CLIENT, DEVICE2, PROBE};

	(void)state;
	say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN)); /* others are at work */
	say(CLIENT2, udp(CLIENT2, 40000, DEVICE2, 53));
	policy.probe4 = (struct wgh_addr){{10, 0, 0, PROBE}, WGH_IPV4};
	talk_policy();
	for (unsigned t = 0; t < 4; t++)
		for (unsigned port = 1; port <= 65535; port += t ? 97 : 1) {
			struct heard h;

			for (int is_udp = 0; is_udp < 2; is_udp++) {
				say(DEVICE,
					is_udp ? udp(DEVICE, 50000, targets[t], (uint16_t)port)
					       : tcp(DEVICE, 50000, targets[t], (uint16_t)port,
							 SYN));
				assert_false(heard_by(HUB, &h));
				for (unsigned n = 1; n < TALKERS; n++)
					if (n != DEVICE)
						assert_false(heard_by(n, &h));
				if (heard_by(DEVICE, &h)) /* only refusals */
					assert_true(h.tcp_flags & TCP_RST || h.icmp_type == 3);
			}
		}
	say(DEVICE, echo(DEVICE, 1, HUB));
	must_hear(HUB, DEVICE, 1, HUB, 0);
	assert_int_equal(talk_flows(), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, talk_setup_nat, talk_teardown)
#define TEST_TUN(name) cmocka_unit_test_setup_teardown(name, talk_setup_nat_tun, talk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_decide_nat_shows_a_device_the_hub_and_brings_the_answer_back),
		TEST_TUN(test_decide_nat_of_a_hub_with_a_tun_leaves_the_hosts_ports_alone),
		TEST_TUN(test_decide_nat_gives_the_host_another_port_where_its_own_is_taken),
		TEST(test_decide_nat_keeps_two_clients_with_one_port_apart),
		TEST_TUN(test_decide_nat_keeps_two_clients_with_one_port_apart),
		TEST(test_decide_nat_of_pings_goes_by_their_identifier),
		TEST_TUN(test_decide_nat_of_pings_goes_by_their_identifier),
		TEST(test_decide_nat_translates_errors_and_what_they_quote),
		TEST_TUN(test_decide_nat_translates_errors_and_what_they_quote),
		TEST(test_decide_nat_answers_the_sender_about_its_own_packet),
		TEST(test_decide_nat_carries_fragments_under_one_identification),
		TEST(test_decide_nat_opens_nothing_for_a_device),
		TEST_TUN(test_decide_nat_opens_nothing_for_a_device),
		TEST(test_decide_nat_resets_a_connection_that_nobody_knows_any_more),
		TEST_TUN(test_decide_nat_resets_a_connection_that_nobody_knows_any_more),
		TEST(test_decide_nat_refuses_other_protocols_and_says_so),
		TEST(test_decide_nat_runs_out_of_ports_and_says_so_by_its_counter),
		TEST(test_decide_forward_leads_a_device_to_a_client),
		TEST(test_decide_forward_leads_a_device_to_another_one),
		TEST(test_decide_forward_that_is_taken_away_ends_its_flows),
		TEST(test_decide_forward_to_a_peer_that_is_not_there_is_the_hosts),
		TEST(test_decide_nat_that_is_switched_off_ends_what_was_translated),
		TEST(test_decide_nat_answer_does_not_follow_an_address_to_its_new_owner),
		TEST(test_decide_nat_log_tells_the_hubs_port),
		TEST_TUN(test_decide_scan_of_a_device_finds_nothing),
	};

	return cmocka_run_group_tests_name("decide_nat", tests, NULL, NULL);
}
