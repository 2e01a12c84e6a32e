/* be.h - numbers as IP and its transports write them: in network byte order, at any address. (Those
 * of WireGuard's own messages are little endian: wire.h.)
 */
#ifndef CORE_BE_H
#define CORE_BE_H

#include <stdint.h>

static inline uint32_t be16_get(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/* The low 16 bits. */
static inline void be16_put(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline uint32_t be32_get(const uint8_t *p)
{
	return be16_get(p) << 16 | be16_get(p + 2);
}

static inline void be32_put(uint8_t *p, uint32_t value)
{
	be16_put(p, value >> 16);
	be16_put(p + 2, value);
}

#endif
