/* clients_watch.h - factory-clients.conf, read again whenever it changes.
 *
 * It is looked at four times a second; a change is read when the file has been the same for one
 * look, so that an editor's half-written file is not taken for the list. A file that is not there
 * at the start is an empty list; one that vanishes or cannot be read later keeps the last list.
 * Threads: the main thread.
 */
#ifndef CONTROL_CLIENTS_WATCH_H
#define CONTROL_CLIENTS_WATCH_H

#include "control/clients_file.h"
#include "control/troubles.h"

#include <uv.h>

#define CLIENTS_LOOK_MS 250

struct clients_watch;
typedef void clients_changed_fn(void *arg, const struct clients *clients);

/* changed is called before this returns, unless the file is there and cannot be read. troubles is
 * borrowed. NULL: no memory. */
MUST_CHECK struct clients_watch *clients_watch_new(uv_loop_t *loop, const char *path,
	struct troubles *troubles, clients_changed_fn *changed, void *arg);
/* Reads it now, changed or not. */
void clients_watch_now(struct clients_watch *watch);
void clients_watch_free(struct clients_watch *watch);

#endif
