/* notes.h - what a reader has to say about its text without giving up: lines for the log and for
 * `wghub status`.
 *
 * Every line is printable (text_escape()) and bounded. Adding never fails: beyond NOTES_MAX lines,
 * or without memory, they are only counted. Threads: one at a time per object. A zeroed struct is
 * empty.
 */
#ifndef CONTROL_NOTES_H
#define CONTROL_NOTES_H

#include "crypto/secret.h"

#define NOTES_MAX 64
#define NOTE_CHARS 320

struct notes {
	char **lines;
	size_t n, cap;
	size_t n_left_out;
};

/* notes may be NULL: nobody wants to know. */
void notes_add(struct notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));
void notes_fini(struct notes *notes);

#endif
