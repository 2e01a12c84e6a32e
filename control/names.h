/* names.h - what the hub knows about a peer beyond the device: its name from the conf file, and
 * whether the log last said that it is up. A table by public key. Threads: the main thread. Cost:
 * constant per question, about 100 bytes per peer.
 */
#ifndef CONTROL_NAMES_H
#define CONTROL_NAMES_H

#include "control/conf.h"

struct names;

/* NULL: no memory. */
MUST_CHECK struct names *names_new(void);
void names_free(struct names *names);
/* The names are those of this file from now on. -ENOMEM: some are missing. */
MUST_CHECK int names_from_conf(struct names *names, const struct conf *conf);
/* One peer's name, printable, or NULL. True if it was another one before. */
bool names_set(struct names *names, const struct wgh_public_key *peer, const char *name);
/* NULL: it has none. Valid until the next change. arg is a struct names: a uapi_name_fn. */
const char *names_get(void *names, const struct wgh_public_key *peer);
/* Remembers up; true if that is news. */
bool names_set_up(struct names *names, const struct wgh_public_key *peer, bool up);
bool names_is_up(const struct names *names, const struct wgh_public_key *peer);

#endif
