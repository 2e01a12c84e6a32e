/* played.c - see played.h. */
#include "bench/lib/played.h"

#include <errno.h>
#include <linux/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/wire.h"
#include "crypto/aead.h"

enum {
	BUFFER_BYTES = 16 << 20,
	TRIES = 12,
	ANSWER_WAIT_MS = 300,
};

uint64_t clock_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool complain(const char *what)
{
	fprintf(stderr, "hub: %s: %s\n", what, strerror(errno));
	return false;
}

/* What the system refuses here costs only speed or shows up as loss. */
static void socket_tune(int fd)
{
	int on = 1, bytes = BUFFER_BYTES;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
	(void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
}

void descriptors_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

bool played_init(struct played *p, const struct sockaddr_in *hub, uint32_t inner_address)
{
	struct x25519_secret secret;
	uint8_t random[32];

	*p = (struct played){.inner_address = inner_address};
	secret_random(random, sizeof random);
	x25519_secret_from_random(&secret, random);
	noise_identity_set(&p->identity, &secret);
	p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return complain("socket");
	socket_tune(p->fd);
	if (connect(p->fd, (const struct sockaddr *)hub, sizeof *hub) < 0) {
		close(p->fd);
		p->fd = -1;
		return complain("connect to the hub");
	}
	return true;
}

void played_fini(struct played *p)
{
	if (p->fd >= 0)
		close(p->fd);
	secret_wipe(p, sizeof *p);
	p->fd = -1;
}

void played_timestamp(uint8_t out[WIRE_TIMESTAMP_BYTES])
{
	struct timespec t;
	uint64_t s;

	clock_gettime(CLOCK_REALTIME, &t);
	s = (uint64_t)t.tv_sec + (UINT64_C(1) << 62) + 10;
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(s >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		out[8 + i] = (uint8_t)((uint64_t)t.tv_nsec >> (24 - 8 * i));
}

static bool initiation_send(
	struct played *p, struct noise_state *state, const struct x25519_public *hub)
{
	struct wire_initiation m = {.type = {WIRE_INITIATION}};
	uint8_t ss[32], random[32], timestamp[WIRE_TIMESTAMP_BYTES];

	secret_random(random, sizeof random);
	secret_random(&p->local_index, sizeof p->local_index);
	le32_put(m.sender, p->local_index);
	played_timestamp(timestamp);
	if (!noise_static_static(ss, &p->identity, hub) ||
		!noise_initiation_create(state, &m, &p->identity, hub, ss, timestamp, random))
		return complain("no handshake possible with this hub's key");
	cookie_jar_sign(&p->jar, hub, (uint8_t *)&m, sizeof m, clock_now_ns());
	/* ECONNREFUSED: a hub that is still starting; the next try tells. */
	if (send(p->fd, &m, sizeof m, 0) < 0 && errno != ECONNREFUSED)
		return complain("send");
	return true;
}

/* Waits for the response; whatever else comes is left behind. */
static bool response_take(
	struct played *p, const struct noise_state *sent, const struct x25519_public *hub)
{
	static const struct psk no_psk;
	uint64_t end_ns = clock_now_ns() + ANSWER_WAIT_MS * UINT64_C(1000000);
	uint8_t buffer[2048];

	for (uint64_t now = clock_now_ns(); now < end_ns; now = clock_now_ns()) {
		struct pollfd wait = {.fd = p->fd, .events = POLLIN};
		ssize_t n;

		if (poll(&wait, 1, (int)((end_ns - now) / 1000000) + 1) <= 0)
			continue;
		n = recv(p->fd, buffer, sizeof buffer, MSG_DONTWAIT);
		if (n == sizeof(struct wire_cookie) && le32_get(buffer) == WIRE_COOKIE &&
			cookie_jar_open(&p->jar, hub, (struct wire_cookie *)buffer, clock_now_ns()))
			return false; /* try again at once, now with mac2 */
		if (n == sizeof(struct wire_response) && le32_get(buffer) == WIRE_RESPONSE) {
			const struct wire_response *m = (const struct wire_response *)buffer;
			struct noise_state state = *sent;

			if (le32_get(m->receiver) != p->local_index ||
				!noise_response_open(&state, &p->keys, m, &p->identity, &no_psk))
				continue;
			p->hub_index = le32_get(m->sender);
			return true;
		}
	}
	return false;
}

bool played_keepalive(struct played *p)
{
	uint8_t m[WIRE_DATA_MIN_BYTES] = {WIRE_DATA};

	le32_put(m + 4, p->hub_index);
	le64_put(m + 8, p->n_sent);
	aead_seal_one(m + 16, m + 16, 0, NULL, 0, &p->keys.send, p->n_sent);
	p->n_sent++;
	if (send(p->fd, m, sizeof m, 0) < 0)
		return complain("send");
	return true;
}

bool played_handshake(struct played *p, const struct x25519_public *hub)
{
	struct noise_state state;

	for (int i = 0; i < TRIES; i++) {
		if (!initiation_send(p, &state, hub))
			return false;
		if (!response_take(p, &state, hub))
			continue;
		p->n_sent = p->n_received = 0;
		p->session_born_ns = clock_now_ns();
		return played_keepalive(p);
	}
	fprintf(stderr, "hub: no answer to %d handshake initiations\n", TRIES);
	return false;
}
