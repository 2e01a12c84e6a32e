/* wanted_sync.c - from the set of wanted.h to the device, to the state file, and the guard that
 * asks twice before it believes that half of a fleet is gone. */
#include "control/wanted_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GUARD_MIN_PEERS 4

/* ---- to the device ---- */

static int compare_applied(const void *a, const void *b)
{
	const struct applied *x = a, *y = b;

	return memcmp(&x->public_key, &y->public_key, sizeof x->public_key);
}

enum origin wanted_origin_of(void *arg, const struct wgh_public_key *key)
{
	const struct applied wanted = {.public_key = *key}, *found = NULL;
	const struct wanted *w = arg;

	if (w->n_applied)
		found = bsearch(
			&wanted, w->applied, w->n_applied, sizeof *w->applied, compare_applied);
	return found ? found->origin : ORIGIN_WG;
}

/* As wanted_origin_of(), but a peer made by hand that a file has taken up is the file's from now
 * on. The Factory takes nobody up: wanted_resolve() refuses its claim to such a key. */
static enum origin origin_with_adoption(void *arg, const struct wgh_public_key *key)
{
	const struct wanted_peer *peer = wanted_find(arg, key);
	enum origin origin = wanted_origin_of(arg, key);

	return origin == ORIGIN_WG && peer ? peer->origin : origin;
}

int wanted_sync(const struct wanted *w, unsigned origins, const struct wgh_snapshot *running,
	struct sync *sync)
{
	struct sync_peer *peers = calloc(w->set.n_peers + 1, sizeof *peers);
	size_t n = 0;
	int err;

	*sync = (struct sync){0};
	if (!peers)
		return -ENOMEM;
	for (size_t i = 0; i < w->set.n_peers; i++) {
		const struct wanted_peer *peer = &w->set.peers[i];

		if (!(origins & ORIGIN_BIT(peer->origin)) || peer->origin == ORIGIN_WG)
			continue;
		peers[n++] = (struct sync_peer){.public_key = peer->public_key,
			.origin = peer->origin,
			.allowed_ips = peer->prefixes,
			.n_allowed_ips = peer->n_prefixes,
			.endpoint = peer->endpoint};
	}
	err = sync_peers(sync, origins & ~ORIGIN_BIT(ORIGIN_WG), peers, n, running,
		origin_with_adoption, (void *)w);
	free(peers);
	return err;
}

int wanted_applied(struct wanted *w, unsigned origins)
{
	struct applied *fresh = calloc(w->n_applied + w->set.n_peers + 1, sizeof *fresh);
	size_t n = 0;

	if (!fresh)
		return -ENOMEM;
	origins &= ~ORIGIN_BIT(ORIGIN_WG);
	for (size_t i = 0; i < w->n_applied; i++) {
		if (!(origins & ORIGIN_BIT(w->applied[i].origin)))
			fresh[n++] = w->applied[i];
	}
	for (size_t i = 0; i < w->set.n_peers; i++) {
		const struct wanted_peer *peer = &w->set.peers[i];

		if (origins & ORIGIN_BIT(peer->origin))
			fresh[n++] = (struct applied){peer->public_key, peer->origin};
	}
	qsort(fresh, n, sizeof *fresh, compare_applied);
	free(w->applied);
	w->applied = fresh;
	w->n_applied = n;
	return 0;
}

/* ---- to the state file ---- */

static int save_peer(
	struct state *state, const struct wanted_peer *peer, const struct wgh_endpoint *endpoint)
{
	struct state_peer *saved;
	char *name;

	if (peer->origin != ORIGIN_FACTORY && peer->origin != ORIGIN_CLIENTS)
		return 0;
	name = strdup(peer->name);
	saved = name ? state_add(state) : NULL;
	if (!saved) {
		free(name);
		return -ENOMEM;
	}
	*saved = (struct state_peer){.public_key = peer->public_key,
		.origin = peer->origin,
		.address = peer->prefixes[0].addr,
		.name = name,
		.endpoint = *endpoint};
	/* Which of our addresses it used may not be ours tomorrow. */
	memset(saved->endpoint.local, 0, sizeof saved->endpoint.local);
	saved->endpoint.local_ifindex = 0;
	return 0;
}

int wanted_to_state(const struct wanted *w, const struct wgh_snapshot *running, struct state *state)
{
	struct wgh_endpoint *endpoints = calloc(w->set.n_peers + 1, sizeof *endpoints);
	int err = endpoints ? 0 : -ENOMEM;

	*state = (struct state){0};
	for (size_t i = 0; !err && i < w->set.n_peers; i++)
		endpoints[i] = w->set.peers[i].endpoint;
	for (size_t i = 0; !err && i < running->n_peers; i++) {
		const struct wgh_peer_view *view = &running->peers[i];
		const struct wanted_peer *peer = set_find(&w->set, &view->public_key);

		if (peer && view->endpoint.family != WGH_UNSPEC)
			endpoints[peer - w->set.peers] = view->endpoint;
	}
	for (size_t i = 0; !err && i < w->set.n_peers; i++)
		err = save_peer(state, &w->set.peers[i], &endpoints[i]);
	for (size_t i = 0; !err && i < w->n_reserved; i++) {
		struct state_peer *saved = state_add(state);

		if (saved)
			*saved = (struct state_peer){.reserved = true, .address = w->reserved[i]};
		else
			err = -ENOMEM;
	}
	free(endpoints);
	if (err)
		state_fini(state);
	return err;
}

/* ---- the guard ---- */

/* Independent of the order; the seed keeps devices from choosing keys that cancel each other. */
static uint64_t hash_peer(uint64_t seed, const struct factory_peer *peer)
{
	uint8_t bytes[48] = {0};
	uint64_t h = seed, word;

	memcpy(bytes, peer->public_key.bytes, 32);
	memcpy(bytes + 32, peer->address.bytes, 16);
	for (size_t i = 0; i < sizeof bytes; i += sizeof word) {
		memcpy(&word, bytes + i, sizeof word);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h;
}

static bool counts(const struct factory_peer *peer)
{
	return peer->enabled && peer->has_key && !peer->refused;
}

/* Of the devices in the set: how many there are, and how many this answer has not. */
static int count_vanished(size_t *n_devices, size_t *n_vanished, const struct wanted *w,
	const struct factory_peers *answer)
{
	struct applied *keys = calloc(answer->n + 1, sizeof *keys);
	size_t n = 0;

	*n_devices = *n_vanished = 0;
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < answer->n; i++) {
		if (counts(&answer->items[i]))
			keys[n++].public_key = answer->items[i].public_key;
	}
	qsort(keys, n, sizeof *keys, compare_applied);
	for (size_t i = 0; i < w->set.n_peers; i++) {
		const struct applied wanted = {.public_key = w->set.peers[i].public_key};

		if (w->set.peers[i].origin != ORIGIN_FACTORY)
			continue;
		++*n_devices;
		if (!n || !bsearch(&wanted, keys, n, sizeof *keys, compare_applied))
			++*n_vanished;
	}
	free(keys);
	return 0;
}

bool vanish_guard_accepts(struct vanish_guard *guard, const struct wanted *w,
	const struct factory_peers *answer, double now_s, double interval_s)
{
	size_t n_devices, n_vanished;
	uint64_t set = 0;
	bool doubtful;

	if (count_vanished(&n_devices, &n_vanished, w, answer))
		return false; /* without memory nothing could be changed either */
	doubtful = answer->certain ? n_devices >= GUARD_MIN_PEERS && n_vanished > n_devices / 2
				   : n_vanished > 0;
	if (!doubtful) {
		guard->armed = false;
		return true;
	}
	if (!guard->seed)
		secret_random(&guard->seed, sizeof guard->seed);
	for (size_t i = 0; i < answer->n; i++)
		set += counts(&answer->items[i]) ? hash_peer(guard->seed, &answer->items[i]) : 0;
	if (!guard->armed || guard->set != set) {
		guard->armed = true;
		guard->set = set;
		guard->since_s = now_s;
		return false;
	}
	/* The interval has jitter, and "sync now" may come at any time. */
	if (now_s - guard->since_s < interval_s / 2)
		return false;
	guard->armed = false;
	return true;
}
