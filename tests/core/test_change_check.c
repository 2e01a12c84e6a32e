/* Change sets that somebody only asks about, whole configurations, and strict ones: what is a
 * conflict, and that asking changes nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;
static struct remote a, b, c;

/* Two peers, 10.0.0.1 and 10.0.0.2, with sessions; c is none yet. */
static int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_pair_connect(&f, &a, &b);
	remote_init(&f, &c, 3);
	return 0;
}

static struct wgh_change set(uint32_t flags, const struct wgh_peer_change *peers, size_t n)
{
	return (struct wgh_change){.flags = flags, .peers = peers, .n_peers = n};
}

static int apply(const struct wgh_change *change, struct wgh_error *error)
{
	return fixture_apply(&f, change, error);
}

static struct peer *owner_of(uint8_t last)
{
	const struct wgh_prefix prefix = prefix4(10, 0, 0, last, 32);

	return route_lookup(relaxed_get(&f.hub->view)->routes, &prefix.addr);
}

/* c takes a's address, is listed twice, and the hub is listed as its own peer. */
static const struct wgh_allowed_ip STOLEN = {
	.prefix = {.addr = {.bytes = {10, 0, 0, 1}, .family = WGH_IPV4}, .bits = 32}};
static struct wgh_peer_change doubtful[3];

static struct wgh_change doubtful_set(uint32_t flags)
{
	memset(doubtful, 0, sizeof doubtful);
	doubtful[0].public_key = remote_key(&c);
	doubtful[0].allowed_ips = &STOLEN;
	doubtful[0].n_allowed_ips = 1;
	doubtful[1].public_key = remote_key(&c);
	memcpy(doubtful[2].public_key.bytes, f.hub_key.bytes, 32);
	return set(flags, doubtful, 3);
}

static void test_check_lists_stolen_prefixes_keys_listed_twice_and_the_own_key(void **state)
{
	const struct wgh_change change = doubtful_set(0);
	struct wgh_conflict found[4] = {0};

	(void)state;
	assert_int_equal(hub_check(f.hub, &change, found, 4, NULL), 3);
	assert_int_equal(found[0].kind, WGH_CONFLICT_PREFIX);
	assert_int_equal(found[0].peer_no, 0);
	assert_memory_equal(&found[0].prefix, &STOLEN.prefix, sizeof found[0].prefix);
	assert_memory_equal(found[0].peer.bytes, remote_key(&c).bytes, 32);
	assert_memory_equal(found[0].other.bytes, remote_key(&a).bytes, 32);
	assert_int_equal(found[1].kind, WGH_CONFLICT_KEY_TWICE);
	assert_int_equal(found[1].peer_no, 1);
	assert_memory_equal(found[1].peer.bytes, remote_key(&c).bytes, 32);
	assert_int_equal(found[2].kind, WGH_CONFLICT_OWN_KEY);
	assert_int_equal(found[2].peer_no, 2);
	assert_int_equal(found[3].kind, 0);
}

static void test_check_counts_more_conflicts_than_there_is_room_for(void **state)
{
	const struct wgh_change change = doubtful_set(0);
	struct wgh_conflict found[2] = {0};

	(void)state;
	assert_int_equal(hub_check(f.hub, &change, found, 1, NULL), 3);
	assert_int_equal(found[1].kind, 0);
	assert_int_equal(hub_check(f.hub, &change, NULL, 0, NULL), 3);
}

static void test_check_sees_a_prefix_that_two_peers_of_the_set_want(void **state)
{
	const struct wgh_allowed_ip both = {prefix4(10, 9, 0, 0, 16)};
	const struct wgh_peer_change peers[] = {
		{.public_key = remote_key(&b), .allowed_ips = &both, .n_allowed_ips = 1},
		{.public_key = remote_key(&c), .allowed_ips = &both, .n_allowed_ips = 1},
	};
	const struct wgh_change change = set(0, peers, 2);
	struct wgh_conflict found;

	(void)state;
	assert_int_equal(hub_check(f.hub, &change, &found, 1, NULL), 1);
	assert_int_equal(found.kind, WGH_CONFLICT_PREFIX);
	assert_int_equal(found.peer_no, 1);
	assert_memory_equal(found.other.bytes, remote_key(&b).bytes, 32);
}

static void test_check_of_a_good_set_finds_nothing_and_of_a_bad_one_says_why(void **state)
{
	const struct wgh_allowed_ip ip = {prefix4(10, 9, 0, 0, 33)};
	struct wgh_peer_change peer = {.public_key = remote_key(&c)};
	const struct wgh_change change = set(0, &peer, 1);
	struct wgh_error error = {0};

	(void)state;
	assert_int_equal(hub_check(f.hub, &change, NULL, 0, &error), 0);
	assert_int_equal(error.text[0], 0);
	peer.allowed_ips = &ip;
	peer.n_allowed_ips = 1;
	assert_int_equal(hub_check(f.hub, &change, NULL, 0, &error), -EINVAL);
	assert_non_null(strstr(error.text, "allowed_ips[0]: more prefix bits"));
}

static void test_check_changes_nothing(void **state)
{
	const struct wgh_change change = doubtful_set(WGH_REPLACE_PEERS);
	struct hub_view *view = relaxed_get(&f.hub->view);
	const size_t n_in_slab = f.hub->peers.memory.n_used;

	(void)state;
	fixture_forget(&f);
	for (int i = 0; i < 3; i++)
		assert_true(hub_check(f.hub, &change, NULL, 0, NULL) > 0);
	assert_ptr_equal(relaxed_get(&f.hub->view), view);
	assert_int_equal(f.hub->peers.n_peers, 2);
	assert_int_equal(f.hub->peers.memory.n_used, n_in_slab);
	assert_ptr_equal(owner_of(1), remote_peer(&f, &a));
	assert_null(f.hub->retired);
	assert_int_equal(f.n_events, 0);
}

static void test_strict_set_with_a_conflict_is_refused_whole(void **state)
{
	const struct wgh_change strict = doubtful_set(WGH_STRICT), loose = doubtful_set(0);
	struct wgh_error error = {0};

	(void)state;
	assert_int_equal(apply(&strict, &error), -EEXIST);
	assert_non_null(strstr(error.text, "another peer's"));
	assert_null(remote_peer(&f, &c));
	assert_ptr_equal(owner_of(1), remote_peer(&f, &a));
	assert_int_equal(apply(&loose, NULL), 0);
	assert_ptr_equal(owner_of(1), remote_peer(&f, &c));
}

static void test_unknown_flags_are_refused(void **state)
{
	struct wgh_peer_change peer = {.public_key = remote_key(&c), .flags = 1u << 30};
	const struct wgh_change of_peer = set(0, &peer, 1), of_set = set(1u << 30, NULL, 0);

	(void)state;
	assert_int_equal(apply(&of_peer, NULL), -EINVAL);
	assert_int_equal(apply(&of_set, NULL), -EINVAL);
	assert_null(remote_peer(&f, &c));
}

/* What authors of programs forget. Each is refused by a line that names peer and member. */
static void test_malformed_change_says_which_member_of_which_peer(void **state)
{
	const struct wgh_allowed_ip ips[] = {
		{prefix4(10, 0, 0, 3, 32)}, {{.addr = {.family = 2 /* AF_INET */}, .bits = 32}}};
	const struct wgh_policy policy = {0};
	struct wgh_peer_change peers[2] = {
		{.public_key = remote_key(&a)}, {.public_key = remote_key(&c)}};
	struct wgh_change change = set(0, peers, 2);
	struct wgh_error error;

#define REFUSED(words)                                                                             \
	assert_int_equal(apply(&change, &error), -EINVAL);                                         \
	assert_non_null(strstr(error.text, words))
	(void)state;
	peers[1].allowed_ips = ips;
	peers[1].n_allowed_ips = 2;
	REFUSED("WGH_IPV4");
	REFUSED("allowed_ips[1]");
	assert_ptr_equal(strstr(error.text, "peers[1] "), error.text);
	peers[1].allowed_ips = NULL;
	REFUSED("allowed_ips: NULL");
	peers[1].n_allowed_ips = 0;
	peers[1].flags = WGH_PEER_HAS_ENDPOINT;
	REFUSED("endpoint: family");
	peers[1].endpoint.family = WGH_IPV4;
	REFUSED("port above 0");
	peers[1].flags = 0;
	peers[1].reserved[5] = 1;
	REFUSED("reserved");
	peers[1].reserved[5] = 0;
	change.reserved[0] = 1;
	REFUSED("reserved");
	change.reserved[0] = 0;
	change.peers = NULL;
	REFUSED("peers: NULL");
	change = (struct wgh_change){.flags = WGH_HAS_POLICY, .policy = &policy};
	REFUSED("policy");
#undef REFUSED
	assert_int_equal(f.hub->peers.n_peers, 2);
}

static void test_whole_set_removes_the_unlisted_and_keeps_sessions_of_the_listed(void **state)
{
	const struct wgh_allowed_ip ips[] = {
		{prefix4(10, 0, 0, 1, 32)}, {prefix4(10, 0, 0, 2, 32)}};
	const struct wgh_peer_change peers[] = {
		{.public_key = remote_key(&a), .allowed_ips = ips, .n_allowed_ips = 2},
		{.public_key = remote_key(&c)},
	};
	const struct wgh_change change = set(WGH_WHOLE | WGH_STRICT, peers, 2);
	struct keypair *before = relaxed_get(&remote_peer(&f, &a)->current);

	(void)state;
	fixture_forget(&f);
	assert_int_equal(apply(&change, NULL), 0); /* b's address is free: it goes */
	assert_null(remote_peer(&f, &b));
	assert_non_null(remote_peer(&f, &c));
	assert_ptr_equal(relaxed_get(&remote_peer(&f, &a)->current), before);
	assert_ptr_equal(owner_of(2), remote_peer(&f, &a));
	assert_int_equal(route_count(f.hub->routes), 2); /* fd00::1 was not listed */
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_ROUTE_MOVED), 0);
}

static void test_whole_set_lists_a_peer_twice_and_has_the_prefixes_of_both(void **state)
{
	const struct wgh_allowed_ip one = {prefix4(10, 0, 0, 1, 32)}, two = {prefix6(1, 128)};
	const struct wgh_peer_change peers[] = {
		{.public_key = remote_key(&a), .allowed_ips = &one, .n_allowed_ips = 1},
		{.public_key = remote_key(&a), .allowed_ips = &two, .n_allowed_ips = 1},
	};
	const struct wgh_change change = set(WGH_WHOLE, peers, 2);

	(void)state;
	assert_int_equal(apply(&change, NULL), 0);
	assert_int_equal(f.hub->peers.n_peers, 1);
	assert_int_equal(route_count(f.hub->routes), 2);
}

static void test_whole_empty_set_empties_the_hub(void **state)
{
	const struct wgh_change change = set(WGH_WHOLE, NULL, 0);

	(void)state;
	assert_int_equal(apply(&change, NULL), 0);
	assert_int_equal(f.hub->peers.n_peers, 0);
	assert_int_equal(route_count(f.hub->routes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_check_lists_stolen_prefixes_keys_listed_twice_and_the_own_key),
		TEST(test_check_counts_more_conflicts_than_there_is_room_for),
		TEST(test_check_sees_a_prefix_that_two_peers_of_the_set_want),
		TEST(test_check_of_a_good_set_finds_nothing_and_of_a_bad_one_says_why),
		TEST(test_check_changes_nothing),
		TEST(test_strict_set_with_a_conflict_is_refused_whole),
		TEST(test_unknown_flags_are_refused),
		TEST(test_malformed_change_says_which_member_of_which_peer),
		TEST(test_whole_set_removes_the_unlisted_and_keeps_sessions_of_the_listed),
		TEST(test_whole_set_lists_a_peer_twice_and_has_the_prefixes_of_both),
		TEST(test_whole_empty_set_empties_the_hub),
	};

	return cmocka_run_group_tests_name("change_check", tests, NULL, NULL);
}
