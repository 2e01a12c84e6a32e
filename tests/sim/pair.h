/* pair.h - the two hubs of the pair tests: a usually begins, b answers; 10 ms from one to the
 * other. */
#ifndef TESTS_SIM_PAIR_H
#define TESTS_SIM_PAIR_H

#include "core/keys.h"
#include "tests/lib/sim_ip.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define PAIR_ROUND_TRIP_NS (20 * NS_PER_MS)

struct pair {
	struct sim *sim;
	struct sim_hub *a, *b;
};

static inline struct pair pair_new(void)
{
	struct pair p = {.sim = sim_new(1)};

	p.sim->record = true;
	p.a = sim_hub_new(p.sim, true, 1);
	p.b = sim_hub_new(p.sim, true, 1);
	sim_connect(p.a, p.b);
	return p;
}

/* With a session that a began: its key is as old as the time since this returned, give or take
 * 20 ms. */
static inline struct pair pair_connected(void)
{
	struct pair p = pair_new();

	sim_send4(p.a, p.b, 1);
	sim_run(p.sim, 2 * PAIR_ROUND_TRIP_NS);
	assert_int_equal(sim_take_id(p.b), 1);
	sim_forget(p.sim);
	return p;
}

static inline void pair_check(const struct pair *p)
{
	for (unsigned i = 0; i < p->sim->n_hubs; i++)
		sim_check(p->sim->hubs[i]);
}

static inline void pair_free(struct pair *p)
{
	pair_check(p);
	sim_free(p->sim);
}

/* What one sends now arrives, both ways, within a handshake's time. */
static inline void pair_assert_talks(struct pair *p)
{
	sim_forget_inbox(p->a);
	sim_forget_inbox(p->b);
	sim_send4(p->a, p->b, 71);
	sim_run(p->sim, NS_PER_S);
	assert_int_equal(sim_take_id(p->b), 71);
	sim_send6(p->b, p->a, 72);
	sim_run(p->sim, NS_PER_S);
	assert_int_equal(sim_take_id(p->a), 72);
}

/* Filters: nothing of that hub passes. */
static inline bool pair_drop_from(struct sim *sim, struct sim_datagram *d, void *hub)
{
	(void)sim;
	return d->from != hub;
}

static inline void pair_filter(
	struct pair *p, bool (*filter)(struct sim *, struct sim_datagram *, void *), void *arg)
{
	p->sim->filter = filter;
	p->sim->filter_arg = arg;
}

static inline struct keypair *pair_current(struct sim_hub *h, struct sim_hub *peer)
{
	return relaxed_get(&sim_peer(h, peer)->current);
}

#endif
