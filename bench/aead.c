/* aead.c - measures the bulk AEAD back ends against each other: the reason for their order in
 * crypto/aead.c.
 *
 * For each size a batch of 64 packets, of 8 keys in runs of 8 as a burst brings them, is sealed and
 * opened again, both timed alone. The back ends take turns in every round, so that a noisy
 * neighbour or a changing clock hits all of them; the figures are medians over the rounds, with the
 * spread of their middle 80 %.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/lib/figures.h"
#include "crypto/aead.h"

#define N_PACKETS 64
#define N_KEYS 8
#define MAX_BACK_ENDS 8
#define MAX_ROUNDS 1001
#define ROOM_BYTES 16 /* before each packet, as for a transport header */
#define TURN_NS 2000000

static const uint32_t sizes[] = {64, 128, 256, 512, 1024, 1420, 2048, 4096, 8192, 16384};
#define N_SIZES (sizeof sizes / sizeof sizes[0])
#define MAX_SIZE_BYTES 16384

struct series {
	double seal_ns[MAX_ROUNDS], open_ns[MAX_ROUNDS]; /* per packet */
};

struct spread {
	double median, spread_percent;
};

static struct aead *aeads[MAX_BACK_ENDS];
static size_t n_aeads;
static struct series series[N_SIZES][MAX_BACK_ENDS];
static struct sym_key keys[N_KEYS];
static uint8_t *memory;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "aead: %s\n", what);
	exit(1);
}

/* One back end's turn: at least TURN_NS of sealing and opening. */
static void turn(struct aead *aead, uint32_t size, double *seal_ns, double *open_ns)
{
	struct aead_job jobs[N_PACKETS];
	uint64_t seal = 0, open = 0, n = 0;

	for (size_t i = 0; i < N_PACKETS; i++)
		jobs[i] = (struct aead_job){
			.data = memory + ROOM_BYTES + i * (ROOM_BYTES + size + AEAD_TAG_BYTES),
			.key = &keys[i / (N_PACKETS / N_KEYS)],
			.counter = i,
			.len_bytes = size,
		};
	while (seal + open < TURN_NS) {
		uint64_t start = clock_ns(), middle, end;

		aead_seal(aead, jobs, N_PACKETS);
		middle = clock_ns();
		aead_open(aead, jobs, N_PACKETS);
		end = clock_ns();
		seal += middle - start;
		open += end - middle;
		n += N_PACKETS;
		for (size_t i = 0; i < N_PACKETS; i++) {
			if (!jobs[i].ok)
				fail("a packet did not open");
		}
	}
	*seal_ns = (double)seal / (double)n;
	*open_ns = (double)open / (double)n;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(double *values, size_t n)
{
	struct spread f;

	qsort(values, n, sizeof *values, compare);
	f.median = values[n / 2];
	f.spread_percent = 100 * (values[n - 1 - n / 10] - values[n / 10]) / f.median;
	return f;
}

static void print_table(size_t n_rounds, const char *cpu)
{
	printf("%s; batches of %d packets, %d keys, %zu rounds; medians, spread of the middle 80 "
	       "%%\n\n",
		cpu, N_PACKETS, N_KEYS, n_rounds);
	printf("%6s  %-10s | %9s %7s %6s | %9s %7s %6s | %s\n", "bytes", "back end", "seal ns",
		"GB/s", "spread", "open ns", "GB/s", "spread", "seal+open, sodium = 1");
	for (size_t s = 0; s < N_SIZES; s++) {
		struct spread seal[MAX_BACK_ENDS], open[MAX_BACK_ENDS];
		double last;

		for (size_t b = 0; b < n_aeads; b++) {
			seal[b] = spread_of(series[s][b].seal_ns, n_rounds);
			open[b] = spread_of(series[s][b].open_ns, n_rounds);
		}
		last = seal[n_aeads - 1].median + open[n_aeads - 1].median;
		for (size_t b = 0; b < n_aeads; b++)
			printf("%6u  %-10s | %9.1f %7.2f %5.1f%% | %9.1f %7.2f %5.1f%% | %.2f\n",
				sizes[s], aead_name(aeads[b]), seal[b].median,
				sizes[s] / seal[b].median, seal[b].spread_percent, open[b].median,
				sizes[s] / open[b].median, open[b].spread_percent,
				last / (seal[b].median + open[b].median));
		printf("\n");
	}
}

static void print_json(size_t n_rounds, const char *cpu)
{
	printf("{\"cpu\": \"%s\", \"packets\": %d, \"keys\": %d, \"rounds\": %zu, \"results\": [",
		cpu, N_PACKETS, N_KEYS, n_rounds);
	for (size_t s = 0; s < N_SIZES; s++) {
		for (size_t b = 0; b < n_aeads; b++) {
			struct spread seal = spread_of(series[s][b].seal_ns, n_rounds);
			struct spread open = spread_of(series[s][b].open_ns, n_rounds);

			printf("%s\n  {\"bytes\": %u, \"back_end\": \"%s\", "
			       "\"seal_ns\": %.1f, \"seal_spread_percent\": %.1f, "
			       "\"open_ns\": %.1f, \"open_spread_percent\": %.1f}",
				s + b ? "," : "", sizes[s], aead_name(aeads[b]), seal.median,
				seal.spread_percent, open.median, open.spread_percent);
		}
	}
	printf("\n]}\n");
}

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: aead [--json] [--rounds N]\n"
		"Compares the bulk AEAD back ends that this CPU can run.\n"
		"  --json      one JSON object instead of a table\n"
		"  --rounds N  1 to 1001, 21 without being told\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"rounds", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	size_t n_rounds = 21;
	bool json = false;
	char cpu[128];
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'r':
			n_rounds = strtoul(optarg, NULL, 10);
			if (n_rounds >= 1 && n_rounds <= MAX_ROUNDS)
				break;
			usage(stderr);
			return 2;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}

	if (secret_init())
		fail("no source of randomness");
	memory = malloc(ROOM_BYTES + N_PACKETS * (ROOM_BYTES + MAX_SIZE_BYTES + AEAD_TAG_BYTES));
	if (!memory)
		fail("no memory");
	secret_random(memory, N_PACKETS * MAX_SIZE_BYTES);
	secret_random(keys, sizeof keys);
	for (const char *const *name = aead_names(); *name && n_aeads < MAX_BACK_ENDS; name++) {
		int err = aead_new(&aeads[n_aeads], *name);

		if (err) {
			fprintf(stderr, "aead: %s: %s\n", *name, strerror(-err));
			return 1;
		}
		n_aeads++;
	}

	for (size_t r = 0; r < n_rounds; r++) {
		for (size_t s = 0; s < N_SIZES; s++) {
			for (size_t b = 0; b < n_aeads; b++)
				turn(aeads[b], sizes[s], &series[s][b].seal_ns[r],
					&series[s][b].open_ns[r]);
		}
	}

	machine_cpu(cpu, sizeof cpu);
	if (json)
		print_json(n_rounds, cpu);
	else
		print_table(n_rounds, cpu);
	for (size_t b = 0; b < n_aeads; b++)
		aead_free(aeads[b]);
	free(memory);
	return 0;
}
