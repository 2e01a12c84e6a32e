/* poly1305_avx2.h - Poly1305's arithmetic (RFC 8439, 2.5) for 4 numbers at a time; part of
 * aead_avx2.c.
 *
 * Numbers modulo p = 2^130 - 5 have five limbs of 26 bits; a ymm register holds one limb of 4
 * numbers, in 64-bit lanes, because that is where vpmuludq puts the product of two 32-bit halves.
 * Carries are lazy: up to four products are summed, then reduce() carries. Constant time: no
 * branch, no table.
 */
#ifndef CRYPTO_POLY1305_AVX2_H
#define CRYPTO_POLY1305_AVX2_H

#include "crypto/chacha20_avx2.h" /* vec */

#define TOP_BIT (1LL << 24) /* 2^128 in limb 4: set in each whole block */

/* The sum of l[i] * 2^(26 i). Between operations limbs may exceed 26 bits by a little: see
 * reduce(). */
struct limbs {
	vec l[5];
};
/* A multiplier. A product at 2^130 counts 5 times at 2^0: hence 5 * l[i]; the first is not needed.
 */
struct factor {
	struct limbs r, x5;
};

INLINE vec times_5(vec a)
{
	return _mm256_add_epi64(a, _mm256_slli_epi64(a, 2));
}

INLINE struct factor factor_of(struct limbs r)
{
	UNSET struct factor f;

	f.r = r;
	UNROLL
	for (int i = 0; i < 5; i++)
		f.x5.l[i] = times_5(r.l[i]);
	return f;
}

INLINE struct limbs limbs_add(struct limbs a, struct limbs b)
{
	UNROLL
	for (int i = 0; i < 5; i++)
		a.l[i] = _mm256_add_epi64(a.l[i], b.l[i]);
	return a;
}

/* Lanes of b where the mask has ones, of a elsewhere. */
INLINE struct limbs limbs_select(vec mask, struct limbs a, struct limbs b)
{
	UNROLL
	for (int i = 0; i < 5; i++)
		a.l[i] = _mm256_blendv_epi8(a.l[i], b.l[i], mask);
	return a;
}

INLINE struct limbs limbs_zero(void)
{
	const vec zero = _mm256_setzero_si256();

	return (struct limbs){{zero, zero, zero, zero, zero}};
}

/* 16 little-endian bytes in two halves; top is TOP_BIT where the block's bit 128 is set. */
INLINE struct limbs limbs_split(vec lo, vec hi, vec top)
{
	const vec mask26 = _mm256_set1_epi64x((1 << 26) - 1);
	vec middle = _mm256_or_si256(_mm256_srli_epi64(lo, 52), _mm256_slli_epi64(hi, 12));

	return (struct limbs){
		{_mm256_and_si256(lo, mask26), _mm256_and_si256(_mm256_srli_epi64(lo, 26), mask26),
			_mm256_and_si256(middle, mask26),
			_mm256_and_si256(_mm256_srli_epi64(hi, 14), mask26),
			_mm256_or_si256(_mm256_srli_epi64(hi, 40), top)}};
}

/* sum += a * f. a < 2^28, f->x5 < 2^29: 20 of these products stay below 2^62. */
INLINE void mul_add(struct limbs *sum, struct limbs a, const struct factor *f)
{
	UNROLL
	for (int i = 0; i < 5; i++) {
		UNROLL
		for (int k = 0; k < 5; k++) {
			vec by = k >= i ? f->r.l[k - i] : f->x5.l[k - i + 5];
			sum->l[k] = _mm256_add_epi64(sum->l[k], _mm256_mul_epu32(a.l[i], by));
			IN_REGISTER(sum->l[k]);
		}
	}
}

/* What limb from has beyond 26 bits goes to limb to. */
#define CARRY(from, to)                                                                            \
	do {                                                                                       \
		vec over = _mm256_srli_epi64(h.l[from], 26);                                       \
		h.l[from] = _mm256_and_si256(h.l[from], mask26);                                   \
		h.l[to] = _mm256_add_epi64(h.l[to], (to) == 0 ? times_5(over) : over);             \
	} while (0)

/* Two chains at a time, each limb once and the first twice: limbs end below 2^26, two of them (1
 * and 4) below 2^26 + 2^14. */
INLINE struct limbs reduce(struct limbs h)
{
	const vec mask26 = _mm256_set1_epi64x((1 << 26) - 1);

	CARRY(0, 1);
	CARRY(3, 4);
	CARRY(1, 2);
	CARRY(4, 0);
	CARRY(2, 3);
	CARRY(0, 1);
	CARRY(3, 4);
	return h;
}

INLINE struct limbs multiply(struct limbs a, const struct factor *f)
{
	struct limbs sum = limbs_zero();

	mul_add(&sum, a, f);
	return reduce(sum);
}

/* The first half of the one-time key, clamped (RFC 8439, 2.5). */
INLINE struct limbs limbs_clamp(vec lo, vec hi)
{
	return limbs_split(_mm256_and_si256(lo, _mm256_set1_epi64x(0x0ffffffc0fffffff)),
		_mm256_and_si256(hi, _mm256_set1_epi64x(0x0ffffffc0ffffffc)),
		_mm256_setzero_si256());
}

/* Ones in lanes where a < b, unsigned. */
INLINE vec less_u64(vec a, vec b)
{
	const vec sign = _mm256_set1_epi64x(INT64_MIN);

	return _mm256_cmpgt_epi64(_mm256_xor_si256(b, sign), _mm256_xor_si256(a, sign));
}

/* tag = (h mod p) + pad mod 2^128, for limbs of up to 2^30. */
INLINE void poly_finish(struct limbs h, vec pad_lo, vec pad_hi, vec *tag_lo, vec *tag_hi)
{
	const vec mask26 = _mm256_set1_epi64x((1 << 26) - 1);
	struct limbs reduced;
	vec not_below_p;

	/* In the second turn at most one bit is carried all the way, and then limb 0 is small. */
	UNROLL
	for (int turn = 0; turn < 2; turn++) {
		CARRY(0, 1);
		CARRY(1, 2);
		CARRY(2, 3);
		CARRY(3, 4);
		CARRY(4, 0);
	}
	/* h + 5 reaches 2^130 where h is not below p, and less 2^130 it is h - p. */
	reduced = h;
	h.l[0] = _mm256_add_epi64(h.l[0], _mm256_set1_epi64x(5));
	CARRY(0, 1);
	CARRY(1, 2);
	CARRY(2, 3);
	CARRY(3, 4);
	not_below_p = _mm256_sub_epi64(_mm256_setzero_si256(), _mm256_srli_epi64(h.l[4], 26));
	h = limbs_select(not_below_p, reduced, h); /* bit 2^130 falls off below */

	*tag_lo = _mm256_or_si256(h.l[0],
		_mm256_or_si256(_mm256_slli_epi64(h.l[1], 26), _mm256_slli_epi64(h.l[2], 52)));
	*tag_hi = _mm256_or_si256(_mm256_srli_epi64(h.l[2], 12),
		_mm256_or_si256(_mm256_slli_epi64(h.l[3], 14), _mm256_slli_epi64(h.l[4], 40)));
	*tag_lo = _mm256_add_epi64(*tag_lo, pad_lo);
	*tag_hi = _mm256_add_epi64(*tag_hi, pad_hi);
	*tag_hi = _mm256_sub_epi64(*tag_hi, less_u64(*tag_lo, pad_lo)); /* ones are -1 */
}

#endif
