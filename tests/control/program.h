/* program.h - the program that was built beside this test, run with a directory of its own. For
 * test_cli.c and test_cli_hub.c. Needs no privilege.
 */
#ifndef TESTS_CONTROL_PROGRAM_H
#define TESTS_CONTROL_PROGRAM_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define KEY1 "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define KEY2 "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="

struct run {
	int code;
	char out[65536], err[4096];
};

static char program[4096], dir[64];
static const char *stdout_goes_to = "out"; /* NULL: it is closed */

/* The program that was built beside this test. */
static inline int group_setup(void **state)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 32);

	(void)state;
	assert_true(n > 0);
	program[n] = 0;
	for (int i = 0; i < 3; i++)
		dirname(program);
	strcat(program, "/wghub");
	assert_int_equal(access(program, X_OK), 0);
	strcpy(dir, "/tmp/wghub-test-cli-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	umask(077);
	return 0;
}

static inline int group_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

static inline void slurp(const char *name, char *out, size_t size)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	n = read(fd, out, size - 1);
	close(fd);
	assert_true(n >= 0);
	out[n] = 0;
}

static inline void spill(const char *name, const char *text, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* Starts the program with words split at spaces, in dir, with input from the file "in"; by the
 * emulator where there is one, because the kernel does not start programs for another machine. */
static inline pid_t start(const char *line)
{
	char copy[1024], *argv[32], *emulator = getenv("WGHUB_EMULATOR");
	int argc = 0;
	pid_t pid;

	snprintf(copy, sizeof copy, "%s", line);
	if (emulator)
		argv[argc++] = emulator;
	argv[argc++] = program;
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	pid = fork();
	if (pid)
		return pid;
	if (chdir(dir))
		_exit(99);
	dup2(open("in", O_RDONLY | O_CREAT, 0600), 0);
	dup2(open(stdout_goes_to ? stdout_goes_to : "out", O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
	dup2(open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
	if (!stdout_goes_to)
		close(1);
	execvp(argv[0], argv);
	_exit(99);
}

static inline int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline struct run *run(const char *line)
{
	static struct run r;

	r.code = wait_for(start(line));
	slurp("out", r.out, sizeof r.out);
	slurp("err", r.err, sizeof r.err);
	return &r;
}

#endif
