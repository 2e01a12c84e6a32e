/* mem.h - two allocators of the control side: a slab for objects that hold keys, and the list of
 * what must wait for the workers before it may be freed. Threads: the control side only.
 */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include "crypto/secret.h"

/* Objects of one size in locked memory that stays out of core dumps. Freed objects are wiped and
 * reused; the slab's own memory goes back at slab_fini(). */
struct slab {
	size_t object_bytes;
	struct slab_chunk *chunks;
	struct slab_free *free;
	size_t n_used;
};

/* object_bytes is rounded up to whole cache lines. */
void slab_init(struct slab *slab, size_t object_bytes);
void slab_fini(struct slab *slab);
/* Zeroed, aligned to a cache line. NULL: no memory. */
MUST_CHECK void *slab_get(struct slab *slab);
void slab_put(struct slab *slab, void *object);

/* Embedded in what workers may still be reading. Retire it once nothing new can find it; free it
 * after every worker has passed the end of a batch. */
struct retired {
	struct retired *next;
	void (*free)(struct retired *item, void *arg);
};

#endif
