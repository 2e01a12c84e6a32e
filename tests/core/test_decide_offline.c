/* Peers that are known and not there: whoever wants them is told at once, or as soon as the hub
 * knows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/talk.h"

/* Its session is over, so that the hub has to call it; and it may, having been silent for a while.
 */
static void forget_session(unsigned n)
{
	fixture_advance(&f, 10 * NS_PER_S);
	fixture_forget(&f);
	keys_drop(f.hub, remote_peer(&f, &talkers[n]));
	hub_free_retired(f.hub, hub_take_retired(f.hub));
}

static void test_offline_peer_without_endpoint_is_unreachable_at_once(void **state)
{
	struct remote new;
	struct wgh_peer_change change = {.flags = WGH_PEER_HAS_GROUP, .group = WGH_GROUP_DEVICE};

	(void)state;
	remote_init(&f, &new, 40);
	remote_add(&f, &new);
	change.public_key = remote_key(&new);
	fixture_change_peer(&f, &change);
	BOTH_FAMILIES
	{
		say(CLIENT, echo(CLIENT, 1, 40));
		must_be_told(CLIENT, ICMP_NO_ROUTE);
		must_count(DROP_NO_ENDPOINT);
		say(HUB, echo(HUB, 1, 40));
		must_be_told(HUB, ICMP_NO_ROUTE);
		must_count(DROP_NO_ENDPOINT);
		say(HUB, echo(HUB, 1, 41)); /* no such peer */
		must_be_told(HUB, ICMP_NO_ROUTE);
		must_count(DROP_NO_ROUTE);
	}
}

/* Five seconds after the call that nobody answered, and from then on at once; to the client that
 * the packet was translated for, about the packet that it sent. */
static void test_offline_peer_that_does_not_answer_becomes_unreachable(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		const uint32_t header = family == WGH_IPV4 ? 20 : 40;
		struct heard h;

		forget_session(DEVICE);
		say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
		must_be_silent();
		fixture_forget(&f);
		fixture_advance(&f, 4 * NS_PER_S);
		must_be_silent();
		fixture_advance(&f, 2 * NS_PER_S);
		must_be_told(CLIENT, ICMP_NO_ROUTE);
		assert_true(heard_by(CLIENT, &h));
		assert_int_equal(
			h.packet[header + 8 + header] << 8 | h.packet[header + 8 + header + 1],
			5000);
		say(CLIENT, udp(CLIENT, 5000, DEVICE, 53));
		must_be_told(CLIENT, ICMP_NO_ROUTE);
		say(CLIENT2, echo(CLIENT2, 1, DEVICE));
		must_be_told(CLIENT2, ICMP_NO_ROUTE);
		say(HUB, echo(HUB, 1, DEVICE));
		must_be_told(HUB, ICMP_NO_ROUTE);
		assert_int_equal(
			remote_peer(&f, &talkers[DEVICE])->n_staged, 4); /* there is hope */
		remote_connect(&f, &talkers[DEVICE]); /* it is back */
		say(CLIENT, udp(CLIENT, 5001, DEVICE, 53));
		assert_true(heard_by(DEVICE, &h));
		say(DEVICE, udp(DEVICE, 53, HUB, h.src_port));
		must_hear(CLIENT, DEVICE, 53, CLIENT, 5001);
		fixture_advance(&f, 20 * NS_PER_S); /* the allowances are full again */
	}
}

/* Packets of a plain pair: the peer itself is told. */
static void test_offline_plain_peer_is_told_about_what_waits(void **state)
{
	(void)state;
	talk_set(CLIENT, WGH_PEER_HAS_GROUP, WGH_GROUP_PEER, 0);
	forget_session(PLAIN);
	for (uint16_t port = 1; port <= 100; port++)
		say(CLIENT, udp(CLIENT, port, PLAIN, 53));
	fixture_forget(&f);
	fixture_advance(&f, 6 * NS_PER_S);
	for (unsigned n = 0;; n++)
		if (!remote_sent(&f, &talkers[CLIENT], n)) {
			assert_in_range(n, 10, 11); /* not about each of them */
			break;
		}
	assert_int_equal(remote_peer(&f, &talkers[PLAIN])->n_staged, 100);
}

static void test_offline_peer_that_speaks_is_there(void **state)
{
	struct peer *peer = remote_peer(&f, &talkers[DEVICE]);

	(void)state;
	relaxed_set(&peer->silent, true);
	say(DEVICE, echo(DEVICE, 1, HUB));
	assert_false(relaxed_get(&peer->silent));
	relaxed_set(&peer->silent, true);
	fixture_advance(&f, NS_PER_S);
	remote_connect(&f, &talkers[DEVICE]);
	assert_false(relaxed_get(&peer->silent));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, talk_setup_nat_tun, talk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_offline_peer_without_endpoint_is_unreachable_at_once),
		TEST(test_offline_peer_that_does_not_answer_becomes_unreachable),
		TEST(test_offline_plain_peer_is_told_about_what_waits),
		TEST(test_offline_peer_that_speaks_is_there),
	};

	return cmocka_run_group_tests_name("decide_offline", tests, NULL, NULL);
}
