/* keeper.c - see keeper.h. Both sides speak over a pair of stream sockets: a request and what is to
 * be written, an answer and perhaps a descriptor. The keeper never reads a path after its list is
 * closed: a request names its file by number. */
#include "control/keeper.h"

#include "control/error.h"
#include "control/file.h"
#include "control/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES_MAX (64u << 20) /* of one file that is to be written */

enum request_kind {
	REQUEST_ALLOW, /* the path follows; only before REQUEST_CLOSE */
	REQUEST_CLOSE,
	REQUEST_OPEN,
	REQUEST_STAT,
	REQUEST_LOCK,
	REQUEST_REPLACE, /* the bytes follow */
	REQUEST_PUT_ASIDE,
	REQUEST_REMOVE_SOCKET,
	REQUEST_APPEND,
};

struct request {
	uint32_t kind, file; /* number in the list */
	uint32_t right, mode, flags, wait_ms;
	uint64_t n_bytes; /* that follow */
};

struct answer {
	int32_t err;
	uint32_t has_fd;
	struct stat st;
};

/* One for the process. Both sides have the list, in the same order. */
static struct {
	int fd; /* the pair's end of this side */
	pid_t pid;
	bool closed;
	struct kept_file files[KEEPER_FILES_MAX];
	unsigned n_files;
} keeper = {.fd = -1};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- bytes ---- */

static bool send_all(int fd, const void *bytes, size_t n)
{
	const char *at = bytes;

	while (n) {
		ssize_t put = send(fd, at, n, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		at += put;
		n -= (size_t)put;
	}
	return true;
}

static bool receive_all(int fd, void *bytes, size_t n)
{
	char *at = bytes;

	while (n) {
		ssize_t got = recv(fd, at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

union fd_message {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static bool send_answer(int fd, const struct answer *answer, int passed)
{
	struct iovec iov = {(void *)answer, sizeof *answer};
	union fd_message control = {0};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!answer->has_fd)
		return send_all(fd, answer, sizeof *answer);
	m.msg_control = &control;
	m.msg_controllen = sizeof control;
	control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof passed)};
	memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
	return sendmsg(fd, &m, MSG_NOSIGNAL) == sizeof *answer;
}

/* *passed is -1 where none came along. */
static bool receive_answer(int fd, struct answer *answer, int *passed)
{
	struct iovec iov = {answer, sizeof *answer};
	union fd_message control = {0};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control};
	ssize_t n;

	*passed = -1;
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	if (m.msg_controllen >= sizeof control.header && control.header.cmsg_type == SCM_RIGHTS)
		memcpy(passed, CMSG_DATA(&control.header), sizeof *passed);
	return receive_all(fd, (char *)answer + n, sizeof *answer - (size_t)n);
}

static int add_file(char *path, enum keeper_right right)
{
	if (!path || keeper.n_files == KEEPER_FILES_MAX) {
		free(path);
		return path ? -E2BIG : -ENOMEM;
	}
	keeper.files[keeper.n_files++] = (struct kept_file){path, right};
	return 0;
}

/* ---- the keeper's side ---- */

static int remove_socket(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EINVAL;
	return unlink(path) < 0 ? -errno : 0;
}

static int allow(const struct request *r, char *path)
{
	return keeper.closed || strnlen(path, r->n_bytes) != r->n_bytes || r->right > KEEPER_APPEND
		? -EPERM
		: add_file(strdup(path), r->right);
}

static int serve_file(const struct request *r, const char *bytes, struct answer *answer, int *fd)
{
	const struct kept_file *file = &keeper.files[r->file];
	bool reads = r->kind == REQUEST_OPEN || r->kind == REQUEST_STAT;
	struct wgh_error ignored;

	if (!reads && file->right != (r->kind == REQUEST_APPEND ? KEEPER_APPEND : KEEPER_WRITE))
		return -EACCES;
	switch (r->kind) {
	case REQUEST_OPEN:
		*fd = file_open(file->path);
		return *fd < 0 ? *fd : 0;
	case REQUEST_STAT:
		return file_stat(file->path, &answer->st);
	case REQUEST_APPEND:
		*fd = file_open_append(file->path);
		return *fd < 0 ? *fd : 0;
	case REQUEST_LOCK:
		return file_lock(fd, file->path, r->wait_ms, &ignored);
	case REQUEST_REPLACE:
		return file_replace(
			file->path, bytes, r->n_bytes, r->mode & 0777, r->flags, &ignored);
	case REQUEST_PUT_ASIDE:
		return file_put_aside(file->path);
	default:
		return remove_socket(file->path);
	}
}

static int serve(const struct request *r, char *bytes, struct answer *answer, int *fd)
{
	if (r->kind == REQUEST_ALLOW)
		return allow(r, bytes);
	if (r->kind == REQUEST_CLOSE) {
		keeper.closed = true;
		return sandbox_enter_keeper();
	}
	if (r->kind > REQUEST_APPEND || r->file >= keeper.n_files)
		return -EINVAL;
	return serve_file(r, bytes, answer, fd);
}

/* False: the hub has ended, or speaks nonsense. */
static bool serve_one(int socket)
{
	struct answer answer = {0};
	struct request r;
	char *bytes;
	int fd = -1;
	bool ok;

	if (!receive_all(socket, &r, sizeof r) || r.n_bytes > BYTES_MAX)
		return false;
	bytes = calloc(1, r.n_bytes + 1);
	if (!bytes || !receive_all(socket, bytes, r.n_bytes)) {
		free(bytes);
		return false;
	}
	answer.err = serve(&r, bytes, &answer, &fd);
	answer.has_fd = fd >= 0;
	secret_wipe(bytes, r.n_bytes);
	free(bytes);
	ok = send_answer(socket, &answer, fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Only the socket stays: not even a terminal, whose users would wait for its end. */
static void let_go_of_everything(int socket)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	dup3(socket, STDERR_FILENO + 1, O_CLOEXEC);
	closefrom(STDERR_FILENO + 2);
}

static void run_keeper(int socket)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE};

	/* The hub gets them too, and may need files for its end. */
	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
		signal(numbers[i], SIG_IGN);
	prctl(PR_SET_NAME, "wghub-files");
	let_go_of_everything(socket);
	while (serve_one(STDERR_FILENO + 1))
		;
	_exit(0);
}

/* ---- the hub's side ---- */

int keeper_start(struct wgh_error *error)
{
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		error_set(error, "cannot make a pair of sockets: %s", strerror(errno));
		return -errno;
	}
	pid = fork();
	if (pid == 0)
		run_keeper(pair[1]);
	err = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (err) {
		close(pair[0]);
		error_set(error, "cannot start a process: %s", strerror(-err));
		return err;
	}
	keeper.fd = pair[0];
	keeper.pid = pid;
	return 0;
}

/* passed NULL: the answer has none. */
static int ask(const struct request *r, const void *bytes, struct answer *answer, int *passed)
{
	int fd = -1;
	bool ok;

	pthread_mutex_lock(&lock);
	ok = keeper.fd >= 0 && send_all(keeper.fd, r, sizeof *r) &&
		send_all(keeper.fd, bytes, r->n_bytes) && receive_answer(keeper.fd, answer, &fd);
	pthread_mutex_unlock(&lock);
	if (passed && ok && !answer->err && fd >= 0)
		*passed = fd;
	else if (fd >= 0)
		close(fd);
	if (!ok)
		return -EACCES;
	return answer->err ? answer->err : passed && fd < 0 ? -EIO : 0;
}

static int ask_about(
	const char *path, struct request *r, const void *bytes, struct answer *answer, int *passed)
{
	for (unsigned i = 0; i < keeper.n_files && keeper.fd >= 0; i++) {
		if (strcmp(keeper.files[i].path, path))
			continue;
		r->file = i;
		return ask(r, bytes, answer, passed);
	}
	return -EACCES;
}

int keeper_allow(const char *path, enum keeper_right right)
{
	struct request r = {.kind = REQUEST_ALLOW, .right = right, .n_bytes = strlen(path)};
	struct answer answer;
	int err = keeper.fd < 0 ? 0 : ask(&r, path, &answer, NULL);

	return err ? err : add_file(strdup(path), right);
}

const struct kept_file *keeper_files(unsigned *n)
{
	*n = keeper.n_files;
	return keeper.files;
}

int keeper_close_list(void)
{
	struct request r = {.kind = REQUEST_CLOSE};
	struct answer answer;

	return keeper.fd < 0 ? 0 : ask(&r, NULL, &answer, NULL);
}

void keeper_stop(void)
{
	if (keeper.fd >= 0) {
		close(keeper.fd);
		keeper.fd = -1;
		while (waitpid(keeper.pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	while (keeper.n_files)
		free(keeper.files[--keeper.n_files].path);
}

int keeper_open(const char *path)
{
	struct request r = {.kind = REQUEST_OPEN};
	struct answer answer;
	int fd = -1, err = ask_about(path, &r, NULL, &answer, &fd);

	return err ? err : fd;
}

int keeper_open_append(const char *path)
{
	struct request r = {.kind = REQUEST_APPEND};
	struct answer answer;
	int fd = -1, err = ask_about(path, &r, NULL, &answer, &fd);

	return err ? err : fd;
}

int keeper_stat(const char *path, struct stat *st)
{
	struct request r = {.kind = REQUEST_STAT};
	struct answer answer;
	int err = ask_about(path, &r, NULL, &answer, NULL);

	if (!err)
		*st = answer.st;
	return err;
}

int keeper_lock(int *fd, const char *path, unsigned wait_ms)
{
	struct request r = {.kind = REQUEST_LOCK, .wait_ms = wait_ms};
	struct answer answer;

	return ask_about(path, &r, NULL, &answer, fd);
}

int keeper_replace(const char *path, const void *bytes, size_t n, mode_t mode, unsigned flags)
{
	struct request r = {.kind = REQUEST_REPLACE, .mode = mode, .flags = flags, .n_bytes = n};
	struct answer answer;

	return n > BYTES_MAX ? -EFBIG : ask_about(path, &r, bytes, &answer, NULL);
}

int keeper_put_aside(const char *path)
{
	struct request r = {.kind = REQUEST_PUT_ASIDE};
	struct answer answer;

	return ask_about(path, &r, NULL, &answer, NULL);
}

int keeper_remove_socket(const char *path)
{
	struct request r = {.kind = REQUEST_REMOVE_SOCKET};
	struct answer answer;

	return ask_about(path, &r, NULL, &answer, NULL);
}
