/* test_wanted_refused.c - control/wanted_resolve.c: who is let in and who is refused. The rows
 * named are faults of the old Python daemon (tests/factory-faults.md). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/fleet.h"

/* Row 33: whatever a device said went into AllowedIPs. */
static void test_rules_of_addresses_and_keys(void **state)
{
	static const struct {
		uint8_t addr[4], key;
		enum refusal_reason reason;
	} cases[] = {{{10, 42, 42, 2}, 1, REFUSED_NOTHING}, {{10, 42, 42, 255}, 1, REFUSED_NOTHING},
		{{10, 42, 43, 1}, 1, REFUSED_NOTHING},
		{{10, 42, 81, 16}, 1, REFUSED_NOTHING}, /* the hub's and 9999 */
		{{10, 42, 81, 17}, 1, REFUSED_ADDRESS_RANGE},
		{{10, 42, 41, 254}, 1, REFUSED_ADDRESS_RANGE},
		{{10, 42, 42, 1}, 1, REFUSED_ADDRESS_HUB},
		{{10, 42, 42, 77}, 1, REFUSED_ADDRESS_LOCAL},
		{{10, 42, 43, 0}, 1, REFUSED_ADDRESS_UNUSABLE},
		{{0, 0, 0, 0}, 1, REFUSED_ADDRESS_UNUSABLE},
		{{127, 0, 0, 1}, 1, REFUSED_ADDRESS_UNUSABLE},
		{{224, 0, 0, 1}, 1, REFUSED_ADDRESS_UNUSABLE},
		{{255, 255, 255, 255}, 1, REFUSED_ADDRESS_UNUSABLE},
		{{8, 8, 8, 8}, 1, REFUSED_ADDRESS_RANGE},
		{{192, 168, 0, 1}, 1, REFUSED_ADDRESS_RANGE},
		{{10, 42, 42, 2}, 250, REFUSED_KEY_OWN}, {{10, 42, 42, 2}, 0, REFUSED_KEY_ZERO}};
	struct fleet *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct factory_peers peers = fleet_answer(DEVS({"a", 1, 42, 2}), 1);
		size_t n;
		const struct wanted_refusal *r;
		char text[REFUSAL_CHARS];

		memcpy(peers.items[0].address.bytes, cases[i].addr, 4);
		peers.items[0].public_key = fleet_key(cases[i].key);
		if (!cases[i].key)
			peers.items[0].public_key.bytes[1] = 0;
		assert_int_equal(wanted_claim_factory(f->w, &peers), 0);
		assert_int_equal(wanted_resolve(f->w), 0);
		r = wanted_refusals(f->w, &n);
		assert_int_equal(n, cases[i].reason != REFUSED_NOTHING);
		if (n) {
			assert_int_equal(r[0].reason, cases[i].reason);
			wanted_refusal_text(text, &r[0]);
			assert_memory_equal(text, "device \"a\" is refused: ", 23);
		}
		factory_peers_fini(&peers);
	}
}

static void test_range_is_private_space_and_may_be_configured(void **state)
{
	static const struct {
		uint8_t hub[4], addr[4];
		const char *range;
		enum refusal_reason reason;
	} cases[] = {{{203, 0, 113, 1}, {203, 0, 113, 2}, NULL, REFUSED_ADDRESS_RANGE},
		{{172, 31, 255, 1}, {172, 31, 255, 9}, NULL, REFUSED_NOTHING},
		{{172, 31, 255, 1}, {172, 32, 0, 1}, NULL, REFUSED_ADDRESS_RANGE},
		{{100, 64, 0, 1}, {100, 64, 0, 2}, NULL, REFUSED_NOTHING},
		{{192, 168, 3, 1}, {192, 168, 3, 2}, NULL, REFUSED_NOTHING},
		{{10, 42, 42, 1}, {203, 0, 113, 2}, "203.0.113.0/24", REFUSED_NOTHING},
		{{10, 42, 42, 1}, {10, 42, 42, 2}, "203.0.113.0/24", REFUSED_ADDRESS_RANGE},
		/* near the end of all addresses nothing wraps around */
		{{255, 255, 255, 250}, {10, 0, 0, 1}, NULL, REFUSED_ADDRESS_RANGE}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wanted *w = wanted_new();
		struct wanted_rules rules = {.hub.family = WGH_IPV4};
		struct wgh_addr addr = {.family = WGH_IPV4};
		struct wgh_public_key key = fleet_key(1);
		struct wanted_refusal why;
		struct wgh_prefix range;

		memcpy(rules.hub.bytes, cases[i].hub, 4);
		memcpy(addr.bytes, cases[i].addr, 4);
		if (cases[i].range) {
			assert_null(text_prefix(&range, cases[i].range, strlen(cases[i].range)));
			rules.ranges = &range;
			rules.n_ranges = 1;
		}
		assert_int_equal(wanted_set_rules(w, &rules), 0);
		assert_int_equal(wanted_would_accept(w, ORIGIN_CLIENTS, "x", &key, &addr, &why),
			cases[i].reason == REFUSED_NOTHING);
		assert_int_equal(why.reason, cases[i].reason);
		wanted_free(w);
	}
}

static void test_present_holder_of_an_address_stays(void **state)
{
	struct fleet *f = *state;
	char text[REFUSAL_CHARS];

	CLAIM(f, 1, {"zz", 1, 42, 10});
	fleet_apply(f);
	/* fioctl hands out addresses without knowing of clients, and two at once the same. */
	fleet_claim_clients(f->w, DEVS({"laptop", 7, 42, 10}), 1);
	CLAIM(f, 2, {"zz", 1, 42, 10}, {"aa", 2, 42, 10});
	fleet_apply(f);
	assert_int_equal(f->last.change.n_peers, 0);
	assert_string_equal(fleet_refusal(f, 7)->other_name, "zz");
	wanted_refusal_text(text, fleet_refusal(f, 7));
	assert_string_equal(
		text, "client \"laptop\" is refused: device \"zz\" holds 10.42.42.10/32");
	assert_string_equal(fleet_refusal(f, 2)->other_name, "zz");
	/* When the holder goes, the first in line gets it: clients before devices. */
	CLAIM(f, 1, {"aa", 2, 42, 10});
	fleet_apply(f);
	assert_non_null(fleet_running(f, 7));
	assert_null(fleet_running(f, 2));
	fleet_claim_clients(f->w, NULL, 0);
	fleet_apply(f);
	assert_non_null(fleet_running(f, 2));
}

static void test_of_two_newcomers_the_lower_name_wins_whatever_the_order(void **state)
{
	for (unsigned turn = 0; turn < 2; turn++) {
		struct fleet *f = *state;

		CLAIM(f, 0, {0});
		fleet_apply(f);
		if (turn)
			CLAIM(f, 2, {"b", 1, 42, 5}, {"a", 2, 42, 5});
		else
			CLAIM(f, 2, {"a", 2, 42, 5}, {"b", 1, 42, 5});
		fleet_apply(f);
		assert_string_equal(fleet_name(f, 2), "a");
		assert_null(fleet_name(f, 1));
	}
}

static void test_present_holder_of_a_key_stays(void **state)
{
	struct fleet *f = *state;

	CLAIM(f, 1, {"press", 1, 42, 5});
	fleet_apply(f);
	/* A stolen device says that another's key is its own. */
	CLAIM(f, 2, {"evil", 1, 42, 6}, {"press", 1, 42, 5});
	fleet_apply(f);
	assert_int_equal(f->last.change.n_peers, 0);
	assert_string_equal(fleet_name(f, 1), "press");
	assert_int_equal(fleet_refusal(f, 1)->reason, REFUSED_KEY_TAKEN);
	assert_string_equal(fleet_refusal(f, 1)->name, "evil");
	assert_string_equal(fleet_refusal(f, 1)->other_name, "press");
	/* The same between a device and an engineer. */
	fleet_claim_clients(f->w, DEVS({"laptop", 8, 42, 200}), 1);
	CLAIM(f, 1, {"press", 1, 42, 5});
	fleet_apply(f);
	CLAIM(f, 2, {"press", 1, 42, 5}, {"evil", 8, 42, 6});
	fleet_apply(f);
	assert_string_equal(fleet_name(f, 8), "laptop");
	assert_int_equal(f->last.change.n_peers, 0);
}

static void test_addresses_may_be_swapped(void **state)
{
	struct fleet *f = *state;

	CLAIM(f, 2, {"a", 1, 42, 5}, {"b", 2, 42, 6});
	fleet_apply(f);
	CLAIM(f, 2, {"a", 1, 42, 6}, {"b", 2, 42, 5});
	fleet_apply(f);
	assert_int_equal(f->last.n_changed, 2);
	assert_int_equal(fleet_running(f, 1)->ips[0].prefix.addr.bytes[3], 6);
	assert_int_equal(fleet_running(f, 2)->ips[0].prefix.addr.bytes[3], 5);
	assert_int_equal(fleet_running(f, 1)->config.n_allowed_ips, 1);
	assert_int_equal(fleet_running(f, 2)->config.n_allowed_ips, 1);
}

static void test_refusal_is_news_once(void **state)
{
	struct fleet *f = *state;

	CLAIM(f, 2, {"a", 1, 42, 5}, {"b", 2, 42, 5});
	fleet_apply(f);
	assert_true(fleet_refusal(f, 2)->is_new);
	fleet_apply(f);
	assert_false(fleet_refusal(f, 2)->is_new);
	CLAIM(f, 2, {"a", 1, 42, 5}, {"b", 2, 42, 1});
	fleet_apply(f);
	assert_true(fleet_refusal(f, 2)->is_new);
}

/* Row 34 once more: what is wrong with an item is said, and costs that item. */
static void test_refused_item_shows_its_reason(void **state)
{
	struct fleet *f = *state;
	struct factory_peers peers =
		fleet_answer(DEVS({"bad\x1b", 1, 42, 5}, {"good", 2, 42, 6}), 2);
	char text[REFUSAL_CHARS];

	peers.items[0].refused = "it has no key";
	assert_int_equal(wanted_claim_factory(f->w, &peers), 0);
	factory_peers_fini(&peers);
	fleet_apply(f);
	assert_int_equal(f->device.n_peers, 1);
	wanted_refusal_text(text, fleet_refusal(f, 1));
	assert_string_equal(text, "device \"bad\\x1b\" is refused: it has no key");
}

static void test_newcomer_is_judged_beside_the_present_set(void **state)
{
	static const struct {
		uint8_t key, last;
		enum refusal_reason reason;
	} cases[] = {{9, 9, REFUSED_NOTHING}, {1, 9, REFUSED_KEY_TAKEN},
		{9, 5, REFUSED_ADDRESS_TAKEN}, {9, 1, REFUSED_ADDRESS_HUB},
		{250, 9, REFUSED_KEY_OWN}};
	struct fleet *f = *state;

	CLAIM(f, 1, {"a", 1, 42, 5});
	fleet_apply(f);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_public_key key = fleet_key(cases[i].key);
		struct wgh_addr addr = fleet_addr(42, cases[i].last);
		struct wanted_refusal why;

		assert_int_equal(
			wanted_would_accept(f->w, ORIGIN_CLIENTS, "new", &key, &addr, &why),
			cases[i].reason == REFUSED_NOTHING);
		assert_int_equal(why.reason, cases[i].reason);
		if (why.other_name)
			assert_string_equal(why.other_name, "a");
	}
	assert_string_equal(
		wanted_find_addr(f->w, &(struct wgh_addr){.bytes = {10, 42, 42, 5}, .family = 4})
			->name,
		"a");
	assert_null(
		wanted_find_addr(f->w, &(struct wgh_addr){.bytes = {10, 42, 42, 6}, .family = 4}));
}

#define FLEET_TEST(f) cmocka_unit_test_setup_teardown(f, fleet_setup, fleet_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLEET_TEST(test_rules_of_addresses_and_keys),
		FLEET_TEST(test_range_is_private_space_and_may_be_configured),
		FLEET_TEST(test_present_holder_of_an_address_stays),
		FLEET_TEST(test_of_two_newcomers_the_lower_name_wins_whatever_the_order),
		FLEET_TEST(test_present_holder_of_a_key_stays),
		FLEET_TEST(test_addresses_may_be_swapped),
		FLEET_TEST(test_refusal_is_news_once),
		FLEET_TEST(test_refused_item_shows_its_reason),
		FLEET_TEST(test_newcomer_is_judged_beside_the_present_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
