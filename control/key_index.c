/* key_index.c - see key_index.h. For sync.c, policy_run.c and factory_tell.c. */
#include "control/key_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_keys(const void *a, const void *b)
{
	return memcmp(*(const struct wgh_public_key *const *)a,
		*(const struct wgh_public_key *const *)b, sizeof(struct wgh_public_key));
}

int key_index_init(struct key_index *index, const void *first, size_t n, size_t size_bytes)
{
	*index = (struct key_index){.keys = calloc(n + 1, sizeof *index->keys)};
	if (!index->keys)
		return -ENOMEM;
	index->n = n;
	for (size_t i = 0; i < n; i++)
		index->keys[i] = (const void *)((const char *)first + i * size_bytes);
	qsort(index->keys, n, sizeof *index->keys, compare_keys);
	return 0;
}

void key_index_fini(struct key_index *index)
{
	free(index->keys);
	*index = (struct key_index){0};
}

const void *key_index_find(const struct key_index *index, const struct wgh_public_key *key)
{
	const struct wgh_public_key **found;

	if (!index->n)
		return NULL;
	found = bsearch(&key, index->keys, index->n, sizeof *index->keys, compare_keys);
	return found ? *found : NULL;
}
