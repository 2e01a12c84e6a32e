/* aead_neon.c - bulk ChaCha20-Poly1305 (RFC 8439) for 64-bit Arm.
 *
 * A batch is one long row of ChaCha20 blocks: of each packet block 0, the MAC's key, then one for
 * every 64 bytes. They go through the cipher in sets of four, a block in each lane of the NEON
 * registers, no matter whose they are: every lane is full but for the batch's last set. The MAC
 * needs no vector registers: 64-bit multiplication suits it. So it takes what the set before left
 * it within the same loop, and the CPU does both at a time. Hence sealing xors a set at once,
 * opening a set later, after the MAC.
 *
 * Secrets: no branch and no address depends on a key or on data; lengths and counters are public.
 * Multiplication takes the same time for all operands on the cores we know of. All intermediate
 * values live in the context or on the stack and are wiped at the end of a batch.
 * Fails: never; opening gives a verdict per job.
 */
#include "crypto/aead_lanes.h"

#if defined(__aarch64__) && defined(__AARCH64EL__)

#include "crypto/vector.h"

#include <arm_neon.h>
#include <stdlib.h>
#include <string.h>

#define LANES 4
#define ROW LANES_ROW_BYTES

typedef uint32x4_t vec;
typedef unsigned __int128 u128;

/* ---- the context: everything secret that is not on the stack ---- */

/* Block 0 of a job is the MAC's key, block 1 + i covers row i. */
struct lane {
	struct aead_job *job; /* NULL after the end of the batch */
	uint32_t block;
};

struct set {
	struct lane lane[LANES];
	_Alignas(64) uint8_t rows[LANES][ROW]; /* key stream */
};

/* Poly1305's number h0 + 2^64 h1 + 2^128 h2; after each block h2 is at most 4. */
struct poly {
	uint64_t h0, h1, h2, r0, r1;
	uint64_t r1_x5_4; /* 2^128 r1 is this modulo 2^130 - 5, as r1 is a multiple of 4 */
	uint64_t pad[2];
};

struct context {
	_Alignas(64) vec start[16]; /* the state before the rounds: a word per vector */
	struct set sets[2];
	struct poly poly; /* of the packet that the MAC has come to */
};

INLINE uint64_t load64(const uint8_t *at)
{
	uint64_t x;

	memcpy(&x, at, sizeof x);
	return x;
}

INLINE uint8_t *lane_data(const struct lane *lane)
{
	return lane->job->data + (size_t)(lane->block - 1) * ROW;
}

/* The bytes of its packet up to and with this row. */
INLINE uint64_t lane_end(const struct lane *lane)
{
	return (uint64_t)lane->block * ROW;
}

INLINE size_t lane_bytes(const struct lane *lane)
{
	uint64_t len = lane->job->len_bytes;

	return lane_end(lane) <= len ? ROW : (size_t)(len - (lane_end(lane) - ROW));
}

/* ---- Poly1305 ---- */

INLINE u128 product(uint64_t a, uint64_t b)
{
	return (u128)a * b;
}

/* h = (h + m + 2^128) r. With r's clamped bits h2 times either half stays below 2^63, and all sums
 * below 2^127. */
INLINE void poly_block(struct poly *p, uint64_t lo, uint64_t hi)
{
	u128 m = (u128)hi << 64 | lo, h = ((u128)p->h1 << 64 | p->h0) + m;
	uint64_t h0 = (uint64_t)h, h1 = (uint64_t)(h >> 64), h2 = p->h2 + 1 + (h < m);
	u128 d0 = product(h0, p->r0) + product(h1, p->r1_x5_4);
	u128 d1 = product(h0, p->r1) + product(h1, p->r0) + h2 * p->r1_x5_4 + (d0 >> 64);
	uint64_t d2 = h2 * p->r0 + (uint64_t)(d1 >> 64);
	uint64_t over = (d2 & ~UINT64_C(3)) + (d2 >> 2); /* 2^130 counts as 5 */

	h = (d1 << 64 | (uint64_t)d0) + over;
	p->h0 = (uint64_t)h;
	p->h1 = (uint64_t)(h >> 64);
	p->h2 = (d2 & 3) + (h < over);
}

/* From the one-time key, of which the first half is clamped (RFC 8439, 2.5). */
static void poly_start(struct poly *p, const uint8_t key[32])
{
	uint64_t r1 = load64(key + 8) & 0x0ffffffc0ffffffc;

	*p = (struct poly){
		.r0 = load64(key) & 0x0ffffffc0fffffff,
		.r1 = r1,
		.r1_x5_4 = r1 + (r1 >> 2),
		.pad = {load64(key + 16), load64(key + 24)},
	};
}

/* The last block is padded with zeros, as the AEAD has it. */
static void poly_update(struct poly *to, const uint8_t *data, size_t n)
{
	struct poly p = *to;

	for (; n >= 16; n -= 16, data += 16)
		poly_block(&p, load64(data), load64(data + 8));
	if (n > 0) {
		uint8_t last[16] = {0};

		memcpy(last, data, n);
		poly_block(&p, load64(last), load64(last + 8));
	}
	*to = p;
}

/* (h mod 2^130 - 5) + pad mod 2^128 */
static void poly_tag(const struct poly *p, uint8_t tag[AEAD_TAG_BYTES])
{
	u128 h = (u128)p->h1 << 64 | p->h0, less = h + 5;
	/* h + 5 reaches 2^130 where h is not below p, and less 2^130 it is h - p. */
	uint64_t not_below_p = (p->h2 + (less < 5)) >> 2;
	u128 mask = -(u128)not_below_p;

	h = (h & ~mask) | (less & mask);
	h += (u128)p->pad[1] << 64 | p->pad[0];
	memcpy(tag, &h, AEAD_TAG_BYTES);
}

/* ---- ChaCha20 ---- */

/* Turns 4 rows of 4 words into 4 columns, in place. */
INLINE void transpose4(vec x[4])
{
	uint64x2_t ab_even = vreinterpretq_u64_u32(vtrn1q_u32(x[0], x[1]));
	uint64x2_t ab_odd = vreinterpretq_u64_u32(vtrn2q_u32(x[0], x[1]));
	uint64x2_t cd_even = vreinterpretq_u64_u32(vtrn1q_u32(x[2], x[3]));
	uint64x2_t cd_odd = vreinterpretq_u64_u32(vtrn2q_u32(x[2], x[3]));

	x[0] = vreinterpretq_u32_u64(vtrn1q_u64(ab_even, cd_even));
	x[1] = vreinterpretq_u32_u64(vtrn1q_u64(ab_odd, cd_odd));
	x[2] = vreinterpretq_u32_u64(vtrn2q_u64(ab_even, cd_even));
	x[3] = vreinterpretq_u32_u64(vtrn2q_u64(ab_odd, cd_odd));
}

/* Rotates by whole bytes are one instruction; the others a shift, and a shift with insertion. */
#define ROTATE_16(v) vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(v)))
#define ROTATE_8(v) vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(v), rotate_8))
#define ROTATE_12(v) vsriq_n_u32(vshlq_n_u32(v, 12), v, 20)
#define ROTATE_7(v) vsriq_n_u32(vshlq_n_u32(v, 7), v, 25)

/* to += from, mix = rotate(mix ^ to), in four independent columns. */
#define STEP(to, from, mix, rotate)                                                                \
	UNROLL                                                                                     \
	for (int i = 0; i < 4; i++)                                                                \
		x[to(i)] = vaddq_u32(x[to(i)], x[from(i)]);                                        \
	UNROLL                                                                                     \
	for (int i = 0; i < 4; i++)                                                                \
		x[mix(i)] = veorq_u32(x[mix(i)], x[to(i)]);                                        \
	UNROLL                                                                                     \
	for (int i = 0; i < 4; i++)                                                                \
		x[mix(i)] = rotate(x[mix(i)]);

INLINE void quarter_rounds(vec x[16], uint8x16_t rotate_8, const int turn)
{
	STEP(ROW_A, ROW_B, ROW_D, ROTATE_16)
	STEP(ROW_C, ROW_D, ROW_B, ROTATE_12)
	STEP(ROW_A, ROW_B, ROW_D, ROTATE_8)
	STEP(ROW_C, ROW_D, ROW_B, ROTATE_7)
}

/* The key stream of a set, from ctx->start; the MAC meanwhile takes pairs of blocks, at most 10. */
static __attribute__((noinline)) void key_stream(
	struct context *ctx, struct set *set, const uint8_t *mac_at, size_t mac_pairs)
{
	static const uint8_t by_8[16] = {3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14};
	const uint8x16_t rotate_8 = vld1q_u8(by_8);
	struct poly p = ctx->poly;
	UNSET vec x[16];
	size_t i = 0;

	UNROLL
	for (int k = 0; k < 16; k++)
		x[k] = ctx->start[k];
	for (; i < mac_pairs; i++, mac_at += 32) {
		quarter_rounds(x, rotate_8, 0);
		poly_block(&p, load64(mac_at), load64(mac_at + 8));
		quarter_rounds(x, rotate_8, 1);
		poly_block(&p, load64(mac_at + 16), load64(mac_at + 24));
	}
	for (; i < 10; i++) {
		quarter_rounds(x, rotate_8, 0);
		quarter_rounds(x, rotate_8, 1);
	}
	UNROLL
	for (int k = 0; k < 16; k++)
		x[k] = vaddq_u32(x[k], ctx->start[k]);
	UNROLL
	for (int k = 0; k < 4; k++)
		transpose4(x + 4 * k);
	UNROLL
	for (int k = 0; k < 16; k++)
		vst1q_u8(set->rows[k % 4] + k / 4 * 16, vreinterpretq_u8_u32(x[k]));
	ctx->poly = p;
}

static void set_start(vec start[16], const struct lane lanes[LANES])
{
	/* "expand 32-byte k", RFC 8439, 2.3 */
	static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
	static const struct sym_key no_key;
	UNSET uint32_t block[LANES], nonce_lo[LANES], nonce_hi[LANES];

	UNROLL
	for (int i = 0; i < LANES; i++) {
		const struct aead_job *job = lanes[i].job;
		const uint8_t *key = job ? job->key->bytes : no_key.bytes;

		start[i] = vdupq_n_u32(constants[i]);
		start[4 + i] = vreinterpretq_u32_u8(vld1q_u8(key));
		start[8 + i] = vreinterpretq_u32_u8(vld1q_u8(key + 16));
		block[i] = lanes[i].block;
		nonce_lo[i] = job ? (uint32_t)job->counter : 0;
		nonce_hi[i] = job ? (uint32_t)(job->counter >> 32) : 0;
	}
	transpose4(start + 4);
	transpose4(start + 8);
	start[12] = vld1q_u32(block);
	start[13] = vdupq_n_u32(0); /* the nonce's 4 zero bytes */
	start[14] = vld1q_u32(nonce_lo);
	start[15] = vld1q_u32(nonce_hi);
}

static void row_xor(const struct lane *lane, const uint8_t row[ROW])
{
	uint8_t *at = lane_data(lane);
	size_t n = lane_bytes(lane), i = 0;

	for (; i + 16 <= n; i += 16)
		vst1q_u8(at + i, veorq_u8(vld1q_u8(at + i), vld1q_u8(row + i)));
	for (; i < n; i++)
		at[i] ^= row[i];
}

static void set_xor(const struct set *set)
{
	for (size_t i = 0; i < LANES; i++)
		if (set->lane[i].job && set->lane[i].block > 0)
			row_xor(&set->lane[i], set->rows[i]);
}

/* ---- a set after the other ---- */

/* After a packet's last row come its lengths. */
static void mac_end(struct context *ctx, const struct lane *lane, bool opening)
{
	struct aead_job *job = lane->job;
	uint8_t tag[AEAD_TAG_BYTES];

	if (lane_end(lane) < job->len_bytes)
		return;
	poly_block(&ctx->poly, 0, job->len_bytes);
	poly_tag(&ctx->poly, tag);
	lanes_finish(job, tag, opening);
}

static void mac_lane(struct context *ctx, const struct set *set, size_t i, bool opening)
{
	const struct lane *lane = &set->lane[i];

	if (!lane->job)
		return;
	if (lane->block == 0)
		poly_start(&ctx->poly, set->rows[i]);
	else
		poly_update(&ctx->poly, lane_data(lane), lane_bytes(lane));
	mac_end(ctx, lane, opening);
}

/* How many full rows of one packet follow each other from this lane on. */
static size_t full_rows(const struct set *set, size_t from)
{
	size_t i = from;

	while (i < LANES && set->lane[i].job && set->lane[i].block > 0 &&
		lane_end(&set->lane[i]) <= set->lane[i].job->len_bytes)
		i++;
	return i - from;
}

/* Makes the key stream of one set and finishes the MAC of the set before it. */
static void step(struct context *ctx, struct set *set, const struct set *before, bool opening)
{
	size_t i = 0, full;

	if (before->lane[0].job && before->lane[0].block == 0)
		mac_lane(ctx, before, i++, opening);
	full = full_rows(before, i);
	set_start(ctx->start, set->lane);
	key_stream(ctx, set, full ? lane_data(&before->lane[i]) : NULL, full * (ROW / 32));
	i += full;
	if (full)
		mac_end(ctx, &before->lane[i - 1], opening);
	for (; i < LANES; i++)
		mac_lane(ctx, before, i, opening);
}

/* The next four blocks from here on; false: there are none. */
static bool set_fill(struct set *set, struct lane *next, const struct aead_job *end)
{
	for (size_t i = 0; i < LANES; i++) {
		set->lane[i] = *next;
		if (!next->job)
			continue;
		if (lane_end(next) < next->job->len_bytes) {
			next->block++;
		} else {
			next->block = 0;
			next->job = next->job + 1 < end ? next->job + 1 : NULL;
		}
	}
	return set->lane[0].job;
}

/* More than the frames below run(). */
static __attribute__((noinline)) void stack_wipe(void)
{
	UNSET uint8_t below[1024];

	secret_wipe(below, sizeof below);
}

static void run(struct context *ctx, struct aead_job *jobs, size_t n, bool opening)
{
	struct set *set = &ctx->sets[0], *before = &ctx->sets[1];
	struct lane next = {.job = n ? jobs : NULL};

	memset(before->lane, 0, sizeof before->lane);
	while (set_fill(set, &next, jobs + n)) {
		struct set *done = before;

		step(ctx, set, before, opening);
		set_xor(opening ? before : set);
		before = set;
		set = done;
	}
	for (size_t i = 0; i < LANES; i++)
		mac_lane(ctx, before, i, opening);
	if (opening)
		set_xor(before);
	secret_wipe(ctx, sizeof *ctx);
	stack_wipe();
}

/* ---- the back end ---- */

/* NEON belongs to the architecture: Linux does without it on no 64-bit Arm. */
static bool neon_usable(void)
{
	return true;
}

static void *neon_new(void)
{
	struct context *ctx = aligned_alloc(_Alignof(struct context), sizeof *ctx);

	return ctx;
}

static void neon_free(void *context)
{
	free(context); /* wiped at the end of each batch */
}

static size_t neon_bytes(const void *context)
{
	(void)context;
	return sizeof(struct context);
}

static void neon_seal(void *context, struct aead_job *jobs, size_t n)
{
	run(context, jobs, n, false);
}

static void neon_open(void *context, struct aead_job *jobs, size_t n)
{
	run(context, jobs, n, true);
}

const struct aead_backend aead_neon = {
	"neon", neon_usable, neon_new, neon_free, neon_bytes, neon_seal, neon_open};

#endif
