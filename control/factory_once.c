/* factory_once.c - see factory_once.h. */
#include "control/factory_once.h"

#include "control/error.h"
#include "control/progress.h"
#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_URL_CHARS 200

struct factory_once {
	uv_loop_t loop;
	struct factory_http *http;
	uv_timer_t timer;
	struct factory_reply *reply;
	bool done;
};

static void copy_body(struct factory_reply *reply, const char *body, size_t n)
{
	reply->body = malloc(n + 1);
	if (!reply->body) {
		reply->outcome = FACTORY_TRANSIENT;
		snprintf(reply->why, sizeof reply->why, "out of memory");
		return;
	}
	memcpy(reply->body, body, n);
	reply->body[n] = 0;
	reply->n = n;
}

static void run(struct factory_once *once)
{
	progress_begin("waiting for the Factory");
	while (!once->done)
		uv_run(&once->loop, UV_RUN_ONCE);
	progress_end();
}

static void begin(struct factory_once *once, struct factory_reply *reply)
{
	*reply = (struct factory_reply){.outcome = FACTORY_TRANSIENT};
	uv_update_time(&once->loop); /* a person may have thought for minutes */
	once->reply = reply;
	once->done = false;
}

/* ---- the API ---- */

static void on_answer(void *arg, const struct factory_answer *answer)
{
	struct factory_once *once = arg;
	struct factory_reply *reply = once->reply;

	reply->outcome = answer->outcome;
	reply->status = answer->status;
	reply->login_needed = answer->login_needed;
	memcpy(reply->why, answer->why, sizeof reply->why);
	if (answer->outcome == FACTORY_OK)
		copy_body(reply, answer->body, answer->body_bytes);
	once->done = true;
}

void factory_once_get(struct factory_once *once, const char *path, struct factory_reply *reply)
{
	int err;

	begin(once, reply);
	err = factory_http_get(once->http, path, on_answer, once);
	if (err)
		snprintf(reply->why, sizeof reply->why, "GET: %s", strerror(-err));
	else
		run(once);
}

void factory_once_patch(struct factory_once *once, const char *path, const char *body, size_t n,
	struct factory_reply *reply)
{
	int err;

	begin(once, reply);
	err = factory_http_patch(once->http, path, body, n, on_answer, once);
	if (err)
		snprintf(reply->why, sizeof reply->why, "PATCH: %s", strerror(-err));
	else
		run(once);
}

/* ---- others ---- */

static void on_fetched(void *arg, const struct https_answer *answer)
{
	struct factory_once *once = arg;
	struct factory_reply *reply = once->reply;

	once->done = true;
	reply->status = answer->status;
	if (answer->err) {
		snprintf(reply->why, sizeof reply->why, "%s", answer->why);
		return;
	}
	reply->outcome = FACTORY_OK;
	copy_body(reply, answer->body, answer->body_bytes);
}

void factory_once_fetch(struct factory_once *once, const char *url, const char *form,
	size_t answer_max_bytes, struct factory_reply *reply)
{
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
		"Accept: application/json", NULL};
	const struct https_request request = {.method = form ? "POST" : "GET",
		.url = url,
		.headers = form ? headers : NULL,
		.body = form,
		.body_bytes = form ? strlen(form) : 0,
		.answer_max_bytes = answer_max_bytes};
	char shown[SHOWN_URL_CHARS], why[200];
	int err;

	begin(once, reply);
	err = https_send(factory_http_client(once->http), &request, on_fetched, once);
	if (err)
		snprintf(reply->why, sizeof reply->why, "%s", strerror(-err));
	else
		run(once);
	if (reply->outcome == FACTORY_OK)
		return;
	text_escape(shown, sizeof shown, url, strcspn(url, "?#"));
	snprintf(why, sizeof why, "%.199s", reply->why);
	snprintf(reply->why, sizeof reply->why, "%s: %s", shown, why);
}

static void on_timer(uv_timer_t *timer)
{
	struct factory_once *once = timer->data;

	once->done = true;
}

void factory_once_wait(struct factory_once *once, unsigned ms)
{
	once->done = false;
	uv_update_time(&once->loop);
	uv_timer_start(&once->timer, on_timer, ms, 0);
	run(once);
}

void factory_reply_fini(struct factory_reply *reply)
{
	if (reply->body)
		secret_wipe(reply->body, reply->n);
	free(reply->body);
	reply->body = NULL;
}

/* ---- life ---- */

int factory_once_new(struct factory_once **out, const struct factory_http_options *options,
	struct wgh_error *error)
{
	struct factory_once *once = calloc(1, sizeof *once);
	int err;

	*out = NULL;
	if (!once || uv_loop_init(&once->loop)) {
		free(once);
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	uv_timer_init(&once->loop, &once->timer);
	once->timer.data = once;
	err = factory_http_new(&once->http, &once->loop, options, error);
	if (err) {
		factory_once_free(once);
		return err;
	}
	*out = once;
	return 0;
}

void factory_once_free(struct factory_once *once)
{
	if (!once)
		return;
	factory_http_free(once->http);
	uv_close((uv_handle_t *)&once->timer, NULL);
	uv_run(&once->loop, UV_RUN_DEFAULT);
	/* No request is under way, so nothing else can be left. */
	if (!uv_loop_close(&once->loop))
		free(once);
}
