/* test_unit_file.c - the service's unit: what systemd reads is what was meant. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/unit_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"/usr/bin/wghub", "--factory", "acme", "daemon", NULL};
static const char *const writable[] = {"/etc", NULL};

static char *make(const struct unit *unit)
{
	struct wgh_error error = {""};
	char *text;

	if (unit_text(&text, unit, &error))
		fail_msg("%s", error.text);
	return text;
}

/* Has the text this line, once? */
static bool has_line(const char *text, const char *line)
{
	size_t n = strlen(line), found = 0;

	for (const char *at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		found += !strncmp(at, line, n) && at[n] == '\n';
		if (!*at)
			break;
	}
	return found == 1;
}

static void test_unit_starts_again_for_ever_and_reloads_by_a_signal(void **state)
{
	char *text = make(&(struct unit){.factory = "acme", .words = words, .writable = writable});

	(void)state;
	assert_true(has_line(text, "ExecStart=/usr/bin/wghub --factory acme daemon"));
	assert_true(has_line(text, "Restart=on-failure"));
	assert_true(has_line(text, "StartLimitIntervalSec=0"));
	assert_true(has_line(text, "Type=notify"));
	assert_true(has_line(text, "WatchdogSec=30"));
	assert_true(has_line(text, "After=network-online.target"));
	assert_true(has_line(text, "Wants=network-online.target"));
	/* By root with all rights: the hub is another user by then. */
	assert_true(has_line(text, "ExecReload=+/bin/kill -HUP $MAINPID"));
	assert_true(has_line(text, "StateDirectory=wghub"));
	assert_true(has_line(text, "LogsDirectory=factory-vpn")); /* for --events */
	assert_true(has_line(text, "ReadWritePaths=-/etc"));
	assert_true(has_line(text,
		"CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_DAC_OVERRIDE "
		"CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN CAP_NET_ADMIN"));
	assert_null(strstr(text, "LoadCredential"));
	free(text);
}

static void test_unit_has_what_its_options_need_and_no_more(void **state)
{
	char *text = make(&(struct unit){.factory = "acme",
		.words = words,
		.writable = writable,
		.token_path = "/var/lib/wghub/ac%me token",
		.state_dir = "/srv/state",
		.low_port = true,
		.no_tun = true});

	(void)state;
	assert_true(has_line(text, "LoadCredential=apitoken:/var/lib/wghub/ac%%me token"));
	assert_true(has_line(text,
		"CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_DAC_OVERRIDE "
		"CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN CAP_NET_BIND_SERVICE"));
	assert_null(strstr(text, "StateDirectory"));
	free(text);
}

/* systemd.syntax(7): quotes and backslashes; systemd.service(5): % and $. */
static void test_unit_words_are_quoted_as_systemd_reads_them(void **state)
{
	static const char *const odd[] = {
		"/opt/my hub", "a$b", "50%", "say \"x\\y\"", "", "a;b", "plain-1_2./=:@,+", NULL};
	static const char *const paths[] = {"/a b", "/c$d%", NULL};
	char *text = make(&(struct unit){.factory = "acme", .words = odd, .writable = paths});

	(void)state;
	assert_true(has_line(text,
		"ExecStart=\"/opt/my hub\" \"a$$b\" \"50%%\" \"say \\\"x\\\\y\\\"\" \"\" \"a;b\" "
		"plain-1_2./=:@,+"));
	assert_true(has_line(text, "ReadWritePaths=\"-/a b\" \"-/c$d%%\""));
	free(text);
}

static void test_unit_refuses_what_would_begin_a_line_of_its_own(void **state)
{
	static const char *const bad[] = {"/bin/x", "a\nExecStartPre=/bin/sh", NULL};
	static const char *const fine[] = {NULL};
	const struct unit units[] = {{.factory = "a", .words = bad, .writable = fine},
		{.factory = "a", .words = words, .writable = bad},
		{.factory = "a", .words = words, .writable = fine, .token_path = "/t\n"},
		{.factory = "a", .words = words, .writable = fine, .state_dir = "/s\r"}};
	struct wgh_error error;
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		error.text[0] = 0;
		assert_int_equal(unit_text(&text, &units[i], &error), -EINVAL);
		assert_null(text);
		assert_non_null(strstr(error.text, "control characters"));
		assert_null(strchr(error.text, '\n'));
	}
}

static void test_unit_name_is_the_old_daemons(void **state)
{
	char name[UNIT_NAME_CHARS], longest[66];

	(void)state;
	unit_name(name, "acme-presses");
	assert_string_equal(name, "factory-vpn-acme-presses.service");
	memset(longest, 'x', 64);
	longest[64] = 0;
	unit_name(name, longest);
	assert_int_equal(strlen(name), 12 + 64 + 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit_starts_again_for_ever_and_reloads_by_a_signal),
		cmocka_unit_test(test_unit_has_what_its_options_need_and_no_more),
		cmocka_unit_test(test_unit_words_are_quoted_as_systemd_reads_them),
		cmocka_unit_test(test_unit_refuses_what_would_begin_a_line_of_its_own),
		cmocka_unit_test(test_unit_name_is_the_old_daemons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
