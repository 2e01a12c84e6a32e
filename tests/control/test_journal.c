/* test_journal.c - control/journal.c: each event is one line that a JSON parser takes, in a file
 * that is only ever added to; what cannot be written is counted, and nobody waits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/journal.h"
#include "control/log.h"

#define LINES_MAX 400

static char folder[] = "/tmp/test_journal.XXXXXX";
static json_t *lines[LINES_MAX];
static unsigned n_lines, n_bad;

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static void open_file(const char *name)
{
	struct wgh_error error = {""};

	if (journal_open(path_of(name), -1, &error))
		fail_msg("%s", error.text);
	journal_set_interface("hub0");
}

static void forget_lines(void)
{
	while (n_lines)
		json_decref(lines[--n_lines]);
	n_bad = 0;
}

/* Into lines; what is no object is counted in n_bad. */
static void parse(FILE *file)
{
	char text[8192];

	forget_lines();
	while (fgets(text, sizeof text, file)) {
		json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(strchr(text, '\n'));
		assert_true(n_lines < LINES_MAX);
		if (json_is_object(object))
			lines[n_lines++] = object;
		else
			n_bad++;
	}
}

static void read_file(const char *name)
{
	FILE *file = fopen(path_of(name), "re");

	assert_non_null(file);
	parse(file);
	fclose(file);
}

static const char *text_of(unsigned line, const char *member)
{
	const char *text;

	assert_true(line < n_lines);
	text = json_string_value(json_object_get(lines[line], member));
	return text ? text : "";
}

static json_int_t number_of(unsigned line, const char *member)
{
	assert_true(line < n_lines);
	return json_integer_value(json_object_get(lines[line], member));
}

static int clean(void **state)
{
	char line[100];

	(void)state;
	journal_close();
	forget_lines();
	snprintf(line, sizeof line, "rm -rf %s/*", folder);
	return system(line);
}

static void test_line_begins_with_time_event_and_interface(void **state)
{
	struct names *names = names_new();
	const struct wgh_public_key peer = {.bytes = {1}};
	struct stat st;

	(void)state;
	names_set(names, &peer, "a \"name\" with \\ and ü");
	open_file("events");
	journal_peer("roam", &peer, names, "{s:s}", "endpoint", "192.0.2.1:1");
	read_file("events");
	assert_int_equal(n_lines, 1);
	assert_int_equal(strlen(text_of(0, "time")), strlen("2026-01-02T03:04:05.678Z"));
	assert_string_equal(text_of(0, "event"), "roam");
	assert_string_equal(text_of(0, "interface"), "hub0");
	assert_string_equal(text_of(0, "peer"), "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	assert_string_equal(text_of(0, "name"), "a \"name\" with \\ and ü");
	assert_string_equal(text_of(0, "endpoint"), "192.0.2.1:1");
	assert_int_equal(stat(path_of("events"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	names_free(names);
}

static void test_file_is_added_to_and_never_changed(void **state)
{
	int fd;

	(void)state;
	open_file("events");
	journal_say("hub_start", "{}");
	/* Somebody else shortens it: with O_APPEND the next line is where the end is now. */
	fd = open(path_of("events"), O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	journal_say("hub_end", "{}");
	journal_close();
	open_file("events");
	journal_say("hub_start", "{}");
	read_file("events");
	assert_int_equal(n_lines, 2);
	assert_int_equal(n_bad, 0);
	assert_string_equal(text_of(0, "event"), "hub_end");
	assert_string_equal(text_of(1, "event"), "hub_start");
}

static void test_file_that_was_moved_away_is_made_anew(void **state)
{
	char moved[PATH_MAX];

	(void)state;
	open_file("events");
	assert_string_equal(journal_path(), path_of("events"));
	journal_say("hub_start", "{}");
	snprintf(moved, sizeof moved, "%s", path_of("events.1"));
	assert_int_equal(rename(path_of("events"), moved), 0);
	journal_say("connect", "{}");
	journal_open_again();
	journal_say("roam", "{}");
	read_file("events.1");
	assert_int_equal(n_lines, 2);
	read_file("events");
	assert_int_equal(n_lines, 1);
	assert_string_equal(text_of(0, "event"), "roam");
}

static void test_link_in_place_of_the_file_is_not_followed(void **state)
{
	char other[PATH_MAX];

	(void)state;
	open_file("events");
	snprintf(other, sizeof other, "%s", path_of("other"));
	assert_int_equal(unlink(path_of("events")), 0);
	assert_int_equal(symlink(other, path_of("events")), 0);
	journal_open_again();
	journal_say("roam", "{}");
	assert_true(access(other, F_OK) < 0);
}

static void test_full_pipe_loses_lines_and_the_next_says_how_many(void **state)
{
	FILE *reader;
	int fd;

	(void)state;
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	fd = open(path_of("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_SETPIPE_SZ, 4096) >= 4096);
	open_file("fifo");
	assert_null(journal_path());
	for (unsigned i = 0; i < 300; i++)
		journal_say("connect", "{s:i}", "i", (int)i);
	reader = fdopen(fd, "r");
	parse(reader);
	assert_true(n_lines > 10 && n_lines < 200);
	unsigned n_written = n_lines;
	struct journal_numbers numbers;
	assert_true(journal_numbers(JOURNAL_FILE, &numbers));
	assert_int_equal(numbers.n_lines, n_written);
	assert_int_equal(numbers.n_lost, 300 - n_written);
	clearerr(reader);
	journal_say("roam", "{}");
	parse(reader);
	assert_int_equal(n_lines, 2);
	assert_string_equal(text_of(0, "event"), "events_lost");
	assert_int_equal(number_of(0, "n"), 300 - n_written);
	assert_string_equal(text_of(1, "event"), "roam");
	fclose(reader);
	journal_say("roam", "{}"); /* nobody is there any more: no signal, no wait */
}

static void test_line_that_the_disk_cut_spoils_no_other(void **state)
{
	struct rlimit before, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	open_file("events");
	journal_say("hub_start", "{}");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 100; /* in the middle of the second line */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	journal_say("connect", "{}");
	journal_say("connect", "{}");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	journal_say("roam", "{}");
	read_file("events");
	assert_int_equal(n_bad, 1);
	assert_int_equal(n_lines, 3);
	assert_string_equal(text_of(0, "event"), "hub_start");
	assert_string_equal(text_of(1, "event"), "events_lost");
	assert_int_equal(number_of(1, "n"), 2);
	assert_string_equal(text_of(2, "event"), "roam");
}

static void test_line_that_is_too_long_is_lost_and_told(void **state)
{
	static char word[5000];

	(void)state;
	memset(word, 'x', sizeof word - 1);
	open_file("events");
	journal_say("connect", "{s:s}", "word", word);
	word[3900] = 0;
	journal_say("roam", "{s:s}", "word", word);
	read_file("events");
	assert_int_equal(n_bad, 0);
	assert_int_equal(n_lines, 2);
	assert_string_equal(text_of(0, "event"), "events_lost");
	assert_string_equal(text_of(1, "word"), word);
}

static void test_each_sink_has_its_own_losses(void **state)
{
	struct wgh_error error;
	struct journal_numbers file, command;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	close(fds[0]);
	assert_int_equal(journal_open(path_of("events"), fds[1], &error), 0);
	journal_say("connect", "{}");
	journal_say("roam", "{}");
	assert_true(journal_numbers(JOURNAL_FILE, &file));
	assert_true(journal_numbers(JOURNAL_COMMAND, &command));
	assert_int_equal(file.n_lines, 2);
	assert_int_equal(file.n_lost, 0);
	assert_int_equal(command.n_lines, 0);
	assert_int_equal(command.n_lost, 2);
	assert_string_equal(file.to, "file");
	assert_string_equal(command.to, "command");
	journal_close();
	close(fds[1]);
}

static struct wgh_public_key key(uint8_t n)
{
	return (struct wgh_public_key){{n}};
}

/* The line about a peer, by its key's first byte. */
static const char *event_of(uint8_t n)
{
	char text[WGH_KEY_TEXT_BYTES];
	struct wgh_public_key wanted = key(n);

	wgh_key_to_text(text, wanted.bytes);
	for (unsigned i = 0; i < n_lines; i++) {
		if (!strcmp(text_of(i, "peer"), text)) {
			return text_of(i, "event");
		}
	}
	return "";
}

static void test_change_is_told_by_what_it_does_and_by_whom(void **state)
{
	const struct wgh_prefix has = {.addr = {{10, 0, 0, 1}, WGH_IPV4}, .bits = 32};
	struct wgh_peer_view there[] = {
		{.public_key = key(1), .keepalive_s = 25, .allowed_ips = &has, .n_allowed_ips = 1},
		{.public_key = key(2)}};
	struct wgh_snapshot before = {.peers = there, .n_peers = 2, .listen_port = 6};
	const struct wgh_allowed_ip again = {.prefix = has},
				    more = {.prefix = {.addr = {{10, 1}, WGH_IPV4}, .bits = 16}};
	struct wgh_peer_change peers[] = {
		{.public_key = key(1), .allowed_ips = &more, .n_allowed_ips = 1},
		{.public_key = key(2), .flags = WGH_PEER_REMOVE},
		{.public_key = key(3), .allowed_ips = &again, .n_allowed_ips = 1},
		{.public_key = key(4), .flags = WGH_PEER_UPDATE_ONLY},
		{.public_key = key(5), .flags = WGH_PEER_REMOVE}};
	struct wgh_change change = {
		.flags = WGH_HAS_LISTEN_PORT | WGH_HAS_PRIVATE_KEY | WGH_HAS_FWMARK,
		.listen_port = 7,
		.fwmark = 9,
		.private_key = {42},
		.peers = peers,
		.n_peers = 5};
	struct names *names = names_new();
	uid_t uid = 1000;

	(void)state;
	open_file("events");
	journal_asked_by(&uid);
	journal_change("wg", &change, &before, names);
	journal_asked_by(NULL);
	read_file("events");
	assert_int_equal(n_lines, 6);
	for (unsigned i = 0; i < n_lines; i++)
		assert_int_equal(number_of(i, "uid"), 1000);
	assert_string_equal(text_of(0, "event"), "key_changed");
	assert_string_equal(text_of(1, "event"), "port_changed");
	assert_int_equal(number_of(1, "port"), 7);
	assert_string_equal(text_of(2, "event"), "fwmark_changed");
	assert_int_equal(number_of(2, "fwmark"), 9);
	assert_string_equal(event_of(1), "peer_changed");
	assert_string_equal(text_of(3, "what"), "allowed_ips");
	assert_string_equal(text_of(3, "allowed_ips"), "+10.1.0.0/16");
	assert_string_equal(event_of(2), "peer_removed");
	assert_string_equal(event_of(3), "peer_added");
	assert_string_equal(text_of(5, "allowed_ips"), "10.0.0.1/32");
	assert_string_equal(event_of(4), "");
	assert_string_equal(event_of(5), "");
	/* A whole configuration: who is not in it goes. */
	peers[0] = (struct wgh_peer_change){.public_key = key(1),
		.flags = WGH_PEER_HAS_KEEPALIVE | WGH_PEER_HAS_ENDPOINT |
			WGH_PEER_HAS_PRESHARED_KEY | WGH_PEER_REPLACE_ALLOWED_IPS,
		.endpoint = {.addr = {192, 0, 2, 1}, .port = 7, .family = WGH_IPV4},
		.preshared_key = {1}};
	change = (struct wgh_change){.flags = WGH_WHOLE, .peers = peers, .n_peers = 1};
	journal_change("conf", &change, &before, names);
	read_file("events");
	assert_int_equal(n_lines, 8);
	assert_string_equal(text_of(6, "event"), "peer_changed");
	assert_string_equal(text_of(6, "what"), "allowed_ips,endpoint,keepalive,preshared_key");
	assert_string_equal(text_of(6, "allowed_ips"), "");
	assert_string_equal(text_of(6, "endpoint"), "192.0.2.1:7");
	assert_null(json_object_get(lines[6], "uid"));
	assert_string_equal(text_of(7, "event"), "peer_removed");
	names_free(names);
}

static void test_change_that_says_what_is_there_is_no_news(void **state)
{
	const struct wgh_prefix has = {.addr = {{10, 0, 0, 0}, WGH_IPV4}, .bits = 24};
	const struct wgh_allowed_ip again = {
		.prefix = {.addr = {{10, 0, 0, 7}, WGH_IPV4}, .bits = 24}};
	struct wgh_peer_view there[] = {{.public_key = key(1),
		.keepalive_s = 25,
		.preshared_key = {5},
		.endpoint = {.addr = {192, 0, 2, 1}, .port = 7, .family = WGH_IPV4},
		.allowed_ips = &has,
		.n_allowed_ips = 1}};
	struct wgh_snapshot before = {.peers = there,
		.n_peers = 1,
		.has_private_key = true,
		.fwmark = 9,
		.listen_port = 7};
	struct wgh_peer_change peer = {.public_key = key(1),
		.flags = WGH_PEER_HAS_KEEPALIVE | WGH_PEER_HAS_ENDPOINT |
			WGH_PEER_HAS_PRESHARED_KEY | WGH_PEER_REPLACE_ALLOWED_IPS,
		.keepalive_s = 25,
		.preshared_key = {5},
		.endpoint = there[0].endpoint,
		.allowed_ips = &again,
		.n_allowed_ips = 1};
	struct wgh_change change = {
		.flags = WGH_HAS_LISTEN_PORT | WGH_HAS_PRIVATE_KEY | WGH_HAS_FWMARK | WGH_WHOLE,
		.listen_port = 7,
		.fwmark = 9,
		.private_key = {42},
		.peers = &peer,
		.n_peers = 1};
	struct names *names = names_new();

	(void)state;
	assert_true(wgh_key_public(&before.public_key, change.private_key));
	open_file("events");
	journal_change("wg", &change, &before, names);
	change.flags |= WGH_REPLACE_PEERS;
	journal_change("wg", &change, &before, names);
	read_file("events");
	assert_int_equal(n_lines, 0);
	/* All are made anew, this one without what it had. */
	peer.flags = 0;
	journal_change("wg", &change, &before, names);
	read_file("events");
	assert_int_equal(n_lines, 1);
	assert_string_equal(text_of(0, "what"), "keepalive,preshared_key");
	names_free(names);
}

static void test_peers_can_cause_only_so_many_lines_but_every_change_is_told(void **state)
{
	struct journal_numbers numbers;
	struct timespec begin, end;
	uint64_t most;

	(void)state;
	open_file("events");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned i = 0; i < JOURNAL_AT_ONCE + 20000; i++)
		journal_say("roam", "{}");
	clock_gettime(CLOCK_MONOTONIC, &end);
	most = JOURNAL_AT_ONCE + JOURNAL_PER_S * (uint64_t)(end.tv_sec - begin.tv_sec + 1);
	assert_true(journal_numbers(JOURNAL_FILE, &numbers));
	assert_true(numbers.n_lines >= JOURNAL_AT_ONCE);
	assert_true(numbers.n_lines <= 2 * most - JOURNAL_AT_ONCE); /* each with what was lost */
	if (most < JOURNAL_AT_ONCE + 20000)
		assert_true(numbers.n_lost >= JOURNAL_AT_ONCE + 20000 - most);
	journal_say("peer_added", "{s:s}", "by", "wg");
	assert_true(journal_numbers(JOURNAL_FILE, &numbers));
	assert_true(numbers.n_lines > JOURNAL_AT_ONCE);
	assert_true(numbers.n_lost < 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_line_begins_with_time_event_and_interface, clean),
		cmocka_unit_test_teardown(test_file_is_added_to_and_never_changed, clean),
		cmocka_unit_test_teardown(test_file_that_was_moved_away_is_made_anew, clean),
		cmocka_unit_test_teardown(test_link_in_place_of_the_file_is_not_followed, clean),
		cmocka_unit_test_teardown(
			test_full_pipe_loses_lines_and_the_next_says_how_many, clean),
		cmocka_unit_test_teardown(test_line_that_the_disk_cut_spoils_no_other, clean),
		cmocka_unit_test_teardown(test_line_that_is_too_long_is_lost_and_told, clean),
		cmocka_unit_test_teardown(test_each_sink_has_its_own_losses, clean),
		cmocka_unit_test_teardown(test_change_is_told_by_what_it_does_and_by_whom, clean),
		cmocka_unit_test_teardown(test_change_that_says_what_is_there_is_no_news, clean),
		cmocka_unit_test_teardown(
			test_peers_can_cause_only_so_many_lines_but_every_change_is_told, clean),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LEVEL_SILENT);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
