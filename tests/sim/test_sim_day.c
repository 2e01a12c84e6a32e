/* A day of a hub with twelve peers of all kinds, in a few seconds: 86,400 s of renewals, roaming,
 * loss and silence. No packet arrives twice, changed or at the wrong place; no key, handshake or
 * packet is forgotten anywhere; and at the end everybody can talk to everybody. WGHUB_TEST_DAYS:
 * how many such days, each with a seed of its own.
 */
#include "tests/sim/star.h"

#include <string.h>

#define N_PEERS 12
#ifdef __SANITIZE_THREAD__ /* one thread: nothing to find here, and ten times slower */
#define DAY_NS (7200 * NS_PER_S)
#else
#define DAY_NS (86400 * NS_PER_S)
#endif
#define CHECK_NS (600 * NS_PER_S)
#define QUIET_NS (WIPE_AFTER_NS + 200 * NS_PER_S)
#define IDS_MAX 400000

struct kind {
	const char *name;
	uint32_t pause_s, burst; /* between packets, on average; how many at once */
	uint16_t keepalive_s;
	uint32_t rebind_s; /* 0: never */
	struct sim_wire wire;
};

static const struct kind kinds[N_PEERS] = {
	{"busy", 2, 1, 0, 0, {.delay_ns = 5 * NS_PER_MS}},
	{"busy too", 3, 1, 0, 0, {.delay_ns = 40 * NS_PER_MS}},
	{"bursty", 400, 60, 0, 0, {.delay_ns = 5 * NS_PER_MS}},
	{"bursty, far", 900, 100, 0, 0, {.delay_ns = 150 * NS_PER_MS}},
	{"idle", 7200, 1, 0, 0, {.delay_ns = 10 * NS_PER_MS}},
	{"silent", 0, 0, 0, 0, {.delay_ns = 10 * NS_PER_MS}},
	{"keepalive", 3000, 1, 25, 0, {.delay_ns = 10 * NS_PER_MS}},
	{"keepalive, NAT", 1000, 2, 25, 200, {.delay_ns = 20 * NS_PER_MS}},
	{"roaming", 30, 1, 0, 300, {.delay_ns = 30 * NS_PER_MS}},
	{"lossy", 20, 1, 0, 0, {.loss_pm = 200, .delay_ns = 30 * NS_PER_MS}},
	{"doubling", 20, 3, 0, 0,
		{.duplicate_pm = 200, .delay_ns = 20 * NS_PER_MS, .jitter_ns = 300 * NS_PER_MS}},
	{"all of it", 40, 2, 25, 400,
		{.loss_pm = 50,
			.duplicate_pm = 50,
			.corrupt_pm = 50,
			.delay_ns = 20 * NS_PER_MS,
			.jitter_ns = 100 * NS_PER_MS}},
};

struct day {
	struct sim *sim;
	struct sim_hub *hub, *peers[N_PEERS];
	bool over; /* no traffic any more */
	uint32_t n_ids;
	uint8_t to[IDS_MAX], arrived[IDS_MAX];
	uint32_t n_sent[N_PEERS][N_PEERS], n_arrived[N_PEERS][N_PEERS];
	uint8_t from[IDS_MAX];
};

static unsigned number_of(const struct day *day, const struct sim_hub *h)
{
	for (unsigned i = 0; i < N_PEERS; i++)
		if (day->peers[i] == h)
			return i;
	SIM_MUST(!"a peer");
	return 0;
}

static void arrived(struct sim_hub *h, const uint8_t *packet, uint32_t len_bytes)
{
	struct day *day = h->arg;
	unsigned peer = number_of(day, h);
	uint8_t at = packet[0] >> 4 == 4 ? 20 : 40;

	if (packet[at == 20 ? 9 : 6] != IP_PROTO_UDP) { /* the hub could not reach somebody */
		SIM_MUST(sim_icmp_ok(packet, len_bytes));
		return;
	}

	uint32_t id = sim_udp_id(packet, len_bytes);

	SIM_MUST(id < day->n_ids && day->to[id] == peer);
	SIM_MUST(!day->arrived[id]++); /* once */
	day->n_arrived[day->from[id]][peer]++;
}

static void send_one(struct day *day, unsigned from, unsigned to)
{
	uint32_t id = day->n_ids++;

	SIM_MUST(id < IDS_MAX);
	day->from[id] = (uint8_t)from;
	day->to[id] = (uint8_t)to;
	day->n_sent[from][to]++;
	(id & 1 ? sim_send4 : sim_send6)(day->peers[from], day->peers[to], id);
}

static struct day *day_of(struct sim_hub *h)
{
	return h->arg;
}

static void traffic(struct sim *sim, void *arg)
{
	struct sim_hub *h = arg;
	struct day *day = day_of(h);
	unsigned from = number_of(day, h), to;
	const struct kind *kind = &kinds[from];

	if (day->over)
		return;
	for (uint32_t i = 0; i < kind->burst; i++) {
		/* A burst goes to one, but for a few. */
		if (!i || !rng_below(&sim->rng, 8))
			to = (from + 1 + (unsigned)rng_below(&sim->rng, N_PEERS - 1)) % N_PEERS;
		send_one(day, from, to);
	}
	sim_at(sim, sim->now_ns + 1 + rng_below(&sim->rng, 2 * kind->pause_s * NS_PER_S), traffic,
		h);
}

static void rebind(struct sim *sim, void *arg)
{
	struct sim_hub *h = arg;
	uint32_t rebind_s = kinds[number_of(day_of(h), h)].rebind_s;

	if (day_of(h)->over)
		return;
	sim_rebind(h);
	sim_at(sim, sim->now_ns + 1 + rng_below(&sim->rng, 2 * rebind_s * NS_PER_S), rebind, h);
}

static struct day *day_new(uint64_t seed)
{
	struct day *day = calloc(1, sizeof *day);

	SIM_MUST(day);
	day->sim = sim_new(seed);
	day->n_ids = 1;
	day->hub = sim_hub_new(day->sim, false, 2);
	day->hub->run_delay_max_ns = 2 * NS_PER_MS;
	for (unsigned i = 0; i < N_PEERS; i++) {
		struct sim_hub *h = day->peers[i] = sim_hub_new(day->sim, true, 1);

		star_join(day->hub, h, true);
		h->wire = kinds[i].wire;
		h->on_tun = arrived;
		h->arg = day;
		sim_set_keepalive(h, day->hub, kinds[i].keepalive_s);
		if (kinds[i].burst)
			sim_at(day->sim,
				day->sim->now_ns +
					rng_below(&day->sim->rng, kinds[i].pause_s * NS_PER_S),
				traffic, h);
		if (kinds[i].rebind_s)
			sim_at(day->sim, day->sim->now_ns + kinds[i].rebind_s * NS_PER_S, rebind,
				h);
	}
	return day;
}

static void check_all(struct day *day)
{
	for (unsigned i = 0; i < day->sim->n_hubs; i++)
		sim_check(day->sim->hubs[i]);
	SIM_MUST(day->hub->hub->keypairs.n_used <= 3 * N_PEERS);
	SIM_MUST(day->hub->hub->handshakes.n_used <= N_PEERS);
}

static bool is_clean(unsigned i)
{
	const struct sim_wire *wire = &kinds[i].wire;

	return !kinds[i].rebind_s && !wire->loss_pm && !wire->corrupt_pm && !wire->jitter_ns;
}

/* Clean lines lose nothing, but for what was on a long way when its key reached 180 s. */
static void judge_traffic(const struct day *day)
{
	uint64_t n_expired = 0;

	for (unsigned i = 0; i < day->sim->n_hubs; i++)
		n_expired += sim_drops(day->sim->hubs[i], DROP_EXPIRED);
	assert_true(n_expired < 20);
	for (unsigned from = 0; from < N_PEERS; from++)
		for (unsigned to = 0; to < N_PEERS; to++) {
			uint32_t n_sent = day->n_sent[from][to];
			uint32_t n_arrived = day->n_arrived[from][to];
			bool clean = is_clean(from) && is_clean(to);

			if (clean ? n_arrived + n_expired >= n_sent
				  : n_sent < 50 || n_arrived * 2 >= n_sent)
				continue;
			print_message("%s to %s: %u of %u\n", kinds[from].name, kinds[to].name,
				n_arrived, n_sent);
			assert_int_equal(n_arrived, n_sent);
		}
}

/* Nobody is lost: each speaks once, then everybody reaches everybody. */
static void judge_sessions(struct day *day)
{
	uint32_t first;

	for (unsigned i = 0; i < N_PEERS; i++)
		send_one(day, i, (i + 1) % N_PEERS);
	sim_run(day->sim, NS_PER_S);
	first = day->n_ids;
	for (unsigned from = 0; from < N_PEERS; from++)
		for (unsigned to = 0; to < N_PEERS; to++)
			if (from != to)
				send_one(day, from, to);
	sim_run(day->sim, NS_PER_S);
	for (uint32_t id = first; id < day->n_ids; id++)
		if (!day->arrived[id])
			fail_msg("%s does not reach %s", kinds[day->from[id]].name,
				kinds[day->to[id]].name);
}

static void run_day(uint64_t seed)
{
	struct day *day = day_new(seed);
	uint64_t end_ns = day->sim->now_ns + DAY_NS;

	while (day->sim->now_ns < end_ns) {
		sim_run(day->sim, CHECK_NS);
		check_all(day);
	}
	day->over = true;
	for (unsigned i = 0; i < N_PEERS; i++)
		day->peers[i]->wire = (struct sim_wire){.delay_ns = kinds[i].wire.delay_ns};
	sim_run(day->sim, QUIET_NS);
	check_all(day);
	judge_traffic(day);
	judge_sessions(day);
	for (unsigned i = 0; i < N_PEERS; i++)
		sim_set_keepalive(day->peers[i], day->hub, 0);
	sim_run(day->sim, QUIET_NS);
	check_all(day);
	for (unsigned i = 0; i < day->sim->n_hubs; i++) {
		struct hub *hub = day->sim->hubs[i]->hub;

		assert_int_equal(hub->keypairs.n_used, 0);
		assert_int_equal(hub->handshakes.n_used, 0);
		assert_int_equal(hub->sessions.n_live, 0);
		assert_int_equal(hub->staged_bytes, 0);
	}
	print_message("%u packets, %u handshakes of the hub\n", day->n_ids,
		(unsigned)day->hub->n_events[WGH_EVENT_HANDSHAKE]);
	sim_free(day->sim);
	free(day);
}

static void test_a_day_loses_no_session_and_leaks_nothing(void **state)
{
	(void)state;
	const char *days = getenv("WGHUB_TEST_DAYS");
	uint64_t n = days ? strtoull(days, NULL, 10) : 1;

	for (uint64_t seed = 1; seed <= n; seed++)
		run_day(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_day_loses_no_session_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
