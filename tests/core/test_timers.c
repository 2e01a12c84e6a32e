/* Deadlines: each timer of the protocol fired on virtual time. The times are the paper's, written
 * out here as numbers and not taken from limits.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "tests/lib/fixture.h"

#define S NS_PER_S
#define JITTER_NS (334 * NS_PER_MS)

/* Each has a test_timer_* of its own below. */
_Static_assert(TIMER_RETRY_HANDSHAKE == 0 && TIMER_NEW_HANDSHAKE == 1 && TIMER_KEEPALIVE == 2 &&
		TIMER_PERSISTENT_KEEPALIVE == 3 && TIMER_WIPE == 4 && TIMER_PROBE == 5 &&
		TIMER_N == 6,
	"a new timer needs a test that fires it");

static struct fixture f;
static struct remote r;

static int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_init(&f, &r, 1);
	remote_add_with_endpoint(&f, &r);
	fixture_forget(&f);
	return 0;
}

static struct peer *peer(void)
{
	return remote_peer(&f, &r);
}

/* A packet of the hub's host to the remote. */
static void host_sends(void)
{
	struct inner p = inner4(254, 1, 100);

	fixture_tun(&f, p.data, p.len_bytes);
}

static void remote_sends(void)
{
	struct inner p = inner4(1, 254, 100);

	remote_send(&f, &r, p.data, p.len_bytes);
}

static bool is_initiation(const struct sent *sent)
{
	return sent->len_bytes == sizeof(struct wire_initiation);
}

static bool is_keepalive(const struct sent *sent)
{
	uint8_t out[1];

	return sent->len_bytes == WIRE_DATA_MIN_BYTES && !remote_open(&r, sent, out);
}

/* Nothing until just before, then exactly one datagram. */
static const struct sent *next_at(uint64_t at_ns)
{
	const size_t before = f.n_sent;

	fixture_advance(&f, at_ns - f.now_ns - 1);
	assert_int_equal(f.n_sent, before);
	fixture_advance(&f, 1);
	assert_int_equal(f.n_sent, before + 1);
	return &f.sent[before];
}

static void silence_for(uint64_t ns)
{
	const size_t before = f.n_sent;

	fixture_advance(&f, ns);
	assert_int_equal(f.n_sent, before);
}

static void set_keepalive(uint16_t seconds)
{
	struct wgh_peer_change change = {.public_key = remote_key(&r),
		.flags = WGH_PEER_HAS_KEEPALIVE,
		.keepalive_s = seconds};

	fixture_change_peer(&f, &change);
	fixture_run(&f);
}

/* ---- retransmission ---- */

static void test_timer_retry_sends_twenty_initiations_and_gives_up(void **state)
{
	uint64_t start_ns = f.now_ns, last_ns = start_ns, index_before = 0;

	(void)state;
	host_sends();
	assert_int_equal(f.n_sent, 1);
	for (size_t n = 1; n < 20; n++) {
		const struct wire_initiation *before =
			(const struct wire_initiation *)f.sent[n - 1].data;
		const struct wire_initiation *msg;

		fixture_advance(&f, f.next_ns - f.now_ns);
		assert_int_equal(f.n_sent, n + 1);
		assert_in_range(f.now_ns - last_ns, 5 * S, 5 * S + JITTER_NS - 1);
		last_ns = f.now_ns;
		assert_true(is_initiation(&f.sent[n]));
		msg = (const struct wire_initiation *)f.sent[n].data;
		assert_memory_not_equal(msg->ephemeral, before->ephemeral, 32);
		assert_memory_not_equal(msg->timestamp, before->timestamp, 28);
		assert_memory_not_equal(msg->sender, before->sender, 4);
		index_before = le32_get(before->sender);
		assert_false(session_taken(&f.hub->sessions, (uint32_t)index_before));
	}
	assert_in_range(f.now_ns - start_ns, 95 * S, 19 * (5 * S + JITTER_NS));
	assert_int_equal(peer()->n_staged, 1);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_HANDSHAKE_GIVEUP), 0);

	fixture_advance(&f, f.next_ns - f.now_ns);
	assert_in_range(f.now_ns - last_ns, 5 * S, 5 * S + JITTER_NS - 1);
	assert_int_equal(f.n_sent, 20);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_HANDSHAKE_GIVEUP), 1);
	assert_int_equal(peer()->n_staged, 0);
	assert_int_equal(fixture_drops(&f, DROP_STAGED_EXPIRED), 1);
	assert_int_equal(f.hub->sessions.n_live, 0);
	silence_for(3600 * S);
}

static void test_timer_retry_counts_anew_after_fresh_traffic(void **state)
{
	(void)state;
	host_sends();
	fixture_advance(&f, 60 * S);
	host_sends();
	fixture_advance(&f, 90 * S); /* 150 s after the first, 90 s after the second */
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_HANDSHAKE_GIVEUP), 0);
	assert_int_equal(peer()->n_staged, 2);
	fixture_advance(&f, 12 * S);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_HANDSHAKE_GIVEUP), 1);
}

static void test_timer_retry_drops_the_sticky_source(void **state)
{
	struct wgh_endpoint e = r.endpoint;

	(void)state;
	e.local_ifindex = 2;
	e.local[0] = 10;
	peer_endpoint_set(peer(), &e);
	host_sends();
	assert_int_equal(f.sent[0].to.local_ifindex, 2);
	fixture_advance(&f, 6 * S);
	assert_int_equal(f.sent[1].to.local_ifindex, 0);
}

/* None within 5 s of a response of ours. The attempt goes on afterwards. */
static void test_timer_retry_waits_five_seconds_after_a_response_of_ours(void **state)
{
	struct wire_initiation msg;
	uint64_t responded_ns;

	(void)state;
	host_sends();
	fixture_advance(&f, 3 * S);
	remote_initiation(&f, &r, &msg);
	fixture_udp(&f, &r.endpoint, &msg, sizeof msg);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(f.sent[1].len_bytes, sizeof(struct wire_response));
	responded_ns = f.now_ns;
	/* The response is lost. */
	assert_true(is_initiation(next_at(responded_ns + 5 * S)));
}

static void test_timer_first_initiation_waits_five_seconds_after_the_last(void **state)
{
	(void)state;
	host_sends();
	assert_int_equal(f.n_sent, 1);
	handshake_drop(f.hub, peer());
	hub_arm(f.hub, peer());
	fixture_advance(&f, 2 * S);
	host_sends(); /* a fresh attempt, but too early */
	assert_int_equal(f.n_sent, 1);
	assert_true(is_initiation(next_at(FIXTURE_START_NS + 5 * S)));
}

/* ---- passive keepalive ---- */

static void test_timer_keepalive_answers_data_after_ten_seconds(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	remote_sends();
	assert_true(is_keepalive(next_at(f.now_ns + 10 * S)));
	silence_for(100 * S); /* once */
}

static void test_timer_keepalive_is_not_pushed_back_and_comes_again_for_later_data(void **state)
{
	uint64_t start_ns;

	(void)state;
	remote_connect(&f, &r);
	start_ns = f.now_ns;
	remote_sends();
	for (int i = 0; i < 4; i++) {
		fixture_advance(&f, 2 * S);
		remote_sends();
	}
	assert_true(is_keepalive(next_at(start_ns + 10 * S)));
	assert_true(is_keepalive(next_at(start_ns + 20 * S)));
	silence_for(100 * S);
}

static void test_timer_keepalive_is_not_set_by_a_keepalive(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	remote_send(&f, &r, NULL, 0);
	silence_for(100 * S);
}

static void test_timer_keepalive_is_cancelled_by_anything_sent(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	remote_sends();
	fixture_advance(&f, 9 * S);
	host_sends();
	assert_int_equal(f.n_sent, 1);
	fixture_advance(&f, 2 * S);
	remote_send(&f, &r, NULL, 0); /* answers the host's data */
	silence_for(100 * S);
}

/* ---- unanswered data ---- */

static void test_timer_new_handshake_fifteen_seconds_after_unanswered_data(void **state)
{
	uint64_t start_ns;

	(void)state;
	remote_connect(&f, &r);
	start_ns = f.now_ns;
	host_sends();
	fixture_advance(&f, 10 * S);
	host_sends(); /* does not push it back */
	assert_int_equal(f.n_sent, 2);
	silence_for(5 * S - 1);
	fixture_advance(&f, JITTER_NS);
	assert_int_equal(f.n_sent, 3);
	assert_true(is_initiation(&f.sent[2]));
	assert_true(peer()->last_handshake_sent_ns >= start_ns + 15 * S);
	assert_true(peer()->last_handshake_sent_ns < start_ns + 15 * S + JITTER_NS);
}

/* With nothing but the wiping ahead, minutes away: the packet itself must ask for its timer. */
static void test_timer_new_handshake_also_for_the_first_data_after_a_silence(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	fixture_advance(&f, 60 * S);
	host_sends();
	fixture_forget(&f);
	fixture_advance(&f, 15 * S + JITTER_NS);
	assert_int_equal(f.n_sent, 1);
	assert_true(is_initiation(&f.sent[0]));
}

static void test_timer_new_handshake_has_a_jitter(void **state)
{
	uint64_t delay_ns[6];
	bool differ = false;

	(void)state;
	for (int i = 0; i < 6; i++) {
		remote_connect(&f, &r);
		fixture_advance(&f, 6 * S);
		host_sends();
		delay_ns[i] = f.now_ns;
		while (peer()->last_handshake_sent_ns < delay_ns[i])
			fixture_advance(&f, f.next_ns - f.now_ns);
		delay_ns[i] = peer()->last_handshake_sent_ns - delay_ns[i];
		assert_in_range(delay_ns[i], 15 * S, 15 * S + JITTER_NS - 1);
		differ |= delay_ns[i] != delay_ns[0];
		fixture_advance(&f, S);
	}
	assert_true(differ);
}

static void test_timer_new_handshake_is_cancelled_by_any_authenticated_packet(void **state)
{
	struct wire_initiation msg;

	(void)state;
	remote_connect(&f, &r);
	host_sends();
	fixture_advance(&f, 14 * S);
	remote_send(&f, &r, NULL, 0);
	silence_for(30 * S);

	host_sends();
	fixture_advance(&f, 14 * S);
	remote_initiation(&f, &r, &msg);
	fixture_udp(&f, &r.endpoint, &msg, sizeof msg);
	fixture_forget(&f);
	silence_for(30 * S);
}

static void test_timer_new_handshake_is_not_cancelled_by_a_forgery(void **state)
{
	uint8_t forged[48] = {WIRE_DATA};

	(void)state;
	remote_connect(&f, &r);
	host_sends();
	fixture_advance(&f, 14 * S);
	le32_put(forged + 4, r.remote_index);
	fixture_udp(&f, &r.endpoint, forged, sizeof forged);
	assert_int_equal(fixture_drops(&f, DROP_AUTH), 1);
	fixture_advance(&f, 2 * S);
	assert_int_equal(f.n_sent, 2);
	assert_true(is_initiation(&f.sent[1]));
}

/* Packets that waited for the session are data like any other. */
static void test_timer_new_handshake_also_after_packets_that_waited(void **state)
{
	struct wire_initiation msg;
	uint64_t confirmed_ns;

	(void)state;
	remote_initiation(&f, &r, &msg);
	fixture_udp(&f, &r.endpoint, &msg, sizeof msg);
	assert_true(remote_take_response(&r, &f.sent[0]));
	host_sends(); /* waits for the confirmation */
	assert_int_equal(f.n_sent, 1);
	remote_send(&f, &r, NULL, 0);
	confirmed_ns = f.now_ns;
	assert_int_equal(f.n_sent, 2);
	fixture_advance(&f, 15 * S + JITTER_NS);
	assert_int_equal(f.n_sent, 3);
	assert_true(is_initiation(&f.sent[2]));
	assert_true(peer()->last_handshake_sent_ns >= confirmed_ns + 15 * S);
}

static void test_timer_new_handshake_also_after_waiting_packets_confirmed_our_session(void **state)
{
	struct wire_response msg;

	(void)state;
	host_sends();
	assert_true(remote_answer(&f, &r, &f.sent[0], &msg));
	fixture_udp(&f, &r.endpoint, &msg, sizeof msg);
	assert_int_equal(f.n_sent, 2);
	fixture_advance(&f, 15 * S + JITTER_NS);
	assert_int_equal(f.n_sent, 3);
	assert_true(is_initiation(&f.sent[2]));
}

/* ---- persistent keepalive ---- */

static void test_timer_persistent_keepalive_starts_at_once_with_a_handshake(void **state)
{
	struct wire_response msg;

	(void)state;
	set_keepalive(25);
	assert_int_equal(f.n_sent, 1);
	assert_true(remote_answer(&f, &r, &f.sent[0], &msg));
	fixture_udp(&f, &r.endpoint, &msg, sizeof msg);
	assert_int_equal(f.n_sent, 2);
	assert_true(is_keepalive(&f.sent[1])); /* confirms */
	assert_true(is_keepalive(next_at(f.now_ns + 25 * S)));
	assert_true(is_keepalive(next_at(f.now_ns + 25 * S)));
}

/* Also if the machine has been up for less than the interval. */
static void test_timer_persistent_keepalive_starts_at_once_after_boot(void **state)
{
	(void)state;
	f.now_ns = 3 * S;
	set_keepalive(25);
	assert_int_equal(f.n_sent, 1);
}

static void test_timer_persistent_keepalive_starts_at_once_when_the_interface_goes_up(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	set_keepalive(1000);
	fixture_advance(&f, 1);
	hub_set_up(f.hub, false, f.now_ns);
	fixture_forget(&f);
	silence_for(3000 * S);
	f.now_ns = FIXTURE_START_NS + 3001 * S;
	hub_set_up(f.hub, true, f.now_ns);
	fixture_run(&f);
	assert_int_equal(f.n_sent, 1);
	assert_true(is_initiation(&f.sent[0]));
}

static void test_timer_persistent_keepalive_restarts_with_traffic_either_way(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	set_keepalive(8);
	assert_true(is_keepalive(&f.sent[0]));
	for (int i = 0; i < 5; i++) {
		silence_for(7 * S);
		remote_send(&f, &r, NULL, 0);
	}
	silence_for(7 * S);
	host_sends();
	assert_true(is_keepalive(next_at(f.now_ns + 8 * S)));
}

static void test_timer_persistent_keepalive_switched_off_is_silent(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	set_keepalive(5);
	fixture_forget(&f);
	set_keepalive(0);
	silence_for(100 * S);
}

static void test_timer_persistent_keepalive_changed_does_not_send_at_once(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	set_keepalive(20);
	fixture_forget(&f);
	set_keepalive(30);
	assert_int_equal(f.n_sent, 0);
	assert_true(is_keepalive(next_at(f.now_ns + 30 * S)));
}

/* An initiator that sends, and be it a keepalive, renews a key older than 120 s. */
static void test_timer_persistent_keepalive_renews_the_initiator_s_key(void **state)
{
	uint64_t start_ns;

	(void)state;
	remote_connect_from_hub(&f, &r);
	start_ns = f.now_ns;
	set_keepalive(50);
	fixture_advance(&f, 119 * S);
	for (size_t i = 0; i < f.n_sent; i++)
		assert_true(is_keepalive(&f.sent[i]));
	fixture_forget(&f);
	fixture_advance(&f, 31 * S);
	assert_int_equal(f.now_ns, start_ns + 150 * S);
	assert_int_equal(f.n_sent, 2);
	assert_true(is_keepalive(&f.sent[0]));
	assert_true(is_initiation(&f.sent[1]));
}

static void test_timer_keepalive_renews_the_initiator_s_key(void **state)
{
	(void)state;
	remote_connect_from_hub(&f, &r);
	fixture_advance(&f, 115 * S);
	remote_sends();
	fixture_advance(&f, 10 * S);
	assert_int_equal(f.n_sent, 2);
	assert_true(is_keepalive(&f.sent[0]));
	assert_true(is_initiation(&f.sent[1]));
}

static void test_timer_keepalive_of_a_responder_renews_nothing(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	fixture_advance(&f, 130 * S);
	set_keepalive(20);
	fixture_advance(&f, 45 * S);
	assert_int_equal(f.n_sent, 3);
	for (size_t i = 0; i < f.n_sent; i++)
		assert_true(is_keepalive(&f.sent[i]));
}

/* ---- wiping ---- */

static void test_timer_wipe_kills_all_keys_540_s_after_the_last_session(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	fixture_advance(&f, 100 * S);
	remote_connect(&f, &r);
	fixture_advance(&f, 6 * S);
	remote_connect_from_hub(&f, &r);
	assert_non_null(peer()->previous);
	fixture_advance(&f, 540 * S - 1);
	assert_non_null(relaxed_get(&peer()->current));
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_EXPIRED), 0);
	fixture_advance(&f, 1);
	assert_null(relaxed_get(&peer()->current));
	assert_null(peer()->previous);
	assert_null(peer()->next);
	assert_int_equal(f.hub->sessions.n_live, 0);
	assert_int_equal(f.hub->keypairs.n_used, 0);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_EXPIRED), 1);
	assert_true(f.next_ns == TIME_NEVER);
}

static void test_timer_wipe_also_after_a_handshake_given_up(void **state)
{
	(void)state;
	host_sends();
	while (!fixture_count_events(&f, WGH_EVENT_HANDSHAKE_GIVEUP))
		fixture_advance(&f, S);
	fixture_advance(&f, 541 * S);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_EXPIRED), 1);
	assert_int_equal(f.hub->handshakes.n_used, 0);
}

/* ---- laziness ---- */

static void test_timer_packet_moves_nothing_in_the_heap(void **state)
{
	uint8_t message[64];
	uint64_t armed_ns;
	uint32_t n;

	(void)state;
	remote_connect(&f, &r);
	remote_sends();
	armed_ns = relaxed_get(&peer()->timer_armed_ns);
	for (int i = 0; i < 50; i++) {
		f.now_ns += S / 10;
		n = remote_seal(&r, message, NULL, 0);
		fixture_udp_only(&f, &r.endpoint, message, n);
		assert_true(relaxed_get(&peer()->timer_armed_ns) == armed_ns);
		assert_int_equal(ring_count(&f.worker->events), 0);
	}
}

/* The rule that makes it exact: whoever finds the peer's deadline more than 10 s away asks, once.
 */
static void test_timer_packet_asks_only_if_the_deadline_is_far(void **state)
{
	struct inner p = inner4(1, 254, 20);
	uint8_t message[128];
	uint32_t n;

	(void)state;
	remote_connect(&f, &r);
	fixture_advance(&f, 30 * S); /* long silent: only the wiping is still to come */
	assert_true(relaxed_get(&peer()->timer_armed_ns) > f.now_ns + 10 * S);
	n = remote_seal(&r, message, p.data, p.len_bytes);
	fixture_udp_only(&f, &r.endpoint, message, n);
	assert_int_equal(ring_count(&f.worker->events), 1);
	n = remote_seal(&r, message, p.data, p.len_bytes);
	fixture_udp_only(&f, &r.endpoint, message, n);
	assert_int_equal(ring_count(&f.worker->events), 1); /* asked already */
	fixture_run(&f);
	assert_true(relaxed_get(&peer()->timer_armed_ns) == f.now_ns + 10 * S);
	/* At 10 s sharp it is near enough: a deadline set now is found in time. */
	n = remote_seal(&r, message, p.data, p.len_bytes);
	fixture_udp_only(&f, &r.endpoint, message, n);
	assert_int_equal(ring_count(&f.worker->events), 0);
}

/* Packets both ways put off and bring back the same deadlines all the time: that is no news. */
static void test_timer_of_a_busy_peer_is_asked_for_seldom(void **state)
{
	struct inner p = inner4(1, 254, 20);
	uint8_t message[128];
	uint32_t before, n;

	(void)state;
	remote_connect(&f, &r);
	fixture_advance(&f, 30 * S);
	before = relaxed_get(&f.worker->events.n_written);
	for (int i = 0; i < 2000; i++) {
		n = remote_seal(&r, message, p.data, p.len_bytes);
		fixture_udp_only(&f, &r.endpoint, message, n);
		host_sends(); /* an answer, before the control side has a look */
		fixture_advance(&f, 2 * NS_PER_MS);
	}
	assert_in_range(relaxed_get(&f.worker->events.n_written) - before, 1, 2);
}

/* Whatever comes while the deadline is near is found by that deadline: still to the nanosecond. */
static void test_timer_set_while_another_is_near_fires_on_time(void **state)
{
	uint64_t data_ns;

	(void)state;
	remote_connect(&f, &r);
	remote_sends();
	fixture_advance(&f, 5 * S);
	host_sends(); /* cancels the keepalive; the deadline in the heap stays where it was */
	fixture_advance(&f, S);
	remote_sends();
	data_ns = f.now_ns;
	fixture_forget(&f);
	assert_true(is_keepalive(next_at(data_ns + 10 * S)));
}

/* ---- nobody there ---- */

static void test_timer_of_a_removed_peer_never_fires(void **state)
{
	struct wgh_peer_change change = {.public_key = remote_key(&r), .flags = WGH_PEER_REMOVE};

	(void)state;
	remote_connect(&f, &r);
	remote_sends();
	host_sends();
	remote_sends();
	fixture_forget(&f);
	fixture_change_peer(&f, &change);
	fixture_run(&f);
	assert_true(f.next_ns == TIME_NEVER);
	silence_for(1000 * S);
	assert_int_equal(f.n_events, 0);
}

static void test_timer_while_down_never_fires_and_keys_are_gone(void **state)
{
	(void)state;
	remote_connect(&f, &r);
	set_keepalive(7);
	remote_sends();
	fixture_forget(&f);
	hub_set_up(f.hub, false, f.now_ns);
	fixture_run(&f);
	assert_true(f.next_ns == TIME_NEVER);
	assert_int_equal(f.hub->keypairs.n_used, 0);
	assert_int_equal(f.hub->sessions.n_live, 0);
	silence_for(1000 * S);
}

/* ---- a worker and the control side at once ---- */

#define N_MEETINGS 200000u

struct meeting {
	struct peer *peer;
	_Atomic uint32_t begun, ended; /* the round's number, from 1 */
	bool asked;
};

static void *packet_arrives(void *arg)
{
	struct meeting *m = arg;

	for (uint32_t round = 1; round <= N_MEETINGS; round++) {
		while (atomic_load(&m->begun) != round)
			sched_yield();
		timers_packet_received(m->peer, true, S);
		m->asked = timers_must_ask(m->peer, S);
		atomic_store(&m->ended, round);
	}
	return NULL;
}

static void test_timer_of_a_packet_is_never_lost_beside_an_arming(void **state)
{
	struct timer_heap heap = {0};
	struct meeting m = {.peer = peer()};
	struct rng rng = {7};
	pthread_t worker;

	(void)state;
	assert_int_equal(timer_heap_reserve(&heap, 1), 0);
	timer_disarm(&f.hub->timers, m.peer);
	m.peer->wipe_at_ns = 500 * S;
	assert_int_equal(pthread_create(&worker, NULL, packet_arrives, &m), 0);
	for (uint32_t round = 1; round <= N_MEETINGS; round++) {
		relaxed_set(&m.peer->unacked_since_ns, 0);
		relaxed_set(&m.peer->timer_armed_ns, 2 * S); /* its old deadline: near enough */
		atomic_store(&m.begun, round);
		for (volatile uint64_t wait = rng_below(&rng, 200); wait; wait--)
			;
		timer_arm(&heap, m.peer);
		while (atomic_load(&m.ended) != round)
			sched_yield();
		assert_true(m.asked || relaxed_get(&m.peer->timer_armed_ns) == 11 * S);
	}
	pthread_join(worker, NULL);
	timer_disarm(&heap, m.peer);
	m.peer->wipe_at_ns = TIME_NEVER;
	timer_heap_fini(&heap);
}

/* ---- TIMER_PROBE ---- */

static unsigned n_echo_requests(void)
{
	uint8_t plain[2048];
	unsigned n = 0;

	for (size_t i = 0; remote_sent(&f, &r, i); i++)
		n += remote_open(&r, remote_sent(&f, &r, i), plain) >= 28 && plain[9] == 1 &&
			plain[15] == 250 && plain[20] == 8;
	return n;
}

/* Three at 0, 2 and 4 s; a peer that is silent about them is no silent peer: nothing is renewed. */
static void test_timer_probe_asks_three_times_in_each_session_and_wants_no_answer(void **state)
{
	struct wgh_peer_change change = {
		.public_key = remote_key(&r), .flags = WGH_PEER_HAS_NAT, .nat = WGH_NAT_AUTO};
	struct wgh_policy policy;

	(void)state;
	wgh_policy_defaults(&policy);
	policy.probe4 = (struct wgh_addr){{10, 0, 0, 250}, WGH_IPV4};
	assert_int_equal(hub_apply(f.hub,
				 &(struct wgh_change){.flags = WGH_HAS_POLICY,
					 .policy = &policy,
					 .peers = &change,
					 .n_peers = 1},
				 f.now_ns, NULL),
		0);
	remote_connect(&f, &r); /* forgets what it sent: the first */
	assert_int_equal(peer()->n_probes, 1);
	fixture_advance(&f, 2 * S - 1);
	assert_int_equal(n_echo_requests(), 0);
	fixture_advance(&f, 1);
	assert_int_equal(n_echo_requests(), 1);
	fixture_advance(&f, 2 * S);
	assert_int_equal(n_echo_requests(), 2);
	fixture_advance(&f, 60 * S);
	assert_int_equal(n_echo_requests(), 2);
	for (size_t i = 0; remote_sent(&f, &r, i); i++)
		assert_int_not_equal(f.sent[i].data[0], WIRE_INITIATION);
	assert_int_equal(peer()->probe_at_ns, 0);
	remote_connect(&f, &r);
	assert_int_equal(peer()->n_probes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_timer_probe_asks_three_times_in_each_session_and_wants_no_answer),
		TEST(test_timer_retry_sends_twenty_initiations_and_gives_up),
		TEST(test_timer_retry_counts_anew_after_fresh_traffic),
		TEST(test_timer_retry_drops_the_sticky_source),
		TEST(test_timer_retry_waits_five_seconds_after_a_response_of_ours),
		TEST(test_timer_first_initiation_waits_five_seconds_after_the_last),
		TEST(test_timer_keepalive_answers_data_after_ten_seconds),
		TEST(test_timer_keepalive_is_not_pushed_back_and_comes_again_for_later_data),
		TEST(test_timer_keepalive_is_not_set_by_a_keepalive),
		TEST(test_timer_keepalive_is_cancelled_by_anything_sent),
		TEST(test_timer_new_handshake_fifteen_seconds_after_unanswered_data),
		TEST(test_timer_new_handshake_also_for_the_first_data_after_a_silence),
		TEST(test_timer_new_handshake_has_a_jitter),
		TEST(test_timer_new_handshake_is_cancelled_by_any_authenticated_packet),
		TEST(test_timer_new_handshake_is_not_cancelled_by_a_forgery),
		TEST(test_timer_new_handshake_also_after_packets_that_waited),
		TEST(test_timer_new_handshake_also_after_waiting_packets_confirmed_our_session),
		TEST(test_timer_persistent_keepalive_starts_at_once_with_a_handshake),
		TEST(test_timer_persistent_keepalive_starts_at_once_after_boot),
		TEST(test_timer_persistent_keepalive_starts_at_once_when_the_interface_goes_up),
		TEST(test_timer_persistent_keepalive_restarts_with_traffic_either_way),
		TEST(test_timer_persistent_keepalive_switched_off_is_silent),
		TEST(test_timer_persistent_keepalive_changed_does_not_send_at_once),
		TEST(test_timer_persistent_keepalive_renews_the_initiator_s_key),
		TEST(test_timer_keepalive_renews_the_initiator_s_key),
		TEST(test_timer_keepalive_of_a_responder_renews_nothing),
		TEST(test_timer_wipe_kills_all_keys_540_s_after_the_last_session),
		TEST(test_timer_wipe_also_after_a_handshake_given_up),
		TEST(test_timer_packet_moves_nothing_in_the_heap),
		TEST(test_timer_packet_asks_only_if_the_deadline_is_far),
		TEST(test_timer_of_a_busy_peer_is_asked_for_seldom),
		TEST(test_timer_set_while_another_is_near_fires_on_time),
		TEST(test_timer_of_a_removed_peer_never_fires),
		TEST(test_timer_of_a_packet_is_never_lost_beside_an_arming),
		TEST(test_timer_while_down_never_fires_and_keys_are_gone),
	};

	return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
