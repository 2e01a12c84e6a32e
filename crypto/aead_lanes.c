/* aead_lanes.c - see aead_lanes.h. */
#include "crypto/aead_lanes.h"

#include <string.h>

#define SORT_BINS 64

static uint32_t sort_bin(const struct aead_job *job)
{
	uint32_t rows = lanes_rows(job);

	return rows < SORT_BINS ? SORT_BINS - 1 - rows : 0;
}

void lanes_sort(uint16_t *order, const struct aead_job *jobs, size_t n)
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

size_t lanes_peel(
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
