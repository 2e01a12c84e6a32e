/* top_view.h - `wghub top` as lines of text: a screen of given size, or all of it for a file.
 *
 * Pure: a model and what the person at the keys wants go in, lines come out, one call for each. On
 * a screen no line is wider than it and there are no more than fit, however small it is. Lines hold
 * printable characters only; a style says how to show one. Threads: one. Cost: no allocation; time
 * for each peer in the order, for the widths of columns.
 */
#ifndef CONTROL_TOP_VIEW_H
#define CONTROL_TOP_VIEW_H

#include "control/top_model.h"

#define TOP_FILTER_BYTES 64

struct top_view {
	const char *hub; /* its name */
	unsigned rows, cols; /* rows 0: no screen; every peer and drop, as wide as need be */
	bool utf8;
	unsigned interval_ms;
	enum top_sort sort;
	char filter[TOP_FILTER_BYTES];
	bool typing; /* the filter */
	bool paused, help;
	size_t first; /* the peer at the top of the table; put right when it is drawn */
	size_t page; /* out: peers that fit */
};

enum top_style { TOP_PLAIN, TOP_STRONG, TOP_HEADING, TOP_FAINT, TOP_ALARM };

typedef void top_line_fn(void *arg, enum top_style style, const char *text);

/* The model's order must be that of the view: top_model_order(). */
void top_view_draw(
	struct top_view *view, const struct top_model *model, top_line_fn *line, void *arg);
const char *top_sort_name(enum top_sort sort);

#endif
