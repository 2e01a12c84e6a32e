/* change.c - a change set for keys and peers: planned on copies, then applied in steps that cannot
 * fail.
 *
 * The plan says for each peer change which peer it is about, seen in order: a key may be removed
 * and come back new in one set. Costs a copy of the routes and a new table where prefixes change,
 * so one set for many peers is cheap and many sets for one peer each are not.
 */
#include "core/hub.h"

#include "core/flows.h"
#include "core/handshake.h"
#include "core/ip.h"
#include "core/keys.h"
#include "core/reach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a key stands at one point of the plan. */
struct planned_key {
	const struct wgh_public_key *key; /* NULL: unused entry */
	struct peer *peer; /* NULL: not there (any more) */
};

struct moved_route {
	struct wgh_prefix prefix;
	struct wgh_public_key from, to;
};

struct plan {
	struct hub *hub;
	const struct wgh_change *change;
	struct noise_identity *identity; /* the new one; NULL: stays */
	struct planned_key *keys;
	uint32_t keys_mask;
	struct peer **targets; /* of each peer change; NULL: nothing to do */
	struct peer **created, **removed;
	size_t n_created, n_removed;
	struct route_set *routes; /* NULL: prefixes stay as they are */
	struct policy *policy; /* the new one; NULL: stays */
	struct flows_swap *flows; /* for it; NULL: the table stays */
	bool regroups; /* policy or groups change */
	struct hub_view *view; /* for them; NULL: stays */
	struct moved_route *moved;
	size_t n_moved, room_moved;
};

static int fail(struct wgh_error *error, int err, const char *what)
{
	if (error)
		snprintf(error->text, sizeof error->text, "%s", what);
	return err;
}

/* ---- checks that need no plan ---- */

static int check(const struct wgh_change *change, struct wgh_error *error)
{
	if ((change->flags & WGH_HAS_POLICY) && !change->policy)
		return fail(error, -EINVAL, "policy: none was given");
	for (size_t i = 0; i < change->n_peers; i++) {
		const struct wgh_peer_change *p = &change->peers[i];

		if ((p->flags & WGH_PEER_HAS_ENDPOINT) &&
			((p->endpoint.family != WGH_IPV4 && p->endpoint.family != WGH_IPV6) ||
				!p->endpoint.port))
			return fail(error, -EINVAL,
				"endpoint: must be an IPv4 or IPv6 address with a port above 0");
		for (size_t k = 0; k < p->n_allowed_ips; k++)
			if (ip_prefix_check(&p->allowed_ips[k].prefix))
				return fail(error, -EINVAL,
					"allowed ip: more prefix bits than its address has");
		if ((p->flags & WGH_PEER_HAS_GROUP) && p->group >= WGH_GROUPS_MAX)
			return fail(error, -EINVAL, "group: must be below 32");
		if ((p->flags & WGH_PEER_HAS_GROUP) && p->group == WGH_GROUP_HOST)
			return fail(error, -EINVAL, "group: a peer cannot be in the host's");
		if ((p->flags & WGH_PEER_HAS_NAT) && p->nat > WGH_NAT_AUTO)
			return fail(error, -EINVAL, "nat: must be never, always or auto");
	}
	return 0;
}

static bool changes_routes(const struct wgh_change *change)
{
	if (change->flags & (WGH_REPLACE_PEERS | WGH_HAS_PRIVATE_KEY))
		return true;
	for (size_t i = 0; i < change->n_peers; i++)
		if (change->peers[i].n_allowed_ips ||
			(change->peers[i].flags & (WGH_PEER_REMOVE | WGH_PEER_REPLACE_ALLOWED_IPS)))
			return true;
	return false;
}

/* ---- the plan ---- */

static uint32_t key_hash(const struct wgh_public_key *key)
{
	uint32_t h;

	memcpy(&h, key->bytes, sizeof h); /* only this set's own speed depends on it */
	return h * UINT32_C(0x9e3779b1);
}

static const struct noise_identity *identity_after(const struct plan *plan)
{
	return plan->identity ? plan->identity : plan->hub->identity;
}

static bool is_own_key(const struct plan *plan, const struct wgh_public_key *key)
{
	const struct noise_identity *identity = identity_after(plan);

	return identity->present &&
		!memcmp(identity->public_key.bytes, key->bytes, sizeof key->bytes);
}

static struct planned_key *planned(struct plan *plan, const struct wgh_public_key *key)
{
	uint32_t at = key_hash(key) & plan->keys_mask;

	for (;; at = (at + 1) & plan->keys_mask) {
		struct planned_key *entry = &plan->keys[at];

		if (entry->key && memcmp(entry->key, key, sizeof *key))
			continue;
		if (!entry->key) {
			struct x25519_public public_key;

			memcpy(public_key.bytes, key->bytes, sizeof public_key.bytes);
			entry->key = key;
			entry->peer =
				(plan->change->flags & WGH_REPLACE_PEERS) || is_own_key(plan, key)
				? NULL /* gone, whatever stood there */
				: peer_find(&plan->hub->peers, &public_key);
		}
		return entry;
	}
}

static void plan_removal(struct plan *plan, struct peer *peer)
{
	route_remove_owner(plan->routes, peer);
	plan->removed[plan->n_removed++] = peer;
}

static void note_moved(struct plan *plan, const struct wgh_prefix *prefix, const struct peer *from,
	const struct peer *to)
{
	struct moved_route *moved = plan->moved;

	if (plan->n_moved == plan->room_moved) {
		moved = realloc(plan->moved, (plan->room_moved * 2 + 8) * sizeof *moved);
		if (!moved)
			return; /* only a report */
		plan->moved = moved;
		plan->room_moved = plan->room_moved * 2 + 8;
	}
	moved = &plan->moved[plan->n_moved++];
	moved->prefix = *prefix;
	memcpy(moved->from.bytes, from->public_key.bytes, sizeof moved->from.bytes);
	memcpy(moved->to.bytes, to->public_key.bytes, sizeof moved->to.bytes);
}

static int plan_allowed_ips(struct plan *plan, const struct wgh_peer_change *p, struct peer *peer)
{
	if (p->flags & WGH_PEER_REPLACE_ALLOWED_IPS)
		route_remove_owner(plan->routes, peer);
	for (size_t i = 0; i < p->n_allowed_ips; i++) {
		const struct wgh_allowed_ip *ip = &p->allowed_ips[i];
		struct peer *before;
		int err;

		if (ip->remove) {
			IGNORE_RESULT(route_remove(plan->routes, &ip->prefix, peer));
			continue;
		}
		err = route_insert(plan->routes, &ip->prefix, peer, &before);
		if (err)
			return err;
		if (route_is_peer(before) && before != peer)
			note_moved(plan, &ip->prefix, before, peer);
	}
	return 0;
}

static int plan_peer(struct plan *plan, size_t i)
{
	const struct wgh_peer_change *p = &plan->change->peers[i];
	struct planned_key *entry = planned(plan, &p->public_key);

	if (p->flags & WGH_PEER_REMOVE) {
		if (entry->peer)
			plan_removal(plan, entry->peer);
		entry->peer = NULL;
		return 0;
	}
	if (!entry->peer) {
		struct x25519_public key;

		if ((p->flags & WGH_PEER_UPDATE_ONLY) || is_own_key(plan, &p->public_key))
			return 0;
		memcpy(key.bytes, p->public_key.bytes, sizeof key.bytes);
		entry->peer = peer_new(&plan->hub->peers, &key);
		if (!entry->peer)
			return -ENOMEM;
		plan->created[plan->n_created++] = entry->peer;
	}
	plan->targets[i] = entry->peer;
	return plan->routes ? plan_allowed_ips(plan, p, entry->peer) : 0;
}

static int plan_all(struct plan *plan)
{
	const struct wgh_change *change = plan->change;
	struct hub *hub = plan->hub;
	int err = 0;

	if (change->flags & WGH_REPLACE_PEERS) {
		for (uint32_t i = 0; i < hub->peers.n_slots; i++)
			if (hub->peers.slots[i])
				plan_removal(plan, hub->peers.slots[i]);
	} else if (plan->identity && plan->identity->present) {
		struct peer *self = peer_find(&hub->peers, &plan->identity->public_key);

		if (self)
			plan_removal(plan, self);
	}
	for (size_t i = 0; i < change->n_peers && !err; i++)
		err = plan_peer(plan, i);
	return err;
}

static int plan_init(struct plan *plan, struct hub *hub, const struct wgh_change *change,
	struct wgh_error *error)
{
	size_t n = change->n_peers + 1, n_keys = 8;
	int err;

	while (n_keys < 2 * n)
		n_keys *= 2;
	*plan = (struct plan){.hub = hub, .change = change, .keys_mask = (uint32_t)n_keys - 1};
	plan->keys = calloc(n_keys, sizeof *plan->keys);
	plan->targets = calloc(n, sizeof *plan->targets);
	plan->created = calloc(n, sizeof *plan->created);
	plan->removed = calloc(n + hub->peers.n_peers, sizeof *plan->removed);
	if (!plan->keys || !plan->targets || !plan->created || !plan->removed)
		return -ENOMEM;
	if (change->flags & WGH_HAS_PRIVATE_KEY) {
		struct x25519_secret secret;

		plan->identity = secret_alloc(sizeof *plan->identity);
		if (!plan->identity)
			return -ENOMEM;
		memcpy(secret.bytes, change->private_key, sizeof secret.bytes);
		noise_identity_set(plan->identity, &secret);
		secret_wipe(&secret, sizeof secret);
		if (ct_equal(plan->identity->secret.bytes, hub->identity->secret.bytes, 32)) {
			secret_free(plan->identity, sizeof *plan->identity);
			plan->identity = NULL; /* the same key again: sessions stay */
		}
	}
	if (changes_routes(change)) {
		plan->routes = route_set_copy(hub->routes);
		if (!plan->routes)
			return -ENOMEM;
	}
	if (!(change->flags & WGH_HAS_POLICY))
		return 0;
	err = policy_new(&plan->policy, change->policy, error);
	return err ? err : flows_swap_new(hub, change->policy, &plan->flows);
}

static void plan_fini(struct plan *plan)
{
	secret_free(plan->identity, sizeof *plan->identity);
	route_set_free(plan->routes);
	policy_free(plan->policy);
	flows_swap_free(plan->flows);
	free(plan->keys);
	free(plan->targets);
	free(plan->created);
	free(plan->removed);
	free(plan->moved);
}

/* ---- applying: nothing here can fail ---- */

static void peer_retired_free(struct retired *item, void *hub)
{
	struct peer *peer = (struct peer *)((uint8_t *)item - offsetof(struct peer, retired));

	peer_free(&((struct hub *)hub)->peers, peer);
}

static bool in_table(const struct hub *hub, const struct peer *peer)
{
	return peer->serial && peer_at(&hub->peers, peer->slot, peer->serial) == peer;
}

static void remove_peer(struct hub *hub, struct peer *peer)
{
	if (!in_table(hub, peer)) { /* created by the same set */
		peer_free(&hub->peers, peer);
		return;
	}
	timer_disarm(&hub->timers, peer);
	keys_drop(hub, peer);
	handshake_drop(hub, peer);
	staged_drop(hub, peer, DROP_STAGED_EXPIRED);
	peer_unlink(&hub->peers, peer);
	hub_retire(hub, &peer->retired, peer_retired_free);
}

static void apply_identity(struct hub *hub, const struct noise_identity *identity)
{
	*hub->identity = *identity;
	cookie_checker_set_key(hub->checker, &identity->public_key);
	for (uint32_t i = 0; i < hub->peers.n_slots; i++) {
		struct peer *peer = hub->peers.slots[i];

		if (!peer)
			continue;
		keys_drop(hub, peer);
		handshake_drop(hub, peer);
		staged_drop(hub, peer,
			DROP_STAGED_EXPIRED); /* no attempt is left that could send them */
		peer->last_handshake_sent_ns = 0;
		peer->has_static_static = peer->static_static_bad = false;
		secret_wipe(peer->static_static, sizeof peer->static_static);
		hub_arm(hub, peer);
	}
}

/* ---- group and policy: what workers must see before they see new routes or a new policy ---- */

static void set_reach(struct peer *peer, uint32_t clear, uint32_t set)
{
	uint32_t reach = relaxed_get(&peer->reach);

	/* Workers clear bits in it at the same time. */
	while (!atomic_compare_exchange_weak(&peer->reach, &reach, (reach & ~clear) | set))
		;
}

static void apply_group(
	struct plan *plan, struct peer *peer, const struct wgh_peer_change *p, uint64_t now_ns)
{
	const struct policy *policy = plan->policy ? plan->policy : plan->hub->policy;

	if ((p->flags & WGH_PEER_HAS_GROUP) && p->group != REACH_GROUP(relaxed_get(&peer->reach))) {
		set_reach(peer, WGH_GROUPS_MAX - 1, p->group);
		plan->regroups = true;
	}
	if (policy_names(policy, peer->public_key.bytes))
		set_reach(peer, 0, REACH_NAMED);
	if ((p->flags & WGH_PEER_HAS_NAT) && reach_set_mode(plan->hub, peer, p->nat, now_ns) &&
		p->nat == WGH_NAT_NEVER)
		flows_end_translated(plan->hub, peer, now_ns);
}

static void mark_named(struct hub *hub, const struct wgh_public_key *key)
{
	struct x25519_public public_key;
	struct peer *peer;

	memcpy(public_key.bytes, key->bytes, sizeof public_key.bytes);
	peer = peer_find(&hub->peers, &public_key);
	if (peer)
		set_reach(peer, 0, REACH_NAMED);
}

static void mark_all_named(struct hub *hub, const struct wgh_policy *policy)
{
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct wgh_rule *rule = &policy->rules[i];

		if (rule->from.kind == WGH_PARTY_PEER)
			mark_named(hub, &rule->from.peer);
		if (rule->to.kind == WGH_PARTY_PEER)
			mark_named(hub, &rule->to.peer);
	}
	for (size_t i = 0; i < policy->n_forwards; i++)
		mark_named(hub, &policy->forwards[i].to);
}

/* No worker reads the old policy any more: who is named by the present one only? */
static void policy_retired_free(struct retired *item, void *arg)
{
	struct hub *hub = arg;

	policy_free((struct policy *)item); /* retired is the first member */
	for (uint32_t i = 0; i < hub->peers.n_slots; i++) {
		struct peer *peer = hub->peers.slots[i];

		if (peer && (relaxed_get(&peer->reach) & REACH_NAMED) &&
			!policy_names(hub->policy, peer->public_key.bytes))
			set_reach(peer, REACH_NAMED, 0);
	}
}

static void apply_policy(struct plan *plan, uint64_t now_ns)
{
	struct hub *hub = plan->hub;

	hub_retire(hub, &hub->policy->retired, policy_retired_free);
	hub->policy = plan->policy;
	flows_set_bounds(hub, plan->flows, now_ns);
	plan->policy = NULL;
	plan->flows = NULL;
	plan->regroups = true;
}

static void end_flows_of_removed(struct plan *plan, uint64_t now_ns)
{
	for (size_t i = 0; i < plan->n_removed; i++)
		plan->removed[i]->leaving = true;
	flows_end_leaving(plan->hub, now_ns);
}

static void apply_peer(struct hub *hub, struct peer *peer, const struct wgh_peer_change *p)
{
	if (p->flags & WGH_PEER_HAS_PRESHARED_KEY)
		memcpy(peer->psk.bytes, p->preshared_key, sizeof peer->psk.bytes);
	if (p->flags & WGH_PEER_HAS_ENDPOINT)
		peer_endpoint_set(peer, &p->endpoint);
	if (p->flags & WGH_PEER_HAS_KEEPALIVE) {
		if (p->keepalive_s && !relaxed_get(&peer->keepalive_s))
			relaxed_set(&peer->last_traversal_ns, 0); /* the first is due at once */
		relaxed_set(&peer->keepalive_s, p->keepalive_s);
	}
	hub_arm(hub, peer);
}

static void emit_moved(struct hub *hub, const struct moved_route *moved, uint64_t now_ns)
{
	struct wgh_event event = {.kind = WGH_EVENT_ROUTE_MOVED,
		.peer = moved->to,
		.other = moved->from,
		.prefix = moved->prefix,
		.now_ns = now_ns};

	ip_prefix_mask(&event.prefix);
	if (hub->options.on_event)
		hub->options.on_event(hub->options.arg, &event);
}

static void apply(struct plan *plan, uint64_t now_ns)
{
	struct hub *hub = plan->hub;

	for (size_t i = 0; i < plan->n_created; i++) {
		struct peer *same = peer_find(&hub->peers, &plan->created[i]->public_key);

		/* A key that was removed and came back: the old one goes before the new one stands
		 * there. */
		if (same)
			remove_peer(hub, same);
		peer_insert(&hub->peers, plan->created[i]);
	}
	for (size_t i = 0; i < plan->change->n_peers; i++)
		if (plan->targets[i])
			apply_group(plan, plan->targets[i], &plan->change->peers[i], now_ns);
	if (plan->routes) {
		route_set_free(hub->routes);
		hub->routes = plan->routes;
		plan->routes = NULL;
	}
	if (plan->policy) {
		mark_all_named(hub, &plan->policy->said);
		apply_policy(plan, now_ns);
	}
	if (plan->view) {
		plan->view->flows = hub->flows;
		hub_view_resolve(hub, plan->view);
		hub_publish(hub, plan->view);
		plan->view = NULL;
	}
	if (plan->regroups)
		flows_recheck(hub, now_ns);
	if (plan->n_removed)
		end_flows_of_removed(plan, now_ns);
	for (size_t i = 0; i < plan->n_removed; i++)
		if (in_table(hub, plan->removed[i]))
			remove_peer(hub, plan->removed[i]);
	if (plan->identity)
		apply_identity(hub, plan->identity);
	for (size_t i = 0; i < plan->change->n_peers; i++)
		if (plan->targets[i] && in_table(hub, plan->targets[i]))
			apply_peer(hub, plan->targets[i], &plan->change->peers[i]);
	for (size_t i = 0; i < plan->n_moved; i++)
		emit_moved(hub, &plan->moved[i], now_ns);
}

int hub_apply(
	struct hub *hub, const struct wgh_change *change, uint64_t now_ns, struct wgh_error *error)
{
	struct plan plan = {0};
	int err = check(change, error);

	if (err)
		return err;
	err = plan_init(&plan, hub, change, error);
	if (!err)
		err = plan_all(&plan);
	if (!err)
		err = peer_reserve(&hub->peers, (uint32_t)plan.n_created);
	if (!err)
		err = timer_heap_reserve(
			&hub->timers, hub->peers.n_peers + (uint32_t)plan.n_created);
	if (!err && (plan.routes || plan.policy)) {
		plan.view = hub_view_new(hub, plan.routes ? plan.routes : hub->routes,
			plan.policy ? plan.policy : hub->policy);
		err = plan.view ? 0 : -ENOMEM;
	}
	if (err) {
		for (size_t i = 0; i < plan.n_created; i++)
			peer_free(&hub->peers, plan.created[i]);
		if (err == -ENOMEM)
			(void)fail(error, err, "not enough memory for this change");
	} else {
		apply(&plan, now_ns);
	}
	plan_fini(&plan);
	return err;
}
