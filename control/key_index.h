/* key_index.h - structs of a list found by the public key they begin with: running peers, peers of
 * a file, changes of peers.
 *
 * Cost: n log n to make, log n to find; a pointer for each. Threads: any; pure. Ownership: borrows
 * the list, which must neither move nor change its keys meanwhile. Of two with one key either may
 * be found.
 */
#ifndef CONTROL_KEY_INDEX_H
#define CONTROL_KEY_INDEX_H

#include "crypto/secret.h"
#include "wghub_device.h"

struct key_index {
	const struct wgh_public_key **keys; /* sorted */
	size_t n;
};

/* Beside the type, or where it is used: a list of these can be indexed. */
#define KEY_INDEX_CAN_HOLD(type)                                                                   \
	_Static_assert(offsetof(type, public_key) == 0, #type " begins with its key")

/* first: n structs of size_bytes each; NULL if there are none. key_index_fini() it. -ENOMEM: index
 * is empty. */
MUST_CHECK int key_index_init(
	struct key_index *index, const void *first, size_t n, size_t size_bytes);
/* Also one that is all zero. */
void key_index_fini(struct key_index *index);
/* The struct of the list that begins with key, or NULL. */
const void *key_index_find(const struct key_index *index, const struct wgh_public_key *key);

#endif
