/* change.c - a change set for keys and peers: planned on copies, then applied in steps that cannot
 * fail, or thrown away when somebody only asked.
 *
 * The plan says for each peer change which peer it is about, seen in order: a key may be removed
 * and come back new in one set. Costs a copy of the routes and a new table where prefixes change,
 * so one set for many peers is cheap and many sets for one peer each are not.
 */
#include "core/hub.h"

#include "core/change_form.h"
#include "core/flows.h"
#include "core/handshake.h"
#include "core/ip.h"
#include "core/keys.h"
#include "core/reach.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Where a key stands at one point of the plan. */
struct planned_key {
	const struct wgh_public_key *key; /* NULL: unused entry */
	struct peer *peer; /* NULL: not there (any more) */
	bool listed; /* in the set, up to here */
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
	struct wgh_conflict *conflicts; /* those there was memory for */
	size_t n_conflicts, n_noted, room;
};

static int fail(struct wgh_error *error, int err, const char *what)
{
	if (error)
		snprintf(error->text, sizeof error->text, "%s", what);
	return err;
}

static bool changes_routes(const struct wgh_change *change)
{
	if (change->flags & (WGH_REPLACE_PEERS | WGH_HAS_PRIVATE_KEY | WGH_WHOLE))
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

static void note_conflict(struct plan *plan, const struct wgh_conflict *conflict)
{
	const size_t room = plan->room * 2 + 8;
	struct wgh_conflict *more;

	plan->n_conflicts++;
	if (plan->n_noted == plan->room) {
		more = mem_resize(plan->hub->options.budget, plan->conflicts, room, sizeof *more);
		if (!more)
			return; /* only a report */
		plan->conflicts = more;
		plan->room = room;
	}
	plan->conflicts[plan->n_noted++] = *conflict;
}

static bool is_planned(const struct plan *plan, const struct peer *peer)
{
	struct wgh_public_key key;
	uint32_t at;

	memcpy(key.bytes, peer->public_key.bytes, sizeof key.bytes);
	for (at = key_hash(&key) & plan->keys_mask; plan->keys[at].key;
		at = (at + 1) & plan->keys_mask)
		if (plan->keys[at].peer == peer)
			return true;
	return false;
}

static void plan_removal(struct plan *plan, struct peer *peer)
{
	route_remove_owner(plan->routes, peer);
	plan->removed[plan->n_removed++] = peer;
}

static void note_moved(struct plan *plan, size_t i, const struct wgh_prefix *prefix,
	const struct peer *from, const struct peer *to)
{
	struct wgh_conflict moved = {
		.kind = WGH_CONFLICT_PREFIX, .peer_no = (uint32_t)i, .prefix = *prefix};

	ip_prefix_mask(&moved.prefix);
	memcpy(moved.other.bytes, from->public_key.bytes, sizeof moved.other.bytes);
	memcpy(moved.peer.bytes, to->public_key.bytes, sizeof moved.peer.bytes);
	note_conflict(plan, &moved);
}

static int plan_allowed_ips(struct plan *plan, size_t n, struct peer *peer, bool first)
{
	const struct wgh_peer_change *p = &plan->change->peers[n];

	if ((p->flags & WGH_PEER_REPLACE_ALLOWED_IPS) ||
		(first && (plan->change->flags & WGH_WHOLE)))
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
			note_moved(plan, n, &ip->prefix, before, peer);
	}
	return 0;
}

static int plan_peer(struct plan *plan, size_t i)
{
	const struct wgh_peer_change *p = &plan->change->peers[i];
	struct planned_key *entry = planned(plan, &p->public_key);
	const bool first = !entry->listed;

	if (!first)
		note_conflict(plan,
			&(struct wgh_conflict){.kind = WGH_CONFLICT_KEY_TWICE,
				.peer_no = (uint32_t)i,
				.peer = p->public_key});
	entry->listed = true;
	if (p->flags & WGH_PEER_REMOVE) {
		if (entry->peer)
			plan_removal(plan, entry->peer);
		entry->peer = NULL;
		return 0;
	}
	if (!entry->peer) {
		struct x25519_public key;

		if (is_own_key(plan, &p->public_key)) {
			note_conflict(plan,
				&(struct wgh_conflict){.kind = WGH_CONFLICT_OWN_KEY,
					.peer_no = (uint32_t)i,
					.peer = p->public_key});
			return 0;
		}
		if (p->flags & WGH_PEER_UPDATE_ONLY)
			return 0;
		memcpy(key.bytes, p->public_key.bytes, sizeof key.bytes);
		entry->peer = peer_new(&plan->hub->peers, &key);
		if (!entry->peer)
			return -ENOMEM;
		plan->created[plan->n_created++] = entry->peer;
	}
	plan->targets[i] = entry->peer;
	return plan->routes ? plan_allowed_ips(plan, i, entry->peer, first) : 0;
}

/* The peers that a whole configuration does not list, before the others come: a prefix of theirs is
 * free. */
static void plan_leftovers(struct plan *plan)
{
	struct hub *hub = plan->hub;

	for (size_t i = 0; i < plan->change->n_peers; i++)
		planned(plan, &plan->change->peers[i].public_key);
	for (uint32_t i = 0; i < hub->peers.n_slots; i++) {
		struct peer *peer = hub->peers.slots[i];

		if (peer && !is_planned(plan, peer))
			plan_removal(plan, peer);
	}
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
	if ((change->flags & WGH_WHOLE) && !(change->flags & WGH_REPLACE_PEERS))
		plan_leftovers(plan);
	for (size_t i = 0; i < change->n_peers && !err; i++)
		err = plan_peer(plan, i);
	return err;
}

/* From the first change on that makes more than plain peers of them, flows may be wanted. */
static int plan_flows(struct plan *plan)
{
	const struct policy *policy = plan->policy ? plan->policy : plan->hub->policy;
	bool wanted = plan->policy;

	for (size_t i = 0; i < plan->change->n_peers && !wanted; i++) {
		const struct wgh_peer_change *p = &plan->change->peers[i];

		wanted = ((p->flags & WGH_PEER_HAS_GROUP) && p->group != WGH_GROUP_PEER) ||
			((p->flags & WGH_PEER_HAS_NAT) && p->nat != WGH_NAT_NEVER);
	}
	return wanted ? flows_swap_new(plan->hub, policy->said.flows_max, &plan->flows) : 0;
}

static int plan_init(struct plan *plan, struct hub *hub, const struct wgh_change *change,
	struct wgh_error *error)
{
	struct mem_budget *budget = hub->options.budget;
	size_t n = change->n_peers + 1, n_keys = 8;
	int err;

	while (n_keys < 2 * n)
		n_keys *= 2;
	plan->change = change;
	plan->keys_mask = (uint32_t)n_keys - 1;
	plan->keys = mem_new(budget, n_keys, sizeof *plan->keys);
	plan->targets = mem_new(budget, n, sizeof *plan->targets);
	plan->created = mem_new(budget, n, sizeof *plan->created);
	plan->removed = mem_new(budget, n + hub->peers.n_peers, sizeof *plan->removed);
	if (!plan->keys || !plan->targets || !plan->created || !plan->removed)
		return -ENOMEM;
	if (change->flags & WGH_HAS_PRIVATE_KEY) {
		struct x25519_secret secret;

		plan->identity = mem_secret_new(budget, sizeof *plan->identity);
		if (!plan->identity)
			return -ENOMEM;
		memcpy(secret.bytes, change->private_key, sizeof secret.bytes);
		noise_identity_set(plan->identity, &secret);
		secret_wipe(&secret, sizeof secret);
		if (ct_equal(plan->identity->secret.bytes, hub->identity->secret.bytes, 32)) {
			mem_secret_free(budget, plan->identity, sizeof *plan->identity);
			plan->identity = NULL; /* the same key again: sessions stay */
		}
	}
	if (changes_routes(change)) {
		plan->routes = route_set_copy(hub->routes);
		if (!plan->routes)
			return -ENOMEM;
	}
	if (change->flags & WGH_HAS_POLICY) {
		err = policy_new(&plan->policy, change->policy, budget, error);
		if (err)
			return err;
	}
	return plan_flows(plan);
}

static void plan_fini(struct plan *plan)
{
	mem_secret_free(plan->hub->options.budget, plan->identity, sizeof *plan->identity);
	route_set_free(plan->routes);
	policy_free(plan->policy);
	flows_swap_free(plan->flows);
	mem_free(plan->keys);
	mem_free(plan->targets);
	mem_free(plan->created);
	mem_free(plan->removed);
	mem_free(plan->conflicts);
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

static void apply_policy(struct plan *plan)
{
	struct hub *hub = plan->hub;

	hub_retire(hub, &hub->policy->retired, policy_retired_free);
	hub->policy = plan->policy;
	plan->policy = NULL;
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
	if (p->flags & WGH_PEER_HAS_TAG)
		relaxed_set(&peer->tag, p->tag);
	if (p->flags & WGH_PEER_HAS_KEEPALIVE) {
		if (p->keepalive_s && !relaxed_get(&peer->keepalive_s))
			relaxed_set(&peer->last_traversal_ns, 0); /* the first is due at once */
		relaxed_set(&peer->keepalive_s, p->keepalive_s);
	}
	hub_arm(hub, peer);
}

static void emit_moved(struct hub *hub, const struct wgh_conflict *moved, uint64_t now_ns)
{
	struct wgh_event event = {.kind = WGH_EVENT_ROUTE_MOVED,
		.peer = moved->peer,
		.other = moved->other,
		.prefix = moved->prefix,
		.now_ns = now_ns};

	if (moved->kind == WGH_CONFLICT_PREFIX && hub->options.on_event)
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
		apply_policy(plan);
	}
	if (plan->flows || plan->regroups)
		flows_set_bounds(hub, plan->flows, now_ns);
	plan->flows = NULL;
	if (plan->view) {
		plan->view->flows = hub->flows;
		plan->view->fragments = hub->fragments;
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
	for (size_t i = 0; i < plan->n_noted; i++)
		emit_moved(hub, &plan->conflicts[i], now_ns);
}

/* ---- both ---- */

static int make_plan(struct plan *plan, struct hub *hub, const struct wgh_change *change,
	struct wgh_error *error)
{
	int err = change_check_form(change, error);

	if (err)
		return err;
	err = plan_init(plan, hub, change, error);
	if (!err)
		err = plan_all(plan);
	if (!err)
		err = peer_reserve(&hub->peers, (uint32_t)plan->n_created);
	if (!err)
		err = timer_heap_reserve(
			&hub->timers, hub->peers.n_peers + (uint32_t)plan->n_created);
	if (!err && (plan->routes || plan->policy || plan->flows)) {
		plan->view = hub_view_new(hub, plan->routes ? plan->routes : hub->routes,
			plan->policy ? plan->policy : hub->policy);
		err = plan->view ? 0 : -ENOMEM;
	}
	return err == -ENOMEM ? fail(error, err, "not enough memory for this change") : err;
}

static void undo(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_created; i++)
		peer_free(&plan->hub->peers, plan->created[i]);
	hub_view_free(plan->view);
}

static const char *conflict_text(enum wgh_conflict_kind kind)
{
	switch (kind) {
	case WGH_CONFLICT_KEY_TWICE:
		return "a public key is listed twice";
	case WGH_CONFLICT_OWN_KEY:
		return "a peer has the hub's own key";
	case WGH_CONFLICT_PREFIX:
		break;
	}
	return "a prefix is another peer's already";
}

int hub_check(struct hub *hub, const struct wgh_change *change, struct wgh_conflict *conflicts,
	size_t room, struct wgh_error *error)
{
	struct plan plan = {.hub = hub};
	int result = make_plan(&plan, hub, change, error);

	if (!result && plan.n_noted < plan.n_conflicts)
		result = fail(error, -ENOMEM, "not enough memory to list all conflicts");
	if (!result && plan.n_noted) {
		result = plan.n_noted < INT_MAX ? (int)plan.n_noted : INT_MAX;
		(void)fail(error, 0, conflict_text(plan.conflicts[0].kind));
		for (size_t i = 0; i < plan.n_noted && i < room; i++)
			conflicts[i] = plan.conflicts[i];
	}
	undo(&plan);
	plan_fini(&plan);
	return result;
}

int hub_apply(
	struct hub *hub, const struct wgh_change *change, uint64_t now_ns, struct wgh_error *error)
{
	struct plan plan = {.hub = hub};
	int err = make_plan(&plan, hub, change, error);

	if (!err && (change->flags & WGH_STRICT) && plan.n_conflicts)
		err = fail(error, -EEXIST,
			plan.n_noted ? conflict_text(plan.conflicts[0].kind)
				     : "the change set has conflicts");
	if (err)
		undo(&plan);
	else
		apply(&plan, now_ns);
	plan_fini(&plan);
	return err;
}
