/* epoll.c - a hub on an epoll loop of one's own: one UDP socket, one thread, time by epoll_wait()'s
 * timeout. Peers reach each other and can ping the hub; it has no TUN and needs no privilege.
 *
 *   cc epoll.c $(pkg-config --cflags --libs wghub) -o epoll
 *   ./epoll PORT OWN-ADDRESS <config          the hub's private key, then lines: PUBLIC-KEY ADDRESS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <wghub.h>

#define BATCH 64
#define ROOM 2048

static struct wgh_hub *hub;
static int udp;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "epoll: %s: %s\n", what, why);
	exit(1);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* IPv4 only, to be short. */
static void send_all(const struct wgh_output *out)
{
	for (size_t i = 0; i < out->n_bursts; i++) {
		const struct wgh_burst *burst = &out->bursts[i];
		struct sockaddr_in to = {
			.sin_family = AF_INET, .sin_port = htons(burst->endpoint.port)};

		memcpy(&to.sin_addr, burst->endpoint.addr, 4);
		for (uint32_t k = 0; k < burst->n_packets; k++)
			if (sendto(udp, burst->packets[k].data, burst->packets[k].len_bytes, 0,
				    (struct sockaddr *)&to, sizeof to) < 0)
				perror("epoll: sendto"); /* lost, as on any network */
	}
}

static void receive(void)
{
	static uint8_t memory[BATCH][ROOM];
	struct wgh_packet packets[BATCH];
	struct wgh_burst bursts[BATCH] = {0};
	struct wgh_output out;
	size_t n = 0;

	for (; n < BATCH; n++) {
		struct sockaddr_in from;
		socklen_t from_bytes = sizeof from;
		ssize_t len = recvfrom(
			udp, memory[n], ROOM, MSG_DONTWAIT, (struct sockaddr *)&from, &from_bytes);

		if (len < 0)
			break;
		packets[n] = (struct wgh_packet){.data = memory[n], .len_bytes = (uint32_t)len};
		bursts[n].packets = &packets[n];
		bursts[n].n_packets = 1;
		bursts[n].endpoint.family = WGH_IPV4;
		bursts[n].endpoint.port = ntohs(from.sin_port);
		memcpy(bursts[n].endpoint.addr, &from.sin_addr, 4);
	}
	if (!wgh_hub_input_udp(hub, bursts, n, clock_ns(CLOCK_BOOTTIME), &out))
		send_all(&out);
}

static void report(void)
{
	struct wgh_event events[16];
	size_t n = wgh_hub_events(hub, events, 16, clock_ns(CLOCK_BOOTTIME));
	char key[WGH_KEY_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		wgh_key_to_text(key, events[i].peer.bytes);
		if (events[i].kind == WGH_EVENT_HANDSHAKE)
			printf("session with %s\n", key);
		else if (events[i].kind == WGH_EVENT_DROPS)
			printf("%llu dropped: %s\n", (unsigned long long)events[i].n_drops,
				wgh_drop_reason(events[i].drop_reason)->text);
	}
	fflush(stdout);
}

/* In milliseconds, as epoll_wait() wants it. What is due is done first. */
static int until_deadline(void)
{
	struct wgh_output out;
	uint64_t now_ns, next_ns;

	for (;;) {
		now_ns = clock_ns(CLOCK_BOOTTIME);
		next_ns = wgh_hub_next_deadline(hub);
		if (next_ns > now_ns)
			break;
		wgh_hub_tick(hub, now_ns, (int64_t)clock_ns(CLOCK_REALTIME), &out);
		send_all(&out);
	}
	report();
	return next_ns == WGH_NEVER ? -1 : (int)((next_ns - now_ns) / 1000000 + 1);
}

static void configure(FILE *config)
{
	char key[64], address[64];
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};
	struct wgh_error error;

	if (fscanf(config, "%63s", key) != 1 || !wgh_key_from_text(change.private_key, key))
		die("config", "no private key in the first line");
	do {
		struct wgh_peer_change peer = {.flags = 0};
		struct wgh_allowed_ip ip = {.prefix = {.bits = 32}};
		int n = fscanf(config, "%63s %63s", key, address);

		change.n_peers = n == 2;
		change.peers = &peer;
		ip.prefix.addr.family = WGH_IPV4;
		peer.allowed_ips = &ip;
		peer.n_allowed_ips = 1;
		if (n == 2 &&
			(!wgh_key_from_text(peer.public_key.bytes, key) ||
				inet_pton(AF_INET, address, ip.prefix.addr.bytes) != 1))
			die(key, "not a line of PUBLIC-KEY ADDRESS");
		if (wgh_hub_apply(hub, &change, clock_ns(CLOCK_BOOTTIME), &error))
			die(key, error.text);
	} while (change.n_peers);
}

int main(int argc, char **argv)
{
	struct wgh_prefix own = {.addr = {.family = WGH_IPV4}, .bits = 24};
	struct wgh_hub_options options = {.size = sizeof options,
		.memory_bytes = 16u << 20,
		.addresses = &own,
		.n_addresses = 1};
	struct sockaddr_in any = {.sin_family = AF_INET};
	struct epoll_event event = {.events = EPOLLIN};
	struct wgh_error error;
	int loop = epoll_create1(0);

	if (argc != 3 || inet_pton(AF_INET, argv[2], own.addr.bytes) != 1)
		die("usage", "epoll PORT OWN-ADDRESS <config");
	if (wgh_hub_new(&hub, &options, &error))
		die("hub", error.text);
	configure(stdin);
	any.sin_port = htons((uint16_t)atoi(argv[1]));
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (udp < 0 || bind(udp, (struct sockaddr *)&any, sizeof any) ||
		epoll_ctl(loop, EPOLL_CTL_ADD, udp, &event))
		die("socket", strerror(errno));
	for (;;)
		if (epoll_wait(loop, &event, 1, until_deadline()) > 0)
			receive();
}
