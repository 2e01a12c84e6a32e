/* target.h - a hub under test: its UAPI socket, its process, the peers that are played at it.
 *
 * The hub program runs already; here it gets a key, a port and peers, and its CPU time is read.
 * Fails: a text on stderr and false.
 */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include <sys/types.h>

#include "bench/lib/played.h"

struct target {
	const char *label, *ifname;
	struct sockaddr_in address;
	pid_t pid;
	struct x25519_secret secret;
	struct x25519_public public_key;
	struct played *peers;
	size_t n_peers;
	uint32_t n_idle; /* configured beside them and never heard of */
	uint32_t n_pairs; /* that send and receive; 0: as the load says */
	/* The hub may run on the generator's core too: the generator has no core of its own then,
	 * and sleeps instead of looking at its sockets again and again. */
	bool shared;
	int poll_fd; /* of the receivers, if shared */
	uint16_t window_packets; /* in flight; chosen anew for each load */
};

/* text is LABEL,IFNAME,ADDRESS,PID[,idle=N][,pairs=N][,shared] and is cut up in place. */
MUST_CHECK bool target_parse(struct target *t, char *text);
/* Gives the hub these peers and its idle ones, no others, and shakes hands with all of these. */
MUST_CHECK bool target_configure(struct target *t, size_t n_peers);
/* Before each load: no session gets old, every peer is alive in the hub's eyes. */
MUST_CHECK bool target_refresh(struct target *t);
/* Until something arrives, or some time has gone by. Only where shared. */
void target_sleep(const struct target *t);
/* How many datagrams may travel over the link to this hub as one: 1 makes the generator's kernel
 * cut every segmented send apart on its side, as a sender's network card does, and nothing reaches
 * the hub coalesced. It costs the generator half of what single sends do, so that the hub stays the
 * limit. The link has the interface's name on this side too. */
MUST_CHECK bool target_segments(const struct target *t, unsigned n);
void target_fini(struct target *t);

/* Nanoseconds of CPU that the process's threads have used, user and system, and that the core's
 * ksoftirqd has (work the kernel put off, of whom is not known). False: the process is gone. */
MUST_CHECK bool target_cpu_ns(const struct target *t, uint64_t *process_ns, uint64_t *softirq_ns);
/* Which core's ksoftirqd to count. */
void target_core_set(unsigned core);

#endif
