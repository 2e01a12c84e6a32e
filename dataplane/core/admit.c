/* admit.c - see admit.h. Costs a look-up in the flow table for each packet that is not of the same
 * flow as the one before it; asking rules and opening a flow only for the first packet of each.
 */
#include "core/admit.h"

#include "core/flows.h"

#include <string.h>

static struct flow_party party(const struct peer *peer)
{
	return peer ? (struct flow_party){peer->slot, peer->serial} : FLOW_HOST;
}

static const struct wgh_addr *self_of(const struct hub_view *view, uint8_t family)
{
	return family == WGH_IPV4 ? &view->self4 : &view->self6;
}

/* ---- the policy ---- */

static const struct wgh_public_key *key_of(const struct peer *peer)
{
	return peer ? (const struct wgh_public_key *)peer->public_key.bytes : NULL;
}

/* The destination port, 0 where there is none to see. */
static uint16_t port_of(const uint8_t *packet, const struct ip_info *info)
{
	const uint8_t *ports = packet + info->l4_offset;

	if ((info->proto != IP_PROTO_TCP && info->proto != IP_PROTO_UDP) || !info->l4_offset ||
		!info->first_fragment || info->len_bytes - info->l4_offset < 4)
		return 0;
	return (uint16_t)(ports[2] << 8 | ports[3]);
}

static enum wgh_verdict ask(const struct policy *policy, const struct peer *from,
	const struct peer *to, uint8_t proto, uint16_t port)
{
	struct wgh_policy_question q = {
		.from = key_of(from),
		.to = key_of(to),
		.from_group = from ? REACH_GROUP(relaxed_get(&((struct peer *)from)->reach))
				   : WGH_GROUP_HOST,
		.to_group =
			to ? REACH_GROUP(relaxed_get(&((struct peer *)to)->reach)) : WGH_GROUP_HOST,
		.proto = proto,
		.port = port,
	};

	return wgh_policy_decide(&policy->said, &q, NULL);
}

/* May from start this? By the policy alone. */
static bool may_start(const struct policy *policy, const struct peer *from, const struct peer *to,
	const uint8_t *packet, const struct ip_info *info)
{
	const uint8_t proto = info->proto == IP_PROTO_ICMPV6 ? IP_PROTO_ICMP : info->proto;

	switch (ask(policy, from, to, proto, port_of(packet, info))) {
	case WGH_ALLOW:
		return true;
	case WGH_PING:
		return icmp_is_echo_request(packet, info);
	case WGH_DENY:
		break;
	}
	return false;
}

static enum drop refuse(struct admission *a, enum drop reason, enum refusal refusal)
{
	a->refusal = refusal;
	return reason;
}

/* ---- where it goes ---- */

/* The owner of an address: false if that is neither a peer nor the hub. */
static bool owner_of(
	const struct worker *w, const uint8_t addr[16], uint8_t family, struct peer **owner)
{
	struct wgh_addr dst = {.family = family};
	struct peer *found;

	memcpy(dst.bytes, addr, sizeof dst.bytes);
	found = route_lookup(w->view->routes, &dst);
	*owner = route_is_peer(found) ? found : NULL;
	return route_is_peer(found) || found == ROUTE_SELF;
}

/* Sets receiver and edit from what the table remembers. False: the address has another owner now.
 */
static bool follow(const struct worker *w, struct admission *a, const struct ip_info *info,
	struct flow_party remembered, const struct nat_edit *edit)
{
	struct peer *to = a->to;

	if (edit && memcmp(edit->dst, info->dst.bytes, sizeof edit->dst) != 0 &&
		!owner_of(w, edit->dst, info->dst.family, &to))
		return false;
	if (!flow_party_is(party(to), remembered))
		return false;
	a->to = to;
	a->edit = edit;
	return true;
}

static bool follow_hit(const struct worker *w, struct admission *a, const struct ip_info *info,
	const struct flow_hit *hit)
{
	return follow(w, a, info, hit->to, hit->translated ? &hit->edit : NULL);
}

/* ---- what may begin ---- */

enum start { START_NEW, START_MIDDLE, START_NEVER };

/* Can a flow begin with this packet? In the middle: TCP of a connection that was there before the
 * hub was. */
static enum start start_of(const struct flow_key *key, uint8_t tcp_flags)
{
	const uint8_t kind = tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);

	if (key->echo == FLOW_ECHO_REPLY)
		return START_NEVER;
	if (key->proto != IP_PROTO_TCP || kind == TCP_SYN)
		return START_NEW;
	return (kind & (TCP_SYN | TCP_RST)) || !(kind & TCP_ACK) ? START_NEVER : START_MIDDLE;
}

static const struct view_forward *forward_of(
	const struct worker *w, const struct peer *from, const struct flow_key *key)
{
	const struct policy *policy = w->view->policy;

	for (size_t i = 0; i < policy->said.n_forwards; i++) {
		const struct wgh_forward *f = &policy->said.forwards[i];
		const struct view_forward *target = &w->view->forwards[i];

		if (f->proto != key->proto || f->port != key->dst_port || !target->to)
			continue;
		if (target->addr[key->family == WGH_IPV6].family &&
			policy_forward_allows(
				f, key_of(from), REACH_GROUP(reach_of(w->view, from))))
			return target;
	}
	return NULL;
}

/* Must the receiver see the hub's address as the source? */
static bool needs_nat(const struct worker *w, const struct peer *to, const struct ip_info *info)
{
	const struct wgh_addr *self = self_of(w->view, info->src.family);
	const uint32_t stock = info->src.family == WGH_IPV4 ? REACH_STOCK4 : REACH_STOCK6;

	return to && (reach_of(w->view, to) & stock) && self->family &&
		!wgh_addr_equal(&info->src, self);
}

/* The host's own packets to one who sees the hub's address only: another flow may have the port. */
static bool shares_ports(const struct worker *w, const struct peer *from, const struct peer *to,
	const struct ip_info *info)
{
	return !from && to && (reach_of(w->view, to) & (REACH_STOCK4 | REACH_STOCK6)) &&
		wgh_addr_equal(&info->src, self_of(w->view, info->src.family));
}

/* From a peer to the address that the hub lends to others? */
static bool is_to_hub(const struct worker *w, const struct peer *from, const struct peer *to,
	const struct ip_info *info)
{
	return from && !to && wgh_addr_equal(&info->dst, self_of(w->view, info->dst.family));
}

/* To a port of the hub where only answers to others come in, and nobody waits for this one. Without
 * a host that is every port, once a connection is under way. */
static bool is_stray_answer(const struct worker *w, const struct flow_key *key, enum start start)
{
	const struct wgh_policy *p = &w->view->policy->said;

	return start == START_NEVER || (start == START_MIDDLE && !w->view->has_tun) ||
		(key->dst_port >= p->nat_port_first && key->dst_port <= p->nat_port_last &&
			key->proto != IP_PROTO_ICMP && key->proto != IP_PROTO_ICMPV6);
}

/* Nobody knows the flow. Who was in the middle of one is told, where only the hub can tell. */
static enum drop refuse_stray(struct admission *a, const struct flow_key *key, bool tell)
{
	return refuse(a, DROP_NO_FLOW,
		tell && key->proto == IP_PROTO_TCP ? REFUSE_BY_RESET : REFUSE_SILENTLY);
}

static enum drop begin(struct worker *w, struct peer *from, const struct flow_key *key,
	uint8_t tcp_flags, enum flow_kind kind, const uint8_t *packet, const struct ip_info *info,
	struct admission *a)
{
	const bool to_hub = is_to_hub(w, from, a->to, info);
	const struct view_forward *forward = to_hub ? forward_of(w, from, key) : NULL;
	const enum start start = start_of(key, tcp_flags);
	struct flow_want want = {.key = *key, .tcp_flags = tcp_flags, .len_bytes = info->len_bytes};
	enum drop drop;

	if (forward && start == START_NEW) {
		a->to = forward->to;
		memcpy(want.new_dst, forward->addr[key->family == WGH_IPV6].bytes, 16);
		want.new_dst_port = forward->port;
		want.translates_dst = true;
	} else if (forward || (to_hub && is_stray_answer(w, key, start))) {
		return refuse_stray(a, key, true);
	} else if (start == START_NEVER) {
		return refuse_stray(a, key, needs_nat(w, a->to, info));
	} else if (!may_start(w->view->policy, from, a->to, packet, info)) {
		/* Of a connection that began before the hub, if the other end may start it: that
		 * end's next segment makes it a flow again. Otherwise a policy ended it, and
		 * neither end can know; what ICMP says of a connection that is established Linux
		 * ignores. */
		if (start == START_MIDDLE)
			return refuse_stray(a, key,
				ask(w->view->policy, a->to, from, key->proto, key->src_port) !=
					WGH_ALLOW);
		return refuse(a, DROP_POLICY, REFUSE_BY_POLICY);
	}
	if (!a->to && !w->view->has_tun)
		return DROP_NONE; /* the built-in host remembers nothing */
	if (needs_nat(w, a->to, info)) {
		if (kind == FLOW_KIND_OTHER)
			return refuse(a, DROP_NAT_PROTOCOL, REFUSE_PROTOCOL);
		if (start == START_MIDDLE)
			return refuse_stray(a, key, true);
		want.translates_src = true;
	} else if (shares_ports(w, from, a->to, info) && kind == FLOW_KIND_PORTS &&
		start == START_NEW) {
		want.translates_src = want.keeps_any_port = true;
	}
	if (want.translates_src)
		memcpy(want.new_src, self_of(w->view, key->family)->bytes, sizeof want.new_src);
	want.to = party(a->to);
	drop = flow_open(w->view->flows, &want, &w->run, w->now_ns, &w->flow_log);
	if (drop)
		return drop;
	flows_tell_begun(w);
	return follow_hit(w, a, info, &w->run.hit) ? DROP_NONE : DROP_NO_FLOW;
}

/* ---- by kind of packet ---- */

static enum drop admit_packet(struct worker *w, struct peer *from, const struct flow_key *key,
	uint8_t tcp_flags, enum flow_kind kind, const uint8_t *packet, const struct ip_info *info,
	struct admission *a)
{
	struct flow_ref ref;

	if (!flow_find(w->view->flows, &w->run, key, tcp_flags, info->len_bytes, w->now_ns))
		return begin(w, from, key, tcp_flags, kind, packet, info, a);
	if (follow_hit(w, a, info, &w->run.hit))
		return DROP_NONE;
	ref = w->run.hit.ref;
	flow_run_end(w->view->flows, &w->run, w->now_ns);
	flow_end(w->view->flows, &ref, FLOW_END_MOVED, w->now_ns, &w->flow_log);
	return begin(w, from, key, tcp_flags, kind, packet, info, a);
}

/* The later fragments of what was just admitted go the same way. */
static enum drop admit_first_fragment(struct worker *w, struct peer *from, const uint8_t *packet,
	const struct ip_info *info, struct admission *a)
{
	if (!w->view->fragments) /* the batch in which flows were first wanted */
		return DROP_FRAGMENT;
	w->way = (struct fragment_way){.to = party(a->to), .translated = a->edit != NULL};
	if (a->edit)
		w->way.edit = *a->edit;
	/* Several sources behind one address, the host among them: their identifications are not
	 * unique. */
	w->way.renumbered =
		a->to && ((a->edit && a->edit->changes_src) || shares_ports(w, from, a->to, info));
	a->way = &w->way;
	return fragment_first(w->view->fragments, packet, info, party(from), &w->way, w->now_ns);
}

static enum drop admit_later_fragment(struct worker *w, struct peer *from, const uint8_t *packet,
	const struct ip_info *info, struct admission *a)
{
	enum drop drop = DROP_FRAGMENT;

	if (w->view->fragments)
		drop = fragment_later(
			w->view->fragments, packet, info, party(from), &w->way, w->now_ns);
	if (drop)
		return drop;
	a->way = &w->way;
	return follow(w, a, info, w->way.to, w->way.translated ? &w->way.edit : NULL)
		? DROP_NONE
		: DROP_FRAGMENT;
}

/* About a flow it passes; else the policy must allow all. */
static enum drop admit_error(struct worker *w, struct peer *from, const struct flow_key *key,
	const uint8_t *packet, const struct ip_info *info, struct admission *a)
{
	if (flow_find_related(w->view->flows, &w->related, key, w->now_ns) &&
		follow_hit(w, a, info, &w->related)) {
		a->is_error = true;
		return DROP_NONE;
	}
	if (!needs_nat(w, a->to, info) && may_start(w->view->policy, from, a->to, packet, info))
		return DROP_NONE;
	return DROP_NO_FLOW;
}

enum drop admit(struct worker *w, struct peer *from, struct peer *to, const uint8_t *packet,
	const struct ip_info *info, struct admission *a)
{
	struct flow_key key;
	uint8_t tcp_flags;
	enum flow_kind kind = flow_key_read(&key, &tcp_flags, packet, info, party(from));
	enum drop drop = DROP_NAT_HEADER;

	*a = (struct admission){.to = to};
	switch (kind) {
	case FLOW_KIND_PORTS:
	case FLOW_KIND_OTHER:
		drop = admit_packet(w, from, &key, tcp_flags, kind, packet, info, a);
		if (!drop && info->fragment)
			drop = admit_first_fragment(w, from, packet, info, a);
		break;
	case FLOW_KIND_FRAGMENT:
		return admit_later_fragment(w, from, packet, info, a);
	case FLOW_KIND_ERROR:
		return admit_error(w, from, &key, packet, info, a);
	case FLOW_KIND_BROKEN:
		break;
	}
	return drop;
}

enum drop admit_rewrite(uint8_t *packet, const struct ip_info *info, const struct admission *a)
{
	enum drop drop = DROP_NONE;

	if (a->edit && a->is_error)
		drop = nat_rewrite_error(packet, info, a->edit);
	else if (a->edit && !info->first_fragment)
		nat_rewrite_fragment(packet, a->edit);
	else if (a->edit)
		drop = nat_rewrite(packet, info, a->edit);
	if (!drop && a->way)
		fragment_renumber(packet, info, a->way);
	return drop;
}
