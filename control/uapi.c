/* uapi.c - the request parser of uapi.h. Called by uapi_server.c with whatever a client sends.
 *
 * A request is collected whole and then applied whole by the device, so a mistake in its last line
 * changes nothing. After the first mistake the rest is skipped up to the empty line. Peers and
 * allowed ips grow in two arrays by doubling; outgrown memory is wiped, it holds preshared keys. */
#include "control/uapi.h"

#include "control/array.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FIRST -> IN_GET, IN_SET or IN_OWN at the first line -> FIRST by uapi_parser_reset() */
enum uapi_state { STATE_FIRST, STATE_IN_GET, STATE_IN_SET, STATE_IN_OWN };

struct uapi_parser {
	enum uapi_state state;
	enum uapi_event kind; /* what the first line asked for */
	bool line_too_long;
	size_t line_n;
	char line[UAPI_LINE_MAX];

	int error;
	char why[128];
	struct wgh_change change;
	struct wgh_peer_change *peers;
	struct wgh_allowed_ip *allowed;
	size_t peers_cap, n_allowed, allowed_cap;

	struct uapi_request request; /* points into text */
	size_t text_n;
	char text[UAPI_REQUEST_BYTES];
};

/* One line's value, borrowed from the line. */
struct value {
	const char *text;
	size_t n;
};

struct uapi_parser *uapi_parser_new(void)
{
	return calloc(1, sizeof(struct uapi_parser));
}

void uapi_parser_reset(struct uapi_parser *p)
{
	if (p->peers)
		secret_wipe(p->peers, p->peers_cap * sizeof *p->peers);
	free(p->peers);
	free(p->allowed);
	secret_wipe(p, sizeof *p);
}

void uapi_parser_free(struct uapi_parser *p)
{
	if (!p)
		return;
	uapi_parser_reset(p);
	free(p);
}

static void fail(struct uapi_parser *p, int error, const char *key, const char *why)
{
	if (p->error)
		return;
	p->error = error;
	snprintf(p->why, sizeof p->why, "%s%s%s", key, *key ? ": " : "", why);
}

/* ---- values ---- */

static bool is_word(struct value v, const char *word)
{
	return v.n == strlen(word) && !memcmp(v.text, word, v.n);
}

/* Parses and reports; false: the request is refused. */
static bool get_key(struct uapi_parser *p, const char *key, struct value v, uint8_t out[32])
{
	if (key_from_hex(out, v.text, v.n))
		return true;
	fail(p, -EINVAL, key, "a key is 64 hex digits");
	return false;
}

static bool get_number(
	struct uapi_parser *p, const char *key, struct value v, uint64_t max, uint64_t *out)
{
	if (text_number(out, v.text, v.n, max))
		return true;
	fail(p, -EINVAL, key,
		max > UINT16_MAX ? "a number from 0 to 4294967295" : "a number from 0 to 65535");
	return false;
}

static bool get_true(struct uapi_parser *p, const char *key, struct value v)
{
	if (is_word(v, "true"))
		return true;
	fail(p, -EINVAL, key, "takes only the value true");
	return false;
}

static void get_version(struct uapi_parser *p, const char *key, struct value v)
{
	if (!is_word(v, "1"))
		fail(p, -EINVAL, key, "only version 1 is known");
}

/* ---- keys of the device ---- */

static void device_key(struct uapi_parser *p, const char *key, struct value v)
{
	struct wgh_change *c = &p->change;
	uint64_t number;

	if (!strcmp(key, "private_key")) {
		if (get_key(p, key, v, c->private_key))
			c->flags |= WGH_HAS_PRIVATE_KEY;
	} else if (!strcmp(key, "listen_port")) {
		if (get_number(p, key, v, UINT16_MAX, &number)) {
			c->listen_port = (uint16_t)number;
			c->flags |= WGH_HAS_LISTEN_PORT;
		}
	} else if (!strcmp(key, "fwmark")) {
		if (get_number(p, key, v, UINT32_MAX, &number)) {
			c->fwmark = (uint32_t)number;
			c->flags |= WGH_HAS_FWMARK;
		}
	} else if (!strcmp(key, "replace_peers")) {
		if (get_true(p, key, v))
			c->flags |= WGH_REPLACE_PEERS;
	} else if (!strcmp(key, "protocol_version")) {
		get_version(p, key, v);
	} else {
		fail(p, -EINVAL, "", "unknown key before the first public_key");
	}
}

/* ---- keys of a peer ---- */

static struct wgh_peer_change *add_peer(struct uapi_parser *p, const struct wgh_public_key *key)
{
	struct wgh_peer_change *peer;

	if (p->change.n_peers == p->peers_cap) {
		void *bigger = array_grow(p->peers, &p->peers_cap, sizeof *p->peers);

		if (!bigger) {
			fail(p, -ENOMEM, "", "out of memory");
			return NULL;
		}
		p->peers = bigger;
	}
	peer = &p->peers[p->change.n_peers++];
	peer->public_key = *key;
	return peer;
}

static void add_allowed_ip(struct uapi_parser *p, struct wgh_peer_change *peer, struct value v)
{
	struct wgh_allowed_ip ip = {.remove = v.n && v.text[0] == '-'};
	const char *why = text_prefix(&ip.prefix, v.text + ip.remove, v.n - ip.remove);

	if (why) {
		fail(p, -EINVAL, "allowed_ip", why);
		return;
	}
	if (peer->flags & WGH_PEER_REMOVE)
		return;
	if (p->n_allowed == p->allowed_cap) {
		void *bigger = array_grow(p->allowed, &p->allowed_cap, sizeof *p->allowed);

		if (!bigger) {
			fail(p, -ENOMEM, "", "out of memory");
			return;
		}
		p->allowed = bigger;
	}
	p->allowed[p->n_allowed++] = ip;
	peer->n_allowed_ips++;
}

/* Prefixes listed before it still move away from other peers, so they stay an entry of their own; a
 * second entry of the same peer then replaces. */
static void replace_allowed_ips(struct uapi_parser *p, struct wgh_peer_change *peer)
{
	if (peer->n_allowed_ips) {
		struct wgh_public_key key = peer->public_key;
		uint32_t update_only = peer->flags & WGH_PEER_UPDATE_ONLY;

		peer = add_peer(p, &key);
		if (!peer)
			return;
		peer->flags = update_only;
	}
	peer->flags |= WGH_PEER_REPLACE_ALLOWED_IPS;
}

static void remove_peer(struct uapi_parser *p, struct wgh_peer_change *peer)
{
	p->n_allowed -= peer->n_allowed_ips;
	peer->n_allowed_ips = 0;
	peer->flags |= WGH_PEER_REMOVE;
}

static void peer_key(struct uapi_parser *p, const char *key, struct value v)
{
	struct wgh_peer_change *peer = &p->peers[p->change.n_peers - 1];
	const char *why;
	uint64_t number;

	if (!strcmp(key, "allowed_ip")) {
		add_allowed_ip(p, peer, v);
	} else if (!strcmp(key, "endpoint")) {
		why = text_endpoint(&peer->endpoint, v.text, v.n);
		if (why)
			fail(p, -EINVAL, key, why);
		else
			peer->flags |= WGH_PEER_HAS_ENDPOINT;
	} else if (!strcmp(key, "preshared_key")) {
		if (get_key(p, key, v, peer->preshared_key))
			peer->flags |= WGH_PEER_HAS_PRESHARED_KEY;
	} else if (!strcmp(key, "persistent_keepalive_interval")) {
		if (get_number(p, key, v, UINT16_MAX, &number)) {
			peer->keepalive_s = (uint16_t)number;
			peer->flags |= WGH_PEER_HAS_KEEPALIVE;
		}
	} else if (!strcmp(key, "replace_allowed_ips")) {
		if (get_true(p, key, v))
			replace_allowed_ips(p, peer);
	} else if (!strcmp(key, "remove")) {
		if (get_true(p, key, v))
			remove_peer(p, peer);
	} else if (!strcmp(key, "update_only")) {
		if (get_true(p, key, v))
			peer->flags |= WGH_PEER_UPDATE_ONLY;
	} else if (!strcmp(key, "protocol_version")) {
		get_version(p, key, v);
	} else {
		fail(p, -EINVAL, "", "unknown key after public_key");
	}
}

static void set_line(struct uapi_parser *p)
{
	char *equals = memchr(p->line, '=', p->line_n);
	struct wgh_public_key public_key;
	struct value v;

	if (p->error)
		return;
	if (!equals) {
		fail(p, -EPROTO, "", "a line is key=value");
		return;
	}
	/* The key becomes a string; a zero byte inside would hide what follows it. */
	*equals = 0;
	if (strlen(p->line) != (size_t)(equals - p->line)) {
		fail(p, -EINVAL, "", "zero byte in a line");
		return;
	}
	v.text = equals + 1;
	v.n = p->line_n - (size_t)(v.text - p->line);
	if (!strcmp(p->line, "public_key")) {
		if (get_key(p, "public_key", v, public_key.bytes))
			add_peer(p, &public_key);
	} else if (p->change.n_peers) {
		peer_key(p, p->line, v);
	} else {
		device_key(p, p->line, v);
	}
}

/* ---- requests of our own ---- */

const char *uapi_param(const struct uapi_request *request, const char *key)
{
	for (size_t i = 0; i < request->n_params; i++) {
		if (!strcmp(request->params[i].key, key))
			return request->params[i].value;
	}
	return NULL;
}

/* Where the line's copy is, or NULL. */
static char *keep_line(struct uapi_parser *p)
{
	char *kept = p->text + p->text_n;

	if (p->line_n >= sizeof p->text - p->text_n) {
		fail(p, -E2BIG, "", "the request is longer than 4095 bytes");
		return NULL;
	}
	if (memchr(p->line, 0, p->line_n)) {
		fail(p, -EINVAL, "", "zero byte in a line");
		return NULL;
	}
	memcpy(kept, p->line, p->line_n);
	kept[p->line_n] = 0;
	p->text_n += p->line_n + 1;
	return kept;
}

static void own_line(struct uapi_parser *p)
{
	struct uapi_request *r = &p->request;
	char *line = p->error ? NULL : keep_line(p), *equals = line ? strchr(line, '=') : NULL;

	if (!line)
		return;
	if (!equals) {
		fail(p, -EPROTO, "", "a line is key=value");
		return;
	}
	*equals = 0;
	if (!*line || uapi_param(r, line))
		fail(p, -EINVAL, "", "a parameter without a name, or twice");
	else if (r->n_params == UAPI_PARAMS_MAX)
		fail(p, -E2BIG, "", "more than 16 parameters");
	if (p->error)
		return;
	r->params[r->n_params].key = line;
	r->params[r->n_params++].value = equals + 1;
}

/* The first line, which begins with "wghub=". */
static void own_verb(struct uapi_parser *p)
{
	char *line = keep_line(p);

	p->request.verb = line ? line + strlen("wghub=") : "";
}

/* ---- lines and requests ---- */

/* Gives each peer its part of the array of allowed ips, which has moved while it grew. */
static void finish_set(struct uapi_parser *p)
{
	size_t next = 0;

	for (size_t i = 0; i < p->change.n_peers; i++) {
		p->peers[i].allowed_ips = p->allowed ? &p->allowed[next] : NULL;
		next += p->peers[i].n_allowed_ips;
	}
	p->change.peers = p->peers;
}

static enum uapi_event first_line(struct uapi_parser *p)
{
	struct value line = {p->line, p->line_n};

	if (p->line_too_long)
		return UAPI_CLOSE;
	if (is_word(line, "get=1"))
		p->kind = UAPI_GET;
	else if (is_word(line, "get=wghub"))
		p->kind = UAPI_GET_WGHUB;
	else if (is_word(line, "set=1"))
		p->kind = UAPI_SET;
	else if (line.n > 6 && !memcmp(line.text, "wghub=", 6))
		p->kind = UAPI_OWN;
	else
		return UAPI_CLOSE;
	p->state = p->kind == UAPI_SET ? STATE_IN_SET
		: p->kind == UAPI_OWN  ? STATE_IN_OWN
				       : STATE_IN_GET;
	if (p->kind == UAPI_OWN)
		own_verb(p);
	return UAPI_MORE;
}

static enum uapi_event end_of_line(struct uapi_parser *p)
{
	if (p->state == STATE_FIRST)
		return first_line(p);
	if (p->line_n == 0) {
		if (p->kind == UAPI_SET)
			finish_set(p);
		return p->kind;
	}
	if (p->line_too_long)
		fail(p, -EMSGSIZE, "", "a line is longer than 4095 bytes");
	else if (p->state == STATE_IN_GET)
		fail(p, -EINVAL, "", "get takes no further lines");
	else if (p->state == STATE_IN_OWN)
		own_line(p);
	else
		set_line(p);
	return UAPI_MORE;
}

enum uapi_event uapi_parse(struct uapi_parser *p, const char *bytes, size_t n, size_t *used)
{
	size_t at = 0;

	while (at < n) {
		const char *newline = memchr(bytes + at, '\n', n - at);
		size_t piece = (newline ? (size_t)(newline - bytes) : n) - at;
		size_t room = sizeof p->line - 1 - p->line_n;
		enum uapi_event event;

		if (piece > room)
			p->line_too_long = true;
		memcpy(p->line + p->line_n, bytes + at, piece < room ? piece : room);
		p->line_n += piece < room ? piece : room;
		at += piece;
		if (!newline)
			break;
		at++;
		event = end_of_line(p);
		secret_wipe(p->line, p->line_n + 1);
		p->line_n = 0;
		p->line_too_long = false;
		if (event != UAPI_MORE) {
			*used = at;
			return event;
		}
	}
	*used = n;
	return UAPI_MORE;
}

int uapi_error(const struct uapi_parser *p)
{
	return p->error;
}

const char *uapi_error_text(const struct uapi_parser *p)
{
	return p->why;
}

const struct wgh_change *uapi_change(const struct uapi_parser *p)
{
	return &p->change;
}

const struct uapi_request *uapi_request(const struct uapi_parser *p)
{
	return &p->request;
}
