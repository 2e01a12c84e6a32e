/* hook.c - see hook.h. The lines of a run lie in a memfd, which becomes the command's standard
 * input: it ends where they end, and nobody has to feed a command that does not read. */
#include "control/hook.h"

#include "control/error.h"
#include "control/log.h"
#include "control/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILL_MS 1000 /* between SIGTERM and SIGKILL */
#define TRIES_AT_END 2
#define NEVER UINT64_MAX

static const struct hook_times usual_times = {.gather_ms = 100,
	.run_ms = 30000,
	.retry_ms = 1000,
	.retry_max_ms = 60000,
	.give_up_ms = 15 * 60000};

/* Memory of both sides: what the process tells the hub. */
struct shared {
	_Atomic uint64_t given_up; /* lines, not yet taken */
	_Atomic uint64_t waiting_bytes, n_runs, n_failed;
};

static struct {
	int fd; /* the pipe's end for lines */
	pid_t pid;
	struct shared *shared;
} hook = {.fd = -1};

/* ---- the process ---- */

struct process {
	const char *command;
	struct hook_times times;
	struct shared *shared;
	int in;
	bool ended; /* the hub has */
	char queue[HOOK_QUEUE_BYTES];
	size_t n;
	/* the run under way, or the last one */
	pid_t pid; /* 0: none */
	size_t batch; /* bytes of it, from the queue's beginning */
	bool late; /* SIGTERM was sent */
	uint64_t stop_ms; /* when it is told to end, and then made to */
	/* between runs */
	uint64_t next_ms; /* when to run; NEVER: nothing waits */
	uint64_t failing_ms; /* since when; 0: not */
	unsigned retry_ms;
	uint64_t end_ms; /* nothing is begun from then on */
	unsigned n_failed_at_end;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The bytes that the next run gets. */
static size_t whole_lines(const struct process *p)
{
	size_t n = p->n < HOOK_BATCH_BYTES ? p->n : HOOK_BATCH_BYTES;
	const char *last = memrchr(p->queue, '\n', n);

	return last ? (size_t)(last - p->queue) + 1 : 0;
}

static void forget(struct process *p, size_t n)
{
	memmove(p->queue, p->queue + n, p->n - n);
	p->n -= n;
	atomic_store(&p->shared->waiting_bytes, p->n);
}

static uint64_t count_lines(const char *bytes, size_t n)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += bytes[i] == '\n';
	return lines;
}

static void give_up(struct process *p, size_t n)
{
	uint64_t lines = count_lines(p->queue, n);

	atomic_fetch_add(&p->shared->given_up, lines);
	log_warn("events given up n=%llu why=\"the events command does not take them\"",
		(unsigned long long)lines);
	forget(p, n);
}

/* -1: without memory. */
static int batch_fd(const struct process *p, size_t n)
{
	int fd = memfd_create("events", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (write(fd, p->queue, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return -1;
}

/* In the child. Signals that we ignore would be ignored by the command, too. */
static void become_command(const char *command, int in)
{
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD};
	const char *path = getenv("PATH");
	char path_text[4096];
	char *const environment[] = {path_text, (char *)"LANG=C.UTF-8", NULL};
	sigset_t none;

	snprintf(path_text, sizeof path_text, "PATH=%s",
		path && *path ? path
			      : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	for (unsigned i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(in, STDIN_FILENO) == STDIN_FILENO)
		execle("/bin/sh", "sh", "-c", command, (char *)NULL, environment);
	_exit(127);
}

/* Systemd ends the command together with the hub, so that the last run deserves another try. */
static void failed_at_end(struct process *p)
{
	p->n_failed_at_end++;
	p->next_ms = now_ms() + p->times.gather_ms;
}

static void failed(struct process *p, const char *why)
{
	uint64_t now = now_ms();

	atomic_fetch_add(&p->shared->n_failed, 1);
	if (!p->failing_ms) {
		log_warn(
			"events command failed why=\"%s\" note=\"the lines are tried again\"", why);
		p->failing_ms = now;
		p->retry_ms = p->times.retry_ms;
	} else {
		p->retry_ms = p->retry_ms * 2 < p->times.retry_max_ms ? p->retry_ms * 2
								      : p->times.retry_max_ms;
	}
	if (now - p->failing_ms >= p->times.give_up_ms) {
		give_up(p, p->batch);
		p->failing_ms = now;
	}
	p->next_ms = now + p->retry_ms;
	if (p->ended)
		failed_at_end(p);
}

static void succeeded(struct process *p)
{
	if (p->failing_ms)
		log_info("events command works again");
	p->failing_ms = 0;
	forget(p, p->batch);
	p->next_ms = whole_lines(p) ? now_ms() + p->times.gather_ms : NEVER;
}

static void begin_run(struct process *p)
{
	int fd;

	p->batch = whole_lines(p);
	fd = batch_fd(p, p->batch);
	p->pid = fd < 0 ? -1 : fork();
	if (p->pid == 0)
		become_command(p->command, fd);
	if (fd >= 0)
		close(fd);
	if (p->pid < 0) {
		p->pid = 0;
		failed(p, strerror(errno));
		return;
	}
	atomic_fetch_add(&p->shared->n_runs, 1);
	p->late = false;
	p->stop_ms = now_ms() + p->times.run_ms;
	if (p->stop_ms > p->end_ms)
		p->stop_ms = p->end_ms;
}

static void judge_run(struct process *p, int status)
{
	char why[64];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		succeeded(p);
		return;
	}
	if (p->late)
		snprintf(why, sizeof why, "it was too slow");
	else if (WIFEXITED(status))
		snprintf(why, sizeof why, "exit code %d", WEXITSTATUS(status));
	else
		snprintf(why, sizeof why, "signal %d", WTERMSIG(status));
	failed(p, why);
}

/* What it has left running ends with it; until it is reaped its number is nobody else's. */
static void look_at_run(struct process *p)
{
	siginfo_t info = {0};
	int status = 0;

	if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
		return;
	kill(-p->pid, SIGKILL);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
	judge_run(p, status);
}

static void stop_run(struct process *p)
{
	kill(-p->pid, p->late ? SIGKILL : SIGTERM);
	p->stop_ms = now_ms() + KILL_MS;
	p->late = true;
}

/* False: nothing is there, or there is no room. */
static bool take_lines(struct process *p)
{
	ssize_t n = read(p->in, p->queue + p->n, sizeof p->queue - p->n);

	if (n <= 0)
		return false;
	p->n += (size_t)n;
	atomic_store(&p->shared->waiting_bytes, p->n);
	if (p->next_ms == NEVER && !p->pid && whole_lines(p))
		p->next_ms = now_ms() + p->times.gather_ms;
	return true;
}

/* What waits is told at once, whatever was before. */
static void hub_has_ended(struct process *p)
{
	p->ended = true;
	p->end_ms = now_ms() + HOOK_END_MS;
	if (p->pid && p->stop_ms > p->end_ms)
		p->stop_ms = p->end_ms;
	p->next_ms = 0;
}

static int until(uint64_t at_ms)
{
	uint64_t now = now_ms();

	if (at_ms == NEVER)
		return -1;
	return at_ms <= now ? 0 : at_ms - now > INT_MAX ? INT_MAX : (int)(at_ms - now);
}

/* Until something comes, ends or is due. A child's end interrupts it: SIGCHLD comes nowhere else.
 */
static void wait_for_something(struct process *p, const sigset_t *mask)
{
	struct pollfd in = {.fd = p->in, .events = p->n < sizeof p->queue ? POLLIN : 0};
	int ms = until(p->pid ? p->stop_ms : p->next_ms);
	struct timespec timeout = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	if (ppoll(&in, !p->ended, ms < 0 ? NULL : &timeout, mask) <= 0)
		return;
	while (take_lines(p))
		;
	if (in.revents & (POLLHUP | POLLERR))
		hub_has_ended(p);
}

static void on_child(int number)
{
	(void)number;
}

static bool is_over(const struct process *p)
{
	return !whole_lines(p) || p->n_failed_at_end >= TRIES_AT_END || now_ms() >= p->end_ms;
}

static void serve(struct process *p)
{
	sigset_t child, mask;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &mask);
	signal(SIGCHLD, on_child);
	sigdelset(&mask, SIGCHLD);
	for (;;) {
		if (p->pid)
			look_at_run(p);
		while (p->ended && take_lines(p))
			;
		if (p->ended && !p->pid && is_over(p))
			break;
		if (p->pid && now_ms() >= p->stop_ms)
			stop_run(p);
		else if (!p->pid && p->next_ms <= now_ms())
			begin_run(p);
		else
			wait_for_something(p, &mask);
	}
	if (p->n)
		give_up(p, p->n);
}

/* Only the pipe stays, and perhaps standard error: somebody may wait for the others' end. */
static void let_go_of_everything(struct process *p, bool say)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; null >= 0 && fd <= (say ? STDOUT_FILENO : STDERR_FILENO); fd++)
		dup2(null, fd);
	dup3(p->in, STDERR_FILENO + 1, O_CLOEXEC);
	closefrom(STDERR_FILENO + 2);
	p->in = STDERR_FILENO + 1;
	IGNORE_RESULT(chdir("/"));
}

static void run_process(struct process *p, bool say)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE};

	/* The hub gets them too, and has something to say about its end. */
	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
		signal(numbers[i], SIG_IGN);
	prctl(PR_SET_NAME, "wghub-events");
	let_go_of_everything(p, say);
	if (sandbox_enter_hook())
		_exit(1);
	serve(p);
	_exit(0);
}

/* ---- the hub's side ---- */

static int fail(struct wgh_error *error, int err)
{
	error_set(error, "--events-command: cannot start a process: %s", strerror(-err));
	return err;
}

static int start(struct process *p, bool say)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	/* The peers of a large hub's start are thousands of lines at once. */
	(void)fcntl(fds[1], F_SETPIPE_SZ, (int)HOOK_QUEUE_BYTES);
	hook.pid = fork();
	if (hook.pid == 0) {
		p->in = fds[0];
		run_process(p, say);
	}
	close(fds[0]);
	hook.fd = fds[1];
	return hook.pid < 0 ? -errno : 0;
}

int hook_start(
	const char *command, const struct hook_times *times, bool say, struct wgh_error *error)
{
	struct process *p;
	int err;

	if (!command)
		return 0;
	p = calloc(1, sizeof *p);
	if (!p)
		return fail(error, -ENOMEM);
	p->command = command;
	p->times = times ? *times : usual_times;
	p->next_ms = p->stop_ms = p->end_ms = NEVER;
	hook.shared = mmap(NULL, sizeof *hook.shared, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	p->shared = hook.shared;
	err = hook.shared == MAP_FAILED ? -errno : start(p, say);
	free(p);
	if (!err)
		return 0;
	if (hook.shared == MAP_FAILED)
		hook.shared = NULL;
	hook_stop();
	return fail(error, err);
}

int hook_fd(void)
{
	return hook.fd;
}

uint64_t hook_take_given_up(void)
{
	return hook.shared ? atomic_exchange(&hook.shared->given_up, 0) : 0;
}

struct hook_numbers hook_numbers(void)
{
	struct hook_numbers n = {0};

	if (hook.shared)
		n = (struct hook_numbers){atomic_load(&hook.shared->waiting_bytes),
			atomic_load(&hook.shared->n_runs), atomic_load(&hook.shared->n_failed)};
	return n;
}

void hook_stop(void)
{
	if (hook.fd >= 0) {
		close(hook.fd);
		while (hook.pid > 0 && waitpid(hook.pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (hook.shared)
		munmap(hook.shared, sizeof *hook.shared);
	memset(&hook, 0, sizeof hook);
	hook.fd = -1;
}
