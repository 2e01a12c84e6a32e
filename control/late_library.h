/* late_library.h - shared libraries that only some hubs need, loaded when one does.
 *
 * Linked as usual, they and all they need would be in every process: libcurl takes 3.0 MB of
 * resident memory, libmicrohttpd with GnuTLS 2.5. A library's user has a struct of pointers to its
 * functions, with the types of its header, and calls through that. Load it before sandbox_enter(),
 * for files may be closed afterwards; it stays until the process ends. Threads: the main thread.
 * Fails: with words that name the library and its package.
 */
#ifndef CONTROL_LATE_LIBRARY_H
#define CONTROL_LATE_LIBRARY_H

#include "crypto/secret.h"
#include "wghub_device.h"

struct late_library {
	const char *file; /* its soname */
	const char *package; /* Debian's name for it */
	const char *const *names; /* of n functions */
	size_t n;
	void *functions; /* a struct of n pointers in the order of names */
	bool is_loaded;
};

/* 0 also where it was loaded before. -ENOENT. */
MUST_CHECK int late_library_load(struct late_library *library, struct wgh_error *error);

#endif
