/* factory_save.h - the hub's state and its block of /etc/hosts onto the disk, on libuv's pool, one
 * after the other, because the main loop must not wait for fsync(). Threads: the main thread.
 */
#ifndef CONTROL_FACTORY_SAVE_H
#define CONTROL_FACTORY_SAVE_H

#include "control/state.h"
#include "control/troubles.h"

struct factory_save;

/* Paths are copied; NULL: that file is not written. troubles is borrowed. NULL: no memory. */
MUST_CHECK struct factory_save *factory_save_new(
	uv_loop_t *loop, const char *state_path, const char *hosts_path, struct troubles *troubles);
/* Takes *state over. One that still waits for its turn is replaced. with_hosts: its devices go to
 * the hosts file, too. */
void factory_save(struct factory_save *save, struct state *state, bool with_hosts);
/* Until nothing waits any more: runs the loop. For the end. */
void factory_save_wait(struct factory_save *save);
/* After factory_save_wait(). NULL is fine. */
void factory_save_free(struct factory_save *save);

#endif
