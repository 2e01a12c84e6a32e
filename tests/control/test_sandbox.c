/* test_sandbox.c - what cannot be done any more once the sandbox is entered, tried by doing it.
 * Every test runs in a child of its own, for there is no way out. The threads are those of a real
 * device.
 */
#include "tests/lib/sanitizer.h"

#include "control/file.h"
#include "control/keeper.h"
#include "control/sandbox.h"
#include "io/device.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static char secret_path[100], state_path[100], sibling_path[100], socket_path[100];
static char other_path[100]; /* in another folder, for everybody to read */

/* ---- a child that reports ---- */

/* Line of the first check that failed. */
#define TRY(condition)                                                                             \
	do {                                                                                       \
		if (!(condition))                                                                  \
			_exit_line(__LINE__);                                                      \
	} while (0)
static int report_fd;

static void _exit_line(int line)
{
	dprintf(report_fd, "line %d: errno %d", line, errno);
	_exit(1);
}

/* Signal that ended it, 0 if it ended well. */
static int in_child(void (*what)(void))
{
	char text[80] = "";
	int status, pipe_fds[2];
	pid_t pid;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL); /* cmocka's would hide it */
		signal(SIGSYS, SIG_DFL);
		report_fd = pipe_fds[1];
		what();
		sandbox_end();
		_exit(0);
	}
	close(pipe_fds[1]);
	IGNORE_RESULT(read(pipe_fds[0], text, sizeof text - 1));
	close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (text[0])
		fail_msg("%s", text);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? -1 : 0;
}

/* ---- a device in the sandbox ---- */

static uv_loop_t loop;
static struct wgh_device *device;

static void on_thread(void *arg)
{
	(void)arg;
	sandbox_thread();
}

static void begin(const char *user)
{
	const struct sandbox_options options = {.user = user};
	struct wgh_device_options o = {.size = sizeof o,
		.ifname = "test",
		.tun_fd = -1,
		.no_tun = true,
		.n_workers = 1,
		.on_thread = on_thread};
	struct wgh_error error;

	TRY(sandbox_begin(&options, &error) == 0);
	uv_loop_init(&loop);
	TRY(wgh_device_new(&device, &loop, &o, &error) == 0);
	TRY(sandbox_allow_file(secret_path, false, &error) == 0);
	TRY(sandbox_allow_file(state_path, true, &error) == 0);
	TRY(sandbox_allow_file(socket_path, true, &error) == 0);
}

static void enter(void)
{
	struct wgh_error error;

	TRY(sandbox_enter(&error) == 0);
}

/* Main asks the thread that carries packets to do something else. */
static void in_data_path(void (*what)(struct carrier *, void *))
{
	struct carrier *c = &device->carriers[0];

	c->call = what;
	uv_async_send(&c->called);
	uv_sem_wait(&c->done);
}

static void on_protocol(uv_async_t *async)
{
	struct carrier *c = async->data;

	c->call(c, NULL);
	uv_sem_post(&c->done);
}

/* ---- the data path ---- */

static void try_everything(struct carrier *c, void *arg)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

	(void)c;
	(void)arg;
	TRY(open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM);
	TRY(open("/dev/null", O_WRONLY) < 0 && errno == EPERM);
	TRY(openat(AT_FDCWD, "/tmp/wghub-new", O_CREAT | O_WRONLY, 0600) < 0 && errno == EPERM);
	TRY(unlink(secret_path) < 0 && errno == EPERM);
	TRY(rename(secret_path, state_path) < 0 && errno == EPERM);
	TRY(chmod(secret_path, 0777) < 0 && errno == EPERM);
	TRY(socket(AF_INET, SOCK_DGRAM, 0) < 0 && errno == EPERM);
	TRY(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 && errno == EPERM);
	TRY(syscall(SYS_clone3, NULL, 0) < 0 && errno == EPERM);
	TRY(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 && errno == EPERM);
	TRY(kill(getppid(), 0) < 0 && errno == EPERM);
	TRY(prctl(PR_SET_DUMPABLE, 1) < 0 && errno == EPERM);
	TRY(syscall(SYS_setuid, 0) < 0 && errno == EPERM);
	TRY(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		MAP_FAILED);
	/* What a thread of the data path is for still works. */
	TRY(sendto(device->send_sockets->v4.fd, "", 1, 0, (struct sockaddr *)&to, sizeof to) == 1 ||
		errno != EPERM);
	void *memory = malloc(1 << 20);
	TRY(memory != NULL);
	memset(memory, 1, 1 << 20);
	free(memory);
}

static void data_path_tries(void)
{
	bool alive = false;

	begin(NULL);
	enter();
	in_data_path(try_everything);
	IGNORE_RESULT(wgh_device_is_alive(device));
	for (int i = 0; i < 600 && !alive; i++) {
		usleep(100000);
		alive = wgh_device_is_alive(device);
	}
	TRY(alive);
}

static void test_data_path_thread_cannot_open_or_start_anything(void **state)
{
	(void)state;
	if (UNDER_SANITIZER)
		skip();
	assert_int_equal(in_child(data_path_tries), 0);
}

static void exec_true(struct carrier *c, void *arg)
{
	char *const argv[] = {"true", NULL}, *const env[] = {NULL};

	(void)c;
	(void)arg;
	execve("/bin/true", argv, env);
}

static void data_path_executes(void)
{
	begin(NULL);
	enter();
	in_data_path(exec_true);
}

static void test_data_path_thread_that_executes_ends_the_process(void **state)
{
	(void)state;
	if (UNDER_SANITIZER)
		skip();
	assert_int_equal(in_child(data_path_executes), SIGSYS);
}

static void protocol_tries(void)
{
	static uv_async_t async;
	struct carrier *c;

	begin(NULL);
	enter();
	/* A handle added to its loop while it waits: uv_async_init() only links it in. */
	c = &device->carriers[0];
	c->call = try_everything;
	async.data = c;
	device_lock(device); /* it is not in the middle of something */
	TRY(uv_async_init(&device->protocol.loop, &async, on_protocol) == 0);
	device_unlock(device);
	uv_async_send(&async);
	uv_sem_wait(&c->done);
}

static void test_protocol_thread_cannot_open_or_start_anything(void **state)
{
	(void)state;
	if (UNDER_SANITIZER)
		skip();
	assert_int_equal(in_child(protocol_tries), 0);
}

/* ---- main ---- */

static void main_tries(void)
{
	char *const argv[] = {"true", NULL}, *const env[] = {NULL};
	struct stat st;
	int fd;

	begin(NULL);
	enter();
	TRY(geteuid() != 0 && getuid() != 0 && getgroups(0, NULL) == 0);
	TRY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	TRY(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	TRY(syscall(SYS_setresuid, 0, 0, 0) < 0);
	TRY(execve("/bin/true", argv, env) < 0 && errno == EPERM);
	TRY(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 && errno == EPERM);
	TRY(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0);
	TRY(socket(AF_PACKET, SOCK_RAW, 0) < 0);
	TRY(kill(getppid(), 0) < 0);
	TRY(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) == MAP_FAILED);
	/* Readable by everybody, and not ours to read. */
	TRY(open(other_path, O_RDONLY) < 0 && errno == EACCES);
	TRY(open("/tmp/wghub-new", O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES);
	TRY(open("/proc/self/mem", O_RDWR) < 0);
	/* What libc needs to find names. */
	fd = open("/etc/nsswitch.conf", O_RDONLY);
	TRY(fd >= 0 || errno == ENOENT);
	TRY(stat("/etc", &st) == 0);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	TRY(fd >= 0 || errno == EAFNOSUPPORT);
}

static void test_main_has_no_rights_of_root_and_reaches_few_files(void **state)
{
	(void)state;
	if (UNDER_SANITIZER)
		skip();
	assert_int_equal(in_child(main_tries), 0);
}

static void unknown_user(void)
{
	const struct sandbox_options options = {.user = "no-such-user-here"};
	struct wgh_error error;

	TRY(sandbox_begin(&options, &error) == -EINVAL);
	TRY(strstr(error.text, "no user no-such-user-here"));
}

static void test_a_user_that_is_not_there_is_an_error(void **state)
{
	(void)state;
	if (UNDER_SANITIZER)
		skip();
	assert_int_equal(in_child(unknown_user), 0);
}

static void off(void)
{
	const struct sandbox_options options = {.off = true};
	struct wgh_error error;

	TRY(sandbox_begin(&options, &error) == 0);
	TRY(sandbox_enter(&error) == 0);
	TRY(geteuid() == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
	TRY(open(other_path, O_RDONLY) >= 0);
}

static void test_without_the_sandbox_nothing_is_given_up(void **state)
{
	(void)state;
	assert_int_equal(in_child(off), 0);
}

/* ---- files, as another user, through the keeper ---- */

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static bool reads(const char *path, const char *text)
{
	struct file_text file;
	struct wgh_error error;
	bool same = !file_read(&file, path, 1000, &error) && !strcmp(file.bytes, text);

	file_text_fini(&file);
	return same;
}

static void files_of_root(void)
{
	struct wgh_error error;
	struct stat st;
	int lock_fd;

	begin(NULL);
	enter();
	TRY(open(secret_path, O_RDONLY) < 0 && errno == EACCES);
	TRY(reads(secret_path, "secret"));
	TRY(file_stat(secret_path, &st) == 0 && st.st_size == 6 && st.st_uid == 0);
	TRY(file_replace(secret_path, "x", 1, 0600, 0, &error) < 0);
	TRY(file_put_aside(secret_path) < 0);
	TRY(reads(secret_path, "secret"));
	/* May be written. */
	TRY(file_lock(&lock_fd, state_path, 0, &error) == 0);
	TRY(file_replace(state_path, "new state", 9, 0600, 0, &error) == 0);
	file_unlock(lock_fd);
	TRY(reads(state_path, "new state"));
	TRY(file_stat(state_path, &st) == 0 && (st.st_mode & 07777) == 0600 && st.st_uid == 0);
	TRY(file_put_aside(state_path) == 0);
	TRY(file_stat(state_path, &st) == -ENOENT);
	/* Not on the list, though in the same folder and root's. */
	TRY(file_open(sibling_path) == -EACCES);
	TRY(file_replace(sibling_path, "x", 1, 0600, 0, &error) < 0);
	/* Too late for more. */
	TRY(keeper_allow(sibling_path, true) < 0);
	TRY(keeper_open(sibling_path) == -EACCES);
	TRY(keeper_remove_socket(state_path) < 0);
	TRY(keeper_remove_socket(socket_path) == 0);
	TRY(file_stat(socket_path, &st) == -ENOENT);
}

static void test_files_of_root_are_read_and_written_through_the_keeper_alone(void **state)
{
	struct stat st;
	char path[120];

	(void)state;
	if (UNDER_SANITIZER)
		skip();
	assert_int_equal(in_child(files_of_root), 0);
	snprintf(path, sizeof path, "%s.damaged", state_path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof path, "%s.lock", state_path);
	assert_int_equal(unlink(path), 0);
	write_file(state_path, "old state", 0600);
}

/* The answer must not be mixed up with a file that came along with it. */
static void many_requests(void)
{
	struct wgh_error error;
	char text[20000];
	int lowest_free;

	begin(NULL);
	enter();
	memset(text, 'a', sizeof text);
	lowest_free = dup(0);
	close(lowest_free);
	for (int i = 0; i < 300; i++) {
		struct file_text file;

		TRY(reads(secret_path, "secret"));
		TRY(file_replace(state_path, text, sizeof text - (size_t)i, 0600, 0, &error) == 0);
		TRY(file_read(&file, state_path, sizeof text, &error) == 0);
		TRY(file.n == sizeof text - (size_t)i);
		file_text_fini(&file);
	}
	TRY(dup(0) == lowest_free); /* none was left open */
}

static void test_keeper_answers_many_requests_and_leaves_nothing_open(void **state)
{
	(void)state;
	if (UNDER_SANITIZER)
		skip();
	assert_int_equal(in_child(many_requests), 0);
}

static void keeper_is_gone(void)
{
	char path[64], text[32] = "";
	struct wgh_error error;
	pid_t pid;
	int fd;

	begin(NULL);
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY);
	TRY(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
	pid = atoi(text);
	/* It outlives what ends the hub, because the hub needs it for that. */
	TRY(kill(pid, SIGTERM) == 0 && kill(pid, SIGINT) == 0);
	TRY(file_open(secret_path) >= 0);
	TRY(kill(pid, SIGKILL) == 0);
	TRY(sandbox_enter(&error) < 0);
	TRY(strstr(error.text, "give up"));
}

static void test_without_its_keeper_the_hub_does_not_start(void **state)
{
	(void)state;
	if (UNDER_SANITIZER)
		skip();
	assert_int_equal(in_child(keeper_is_gone), 0);
}

/* ---- */

static int set_up(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	strcpy(dir, "/tmp/wghub-sandbox.XXXXXX");
	assert_non_null(mkdtemp(dir));
	/* Others may look into the folder, so that it is not that which stops them. */
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(secret_path, sizeof secret_path, "%s/secret", dir);
	snprintf(state_path, sizeof state_path, "%s/state", dir);
	snprintf(socket_path, sizeof socket_path, "%s/socket", dir);
	snprintf(sibling_path, sizeof sibling_path, "%s/sibling", dir);
	snprintf(other_path, sizeof other_path, "/tmp/wghub-other.%d", (int)getpid());
	write_file(secret_path, "secret", 0600);
	write_file(state_path, "old state", 0600);
	write_file(sibling_path, "sibling", 0600);
	write_file(other_path, "other", 0644);
	strcpy(addr.sun_path, socket_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	return close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	unlink(secret_path);
	unlink(state_path);
	unlink(socket_path);
	unlink(sibling_path);
	unlink(other_path);
	return rmdir(dir); /* fails if anything was left in it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_path_thread_cannot_open_or_start_anything),
		cmocka_unit_test(test_data_path_thread_that_executes_ends_the_process),
		cmocka_unit_test(test_protocol_thread_cannot_open_or_start_anything),
		cmocka_unit_test(test_main_has_no_rights_of_root_and_reaches_few_files),
		cmocka_unit_test(test_a_user_that_is_not_there_is_an_error),
		cmocka_unit_test(test_without_the_sandbox_nothing_is_given_up),
		cmocka_unit_test(test_files_of_root_are_read_and_written_through_the_keeper_alone),
		cmocka_unit_test(test_keeper_answers_many_requests_and_leaves_nothing_open),
		cmocka_unit_test(test_without_its_keeper_the_hub_does_not_start),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
