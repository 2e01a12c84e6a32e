/* ratelimit.h - a token bucket for each source of handshakes, used only under load.
 * IPv4 counts by address, IPv6 by /64. 20 a second, bursts of 5, as the Linux module's
 * ratelimiter.c. Memory: a fixed table of 8192 entries (no growth); when a source finds no room it
 * is denied. Threads: the control side.
 */
#ifndef CORE_RATELIMIT_H
#define CORE_RATELIMIT_H

#include "core/mem.h"
#include "wghub.h"

struct ratelimit;

/* key keys the table's hash: random, secret. NULL: no memory. */
MUST_CHECK struct ratelimit *ratelimit_new(const uint8_t key[16], struct mem_budget *budget);
void ratelimit_free(struct ratelimit *limit);
/* True if a message from this address may be worked on now. An entry idle for 1 s is forgotten. */
MUST_CHECK bool ratelimit_allow(
	struct ratelimit *limit, const struct wgh_endpoint *from, uint64_t now_ns);

#endif
