/* factory_http.c - see factory_http.h: one request, from its beginning to its answer. Tokens that
 * have to be renewed on the way are factory_login.c's business.
 *
 *	begin -> [login] -> send -> 401? -> the other Bearer form, then [login], then send again
 */
#include "control/factory_http.h"
#include "control/factory_login.h"

#include "control/error.h"
#include "control/factory_json.h"
#include "control/factory_urls.h"
#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct factory_http {
	uv_loop_t *loop;
	struct https *https;
	struct factory_login *login;
	char *api_url;
	const char *const *headers;
	uv_timer_t soon; /* an answer that needs no network still comes later */
	/* the request under way */
	factory_answer_fn *done; /* NULL: none */
	void *arg;
	const char *method;
	char *path, *url, *body;
	size_t body_bytes;
	bool tried_form, tried_login;
	unsigned why_status; /* of the answer that made us renew the token */
	struct factory_answer answer; /* for `soon` */
};

static void send_request(struct factory_http *http);

/* ---- answers ---- */

/* What was sent, and a server may repeat: the token, and the values of headers that it knows
 * somebody by. */
static void hide_secrets(void *arg, char *text)
{
	const struct factory_http *http = arg;
	const struct creds *creds = factory_login_creds(http->login);

	if (creds)
		creds_redact(creds, text);
	for (size_t i = 0; http->headers && http->headers[i]; i++) {
		const char *value = strchr(http->headers[i], ':');

		if (value)
			creds_hide(text, value + 1 + strspn(value + 1, " \t"));
	}
}

static void forget_request(struct factory_http *http)
{
	free(http->path);
	free(http->url);
	free(http->body);
	http->path = http->url = http->body = NULL;
}

static void finish(struct factory_http *http, const struct factory_answer *answer)
{
	factory_answer_fn *done = http->done;

	http->done = NULL;
	forget_request(http);
	done(http->arg, answer);
}

static void on_soon(uv_timer_t *timer)
{
	struct factory_http *http = timer->data;
	struct factory_answer answer = http->answer;

	finish(http, &answer);
}

static void finish_soon(struct factory_http *http, enum factory_outcome outcome, const char *before,
	const char *why)
{
	http->answer = (struct factory_answer){.outcome = outcome,
		.body = "",
		.status = http->why_status,
		.login_needed = factory_login_is_needed(http->login)};
	snprintf(http->answer.why, sizeof http->answer.why, "%s %s: %s%s", http->method, http->path,
		before, why);
	uv_timer_start(&http->soon, on_soon, 0, 0);
}

static void finish_status(struct factory_http *http, const struct https_answer *from)
{
	struct factory_answer answer = {.status = from->status,
		.body = "",
		.retry_after_s = from->retry_after_s,
		.login_needed = factory_login_is_needed(http->login)};
	const struct factory_error_rules rules = {.hide = hide_secrets, .arg = http};
	struct factory_error said;

	if (from->status >= 200 && from->status < 300) {
		answer.body = from->body;
		answer.body_bytes = from->body_bytes;
		finish(http, &answer);
		return;
	}
	answer.outcome = from->status >= 500 || from->status == 429 || from->status == 408
		? FACTORY_TRANSIENT
		: FACTORY_REFUSED;
	factory_error_parse(&said, from->body, from->body_bytes, &rules);
	snprintf(answer.why, sizeof answer.why, "%s %s: %u%s%s", http->method, http->path,
		from->status, said.text[0] ? ": " : "", said.text);
	finish(http, &answer);
}

/* ---- 401 ---- */

/* False: both forms have been tried, or there is only one. */
static bool try_other_form(struct factory_http *http)
{
	struct creds *creds = factory_login_creds(http->login);

	if (creds->header_worked || http->tried_form || creds->header == CREDS_OSF_TOKEN)
		return false;
	http->tried_form = true;
	creds->header = creds->header == CREDS_BEARER_RAW ? CREDS_BEARER_BASE64 : CREDS_BEARER_RAW;
	send_request(http);
	return true;
}

static void on_renewed(void *arg, enum factory_login_outcome outcome, const char *why)
{
	struct factory_http *http = arg;

	switch (outcome) {
	case LOGIN_READY:
		send_request(http);
		break;
	case LOGIN_LATER:
		finish_soon(http, FACTORY_TRANSIENT, "cannot renew the token: ", why);
		break;
	case LOGIN_NEEDED:
		finish_soon(http, FACTORY_REFUSED, "", why);
		break;
	}
}

static void on_answer(void *arg, const struct https_answer *from)
{
	struct factory_http *http = arg;
	struct factory_answer answer = {.outcome = FACTORY_TRANSIENT, .body = ""};

	if (from->err) {
		snprintf(answer.why, sizeof answer.why, "%s %s: %s", http->method, http->path,
			from->why);
		finish(http, &answer);
		return;
	}
	if (from->status != 401) {
		/* Also a 403 or 404 knows who asks; a 5xx may come from anybody on the way. */
		if (from->status < 500)
			factory_login_creds(http->login)->header_worked = true;
		if (from->status < 300)
			factory_login_worked(http->login);
		finish_status(http, from);
		return;
	}
	if (try_other_form(http))
		return;
	if (!http->tried_login && factory_login_may_renew(http->login)) {
		/* A new token may be meant for either form again. */
		http->tried_login = true;
		http->tried_form = false;
		http->why_status = 401;
		factory_login_renew(http->login, on_renewed, http);
		return;
	}
	finish_status(http, from);
}

/* ---- a request ---- */

static void send_request(struct factory_http *http)
{
	const struct creds *creds = factory_login_creds(http->login);
	struct https_request request = {.method = http->method,
		.url = http->url,
		.body = http->body,
		.body_bytes = http->body_bytes,
		.answer_max_bytes = FACTORY_BODY_MAX};
	char value[CREDS_HEADER_CHARS], header[CREDS_HEADER_CHARS + 20];
	const char *headers[20] = {header, "Accept: application/json"}, *name;
	size_t n = 2;
	int err;

	if (http->body)
		headers[n++] = "Content-Type: application/json";
	for (size_t i = 0; http->headers && http->headers[i] && n < 19; i++)
		headers[n++] = http->headers[i];
	request.headers = headers;
	err = creds_header_text(creds, &name, value);
	if (!err) {
		snprintf(header, sizeof header, "%s: %s", name, value);
		err = https_send(http->https, &request, on_answer, http);
	}
	secret_wipe(value, sizeof value);
	secret_wipe(header, sizeof header);
	if (err)
		finish_soon(http, FACTORY_TRANSIENT, "cannot be sent: ", strerror(-err));
}

/* The path is for the log, which it must not fill: no query, no control characters. */
static int set_target(struct factory_http *http, const char *path)
{
	char shown[200];
	size_t n;
	int err;

	if (path[0] == '/') {
		if (asprintf(&http->url, "%s%s", http->api_url, path) < 0)
			http->url = NULL;
		err = http->url ? 0 : -ENOMEM;
	} else {
		err = factory_next_url(&http->url, http->api_url, path);
		path = err ? "" : strchr(http->url + 8, '/');
	}
	if (err)
		return err;
	n = path ? strcspn(path, "?#") : 0;
	text_escape(shown, sizeof shown, path ? path : "", n);
	http->path = strdup(shown);
	return http->path ? 0 : -ENOMEM;
}

static int begin(struct factory_http *http, const char *path, factory_answer_fn *done, void *arg)
{
	int err = set_target(http, path);

	if (err) {
		forget_request(http);
		return err;
	}
	http->done = done;
	http->arg = arg;
	http->tried_form = http->tried_login = false;
	http->why_status = 0;
	factory_login_ready(http->login, on_renewed, http);
	return 0;
}

void factory_http_creds(struct factory_http *http, struct factory_creds_view *view)
{
	static const char *const kinds[] = {
		[CREDS_API_TOKEN] = "API token",
		[CREDS_PYTHON] = "OAuth, the Python daemon's file",
		[CREDS_EXPIRES_AT] = "OAuth, with expires_at",
		[CREDS_CLIENT_JSON] = "OAuth client credentials",
		[CREDS_FIOCTL_YAML] = "OAuth client credentials of fioctl",
	};
	const struct creds *creds = factory_login_creds(http->login);

	*view = (struct factory_creds_view){.login_needed = factory_login_is_needed(http->login)};
	if (!creds)
		return;
	view->kind = kinds[creds->form];
	view->expires_s = creds->expires_s;
	view->can_refresh = creds_can_refresh(creds);
	view->others_can_read = creds->others_can_read;
}

int factory_http_get(
	struct factory_http *http, const char *path, factory_answer_fn *done, void *arg)
{
	if (http->done)
		return -EBUSY;
	http->method = "GET";
	return begin(http, path, done, arg);
}

int factory_http_patch(struct factory_http *http, const char *path, const char *body, size_t n,
	factory_answer_fn *done, void *arg)
{
	if (http->done)
		return -EBUSY;
	http->body = strndup(body, n);
	if (!http->body)
		return -ENOMEM;
	http->body_bytes = n;
	http->method = "PATCH";
	return begin(http, path, done, arg);
}

void factory_http_hurry(struct factory_http *http)
{
	factory_login_hurry(http->login);
}

struct https *factory_http_client(struct factory_http *http)
{
	return http->https;
}

/* ---- life ---- */

static int check_options(const struct factory_http_options *o, struct wgh_error *error)
{
	struct wgh_error why;
	char shown[100];
	int err;

	for (size_t i = 0; o->headers && o->headers[i]; i++) {
		if (i >= 16 || !strchr(o->headers[i], ':') || strpbrk(o->headers[i], "\r\n")) {
			error_set(error, "a header is \"Name: value\" on one line, 16 of them");
			return -EINVAL;
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		const char *url = i ? o->oauth_url : o->api_url;

		err = url ? https_check_base(url, &why) : 0;
		if (!err)
			continue;
		text_escape(shown, sizeof shown, url, strlen(url));
		error_set(error, "%s: %s", shown, why.text);
		return err;
	}
	return 0;
}

int factory_http_new(struct factory_http **http, uv_loop_t *loop,
	const struct factory_http_options *o, struct wgh_error *error)
{
	struct factory_http *h;
	struct factory_urls urls;
	struct creds *creds;
	int err = check_options(o, error);

	*http = NULL;
	if (err)
		return err;
	h = calloc(1, sizeof *h);
	if (!h) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	err = https_new(&h->https, loop, o->ca_file, error);
	if (!err)
		err = factory_login_new(&h->login, loop, h->https, o, error);
	if (err) {
		https_free(h->https);
		free(h);
		return err;
	}
	h->loop = loop;
	h->headers = o->headers;
	uv_timer_init(loop, &h->soon);
	h->soon.data = h;
	creds = factory_login_creds(h->login);
	err = factory_urls_find(&urls,
		&(struct factory_urls_known){.api = o->api_url,
			.oauth = o->oauth_url,
			.creds_api = creds ? creds->api_url : NULL,
			.creds_oauth = creds ? creds->oauth_url : NULL});
	h->api_url = urls.api;
	factory_login_set_url(h->login, urls.oauth);
	if (err) {
		factory_http_free(h);
		error_set(error, "out of memory");
		return err;
	}
	*http = h;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void factory_http_free(struct factory_http *http)
{
	if (!http)
		return;
	factory_login_free(http->login);
	https_free(http->https);
	free(http->api_url);
	forget_request(http);
	uv_close((uv_handle_t *)&http->soon, on_closed);
}
