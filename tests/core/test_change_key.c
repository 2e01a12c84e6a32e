/* Change sets with a private key: what they do to peers, sessions and the hub itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

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

static int apply_key(const uint8_t key[32])
{
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};

	memcpy(change.private_key, key, 32);
	return fixture_apply(&f, &change, NULL);
}

static struct peer *owner_of_a(void)
{
	const struct wgh_prefix prefix = prefix4(10, 0, 0, 1, 32);

	return route_lookup(relaxed_get(&f.hub->view)->routes, &prefix.addr);
}

static void test_change_own_key_as_a_peer_is_ignored(void **state)
{
	struct wgh_allowed_ip ip = {prefix4(10, 0, 0, 1, 32)};
	struct wgh_peer_change change = {.allowed_ips = &ip, .n_allowed_ips = 1};

	(void)state;
	memcpy(change.public_key.bytes, f.hub_key.bytes, 32);
	assert_int_equal(
		fixture_apply(&f, &(struct wgh_change){.peers = &change, .n_peers = 1}, NULL), 0);
	assert_int_equal(f.hub->peers.n_peers, 2);
	assert_ptr_equal(owner_of_a(), remote_peer(&f, &a));
}

/* Judged by the key the set itself brings. */
static void test_change_own_new_key_as_a_peer_in_the_same_set_is_ignored(void **state)
{
	struct wgh_peer_change peers[2] = {{.flags = 0}};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY, .peers = peers, .n_peers = 2};
	struct remote c;

	(void)state;
	remote_init(&f, &c, 3);
	memcpy(change.private_key, c.identity.secret.bytes, 32);
	peers[0] = (struct wgh_peer_change){.public_key = remote_key(&c)};
	memcpy(peers[1].public_key.bytes, f.hub_key.bytes,
		32); /* ours before: a peer like others */
	assert_int_equal(fixture_apply(&f, &change, NULL), 0);
	assert_null(remote_peer(&f, &c));
	assert_non_null(peer_find(&f.hub->peers, &f.hub_key));
	assert_int_equal(f.hub->peers.n_peers, 3);
}

static void test_change_private_key_that_is_a_peer_s_removes_that_peer(void **state)
{
	(void)state;
	remote_connect(&f, &a);
	assert_int_equal(apply_key(a.identity.secret.bytes), 0);
	assert_null(remote_peer(&f, &a));
	assert_null(owner_of_a());
	assert_non_null(remote_peer(&f, &b));
	assert_int_equal(f.hub->peers.memory.n_used, 1);
}

static void test_change_private_key_of_the_same_value_keeps_sessions(void **state)
{
	uint8_t key[32];
	struct keypair *current;

	(void)state;
	remote_connect(&f, &a);
	current = relaxed_get(&remote_peer(&f, &a)->current);
	memcpy(key, f.hub->identity->secret.bytes, 32);
	assert_int_equal(apply_key(key), 0);
	assert_ptr_equal(relaxed_get(&remote_peer(&f, &a)->current), current);
	key[0] |= 7; /* the same once clamped */
	assert_int_equal(apply_key(key), 0);
	assert_ptr_equal(relaxed_get(&remote_peer(&f, &a)->current), current);
}

static void test_change_private_key_of_another_value_starts_everything_anew(void **state)
{
	struct inner p = inner4(254, 1, 10);
	struct wire_initiation msg;
	uint8_t key[32];

	(void)state;
	remote_connect(&f, &a);
	memset(key, 0x42, sizeof key);
	assert_int_equal(apply_key(key), 0);
	assert_null(relaxed_get(&remote_peer(&f, &a)->current));
	assert_int_equal(f.hub->sessions.n_live, 0);
	/* mac1 of the old key is worth nothing, and the 5 s limiter is reset. */
	remote_initiation(&f, &a, &msg);
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_int_equal(fixture_drops(&f, DROP_MAC1), 1);
	fixture_tun(&f, p.data, p.len_bytes);
	assert_int_equal(f.n_sent, 1);
	/* Static-static was computed anew: the remote, told the new key, is understood. */
	f.hub_key = f.hub->identity->public_key;
	fixture_advance(&f, NS_PER_S);
	fixture_forget(&f);
	remote_connect(&f, &a);
}

static void test_change_private_key_zero_removes_it_and_all_is_silent(void **state)
{
	const uint8_t none[32] = {0};
	struct inner p = inner4(254, 1, 10);
	struct wire_initiation msg;

	(void)state;
	remote_connect(&f, &a);
	assert_int_equal(apply_key(none), 0);
	assert_false(f.hub->identity->present);
	remote_initiation(&f, &a, &msg);
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	fixture_tun(&f, p.data, p.len_bytes);
	fixture_advance(&f, 100 * NS_PER_S);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(fixture_drops(&f, DROP_NO_IDENTITY), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_change_own_key_as_a_peer_is_ignored),
		TEST(test_change_own_new_key_as_a_peer_in_the_same_set_is_ignored),
		TEST(test_change_private_key_that_is_a_peer_s_removes_that_peer),
		TEST(test_change_private_key_of_the_same_value_keeps_sessions),
		TEST(test_change_private_key_of_another_value_starts_everything_anew),
		TEST(test_change_private_key_zero_removes_it_and_all_is_silent),
	};

	return cmocka_run_group_tests_name("change_key", tests, NULL, NULL);
}
