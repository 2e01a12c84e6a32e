/* link.c - the TUN as an interface: is it up, what is its MTU, which addresses does the hub's host
 * have on it. netlink tells. If somebody moved the interface to another network namespace, netlink
 * no longer reaches it: then the hub asks the TUN itself once a second whether it is up, and, as it
 * cannot see the addresses, gives it every packet no peer owns.
 */
#include "io/device.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MOVED_POLL_MS 1000
#define MTU_MAX 65535u

static void set_mtu(struct wgh_device *device, uint32_t mtu_bytes)
{
	if (!mtu_bytes || mtu_bytes > MTU_MAX)
		return;
	device_lock(device);
	if (mtu_bytes != device->hub->options.mtu_bytes)
		IGNORE_RESULT(hub_set_mtu(
			device->hub, mtu_bytes)); /* no memory: the old one stays in use */
	device_unlock(device);
	device_reclaim(device);
}

static void set_addresses(struct wgh_device *device)
{
	device_lock(device);
	IGNORE_RESULT(hub_set_addresses(device->hub, device->addresses, device->n_addresses));
	device_unlock(device);
	device_reclaim(device);
}

/* ---- in another network namespace ---- */

/* The device's state without netlink: an empty write is refused in two different ways. */
static bool tun_is_up(int fd)
{
	return write(fd, NULL, 0) < 0 && errno != EIO;
}

static void on_moved_poll(uv_timer_t *timer)
{
	struct wgh_device *device = timer->data;

	device_link_is(device, tun_is_up(device->carriers[0].tun.fd));
}

static void moved_away(struct wgh_device *device)
{
	device->moved = true;
	device_lock(device);
	device->hub->options.deliver_unowned = true;
	IGNORE_RESULT(hub_set_addresses(device->hub, NULL, 0));
	device_unlock(device);
	device_reclaim(device);
	uv_timer_start(device->watch_moved, on_moved_poll, 0, MOVED_POLL_MS);
}

/* ---- what netlink says ---- */

static void on_link(void *arg, unsigned ifindex, const char *name, bool up, uint32_t mtu_bytes)
{
	struct wgh_device *device = arg;

	if (ifindex != device->ifindex)
		return;
	if (strcmp(name, device->name))
		snprintf(device->name, sizeof device->name, "%s", name);
	set_mtu(device, mtu_bytes);
	device_link_is(device, up);
}

static void on_link_gone(void *arg, unsigned ifindex)
{
	struct wgh_device *device = arg;
	struct ifreq ifr;

	if (ifindex != device->ifindex || device->moved)
		return;
	if (ioctl(device->carriers[0].tun.fd, TUNGETIFF, &ifr) < 0)
		device_tun_gone(device);
	else
		moved_away(device);
}

static void on_address(void *arg, unsigned ifindex, const struct wgh_prefix *address, bool added)
{
	struct wgh_device *device = arg;
	struct wgh_prefix *grown;
	size_t i;

	if (ifindex != device->ifindex)
		return;
	for (i = 0; i < device->n_addresses; i++)
		if (!memcmp(&device->addresses[i].addr, &address->addr, sizeof address->addr) &&
			device->addresses[i].bits == address->bits)
			break;
	if (added == (i < device->n_addresses))
		return; /* known already, or never known */
	if (added) {
		grown = realloc(device->addresses, (i + 1) * sizeof *grown);
		if (!grown)
			return;
		device->addresses = grown;
		grown[device->n_addresses++] = *address;
	} else {
		memmove(&device->addresses[i], &device->addresses[i + 1],
			(--device->n_addresses - i) * sizeof *device->addresses);
	}
	set_addresses(device);
}

static void on_overrun(void *arg)
{
	struct wgh_device *device = arg;

	device->n_addresses = 0;
	device_forget_routes(device);
	IGNORE_RESULT(netlink_dump(device->netlink)); /* what it does not repeat is gone */
	set_addresses(device);
}

static const struct netlink_events EVENTS = {
	.link = on_link,
	.link_gone = on_link_gone,
	.address = on_address,
	.overrun = on_overrun,
};

static void on_netlink(uv_poll_t *watch, int status, int events)
{
	struct wgh_device *device = watch->data;

	(void)events;
	IGNORE_RESULT(netlink_read(device->netlink));
	if (status < 0)
		uv_poll_start(watch, UV_READABLE, on_netlink);
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

int link_start(struct wgh_device *device)
{
	int err;

	device->ifindex = if_nametoindex(device->name);
	err = netlink_new(&device->netlink, &EVENTS, device);
	if (err)
		return err;
	device->watch_netlink = calloc(1, sizeof *device->watch_netlink);
	device->watch_moved = calloc(1, sizeof *device->watch_moved);
	if (!device->watch_netlink || !device->watch_moved) {
		free(device->watch_netlink);
		free(device->watch_moved);
		device->watch_netlink = NULL;
		device->watch_moved = NULL;
		return -ENOMEM;
	}
	uv_timer_init(device->loop, device->watch_moved);
	device->watch_moved->data = device;
	uv_poll_init(device->loop, device->watch_netlink, netlink_fd(device->netlink));
	device->watch_netlink->data = device;
	uv_poll_start(device->watch_netlink, UV_READABLE, on_netlink);
	if (!device->ifindex) /* a descriptor whose interface lives in another network namespace */
		moved_away(device);
	return netlink_dump(device->netlink);
}

void link_stop(struct wgh_device *device)
{
	if (device->watch_netlink) {
		uv_close((uv_handle_t *)device->watch_netlink, free_handle);
		uv_close((uv_handle_t *)device->watch_moved, free_handle);
	}
	netlink_free(device->netlink);
	device_forget_routes(device);
	free(device->addresses);
}
