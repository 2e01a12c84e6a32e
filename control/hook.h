/* hook.h - a command of the operator's that gets the events: --events-command CMD.
 *
 * Once it has given up its rights the hub starts no program. So a small process is forked before,
 * which gives up all of them but that one: it takes lines from a pipe and runs `/bin/sh -c CMD`
 * with those that wait on standard input, one run at a time. What happens reaches CMD there and
 * nowhere else: not as an argument, not as a word for the shell. CMD has the hub's user, no
 * capability, an environment of PATH and LANG, a session of its own, and 30 seconds. An exit code
 * other than 0 means that the lines were not taken: they come again, at growing intervals, for a
 * quarter of an hour.
 *
 * Costs: a process; up to HOOK_QUEUE_BYTES of lines. Threads: the main thread. Fails: where CMD is
 * too slow the queue fills, then the pipe, and whoever writes into it counts what is lost; what is
 * given up is counted here. The hub waits for CMD at its end alone, HOOK_END_MS.
 */
#ifndef CONTROL_HOOK_H
#define CONTROL_HOOK_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define HOOK_QUEUE_BYTES (1u << 20) /* and a pipe of as many, where the system allows it */
#define HOOK_BATCH_BYTES (64u << 10) /* of one run */
#define HOOK_END_MS 3000 /* for the last lines */

/* Times, which tests shorten. */
struct hook_times {
	unsigned gather_ms; /* lines that come together go together */
	unsigned run_ms;
	unsigned retry_ms, retry_max_ms; /* each interval is twice the one before */
	unsigned give_up_ms;
};

/* NULL: the times above. The process must have no threads yet and know its user
 * (sandbox_begin()). say: CMD's standard error is the hub's. */
MUST_CHECK int hook_start(
	const char *command, const struct hook_times *times, bool say, struct wgh_error *error);
/* Where whole lines of at most PIPE_BUF bytes are written, without waiting; -1: there is no
 * command. */
int hook_fd(void);
/* Lines that CMD did not take and that were given up since this was asked last. */
uint64_t hook_take_given_up(void);

struct hook_numbers {
	uint64_t waiting_bytes, n_runs, n_failed;
};
struct hook_numbers hook_numbers(void);
/* The last lines are delivered, or given up. */
void hook_stop(void);

#endif
