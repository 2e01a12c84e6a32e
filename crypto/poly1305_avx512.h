/* poly1305_avx512.h - Poly1305's arithmetic (RFC 8439, 2.5) for 8 numbers at a time; part of
 * aead_avx512.c.
 *
 * Numbers modulo p = 2^130 - 5 have three limbs of 44, 44 and 42 bits; a zmm register holds one
 * limb of 8 numbers, and IFMA multiplies 52 bits of each lane. Carries are lazy: a few products are
 * summed, then reduce() carries once. Constant time: no branch, no table.
 */
#ifndef CRYPTO_POLY1305_AVX512_H
#define CRYPTO_POLY1305_AVX512_H

#include "crypto/chacha20_avx512.h" /* vec */

/* l0 + l1 * 2^44 + l2 * 2^88. Between operations limbs may exceed their 44, 44, 42 bits by a
 * little: see reduce(). */
struct limbs {
	vec l0, l1, l2;
};
/* A multiplier. A product at 2^132 counts 20 times at 2^0, since 2^130 = 5: hence 20 * l1 and 20 *
 * l2. */
struct factor {
	struct limbs r;
	vec l1x20, l2x20;
};
/* Sums of products: bits 0..51 and bits 52 and up, at the weights of the limbs. */
struct product {
	vec lo0, lo1, lo2, hi0, hi1, hi2;
};

INLINE vec x5(vec a)
{
	return _mm512_add_epi64(a, _mm512_slli_epi64(a, 2));
}

INLINE struct factor factor_of(struct limbs r)
{
	return (struct factor){r, _mm512_slli_epi64(x5(r.l1), 2), _mm512_slli_epi64(x5(r.l2), 2)};
}

INLINE struct limbs limbs_add(struct limbs a, struct limbs b)
{
	return (struct limbs){_mm512_add_epi64(a.l0, b.l0), _mm512_add_epi64(a.l1, b.l1),
		_mm512_add_epi64(a.l2, b.l2)};
}

/* Lanes of b where the mask has ones, of a elsewhere. */
INLINE struct limbs limbs_select(__mmask8 mask, struct limbs a, struct limbs b)
{
	return (struct limbs){_mm512_mask_mov_epi64(a.l0, mask, b.l0),
		_mm512_mask_mov_epi64(a.l1, mask, b.l1), _mm512_mask_mov_epi64(a.l2, mask, b.l2)};
}

/* 16 little-endian bytes in two halves; top is 2^40 where the block's bit 128 is set. */
INLINE struct limbs limbs_split(vec lo, vec hi, vec top)
{
	const vec mask44 = _mm512_set1_epi64((1LL << 44) - 1);

	return (struct limbs){_mm512_and_si512(lo, mask44),
		/* (a | b) & mask44 */
		_mm512_ternarylogic_epi64(
			_mm512_srli_epi64(lo, 44), _mm512_slli_epi64(hi, 20), mask44, 0xa8),
		_mm512_or_si512(_mm512_srli_epi64(hi, 24), top)};
}

#define MAC(sum, a, b)                                                                             \
	do {                                                                                       \
		p->lo##sum = _mm512_madd52lo_epu64(p->lo##sum, a, b);                              \
		p->hi##sum = _mm512_madd52hi_epu64(p->hi##sum, a, b);                              \
	} while (0)

/* p += a * f. IFMA takes 52 bits of each: a < 2^46, l1x20 < 2^49. */
INLINE void mul_add(struct product *p, struct limbs a, const struct factor *f)
{
	MAC(0, a.l0, f->r.l0);
	MAC(1, a.l0, f->r.l1);
	MAC(2, a.l0, f->r.l2);
	MAC(0, a.l1, f->l2x20);
	MAC(1, a.l1, f->r.l0);
	MAC(2, a.l1, f->r.l1);
	MAC(0, a.l2, f->l1x20);
	MAC(1, a.l2, f->l2x20);
	MAC(2, a.l2, f->r.l0);
}

/* Carries once. With at most four products summed, lo < 12 * 2^52 and hi < 2^43, so the carries are
 * below 2^14 and the limbs end below 2^44 + 2^17, 2^44 + 2^13, 2^42 + 2^13. */
INLINE struct limbs reduce(struct product p)
{
	const vec mask44 = _mm512_set1_epi64((1LL << 44) - 1),
		  mask42 = _mm512_set1_epi64((1LL << 42) - 1);
	/* hi is at 2^52 over its limb, 2^8 over the next; hi2 is at 2^140 = 5 * 2^10. */
	vec d0 = _mm512_add_epi64(p.lo0, x5(_mm512_slli_epi64(p.hi2, 10)));
	vec d1 = _mm512_add_epi64(p.lo1, _mm512_slli_epi64(p.hi0, 8));
	vec d2 = _mm512_add_epi64(p.lo2, _mm512_slli_epi64(p.hi1, 8));

	return (struct limbs){
		_mm512_add_epi64(_mm512_and_si512(d0, mask44), x5(_mm512_srli_epi64(d2, 42))),
		_mm512_add_epi64(_mm512_and_si512(d1, mask44), _mm512_srli_epi64(d0, 44)),
		_mm512_add_epi64(_mm512_and_si512(d2, mask42), _mm512_srli_epi64(d1, 44))};
}

INLINE struct limbs multiply(struct limbs a, const struct factor *f)
{
	struct product p = {0};

	mul_add(&p, a, f);
	return reduce(p);
}

/* The first half of the one-time key, clamped (RFC 8439, 2.5). */
INLINE struct limbs limbs_clamp(vec lo, vec hi)
{
	return limbs_split(_mm512_and_si512(lo, _mm512_set1_epi64(0x0ffffffc0fffffff)),
		_mm512_and_si512(hi, _mm512_set1_epi64(0x0ffffffc0ffffffc)),
		_mm512_setzero_si512());
}

/* tag = (h mod 2^130 - 5) + pad mod 2^128, for limbs of up to 2^48. */
INLINE void poly_finish(struct limbs h, vec pad_lo, vec pad_hi, vec *tag_lo, vec *tag_hi)
{
	const vec mask44 = _mm512_set1_epi64((1LL << 44) - 1),
		  mask42 = _mm512_set1_epi64((1LL << 42) - 1);
	vec g0, g1, g2;
	__mmask8 below_p, carry;

	UNROLL
	for (int i = 0; i < 2; i++) {
		h.l1 = _mm512_add_epi64(h.l1, _mm512_srli_epi64(h.l0, 44));
		h.l0 = _mm512_and_si512(h.l0, mask44);
		h.l2 = _mm512_add_epi64(h.l2, _mm512_srli_epi64(h.l1, 44));
		h.l1 = _mm512_and_si512(h.l1, mask44);
		h.l0 = _mm512_add_epi64(h.l0, x5(_mm512_srli_epi64(h.l2, 42)));
		h.l2 = _mm512_and_si512(h.l2, mask42);
	}
	/* Canonical limbs: in the second turn at most one bit is carried all the way, and then l0
	 * is small. */
	/* g = h - p, below 0 where bit 2^42 is not reached. */
	g0 = _mm512_add_epi64(h.l0, _mm512_set1_epi64(5));
	g1 = _mm512_add_epi64(h.l1, _mm512_srli_epi64(g0, 44));
	g2 = _mm512_add_epi64(h.l2, _mm512_srli_epi64(g1, 44));
	below_p = _mm512_cmplt_epu64_mask(g2, _mm512_set1_epi64(1LL << 42));
	h.l0 = _mm512_mask_mov_epi64(_mm512_and_si512(g0, mask44), below_p, h.l0);
	h.l1 = _mm512_mask_mov_epi64(_mm512_and_si512(g1, mask44), below_p, h.l1);
	h.l2 = _mm512_mask_mov_epi64(g2, below_p, h.l2); /* bit 42 falls off below */

	*tag_lo = _mm512_or_si512(h.l0, _mm512_slli_epi64(h.l1, 44));
	*tag_hi = _mm512_or_si512(_mm512_srli_epi64(h.l1, 20), _mm512_slli_epi64(h.l2, 24));
	*tag_lo = _mm512_add_epi64(*tag_lo, pad_lo);
	carry = _mm512_cmplt_epu64_mask(*tag_lo, pad_lo);
	*tag_hi = _mm512_add_epi64(*tag_hi, pad_hi);
	*tag_hi = _mm512_mask_add_epi64(*tag_hi, carry, *tag_hi, _mm512_set1_epi64(1));
}

#endif
