/* journal_change.c - see journal.h: what a change did, in words. What it only says again is no
 * news: `wg syncconf` lists every peer. */
#include "control/journal.h"

#include "control/key_index.h"
#include "control/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IPS_CHARS 1024
#define COMPARED_MAX (1u << 16) /* pairs of prefixes; where there are more, they count as changed  \
				 */

KEY_INDEX_CAN_HOLD(struct wgh_peer_view);

struct change {
	const char *by;
	struct names *names;
	bool anew; /* all peers that were there went before */
};

/* ---- one peer ---- */

static bool same_endpoint(const struct wgh_endpoint *a, const struct wgh_endpoint *b)
{
	return a->family == b->family && a->port == b->port &&
		!memcmp(a->addr, b->addr, sizeof a->addr);
}

static bool same_prefix(const struct wgh_prefix *a, const struct wgh_prefix *b)
{
	struct wgh_prefix masked[2] = {*a, *b};

	text_prefix_mask(&masked[0]);
	text_prefix_mask(&masked[1]);
	return a->bits == b->bits && a->addr.family == b->addr.family &&
		!memcmp(masked[0].addr.bytes, masked[1].addr.bytes, sizeof a->addr.bytes);
}

static bool has_prefix(const struct wgh_peer_view *view, const struct wgh_prefix *prefix)
{
	for (size_t i = 0; i < view->n_allowed_ips; i++) {
		if (same_prefix(&view->allowed_ips[i], prefix))
			return true;
	}
	return false;
}

static bool asks_for(const struct wgh_peer_change *p, const struct wgh_prefix *prefix)
{
	for (size_t i = 0; i < p->n_allowed_ips; i++) {
		if (!p->allowed_ips[i].remove && same_prefix(&p->allowed_ips[i].prefix, prefix))
			return true;
	}
	return false;
}

static bool changes_ips(
	const struct wgh_peer_view *view, const struct wgh_peer_change *p, bool replaces)
{
	if (view->n_allowed_ips * p->n_allowed_ips > COMPARED_MAX)
		return true;
	for (size_t i = 0; i < p->n_allowed_ips; i++) {
		if (has_prefix(view, &p->allowed_ips[i].prefix) == p->allowed_ips[i].remove)
			return true;
	}
	for (size_t i = 0; replaces && i < view->n_allowed_ips; i++) {
		if (!asks_for(p, &view->allowed_ips[i]))
			return true;
	}
	return false;
}

static bool changes_psk(
	const struct wgh_peer_view *view, const struct wgh_peer_change *p, bool anew)
{
	static const uint8_t none[WGH_KEY_BYTES];

	if (p->flags & WGH_PEER_HAS_PRESHARED_KEY)
		return !ct_equal(view->preshared_key, p->preshared_key, sizeof none);
	return anew && !ct_equal(view->preshared_key, none, sizeof none);
}

enum what { ALLOWED_IPS = 1, ENDPOINT = 2, KEEPALIVE = 4, PRESHARED_KEY = 8 };

static unsigned differs(
	const struct wgh_peer_view *view, const struct wgh_peer_change *p, bool anew)
{
	bool replaces = anew || p->flags & WGH_PEER_REPLACE_ALLOWED_IPS;
	unsigned what = 0;

	if (changes_ips(view, p, replaces))
		what |= ALLOWED_IPS;
	if (p->flags & WGH_PEER_HAS_ENDPOINT && !same_endpoint(&view->endpoint, &p->endpoint))
		what |= ENDPOINT;
	if (p->flags & WGH_PEER_HAS_KEEPALIVE ? view->keepalive_s != p->keepalive_s
					      : anew && view->keepalive_s)
		what |= KEEPALIVE;
	if (changes_psk(view, p, anew))
		what |= PRESHARED_KEY;
	return what;
}

static void what_text(char out[80], unsigned what)
{
	static const char *const words[] = {
		"allowed_ips", "endpoint", "keepalive", "preshared_key"};
	size_t n = 0;

	out[0] = 0;
	for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
		if (what >> i & 1)
			n += (size_t)snprintf(out + n, 80 - n, "%s%s", n ? "," : "", words[i]);
	}
}

/* As they were asked for: "+" comes to those that are there, "-" goes. */
static void ips_text(char out[IPS_CHARS], const struct wgh_peer_change *p, bool replaces)
{
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; i < p->n_allowed_ips; i++) {
		const struct wgh_allowed_ip *ip = &p->allowed_ips[i];
		char text[TEXT_PREFIX_CHARS];

		text_from_prefix(text, &ip->prefix);
		if (n + sizeof text + 8 > IPS_CHARS) {
			snprintf(out + n, IPS_CHARS - n, ",...");
			return;
		}
		n += (size_t)snprintf(out + n, IPS_CHARS - n, "%s%s%s", n ? "," : "",
			ip->remove	   ? "-"
				: replaces ? ""
					   : "+",
			text);
	}
}

static void tell_change(const struct change *c, const struct wgh_peer_change *p, unsigned what,
	const struct wgh_peer_view *view)
{
	bool replaces = !view || c->anew || p->flags & WGH_PEER_REPLACE_ALLOWED_IPS;
	char words[80], ips[IPS_CHARS], endpoint[TEXT_ENDPOINT_CHARS];

	what_text(words, what);
	ips_text(ips, p, replaces);
	text_from_endpoint(endpoint, &p->endpoint);
	journal_peer(view ? "peer_changed" : "peer_added", &p->public_key, c->names,
		"{s:s,s:s*,s:s*,s:s*}", "by", c->by, "what", view ? words : NULL, "allowed_ips",
		what & ALLOWED_IPS ? ips : NULL, "endpoint", what & ENDPOINT ? endpoint : NULL);
}

static void tell_peer(
	const struct change *c, const struct wgh_peer_change *p, const struct wgh_peer_view *view)
{
	unsigned what;

	if (p->flags & WGH_PEER_REMOVE) {
		if (view)
			journal_peer(
				"peer_removed", &p->public_key, c->names, "{s:s}", "by", c->by);
	} else if (view) {
		what = differs(view, p, c->anew);
		if (what)
			tell_change(c, p, what, view);
	} else if (!(p->flags & WGH_PEER_UPDATE_ONLY)) {
		what = ALLOWED_IPS | (p->flags & WGH_PEER_HAS_ENDPOINT ? ENDPOINT : 0);
		tell_change(c, p, what, NULL);
	}
}

/* ---- the hub, and all of it ---- */

static void tell_hub(
	const char *by, const struct wgh_change *change, const struct wgh_snapshot *before)
{
	struct wgh_public_key key;

	if (change->flags & WGH_HAS_PRIVATE_KEY) {
		bool has = wgh_key_public(&key, change->private_key);

		if (has != before->has_private_key ||
			(has && memcmp(&key, &before->public_key, sizeof key)))
			journal_say("key_changed", "{s:s}", "by", by);
	}
	if (change->flags & WGH_HAS_LISTEN_PORT && change->listen_port != before->listen_port)
		journal_say("port_changed", "{s:s,s:i}", "by", by, "port", change->listen_port);
	if (change->flags & WGH_HAS_FWMARK && change->fwmark != before->fwmark)
		journal_say("fwmark_changed", "{s:s,s:I}", "by", by, "fwmark",
			(long long)change->fwmark);
}

void journal_change(const char *by, const struct wgh_change *change,
	const struct wgh_snapshot *before, struct names *names)
{
	const struct change c = {by, names, change->flags & WGH_REPLACE_PEERS};
	bool *stays = journal_is_open() ? calloc(before->n_peers + 1, sizeof *stays) : NULL;
	struct key_index index = {0};

	if (!stays ||
		key_index_init(&index, before->peers, before->n_peers, sizeof *before->peers)) {
		free(stays);
		return;
	}
	tell_hub(by, change, before);
	for (size_t i = 0; i < change->n_peers; i++) {
		const struct wgh_peer_change *p = &change->peers[i];
		const struct wgh_peer_view *view = key_index_find(&index, &p->public_key);

		if (view)
			stays[view - before->peers] |= !(p->flags & WGH_PEER_REMOVE);
		tell_peer(&c, p, view);
	}
	for (size_t i = 0; i < before->n_peers; i++) {
		if (change->flags & (WGH_REPLACE_PEERS | WGH_WHOLE) && !stays[i])
			journal_peer("peer_removed", &before->peers[i].public_key, names, "{s:s}",
				"by", by);
	}
	key_index_fini(&index);
	free(stays);
}
