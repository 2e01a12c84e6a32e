/* mem.c - see mem.h. Chunks of 64 KiB, each one locked allocation; free objects form a list inside
 * them. */
#include "core/mem.h"

#include <string.h>

#define CHUNK_BYTES (64u << 10)
#define LINE_BYTES 64u

struct slab_chunk {
	_Alignas(LINE_BYTES) struct slab_chunk *next;
};

struct slab_free {
	struct slab_free *next;
};

void slab_init(struct slab *slab, size_t object_bytes)
{
	*slab = (struct slab){
		.object_bytes = (object_bytes + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1)};
}

void slab_fini(struct slab *slab)
{
	while (slab->chunks) {
		struct slab_chunk *chunk = slab->chunks;

		slab->chunks = chunk->next;
		secret_free(chunk, CHUNK_BYTES);
	}
	slab->free = NULL;
}

static bool slab_grow(struct slab *slab)
{
	struct slab_chunk *chunk = secret_alloc(CHUNK_BYTES);

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
