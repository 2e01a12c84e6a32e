/* test_wanted.c - control/wanted*.c: what changes when the lists change, and that nobody is
 * disturbed by it. The rows named are faults of the old Python daemon (tests/factory-faults.md). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/lib/fleet.h"
#include "tests/lib/rng.h"

/* ---- changes ---- */

/* Rows 4 and 5: any change of anything, even of the order, took the whole interface down. */
static void test_only_what_changed_is_touched(void **state)
{
	struct fleet *f = *state;

	CLAIM(f, 3, {"a", 1, 42, 2}, {"b", 2, 42, 3}, {"c", 3, 42, 4});
	fleet_apply(f);
	assert_int_equal(f->last.n_added, 3);
	assert_int_equal(f->device.n_peers, 3);
	assert_int_equal(fleet_running(f, 1)->config.n_allowed_ips, 1);
	assert_int_equal(fleet_running(f, 1)->ips[0].prefix.bits, 32);
	CLAIM(f, 3, {"c", 3, 42, 4}, {"renamed", 1, 42, 2}, {"b", 2, 42, 3});
	fleet_apply(f);
	assert_int_equal(f->last.change.n_peers, 0);
	assert_string_equal(fleet_name(f, 1), "renamed");
	CLAIM(f, 3, {"c", 3, 42, 9}, {"renamed", 1, 42, 2}, {"d", 4, 42, 4});
	fleet_apply(f);
	assert_int_equal(f->last.n_changed, 1);
	assert_int_equal(f->last.n_added, 1);
	assert_int_equal(f->last.n_removed, 1);
	assert_int_equal(f->last.change.n_peers, 3);
	assert_null(fleet_running(f, 2));
	assert_int_equal(fleet_running(f, 3)->ips[0].prefix.addr.bytes[3], 9);
	assert_int_equal(fleet_running(f, 4)->ips[0].prefix.addr.bytes[3], 4);
	assert_int_equal(wanted_claim_factory(f->w, NULL), 0); /* enabled=0 for all */
	fleet_apply(f);
	assert_int_equal(f->last.n_removed, 3);
	assert_int_equal(f->device.n_peers, 0);
}

static void test_name_with_another_key_replaces_the_old_peer_at_once(void **state)
{
	struct fleet *f = *state;

	CLAIM(f, 2, {"a", 1, 42, 2}, {"b", 2, 42, 3});
	fleet_apply(f);
	/* A stranger wants the address in the same moment, with a lower name. */
	CLAIM(f, 3, {"a", 9, 42, 2}, {"b", 2, 42, 3}, {"A-stranger", 8, 42, 2});
	fleet_apply(f);
	assert_null(fleet_running(f, 1));
	assert_non_null(fleet_running(f, 9));
	assert_null(fleet_running(f, 8));
	assert_string_equal(fleet_refusal(f, 8)->other_name, "a");
	assert_int_equal(f->last.change.n_peers, 2);
}

static void test_disabled_device_goes_and_its_address_is_not_given_away(void **state)
{
	struct fleet *f = *state;
	struct wgh_addr *taken;
	size_t n;

	CLAIM(f, 2, {"a", 1, 42, 2}, {"b", 2, 42, 3});
	fleet_apply(f);
	CLAIM(f, 2, {"a", 1, 42, 2, true}, {"b", 2, 42, 3});
	fleet_apply(f);
	assert_null(fleet_running(f, 1));
	assert_int_equal(wanted_taken(f->w, &taken, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(taken[0].bytes[3], 2);
	assert_int_equal(taken[1].bytes[3], 3);
	free(taken);
}

static void test_address_that_is_kept_is_given_to_nobody_but_whoever_claims_it(void **state)
{
	struct fleet *f = *state;
	struct wgh_addr kept = fleet_addr(42, 254), *taken;
	size_t n;

	CLAIM(f, 2, {"a", 1, 42, 2}, {"b", 2, 42, 3, true});
	fleet_apply(f);
	assert_true(wanted_is_free(f->w, &kept));
	assert_false(wanted_is_free(f->w, &(struct wgh_addr){{10, 42, 42, 2}, WGH_IPV4}));
	assert_false(wanted_is_free(f->w, &(struct wgh_addr){{10, 42, 42, 3}, WGH_IPV4}));
	wanted_reserve(f->w, &kept);
	assert_int_equal(wanted_taken(f->w, &taken, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(taken[0].bytes[3], 254);
	free(taken);
	CLAIM(f, 2, {"a", 1, 42, 2}, {"c", 3, 42, 254});
	fleet_apply(f);
	assert_non_null(fleet_running(f, 3));
	assert_false(wanted_is_free(f->w, &kept));
	wanted_reserve(f->w, NULL);
	assert_int_equal(wanted_taken(f->w, &taken, &n), 0);
	assert_int_equal(n, 2);
	free(taken);
}

/* Row 10: a peer that the API does not know ended the daemon. */
static void test_peers_made_by_hand_stay_whatever_the_factory_says(void **state)
{
	struct fleet *f = *state;
	struct wgh_allowed_ip ip = {.prefix = {.addr = fleet_addr(42, 200), .bits = 32}};
	struct wgh_peer_change by_hand = {
		.public_key = fleet_key(30), .allowed_ips = &ip, .n_allowed_ips = 1};
	struct wgh_change change = {.peers = &by_hand, .n_peers = 1};
	struct wgh_error error;

	CLAIM(f, 1, {"a", 1, 42, 2});
	fleet_apply(f);
	assert_int_equal(fake_device_apply(&f->device, &change, &error), 0);
	CLAIM(f, 2, {"b", 2, 42, 200}, {"c", 30, 42, 5});
	fleet_apply(f);
	assert_non_null(fleet_running(f, 30));
	assert_int_equal(fleet_running(f, 30)->ips[0].prefix.addr.bytes[3], 200);
	assert_null(fleet_running(f, 1));
	assert_null(fleet_running(f, 2));
	assert_int_equal(fleet_refusal(f, 2)->reason, REFUSED_ADDRESS_TAKEN);
	assert_int_equal(fleet_refusal(f, 2)->other_origin, ORIGIN_WG);
	assert_int_equal(fleet_refusal(f, 30)->reason, REFUSED_KEY_TAKEN);
}

/* Old guides say: wg set, and then echo >> the clients file. */
static void test_line_in_a_file_adopts_the_peer_made_by_hand(void **state)
{
	struct fleet *f = *state;
	struct wgh_allowed_ip ip = {.prefix = {.addr = fleet_addr(42, 0), .bits = 24}};
	struct wgh_peer_change by_hand = {.public_key = fleet_key(30),
		.allowed_ips = &ip,
		.n_allowed_ips = 1,
		.flags = WGH_PEER_HAS_KEEPALIVE,
		.keepalive_s = 25};
	struct wgh_change change = {.peers = &by_hand, .n_peers = 1};
	struct wgh_error error;
	size_t n;

	fleet_apply(f);
	assert_int_equal(fake_device_apply(&f->device, &change, &error), 0);
	fleet_apply(f);
	assert_int_equal(fleet_running(f, 30)->ips[0].prefix.bits, 24);
	fleet_claim_clients(f->w, DEVS({"laptop", 30, 42, 254}), 1);
	fleet_apply(f);
	assert_int_equal(f->last.n_changed, 1);
	assert_int_equal(f->last.change.n_peers, 1);
	assert_int_equal(fleet_running(f, 30)->ips[0].prefix.bits, 32);
	assert_int_equal(fleet_running(f, 30)->config.keepalive_s, 25); /* no file's business */
	assert_string_equal(fleet_name(f, 30), "laptop");
	wanted_refusals(f->w, &n);
	assert_int_equal(n, 0);
	fleet_claim_clients(f->w, NULL, 0);
	fleet_apply(f);
	assert_null(fleet_running(f, 30));
}

/* What old guides tell people to type gives the whole network to one peer. */
static void test_prefix_taken_by_hand_is_taken_back(void **state)
{
	struct fleet *f = *state;
	struct wgh_allowed_ip ip = {.prefix = {.addr = fleet_addr(42, 2), .bits = 32}};
	struct wgh_peer_change by_hand = {
		.public_key = fleet_key(30), .allowed_ips = &ip, .n_allowed_ips = 1};
	struct wgh_change change = {.peers = &by_hand, .n_peers = 1};
	struct wgh_error error;

	CLAIM(f, 1, {"a", 1, 42, 2});
	fleet_apply(f);
	assert_int_equal(fake_device_apply(&f->device, &change, &error), 0);
	assert_int_equal(fleet_running(f, 1)->config.n_allowed_ips, 0);
	fleet_apply(f);
	assert_int_equal(fleet_running(f, 1)->config.n_allowed_ips, 1);
	assert_int_equal(fleet_running(f, 30)->config.n_allowed_ips, 0);
}

static void test_peer_may_pass_from_one_list_to_another_without_loss(void **state)
{
	struct fleet *f = *state;

	fleet_claim_clients(f->w, DEVS({"x", 1, 42, 254}), 1);
	fleet_apply(f);
	fleet_claim_clients(f->w, NULL, 0);
	CLAIM(f, 1, {"x", 1, 42, 254});
	fleet_apply(f);
	assert_int_equal(f->last.change.n_peers, 0);
	assert_int_equal(
		wanted_origin_of(f->w, &(struct wgh_public_key){.bytes = {1, 1}}), ORIGIN_FACTORY);
}

/* ---- across a restart ---- */

static void test_restart_keeps_holders_and_endpoints(void **state)
{
	struct fleet *f = *state, again = {.w = wanted_new()};
	struct wgh_snapshot *snapshot;
	struct state saved;

	fleet_claim_clients(f->w, DEVS({"laptop", 7, 42, 254}), 1);
	CLAIM(f, 3, {"zz", 1, 42, 10}, {"b", 2, 42, 11}, {"off", 3, 42, 12, true});
	fleet_apply(f);
	((struct fake_peer *)fleet_running(f, 1))->config.endpoint = (struct wgh_endpoint){
		.addr = {192, 0, 2, 1}, .local = {10, 0, 0, 1}, .port = 99, .family = WGH_IPV4};
	assert_int_equal(fake_device_snapshot(&f->device, &snapshot), 0);
	assert_int_equal(wanted_to_state(f->w, snapshot, &saved), 0);
	fake_device_snapshot_free(snapshot);
	assert_int_equal(saved.n_peers, 4);

	/* The new process, before it has heard anything. */
	assert_int_equal(
		wanted_set_rules(again.w, &(struct wanted_rules){.hub = fleet_addr(42, 1)}), 0);
	assert_int_equal(wanted_restore(again.w, &saved), 0);
	state_fini(&saved);
	fleet_apply(&again);
	assert_int_equal(again.device.n_peers, 3);
	assert_int_equal(fleet_running(&again, 1)->config.endpoint.port, 99);
	assert_int_equal(fleet_running(&again, 1)->config.endpoint.local[0], 0);
	assert_int_equal(fleet_running(&again, 2)->config.endpoint.family, WGH_UNSPEC);
	assert_string_equal(fleet_name(&again, 7), "laptop");
	/* The first answer: a lower name wants the holder's address. */
	CLAIM(&again, 3, {"aa", 5, 42, 10}, {"zz", 1, 42, 10}, {"b", 2, 42, 11});
	fleet_apply(&again);
	assert_int_equal(again.last.change.n_peers, 0);
	assert_string_equal(fleet_refusal(&again, 5)->other_name, "zz");
	/* And it is saved again where nobody has called since. */
	assert_int_equal(fake_device_snapshot(&again.device, &snapshot), 0);
	assert_int_equal(wanted_to_state(again.w, snapshot, &saved), 0);
	fake_device_snapshot_free(snapshot);
	assert_int_equal(saved.n_peers, 3);
	state_fini(&saved);
	wanted_free(again.w);
	fake_device_fini(&again.device);
}

static void test_endpoint_is_kept_when_the_answer_comes_before_the_device_has_it(void **state)
{
	struct fleet *f = *state;
	struct state saved = {0};
	struct state_peer *peer = state_add(&saved);

	*peer = (struct state_peer){.public_key = fleet_key(1),
		.address = fleet_addr(42, 2),
		.name = strdup("a"),
		.endpoint = {.addr = {192, 0, 2, 1}, .port = 99, .family = WGH_IPV4}};
	assert_int_equal(wanted_restore(f->w, &saved), 0);
	state_fini(&saved);
	CLAIM(f, 1, {"a", 1, 42, 2});
	fleet_apply(f);
	assert_int_equal(fleet_running(f, 1)->config.endpoint.port, 99);
}

/* ---- anything at all ---- */

#define DEVS_MAX 12

/* One step's lists: devices, then clients. */
struct lists {
	struct dev devs[2 * DEVS_MAX];
	size_t n_devs, n_clients;
	struct dev kept[DEVS_MAX]; /* devices that were in and ask for the same again */
	size_t n_kept;
};

static void make_lists(struct lists *l, const struct wanted *w, struct rng *rng)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	size_t n_peers;
	const struct wanted_peer *p = wanted_peers(w, &n_peers);

	*l = (struct lists){
		.n_devs = rng_below(rng, DEVS_MAX), .n_clients = rng_below(rng, DEVS_MAX)};
	for (size_t i = 0; i < l->n_devs + l->n_clients; i++)
		l->devs[i] =
			(struct dev){names[rng_below(rng, 5)], (uint8_t)(1 + rng_below(rng, 8)), 42,
				(uint8_t)(1 + rng_below(rng, 8)), false};
	for (size_t i = 0; i < n_peers && i < l->n_devs; i++) {
		if (p[i].origin != ORIGIN_FACTORY)
			continue;
		l->devs[i] = (struct dev){names[p[i].name[0] - 'a'], p[i].public_key.bytes[0], 42,
			p[i].prefixes[0].addr.bytes[3], false};
		l->kept[l->n_kept++] = l->devs[i];
	}
}

static bool is_claimed(const struct lists *l, const struct wanted_peer *p)
{
	for (size_t i = 0; i < l->n_devs + l->n_clients; i++) {
		if (l->devs[i].key == p->public_key.bytes[0] && !strcmp(l->devs[i].name, p->name) &&
			l->devs[i].last == p->prefixes[0].addr.bytes[3])
			return true;
	}
	return false;
}

static void assert_sound(const struct fleet *f, const struct lists *l)
{
	size_t n_peers, n_refusals;
	const struct wanted_peer *p = wanted_peers(f->w, &n_peers);

	wanted_refusals(f->w, &n_refusals);
	assert_int_equal(n_peers + n_refusals, l->n_devs + l->n_clients);
	assert_int_equal(n_peers, f->device.n_peers);
	for (size_t i = 0; i < n_peers; i++) {
		const struct fake_peer *now = fleet_running(f, p[i].public_key.bytes[0]);

		assert_true(is_claimed(l, &p[i]));
		assert_int_equal(p[i].n_prefixes, 1);
		assert_int_equal(now->config.n_allowed_ips, 1);
		assert_memory_equal(&now->ips[0].prefix, p[i].prefixes, sizeof *p[i].prefixes);
		for (size_t j = 0; j < i; j++) {
			assert_memory_not_equal(
				&p[i].public_key, &p[j].public_key, sizeof p[i].public_key);
			assert_memory_not_equal(
				p[i].prefixes, p[j].prefixes, sizeof *p[i].prefixes);
		}
	}
	for (size_t i = 0; i < l->n_kept; i++)
		assert_string_equal(fleet_name(f, l->kept[i].key), l->kept[i].name);
}

/* Random lists with many conflicts: nothing is owned twice, nobody is lost without a reason,
 * holders stay, and the device is what the set says. */
static void test_any_lists_give_a_set_without_conflicts(void **state)
{
	struct rng rng = {7};

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct lists lists;
		void *f;

		assert_int_equal(fleet_setup(&f), 0);
		for (unsigned step = 0; step < 8; step++) {
			make_lists(&lists, ((struct fleet *)f)->w, &rng);
			fleet_claim_devices(((struct fleet *)f)->w, lists.devs, lists.n_devs);
			fleet_claim_clients(
				((struct fleet *)f)->w, lists.devs + lists.n_devs, lists.n_clients);
			fleet_apply(f);
			assert_sound(f, &lists);
		}
		fleet_teardown(&f);
	}
}

#define FLEET_TEST(f) cmocka_unit_test_setup_teardown(f, fleet_setup, fleet_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLEET_TEST(test_only_what_changed_is_touched),
		FLEET_TEST(test_name_with_another_key_replaces_the_old_peer_at_once),
		FLEET_TEST(test_disabled_device_goes_and_its_address_is_not_given_away),
		FLEET_TEST(test_address_that_is_kept_is_given_to_nobody_but_whoever_claims_it),
		FLEET_TEST(test_peers_made_by_hand_stay_whatever_the_factory_says),
		FLEET_TEST(test_line_in_a_file_adopts_the_peer_made_by_hand),
		FLEET_TEST(test_prefix_taken_by_hand_is_taken_back),
		FLEET_TEST(test_peer_may_pass_from_one_list_to_another_without_loss),
		FLEET_TEST(test_restart_keeps_holders_and_endpoints),
		FLEET_TEST(test_endpoint_is_kept_when_the_answer_comes_before_the_device_has_it),
		FLEET_TEST(test_any_lists_give_a_set_without_conflicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
