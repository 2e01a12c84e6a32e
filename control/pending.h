/* pending.h - keys that are no peer's and whose owners tried to connect lately: what an engineer's
 * machine does until somebody lets it in.
 *
 * Bounds: PENDING_MAX keys; a further one takes the place of the one heard of longest ago. A key is
 * forgotten PENDING_S after its last try. Anybody who knows the hub's public key can fill the list
 * with keys of their own, so it is a help for people who compare keys, and nothing else follows
 * from it. Threads: the main thread. A zeroed struct is empty. Times: seconds of CLOCK_REALTIME.
 */
#ifndef CONTROL_PENDING_H
#define CONTROL_PENDING_H

#include "crypto/secret.h"
#include "wghub.h"

#define PENDING_MAX 64
#define PENDING_S 3600

struct pending_key {
	struct wgh_public_key key;
	struct wgh_endpoint from; /* of the last try */
	int64_t first_s, last_s;
	uint64_t n_tries; /* as far as they were reported: the hub's core leaves some out */
};

struct pending {
	struct pending_key keys[PENDING_MAX];
	unsigned n;
};

/* True if the key is new here. */
bool pending_note(struct pending *pending, const struct wgh_public_key *key,
	const struct wgh_endpoint *from, int64_t now_s);
void pending_forget(struct pending *pending, const struct wgh_public_key *key);
/* Without those that are too old; the last tries first. */
void pending_tidy(struct pending *pending, int64_t now_s);

#endif
