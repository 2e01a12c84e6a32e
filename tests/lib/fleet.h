/* fleet.h - a Factory's devices and clients as a test writes them, and the hub that follows them:
 * control/wanted.c over tests/lib/fake_device.c. The hub is 10.42.42.1, its key's number 250, and
 * 10.42.42.77 an address of its host.
 */
#ifndef TESTS_LIB_FLEET_H
#define TESTS_LIB_FLEET_H

#include "control/wanted.h"
#include "tests/lib/fake_device.h"

struct fleet {
	struct wanted *w;
	struct fake_device device;
	struct sync last; /* only its counts are valid */
};

/* A device as a test writes it: 10.42.X.LAST. */
struct dev {
	const char *name;
	uint8_t key, third, last;
	bool disabled;
};

#define DEVS(...)                                                                                  \
	(const struct dev[])                                                                       \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define CLAIM(f, n, ...) fleet_claim_devices((f)->w, DEVS(__VA_ARGS__), n)

/* For cmocka: *state is the struct fleet. */
int fleet_setup(void **state);
int fleet_teardown(void **state);

struct wgh_public_key fleet_key(uint8_t n);
struct wgh_addr fleet_addr(uint8_t third, uint8_t last);
/* What the API says of them. factory_peers_fini() it. */
struct factory_peers fleet_answer(const struct dev *devs, size_t n);
void fleet_claim_devices(struct wanted *w, const struct dev *devs, size_t n);
void fleet_claim_clients(struct wanted *w, const struct dev *devs, size_t n);
/* Everything that one round does. */
void fleet_apply(struct fleet *f);

/* By the number of the key; NULL: there is none. */
const struct fake_peer *fleet_running(const struct fleet *f, uint8_t key);
const struct wanted_refusal *fleet_refusal(const struct fleet *f, uint8_t key);
const char *fleet_name(const struct fleet *f, uint8_t key);

#endif
