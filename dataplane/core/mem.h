/* mem.h - memory of the control side: what is taken from the system, within a budget; a slab for
 * objects that hold keys, a sparse one for counters that mostly stay zero; and the list of what
 * must wait for the workers before it may be freed.
 * Threads: the control side only; the numbers of a budget may be read by anyone.
 */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include "crypto/secret.h"

#include <stdatomic.h>

/* What one hub may have. All of its memory is charged to it; a charge that would pass the limit is
 * refused and counted. */
struct mem_budget {
	size_t limit_bytes; /* 0: none */
	_Atomic size_t used_bytes, peak_bytes;
	_Atomic uint64_t n_refused;
};

/* False: refused. NULL for budget is no budget, here and below. */
MUST_CHECK bool mem_charge(struct mem_budget *budget, size_t n_bytes);
void mem_release(struct mem_budget *budget, size_t n_bytes);

/* Before each block: whom it is charged to. */
#define MEM_HEAD_BYTES 32u
/* Zeroed. NULL: no memory, or the budget refuses. n may be 0. */
MUST_CHECK void *mem_new(struct mem_budget *budget, size_t n, size_t item_bytes);
/* From the start of a cache line, not zeroed. */
MUST_CHECK void *mem_new_lines(struct mem_budget *budget, size_t n_bytes);
/* Of mem_new(); what is new in it is not zeroed. NULL: p is as it was. p may be NULL. */
MUST_CHECK void *mem_resize(struct mem_budget *budget, void *p, size_t n, size_t item_bytes);
/* Whoever it was charged to. NULL is fine. */
void mem_free(void *p);
/* secret_alloc() within the budget. */
MUST_CHECK void *mem_secret_new(struct mem_budget *budget, size_t n_bytes);
void mem_secret_free(struct mem_budget *budget, void *p, size_t n_bytes);

/* Objects of one size in locked memory that stays out of core dumps. Freed objects are wiped and
 * reused; the slab's own memory goes back at slab_fini(). */
struct slab {
	struct mem_budget *budget;
	size_t object_bytes;
	struct slab_chunk *chunks;
	struct slab_free *free;
	size_t n_used;
};

/* object_bytes is rounded up to whole cache lines. */
void slab_init(struct slab *slab, size_t object_bytes, struct mem_budget *budget);
void slab_fini(struct slab *slab);
/* Zeroed, aligned to a cache line. NULL: no memory. */
MUST_CHECK void *slab_get(struct slab *slab);
void slab_put(struct slab *slab, void *object);

/* Arrays of counters, all of one length, which nobody but their user touches: the system gives a
 * page when something in it is counted for the first time. Until then, they cost the budget and
 * nothing else. */
struct sparse {
	struct mem_budget *budget;
	size_t object_bytes;
	struct sparse_chunk *chunks;
	size_t n_fresh; /* objects of the first chunk that were never given out */
	struct slab_free *free;
};

void sparse_init(struct sparse *sparse, size_t n_counters, struct mem_budget *budget);
void sparse_fini(struct sparse *sparse);
/* Zeroed. NULL: no memory. */
MUST_CHECK _Atomic uint32_t *sparse_get(struct sparse *sparse);
void sparse_put(struct sparse *sparse, _Atomic uint32_t *counters);

/* Embedded in what workers may still be reading. Retire it once nothing new can find it; free it
 * after every worker has passed the end of a batch. */
struct retired {
	struct retired *next;
	void (*free)(struct retired *item, void *arg);
};

#endif
