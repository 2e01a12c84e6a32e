/* ctl_client.h - asking a running hub over its UAPI socket, for the command line.
 *
 * The answer is kept as its lines, key and value: `wghub show` prints them by their keys. Every
 * byte of it may be hostile (somebody else may hold the socket): whoever prints a value passes it
 * through text_escape() first. Threads: any. Waits at most CTL_TIMEOUT_S for the hub, or as long as
 * it is told to.
 */
#ifndef CONTROL_CTL_CLIENT_H
#define CONTROL_CTL_CLIENT_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define CTL_TIMEOUT_S 10

struct ctl_line {
	const char *key, *value;
};

struct ctl_answer {
	char *text; /* what key and value point into */
	struct ctl_line *lines;
	size_t n_lines, cap;
};

/* Sends "get=wghub" and reads the answer. -ENOENT, -ECONNREFUSED: no hub of that name runs;
 * -EPROTO: it is another program's. */
MUST_CHECK int ctl_get(
	struct ctl_answer *answer, const char *dir, const char *ifname, struct wgh_error *error);
/* Sends "wghub=VERB" with these parameters, which must be single lines. -EOPNOTSUPP: a hub that has
 * no such request; any other error of the hub's own: error has its words. */
MUST_CHECK int ctl_ask(struct ctl_answer *answer, const char *dir, const char *ifname,
	const char *verb, const struct ctl_line *params, size_t n_params, unsigned timeout_s,
	struct wgh_error *error);
void ctl_answer_fini(struct ctl_answer *answer);
/* The first value of that key, or NULL. */
const char *ctl_value(const struct ctl_answer *answer, const char *key);

/* Asks the hub to end by removing its socket's file, as the interface's users expect, and waits
 * until it has. */
MUST_CHECK int ctl_stop(const char *dir, const char *ifname, struct wgh_error *error);

#endif
