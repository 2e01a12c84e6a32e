/* Random packets of everybody through policy, flows, fragments and translation, while policy,
 * modes, sessions and time change: nothing is counted twice or lost, memory keeps its bounds, a
 * device that nobody touched sees the hub only, nothing gets to a client that it did not ask for,
 * and a conversation that began before all that goes on. SOAK_SECONDS makes it longer, SEED another
 * one; under AddressSanitizer it looks for bytes too far. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/talk.h"

#define STEPS 30000
#define CANARY_PORT 40123
#define CANARY_SERVICE 7777
#define FLOWS 200

static struct rng rng;
static uint16_t canary_at_device; /* the hub's port for it */

static unsigned any(unsigned n)
{
	return (unsigned)rng_below(&rng, n);
}

static struct wgh_addr number(unsigned n)
{
	return family == WGH_IPV4 ? (struct wgh_addr){{10, 0, 0, (uint8_t)n}, WGH_IPV4}
				  : (struct wgh_addr){{0xfd, [15] = (uint8_t)n}, WGH_IPV6};
}

/* Few, so that they meet; and never the quiet conversation's. */
static uint16_t any_port(void)
{
	static const uint16_t ports[] = {1, 22, 53, 5000, 5001, 8883, 61000, 61001, 61002, 65535};

	return ports[any(10)];
}

/* ---- what people heard, to be answered ---- */

static struct {
	uint8_t bytes[2048];
	uint32_t len_bytes;
} heard[TALKERS];

static bool spoken_to[256]; /* by DEVICE: who answers has the address that it was asked at */

/* Clients have services for nobody; CLIENT2 hears its own conversation only. */
static void judge(unsigned at, const uint8_t *packet, const struct ip_info *info)
{
	const unsigned src = info->src.bytes[info->src.family == WGH_IPV4 ? 3 : 15];
	const uint8_t *l4 = packet + info->l4_offset;

	if (at == DEVICE)
		assert_true(src == HUB || spoken_to[src]);
	if (at != CLIENT2 || src == HUB)
		return;
	assert_int_equal(src, DEVICE);
	assert_true(info->first_fragment && info->proto == IP_PROTO_UDP);
	assert_int_equal(l4[0] << 8 | l4[1], CANARY_SERVICE);
	assert_int_equal(l4[2] << 8 | l4[3], CANARY_PORT);
}

static void listen_all(void)
{
	uint8_t plain[4096];

	for (unsigned n = 1; n < TALKERS; n++) {
		if (!remote_peer(&f, &talkers[n]))
			continue;
		for (size_t i = 0; remote_sent(&f, &talkers[n], i); i++) {
			struct ip_info info;
			int len = remote_open(&talkers[n], remote_sent(&f, &talkers[n], i), plain);

			if (len <= 0)
				continue;
			assert_int_equal(ip_parse(&info, plain, (uint32_t)len), DROP_NONE);
			judge(n, plain, &info);
			if (info.len_bytes <= sizeof heard[n].bytes) {
				memcpy(heard[n].bytes, plain, info.len_bytes);
				heard[n].len_bytes = info.len_bytes;
			}
		}
	}
}

/* ---- what they say ---- */

static void send_bytes(unsigned sender, const uint8_t *packet, uint32_t len_bytes)
{
	struct ip_info info;

	if (sender != HUB && !remote_peer(&f, &talkers[sender]))
		return;
	if (sender == DEVICE && !ip_parse(&info, packet, len_bytes))
		spoken_to[info.dst.bytes[info.dst.family == WGH_IPV4 ? 3 : 15]] = true;
	say_bytes(sender, packet, len_bytes);
	listen_all();
}

static void swap(uint8_t *a, uint8_t *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const uint8_t kept = a[i];

		a[i] = b[i];
		b[i] = kept;
	}
}

/* As a host does: ends swapped, an echo replied. */
static uint32_t answer_of(uint8_t *packet, unsigned who)
{
	const uint32_t len = heard[who].len_bytes;
	struct ip_info info;

	memcpy(packet, heard[who].bytes, len);
	if (!len || ip_parse(&info, packet, len) || !info.l4_offset ||
		info.len_bytes - info.l4_offset < 8)
		return 0;
	if (info.src.family == WGH_IPV4)
		swap(packet + 12, packet + 16, 4);
	else
		swap(packet + 8, packet + 24, 16);
	if (info.proto == IP_PROTO_TCP || info.proto == IP_PROTO_UDP)
		swap(packet + info.l4_offset, packet + info.l4_offset + 2, 2);
	else if (packet[info.l4_offset] == 8 || packet[info.l4_offset] == 128)
		packet[info.l4_offset] = packet[info.l4_offset] == 8 ? 0 : 129;
	transport_checksums_set(packet, len);
	return len;
}

static uint32_t error_about(uint8_t *packet, unsigned who)
{
	uint32_t len = heard[who].len_bytes;
	struct ip_info info;

	if (!len || ip_parse(&info, heard[who].bytes, len))
		return 0;
	len = len > 600 ? 600 : len;
	len -= any(len / 2);
	return transport_error_build(packet, &info.dst, &info.src,
		(uint8_t)(info.src.family == WGH_IPV4 ? 3 + any(10) : 1 + any(4)), (uint8_t)any(5),
		heard[who].bytes, len);
}

static uint32_t fresh(uint8_t *packet, unsigned sender)
{
	const unsigned to[] = {
		CLIENT, CLIENT2, DEVICE, DEVICE, DEVICE2, PLAIN, HUB, HUB, PROBE, 99};
	const bool stock = sender == DEVICE && any(200); /* a stock device speaks to the hub */
	const uint8_t flags[] = {SYN, SYN, ACK, SYNACK, RST, FINACK, 0xff};
	struct transport t = {.kind = (enum transport_kind)any(TRANSPORT_KINDS),
		.src = number(any(30) || sender == HUB ? sender : any(8)),
		.dst = number(stock ? HUB : to[any(10)]),
		.src_port = any_port(),
		.dst_port = any_port(),
		.tcp_flags = flags[any(7)],
		.ttl = any(20) ? 64 : (uint8_t)any(3),
		.n_options = any(6) ? 0 : (uint8_t)any(4),
		.udp_without_checksum = family == WGH_IPV4 && !any(4),
		.payload_seed = 1,
		.payload_bytes = any(4) ? any(60) : any(1300)};

	return transport_build(packet, &t);
}

static void say_something(unsigned sender)
{
	uint8_t packet[2 * TRANSPORT_BYTES_MAX] = {0}, piece[TRANSPORT_BYTES_MAX];
	const unsigned ear = sender == HUB ? 0 : sender;
	struct ip_info info;
	uint32_t len = 0;

	switch (any(6)) {
	case 0:
	case 1:
		len = ear ? answer_of(packet, ear) : 0;
		break;
	case 2:
		len = ear ? error_about(packet, ear) : 0;
		break;
	}
	if (!len)
		len = fresh(packet, sender);
	if (!any(8) && len > 60) { /* in pieces, of which some are lost, doubled or late */
		const uint32_t cut = 8 * (1 + any(40)), id = any(5);

		for (uint32_t i = 0, n; i < 12; i++)
			if (any(4) &&
				(n = transport_fragment(
					 piece, packet, len, id, cut, any(5) ? i : any(12))))
				send_bytes(sender, piece, n);
		return;
	}
	/* Damaged; but for the host, who may send from any address. */
	for (unsigned n = any(8) || sender == HUB ? 0 : 1 + any(4); n; n--)
		packet[any(len)] ^= (uint8_t)(1u << any(8));
	if (!any(16))
		len -= any(len);
	/* A right checksum over the damage, where the headers still say what it covers. */
	if (!any(3) && !ip_parse(&info, packet, len) && info.len_bytes == len &&
		info.first_fragment && info.l4_offset && len - info.l4_offset >= 20)
		transport_checksums_set(packet, len);
	send_bytes(sender, packet, len);
}

/* ---- what changes meanwhile ---- */

static void change_policy(void)
{
	static struct wgh_forward forwards[2];

	wgh_policy_defaults(&policy);
	policy.flows_max = FLOWS;
	policy.flows_per_peer_max = 1 + any(FLOWS / 4);
	policy.probe4 = (struct wgh_addr){{10, 0, 0, PROBE}, WGH_IPV4};
	policy.clamp_mss = any(2);
	policy.nat_port_last = any(2) ? 65535 : 61010;
	policy.table[WGH_GROUP_DEVICE][WGH_GROUP_DEVICE] = (uint8_t)any(3);
	policy.table[WGH_GROUP_DEVICE][WGH_GROUP_HOST] = (uint8_t)any(3);
	policy.table[WGH_GROUP_CLIENT][WGH_GROUP_PEER] = (uint8_t)any(3);
	for (int i = 0; i < 2; i++)
		forwards[i] = (struct wgh_forward){.from = {WGH_PARTY_GROUP, (uint8_t)any(4)},
			.to = remote_key(&talkers[i ? DEVICE2 : PLAIN]),
			.proto = any(2) ? IP_PROTO_TCP : IP_PROTO_UDP,
			.port = (uint16_t)(8883 + i),
			.to_port = any_port()};
	policy.forwards = forwards;
	policy.n_forwards = any(3);
	talk_policy();
}

static void change_something(void)
{
	struct wgh_peer_change gone = {
		.public_key = remote_key(&talkers[DEVICE2]), .flags = WGH_PEER_REMOVE};

	switch (any(8)) {
	case 0:
		change_policy();
		break;
	case 1:
		talk_set(DEVICE2, WGH_PEER_HAS_NAT | WGH_PEER_UPDATE_ONLY, 0, (uint8_t)any(3));
		break;
	case 2:
		talk_set(PLAIN, WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT,
			any(2) ? WGH_GROUP_PEER : WGH_GROUP_FIRST_FREE, (uint8_t)any(3));
		break;
	case 3:
		fixture_advance(&f, any(10) * NS_PER_S);
		break;
	case 4:
		if (remote_peer(&f, &talkers[DEVICE2])) {
			fixture_change_peer(&f, &gone);
			break;
		}
		remote_add(&f, &talkers[DEVICE2]);
		talk_set(DEVICE2, WGH_PEER_HAS_GROUP, WGH_GROUP_DEVICE, 0);
		remote_connect(&f, &talkers[DEVICE2]);
		break;
	default:
		fixture_advance(&f, any(100) * NS_PER_MS);
	}
	fixture_forget(&f);
}

/* ---- what stays ---- */

static void renew_sessions(void)
{
	fixture_advance(&f, NS_PER_S);
	for (unsigned n = 1; n < TALKERS; n++)
		if (remote_peer(&f, &talkers[n]))
			remote_connect(&f, &talkers[n]);
}

static void canary_speaks(void)
{
	const uint8_t before = family;
	struct heard h;

	family = WGH_IPV4;
	say(CLIENT2, udp(CLIENT2, CANARY_PORT, DEVICE, CANARY_SERVICE));
	assert_true(heard_by(DEVICE, &h));
	assert_int_equal(h.dst_port, CANARY_SERVICE);
	if (!canary_at_device)
		canary_at_device = h.src_port;
	assert_int_equal(h.src_port, canary_at_device); /* the same flow */
	say(DEVICE, udp(DEVICE, CANARY_SERVICE, HUB, canary_at_device));
	must_hear(CLIENT2, DEVICE, CANARY_SERVICE, CLIENT2, CANARY_PORT);
	family = before;
}

static void check_bounds(void)
{
	assert_true(flow_count(f.hub->flows) <= FLOWS);
	assert_true(f.hub->flows_room <= FLOWS);
	fixture_check_sum(&f);
}

/* It was not all refused at the door. */
static void check_reached(void)
{
	const enum drop reasons[] = {DROP_POLICY, DROP_NO_FLOW, DROP_FLOW_PEER_FULL,
		DROP_NAT_PROTOCOL, DROP_NAT_HEADER, DROP_FRAGMENT, DROP_FRAGMENT_OVERLAP, DROP_TTL};

	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (!fixture_drops(&f, reasons[i]))
			fail_msg("nothing was dropped for %s", wgh_drop_reason(reasons[i])->name);
	assert_true(relaxed_get(&f.worker->stats.n_forwarded) > STEPS / 30);
	assert_true(relaxed_get(&f.worker->stats.n_own) > STEPS / 30);
}

static void soak(bool has_tun, uint64_t seed, uint64_t until_s)
{
	const time_t end = time(NULL) + (time_t)until_s;
	const unsigned senders[] = {CLIENT, CLIENT, DEVICE, DEVICE, DEVICE2, PLAIN, HUB};

	rng.state = seed;
	canary_at_device = 0;
	memset(heard, 0, sizeof heard);
	memset(spoken_to, 0, sizeof spoken_to);
	talk_begin_with(has_tun, WGH_NAT_ALWAYS, FLOWS);
	canary_speaks();
	for (unsigned step = 0; step < STEPS || (until_s && time(NULL) < end); step++) {
		family = any(3) ? WGH_IPV4 : WGH_IPV6;
		say_something(senders[any(has_tun ? 7 : 6)]);
		if (step % 100 == 99)
			change_something();
		if (step % 500 == 499) {
			canary_speaks();
			check_bounds();
		}
		if (step % 2000 == 1999)
			renew_sessions();
	}
	canary_speaks();
	check_bounds();
	check_reached();
	fixture_advance(&f, 3 * 3600 * NS_PER_S); /* everybody has gone home */
	for (int s = 0; s < 40; s++)
		fixture_advance(&f, NS_PER_S);
	assert_int_equal(flow_count(f.hub->flows), 0);
	talk_end();
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_decide_soak_without_a_tun(void **state)
{
	(void)state;
	soak(false, from_environment("SEED", 1), from_environment("SOAK_SECONDS", 0) / 2);
}

static void test_decide_soak_with_a_tun(void **state)
{
	(void)state;
	soak(true, from_environment("SEED", 2), from_environment("SOAK_SECONDS", 0) / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide_soak_without_a_tun),
		cmocka_unit_test(test_decide_soak_with_a_tun),
	};

	return cmocka_run_group_tests_name("decide_soak", tests, NULL, NULL);
}
