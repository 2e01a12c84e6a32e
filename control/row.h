/* row.h - one line of a terminal: text put into columns, never wider than it may be.
 *
 * Whatever is put, the row holds printable characters only, each as wide as the terminal draws it,
 * so no text from outside can move the cursor or push its neighbours away. Widths are libc's for
 * the locale of the caller (LC_CTYPE). Threads: any; no state. Cost: no allocation.
 */
#ifndef CONTROL_ROW_H
#define CONTROL_ROW_H

#include "crypto/secret.h"

#define ROW_COLS_MAX 1024

struct row {
	char text[ROW_COLS_MAX * 4 +
		1024]; /* ends with a zero byte; marks without a width have room too */
	size_t n;
	unsigned used, cols;
	bool utf8; /* else all that is not ASCII becomes '?' */
};

/* cols: how wide it may become; more than ROW_COLS_MAX is that. */
void row_init(struct row *row, unsigned cols, bool utf8);
/* As much of it as fits. */
void row_put(struct row *row, const char *text);
void row_printf(struct row *row, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Exactly this many columns, or as many as are left: padded, or cut with a mark at its end. */
void row_field(struct row *row, const char *text, unsigned cols, bool right);
/* Spaces up to that column. */
void row_fill(struct row *row, unsigned cols);
/* How many columns the text takes in a row. */
unsigned row_width(const char *text, bool utf8);

/* The last n of these values as bars, the largest as high as can be; below 0: a gap. */
void row_spark(struct row *row, const float *values, size_t n);

#endif
