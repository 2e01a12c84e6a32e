/* Change sets for peers: what each flag does, in order, and all or nothing. Memory that
 * runs out on the way is test_alloc.c's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;
static struct remote a, b;

/* Two peers, 10.0.0.1 and 10.0.0.2. */
static int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_pair_add(&f, &a, &b);
	fixture_forget(&f);
	return 0;
}

static int apply(const struct wgh_change *change)
{
	return fixture_apply(&f, change, NULL);
}

static int apply_peers(const struct wgh_peer_change *peers, size_t n)
{
	return apply(&(struct wgh_change){.peers = peers, .n_peers = n});
}

static struct wgh_peer_change of(const struct remote *r, uint32_t flags)
{
	return (struct wgh_peer_change){.public_key = remote_key(r), .flags = flags};
}

static struct peer *owner(struct wgh_prefix p)
{
	return route_lookup(relaxed_get(&f.hub->view)->routes, &p.addr);
}

static struct peer *owner_of(uint8_t last)
{
	return owner(prefix4(10, 0, 0, last, 32));
}

static size_t n_prefixes(const struct remote *r)
{
	struct wgh_prefix prefix;
	size_t cursor = 0, n = 0;

	while (route_next_of(f.hub->routes, remote_peer(&f, r), &cursor, &prefix))
		n++;
	return n;
}

/* ---- one peer ---- */

static void test_change_adds_a_peer_with_all_it_says(void **state)
{
	const struct wgh_allowed_ip ips[] = {{prefix4(10, 1, 2, 3, 16)}, {prefix6(9, 64)}};
	struct wgh_peer_change change;
	struct remote c;
	struct peer *peer;

	(void)state;
	remote_init(&f, &c, 3);
	change =
		of(&c, WGH_PEER_HAS_PRESHARED_KEY | WGH_PEER_HAS_ENDPOINT | WGH_PEER_HAS_KEEPALIVE);
	memset(change.preshared_key, 5, 32);
	change.endpoint = c.endpoint;
	change.keepalive_s = 21;
	change.allowed_ips = ips;
	change.n_allowed_ips = 2;
	assert_int_equal(apply_peers(&change, 1), 0);
	peer = remote_peer(&f, &c);
	assert_non_null(peer);
	assert_memory_equal(peer->psk.bytes, change.preshared_key, 32);
	assert_int_equal(peer_endpoint(peer).port, c.endpoint.port);
	assert_int_equal(relaxed_get(&peer->keepalive_s), 21);
	assert_ptr_equal(owner(prefix4(10, 1, 200, 1, 32)), peer);
	assert_ptr_equal(owner(prefix6(77, 128)), peer);
	assert_int_equal(f.hub->peers.n_peers, 3);
}

static void test_change_touches_only_what_it_names(void **state)
{
	struct wgh_peer_change change = of(&a, 0);

	(void)state;
	remote_connect(&f, &a);
	memset(remote_peer(&f, &a)->psk.bytes, 3, 32);
	assert_int_equal(apply_peers(&change, 1), 0);
	assert_non_null(relaxed_get(&remote_peer(&f, &a)->current));
	assert_int_equal(remote_peer(&f, &a)->psk.bytes[0], 3);
	assert_int_equal(peer_endpoint(remote_peer(&f, &a)).port, a.endpoint.port);
	assert_int_equal(n_prefixes(&a), 2);
}

static void test_change_removes_a_peer_with_keys_routes_and_waiting_packets(void **state)
{
	struct wgh_peer_change change = of(&a, WGH_PEER_REMOVE);
	struct inner p = inner4(254, 1, 10);
	uint32_t index;

	(void)state;
	remote_connect(&f, &a);
	index = a.remote_index;
	remote_peer(&f, &a)->handshake_asked_ns = 0;
	fixture_advance(&f, 200 * NS_PER_S); /* the key is too old: this one waits */
	fixture_tun(&f, p.data, p.len_bytes);
	assert_int_equal(remote_peer(&f, &a)->n_staged, 1);
	assert_int_equal(apply_peers(&change, 1), 0);
	assert_null(remote_peer(&f, &a));
	assert_null(owner_of(1));
	assert_false(session_taken(&f.hub->sessions, index));
	assert_int_equal(f.hub->sessions.n_live, 0);
	assert_int_equal(f.hub->keypairs.n_used + f.hub->handshakes.n_used, 0);
	assert_int_equal(fixture_drops(&f, DROP_STAGED_EXPIRED), 1);
	assert_int_equal(f.hub->staged_bytes, 0);
	assert_int_equal(f.hub->peers.memory.n_used, 1);
	assert_int_equal(apply_peers(&change, 1), 0); /* unknown: no error, nothing made */
	assert_int_equal(f.hub->peers.n_peers, 1);
}

static void test_change_update_only_creates_nothing(void **state)
{
	struct wgh_peer_change changes[2];
	struct wgh_allowed_ip ip = {prefix4(10, 0, 0, 1, 32)};
	struct remote c;

	(void)state;
	remote_init(&f, &c, 3);
	changes[0] = of(&c, WGH_PEER_UPDATE_ONLY);
	changes[0].allowed_ips = &ip;
	changes[0].n_allowed_ips = 1;
	changes[1] = of(&b, WGH_PEER_UPDATE_ONLY | WGH_PEER_HAS_KEEPALIVE);
	changes[1].keepalive_s = 9;
	assert_int_equal(apply_peers(changes, 2), 0);
	assert_null(remote_peer(&f, &c));
	assert_ptr_equal(owner_of(1), remote_peer(&f, &a)); /* not taken by nobody */
	assert_int_equal(relaxed_get(&remote_peer(&f, &b)->keepalive_s), 9);
}

static void test_change_endpoint_counts_from_the_next_packet_and_keeps_the_session(void **state)
{
	struct wgh_peer_change change = of(&a, WGH_PEER_HAS_ENDPOINT);
	struct wgh_endpoint sticky = a.endpoint;
	struct inner p = inner4(254, 1, 10);

	(void)state;
	sticky.local_ifindex = 4;
	a.endpoint = sticky;
	remote_connect(&f, &a);
	assert_int_equal(peer_endpoint(remote_peer(&f, &a)).local_ifindex, 4);
	change.endpoint = endpoint4(99, 99);
	assert_int_equal(apply_peers(&change, 1), 0);
	fixture_tun(&f, p.data, p.len_bytes);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].to.port, 99);
	assert_int_equal(f.sent[0].to.local_ifindex, 0);
}

/* 10.3: gotatun before 0.7.2 stored it and went on with the old one. */
static void test_change_preshared_key_takes_effect_with_the_next_handshake(void **state)
{
	struct wgh_peer_change change = of(&a, WGH_PEER_HAS_PRESHARED_KEY);
	struct inner p = inner4(254, 1, 10);
	struct wire_initiation msg;

	(void)state;
	remote_connect(&f, &a);
	memset(change.preshared_key, 8, 32);
	assert_int_equal(apply_peers(&change, 1), 0);
	fixture_tun(&f, p.data, p.len_bytes); /* the live session stays */
	assert_int_equal(f.n_sent, 1);
	fixture_advance(&f, NS_PER_S);

	remote_initiation(&f, &a, &msg);
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_int_equal(f.n_sent, 2);
	assert_false(remote_take_response(&a, &f.sent[1]));
	memset(a.psk.bytes, 8, 32);
	assert_true(remote_take_response(&a, &f.sent[1]));
}

/* ---- several in one set ---- */

static void test_change_remove_and_add_again_in_one_set_makes_a_new_peer(void **state)
{
	struct wgh_allowed_ip ip = {prefix4(10, 0, 0, 7, 32)};
	struct wgh_peer_change changes[2] = {of(&a, WGH_PEER_REMOVE), of(&a, 0)};
	struct peer *before;
	uint32_t serial;

	(void)state;
	remote_connect(&f, &a);
	before = remote_peer(&f, &a);
	serial = before->serial;
	changes[1].allowed_ips = &ip;
	changes[1].n_allowed_ips = 1;
	assert_int_equal(apply_peers(changes, 2), 0);
	assert_non_null(remote_peer(&f, &a));
	assert_int_not_equal(remote_peer(&f, &a)->serial, serial);
	assert_null(relaxed_get(&remote_peer(&f, &a)->current));
	assert_true(ct_is_zero(
		remote_peer(&f, &a)->last_timestamp, 12)); /* for one whose clock was set back */
	assert_false(relaxed_get(&remote_peer(&f, &a)->has_endpoint));
	assert_null(owner_of(1));
	assert_ptr_equal(owner_of(7), remote_peer(&f, &a));
	assert_int_equal(f.hub->peers.n_peers, 2);
	assert_int_equal(f.hub->peers.memory.n_used, 2);
	assert_int_equal(f.hub->sessions.n_live, 0);
}

static void test_change_add_and_remove_in_one_set_leaves_nothing(void **state)
{
	struct wgh_allowed_ip ip = {prefix4(10, 0, 0, 7, 32)};
	struct wgh_peer_change changes[5];
	struct remote c;

	(void)state;
	remote_init(&f, &c, 3);
	changes[0] = changes[2] = of(&c, 0);
	changes[0].allowed_ips = changes[2].allowed_ips = &ip;
	changes[0].n_allowed_ips = changes[2].n_allowed_ips = 1;
	changes[1] = changes[3] = of(&c, WGH_PEER_REMOVE);
	assert_int_equal(apply_peers(changes, 4), 0);
	assert_null(remote_peer(&f, &c));
	assert_null(owner_of(7));
	assert_int_equal(f.hub->peers.memory.n_used, 2);
	/* And once more: the last word counts. */
	changes[4] = changes[0];
	assert_int_equal(apply_peers(changes, 5), 0);
	assert_ptr_equal(owner_of(7), remote_peer(&f, &c));
	assert_int_equal(f.hub->peers.memory.n_used, 3);
}

static void test_change_same_key_twice_is_one_peer_changed_twice(void **state)
{
	struct wgh_allowed_ip ips[2] = {{prefix4(10, 0, 0, 7, 32)}, {prefix4(10, 0, 0, 8, 32)}};
	struct wgh_peer_change changes[2];
	struct remote c;

	(void)state;
	remote_init(&f, &c, 3);
	for (int i = 0; i < 2; i++) {
		changes[i] = of(&c, WGH_PEER_HAS_KEEPALIVE);
		changes[i].keepalive_s = (uint16_t)(10 + i);
		changes[i].allowed_ips = &ips[i];
		changes[i].n_allowed_ips = 1;
	}
	assert_int_equal(apply_peers(changes, 2), 0);
	assert_int_equal(f.hub->peers.n_peers, 3);
	assert_int_equal(relaxed_get(&remote_peer(&f, &c)->keepalive_s), 11);
	assert_ptr_equal(owner_of(7), remote_peer(&f, &c));
	assert_ptr_equal(owner_of(8), remote_peer(&f, &c));
}

static void test_change_replace_peers_removes_listed_and_unlisted(void **state)
{
	struct wgh_peer_change changes[1] = {of(&a, 0)};
	struct wgh_change change = {.flags = WGH_REPLACE_PEERS, .peers = changes, .n_peers = 1};
	uint32_t serial;

	(void)state;
	remote_connect(&f, &a);
	serial = remote_peer(&f, &a)->serial;
	assert_int_equal(apply(&change), 0);
	assert_null(remote_peer(&f, &b));
	assert_int_not_equal(remote_peer(&f, &a)->serial, serial);
	assert_null(relaxed_get(&remote_peer(&f, &a)->current));
	assert_int_equal(n_prefixes(&a), 0);
	assert_int_equal(f.hub->peers.n_peers, 1);
	assert_int_equal(f.hub->peers.memory.n_used, 1);
	assert_int_equal(apply(&(struct wgh_change){.flags = WGH_REPLACE_PEERS}), 0);
	assert_int_equal(f.hub->peers.n_peers, 0);
	assert_int_equal(route_count(f.hub->routes), 0);
}

static void test_change_replace_peers_with_update_only_ends_empty(void **state)
{
	struct wgh_peer_change changes[1] = {of(&a, WGH_PEER_UPDATE_ONLY)};
	struct wgh_change change = {.flags = WGH_REPLACE_PEERS, .peers = changes, .n_peers = 1};

	(void)state;
	assert_int_equal(apply(&change), 0);
	assert_int_equal(f.hub->peers.n_peers, 0);
}

/* ---- prefixes ---- */

static void test_change_replace_allowed_ips_keeps_only_the_new(void **state)
{
	struct wgh_allowed_ip ips[2] = {{prefix4(10, 0, 0, 1, 32)}, {prefix4(10, 9, 0, 0, 16)}};
	struct wgh_peer_change change = of(&a, WGH_PEER_REPLACE_ALLOWED_IPS);

	(void)state;
	remote_connect(&f, &a);
	change.allowed_ips = ips;
	change.n_allowed_ips = 2;
	assert_int_equal(apply_peers(&change, 1), 0);
	assert_int_equal(n_prefixes(&a), 2);
	assert_ptr_equal(owner_of(1), remote_peer(&f, &a));
	assert_null(owner(prefix6(1, 128)));
	assert_non_null(relaxed_get(&remote_peer(&f, &a)->current)); /* no session lost */
	assert_int_equal(f.n_events, 0); /* its own prefix did not move */
	change.n_allowed_ips = 0;
	assert_int_equal(apply_peers(&change, 1), 0);
	assert_int_equal(n_prefixes(&a), 0);
}

static void test_change_prefix_moves_with_an_event_and_the_old_owner_keeps_the_rest(void **state)
{
	/* Host bits set: the event shows the prefix as it is stored. */
	struct wgh_allowed_ip ips[2] = {{prefix4(10, 0, 0, 1, 32)}, {prefix4(10, 5, 5, 5, 16)}};
	struct wgh_peer_change changes[2] = {of(&a, 0), of(&b, 0)};

	(void)state;
	changes[0].allowed_ips = changes[1].allowed_ips = ips;
	changes[0].n_allowed_ips = 2;
	assert_int_equal(apply_peers(changes, 1), 0);
	assert_int_equal(f.n_events, 0);
	changes[1].n_allowed_ips = 2;
	assert_int_equal(apply_peers(&changes[1], 1), 0);
	assert_int_equal(f.n_events, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(f.events[i].kind, WGH_EVENT_ROUTE_MOVED);
		assert_memory_equal(f.events[i].peer.bytes, b.identity.public_key.bytes, 32);
		assert_memory_equal(f.events[i].other.bytes, a.identity.public_key.bytes, 32);
		assert_true(f.events[i].now_ns == f.now_ns);
	}
	assert_int_equal(f.events[1].prefix.bits, 16);
	assert_memory_equal(f.events[1].prefix.addr.bytes, prefix4(10, 5, 0, 0, 16).addr.bytes, 16);
	assert_ptr_equal(owner_of(1), remote_peer(&f, &b));
	assert_ptr_equal(owner(prefix6(1, 128)), remote_peer(&f, &a));
	assert_int_equal(n_prefixes(&a), 1);
}

static void test_change_allowed_ip_removal_takes_only_from_the_named_peer(void **state)
{
	struct wgh_allowed_ip ips[2] = {{.prefix = prefix4(10, 0, 0, 2, 32), .remove = true},
		{.prefix = prefix4(10, 0, 0, 1, 32), .remove = true}};
	struct wgh_peer_change change = of(&a, 0);

	(void)state;
	change.allowed_ips = ips;
	change.n_allowed_ips = 2;
	assert_int_equal(apply_peers(&change, 1), 0);
	assert_ptr_equal(owner_of(2), remote_peer(&f, &b));
	assert_null(owner_of(1));
	assert_int_equal(n_prefixes(&a), 1);
}

static void test_change_allowed_ips_apply_in_order(void **state)
{
	struct wgh_allowed_ip ips[3] = {{.prefix = prefix4(10, 0, 0, 7, 32)},
		{.prefix = prefix4(10, 0, 0, 7, 32), .remove = true},
		{.prefix = prefix4(10, 0, 0, 8, 32), .remove = true}};
	struct wgh_peer_change change = of(&a, 0);

	(void)state;
	change.allowed_ips = ips;
	change.n_allowed_ips = 3;
	assert_int_equal(apply_peers(&change, 1), 0);
	assert_null(owner_of(7));
}

/* The hub's own addresses stay the hub's, also under a peer's /0, and come back from nowhere. */
static void test_change_own_addresses_are_never_a_peer_s(void **state)
{
	struct wgh_allowed_ip ips[2] = {{prefix4(0, 0, 0, 0, 0)}, {prefix4(10, 0, 0, 254, 32)}};
	struct wgh_peer_change change = of(&a, 0);

	(void)state;
	change.allowed_ips = ips;
	change.n_allowed_ips = 2;
	assert_int_equal(apply_peers(&change, 1), 0);
	assert_ptr_equal(owner_of(254), ROUTE_SELF);
	assert_ptr_equal(owner_of(255), ROUTE_BROADCAST);
	assert_ptr_equal(owner_of(99), remote_peer(&f, &a));
	assert_int_equal(hub_set_addresses(f.hub, NULL, 0), 0);
	assert_ptr_equal(owner_of(254), remote_peer(&f, &a));
	assert_ptr_equal(owner_of(255), remote_peer(&f, &a));
}

static void test_change_host_prefix_on_a_broadcast_address_wins_over_the_network(void **state)
{
	struct wgh_allowed_ip ip = {prefix4(10, 0, 0, 255, 32)};
	struct wgh_peer_change change = of(&a, 0);

	(void)state;
	change.allowed_ips = &ip;
	change.n_allowed_ips = 1;
	assert_int_equal(apply_peers(&change, 1), 0);
	assert_ptr_equal(owner_of(255), remote_peer(&f, &a));
}

/* ---- all or nothing ---- */

/* What a refused change must leave as it was. */
static void assert_untouched(void)
{
	assert_int_equal(f.hub->peers.n_peers, 2);
	assert_int_equal(f.hub->peers.memory.n_used, 2);
	assert_int_equal(route_count(f.hub->routes), 4);
	assert_memory_equal(&f.hub->identity->public_key, &f.hub_key, 32);
	assert_non_null(relaxed_get(&remote_peer(&f, &a)->current));
	assert_int_equal(relaxed_get(&remote_peer(&f, &a)->keepalive_s), 0);
	assert_ptr_equal(owner_of(1), remote_peer(&f, &a));
	assert_int_equal(f.n_events, 0);
}

static void test_change_with_one_bad_part_changes_nothing(void **state)
{
	struct wgh_allowed_ip good = {prefix4(10, 0, 0, 1, 32)}, bad[3];
	struct wgh_endpoint endpoints[4];
	struct wgh_peer_change peers[3];
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY | WGH_REPLACE_PEERS,
		.private_key = {9},
		.peers = peers,
		.n_peers = 3};
	struct wgh_error error;
	struct remote c;

	(void)state;
	remote_init(&f, &c, 3);
	remote_connect(&f, &a);
	peers[0] = of(&a, WGH_PEER_HAS_KEEPALIVE);
	peers[0].keepalive_s = 5;
	peers[1] = of(&b, 0);
	peers[1].allowed_ips = &good;
	peers[1].n_allowed_ips = 1;
	bad[0].prefix = prefix4(10, 0, 0, 0, 33);
	bad[1].prefix = prefix6(1, 129);
	bad[2].prefix = (struct wgh_prefix){.addr = {.family = WGH_UNSPEC}, .bits = 1};
	for (int i = 0; i < 3; i++) {
		peers[2] = of(&c, 0);
		peers[2].allowed_ips = &bad[i];
		peers[2].n_allowed_ips = 1;
		memset(&error, 0, sizeof error);
		assert_int_equal(hub_apply(f.hub, &change, f.now_ns, &error), -EINVAL);
		assert_string_not_equal(error.text, "");
		assert_untouched();
	}
	endpoints[0] = (struct wgh_endpoint){.port = 1};
	endpoints[1] = (struct wgh_endpoint){.port = 1, .family = 5};
	endpoints[2] = endpoint4(1, 0);
	endpoints[3] = (struct wgh_endpoint){.port = 0, .family = WGH_IPV6};
	for (int i = 0; i < 4; i++) {
		peers[2] = of(&c, WGH_PEER_HAS_ENDPOINT);
		peers[2].endpoint = endpoints[i];
		memset(&error, 0, sizeof error);
		assert_int_equal(hub_apply(f.hub, &change, f.now_ns, &error), -EINVAL);
		assert_string_not_equal(error.text, "");
		assert_untouched();
	}
}

/* A random walk of sets against a naive list of keys: who is there, and what the slab holds. */
static void test_change_random_sets_agree_with_a_naive_list(void **state)
{
	enum { N = 12 };
	struct remote remotes[N];
	bool there[N] = {false};
	struct rng rng = {21};

	(void)state;
	for (unsigned i = 0; i < N; i++)
		remote_init(&f, &remotes[i], 10 + i);
	for (int round = 0; round < 300; round++) {
		struct wgh_peer_change peers[20];
		struct wgh_allowed_ip ips[20];
		struct wgh_change change = {.peers = peers, .n_peers = rng_below(&rng, 20)};
		size_t n = 0;

		if (!rng_below(&rng, 8) || !round) {
			change.flags = WGH_REPLACE_PEERS;
			memset(there, 0, sizeof there);
		}
		for (size_t k = 0; k < change.n_peers; k++) {
			const unsigned i = (unsigned)rng_below(&rng, N);
			const uint32_t flags[] = {0, 0, WGH_PEER_REMOVE, WGH_PEER_UPDATE_ONLY,
				WGH_PEER_REPLACE_ALLOWED_IPS};

			peers[k] = of(&remotes[i], flags[rng_below(&rng, 5)]);
			ips[k].prefix = prefix4(10, 7, 0, (uint8_t)rng_below(&rng, 6), 32);
			ips[k].remove = !rng_below(&rng, 4);
			peers[k].allowed_ips = &ips[k];
			peers[k].n_allowed_ips = 1;
			if (peers[k].flags & WGH_PEER_REMOVE)
				there[i] = false;
			else if (!(peers[k].flags & WGH_PEER_UPDATE_ONLY))
				there[i] = true;
		}
		assert_int_equal(apply(&change), 0);
		for (unsigned i = 0; i < N; i++) {
			assert_int_equal(remote_peer(&f, &remotes[i]) != NULL, there[i]);
			n += there[i];
		}
		assert_int_equal(f.hub->peers.n_peers, n);
		assert_int_equal(f.hub->peers.memory.n_used, n);
		for (uint8_t k = 0; k < 6; k++) {
			struct peer *o = owner(prefix4(10, 7, 0, k, 32));

			if (o) /* an owner is a peer that is there */
				assert_ptr_equal(peer_find(&f.hub->peers, &o->public_key), o);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_change_adds_a_peer_with_all_it_says),
		TEST(test_change_touches_only_what_it_names),
		TEST(test_change_removes_a_peer_with_keys_routes_and_waiting_packets),
		TEST(test_change_update_only_creates_nothing),
		TEST(test_change_endpoint_counts_from_the_next_packet_and_keeps_the_session),
		TEST(test_change_preshared_key_takes_effect_with_the_next_handshake),
		TEST(test_change_remove_and_add_again_in_one_set_makes_a_new_peer),
		TEST(test_change_add_and_remove_in_one_set_leaves_nothing),
		TEST(test_change_same_key_twice_is_one_peer_changed_twice),
		TEST(test_change_replace_peers_removes_listed_and_unlisted),
		TEST(test_change_replace_peers_with_update_only_ends_empty),
		TEST(test_change_replace_allowed_ips_keeps_only_the_new),
		TEST(test_change_prefix_moves_with_an_event_and_the_old_owner_keeps_the_rest),
		TEST(test_change_allowed_ip_removal_takes_only_from_the_named_peer),
		TEST(test_change_allowed_ips_apply_in_order),
		TEST(test_change_own_addresses_are_never_a_peer_s),
		TEST(test_change_host_prefix_on_a_broadcast_address_wins_over_the_network),
		TEST(test_change_with_one_bad_part_changes_nothing),
		TEST(test_change_random_sets_agree_with_a_naive_list),
	};

	return cmocka_run_group_tests_name("change", tests, NULL, NULL);
}
