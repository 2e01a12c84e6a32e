/* sync.c - see sync.h. For `wghub up` (nothing runs yet: all is added) and its SIGHUP, and for
 * every change of the Factory's devices and clients (wanted.c). */
#include "control/sync.h"

#include "control/key_index.h"
#include "control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

KEY_INDEX_CAN_HOLD(struct conf_peer);
KEY_INDEX_CAN_HOLD(struct wgh_peer_view);
KEY_INDEX_CAN_HOLD(struct sync_peer);

/* ---- are two lists of prefixes the same set? ---- */

static int compare_prefixes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct wgh_prefix));
}

static struct wgh_prefix *sorted_set(const struct wgh_prefix *list, size_t *n)
{
	struct wgh_prefix *set = calloc(*n + 1, sizeof *set);
	size_t kept = 0;

	if (!set)
		return NULL;
	if (*n)
		memcpy(set, list, *n * sizeof *set);
	for (size_t i = 0; i < *n; i++)
		text_prefix_mask(&set[i]);
	qsort(set, *n, sizeof *set, compare_prefixes);
	for (size_t i = 0; i < *n; i++) {
		if (kept == 0 || memcmp(&set[kept - 1], &set[i], sizeof *set))
			set[kept++] = set[i];
	}
	*n = kept;
	return set;
}

/* 1: the same, 0: not, or -ENOMEM. */
static int same_prefixes(const struct sync_peer *wanted, const struct wgh_peer_view *running)
{
	size_t n = wanted->n_allowed_ips, m = running->n_allowed_ips;
	struct wgh_prefix *a, *b;
	int same = -ENOMEM;

	/* As nearly all peers are. */
	if (n == 1 && m == 1)
		return text_prefix_covers(wanted->allowed_ips, running->allowed_ips) &&
			wanted->allowed_ips->bits == running->allowed_ips->bits;
	a = sorted_set(wanted->allowed_ips, &n);
	b = sorted_set(running->allowed_ips, &m);
	if (a && b)
		same = n == m && !memcmp(a, b, n * sizeof *a);
	free(a);
	free(b);
	return same;
}

/* ---- one peer ---- */

static void set_prefixes(
	struct wgh_peer_change *c, const struct sync_peer *wanted, struct wgh_allowed_ip **next)
{
	c->flags |= WGH_PEER_REPLACE_ALLOWED_IPS;
	c->allowed_ips = *next;
	c->n_allowed_ips = wanted->n_allowed_ips;
	for (size_t i = 0; i < wanted->n_allowed_ips; i++)
		*(*next)++ = (struct wgh_allowed_ip){.prefix = wanted->allowed_ips[i]};
}

/* running NULL: a new peer. */
static int peer_change(struct wgh_peer_change *c, const struct sync_peer *wanted,
	const struct wgh_peer_view *running, struct wgh_allowed_ip **next)
{
	static const uint8_t none[WGH_KEY_BYTES];
	int same = running ? same_prefixes(wanted, running) : 0;

	if (same < 0)
		return same;
	*c = (struct wgh_peer_change){.public_key = wanted->public_key};
	if (!same)
		set_prefixes(c, wanted, next);
	if (wanted->whole &&
		!ct_equal(wanted->preshared_key, running ? running->preshared_key : none,
			sizeof none)) {
		c->flags |= WGH_PEER_HAS_PRESHARED_KEY;
		memcpy(c->preshared_key, wanted->preshared_key, sizeof none);
	}
	if (wanted->whole && wanted->keepalive_s != (running ? running->keepalive_s : 0)) {
		c->flags |= WGH_PEER_HAS_KEEPALIVE;
		c->keepalive_s = wanted->keepalive_s;
	}
	if (wanted->endpoint.family != WGH_UNSPEC && (!running || wanted->endpoint_changed)) {
		c->flags |= WGH_PEER_HAS_ENDPOINT;
		c->endpoint = wanted->endpoint;
	}
	return 0;
}

/* ---- lists of peers ---- */

static void remove_peers(struct sync *s, unsigned origins, const struct key_index *wanted,
	const struct wgh_snapshot *running, sync_origin_fn *origin_of, void *arg)
{
	for (size_t i = 0; i < running->n_peers; i++) {
		const struct wgh_public_key *key = &running->peers[i].public_key;

		if (key_index_find(wanted, key) || !(origins & ORIGIN_BIT(origin_of(arg, key))))
			continue;
		s->peers[s->change.n_peers++] =
			(struct wgh_peer_change){.public_key = *key, .flags = WGH_PEER_REMOVE};
		s->n_removed++;
	}
}

static int add_and_change_peers(struct sync *s, unsigned origins, const struct sync_peer *wanted,
	size_t n_wanted, const struct key_index *running, sync_origin_fn *origin_of, void *arg)
{
	struct wgh_allowed_ip *next = s->allowed_ips;

	for (size_t i = 0; i < n_wanted; i++) {
		const struct sync_peer *peer = &wanted[i];
		const struct wgh_peer_view *now = key_index_find(running, &peer->public_key);
		struct wgh_peer_change *c = &s->peers[s->change.n_peers];
		int err;

		if (now && !(origins & ORIGIN_BIT(origin_of(arg, &peer->public_key)))) {
			s->n_foreign++;
			continue;
		}
		err = peer_change(c, peer, now, &next);
		if (err)
			return err;
		if (!c->flags)
			continue;
		s->change.n_peers++;
		if (now)
			s->n_changed++;
		else
			s->n_added++;
	}
	return 0;
}

int sync_peers(struct sync *s, unsigned origins, const struct sync_peer *wanted, size_t n_wanted,
	const struct wgh_snapshot *running, sync_origin_fn *origin_of, void *arg)
{
	struct key_index by_wanted = {0}, by_running = {0};
	size_t n_ips = 0;
	int err = -ENOMEM;

	*s = (struct sync){.peers_cap = n_wanted + running->n_peers + 1};
	for (size_t i = 0; i < n_wanted; i++)
		n_ips += wanted[i].n_allowed_ips;
	s->peers = calloc(s->peers_cap, sizeof *s->peers);
	s->allowed_ips = calloc(n_ips + 1, sizeof *s->allowed_ips);
	if (!s->peers || !s->allowed_ips ||
		key_index_init(&by_wanted, wanted, n_wanted, sizeof *wanted) ||
		key_index_init(
			&by_running, running->peers, running->n_peers, sizeof *running->peers))
		goto out;
	remove_peers(s, origins, &by_wanted, running, origin_of, arg);
	err = add_and_change_peers(s, origins, wanted, n_wanted, &by_running, origin_of, arg);
	s->change.peers = s->peers;
out:
	key_index_fini(&by_wanted);
	key_index_fini(&by_running);
	if (err)
		sync_fini(s);
	return err;
}

/* ---- a configuration file ---- */

static bool same_endpoint(const struct wgh_endpoint *a, const struct wgh_endpoint *b)
{
	return a->family == b->family && a->port == b->port && a->scope_id == b->scope_id &&
		!memcmp(a->addr, b->addr, sizeof a->addr);
}

/* The peers of a configuration file. before: as it was applied last, or NULL; it tells which
 * endpoints changed. free() it. NULL: no memory. */
static struct sync_peer *peers_of_conf(const struct conf *conf, const struct conf *before)
{
	struct sync_peer *peers = calloc(conf->n_peers + 1, sizeof *peers);
	struct key_index by_before;

	if (!peers ||
		key_index_init(&by_before, before ? before->peers : NULL,
			before ? before->n_peers : 0, sizeof *conf->peers)) {
		free(peers);
		return NULL;
	}
	for (size_t i = 0; i < conf->n_peers; i++) {
		const struct conf_peer *now = &conf->peers[i];
		const struct conf_peer *then = key_index_find(&by_before, &now->public_key);

		peers[i] = (struct sync_peer){.public_key = now->public_key,
			.origin = ORIGIN_CONF,
			.allowed_ips = now->allowed_ips,
			.n_allowed_ips = now->n_allowed_ips,
			.endpoint = now->endpoint,
			.endpoint_changed =
				!then || !same_endpoint(&now->endpoint, &then->endpoint),
			.whole = true,
			.preshared_key = now->preshared_key,
			.keepalive_s = now->keepalive_s};
	}
	key_index_fini(&by_before);
	return peers;
}

static void interface_change(struct wgh_change *c, const struct conf *wanted,
	const struct conf *before, const struct wgh_snapshot *running)
{
	if (!running->has_private_key ||
		!ct_equal(wanted->private_key, running->private_key, WGH_KEY_BYTES)) {
		c->flags |= WGH_HAS_PRIVATE_KEY;
		memcpy(c->private_key, wanted->private_key, WGH_KEY_BYTES);
	}
	/* A port the kernel chose is kept while the file goes on leaving it open. */
	if (wanted->listen_port ? wanted->listen_port != running->listen_port
				: before && before->listen_port) {
		c->flags |= WGH_HAS_LISTEN_PORT;
		c->listen_port = wanted->listen_port;
	}
	if (wanted->fwmark != running->fwmark) {
		c->flags |= WGH_HAS_FWMARK;
		c->fwmark = wanted->fwmark;
	}
}

/* Peers of the file, now or before; who takes up a peer made by hand into the file owns it. */
struct file_origin {
	struct key_index wanted, before;
};

static enum origin file_origin_of(void *arg, const struct wgh_public_key *key)
{
	const struct file_origin *o = arg;

	return key_index_find(&o->wanted, key) || key_index_find(&o->before, key) ? ORIGIN_CONF
										  : ORIGIN_WG;
}

int sync_init(struct sync *s, const struct conf *wanted, const struct conf *before,
	const struct wgh_snapshot *running)
{
	struct sync_peer *peers = peers_of_conf(wanted, before);
	struct file_origin origin = {{0}, {0}};
	int err = -ENOMEM;

	*s = (struct sync){0};
	if (peers &&
		!key_index_init(
			&origin.wanted, wanted->peers, wanted->n_peers, sizeof *wanted->peers) &&
		!key_index_init(&origin.before, before ? before->peers : NULL,
			before ? before->n_peers : 0, sizeof *wanted->peers))
		err = sync_peers(s, ORIGIN_BIT(ORIGIN_CONF), peers, wanted->n_peers, running,
			file_origin_of, &origin);
	if (!err)
		interface_change(&s->change, wanted, before, running);
	key_index_fini(&origin.wanted);
	key_index_fini(&origin.before);
	free(peers);
	return err;
}

void sync_fini(struct sync *s)
{
	if (s->peers)
		secret_wipe(s->peers, s->peers_cap * sizeof *s->peers);
	free(s->peers);
	free(s->allowed_ips);
	secret_wipe(s, sizeof *s);
}
