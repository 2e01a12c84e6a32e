/* protocol_thread.c - handshakes and timers in a thread of their own, so that a flood of handshakes
 * never holds up data. It sleeps until a worker wakes it or the earliest deadline comes.
 */
#include "io/device.h"

#include "core/limits.h"

#include <time.h>

/* How long retired objects may wait for company: a grace period costs each busy worker's present
 * batch. */
#define RECLAIM_NS (50 * NS_PER_MS)

static int64_t wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * (int64_t)NS_PER_S + now.tv_nsec;
}

static void work(struct wgh_device *device);

static void on_timer(uv_timer_t *timer)
{
	work(timer->loop->data);
}

static void on_again(uv_idle_t *idle)
{
	uv_idle_stop(idle);
	work(idle->loop->data);
}

static void on_wake(void *device)
{
	work(device);
}

static void work(struct wgh_device *device)
{
	struct protocol_thread *t = &device->protocol;
	uint64_t now_ns = device_now_ns(), next_ns;
	bool retired;

	device_lock(device);
	next_ns = hub_run(device->hub, now_ns, wall_ns());
	retired = device->hub->retired != NULL;
	device_unlock(device);
	atomic_store(&t->answered, atomic_load(&device->asked));
	if (retired && t->reclaim_at_ns == TIME_NEVER)
		t->reclaim_at_ns = now_ns + RECLAIM_NS;
	if (time_reached(now_ns, t->reclaim_at_ns)) {
		device_reclaim(device);
		t->reclaim_at_ns = TIME_NEVER;
	}
	next_ns = time_earlier(next_ns, t->reclaim_at_ns);
	if (next_ns <= now_ns)
		uv_idle_start(&t->again, on_again);
	else if (next_ns != TIME_NEVER)
		uv_timer_start(&t->timer, on_timer, (next_ns - now_ns) / NS_PER_MS + 1, 0);
}

static void on_stop(uv_async_t *async)
{
	struct wgh_device *device = async->loop->data;

	wake_close(&device->protocol.wake, NULL);
	uv_close((uv_handle_t *)&device->protocol.again, NULL);
	uv_close((uv_handle_t *)&device->protocol.stop, NULL);
	uv_close((uv_handle_t *)&device->protocol.timer, NULL);
}

static void run(void *arg)
{
	struct wgh_device *device = arg;

	device_thread_begins(device);
	uv_run(&device->protocol.loop, UV_RUN_DEFAULT);
}

int protocol_start(struct wgh_device *device)
{
	struct protocol_thread *t = &device->protocol;
	int err = uv_loop_init(&t->loop);

	if (err)
		return err;
	err = wake_init(&t->wake, &t->loop, on_wake, device);
	if (err) {
		uv_loop_close(&t->loop);
		return err;
	}
	t->loop.data = device;
	t->reclaim_at_ns = TIME_NEVER;
	uv_idle_init(&t->loop, &t->again);
	uv_async_init(&t->loop, &t->stop, on_stop);
	uv_timer_init(&t->loop, &t->timer);
	err = uv_thread_create(&t->thread, run, device);
	t->started = !err;
	return err;
}

void protocol_stop(struct wgh_device *device)
{
	struct protocol_thread *t = &device->protocol;

	if (!t->started)
		return;
	uv_async_send(&t->stop);
	uv_thread_join(&t->thread);
	uv_loop_close(&t->loop);
	t->started = false;
}

void protocol_wake(struct wgh_device *device)
{
	wake_send(&device->protocol.wake);
}
