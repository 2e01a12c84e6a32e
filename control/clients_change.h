/* clients_change.h - changes that a running hub makes to factory-clients.conf, one after the other,
 * on libuv's pool, because the main loop must not wait for a lock or for fsync().
 *
 * Bounds: CLIENTS_CHANGES_MAX wait; one more is refused. Threads: the main thread.
 */
#ifndef CONTROL_CLIENTS_CHANGE_H
#define CONTROL_CLIENTS_CHANGE_H

#include "control/clients_file.h"

#include <uv.h>

#define CLIENTS_CHANGES_MAX 4096

struct clients_change;
/* err: 0, or what clients_replace() and clients_remove() say; then why is one printable line. */
typedef void clients_change_fn(void *arg, int err, const char *why);

/* NULL: no memory. */
MUST_CHECK struct clients_change *clients_change_new(uv_loop_t *loop, const char *path);
/* Until nothing waits any more: runs the loop. For the end. */
void clients_change_wait(struct clients_change *changes);
/* After clients_change_wait(). NULL is fine. */
void clients_change_free(struct clients_change *changes);

/* The key's line becomes this one. The client is copied. done is called later, exactly once; NULL:
 * a failure is logged. -EBUSY: too many wait; -ENOMEM. */
MUST_CHECK int clients_change_put(struct clients_change *changes, const struct client *client,
	clients_change_fn *done, void *arg);
/* The key's line goes. */
MUST_CHECK int clients_change_remove(struct clients_change *changes,
	const struct wgh_public_key *key, clients_change_fn *done, void *arg);

#endif
