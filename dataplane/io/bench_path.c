/* bench_path.c - the pure cost of forwarding: the data path in memory, without a system call.
 *
 * A hub with pairs of peers forwards bursts from one to the other; only worker_input_udp() is
 * timed. Beside it stands the cost of opening and sealing the same packets and nothing else, so
 * that the difference is the hub's own work. Owns its hub and about 1 MiB; fails as wghub_bench.h
 * says.
 */
#include "wghub_bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/keys.h"
#include "core/worker.h"
#include "io/bench.h"

enum {
	BATCH_PACKETS = 128,
	N_BATCHES = WGH_BENCH_PACKETS_PER_ROUND / BATCH_PACKETS,
	STRIDE = 2048, /* of a message in memory */
	MTU = 1420, /* to which packets are padded */
	NOW_NS = 2, /* sessions never get old */
	ASKING_PORT = 61000, /* of the range that translation keeps */
	ANSWERING_PORT = 9,
};

/* One direction of a pair of peers. */
struct lane {
	struct noise_keys from; /* as the sending peer has them */
	uint64_t counter;
	uint32_t sender, index; /* the hub's index for it */
	struct wgh_addr src, dst;
	uint16_t src_port, dst_port;
};

struct wgh_bench {
	struct hub *hub;
	struct aead *aead;
	struct lane
		*lanes; /* of each pair the question's, then the answer's if there are answers */
	uint32_t n_lanes, next_lane;
	uint32_t n_bursts, burst_packets, packet_bytes;
	uint8_t *memory;
	struct wgh_packet packets[BATCH_PACKETS];
	struct wgh_burst bursts[BATCH_PACKETS];
	struct aead_job jobs[BATCH_PACKETS];
};

static void get_random(void *arg, void *out, size_t len_bytes)
{
	(void)arg;
	secret_random(out, len_bytes);
}

static void send_nowhere(
	void *arg, const struct wgh_endpoint *to, const void *data, uint32_t len_bytes, uint8_t tos)
{
	(void)arg, (void)to, (void)data, (void)len_bytes, (void)tos;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Before the first peer's. */
static const struct wgh_addr HUB = {.bytes = {10, 0, 0, 1}, .family = WGH_IPV4};

struct wgh_addr bench_address(uint32_t peer)
{
	struct wgh_addr a = {.family = WGH_IPV4};
	uint32_t n = peer + 2;

	a.bytes[0] = 10;
	a.bytes[1] = (uint8_t)(n >> 16);
	a.bytes[2] = (uint8_t)(n >> 8);
	a.bytes[3] = (uint8_t)n;
	return a;
}

static struct wgh_endpoint endpoint(uint32_t peer)
{
	return (struct wgh_endpoint){
		.addr = {192, 0, 2, 1}, .port = (uint16_t)(peer % 60000 + 1), .family = WGH_IPV4};
}

/* ---- the hub ---- */

/* Even peers ask odd ones; with nat as engineers ask stock devices. */
static int peers_add(struct hub *hub, uint32_t n_peers, bool nat)
{
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY, .n_peers = n_peers};
	struct wgh_peer_change *peers = calloc(n_peers, sizeof *peers);
	struct wgh_allowed_ip *ips = calloc(n_peers, sizeof *ips);
	int err = -ENOMEM;

	if (!peers || !ips)
		goto out;
	secret_random(change.private_key, sizeof change.private_key);
	for (uint32_t i = 0; i < n_peers; i++) {
		secret_random(peers[i].public_key.bytes, sizeof peers[i].public_key.bytes);
		ips[i].prefix = (struct wgh_prefix){.addr = bench_address(i), .bits = 32};
		peers[i].flags = WGH_PEER_HAS_ENDPOINT;
		peers[i].endpoint = endpoint(i);
		peers[i].allowed_ips = &ips[i];
		peers[i].n_allowed_ips = 1;
		if (!nat)
			continue;
		peers[i].flags |= WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT;
		peers[i].group = i % 2 ? WGH_GROUP_DEVICE : WGH_GROUP_CLIENT;
		peers[i].nat = i % 2 ? WGH_NAT_ALWAYS : WGH_NAT_NEVER;
	}
	change.peers = peers;
	err = hub_apply(hub, &change, NOW_NS, NULL);
	if (!err)
		hub_set_up(hub, true, NOW_NS);
out:
	secret_wipe(change.private_key, sizeof change.private_key);
	free(peers);
	free(ips);
	return err;
}

int bench_session_add(struct hub *hub, uint32_t slot, uint64_t now_ns, int64_t wall_ns,
	struct noise_keys *theirs, uint32_t *index)
{
	struct peer *peer = hub->peers.slots[slot];
	struct noise_keys hubs;
	int err;

	*index = keys_new_index(hub);
	secret_random(&hubs, sizeof hubs);
	theirs->send = hubs.receive;
	theirs->receive = hubs.send;
	err = keys_add_next(hub, peer, &hubs, *index, slot + 1, now_ns);
	if (!err)
		keys_confirm(hub, peer, *index, now_ns, wall_ns);
	secret_wipe(&hubs, sizeof hubs);
	return err;
}

static int lanes_add(struct wgh_bench *b, uint32_t n_active, const struct wgh_bench_options *o)
{
	for (uint32_t peer = 0; peer < n_active; peer++) {
		const bool answers = peer % 2;
		struct lane lane = {.sender = peer,
			.src = bench_address(peer),
			.dst = bench_address(peer ^ 1),
			.src_port = answers ? ANSWERING_PORT : ASKING_PORT,
			.dst_port = answers ? ASKING_PORT : ANSWERING_PORT};
		int err = bench_session_add(b->hub, peer, NOW_NS, NOW_NS, &lane.from, &lane.index);

		if (!err && (!answers || o->both_ways)) {
			if (answers && o->nat)
				lane.dst = HUB;
			b->lanes[b->n_lanes++] = lane;
		}
		secret_wipe(&lane, sizeof lane);
		if (err)
			return err;
	}
	return 0;
}

/* Nothing for a hub that does not translate. */
static int address_add(struct hub *hub, bool nat)
{
	const struct wgh_prefix prefix = {.addr = HUB, .bits = 8};

	return nat ? hub_set_addresses(hub, &prefix, 1) : 0;
}

static bool options_ok(const struct wgh_bench_options *o)
{
	return o->n_active >= 2 && o->n_active % 2 == 0 && o->n_active <= o->n_peers &&
		o->n_peers < 1u << 22 && o->burst_packets >= 1 && o->burst_packets <= 64 &&
		(o->burst_packets & (o->burst_packets - 1)) == 0 && o->packet_bytes >= 64 &&
		o->packet_bytes <= 1500;
}

int wgh_bench_new(struct wgh_bench **bench, const struct wgh_bench_options *o)
{
	struct hub_options options = {.n_workers = 1,
		.aead = o->aead,
		.random = get_random,
		.send = send_nowhere,
		.mtu_bytes = MTU};
	struct wgh_bench *b;
	int err;

	if (!options_ok(o))
		return -EINVAL;
	err = secret_init();
	if (err)
		return err;
	b = calloc(1, sizeof *b);
	if (!b)
		return -ENOMEM;
	b->burst_packets = o->burst_packets;
	b->packet_bytes = o->packet_bytes;
	b->n_bursts = BATCH_PACKETS / o->burst_packets;
	b->lanes = calloc(o->n_active, sizeof *b->lanes);
	b->memory = aligned_alloc(64, (size_t)BATCH_PACKETS * STRIDE);
	err = b->lanes && b->memory ? aead_new(&b->aead, o->aead) : -ENOMEM;
	if (!err)
		err = hub_new(&b->hub, &options);
	if (!err)
		err = address_add(b->hub, o->nat);
	if (!err)
		err = peers_add(b->hub, o->n_peers, o->nat);
	if (!err)
		err = lanes_add(b, o->n_active, o);
	if (err) {
		wgh_bench_free(b);
		return err;
	}
	*bench = b;
	return 0;
}

void wgh_bench_free(struct wgh_bench *b)
{
	if (!b)
		return;
	if (b->hub)
		hub_free(b->hub);
	aead_free(b->aead);
	if (b->lanes)
		secret_wipe(b->lanes, b->n_lanes * sizeof *b->lanes);
	free(b->lanes);
	free(b->memory);
	free(b);
}

const char *wgh_bench_aead(const struct wgh_bench *b)
{
	return aead_name(b->aead);
}

/* ---- packets ---- */

void bench_packet_write(
	uint8_t *ip, uint32_t len_bytes, const struct wgh_addr *src, const struct wgh_addr *dst)
{
	uint16_t sum;

	memset(ip, 0, len_bytes);
	ip[0] = 0x45;
	ip[2] = (uint8_t)(len_bytes >> 8);
	ip[3] = (uint8_t)len_bytes;
	ip[8] = 64;
	ip[9] = IP_PROTO_UDP;
	memcpy(ip + 12, src->bytes, 4);
	memcpy(ip + 16, dst->bytes, 4);
	sum = ip_checksum_finish(ip_checksum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
}

uint32_t bench_padded(uint32_t packet_bytes)
{
	uint32_t padded = (packet_bytes + 15) & ~15u;

	if (padded <= MTU)
		return padded;
	return packet_bytes > MTU ? packet_bytes : MTU;
}

static void ports_write(uint8_t *udp, uint16_t src, uint16_t dst)
{
	udp[0] = (uint8_t)(src >> 8);
	udp[1] = (uint8_t)src;
	udp[2] = (uint8_t)(dst >> 8);
	udp[3] = (uint8_t)dst;
	udp[6] = 1; /* a checksum to mend; nobody checks it */
}

/* One batch of messages, sealed as their senders would. */
static void batch_prepare(struct wgh_bench *b)
{
	uint32_t padded = bench_padded(b->packet_bytes);

	for (uint32_t k = 0, i = 0; k < b->n_bursts; k++) {
		struct lane *lane = &b->lanes[b->next_lane++ % b->n_lanes];

		b->bursts[k] = (struct wgh_burst){.endpoint = endpoint(lane->sender),
			.packets = &b->packets[i],
			.n_packets = b->burst_packets};
		for (uint32_t end = i + b->burst_packets; i < end; i++) {
			uint8_t *data = b->memory + (size_t)i * STRIDE;
			struct wire_data *msg = (struct wire_data *)data;

			memset(data + 16 + b->packet_bytes, 0, 32);
			bench_packet_write(data + 16, b->packet_bytes, &lane->src, &lane->dst);
			ports_write(data + 36, lane->src_port, lane->dst_port);
			le32_put(msg->type, WIRE_DATA);
			le32_put(msg->receiver, lane->index);
			le64_put(msg->counter, lane->counter);
			b->jobs[i] = (struct aead_job){.data = data + 16,
				.key = &lane->from.send,
				.counter = lane->counter++,
				.len_bytes = padded};
			b->packets[i] = (struct wgh_packet){
				.data = data, .len_bytes = padded + WIRE_DATA_MIN_BYTES};
		}
	}
	aead_seal(b->aead, b->jobs, BATCH_PACKETS);
}

static bool batch_forward(struct wgh_bench *b, uint64_t *path_ns)
{
	const struct worker_output *out;
	uint64_t start_ns = clock_ns();
	uint32_t n = 0;

	out = worker_input_udp(b->hub->workers[0], b->bursts, b->n_bursts, NOW_NS);
	*path_ns += clock_ns() - start_ns;
	for (size_t i = 0; i < out->n_bursts; i++)
		n += out->bursts[i].n_packets;
	(void)hub_run(b->hub, NOW_NS, NOW_NS);
	return n == BATCH_PACKETS;
}

int wgh_bench_round(struct wgh_bench *b, struct wgh_bench_cost *cost)
{
	uint64_t path_ns = 0, aead_ns = 0, start_ns;

	for (int i = 0; i < N_BATCHES; i++) {
		batch_prepare(b);
		start_ns = clock_ns();
		aead_open(b->aead, b->jobs, BATCH_PACKETS);
		aead_seal(b->aead, b->jobs, BATCH_PACKETS);
		aead_ns += clock_ns() - start_ns;
		if (!batch_forward(b, &path_ns))
			return -EIO;
	}
	cost->path = (double)path_ns / WGH_BENCH_PACKETS_PER_ROUND;
	cost->aead = (double)aead_ns / WGH_BENCH_PACKETS_PER_ROUND;
	return 0;
}
