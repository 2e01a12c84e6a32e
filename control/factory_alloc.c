/* factory_alloc.c - see factory_alloc.h. */
#include "control/factory_alloc.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t to_number(const struct wgh_addr *addr)
{
	const uint8_t *b = addr->bytes;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void from_number(struct wgh_addr *out, uint32_t number)
{
	*out = (struct wgh_addr){.bytes = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
					 (uint8_t)(number >> 8), (uint8_t)number},
		.family = WGH_IPV4};
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The hub's own address is taken as well. NULL: no memory. */
static uint32_t *sorted_numbers(
	size_t *n, const struct wgh_addr *hub, const struct wgh_addr *taken, size_t n_taken)
{
	uint32_t *numbers = malloc((n_taken + 1) * sizeof *numbers);

	*n = 0;
	if (!numbers)
		return NULL;
	numbers[(*n)++] = to_number(hub);
	for (size_t i = 0; i < n_taken; i++) {
		if (taken[i].family == WGH_IPV4)
			numbers[(*n)++] = to_number(&taken[i]);
	}
	qsort(numbers, *n, sizeof *numbers, compare);
	return numbers;
}

static bool is_taken(const uint32_t *numbers, size_t n, uint32_t number)
{
	return bsearch(&number, numbers, n, sizeof *numbers, compare) != NULL;
}

int alloc_device(struct wgh_addr *out, const struct wgh_addr *hub, const struct wgh_addr *taken,
	size_t n_taken)
{
	uint32_t *numbers, base = to_number(hub);
	int err = -ENOSPC;
	size_t n;

	if (hub->family != WGH_IPV4)
		return -EINVAL;
	numbers = sorted_numbers(&n, hub, taken, n_taken);
	if (!numbers)
		return -ENOMEM;
	for (uint32_t i = 1; i <= FACTORY_ALLOC_SPAN && base <= UINT32_MAX - i; i++) {
		uint32_t candidate = base + i;

		if ((candidate & 0xff) == 0 || is_taken(numbers, n, candidate))
			continue;
		from_number(out, candidate);
		err = 0;
		break;
	}
	free(numbers);
	return err;
}

int alloc_client(struct wgh_addr *out, const struct wgh_addr *hub, const struct wgh_prefix *range,
	const struct wgh_addr *taken, size_t n_taken)
{
	unsigned bits = range ? range->bits : 24;
	uint32_t *numbers, host_mask, first, last;
	int err = -ENOSPC;
	size_t n;

	if (hub->family != WGH_IPV4 || (range && range->addr.family != WGH_IPV4) || bits < 8 ||
		bits > 32)
		return -EINVAL;
	host_mask = bits == 32 ? 0 : UINT32_MAX >> bits;
	first = to_number(range ? &range->addr : hub) & ~host_mask;
	last = first | host_mask;
	numbers = sorted_numbers(&n, hub, taken, n_taken);
	if (!numbers)
		return -ENOMEM;
	/* A range of one or two addresses has no edges to leave out. */
	if (host_mask > 1)
		first++, last--;
	for (uint32_t candidate = last; err && candidate >= first && candidate <= last;
		candidate--) { /* and no further round from 0 */
		if ((candidate & 0xff) == 0 || (candidate & 0xff) == 0xff ||
			is_taken(numbers, n, candidate))
			continue;
		from_number(out, candidate);
		err = 0;
	}
	free(numbers);
	return err;
}
