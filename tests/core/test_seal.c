/* From inner packets to transport messages: padding, counters, limits, and packets that find no
 * session. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;
static struct remote a, b;

static int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_pair_add(&f, &a, &b);
	return 0;
}

static struct peer *peer(void)
{
	return remote_peer(&f, &a);
}

static void host_sends(uint32_t len_bytes)
{
	struct inner p = inner4(254, 1, len_bytes - 28);

	fixture_tun(&f, p.data, p.len_bytes);
}

static uint64_t counter_of(const struct sent *sent)
{
	return le64_get(sent->data + 8);
}

static bool is_initiation(const struct sent *sent)
{
	return sent->len_bytes == sizeof(struct wire_initiation);
}

/* ---- padding ---- */

static void test_seal_pads_with_zeros_to_16_but_not_beyond_the_mtu(void **state)
{
	static const uint32_t cases[][2] = {{28, 32}, {32, 32}, {33, 48}, {1408, 1408},
		{1409, 1420}, {1419, 1420}, {1420, 1420}};

	(void)state;
	remote_connect(&f, &a);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint8_t plain[2048];

		host_sends(cases[i][0]);
		assert_int_equal(remote_open(&a, &f.sent[i], plain), cases[i][1]);
		assert_true(ct_is_zero(plain + cases[i][0], cases[i][1] - cases[i][0]));
	}
}

static void test_seal_padding_follows_a_new_mtu_at_once(void **state)
{
	uint8_t plain[2048];

	(void)state;
	remote_connect(&f, &a);
	assert_int_equal(hub_set_mtu(f.hub, 1300), 0);
	host_sends(1297);
	assert_int_equal(remote_open(&a, &f.sent[0], plain), 1300);
}

static void test_seal_sends_a_packet_larger_than_the_mtu_as_it_is(void **state)
{
	uint8_t plain[2048];

	(void)state;
	remote_connect(&f, &a);
	host_sends(1501);
	assert_int_equal(remote_open(&a, &f.sent[0], plain), 1501);
}

/* A sender that does not pad leaves no room in a buffer where the next datagram follows at once:
 * its packet goes on unpadded, and the neighbour is not touched. */
static void test_seal_does_not_pad_beyond_the_room_of_a_forwarded_packet(void **state)
{
	struct inner p = inner4(2, 1, 13); /* 41 bytes */
	uint8_t *buffer = malloc(41 + 32 + 32), plain[64];
	struct wgh_packet packets[2] = {{.data = buffer, .len_bytes = 41 + 32},
		{.data = buffer + 41 + 32, .len_bytes = 32}};
	struct wgh_burst burst = {.endpoint = b.endpoint, .packets = packets, .n_packets = 2};
	const struct worker_output *out;
	uint8_t neighbour[32];

	(void)state;
	remote_connect(&f, &a);
	remote_connect(&f, &b);
	assert_int_equal(remote_seal_unpadded(&b, buffer, p.data, 41), 73);
	memset(buffer + 73, 0x55, 32);
	memcpy(neighbour, buffer + 73, 32);
	out = worker_input_udp(f.worker, &burst, 1, f.now_ns);
	assert_int_equal(out->n_bursts, 1);
	assert_int_equal(out->bursts[0].n_packets, 1);
	assert_int_equal(out->bursts[0].packets[0].len_bytes, 73);
	assert_memory_equal(buffer + 73, neighbour, 32);
	assert_int_equal(
		remote_open(&a, &(struct sent){.data = buffer, .len_bytes = 73}, plain), 41);
	free(buffer);
	fixture_run(&f);
}

/* ---- counters ---- */

static void test_seal_counters_start_at_zero_and_rise_by_one(void **state)
{
	(void)state;
	remote_connect(&f, &a);
	for (uint64_t i = 0; i < 20; i++) {
		host_sends(100);
		assert_true(counter_of(&f.sent[i]) == i);
	}
}

/* Control side and workers take from the same counter. */
static void test_seal_keepalives_and_data_never_share_a_counter(void **state)
{
	(void)state;
	remote_connect_from_hub(&f, &a); /* its confirmation took 0 */
	host_sends(100);
	assert_true(keys_send_keepalive(f.hub, peer(), f.now_ns));
	host_sends(100);
	for (uint64_t i = 0; i < 3; i++)
		assert_true(counter_of(&f.sent[i]) == i + 1);
}

static struct keypair *current(void)
{
	return relaxed_get(&peer()->current);
}

static void test_seal_uses_the_last_counter_and_then_the_key_is_dead(void **state)
{
	const uint64_t limit = UINT64_MAX - (UINT64_C(1) << 13);

	(void)state;
	remote_connect(&f, &a);
	fixture_advance(&f, 6 * NS_PER_S); /* past the limiter of handshakes */
	relaxed_set(&current()->send_counter, limit - 1);
	host_sends(100);
	assert_int_equal(f.n_sent, 2); /* also an initiation: far beyond 2^60 */
	assert_true(counter_of(&f.sent[0]) == limit - 1);
	host_sends(100);
	host_sends(100);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(peer()->n_staged, 2);
	assert_true(relaxed_get(&current()->send_counter) >= limit); /* never wraps */
	assert_false(keys_send_keepalive(f.hub, peer(), f.now_ns));
	assert_false(keys_usable(peer(), f.now_ns));
}

static void test_seal_batch_that_does_not_fit_under_the_limit_waits_whole(void **state)
{
	const uint64_t limit = UINT64_MAX - (UINT64_C(1) << 13);
	static uint8_t data[4][128];
	struct wgh_packet packets[4];

	(void)state;
	remote_connect(&f, &a);
	remote_connect(&f, &b);
	relaxed_set(&current()->send_counter, limit - 2);
	for (int i = 0; i < 4; i++) {
		struct inner p = inner4(2, 1, 20);

		packets[i] = (struct wgh_packet){.data = data[i],
			.len_bytes = remote_seal(&b, data[i], p.data, p.len_bytes)};
	}
	fixture_burst(&f, &b.endpoint, packets, 4);
	assert_int_equal(peer()->n_staged, 4);
	assert_true(relaxed_get(&current()->send_counter) >= limit);
}

/* ---- renewal ---- */

static void test_seal_initiator_renews_when_sending_after_120_s(void **state)
{
	(void)state;
	remote_connect_from_hub(&f, &a);
	fixture_advance(&f, 120 * NS_PER_S - 1);
	host_sends(100);
	assert_int_equal(f.n_sent, 1);
	remote_send(&f, &a, NULL, 0);
	fixture_advance(&f, 1);
	host_sends(100);
	assert_int_equal(f.n_sent, 3);
	assert_true(is_initiation(&f.sent[2]));
	/* The old key goes on until the new one is there. */
	host_sends(100);
	assert_int_equal(f.n_sent, 4);
	assert_int_equal(counter_of(&f.sent[3]), 3);
}

static void test_seal_responder_never_renews_because_of_time(void **state)
{
	(void)state;
	remote_connect(&f, &a);
	fixture_advance(&f, 179 * NS_PER_S);
	host_sends(100);
	assert_int_equal(f.n_sent, 1);
}

static void test_seal_both_sides_renew_after_2_60_messages(void **state)
{
	(void)state;
	remote_connect(&f, &a);
	fixture_advance(&f, 6 * NS_PER_S);
	relaxed_set(&current()->send_counter, UINT64_C(1) << 60);
	host_sends(100);
	assert_int_equal(f.n_sent, 2);
	assert_true(is_initiation(&f.sent[1]));
}

static void test_seal_sends_nothing_under_a_key_of_180_s(void **state)
{
	(void)state;
	remote_connect(&f, &a);
	fixture_advance(&f, 180 * NS_PER_S - 1);
	host_sends(100);
	assert_int_equal(f.n_sent, 1);
	fixture_advance(&f, 1);
	host_sends(100);
	assert_int_equal(f.n_sent, 2);
	assert_true(is_initiation(&f.sent[1]));
	assert_int_equal(peer()->n_staged, 1);
}

/* ---- no session ---- */

static void test_seal_packets_wait_and_go_out_in_order_with_our_session(void **state)
{
	struct wire_response msg;
	uint8_t plain[256];

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		host_sends(60 + i);
	assert_int_equal(f.n_sent, 1); /* one handshake for all of them */
	assert_int_equal(peer()->n_staged, 5);
	assert_true(remote_answer(&f, &a, &f.sent[0], &msg));
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_int_equal(f.n_sent, 6); /* they confirm it: no keepalive besides */
	for (uint32_t i = 0; i < 5; i++) {
		assert_true(remote_open(&a, &f.sent[1 + i], plain) > 0);
		assert_int_equal(plain[3], 60 + i);
		assert_true(counter_of(&f.sent[1 + i]) == i);
	}
	assert_int_equal(f.hub->staged_bytes, 0);
}

/* The responder sends nothing before it was confirmed. */
static void test_seal_packets_wait_for_the_confirmation_of_their_session(void **state)
{
	struct wire_initiation msg;
	uint8_t plain[256];

	(void)state;
	remote_initiation(&f, &a, &msg);
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_true(remote_take_response(&a, &f.sent[0]));
	for (uint32_t i = 0; i < 3; i++)
		host_sends(60 + i);
	assert_int_equal(f.n_sent, 1);
	fixture_forget(&f);
	remote_send(&f, &a, NULL, 0);
	assert_int_equal(f.n_sent, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(remote_open(&a, &f.sent[i], plain) > 0);
		assert_int_equal(plain[3], 60 + i);
	}
}

static void test_seal_of_too_many_waiting_packets_the_oldest_goes(void **state)
{
	struct wire_response msg;
	uint8_t plain[256];

	(void)state;
	for (uint32_t i = 0; i < 130; i++)
		host_sends(60 + i);
	assert_int_equal(peer()->n_staged, 128);
	assert_int_equal(fixture_drops(&f, DROP_STAGED_FULL), 2);
	assert_true(remote_answer(&f, &a, &f.sent[0], &msg));
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_int_equal(f.n_sent, 129);
	assert_true(remote_open(&a, &f.sent[1], plain) > 0);
	assert_int_equal(plain[3], 62);
}

/* Bound of all peers together: 16 MiB, checked by weight. */
static void test_seal_waiting_packets_of_all_peers_are_bounded_in_bytes(void **state)
{
	enum { N = 150 };
	static struct remote remotes[N];
	static uint8_t big[60000];

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		struct inner head = inner4(254, 20 + i, 0);

		remote_init(&f, &remotes[i], 20 + i);
		remote_add_with_endpoint(&f, &remotes[i]);
		head.data[2] = sizeof big >> 8;
		head.data[3] = sizeof big & 0xff;
		inner_mend(&head);
		memcpy(big, head.data, 28);
		for (int k = 0; k < 3; k++)
			fixture_tun(&f, big, sizeof big);
		assert_true(f.hub->staged_bytes <= 16u << 20);
	}
	assert_true(f.hub->staged_bytes > (16u << 20) - 2 * sizeof big);
	assert_int_equal(fixture_drops(&f, DROP_STAGED_FULL), 3 * N - (16u << 20) / 60080);
}

static void test_seal_forwarded_packet_waits_for_the_receiver_s_session(void **state)
{
	struct inner p = inner4(2, 1, 20);
	struct wire_response msg;
	uint8_t plain[256];

	(void)state;
	remote_connect(&f, &b);
	remote_send(&f, &b, p.data, p.len_bytes);
	assert_int_equal(f.n_sent, 1);
	assert_true(remote_answer(&f, &a, &f.sent[0], &msg));
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_int_equal(f.n_sent, 2);
	assert_true(remote_open(&a, &f.sent[1], plain) > 0);
	assert_int_equal(plain[8], 63); /* forwarded, so one less */
}

static void test_seal_goes_to_the_endpoint_of_the_moment(void **state)
{
	const struct wgh_endpoint other = endpoint4(90, 90);

	(void)state;
	remote_connect(&f, &a);
	host_sends(100);
	assert_int_equal(f.sent[0].to.port, a.endpoint.port);
	peer_endpoint_set(peer(), &other);
	host_sends(100);
	assert_int_equal(f.sent[1].to.port, 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_seal_pads_with_zeros_to_16_but_not_beyond_the_mtu),
		TEST(test_seal_padding_follows_a_new_mtu_at_once),
		TEST(test_seal_sends_a_packet_larger_than_the_mtu_as_it_is),
		TEST(test_seal_does_not_pad_beyond_the_room_of_a_forwarded_packet),
		TEST(test_seal_counters_start_at_zero_and_rise_by_one),
		TEST(test_seal_keepalives_and_data_never_share_a_counter),
		TEST(test_seal_uses_the_last_counter_and_then_the_key_is_dead),
		TEST(test_seal_batch_that_does_not_fit_under_the_limit_waits_whole),
		TEST(test_seal_initiator_renews_when_sending_after_120_s),
		TEST(test_seal_responder_never_renews_because_of_time),
		TEST(test_seal_both_sides_renew_after_2_60_messages),
		TEST(test_seal_sends_nothing_under_a_key_of_180_s),
		TEST(test_seal_packets_wait_and_go_out_in_order_with_our_session),
		TEST(test_seal_packets_wait_for_the_confirmation_of_their_session),
		TEST(test_seal_of_too_many_waiting_packets_the_oldest_goes),
		TEST(test_seal_waiting_packets_of_all_peers_are_bounded_in_bytes),
		TEST(test_seal_forwarded_packet_waits_for_the_receiver_s_session),
		TEST(test_seal_goes_to_the_endpoint_of_the_moment),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
