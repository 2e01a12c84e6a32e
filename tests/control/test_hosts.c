/* test_hosts.c - control/hosts*.c: the block, and everything around it that must not change. The
 * rows named are faults of the old Python daemon (tests/factory-faults.md). */
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
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/hosts.h"

#define START "## Factory(acme-presses) VPN Lookups\n"
#define END "## END Factory(acme-presses) VPN Lookups\n"
#define ENTRIES "10.42.42.2\tpress-line-07\n10.42.42.3\tpress-line-08\n"
#define BLOCK START ENTRIES END
#define OTHERS "127.0.0.1 localhost\n10.0.0.1\tserver www # old-name\n"

#define ENTRY(last, the_name)                                                                      \
	{                                                                                          \
		.address = {.bytes = {10, 42, 42, last}, .family = WGH_IPV4}, .name = the_name     \
	}

static const struct hosts_entry two[] = {ENTRY(3, "press-line-08"), ENTRY(2, "press-line-07")};

/* The new text, "" where nothing changes. */
static char *change(
	const char *text, const struct hosts_entry *entries, size_t n, struct notes *notes)
{
	struct hosts_block block = {.factory = "acme-presses",
		.own_name = "Hub.example.net",
		.entries = entries,
		.n_entries = n};
	size_t out_n;
	char *out;

	assert_int_equal(hosts_text(&out, &out_n, text, strlen(text), &block, notes), 0);
	out = realloc(out, out_n + 1);
	out[out_n] = 0;
	return out;
}

static void test_block_is_put_in_replaced_and_left_alone(void **state)
{
	static const struct {
		const char *before, *after; /* "": nothing changes */
	} cases[] = {{OTHERS, OTHERS "\n" BLOCK}, {"", BLOCK},
		{"127.0.0.1 localhost", "127.0.0.1 localhost\n\n" BLOCK}, {BLOCK, ""},
		{OTHERS "\n" BLOCK "10.0.0.9 last\n", ""},
		{OTHERS START "10.42.42.9\told\nanything\n" END "10.0.0.9 last",
			OTHERS BLOCK "10.0.0.9 last"},
		/* carriage returns and blanks behind a marker are somebody's editor */
		{"## Factory(acme-presses) VPN Lookups \r\n" ENTRIES
		 "## END Factory(acme-presses) VPN Lookups",
			BLOCK},
		/* row 13: the end is missing. Everything behind it was dropped */
		{OTHERS START "10.42.42.9\told\n# theirs\n10.0.0.9\ttheirs\n",
			OTHERS BLOCK "# theirs\n10.0.0.9\ttheirs\n"},
		{OTHERS START "10.0.0.9 theirs\n", OTHERS BLOCK "10.0.0.9 theirs\n"},
		{START "10.42.42.9\told", BLOCK},
		/* two blocks: the first stays */
		{BLOCK "# x\n" BLOCK "# y\n", BLOCK "# x\n# y\n"},
		{START "10.42.42.9\told\n# x\n" BLOCK "# y\n", BLOCK "# x\n# y\n"},
		{BLOCK "# x\n" START "10.42.42.9\told\n10.0.0.9 theirs\n",
			BLOCK "# x\n10.0.0.9 theirs\n"},
		/* an end without a beginning is no business of ours */
		{END "# x\n", END "# x\n\n" BLOCK},
		/* another factory's, and what only looks like ours */
		{"## Factory(acme) VPN Lookups\n10.9.9.9\tother\n## END Factory(acme) VPN "
		 "Lookups\n",
			"## Factory(acme) VPN Lookups\n10.9.9.9\tother\n## END Factory(acme) VPN "
			"Lookups\n\n" BLOCK},
		{"# " START, "# " START "\n" BLOCK},
		{"\x01\xff\r\n\t\n\n\n", "\x01\xff\r\n\t\n\n\n\n" BLOCK}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *after = change(cases[i].before, two, 2, NULL), *again;

		assert_string_equal(after, cases[i].after);
		/* Once more changes nothing. */
		again = change(*after ? after : cases[i].before, two, 2, NULL);
		assert_string_equal(again, "");
		free(again);
		free(after);
	}
}

static void test_without_devices_no_block_is_made_and_one_is_emptied(void **state)
{
	char *after = change(OTHERS, NULL, 0, NULL);

	(void)state;
	assert_string_equal(after, "");
	free(after);
	after = change(OTHERS BLOCK, NULL, 0, NULL);
	assert_string_equal(after, OTHERS START END);
	free(after);
}

/* Row 14: the daemon wrote any name, "localhost" as well. */
static void test_name_in_any_doubt_is_left_out(void **state)
{
	static const char *const bad[] = {"", "localhost", "LocalHost", "localhost.localdomain",
		"hub", "HUB.EXAMPLE.NET", "two words", "a\tb", "a\nb", "-a", ".a", "_a", "a.",
		"a#b", "b\xc3\xa4r", "server", "WWW", "a/b", "a%b"};
	struct hosts_entry entries[3] = {
		ENTRY(2, "press-line-07"), ENTRY(4, NULL), ENTRY(3, "press-line-08")};
	char longest[256];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct notes notes = {0};
		char *after;

		entries[1].name = bad[i];
		after = change(OTHERS, entries, 3, &notes);
		assert_string_equal(after, OTHERS "\n" BLOCK);
		assert_int_equal(notes.n, 1);
		free(after);
		notes_fini(&notes);
	}
	memset(longest, 'n', 254);
	for (size_t n = 254; n >= 253; n--) {
		char *after;

		longest[n] = 0;
		entries[1].name = longest;
		after = change(OTHERS, entries, 3, NULL);
		assert_int_equal(strstr(after, longest) != NULL, n == 253);
		free(after);
	}
	/* A name behind # is no name. */
	entries[1].name = "old-name";
	char *after = change(OTHERS, entries, 3, NULL);

	assert_non_null(strstr(after, "10.42.42.4\told-name\n"));
	free(after);
}

static void test_name_that_two_devices_have_is_left_out(void **state)
{
	const struct hosts_entry entries[] = {ENTRY(9, "twin"), ENTRY(2, "press-line-07"),
		ENTRY(5, "Twin"), ENTRY(3, "press-line-08"), ENTRY(6, "twin")};
	struct notes notes = {0};
	char *after = change(OTHERS, entries, 5, &notes);

	(void)state;
	assert_string_equal(after, OTHERS "\n" BLOCK);
	assert_int_equal(notes.n, 1);
	free(after);
	notes_fini(&notes);
}

static void test_entries_are_sorted_as_numbers(void **state)
{
	const struct hosts_entry entries[] = {ENTRY(100, "c"), ENTRY(20, "b"), ENTRY(3, "a")};
	char *after = change("", entries, 3, NULL);

	(void)state;
	assert_string_equal(after, START "10.42.42.3\ta\n10.42.42.20\tb\n10.42.42.100\tc\n" END);
	free(after);
}

static void test_factory_name_that_is_more_than_a_name_is_refused(void **state)
{
	static const char *const bad[] = {"", "a b", "a)", "a\nb", "a\tb"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct hosts_block block = {.factory = bad[i], .entries = two, .n_entries = 2};
		size_t n;
		char *out;

		assert_int_equal(hosts_text(&out, &n, "", 0, &block, NULL), -EINVAL);
		assert_null(out);
	}
}

/* ---- the file ---- */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Row 12: the daemon rewrote the file in place, at every pass. */
static void test_file_is_replaced_whole_and_only_when_it_changes(void **state)
{
	struct hosts_block block = {.factory = "acme-presses", .entries = two, .n_entries = 2};
	char folder[] = "/tmp/wghub-hosts-XXXXXX", path[100], text[500] = {0};
	struct wgh_error error = {""};
	struct stat before, after;
	bool written;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/hosts", folder);
	write_file(path, OTHERS);
	assert_int_equal(chmod(path, 0664), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(hosts_update(path, &block, &written, NULL, &error), 0);
	assert_true(written);
	assert_int_equal(stat(path, &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_int_equal(after.st_mode & 07777, 0664);
	fd = open(path, O_RDONLY);
	assert_true(read(fd, text, sizeof text - 1) > 0);
	assert_string_equal(text, OTHERS "\n" BLOCK);
	assert_int_equal(hosts_update(path, &block, &written, NULL, &error), 0);
	assert_false(written);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	/* The other factory's hub is at it. */
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(hosts_update(path, &block, &written, NULL, &error), -EAGAIN);
	close(fd);
	unlink(path);
	assert_int_equal(hosts_update(path, &block, &written, NULL, &error), 0);
	assert_true(written);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_mode & 07777, 0644);
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_is_put_in_replaced_and_left_alone),
		cmocka_unit_test(test_without_devices_no_block_is_made_and_one_is_emptied),
		cmocka_unit_test(test_name_in_any_doubt_is_left_out),
		cmocka_unit_test(test_name_that_two_devices_have_is_left_out),
		cmocka_unit_test(test_entries_are_sorted_as_numbers),
		cmocka_unit_test(test_factory_name_that_is_more_than_a_name_is_refused),
		cmocka_unit_test(test_file_is_replaced_whole_and_only_when_it_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
