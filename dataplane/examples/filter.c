/* filter.c - a policy of one's own in a running hub: a function that sees every packet between two
 * ends, with the numbers (tags) that the program gave its peers. Here peers of tag 1 (engineers)
 * may ping peers of tag 2 (devices) and use their port 22; whatever else passes between peers is
 * refused.
 *
 *   cc filter.c $(pkg-config --cflags --libs wghub) -o filter
 *   ./filter PORT OWN-ADDRESS <config     the hub's private key, then lines: PUBLIC-KEY ADDRESS TAG
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wghub_device.h>

enum { ENGINEER = 1, DEVICE = 2 };

static void die(const char *what, const char *why)
{
	fprintf(stderr, "filter: %s: %s\n", what, why);
	exit(1);
}

/* IPv4 only, to be short. The header was checked before; ports and ICMP types were not. */
static bool may_pass(const struct wgh_filter_packet *p)
{
	const uint8_t *ip = p->packet, *l4 = ip + (ip[0] & 15) * 4;
	const bool first_fragment = !(ip[6] & 0x1f) && !ip[7];
	const bool to_device = p->from_tag == ENGINEER && p->to_tag == DEVICE;
	const bool from_device = p->from_tag == DEVICE && p->to_tag == ENGINEER;

	if (ip[0] >> 4 != 4 || !first_fragment || l4 + 4 > p->packet + p->len_bytes)
		return false;
	switch (ip[9]) {
	case 1: /* ICMP: echo request, echo reply */
		return (to_device && l4[0] == 8) || (from_device && l4[0] == 0);
	case 6: /* TCP: to and from port 22 */
		return (to_device && l4[2] == 0 && l4[3] == 22) ||
			(from_device && l4[0] == 0 && l4[1] == 22);
	default:
		return false;
	}
}

/* In the device's worker threads, several at a time: it touches nothing that others write. */
static void filter(void *arg, struct wgh_filter_packet *packets, size_t n)
{
	(void)arg;
	for (size_t i = 0; i < n; i++) /* NULL: the hub itself, which everybody may ping */
		packets[i].drop = packets[i].from && packets[i].to && !may_pass(&packets[i]);
}

static void configure(struct wgh_device *device, uint16_t port, FILE *config)
{
	char key[64], address[64];
	struct wgh_change change = {
		.flags = WGH_HAS_PRIVATE_KEY | WGH_HAS_LISTEN_PORT, .listen_port = port};
	struct wgh_error error;

	if (fscanf(config, "%63s", key) != 1 || !wgh_key_from_text(change.private_key, key))
		die("config", "no private key in the first line");
	do {
		struct wgh_peer_change peer = {.flags = WGH_PEER_HAS_TAG};
		struct wgh_allowed_ip ip = {.prefix = {.bits = 32}};
		int n = fscanf(config, "%63s %63s %" SCNu64, key, address, &peer.tag);

		change.n_peers = n == 3;
		change.peers = &peer;
		ip.prefix.addr.family = WGH_IPV4;
		peer.allowed_ips = &ip;
		peer.n_allowed_ips = 1;
		if (n == 3 &&
			(!wgh_key_from_text(peer.public_key.bytes, key) ||
				inet_pton(AF_INET, address, ip.prefix.addr.bytes) != 1))
			die(key, "not a line of PUBLIC-KEY ADDRESS TAG");
		if (wgh_device_apply(device, &change, &error))
			die(key, error.text);
	} while (change.n_peers);
}

static unsigned reason_named(const char *name)
{
	unsigned reason = 0;

	while (strcmp(wgh_drop_reason(reason)->name, name))
		reason++;
	return reason;
}

int main(int argc, char **argv)
{
	const unsigned refused = reason_named("filter");
	struct wgh_prefix own = {.addr = {.family = WGH_IPV4}, .bits = 24};
	struct wgh_device_options options = {.size = sizeof options,
		.ifname = "filter",
		.tun_fd = -1,
		.no_tun = true,
		.addresses = &own,
		.n_addresses = 1,
		.filter = filter};
	uint64_t drops[128] = {0}, told = 0;
	struct wgh_stats stats = {.size = sizeof stats, .drops = drops, .n_drops = 128};
	struct wgh_device *device;
	struct wgh_error error;

	if (argc != 3 || inet_pton(AF_INET, argv[2], own.addr.bytes) != 1)
		die("usage", "filter PORT OWN-ADDRESS <config");
	if (wgh_device_new(&device, NULL, &options, &error))
		die("device", error.text);
	configure(device, (uint16_t)atoi(argv[1]), stdin);
	for (;; usleep(100000)) {
		if (wgh_device_stats(device, &stats) || drops[refused] == told)
			continue;
		told = drops[refused];
		printf("refused so far: %" PRIu64 "\n", told);
		fflush(stdout);
	}
}
