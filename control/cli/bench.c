/* bench.c - `wghub bench`: what this machine carries, in 20 seconds and without privilege. It
 * measures with the hub's own code (wghub_bench.h) and says what that means in Gbit/s.
 */
#include "control/cli/cli.h"
#include "control/progress.h"
#include "control/text.h"
#include "wghub_bench.h"
#include "wghub_device.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum {
	SECONDS_DEFAULT = 20,
	SECONDS_MAX = 3600,
	N_SIZES = 3,
	ROUNDS_MIN = 5,
	ROUNDS_MAX = 1024,
	WARM_UP = 2,
};

#define NS_PER_S UINT64_C(1000000000)

static const uint32_t sizes[N_SIZES] = {64, 512, 1420};

static const struct shape {
	const char *name;
	struct wgh_bench_options options;
} shapes[] = {
	{"2 peers, bursts of 64", {.n_peers = 2, .n_active = 2, .burst_packets = 64}},
	{"100 peers, bursts of 4", {.n_peers = 100, .n_active = 100, .burst_packets = 4}},
	{"2 peers, single packets", {.n_peers = 2, .n_active = 2, .burst_packets = 1}},
	{"1,000 of 10,000 peers, bursts of 4",
		{.n_peers = 10000, .n_active = 1000, .burst_packets = 4}},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static const char *wanted_aead;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void machine_print(void)
{
	char line[512], cpu[128] = "unknown CPU";
	FILE *f = fopen("/proc/cpuinfo", "r");
	struct utsname u = {0};

	while (f && fgets(line, sizeof line, f)) {
		const char *value = strchr(line, ':');

		if (!value || strncmp(line, "model name", 10))
			continue;
		text_escape(cpu, sizeof cpu, value + 2, strcspn(value + 2, "\n"));
		break;
	}
	if (f)
		fclose(f);
	uname(&u);
	printf("wghub %s, %s, %ld cores, Linux %s\n", WGHUB_VERSION, cpu,
		sysconf(_SC_NPROCESSORS_ONLN), u.release);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Medians over as many rounds as the time allows. */
static int cost_measure(
	const struct wgh_bench_options *options, uint64_t duration_ns, struct wgh_bench_cost *cost)
{
	static double path[ROUNDS_MAX], aead[ROUNDS_MAX];
	struct wgh_bench *bench;
	uint64_t end_ns;
	int n = 0, err = wgh_bench_new(&bench, options);

	if (err)
		return err;
	for (int i = 0; i < WARM_UP && !err; i++)
		err = wgh_bench_round(bench, cost);
	end_ns = clock_ns() + duration_ns;
	while (!err && n < ROUNDS_MAX && (n < ROUNDS_MIN || clock_ns() < end_ns)) {
		err = wgh_bench_round(bench, cost);
		path[n] = cost->path;
		aead[n++] = cost->aead;
	}
	wgh_bench_free(bench);
	if (err)
		return err;
	qsort(path, (size_t)n, sizeof *path, compare);
	qsort(aead, (size_t)n, sizeof *aead, compare);
	*cost = (struct wgh_bench_cost){path[n / 2], aead[n / 2]};
	return 0;
}

static void sizes_print(const char *title)
{
	printf("\n%-46s", title);
	for (int i = 0; i < N_SIZES; i++)
		printf(" %6u", sizes[i]);
	puts(" bytes");
}

/* A line of figures; printed whole, because progress has its line until then. */
struct row {
	double values[N_SIZES];
};

static void row_print(const char *name, const struct row *row)
{
	progress_say(NULL);
	printf("  %-44s", name);
	for (int i = 0; i < N_SIZES; i++)
		printf(" %6.0f", row->values[i]);
	puts("");
	fflush(stdout);
}

static int aead_measure(uint64_t duration_ns)
{
	const char *const *names = wgh_aead_names();
	uint64_t n_names = 0;

	while (names[n_names])
		n_names++;
	sizes_print("AEAD, ns to open and seal a packet of");
	for (uint64_t k = 0; k < n_names; k++) {
		struct wgh_bench_options o = shapes[0].options;
		struct row row;

		for (int i = 0; i < N_SIZES; i++) {
			struct wgh_bench_cost cost;
			int err;

			progress_say("AEAD %s, %u bytes", names[k], sizes[i]);
			o.aead = names[k];
			o.packet_bytes = sizes[i];
			err = cost_measure(&o, duration_ns / (n_names * N_SIZES), &cost);
			if (err)
				return err;
			row.values[i] = cost.aead;
		}
		row_print(names[k], &row);
	}
	return 0;
}

static int path_measure(uint64_t duration_ns)
{
	sizes_print("The hub in memory, ns for each packet of");
	for (int k = 0; k < N_SHAPES; k++) {
		struct wgh_bench_options o = shapes[k].options;
		struct row row;

		for (int i = 0; i < N_SIZES; i++) {
			struct wgh_bench_cost cost;
			int err;

			progress_say("in memory: %s, %u bytes", shapes[k].name, sizes[i]);
			o.aead = wanted_aead;
			o.packet_bytes = sizes[i];
			err = cost_measure(&o, duration_ns / (N_SHAPES * N_SIZES), &cost);
			if (err)
				return err;
			row.values[i] = cost.path;
		}
		row_print(shapes[k].name, &row);
	}
	return 0;
}

static int loopback_measure(uint64_t duration_ns)
{
	double per_core[N_SIZES];

	puts("\nThe hub on the loopback interface, 2 peers, bursts of 64\n"
	     "   bytes   CPU ns for each   so a core carries            arrived here     lost");
	for (int i = 0; i < N_SIZES; i++) {
		struct wgh_bench_options o = {.aead = wanted_aead, .packet_bytes = sizes[i]};
		struct wgh_bench_loopback r;
		int err;

		progress_say("loopback: %u bytes", sizes[i]);
		err = wgh_bench_loopback(&o, duration_ns / N_SIZES, &r);
		progress_say(NULL);
		if (err)
			return err;
		per_core[i] = 1e9 / r.cpu_ns;
		printf("%8u %17.0f %10.0f kpps %6.2f Gbit/s %10.0f kpps %6.3f %%\n", sizes[i],
			r.cpu_ns, per_core[i] / 1e3, per_core[i] * sizes[i] * 8 / 1e9,
			r.packets_per_s / 1e3, r.lost_percent);
	}
	printf("\nFor each core it is given, a hub here forwards about %.0f Gbit/s of large "
	       "packets in "
	       "bursts,\nor %.1f million small ones a second. Its network card and what its host "
	       "does "
	       "besides are not\nin this; packets that come one by one cost more.\n",
		per_core[N_SIZES - 1] * sizes[N_SIZES - 1] * 8 / 1e9, per_core[0] / 1e6);
	return 0;
}

static bool aead_known(const char *name)
{
	for (const char *const *known = wgh_aead_names(); *known; known++) {
		if (!strcmp(name, *known))
			return true;
	}
	return false;
}

static int bench(int argc, char **argv)
{
	static const struct option long_options[] = {{"aead", required_argument, NULL, 'a'},
		{"seconds", required_argument, NULL, 's'}, {0}};
	uint64_t seconds = SECONDS_DEFAULT, part_ns;
	char shown[64];
	int option, err;

	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (option == 'a')
			wanted_aead = optarg;
		else if (option != 's')
			return say_bad_option(&command_bench, argv, option);
		else if (!text_number(&seconds, optarg, strlen(optarg), SECONDS_MAX) || !seconds)
			return say_usage(
				&command_bench, "--seconds: a number from 1 to %d", SECONDS_MAX);
	}
	if (argc != optind)
		return say_usage(&command_bench, "it takes no arguments");
	if (wanted_aead && !aead_known(wanted_aead)) {
		text_escape(shown, sizeof shown, wanted_aead, strlen(wanted_aead));
		return say_usage(&command_bench,
			"--aead %s: not a back end here; wghub --version lists them", shown);
	}
	part_ns = seconds * NS_PER_S / 10;
	machine_print();
	err = aead_measure(3 * part_ns);
	if (!err)
		err = path_measure(3 * part_ns);
	if (!err)
		err = loopback_measure(4 * part_ns);
	if (err) {
		progress_say(NULL);
		say_error("the measurement failed: %s", strerror(-err));
		return EXIT_FAILED;
	}
	return fflush(stdout) ? EXIT_FAILED : 0;
}

const struct command command_bench = {"bench", bench, "what this machine carries, in 20 seconds",
	"Usage: wghub bench [--aead NAME] [--seconds N]\n"
	"\n"
	"Measures, without privilege and without touching any hub: the AEAD back ends; forwarding "
	"in\n"
	"memory, which is the hub's own work; and a hub with sockets on the loopback interface, "
	"with the\n"
	"kernel's work. CPU time for each packet tells what a core carries, also where the load, "
	"made by\n"
	"one thread, is the limit of what arrived.\n"
	"\n"
	"Options:\n"
	"  --aead NAME     an AEAD back end of wghub --version for the hub instead of the fastest\n"
	"  --seconds N     take about so long (20)\n"};
