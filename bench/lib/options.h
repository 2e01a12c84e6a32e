/* options.h - what the programs under the scripts run-*.sh have in common: their arguments, and the
 * lines they print, of which lib/report.awk makes tables.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "bench/lib/target.h"

#define MAX_TARGETS 4
#define NS_PER_MS UINT64_C(1000000)

struct options {
	struct target targets[MAX_TARGETS];
	size_t n_targets;
	size_t n_rounds;
	size_t n_peers;
	uint64_t turn_ns;
};

/* The fields above hold what counts without being told. Also pins the process and prepares the
 * random source; allows as many descriptors as the system does. False: usage is on stderr. */
MUST_CHECK bool options_parse(struct options *o, int argc, char **argv, const char *what);
void options_fini(struct options *o);

/* One figure of one hub in one round. better: "higher" or "lower". */
void figure_line(const char *metric, const char *unit, const char *better, const struct target *t,
	size_t round, double value);
/* A line that the next one replaces, where a person looks at stderr; NULL: none. */
void progress_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
