/* top_view.c - see top_view.h. Drawn by cli/top.c.
 *
 * From top to bottom: the hub, its totals, peers, drops, keys. What does not fit goes in this
 * order: columns by their rank, drops, the hub's totals; the hub's name is left last. */
#include "control/top_view.h"

#include "control/row.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GAP 2 /* between columns */

struct drawing {
	struct top_view *view;
	const struct top_model *model;
	top_line_fn *line;
	void *arg;
	struct row row;
	unsigned left; /* lines that may still be drawn */
};

const char *top_sort_name(enum top_sort sort)
{
	static const char *const names[] = {"rate", "total", "name", "handshake"};

	return sort < TOP_N_SORTS ? names[sort] : "?";
}

/* ---- lines ---- */

static struct row *begin(struct drawing *d)
{
	row_init(&d->row, d->view->rows ? d->view->cols : ROW_COLS_MAX, d->view->utf8);
	return &d->row;
}

static void end(struct drawing *d, enum top_style style)
{
	if (!d->left)
		return;
	d->left--;
	if (d->view->rows)
		row_fill(&d->row, d->row.cols);
	d->line(d->arg, style, d->row.text);
}

/* ---- numbers ---- */

#define NUMBER_CHARS 24

/* Three digits and a unit: "0", "0.5", "812", "1.23k", "45.6M". */
static void scaled(char out[NUMBER_CHARS], double n, double base, const char *const *units)
{
	unsigned unit = 0;

	for (; n >= base - 0.5 && unit < 6; unit++)
		n /= base;
	if (unit == 0 && n < 9.95 && n != (unsigned)n)
		snprintf(out, NUMBER_CHARS, "%.1f%s", n, units[0]);
	else if (unit == 0 || n >= 99.95)
		snprintf(out, NUMBER_CHARS, "%.0f%s", n, units[unit]);
	else
		snprintf(out, NUMBER_CHARS, n >= 9.995 ? "%.1f%s" : "%.2f%s", n, units[unit]);
}

static void count_text(char out[NUMBER_CHARS], double n)
{
	static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};

	scaled(out, n, 1000, units);
}

/* Bits a second of bytes a second; "-" where it is not known. */
static void rate_text(char out[NUMBER_CHARS], const struct top_model *m, double bytes)
{
	if (m->has_rates)
		count_text(out, bytes * 8);
	else
		strcpy(out, "-");
}

static void long_rate_text(char out[NUMBER_CHARS], bool known, double bytes)
{
	static const char *const units[] = {
		" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s", " Pbit/s", " Ebit/s"};

	if (known)
		scaled(out, bytes * 8, 1000, units);
	else
		strcpy(out, "-");
}

static void bytes_text(char out[NUMBER_CHARS], uint64_t n)
{
	static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};

	scaled(out, (double)n, 1024, units);
}

static void span_text(char out[NUMBER_CHARS], int64_t s)
{
	s = s > 0 ? s : 0;
	if (s < 60)
		snprintf(out, NUMBER_CHARS, "%d s", (int)s);
	else if (s < 3600)
		snprintf(out, NUMBER_CHARS, "%d:%02d min", (int)(s / 60), (int)(s % 60));
	else if (s < 86400)
		snprintf(out, NUMBER_CHARS, "%d:%02d h", (int)(s / 3600), (int)(s / 60 % 60));
	else
		snprintf(out, NUMBER_CHARS, "%" PRId64 " d %d h", s / 86400, (int)(s / 3600 % 24));
}

/* ---- the hub ---- */

static void draw_title(struct drawing *d)
{
	const struct top_model *m = d->model;
	struct row *row = begin(d);
	char uptime[NUMBER_CHARS];

	row_put(row, d->view->hub);
	if (d->view->paused)
		row_put(row, "  PAUSED");
	if (m->uptime_ms >= 0) {
		span_text(uptime, m->uptime_ms / 1000);
		row_printf(row, "  up %s", uptime);
	}
	if (m->port)
		row_printf(row, "  port %u", m->port);
	if (m->has_answer)
		row_printf(row, "  AEAD %s  %u worker%s  wghub %s", m->aead, m->workers,
			m->workers == 1 ? "" : "s", m->version);
	end(d, TOP_STRONG);
}

static void draw_trouble(struct drawing *d)
{
	struct row *row = begin(d);

	if (!d->model->trouble[0])
		return;
	row_printf(row, "waiting: %s", d->model->trouble);
	end(d, TOP_ALARM);
}

static void draw_peers_summary(struct drawing *d)
{
	const struct top_model *m = d->model;
	struct row *row = begin(d);
	char forwarded[NUMBER_CHARS] = "-";

	if (m->has_rates)
		count_text(forwarded, m->forwarded_rate);
	row_printf(row, "Peers   %zu of %zu online", m->n_online, m->n_peers);
	if (d->view->filter[0])
		row_printf(row, ", %zu match", m->n_order);
	row_printf(row, "   Flows %u of %u   Forwarded %s packets/s", m->flows, m->flows_max,
		forwarded);
	row_printf(row, "   Offloads %s", m->offloads[0] ? m->offloads : "none");
	end(d, TOP_PLAIN);
}

/* Values of the history that are known. */
static size_t history_known(const float *history, size_t n)
{
	size_t known = 0;

	while (known < n && history[n - 1 - known] >= 0)
		known++;
	return known;
}

static void draw_total(struct drawing *d, const char *word, double rate, const float *history)
{
	size_t known = history_known(history, TOP_HISTORY), n;
	char now[NUMBER_CHARS], peak[NUMBER_CHARS];
	struct row *row = begin(d);
	float most = 0;

	long_rate_text(now, d->model->has_rates, rate);
	row_field(row, word, 8, false);
	row_field(row, now, 11, true);
	n = row->cols > row->used + 22 ? row->cols - row->used - 22 : 0;
	n = n < known ? n : known;
	for (size_t i = TOP_HISTORY - n; i < TOP_HISTORY; i++)
		most = history[i] > most ? history[i] : most;
	if (n > 1) { /* a single value has no past to be compared with */
		long_rate_text(peak, true, most);
		row_printf(row, "   peak %-11s  ", peak);
		row_spark(row, history + TOP_HISTORY - n, n);
	}
	end(d, TOP_PLAIN);
}

/* ---- the table ---- */

enum column_id {
	COLUMN_NAME,
	COLUMN_ADDRESSES,
	COLUMN_ENDPOINT,
	COLUMN_STATE,
	COLUMN_HANDSHAKE,
	COLUMN_IN,
	COLUMN_OUT,
	COLUMN_TREND,
	COLUMN_RECEIVED,
	COLUMN_SENT,
	N_COLUMNS
};

/* rank: the order in which columns get a place. Those with a most grow up to it. */
static const struct column {
	const char *heading;
	unsigned least, most, rank;
	bool right;
} columns[N_COLUMNS] = {
	[COLUMN_NAME] = {"PEER", 10, 95, 0, false},
	[COLUMN_ADDRESSES] = {"ADDRESSES", 13, 95, 6, false},
	[COLUMN_ENDPOINT] = {"ENDPOINT", 17, 71, 9, false},
	[COLUMN_STATE] = {"STATE", 7, 0, 4, false},
	[COLUMN_HANDSHAKE] = {"HANDSHAKE", 9, 0, 3, true},
	[COLUMN_IN] = {"IN bit/s", 8, 0, 1, true},
	[COLUMN_OUT] = {"OUT bit/s", 9, 0, 2, true},
	[COLUMN_TREND] = {"TREND", 8, TOP_PEER_HISTORY, 5, false},
	[COLUMN_RECEIVED] = {"RECEIVED", 8, 0, 7, true},
	[COLUMN_SENT] = {"SENT", 8, 0, 8, true},
};

static const char *column_text(char out[NUMBER_CHARS], const struct drawing *d,
	const struct top_peer *peer, enum column_id id)
{
	bool online = top_peer_is_online(peer, d->model->now_s);

	switch (id) {
	case COLUMN_NAME:
		return peer->name;
	case COLUMN_ADDRESSES:
		return peer->addresses;
	case COLUMN_ENDPOINT:
		return peer->endpoint;
	case COLUMN_STATE:
		return online ? "online" : "offline";
	case COLUMN_HANDSHAKE:
		if (!peer->handshake_s)
			return "never";
		span_text(out, d->model->now_s - peer->handshake_s);
		return out;
	case COLUMN_IN:
		rate_text(out, d->model, peer->in_rate);
		return out;
	case COLUMN_OUT:
		rate_text(out, d->model, peer->out_rate);
		return out;
	case COLUMN_RECEIVED:
		bytes_text(out, peer->in_bytes);
		return out;
	case COLUMN_SENT:
		bytes_text(out, peer->out_bytes);
		return out;
	default:
		return "";
	}
}

/* How wide the column would like to be. */
static unsigned wanted_cols(const struct drawing *d, enum column_id id)
{
	unsigned widest = columns[id].least;
	char room[NUMBER_CHARS];

	if (id == COLUMN_TREND)
		return TOP_PEER_HISTORY;
	for (size_t i = 0; columns[id].most && i < d->model->n_order; i++) {
		const struct top_peer *peer = &d->model->peers[d->model->order[i]];
		unsigned wide = row_width(column_text(room, d, peer, id), d->view->utf8);

		widest = wide > widest ? wide : widest;
	}
	return widest < columns[id].most ? widest : columns[id].most;
}

static bool has_endpoints(const struct top_model *m)
{
	for (size_t i = 0; i < m->n_peers; i++) {
		if (m->peers[i].endpoint[0])
			return true;
	}
	return false;
}

/* widths: 0 for a column that has no place. */
static void lay_out(unsigned widths[N_COLUMNS], const struct drawing *d)
{
	static const enum column_id growing[] = {
		COLUMN_NAME, COLUMN_ADDRESSES, COLUMN_ENDPOINT, COLUMN_TREND};
	unsigned left = d->row.cols;

	memset(widths, 0, N_COLUMNS * sizeof *widths);
	for (unsigned rank = 0; rank < N_COLUMNS; rank++) {
		unsigned id = 0, gap = rank ? GAP : 0;

		while (columns[id].rank != rank)
			id++;
		if (id == COLUMN_ENDPOINT && !has_endpoints(d->model))
			continue;
		if (id != COLUMN_NAME && columns[id].least + gap > left)
			break;
		widths[id] = columns[id].least < left ? columns[id].least : left;
		left -= widths[id] + gap;
	}
	for (unsigned i = 0; i < sizeof growing / sizeof *growing; i++) {
		unsigned id = growing[i], wanted = widths[id] ? wanted_cols(d, id) : 0, more;

		if (wanted <= widths[id])
			continue;
		more = wanted - widths[id] < left ? wanted - widths[id] : left;
		widths[id] += more;
		left -= more;
	}
}

static void draw_table_row(
	struct drawing *d, const unsigned widths[N_COLUMNS], const struct top_peer *peer)
{
	char room[NUMBER_CHARS];
	struct row *row = begin(d);

	for (unsigned id = 0; id < N_COLUMNS; id++) {
		unsigned start = row->used;

		if (!widths[id])
			continue;
		if (start) {
			start += GAP;
			row_fill(row, start);
		}
		if (!peer)
			row_field(row, columns[id].heading, widths[id], columns[id].right);
		else if (id != COLUMN_TREND)
			row_field(
				row, column_text(room, d, peer, id), widths[id], columns[id].right);
		else
			row_spark(row, peer->history + TOP_PEER_HISTORY - widths[id], widths[id]);
		row_fill(row, start + widths[id]);
	}
	end(d,
		!peer						    ? TOP_HEADING
			: top_peer_is_online(peer, d->model->now_s) ? TOP_PLAIN
								    : TOP_FAINT);
}

/* The table in that many lines, its heading included. */
static void draw_table(struct drawing *d, unsigned n_lines)
{
	const struct top_model *m = d->model;
	struct top_view *v = d->view;
	unsigned widths[N_COLUMNS];
	size_t last;

	v->page = n_lines ? n_lines - 1 : 0;
	if (v->first + v->page > m->n_order)
		v->first = m->n_order > v->page ? m->n_order - v->page : 0;
	if (!n_lines)
		return;
	begin(d);
	lay_out(widths, d);
	draw_table_row(d, widths, NULL);
	last = m->n_order - v->first < v->page ? m->n_order : v->first + v->page;
	for (size_t i = v->first; i < last; i++)
		draw_table_row(d, widths, &m->peers[m->order[i]]);
	for (size_t i = last - v->first; v->rows && i < v->page; i++) {
		begin(d);
		if (i == 0)
			row_put(&d->row, v->filter[0] ? "no peer matches" : "no peers");
		end(d, TOP_FAINT);
	}
}

/* ---- drops ---- */

static const char *drop_words(const char *name)
{
	for (unsigned i = 0; i < wgh_n_drop_reasons(); i++) {
		if (!strcmp(wgh_drop_reason(i)->name, name))
			return wgh_drop_reason(i)->text;
	}
	return "";
}

/* In that many lines, its heading included. */
static void draw_drops(struct drawing *d, unsigned n_lines)
{
	if (n_lines < 2)
		return;
	row_put(begin(d), " DROPPED     PER s  REASON");
	end(d, TOP_HEADING);
	for (size_t i = 0; i < d->model->n_drops && i + 1 < n_lines; i++) {
		const struct top_drop *drop = &d->model->drops[i];
		struct row *row = begin(d);
		char rate[NUMBER_CHARS] = "-";

		if (d->model->has_rates)
			count_text(rate, drop->rate);
		row_printf(row, "%8" PRIu64 "  %8s  %-16s  %s", drop->count, rate, drop->name,
			drop_words(drop->name));
		end(d, drop->rate > 0 && d->model->has_rates ? TOP_PLAIN : TOP_FAINT);
	}
}

/* ---- all of it ---- */

static void draw_keys(struct drawing *d)
{
	const struct top_view *v = d->view;
	struct row *row = begin(d);

	if (v->typing)
		row_printf(row, "filter: %s_   Enter: keep, Escape: all peers", v->filter);
	else if (v->filter[0])
		row_printf(row, "filter: %s   ", v->filter);
	if (!v->typing)
		row_printf(row, "q quit  s sort: %s  / filter  p %s  ? help",
			top_sort_name(v->sort), v->paused ? "go on" : "pause");
	end(d, TOP_FAINT);
}

static void draw_help(struct drawing *d)
{
	static const char *const lines[] = {
		"q, Ctrl-C      quit",
		"s              sort by rate, total, name, handshake",
		"arrows, PgUp, PgDn, Home, End   scroll",
		"/              only peers of whose name, key, address or endpoint this is a part",
		"p, space       pause: the hub is not asked either",
		"?              this help; any key ends it",
		"",
		"In is what peers send to the hub, out what it sends to them, all of the UDP",
		"payload. Bars are scaled to the largest in their line. A peer is online for",
		"180 seconds after a handshake. Dropped packets are those the hub refused.",
	};

	for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
		row_put(begin(d), lines[i]);
		end(d, TOP_PLAIN);
	}
	while (d->left) {
		begin(d);
		end(d, TOP_PLAIN);
	}
}

static void draw_screen(struct drawing *d)
{
	const struct top_model *m = d->model;
	unsigned rows = d->view->rows, n_keys = rows >= 4, n_drops = 0, below;

	draw_title(d);
	if (d->view->help) {
		draw_help(d);
		return;
	}
	if (rows >= 3)
		draw_trouble(d);
	if (rows >= 6)
		draw_peers_summary(d);
	if (rows >= 9) {
		draw_total(d, "In", m->in_rate, m->in_history);
		draw_total(d, "Out", m->out_rate, m->out_history);
	}
	if (rows >= 14 && m->n_drops)
		n_drops = 1 + (m->n_drops < rows / 6 ? (unsigned)m->n_drops : rows / 6);
	below = n_keys + n_drops;
	draw_table(d, d->left > below ? d->left - below : 0);
	draw_drops(d, n_drops);
	if (n_keys)
		draw_keys(d);
}

static void draw_all(struct drawing *d)
{
	draw_title(d);
	draw_trouble(d);
	draw_peers_summary(d);
	draw_total(d, "In", d->model->in_rate, d->model->in_history);
	draw_total(d, "Out", d->model->out_rate, d->model->out_history);
	draw_table(d, (unsigned)d->model->n_order + 1);
	draw_drops(d, (unsigned)d->model->n_drops + 1);
}

void top_view_draw(
	struct top_view *view, const struct top_model *model, top_line_fn *line, void *arg)
{
	struct drawing d = {.view = view,
		.model = model,
		.line = line,
		.arg = arg,
		.left = view->rows ? view->rows : UINT32_MAX};

	if (view->rows)
		draw_screen(&d);
	else
		draw_all(&d);
}
