/* Which sources a device accepts: what proves that it is wide, what does not, and what follows from
 * it. */
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
	talk_begin(false, WGH_NAT_AUTO);
	policy.probe4 = (struct wgh_addr){{10, 0, 0, PROBE}, WGH_IPV4};
	policy.probe6 = (struct wgh_addr){{0xfd, [15] = PROBE}, WGH_IPV6};
	talk_policy();
	return 0;
}

/* The hub's present belief, by what a new flow looks like. */
static bool is_wide(unsigned device)
{
	static uint16_t port = 10000;
	struct heard h;

	say(CLIENT, udp(CLIENT, ++port, device, 53));
	assert_true(heard_by(device, &h));
	assert_true(h.src == HUB || h.src == CLIENT);
	return h.src == CLIENT;
}

/* A new session of the device, and the probe that comes with it in this family. */
static struct heard new_session(unsigned device)
{
	struct remote *r = &talkers[device];
	struct wire_initiation msg;
	struct heard h = {0};
	uint8_t plain[2048];
	int len;

	fixture_advance(&f, 10 * NS_PER_S); /* the probes of the one before are over */
	fixture_forget(&f);
	remote_initiation(&f, r, &msg);
	fixture_udp(&f, &r->endpoint, &msg, sizeof msg);
	assert_true(remote_take_response(r, remote_sent(&f, r, 0)));
	fixture_forget(&f);
	remote_send(&f, r, NULL, 0);
	for (size_t i = 0; remote_sent(&f, r, i); i++) {
		len = remote_open(r, remote_sent(&f, r, i), plain);
		if (len < 28 || plain[0] >> 4 != family)
			continue;
		assert_int_equal(ip_parse(&h.info, plain, (uint32_t)len), DROP_NONE);
		memcpy(h.packet, plain, h.info.len_bytes);
		h.len_bytes = h.info.len_bytes;
	}
	assert_true(h.len_bytes > 0);
	return h;
}

static void answer(unsigned device, struct heard *probe)
{
	assert_true(icmp_echo_reply(probe->packet, &probe->info));
	say_bytes(device, probe->packet, probe->len_bytes);
}

static const struct wgh_event *last_reach_event(void)
{
	const struct wgh_event *last = NULL;

	for (size_t i = 0; i < f.n_events; i++)
		if (f.events[i].kind == WGH_EVENT_REACH)
			last = &f.events[i];
	return last;
}

static void test_reach_device_that_answers_the_probe_is_wide(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		struct heard probe = new_session(DEVICE);
		const struct wgh_event *event;
		struct wgh_snapshot *s;

		assert_int_equal(probe.info.src.bytes[family == WGH_IPV4 ? 3 : 15], PROBE);
		assert_int_equal(probe.info.dst.bytes[family == WGH_IPV4 ? 3 : 15], DEVICE);
		assert_false(is_wide(DEVICE));
		answer(DEVICE, &probe);
		event = last_reach_event();
		assert_non_null(event);
		assert_true(family == WGH_IPV4 ? event->wide4 : event->wide6);
		must_be_silent(); /* the answer goes no further */
		assert_true(is_wide(DEVICE));
		assert_false(is_wide(DEVICE2));
		assert_int_equal(hub_snapshot(f.hub, &s), 0);
		assert_true(family == WGH_IPV4 ? s->peers[DEVICE - 1].wide4
					       : s->peers[DEVICE - 1].wide6);
		assert_false(s->peers[DEVICE2 - 1].wide4 || s->peers[DEVICE2 - 1].wide6);
		wgh_snapshot_free(s);
	}
	must_count(DROP_NONE);
}

static void test_reach_each_family_is_proved_for_itself(void **state)
{
	struct heard probe;

	(void)state;
	family = WGH_IPV6;
	probe = new_session(DEVICE);
	answer(DEVICE, &probe);
	assert_true(is_wide(DEVICE));
	family = WGH_IPV4;
	assert_false(is_wide(DEVICE));
}

static void test_reach_packet_to_another_address_of_the_vpn_proves_it_too(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		say(DEVICE, udp(DEVICE, 1, HUB, 2));
		assert_false(is_wide(DEVICE));
		say(DEVICE, udp(DEVICE, 1, CLIENT, 2)); /* refused, and yet */
		assert_true(is_wide(DEVICE));
		say(DEVICE2, udp(DEVICE2, 1, 99, 2)); /* nobody's */
		assert_true(is_wide(DEVICE2));
	}
}

static void test_reach_packet_with_anothers_source_proves_nothing(void **state)
{
	(void)state;
	say(DEVICE, udp(DEVICE2, 1, CLIENT, 2));
	must_count(DROP_SOURCE);
	assert_false(is_wide(DEVICE));
	assert_false(is_wide(DEVICE2));
}

static void test_reach_device_that_is_always_stock_learns_nothing(void **state)
{
	(void)state;
	talk_set(DEVICE, WGH_PEER_HAS_NAT, 0, WGH_NAT_ALWAYS);
	say(DEVICE, udp(DEVICE, 1, CLIENT, 2));
	assert_false(is_wide(DEVICE));
	talk_set(DEVICE, WGH_PEER_HAS_NAT, 0, WGH_NAT_NEVER);
	assert_true(is_wide(DEVICE));
}

static void test_reach_new_session_begins_as_stock_and_is_news_only_if_it_stays_so(void **state)
{
	struct heard probe = new_session(DEVICE);

	(void)state;
	answer(DEVICE, &probe);
	assert_true(is_wide(DEVICE));
	probe = new_session(DEVICE);
	assert_false(is_wide(DEVICE));
	answer(DEVICE, &probe);
	assert_null(last_reach_event()); /* as it was */
	assert_true(is_wide(DEVICE));
	probe = new_session(DEVICE);
	fixture_advance(&f, 10 * NS_PER_S); /* it does not answer */
	assert_non_null(last_reach_event());
	assert_false(last_reach_event()->wide4);
	assert_false(is_wide(DEVICE));
}

/* Nor from silence the other way: a stock device stays one. */
static void test_reach_silence_proves_nothing(void **state)
{
	(void)state;
	new_session(DEVICE);
	fixture_advance(&f, 60 * NS_PER_S);
	assert_false(is_wide(DEVICE));
	assert_null(last_reach_event());
}

/* Sessions as fast as one likes do not make as many probes. */
static void test_reach_peer_is_asked_once_a_second_at_most(void **state)
{
	struct peer *peer = remote_peer(&f, &talkers[DEVICE]);
	unsigned n_asked = 0;
	uint64_t before;

	(void)state;
	new_session(DEVICE);
	before = peer->last_probe_ns;
	for (int i = 0; i < 20; i++) {
		fixture_advance(&f, 100 * NS_PER_MS);
		remote_connect(&f, &talkers[DEVICE]);
		n_asked += peer->last_probe_ns != before;
		before = peer->last_probe_ns;
	}
	assert_in_range(n_asked, 1, 2);
}

static void test_reach_flow_stays_as_it_began(void **state)
{
	struct heard probe = new_session(DEVICE);

	(void)state;
	say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, SYN));
	must_hear(DEVICE, HUB, 40000, DEVICE, 22);
	answer(DEVICE, &probe);
	assert_true(is_wide(DEVICE));
	say(CLIENT, tcp(CLIENT, 40000, DEVICE, 22, ACK));
	must_hear(DEVICE, HUB, 40000, DEVICE, 22);
	say(DEVICE, tcp(DEVICE, 22, HUB, 40000, ACK));
	must_hear(CLIENT, DEVICE, 22, CLIENT, 40000);
	say(CLIENT, tcp(CLIENT, 40001, DEVICE, 22, SYN));
	must_hear(DEVICE, CLIENT, 40001, DEVICE, 22);
	new_session(DEVICE); /* stock again, for what begins now */
	say(CLIENT, tcp(CLIENT, 40001, DEVICE, 22, ACK));
	must_hear(DEVICE, CLIENT, 40001, DEVICE, 22);
	say(CLIENT, tcp(CLIENT, 40002, DEVICE, 22, SYN));
	must_hear(DEVICE, HUB, 40002, DEVICE, 22);
}

static void test_reach_address_of_the_probe_is_nobodys(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		say(CLIENT, udp(CLIENT, 1, PROBE, 2));
		must_be_silent();
		must_count(DROP_NO_ROUTE);
		say(CLIENT, echo(CLIENT, 1, PROBE));
		must_be_silent();
		must_count(DROP_NO_ROUTE);
		/* An answer to no question of ours. */
		say(DEVICE,
			transport_reverse(&(struct transport){.kind = TRANSPORT_ECHO_REQUEST,
				.src = echo(PROBE, 0, DEVICE).src,
				.dst = echo(PROBE, 0, DEVICE).dst,
				.src_port = (uint16_t)(f.hub->probe_id + 1)}));
		must_be_silent();
		must_count(DROP_NO_ROUTE);
		say(CLIENT, udp(PROBE, 1, DEVICE, 2)); /* nor anybody's source */
		must_count(DROP_SOURCE);
	}
}

static void test_reach_without_a_probes_address_nobody_is_asked(void **state)
{
	struct remote *r = &talkers[DEVICE];
	uint8_t plain[2048];

	(void)state;
	policy.probe4.family = policy.probe6.family = WGH_UNSPEC;
	talk_policy();
	fixture_advance(&f, 2 * NS_PER_S);
	remote_connect(&f, r);
	fixture_advance(&f, 10 * NS_PER_S);
	for (size_t i = 0; remote_sent(&f, r, i); i++)
		assert_int_equal(remote_open(r, remote_sent(&f, r, i), plain), 0);
	say(DEVICE, udp(DEVICE, 1, CLIENT, 2));
	assert_true(is_wide(DEVICE));
}

/* A peer that has the address keeps it, and is not asked from it. */
static void test_reach_probes_address_that_a_peer_has_is_the_peers(void **state)
{
	struct wgh_allowed_ip ip = {.prefix = prefix4(10, 0, 0, PROBE, 32)};
	struct wgh_peer_change change = {
		.public_key = remote_key(&talkers[PLAIN]), .allowed_ips = &ip, .n_allowed_ips = 1};

	(void)state;
	fixture_change_peer(&f, &change);
	talk_set(CLIENT, WGH_PEER_HAS_GROUP, WGH_GROUP_PEER, 0);
	say(CLIENT, udp(CLIENT, 1, PROBE, 2));
	must_hear(PLAIN, CLIENT, 1, PROBE, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, talk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reach_device_that_answers_the_probe_is_wide),
		TEST(test_reach_each_family_is_proved_for_itself),
		TEST(test_reach_packet_to_another_address_of_the_vpn_proves_it_too),
		TEST(test_reach_packet_with_anothers_source_proves_nothing),
		TEST(test_reach_device_that_is_always_stock_learns_nothing),
		TEST(test_reach_new_session_begins_as_stock_and_is_news_only_if_it_stays_so),
		TEST(test_reach_silence_proves_nothing),
		TEST(test_reach_peer_is_asked_once_a_second_at_most),
		TEST(test_reach_flow_stays_as_it_began),
		TEST(test_reach_address_of_the_probe_is_nobodys),
		TEST(test_reach_without_a_probes_address_nobody_is_asked),
		TEST(test_reach_probes_address_that_a_peer_has_is_the_peers),
	};

	return cmocka_run_group_tests_name("decide_reach", tests, NULL, NULL);
}
