/* file.h - small files read whole and replaced whole: credentials, clients, hosts, state.
 *
 * A reader sees the old file or the new one: written beside it, fsync, rename, fsync of the folder.
 * Where path is a link, what it leads to is replaced and the link stays. Memory that held a file is
 * wiped. What only root may do goes through the keeper if there is one. Threads: any; no state.
 * Cost: system calls that wait for the disk; where a loop must not wait, call from a worker of
 * uv_queue_work(). Errors: negative errno, and one line.
 */
#ifndef CONTROL_FILE_H
#define CONTROL_FILE_H

#include "crypto/secret.h"
#include "wghub_device.h"

#include <sys/stat.h>

struct file_text {
	char *bytes; /* a zero byte follows */
	size_t n;
	mode_t mode;
	int64_t mtime_ns; /* of CLOCK_REALTIME: differs when the file was written */
	uint64_t inode;
};

/* -ENOENT, -EFBIG (larger than max_bytes), -EINVAL (not a plain file), and open()'s and read()'s.
 */
MUST_CHECK int file_read(
	struct file_text *text, const char *path, size_t max_bytes, struct wgh_error *error);
/* Opens for reading, as file_read() does; stat(). Negative errno. */
MUST_CHECK int file_open(const char *path);
MUST_CHECK int file_stat(const char *path, struct stat *st);
/* A plain file, made with mode 0600 where there is none, and never a link: who may write in its
 * folder shall not choose another file. Negative errno. */
MUST_CHECK int file_open_append(const char *path);
/* Wipes. A zeroed struct is fine. */
void file_text_fini(struct file_text *text);

/* The exclusive lock of all who change path: flock() on the neighbour "PATH.lock", which stays.
 * Waits up to wait_ms, then -EAGAIN: another process has it. */
MUST_CHECK int file_lock(int *lock_fd, const char *path, unsigned wait_ms, struct wgh_error *error);
void file_unlock(int lock_fd);

enum file_flags {
	FILE_LIKE_BEFORE = 1u << 0, /* owner and mode of the present file; mode is for a new one */
	/* Where the folder or rename() refuses (a file bind-mounted into a container, a folder that
	 * is read-only): one pwrite() into the file itself. */
	FILE_IN_PLACE_OK = 1u << 1,
};

/* For whoever wants to know what happened: path becomes PATH.damaged, which is overwritten. */
MUST_CHECK int file_put_aside(const char *path);

/* On an error the old file is as it was, but for an in-place write that the disk cut short. */
MUST_CHECK int file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
	unsigned flags, struct wgh_error *error);

#endif
