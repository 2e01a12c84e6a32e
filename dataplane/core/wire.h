/* wire.h - WireGuard's messages as they travel. Source: paper, sections 5.4.2 to 5.4.7; all numbers
 * little endian. Structs are byte arrays only, so they have no padding, alignment or byte order of
 * their own; a datagram is checked for length, then type, and only then looked at through one of
 * them.
 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H

#include <stdint.h>

/* The type byte and three reserved zero bytes, compared as one 32-bit number. */
enum wire_type {
	WIRE_INITIATION = 1,
	WIRE_RESPONSE = 2,
	WIRE_COOKIE = 3,
	WIRE_DATA = 4,
};

#define WIRE_TAG_BYTES 16
#define WIRE_MAC_BYTES 16
#define WIRE_TIMESTAMP_BYTES 12
#define WIRE_NONCE_BYTES 24

struct wire_macs {
	uint8_t mac1[WIRE_MAC_BYTES], mac2[WIRE_MAC_BYTES];
};

struct wire_initiation {
	uint8_t type[4], sender[4];
	uint8_t ephemeral[32];
	uint8_t static_key[32 + WIRE_TAG_BYTES];
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES + WIRE_TAG_BYTES];
	struct wire_macs macs;
};

struct wire_response {
	uint8_t type[4], sender[4], receiver[4];
	uint8_t ephemeral[32];
	uint8_t empty[WIRE_TAG_BYTES];
	struct wire_macs macs;
};

struct wire_cookie {
	uint8_t type[4], receiver[4];
	uint8_t nonce[WIRE_NONCE_BYTES];
	uint8_t cookie[WIRE_MAC_BYTES + WIRE_TAG_BYTES];
};

/* Followed by the encrypted inner packet and the tag. */
struct wire_data {
	uint8_t type[4], receiver[4], counter[8];
};

#define WIRE_DATA_MIN_BYTES (sizeof(struct wire_data) + WIRE_TAG_BYTES)
#define WIRE_HANDSHAKE_MAX_BYTES sizeof(struct wire_initiation)

_Static_assert(sizeof(struct wire_initiation) == 148, "wire layout");
_Static_assert(sizeof(struct wire_response) == 92, "wire layout");
_Static_assert(sizeof(struct wire_cookie) == 64, "wire layout");
_Static_assert(sizeof(struct wire_data) == 16, "wire layout");

static inline uint32_t le32_get(const uint8_t b[4])
{
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline void le32_put(uint8_t b[4], uint32_t v)
{
	for (int i = 0; i < 4; i++)
		b[i] = (uint8_t)(v >> 8 * i);
}

static inline uint64_t le64_get(const uint8_t b[8])
{
	return (uint64_t)le32_get(b) | (uint64_t)le32_get(b + 4) << 32;
}

static inline void le64_put(uint8_t b[8], uint64_t v)
{
	le32_put(b, (uint32_t)v);
	le32_put(b + 4, (uint32_t)(v >> 32));
}

#endif
