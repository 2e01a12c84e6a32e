/* change.c - a change set for keys and peers: planned on copies (change_plan.h), then applied in
 * steps that cannot fail, or thrown away when somebody only asked.
 *
 * Costs a copy of the routes and a new table where prefixes change, so one set for many peers is
 * cheap and many sets for one peer each are not.
 */
#include "core/hub.h"

#include "core/change_plan.h"
#include "core/error.h"
#include "core/handshake.h"
#include "core/keys.h"
#include "core/reach.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

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

static void apply_group(struct change_plan *plan, struct peer *peer,
	const struct wgh_peer_change *p, uint64_t now_ns)
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

static void apply_policy(struct change_plan *plan)
{
	struct hub *hub = plan->hub;

	hub_retire(hub, &hub->policy->retired, policy_retired_free);
	hub->policy = plan->policy;
	plan->policy = NULL;
	plan->regroups = true;
}

static void end_flows_of_removed(struct change_plan *plan, uint64_t now_ns)
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

static void apply(struct change_plan *plan, uint64_t now_ns)
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

/* ---- asking, and doing ---- */

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
	struct change_plan plan;
	int result = change_plan_make(&plan, hub, change, error);

	if (!result && plan.n_noted < plan.n_conflicts)
		result = error_fail(error, -ENOMEM, "not enough memory to list all conflicts");
	if (!result && plan.n_noted) {
		result = plan.n_noted < INT_MAX ? (int)plan.n_noted : INT_MAX;
		(void)error_fail(error, 0, conflict_text(plan.conflicts[0].kind));
		for (size_t i = 0; i < plan.n_noted && i < room; i++)
			conflicts[i] = plan.conflicts[i];
	}
	change_plan_undo(&plan);
	change_plan_fini(&plan);
	return result;
}

int hub_apply(
	struct hub *hub, const struct wgh_change *change, uint64_t now_ns, struct wgh_error *error)
{
	struct change_plan plan;
	int err = change_plan_make(&plan, hub, change, error);

	if (!err && (change->flags & WGH_STRICT) && plan.n_conflicts)
		err = error_fail(error, -EEXIST,
			plan.n_noted ? conflict_text(plan.conflicts[0].kind)
				     : "the change set has conflicts");
	if (err)
		change_plan_undo(&plan);
	else
		apply(&plan, now_ns);
	change_plan_fini(&plan);
	return err;
}
