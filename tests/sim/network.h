/* network.h - a hub as people use it: two clients, two devices that nobody touched (stock), one
 * that takes packets from everybody (wide), and their hosts, which answer what they are asked. For
 * tests of who reaches whom.
 */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include "tests/lib/transport.h"
#include "tests/sim/star.h"

struct network {
	struct star star; /* only its hub and sim are used */
	struct sim *sim;
	struct sim_hub *hub, *client, *client2, *stock, *stock2, *wide;
	struct wgh_policy policy;
	uint16_t next_port;
};

static inline void network_group(
	struct network *n, struct sim_hub *peer, uint8_t group, enum wgh_nat nat)
{
	sim_change_peer(n->hub, peer,
		(struct wgh_peer_change){.flags = WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT,
			.group = group,
			.nat = (uint8_t)nat});
}

static inline void network_policy(struct network *n)
{
	const struct wgh_change change = {.flags = WGH_HAS_POLICY, .policy = &n->policy};

	SIM_MUST(!sim_apply(n->hub, &change));
}

/* What the hub is told: at its start, and again after a restart. */
static inline void network_configure(struct network *n)
{
	struct sim_hub *const peers[] = {n->client, n->client2, n->stock, n->stock2, n->wide};

	network_policy(n);
	for (unsigned i = 0; i < 5; i++) {
		sim_add_peer(n->hub, peers[i], false);
		network_group(n, peers[i], i < 2 ? WGH_GROUP_CLIENT : WGH_GROUP_DEVICE,
			i < 2 ? WGH_NAT_NEVER : WGH_NAT_AUTO);
	}
}

static inline struct network network_new(bool has_tun, unsigned n_workers, unsigned seed)
{
	struct network n = {.sim = sim_new(seed), .next_port = 20000};
	struct sim_hub **const edges[] = {&n.client, &n.client2, &n.stock, &n.stock2, &n.wide};
	struct wgh_addr any6 = {.family = WGH_IPV6};

	n.hub = sim_hub_new(n.sim, has_tun, n_workers);
	for (unsigned i = 0; i < 5; i++)
		*edges[i] = sim_hub_new(n.sim, true, 1);
	for (unsigned i = 0; i < n.sim->n_hubs; i++)
		n.sim->hubs[i]->pings_back = true;
	wgh_policy_defaults(&n.policy);
	n.policy.probe4 = sim_addr4(10, 0, 0, 250);
	n.policy.probe6 = (struct wgh_addr){.bytes = {[0] = 0xfd, [15] = 250}, .family = WGH_IPV6};
	network_configure(&n);
	for (unsigned i = 0; i < 5; i++) {
		struct sim_hub *edge = *edges[i];

		sim_add_peer(edge, n.hub, true); /* its allowed ips: the hub's addresses */
		if (edge != n.stock && edge != n.stock2) {
			sim_add_prefix(edge, n.hub, sim_prefix(sim_addr4(10, 0, 0, 0), 24));
			any6.bytes[0] = 0xfd;
			sim_add_prefix(edge, n.hub, sim_prefix(any6, 64));
		}
		sim_set_keepalive(edge, n.hub, 25);
	}
	return n;
}

static inline void network_free(struct network *n)
{
	for (unsigned i = 0; i < n->sim->n_hubs; i++)
		sim_check(n->sim->hubs[i]);
	sim_free(n->sim);
}

/* ---- hosts ---- */

static inline struct wgh_addr network_addr(const struct sim_hub *h, uint8_t family)
{
	return family == WGH_IPV4 ? h->inner4 : h->inner6;
}

static inline struct transport network_packet(struct sim_hub *from, uint16_t src_port,
	struct sim_hub *to, uint16_t dst_port, enum transport_kind kind, uint8_t family)
{
	return (struct transport){.kind = kind,
		.src = network_addr(from, family),
		.dst = network_addr(to, family),
		.src_port = src_port,
		.dst_port = kind == TRANSPORT_ECHO_REQUEST ? 0 : dst_port,
		.tcp_flags = TCP_SYN,
		.payload_seed = 3,
		.payload_bytes = kind == TRANSPORT_TCP ? 0 : 64};
}

static inline void network_send(struct network *n, struct sim_hub *from, const struct transport *t)
{
	uint8_t packet[TRANSPORT_BYTES_MAX];

	sim_tun_send(from, packet, transport_build(packet, t));
	sim_run(n->sim, 2 * STAR_WAY_NS);
}

/* The oldest packet that came out of the TUN, as what was said; its checksums are right. False:
 * none, or an ICMP error. */
static inline bool network_take(struct sim_hub *h, struct transport *t)
{
	uint8_t packet[SIM_PACKET_BYTES_MAX], right[SIM_PACKET_BYTES_MAX];
	const uint32_t len = sim_take(h, packet);
	const uint8_t *l4;
	struct ip_info info;

	if (!len)
		return false;
	SIM_MUST(!ip_parse(&info, packet, len));
	memcpy(right, packet, len);
	transport_checksums_set(right, len);
	SIM_MUST(!memcmp(right, packet, len));
	l4 = packet + info.l4_offset;
	*t = (struct transport){.src = info.src, .dst = info.dst};
	if (info.proto == IP_PROTO_ICMP || info.proto == IP_PROTO_ICMPV6) {
		const bool reply = l4[0] == 0 || l4[0] == 129;

		t->kind = reply ? TRANSPORT_ECHO_REPLY : TRANSPORT_ECHO_REQUEST;
		*(reply ? &t->dst_port : &t->src_port) = (uint16_t)(l4[4] << 8 | l4[5]);
		return reply || l4[0] == 8 || l4[0] == 128;
	}
	t->kind = info.proto == IP_PROTO_TCP ? TRANSPORT_TCP : TRANSPORT_UDP;
	t->src_port = (uint16_t)(l4[0] << 8 | l4[1]);
	t->dst_port = (uint16_t)(l4[2] << 8 | l4[3]);
	t->tcp_flags = t->kind == TRANSPORT_TCP ? l4[13] : 0;
	return true;
}

/* What the host says to that. */
static inline struct transport network_answer(const struct transport *heard)
{
	struct transport t = transport_reverse(heard);

	if (t.kind == TRANSPORT_TCP)
		t.tcp_flags = heard->tcp_flags == TCP_SYN ? TCP_SYN | TCP_ACK : TCP_ACK;
	return t;
}

/* From asks, to's host answers if it hears it, and the answer comes back to where it was asked
 * from, and from where that looked. Without a TUN the hub itself answers pings. */
static inline bool network_reaches(struct network *n, struct sim_hub *from, struct sim_hub *to,
	enum transport_kind kind, uint8_t family)
{
	const uint16_t port = n->next_port++;
	const struct transport t = network_packet(from, port, to, 22, kind, family);
	struct transport heard, answer;

	sim_forget_inbox(from);
	sim_forget_inbox(to);
	network_send(n, from, &t);
	if (network_take(to, &heard)) {
		SIM_MUST(heard.kind == kind && wgh_addr_equal(&heard.dst, &t.dst));
		answer = network_answer(&heard);
		network_send(n, to, &answer);
	}
	return network_take(from, &heard) && wgh_addr_equal(&heard.src, &t.dst) &&
		heard.dst_port == port && !(heard.tcp_flags & TCP_RST);
}

#endif
