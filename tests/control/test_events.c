/* test_events.c - control/events.c, log.c: flows are lines with names, and never more than so many
 * a second. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/events.h"
#include "control/log.h"

#define LOG_BYTES (1u << 20)

/* Standard error goes to a file meanwhile. */
static int saved_stderr;
static FILE *captured;

static void capture(void)
{
	fflush(stderr);
	captured = tmpfile();
	assert_non_null(captured);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fileno(captured), STDERR_FILENO) >= 0);
}

/* free() it. */
static char *release(void)
{
	char *text = calloc(1, LOG_BYTES);
	size_t n;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	rewind(captured);
	n = fread(text, 1, LOG_BYTES - 1, captured);
	text[n] = 0;
	fclose(captured);
	return text;
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

static struct wgh_event flow_event(enum wgh_event_kind kind)
{
	struct wgh_event event = {.kind = kind, .peer.bytes = {1}, .other.bytes = {2}};

	event.flow = (struct wgh_flow){.from.bytes = {1},
		.to.bytes = {2},
		.src = {.bytes = {10, 42, 42, 254}, .family = WGH_IPV4},
		.dst = {.bytes = {10, 42, 42, 2}, .family = WGH_IPV4},
		.src_port = 40000,
		.dst_port = 22,
		.nat_port = 61000,
		.proto = 6,
		.end = WGH_FLOW_CLOSED,
		.bytes = {100, 2000},
		.began_ns = 1000000000,
		.ended_ns = 4500000000};
	return event;
}

static void test_flow_is_told_by_names_with_its_bytes(void **state)
{
	const struct wgh_public_key anna = {.bytes = {1}}, press = {.bytes = {2}};
	struct wgh_event begin = flow_event(WGH_EVENT_FLOW_BEGIN),
			 end = flow_event(WGH_EVENT_FLOW_END);
	struct names *names = names_new();
	char *text;

	(void)state;
	names_set(names, &anna, "anna");
	names_set(names, &press, "press-1");
	log_set_level(LEVEL_INFO);
	capture();
	event_log(&begin, names);
	event_log(&end, names);
	end.flow.from = (struct wgh_public_key){{0}};
	event_log(&end, names);
	text = release();
	assert_non_null(strstr(text,
		"flow begin from=AQAAAAAA name=\"anna\" to=AgAAAAAA name=\"press-1\" proto=6 "
		"src=10.42.42.254:40000 dst=10.42.42.2:22 nat_port=61000\n"));
	assert_non_null(strstr(text, "sent=100 received=2000 seconds=3 why=closed\n"));
	assert_non_null(strstr(text, "flow end from=host to="));
	free(text);
	names_free(names);
}

static void test_flood_of_flows_is_a_bounded_number_of_lines(void **state)
{
	struct wgh_event event = flow_event(WGH_EVENT_FLOW_BEGIN);
	struct names *names = names_new();
	struct timespec begin, end;
	unsigned n, seconds;
	char *text;

	(void)state;
	log_set_level(LEVEL_INFO);
	capture();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned i = 0; i < 3000; i++)
		event_log(&event, names);
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* However slow this machine is: so many for each second that it touched. */
	seconds = (unsigned)(end.tv_sec - begin.tv_sec) + 1;
	while (end.tv_sec < begin.tv_sec + seconds) {
		usleep(20000);
		clock_gettime(CLOCK_MONOTONIC, &end);
	}
	event_log(&event, names);
	text = release();
	n = count(text, "flow begin");
	assert_true(n >= 1 && n <= LOG_FLOWS_PER_S * seconds + 1);
	if (n < 3000)
		assert_true(count(text, "flow lines left out n=") >= 1);
	free(text);
	names_free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow_is_told_by_names_with_its_bytes),
		cmocka_unit_test(test_flood_of_flows_is_a_bounded_number_of_lines),
	};

	unsetenv("JOURNAL_STREAM");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
