/* What the hub tells about itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;
static struct remote a, b;
static struct wgh_snapshot *s;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f, &(struct fixture_options){.has_tun = true, .n_workers = 2});
	remote_init(&f, &a, 1);
	remote_init(&f, &b, 2);
	memset(a.psk.bytes, 6, 32);
	remote_add(&f, &a);
	remote_add_with_endpoint(&f, &b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wgh_snapshot_free(s);
	s = NULL;
	fixture_fini(&f);
	return 0;
}

static void take(void)
{
	wgh_snapshot_free(s);
	assert_int_equal(hub_snapshot(f.hub, &s), 0);
}

static const struct wgh_peer_view *view_of(const struct remote *r)
{
	const struct wgh_public_key key = remote_key(r);

	for (size_t i = 0; i < s->n_peers; i++)
		if (!memcmp(&s->peers[i].public_key, &key, sizeof key))
			return &s->peers[i];
	fail_msg("the peer is not in the snapshot");
	return NULL;
}

static void test_snapshot_shows_the_hub(void **state)
{
	(void)state;
	assert_int_equal(hub_set_port(f.hub, 51820), 0);
	assert_int_equal(hub_set_mtu(f.hub, 1380), 0);
	take();
	assert_true(s->has_private_key);
	assert_memory_equal(s->private_key, f.hub->identity->secret.bytes, 32);
	assert_memory_equal(s->public_key.bytes, f.hub_key.bytes, 32);
	assert_int_equal(s->listen_port, 51820);
	assert_int_equal(s->mtu_bytes, 1380);
	assert_int_equal(s->n_workers, 2);
	assert_string_equal(s->aead, "sodium");
	assert_int_equal(s->n_addresses, 2);
	assert_memory_equal(s->addresses[0].addr.bytes, prefix4(10, 0, 0, 254, 24).addr.bytes, 16);
	assert_int_equal(s->addresses[1].bits, 64);
	assert_int_equal(s->n_peers, 2);
}

static void test_snapshot_shows_a_new_peer_with_zeros_and_none(void **state)
{
	const struct wgh_peer_view *v;

	(void)state;
	take();
	v = view_of(&a);
	assert_memory_equal(v->preshared_key, a.psk.bytes, 32);
	assert_int_equal(v->endpoint.family, WGH_UNSPEC);
	assert_int_equal(v->keepalive_s, 0);
	assert_int_equal(v->last_handshake_s, 0);
	assert_int_equal(v->last_handshake_ns, 0);
	assert_int_equal(v->rx_bytes + v->tx_bytes, 0);
	assert_int_equal(v->n_allowed_ips, 2);
	assert_int_equal(v->allowed_ips[0].bits, 32);
	assert_memory_equal(v->allowed_ips[0].addr.bytes, prefix4(10, 0, 0, 1, 32).addr.bytes, 16);
	assert_int_equal(v->allowed_ips[1].bits, 128);
	assert_int_equal(view_of(&b)->endpoint.port, b.endpoint.port);
	assert_int_equal(view_of(&b)->allowed_ips[0].addr.bytes[3], 2);
}

/* A responder's handshake counts from its confirmation, by the wall clock. */
static void test_snapshot_last_handshake_is_the_moment_of_confirmation(void **state)
{
	struct wire_initiation msg;

	(void)state;
	f.wall_ns += 123456789;
	remote_initiation(&f, &a, &msg);
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_true(remote_take_response(&a, &f.sent[0]));
	take();
	assert_int_equal(view_of(&a)->last_handshake_s, 0);
	fixture_advance(&f, 2 * NS_PER_S);
	remote_send(&f, &a, NULL, 0);
	take();
	assert_int_equal(view_of(&a)->last_handshake_s, 1700000002);
	assert_int_equal(view_of(&a)->last_handshake_ns, 123456789);
}

static void test_snapshot_last_handshake_of_an_initiator_is_the_response(void **state)
{
	(void)state;
	remote_connect_from_hub(&f, &b);
	take();
	assert_int_equal(view_of(&b)->last_handshake_s, 1700000000);
}

/* Whole messages, handshakes included; what fails authentication counts nowhere. */
static void test_snapshot_bytes_are_those_of_authenticated_messages(void **state)
{
	struct inner p = inner4(1, 2, 52); /* 80 bytes: 112 on the wire */
	uint8_t forged[32] = {WIRE_DATA};

	(void)state;
	remote_connect(&f, &a);
	remote_connect(&f, &b);
	take();
	assert_int_equal(view_of(&a)->rx_bytes, 148 + 32);
	assert_int_equal(view_of(&a)->tx_bytes, 92);
	remote_send(&f, &a, p.data, p.len_bytes);
	le32_put(forged + 4, a.remote_index);
	fixture_udp(&f, &a.endpoint, forged, sizeof forged);
	take();
	assert_int_equal(view_of(&a)->rx_bytes, 148 + 32 + 112);
	assert_int_equal(view_of(&a)->tx_bytes, 92);
	assert_int_equal(view_of(&b)->tx_bytes, 92 + 112);
	assert_int_equal(s->n_forwarded, 1);
	assert_int_equal(view_of(&a)->drops[DROP_AUTH], 1);
	assert_int_equal(s->drops[DROP_AUTH], 1);
}

static void test_snapshot_adds_up_the_drops_of_all_workers(void **state)
{
	(void)state;
	worker_drop(f.hub->workers[0], DROP_SHORT, 3);
	worker_drop(f.hub->workers[1], DROP_SHORT, 4);
	hub_drop(f.hub, DROP_SHORT, 5);
	take();
	assert_int_equal(s->drops[DROP_SHORT], 12);
}

static void test_snapshot_of_an_empty_hub_is_empty(void **state)
{
	const struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY | WGH_REPLACE_PEERS};

	(void)state;
	assert_int_equal(hub_apply(f.hub, &change, f.now_ns, NULL), 0);
	assert_int_equal(hub_set_addresses(f.hub, NULL, 0), 0);
	take();
	assert_false(s->has_private_key);
	assert_int_equal(s->n_peers, 0);
	assert_int_equal(s->n_addresses, 0);
	wgh_snapshot_free(NULL);
}

/* Nothing of it points into the hub. */
static void test_snapshot_outlives_the_peers_it_shows(void **state)
{
	(void)state;
	take();
	assert_int_equal(
		fixture_apply(&f, &(struct wgh_change){.flags = WGH_REPLACE_PEERS}, NULL), 0);
	assert_int_equal(view_of(&a)->n_allowed_ips, 2);
	assert_int_equal(view_of(&a)->allowed_ips[1].addr.bytes[15], 1);
	assert_int_equal(view_of(&a)->drops[DROP_AUTH], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_snapshot_shows_the_hub),
		TEST(test_snapshot_shows_a_new_peer_with_zeros_and_none),
		TEST(test_snapshot_last_handshake_is_the_moment_of_confirmation),
		TEST(test_snapshot_last_handshake_of_an_initiator_is_the_response),
		TEST(test_snapshot_bytes_are_those_of_authenticated_messages),
		TEST(test_snapshot_adds_up_the_drops_of_all_workers),
		TEST(test_snapshot_of_an_empty_hub_is_empty),
		TEST(test_snapshot_outlives_the_peers_it_shows),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
