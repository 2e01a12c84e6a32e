/* flows.c - see flows.h. The control side looks at a part of the table once a second while there
 * are flows; a packet that meets an expired flow ends it by itself, so that a sweep only gives back
 * room and keeps the log in time.
 */
#include "core/flows.h"

#include "core/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_INTERVAL_NS NS_PER_S
#define SWEEP_PARTS 16 /* of the table, one each time */
/* Without a TUN nobody else uses the hub's address, and a flow may keep nearly any port of its own.
 */
#define KEEP_PORT_FIRST 1024

/* ---- from workers ---- */

/* The log gives way where the queue is wanted for packets and sessions. */
static bool log_has_room(const struct ring *ring)
{
	return ring_bytes(ring) < ring->size_bytes / 2;
}

static void tell(struct worker *w, const struct flow_report *report)
{
	if (!w->view->policy->said.log_flows)
		return;
	if (!log_has_room(&w->events) ||
		!worker_tell(w, EVENT_FLOW, NULL, 0, report, sizeof *report))
		owner_add(&w->stats.n_log_lost, 1);
}

static void tell_ended(void *worker, const struct flow_report *report)
{
	tell(worker, report);
}

struct flow_log flows_log_of_worker(struct worker *w)
{
	return (struct flow_log){.ended = tell_ended, .arg = w};
}

void flows_tell_begun(struct worker *w)
{
	struct flow_report report;

	if (relaxed_get(&w->hub->flow_sweep_ns) == TIME_NEVER) {
		relaxed_set(
			&w->hub->flow_sweep_ns, 0); /* said once, also where the queue is full */
		IGNORE_RESULT(worker_tell(w, EVENT_SWEEP, NULL, 0, NULL, 0));
	}
	if (w->view->policy->said.log_flows && flow_look(w->view->flows, &w->run.hit.ref, &report))
		tell(w, &report);
}

/* ---- the log ---- */

_Static_assert((int)FLOW_END_IDLE == WGH_FLOW_IDLE && (int)FLOW_END_CLOSED == WGH_FLOW_CLOSED &&
		(int)FLOW_END_EVICTED == WGH_FLOW_EVICTED &&
		(int)FLOW_END_MOVED == WGH_FLOW_MOVED && (int)FLOW_END_POLICY == WGH_FLOW_POLICY &&
		(int)FLOW_END_PEER == WGH_FLOW_PEER,
	"the table's ends are the public ones");

static struct peer *party_peer(const struct hub *hub, struct flow_party party)
{
	return peer_at(&hub->peers, party.slot, party.serial);
}

/* Zero for the host, and for a peer that is gone. */
static void copy_key(const struct hub *hub, struct wgh_public_key *key, struct flow_party party)
{
	const struct peer *peer = party_peer(hub, party);

	if (peer)
		memcpy(key->bytes, peer->public_key.bytes, sizeof key->bytes);
}

void flows_emit(struct hub *hub, const struct flow_report *report, uint64_t now_ns)
{
	struct wgh_event event = {
		.kind = report->ended_ns ? WGH_EVENT_FLOW_END : WGH_EVENT_FLOW_BEGIN,
		.now_ns = now_ns};
	struct wgh_flow *flow = &event.flow;

	if (!hub->options.on_event || !hub->policy->said.log_flows)
		return;
	copy_key(hub, &flow->from, report->key[0].from);
	copy_key(hub, &flow->to, report->key[1].from);
	event.peer = flow->from;
	event.other = flow->to;
	flow->src = flow_key_src(&report->key[0]);
	flow->dst = flow_key_dst(&report->key[0]);
	flow->src_port = report->key[0].src_port;
	flow->dst_port = report->key[0].dst_port;
	flow->nat_port = report->translated ? report->key[1].dst_port : 0;
	flow->proto = report->key[0].proto;
	flow->translated = report->translated;
	flow->answered = report->answered;
	flow->end = report->why;
	for (int i = 0; i < 2; i++) {
		flow->packets[i] = report->packets[i];
		flow->bytes[i] = report->bytes[i];
	}
	flow->began_ns = report->began_ns;
	flow->ended_ns = report->ended_ns;
	hub->options.on_event(hub->options.arg, &event);
}

/* ---- the table ---- */

static struct flow_ports ports_for(const struct hub *hub, const struct wgh_policy *policy)
{
	struct flow_ports ports = {policy->nat_port_first, policy->nat_port_last,
		policy->nat_port_first, policy->nat_port_last};

	if (!hub->options.has_tun) {
		ports.keep_first = KEEP_PORT_FIRST;
		ports.keep_last = UINT16_MAX;
	}
	return ports;
}

/* ---- what ends from outside ---- */

struct check {
	struct hub *hub;
	struct peer *peer;
	uint64_t now_ns;
};

static void on_ended(void *arg, const struct flow_report *report)
{
	const struct check *c = arg;

	flows_emit(c->hub, report, c->now_ns);
}

static void end_where(
	struct check *c, bool (*ends)(void *, const struct flow_report *), enum flow_end why)
{
	const struct flow_log log = {.ended = on_ended, .arg = c};

	if (flow_count(c->hub->flows))
		flow_end_where(c->hub->flows, ends, c, why, c->now_ns, &log);
}

struct flows_swap {
	struct retired retired;
	struct flow_table *table; /* the new one; then the old one */
	struct fragment_table *fragments; /* NULL: there is one */
	uint32_t room;
};

int flows_swap_new(struct hub *hub, uint32_t room, struct flows_swap **out)
{
	const struct wgh_policy *policy = &hub->policy->said;
	struct mem_budget *budget = hub->options.budget;
	const bool first = !hub->flows;
	struct flow_options options = {.max = room,
		.per_peer_max = policy->flows_per_peer_max,
		.ports = ports_for(hub, policy),
		.budget = budget};
	struct flows_swap *swap;
	int err;

	*out = NULL;
	if (room <= hub->flows_room && hub->fragments)
		return 0;
	swap = mem_new(budget, 1, sizeof *swap);
	if (!swap)
		return -ENOMEM;
	hub->options.random(hub->options.arg, options.seed, sizeof options.seed);
	swap->room = room;
	err = flow_table_new(&swap->table, &options);
	if (!err && !first && !hub->fragments) {
		swap->fragments = fragment_table_new(options.seed, budget);
		err = swap->fragments ? 0 : -ENOMEM;
	}
	if (err)
		flows_swap_free(swap);
	else
		*out = swap;
	return err;
}

void flows_swap_free(struct flows_swap *swap)
{
	if (!swap)
		return;
	flow_table_free(swap->table);
	fragment_table_free(swap->fragments);
	mem_free(swap);
}

static void swap_retired_free(struct retired *item, void *hub)
{
	(void)hub;
	flows_swap_free((struct flows_swap *)item); /* retired is the first member */
}

static bool is_any(void *arg, const struct flow_report *flow)
{
	(void)arg;
	(void)flow;
	return true;
}

void flows_set_bounds(struct hub *hub, struct flows_swap *swap, uint64_t now_ns)
{
	const struct wgh_policy *policy = &hub->policy->said;
	const struct flow_ports ports = ports_for(hub, policy);
	struct flow_table *before = hub->flows;

	if (swap) {
		if (before)
			end_where(&(struct check){hub, NULL, now_ns}, is_any, FLOW_END_POLICY);
		hub->flows = swap->table;
		hub->flows_room = swap->room;
		swap->table = before;
		if (swap->fragments)
			hub->fragments = swap->fragments;
		swap->fragments = NULL;
		hub_retire(hub, &swap->retired, swap_retired_free);
	}
	/* Cannot fail: the policy's bounds are checked, and no table holds more than it has room
	 * for. */
	IGNORE_RESULT(
		flow_table_set(hub->flows, policy->flows_max, policy->flows_per_peer_max, &ports));
}

static bool forward_stands(
	const struct hub *hub, const struct flow_report *flow, const struct wgh_policy_question *q)
{
	const struct wgh_policy *p = &hub->policy->said;

	for (size_t i = 0; i < p->n_forwards; i++) {
		const struct wgh_forward *f = &p->forwards[i];

		if (f->proto == q->proto && f->port == q->port &&
			f->to_port == flow->key[1].src_port && q->to &&
			!memcmp(&f->to, q->to, sizeof f->to) &&
			policy_forward_allows(f, q->from, q->from_group))
			return true;
	}
	return false;
}

static bool fill_party(const struct hub *hub, struct flow_party party,
	const struct wgh_public_key **key, uint8_t *group)
{
	const struct peer *peer;

	*key = NULL;
	*group = WGH_GROUP_HOST;
	if (flow_party_is(party, FLOW_HOST))
		return true;
	peer = party_peer(hub, party);
	if (!peer)
		return false;
	*key = (const struct wgh_public_key *)peer->public_key.bytes;
	*group = REACH_GROUP(relaxed_get(&((struct peer *)peer)->reach));
	return true;
}

static bool is_forbidden(void *arg, const struct flow_report *flow)
{
	const struct check *c = arg;
	const struct flow_key *key = &flow->key[0];
	struct wgh_policy_question q = {
		.proto = key->proto == IP_PROTO_ICMPV6 ? IP_PROTO_ICMP : key->proto,
		.port = key->dst_port};

	if (!fill_party(c->hub, key->from, &q.from, &q.from_group) ||
		!fill_party(c->hub, flow->key[1].from, &q.to, &q.to_group))
		return true;
	if (flow->translated && memcmp(key->dst, flow->key[1].src, sizeof key->dst) != 0)
		return !forward_stands(c->hub, flow, &q);
	return wgh_policy_decide(&c->hub->policy->said, &q, NULL) == WGH_DENY;
}

void flows_recheck(struct hub *hub, uint64_t now_ns)
{
	end_where(&(struct check){hub, NULL, now_ns}, is_forbidden, FLOW_END_POLICY);
}

static bool is_leaving(void *arg, const struct flow_report *flow)
{
	const struct hub *hub = ((const struct check *)arg)->hub;

	for (int i = 0; i < 2; i++) {
		const struct peer *peer = party_peer(hub, flow->key[i].from);

		if (!flow_party_is(flow->key[i].from, FLOW_HOST) && (!peer || peer->leaving))
			return true;
	}
	return false;
}

void flows_end_leaving(struct hub *hub, uint64_t now_ns)
{
	end_where(&(struct check){hub, NULL, now_ns}, is_leaving, FLOW_END_PEER);
}

static bool is_translated_for(void *arg, const struct flow_report *flow)
{
	const struct check *c = arg;

	return flow->translated && party_peer(c->hub, flow->key[1].from) == c->peer;
}

void flows_end_translated(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	end_where(&(struct check){hub, peer, now_ns}, is_translated_for, FLOW_END_POLICY);
}

/* ---- the sweep ---- */

uint64_t flows_run(struct hub *hub, uint64_t now_ns)
{
	uint64_t next_ns = relaxed_get(&hub->flow_sweep_ns);
	struct check c = {hub, NULL, now_ns};

	if (!time_reached(now_ns, next_ns))
		return next_ns;
	flow_sweep(hub->flows, hub->flows_room / SWEEP_PARTS + 1, now_ns,
		&(struct flow_log){.ended = on_ended, .arg = &c});
	relaxed_set(&hub->flow_sweep_ns, TIME_NEVER);
	/* Looked at afterwards: a flow that begins from here on finds the sweep asleep. */
	if (!flow_count(hub->flows))
		return TIME_NEVER;
	relaxed_set(&hub->flow_sweep_ns, now_ns + SWEEP_INTERVAL_NS);
	return now_ns + SWEEP_INTERVAL_NS;
}
