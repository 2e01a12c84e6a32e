/* sync.h - from what runs to what somebody wants: the smallest change that
 * makes them equal.
 *
 * A peer that did not change is not in it, so it keeps its session. Peers of
 * other origins are neither changed nor removed. Removals come first, so that a
 * prefix is free when its next owner comes. Threads: any; pure. Cost: sorts, so
 * n log n in peers and prefixes.
 */
#ifndef CONTROL_SYNC_H
#define CONTROL_SYNC_H

#include "control/conf.h"
#include "control/origin.h"

struct sync {
	struct wgh_change change; /* points into the rest; names are not resolved here */
	struct wgh_peer_change *peers;
	struct wgh_allowed_ip *allowed_ips;
	size_t peers_cap;
	size_t n_added, n_changed, n_removed;
	size_t n_foreign; /* wanted, but running for another origin: left alone */
};

/* What an origin wants of one peer. Pointers are borrowed. */
struct sync_peer {
	struct wgh_public_key public_key; /* first: the index needs it */
	enum origin origin;
	const struct wgh_prefix *allowed_ips;
	size_t n_allowed_ips;
	/* Given to a peer that is new, or where endpoint_changed: it may have roamed
	 * since. WGH_UNSPEC: not known. */
	struct wgh_endpoint endpoint;
	bool endpoint_changed;
	bool whole; /* the next two are the origin's as well; else they stay as they
		       are */
	const uint8_t *preshared_key;
	uint16_t keepalive_s;
};

/* Whose running peer this is. */
typedef enum origin sync_origin_fn(void *arg, const struct wgh_public_key *key);

/* origins: ORIGIN_BIT()s of those that wanted speaks for; a running peer of
 * theirs that is not wanted goes, and one may pass from one of them to another
 * without loss. Only s->change.peers is filled. sync_fini() it. -ENOMEM. */
MUST_CHECK int sync_peers(struct sync *s, unsigned origins, const struct sync_peer *wanted,
	size_t n_wanted, const struct wgh_snapshot *running, sync_origin_fn *origin_of, void *arg);

/* A whole configuration file, interface and peers. before: the file as it was
 * applied last, NULL the first time; its peers are those of ORIGIN_CONF. An
 * endpoint is set only where the file's own words changed. sync is filled;
 * sync_fini() it. -ENOMEM. */
MUST_CHECK int sync_init(struct sync *sync, const struct conf *wanted, const struct conf *before,
	const struct wgh_snapshot *running);
/* Wipes. */
void sync_fini(struct sync *sync);

#endif
