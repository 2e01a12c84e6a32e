/* rng.h - the tests' random numbers: fast, seeded and the same on every machine. Not for keys.
 * Source: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
 */
#ifndef TESTS_LIB_RNG_H
#define TESTS_LIB_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t state; /* the seed; any value */
};

uint64_t rng_next(struct rng *rng);
/* 0 .. limit - 1 */
uint64_t rng_below(struct rng *rng, uint64_t limit);
void rng_fill(struct rng *rng, void *out, size_t len_bytes);

#endif
