/* journal.h - what happened, as JSON lines for programs: --events FILE, or - for standard output.
 *
 * One object in a line, appended by one write(); nothing that was written is ever changed
 * (O_APPEND). It is opened before root is given up. Public keys are whole, names as configured; no
 * secret is in it. Like the log it is the process's own. Threads: the main thread. Cost: a write
 * for each event, nothing when it is closed. Fails: a line that cannot be written (disk full, a
 * reader that does not read) is left out, and the next one that can says how many; the hub never
 * waits.
 */
#ifndef CONTROL_JOURNAL_H
#define CONTROL_JOURNAL_H

#include "control/names.h"

/* path: absolute, or "-"; NULL: none, all calls below do nothing. */
MUST_CHECK int journal_open(const char *path, struct wgh_error *error);
void journal_close(void);
bool journal_is_open(void);
/* Each line has it from now on. */
void journal_set_interface(const char *name);

/* "roam" and members as json_pack() takes them: "{s:s*,s:i}"; a NULL for s* is left out. */
void journal_say(const char *event, const char *format, ...);
/* The same with peer and name in front. */
void journal_peer(const char *event, const struct wgh_public_key *peer, struct names *names,
	const char *format, ...);
/* A change that was applied: a line for each peer that came, changed or went. before: what ran
 * until then. by: "conf", "wg", "api" .. Cost: n log n in peers of before. */
void journal_change(const char *by, const struct wgh_change *change,
	const struct wgh_snapshot *before, struct names *names);

#endif
