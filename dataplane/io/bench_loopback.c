/* bench_loopback.c - a running device on the loopback interface, under load.
 *
 * The device runs as ever: its worker, its sockets, its protocol thread. The caller's thread plays
 * two peers; their sessions are put into the hub without a handshake. A closed loop: a bounded
 * number of packets is on the way, and as many as arrive are sent anew, each sealed with the next
 * counter. Of what arrives the headers are looked at, and each sixteenth buffer's first message is
 * opened. Owns a device, two sockets and 300 KiB for the time of a call.
 */
#include "wghub_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "io/bench.h"
#include "io/device.h"

enum {
	BURST_PACKETS = 64,
	WINDOW_PACKETS = 512,
	SLOTS = 16,
	SLOT_BYTES = 1 << 16,
	HEAD_BYTES = sizeof(struct wire_data), /* all that is read of most messages */
	UDP_MAX_BYTES = 65507,
	BUFFER_BYTES = 8 << 20,
	LOOKS = 200, /* at an empty socket before sleeping */
	SLEEP_MS = 1,
	PACKET_MAX_BYTES = 1500,
	MESSAGE_MAX_BYTES = PACKET_MAX_BYTES + WIRE_DATA_MIN_BYTES,
};

static const struct wgh_addr HUB = {.bytes = {10, 0, 0, 1}, .family = WGH_IPV4};

/* What is on the way so long after the last arrival is lost. */
#define SILENCE_NS (100 * NS_PER_MS)
/* So long the first arrival is waited for: a busy machine may be late to let the hub's threads run.
 */
#define FIRST_NS (10 * NS_PER_S)

struct play {
	uv_loop_t loop;
	struct wgh_device *device;
	struct aead *aead;
	struct {
		struct noise_keys from, to; /* the peers' sides */
	} keys;
	uint32_t index; /* the hub's, for the sender */
	uint64_t counter, least_counter; /* to send, and the lowest that may arrive */
	int from_fd, to_fd;
	uint32_t padded_bytes;
	bool nat;
	uint64_t n_sent, n_received, flying, n_buffers;
	uint8_t inner[PACKET_MAX_BYTES + 16];
	struct aead_job jobs[BURST_PACKETS];
	uint8_t out[BURST_PACKETS * MESSAGE_MAX_BYTES];
	uint8_t heads[SLOTS][HEAD_BYTES], whole[SLOT_BYTES];
	_Alignas(struct cmsghdr) uint8_t control[SLOTS][CMSG_SPACE(sizeof(int))];
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- the hub and its two peers ---- */

/* On a free port of 127.0.0.1. What the system refuses to tune shows up as loss. */
static int socket_new(struct sockaddr_in *own)
{
	socklen_t size = sizeof *own;
	int on = 1, bytes = BUFFER_BYTES, err;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	*own = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(fd, (struct sockaddr *)own, sizeof *own) < 0 ||
		getsockname(fd, (struct sockaddr *)own, &size) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	(void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
	return fd;
}

static int hub_start(struct play *p, const char *aead)
{
	struct wgh_prefix own = {.addr = HUB, .bits = 8};
	struct wgh_device_options options = {.size = sizeof options,
		.ifname = "bench",
		.tun_fd = -1,
		.no_tun = true,
		.n_workers = 1,
		.aead = aead,
		.addresses = &own,
		.n_addresses = 1};
	int err = uv_loop_init(&p->loop);

	if (err)
		return err;
	err = wgh_device_new(&p->device, &p->loop, &options, NULL);
	if (err)
		uv_loop_close(&p->loop);
	return err;
}

static void hub_stop(struct play *p)
{
	if (!p->device)
		return;
	wgh_device_free(p->device);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	uv_loop_close(&p->loop);
}

static int peers_add(struct play *p, const struct sockaddr_in at[2])
{
	struct wgh_allowed_ip ips[2] = {0};
	struct wgh_peer_change peers[2] = {0};
	struct wgh_change change = {
		.flags = WGH_HAS_PRIVATE_KEY | WGH_HAS_LISTEN_PORT, .peers = peers, .n_peers = 2};
	int err;

	secret_random(change.private_key, sizeof change.private_key);
	for (uint32_t i = 0; i < 2; i++) {
		secret_random(peers[i].public_key.bytes, sizeof peers[i].public_key.bytes);
		ips[i].prefix = (struct wgh_prefix){.addr = bench_address(i), .bits = 32};
		peers[i].flags = WGH_PEER_HAS_ENDPOINT;
		peers[i].endpoint.family = WGH_IPV4;
		peers[i].endpoint.port = ntohs(at[i].sin_port);
		memcpy(peers[i].endpoint.addr, &at[i].sin_addr, 4);
		peers[i].allowed_ips = &ips[i];
		peers[i].n_allowed_ips = 1;
		if (!p->nat)
			continue;
		peers[i].flags |= WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT;
		peers[i].group = i ? WGH_GROUP_DEVICE : WGH_GROUP_CLIENT;
		peers[i].nat = i ? WGH_NAT_ALWAYS : WGH_NAT_NEVER;
	}
	err = wgh_device_apply(p->device, &change, NULL);
	secret_wipe(change.private_key, sizeof change.private_key);
	return err;
}

static int sessions_add(struct play *p)
{
	uint64_t now_ns = device_now_ns();
	int64_t wall_ns = (int64_t)clock_ns(CLOCK_REALTIME);
	struct hub *hub = p->device->hub;
	uint32_t unused;
	int err;

	device_lock(p->device);
	err = bench_session_add(hub, 0, now_ns, wall_ns, &p->keys.from, &p->index);
	if (!err)
		err = bench_session_add(hub, 1, now_ns, wall_ns, &p->keys.to, &unused);
	device_unlock(p->device);
	return err;
}

static int peers_start(struct play *p)
{
	struct sockaddr_in at[2];
	struct sockaddr_in hub = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int err;

	p->from_fd = socket_new(&at[0]);
	if (p->from_fd < 0)
		return p->from_fd;
	p->to_fd = socket_new(&at[1]);
	if (p->to_fd < 0)
		return p->to_fd;
	err = peers_add(p, at);
	if (!err)
		err = sessions_add(p);
	if (err)
		return err;
	hub.sin_port = htons(p->device->port);
	return connect(p->from_fd, (struct sockaddr *)&hub, sizeof hub) < 0 ? -errno : 0;
}

/* ---- out ---- */

static void burst_seal(struct play *p)
{
	uint8_t *at = p->out;

	for (uint32_t i = 0; i < BURST_PACKETS; i++) {
		struct wire_data *m = (struct wire_data *)at;

		le32_put(m->type, WIRE_DATA);
		le32_put(m->receiver, p->index);
		le64_put(m->counter, p->counter);
		memcpy(at + HEAD_BYTES, p->inner, p->padded_bytes);
		p->jobs[i] = (struct aead_job){.data = at + HEAD_BYTES,
			.key = &p->keys.from.send,
			.counter = p->counter++,
			.len_bytes = p->padded_bytes};
		at += p->padded_bytes + WIRE_DATA_MIN_BYTES;
	}
	aead_seal(p->aead, p->jobs, BURST_PACKETS);
}

static int segments_send(struct play *p, uint32_t first, uint32_t n)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
	uint16_t segment = (uint16_t)(p->padded_bytes + WIRE_DATA_MIN_BYTES);
	struct iovec iov = {p->out + (size_t)first * segment, (size_t)n * segment};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	struct pollfd room = {.fd = p->from_fd, .events = POLLOUT};

	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof segment);
	memcpy(CMSG_DATA(c), &segment, sizeof segment);
	while (sendmsg(p->from_fd, &h, 0) < 0) {
		if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
			return -errno;
		(void)poll(&room, 1, SLEEP_MS);
	}
	return 0;
}

static int burst_send(struct play *p)
{
	uint32_t most = UDP_MAX_BYTES / (p->padded_bytes + WIRE_DATA_MIN_BYTES);
	uint32_t n_sends = (BURST_PACKETS + most - 1) / most;
	int err = 0;

	burst_seal(p);
	for (uint32_t i = 0, at = 0; i < n_sends && !err; i++) {
		uint32_t n = (BURST_PACKETS - at) / (n_sends - i);

		err = segments_send(p, at, n);
		at += n;
	}
	p->n_sent += BURST_PACKETS;
	p->flying += BURST_PACKETS;
	return err;
}

/* ---- in ---- */

static uint32_t segment_bytes(struct msghdr *h, uint32_t len)
{
	int value;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&value, CMSG_DATA(c), sizeof value);
		return value > 0 ? (uint32_t)value : len;
	}
	return len;
}

/* The packet as it was sent, but for what a router and NAT change: it keeps the port. */
static bool message_ok(struct play *p, uint8_t *message)
{
	enum { TTL_AT = 8, SOURCE_AT = 12, SOURCE_END = 16 };
	const uint8_t *source = p->nat ? HUB.bytes : p->inner + SOURCE_AT;
	struct aead_job job = {.data = message + HEAD_BYTES,
		.key = &p->keys.to.receive,
		.counter = le64_get(message + 8),
		.len_bytes = p->padded_bytes};

	aead_open(p->aead, &job, 1);
	return job.ok && !memcmp(job.data, p->inner, TTL_AT) &&
		job.data[TTL_AT] == p->inner[TTL_AT] - 1 &&
		!memcmp(job.data + SOURCE_AT, source, SOURCE_END - SOURCE_AT) &&
		!memcmp(job.data + SOURCE_END, p->inner + SOURCE_END, p->padded_bytes - SOURCE_END);
}

/* len bytes came as messages of one length each; only the first one's head is there unless whole.
 */
static int buffer_take(struct play *p, uint8_t *data, uint32_t len, uint32_t segment, bool whole)
{
	uint32_t n = (len + segment - 1) / segment;
	uint64_t counter;

	if (segment != p->padded_bytes + WIRE_DATA_MIN_BYTES || le32_get(data) != WIRE_DATA)
		return 0; /* a keepalive, or a handshake: no load */
	counter = le64_get(data + 8);
	/* The hub's name for the session at this peer is the peer's slot and 1. */
	if (le32_get(data + 4) != 2 || counter < p->least_counter)
		return -EIO;
	p->least_counter = counter + n;
	if (whole && !message_ok(p, data))
		return -EIO;
	p->n_received += n;
	p->flying -= n < p->flying ? n : p->flying;
	return 0;
}

/* What waits; 0 also if that is nothing. */
static int buffers_receive(struct play *p)
{
	uint32_t whole = (uint32_t)(SLOTS - 1 - p->n_buffers % SLOTS);
	struct mmsghdr in[SLOTS];
	struct iovec iov[SLOTS];
	int n;

	for (uint32_t i = 0; i < SLOTS; i++) {
		iov[i] = i == whole ? (struct iovec){p->whole, SLOT_BYTES}
				    : (struct iovec){p->heads[i], HEAD_BYTES};
		in[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_control = p->control[i],
			.msg_controllen = sizeof p->control[i]};
	}
	n = recvmmsg(p->to_fd, in, SLOTS, MSG_DONTWAIT | MSG_TRUNC, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	p->n_buffers += (uint32_t)n;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		uint32_t len = in[i].msg_len;
		int err = len < WIRE_DATA_MIN_BYTES
			? 0
			: buffer_take(p, iov[i].iov_base, len, segment_bytes(&in[i].msg_hdr, len),
				  i == whole);

		if (err)
			return err;
	}
	return 0;
}

/* ---- the loop ---- */

static int play_run(struct play *p, uint64_t duration_ns, uint64_t *elapsed_ns)
{
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC), now_ns = start_ns, heard_ns = start_ns;
	uint64_t longest_ns = duration_ns > FIRST_NS ? duration_ns : FIRST_NS;
	struct pollfd wait = {.fd = p->to_fd, .events = POLLIN};

	for (unsigned n_looks = 0;; n_looks++) {
		bool sending = now_ns - start_ns < (p->n_received ? duration_ns : longest_ns);
		uint64_t before = p->n_received;
		int err = 0;

		if (sending && p->flying + BURST_PACKETS <= WINDOW_PACKETS)
			err = burst_send(p);
		if (!err)
			err = buffers_receive(p);
		if (err)
			return err;
		now_ns = clock_ns(CLOCK_MONOTONIC);
		if (p->n_received != before) {
			heard_ns = now_ns;
			n_looks = 0;
		} else if (now_ns - heard_ns > SILENCE_NS) {
			p->flying = 0;
			heard_ns = now_ns;
		}
		if (!sending && !p->flying)
			break;
		if (n_looks > LOOKS)
			(void)poll(&wait, 1, SLEEP_MS);
	}
	*elapsed_ns = now_ns - start_ns;
	return 0;
}

static uint64_t others_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) - clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static int play(struct play *p, const struct wgh_bench_options *o, uint64_t duration_ns,
	struct wgh_bench_loopback *result)
{
	struct wgh_addr src = bench_address(0), dst = bench_address(1);
	uint64_t cpu_ns, elapsed_ns;
	int err = aead_new(&p->aead, NULL);

	p->nat = o->nat;
	if (!err)
		err = hub_start(p, o->aead);
	if (!err)
		err = peers_start(p);
	if (err)
		return err;
	p->padded_bytes = bench_padded(o->packet_bytes);
	bench_packet_write(p->inner, o->packet_bytes, &src, &dst);
	p->inner[20] = 61000 >> 8; /* a port that NAT keeps */
	p->inner[21] = 61000 & 0xff;
	cpu_ns = others_cpu_ns();
	err = play_run(p, duration_ns, &elapsed_ns);
	cpu_ns = others_cpu_ns() - cpu_ns;
	if (!err && !p->n_received)
		err = -EIO;
	if (err)
		return err;
	*result = (struct wgh_bench_loopback){
		.packets_per_s = (double)p->n_received * 1e9 / (double)elapsed_ns,
		.cpu_ns = (double)cpu_ns / (double)p->n_received,
		.lost_percent = 100 * (1 - (double)p->n_received / (double)p->n_sent)};
	return 0;
}

int wgh_bench_loopback(
	const struct wgh_bench_options *o, uint64_t duration_ns, struct wgh_bench_loopback *result)
{
	struct play *p;
	int err;

	if (o->packet_bytes < 64 || o->packet_bytes > PACKET_MAX_BYTES)
		return -EINVAL;
	err = secret_init();
	if (err)
		return err;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->from_fd = p->to_fd = -1;
	err = play(p, o, duration_ns, result);
	hub_stop(p);
	if (p->from_fd >= 0)
		close(p->from_fd);
	if (p->to_fd >= 0)
		close(p->to_fd);
	aead_free(p->aead);
	secret_wipe(&p->keys, sizeof p->keys);
	free(p);
	return err;
}
