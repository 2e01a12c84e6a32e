/* configure.c - the caller's wishes for the TUN interface: addresses, MTU, up, routes. For `wghub
 * up`, at start and when its file changed. The kernel announces each change before it confirms it,
 * so the events that wait afterwards hold them all: reading those, in their order, brings the
 * device up to date before this returns. */
#include "io/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *why(int err)
{
	return err == -EPERM ? "needs CAP_NET_ADMIN" : strerror(-err);
}

static int fail_prefix(struct wgh_error *error, int err, const char *name, const char *what,
	const struct wgh_prefix *prefix)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(prefix->addr.family == WGH_IPV4 ? AF_INET : AF_INET6, prefix->addr.bytes, text,
		sizeof text);
	return device_fail(error, err, "%s: cannot add %s %s/%u: %s", name, what, text,
		prefix->bits, why(err));
}

static bool has_address(const struct hub *hub, const struct wgh_prefix *address)
{
	for (size_t i = 0; i < hub->n_addresses; i++) {
		if (hub->addresses[i].bits == address->bits &&
			!memcmp(&hub->addresses[i].addr, &address->addr, sizeof address->addr))
			return true;
	}
	return false;
}

/* Without an interface the hub itself has to remember its addresses. */
static int add_own_addresses(
	struct wgh_device *device, const struct wgh_link *link, struct wgh_error *error)
{
	struct hub *hub = device->hub;
	struct wgh_prefix *all;
	size_t n = hub->n_addresses;
	int err = 0;

	all = calloc(n + link->n_addresses + 1, sizeof *all);
	if (!all)
		return device_fail(error, -ENOMEM, "not enough memory");
	if (n)
		memcpy(all, hub->addresses, n * sizeof *all);
	for (size_t i = 0; i < link->n_addresses; i++) {
		if (!has_address(hub, &link->addresses[i]))
			all[n++] = link->addresses[i];
	}
	if (n != hub->n_addresses) {
		device_lock(device);
		err = hub_set_addresses(hub, all, n);
		device_unlock(device);
		device_reclaim(device);
	}
	free(all);
	return err ? device_fail(error, err, "%s: cannot take an address", device->name) : 0;
}

/* ---- routes ---- */

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct wgh_prefix)); /* bytes only, no padding */
}

void device_forget_routes(struct wgh_device *device)
{
	free(device->routes);
	device->routes = NULL;
	device->n_routes = 0;
}

/* Only those that were not in place before: the kernel looks through all routes to tell whose one
 * is that it has already, and a hub has tens of thousands. */
static int add_routes(
	struct wgh_device *device, const struct wgh_link *link, struct wgh_error *error)
{
	struct wgh_prefix *all = malloc((device->n_routes + link->n_routes + 1) * sizeof *all);
	size_t n = device->n_routes;
	int err = 0;

	if (!all)
		return device_fail(error, -ENOMEM, "not enough memory");
	if (n)
		memcpy(all, device->routes, n * sizeof *all);
	for (size_t i = 0; i < link->n_routes && !err; i++) {
		const struct wgh_prefix *route = &link->routes[i];

		if (device->n_routes &&
			bsearch(route, device->routes, device->n_routes, sizeof *route, compare))
			continue;
		err = netlink_add_route(device->netlink, device->ifindex, route);
		if (err)
			fail_prefix(error, err, device->name, "route", route);
		else
			all[n++] = *route;
	}
	qsort(all, n, sizeof *all, compare);
	free(device->routes);
	device->routes = all;
	device->n_routes = n;
	return err;
}

int device_configure_link(
	struct wgh_device *device, const struct wgh_link *link, struct wgh_error *error)
{
	struct netlink *nl = device->netlink;
	int err;

	if (device->options.no_tun)
		return add_own_addresses(device, link, error);
	if (device->moved)
		return device_fail(error, -ENODEV,
			"%s: the interface is in another network namespace: set it up there",
			device->name);
	if (link->mtu_bytes) {
		err = netlink_set_mtu(nl, device->ifindex, link->mtu_bytes);
		if (err)
			return device_fail(
				error, err, "%s: cannot set the MTU: %s", device->name, why(err));
	}
	for (size_t i = 0; i < link->n_addresses; i++) {
		err = netlink_add_address(nl, device->ifindex, &link->addresses[i]);
		if (err)
			return fail_prefix(
				error, err, device->name, "address", &link->addresses[i]);
	}
	if (link->up) {
		err = netlink_set_link(nl, device->ifindex, true);
		if (err)
			return device_fail(error, err, "%s: cannot set the interface up: %s",
				device->name, why(err));
	}
	err = netlink_read(nl);
	if (err)
		return device_fail(error, err, "%s: cannot read the interface's state: %s",
			device->name, why(err));
	if (link->up && !device->up && !device->stopped)
		return device_fail(error, -EADDRINUSE,
			"listen port %u: cannot be opened: another program uses it?",
			device->wanted_port);
	/* The kernel takes routes only for an interface that is up. */
	return add_routes(device, link, error);
}
