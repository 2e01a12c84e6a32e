/* net.c - see net.h. Each datagram is a heap block of its exact size, so that a sanitizer sees a
 * byte too far. */
#include "tests/lib/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL_START_NS (INT64_C(1700000000) * INT64_C(1000000000))
#define GIVE_MAX 64

void net_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	abort();
}

void net_init(struct net *net)
{
	memset(net, 0, sizeof *net);
	net->now_ns = NET_SECOND;
	for (uint8_t i = 0; i < NET_NODES; i++) {
		struct net_node *node = &net->nodes[i];

		node->outer = (struct wgh_endpoint){
			.addr = {192, 0, 2, (uint8_t)(i + 1)}, .port = 51820, .family = WGH_IPV4};
		node->inner = (struct wgh_addr){
			.bytes = {10, 0, 0, (uint8_t)(i + 1)}, .family = WGH_IPV4};
		NET_MUST(!wgh_key_new(node->private_key));
		NET_MUST(wgh_key_public(&node->public_key, node->private_key));
	}
}

void net_fini(struct net *net)
{
	for (unsigned i = 0; i < NET_NODES; i++)
		wgh_hub_free(net->nodes[i].hub);
	while (net->first) {
		struct net_datagram *next = net->first->next;

		free(net->first);
		net->first = next;
	}
}

void net_hub_new(struct net *net, unsigned n, struct wgh_hub_options options)
{
	const struct wgh_prefix own = {.addr = net->nodes[n].inner, .bits = 24};
	struct wgh_error error = {{0}};

	if (!options.size)
		options.size = sizeof options;
	if (!options.n_addresses) {
		options.addresses = &own;
		options.n_addresses = 1;
		options.has_tun = true;
	}
	if (wgh_hub_new(&net->nodes[n].hub, &options, &error))
		net_fail(__FILE__, __LINE__, error.text);
}

void net_peer(struct net *net, unsigned a, unsigned b, uint8_t bits)
{
	const struct wgh_allowed_ip ip = {.prefix = {.addr = net->nodes[b].inner, .bits = bits}};
	const struct wgh_peer_change peer = {.public_key = net->nodes[b].public_key,
		.flags = WGH_PEER_HAS_ENDPOINT | WGH_PEER_HAS_TAG,
		.endpoint = net->nodes[b].outer,
		.allowed_ips = &ip,
		.n_allowed_ips = 1,
		.tag = 100 + b};
	struct wgh_change change = {
		.flags = WGH_HAS_PRIVATE_KEY | WGH_STRICT, .peers = &peer, .n_peers = 1};

	memcpy(change.private_key, net->nodes[a].private_key, sizeof change.private_key);
	NET_MUST(!wgh_hub_apply(net->nodes[a].hub, &change, net->now_ns, NULL));
}

void net_star(struct net *net)
{
	for (unsigned i = 1; i < NET_NODES; i++) {
		net_peer(net, 0, i, 32);
		net_peer(net, i, 0, 24);
	}
}

/* ---- packets ---- */

static void write_packet(
	uint8_t *ip, uint32_t len_bytes, const struct wgh_addr *from, const struct wgh_addr *to)
{
	uint32_t sum = 0;

	NET_MUST(len_bytes >= 28 && len_bytes < 65536);
	memset(ip, 0, len_bytes);
	ip[0] = 0x45;
	ip[2] = (uint8_t)(len_bytes >> 8);
	ip[3] = (uint8_t)len_bytes;
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, from->bytes, 4);
	memcpy(ip + 16, to->bytes, 4);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = ~((sum & 0xffff) + (sum >> 16));
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
	ip[21] = ip[23] = 7; /* ports; no checksum */
	ip[24] = (uint8_t)((len_bytes - 20) >> 8);
	ip[25] = (uint8_t)(len_bytes - 20);
}

void net_give(struct net *net, unsigned from, unsigned to, uint32_t len_bytes, unsigned n)
{
	const size_t stride = WGH_HEADROOM_BYTES + len_bytes + WGH_TAILROOM_BYTES;
	struct wgh_packet packets[GIVE_MAX] = {0};
	struct wgh_output output;
	uint8_t *room = malloc(stride * n);

	NET_MUST(room && n <= GIVE_MAX);
	for (unsigned i = 0; i < n; i++) {
		packets[i].data = room + i * stride + WGH_HEADROOM_BYTES;
		packets[i].len_bytes = len_bytes;
		write_packet(
			packets[i].data, len_bytes, &net->nodes[from].inner, &net->nodes[to].inner);
	}
	NET_MUST(!wgh_hub_input_tun(net->nodes[from].hub, packets, n, net->now_ns, &output));
	net_carry_out(net, from, &output);
	free(room);
}

static void send_one(struct net *net, unsigned from, const struct wgh_endpoint *to,
	const struct wgh_packet *packet)
{
	struct net_datagram *d;

	net->nodes[from].n_sent++;
	if (net->lost)
		return;
	d = malloc(sizeof *d + packet->len_bytes);
	NET_MUST(d);
	d->next = NULL;
	d->from = from;
	d->to = *to;
	d->len_bytes = packet->len_bytes;
	memcpy(d->bytes, packet->data, packet->len_bytes);
	if (net->last)
		net->last->next = d;
	else
		net->first = d;
	net->last = d;
}

void net_carry_out(struct net *net, unsigned node, const struct wgh_output *output)
{
	for (size_t i = 0; i < output->n_bursts; i++)
		for (uint32_t k = 0; k < output->bursts[i].n_packets; k++)
			send_one(net, node, &output->bursts[i].endpoint,
				&output->bursts[i].packets[k]);
	net->nodes[node].n_delivered += output->n_packets;
}

/* ---- time ---- */

static void tick(struct net *net, unsigned n)
{
	struct wgh_hub *hub = net->nodes[n].hub;
	struct wgh_output output;

	while (hub && wgh_hub_next_deadline(hub) <= net->now_ns) {
		wgh_hub_tick(hub, net->now_ns, WALL_START_NS + (int64_t)net->now_ns, &output);
		net_carry_out(net, n, &output);
	}
}

static void arrive(struct net *net, struct net_datagram *d)
{
	const unsigned to = d->to.addr[3] - 1u;
	struct wgh_packet packet = {.data = d->bytes, .len_bytes = d->len_bytes};
	struct wgh_burst burst = {net->nodes[d->from].outer, &packet, 1};
	struct wgh_output output;

	if (to >= NET_NODES || !net->nodes[to].hub)
		return;
	NET_MUST(!wgh_hub_input_udp(net->nodes[to].hub, &burst, 1, net->now_ns, &output));
	net_carry_out(net, to, &output);
	tick(net, to);
}

void net_run(struct net *net)
{
	for (unsigned i = 0; i < NET_NODES; i++)
		tick(net, i);
	while (net->first) {
		struct net_datagram *d = net->first;

		net->first = d->next;
		if (!net->first)
			net->last = NULL;
		arrive(net, d);
		free(d);
	}
}

void net_advance(struct net *net, uint64_t by_ns)
{
	const uint64_t until_ns = net->now_ns + by_ns;

	for (;;) {
		uint64_t next_ns = until_ns;

		net_run(net);
		for (unsigned i = 0; i < NET_NODES; i++) {
			uint64_t deadline_ns = net->nodes[i].hub
				? wgh_hub_next_deadline(net->nodes[i].hub)
				: WGH_NEVER;

			if (deadline_ns < next_ns)
				next_ns = deadline_ns;
		}
		if (next_ns > net->now_ns)
			net->now_ns = next_ns;
		if (net->now_ns == until_ns)
			break;
	}
	net_run(net);
}
