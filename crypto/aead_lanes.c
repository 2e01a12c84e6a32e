/* aead_lanes.c - see aead_lanes.h. */
#include "crypto/aead_lanes.h"

#define SORT_BINS 64

static uint32_t sort_bin(const struct aead_job *job)
{
	uint32_t rows = lanes_rows(job);

	return rows < SORT_BINS ? SORT_BINS - 1 - rows : 0;
}

/* Longest first; all beyond 4 KiB count as equal. */
static void sort(uint16_t *order, const struct aead_job *jobs, size_t n)
{
	uint16_t start[SORT_BINS + 1] = {0};
	size_t equal = 0;

	while (equal < n && jobs[equal].len_bytes == jobs[0].len_bytes) {
		order[equal] = (uint16_t)equal;
		equal++;
	}
	if (equal == n)
		return;
	for (size_t i = 0; i < n; i++)
		start[sort_bin(&jobs[i]) + 1]++;
	for (size_t bin = 0; bin < SORT_BINS; bin++)
		start[bin + 1] += start[bin];
	for (size_t i = 0; i < n; i++)
		order[start[sort_bin(&jobs[i])]++] = (uint16_t)i;
}

static uint64_t cipher_cost(const struct lanes_cost *cost, uint64_t blocks)
{
	uint64_t sets = (blocks + (1U << cost->lanes_log2) - 1) >> cost->lanes_log2;

	return sets / 2 * cost->two_sets + sets % 2 * cost->one_set;
}

static uint64_t long_cost(const struct lanes_cost *cost, uint64_t rows)
{
	return cost->long_fixed + rows * cost->long_row + cipher_cost(cost, rows + 1);
}

static uint64_t wide_cost(const struct lanes_cost *cost, uint64_t rows, size_t n)
{
	uint64_t macs = n > cost->mac_lanes ? 2 : 1;

	return cost->wide_fixed + rows * macs * cost->wide_row +
		cipher_cost(cost, (rows + 1) * lanes_packets(n, 1U << cost->lanes_log2));
}

/* How many of a sorted group are better done long, before the rest goes wide as one group. */
static size_t peel(
	const struct lanes_cost *cost, const uint16_t *order, const struct aead_job *jobs, size_t n)
{
	uint64_t peeled = 0, best = UINT64_MAX;
	size_t best_n = 0;

	/* The case that counts: a full group of one length. */
	if (n == 1U << cost->lanes_log2 &&
		lanes_rows(&jobs[order[0]]) == lanes_rows(&jobs[order[n - 1]]))
		return 0;
	for (size_t i = 0; i <= n; i++) {
		uint32_t rows = i < n ? lanes_rows(&jobs[order[i]]) : 0;
		uint64_t cycles = peeled + (i < n ? wide_cost(cost, rows, n - i) : 0);

		if (cycles < best) {
			best = cycles;
			best_n = i;
		}
		peeled += long_cost(cost, rows);
	}
	return best_n;
}

void lanes_deal(const struct lanes_work *work, void *context, uint16_t *order,
	struct aead_job *jobs, size_t n, bool opening)
{
	size_t lanes = (size_t)1 << work->cost.lanes_log2;

	sort(order, jobs, n);
	while (n > 0) {
		size_t group_n = n < lanes ? n : lanes;
		size_t done = peel(&work->cost, order, jobs, group_n);

		for (size_t i = 0; i < done; i++)
			work->one(context, &jobs[order[i]], opening);
		if (done == 0) {
			work->wide(context, jobs, order, group_n, opening);
			done = group_n;
		}
		order += done;
		n -= done;
	}
}

bool lanes_cpu_avx512(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("bmi2");
#else
	return false;
#endif
}

bool lanes_cpu_avx2(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
#else
	return false;
#endif
}
