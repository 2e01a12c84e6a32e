/* resolve.h - endpoint names of a conf file to addresses, in the background, until they are found.
 *
 * A name that does not resolve is tried again after 1, 2, 4 .. 60 seconds, for ever; its peer
 * exists meanwhile. Threads: the main thread; getaddrinfo() itself runs on libuv's pool, at most
 * RESOLVE_AT_ONCE at a time. Cost: each answer looks at all names; a hub has few, its peers call
 * it.
 */
#ifndef CONTROL_RESOLVE_H
#define CONTROL_RESOLVE_H

#include "control/conf.h"

#define RESOLVE_AT_ONCE 2

struct resolver;
typedef void resolved_fn(
	void *arg, const struct wgh_public_key *peer, const struct wgh_endpoint *endpoint);

/* NULL: no memory. */
MUST_CHECK struct resolver *resolver_new(uv_loop_t *loop, resolved_fn *resolved, void *arg);
/* Looks for the names of this file from now on. Those that were found already and did not change
 * are left alone. -ENOMEM: some are missing. */
MUST_CHECK int resolver_want(struct resolver *r, const struct conf *conf);
/* Questions under way are abandoned: their memory is freed if the loop still runs when they end.
 * NULL is fine. */
void resolver_free(struct resolver *r);

#endif
