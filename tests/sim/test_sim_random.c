/* A seeded random walk: everything that can be done to a hub and its peers, in any order, with the
 * truths of sim_check() asked for after every step. WGHUB_TEST_ROUNDS sets the number of seeds,
 * WGHUB_TEST_SEED the first; the seed and step are printed when a truth fails.
 */
#include "tests/sim/attacker.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define N_HUBS 5
#define N_STEPS 3000
#define LOG_MAX 400

struct walk {
	struct sim *sim;
	struct sim_hub *hubs[N_HUBS];
};

static uint64_t walk_seed, walk_step;

static void say_where(int signal_no)
{
	char text[96];
	int n = snprintf(text, sizeof text, "seed %llu, step %llu\n", (unsigned long long)walk_seed,
		(unsigned long long)walk_step);

	(void)signal_no;
	if (write(2, text, (size_t)n) < 0)
		_exit(3);
}

static uint64_t below(struct walk *walk, uint64_t limit)
{
	return rng_below(&walk->sim->rng, limit);
}

static struct sim_hub *any_hub(struct walk *walk)
{
	return walk->hubs[below(walk, N_HUBS)];
}

static struct sim_hub *other_hub(struct walk *walk, const struct sim_hub *than)
{
	for (;;) {
		struct sim_hub *h = any_hub(walk);

		if (h != than)
			return h;
	}
}

static struct wgh_endpoint any_endpoint(struct walk *walk)
{
	struct wgh_endpoint endpoint = any_hub(walk)->outer;

	if (below(walk, 3))
		return endpoint;
	rng_fill(&walk->sim->rng, endpoint.addr, 4);
	endpoint.port = (uint16_t)below(walk, 65536);
	if (!below(walk, 3)) {
		rng_fill(&walk->sim->rng, endpoint.addr, 16);
		endpoint.family = WGH_IPV6;
	}
	return endpoint;
}

static struct wgh_prefix any_prefix(struct walk *walk)
{
	struct wgh_prefix prefix;

	if (below(walk, 2)) {
		prefix.addr = sim_addr4(10, 0, (uint8_t)below(walk, 2), (uint8_t)below(walk, 8));
		prefix.bits = (uint8_t)below(walk, 33);
	} else {
		prefix.addr = any_hub(walk)->inner6;
		prefix.bits = (uint8_t)below(walk, 129);
	}
	return prefix;
}

static void sink(struct sim_hub *h, const uint8_t *packet, uint32_t len_bytes)
{
	SIM_MUST(len_bytes >= 20 && (packet[0] >> 4 == 4 || packet[0] >> 4 == 6));
	(void)h;
}

/* ---- the steps ---- */

static void step_send(struct walk *walk)
{
	struct sim_hub *from = any_hub(walk), *to = other_hub(walk, from);
	uint64_t n = below(walk, 20) ? 1 + below(walk, 4) : below(walk, 200);

	while (n--)
		(below(walk, 2) ? sim_send4 : sim_send6)(from, to, (uint32_t)below(walk, 9999));
}

/* Of the host: not a packet at all, or one with odd bytes. */
static void step_send_odd(struct walk *walk)
{
	static const uint8_t places[][4] = {{127, 0, 0, 1}, {224, 0, 0, 1}, {255, 255, 255, 255},
		{10, 0, 0, 255}, {10, 99, 0, 1}, {0, 0, 0, 0}, {169, 254, 0, 1}};
	struct sim_hub *from = any_hub(walk), *to = any_hub(walk);
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	uint32_t len = (uint32_t)below(walk, 1500);

	if (!below(walk, 6)) {
		rng_fill(&walk->sim->rng, packet, len);
		sim_tun_send(from, packet, len);
		return;
	}
	len = below(walk, 2) ? sim_udp(packet, &from->inner4, &to->inner4, 1, 4 + len)
			     : sim_echo(packet, &from->inner4, &to->inner4, len);
	for (uint64_t n = below(walk, 3); n; n--)
		packet[below(walk, 30)] = (uint8_t)rng_next(&walk->sim->rng);
	if (below(walk, 2))
		memcpy(packet + 16, places[below(walk, sizeof places / 4)], 4);
	if (!below(walk, 4))
		packet[8] = (uint8_t)below(walk, 3);
	if (below(walk, 4))
		sim_ip_mend(packet);
	sim_tun_send(from, packet, len - (uint32_t)below(walk, 2));
}

/* A datagram of any type and length, or the right one of some type. */
static void step_invent(struct walk *walk)
{
	static const uint32_t right[] = {0, 148, 92, 64, 32};
	uint8_t bytes[SIM_PACKET_BYTES_MAX];
	uint32_t type = (uint32_t)below(walk, 6);
	uint32_t len = (uint32_t)below(walk, below(walk, 2) ? 200 : 1600);
	struct wgh_endpoint source = any_endpoint(walk);

	if (type && type < 5 && below(walk, 2))
		len = right[type] + (type == 4 ? 16 * (uint32_t)below(walk, 80) : 0);
	rng_fill(&walk->sim->rng, bytes, sizeof bytes);
	le32_put(bytes, type | (below(walk, 20) ? 0 : 0x100));
	sim_inject(any_hub(walk), &source, bytes, len);
}

/* More initiations with a right mac1 at once than the control side likes. */
static void step_flood(struct walk *walk)
{
	struct sim_hub *h = any_hub(walk);
	uint64_t delay_ns = h->run_delay_max_ns;
	struct copy message = {.len_bytes = sizeof(struct wire_initiation)};

	rng_fill(&walk->sim->rng, message.bytes, message.len_bytes);
	le32_put(message.bytes, WIRE_INITIATION);
	sign(h, &message);
	h->run_delay_max_ns = NS_PER_S;
	for (uint64_t n = below(walk, 1500); n; n--) {
		struct wgh_endpoint source = any_endpoint(walk);

		sim_inject(h, &source, message.bytes, message.len_bytes);
	}
	h->run_delay_max_ns = delay_ns;
}

/* Something that was on the wire before, as it was or not quite. */
static void step_replay(struct walk *walk)
{
	struct sim *sim = walk->sim;
	struct sim_datagram *d;
	uint8_t bytes[SIM_PACKET_BYTES_MAX];
	uint32_t len;
	struct wgh_endpoint source;

	if (!sim->n_log)
		return;
	d = &sim->log[below(walk, sim->n_log)];
	len = d->len_bytes;
	memcpy(bytes, d->bytes, len);
	source = below(walk, 2) ? d->source : any_endpoint(walk);
	if (below(walk, 2))
		bytes[below(walk, len)] ^= (uint8_t)(1u << below(walk, 8));
	if (!below(walk, 4))
		len = (uint32_t)below(walk, len + 1);
	sim_inject(any_hub(walk), &source, bytes, len);
}

static void step_time(struct walk *walk)
{
	static const uint64_t spans_ns[] = {NS_PER_MS, 30 * NS_PER_MS, NS_PER_S, 6 * NS_PER_S,
		30 * NS_PER_S, 130 * NS_PER_S, 600 * NS_PER_S};
	uint64_t kind = below(walk, 40);

	sim_run(walk->sim, below(walk, spans_ns[kind < 7 ? kind : kind % 2]));
}

static void step_peer(struct walk *walk)
{
	struct sim_hub *h = any_hub(walk), *peer = other_hub(walk, h);
	struct wgh_allowed_ip ips[3];
	struct wgh_peer_change change = {.allowed_ips = ips};

	switch (below(walk, 6)) {
	case 0:
		sim_remove_peer(h, peer);
		return;
	case 1:
		sim_connect(h, peer);
		return;
	}
	change.flags = (uint32_t)below(walk, 64) & ~(uint32_t)WGH_PEER_REMOVE;
	change.keepalive_s = (uint16_t)(below(walk, 2) ? below(walk, 60) : 0);
	change.preshared_key[0] = below(walk, 8) ? 0 : 1;
	change.endpoint = below(walk, 2) ? peer->outer : any_endpoint(walk);
	if (!change.endpoint.port)
		change.endpoint.port = 1;
	change.n_allowed_ips = below(walk, 4);
	for (size_t i = 0; i < change.n_allowed_ips; i++)
		ips[i] = (struct wgh_allowed_ip){
			.prefix = any_prefix(walk), .remove = !below(walk, 3)};
	sim_change_peer(h, peer, change);
}

/* One set that names the same few keys again and again. */
static void step_set(struct walk *walk)
{
	struct sim_hub *h = any_hub(walk);
	struct wgh_peer_change peers[8];
	struct wgh_allowed_ip ips[8];
	struct wgh_change change = {.peers = peers, .n_peers = below(walk, 9)};

	for (size_t i = 0; i < change.n_peers; i++) {
		struct sim_hub *peer = any_hub(walk);

		ips[i] = (struct wgh_allowed_ip){.prefix = sim_prefix(peer->inner4, 32)};
		peers[i] = (struct wgh_peer_change){.public_key = sim_public(peer),
			.flags = WGH_PEER_HAS_ENDPOINT | (below(walk, 3) ? 0 : WGH_PEER_REMOVE) |
				(below(walk, 4) ? 0 : WGH_PEER_UPDATE_ONLY),
			.endpoint = peer->outer,
			.allowed_ips = &ips[i],
			.n_allowed_ips = 1};
	}
	if (!below(walk, 4))
		change.flags |= WGH_REPLACE_PEERS;
	if (!below(walk, 20)) { /* may fail, and then nothing may have changed */
		ips[0].prefix.bits = 40;
		SIM_MUST(!change.n_peers || sim_apply(h, &change));
		return;
	}
	SIM_MUST(!sim_apply(h, &change));
}

/* A peer of the first hub as most are: up, with a key, its way to everywhere through the hub. */
static void join(struct walk *walk, struct sim_hub *h)
{
	struct wgh_addr any6 = {.family = WGH_IPV6};

	for (int i = 0; i < 2; i++) {
		struct sim_hub *each = i ? h : walk->hubs[0];

		sim_set_secret(each, &each->secret);
		sim_set_up(each, true);
	}
	if (h == walk->hubs[0])
		return;
	sim_connect(walk->hubs[0], h);
	sim_add_prefix(h, walk->hubs[0], sim_prefix(sim_addr4(0, 0, 0, 0), 0));
	sim_add_prefix(h, walk->hubs[0], sim_prefix(any6, 0));
}

static void step_join(struct walk *walk)
{
	join(walk, any_hub(walk));
}

static void step_key(struct walk *walk)
{
	struct sim_hub *h = any_hub(walk);
	struct x25519_secret secret = h->secret;
	uint8_t random[32];

	if (below(walk, 3)) {
		rng_fill(&walk->sim->rng, random, sizeof random);
		x25519_secret_from_random(&secret, random);
	}
	sim_set_secret(h, below(walk, 6) ? &secret : NULL);
}

static void step_hub(struct walk *walk)
{
	struct sim_hub *h = any_hub(walk);
	struct wgh_snapshot *snapshot;

	switch (below(walk, 8)) {
	case 0:
		sim_set_up(h, false);
		break;
	case 1:
	case 2:
		sim_set_up(h, true);
		break;
	case 3:
		SIM_MUST(!hub_set_mtu(h->hub, 1280 + (uint32_t)below(walk, 300)));
		break;
	case 4:
		SIM_MUST(!hub_set_addresses(h->hub,
			(struct wgh_prefix[]){sim_prefix(h->inner4, (uint8_t)below(walk, 33)),
				sim_prefix(h->inner6, 64)},
			below(walk, 3)));
		break;
	case 5:
		SIM_MUST(!hub_snapshot(h->hub, &snapshot));
		SIM_MUST(snapshot->n_peers == h->hub->peers.n_peers);
		wgh_snapshot_free(snapshot);
		break;
	case 6:
		h->run_delay_max_ns = below(walk, 2) ? 0 : below(walk, 2 * NS_PER_S);
		break;
	case 7:
		h->wall_offset_ns = (int64_t)below(walk, 1000 * NS_PER_S) - 500 * (int64_t)NS_PER_S;
		break;
	}
}

static void step_network(struct walk *walk)
{
	struct sim_hub *h = any_hub(walk);

	if (!below(walk, 3)) {
		sim_rebind(h);
		return;
	}
	h->wire = (struct sim_wire){.delay_ns = below(walk, 100 * NS_PER_MS)};
	if (!below(walk, 3)) {
		h->wire.loss_pm = (uint32_t)below(walk, 300);
		h->wire.duplicate_pm = (uint32_t)below(walk, 300);
		h->wire.corrupt_pm = (uint32_t)below(walk, 100);
		h->wire.jitter_ns = below(walk, 200 * NS_PER_MS);
	}
}

static void step(struct walk *walk)
{
	static const struct {
		void (*call)(struct walk *walk);
		uint32_t weight;
	} steps[] = {{step_send, 400}, {step_time, 300}, {step_invent, 60}, {step_replay, 90},
		{step_send_odd, 60}, {step_peer, 20}, {step_join, 40}, {step_hub, 15},
		{step_network, 10}, {step_set, 3}, {step_key, 2}, {step_flood, 1}};
	uint64_t left = 0;

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		left += steps[i].weight;
	left = below(walk, left);
	for (size_t i = 0;; i++) {
		if (left < steps[i].weight) {
			steps[i].call(walk);
			return;
		}
		left -= steps[i].weight;
	}
}

/* ---- the walk ---- */

static void check_all(struct walk *walk)
{
	for (unsigned i = 0; i < N_HUBS; i++)
		sim_check(walk->hubs[i]);
}

/* All is as it should be again: everybody reaches everybody. */
static void heal(struct walk *walk)
{
	struct wgh_change empty = {.flags = WGH_REPLACE_PEERS};

	for (unsigned i = 0; i < N_HUBS; i++) {
		struct sim_hub *h = walk->hubs[i];

		h->wire = (struct sim_wire){.delay_ns = 5 * NS_PER_MS};
		h->run_delay_max_ns = 0;
		h->on_tun = NULL;
		sim_set_up(h, true);
		sim_set_secret(h, &h->secret);
		SIM_MUST(!hub_set_mtu(h->hub, DEFAULT_MTU_BYTES));
		SIM_MUST(!hub_set_addresses(h->hub,
			(struct wgh_prefix[]){sim_prefix(h->inner4, 24), sim_prefix(h->inner6, 64)},
			2));
		SIM_MUST(!sim_apply(h, &empty));
		assert_int_equal(h->hub->peers.memory.n_used, 0);
		assert_int_equal(h->hub->keypairs.n_used, 0);
		assert_int_equal(h->hub->handshakes.n_used, 0);
		assert_int_equal(h->hub->sessions.n_live, 0);
		assert_int_equal(h->hub->staged_bytes, 0);
	}
	sim_run(walk->sim, 10 * NS_PER_S);
	for (unsigned i = 0; i < N_HUBS; i++)
		for (unsigned j = 0; j < i; j++)
			sim_connect(walk->hubs[i], walk->hubs[j]);
	for (unsigned i = 0; i < N_HUBS; i++)
		for (unsigned j = 0; j < N_HUBS; j++) {
			if (i == j || !walk->hubs[j]->hub->options.has_tun)
				continue; /* without a TUN there is no host to reach */
			sim_send4(walk->hubs[i], walk->hubs[j], 5000 + i);
			sim_run(walk->sim, NS_PER_S);
			assert_int_equal(sim_take_id(walk->hubs[j]), 5000 + i);
		}
	check_all(walk);
}

static void random_walk(uint64_t seed)
{
	struct walk walk = {.sim = sim_new(seed)};

	walk_seed = seed;
	walk.sim->record = true;
	for (unsigned i = 0; i < N_HUBS; i++) {
		walk.hubs[i] =
			sim_hub_new(walk.sim, below(&walk, 4), 1 + (unsigned)below(&walk, 3));
		walk.hubs[i]->on_tun = sink;
	}
	for (unsigned i = 1; i < N_HUBS; i++)
		join(&walk, walk.hubs[i]);
	for (walk_step = 0; walk_step < N_STEPS; walk_step++) {
		step(&walk);
		check_all(&walk);
		if (walk.sim->n_log > LOG_MAX)
			sim_forget(walk.sim);
	}
	heal(&walk);
	sim_free(walk.sim);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_nothing_breaks_on_random_walks(void **state)
{
	(void)state;
	uint64_t first = from_environment("WGHUB_TEST_SEED", 1);
	uint64_t n = from_environment("WGHUB_TEST_ROUNDS", 4);

	signal(SIGABRT, say_where);
	for (uint64_t i = 0; i < n; i++)
		random_walk(first + i);
	signal(SIGABRT, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_breaks_on_random_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
