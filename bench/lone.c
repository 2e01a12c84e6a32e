/* lone.c - one packet at a time through an idle hub: how long it takes and what it costs.
 *
 * Two played peers; one sends a small packet through the hub, the other sends it back the same way,
 * like ping. In between the hub sleeps, so this is the price of waking up, not of carrying. Figures
 * of a turn: the median and the 99th percentile of the round trips, and the hub's CPU time for each
 * of the two packets of a round trip.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "bench/lib/options.h"
#include "core/wire.h"
#include "crypto/aead.h"

enum {
	INTERVAL_NS = 10 * 1000 * 1000,
	INNER_BYTES = 84, /* as ping(8) sends */
	PADDED_BYTES = 96,
	MESSAGE_BYTES = PADDED_BYTES + WIRE_DATA_MIN_BYTES,
	PROTO_EXPERIMENT = 253, /* RFC 3692: no checksum of ours beyond the header's */
	WAIT_MS = 1000,
	TRIPS_MAX = 1 << 16,
};

static double trips_us[TRIPS_MAX];

/* IPv4, nothing inside. */
static void inner_write(uint8_t *p, uint32_t from, uint32_t to)
{
	uint32_t sum = 0;

	memset(p, 0, PADDED_BYTES);
	p[0] = 0x45;
	p[3] = INNER_BYTES;
	p[8] = 64;
	p[9] = PROTO_EXPERIMENT;
	for (int i = 0; i < 4; i++) {
		p[12 + i] = (uint8_t)(from >> (24 - 8 * i));
		p[16 + i] = (uint8_t)(to >> (24 - 8 * i));
	}
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	p[10] = (uint8_t)(~sum >> 8);
	p[11] = (uint8_t)~sum;
}

static bool packet_send(struct played *from, const struct played *to)
{
	uint8_t m[MESSAGE_BYTES] = {WIRE_DATA};

	le32_put(m + 4, from->hub_index);
	le64_put(m + 8, from->n_sent);
	inner_write(m + 16, from->inner_address, to->inner_address);
	aead_seal_one(m + 16, m + 16, PADDED_BYTES, NULL, 0, &from->keys.send, from->n_sent);
	from->n_sent++;
	if (send(from->fd, m, sizeof m, 0) == sizeof m)
		return true;
	fprintf(stderr, "lone: send: %s\n", strerror(errno));
	return false;
}

/* The next packet of ours; a hub's kernel may send others. False: none came, or a wrong one. */
static bool packet_receive(struct played *at, const struct played *from, const char *label)
{
	struct pollfd wait = {.fd = at->fd, .events = POLLIN};
	uint8_t m[2048];

	while (poll(&wait, 1, WAIT_MS) > 0) {
		ssize_t n = recv(at->fd, m, sizeof m, MSG_DONTWAIT);
		uint32_t source = from->inner_address;

		if (n != MESSAGE_BYTES || le32_get(m) != WIRE_DATA)
			continue;
		if (!aead_open_one(m + 16, m + 16, PADDED_BYTES + WIRE_TAG_BYTES, NULL, 0,
			    &at->keys.receive, le64_get(m + 8)) ||
			m[16 + 9] != PROTO_EXPERIMENT || m[16 + 15] != (uint8_t)source) {
			fprintf(stderr, "lone: %s sent a wrong packet\n", label);
			return false;
		}
		return true;
	}
	fprintf(stderr, "lone: %s lost a packet\n", label);
	return false;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static bool turn(struct target *t, size_t round, uint64_t duration_ns)
{
	struct played *a = &t->peers[0], *b = &t->peers[1];
	uint64_t cpu_ns, softirq_ns, cpu_end_ns, next_ns;
	size_t n = duration_ns / INTERVAL_NS;

	if (n < 2 || n > TRIPS_MAX)
		n = n < 2 ? 2 : TRIPS_MAX;
	if (!target_refresh(t))
		return false;
	next_ns = clock_now_ns() + 10 * INTERVAL_NS; /* the keepalives are through */
	sleep_until(next_ns);
	if (!target_cpu_ns(t, &cpu_ns, &softirq_ns))
		return false;
	for (size_t i = 0; i < n; i++) {
		uint64_t start_ns;

		next_ns += INTERVAL_NS;
		sleep_until(next_ns);
		start_ns = clock_now_ns();
		if (!packet_send(a, b) || !packet_receive(b, a, t->label) || !packet_send(b, a) ||
			!packet_receive(a, b, t->label))
			return false;
		trips_us[i] = (double)(clock_now_ns() - start_ns) / 1000;
	}
	if (!target_cpu_ns(t, &cpu_end_ns, &softirq_ns))
		return false;
	qsort(trips_us, n, sizeof trips_us[0], compare);
	figure_line("round trip p50", "us", "lower", t, round, trips_us[n / 2]);
	figure_line("round trip p99", "us", "lower", t, round, trips_us[n * 99 / 100]);
	figure_line("hub CPU per packet", "us", "lower", t, round,
		(double)(cpu_end_ns - cpu_ns) / 1000 / (2 * (double)n));
	return true;
}

int main(int argc, char **argv)
{
	struct options o = {.n_rounds = 5, .n_peers = 2, .turn_ns = 3000 * NS_PER_MS};
	bool ok = options_parse(
		&o, argc, argv, "Sends packets one by one there and back through idle hubs.");

	if (!ok)
		return 2;
	for (size_t i = 0; ok && i < o.n_targets; i++)
		ok = target_configure(&o.targets[i], 2);
	for (size_t round = 1; ok && round <= o.n_rounds; round++) {
		for (size_t i = 0; ok && i < o.n_targets; i++) {
			progress_line(
				"round %zu of %zu: %s", round, o.n_rounds, o.targets[i].label);
			ok = turn(&o.targets[i], round, o.turn_ns);
		}
	}
	progress_line(NULL);
	options_fini(&o);
	return ok ? 0 : 1;
}
