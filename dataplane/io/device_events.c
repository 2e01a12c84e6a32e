/* device_events.c - see device.h: what happened, from the threads that see it to main, where the
 * caller hears it. A queue of fixed size; who does not look loses the newest, which is counted.
 */
#include "io/device.h"

#include <string.h>

void device_event_put(struct wgh_device *device, const struct wgh_event *event)
{
	const bool of_flow =
		event->kind == WGH_EVENT_FLOW_BEGIN || event->kind == WGH_EVENT_FLOW_END;

	pthread_mutex_lock(&device->event_lock);
	/* A caller that does not look loses the newest; flows leave room for rarer news. */
	if (device->n_events < (of_flow ? EVENT_QUEUE - EVENT_QUEUE / 4 : EVENT_QUEUE))
		device->events[device->n_events++] = *event;
	else
		relaxed_add(&device->hub->n_events_lost, 1);
	pthread_mutex_unlock(&device->event_lock);
	wake_send(device->notify);
}

size_t device_events_take(struct wgh_device *device, struct wgh_event *events, size_t room)
{
	size_t n;

	pthread_mutex_lock(&device->event_lock);
	n = device->n_events < room ? device->n_events : room;
	if (n) {
		memcpy(events, device->events, n * sizeof *events);
		device->n_events -= (uint32_t)n;
		memmove(device->events, device->events + n,
			device->n_events * sizeof *device->events);
	}
	pthread_mutex_unlock(&device->event_lock);
	return n;
}

static bool event_take(struct wgh_device *device, uint32_t at, struct wgh_event *event)
{
	bool there;

	pthread_mutex_lock(&device->event_lock);
	there = at < device->n_events;
	if (there)
		*event = device->events[at];
	else
		device->n_events = 0;
	pthread_mutex_unlock(&device->event_lock);
	return there;
}

void device_on_notify(void *arg)
{
	struct wgh_device *device = arg;
	struct wgh_event event;

	/* Without on_event they wait for wgh_device_events(). */
	for (uint32_t at = 0; device->options.on_event && event_take(device, at, &event); at++)
		device->options.on_event(device->options.arg, &event);
	if (atomic_load(&device->tun_gone))
		device_tun_gone(device);
}

void device_tun_gone(struct wgh_device *device)
{
	void (*on_end)(void *, const char *) = device->options.on_end;

	device_set_up(device, false);
	device->options.on_end = NULL; /* once */
	if (on_end)
		on_end(device->options.arg, "the TUN device was removed");
}
