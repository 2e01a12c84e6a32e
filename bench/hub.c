/* hub.c - drives hubs side by side with real WireGuard peers and compares what they forward.
 *
 * The hubs run already, each in a network namespace of its own, pinned to one core (run-hub.sh does
 * that); this program plays the peers on another core. For each load (size and kind of bursts) it
 * configures every hub through its UAPI socket, shakes hands, looks for the window that suits each
 * hub, and then lets the hubs take turns, A B C A B C: what disturbs the machine disturbs all of
 * them. Figures are medians over the rounds with smallest and largest; a ratio is taken within each
 * round first. How a turn works and why it is a closed loop: lib/traffic.h.
 *
 * What differs may be the hubs, or the number of their peers: run-scale.sh.
 */
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/distance.h"
#include "bench/lib/figures.h"
#include "bench/lib/traffic.h"

#define MAX_TARGETS 4
#define MAX_ROUNDS 101
#define MAX_SIZES 8
#define NS_PER_MS UINT64_C(1000000)
#define LOSS_MAX 0.001
#define SEGMENTS_ANY 65535 /* the kernel's default */
/* The hub limits the rate where it is never idle and the generator waits for it. A generator that
 * never waits feeds the hub so slowly that its batches shrink: it is busy, but not at its best. */
#define HUB_BUSY_MIN 0.97
#define LOAD_WAIT_MIN 0.03

static const struct load patterns[] = {
	{.name = "bursts of 64, 2 peers", .burst_packets = 64, .n_pairs = 1},
	{.name = "bursts of 4, 50 pairs in turn", .burst_packets = 4, .n_pairs = 50},
	{.name = "bursts of 1, 2 peers", .burst_packets = 1, .n_pairs = 1},
};
#define N_PATTERNS (sizeof patterns / sizeof patterns[0])

/* Smaller ones leave the hub waiting, larger ones its cache or its queues. */
static const uint16_t windows[] = {64, 128, 256, 512, 1024, 2048, 4096, 8192};
#define N_WINDOWS (sizeof windows / sizeof windows[0])

/* One hub under one load; the arrays have an element for each round. */
struct series {
	double kpps[MAX_ROUNDS], gbit[MAX_ROUNDS], loss[MAX_ROUNDS], cpu_us[MAX_ROUNDS],
		busy[MAX_ROUNDS], wait[MAX_ROUNDS], kpps_ratio[MAX_ROUNDS], cpu_ratio[MAX_ROUNDS];
	bool limit; /* the hub was, not the generator */
};

struct options {
	struct target targets[MAX_TARGETS];
	size_t n_targets;
	uint32_t sizes[MAX_SIZES];
	size_t n_sizes;
	size_t n_rounds;
	uint64_t turn_ns;
	unsigned hub_core;
	int core; /* ours; -1: any */
	uint32_t patterns; /* bit for each */
	bool over_first; /* ratios of each over the first, instead of the first over each */
	double distance_ns; /* between the hubs' core and ours, before the present load */
	FILE *json;
};

static struct options o = {.sizes = {64, 512, 1420},
	.n_sizes = 3,
	.n_rounds = 5,
	.turn_ns = 300 * NS_PER_MS,
	.core = -1};
static struct series all[MAX_TARGETS];
static bool json_begun;

/* ---- measuring ---- */

static double rate(const struct turn *u)
{
	return u->elapsed_ns ? (double)u->n_received * 1e6 / (double)u->elapsed_ns : 0;
}

static double loss(const struct turn *u)
{
	if (!u->n_sent || u->n_received >= u->n_sent)
		return 0;
	return 1 - (double)u->n_received / (double)u->n_sent;
}

static struct load load_of(const struct load *pattern, const struct target *t)
{
	struct load load = *pattern;

	if (t->n_pairs)
		load.n_pairs = t->n_pairs;
	return load;
}

static bool pin(unsigned first, unsigned last)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (unsigned core = first; core <= last; core++)
		CPU_SET(core, &set);
	return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* Where nothing is the generator's alone, it goes wherever there is time. */
static bool turn_run(struct traffic *tr, struct target *t, const struct load *pattern,
	uint64_t duration_ns, struct turn *u)
{
	struct load load = load_of(pattern, t);
	bool ok;

	if (t->shared && !pin(0, CPU_SETSIZE - 1))
		return false;
	ok = traffic_turn(tr, t, &load, duration_ns, u);
	if (t->shared && o.core >= 0)
		ok &= pin((unsigned)o.core, (unsigned)o.core);
	return ok;
}

/* The smallest window that comes within 2 % of the best rate, of those that lose next to nothing.
 * On shared cores the best, whatever its size: too few packets let everybody sleep by turns. */
static bool window_choose(struct traffic *tr, struct target *t, const struct load *load)
{
	double kpps[N_WINDOWS] = {0}, best = 0;
	struct turn u;

	/* Three times, and the best one counts: whatever disturbs only makes it slower. */
	for (size_t i = 0; i < 3 * N_WINDOWS; i++) {
		double *slot = &kpps[i % N_WINDOWS];

		t->window_packets = windows[i % N_WINDOWS];
		if (!turn_run(tr, t, load, o.turn_ns / 3, &u))
			return false;
		if (loss(&u) < LOSS_MAX && rate(&u) > *slot)
			*slot = rate(&u);
		if (*slot > best)
			best = *slot;
	}
	t->window_packets = windows[0];
	for (size_t i = 0; i < N_WINDOWS; i++) {
		if (kpps[i] >= (t->shared ? 1 : 0.98) * best) {
			t->window_packets = windows[i];
			break;
		}
	}
	return true;
}

static void series_add(struct series *s, size_t round, const struct turn *u, uint32_t inner_bytes)
{
	double n = u->n_received ? (double)u->n_received : 1;
	double elapsed = u->elapsed_ns ? (double)u->elapsed_ns : 1;

	s->kpps[round] = rate(u);
	s->gbit[round] = s->kpps[round] * inner_bytes * 8 / 1e6;
	s->loss[round] = 100 * loss(u);
	s->cpu_us[round] = (double)(u->cpu_ns + u->softirq_ns) / n / 1000;
	s->busy[round] = (double)(u->cpu_ns + u->softirq_ns) / elapsed;
	s->wait[round] = (double)u->waited_ns / elapsed;
	s->kpps_ratio[round] = s->kpps[round] > 0 ? all[0].kpps[round] / s->kpps[round] : 0;
	s->cpu_ratio[round] = s->cpu_us[round] / all[0].cpu_us[round];
	if (o.over_first) {
		s->kpps_ratio[round] = s->kpps_ratio[round] > 0 ? 1 / s->kpps_ratio[round] : 0;
		s->cpu_ratio[round] = 1 / s->cpu_ratio[round];
	}
}

/* A ratio that stands for both: of what they forward, where each hub was the limit of its turns,
 * else of the CPU time it took. On all cores: of what they forward, that is the question. */
static const char *ratio_kind(size_t i)
{
	return o.targets[i].shared || (all[0].limit && all[i].limit) ? "kpps" : "cpu";
}

/* One line that is written over where a person looks at it; elsewhere the table is progress enough.
 */
static void progress(const struct load *load, const char *format, ...)
{
	va_list arguments;

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K");
	if (load) {
		fprintf(stderr, "%s: ", load->name);
		va_start(arguments, format);
		vfprintf(stderr, format, arguments);
		va_end(arguments);
	}
	fflush(stderr);
}

static bool measure(struct traffic *tr, const struct load *load)
{
	uint64_t n_opened[MAX_TARGETS] = {0};

	progress(load, "%u bytes: looking for windows", load->inner_bytes);
	for (size_t i = 0; i < o.n_targets; i++) {
		if (!window_choose(tr, &o.targets[i], load))
			return false;
	}
	o.distance_ns = core_distance_ns(
		o.core >= 0 ? (unsigned)o.core : (unsigned)sched_getcpu(), o.hub_core);
	for (size_t round = 0; round < o.n_rounds; round++) {
		progress(load, "%u bytes: round %zu of %zu", load->inner_bytes, round + 1,
			o.n_rounds);
		for (size_t i = 0; i < o.n_targets; i++) {
			struct turn u;

			if (!turn_run(tr, &o.targets[i], load, o.turn_ns, &u))
				return false;
			series_add(&all[i], round, &u, load->inner_bytes);
			n_opened[i] += u.n_opened;
		}
	}
	progress(NULL, "");
	for (size_t i = 0; i < o.n_targets; i++) {
		if (!n_opened[i]) {
			fprintf(stderr, "hub: %s forwards nothing that could be checked\n",
				o.targets[i].label);
			return false;
		}
		all[i].limit = figure_of(all[i].busy, o.n_rounds).median >= HUB_BUSY_MIN &&
			figure_of(all[i].wait, o.n_rounds).median >= LOAD_WAIT_MIN;
	}
	return true;
}

/* ---- reporting ---- */

static void head_print(const char *machine)
{
	char date[32];
	time_t now = time(NULL);

	strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
	printf("%s, %s\nhubs on core %u; %zu rounds of %u ms; median [smallest..largest]; ratios: "
	       "%s%s%s,\nabove 1 is better for %s. CPU us: user and system of the hub for each "
	       "packet.\n",
		machine, date, o.hub_core, o.n_rounds, (unsigned)(o.turn_ns / NS_PER_MS),
		o.over_first ? "each over " : "", o.targets[0].label,
		o.over_first ? "" : " over the others", o.over_first ? "the other" : "it");
	if (o.json)
		fprintf(o.json,
			"{\"machine\": \"%s\", \"date\": \"%s\", \"rounds\": %zu, \"turn_ms\": %u, "
			"\"results\": [",
			machine, date, o.n_rounds, (unsigned)(o.turn_ns / NS_PER_MS));
}

static void figure_print(struct figure f, int width, int digits)
{
	char text[64];

	snprintf(text, sizeof text, "%.*f [%.*f..%.*f]", digits, f.median, digits, f.min, digits,
		f.max);
	printf(" %-*s", width, text);
}

static void row_print(const struct load *load, size_t i)
{
	struct series *s = &all[i];
	struct figure lost = figure_of(s->loss, o.n_rounds), busy = figure_of(s->busy, o.n_rounds);
	struct figure wait = figure_of(s->wait, o.n_rounds);

	printf("%5u %5.0f  %-28s", load->inner_bytes, o.distance_ns, o.targets[i].label);
	figure_print(figure_of(s->kpps, o.n_rounds), 19, 0);
	printf(" %6.2f", figure_of(s->gbit, o.n_rounds).median);
	printf(" %6.3f", lost.median);
	figure_print(figure_of(s->cpu_us, o.n_rounds), 19, 2);
	printf(" %3.0f%% %3.0f%%%s", 100 * busy.median, 100 * wait.median, s->limit ? " " : "*");
	if (i) {
		figure_print(figure_of(s->kpps_ratio, o.n_rounds), 19, 2);
		figure_print(figure_of(s->cpu_ratio, o.n_rounds), 0, 2);
	}
	printf("\n");
}

static void row_json(const struct load *load, size_t i)
{
	struct series *s = &all[i];

	fprintf(o.json,
		"%s\n  {\"load\": \"%s\", \"burst\": %u, \"pairs\": %u, \"inner_bytes\": %u, "
		"\"core_distance_ns\": %.0f, \"hub\": \"%s\", \"window\": %u, ",
		json_begun ? "," : "", load->name, load->burst_packets,
		load_of(load, &o.targets[i]).n_pairs, load->inner_bytes, o.distance_ns,
		o.targets[i].label, o.targets[i].window_packets);
	json_begun = true;
	figure_json(o.json, "kpps", figure_of(s->kpps, o.n_rounds));
	fprintf(o.json, ", ");
	figure_json(o.json, "gbit", figure_of(s->gbit, o.n_rounds));
	fprintf(o.json, ", ");
	figure_json(o.json, "loss_percent", figure_of(s->loss, o.n_rounds));
	fprintf(o.json, ", ");
	figure_json(o.json, "cpu_us", figure_of(s->cpu_us, o.n_rounds));
	fprintf(o.json, ", ");
	figure_json(o.json, "busy", figure_of(s->busy, o.n_rounds));
	fprintf(o.json, ", ");
	figure_json(o.json, "generator_wait", figure_of(s->wait, o.n_rounds));
	if (i) {
		fprintf(o.json, ", ");
		figure_json(o.json, "kpps_ratio", figure_of(s->kpps_ratio, o.n_rounds));
		fprintf(o.json, ", ");
		figure_json(o.json, "cpu_ratio", figure_of(s->cpu_ratio, o.n_rounds));
		fprintf(o.json, ", \"ratio_kind\": \"%s\", \"ratio_loss_percent\": %.3g",
			ratio_kind(i),
			figure_of(all[o.over_first ? i : 0].loss, o.n_rounds).median);
	}
	fprintf(o.json, "}");
}

static bool pattern_run(struct traffic *tr, const struct load *pattern)
{
	struct load load = *pattern;
	char name[32];

	snprintf(name, sizeof name, "bursts of %u", load.burst_packets);
	if (o.targets[0].n_pairs)
		load.name = name;
	printf("\n%s\n%5s %5s  %-28s %-19s %6s %6s %-19s %4s %5s %-19s %s\n", load.name, "bytes",
		"apart", "hub", "kpps", "Gbit/s", "loss %", "CPU us", "busy", "wait",
		"ratio of kpps", "ratio of CPU");
	for (size_t i = 0; i < o.n_targets; i++) {
		progress(&load, "shaking hands with %s", o.targets[i].label);
		if (!target_segments(&o.targets[i], load.burst_packets == 1 ? 1 : SEGMENTS_ANY) ||
			!target_configure(&o.targets[i], 2 * load_of(&load, &o.targets[i]).n_pairs))
			return false;
	}
	for (size_t s = 0; s < o.n_sizes; s++) {
		load.inner_bytes = o.sizes[s];
		if (!measure(tr, &load))
			return false;
		for (size_t i = 0; i < o.n_targets; i++) {
			row_print(&load, i);
			if (o.json)
				row_json(&load, i);
		}
		fflush(stdout);
	}
	return true;
}

/* ---- the program ---- */

static int usage(FILE *out)
{
	fprintf(out,
		"Usage: hub [options] --target LABEL,IFNAME,ADDRESS,PID[,WORDS] [--target ...]\n"
		"Compares running WireGuard hubs; the first is compared with the others.\n"
		"bench/run-hub.sh and run-scale.sh start them and call this. WORDS:\n"
		"  pairs=N           so many pairs of peers, whatever the load says\n"
		"  idle=N            so many peers beside them that are never heard of\n"
		"  shared            the hub runs on all cores, so the generator is not pinned,\n"
		"                    and sleeps where it would wait\n"
		"Options:\n"
		"  --over-first      ratios of each hub over the first, not of the first over "
		"each\n"
		"  --sizes N,N,..    inner packet sizes, 64,512,1420 without being told\n"
		"  --bursts N,..     64, 4 or 1: which loads, all without being told\n"
		"  --rounds N        5 without being told\n"
		"  --turn-ms N       300 without being told\n"
		"  --hub-core N      where the hubs are pinned, 0 without being told\n"
		"  --core N          where to run, no pinning without being told\n"
		"  --json FILE       the results also there\n");
	return out == stdout ? 0 : 2;
}

static bool sizes_parse(char *text)
{
	o.n_sizes = 0;
	for (char *part; (part = strsep(&text, ","));) {
		long n = strtol(part, NULL, 10);

		if (n < 64 || n > 1500 || o.n_sizes == MAX_SIZES)
			return false;
		o.sizes[o.n_sizes++] = (uint32_t)n;
	}
	return true;
}

static bool bursts_parse(char *text)
{
	for (char *part; (part = strsep(&text, ","));) {
		uint32_t before = o.patterns;

		for (size_t i = 0; i < N_PATTERNS; i++) {
			if (strtoul(part, NULL, 10) == patterns[i].burst_packets)
				o.patterns |= 1u << i;
		}
		if (o.patterns == before)
			return false;
	}
	return true;
}

static bool options_parse(int argc, char **argv)
{
	static const struct option known[] = {{"target", required_argument, NULL, 't'},
		{"sizes", required_argument, NULL, 's'}, {"bursts", required_argument, NULL, 'b'},
		{"rounds", required_argument, NULL, 'r'}, {"turn-ms", required_argument, NULL, 'm'},
		{"hub-core", required_argument, NULL, 'h'}, {"core", required_argument, NULL, 'c'},
		{"json", required_argument, NULL, 'j'}, {"over-first", no_argument, NULL, 'o'},
		{0}};
	bool ok = true;
	int option;

	while (ok && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 't':
			ok = o.n_targets < MAX_TARGETS &&
				target_parse(&o.targets[o.n_targets], optarg);
			o.n_targets++;
			break;
		case 's':
			ok = sizes_parse(optarg);
			break;
		case 'b':
			ok = bursts_parse(optarg);
			break;
		case 'r':
			o.n_rounds = strtoul(optarg, NULL, 10);
			ok = o.n_rounds >= 1 && o.n_rounds <= MAX_ROUNDS;
			break;
		case 'm':
			o.turn_ns = strtoul(optarg, NULL, 10) * NS_PER_MS;
			ok = o.turn_ns >= 10 * NS_PER_MS && o.turn_ns <= 30000 * NS_PER_MS;
			break;
		case 'h':
			o.hub_core = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			o.core = atoi(optarg);
			ok = o.core >= 0 && pin((unsigned)o.core, (unsigned)o.core);
			break;
		case 'o':
			o.over_first = true;
			break;
		case 'j':
			o.json = fopen(optarg, "w");
			if (!o.json)
				perror(optarg);
			ok = o.json;
			break;
		default:
			ok = false;
		}
	}
	if (!o.patterns)
		o.patterns = (1u << N_PATTERNS) - 1;
	return ok && optind == argc && o.n_targets;
}

int main(int argc, char **argv)
{
	struct traffic *tr = NULL;
	char machine[256];
	bool ok = true;

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	if (!options_parse(argc, argv))
		return usage(stderr);
	if (secret_init() == 0)
		tr = traffic_new();
	if (!tr) {
		fprintf(stderr, "hub: no memory or no randomness\n");
		return 1;
	}
	descriptors_allow();
	target_core_set(o.hub_core);
	machine_text(machine, sizeof machine);
	head_print(machine);
	for (size_t i = 0; ok && i < N_PATTERNS; i++) {
		if (o.patterns & 1u << i)
			ok = pattern_run(tr, &patterns[i]);
	}
	printf("\napart: nanoseconds from the hub's core to the generator's, which matter for "
	       "short "
	       "bursts.\nbusy: of the hub's core; wait: how much of its time the generator waited "
	       "for the "
	       "hub.\n* The hub was not busy, or the generator never waited: the generator is the "
	       "limit.\n  Then the ratio of CPU counts, and is itself too low.\n");
	if (o.json) {
		fprintf(o.json, "\n]}\n");
		ok &= fclose(o.json) == 0;
	}
	for (size_t i = 0; i < o.n_targets; i++)
		target_fini(&o.targets[i]);
	traffic_free(tr);
	return ok ? 0 : 1;
}
