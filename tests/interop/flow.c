/* flow.c - carries a file in UDP datagrams and repeats what is lost, so that its bytes can be
 * compared at the other end.
 *
 *   flow receive PORT FILE                 any address, IPv4 and IPv6; ends after the last byte
 *   flow send ADDRESS PORT FILE [gso]      gso: many datagrams in one send (UDP_SEGMENT)
 *
 * A datagram is an 8 byte number, big endian, and up to DATA_BYTES of the file; fewer mean the end.
 * The receiver answers with the number it wants next. Exit: 0, 1 when nothing moves for a while.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define DATA_BYTES 1300u /* fits into an MTU of 1420 with IPv6 */
#define WINDOW 64u /* datagrams on the way */
#define GSO_DATAGRAMS 32u
#define REPEAT_MS 100
#define PATIENCE_MS 20000

struct datagram {
	uint64_t number; /* big endian */
	uint8_t data[DATA_BYTES];
} __attribute__((packed));

static void die(const char *what)
{
	fprintf(stderr, "flow: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n = poll(&p, 1, ms);

	if (n < 0)
		die("poll");
	return n;
}

static void receive(const char *port, const char *path)
{
	struct sockaddr_in6 self = {
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	struct sockaddr_storage from;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0;
	uint64_t wanted = 0, answer;
	struct datagram in;
	FILE *file = fopen(path, "wb");

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (fd < 0 || !file || bind(fd, (struct sockaddr *)&self, sizeof self))
		die(path);
	/* After the end the sender may still ask: its last answer may be lost. */
	for (int done = 0; readable(fd, done ? 5 * REPEAT_MS : PATIENCE_MS);) {
		socklen_t from_bytes = sizeof from;
		ssize_t n = recvfrom(fd, &in, sizeof in, 0, (struct sockaddr *)&from, &from_bytes);

		if (n < (ssize_t)sizeof in.number)
			continue;
		n -= (ssize_t)sizeof in.number;
		if (!done && be64toh(in.number) == wanted) {
			if (fwrite(in.data, 1, (size_t)n, file) != (size_t)n)
				die(path);
			wanted++;
			done = n < (ssize_t)DATA_BYTES;
			if (done && fclose(file))
				die(path);
		}
		answer = htobe64(wanted);
		sendto(fd, &answer, sizeof answer, 0, (struct sockaddr *)&from, from_bytes);
	}
	if (wanted == 0) {
		errno = ETIMEDOUT;
		die(path);
	}
}

/* Datagrams first..first + n - 1 in one buffer; how many bytes that is. */
static size_t fill(
	struct datagram *out, uint64_t first, uint32_t n, const uint8_t *file, uint64_t file_bytes)
{
	size_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = (first + i) * DATA_BYTES, left = file_bytes - at;
		size_t len = left < DATA_BYTES ? (size_t)left : DATA_BYTES;

		out[i].number = htobe64(first + i);
		memcpy(out[i].data, file + at, len);
		total += sizeof out[i].number + len;
	}
	return total;
}

static void send_some(int fd, uint64_t first, uint32_t n, const uint8_t *file, uint64_t file_bytes)
{
	static struct datagram out[GSO_DATAGRAMS];
	union {
		char room[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = out, .iov_len = fill(out, first, n, file, file_bytes)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	uint16_t segment = sizeof(struct datagram);

	if (n > 1) {
		msg.msg_control = control.room;
		msg.msg_controllen = sizeof control.room;
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof segment);
		memcpy(CMSG_DATA(c), &segment, sizeof segment);
	}
	if (sendmsg(fd, &msg, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED)
		die("sendmsg");
}

static int connected(const char *address, const char *port)
{
	struct addrinfo *to, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
	int fd;

	if (getaddrinfo(address, port, &hints, &to)) {
		errno = EINVAL;
		die(address);
	}
	fd = socket(to->ai_family, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen))
		die(address);
	freeaddrinfo(to);
	return fd;
}

static void transmit(int fd, const char *path, uint32_t batch)
{
	int in = open(path, O_RDONLY), idle_ms = 0;
	struct stat st;
	uint64_t acked = 0, next = 0, n_datagrams, answer;
	const uint8_t *file;

	if (in < 0 || fstat(in, &st))
		die(path);
	file = mmap(NULL, (size_t)st.st_size + 1, PROT_READ, MAP_PRIVATE, in, 0);
	if (file == MAP_FAILED)
		die(path);
	n_datagrams = (uint64_t)st.st_size / DATA_BYTES + 1;
	while (acked < n_datagrams) {
		while (next < n_datagrams && next < acked + WINDOW) {
			uint64_t n = acked + WINDOW - next;

			n = n < n_datagrams - next ? n : n_datagrams - next;
			n = n < batch ? n : batch;
			send_some(fd, next, (uint32_t)n, file, (uint64_t)st.st_size);
			next += n;
		}
		if (!readable(fd, REPEAT_MS)) {
			idle_ms += REPEAT_MS;
			if (idle_ms >= PATIENCE_MS) {
				errno = ETIMEDOUT;
				die(path);
			}
			next = acked;
			continue;
		}
		if (recv(fd, &answer, sizeof answer, 0) != sizeof answer)
			continue; /* an ICMP error is no answer */
		if (be64toh(answer) > acked) {
			acked = be64toh(answer);
			idle_ms = 0;
		}
		if (next < acked)
			next = acked;
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "receive")) {
		receive(argv[2], argv[3]);
		return 0;
	}
	if ((argc == 5 || (argc == 6 && !strcmp(argv[5], "gso"))) && !strcmp(argv[1], "send")) {
		transmit(connected(argv[2], argv[3]), argv[4], argc == 6 ? GSO_DATAGRAMS : 1);
		return 0;
	}
	fprintf(stderr, "usage: flow receive PORT FILE | flow send ADDRESS PORT FILE [gso]\n");
	return 2;
}
