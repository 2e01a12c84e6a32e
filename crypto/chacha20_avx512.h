/* chacha20_avx512.h - ChaCha20 (RFC 8439) for 16 or 32 blocks at once; part of aead_avx512.c.
 *
 * A zmm register holds one 32-bit state word of 16 blocks. 32 blocks are two such sets side by
 * side: an add, a rotate or an xor takes two cycles on Zen 5, so that one set alone leaves half the
 * slots empty (500 cycles for 16 blocks, 640 for 32). Which blocks they are is up to the caller,
 * who fills the columns.
 */
#ifndef CRYPTO_CHACHA20_AVX512_H
#define CRYPTO_CHACHA20_AVX512_H

#include "crypto/vector.h"

#include <immintrin.h>
#include <stdbool.h>

#define LANES 16 /* blocks of one set */
/* Costs nothing; keeps the compiler from spilling half of the 32 state words in each round. */
#define IN_REGISTER(v) __asm__("" : "+v"(v))

typedef __m512i vec;

/* The state before the rounds: a state word per vector, a block per lane. */
struct chacha {
	vec word[16];
};

/* Turns 16 rows of 16 words into 16 columns, in place. */
INLINE void transpose16(vec x[16])
{
	UNSET vec t[16];

	UNROLL
	for (int q = 0; q < 16;
		q += 4) { /* 4 rows: 4x4 words within each quarter of the register */
		vec ab_lo = _mm512_unpacklo_epi32(x[q], x[q + 1]);
		vec ab_hi = _mm512_unpackhi_epi32(x[q], x[q + 1]);
		vec cd_lo = _mm512_unpacklo_epi32(x[q + 2], x[q + 3]);
		vec cd_hi = _mm512_unpackhi_epi32(x[q + 2], x[q + 3]);
		t[q] = _mm512_unpacklo_epi64(ab_lo, cd_lo);
		t[q + 1] = _mm512_unpackhi_epi64(ab_lo, cd_lo);
		t[q + 2] = _mm512_unpacklo_epi64(ab_hi, cd_hi);
		t[q + 3] = _mm512_unpackhi_epi64(ab_hi, cd_hi);
	}
	UNROLL
	for (int c = 0; c < 4; c++) { /* 4x4 quarters */
		vec even_01 = _mm512_shuffle_i32x4(t[c], t[c + 4], 0x88);
		vec even_23 = _mm512_shuffle_i32x4(t[c + 8], t[c + 12], 0x88);
		vec odd_01 = _mm512_shuffle_i32x4(t[c], t[c + 4], 0xdd);
		vec odd_23 = _mm512_shuffle_i32x4(t[c + 8], t[c + 12], 0xdd);
		x[c] = _mm512_shuffle_i32x4(even_01, even_23, 0x88);
		x[c + 4] = _mm512_shuffle_i32x4(odd_01, odd_23, 0x88);
		x[c + 8] = _mm512_shuffle_i32x4(even_01, even_23, 0xdd);
		x[c + 12] = _mm512_shuffle_i32x4(odd_01, odd_23, 0xdd);
	}
}

/* to += from, mix = (mix ^ to) <<< bits, in four independent columns. */
#define STEP(x, to, from, mix, bits)                                                               \
	UNROLL                                                                                     \
	for (int i = 0; i < 4; i++) {                                                              \
		x[to(i)] = _mm512_add_epi32(x[to(i)], x[from(i)]);                                 \
		x[mix(i)] = _mm512_xor_si512(x[mix(i)], x[to(i)]);                                 \
		x[mix(i)] = _mm512_rol_epi32(x[mix(i)], bits);                                     \
		IN_REGISTER(x[mix(i)]);                                                            \
	}

INLINE void quarter_rounds(vec x[16], vec y[16], const bool two, const int turn)
{
	STEP(x, ROW_A, ROW_B, ROW_D, 16)
	if (two)
		STEP(y, ROW_A, ROW_B, ROW_D, 16)
	STEP(x, ROW_C, ROW_D, ROW_B, 12)
	if (two)
		STEP(y, ROW_C, ROW_D, ROW_B, 12)
	STEP(x, ROW_A, ROW_B, ROW_D, 8)
	if (two)
		STEP(y, ROW_A, ROW_B, ROW_D, 8)
	STEP(x, ROW_C, ROW_D, ROW_B, 7)
	if (two)
		STEP(y, ROW_C, ROW_D, ROW_B, 7)
}

/* Adds the start, turns columns to rows. */
INLINE void chacha_store(vec x[16], const struct chacha *start, vec counter, vec *rows)
{
	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] = _mm512_add_epi32(x[i], i == 12 ? counter : start->word[i]);
	transpose16(x);
	UNROLL
	for (int i = 0; i < 16; i++)
		_mm512_store_si512(rows + i, x[i]);
}

/* Writes 16 rows of key stream, or 32 for two sets, which differ in their block counters. */
INLINE void chacha_rows(const struct chacha *start, vec counter_2, const bool two, vec *rows)
{
	UNSET vec x[16], y[16];

	UNROLL
	for (int i = 0; i < 16; i++) {
		x[i] = start->word[i];
		y[i] = i == 12 ? counter_2 : start->word[i];
	}
	/* Unrolled too, because a loop would spill at its end: 15 % slower. */
	UNROLL
	for (int i = 0; i < 10; i++) {
		quarter_rounds(x, y, two, 0);
		quarter_rounds(x, y, two, 1);
	}
	chacha_store(x, start, start->word[12], rows);
	if (two)
		chacha_store(y, start, counter_2, rows + 16);
}

static __attribute__((noinline)) void chacha_16(const struct chacha *start, vec *rows)
{
	chacha_rows(start, start->word[12], false, rows);
}

static __attribute__((noinline)) void chacha_32(
	const struct chacha *start, vec counter_2, vec *rows)
{
	chacha_rows(start, counter_2, true, rows);
}

INLINE void chacha_constants(struct chacha *start)
{
	start->word[0] = _mm512_set1_epi32(0x61707865); /* "expand 32-byte k", RFC 8439, 2.3 */
	start->word[1] = _mm512_set1_epi32(0x3320646e);
	start->word[2] = _mm512_set1_epi32(0x79622d32);
	start->word[3] = _mm512_set1_epi32(0x6b206574);
	start->word[13] = _mm512_setzero_si512(); /* the nonce's 4 zero bytes */
}

#endif
