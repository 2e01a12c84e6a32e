/* device.c - a running hub, seen from the caller's main thread: see wghub_device.h. Changes are
 * prepared (sockets opened, memory taken) before anything present is touched.
 */
#include "io/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <urcu/urcu-qsbr.h>

int device_fail(struct wgh_error *error, int err, const char *format, ...)
{
	va_list args;

	if (error) {
		va_start(args, format);
		vsnprintf(error->text, sizeof error->text, format, args);
		va_end(args);
	}
	return err;
}

uint64_t device_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now); /* counts suspend */
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void device_thread_begins(struct wgh_device *device)
{
	if (device->options.on_thread)
		device->options.on_thread(device->options.arg);
}

void device_lock(struct wgh_device *device)
{
	pthread_mutex_lock(&device->turn_lock);
	pthread_mutex_lock(&device->hub_lock);
	pthread_mutex_unlock(&device->turn_lock);
}

void device_unlock(struct wgh_device *device)
{
	pthread_mutex_unlock(&device->hub_lock);
}

void device_reclaim(struct wgh_device *device)
{
	struct retired *list;

	device_lock(device);
	list = hub_take_retired(device->hub);
	device_unlock(device);
	if (!list)
		return;
	urcu_qsbr_synchronize_rcu();
	for (unsigned i = 0; i < device->options.n_workers; i++)
		(void)atomic_load_explicit(&device->carriers[i].n_readings, memory_order_acquire);
	device_lock(device);
	hub_free_retired(device->hub, list);
	device_unlock(device);
}

/* ---- up, down, ports ---- */

/* Everybody uses these sockets from now on; the ones before are closed. NULL: none. */
static void use_sockets(struct wgh_device *device, struct udp_pair **pairs)
{
	device_lock(device);
	device->send_sockets = pairs ? pairs[0] : NULL;
	hub_forget_sources(device->hub);
	device_unlock(device);
	for (unsigned i = 0; i < device->options.n_workers; i++)
		carrier_adopt(&device->carriers[i], pairs ? pairs[i] : NULL);
	atomic_store(&device->gso_told, false);
	free(pairs);
}

static int set_port(struct wgh_device *device, uint16_t port)
{
	int err;

	device_lock(device);
	err = hub_set_port(device->hub, port);
	device_unlock(device);
	if (!err)
		device->port = port;
	return err;
}

static void set_hub_up(struct wgh_device *device, bool up)
{
	device_lock(device);
	hub_set_up(device->hub, up, device_now_ns());
	device_unlock(device);
	device_reclaim(device);
	protocol_wake(device);
}

int device_go_up(struct wgh_device *device)
{
	struct udp_pair **pairs;
	uint16_t port;
	int err;

	pairs = sockets_open(device, device->wanted_port, device->fwmark, &port, &err);
	if (!pairs)
		return err;
	err = set_port(device, port);
	if (err) {
		sockets_close(pairs, device->options.n_workers);
		return err;
	}
	use_sockets(device, pairs);
	device->up = true;
	device->wanted_port = port; /* after down and up again peers find it where it was */
	set_hub_up(device, true);
	return 0;
}

void device_set_up(struct wgh_device *device, bool up)
{
	if (device->up == up)
		return;
	if (!up) {
		set_hub_up(device, false);
		use_sockets(device, NULL);
		device->up = false;
		return;
	}
	if (device_go_up(device)) {
		struct wgh_event event = {
			.kind = WGH_EVENT_PORT_UNUSABLE, .now_ns = device_now_ns()};

		event.endpoint.port = device->wanted_port;
		device_event_put(device, &event);
	}
}

void device_link_is(struct wgh_device *device, bool up)
{
	device->link_up = up;
	if (!up)
		device_forget_routes(device);
	device_set_up(device, up && !device->stopped);
}

int device_start(struct wgh_device *device, struct wgh_error *error)
{
	int err = device->up || !device->link_up ? 0 : device_go_up(device);

	if (err)
		return device_fail(error, err, "listen port %u: cannot open UDP sockets: %s",
			device->wanted_port, strerror(-err));
	device->stopped = false;
	return 0;
}

void device_stop(struct wgh_device *device)
{
	device->stopped = true;
	device_set_up(device, false);
}

bool device_is_alive(struct wgh_device *device)
{
	uint64_t asked = atomic_load(&device->asked);
	bool alive = atomic_load(&device->protocol.answered) == asked;

	for (unsigned i = 0; i < device->options.n_workers; i++)
		alive &= atomic_load(&device->carriers[i].answered) == asked;
	atomic_store(&device->asked, asked + 1);
	for (unsigned i = 0; i < device->options.n_workers; i++)
		uv_async_send(&device->carriers[i].called);
	protocol_wake(device);
	return alive;
}

/* ---- changes ---- */

static int set_fwmark(struct wgh_device *device, uint32_t fwmark)
{
	int err = 0;

	for (unsigned i = 0; device->up && i < device->options.n_workers && !err; i++) {
		struct udp_pair *pair = device->carriers[i].sockets;

		if (pair->v4.fd >= 0)
			err = udp_set_fwmark(&pair->v4, fwmark);
		if (!err && pair->v6.fd >= 0)
			err = udp_set_fwmark(&pair->v6, fwmark);
	}
	return err;
}

/* New sockets on another port, not in use yet. *pairs NULL: nothing to open. */
static int open_port(struct wgh_device *device, const struct wgh_change *change,
	struct udp_pair ***pairs, uint16_t *port, struct wgh_error *error)
{
	int err = 0;

	*pairs = NULL;
	if (!(change->flags & WGH_HAS_LISTEN_PORT) || !device->up ||
		(change->listen_port && change->listen_port == device->port))
		return 0;
	*pairs = sockets_open(device, change->listen_port,
		change->flags & WGH_HAS_FWMARK ? change->fwmark : device->fwmark, port, &err);
	if (*pairs)
		return 0;
	if (err == -EADDRINUSE)
		return device_fail(error, err,
			"listen port %u: another program uses it: choose another",
			change->listen_port);
	if (err == -EACCES)
		return device_fail(error, err,
			"listen port %u: no permission: choose one above 1023, or give "
			"CAP_NET_BIND_SERVICE",
			change->listen_port);
	return device_fail(error, err, "listen port %u: %s", change->listen_port, strerror(-err));
}

int device_apply(
	struct wgh_device *device, const struct wgh_change *change, struct wgh_error *error)
{
	bool marks = (change->flags & WGH_HAS_FWMARK) && change->fwmark != device->fwmark;
	uint16_t before = device->port, port = 0;
	struct udp_pair **pairs;
	int err = open_port(device, change, &pairs, &port, error);

	if (err)
		return err;
	if (marks && !pairs) {
		err = set_fwmark(device, change->fwmark);
		if (err) {
			IGNORE_RESULT(set_fwmark(device, device->fwmark));
			return device_fail(error, err, "fwmark: %s",
				err == -EPERM ? "needs CAP_NET_ADMIN" : strerror(-err));
		}
	}
	if (pairs)
		err = set_port(device, port);
	if (!err) {
		device_lock(device);
		err = hub_apply(device->hub, change, device_now_ns(), error);
		device_unlock(device);
		if (err && pairs)
			IGNORE_RESULT(set_port(device, before));
	}
	if (err) {
		sockets_close(pairs, device->options.n_workers);
		if (marks && !pairs)
			IGNORE_RESULT(set_fwmark(device, device->fwmark));
		return err;
	}
	if (pairs)
		use_sockets(device, pairs);
	if (change->flags & WGH_HAS_LISTEN_PORT)
		device->wanted_port = pairs ? port : change->listen_port;
	if (marks) {
		device->fwmark = change->fwmark;
		device_lock(device);
		hub_forget_sources(device->hub);
		device_unlock(device);
	}
	device_reclaim(device);
	protocol_wake(device);
	return 0;
}

static unsigned offloads_in_use(const struct wgh_device *device)
{
	const struct carrier *c = &device->carriers[0];
	unsigned offloads = 0;

	if (device->up && device->send_sockets) {
		offloads |= device->send_sockets->v4.gro ? WGH_OFFLOAD_UDP_GRO : 0;
		offloads |= atomic_load(&device->send_sockets->v4.gso) ? WGH_OFFLOAD_UDP_GSO : 0;
	}
	if (c->tun.fd >= 0) {
		offloads |= c->tun.tso ? WGH_OFFLOAD_TUN_TSO : 0;
		offloads |= c->tun.uso ? WGH_OFFLOAD_TUN_USO : 0;
	}
	return offloads;
}

/* Main alone gives sockets to carriers and waits until they have them. */
static void add_udp_queues(const struct wgh_device *device, struct wgh_snapshot *s)
{
	for (unsigned i = 0; device->up && i < device->options.n_workers; i++) {
		const struct udp_pair *pair = device->carriers[i].sockets;

		if (!pair)
			continue;
		udp_add_queue(&pair->v4, &s->udp_waiting_bytes, &s->udp_waiting_max_bytes,
			&s->n_udp_lost);
		udp_add_queue(&pair->v6, &s->udp_waiting_bytes, &s->udp_waiting_max_bytes,
			&s->n_udp_lost);
	}
}

int device_snapshot(struct wgh_device *device, struct wgh_snapshot **snapshot)
{
	int err;

	device_lock(device);
	err = hub_snapshot(device->hub, snapshot);
	device_unlock(device);
	if (err)
		return err;
	(*snapshot)->listen_port = device->up ? device->port : device->wanted_port;
	(*snapshot)->fwmark = device->fwmark;
	(*snapshot)->offloads = offloads_in_use(device);
	add_udp_queues(device, *snapshot);
	return 0;
}
