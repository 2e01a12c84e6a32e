/* fleet.c - see fleet.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/fleet.h"

#include <stdlib.h>
#include <string.h>

#define ALL (ORIGIN_BIT(ORIGIN_FACTORY) | ORIGIN_BIT(ORIGIN_CLIENTS))

struct wgh_public_key fleet_key(uint8_t n)
{
	return (struct wgh_public_key){.bytes = {n, 1}};
}

struct wgh_addr fleet_addr(uint8_t third, uint8_t last)
{
	return (struct wgh_addr){.bytes = {10, 42, third, last}, .family = WGH_IPV4};
}

struct factory_peers fleet_answer(const struct dev *devs, size_t n)
{
	struct factory_peers peers = {
		.items = calloc(n + 1, sizeof *peers.items), .n = n, .certain = true};

	for (size_t i = 0; i < n; i++)
		peers.items[i] = (struct factory_peer){.name = strdup(devs[i].name),
			.enabled = !devs[i].disabled,
			.has_key = true,
			.public_key = fleet_key(devs[i].key),
			.address = fleet_addr(devs[i].third, devs[i].last)};
	peers.cap = n;
	return peers;
}

void fleet_claim_devices(struct wanted *w, const struct dev *devs, size_t n)
{
	struct factory_peers peers = fleet_answer(devs, n);

	assert_int_equal(wanted_claim_factory(w, &peers), 0);
	factory_peers_fini(&peers);
}

void fleet_claim_clients(struct wanted *w, const struct dev *devs, size_t n)
{
	struct clients clients = {.items = calloc(n + 1, sizeof *clients.items), .n = n};

	for (size_t i = 0; i < n; i++)
		clients.items[i] = (struct client){.public_key = fleet_key(devs[i].key),
			.address = fleet_addr(devs[i].third, devs[i].last),
			.name = strdup(devs[i].name)};
	assert_int_equal(wanted_claim_clients(w, &clients), 0);
	clients_fini(&clients);
}

/* Everything that one round does. */
void fleet_apply(struct fleet *f)
{
	struct wgh_snapshot *running;
	struct wgh_error error;

	assert_int_equal(fake_device_snapshot(&f->device, &running), 0);
	assert_int_equal(wanted_claim_running(f->w, running), 0);
	assert_int_equal(wanted_resolve(f->w), 0);
	assert_int_equal(wanted_sync(f->w, ALL, running, &f->last), 0);
	fake_device_snapshot_free(running);
	assert_int_equal(fake_device_apply(&f->device, &f->last.change, &error), 0);
	assert_int_equal(wanted_applied(f->w, ALL), 0);
	sync_fini(&(struct sync){.peers = f->last.peers,
		.allowed_ips = f->last.allowed_ips,
		.peers_cap = f->last.peers_cap});
}

int fleet_setup(void **state)
{
	struct fleet *f = calloc(1, sizeof *f);
	const struct wgh_addr local = fleet_addr(42, 77);

	*state = f;
	f->w = wanted_new();
	return wanted_set_rules(f->w,
		&(struct wanted_rules){.own_key = fleet_key(250),
			.has_own_key = true,
			.hub = fleet_addr(42, 1),
			.local = &local,
			.n_local = 1});
}

int fleet_teardown(void **state)
{
	struct fleet *f = *state;

	wanted_free(f->w);
	fake_device_fini(&f->device);
	free(f);
	return 0;
}

const struct fake_peer *fleet_running(const struct fleet *f, uint8_t key)
{
	for (size_t i = 0; i < f->device.n_peers; i++) {
		if (f->device.peers[i].config.public_key.bytes[0] == key)
			return &f->device.peers[i];
	}
	return NULL;
}

const struct wanted_refusal *fleet_refusal(const struct fleet *f, uint8_t key)
{
	size_t n;
	const struct wanted_refusal *r = wanted_refusals(f->w, &n);

	for (size_t i = 0; i < n; i++) {
		if (r[i].public_key.bytes[0] == key)
			return &r[i];
	}
	return NULL;
}

const char *fleet_name(const struct fleet *f, uint8_t key)
{
	const struct wanted_peer *p =
		wanted_find(f->w, &(struct wgh_public_key){.bytes = {key, 1}});

	return p ? p->name : NULL;
}
