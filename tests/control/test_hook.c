/* test_hook.c - control/hook.c: a command gets lines on its standard input and nowhere else, again
 * where it fails, and never makes anybody wait. Each test has a folder of its own that the command
 * runs in by its absolute name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/hook.h"
#include "control/log.h"

#define OUT_BYTES (1u << 20)

static char folder[] = "/tmp/test_hook.XXXXXX";
static struct hook_times quick = {
	.gather_ms = 1, .run_ms = 60000, .retry_ms = 5, .retry_max_ms = 20, .give_up_ms = 60000};

/* The command as it is written, in our folder. */
static void start(const char *command)
{
	struct wgh_error error = {""};
	char line[1024];

	snprintf(line, sizeof line, "cd %s && { %s\n}", folder, command);
	if (hook_start(line, &quick, false, &error))
		fail_msg("%s", error.text);
	assert_true(hook_fd() >= 0);
}

static void put(const char *line)
{
	assert_int_equal(write(hook_fd(), line, strlen(line)), (ssize_t)strlen(line));
}

static void put_when_there_is_room(const char *line)
{
	while (write(hook_fd(), line, strlen(line)) < 0) {
		assert_int_equal(errno, EAGAIN);
		usleep(1000);
	}
}

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static const char *read_out(const char *name)
{
	static char text[OUT_BYTES];
	FILE *file = fopen(path_of(name), "re");
	size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;

	text[n] = 0;
	if (file)
		fclose(file);
	return text;
}

static void touch(const char *name)
{
	int fd = open(path_of(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	while ((text = strstr(text, word))) {
		n++;
		text += strlen(word);
	}
	return n;
}

/* The test's own time limit ends what never comes. */
static void wait_until_out_has(const char *name, const char *word, unsigned n)
{
	while (count(read_out(name), word) < n)
		usleep(2000);
}

static int clean(void **state)
{
	char line[100];

	(void)state;
	hook_stop();
	quick.run_ms = quick.give_up_ms = 60000;
	snprintf(line, sizeof line, "rm -rf %s/*", folder);
	return system(line);
}

static void test_lines_are_standard_input_and_no_words_for_the_shell(void **state)
{
	const char *line = "{\"name\":\"$(touch x) `touch x` ; touch x\"}\n";

	(void)state;
	start("cat >>out; echo \"$# $0\" >>words");
	put(line);
	wait_until_out_has("words", "\n", 1);
	assert_string_equal(read_out("out"), line);
	assert_string_equal(read_out("words"), "0 sh\n");
	hook_stop();
	assert_true(access(path_of("x"), F_OK) < 0);
}

static void test_command_inherits_neither_secrets_nor_descriptors(void **state)
{
	int fd = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */

	(void)state;
	assert_true(fd > STDERR_FILENO);
	setenv("APITOKEN", "secret", 1);
	signal(SIGPIPE, SIG_IGN);
	start("cat >/dev/null; env >env; ls /proc/$$/fd >fds; pwd -P >/dev/null; "
	      "grep SigIgn /proc/$$/status >ignored; cut -d ' ' -f 6 /proc/$$/stat >session; echo "
	      "$$ >>session");
	put("{}\n");
	hook_stop();
	unsetenv("APITOKEN");
	close(fd);
	assert_null(strstr(read_out("env"), "APITOKEN"));
	assert_non_null(strstr(read_out("env"), "PATH="));
	assert_true(count(read_out("fds"), "\n") >= 3);
	for (int i = 3; i < 10; i++) { /* dash keeps what it redirects at 10 */
		char word[16];

		snprintf(word, sizeof word, "\n%d\n", i);
		assert_null(strstr(read_out("fds"), word));
	}
	/* Signals 32 and 33 are libc's own; what make starts has them ignored. */
	assert_int_equal(strncmp(read_out("ignored"), "SigIgn:\t", 8), 0);
	assert_int_equal(strtoull(read_out("ignored") + 8, NULL, 16) & INT32_MAX, 0);
	assert_int_equal(atoi(read_out("session")), atoi(strchr(read_out("session"), '\n')));
}

static void test_failed_lines_come_again_until_they_are_taken(void **state)
{
	(void)state;
	start("cat >>out; test -e ok");
	put("{\"n\":1}\n");
	wait_until_out_has("out", "{\"n\":1}\n", 3);
	touch("ok");
	put("{\"n\":2}\n");
	wait_until_out_has("out", "{\"n\":2}\n", 1);
	hook_stop();
	assert_true(count(read_out("out"), "{\"n\":1}\n") >= 3);
	assert_int_equal(hook_take_given_up(), 0);
}

static void test_lines_that_nobody_takes_are_given_up_and_counted(void **state)
{
	uint64_t n = 0;

	(void)state;
	quick.give_up_ms = 0;
	start("cat >>out; false");
	put("{\"n\":1}\n{\"n\":2}\n");
	while (n < 2) {
		n += hook_take_given_up();
		usleep(1000);
	}
	assert_int_equal(n, 2);
	while (hook_numbers().waiting_bytes)
		usleep(1000);
	assert_true(hook_numbers().n_failed >= 1);
	assert_true(hook_numbers().n_runs >= hook_numbers().n_failed);
}

/* What the command leaves behind becomes our child: at the end there must be none. */
static void test_command_that_hangs_is_ended_with_all_it_started(void **state)
{
	(void)state;
	quick.run_ms = 300; /* time enough for a shell to say that all is well */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	start("cat >>out; test -e ok && exit 0; trap '' TERM; sleep 1000 & sleep 1000");
	put("{}\n");
	wait_until_out_has("out", "{}\n", 2);
	touch("ok");
	hook_stop();
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static void test_what_a_command_leaves_in_the_background_ends_with_it(void **state)
{
	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	start("sleep 1000 & cat >>out");
	put("{}\n");
	hook_stop();
	assert_string_equal(read_out("out"), "{}\n");
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static void test_who_writes_never_waits_for_a_command_that_does_not_read(void **state)
{
	char line[1001];
	size_t n = 0;
	ssize_t written;

	(void)state;
	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = '\n';
	start("sleep 1000");
	/* The process takes lines out of the pipe meanwhile: only a while of nothing means full. */
	for (unsigned refused = 0;
		refused < 200 || hook_numbers().waiting_bytes <= HOOK_QUEUE_BYTES / 2;) {
		written = write(hook_fd(), line, sizeof line);
		if (written == sizeof line) {
			n += sizeof line;
			refused = 0;
			continue;
		}
		assert_int_equal(written, -1);
		assert_int_equal(errno, EAGAIN);
		refused++;
		usleep(1000);
	}
	assert_true(n >= HOOK_QUEUE_BYTES / 2);
	assert_true(n <= HOOK_QUEUE_BYTES + (2u << 20));
	assert_true(hook_numbers().waiting_bytes <= HOOK_QUEUE_BYTES);
	assert_true(hook_numbers().waiting_bytes > HOOK_QUEUE_BYTES / 2);
}

static void test_last_lines_are_delivered_at_the_end(void **state)
{
	(void)state;
	start("cat >>out");
	for (unsigned i = 0; i < 1000; i++)
		put_when_there_is_room(
			"{\"a\":\"line of a length that makes a thousand of them more than one run "
			"takes"
			"\"}\n");
	hook_stop();
	assert_int_equal(count(read_out("out"), "}\n"), 1000);
	assert_int_equal(hook_fd(), -1);
}

static void test_end_does_not_wait_for_a_command_that_is_not_there(void **state)
{
	(void)state;
	start("/nonexistent/command");
	put("{}\n");
	hook_stop();
	assert_int_equal(hook_numbers().n_runs, 0); /* forgotten with the process */
}

static void test_without_a_command_there_is_nothing(void **state)
{
	struct wgh_error error;

	(void)state;
	assert_int_equal(hook_start(NULL, NULL, false, &error), 0);
	assert_int_equal(hook_fd(), -1);
	assert_int_equal(hook_take_given_up(), 0);
	hook_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			test_lines_are_standard_input_and_no_words_for_the_shell, clean),
		cmocka_unit_test_teardown(
			test_command_inherits_neither_secrets_nor_descriptors, clean),
		cmocka_unit_test_teardown(test_failed_lines_come_again_until_they_are_taken, clean),
		cmocka_unit_test_teardown(
			test_lines_that_nobody_takes_are_given_up_and_counted, clean),
		cmocka_unit_test_teardown(
			test_command_that_hangs_is_ended_with_all_it_started, clean),
		cmocka_unit_test_teardown(
			test_what_a_command_leaves_in_the_background_ends_with_it, clean),
		cmocka_unit_test_teardown(
			test_who_writes_never_waits_for_a_command_that_does_not_read, clean),
		cmocka_unit_test_teardown(test_last_lines_are_delivered_at_the_end, clean),
		cmocka_unit_test_teardown(
			test_end_does_not_wait_for_a_command_that_is_not_there, clean),
		cmocka_unit_test_teardown(test_without_a_command_there_is_nothing, clean),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	log_set_level(LEVEL_SILENT);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
