/* sync.h - from what runs to what a conf file wants: the smallest change that makes them equal.
 *
 * A peer that did not change is not in it, so it keeps its session. Peers that came from elsewhere
 * (wg set) stay. Threads: any; pure. Cost: sorts, so n log n in peers and prefixes.
 */
#ifndef CONTROL_SYNC_H
#define CONTROL_SYNC_H

#include "control/conf.h"

struct sync {
	struct wgh_change change; /* points into the rest; names are not resolved here */
	struct wgh_peer_change *peers;
	struct wgh_allowed_ip *allowed_ips;
	size_t peers_cap;
	size_t n_added, n_changed, n_removed;
};

/* before: the file as it was applied last, NULL the first time. An endpoint is set only where the
 * file's own words changed: the peer may have roamed since. sync is filled; sync_fini() it.
 * -ENOMEM. */
MUST_CHECK int sync_init(struct sync *sync, const struct conf *wanted, const struct conf *before,
	const struct wgh_snapshot *running);
/* Wipes. */
void sync_fini(struct sync *sync);

#endif
