/* top_model.c - see top_model.h. Fed by cli/top.c, drawn by top_view.c. */
#include "control/top_model.h"

#include "control/array.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the answer ---- */

static uint64_t number(const char *value)
{
	uint64_t n;

	return text_number(&n, value, strlen(value), INT64_MAX) ? n : 0;
}

#define take_text(out, value) text_escape((out), sizeof(out), (value), strlen(value))

/* Adds a word to a list. One that has no room left ends in "...". */
static void add_word(char *list, size_t size, const char *between, const char *word, size_t word_n)
{
	size_t n = strlen(list), room;
	char shown[TEXT_ENDPOINT_CHARS];

	text_escape(shown, sizeof shown, word, word_n);
	room = size - n;
	if ((size_t)snprintf(list + n, room, "%s%s", n ? between : "", shown) >= room)
		strcpy(list + size - 4, "...");
}

/* "10.0.0.2/32" is one address, and shown as one. */
static void add_address(struct top_peer *peer, const char *value)
{
	size_t n = strlen(value);

	if (n > 3 && !strcmp(value + n - 3, "/32") && !strchr(value, ':'))
		n -= 3;
	if (n > 4 && !strcmp(value + n - 4, "/128"))
		n -= 4;
	add_word(peer->addresses, sizeof peer->addresses, ", ", value, n);
}

static void take_drop(struct top_model *m, const char *value)
{
	const char *space = strchr(value, ' ');
	struct top_drop *drop;

	if (!space || m->n_drops == TOP_DROPS_MAX)
		return;
	drop = &m->drops[m->n_drops++];
	text_escape(drop->name, sizeof drop->name, value, (size_t)(space - value));
	drop->count = number(space + 1);
}

static void take_hub_line(struct top_model *m, const char *key, const char *value)
{
	if (!strcmp(key, "version"))
		take_text(m->version, value);
	else if (!strcmp(key, "aead"))
		take_text(m->aead, value);
	else if (!strcmp(key, "offload"))
		add_word(m->offloads, sizeof m->offloads, " ", value, strlen(value));
	else if (!strcmp(key, "listen_port"))
		m->port = (unsigned)number(value);
	else if (!strcmp(key, "workers"))
		m->workers = (unsigned)number(value);
	else if (!strcmp(key, "flows"))
		m->flows = (unsigned)number(value);
	else if (!strcmp(key, "flows_max"))
		m->flows_max = (unsigned)number(value);
	else if (!strcmp(key, "forwarded"))
		m->forwarded = number(value);
	else if (!strcmp(key, "uptime_ms"))
		m->uptime_ms = (int64_t)number(value);
	else if (!strcmp(key, "drop"))
		take_drop(m, value);
}

static void take_peer_line(struct top_peer *peer, const char *key, const char *value)
{
	if (!strcmp(key, "name") && *value)
		take_text(peer->name, value);
	else if (!strcmp(key, "allowed_ip"))
		add_address(peer, value);
	else if (!strcmp(key, "endpoint"))
		take_text(peer->endpoint, value);
	else if (!strcmp(key, "last_handshake_time_sec"))
		peer->handshake_s = (int64_t)number(value);
	else if (!strcmp(key, "rx_bytes"))
		peer->in_bytes = number(value);
	else if (!strcmp(key, "tx_bytes"))
		peer->out_bytes = number(value);
}

/* The next peer, without a rate. NULL: the key is none, so its lines are passed over. -ENOMEM. */
static int begin_peer(struct top_model *m, struct top_peer **peer, const char *hex)
{
	struct wgh_public_key key;

	*peer = NULL;
	if (!key_from_hex(key.bytes, hex, strlen(hex)))
		return 0;
	if (m->n_peers == m->peers_cap) {
		void *bigger = array_grow(m->peers, &m->peers_cap, sizeof *m->peers);

		if (!bigger)
			return -ENOMEM;
		m->peers = bigger;
	}
	*peer = &m->peers[m->n_peers++];
	memcpy((*peer)->key, key.bytes, sizeof key.bytes);
	text_from_peer((*peer)->name, &key);
	for (unsigned i = 0; i < TOP_PEER_HISTORY; i++)
		(*peer)->history[i] = -1;
	return 0;
}

static int take_lines(struct top_model *m, const struct ctl_answer *answer)
{
	struct top_peer *peer = NULL;
	bool in_hub = true;

	for (size_t i = 0; i < answer->n_lines; i++) {
		const char *key = answer->lines[i].key, *value = answer->lines[i].value;

		if (!strcmp(key, "public_key")) {
			in_hub = false;
			if (begin_peer(m, &peer, value))
				return -ENOMEM;
		} else if (in_hub) {
			take_hub_line(m, key, value);
		} else if (peer) {
			take_peer_line(peer, key, value);
		}
	}
	return 0;
}

/* ---- rates ---- */

/* What was added to a counter; one that has become smaller has begun anew. */
static uint64_t added(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

static void history_add(float *history, size_t n, double value)
{
	memmove(history, history + 1, (n - 1) * sizeof *history);
	history[n - 1] = (float)value;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(((const struct top_peer *)a)->key, ((const struct top_peer *)b)->key,
		sizeof((const struct top_peer *)a)->key);
}

/* Milliseconds that lie between the two answers, as the hub's own clock says if it says it. After a
 * restart of the hub: since then. 0: there is no answer before. */
static uint64_t elapsed_ms(
	const struct top_model *before, const struct top_model *now, bool *restarted)
{
	*restarted = now->uptime_ms >= 0 && now->uptime_ms < before->uptime_ms;
	if (!before->has_answer)
		return 0;
	if (*restarted)
		return (uint64_t)now->uptime_ms + 1;
	if (now->uptime_ms >= 0 && before->uptime_ms >= 0)
		return (uint64_t)(now->uptime_ms - before->uptime_ms);
	return now->taken_ms - before->taken_ms;
}

static void rate_peers(
	struct top_model *m, const struct top_model *before, double seconds, bool restarted)
{
	size_t at = 0;

	for (size_t i = 0; i < m->n_peers; i++) {
		struct top_peer *peer = &m->peers[i];
		const struct top_peer *was = NULL;
		uint64_t in_before = 0, out_before = 0;

		while (at < before->n_peers && compare_keys(&before->peers[at], peer) < 0)
			at++;
		if (at < before->n_peers && !compare_keys(&before->peers[at], peer))
			was = &before->peers[at];
		if (was)
			memcpy(peer->history, was->history, sizeof peer->history);
		if (was && !restarted) {
			in_before = was->in_bytes;
			out_before = was->out_bytes;
		}
		if (!seconds)
			continue;
		peer->in_rate = (double)added(in_before, peer->in_bytes) / seconds;
		peer->out_rate = (double)added(out_before, peer->out_bytes) / seconds;
		history_add(peer->history, TOP_PEER_HISTORY, peer->in_rate + peer->out_rate);
		m->in_rate += peer->in_rate;
		m->out_rate += peer->out_rate;
	}
}

static int compare_drops(const void *va, const void *vb)
{
	const struct top_drop *a = va, *b = vb;

	if (a->rate != b->rate)
		return a->rate < b->rate ? 1 : -1;
	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	return strcmp(a->name, b->name);
}

static void rate_drops(
	struct top_model *m, const struct top_model *before, double seconds, bool restarted)
{
	for (size_t i = 0; i < m->n_drops && seconds; i++) {
		uint64_t was = 0;

		for (size_t j = 0; j < before->n_drops && !restarted; j++) {
			if (!strcmp(before->drops[j].name, m->drops[i].name))
				was = before->drops[j].count;
		}
		m->drops[i].rate = (double)added(was, m->drops[i].count) / seconds;
	}
	qsort(m->drops, m->n_drops, sizeof *m->drops, compare_drops);
}

static void rate(struct top_model *m, const struct top_model *before)
{
	bool restarted;
	double seconds = (double)elapsed_ms(before, m, &restarted) / 1000;

	m->has_rates = seconds > 0;
	rate_peers(m, before, seconds, restarted);
	rate_drops(m, before, seconds, restarted);
	memcpy(m->in_history, before->in_history, sizeof m->in_history);
	memcpy(m->out_history, before->out_history, sizeof m->out_history);
	if (!m->has_rates)
		return;
	m->forwarded_rate =
		(double)added(restarted ? 0 : before->forwarded, m->forwarded) / seconds;
	history_add(m->in_history, TOP_HISTORY, m->in_rate);
	history_add(m->out_history, TOP_HISTORY, m->out_rate);
}

/* ---- for others ---- */

void top_model_init(struct top_model *m)
{
	*m = (struct top_model){.uptime_ms = -1};
	for (unsigned i = 0; i < TOP_HISTORY; i++)
		m->in_history[i] = m->out_history[i] = -1;
}

void top_model_fini(struct top_model *m)
{
	free(m->peers);
	free(m->order);
	top_model_init(m);
}

int top_model_take(
	struct top_model *m, const struct ctl_answer *answer, uint64_t now_ms, int64_t now_s)
{
	struct top_model next;

	top_model_init(&next);
	next.taken_ms = now_ms;
	next.now_s = now_s;
	next.has_answer = true;
	if (take_lines(&next, answer) ||
		!(next.order = calloc(next.n_peers + 1, sizeof *next.order))) {
		top_model_fini(&next);
		return -ENOMEM;
	}
	if (next.n_peers)
		qsort(next.peers, next.n_peers, sizeof *next.peers, compare_keys);
	for (size_t i = 0; i < next.n_peers; i++)
		next.n_online += top_peer_is_online(&next.peers[i], now_s);
	rate(&next, m);
	top_model_fini(m);
	*m = next;
	return 0;
}

void top_model_lost(struct top_model *m, const char *why)
{
	take_text(m->trouble, why);
	m->has_rates = false;
}

bool top_peer_is_online(const struct top_peer *peer, int64_t now_s)
{
	return peer->handshake_s && now_s - peer->handshake_s <= TOP_ONLINE_S;
}

/* ---- the order ---- */

static bool matches(const struct top_peer *peer, const char *filter)
{
	char key[KEY_BASE64_CHARS + 1];

	if (!*filter || strcasestr(peer->name, filter) || strcasestr(peer->addresses, filter) ||
		strcasestr(peer->endpoint, filter))
		return true;
	key_to_base64(key, peer->key);
	return strstr(key, filter) != NULL;
}

static int descending(double a, double b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

static int compare_peers(const struct top_peer *a, const struct top_peer *b, enum top_sort sort)
{
	int by_rate = descending(a->in_rate + a->out_rate, b->in_rate + b->out_rate);
	int by_total = descending((double)a->in_bytes + (double)a->out_bytes,
		(double)b->in_bytes + (double)b->out_bytes);
	int by_name = strcasecmp(a->name, b->name);
	int by_handshake = descending((double)a->handshake_s, (double)b->handshake_s);
	int first = sort == TOP_BY_RATE ? by_rate
		: sort == TOP_BY_TOTAL	? by_total
		: sort == TOP_BY_NAME	? by_name
					: by_handshake;

	if (first)
		return first;
	/* Equal ones must not change places from one screen to the next. */
	if (sort == TOP_BY_RATE && by_total)
		return by_total;
	return by_name ? by_name : compare_keys(a, b);
}

struct sorting {
	const struct top_peer *peers;
	enum top_sort sort;
};

static int compare_order(const void *a, const void *b, void *arg)
{
	const struct sorting *s = arg;

	return compare_peers(
		&s->peers[*(const uint32_t *)a], &s->peers[*(const uint32_t *)b], s->sort);
}

void top_model_order(struct top_model *m, enum top_sort sort, const char *filter)
{
	struct sorting sorting = {m->peers, sort};

	m->n_order = 0;
	for (size_t i = 0; i < m->n_peers; i++) {
		if (matches(&m->peers[i], filter))
			m->order[m->n_order++] = (uint32_t)i;
	}
	if (m->n_order)
		qsort_r(m->order, m->n_order, sizeof *m->order, compare_order, &sorting);
}
