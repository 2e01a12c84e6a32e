/* test_file.c - control/file.c: whole files in, whole files out, also where rename() is refused.
 * That part bind-mounts in a mount namespace of its own and is skipped without the right to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/file.h"

static char folder[64], path[100];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/wghub-file-XXXXXX");
	snprintf(path, sizeof path, "%s/f", mkdtemp(folder) ? folder : "");
	return 0;
}

static int remove_folder(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static int replace(const char *at, const char *text, mode_t mode, unsigned flags)
{
	struct wgh_error error = {""};
	int err = file_replace(at, text, strlen(text), mode, flags, &error);

	assert_int_equal(err != 0, error.text[0] != 0);
	return err;
}

static bool holds(const char *at, const char *text)
{
	struct wgh_error error;
	struct file_text t;
	bool same =
		!file_read(&t, at, 1000, &error) && t.n == strlen(text) && !strcmp(t.bytes, text);

	file_text_fini(&t);
	return same;
}

static bool is_there(const char *name)
{
	char at[120];

	snprintf(at, sizeof at, "%s/%s", folder, name);
	return access(at, F_OK) == 0;
}

static void test_new_file_has_the_mode_whatever_the_umask(void **state)
{
	mode_t before = umask(0);
	struct stat st;

	(void)state;
	assert_int_equal(replace(path, "one\n", 0600, 0), 0);
	umask(before);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(holds(path, "one\n"));
	umask(077);
	assert_int_equal(replace(path, "", 0644, 0), 0);
	umask(before);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_true(holds(path, ""));
	assert_false(is_there(".f.new"));
}

static void test_owner_and_mode_of_the_old_file_are_kept_when_asked(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(replace(path, "one\n", 0640, 0), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 1234, 2345), 0);
	assert_int_equal(replace(path, "two\n", 0600, FILE_LIKE_BEFORE), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	if (geteuid() == 0)
		assert_true(st.st_uid == 1234 && st.st_gid == 2345);
	assert_true(holds(path, "two\n"));
}

static void test_reader_with_the_old_file_open_goes_on_reading_it(void **state)
{
	char buf[10];
	int fd;

	(void)state;
	assert_int_equal(replace(path, "old", 0600, 0), 0);
	fd = open(path, O_RDONLY);
	assert_int_equal(replace(path, "newer", 0600, 0), 0);
	assert_int_equal(read(fd, buf, sizeof buf), 3);
	assert_memory_equal(buf, "old", 3);
	close(fd);
}

static void test_link_stays_and_its_target_is_replaced(void **state)
{
	char link[140], sub[120];
	struct stat st;

	(void)state;
	snprintf(sub, sizeof sub, "%s/sub", folder);
	snprintf(link, sizeof link, "%s/link", sub);
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_int_equal(symlink("../f", link), 0);
	assert_int_equal(replace(path, "one", 0600, 0), 0);
	assert_int_equal(replace(link, "two", 0600, 0), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_true(holds(path, "two"));
}

/* A crash leaves it; somebody else may have put a trap there. */
static void test_temporary_file_of_before_is_neither_used_nor_followed(void **state)
{
	char temporary[120], victim[120];

	(void)state;
	snprintf(temporary, sizeof temporary, "%s/.f.new", folder);
	snprintf(victim, sizeof victim, "%s/victim", folder);
	assert_int_equal(replace(victim, "precious", 0600, 0), 0);
	assert_int_equal(symlink(victim, temporary), 0);
	assert_int_equal(replace(path, "text", 0600, 0), 0);
	assert_true(holds(victim, "precious"));
	assert_true(holds(path, "text"));
	assert_false(is_there(".f.new"));
}

static void test_reading_refuses_what_is_no_small_plain_file(void **state)
{
	struct wgh_error error = {""};
	struct file_text t;
	char fifo[120];

	(void)state;
	assert_int_equal(replace(path, "12345", 0600, 0), 0);
	assert_int_equal(file_read(&t, path, 5, &error), 0);
	assert_int_equal(t.n, 5);
	assert_int_equal(t.mode, 0600);
	assert_true(t.mtime_ns > 0);
	file_text_fini(&t);
	assert_int_equal(file_read(&t, path, 4, &error), -EFBIG);
	assert_null(t.bytes);
	assert_int_equal(file_read(&t, folder, 5, &error), -EINVAL);
	snprintf(fifo, sizeof fifo, "%s/fifo", folder);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(file_read(&t, fifo, 5, &error), -EINVAL); /* and does not wait */
	assert_int_equal(file_read(&t, "/nonexistent/f", 5, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/f"));
	assert_int_equal(replace("/nonexistent/f", "x", 0600, 0), -ENOENT);
}

static void test_lock_is_for_one_at_a_time(void **state)
{
	struct wgh_error error = {""};
	int a = -1, b = -1;
	struct stat st;
	char lock[120];

	(void)state;
	assert_int_equal(file_lock(&a, path, 0, &error), 0);
	assert_int_equal(file_lock(&b, path, 30, &error), -EAGAIN);
	assert_int_equal(b, -1);
	file_unlock(a);
	assert_int_equal(file_lock(&b, path, 0, &error), 0);
	file_unlock(b);
	file_unlock(-1);
	snprintf(lock, sizeof lock, "%s.lock", path);
	assert_int_equal(stat(lock, &st), 0);
	snprintf(lock, sizeof lock, "%s.none/x", path);
	assert_int_equal(file_lock(&a, lock, 0, &error), -ENOENT);
	assert_non_null(strstr(error.text, ".none: this folder is needed"));
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* Runs in a child with a mount namespace of its own. 77: not allowed here. */
static int in_namespace(int (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(77);
		_exit(body());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__ % 200 + 1;                                                 \
	} while (0)

/* As a container has it: /etc/hosts is a mount point, and rename() over it says EBUSY. */
static int bind_mounted(void)
{
	struct wgh_error error;
	struct stat before, after;

	CHECK(!file_replace(path, "a longer text", 13, 0644, 0, &error));
	CHECK(!mount(path, path, NULL, MS_BIND, NULL));
	CHECK(!stat(path, &before));
	CHECK(file_replace(path, "x", 1, 0644, 0, &error) == -EBUSY);
	CHECK(holds(path, "a longer text"));
	CHECK(!file_replace(path, "short", 5, 0644, FILE_IN_PLACE_OK, &error));
	CHECK(holds(path, "short"));
	CHECK(!file_replace(path, "a longer text again", 19, 0644, FILE_IN_PLACE_OK, &error));
	CHECK(holds(path, "a longer text again"));
	CHECK(!stat(path, &after));
	CHECK(before.st_ino == after.st_ino);
	CHECK(!is_there(".f.new"));
	return 0;
}

/* As a systemd unit with ProtectSystem=strict has it: one file is writable, its folder is not. */
static int read_only_folder(void)
{
	struct wgh_error error;
	int fd, again;

	CHECK(!file_replace(path, "one", 3, 0644, 0, &error));
	CHECK(!mount(path, path, NULL, MS_BIND, NULL));
	CHECK(!mount(folder, folder, NULL, MS_BIND | MS_REC, NULL));
	CHECK(!mount(NULL, folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	CHECK(file_replace(path, "x", 1, 0644, 0, &error) == -EROFS);
	CHECK(!file_replace(path, "two", 3, 0644, FILE_IN_PLACE_OK, &error));
	CHECK(holds(path, "two"));
	/* The lock is then on the file itself. */
	CHECK(!file_lock(&fd, path, 0, &error));
	CHECK(file_lock(&again, path, 0, &error) == -EAGAIN);
	file_unlock(fd);
	return 0;
}

static int full_disk(void)
{
	struct wgh_error error;
	char *large = calloc(1, 100000);

	memset(large, 'x', 99999);
	CHECK(!mount("none", folder, "tmpfs", 0, "size=16k"));
	CHECK(!file_replace(path, "precious", 8, 0600, 0, &error));
	CHECK(file_replace(path, large, 99999, 0600, 0, &error) == -ENOSPC);
	CHECK(holds(path, "precious"));
	CHECK(!is_there(".f.new"));
	/* The same where only in place is left. */
	CHECK(!mount(path, path, NULL, MS_BIND, NULL));
	CHECK(!mount(folder, folder, NULL, MS_BIND | MS_REC, NULL));
	CHECK(!mount(NULL, folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	CHECK(file_replace(path, large, 99999, 0600, FILE_IN_PLACE_OK, &error) == -ENOSPC);
	CHECK(holds(path, "precious"));
	free(large);
	return 0;
}

static void in_namespace_or_skip(int (*body)(void))
{
	int status = in_namespace(body);

	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

static void test_bind_mounted_file_is_written_in_place(void **state)
{
	(void)state;
	in_namespace_or_skip(bind_mounted);
}

static void test_file_in_a_read_only_folder_is_written_in_place(void **state)
{
	(void)state;
	in_namespace_or_skip(read_only_folder);
}

/* Row 12 of the old daemon's faults: a full disk emptied /etc/hosts. */
static void test_full_disk_leaves_the_old_file(void **state)
{
	(void)state;
	in_namespace_or_skip(full_disk);
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(test_new_file_has_the_mode_whatever_the_umask),
		FILE_TEST(test_owner_and_mode_of_the_old_file_are_kept_when_asked),
		FILE_TEST(test_reader_with_the_old_file_open_goes_on_reading_it),
		FILE_TEST(test_link_stays_and_its_target_is_replaced),
		FILE_TEST(test_temporary_file_of_before_is_neither_used_nor_followed),
		FILE_TEST(test_reading_refuses_what_is_no_small_plain_file),
		FILE_TEST(test_lock_is_for_one_at_a_time),
		FILE_TEST(test_bind_mounted_file_is_written_in_place),
		FILE_TEST(test_file_in_a_read_only_folder_is_written_in_place),
		FILE_TEST(test_full_disk_leaves_the_old_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
