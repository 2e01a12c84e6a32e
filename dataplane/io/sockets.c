/* sockets.c - one port for all carriers: an IPv4 and an IPv6 socket each, sharing it by
 * SO_REUSEPORT; or the caller's sockets. */
#include "io/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORT_TRIES 100

static struct udp_options options_for(
	const struct wgh_device *device, uint16_t port, uint32_t fwmark)
{
	return (struct udp_options){
		.port = port,
		.fwmark = fwmark,
		.reuseport = device->options.n_workers > 1,
		.no_gro = device->options.offloads_off & WGH_OFFLOAD_UDP_GRO,
		.no_gso = device->options.offloads_off & WGH_OFFLOAD_UDP_GSO,
	};
}

/* A system without IPv6 goes on with IPv4 alone. */
static bool no_such_family(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

static int open_pair(struct udp_pair *pair, struct udp_options *options)
{
	int err = udp_open(&pair->v4, WGH_IPV4, options, &options->port);

	if (err)
		return err;
	err = udp_open(&pair->v6, WGH_IPV6, options, &options->port);
	if (no_such_family(err)) {
		pair->v6.fd = -1;
		return 0;
	}
	if (err)
		udp_close(&pair->v4);
	return err;
}

/* With SO_REUSEPORT another process of ours could hold the port without our noticing: look without
 * it first. */
static int check_free(struct udp_options options)
{
	struct udp_pair probe = {.v4.fd = -1, .v6.fd = -1};
	int err;

	options.reuseport = false;
	err = open_pair(&probe, &options);
	if (err)
		return err;
	udp_close(&probe.v4);
	udp_close(&probe.v6);
	return 0;
}

void sockets_close(struct udp_pair **pairs, unsigned n)
{
	for (unsigned i = 0; pairs && i < n; i++) {
		if (!pairs[i])
			continue;
		udp_close(&pairs[i]->v4);
		udp_close(&pairs[i]->v6);
		free(pairs[i]);
	}
	free(pairs);
}

static int open_all(struct udp_pair **pairs, unsigned n, struct udp_options *options)
{
	for (unsigned i = 0; i < n; i++) {
		int err;

		pairs[i] = calloc(1, sizeof *pairs[i]);
		if (!pairs[i])
			return -ENOMEM;
		pairs[i]->v4.fd = pairs[i]->v6.fd = -1;
		err = open_pair(pairs[i], options);
		if (err) {
			free(pairs[i]);
			pairs[i] = NULL;
			return err;
		}
	}
	return 0;
}

/* ---- sockets of the caller's ---- */

void sockets_close_handed(struct wgh_device *device)
{
	for (size_t i = 0; i < device->n_handed; i++)
		close(device->handed_fds[i]);
	free(device->handed_fds);
	device->handed_fds = NULL;
	device->n_handed = 0;
}

int sockets_take_handed(struct wgh_device *device, struct wgh_error *error)
{
	unsigned n_of[WGH_IPV6 + 1] = {0};
	size_t n = device->options.n_udp_fds;
	enum wgh_family family;
	uint16_t port;

	if (!n)
		return 0;
	device->handed_fds = calloc(n, sizeof *device->handed_fds);
	if (!device->handed_fds)
		return device_fail(error, -ENOMEM, "not enough memory to start");
	memcpy(device->handed_fds, device->options.udp_fds, n * sizeof *device->handed_fds);
	device->n_handed = n;
	device->options.udp_fds = NULL; /* the caller's array; ours is the copy */
	for (size_t i = 0; i < n; i++) {
		if (!udp_describe(device->handed_fds[i], &family, &port))
			return device_fail(error, -EINVAL,
				"descriptor %d: not a bound UDP socket of one family; for systemd: "
				"ListenDatagram=0.0.0.0:PORT and [::]:PORT with "
				"BindIPv6Only=ipv6-only",
				device->handed_fds[i]);
		if (i && port != device->handed_port)
			return device_fail(error, -EINVAL,
				"the UDP sockets handed in have different ports, %u and %u",
				device->handed_port, port);
		device->handed_port = port;
		n_of[family]++;
	}
	if (n_of[WGH_IPV4] && n_of[WGH_IPV6] && n_of[WGH_IPV4] != n_of[WGH_IPV6])
		return device_fail(error, -EINVAL,
			"%u IPv4 and %u IPv6 UDP sockets were handed in: as many of each, or of "
			"one only",
			n_of[WGH_IPV4], n_of[WGH_IPV6]);
	if (device->options.tun_fd >= 0 && !device->options.no_tun && n > 2)
		return device_fail(error, -EINVAL,
			"a TUN descriptor that was handed in serves one worker: hand in one UDP "
			"socket of each family, not %zu",
			n);
	/* A socket that nobody reads would swallow its share of the peers. */
	device->options.n_workers = n_of[WGH_IPV4] ? n_of[WGH_IPV4] : n_of[WGH_IPV6];
	device->wanted_port = device->handed_port;
	return 0;
}

/* Duplicates, so that the sockets outlive this time of being up. */
static int adopt_all(const struct wgh_device *device, struct udp_pair **pairs, uint32_t fwmark)
{
	struct udp_options options = options_for(device, device->handed_port, fwmark);
	unsigned n_of[WGH_IPV6 + 1] = {0};
	enum wgh_family family;
	uint16_t port;

	for (unsigned i = 0; i < device->options.n_workers; i++) {
		pairs[i] = calloc(1, sizeof *pairs[i]);
		if (!pairs[i])
			return -ENOMEM;
		pairs[i]->v4.fd = pairs[i]->v6.fd = -1;
	}
	for (size_t i = 0; i < device->n_handed; i++) {
		struct udp_pair *pair;
		int err;

		if (!udp_describe(device->handed_fds[i], &family, &port))
			return -EINVAL;
		pair = pairs[n_of[family]++];
		err = udp_adopt(family == WGH_IPV4 ? &pair->v4 : &pair->v6, device->handed_fds[i],
			&options);
		if (err)
			return err;
	}
	return 0;
}

static struct udp_pair **adopt_handed(
	const struct wgh_device *device, uint32_t fwmark, uint16_t *bound, int *err)
{
	struct udp_pair **pairs = calloc(device->options.n_workers, sizeof(struct udp_pair *));

	*err = pairs ? adopt_all(device, pairs, fwmark) : -ENOMEM;
	if (!*err) {
		*bound = device->handed_port;
		return pairs;
	}
	sockets_close(pairs, device->options.n_workers);
	return NULL;
}

/* ---- either ---- */

struct udp_pair **sockets_open(
	const struct wgh_device *device, uint16_t port, uint32_t fwmark, uint16_t *bound, int *err)
{
	unsigned n = device->options.n_workers;

	if (device->n_handed && port == device->handed_port)
		return adopt_handed(device, fwmark, bound, err);
	for (int tries = 0; tries < PORT_TRIES; tries++) {
		struct udp_options options = options_for(device, port, fwmark);
		struct udp_pair **pairs = calloc(n, sizeof(struct udp_pair *));

		if (!pairs) {
			*err = -ENOMEM;
			return NULL;
		}
		*err = port && options.reuseport ? check_free(options) : 0;
		if (!*err)
			*err = open_all(pairs, n, &options);
		if (!*err) {
			*bound = options.port;
			return pairs;
		}
		sockets_close(pairs, n);
		if (port || *err != -EADDRINUSE)
			break; /* any port: the other family may have had it taken */
	}
	return NULL;
}
