/* error.c - see error.h. */
#include "control/error.h"

#include <stdarg.h>
#include <stdio.h>

void error_set(struct wgh_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
}
