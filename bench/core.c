/* core.c - the pure cost of forwarding: the data path in memory, without a system call.
 *
 * Prints nanoseconds for each packet: median, minimum and maximum of the rounds; how it is
 * measured: dataplane/io/bench_path.c. With "count BURST [nat]" only a number of packets goes
 * through, with no time taken: for count.sh, which counts instructions. With --nat the same traffic
 * goes through a hub that translates and one that does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/figures.h"
#include "wghub_bench.h"

#define WARM_UP 2
#define ROUNDS 41
#define COUNT_ROUNDS 4
#define LOOPBACK_ROUNDS 9
#define LOOPBACK_NS 200000000

static void must(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "bench/core: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void report(const char *name, double *values)
{
	struct figure f = figure_of(values, ROUNDS);

	printf("  %s %7.1f (%.1f..%.1f)", name, f.median, f.min, f.max);
}

static void run(uint32_t n_peers, uint32_t n_active, uint32_t burst, uint32_t len_bytes)
{
	struct wgh_bench_options o = {.n_peers = n_peers,
		.n_active = n_active,
		.burst_packets = burst,
		.packet_bytes = len_bytes};
	double path[ROUNDS], aead[ROUNDS];
	struct wgh_bench *bench;

	must(wgh_bench_new(&bench, &o), "no hub");
	for (int round = -WARM_UP; round < ROUNDS; round++) {
		struct wgh_bench_cost cost;

		must(wgh_bench_round(bench, &cost), "packets were dropped");
		if (round < 0)
			continue;
		path[round] = cost.path;
		aead[round] = cost.aead;
	}
	printf("%6u peers, %5u active, bursts of %2u, %4u bytes:", n_peers, n_active, burst,
		len_bytes);
	report("path", path);
	report("AEAD alone", aead);
	printf("  %s\n", wgh_bench_aead(bench));
	wgh_bench_free(bench);
}

/* The same traffic twice, in turns: between peers as they are, and translated. */
static void run_nat(uint32_t n_pairs, uint32_t burst, uint32_t len_bytes)
{
	struct wgh_bench_options o = {.n_peers = 2 * n_pairs,
		.n_active = 2 * n_pairs,
		.burst_packets = burst,
		.packet_bytes = len_bytes,
		.both_ways = true};
	double path[2][ROUNDS];
	struct wgh_bench *bench[2];
	struct figure plain, nat;

	for (int i = 0; i < 2; i++) {
		o.nat = i;
		must(wgh_bench_new(&bench[i], &o), "no hub");
	}
	for (int round = -WARM_UP; round < ROUNDS; round++)
		for (int i = 0; i < 2; i++) {
			struct wgh_bench_cost cost;

			must(wgh_bench_round(bench[i], &cost), "packets were dropped");
			if (round >= 0)
				path[i][round] = cost.path;
		}
	plain = figure_of(path[0], ROUNDS);
	nat = figure_of(path[1], ROUNDS);
	printf("%6u pairs, bursts of %2u, %4u bytes, both ways:  plain %7.1f (%.1f..%.1f)  NAT "
	       "%7.1f (%.1f..%.1f)  %+.1f %%\n",
		n_pairs, burst, len_bytes, plain.median, plain.min, plain.max, nat.median, nat.min,
		nat.max, 100 * (nat.median / plain.median - 1));
	wgh_bench_free(bench[0]);
	wgh_bench_free(bench[1]);
}

/* The same with sockets and kernel: a running hub on the loopback interface. */
static void run_nat_loopback(void)
{
	double rate[2][LOOPBACK_ROUNDS], cpu_ns[2][LOOPBACK_ROUNDS];

	for (int round = 0; round < LOOPBACK_ROUNDS; round++)
		for (int i = 0; i < 2; i++) {
			const struct wgh_bench_options o = {.packet_bytes = 1420, .nat = i};
			struct wgh_bench_loopback result;

			must(wgh_bench_loopback(&o, LOOPBACK_NS, &result), "nothing arrived");
			rate[i][round] = result.packets_per_s / 1e3;
			cpu_ns[i][round] = result.cpu_ns;
		}
	for (int i = 0; i < 2; i++) {
		const struct figure kpps = figure_of(rate[i], LOOPBACK_ROUNDS);
		const struct figure cpu = figure_of(cpu_ns[i], LOOPBACK_ROUNDS);

		printf("loopback, 2 peers, bursts of 64, 1420 bytes, %-5s  %.0f kpps (%.0f..%.0f), "
		       "%.0f ns of CPU for each (%.0f..%.0f)\n",
			i ? "NAT" : "plain", kpps.median, kpps.min, kpps.max, cpu.median, cpu.min,
			cpu.max);
	}
}

static int compare_nat(void)
{
	printf("ns for each forwarded packet: median (minimum..maximum) of %d rounds\n", ROUNDS);
	for (uint32_t burst = 64; burst; burst /= 8) {
		run_nat(100, burst, 1420);
		run_nat(100, burst, 64);
	}
	run_nat(10000, 4, 1420);
	run_nat_loopback();
	return 0;
}

static int count(uint32_t burst, bool nat)
{
	struct wgh_bench_options o = {.n_peers = 100,
		.n_active = burst == 4 || nat ? 100 : 2,
		.burst_packets = burst,
		.packet_bytes = 64,
		.both_ways = nat,
		.nat = nat};
	struct wgh_bench_cost unused;
	struct wgh_bench *bench;

	must(wgh_bench_new(&bench, &o), "no hub");
	for (int round = 0; round < COUNT_ROUNDS; round++)
		must(wgh_bench_round(bench, &unused), "packets were dropped");
	wgh_bench_free(bench);
	printf("%d\n", COUNT_ROUNDS * WGH_BENCH_PACKETS_PER_ROUND);
	return 0;
}

int main(int argc, char **argv)
{
	static const uint32_t SIZES[] = {64, 512, 1420};

	if (argc >= 3 && !strcmp(argv[1], "count"))
		return count(
			(uint32_t)strtoul(argv[2], NULL, 10), argc == 4 && !strcmp(argv[3], "nat"));
	if (argc == 2 && !strcmp(argv[1], "--nat"))
		return compare_nat();
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
