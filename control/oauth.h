/* oauth.h - a person lets this program act for them: by a code that they paste, or by a code that
 * they type into a page on any device (RFC 8628).
 *
 * The pasted code is redeemed once for each token, with the scope that it is for: a short one that
 * may publish, and one that may read and that can be renewed. Errors are one line without a secret:
 * what a server sends back is printed without our code in it. Waits for each answer. Threads: the
 * main thread.
 */
#ifndef CONTROL_OAUTH_H
#define CONTROL_OAUTH_H

#include "control/creds.h"
#include "control/factory_json.h"
#include "control/factory_once.h"

/* The Python daemon's public identifier, printed in the Factory's documentation. */
#define OAUTH_CLIENT_ID "fioid_B68H03zaynCXzycBX9M3WKL7xLqJYJyf"
#define OAUTH_SCOPE_READ "devices:read"
#define OAUTH_SCOPE_PUBLISH "devices:read-update"
#define OAUTH_CODE_MAX 2000
#define OAUTH_PUBLISH_EXPIRES "90"

struct oauth {
	struct factory_once *once; /* all borrowed */
	const char *url; /* the OAuth server's base */
	const char *client_id; /* NULL: the one above */
	const char *factory;
};

/* What the person opens to get a code for both scopes. free() it; NULL: no memory. */
MUST_CHECK char *oauth_link(const struct oauth *oauth);
/* May this be a code? Printable, without blanks. */
MUST_CHECK bool oauth_is_code(const char *text);
/* expires: a wish for a short life, or NULL. -EACCES: the server says no; -EIO: it does not say. */
MUST_CHECK int oauth_redeem(struct creds **creds, const struct oauth *oauth, const char *code,
	const char *scope, const char *expires, struct wgh_error *error);

/* -ENOSYS: this server does not offer it, for this client or scope; -EIO. */
MUST_CHECK int oauth_grant_begin(struct factory_grant *grant, const struct oauth *oauth,
	const char *scope, struct wgh_error *error);
/* Asks until the person has answered. -EACCES: they said no; -ETIMEDOUT: nothing; -EIO. */
MUST_CHECK int oauth_grant_wait(struct creds **creds, const struct oauth *oauth,
	const struct factory_grant *grant, const char *scope, struct wgh_error *error);

#endif
