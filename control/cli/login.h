/* login.h - a person at the terminal lets wghub act for them; for `wghub login`, and for the
 * commands that publish when their credentials may only read.
 */
#ifndef CONTROL_LOGIN_H
#define CONTROL_LOGIN_H

#include "control/cli/factory_options.h"
#include "control/creds.h"

/* Is there somebody to ask, or a code on standard input? */
MUST_CHECK bool login_can_ask(const struct factory_options *options);
/* One line of standard input without its end, after a prompt. False: there is none, or it is too
 * long. The caller wipes it. */
MUST_CHECK bool login_read_line(const char *prompt, char *out, size_t size);

/* A code, which is redeemed for a short token that may publish and, with daemon, for one that may
 * read and is written to --oauthcreds. publish: creds_free() it. Where only the second is refused,
 * that is said, and *daemon is false. 0 or the exit code. */
MUST_CHECK int login_by_code(
	const struct factory_options *options, struct creds **publish, bool *daemon);

#endif
