/* Handshakes as a conversation: who is answered, what a refused message leaves behind (nothing),
 * and which keys stand in which slot afterwards. */
#include "tests/core/handshakes.h"

/* All that a handshake message may change. */
struct picture {
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES];
	uint64_t last_initiation, last_sent, rx, tx, traversal;
	struct wgh_endpoint endpoint;
	struct keypair *current, *next, *previous;
	struct handshake *handshake;
	struct cookie_jar cookie;
	uint32_t n_live;
	size_t n_sent, n_events;
};

static struct picture picture(void)
{
	struct picture p;

	memset(&p, 0, sizeof p);
	memcpy(p.timestamp, peer()->last_timestamp, sizeof p.timestamp);
	p.last_initiation = peer()->last_initiation_ns;
	p.last_sent = peer()->last_handshake_sent_ns;
	p.rx = relaxed_get(&peer()->rx_bytes);
	p.tx = relaxed_get(&peer()->tx_bytes);
	p.traversal = relaxed_get(&peer()->last_traversal_ns);
	p.endpoint = peer_endpoint(peer());
	p.current = current();
	p.next = peer()->next;
	p.previous = peer()->previous;
	p.handshake = peer()->handshake;
	memcpy(&p.cookie, &peer()->cookie, sizeof p.cookie);
	p.n_live = f.hub->sessions.n_live;
	p.n_sent = f.n_sent;
	p.n_events = f.n_events;
	return p;
}

static void assert_untouched(const struct picture *before)
{
	struct picture now = picture();

	assert_memory_equal(&now, before, sizeof now);
}

/* ---- initiations of theirs ---- */

static void test_handshake_answers_an_initiation_and_follows_its_source(void **state)
{
	(void)state;
	a.endpoint = endpoint4(30, 30);
	a.endpoint.local_ifindex = 5;
	begin_from_remote(0);
	assert_int_equal(f.sent[0].to.port, 30);
	assert_int_equal(f.sent[0].to.local_ifindex, 5); /* from the address it came to */
	assert_int_equal(f.sent[0].tos, 0x88);
	assert_int_equal(peer_endpoint(peer()).port, 30);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_ROAMED), 1);
	assert_non_null(peer()->next);
	assert_null(current());
	assert_int_equal(peer()->last_handshake_wall_ns, 0); /* not before its confirmation */
	remote_send(&f, &a, NULL, 0);
	assert_true(peer()->last_handshake_wall_ns == f.wall_ns);
}

/* Every byte of an initiation, its macs mended again: silence, and nothing has changed. */
static void test_handshake_refused_initiation_changes_nothing(void **state)
{
	const struct wgh_endpoint elsewhere = endpoint4(66, 66);
	struct wire_initiation msg, bad;
	struct picture before;

	(void)state;
	remote_connect(&f, &a);
	fixture_advance(&f, S);
	remote_initiation(&f, &a, &msg);
	before = picture();
	for (size_t i = offsetof(struct wire_initiation, ephemeral);
		i < offsetof(struct wire_initiation, macs); i++) {
		bad = msg;
		((uint8_t *)&bad)[i] ^= 0x20;
		fixture_udp(&f, &elsewhere, &bad, sizeof bad); /* wrong mac1 */
		assert_untouched(&before);
		remote_sign(&f, &a, &bad, sizeof bad);
		fixture_udp(&f, &elsewhere, &bad, sizeof bad);
		assert_untouched(&before);
	}
	assert_int_equal(fixture_drops(&f, DROP_MAC1), 108);
	assert_int_equal(fixture_drops(&f, DROP_HANDSHAKE), 108);
	give(&msg, sizeof msg);
	assert_int_equal(f.n_sent, 1);
}

/* Equal or lower is a replay, wherever it comes from and whatever happened since. */
static void test_handshake_replayed_initiation_changes_nothing_ever(void **state)
{
	const struct wgh_endpoint elsewhere = endpoint4(66, 66);
	struct wire_initiation first, second;
	struct picture before;

	(void)state;
	remote_initiation(&f, &a, &first);
	remote_initiation(&f, &a, &second);
	give(&second, sizeof second);
	fixture_advance(&f, S);
	before = picture();
	fixture_udp(&f, &elsewhere, &second, sizeof second);
	fixture_udp(&f, &elsewhere, &first, sizeof first);
	before.n_events += 1; /* the report of a replay */
	assert_untouched(&before);
	hub_set_up(f.hub, false, f.now_ns);
	hub_set_up(f.hub, true, f.now_ns);
	fixture_advance(&f, 1000 * S);
	fixture_forget(&f);
	before = picture();
	fixture_udp(&f, &elsewhere, &second, sizeof second);
	before.n_events += 1;
	assert_untouched(&before);
	assert_int_equal(fixture_drops(&f, DROP_OLD_TIMESTAMP), 3);
	assert_int_equal(relaxed_get(&peer()->drops[DROP_OLD_TIMESTAMP]), 3);
}

static void test_handshake_replays_are_reported_once_in_ten_seconds(void **state)
{
	struct wire_initiation msg;

	(void)state;
	remote_initiation(&f, &a, &msg);
	give(&msg, sizeof msg);
	for (int i = 0; i < 99; i++) {
		fixture_advance(&f, S / 10);
		give(&msg, sizeof msg);
	}
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_REPLAYED_INITIATION), 1);
	fixture_advance(&f, S);
	give(&msg, sizeof msg);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_REPLAYED_INITIATION), 2);
}

/* ---- keys that are no peer's ---- */

static void test_handshake_of_an_unknown_key_is_reported_and_not_answered(void **state)
{
	struct remote c = stranger(3);
	struct wgh_public_key key = remote_key(&c);
	const struct wgh_event *event = &f.events[f.n_events];

	(void)state;
	knock(&c);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(fixture_drops(&f, DROP_UNKNOWN_PEER), 1);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_UNKNOWN_PEER), 1);
	assert_memory_equal(&event->peer, &key, sizeof key);
	assert_int_equal(event->endpoint.port, c.endpoint.port);
	assert_int_equal(f.hub->sessions.n_live, 0);
}

/* Anybody can send anybody's public key. */
static void test_handshake_without_the_unknown_keys_secret_is_not_reported(void **state)
{
	struct remote c = stranger(3), self;
	struct wire_initiation msg;

	(void)state;
	remote_initiation(&f, &c, &msg);
	msg.timestamp[5] ^= 1; /* the part that takes the second DH */
	remote_sign(&f, &c, &msg, sizeof msg);
	fixture_udp(&f, &c.endpoint, &msg, sizeof msg);
	assert_int_equal(fixture_drops(&f, DROP_UNKNOWN_PEER), 1);
	fixture_advance(&f, S);
	self = c; /* and our own key, which is nobody's to let in */
	self.identity = *f.hub->identity;
	knock(&self);
	assert_int_equal(fixture_drops(&f, DROP_UNKNOWN_PEER), 2);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_UNKNOWN_PEER), 0);
}

static void test_handshakes_of_unknown_keys_are_reported_20_times_a_second(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct remote c = stranger(10 + i);

		knock(&c);
		fixture_advance(&f, 5 * NS_PER_MS);
	}
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_UNKNOWN_PEER), 20);
	assert_int_equal(fixture_drops(&f, DROP_UNKNOWN_PEER), 200);
}

static void test_handshake_second_initiation_within_20_ms_is_dropped(void **state)
{
	struct wire_initiation msg;

	(void)state;
	begin_from_remote(0);
	fixture_advance(&f, 20 * NS_PER_MS - 1);
	remote_initiation(&f, &a, &msg);
	give(&msg, sizeof msg);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(fixture_drops(&f, DROP_FLOOD), 1);
	fixture_advance(&f, 1);
	begin_from_remote(1);
}

/* Whoever begins and never confirms costs one waiting keypair, however often. */
static void test_handshake_unconfirmed_ones_cost_bounded_memory(void **state)
{
	(void)state;
	remote_connect(&f, &a);
	fixture_advance(&f, S);
	remote_connect(&f, &a);
	for (size_t i = 0; i < 200; i++) {
		fixture_advance(&f, S / 10);
		begin_from_remote(i);
		assert_true(f.hub->keypairs.n_used <= 3);
		assert_true(f.hub->sessions.n_live <= 3);
		assert_int_equal(f.hub->handshakes.n_used, 0);
	}
}

static void test_handshake_of_a_peer_with_a_low_order_key_is_never_made(void **state)
{
	struct wgh_peer_change change = {
		.flags = WGH_PEER_HAS_ENDPOINT, .endpoint = endpoint4(9, 9)};
	const struct x25519_public one = {{1}};

	(void)state;
	change.public_key.bytes[0] = 1;
	fixture_change_peer(&f, &change);
	handshake_want(f.hub, peer_find(&f.hub->peers, &one), f.now_ns, f.wall_ns);
	fixture_advance(&f, 200 * S);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(f.hub->handshakes.n_used, 0);
}

static void test_handshake_is_not_answered_to_addresses_that_are_no_host(void **state)
{
	struct wgh_endpoint bad[] = {endpoint4(1, 0), endpoint4(1, 5), endpoint4(1, 5),
		endpoint4(1, 5), {.family = WGH_IPV6, .port = 5}, {.family = WGH_IPV6, .port = 5}};
	struct wire_initiation msg;

	(void)state;
	memset(bad[1].addr, 0, 4);
	memset(bad[2].addr, 255, 4);
	bad[3].addr[0] = 224;
	bad[5].addr[0] = 0xff;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		remote_initiation(&f, &a, &msg);
		fixture_udp(&f, &bad[i], &msg, sizeof msg);
		assert_int_equal(fixture_drops(&f, DROP_REPLY_ADDRESS), i + 1);
		fixture_advance(&f, S);
	}
	assert_int_equal(f.n_sent, 0);
}

static void test_handshake_on_loopback_is_answered(void **state)
{
	(void)state;
	a.endpoint = (struct wgh_endpoint){.addr = {127, 0, 0, 1}, .port = 7, .family = WGH_IPV4};
	begin_from_remote(0);
	fixture_advance(&f, S);
	a.endpoint = (struct wgh_endpoint){.addr = {[15] = 1}, .port = 7, .family = WGH_IPV6};
	begin_from_remote(1);
}

/* ---- our initiations, their responses ---- */

static uint64_t be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* The timestamp in the hub's i-th initiation. */
static void timestamp_of(size_t i, uint8_t out[WIRE_TIMESTAMP_BYTES])
{
	const struct wire_initiation *msg = (const struct wire_initiation *)f.sent[i].data;
	struct x25519_public from;
	struct noise_state noise;
	uint8_t ss[32];

	assert_int_equal(f.sent[i].len_bytes, sizeof *msg);
	assert_true(noise_initiation_open(&noise, &from, msg, &a.identity));
	assert_true(noise_static_static(ss, &a.identity, &from));
	assert_true(noise_initiation_verify(&noise, out, msg, ss));
}

static void test_handshake_timestamp_is_tai64n_without_its_fine_grain(void **state)
{
	uint8_t t[WIRE_TIMESTAMP_BYTES];

	(void)state;
	f.wall_ns = INT64_C(1700000000) * (int64_t)S + 123456789;
	want();
	timestamp_of(0, t);
	assert_true(be64(t) == UINT64_C(0x400000000000000a) + 1700000000);
	assert_int_equal((uint32_t)t[8] << 24 | (uint32_t)t[9] << 16 | t[10] << 8 | t[11],
		123456789 / (1 << 24) * (1 << 24));
}

static void test_handshake_timestamps_rise_whatever_the_wall_clock_does(void **state)
{
	static const int64_t steps_s[] = {0, -100000, 5, -1, 0, 0, 1000000, -1000000};
	uint8_t before[WIRE_TIMESTAMP_BYTES] = {0}, t[WIRE_TIMESTAMP_BYTES];
	size_t n = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < sizeof steps_s / sizeof steps_s[0]; i++) {
			f.wall_ns += steps_s[i] * (int64_t)S;
			handshake_drop(f.hub, peer());
			peer()->last_handshake_sent_ns = 0;
			want();
			timestamp_of(n++, t);
			assert_true(memcmp(t, before, sizeof t) > 0);
			assert_int_equal(t[11] | t[10] | t[9], 0);
			assert_true(((uint32_t)t[8] << 24) < 1000000000);
			memcpy(before, t, sizeof t);
		}
	}
}

/* Any number of wrong responses, then the right one; afterwards the same again is nothing. */
static void test_handshake_wrong_responses_do_not_spoil_the_right_one(void **state)
{
	const struct wgh_endpoint elsewhere = endpoint4(66, 66);
	struct wire_response msg, bad;
	struct picture before;

	(void)state;
	want();
	assert_int_equal(f.sent[0].tos, 0x88);
	assert_true(remote_answer(&f, &a, &f.sent[0], &msg));
	before = picture();
	for (size_t i = offsetof(struct wire_response, ephemeral);
		i < offsetof(struct wire_response, macs); i++) {
		bad = msg;
		((uint8_t *)&bad)[i] ^= 1;
		remote_sign(&f, &a, &bad, sizeof bad);
		fixture_udp(&f, &elsewhere, &bad, sizeof bad);
		assert_untouched(&before);
	}
	assert_int_equal(relaxed_get(&peer()->drops[DROP_HANDSHAKE]), 48);
	give(&msg, sizeof msg);
	assert_non_null(current());
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_HANDSHAKE), 1);
	assert_true(peer()->last_handshake_wall_ns == f.wall_ns);
	before = picture();
	fixture_udp(&f, &elsewhere, &msg, sizeof msg);
	assert_untouched(&before);
	assert_int_equal(fixture_drops(&f, DROP_STRAY_RESPONSE), 1);
}

static void test_handshake_response_to_a_retransmitted_initiation_is_stray(void **state)
{
	struct wire_response msg;

	(void)state;
	want();
	assert_true(remote_answer(&f, &a, &f.sent[0], &msg));
	fixture_advance(&f, 6 * S); /* a second initiation has replaced the first */
	assert_int_equal(f.n_sent, 2);
	give(&msg, sizeof msg);
	assert_null(current());
	assert_int_equal(fixture_drops(&f, DROP_STRAY_RESPONSE), 1);
	assert_true(remote_answer(&f, &a, &f.sent[1], &msg));
	give(&msg, sizeof msg);
	assert_non_null(current());
}

/* However late: gotatun threw responses away after 250 ms. */
static void test_handshake_response_counts_until_the_retransmission(void **state)
{
	struct wire_response msg;

	(void)state;
	want();
	assert_true(remote_answer(&f, &a, &f.sent[0], &msg));
	fixture_advance(&f, 5 * S - 1);
	give(&msg, sizeof msg);
	assert_non_null(current());
}

static void test_handshake_response_moves_the_endpoint(void **state)
{
	struct wire_response msg;

	(void)state;
	want();
	assert_true(remote_answer(&f, &a, &f.sent[0], &msg));
	a.endpoint = endpoint4(40, 40);
	give(&msg, sizeof msg);
	assert_int_equal(peer_endpoint(peer()).port, 40);
	assert_int_equal(f.sent[1].to.port, 40); /* the confirmation goes there already */
}

/* Both begin at once; whoever completes last wins, and both keys open. */
static void test_handshake_both_at_once_ends_in_one_session(void **state)
{
	struct wire_initiation theirs;
	struct wire_response response;
	struct inner p = inner4(254, 1, 10);
	struct remote as_responder;
	uint8_t plain[128];

	(void)state;
	want();
	remote_initiation(&f, &a, &theirs);
	as_responder = a;
	assert_true(remote_answer(&f, &as_responder, &f.sent[0], &response));
	give(&theirs, sizeof theirs); /* answered, although our own is under way */
	assert_int_equal(f.n_sent, 2);
	assert_true(remote_take_response(&a, &f.sent[1]));
	give(&response, sizeof response); /* ours completes: current */
	assert_non_null(current());
	assert_true(current()->initiator);
	assert_null(peer()->handshake);
	fixture_forget(&f);
	fixture_tun(&f, p.data, p.len_bytes);
	assert_true(remote_open(&as_responder, &f.sent[0], plain) >= 0);
	/* Their own still opens, as previous, and does not become current any more. */
	remote_send(&f, &a, NULL, 0);
	assert_int_equal(fixture_all_drops(&f), 0);
	assert_true(current()->initiator);
}

/* ---- indices ---- */

static void test_handshake_index_that_is_taken_is_drawn_again(void **state)
{
	struct wire_initiation msg;
	uint64_t before;
	uint32_t first;

	(void)state;
	before = f.rng.state;
	begin_from_remote(0);
	/* What the hub drew first, it draws first again. */
	remote_initiation(&f, &b, &msg);
	f.rng.state = before;
	remote_initiation(&f, &a, &(struct wire_initiation){0}); /* as many numbers as then */
	first = a.remote_index;
	fixture_udp(&f, &b.endpoint, &msg, sizeof msg);
	assert_int_equal(f.n_sent, 2);
	assert_true(remote_take_response(&b, &f.sent[1]));
	assert_int_not_equal(b.remote_index, first);
	/* The test is worth something: the number did come up. */
	f.rng.state = before;
	remote_initiation(&f, &a, &(struct wire_initiation){0});
	assert_int_equal((uint32_t)rng_next(&f.rng), first);
}

static void test_handshake_index_dies_with_its_owner(void **state)
{
	(void)state;
	want();
	assert_int_equal(f.hub->sessions.n_live, 1);
	handshake_drop(f.hub, peer());
	assert_int_equal(f.hub->sessions.n_live, 0);
	begin_from_remote(1);
	assert_int_equal(f.hub->sessions.n_live, 1);
	keys_drop(f.hub, peer());
	assert_int_equal(f.hub->sessions.n_live, 0);
	remote_send(&f, &a, NULL, 0);
	assert_int_equal(fixture_drops(&f, DROP_NO_SESSION), 1);
}

/* The other side's index is its own affair: two peers may use the same one. */
static void test_handshake_two_peers_may_use_the_same_index_of_theirs(void **state)
{
	struct inner p1 = inner4(254, 1, 10), p2 = inner4(254, 2, 10);
	uint8_t plain[128];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct remote *r = i ? &b : &a;
		struct wire_initiation msg;

		remote_initiation(&f, r, &msg);
		le32_put(msg.sender, 7);
		r->begun_index = 7;
		remote_sign(&f, r, &msg, sizeof msg);
		fixture_udp(&f, &r->endpoint, &msg, sizeof msg);
		assert_true(remote_take_response(r, &f.sent[f.n_sent - 1]));
		remote_send(&f, r, NULL, 0);
	}
	fixture_forget(&f);
	fixture_tun(&f, p1.data, p1.len_bytes);
	fixture_tun(&f, p2.data, p2.len_bytes);
	assert_true(remote_open(&a, &f.sent[0], plain) > 0);
	assert_true(remote_open(&b, &f.sent[1], plain) > 0);
}

/* ---- slots ---- */

static void test_handshake_slots_of_an_initiator(void **state)
{
	struct keypair *first, *second;

	(void)state;
	remote_connect_from_hub(&f, &a);
	first = current();
	fixture_advance(&f, 6 * S);
	remote_connect_from_hub(&f, &a);
	second = current();
	assert_ptr_equal(peer()->previous, first);
	assert_null(peer()->next);
	/* A waiting next becomes previous, and the old current goes. */
	fixture_advance(&f, 6 * S);
	begin_from_remote(0);
	struct keypair *next = peer()->next;
	assert_ptr_equal(current(), second);
	assert_null(peer()->previous);
	fixture_advance(&f, 6 * S);
	remote_connect_from_hub(&f, &a);
	assert_ptr_equal(peer()->previous, next);
	assert_null(peer()->next);
	assert_ptr_not_equal(current(), second);
	assert_int_equal(f.hub->keypairs.n_used, 2);
	assert_int_equal(f.hub->sessions.n_live, 2);
}

static void test_handshake_slots_of_a_responder(void **state)
{
	struct keypair *first, *next;

	(void)state;
	remote_connect(&f, &a);
	first = current();
	fixture_advance(&f, S);
	begin_from_remote(0);
	assert_ptr_equal(current(), first); /* stays in use */
	next = peer()->next;
	assert_non_null(next);
	remote_send(&f, &a, NULL, 0);
	assert_ptr_equal(current(), next);
	assert_ptr_equal(peer()->previous, first);
	assert_null(peer()->next);
	/* Answering again: the new one waits, the old next and previous go. */
	fixture_advance(&f, S);
	begin_from_remote(1);
	assert_null(peer()->previous);
	assert_ptr_equal(current(), next);
	assert_int_equal(f.hub->keypairs.n_used, 2);
}

/* The confirmation of a key that is no longer next (a later handshake took its place) is nothing.
 */
static void test_handshake_late_confirmation_confirms_nothing(void **state)
{
	struct remote old;

	(void)state;
	begin_from_remote(0);
	old = a;
	fixture_advance(&f, S);
	begin_from_remote(1);
	keys_confirm(f.hub, peer(), old.remote_index, f.now_ns, f.wall_ns);
	assert_null(current());
	remote_send(&f, &old, NULL, 0);
	assert_null(current());
	assert_int_equal(fixture_drops(&f, DROP_NO_SESSION), 1);
	remote_send(&f, &a, NULL, 0);
	assert_non_null(current());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_handshake_answers_an_initiation_and_follows_its_source),
		TEST(test_handshake_refused_initiation_changes_nothing),
		TEST(test_handshake_replayed_initiation_changes_nothing_ever),
		TEST(test_handshake_replays_are_reported_once_in_ten_seconds),
		TEST(test_handshake_of_an_unknown_key_is_reported_and_not_answered),
		TEST(test_handshake_without_the_unknown_keys_secret_is_not_reported),
		TEST(test_handshakes_of_unknown_keys_are_reported_20_times_a_second),
		TEST(test_handshake_second_initiation_within_20_ms_is_dropped),
		TEST(test_handshake_unconfirmed_ones_cost_bounded_memory),
		TEST(test_handshake_of_a_peer_with_a_low_order_key_is_never_made),
		TEST(test_handshake_is_not_answered_to_addresses_that_are_no_host),
		TEST(test_handshake_on_loopback_is_answered),
		TEST(test_handshake_timestamp_is_tai64n_without_its_fine_grain),
		TEST(test_handshake_timestamps_rise_whatever_the_wall_clock_does),
		TEST(test_handshake_wrong_responses_do_not_spoil_the_right_one),
		TEST(test_handshake_response_to_a_retransmitted_initiation_is_stray),
		TEST(test_handshake_response_counts_until_the_retransmission),
		TEST(test_handshake_response_moves_the_endpoint),
		TEST(test_handshake_both_at_once_ends_in_one_session),
		TEST(test_handshake_index_that_is_taken_is_drawn_again),
		TEST(test_handshake_index_dies_with_its_owner),
		TEST(test_handshake_two_peers_may_use_the_same_index_of_theirs),
		TEST(test_handshake_slots_of_an_initiator),
		TEST(test_handshake_slots_of_a_responder),
		TEST(test_handshake_late_confirmation_confirms_nothing),
	};

	return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
