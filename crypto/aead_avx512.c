/* aead_avx512.c - bulk ChaCha20-Poly1305 (RFC 8439) for x86 with AVX-512 and IFMA.
 *
 * Wide: up to 16 packets at a time. The 32 blocks of a pass of the cipher are the same two, four or
 * eight blocks of 16, 8 or 4 packets. The MAC has a packet in each of its 8 lanes and takes a row
 * of 4 blocks at a time with r^4 ... r. Each byte is read once: load, xor, store, hash whichever of
 * the two is ciphertext.
 *
 * Long: one packet. Both cipher and MAC have consecutive blocks of it in their lanes.
 *
 * Secrets: no branch and no address depends on a key or on data; lengths and counters are public.
 * All intermediate values live in the context or on the stack and are wiped at the end of a batch.
 * Fails: never; opening gives a verdict per job.
 */
#include "crypto/aead_lanes.h"

#if defined(__AVX512F__) && defined(__AVX512IFMA__)

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/chacha20_avx512.h"
#include "crypto/poly1305_avx512.h"

#define ROW LANES_ROW_BYTES

/* ---- the context: everything secret that is not on the stack ---- */

struct poly_lanes {
	struct limbs h;
	struct factor power[4]; /* r, r^2, r^3, r^4 */
	vec blocks; /* whole or partial 16-byte blocks of each lane's packet */
	vec len_bytes;
	vec pad_lo, pad_hi;
};

struct context {
	struct chacha start;
	vec rows[2 * LANES + 4]; /* key stream; 8 are read at a time even where 4 packets need it */
	struct poly_lanes poly[2];
	/* Wide: the lanes from n_packets on work on idle, again and again. */
	vec idle[1];
	uint8_t *data[LANES];
	size_t n_packets;
	uint32_t len_bytes[LANES];
	size_t rows_used, polys_used; /* since the last wipe */
	uint16_t order[AEAD_BATCH_MAX];
};

/* What of a row at this offset is inside a packet. */
INLINE __mmask64 row_mask(size_t len_bytes, size_t offset)
{
	size_t left = offset < len_bytes ? len_bytes - offset : 0;

	return left >= ROW ? ~0ULL : (1ULL << left) - 1;
}

/* Fills ctx->rows: one set of blocks, or two. */
INLINE void key_stream(struct context *ctx, bool two, vec counter, vec counter_2)
{
	size_t rows = two ? 2 * LANES : LANES;

	ctx->start.word[12] = counter;
	ctx->rows_used = rows > ctx->rows_used ? rows : ctx->rows_used;
	if (two)
		chacha_32(&ctx->start, counter_2, ctx->rows);
	else
		chacha_16(&ctx->start, ctx->rows);
}

/* ---- wide: a packet per lane ---- */

/* Turns 8 rows of 8 64-bit words into columns: of the four 16-byte blocks of 8 rows, the lower and
 * upper halves, a row per lane. */
INLINE void transpose8(vec x[8])
{
	UNSET vec lo[4], hi[4];

	UNROLL
	for (int i = 0; i < 4; i++) {
		lo[i] = _mm512_unpacklo_epi64(x[2 * i], x[2 * i + 1]);
		hi[i] = _mm512_unpackhi_epi64(x[2 * i], x[2 * i + 1]);
	}
	UNROLL
	for (int half = 0; half < 2; half++) {
		const vec *t = half ? hi : lo;
		vec even_01 = _mm512_shuffle_i64x2(t[0], t[1], 0x88);
		vec even_23 = _mm512_shuffle_i64x2(t[2], t[3], 0x88);
		vec odd_01 = _mm512_shuffle_i64x2(t[0], t[1], 0xdd);
		vec odd_23 = _mm512_shuffle_i64x2(t[2], t[3], 0xdd);
		x[half] = _mm512_shuffle_i64x2(even_01, even_23, 0x88);
		x[2 + half] = _mm512_shuffle_i64x2(odd_01, odd_23, 0x88);
		x[4 + half] = _mm512_shuffle_i64x2(even_01, even_23, 0xdd);
		x[6 + half] = _mm512_shuffle_i64x2(odd_01, odd_23, 0xdd);
	}
}

/* Packets 0 ... n - 1 to the lanes 0 ... n - 1 of the MAC, and to every packets-th lane of the
 * cipher. */
static void wide_start(
	struct context *ctx, struct aead_job *jobs, const uint16_t *order, size_t n, size_t packets)
{
	UNSET vec rows[LANES];
	size_t lane = 0;

	for (; lane < n; lane++) {
		const struct aead_job *job = &jobs[order[lane]];
		__m256i key = _mm256_loadu_si256((const __m256i *)job->key->bytes);

		ctx->data[lane] = job->data;
		ctx->len_bytes[lane] = job->len_bytes;
		rows[lane] = _mm512_mask_set1_epi64(
			_mm512_zextsi256_si512(key), 1 << 4, (long long)job->counter);
	}
	for (; lane < LANES; lane++) {
		ctx->len_bytes[lane] = 0;
		rows[lane] = lane < packets ? _mm512_setzero_si512() : rows[lane - packets];
	}
	transpose16(rows);
	ctx->n_packets = n;
	chacha_constants(&ctx->start);
	for (int i = 0; i < 8; i++)
		ctx->start.word[4 + i] = rows[i];
	ctx->start.word[14] = rows[8];
	ctx->start.word[15] = rows[9];
}

/* The one-time keys are the starts of the rows of block 0. */
INLINE void wide_poly_start(struct context *ctx, int group)
{
	struct poly_lanes *poly = &ctx->poly[group];
	struct limbs r, r2;
	UNSET vec x[8];

	UNROLL
	for (int i = 0; i < 8; i++)
		x[i] = ctx->rows[8 * group + i];
	transpose8(x);
	ctx->polys_used = 2;
	r = limbs_clamp(x[0], x[1]);
	poly->pad_lo = x[2];
	poly->pad_hi = x[3];
	poly->power[0] = factor_of(r);
	r2 = multiply(r, &poly->power[0]);
	poly->power[1] = factor_of(r2);
	poly->power[2] = factor_of(multiply(r2, &poly->power[0]));
	poly->power[3] = factor_of(multiply(r2, &poly->power[1]));
	poly->h = (struct limbs){0};
	poly->len_bytes = _mm512_cvtepu32_epi64(
		_mm256_loadu_si256((const __m256i *)(ctx->len_bytes + 8 * group)));
	poly->blocks =
		_mm512_srli_epi64(_mm512_add_epi64(poly->len_bytes, _mm512_set1_epi64(15)), 4);
}

/* h = (((h + m0) r + m1) r + m2) r + m3) r, summed as four products. */
INLINE void poly_row(struct poly_lanes *poly, const vec m[8])
{
	const vec top = _mm512_set1_epi64(1LL << 40);
	struct product p = {0};

	UNROLL
	for (int i = 3; i > 0; i--)
		mul_add(&p, limbs_split(m[2 * i], m[2 * i + 1], top), &poly->power[3 - i]);
	mul_add(&p, limbs_add(poly->h, limbs_split(m[0], m[1], top)), &poly->power[3]);
	poly->h = reduce(p);
}

/* The same where some packets end: a lane takes only the blocks it has. */
INLINE void poly_row_ending(struct poly_lanes *poly, const vec m[8], size_t offset)
{
	const vec top = _mm512_set1_epi64(1LL << 40);

	UNROLL
	for (int i = 0; i < 4; i++) {
		__mmask8 has = _mm512_cmpgt_epu64_mask(
			poly->blocks, _mm512_set1_epi64((long long)(offset / 16 + (size_t)i)));
		struct limbs h;

		if (!has)
			return;
		h = limbs_add(poly->h, limbs_split(m[2 * i], m[2 * i + 1], top));
		poly->h = limbs_select(has, poly->h, multiply(h, &poly->power[0]));
	}
}

/* Takes 64 bytes of each packet through cipher and MAC. */
INLINE void wide_row(struct context *ctx, int group, const vec *rows, size_t offset,
	const bool opening, const bool ending)
{
	UNSET vec m[8];

	UNROLL
	for (int i = 0; i < 8; i++) {
		int lane = 8 * group + i;
		uint8_t *at = (size_t)lane < ctx->n_packets ? ctx->data[lane] + offset
							    : (uint8_t *)ctx->idle;
		__mmask64 mask = ending ? row_mask(ctx->len_bytes[lane], offset) : ~0ULL;
		vec in = ending ? _mm512_maskz_loadu_epi8(mask, at) : _mm512_loadu_si512(at);
		vec out = _mm512_xor_si512(in, rows[lane]);

		if (ending) {
			_mm512_mask_storeu_epi8(at, mask, out);
			out = _mm512_maskz_mov_epi8(mask, out);
		} else {
			_mm512_storeu_si512(at, out);
		}
		m[i] = opening ? in : out;
	}
	transpose8(m);
	if (ending)
		poly_row_ending(&ctx->poly[group], m, offset);
	else
		poly_row(&ctx->poly[group], m);
}

INLINE void wide_finish(struct context *ctx, int group, struct aead_job *jobs,
	const uint16_t *order, size_t n, bool opening)
{
	struct poly_lanes *poly = &ctx->poly[group];
	_Alignas(64) UNSET uint8_t tags[8][AEAD_TAG_BYTES];
	struct limbs h = limbs_add(poly->h,
		limbs_split(_mm512_setzero_si512(), poly->len_bytes, _mm512_set1_epi64(1LL << 40)));
	vec lo, hi;

	poly_finish(multiply(h, &poly->power[0]), poly->pad_lo, poly->pad_hi, &lo, &hi);
	_mm512_store_si512(tags[0], _mm512_unpacklo_epi64(lo, hi)); /* lanes 0, 2, 4, 6 */
	_mm512_store_si512(tags[4], _mm512_unpackhi_epi64(lo, hi));
	for (size_t i = 0; i < 8 && 8 * (size_t)group + i < n; i++)
		lanes_finish(
			&jobs[order[8 * (size_t)group + i]], tags[i / 2 + (i & 1) * 4], opening);
}

INLINE void wide_rows(struct context *ctx, int groups, const vec *rows, size_t offset,
	size_t full_bytes, const bool opening)
{
	if (offset + ROW <= full_bytes) {
		for (int g = 0; g < groups; g++)
			wide_row(ctx, g, rows, offset, opening, false);
		return;
	}
	for (int g = 0; g < groups; g++)
		wide_row(ctx, g, rows, offset, opening, true);
}

/* Out of line: one copy each, or the batch would not fit the instruction cache. */
static __attribute__((noinline)) void wide_rows_seal(
	struct context *ctx, int groups, const vec *rows, size_t offset, size_t full_bytes)
{
	wide_rows(ctx, groups, rows, offset, full_bytes, false);
}

static __attribute__((noinline)) void wide_rows_open(
	struct context *ctx, int groups, const vec *rows, size_t offset, size_t full_bytes)
{
	wide_rows(ctx, groups, rows, offset, full_bytes, true);
}

/* Block numbers first + lane / packets: packets blocks next to each other are of different packets.
 */
INLINE vec wide_counter(size_t first, size_t packets)
{
	const vec lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	unsigned shift = (unsigned)__builtin_ctzll(packets);

	return _mm512_add_epi32(
		_mm512_set1_epi32((int)(uint32_t)first), _mm512_srli_epi32(lane, shift));
}

/* Up to 16 packets. */
static void wide(
	void *context, struct aead_job *jobs, const uint16_t *order, size_t n, bool opening)
{
	struct context *ctx = context;
	void (*rows_done)(struct context *, int, const vec *, size_t, size_t) =
		opening ? wide_rows_open : wide_rows_seal;
	size_t packets = lanes_packets(n, LANES), set_blocks = LANES / packets;
	size_t max_bytes = 0, full_bytes = SIZE_MAX, blocks;
	int groups = n > 8 ? 2 : 1;

	wide_start(ctx, jobs, order, n, packets);
	for (size_t i = 0; i < n; i++) {
		size_t len = ctx->len_bytes[i];

		max_bytes = len > max_bytes ? len : max_bytes;
		full_bytes = len < full_bytes ? len : full_bytes;
	}
	/* Block 0 is the MAC's key, block 1 + i covers row i. */
	blocks = 1 + (max_bytes + ROW - 1) / ROW;
	for (size_t block = 0; block < blocks;) {
		const vec *rows = ctx->rows;
		size_t end = block + set_blocks;

		key_stream(ctx, end < blocks, wide_counter(block, packets),
			wide_counter(end, packets));
		if (end < blocks)
			end += set_blocks;
		for (; block < end && block < blocks; block++, rows += packets) {
			if (block > 0)
				rows_done(ctx, groups, rows, (block - 1) * ROW, full_bytes);
			else
				for (int g = 0; g < groups; g++)
					wide_poly_start(ctx, g);
		}
	}
	for (int g = 0; g < groups; g++)
		wide_finish(ctx, g, jobs, order, n, opening);
}

/* ---- long: a block per lane ---- */

static uint64_t load_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v); /* x86 is little endian */
	return v;
}

/* 64 bytes at an offset that may lie before the packet or reach past it: zeros there. Masked lanes
 * are not read, so the address need not be the packet's. */
INLINE vec load_row(const uint8_t *data, size_t len_bytes, ptrdiff_t offset)
{
	size_t before = offset < 0 ? (size_t)-offset : 0;
	__mmask64 mask =
		offset < 0 ? row_mask(len_bytes + before, 0) : row_mask(len_bytes, (size_t)offset);

	mask &= before < ROW ? ~0ULL << before : 0;
	return _mm512_maskz_loadu_epi8(mask, (const void *)((uintptr_t)data + (uintptr_t)offset));
}

/* Eight blocks of what Poly1305 hashes, from an offset in the packet, in the order 0, 4, 1, 5, 2,
 * 6, 3, 7. There is nothing before the packet; after it comes the block of the lengths, as the last
 * of the 8. */
INLINE struct limbs long_blocks(const uint8_t *data, size_t len_bytes, ptrdiff_t offset, bool last)
{
	vec top = _mm512_set1_epi64(1LL << 40), a, b, lo, hi;

	if (offset >= 0 && !last) {
		a = _mm512_loadu_si512(data + offset);
		b = _mm512_loadu_si512(data + offset + ROW);
	} else {
		a = load_row(data, len_bytes, offset);
		b = load_row(data, len_bytes, offset + ROW);
	}
	lo = _mm512_unpacklo_epi64(a, b);
	hi = _mm512_unpackhi_epi64(a, b);
	if (offset < 0) {
		vec block_offset = _mm512_set_epi64(112, 48, 96, 32, 80, 16, 64, 0);
		top = _mm512_maskz_mov_epi64(
			_mm512_cmpge_epi64_mask(block_offset, _mm512_set1_epi64(-offset)), top);
	}
	if (last)
		hi = _mm512_mask_set1_epi64(hi, 1 << 7, (long long)len_bytes);
	return limbs_split(lo, hi, top);
}

/* The powers that long_blocks()'s lanes still lack at the end: r^8, r^4, r^7, r^3, r^6, r^2, r^5,
 * r. */
INLINE struct factor long_powers(
	const struct factor *r, const struct factor *r2, const struct factor *r4)
{
	const struct limbs one = {
		_mm512_set1_epi64(1), _mm512_setzero_si512(), _mm512_setzero_si512()};
	struct limbs powers = limbs_select(0x33, r->r, r2->r);
	struct factor by = factor_of(limbs_select(0x0f, one, r2->r));

	powers = multiply(powers, &by);
	by = factor_of(limbs_select(0x55, one, r4->r));
	return factor_of(multiply(powers, &by));
}

INLINE vec add_lanes(vec a)
{
	return _mm512_set1_epi64(_mm512_reduce_add_epi64(a));
}

/* Poly1305 of a packet with the one-time key from the start of block 0. */
static __attribute__((noinline)) void long_tag(
	const uint8_t *data, size_t len_bytes, const void *key, uint8_t tag[AEAD_TAG_BYTES])
{
	const uint8_t *words = key;
	struct factor r = factor_of(limbs_clamp(_mm512_set1_epi64((long long)load_le64(words)),
		_mm512_set1_epi64((long long)load_le64(words + 8))));
	struct factor r2 = factor_of(multiply(r.r, &r));
	struct factor r4 = factor_of(multiply(r2.r, &r2));
	struct factor powers = long_powers(&r, &r2, &r4);
	/* The blocks and the block of lengths, in vectors of 8; the first may start before the
	 * packet. */
	size_t blocks = (len_bytes + 15) / 16 + 1, vecs = (blocks + 7) / 8, i = 1;
	ptrdiff_t offset = -16 * (ptrdiff_t)(8 * vecs - blocks);
	struct limbs h = long_blocks(data, len_bytes, offset, vecs == 1);
	vec lo, hi;

	if (vecs > 1) {
		struct factor r8 = factor_of(multiply(r4.r, &r4));
		struct factor r16 = factor_of(multiply(r8.r, &r8));

		if (vecs % 2 == 0) {
			offset += 128;
			h = limbs_add(
				multiply(h, &r8), long_blocks(data, len_bytes, offset, vecs == 2));
			i = 2;
		}
		for (; i < vecs; i += 2) { /* h = (h r^8 + m0) r^8 + m1 */
			struct product p = {0};

			offset += 256;
			mul_add(&p, long_blocks(data, len_bytes, offset - 128, false), &r8);
			mul_add(&p, h, &r16);
			h = limbs_add(
				reduce(p), long_blocks(data, len_bytes, offset, i + 2 == vecs));
		}
	}
	h = multiply(h, &powers);
	h = (struct limbs){add_lanes(h.l0), add_lanes(h.l1), add_lanes(h.l2)};
	poly_finish(h, _mm512_set1_epi64((long long)load_le64(words + 16)),
		_mm512_set1_epi64((long long)load_le64(words + 24)), &lo, &hi);
	_mm_storeu_si128((__m128i *)tag, _mm512_castsi512_si128(_mm512_unpacklo_epi64(lo, hi)));
}

static void long_start(struct context *ctx, const struct aead_job *job)
{
	chacha_constants(&ctx->start);
	for (int i = 0; i < 8; i++) {
		int word;

		memcpy(&word, job->key->bytes + 4 * i, sizeof word);
		ctx->start.word[4 + i] = _mm512_set1_epi32(word);
	}
	ctx->start.word[14] = _mm512_set1_epi32((int)(uint32_t)job->counter);
	ctx->start.word[15] = _mm512_set1_epi32((int)(uint32_t)(job->counter >> 32));
}

/* Key stream of blocks block ... in ctx->rows: 16, or 32 when more than 16 are wanted. */
static void long_pass(struct context *ctx, size_t block, size_t wanted)
{
	vec counter = _mm512_add_epi32(_mm512_set1_epi32((int)(uint32_t)block),
		_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));

	key_stream(
		ctx, wanted > LANES, counter, _mm512_add_epi32(counter, _mm512_set1_epi32(LANES)));
}

/* Xors the rows from here to the end of the packet or of the key stream. Gives the next offset. */
static size_t long_xor(
	struct context *ctx, const struct aead_job *job, const vec *rows, size_t offset)
{
	for (; offset < job->len_bytes && rows < ctx->rows + 2 * LANES; offset += ROW, rows++) {
		uint8_t *at = job->data + offset;
		__mmask64 mask = row_mask(job->len_bytes, offset);

		if (job->len_bytes - offset >= ROW)
			_mm512_storeu_si512(at, _mm512_xor_si512(_mm512_loadu_si512(at), *rows));
		else
			_mm512_mask_storeu_epi8(at, mask,
				_mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, at), *rows));
	}
	return offset;
}

static void long_one(void *context, struct aead_job *job, bool opening)
{
	struct context *ctx = context;
	size_t rows = lanes_rows(job), offset;
	_Alignas(64) UNSET uint8_t key[32], tag[AEAD_TAG_BYTES];

	long_start(ctx, job);
	long_pass(ctx, 0, rows + 1);
	memcpy(key, ctx->rows, sizeof key); /* later passes overwrite it */
	if (opening)
		long_tag(job->data, job->len_bytes, key, tag);
	offset = long_xor(ctx, job, ctx->rows + 1, 0);
	while (offset < job->len_bytes) {
		size_t block = offset / ROW + 1;

		long_pass(ctx, block, rows + 1 - block);
		offset = long_xor(ctx, job, ctx->rows, offset);
	}
	if (!opening)
		long_tag(job->data, job->len_bytes, key, tag);
	lanes_finish(job, tag, opening);
}

/* ---- the back end ---- */

/* Cycles on Zen 5 (EPYC, 4 GHz); bench/README.md tells how they were found. */
static const struct lanes_work work = {
	.cost =
		{
			.lanes_log2 = 4,
			.one_set = 500,
			.two_sets = 640,
			.wide_fixed = 460,
			.wide_row = 84,
			.long_fixed = 140,
			.long_row = 13,
			.mac_lanes = 8,
		},
	.wide = wide,
	.one = long_one,
};

/* More than the frames below run(): up to 3.5 KiB with clang, less with gcc. */
static __attribute__((noinline)) void stack_wipe(void)
{
	UNSET vec below[64];

	lanes_wipe(below, sizeof below);
}

static void run(struct context *ctx, struct aead_job *jobs, size_t n, bool opening)
{
	ctx->rows_used = 0;
	ctx->polys_used = 0;
	lanes_deal(&work, ctx, ctx->order, jobs, n, opening);
	lanes_wipe(&ctx->start, sizeof ctx->start);
	lanes_wipe(ctx->rows, ctx->rows_used * sizeof ctx->rows[0]);
	lanes_wipe(ctx->poly, ctx->polys_used * sizeof ctx->poly[0]);
	lanes_wipe(ctx->idle, sizeof ctx->idle);
	stack_wipe();
}

static void avx512_seal(void *context, struct aead_job *jobs, size_t n)
{
	run(context, jobs, n, false);
}

static void avx512_open(void *context, struct aead_job *jobs, size_t n)
{
	run(context, jobs, n, true);
}

static void *avx512_new(void)
{
	struct context *ctx = aligned_alloc(_Alignof(struct context), sizeof *ctx);

	return ctx;
}

static void avx512_free(void *context)
{
	free(context); /* wiped at the end of each batch */
}

static size_t avx512_bytes(const void *context)
{
	(void)context;
	return sizeof(struct context);
}

const struct aead_backend aead_avx512 = {"avx512", lanes_cpu_avx512, avx512_new, avx512_free,
	avx512_bytes, avx512_seal, avx512_open};

#else

static bool never_usable(void)
{
	return false;
}

const struct aead_backend aead_avx512 = {.name = "avx512", .usable = never_usable};

#endif
