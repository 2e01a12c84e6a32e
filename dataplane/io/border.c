/* border.c - the functions of wghub_device.h: from the caller's thread into the device's main
 * thread, which is the same one where the caller has a loop, and a thread of the device's own where
 * it has none. There a call waits for its turn in that thread's loop, one at a time.
 */
#include "io/device.h"

#include "core/library.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Outlives its device, which goes in the thread itself. */
struct own_thread {
	uv_loop_t loop;
	uv_thread_t thread;
	uv_async_t called;
	uv_mutex_t lock; /* one caller at a time */
	uv_sem_t done;
	struct call *call; /* NULL: none */
	struct wgh_device *device;
	char name[16]; /* as it was last asked for */
};

/* What a public function was given, and what it gives. */
struct call {
	void (*run)(struct call *call);
	struct wgh_device *device;
	const struct wgh_change *change;
	const struct wgh_link *link;
	struct wgh_conflict *conflicts;
	size_t room;
	struct wgh_snapshot **snapshot;
	struct wgh_error *error;
	char *name;
	int result;
};

/* ---- the thread ---- */

static void on_called(uv_async_t *async)
{
	struct own_thread *own = async->data;
	struct call *call = own->call;

	if (!call)
		return; /* told twice about the same one */
	own->call = NULL;
	call->run(call);
	uv_sem_post(&own->done);
}

static void run_thread(void *arg)
{
	struct own_thread *own = arg;

	device_thread_begins(own->device);
	uv_run(&own->loop, UV_RUN_DEFAULT);
}

static struct own_thread *own_new(void)
{
	struct own_thread *own = calloc(1, sizeof *own);

	if (!own)
		return NULL;
	if (uv_loop_init(&own->loop)) {
		free(own);
		return NULL;
	}
	uv_mutex_init(&own->lock);
	uv_sem_init(&own->done, 0);
	uv_async_init(&own->loop, &own->called, on_called);
	own->called.data = own;
	return own;
}

/* The thread has ended, or never began. */
static void own_free(struct own_thread *own)
{
	if (!own)
		return;
	if (!uv_is_closing((uv_handle_t *)&own->called))
		uv_close((uv_handle_t *)&own->called, NULL);
	uv_run(&own->loop, UV_RUN_DEFAULT);
	uv_loop_close(&own->loop);
	uv_mutex_destroy(&own->lock);
	uv_sem_destroy(&own->done);
	free(own);
}

static void call_device(struct call *call)
{
	struct own_thread *own = call->device->own;
	uv_thread_t self = uv_thread_self();

	if (!own || uv_thread_equal(&self, &own->thread)) {
		call->run(call);
		return;
	}
	uv_mutex_lock(&own->lock);
	own->call = call;
	uv_async_send(&own->called);
	uv_sem_wait(&own->done);
	uv_mutex_unlock(&own->lock);
}

/* ---- life ---- */

int wgh_device_new(struct wgh_device **out, uv_loop_t *loop,
	const struct wgh_device_options *options, struct wgh_error *error)
{
	struct own_thread *own = NULL;
	struct wgh_device_options o;
	struct wgh_device *device;
	int err;

	*out = NULL;
	if (!library_options(&o, sizeof o, options, options->size))
		return device_fail(error, -EINVAL,
			"size: not that of this version's options, or more than it knows");
	if (!loop) {
		own = own_new();
		if (!own)
			return device_fail(error, -ENOMEM, "not enough memory to start");
	}
	err = device_new(&device, own ? &own->loop : loop, &o, error);
	if (!err && own) {
		device->own = own;
		own->device = device;
		err = uv_thread_create(&own->thread, run_thread, own);
		if (err) {
			device_free(device);
			(void)device_fail(error, err, "cannot start a thread: %s", strerror(-err));
		}
	}
	if (err) {
		own_free(own);
		return err;
	}
	*out = device;
	return 0;
}

static void run_free(struct call *call)
{
	struct own_thread *own = call->device->own;

	device_free(call->device);
	if (own)
		uv_close((uv_handle_t *)&own->called, NULL);
}

void wgh_device_free(struct wgh_device *device)
{
	struct call call = {.run = run_free, .device = device};
	struct own_thread *own;

	if (!device)
		return;
	own = device->own;
	call_device(&call);
	if (own) {
		uv_thread_join(&own->thread);
		own_free(own);
	}
}

static void run_start(struct call *call)
{
	call->result = device_start(call->device, call->error);
}

int wgh_device_start(struct wgh_device *device, struct wgh_error *error)
{
	struct call call = {.run = run_start, .device = device, .error = error};

	call_device(&call);
	return call.result;
}

static void run_stop(struct call *call)
{
	device_stop(call->device);
}

void wgh_device_stop(struct wgh_device *device)
{
	struct call call = {.run = run_stop, .device = device};

	call_device(&call);
}

/* ---- how it is ---- */

static void run_name(struct call *call)
{
	memcpy(call->name, call->device->name, sizeof call->device->name);
}

const char *wgh_device_name(const struct wgh_device *device)
{
	struct call call = {.run = run_name, .device = (struct wgh_device *)device};

	if (!device->own)
		return device->name;
	call.name = device->own->name;
	call_device(&call);
	return call.name;
}

static void run_is_up(struct call *call)
{
	call->result = call->device->up;
}

bool wgh_device_is_up(const struct wgh_device *device)
{
	struct call call = {.run = run_is_up, .device = (struct wgh_device *)device};

	call_device(&call);
	return call.result;
}

static void run_is_alive(struct call *call)
{
	call->result = device_is_alive(call->device);
}

bool wgh_device_is_alive(struct wgh_device *device)
{
	struct call call = {.run = run_is_alive, .device = device};

	call_device(&call);
	return call.result;
}

size_t wgh_device_events(struct wgh_device *device, struct wgh_event *events, size_t room)
{
	return device_events_take(device, events, room);
}

int wgh_device_stats(const struct wgh_device *device, struct wgh_stats *stats)
{
	return hub_stats(device->hub, stats);
}

static void run_snapshot(struct call *call)
{
	call->result = device_snapshot(call->device, call->snapshot);
}

int wgh_device_snapshot(struct wgh_device *device, struct wgh_snapshot **snapshot)
{
	struct call call = {.run = run_snapshot, .device = device, .snapshot = snapshot};

	call_device(&call);
	return call.result;
}

/* ---- changes ---- */

static void run_configure_link(struct call *call)
{
	call->result = device_configure_link(call->device, call->link, call->error);
}

int wgh_device_configure_link(
	struct wgh_device *device, const struct wgh_link *link, struct wgh_error *error)
{
	struct call call = {
		.run = run_configure_link, .device = device, .link = link, .error = error};

	call_device(&call);
	return call.result;
}

static void run_check(struct call *call)
{
	device_lock(call->device);
	call->result = hub_check(
		call->device->hub, call->change, call->conflicts, call->room, call->error);
	device_unlock(call->device);
}

int wgh_device_check(struct wgh_device *device, const struct wgh_change *change,
	struct wgh_conflict *conflicts, size_t room, struct wgh_error *error)
{
	struct call call = {.run = run_check,
		.device = device,
		.change = change,
		.conflicts = conflicts,
		.room = room,
		.error = error};

	call_device(&call);
	return call.result;
}

static void run_apply(struct call *call)
{
	call->result = device_apply(call->device, call->change, call->error);
}

int wgh_device_apply(
	struct wgh_device *device, const struct wgh_change *change, struct wgh_error *error)
{
	struct call call = {.run = run_apply, .device = device, .change = change, .error = error};

	call_device(&call);
	return call.result;
}

int wgh_device_reload(
	struct wgh_device *device, const struct wgh_change *whole, struct wgh_error *error)
{
	struct wgh_change change = *whole;
	int err;

	change.flags |= WGH_WHOLE;
	err = wgh_device_apply(device, &change, error);
	secret_wipe(change.private_key, sizeof change.private_key);
	return err;
}
