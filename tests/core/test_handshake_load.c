/* Handshakes while the hub has more to do than it can: cookies, asked for and used, and when it is
 * so. */
#include "tests/core/handshakes.h"

/* 128 waiting messages, worked off; what was sent meanwhile is forgotten. */
static void overload(void)
{
	const struct wire_cookie stray = {{WIRE_COOKIE}};

	for (int i = 0; i < 128; i++)
		fixture_udp_only(&f, &b.endpoint, &stray, sizeof stray);
	do
		fixture_run(&f);
	while (f.next_ns == f.now_ns);
	assert_int_equal(f.n_sent, 0);
}

static void test_handshake_under_load_asks_for_a_cookie_and_takes_it(void **state)
{
	struct wire_initiation msg;

	(void)state;
	overload();
	remote_initiation(&f, &a, &msg);
	give(&msg, sizeof msg);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].len_bytes, 64);
	assert_int_equal(f.sent[0].tos, 0);
	assert_int_equal(f.sent[0].to.port, a.endpoint.port);
	assert_memory_equal(f.sent[0].data + 4, msg.sender, 4);
	assert_null(peer()->next);
	assert_true(cookie_jar_open(
		&a.jar, &f.hub_key, (const struct wire_cookie *)f.sent[0].data, f.now_ns));
	remote_sign(&f, &a, &msg, sizeof msg);
	give(&msg, sizeof msg);
	assert_int_equal(f.n_sent, 2);
	assert_true(remote_take_response(&a, &f.sent[1]));
}

static void test_handshake_under_load_asks_for_cookies_with_responses_too(void **state)
{
	struct wire_response msg;

	(void)state;
	want();
	assert_true(remote_answer(&f, &a, &f.sent[0], &msg));
	fixture_forget(&f);
	overload();
	give(&msg, sizeof msg);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].len_bytes, 64);
	assert_memory_equal(f.sent[0].data + 4, msg.sender, 4);
	assert_null(current());
}

static void test_handshake_of_an_unknown_key_is_not_reported_under_load(void **state)
{
	struct remote c = stranger(3);

	(void)state;
	overload();
	knock(&c); /* is asked for a cookie */
	assert_true(cookie_jar_open(
		&c.jar, &f.hub_key, (const struct wire_cookie *)f.sent[0].data, f.now_ns));
	knock(&c);
	assert_int_equal(fixture_drops(&f, DROP_UNKNOWN_PEER), 1);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_UNKNOWN_PEER), 0);
}

static void test_handshake_wrong_mac1_is_silence_also_under_load(void **state)
{
	struct wire_initiation msg;

	(void)state;
	overload();
	remote_initiation(&f, &a, &msg);
	msg.macs.mac1[3] ^= 1;
	give(&msg, sizeof msg);
	assert_int_equal(f.n_sent, 0);
}

/* They are drawn many at a time; more than that are asked for here. */
static void test_handshake_no_two_cookie_replies_share_a_nonce(void **state)
{
	const size_t n = 3 * COOKIE_NONCES + 1;
	const struct wire_cookie *reply, *earlier;
	struct wire_initiation msg;

	(void)state;
	overload();
	remote_initiation(&f, &a, &msg);
	for (size_t i = 0; i < n; i++) {
		give(&msg, sizeof msg);
		assert_int_equal(f.n_sent, i + 1);
		assert_int_equal(f.sent[i].len_bytes, sizeof *reply);
		reply = (const struct wire_cookie *)f.sent[i].data;
		for (size_t k = 0; k < i; k++) {
			earlier = (const struct wire_cookie *)f.sent[k].data;
			assert_memory_not_equal(reply->nonce, earlier->nonce, WIRE_NONCE_BYTES);
		}
	}
}

static void test_handshake_load_holds_one_second_and_starts_at_an_eighth(void **state)
{
	const struct wire_cookie stray = {{WIRE_COOKIE}};
	struct wire_initiation msg;

	(void)state;
	overload();
	fixture_advance(&f, S - 1);
	remote_initiation(&f, &a, &msg);
	give(&msg, sizeof msg);
	assert_int_equal(f.sent[0].len_bytes, 64);
	fixture_advance(&f, 1);
	give(&msg, sizeof msg);
	assert_int_equal(f.sent[1].len_bytes, sizeof(struct wire_response));
	/* 127 waiting are no load. */
	fixture_advance(&f, S);
	for (int i = 0; i < 126; i++)
		fixture_udp_only(&f, &b.endpoint, &stray, sizeof stray);
	remote_initiation(&f, &a, &msg);
	give(&msg, sizeof msg);
	while (f.next_ns == f.now_ns)
		fixture_run(&f);
	assert_int_equal(f.sent[2].len_bytes, sizeof(struct wire_response));
}

/* Many honest handshakes, worked off as they come, are no load: gotatun lived in cookie mode. */
static void test_handshake_thousand_honest_ones_are_no_load(void **state)
{
	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		fixture_advance(&f, 20 * NS_PER_MS);
		begin_from_remote(i);
	}
	assert_int_equal(fixture_drops(&f, DROP_UNDER_LOAD), 0);
}

/* As initiator: the cookie goes into the next initiation, and the reply moves nothing else. */
static void test_handshake_cookie_from_a_peer_is_used_for_the_retransmission(void **state)
{
	const struct wgh_endpoint elsewhere = endpoint4(66, 66);
	struct cookie_checker theirs = {0};
	const uint8_t random[32] = {3};
	struct wire_cookie reply;
	uint64_t armed_ns, traversal_ns;

	(void)state;
	want();
	cookie_checker_set_key(&theirs, &a.identity.public_key);
	assert_true(cookie_mac1_ok(&theirs, f.sent[0].data, f.sent[0].len_bytes));
	assert_false(cookie_mac2_ok(
		&theirs, f.sent[0].data, f.sent[0].len_bytes, &elsewhere, random, f.now_ns));
	cookie_reply_write(&theirs, &reply, le32_get(f.sent[0].data + 4), f.sent[0].data,
		f.sent[0].len_bytes, &elsewhere, random);
	armed_ns = relaxed_get(&peer()->timer_armed_ns);
	traversal_ns = relaxed_get(&peer()->last_traversal_ns);
	fixture_advance(&f, S);
	fixture_udp(&f, &elsewhere, &reply, sizeof reply);
	assert_int_equal(f.n_sent, 1); /* no retry at once */
	assert_int_equal(peer_endpoint(peer()).port, a.endpoint.port);
	assert_true(relaxed_get(&peer()->timer_armed_ns) == armed_ns);
	assert_true(relaxed_get(&peer()->last_traversal_ns) == traversal_ns);
	assert_int_equal(relaxed_get(&peer()->rx_bytes), 0);
	assert_int_equal(fixture_drops(&f, DROP_COOKIE), 0);
	fixture_udp(&f, &elsewhere, &reply, sizeof reply); /* once for each message */
	assert_int_equal(fixture_drops(&f, DROP_COOKIE), 1);
	fixture_advance(&f, 5 * S);
	assert_int_equal(f.n_sent, 2);
	assert_true(cookie_mac2_ok(
		&theirs, f.sent[1].data, f.sent[1].len_bytes, &elsewhere, random, f.now_ns));
}

/* A responder's message may be answered with a cookie too: its index is a keypair's. */
static void test_handshake_cookie_for_a_response_is_found_by_its_keypair(void **state)
{
	struct cookie_checker theirs = {0};
	const uint8_t random[32] = {3};
	struct wire_cookie reply;

	(void)state;
	begin_from_remote(0);
	cookie_checker_set_key(&theirs, &a.identity.public_key);
	assert_false(cookie_mac2_ok(
		&theirs, f.sent[0].data, f.sent[0].len_bytes, &a.endpoint, random, f.now_ns));
	cookie_reply_write(&theirs, &reply, le32_get(f.sent[0].data + 4), f.sent[0].data,
		f.sent[0].len_bytes, &a.endpoint, random);
	give(&reply, sizeof reply);
	assert_true(peer()->cookie.has_cookie);
	fixture_advance(&f, S);
	begin_from_remote(1);
	assert_true(cookie_mac2_ok(
		&theirs, f.sent[1].data, f.sent[1].len_bytes, &a.endpoint, random, f.now_ns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_handshake_of_an_unknown_key_is_not_reported_under_load),
		TEST(test_handshake_under_load_asks_for_a_cookie_and_takes_it),
		TEST(test_handshake_under_load_asks_for_cookies_with_responses_too),
		TEST(test_handshake_wrong_mac1_is_silence_also_under_load),
		TEST(test_handshake_no_two_cookie_replies_share_a_nonce),
		TEST(test_handshake_load_holds_one_second_and_starts_at_an_eighth),
		TEST(test_handshake_thousand_honest_ones_are_no_load),
		TEST(test_handshake_cookie_from_a_peer_is_used_for_the_retransmission),
		TEST(test_handshake_cookie_for_a_response_is_found_by_its_keypair),
	};

	return cmocka_run_group_tests_name("handshake_load", tests, NULL, NULL);
}
