/* test_tun.c - a real TUN device in a network namespace of the test's own: what the kernel sends
 * arrives cut, what we write arrives whole, offloads on and off. Needs root. Where the kernel would
 * have to misbehave, a socket pair plays its part.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/netlink.h"
#include "io/tun.h"
#include "core/be.h"
#include "io/vnet.h"
#include "tests/lib/inner.h"
#include "tests/lib/netns.h"
#include "wghub_device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/udp.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { TUN_OFF = WGH_OFFLOAD_TUN_TSO | WGH_OFFLOAD_TUN_USO };

static const unsigned offloads_off[] = {0, TUN_OFF, WGH_OFFLOAD_TUN_USO, WGH_OFFLOAD_TUN_TSO};

struct fixture {
	int before;
	struct tun t;
	struct tun_rx *rx;
	struct tun_tx *tx;
	char name[16];
};

/* The device is up, has 10.42.42.1/24 and fd42::1/64, and routes everything else there to us. */
static void device_up(struct fixture *f, unsigned off)
{
	struct wgh_prefix v4 = {{{10, 42, 42, 1}, WGH_IPV4}, 24};
	struct wgh_prefix v6 = {{{0xfd, 0x42, [15] = 1}, WGH_IPV6}, 64};
	static const struct netlink_events events;
	struct netlink *nl;
	unsigned ifindex;

	strcpy(f->name, "wgtest%d");
	assert_int_equal(tun_open(&f->t, f->name, false, off), 0);
	ifindex = if_nametoindex(f->name);
	assert_int_equal(netlink_new(&nl, &events, NULL), 0);
	assert_int_equal(netlink_add_address(nl, ifindex, &v4), 0);
	assert_int_equal(netlink_add_address(nl, ifindex, &v6), 0);
	assert_int_equal(netlink_set_mtu(nl, ifindex, 1420), 0);
	assert_int_equal(netlink_set_link(nl, ifindex, true), 0);
	netlink_free(nl);
}

static int setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){
		.before = netns_enter(), .t.fd = -1, .rx = tun_rx_new(), .tx = tun_tx_new()};
	assert_true(fixture.rx && fixture.tx);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tun_close(&f->t);
	tun_rx_free(f->rx);
	tun_tx_free(f->tx);
	netns_leave(f->before);
	return 0;
}

static socklen_t host_address(
	struct sockaddr_storage *sa, uint8_t version, uint8_t host, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)sa;

	*sa = (struct sockaddr_storage){0};
	if (version == 4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, (uint8_t[]){10, 42, 42, host}, 4);
		return sizeof *v4;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, (uint8_t[16]){0xfd, 0x42, [15] = host}, 16);
	return sizeof *v6;
}

static int socket_bound(uint8_t version, int type, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = host_address(&sa, version, 1, port);
	int fd = socket(version == 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0), one = 1;
	struct timeval wait = {.tv_sec = 60};

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

static bool is_ours(const struct wgh_packet *p, uint8_t version, uint8_t proto)
{
	return p->data[0] >> 4 == version && p->data[version == 4 ? 9 : 6] == proto;
}

static bool wait_readable(int fd, int ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, ms) > 0;
}

/* ---- UDP ---- */

/* The kernel sends 40 datagrams, with offloads as one packet. */
static void check_udp_out(struct fixture *f, uint8_t version, uint32_t bytes, bool segmented)
{
	uint32_t len = bytes / 2 + bytes * 39; /* the last is short */
	uint8_t *sent = malloc(len), *got = malloc(len);
	struct sockaddr_storage sa;
	socklen_t sa_len = host_address(&sa, version, 2, 7777);
	int fd = socket_bound(version, SOCK_DGRAM, 6666);
	int segment = (int)bytes;
	uint32_t n_got = 0, n_packets = 0, n_bad = 0;

	assert_true(sent && got);
	for (uint32_t i = 0; i < len; i++)
		sent[i] = (uint8_t)(i * 7 + (i >> 8));
	if (segmented) {
		assert_int_equal(
			setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
		assert_int_equal(sendto(fd, sent, len, 0, (struct sockaddr *)&sa, sa_len), len);
	} else {
		for (uint32_t at = 0; at < len; at += bytes) {
			uint32_t n = len - at < bytes ? len - at : bytes;

			assert_int_equal(
				sendto(fd, sent + at, n, 0, (struct sockaddr *)&sa, sa_len), n);
		}
	}
	while (n_got < len && wait_readable(f->t.fd, 60000)) {
		struct wgh_packet *packets;
		size_t n;
		bool more;

		assert_int_equal(tun_read(&f->t, f->rx, &packets, &n, &n_bad, &more), 0);
		for (size_t i = 0; i < n; i++) {
			uint32_t header = (version == 4 ? 20 : 40) + 8;

			if (!is_ours(&packets[i], version, 17))
				continue;
			assert_true(inner_is_right(packets[i].data, packets[i].len_bytes));
			assert_true(n_got + packets[i].len_bytes - header <= len);
			memcpy(got + n_got, packets[i].data + header,
				packets[i].len_bytes - header);
			n_got += packets[i].len_bytes - header;
			n_packets++;
		}
	}
	assert_int_equal(n_got, len);
	assert_int_equal(n_packets, 40);
	assert_int_equal(n_bad, 0);
	assert_memory_equal(sent, got, len);
	close(fd);
	free(sent);
	free(got);
}

static void test_udp_from_the_kernel_arrives_cut_and_right(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 4; i++) {
		device_up(f, offloads_off[i]);
		for (unsigned segmented = 0; segmented < 2; segmented++) {
			check_udp_out(f, 4, 1300, segmented);
			check_udp_out(f, 6, 1300, segmented);
			check_udp_out(f, 4, 64, segmented);
		}
		tun_close(&f->t);
	}
}

/* Packets as a peer would send them, with room before each. */
struct stream {
	uint8_t *arena;
	struct wgh_packet packets[1200];
	size_t n, used;
};

static struct stream *stream_new(void)
{
	struct stream *s = calloc(1, sizeof *s);

	assert_non_null(s);
	s->arena = malloc(4 << 20);
	assert_non_null(s->arena);
	return s;
}

static void stream_free(struct stream *s)
{
	free(s->arena);
	free(s);
}

static void stream_add(struct stream *s, const struct inner_spec *spec)
{
	uint8_t *data = s->arena + s->used + WGH_HEADROOM_BYTES;

	s->packets[s->n] = (struct wgh_packet){.data = data, .len_bytes = inner_build(data, spec)};
	s->used += WGH_HEADROOM_BYTES + s->packets[s->n++].len_bytes;
}

/* A link that is up takes IPv6 only a moment later. Datagrams of one byte tell; one may come late.
 */
static void wait_until_taken(struct fixture *f, int fd, const struct inner_spec *like)
{
	struct inner_spec spec = *like;
	uint8_t buf[2048];

	spec.payload_bytes = 1;
	for (int tries = 0; tries < 6000; tries++) {
		struct stream *s = stream_new();
		int err;

		stream_add(s, &spec);
		assert_int_equal(tun_write(&f->t, f->tx, s->packets, s->n, &err), 0);
		stream_free(s);
		if (recv(fd, buf, sizeof buf, MSG_DONTWAIT) == 1)
			return;
		usleep(10000);
	}
	fail_msg("nothing arrives");
}

/* A batch at most, and well below what waits for a busy kernel's softirq (netdev_max_backlog, 1000
 * of all devices): beyond that it drops. */
#define N_WRITTEN 500

static void test_written_udp_reaches_a_socket_in_order(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 4; i++) {
		device_up(f, offloads_off[i]);
		for (unsigned v6 = 0; v6 < 2; v6++) {
			struct inner_spec spec = inner_spec_default(v6 ? 6 : 4, 17);
			int fd = socket_bound(v6 ? 6 : 4, SOCK_DGRAM, 443), big = 4 << 20, err;
			struct stream *s = stream_new();
			uint8_t buf[2048];

			setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
			wait_until_taken(f, fd, &spec);
			for (unsigned k = 0; k < N_WRITTEN; k++) {
				spec.payload_bytes = k % 50 == 49 ? 200 : 1200;
				stream_add(s, &spec);
				spec.payload_from += spec.payload_bytes;
				spec.id++;
			}
			assert_int_equal(tun_write(&f->t, f->tx, s->packets, s->n, &err), 0);
			assert_int_equal(err, 0);
			spec.payload_from = 0;
			for (unsigned k = 0; k < N_WRITTEN; k++) {
				uint8_t want[2048];
				ssize_t n;

				do
					n = recv(fd, buf, sizeof buf, 0);
				while (n == 1 || (n < 0 && errno == EINTR));
				spec.payload_bytes = k % 50 == 49 ? 200 : 1200;
				uint32_t len = inner_build(want, &spec);
				if (n != spec.payload_bytes)
					fail_msg("IPv%u, packet %u: %zd bytes, %s", v6 ? 6 : 4, k,
						n, strerror(errno));
				assert_memory_equal(buf, want + len - n, (size_t)n);
				spec.payload_from += spec.payload_bytes;
			}
			stream_free(s);
			close(fd);
		}
		tun_close(&f->t);
	}
}

static void test_corrupted_packet_among_good_ones_is_not_delivered(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		device_up(f, offloads_off[i]);
		struct inner_spec spec = inner_spec_default(4, 17);
		int fd = socket_bound(4, SOCK_DGRAM, 443), err;
		struct stream *s = stream_new();
		uint8_t buf[2048];

		for (unsigned k = 0; k < 10; k++) {
			spec.payload_bytes = 100;
			stream_add(s, &spec);
			spec.payload_from += 100;
			spec.id++;
		}
		s->packets[0].data[50] ^= 1;
		s->packets[5].data[127] ^= 0x80;
		assert_int_equal(tun_write(&f->t, f->tx, s->packets, s->n, &err), 0);
		for (unsigned k = 0; k < 8; k++)
			assert_int_equal(recv(fd, buf, sizeof buf, 0), 100);
		assert_int_equal(recv(fd, buf, sizeof buf, MSG_DONTWAIT), -1);
		stream_free(s);
		close(fd);
		tun_close(&f->t);
	}
}

/* ---- TCP ---- */

struct transfer {
	int fd;
	uint32_t bytes;
	bool send, right;
};

static uint8_t transfer_byte(uint32_t at)
{
	return (uint8_t)(at * 2654435761u >> 23);
}

static void *transfer_run(void *arg)
{
	struct transfer *t = arg;
	uint8_t buf[32768];

	t->right = true;
	for (uint32_t at = 0; at < t->bytes;) {
		uint32_t want = t->bytes - at < sizeof buf ? t->bytes - at : (uint32_t)sizeof buf;
		ssize_t n;

		if (t->send)
			for (uint32_t i = 0; i < want; i++)
				buf[i] = transfer_byte(at + i);
		n = t->send ? send(t->fd, buf, want, MSG_NOSIGNAL) : recv(t->fd, buf, want, 0);
		if (n < 0 && errno == EINTR) /* also after SIGCONT */
			continue;
		if (n <= 0) {
			t->right = false;
			break;
		}
		for (ssize_t i = 0; !t->send && i < n; i++)
			if (buf[i] != transfer_byte(at + (uint32_t)i))
				t->right = false;
		at += (uint32_t)n;
	}
	if (t->send)
		shutdown(t->fd, SHUT_WR);
	return NULL;
}

/* Source and destination address change places: what the kernel sends to .2 comes back from .2.
 * Checksums stay right, since the sum does. */
static void reflect(struct wgh_packet *p)
{
	bool v4 = p->data[0] >> 4 == 4;
	size_t at = v4 ? 12 : 8, len = v4 ? 4 : 16;
	uint8_t tmp[16];

	memcpy(tmp, p->data + at, len);
	memcpy(p->data + at, p->data + at + len, len);
	memcpy(p->data + at + len, tmp, len);
}

struct reflected {
	uint64_t n_packets, n_wrong, n_reads;
	size_t n_most;
};

static void reflect_all(struct fixture *f, struct reflected *r)
{
	struct wgh_packet *packets;
	uint32_t n_bad = 0;
	size_t n, kept = 0;
	bool more;
	int err;

	assert_int_equal(tun_read(&f->t, f->rx, &packets, &n, &n_bad, &more), 0);
	assert_int_equal(n_bad, 0);
	for (size_t i = 0; i < n; i++) {
		/* Router solicitations and the like. */
		if (!is_ours(&packets[i], 4, 6) && !is_ours(&packets[i], 6, 6))
			continue;
		assert_true(packets[i].len_bytes <= 1420);
		r->n_wrong += !inner_is_right(packets[i].data, packets[i].len_bytes);
		reflect(&packets[i]);
		packets[kept++] = packets[i];
	}
	r->n_packets += kept;
	r->n_reads++;
	r->n_most = kept > r->n_most ? kept : r->n_most;
	assert_int_equal(tun_write(&f->t, f->tx, packets, kept, &err), 0);
	assert_int_equal(err, 0);
}

static void check_tcp(struct fixture *f, uint8_t version, uint32_t bytes, bool large)
{
	int listener = socket_bound(version, SOCK_STREAM, 5000);
	int client = socket_bound(version, SOCK_STREAM, 0);
	struct sockaddr_storage sa;
	socklen_t sa_len = host_address(&sa, version, 2, 5000);
	struct transfer out = {.bytes = bytes, .send = true}, in = {.bytes = bytes};
	struct reflected r = {0};
	pthread_t sender, receiver;
	time_t deadline = time(NULL) + 120;

	assert_int_equal(listen(listener, 1), 0);
	fcntl(client, F_SETFL, O_NONBLOCK);
	assert_int_equal(connect(client, (struct sockaddr *)&sa, sa_len), -1);
	while (!wait_readable(listener, 0) && time(NULL) < deadline)
		if (wait_readable(f->t.fd, 100))
			reflect_all(f, &r);
	in.fd = accept(listener, NULL, NULL);
	assert_true(in.fd >= 0);
	fcntl(client, F_SETFL, 0);
	out.fd = client;
	assert_int_equal(pthread_create(&sender, NULL, transfer_run, &out), 0);
	assert_int_equal(pthread_create(&receiver, NULL, transfer_run, &in), 0);
	while (pthread_tryjoin_np(receiver, NULL) != 0 && time(NULL) < deadline)
		if (wait_readable(f->t.fd, 5))
			reflect_all(f, &r);
	assert_true(time(NULL) < deadline);
	pthread_join(sender, NULL);
	assert_true(out.right && in.right);
	assert_int_equal(r.n_wrong, 0);
	assert_true(r.n_packets > bytes / 1420);
	/* With offloads a batch is more than the single reads would make it. */
	if (large)
		assert_true(r.n_most >= 40);
	close(client);
	close(listener);
	close(in.fd);
}

static void test_tcp_runs_through_with_every_set_of_offloads(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 4; i++) {
		device_up(f, offloads_off[i]);
		assert_int_equal(f->t.vnet_hdr, offloads_off[i] != TUN_OFF);
		assert_int_equal(f->t.tso, !(offloads_off[i] & WGH_OFFLOAD_TUN_TSO));
		check_tcp(f, 4, 8 << 20, f->t.tso);
		check_tcp(f, 6, 8 << 20, f->t.tso);
		tun_close(&f->t);
	}
}

/* ---- opening ---- */

static void test_name_is_chosen_and_told(void **state)
{
	struct fixture *f = *state;
	char again[16] = "wgtest%d";
	struct tun other;

	strcpy(f->name, "wgtest%d");
	assert_int_equal(tun_open(&f->t, f->name, false, 0), 0);
	assert_string_equal(f->name, "wgtest0");
	assert_int_not_equal(if_nametoindex("wgtest0"), 0);
	assert_int_equal(tun_open(&other, again, false, 0), 0);
	assert_string_equal(again, "wgtest1");
	assert_int_equal(fcntl(other.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	tun_close(&other);
	assert_int_equal(if_nametoindex("wgtest1"), 0);
}

static void test_device_in_use_is_busy(void **state)
{
	struct fixture *f = *state;
	struct tun other;

	strcpy(f->name, "wgtest0");
	assert_int_equal(tun_open(&f->t, f->name, false, 0), 0);
	assert_int_equal(tun_open(&other, f->name, false, 0), -EBUSY);
	assert_int_equal(other.fd, -1);
}

static void test_multi_queue_opens_further_queues(void **state)
{
	struct fixture *f = *state;
	struct tun other;

	strcpy(f->name, "wgtest0");
	assert_int_equal(tun_open(&f->t, f->name, true, 0), 0);
	assert_int_equal(tun_open(&other, f->name, true, 0), 0);
	assert_true(other.tso && other.vnet_hdr);
	tun_close(&other);
}

static void test_device_made_before_with_other_queues_is_opened(void **state)
{
	struct fixture *f = *state;

	for (unsigned was_multi = 0; was_multi < 2; was_multi++) {
		struct ifreq ifr = {.ifr_name = "wgmade",
			.ifr_flags =
				(short)(IFF_TUN | IFF_NO_PI | (was_multi ? IFF_MULTI_QUEUE : 0))};
		int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

		assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
		assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
		close(fd);
		strcpy(f->name, "wgmade");
		assert_int_equal(tun_open(&f->t, f->name, !was_multi, 0), 0);
		assert_true(f->t.tso);
		assert_int_equal(ioctl(f->t.fd, TUNSETPERSIST, 0), 0);
		tun_close(&f->t);
	}
}

static void test_without_the_right_it_is_eperm(void **state)
{
	struct fixture *f = *state;
	int err;

	strcpy(f->name, "wgtest0");
	assert_int_equal(seteuid(65534), 0);
	err = tun_open(&f->t, f->name, false, 0);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(err, -EPERM);
}

static void test_adopted_descriptor_is_asked_what_it_is(void **state)
{
	struct fixture *f = *state;
	static const struct {
		short flags;
		int err;
		bool vnet_hdr;
	} cases[] = {
		{IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, 0, true},
		{IFF_TUN | IFF_NO_PI, 0, false},
		{IFF_TAP | IFF_NO_PI, -EINVAL, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ifreq ifr = {.ifr_name = "wggiven", .ifr_flags = cases[i].flags};
		int fd = open("/dev/net/tun", O_RDWR);

		assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
		assert_int_equal(tun_adopt(&f->t, fd, f->name, 0), cases[i].err);
		if (cases[i].err) {
			assert_int_equal(f->t.fd, -1);
			close(fd);
			continue;
		}
		assert_string_equal(f->name, "wggiven");
		assert_int_equal(f->t.vnet_hdr, cases[i].vnet_hdr);
		assert_int_equal(f->t.tso, cases[i].vnet_hdr);
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
		tun_close(&f->t);
	}
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	assert_true(tun_adopt(&f->t, pipes[0], f->name, 0) < 0);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_adopted_descriptor_with_headers_but_no_offloads_works(void **state)
{
	struct fixture *f = *state;

	device_up(f, 0);
	int fd = f->t.fd;
	assert_int_equal(tun_adopt(&f->t, fd, f->name, TUN_OFF), 0);
	assert_true(f->t.vnet_hdr);
	assert_false(f->t.tso || f->t.uso);
	check_tcp(f, 4, 1 << 20, false);
}

/* ---- trouble ---- */

static void link_delete(const char *name)
{
	uint8_t buf[256] = {0};
	struct mnl_socket *s = mnl_socket_open(NETLINK_ROUTE);
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info;

	m->nlmsg_type = RTM_DELLINK;
	m->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	info = mnl_nlmsg_put_extra_header(m, sizeof *info);
	info->ifi_index = (int)if_nametoindex(name);
	assert_non_null(s);
	assert_true(mnl_socket_sendto(s, m, m->nlmsg_len) > 0);
	assert_true(mnl_socket_recvfrom(s, buf, sizeof buf) > 0);
	mnl_socket_close(s);
}

static void test_device_that_is_gone_ends_reading_and_writing(void **state)
{
	struct fixture *f = *state;
	struct inner_spec spec = inner_spec_default(4, 17);
	struct stream *s = stream_new();
	struct wgh_packet *packets;
	uint32_t n_bad = 0;
	size_t n;
	bool more;
	int err;

	device_up(f, 0);
	for (unsigned k = 0; k < 700; k++) {
		/* Runs and single packets. */
		spec.payload_bytes = k % 3 ? 100 : 101;
		stream_add(s, &spec);
	}
	link_delete(f->name);
	/* Packets of before may come first. */
	do {
		err = tun_read(&f->t, f->rx, &packets, &n, &n_bad, &more);
	} while (err == 0 && n > 0);
	assert_int_equal(err, -EBADFD);
	assert_int_equal(tun_write(&f->t, f->tx, s->packets, s->n, &err), 700);
	assert_int_equal(err, -EBADFD);
	stream_free(s);
}

static void test_link_that_is_down_refuses_but_is_not_gone(void **state)
{
	struct fixture *f = *state;
	struct inner_spec spec = inner_spec_default(4, 17);
	struct stream *s = stream_new();
	int err;

	device_up(f, 0);
	for (unsigned k = 0; k < 20; k++) {
		stream_add(s, &spec);
		spec.id++;
	}
	assert_int_equal(netns_link_set(f->name, false, 0), 0);
	assert_int_equal(tun_write(&f->t, f->tx, s->packets, s->n, &err), 20);
	assert_int_equal(err, 0);
	assert_int_equal(netns_link_set(f->name, true, 0), 0);
	assert_int_equal(tun_write(&f->t, f->tx, s->packets, s->n, &err), 0);
	stream_free(s);
}

/* A socket pair that keeps message bounds, as the device does. Returns the kernel's end. */
static int pretend_kernel(struct fixture *f)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	f->t = (struct tun){.fd = pair[0], .vnet_hdr = true, .tso = true, .uso = true};
	return pair[1];
}

static void test_refused_run_is_written_packet_by_packet_unchanged(void **state)
{
	struct fixture *f = *state;
	int kernel = pretend_kernel(f), small = 4096, err;
	struct inner_spec spec = inner_spec_default(4, 6), want = spec;
	struct stream *s = stream_new();
	uint8_t buf[4096], packet[4096];

	/* The whole run is refused with EMSGSIZE. */
	assert_int_equal(setsockopt(f->t.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	for (unsigned k = 0; k < 10; k++) {
		stream_add(s, &spec);
		spec.seq += spec.payload_bytes;
		spec.payload_from += spec.payload_bytes;
		spec.id++;
	}
	/* As many as the pretended kernel's queue takes. */
	uint32_t refused = tun_write(&f->t, f->tx, s->packets, s->n, &err);
	assert_int_equal(err, 0);
	assert_in_range(refused, 1, 9);
	for (unsigned k = 0; k < 10 - refused; k++) {
		uint32_t len = inner_build(packet, &want);

		assert_int_equal(recv(kernel, buf, sizeof buf, 0), len + 10);
		assert_memory_equal(buf, ((uint8_t[10]){0}), 10);
		assert_memory_equal(buf + 10, packet, len);
		want.seq += want.payload_bytes;
		want.payload_from += want.payload_bytes;
		want.id++;
	}
	stream_free(s);
	close(kernel);
}

static void test_reads_that_make_no_sense_are_counted_and_passed_over(void **state)
{
	struct fixture *f = *state;
	int kernel = pretend_kernel(f);
	struct inner_spec spec = inner_spec_default(4, 17);
	struct vnet_hdr lie = {.gso_type = VNET_GSO_TCPV4, .gso_size = 100};
	uint8_t buf[4096] = {0};
	struct wgh_packet *packets;
	uint32_t n_bad = 5;
	size_t n;
	bool more;

	uint32_t len = inner_build(buf + 10, &spec);
	assert_int_equal(send(kernel, buf, 3, 0), 3); /* no whole header */
	assert_int_equal(send(kernel, buf, 10, 0), 10); /* no packet */
	assert_int_equal(send(kernel, buf, len + 10, 0), len + 10);
	memcpy(buf, &lie, 10);
	assert_int_equal(send(kernel, buf, len + 10, 0), len + 10);
	memset(buf, 0, 10);
	assert_int_equal(send(kernel, buf, len + 10, 0), len + 10);
	assert_int_equal(tun_read(&f->t, f->rx, &packets, &n, &n_bad, &more), 0);
	assert_int_equal(n, 2);
	assert_int_equal(n_bad, 5 + 3);
	assert_false(more);
	assert_memory_equal(packets[1].data, buf + 10, len);
	close(kernel);
}

static void test_more_pieces_than_a_batch_come_with_the_next_read(void **state)
{
	struct fixture *f = *state;
	int kernel = pretend_kernel(f);
	struct inner_spec spec = inner_spec_default(4, 6);
	uint8_t *buf = calloc(1, 1 << 17);
	struct wgh_packet *packets;
	struct vnet_hdr h = {.flags = VNET_F_NEEDS_CSUM,
		.gso_type = VNET_GSO_TCPV4,
		.gso_size = 50,
		.csum_start = 20,
		.csum_offset = 16};
	uint32_t n_bad = 0, seq = spec.seq, n_packets = 0;
	size_t n;
	bool more = true;

	assert_non_null(buf);
	spec.payload_bytes = 60000;
	uint32_t len = inner_build(buf + 10, &spec);
	memcpy(buf, &h, 10);
	assert_int_equal(send(kernel, buf, len + 10, 0), len + 10);
	for (unsigned calls = 0; more; calls++) {
		assert_true(calls < 4);
		assert_int_equal(tun_read(&f->t, f->rx, &packets, &n, &n_bad, &more), 0);
		for (size_t i = 0; i < n; i++, n_packets++) {
			assert_int_equal(packets[i].len_bytes, 90);
			assert_int_equal(be32_get(packets[i].data + 24), seq);
			assert_true(inner_is_right(packets[i].data, 90));
			seq += 50;
		}
	}
	assert_int_equal(n_packets, 1200);
	assert_int_equal(n_bad, 0);
	free(buf);
	close(kernel);
}

static void test_pieces_that_fill_the_buffer_come_with_the_next_read(void **state)
{
	struct fixture *f = *state;
	int kernel = pretend_kernel(f), big = 4 << 20;
	struct inner_spec spec = inner_spec_default(4, 6);
	uint8_t *buf = calloc(1, 1 << 17), want[2048];
	struct wgh_packet *packets;
	struct vnet_hdr h = {.flags = VNET_F_NEEDS_CSUM,
		.gso_type = VNET_GSO_TCPV4,
		.gso_size = 1380,
		.csum_start = 20,
		.csum_offset = 16};
	uint32_t n_bad = 0, n_calls = 0, k = 0;
	size_t n;
	bool more = true;

	assert_non_null(buf);
	assert_int_equal(setsockopt(kernel, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big), 0);
	spec.payload_bytes = 1380 * 40;
	uint32_t len = inner_build(buf + 10, &spec);
	memcpy(buf, &h, 10);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(send(kernel, buf, len + 10, 0), len + 10);
	for (; more; n_calls++) {
		assert_true(n_calls < 10);
		assert_int_equal(tun_read(&f->t, f->rx, &packets, &n, &n_bad, &more), 0);
		for (size_t i = 0; i < n; i++, k++) {
			struct inner_spec piece = spec;

			piece.payload_bytes = 1380;
			piece.payload_from = k % 40 * 1380;
			piece.seq += piece.payload_from;
			piece.id = (uint16_t)(piece.id + k % 40);
			assert_int_equal(packets[i].len_bytes, inner_build(want, &piece));
			assert_memory_equal(packets[i].data, want, packets[i].len_bytes);
		}
	}
	assert_int_equal(k, 8 * 40);
	assert_true(n_calls > 1);
	assert_int_equal(n_bad, 0);
	free(buf);
	close(kernel);
}

#define IN_NAMESPACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_NAMESPACE(test_udp_from_the_kernel_arrives_cut_and_right),
		IN_NAMESPACE(test_written_udp_reaches_a_socket_in_order),
		IN_NAMESPACE(test_corrupted_packet_among_good_ones_is_not_delivered),
		IN_NAMESPACE(test_tcp_runs_through_with_every_set_of_offloads),
		IN_NAMESPACE(test_name_is_chosen_and_told),
		IN_NAMESPACE(test_device_in_use_is_busy),
		IN_NAMESPACE(test_multi_queue_opens_further_queues),
		IN_NAMESPACE(test_device_made_before_with_other_queues_is_opened),
		IN_NAMESPACE(test_without_the_right_it_is_eperm),
		IN_NAMESPACE(test_adopted_descriptor_is_asked_what_it_is),
		IN_NAMESPACE(test_adopted_descriptor_with_headers_but_no_offloads_works),
		IN_NAMESPACE(test_device_that_is_gone_ends_reading_and_writing),
		IN_NAMESPACE(test_link_that_is_down_refuses_but_is_not_gone),
		IN_NAMESPACE(test_refused_run_is_written_packet_by_packet_unchanged),
		IN_NAMESPACE(test_reads_that_make_no_sense_are_counted_and_passed_over),
		IN_NAMESPACE(test_more_pieces_than_a_batch_come_with_the_next_read),
		IN_NAMESPACE(test_pieces_that_fill_the_buffer_come_with_the_next_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
