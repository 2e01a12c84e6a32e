/* Is a hub's memory budget honest? Every block that our code takes from the system while a hub
 * lives is counted here a second time: it is never more than what the budget says, and in the end
 * both are nothing.
 *
 * The Makefile links this program with --wrap for each allocator, so that the calls of our own
 * code, and no others, come through here.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

/* ---- the allocators ---- */

#define BLOCKS_MAX 65536u

static struct {
	void *p;
	size_t n_bytes;
} blocks[BLOCKS_MAX];
static size_t n_blocks, live_bytes;

static void *taken(void *p, size_t n_bytes)
{
	if (!p)
		return NULL;
	assert_true(n_blocks < BLOCKS_MAX);
	blocks[n_blocks].p = p;
	blocks[n_blocks++].n_bytes = n_bytes;
	live_bytes += n_bytes;
	return p;
}

static void given_back(const void *p)
{
	for (size_t i = n_blocks; i-- > 0;)
		if (blocks[i].p == p) {
			live_bytes -= blocks[i].n_bytes;
			blocks[i] = blocks[--n_blocks];
			return;
		}
}

#define WRAP(name, parameters, arguments, n_bytes)                                                 \
	void *__real_##name parameters;                                                            \
	void *__wrap_##name parameters;                                                            \
	void *__wrap_##name parameters                                                             \
	{                                                                                          \
		return taken(__real_##name arguments, n_bytes);                                    \
	}
WRAP(malloc, (size_t n), (n), n)
WRAP(calloc, (size_t n, size_t size), (n, size), n *size)
WRAP(aligned_alloc, (size_t align, size_t n), (align, n), n)
WRAP(secret_alloc, (size_t n), (n), n)

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
	void *grown;

	given_back(p); /* while it moves both are there: the budget knows, this count need not */
	grown = __real_realloc(p, n);
	return taken(grown, n);
}

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	given_back(p);
	__real_free(p);
}

void __real_secret_free(void *p, size_t n);
void __wrap_secret_free(void *p, size_t n);
void __wrap_secret_free(void *p, size_t n)
{
	given_back(p);
	__real_secret_free(p, n);
}

/* ---- a life ---- */

#define N_REMOTES 60

static struct fixture f;
static struct remote remotes[N_REMOTES];

static void assert_honest(void)
{
	const size_t used = relaxed_get(&f.budget.used_bytes);

	if (live_bytes > used)
		fail_msg("%zu bytes are in use, the budget knows of %zu", live_bytes, used);
}

static void add_all(void)
{
	for (unsigned i = 0; i < N_REMOTES; i++) {
		remote_init(&f, &remotes[i], i + 1);
		remote_add_with_endpoint(&f, &remotes[i]);
		assert_honest();
	}
}

static void connect_all(void)
{
	for (unsigned i = 0; i < N_REMOTES; i += 2) {
		remote_connect(&f, &remotes[i]);
		assert_honest();
	}
}

/* To those without a session: packets wait, handshakes begin. */
static void let_wait(void)
{
	for (unsigned i = 1; i < N_REMOTES; i += 2) {
		struct inner p = inner4(254, i + 1, 1000);

		for (int k = 0; k < 20; k++)
			fixture_tun(&f, p.data, p.len_bytes);
		assert_honest();
	}
	fixture_forget(&f);
}

/* Everybody is a device that sees the hub's address only, so there are flows to remember. */
static void translate_all(void)
{
	struct wgh_peer_change changes[N_REMOTES];
	struct wgh_policy policy;

	wgh_policy_defaults(&policy);
	policy.table[WGH_GROUP_PEER][WGH_GROUP_PEER] = WGH_ALLOW;
	for (unsigned i = 0; i < N_REMOTES; i++)
		changes[i] = (struct wgh_peer_change){.public_key = remote_key(&remotes[i]),
			.flags = WGH_PEER_HAS_NAT,
			.nat = WGH_NAT_ALWAYS};
	assert_int_equal(hub_apply(f.hub,
				 &(struct wgh_change){.flags = WGH_HAS_POLICY,
					 .policy = &policy,
					 .peers = changes,
					 .n_peers = N_REMOTES},
				 f.now_ns, NULL),
		0);
	fixture_run(&f);
	assert_honest();
	for (unsigned i = 0; i + 2 < N_REMOTES; i += 2) {
		struct inner p = inner4(i + 1, i + 3, 100);

		remote_send(&f, &remotes[i], p.data, p.len_bytes);
		assert_honest();
	}
}

static void remove_all(void)
{
	for (unsigned i = 0; i < N_REMOTES; i++) {
		const struct wgh_peer_change gone = {
			.public_key = remote_key(&remotes[i]), .flags = WGH_PEER_REMOVE};

		fixture_change_peer(&f, &gone);
		fixture_run(&f);
		assert_honest();
	}
}

static void test_budget_knows_every_byte_of_a_hubs_life(void **state)
{
	const size_t before = live_bytes;

	(void)state;
	assert_int_equal(before, 0);
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	assert_honest();
	assert_true(live_bytes > 500000); /* this does count */
	add_all();
	connect_all();
	let_wait();
	fixture_advance(&f, 130 * NS_PER_S);
	assert_honest();
	connect_all();
	translate_all();
	fixture_advance(&f, 700 * NS_PER_S);
	assert_honest();
	remove_all();
	fixture_fini(&f); /* which asserts that the budget is empty */
	assert_int_equal(live_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_budget_knows_every_byte_of_a_hubs_life),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
