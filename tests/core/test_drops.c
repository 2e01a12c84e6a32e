/* One way to each drop reason, through the public face of the core: that counter moves and no
 * other, the hub's and, where a peer is to blame or to pity, that peer's. A reason without an entry
 * here fails.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "tests/lib/fixture.h"
#include "tests/lib/transport.h"

static struct fixture f;
static struct remote a, b, c; /* a and b are connected; c is in no table until an entry adds it */

/* ---- counting ---- */

static uint64_t before[DROP_N], before_of[3][DROP_N];

static uint64_t peer_drops(const struct remote *r, enum drop reason)
{
	struct peer *peer = remote_peer(&f, r);

	return peer ? relaxed_get(&peer->drops[reason]) : 0;
}

/* What happens from here on counts. */
static void mark(void)
{
	const struct remote *const remotes[3] = {&a, &b, &c};

	for (unsigned reason = 0; reason < DROP_N; reason++) {
		before[reason] = fixture_drops(&f, reason);
		for (int i = 0; i < 3; i++)
			before_of[i][reason] = peer_drops(remotes[i], reason);
	}
}

/* ---- outer datagrams ---- */

static void from_a(const void *data, uint32_t len_bytes)
{
	fixture_udp(&f, &a.endpoint, data, len_bytes);
}

static void send_inner(const struct inner *p)
{
	remote_send(&f, &a, p->data, p->len_bytes);
}

static void reach_short(void)
{
	from_a("\1\0\0", 3);
}

static void reach_type(void)
{
	from_a("\4\0\0\1", 4);
}

static void reach_no_session(void)
{
	uint8_t message[32] = {WIRE_DATA};

	le32_put(message + 4, a.remote_index + 1);
	from_a(message, sizeof message);
}

static void reach_expired(void)
{
	fixture_advance(&f, 180 * NS_PER_S);
	remote_send(&f, &a, NULL, 0);
}

static void reach_auth(void)
{
	uint8_t message[32];

	remote_seal(&a, message, NULL, 0);
	message[31] ^= 1;
	from_a(message, sizeof message);
}

static void reach_replay(void)
{
	uint8_t message[32];

	remote_seal(&a, message, NULL, 0);
	from_a(message, sizeof message);
	from_a(message, sizeof message);
}

/* ---- handshakes ---- */

static void reach_handshake_queue(void)
{
	struct wire_initiation msg = {{WIRE_INITIATION}};

	for (int i = 0; i < HANDSHAKE_QUEUE_MESSAGES + 1; i++)
		fixture_udp_only(&f, &a.endpoint, &msg, sizeof msg);
}

static void reach_no_identity(void)
{
	struct wire_initiation msg = {{WIRE_INITIATION}};

	from_a(&msg, sizeof msg);
}

static void reach_mac1(void)
{
	struct wire_initiation msg;

	remote_initiation(&f, &a, &msg);
	msg.macs.mac1[0] ^= 1;
	from_a(&msg, sizeof msg);
}

static void reach_under_load(void)
{
	struct wire_initiation msg;

	remote_initiation(&f, &a, &msg);
	for (int i = 0; i < HANDSHAKE_QUEUE_MESSAGES / 8; i++)
		fixture_udp_only(&f, &a.endpoint, &msg, sizeof msg);
	do
		fixture_run(&f);
	while (f.next_ns == f.now_ns);
	assert_int_equal(f.n_sent, HANDSHAKE_QUEUE_MESSAGES / 8);
}

static void reach_rate_limit(void)
{
	struct wire_initiation msg;

	reach_under_load();
	assert_true(cookie_jar_open(
		&a.jar, &f.hub_key, (const struct wire_cookie *)f.sent[0].data, f.now_ns));
	mark();
	/* Each is good and not too early; their number alone is too much. */
	while (!fixture_drops(&f, DROP_RATE_LIMIT)) {
		fixture_advance(&f, 20 * NS_PER_MS);
		remote_initiation(&f, &a, &msg);
		from_a(&msg, sizeof msg);
	}
}

static void reach_handshake(void)
{
	struct wire_initiation msg;

	remote_initiation(&f, &a, &msg);
	msg.static_key[0] ^= 1;
	remote_sign(&f, &a, &msg, sizeof msg);
	from_a(&msg, sizeof msg);
}

static void reach_unknown_peer(void)
{
	struct wire_initiation msg;

	remote_initiation(&f, &c, &msg);
	from_a(&msg, sizeof msg);
}

static void reach_old_timestamp(void)
{
	struct wire_initiation msg;

	fixture_advance(&f, NS_PER_S);
	remote_initiation(&f, &a, &msg);
	from_a(&msg, sizeof msg);
	fixture_advance(&f, NS_PER_S);
	from_a(&msg, sizeof msg);
}

static void reach_flood(void)
{
	struct wire_initiation msg;

	fixture_advance(&f, NS_PER_S);
	for (int i = 0; i < 2; i++) {
		remote_initiation(&f, &a, &msg);
		from_a(&msg, sizeof msg);
	}
}

static void reach_no_memory(void)
{
	static struct mem_budget used_up = {.limit_bytes = 1};
	struct slab *slab = &f.hub->keypairs;
	struct mem_budget *budget_before = slab->budget;
	struct slab_free *free_before = slab->free;
	struct wire_initiation msg;

	fixture_advance(&f, NS_PER_S);
	remote_initiation(&f, &a, &msg);
	slab->budget = &used_up;
	slab->free = NULL;
	from_a(&msg, sizeof msg);
	slab->free = free_before;
	slab->budget = budget_before;
	assert_true(relaxed_get(&used_up.n_refused) == 1);
}

static void reach_stray_response(void)
{
	struct wire_response msg = {{WIRE_RESPONSE}};

	remote_sign(&f, &a, &msg, sizeof msg);
	from_a(&msg, sizeof msg);
}

static void reach_cookie(void)
{
	struct wire_cookie msg = {{WIRE_COOKIE}};

	le32_put(msg.receiver, a.remote_index);
	from_a(&msg, sizeof msg);
}

static void reach_reply_address(void)
{
	struct wgh_endpoint nowhere = endpoint4(1, 0);
	struct wire_initiation msg;

	remote_initiation(&f, &a, &msg);
	fixture_udp(&f, &nowhere, &msg, sizeof msg);
}

/* ---- inner packets ---- */

static void reach_inner_short(void)
{
	struct inner p = inner4(1, 2, 100);

	p.len_bytes = 32; /* its header says 128 */
	send_inner(&p);
}

static void reach_inner_version(void)
{
	struct inner p = inner4(1, 2, 100);

	p.data[0] = 0x55;
	send_inner(&p);
}

static void reach_inner_header(void)
{
	struct inner p = inner4(1, 2, 100);

	p.data[10] ^= 1;
	send_inner(&p);
}

static void reach_source(void)
{
	struct inner p = inner4(2, 1, 100);

	send_inner(&p);
}

/* To this address. */
static void send_to(uint8_t w, uint8_t x, uint8_t y, uint8_t z)
{
	struct inner p = inner4(1, 2, 100);

	memcpy(p.data + 16, (uint8_t[]){w, x, y, z}, 4);
	inner_mend(&p);
	send_inner(&p);
}

static void reach_martian(void)
{
	send_to(127, 0, 0, 1);
}

static void reach_broadcast(void)
{
	send_to(10, 0, 0, 255);
}

static void reach_multicast(void)
{
	send_to(224, 0, 0, 251);
}

static void reach_source_route(void)
{
	struct inner p = inner4(1, 2, 100);

	p.data[0] = 0x46;
	memcpy(p.data + 20, (uint8_t[]){131, 3, 4, 0}, 4);
	inner_mend(&p);
	send_inner(&p);
}

static void reach_land(void)
{
	send_to(10, 0, 0, 1);
}

/* The peer owns this too. */
static void give(const struct remote *r, struct wgh_prefix prefix)
{
	struct wgh_allowed_ip ip = {prefix};
	struct wgh_peer_change change = {
		.public_key = remote_key(r), .allowed_ips = &ip, .n_allowed_ips = 1};

	fixture_change_peer(&f, &change);
}

static void reach_hairpin(void)
{
	give(&a, prefix4(10, 1, 0, 0, 16));
	send_to(10, 1, 2, 3);
}

static void reach_ttl(void)
{
	struct inner p = inner4(1, 2, 100);

	p.data[8] = 1;
	inner_mend(&p);
	send_inner(&p);
}

static void reach_no_route(void)
{
	send_to(10, 99, 0, 1);
}

static void reach_too_big(void)
{
	struct inner p = inner4(1, 2, 1400);

	p.data[6] = 0x40; /* DF */
	inner_mend(&p);
	send_inner(&p);
}

static void reach_no_host(void)
{
	send_to(10, 0, 0, 254);
}

static void reach_policy(void)
{
	struct wgh_peer_change peer = {.public_key = remote_key(&b),
		.flags = WGH_PEER_HAS_GROUP,
		.group = WGH_GROUP_DEVICE};

	fixture_change_peer(&f, &peer);
	send_to(10, 0, 0, 2);
}

static void drop_all(void *arg, struct wgh_filter_packet *packets, size_t n)
{
	(void)arg;
	for (size_t i = 0; i < n; i++)
		packets[i].drop = true;
}

static void reach_filter(void)
{
	f.hub->options.filter = drop_all;
	send_to(10, 0, 0, 2);
}

static void reach_routing_loop(void)
{
	struct inner p = inner4(254, 2, 100);

	give(&b, prefix4(192, 0, 2, 2, 32));
	assert_int_equal(hub_set_port(f.hub, 51820), 0);
	memcpy(p.data + 16, b.endpoint.addr, 4);
	p.data[20] = 51820 >> 8;
	p.data[21] = 51820 & 0xff;
	p.data[22] = (uint8_t)(b.endpoint.port >> 8);
	p.data[23] = (uint8_t)b.endpoint.port;
	inner_mend(&p);
	fixture_tun(&f, p.data, p.len_bytes);
}

/* ---- flows, translation ---- */

static void set_group(struct remote *r, uint8_t group, uint8_t nat)
{
	struct wgh_peer_change peer = {.public_key = remote_key(r),
		.flags = WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT,
		.group = group,
		.nat = nat};

	fixture_change_peer(&f, &peer);
}

/* a is a client, b a device that nobody touched. */
static void client_and_device(uint32_t flows_max, uint32_t flows_per_peer_max, uint16_t last_port)
{
	struct wgh_policy policy;

	wgh_policy_defaults(&policy);
	policy.flows_max = flows_max;
	policy.flows_per_peer_max = flows_per_peer_max;
	policy.nat_port_last = last_port;
	assert_int_equal(
		hub_apply(f.hub, &(struct wgh_change){.flags = WGH_HAS_POLICY, .policy = &policy},
			f.now_ns, NULL),
		0);
	set_group(&a, WGH_GROUP_CLIENT, WGH_NAT_NEVER);
	set_group(&b, WGH_GROUP_DEVICE, WGH_NAT_ALWAYS);
}

static struct wgh_addr address(unsigned n)
{
	return (struct wgh_addr){{10, 0, 0, (uint8_t)n}, WGH_IPV4};
}

static struct transport udp(unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port)
{
	return (struct transport){.kind = TRANSPORT_UDP,
		.src = address(from),
		.dst = address(to),
		.src_port = src_port,
		.dst_port = dst_port,
		.payload_bytes = 100};
}

static void say(struct remote *r, struct transport t)
{
	uint8_t packet[TRANSPORT_BYTES_MAX];

	remote_send(&f, r, packet, transport_build(packet, &t));
}

/* Without a TUN a port above 1023 is kept. */
static void begin_answered_flow(struct remote *r, uint16_t port)
{
	say(r, udp(r->n, port, 2, 9));
	say(&b, udp(2, 9, 254, port));
}

static void reach_no_flow(void)
{
	struct transport t = udp(2, 22, 1, 40000);

	client_and_device(16, 16, 65535);
	t.kind = TRANSPORT_TCP;
	say(&b, t);
}

static void reach_flow_table_full(void)
{
	client_and_device(16, 10, 65535);
	remote_add(&f, &c);
	set_group(&c, WGH_GROUP_CLIENT, WGH_NAT_NEVER);
	remote_connect(&f, &c);
	for (uint16_t port = 2000; port < 2010; port++)
		begin_answered_flow(&a, port);
	for (uint16_t port = 3000; port < 3006; port++)
		begin_answered_flow(&c, port);
	mark();
	say(&c, udp(3, 4000, 2, 9));
}

static void reach_flow_peer_full(void)
{
	client_and_device(16, 1, 65535);
	begin_answered_flow(&a, 2000);
	say(&a, udp(1, 2001, 2, 9));
}

static void reach_nat_ports(void)
{
	client_and_device(16, 16, NAT_PORT_FIRST);
	say(&a, udp(1, 100, 2, 9));
	say(&a, udp(1, 101, 2, 9));
}

/* The client's packet with another protocol. */
static void send_as(uint8_t proto, uint32_t len_bytes)
{
	struct inner p = inner4(1, 2, len_bytes - 28);

	client_and_device(16, 16, 65535);
	p.data[9] = proto;
	inner_mend(&p);
	send_inner(&p);
}

static void reach_nat_protocol(void)
{
	send_as(47, 100); /* GRE */
}

static void reach_nat_header(void)
{
	send_as(IP_PROTO_TCP, 30);
}

static void send_piece(uint32_t i)
{
	uint8_t packet[TRANSPORT_BYTES_MAX], piece[TRANSPORT_BYTES_MAX];
	const struct transport t = udp(1, 5000, 2, 9);
	const uint32_t len = transport_build(packet, &t);

	remote_send(&f, &a, piece, transport_fragment(piece, packet, len, 7, 48, i));
}

static void reach_fragment(void)
{
	client_and_device(16, 16, 65535);
	send_piece(1);
}

static void reach_fragment_overlap(void)
{
	client_and_device(16, 16, 65535);
	send_piece(0);
	send_piece(0);
}

/* ---- sending ---- */

static void reach_no_endpoint(void)
{
	remote_add(&f, &c);
	mark();
	send_to(10, 0, 0, 3);
}

static void reach_staged_full(void)
{
	remote_add_with_endpoint(&f, &c);
	for (int i = 0; i < STAGED_PACKETS_PER_PEER + 1; i++)
		send_to(10, 0, 0, 3);
}

static void reach_staged_expired(void)
{
	remote_add_with_endpoint(&f, &c);
	send_to(10, 0, 0, 3);
	fixture_advance(&f, 110 * NS_PER_S);
}

/* The control side is away, and the queue to it has an end. */
static void reach_event_queue(void)
{
	struct inner p = inner4(1, 3, 1200);
	uint8_t message[1400];

	remote_add_with_endpoint(&f, &c);
	while (!fixture_drops(&f, DROP_EVENT_QUEUE))
		fixture_udp_only(
			&f, &a.endpoint, message, remote_seal(&a, message, p.data, p.len_bytes));
}

/* ---- the table ---- */

enum scene { SCENE_PEERS, SCENE_TUN, SCENE_NO_KEY };

static const struct way {
	void (*reach)(void);
	const struct remote *of; /* whose counter moves too; NULL: nobody's */
	unsigned n; /* how far; 0: once */
	enum scene scene;
	const char *io_test; /* counted in dataplane/io: the test in tests/io/test_device.c */
} WAYS[DROP_N] = {
	[DROP_TRUNCATED] = {.io_test = "test_device_counts_truncated_datagrams"},
	[DROP_SHORT] = {reach_short},
	[DROP_TYPE] = {reach_type},
	[DROP_NO_SESSION] = {reach_no_session},
	[DROP_EXPIRED] = {reach_expired, &a},
	[DROP_AUTH] = {reach_auth, &a},
	[DROP_REPLAY] = {reach_replay, &a},
	[DROP_HANDSHAKE_QUEUE] = {reach_handshake_queue},
	[DROP_NO_IDENTITY] = {reach_no_identity, .scene = SCENE_NO_KEY},
	[DROP_MAC1] = {reach_mac1},
	[DROP_UNDER_LOAD] = {reach_under_load, .n = HANDSHAKE_QUEUE_MESSAGES / 8},
	[DROP_RATE_LIMIT] = {reach_rate_limit},
	[DROP_HANDSHAKE] = {reach_handshake},
	[DROP_UNKNOWN_PEER] = {reach_unknown_peer},
	[DROP_OLD_TIMESTAMP] = {reach_old_timestamp, &a},
	[DROP_FLOOD] = {reach_flood, &a},
	[DROP_NO_MEMORY] = {reach_no_memory, &a},
	[DROP_STRAY_RESPONSE] = {reach_stray_response},
	[DROP_COOKIE] = {reach_cookie},
	[DROP_REPLY_ADDRESS] = {reach_reply_address},
	[DROP_INNER_SHORT] = {reach_inner_short, &a},
	[DROP_INNER_VERSION] = {reach_inner_version, &a},
	[DROP_INNER_HEADER] = {reach_inner_header, &a},
	[DROP_SOURCE] = {reach_source, &a},
	[DROP_MARTIAN] = {reach_martian, &a},
	[DROP_BROADCAST] = {reach_broadcast, &a},
	[DROP_MULTICAST] = {reach_multicast, &a},
	[DROP_SOURCE_ROUTE] = {reach_source_route, &a},
	[DROP_LAND] = {reach_land, &a},
	[DROP_HAIRPIN] = {reach_hairpin, &a},
	[DROP_TTL] = {reach_ttl, &a},
	[DROP_NO_ROUTE] = {reach_no_route, &a},
	[DROP_TOO_BIG] = {reach_too_big, &a},
	[DROP_NO_HOST] = {reach_no_host, &a},
	[DROP_POLICY] = {reach_policy, &a},
	[DROP_FILTER] = {reach_filter, &a},
	[DROP_ROUTING_LOOP] = {reach_routing_loop, &b, .scene = SCENE_TUN},
	[DROP_NO_FLOW] = {reach_no_flow, &b},
	[DROP_FLOW_TABLE_FULL] = {reach_flow_table_full, &c},
	[DROP_FLOW_PEER_FULL] = {reach_flow_peer_full, &a},
	[DROP_NAT_PORTS] = {reach_nat_ports, &a},
	[DROP_NAT_PROTOCOL] = {reach_nat_protocol, &a},
	[DROP_NAT_HEADER] = {reach_nat_header, &a},
	[DROP_FRAGMENT] = {reach_fragment, &a},
	[DROP_FRAGMENT_OVERLAP] = {reach_fragment_overlap, &a},
	[DROP_NO_ENDPOINT] = {reach_no_endpoint, &c},
	[DROP_STAGED_FULL] = {reach_staged_full, &c},
	[DROP_STAGED_EXPIRED] = {reach_staged_expired, &c},
	[DROP_EVENT_QUEUE] = {reach_event_queue, &c},
	[DROP_SEND] = {.io_test = "test_device_counts_refused_sends"},
	[DROP_TUN_WRITE] = {.io_test = "test_device_counts_refused_tun_writes"},
};

static void begin(enum scene scene)
{
	fixture_init(&f,
		&(struct fixture_options){
			.has_tun = scene == SCENE_TUN, .without_key = scene == SCENE_NO_KEY});
	remote_init(&f, &a, 1);
	remote_init(&f, &b, 2);
	remote_init(&f, &c, 3);
	if (scene == SCENE_NO_KEY)
		return;
	remote_add(&f, &a);
	remote_add(&f, &b);
	remote_connect(&f, &a);
	remote_connect(&f, &b);
}

static void assert_only(enum drop reason, const struct way *way)
{
	const struct remote *const remotes[3] = {&a, &b, &c};
	const unsigned n = way->n ? way->n : 1;

	for (unsigned r = 0; r < DROP_N; r++) {
		const uint64_t moved = fixture_drops(&f, r) - before[r];

		if (moved != (r == reason ? n : 0))
			fail_msg("on the way to %s, %s was counted %u times",
				wgh_drop_reason(reason)->name, wgh_drop_reason(r)->name,
				(unsigned)moved);
		for (int i = 0; i < 3; i++) {
			const bool counts = r == reason && remotes[i] == way->of;
			const uint64_t moved_of = peer_drops(remotes[i], r) - before_of[i][r];

			if (moved_of != (counts ? n : 0))
				fail_msg("on the way to %s, %s of peer %c was counted %u times",
					wgh_drop_reason(reason)->name, wgh_drop_reason(r)->name,
					"abc"[i], (unsigned)moved_of);
		}
	}
}

static void test_drops_every_reason_is_reached_and_counted_alone(void **state)
{
	(void)state;
	for (enum drop reason = DROP_NONE + 1; reason < DROP_N; reason++) {
		const struct way *way = &WAYS[reason];

		if (!way->reach) {
			if (!way->io_test)
				fail_msg("no way to %s", wgh_drop_reason(reason)->name);
			continue;
		}
		begin(way->scene);
		mark();
		way->reach();
		assert_only(reason, way);
		fixture_check_sum(&f);
		fixture_fini(&f);
	}
}

/* A hub has mostly such peers, and what nobody writes takes no memory (mem.h). One that counts here
 * ends this program. */
static void test_drops_of_peers_without_any_are_not_written(void **state)
{
	const struct wgh_change other_key = {.flags = WGH_HAS_PRIVATE_KEY, .private_key = {7}};
	static struct remote remotes[60];
	void *page;

	(void)state;
	fixture_init(&f, &(struct fixture_options){0});
	for (unsigned i = 0; i < 60; i++) {
		remote_init(&f, &remotes[i], i + 1);
		remote_add_with_endpoint(&f, &remotes[i]);
		remote_connect(&f, &remotes[i]);
	}
	/* All of this page are counters of those before and after. */
	page = (void *)((uintptr_t)remote_peer(&f, &remotes[30])->drops & ~(uintptr_t)4095);
	assert_int_equal(mprotect(page, 4096, PROT_READ), 0);
	assert_int_equal(hub_apply(f.hub, &other_key, f.now_ns, NULL), 0);
	hub_set_up(f.hub, false, f.now_ns);
	hub_set_up(f.hub, true, f.now_ns);
	fixture_advance(&f, 600 * NS_PER_S);
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drops_every_reason_is_reached_and_counted_alone),
		cmocka_unit_test(test_drops_of_peers_without_any_are_not_written),
	};

	return cmocka_run_group_tests_name("drops", tests, NULL, NULL);
}
