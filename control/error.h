/* error.h - filling struct wgh_error: one line that says what, where and what to do.
 * Threads: any; no state. Cost: none to speak of. Text beyond the struct's room is cut.
 */
#ifndef CONTROL_ERROR_H
#define CONTROL_ERROR_H

#include "wghub_device.h"

void error_set(struct wgh_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
