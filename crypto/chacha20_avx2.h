/* chacha20_avx2.h - ChaCha20 (RFC 8439) for 8 blocks at once; part of aead_avx2.c.
 *
 * A ymm register holds one 32-bit state word of 8 blocks. Which blocks they are is up to the
 * caller, who fills the columns.
 */
#ifndef CRYPTO_CHACHA20_AVX2_H
#define CRYPTO_CHACHA20_AVX2_H

#include "crypto/vector.h"

#include <immintrin.h>

#define LANES 8 /* blocks of one set */
/* Costs nothing; keeps the compiler from reordering long sums until they spill. */
#define IN_REGISTER(v) __asm__("" : "+x"(v))

typedef __m256i vec;

/* One block of key stream. */
struct row {
	vec half[2];
};

/* The state before the rounds: a state word per vector, a block per lane. */
struct chacha {
	vec word[16];
};

/* Turns 8 rows of 8 words into 8 columns, in place. */
INLINE void transpose8(vec x[8])
{
	UNSET vec t[8];

	UNROLL
	for (int q = 0; q < 8; q += 4) { /* 4 rows: 4x4 words within each half of the register */
		vec ab_lo = _mm256_unpacklo_epi32(x[q], x[q + 1]);
		vec ab_hi = _mm256_unpackhi_epi32(x[q], x[q + 1]);
		vec cd_lo = _mm256_unpacklo_epi32(x[q + 2], x[q + 3]);
		vec cd_hi = _mm256_unpackhi_epi32(x[q + 2], x[q + 3]);
		t[q] = _mm256_unpacklo_epi64(ab_lo, cd_lo);
		t[q + 1] = _mm256_unpackhi_epi64(ab_lo, cd_lo);
		t[q + 2] = _mm256_unpacklo_epi64(ab_hi, cd_hi);
		t[q + 3] = _mm256_unpackhi_epi64(ab_hi, cd_hi);
	}
	UNROLL
	for (int c = 0; c < 4; c++) { /* 2x2 halves */
		x[c] = _mm256_permute2x128_si256(t[c], t[c + 4], 0x20);
		x[c + 4] = _mm256_permute2x128_si256(t[c], t[c + 4], 0x31);
	}
}

/* Rotates by whole bytes are a shuffle; the others two shifts. */
#define ROTATE_16(v) _mm256_shuffle_epi8(v, rotate_16)
#define ROTATE_8(v) _mm256_shuffle_epi8(v, rotate_8)
#define ROTATE_12(v) _mm256_or_si256(_mm256_slli_epi32(v, 12), _mm256_srli_epi32(v, 20))
#define ROTATE_7(v) _mm256_or_si256(_mm256_slli_epi32(v, 7), _mm256_srli_epi32(v, 25))

/* to += from, mix = rotate(mix ^ to), in four independent columns. */
#define STEP(to, from, mix, rotate)                                                                \
	UNROLL                                                                                     \
	for (int i = 0; i < 4; i++) {                                                              \
		x[to(i)] = _mm256_add_epi32(x[to(i)], x[from(i)]);                                 \
		x[mix(i)] = _mm256_xor_si256(x[mix(i)], x[to(i)]);                                 \
		x[mix(i)] = rotate(x[mix(i)]);                                                     \
	}

INLINE void quarter_rounds(vec x[16], const int turn)
{
	const vec rotate_16 = _mm256_set_epi64x(
		0x0d0c0f0e09080b0a, 0x0504070601000302, 0x0d0c0f0e09080b0a, 0x0504070601000302);
	const vec rotate_8 = _mm256_set_epi64x(
		0x0e0d0c0f0a09080b, 0x0605040702010003, 0x0e0d0c0f0a09080b, 0x0605040702010003);

	STEP(ROW_A, ROW_B, ROW_D, ROTATE_16)
	STEP(ROW_C, ROW_D, ROW_B, ROTATE_12)
	STEP(ROW_A, ROW_B, ROW_D, ROTATE_8)
	STEP(ROW_C, ROW_D, ROW_B, ROTATE_7)
}

/* Adds the start, turns columns to rows. */
INLINE void chacha_store(vec x[16], const struct chacha *start, vec counter, struct row *rows)
{
	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] = _mm256_add_epi32(x[i], i == 12 ? counter : start->word[i]);
	transpose8(x);
	transpose8(x + 8);
	UNROLL
	for (int i = 0; i < 8; i++) {
		rows[i].half[0] = x[i];
		rows[i].half[1] = x[i + 8];
	}
}

/* Writes 8 rows of key stream. */
static __attribute__((noinline)) void chacha_8(const struct chacha *start, struct row *rows)
{
	UNSET vec x[16];

	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] = start->word[i];
	for (int i = 0; i < 10; i++) {
		quarter_rounds(x, 0);
		quarter_rounds(x, 1);
	}
	chacha_store(x, start, start->word[12], rows);
}

/* Writes 16 rows for two sets, which differ in their block counters. */
static __attribute__((noinline)) void chacha_16(
	const struct chacha *start, vec counter_2, struct row *rows)
{
	UNSET vec x[16], y[16];

	UNROLL
	for (int i = 0; i < 16; i++) {
		x[i] = start->word[i];
		y[i] = i == 12 ? counter_2 : start->word[i];
	}
	for (int i = 0; i < 10; i++) {
		quarter_rounds(x, 0);
		quarter_rounds(y, 0);
		quarter_rounds(x, 1);
		quarter_rounds(y, 1);
	}
	chacha_store(x, start, start->word[12], rows);
	chacha_store(y, start, counter_2, rows + LANES);
}

INLINE void chacha_constants(struct chacha *start)
{
	start->word[0] = _mm256_set1_epi32(0x61707865); /* "expand 32-byte k", RFC 8439, 2.3 */
	start->word[1] = _mm256_set1_epi32(0x3320646e);
	start->word[2] = _mm256_set1_epi32(0x79622d32);
	start->word[3] = _mm256_set1_epi32(0x6b206574);
	start->word[13] = _mm256_setzero_si256(); /* the nonce's 4 zero bytes */
}

#endif
