/* hub.c - life of the hub, and what the control side does when it is called: the workers' messages,
 * then timers.
 */
#include "core/hub.h"

#include "core/flows.h"
#include "core/handshake.h"
#include "core/keys.h"
#include "core/reach.h"
#include "core/worker.h"
#include "crypto/aead.h"

#include <errno.h>
#include <string.h>

/* Handshakes worked on in one hub_run(), so that configuration never waits long: each may cost 100
 * us. */
#define HANDSHAKES_PER_RUN 16
#define LOOP_REPORT_NS (60 * NS_PER_S)

void hub_view_free(struct hub_view *view)
{
	if (!view)
		return;
	route_table_free(view->routes);
	mem_free(view->forwards);
	mem_free(view);
}

static void view_retired_free(struct retired *item, void *hub)
{
	(void)hub;
	hub_view_free((struct hub_view *)item); /* retired is the first member */
}

/* ---- publishing ---- */

/* The subnet broadcast address of an IPv4 network the hub has an address in. False: it has none. */
static bool broadcast_of(const struct wgh_prefix *network, struct wgh_prefix *out)
{
	if (network->addr.family != WGH_IPV4 || network->bits > 30)
		return false;
	*out = *network;
	for (unsigned bit = network->bits; bit < 32; bit++)
		out->addr.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	out->bits = 32;
	return true;
}

/* A peer that has this very address keeps it. */
static int overlay_host(struct route_set *set, const struct wgh_prefix *host, struct peer *owner)
{
	struct peer *before;
	int err = route_insert(set, host, owner, &before);

	if (!err && route_is_peer(before))
		err = route_insert(set, host, before, &before);
	return err;
}

/* Our own addresses, and those that belong to nobody, over the peers' prefixes. */
static int overlay_addresses(
	const struct hub *hub, const struct wgh_policy *policy, struct route_set *set)
{
	struct peer *before;
	int err = 0;

	for (size_t i = 0; i < hub->n_addresses && !err; i++) {
		struct wgh_prefix broadcast;

		if (broadcast_of(&hub->addresses[i], &broadcast))
			err = overlay_host(set, &broadcast, ROUTE_BROADCAST);
	}
	if (!err && policy->probe4.family)
		err = overlay_host(set, &(struct wgh_prefix){policy->probe4, 32}, ROUTE_PROBE);
	if (!err && policy->probe6.family)
		err = overlay_host(set, &(struct wgh_prefix){policy->probe6, 128}, ROUTE_PROBE);
	for (size_t i = 0; i < hub->n_addresses && !err; i++) {
		struct wgh_prefix host = hub->addresses[i];

		host.bits = host.addr.family == WGH_IPV4 ? 32 : 128;
		err = route_insert(set, &host, ROUTE_SELF, &before);
	}
	return err;
}

static struct wgh_addr first_address(const struct hub *hub, uint8_t family)
{
	for (size_t i = 0; i < hub->n_addresses; i++)
		if (hub->addresses[i].addr.family == family)
			return hub->addresses[i].addr;
	return (struct wgh_addr){0};
}

struct hub_view *hub_view_new(
	const struct hub *hub, const struct route_set *routes, const struct policy *policy)
{
	struct hub_view *view = mem_new(hub->options.budget, 1, sizeof *view);
	struct route_set *all = route_set_copy(routes);

	if (!view || !all || overlay_addresses(hub, &policy->said, all))
		goto fail;
	view->routes = route_table_new(all);
	view->forwards =
		mem_new(hub->options.budget, policy->said.n_forwards + 1, sizeof *view->forwards);
	if (!view->routes || !view->forwards)
		goto fail;
	route_set_free(all);
	view->policy = policy;
	view->flows = hub->flows;
	view->fragments = hub->fragments;
	/* With forwards, what is for the host needs a closer look. */
	view->host_reach = WGH_GROUP_HOST | (policy->said.n_forwards ? REACH_NAMED : 0);
	view->self4 = first_address(hub, WGH_IPV4);
	view->self6 = first_address(hub, WGH_IPV6);
	view->mtu_bytes = hub->options.mtu_bytes;
	view->listen_port = hub->listen_port;
	view->has_tun = hub->options.has_tun;
	view->deliver_unowned = hub->options.deliver_unowned;
	return view;
fail:
	route_set_free(all);
	hub_view_free(view);
	return NULL;
}

void hub_view_resolve(const struct hub *hub, struct hub_view *view)
{
	for (size_t i = 0; i < view->policy->said.n_forwards; i++) {
		const struct wgh_forward *said = &view->policy->said.forwards[i];
		struct view_forward *forward = &view->forwards[i];
		struct x25519_public key;
		struct wgh_prefix prefix;
		size_t cursor = 0;

		memcpy(key.bytes, said->to.bytes, sizeof key.bytes);
		*forward = (struct view_forward){
			.to = peer_find(&hub->peers, &key), .port = said->to_port};
		while (forward->to && route_next_of(hub->routes, forward->to, &cursor, &prefix)) {
			const bool v6 = prefix.addr.family == WGH_IPV6;

			if (!forward->addr[v6].family && prefix.bits == (v6 ? 128 : 32))
				forward->addr[v6] = prefix.addr;
		}
	}
}

void hub_publish(struct hub *hub, struct hub_view *view)
{
	struct hub_view *old = relaxed_get(&hub->view);

	atomic_store_explicit(&hub->view, view, memory_order_release);
	if (old)
		hub_retire(hub, &old->retired, view_retired_free);
}

/* After a change of what a view holds besides routes. -ENOMEM: nothing is published. */
static int republish(struct hub *hub)
{
	struct hub_view *view = hub_view_new(hub, hub->routes, hub->policy);

	if (!view)
		return -ENOMEM;
	hub_view_resolve(hub, view);
	hub_publish(hub, view);
	return 0;
}

int hub_set_port(struct hub *hub, uint16_t port)
{
	uint16_t before = hub->listen_port;
	int err;

	hub->listen_port = port;
	err = republish(hub);
	if (err)
		hub->listen_port = before;
	return err;
}

int hub_set_mtu(struct hub *hub, uint32_t mtu_bytes)
{
	uint32_t before = hub->options.mtu_bytes;
	int err;

	hub->options.mtu_bytes = mtu_bytes;
	err = republish(hub);
	if (err)
		hub->options.mtu_bytes = before;
	return err;
}

int hub_set_addresses(struct hub *hub, const struct wgh_prefix *addresses, size_t n)
{
	struct wgh_prefix *before = hub->addresses, *copy = NULL;
	size_t n_before = hub->n_addresses;
	int err;

	for (size_t i = 0; i < n; i++)
		if (ip_prefix_check(&addresses[i]))
			return -EINVAL;
	if (n) {
		copy = mem_new(hub->options.budget, n, sizeof *copy);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, addresses, n * sizeof *copy);
	}
	hub->addresses = copy;
	hub->n_addresses = n;
	err = republish(hub);
	if (err) {
		hub->addresses = before;
		hub->n_addresses = n_before;
		before = copy;
	}
	mem_free(before);
	return err;
}

/* ---- life ---- */

/* The policy of a hub that was told nothing. Nobody needs flows for it: the table is a small one.
 */
static int default_policy(struct hub *hub)
{
	struct wgh_policy defaults;
	struct flows_swap *flows;
	int err;

	wgh_policy_defaults(&defaults);
	hub->options.random(hub->options.arg, &hub->probe_id, sizeof hub->probe_id);
	relaxed_set(&hub->flow_sweep_ns, TIME_NEVER);
	err = policy_new(&hub->policy, &defaults, hub->options.budget, NULL);
	if (!err)
		err = flows_swap_new(hub, FLOWS_LEAST, &flows);
	if (!err)
		flows_set_bounds(hub, flows, 0);
	return err;
}

int hub_aead_new(struct hub *hub, struct aead **out)
{
	int err = aead_new(out, hub->options.aead);

	if (!err && !mem_charge(hub->options.budget, aead_bytes(*out))) {
		aead_free(*out);
		*out = NULL;
		return -ENOMEM;
	}
	return err;
}

void hub_aead_free(struct hub *hub, struct aead *aead)
{
	if (aead)
		mem_release(hub->options.budget, aead_bytes(aead));
	aead_free(aead);
}

int hub_new(struct hub **out, const struct hub_options *options)
{
	struct mem_budget *budget = options->budget;
	struct hub *hub = mem_new(budget, 1, sizeof *hub);
	uint8_t key[16];
	uint64_t seed;
	int err = -ENOMEM;

	if (!hub)
		return -ENOMEM;
	hub->options = *options;
	if (!hub->options.mtu_bytes)
		hub->options.mtu_bytes = DEFAULT_MTU_BYTES;
	slab_init(&hub->keypairs, sizeof(struct keypair), budget);
	slab_init(&hub->handshakes, sizeof(struct handshake), budget);
	hub->timers.budget = budget;
	options->random(options->arg, key, sizeof key);
	if (peer_table_init(&hub->peers, key, budget) || session_init(&hub->sessions, budget))
		goto fail;
	hub->identity = mem_secret_new(budget, sizeof *hub->identity);
	hub->checker = mem_secret_new(budget, sizeof *hub->checker);
	options->random(options->arg, key, sizeof key);
	hub->ratelimit = ratelimit_new(key, budget);
	options->random(options->arg, &seed, sizeof seed);
	hub->routes = route_set_new(seed, budget);
	hub->workers = mem_new(budget, options->n_workers, sizeof *hub->workers);
	if (!hub->identity || !hub->checker || !hub->ratelimit || !hub->routes || !hub->workers)
		goto fail;
	err = default_policy(hub);
	if (!err)
		err = republish(hub);
	if (!err)
		err = hub_aead_new(hub, &hub->aead);
	for (unsigned i = 0; i < options->n_workers && !err; i++)
		err = worker_new(&hub->workers[i], hub);
	if (err)
		goto fail;
	*out = hub;
	return 0;
fail:
	hub_free(hub);
	return err;
}

void hub_free(struct hub *hub)
{
	if (!hub)
		return;
	for (uint32_t i = 0; i < hub->peers.n_slots; i++)
		if (hub->peers.slots[i])
			staged_drop(hub, hub->peers.slots[i], DROP_STAGED_EXPIRED);
	hub_free_retired(hub, hub_take_retired(hub));
	for (unsigned i = 0; hub->workers && i < hub->options.n_workers; i++)
		worker_free(hub->workers[i]);
	mem_free(hub->workers);
	hub_aead_free(hub, hub->aead);
	hub_view_free(relaxed_get(&hub->view));
	policy_free(hub->policy);
	flow_table_free(hub->flows);
	fragment_table_free(hub->fragments);
	route_set_free(hub->routes);
	ratelimit_free(hub->ratelimit);
	timer_heap_fini(&hub->timers);
	session_fini(&hub->sessions);
	peer_table_fini(&hub->peers);
	slab_fini(&hub->keypairs);
	slab_fini(&hub->handshakes);
	mem_secret_free(hub->options.budget, hub->identity, sizeof *hub->identity);
	mem_secret_free(hub->options.budget, hub->checker, sizeof *hub->checker);
	mem_free(hub->addresses);
	secret_wipe(hub, sizeof *hub);
	mem_free(hub);
}

/* ---- grace ---- */

void hub_retire(struct hub *hub, struct retired *item, void (*free_item)(struct retired *, void *))
{
	item->free = free_item;
	item->next = hub->retired;
	hub->retired = item;
}

struct retired *hub_take_retired(struct hub *hub)
{
	struct retired *list = hub->retired;

	hub->retired = NULL;
	return list;
}

void hub_free_retired(struct hub *hub, struct retired *list)
{
	while (list) {
		struct retired *next = list->next;

		list->free(list, hub);
		list = next;
	}
}

/* ---- up and down ---- */

void hub_set_up(struct hub *hub, bool up, uint64_t now_ns)
{
	(void)now_ns;
	if (hub->up == up)
		return;
	hub->up = up;
	for (uint32_t i = 0; i < hub->peers.n_slots; i++) {
		struct peer *peer = hub->peers.slots[i];

		if (!peer)
			continue;
		if (!up) {
			keys_drop(hub, peer);
			handshake_drop(hub, peer);
			staged_drop(hub, peer, DROP_STAGED_EXPIRED);
			peer->last_handshake_sent_ns = 0;
			peer->wipe_at_ns = TIME_NEVER;
			relaxed_set(&peer->unacked_since_ns, 0);
			relaxed_set(&peer->unanswered_since_ns, 0);
		}
		relaxed_set(
			&peer->last_traversal_ns, 0); /* a persistent keepalive is due at once */
		hub_arm(hub, peer);
	}
}

void hub_forget_sources(struct hub *hub)
{
	for (uint32_t i = 0; i < hub->peers.n_slots; i++)
		if (hub->peers.slots[i])
			peer_endpoint_forget_source(hub->peers.slots[i]);
}

/* ---- running ---- */

void hub_emit(struct hub *hub, enum wgh_event_kind kind, struct peer *peer, uint64_t now_ns)
{
	struct wgh_event event = {.kind = kind, .now_ns = now_ns};

	if (!hub->options.on_event)
		return;
	memcpy(event.peer.bytes, peer->public_key.bytes, sizeof event.peer.bytes);
	event.endpoint = peer_endpoint(peer);
	hub->options.on_event(hub->options.arg, &event);
}

static void stage_packet(struct hub *hub, struct peer *peer, const uint8_t *bytes,
	uint32_t len_bytes, uint64_t now_ns, int64_t wall_ns)
{
	if (!hub->up || !hub->identity->present) { /* no session will come */
		hub_drop(hub, DROP_STAGED_EXPIRED, 1);
		peer_drop(peer, DROP_STAGED_EXPIRED, 1);
		return;
	}
	staged_add(hub, peer, bytes, len_bytes);
	if (keys_usable(peer, now_ns))
		staged_send(hub, peer, now_ns);
	else
		handshake_want(hub, peer, now_ns, wall_ns);
	hub_arm(hub, peer);
}

/* False if the peer got a session after a worker wished for one: index is of the key that was
 * current then. */
static bool wish_stands(struct peer *peer, uint32_t index, uint64_t now_ns)
{
	const struct keypair *current = relaxed_get(&peer->current);

	return !keys_usable(peer, now_ns) || current->local_index == index;
}

static void handle(struct hub *hub, const struct worker_record *record, const uint8_t *bytes,
	uint32_t len_bytes, uint64_t now_ns, int64_t wall_ns)
{
	struct peer *peer = peer_at(&hub->peers, record->peer_slot, record->peer_serial);

	if (record->kind == EVENT_SWEEP) /* only to be called: flows_run() sees it */
		return;
	if (record->kind == EVENT_FLOW) {
		flows_emit(hub, (const struct flow_report *)bytes, now_ns);
		return;
	}
	if (!peer) { /* removed meanwhile */
		if (record->kind == EVENT_STAGE)
			hub_drop(hub, DROP_STAGED_EXPIRED, 1);
		return;
	}
	switch ((enum worker_event)record->kind) {
	case EVENT_CONFIRMED:
		keys_confirm(hub, peer, record->session_index, now_ns, wall_ns);
		break;
	case EVENT_WANT_SESSION:
		if (wish_stands(peer, record->session_index, now_ns))
			handshake_want(hub, peer, now_ns, wall_ns);
		break;
	case EVENT_ARM_TIMER:
		/* It is active: what it asked for may be answered already, and the next packet
		 * would ask again. */
		relaxed_set(&peer->timer_asked, false);
		if (hub->up)
			timer_arm_within(&hub->timers, peer, now_ns + KEEPALIVE_TIMEOUT_NS);
		break;
	case EVENT_STAGE:
		stage_packet(hub, peer, bytes, len_bytes, now_ns, wall_ns);
		break;
	case EVENT_ROAMED:
		hub_emit(hub, WGH_EVENT_ROAMED, peer, now_ns);
		break;
	case EVENT_WIDE:
		reach_proved(hub, peer, now_ns);
		break;
	case EVENT_SWEEP:
	case EVENT_FLOW:
		break;
	case EVENT_ROUTING_LOOP:
		if (time_reached(now_ns, hub->loop_report_ns)) {
			hub->loop_report_ns = now_ns + LOOP_REPORT_NS;
			hub_emit(hub, WGH_EVENT_ROUTING_LOOP, peer, now_ns);
		}
		break;
	}
}

static bool full(const struct hub *hub)
{
	return hub->options.full && hub->options.full(hub->options.arg);
}

/* True if some are left. */
static bool run_events(struct hub *hub, struct worker *w, uint64_t now_ns, int64_t wall_ns)
{
	struct {
		struct worker_record record;
		uint8_t bytes[UINT16_MAX];
	} item;
	uint32_t len_bytes;

	while (!full(hub)) {
		len_bytes = ring_pop(&w->events, &item, sizeof item);
		if (!len_bytes)
			return false;
		len_bytes -= (uint32_t)sizeof item.record;
		handle(hub, &item.record, item.bytes, len_bytes, now_ns, wall_ns);
	}
	return true;
}

static void judge_load(struct hub *hub, uint64_t now_ns)
{
	uint32_t n_waiting = 0;

	for (unsigned i = 0; i < hub->options.n_workers; i++)
		n_waiting += ring_count(&hub->workers[i]->handshakes);
	if (n_waiting >= HANDSHAKE_QUEUE_MESSAGES / 8)
		hub->under_load_until_ns = now_ns + UNDER_LOAD_HOLD_NS;
}

/* True if some are left. */
static bool run_handshakes(struct hub *hub, struct worker *w, uint64_t now_ns, int64_t wall_ns)
{
	struct worker_handshake msg;

	for (int n = 0; n < HANDSHAKES_PER_RUN && !full(hub); n++) {
		if (!ring_pop(&w->handshakes, &msg, sizeof msg))
			return false;
		handshake_receive(hub, &msg, now_ns, wall_ns);
	}
	return true;
}

uint64_t hub_run(struct hub *hub, uint64_t now_ns, int64_t wall_ns)
{
	struct peer *peer;
	bool more = false;

	judge_load(hub, now_ns);
	for (unsigned i = 0; i < hub->options.n_workers; i++) {
		more |= run_events(hub, hub->workers[i], now_ns, wall_ns);
		more |= run_handshakes(hub, hub->workers[i], now_ns, wall_ns);
	}
	while (!full(hub) && (peer = timer_heap_due(&hub->timers, now_ns)) != NULL)
		handshake_timer(hub, peer, now_ns, wall_ns);
	return more ? now_ns : time_earlier(flows_run(hub, now_ns), timer_heap_next(&hub->timers));
}
