/* factory_http.h - requests to the FoundriesFactory API with whatever credentials there are.
 *
 * A token is refreshed before it ends, and once when a 401 says so; other processes with the same
 * file are respected (lock, then read it again), and a file that changed is read again before each
 * request. Bearer tokens have two forms: where a 401 answers one, the other is tried once, and the
 * one that worked is kept. One request at a time. Nothing here is fatal: every trouble is an
 * answer. Errors from a server are cut to 512 printable bytes, with our secrets starred out.
 * Threads: the main thread; files are written on libuv's pool.
 */
#ifndef CONTROL_FACTORY_HTTP_H
#define CONTROL_FACTORY_HTTP_H

#include "control/creds.h"
#include "control/https.h"

struct factory_http;

struct factory_http_options {
	const char *api_url, *oauth_url; /* NULL: factory_urls.h says where then */
	const char *ca_file; /* NULL: the system's authorities */
	const char *const *headers; /* "Name: value" for the API; borrowed; or NULL */
	const char *creds_path; /* or creds_text: a token, or the text of such a file */
	const char *creds_text;
	bool write_fioctl; /* else a fioctl YAML is only read, and its refresh token not used up */
};

enum factory_outcome {
	FACTORY_OK,
	FACTORY_TRANSIENT, /* no answer, 5xx, 429: again, later and later */
	FACTORY_REFUSED, /* any other status: it will not be better before somebody acts */
};

struct factory_answer {
	enum factory_outcome outcome;
	unsigned status; /* 0: no whole answer */
	const char *body; /* FACTORY_OK only; a zero byte follows */
	size_t body_bytes;
	unsigned retry_after_s;
	bool login_needed; /* nobody can refresh these credentials any more */
	char why[800]; /* one printable line unless FACTORY_OK: "PATCH /path: 403: ..." */
};

typedef void factory_answer_fn(void *arg, const struct factory_answer *answer);

/* Credentials that cannot be read are no error: a file may come later. -EINVAL: a URL or a header;
 * -ENOMEM. */
MUST_CHECK int factory_http_new(struct factory_http **http, uv_loop_t *loop,
	const struct factory_http_options *options, struct wgh_error *error);
/* Waits until a file that is being written is whole; a request under way ends without its callback.
 * Not from a callback. NULL is fine. */
void factory_http_free(struct factory_http *http);
/* GET of a path that begins with '/', or of a URL that a page's next led to. done is called later,
 * exactly once. -EBUSY: one is under way; -EPERM: a URL elsewhere; -ENOMEM. */
MUST_CHECK int factory_http_get(
	struct factory_http *http, const char *path, factory_answer_fn *done, void *arg);
/* What people may know of the credentials in use. */
struct factory_creds_view {
	const char *kind; /* static; NULL: there are none */
	double expires_s; /* INFINITY: not known */
	bool can_refresh, login_needed, others_can_read;
};
void factory_http_creds(struct factory_http *http, struct factory_creds_view *view);
/* PATCH with a JSON body, which is copied. Everything else as above. After FACTORY_TRANSIENT nobody
 * knows whether it took effect: read again. */
MUST_CHECK int factory_http_patch(struct factory_http *http, const char *path, const char *body,
	size_t n, factory_answer_fn *done, void *arg);
/* The next request may renew the token, however shortly ago that has failed. */
void factory_http_hurry(struct factory_http *http);
/* The https client, for a test's timeouts. */
struct https *factory_http_client(struct factory_http *http);

#endif
