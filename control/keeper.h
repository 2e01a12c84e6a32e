/* keeper.h - a small second process that keeps root's rights on a fixed list of files, so that the
 * hub itself can do without: it reads configuration and credentials, writes state and hosts,
 * removes the hub's socket, for the hub and on request. Whoever takes the hub over can ask for
 * these files and for nothing else: the list is closed before the first packet arrives.
 *
 * Used by file.h alone, where the hub's own rights are not enough. Threads: any, one at a time
 * (a lock). Costs: a process of a few hundred KiB, a round trip for each request. Fails: where
 * there is no keeper or the path is not on its list, -EACCES, as the system said before.
 */
#ifndef CONTROL_KEEPER_H
#define CONTROL_KEEPER_H

#include "crypto/secret.h"
#include "wghub_device.h"

#include <sys/stat.h>

#define KEEPER_FILES_MAX 32

/* Starts it; the process must have no threads yet. It ends when this process does, and passes
 * signals over. */
MUST_CHECK int keeper_start(struct wgh_error *error);
enum keeper_right {
	KEEPER_READ,
	KEEPER_WRITE, /* and to read it */
	KEEPER_APPEND, /* and to make it, but not to change what is in it; and to read it */
};
/* Until keeper_close_list(): one more path, copied. Also without a keeper: what the hub's own files
 * are. */
MUST_CHECK int keeper_allow(const char *path, enum keeper_right right);
struct kept_file {
	char *path;
	enum keeper_right right;
};
const struct kept_file *keeper_files(unsigned *n);
/* The list is final; the keeper gives up all other rights. */
MUST_CHECK int keeper_close_list(void);
/* Waits for its end. */
void keeper_stop(void);

/* An open descriptor for reading. */
MUST_CHECK int keeper_open(const char *path);
MUST_CHECK int keeper_stat(const char *path, struct stat *st);
/* As file_open_append(); needs the right to append. */
MUST_CHECK int keeper_open_append(const char *path);
/* These need the right to write; as the functions of file.h without the keeper_. */
MUST_CHECK int keeper_lock(int *fd, const char *path, unsigned wait_ms);
MUST_CHECK int keeper_replace(
	const char *path, const void *bytes, size_t n, mode_t mode, unsigned flags);
MUST_CHECK int keeper_put_aside(const char *path);
MUST_CHECK int keeper_remove_socket(const char *path);

#endif
