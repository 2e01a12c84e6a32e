/* handshakes.c - how many handshakes a second a hub completes.
 *
 * Many played peers, each on a socket of its own, shake hands with the hub, a bounded number at the
 * same time (below what makes a hub feel under load), every one once in a turn. Their initiations
 * are made before the clock starts; inside remain the opening of the response and the first packet,
 * without which the hub's side is not complete: half of the hub's work. How busy the hub was is a
 * figure of its own: where it is well below 100 % the generator was the limit. At the end the hub
 * is asked whether it really has a session with each peer since the last turn began.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/options.h"
#include "core/wire.h"

enum {
	IN_FLIGHT = 64,
	EVENTS = 64,
	SILENCE_MS = 1000,
	SETTLE_NS = 100 * 1000 * 1000,
};

/* A peer's part of this turn. */
struct attempt {
	struct wire_initiation message;
	struct noise_state noise;
	bool complete;
};

static struct attempt *attempts;

static bool complain(const struct target *t, const char *what)
{
	progress_line(NULL);
	fprintf(stderr, "handshakes: %s: %s\n", t->label, what);
	return false;
}

static bool initiation_make(struct target *t, size_t i)
{
	struct played *p = &t->peers[i];
	struct attempt *a = &attempts[i];
	uint8_t ss[32], random[32], timestamp[WIRE_TIMESTAMP_BYTES];

	*a = (struct attempt){.message = {.type = {WIRE_INITIATION}}};
	secret_random(random, sizeof random);
	secret_random(&p->local_index, sizeof p->local_index);
	le32_put(a->message.sender, p->local_index);
	played_timestamp(timestamp);
	if (!noise_static_static(ss, &p->identity, &t->public_key) ||
		!noise_initiation_create(&a->noise, &a->message, &p->identity, &t->public_key, ss,
			timestamp, random))
		return complain(t, "no handshake possible with this hub's key");
	cookie_jar_sign(
		&p->jar, &t->public_key, (uint8_t *)&a->message, sizeof a->message, clock_now_ns());
	return true;
}

static bool initiation_send(struct target *t, size_t i)
{
	if (send(t->peers[i].fd, &attempts[i].message, sizeof attempts[i].message, 0) > 0)
		return true;
	return complain(t, strerror(errno));
}

/* True: *done says whether this was the response. */
static bool response_take(struct target *t, size_t i, bool *done)
{
	static const struct psk no_psk;
	struct played *p = &t->peers[i];
	const struct wire_response *m;
	uint8_t buffer[2048];
	ssize_t n = recv(p->fd, buffer, sizeof buffer, MSG_DONTWAIT);

	*done = false;
	if (n == sizeof(struct wire_cookie) && le32_get(buffer) == WIRE_COOKIE)
		return complain(t, "feels under load: fewer handshakes at the same time would do");
	m = (const struct wire_response *)buffer;
	if (n != sizeof *m || le32_get(buffer) != WIRE_RESPONSE || attempts[i].complete ||
		le32_get(m->receiver) != p->local_index)
		return true;
	if (!noise_response_open(&attempts[i].noise, &p->keys, m, &p->identity, &no_psk))
		return complain(t, "sent a response that does not open");
	p->hub_index = le32_get(m->sender);
	p->n_sent = p->n_received = 0;
	p->session_born_ns = clock_now_ns();
	attempts[i].complete = *done = true;
	return played_keepalive(p);
}

static bool turn(struct target *t, int poll_fd, size_t round)
{
	uint64_t start_ns, elapsed_ns, cpu_ns, cpu_end_ns, softirq_ns;
	struct epoll_event events[EVENTS];
	size_t n_sent = 0, n_done = 0;

	for (size_t i = 0; i < t->n_peers; i++)
		if (!initiation_make(t, i))
			return false;
	if (!target_cpu_ns(t, &cpu_ns, &softirq_ns))
		return false;
	start_ns = clock_now_ns();
	while (n_done < t->n_peers) {
		for (; n_sent < t->n_peers && n_sent - n_done < IN_FLIGHT; n_sent++)
			if (!initiation_send(t, n_sent))
				return false;
		int n = epoll_wait(poll_fd, events, EVENTS, SILENCE_MS);

		if (n == 0)
			return complain(t, "leaves initiations without an answer");
		for (int k = 0; k < n; k++) {
			bool done;

			if (!response_take(t, events[k].data.u32, &done))
				return false;
			n_done += done;
		}
	}
	elapsed_ns = clock_now_ns() - start_ns;
	/* The first packets of the last few are still on their way. */
	nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL);
	if (!target_cpu_ns(t, &cpu_end_ns, &softirq_ns))
		return false;
	if (!round)
		return true;
	figure_line("handshakes completed", "per second", "higher", t, round,
		(double)n_done * 1e9 / (double)elapsed_ns);
	figure_line("hub CPU per handshake", "us", "lower", t, round,
		(double)(cpu_end_ns - cpu_ns) / 1000 / (double)n_done);
	figure_line("hub busy", "%", "higher", t, round,
		100 * (double)(cpu_end_ns - cpu_ns) / (double)elapsed_ns);
	return true;
}

/* Has the hub a session with every peer that is younger than since? */
static bool sessions_check(const struct target *t, time_t since)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t n = 0;
	char line[256];
	FILE *f;

	snprintf(path.sun_path, sizeof path.sun_path, "/var/run/wireguard/%s.sock", t->ifname);
	if (fd < 0 || connect(fd, (struct sockaddr *)&path, sizeof path) < 0 ||
		!(f = fdopen(fd, "r+")))
		return complain(t, strerror(errno));
	fprintf(f, "get=1\n\n");
	fflush(f);
	while (fgets(line, sizeof line, f) && line[0] != '\n') {
		long long s;

		n += sscanf(line, "last_handshake_time_sec=%lld", &s) == 1 && s >= since;
	}
	fclose(f);
	return n == t->n_peers || complain(t, "has not completed every handshake");
}

static int poll_new(const struct target *t)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < t->n_peers; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

		if (epoll_ctl(fd, EPOLL_CTL_ADD, t->peers[i].fd, &e) < 0) {
			close(fd);
			return -1;
		}
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct options o = {.n_rounds = 7, .n_peers = 2000, .turn_ns = NS_PER_MS};
	int poll_fds[MAX_TARGETS];
	time_t since[MAX_TARGETS];
	bool ok = options_parse(&o, argc, argv,
		"Counts the handshakes hubs complete, with --peers peers each once in a round.");

	if (!ok)
		return 2;
	attempts = calloc(o.n_peers, sizeof *attempts);
	ok = attempts;
	for (size_t i = 0; ok && i < o.n_targets; i++) {
		progress_line("%s meets its peers", o.targets[i].label);
		ok = target_configure(&o.targets[i], o.n_peers) &&
			(poll_fds[i] = poll_new(&o.targets[i])) >= 0;
	}
	/* Round 0 only warms up. */
	for (size_t round = 0; ok && round <= o.n_rounds; round++) {
		for (size_t i = 0; ok && i < o.n_targets; i++) {
			progress_line(
				"round %zu of %zu: %s", round, o.n_rounds, o.targets[i].label);
			since[i] = time(NULL);
			ok = turn(&o.targets[i], poll_fds[i], round);
		}
	}
	for (size_t i = 0; ok && i < o.n_targets; i++)
		ok = sessions_check(&o.targets[i], since[i]);
	progress_line(NULL);
	options_fini(&o);
	free(attempts);
	return ok ? 0 : 1;
}
