/* No memory: every allocation of each operation fails once, in turn, and the operation either says
 * -ENOMEM and has changed nothing, or was right to go on without. And what is freed was wiped.
 *
 * The Makefile links this program with --wrap for each allocator, so that the calls of our own
 * code, and no others, come through here.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

/* ---- the allocators ---- */

static long allocations_left = -1; /* below 0: no end */
static unsigned long n_failed;

static bool may_allocate(void)
{
	if (allocations_left < 0)
		return true;
	if (allocations_left-- > 0)
		return true;
	allocations_left = -1; /* one failure; what comes after it succeeds again */
	n_failed++;
	return false;
}

#define WRAP(type, name, parameters, arguments)                                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return may_allocate() ? __real_##name arguments : NULL;                            \
	}
WRAP(void *, malloc, (size_t n), (n))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, (void *p, size_t n), (p, n))
WRAP(void *, aligned_alloc, (size_t align, size_t n), (align, n))
WRAP(void *, secret_alloc, (size_t n), (n))

/* What is in this block when it is freed? */
static const void *watched;
static size_t watched_bytes;
static bool watched_was_wiped;

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	/* Most blocks begin with a head that says whom they are charged to. */
	if (p && (p == watched || (uint8_t *)p + MEM_HEAD_BYTES == watched)) {
		watched_was_wiped = ct_is_zero(watched, watched_bytes);
		watched = NULL;
	}
	__real_free(p);
}

static void watch(const void *p, size_t len_bytes)
{
	watched = p;
	watched_bytes = len_bytes;
	watched_was_wiped = false;
}

static void fail_allocation(long nth)
{
	allocations_left = nth;
	n_failed = 0;
}

/* True if the failure was used up; from here on all succeeds. */
static bool failure_happened(void)
{
	allocations_left = -1;
	return n_failed > 0;
}

/* ---- scenes ---- */

#define N_NEW 40

static struct fixture f;
static struct remote a, b, added[N_NEW];

static void begin(void)
{
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_pair_add(&f, &a, &b);
	for (unsigned i = 0; i < N_NEW; i++)
		remote_init(&f, &added[i], 10 + i);
	remote_connect(&f, &a);
}

static void end(void)
{
	fixture_check_sum(&f);
	fixture_fini(&f);
}

/* All that a change can touch, as bytes to compare. */
struct picture {
	struct wgh_public_key key;
	size_t n_peers, n_in_slab, n_prefixes, n_keypairs, n_live;
	uint32_t a_serial, b_serial;
	uint16_t a_keepalive, port;
	uint32_t mtu_bytes;
	size_t n_addresses, n_retired;
	uint8_t psk;
	struct peer *owner1, *owner2, *owner254, *owner7;
	struct hub_view *view;
};

static struct peer *owner_of(uint8_t last)
{
	const struct wgh_addr addr = prefix4(10, 0, 0, last, 32).addr;

	return route_lookup(relaxed_get(&f.hub->view)->routes, &addr);
}

static struct picture picture(void)
{
	struct picture p;

	memset(&p, 0, sizeof p);
	memcpy(p.key.bytes, f.hub->identity->public_key.bytes, 32);
	p.n_peers = f.hub->peers.n_peers;
	p.n_in_slab = f.hub->peers.memory.n_used;
	p.n_prefixes = route_count(f.hub->routes);
	p.n_keypairs = f.hub->keypairs.n_used;
	p.n_live = f.hub->sessions.n_live;
	p.a_serial = remote_peer(&f, &a) ? remote_peer(&f, &a)->serial : 0;
	p.b_serial = remote_peer(&f, &b) ? remote_peer(&f, &b)->serial : 0;
	p.a_keepalive = remote_peer(&f, &a) ? relaxed_get(&remote_peer(&f, &a)->keepalive_s) : 0;
	p.psk = remote_peer(&f, &a) ? remote_peer(&f, &a)->psk.bytes[0] : 0;
	p.port = f.hub->listen_port;
	p.mtu_bytes = f.hub->options.mtu_bytes;
	p.n_addresses = f.hub->n_addresses;
	for (struct retired *r = f.hub->retired; r; r = r->next)
		p.n_retired++;
	p.owner1 = owner_of(1);
	p.owner2 = owner_of(2);
	p.owner7 = owner_of(7);
	p.owner254 = owner_of(254);
	p.view = relaxed_get(&f.hub->view);
	return p;
}

static void assert_same(const struct picture *before)
{
	struct picture now = picture();

	assert_memory_equal(&now, before, sizeof now);
}

/* Runs op with its nth allocation failing, for each n until it meets no failure. Each run has a
 * scene of its own. */
static void fail_each(int (*op)(void), void (*check)(void), unsigned n_at_least)
{
	for (long n = 0;; n++) {
		struct picture before;
		bool happened;
		int err;

		begin();
		before = picture();
		fail_allocation(n);
		err = op();
		happened = failure_happened();
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_true(happened);
			assert_same(&before);
			/* And it still can be done. */
			assert_int_equal(op(), 0);
		}
		check();
		fixture_run(&f);
		end();
		if (!happened) {
			assert_true(n >= n_at_least); /* it did allocate */
			return;
		}
	}
}

/* ---- change sets ---- */

static int change_much(void)
{
	struct wgh_allowed_ip ips[N_NEW] = {0}, taken = {prefix4(10, 0, 0, 1, 32)};
	struct wgh_peer_change peers[N_NEW + 4] = {0};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY,
		.private_key = {1, 2, 3},
		.peers = peers,
		.n_peers = N_NEW + 4};

	peers[0] = (struct wgh_peer_change){.public_key = remote_key(&a),
		.flags = WGH_PEER_HAS_KEEPALIVE | WGH_PEER_HAS_PRESHARED_KEY,
		.preshared_key = {77},
		.keepalive_s = 9};
	peers[1] = (struct wgh_peer_change){.public_key = remote_key(&b), .flags = WGH_PEER_REMOVE};
	peers[2] = (struct wgh_peer_change){
		.public_key = remote_key(&b), .allowed_ips = &taken, .n_allowed_ips = 1};
	peers[3] = (struct wgh_peer_change){
		.public_key = remote_key(&added[0]), .flags = WGH_PEER_REMOVE};
	for (unsigned i = 0; i < N_NEW; i++) {
		ips[i].prefix = prefix4(10, 0, 0, (uint8_t)(5 + i), 32);
		peers[4 + i] = (struct wgh_peer_change){.public_key = remote_key(&added[i]),
			.allowed_ips = &ips[i],
			.n_allowed_ips = 1};
	}
	return hub_apply(f.hub, &change, f.now_ns, NULL);
}

static void check_changed_much(void)
{
	assert_int_equal(f.hub->peers.n_peers, N_NEW + 2);
	assert_int_equal(relaxed_get(&remote_peer(&f, &a)->keepalive_s), 9);
	assert_int_equal(remote_peer(&f, &a)->psk.bytes[0], 77);
	assert_null(relaxed_get(&remote_peer(&f, &a)->current)); /* the key changed */
	assert_ptr_equal(owner_of(1), remote_peer(&f, &b));
	assert_null(owner_of(2));
	assert_ptr_equal(owner_of(5), remote_peer(&f, &added[0]));
	assert_ptr_equal(owner_of(254), ROUTE_SELF);
	assert_memory_not_equal(&f.hub->identity->public_key, &f.hub_key, 32);
}

static void test_alloc_failure_in_a_change_set_changes_nothing(void **state)
{
	(void)state;
	fail_each(change_much, check_changed_much, 20);
}

static int replace_all(void)
{
	struct wgh_peer_change peer = {.public_key = remote_key(&a)};
	struct wgh_change change = {.flags = WGH_REPLACE_PEERS, .peers = &peer, .n_peers = 1};

	return hub_apply(f.hub, &change, f.now_ns, NULL);
}

static void check_replaced_all(void)
{
	assert_int_equal(f.hub->peers.n_peers, 1);
	assert_null(relaxed_get(&remote_peer(&f, &a)->current));
	assert_int_equal(route_count(f.hub->routes), 0);
}

static void test_alloc_failure_in_replace_peers_changes_nothing(void **state)
{
	(void)state;
	fail_each(replace_all, check_replaced_all, 8);
}

/* ---- the hub's own ---- */

static int set_addresses(void)
{
	const struct wgh_prefix addresses[2] = {prefix4(10, 0, 0, 7, 24), prefix6(7, 64)};

	return hub_set_addresses(f.hub, addresses, 2);
}

static void check_addresses(void)
{
	assert_ptr_equal(owner_of(7), ROUTE_SELF);
	assert_null(owner_of(254));
}

static void test_alloc_failure_in_new_addresses_changes_nothing(void **state)
{
	(void)state;
	fail_each(set_addresses, check_addresses, 5);
}

static int set_port(void)
{
	return hub_set_port(f.hub, 4711);
}

static void check_port(void)
{
	assert_int_equal(relaxed_get(&f.hub->view)->listen_port, 4711);
	assert_int_equal(f.hub->listen_port, 4711);
}

static int set_mtu(void)
{
	return hub_set_mtu(f.hub, 1300);
}

static void check_mtu(void)
{
	assert_int_equal(relaxed_get(&f.hub->view)->mtu_bytes, 1300);
	assert_int_equal(f.hub->options.mtu_bytes, 1300);
}

static void test_alloc_failure_in_a_new_port_or_mtu_changes_nothing(void **state)
{
	(void)state;
	fail_each(set_port, check_port, 4);
	fail_each(set_mtu, check_mtu, 4);
}

static struct wgh_snapshot *snapshot;

static int take_snapshot(void)
{
	return hub_snapshot(f.hub, &snapshot);
}

static void check_snapshot(void)
{
	assert_int_equal(snapshot->n_peers, 2);
	wgh_snapshot_free(snapshot);
}

static void test_alloc_failure_in_a_snapshot_says_so(void **state)
{
	(void)state;
	fail_each(take_snapshot, check_snapshot, 4);
}

static void nothing_random(void *arg, void *out, size_t len_bytes)
{
	(void)arg;
	memset(out, 1, len_bytes);
}

static void test_alloc_failure_in_a_new_hub_leaves_nothing_behind(void **state)
{
	const struct hub_options options = {
		.n_workers = 2, .aead = "sodium", .random = nothing_random};
	struct hub *hub;
	bool happened;
	long n = 0;

	(void)state;
	do {
		int err;

		fail_allocation(n++);
		err = hub_new(&hub, &options);
		happened = failure_happened();
		assert_int_equal(err, happened ? -ENOMEM : 0);
	} while (happened);
	assert_true(n > 15);
	hub_free(hub);
}

/* ---- on the way: a packet is lost, nothing else ---- */

/* Keypairs come from chunks of 64 KiB: the slab and the table of sessions grow now and then while
 * remotes connect. Whatever fails, the remote's next try works. */
static void test_alloc_failure_in_handshakes_costs_one_handshake(void **state)
{
	unsigned long n_hit = 0;

	(void)state;
	for (long n = 0; n < 2; n++) {
		begin();
		for (unsigned i = 0; i < N_NEW; i++)
			remote_add(&f, &added[i]);
		for (unsigned i = 0; i < 3 * N_NEW; i++) {
			struct remote *r = &added[i % N_NEW];
			struct wire_initiation msg;

			fixture_advance(&f, NS_PER_S);
			fixture_forget(&f);
			remote_initiation(&f, r, &msg);
			fixture_udp_only(&f, &r->endpoint, &msg, sizeof msg);
			fail_allocation(n);
			fixture_run(&f);
			if (!failure_happened()) {
				assert_int_equal(f.n_sent, 1);
				continue;
			}
			n_hit++;
			fixture_advance(&f, NS_PER_S);
			fixture_forget(&f);
			remote_connect(&f, r);
		}
		end();
	}
	assert_true(n_hit > 0);
}

static void test_alloc_failure_of_a_waiting_packet_is_counted(void **state)
{
	struct inner p = inner4(254, 1, 10);
	uint8_t room[2048];
	struct wgh_packet packet = {.data = room + WGH_HEADROOM_BYTES, .len_bytes = p.len_bytes};

	(void)state;
	begin();
	fixture_advance(&f, 200 * NS_PER_S);
	memcpy(packet.data, p.data, p.len_bytes);
	worker_input_tun(f.worker, &packet, 1, f.now_ns);
	fail_allocation(0);
	hub_run(f.hub, f.now_ns, f.wall_ns);
	assert_true(failure_happened());
	assert_int_equal(fixture_drops(&f, DROP_STAGED_FULL), 1);
	assert_int_equal(relaxed_get(&remote_peer(&f, &a)->drops[DROP_STAGED_FULL]), 1);
	assert_int_equal(f.hub->staged_bytes, 0);
	end();
}

/* ---- what is given back ---- */

/* Inner packets are plaintext, wherever they wait. */
static void test_alloc_waiting_packets_are_wiped_when_they_are_freed(void **state)
{
	struct inner p = inner4(254, 1, 100);

	(void)state;
	begin();
	fixture_advance(&f, 200 * NS_PER_S);
	fixture_tun(&f, p.data, p.len_bytes);
	assert_non_null(remote_peer(&f, &a)->staged_first);
	watch(remote_peer(&f, &a)->staged_first, p.len_bytes);
	staged_drop(f.hub, remote_peer(&f, &a), DROP_STAGED_EXPIRED);
	assert_null(watched);
	assert_true(watched_was_wiped);
	end();
}

static void test_alloc_queues_are_wiped_when_they_are_freed(void **state)
{
	struct ring ring;

	(void)state;
	assert_int_equal(ring_init(&ring, 1024, NULL), 0);
	assert_true(ring_push(&ring, "plaintext", 9, NULL, 0));
	watch(ring.bytes, 1024);
	ring_fini(&ring);
	assert_true(watched_was_wiped);
}

static void test_alloc_snapshots_are_wiped_when_they_are_freed(void **state)
{
	(void)state;
	begin();
	assert_int_equal(take_snapshot(), 0);
	assert_false(ct_is_zero(snapshot->private_key, 32));
	watch(snapshot, sizeof *snapshot);
	wgh_snapshot_free(snapshot);
	assert_true(watched_was_wiped);
	assert_int_equal(take_snapshot(), 0);
	watch(snapshot->peers, snapshot->n_peers * sizeof *snapshot->peers);
	wgh_snapshot_free(snapshot);
	assert_true(watched_was_wiped);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc_failure_in_a_change_set_changes_nothing),
		cmocka_unit_test(test_alloc_failure_in_replace_peers_changes_nothing),
		cmocka_unit_test(test_alloc_failure_in_new_addresses_changes_nothing),
		cmocka_unit_test(test_alloc_failure_in_a_new_port_or_mtu_changes_nothing),
		cmocka_unit_test(test_alloc_failure_in_a_snapshot_says_so),
		cmocka_unit_test(test_alloc_failure_in_a_new_hub_leaves_nothing_behind),
		cmocka_unit_test(test_alloc_failure_in_handshakes_costs_one_handshake),
		cmocka_unit_test(test_alloc_failure_of_a_waiting_packet_is_counted),
		cmocka_unit_test(test_alloc_waiting_packets_are_wiped_when_they_are_freed),
		cmocka_unit_test(test_alloc_queues_are_wiped_when_they_are_freed),
		cmocka_unit_test(test_alloc_snapshots_are_wiped_when_they_are_freed),
	};

	return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
