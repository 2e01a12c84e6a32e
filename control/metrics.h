/* metrics.h - the hub's counters over HTTP, for Prometheus: GET /metrics, and nothing else.
 *
 * libmicrohttpd on the main loop. Its socket is opened before the process gives root up. Without a
 * token only addresses of this machine or a unix socket (0600, the starter's own) are served; with
 * one, each request must bring it ("Authorization: Bearer TOKEN", compared in constant time). There
 * is no TLS: beyond this machine, put it into the tunnel or behind a proxy. Threads: the main
 * thread. Cost: a snapshot for each scrape, at most one a second (more get the same text); 16
 * clients, 10 s each. Fails: at the start, with an error; afterwards only the one client.
 */
#ifndef CONTROL_METRICS_H
#define CONTROL_METRICS_H

#include "crypto/secret.h"
#include "wghub_device.h"

#include <uv.h>

#define METRICS_TOKEN_MIN 16
#define METRICS_TOKEN_MAX 512

struct metrics_options {
	const char *where; /* ADDRESS:PORT or unix:/PATH; NULL: none */
	const char *token_path; /* or NULL */
};

/* Makes the text: *text is free()d later. Negative errno. */
typedef int metrics_source_fn(void *arg, char **text, size_t *n);

struct metrics;

/* NULL, or what is wrong with the words; nothing is opened. */
MUST_CHECK const char *metrics_check(const char *where);
/* *metrics stays NULL where options name no place. -EINVAL: the place or the token; -EADDRINUSE and
 * others of sockets. loop outlives it. */
MUST_CHECK int metrics_new(struct metrics **metrics, uv_loop_t *loop,
	const struct metrics_options *options, metrics_source_fn *source, void *arg,
	struct wgh_error *error);
/* The path of its unix socket, or NULL. */
const char *metrics_socket(const struct metrics *metrics);
/* NULL is fine. Run the loop afterwards until no handle is left. */
void metrics_free(struct metrics *metrics);

#endif
