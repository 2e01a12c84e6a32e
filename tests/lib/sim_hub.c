/* sim_hub.c - see sim.h: making hubs, changing them, and checking that their parts fit together. */
#include "tests/lib/sim_internal.h"

#include <string.h>

/* ---- what the core calls ---- */

static void on_random(void *arg, void *out, size_t len_bytes)
{
	struct sim_hub *h = arg;

	if (h->sim->random)
		h->sim->random(h->sim, out, len_bytes);
	else
		rng_fill(&h->sim->rng, out, len_bytes);
}

static void on_send(
	void *arg, const struct wgh_endpoint *to, const void *data, uint32_t len_bytes, uint8_t tos)
{
	SIM_MUST(to->family != WGH_UNSPEC && to->port);
	sim_transmit(arg, to, data, len_bytes, tos & 3, tos);
}

static void on_event(void *arg, const struct wgh_event *event)
{
	struct sim_hub *h = arg;

	SIM_MUST(event->kind < SIM_EVENT_KINDS);
	h->n_events[event->kind]++;
	h->last_event = *event;
}

/* ---- making ---- */

struct wgh_addr sim_addr4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct wgh_addr){.bytes = {a, b, c, d}, .family = WGH_IPV4};
}

struct wgh_prefix sim_prefix(struct wgh_addr addr, uint8_t bits)
{
	return (struct wgh_prefix){.addr = addr, .bits = bits};
}

struct wgh_endpoint sim_endpoint4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
	return (struct wgh_endpoint){.addr = {a, b, c, d}, .port = port, .family = WGH_IPV4};
}

static void new_core(struct sim_hub *h, bool has_tun, unsigned n_workers)
{
	SIM_MUST(!hub_new(&h->hub,
		&(struct hub_options){
			.n_workers = n_workers,
			.has_tun = has_tun,
			.random = on_random,
			.send = on_send,
			.on_event = on_event,
			.arg = h,
		}));
	sim_set_secret(h, &h->secret);
	SIM_MUST(!hub_set_addresses(h->hub,
		(struct wgh_prefix[]){sim_prefix(h->inner4, 24), sim_prefix(h->inner6, 64)}, 2));
	SIM_MUST(!hub_set_port(h->hub, h->outer.port));
	sim_set_up(h, true);
}

struct sim_hub *sim_hub_new(struct sim *sim, bool has_tun, unsigned n_workers)
{
	struct sim_hub *h = calloc(1, sizeof *h);
	uint8_t number = (uint8_t)(sim->n_hubs + 1), random[32];

	SIM_MUST(h && sim->n_hubs < SIM_HUBS_MAX);
	h->sim = sim;
	h->number = number;
	h->next_run_ns = TIME_NEVER;
	h->outer = sim_endpoint4(192, 0, 2, number, 51820);
	h->inner4 = sim_addr4(10, 0, 0, number);
	h->inner6 = (struct wgh_addr){.bytes = {[0] = 0xfd, [15] = number}, .family = WGH_IPV6};
	h->wire.delay_ns = 5 * NS_PER_MS;
	sim->hubs[sim->n_hubs++] = h;
	rng_fill(&sim->rng, random, sizeof random);
	x25519_secret_from_random(&h->secret, random);
	new_core(h, has_tun, n_workers);
	return h;
}

void sim_restart(struct sim_hub *h)
{
	const bool has_tun = h->hub->options.has_tun;
	const unsigned n_workers = h->hub->options.n_workers;

	hub_free(h->hub);
	h->next_run_ns = TIME_NEVER;
	new_core(h, has_tun, n_workers);
}

/* ---- changing ---- */

int sim_apply(struct sim_hub *h, const struct wgh_change *change)
{
	struct wgh_error error = {0};
	int err = hub_apply(h->hub, change, h->sim->now_ns, &error);

	SIM_MUST(!!err == !!error.text[0]); /* an error has words, and only an error */
	sim_hub_run(h);
	return err;
}

struct wgh_public_key sim_public(const struct sim_hub *h)
{
	struct wgh_public_key key;

	memcpy(key.bytes, h->key.bytes, sizeof key.bytes);
	return key;
}

void sim_change_peer(struct sim_hub *h, struct sim_hub *peer, struct wgh_peer_change change)
{
	change.public_key = sim_public(peer);
	SIM_MUST(!sim_apply(h, &(struct wgh_change){.peers = &change, .n_peers = 1}));
}

void sim_add_peer(struct sim_hub *h, struct sim_hub *peer, bool endpoint)
{
	struct wgh_allowed_ip ips[] = {{.prefix = sim_prefix(peer->inner4, 32)},
		{.prefix = sim_prefix(peer->inner6, 128)}};

	sim_change_peer(h, peer,
		(struct wgh_peer_change){.flags = endpoint ? WGH_PEER_HAS_ENDPOINT : 0,
			.endpoint = peer->outer,
			.allowed_ips = ips,
			.n_allowed_ips = 2});
}

void sim_remove_peer(struct sim_hub *h, struct sim_hub *peer)
{
	sim_change_peer(h, peer, (struct wgh_peer_change){.flags = WGH_PEER_REMOVE});
}

void sim_set_keepalive(struct sim_hub *h, struct sim_hub *peer, uint16_t keepalive_s)
{
	sim_change_peer(h, peer,
		(struct wgh_peer_change){
			.flags = WGH_PEER_HAS_KEEPALIVE, .keepalive_s = keepalive_s});
}

void sim_set_psk(struct sim_hub *h, struct sim_hub *peer, const uint8_t psk[32])
{
	struct wgh_peer_change change = {.flags = WGH_PEER_HAS_PRESHARED_KEY};

	memcpy(change.preshared_key, psk, sizeof change.preshared_key);
	sim_change_peer(h, peer, change);
}

void sim_add_prefix(struct sim_hub *h, struct sim_hub *peer, struct wgh_prefix prefix)
{
	struct wgh_allowed_ip ip = {.prefix = prefix};

	sim_change_peer(h, peer, (struct wgh_peer_change){.allowed_ips = &ip, .n_allowed_ips = 1});
}

void sim_set_secret(struct sim_hub *h, const struct x25519_secret *secret)
{
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};

	if (secret) {
		h->secret = *secret;
		x25519_clamp(&h->secret);
		SIM_MUST(x25519_public_from_secret(&h->key, &h->secret));
		memcpy(change.private_key, secret->bytes, sizeof change.private_key);
	}
	SIM_MUST(!sim_apply(h, &change));
}

void sim_set_up(struct sim_hub *h, bool up)
{
	hub_set_up(h->hub, up, h->sim->now_ns);
	sim_hub_run(h);
}

void sim_connect(struct sim_hub *a, struct sim_hub *b)
{
	sim_add_peer(a, b, true);
	sim_add_peer(b, a, true);
}

void sim_rebind(struct sim_hub *h)
{
	h->outer.port++;
}

struct peer *sim_peer(struct sim_hub *h, const struct sim_hub *peer)
{
	return peer_find(&h->hub->peers, &peer->key);
}

/* ---- checking ---- */

static uint64_t sum(_Atomic uint64_t *counters, unsigned n)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < n; i++)
		total += relaxed_get(&counters[i]);
	return total;
}

/* Each packet that came in left in exactly one way. */
static void check_worker(struct worker *w)
{
	struct worker_stats *s = &w->stats;
	uint64_t in =
		relaxed_get(&s->n_udp_in) + relaxed_get(&s->n_tun_in) + relaxed_get(&s->n_own);
	uint64_t out = relaxed_get(&s->n_to_udp) + relaxed_get(&s->n_to_tun) +
		relaxed_get(&s->n_handshakes) + relaxed_get(&s->n_keepalives) +
		relaxed_get(&s->n_staged) + relaxed_get(&s->n_answers) + sum(s->drops, DROP_N);

	SIM_MUST(in == out);
}

static uint32_t check_keypair(struct hub *hub, struct peer *peer, struct keypair *keypair)
{
	if (!keypair)
		return 0;
	SIM_MUST(keypair->peer == peer);
	SIM_MUST(session_keypair(relaxed_get(&hub->sessions.array), keypair->local_index) ==
		keypair);
	return 1;
}

static void check_timers(struct hub *hub, struct peer *peer, bool quiet)
{
	uint64_t armed_ns = relaxed_get(&peer->timer_armed_ns);

	SIM_MUST((peer->heap_pos == UINT32_MAX) == (armed_ns == TIME_NEVER));
	if (peer->heap_pos != UINT32_MAX)
		SIM_MUST(hub->timers.peers[peer->heap_pos] == peer);
	if (!hub->up)
		SIM_MUST(peer->heap_pos == UINT32_MAX);
	else if (quiet) /* the control side looks before anything falls due */
		SIM_MUST(armed_ns <= timers_next(peer));
}

static void check_heap(const struct timer_heap *heap)
{
	for (uint32_t i = 1; i < heap->n; i++)
		SIM_MUST(relaxed_get(&heap->peers[(i - 1) / 2]->timer_armed_ns) <=
			relaxed_get(&heap->peers[i]->timer_armed_ns));
}

/* Of packets that went to the control side to wait. */
static void check_staged(struct hub *hub, uint64_t n_given, uint32_t n_waiting)
{
	uint64_t done = relaxed_get(&hub->n_staged_sent) +
		relaxed_get(&hub->drops[DROP_STAGED_FULL]) +
		relaxed_get(&hub->drops[DROP_STAGED_EXPIRED]) +
		relaxed_get(&hub->drops[DROP_NO_ENDPOINT]);

	SIM_MUST(n_given == done + n_waiting);
	SIM_MUST((hub->staged_bytes > 0) == (n_waiting > 0));
}

void sim_check(struct sim_hub *h)
{
	struct hub *hub = h->hub;
	uint32_t n_peers = 0, n_keypairs = 0, n_handshakes = 0, n_indices = 0, n_waiting = 0;
	uint64_t n_given = 0;
	bool quiet = true;

	for (unsigned i = 0; i < hub->options.n_workers; i++) {
		check_worker(hub->workers[i]);
		n_given += relaxed_get(&hub->workers[i]->stats.n_staged);
		quiet &= !ring_count(&hub->workers[i]->events);
	}
	for (uint32_t i = 0; i < hub->peers.n_slots; i++) {
		struct peer *peer = hub->peers.slots[i];

		if (!peer)
			continue;
		n_peers++;
		SIM_MUST(peer_find(&hub->peers, &peer->public_key) == peer);
		n_keypairs += check_keypair(hub, peer, relaxed_get(&peer->current));
		n_keypairs += check_keypair(hub, peer, peer->previous);
		n_keypairs += check_keypair(hub, peer, peer->next);
		if (peer->handshake) {
			n_handshakes++;
			if (peer->handshake->local_index) {
				n_indices++;
				SIM_MUST(session_handshake(&hub->sessions,
						 peer->handshake->local_index) == peer);
			}
		}
		SIM_MUST(peer->n_staged <= STAGED_PACKETS_PER_PEER);
		SIM_MUST(!peer->n_staged || peer->handshake); /* nothing waits in vain */
		n_waiting += peer->n_staged;
		check_timers(hub, peer, quiet);
	}
	SIM_MUST(hub->peers.n_peers == n_peers && hub->peers.memory.n_used == n_peers);
	SIM_MUST(hub->keypairs.n_used == n_keypairs);
	SIM_MUST(hub->handshakes.n_used == n_handshakes);
	SIM_MUST(hub->sessions.n_live == n_keypairs + n_indices);
	check_heap(&hub->timers);
	if (quiet)
		check_staged(hub, n_given, n_waiting);
}

uint64_t sim_drops(struct sim_hub *h, enum drop reason)
{
	uint64_t n = relaxed_get(&h->hub->drops[reason]);

	for (unsigned i = 0; i < h->hub->options.n_workers; i++)
		n += relaxed_get(&h->hub->workers[i]->stats.drops[reason]);
	return n;
}
