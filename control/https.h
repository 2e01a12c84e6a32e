/* https.h - HTTPS requests on the main loop: libcurl's multi interface, driven by libuv.
 *
 * Rules for every request: https only, certificates always verified, 10 s to connect, 30 s in all,
 * a limit on body and headers, no cookies, no compression. A redirect is followed only to the same
 * scheme, host and port, with the same method, three times at the most. Names are resolved on a
 * thread of libcurl's. A proxy is taken from the environment (HTTPS_PROXY), and sees none of the
 * headers. Ownership: requests are copied; an answer is valid during the call. Copies of our own
 * are wiped, those inside libcurl and OpenSSL are not. Threads: the main thread.
 */
#ifndef CONTROL_HTTPS_H
#define CONTROL_HTTPS_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define HTTPS_CONNECT_MS 10000
#define HTTPS_WHOLE_MS 30000
#define HTTPS_HEADERS_MAX (256u << 10)
#define HTTPS_REDIRECTS_MAX 3
#define HTTPS_RETRY_AFTER_MAX_S 3600

struct https;

struct https_request {
	const char *method; /* "GET", "POST", "PATCH" */
	const char *url;
	const char *const *headers; /* "Name: value", NULL at the end; or NULL */
	const char *body; /* or NULL */
	size_t body_bytes, answer_max_bytes;
};

struct https_answer {
	int err; /* 0: a whole answer. -EFBIG, -ETIMEDOUT, -EPERM (redirected elsewhere), -EIO */
	char why[200]; /* for err: one printable line */
	unsigned status;
	const char *body; /* a zero byte follows */
	size_t body_bytes;
	unsigned retry_after_s; /* 0: the server did not say */
};

typedef void https_fn(void *arg, const struct https_answer *answer);

/* Loads libcurl, which the others do by themselves, if need be: for who is about to lose rights.
 * -ENOENT. */
MUST_CHECK int https_load(struct wgh_error *error);
/* ca_file: trust these authorities only, as they are now; NULL: the system's. -EINVAL: it cannot be
 * read; -ENOENT: no libcurl. */
MUST_CHECK int https_new(
	struct https **https, uv_loop_t *loop, const char *ca_file, struct wgh_error *error);
/* Requests under way end without their callback. Not from a callback. Memory is freed by the loop's
 * next turns. NULL is fine. */
void https_free(struct https *https);
/* done is called later, exactly once. -EINVAL: no https URL, or a header of several lines;
 * -ENOMEM. */
MUST_CHECK int https_send(
	struct https *https, const struct https_request *request, https_fn *done, void *arg);
/* Is it an https URL without user name and query, such as may be a base? -EINVAL; -ENOENT: no
 * libcurl. */
MUST_CHECK int https_check_base(const char *url, struct wgh_error *error);
/* For tests, which have no 30 seconds. */
void https_set_timeouts(struct https *https, long connect_ms, long whole_ms);

#endif
