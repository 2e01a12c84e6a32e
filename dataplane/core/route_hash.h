/* route_hash.h - the keyed hash of prefixes, shared by the set and the table; for those two only.
 * Sequential addresses, the common case, spread evenly: every input bit reaches every output bit.
 * Keyed against chosen prefixes; it is no cryptographic hash and its values stay inside.
 */
#ifndef CORE_ROUTE_HASH_H
#define CORE_ROUTE_HASH_H

#include <stdint.h>

struct mem_budget;
struct route_set;

uint64_t route_seed(const struct route_set *set);
struct mem_budget *route_budget(const struct route_set *set);

/* An invertible mix of two rounds of xor-shift and multiplication by odd constants (the finaliser
 * of SplitMix64, Steele and others 2014). */
static inline uint64_t route_mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline uint64_t route_hash4(uint64_t seed, uint32_t addr, uint32_t bits)
{
	return route_mix(seed ^ ((uint64_t)bits << 32 | addr));
}

static inline uint64_t route_hash6(uint64_t seed, uint64_t hi, uint64_t lo, uint32_t bits)
{
	return route_mix((route_mix(seed ^ hi) + bits) ^ lo);
}

#endif
