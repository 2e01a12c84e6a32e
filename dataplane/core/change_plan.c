/* change_plan.c - see change_plan.h. For change.c. The keys of the set stand in a small table of
 * their own, so that many changes of many peers cost little.
 */
#include "core/change_plan.h"

#include "core/change_form.h"
#include "core/error.h"
#include "core/ip.h"

#include <errno.h>
#include <string.h>

/* Where a key stands at one point of the plan. */
struct planned_key {
	const struct wgh_public_key *key; /* NULL: unused entry */
	struct peer *peer; /* NULL: not there (any more) */
	bool listed; /* in the set, up to here */
};

/* ---- keys of the set ---- */

static uint32_t key_hash(const struct wgh_public_key *key)
{
	uint32_t h;

	memcpy(&h, key->bytes, sizeof h); /* only this set's own speed depends on it */
	return h * UINT32_C(0x9e3779b1);
}

static const struct noise_identity *identity_after(const struct change_plan *plan)
{
	return plan->identity ? plan->identity : plan->hub->identity;
}

static bool is_own_key(const struct change_plan *plan, const struct wgh_public_key *key)
{
	const struct noise_identity *identity = identity_after(plan);

	return identity->present &&
		!memcmp(identity->public_key.bytes, key->bytes, sizeof key->bytes);
}

static struct planned_key *planned(struct change_plan *plan, const struct wgh_public_key *key)
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

/* ---- conflicts ---- */

static void note_conflict(struct change_plan *plan, const struct wgh_conflict *conflict)
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

static bool is_planned(const struct change_plan *plan, const struct peer *peer)
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

static void plan_removal(struct change_plan *plan, struct peer *peer)
{
	route_remove_owner(plan->routes, peer);
	plan->removed[plan->n_removed++] = peer;
}

static void note_moved(struct change_plan *plan, size_t i, const struct wgh_prefix *prefix,
	const struct peer *from, const struct peer *to)
{
	struct wgh_conflict moved = {
		.kind = WGH_CONFLICT_PREFIX, .peer_no = (uint32_t)i, .prefix = *prefix};

	ip_prefix_mask(&moved.prefix);
	memcpy(moved.other.bytes, from->public_key.bytes, sizeof moved.other.bytes);
	memcpy(moved.peer.bytes, to->public_key.bytes, sizeof moved.peer.bytes);
	note_conflict(plan, &moved);
}

static int plan_allowed_ips(struct change_plan *plan, size_t n, struct peer *peer, bool first)
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

static int plan_peer(struct change_plan *plan, size_t i)
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
static void plan_leftovers(struct change_plan *plan)
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

static int plan_all(struct change_plan *plan)
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
static int plan_flows(struct change_plan *plan)
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

/* ---- the whole ---- */

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

static int plan_init(struct change_plan *plan, struct wgh_error *error)
{
	const struct wgh_change *change = plan->change;
	struct hub *hub = plan->hub;
	struct mem_budget *budget = hub->options.budget;
	size_t n = change->n_peers + 1, n_keys = 8;
	int err;

	while (n_keys < 2 * n)
		n_keys *= 2;
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

int change_plan_make(struct change_plan *plan, struct hub *hub, const struct wgh_change *change,
	struct wgh_error *error)
{
	int err = change_check_form(change, error);

	*plan = (struct change_plan){.hub = hub, .change = change};
	if (err)
		return err;
	err = plan_init(plan, error);
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
	return err == -ENOMEM ? error_fail(error, err, "not enough memory for this change") : err;
}

void change_plan_undo(struct change_plan *plan)
{
	for (size_t i = 0; i < plan->n_created; i++)
		peer_free(&plan->hub->peers, plan->created[i]);
	hub_view_free(plan->view);
}

void change_plan_fini(struct change_plan *plan)
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
