/* note_once.h - notes on a text that is read again each minute: logged when they are not those of
 * the time before. Threads: the main thread. A zeroed struct has seen none.
 */
#ifndef CONTROL_NOTE_ONCE_H
#define CONTROL_NOTE_ONCE_H

#include "control/notes.h"

struct note_once {
	uint64_t hash; /* of the notes last seen */
};

/* Are these other notes than the time before? */
MUST_CHECK bool note_once_is_new(struct note_once *seen, const struct notes *notes);
/* what: which text; for the log. */
void note_once_log(struct note_once *seen, const char *what, const struct notes *notes);

#endif
