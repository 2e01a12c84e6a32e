/* talk.c - see talk.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/talk.h"

#include <string.h>

struct fixture f;
struct remote talkers[TALKERS];
uint8_t family = WGH_IPV4;
struct wgh_policy policy;
static uint64_t counted[DROP_N];

static struct wgh_addr addr_of(unsigned n)
{
	return family == WGH_IPV4 ? (struct wgh_addr){{10, 0, 0, (uint8_t)n}, WGH_IPV4}
				  : (struct wgh_addr){{0xfd, [15] = (uint8_t)n}, WGH_IPV6};
}

void talk_policy(void)
{
	const struct wgh_change change = {.flags = WGH_HAS_POLICY, .policy = &policy};

	assert_int_equal(fixture_apply(&f, &change, NULL), 0);
}

void talk_set(unsigned n, uint32_t flags, uint8_t group, uint8_t nat)
{
	struct wgh_peer_change change = {
		.public_key = remote_key(&talkers[n]), .flags = flags, .group = group, .nat = nat};

	fixture_change_peer(&f, &change);
}

void talk_begin(bool has_tun, enum wgh_nat nat)
{
	talk_begin_with(has_tun, nat, FLOWS_MAX);
}

void talk_begin_with(bool has_tun, enum wgh_nat nat, uint32_t flows_max)
{
	talk_begin_workers(has_tun, nat, flows_max, 1);
}

void talk_begin_workers(bool has_tun, enum wgh_nat nat, uint32_t flows_max, unsigned n_workers)
{
	fixture_init(&f, &(struct fixture_options){.has_tun = has_tun, .n_workers = n_workers});
	family = WGH_IPV4;
	wgh_policy_defaults(&policy);
	policy.flows_max = flows_max;
	if (policy.flows_per_peer_max > flows_max)
		policy.flows_per_peer_max = flows_max;
	talk_policy();
	for (unsigned n = 1; n < TALKERS; n++) {
		const bool device = n == DEVICE || n == DEVICE2;

		remote_init(&f, &talkers[n], n);
		remote_add(&f, &talkers[n]);
		if (n != PLAIN)
			talk_set(n, WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT,
				device ? WGH_GROUP_DEVICE : WGH_GROUP_CLIENT,
				device ? nat : WGH_NAT_NEVER);
		remote_connect(&f, &talkers[n]);
	}
	for (unsigned r = 0; r < DROP_N; r++)
		counted[r] = 0;
}

void talk_end(void)
{
	fixture_check_sum(&f);
	fixture_fini(&f);
}

int talk_setup_nat(void **state)
{
	(void)state;
	talk_begin(false, WGH_NAT_ALWAYS);
	return 0;
}

int talk_setup_nat_tun(void **state)
{
	(void)state;
	talk_begin(true, WGH_NAT_ALWAYS);
	return 0;
}

int talk_teardown(void **state)
{
	(void)state;
	talk_end();
	return 0;
}

uint32_t talk_flows(void)
{
	return flow_count(f.hub->flows);
}

/* ---- saying ---- */

static struct transport between(
	enum transport_kind kind, unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port)
{
	return (struct transport){.kind = kind,
		.src = addr_of(from),
		.dst = addr_of(to),
		.src_port = src_port,
		.dst_port = dst_port,
		.payload_seed = 1,
		.payload_bytes = 40};
}

struct transport tcp(
	unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port, uint8_t flags)
{
	struct transport t = between(TRANSPORT_TCP, from, src_port, to, dst_port);

	t.tcp_flags = flags;
	t.payload_bytes = flags & (TCP_SYN | TCP_RST) ? 0 : 40;
	return t;
}

struct transport udp(unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port)
{
	return between(TRANSPORT_UDP, from, src_port, to, dst_port);
}

struct transport echo(unsigned from, uint16_t id, unsigned to)
{
	return between(TRANSPORT_ECHO_REQUEST, from, id, to, 0);
}

void say_bytes(unsigned sender, const uint8_t *packet, uint32_t len_bytes)
{
	fixture_forget(&f);
	if (sender == HUB)
		fixture_tun(&f, packet, len_bytes);
	else
		remote_send(&f, &talkers[sender], packet, len_bytes);
}

void say(unsigned sender, struct transport t)
{
	uint8_t packet[TRANSPORT_BYTES_MAX];

	say_bytes(sender, packet, transport_build(packet, &t));
}

/* ---- hearing ---- */

static unsigned number_of(const struct wgh_addr *addr)
{
	return addr->bytes[addr->family == WGH_IPV4 ? 3 : 15];
}

static void read_transport(struct heard *h)
{
	const uint8_t *l4 = h->packet + h->info.l4_offset;

	if (!h->info.l4_offset || !h->info.first_fragment)
		return;
	h->src_port = (uint16_t)(l4[0] << 8 | l4[1]);
	h->dst_port = (uint16_t)(l4[2] << 8 | l4[3]);
	if (h->proto == IP_PROTO_TCP)
		h->tcp_flags = l4[13];
	if (h->proto != IP_PROTO_ICMP && h->proto != IP_PROTO_ICMPV6)
		return;
	h->icmp_type = l4[0];
	h->icmp_code = l4[1];
	h->src_port = h->dst_port = 0;
	if (h->icmp_type == 8 || h->icmp_type == 128)
		h->src_port = (uint16_t)(l4[4] << 8 | l4[5]);
	else if (h->icmp_type == 0 || h->icmp_type == 129)
		h->dst_port = (uint16_t)(l4[4] << 8 | l4[5]);
}

static void check_checksums(const struct heard *h)
{
	uint8_t copy[2048];

	assert_true(ip_header_checksum_ok(h->packet));
	if (h->info.fragment)
		return;
	memcpy(copy, h->packet, h->len_bytes);
	transport_checksums_set(copy, h->len_bytes);
	assert_memory_equal(copy, h->packet, h->len_bytes);
}

static void read_packet(struct heard *h, const uint8_t *packet, uint32_t len_bytes)
{
	memset(h, 0, sizeof *h);
	assert_true(len_bytes <= sizeof h->packet);
	assert_int_equal(ip_parse(&h->info, packet, len_bytes), DROP_NONE);
	h->len_bytes = h->info.len_bytes;
	memcpy(h->packet, packet, h->len_bytes);
	h->src = number_of(&h->info.src);
	h->dst = number_of(&h->info.dst);
	h->proto = h->info.proto;
	h->ttl = h->info.ttl;
	read_transport(h);
	check_checksums(h);
}

/* Handshakes and keepalives of the hub are nothing that is heard. */
static unsigned n_heard_by(unsigned n, struct heard *first)
{
	uint8_t plain[4096];
	unsigned found = 0;
	int len;

	if (n == HUB) {
		if (f.n_tun)
			read_packet(first, f.tun[0].data, f.tun[0].len_bytes);
		return (unsigned)f.n_tun;
	}
	for (size_t i = 0; remote_sent(&f, &talkers[n], i); i++) {
		len = remote_open(&talkers[n], remote_sent(&f, &talkers[n], i), plain);
		if (len > 0 && !found++)
			read_packet(first, plain, (uint32_t)len);
	}
	return found;
}

bool heard_by(unsigned n, struct heard *h)
{
	return n_heard_by(n, h) > 0;
}

static struct heard only(unsigned at)
{
	struct heard h = {0}, other;

	for (unsigned n = 1; n < TALKERS; n++)
		if (n != at && heard_by(n, &other))
			fail_msg("%u heard something from %u, not %u", n, other.src, at);
	if (at != HUB && heard_by(HUB, &other))
		fail_msg("the host heard something from %u, not %u", other.src, at);
	if (at)
		assert_int_equal(n_heard_by(at, &h), 1);
	return h;
}

struct heard must_hear(
	unsigned at, unsigned src, uint16_t src_port, unsigned dst, uint16_t dst_port)
{
	struct heard h = only(at);

	assert_int_equal(h.src, src);
	assert_int_equal(h.src_port, src_port);
	assert_int_equal(h.dst, dst);
	assert_int_equal(h.dst_port, dst_port);
	return h;
}

void must_be_silent(void)
{
	only(0);
}

void must_be_told(unsigned sender, enum icmp_error error)
{
	static const uint8_t codes[][4] = {/* IPv4, IPv6 */
		[ICMP_TIME_EXCEEDED] = {11, 0, 3, 0},
		[ICMP_NO_ROUTE] = {3, 1, 1, 3},
		[ICMP_ADMIN_PROHIBITED] = {3, 13, 1, 1},
		[ICMP_PORT_UNREACHABLE] = {3, 3, 1, 4},
		[ICMP_PROTOCOL_UNREACHABLE] = {3, 2, 4, 1},
		[ICMP_TOO_BIG] = {3, 4, 2, 0}};
	const uint8_t *code = codes[error] + (family == WGH_IPV4 ? 0 : 2);
	struct heard h = only(sender);

	if (sender != HUB)
		assert_int_equal(h.src, HUB);
	assert_int_equal(h.dst, sender);
	assert_int_equal(h.icmp_type, code[0]);
	assert_int_equal(h.icmp_code, code[1]);
}

void must_be_reset(unsigned sender, unsigned other, uint16_t port)
{
	struct heard h = only(sender);

	assert_int_equal(h.proto, IP_PROTO_TCP);
	assert_true(h.tcp_flags & TCP_RST);
	assert_int_equal(h.src, other);
	assert_int_equal(h.src_port, port);
	assert_int_equal(h.dst, sender);
}

void must_count(enum drop reason)
{
	for (unsigned r = 0; r < DROP_N; r++) {
		const uint64_t now = fixture_drops(&f, r), moved = now - counted[r];

		if (moved != (r == reason && reason != DROP_NONE))
			fail_msg("%s was counted %u times, not only %s once",
				wgh_drop_reason(r)->name, (unsigned)moved,
				wgh_drop_reason(reason)->name);
		counted[r] = now;
	}
}
