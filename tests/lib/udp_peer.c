/* udp_peer.c - see udp_peer.h. */
#include "tests/lib/udp_peer.h"

#include "core/worker.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	assert_int_equal(clock_gettime(id, &t), 0);
	return (int64_t)t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
}

static uint64_t now_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_BOOTTIME);
}

static void on_random(void *arg, void *out, size_t len_bytes)
{
	(void)arg;
	secret_random(out, len_bytes);
}

static void on_send(
	void *arg, const struct wgh_endpoint *to, const void *data, uint32_t len_bytes, uint8_t tos)
{
	struct udp_peer *p = arg;
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(to->port)};

	(void)tos;
	memcpy(&sin.sin_addr, to->addr, 4);
	/* The hub may be down just now: then the datagram is lost, as on any network. */
	(void)!sendto(p->fd, data, len_bytes, 0, (struct sockaddr *)&sin, sizeof sin);
}

static void bind_any(struct udp_peer *p)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof sin;

	p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(p->fd >= 0);
	assert_int_equal(bind(p->fd, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(getsockname(p->fd, (struct sockaddr *)&sin, &len), 0);
	p->port = ntohs(sin.sin_port);
}

static void run_control(struct udp_peer *p)
{
	(void)hub_run(p->hub, now_ns(), clock_ns(CLOCK_REALTIME));
	hub_free_retired(p->hub, hub_take_retired(p->hub)); /* no worker is inside a batch */
}

static void emit(struct udp_peer *p, const struct worker_output *out)
{
	for (size_t b = 0; b < out->n_bursts; b++)
		for (uint32_t i = 0; i < out->bursts[b].n_packets; i++)
			on_send(p, &out->bursts[b].endpoint, out->bursts[b].packets[i].data,
				out->bursts[b].packets[i].len_bytes, 0);
	for (size_t i = 0; i < out->n_to_tun; i++) {
		assert_true(out->to_tun[i].len_bytes <= sizeof p->last);
		memcpy(p->last, out->to_tun[i].data, out->to_tun[i].len_bytes);
		p->last_bytes = out->to_tun[i].len_bytes;
		p->n_received++;
	}
	run_control(p);
}

void udp_peer_init(struct udp_peer *p, uint8_t host)
{
	struct hub_options options = {
		.n_workers = 1, .has_tun = true, .random = on_random, .send = on_send, .arg = p};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};
	struct wgh_prefix own = {
		.addr = {.bytes = {10, 9, 0, host}, .family = WGH_IPV4}, .bits = 32};

	*p = (struct udp_peer){.address = own.addr};
	bind_any(p);
	assert_int_equal(hub_new(&p->hub, &options), 0);
	secret_random(change.private_key, sizeof change.private_key);
	assert_int_equal(hub_apply(p->hub, &change, now_ns(), NULL), 0);
	assert_int_equal(hub_set_addresses(p->hub, &own, 1), 0);
	hub_set_up(p->hub, true, now_ns());
	memcpy(p->public_key.bytes, p->hub->identity->public_key.bytes, 32);
}

void udp_peer_fini(struct udp_peer *p)
{
	close(p->fd);
	hub_free(p->hub);
}

void udp_peer_connect(struct udp_peer *p, const struct wgh_public_key *hub, uint16_t port)
{
	struct wgh_allowed_ip ip = {
		.prefix = {.addr = {.bytes = {10, 9, 0, 0}, .family = WGH_IPV4}, .bits = 24}};
	struct wgh_peer_change peer = {.public_key = *hub,
		.flags = WGH_PEER_HAS_ENDPOINT,
		.endpoint = {.addr = {127, 0, 0, 1}, .port = port, .family = WGH_IPV4},
		.allowed_ips = &ip,
		.n_allowed_ips = 1};
	struct wgh_change change = {.peers = &peer, .n_peers = 1};

	assert_int_equal(hub_apply(p->hub, &change, now_ns(), NULL), 0);
	run_control(p);
}

void udp_peer_rebind(struct udp_peer *p)
{
	close(p->fd);
	bind_any(p);
}

static void put_header(
	uint8_t *ip, const struct udp_peer *p, uint8_t host, uint8_t proto, uint32_t len)
{
	uint16_t sum;

	ip[0] = 0x45;
	ip[2] = (uint8_t)(len >> 8);
	ip[3] = (uint8_t)len;
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, p->address.bytes, 4);
	memcpy(ip + 16, (uint8_t[]){10, 9, 0, host}, 4);
	sum = ip_checksum_finish(ip_checksum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
}

static void send_inner(struct udp_peer *p, uint8_t *buffer, uint32_t len_bytes)
{
	struct wgh_packet packet = {.data = buffer + WGH_HEADROOM_BYTES, .len_bytes = len_bytes};

	emit(p, worker_input_tun(p->hub->workers[0], &packet, 1, now_ns()));
}

void udp_peer_send(struct udp_peer *p, uint8_t host, uint32_t len_bytes, uint32_t number)
{
	uint8_t buffer[WGH_HEADROOM_BYTES + 1500 + WGH_TAILROOM_BYTES] = {0};
	uint8_t *ip = buffer + WGH_HEADROOM_BYTES;

	assert_in_range(len_bytes, 32, 1500);
	put_header(ip, p, host, IP_PROTO_UDP, len_bytes);
	ip[24] = (uint8_t)((len_bytes - 20) >> 8);
	ip[25] = (uint8_t)(len_bytes - 20);
	memcpy(ip + 28, &number, sizeof number);
	send_inner(p, buffer, len_bytes);
}

void udp_peer_ping(struct udp_peer *p, uint8_t host, uint16_t number)
{
	uint8_t buffer[WGH_HEADROOM_BYTES + 84 + WGH_TAILROOM_BYTES] = {0};
	uint8_t *ip = buffer + WGH_HEADROOM_BYTES;
	uint16_t sum;

	put_header(ip, p, host, IP_PROTO_ICMP, 84);
	ip[20] = 8;
	memcpy(ip + 26, &number, sizeof number);
	sum = ip_checksum_finish(ip_checksum_add(0, ip + 20, 64));
	memcpy(ip + 22, &sum, 2);
	send_inner(p, buffer, 84);
}

static void receive_one(struct udp_peer *p)
{
	uint8_t buffer[4096];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	ssize_t n = recvfrom(p->fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &len);
	struct wgh_packet packet = {.data = buffer};
	struct wgh_burst burst = {.packets = &packet,
		.n_packets = 1,
		.endpoint = {.family = WGH_IPV4, .port = ntohs(from.sin_port)}};

	if (n < 0)
		return; /* an ICMP error of a hub that was down */
	packet.len_bytes = (uint32_t)n;
	memcpy(burst.endpoint.addr, &from.sin_addr, 4);
	emit(p, worker_input_udp(p->hub->workers[0], &burst, 1, now_ns()));
}

void udp_peer_poll(struct udp_peer *p, int wait_ms)
{
	struct pollfd pfd = {.fd = p->fd, .events = POLLIN};

	run_control(p);
	while (poll(&pfd, 1, wait_ms) > 0)
		receive_one(p);
	run_control(p);
}

uint32_t udp_peer_number(const struct udp_peer *p, uint8_t host)
{
	uint16_t of_ping;
	uint32_t number;

	if (p->last_bytes < 32 || memcmp(p->last + 12, (uint8_t[]){10, 9, 0, host}, 4))
		return 0;
	memcpy(&number, p->last + 28, sizeof number);
	memcpy(&of_ping, p->last + 26, sizeof of_ping);
	if (p->last[9] == IP_PROTO_UDP)
		return number;
	return p->last[9] == IP_PROTO_ICMP && p->last[20] == 0 ? of_ping : 0;
}

/* All packets of a test have numbers of their own, so that one that is late is known. */
static uint16_t newest = 1000;

static uint32_t reach(struct udp_peer *from, struct udp_peer *to, uint8_t host, uint8_t answers,
	void (*turn)(void *arg), void *arg)
{
	uint64_t end_ns = now_ns() + 60 * NS_PER_S;
	uint16_t before = newest;

	while (udp_peer_number(to, answers) != newest || newest == before) {
		if (now_ns() > end_ns)
			return 0;
		if (udp_peer_number(to, answers) > before)
			;
		else if (from == to)
			udp_peer_ping(from, host, ++newest);
		else
			udp_peer_send(from, host, 100, ++newest);
		udp_peer_poll(from, 20);
		if (from != to)
			udp_peer_poll(to, 20);
		if (turn)
			turn(arg);
	}
	return (uint32_t)(newest - before);
}

uint32_t udp_peer_reach(
	struct udp_peer *from, struct udp_peer *to, void (*turn)(void *arg), void *arg)
{
	return reach(from, to, to->address.bytes[3], from->address.bytes[3], turn, arg);
}

uint32_t udp_peer_reach_by_ping(struct udp_peer *p, uint8_t host)
{
	return reach(p, p, host, host, NULL, NULL);
}

struct wgh_peer_change udp_peer_change(const struct udp_peer *p, struct wgh_allowed_ip *ip)
{
	*ip = (struct wgh_allowed_ip){.prefix = {.addr = p->address, .bits = 32}};
	return (struct wgh_peer_change){
		.public_key = p->public_key, .allowed_ips = ip, .n_allowed_ips = 1};
}
