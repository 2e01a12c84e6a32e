/* The hub of wghub.h, as an embedder uses it: packets through it, time, events, numbers, memory,
 * and what it refuses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/drop.h"
#include "core/limits.h"
#include "tests/lib/net.h"

static struct net net;

static int setup(void **state)
{
	(void)state;
	net_init(&net);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_fini(&net);
	return 0;
}

static void star(struct wgh_hub_options of_hub)
{
	net_hub_new(&net, 0, of_hub);
	for (unsigned i = 1; i < NET_NODES; i++)
		net_hub_new(&net, i, (struct wgh_hub_options){0});
	net_star(&net);
}

static struct wgh_stats stats_of(unsigned node)
{
	struct wgh_stats stats = {.size = sizeof stats};

	assert_int_equal(wgh_hub_stats(net.nodes[node].hub, &stats), 0);
	return stats;
}

static uint64_t drops_of(unsigned node, enum drop reason)
{
	uint64_t drops[DROP_N];
	struct wgh_stats stats = {.size = sizeof stats, .drops = drops, .n_drops = DROP_N};

	assert_int_equal(wgh_hub_stats(net.nodes[node].hub, &stats), 0);
	return drops[reason];
}

static size_t count_events(unsigned node, enum wgh_event_kind kind)
{
	struct wgh_event events[64];
	size_t n = wgh_hub_events(net.nodes[node].hub, events, 64, net.now_ns), found = 0;

	for (size_t i = 0; i < n; i++)
		found += events[i].kind == kind;
	return found;
}

/* ---- packets and time ---- */

static void test_embed_hub_forwards_between_two_peers(void **state)
{
	(void)state;
	star((struct wgh_hub_options){0});
	net_give(&net, 1, 2, 100, 10);
	net_run(&net);
	net_give(&net, 2, 1, 1420, 10);
	net_run(&net);
	assert_int_equal(net.nodes[2].n_delivered, 10);
	assert_int_equal(net.nodes[1].n_delivered, 10);
	assert_int_equal(stats_of(0).n_forwarded, 20);
	assert_int_equal(stats_of(0).n_peers, 2);
	assert_int_equal(stats_of(1).n_tun_in, 10);
	assert_int_equal(stats_of(2).n_tun_out, 10);
	assert_int_equal(count_events(0, WGH_EVENT_HANDSHAKE), 2);
}

static void test_embed_packets_in_a_session_take_no_memory(void **state)
{
	struct wgh_stats before;

	(void)state;
	star((struct wgh_hub_options){0});
	net_give(&net, 1, 2, 100, 1);
	net_run(&net);
	before = stats_of(0);
	for (int i = 0; i < 100; i++) {
		net_give(&net, 1, 2, 1000, 20);
		net_run(&net);
	}
	assert_int_equal(net.nodes[2].n_delivered, 2001);
	assert_int_equal(stats_of(0).memory_bytes, before.memory_bytes);
	assert_int_equal(stats_of(0).memory_peak_bytes, before.memory_peak_bytes);
}

static void test_embed_sessions_are_renewed_by_the_deadline_alone(void **state)
{
	(void)state;
	star((struct wgh_hub_options){0});
	for (int i = 0; i < 60; i++) {
		net_give(&net, 1, 2, 100, 1);
		net_advance(&net, 10 * NET_SECOND);
	}
	assert_int_equal(net.nodes[2].n_delivered, 60);
	assert_true(count_events(1, WGH_EVENT_HANDSHAKE) >= 5);
	net_advance(&net, 600 * NET_SECOND);
	assert_int_equal(count_events(1, WGH_EVENT_EXPIRED), 1);
	assert_true(wgh_hub_next_deadline(net.nodes[1].hub) == WGH_NEVER);
}

static void test_embed_ping_is_answered_where_nothing_is_delivered(void **state)
{
	const struct wgh_prefix own = {.addr = net.nodes[0].inner, .bits = 24};

	(void)state;
	star((struct wgh_hub_options){.addresses = &own, .n_addresses = 1});
	net_give(&net, 1, 0, 100, 3); /* UDP to the hub itself: refused */
	net_run(&net);
	assert_int_equal(net.nodes[0].n_delivered, 0);
	assert_int_equal(drops_of(0, DROP_NO_HOST), 3);
	assert_int_equal(net.nodes[1].n_delivered, 3); /* port unreachable */
}

static void test_embed_hub_that_is_down_is_silent(void **state)
{
	(void)state;
	star((struct wgh_hub_options){0});
	wgh_hub_set_up(net.nodes[0].hub, false, net.now_ns);
	net_give(&net, 1, 2, 100, 1);
	net_run(&net);
	assert_int_equal(net.nodes[0].n_sent, 0);
	wgh_hub_set_up(net.nodes[0].hub, true, net.now_ns);
	net_advance(&net, 10 * NET_SECOND); /* ann tries again */
	assert_int_equal(net.nodes[2].n_delivered, 1);
}

/* Several hundred peers that are due at the same time: more than one tick can say. */
static void test_embed_tick_says_a_part_at_a_time_and_loses_nothing(void **state)
{
	enum { N = 1500 };
	struct wgh_peer_change *peers = calloc(N, sizeof *peers);
	struct wgh_change change = {.peers = peers, .n_peers = N};
	struct wgh_hub *hub;
	struct wgh_output output;
	unsigned n_ticks = 0, n_sent = 0;

	(void)state;
	assert_non_null(peers);
	net_hub_new(&net, 0, (struct wgh_hub_options){0});
	hub = net.nodes[0].hub;
	net_peer(&net, 0, 1, 32); /* sets the key */
	for (unsigned i = 0; i < N; i++) {
		uint8_t private_key[WGH_KEY_BYTES];

		assert_int_equal(wgh_key_new(private_key), 0);
		assert_true(wgh_key_public(&peers[i].public_key, private_key));
		peers[i].flags = WGH_PEER_HAS_ENDPOINT | WGH_PEER_HAS_KEEPALIVE;
		peers[i].endpoint = net.nodes[1].outer;
		peers[i].endpoint.port = (uint16_t)(1000 + i);
		peers[i].keepalive_s = 25;
	}
	assert_int_equal(wgh_hub_apply(hub, &change, net.now_ns, NULL), 0);
	while (wgh_hub_next_deadline(hub) <= net.now_ns) {
		wgh_hub_tick(hub, net.now_ns, 1, &output);
		for (size_t i = 0; i < output.n_bursts; i++) {
			assert_int_equal(output.bursts[i].packets[0].len_bytes, 148);
			assert_int_equal(output.bursts[i].packets[0].dscp, 34);
			n_sent += output.bursts[i].n_packets;
		}
		n_ticks++;
	}
	assert_int_equal(n_sent, N);
	assert_in_range(n_ticks, 3, 50);
	assert_int_equal(drops_of(0, DROP_SEND), 0);
	free(peers);
}

/* A full queue of packets of the largest size leaves in order once there is a session. */
static void test_embed_packets_that_waited_all_leave(void **state)
{
	(void)state;
	star((struct wgh_hub_options){0});
	net.lost = true;
	for (int i = 0; i < STAGED_PACKETS_PER_PEER / 32; i++) {
		net_give(&net, 0, 1, 1420, 32);
		net_give(&net, 0, 2, 1420, 32);
		net_run(&net);
	}
	net.lost = false;
	net_advance(&net, 10 * NET_SECOND);
	assert_int_equal(net.nodes[1].n_delivered, STAGED_PACKETS_PER_PEER);
	assert_int_equal(net.nodes[2].n_delivered, STAGED_PACKETS_PER_PEER);
	assert_int_equal(drops_of(0, DROP_SEND), 0);
}

static void test_embed_more_packets_than_a_batch_are_refused(void **state)
{
	static struct wgh_packet packets[WGH_BATCH_PACKETS + 1];
	static struct wgh_burst bursts[WGH_BATCH_PACKETS + 1];
	struct wgh_output output;
	struct wgh_hub *hub;
	uint8_t byte = 0;

	(void)state;
	net_hub_new(&net, 0, (struct wgh_hub_options){0});
	hub = net.nodes[0].hub;
	for (unsigned i = 0; i <= WGH_BATCH_PACKETS; i++) {
		packets[i] = (struct wgh_packet){.data = &byte, .len_bytes = 1};
		bursts[i].packets = packets;
	}
	bursts[0].n_packets = WGH_BATCH_PACKETS;
	bursts[1].n_packets = 1;
	assert_int_equal(wgh_hub_input_udp(hub, bursts, 2, 1, &output), -E2BIG);
	assert_int_equal(output.n_bursts + output.n_packets, 0);
	bursts[0].n_packets = UINT32_MAX;
	assert_int_equal(wgh_hub_input_udp(hub, bursts, 2, 1, &output), -E2BIG);
	bursts[0].n_packets = 0;
	assert_int_equal(wgh_hub_input_udp(hub, bursts, WGH_BATCH_PACKETS + 1, 1, &output), -E2BIG);
	assert_int_equal(
		wgh_hub_input_tun(hub, packets, WGH_BATCH_PACKETS + 1, 1, &output), -E2BIG);
	bursts[0].n_packets = WGH_BATCH_PACKETS;
	assert_int_equal(wgh_hub_input_udp(hub, bursts, 1, 1, &output), 0);
	assert_int_equal(drops_of(0, DROP_SHORT), WGH_BATCH_PACKETS);
}

/* ---- the filter ---- */

struct seen {
	unsigned n_calls, n_packets;
	struct wgh_filter_packet last;
	uint8_t first_byte;
	bool drop;
};

static void filter(void *arg, struct wgh_filter_packet *packets, size_t n)
{
	struct seen *seen = arg;

	seen->n_calls++;
	seen->n_packets += (unsigned)n;
	seen->last = packets[n - 1];
	seen->first_byte = packets[n - 1].packet[0];
	for (size_t i = 0; i < n; i++)
		packets[i].drop = seen->drop;
}

static void test_embed_filter_sees_both_ends_and_drops(void **state)
{
	struct seen seen = {0};

	(void)state;
	star((struct wgh_hub_options){.filter = filter, .filter_arg = &seen});
	net_give(&net, 1, 2, 100, 2);
	net_run(&net);
	assert_int_equal(seen.n_packets, 2);
	assert_memory_equal(seen.last.from, &net.nodes[1].public_key, 32);
	assert_memory_equal(seen.last.to, &net.nodes[2].public_key, 32);
	assert_int_equal(seen.last.from_tag, 101);
	assert_int_equal(seen.last.to_tag, 102);
	assert_int_equal(seen.last.len_bytes, 100);
	assert_int_equal(seen.first_byte, 0x45);
	assert_int_equal(net.nodes[2].n_delivered, 2);
	seen.drop = true;
	net_give(&net, 1, 2, 100, 3);
	net_run(&net);
	assert_int_equal(net.nodes[2].n_delivered, 2);
	assert_int_equal(drops_of(0, DROP_FILTER), 3);
}

static void test_embed_filter_sees_the_host_as_no_peer(void **state)
{
	struct seen seen = {0};

	(void)state;
	star((struct wgh_hub_options){.filter = filter, .filter_arg = &seen});
	net_give(&net, 1, 0, 100, 1);
	net_run(&net);
	assert_int_equal(seen.n_packets, 1);
	assert_null(seen.last.to);
	assert_int_equal(net.nodes[0].n_delivered, 1);
	net_give(&net, 0, 1, 100, 1);
	net_run(&net);
	assert_null(seen.last.from);
	assert_int_equal(seen.last.from_tag, 0);
	assert_memory_equal(seen.last.to, &net.nodes[1].public_key, 32);
	assert_int_equal(net.nodes[1].n_delivered, 1);
}

static void test_embed_filter_is_asked_once_for_a_batch(void **state)
{
	struct wgh_packet packets[64];
	struct net_datagram *d;
	struct wgh_burst burst;
	struct wgh_output output;
	struct seen seen = {0};
	uint32_t n = 0;

	(void)state;
	star((struct wgh_hub_options){.filter = filter, .filter_arg = &seen});
	net_give(&net, 1, 2, 100, 1);
	net_run(&net);
	seen = (struct seen){0};
	net_give(&net, 1, 2, 100, 64);
	for (d = net.first; d; d = d->next)
		packets[n++] = (struct wgh_packet){.data = d->bytes, .len_bytes = d->len_bytes};
	burst = (struct wgh_burst){net.nodes[1].outer, packets, n};
	assert_int_equal(wgh_hub_input_udp(net.nodes[0].hub, &burst, 1, net.now_ns, &output), 0);
	assert_int_equal(seen.n_calls, 1);
	assert_int_equal(seen.n_packets, 64);
	assert_int_equal(output.n_bursts, 1);
	assert_int_equal(output.bursts[0].n_packets, 64);
}

/* ---- events and numbers ---- */

static void test_embed_events_beyond_the_ring_are_counted_as_lost(void **state)
{
	struct wgh_event events[8];

	(void)state;
	star((struct wgh_hub_options){.n_events = 1});
	net_give(&net, 1, 2, 100, 1);
	net_run(&net);
	assert_true(stats_of(0).n_events_lost > 0);
	assert_int_equal(wgh_hub_events(net.nodes[0].hub, events, 8, net.now_ns), 1);
	assert_int_equal(wgh_hub_events(net.nodes[0].hub, events, 8, net.now_ns), 0);
}

static void test_embed_drops_are_told_once_by_reason(void **state)
{
	struct wgh_event events[8];
	struct wgh_hub *hub;

	(void)state;
	star((struct wgh_hub_options){0});
	hub = net.nodes[0].hub;
	net_give(&net, 1, 2, 100, 1);
	net_run(&net);
	while (wgh_hub_events(hub, events, 8, net.now_ns))
		;
	net.nodes[1].inner.bytes[3] = 77; /* not ann's */
	net_give(&net, 1, 2, 100, 5);
	net_run(&net);
	assert_int_equal(wgh_hub_events(hub, events, 8, 42), 1);
	assert_int_equal(events[0].kind, WGH_EVENT_DROPS);
	assert_int_equal(events[0].drop_reason, DROP_SOURCE);
	assert_int_equal(events[0].n_drops, 5);
	assert_int_equal(events[0].now_ns, 42);
	assert_int_equal(wgh_hub_events(hub, events, 8, 43), 0);
}

static void test_embed_stats_go_with_every_size_a_header_may_have(void **state)
{
	struct {
		struct wgh_stats stats;
		uint64_t later[2];
	} newer;
	struct wgh_stats older = {.size = offsetof(struct wgh_stats, n_udp_in), .n_udp_in = 7};

	(void)state;
	star((struct wgh_hub_options){0});
	memset(&newer, 0xff, sizeof newer);
	newer.stats = (struct wgh_stats){.size = sizeof newer};
	assert_int_equal(wgh_hub_stats(net.nodes[0].hub, &newer.stats), 0);
	assert_int_equal(newer.stats.n_peers, 2);
	assert_int_equal(newer.stats.size, sizeof newer);
	assert_int_equal(newer.later[0] | newer.later[1], 0);
	assert_int_equal(wgh_hub_stats(net.nodes[0].hub, &older), 0);
	assert_int_equal(older.n_peers, 2);
	assert_int_equal(older.n_udp_in, 7); /* beyond what it has */
	older.size = 4;
	assert_int_equal(wgh_hub_stats(net.nodes[0].hub, &older), -EINVAL);
}

/* ---- memory ---- */

static int add_random_peer(struct wgh_hub *hub, struct wgh_error *error)
{
	struct wgh_peer_change peer = {.flags = WGH_PEER_HAS_KEEPALIVE};
	const struct wgh_change change = {.peers = &peer, .n_peers = 1};
	uint8_t private_key[WGH_KEY_BYTES];

	assert_int_equal(wgh_key_new(private_key), 0);
	assert_true(wgh_key_public(&peer.public_key, private_key));
	return wgh_hub_apply(hub, &change, 1, error);
}

static void test_embed_memory_budget_is_never_exceeded(void **state)
{
	struct wgh_error error = {{0}};
	struct wgh_snapshot *snapshot;
	unsigned n_added = 2;
	struct wgh_stats stats;
	int err = 0;

	(void)state;
	star((struct wgh_hub_options){.memory_bytes = 4u << 20});
	for (; n_added < 100000 && !err; n_added += !err) {
		err = add_random_peer(net.nodes[0].hub, &error);
		assert_true(stats_of(0).memory_peak_bytes <= 4u << 20);
	}
	assert_int_equal(err, -ENOMEM);
	assert_non_null(strstr(error.text, "memory"));
	stats = stats_of(0);
	assert_true(stats.n_memory_refused > 0);
	assert_int_equal(stats.memory_limit_bytes, 4u << 20);
	assert_int_equal(stats.n_peers, n_added);
	assert_true(n_added > 500);
	assert_int_equal(wgh_hub_snapshot(net.nodes[0].hub, &snapshot), 0);
	assert_int_equal(snapshot->n_peers, n_added); /* nothing that was there is lost */
	wgh_snapshot_free(snapshot);
}

static void test_embed_hub_at_its_budget_still_forwards(void **state)
{
	(void)state;
	star((struct wgh_hub_options){.memory_bytes = 4u << 20});
	net_give(&net, 1, 2, 100, 1);
	net_run(&net);
	while (!add_random_peer(net.nodes[0].hub, NULL))
		;
	net_give(&net, 1, 2, 100, 10);
	net_run(&net);
	assert_int_equal(net.nodes[2].n_delivered, 11);
}

static void test_embed_budget_too_small_for_a_hub_says_so(void **state)
{
	struct wgh_hub_options options = {.size = sizeof options, .memory_bytes = 100000};
	struct wgh_error error = {{0}};
	struct wgh_hub *hub = NULL;

	(void)state;
	assert_int_equal(wgh_hub_new(&hub, &options, &error), -ENOMEM);
	assert_non_null(strstr(error.text, "memory_bytes"));
	assert_null(hub);
	options.memory_bytes = 3u << 20; /* what the header says, and a little */
	assert_int_equal(wgh_hub_new(&hub, &options, &error), 0);
	wgh_hub_free(hub);
}

/* ---- options, keys, words ---- */

static void test_embed_options_of_another_version_are_taken_or_refused(void **state)
{
	struct {
		struct wgh_hub_options options;
		uint64_t later;
	} newer = {.options = {.size = sizeof newer}};
	const struct wgh_prefix none = {.bits = 24};
	struct wgh_hub *hub = NULL;
	struct wgh_error error = {0};

	(void)state;
	assert_int_equal(wgh_hub_new(&hub, &newer.options, NULL), 0);
	wgh_hub_free(hub);
	newer.later = 1; /* something this version does not know */
	assert_int_equal(wgh_hub_new(&hub, &newer.options, NULL), -EINVAL);
	newer.options.size = 0;
	assert_int_equal(wgh_hub_new(&hub, &newer.options, NULL), -EINVAL);
	newer.options.size = sizeof newer.options;
	newer.options.mtu_bytes = 100;
	assert_int_equal(wgh_hub_new(&hub, &newer.options, NULL), -EINVAL);
	newer.options.mtu_bytes = 0;
	newer.options.n_addresses = 1;
	assert_int_equal(wgh_hub_new(&hub, &newer.options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "addresses: NULL"));
	newer.options.addresses = &none;
	assert_int_equal(wgh_hub_new(&hub, &newer.options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "family"));
	newer.options.n_addresses = 0;
	newer.options.aead = "rot13";
	hub = (struct wgh_hub
			*)&newer; /* as a caller leaves it; freeing what comes back is right */
	assert_int_equal(wgh_hub_new(&hub, &newer.options, NULL), -ENOENT);
	assert_null(hub);
}

static void test_embed_ports_and_marks_are_not_a_hub_s(void **state)
{
	const struct wgh_change change = {.flags = WGH_HAS_LISTEN_PORT, .listen_port = 51820};

	(void)state;
	net_hub_new(&net, 0, (struct wgh_hub_options){0});
	assert_int_equal(wgh_hub_apply(net.nodes[0].hub, &change, 1, NULL), -EINVAL);
	assert_int_equal(wgh_hub_check(net.nodes[0].hub, &change, NULL, 0, NULL), -EINVAL);
}

static void fill_with_one(void *arg, void *out, size_t len_bytes)
{
	size_t *n = arg;

	memset(out, 1 + (int)(++*n % 200), len_bytes);
}

static void test_embed_randomness_is_the_caller_s_where_it_gives_some(void **state)
{
	size_t n = 0;

	(void)state;
	net_hub_new(&net, 1, (struct wgh_hub_options){.random = fill_with_one, .random_arg = &n});
	net_peer(&net, 1, 0, 32);
	assert_true(n > 0);
	n = 0;
	net_give(&net, 1, 0, 100, 1);
	net_run(&net);
	assert_true(n >= 2); /* an index, and an ephemeral key */
	assert_true(net.nodes[1].n_sent > 0);
}

/* RFC 7748, section 6.1: Alice's key pair. */
static void test_embed_keys_are_those_of_the_rfc_and_their_text_of_wg(void **state)
{
	static const uint8_t alice[32] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c,
		0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99,
		0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
	static const uint8_t zero[32] = {0};
	struct wgh_public_key public_key;
	char text[WGH_KEY_TEXT_BYTES];
	uint8_t back[32];

	(void)state;
	assert_true(wgh_key_public(&public_key, alice));
	wgh_key_to_text(text, public_key.bytes);
	assert_string_equal(text, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
	assert_true(wgh_key_from_text(back, text));
	assert_memory_equal(back, public_key.bytes, 32);
	assert_false(wgh_key_from_text(back, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo"));
	assert_false(wgh_key_public(&public_key, zero));
}

static void test_embed_errors_have_words_and_drops_names(void **state)
{
	static const int ERRORS[] = {EINVAL, E2BIG, ENOMEM, EEXIST, ENOENT, EIO, EPERM, EACCES,
		EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EBUSY, ENODEV, ENXIO, EMFILE, ENFILE,
		ENOBUFS};
	const char *other = wgh_strerror(-9999);

	(void)state;
	for (size_t i = 0; i < sizeof ERRORS / sizeof ERRORS[0]; i++) {
		assert_string_equal(wgh_strerror(-ERRORS[i]), wgh_strerror(ERRORS[i]));
		assert_string_not_equal(wgh_strerror(-ERRORS[i]), other);
	}
	assert_string_equal(wgh_drop_reason(0)->name, "none");
	assert_non_null(wgh_drop_reason(wgh_n_drop_reasons() - 1));
	assert_null(wgh_drop_reason(wgh_n_drop_reasons()));
	assert_true(strlen(wgh_version()) >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_embed_hub_forwards_between_two_peers),
		TEST(test_embed_packets_in_a_session_take_no_memory),
		TEST(test_embed_sessions_are_renewed_by_the_deadline_alone),
		TEST(test_embed_ping_is_answered_where_nothing_is_delivered),
		TEST(test_embed_hub_that_is_down_is_silent),
		TEST(test_embed_tick_says_a_part_at_a_time_and_loses_nothing),
		TEST(test_embed_packets_that_waited_all_leave),
		TEST(test_embed_more_packets_than_a_batch_are_refused),
		TEST(test_embed_filter_sees_both_ends_and_drops),
		TEST(test_embed_filter_sees_the_host_as_no_peer),
		TEST(test_embed_filter_is_asked_once_for_a_batch),
		TEST(test_embed_events_beyond_the_ring_are_counted_as_lost),
		TEST(test_embed_drops_are_told_once_by_reason),
		TEST(test_embed_stats_go_with_every_size_a_header_may_have),
		TEST(test_embed_memory_budget_is_never_exceeded),
		TEST(test_embed_hub_at_its_budget_still_forwards),
		TEST(test_embed_budget_too_small_for_a_hub_says_so),
		TEST(test_embed_options_of_another_version_are_taken_or_refused),
		TEST(test_embed_ports_and_marks_are_not_a_hub_s),
		TEST(test_embed_randomness_is_the_caller_s_where_it_gives_some),
		TEST(test_embed_keys_are_those_of_the_rfc_and_their_text_of_wg),
		TEST(test_embed_errors_have_words_and_drops_names),
	};

	return cmocka_run_group_tests_name("embed", tests, NULL, NULL);
}
