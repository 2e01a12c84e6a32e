/* rng.c - see rng.h. */
#include "tests/lib/rng.h"

#include <string.h>

uint64_t rng_next(struct rng *rng)
{
	uint64_t x = rng->state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

uint64_t rng_below(struct rng *rng, uint64_t limit)
{
	return rng_next(rng) % limit;
}

void rng_fill(struct rng *rng, void *out, size_t len_bytes)
{
	uint8_t *p = out;

	while (len_bytes) {
		uint64_t x = rng_next(rng);
		size_t n = len_bytes < sizeof x ? len_bytes : sizeof x;

		memcpy(p, &x, n);
		p += n;
		len_bytes -= n;
	}
}
