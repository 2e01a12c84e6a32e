/* ring.c - see ring.h. Each record is its length (4 bytes) and its bytes, rounded up to 8. */
#include "core/ring.h"

#include "core/spin.h"

#include <errno.h>
#include <string.h>

static uint32_t record_bytes(uint32_t payload_bytes)
{
	return (4 + payload_bytes + 7) & ~7u;
}

int ring_init(struct ring *ring, uint32_t size_bytes, struct mem_budget *budget)
{
	memset(ring, 0, sizeof *ring);
	ring->bytes = mem_new(budget, 1, size_bytes);
	ring->size_bytes = size_bytes;
	return ring->bytes ? 0 : -ENOMEM;
}

void ring_fini(struct ring *ring)
{
	if (ring->bytes)
		secret_wipe(ring->bytes, ring->size_bytes);
	mem_free(ring->bytes);
	ring->bytes = NULL;
}

static uint32_t copy_in(struct ring *ring, uint32_t at, const void *from, uint32_t len_bytes)
{
	uint32_t offset = at & (ring->size_bytes - 1);
	uint32_t until_end = ring->size_bytes - offset;
	uint32_t first = len_bytes < until_end ? len_bytes : until_end;

	if (!len_bytes)
		return at;
	memcpy(ring->bytes + offset, from, first);
	memcpy(ring->bytes, (const uint8_t *)from + first, len_bytes - first);
	return at + len_bytes;
}

static uint32_t copy_out(struct ring *ring, uint32_t at, void *to, uint32_t len_bytes)
{
	uint32_t offset = at & (ring->size_bytes - 1);
	uint32_t until_end = ring->size_bytes - offset;
	uint32_t first = len_bytes < until_end ? len_bytes : until_end;

	memcpy(to, ring->bytes + offset, first);
	memcpy((uint8_t *)to + first, ring->bytes, len_bytes - first);
	return at + len_bytes;
}

bool ring_push(struct ring *ring, const void *head, uint32_t head_bytes, const void *tail,
	uint32_t tail_bytes)
{
	uint32_t len = head_bytes + tail_bytes, need = record_bytes(len);
	uint32_t start = relaxed_get(&ring->written), at = start;
	uint32_t read = atomic_load_explicit(&ring->read, memory_order_acquire);

	if (need > ring->size_bytes - (start - read))
		return false;
	at = copy_in(ring, at, &len, sizeof len);
	at = copy_in(ring, at, head, head_bytes);
	copy_in(ring, at, tail, tail_bytes);
	owner_add(&ring->n_written, 1);
	atomic_store_explicit(&ring->written, start + need, memory_order_release);
	return true;
}

uint32_t ring_pop(struct ring *ring, void *out, uint32_t room_bytes)
{
	uint32_t start = relaxed_get(&ring->read), at, len, take;

	if (atomic_load_explicit(&ring->written, memory_order_acquire) == start)
		return 0;
	at = copy_out(ring, start, &len, sizeof len);
	take = len < room_bytes ? len : room_bytes;
	copy_out(ring, at, out, take);
	owner_add(&ring->n_read, 1);
	atomic_store_explicit(&ring->read, start + record_bytes(len), memory_order_release);
	return take;
}

uint32_t ring_count(const struct ring *ring)
{
	struct ring *r = (struct ring *)ring;

	return relaxed_get(&r->n_written) - relaxed_get(&r->n_read);
}

uint32_t ring_bytes(const struct ring *ring)
{
	struct ring *r = (struct ring *)ring; /* atomic loads want it */

	return relaxed_get(&r->written) - relaxed_get(&r->read);
}
