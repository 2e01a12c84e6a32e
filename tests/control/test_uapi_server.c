/* test_uapi_server.c - control/uapi_server.c over real sockets in a directory of
 * its own. The hub behind it is tests/lib/fake_device.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/log.h"
#include "control/uapi_server.h"
#include "tests/lib/fake_device.h"

#define K1 "1111111111111111111111111111111111111111111111111111111111111111"

struct server {
	uv_loop_t loop;
	struct fake_device device;
	struct uapi_server *server;
	struct sockaddr_un addr;
	char dir[64];
	unsigned n_gone;
	struct uapi_reply *reply; /* to "wghub=later" */
	unsigned n_replies;
};

static void on_gone(void *arg)
{
	/* the handler's arg is the device, the first thing the tests need; the rest is around it */
	struct server *s = (struct server *)((char *)arg - offsetof(struct server, device));

	s->n_gone++;
}

/* "later" is answered when a test does; "long" is 100,000 lines; the rest is refused. */
static void on_request(void *arg, const struct uapi_request *request, struct uapi_reply *reply)
{
	struct server *s = (struct server *)((char *)arg - offsetof(struct server, device));
	size_t n = 0;
	char *text;

	s->n_replies++;
	if (!strcmp(request->verb, "later")) {
		assert_null(s->reply);
		s->reply = reply;
	} else if (!strcmp(request->verb, "long")) {
		text = malloc(100000 * 20);
		for (unsigned i = 0; i < 100000; i++)
			n += (size_t)sprintf(text + n, "line=%u\n", i);
		uapi_reply_send(reply, 0, NULL, text, n);
	} else {
		uapi_reply_send(reply, -ENOENT, uapi_param(request, "why"), NULL, 0);
	}
}

static void reply_now(struct server *s, const char *text)
{
	struct uapi_reply *reply = s->reply;

	s->reply = NULL;
	uapi_reply_send(reply, 0, NULL, strdup(text), strlen(text));
}

static const struct uapi_handler handler = {.apply = fake_device_apply,
	.snapshot = fake_device_snapshot,
	.snapshot_free = fake_device_snapshot_free,
	.request = on_request,
	.gone = on_gone};

static int start(void **state)
{
	struct server *s = calloc(1, sizeof *s);
	struct uapi_handler h = handler;
	struct uapi_socket socket;
	struct wgh_error error = {""};

	signal(SIGPIPE, SIG_IGN);
	log_set_level(LEVEL_SILENT);
	strcpy(s->dir, "/tmp/wghub-test-uapi-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	strcat(s->dir, "/sockets");
	assert_int_equal(uv_loop_init(&s->loop), 0);
	assert_int_equal(uapi_socket_make(&socket, s->dir, "wgt0", &error), 0);
	h.arg = &s->device;
	assert_int_equal(uapi_server_new(&s->server, &s->loop, &socket, &h, &error), 0);
	assert_int_equal(uapi_socket_path(&s->addr, s->dir, "wgt0", &error), 0);
	*state = s;
	return 0;
}

static int stop(void **state)
{
	struct server *s = *state;

	uapi_server_free(s->server);
	while (uv_run(&s->loop, UV_RUN_DEFAULT))
		;
	assert_int_equal(uv_loop_close(&s->loop), 0);
	assert_int_equal(s->device.n_snapshots, 0);
	assert_int_equal(access(s->addr.sun_path, F_OK), -1);
	fake_device_fini(&s->device);
	assert_int_equal(rmdir(s->dir), 0);
	*strrchr(s->dir, '/') = 0;
	assert_int_equal(rmdir(s->dir), 0);
	free(s);
	return 0;
}

static int client(struct server *s)
{
	int fd = uapi_socket_connect(&s->addr);

	assert_true(fd >= 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void turn(struct server *s)
{
	uv_run(&s->loop, UV_RUN_NOWAIT);
}

/* Writes all of it while the server runs. */
static void send_all(struct server *s, int fd, const char *text, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t sent = write(fd, text + at, n - at);

		if (sent > 0)
			at += (size_t)sent;
		else
			assert_int_equal(errno, EAGAIN);
		turn(s);
	}
}

/* Reads until the text ends with end, or "" at the end of the stream; the caller frees it. */
static char *receive(struct server *s, int fd, const char *end)
{
	size_t cap = 1 << 20, n = 0;
	char *text = calloc(1, cap);

	for (unsigned idle = 0; idle < 30000;) {
		ssize_t got = read(fd, text + n, cap - 1 - n);

		if (got == 0 || (got < 0 && errno == ECONNRESET)) {
			assert_string_equal(end, "");
			return text;
		}
		if (got > 0) {
			n += (size_t)got;
			text[n] = 0;
			idle = 0;
			if (*end && n >= strlen(end) && !strcmp(text + n - strlen(end), end))
				return text;
			if (cap - n < 1 << 19) {
				text = realloc(text, cap *= 2);
				memset(text + n, 0, cap - n);
			}
			continue;
		}
		turn(s);
		usleep(1000);
		idle++;
	}
	fail_msg("no answer that ends in \"%s\", only: %.100s", end, text);
	return text;
}

static void ask(struct server *s, int fd, const char *request, const char *want)
{
	char *answer;

	send_all(s, fd, request, strlen(request));
	answer = receive(s, fd, "\n\n");
	assert_string_equal(answer, want);
	free(answer);
}

static void test_socket_is_for_the_owner_only(void **state)
{
	struct server *s = *state;
	struct stat st;

	assert_int_equal(lstat(s->addr.sun_path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(s->dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
}

static void test_set_then_get_on_one_connection(void **state)
{
	struct server *s = *state;
	int fd = client(s);

	ask(s, fd,
		"set=1\nprivate_key=" K1 "\nlisten_port=7\npublic_key=" K1
		"\nallowed_ip=10.0.0.1\n\n",
		"errno=0\n\n");
	assert_int_equal(s->device.n_applied, 1);
	ask(s, fd, "get=1\n\n",
		"private_key=" K1 "\nlisten_port=7\npublic_key=" K1
		"\npreshared_key=0000000000000000000000000000000000000000000000000000000000000000\n"
		"protocol_version=1\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_"
		"bytes=0\n"
		"rx_bytes=0\npersistent_keepalive_interval=0\nallowed_ip=10.0.0.1/32\nerrno=0\n\n");
	close(fd);
}

static void test_errno_is_negative_for_set_and_positive_for_get(void **state)
{
	struct server *s = *state;
	int fd = client(s);

	ask(s, fd, "set=1\nlisten_port=x\n\n", "errno=-22\n\n");
	ask(s, fd, "set=1\nnonsense\n\n", "errno=-71\n\n");
	s->device.fail = -EADDRINUSE;
	ask(s, fd, "set=1\nlisten_port=1\n\n", "errno=-98\n\n");
	s->device.fail = -ENOMEM;
	ask(s, fd, "get=1\n\n", "errno=12\n\n");
	ask(s, fd, "get=1\nx=y\n\n", "errno=22\n\n");
	/* The connection is as good as before. */
	ask(s, fd, "set=1\nlisten_port=1\n\n", "errno=0\n\n");
	close(fd);
}

static void test_mistake_in_the_last_line_changes_nothing(void **state)
{
	struct server *s = *state;
	int fd = client(s);

	ask(s, fd, "set=1\nlisten_port=9\npublic_key=" K1 "\nallowed_ip=10.0.0.1\nallowed_ip=x\n\n",
		"errno=-22\n\n");
	assert_int_equal(s->device.n_applied, 0);
	assert_int_equal(s->device.listen_port, 0);
	assert_int_equal(s->device.n_peers, 0);
	close(fd);
}

static void test_requests_sent_at_once_are_answered_in_order(void **state)
{
	struct server *s = *state;
	int fd = client(s);
	static const char requests[] = "set=1\nlisten_port=1\n\nset=1\nbad\n\nget=1\n\nset=1\n\n";
	char *answer;

	send_all(s, fd, requests, sizeof requests - 1);
	shutdown(fd, SHUT_WR); /* a client may say that it has nothing more to say */
	answer = receive(s, fd, "");
	assert_string_equal(
		answer, "errno=0\n\nerrno=-71\n\nlisten_port=1\nerrno=0\n\nerrno=0\n\n");
	free(answer);
	close(fd);
}

static void test_unfinished_request_changes_nothing(void **state)
{
	struct server *s = *state;
	int fd = client(s);

	send_all(s, fd, "set=1\nlisten_port=5\n", 20);
	close(fd);
	for (int i = 0; i < 10; i++)
		turn(s);
	assert_int_equal(s->device.n_applied, 0);
}

static void test_other_protocols_are_hung_up_on(void **state)
{
	struct server *s = *state;
	int fd = client(s);
	char *answer;

	send_all(s, fd, "GET / HTTP/1.1\r\n", 16);
	answer = receive(s, fd, "");
	assert_string_equal(answer, "");
	free(answer);
	close(fd);
}

/* One peer with n prefixes, as a request. */
static char *big_set(unsigned n)
{
	char *text = malloc(200 + n * 32u), *at = text;

	at += sprintf(at, "set=1\npublic_key=" K1 "\n");
	for (unsigned i = 0; i < n; i++)
		at += sprintf(at, "allowed_ip=10.%u.%u.%u/32\n", i >> 16, i >> 8 & 255, i & 255);
	strcpy(at, "\n");
	return text;
}

static void test_reader_that_does_not_read_costs_little_and_blocks_nobody(void **state)
{
	struct server *s = *state;
	int slow = client(s), fd = client(s);
	char *request = big_set(20000), *answer;
	unsigned n_lines = 0;

	ask(s, fd, request, "errno=0\n\n");
	free(request);
	send_all(s, slow, "get=1\n\n", 7);
	for (int i = 0; i < 200; i++)
		turn(s);
	assert_int_equal(s->device.n_snapshots, 1);
	/* Another client is served meanwhile. */
	ask(s, fd, "set=1\nlisten_port=3\n\n", "errno=0\n\n");
	/* Nothing is lost for the slow one: it sees the hub as it was when it asked. */
	answer = receive(s, slow, "errno=0\n\n");
	for (char *at = answer; (at = strstr(at, "allowed_ip=")); at++)
		n_lines++;
	assert_int_equal(n_lines, 20000);
	assert_null(strstr(answer, "listen_port"));
	free(answer);
	close(slow);
	close(fd);
}

static void test_slow_reader_is_closed_after_a_while(void **state)
{
	struct server *s = *state;
	char *request = big_set(20000);
	int fd = client(s), slow = client(s);

	ask(s, fd, request, "errno=0\n\n");
	free(request);
	close(fd);
	uapi_server_set_idle(s->server, 100);
	send_all(s, slow, "get=1\n\n", 7);
	for (int i = 0; i < 300; i++) {
		turn(s);
		usleep(1000);
	}
	assert_int_equal(s->device.n_snapshots, 0);
	free(receive(s, slow, ""));
	close(slow);
}

static void test_silent_client_is_closed_after_a_while(void **state)
{
	struct server *s = *state;
	int silent, busy;

	/* Far longer than a busy machine makes the other one wait between two of its requests. */
	uapi_server_set_idle(s->server, 2500);
	silent = client(s);
	busy = client(s);
	for (int i = 0; i < 300; i++) {
		ask(s, busy, "set=1\n\n", "errno=0\n\n");
		usleep(10000);
	}
	free(receive(s, silent, ""));
	close(silent);
	close(busy);
}

static void test_own_request_is_answered_at_once_or_refused_with_words(void **state)
{
	struct server *s = *state;
	int fd = client(s);

	ask(s, fd, "wghub=nothing\nwhy=because\n\n", "error=because\nerrno=-2\n\n");
	ask(s, fd, "wghub=nothing\n\n", "errno=-2\n\n");
	ask(s, fd, "wghub=x\na=1\na=2\n\n",
		"error=a parameter without a name, or twice\nerrno=-22\n\n");
	assert_int_equal(s->n_replies, 2);
	ask(s, fd, "set=1\n\n", "errno=0\n\n");
	close(fd);
}

static void test_long_own_answer_arrives_whole(void **state)
{
	struct server *s = *state;
	int fd = client(s);
	char *text, *at;

	send_all(s, fd, "wghub=long\n\n", 12);
	text = at = receive(s, fd, "\n\n");
	for (unsigned i = 0; i < 100000; i++) {
		char line[24];
		size_t n = (size_t)sprintf(line, "line=%u\n", i);

		assert_memory_equal(at, line, n);
		at += n;
	}
	assert_string_equal(at, "errno=0\n\n");
	free(text);
	close(fd);
}

/* A client of its own; false: it was closed, because it seemed silent on a machine that stood
 * still. */
static bool is_served(struct server *s)
{
	int fd = client(s);
	char answer[16];
	ssize_t got = -1;

	send_all(s, fd, "set=1\n\n", 7);
	for (int i = 0; i < 10000 && got < 0; i++) {
		turn(s);
		got = read(fd, answer, sizeof answer);
		if (got < 0)
			usleep(1000);
	}
	close(fd);
	assert_true(got >= 0);
	return got == 9 && !memcmp(answer, "errno=0\n\n", 9);
}

static void test_own_answer_may_come_later_and_blocks_nobody(void **state)
{
	struct server *s = *state;
	int waits = client(s);
	unsigned n_served = 0;
	char *text;

	uapi_server_set_idle(s->server, 100);
	/* What is sent behind it waits its turn. */
	send_all(s, waits, "wghub=later\n\nset=1\n\n", 20);
	for (int i = 0; i < 30; i++) {
		n_served += is_served(s);
		usleep(10000);
	}
	assert_in_range(n_served, 1, 30);
	assert_non_null(s->reply); /* three times the silence that closes others */
	uapi_server_set_idle(s->server, 60000);
	reply_now(s, "a=b\n");
	shutdown(waits, SHUT_WR);
	text = receive(s, waits, "");
	assert_string_equal(text, "a=b\nerrno=0\n\nerrno=0\n\n");
	free(text);
	close(waits);
}

static void test_answer_to_a_client_that_left_is_dropped(void **state)
{
	struct server *s = *state;
	int fds[UAPI_CLIENTS_MAX + 1];

	fds[0] = client(s);
	send_all(s, fds[0], "wghub=later\n\n", 13);
	for (int i = 0; i < 1000 && !s->reply; i++)
		turn(s);
	/* It has been silent longest, so it goes for one more. */
	usleep(5000);
	for (unsigned i = 1; i <= UAPI_CLIENTS_MAX; i++) {
		fds[i] = client(s);
		ask(s, fds[i], "set=1\n\n", "errno=0\n\n");
	}
	free(receive(s, fds[0], ""));
	reply_now(s, "a=b\n");
	for (unsigned i = 0; i <= UAPI_CLIENTS_MAX; i++)
		close(fds[i]);
}

static void test_answer_after_the_end_of_the_server_is_dropped(void **state)
{
	struct server *s = *state;
	int fd = client(s);

	send_all(s, fd, "wghub=later\n\n", 13);
	for (int i = 0; i < 1000 && !s->reply; i++)
		turn(s);
	uapi_server_free(s->server);
	s->server = NULL;
	while (uv_run(&s->loop, UV_RUN_NOWAIT))
		usleep(1000);
	reply_now(s, "a=b\n");
	close(fd);
}

static void test_one_client_too_many_closes_the_longest_silent(void **state)
{
	struct server *s = *state;
	int fds[UAPI_CLIENTS_MAX + 1];

	for (unsigned i = 0; i <= UAPI_CLIENTS_MAX; i++) {
		fds[i] = client(s);
		ask(s, fds[i], "set=1\n\n", "errno=0\n\n");
		if (i == 1) { /* the first one shows that it lives */
			usleep(5000);
			ask(s, fds[0], "set=1\n\n", "errno=0\n\n");
			usleep(5000);
		}
	}
	free(receive(s, fds[1], ""));
	ask(s, fds[0], "set=1\n\n", "errno=0\n\n");
	ask(s, fds[UAPI_CLIENTS_MAX], "set=1\n\n", "errno=0\n\n");
	for (unsigned i = 0; i <= UAPI_CLIENTS_MAX; i++)
		close(fds[i]);
}

static void test_removed_socket_ends_the_hub(void **state)
{
	struct server *s = *state;

	turn(s);
	assert_int_equal(s->n_gone, 0);
	assert_int_equal(unlink(s->addr.sun_path), 0);
	for (int i = 0; i < 10000 && !s->n_gone; i++) {
		turn(s);
		usleep(1000);
	}
	assert_int_equal(s->n_gone, 1);
}

static void test_replaced_socket_ends_the_hub_and_stays(void **state)
{
	struct server *s = *state;
	int fd;

	assert_int_equal(unlink(s->addr.sun_path), 0);
	fd = open(s->addr.sun_path, O_CREAT | O_RDWR, 0600);
	for (int i = 0; i < 10000 && !s->n_gone; i++) {
		turn(s);
		usleep(1000);
	}
	assert_int_equal(s->n_gone, 1);
	uapi_server_free(s->server);
	assert_int_equal(access(s->addr.sun_path, F_OK), 0); /* somebody else's file */
	while (uv_run(&s->loop, UV_RUN_DEFAULT))
		;
	unlink(s->addr.sun_path);
	close(fd);
	s->server = NULL;
}

static void test_live_socket_refuses_a_second_hub(void **state)
{
	struct server *s = *state;
	struct wgh_error error = {""};
	struct uapi_socket second;
	int fd;

	assert_int_equal(uapi_socket_make(&second, s->dir, "wgt0", &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "wgt0 is already running"));
	/* The first is not disturbed. */
	fd = client(s);
	ask(s, fd, "set=1\n\n", "errno=0\n\n");
	close(fd);
	assert_int_equal(s->n_gone, 0);
}

static void test_adopted_socket_serves_and_is_watched(void **state)
{
	struct server *s = *state;
	struct wgh_error error = {""};
	struct uapi_handler h = handler;
	struct uapi_socket made, adopted;
	struct uapi_server *server;
	int fd;

	h.arg = &s->device;
	assert_int_equal(uapi_socket_make(&made, s->dir, "wgt3", &error), 0);
	assert_int_equal(uapi_socket_adopt(&adopted, made.fd, &error), 0);
	assert_string_equal(adopted.path, made.path);
	assert_int_equal(uapi_server_new(&server, &s->loop, &adopted, &h, &error), 0);
	assert_int_equal(uapi_socket_path(&s->addr, s->dir, "wgt3", &error), 0);
	fd = client(s);
	ask(s, fd, "set=1\n\n", "errno=0\n\n");
	close(fd);
	unlink(adopted.path);
	for (int i = 0; i < 10000 && !s->n_gone; i++) {
		turn(s);
		usleep(1000);
	}
	assert_int_equal(s->n_gone, 1);
	uapi_server_free(server);
}

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVER_TEST(test_socket_is_for_the_owner_only),
		SERVER_TEST(test_set_then_get_on_one_connection),
		SERVER_TEST(test_errno_is_negative_for_set_and_positive_for_get),
		SERVER_TEST(test_mistake_in_the_last_line_changes_nothing),
		SERVER_TEST(test_requests_sent_at_once_are_answered_in_order),
		SERVER_TEST(test_unfinished_request_changes_nothing),
		SERVER_TEST(test_other_protocols_are_hung_up_on),
		SERVER_TEST(test_reader_that_does_not_read_costs_little_and_blocks_nobody),
		SERVER_TEST(test_slow_reader_is_closed_after_a_while),
		SERVER_TEST(test_silent_client_is_closed_after_a_while),
		SERVER_TEST(test_own_request_is_answered_at_once_or_refused_with_words),
		SERVER_TEST(test_long_own_answer_arrives_whole),
		SERVER_TEST(test_own_answer_may_come_later_and_blocks_nobody),
		SERVER_TEST(test_answer_to_a_client_that_left_is_dropped),
		SERVER_TEST(test_answer_after_the_end_of_the_server_is_dropped),
		SERVER_TEST(test_one_client_too_many_closes_the_longest_silent),
		SERVER_TEST(test_removed_socket_ends_the_hub),
		SERVER_TEST(test_replaced_socket_ends_the_hub_and_stays),
		SERVER_TEST(test_live_socket_refuses_a_second_hub),
		SERVER_TEST(test_adopted_socket_serves_and_is_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
