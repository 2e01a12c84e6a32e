/* error.h - what is wrong, in words, for the caller who wants to know. */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include "wghub.h"

#include <stdio.h>

/* error may be NULL. Gives err back. */
static inline int error_fail(struct wgh_error *error, int err, const char *what)
{
	if (error)
		snprintf(error->text, sizeof error->text, "%s", what);
	return err;
}

#endif
