/* factory_once.h - requests to the Factory one after another, each waited for: for commands that do
 * one thing and end.
 *
 * Runs a loop of its own. A request that fails is not repeated: whoever typed the command is there
 * to see why. Threads: the main thread. Ownership: a reply is the caller's; fini wipes it, because
 * the OAuth server's are secrets.
 */
#ifndef CONTROL_FACTORY_ONCE_H
#define CONTROL_FACTORY_ONCE_H

#include "control/factory_http.h"

struct factory_once;

struct factory_reply {
	enum factory_outcome outcome;
	unsigned status; /* 0: no whole answer */
	char *body; /* FACTORY_OK: a zero byte follows; else NULL */
	size_t n;
	bool login_needed;
	char why[800]; /* one printable line unless FACTORY_OK */
};

/* options: borrowed until the end. -EINVAL, -ENOMEM. */
MUST_CHECK int factory_once_new(struct factory_once **once,
	const struct factory_http_options *options, struct wgh_error *error);
/* NULL is fine. */
void factory_once_free(struct factory_once *once);

void factory_once_get(struct factory_once *once, const char *path, struct factory_reply *reply);
void factory_once_patch(struct factory_once *once, const char *path, const char *body, size_t n,
	struct factory_reply *reply);
/* Any https URL, without the API's credentials; form: of creds_form_encode(), or NULL for a GET.
 * Any status with a body is FACTORY_OK: the caller looks at it. */
void factory_once_fetch(struct factory_once *once, const char *url, const char *form,
	size_t answer_max_bytes, struct factory_reply *reply);
/* For the time a server asked us to wait. */
void factory_once_wait(struct factory_once *once, unsigned ms);
void factory_reply_fini(struct factory_reply *reply);

#endif
