/* file.c - see file.h. The new text is written to ".NAME.new" in the folder of the file, so that
 * rename() stays on one file system and a crash leaves at most that one file, which the next write
 * removes. One writer at a time: the callers hold file_lock() or are the only ones by design. */
#include "control/file.h"

#include "control/error.h"
#include "control/keeper.h"
#include "control/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SHOWN_CHARS 120
#define LOCK_RETRY_NS 10000000 /* 10 ms */

static int fail(struct wgh_error *error, const char *path, const char *what, int err)
{
	char shown[SHOWN_CHARS];

	text_escape(shown, sizeof shown, path, strlen(path));
	error_set(error, "%s: %s: %s", shown, what, strerror(-err));
	return err;
}

/* ---- reading ---- */

static int read_all(int fd, char *bytes, size_t size, size_t *n)
{
	*n = 0;
	while (*n < size) {
		ssize_t got = read(fd, bytes + *n, size - *n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break; /* it became shorter meanwhile: what is there decides */
		*n += (size_t)got;
	}
	bytes[*n] = 0;
	return 0;
}

static int read_fd(
	struct file_text *text, int fd, const char *path, size_t max_bytes, struct wgh_error *error)
{
	struct file_text t = {0};
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return fail(error, path, "cannot be read", -errno);
	if (!S_ISREG(st.st_mode))
		return fail(error, path, "not a plain file", -EINVAL);
	if (st.st_size < 0 || (uint64_t)st.st_size > max_bytes)
		return fail(error, path, "cannot be read", -EFBIG);
	t.bytes = malloc((size_t)st.st_size + 1);
	if (!t.bytes)
		return fail(error, path, "cannot be read", -ENOMEM);
	err = read_all(fd, t.bytes, (size_t)st.st_size, &t.n);
	if (err) {
		file_text_fini(&t);
		return fail(error, path, "cannot be read", err);
	}
	t.mode = st.st_mode & 07777;
	t.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	t.inode = st.st_ino;
	*text = t;
	return 0;
}

/* Has root more rights here than we? */
static bool is_refusal(int err)
{
	return err == -EACCES || err == -EPERM;
}

int file_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0)
		return fd;
	return is_refusal(-errno) ? keeper_open(path) : -errno;
}

int file_open_append(const char *path)
{
	int fd = open(path,
		O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW,
		0600);
	struct stat st;

	if (fd < 0)
		return is_refusal(-errno) ? keeper_open_append(path) : -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EINVAL;
}

int file_stat(const char *path, struct stat *st)
{
	if (stat(path, st) == 0)
		return 0;
	return is_refusal(-errno) ? keeper_stat(path, st) : -errno;
}

int file_read(struct file_text *text, const char *path, size_t max_bytes, struct wgh_error *error)
{
	int fd = file_open(path);
	int err;

	*text = (struct file_text){0};
	if (fd < 0)
		return fail(error, path, "cannot be opened", fd);
	err = read_fd(text, fd, path, max_bytes, error);
	close(fd);
	return err;
}

void file_text_fini(struct file_text *text)
{
	if (text->bytes)
		secret_wipe(text->bytes, text->n);
	free(text->bytes);
	*text = (struct file_text){0};
}

/* ---- where a path really is ---- */

struct place {
	char path[PATH_MAX]; /* links followed */
	char folder[PATH_MAX];
	char temporary[PATH_MAX + 8];
};

static int place_find(struct place *p, const char *path)
{
	char *slash;
	int n;

	if (strlen(path) >= sizeof p->path - 8)
		return -ENAMETOOLONG;
	if (!realpath(path, p->path))
		strcpy(p->path, path); /* new, or what is wrong shows when it is opened */
	strcpy(p->folder, p->path);
	slash = strrchr(p->folder, '/');
	if (!slash) {
		strcpy(p->folder, ".");
		n = snprintf(p->temporary, sizeof p->temporary, ".%s.new", p->path);
	} else {
		*slash = 0;
		n = snprintf(p->temporary, sizeof p->temporary, "%s/.%s.new", p->folder, slash + 1);
		if (slash == p->folder)
			strcpy(p->folder, "/");
	}
	return n < 0 || (size_t)n >= sizeof p->temporary ? -ENAMETOOLONG : 0;
}

/* ---- locking ---- */

/* Where the folder refuses a new file, the file itself is locked: it can only be written in place
 * there, so it stays the same one. */
static int open_lock(const struct place *p)
{
	char lock[PATH_MAX + 8];
	int fd;

	snprintf(lock, sizeof lock, "%s.lock", p->path);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0 && (errno == EROFS || is_refusal(-errno)))
		fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int wait_for_lock(int fd, unsigned wait_ms)
{
	const struct timespec pause = {.tv_nsec = LOCK_RETRY_NS};
	unsigned tries = wait_ms / (LOCK_RETRY_NS / 1000000) + 1;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EINTR && (errno != EWOULDBLOCK || --tries == 0))
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int file_lock(int *lock_fd, const char *path, unsigned wait_ms, struct wgh_error *error)
{
	struct place place;
	int fd, err;

	/* First, because another user would lock the file, and root its neighbour. */
	err = keeper_lock(lock_fd, path, wait_ms);
	if (err == -EAGAIN)
		return fail(error, path, "another process is changing it", err);
	if (!err)
		return 0;
	err = place_find(&place, path);
	fd = err ? err : open_lock(&place);
	if (fd == -ENOENT)
		return fail(error, place.folder, "this folder is needed and must be made", fd);
	if (fd < 0)
		return fail(error, path, "cannot be locked", fd);
	err = wait_for_lock(fd, wait_ms);
	if (!err) {
		*lock_fd = fd;
		return 0;
	}
	close(fd);
	return fail(error, path, "another process is changing it", err);
}

void file_unlock(int lock_fd)
{
	if (lock_fd >= 0)
		close(lock_fd);
}

/* ---- writing ---- */

static int write_all(int fd, const char *bytes, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t put = pwrite(fd, bytes + done, n - done, (off_t)done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		done += (size_t)put;
	}
	return 0;
}

static int sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	/* Some file systems have no such operation: then there is nothing to wait for. */
	if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS)
		err = -errno;
	close(fd);
	return err;
}

/* The temporary file, complete and on the disk. */
static int write_temporary(
	const struct place *p, const void *bytes, size_t n, mode_t mode, const struct stat *like)
{
	int fd, err = 0;

	if (unlink(p->temporary) < 0 && errno != ENOENT)
		return -errno;
	fd = open(p->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (like && (like->st_uid != geteuid() || like->st_gid != getegid()) &&
		fchown(fd, like->st_uid, like->st_gid) < 0)
		err = -errno;
	if (!err)
		err = write_all(fd, bytes, n);
	if (!err && fchmod(fd, like ? like->st_mode & 07777 : mode) < 0)
		err = -errno;
	if (!err && fsync(fd) < 0)
		err = -errno;
	close(fd);
	if (err)
		unlink(p->temporary);
	return err;
}

/* Room first: a full disk must not leave half a file. */
static int write_in_place(const struct place *p, const void *bytes, size_t n)
{
	int fd = open(p->path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), err = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (n && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)n) < 0 &&
		(errno == ENOSPC || errno == EDQUOT))
		err = -errno;
	if (!err)
		err = write_all(fd, bytes, n);
	if (!err && ftruncate(fd, (off_t)n) < 0)
		err = -errno;
	if (!err && fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int replace(const char *path, const void *bytes, size_t n, mode_t mode, unsigned flags)
{
	struct place place;
	struct stat st;
	int err = place_find(&place, path);
	bool there, in_place = false;

	if (err)
		return err;
	there = stat(place.path, &st) == 0;
	err = write_temporary(
		&place, bytes, n, mode, there && (flags & FILE_LIKE_BEFORE) ? &st : NULL);
	if (err == -EROFS || is_refusal(err)) {
		in_place = true;
	} else if (!err && rename(place.temporary, place.path) < 0) {
		err = -errno;
		in_place = err == -EBUSY || err == -EXDEV;
		unlink(place.temporary);
	}
	if (in_place && there && (flags & FILE_IN_PLACE_OK))
		return write_in_place(&place, bytes, n);
	return err ? err : sync_folder(place.folder);
}

int file_replace(const char *path, const void *bytes, size_t n, mode_t mode, unsigned flags,
	struct wgh_error *error)
{
	int err = keeper_replace(path, bytes, n, mode, flags);

	if (err == -EACCES)
		err = replace(path, bytes, n, mode, flags);
	return err ? fail(error, path, "cannot be written", err) : 0;
}

int file_put_aside(const char *path)
{
	char aside[PATH_MAX];

	if ((size_t)snprintf(aside, sizeof aside, "%s.damaged", path) >= sizeof aside)
		return -ENAMETOOLONG;
	if (rename(path, aside) == 0)
		return 0;
	return is_refusal(-errno) ? keeper_put_aside(path) : -errno;
}
