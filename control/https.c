/* https.c - see https.h. libcurl says which descriptors to watch and when to wake it; each change
 * of a descriptor or the timer is handed back to it, and then the transfers that ended are taken
 * off it, outside of any of its callbacks, so that an answer's receiver may send the next request.
 */
#include "control/https.h"

#include "control/error.h"
#include "control/file.h"
#include "control/late_library.h"
#include "control/text.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECTIONS_KEPT 2L
#define AUTHORITIES_BYTES_MAX (4u << 20) /* the system's own have 200 KiB */

struct transfer {
	struct https *https;
	struct transfer *next;
	CURL *easy;
	struct curl_slist *headers;
	char *body, *url;
	char error[CURL_ERROR_SIZE];
	char *answer;
	size_t body_bytes, answer_bytes, answer_cap, answer_max, header_bytes;
	bool too_big;
	unsigned n_redirects;
	uint64_t end_ms; /* of uv_hrtime(): for all redirects together */
	https_fn *done;
	void *arg;
};

struct https {
	uv_loop_t *loop;
	CURLM *multi;
	uv_timer_t timer;
	struct file_text authorities; /* empty: the system's */
	long connect_ms, whole_ms;
	struct transfer *transfers;
};

struct watch {
	uv_poll_t poll;
	struct https *https;
	curl_socket_t socket;
};

/* ---- libcurl, loaded by those who ask a server ---- */

/* clang-format off */
#define CURL_FUNCTIONS(X) \
	X(easy_cleanup) X(easy_getinfo) X(easy_init) X(easy_setopt) X(easy_strerror) X(free) X(global_init) \
	X(multi_add_handle) X(multi_assign) X(multi_cleanup) X(multi_info_read) X(multi_init) \
	X(multi_remove_handle) X(multi_setopt) X(multi_socket_action) X(slist_append) X(slist_free_all) \
	X(url) X(url_cleanup) X(url_get) X(url_set)

/* The header's macros, which check the type of an option's value, do not see these: numbers are long. */
#define X(name) typeof(&curl_##name) name;
static struct { CURL_FUNCTIONS(X) } curl;
#undef X
#define X(name) "curl_" #name,
static const char *const curl_names[] = {CURL_FUNCTIONS(X)};
#undef X
/* clang-format on */

static struct late_library libcurl = {.file = "libcurl.so.4",
	.package = "libcurl4",
	.names = curl_names,
	.n = sizeof curl_names / sizeof *curl_names,
	.functions = &curl};

int https_load(struct wgh_error *error)
{
	return late_library_load(&libcurl, error);
}

/* ---- memory that held secrets ---- */

static void free_wiped(char *text, size_t n)
{
	if (text)
		secret_wipe(text, n);
	free(text);
}

static void headers_free(struct curl_slist *list)
{
	for (struct curl_slist *at = list; at; at = at->next)
		secret_wipe(at->data, strlen(at->data));
	curl.slist_free_all(list);
}

static void transfer_free(struct transfer *t)
{
	if (t->easy) {
		curl.multi_remove_handle(t->https->multi, t->easy);
		curl.easy_cleanup(t->easy);
	}
	headers_free(t->headers);
	free_wiped(t->body, t->body_bytes);
	free_wiped(t->answer, t->answer_cap);
	free(t->url);
	free(t);
}

static void transfer_unlink(struct transfer *t)
{
	struct transfer **at = &t->https->transfers;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
}

/* ---- bytes from the server ---- */

static bool make_room(struct transfer *t, size_t n)
{
	size_t cap = t->answer_cap ? t->answer_cap : 4096;
	char *bigger;

	while (cap < t->answer_bytes + n + 1)
		cap *= 2;
	if (cap == t->answer_cap)
		return true;
	bigger = malloc(cap);
	if (!bigger)
		return false;
	if (t->answer)
		memcpy(bigger, t->answer, t->answer_bytes);
	free_wiped(t->answer, t->answer_cap);
	t->answer = bigger;
	t->answer_cap = cap;
	return true;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	n *= size;
	if (n > t->answer_max - t->answer_bytes) {
		t->too_big = true;
		return 0;
	}
	if (!make_room(t, n))
		return 0;
	memcpy(t->answer + t->answer_bytes, bytes, n);
	t->answer_bytes += n;
	return n;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	(void)bytes;
	n *= size;
	t->header_bytes += n;
	t->too_big |= t->header_bytes > HTTPS_HEADERS_MAX;
	return t->too_big ? 0 : n;
}

/* ---- the end of a transfer ---- */

static char *url_part(CURLU *url, CURLUPart part)
{
	char *text = NULL;

	return curl.url_get(url, part, &text, CURLU_DEFAULT_PORT) ? NULL : text;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *one = url_part(a, part), *two = url_part(b, part);
	bool same = one && two && !strcasecmp(one, two);

	curl.free(one);
	curl.free(two);
	return same;
}

static bool same_origin(const char *a, const char *b)
{
	CURLU *one = curl.url(), *two = curl.url();
	bool same = one && two && !curl.url_set(one, CURLUPART_URL, a, 0) &&
		!curl.url_set(two, CURLUPART_URL, b, CURLU_DISALLOW_USER) &&
		same_part(one, two, CURLUPART_SCHEME) && same_part(one, two, CURLUPART_HOST) &&
		same_part(one, two, CURLUPART_PORT);

	curl.url_cleanup(one);
	curl.url_cleanup(two);
	return same;
}

/* 303 asks for a GET, which a request with a body must not become. */
static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int follow(struct transfer *t, const char *where)
{
	uint64_t now_ms = uv_hrtime() / 1000000;
	char *url;

	if (!where || !same_origin(t->url, where) || ++t->n_redirects > HTTPS_REDIRECTS_MAX)
		return -EPERM;
	if (now_ms >= t->end_ms)
		return -ETIMEDOUT;
	url = strdup(where);
	if (!url)
		return -ENOMEM;
	free(t->url);
	t->url = url;
	t->answer_bytes = t->header_bytes = 0;
	curl.multi_remove_handle(t->https->multi, t->easy);
	if (curl.easy_setopt(t->easy, CURLOPT_URL, t->url) ||
		curl.easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)(t->end_ms - now_ms)) ||
		curl.multi_add_handle(t->https->multi, t->easy))
		return -ENOMEM;
	return 0;
}

static int transfer_error(const struct transfer *t, CURLcode code)
{
	if (t->too_big || code == CURLE_FILESIZE_EXCEEDED)
		return -EFBIG;
	return code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO;
}

static void say_why(struct https_answer *answer, const struct transfer *t, CURLcode code)
{
	const char *text = t->error[0] ? t->error : curl.easy_strerror(code);

	if (answer->err == -EFBIG)
		text = "the answer is too large";
	else if (answer->err == -EPERM)
		text = "it redirects to another place";
	else if (answer->err == -ENOMEM)
		text = "out of memory";
	else if (answer->err == -ETIMEDOUT && !code)
		text = "its redirects take too long";
	text_escape(answer->why, sizeof answer->why, text, strlen(text));
}

static void finish(struct transfer *t, CURLcode code)
{
	struct https_answer answer = {.body = "", .err = code ? transfer_error(t, code) : 0};
	curl_off_t retry_after_s = 0;
	char *where = NULL;
	long status = 0;

	curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!answer.err && is_redirect(status)) {
		curl.easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &where);
		answer.err = status == 303 ? -EPERM : follow(t, where);
		if (!answer.err)
			return;
	}
	curl.easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	if (retry_after_s > HTTPS_RETRY_AFTER_MAX_S)
		retry_after_s = HTTPS_RETRY_AFTER_MAX_S;
	if (retry_after_s > 0)
		answer.retry_after_s = (unsigned)retry_after_s;
	if (answer.err)
		say_why(&answer, t, code);
	else
		answer.status = (unsigned)status;
	if (!answer.err && t->answer_bytes) {
		t->answer[t->answer_bytes] = 0;
		answer.body = t->answer;
		answer.body_bytes = t->answer_bytes;
	}
	transfer_unlink(t);
	t->done(t->arg, &answer);
	transfer_free(t);
}

static void take_finished(struct https *https)
{
	struct transfer *t;
	CURLMsg *message;
	CURLcode code;
	int n;

	while ((message = curl.multi_info_read(https->multi, &n))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		code = message->data.result;
		curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		finish(t, code);
	}
}

/* ---- libcurl on libuv ---- */

static void on_timer(uv_timer_t *timer)
{
	struct https *https = timer->data;
	int n;

	curl.multi_socket_action(https->multi, CURL_SOCKET_TIMEOUT, 0, &n);
	take_finished(https);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct https *https = arg;

	(void)multi;
	if (timeout_ms < 0)
		uv_timer_stop(&https->timer);
	else
		uv_timer_start(&https->timer, on_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	struct https *https = watch->https;
	int n, flags = status < 0 ? CURL_CSELECT_ERR : 0;

	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl.multi_socket_action(https->multi, watch->socket, flags, &n); /* watch may be gone */
	take_finished(https);
}

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static struct watch *watch_new(struct https *https, curl_socket_t socket)
{
	struct watch *watch = calloc(1, sizeof *watch);

	if (!watch)
		return NULL;
	if (uv_poll_init_socket(https->loop, &watch->poll, socket)) {
		free(watch);
		return NULL;
	}
	watch->https = https;
	watch->socket = socket;
	watch->poll.data = watch;
	curl.multi_assign(https->multi, socket, watch);
	return watch;
}

static int set_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *known)
{
	struct https *https = arg;
	struct watch *watch = known;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch)
			uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
		curl.multi_assign(https->multi, socket, NULL);
		return 0;
	}
	if (!watch)
		watch = watch_new(https, socket);
	if (!watch)
		return -1;
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	return uv_poll_start(&watch->poll, events, on_socket) ? -1 : 0;
}

/* ---- a request ---- */

static bool is_one_line(const char *header)
{
	return strchr(header, ':') && !strpbrk(header, "\r\n");
}

static int add_header(struct transfer *t, const char *header)
{
	struct curl_slist *list;

	if (!is_one_line(header))
		return -EINVAL;
	list = curl.slist_append(t->headers, header);
	if (!list)
		return -ENOMEM;
	t->headers = list;
	return 0;
}

static int copy_request(struct transfer *t, const struct https_request *request)
{
	/* libcurl would wait a second for a 100 before a body of more than 1 MiB. */
	int err = add_header(t, "Expect:");

	for (size_t i = 0; request->headers && request->headers[i] && !err; i++)
		err = add_header(t, request->headers[i]);
	t->url = strdup(request->url);
	if (request->body)
		t->body = calloc(1, request->body_bytes + 1);
	if (t->body)
		memcpy(t->body, request->body, request->body_bytes);
	t->body_bytes = request->body_bytes;
	if (!err && (!t->url || (request->body && !t->body)))
		err = -ENOMEM;
	return err;
}

static CURLcode set_options(struct transfer *t, const struct https_request *request)
{
	const struct https *h = t->https;
	struct curl_blob authorities = {h->authorities.bytes, h->authorities.n, CURL_BLOB_NOCOPY};
	CURLcode code = CURLE_OK;

#define SET(option, value) code = code ? code : curl.easy_setopt(t->easy, option, value)
	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_URL, t->url);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (h->authorities.bytes) {
		SET(CURLOPT_CAINFO_BLOB, &authorities);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* giving up does not wait for a resolver */
	SET(CURLOPT_CONNECTTIMEOUT_MS, h->connect_ms);
	SET(CURLOPT_TIMEOUT_MS, h->whole_ms);
	SET(CURLOPT_USERAGENT, "wghub/" WGHUB_VERSION);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->answer_max_bytes);
	SET(CURLOPT_HTTPHEADER, t->headers);
	if (t->body) {
		/* On a connection that was used before and ends without an answer libcurl would
		 * send the request again; this one may be good for one time only. */
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
		SET(CURLOPT_POSTFIELDS, t->body);
	}
	if (strcmp(request->method, t->body ? "POST" : "GET"))
		SET(CURLOPT_CUSTOMREQUEST, request->method);
#undef SET
	return code;
}

int https_send(struct https *https, const struct https_request *request, https_fn *done, void *arg)
{
	struct transfer *t;
	int err;

	if (strncasecmp(request->url, "https://", 8))
		return -EINVAL;
	t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	t->https = https;
	t->done = done;
	t->arg = arg;
	t->answer_max = request->answer_max_bytes;
	t->end_ms = uv_hrtime() / 1000000 + (uint64_t)https->whole_ms;
	err = copy_request(t, request);
	if (!err) {
		t->easy = curl.easy_init();
		if (!t->easy || set_options(t, request) ||
			curl.multi_add_handle(https->multi, t->easy))
			err = -ENOMEM;
	}
	if (err) {
		transfer_free(t);
		return err;
	}
	t->next = https->transfers;
	https->transfers = t;
	return 0;
}

/* ---- life ---- */

static bool is_base(const char *text)
{
	CURLU *url = curl.url();
	char *scheme = NULL, *query = NULL;
	bool good = url && strlen(text) < 2048 &&
		!curl.url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) &&
		!curl.url_get(url, CURLUPART_SCHEME, &scheme, 0) && !strcasecmp(scheme, "https") &&
		curl.url_get(url, CURLUPART_QUERY, &query, 0) == CURLUE_NO_QUERY &&
		!strchr(text, '#');

	curl.free(scheme);
	curl.free(query);
	curl.url_cleanup(url);
	return good;
}

int https_check_base(const char *url, struct wgh_error *error)
{
	int err = https_load(error);

	if (err || is_base(url))
		return err;
	error_set(error, "a base URL must begin with https:// and have no user or query");
	return -EINVAL;
}

int https_new(struct https **https, uv_loop_t *loop, const char *ca_file, struct wgh_error *error)
{
	int err = https_load(error);
	struct https *h;

	*https = NULL;
	if (err)
		return err;
	h = calloc(1, sizeof *h);
	if (!h || curl.global_init(CURL_GLOBAL_DEFAULT))
		goto fail;
	h->multi = curl.multi_init();
	if (!h->multi)
		goto fail;
	if (ca_file && file_read(&h->authorities, ca_file, AUTHORITIES_BYTES_MAX, error)) {
		curl.multi_cleanup(h->multi);
		free(h);
		return -EINVAL;
	}
	h->loop = loop;
	h->connect_ms = HTTPS_CONNECT_MS;
	h->whole_ms = HTTPS_WHOLE_MS;
	curl.multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl.multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl.multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl.multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl.multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
	uv_timer_init(loop, &h->timer);
	h->timer.data = h;
	*https = h;
	return 0;
fail:
	error_set(error, "out of memory");
	if (h)
		curl.multi_cleanup(h->multi);
	free(h);
	return -ENOMEM;
}

static void on_closed(uv_handle_t *handle)
{
	struct https *https = handle->data;

	file_text_fini(&https->authorities);
	free(https);
}

void https_free(struct https *https)
{
	struct transfer *t;

	if (!https)
		return;
	while ((t = https->transfers)) {
		https->transfers = t->next;
		transfer_free(t);
	}
	curl.multi_cleanup(https->multi);
	uv_close((uv_handle_t *)&https->timer, on_closed);
}

void https_set_timeouts(struct https *https, long connect_ms, long whole_ms)
{
	https->connect_ms = connect_ms;
	https->whole_ms = whole_ms;
}
