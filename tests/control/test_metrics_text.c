/* test_metrics_text.c - control/metrics_text.c: what Prometheus gets to read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/metrics_text.h"

#define N_PEERS 3
#define NOW_S 1700000000
#define KEY1 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

struct world {
	struct wgh_peer_view peers[N_PEERS];
	struct wgh_prefix prefixes[100];
	uint64_t drops[256];
	struct wgh_snapshot snapshot;
	struct wgh_stats stats;
	struct metrics_input input;
	const char *name;
	char *text;
};

static const char *name_of_first(void *arg, const struct wgh_public_key *peer)
{
	const struct world *w = arg;

	return peer->bytes[0] == 1 ? w->name : NULL;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	assert_true(wgh_n_drop_reasons() < 256);
	for (unsigned i = 0; i < N_PEERS; i++) {
		w->peers[i].public_key.bytes[0] = (uint8_t)(i + 1);
		w->peers[i].tx_bytes = 1000 * (i + 1);
		w->peers[i].rx_bytes = 10 * (i + 1);
	}
	memset(w->peers[0].preshared_key, 0x5a, sizeof w->peers[0].preshared_key);
	w->peers[1].last_handshake_s = NOW_S - METRICS_CONNECTED_S + 1;
	w->peers[2].last_handshake_s = NOW_S - METRICS_CONNECTED_S;
	w->name = "press";
	w->snapshot = (struct wgh_snapshot){.has_private_key = true,
		.aead = "sodium",
		.offloads = WGH_OFFLOAD_UDP_GSO,
		.drops = w->drops,
		.n_flows = 7,
		.flows_max = 9,
		.peers = w->peers,
		.n_peers = N_PEERS};
	memset(w->snapshot.private_key, 0x5a, sizeof w->snapshot.private_key);
	w->stats = (struct wgh_stats){
		.size = sizeof w->stats, .drops = w->drops, .n_drops = wgh_n_drop_reasons()};
	w->input = (struct metrics_input){.interface = "wg0",
		.snapshot = &w->snapshot,
		.stats = &w->stats,
		.name = name_of_first,
		.name_arg = w,
		.now_s = NOW_S,
		.peers_max = METRICS_PEERS_MAX};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	free(w->text);
	free(w);
	return 0;
}

static const char *make(struct world *w)
{
	size_t n;

	free(w->text);
	assert_int_equal(metrics_text(&w->text, &n, &w->input), 0);
	assert_int_equal(strlen(w->text), n);
	return w->text;
}

#define assert_has(text, part) assert_non_null(strstr(text, part))

static void test_peers_have_the_names_and_labels_of_existing_dashboards(void **state)
{
	struct world *w = *state;
	const char *text;

	w->prefixes[0] = (struct wgh_prefix){{{10, 42, 42, 2}, WGH_IPV4}, 32};
	w->prefixes[1] = (struct wgh_prefix){{{0xfd}, WGH_IPV6}, 8};
	w->peers[0].allowed_ips = w->prefixes;
	w->peers[0].n_allowed_ips = 2;
	text = make(w);
	assert_has(text,
		"\nwireguard_sent_bytes_total{interface=\"wg0\",public_key=\"" KEY1
		"\",allowed_ips=\"10.42.42.2/32,fd00::/8\",friendly_name=\"press\"} 1000\n");
	assert_has(text,
		"\nwireguard_received_bytes_total{interface=\"wg0\",public_key=\"" KEY1
		"\",allowed_ips=\"10.42.42.2/32,fd00::/8\",friendly_name=\"press\"} 10\n");
	assert_has(text,
		"\nwireguard_latest_handshake_seconds{interface=\"wg0\",public_key=\"" KEY1
		"\",allowed_ips=\"10.42.42.2/32,fd00::/8\",friendly_name=\"press\"} 0\n");
	assert_has(text, "friendly_name=\"\"} 1699999821\n");
	assert_has(text, "\nwghub_peers_connected{interface=\"wg0\"} 1\n");
}

static void test_hub_tells_drops_offloads_roams_and_memory(void **state)
{
	struct world *w = *state;
	const char *text;
	char line[200];

	w->drops[3] = 12345;
	w->input.n_roams = 4;
	w->stats.memory_bytes = 77;
	text = make(w);
	snprintf(line, sizeof line,
		"\nwghub_dropped_packets_total{interface=\"wg0\",reason=\"%s\"} 12345\n",
		wgh_drop_reason(3)->name);
	assert_has(text, line);
	assert_has(text, "\nwghub_offload_enabled{interface=\"wg0\",offload=\"udp-gro\"} 0\n");
	assert_has(text, "\nwghub_offload_enabled{interface=\"wg0\",offload=\"udp-gso\"} 1\n");
	assert_has(text, "\nwghub_roams_total{interface=\"wg0\"} 4\n");
	assert_has(text, "\nwghub_memory_bytes{interface=\"wg0\"} 77\n");
	assert_has(text, "\nwghub_flows{interface=\"wg0\"} 7\n");
	assert_has(text, ",aead=\"sodium\",");
}

static void test_queues_have_a_gauge_and_its_limit(void **state)
{
	struct world *w = *state;
	const char *text;

	w->stats.n_handshakes_waiting = 1;
	w->stats.handshakes_waiting_max = 2;
	w->stats.control_waiting_bytes = 3;
	w->stats.control_waiting_max_bytes = 4;
	w->stats.staged_bytes = 5;
	w->stats.staged_max_bytes = 6;
	w->snapshot.udp_waiting_bytes = 7;
	w->snapshot.udp_waiting_max_bytes = 8;
	w->snapshot.n_udp_lost = 9;
	text = make(w);
	assert_has(text, "\nwghub_handshake_queue_messages{interface=\"wg0\"} 1\n");
	assert_has(text, "\nwghub_handshake_queue_limit_messages{interface=\"wg0\"} 2\n");
	assert_has(text, "\nwghub_control_queue_bytes{interface=\"wg0\"} 3\n");
	assert_has(text, "\nwghub_control_queue_limit_bytes{interface=\"wg0\"} 4\n");
	assert_has(text, "\nwghub_staged_bytes{interface=\"wg0\"} 5\n");
	assert_has(text, "\nwghub_staged_limit_bytes{interface=\"wg0\"} 6\n");
	assert_has(text, "\nwghub_udp_queue_bytes{interface=\"wg0\"} 7\n");
	assert_has(text, "\nwghub_udp_queue_limit_bytes{interface=\"wg0\"} 8\n");
	assert_has(text, "\nwghub_udp_queue_lost_datagrams_total{interface=\"wg0\"} 9\n");
}

static void test_events_and_process_are_told_where_there_are_some(void **state)
{
	struct world *w = *state;
	const char *text = make(w);

	assert_null(strstr(text, "wghub_event_"));
	assert_null(strstr(text, "process_"));
	w->input.events[0] = (struct metrics_events){"file", 10, 1};
	text = make(w);
	assert_has(text, "\nwghub_event_lines_total{interface=\"wg0\",to=\"file\"} 10\n");
	assert_has(text, "\nwghub_event_lines_lost_total{interface=\"wg0\",to=\"file\"} 1\n");
	assert_null(strstr(text, "wghub_event_command"));
	w->input.events[1] = (struct metrics_events){"command", 20, 2};
	w->input.has_command = true;
	w->input.command_waiting_bytes = 3;
	w->input.n_command_runs = 4;
	w->input.n_command_failed = 5;
	w->input.resident_bytes = 123456789;
	w->input.cpu_s = 1.5;
	w->input.started_s = NOW_S;
	text = make(w);
	assert_has(text, "\nwghub_event_lines_lost_total{interface=\"wg0\",to=\"command\"} 2\n");
	assert_has(text, "\nwghub_event_command_queue_bytes{interface=\"wg0\"} 3\n");
	assert_has(text, "\nwghub_event_command_runs_total{interface=\"wg0\"} 4\n");
	assert_has(text, "\nwghub_event_command_failures_total{interface=\"wg0\"} 5\n");
	assert_has(text, "\nprocess_resident_memory_bytes 123456789\n");
	assert_has(text, "\nprocess_cpu_seconds_total 1.50\n");
	assert_has(text, "\nprocess_start_time_seconds 1700000000.00\n");
}

static void test_names_cannot_end_a_label_or_a_line(void **state)
{
	struct world *w = *state;
	char name[2 * METRICS_LABEL_MAX];
	const char *text;

	w->name = "a\"} 1\nb\\";
	text = make(w);
	assert_has(text, "friendly_name=\"a\\\"} 1\\nb\\\\\"} 1000\n");
	memset(name, 'x', sizeof name);
	name[sizeof name - 1] = 0;
	w->name = name;
	text = strstr(make(w), "friendly_name=\"x");
	assert_non_null(text);
	assert_int_equal(strspn(strchr(text, 'x'), "x"), METRICS_LABEL_MAX);
}

static void test_long_list_of_prefixes_is_cut_at_a_prefix(void **state)
{
	struct world *w = *state;
	const char *text;

	for (unsigned i = 0; i < 100; i++)
		w->prefixes[i] =
			(struct wgh_prefix){{{200, 100, 100, (uint8_t)(100 + i)}, WGH_IPV4}, 32};
	w->peers[0].allowed_ips = w->prefixes;
	w->peers[0].n_allowed_ips = 100;
	text = strstr(make(w), "allowed_ips=\"200.100.100.100/32,200.100.100.101/32,");
	assert_non_null(text);
	assert_has(text, "/32,...\",friendly_name=");
	assert_true(strchr(text + 13, '"') - text < METRICS_LABEL_MAX + 20);
}

static void test_peers_past_the_limit_are_one_sum(void **state)
{
	struct world *w = *state;
	const char *text;

	w->input.peers_max = 1;
	text = make(w);
	assert_has(text,
		"\nwireguard_sent_bytes_total{interface=\"wg0\",public_key=\"others\","
		"allowed_ips=\"\",friendly_name=\"others\"} 5000\n");
	assert_has(text,
		"\nwireguard_latest_handshake_seconds{interface=\"wg0\",public_key=\"others\","
		"allowed_ips=\"\",friendly_name=\"others\"} 1699999821\n");
	assert_has(text, "\nwghub_peers_without_series{interface=\"wg0\"} 2\n");
	assert_has(text, "\nwghub_peers{interface=\"wg0\"} 3\n");
	w->input.peers_max = N_PEERS;
	assert_null(strstr(make(w), "others\"}"));
}

static void test_no_secret_is_told(void **state)
{
	/* 32 bytes of 0x5a in hex and base64. */
	const char *text = make(*state);

	assert_null(strstr(text, "5a5a5a"));
	assert_null(strstr(text, "WlpaWl"));
}

/* HELP, then TYPE, then series of that name, and no name twice. */
static void test_each_series_stands_under_its_help_and_type(void **state)
{
	char *text = strdup(make(*state)), *rest = text, *line, name[100] = "", seen[8192] = "";
	bool has_type = false;

	assert_non_null(text);
	while ((line = strsep(&rest, "\n")) && *line) {
		char word[100], quoted[110];

		if (sscanf(line, "# HELP %99s", word) == 1) {
			snprintf(quoted, sizeof quoted, "<%s>", word);
			assert_null(strstr(seen, quoted));
			strcat(seen, quoted);
			strcpy(name, word);
			has_type = false;
		} else if (sscanf(line, "# TYPE %99s", word) == 1) {
			assert_string_equal(word, name);
			has_type = true;
		} else {
			assert_true(has_type);
			assert_int_equal(strcspn(line, "{ "), strlen(name));
			assert_memory_equal(line, name, strlen(name));
		}
	}
	assert_null(rest); /* the last line has its end */
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_peers_have_the_names_and_labels_of_existing_dashboards),
		TEST(test_hub_tells_drops_offloads_roams_and_memory),
		TEST(test_queues_have_a_gauge_and_its_limit),
		TEST(test_events_and_process_are_told_where_there_are_some),
		TEST(test_names_cannot_end_a_label_or_a_line),
		TEST(test_long_list_of_prefixes_is_cut_at_a_prefix),
		TEST(test_peers_past_the_limit_are_one_sum),
		TEST(test_no_secret_is_told),
		TEST(test_each_series_stands_under_its_help_and_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
