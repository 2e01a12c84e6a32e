/* Flows: what is found and translated, which ports, and how long each state lives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/flows.h"

/* ---- both directions ---- */

static void test_flow_translates_both_directions(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_TCP, CLIENT, 5000, DEVICE, 22);
	const struct flow_want want = masked(&key, DEVICE, SYN);
	struct flow_hit hit;
	uint8_t hub[16], client[16], device[16];

	(void)state;
	addr4(hub, 254);
	addr4(client, CLIENT);
	addr4(device, DEVICE);
	assert_false(find(&key, SYN, NULL));
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_true(hit.translated && flow_party_is(hit.to, party(DEVICE)));
	assert_memory_equal(hit.edit.src, hub, 16);
	assert_memory_equal(hit.edit.dst, device, 16);
	assert_in_range(hit.edit.src_port, 61000, 61009);
	assert_int_equal(hit.edit.dst_port, 22);

	const struct flow_key answer = answer_to(&key, &hit);

	assert_memory_equal(answer.dst, hub, 16);
	assert_true(find(&answer, SYNACK, &hit));
	assert_true(hit.translated && flow_party_is(hit.to, party(CLIENT)));
	assert_memory_equal(hit.edit.src, device, 16);
	assert_memory_equal(hit.edit.dst, client, 16);
	assert_int_equal(hit.edit.src_port, 22);
	assert_int_equal(hit.edit.dst_port, 5000);
}

static void test_flow_forwards_a_port_and_masks_the_source_too(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_TCP, DEVICE, 5000, 254, 8883);
	struct flow_want want = plain(&key, CLIENT, SYN);
	struct flow_hit hit, back;
	struct flow_key answer;

	(void)state;
	want.translates_dst = true;
	addr4(want.new_dst, CLIENT);
	want.new_dst_port = 1883;
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_int_equal(hit.edit.dst_port, 1883);
	assert_int_equal(hit.edit.src_port, 5000); /* its own address: its own port */
	assert_memory_equal(hit.edit.dst, want.new_dst, 16);
	assert_memory_equal(hit.edit.src, key.src, 16);
	answer = answer_to(&key, &hit);
	assert_true(find(&answer, SYNACK, &back));
	assert_int_equal(back.edit.src_port, 8883);
	assert_memory_equal(back.edit.src, key.dst, 16);

	/* To a stock device: the source is the hub's too. */
	want = masked(&key, DEVICE2, SYN);
	want.key.src_port = 5001;
	want.translates_dst = true;
	addr4(want.new_dst, DEVICE2);
	want.new_dst_port = 1883;
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_memory_equal(hit.edit.src, want.new_src, 16);
	assert_memory_equal(hit.edit.dst, want.new_dst, 16);
	assert_in_range(hit.edit.src_port, 61000, 61009);
}

static void test_flow_plain_needs_no_translation_and_knows_replies(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_UDP, CLIENT, 5000, DEVICE, 53);
	const struct flow_want want = plain(&key, DEVICE, 0);
	struct flow_key answer;
	struct flow_hit hit;

	(void)state;
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_false(hit.translated);
	answer = flow_key_reverse(&key, party(DEVICE));
	assert_true(find(&answer, 0, &hit));
	assert_false(hit.translated);
	assert_true(flow_party_is(hit.to, party(CLIENT)));
}

static void test_flow_works_the_same_for_ipv6(void **state)
{
	struct flow_key key = key_of(IP_PROTO_ICMPV6, CLIENT, 77, DEVICE, 0), answer;
	struct flow_want want;
	struct flow_hit hit;

	(void)state;
	key.family = WGH_IPV6;
	key.echo = FLOW_ECHO_REQUEST;
	key.src[15] = 1;
	key.dst[15] = 2;
	want = masked(&key, DEVICE, 0);
	want.new_src[15] = 3;
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_memory_equal(hit.edit.src, want.new_src, 16);
	answer = answer_to(&key, &hit);
	assert_int_equal(answer.echo, FLOW_ECHO_REPLY);
	assert_true(find(&answer, 0, &hit));
	assert_memory_equal(hit.edit.dst, key.src, 16);
	assert_int_equal(hit.edit.dst_port, 77);
	/* Every byte of an address counts. */
	for (int i = 0; i < 16; i++) {
		struct flow_key other = answer;
		other.src[i] ^= 1;
		assert_false(find(&other, 0, NULL));
	}
}

static void test_flow_belongs_to_the_peer_not_to_the_address(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_UDP, CLIENT, 5000, DEVICE, 53);
	const struct flow_want want = masked(&key, DEVICE, 0);
	struct flow_key answer = must_open(&want), moved = key;

	(void)state;
	assert_true(find(&key, 0, NULL));
	moved.from.serial++;
	assert_false(find(&moved, 0, NULL));
	assert_true(find(&answer, 0, NULL));
	answer.from.slot++;
	assert_false(find(&answer, 0, NULL));
}

static void test_flow_request_of_a_responder_is_no_reply(void **state)
{
	for (unsigned id = 61000; id < 61010; id++) {
		const struct flow_key key = key_of(IP_PROTO_ICMP, CLIENT, (uint16_t)id, DEVICE, 0);
		const struct flow_want want = masked(&key, DEVICE, 0);
		struct flow_key answer = must_open(&want);

		answer.echo = FLOW_ECHO_REQUEST;
		assert_false(find(&answer, 0, NULL));
		answer.src_port = answer.dst_port;
		answer.dst_port = 0;
		assert_false(find(&answer, 0, NULL));
	}
	(void)state;
}

/* ---- ports ---- */

static uint16_t port_for(const struct flow_want *want)
{
	return must_open(want).dst_port;
}

static void test_flow_keeps_a_port_of_the_range_where_it_is_free(void **state)
{
	const struct flow_key in = key_of(IP_PROTO_TCP, CLIENT, 61004, DEVICE, 22),
			      out = key_of(IP_PROTO_TCP, CLIENT, 60999, DEVICE, 22),
			      same = key_of(IP_PROTO_TCP, CLIENT2, 61004, DEVICE, 22),
			      other = key_of(IP_PROTO_TCP, CLIENT2, 61004, DEVICE2, 22);
	struct flow_want want = masked(&in, DEVICE, SYN);
	uint16_t port;

	(void)state;
	assert_int_equal(port_for(&want), 61004);
	want = masked(&out, DEVICE, SYN);
	assert_in_range(port_for(&want), 61000, 61009);
	want = masked(&same, DEVICE, SYN);
	port = port_for(&want);
	assert_in_range(port, 61000, 61009);
	assert_int_not_equal(port, 61004);
	want = masked(&other, DEVICE2, SYN); /* another device: free there */
	assert_int_equal(port_for(&want), 61004);
}

static void test_flow_without_a_host_keeps_every_port_above_1023(void **state)
{
	const struct flow_ports ports = {61000, 61009, 1024, 65535};
	const struct flow_key high = key_of(IP_PROTO_UDP, CLIENT, 1024, DEVICE, 22),
			      low = key_of(IP_PROTO_UDP, CLIENT, 1023, DEVICE, 22);
	struct flow_want want = masked(&high, DEVICE, 0);

	(void)state;
	assert_int_equal(flow_table_set(table, 64, 32, &ports), 0);
	assert_int_equal(port_for(&want), 1024);
	want = masked(&low, DEVICE, 0);
	assert_in_range(port_for(&want), 61000, 61009);
}

static void test_flow_uses_every_port_of_the_range_for_each_device_port_and_protocol(void **state)
{
	static const struct {
		uint8_t proto;
		unsigned device;
		uint16_t port;
	} TO[] = {{IP_PROTO_TCP, DEVICE, 22}, {IP_PROTO_TCP, DEVICE, 23},
		{IP_PROTO_UDP, DEVICE, 22}, {IP_PROTO_ICMP, DEVICE, 0},
		{IP_PROTO_TCP, DEVICE2, 22}};

	(void)state;
	for (unsigned i = 0; i < sizeof TO / sizeof TO[0]; i++) {
		bool used[10] = {false};

		for (unsigned n = 0; n < 11; n++) {
			const struct flow_key key = key_of(TO[i].proto, CLIENT + n % 2,
				(uint16_t)(100 + n), TO[i].device, TO[i].port);
			const struct flow_want want = masked(&key, TO[i].device, SYN);
			struct flow_hit hit;

			if (n == 10) {
				assert_int_equal(open_flow(&want, &hit), DROP_NAT_PORTS);
				break;
			}
			assert_int_equal(open_flow(&want, &hit), DROP_NONE);
			assert_in_range(hit.edit.src_port, 61000, 61009);
			assert_false(used[hit.edit.src_port - 61000]);
			used[hit.edit.src_port - 61000] = true;
		}
	}
}

static void test_flow_host_and_nat_never_share_a_port(void **state)
{
	const struct flow_key nat = key_of(IP_PROTO_TCP, CLIENT, 61003, DEVICE, 22),
			      later = key_of(IP_PROTO_TCP, CLIENT, 61005, DEVICE, 22);
	struct flow_key host = key_of(IP_PROTO_TCP, 254, 61003, DEVICE, 22);
	struct flow_want want = masked(&nat, DEVICE, SYN);
	struct flow_hit hit;

	(void)state;
	host.from = FLOW_HOST;
	assert_int_equal(port_for(&want), 61003);
	/* The host opens the same one: it gets another, and does not notice. */
	want = masked(&host, DEVICE, SYN);
	want.keeps_any_port = true;
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_true(hit.translated);
	assert_int_not_equal(hit.edit.src_port, 61003);
	/* Its other ports it keeps, whatever they are, and then needs no translation. */
	want.key.src_port = 40000;
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_false(hit.translated);
	/* And what the host has, NAT does not take. */
	want.key.src_port = 61005;
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_false(hit.translated);
	want = masked(&later, DEVICE, SYN);
	assert_int_not_equal(port_for(&want), 61005);
}

/* ---- states ---- */

struct step {
	int direction; /* -1: the end */
	uint8_t flags;
};

/* After these packets the flow lives for idle_ns, not longer, and then ends for that reason. */
static void assert_lives(
	uint8_t proto, const struct step *steps, uint64_t idle_ns, bool answered, enum flow_end why)
{
	const struct flow_key key = key_of(proto, CLIENT, 61001, DEVICE, 22);
	struct flow_want want = masked(&key, DEVICE, steps->flags);
	struct flow_key keys[2] = {key, must_open(&want)};
	struct flow_hit hit;

	for (steps++; steps->direction >= 0; steps++) {
		now_ns += 1 * S;
		assert_true(find(&keys[steps->direction], steps->flags, NULL));
	}
	now_ns += idle_ns - 1;
	assert_true(flow_find_related(table, &hit, &keys[0], now_ns));
	assert_true(flow_find_related(table, &hit, &keys[1], now_ns));
	assert_int_equal(flow_sweep(table, 64, now_ns, &LOG), 0);
	now_ns++;
	assert_false(flow_find_related(table, &hit, &keys[0], now_ns));
	assert_false(find(&keys[1], ACK, NULL));
	assert_int_equal(flow_sweep(table, 64, now_ns, &LOG), 1);
	assert_int_equal(ends[n_ends - 1].why, why);
	assert_int_equal(ends[n_ends - 1].answered, answered);
	assert_int_equal(ends[n_ends - 1].ended_ns, now_ns);
	assert_int_equal(flow_count(table), 0);
}
#define STEPS(...)                                                                                 \
	(const struct step[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, {-1, 0},                                                              \
	}

static void test_flow_tcp_lives_as_long_as_its_state_says(void **state)
{
	(void)state;
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}), 120 * S, false, FLOW_END_IDLE);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {0, SYN}), 120 * S, false, FLOW_END_IDLE);
	/* An ACK alone connects nothing, and neither does an answer. */
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {0, ACK}), 120 * S, false, FLOW_END_IDLE);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}), 120 * S, false, FLOW_END_IDLE);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}, {0, ACK}), 7440 * S, true,
		FLOW_END_IDLE);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}, {0, ACK}, {1, ACK}, {0, ACK}),
		7440 * S, true, FLOW_END_IDLE);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}, {0, ACK}, {0, FIN}), 1800 * S, true,
		FLOW_END_IDLE);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}, {0, ACK}, {1, FIN}), 1800 * S, true,
		FLOW_END_IDLE);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}, {0, ACK}, {0, FIN}, {1, FIN}),
		60 * S, true, FLOW_END_CLOSED);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, RST | ACK}), 10 * S, false, FLOW_END_CLOSED);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}, {0, RST}), 10 * S, false,
		FLOW_END_CLOSED);
	/* Who goes on talking was not reset; the other one's reset still stands. */
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}, {0, ACK}, {1, RST}, {1, ACK}),
		7440 * S, true, FLOW_END_IDLE);
	assert_lives(IP_PROTO_TCP, STEPS({0, SYN}, {1, SYNACK}, {0, ACK}, {1, RST}, {0, ACK}),
		10 * S, true, FLOW_END_CLOSED);
}

static void test_flow_others_live_as_long_as_their_protocol_says(void **state)
{
	(void)state;
	assert_lives(IP_PROTO_UDP, STEPS({0, 0}, {0, 0}), 30 * S, false, FLOW_END_IDLE);
	assert_lives(IP_PROTO_UDP, STEPS({0, 0}, {1, 0}), 180 * S, true, FLOW_END_IDLE);
	assert_lives(IP_PROTO_UDP, STEPS({0, 0}, {1, 0}, {0, 0}), 180 * S, true, FLOW_END_IDLE);
	assert_lives(IP_PROTO_ICMP, STEPS({0, 0}), 30 * S, false, FLOW_END_IDLE);
	assert_lives(IP_PROTO_ICMP, STEPS({0, 0}, {1, 0}), 30 * S, true, FLOW_END_IDLE);
}

static void test_flow_plain_connection_is_picked_up_in_the_middle(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_TCP, CLIENT, 5000, DEVICE, 22);
	const struct flow_want want = plain(&key, DEVICE, ACK);
	const struct flow_key answer = must_open(&want);
	struct flow_hit hit;

	(void)state;
	assert_true(find(&answer, ACK, NULL));
	assert_true(find(&key, ACK, NULL));
	now_ns += 7440 * S - 1;
	assert_true(flow_find_related(table, &hit, &key, now_ns));
}

static void test_flow_begins_with_nothing_that_cannot_be_a_first_packet(void **state)
{
	struct flow_key key = key_of(IP_PROTO_TCP, CLIENT, 5000, DEVICE, 22);
	struct flow_want want = masked(&key, DEVICE, ACK);

	(void)state;
	assert_int_equal(open_flow(&want, NULL), DROP_NO_FLOW); /* its translation is lost */
	want.tcp_flags = SYNACK;
	assert_int_equal(open_flow(&want, NULL), DROP_NO_FLOW);
	want = plain(&key, DEVICE, RST);
	assert_int_equal(open_flow(&want, NULL), DROP_NO_FLOW);
	key = key_of(IP_PROTO_ICMP, CLIENT, 0, DEVICE, 9);
	key.echo = FLOW_ECHO_REPLY;
	want = plain(&key, DEVICE, 0);
	assert_int_equal(open_flow(&want, NULL), DROP_NO_FLOW);
	key = key_of(47, CLIENT, 0, DEVICE, 0);
	want = masked(&key, DEVICE, 0);
	assert_int_equal(open_flow(&want, NULL), DROP_NAT_PROTOCOL);
	assert_int_equal(flow_count(table), 0);
	/* The host's own connection goes on after a restart of the hub, with the port it has. */
	key = key_of(IP_PROTO_TCP, 254, 40000, DEVICE, 22);
	key.from = FLOW_HOST;
	want = masked(&key, DEVICE, ACK);
	want.keeps_any_port = true;
	assert_int_equal(open_flow(&want, NULL), DROP_NONE);
}

static void test_flow_responder_cannot_connect_backwards(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_TCP, CLIENT, 5000, DEVICE, 22);
	const struct flow_want want = plain(&key, DEVICE, SYN);
	const struct flow_key answer = must_open(&want);
	struct flow_want back = plain(&answer, CLIENT, SYN);

	(void)state;
	assert_false(find(&answer, SYN, NULL));
	assert_true(find(&answer, SYNACK, NULL));
	assert_true(find(&key, ACK, NULL));
	assert_false(find(&answer, SYN, NULL));
	assert_int_equal(open_flow(&back, NULL), DROP_NO_FLOW);
	/* Once the connection is over, policy may let it begin one of its own. */
	assert_true(find(&key, FIN, NULL));
	assert_true(find(&answer, FIN, NULL));
	assert_false(find(&answer, SYN, NULL));
	assert_int_equal(open_flow(&back, NULL), DROP_NONE);
	assert_int_equal(flow_count(table), 1);
	assert_int_equal(n_ends, 1);
	assert_int_equal(ends[0].why, FLOW_END_CLOSED);
}

static void test_flow_syn_after_the_end_begins_a_new_connection(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_TCP, CLIENT, 5000, DEVICE, 22);
	const struct flow_want want = masked(&key, DEVICE, SYN);
	const struct flow_key answer = must_open(&want);

	(void)state;
	assert_true(find(&answer, SYNACK, NULL));
	assert_true(find(&key, ACK, NULL));
	assert_true(find(&key, SYN, NULL)); /* open: the receiver knows what to do with it */
	assert_true(find(&key, FIN, NULL));
	assert_true(find(&key, SYN, NULL));
	assert_true(find(&answer, FIN, NULL));
	assert_true(find(&key, ACK, NULL));
	assert_false(find(&key, SYN, NULL));
	assert_int_equal(open_flow(&want, NULL), DROP_NONE);
	assert_int_equal(flow_count(table), 1);
	assert_int_equal(n_ends, 1);
	assert_int_equal(ends[0].why, FLOW_END_CLOSED);
}

static void test_flow_error_about_a_flow_keeps_nothing_alive(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_UDP, CLIENT, 5000, DEVICE, 22);
	const struct flow_want want = masked(&key, DEVICE, 0);
	const struct flow_key answer = must_open(&want);
	struct flow_hit hit;

	(void)state;
	now_ns += 29 * S;
	assert_true(flow_find_related(table, &hit, &answer, now_ns));
	assert_true(hit.translated && flow_party_is(hit.to, party(CLIENT)));
	now_ns += 1 * S;
	assert_false(flow_find_related(table, &hit, &answer, now_ns));
}

/* ---- counting ---- */

static void test_flow_reports_what_it_carried(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_UDP, CLIENT, 5000, DEVICE, 22);
	const struct flow_want want = masked(&key, DEVICE, 0);
	const struct flow_key answer = must_open(&want);
	struct flow_run run = {0};
	struct flow_report report;
	struct flow_ref ref;

	(void)state;
	now_ns += 5 * S;
	for (int i = 0; i < 4; i++)
		assert_true(flow_find(table, &run, &answer, 0, 1000, now_ns));
	assert_int_equal(run.n_packets, 3); /* the first was counted when it was looked up */
	ref = run.hit.ref;
	assert_true(flow_find(table, &run, &key, 0, 77, now_ns));
	flow_run_end(table, &run, now_ns);

	assert_true(flow_look(table, &ref, &report));
	assert_int_equal(report.ended_ns, 0);
	assert_int_equal(report.began_ns, FLOWS_START_NS);
	now_ns += 180 * S;
	assert_int_equal(flow_sweep(table, 64, now_ns, &LOG), 1);
	assert_int_equal(n_ends, 1);
	assert_memory_equal(&ends[0].key[0], &key, sizeof key);
	assert_memory_equal(&ends[0].key[1], &answer, sizeof key);
	assert_int_equal(ends[0].packets[0], 2);
	assert_int_equal(ends[0].bytes[0], 177);
	assert_int_equal(ends[0].packets[1], 4);
	assert_int_equal(ends[0].bytes[1], 4000);
	assert_int_equal(ends[0].last_ns, FLOWS_START_NS + 5 * S);
	assert_int_equal(ends[0].ended_ns, now_ns);
	assert_true(ends[0].translated && ends[0].answered);
	assert_false(flow_look(table, &ref, &report));
}

static void test_flow_run_of_an_ended_flow_counts_for_nobody(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_UDP, CLIENT, 5000, DEVICE, 22);
	const struct flow_want want = masked(&key, DEVICE, 0);
	struct flow_run run = {0};
	struct flow_report report;
	struct flow_hit hit;

	(void)state;
	must_open(&want);
	assert_true(flow_find(table, &run, &key, 0, 100, now_ns));
	assert_true(flow_find(table, &run, &key, 0, 100, now_ns));
	flow_end(table, &run.hit.ref, FLOW_END_POLICY, now_ns, &LOG);
	flow_end(table, &run.hit.ref, FLOW_END_POLICY, now_ns, &LOG);
	assert_int_equal(n_ends, 1);
	assert_int_equal(ends[0].why, FLOW_END_POLICY);
	assert_int_equal(open_flow(&want, &hit), DROP_NONE);
	assert_int_equal(hit.ref.index, run.hit.ref.index); /* the same place */
	flow_run_end(table, &run, now_ns);
	assert_true(flow_look(table, &hit.ref, &report));
	assert_int_equal(report.packets[0], 1);
}

static void test_flow_run_ends_where_state_could_change(void **state)
{
	const struct flow_key key = key_of(IP_PROTO_TCP, CLIENT, 5000, DEVICE, 22);
	const struct flow_want want = plain(&key, DEVICE, SYN);
	struct flow_run run = {0};
	struct flow_report report;

	(void)state;
	assert_int_equal(flow_open(table, &want, &run, now_ns, &LOG), DROP_NONE);
	assert_false(run.valid);
	assert_true(flow_find(table, &run, &key, ACK, 100, now_ns));
	assert_true(run.valid);
	assert_true(flow_find(table, &run, &key, FIN, 100, now_ns));
	assert_false(run.valid);
	assert_true(flow_look(table, &run.hit.ref, &report));
	assert_int_equal(report.packets[0], 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, flows_setup, flows_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flow_translates_both_directions),
		TEST(test_flow_forwards_a_port_and_masks_the_source_too),
		TEST(test_flow_plain_needs_no_translation_and_knows_replies),
		TEST(test_flow_works_the_same_for_ipv6),
		TEST(test_flow_belongs_to_the_peer_not_to_the_address),
		TEST(test_flow_request_of_a_responder_is_no_reply),
		TEST(test_flow_keeps_a_port_of_the_range_where_it_is_free),
		TEST(test_flow_without_a_host_keeps_every_port_above_1023),
		TEST(test_flow_uses_every_port_of_the_range_for_each_device_port_and_protocol),
		TEST(test_flow_host_and_nat_never_share_a_port),
		TEST(test_flow_tcp_lives_as_long_as_its_state_says),
		TEST(test_flow_others_live_as_long_as_their_protocol_says),
		TEST(test_flow_plain_connection_is_picked_up_in_the_middle),
		TEST(test_flow_begins_with_nothing_that_cannot_be_a_first_packet),
		TEST(test_flow_responder_cannot_connect_backwards),
		TEST(test_flow_syn_after_the_end_begins_a_new_connection),
		TEST(test_flow_error_about_a_flow_keeps_nothing_alive),
		TEST(test_flow_reports_what_it_carried),
		TEST(test_flow_run_of_an_ended_flow_counts_for_nobody),
		TEST(test_flow_run_ends_where_state_could_change),
	};

	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
