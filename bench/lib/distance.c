/* distance.c - see distance.h. Two threads throw a counter to and fro. */
#include "bench/lib/distance.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum {
	ATTEMPTS = 40,
	THROWS = 1000, /* of each attempt and thread */
	END_NS = 500 * 1000 * 1000, /* a core that others keep busy gives no figure */
};

static _Alignas(128) atomic_int ball;

static bool pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Answers each odd number with the next one; -1 ends it. */
static void *answer(void *core)
{
	int seen;

	if (!pin(*(unsigned *)core))
		return NULL;
	while ((seen = atomic_load(&ball)) != -1) {
		if (seen & 1)
			atomic_store(&ball, seen + 1);
	}
	return NULL;
}

/* False: the other side is not there, or does not run. */
static bool throw(int number, uint64_t end_ns)
{
	atomic_store(&ball, number);
	for (unsigned i = 1; atomic_load(&ball) == number; i++) {
		if (i % 65536 == 0 && now_ns() > end_ns)
			return false;
	}
	return true;
}

static double best_of_attempts(void)
{
	uint64_t start_ns = now_ns(), end_ns = start_ns + END_NS, best_ns = UINT64_MAX;
	int number = 1;

	for (int i = 0; i < ATTEMPTS; i++) {
		uint64_t before_ns = now_ns(), took_ns;

		for (int k = 0; k < THROWS; k++, number += 2) {
			if (!throw(number, end_ns))
				return 0;
		}
		took_ns = now_ns() - before_ns;
		if (took_ns < best_ns)
			best_ns = took_ns;
	}
	return (double)best_ns / (2.0 * THROWS);
}

double core_distance_ns(unsigned a, unsigned b)
{
	pthread_t other;
	cpu_set_t before;
	double ns = 0;

	atomic_store(&ball, 0);
	if (pthread_getaffinity_np(pthread_self(), sizeof before, &before) ||
		pthread_create(&other, NULL, answer, &b))
		return 0;
	if (pin(a))
		ns = best_of_attempts();
	atomic_store(&ball, -1);
	pthread_join(other, NULL);
	(void)pthread_setaffinity_np(pthread_self(), sizeof before, &before);
	return ns;
}
