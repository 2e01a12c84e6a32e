/* test_service.c - the datagrams a supervisor gets, and the descriptors it hands over. Each test of
 * descriptors runs in a child, because they have to be 3 and what follows.
 */
#include "control/service.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void forget(void)
{
	static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
		"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

	for (unsigned i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
}

static int supervisor(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	memcpy(addr.sun_path, path, strlen(path));
	if (path[0] == '@')
		addr.sun_path[0] = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, n), 0);
	return fd;
}

static void expect(int fd, const char *text)
{
	char message[600];
	ssize_t n = recv(fd, message, sizeof message - 1, 0);

	assert_true(n >= 0);
	message[n] = 0;
	assert_string_equal(message, text);
}

static void tell_through(const char *path)
{
	struct service s;
	struct wgh_error error;
	int fd = supervisor(path);
	char message[100];

	forget();
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(service_init(&s, &error), 0);
	assert_null(getenv("NOTIFY_SOCKET"));
	service_tell(&s, "READY=1\nSTATUS=%s: %d peers", "wg0", 3);
	expect(fd, "READY=1\nSTATUS=wg0: 3 peers");
	service_tell_reloading(&s);
	assert_true(recv(fd, message, sizeof message, 0) > 0);
	assert_memory_equal(message, "RELOADING=1\nMONOTONIC_USEC=", 27);
	service_fini(&s);
	service_tell(&s, "READY=1");
	assert_true(recv(fd, message, sizeof message, 0) < 0);
	close(fd);
}

static void test_service_tells_a_supervisor_at_a_path(void **state)
{
	char dir[] = "/tmp/wghub-service.XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/notify", dir);
	tell_through(path);
	unlink(path);
	rmdir(dir);
}

static void test_service_tells_a_supervisor_at_an_abstract_socket(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof path, "@wghub-test-%d", (int)getpid());
	tell_through(path);
}

static void test_service_goes_on_where_nobody_listens(void **state)
{
	static const char *const paths[] = {"/nonexistent/notify", "vsock:2:1234", "", "@",
		("/a/path/that/is/longer/than/the/108/bytes/that/a/unix/socket/address/can/"
		 "hold/and/so/cannot/be/one/at/all")};
	struct wgh_error error;
	struct service s;

	(void)state;
	for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
		forget();
		setenv("NOTIFY_SOCKET", paths[i], 1);
		assert_int_equal(service_init(&s, &error), 0);
		assert_int_equal(s.notify_fd, -1);
		service_tell(&s, "READY=1");
		service_fini(&s);
	}
}

static uint64_t watchdog_of(const char *usec, pid_t pid)
{
	struct wgh_error error;
	struct service s;
	char text[20];

	forget();
	setenv("WATCHDOG_USEC", usec, 1);
	snprintf(text, sizeof text, "%d", (int)pid);
	if (pid)
		setenv("WATCHDOG_PID", text, 1);
	assert_int_equal(service_init(&s, &error), 0);
	assert_null(getenv("WATCHDOG_USEC"));
	return s.watchdog_ms;
}

static void test_service_knows_the_watchdogs_patience(void **state)
{
	(void)state;
	assert_int_equal(watchdog_of("30000000", 0), 30000);
	assert_int_equal(watchdog_of("30000000", getpid()), 30000);
	assert_int_equal(watchdog_of("30000000", getpid() + 1), 0);
	assert_int_equal(watchdog_of("soon", getpid()), 0);
}

/* ---- descriptors ---- */

static int udp(int family)
{
	struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family};
	int fd = socket(family, SOCK_DGRAM, 0);

	(void)bind(fd, (struct sockaddr *)&any,
		family == AF_INET ? sizeof(struct sockaddr_in) : sizeof any);
	return fd;
}

static int listening(int type)
{
	int fd = socket(AF_UNIX, type, 0);
	sa_family_t family = AF_UNIX; /* the kernel chooses a name */

	(void)bind(fd, (struct sockaddr *)&family, sizeof family);
	(void)listen(fd, 1);
	return fd;
}

/* In a child whose descriptors 3 .. are the n given ones. What check() says is its exit code. */
static void with_fds(const int *fds, int n, const char *names, bool for_us,
	int (*check)(int err, const struct service *s, const char *error))
{
	char text[20];
	int status, moved[8];
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct wgh_error error = {""};
		struct service s;

		for (int i = 0; i < n; i++)
			moved[i] = fcntl(fds[i], F_DUPFD, 100);
		for (int i = 0; i < n; i++)
			dup2(moved[i], 3 + i);
		forget();
		snprintf(text, sizeof text, "%d", n);
		setenv("LISTEN_FDS", text, 1);
		snprintf(text, sizeof text, "%d", (int)getpid() + !for_us);
		setenv("LISTEN_PID", text, 1);
		if (names)
			setenv("LISTEN_FDNAMES", names, 1);
		_exit(check(service_init(&s, &error), &s, error.text));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int has_all_four(int err, const struct service *s, const char *error)
{
	(void)error;
	return err || s->uapi_fd != 4 || s->n_udp_fds != 3 || s->udp_fds[0] != 3 ||
		s->udp_fds[1] != 5 || s->udp_fds[2] != 6 || !(fcntl(4, F_GETFD) & FD_CLOEXEC) ||
		getenv("LISTEN_FDS");
}

static int has_none(int err, const struct service *s, const char *error)
{
	(void)error;
	return err || s->uapi_fd >= 0 || s->n_udp_fds;
}

static void test_service_takes_sockets_by_kind_and_name(void **state)
{
	int fds[4];

	(void)state;
	for (int named = 0; named < 2; named++) {
		fds[0] = udp(AF_INET);
		fds[1] = listening(SOCK_STREAM);
		fds[2] = udp(AF_INET6);
		fds[3] = udp(AF_INET);
		with_fds(fds, 4, named ? "udp:uapi:udp:udp" : NULL, true, has_all_four);
	}
}

static void test_service_leaves_sockets_of_another_process(void **state)
{
	int fd = udp(AF_INET);

	(void)state;
	with_fds(&fd, 1, "udp", false, has_none);
}

static const char *wanted_error;

static int refuses(int err, const struct service *s, const char *error)
{
	(void)s;
	return !(err == -EINVAL && strstr(error, wanted_error));
}

static void refuse(int a, int b, const char *names, const char *why)
{
	const int fds[2] = {a, b};

	wanted_error = why;
	with_fds(fds, b < 0 ? 1 : 2, names, true, refuses);
}

static void test_service_refuses_sockets_of_no_use(void **state)
{
	(void)state;
	refuse(socket(AF_INET, SOCK_STREAM, 0), -1, "udp", "descriptor 3 (udp): neither");
	refuse(socket(AF_UNIX, SOCK_STREAM, 0), -1, "uapi", "neither"); /* does not listen */
	refuse(listening(SOCK_SEQPACKET), -1, NULL, "neither");
	refuse(udp(AF_INET), -1, "uapi", "neither");
	refuse(listening(SOCK_STREAM), -1, "udp", "neither");
	refuse(listening(SOCK_STREAM), listening(SOCK_STREAM), NULL, "descriptor 4 (): a second");
}

static int refuses_number(int err, const struct service *s, const char *error)
{
	(void)s;
	return !(err == -EINVAL && strstr(error, "not a number"));
}

static void test_service_refuses_a_number_that_is_none(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct wgh_error error = {""};
		struct service s;
		char text[20];

		snprintf(text, sizeof text, "%d", (int)getpid());
		setenv("LISTEN_PID", text, 1);
		setenv("LISTEN_FDS", "1000000", 1);
		_exit(refuses_number(service_init(&s, &error), &s, error.text));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service_tells_a_supervisor_at_a_path),
		cmocka_unit_test(test_service_tells_a_supervisor_at_an_abstract_socket),
		cmocka_unit_test(test_service_goes_on_where_nobody_listens),
		cmocka_unit_test(test_service_knows_the_watchdogs_patience),
		cmocka_unit_test(test_service_takes_sockets_by_kind_and_name),
		cmocka_unit_test(test_service_leaves_sockets_of_another_process),
		cmocka_unit_test(test_service_refuses_sockets_of_no_use),
		cmocka_unit_test(test_service_refuses_a_number_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
