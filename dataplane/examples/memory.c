/* memory.c - a hub and two peers in one process, without a socket: all that a WireGuard hub does,
 * in memory and on a clock of its own. The peers are hubs too, each with the hub as its only peer.
 *
 *   cc memory.c $(pkg-config --cflags --libs wghub) -o memory && ./memory
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wghub.h>

#define NOW_NS UINT64_C(1000000000) /* time stands still: nothing here is due later */
#define WIRE_ROOM 64

struct node {
	struct wgh_hub *hub;
	uint8_t private_key[WGH_KEY_BYTES];
	struct wgh_public_key public_key;
	struct wgh_endpoint outer; /* 192.0.2.N port 51820 */
	struct wgh_addr inner; /* 10.0.0.N */
};

struct datagram {
	const struct node *from;
	struct wgh_endpoint to;
	uint32_t len_bytes;
	uint8_t bytes[1600];
};

static struct node nodes[3]; /* the hub, ann, ben */
static struct datagram wire[WIRE_ROOM]; /* datagrams on their way */
static unsigned n_sent, n_arrived, n_delivered;

static void must(int err)
{
	if (!err)
		return;
	fprintf(stderr, "memory: %s\n", wgh_strerror(err));
	exit(1);
}

/* What a call left to do: it is sent and delivered before the next call for that hub. */
static void carry_out(const struct node *node, const struct wgh_output *out)
{
	for (size_t i = 0; i < out->n_bursts; i++)
		for (uint32_t k = 0; k < out->bursts[i].n_packets; k++) {
			const struct wgh_packet *packet = &out->bursts[i].packets[k];
			struct datagram *d = &wire[n_sent++ % WIRE_ROOM];

			*d = (struct datagram){
				node, out->bursts[i].endpoint, packet->len_bytes, {0}};
			memcpy(d->bytes, packet->data, packet->len_bytes);
		}
	for (size_t i = 0; i < out->n_packets; i++, n_delivered++)
		printf("10.0.0.%u hears: %s\n", node->inner.bytes[3], out->packets[i].data + 28);
}

static void tick_if_due(struct node *node)
{
	struct wgh_output out;

	while (wgh_hub_next_deadline(node->hub) <= NOW_NS) {
		wgh_hub_tick(node->hub, NOW_NS, INT64_C(1700000000000000000), &out);
		carry_out(node, &out);
	}
}

/* Until all is quiet. */
static void run(void)
{
	for (int i = 0; i < 3; i++)
		tick_if_due(&nodes[i]);
	while (n_arrived < n_sent) {
		struct datagram *d = &wire[n_arrived++ % WIRE_ROOM];
		struct node *to = &nodes[d->to.addr[3] - 1];
		struct wgh_packet packet = {.data = d->bytes, .len_bytes = d->len_bytes};
		struct wgh_burst burst = {d->from->outer, &packet, 1};
		struct wgh_output out;

		must(wgh_hub_input_udp(to->hub, &burst, 1, NOW_NS, &out));
		carry_out(to, &out);
		tick_if_due(to);
	}
}

/* An IPv4 packet of UDP, port 7 to port 7, without a checksum of its own. */
static void say(const struct node *from, const struct node *to, const char *text)
{
	uint8_t room[WGH_HEADROOM_BYTES + 128 + WGH_TAILROOM_BYTES] = {0};
	uint8_t *ip = room + WGH_HEADROOM_BYTES, len = (uint8_t)(28 + strlen(text) + 1);
	struct wgh_packet packet = {.data = ip, .len_bytes = len};
	struct wgh_output out;
	uint32_t sum = 0;

	memcpy(ip, (uint8_t[]){0x45, 0, 0, len, 0, 0, 0, 0, 64, 17}, 10);
	memcpy(ip + 12, from->inner.bytes, 4);
	memcpy(ip + 16, to->inner.bytes, 4);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = ~((sum & 0xffff) + (sum >> 16));
	memcpy(ip + 10, (uint8_t[]){(uint8_t)(sum >> 8), (uint8_t)sum}, 2);
	memcpy(ip + 20, (uint8_t[]){0, 7, 0, 7, 0, (uint8_t)(len - 20)}, 6);
	memcpy(ip + 28, text, strlen(text));
	must(wgh_hub_input_tun(from->hub, &packet, 1, NOW_NS, &out));
	carry_out(from, &out);
	run();
}

/* The hub knows a peer by one address (32 bits); to a peer, the hub is the whole network. */
static void add_peer(struct node *node, const struct node *peer, uint8_t bits)
{
	const struct wgh_allowed_ip ip = {.prefix = {peer->inner, bits}};
	const struct wgh_peer_change added = {.public_key = peer->public_key,
		.flags = WGH_PEER_HAS_ENDPOINT,
		.endpoint = peer->outer,
		.allowed_ips = &ip,
		.n_allowed_ips = 1};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY, .peers = &added, .n_peers = 1};

	memcpy(change.private_key, node->private_key, WGH_KEY_BYTES);
	must(wgh_hub_apply(node->hub, &change, NOW_NS, NULL));
}

int main(void)
{
	for (uint8_t i = 0; i < 3; i++) {
		struct wgh_prefix own = {{{10, 0, 0, (uint8_t)(i + 1)}, WGH_IPV4}, 24};
		struct wgh_hub_options options = {.size = sizeof options, .has_tun = true};

		options.addresses = &own;
		options.n_addresses = 1;
		nodes[i].inner = own.addr;
		nodes[i].outer =
			(struct wgh_endpoint){{192, 0, 2, (uint8_t)(i + 1)}, .port = 51820};
		nodes[i].outer.family = WGH_IPV4;
		must(wgh_hub_new(&nodes[i].hub, &options, NULL));
		must(wgh_key_new(nodes[i].private_key));
		wgh_key_public(&nodes[i].public_key, nodes[i].private_key);
	}
	for (int i = 1; i < 3; i++) {
		add_peer(&nodes[0], &nodes[i], 32);
		add_peer(&nodes[i], &nodes[0], 24);
	}
	say(&nodes[1], &nodes[2], "hello, this is ann");
	say(&nodes[2], &nodes[1], "hello, this is ben");
	for (int i = 0; i < 3; i++)
		wgh_hub_free(nodes[i].hub);
	return n_delivered == 2 ? 0 : 1;
}
