/* Who may start, and that answers come back: the policy with its state, where nothing is
 * translated. Each test in both families where nothing says otherwise. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/talk.h"

static int setup(void **state)
{
	(void)state;
	talk_begin(true, WGH_NAT_NEVER);
	return 0;
}

static void test_decide_plain_pair_needs_no_flow(void **state)
{
	(void)state;
	talk_set(CLIENT, WGH_PEER_HAS_GROUP, WGH_GROUP_PEER, 0);
	BOTH_FAMILIES
	{
		say(CLIENT, tcp(CLIENT, 40000, PLAIN, 22, ACK)); /* in the middle, if it likes */
		must_hear(PLAIN, CLIENT, 40000, PLAIN, 22);
		say(PLAIN, udp(PLAIN, 1, HUB, 2));
		must_hear(HUB, PLAIN, 1, HUB, 2);
		say(HUB, udp(HUB, 2, PLAIN, 1));
		must_hear(PLAIN, HUB, 2, PLAIN, 1);
	}
	assert_int_equal(talk_flows(), 0);
	must_count(DROP_NONE);
}

static void test_decide_answers_pass_though_their_sender_may_not_start(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN));
		must_hear(DEVICE, CLIENT, 40000, DEVICE, 22);
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, SYNACK));
		must_hear(CLIENT, DEVICE, 22, CLIENT, 40000);
		say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
		say(DEVICE, udp(DEVICE, 53, CLIENT, 5000));
		must_hear(CLIENT, DEVICE, 53, CLIENT, 5000);
		say(CLIENT, echo(CLIENT, 77, DEVICE));
		must_hear(DEVICE, CLIENT, 77, DEVICE, 0);
		say(DEVICE,
			transport_reverse(&(struct transport){.kind = TRANSPORT_ECHO_REQUEST,
				.src = echo(CLIENT, 77, DEVICE).src,
				.dst = echo(CLIENT, 77, DEVICE).dst,
				.src_port = 77,
				.payload_bytes = 8}));
		must_hear(CLIENT, DEVICE, 0, CLIENT, 77);
	}
	assert_int_equal(talk_flows(), 6);
	must_count(DROP_NONE);
}

static void test_decide_device_starts_nothing_and_is_told(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		fixture_advance(&f, 10 * NS_PER_S); /* errors are limited */
		say(DEVICE, tcp(DEVICE, 40000, CLIENT, 22, SYN));
		must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
		must_count(DROP_POLICY);
		say(DEVICE, udp(DEVICE, 40000, DEVICE2, 22));
		must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
		must_count(DROP_POLICY);
		say(DEVICE, echo(DEVICE, 1, CLIENT));
		must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
		must_count(DROP_POLICY);
		say(DEVICE, tcp(DEVICE, 40000, HUB, 22, SYN));
		must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
		must_count(DROP_POLICY);
		/* What only answers could be is not worth a word. */
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, ACK));
		must_be_silent();
		must_count(DROP_NO_FLOW);
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, SYNACK));
		must_be_silent();
		must_count(DROP_NO_FLOW);
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, RST));
		must_be_silent();
		must_count(DROP_NO_FLOW);
	}
	assert_int_equal(talk_flows(), 0);
	assert_int_equal(relaxed_get(&remote_peer(&f, &talkers[DEVICE])->drops[DROP_POLICY]), 8);
}

/* Nobody connects backwards through a flow, nor next to it. */
static void test_decide_flow_opens_its_own_ports_and_direction_only(void **state)
{
	(void)state;
	say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN));
	say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, SYN));
	must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
	must_count(DROP_POLICY);
	say(DEVICE, tcp(DEVICE, 23, CLIENT, 40000, SYNACK));
	must_count(DROP_NO_FLOW);
	say(DEVICE, tcp(DEVICE, 22, CLIENT, 40001, SYNACK));
	must_count(DROP_NO_FLOW);
	say(DEVICE, tcp(DEVICE, 22, CLIENT2, 40000, SYNACK));
	must_count(DROP_NO_FLOW);
	say(DEVICE2, tcp(DEVICE2, 22, CLIENT, 40000, SYNACK));
	must_count(DROP_NO_FLOW);
	say(DEVICE, udp(DEVICE, 22, CLIENT, 40000));
	must_count(DROP_POLICY);
	must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
}

static void test_decide_host_starts_to_a_device_that_may_only_ping_it(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		say(HUB, tcp(HUB, 45000, DEVICE, 22, SYN));
		must_hear(DEVICE, HUB, 45000, DEVICE, 22);
		say(DEVICE, tcp(DEVICE, 22, HUB, 45000, SYNACK));
		must_hear(HUB, DEVICE, 22, HUB, 45000);
		say(DEVICE, echo(DEVICE, 9, HUB));
		must_hear(HUB, DEVICE, 9, HUB, 0);
		say(HUB,
			transport_reverse(&(struct transport){.kind = TRANSPORT_ECHO_REQUEST,
				.src = echo(DEVICE, 9, HUB).src,
				.dst = echo(DEVICE, 9, HUB).dst,
				.src_port = 9}));
		must_hear(DEVICE, HUB, 0, DEVICE, 9);
	}
	must_count(DROP_NONE);
}

static void test_decide_host_that_may_not_is_told_through_the_tun(void **state)
{
	(void)state;
	policy.table[WGH_GROUP_HOST][WGH_GROUP_DEVICE] = WGH_DENY;
	talk_policy();
	BOTH_FAMILIES
	{
		struct heard h;

		say(HUB, tcp(HUB, 45000, DEVICE, 22, SYN));
		must_be_told(HUB, ICMP_ADMIN_PROHIBITED);
		assert_true(heard_by(HUB, &h));
		assert_int_equal(h.src, DEVICE); /* a host takes nothing from itself */
		must_count(DROP_POLICY);
	}
}

/* A hub that has just started takes up what its permitted initiator goes on with. */
static void test_decide_connection_goes_on_after_a_restart_when_its_initiator_speaks(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, ACK));
		must_be_silent();
		must_count(DROP_NO_FLOW);
		say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, ACK));
		must_hear(DEVICE, CLIENT, 40000, DEVICE, 22);
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, ACK));
		must_hear(CLIENT, DEVICE, 22, CLIENT, 40000);
	}
	must_count(DROP_NONE);
}

static void test_decide_rules_about_ports_hold_for_the_first_packet(void **state)
{
	const struct wgh_rule rule = {.from = {WGH_PARTY_GROUP, WGH_GROUP_DEVICE},
		.to = {WGH_PARTY_PEER, .peer = remote_key(&talkers[DEVICE2])},
		.proto = IP_PROTO_TCP,
		.verdict = WGH_ALLOW,
		.port_first = 8883,
		.port_last = 8884};

	(void)state;
	policy.rules = &rule;
	policy.n_rules = 1;
	talk_policy();
	for (uint16_t port = 8882; port <= 8885; port++) {
		const bool open = port == 8883 || port == 8884;

		say(DEVICE, tcp(DEVICE, 40000, DEVICE2, port, SYN));
		if (open)
			must_hear(DEVICE2, DEVICE, 40000, DEVICE2, port);
		else
			must_be_told(DEVICE, ICMP_ADMIN_PROHIBITED);
		must_count(open ? DROP_NONE : DROP_POLICY);
	}
	say(DEVICE2, tcp(DEVICE2, 8883, DEVICE, 40000, SYNACK));
	must_hear(DEVICE, DEVICE2, 8883, DEVICE, 40000);
	say(DEVICE, udp(DEVICE, 40000, DEVICE2, 8883));
	must_count(DROP_POLICY);
}

/* ---- errors, fragments ---- */

static void say_error(unsigned sender, const struct transport *about, uint8_t type, uint8_t code)
{
	uint8_t quoted[TRANSPORT_BYTES_MAX], error[TRANSPORT_BYTES_MAX];
	const uint32_t len = transport_build(quoted, about);

	say_bytes(sender, error,
		transport_error_build(error, &about->dst, &about->src, type, code, quoted, len));
}

static void test_decide_error_about_a_flow_passes_and_another_does_not(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		const uint8_t type = family == WGH_IPV4 ? 3 : 1, code = family == WGH_IPV4 ? 3 : 4;
		const struct transport there = udp(CLIENT, 5000, DEVICE, 53);
		const struct transport never = udp(CLIENT, 5001, DEVICE, 53);
		struct heard h;

		say(CLIENT, there);
		say_error(DEVICE, &there, type, code);
		h = must_hear(CLIENT, DEVICE, 0, CLIENT, 0);
		assert_int_equal(h.icmp_type, type);
		must_count(DROP_NONE);
		say_error(DEVICE, &never, type, code);
		must_be_silent();
		must_count(DROP_NO_FLOW);
		say_error(
			DEVICE2, &there, type, code); /* not its to speak about: not its address */
		must_be_silent();
		must_count(DROP_SOURCE);
	}
}

static void test_decide_later_fragments_go_where_their_first_went(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		struct transport t = udp(CLIENT, 5000, DEVICE, 53);
		uint8_t packet[TRANSPORT_BYTES_MAX], piece[TRANSPORT_BYTES_MAX];
		uint32_t whole, len, heard = 0;

		t.payload_bytes = 1200;
		whole = transport_build(packet, &t);
		len = transport_fragment(piece, packet, whole, 7, 400, 1);
		say_bytes(CLIENT, piece, len);
		must_be_silent();
		must_count(DROP_FRAGMENT); /* before its first */
		for (uint32_t i = 0; (len = transport_fragment(piece, packet, whole, 8, 400, i));
			i++) {
			struct heard h;

			say_bytes(CLIENT, piece, len);
			assert_true(heard_by(DEVICE, &h));
			assert_int_equal(h.src, CLIENT);
			heard++;
		}
		assert_int_equal(heard, 4);
		must_count(DROP_NONE);
		/* Nor does a fragment of the device pass that begins nothing. */
		t = udp(DEVICE, 53, CLIENT, 5001);
		t.payload_bytes = 1200;
		whole = transport_build(packet, &t);
		say_bytes(DEVICE, piece, transport_fragment(piece, packet, whole, 9, 400, 0));
		must_count(DROP_POLICY);
		say_bytes(DEVICE, piece, transport_fragment(piece, packet, whole, 9, 400, 1));
		must_be_silent();
		must_count(DROP_FRAGMENT);
	}
}

/* ---- what ends a flow from outside ---- */

static void test_decide_new_policy_ends_what_it_forbids_and_nothing_else(void **state)
{
	(void)state;
	say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN));
	say(CLIENT, tcp(CLIENT, 40001, HUB, 22, SYN));
	say(CLIENT, echo(CLIENT, 5, DEVICE));
	talk_policy(); /* the same */
	assert_int_equal(talk_flows(), 2); /* client and host need none */
	policy.table[WGH_GROUP_CLIENT][WGH_GROUP_DEVICE] = WGH_PING;
	fixture_forget(&f);
	talk_policy();
	assert_int_equal(talk_flows(), 1);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_FLOW_END), 1);
	assert_int_equal(f.events[0].flow.end, WGH_FLOW_POLICY);
	say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, SYNACK));
	must_be_silent();
	must_count(DROP_NO_FLOW);
}

/* Linux goes on with an established connection whatever ICMP says, so only a reset ends it. */
static void test_decide_connection_that_a_policy_ended_is_reset_at_both_ends(void **state)
{
	const struct wgh_rule only_ssh = {.from = {WGH_PARTY_GROUP, WGH_GROUP_CLIENT},
		.to = {WGH_PARTY_GROUP, WGH_GROUP_DEVICE},
		.proto = IP_PROTO_TCP,
		.verdict = WGH_ALLOW,
		.port_first = 22,
		.port_last = 22};

	(void)state;
	BOTH_FAMILIES
	{
		policy.table[WGH_GROUP_CLIENT][WGH_GROUP_DEVICE] = WGH_ALLOW;
		talk_policy();
		say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN));
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, SYNACK));
		/* Lost, but allowed: the client's next segment makes it a flow again, so nobody is
		 * told. */
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40001, ACK));
		must_be_silent();
		must_count(DROP_NO_FLOW);
		policy.table[WGH_GROUP_CLIENT][WGH_GROUP_DEVICE] = WGH_PING;
		talk_policy();
		say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, ACK));
		must_be_reset(CLIENT, DEVICE, 22);
		must_count(DROP_NO_FLOW);
		say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, ACK));
		must_be_reset(DEVICE, CLIENT, 40000);
		must_count(DROP_NO_FLOW);
		say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN)); /* anew it is refused as ever */
		must_be_told(CLIENT, ICMP_ADMIN_PROHIBITED);
		must_count(DROP_POLICY);
		assert_int_equal(talk_flows(), 0);
	}
	policy.rules = &only_ssh;
	policy.n_rules = 1;
	talk_policy();
	say(DEVICE, tcp(DEVICE, 22, CLIENT, 40000, ACK));
	must_be_silent();
	say(DEVICE, tcp(DEVICE, 23, CLIENT, 40000, ACK));
	must_be_reset(DEVICE, CLIENT, 40000);
}

static void test_decide_new_group_of_a_peer_ends_what_it_forbids(void **state)
{
	(void)state;
	say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN));
	say(CLIENT2, tcp(CLIENT2, 40000, DEVICE, 22, SYN));
	talk_set(CLIENT, WGH_PEER_HAS_GROUP, WGH_GROUP_DEVICE, 0);
	assert_int_equal(talk_flows(), 1);
	say(DEVICE, tcp(DEVICE, 22, CLIENT2, 40000, SYNACK));
	must_hear(CLIENT2, DEVICE, 22, CLIENT2, 40000);
}

static void test_decide_flows_of_a_removed_peer_end(void **state)
{
	struct wgh_peer_change change = {
		.public_key = remote_key(&talkers[DEVICE]), .flags = WGH_PEER_REMOVE};

	(void)state;
	say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN));
	say(CLIENT, tcp(CLIENT, 40000, DEVICE2, 22, SYN));
	fixture_forget(&f);
	fixture_change_peer(&f, &change);
	assert_int_equal(talk_flows(), 1);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_FLOW_END), 1);
	assert_int_equal(f.events[0].flow.end, WGH_FLOW_PEER);
	assert_memory_equal(&f.events[0].flow.to, &change.public_key, 32); /* still named */
}

/* The address is another's now: its packets are no answers. */
static void test_decide_flow_ends_when_an_address_moves_to_another_peer(void **state)
{
	struct wgh_allowed_ip ip = {.prefix = prefix4(10, 0, 0, DEVICE, 32)};
	struct wgh_peer_change change = {.public_key = remote_key(&talkers[DEVICE2]),
		.allowed_ips = &ip,
		.n_allowed_ips = 1};

	(void)state;
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
	fixture_change_peer(&f, &change);
	say(DEVICE2, udp(DEVICE, 53, CLIENT, 5000));
	must_count(DROP_POLICY);
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53)); /* to the new owner: a new flow */
	must_hear(DEVICE2, CLIENT, 5000, DEVICE, 53);
	assert_int_equal(talk_flows(), 1);
}

/* ---- bounds and the log ---- */

static void test_decide_flows_of_a_peer_and_of_all_are_bounded(void **state)
{
	(void)state;
	policy.flows_max = 32;
	policy.flows_per_peer_max = 20;
	talk_policy();
	for (uint16_t port = 1; port <= 30; port++) {
		say(CLIENT, udp(CLIENT, 5000, DEVICE, port)); /* the oldest unanswered one goes */
		say(DEVICE, udp(DEVICE, port, CLIENT, 5000)); /* now it is answered */
		if (port == 20)
			must_count(DROP_NONE);
	}
	assert_int_equal(talk_flows(), 20);
	assert_int_equal(fixture_drops(&f, DROP_FLOW_PEER_FULL), 10);
	for (uint16_t port = 1; port <= 30; port++) {
		say(CLIENT2, udp(CLIENT2, 5000, DEVICE, port));
		say(DEVICE, udp(DEVICE, port, CLIENT2, 5000));
	}
	assert_int_equal(talk_flows(), 32);
	assert_true(fixture_drops(&f, DROP_FLOW_TABLE_FULL) >= 10);
}

/* More than the table was made for. */
static void test_decide_larger_bound_makes_a_new_table(void **state)
{
	(void)state;
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 1));
	policy.flows_max = FLOWS_MAX + 1;
	fixture_forget(&f);
	talk_policy();
	assert_int_equal(talk_flows(), 0);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_FLOW_END), 1);
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 1));
	must_hear(DEVICE, CLIENT, 5000, DEVICE, 1);
	assert_int_equal(talk_flows(), 1);
}

static void test_decide_log_tells_begin_and_end_of_a_flow(void **state)
{
	const struct wgh_public_key client = remote_key(&talkers[CLIENT]),
				    device = remote_key(&talkers[DEVICE]);
	const struct wgh_flow *flow;

	(void)state;
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_FLOW_BEGIN), 1);
	flow = &f.events[0].flow;
	assert_memory_equal(&flow->from, &client, 32);
	assert_memory_equal(&flow->to, &device, 32);
	assert_int_equal(flow->src_port, 5000);
	assert_int_equal(flow->dst_port, 53);
	assert_int_equal(flow->src.bytes[3], CLIENT);
	assert_int_equal(flow->dst.bytes[3], DEVICE);
	assert_int_equal(flow->nat_port, 0);
	assert_int_equal(flow->proto, IP_PROTO_UDP);
	assert_int_equal(flow->ended_ns, 0);
	say(DEVICE, udp(DEVICE, 53, CLIENT, 5000));
	fixture_forget(&f);
	/* Nobody says anything more: the control side finds it. */
	for (int s = 0; s < 250; s++) {
		fixture_advance(&f, NS_PER_S);
	}
	assert_int_equal(talk_flows(), 0);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_FLOW_END), 1);
	for (size_t i = 0; i < f.n_events; i++)
		if (f.events[i].kind == WGH_EVENT_FLOW_END)
			flow = &f.events[i].flow;
	assert_int_equal(flow->end, WGH_FLOW_IDLE);
	assert_int_equal(flow->packets[0], 1);
	assert_int_equal(flow->packets[1], 1);
	assert_int_equal(flow->bytes[0], 20 + 8 + 40);
	assert_true(flow->answered);
	assert_true(flow->ended_ns > flow->began_ns);
	assert_int_equal(relaxed_get(&f.hub->flow_sweep_ns), TIME_NEVER); /* it sleeps */
}

static void test_decide_log_that_nobody_wants_is_silent(void **state)
{
	(void)state;
	policy.log_flows = false;
	talk_policy();
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
	assert_int_equal(talk_flows(), 1);
	policy.table[WGH_GROUP_CLIENT][WGH_GROUP_DEVICE] = WGH_DENY;
	talk_policy();
	assert_int_equal(talk_flows(), 0);
	assert_int_equal(f.n_events, 0);
}

/* The queue to the control side is for packets and sessions first. */
static void test_decide_log_leaves_half_of_the_queue_to_others(void **state)
{
	uint8_t packet[TRANSPORT_BYTES_MAX], message[TRANSPORT_BYTES_MAX + 64];
	const struct ring *queue = &f.worker->events;
	struct wgh_snapshot *s;

	(void)state;
	for (uint16_t port = 1; port <= 2000; port++) { /* and the control side is away */
		const struct transport t = udp(CLIENT, 5000, DEVICE, port);
		const uint32_t len =
			remote_seal(&talkers[CLIENT], message, packet, transport_build(packet, &t));

		fixture_udp_only(&f, &talkers[CLIENT].endpoint, message, len);
	}
	assert_int_equal(talk_flows(), 2000);
	assert_in_range(ring_bytes(queue), queue->size_bytes / 4, queue->size_bytes / 2 + 1024);
	assert_int_equal(hub_snapshot(f.hub, &s), 0);
	assert_true(s->n_log_lost > 500 && s->n_log_lost < 2000);
	wgh_snapshot_free(s);
	fixture_run(&f);
	must_count(DROP_NONE);
}

static void test_decide_snapshot_counts_flows(void **state)
{
	struct wgh_snapshot *s;

	(void)state;
	say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
	say(CLIENT, udp(CLIENT, 5001, DEVICE, 53));
	say(HUB, udp(HUB, 5001, DEVICE, 53));
	assert_int_equal(hub_snapshot(f.hub, &s), 0);
	assert_int_equal(s->n_flows, 3);
	assert_int_equal(s->flows_max, FLOWS_MAX);
	assert_int_equal(s->peers[CLIENT - 1].n_flows, 2);
	assert_int_equal(s->peers[DEVICE - 1].n_flows, 0);
	assert_int_equal(s->peers[DEVICE - 1].group, WGH_GROUP_DEVICE);
	wgh_snapshot_free(s);
}

static void test_decide_clamps_the_segments_of_connections_that_begin(void **state)
{
	/* A SYN with the option MSS 1460. */
	uint8_t packet[TRANSPORT_BYTES_MAX];
	struct transport t = tcp(CLIENT, 40000, DEVICE, 22, SYN);
	struct heard h;
	uint32_t len;

	(void)state;
	t.payload_bytes = 4; /* becomes the option */
	len = transport_build(packet, &t);
	packet[20 + 12] = 0x60;
	memcpy(packet + 40, (uint8_t[]){2, 4, 1460 >> 8, 1460 & 0xff}, 4);
	transport_checksums_set(packet, len);
	say_bytes(CLIENT, packet, len);
	h = must_hear(DEVICE, CLIENT, 40000, DEVICE, 22);
	assert_int_equal(h.packet[42] << 8 | h.packet[43], 1460);
	policy.clamp_mss = true;
	talk_policy();
	say_bytes(CLIENT, packet, len);
	h = must_hear(DEVICE, CLIENT, 40000, DEVICE, 22);
	assert_int_equal(h.packet[42] << 8 | h.packet[43], 1380);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, talk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_decide_plain_pair_needs_no_flow),
		TEST(test_decide_answers_pass_though_their_sender_may_not_start),
		TEST(test_decide_device_starts_nothing_and_is_told),
		TEST(test_decide_flow_opens_its_own_ports_and_direction_only),
		TEST(test_decide_host_starts_to_a_device_that_may_only_ping_it),
		TEST(test_decide_host_that_may_not_is_told_through_the_tun),
		TEST(test_decide_connection_goes_on_after_a_restart_when_its_initiator_speaks),
		TEST(test_decide_rules_about_ports_hold_for_the_first_packet),
		TEST(test_decide_error_about_a_flow_passes_and_another_does_not),
		TEST(test_decide_later_fragments_go_where_their_first_went),
		TEST(test_decide_new_policy_ends_what_it_forbids_and_nothing_else),
		TEST(test_decide_connection_that_a_policy_ended_is_reset_at_both_ends),
		TEST(test_decide_new_group_of_a_peer_ends_what_it_forbids),
		TEST(test_decide_flows_of_a_removed_peer_end),
		TEST(test_decide_flow_ends_when_an_address_moves_to_another_peer),
		TEST(test_decide_flows_of_a_peer_and_of_all_are_bounded),
		TEST(test_decide_larger_bound_makes_a_new_table),
		TEST(test_decide_log_tells_begin_and_end_of_a_flow),
		TEST(test_decide_log_that_nobody_wants_is_silent),
		TEST(test_decide_log_leaves_half_of_the_queue_to_others),
		TEST(test_decide_snapshot_counts_flows),
		TEST(test_decide_clamps_the_segments_of_connections_that_begin),
	};

	return cmocka_run_group_tests_name("decide_flow", tests, NULL, NULL);
}
