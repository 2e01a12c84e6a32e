/* test_wanted.c - control/wanted*.c: who is let in, who is refused, and that nobody is disturbed by
 * it. The device is tests/lib/fake_device.c. The rows named are faults of the old Python daemon
 * (tests/factory-faults.md). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/wanted.h"
#include "tests/lib/fake_device.h"
#include "tests/lib/rng.h"

#define ALL (ORIGIN_BIT(ORIGIN_FACTORY) | ORIGIN_BIT(ORIGIN_CLIENTS) | ORIGIN_BIT(ORIGIN_CONF))

struct fixture {
	struct wanted *w;
	struct fake_device device;
	struct sync last; /* only its counts are valid */
};

/* A device as a test writes it: 10.42.X.LAST. */
struct dev {
	const char *name;
	uint8_t key, third, last;
	bool disabled;
};

static struct wgh_public_key key_of(uint8_t n)
{
	return (struct wgh_public_key){.bytes = {n, 1}};
}

static struct wgh_addr addr_of(uint8_t third, uint8_t last)
{
	return (struct wgh_addr){.bytes = {10, 42, third, last}, .family = WGH_IPV4};
}

static struct factory_peers answer(const struct dev *devs, size_t n)
{
	struct factory_peers peers = {
		.items = calloc(n + 1, sizeof *peers.items), .n = n, .certain = true};

	for (size_t i = 0; i < n; i++)
		peers.items[i] = (struct factory_peer){.name = strdup(devs[i].name),
			.enabled = !devs[i].disabled,
			.has_key = true,
			.public_key = key_of(devs[i].key),
			.address = addr_of(devs[i].third, devs[i].last)};
	peers.cap = n;
	return peers;
}

static void claim_devices(struct wanted *w, const struct dev *devs, size_t n)
{
	struct factory_peers peers = answer(devs, n);

	assert_int_equal(wanted_claim_factory(w, &peers), 0);
	factory_peers_fini(&peers);
}

static void claim_clients(struct wanted *w, const struct dev *devs, size_t n)
{
	struct clients clients = {.items = calloc(n + 1, sizeof *clients.items), .n = n};

	for (size_t i = 0; i < n; i++)
		clients.items[i] = (struct client){.public_key = key_of(devs[i].key),
			.address = addr_of(devs[i].third, devs[i].last),
			.name = strdup(devs[i].name)};
	assert_int_equal(wanted_claim_clients(w, &clients), 0);
	clients_fini(&clients);
}

/* Everything that one round does. */
static void apply(struct fixture *f)
{
	struct wgh_snapshot *running;
	struct wgh_error error;

	assert_int_equal(fake_device_snapshot(&f->device, &running), 0);
	assert_int_equal(wanted_claim_running(f->w, running), 0);
	assert_int_equal(wanted_resolve(f->w), 0);
	assert_int_equal(wanted_sync(f->w, ALL, running, &f->last), 0);
	fake_device_snapshot_free(running);
	assert_int_equal(fake_device_apply(&f->device, &f->last.change, &error), 0);
	assert_int_equal(wanted_applied(f->w, ALL), 0);
	sync_fini(&(struct sync){.peers = f->last.peers,
		.allowed_ips = f->last.allowed_ips,
		.peers_cap = f->last.peers_cap});
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const struct wgh_addr local = addr_of(42, 77);

	*state = f;
	f->w = wanted_new();
	return wanted_set_rules(f->w,
		&(struct wanted_rules){.own_key = key_of(250),
			.has_own_key = true,
			.hub = addr_of(42, 1),
			.local = &local,
			.n_local = 1});
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	wanted_free(f->w);
	fake_device_fini(&f->device);
	free(f);
	return 0;
}

static const struct fake_peer *running(const struct fixture *f, uint8_t key)
{
	for (size_t i = 0; i < f->device.n_peers; i++) {
		if (f->device.peers[i].config.public_key.bytes[0] == key)
			return &f->device.peers[i];
	}
	return NULL;
}

static const struct wanted_refusal *refusal(const struct fixture *f, uint8_t key)
{
	size_t n;
	const struct wanted_refusal *r = wanted_refusals(f->w, &n);

	for (size_t i = 0; i < n; i++) {
		if (r[i].public_key.bytes[0] == key)
			return &r[i];
	}
	return NULL;
}

static const char *name_of(const struct fixture *f, uint8_t key)
{
	const struct wanted_peer *p =
		wanted_find(f->w, &(struct wgh_public_key){.bytes = {key, 1}});

	return p ? p->name : NULL;
}

#define DEVS(...)                                                                                  \
	(const struct dev[])                                                                       \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define CLAIM(f, n, ...) claim_devices((f)->w, DEVS(__VA_ARGS__), n)

/* ---- changes ---- */

/* Rows 4 and 5: any change of anything, even of the order, took the whole interface down. */
static void test_only_what_changed_is_touched(void **state)
{
	struct fixture *f = *state;

	CLAIM(f, 3, {"a", 1, 42, 2}, {"b", 2, 42, 3}, {"c", 3, 42, 4});
	apply(f);
	assert_int_equal(f->last.n_added, 3);
	assert_int_equal(f->device.n_peers, 3);
	assert_int_equal(running(f, 1)->config.n_allowed_ips, 1);
	assert_int_equal(running(f, 1)->ips[0].prefix.bits, 32);
	CLAIM(f, 3, {"c", 3, 42, 4}, {"renamed", 1, 42, 2}, {"b", 2, 42, 3});
	apply(f);
	assert_int_equal(f->last.change.n_peers, 0);
	assert_string_equal(name_of(f, 1), "renamed");
	CLAIM(f, 3, {"c", 3, 42, 9}, {"renamed", 1, 42, 2}, {"d", 4, 42, 4});
	apply(f);
	assert_int_equal(f->last.n_changed, 1);
	assert_int_equal(f->last.n_added, 1);
	assert_int_equal(f->last.n_removed, 1);
	assert_int_equal(f->last.change.n_peers, 3);
	assert_null(running(f, 2));
	assert_int_equal(running(f, 3)->ips[0].prefix.addr.bytes[3], 9);
	assert_int_equal(running(f, 4)->ips[0].prefix.addr.bytes[3], 4);
	assert_int_equal(wanted_claim_factory(f->w, NULL), 0); /* enabled=0 for all */
	apply(f);
	assert_int_equal(f->last.n_removed, 3);
	assert_int_equal(f->device.n_peers, 0);
}

static void test_name_with_another_key_replaces_the_old_peer_at_once(void **state)
{
	struct fixture *f = *state;

	CLAIM(f, 2, {"a", 1, 42, 2}, {"b", 2, 42, 3});
	apply(f);
	/* A stranger wants the address in the same moment, with a lower name. */
	CLAIM(f, 3, {"a", 9, 42, 2}, {"b", 2, 42, 3}, {"A-stranger", 8, 42, 2});
	apply(f);
	assert_null(running(f, 1));
	assert_non_null(running(f, 9));
	assert_null(running(f, 8));
	assert_string_equal(refusal(f, 8)->other_name, "a");
	assert_int_equal(f->last.change.n_peers, 2);
}

static void test_disabled_device_goes_and_its_address_is_not_given_away(void **state)
{
	struct fixture *f = *state;
	struct wgh_addr *taken;
	size_t n;

	CLAIM(f, 2, {"a", 1, 42, 2}, {"b", 2, 42, 3});
	apply(f);
	CLAIM(f, 2, {"a", 1, 42, 2, true}, {"b", 2, 42, 3});
	apply(f);
	assert_null(running(f, 1));
	assert_int_equal(wanted_taken(f->w, &taken, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(taken[0].bytes[3], 2);
	assert_int_equal(taken[1].bytes[3], 3);
	free(taken);
}

static void test_address_that_is_kept_is_given_to_nobody_but_whoever_claims_it(void **state)
{
	struct fixture *f = *state;
	struct wgh_addr kept = addr_of(42, 254), *taken;
	size_t n;

	CLAIM(f, 2, {"a", 1, 42, 2}, {"b", 2, 42, 3, true});
	apply(f);
	assert_true(wanted_is_free(f->w, &kept));
	assert_false(wanted_is_free(f->w, &(struct wgh_addr){{10, 42, 42, 2}, WGH_IPV4}));
	assert_false(wanted_is_free(f->w, &(struct wgh_addr){{10, 42, 42, 3}, WGH_IPV4}));
	wanted_reserve(f->w, &kept);
	assert_int_equal(wanted_taken(f->w, &taken, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(taken[0].bytes[3], 254);
	free(taken);
	CLAIM(f, 2, {"a", 1, 42, 2}, {"c", 3, 42, 254});
	apply(f);
	assert_non_null(running(f, 3));
	assert_false(wanted_is_free(f->w, &kept));
	wanted_reserve(f->w, NULL);
	assert_int_equal(wanted_taken(f->w, &taken, &n), 0);
	assert_int_equal(n, 2);
	free(taken);
}

/* Row 10: a peer that the API does not know ended the daemon. */
static void test_peers_made_by_hand_stay_whatever_the_factory_says(void **state)
{
	struct fixture *f = *state;
	struct wgh_allowed_ip ip = {.prefix = {.addr = addr_of(42, 200), .bits = 32}};
	struct wgh_peer_change by_hand = {
		.public_key = key_of(30), .allowed_ips = &ip, .n_allowed_ips = 1};
	struct wgh_change change = {.peers = &by_hand, .n_peers = 1};
	struct wgh_error error;

	CLAIM(f, 1, {"a", 1, 42, 2});
	apply(f);
	assert_int_equal(fake_device_apply(&f->device, &change, &error), 0);
	CLAIM(f, 2, {"b", 2, 42, 200}, {"c", 30, 42, 5});
	apply(f);
	assert_non_null(running(f, 30));
	assert_int_equal(running(f, 30)->ips[0].prefix.addr.bytes[3], 200);
	assert_null(running(f, 1));
	assert_null(running(f, 2));
	assert_int_equal(refusal(f, 2)->reason, REFUSED_ADDRESS_TAKEN);
	assert_int_equal(refusal(f, 2)->other_origin, ORIGIN_WG);
	assert_int_equal(refusal(f, 30)->reason, REFUSED_KEY_TAKEN);
}

/* Old guides say: wg set, and then echo >> the clients file. */
static void test_line_in_a_file_adopts_the_peer_made_by_hand(void **state)
{
	struct fixture *f = *state;
	struct wgh_allowed_ip ip = {.prefix = {.addr = addr_of(42, 0), .bits = 24}};
	struct wgh_peer_change by_hand = {.public_key = key_of(30),
		.allowed_ips = &ip,
		.n_allowed_ips = 1,
		.flags = WGH_PEER_HAS_KEEPALIVE,
		.keepalive_s = 25};
	struct wgh_change change = {.peers = &by_hand, .n_peers = 1};
	struct wgh_error error;
	size_t n;

	apply(f);
	assert_int_equal(fake_device_apply(&f->device, &change, &error), 0);
	apply(f);
	assert_int_equal(running(f, 30)->ips[0].prefix.bits, 24);
	claim_clients(f->w, DEVS({"laptop", 30, 42, 254}), 1);
	apply(f);
	assert_int_equal(f->last.n_changed, 1);
	assert_int_equal(f->last.change.n_peers, 1);
	assert_int_equal(running(f, 30)->ips[0].prefix.bits, 32);
	assert_int_equal(running(f, 30)->config.keepalive_s, 25); /* no file's business */
	assert_string_equal(name_of(f, 30), "laptop");
	wanted_refusals(f->w, &n);
	assert_int_equal(n, 0);
	claim_clients(f->w, NULL, 0);
	apply(f);
	assert_null(running(f, 30));
}

/* What old guides tell people to type gives the whole network to one peer. */
static void test_prefix_taken_by_hand_is_taken_back(void **state)
{
	struct fixture *f = *state;
	struct wgh_allowed_ip ip = {.prefix = {.addr = addr_of(42, 2), .bits = 32}};
	struct wgh_peer_change by_hand = {
		.public_key = key_of(30), .allowed_ips = &ip, .n_allowed_ips = 1};
	struct wgh_change change = {.peers = &by_hand, .n_peers = 1};
	struct wgh_error error;

	CLAIM(f, 1, {"a", 1, 42, 2});
	apply(f);
	assert_int_equal(fake_device_apply(&f->device, &change, &error), 0);
	assert_int_equal(running(f, 1)->config.n_allowed_ips, 0);
	apply(f);
	assert_int_equal(running(f, 1)->config.n_allowed_ips, 1);
	assert_int_equal(running(f, 30)->config.n_allowed_ips, 0);
}

static void test_peer_may_pass_from_one_list_to_another_without_loss(void **state)
{
	struct fixture *f = *state;

	claim_clients(f->w, DEVS({"x", 1, 42, 254}), 1);
	apply(f);
	claim_clients(f->w, NULL, 0);
	CLAIM(f, 1, {"x", 1, 42, 254});
	apply(f);
	assert_int_equal(f->last.change.n_peers, 0);
	assert_int_equal(
		wanted_origin_of(f->w, &(struct wgh_public_key){.bytes = {1, 1}}), ORIGIN_FACTORY);
}

static void test_peers_of_a_conf_file_keep_their_settings(void **state)
{
	static const char text[] =
		"[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"
		"[Peer]\n# site\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n"
		"AllowedIPs = 192.168.7.0/24, 10.42.42.40\nPersistentKeepalive = 25\n"
		"Endpoint = 192.0.2.1:9\n";
	struct fixture *f = *state;
	struct wgh_error error = {""};
	struct conf *conf;

	assert_int_equal(conf_parse(&conf, "c", text, strlen(text), &error), 0);
	assert_int_equal(wanted_claim_conf(f->w, conf, NULL), 0);
	CLAIM(f, 1, {"a", 1, 42, 40});
	apply(f);
	assert_int_equal(running(f, 0xc5)->config.keepalive_s, 25);
	assert_int_equal(running(f, 0xc5)->config.n_allowed_ips, 2);
	assert_int_equal(running(f, 0xc5)->config.endpoint.port, 9);
	assert_string_equal(refusal(f, 1)->other_name, "site"); /* people before devices */
	((struct fake_peer *)running(f, 0xc5))->config.endpoint.port = 1234;
	assert_int_equal(wanted_claim_conf(f->w, conf, conf), 0);
	apply(f);
	assert_int_equal(f->last.change.n_peers, 0); /* it roamed */
	conf_free(conf);
}

/* ---- who is refused ---- */

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
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct factory_peers peers = answer(DEVS({"a", 1, 42, 2}), 1);
		size_t n;
		const struct wanted_refusal *r;
		char text[REFUSAL_CHARS];

		memcpy(peers.items[0].address.bytes, cases[i].addr, 4);
		peers.items[0].public_key = key_of(cases[i].key);
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
		struct wgh_public_key key = key_of(1);
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
	struct fixture *f = *state;
	char text[REFUSAL_CHARS];

	CLAIM(f, 1, {"zz", 1, 42, 10});
	apply(f);
	/* fioctl hands out addresses without knowing of clients, and two at once the same. */
	claim_clients(f->w, DEVS({"laptop", 7, 42, 10}), 1);
	CLAIM(f, 2, {"zz", 1, 42, 10}, {"aa", 2, 42, 10});
	apply(f);
	assert_int_equal(f->last.change.n_peers, 0);
	assert_string_equal(refusal(f, 7)->other_name, "zz");
	wanted_refusal_text(text, refusal(f, 7));
	assert_string_equal(
		text, "client \"laptop\" is refused: device \"zz\" holds 10.42.42.10/32");
	assert_string_equal(refusal(f, 2)->other_name, "zz");
	/* When the holder goes, the first in line gets it: clients before devices. */
	CLAIM(f, 1, {"aa", 2, 42, 10});
	apply(f);
	assert_non_null(running(f, 7));
	assert_null(running(f, 2));
	claim_clients(f->w, NULL, 0);
	apply(f);
	assert_non_null(running(f, 2));
}

static void test_of_two_newcomers_the_lower_name_wins_whatever_the_order(void **state)
{
	for (unsigned turn = 0; turn < 2; turn++) {
		struct fixture *f = *state;

		CLAIM(f, 0, {0});
		apply(f);
		if (turn)
			CLAIM(f, 2, {"b", 1, 42, 5}, {"a", 2, 42, 5});
		else
			CLAIM(f, 2, {"a", 2, 42, 5}, {"b", 1, 42, 5});
		apply(f);
		assert_string_equal(name_of(f, 2), "a");
		assert_null(name_of(f, 1));
	}
}

static void test_present_holder_of_a_key_stays(void **state)
{
	struct fixture *f = *state;

	CLAIM(f, 1, {"press", 1, 42, 5});
	apply(f);
	/* A stolen device says that another's key is its own. */
	CLAIM(f, 2, {"evil", 1, 42, 6}, {"press", 1, 42, 5});
	apply(f);
	assert_int_equal(f->last.change.n_peers, 0);
	assert_string_equal(name_of(f, 1), "press");
	assert_int_equal(refusal(f, 1)->reason, REFUSED_KEY_TAKEN);
	assert_string_equal(refusal(f, 1)->name, "evil");
	assert_string_equal(refusal(f, 1)->other_name, "press");
	/* The same between a device and an engineer. */
	claim_clients(f->w, DEVS({"laptop", 8, 42, 200}), 1);
	CLAIM(f, 1, {"press", 1, 42, 5});
	apply(f);
	CLAIM(f, 2, {"press", 1, 42, 5}, {"evil", 8, 42, 6});
	apply(f);
	assert_string_equal(name_of(f, 8), "laptop");
	assert_int_equal(f->last.change.n_peers, 0);
}

static void test_addresses_may_be_swapped(void **state)
{
	struct fixture *f = *state;

	CLAIM(f, 2, {"a", 1, 42, 5}, {"b", 2, 42, 6});
	apply(f);
	CLAIM(f, 2, {"a", 1, 42, 6}, {"b", 2, 42, 5});
	apply(f);
	assert_int_equal(f->last.n_changed, 2);
	assert_int_equal(running(f, 1)->ips[0].prefix.addr.bytes[3], 6);
	assert_int_equal(running(f, 2)->ips[0].prefix.addr.bytes[3], 5);
	assert_int_equal(running(f, 1)->config.n_allowed_ips, 1);
	assert_int_equal(running(f, 2)->config.n_allowed_ips, 1);
}

static void test_refusal_is_news_once(void **state)
{
	struct fixture *f = *state;

	CLAIM(f, 2, {"a", 1, 42, 5}, {"b", 2, 42, 5});
	apply(f);
	assert_true(refusal(f, 2)->is_new);
	apply(f);
	assert_false(refusal(f, 2)->is_new);
	CLAIM(f, 2, {"a", 1, 42, 5}, {"b", 2, 42, 1});
	apply(f);
	assert_true(refusal(f, 2)->is_new);
}

/* Row 34 once more: what is wrong with an item is said, and costs that item. */
static void test_refused_item_shows_its_reason(void **state)
{
	struct fixture *f = *state;
	struct factory_peers peers = answer(DEVS({"bad\x1b", 1, 42, 5}, {"good", 2, 42, 6}), 2);
	char text[REFUSAL_CHARS];

	peers.items[0].refused = "it has no key";
	assert_int_equal(wanted_claim_factory(f->w, &peers), 0);
	factory_peers_fini(&peers);
	apply(f);
	assert_int_equal(f->device.n_peers, 1);
	wanted_refusal_text(text, refusal(f, 1));
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
	struct fixture *f = *state;

	CLAIM(f, 1, {"a", 1, 42, 5});
	apply(f);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_public_key key = key_of(cases[i].key);
		struct wgh_addr addr = addr_of(42, cases[i].last);
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

/* ---- across a restart ---- */

static void test_restart_keeps_holders_and_endpoints(void **state)
{
	struct fixture *f = *state, again = {.w = wanted_new()};
	struct wgh_snapshot *snapshot;
	struct state saved;

	claim_clients(f->w, DEVS({"laptop", 7, 42, 254}), 1);
	CLAIM(f, 3, {"zz", 1, 42, 10}, {"b", 2, 42, 11}, {"off", 3, 42, 12, true});
	apply(f);
	((struct fake_peer *)running(f, 1))->config.endpoint = (struct wgh_endpoint){
		.addr = {192, 0, 2, 1}, .local = {10, 0, 0, 1}, .port = 99, .family = WGH_IPV4};
	assert_int_equal(fake_device_snapshot(&f->device, &snapshot), 0);
	assert_int_equal(wanted_to_state(f->w, snapshot, &saved), 0);
	fake_device_snapshot_free(snapshot);
	assert_int_equal(saved.n_peers, 4);

	/* The new process, before it has heard anything. */
	assert_int_equal(
		wanted_set_rules(again.w, &(struct wanted_rules){.hub = addr_of(42, 1)}), 0);
	assert_int_equal(wanted_restore(again.w, &saved), 0);
	state_fini(&saved);
	apply(&again);
	assert_int_equal(again.device.n_peers, 3);
	assert_int_equal(running(&again, 1)->config.endpoint.port, 99);
	assert_int_equal(running(&again, 1)->config.endpoint.local[0], 0);
	assert_int_equal(running(&again, 2)->config.endpoint.family, WGH_UNSPEC);
	assert_string_equal(name_of(&again, 7), "laptop");
	/* The first answer: a lower name wants the holder's address. */
	CLAIM(&again, 3, {"aa", 5, 42, 10}, {"zz", 1, 42, 10}, {"b", 2, 42, 11});
	apply(&again);
	assert_int_equal(again.last.change.n_peers, 0);
	assert_string_equal(refusal(&again, 5)->other_name, "zz");
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
	struct fixture *f = *state;
	struct state saved = {0};
	struct state_peer *peer = state_add(&saved);

	*peer = (struct state_peer){.public_key = key_of(1),
		.address = addr_of(42, 2),
		.name = strdup("a"),
		.endpoint = {.addr = {192, 0, 2, 1}, .port = 99, .family = WGH_IPV4}};
	assert_int_equal(wanted_restore(f->w, &saved), 0);
	state_fini(&saved);
	CLAIM(f, 1, {"a", 1, 42, 2});
	apply(f);
	assert_int_equal(running(f, 1)->config.endpoint.port, 99);
}

/* ---- the guard ---- */

static bool accepts(struct vanish_guard *g, struct fixture *f, const struct dev *devs, size_t n,
	bool certain, double now_s)
{
	struct factory_peers peers = answer(devs, n);
	bool yes;

	peers.certain = certain;
	yes = vanish_guard_accepts(g, f->w, &peers, now_s, 60);
	factory_peers_fini(&peers);
	return yes;
}

static void test_half_a_fleet_is_gone_when_it_is_said_twice(void **state)
{
	static const struct dev four[] = {
		{"a", 1, 42, 2}, {"b", 2, 42, 3}, {"c", 3, 42, 4}, {"d", 4, 42, 5}};
	static const struct dev off[] = {{"a", 1, 42, 2}, {"b", 2, 42, 3, true},
		{"c", 3, 42, 4, true}, {"d", 4, 42, 5, true}};
	struct vanish_guard g = {0};
	struct fixture *f = *state;

	claim_devices(f->w, four, 4);
	apply(f);
	assert_true(accepts(&g, f, four, 4, true, 0));
	assert_true(accepts(&g, f, four, 2, true, 0)); /* half is not more than half */
	assert_false(accepts(&g, f, four, 1, true, 100));
	assert_false(accepts(&g, f, four, 1, true, 110)); /* "sync now", twice */
	assert_false(accepts(&g, f, four, 0, true, 150)); /* something else: begin again */
	assert_false(accepts(&g, f, four, 1, true, 160));
	assert_true(accepts(&g, f, four, 1, true, 220));
	assert_false(accepts(&g, f, off, 4, true, 300)); /* disabled is gone as well */
	assert_true(accepts(&g, f, four, 4, true, 330)); /* all is well again: disarmed */
	assert_false(accepts(&g, f, off, 4, true, 360));
	assert_true(accepts(&g, f, off, 4, true, 420));
}

static void test_small_fleet_is_believed_unless_the_answer_is_odd(void **state)
{
	static const struct dev three[] = {{"a", 1, 42, 2}, {"b", 2, 42, 3}, {"c", 3, 42, 4}};
	struct vanish_guard g = {0};
	struct fixture *f = *state;

	assert_true(accepts(&g, f, NULL, 0, true, 0)); /* nothing is known yet */
	assert_true(accepts(&g, f, NULL, 0, false, 0));
	claim_devices(f->w, three, 3);
	apply(f);
	assert_true(accepts(&g, f, NULL, 0, true, 0));
	assert_false(accepts(&g, f, NULL, 0, false, 0)); /* null */
	assert_true(accepts(&g, f, NULL, 0, false, 60));
	assert_true(accepts(&g, f, three, 3, false, 61));
	assert_false(accepts(&g, f, three, 2, false, 62));
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

static void assert_sound(const struct fixture *f, const struct lists *l)
{
	size_t n_peers, n_refusals;
	const struct wanted_peer *p = wanted_peers(f->w, &n_peers);

	wanted_refusals(f->w, &n_refusals);
	assert_int_equal(n_peers + n_refusals, l->n_devs + l->n_clients);
	assert_int_equal(n_peers, f->device.n_peers);
	for (size_t i = 0; i < n_peers; i++) {
		const struct fake_peer *now = running(f, p[i].public_key.bytes[0]);

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
		assert_string_equal(name_of(f, l->kept[i].key), l->kept[i].name);
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

		assert_int_equal(setup(&f), 0);
		for (unsigned step = 0; step < 8; step++) {
			make_lists(&lists, ((struct fixture *)f)->w, &rng);
			claim_devices(((struct fixture *)f)->w, lists.devs, lists.n_devs);
			claim_clients(((struct fixture *)f)->w, lists.devs + lists.n_devs,
				lists.n_clients);
			apply(f);
			assert_sound(f, &lists);
		}
		teardown(&f);
	}
}

#define WANTED_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WANTED_TEST(test_only_what_changed_is_touched),
		WANTED_TEST(test_name_with_another_key_replaces_the_old_peer_at_once),
		WANTED_TEST(test_disabled_device_goes_and_its_address_is_not_given_away),
		WANTED_TEST(test_address_that_is_kept_is_given_to_nobody_but_whoever_claims_it),
		WANTED_TEST(test_peers_made_by_hand_stay_whatever_the_factory_says),
		WANTED_TEST(test_line_in_a_file_adopts_the_peer_made_by_hand),
		WANTED_TEST(test_prefix_taken_by_hand_is_taken_back),
		WANTED_TEST(test_peer_may_pass_from_one_list_to_another_without_loss),
		WANTED_TEST(test_peers_of_a_conf_file_keep_their_settings),
		WANTED_TEST(test_rules_of_addresses_and_keys),
		WANTED_TEST(test_range_is_private_space_and_may_be_configured),
		WANTED_TEST(test_present_holder_of_an_address_stays),
		WANTED_TEST(test_of_two_newcomers_the_lower_name_wins_whatever_the_order),
		WANTED_TEST(test_present_holder_of_a_key_stays),
		WANTED_TEST(test_addresses_may_be_swapped),
		WANTED_TEST(test_refusal_is_news_once),
		WANTED_TEST(test_refused_item_shows_its_reason),
		WANTED_TEST(test_newcomer_is_judged_beside_the_present_set),
		WANTED_TEST(test_restart_keeps_holders_and_endpoints),
		WANTED_TEST(test_endpoint_is_kept_when_the_answer_comes_before_the_device_has_it),
		WANTED_TEST(test_half_a_fleet_is_gone_when_it_is_said_twice),
		WANTED_TEST(test_small_fleet_is_believed_unless_the_answer_is_odd),
		WANTED_TEST(test_any_lists_give_a_set_without_conflicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
