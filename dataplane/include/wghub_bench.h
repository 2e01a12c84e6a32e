/* wghub_bench.h - what this machine carries: the data path in memory, and a hub on the loopback
 * interface with sockets and kernel. For `wghub bench`, bench/core and embedders' own measurements.
 *
 * Threads: each function is called by one thread at a time. Errors: 0 or a negative errno.
 * For measuring only: this header may change in any release of libwghub.so.1.
 * The peers are made up here, their keys are random; nothing of it touches another hub.
 */
#ifndef WGHUB_BENCH_H
#define WGHUB_BENCH_H

#include "wghub.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define WGH_BENCH_PACKETS_PER_ROUND 2048

struct wgh_bench_options {
	const char *aead; /* back end by name, NULL: the fastest */
	uint32_t n_peers; /* configured */
	uint32_t n_active; /* of these send or receive, half of them each; even, at least 2 */
	uint32_t burst_packets; /* of one sender: a power of two up to 64 */
	uint32_t packet_bytes; /* whole inner IPv4 packets, 64 to 1500 */
	bool both_ways; /* bursts of questions and of answers in turn */
	bool nat; /* receivers see the hub's address as source, and answer to it */
};

/* Nanoseconds for each packet. */
struct wgh_bench_cost {
	double path; /* from one peer to the other through the hub, in memory */
	double aead; /* of these, opening and sealing alone */
};

struct wgh_bench;

/* A hub with a session for each active peer. -EINVAL: options; -ENOENT, -EIO: no such back end here,
 * or it computes something wrong; -ENOMEM. */
int wgh_bench_new(struct wgh_bench **bench, const struct wgh_bench_options *options);
void wgh_bench_free(struct wgh_bench *bench);
/* Forwards WGH_BENCH_PACKETS_PER_ROUND packets; the first rounds are slower. -EIO: not all came out. */
int wgh_bench_round(struct wgh_bench *bench, struct wgh_bench_cost *cost);
/* Name of the back end. */
const char *wgh_bench_aead(const struct wgh_bench *bench);

/* ---- with sockets and kernel ---- */

struct wgh_bench_loopback {
	double packets_per_s; /* that arrived; one thread makes them, which may be the limit */
	double cpu_ns; /* for each, of all threads but the caller's, the kernel's part included */
	double lost_percent;
};

/* A device without a TUN carries bursts of 64 packets from one peer to another, over 127.0.0.1, both
 * played by the caller's thread. The hub's one worker wants another core. Of options only aead,
 * packet_bytes and nat count. -EINVAL: options, or a kernel without UDP_SEGMENT; -EIO: nothing arrived, or
 * not what was sent; else errors of sockets and of wgh_device_new(). */
int wgh_bench_loopback(const struct wgh_bench_options *options, uint64_t duration_ns,
	struct wgh_bench_loopback *result);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
