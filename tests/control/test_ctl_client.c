/* test_ctl_client.c - control/ctl_client.c against a socket that answers what each case says,
 * hostile things included. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/ctl_client.h"
#include "control/uapi_socket.h"

struct answerer {
	char dir[64];
	struct uapi_socket socket;
	pid_t pid;
};

/* A process that gives one client this answer and ends. */
static void start(struct answerer *a, const char *answer, size_t n)
{
	struct wgh_error error = {""};

	strcpy(a->dir, "/tmp/wghub-test-ctl-XXXXXX");
	assert_non_null(mkdtemp(a->dir));
	assert_int_equal(uapi_socket_make(&a->socket, a->dir, "wgt0", &error), 0);
	a->pid = fork();
	if (a->pid == 0) {
		char request[64];
		int fd;

		signal(SIGPIPE, SIG_IGN);
		while ((fd = accept(a->socket.fd, NULL, NULL)) < 0)
			usleep(1000);
		_exit(read(fd, request, sizeof request) < 0 || write(fd, answer, n) < 0);
	}
	close(a->socket.fd);
}

static void stop(struct answerer *a)
{
	assert_int_equal(waitpid(a->pid, NULL, 0), a->pid);
	unlink(a->socket.path);
	assert_int_equal(rmdir(a->dir), 0);
}

static void test_answer_becomes_lines(void **state)
{
	static const char text[] = "version=1\naead=x=y\npublic_key=00\nname=\nerrno=0\n\n";
	struct wgh_error error = {""};
	struct ctl_answer answer;
	struct answerer a;

	(void)state;
	start(&a, text, sizeof text - 1);
	assert_int_equal(ctl_get(&answer, a.dir, "wgt0", &error), 0);
	assert_int_equal(answer.n_lines, 4);
	assert_string_equal(answer.lines[1].key, "aead");
	assert_string_equal(answer.lines[1].value, "x=y");
	assert_string_equal(answer.lines[3].key, "name");
	assert_string_equal(answer.lines[3].value, "");
	ctl_answer_fini(&answer);
	stop(&a);
}

static void test_anything_else_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		int err;
		const char *says;
	} cases[] = {
		{"", 0, -EPROTO, "no wghub"},
		{"\n\n", 2, -EPROTO, "no wghub"},
		{"version=1\n\n", 11, -EPROTO, "no wghub"},
		{"version=1\nerrno=0\n", 18, -EPROTO, "no wghub"},
		{"version\nerrno=0\n\n", 17, -EPROTO, "no wghub"},
		{"version=\0\nerrno=0\n\n", 19, -EPROTO, "no wghub"},
		{"errno=12\n\n", 10, -EREMOTEIO, "could not answer"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_error error = {""};
		struct ctl_answer answer;
		struct answerer a;

		start(&a, cases[i].text, cases[i].n);
		assert_int_equal(ctl_get(&answer, a.dir, "wgt0", &error), cases[i].err);
		assert_non_null(strstr(error.text, cases[i].says));
		assert_null(answer.text);
		stop(&a);
	}
}

static void test_own_request_gives_values_or_the_hubs_own_words(void **state)
{
	static const char good[] = "outcome=ok\npeers=3\nerrno=0\n\n";
	static const char bad[] = "error=no \x1b[1mclient\nerrno=-2\n\n";
	const struct ctl_line params[] = {{"name", "bench laptop"}};
	struct wgh_error error = {""};
	struct ctl_answer answer;
	struct answerer a;

	(void)state;
	start(&a, good, sizeof good - 1);
	assert_int_equal(ctl_ask(&answer, a.dir, "wgt0", "sync", params, 1, 5, &error), 0);
	assert_string_equal(ctl_value(&answer, "peers"), "3");
	assert_null(ctl_value(&answer, "nothing"));
	ctl_answer_fini(&answer);
	stop(&a);
	start(&a, bad, sizeof bad - 1);
	assert_int_equal(ctl_ask(&answer, a.dir, "wgt0", "sync", NULL, 0, 5, &error), -ENOENT);
	assert_string_equal(error.text, "no \\x1b[1mclient");
	assert_null(answer.text);
	stop(&a);
}

static void test_no_hub_is_said(void **state)
{
	struct wgh_error error = {""};
	struct ctl_answer answer;

	(void)state;
	assert_int_equal(ctl_get(&answer, "/tmp/wghub-no-such-dir", "wgt0", &error), -ENOENT);
	assert_non_null(strstr(error.text, "no hub called wgt0 runs here"));
	assert_int_equal(ctl_stop("/tmp/wghub-no-such-dir", "wgt0", &error), -ENOENT);
}

static void test_stop_removes_the_socket_and_waits_for_the_end(void **state)
{
	struct wgh_error error = {""};
	struct answerer a;

	(void)state;
	/* Ends its connection 100 ms after the socket's file is gone, as a hub does when its
	 * interface is. */
	strcpy(a.dir, "/tmp/wghub-test-ctl-XXXXXX");
	assert_non_null(mkdtemp(a.dir));
	assert_int_equal(uapi_socket_make(&a.socket, a.dir, "wgt0", &error), 0);
	a.pid = fork();
	if (a.pid == 0) {
		while (accept(a.socket.fd, NULL, NULL) < 0)
			usleep(1000);
		while (access(a.socket.path, F_OK) == 0)
			usleep(1000);
		usleep(100000);
		_exit(0);
	}
	close(a.socket.fd);
	assert_int_equal(ctl_stop(a.dir, "wgt0", &error), 0);
	assert_int_equal(access(a.socket.path, F_OK), -1);
	stop(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_becomes_lines),
		cmocka_unit_test(test_anything_else_is_refused),
		cmocka_unit_test(test_own_request_gives_values_or_the_hubs_own_words),
		cmocka_unit_test(test_no_hub_is_said),
		cmocka_unit_test(test_stop_removes_the_socket_and_waits_for_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
