/* keypair.h - the transport keys of one handshake.
 *
 * Life: made by the control side when a handshake completes, found by workers through the session
 * table and the peer's slots, unlinked by the control side, wiped and freed once every worker has
 * passed a batch end. Threads: fields marked atomic are shared by workers; the rest never changes
 * after publication. Memory: about 1.2 KiB, at most three for a peer.
 */
#ifndef CORE_KEYPAIR_H
#define CORE_KEYPAIR_H

#include "core/limits.h"
#include "core/mem.h"
#include "core/replay.h"
#include "core/spin.h"
#include "core/time.h"
#include "crypto/secret.h"

#include <stdatomic.h>

struct peer;

struct keypair {
	struct sym_key receive, send;

	struct peer *peer; /* outlives its keypairs */
	uint64_t created_ns;
	uint32_t local_index, remote_index;
	bool initiator;
	_Atomic bool unconfirmed; /* responder's "next": nothing was received under it yet */
	_Atomic bool renewal_asked; /* initiator received under it late in its life; asked once */
	_Atomic uint64_t send_counter; /* next to use; reserved for a whole batch at once */

	struct spin replay_lock; /* held for one run of packets */
	struct replay replay;

	struct retired retired;
};

static inline bool keypair_expired(const struct keypair *keypair, uint64_t now_ns)
{
	return time_reached(now_ns, keypair->created_ns + REJECT_AFTER_TIME_NS);
}

/* Takes n counters; false if that many are not left, and then the key is dead for sending. */
static inline bool keypair_reserve(struct keypair *keypair, uint32_t n, uint64_t *first)
{
	*first = relaxed_add(&keypair->send_counter, n);
	if (*first < REJECT_AFTER_MESSAGES && n <= REJECT_AFTER_MESSAGES - *first)
		return true;
	relaxed_set(&keypair->send_counter, REJECT_AFTER_MESSAGES); /* never wraps */
	return false;
}

/* Time to have a new one: too many messages, or, for the initiator, too old. */
static inline bool keypair_wants_renewal(const struct keypair *keypair, uint64_t now_ns)
{
	return relaxed_get(&keypair->send_counter) > REKEY_AFTER_MESSAGES ||
		(keypair->initiator &&
			time_reached(now_ns, keypair->created_ns + REKEY_AFTER_TIME_NS));
}

#endif
