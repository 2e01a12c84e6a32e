/* test_uapi_socket.c - control/uapi_socket.c: making the socket, also while others use its
 * directory, as wg(8) does: it removes a socket at which nobody listens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/ctl_client.h"
#include "control/uapi_socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 2000

static char dir[64];
static atomic_bool done;
static atomic_uint n_asked;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/wghub-test-socket-XXXXXX");
	done = false;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir); /* fails if anything was left in it */
}

/* `wg show` in a loop. */
static void *ask(void *arg)
{
	struct sockaddr_un addr;
	struct wgh_error error;

	(void)arg;
	if (uapi_socket_path(&addr, dir, "wgt0", &error))
		return "no path";
	while (!done) {
		int fd = uapi_socket_connect(&addr);

		if (fd >= 0)
			close(fd);
		else if (fd == -ECONNREFUSED)
			unlink(addr.sun_path);
		n_asked++;
	}
	return NULL;
}

static void test_socket_survives_a_wg_that_removes_what_does_not_listen(void **state)
{
	pthread_t asker;
	void *trouble;

	(void)state;
	assert_int_equal(pthread_create(&asker, NULL, ask, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct wgh_error error = {""};
		struct uapi_socket s;

		if (uapi_socket_make(&s, dir, "wgt0", &error))
			fail_msg("round %u: %s", i, error.text);
		if (!uapi_socket_is_there(&s))
			fail_msg("round %u: it is gone", i);
		uapi_socket_remove(&s);
		close(s.fd);
		/* A wg that looked at one hub and removes the socket of the next one cannot be
		 * helped. */
		for (unsigned before = n_asked; n_asked == before;)
			sched_yield();
	}
	done = true;
	pthread_join(asker, &trouble);
	assert_null(trouble);
}

/* A hub that hangs: it accepts nobody, and its queue is full. */
static void test_socket_of_a_hub_that_lets_nobody_in_is_not_replaced(void **state)
{
	struct wgh_error error = {""};
	struct uapi_socket hangs, second;
	struct ctl_answer answer;
	struct sockaddr_un addr;
	int fds[100];
	unsigned n = 0;

	(void)state;
	alarm(100);
	assert_int_equal(uapi_socket_make(&hangs, dir, "wgt0", &error), 0);
	assert_int_equal(uapi_socket_path(&addr, dir, "wgt0", &error), 0);
	do {
		assert_true(n < 100);
		fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	} while (!connect(fds[n++], (struct sockaddr *)&addr, sizeof addr));
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(uapi_socket_make(&second, dir, "wgt0", &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "already running"));
	assert_int_equal(ctl_get(&answer, dir, "wgt0", &error), -EAGAIN);
	assert_non_null(strstr(error.text, "lets nobody in"));
	alarm(0);
	while (n)
		close(fds[--n]);
	assert_true(uapi_socket_is_there(&hangs));
	uapi_socket_remove(&hangs);
	close(hangs.fd);
}

static void *make_one(void *arg)
{
	struct wgh_error error = {""};
	struct uapi_socket *s = arg;

	s->fd = -1;
	if (uapi_socket_make(s, dir, "wgt0", &error))
		s->fd = -1;
	return NULL;
}

static void test_of_two_at_the_same_moment_one_is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		struct uapi_socket s[2], stale;
		struct wgh_error error;
		pthread_t thread;
		unsigned n = 0;

		/* As a killed hub leaves it. */
		assert_int_equal(uapi_socket_make(&stale, dir, "wgt0", &error), 0);
		close(stale.fd);

		assert_int_equal(pthread_create(&thread, NULL, make_one, &s[1]), 0);
		make_one(&s[0]);
		pthread_join(thread, NULL);
		for (unsigned k = 0; k < 2; k++) {
			if (s[k].fd < 0)
				continue;
			n++;
			assert_true(uapi_socket_is_there(&s[k]));
			uapi_socket_remove(&s[k]);
			close(s[k].fd);
		}
		assert_int_equal(n, 1);
	}
}

static void test_stale_socket_is_replaced(void **state)
{
	struct wgh_error error = {""};
	struct uapi_socket first, second;

	(void)state;
	assert_int_equal(uapi_socket_make(&first, dir, "wgt1", &error), 0);
	close(first.fd); /* its program ended without removing the file */
	assert_int_equal(uapi_socket_make(&second, dir, "wgt1", &error), 0);
	assert_true(uapi_socket_is_there(&second));
	uapi_socket_remove(&second);
	assert_false(uapi_socket_is_there(&second));
	uapi_socket_remove(&second); /* once more does no harm */
	close(second.fd);
}

static void test_other_files_are_not_replaced(void **state)
{
	struct wgh_error error = {""};
	struct uapi_socket socket;
	struct sockaddr_un addr;

	(void)state;
	assert_int_equal(uapi_socket_path(&addr, dir, "wgt2", &error), 0);
	close(open(addr.sun_path, O_CREAT | O_RDWR, 0600));
	assert_true(uapi_socket_make(&socket, dir, "wgt2", &error) < 0);
	assert_non_null(strstr(error.text, "wgt2.sock"));
	assert_int_equal(unlink(addr.sun_path), 0);
}

static void test_path_too_long_is_said(void **state)
{
	struct wgh_error error = {""};
	struct uapi_socket socket;
	char too_long[200];

	(void)state;
	memset(too_long, 'a', sizeof too_long);
	too_long[0] = '/';
	too_long[sizeof too_long - 1] = 0;
	assert_int_equal(uapi_socket_make(&socket, too_long, "wgt0", &error), -ENAMETOOLONG);
	assert_non_null(strstr(error.text, "--socket-dir"));
}

static void test_adoption_refuses_what_does_not_listen(void **state)
{
	struct wgh_error error = {""};
	struct uapi_socket adopted;
	int fd = open("/dev/null", O_RDWR), fds[2];

	(void)state;
	assert_int_equal(uapi_socket_adopt(&adopted, fd, &error), -EINVAL);
	assert_non_null(strstr(error.text, "WG_UAPI_FD"));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(uapi_socket_adopt(&adopted, fds[0], &error), -EINVAL);
	close(fd);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_socket_survives_a_wg_that_removes_what_does_not_listen, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			test_socket_of_a_hub_that_lets_nobody_in_is_not_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_of_two_at_the_same_moment_one_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_socket_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_files_are_not_replaced, setup, teardown),
		cmocka_unit_test(test_path_too_long_is_said),
		cmocka_unit_test(test_adoption_refuses_what_does_not_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
