/* device_life.c - see device.h: a device made from its options, and ended. What fails on the way is
 * said in words, and what was made until then is given back.
 */
#include "io/device.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS_UNASKED_MAX 4
#define WORKERS_MAX 64
#define MTU_MIN 576u
#define MTU_MAX 65440u /* of inner packets: the datagram around one has at most 65535 bytes */

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
	device_event_put(arg, event);
}

/* ---- what it is made of ---- */

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

	if (o->tun_fd >= 0) {
		err = tun_adopt(&device->carriers[0].tun, o->tun_fd, device->name, o->offloads_off);
		if (err == -ENOTTY || err == -EBADF || err == -EINVAL)
			return device_fail(error, err,
				"tun_fd %d: not a TUN device's descriptor; -1 opens one",
				o->tun_fd);
	} else {
		for (unsigned i = 0; i < o->n_workers && !err; i++)
			err = tun_open(
				&device->carriers[i].tun, device->name, many, o->offloads_off);
	}
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
	err = wake_init(device->notify, device->loop, device_on_notify, device);
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
	err = device_go_up(device);
	if (err)
		return device_fail(error, err, "cannot open UDP sockets: %s", strerror(-err));
	return 0;
}

/* ---- all of it ---- */

static int check_options(const struct wgh_device_options *o, struct wgh_error *error)
{
	const char *name = o->ifname ? o->ifname : "";

	if (o->mtu_bytes && (o->mtu_bytes < MTU_MIN || o->mtu_bytes > MTU_MAX))
		return device_fail(
			error, -EINVAL, "mtu_bytes: must be %u to %u, or 0", MTU_MIN, MTU_MAX);
	if (o->n_addresses && !o->addresses)
		return device_fail(error, -EINVAL, "addresses: NULL, but n_addresses is not 0");
	if (o->n_udp_fds && !o->udp_fds)
		return device_fail(error, -EINVAL, "udp_fds: NULL, but n_udp_fds is not 0");
	if (strlen(name) >= IFNAMSIZ || strpbrk(name, "/: \t\n") || !strcmp(name, ".") ||
		!strcmp(name, ".."))
		return device_fail(error, -EINVAL,
			"ifname: an interface's name has at most 15 characters and no /, : or "
			"space");
	return 0;
}

/* Descriptors that were handed in belong to the device from the call on, also where there is none.
 */
static void close_handed_tun(const struct wgh_device_options *o)
{
	/* 0 is a tun_fd that was forgotten, and standard input nobody's TUN. */
	if (o->tun_fd > STDERR_FILENO && !o->no_tun)
		close(o->tun_fd);
}

static void close_handed_sockets(const struct wgh_device_options *o)
{
	for (size_t i = 0; o->udp_fds && i < o->n_udp_fds; i++)
		close(o->udp_fds[i]);
}

int device_new(struct wgh_device **out, uv_loop_t *loop, const struct wgh_device_options *options,
	struct wgh_error *error)
{
	struct wgh_device *device = calloc(1, sizeof *device);
	int err = check_options(options, error);

	if (!err && secret_init())
		err = device_fail(error, -EIO, "the system gives no randomness");
	if (!err && !device)
		err = device_fail(error, -ENOMEM, "not enough memory to start");
	if (err) {
		close_handed_tun(options);
		close_handed_sockets(options);
		free(device);
		return err;
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
		if (!device->carriers || device->carriers[0].tun.fd != options->tun_fd)
			close_handed_tun(options);
		if (!device->n_handed)
			close_handed_sockets(options);
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
