/* doctor_offload.c - segmentation offload tried for real: a buffer of many datagrams is sent over
 * loopback in one call, as the hub does, and what arrives is compared byte by byte. Kernels and
 * containers exist that accept the option and then do not do it. */
#include "control/cli/doctor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define SEGMENT_BYTES 1200
#define N_SEGMENTS 20
#define ALL_BYTES (SEGMENT_BYTES * N_SEGMENTS)
#define WAIT_MS 1000

struct trip {
	int from, to;
	bool gro; /* the option was accepted */
	unsigned n_reads; /* 1: it came back as one */
	uint8_t sent[ALL_BYTES], got[ALL_BYTES];
	size_t n_got;
};

static int open_sockets(struct trip *t)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	int on = 1;

	t->from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	t->to = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (t->from < 0 || t->to < 0 || bind(t->to, (struct sockaddr *)&at, sizeof at) < 0 ||
		getsockname(t->to, (struct sockaddr *)&at, &len) < 0 ||
		connect(t->from, (struct sockaddr *)&at, sizeof at) < 0)
		return -errno;
	t->gro = setsockopt(t->to, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0;
	return 0;
}

static int send_segments(struct trip *t)
{
	uint16_t size = SEGMENT_BYTES;
	struct iovec bytes = {t->sent, sizeof t->sent};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof size)];
	} control = {.room = {0}};
	struct msghdr message = {.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control.room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof size);
	memcpy(CMSG_DATA(c), &size, sizeof size);
	return sendmsg(t->from, &message, 0) == (ssize_t)sizeof t->sent ? 0 : -errno;
}

static void receive_segments(struct trip *t)
{
	struct pollfd readable = {.fd = t->to, .events = POLLIN};
	ssize_t n;

	while (t->n_got < sizeof t->got && poll(&readable, 1, WAIT_MS) > 0) {
		n = recv(t->to, t->got + t->n_got, sizeof t->got - t->n_got, 0);
		if (n <= 0)
			return;
		t->n_got += (size_t)n;
		t->n_reads++;
	}
}

void doctor_offload(struct finding *f, const struct doctor_options *options)
{
	struct trip t = {.from = -1, .to = -1};
	int err = open_sockets(&t);

	(void)options;
	secret_random(t.sent, sizeof t.sent);
	if (err) {
		f->state = FINDING_BAD;
		snprintf(f->found, sizeof f->found, "no UDP over loopback: %s", strerror(-err));
		f->meaning = "without UDP sockets there is no WireGuard";
		f->remedy = "ip link set lo up; in a container, see what its network and seccomp "
			    "profile allow";
		goto out;
	}
	err = send_segments(&t);
	if (!err)
		receive_segments(&t);
	if (err) {
		f->state = FINDING_NOTE;
		snprintf(f->found, sizeof f->found, "the kernel does not segment: %s",
			strerror(-err));
		f->meaning = "each datagram costs a system call of its own: several times slower";
		f->remedy = "a kernel from 4.18 on (5.0 for receiving)";
	} else if (t.n_got != sizeof t.got || memcmp(t.sent, t.got, sizeof t.got)) {
		f->state = FINDING_BAD;
		snprintf(f->found, sizeof f->found,
			"%zu of %d bytes came back, or not those that were sent", t.n_got,
			ALL_BYTES);
		f->meaning = "this kernel breaks datagrams that are sent as one buffer";
		f->remedy = "start hubs with --no-offload=udp-gso,udp-gro, and tell the kernel's "
			    "vendor";
	} else if (!t.gro || t.n_reads == N_SEGMENTS) {
		f->state = FINDING_NOTE;
		snprintf(f->found, sizeof f->found, "sending segments works, receiving does not");
		f->meaning = "receiving costs more than it must";
		f->remedy = "a kernel from 5.0 on";
	} else {
		snprintf(f->found, sizeof f->found,
			"%d datagrams as one buffer through loopback and back in %u, unharmed",
			N_SEGMENTS, t.n_reads);
	}
out:
	if (t.from >= 0)
		close(t.from);
	if (t.to >= 0)
		close(t.to);
}
