/* session.h - our 32-bit session indices: which keypair, or which handshake of ours, a message is
 * meant for.
 *
 * An index is a fresh random number, unique over keypairs and handshakes together, dead as soon as
 * it is removed. Threads: session_keypair() from any worker without a lock; everything else on the
 * control side. Cost: open addressing by the index itself (it is random), at most half full: one or
 * two cache lines.
 */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include "core/keypair.h"

#define SESSION_HANDSHAKE ((uintptr_t)1)
#define SESSION_DEAD ((uintptr_t)2)

struct session_entry {
	uint32_t index; /* never changes while the array lives */
	_Atomic uintptr_t target; /* 0: never used; SESSION_DEAD; a keypair; or a peer with
				     SESSION_HANDSHAKE */
};

struct session_array {
	struct retired retired;
	uint32_t mask, n_used; /* n_used counts the dead ones too */
	struct session_entry entries[];
};

struct session_table {
	_Atomic(struct session_array *) array;
	struct mem_budget *budget;
	uint32_t n_live;
};

MUST_CHECK int session_init(struct session_table *table, struct mem_budget *budget);
void session_fini(struct session_table *table);

/* What workers ask. NULL: no keypair has this index. A dead entry says nothing: the index may have
 * been given again since, further on. */
static inline struct keypair *session_keypair(const struct session_array *array, uint32_t index)
{
	for (uint32_t at = index & array->mask;; at = (at + 1) & array->mask) {
		uintptr_t target =
			atomic_load_explicit(&array->entries[at].target, memory_order_acquire);

		if (!target)
			return NULL;
		if (array->entries[at].index == index && target != SESSION_DEAD)
			return target & SESSION_HANDSHAKE ? NULL : (struct keypair *)target;
	}
}

/* Is the index in use for anything? */
bool session_taken(const struct session_table *table, uint32_t index);
/* *old gets an array to retire, or NULL. -ENOMEM: nothing changed. The index must be free. */
MUST_CHECK int session_add_keypair(
	struct session_table *table, struct keypair *keypair, struct session_array **old);
MUST_CHECK int session_add_handshake(
	struct session_table *table, uint32_t index, struct peer *peer, struct session_array **old);
/* The peer whose handshake of ours has this index, or NULL. */
struct peer *session_handshake(const struct session_table *table, uint32_t index);
/* Turns a handshake's index into its keypair's: the same number goes on. */
void session_promote(struct session_table *table, struct keypair *keypair);
void session_remove(struct session_table *table, uint32_t index);

#endif
