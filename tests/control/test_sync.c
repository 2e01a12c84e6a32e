/* test_sync.c - control/sync.c: the smallest change from what runs to what a file wants. What runs
 * is tests/lib/fake_device.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/sync.h"
#include "tests/lib/fake_device.h"

#define SECRET "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define SECRET2 "iHbGdRLcWB3lqmGWrI8RAVUNcPiG7SDiN6MZ7vSYvHg="
#define IFACE "[Interface]\nPrivateKey = " SECRET "\nListenPort = 5\n"
#define PEER_A "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n"
#define PEER_B "[Peer]\nPublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=\n"
#define PEER_C "[Peer]\nPublicKey = gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA=\n"

struct hub {
	struct fake_device device;
	struct conf *conf;
	/* of the last sync */
	uint32_t flags;
	size_t n_peers, n_added, n_changed, n_removed;
};

/* What `wghub up` and SIGHUP do with a file. */
static void apply(struct hub *hub, const char *text)
{
	struct wgh_error error = {""};
	struct wgh_snapshot *running;
	struct conf *conf;
	struct sync sync;

	assert_int_equal(conf_parse(&conf, "hub.conf", text, strlen(text), &error), 0);
	assert_int_equal(fake_device_snapshot(&hub->device, &running), 0);
	assert_int_equal(sync_init(&sync, conf, hub->conf, running), 0);
	fake_device_snapshot_free(running);
	hub->flags = sync.change.flags;
	hub->n_peers = sync.change.n_peers;
	hub->n_added = sync.n_added;
	hub->n_changed = sync.n_changed;
	hub->n_removed = sync.n_removed;
	assert_int_equal(fake_device_apply(&hub->device, &sync.change, &error), 0);
	sync_fini(&sync);
	conf_free(hub->conf);
	hub->conf = conf;
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct hub));
	return 0;
}

static int teardown(void **state)
{
	struct hub *hub = *state;

	conf_free(hub->conf);
	fake_device_fini(&hub->device);
	free(hub);
	return 0;
}

static const struct fake_peer *peer_of(const struct hub *hub, uint8_t first_byte)
{
	for (size_t i = 0; i < hub->device.n_peers; i++) {
		if (hub->device.peers[i].config.public_key.bytes[0] == first_byte)
			return &hub->device.peers[i];
	}
	return NULL;
}

#define A 0xc5
#define B 0x4e
#define C 0x80

static void test_first_file_adds_all(void **state)
{
	struct hub *hub = *state;

	apply(hub,
		IFACE "FwMark = 7\n" PEER_A "PresharedKey = " SECRET
		      "\nAllowedIPs = 10.0.0.2, fd00::2\nEndpoint = "
		      "192.0.2.1:9\nPersistentKeepalive = 25\n" PEER_B);
	assert_int_equal(hub->flags, WGH_HAS_PRIVATE_KEY | WGH_HAS_LISTEN_PORT | WGH_HAS_FWMARK);
	assert_int_equal(hub->n_added, 2);
	assert_int_equal(hub->n_changed + hub->n_removed, 0);
	assert_int_equal(hub->device.listen_port, 5);
	assert_int_equal(hub->device.fwmark, 7);
	assert_int_equal(peer_of(hub, A)->config.n_allowed_ips, 2);
	assert_int_equal(peer_of(hub, A)->config.keepalive_s, 25);
	assert_int_equal(peer_of(hub, A)->config.endpoint.port, 9);
	assert_int_equal(peer_of(hub, A)->config.preshared_key[0], 0xc8);
	assert_int_equal(peer_of(hub, B)->config.n_allowed_ips, 0);
}

static void test_same_file_again_changes_nothing(void **state)
{
	struct hub *hub = *state;
	static const char text[] = IFACE "FwMark = 7\n" PEER_A "PresharedKey = " SECRET
					 "\nAllowedIPs = 10.0.0.2, 10.9.9.9/16, 10.0.0.2/32, "
					 "fd00::2\nPersistentKeepalive = 25\n"
					 "Endpoint = 192.0.2.1:9\n" PEER_B;

	apply(hub, text);
	/* As the device would have it: masked. The fake keeps host bits, which must not matter
	 * either. */
	apply(hub, text);
	assert_int_equal(hub->flags, 0);
	assert_int_equal(hub->n_peers, 0);
}

static void test_only_the_peer_that_changed_is_touched(void **state)
{
	static const char *const changed[] = {"AllowedIPs = 10.0.0.2\nPersistentKeepalive = 5\n",
		"AllowedIPs = 10.0.0.2, 10.0.0.3\n", "AllowedIPs =\n",
		"AllowedIPs = 10.0.0.2\nPresharedKey = " SECRET "\n",
		"AllowedIPs = 10.0.0.2\nEndpoint = 192.0.2.1:9\n"};
	struct hub *hub = *state;
	char text[1000];

	for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
		apply(hub, IFACE PEER_A "AllowedIPs = 10.0.0.2\n" PEER_B "AllowedIPs = 10.0.0.9\n");
		snprintf(text, sizeof text, IFACE PEER_A "%s" PEER_B "AllowedIPs = 10.0.0.9\n",
			changed[i]);
		apply(hub, text);
		assert_int_equal(hub->flags, 0);
		assert_int_equal(hub->n_peers, 1);
		assert_int_equal(hub->n_changed, 1);
	}
}

static void test_settings_taken_out_of_the_file_are_taken_back(void **state)
{
	struct hub *hub = *state;

	apply(hub,
		IFACE "FwMark = 7\n" PEER_A "PresharedKey = " SECRET
		      "\nAllowedIPs = 10.0.0.2\nPersistentKeepalive = 25\n");
	apply(hub, "[Interface]\nPrivateKey = " SECRET2 "\n" PEER_A);
	assert_int_equal(hub->device.fwmark, 0);
	assert_int_equal(hub->device.listen_port, 0);
	assert_int_equal(hub->device.private_key[0], 0x88);
	assert_int_equal(peer_of(hub, A)->config.preshared_key[0], 0);
	assert_int_equal(peer_of(hub, A)->config.keepalive_s, 0);
	assert_int_equal(peer_of(hub, A)->config.n_allowed_ips, 0);
}

static void test_peers_that_left_the_file_go_and_others_stay(void **state)
{
	struct hub *hub = *state;
	struct wgh_error error = {""};
	struct wgh_peer_change by_hand = {.public_key.bytes = {C}};
	struct wgh_change change = {.peers = &by_hand, .n_peers = 1};

	apply(hub, IFACE PEER_A PEER_B);
	assert_int_equal(fake_device_apply(&hub->device, &change, &error), 0); /* wg set */
	apply(hub, IFACE PEER_B);
	assert_int_equal(hub->n_removed, 1);
	assert_null(peer_of(hub, A));
	assert_non_null(peer_of(hub, B));
	assert_non_null(peer_of(hub, C));
	/* One that somebody has removed already is no work. */
	change.peers = &(struct wgh_peer_change){
		.public_key = peer_of(hub, B)->config.public_key, .flags = WGH_PEER_REMOVE};
	assert_int_equal(fake_device_apply(&hub->device, &change, &error), 0);
	apply(hub, IFACE);
	assert_int_equal(hub->n_peers, 0);
}

static void test_endpoint_that_roamed_is_left_alone(void **state)
{
	struct hub *hub = *state;

	apply(hub, IFACE PEER_A "Endpoint = 192.0.2.1:9\n");
	((struct fake_peer *)peer_of(hub, A))->config.endpoint.port = 1234;
	apply(hub, IFACE PEER_A "Endpoint = 192.0.2.1:9\n");
	assert_int_equal(hub->n_peers, 0);
	assert_int_equal(peer_of(hub, A)->config.endpoint.port, 1234);
	apply(hub, IFACE PEER_A "Endpoint = 192.0.2.1:10\n");
	assert_int_equal(peer_of(hub, A)->config.endpoint.port, 10);
}

static void test_port_that_the_kernel_chose_is_kept(void **state)
{
	struct hub *hub = *state;

	apply(hub, "[Interface]\nPrivateKey = " SECRET "\n");
	assert_false(hub->flags & WGH_HAS_LISTEN_PORT);
	hub->device.listen_port = 40000;
	apply(hub, "[Interface]\nPrivateKey = " SECRET "\n");
	assert_int_equal(hub->flags, 0);
}

static void test_prefixes_may_trade_owners(void **state)
{
	struct hub *hub = *state;

	apply(hub,
		IFACE PEER_A "AllowedIPs = 10.0.0.1, 10.0.0.2\n" PEER_B
			     "AllowedIPs = 10.0.0.3\n" PEER_C);
	apply(hub,
		IFACE PEER_A "AllowedIPs = 10.0.0.3\n" PEER_B "AllowedIPs = 10.0.0.1\n" PEER_C
			     "AllowedIPs = 10.0.0.2\n");
	assert_int_equal(peer_of(hub, A)->config.n_allowed_ips, 1);
	assert_int_equal(peer_of(hub, B)->config.n_allowed_ips, 1);
	assert_int_equal(peer_of(hub, C)->config.n_allowed_ips, 1);
	assert_int_equal(peer_of(hub, A)->ips[0].prefix.addr.bytes[3], 3);
	assert_int_equal(peer_of(hub, B)->ips[0].prefix.addr.bytes[3], 1);
	assert_int_equal(peer_of(hub, C)->ips[0].prefix.addr.bytes[3], 2);
}

/* ---- lists of peers ---- */

static enum origin origin_of(void *arg, const struct wgh_public_key *key)
{
	(void)arg;
	return key->bytes[0] < 10    ? ORIGIN_FACTORY
		: key->bytes[0] < 20 ? ORIGIN_CLIENTS
				     : ORIGIN_WG;
}

/* What running peers become when the origins of the mask want these. */
static struct sync sync_lists(unsigned origins, const uint8_t *wanted, const uint8_t *running)
{
	struct wgh_prefix ip = {.addr = {.bytes = {10, 0, 0, 1}, .family = WGH_IPV4}, .bits = 32};
	struct wgh_prefix other = {
		.addr = {.bytes = {10, 0, 0, 2}, .family = WGH_IPV4}, .bits = 32};
	struct wgh_peer_view views[8] = {{{{0}}}};
	struct wgh_snapshot snapshot = {.peers = views};
	struct sync_peer peers[8] = {{{{0}}}};
	size_t n = 0;
	struct sync s;

	for (; wanted[n]; n++) {
		peers[n].public_key.bytes[0] = wanted[n];
		peers[n].allowed_ips = &ip;
		peers[n].n_allowed_ips = 1;
		peers[n].endpoint = (struct wgh_endpoint){.port = 5, .family = WGH_IPV4};
	}
	for (; running[snapshot.n_peers]; snapshot.n_peers++) {
		views[snapshot.n_peers].public_key.bytes[0] = running[snapshot.n_peers];
		views[snapshot.n_peers].allowed_ips = running[snapshot.n_peers] < 20 ? &ip : &other;
		views[snapshot.n_peers].n_allowed_ips = 1;
		views[snapshot.n_peers].keepalive_s = 7; /* somebody's by hand */
		views[snapshot.n_peers].preshared_key[0] = 7;
	}
	assert_int_equal(sync_peers(&s, origins, peers, n, &snapshot, origin_of, NULL), 0);
	return s;
}

static void test_peers_of_other_origins_are_neither_changed_nor_removed(void **state)
{
	struct sync s = sync_lists(ORIGIN_BIT(ORIGIN_FACTORY), (const uint8_t[]){2, 3, 30, 0},
		(const uint8_t[]){1, 2, 11, 30, 31, 0});

	(void)state;
	assert_int_equal(s.n_removed, 1);
	assert_int_equal(s.peers[0].public_key.bytes[0], 1);
	assert_int_equal(s.n_added, 1);
	assert_int_equal(s.peers[1].public_key.bytes[0], 3);
	assert_int_equal(s.peers[1].flags, WGH_PEER_REPLACE_ALLOWED_IPS | WGH_PEER_HAS_ENDPOINT);
	assert_int_equal(s.n_foreign, 1);
	assert_int_equal(s.n_changed, 0); /* keepalive and preshared key are not these origins' */
	assert_int_equal(s.change.n_peers, 2);
	sync_fini(&s);
	s = sync_lists(ORIGIN_BIT(ORIGIN_FACTORY) | ORIGIN_BIT(ORIGIN_CLIENTS),
		(const uint8_t[]){2, 11, 0}, (const uint8_t[]){2, 11, 12, 31, 0});
	assert_int_equal(s.n_removed, 1);
	assert_int_equal(s.change.n_peers, 1);
	sync_fini(&s);
}

#define SYNC_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SYNC_TEST(test_first_file_adds_all),
		SYNC_TEST(test_same_file_again_changes_nothing),
		SYNC_TEST(test_only_the_peer_that_changed_is_touched),
		SYNC_TEST(test_settings_taken_out_of_the_file_are_taken_back),
		SYNC_TEST(test_peers_that_left_the_file_go_and_others_stay),
		SYNC_TEST(test_endpoint_that_roamed_is_left_alone),
		SYNC_TEST(test_port_that_the_kernel_chose_is_kept),
		SYNC_TEST(test_prefixes_may_trade_owners),
		cmocka_unit_test(test_peers_of_other_origins_are_neither_changed_nor_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
