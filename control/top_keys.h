/* top_keys.h - what the keys of `wghub top` do to its view.
 *
 * Pure: bytes of a terminal go in. Threads: one. Cost: none worth a word.
 */
#ifndef CONTROL_TOP_KEYS_H
#define CONTROL_TOP_KEYS_H

#include "control/top_view.h"

struct top_keys {
	uint8_t state; /* what of an escape sequence has been seen */
	uint8_t param; /* its number */
};

/* Takes what was read at once: an Escape at its end is the key, not the begin of a sequence. False:
 * quit. */
MUST_CHECK bool top_keys_take(
	struct top_keys *keys, struct top_view *view, const char *bytes, size_t n);

#endif
