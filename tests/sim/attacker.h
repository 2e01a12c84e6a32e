/* attacker.h - what somebody between the two hubs of the pair tests can do: see, hold back, change,
 * repeat and invent datagrams. He knows public keys.
 */
#ifndef TESTS_SIM_ATTACKER_H
#define TESTS_SIM_ATTACKER_H

#include "tests/sim/pair.h"

#include "core/cookie.h"

#include <string.h>

/* Where an attacker is. */
static const struct wgh_endpoint elsewhere
	__attribute__((unused)) = {.addr = {198, 51, 100, 7}, .port = 4444, .family = WGH_IPV4};

static inline bool goes_to(
	struct sim_hub *h, struct sim_hub *peer, const struct wgh_endpoint *where)
{
	struct wgh_endpoint endpoint = peer_endpoint(sim_peer(h, peer));

	return endpoint.family == where->family && endpoint.port == where->port &&
		!memcmp(endpoint.addr, where->addr, sizeof endpoint.addr);
}

/* A copy that lives as long as the test. */
struct copy {
	uint8_t bytes[SIM_PACKET_BYTES_MAX];
	uint32_t len_bytes;
};

static inline struct copy copy_of(const struct sim_datagram *d)
{
	struct copy copy = {.len_bytes = d->len_bytes};

	memcpy(copy.bytes, d->bytes, d->len_bytes);
	return copy;
}

struct caught {
	uint32_t type;
	struct copy copy;
};

static inline bool catch_type(struct sim *sim, struct sim_datagram *d, void *arg)
{
	struct caught *caught = arg;

	(void)sim;
	if (d->type != caught->type)
		return true;
	caught->copy = copy_of(d);
	return false;
}

/* Right macs, as anybody can make them who knows the public key. */
static inline void sign(struct sim_hub *to, struct copy *message)
{
	struct cookie_jar jar = {0};

	cookie_jar_sign(&jar, &to->key, message->bytes, message->len_bytes, 0);
}

#endif
