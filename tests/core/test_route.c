/* Routes: who owns an inner address. The clever tables are compared with a linear scan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/route.h"
#include "tests/lib/rng.h"

/* The route code never looks inside a peer, so any object will do. */
struct peer {
	char name;
};

static struct peer A = {'A'}, B = {'B'}, C = {'C'};

static struct wgh_addr addr(const char *text)
{
	struct wgh_addr a = {.family = strchr(text, ':') ? WGH_IPV6 : WGH_IPV4};

	assert_int_equal(1, inet_pton(a.family == WGH_IPV6 ? AF_INET6 : AF_INET, text, a.bytes));
	return a;
}

static struct wgh_prefix prefix(const char *text)
{
	char copy[64];
	snprintf(copy, sizeof copy, "%s", text);
	char *slash = strchr(copy, '/');

	*slash = 0;
	return (struct wgh_prefix){addr(copy), (uint8_t)atoi(slash + 1)};
}

static struct peer *insert(struct route_set *set, const char *text, struct peer *owner)
{
	struct wgh_prefix p = prefix(text);
	struct peer *before = &C;

	assert_int_equal(0, route_insert(set, &p, owner, &before));
	return before;
}

static struct route_set *new_set(void)
{
	struct route_set *set = route_set_new(0x243f6a8885a308d3, NULL);

	assert_non_null(set);
	return set;
}

static struct route_table *new_table(const struct route_set *set)
{
	struct route_table *table = route_table_new(set);

	assert_non_null(table);
	return table;
}

static bool owner_is(const struct route_table *table, const char *src, const struct peer *peer)
{
	struct wgh_addr a = addr(src);

	return route_owner_is(table, &a, peer);
}

static struct peer *lookup(const struct route_table *table, const char *text)
{
	struct wgh_addr a = addr(text);

	return route_lookup(table, &a);
}

static void test_route_rejects_source_of_more_specific_peer(void **state)
{
	(void)state;
	struct route_set *set = new_set();

	insert(set, "10.0.0.0/24", &A);
	insert(set, "10.0.0.128/25", &B);
	insert(set, "fd00::/64", &A);
	insert(set, "fd00::8000/113", &B);
	struct route_table *table = new_table(set);

	assert_false(owner_is(table, "10.0.0.200", &A));
	assert_true(owner_is(table, "10.0.0.200", &B));
	assert_true(owner_is(table, "10.0.0.100", &A));
	assert_false(owner_is(table, "10.0.0.100", &B));
	assert_false(owner_is(table, "fd00::8001", &A));
	assert_true(owner_is(table, "fd00::8001", &B));
	assert_true(owner_is(table, "fd00::7fff", &A));
	assert_false(owner_is(table, "fd00::7fff", &B));
	route_table_free(table);
	route_set_free(set);
}

static void test_route_owner_of_own_other_and_no_prefix_in_both_families(void **state)
{
	(void)state;
	static const struct {
		const char *src;
		bool is_a;
	} rows[] = {
		{"10.1.0.1", true}, /* own */
		{"10.2.0.1", false}, /* other's */
		{"10.3.0.1", false}, /* nobody's */
		{"fd00:1::1", true},
		{"fd00:2::1", false},
		{"fd00:3::1", false},
		/* A v4 prefix never matches a v6 address that contains it, nor the other way round.
		 */
		{"::ffff:10.1.0.1", false},
		{"::10.1.0.1", false},
		{"0a01:1::", false},
		{"253.0.0.1", false},
	};
	struct route_set *set = new_set();

	insert(set, "10.1.0.1/32", &A);
	insert(set, "10.2.0.1/32", &B);
	insert(set, "fd00:1::1/128", &A);
	insert(set, "fd00:2::1/128", &B);
	struct route_table *table = new_table(set);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(rows[i].is_a, owner_is(table, rows[i].src, &A));
	assert_null(lookup(table, "10.3.0.1"));
	assert_null(lookup(table, "fd00:3::1"));
	/* Nobody is not an owner: an unowned source passes for no peer, not even for NULL. */
	assert_false(owner_is(table, "10.3.0.1", NULL));
	route_table_free(table);
	route_set_free(set);
}

static void test_route_empty_table_owns_nothing(void **state)
{
	(void)state;
	struct route_set *set = new_set();
	struct route_table *table = new_table(set);
	struct wgh_addr unknown = {.family = WGH_UNSPEC};
	struct wgh_addr v4 = addr("10.0.0.1"), v6 = addr("fd00::1");

	assert_null(route_lookup(table, &v4));
	assert_null(route_lookup(table, &v6));
	assert_null(route_lookup(table, &unknown));
	assert_int_equal(0, route_count(set));
	route_table_free(table);
	route_set_free(set);
	route_table_free(NULL);
	route_set_free(NULL);
}

/* The smallest tables wrap around soonest. */
static void test_route_search_in_a_tiny_table_ends(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 16; seed++) {
		struct route_set *set = route_set_new(seed, NULL);
		assert_non_null(set);
		insert(set, "10.0.0.1/32", &A);
		insert(set, "fd00::1/128", &B);
		struct route_table *table = new_table(set);
		for (unsigned i = 2; i < 100; i++) {
			struct wgh_addr v4 = {.bytes = {10, [3] = (uint8_t)i}, .family = WGH_IPV4};
			struct wgh_addr v6 = {
				.bytes = {0xfd, [15] = (uint8_t)i}, .family = WGH_IPV6};
			assert_null(route_lookup(table, &v4));
			assert_null(route_lookup(table, &v6));
		}
		assert_ptr_equal(&A, lookup(table, "10.0.0.1"));
		assert_ptr_equal(&B, lookup(table, "fd00::1"));
		route_table_free(table);
		route_set_free(set);
	}
}

static void test_route_default_routes_cover_everything_of_their_family_only(void **state)
{
	(void)state;
	struct route_set *set = new_set();

	insert(set, "0.0.0.0/0", &A);
	struct route_table *table = new_table(set);
	assert_ptr_equal(&A, lookup(table, "0.0.0.0"));
	assert_ptr_equal(&A, lookup(table, "255.255.255.255"));
	assert_null(lookup(table, "::"));
	assert_null(lookup(table, "ffff::1"));
	route_table_free(table);

	insert(set, "::/0", &B);
	table = new_table(set);
	assert_ptr_equal(&A, lookup(table, "10.0.0.1"));
	assert_ptr_equal(&B, lookup(table, "::"));
	assert_ptr_equal(&B, lookup(table, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
	route_table_free(table);
	route_set_free(set);
}

static void test_route_every_prefix_length_is_found_longest_first(void **state)
{
	(void)state;
	static struct peer v4[33], v6[129];
	struct route_set *set = new_set();
	struct peer *before;

	for (unsigned bits = 0; bits <= 32; bits++) {
		struct wgh_prefix p = {addr("255.255.255.255"), (uint8_t)bits};
		assert_int_equal(0, route_insert(set, &p, &v4[bits], &before));
	}
	for (unsigned bits = 0; bits <= 128; bits++) {
		struct wgh_prefix p = {
			addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), (uint8_t)bits};
		assert_int_equal(0, route_insert(set, &p, &v6[bits], &before));
	}
	assert_int_equal(33 + 129, route_count(set));
	struct route_table *table = new_table(set);

	/* An address with exactly n leading ones belongs to the /n. */
	for (unsigned n = 0; n <= 128; n++) {
		struct wgh_addr a = {.family = WGH_IPV6};
		for (unsigned bit = 0; bit < 128; bit++)
			a.bytes[bit / 8] |= bit == n ? 0 : 0x80 >> bit % 8;
		assert_ptr_equal(&v6[n], route_lookup(table, &a));
		if (n <= 32) {
			a.family = WGH_IPV4;
			memset(a.bytes + 4, 0, 12);
			assert_ptr_equal(&v4[n], route_lookup(table, &a));
		}
	}
	route_table_free(table);
	route_set_free(set);
}

static void test_route_insert_masks_host_bits(void **state)
{
	(void)state;
	struct route_set *set = new_set();
	struct wgh_prefix got;
	size_t cursor = 0;

	assert_null(insert(set, "10.1.2.3/24", &A));
	/* The same prefix written differently moves. */
	assert_ptr_equal(&A, insert(set, "10.1.2.200/24", &B));
	assert_int_equal(1, route_count(set));
	assert_true(route_next_of(set, &B, &cursor, &got));
	struct wgh_prefix want = prefix("10.1.2.0/24");
	assert_memory_equal(&want, &got, sizeof got);
	assert_false(route_next_of(set, &B, &cursor, &got));
	assert_false(route_next_of(set, &B, &cursor, &got));
	cursor = 0;
	assert_false(route_next_of(set, &A, &cursor, &got));
	route_set_free(set);
}

static void test_route_insert_of_own_prefix_changes_nothing(void **state)
{
	(void)state;
	struct route_set *set = new_set();

	assert_null(insert(set, "10.0.0.1/32", &A));
	assert_null(insert(set, "10.0.0.1/32", &A));
	assert_int_equal(1, route_count(set));
	route_set_free(set);
}

static void test_route_move_leaves_old_owner_its_other_prefixes(void **state)
{
	(void)state;
	struct route_set *set = new_set();

	insert(set, "10.0.0.1/32", &A);
	insert(set, "10.0.0.2/32", &A);
	assert_ptr_equal(&A, insert(set, "10.0.0.1/32", &B));
	struct route_table *table = new_table(set);
	assert_ptr_equal(&B, lookup(table, "10.0.0.1"));
	assert_ptr_equal(&A, lookup(table, "10.0.0.2"));
	route_table_free(table);
	route_set_free(set);
}

static void test_route_insert_refuses_bad_prefixes_and_no_owner(void **state)
{
	(void)state;
	struct route_set *set = new_set();
	struct wgh_prefix p = prefix("10.0.0.0/24");
	struct peer *before;

	p.bits = 33;
	assert_int_equal(-EINVAL, route_insert(set, &p, &A, &before));
	p = prefix("fd00::/64");
	p.bits = 129;
	assert_int_equal(-EINVAL, route_insert(set, &p, &A, &before));
	p = prefix("10.0.0.0/24");
	p.addr.family = WGH_UNSPEC;
	assert_int_equal(-EINVAL, route_insert(set, &p, &A, &before));
	p.addr.family = WGH_IPV4;
	assert_int_equal(-EINVAL, route_insert(set, &p, NULL, &before));
	assert_int_equal(0, route_count(set));
	assert_int_equal(0, route_insert(set, &p, &A, NULL)); /* before is not asked for */
	p.bits = 33;
	assert_false(route_remove(set, &p, &A));
	route_set_free(set);
}

static void test_route_remove_only_by_the_holder(void **state)
{
	(void)state;
	struct route_set *set = new_set();
	struct wgh_prefix p = prefix("10.0.0.77/24");

	insert(set, "10.0.0.0/24", &A);
	assert_false(route_remove(set, &p, &B));
	assert_int_equal(1, route_count(set));
	assert_true(route_remove(set, &p, &A));
	assert_false(route_remove(set, &p, &A));
	assert_int_equal(0, route_count(set));
	route_set_free(set);
}

static void test_route_remove_owner_takes_all_of_it_and_nothing_else(void **state)
{
	(void)state;
	struct route_set *set = new_set();

	insert(set, "10.0.0.1/32", &A);
	insert(set, "10.0.0.2/32", &B);
	insert(set, "fd00::1/128", &A);
	insert(set, "fd00::2/128", &B);
	insert(set, "10.9.0.0/16", &A);
	route_remove_owner(set, &A);
	route_remove_owner(set, &C); /* owns nothing */
	assert_int_equal(2, route_count(set));
	struct route_table *table = new_table(set);
	assert_null(lookup(table, "10.0.0.1"));
	assert_null(lookup(table, "10.9.0.1"));
	assert_null(lookup(table, "fd00::1"));
	assert_ptr_equal(&B, lookup(table, "10.0.0.2"));
	assert_ptr_equal(&B, lookup(table, "fd00::2"));
	route_table_free(table);
	route_set_free(set);
}

static void test_route_lists_an_owners_prefixes_oldest_first(void **state)
{
	(void)state;
	static const char *const want[] = {"10.0.0.9/32", "fd00::/64", "10.0.0.1/32", "0.0.0.0/0"};
	struct route_set *set = new_set();
	struct wgh_prefix got;
	size_t cursor = 0, n = 0;

	insert(set, "10.0.0.3/32", &A);
	for (size_t i = 0; i < 4; i++) {
		insert(set, want[i], &A);
		insert(set, i % 2 ? "10.7.0.0/16" : "10.8.0.0/16", &B);
	}
	struct wgh_prefix first = prefix("10.0.0.3/32");
	assert_true(route_remove(set, &first, &A)); /* the dense array moves its last entry here */
	while (route_next_of(set, &A, &cursor, &got)) {
		struct wgh_prefix p = prefix(want[n++]);
		assert_memory_equal(&p, &got, sizeof got);
	}
	assert_int_equal(4, n);
	route_set_free(set);
}

static void test_route_hub_and_broadcast_are_owners_but_no_peers(void **state)
{
	(void)state;
	struct route_set *set = new_set();

	insert(set, "10.0.0.0/24", &A);
	insert(set, "10.0.0.1/32", ROUTE_SELF);
	insert(set, "10.0.0.255/32", ROUTE_BROADCAST);
	struct route_table *table = new_table(set);
	assert_ptr_equal(ROUTE_SELF, lookup(table, "10.0.0.1"));
	assert_ptr_equal(ROUTE_BROADCAST, lookup(table, "10.0.0.255"));
	assert_false(owner_is(table, "10.0.0.1", &A));
	assert_false(owner_is(table, "10.0.0.255", &A));
	assert_false(route_is_peer(ROUTE_SELF));
	assert_false(route_is_peer(ROUTE_BROADCAST));
	assert_false(route_is_peer(NULL));
	assert_true(route_is_peer(&A));
	route_table_free(table);
	route_set_free(set);
}

static void test_route_copies_are_independent(void **state)
{
	(void)state;
	struct route_set *set = new_set();

	insert(set, "10.0.0.1/32", &A);
	insert(set, "10.0.0.2/32", &B);
	struct route_set *copy = route_set_copy(set);
	assert_non_null(copy);
	struct route_table *table = new_table(set);

	insert(copy, "10.0.0.1/32", &C);
	route_remove_owner(copy, &B);
	insert(copy, "10.0.0.3/32", &C);
	assert_int_equal(2, route_count(set));
	assert_int_equal(2, route_count(copy));
	struct route_table *of_set = new_table(set), *of_copy = new_table(copy);
	route_set_free(set); /* a table outlives its set */
	route_set_free(copy);
	assert_ptr_equal(&A, lookup(of_set, "10.0.0.1"));
	assert_ptr_equal(&B, lookup(of_set, "10.0.0.2"));
	assert_null(lookup(of_set, "10.0.0.3"));
	assert_ptr_equal(&C, lookup(of_copy, "10.0.0.1"));
	assert_null(lookup(of_copy, "10.0.0.2"));
	assert_ptr_equal(&C, lookup(of_copy, "10.0.0.3"));
	assert_ptr_equal(&A, lookup(table, "10.0.0.1"));
	route_table_free(table);
	route_table_free(of_set);
	route_table_free(of_copy);
}

/* Peers come and go for years; ASan's allocator does not count, the plain one does. */
static void test_route_owners_that_came_and_went_leave_no_memory(void **state)
{
	(void)state;
	enum { N = 100000 };
	struct route_set *set = new_set();
	struct peer *peers = calloc(N, sizeof *peers);

	assert_non_null(peers);
	insert(set, "10.0.0.1/32", &A);
	const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (unsigned i = 0; i < N; i++) {
		insert(set, "10.0.0.2/32", &peers[i]);
		route_remove_owner(set, &peers[i]);
	}
	assert_int_equal(1, route_count(set));
	assert_true(mallinfo2().uordblks + mallinfo2().hblkhd < before + 4096);
	route_set_free(set);
	free(peers);
}

/* ---- the naive twin: a list, scanned bit by bit ---- */

#define TWIN_OWNERS 9
#define TWIN_MAX 4096

struct twin {
	struct wgh_prefix prefix[TWIN_MAX];
	struct peer *owner[TWIN_MAX];
	size_t n;
};

static bool bit_of(const struct wgh_addr *a, unsigned i)
{
	return a->bytes[i / 8] >> (7 - i % 8) & 1;
}

static bool twin_covers(const struct wgh_prefix *p, const struct wgh_addr *a)
{
	if (p->addr.family != a->family)
		return false;
	for (unsigned i = 0; i < p->bits; i++)
		if (bit_of(&p->addr, i) != bit_of(a, i))
			return false;
	return true;
}

static struct peer *twin_lookup(const struct twin *t, const struct wgh_addr *a)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < t->n; i++)
		if (twin_covers(&t->prefix[i], a) &&
			(best == SIZE_MAX || t->prefix[i].bits > t->prefix[best].bits))
			best = i;
	return best == SIZE_MAX ? NULL : t->owner[best];
}

/* Later entries are younger: a move takes the entry out and appends it. */
static struct peer *twin_remove(
	struct twin *t, const struct wgh_prefix *p, const struct peer *owner)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->prefix[i].bits != p->bits || !twin_covers(&t->prefix[i], &p->addr))
			continue;
		struct peer *was = t->owner[i];
		if (owner && was != owner)
			return NULL;
		t->n--;
		memmove(&t->prefix[i], &t->prefix[i + 1], (t->n - i) * sizeof *t->prefix);
		memmove(&t->owner[i], &t->owner[i + 1], (t->n - i) * sizeof(struct peer *));
		return was;
	}
	return NULL;
}

static struct rng rng;

/* Few distinct bits, so that prefixes nest and collide. */
static struct wgh_addr random_addr(uint8_t family)
{
	struct wgh_addr a = {.family = family};
	unsigned n_bytes = family == WGH_IPV4 ? 4 : 16;

	for (unsigned i = 0; i < n_bytes; i++)
		a.bytes[i] = (uint8_t[]){0, 0, 0xff, 0x80, 1, 0x7f, 0xfe}[rng_next(&rng) % 7];
	if (rng_next(&rng) % 4 == 0)
		a.bytes[rng_next(&rng) % n_bytes] = (uint8_t)rng_next(&rng);
	return a;
}

static struct wgh_prefix random_prefix(uint8_t family)
{
	unsigned max = family == WGH_IPV4 ? 32 : 128;

	return (struct wgh_prefix){random_addr(family),
		(uint8_t)(rng_next(&rng) % 3 == 0 ? max : rng_next(&rng) % (max + 1))};
}

static void compare_with_twin(
	const struct route_set *set, const struct twin *twin, struct peer *owners, uint8_t family)
{
	struct route_table *table = new_table(set);

	for (unsigned i = 0; i < 200; i++) {
		struct wgh_addr a = random_addr(family);
		if (i % 2 && twin->n)
			a = twin->prefix[rng_next(&rng) % twin->n].addr;
		struct peer *want = twin_lookup(twin, &a);
		assert_ptr_equal(want, route_lookup(table, &a));
		for (unsigned o = 0; o < TWIN_OWNERS; o++)
			assert_int_equal(want == &owners[o], route_owner_is(table, &a, &owners[o]));
	}
	for (unsigned o = 0; o < TWIN_OWNERS; o++) {
		struct wgh_prefix got;
		size_t cursor = 0;
		for (size_t i = 0; i < twin->n; i++) {
			if (twin->owner[i] != &owners[o])
				continue;
			assert_true(route_next_of(set, &owners[o], &cursor, &got));
			assert_int_equal(twin->prefix[i].bits, got.bits);
			assert_true(twin_covers(&twin->prefix[i], &got.addr));
		}
		assert_false(route_next_of(set, &owners[o], &cursor, &got));
	}
	size_t cursor = 0, n = 0;
	struct wgh_prefix p;
	struct peer *owner;
	for (; route_next(set, &cursor, &p, &owner); n++)
		assert_non_null(owner);
	assert_int_equal(twin->n, n);
	assert_int_equal(twin->n, route_count(set));
	route_table_free(table);
}

static void twin_walk(uint8_t family, uint64_t seed)
{
	static struct twin twin;
	static struct peer owners[TWIN_OWNERS];
	struct route_set *set = route_set_new(seed, NULL);

	assert_non_null(set);
	twin.n = 0;
	rng.state = seed;
	for (unsigned step = 0; step < 3000; step++) {
		struct wgh_prefix p = random_prefix(family);
		struct peer *owner = &owners[rng_next(&rng) % TWIN_OWNERS], *before;
		unsigned what = rng_next(&rng) % 100;

		if (what < 2) {
			route_remove_owner(set, owner);
			for (size_t i = twin.n; i-- > 0;)
				if (twin.owner[i] == owner)
					twin_remove(&twin, &twin.prefix[i], owner);
		} else if (what < 40 && twin.n) {
			if (what < 35)
				p = twin.prefix[rng_next(&rng) % twin.n];
			bool removed = twin_remove(&twin, &p, owner) != NULL;
			assert_int_equal(removed, route_remove(set, &p, owner));
		} else {
			if (what < 55 && twin.n)
				p = twin.prefix[rng_next(&rng) % twin.n];
			bool own = twin_remove(&twin, &p, owner) != NULL;
			struct peer *was = own ? NULL : twin_remove(&twin, &p, NULL);
			if (own) /* it keeps its place in the list: ask for the removal and a new
				    insert */
				assert_true(route_remove(set, &p, owner));
			assert_int_equal(0, route_insert(set, &p, owner, &before));
			assert_ptr_equal(was, before);
			twin.prefix[twin.n] = p;
			twin.owner[twin.n++] = owner;
		}
		if (step % 50 == 0) {
			struct route_set *copy = route_set_copy(set);
			assert_non_null(copy);
			compare_with_twin(copy, &twin, owners, family);
			if (rng_next(&rng) % 2) { /* the walk goes on with the copy */
				struct route_set *old = set;
				set = copy;
				copy = old;
			}
			route_set_free(copy);
		}
	}
	compare_with_twin(set, &twin, owners, family);
	route_set_free(set);
}

static void test_route_agrees_with_a_linear_scan_ipv4(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++)
		twin_walk(WGH_IPV4, seed);
}

static void test_route_agrees_with_a_linear_scan_ipv6(void **state)
{
	(void)state;
	for (uint64_t seed = 4; seed <= 6; seed++)
		twin_walk(WGH_IPV6, seed);
}

/* ---- size ---- */

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Sequential hosts are what a hub has; a hash that clusters them would make this quadratic. The
 * bound is generous for slow and instrumented builds; measured figures stand in route.h. */
static void hosts_in_time(uint8_t family)
{
	enum { N = 100000 };
	struct peer *peers = calloc(N, sizeof *peers);
	struct route_set *set = new_set();
	struct peer *before;
	struct wgh_prefix p = {.addr.family = family, .bits = family == WGH_IPV4 ? 32 : 128};
	unsigned last = family == WGH_IPV4 ? 0 : 12;
	uint64_t start_ms = clock_ms();

	assert_non_null(peers);
	for (uint32_t i = 0; i < N; i++) {
		memcpy(p.addr.bytes + last, &(uint32_t){htonl(0x0a000000 + i)}, 4);
		assert_int_equal(0, route_insert(set, &p, &peers[i], &before));
	}
	uint64_t inserted_ms = clock_ms();
	struct route_table *table = new_table(set);
	uint64_t built_ms = clock_ms();
	for (unsigned round = 0; round < 10; round++)
		for (uint32_t i = 0; i < N; i++) {
			memcpy(p.addr.bytes + last, &(uint32_t){htonl(0x0a000000 + i)}, 4);
			assert_true(route_lookup(table, &p.addr) == &peers[i]);
		}
	uint64_t looked_up_ms = clock_ms();
	for (uint32_t i = 0; i < N; i++)
		route_remove_owner(set, &peers[i]);
	uint64_t removed_ms = clock_ms();
	print_message(
		"100000 hosts: insert %u ms, build %u ms, million look-ups %u ms, remove %u ms\n",
		(unsigned)(inserted_ms - start_ms), (unsigned)(built_ms - inserted_ms),
		(unsigned)(looked_up_ms - built_ms), (unsigned)(removed_ms - looked_up_ms));
	assert_int_equal(0, route_count(set));
	assert_true(removed_ms - start_ms < 5000);
	route_table_free(table);
	route_set_free(set);
	free(peers);
}

static void test_route_hundred_thousand_hosts_cost_milliseconds(void **state)
{
	(void)state;
	hosts_in_time(WGH_IPV4);
	hosts_in_time(WGH_IPV6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_route_rejects_source_of_more_specific_peer),
		cmocka_unit_test(test_route_owner_of_own_other_and_no_prefix_in_both_families),
		cmocka_unit_test(test_route_empty_table_owns_nothing),
		cmocka_unit_test(test_route_search_in_a_tiny_table_ends),
		cmocka_unit_test(test_route_default_routes_cover_everything_of_their_family_only),
		cmocka_unit_test(test_route_every_prefix_length_is_found_longest_first),
		cmocka_unit_test(test_route_insert_masks_host_bits),
		cmocka_unit_test(test_route_insert_of_own_prefix_changes_nothing),
		cmocka_unit_test(test_route_move_leaves_old_owner_its_other_prefixes),
		cmocka_unit_test(test_route_insert_refuses_bad_prefixes_and_no_owner),
		cmocka_unit_test(test_route_remove_only_by_the_holder),
		cmocka_unit_test(test_route_remove_owner_takes_all_of_it_and_nothing_else),
		cmocka_unit_test(test_route_lists_an_owners_prefixes_oldest_first),
		cmocka_unit_test(test_route_hub_and_broadcast_are_owners_but_no_peers),
		cmocka_unit_test(test_route_copies_are_independent),
		cmocka_unit_test(test_route_owners_that_came_and_went_leave_no_memory),
		cmocka_unit_test(test_route_agrees_with_a_linear_scan_ipv4),
		cmocka_unit_test(test_route_agrees_with_a_linear_scan_ipv6),
		cmocka_unit_test(test_route_hundred_thousand_hosts_cost_milliseconds),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
