/* factory_alloc.h - the next free inner address: for devices from the bottom as fioctl does, for
 * clients from the top.
 *
 * fioctl gives a device the first free address after the hub's, up to 9999 further on, never one
 * that ends in 0, and knows nothing of clients. So clients take the highest of the hub's /24
 * downwards, or of a range of their own. Threads: any; pure. Cost: sorts a copy of taken.
 */
#ifndef CONTROL_FACTORY_ALLOC_H
#define CONTROL_FACTORY_ALLOC_H

#include "crypto/secret.h"
#include "wghub.h"

#define FACTORY_ALLOC_SPAN 9999

/* -ENOSPC: all are taken; -EINVAL: hub is no IPv4 address; -ENOMEM. */
MUST_CHECK int alloc_device(struct wgh_addr *out, const struct wgh_addr *hub,
	const struct wgh_addr *taken, size_t n_taken);
/* range NULL: the hub's /24. Neither its first nor its last address, nor one that ends in 0 or 255.
 */
MUST_CHECK int alloc_client(struct wgh_addr *out, const struct wgh_addr *hub,
	const struct wgh_prefix *range, const struct wgh_addr *taken, size_t n_taken);

#endif
