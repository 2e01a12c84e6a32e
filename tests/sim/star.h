/* star.h - a hub without a TUN and three peers around it, connected: what the tests of forwarding
 * start from. The peers send everything to the hub and take everything from it.
 */
#ifndef TESTS_SIM_STAR_H
#define TESTS_SIM_STAR_H

#include "tests/sim/pair.h"

#include <string.h>

#define STAR_WAY_NS (20 * NS_PER_MS) /* from one peer to another */

struct star {
	struct sim *sim;
	struct sim_hub *hub, *a, *b, *c;
};

/* peer takes hub for its way to everywhere. */
static inline void star_join(struct sim_hub *hub, struct sim_hub *peer, bool hub_knows_endpoint)
{
	struct wgh_addr any6 = {.family = WGH_IPV6};

	sim_add_peer(hub, peer, hub_knows_endpoint);
	sim_add_peer(peer, hub, true);
	sim_add_prefix(peer, hub, sim_prefix(sim_addr4(0, 0, 0, 0), 0));
	sim_add_prefix(peer, hub, sim_prefix(any6, 0));
}

static inline void star_forget(struct star *s)
{
	for (unsigned i = 0; i < s->sim->n_hubs; i++)
		sim_forget_inbox(s->sim->hubs[i]);
	sim_forget(s->sim);
}

static inline struct star star_new(unsigned n_workers, unsigned seed)
{
	struct star s = {.sim = sim_new(seed)};

	s.sim->record = true;
	s.hub = sim_hub_new(s.sim, false, n_workers);
	s.a = sim_hub_new(s.sim, true, 1);
	s.b = sim_hub_new(s.sim, true, 1);
	s.c = sim_hub_new(s.sim, true, 1);
	for (unsigned i = 1; i < 4; i++) {
		star_join(s.hub, s.sim->hubs[i], false);
		sim_set_keepalive(s.sim->hubs[i], s.hub, 60000);
	}
	sim_run(s.sim, NS_PER_S);
	star_forget(&s);
	return s;
}

static inline void star_free(struct star *s)
{
	for (unsigned i = 0; i < s->sim->n_hubs; i++)
		sim_check(s->sim->hubs[i]);
	sim_free(s->sim);
}

/* A packet of a's host, and time to arrive. */
static inline void star_send(
	struct star *s, struct sim_hub *from, const uint8_t *packet, uint32_t len)
{
	sim_tun_send(from, packet, len);
	sim_run(s->sim, 2 * STAR_WAY_NS);
}

static inline uint32_t star_udp(struct star *s, struct sim_hub *from, struct sim_hub *to,
	enum wgh_family family, uint8_t *packet, uint32_t payload_bytes)
{
	(void)s;
	return family == WGH_IPV4 ? sim_udp(packet, &from->inner4, &to->inner4, 77, payload_bytes)
				  : sim_udp(packet, &from->inner6, &to->inner6, 77, payload_bytes);
}

static inline uint64_t star_forwarded(struct star *s)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < s->hub->hub->options.n_workers; w++)
		n += relaxed_get(&s->hub->hub->workers[w]->stats.n_forwarded);
	return n;
}

/* A message of from, with this plaintext as it is, arrives at to. */
static inline void star_inject_plain(
	struct sim_hub *from, struct sim_hub *to, const uint8_t *plain, uint32_t len_bytes)
{
	struct keypair *keypair = pair_current(from, to);
	uint8_t message[SIM_PACKET_BYTES_MAX];
	struct aead_job job = {.data = message + 16, .key = &keypair->send, .len_bytes = len_bytes};

	assert_true(keypair_reserve(keypair, 1, &job.counter));
	le32_put(message, WIRE_DATA);
	le32_put(message + 4, keypair->remote_index);
	le64_put(message + 8, job.counter);
	memcpy(message + 16, plain, len_bytes);
	aead_seal(from->hub->aead, &job, 1);
	sim_inject(to, &from->outer, message, len_bytes + 32);
}

#endif
