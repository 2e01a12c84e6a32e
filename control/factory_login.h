/* factory_login.h - the credentials in use: read, read again when their file changed, renewed in
 * time, written back. For factory_http.c.
 *
 * Renewing: lock, is the file newer? then that; else ask the OAuth server, write, unlock. A server
 * that does not answer is asked again after 5 s .. 5 min while the old token serves; one that
 * refuses is not asked again until the file has changed. A token that gets a 401 although it is new
 * is renewed again as rarely. Threads: the main thread.
 */
#ifndef CONTROL_FACTORY_LOGIN_H
#define CONTROL_FACTORY_LOGIN_H

#include "control/factory_http.h"

struct factory_login;

enum factory_login_outcome {
	LOGIN_READY, /* there is a token to try */
	LOGIN_LATER, /* none, but there may be one soon */
	LOGIN_NEEDED, /* none until somebody acts */
};
/* why: one printable line without a secret. */
typedef void factory_login_fn(void *arg, enum factory_login_outcome outcome, const char *why);

MUST_CHECK int factory_login_new(struct factory_login **login, uv_loop_t *loop, struct https *https,
	const struct factory_http_options *options, struct wgh_error *error);
/* Waits for a write under way. Before https_free(). */
void factory_login_free(struct factory_login *login);
/* Takes url over. */
void factory_login_set_url(struct factory_login *login, char *oauth_url);

/* Before a request: reads a changed file, renews what ends soon. done may come at once. */
void factory_login_ready(struct factory_login *login, factory_login_fn *done, void *arg);
/* After a 401. May it be renewed at all, and has that not been in vain just now? */
MUST_CHECK bool factory_login_may_renew(const struct factory_login *login);
void factory_login_renew(struct factory_login *login, factory_login_fn *done, void *arg);
/* Somebody wants it now: what has failed may be tried again at once. */
void factory_login_hurry(struct factory_login *login);
/* The token has opened the door. */
void factory_login_worked(struct factory_login *login);
bool factory_login_is_needed(const struct factory_login *login);
/* NULL: there are none. Valid until the next call. */
struct creds *factory_login_creds(struct factory_login *login);

#endif
