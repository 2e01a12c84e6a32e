/* mem.c - see mem.h. A block begins with a head that says whom it is charged to. A slab has chunks
 * of 64 KiB, each one locked allocation; free objects form a list inside them. Chunks
 * of counters double in size, so that nearly all of them are too large for malloc's heap: calloc()
 * maps them and leaves their pages alone. What was given out before is in a list.
 */
#include "core/mem.h"

#include "core/spin.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)
#define SPARSE_CHUNK_MIN_BYTES (128u << 10)
#define SPARSE_CHUNK_MAX_BYTES (1u << 20)
#define LINE_BYTES 64u
#define PAGE_BYTES 4096u

struct mem_head {
	struct mem_budget *budget;
	size_t n_bytes; /* of the whole block */
	size_t offset_bytes; /* of the payload in it */
	size_t unused;
};
_Static_assert(sizeof(struct mem_head) <= MEM_HEAD_BYTES, "the payload keeps malloc's alignment");

struct slab_chunk {
	_Alignas(LINE_BYTES) struct slab_chunk *next;
};

struct sparse_chunk {
	struct sparse_chunk *next;
	size_t n_bytes;
};

struct slab_free {
	struct slab_free *next;
};

/* ---- within a budget ---- */

bool mem_charge(struct mem_budget *budget, size_t n_bytes)
{
	size_t used;

	if (!budget)
		return true;
	used = relaxed_get(&budget->used_bytes);
	if (budget->limit_bytes &&
		(n_bytes > budget->limit_bytes || used > budget->limit_bytes - n_bytes)) {
		owner_add(&budget->n_refused, 1);
		return false;
	}
	used += n_bytes;
	relaxed_set(&budget->used_bytes, used);
	if (used > relaxed_get(&budget->peak_bytes))
		relaxed_set(&budget->peak_bytes, used);
	return true;
}

void mem_release(struct mem_budget *budget, size_t n_bytes)
{
	if (budget)
		relaxed_set(&budget->used_bytes, relaxed_get(&budget->used_bytes) - n_bytes);
}

static struct mem_head *head_of(void *p)
{
	return (struct mem_head *)((uint8_t *)p - MEM_HEAD_BYTES);
}

/* block is charged already, or NULL. */
static void *begin_block(
	struct mem_budget *budget, uint8_t *block, size_t n_bytes, size_t offset_bytes)
{
	if (!block) {
		mem_release(budget, n_bytes);
		return NULL;
	}
	*head_of(block + offset_bytes) = (struct mem_head){
		.budget = budget, .n_bytes = n_bytes, .offset_bytes = offset_bytes};
	return block + offset_bytes;
}

/* With the head. False: more than there can be. */
static bool block_bytes(size_t n, size_t item_bytes, size_t *n_bytes)
{
	return !__builtin_mul_overflow(n, item_bytes, n_bytes) &&
		!__builtin_add_overflow(*n_bytes, MEM_HEAD_BYTES, n_bytes);
}

void *mem_new(struct mem_budget *budget, size_t n, size_t item_bytes)
{
	size_t n_bytes;

	if (!block_bytes(n, item_bytes, &n_bytes) || !mem_charge(budget, n_bytes))
		return NULL;
	return begin_block(budget, calloc(1, n_bytes), n_bytes, MEM_HEAD_BYTES);
}

void *mem_new_lines(struct mem_budget *budget, size_t n_bytes)
{
	if (n_bytes > SIZE_MAX - 2 * LINE_BYTES)
		return NULL;
	n_bytes = LINE_BYTES + ((n_bytes + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1));
	if (!mem_charge(budget, n_bytes))
		return NULL;
	return begin_block(budget, aligned_alloc(LINE_BYTES, n_bytes), n_bytes, LINE_BYTES);
}

void *mem_resize(struct mem_budget *budget, void *p, size_t n, size_t item_bytes)
{
	size_t before, n_bytes;
	uint8_t *block;

	if (!p)
		return mem_new(budget, n, item_bytes);
	before = head_of(p)->n_bytes;
	/* While it moves, both are there. */
	if (!block_bytes(n, item_bytes, &n_bytes) || !mem_charge(budget, n_bytes))
		return NULL;
	block = realloc((uint8_t *)p - MEM_HEAD_BYTES, n_bytes);
	if (block)
		mem_release(budget, before);
	return begin_block(budget, block, n_bytes, MEM_HEAD_BYTES);
}

void mem_free(void *p)
{
	struct mem_head *head;

	if (!p)
		return;
	head = head_of(p);
	mem_release(head->budget, head->n_bytes);
	free((uint8_t *)p - head->offset_bytes);
}

/* Locked memory comes in pages. */
static size_t pages(size_t n_bytes)
{
	return (n_bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

void *mem_secret_new(struct mem_budget *budget, size_t n_bytes)
{
	void *p;

	if (!mem_charge(budget, pages(n_bytes)))
		return NULL;
	p = secret_alloc(n_bytes);
	if (!p)
		mem_release(budget, pages(n_bytes));
	return p;
}

void mem_secret_free(struct mem_budget *budget, void *p, size_t n_bytes)
{
	if (!p)
		return;
	secret_free(p, n_bytes);
	mem_release(budget, pages(n_bytes));
}

/* ---- slabs ---- */

void slab_init(struct slab *slab, size_t object_bytes, struct mem_budget *budget)
{
	*slab = (struct slab){.budget = budget,
		.object_bytes = (object_bytes + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1)};
}

void slab_fini(struct slab *slab)
{
	while (slab->chunks) {
		struct slab_chunk *chunk = slab->chunks;

		slab->chunks = chunk->next;
		mem_secret_free(slab->budget, chunk, CHUNK_BYTES);
	}
	slab->free = NULL;
}

static bool slab_grow(struct slab *slab)
{
	struct slab_chunk *chunk = mem_secret_new(slab->budget, CHUNK_BYTES);

	if (!chunk)
		return false;
	chunk->next = slab->chunks;
	slab->chunks = chunk;
	for (size_t at = sizeof *chunk; at + slab->object_bytes <= CHUNK_BYTES;
		at += slab->object_bytes) {
		struct slab_free *object = (struct slab_free *)((uint8_t *)chunk + at);

		object->next = slab->free;
		slab->free = object;
	}
	return true;
}

void *slab_get(struct slab *slab)
{
	if (!slab->free && !slab_grow(slab))
		return NULL;
	struct slab_free *object = slab->free;

	slab->free = object->next;
	object->next =
		NULL; /* the rest is zero already: wiped when freed, fresh from the system else */
	slab->n_used++;
	return object;
}

void slab_put(struct slab *slab, void *object)
{
	if (!object)
		return;
	secret_wipe(object, slab->object_bytes);
	((struct slab_free *)object)->next = slab->free;
	slab->free = object;
	slab->n_used--;
}

/* ---- counters ---- */

void sparse_init(struct sparse *sparse, size_t n_counters, struct mem_budget *budget)
{
	*sparse = (struct sparse){.budget = budget,
		.object_bytes = (n_counters * sizeof(uint32_t) + sizeof(struct slab_free) - 1) &
			~(sizeof(struct slab_free) - 1)};
}

void sparse_fini(struct sparse *sparse)
{
	while (sparse->chunks) {
		struct sparse_chunk *chunk = sparse->chunks;

		sparse->chunks = chunk->next;
		mem_free(chunk);
	}
	sparse->free = NULL;
	sparse->n_fresh = 0;
}

static bool sparse_grow(struct sparse *sparse)
{
	struct sparse_chunk *before = sparse->chunks, *chunk;
	size_t n_bytes = before ? before->n_bytes * 2 : SPARSE_CHUNK_MIN_BYTES;

	if (n_bytes > SPARSE_CHUNK_MAX_BYTES)
		n_bytes = SPARSE_CHUNK_MAX_BYTES;
	chunk = mem_new(sparse->budget, 1, n_bytes);
	if (!chunk)
		return false;
	*chunk = (struct sparse_chunk){.next = before, .n_bytes = n_bytes};
	sparse->chunks = chunk;
	sparse->n_fresh = (n_bytes - sizeof *chunk) / sparse->object_bytes;
	return true;
}

_Atomic uint32_t *sparse_get(struct sparse *sparse)
{
	struct slab_free *used = sparse->free;

	if (used) {
		sparse->free = used->next;
		memset(used, 0, sparse->object_bytes);
		return (_Atomic uint32_t *)used;
	}
	if (!sparse->n_fresh && !sparse_grow(sparse))
		return NULL;
	return (_Atomic uint32_t *)((uint8_t *)(sparse->chunks + 1) +
		--sparse->n_fresh * sparse->object_bytes);
}

void sparse_put(struct sparse *sparse, _Atomic uint32_t *counters)
{
	struct slab_free *used = (struct slab_free *)counters;

	if (!used)
		return;
	used->next = sparse->free;
	sparse->free = used;
}
