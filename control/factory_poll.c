/* factory_poll.c - see factory_poll.h.
 *
 *	WAITING -> server file -> peers, page by page -> WAITING
 */
#include "control/factory_poll.h"

#include "control/error.h"
#include "control/note_once.h"
#include "control/tidy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_CHARS 300

struct factory_poll {
	uv_loop_t *loop;
	uv_timer_t timer;
	struct factory_http *http;
	struct factory_poll_handler handler;
	struct troubles *troubles;
	char *factory;
	uint64_t interval_ms, again_min_ms;
	unsigned n_failures;
	bool running, again; /* again: asked for while running */
	struct factory_peers peers; /* pages so far */
	unsigned n_pages;
	struct notes notes;
	struct note_once server_said, peers_said;
};

static void on_timer(uv_timer_t *timer);

/* ---- when ---- */

uint64_t factory_poll_wait_ms(uint64_t min_ms, unsigned n_failures, unsigned retry_after_s)
{
	uint64_t wait_ms = min_ms;

	for (unsigned i = 1; i < n_failures && wait_ms < POLL_AGAIN_MAX_MS; i++)
		wait_ms *= 2;
	if (wait_ms > POLL_AGAIN_MAX_MS)
		wait_ms = POLL_AGAIN_MAX_MS;
	return wait_ms > retry_after_s * UINT64_C(1000) ? wait_ms : retry_after_s * UINT64_C(1000);
}

/* Hubs that were started together must not ask together for ever. A wait that the server asked for
 * is not shortened. */
static uint64_t with_jitter(uint64_t ms, uint64_t least_ms)
{
	uint32_t random;
	uint64_t jittered;

	secret_random(&random, sizeof random);
	jittered = ms - ms / 10 + ms / 5 * (random >> 16) / 65536;
	return jittered > least_ms ? jittered : least_ms;
}

static void end_round(
	struct factory_poll *poll, enum factory_outcome outcome, const char *why, uint64_t wait_ms)
{
	if (poll->handler.round)
		poll->handler.round(poll->handler.arg, outcome, why);
	factory_peers_fini(&poll->peers);
	notes_fini(&poll->notes);
	tidy_soon();
	poll->running = false;
	if (poll->again)
		wait_ms = 0;
	poll->again = false;
	uv_timer_start(&poll->timer, on_timer, wait_ms, 0);
}

static void round_failed(struct factory_poll *poll, const char *why, unsigned retry_after_s)
{
	uint64_t wait_ms =
		factory_poll_wait_ms(poll->again_min_ms, ++poll->n_failures, retry_after_s);

	trouble_begin(poll->troubles, TROUBLE_UNREACHABLE, why);
	end_round(
		poll, FACTORY_TRANSIENT, why, with_jitter(wait_ms, retry_after_s * UINT64_C(1000)));
}

static void round_refused(struct factory_poll *poll, const char *why)
{
	poll->n_failures = 0;
	trouble_end(poll->troubles, TROUBLE_UNREACHABLE);
	trouble_begin(poll->troubles, TROUBLE_REFUSED, why);
	end_round(poll, FACTORY_REFUSED, why, with_jitter(poll->interval_ms, 0));
}

static void round_done(struct factory_poll *poll)
{
	poll->n_failures = 0;
	trouble_end(poll->troubles, TROUBLE_UNREACHABLE);
	trouble_end(poll->troubles, TROUBLE_REFUSED);
	end_round(poll, FACTORY_OK, "", with_jitter(poll->interval_ms, 0));
}

/* False: the round is over. */
static bool is_good(struct factory_poll *poll, const struct factory_answer *answer)
{
	if (answer->outcome == FACTORY_TRANSIENT)
		round_failed(poll, answer->why, answer->retry_after_s);
	else if (answer->outcome == FACTORY_REFUSED)
		round_refused(poll, answer->why);
	return answer->outcome == FACTORY_OK;
}

static void ask(struct factory_poll *poll, const char *path, factory_answer_fn *done)
{
	char why[80];
	int err = factory_http_get(poll->http, path, done, poll);

	if (!err)
		return;
	snprintf(why, sizeof why, "%s",
		err == -EPERM ? "the list goes on at another place than the API" : strerror(-err));
	round_failed(poll, why, 0);
}

/* ---- peers ---- */

static void on_peers(void *arg, const struct factory_answer *answer)
{
	struct factory_poll *poll = arg;
	struct wgh_error error = {""};
	char why[sizeof error.text + 40];

	if (!is_good(poll, answer))
		return;
	free(poll->peers.next);
	poll->peers.next = NULL;
	if (factory_peers_add(
		    &poll->peers, answer->body, answer->body_bytes, &poll->notes, &error)) {
		snprintf(why, sizeof why, "wireguard-ips: %s", error.text);
		round_failed(poll, why, 0);
		return;
	}
	if (poll->peers.next) {
		if (++poll->n_pages < POLL_PAGES_MAX)
			ask(poll, poll->peers.next, on_peers);
		else
			round_failed(poll, "wireguard-ips: its pages have no end", 0);
		return;
	}
	note_once_log(&poll->peers_said, "wireguard-ips", &poll->notes);
	poll->handler.peers(poll->handler.arg, &poll->peers);
	round_done(poll);
}

static void ask_peers(struct factory_poll *poll)
{
	char path[PATH_CHARS];

	notes_fini(&poll->notes);
	poll->n_pages = 0;
	snprintf(path, sizeof path, "/ota/factories/%s/wireguard-ips/", poll->factory);
	ask(poll, path, on_peers);
}

/* ---- the server file ---- */

static void on_config(void *arg, const struct factory_answer *answer)
{
	struct factory_poll *poll = arg;
	struct server_file server;
	struct factory_file file;
	struct wgh_error error = {""};
	char why[sizeof error.text + 20];
	bool enabled = true;
	int err;

	if (!is_good(poll, answer))
		return;
	/* What is no config at all is the server's bad day; what is in a config is somebody's wish.
	 */
	err = factory_file_find(&file, answer->body, answer->body_bytes, SERVER_FILE_NAME, &error);
	if (err) {
		snprintf(why, sizeof why, "config: %s", error.text);
		round_failed(poll, why, 0);
		return;
	}
	factory_file_fini(&file);
	err = factory_server_find(&server, answer->body, answer->body_bytes, &poll->notes, &error);
	note_once_log(&poll->server_said, SERVER_FILE_NAME, &poll->notes);
	if (!err) {
		trouble_end(poll->troubles, TROUBLE_SERVER_FILE);
		enabled = server.enabled;
		poll->handler.server(poll->handler.arg, &server);
	} else if (err == -ENOENT || err == -EINVAL) {
		trouble_begin(poll->troubles, TROUBLE_SERVER_FILE, error.text);
	} else {
		round_failed(poll, error.text, 0);
		return;
	}
	if (enabled)
		ask_peers(poll);
	else
		round_done(poll);
}

static void on_timer(uv_timer_t *timer)
{
	struct factory_poll *poll = timer->data;
	char path[PATH_CHARS];

	poll->running = true;
	snprintf(path, sizeof path, "/ota/factories/%s/config/", poll->factory);
	ask(poll, path, on_config);
}

void factory_poll_now(struct factory_poll *poll)
{
	factory_http_hurry(poll->http);
	if (poll->running)
		poll->again = true;
	else
		uv_timer_start(&poll->timer, on_timer, 0, 0);
}

bool factory_poll_is_running(const struct factory_poll *poll)
{
	return poll->running;
}

void factory_poll_creds(struct factory_poll *poll, struct factory_creds_view *view)
{
	factory_http_creds(poll->http, view);
}

/* ---- life ---- */

int factory_poll_new(struct factory_poll **out, uv_loop_t *loop,
	const struct factory_poll_options *o, const struct factory_poll_handler *handler,
	struct troubles *troubles, struct wgh_error *error)
{
	struct factory_poll *poll = calloc(1, sizeof *poll);
	int err;

	*out = NULL;
	if (poll)
		poll->factory = strdup(o->factory);
	if (!poll || !poll->factory) {
		free(poll);
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	err = factory_http_new(&poll->http, loop, &o->http, error);
	if (err) {
		free(poll->factory);
		free(poll);
		return err;
	}
	poll->loop = loop;
	poll->handler = *handler;
	poll->troubles = troubles;
	poll->interval_ms = o->interval_ms ? o->interval_ms : POLL_INTERVAL_MS;
	poll->again_min_ms = o->again_min_ms ? o->again_min_ms : POLL_AGAIN_MIN_MS;
	uv_timer_init(loop, &poll->timer);
	poll->timer.data = poll;
	uv_timer_start(&poll->timer, on_timer, 0, 0);
	*out = poll;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void factory_poll_free(struct factory_poll *poll)
{
	if (!poll)
		return;
	factory_http_free(poll->http);
	factory_peers_fini(&poll->peers);
	notes_fini(&poll->notes);
	free(poll->factory);
	uv_close((uv_handle_t *)&poll->timer, on_closed);
}
