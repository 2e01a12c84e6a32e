/* The table of peers and what a peer remembers of its endpoint. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/peer.h"
#include "tests/lib/rng.h"

static const uint8_t HASH_KEY[16] = {1, 2, 3};

static struct x25519_public key_of(uint32_t n)
{
	struct rng rng = {n};
	struct x25519_public key;

	rng_fill(&rng, &key, sizeof key);
	return key;
}

static struct peer *add(struct peer_table *table, uint32_t n)
{
	struct x25519_public key = key_of(n);
	struct peer *peer;

	assert_int_equal(peer_reserve(table, 1), 0);
	peer = peer_new(table, &key);
	assert_non_null(peer);
	peer_insert(table, peer);
	return peer;
}

static struct peer *find(const struct peer_table *table, uint32_t n)
{
	struct x25519_public key = key_of(n);

	return peer_find(table, &key);
}

static void test_peer_is_found_by_key_and_by_slot_once_inserted(void **state)
{
	struct x25519_public key = key_of(1);
	struct peer_table table;
	struct peer *peer;

	(void)state;
	assert_int_equal(peer_table_init(&table, HASH_KEY, NULL), 0);
	assert_null(find(&table, 1));
	assert_null(peer_at(&table, 0, 1));
	peer = peer_new(&table, &key);
	assert_null(find(&table, 1)); /* not inserted yet */
	assert_int_equal(peer_reserve(&table, 1), 0);
	peer_insert(&table, peer);
	assert_ptr_equal(find(&table, 1), peer);
	assert_ptr_equal(peer_at(&table, peer->slot, peer->serial), peer);
	assert_null(peer_at(&table, peer->slot, peer->serial + 1));
	assert_null(peer_at(&table, peer->slot + 1, peer->serial));
	assert_null(peer_at(&table, UINT32_MAX, peer->serial));
	assert_null(find(&table, 2));
	peer_table_fini(&table);
}

static void test_peer_new_waits_for_nothing(void **state)
{
	struct x25519_public key = key_of(1);
	struct peer_table table;
	struct peer *peer;

	(void)state;
	assert_int_equal(peer_table_init(&table, HASH_KEY, NULL), 0);
	peer = peer_new(&table, &key);
	assert_non_null(peer);
	assert_memory_equal(&peer->public_key, &key, sizeof key);
	assert_true(peer->wipe_at_ns == TIME_NEVER);
	assert_true(relaxed_get(&peer->timer_armed_ns) == TIME_NEVER);
	assert_false(relaxed_get(&peer->has_endpoint));
	assert_int_equal(peer_endpoint(peer).family, WGH_UNSPEC);
	peer_table_fini(&table);
}

/* A worker's message names slot and serial: the next owner of the slot must not get it. */
static void test_peer_slot_is_reused_under_another_serial(void **state)
{
	struct peer_table table;
	struct peer *first, *second;
	uint32_t slot, serial;

	(void)state;
	assert_int_equal(peer_table_init(&table, HASH_KEY, NULL), 0);
	first = add(&table, 1);
	slot = first->slot;
	serial = first->serial;
	peer_unlink(&table, first);
	assert_null(find(&table, 1));
	assert_null(peer_at(&table, slot, serial));
	second = add(&table, 2);
	assert_int_equal(second->slot, slot);
	assert_int_not_equal(second->serial, serial);
	assert_null(peer_at(&table, slot, serial));
	assert_ptr_equal(peer_at(&table, slot, second->serial), second);
	peer_free(&table, first);
	peer_table_fini(&table);
}

/* Also: the same key again, while the old peer still waits for its grace period. */
static void test_peer_removed_and_added_again_is_another_peer(void **state)
{
	struct peer_table table;
	struct peer *first, *second;

	(void)state;
	assert_int_equal(peer_table_init(&table, HASH_KEY, NULL), 0);
	first = add(&table, 1);
	first->last_timestamp[0] = 9;
	memset(first->psk.bytes, 7, 32);
	peer_unlink(&table, first);
	second = add(&table, 1);
	assert_ptr_not_equal(first, second);
	assert_int_equal(second->last_timestamp[0], 0);
	peer_free(&table, first);
	peer_unlink(&table, second);
	peer_free(&table, second);
	/* Both memories come back without a trace. */
	for (int i = 0; i < 2; i++) {
		struct peer *again = add(&table, 10 + (uint32_t)i);

		assert_true(ct_is_zero(&again->psk, sizeof again->psk));
		assert_true(ct_is_zero(again->last_timestamp, sizeof again->last_timestamp));
	}
	peer_table_fini(&table);
}

#define N_KEYS 3000u

static void test_peer_table_agrees_with_a_naive_twin_while_it_grows(void **state)
{
	static struct peer *twin[N_KEYS];
	struct rng rng = {4};
	struct peer_table table;
	uint32_t n_peers = 0, n_max = 0;

	(void)state;
	assert_int_equal(peer_table_init(&table, HASH_KEY, NULL), 0);
	for (unsigned round = 0; round < 30000; round++) {
		uint32_t i = (uint32_t)rng_below(&rng, N_KEYS), k;

		if (!twin[i]) {
			twin[i] = add(&table, i);
			n_peers++;
		} else if (rng_below(&rng, 3) == 0) {
			peer_unlink(&table, twin[i]);
			peer_free(&table, twin[i]);
			twin[i] = NULL;
			n_peers--;
		}
		n_max = n_peers > n_max ? n_peers : n_max;
		k = (uint32_t)rng_below(&rng, N_KEYS);
		assert_ptr_equal(find(&table, k), twin[k]);
		if (twin[k])
			assert_ptr_equal(peer_at(&table, twin[k]->slot, twin[k]->serial), twin[k]);
		assert_int_equal(table.n_peers, n_peers);
	}
	assert_true(table.n_slots < 2 * n_max + 16);
	for (uint32_t i = 0; i < N_KEYS; i++)
		assert_ptr_equal(find(&table, i), twin[i]);
	peer_table_fini(&table);
}

static void test_peer_reserve_makes_room_for_all_at_once(void **state)
{
	struct peer_table table;

	(void)state;
	assert_int_equal(peer_table_init(&table, HASH_KEY, NULL), 0);
	assert_int_equal(peer_reserve(&table, 1000), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		struct x25519_public key = key_of(i);
		const uint32_t n_slots = table.n_slots;

		peer_insert(&table, peer_new(&table, &key));
		assert_int_equal(table.n_slots, n_slots);
	}
	assert_int_equal(table.n_peers, 1000);
	peer_table_fini(&table);
}

/* ---- endpoints ---- */

static struct peer_table table;
static struct peer *peer;

static int setup_peer(void **state)
{
	(void)state;
	if (peer_table_init(&table, HASH_KEY, NULL))
		return -1;
	peer = add(&table, 1);
	return 0;
}

static int teardown_peer(void **state)
{
	(void)state;
	peer_table_fini(&table);
	return 0;
}

/* 192.0.2.last, seen at our address 10.9.9.local; local 0: not known. */
static struct wgh_endpoint seen(uint8_t last, uint16_t port, uint8_t local)
{
	struct wgh_endpoint e = {
		.addr = {192, 0, 2, last}, .port = port, .family = WGH_IPV4, .local_ifindex = 3};

	memcpy(e.local, (uint8_t[]){10, 9, 9, local}, 4);
	if (!local) {
		memset(e.local, 0, sizeof e.local);
		e.local_ifindex = 0;
	}
	return e;
}

static void assert_endpoint(struct wgh_endpoint want)
{
	struct wgh_endpoint have = peer_endpoint(peer);

	assert_int_equal(have.family, want.family);
	assert_int_equal(have.port, want.port);
	assert_int_equal(have.local_ifindex, want.local_ifindex);
	assert_memory_equal(have.addr, want.addr, 16);
	assert_memory_equal(have.local, want.local, 16);
}

static void learn(struct wgh_endpoint e, bool differs)
{
	assert_int_equal(peer_endpoint_learn(peer, &e), differs);
}

static void test_peer_endpoint_learned_first_counts_as_moved(void **state)
{
	(void)state;
	learn(seen(1, 1000, 1), true);
	assert_true(relaxed_get(&peer->has_endpoint));
	assert_endpoint(seen(1, 1000, 1));
	learn(seen(1, 1000, 1), false);
}

static void test_peer_endpoint_moves_with_address_port_and_family(void **state)
{
	struct wgh_endpoint v6 = {.addr = {192, 0, 2, 2}, .port = 1001, .family = WGH_IPV6};

	(void)state;
	learn(seen(1, 1000, 1), true);
	learn(seen(2, 1000, 1), true);
	learn(seen(2, 1001, 1), true);
	assert_endpoint(seen(2, 1001, 1));
	learn(v6, true);
	v6.scope_id = 4;
	learn(v6, true);
	assert_endpoint(v6);
}

static void test_peer_endpoint_follows_the_local_address_without_being_a_move(void **state)
{
	(void)state;
	learn(seen(1, 1000, 1), true);
	learn(seen(1, 1000, 2), false);
	assert_endpoint(seen(1, 1000, 2));
}

static void test_peer_endpoint_keeps_its_sticky_source_where_a_datagram_tells_none(void **state)
{
	(void)state;
	learn(seen(1, 1000, 1), true);
	learn(seen(1, 1000, 0), false);
	assert_endpoint(seen(1, 1000, 1));
	/* Another remote is another path: nothing of the old one stays. */
	learn(seen(2, 1000, 0), true);
	assert_endpoint(seen(2, 1000, 0));
}

static void test_peer_endpoint_set_by_the_operator_replaces_all(void **state)
{
	const struct wgh_endpoint same = seen(1, 1000, 0), none = {.family = WGH_UNSPEC};

	(void)state;
	learn(seen(1, 1000, 1), true);
	peer_endpoint_set(peer, &same);
	assert_endpoint(seen(1, 1000, 0));
	assert_true(relaxed_get(&peer->has_endpoint));
	peer_endpoint_set(peer, &none);
	assert_false(relaxed_get(&peer->has_endpoint));
}

static void test_peer_endpoint_forget_source_keeps_the_remote(void **state)
{
	(void)state;
	learn(seen(1, 1000, 1), true);
	peer_endpoint_forget_source(peer);
	assert_endpoint(seen(1, 1000, 0));
	assert_true(relaxed_get(&peer->has_endpoint));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST_ENDPOINT(name) cmocka_unit_test_setup_teardown(name, setup_peer, teardown_peer)
		cmocka_unit_test(test_peer_is_found_by_key_and_by_slot_once_inserted),
		cmocka_unit_test(test_peer_new_waits_for_nothing),
		cmocka_unit_test(test_peer_slot_is_reused_under_another_serial),
		cmocka_unit_test(test_peer_removed_and_added_again_is_another_peer),
		cmocka_unit_test(test_peer_table_agrees_with_a_naive_twin_while_it_grows),
		cmocka_unit_test(test_peer_reserve_makes_room_for_all_at_once),
		TEST_ENDPOINT(test_peer_endpoint_learned_first_counts_as_moved),
		TEST_ENDPOINT(test_peer_endpoint_moves_with_address_port_and_family),
		TEST_ENDPOINT(test_peer_endpoint_follows_the_local_address_without_being_a_move),
		TEST_ENDPOINT(
			test_peer_endpoint_keeps_its_sticky_source_where_a_datagram_tells_none),
		TEST_ENDPOINT(test_peer_endpoint_set_by_the_operator_replaces_all),
		TEST_ENDPOINT(test_peer_endpoint_forget_source_keeps_the_remote),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
