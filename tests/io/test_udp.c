/* test_udp.c - the outer sockets over loopback: every combination of offloads, and every way a send
 * fails. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/limits.h"
#include "io/udp.h"
#include "tests/lib/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PACKETS_MAX = 2048, ARENA_BYTES = 4 << 20 };

/* Two sockets on loopback, and room for what one sends and the other gets. */
struct pair {
	struct udp_socket from, to;
	struct wgh_endpoint to_endpoint;
	struct udp_tx *tx;
	struct udp_rx *rx;
	uint8_t *arena; /* packets to send */
	size_t arena_used;
	struct wgh_packet sent[PACKETS_MAX];
	size_t n_sent;
	uint8_t *got_arena;
	size_t got_used;
	struct wgh_packet got[PACKETS_MAX];
	struct wgh_endpoint got_from[PACKETS_MAX];
	size_t n_got, n_bursts, n_calls, n_largest_call;
	uint32_t n_truncated;
};

static struct wgh_endpoint loopback(enum wgh_family family, uint16_t port)
{
	struct wgh_endpoint e = {.family = family, .port = port};

	if (family == WGH_IPV4)
		memcpy(e.addr, (uint8_t[]){127, 0, 0, 1}, 4);
	else
		e.addr[15] = 1;
	return e;
}

static struct pair *pair_new(enum wgh_family family, bool gso, bool gro)
{
	struct pair *p = calloc(1, sizeof *p);
	uint16_t port;

	assert_non_null(p);
	assert_int_equal(udp_open(&p->from, family,
				 &(struct udp_options){.no_gso = !gso, .no_gro = !gro}, &port),
		0);
	assert_int_equal(udp_open(&p->to, family,
				 &(struct udp_options){.no_gso = !gso, .no_gro = !gro}, &port),
		0);
	p->to_endpoint = loopback(family, port);
	p->tx = udp_tx_new();
	p->rx = udp_rx_new();
	p->arena = malloc(ARENA_BYTES);
	p->got_arena = malloc(ARENA_BYTES);
	assert_true(p->tx && p->rx && p->arena && p->got_arena);
	return p;
}

static void pair_free(struct pair *p)
{
	udp_close(&p->from);
	udp_close(&p->to);
	udp_tx_free(p->tx);
	udp_rx_free(p->rx);
	free(p->arena);
	free(p->got_arena);
	free(p);
}

static void pair_forget(struct pair *p)
{
	p->n_sent = p->arena_used = 0;
	p->n_got = p->got_used = p->n_bursts = p->n_calls = p->n_largest_call = 0;
	p->n_truncated = 0;
}

/* gap: bytes left free after the packet before. */
static void packet_add(struct pair *p, uint32_t len, uint8_t ecn, uint32_t gap)
{
	uint8_t *data = p->arena + p->arena_used + gap;

	assert_true(p->n_sent < PACKETS_MAX && p->arena_used + gap + len <= ARENA_BYTES);
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(p->n_sent * 31 + i * 7 + (i >> 8));
	p->sent[p->n_sent++] = (struct wgh_packet){.data = data, .len_bytes = len, .ecn = ecn};
	p->arena_used += gap + len;
}

static struct udp_sent burst_send(struct pair *p, const struct wgh_endpoint *to)
{
	struct wgh_burst burst = {
		.endpoint = *to, .packets = p->sent, .n_packets = (uint32_t)p->n_sent};
	struct udp_sent sent = {0};

	udp_send(&p->from, p->tx, &burst, 1, &sent);
	return sent;
}

/* One udp_receive, copied. */
static bool receive_some(struct pair *p)
{
	struct udp_received r;
	size_t n = 0;

	assert_int_equal(udp_receive(&p->to, p->rx, &r), 0);
	for (size_t b = 0; b < r.n_bursts; b++) {
		assert_true(r.bursts[b].n_packets > 0);
		for (uint32_t k = 0; k < r.bursts[b].n_packets; k++) {
			const struct wgh_packet *got = &r.bursts[b].packets[k];

			assert_true(p->n_got < PACKETS_MAX);
			assert_true(p->got_used + got->len_bytes <= ARENA_BYTES);
			p->got[p->n_got] = *got;
			p->got[p->n_got].data = p->got_arena + p->got_used;
			p->got_from[p->n_got] = r.bursts[b].endpoint;
			memcpy(p->got[p->n_got++].data, got->data, got->len_bytes);
			p->got_used += got->len_bytes;
			n++;
		}
	}
	p->n_bursts += r.n_bursts;
	p->n_truncated += r.n_truncated;
	p->n_calls++;
	p->n_largest_call = n > p->n_largest_call ? n : p->n_largest_call;
	return r.more;
}

/* Receives until n packets are there or nothing comes for a minute. */
static void receive_n(struct pair *p, size_t n)
{
	bool more = false;

	while (p->n_got < n) {
		struct pollfd pfd = {.fd = p->to.fd, .events = POLLIN};

		if (!more && poll(&pfd, 1, 60000) <= 0)
			break;
		more = receive_some(p);
	}
	assert_int_equal(p->n_got, n);
}

static void assert_got_what_was_sent(const struct pair *p)
{
	assert_int_equal(p->n_got, p->n_sent);
	for (size_t i = 0; i < p->n_sent; i++) {
		assert_int_equal(p->got[i].len_bytes, p->sent[i].len_bytes);
		assert_int_equal(p->got[i].ecn, p->sent[i].ecn);
		assert_memory_equal(p->got[i].data, p->sent[i].data, p->sent[i].len_bytes);
	}
}

static bool ipv6_works(void)
{
	struct udp_socket s;
	uint16_t port;
	int err = udp_open(&s, WGH_IPV6, &(struct udp_options){0}, &port);

	if (err) {
		assert_int_equal(err, -EAFNOSUPPORT);
		return false;
	}
	udp_close(&s);
	return true;
}

/* ---- what arrives ---- */

static void check_all_sizes(enum wgh_family family, bool gso, bool gro)
{
	static const uint32_t sizes[] = {1, 16, 148, 1420, 1452, 9000, 32000, 65487};
	static const unsigned counts[] = {1, 2, 3, 63, 64, 65, 130, 512};
	struct pair *p = pair_new(family, gso, gro);

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
			/* Within the receive buffer. */
			if (sizes[s] * counts[c] > 1 << 20)
				continue;
			for (unsigned gap = 0; gap <= 16; gap += 16) {
				pair_forget(p);
				for (unsigned k = 0; k < counts[c]; k++)
					packet_add(p, sizes[s], 0, gap);
				struct udp_sent sent = burst_send(p, &p->to_endpoint);
				assert_int_equal(sent.n_packets, counts[c]);
				assert_int_equal(sent.n_bytes, (uint64_t)sizes[s] * counts[c]);
				assert_int_equal(sent.n_failed, 0);
				assert_false(sent.gso_lost || sent.source_lost);
				receive_n(p, counts[c]);
				assert_got_what_was_sent(p);
				assert_int_equal(p->got_from[0].family, family);
			}
		}
	}
	pair_free(p);
}

static void test_bursts_arrive_whole_and_in_order_with_offloads(void **state)
{
	(void)state;
	check_all_sizes(WGH_IPV4, true, true);
}

static void test_bursts_arrive_whole_and_in_order_without_gso(void **state)
{
	(void)state;
	check_all_sizes(WGH_IPV4, false, true);
}

static void test_bursts_arrive_whole_and_in_order_without_gro(void **state)
{
	(void)state;
	check_all_sizes(WGH_IPV4, true, false);
}

static void test_bursts_arrive_whole_and_in_order_without_offloads(void **state)
{
	(void)state;
	check_all_sizes(WGH_IPV4, false, false);
}

static void test_bursts_arrive_whole_and_in_order_over_ipv6(void **state)
{
	(void)state;
	if (!ipv6_works())
		return;
	check_all_sizes(WGH_IPV6, true, true);
	check_all_sizes(WGH_IPV6, false, false);
}

static void test_sizes_that_go_up_and_down_arrive_in_order(void **state)
{
	(void)state;
	for (unsigned offloads = 0; offloads < 2; offloads++) {
		struct pair *p = pair_new(WGH_IPV4, offloads, offloads);
		uint32_t seed = 7;

		for (unsigned round = 0; round < 50; round++) {
			pair_forget(p);
			for (unsigned k = 0; k < 200; k++) {
				/* Long runs, a short last one, longer ones after it, empty ones. */
				static const uint32_t sizes[] = {
					300, 300, 300, 300, 300, 100, 0, 600};

				seed = seed * 1103515245 + 12345;
				packet_add(p, sizes[seed >> 16 & 7], 0, seed >> 20 & 1);
			}
			struct udp_sent sent = burst_send(p, &p->to_endpoint);
			assert_int_equal(sent.n_packets, 200);
			receive_n(p, 200);
			assert_got_what_was_sent(p);
		}
		pair_free(p);
	}
}

static void test_short_last_packet_stays_in_the_segmented_send(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	uint8_t *big = malloc(1 << 16);

	(void)state;
	for (unsigned k = 0; k < 9; k++)
		packet_add(p, 100, 0, 0);
	packet_add(p, 33, 0, 0);
	burst_send(p, &p->to_endpoint);
	/* A plain recv from the GRO socket sees the coalesced message. */
	assert_int_equal(recv(p->to.fd, big, 1 << 16, 0), 933);
	assert_int_equal(recv(p->to.fd, big, 1 << 16, MSG_DONTWAIT), -1);
	free(big);
	pair_free(p);
}

static void test_segmented_send_is_cut_off_below_64_kib(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	uint8_t *big = malloc(1 << 16);

	(void)state;
	for (unsigned k = 0; k < 50; k++)
		packet_add(p, 1452, 0, 0);
	burst_send(p, &p->to_endpoint);
	assert_int_equal(recv(p->to.fd, big, 1 << 16, 0), 45 * 1452);
	assert_int_equal(recv(p->to.fd, big, 1 << 16, 0), 5 * 1452);
	free(big);
	pair_free(p);
}

static void test_outer_packets_may_be_fragmented(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	int value = -1;
	socklen_t len = sizeof value;

	(void)state;
	assert_int_equal(getsockopt(p->from.fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, &len), 0);
	assert_int_equal(value, IP_PMTUDISC_DONT);
	pair_free(p);
}

static void test_without_gso_each_packet_is_a_message(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, false, true);
	uint8_t big[2048];

	(void)state;
	for (unsigned k = 0; k < 3; k++)
		packet_add(p, 100, 0, 0);
	burst_send(p, &p->to_endpoint);
	for (unsigned k = 0; k < 3; k++)
		assert_int_equal(recv(p->to.fd, big, sizeof big, 0), 100);
	pair_free(p);
}

static void test_what_waits_in_the_system_is_told_with_what_found_no_room(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, false, false);
	uint64_t bytes = 0, max_bytes = 0, n_lost = 0;
	int small = 4096;
	socklen_t len = sizeof small;

	(void)state;
	assert_int_equal(setsockopt(p->to.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
	assert_int_equal(getsockopt(p->to.fd, SOL_SOCKET, SO_RCVBUF, &small, &len), 0);
	udp_add_queue(&p->to, &bytes, &max_bytes, &n_lost);
	assert_int_equal(bytes, 0);
	assert_int_equal(n_lost, 0);
	assert_int_equal(max_bytes, small);
	for (unsigned k = 0; k < 150; k++)
		packet_add(p, 500, 0, 0);
	burst_send(p, &p->to_endpoint);
	udp_add_queue(&p->to, &bytes, &max_bytes, &n_lost);
	assert_true(bytes >= 500);
	assert_int_equal(max_bytes, 2 * small); /* it adds */
	assert_true(n_lost > 0 && n_lost < 150);
	pair_free(p);
}

static void test_switched_off_offloads_are_off(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, false, false);
	int value = -1;
	socklen_t len = sizeof value;

	(void)state;
	assert_false(p->from.gso || p->from.gro);
	assert_int_equal(getsockopt(p->from.fd, IPPROTO_UDP, UDP_GRO, &value, &len), 0);
	assert_int_equal(value, 0);
	pair_free(p);
	p = pair_new(WGH_IPV4, true, true);
	assert_true(p->from.gso && p->from.gro);
	pair_free(p);
}

static void test_ecn_of_each_packet_arrives(void **state)
{
	(void)state;
	for (unsigned offloads = 0; offloads < 2; offloads++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			if (v6 && !ipv6_works())
				continue;
			struct pair *p = pair_new(v6 ? WGH_IPV6 : WGH_IPV4, offloads, offloads);

			for (unsigned k = 0; k < 40; k++)
				packet_add(p, 200, (uint8_t)(k / 3 & 3), 0);
			burst_send(p, &p->to_endpoint);
			receive_n(p, 40);
			assert_got_what_was_sent(p);
			pair_free(p);
		}
	}
}

static void test_empty_datagrams_are_packets(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);

	(void)state;
	packet_add(p, 0, 0, 0);
	p->sent[0].data = NULL;
	packet_add(p, 50, 0, 0);
	packet_add(p, 0, 0, 0);
	packet_add(p, 0, 0, 0);
	packet_add(p, 50, 0, 0);
	struct udp_sent sent = burst_send(p, &p->to_endpoint);
	assert_int_equal(sent.n_packets, 5);
	receive_n(p, 5);
	for (unsigned k = 0; k < 5; k++)
		assert_int_equal(p->got[k].len_bytes, k == 1 || k == 4 ? 50 : 0);
	pair_free(p);
}

static void test_nothing_there_is_no_error(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);

	(void)state;
	assert_false(receive_some(p));
	assert_int_equal(p->n_bursts, 0);
	pair_free(p);
}

static void test_closed_descriptor_is_an_error(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	struct udp_received r;

	(void)state;
	udp_close(&p->to);
	assert_int_equal(p->to.fd, -1);
	assert_int_equal(udp_receive(&p->to, p->rx, &r), -EBADF);
	pair_free(p);
}

static void test_more_than_a_batch_is_handed_out_in_pieces_and_order(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);

	(void)state;
	/* 30 coalesced messages of 64: the first recvmmsg asks for 64 messages and gets 1,920
	 * packets. */
	for (unsigned k = 0; k < 30 * 64; k++)
		packet_add(p, 48, 0, 0);
	struct udp_sent sent = burst_send(p, &p->to_endpoint);
	assert_int_equal(sent.n_packets, 30 * 64);
	receive_n(p, 30 * 64);
	assert_got_what_was_sent(p);
	assert_int_equal(p->n_largest_call, PACKETS_PER_BATCH);
	assert_int_equal(p->n_calls, 4);
	pair_free(p);
}

static void test_coalesced_receives_ask_for_few_messages(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);

	(void)state;
	for (unsigned k = 0; k < 64; k++)
		packet_add(p, 48, 0, 0);
	burst_send(p, &p->to_endpoint);
	receive_n(p, 64);
	for (unsigned k = 0; k < 12; k++)
		burst_send(p, &p->to_endpoint);
	p->n_got = p->got_used = 0;
	/* 8 messages, then 4. */
	assert_true(receive_some(p));
	assert_int_equal(p->n_got, 8 * 64);
	assert_false(receive_some(p));
	assert_int_equal(p->n_got, 12 * 64);
	pair_free(p);
}

static void test_lone_datagrams_of_one_sender_share_a_burst_and_a_call(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, false, false);

	(void)state;
	for (unsigned k = 0; k < 64; k++)
		packet_add(p, 48, 0, 0);
	burst_send(p, &p->to_endpoint);
	assert_true(receive_some(p));
	assert_int_equal(p->n_got, 64);
	assert_int_equal(p->n_bursts, 1);
	assert_got_what_was_sent(p);
	pair_free(p);
}

static void test_senders_are_told_apart(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	struct udp_socket other;
	struct udp_sent sent = {0};
	uint16_t port;

	(void)state;
	assert_int_equal(udp_open(&other, WGH_IPV4, &(struct udp_options){0}, &port), 0);
	packet_add(p, 10, 0, 0);
	packet_add(p, 20, 0, 0);
	packet_add(p, 30, 0, 0);
	for (unsigned k = 0; k < 3; k++) {
		struct wgh_burst burst = {
			.endpoint = p->to_endpoint, .packets = &p->sent[k], .n_packets = 1};

		udp_send(k == 1 ? &other : &p->from, p->tx, &burst, 1, &sent);
	}
	receive_n(p, 3);
	assert_got_what_was_sent(p);
	assert_int_equal(p->n_bursts, 3);
	assert_int_equal(p->got_from[1].port, port);
	assert_int_not_equal(p->got_from[0].port, port);
	assert_int_equal(p->got_from[2].port, p->got_from[0].port);
	udp_close(&other);
	pair_free(p);
}

static void test_truncated_datagram_is_counted_and_dropped_and_the_next_arrives(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);

	(void)state;
	udp_rx_free(p->rx);
	p->rx = udp_rx_new_sized(256);
	packet_add(p, 100, 0, 0);
	/* One coalesced message of 420 bytes: where it was cut off, no packet in it can be trusted.
	 */
	packet_add(p, 300, 0, 0);
	packet_add(p, 120, 0, 0);
	packet_add(p, 120, 0, 0);
	packet_add(p, 130, 0, 0);
	burst_send(p, &p->to_endpoint);
	receive_n(p, 3);
	assert_int_equal(p->n_truncated, 1);
	assert_int_equal(p->got[0].len_bytes, 100);
	assert_int_equal(p->got[1].len_bytes, 120);
	assert_int_equal(p->got[2].len_bytes, 130);
	pair_free(p);
}

/* ---- source address ---- */

static void test_answer_leaves_from_the_address_that_was_asked(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	struct wgh_endpoint alias = p->to_endpoint;
	struct sockaddr_storage sa;
	uint8_t buf[2048];
	socklen_t len = sizeof sa;
	bool lost;

	(void)state;
	alias.addr[3] = 77;
	packet_add(p, 100, 0, 0);
	packet_add(p, 100, 0, 0);
	burst_send(p, &alias);
	receive_n(p, 2);
	struct wgh_endpoint from = p->got_from[0];
	assert_memory_equal(from.local, ((uint8_t[]){127, 0, 0, 77}), 4);
	assert_int_not_equal(from.local_ifindex, 0);

	/* Back: the answering socket is p->to. */
	struct wgh_burst burst = {.endpoint = from, .packets = p->sent, .n_packets = 2};
	struct udp_sent sent = {0};
	udp_send(&p->to, p->tx, &burst, 1, &sent);
	assert_int_equal(sent.n_packets, 2);
	assert_int_equal(udp_send_one(&p->to, &from, "x", 1, 0x88, &lost), 0);
	assert_false(sent.source_lost || lost);
	for (unsigned k = 0; k < 2; k++) {
		struct wgh_endpoint seen;

		assert_true(
			recvfrom(p->from.fd, buf, sizeof buf, 0, (struct sockaddr *)&sa, &len) > 0);
		assert_true(udp_endpoint_from_sockaddr(&seen, &sa));
		assert_memory_equal(seen.addr, ((uint8_t[]){127, 0, 0, 77}), 4);
		assert_int_equal(seen.port, alias.port);
	}
	pair_free(p);
}

static void check_lost_source(unsigned n_packets, bool gso, enum wgh_family family)
{
	struct pair *p = pair_new(family, gso, true);
	struct wgh_endpoint to = p->to_endpoint;
	bool lost = false;

	/* TEST-NET-1 / documentation prefix: nobody has it. */
	to.local_ifindex = 1;
	memcpy(to.local,
		family == WGH_IPV4 ? (uint8_t[16]){192, 0, 2, 77}
				   : (uint8_t[16]){0x20, 1, 0xd, 0xb8, 1},
		16);
	for (unsigned k = 0; k < n_packets; k++)
		packet_add(p, 100, 0, 0);
	struct udp_sent sent = burst_send(p, &to);
	assert_true(sent.source_lost);
	assert_false(sent.gso_lost);
	assert_int_equal(sent.n_packets, n_packets);
	assert_int_equal(sent.n_bytes, n_packets * 100);
	assert_int_equal(sent.n_failed, 0);
	receive_n(p, n_packets);
	assert_got_what_was_sent(p);
	assert_int_equal(udp_send_one(&p->from, &to, "x", 1, 0, &lost), 0);
	assert_true(lost);
	assert_int_equal(p->from.gso, gso);
	pair_free(p);
}

static void test_lost_source_address_is_left_out_and_told(void **state)
{
	(void)state;
	check_lost_source(1, true, WGH_IPV4);
	check_lost_source(30, true, WGH_IPV4);
	check_lost_source(30, false, WGH_IPV4);
	if (!ipv6_works())
		return;
	check_lost_source(1, true, WGH_IPV6);
	check_lost_source(30, true, WGH_IPV6);
}

static void test_lost_source_interface_is_left_out_and_told(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	struct wgh_endpoint to = p->to_endpoint;

	(void)state;
	memcpy(to.local, to.addr, 4);
	to.local_ifindex = 0x7ffffff0;
	packet_add(p, 100, 0, 0);
	packet_add(p, 100, 0, 0);
	struct udp_sent sent = burst_send(p, &to);
	assert_true(sent.source_lost);
	assert_int_equal(sent.n_packets, 2);
	receive_n(p, 2);
	pair_free(p);
}

/* ---- refusals ---- */

static void test_refused_segmentation_is_sent_singly_and_stays_off(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	int one = 1;

	(void)state;
	/* Linux refuses segmented sends without checksum: EINVAL. */
	assert_int_equal(setsockopt(p->from.fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof one), 0);
	for (unsigned k = 0; k < 150; k++)
		packet_add(p, 500, 0, 0);
	struct udp_sent sent = burst_send(p, &p->to_endpoint);
	assert_int_equal(sent.n_packets, 150);
	assert_int_equal(sent.n_bytes, 150 * 500);
	assert_int_equal(sent.n_failed, 0);
	assert_true(sent.gso_lost);
	assert_false(p->from.gso);
	receive_n(p, 150);
	assert_got_what_was_sent(p);
	/* Told once. */
	sent = burst_send(p, &p->to_endpoint);
	assert_false(sent.gso_lost);
	assert_int_equal(sent.n_packets, 150);
	pair_free(p);
}

static void test_refusal_that_may_be_the_path_mtu_keeps_segmentation(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	int one = 1;

	(void)state;
	assert_int_equal(setsockopt(p->from.fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof one), 0);
	for (unsigned k = 0; k < 20; k++)
		packet_add(p, 1400, 0, 0);
	struct udp_sent sent = burst_send(p, &p->to_endpoint);
	assert_int_equal(sent.n_packets, 20);
	assert_false(sent.gso_lost);
	assert_true(p->from.gso);
	receive_n(p, 20);
	assert_got_what_was_sent(p);
	pair_free(p);
}

static void test_packets_above_the_path_mtu_are_fragmented_and_segmentation_stays(void **state)
{
	int before = netns_enter();

	(void)state;
	assert_int_equal(netns_link_set("lo", true, 1280), 0);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		if (v6 && !ipv6_works())
			continue;
		struct pair *p = pair_new(v6 ? WGH_IPV6 : WGH_IPV4, true, true);

		for (unsigned k = 0; k < 20; k++)
			packet_add(p, 1452, 0, 0);
		struct udp_sent sent = burst_send(p, &p->to_endpoint);
		assert_int_equal(sent.n_packets, 20);
		assert_int_equal(sent.n_failed, 0);
		assert_false(sent.gso_lost);
		receive_n(p, 20);
		assert_got_what_was_sent(p);
		assert_true(p->from.gso);
		pair_free(p);
	}
	netns_leave(before);
}

static void test_one_destination_refused_does_not_keep_others(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	struct wgh_endpoint bad = p->to_endpoint;
	struct wgh_burst bursts[9];
	struct udp_sent sent = {0};

	(void)state;
	memset(bad.addr + 1, 255, 3); /* the loopback's broadcast: EACCES without any network */
	for (unsigned k = 0; k < 9; k++) {
		packet_add(p, 200, 0, 0);
		packet_add(p, 200, 0, 0);
		bursts[k] = (struct wgh_burst){.endpoint = k % 3 == 1 ? bad : p->to_endpoint,
			.packets = &p->sent[2 * k],
			.n_packets = 2};
	}
	udp_send(&p->from, p->tx, bursts, 9, &sent);
	assert_int_equal(sent.n_failed, 6);
	assert_int_equal(sent.n_packets, 12);
	assert_int_equal(sent.n_bytes, 12 * 200);
	assert_false(sent.gso_lost || sent.source_lost);
	assert_true(p->from.gso);
	receive_n(p, 12);
	bool lost;
	assert_int_equal(udp_send_one(&p->from, &bad, "x", 1, 0, &lost), -EACCES);
	pair_free(p);
}

static void test_destination_that_refuses_everything_keeps_segmentation(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	struct wgh_endpoint bad = loopback(WGH_IPV4, 0); /* port 0: EINVAL */

	(void)state;
	packet_add(p, 200, 0, 0);
	packet_add(p, 200, 0, 0);
	struct udp_sent sent = burst_send(p, &bad);
	assert_int_equal(sent.n_failed, 2);
	assert_int_equal(sent.n_packets, 0);
	assert_false(sent.gso_lost);
	assert_true(p->from.gso);
	pair_free(p);
}

static void test_largest_datagram_passes_and_a_larger_one_fails_alone(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);

	(void)state;
	packet_add(p, 65507, 0, 0);
	packet_add(p, 65508, 0, 0);
	packet_add(p, 10, 0, 0);
	struct udp_sent sent = burst_send(p, &p->to_endpoint);
	assert_int_equal(sent.n_packets, 2);
	assert_int_equal(sent.n_failed, 1);
	receive_n(p, 2);
	assert_int_equal(p->got[0].len_bytes, 65507);
	assert_memory_equal(p->got[0].data, p->sent[0].data, 65507);
	assert_int_equal(p->got[1].len_bytes, 10);
	pair_free(p);
}

static void test_bursts_of_the_other_family_are_skipped(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	struct wgh_endpoint other = loopback(WGH_IPV6, p->to_endpoint.port);
	bool lost;

	(void)state;
	packet_add(p, 10, 0, 0);
	struct udp_sent sent = burst_send(p, &other);
	assert_int_equal(sent.n_packets + sent.n_failed, 0);
	assert_int_equal(udp_send_one(&p->from, &other, "x", 1, 0, &lost), -EAFNOSUPPORT);
	pair_free(p);
}

/* A port nobody listens on. */
static uint16_t port_free(void)
{
	struct udp_socket s;
	uint16_t port;

	assert_int_equal(udp_open(&s, WGH_IPV4, &(struct udp_options){0}, &port), 0);
	udp_close(&s);
	return port;
}

static void test_connection_refused_ends_neither_receiving_nor_sending(void **state)
{
	struct pair *p = pair_new(WGH_IPV4, true, true);
	struct wgh_endpoint dead = loopback(WGH_IPV4, port_free());
	struct sockaddr_storage sa;
	socklen_t len = udp_endpoint_to_sockaddr(&sa, &dead);
	struct udp_received r;

	(void)state;
	/* Only connected sockets are told of ICMP errors. */
	assert_int_equal(connect(p->to.fd, (struct sockaddr *)&sa, len), 0);
	packet_add(p, 10, 0, 0);
	assert_int_equal(send(p->to.fd, "x", 1, 0), 1);
	assert_int_equal(udp_receive(&p->to, p->rx, &r), 0);
	assert_int_equal(r.n_bursts, 0);

	assert_int_equal(send(p->to.fd, "x", 1, 0), 1);
	struct wgh_burst burst = {.endpoint = dead, .packets = p->sent, .n_packets = 1};
	struct udp_sent sent = {0};
	udp_send(&p->to, p->tx, &burst, 1, &sent);
	assert_int_equal(sent.n_packets, 1);
	assert_int_equal(sent.n_failed, 0);
	pair_free(p);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void test_full_socket_buffer_is_waited_for_once_a_call(void **state)
{
	int before = netns_enter();
	struct pair *p = pair_new(WGH_IPV4, false, false);
	struct ifreq ifr = {.ifr_name = "wghtap", .ifr_flags = IFF_TAP | IFF_NO_PI};
	int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC), small = 4608;
	struct wgh_endpoint silent = {.family = WGH_IPV4, .port = 9, .addr = {192, 0, 2, 9}};
	uint64_t took_ms = UINT64_MAX;

	(void)state;
	/* Nobody answers ARP on the tap, so that packets stay queued and keep the send buffer full.
	 */
	assert_true(tap >= 0);
	assert_int_equal(ioctl(tap, TUNSETIFF, &ifr), 0);
	assert_int_equal(netns_address_set("wghtap", "192.0.2.1", "255.255.255.0"), 0);
	assert_int_equal(netns_link_set("wghtap", true, 0), 0);
	assert_int_equal(setsockopt(p->from.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	for (unsigned k = 0; k < 100; k++)
		packet_add(p, 1400, 0, 0);
	/* A busy machine may take long for it once, but not each time. */
	for (int tries = 0; tries < 20 && took_ms > 2000; tries++) {
		uint64_t start_ms = now_ms();
		struct udp_sent sent = burst_send(p, &silent);

		took_ms = now_ms() - start_ms;
		assert_true(sent.n_failed > 50);
		assert_int_equal(sent.n_failed + sent.n_packets, 100);
		assert_true(took_ms >= 80);
	}
	assert_true(took_ms <= 2000);
	close(tap);
	pair_free(p);
	netns_leave(before);
}

/* ---- opening ---- */

static void test_port_in_use_is_an_error_unless_it_is_shared(void **state)
{
	struct udp_socket a, b;
	uint16_t port, again;

	(void)state;
	assert_int_equal(udp_open(&a, WGH_IPV4, &(struct udp_options){0}, &port), 0);
	assert_int_not_equal(port, 0);
	assert_int_equal(
		udp_open(&b, WGH_IPV4, &(struct udp_options){.port = port}, &again), -EADDRINUSE);
	assert_int_equal(b.fd, -1);
	udp_close(&a);
	struct udp_options shared = {.port = port, .reuseport = true};
	assert_int_equal(udp_open(&a, WGH_IPV4, &shared, &port), 0);
	assert_int_equal(udp_open(&b, WGH_IPV4, &shared, &again), 0);
	assert_int_equal(port, again);
	udp_close(&a);
	udp_close(&b);
}

static void test_both_families_share_a_port(void **state)
{
	struct udp_socket a, b;
	uint16_t port, again;

	(void)state;
	if (!ipv6_works())
		return;
	assert_int_equal(udp_open(&a, WGH_IPV4, &(struct udp_options){0}, &port), 0);
	assert_int_equal(udp_open(&b, WGH_IPV6, &(struct udp_options){.port = port}, &again), 0);
	assert_int_equal(port, again);
	udp_close(&a);
	udp_close(&b);
}

static void test_socket_closes_on_exec(void **state)
{
	struct udp_socket a;
	uint16_t port;

	(void)state;
	assert_int_equal(udp_open(&a, WGH_IPV4, &(struct udp_options){0}, &port), 0);
	assert_int_equal(fcntl(a.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	udp_close(&a);
}

static void test_fwmark_needs_the_right_to_change(void **state)
{
	struct udp_socket s, t;
	uint32_t mark = 0;
	socklen_t len = sizeof mark;
	uint16_t port;

	(void)state;
	if (geteuid() != 0)
		fail_msg("this test needs root, to set a mark and to drop the right to it");
	assert_int_equal(udp_open(&s, WGH_IPV4, &(struct udp_options){.fwmark = 0x1234}, &port), 0);
	assert_int_equal(getsockopt(s.fd, SOL_SOCKET, SO_MARK, &mark, &len), 0);
	assert_int_equal(mark, 0x1234);
	assert_int_equal(udp_set_fwmark(&s, 7), 0);
	assert_int_equal(seteuid(65534), 0);
	int same = udp_set_fwmark(&s, 7), other = udp_set_fwmark(&s, 8);
	int opened = udp_open(&t, WGH_IPV4, &(struct udp_options){.fwmark = 1}, &port);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(same, 0);
	assert_int_equal(other, -EPERM);
	assert_int_equal(opened, -EPERM);
	assert_int_equal(udp_set_fwmark(&s, 0), 0);
	udp_close(&s);
}

static void test_ipv4_mapped_address_becomes_ipv4(void **state)
{
	struct sockaddr_storage sa = {0};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;
	struct wgh_endpoint e;

	(void)state;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(51820);
	in6->sin6_scope_id = 3;
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6->sin6_addr), 1);
	assert_true(udp_endpoint_from_sockaddr(&e, &sa));
	assert_int_equal(e.family, WGH_IPV4);
	assert_int_equal(e.port, 51820);
	assert_int_equal(e.scope_id, 0);
	assert_memory_equal(e.addr, ((uint8_t[16]){192, 0, 2, 7}), 16);
	assert_int_equal(udp_endpoint_to_sockaddr(&sa, &e), sizeof(struct sockaddr_in));
	assert_int_equal(sa.ss_family, AF_INET);
}

static void test_link_local_endpoint_keeps_its_scope(void **state)
{
	struct wgh_endpoint in = {
		.family = WGH_IPV6, .port = 1, .scope_id = 9, .addr = {0xfe, 0x80, [15] = 2}};
	struct wgh_endpoint out;
	struct sockaddr_storage sa;

	(void)state;
	assert_int_equal(udp_endpoint_to_sockaddr(&sa, &in), sizeof(struct sockaddr_in6));
	assert_true(udp_endpoint_from_sockaddr(&out, &sa));
	assert_memory_equal(&in, &out, sizeof in);
}

static void test_unknown_family_is_no_endpoint(void **state)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNIX};
	struct wgh_endpoint e;

	(void)state;
	assert_false(udp_endpoint_from_sockaddr(&e, &sa));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bursts_arrive_whole_and_in_order_with_offloads),
		cmocka_unit_test(test_bursts_arrive_whole_and_in_order_without_gso),
		cmocka_unit_test(test_bursts_arrive_whole_and_in_order_without_gro),
		cmocka_unit_test(test_bursts_arrive_whole_and_in_order_without_offloads),
		cmocka_unit_test(test_bursts_arrive_whole_and_in_order_over_ipv6),
		cmocka_unit_test(test_sizes_that_go_up_and_down_arrive_in_order),
		cmocka_unit_test(test_short_last_packet_stays_in_the_segmented_send),
		cmocka_unit_test(test_segmented_send_is_cut_off_below_64_kib),
		cmocka_unit_test(test_outer_packets_may_be_fragmented),
		cmocka_unit_test(test_without_gso_each_packet_is_a_message),
		cmocka_unit_test(test_what_waits_in_the_system_is_told_with_what_found_no_room),
		cmocka_unit_test(test_switched_off_offloads_are_off),
		cmocka_unit_test(test_ecn_of_each_packet_arrives),
		cmocka_unit_test(test_empty_datagrams_are_packets),
		cmocka_unit_test(test_nothing_there_is_no_error),
		cmocka_unit_test(test_closed_descriptor_is_an_error),
		cmocka_unit_test(test_more_than_a_batch_is_handed_out_in_pieces_and_order),
		cmocka_unit_test(test_coalesced_receives_ask_for_few_messages),
		cmocka_unit_test(test_lone_datagrams_of_one_sender_share_a_burst_and_a_call),
		cmocka_unit_test(test_senders_are_told_apart),
		cmocka_unit_test(
			test_truncated_datagram_is_counted_and_dropped_and_the_next_arrives),
		cmocka_unit_test(test_answer_leaves_from_the_address_that_was_asked),
		cmocka_unit_test(test_lost_source_address_is_left_out_and_told),
		cmocka_unit_test(test_lost_source_interface_is_left_out_and_told),
		cmocka_unit_test(test_refused_segmentation_is_sent_singly_and_stays_off),
		cmocka_unit_test(test_refusal_that_may_be_the_path_mtu_keeps_segmentation),
		cmocka_unit_test(
			test_packets_above_the_path_mtu_are_fragmented_and_segmentation_stays),
		cmocka_unit_test(test_one_destination_refused_does_not_keep_others),
		cmocka_unit_test(test_destination_that_refuses_everything_keeps_segmentation),
		cmocka_unit_test(test_largest_datagram_passes_and_a_larger_one_fails_alone),
		cmocka_unit_test(test_bursts_of_the_other_family_are_skipped),
		cmocka_unit_test(test_connection_refused_ends_neither_receiving_nor_sending),
		cmocka_unit_test(test_full_socket_buffer_is_waited_for_once_a_call),
		cmocka_unit_test(test_port_in_use_is_an_error_unless_it_is_shared),
		cmocka_unit_test(test_both_families_share_a_port),
		cmocka_unit_test(test_socket_closes_on_exec),
		cmocka_unit_test(test_fwmark_needs_the_right_to_change),
		cmocka_unit_test(test_ipv4_mapped_address_becomes_ipv4),
		cmocka_unit_test(test_link_local_endpoint_keeps_its_scope),
		cmocka_unit_test(test_unknown_family_is_no_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
