/* decide.c - where an inner packet goes. The questions stand in this order: is it a packet, may its
 * source be the sender's, is it for the hub itself, would a router forward it, who owns its
 * destination.
 */
#include "core/worker.h"

#include "core/admit.h"
#include "core/icmp.h"

#include <string.h>

/* Errors of the hub: at most ten a second for each peer in bursts of ten, and a thousand a second
 * in all. */
#define ICMP_PEER_INTERVAL_NS (100 * NS_PER_MS)
#define ICMP_TOTAL_INTERVAL_NS (1 * NS_PER_MS)
#define ICMP_BURST 10

static uint8_t *inner(const struct packet *p)
{
	return p->data + WGH_HEADROOM_BYTES;
}

static void drop_packet(struct worker *w, struct packet *p, struct peer *peer, enum drop reason)
{
	p->verdict = reason;
	if (peer)
		worker_drop_of(w, peer, reason);
	else
		worker_drop(w, reason, 1);
}

/* ---- what the hub says itself ---- */

/* One more event now? Keeps the time at which the allowance is used up: full bursts, then one an
 * interval. */
static bool allowed(uint64_t used_until_ns, uint64_t interval_ns, uint64_t now_ns, uint64_t *next)
{
	uint64_t from_ns = used_until_ns > now_ns ? used_until_ns : now_ns;

	*next = from_ns + interval_ns;
	return from_ns - now_ns <= ICMP_BURST * interval_ns;
}

static bool icmp_allowed(struct worker *w, struct peer *peer)
{
	uint64_t total_ns, peer_ns;

	if (w->n_own >= WORKER_OWN_PACKETS ||
		!allowed(w->icmp_allowed_ns, ICMP_TOTAL_INTERVAL_NS, w->now_ns, &total_ns) ||
		!allowed(relaxed_get(&peer->icmp_allowed_ns), ICMP_PEER_INTERVAL_NS, w->now_ns,
			&peer_ns))
		return false;
	w->icmp_allowed_ns = total_ns;
	relaxed_set(&peer->icmp_allowed_ns, peer_ns);
	return true;
}

/* Tells the sender why its packet was dropped, as a router owes it. */
static void answer(struct worker *w, struct peer *sender, const struct packet *p,
	const struct ip_info *info, enum icmp_error error)
{
	const struct wgh_addr *self =
		info->src.family == WGH_IPV4 ? &w->view->self4 : &w->view->self6;
	struct packet *own;
	uint8_t *buffer;

	if (self->family == WGH_UNSPEC || !icmp_may_answer(inner(p), info) ||
		!icmp_allowed(w, sender))
		return;
	buffer = w->own_buffers[w->n_own++];
	own = &w->packets[w->n_packets];
	*own = (struct packet){.data = buffer};
	own->len_bytes =
		icmp_error_write(inner(own), error, w->view->mtu_bytes, self, inner(p), info);
	own->room_bytes = own->len_bytes + 15;
	owner_add(&w->stats.n_own, 1);
	tx_add(w, sender, w->n_packets++);
}

/* ---- from peers ---- */

/* What the outer header copies (RFC 6040). */
static uint8_t inner_ecn(const struct packet *p)
{
	return (inner(p)[0] >> 4 == 4 ? inner(p)[1] : inner(p)[1] >> 4) & 3;
}

static void to_tun(struct worker *w, uint32_t idx, struct peer *sender, const struct ip_info *info)
{
	w->packets[idx].len_bytes = info->len_bytes;
	pass(w, idx, sender, NULL);
}

/* The policy's question. The host has no counter of its own. */
static bool may_pass(struct worker *w, struct packet *p, struct peer *from, struct peer *to,
	const struct ip_info *info)
{
	if (admit_plain(w->view->policy, reach_of(from), reach_of(to)) ||
		admit_start(w->view->policy, from, to, inner(p), info))
		return true;
	drop_packet(w, p, from ? from : to, DROP_POLICY);
	if (from)
		answer(w, from, p, info, ICMP_ADMIN_PROHIBITED);
	return false;
}

/* For one of the hub's own addresses. Without a TUN the hub is a host that answers ping and nothing
 * else. */
static void to_self(struct worker *w, uint32_t idx, struct peer *sender, const struct ip_info *info)
{
	struct packet *p = &w->packets[idx];

	if (!may_pass(w, p, sender, NULL, info))
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
	answer(w, sender, p, info,
		info->proto == IP_PROTO_UDP || info->proto == IP_PROTO_TCP
			? ICMP_PORT_UNREACHABLE
			: ICMP_PROTOCOL_UNREACHABLE);
}

static void to_peer(struct worker *w, uint32_t idx, struct peer *sender, struct peer *owner,
	const struct ip_info *info)
{
	struct packet *p = &w->packets[idx];

	if (owner == sender) {
		drop_packet(w, p, sender, DROP_HAIRPIN);
		return;
	}
	if (!may_pass(w, p, sender, owner, info))
		return;
	if (info->ttl <= 1) {
		drop_packet(w, p, sender, DROP_TTL);
		answer(w, sender, p, info, ICMP_TIME_EXCEEDED);
		return;
	}
	if (info->len_bytes > w->view->mtu_bytes && info->dont_fragment) {
		drop_packet(w, p, sender, DROP_TOO_BIG);
		answer(w, sender, p, info, ICMP_TOO_BIG);
		return;
	}
	if (!relaxed_get(&owner->has_endpoint)) {
		drop_packet(w, p, owner, DROP_NO_ENDPOINT);
		answer(w, sender, p, info, ICMP_NO_ROUTE);
		return;
	}
	ip_decrement_ttl(inner(p));
	p->len_bytes = info->len_bytes;
	p->ecn = inner_ecn(p);
	pass(w, idx, sender, owner);
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
	if (route_is_peer(owner)) {
		to_peer(w, idx, sender, owner, &info);
	} else if (owner == ROUTE_SELF) {
		to_self(w, idx, sender, &info);
	} else if (owner == ROUTE_BROADCAST) {
		drop_packet(w, p, sender, DROP_BROADCAST);
	} else if (owner == ROUTE_PROBE) {
		drop_packet(w, p, sender, DROP_NO_ROUTE);
	} else if (w->view->deliver_unowned && w->view->has_tun) {
		if (may_pass(w, p, sender, NULL, &info))
			to_tun(w, idx, sender, &info);
	} else {
		drop_packet(w, p, sender, DROP_NO_ROUTE);
		answer(w, sender, p, &info, ICMP_NO_ROUTE);
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
		return;
	}
	if (is_own_outer(w, p, &info, owner)) {
		drop_packet(w, p, owner, DROP_ROUTING_LOOP);
		IGNORE_RESULT(
			worker_tell(w, EVENT_ROUTING_LOOP, owner, 0, NULL, 0)); /* only a report */
		return;
	}
	if (!relaxed_get(&owner->has_endpoint)) {
		drop_packet(w, p, owner, DROP_NO_ENDPOINT);
		return;
	}
	if (!may_pass(w, p, NULL, owner, &info))
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
