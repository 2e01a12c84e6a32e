/* conf.c - the parser of conf.h: lines to a struct conf, for `wghub up` and its SIGHUP.
 *
 * One table per section says which keys there are. The first mistake ends the reading. Checks that
 * need the whole file (the same peer twice, one prefix with two owners) come last and name both
 * lines. */
#include "control/conf.h"
#include "control/conf_check.h"

#include "control/array.h"
#include "control/error.h"
#include "control/slice.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MTU_MIN 576
#define MTU_MAX 65440 /* a message of this must fit into one UDP datagram over IPv6 */

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

struct parser {
	struct conf *conf;
	struct wgh_error *error;
	char path[120];
	unsigned line;
	enum section section;
	unsigned section_line, interface_line;
	unsigned seen[16]; /* line at which the section's nth key was given */
	size_t peers_cap, addresses_cap, notes_cap, ips_cap;
	/* of the comment lines right above the present line */
	struct slice plain_comment, friendly_comment;
	bool friendly; /* the present peer's name was given as friendly_name */
};

/* NULL, or what is wrong with the value. */
typedef const char *key_fn(struct parser *p, struct slice value);

struct key {
	const char *name;
	key_fn *take;
	bool many; /* may be given more than once */
	bool secret; /* the value must not be printed */
};

static const char out_of_memory[] = "out of memory";

static struct conf_peer *last_peer(struct parser *p)
{
	return &p->conf->peers[p->conf->n_peers - 1];
}

static bool is_word(struct slice s, const char *word)
{
	return s.n == strlen(word) && !strncasecmp(s.at, word, s.n);
}

/* Appends a copy, printable and bounded, to the notes. */
static const char *note(struct parser *p, const char *text)
{
	char line[256], *copy;

	if (p->conf->n_notes == p->notes_cap) {
		void *bigger = array_grow(p->conf->notes, &p->notes_cap, sizeof *p->conf->notes);

		if (!bigger)
			return out_of_memory;
		p->conf->notes = bigger;
	}
	snprintf(line, sizeof line, "%s:%u: %s", p->path, p->line, text);
	copy = strdup(line);
	if (!copy)
		return out_of_memory;
	p->conf->notes[p->conf->n_notes++] = copy;
	return NULL;
}

/* Calls take for each piece between commas. */
static const char *each_of(struct parser *p, struct slice list, key_fn *take)
{
	for (;;) {
		const char *comma = list.n ? memchr(list.at, ',', list.n) : NULL;
		size_t n = comma ? (size_t)(comma - list.at) : list.n;
		const char *why = take(p, slice_trim((struct slice){list.at, n}));

		if (why || !comma)
			return why;
		list.at += n + 1;
		list.n -= n + 1;
	}
}

/* ---- [Interface] ---- */

static const char *take_private_key(struct parser *p, struct slice v)
{
	return key_from_base64(p->conf->private_key, v.at, v.n)
		? NULL
		: "a key is 44 base64 characters; make one with: wghub genkey";
}

static const char *take_listen_port(struct parser *p, struct slice v)
{
	uint64_t n;

	if (!text_number(&n, v.at, v.n, UINT16_MAX))
		return "a port is a number from 0 (any) to 65535";
	p->conf->listen_port = (uint16_t)n;
	return NULL;
}

static const char *take_fwmark(struct parser *p, struct slice v)
{
	uint64_t n = 0;

	if (v.n > 2 && v.at[0] == '0' && (v.at[1] | 0x20) == 'x') {
		if (v.n > 10)
			return "a mark has 32 bits";
		for (size_t i = 2; i < v.n; i++) {
			char c = v.at[i] | 0x20;

			if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
				return "after 0x come hex digits";
			n = n << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
		}
	} else if (!is_word(v, "off") && !text_number(&n, v.at, v.n, UINT32_MAX)) {
		return "a mark is off, a number up to 4294967295 or 0x and hex digits";
	}
	p->conf->fwmark = (uint32_t)n;
	return NULL;
}

static const char *take_one_address(struct parser *p, struct slice v)
{
	struct conf *c = p->conf;
	struct wgh_prefix prefix;
	const char *why = text_prefix(&prefix, v.at, v.n);

	if (why)
		return why;
	if (c->n_addresses == p->addresses_cap) {
		void *bigger = array_grow(c->addresses, &p->addresses_cap, sizeof *c->addresses);

		if (!bigger)
			return out_of_memory;
		c->addresses = bigger;
	}
	c->addresses[c->n_addresses++] = prefix;
	return NULL;
}

static const char *take_address(struct parser *p, struct slice v)
{
	return each_of(p, v, take_one_address);
}

static const char *take_mtu(struct parser *p, struct slice v)
{
	uint64_t n;

	if (!text_number(&n, v.at, v.n, MTU_MAX) || n < MTU_MIN)
		return "an MTU is a number from 576 to 65440";
	p->conf->mtu_bytes = (uint32_t)n;
	return NULL;
}

static const char *take_table(struct parser *p, struct slice v)
{
	if (!is_word(v, "off") && !is_word(v, "auto"))
		return "wghub adds routes to the main table only: write off or auto";
	p->conf->table_off = is_word(v, "off");
	return NULL;
}

static const char *take_dns(struct parser *p, struct slice v)
{
	(void)v;
	return note(p, "DNS is ignored: a hub does not change this machine's resolver");
}

static const char *take_save_config(struct parser *p, struct slice v)
{
	if (is_word(v, "false"))
		return NULL;
	if (!is_word(v, "true"))
		return "true or false";
	return note(p, "SaveConfig is ignored: wghub never writes this file");
}

static const char *take_command(struct parser *p, struct slice v)
{
	(void)p;
	(void)v;
	return "wghub runs no commands; remove the line and run it yourself, for example from a "
	       "systemd unit";
}

/* ---- [Peer] ---- */

static const char *take_public_key(struct parser *p, struct slice v)
{
	return key_from_base64(last_peer(p)->public_key.bytes, v.at, v.n)
		? NULL
		: "a key is 44 base64 characters; the peer's own: wg pubkey < its private key";
}

static const char *take_preshared_key(struct parser *p, struct slice v)
{
	return key_from_base64(last_peer(p)->preshared_key, v.at, v.n)
		? NULL
		: "a key is 44 base64 characters; make one with: wghub genpsk";
}

static const char *take_one_allowed_ip(struct parser *p, struct slice v)
{
	struct conf_peer *peer = last_peer(p);
	struct wgh_prefix prefix;
	const char *why = text_prefix(&prefix, v.at, v.n);

	if (why)
		return why;
	if (peer->n_allowed_ips == p->ips_cap) {
		size_t lines_cap = p->ips_cap;
		void *lines, *ips;

		lines = array_grow(peer->allowed_lines, &lines_cap, sizeof *peer->allowed_lines);
		if (!lines)
			return out_of_memory;
		peer->allowed_lines = lines;
		ips = array_grow(peer->allowed_ips, &p->ips_cap, sizeof *peer->allowed_ips);
		if (!ips)
			return out_of_memory; /* ips_cap is still the smaller one */
		peer->allowed_ips = ips;
	}
	peer->allowed_ips[peer->n_allowed_ips] = prefix;
	peer->allowed_lines[peer->n_allowed_ips++] = p->line;
	return NULL;
}

static const char *take_allowed_ips(struct parser *p, struct slice v)
{
	return v.n ? each_of(p, v, take_one_allowed_ip) : NULL;
}

static const char *take_endpoint(struct parser *p, struct slice v)
{
	struct conf_peer *peer = last_peer(p);
	const char *why = text_endpoint(&peer->endpoint, v.at, v.n);
	char host[TEXT_HOST_CHARS];

	if (!why)
		return NULL;
	/* Where it is no name either, the first answer is the better one for what starts like IPv6.
	 */
	if (v.n && v.at[0] == '[')
		return why;
	why = text_host_port(host, &peer->endpoint_port, v.at, v.n);
	if (why)
		return why;
	peer->endpoint_host = strdup(host);
	return peer->endpoint_host ? NULL : out_of_memory;
}

static const char *take_keepalive(struct parser *p, struct slice v)
{
	uint64_t n = 0;

	if (!is_word(v, "off") && !text_number(&n, v.at, v.n, UINT16_MAX))
		return "off, or seconds from 0 to 65535";
	last_peer(p)->keepalive_s = (uint16_t)n;
	return NULL;
}

static const struct key interface_keys[] = {
	{"PrivateKey", take_private_key, .secret = true},
	{"ListenPort", take_listen_port},
	{"FwMark", take_fwmark},
	{"Address", take_address, .many = true},
	{"MTU", take_mtu},
	{"Table", take_table},
	{"DNS", take_dns, .many = true},
	{"SaveConfig", take_save_config},
	{"PreUp", take_command, .many = true, .secret = true},
	{"PostUp", take_command, .many = true, .secret = true},
	{"PreDown", take_command, .many = true, .secret = true},
	{"PostDown", take_command, .many = true, .secret = true},
	{NULL},
};

static const struct key peer_keys[] = {
	{"PublicKey", take_public_key, .secret = true},
	{"PresharedKey", take_preshared_key, .secret = true},
	{"AllowedIPs", take_allowed_ips, .many = true},
	{"Endpoint", take_endpoint},
	{"PersistentKeepalive", take_keepalive},
	{NULL},
};

/* ---- lines ---- */

static int fail(struct parser *p, unsigned line, const char *what)
{
	error_set(p->error, "%s:%u: %s", p->path, line, what);
	return -EINVAL;
}

static int fail_value(struct parser *p, const struct key *key, struct slice v, const char *why)
{
	char shown[48];

	if (why == out_of_memory) {
		fail(p, p->line, why);
		return -ENOMEM;
	}
	text_escape(shown, sizeof shown, v.at, v.n);
	if (key->secret)
		error_set(p->error, "%s:%u: %s: %s", p->path, p->line, key->name, why);
	else
		error_set(p->error, "%s:%u: %s = %s: %s", p->path, p->line, key->name, shown, why);
	return -EINVAL;
}

static int key_line(struct parser *p, struct slice line)
{
	const struct key *keys = p->section == SECTION_PEER ? peer_keys : interface_keys;
	const char *equals = memchr(line.at, '=', line.n), *why;
	struct slice name, value;
	char shown[32];

	if (p->section == SECTION_NONE)
		return fail(p, p->line, "the file must begin with [Interface] or [Peer]");
	if (!equals)
		return fail(p, p->line, "a line is [Section], Key = value or # comment");
	name = slice_trim((struct slice){line.at, (size_t)(equals - line.at)});
	value = slice_trim((struct slice){equals + 1, line.n - (size_t)(equals + 1 - line.at)});
	for (unsigned i = 0; keys[i].name; i++) {
		if (!is_word(name, keys[i].name))
			continue;
		if (p->seen[i] && !keys[i].many) {
			error_set(p->error,
				"%s:%u: %s was already given in line %u; remove one of them",
				p->path, p->line, keys[i].name, p->seen[i]);
			return -EINVAL;
		}
		p->seen[i] = p->line;
		why = keys[i].take(p, value);
		return why ? fail_value(p, &keys[i], value, why) : 0;
	}
	/* A key pasted alone on a line ends in "=", too: what is longer than a word is not
	 * repeated. */
	text_escape(
		shown, sizeof shown, name.n <= 20 ? name.at : "(long)", name.n <= 20 ? name.n : 6);
	error_set(p->error, "%s:%u: unknown key %s in %s; known are %s", p->path, p->line, shown,
		p->section == SECTION_PEER ? "[Peer]" : "[Interface]",
		p->section == SECTION_PEER
			? "PublicKey PresharedKey AllowedIPs Endpoint PersistentKeepalive"
			: "PrivateKey ListenPort FwMark Address MTU Table");
	return -EINVAL;
}

/* Remembers what a comment line says for settle_comments(). */
static void take_comment(struct parser *p, struct slice line)
{
	const char *equals;

	while (line.n && line.at[0] == '#')
		line.at++, line.n--;
	line = slice_trim(line);
	equals = line.n ? memchr(line.at, '=', line.n) : NULL;
	if (!equals) {
		if (!p->plain_comment.n)
			p->plain_comment = line;
		return;
	}
	/* Any other "key = value" is a setting that somebody took out. */
	if (is_word(slice_trim((struct slice){line.at, (size_t)(equals - line.at)}),
		    "friendly_name"))
		p->friendly_comment = slice_trim(
			(struct slice){equals + 1, line.n - (size_t)(equals + 1 - line.at)});
}

/* The lines of comment that just ended name the present peer, unless a better name is known. */
static int settle_comments(struct parser *p)
{
	bool friendly = p->friendly_comment.n;
	struct slice comment = friendly ? p->friendly_comment : p->plain_comment;
	char shown[CONF_NAME_BYTES];
	struct conf_peer *peer;

	p->plain_comment.n = p->friendly_comment.n = 0;
	if (comment.n == 0 || p->section != SECTION_PEER)
		return 0;
	peer = last_peer(p);
	if (peer->name && (p->friendly || !friendly))
		return 0;
	text_escape(shown, sizeof shown, comment.at, comment.n);
	free(peer->name);
	peer->name = strdup(shown);
	p->friendly = friendly;
	return peer->name ? 0 : -ENOMEM;
}

static int end_section(struct parser *p)
{
	if (p->section == SECTION_PEER && !p->seen[0])
		return fail(p, p->section_line,
			"this [Peer] has no PublicKey; add it or remove the section");
	return 0;
}

static int begin_peer(struct parser *p)
{
	struct conf *c = p->conf;

	if (c->n_peers == p->peers_cap) {
		void *bigger = array_grow(c->peers, &p->peers_cap, sizeof *c->peers);

		if (!bigger)
			return -ENOMEM;
		c->peers = bigger;
	}
	c->peers[c->n_peers++].line = p->line;
	p->section = SECTION_PEER;
	p->ips_cap = 0;
	p->friendly = false;
	return settle_comments(p);
}

static int section_line(struct parser *p, struct slice line)
{
	bool is_peer = is_word(line, "[Peer]");
	int err;

	if (!is_peer && !is_word(line, "[Interface]"))
		return fail(p, p->line, "unknown section; there are [Interface] and [Peer]");
	/* Comments right above [Peer] are the new peer's. */
	err = is_peer ? 0 : settle_comments(p);
	if (!err)
		err = end_section(p);
	if (err)
		return err;
	memset(p->seen, 0, sizeof p->seen);
	p->section_line = p->line;
	if (is_peer)
		return begin_peer(p);
	if (p->interface_line) {
		error_set(p->error,
			"%s:%u: [Interface] was already in line %u; a file describes one hub",
			p->path, p->line, p->interface_line);
		return -EINVAL;
	}
	p->interface_line = p->line;
	p->section = SECTION_INTERFACE;
	return 0;
}

static int one_line(struct parser *p, struct slice line)
{
	const char *hash;
	int err;

	if (memchr(line.at, 0, line.n))
		return fail(p, p->line, "a zero byte: this is not a text file");
	line = slice_trim(line);
	if (line.n && line.at[0] == '#') {
		take_comment(p, line);
		return 0;
	}
	hash = line.n ? memchr(line.at, '#', line.n) : NULL;
	if (hash)
		line = slice_trim((struct slice){line.at, (size_t)(hash - line.at)});
	if (line.n && line.at[0] == '[')
		return section_line(p, line);
	err = settle_comments(p);
	if (err || line.n == 0)
		return err;
	return key_line(p, line);
}

int conf_parse(struct conf **conf, const char *path, const char *text, size_t len_bytes,
	struct wgh_error *error)
{
	struct parser p = {.conf = calloc(1, sizeof *p.conf), .error = error};
	size_t at =
		len_bytes >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0; /* an editor's mark */
	int err = p.conf ? 0 : -ENOMEM;
	struct slice rest, line;

	text_escape(p.path, sizeof p.path, path, strlen(path));
	rest = (struct slice){text + at, len_bytes - at};
	while (!err && slice_line(&rest, &line, NULL)) {
		p.line++;
		err = one_line(&p, line);
	}
	if (!err)
		err = settle_comments(&p);
	if (!err)
		err = end_section(&p);
	if (!err)
		err = conf_check(p.conf, p.path, p.interface_line, error);
	if (err == -ENOMEM)
		error_set(error, "%s: out of memory", p.path);
	if (err) {
		conf_free(p.conf);
		return err;
	}
	*conf = p.conf;
	return 0;
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; i < conf->n_peers; i++) {
		struct conf_peer *peer = &conf->peers[i];

		free(peer->endpoint_host);
		free(peer->name);
		free(peer->allowed_ips);
		free(peer->allowed_lines);
		secret_wipe(peer, sizeof *peer);
	}
	for (size_t i = 0; i < conf->n_notes; i++)
		free(conf->notes[i]);
	free(conf->notes);
	free(conf->peers);
	free(conf->addresses);
	secret_wipe(conf, sizeof *conf);
	free(conf);
}
