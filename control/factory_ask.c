/* factory_ask.c - requests of our own to a Factory's hub: which there are, and what each answers.
 * One that needs the API waits in a list until it has answered; nothing here blocks. */
#include "control/factory_hub_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers made at once ---- */

/* Ends out, which wrote *text, and sends it. */
static void send_lines(struct uapi_reply *reply, FILE *out, char **text, size_t *n, int err)
{
	if (fclose(out))
		err = -ENOMEM;
	if (err) {
		free(*text);
		uapi_reply_send(reply, err, "out of memory", NULL, 0);
	} else {
		uapi_reply_send(reply, 0, NULL, *text, *n);
	}
}

typedef int tell_fn(FILE *out, struct factory_hub *hub, const struct wgh_snapshot *running);

static int tell_status(FILE *out, struct factory_hub *hub, const struct wgh_snapshot *running)
{
	factory_tell_status(out, hub, running);
	return 0;
}

static int tell_devices(FILE *out, struct factory_hub *hub, const struct wgh_snapshot *running)
{
	fprintf(out, "factory=%s\nlast_sync=%.0f\n", hub->factory, hub->last_sync_s);
	return factory_tell_peers(out, hub, ORIGIN_BIT(ORIGIN_FACTORY), running);
}

static int tell_clients(FILE *out, struct factory_hub *hub, const struct wgh_snapshot *running)
{
	factory_tell_hub(out, hub);
	return factory_tell_peers(out, hub, ORIGIN_BIT(ORIGIN_CLIENTS), running);
}

/* Everybody, and who would like to be: for `client check`. */
static int tell_peers(FILE *out, struct factory_hub *hub, const struct wgh_snapshot *running)
{
	factory_tell_hub(out, hub);
	return factory_tell_peers(out, hub, ~0u, running);
}

static int tell_pending(FILE *out, struct factory_hub *hub, const struct wgh_snapshot *running)
{
	(void)running;
	factory_tell_pending(out, hub);
	return 0;
}

static void answer_now(struct factory_hub *hub, struct uapi_reply *reply, tell_fn *tell)
{
	struct wgh_snapshot *running = NULL;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	int err = out ? wgh_device_snapshot(hub->device, &running) : -ENOMEM;

	if (!out) {
		uapi_reply_send(reply, err, "out of memory", NULL, 0);
		return;
	}
	if (!err) {
		err = tell(out, hub, running);
		wgh_snapshot_free(running);
	}
	send_lines(reply, out, &text, &n, err);
}

/* ---- sync ---- */

static void answer_sync(struct factory_hub *hub, const struct sync_waiter *waiter)
{
	struct wgh_snapshot *running;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	int err = 0;

	if (!out) {
		uapi_reply_send(waiter->reply, -ENOMEM, "out of memory", NULL, 0);
		return;
	}
	fprintf(out, "added=%zu\nchanged=%zu\nremoved=%zu\n", hub->n_added - waiter->added,
		hub->n_changed - waiter->changed, hub->n_removed - waiter->removed);
	err = wgh_device_snapshot(hub->device, &running);
	if (!err) {
		factory_tell_status(out, hub, running);
		wgh_snapshot_free(running);
	}
	send_lines(waiter->reply, out, &text, &n, err);
}

static void request_sync(struct factory_hub *hub, struct uapi_reply *reply)
{
	struct sync_waiter *waiter = malloc(sizeof *waiter);

	if (!waiter) {
		uapi_reply_send(reply, -ENOMEM, "out of memory", NULL, 0);
		return;
	}
	*waiter = (struct sync_waiter){.next = hub->waiters,
		.reply = reply,
		/* One under way may have asked before what the caller wants to see. */
		.n_rounds = factory_poll_is_running(hub->poll) ? 2 : 1,
		.added = hub->n_added,
		.changed = hub->n_changed,
		.removed = hub->n_removed};
	hub->waiters = waiter;
	factory_hub_now(hub);
}

void factory_ask_round_ended(struct factory_hub *hub)
{
	struct sync_waiter **at = &hub->waiters, *waiter;

	while ((waiter = *at)) {
		if (--waiter->n_rounds) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		answer_sync(hub, waiter);
		free(waiter);
	}
}

void factory_ask_end(struct factory_hub *hub)
{
	struct sync_waiter *waiter;

	while ((waiter = hub->waiters)) {
		hub->waiters = waiter->next;
		uapi_reply_send(waiter->reply, -ECANCELED, "the hub ends", NULL, 0);
		free(waiter);
	}
}

/* ---- which there are ---- */

void factory_hub_request(
	struct factory_hub *hub, const struct uapi_request *request, struct uapi_reply *reply)
{
	static const struct {
		const char *verb;
		tell_fn *tell;
	} now[] = {{"status", tell_status}, {"devices", tell_devices}, {"clients", tell_clients},
		{"peers", tell_peers}, {"pending", tell_pending}};

	for (unsigned i = 0; i < sizeof now / sizeof *now; i++) {
		if (!strcmp(request->verb, now[i].verb)) {
			answer_now(hub, reply, now[i].tell);
			return;
		}
	}
	if (!strcmp(request->verb, "sync"))
		request_sync(hub, reply);
	else if (!strcmp(request->verb, "client-add"))
		factory_client_add(hub, request, reply);
	else if (!strcmp(request->verb, "client-remove"))
		factory_client_remove(hub, request, reply);
	else
		uapi_reply_send(reply, -EOPNOTSUPP, "this hub has no such request", NULL, 0);
}

void factory_hub_event(struct factory_hub *hub, const struct wgh_event *event)
{
	int64_t now_s = (int64_t)factory_hub_now_s(CLOCK_REALTIME);

	/* One that became a peer meanwhile may have been reported before. */
	if (event->kind == WGH_EVENT_UNKNOWN_PEER && !wanted_find(hub->wanted, &event->peer))
		pending_note(&hub->pending, &event->peer, &event->endpoint, now_s);
	else if (event->kind == WGH_EVENT_HANDSHAKE)
		pending_forget(&hub->pending, &event->peer);
}
