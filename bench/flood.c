/* flood.c - what remains of forwarding while bad handshake initiations pour in.
 *
 * One pair of played peers keeps the hub as busy as it can be (lib/traffic.h); a thread beside it
 * sends 50,000 initiations a second from 16 sockets: with a wrong mac1, which costs a hub one hash
 * to refuse, or with the right mac1 over garbage, which an attacker can make who knows the hub's
 * public key. In each round every hub has a turn without and one with either flood; what is kept is
 * the ratio of packets forwarded. The hub has no cycle to spare here: at a lower load it would keep
 * more. The same in another unit is what a bad message costs: the hub's CPU time beyond what so
 * many packets took without the flood, for each bad message.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "bench/lib/options.h"
#include "bench/lib/traffic.h"
#include "core/wire.h"

enum {
	FLOOD_PER_S = 50000,
	TICK_NS = 1000 * 1000,
	PER_TICK = FLOOD_PER_S / (1000 * 1000 * 1000 / TICK_NS),
	SOURCES = 16,
	MESSAGES = 1024, /* different ones, sent in turn */
	INNER_BYTES = 1420,
	CALM_NS = 20 * 1000 * 1000,
};

struct flood {
	int fds[SOURCES];
	struct wire_initiation messages[2][MESSAGES]; /* wrong mac1, right mac1 */
	const struct wire_initiation *now;
	_Atomic bool stop;
	uint64_t n_sent, elapsed_ns;
};

static struct flood floods[MAX_TARGETS];

static bool flood_init(struct flood *f, const struct target *t)
{
	struct cookie_jar jar = {0};

	for (int i = 0; i < SOURCES; i++) {
		f->fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (f->fds[i] < 0 ||
			connect(f->fds[i], (const struct sockaddr *)&t->address,
				sizeof t->address) < 0) {
			perror("flood: socket");
			return false;
		}
	}
	secret_random(f->messages, sizeof f->messages);
	for (int kind = 0; kind < 2; kind++) {
		for (int i = 0; i < MESSAGES; i++) {
			struct wire_initiation *m = &f->messages[kind][i];

			le32_put(m->type, WIRE_INITIATION);
			cookie_jar_sign(&jar, &t->public_key, (uint8_t *)m, sizeof *m, 0);
			if (kind == 0)
				m->macs.mac1[i % WIRE_MAC_BYTES] ^= 0x01;
		}
	}
	return true;
}

static void tick(struct flood *f, unsigned n_tick)
{
	struct mmsghdr out[PER_TICK] = {0};
	struct iovec iov[PER_TICK];
	int fd = f->fds[n_tick % SOURCES], n;

	for (unsigned i = 0; i < PER_TICK; i++) {
		iov[i] = (struct iovec){
			(void *)&f->now[(n_tick * PER_TICK + i) % MESSAGES], sizeof *f->now};
		out[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	n = sendmmsg(fd, out, PER_TICK, 0);
	if (n > 0)
		f->n_sent += (unsigned)n;
}

static void *flood_run(void *arg)
{
	struct flood *f = arg;
	uint64_t start_ns = clock_now_ns(), next_ns = start_ns;

	for (unsigned i = 0; !atomic_load(&f->stop); i++) {
		struct timespec t;

		tick(f, i);
		next_ns += TICK_NS; /* a late tick is made up for */
		t = (struct timespec){(time_t)(next_ns / 1000000000), (long)(next_ns % 1000000000)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	}
	f->elapsed_ns = clock_now_ns() - start_ns;
	return NULL;
}

static double rate(const struct turn *u)
{
	return u->elapsed_ns ? (double)u->n_received * 1e6 / (double)u->elapsed_ns : 0;
}

/* CPU for each packet, in ns. */
static double cost(const struct turn *u)
{
	return (double)u->cpu_ns / (u->n_received ? (double)u->n_received : 1);
}

static bool flooded(struct traffic *tr, struct target *t, struct flood *f, int kind,
	const struct load *load, uint64_t turn_ns, struct turn *u)
{
	pthread_t thread;
	bool ok;

	f->now = f->messages[kind];
	f->n_sent = 0;
	atomic_store(&f->stop, false);
	if (pthread_create(&thread, NULL, flood_run, f)) {
		fprintf(stderr, "flood: no thread\n");
		return false;
	}
	nanosleep(&(struct timespec){.tv_nsec = CALM_NS}, NULL); /* until the hub has noticed */
	ok = traffic_turn(tr, t, load, turn_ns, u);
	atomic_store(&f->stop, true);
	pthread_join(thread, NULL);
	if ((double)f->n_sent * 1e9 / (double)f->elapsed_ns < 0.98 * FLOOD_PER_S)
		fprintf(stderr, "flood: only %.0f a second were sent\n",
			(double)f->n_sent * 1e9 / (double)f->elapsed_ns);
	return ok;
}

static bool round_run(struct traffic *tr, struct target *t, struct flood *f, size_t round,
	const struct load *load, uint64_t turn_ns)
{
	static const char *const kinds[] = {"wrong mac1", "right mac1, garbage"};
	struct turn calm, u;

	nanosleep(&(struct timespec){.tv_nsec = CALM_NS}, NULL);
	if (!traffic_turn(tr, t, load, turn_ns, &calm))
		return false;
	if (round)
		figure_line("forwarded without a flood", "kpps", "higher", t, round, rate(&calm));
	for (int kind = 0; kind < 2; kind++) {
		char metric[64];
		double extra_ns, n_bad;

		if (!flooded(tr, t, f, kind, load, turn_ns, &u))
			return false;
		if (!round || !rate(&calm))
			continue;
		snprintf(metric, sizeof metric, "kept under %s", kinds[kind]);
		figure_line(metric, "ratio", "higher", t, round, rate(&u) / rate(&calm));
		extra_ns = (double)u.cpu_ns - cost(&calm) * (double)u.n_received;
		n_bad = (double)u.elapsed_ns / 1e9 * FLOOD_PER_S;
		snprintf(metric, sizeof metric, "CPU per bad message, %s", kinds[kind]);
		figure_line(metric, "us", "lower", t, round, extra_ns / n_bad / 1000);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct options o = {.n_rounds = 7, .n_peers = 2, .turn_ns = 500 * NS_PER_MS};
	struct load load = {.name = "bursts of 64, 2 peers",
		.burst_packets = CHUNK_PACKETS,
		.n_pairs = 1,
		.inner_bytes = INNER_BYTES};
	struct traffic *tr = NULL;
	bool ok = options_parse(&o, argc, argv, "Floods busy hubs with bad handshake initiations.");

	if (!ok)
		return 2;
	tr = traffic_new();
	ok = tr;
	for (size_t i = 0; ok && i < o.n_targets; i++) {
		o.targets[i].window_packets = 512;
		ok = target_configure(&o.targets[i], 2) && flood_init(&floods[i], &o.targets[i]);
	}
	/* Round 0 only warms up. */
	for (size_t round = 0; ok && round <= o.n_rounds; round++) {
		for (size_t i = 0; ok && i < o.n_targets; i++) {
			progress_line(
				"round %zu of %zu: %s", round, o.n_rounds, o.targets[i].label);
			ok = round_run(tr, &o.targets[i], &floods[i], round, &load, o.turn_ns);
		}
	}
	progress_line(NULL);
	options_fini(&o);
	traffic_free(tr);
	return ok ? 0 : 1;
}
