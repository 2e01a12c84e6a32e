/* test_top_view.c - control/top_view.c, row.c and top_keys.c: a screen of any size holds what is
 * drawn on it, printable characters and nothing else; what is shown; what keys do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "control/row.h"
#include "control/top_keys.h"

#define NOW_S 1800000000

/* What was drawn, and whether all of it may be on a screen of that size. */
struct paper {
	unsigned n_lines, cols; /* cols 0: as wide as may be */
	bool ascii;
	char text[200000];
	size_t n;
};

static unsigned width_of(const char *text)
{
	wchar_t wide[8192];
	size_t n = mbstowcs(wide, text, 8192);
	int cols;

	assert_true(n < 8192); /* well-formed */
	cols = wcswidth(wide, n);
	assert_true(cols >= 0); /* no control character among them */
	return (unsigned)cols;
}

static void on_line(void *arg, enum top_style style, const char *text)
{
	struct paper *paper = arg;

	assert_in_range(style, TOP_PLAIN, TOP_ALARM);
	for (const char *p = text; *p; p++)
		assert_true((unsigned char)*p >= 0x20 && *p != 0x7f &&
			(!paper->ascii || (unsigned char)*p < 0x7f));
	if (paper->cols)
		assert_int_equal(width_of(text), paper->cols);
	paper->n_lines++;
	assert_true(paper->n + strlen(text) + 2 < sizeof paper->text);
	paper->n += (size_t)sprintf(paper->text + paper->n, "%s\n", text);
}

static struct paper paper;

static void draw(struct top_view *view, struct top_model *model)
{
	paper = (struct paper){.cols = view->rows ? view->cols : 0, .ascii = !view->utf8};
	top_model_order(model, view->sort, view->filter);
	top_view_draw(view, model, on_line, &paper);
}

static bool shows(const char *text)
{
	return strstr(paper.text, text) != NULL;
}

static void shows_all(const char *const *texts)
{
	for (; *texts; texts++) {
		if (!shows(*texts))
			fail_msg("\"%s\" is not in:\n%s", *texts, paper.text);
	}
}

/* A hub with n peers, "peer-000" the busiest, in the middle of its life. */
static void make(struct top_model *m, unsigned n)
{
	top_model_init(m);
	*m = (struct top_model){.version = "0.1.0",
		.aead = "avx512",
		.offloads = "udp-gro udp-gso",
		.port = 51820,
		.workers = 2,
		.flows = 7,
		.flows_max = 65536,
		.uptime_ms = 90061000,
		.forwarded = 4,
		.in_rate = 1e8,
		.out_rate = 2e8,
		.forwarded_rate = 1234,
		.n_peers = n,
		.n_online = n / 2,
		.n_drops = 2,
		.drops = {{"no_route", 1234, 2.5}, {"replay", 7, 0}},
		.now_s = NOW_S,
		.has_answer = true,
		.has_rates = true};
	m->peers = calloc(n + 1, sizeof *m->peers);
	m->order = calloc(n + 1, sizeof *m->order);
	for (unsigned i = 0; i < TOP_HISTORY; i++) {
		m->in_history[i] = (float)i;
		m->out_history[i] = i < 200 ? -1 : 5;
	}
	for (unsigned i = 0; i < n; i++) {
		struct top_peer *p = &m->peers[i];

		p->key[0] = (uint8_t)(i >> 8);
		p->key[1] = (uint8_t)i;
		snprintf(p->name, sizeof p->name, "peer-%03u", i);
		snprintf(p->addresses, sizeof p->addresses, "10.0.%u.%u", i >> 8, i & 255);
		snprintf(p->endpoint, sizeof p->endpoint, "192.0.2.1:%u", i + 1000);
		p->handshake_s = i % 2 ? NOW_S - 10000 : NOW_S - 61;
		p->in_bytes = 5u << 20;
		p->in_rate = 1e6 - i;
		p->history[TOP_PEER_HISTORY - 1] = (float)i;
	}
}

static void test_every_size_of_screen_holds_its_lines(void **state)
{
	struct top_model m;

	(void)state;
	for (unsigned n_peers = 0; n_peers <= 40; n_peers += 20) {
		make(&m, n_peers);
		for (unsigned rows = 1; rows <= 50; rows++) {
			for (unsigned cols = 1; cols <= 220; cols += 1 + cols / 30) {
				struct top_view v = {.hub = "hub0",
					.rows = rows,
					.cols = cols,
					.utf8 = cols % 2,
					.interval_ms = 2000,
					.first = rows,
					.help = cols % 5 == 0};

				strcpy(m.trouble, cols % 3 ? "" : "no hub called hub0 runs here");
				draw(&v, &m);
				assert_int_equal(paper.n_lines, rows); /* nothing old is left */
			}
		}
		top_model_fini(&m);
	}
}

static void test_screen_shows_hub_peers_and_drops(void **state)
{
	struct top_view v = {.hub = "hub0", .rows = 24, .cols = 140, .utf8 = true};
	struct top_model m;

	(void)state;
	make(&m, 100);
	draw(&v, &m);
	shows_all((const char *const[]){"hub0  up 1 d 1 h  port 51820  AEAD avx512  2 workers",
		"50 of 100 online", "Flows 7 of 65536", "Forwarded 1.23k packets/s",
		"udp-gro udp-gso", "800 Mbit/s", "1.60 Gbit/s", "peak 2.04 kbit/s",
		"PEER        ADDRESSES", "peer-000    10.0.0.0", "192.0.2.1:1000",
		"online    1:01 min", "offline     2:46 h", "8.00M", "5.00 MiB",
		"    1234       2.5  no_route", "destination is owned by nobody", "sort: rate", "█",
		NULL});
	assert_true(v.page > 5 && v.page < 20);
	assert_false(shows("peer-099"));
	v.first = 1000000;
	draw(&v, &m);
	assert_true(shows("peer-099"));
	assert_int_equal(v.first, 100 - v.page);
	top_model_fini(&m);
}

static void test_narrow_screen_keeps_name_and_rates(void **state)
{
	struct top_view v = {.hub = "hub0", .rows = 24, .cols = 40};
	struct top_model m;

	(void)state;
	make(&m, 3);
	draw(&v, &m);
	shows_all((const char *const[]){"PEER        IN bit/s  OUT bit/s         ",
		"peer-000       8.00M          0         ", NULL});
	assert_false(shows("ADDRESSES"));
	v.cols = 80;
	draw(&v, &m);
	shows_all((const char *const[]){"ADDRESSES", "STATE", "HANDSHAKE", "TREND", NULL});
	top_model_fini(&m);
}

static void test_unknown_rates_are_not_zero(void **state)
{
	struct top_view v = {.hub = "hub0", .rows = 24, .cols = 60};
	struct top_model m;

	(void)state;
	make(&m, 1);
	top_model_lost(&m, "no hub called hub0 runs here");
	draw(&v, &m);
	shows_all((const char *const[]){"waiting: no hub called hub0 runs here", "peer-000",
		"         -          -", NULL});
	assert_false(shows("8.00M"));
	top_model_fini(&m);
}

static void test_plain_text_has_every_peer_and_drop_in_full(void **state)
{
	struct top_view v = {.hub = "hub0"};
	char name[96], line[400];
	struct top_model m;

	(void)state;
	make(&m, 300);
	memset(name, 'x', 95);
	name[95] = 0;
	memcpy(m.peers[299].name, name, 96);
	memset(m.peers[298].endpoint, 'y', TEXT_ENDPOINT_CHARS - 1);
	draw(&v, &m);
	assert_int_equal(paper.n_lines, 5 + 1 + 300 + 1 + 2 - 1); /* no trouble */
	for (unsigned i = 0; i < 298; i++) {
		snprintf(line, sizeof line, "peer-%03u ", i);
		assert_true(shows(line));
	}
	shows_all((const char *const[]){name, m.peers[298].endpoint, "replay", NULL});
	top_model_fini(&m);
}

static void test_no_text_can_leave_its_column(void **state)
{
	static const char *const names[] = {"\x1b[2Jescape", "\xc2\x9b\x31mcsi",
		"日本語の名前はとても長いです", "a\xcc\x81\xcc\x81\xcc\x81\xcc\x81zalgo",
		"broken\xe2\x82", "\xff\xfe\xfd", "tab\tnew\nline", "\xe2\x80\xaereversed",
		"very-long-name-that-will-not-fit-its-column-at-all"};
	struct top_model m;

	(void)state;
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		for (unsigned cols = 1; cols < 130; cols++) {
			struct top_view v = {.hub = names[i],
				.rows = 20,
				.cols = cols,
				.utf8 = cols % 2,
				.typing = true};

			make(&m, 2);
			/* As no model would let them be: the row is the last to look. */
			strcpy(m.peers[0].name, names[i]);
			strcpy(m.peers[0].addresses, names[i]);
			strcpy(m.drops[0].name, i < 2 ? names[i] : "x");
			strcpy(m.aead, "\x1b[31m\x07");
			strcpy(m.trouble, names[i]);
			strcpy(v.filter, cols % 3 ? "" : names[i]);
			draw(&v, &m);
			top_model_fini(&m);
		}
	}
}

static void test_wide_characters_are_cut_whole(void **state)
{
	struct row row;

	(void)state;
	row_init(&row, 20, true);
	row_field(&row, "日本語の名前", 6, false);
	row_put(&row, "|");
	assert_string_equal(row.text, "日本 …|");
	row_init(&row, 20, true);
	row_field(&row, "日本語", 8, true);
	assert_string_equal(row.text, "  日本語");
	row_init(&row, 20, false);
	row_field(&row, "日本語", 8, false);
	row_put(&row, "|");
	assert_string_equal(row.text, "???     |");
	row_init(&row, 20, false);
	row_field(&row, "abcdef", 4, false);
	assert_string_equal(row.text, "abc~");
}

static void test_bars_grow_with_values(void **state)
{
	const float values[] = {-1, 0, 0.001f, 50, 100};
	const float nothing[] = {0, 0, -1};
	struct row row;

	(void)state;
	row_init(&row, 20, true);
	row_spark(&row, values, 5);
	assert_string_equal(row.text, "  ▁▄█");
	row_init(&row, 20, false);
	row_spark(&row, values, 5);
	assert_string_equal(row.text, "  .-#");
	row_init(&row, 20, true);
	row_spark(&row, nothing, 3);
	assert_string_equal(row.text, "   ");
}

static void press(struct top_keys *k, struct top_view *v, const char *bytes)
{
	assert_true(top_keys_take(k, v, bytes, strlen(bytes)));
}

static void test_keys_sort_scroll_and_pause(void **state)
{
	struct top_view v = {.page = 10, .first = 5};
	struct top_keys k = {0};

	(void)state;
	press(&k, &v, "\x1b[A"); /* up */
	assert_int_equal(v.first, 4);
	press(&k, &v, "\x1bOB\x1b[B"); /* down in both modes of terminals */
	assert_int_equal(v.first, 6);
	press(&k, &v, "\x1b[6~");
	assert_int_equal(v.first, 16);
	press(&k, &v, "\x1b[5");
	press(&k, &v, "~"); /* in two pieces */
	assert_int_equal(v.first, 6);
	press(&k, &v, "\x1b[5~\x1b[A");
	assert_int_equal(v.first, 0);
	press(&k, &v, "\x1b[4~");
	assert_true(v.first > 1000000);
	press(&k, &v, "\x1b[1;5H\x1b[99;99;99X\x1b[200~"); /* Home with Ctrl; unknown ones */
	assert_int_equal(v.first, 0);
	for (unsigned i = 1; i <= TOP_N_SORTS; i++) {
		press(&k, &v, "s");
		assert_int_equal(v.sort, i % TOP_N_SORTS);
	}
	press(&k, &v, "p");
	assert_true(v.paused);
	press(&k, &v, "p?");
	assert_true(!v.paused && v.help);
	press(&k, &v, "s"); /* ends the help and nothing else */
	assert_true(!v.help && v.sort == TOP_BY_RATE);
	assert_false(top_keys_take(&k, &v, "q", 1));
	assert_false(top_keys_take(&k, &v, "\x1bq", 2));
	assert_false(top_keys_take(&k, &v, "?q", 2));
}

static void test_filter_is_typed_and_left(void **state)
{
	struct top_view v = {.first = 9};
	struct top_keys k = {0};

	(void)state;
	press(&k, &v, "/qs");
	assert_true(v.typing && v.first == 0);
	assert_string_equal(v.filter, "qs");
	press(&k, &v, "ü\x7f\x7f"); /* a character of two bytes, gone with one key */
	assert_string_equal(v.filter, "q");
	press(&k, &v, "\r");
	assert_false(v.typing);
	assert_string_equal(v.filter, "q");
	press(&k, &v, "\x1b");
	assert_string_equal(v.filter, "");
	press(&k, &v, "/\x7f\x7f");
	for (unsigned i = 0; i < 2 * TOP_FILTER_BYTES; i++)
		press(&k, &v, "x");
	assert_int_equal(strlen(v.filter), TOP_FILTER_BYTES - 1);
	press(&k, &v, "\x1b");
	assert_true(!v.typing && !v.filter[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size_of_screen_holds_its_lines),
		cmocka_unit_test(test_screen_shows_hub_peers_and_drops),
		cmocka_unit_test(test_narrow_screen_keeps_name_and_rates),
		cmocka_unit_test(test_unknown_rates_are_not_zero),
		cmocka_unit_test(test_plain_text_has_every_peer_and_drop_in_full),
		cmocka_unit_test(test_no_text_can_leave_its_column),
		cmocka_unit_test(test_wide_characters_are_cut_whole),
		cmocka_unit_test(test_bars_grow_with_values),
		cmocka_unit_test(test_keys_sort_scroll_and_pause),
		cmocka_unit_test(test_filter_is_typed_and_left),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests_name("control/top_view", tests, NULL, NULL);
}
