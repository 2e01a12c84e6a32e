/* uapi_socket.c - see uapi_socket.h. Used by the server (make, adopt) and by show and down
 * (connect). */
#include "control/uapi_socket.h"

#include "control/error.h"
#include "control/keeper.h"
#include "control/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

const char *uapi_socket_default_dir(void)
{
	static char dir[128];
	const char *runtime;

	if (geteuid() == 0)
		return "/var/run/wireguard";
	runtime = getenv("XDG_RUNTIME_DIR");
	if (!runtime || runtime[0] != '/' ||
		(size_t)snprintf(dir, sizeof dir, "%s/wireguard", runtime) >= sizeof dir)
		return NULL;
	return dir;
}

int uapi_socket_path(
	struct sockaddr_un *addr, const char *dir, const char *ifname, struct wgh_error *error)
{
	char shown[80];

	memset(addr, 0, sizeof *addr);
	addr->sun_family = AF_UNIX;
	if ((size_t)snprintf(addr->sun_path, sizeof addr->sun_path, "%s/%s.sock", dir, ifname) <
		sizeof addr->sun_path)
		return 0;
	text_escape(shown, sizeof shown, dir, strlen(dir));
	error_set(error, "%s: too long for a socket's path; choose a shorter --socket-dir", shown);
	return -ENAMETOOLONG;
}

int uapi_socket_connect(const struct sockaddr_un *addr)
{
	const struct timeval wait = {.tv_sec = UAPI_CONNECT_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	/* A hub that hangs accepts nobody, and once its queue is full connect() would never return.
	 */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	do
		err = connect(fd, (const struct sockaddr *)addr, sizeof *addr) < 0 ? -errno : 0;
	while (err == -EINTR);
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int make_dir(const char *dir, struct wgh_error *error)
{
	mode_t old = umask(022);
	int err = mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
	char shown[100];

	umask(old);
	if (err) {
		text_escape(shown, sizeof shown, dir, strlen(dir));
		error_set(error,
			"%s: cannot make this directory for the socket: %s; choose another with "
			"--socket-dir",
			shown, strerror(-err));
	}
	return err;
}

/* Makes way where nobody listens any more. */
static int replace_stale(
	const struct sockaddr_un *addr, const char *ifname, struct wgh_error *error)
{
	int fd = uapi_socket_connect(addr), err = fd;
	struct stat st;

	if (err == -ENOENT)
		return 0;
	/* connect() refuses in the same way where the file is no socket at all: that one is not
	 * ours. */
	if (err == -ECONNREFUSED && lstat(addr->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		err = unlink(addr->sun_path) < 0 ? -errno : 0;
	if (err == 0 && fd < 0)
		return 0;
	/* -EAGAIN: somebody listens, but is too busy to answer. */
	if (fd >= 0 || err == -EAGAIN) {
		if (fd >= 0)
			close(fd);
		error_set(error, "%s is already running (%s); stop it with: wghub down %s", ifname,
			addr->sun_path, ifname);
		return -EADDRINUSE;
	}
	error_set(error, "%s: this is in the way of the hub's socket: %s", addr->sun_path,
		strerror(-err));
	return err;
}

static int remember_file(struct uapi_socket *s)
{
	struct stat st;

	if (lstat(s->path, &st) < 0)
		return -errno;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

/* Only one hub at a time looks for a stale file and makes its own. Freed by close(). */
static int lock_dir(const char *dir, struct wgh_error *error)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	char shown[100];

	if (fd >= 0 && flock(fd, LOCK_EX) == 0)
		return fd;
	err = -errno;
	if (fd >= 0)
		close(fd);
	text_escape(shown, sizeof shown, dir, strlen(dir));
	error_set(error, "%s: cannot use this directory for the socket: %s", shown, strerror(-err));
	return err;
}

/* The file gets its name only once somebody listens at it: wg(8) removes sockets at which nobody
 * does. */
static int listen_at(struct uapi_socket *s, const struct sockaddr_un *addr)
{
	struct sockaddr_un unnamed = *addr;
	size_t n = strlen(addr->sun_path) - strlen(".sock");
	mode_t old;
	int err = 0;

	strcpy(unnamed.sun_path + n, ".new");
	unlink(unnamed.sun_path); /* of a hub that was killed in here */
	/* The file must never exist with wider rights, so chmod() afterwards would be too late. */
	old = umask(077);
	if (bind(s->fd, (const struct sockaddr *)&unnamed, sizeof unnamed) < 0)
		err = -errno;
	umask(old);
	if (err)
		return err;
	if (listen(s->fd, 16) < 0 || link(unnamed.sun_path, addr->sun_path) < 0)
		err = -errno;
	unlink(unnamed.sun_path);
	return err ? err : remember_file(s);
}

int uapi_socket_make(
	struct uapi_socket *s, const char *dir, const char *ifname, struct wgh_error *error)
{
	struct sockaddr_un addr;
	int err, lock;

	err = uapi_socket_path(&addr, dir, ifname, error);
	if (!err)
		err = make_dir(dir, error);
	if (err)
		return err;
	lock = lock_dir(dir, error);
	if (lock < 0)
		return lock;
	err = replace_stale(&addr, ifname, error);
	if (err)
		goto out;
	*s = (struct uapi_socket){.fd = -1};
	memcpy(s->path, addr.sun_path, sizeof s->path);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = s->fd < 0 ? -errno : listen_at(s, &addr);
	if (!err)
		goto out;
	error_set(error, "%s: cannot make this socket: %s", addr.sun_path, strerror(-err));
	if (s->fd >= 0)
		close(s->fd);
out:
	close(lock);
	return err;
}

int uapi_socket_adopt(struct uapi_socket *s, int fd, struct wgh_error *error)
{
	struct sockaddr_un addr = {0};
	socklen_t len = sizeof addr;
	int listening = 0;
	socklen_t int_len = sizeof listening;
	size_t n;

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0 || addr.sun_family != AF_UNIX ||
		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len) < 0 || !listening) {
		error_set(error, "WG_UAPI_FD: descriptor %d is not a listening unix socket", fd);
		return -EINVAL;
	}
	*s = (struct uapi_socket){.fd = fd};
	memcpy(s->path, addr.sun_path, sizeof s->path - 1);
	n = strlen(s->path);
	if (n > 4 && n + 1 < sizeof s->path &&
		!strcmp(s->path + n - 4, ".new")) /* one of listen_at() */
		strcpy(s->path + n - 4, ".sock");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || remember_file(s) < 0)
		s->path[0] = 0; /* it has no file that could be watched */
	return 0;
}

bool uapi_socket_is_there(const struct uapi_socket *s)
{
	struct stat st;

	if (lstat(s->path, &st) < 0 && (errno != EACCES || keeper_stat(s->path, &st)))
		return false;
	return st.st_dev == s->dev && st.st_ino == s->ino;
}

void uapi_socket_remove(const struct uapi_socket *s)
{
	if (!s->path[0] || s->is_lent || !uapi_socket_is_there(s))
		return;
	if (unlink(s->path) < 0 && (errno == EACCES || errno == EPERM))
		IGNORE_RESULT(keeper_remove_socket(s->path));
}
