/* metrics_text.h - a hub's counters as Prometheus reads them (text format 0.0.4).
 *
 * The three wireguard_* names and their labels are those of MindFlavor's
 * prometheus_wireguard_exporter, so that dashboards made for it work as they are; all others begin
 * with wghub_ and have the label interface. Bounds: three series for each of the first peers_max
 * peers, one sum for those beyond it (public_key="others"), about 100 besides; a label has at most
 * METRICS_LABEL_MAX bytes. No secret is in it. Threads: any; no state. Cost: about 1 KiB and 3 us
 * for each peer.
 */
#ifndef CONTROL_METRICS_TEXT_H
#define CONTROL_METRICS_TEXT_H

#include "control/uapi.h"

#define METRICS_PEERS_MAX 10000
#define METRICS_LABEL_MAX 1024
/* A peer that is used renews its session every two minutes, and three end it. */
#define METRICS_CONNECTED_S 180

struct metrics_input {
	const char *interface;
	const struct wgh_snapshot *snapshot;
	const struct wgh_stats *stats; /* drops: wgh_n_drop_reasons() of them */
	uapi_name_fn *name; /* may be NULL */
	void *name_arg;
	uint64_t n_roams;
	int64_t now_s; /* CLOCK_REALTIME */
	struct metrics_events {
		const char *to; /* NULL: no more */
		uint64_t n_lines, n_lost;
	} events[3];
	bool has_command; /* that gets events */
	uint64_t command_waiting_bytes, n_command_runs, n_command_failed;
	/* Of the process; 0: not known. */
	uint64_t resident_bytes;
	double cpu_s, started_s;
	size_t peers_max;
};

/* *text is the caller's to free(). -ENOMEM. */
MUST_CHECK int metrics_text(char **text, size_t *n, const struct metrics_input *input);

#endif
