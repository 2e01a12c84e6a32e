/* distance.h - how far two cores are from each other: what a cache line takes from one to the
 * other.
 *
 * A virtual machine's cores may share a cache now and sit on different dies a minute later. Packets
 * travel between generator and hub, so short bursts cost up to twice as much in the second case: a
 * table without this figure cannot be compared with another one.
 */
#ifndef BENCH_DISTANCE_H
#define BENCH_DISTANCE_H

/* Nanoseconds one way, the best of some attempts; takes some 20 ms. 0: not measurable. The calling
 * thread keeps its affinity. */
double core_distance_ns(unsigned a, unsigned b);

#endif
