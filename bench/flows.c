/* flows.c - what flow tracking and translation add to a packet: reading its key, finding its flow,
 * rewriting it; and what beginning a flow costs. In memory, one thread.
 *
 * Packets of n flows stand in memory, both directions; a round goes through PACKETS of them, so
 * many in a row of each flow as a burst brings. Prints nanoseconds for each packet: median, minimum
 * and maximum of the rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/lib/figures.h"
#include "core/be.h"
#include "core/flow.h"

#define ROUNDS 31
#define PACKETS 65536u
#define PACKET_BYTES 64 /* of 1420: NAT looks at nothing behind the headers */
#define LEN_BYTES 1420

static struct flow_table *table;
static uint64_t now_ns = 1000 * NS_PER_S;
static uint8_t (*packets)[PACKET_BYTES]; /* two for each flow */

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "bench/flows: %s\n", what);
	exit(1);
}

/* Client i to its device, or that one to the hub. */
static void write_packet(uint8_t *p, uint32_t i, bool answer, uint16_t port)
{
	const uint8_t client[4] = {10, 1, (uint8_t)(i >> 8), (uint8_t)i};
	const uint8_t device[4] = {10, 2, (uint8_t)(i % 1000 >> 8), (uint8_t)(i % 1000)};
	const uint8_t hub[4] = {10, 0, 0, 1};

	memset(p, 0, PACKET_BYTES);
	p[0] = 0x45;
	be16_put(p + 2, LEN_BYTES);
	p[8] = 63;
	p[9] = IP_PROTO_TCP;
	memcpy(p + 12, answer ? device : client, 4);
	memcpy(p + 16, answer ? hub : device, 4);
	be16_put(p + 20, answer ? 22 : 40000);
	be16_put(p + 22, answer ? port : 22);
	p[32] = 0x50;
	p[33] = TCP_ACK;
}

static struct flow_party sender_of(uint32_t i, bool answer)
{
	return (struct flow_party){answer ? 100000 + i % 1000 : i, 1};
}

static enum flow_kind read_key(
	struct flow_key *key, struct ip_info *info, uint8_t *flags, uint32_t i, bool answer)
{
	uint8_t *p = packets[i * 2 + answer];

	if (ip_parse(info, p, LEN_BYTES))
		fail("not a packet");
	return flow_key_read(key, flags, p, info, sender_of(i, answer));
}

static void open_all(uint32_t n)
{
	const struct flow_options options = {.max = 65536,
		.per_peer_max = 4096,
		.ports = {61000, 65535, 61000, 65535},
		.seed = {0x1234567812345678, 0x8765432187654321}};

	if (flow_table_new(&table, &options))
		fail("no table");
	for (uint32_t i = 0; i < n; i++) {
		struct flow_want want = {.to = sender_of(i, true),
			.new_src = {10, 0, 0, 1},
			.translates_src = true,
			.tcp_flags = TCP_SYN};
		struct flow_run run = {0};
		struct ip_info info;
		uint8_t flags;

		write_packet(packets[i * 2], i, false, 0);
		if (read_key(&want.key, &info, &flags, i, false) != FLOW_KIND_PORTS ||
			flow_open(table, &want, &run, now_ns, NULL))
			fail("no flow");
		write_packet(packets[i * 2 + 1], i, true, run.hit.edit.src_port);
	}
}

/* One round; what a hub does beside NAT, ip_parse(), is outside of it only in the second figure. */
static double forward(uint32_t n_flows, uint32_t in_a_row, bool rewrites)
{
	static struct nat_edit unused;
	struct flow_run run = {0};
	uint64_t start_ns = clock_ns();

	for (uint32_t k = 0; k < PACKETS;) {
		const uint32_t i = k / in_a_row % n_flows;
		const bool answer = k / in_a_row / n_flows & 1;

		for (uint32_t end = k + in_a_row; k < end; k++) {
			struct ip_info info;
			struct flow_key key;
			uint8_t flags, *p = packets[i * 2 + answer];

			if (!rewrites) {
				if (ip_parse(&info, p, LEN_BYTES))
					fail("not a packet");
				unused.src_port += info.l4_offset;
				continue;
			}
			read_key(&key, &info, &flags, i, answer);
			if (!flow_find(table, &run, &key, flags, LEN_BYTES, now_ns))
				fail("flow not found");
			/* Its own packet goes back to where it was with the next translation that
			 * undoes it; so the bytes do not matter and the key is read again. */
			uint8_t copy[PACKET_BYTES];
			memcpy(copy, p, sizeof copy);
			nat_rewrite(copy, &info, &run.hit.edit);
			unused.dst_port += copy[20];
		}
	}
	flow_run_end(table, &run, now_ns);
	return (double)(clock_ns() - start_ns) / PACKETS;
}

static void bench_known(uint32_t n_flows, uint32_t in_a_row)
{
	double with[ROUNDS], without[ROUNDS];
	struct figure a, b;

	open_all(n_flows);
	forward(n_flows, in_a_row, true);
	for (int round = 0; round < ROUNDS; round++) {
		with[round] = forward(n_flows, in_a_row, true);
		without[round] = forward(n_flows, in_a_row, false);
	}
	a = figure_of(with, ROUNDS);
	b = figure_of(without, ROUNDS);
	printf("%6u flows, %2u in a row: %6.1f (%.1f..%.1f), of which parsing %.1f\n", n_flows,
		in_a_row, a.median, a.min, a.max, b.median);
	flow_table_free(table);
}

static void bench_open(void)
{
	double values[ROUNDS];
	struct figure f;

	for (int round = 0; round < ROUNDS; round++) {
		const uint64_t start_ns = clock_ns();

		open_all(20000);
		values[round] = (double)(clock_ns() - start_ns) / 20000;
		flow_table_free(table);
	}
	f = figure_of(values, ROUNDS);
	printf("beginning a flow: %.0f (%.0f..%.0f)\n", f.median, f.min, f.max);
}

int main(void)
{
	packets = calloc(2 * 65536, sizeof *packets);
	if (!packets)
		fail("no memory");
	printf("ns for each packet of a known flow: key, look-up, rewriting; median "
	       "(minimum..maximum) of %d rounds\n",
		ROUNDS);
	bench_known(100, 1);
	bench_known(100, 4);
	bench_known(100, 64);
	bench_known(10000, 4);
	bench_known(60000, 1);
	bench_open();
	free(packets);
	return 0;
}
