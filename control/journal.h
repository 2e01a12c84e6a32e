/* journal.h - what happens, as JSON lines for programs: --events FILE, or - for standard output,
 * and --events-command. EVENTS.md lists them.
 *
 * One object in a line, appended by one write(); nothing that was written is ever changed
 * (O_APPEND). The file is opened before root is given up, and on SIGHUP again, so that it can be
 * moved away. Public keys are whole, names as configured; no secret is in it. Like the log it is
 * the process's own. Threads: the main thread. Cost: a write for each event and sink, nothing when
 * it is closed. Fails: a line that cannot be written (disk full, a reader that does not read) is
 * left out there, and an "events_lost" before the next one that can says how many; the hub never
 * waits.
 */
#ifndef CONTROL_JOURNAL_H
#define CONTROL_JOURNAL_H

#include "control/names.h"

#include <sys/types.h>

enum journal_sink { JOURNAL_FILE, JOURNAL_COMMAND, N_JOURNAL_SINKS };

/* path: absolute, or "-"; NULL: none. command_fd: of hook_fd(), borrowed, or -1. Without both all
 * calls below do nothing. */
MUST_CHECK int journal_open(const char *path, int command_fd, struct wgh_error *error);
/* The file that may be opened again, its links followed; NULL: there is none. */
const char *journal_path(void);
/* By its name: after a rotation that is another file. On an error the present one stays. */
void journal_open_again(void);
void journal_close(void);
bool journal_is_open(void);
/* Of lines that peers can cause, so many at once and so many a second from then on; the others are
 * lost, and told so. Changes always are told. */
#define JOURNAL_AT_ONCE 20000
#define JOURNAL_PER_S 100

struct journal_numbers {
	const char *to; /* "file", "command" */
	uint64_t n_lines, n_lost;
};
/* False: there is no such sink. */
bool journal_numbers(enum journal_sink which, struct journal_numbers *numbers);
/* Each line has it from now on. */
void journal_set_interface(const char *name);

/* "roam" and members as json_pack() takes them: "{s:s*,s:i}"; a NULL for s* is left out. */
void journal_say(const char *event, const char *format, ...);
/* The same with peer and name in front. */
void journal_peer(const char *event, const struct wgh_public_key *peer, struct names *names,
	const char *format, ...);
/* Changes that are told until it is called with NULL were asked for by this user of the socket. */
void journal_asked_by(const uid_t *uid);
/* A change that was applied: a line for each peer that came, went or is another one now. before:
 * what ran until then. by: "conf", "wg", "factory" .. Cost: n log n in peers of before. */
void journal_change(const char *by, const struct wgh_change *change,
	const struct wgh_snapshot *before, struct names *names);

#endif
