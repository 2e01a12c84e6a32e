/* replay.c - marks every transport counter of a keypair once, in a ring of words.
 * The word that the greatest counter moves into is cleared on the way, so no shifting and no more
 * work for a jump of 2^60 than for one of 8192. Costs: one word for a packet in order. Cannot fail.
 */
#include "core/replay.h"

#include "core/limits.h"

#include <string.h>

#define WORDS (REPLAY_BITS / 64)

void replay_init(struct replay *replay)
{
	memset(replay, 0, sizeof *replay);
}

bool replay_accept(struct replay *replay, uint64_t counter)
{
	const uint64_t bit = UINT64_C(1) << counter % 64;
	uint64_t *word = &replay->ring[counter / 64 % WORDS];

	if (counter >= REJECT_AFTER_MESSAGES)
		return false;
	if (counter < replay->next) {
		const uint64_t greatest = replay->next - 1;
		if (greatest - counter > REPLAY_WINDOW || *word & bit)
			return false;
		*word |= bit;
		return true;
	}
	if (replay->next) { /* before the first counter the ring is clear */
		const uint64_t last = (replay->next - 1) / 64;
		uint64_t n_new = counter / 64 - last;
		if (n_new > WORDS)
			n_new = WORDS;
		for (uint64_t i = 1; i <= n_new; i++)
			replay->ring[(last + i) % WORDS] = 0;
	}
	*word |= bit;
	replay->next = counter + 1;
	return true;
}
