/* aead_lanes.h - what the vector back ends share: how a batch is dealt out to lanes, and on which
 * CPUs.
 *
 * A back end has two ways to work. "Wide" puts a packet into each lane and walks all of them at the
 * same time: cheapest per packet when the lanes are full and the packets of one length. "Long" puts
 * consecutive blocks of one packet into the lanes: right for few packets. Lengths are public, so is
 * the choice.
 *
 * Threads: no state. Cost: a counting sort per batch of unequal lengths, a few additions per group.
 */
#ifndef CRYPTO_AEAD_LANES_H
#define CRYPTO_AEAD_LANES_H

#include <string.h>

#include "crypto/aead_backend.h"

/* A row is what one ChaCha20 block covers. */
#define LANES_ROW_BYTES 64

/* Measured cycles of one back end, from which the cheaper way is reckoned. */
struct lanes_cost {
	uint32_t lanes_log2; /* blocks of one set */
	uint32_t one_set, two_sets; /* the cipher for one set of blocks, for two side by side */
	uint32_t wide_fixed,
		wide_row; /* a group of packets; one row of as many packets as the MAC has lanes */
	uint32_t long_fixed, long_row; /* a packet; one row of it */
	uint32_t mac_lanes;
};

static inline uint32_t lanes_rows(const struct aead_job *job)
{
	return (uint32_t)(((uint64_t)job->len_bytes + LANES_ROW_BYTES - 1) / LANES_ROW_BYTES);
}

struct lanes_work {
	struct lanes_cost cost;
	/* Up to 1 << lanes_log2 packets at a time: jobs[order[0]] ... jobs[order[n - 1]]. */
	void (*wide)(void *context, struct aead_job *jobs, const uint16_t *order, size_t n,
		bool opening);
	void (*one)(void *context, struct aead_job *job, bool opening);
};

/* Does all jobs in the order that is cheapest, longest first. order has room for n. */
void lanes_deal(const struct lanes_work *work, void *context, uint16_t *order,
	struct aead_job *jobs, size_t n, bool opening);

/* In a wide group of n packets each row of key stream belongs to packet row % lanes_packets(): the
 * fewer packets, the more blocks of each in a pass of the cipher. */
static inline uint32_t lanes_packets(size_t n, uint32_t lanes)
{
	while (lanes > 4 && n <= lanes / 2)
		lanes /= 2;
	return lanes;
}

/* Writes the tag, or judges the received one in constant time. */
static inline void lanes_finish(
	struct aead_job *job, const uint8_t tag[AEAD_TAG_BYTES], bool opening)
{
	uint8_t *at = job->data + job->len_bytes;
	uint64_t ours[2], theirs[2];

	if (!opening) {
		memcpy(at, tag, AEAD_TAG_BYTES);
		return;
	}
	memcpy(ours, tag, sizeof ours);
	memcpy(theirs, at, sizeof theirs);
	job->ok = ((ours[0] ^ theirs[0]) | (ours[1] ^ theirs[1])) == 0;
}

/* Wipes whole cache lines with the widest stores there are, where memset() starts slowly. */
#ifdef __AVX512F__
typedef long long lanes_vec __attribute__((vector_size(64), may_alias));
#else
typedef long long lanes_vec __attribute__((vector_size(32), may_alias));
#endif

static inline void lanes_wipe(void *at, size_t n_bytes)
{
	volatile lanes_vec *v = at;

	for (size_t i = 0; i < n_bytes / sizeof *v; i++)
		v[i] = (lanes_vec){0};
}

/* Asked here, in a file compiled for every CPU, because nothing of the back ends may run before the
 * answer. */
bool lanes_cpu_avx512(void);
bool lanes_cpu_avx2(void);

#endif
