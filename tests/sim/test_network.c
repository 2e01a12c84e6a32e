/* Who reaches whom through a hub, from host to host: clients, devices that nobody touched, devices
 * that take packets from everybody, and the hub's own host. And that it stays so when people move,
 * keys are renewed and the hub restarts. */
#include "tests/sim/network.h"

static const uint8_t families[2] = {WGH_IPV4, WGH_IPV6};
static const enum transport_kind kinds[3] = {TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_ECHO_REQUEST};

enum end { CLIENT, STOCK, WIDE, HOST, ENDS };
static const char *const end_names[] = {"client", "stock", "wide", "host"};

static struct sim_hub *end_of(struct network *n, enum end end, bool other)
{
	switch (end) {
	case CLIENT:
		return other ? n->client2 : n->client;
	case STOCK:
		return other ? n->stock2 : n->stock;
	case WIDE:
		return n->wide;
	default:
		return n->hub;
	}
}

enum wish { NO, YES, PING };

/* Every cell in both families and with each protocol. */
static void assert_matrix(struct network *n, const enum wish want[ENDS][ENDS])
{
	const bool has_tun = n->hub->hub->options.has_tun;

	for (enum end from = 0; from < ENDS; from++)
		for (enum end to = 0; to < ENDS; to++)
			for (int i = 0; i < 6; i++) {
				const enum transport_kind kind = kinds[i % 3];
				const bool ping = kind == TRANSPORT_ECHO_REQUEST;
				enum wish wish = want[from][to];

				if ((from == HOST && (to == HOST || !has_tun)) ||
					(from == to && from == WIDE))
					continue;
				if (to == HOST && !has_tun && wish == YES)
					wish = PING; /* the built-in host */
				if (network_reaches(n, end_of(n, from, false),
					    end_of(n, to, from == to), kind, families[i / 3]) !=
					(wish == YES || (wish == PING && ping)))
					fail_msg("%s to %s, %s over IPv%u", end_names[from],
						end_names[to],
						ping				? "ping"
							: kind == TRANSPORT_TCP ? "TCP"
										: "UDP",
						families[i / 3]);
				sim_run(n->sim, NS_PER_S);
			}
}

static void test_network_reaches_what_the_policy_allows(void **state)
{
	static const enum wish closed[ENDS][ENDS] = {
		/* to:       client stock wide host */
		[CLIENT] = {NO, YES, YES, YES},
		[STOCK] = {NO, NO, NO, PING},
		[WIDE] = {NO, NO, NO, PING},
		[HOST] = {YES, YES, YES, NO},
	};
	/* A stock device cannot even send to anybody but the hub. */
	static const enum wish open[ENDS][ENDS] = {
		[CLIENT] = {YES, YES, YES, YES},
		[STOCK] = {NO, NO, NO, YES},
		[WIDE] = {YES, YES, YES, YES},
		[HOST] = {YES, YES, YES, NO},
	};

	(void)state;
	for (int has_tun = 0; has_tun < 2; has_tun++) {
		struct network n = network_new(has_tun, 2, 1);

		sim_run(n.sim, NS_PER_S);
		assert_matrix(&n, closed);
		for (unsigned from = 0; from < WGH_GROUPS_MAX; from++)
			for (unsigned to = 0; to < WGH_GROUPS_MAX; to++)
				n.policy.table[from][to] = WGH_ALLOW;
		network_policy(&n);
		assert_matrix(&n, open);
		network_free(&n);
	}
}

static void test_network_learns_who_is_wide_by_asking(void **state)
{
	struct network n = network_new(false, 1, 2);
	struct transport t = network_packet(n.client, 5000, n.wide, 53, TRANSPORT_UDP, WGH_IPV4);
	struct transport heard;
	uint64_t told;

	(void)state;
	sim_run(n.sim, 10 * NS_PER_S);
	assert_int_equal(sim_peer(n.hub, n.wide)->wide, REACH_STOCK4 | REACH_STOCK6);
	assert_int_equal(sim_peer(n.hub, n.stock)->wide, 0);
	told = n.hub->n_events[WGH_EVENT_REACH];
	assert_in_range(told, 1, 2); /* of each family, or of both at once */
	network_send(&n, n.client, &t);
	assert_true(network_take(n.wide, &heard));
	assert_true(wgh_addr_equal(&heard.src, &n.client->inner4));
	/* For an hour of renewed keys nothing changes, and nothing is said. */
	sim_run(n.sim, 3600 * NS_PER_S);
	assert_int_equal(n.hub->n_events[WGH_EVENT_REACH], told);
	/* Somebody sets it back to how it came. */
	sim_change_peer(n.wide, n.hub,
		(struct wgh_peer_change){.flags = WGH_PEER_REPLACE_ALLOWED_IPS,
			.allowed_ips =
				(struct wgh_allowed_ip[]){{.prefix = sim_prefix(n.hub->inner4, 32)},
					{.prefix = sim_prefix(n.hub->inner6, 128)}},
			.n_allowed_ips = 2});
	sim_run(n.sim, 200 * NS_PER_S);
	assert_int_equal(sim_peer(n.hub, n.wide)->wide, 0);
	assert_true(network_reaches(&n, n.client, n.wide, TRANSPORT_TCP, WGH_IPV4));
	network_free(&n);
}

/* An exchange a second for ten minutes, through renewed keys and changed ports of both ends'
 * routers. */
static void test_network_flow_goes_on_while_its_ends_move(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct network n = network_new(true, 3, 3);
		struct transport t =
			network_packet(n.client, 5000, n.stock, 22, TRANSPORT_TCP, families[v6]);
		struct transport heard, answer;
		uint16_t nat_port = 0;

		sim_run(n.sim, 10 * NS_PER_S);
		for (int s = 0; s < 600; s++) {
			if (s % 60 == 30)
				sim_rebind(n.client);
			if (s % 60 == 59) {
				sim_rebind(n.stock);
				sim_run(n.sim, 26 * NS_PER_S); /* its keepalive says where it is */
			}
			network_send(&n, n.client, &t);
			assert_true(network_take(n.stock, &heard));
			if (!nat_port)
				nat_port = heard.src_port;
			assert_int_equal(heard.src_port, nat_port);
			answer = network_answer(&heard);
			network_send(&n, n.stock, &answer);
			assert_true(network_take(n.client, &heard));
			assert_int_equal(heard.dst_port, 5000);
			t.tcp_flags = TCP_ACK;
			sim_run(n.sim, NS_PER_S);
		}
		assert_int_equal(flow_count(n.hub->hub->flows), 1);
		network_free(&n);
	}
}

static void test_network_two_clients_have_a_thousand_flows_each_to_one_device(void **state)
{
	struct network n = network_new(true, 2, 4);
	struct sim_hub *const clients[2] = {n.client, n.client2};
	static bool taken[65536];
	struct transport heard, t;

	(void)state;
	sim_run(n.sim, 10 * NS_PER_S);
	for (int i = 0; i < 2000; i++) {
		t = network_packet(clients[i & 1], (uint16_t)(30000 + i / 2), n.stock, 22,
			TRANSPORT_TCP, WGH_IPV4);
		network_send(&n, clients[i & 1], &t);
		assert_true(network_take(n.stock, &heard));
		assert_true(wgh_addr_equal(&heard.src, &n.hub->inner4));
		assert_false(taken[heard.src_port]);
		taken[heard.src_port] = true;
		t = network_answer(&heard);
		network_send(&n, n.stock, &t);
		assert_true(network_take(clients[i & 1], &heard));
		assert_int_equal(heard.dst_port, 30000 + i / 2);
		t = network_answer(&heard); /* connected */
		network_send(&n, clients[i & 1], &t);
		assert_true(network_take(n.stock, &heard));
	}
	assert_int_equal(flow_count(n.hub->hub->flows), 2000);
	network_free(&n);
}

static void test_network_restarted_hub_says_what_is_over_and_goes_on_with_the_rest(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct network n = network_new(true, 1, 5);
		struct transport to_stock =
			network_packet(n.client, 5000, n.stock, 22, TRANSPORT_TCP, families[v6]);
		struct transport of_host =
			network_packet(n.hub, 40000, n.stock, 22, TRANSPORT_TCP, families[v6]);
		struct transport heard, answer;

		sim_run(n.sim, 10 * NS_PER_S);
		network_send(&n, n.client, &to_stock);
		assert_true(network_take(n.stock, &heard));
		answer = network_answer(&heard);
		network_send(&n, n.hub, &of_host);
		assert_true(network_take(n.stock, &heard));
		sim_restart(n.hub);
		network_configure(&n);
		sim_run(n.sim, 200 * NS_PER_S); /* they notice and call again */
		sim_forget_inbox(n.client);
		sim_forget_inbox(n.stock);
		/* Either end that goes on with what was translated hears that it is over. */
		to_stock.tcp_flags = TCP_ACK;
		network_send(&n, n.client, &to_stock);
		assert_true(network_take(n.client, &heard));
		assert_true(heard.tcp_flags & TCP_RST);
		assert_true(wgh_addr_equal(&heard.src, &to_stock.dst));
		answer.tcp_flags = TCP_ACK;
		network_send(&n, n.stock, &answer);
		assert_true(network_take(n.stock, &heard));
		assert_true(heard.tcp_flags & TCP_RST);
		/* The host's own goes on when it speaks. */
		of_host.tcp_flags = TCP_ACK;
		network_send(&n, n.hub, &of_host);
		assert_true(network_take(n.stock, &heard));
		assert_int_equal(heard.src_port, 40000);
		answer = network_answer(&heard);
		network_send(&n, n.stock, &answer);
		assert_true(network_take(n.hub, &heard));
		/* And everybody can begin anew. */
		assert_true(network_reaches(&n, n.client, n.stock, TRANSPORT_TCP, families[v6]));
		network_free(&n);
	}
}

static void test_network_answers_of_a_router_tell_the_truth(void **state)
{
	struct network n = network_new(true, 1, 6);
	struct transport t = network_packet(n.client, 5000, n.stock, 22, TRANSPORT_UDP, WGH_IPV4);
	uint8_t packet[SIM_PACKET_BYTES_MAX];

	(void)state;
	sim_run(n.sim, 10 * NS_PER_S);
	t.ttl = 1;
	network_send(&n, n.client, &t); /* traceroute: the hub is the first hop */
	assert_true(sim_take(n.client, packet) > 0);
	assert_int_equal(packet[20], 11);
	assert_memory_equal(packet + 12, n.hub->inner4.bytes, 4);
	t.ttl = 2;
	network_send(&n, n.client, &t); /* and the device the second */
	assert_true(sim_take(n.stock, packet) > 0);
	/* A device that has gone: after one call that it did not answer, ping says so at once. */
	sim_set_up(n.stock2, false);
	sim_run(n.sim, 600 * NS_PER_S);
	t = network_packet(n.client, 1, n.stock2, 0, TRANSPORT_ECHO_REQUEST, WGH_IPV4);
	network_send(&n, n.client, &t);
	sim_run(n.sim, 7 * NS_PER_S);
	assert_true(sim_take(n.client, packet) > 0);
	assert_int_equal(packet[20] << 8 | packet[21], 3 << 8 | 1);
	sim_forget_inbox(n.client);
	network_send(&n, n.client, &t);
	assert_true(sim_take(n.client, packet) > 0);
	assert_int_equal(packet[20] << 8 | packet[21], 3 << 8 | 1);
	network_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_network_reaches_what_the_policy_allows),
		cmocka_unit_test(test_network_learns_who_is_wide_by_asking),
		cmocka_unit_test(test_network_flow_goes_on_while_its_ends_move),
		cmocka_unit_test(test_network_two_clients_have_a_thousand_flows_each_to_one_device),
		cmocka_unit_test(
			test_network_restarted_hub_says_what_is_over_and_goes_on_with_the_rest),
		cmocka_unit_test(test_network_answers_of_a_router_tell_the_truth),
	};

	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
