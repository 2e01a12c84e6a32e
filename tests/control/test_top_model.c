/* test_top_model.c - control/top_model.c: rates from two answers, whatever happens to peers,
 * counters and the hub between them; the order of peers; hostile answers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/top_model.h"

#define NOW_S 1800000000

/* An answer of lines "key=value", separated by newlines; %s of the text below. */
static void take(struct top_model *m, uint64_t now_ms, const char *text)
{
	char *copy = strdup(text), *save = NULL;
	struct ctl_line lines[64];
	struct ctl_answer answer = {.lines = lines};

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *equals = strchr(line, '=');

		assert_true(equals && answer.n_lines < 64);
		*equals = 0;
		lines[answer.n_lines++] = (struct ctl_line){line, equals + 1};
	}
	assert_int_equal(top_model_take(m, &answer, now_ms, NOW_S), 0);
	free(copy);
}

#define KEY(byte)                                                                                  \
	"public_key=" byte byte byte byte byte byte byte byte byte byte byte byte byte byte byte   \
		byte byte byte byte byte byte byte byte byte byte byte byte byte byte byte byte    \
			byte "\n"
#define HUB(uptime) "listen_port=51820\naead=avx512\nversion=0.1.0\nuptime_ms=" uptime "\n"

static const struct top_peer *peer(const struct top_model *m, uint8_t key)
{
	for (size_t i = 0; i < m->n_peers; i++) {
		if (m->peers[i].key[0] == key)
			return &m->peers[i];
	}
	fail_msg("no peer %02x", key);
	return NULL;
}

static int setup(void **state)
{
	static struct top_model model;

	top_model_init(&model);
	*state = &model;
	return 0;
}

static int teardown(void **state)
{
	top_model_fini(*state);
	return 0;
}

static void test_first_answer_has_totals_and_no_rates(void **state)
{
	struct top_model *m = *state;

	take(m, 0,
		HUB("5000") "workers=2\nflows=3\nflows_max=100\noffload=udp-gro\noffload=udp-gso\n"
			    "drop=no_route 12\n" KEY(
				    "aa") "name=printer\nrx_bytes=1000\ntx_bytes=10\n"
					  "endpoint=192.0.2.1:5\nallowed_ip=10.0.0.2/"
					  "32\nallowed_ip=fd00::2/128\n"
					  "allowed_ip=10.9.0.0/"
					  "16\nlast_handshake_time_sec=1799999900\n" KEY("bb"));
	assert_false(m->has_rates);
	assert_int_equal(m->port, 51820);
	assert_int_equal(m->workers, 2);
	assert_int_equal(m->flows, 3);
	assert_int_equal(m->uptime_ms, 5000);
	assert_string_equal(m->offloads, "udp-gro udp-gso");
	assert_int_equal(m->n_peers, 2);
	assert_int_equal(m->n_online, 1);
	assert_string_equal(peer(m, 0xaa)->name, "printer");
	assert_string_equal(peer(m, 0xaa)->addresses, "10.0.0.2, fd00::2, 10.9.0.0/16");
	assert_true(peer(m, 0xaa)->in_bytes == 1000 && peer(m, 0xaa)->out_bytes == 10);
	assert_true(peer(m, 0xaa)->history[TOP_PEER_HISTORY - 1] < 0);
	assert_string_equal(peer(m, 0xbb)->name, "u7u7u7u7"); /* base64 of its key */
	assert_int_equal(m->n_drops, 1);
	assert_int_equal(m->drops[0].count, 12);
}

static void test_rates_are_by_the_hubs_own_clock(void **state)
{
	struct top_model *m = *state;

	take(m, 0,
		HUB("1000") "forwarded=10\ndrop=a 5\ndrop=b 7\n" KEY(
			"aa") "rx_bytes=100\ntx_bytes=7\n");
	take(m, 9999,
		HUB("3000") "forwarded=30\ndrop=a 5\ndrop=b 17\ndrop=c 4\n" KEY(
			"aa") "rx_bytes=500\ntx_bytes=7\n");
	assert_true(m->has_rates);
	assert_true(peer(m, 0xaa)->in_rate == 200);
	assert_true(peer(m, 0xaa)->out_rate == 0);
	assert_true(m->in_rate == 200 && m->out_rate == 0 && m->forwarded_rate == 10);
	assert_true(m->in_history[TOP_HISTORY - 1] == 200 && m->in_history[TOP_HISTORY - 2] < 0);
	/* Most a second first, then the one with more. */
	assert_string_equal(m->drops[0].name, "b");
	assert_true(m->drops[0].rate == 5);
	assert_string_equal(m->drops[1].name, "c");
	assert_true(m->drops[1].rate == 2);
	assert_string_equal(m->drops[2].name, "a");
	assert_true(m->drops[2].rate == 0);
}

static void test_hub_without_uptime_is_rated_by_our_clock(void **state)
{
	struct top_model *m = *state;

	take(m, 1000, KEY("aa") "rx_bytes=100\n");
	take(m, 5000, KEY("aa") "rx_bytes=500\n");
	assert_true(peer(m, 0xaa)->in_rate == 100);
	assert_true(m->uptime_ms < 0);
}

static void test_counter_that_began_anew_counts_from_nothing(void **state)
{
	struct top_model *m = *state;

	take(m, 0, HUB("1000") KEY("aa") "rx_bytes=1000000\ntx_bytes=50\n");
	take(m, 0, HUB("2000") KEY("aa") "rx_bytes=300\ntx_bytes=60\n");
	assert_true(peer(m, 0xaa)->in_rate == 300);
	assert_true(peer(m, 0xaa)->out_rate == 10);
}

static void test_peers_come_and_go(void **state)
{
	struct top_model *m = *state;

	take(m, 0, HUB("1000") KEY("cc") "rx_bytes=70\n" KEY("aa") "rx_bytes=1000\n");
	take(m, 0, HUB("2000") KEY("bb") "rx_bytes=40\n" KEY("cc") "rx_bytes=90\n");
	assert_int_equal(m->n_peers, 2);
	assert_true(peer(m, 0xcc)->in_rate == 20);
	assert_true(peer(m, 0xbb)->in_rate == 40); /* all of it since it was added */
	assert_true(m->in_rate == 60);
	take(m, 0, HUB("3000"));
	assert_int_equal(m->n_peers, 0);
	assert_true(m->in_rate == 0);
	take(m, 0, HUB("4000") KEY("cc") "rx_bytes=5\n");
	assert_true(peer(m, 0xcc)->history[TOP_PEER_HISTORY - 2] < 0); /* it is a new one */
}

static void test_restarted_hub_is_rated_from_its_start(void **state)
{
	struct top_model *m = *state;

	take(m, 0, HUB("900000") "forwarded=1\ndrop=a 3\n" KEY("aa") "rx_bytes=100\n");
	top_model_lost(m, "no hub\x1b[2J");
	assert_false(m->has_rates);
	assert_string_equal(m->trouble, "no hub\\x1b[2J");
	assert_int_equal(m->n_peers, 1);
	/* More than before in two seconds, and the counters of before do not matter. */
	take(m, 60000, HUB("1999") "forwarded=8\ndrop=a 4\n" KEY("aa") "rx_bytes=400\n");
	assert_true(peer(m, 0xaa)->in_rate == 200);
	assert_true(m->forwarded_rate == 4);
	assert_true(m->drops[0].rate == 2);
	assert_string_equal(m->trouble, "");
	assert_true(m->has_rates);
}

static void test_history_moves_on_by_one(void **state)
{
	struct top_model *m = *state;
	char text[256];

	for (unsigned i = 0; i <= TOP_PEER_HISTORY + 1; i++) {
		snprintf(text, sizeof text, HUB("%u") KEY("aa") "rx_bytes=%u\n", i * 1000, i * i);
		take(m, 0, text);
	}
	/* The differences of squares: 1, 3, 5, ..., of which the oldest has gone. */
	for (unsigned i = 0; i < TOP_PEER_HISTORY; i++)
		assert_true(peer(m, 0xaa)->history[i] == (float)(2 * i + 3));
}

static void order_is(
	struct top_model *m, enum top_sort sort, const char *filter, const char *wanted)
{
	char keys[32] = "";

	top_model_order(m, sort, filter);
	for (size_t i = 0; i < m->n_order; i++)
		snprintf(keys + strlen(keys), 4, "%02x ", m->peers[m->order[i]].key[0]);
	assert_string_equal(keys, wanted);
}

static void test_order_is_by_what_is_asked(void **state)
{
	struct top_model *m = *state;

	take(m, 0, HUB("1000") KEY("aa") "rx_bytes=900\n" KEY("bb") KEY("cc") "tx_bytes=5000\n");
	take(m, 0,
		HUB(
			"2000") KEY("aa") "name=beta\nrx_bytes=950\nlast_handshake_time_sec="
					  "7\n" KEY("bb") "name=Alpha\ntx_bytes=100\nallowed_ip=10."
							  "0.0.7/32\n" KEY("cc") "name=gamma\ntx_"
										 "bytes=5000\n"
										 "endpoint=192.0.2."
										 "9:1"
										 "\nlast_handshake_"
										 "time_"
										 "sec=9\n");
	order_is(m, TOP_BY_RATE, "", "bb aa cc ");
	order_is(m, TOP_BY_TOTAL, "", "cc aa bb ");
	order_is(m, TOP_BY_NAME, "", "bb aa cc ");
	order_is(m, TOP_BY_HANDSHAKE, "", "cc aa bb ");
	order_is(m, TOP_BY_NAME, "ALPH", "bb ");
	order_is(m, TOP_BY_NAME, "10.0.0.7", "bb ");
	order_is(m, TOP_BY_NAME, "192.0.2", "cc ");
	order_is(m, TOP_BY_NAME, "zMzMzMz", "cc "); /* of its key */
	order_is(m, TOP_BY_NAME, "nobody", "");
}

static void test_hostile_answers_become_printable(void **state)
{
	struct top_model *m = *state;
	char text[8192] = HUB("1000") "aead=\x1b]0;x\x07\n";

	for (unsigned i = 0; i < 20; i++) /* lists longer than their room */
		strcat(text, "offload=\xff\xfe\x1b[31mwide-offload-name\n");
	strcat(text, "drop=\x1b[2J 99999999999999999999\ndrop=nospace\n");
	strcat(text,
		KEY("zz") "name=lost\n" KEY("aa") "name=\x9b"
						  "1;1H\xe2\x80\xae\n");
	for (unsigned i = 0; i < 20; i++)
		strcat(text, "allowed_ip=\x1b[1m/32\n");
	strcat(text, "rx_bytes=-5\ntx_bytes=18446744073709551615\nlast_handshake_time_sec=x\n");
	take(m, 0, text);
	assert_string_equal(m->peers[0].name, "\\x9b1;1H\\xe2\\x80\\xae");
	assert_int_equal(m->n_peers, 1); /* the other has no key */
	assert_true(m->peers[0].in_bytes == 0 && m->peers[0].out_bytes == 0);
	assert_null(strchr(m->aead, '\x1b'));
	assert_null(strchr(m->offloads, '\x1b'));
	assert_null(strchr(m->peers[0].addresses, '\x1b'));
	assert_string_equal(m->peers[0].addresses + strlen(m->peers[0].addresses) - 3, "...");
	assert_int_equal(m->n_drops, 1);
	assert_string_equal(m->drops[0].name, "\\x1b[2J");
}

static void test_more_drop_reasons_than_room_are_left_out(void **state)
{
	struct top_model *m = *state;
	struct ctl_line lines[TOP_DROPS_MAX + 9];
	struct ctl_answer answer = {.lines = lines, .n_lines = TOP_DROPS_MAX + 9};

	for (unsigned i = 0; i < TOP_DROPS_MAX + 9; i++)
		lines[i] = (struct ctl_line){"drop", "reason 1"};
	assert_int_equal(top_model_take(m, &answer, 0, NOW_S), 0);
	assert_int_equal(m->n_drops, TOP_DROPS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_answer_has_totals_and_no_rates),
		TEST(test_rates_are_by_the_hubs_own_clock),
		TEST(test_hub_without_uptime_is_rated_by_our_clock),
		TEST(test_counter_that_began_anew_counts_from_nothing),
		TEST(test_peers_come_and_go),
		TEST(test_restarted_hub_is_rated_from_its_start),
		TEST(test_history_moves_on_by_one),
		TEST(test_order_is_by_what_is_asked),
		TEST(test_hostile_answers_become_printable),
		TEST(test_more_drop_reasons_than_room_are_left_out),
	};

	return cmocka_run_group_tests_name("control/top_model", tests, NULL, NULL);
}
