/* sockets.c - one port for all carriers: an IPv4 and an IPv6 socket each, sharing it by
 * SO_REUSEPORT. */
#include "io/device.h"

#include <errno.h>
#include <stdlib.h>

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

struct udp_pair **sockets_open(
	const struct wgh_device *device, uint16_t port, uint32_t fwmark, uint16_t *bound, int *err)
{
	unsigned n = device->options.n_workers;

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
