/* garbage.c - datagrams that no WireGuard program sends, to a port.
 *
 *   garbage ADDRESS PORT SEED N PID
 *
 * First each message type with each length up to 2048, then N more: random bytes, random lengths
 * up to the largest datagram, half of them with a header and a length that are almost right, or
 * exactly right. At most 20,000 a second, and none while many wait at the port of process PID, so
 * that it is nonsense that is tested, not load: a PID that the machine does not let run loses
 * nothing.
 */
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EACH_LENGTH 2048u
#define DATAGRAM_MAX 65507u
#define WAITING_MAX (256u << 10) /* bytes; the port's buffer has megabytes */

static uint64_t state;
static uint8_t buffer[DATAGRAM_MAX];
static const char *hub_pid;
static unsigned long hub_port;

/* xorshift64*: only to be repeatable. */
static uint64_t random64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

/* The most bytes that wait at one of the sockets on this port, by /proc/PID/net/udp or udp6. */
static unsigned long waiting(const char *pid, const char *table, unsigned long port)
{
	unsigned long most = 0, of_port, bytes;
	char path[100], line[300];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%s/net/%s", pid, table);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file)) {
		if (sscanf(line, "%*s %*[^:]:%lx %*s %*s %*[^:]:%lx", &of_port, &bytes) == 2 &&
			of_port == port && bytes > most)
			most = bytes;
	}
	if (file)
		fclose(file);
	return most;
}

static void pause_a_little(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	do
		nanosleep(&ms, NULL);
	while (waiting(hub_pid, "udp", hub_port) > WAITING_MAX ||
		waiting(hub_pid, "udp6", hub_port) > WAITING_MAX);
}

static void shoot(int fd, size_t len)
{
	static unsigned n;

	/* The port may be closed for a moment, and buffers may be full. */
	if (send(fd, buffer, len, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
		perror("garbage: send");
	if (++n % 20 == 0)
		pause_a_little();
}

static void each_type_and_length(int fd)
{
	for (unsigned type = 0; type <= 5; type++) {
		for (size_t len = 0; len <= EACH_LENGTH; len++) {
			for (size_t i = 0; i < len; i++)
				buffer[i] = (uint8_t)random64();
			if (len >= 4)
				memcpy(buffer, (uint8_t[4]){(uint8_t)type}, 4);
			shoot(fd, len);
		}
	}
}

static void any(int fd)
{
	/* Lengths of the paper's messages (5.4.2 to 5.4.7), and of a small data message. */
	static const size_t lengths[] = {148, 92, 64, 32, 128};
	uint64_t r = random64();
	size_t len = r % 50 ? r >> 8 & 2047 : (r >> 8) % (DATAGRAM_MAX + 1);

	if (r & 1 << 5)
		len = lengths[(r >> 32) % 5] + (r >> 40) % 3 - 1;
	for (size_t i = 0; i < len; i++)
		buffer[i] = (uint8_t)random64();
	if (r & 1 << 6 && len >= 16) {
		memset(buffer, 0, 16);
		buffer[0] = (uint8_t)(1 + (r >> 33) % 4);
		buffer[4 + (r >> 36) % 12] = (uint8_t)(r >> 48);
	}
	shoot(fd, len);
}

int main(int argc, char **argv)
{
	struct addrinfo *to, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
	int fd;

	if (argc != 6 || getaddrinfo(argv[1], argv[2], &hints, &to)) {
		fprintf(stderr, "usage: garbage ADDRESS PORT SEED N PID\n");
		return 2;
	}
	state = strtoull(argv[3], NULL, 10) + 1;
	hub_port = strtoul(argv[2], NULL, 10);
	hub_pid = argv[5];
	fd = socket(to->ai_family, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen)) {
		perror("garbage");
		return 1;
	}
	each_type_and_length(fd);
	for (long i = 0; i < atol(argv[4]); i++)
		any(fd);
	freeaddrinfo(to);
	close(fd);
	return 0;
}
