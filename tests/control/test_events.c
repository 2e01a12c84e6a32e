/* test_events.c - control/events.c, log.c: what the device reports as lines of the log, never more
 * of flows than so many a second, and as JSON lines. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/events.h"
#include "control/journal.h"
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

/* ---- JSON lines ---- */

static const struct wgh_public_key press = {.bytes = {2}};

/* The one line that the event makes, whole but for its time; "": none. */
static const char *line_of(const struct wgh_event *event, struct names *names)
{
	static char line[4096];
	struct wgh_error error;
	FILE *file;

	char path[] = "/tmp/test_events.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(journal_open(path, -1, &error), 0);
	journal_set_interface("hub0");
	event_log(event, names);
	journal_close();
	unlink(path);
	file = fdopen(fd, "r");
	line[0] = 0;
	if (fgets(line, sizeof line, file))
		assert_null(fgets(line + strlen(line), 10, file));
	fclose(file);
	return strstr(line, "\"event\"") ? strstr(line, "\"event\"") : line;
}

#define PRESS                                                                                      \
	"\"interface\":\"hub0\",\"peer\":\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","        \
	"\"name\":\"press-1\""

static struct names *names_of_press(void)
{
	struct names *names = names_new();

	names_set(names, &press, "press-1");
	log_set_level(LEVEL_SILENT);
	return names;
}

static void test_connect_roam_and_silence_are_lines_once_each(void **state)
{
	struct wgh_event event = {.kind = WGH_EVENT_ROAMED,
		.peer = press,
		.endpoint = {.addr = {192, 0, 2, 1}, .port = 7, .family = WGH_IPV4}};
	struct names *names = names_of_press();

	(void)state;
	/* Before it is up it has not moved. */
	assert_string_equal(line_of(&event, names), "");
	event.kind = WGH_EVENT_HANDSHAKE;
	assert_string_equal(line_of(&event, names),
		"\"event\":\"connect\"," PRESS ",\"endpoint\":\"192.0.2.1:7\"}\n");
	/* A renewed session is no news. */
	assert_string_equal(line_of(&event, names), "");
	event.kind = WGH_EVENT_ROAMED;
	assert_string_equal(line_of(&event, names),
		"\"event\":\"roam\"," PRESS ",\"endpoint\":\"192.0.2.1:7\"}\n");
	event.kind = WGH_EVENT_EXPIRED;
	assert_string_equal(line_of(&event, names), "\"event\":\"silence\"," PRESS "}\n");
	assert_string_equal(line_of(&event, names), "");
	event.kind = WGH_EVENT_HANDSHAKE;
	assert_non_null(strstr(line_of(&event, names), "connect"));
	names_free(names);
}

static void test_each_kind_of_trouble_is_a_line(void **state)
{
	struct wgh_event event = {.kind = WGH_EVENT_HANDSHAKE_GIVEUP, .peer = press};
	struct names *names = names_of_press();

	(void)state;
	assert_string_equal(line_of(&event, names), "\"event\":\"rekey_failed\"," PRESS "}\n");
	event.kind = WGH_EVENT_ROUTING_LOOP;
	assert_string_equal(line_of(&event, names), "\"event\":\"routing_loop\"," PRESS "}\n");
	event.kind = WGH_EVENT_REACH;
	event.wide4 = true;
	assert_string_equal(line_of(&event, names),
		"\"event\":\"reach\"," PRESS ",\"ipv4\":\"wide\",\"ipv6\":\"stock\"}\n");
	event = (struct wgh_event){.kind = WGH_EVENT_ROUTE_MOVED,
		.peer = press,
		.other.bytes = {1},
		.prefix = {.addr = {.bytes = {10, 1}, .family = WGH_IPV4}, .bits = 16}};
	assert_string_equal(line_of(&event, names),
		"\"event\":\"conflict\"," PRESS ",\"prefix\":\"10.1.0.0/16\","
		"\"from\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}\n");
	event = (struct wgh_event){.kind = WGH_EVENT_PORT_UNUSABLE, .endpoint.port = 51820};
	assert_string_equal(line_of(&event, names),
		"\"event\":\"port_unusable\",\"interface\":\"hub0\",\"port\":51820}\n");
	event = (struct wgh_event){.kind = WGH_EVENT_OFFLOAD_LOST, .offload = WGH_OFFLOAD_UDP_GSO};
	assert_string_equal(line_of(&event, names),
		"\"event\":\"offload_fallback\",\"interface\":\"hub0\","
		"\"offload\":\"udp-gso\",\"when\":\"running\"}\n");
	names_free(names);
}

/* Whoever has no key can cause these. */
static void test_strangers_make_no_lines(void **state)
{
	struct wgh_event event = {.kind = WGH_EVENT_UNKNOWN_PEER, .peer = press};
	struct names *names = names_of_press();

	(void)state;
	assert_string_equal(line_of(&event, names), "");
	event.kind = WGH_EVENT_REPLAYED_INITIATION;
	assert_string_equal(line_of(&event, names), "");
	names_free(names);
}

static void test_flow_is_a_line_with_its_bytes(void **state)
{
	struct wgh_event begin = flow_event(WGH_EVENT_FLOW_BEGIN),
			 end = flow_event(WGH_EVENT_FLOW_END);
	struct names *names = names_of_press();
	const char *ends = "\"interface\":\"hub0\",\"from\":"
			   "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"to\":"
			   "\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"proto\":6,"
			   "\"src\":\"10.42.42.254:40000\",\"dst\":\"10.42.42.2:22\","
			   "\"nat_port\":61000";

	(void)state;
	assert_non_null(strstr(line_of(&begin, names), "\"event\":\"flow_begin\""));
	assert_non_null(strstr(line_of(&begin, names), ends));
	assert_non_null(strstr(line_of(&end, names), "\"event\":\"flow_end\""));
	assert_non_null(strstr(line_of(&end, names), ends));
	assert_non_null(strstr(
		line_of(&end, names), ",\"sent\":100,\"received\":2000,\"why\":\"closed\"}\n"));
	names_free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow_is_told_by_names_with_its_bytes),
		cmocka_unit_test(test_connect_roam_and_silence_are_lines_once_each),
		cmocka_unit_test(test_each_kind_of_trouble_is_a_line),
		cmocka_unit_test(test_strangers_make_no_lines),
		cmocka_unit_test(test_flow_is_a_line_with_its_bytes),
		cmocka_unit_test(test_flood_of_flows_is_a_bounded_number_of_lines),
	};

	unsetenv("JOURNAL_STREAM");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
