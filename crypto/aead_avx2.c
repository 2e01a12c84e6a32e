/* aead_avx2.c - bulk ChaCha20-Poly1305 (RFC 8439) for x86 with AVX2.
 *
 * Wide: up to 8 packets at a time. The 16 blocks of a pass of the cipher are the same two or four
 * blocks of 8 or 4 packets. The MAC has a packet in each of its 4 lanes and takes a row of 4 blocks
 * at a time with r^4 ... r. Each byte is read once: load, xor, store, hash whichever of the two is
 * ciphertext.
 *
 * Long: one packet. Both cipher and MAC have consecutive blocks of it in their lanes.
 *
 * Secrets: no branch and no address depends on a key or on data; lengths and counters are public.
 * All intermediate values live in the context or on the stack and are wiped at the end of a batch.
 * Fails: never; opening gives a verdict per job.
 */
#include "crypto/aead_lanes.h"

#if defined(__AVX2__)

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/chacha20_avx2.h"
#include "crypto/poly1305_avx2.h"

#define ROW LANES_ROW_BYTES
#define MAC_LANES 4

/* ---- the context: everything secret that is not on the stack ---- */

struct poly_lanes {
	_Alignas(64) struct limbs h; /* whole lines: see lanes_wipe() */
	struct factor power[4]; /* wide: r, r^2, r^3, r^4; long: the same of r^4 */
	vec blocks; /* whole or partial 16-byte blocks of each lane's packet */
	vec len_bytes;
	vec pad_lo, pad_hi;
};

struct context {
	_Alignas(64) struct chacha start;
	_Alignas(64) struct row rows[2 * LANES]; /* key stream */
	struct poly_lanes poly[2];
	/* Wide: the lanes from n_packets on work on idle, again and again. */
	_Alignas(64) struct row idle;
	uint8_t *data[LANES];
	size_t n_packets;
	uint32_t len_bytes[LANES];
	size_t rows_used, polys_used; /* since the last wipe */
	uint16_t order[AEAD_BATCH_MAX];
};

/* Fills ctx->rows: one set of blocks, or two. */
INLINE void key_stream(struct context *ctx, bool two, vec counter, vec counter_2)
{
	size_t rows = two ? 2 * LANES : LANES;

	ctx->start.word[12] = counter;
	ctx->rows_used = rows > ctx->rows_used ? rows : ctx->rows_used;
	if (two)
		chacha_16(&ctx->start, counter_2, ctx->rows);
	else
		chacha_8(&ctx->start, ctx->rows);
}

INLINE struct row row_load(const uint8_t *at)
{
	return (struct row){
		{_mm256_loadu_si256((const vec *)at), _mm256_loadu_si256((const vec *)(at + 32))}};
}

INLINE void row_store(uint8_t *at, struct row row)
{
	_mm256_storeu_si256((vec *)at, row.half[0]);
	_mm256_storeu_si256((vec *)(at + 32), row.half[1]);
}

INLINE struct row row_xor(struct row a, const struct row *b)
{
	return (struct row){
		{_mm256_xor_si256(a.half[0], b->half[0]), _mm256_xor_si256(a.half[1], b->half[1])}};
}

/* Xors the last n bytes of a packet in place and gives them as ciphertext, padded with zeros. */
INLINE struct row row_xor_ending(uint8_t *at, size_t n, const struct row *key_stream, bool opening)
{
	UNSET _Alignas(32) uint8_t bytes[ROW];
	struct row in, out;

	memset(bytes, 0, ROW);
	memcpy(bytes, at, n);
	in = row_load(bytes);
	out = row_xor(in, key_stream);
	row_store(bytes, out);
	memcpy(at, bytes, n);
	memset(bytes + n, 0, ROW - n);
	return opening ? in : row_load(bytes);
}

/* ---- the MAC in lanes ---- */

/* m: lower and upper halves of 4 blocks of each lane.
 * h = ((((h + m0) f + m1) f + m2) f + m3) f, summed as four products. */
INLINE void poly_row(struct poly_lanes *poly, const vec m[8])
{
	const vec top = _mm256_set1_epi64x(TOP_BIT);
	struct limbs sum = limbs_zero();

	UNROLL
	for (int i = 3; i > 0; i--)
		mul_add(&sum, limbs_split(m[2 * i], m[2 * i + 1], top), &poly->power[3 - i]);
	mul_add(&sum, limbs_add(poly->h, limbs_split(m[0], m[1], top)), &poly->power[3]);
	poly->h = reduce(sum);
}

/* h = (h + m) f */
INLINE struct limbs poly_block(const struct poly_lanes *poly, vec lo, vec hi)
{
	struct limbs m = limbs_split(lo, hi, _mm256_set1_epi64x(TOP_BIT));

	return multiply(limbs_add(poly->h, m), &poly->power[0]);
}

/* As poly_row() where some packets end: a lane takes only the blocks it has. */
INLINE void poly_row_ending(struct poly_lanes *poly, const vec m[8], size_t offset)
{
	UNROLL
	for (int i = 0; i < 4; i++) {
		vec block = _mm256_set1_epi64x((long long)(offset / 16 + (size_t)i));
		vec has = _mm256_cmpgt_epi64(poly->blocks, block);

		if (_mm256_testz_si256(has, has))
			return;
		poly->h = limbs_select(has, poly->h, poly_block(poly, m[2 * i], m[2 * i + 1]));
	}
}

/* power[0] is there; the others from it. */
INLINE void poly_powers(struct poly_lanes *poly)
{
	struct limbs square = multiply(poly->power[0].r, &poly->power[0]);

	poly->power[1] = factor_of(square);
	poly->power[2] = factor_of(multiply(square, &poly->power[0]));
	poly->power[3] = factor_of(multiply(square, &poly->power[1]));
}

/* ---- wide: a packet per lane ---- */

/* Turns 4 rows of 4 64-bit words into columns: of two 16-byte blocks, the lower and upper halves.
 */
INLINE void transpose4(const vec x[4], vec out[4])
{
	vec lo_01 = _mm256_unpacklo_epi64(x[0], x[1]), hi_01 = _mm256_unpackhi_epi64(x[0], x[1]);
	vec lo_23 = _mm256_unpacklo_epi64(x[2], x[3]), hi_23 = _mm256_unpackhi_epi64(x[2], x[3]);

	out[0] = _mm256_permute2x128_si256(lo_01, lo_23, 0x20);
	out[1] = _mm256_permute2x128_si256(hi_01, hi_23, 0x20);
	out[2] = _mm256_permute2x128_si256(lo_01, lo_23, 0x31);
	out[3] = _mm256_permute2x128_si256(hi_01, hi_23, 0x31);
}

/* Packets 0 ... n - 1 to the lanes 0 ... n - 1 of the MAC, and to every packets-th lane of the
 * cipher. */
static void wide_start(
	struct context *ctx, struct aead_job *jobs, const uint16_t *order, size_t n, size_t packets)
{
	UNSET vec keys[LANES];
	UNSET _Alignas(32) uint32_t nonce_lo[LANES], nonce_hi[LANES];
	size_t lane = 0;

	for (; lane < n; lane++) {
		const struct aead_job *job = &jobs[order[lane]];

		ctx->data[lane] = job->data;
		ctx->len_bytes[lane] = job->len_bytes;
		keys[lane] = _mm256_loadu_si256((const vec *)job->key->bytes);
		nonce_lo[lane] = (uint32_t)job->counter;
		nonce_hi[lane] = (uint32_t)(job->counter >> 32);
	}
	for (; lane < LANES; lane++) {
		ctx->len_bytes[lane] = 0;
		keys[lane] = lane < packets ? _mm256_setzero_si256() : keys[lane - packets];
		nonce_lo[lane] = lane < packets ? 0 : nonce_lo[lane - packets];
		nonce_hi[lane] = lane < packets ? 0 : nonce_hi[lane - packets];
	}
	transpose8(keys);
	ctx->n_packets = n;
	chacha_constants(&ctx->start);
	for (int i = 0; i < 8; i++)
		ctx->start.word[4 + i] = keys[i];
	ctx->start.word[14] = _mm256_load_si256((const vec *)nonce_lo);
	ctx->start.word[15] = _mm256_load_si256((const vec *)nonce_hi);
}

/* The one-time keys are the starts of the rows of block 0. */
INLINE void wide_poly_start(struct context *ctx, int group)
{
	struct poly_lanes *poly = &ctx->poly[group];
	UNSET vec x[4], key[4];

	UNROLL
	for (int i = 0; i < 4; i++)
		x[i] = ctx->rows[MAC_LANES * group + i].half[0];
	transpose4(x, key);
	ctx->polys_used = 2;
	poly->pad_lo = key[2];
	poly->pad_hi = key[3];
	poly->power[0] = factor_of(limbs_clamp(key[0], key[1]));
	poly_powers(poly);
	poly->h = limbs_zero();
	poly->len_bytes = _mm256_cvtepu32_epi64(
		_mm_loadu_si128((const __m128i *)(ctx->len_bytes + MAC_LANES * group)));
	poly->blocks =
		_mm256_srli_epi64(_mm256_add_epi64(poly->len_bytes, _mm256_set1_epi64x(15)), 4);
}

/* Takes 64 bytes of each packet through cipher and MAC. */
INLINE void wide_row(struct context *ctx, int group, const struct row *rows, size_t offset,
	const bool opening, const bool ending)
{
	UNSET vec first[4], second[4], m[8];

	UNROLL
	for (int i = 0; i < MAC_LANES; i++) {
		int lane = MAC_LANES * group + i;
		uint8_t *at = (size_t)lane < ctx->n_packets ? ctx->data[lane] + offset
							    : (uint8_t *)&ctx->idle;
		size_t len = ctx->len_bytes[lane];
		struct row sealed;

		if (ending && offset + ROW > len) {
			sealed = row_xor_ending(
				at, offset < len ? len - offset : 0, &rows[lane], opening);
		} else {
			struct row in = row_load(at), out = row_xor(in, &rows[lane]);

			row_store(at, out);
			sealed = opening ? in : out;
		}
		first[i] = sealed.half[0];
		second[i] = sealed.half[1];
	}
	transpose4(first, m);
	transpose4(second, m + 4);
	if (ending)
		poly_row_ending(&ctx->poly[group], m, offset);
	else
		poly_row(&ctx->poly[group], m);
}

INLINE void wide_rows(struct context *ctx, int groups, const struct row *rows, size_t offset,
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

/* Out of line: one copy each. */
static __attribute__((noinline)) void wide_rows_seal(
	struct context *ctx, int groups, const struct row *rows, size_t offset, size_t full_bytes)
{
	wide_rows(ctx, groups, rows, offset, full_bytes, false);
}

static __attribute__((noinline)) void wide_rows_open(
	struct context *ctx, int groups, const struct row *rows, size_t offset, size_t full_bytes)
{
	wide_rows(ctx, groups, rows, offset, full_bytes, true);
}

INLINE void wide_finish(struct context *ctx, int group, struct aead_job *jobs,
	const uint16_t *order, size_t n, bool opening)
{
	struct poly_lanes *poly = &ctx->poly[group];
	UNSET _Alignas(32) uint8_t tags[MAC_LANES][AEAD_TAG_BYTES];
	vec lo, hi;

	poly_finish(poly_block(poly, _mm256_setzero_si256(), poly->len_bytes), poly->pad_lo,
		poly->pad_hi, &lo, &hi);
	_mm256_store_si256((vec *)tags[0], _mm256_unpacklo_epi64(lo, hi)); /* lanes 0, 2 */
	_mm256_store_si256((vec *)tags[2], _mm256_unpackhi_epi64(lo, hi));
	for (size_t i = 0; i < MAC_LANES && MAC_LANES * (size_t)group + i < n; i++)
		lanes_finish(&jobs[order[MAC_LANES * (size_t)group + i]], tags[i / 2 + (i & 1) * 2],
			opening);
}

/* Block numbers first + lane / packets: packets blocks next to each other are of different packets.
 */
INLINE vec wide_counter(size_t first, size_t packets)
{
	const vec lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
	int shift = __builtin_ctzll(packets);

	return _mm256_add_epi32(
		_mm256_set1_epi32((int)(uint32_t)first), _mm256_srli_epi32(lane, shift));
}

/* Up to 8 packets. */
static void wide(
	void *context, struct aead_job *jobs, const uint16_t *order, size_t n, bool opening)
{
	struct context *ctx = context;
	void (*rows_done)(struct context *, int, const struct row *, size_t, size_t) =
		opening ? wide_rows_open : wide_rows_seal;
	size_t packets = lanes_packets(n, LANES), set_blocks = LANES / packets;
	size_t max_bytes = 0, full_bytes = SIZE_MAX, blocks;
	int groups = n > MAC_LANES ? 2 : 1;

	wide_start(ctx, jobs, order, n, packets);
	for (size_t i = 0; i < n; i++) {
		size_t len = ctx->len_bytes[i];

		max_bytes = len > max_bytes ? len : max_bytes;
		full_bytes = len < full_bytes ? len : full_bytes;
	}
	/* Block 0 is the MAC's key, block 1 + i covers row i. */
	blocks = 1 + (max_bytes + ROW - 1) / ROW;
	for (size_t block = 0; block < blocks;) {
		const struct row *rows = ctx->rows;
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

/* Four blocks of what Poly1305 hashes, from an offset in the packet, as two vectors in the order 0,
 * 2, 1, 3. */
INLINE void long_split(struct row row, vec m[2])
{
	m[0] = _mm256_unpacklo_epi64(row.half[0], row.half[1]);
	m[1] = _mm256_unpackhi_epi64(row.half[0], row.half[1]);
}

/* The same where they begin before the packet or reach past it: zeros there. After the packet comes
 * the block of the lengths, as the last of the last four. */
static struct row long_edge(const uint8_t *data, size_t len_bytes, ptrdiff_t offset, bool last)
{
	UNSET struct row row;
	uint8_t *bytes = (uint8_t *)&row;
	size_t before = offset < 0 ? (size_t)-offset : 0, from = offset < 0 ? 0 : (size_t)offset;
	size_t n = len_bytes - from < ROW - before ? len_bytes - from : ROW - before;
	uint64_t length = len_bytes;

	memset(bytes, 0, ROW);
	memcpy(bytes + before, data + from, n);
	if (last)
		memcpy(bytes + ROW - sizeof length, &length, sizeof length);
	return row;
}

/* The powers that the lanes still lack at the end: r^4, r^2, r^3, r. */
INLINE struct factor long_powers(struct limbs r, struct limbs r2, struct limbs r3, struct limbs r4)
{
	struct limbs powers;

	UNROLL
	for (int i = 0; i < 5; i++)
		powers.l[i] = _mm256_blend_epi32(_mm256_blend_epi32(r4.l[i], r2.l[i], 0x0c),
			_mm256_blend_epi32(r3.l[i], r.l[i], 0xc0), 0xf0);
	return factor_of(powers);
}

/* The sum of the four lanes in each. */
INLINE vec add_lanes(vec a)
{
	a = _mm256_add_epi64(a, _mm256_permute4x64_epi64(a, 0x4e));
	return _mm256_add_epi64(a, _mm256_shuffle_epi32(a, 0x4e));
}

/* Poly1305 of a packet with the one-time key from the start of block 0. */
static __attribute__((noinline)) void long_tag(struct context *ctx, const uint8_t *data,
	size_t len_bytes, struct row key_row, uint8_t tag[AEAD_TAG_BYTES])
{
	struct poly_lanes *poly = &ctx->poly[0];
	vec key = key_row.half[0], lo, hi;
	UNSET vec m[8];
	struct limbs r = limbs_clamp(
		_mm256_permute4x64_epi64(key, 0x00), _mm256_permute4x64_epi64(key, 0x55));
	struct factor by_r = factor_of(r), by_r2 = factor_of(multiply(r, &by_r));
	struct limbs r3 = multiply(by_r2.r, &by_r), r4 = multiply(by_r2.r, &by_r2);
	struct factor last = long_powers(r, by_r2.r, r3, r4);
	/* Blocks of data and of lengths in rows of 4, all but the last row with r^4. Where the
	 * first starts before the packet, h starts with the opposite of the bits that those blocks
	 * would add. */
	size_t blocks = (len_bytes + 15) / 16 + 1, rows = (blocks + 3) / 4, i = 0;
	ptrdiff_t offset = -16 * (ptrdiff_t)(4 * rows - blocks);
	vec before =
		_mm256_cmpgt_epi64(_mm256_set1_epi64x(-offset), _mm256_set_epi64x(48, 16, 32, 0));

	ctx->polys_used = ctx->polys_used > 0 ? ctx->polys_used : 1;
	poly->power[0] = factor_of(r4);
	poly->h = limbs_zero();
	poly->h.l[4] = _mm256_and_si256(before, _mm256_set1_epi64x(-TOP_BIT));
	for (; i < (rows - 1) % 4 || (i < rows - 1 && offset < 0); i++, offset += ROW) {
		long_split(offset < 0 ? long_edge(data, len_bytes, offset, false)
				      : row_load(data + offset),
			m);
		poly->h = poly_block(poly, m[0], m[1]);
	}
	if (i + 4 < rows)
		poly_powers(poly);
	for (; i + 4 < rows; i += 4, offset += 4 * ROW) {
		UNROLL
		for (int k = 0; k < 4; k++)
			long_split(row_load(data + offset + k * ROW), m + 2 * k);
		poly_row(poly, m);
	}
	for (; i < rows - 1; i++, offset += ROW) {
		long_split(row_load(data + offset), m);
		poly->h = poly_block(poly, m[0], m[1]);
	}
	poly->power[0] = last;
	long_split(long_edge(data, len_bytes, offset, true), m);
	poly->h = poly_block(poly, m[0], m[1]);
	UNROLL
	for (int k = 0; k < 5; k++)
		poly->h.l[k] = add_lanes(poly->h.l[k]);
	poly_finish(poly->h, _mm256_permute4x64_epi64(key, 0xaa),
		_mm256_permute4x64_epi64(key, 0xff), &lo, &hi);
	_mm_storeu_si128((__m128i *)tag, _mm256_castsi256_si128(_mm256_unpacklo_epi64(lo, hi)));
}

static void long_start(struct context *ctx, const struct aead_job *job)
{
	chacha_constants(&ctx->start);
	for (int i = 0; i < 8; i++) {
		int word;

		memcpy(&word, job->key->bytes + 4 * i, sizeof word);
		ctx->start.word[4 + i] = _mm256_set1_epi32(word);
	}
	ctx->start.word[14] = _mm256_set1_epi32((int)(uint32_t)job->counter);
	ctx->start.word[15] = _mm256_set1_epi32((int)(uint32_t)(job->counter >> 32));
}

/* Key stream of blocks block ... in ctx->rows: 8, or 16 when more than 8 are wanted. */
static void long_pass(struct context *ctx, size_t block, size_t wanted)
{
	vec counter = _mm256_add_epi32(
		_mm256_set1_epi32((int)(uint32_t)block), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));

	key_stream(
		ctx, wanted > LANES, counter, _mm256_add_epi32(counter, _mm256_set1_epi32(LANES)));
}

/* Xors the rows from here to the end of the packet or of the key stream. Gives the next offset. */
static size_t long_xor(
	struct context *ctx, const struct aead_job *job, const struct row *rows, size_t offset)
{
	for (; offset < job->len_bytes && rows < ctx->rows + 2 * LANES; offset += ROW, rows++) {
		uint8_t *at = job->data + offset;

		if (job->len_bytes - offset >= ROW)
			row_store(at, row_xor(row_load(at), rows));
		else
			row_xor_ending(at, job->len_bytes - offset, rows, false);
	}
	return offset;
}

static void long_one(void *context, struct aead_job *job, bool opening)
{
	struct context *ctx = context;
	UNSET _Alignas(32) uint8_t tag[AEAD_TAG_BYTES];
	struct row key;
	size_t rows = lanes_rows(job), offset;

	long_start(ctx, job);
	long_pass(ctx, 0, rows + 1);
	key = ctx->rows[0]; /* later passes overwrite it */
	if (opening)
		long_tag(ctx, job->data, job->len_bytes, key, tag);
	offset = long_xor(ctx, job, ctx->rows + 1, 0);
	while (offset < job->len_bytes) {
		size_t block = offset / ROW + 1;

		long_pass(ctx, block, rows + 1 - block);
		offset = long_xor(ctx, job, ctx->rows, offset);
	}
	if (!opening)
		long_tag(ctx, job->data, job->len_bytes, key, tag);
	lanes_finish(job, tag, opening);
}

/* ---- the back end ---- */

/* Cycles on Zen 5 (EPYC, 4 GHz); bench/README.md tells how they were found. */
static const struct lanes_work work = {
	.cost =
		{
			.lanes_log2 = 3,
			.one_set = 640,
			.two_sets = 1060,
			.wide_fixed = 500,
			.wide_row = 95,
			.long_fixed = 380,
			.long_row = 25,
			.mac_lanes = MAC_LANES,
		},
	.wide = wide,
	.one = long_one,
};

/* More than the frames below run(): up to 2.7 KiB with gcc 12, 2.2 with clang 14. */
static __attribute__((noinline)) void stack_wipe(void)
{
	UNSET vec below[96];

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
	lanes_wipe(&ctx->idle, sizeof ctx->idle);
	stack_wipe();
}

static void avx2_seal(void *context, struct aead_job *jobs, size_t n)
{
	run(context, jobs, n, false);
}

static void avx2_open(void *context, struct aead_job *jobs, size_t n)
{
	run(context, jobs, n, true);
}

static void *avx2_new(void)
{
	struct context *ctx = aligned_alloc(_Alignof(struct context), sizeof *ctx);

	return ctx;
}

static void avx2_free(void *context)
{
	free(context); /* wiped at the end of each batch */
}

static size_t avx2_bytes(const void *context)
{
	(void)context;
	return sizeof(struct context);
}

const struct aead_backend aead_avx2 = {
	"avx2", lanes_cpu_avx2, avx2_new, avx2_free, avx2_bytes, avx2_seal, avx2_open};

#else

static bool never_usable(void)
{
	return false;
}

const struct aead_backend aead_avx2 = {.name = "avx2", .usable = never_usable};

#endif
