/* factory_guard.c - what wg(8) may do to a Factory's hub: whatever harms nobody.
 *
 * A request is rewritten before the device sees it, or refused whole. Two kinds are told apart:
 * `wg set` and `wg addconf` say what shall be different, so a new peer with one free address
 * becomes a client and a client that is removed goes, also from its file, because the next reading
 * would bring it back. `wg setconf` and `wg syncconf` say what there shall be at all, and the file
 * they say it with knows neither the Factory nor the clients file: they add and remove nobody.
 *
 * Everything that is changed or left out is a note, which is logged when the device has taken the
 * rest. Cost: a search in the set for each peer; new clients are compared with each other, so a
 * request may have NEW_MAX of them. */
#include "control/factory_hub_internal.h"

#include "control/error.h"
#include "control/journal.h"
#include "control/log.h"
#include "control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NEW_MAX 256

/* A line of the clients file that comes, or whose address changes. */
struct line {
	struct wgh_public_key key;
	struct wgh_addr address;
	char name[CLIENT_NAME_BYTES + 1];
	enum { LINE_NEW, LINE_MOVED, LINE_REMOVED } kind;
};

struct guard {
	struct factory_hub *hub;
	bool whole; /* setconf or syncconf */
	struct wgh_change change; /* as it goes to the device */
	struct wgh_peer_change *peers;
	struct wgh_allowed_ip *ips; /* one for each peer */
	struct line *lines;
	size_t n_lines;
	struct notes notes;
	struct wgh_error *error;
};

/* ---- words ---- */

/* "press-1" or "Xk3f9a2c". */
static void say_peer(
	char out[100], const struct wanted_peer *peer, const struct wgh_public_key *key)
{
	char name[80], short_key[TEXT_PEER_CHARS];

	text_from_peer(short_key, key);
	text_escape(name, sizeof name, peer ? peer->name : "", peer ? strlen(peer->name) : 0);
	snprintf(out, 100, "%s%s%s", short_key, *name ? " " : "", name);
}

static int refuse(struct guard *g, const struct wgh_peer_change *p, const struct wanted_peer *peer,
	const char *why)
{
	char who[100];

	say_peer(who, peer, &p->public_key);
	error_set(g->error, "%s: %s", who, why);
	return -EINVAL;
}

static void note(struct guard *g, const struct wgh_peer_change *p, const struct wanted_peer *peer,
	const char *what)
{
	char who[100];

	say_peer(who, peer, &p->public_key);
	notes_add(&g->notes, "%s: %s", who, what);
}

/* ---- the hub itself ---- */

static bool is_own_key(const struct guard *g, const uint8_t private_key[WGH_KEY_BYTES])
{
	struct wgh_snapshot *running;
	bool same;

	if (wgh_device_snapshot(g->hub->device, &running))
		return false;
	same = ct_equal(running->private_key, private_key, sizeof running->private_key);
	wgh_snapshot_free(running);
	return same;
}

static int guard_device(struct guard *g, const struct wgh_change *asked)
{
	const struct factory_hub *hub = g->hub;

	g->change.flags &= ~(uint32_t)(WGH_HAS_PRIVATE_KEY | WGH_REPLACE_PEERS);
	if (asked->flags & WGH_HAS_PRIVATE_KEY && !is_own_key(g, asked->private_key)) {
		if (!g->whole) {
			error_set(g->error,
				"the hub's key is what it was started with, and what the factory "
				"publishes");
			return -EINVAL;
		}
		notes_add(&g->notes, "another private key is left out: the hub keeps its own");
	}
	if (!hub->has_server || !(asked->flags & WGH_HAS_LISTEN_PORT))
		return 0;
	g->change.flags &= ~(uint32_t)WGH_HAS_LISTEN_PORT;
	if (asked->listen_port == hub->server.port || (g->whole && !asked->listen_port))
		return 0;
	if (g->whole) {
		notes_add(&g->notes, "port %u is left out: the factory publishes %u",
			asked->listen_port, hub->server.port);
		return 0;
	}
	error_set(g->error, "the port is the one that the factory publishes, %u", hub->server.port);
	return -EINVAL;
}

/* ---- one peer ---- */

static bool is_host(const struct wgh_prefix *prefix)
{
	return prefix->addr.family == WGH_IPV4 && prefix->bits == 32;
}

/* "10.42.42.7/24": somebody wrote their address with the length of the network. */
static bool names_a_host(const struct wgh_prefix *prefix)
{
	struct wgh_prefix masked = *prefix;

	text_prefix_mask(&masked);
	return is_host(prefix) ||
		(prefix->addr.family == WGH_IPV4 &&
			memcmp(&masked.addr, &prefix->addr, sizeof masked.addr));
}

static bool is_new_line(const struct guard *g, const struct wgh_addr *address)
{
	for (size_t i = 0; i < g->n_lines; i++) {
		if (g->lines[i].kind != LINE_REMOVED &&
			!memcmp(&g->lines[i].address, address, sizeof *address))
			return false;
	}
	return true;
}

/* The peer is, or becomes, the client with this address. */
static int make_client(struct guard *g, struct wgh_peer_change *out,
	const struct wgh_peer_change *p, const struct wanted_peer *peer,
	const struct wgh_prefix *prefix)
{
	struct wgh_allowed_ip *ip = &g->ips[out - g->peers];
	const char *name = peer && peer->origin == ORIGIN_CLIENTS ? peer->name : NULL;
	char why[REFUSAL_CHARS], text[TEXT_ADDR_CHARS], what[120];
	struct line *line;

	if (g->n_lines == NEW_MAX)
		return refuse(g, p, peer, "more than 256 new clients in one request");
	if (!factory_client_may(g->hub, name ? name : "", &p->public_key, &prefix->addr, why)) {
		error_set(g->error, "%s", why);
		return -EINVAL;
	}
	if (!is_new_line(g, &prefix->addr))
		return refuse(g, p, peer, "another peer of this request has this address");
	line = &g->lines[g->n_lines++];
	*line = (struct line){.key = p->public_key,
		.address = prefix->addr,
		.name = "wg-",
		.kind = name ? LINE_MOVED : LINE_NEW};
	if (name)
		snprintf(line->name, sizeof line->name, "%s", name);
	else
		text_from_peer(line->name + 3, &p->public_key);
	if (!name) {
		*ip = (struct wgh_allowed_ip){.prefix = {.addr = prefix->addr, .bits = 32}};
		out->flags |= WGH_PEER_REPLACE_ALLOWED_IPS;
		out->allowed_ips = ip;
		out->n_allowed_ips = 1;
	}
	text_from_addr(text, &prefix->addr);
	snprintf(what, sizeof what, "%s %s/32%s", name ? "client, now with" : "becomes a client,",
		text, prefix->bits == 32 ? "" : " and no wider network");
	note(g, p, peer, what);
	if (out->flags & WGH_PEER_HAS_PRESHARED_KEY)
		note(g, p, peer, "its preshared key is not kept over a restart");
	return 0;
}

/* A device or a client: it has its address, whatever is asked. */
static int guard_ips_of_known(struct guard *g, struct wgh_peer_change *out,
	const struct wgh_peer_change *p, const struct wanted_peer *peer)
{
	const struct wgh_prefix *own = &peer->prefixes[0];
	bool keeps = p->flags & WGH_PEER_REPLACE_ALLOWED_IPS && !p->n_allowed_ips;
	char text[TEXT_ADDR_CHARS], what[120];

	for (size_t i = 0; i < p->n_allowed_ips; i++) {
		const struct wgh_prefix *prefix = &p->allowed_ips[i].prefix;

		if (p->allowed_ips[i].remove || !text_prefix_covers(prefix, own)) {
			if (!g->whole && peer->origin == ORIGIN_CLIENTS && p->n_allowed_ips == 1 &&
				!p->allowed_ips[i].remove && is_host(prefix))
				return make_client(g, out, p, peer, prefix);
			if (!g->whole)
				return refuse(g, p, peer,
					peer->origin == ORIGIN_FACTORY
						? "a device has the address that the factory gives "
						  "it"
						: "a client has one address");
			keeps = true;
		}
		keeps |= prefix->bits != own->bits;
	}
	if (!keeps)
		return 0;
	text_from_addr(text, &own->addr);
	snprintf(what, sizeof what, "keeps %s/32: no %s of this hub has more, or another's", text,
		peer->origin == ORIGIN_FACTORY ? "device" : "client");
	note(g, p, peer, what);
	return 0;
}

/* A key that is no device's and no client's. */
static int guard_ips_of_others(struct guard *g, struct wgh_peer_change *out,
	const struct wgh_peer_change *p, const struct wanted_peer *peer)
{
	char text[TEXT_PREFIX_CHARS], why[160];

	if (!p->n_allowed_ips)
		return 0;
	if (p->n_allowed_ips == 1 && !p->allowed_ips[0].remove &&
		names_a_host(&p->allowed_ips[0].prefix))
		return make_client(g, out, p, peer, &p->allowed_ips[0].prefix);
	text_from_prefix(text, &p->allowed_ips[0].prefix);
	snprintf(why, sizeof why,
		"a peer of this hub has one address, not %s%s: give it as allowed-ips ADDRESS/32",
		text, p->n_allowed_ips > 1 ? " and others" : "");
	return refuse(g, p, peer, why);
}

/* Its line goes, and then the peer: or reading the file again would bring it back. */
static int remove_client(struct guard *g, const struct wgh_peer_change *p)
{
	if (g->n_lines == NEW_MAX)
		return refuse(g, p, NULL, "more than 256 clients removed in one request");
	g->lines[g->n_lines++] = (struct line){.key = p->public_key, .kind = LINE_REMOVED};
	return 1;
}

/* 1: this peer is left out. */
static int guard_peer(struct guard *g, struct wgh_peer_change *out, const struct wgh_peer_change *p)
{
	const struct wanted_peer *peer = wanted_find(g->hub->wanted, &p->public_key);
	bool known = peer && (peer->origin == ORIGIN_FACTORY || peer->origin == ORIGIN_CLIENTS);
	int err;

	*out = *p;
	if (!known && g->whole) {
		if (!(p->flags & WGH_PEER_REMOVE))
			note(g, p, peer,
				"setconf and syncconf add nobody: wghub client add NAME --pubkey "
				"KEY, or wg set");
		return 1;
	}
	if (p->flags & WGH_PEER_REMOVE && known) {
		if (peer->origin == ORIGIN_CLIENTS && !g->whole) {
			note(g, p, peer, "client removed, also from the clients file");
			return remove_client(g, p);
		}
		note(g, p, peer,
			peer->origin == ORIGIN_FACTORY
				? "stays: devices come and go by the factory: wghub device disable"
				: "stays: setconf and syncconf remove nobody: wghub client remove");
		return 1;
	}
	if (p->flags & WGH_PEER_REMOVE)
		return 0;
	out->flags &= ~(uint32_t)WGH_PEER_REPLACE_ALLOWED_IPS;
	out->allowed_ips = NULL;
	out->n_allowed_ips = 0;
	if (known && peer->origin == ORIGIN_FACTORY && p->flags & WGH_PEER_HAS_PRESHARED_KEY &&
		!ct_is_zero(p->preshared_key, sizeof p->preshared_key)) {
		out->flags &= ~(uint32_t)WGH_PEER_HAS_PRESHARED_KEY;
		note(g, p, peer, "no preshared key: a device cannot have one");
	}
	err = known ? guard_ips_of_known(g, out, p, peer) : guard_ips_of_others(g, out, p, peer);
	return err;
}

/* ---- a request ---- */

static int rewrite(struct guard *g, const struct wgh_change *asked)
{
	size_t n = 0;
	int err;

	/* wg sends all three with setconf and syncconf, and with nothing else. */
	g->whole = asked->flags & WGH_REPLACE_PEERS ||
		(asked->flags & WGH_HAS_PRIVATE_KEY && asked->flags & WGH_HAS_LISTEN_PORT &&
			asked->flags & WGH_HAS_FWMARK);
	g->change = *asked;
	g->peers = calloc(asked->n_peers + 1, sizeof *g->peers);
	g->ips = calloc(asked->n_peers + 1, sizeof *g->ips);
	g->lines = calloc(NEW_MAX, sizeof *g->lines);
	if (!g->peers || !g->ips || !g->lines) {
		error_set(g->error, "out of memory");
		return -ENOMEM;
	}
	err = guard_device(g, asked);
	for (size_t i = 0; !err && i < asked->n_peers; i++) {
		int verdict = guard_peer(g, &g->peers[n], &asked->peers[i]);

		if (verdict < 0)
			err = verdict;
		else if (verdict == 0)
			n++;
	}
	g->change.peers = g->peers;
	g->change.n_peers = n;
	return err;
}

/* ---- the clients file, and the answer ---- */

/* A request that is answered when its lines are in the file. */
struct wait {
	struct factory_hub *hub;
	struct uapi_reply *reply;
	size_t n_left;
	int err; /* of a line that moves or goes; a new peer works until the next start */
};

static void wait_end(struct wait *wait)
{
	wait->hub->linked =
		false; /* a peer that a file adopts is no change, but may need its route */
	clients_watch_now(wait->hub->clients);
	uapi_reply_send(wait->reply, wait->err, "the clients file could not be changed", NULL, 0);
	free(wait);
}

static void on_new_written(void *arg, int err, const char *why)
{
	struct wait *wait = arg;

	if (err)
		log_error("clients file not changed why=\"%s\" lost=\"the peer that wg added is "
			  "forgotten with the next start\"",
			why);
	if (--wait->n_left == 0)
		wait_end(wait);
}

static void on_other_written(void *arg, int err, const char *why)
{
	struct wait *wait = arg;

	if (err) {
		log_error("clients file not changed why=\"%s\"", why);
		wait->err = err;
	}
	if (--wait->n_left == 0)
		wait_end(wait);
}

static void write_line(struct wait *wait, const struct line *line)
{
	clients_change_fn *done = line->kind == LINE_NEW ? on_new_written : on_other_written;
	const struct client client = {
		.public_key = line->key, .address = line->address, .name = (char *)line->name};
	int err;

	err = line->kind == LINE_REMOVED
		? clients_change_remove(wait->hub->changes, &line->key, done, wait)
		: clients_change_put(wait->hub->changes, &client, done, wait);
	if (err)
		done(wait, err, strerror(-err));
}

static void write_lines(const struct guard *g, struct uapi_reply *reply)
{
	struct wait *wait = g->n_lines && g->hub->changes ? malloc(sizeof *wait) : NULL;

	if (!wait) {
		uapi_reply_send(reply, g->n_lines && g->hub->changes ? -ENOMEM : 0, "", NULL, 0);
		return;
	}
	*wait = (struct wait){.hub = g->hub, .reply = reply, .n_left = g->n_lines + 1};
	for (size_t i = 0; i < g->n_lines; i++)
		write_line(wait, &g->lines[i]);
	if (--wait->n_left == 0)
		wait_end(wait);
}

static void log_notes(const struct notes *notes)
{
	for (size_t i = 0; i < notes->n; i++) {
		log_warn("wg note=\"%s\"", notes->lines[i]);
		journal_say("change_amended", "{s:s,s:s}", "by", "wg", "note", notes->lines[i]);
	}
	if (notes->n_left_out)
		log_warn("wg notes more=%zu", notes->n_left_out);
}

/* before: what ran until then, or NULL where nobody wants to know. */
static void tell_set(struct guard *g, const struct wgh_snapshot *before)
{
	log_notes(&g->notes);
	factory_hub_apply(g->hub, "wg"); /* what is new holds its address from now on */
	if (before)
		journal_change("wg", &g->change, before, g->hub->names);
}

void factory_hub_set(
	struct factory_hub *hub, const struct wgh_change *change, struct uapi_reply *reply)
{
	struct wgh_error error = {""};
	struct guard g = {.hub = hub, .error = &error};
	struct wgh_snapshot *before = NULL;
	int err = rewrite(&g, change);

	if (!err && journal_is_open())
		err = wgh_device_snapshot(hub->device, &before);
	if (!err)
		err = wgh_device_apply(hub->device, &g.change, &error);
	if (err) {
		journal_say("change_refused", "{s:s,s:s}", "by", "wg", "why", error.text);
		uapi_reply_send(reply, err, error.text, NULL, 0);
	} else {
		tell_set(&g, before);
		write_lines(&g, reply);
	}
	wgh_snapshot_free(before);
	notes_fini(&g.notes);
	if (g.peers)
		secret_wipe(g.peers, change->n_peers * sizeof *g.peers);
	free(g.peers);
	free(g.ips);
	free(g.lines);
	secret_wipe(&g.change, sizeof g.change);
}
