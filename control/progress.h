/* progress.h - a line for the person who waits: on standard error, where that is a terminal.
 *
 * What takes less than a second says nothing. Only the command line calls this. Threads: the main
 * one; the line is written by one of its own between begin and end, so that whoever waits may wait
 * as he likes: nothing else is printed meanwhile. Cost: a thread, on a terminal only.
 */
#ifndef CONTROL_PROGRESS_H
#define CONTROL_PROGRESS_H

#include "crypto/secret.h"

/* From a second on: "what, 3 s", until the end. what: a constant. Within another one nothing more
 * is said. */
void progress_begin(const char *what);
/* Takes the line away. */
void progress_end(void);

/* At once, in place of the line before; NULL: none. */
void progress_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
