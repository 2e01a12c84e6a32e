/* snapshot.c - a copy of the hub's state for people and programs. One allocation for each kind of
 * array, so that 100,000 peers cost a few milliseconds; private and preshared keys in it are wiped
 * when it is freed.
 */
#include "core/hub.h"

#include "core/worker.h"
#include "crypto/aead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The snapshot and everything it points to. */
struct whole {
	struct wgh_snapshot snapshot;
	uint64_t drops[DROP_N];
	struct wgh_peer_view *peers;
	struct wgh_prefix *prefixes; /* the hub's own, then each peer's */
	uint32_t (*peer_drops)[DROP_N];
	size_t n_peers;
};

static void fill_peer(struct hub *hub, struct peer *peer, struct wgh_peer_view *view,
	struct wgh_prefix **prefixes, uint32_t drops[DROP_N])
{
	size_t cursor = 0;

	memcpy(view->public_key.bytes, peer->public_key.bytes, sizeof view->public_key.bytes);
	memcpy(view->preshared_key, peer->psk.bytes, sizeof view->preshared_key);
	view->endpoint = peer_endpoint(peer);
	view->tag = relaxed_get(&peer->tag);
	view->keepalive_s = relaxed_get(&peer->keepalive_s);
	view->group = REACH_GROUP(relaxed_get(&peer->reach));
	view->nat = peer->nat;
	view->wide4 = peer->wide & REACH_STOCK4;
	view->wide6 = peer->wide & REACH_STOCK6;
	if (flow_count(hub->flows))
		view->n_flows =
			flow_count_of(hub->flows, (struct flow_party){peer->slot, peer->serial});
	view->last_handshake_s = peer->last_handshake_wall_ns / (int64_t)NS_PER_S;
	view->last_handshake_ns = (uint32_t)(peer->last_handshake_wall_ns % (int64_t)NS_PER_S);
	view->rx_bytes = relaxed_get(&peer->rx_bytes);
	view->tx_bytes = relaxed_get(&peer->tx_bytes);
	view->allowed_ips = *prefixes;
	while (route_next_of(hub->routes, peer, &cursor, *prefixes)) {
		(*prefixes)++;
		view->n_allowed_ips++;
	}
	for (unsigned r = 0; r < DROP_N; r++)
		drops[r] = relaxed_get(&peer->drops[r]);
	view->drops = drops;
}

static void sum_workers(const struct hub *hub, struct whole *whole)
{
	for (unsigned r = 0; r < DROP_N; r++)
		whole->drops[r] = relaxed_get(&((struct hub *)hub)->drops[r]);
	for (unsigned i = 0; i < hub->options.n_workers; i++) {
		struct worker_stats *stats = &hub->workers[i]->stats;

		for (unsigned r = 0; r < DROP_N; r++)
			whole->drops[r] += relaxed_get(&stats->drops[r]);
		whole->snapshot.n_forwarded += relaxed_get(&stats->n_forwarded);
		whole->snapshot.n_log_lost += relaxed_get(&stats->n_log_lost);
	}
}

/* Each counter once, of each worker. */
static void add_worker(struct wgh_stats *stats, struct worker_stats *w)
{
	stats->n_udp_in += relaxed_get(&w->n_udp_in);
	stats->n_tun_in += relaxed_get(&w->n_tun_in);
	stats->n_udp_out += relaxed_get(&w->n_to_udp);
	stats->n_tun_out += relaxed_get(&w->n_to_tun);
	stats->n_forwarded += relaxed_get(&w->n_forwarded);
	stats->n_handshakes_in += relaxed_get(&w->n_handshakes);
	stats->n_keepalives_in += relaxed_get(&w->n_keepalives);
}

static void add_queues(struct wgh_stats *stats, const struct worker *w)
{
	stats->n_handshakes_waiting += ring_count(&w->handshakes);
	stats->handshakes_waiting_max += HANDSHAKE_QUEUE_MESSAGES;
	stats->control_waiting_bytes += ring_bytes(&w->events);
	stats->control_waiting_max_bytes += w->events.size_bytes;
}

int hub_stats(const struct hub *const_hub, struct wgh_stats *stats)
{
	struct hub *hub = (struct hub *)const_hub; /* atomic loads want it */
	struct mem_budget *budget = hub->options.budget;
	struct wgh_stats all = {
		.size = sizeof all, .drops = stats->drops, .n_drops = stats->n_drops};

	if (stats->size < sizeof all.size + sizeof all.drops + sizeof all.n_drops)
		return -EINVAL;
	all.n_peers = relaxed_get(&hub->peers.n_peers);
	for (unsigned i = 0; i < hub->options.n_workers; i++) {
		add_worker(&all, &hub->workers[i]->stats);
		add_queues(&all, hub->workers[i]);
	}
	all.staged_bytes = relaxed_get(&hub->staged_bytes);
	all.staged_max_bytes = STAGED_BYTES_TOTAL;
	for (unsigned r = 0; all.drops && r < all.n_drops; r++) {
		all.drops[r] = r < DROP_N ? relaxed_get(&hub->drops[r]) : 0;
		for (unsigned i = 0; r < DROP_N && i < hub->options.n_workers; i++)
			all.drops[r] += relaxed_get(&hub->workers[i]->stats.drops[r]);
	}
	all.n_udp_out += relaxed_get(&hub->n_sent);
	all.n_events_lost = relaxed_get(&hub->n_events_lost);
	if (budget) {
		all.memory_bytes = relaxed_get(&budget->used_bytes);
		all.memory_peak_bytes = relaxed_get(&budget->peak_bytes);
		all.memory_limit_bytes = budget->limit_bytes;
		all.n_memory_refused = relaxed_get(&budget->n_refused);
	}
	/* A program built with an older header has less room, one with a newer one hears 0. */
	if (stats->size > sizeof all)
		memset((uint8_t *)stats + sizeof all, 0, stats->size - sizeof all);
	all.size = stats->size;
	memcpy(stats, &all, stats->size < sizeof all ? stats->size : sizeof all);
	return 0;
}

int hub_snapshot(struct hub *hub, struct wgh_snapshot **out)
{
	size_t n = hub->peers.n_peers, n_prefixes = hub->n_addresses + route_count(hub->routes);
	struct whole *whole = calloc(1, sizeof *whole);
	struct wgh_prefix *prefixes;
	struct wgh_snapshot *s;

	if (!whole)
		return -ENOMEM;
	s = &whole->snapshot;
	/* One more of each, so that an empty hub allocates something too, and room for the last
	 * route_next_of(). */
	whole->peers = calloc(n + 1, sizeof *whole->peers);
	whole->prefixes = calloc(n_prefixes + 1, sizeof *whole->prefixes);
	whole->peer_drops = calloc(n + 1, sizeof *whole->peer_drops);
	whole->n_peers = n;
	s->peers = whole->peers;
	if (!whole->peers || !whole->prefixes || !whole->peer_drops) {
		wgh_snapshot_free(s);
		return -ENOMEM;
	}
	s->has_private_key = hub->identity->present;
	memcpy(s->private_key, hub->identity->secret.bytes, sizeof s->private_key);
	memcpy(s->public_key.bytes, hub->identity->public_key.bytes, sizeof s->public_key.bytes);
	s->listen_port = hub->listen_port;
	s->mtu_bytes = hub->options.mtu_bytes;
	s->n_workers = hub->options.n_workers;
	s->aead = aead_name(hub->aead);
	s->n_flows = flow_count(hub->flows);
	s->flows_max = hub->policy->said.flows_max;
	s->drops = whole->drops;
	sum_workers(hub, whole);
	prefixes = whole->prefixes;
	s->addresses = prefixes;
	s->n_addresses = hub->n_addresses;
	if (hub->n_addresses)
		memcpy(prefixes, hub->addresses, hub->n_addresses * sizeof *prefixes);
	prefixes += hub->n_addresses;
	for (uint32_t i = 0; i < hub->peers.n_slots; i++) {
		struct peer *peer = hub->peers.slots[i];

		if (!peer)
			continue;
		fill_peer(
			hub, peer, &s->peers[s->n_peers], &prefixes, whole->peer_drops[s->n_peers]);
		s->n_peers++;
	}
	*out = s;
	return 0;
}

void wgh_snapshot_free(struct wgh_snapshot *snapshot)
{
	struct whole *whole = (struct whole *)snapshot; /* the first member */

	if (!whole)
		return;
	if (whole->peers)
		secret_wipe(whole->peers, whole->n_peers * sizeof *whole->peers);
	free(whole->peers);
	free(whole->prefixes);
	free(whole->peer_drops);
	secret_wipe(whole, sizeof *whole);
	free(whole);
}
