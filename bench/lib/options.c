/* options.c - see options.h. */
#include "bench/lib/options.h"

#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool usage(const struct options *o, const char *program, const char *what)
{
	fprintf(stderr,
		"Usage: %s [options] --target LABEL,IFNAME,ADDRESS,PID [--target ...]\n"
		"%s\n"
		"A script run-*.sh starts the hubs, calls this and makes a table of what it "
		"prints.\n"
		"  --rounds N      %zu without being told\n"
		"  --turn-ms N     of each hub in each round, %u without being told\n"
		"  --peers N       %zu without being told\n"
		"  --hub-core N    where the hubs are pinned\n"
		"  --core N        where to run, no pinning without being told\n",
		program, what, o->n_rounds, (unsigned)(o->turn_ns / NS_PER_MS), o->n_peers);
	return false;
}

static bool pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	return sched_setaffinity(0, sizeof set, &set) == 0;
}

bool options_parse(struct options *o, int argc, char **argv, const char *what)
{
	static const struct option known[] = {{"target", required_argument, NULL, 't'},
		{"rounds", required_argument, NULL, 'r'}, {"turn-ms", required_argument, NULL, 'm'},
		{"peers", required_argument, NULL, 'p'}, {"hub-core", required_argument, NULL, 'h'},
		{"core", required_argument, NULL, 'c'}, {0}};
	bool ok = true;
	int option;

	while (ok && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;

		switch (option) {
		case 't':
			ok = o->n_targets < MAX_TARGETS &&
				target_parse(&o->targets[o->n_targets], optarg);
			o->n_targets++;
			break;
		case 'r':
			o->n_rounds = number;
			break;
		case 'm':
			o->turn_ns = number * NS_PER_MS;
			break;
		case 'p':
			o->n_peers = number;
			break;
		case 'h':
			target_core_set((unsigned)number);
			break;
		case 'c':
			ok = pin((unsigned)number);
			break;
		default:
			ok = false;
		}
	}
	if (!ok || optind != argc || !o->n_targets || !o->n_rounds || !o->turn_ns || !o->n_peers)
		return usage(o, argv[0], what);
	descriptors_allow();
	return secret_init() == 0;
}

void options_fini(struct options *o)
{
	for (size_t i = 0; i < o->n_targets; i++)
		target_fini(&o->targets[i]);
}

void figure_line(const char *metric, const char *unit, const char *better, const struct target *t,
	size_t round, double value)
{
	printf("%s\t%s\t%s\t%s\t%zu\t%.6g\n", metric, unit, better, t->label, round, value);
}

void progress_line(const char *format, ...)
{
	va_list arguments;

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K");
	if (format) {
		va_start(arguments, format);
		vfprintf(stderr, format, arguments);
		va_end(arguments);
	}
	fflush(stderr);
}
