/* From transport messages to authenticated packets: what is refused, in which order, and that a
 * refused message changes nothing but a counter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;
static struct remote a, b;

static int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_pair_add(&f, &a, &b);
	remote_connect(&f, &b);
	return 0;
}

static struct peer *peer(void)
{
	return remote_peer(&f, &a);
}

struct message {
	uint8_t data[2048];
	uint32_t len_bytes;
};

/* A packet for the hub's host, under the present keys with this counter. */
static struct message sealed(uint64_t counter)
{
	struct inner p = inner4(1, 254, 40);
	struct message m;

	a.counter = counter;
	m.len_bytes = remote_seal(&a, m.data, p.data, p.len_bytes);
	return m;
}

static void give_from(const struct message *m, const struct wgh_endpoint *from)
{
	fixture_udp(&f, from, m->data, m->len_bytes);
}

static void give(const struct message *m)
{
	give_from(m, &a.endpoint);
}

/* All that an authenticated message may change. */
struct picture {
	uint64_t rx_bytes, traversal, data_received, unacked, unanswered;
	struct wgh_endpoint endpoint;
	struct keypair *current, *next;
	struct replay replay;
};

static struct picture picture(void)
{
	struct picture p;
	struct keypair *current = relaxed_get(&peer()->current);

	memset(&p, 0, sizeof p);
	p.rx_bytes = relaxed_get(&peer()->rx_bytes);
	p.traversal = relaxed_get(&peer()->last_traversal_ns);
	p.data_received = relaxed_get(&peer()->last_data_received_ns);
	p.unacked = relaxed_get(&peer()->unacked_since_ns);
	p.unanswered = relaxed_get(&peer()->unanswered_since_ns);
	p.endpoint = peer_endpoint(peer());
	p.current = current;
	p.next = peer()->next;
	if (current)
		p.replay = current->replay;
	return p;
}

static void assert_untouched(const struct picture *before)
{
	struct picture now = picture();

	assert_memory_equal(&now, before, sizeof now);
	assert_int_equal(f.n_tun, 0);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(f.n_events, 0);
}

/* ---- acceptance ---- */

static void test_open_gives_the_inner_packet_without_its_padding(void **state)
{
	struct inner p = inner4(1, 254, 41); /* 69 bytes, 80 on the way */

	(void)state;
	remote_connect(&f, &a);
	remote_send(&f, &a, p.data, p.len_bytes);
	assert_int_equal(f.n_tun, 1);
	assert_int_equal(f.tun[0].len_bytes, p.len_bytes);
	assert_memory_equal(f.tun[0].data, p.data, p.len_bytes);
}

static void test_open_takes_a_message_of_65507_bytes(void **state)
{
	static uint8_t inner[65507 - 32], message[65507 + 32];
	struct inner head = inner4(1, 254, 0);

	(void)state;
	remote_connect(&f, &a);
	memcpy(inner, head.data, 28);
	inner[2] = (uint8_t)(sizeof inner >> 8);
	inner[3] = (uint8_t)sizeof inner;
	memcpy(head.data, inner, 20);
	inner_mend(&head);
	memcpy(inner, head.data, 20);
	/* 65475 bytes are no multiple of 16, and padding would be too much for a datagram. */
	assert_int_equal(remote_seal_unpadded(&a, message, inner, sizeof inner), 65507);
	fixture_udp(&f, &a.endpoint, message, 65507);
	assert_int_equal(f.n_tun, 1);
	assert_int_equal(f.tun[0].len_bytes, sizeof inner);
}

/* ---- refusal changes nothing ---- */

static void test_open_refuses_every_flipped_bit_and_changes_nothing(void **state)
{
	struct picture before;
	struct message m;
	unsigned n = 0;

	(void)state;
	remote_connect(&f, &a);
	fixture_advance(&f, NS_PER_S);
	m = sealed(5);
	before = picture();
	for (uint32_t bit = 64; bit < 8 * m.len_bytes; bit += 3) { /* from the counter on */
		struct wgh_endpoint elsewhere = endpoint4(77, 77);

		m.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		give_from(&m, &elsewhere);
		m.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_untouched(&before);
		n++;
	}
	/* High bits of the counter put it beyond the limit, and that is seen first. */
	assert_int_equal(fixture_drops(&f, DROP_AUTH) + fixture_drops(&f, DROP_EXPIRED), n);
	assert_int_equal(relaxed_get(&peer()->drops[DROP_AUTH]), fixture_drops(&f, DROP_AUTH));
	give(&m);
	assert_int_equal(f.n_tun, 1);
}

static void test_open_replayed_message_changes_nothing(void **state)
{
	struct wgh_endpoint elsewhere = endpoint4(77, 77);
	struct picture before;
	struct message m;

	(void)state;
	remote_connect(&f, &a);
	m = sealed(9);
	give(&m);
	fixture_forget(&f);
	fixture_advance(&f, NS_PER_S);
	before = picture();
	give_from(&m, &elsewhere);
	assert_untouched(&before);
	assert_int_equal(fixture_drops(&f, DROP_REPLAY), 1);
}

/* Keepalives are checked like everything else. */
static void test_open_replayed_keepalive_changes_nothing(void **state)
{
	struct wgh_endpoint elsewhere = endpoint4(77, 77);
	struct picture before;
	uint8_t message[32];

	(void)state;
	remote_connect(&f, &a);
	remote_seal(&a, message, NULL, 0);
	fixture_udp(&f, &a.endpoint, message, 32);
	fixture_advance(&f, NS_PER_S);
	before = picture();
	fixture_udp(&f, &elsewhere, message, 32);
	assert_untouched(&before);
	assert_int_equal(fixture_drops(&f, DROP_REPLAY), 1);
}

/* Up to 8128 below the greatest, once each, in any order. */
static void test_open_window_reaches_back_8128_counters(void **state)
{
	struct message m;

	(void)state;
	remote_connect(&f, &a);
	m = sealed(20000);
	give(&m);
	m = sealed(20000 - 8128);
	give(&m);
	assert_int_equal(f.n_tun, 2);
	m = sealed(20000 - 8129);
	give(&m);
	assert_int_equal(f.n_tun, 2);
	assert_int_equal(fixture_drops(&f, DROP_REPLAY), 1);
}

/* At the limit and above: dropped, and the window stays. */
static void test_open_refuses_counters_at_the_limit_without_moving_the_window(void **state)
{
	struct picture before;
	struct message m;

	(void)state;
	remote_connect(&f, &a);
	before = picture();
	m = sealed(UINT64_MAX - (UINT64_C(1) << 13));
	give(&m);
	m = sealed(UINT64_MAX);
	give(&m);
	assert_untouched(&before);
	assert_int_equal(fixture_drops(&f, DROP_EXPIRED), 2);
	m = sealed(7);
	give(&m);
	assert_int_equal(f.n_tun, 1);
	m = sealed(UINT64_MAX - (UINT64_C(1) << 13) - 1);
	give(&m);
	assert_int_equal(f.n_tun, 2);
}

static void test_open_refuses_a_key_of_180_s(void **state)
{
	struct message m;

	(void)state;
	remote_connect(&f, &a);
	m = sealed(5);
	fixture_advance(&f, 180 * NS_PER_S - 1);
	give(&m);
	assert_int_equal(f.n_tun, 1);
	m = sealed(6);
	fixture_advance(&f, 1);
	give(&m);
	assert_int_equal(f.n_tun, 1);
	assert_int_equal(fixture_drops(&f, DROP_EXPIRED), 1);
}

/* The index names the key: another peer's message under it fails. */
static void test_open_refuses_a_message_under_another_peer_s_index(void **state)
{
	struct message m;

	(void)state;
	remote_connect(&f, &a);
	m = sealed(5);
	le32_put(m.data + 4, b.remote_index);
	give(&m);
	assert_int_equal(f.n_tun, 0);
	assert_int_equal(relaxed_get(&remote_peer(&f, &b)->drops[DROP_AUTH]), 1);
	assert_int_equal(relaxed_get(&peer()->drops[DROP_AUTH]), 0);
}

/* ---- roaming ---- */

static void test_open_endpoint_follows_the_last_valid_message(void **state)
{
	struct wgh_endpoint first = endpoint4(50, 50), second = endpoint4(51, 51);
	struct message m[4];
	struct wgh_packet packets[4];
	struct wgh_burst bursts[3];

	(void)state;
	remote_connect(&f, &a);
	for (uint32_t i = 0; i < 4; i++) {
		m[i] = sealed(10 + i);
		packets[i] = (struct wgh_packet){.data = m[i].data, .len_bytes = m[i].len_bytes};
	}
	m[3].data[m[3].len_bytes - 1] ^= 1;
	bursts[0] = (struct wgh_burst){.endpoint = first, .packets = packets, .n_packets = 1};
	bursts[1] = (struct wgh_burst){.endpoint = second, .packets = packets + 1, .n_packets = 2};
	bursts[2] = (struct wgh_burst){
		.endpoint = endpoint4(66, 66), .packets = packets + 3, .n_packets = 1};
	worker_input_udp(f.worker, bursts, 3, f.now_ns);
	fixture_run(&f);
	assert_int_equal(peer_endpoint(peer()).port, 51);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_ROAMED), 2);
}

static void test_open_keepalive_moves_the_endpoint_too(void **state)
{
	struct wgh_endpoint other = {.addr = {0x20, 1}, .port = 9, .family = WGH_IPV6};
	uint8_t message[32];

	(void)state;
	remote_connect(&f, &a);
	remote_seal(&a, message, NULL, 0);
	fixture_udp(&f, &other, message, 32);
	assert_int_equal(peer_endpoint(peer()).family, WGH_IPV6);
}

/* A packet that decrypts and passes the window counts, whatever is inside. */
static void test_open_counts_a_message_with_a_bad_inner_packet_as_received(void **state)
{
	struct wgh_endpoint other = endpoint4(50, 50);
	uint8_t message[128];
	uint32_t len;

	(void)state;
	remote_connect(&f, &a);
	len = remote_seal(&a, message, "\x55garbage", 8);
	fixture_udp(&f, &other, message, len);
	assert_int_equal(peer_endpoint(peer()).port, 50);
	assert_true(relaxed_get(&peer()->unacked_since_ns) == f.now_ns);
	assert_int_equal(fixture_drops(&f, DROP_INNER_VERSION), 1);
}

/* ---- confirmation ---- */

static void test_open_confirms_the_next_key_with_its_first_valid_message_only(void **state)
{
	struct wire_initiation msg;
	struct message m;

	(void)state;
	remote_initiation(&f, &a, &msg);
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_true(remote_take_response(&a, &f.sent[0]));
	fixture_forget(&f);
	m = sealed(0);
	m.data[20] ^= 1;
	give(&m);
	assert_null(relaxed_get(&peer()->current));
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_HANDSHAKE), 0);
	m.data[20] ^= 1;
	give(&m);
	assert_non_null(relaxed_get(&peer()->current));
	assert_null(peer()->next);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_HANDSHAKE), 1);
	assert_int_equal(f.n_tun, 1); /* and it is carried */
}

static void test_open_takes_messages_under_next_current_and_previous(void **state)
{
	struct remote old;
	struct wire_initiation msg;
	struct message m[3];

	(void)state;
	remote_connect(&f, &a);
	m[0] = sealed(50);
	fixture_advance(&f, NS_PER_S);
	remote_connect(&f, &a);
	m[1] = sealed(50);
	old = a;
	fixture_advance(&f, NS_PER_S);
	remote_initiation(&f, &a, &msg);
	fixture_udp(&f, &a.endpoint, &msg, sizeof msg);
	assert_true(remote_take_response(&a, &f.sent[0]));
	give(&m[0]);
	give(&m[1]);
	assert_int_equal(f.n_tun, 1); /* answering threw the previous one away */
	assert_int_equal(fixture_drops(&f, DROP_NO_SESSION), 1);
	m[2] = sealed(50);
	give(&m[2]);
	assert_int_equal(f.n_tun, 2);
	/* Current has become previous and still opens. */
	a = old;
	m[1] = sealed(51);
	give(&m[1]);
	assert_int_equal(f.n_tun, 3);
}

/* ---- renewal ---- */

static void test_open_initiator_renews_on_receiving_after_165_s_once(void **state)
{
	struct message m;

	(void)state;
	fixture_advance(&f, 10 * NS_PER_S);
	remote_connect_from_hub(&f, &a);
	fixture_advance(&f, 165 * NS_PER_S - 1);
	m = sealed(5);
	give(&m);
	assert_int_equal(f.n_sent, 0);
	fixture_advance(&f, 1);
	m = sealed(6);
	give(&m);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].len_bytes, sizeof(struct wire_initiation));
	fixture_advance(&f, 2 * NS_PER_S);
	m = sealed(7);
	give(&m);
	assert_int_equal(f.n_sent, 1);
}

static void test_open_renewal_is_asked_for_once_in_the_life_of_a_key(void **state)
{
	struct message m;

	(void)state;
	remote_connect_from_hub(&f, &a);
	fixture_advance(&f, 166 * NS_PER_S);
	m = sealed(5);
	fixture_udp_only(&f, &a.endpoint, m.data, m.len_bytes);
	fixture_run(&f);
	handshake_drop(f.hub, peer());
	fixture_advance(&f, 6 * NS_PER_S);
	fixture_forget(&f);
	m = sealed(6);
	give(&m);
	assert_int_equal(f.n_sent, 0);
}

/* A straggler under the key before says nothing about the present one. */
static void test_open_packet_under_the_previous_key_renews_nothing(void **state)
{
	struct message late;

	(void)state;
	remote_connect_from_hub(&f, &a);
	late = sealed(5);
	fixture_advance(&f, 160 * NS_PER_S);
	remote_connect_from_hub(&f, &a);
	fixture_advance(&f, 7 * NS_PER_S);
	give(&late);
	assert_int_equal(f.n_tun, 1);
	assert_int_equal(f.n_sent, 0);
}

static void test_open_responder_never_renews_on_receiving(void **state)
{
	struct message m;

	(void)state;
	remote_connect(&f, &a);
	fixture_advance(&f, 179 * NS_PER_S);
	m = sealed(5);
	give(&m);
	assert_int_equal(f.n_tun, 1);
	assert_int_equal(f.n_sent, 0);
}

/* ---- batches ---- */

/* One of the chunk's middle fails; the others are not touched by it, and keep their order. */
static void test_open_keeps_order_and_others_around_bad_messages_in_a_large_batch(void **state)
{
	enum { N = 400 };
	static uint8_t data[N][128];
	struct wgh_packet packets[N];
	uint32_t n_good = 0;

	(void)state;
	remote_connect(&f, &a);
	for (uint32_t i = 0; i < N; i++) {
		struct inner p = inner4(1, 254, 40);

		p.data[5] = (uint8_t)i; /* identification */
		p.data[4] = (uint8_t)(i >> 8);
		inner_mend(&p);
		packets[i] = (struct wgh_packet){.data = data[i],
			.len_bytes = remote_seal(&a, data[i], p.data, p.len_bytes)};
		if (i % 7 == 3)
			data[i][30] ^= 4;
	}
	fixture_burst(&f, &a.endpoint, packets, N);
	for (uint32_t i = 0; i < N; i++) {
		if (i % 7 == 3)
			continue;
		assert_int_equal(f.tun[n_good].data[4] << 8 | f.tun[n_good].data[5], i);
		n_good++;
	}
	assert_int_equal(f.n_tun, n_good);
	assert_int_equal(fixture_drops(&f, DROP_AUTH), N - n_good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_open_gives_the_inner_packet_without_its_padding),
		TEST(test_open_takes_a_message_of_65507_bytes),
		TEST(test_open_refuses_every_flipped_bit_and_changes_nothing),
		TEST(test_open_replayed_message_changes_nothing),
		TEST(test_open_replayed_keepalive_changes_nothing),
		TEST(test_open_window_reaches_back_8128_counters),
		TEST(test_open_refuses_counters_at_the_limit_without_moving_the_window),
		TEST(test_open_refuses_a_key_of_180_s),
		TEST(test_open_refuses_a_message_under_another_peer_s_index),
		TEST(test_open_endpoint_follows_the_last_valid_message),
		TEST(test_open_keepalive_moves_the_endpoint_too),
		TEST(test_open_counts_a_message_with_a_bad_inner_packet_as_received),
		TEST(test_open_confirms_the_next_key_with_its_first_valid_message_only),
		TEST(test_open_takes_messages_under_next_current_and_previous),
		TEST(test_open_initiator_renews_on_receiving_after_165_s_once),
		TEST(test_open_renewal_is_asked_for_once_in_the_life_of_a_key),
		TEST(test_open_packet_under_the_previous_key_renews_nothing),
		TEST(test_open_responder_never_renews_on_receiving),
		TEST(test_open_keeps_order_and_others_around_bad_messages_in_a_large_batch),
	};

	return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
