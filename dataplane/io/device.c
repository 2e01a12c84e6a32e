/* device.c - a running hub, seen from the caller's main thread: see wghub_device.h. Changes are
 * prepared (sockets opened, memory taken) before anything present is touched.
 */
#include "io/device.h"

#include "crypto/aead.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-qsbr.h>

#define WORKERS_UNASKED_MAX 4
#define WORKERS_MAX 64

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

/* ---- what the hub asks of us; called under hub_lock ---- */

static void hub_random(void *arg, void *out, size_t len_bytes)
{
	(void)arg;
	secret_random(out, len_bytes);
}

static void hub_send(
	void *arg, const struct wgh_endpoint *to, const void *data, uint32_t len_bytes, uint8_t tos)
{
	struct wgh_device *device = arg;
	struct udp_socket *s;
	bool source_lost = false;

	if (!device->send_sockets)
		return;
	s = to->family == WGH_IPV4 ? &device->send_sockets->v4 : &device->send_sockets->v6;
	/* A lost source is sent without; the next try of the handshake forgets it. */
	if (s->fd < 0 || udp_send_one(s, to, data, len_bytes, tos, &source_lost))
		hub_drop(device->hub, DROP_SEND, 1);
}

static void hub_event(void *arg, const struct wgh_event *event)
{
	struct wgh_device *device = arg;

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

/* ---- main's side ---- */

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

static void on_notify(void *arg)
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

static int go_up(struct wgh_device *device)
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
	if (go_up(device)) {
		struct wgh_event event = {
			.kind = WGH_EVENT_PORT_UNUSABLE, .now_ns = device_now_ns()};

		event.endpoint.port = device->wanted_port;
		hub_event(device, &event);
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
	int err = device->up || !device->link_up ? 0 : go_up(device);

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

/* ---- life ---- */

static unsigned workers_wanted(const struct wgh_device_options *options)
{
	long n = options->n_workers;
	cpu_set_t cpus;

	if (options->tun_fd >= 0 && !options->no_tun)
		return 1; /* a descriptor that was handed over is one queue */
	if (!n && !sched_getaffinity(0, sizeof cpus, &cpus)) {
		n = CPU_COUNT(&cpus); /* those we may use, which may be fewer than there are */
		if (n > WORKERS_UNASKED_MAX)
			n = WORKERS_UNASKED_MAX;
	}
	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

static int fail_tun(struct wgh_error *error, int err, const char *name)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return device_fail(error, err,
			"%s: no /dev/net/tun here: let the container have it, or use --no-tun",
			name);
	case -EPERM:
	case -EACCES:
		return device_fail(error, err,
			"%s: no permission to make a TUN device: it needs CAP_NET_ADMIN and read "
			"and write on /dev/net/tun, or use --no-tun",
			name);
	case -EBUSY:
		return device_fail(error, err,
			"%s: an interface of that name exists and is in use: choose another name "
			"or remove it",
			name);
	case -EINVAL:
		return device_fail(error, err,
			"%s: an interface of that name exists and is no TUN device: choose another "
			"name",
			name);
	default:
		return device_fail(
			error, err, "%s: cannot open a TUN device: %s", name, strerror(-err));
	}
}

static int open_tun(struct wgh_device *device, struct wgh_error *error)
{
	const struct wgh_device_options *o = &device->options;
	bool many = o->n_workers > 1;
	int err = 0;

	if (o->tun_fd >= 0)
		err = tun_adopt(&device->carriers[0].tun, o->tun_fd, device->name, o->offloads_off);
	else
		for (unsigned i = 0; i < o->n_workers && !err; i++)
			err = tun_open(
				&device->carriers[i].tun, device->name, many, o->offloads_off);
	return err ? fail_tun(error, err, device->name) : 0;
}

static int new_carrier(struct wgh_device *device, struct carrier *c)
{
	c->udp_rx = udp_rx_new();
	c->udp_tx = udp_tx_new();
	if (!device->options.no_tun) {
		c->tun_rx = tun_rx_new();
		c->tun_tx = tun_tx_new();
		if (!c->tun_rx || !c->tun_tx)
			return -ENOMEM;
	}
	return c->udp_rx && c->udp_tx ? 0 : -ENOMEM;
}

static int new_hub(struct wgh_device *device, struct wgh_error *error)
{
	const struct wgh_device_options *o = &device->options;
	struct hub_options options = {
		.n_workers = o->n_workers,
		.aead = o->aead,
		.has_tun = !o->no_tun,
		.deliver_unowned = o->deliver_unowned,
		.mtu_bytes = o->mtu_bytes,
		.budget = &device->budget,
		.random = hub_random,
		.send = hub_send,
		.on_event = hub_event,
		.arg = device,
		.filter = o->filter,
		.filter_arg = o->filter_arg,
	};
	int err = hub_new(&device->hub, &options);

	if (err == -ENOENT)
		return device_fail(
			error, err, "aead: no such back end on this machine: see wghub --version");
	if (err == -EIO)
		return device_fail(
			error, err, "aead: the back end failed its self-test: choose another");
	if (err)
		return device_fail(error, err,
			o->memory_bytes ? "memory_bytes is too small for a hub"
					: "not enough memory to start");
	for (unsigned i = 0; i < o->n_workers; i++)
		device->carriers[i].worker = device->hub->workers[i];
	if (o->no_tun && o->n_addresses) {
		err = hub_set_addresses(device->hub, o->addresses, o->n_addresses);
		if (err)
			return device_fail(error, err,
				"addresses: more prefix bits than the address has, or a family "
				"that is not WGH_IPV4 or WGH_IPV6");
	}
	return 0;
}

static void on_notify_closed(uv_handle_t *handle)
{
	free(handle);
}

static int start(struct wgh_device *device, struct wgh_error *error)
{
	int err;

	device->notify = calloc(1, sizeof *device->notify);
	if (!device->notify)
		return device_fail(error, -ENOMEM, "not enough memory to start");
	err = wake_init(device->notify, device->loop, on_notify, device);
	if (err) {
		free(device->notify);
		device->notify = NULL;
		return device_fail(error, err, "cannot make an eventfd: %s", strerror(-err));
	}
	err = protocol_start(device);
	for (unsigned i = 0; i < device->options.n_workers && !err; i++)
		err = carrier_start(&device->carriers[i]);
	if (err)
		return device_fail(error, err, "cannot start a thread: %s", strerror(-err));
	if (!device->options.no_tun) {
		err = link_start(device);
		if (err)
			return device_fail(
				error, err, "cannot listen to rtnetlink: %s", strerror(-err));
		return 0;
	}
	err = go_up(device);
	if (err)
		return device_fail(error, err, "cannot open UDP sockets: %s", strerror(-err));
	return 0;
}

int device_new(struct wgh_device **out, uv_loop_t *loop, const struct wgh_device_options *options,
	struct wgh_error *error)
{
	struct wgh_device *device = calloc(1, sizeof *device);
	int err = secret_init();

	if (err || !device) {
		free(device);
		return device_fail(error, err ? err : -ENOMEM,
			err ? "the system gives no randomness" : "not enough memory to start");
	}
	device->loop = loop;
	device->options = *options;
	device->options.n_workers = workers_wanted(options);
	if (!device->options.mtu_bytes)
		device->options.mtu_bytes = DEFAULT_MTU_BYTES;
	snprintf(device->name, sizeof device->name, "%s", options->ifname ? options->ifname : "");
	device->options.ifname = device->name;
	device->budget.limit_bytes = options->memory_bytes;
	device->link_up = options->no_tun;
	pthread_mutex_init(&device->turn_lock, NULL);
	pthread_mutex_init(&device->hub_lock, NULL);
	pthread_mutex_init(&device->event_lock, NULL);
	err = sockets_take_handed(device, error);
	if (!err) {
		device->carriers = calloc(device->options.n_workers, sizeof *device->carriers);
		if (!device->carriers)
			err = device_fail(error, -ENOMEM, "not enough memory to start");
	}
	for (unsigned i = 0; device->carriers && i < device->options.n_workers; i++) {
		device->carriers[i].device = device;
		device->carriers[i].tun.fd = -1;
	}
	if (!err && !options->no_tun)
		err = open_tun(device, error);
	for (unsigned i = 0; !err && i < device->options.n_workers; i++)
		if (new_carrier(device, &device->carriers[i]))
			err = device_fail(error, -ENOMEM, "not enough memory to start");
	if (!err)
		err = new_hub(device, error);
	if (!err)
		err = start(device, error);
	if (err) {
		device_free(device);
		return err;
	}
	*out = device;
	return 0;
}

void device_free(struct wgh_device *device)
{
	if (!device)
		return;
	if (device->hub && device->up)
		device_set_up(device, false);
	for (unsigned i = 0; device->carriers && i < device->options.n_workers; i++)
		carrier_stop(&device->carriers[i]);
	protocol_stop(device); /* after those that wake it */
	if (!device->options.no_tun)
		link_stop(device);
	if (device->notify)
		wake_close(device->notify, on_notify_closed);
	hub_free(device->hub);
	sockets_close_handed(device);
	free(device->carriers);
	pthread_mutex_destroy(&device->turn_lock);
	pthread_mutex_destroy(&device->hub_lock);
	pthread_mutex_destroy(&device->event_lock);
	secret_wipe(device, sizeof *device);
	free(device);
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
	return 0;
}
