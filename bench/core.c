/* core.c - the pure cost of forwarding: the data path in memory, without a system call.
 *
 * A hub with pairs of peers forwards bursts from one to the other; only worker_input_udp() is
 * timed. Beside it stands the cost of opening and sealing the same packets and nothing else, so
 * that the difference is the hub's own work. Prints nanoseconds for each packet: median, minimum
 * and maximum of the rounds.
 */
#include "core/hub.h"
#include "core/keys.h"
#include "core/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 41
#define PER_ROUND 16 /* batches */
#define STRIDE 2048u

struct pair {
	struct noise_keys from; /* as the sending peer has them */
	uint64_t counter;
	struct wgh_addr src, dst;
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

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct wgh_addr address(uint32_t n)
{
	struct wgh_addr a = {.family = WGH_IPV4};

	a.bytes[0] = 10;
	a.bytes[1] = (uint8_t)(n >> 16);
	a.bytes[2] = (uint8_t)(n >> 8);
	a.bytes[3] = (uint8_t)n;
	return a;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench/core: %s\n", what);
	exit(1);
}

static struct hub *make_hub(uint32_t n_peers)
{
	struct hub_options options = {
		.n_workers = 1, .random = get_random, .send = send_nowhere, .mtu_bytes = 1420};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY, .n_peers = n_peers};
	struct wgh_peer_change *peers = calloc(n_peers, sizeof *peers);
	struct wgh_allowed_ip *ips = calloc(n_peers, sizeof *ips);
	struct hub *hub;

	must(peers && ips && !hub_new(&hub, &options), "no hub");
	secret_random(change.private_key, sizeof change.private_key);
	for (uint32_t i = 0; i < n_peers; i++) {
		secret_random(peers[i].public_key.bytes, 32);
		ips[i].prefix = (struct wgh_prefix){.addr = address(i + 2), .bits = 32};
		peers[i].flags = WGH_PEER_HAS_ENDPOINT;
		peers[i].endpoint = (struct wgh_endpoint){.addr = {192, 0, 2, 1},
			.port = (uint16_t)(i % 60000 + 1),
			.family = WGH_IPV4};
		peers[i].allowed_ips = &ips[i];
		peers[i].n_allowed_ips = 1;
	}
	change.peers = peers;
	must(!hub_apply(hub, &change, 1, NULL), "peers refused");
	hub_set_up(hub, true, 1);
	free(peers);
	free(ips);
	return hub;
}

/* A session with peer slot as if a handshake had just been confirmed. */
static struct noise_keys make_session(struct hub *hub, uint32_t slot)
{
	struct noise_keys hubs, theirs;
	uint32_t index = keys_new_index(hub);

	secret_random(&hubs, sizeof hubs);
	theirs.send = hubs.receive;
	theirs.receive = hubs.send;
	must(!keys_add_next(hub, hub->peers.slots[slot], &hubs, index, slot, 1), "no memory");
	keys_confirm(hub, hub->peers.slots[slot], index, 1, 1);
	return theirs;
}

static void write_packet(uint8_t *ip, uint32_t len_bytes, const struct pair *pair)
{
	uint16_t sum;

	memset(ip, 0, len_bytes);
	ip[0] = 0x45;
	ip[2] = (uint8_t)(len_bytes >> 8);
	ip[3] = (uint8_t)len_bytes;
	ip[8] = 64;
	ip[9] = IP_PROTO_UDP;
	memcpy(ip + 12, pair->src.bytes, 4);
	memcpy(ip + 16, pair->dst.bytes, 4);
	sum = ip_checksum_finish(ip_checksum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct setup {
	struct hub *hub;
	struct pair *pairs;
	uint32_t *index; /* the hub's, for each pair's sender */
	uint32_t n_pairs, burst, len_bytes, n_bursts;
	uint8_t *memory;
	struct wgh_packet packets[PACKETS_PER_BATCH];
	struct wgh_burst bursts[PACKETS_PER_BATCH];
	struct aead_job jobs[PACKETS_PER_BATCH];
};

/* One batch of messages, sealed as their senders would. */
static void prepare(struct setup *s, struct aead *aead, uint32_t *next_pair)
{
	uint32_t n = s->n_bursts * s->burst, padded = (s->len_bytes + 15) & ~15u;

	if (padded > 1420)
		padded = s->len_bytes > 1420 ? s->len_bytes : 1420;
	for (uint32_t b = 0, i = 0; b < s->n_bursts; b++) {
		uint32_t p = (*next_pair)++ % s->n_pairs;
		struct pair *pair = &s->pairs[p];

		s->bursts[b] = (struct wgh_burst){.endpoint = {.addr = {192, 0, 2, 1},
							  .port = (uint16_t)(2 * p + 1),
							  .family = WGH_IPV4},
			.packets = &s->packets[i],
			.n_packets = s->burst};
		for (uint32_t k = 0; k < s->burst; k++, i++) {
			uint8_t *data = s->memory + i * STRIDE;
			struct wire_data *msg = (struct wire_data *)data;

			memset(data + 16 + s->len_bytes, 0, 32);
			write_packet(data + 16, s->len_bytes, pair);
			le32_put(msg->type, WIRE_DATA);
			le32_put(msg->receiver, s->index[p]);
			le64_put(msg->counter, pair->counter);
			s->jobs[i] = (struct aead_job){.data = data + 16,
				.key = &pair->from.send,
				.counter = pair->counter++,
				.len_bytes = padded};
			s->packets[i] = (struct wgh_packet){.data = data, .len_bytes = padded + 32};
		}
	}
	aead_seal(aead, s->jobs, n);
}

static void report(const char *name, double *v)
{
	qsort(v, ROUNDS, sizeof *v, compare);
	printf("  %s %7.1f (%.1f..%.1f)", name, v[ROUNDS / 2], v[0], v[ROUNDS - 1]);
}

static void run(uint32_t n_peers, uint32_t n_active, uint32_t burst, uint32_t len_bytes)
{
	struct setup *s = calloc(1, sizeof *s);
	double path[ROUNDS], aead_only[ROUNDS];
	uint32_t n, next_pair = 0;
	struct aead *aead;

	must(s && !aead_new(&aead, NULL), "no AEAD");
	s->hub = make_hub(n_peers);
	s->n_pairs = n_active / 2;
	s->burst = burst;
	s->len_bytes = len_bytes;
	s->n_bursts = 128 / burst;
	n = s->n_bursts * burst;
	s->pairs = calloc(s->n_pairs, sizeof *s->pairs);
	s->index = calloc(s->n_pairs, sizeof *s->index);
	s->memory = aligned_alloc(64, PACKETS_PER_BATCH * STRIDE);
	must(s->pairs && s->index && s->memory, "no memory");
	for (uint32_t p = 0; p < s->n_pairs; p++) {
		struct peer *peer = s->hub->peers.slots[2 * p];

		s->pairs[p].from = make_session(s->hub, 2 * p);
		s->index[p] = ((struct keypair *)relaxed_get(&peer->current))->local_index;
		(void)make_session(s->hub, 2 * p + 1);
		s->pairs[p].src = address(2 * p + 2);
		s->pairs[p].dst = address(2 * p + 3);
	}
	for (int round = -2; round < ROUNDS; round++) {
		uint64_t path_ns = 0, aead_ns = 0, start;

		for (int k = 0; k < PER_ROUND; k++) {
			const struct worker_output *out;
			uint32_t n_out = 0;

			prepare(s, aead, &next_pair);
			start = now_ns();
			aead_open(aead, s->jobs, n);
			aead_seal(aead, s->jobs, n);
			aead_ns += now_ns() - start;
			start = now_ns();
			out = worker_input_udp(s->hub->workers[0], s->bursts, s->n_bursts, 2);
			path_ns += now_ns() - start;
			for (size_t b = 0; b < out->n_bursts; b++)
				n_out += out->bursts[b].n_packets;
			must(n_out == n, "packets were dropped");
			(void)hub_run(s->hub, 2, 2);
		}
		if (round < 0)
			continue;
		path[round] = (double)path_ns / (PER_ROUND * n);
		aead_only[round] = (double)aead_ns / (PER_ROUND * n);
	}
	printf("%6u peers, %5u active, bursts of %2u, %4u bytes:", n_peers, n_active, burst,
		len_bytes);
	report("path", path);
	report("AEAD alone", aead_only);
	printf("  %s\n", aead_name(aead));
	aead_free(aead);
	hub_free(s->hub);
	free(s->pairs);
	free(s->index);
	free(s->memory);
	free(s);
}

int main(void)
{
	static const uint32_t SIZES[] = {64, 512, 1420};

	must(!secret_init(), "no randomness");
	printf("ns for each forwarded packet: median (minimum..maximum) of %d rounds\n", ROUNDS);
	for (size_t i = 0; i < 3; i++)
		run(2, 2, 64, SIZES[i]);
	for (size_t i = 0; i < 3; i++)
		run(100, 100, 4, SIZES[i]);
	for (size_t i = 0; i < 3; i++)
		run(2, 2, 1, SIZES[i]);
	run(10000, 1000, 4, 64);
	run(100000, 1000, 4, 64);
	return 0;
}
