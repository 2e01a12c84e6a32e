/* sandbox.h - what the process gives up once it has started: root, capabilities, files, system
 * calls.
 *
 *	sandbox_begin      before any thread: no_new_privs, the keeper where we are root
 *	sandbox_thread     first thing in each thread of the data path
 *	sandbox_allow_file for each file that is needed later
 *	sandbox_enter      when all that needs root is open: main, and what threads it starts then
 *
 * Threads of the data path, which meet every byte from the network first, can afterwards open
 * nothing and start nothing (to try to ends the process); they use what is open. The main thread
 * has no rights of root but those that are asked for, starts no program, and reaches only the
 * files it needs; what only root may read or write goes through the keeper. What this kernel
 * cannot do is said in the log, and left out. In builds with a sanitizer, which need
 * what is forbidden here, nothing of all that happens.
 */
#ifndef CONTROL_SANDBOX_H
#define CONTROL_SANDBOX_H

#include "crypto/secret.h"
#include "wghub_device.h"

struct sandbox_options {
	bool off;
	const char *user; /* to become instead of root; NULL: wghub, where there is none nobody */
	/* Capabilities to keep, if they are there. */
	bool net_admin; /* to set up the interface and marks */
	bool bind_service; /* ports below 1024 */
};

MUST_CHECK int sandbox_begin(const struct sandbox_options *options, struct wgh_error *error);
/* Later changes of path are possible if write. The path is as it will be used. NULL is fine. */
MUST_CHECK int sandbox_allow_file(const char *path, bool write, struct wgh_error *error);
/* The same, but it is only added to. */
MUST_CHECK int sandbox_allow_append(const char *path, struct wgh_error *error);
MUST_CHECK int sandbox_enter(struct wgh_error *error);
void sandbox_thread(void);
/* Waits for the keeper. */
void sandbox_end(void);

/* The keeper's own; 0 or negative errno. */
MUST_CHECK int sandbox_enter_keeper(void);
/* The hook's own: the hub's user without any capability, but free to start programs. */
MUST_CHECK int sandbox_enter_hook(void);

#endif
