/* The flow table: what is found and translated, how long it lives, who goes when it is full; and
 * all of it against a naive twin. Several threads: test_flow_threads.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/flow_table.h"
#include "tests/lib/transport.h"

#define START_NS (100000 * NS_PER_S)
#define S NS_PER_S
#define SYN TCP_SYN
#define ACK TCP_ACK
#define FIN (TCP_FIN | TCP_ACK)
#define RST TCP_RST
#define SYNACK (TCP_SYN | TCP_ACK)

enum { CLIENT = 1, CLIENT2, DEVICE, DEVICE2 };

static struct flow_table *table;
static uint64_t now_ns;
static struct flow_report ends[256];
static unsigned n_ends;

static struct flow_party party(uint32_t n)
{
	return (struct flow_party){n, 1000 + n};
}

static void on_end(void *arg, const struct flow_report *report)
{
	assert_null(arg);
	assert_true(n_ends < sizeof ends / sizeof ends[0]);
	ends[n_ends++] = *report;
}
static const struct flow_log LOG = {on_end, NULL};

static const struct flow_options OPTIONS = {
	.max = 64, .per_peer_max = 32, .ports = {61000, 61009, 61000, 61009}, .seed = {1, 2}};

static void begin_with(const struct flow_options *options)
{
	assert_int_equal(flow_table_new(&table, options), 0);
	now_ns = START_NS;
	n_ends = 0;
}

static int begin(void **state)
{
	(void)state;
	begin_with(&OPTIONS);
	return 0;
}

static int end(void **state)
{
	(void)state;
	flow_table_free(table);
	return 0;
}

/* Party n has the address 10.0.0.n, the hub 10.0.0.254. */
static void addr4(uint8_t out[16], unsigned n)
{
	memset(out, 0, 16);
	memcpy(out, (uint8_t[]){10, 0, 0, (uint8_t)n}, 4);
}

static struct flow_key key_of(
	uint8_t proto, unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port)
{
	struct flow_key key = {.family = WGH_IPV4,
		.proto = proto,
		.src_port = src_port,
		.dst_port = dst_port,
		.from = party(from)};

	addr4(key.src, from);
	addr4(key.dst, to);
	if (proto == IP_PROTO_ICMP)
		key.echo = FLOW_ECHO_REQUEST;
	return key;
}

static struct flow_want plain(const struct flow_key *key, unsigned to, uint8_t tcp_flags)
{
	return (struct flow_want){
		.key = *key, .to = party(to), .tcp_flags = tcp_flags, .len_bytes = 100};
}

/* Source translation to the hub's address. */
static struct flow_want masked(const struct flow_key *key, unsigned to, uint8_t tcp_flags)
{
	struct flow_want want = plain(key, to, tcp_flags);

	want.translates_src = true;
	addr4(want.new_src, 254);
	return want;
}

/* Opens it and ends the run; what the packet's flow is. */
static enum drop open_flow(const struct flow_want *want, struct flow_hit *hit)
{
	struct flow_run run = {0};
	const enum drop drop = flow_open(table, want, &run, now_ns, &LOG);

	if (hit)
		*hit = run.hit;
	flow_run_end(table, &run, now_ns);
	return drop;
}

static bool find(const struct flow_key *key, uint8_t tcp_flags, struct flow_hit *hit)
{
	struct flow_run run = {0};
	const bool found = flow_find(table, &run, key, tcp_flags, 100, now_ns);

	if (hit)
		*hit = run.hit;
	flow_run_end(table, &run, now_ns);
	return found;
}

/* What the receiver of a packet with this key answers with, `to` being the receiver. */
static struct flow_key answer_to(const struct flow_key *key, const struct flow_hit *hit)
{
	struct flow_key sent = *key;

	if (hit->translated) {
		memcpy(sent.src, hit->edit.src, 16);
		memcpy(sent.dst, hit->edit.dst, 16);
		sent.src_port = hit->edit.src_port;
		sent.dst_port = hit->edit.dst_port;
	}
	return flow_key_reverse(&sent, hit->to);
}

static struct flow_key must_open(const struct flow_want *want)
{
	struct flow_hit hit;

	assert_int_equal(open_flow(want, &hit), DROP_NONE);
	return answer_to(&want->key, &hit);
}

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
	assert_int_equal(report.began_ns, START_NS);
	now_ns += 180 * S;
	assert_int_equal(flow_sweep(table, 64, now_ns, &LOG), 1);
	assert_int_equal(n_ends, 1);
	assert_memory_equal(&ends[0].key[0], &key, sizeof key);
	assert_memory_equal(&ends[0].key[1], &answer, sizeof key);
	assert_int_equal(ends[0].packets[0], 2);
	assert_int_equal(ends[0].bytes[0], 177);
	assert_int_equal(ends[0].packets[1], 4);
	assert_int_equal(ends[0].bytes[1], 4000);
	assert_int_equal(ends[0].last_ns, START_NS + 5 * S);
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

/* ---- full ---- */

static struct flow_want nth(unsigned from, unsigned n)
{
	const struct flow_key key = key_of(IP_PROTO_UDP, from, (uint16_t)(1000 + n), DEVICE, 53);

	return plain(&key, DEVICE, 0);
}

static void connect(const struct flow_key *answer)
{
	assert_true(find(answer, 0, NULL));
}

static void test_flow_table_evicts_an_expired_flow_first(void **state)
{
	const struct flow_options options = {.max = 8, .per_peer_max = 8, .ports = OPTIONS.ports};
	struct flow_want want;

	end(state);
	begin_with(&options);
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
	const struct flow_options options = {.max = 8, .per_peer_max = 8, .ports = OPTIONS.ports};
	struct flow_want want;
	struct flow_key answer;

	end(state);
	begin_with(&options);
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
	assert_int_equal(flow_table_set(table, 4, 32, &OPTIONS.ports), 0);
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
		flow_table_set(table, 1000, 32, &OPTIONS.ports), 0); /* not beyond its room */
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
	struct flow_options o = OPTIONS;

	(void)state;
	o.max = 0;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	o.max = FLOW_TABLE_MAX + 1;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	o = OPTIONS;
	o.per_peer_max = 0;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	o = OPTIONS;
	o.ports.first = 0;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	o.ports.first = o.ports.last + 1;
	assert_int_equal(flow_table_new(&none, &o), -EINVAL);
	assert_int_equal(flow_table_set(table, 64, 32, &o.ports), -EINVAL);
	assert_null(none);
}

static void test_flow_memory_is_what_the_header_says(void **state)
{
	(void)state;
	const size_t n = 65536;

	assert_int_equal(sizeof(struct flow), 256);
	assert_true(n *
			(sizeof(struct flow) + 2 * sizeof(struct flow_bucket) +
				sizeof(struct flow_initiator) + sizeof(uint32_t)) <=
		20u << 20);
}

/* ---- the naive twin: a list of all flows, searched from end to end ---- */

#define TWIN_MAX 48

struct twin {
	struct flow_key key[2];
	uint64_t began, seen, packets[2], bytes[2];
	bool answered, connected, fin[2], rst[2], live;
};

static struct twin twins[TWIN_MAX + 1];
static uint64_t twin_clock; /* orders what began */

static uint64_t twin_idle(const struct twin *t)
{
	switch (t->key[0].proto) {
	case IP_PROTO_TCP:
		if (t->rst[0] || t->rst[1])
			return 10 * S;
		if (!t->connected)
			return 120 * S;
		if (t->fin[0] && t->fin[1])
			return 60 * S;
		return t->fin[0] || t->fin[1] ? 1800 * S : 7440 * S;
	case IP_PROTO_UDP:
		return t->answered ? 180 * S : 30 * S;
	default:
		return 30 * S;
	}
}

static bool twin_expired(const struct twin *t)
{
	return now_ns - t->seen >= twin_idle(t);
}

static bool twin_half_open(const struct twin *t)
{
	return t->key[0].proto == IP_PROTO_TCP ? !t->connected : !t->answered;
}

static bool twin_closed(const struct twin *t)
{
	return t->rst[0] || t->rst[1] || (t->fin[0] && t->fin[1]);
}

static struct twin *twin_with(const struct flow_key *key, int *direction)
{
	for (struct twin *t = twins; t < twins + TWIN_MAX + 1; t++)
		for (int d = 0; d < 2; d++)
			if (t->live && !memcmp(&t->key[d], key, sizeof *key)) {
				*direction = d;
				return t;
			}
	return NULL;
}

static unsigned twin_count(const struct flow_party *initiator)
{
	unsigned n = 0;

	for (const struct twin *t = twins; t < twins + TWIN_MAX + 1; t++)
		n += t->live && (!initiator || flow_party_is(t->key[0].from, *initiator));
	return n;
}

/* The oldest half-open one of this initiator or of all, NULL if one is expired or there is none. */
static struct twin *twin_victim(const struct flow_party *initiator)
{
	struct twin *victim = NULL;

	for (struct twin *t = twins; t < twins + TWIN_MAX + 1; t++) {
		if (!t->live || (initiator && !flow_party_is(t->key[0].from, *initiator)))
			continue;
		if (twin_expired(t))
			return NULL;
		if (twin_half_open(t) && (!victim || t->began < victim->began))
			victim = t;
	}
	return victim;
}

static bool twin_any_expired(const struct flow_party *initiator)
{
	for (const struct twin *t = twins; t < twins + TWIN_MAX + 1; t++)
		if (t->live && (!initiator || flow_party_is(t->key[0].from, *initiator)) &&
			twin_expired(t))
			return true;
	return false;
}

static void twin_packet(struct twin *t, int d, uint8_t flags)
{
	t->seen = now_ns;
	t->packets[d]++;
	t->bytes[d] += 100;
	if (t->key[0].proto != IP_PROTO_TCP) {
		t->answered |= d;
		return;
	}
	t->rst[d] = flags & TCP_RST;
	if (flags & TCP_RST)
		return;
	t->fin[d] |= flags & TCP_FIN;
	t->connected |= !d && t->answered && (flags & TCP_ACK) && !(flags & TCP_SYN);
	t->answered |= d;
}

/* Who opens at the moment, for what on_twin_end() may see; NULL: nobody. */
static const struct flow_want *twin_opens;
static unsigned twin_per_peer;

static void on_twin_end(void *arg, const struct flow_report *r)
{
	int d;
	struct twin *t = twin_with(&r->key[0], &d);

	(void)arg;
	assert_non_null(t);
	assert_int_equal(d, 0);
	assert_memory_equal(&t->key[1], &r->key[1], sizeof r->key[1]);
	for (d = 0; d < 2; d++) {
		assert_int_equal(t->packets[d], r->packets[d]);
		assert_int_equal(t->bytes[d], r->bytes[d]);
	}
	assert_int_equal(r->answered, !twin_half_open(t));
	switch (r->why) {
	case FLOW_END_IDLE:
		assert_true(twin_expired(t));
		break;
	case FLOW_END_CLOSED:
		assert_int_equal(t->key[0].proto, IP_PROTO_TCP);
		assert_true(twin_closed(t));
		break;
	case FLOW_END_EVICTED: {
		const struct flow_party *who = &twin_opens->key.from;

		assert_ptr_equal(t,
			twin_victim(twin_count(who) >= twin_per_peer &&
						flow_party_is(t->key[0].from, *who)
					? who
					: NULL));
		break;
	}
	default:
		assert_int_equal(r->why, FLOW_END_PEER);
	}
	t->live = false;
}
static const struct flow_log TWIN_LOG = {on_twin_end, NULL};

/* The table's answer about one packet, and the twin's. */
static bool twin_find(const struct flow_key *key, uint8_t flags)
{
	int d = 0;
	struct twin *t = twin_with(key, &d);
	struct flow_hit hit;
	bool found = find(key, flags, &hit), want = t && !twin_expired(t);

	if (want && t->key[0].proto == IP_PROTO_TCP && (flags & (SYN | ACK | RST)) == SYN)
		want = d == 0 && !twin_closed(t);
	assert_int_equal(found, want);
	if (!found)
		return false;
	twin_packet(t, d, flags);
	assert_true(flow_party_is(hit.to, t->key[!d].from));
	if (hit.translated) {
		assert_memory_equal(hit.edit.src, t->key[!d].dst, 16);
		assert_memory_equal(hit.edit.dst, t->key[!d].src, 16);
		assert_int_equal(hit.edit.src_port, t->key[!d].dst_port);
		assert_int_equal(hit.edit.dst_port, t->key[!d].src_port);
	} else {
		const struct flow_key reverse = flow_key_reverse(key, t->key[!d].from);
		assert_memory_equal(&reverse, &t->key[!d], sizeof reverse);
	}
	return true;
}

/* `over` is the flow that stands at the newcomer's own key, if it is over. */
static bool twin_port_free(const struct flow_key *answers, const struct twin *over)
{
	int d;
	const struct twin *t = twin_with(answers, &d);

	return !t || t == over || twin_expired(t);
}

/* Is this verdict the right one, and the port one that may be taken? */
static void twin_open(const struct flow_want *want)
{
	struct flow_key answers = flow_key_reverse(&want->key, want->to);
	const struct flow_party *who = &want->key.from;
	unsigned n_free = 0;
	struct flow_hit hit;
	struct twin *t = twins, *over;
	bool keeps, own_free;
	enum drop drop;
	int d;

	over = twin_with(&want->key, &d);
	if (over && !twin_expired(over) && !twin_closed(over))
		over = NULL;
	if (want->translates_src)
		memcpy(answers.dst, want->new_src, 16);
	keeps = !want->translates_src || want->keeps_any_port ||
		(want->key.src_port >= 61000 && want->key.src_port <= 61005);
	own_free = keeps && twin_port_free(&answers, over);
	for (uint16_t port = 61000; port <= 61005; port++) {
		struct flow_key other = answers;
		other.dst_port = port;
		n_free += twin_port_free(&other, over);
	}
	twin_opens = want;
	drop = flow_open(table, want, &(struct flow_run){0}, now_ns, &TWIN_LOG);
	switch (drop) {
	case DROP_NONE:
		break;
	case DROP_NAT_PORTS:
		assert_true(!own_free && !n_free && want->translates_src);
		return;
	case DROP_FLOW_PEER_FULL:
		assert_true(twin_count(who) >= twin_per_peer);
		assert_true(!twin_any_expired(who) && !twin_victim(who));
		return;
	case DROP_FLOW_TABLE_FULL:
		assert_int_equal(twin_count(NULL), TWIN_MAX);
		assert_true(!twin_any_expired(NULL) && !twin_victim(NULL));
		return;
	default: {
		const bool mid =
			want->key.proto == IP_PROTO_TCP && (want->tcp_flags & SYNACK) != SYN;

		assert_int_equal(drop, DROP_NO_FLOW);
		t = twin_with(&want->key, &d);
		assert_true((t && d) || (mid && want->translates_src) || (want->tcp_flags & RST) ||
			(!want->translates_src && !own_free));
		return;
	}
	}
	assert_true(flow_find_related(table, &hit, &want->key, now_ns));
	answers = answer_to(&want->key, &hit);
	if (own_free)
		assert_int_equal(answers.dst_port, want->key.src_port);
	else
		assert_in_range(answers.dst_port, 61000, 61005);
	assert_true(twin_port_free(&answers, NULL));
	while (t->live)
		assert_true(++t < twins + TWIN_MAX + 1);
	*t = (struct twin){
		.key = {want->key, answers}, .began = ++twin_clock, .seen = now_ns, .live = true};
	twin_packet(t, 0, want->tcp_flags);
}

/* Four peers that talk to four, a few ports each: much of everything meets. */
static struct flow_want twin_want(struct rng *rng)
{
	static const uint8_t PROTOS[] = {IP_PROTO_TCP, IP_PROTO_TCP, IP_PROTO_UDP, IP_PROTO_ICMP};
	const uint8_t proto = PROTOS[rng_below(rng, 4)];
	const unsigned from = 1 + (unsigned)rng_below(rng, 5), to = 1 + (unsigned)rng_below(rng, 4);
	struct flow_key key = key_of(proto, from == 5 ? 254 : from,
		(uint16_t)((rng_below(rng, 2) ? 61000 : 1000) + rng_below(rng, 8)), to,
		proto == IP_PROTO_ICMP ? 0 : (uint16_t)(22 + rng_below(rng, 2)));
	struct flow_want want;

	if (from == 5)
		key.from = FLOW_HOST;
	want = from == 5 || rng_below(rng, 2) ? masked(&key, to, SYN) : plain(&key, to, SYN);
	want.keeps_any_port = from == 5;
	if (proto != IP_PROTO_TCP)
		want.tcp_flags = 0;
	else if (!rng_below(rng, 6))
		want.tcp_flags = (const uint8_t[]){ACK, RST, SYNACK, FIN}[rng_below(rng, 4)];
	return want;
}

static bool is_of(void *arg, const struct flow_report *flow)
{
	return flow_party_is(flow->key[0].from, party(*(unsigned *)arg));
}

static void test_flow_table_agrees_with_a_list_of_all_flows(void **state)
{
	static const uint8_t FLAGS[] = {ACK, ACK, ACK, SYNACK, FIN, RST, SYN};
	unsigned n_found = 0, n_opened = 0;

	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct rng rng = {seed};
		const struct flow_options options = {.max = TWIN_MAX,
			.per_peer_max = twin_per_peer = seed % 2 ? 10 : 24,
			.ports = {61000, 61005, 61000, 61005},
			.seed = {seed, rng_next(&rng)}};

		end(state);
		begin_with(&options);
		memset(twins, 0, sizeof twins);
		for (unsigned round = 0; round < 20000; round++) {
			const struct twin *t = &twins[rng_below(&rng, TWIN_MAX + 1)];
			struct flow_want want = twin_want(&rng);
			uint64_t what = rng_below(&rng, 1000);
			unsigned who = 1 + (unsigned)rng_below(&rng, 4);

			if (what < 450) {
				if (twin_find(&want.key, want.tcp_flags))
					n_found++;
				else
					twin_open(&want), n_opened++;
			} else if (what < 850) {
				if (t->live)
					n_found += twin_find(&t->key[rng_below(&rng, 2)],
						t->key[0].proto == IP_PROTO_TCP
							? FLAGS[rng_below(&rng, 7)]
							: 0);
			} else if (what < 980) {
				now_ns += rng_below(&rng, what < 970 ? 5 * S : 200 * S);
			} else if (what < 998) {
				flow_sweep(table, (uint32_t)rng_below(&rng, TWIN_MAX), now_ns,
					&TWIN_LOG);
			} else {
				flow_end_where(
					table, is_of, &who, FLOW_END_PEER, now_ns, &TWIN_LOG);
			}
			assert_int_equal(flow_count(table), twin_count(NULL));
			assert_int_equal(flow_count_of(table, party(who)),
				twin_count(&(struct flow_party){who, 1000 + who}));
		}
		now_ns += 8000 * S;
		flow_sweep(table, TWIN_MAX, now_ns, &TWIN_LOG);
		assert_int_equal(flow_count(table), 0);
	}
	assert_true(n_found > 10000 && n_opened > 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

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
		TEST(test_flow_table_evicts_an_expired_flow_first),
		TEST(test_flow_table_evicts_oldest_half_open_first),
		TEST(test_flow_peer_that_begins_too_many_loses_its_own),
		TEST(test_flow_host_may_have_half_of_the_table),
		TEST(test_flow_lower_bounds_drain_the_table),
		TEST(test_flow_sweep_looks_at_no_more_than_it_is_told),
		TEST(test_flow_end_where_ends_those_and_no_others),
		TEST(test_flow_table_refuses_bounds_that_make_no_sense),
		TEST(test_flow_memory_is_what_the_header_says),
		TEST(test_flow_table_agrees_with_a_list_of_all_flows),
	};

	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
