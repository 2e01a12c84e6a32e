/* replay.h - the sliding window that accepts every transport counter once.
 * Source: RFC 6479 as WireGuard uses it: a ring of 8192 bits, one word of it redundant, so that
 * counters up to 8128 below the greatest are accepted once. Threads: none of its own; the keypair's
 * lock guards it.
 */
#ifndef CORE_REPLAY_H
#define CORE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_BITS 8192u
#define REPLAY_WINDOW (REPLAY_BITS - 64u)

struct replay {
	uint64_t next; /* one above the greatest accepted counter; 0 before the first */
	uint64_t ring[REPLAY_BITS / 64];
};

void replay_init(struct replay *replay);
/* Checks and marks in one step. False: seen before, too old, or at REJECT_AFTER_MESSAGES or above
 * (which does not move the window). */
bool replay_accept(struct replay *replay, uint64_t counter);

#endif
