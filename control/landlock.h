/* landlock.h - which files a thread, and those it starts afterwards, can still reach: Linux's
 * Landlock, without a library, for libc has no functions for it yet.
 *
 * Use: begin, allow for each path, enter. A path that does not exist is passed over. What is open
 * stays usable. Threads: the calling one. Fails: -EOPNOTSUPP or -ENOSYS where the kernel has none
 * of it (before 5.13, or switched off); the caller goes on without.
 */
#ifndef CONTROL_LANDLOCK_H
#define CONTROL_LANDLOCK_H

#include "crypto/secret.h"

enum landlock_rights {
	LANDLOCK_READ = 1u << 0, /* files, and what is in folders */
	LANDLOCK_WRITE = 1u << 1, /* what is in files */
	LANDLOCK_MAKE = 1u << 2, /* plain files: make, rename, remove; also removes sockets */
};

/* A descriptor, or negative errno. */
MUST_CHECK int landlock_begin(void);
/* Everything below path. 0 also where it does not exist. */
MUST_CHECK int landlock_allow(int ruleset, const char *path, unsigned rights);
/* Closes ruleset in any case. Needs no_new_privs or CAP_SYS_ADMIN. */
MUST_CHECK int landlock_enter(int ruleset);

#endif
