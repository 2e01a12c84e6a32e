/* Where an inner packet goes: the questions of decide.c, each for both families where it has two
 * answers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;
static struct remote a, b;

static void begin(struct fixture_options options)
{
	fixture_init(&f, &options);
	remote_pair_connect(&f, &a, &b);
}

static int setup(void **state)
{
	*state = &f;
	begin((struct fixture_options){0});
	return 0;
}

static int setup_tun(void **state)
{
	*state = &f;
	begin((struct fixture_options){.has_tun = true});
	return 0;
}

static int setup_gateway(void **state)
{
	*state = &f;
	begin((struct fixture_options){.has_tun = true, .deliver_unowned = true});
	return 0;
}

static void send_from(struct remote *r, const struct inner *p)
{
	remote_send(&f, r, p->data, p->len_bytes);
}

/* What the i-th datagram to this remote holds; fails if there is none. */
static struct inner received(const struct remote *r, size_t i)
{
	const struct sent *sent = remote_sent(&f, r, i);
	struct inner p = {.len_bytes = 0};
	int len;

	assert_non_null(sent);
	len = remote_open(r, sent, p.data);
	assert_true(len >= 0);
	p.len_bytes = (uint32_t)len;
	return p;
}

static void give(const struct remote *r, struct wgh_prefix prefix)
{
	struct wgh_allowed_ip ip = {prefix};
	struct wgh_peer_change change = {
		.public_key = remote_key(r), .allowed_ips = &ip, .n_allowed_ips = 1};

	fixture_change_peer(&f, &change);
}

/* ICMP type and code of what the remote got last, and that it comes from the hub and checks out. */
static void assert_icmp4(const struct remote *r, size_t i, uint8_t type, uint8_t code)
{
	struct inner p = received(r, i);
	struct ip_info info;

	assert_int_equal(ip_parse(&info, p.data, p.len_bytes), DROP_NONE);
	assert_true(ip_header_checksum_ok(p.data));
	assert_int_equal(info.proto, IP_PROTO_ICMP);
	assert_int_equal(info.src.bytes[3], 254);
	assert_int_equal(info.dst.bytes[3], r->n);
	assert_int_equal(p.data[20], type);
	assert_int_equal(p.data[21], code);
}

static void assert_icmp6(const struct remote *r, size_t i, uint8_t type, uint8_t code)
{
	struct inner p = received(r, i);
	struct ip_info info;

	assert_int_equal(ip_parse(&info, p.data, p.len_bytes), DROP_NONE);
	assert_int_equal(info.proto, IP_PROTO_ICMPV6);
	assert_int_equal(info.src.bytes[15], 0xfe);
	assert_int_equal(info.dst.bytes[15], r->n);
	assert_int_equal(p.data[40], type);
	assert_int_equal(p.data[41], code);
}

/* ---- from peer to peer ---- */

/* TTL and header checksum, and nothing else. */
static void test_decide_forwards_ipv4_changing_only_ttl_and_checksum(void **state)
{
	struct inner p = inner4(1, 2, 100), got, want = p;

	(void)state;
	send_from(&a, &p);
	got = received(&b, 0);
	want.data[8]--;
	inner_mend(&want);
	assert_memory_equal(got.data, want.data, p.len_bytes);
	assert_int_equal(f.n_sent, 1);
	assert_true(f.sent[0].by_worker);
	assert_int_equal(relaxed_get(&f.worker->stats.n_forwarded), 1);
}

static void test_decide_forwards_ipv6_changing_only_the_hop_limit(void **state)
{
	struct inner p = inner6(1, 2, 100), got;

	(void)state;
	send_from(&a, &p);
	got = received(&b, 0);
	p.data[7]--;
	assert_memory_equal(got.data, p.data, p.len_bytes);
}

/* What stood behind the packet in the sender's message does not travel on as content. */
static void test_decide_does_not_pass_on_the_sender_s_padding(void **state)
{
	struct inner p = inner4(1, 2, 33), got; /* 61 bytes, padded to 64 */

	(void)state;
	memset(p.data + p.len_bytes, 0xee, 40);
	p.len_bytes += 40; /* the sender lets its padding talk */
	send_from(&a, &p);
	got = received(&b, 0);
	assert_int_equal(got.len_bytes, 64);
	assert_true(ct_is_zero(got.data + 61, 3));
}

static void test_decide_source_must_be_the_sender_s_by_longest_prefix(void **state)
{
	struct {
		struct inner p;
		bool passes;
	} cases[] = {
		{inner4(1, 2, 10), true},
		{inner4(2, 2, 10), false}, /* another's */
		{inner4(99, 2, 10), false}, /* nobody's */
		{inner4(254, 2, 10), false}, /* the hub's */
		{inner6(1, 2, 10), true},
		{inner6(2, 1, 10), false},
		{inner6(99, 2, 10), false},
		{inner6(0xfe, 2, 10), false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		fixture_forget(&f);
		send_from(&a, &cases[i].p);
		assert_int_equal(f.n_sent, cases[i].passes);
	}
	assert_int_equal(fixture_drops(&f, DROP_SOURCE), 6);
	/* A shorter prefix over all of them gives nothing that others hold. */
	give(&a, prefix4(10, 0, 0, 0, 8));
	give(&a, prefix6(0, 16));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const bool nobody_s = i == 2 || i == 6;

		fixture_forget(&f);
		send_from(&a, &cases[i].p);
		assert_int_equal(f.n_sent, cases[i].passes || nobody_s);
	}
}

/* A mapped address is no IPv4 address, and no router forwards it. */
static void test_decide_ipv4_prefix_is_not_the_owner_of_a_mapped_address(void **state)
{
	struct inner p = inner6(1, 2, 10);

	(void)state;
	memcpy(p.data + 8, (uint8_t[16]){[10] = 0xff, 0xff, 10, 0, 0, 1}, 16);
	send_from(&a, &p);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(fixture_drops(&f, DROP_SOURCE), 1);
}

static void test_decide_ttl_used_up_is_answered_with_time_exceeded(void **state)
{
	struct inner p4 = inner4(1, 2, 10), p6 = inner6(1, 2, 10);

	(void)state;
	p4.data[8] = 1;
	inner_mend(&p4);
	send_from(&a, &p4);
	assert_icmp4(&a, 0, 11, 0);
	p6.data[7] = 1;
	send_from(&a, &p6);
	assert_icmp6(&a, 1, 3, 0);
	p4.data[8] = 0;
	inner_mend(&p4);
	send_from(&a, &p4);
	assert_int_equal(fixture_drops(&f, DROP_TTL), 3);
	assert_null(remote_sent(&f, &b, 0));
	p4.data[8] = 2;
	inner_mend(&p4);
	send_from(&a, &p4);
	assert_int_equal(received(&b, 0).data[8], 1);
}

static void test_decide_icmp_error_is_not_answered_with_an_error(void **state)
{
	struct inner p = inner_echo4(1, 2);

	(void)state;
	p.data[8] = 1;
	p.data[20] = 11; /* time exceeded */
	inner_mend(&p);
	send_from(&a, &p);
	assert_int_equal(fixture_drops(&f, DROP_TTL), 1);
	assert_int_equal(f.n_sent, 0);
}

static void test_decide_too_big_is_answered_with_the_mtu_or_forwarded_without_df(void **state)
{
	struct inner p4 = inner4(1, 2, 1400), p6 = inner6(1, 2, 1400), got;

	(void)state;
	p4.data[6] = 0x40;
	inner_mend(&p4);
	send_from(&a, &p4);
	assert_icmp4(&a, 0, 3, 4);
	got = received(&a, 0);
	assert_int_equal(got.data[26] << 8 | got.data[27], 1420);
	send_from(&a, &p6);
	assert_icmp6(&a, 1, 2, 0);
	got = received(&a, 1);
	assert_int_equal(got.data[46] << 8 | got.data[47], 1420);
	assert_int_equal(fixture_drops(&f, DROP_TOO_BIG), 2);
	p4.data[6] = 0;
	inner_mend(&p4);
	send_from(&a, &p4);
	assert_int_equal(received(&b, 0).len_bytes, 1428);
	/* Exactly the MTU passes with DF. */
	p4 = inner4(1, 2, 1420 - 28);
	p4.data[6] = 0x40;
	inner_mend(&p4);
	send_from(&a, &p4);
	assert_int_equal(received(&b, 1).len_bytes, 1420);
}

static void test_decide_nobody_s_destination_is_answered_with_unreachable(void **state)
{
	struct inner p4 = inner4(1, 99, 10), p6 = inner6(1, 99, 10);

	(void)state;
	send_from(&a, &p4);
	assert_icmp4(&a, 0, 3, 1);
	send_from(&a, &p6);
	assert_icmp6(&a, 1, 1, 3);
	assert_int_equal(fixture_drops(&f, DROP_NO_ROUTE), 2);
}

static void test_decide_peer_without_endpoint_is_answered_with_unreachable(void **state)
{
	struct inner p = inner4(1, 3, 10);
	struct remote c;

	(void)state;
	remote_init(&f, &c, 3);
	remote_add(&f, &c);
	send_from(&a, &p);
	assert_icmp4(&a, 0, 3, 1);
	assert_int_equal(relaxed_get(&remote_peer(&f, &c)->drops[DROP_NO_ENDPOINT]), 1);
	assert_int_equal(f.hub->staged_bytes, 0);
}

static void test_decide_hairpin_is_silent(void **state)
{
	struct inner p = inner4(1, 9, 10);

	(void)state;
	give(&a, prefix4(10, 0, 0, 9, 32));
	send_from(&a, &p);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(fixture_drops(&f, DROP_HAIRPIN), 1);
}

/* Bursts of ten for each peer, then ten a second. */
static void test_decide_errors_are_rate_limited_for_each_peer(void **state)
{
	struct inner pa = inner4(1, 99, 10), pb = inner4(2, 99, 10);
	size_t n_first;

	(void)state;
	for (int i = 0; i < 100; i++)
		send_from(&a, &pa);
	n_first = f.n_sent;
	assert_in_range(n_first, 10, 11);
	fixture_advance(&f, 5 * NS_PER_MS); /* the total: one a millisecond */
	send_from(&b, &pb); /* one's flood is not another's */
	assert_int_equal(f.n_sent, n_first + 1);
	fixture_advance(&f, NS_PER_S);
	fixture_forget(&f);
	for (int i = 0; i < 100; i++)
		send_from(&a, &pa);
	assert_in_range(f.n_sent, 9, 11);
	assert_int_equal(fixture_drops(&f, DROP_NO_ROUTE), 201);
}

/* Also over all peers: bursts of a hundred, then a thousand a second. */
static void test_decide_errors_are_rate_limited_over_all_peers(void **state)
{
	static struct remote many[20];
	struct inner p;
	size_t n_first;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		remote_init(&f, &many[i], 20 + i);
		remote_add(&f, &many[i]);
		remote_connect(&f, &many[i]);
	}
	for (unsigned i = 0; i < 200; i++) {
		p = inner4(20 + i % 20, 99, 10);
		send_from(&many[i % 20], &p);
	}
	n_first = f.n_sent;
	assert_in_range(n_first, 100, 101);
	fixture_advance(&f, 5 * NS_PER_MS);
	for (unsigned i = 0; i < 200; i++) {
		p = inner4(20 + i % 20, 99, 10);
		send_from(&many[i % 20], &p);
	}
	assert_in_range(f.n_sent - n_first, 4, 6);
}

/* Many peers at once: the total has an end, and so has the room for own packets of one batch. */
static void test_decide_errors_are_limited_in_one_batch(void **state)
{
	enum { N = 100 };
	static struct remote remotes[N];
	static uint8_t data[N][128];
	struct wgh_packet packets[N];
	struct wgh_burst bursts[N];
	const struct worker_output *out;
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		struct inner p = inner4(20 + i, 9, 10);

		remote_init(&f, &remotes[i], 20 + i);
		remote_add(&f, &remotes[i]);
		remote_connect(&f, &remotes[i]);
		packets[i] = (struct wgh_packet){.data = data[i],
			.len_bytes = remote_seal(&remotes[i], data[i], p.data, p.len_bytes)};
		bursts[i] = (struct wgh_burst){
			.endpoint = remotes[i].endpoint, .packets = &packets[i], .n_packets = 1};
	}
	out = worker_input_udp(f.worker, bursts, N, f.now_ns);
	for (size_t i = 0; i < out->n_bursts; i++)
		n += out->bursts[i].n_packets;
	assert_in_range(n, 10, WORKER_OWN_PACKETS);
	assert_int_equal(fixture_drops(&f, DROP_NO_ROUTE), N);
}

/* ---- ECN ---- */

/* Sends p from a with this outer codepoint. */
static void send_with_ecn(const struct inner *p, uint8_t ecn)
{
	uint8_t message[2048];
	struct wgh_packet packet = {.data = message,
		.len_bytes = remote_seal(&a, message, p->data, p->len_bytes),
		.ecn = ecn};

	fixture_burst(&f, &a.endpoint, &packet, 1);
}

static void test_decide_ecn_follows_rfc_6040_both_ways(void **state)
{
	/* inner in, outer in, inner and outer out */
	static const uint8_t cases[][3] = {
		{0, 0, 0}, {0, 3, 0}, {1, 0, 1}, {2, 1, 2}, {1, 3, 3}, {2, 3, 3}, {3, 0, 3}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct inner p4 = inner4(1, 2, 10), p6 = inner6(1, 2, 10), got;

		fixture_forget(&f);
		p4.data[1] = cases[i][0];
		inner_mend(&p4);
		send_with_ecn(&p4, cases[i][1]);
		got = received(&b, 0);
		assert_int_equal(got.data[1], cases[i][2]);
		assert_true(ip_header_checksum_ok(got.data));
		assert_int_equal(f.sent[0].ecn, cases[i][2]);
		p6.data[1] = (uint8_t)(cases[i][0] << 4);
		send_with_ecn(&p6, cases[i][1]);
		got = received(&b, 1);
		assert_int_equal(got.data[1] >> 4, cases[i][2]);
		assert_int_equal(f.sent[1].ecn, cases[i][2]);
	}
}

/* The reply's outer header copies the reply's inner one, not what the request came with. */
static void test_decide_echo_reply_has_its_own_ecn_outside(void **state)
{
	struct inner p = inner_echo4(1, 254);

	(void)state;
	send_with_ecn(&p, 1);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(received(&a, 0).data[1] & 3, 0);
	assert_int_equal(f.sent[0].ecn, 0);
}

/* ---- the hub itself ---- */

static void test_decide_hub_without_tun_answers_echo(void **state)
{
	struct inner p = inner_echo4(1, 254), got;

	(void)state;
	p.data[8] = 1; /* not forwarded, so the TTL does not matter */
	inner_mend(&p);
	send_from(&a, &p);
	assert_icmp4(&a, 0, 0, 0);
	got = received(&a, 0);
	assert_memory_equal(got.data + 24, p.data + 24, 12);
	assert_int_equal(f.n_tun, 0);
}

static void test_decide_hub_without_tun_refuses_other_protocols_politely(void **state)
{
	struct inner p = inner4(1, 254, 10), p6 = inner6(1, 0xfe, 10);

	(void)state;
	send_from(&a, &p);
	assert_icmp4(&a, 0, 3, 3); /* UDP: port unreachable */
	p.data[9] = 132;
	inner_mend(&p);
	send_from(&a, &p);
	assert_icmp4(&a, 1, 3, 2); /* SCTP: protocol unreachable */
	send_from(&a, &p6);
	assert_icmp6(&a, 2, 1, 4);
	assert_int_equal(fixture_drops(&f, DROP_NO_HOST), 3);
}

/* RFC 1122, 3.2.2: what ICMP we do not know is discarded silently; a host has that protocol. */
static void test_decide_hub_without_tun_is_silent_to_icmp_it_does_not_answer(void **state)
{
	struct inner p = inner_echo4(1, 254);

	(void)state;
	p.data[20] = 0; /* an echo reply nobody asked for */
	send_from(&a, &p);
	p.data[20] = 13; /* timestamp */
	send_from(&a, &p);
	p = inner_echo4(1, 254);
	p.data[22] ^= 1; /* a checksum that does not match */
	send_from(&a, &p);
	assert_int_equal(fixture_drops(&f, DROP_NO_HOST), 3);
	assert_int_equal(f.n_sent, 0);
}

static void test_decide_hub_with_tun_gets_its_packets_unchanged(void **state)
{
	struct inner p4 = inner_echo4(1, 254), p6 = inner6(1, 0xfe, 10);

	(void)state;
	p4.data[8] = 1;
	inner_mend(&p4);
	send_from(&a, &p4);
	send_from(&a, &p6);
	assert_int_equal(f.n_tun, 2);
	assert_int_equal(f.tun[0].len_bytes, p4.len_bytes);
	assert_memory_equal(f.tun[0].data, p4.data, p4.len_bytes);
	assert_memory_equal(f.tun[1].data, p6.data, p6.len_bytes);
	assert_int_equal(f.n_sent, 0);
}

static void test_decide_unowned_goes_to_the_tun_only_when_asked(void **state)
{
	struct inner p = inner4(1, 99, 10);

	(void)state;
	send_from(&a, &p);
	assert_int_equal(f.n_tun, 1);
	assert_int_equal(fixture_drops(&f, DROP_NO_ROUTE), 0);
	p.data[16] = 127; /* but never what no router forwards */
	inner_mend(&p);
	send_from(&a, &p);
	assert_int_equal(f.n_tun, 1);
}

static void test_decide_unowned_is_dropped_with_a_tun_too(void **state)
{
	struct inner p = inner4(1, 99, 10);

	(void)state;
	send_from(&a, &p);
	assert_int_equal(f.n_tun, 0);
	assert_int_equal(fixture_drops(&f, DROP_NO_ROUTE), 1);
}

static void test_decide_hub_without_addresses_answers_nothing(void **state)
{
	struct inner p = inner4(1, 99, 10);

	(void)state;
	assert_int_equal(hub_set_addresses(f.hub, NULL, 0), 0);
	send_from(&a, &p);
	assert_int_equal(f.n_sent, 0);
}

/* ---- from the host ---- */

static void test_decide_host_packet_goes_to_the_owner_unchanged(void **state)
{
	struct inner p4 = inner4(254, 2, 10), p6 = inner6(0xfe, 2, 10), got;

	(void)state;
	p4.data[8] = 1; /* the host's stack has done its part */
	p4.data[1] = 2;
	inner_mend(&p4);
	fixture_tun(&f, p4.data, p4.len_bytes);
	got = received(&b, 0);
	assert_memory_equal(got.data, p4.data, p4.len_bytes);
	assert_int_equal(f.sent[0].ecn, 2);
	fixture_tun(&f, p6.data, p6.len_bytes);
	got = received(&b, 1);
	assert_memory_equal(got.data, p6.data, p6.len_bytes);
}

static void test_decide_host_packet_for_nobody_or_the_hub_is_dropped(void **state)
{
	static const uint8_t last[] = {99, 254, 255};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct inner p = inner4(254, last[i], 10);

		fixture_tun(&f, p.data, p.len_bytes);
	}
	assert_int_equal(fixture_drops(&f, DROP_NO_ROUTE), 3);
	assert_int_equal(f.n_sent, 0);
}

static void test_decide_host_garbage_of_any_length_is_dropped(void **state)
{
	struct rng rng = {2};
	uint8_t garbage[200];

	(void)state;
	for (uint32_t len = 0; len < sizeof garbage; len++) {
		rng_fill(&rng, garbage, sizeof garbage);
		fixture_tun(&f, garbage, len);
	}
	assert_int_equal(f.n_sent + f.n_tun, 0);
	assert_int_equal(fixture_all_drops(&f), sizeof garbage);
}

static void test_decide_routing_loop_is_reported_once_a_minute(void **state)
{
	struct inner p = inner4(254, 2, 100);

	(void)state;
	give(&b, prefix4(192, 0, 2, 2, 32));
	assert_int_equal(hub_set_port(f.hub, 51820), 0);
	memcpy(p.data + 16, b.endpoint.addr, 4);
	memcpy(p.data + 20, (uint8_t[]){51820 >> 8, 51820 & 0xff}, 2);
	memcpy(p.data + 22, (uint8_t[]){5002 >> 8, 5002 & 0xff}, 2);
	inner_mend(&p);
	for (int i = 0; i < 5; i++)
		fixture_tun(&f, p.data, p.len_bytes);
	assert_int_equal(fixture_drops(&f, DROP_ROUTING_LOOP), 5);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_ROUTING_LOOP), 1);
	fixture_advance(&f, 60 * NS_PER_S);
	fixture_tun(&f, p.data, p.len_bytes);
	assert_int_equal(fixture_count_events(&f, WGH_EVENT_ROUTING_LOOP), 2);
	/* Another port of ours is other traffic to the same host. */
	p.data[21] ^= 1;
	fixture_tun(&f, p.data, p.len_bytes);
	assert_int_equal(fixture_drops(&f, DROP_ROUTING_LOOP), 6);
	assert_non_null(remote_sent(&f, &b, 0));
}

/* ---- per packet ---- */

/* A verdict belongs to one packet: bad and good ones between each other in one batch. */
static void test_decide_verdicts_do_not_leak_to_the_next_packet(void **state)
{
	static uint8_t data[6][256];
	struct inner p[6] = {inner4(1, 2, 10), inner4(2, 1, 10), inner4(1, 99, 10),
		inner6(1, 2, 10), inner4(1, 254, 10), inner4(1, 2, 11)};
	struct wgh_packet packets[6];

	(void)state;
	for (int i = 0; i < 6; i++)
		packets[i] = (struct wgh_packet){.data = data[i],
			.len_bytes = remote_seal(&a, data[i], p[i].data, p[i].len_bytes)};
	fixture_burst(&f, &a.endpoint, packets, 6);
	assert_int_equal(received(&b, 0).data[3], 38);
	assert_int_equal(received(&b, 1).data[0], 0x60);
	assert_int_equal(received(&b, 2).data[3], 39);
	assert_null(remote_sent(&f, &b, 3));
	assert_int_equal(fixture_drops(&f, DROP_SOURCE), 1);
	assert_icmp4(&a, 0, 3, 1);
	assert_icmp4(&a, 1, 3, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
#define TEST_TUN(name) cmocka_unit_test_setup_teardown(name, setup_tun, fixture_teardown)
		TEST(test_decide_forwards_ipv4_changing_only_ttl_and_checksum),
		TEST(test_decide_forwards_ipv6_changing_only_the_hop_limit),
		TEST(test_decide_does_not_pass_on_the_sender_s_padding),
		TEST(test_decide_source_must_be_the_sender_s_by_longest_prefix),
		TEST(test_decide_ipv4_prefix_is_not_the_owner_of_a_mapped_address),
		TEST(test_decide_ttl_used_up_is_answered_with_time_exceeded),
		TEST(test_decide_icmp_error_is_not_answered_with_an_error),
		TEST(test_decide_too_big_is_answered_with_the_mtu_or_forwarded_without_df),
		TEST(test_decide_nobody_s_destination_is_answered_with_unreachable),
		TEST(test_decide_peer_without_endpoint_is_answered_with_unreachable),
		TEST(test_decide_hairpin_is_silent),
		TEST(test_decide_errors_are_rate_limited_for_each_peer),
		TEST(test_decide_errors_are_rate_limited_over_all_peers),
		TEST(test_decide_errors_are_limited_in_one_batch),
		TEST(test_decide_ecn_follows_rfc_6040_both_ways),
		TEST(test_decide_echo_reply_has_its_own_ecn_outside),
		TEST(test_decide_hub_without_tun_answers_echo),
		TEST(test_decide_hub_without_tun_refuses_other_protocols_politely),
		TEST(test_decide_hub_without_tun_is_silent_to_icmp_it_does_not_answer),
		TEST_TUN(test_decide_hub_with_tun_gets_its_packets_unchanged),
		cmocka_unit_test_setup_teardown(test_decide_unowned_goes_to_the_tun_only_when_asked,
			setup_gateway, fixture_teardown),
		TEST_TUN(test_decide_unowned_is_dropped_with_a_tun_too),
		TEST(test_decide_hub_without_addresses_answers_nothing),
		TEST_TUN(test_decide_host_packet_goes_to_the_owner_unchanged),
		TEST_TUN(test_decide_host_packet_for_nobody_or_the_hub_is_dropped),
		TEST_TUN(test_decide_host_garbage_of_any_length_is_dropped),
		TEST_TUN(test_decide_routing_loop_is_reported_once_a_minute),
		TEST(test_decide_verdicts_do_not_leak_to_the_next_packet),
	};

	return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
