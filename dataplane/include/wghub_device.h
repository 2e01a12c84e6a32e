/* wghub_device.h - a running hub: sockets, an optional TUN device, worker threads.
 *
 * Where it runs: with a uv_loop of the caller's, in the thread that runs that loop; every function but
 * wgh_device_events() and wgh_device_stats() is for that thread, and on_event and on_end run there.
 * With NULL for a loop, in a thread of its own: then any thread may call any function and waits for
 * the answer, and on_event and on_end run in the device's thread: they may call what they like
 * but wgh_device_free(). Packets are carried by further threads in both cases. No signal handler is
 * installed; threads inherit the signal mask of the one that calls wgh_device_new().
 * Ownership: the device copies what it is given, but takes descriptors over. A snapshot belongs to the
 * caller. Fork before there is a device, not after.
 * Errors: 0 or a negative errno; where a struct wgh_error is taken, it gets one line for people.
 * ABI: as wghub.h says.
 * Linking: a program that calls libuv itself names it: pkg-config --cflags --libs wghub libuv
 */
#ifndef WGHUB_DEVICE_H
#define WGHUB_DEVICE_H

#include "wghub.h"
#include "wghub_policy.h"

#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct wgh_device;

/* Offloads that may be switched off, also one by one. */
enum wgh_offload {
	WGH_OFFLOAD_UDP_GRO = 1u << 0,
	WGH_OFFLOAD_UDP_GSO = 1u << 1,
	WGH_OFFLOAD_TUN_TSO = 1u << 2, /* virtio headers, TCP segmentation in and coalescing out */
	WGH_OFFLOAD_TUN_USO = 1u << 3, /* the same for UDP; needs Linux 6.2 */
	WGH_OFFLOAD_ALL = 0xf,
};

struct wgh_device_options {
	size_t size;        /* sizeof(struct wgh_device_options) */
	/* Name of the TUN device; with "wg%d", NULL or "" the kernel chooses one. With no_tun only
	 * wgh_device_name() tells it. */
	const char *ifname;
	int tun_fd;         /* an open TUN descriptor, or -1: open one. Taken over. */
	bool no_tun;
	/* Packets from peers that no peer owns and that are not for the hub itself: false drops them,
	 * true gives them to the TUN, so that the kernel may route them (a site gateway). */
	bool deliver_unowned;
	unsigned n_workers;    /* at most 64; 0: one per core, at most 4 */
	unsigned offloads_off; /* enum wgh_offload bits */
	uint32_t mtu_bytes;    /* of inner packets, 576 to 65440; 0: 1420 */
	const char *aead;      /* back end by name, NULL: the fastest that passes its self-test */
	/* The hub's own inner addresses with no_tun, the first ones: wgh_device_configure_link() adds more.
	 * With a TUN they are read from the interface. */
	const struct wgh_prefix *addresses;
	size_t n_addresses;
	/* UDP sockets that are bound already (socket activation), all to one port, IPv6 ones with
	 * IPV6_V6ONLY; as many workers as there are of a family. Taken over. They serve that port, also
	 * without WGH_HAS_LISTEN_PORT; for another one new sockets are opened. */
	const int *udp_fds;
	size_t n_udp_fds;
	/* First call in each thread of the device's own, for instance to give up rights. May be NULL. */
	void (*on_thread)(void *arg);
	/* May be NULL: then the last 1024 events wait for wgh_device_events(). */
	void (*on_event)(void *arg, const struct wgh_event *event);
	/* The device cannot go on (its TUN was removed): the caller should stop it. May be NULL. */
	void (*on_end)(void *arg, const char *why);
	void *arg;
	/* What the hub itself may have (wgh_hub_options.memory_bytes), the tables of all workers
	 * included; 0: no limit. The workers' fixed buffers, about 5 MiB each, come on top. */
	size_t memory_bytes;
	/* Asked about packets by the workers' threads, several at a time. NULL: everything passes. */
	wgh_filter_fn *filter;
	void *filter_arg;
};

/* Opens the TUN device (unless no_tun) and starts the threads. UDP sockets open when the device is up:
 * see wgh_device_is_up(). loop outlives the device; NULL: it gets a thread of its own.
 * -EINVAL: options; -EPERM, -ENODEV, -EBUSY: the TUN; -ENOENT, -EIO: the AEAD back end; -ENOMEM; else
 * what the system said about sockets and threads. On an error *device is NULL, and descriptors that
 * were handed in are closed (unless size was wrong). */
int wgh_device_new(struct wgh_device **device, uv_loop_t *loop,
	const struct wgh_device_options *options, struct wgh_error *error);

/* Stops threads, closes everything, wipes keys. NULL is fine. A loop of the caller's must be run once
 * more afterwards (uv_run until no handle is left) for libuv to release the device's handles. */
void wgh_device_free(struct wgh_device *device);

/* Down until wgh_device_start(), whatever the TUN's link state: sockets are closed, sessions wiped. */
void wgh_device_stop(struct wgh_device *device);
/* Up again, with its port, if the TUN is up too; a new device is started already. -EADDRINUSE and other
 * errors of sockets: it stays stopped. */
int wgh_device_start(struct wgh_device *device, struct wgh_error *error);

/* The interface's real name: the kernel may have chosen the number in "wg%d". */
const char *wgh_device_name(const struct wgh_device *device);

/* With a TUN the device follows the interface's link state by itself (ip link set up / down). Without,
 * it is up from the start. Up: sockets are open on the listen port. */
bool wgh_device_is_up(const struct wgh_device *device);

/* For a watchdog, to be called every few seconds: have all threads answered what the call before
 * asked? Asks again. */
bool wgh_device_is_alive(struct wgh_device *device);

/* What `ip address add`, `ip link set mtu`, `ip link set up` and `ip route add` would do for the TUN
 * interface. */
struct wgh_link {
	const struct wgh_prefix *addresses;
	size_t n_addresses;
	uint32_t mtu_bytes; /* 0: leave it */
	bool up;            /* also wait until the device is up, with its listen port open */
	const struct wgh_prefix *routes;
	size_t n_routes;
	uint64_t reserved[4];
};

/* What is there already is no error; nothing is taken away. Without a TUN the addresses become the
 * hub's own and the rest is ignored.
 * -EPERM: no CAP_NET_ADMIN; -EADDRINUSE: the listen port; -ENODEV: the interface is in another network
 * namespace. What was done before an error stays. */
int wgh_device_configure_link(
	struct wgh_device *device, const struct wgh_link *link, struct wgh_error *error);

/* ---- configuration ---- */

/* -EADDRINUSE: the port; -EPERM: fwmark without CAP_NET_ADMIN; -EINVAL: too many prefix bits, bad
 * endpoint, policy, unknown flags; -EEXIST: WGH_STRICT and a conflict; -ENOMEM. On any error nothing
 * has changed. */
int wgh_device_apply(
	struct wgh_device *device, const struct wgh_change *change, struct wgh_error *error);
/* The whole configuration as it shall be now: WGH_WHOLE is added. Sessions of peers that stay go on. */
int wgh_device_reload(
	struct wgh_device *device, const struct wgh_change *whole, struct wgh_error *error);
/* As wgh_hub_check(): the number of conflicts, or what apply would say about keys, peers and policy;
 * port and fwmark are not tried. */
int wgh_device_check(struct wgh_device *device, const struct wgh_change *change,
	struct wgh_conflict *conflicts, size_t room, struct wgh_error *error);

/* ---- looking at it ---- */

/* Takes up to room events, oldest first; returns how many. Any thread. With on_event there are none. */
size_t wgh_device_events(struct wgh_device *device, struct wgh_event *events, size_t room);
/* Any thread, without waiting for anybody. -EINVAL: size. */
int wgh_device_stats(const struct wgh_device *device, struct wgh_stats *stats);
/* Consistent for each peer. Free with wgh_snapshot_free(), which wipes the keys. -ENOMEM. */
int wgh_device_snapshot(struct wgh_device *device, struct wgh_snapshot **snapshot);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
