/* traffic.h - one turn of load: packets into a hub, packets out of it, counted and checked.
 *
 * A closed loop: a bounded number of packets is on the way (the window); for each chunk of 64 that
 * arrives the next is sent. So the hub always has work and never more than its buffers hold, the
 * rate settles by itself where hub or generator is busy all the time, and a turn of a third of a
 * second gives it. A search for the highest rate with little loss needs many turns per figure, and
 * every hiccup of a shared machine sends it down the wrong half. What is lost is counted, and the
 * window is chosen by the caller so that it is next to nothing.
 *
 * The packets are real: each is sealed anew, with the next counter of its session, on the
 * generator's core and inside the loop. Of what arrives the headers of every message are looked at
 * (type, index, counters rising); each sixteenth message is opened and compared byte for byte.
 */
#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H

#include "bench/lib/target.h"

#define CHUNK_PACKETS 64

struct load {
	const char *name;
	uint32_t burst_packets; /* 1..64, a power of two; 1 needs target_segments(t, 1) before */
	uint32_t n_pairs; /* peer 2i sends to peer 2i + 1 */
	uint32_t inner_bytes; /* whole IPv4 packet, 64 at least */
};

struct turn {
	uint64_t n_sent, n_received;
	uint64_t n_opened; /* checked byte for byte */
	uint64_t elapsed_ns, cpu_ns, softirq_ns;
	uint64_t waited_ns; /* the generator had nothing to do: the hub is the limit */
};

struct traffic;
MUST_CHECK struct traffic *traffic_new(void);
void traffic_free(struct traffic *tr);
/* False: the hub did something wrong, or is gone; why is on stderr. */
MUST_CHECK bool traffic_turn(struct traffic *tr, struct target *t, const struct load *load,
	uint64_t duration_ns, struct turn *turn);

#endif
