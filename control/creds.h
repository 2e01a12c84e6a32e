/* creds.h - credentials for the Factory, in every form that people have them: found by content.
 *
 * Forms: an API token as one line; the old Python daemon's JSON (created, expires_in); JSON with
 * expires_at; JSON or YAML with fioctl's client credentials. What is written keeps its form, its
 * unknown members and lines. A refresh, whoever does it:
 *
 *	file_lock(); creds_read(); still the old token and due? creds_refresh_request(), POST,
 *	creds_merge(), creds_write(); file_unlock()
 *
 * Secrets are wiped with creds_free() and never part of an error. Times: seconds of CLOCK_REALTIME.
 * Threads: one at a time per object; pure but for creds_read() and creds_write(). Errors: -EINVAL
 * not credentials, -ENOMEM, one line.
 */
#ifndef CONTROL_CREDS_H
#define CONTROL_CREDS_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define CREDS_BYTES_MAX (64u << 10)

enum creds_form {
	CREDS_API_TOKEN,
	CREDS_PYTHON, /* JSON with created and expires_in, or no expiry at all */
	CREDS_EXPIRES_AT, /* JSON with expires_at */
	CREDS_CLIENT_JSON, /* JSON with fioctl's clientcredentials */
	CREDS_FIOCTL_YAML,
};

/* How a request carries the token. Bearer: if one form gets 401 try the other once. */
enum creds_header { CREDS_OSF_TOKEN, CREDS_BEARER_RAW, CREDS_BEARER_BASE64 };

struct creds {
	enum creds_form form;
	enum creds_header header; /* by the form; the caller changes it after a 401 */
	bool header_worked; /* with such a header a request got in: it stays */
	char *access_token; /* or the API token; only characters a header may have */
	char *refresh_token, *client_id, *client_secret; /* or NULL */
	char *oauth_url, *api_url, *factory; /* fioctl's, or NULL */
	double expires_s; /* INFINITY: not known, use it until 401 */
	double lifetime_s; /* of the token, as far as known */
	bool others_can_read; /* creds_read(): group or others may read the file */
	char *text; /* as it was read or last made, for the next write */
	size_t text_bytes;
};

MUST_CHECK int creds_parse(
	struct creds **creds, const char *text, size_t n, double now_s, struct wgh_error *error);
MUST_CHECK int creds_read(
	struct creds **creds, const char *path, double now_s, struct wgh_error *error);
/* Format P from the answer to a login. */
MUST_CHECK int creds_from_answer(
	struct creds **creds, const char *body, size_t n, double now_s, struct wgh_error *error);
void creds_free(struct creds *creds);

/* Is it another token? Another process may have refreshed. */
MUST_CHECK bool creds_same_token(const struct creds *a, const struct creds *b);
/* When to refresh: 600 s before the end, or a quarter of the lifetime if that is less. INFINITY:
 * when a 401 says so. */
double creds_refresh_at_s(const struct creds *creds);
bool creds_can_refresh(const struct creds *creds);

/* The header's name and value for a request; value is the caller's: wipe it. -EMSGSIZE. */
#define CREDS_HEADER_CHARS 16384
MUST_CHECK int creds_header_text(
	const struct creds *creds, const char **name, char value[CREDS_HEADER_CHARS]);

/* POST path, relative to the OAuth base, and form body of a refresh. attempt 0 is the form's own
 * way, 1 the other one where there is one; -ENOENT: none left. Free with creds_request_fini(),
 * which wipes. */
struct creds_request {
	const char *path; /* "/token" or "/token/": each way has its own */
	char *body; /* application/x-www-form-urlencoded */
};
MUST_CHECK int creds_refresh_request(
	struct creds_request *request, const struct creds *creds, unsigned attempt);
void creds_request_fini(struct creds_request *request);
/* name, value, name, value .. NULL as a form body; secret_wipe() and free() it. NULL: no memory. */
MUST_CHECK char *creds_form_encode(const char *const *fields);

/* Takes a token answer in: rotation, refresh token kept when absent, lifetime kept when absent. On
 * an error nothing has changed. */
MUST_CHECK int creds_merge(
	struct creds *creds, const char *body, size_t n, double now_s, struct wgh_error *error);
/* The whole file by rename, 0600; the caller holds file_lock(). -EROFS: a fioctl YAML (fioctl
 * writes it as well), unless fioctl_too. */
MUST_CHECK int creds_write(
	const struct creds *creds, const char *path, bool fioctl_too, struct wgh_error *error);

/* Stars over every occurrence of a secret of these credentials in text, also over the beginning of
 * one where the text ends: for what a server sent back. */
void creds_redact(const struct creds *creds, char *text);
/* The same for one secret of somebody else's. Less than 4 characters are none. */
void creds_hide(char *text, const char *secret);

#endif
