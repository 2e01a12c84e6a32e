/* blake2s.c - BLAKE2s of RFC 7693, and HMAC and HKDF over it, for the handshake and its MACs.
 *
 * Owns nothing: all state is in the caller's context or on the stack, and is wiped before the last
 * call of a computation returns. Costs one compression per 64 bytes; a first packet's mac1 is three
 * of them. Cannot fail.
 */
#include "crypto/blake2s.h"

#include <string.h>

#include <sodium.h>

/* What the compression and its callers may leave on the stack; generous, checked by no one but
 * cheap. */
#define STACK_BYTES 768

/* RFC 7693, section 2.6: the same words as SHA-256's. */
static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
	0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* RFC 7693, section 2.7. */
static const uint8_t sigma[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint32_t rotate_right(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void store32(uint8_t *p, uint32_t x)
{
	p[0] = (uint8_t)x;
	p[1] = (uint8_t)(x >> 8);
	p[2] = (uint8_t)(x >> 16);
	p[3] = (uint8_t)(x >> 24);
}

/* A macro and not a function: the indexes are constants, so v and m stay in registers where they
 * fit. */
#define MIX(a, b, c, d, x, y)                                                                      \
	do {                                                                                       \
		v[a] += v[b] + (x);                                                                \
		v[d] = rotate_right(v[d] ^ v[a], 16);                                              \
		v[c] += v[d];                                                                      \
		v[b] = rotate_right(v[b] ^ v[c], 12);                                              \
		v[a] += v[b] + (y);                                                                \
		v[d] = rotate_right(v[d] ^ v[a], 8);                                               \
		v[c] += v[d];                                                                      \
		v[b] = rotate_right(v[b] ^ v[c], 7);                                               \
	} while (0)

#define ROUND(r)                                                                                   \
	do {                                                                                       \
		MIX(0, 4, 8, 12, m[sigma[r][0]], m[sigma[r][1]]);                                  \
		MIX(1, 5, 9, 13, m[sigma[r][2]], m[sigma[r][3]]);                                  \
		MIX(2, 6, 10, 14, m[sigma[r][4]], m[sigma[r][5]]);                                 \
		MIX(3, 7, 11, 15, m[sigma[r][6]], m[sigma[r][7]]);                                 \
		MIX(0, 5, 10, 15, m[sigma[r][8]], m[sigma[r][9]]);                                 \
		MIX(1, 6, 11, 12, m[sigma[r][10]], m[sigma[r][11]]);                               \
		MIX(2, 7, 8, 13, m[sigma[r][12]], m[sigma[r][13]]);                                \
		MIX(3, 4, 9, 14, m[sigma[r][14]], m[sigma[r][15]]);                                \
	} while (0)

/* Takes one block of which add_bytes count; last is all ones for the final block, else 0. v and m
 * are not wiped here, which would force them out of registers: stack_wipe() does it once at the
 * end. */
static void compress(struct blake2s *s, const uint8_t block[64], uint32_t add_bytes, uint32_t last)
{
	uint32_t v[16], m[16];

	s->t[0] += add_bytes;
	s->t[1] += s->t[0] < add_bytes;
	for (int i = 0; i < 16; i++)
		m[i] = load32(block + 4 * i);
	for (int i = 0; i < 8; i++) {
		v[i] = s->h[i];
		v[i + 8] = iv[i];
	}
	v[12] ^= s->t[0];
	v[13] ^= s->t[1];
	v[14] ^= last;

	ROUND(0);
	ROUND(1);
	ROUND(2);
	ROUND(3);
	ROUND(4);
	ROUND(5);
	ROUND(6);
	ROUND(7);
	ROUND(8);
	ROUND(9);

	for (int i = 0; i < 8; i++)
		s->h[i] ^= v[i] ^ v[i + 8];
}

static void stack_wipe(void)
{
	sodium_stackzero(STACK_BYTES);
}

void blake2s_init(struct blake2s *s, size_t out_bytes, const void *key, size_t key_bytes)
{
	memset(s, 0, sizeof *s);
	memcpy(s->h, iv, sizeof s->h);
	s->h[0] ^= 0x01010000 ^ (uint32_t)key_bytes << 8 ^ (uint32_t)out_bytes;
	s->out_bytes = (uint32_t)out_bytes;
	if (key_bytes) {
		memcpy(s->block, key, key_bytes);
		s->used_bytes = BLAKE2S_BLOCK_BYTES;
	}
}

void blake2s_update(struct blake2s *s, const void *in, size_t in_bytes)
{
	const uint8_t *p = in;
	size_t room_bytes = BLAKE2S_BLOCK_BYTES - s->used_bytes;

	if (!in_bytes)
		return;
	/* A full block waits until more follows, because the last one is compressed differently. */
	if (in_bytes > room_bytes) {
		memcpy(s->block + s->used_bytes, p, room_bytes);
		compress(s, s->block, BLAKE2S_BLOCK_BYTES, 0);
		s->used_bytes = 0;
		p += room_bytes;
		in_bytes -= room_bytes;
		for (; in_bytes > BLAKE2S_BLOCK_BYTES; in_bytes -= BLAKE2S_BLOCK_BYTES) {
			compress(s, p, BLAKE2S_BLOCK_BYTES, 0);
			p += BLAKE2S_BLOCK_BYTES;
		}
	}
	memcpy(s->block + s->used_bytes, p, in_bytes);
	s->used_bytes += (uint32_t)in_bytes;
}

/* Without wiping: HMAC wipes once for its two hashes. */
static void finish(struct blake2s *s, uint8_t *out)
{
	uint8_t hash[BLAKE2S_HASH_BYTES];

	memset(s->block + s->used_bytes, 0, BLAKE2S_BLOCK_BYTES - s->used_bytes);
	compress(s, s->block, s->used_bytes, UINT32_MAX);
	for (int i = 0; i < 8; i++)
		store32(hash + 4 * i, s->h[i]);
	memcpy(out, hash, s->out_bytes);
	secret_wipe(hash, sizeof hash);
}

void blake2s_final(struct blake2s *s, uint8_t *out)
{
	finish(s, out);
	secret_wipe(s, sizeof *s);
	stack_wipe();
}

void blake2s(uint8_t *out, size_t out_bytes, const void *key, size_t key_bytes, const void *in,
	size_t in_bytes)
{
	struct blake2s s;

	blake2s_init(&s, out_bytes, key, key_bytes);
	blake2s_update(&s, in, in_bytes);
	blake2s_final(&s, out);
}

/* HMAC over two pieces, because HKDF's later steps hash "T | counter". Leaves the stack to the
 * caller. */
static void hmac(uint8_t out[32], const void *key, size_t key_bytes, const void *in,
	size_t in_bytes, const void *in2, size_t in2_bytes)
{
	struct {
		struct blake2s hash;
		uint8_t pad[BLAKE2S_BLOCK_BYTES], inner[BLAKE2S_HASH_BYTES];
	} s;

	memset(s.pad, 0, sizeof s.pad);
	if (key_bytes > sizeof s.pad) {
		blake2s_init(&s.hash, BLAKE2S_HASH_BYTES, NULL, 0);
		blake2s_update(&s.hash, key, key_bytes);
		finish(&s.hash, s.pad);
	} else if (key_bytes) {
		memcpy(s.pad, key, key_bytes);
	}

	for (size_t i = 0; i < sizeof s.pad; i++)
		s.pad[i] ^= 0x36;
	blake2s_init(&s.hash, BLAKE2S_HASH_BYTES, NULL, 0);
	blake2s_update(&s.hash, s.pad, sizeof s.pad);
	blake2s_update(&s.hash, in, in_bytes);
	blake2s_update(&s.hash, in2, in2_bytes);
	finish(&s.hash, s.inner);

	for (size_t i = 0; i < sizeof s.pad; i++)
		s.pad[i] ^= 0x36 ^ 0x5c;
	blake2s_init(&s.hash, BLAKE2S_HASH_BYTES, NULL, 0);
	blake2s_update(&s.hash, s.pad, sizeof s.pad);
	blake2s_update(&s.hash, s.inner, sizeof s.inner);
	finish(&s.hash, out);

	secret_wipe(&s, sizeof s);
}

void blake2s_hmac(
	uint8_t out[32], const void *key, size_t key_bytes, const void *in, size_t in_bytes)
{
	hmac(out, key, key_bytes, in, in_bytes, NULL, 0);
	stack_wipe();
}

void blake2s_kdf(uint8_t *out1, uint8_t *out2, uint8_t *out3, const uint8_t key[32], const void *in,
	size_t in_bytes)
{
	struct {
		uint8_t prk[32], t[32];
	} s;
	uint8_t *const outs[3] = {out1, out2, out3};
	int n_outs = out3 ? 3 : out2 ? 2 : 1;
	size_t t_bytes = 0; /* T(0) is empty */

	hmac(s.prk, key, 32, in, in_bytes, NULL, 0);
	for (int i = 0; i < n_outs; i++) {
		uint8_t number = (uint8_t)(i + 1);

		hmac(s.t, s.prk, sizeof s.prk, s.t, t_bytes, &number, 1);
		t_bytes = sizeof s.t;
		if (outs[i])
			memcpy(outs[i], s.t, sizeof s.t);
	}
	secret_wipe(&s, sizeof s);
	stack_wipe();
}
