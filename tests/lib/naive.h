/* naive.h - numbers in network byte order and the internet checksum, in the plainest way: nothing
 * of the code under test is used.
 */
#ifndef TESTS_LIB_NAIVE_H
#define TESTS_LIB_NAIVE_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

/* RFC 1071, two bytes at a time, on top of a sum of what stands before; folded, not inverted. */
static inline uint32_t naive_sum(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

#endif
