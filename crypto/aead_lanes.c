/* aead_lanes.c - see aead_lanes.h. */
#include "crypto/aead_lanes.h"

#include <string.h>

#define SORT_BINS 64
/* More than the deepest frames of a back end, which are checked by looking at -Wframe-larger-than.
 */
#define STACK_WIPE_BYTES 4096

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
	uint64_t rest = blocks % (2 * cost->lanes);
	uint64_t cycles = blocks / (2 * cost->lanes) * cost->two_sets;

	return cycles + (rest > cost->lanes ? cost->two_sets : rest > 0 ? cost->one_set : 0);
}

static uint64_t long_cost(const struct lanes_cost *cost, uint64_t rows)
{
	return cost->long_fixed + rows * cost->long_row + cipher_cost(cost, rows + 1);
}

static uint64_t wide_cost(const struct lanes_cost *cost, uint64_t rows, size_t n)
{
	uint64_t macs = (n + cost->mac_lanes - 1) / cost->mac_lanes;

	return cost->wide_fixed + rows * macs * cost->wide_row +
		cipher_cost(cost, (rows + 1) * lanes_packets(n, cost->lanes));
}

size_t lanes_peel(
	const struct lanes_cost *cost, const uint16_t *order, const struct aead_job *jobs, size_t n)
{
	uint64_t peeled = 0, best = UINT64_MAX;
	size_t best_n = 0;

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

__attribute__((noinline)) void lanes_stack_wipe(void)
{
	__attribute__((uninitialized)) uint8_t below[STACK_WIPE_BYTES];

	secret_wipe(below, sizeof below);
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
