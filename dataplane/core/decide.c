/* decide.c - where an inner packet goes. The questions stand in this order: is it a packet, may its
 * source be the sender's, would a router forward it, who owns its destination (route.h), may these
 * two talk (policy.h), and must the receiver see the hub's address (admit.h, nat.h). Then a
 * router's own: time to live and size.
 */
#include "core/worker.h"

#include "core/admit.h"
#include "core/reach.h"
#include "core/tcp.h"

#include <string.h>

/* A plain pair's packet takes no call that it does not need: gcc by itself makes functions of
 * these, which costs a tenth of all instructions (bench/count.sh). */
#define ALWAYS_INLINE inline __attribute__((always_inline))

static uint8_t *inner(const struct packet *p)
{
	return p->data + WGH_HEADROOM_BYTES;
}

static __attribute__((noinline)) void drop_packet(
	struct worker *w, struct packet *p, struct peer *peer, enum drop reason)
{
	p->verdict = reason;
	if (peer)
		worker_drop_of(w, peer, reason);
	else
		worker_drop(w, reason, 1);
}

/* Of a packet that comes from a peer, or from the host (NULL). */
static __attribute__((noinline)) void drop_and_say(struct worker *w, struct packet *p,
	struct peer *sender, const struct ip_info *info, enum drop reason, enum icmp_error error)
{
	drop_packet(w, p, sender, reason);
	answer_error(w, sender, p, info, error);
}

/* ---- the last steps ---- */

/* What the outer header copies (RFC 6040). */
static uint8_t inner_ecn(const struct packet *p)
{
	return (inner(p)[0] >> 4 == 4 ? inner(p)[1] : inner(p)[1] >> 4) & 3;
}

/* As its receiver must see it. False: it was dropped. */
static __attribute__((noinline)) bool rewrite(struct worker *w, struct packet *p,
	struct peer *sender, const struct ip_info *info, const struct admission *a)
{
	enum drop verdict = admit_rewrite(inner(p), info, a);

	if (!verdict)
		return true;
	drop_packet(w, p, sender, verdict);
	return false;
}

static void to_tun(struct worker *w, uint32_t idx, struct peer *sender, const struct ip_info *info)
{
	w->packets[idx].len_bytes = info->len_bytes;
	pass(w, idx, sender, NULL);
}

/* For the host. Without a TUN the hub is one that answers ping and nothing else. */
static void to_host(struct worker *w, uint32_t idx, struct peer *sender, const struct ip_info *info,
	const struct admission *a)
{
	struct packet *p = &w->packets[idx];

	if (a && !rewrite(w, p, sender, info, a))
		return;
	if (w->view->has_tun) {
		to_tun(w, idx, sender, info);
		return;
	}
	if (icmp_echo_reply(inner(p), info)) {
		p->len_bytes = info->len_bytes;
		p->ecn = inner_ecn(p);
		tx_add(w, sender, idx);
		return;
	}
	drop_packet(w, p, sender, DROP_NO_HOST);
	if (info->proto == IP_PROTO_ICMP || info->proto == IP_PROTO_ICMPV6)
		return; /* other ICMP is discarded silently: RFC 1122 3.2.2 */
	answer_error(w, sender, p, info,
		info->proto == IP_PROTO_UDP || info->proto == IP_PROTO_TCP
			? ICMP_PORT_UNREACHABLE
			: ICMP_PROTOCOL_UNREACHABLE);
}

/* Both from peers and from the host: what a tunnel needs. False: it was dropped. */
static ALWAYS_INLINE bool to_tunnel(struct worker *w, uint32_t idx, struct peer *sender,
	struct peer *owner, const struct ip_info *info, const struct admission *a)
{
	struct packet *p = &w->packets[idx];

	if (!relaxed_get(&owner->has_endpoint)) {
		drop_packet(w, p, owner, DROP_NO_ENDPOINT);
		answer_error(w, sender, p, info, ICMP_NO_ROUTE);
		return false;
	}
	if (relaxed_get(&owner->silent)) /* it waits, as long as there is hope */
		answer_error(w, sender, p, info, ICMP_NO_ROUTE);
	if (a && !rewrite(w, p, sender, info, a))
		return false;
	if (info->proto == IP_PROTO_TCP && w->view->policy->said.clamp_mss)
		tcp_clamp_mss(inner(p), info, w->view->mtu_bytes);
	return true;
}

static ALWAYS_INLINE void to_peer(struct worker *w, uint32_t idx, struct peer *sender,
	struct peer *owner, const struct ip_info *info, const struct admission *a)
{
	struct packet *p = &w->packets[idx];

	if (owner == sender) {
		drop_packet(w, p, sender, DROP_HAIRPIN);
		return;
	}
	if (info->ttl <= 1) {
		drop_and_say(w, p, sender, info, DROP_TTL, ICMP_TIME_EXCEEDED);
		return;
	}
	if (info->len_bytes > w->view->mtu_bytes && info->dont_fragment) {
		drop_and_say(w, p, sender, info, DROP_TOO_BIG, ICMP_TOO_BIG);
		return;
	}
	if (!to_tunnel(w, idx, sender, owner, info, a))
		return;
	ip_decrement_ttl(inner(p));
	p->len_bytes = info->len_bytes;
	p->ecn = inner_ecn(p);
	pass(w, idx, sender, owner);
}

/* ---- policy and translation ---- */

/* The host has no counter of its own: the peer that it did not get through to has it. */
static void refuse(struct worker *w, struct packet *p, struct peer *from, struct peer *to,
	const struct ip_info *info, enum drop verdict, enum refusal refusal)
{
	drop_packet(w, p, from ? from : to, verdict);
	switch (refusal) {
	case REFUSE_SILENTLY:
		break;
	case REFUSE_BY_POLICY:
		answer_error(w, from, p, info, ICMP_ADMIN_PROHIBITED);
		break;
	case REFUSE_PROTOCOL:
		answer_error(w, from, p, info, ICMP_PROTOCOL_UNREACHABLE);
		break;
	case REFUSE_BY_RESET:
		answer_reset(w, from, p, info);
		break;
	}
}

/* Not settled by groups alone. Out of the way of the pairs that are. */
static __attribute__((noinline)) void carry_admitted(struct worker *w, uint32_t idx,
	struct peer *sender, struct peer *owner, const struct ip_info *info)
{
	struct packet *p = &w->packets[idx];
	struct admission a;
	enum drop verdict = admit(w, sender, owner, inner(p), info, &a);

	if (verdict)
		refuse(w, p, sender, owner, info, verdict, a.refusal);
	else if (a.to)
		to_peer(w, idx, sender, a.to, info, &a);
	else
		to_host(w, idx, sender, info, &a);
}

/* The route says who owns the destination; who gets the packet, and how, is asked here. */
static ALWAYS_INLINE void carry(struct worker *w, uint32_t idx, struct peer *sender,
	struct peer *owner, const struct ip_info *info)
{
	if (!admit_plain(w->view->policy, reach_of(w->view, sender), reach_of(w->view, owner)))
		carry_admitted(w, idx, sender, owner, info);
	else if (owner)
		to_peer(w, idx, sender, owner, info, NULL);
	else
		to_host(w, idx, sender, info, NULL);
}

/* ---- from peers ---- */

/* To an address that probes come from: an answer ends here, and nothing else may go there. */
static void to_probe(
	struct worker *w, struct packet *p, struct peer *sender, const struct ip_info *info)
{
	if (reach_is_answer(w->hub, inner(p), info)) {
		p->verdict = VERDICT_ENDED;
		owner_add(&w->stats.n_answers, 1);
		return;
	}
	drop_packet(w, p, sender, DROP_NO_ROUTE);
}

static void decide_from_peer(struct worker *w, uint32_t idx)
{
	struct packet *p = &w->packets[idx];
	struct peer *sender = p->keypair->peer, *owner;
	struct ip_info info;
	enum drop verdict;

	verdict = ip_parse(&info, inner(p), p->len_bytes);
	if (verdict) {
		drop_packet(w, p, sender, verdict);
		return;
	}
	if (!route_owner_is(w->view->routes, &info.src, sender)) {
		drop_packet(w, p, sender, DROP_SOURCE);
		return;
	}
	if (p->ecn == 3)
		ip_ecn_decapsulate(inner(p), p->ecn);
	if (info.source_route)
		verdict = DROP_SOURCE_ROUTE;
	else if (!ip_header_checksum_ok(inner(p)))
		verdict = DROP_INNER_HEADER;
	else
		verdict = ip_forwardable(&info);
	if (verdict) {
		drop_packet(w, p, sender, verdict);
		return;
	}
	owner = route_lookup(w->view->routes, &info.dst);
	if (reach_may_learn(sender, info.dst.family) && owner != ROUTE_SELF)
		reach_learn(w, sender, info.dst.family);
	if (route_is_peer(owner)) {
		carry(w, idx, sender, owner, &info);
	} else if (owner == ROUTE_SELF) {
		carry(w, idx, sender, NULL, &info);
	} else if (owner == ROUTE_BROADCAST) {
		drop_packet(w, p, sender, DROP_BROADCAST);
	} else if (owner == ROUTE_PROBE) {
		to_probe(w, p, sender, &info);
	} else if (w->view->deliver_unowned && w->view->has_tun) {
		carry(w, idx, sender, NULL, &info);
	} else {
		drop_and_say(w, p, sender, &info, DROP_NO_ROUTE, ICMP_NO_ROUTE);
	}
}

void stage_decide_udp(struct worker *w, uint32_t first)
{
	uint32_t end = w->n_packets; /* own packets are appended behind it */

	for (uint32_t i = first; i < end; i++) {
		struct packet *p = &w->packets[i];

		if (p->verdict)
			continue;
		if (p->len_bytes)
			decide_from_peer(w, i);
		else
			owner_add(&w->stats.n_keepalives, 1);
	}
	pass_asked(w);
}

/* ---- from the hub's own host ---- */

/* Our own outer datagram, routed into our own TUN: it would come back for ever, a little larger
 * each time. */
static bool is_own_outer(const struct worker *w, const struct packet *p, const struct ip_info *info,
	struct peer *owner)
{
	const uint8_t *udp = inner(p) + info->l4_offset;
	struct wgh_endpoint endpoint;

	if (info->proto != IP_PROTO_UDP || !info->l4_offset || !info->first_fragment ||
		info->l4_offset + 8u > info->len_bytes || !w->view->listen_port ||
		(udp[0] << 8 | udp[1]) != w->view->listen_port)
		return false;
	endpoint = peer_endpoint(owner);
	return endpoint.family == info->dst.family && (udp[2] << 8 | udp[3]) == endpoint.port &&
		!memcmp(endpoint.addr, info->dst.bytes, sizeof endpoint.addr);
}

static void decide_from_host(struct worker *w, uint32_t idx)
{
	struct packet *p = &w->packets[idx];
	struct admission a, *changed = NULL;
	struct ip_info info;
	struct peer *owner;
	enum drop verdict = ip_parse(&info, inner(p), p->len_bytes);

	if (verdict) {
		drop_packet(w, p, NULL, verdict);
		return;
	}
	owner = route_lookup(w->view->routes, &info.dst);
	if (!route_is_peer(owner)) {
		drop_packet(w, p, NULL, DROP_NO_ROUTE);
		if (!owner)
			answer_error(w, NULL, p, &info, ICMP_NO_ROUTE);
		return;
	}
	if (is_own_outer(w, p, &info, owner)) {
		drop_packet(w, p, owner, DROP_ROUTING_LOOP);
		IGNORE_RESULT(
			worker_tell(w, EVENT_ROUTING_LOOP, owner, 0, NULL, 0)); /* only a report */
		return;
	}
	if (!admit_plain(w->view->policy, reach_of(w->view, NULL), reach_of(w->view, owner))) {
		verdict = admit(w, NULL, owner, inner(p), &info, &a);
		if (verdict) {
			refuse(w, p, NULL, owner, &info, verdict, a.refusal);
			return;
		}
		changed = &a;
	}
	if (!to_tunnel(w, idx, NULL, owner, &info, changed))
		return;
	p->len_bytes = info.len_bytes;
	p->ecn = info.ecn;
	pass(w, idx, NULL, owner);
}

void stage_decide_tun(struct worker *w, uint32_t first)
{
	for (uint32_t i = first, end = w->n_packets; i < end; i++)
		decide_from_host(w, i);
	pass_asked(w);
}
