/* two_hubs.c - a program outside the tree: hubs in several threads, whose numbers others read
 * meanwhile, and two devices that talk to each other, all in one process. Includes installed
 * headers only, and has names of its own that are the library's inside: they must not meet.
 */
#include "tests/lib/net.h"

#include <wghub_device.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define N_NETS 3
#define ROUNDS 200

/* Also names of functions in the library. */
int hub_new(void);
int peer_find(void);
void secret_wipe(void);
static _Atomic unsigned n_strays;

int hub_new(void)
{
	n_strays++;
	return -1;
}

int peer_find(void)
{
	n_strays++;
	return 0;
}

void secret_wipe(void)
{
	n_strays++;
}

/* ---- hubs without I/O, a net for each thread ---- */

static struct net nets[N_NETS];
static _Atomic unsigned n_running;

static void *run_net(void *arg)
{
	struct net *net = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		net_give(net, 1, 2, 100 + i, 8);
		net_run(net);
		net_give(net, 2, 1, 1400, 8);
		net_advance(net, 3 * NET_SECOND);
	}
	n_running--;
	return NULL;
}

static void try_hubs(void)
{
	pthread_t threads[N_NETS];

	for (unsigned t = 0; t < N_NETS; t++) {
		net_init(&nets[t]);
		for (unsigned i = 0; i < NET_NODES; i++)
			net_hub_new(
				&nets[t], i, (struct wgh_hub_options){.memory_bytes = 4u << 20});
		net_star(&nets[t]);
		n_running++;
		NET_MUST(!pthread_create(&threads[t], NULL, run_net, &nets[t]));
	}
	while (n_running)
		for (unsigned t = 0; t < N_NETS; t++) {
			struct wgh_stats stats = {.size = sizeof stats};

			NET_MUST(!wgh_hub_stats(nets[t].nodes[0].hub, &stats));
			NET_MUST(stats.memory_peak_bytes <= 4u << 20);
		}
	for (unsigned t = 0; t < N_NETS; t++) {
		NET_MUST(!pthread_join(threads[t], NULL));
		NET_MUST(nets[t].nodes[1].n_delivered == ROUNDS * 8);
		NET_MUST(nets[t].nodes[2].n_delivered == ROUNDS * 8);
		net_fini(&nets[t]);
	}
}

/* ---- devices ---- */

static struct wgh_device *new_device(struct wgh_public_key *key, uint16_t *port)
{
	const struct wgh_device_options options = {.size = sizeof options,
		.ifname = "none",
		.tun_fd = -1,
		.no_tun = true,
		.n_workers = 2};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};
	struct wgh_error error = {{0}};
	struct wgh_snapshot *snapshot;
	struct wgh_device *device;

	if (wgh_device_new(&device, NULL, &options, &error))
		net_fail(__FILE__, __LINE__, error.text);
	NET_MUST(!wgh_key_new(change.private_key));
	NET_MUST(wgh_key_public(key, change.private_key));
	NET_MUST(!wgh_device_apply(device, &change, NULL));
	NET_MUST(!wgh_device_snapshot(device, &snapshot));
	*port = snapshot->listen_port;
	wgh_snapshot_free(snapshot);
	return device;
}

static bool has_shaken_hands(struct wgh_device *device)
{
	struct wgh_event events[16];
	size_t n = wgh_device_events(device, events, 16);

	for (size_t i = 0; i < n; i++)
		if (events[i].kind == WGH_EVENT_HANDSHAKE)
			return true;
	return false;
}

static void try_devices(void)
{
	struct wgh_device *devices[2];
	struct wgh_public_key keys[2];
	uint16_t ports[2];
	bool done[2] = {false, false};

	for (int i = 0; i < 2; i++)
		devices[i] = new_device(&keys[i], &ports[i]);
	for (int i = 0; i < 2; i++) {
		const struct wgh_peer_change peer = {.public_key = keys[1 - i],
			.flags = WGH_PEER_HAS_ENDPOINT | WGH_PEER_HAS_KEEPALIVE,
			.endpoint = {.addr = {127, 0, 0, 1},
				.port = ports[1 - i],
				.family = WGH_IPV4},
			.keepalive_s = 1};
		const struct wgh_change change = {.peers = &peer, .n_peers = 1};

		NET_MUST(!wgh_device_reload(devices[i], &change, NULL));
	}
	for (int tries = 0; tries < 1000 && !(done[0] && done[1]); tries++) {
		for (int i = 0; i < 2; i++)
			done[i] |= has_shaken_hands(devices[i]);
		usleep(20000);
	}
	NET_MUST(done[0] && done[1]);
	for (int i = 0; i < 2; i++)
		wgh_device_free(devices[i]);
}

int main(void)
{
	try_hubs();
	try_devices();
	NET_MUST(!n_strays);
	printf("libwghub %s\n", wgh_version());
	return 0;
}
