/* service.c - see service.h. */
#include "control/service.h"

#include "control/error.h"
#include "control/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FIRST_FD 3 /* where LISTEN_FDS begin */
#define MESSAGE_CHARS 512

/* ---- to the supervisor ---- */

/* "@name" is an abstract socket. Anything else but a path (vsock:) is not for this machine. */
static int connect_notify(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	int fd;

	if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof addr.sun_path)
		return -1;
	memcpy(addr.sun_path, path, n);
	if (path[0] == '@')
		addr.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
		connect(fd, (struct sockaddr *)&addr,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void service_tell(const struct service *service, const char *format, ...)
{
	char message[MESSAGE_CHARS];
	va_list args;
	int n;

	if (service->notify_fd < 0)
		return;
	va_start(args, format);
	n = vsnprintf(message, sizeof message, format, args);
	va_end(args);
	if (n > 0)
		IGNORE_RESULT(send(service->notify_fd, message,
			(size_t)n < sizeof message ? (size_t)n : sizeof message - 1,
			MSG_NOSIGNAL | MSG_DONTWAIT));
}

void service_tell_reloading(const struct service *service)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	service_tell(service, "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}

/* ---- from the supervisor ---- */

/* False: not there, or not a number. */
static bool take_number(uint64_t *n, const char *variable, uint64_t max)
{
	const char *text = getenv(variable);

	return text && text_number(n, text, strlen(text), max);
}

/* A variable PID says for whom the others are; without it they are for whoever has them. */
static bool is_for_us(const char *variable, bool without)
{
	uint64_t pid;

	if (!getenv(variable))
		return without;
	return take_number(&pid, variable, INT32_MAX) && (pid_t)pid == getpid();
}

/* The next of the names that colons separate; "" when there are no more. */
static void next_name(char *name, size_t size, const char **rest)
{
	size_t n = strcspn(*rest, ":");

	snprintf(name, size, "%.*s", (int)n, *rest);
	*rest += n + ((*rest)[n] == ':');
}

static int fail_fd(struct wgh_error *error, int fd, const char *name, const char *why)
{
	char shown[40];

	text_escape(shown, sizeof shown, name, strlen(name));
	error_set(error, "LISTEN_FDS: descriptor %d (%s): %s", fd, shown, why);
	return -EINVAL;
}

/* Kinds are told apart by what they are; a name must agree. */
static int take_fd(struct service *s, int fd, const char *name, struct wgh_error *error)
{
	int type = 0, listening = 0;
	socklen_t type_len = sizeof type, listening_len = sizeof listening;
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t sa_len = sizeof sa;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return fail_fd(error, fd, name, "not an open descriptor");
	(void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len);
	(void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &listening_len);
	(void)getsockname(fd, (struct sockaddr *)&sa, &sa_len);
	if (sa.ss_family == AF_UNIX && type == SOCK_STREAM && listening && strcmp(name, "udp")) {
		if (s->uapi_fd >= 0)
			return fail_fd(error, fd, name, "a second UAPI socket; one is enough");
		s->uapi_fd = fd;
		return 0;
	}
	if ((sa.ss_family == AF_INET || sa.ss_family == AF_INET6) && type == SOCK_DGRAM &&
		strcmp(name, "uapi")) {
		if (s->n_udp_fds == SERVICE_UDP_FDS_MAX)
			return fail_fd(
				error, fd, name, "more UDP sockets than there can be workers");
		s->udp_fds[s->n_udp_fds++] = fd;
		return 0;
	}
	return fail_fd(error, fd, name,
		"neither a UDP socket (udp) nor a listening unix stream socket (uapi)");
}

static int take_fds(struct service *s, struct wgh_error *error)
{
	const char *names = getenv("LISTEN_FDNAMES");
	const char *rest = names ? names : "";
	char name[256];
	uint64_t n;
	int err = 0;

	if (!getenv("LISTEN_FDS") || !is_for_us("LISTEN_PID", false))
		return 0;
	if (!take_number(&n, "LISTEN_FDS", SERVICE_UDP_FDS_MAX + 1)) {
		error_set(error, "LISTEN_FDS: not a number of descriptors");
		return -EINVAL;
	}
	for (int i = 0; i < (int)n && !err; i++) {
		next_name(name, sizeof name, &rest);
		err = take_fd(s, FIRST_FD + i, name, error);
	}
	return err;
}

int service_init(struct service *service, struct wgh_error *error)
{
	static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
		"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};
	const char *path = getenv("NOTIFY_SOCKET");
	uint64_t usec;
	int err;

	*service = (struct service){.notify_fd = -1, .uapi_fd = -1};
	if (path)
		service->notify_fd = connect_notify(path);
	if (is_for_us("WATCHDOG_PID", true) && take_number(&usec, "WATCHDOG_USEC", UINT64_MAX / 2))
		service->watchdog_ms = usec / 1000;
	err = take_fds(service, error);
	for (unsigned i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	return err;
}

void service_fini(struct service *service)
{
	if (service->notify_fd >= 0)
		close(service->notify_fd);
	service->notify_fd = -1;
}
