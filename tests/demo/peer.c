/* peer.c - one WireGuard peer of a hub on loopback, in one process without TUN and without
 * privileges: for the demonstration of somebody who is not root, where wireguard-go cannot run.
 *
 *   peer KEYFILE HUB-PUBLIC-KEY HUB-PORT OWN-ADDRESS                     answers echo requests
 *   peer KEYFILE HUB-PUBLIC-KEY HUB-PORT OWN-ADDRESS ping ADDRESS COUNT  prints the answers
 *
 * The protocol is the core's own, so this shows that a hub runs, not that it speaks WireGuard: that
 * is what tests/demo/demo.sh and tests/interop are for. Addresses are IPv4. Exit: 0, 1 if an answer
 * is missing, 2 for a wrong command line.
 */
#include "core/be.h"
#include "core/hub.h"
#include "core/worker.h"
#include "crypto/key_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PING_BYTES 84
#define PING_TIMEOUT_NS (10 * NS_PER_S) /* a lost handshake is repeated after five */
#define PING_INTERVAL_NS (200 * NS_PER_MS)
#define PING_REPEAT_NS (1 * NS_PER_S)

struct local_peer {
	struct hub *hub; /* the core calls everything a hub, also a peer with one peer */
	int fd; /* connected to the hub that is tested */
	struct wgh_endpoint remote;
	struct in_addr self, target;
	unsigned n_wanted, n_sent, n_answered;
	bool waiting; /* for the answer to the last one sent */
	uint64_t sent_ns, answered_ns;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- what the core calls ---- */

static void on_random(void *arg, void *out, size_t len_bytes)
{
	(void)arg;
	secret_random(out, len_bytes);
}

static void on_send(
	void *arg, const struct wgh_endpoint *to, const void *data, uint32_t len_bytes, uint8_t tos)
{
	struct local_peer *p = arg;

	(void)to;
	(void)tos;
	/* A refused datagram is a lost one: the hub may not listen yet. */
	IGNORE_RESULT(send(p->fd, data, len_bytes, 0) < 0);
}

/* ---- echo requests ---- */

static uint16_t checksum(const uint8_t *p, size_t len_bytes)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len_bytes; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void carry_out(struct local_peer *p, const struct worker_output *out);

static void ping_send(struct local_peer *p, uint64_t now_ns)
{
	uint8_t buffer[WGH_HEADROOM_BYTES + PING_BYTES + WGH_TAILROOM_BYTES] = {0};
	uint8_t *ip = buffer + WGH_HEADROOM_BYTES, *icmp = ip + 20;

	memcpy(ip, (uint8_t[]){0x45, 0, 0, PING_BYTES, 0, 0, 0, 0, 64, IPPROTO_ICMP}, 10);
	memcpy(ip + 12, &p->self, 4);
	memcpy(ip + 16, &p->target, 4);
	be16_put(ip + 10, checksum(ip, 20));
	icmp[0] = 8; /* echo request, RFC 792 */
	be16_put(icmp + 6, (uint16_t)++p->n_sent);
	be16_put(icmp + 2, checksum(icmp, PING_BYTES - 20));
	p->sent_ns = now_ns;
	p->waiting = true;
	carry_out(p,
		worker_input_tun(p->hub->workers[0],
			&(struct wgh_packet){.data = ip, .len_bytes = PING_BYTES}, 1, now_ns));
}

static void packet_arrived(struct local_peer *p, const struct wgh_packet *packet)
{
	const uint8_t *ip = packet->data, *icmp = ip + 20;

	if (packet->len_bytes != PING_BYTES || ip[0] != 0x45 || ip[9] != IPPROTO_ICMP ||
		icmp[0] != 0 || memcmp(ip + 12, &p->target, 4) ||
		(icmp[6] << 8 | icmp[7]) != (int)p->n_sent || !p->waiting)
		return;
	p->waiting = false;
	p->n_answered++;
	p->answered_ns = clock_ns(CLOCK_BOOTTIME);
	printf("%u bytes from %s: icmp_seq=%u ttl=%u time=%.3f ms\n", PING_BYTES - 20,
		inet_ntoa(p->target), p->n_sent, ip[8],
		(double)(p->answered_ns - p->sent_ns) / 1e6);
}

/* ---- the loop ---- */

static void carry_out(struct local_peer *p, const struct worker_output *out)
{
	for (size_t i = 0; i < out->n_bursts; i++)
		for (uint32_t k = 0; k < out->bursts[i].n_packets; k++)
			on_send(p, NULL, out->bursts[i].packets[k].data,
				out->bursts[i].packets[k].len_bytes, 0);
	for (size_t i = 0; i < out->n_to_tun; i++)
		packet_arrived(p, &out->to_tun[i]);
}

static uint64_t receive(struct local_peer *p)
{
	uint8_t buffer[2048];
	ssize_t n;

	while ((n = recv(p->fd, buffer, sizeof buffer, MSG_DONTWAIT)) >= 0) {
		struct wgh_packet packet = {.data = buffer, .len_bytes = (uint32_t)n};
		struct wgh_burst burst = {
			.endpoint = p->remote, .packets = &packet, .n_packets = 1};

		carry_out(p,
			worker_input_udp(p->hub->workers[0], &burst, 1, clock_ns(CLOCK_BOOTTIME)));
	}
	const uint64_t next_ns =
		hub_run(p->hub, clock_ns(CLOCK_BOOTTIME), (int64_t)clock_ns(CLOCK_REALTIME));

	hub_free_retired(p->hub, hub_take_retired(p->hub)); /* one thread: nobody reads them */
	return next_ns;
}

static int peer_run(struct local_peer *p)
{
	for (;;) {
		const uint64_t now_ns = clock_ns(CLOCK_BOOTTIME);

		if (p->n_wanted && p->n_answered == p->n_wanted)
			return 0;
		if (p->n_wanted &&
			time_reached(now_ns,
				p->sent_ns + (p->waiting ? PING_REPEAT_NS : PING_INTERVAL_NS)))
			ping_send(p, now_ns);
		if (p->n_wanted && time_reached(now_ns, p->answered_ns + PING_TIMEOUT_NS)) {
			fprintf(stderr, "peer: no answer from %s within %u s\n",
				inet_ntoa(p->target), (unsigned)(PING_TIMEOUT_NS / NS_PER_S));
			return 1;
		}
		const uint64_t next_ns = time_earlier(receive(p), now_ns + PING_INTERVAL_NS / 4);
		struct pollfd fd = {.fd = p->fd, .events = POLLIN};

		if (poll(&fd, 1, next_ns > now_ns ? (int)((next_ns - now_ns) / NS_PER_MS) : 0) < 0)
			die("poll");
	}
}

/* ---- setting up ---- */

static void read_key(uint8_t key[32], const char *path)
{
	char text[KEY_BASE64_CHARS];
	FILE *f = fopen(path, "r");

	if (!f || fread(text, 1, sizeof text, f) != sizeof text)
		die(path);
	fclose(f);
	if (!key_from_base64(key, text, sizeof text)) {
		errno = EINVAL;
		die(path);
	}
	secret_wipe(text, sizeof text);
}

static void open_socket(struct local_peer *p, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	p->remote = (struct wgh_endpoint){.addr = {127, 0, 0, 1}, .port = port, .family = WGH_IPV4};
	p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&to, sizeof to))
		die("socket");
}

static void configure(struct local_peer *p, const char *key_path, const struct wgh_public_key *hub)
{
	struct wgh_allowed_ip all = {.prefix = {.addr = {.family = WGH_IPV4}, .bits = 0}};
	struct wgh_peer_change peer = {.public_key = *hub,
		.flags = WGH_PEER_HAS_ENDPOINT | WGH_PEER_HAS_KEEPALIVE,
		.endpoint = p->remote,
		.keepalive_s = 25,
		.allowed_ips = &all,
		.n_allowed_ips = 1};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY, .peers = &peer, .n_peers = 1};
	struct wgh_prefix self = {.addr = {.family = WGH_IPV4}, .bits = 32};
	struct wgh_error error = {"no memory"};

	memcpy(self.addr.bytes, &p->self, 4);
	read_key(change.private_key, key_path);
	if (hub_set_addresses(p->hub, &self, 1) ||
		hub_apply(p->hub, &change, clock_ns(CLOCK_BOOTTIME), &error)) {
		fprintf(stderr, "peer: %s\n", error.text);
		exit(1);
	}
	secret_wipe(&change, sizeof change);
	hub_set_up(p->hub, true, clock_ns(CLOCK_BOOTTIME));
}

int main(int argc, char **argv)
{
	struct local_peer p = {0};
	struct wgh_public_key hub_key;
	bool ping = argc == 8 && !strcmp(argv[5], "ping");
	int err;

	if ((argc != 5 && !ping) || !key_from_base64(hub_key.bytes, argv[2], strlen(argv[2])) ||
		!inet_aton(argv[4], &p.self) || (ping && !inet_aton(argv[6], &p.target))) {
		fprintf(stderr,
			"usage: peer KEYFILE HUB-PUBLIC-KEY HUB-PORT OWN-ADDRESS "
			"[ping ADDRESS COUNT]\n");
		return 2;
	}
	p.n_wanted = ping ? (unsigned)atoi(argv[7]) : 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* Without a TUN the core answers echo requests by itself; the one who pings wants to see
	 * what arrives. */
	if (secret_init() ||
		hub_new(&p.hub,
			&(struct hub_options){.n_workers = 1,
				.has_tun = ping,
				.random = on_random,
				.send = on_send,
				.arg = &p}))
		die("hub_new");
	open_socket(&p, (uint16_t)atoi(argv[3]));
	configure(&p, argv[1], &hub_key);
	p.answered_ns = clock_ns(CLOCK_BOOTTIME);
	err = peer_run(&p);
	hub_free(p.hub);
	close(p.fd);
	return err;
}
