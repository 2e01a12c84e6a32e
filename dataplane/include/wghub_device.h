/* wghub_device.h - a running hub: sockets, an optional TUN device, worker threads.
 *
 * Threads: every function is called by one thread, the caller's main thread. on_event runs there too.
 * Ownership: the device copies what it is given. A snapshot belongs to the caller.
 * Errors: 0 or a negative errno; where a struct wgh_error is taken, it gets one line for people.
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

/* One line that says what is wrong, where, and what to do. Never contains a secret. */
struct wgh_error {
	char text[256];
};

/* Offloads that may be switched off, also one by one. */
enum wgh_offload {
	WGH_OFFLOAD_UDP_GRO = 1u << 0,
	WGH_OFFLOAD_UDP_GSO = 1u << 1,
	WGH_OFFLOAD_TUN_TSO = 1u << 2, /* virtio headers, TCP segmentation in and coalescing out */
	WGH_OFFLOAD_TUN_USO = 1u << 3, /* the same for UDP; needs Linux 6.2 */
	WGH_OFFLOAD_ALL = 0xf,
};

struct wgh_device_options {
	const char *ifname; /* name of the TUN device, also with no_tun (for the log) */
	int tun_fd;         /* an open TUN descriptor, or -1: open one. Taken over. */
	bool no_tun;
	/* Packets from peers that no peer owns and that are not for the hub itself: false drops them,
	 * true gives them to the TUN, so that the kernel may route them (a site gateway). */
	bool deliver_unowned;
	unsigned n_workers;    /* 0: one per core, at most 4 */
	unsigned offloads_off; /* enum wgh_offload bits */
	uint32_t mtu_bytes;    /* 0: 1420 */
	const char *aead;      /* back end by name, NULL: the fastest that passes its self-test */
	/* The hub's own inner addresses with no_tun, the first ones: wgh_device_configure_link() adds more.
	 * With a TUN they are read from the interface. */
	const struct wgh_prefix *addresses;
	size_t n_addresses;
	void (*on_event)(void *arg, const struct wgh_event *event); /* may be NULL */
	/* The device cannot go on (its TUN was removed): the caller should stop it. May be NULL. */
	void (*on_end)(void *arg, const char *why);
	void *arg;
};

/* Opens the TUN device (unless no_tun) and starts the threads. UDP sockets open when the device is up:
 * see wgh_device_up(). loop is the caller's and outlives the device. */
int wgh_device_new(struct wgh_device **device, uv_loop_t *loop,
	const struct wgh_device_options *options, struct wgh_error *error);

/* Stops threads, closes everything, wipes keys. The loop must be run once more afterwards (uv_run until
 * no handle is left) for libuv to release the device's handles. */
void wgh_device_free(struct wgh_device *device);

/* The interface's real name: the kernel may have chosen the number in "wg%d". */
const char *wgh_device_name(const struct wgh_device *device);

/* With a TUN the device follows the interface's link state by itself (ip link set up / down). Without,
 * it is up from the start. Up: sockets are open on the listen port. */
bool wgh_device_is_up(const struct wgh_device *device);

/* What `ip address add`, `ip link set mtu`, `ip link set up` and `ip route add` would do for the TUN
 * interface. */
struct wgh_link {
	const struct wgh_prefix *addresses;
	size_t n_addresses;
	uint32_t mtu_bytes; /* 0: leave it */
	bool up;            /* also wait until the device is up, with its listen port open */
	const struct wgh_prefix *routes;
	size_t n_routes;
};

/* What is there already is no error; nothing is taken away. Without a TUN the addresses become the
 * hub's own and the rest is ignored.
 * -EPERM: no CAP_NET_ADMIN; -EADDRINUSE: the listen port; -ENODEV: the interface is in another network
 * namespace. What was done before an error stays. */
int wgh_device_configure_link(
	struct wgh_device *device, const struct wgh_link *link, struct wgh_error *error);

/* ---- configuration: one change set, checked whole, applied whole or not at all ---- */

struct wgh_allowed_ip {
	struct wgh_prefix prefix;
	bool remove; /* take it from this peer; no error if it is not there */
};

enum wgh_peer_change_flags {
	WGH_PEER_REMOVE = 1u << 0,
	WGH_PEER_UPDATE_ONLY = 1u << 1, /* an unknown peer is not created */
	WGH_PEER_REPLACE_ALLOWED_IPS = 1u << 2,
	WGH_PEER_HAS_PRESHARED_KEY = 1u << 3, /* all zero removes it */
	WGH_PEER_HAS_ENDPOINT = 1u << 4,
	WGH_PEER_HAS_KEEPALIVE = 1u << 5,
	WGH_PEER_HAS_GROUP = 1u << 6,
	WGH_PEER_HAS_NAT = 1u << 7,
};

struct wgh_peer_change {
	struct wgh_public_key public_key;
	uint32_t flags; /* enum wgh_peer_change_flags */
	uint8_t preshared_key[WGH_KEY_BYTES];
	struct wgh_endpoint endpoint;
	uint16_t keepalive_s; /* 0: off */
	uint8_t group;        /* enum wgh_group; a new peer is in WGH_GROUP_PEER */
	uint8_t nat;          /* enum wgh_nat; a new peer has WGH_NAT_NEVER */
	const struct wgh_allowed_ip *allowed_ips;
	size_t n_allowed_ips; /* in order; a prefix another peer holds moves to this one */
};

enum wgh_change_flags {
	WGH_HAS_PRIVATE_KEY = 1u << 0, /* all zero removes it */
	WGH_HAS_LISTEN_PORT = 1u << 1, /* 0: any free port */
	WGH_HAS_FWMARK = 1u << 2,      /* 0: none */
	WGH_REPLACE_PEERS = 1u << 3,   /* all present peers go, also those that are listed again */
	WGH_HAS_POLICY = 1u << 4,
};

struct wgh_change {
	uint32_t flags; /* enum wgh_change_flags */
	uint8_t private_key[WGH_KEY_BYTES];
	uint16_t listen_port;
	uint32_t fwmark;
	/* In place of the whole present one. Sessions stay, and so do flows that it still allows. */
	const struct wgh_policy *policy;
	const struct wgh_peer_change *peers;
	size_t n_peers; /* the same public key twice means the same peer, changed twice */
};

/* -EADDRINUSE: the port; -EPERM: fwmark without CAP_NET_ADMIN; -EINVAL: too many prefix bits, bad
 * endpoint, policy; -ENOMEM. On any error nothing has changed. */
int wgh_device_apply(
	struct wgh_device *device, const struct wgh_change *change, struct wgh_error *error);

/* ---- looking at it ---- */

struct wgh_peer_view {
	struct wgh_public_key public_key;
	uint8_t preshared_key[WGH_KEY_BYTES]; /* zero: none */
	struct wgh_endpoint endpoint;         /* family WGH_UNSPEC: none */
	uint16_t keepalive_s;
	uint8_t group; /* enum wgh_group */
	uint8_t nat;   /* enum wgh_nat */
	bool wide4, wide6; /* WGH_NAT_AUTO: it has proved that it accepts other sources, by family */
	uint32_t n_flows;  /* that it started */
	int64_t last_handshake_s; /* CLOCK_REALTIME, 0: never */
	uint32_t last_handshake_ns;
	uint64_t rx_bytes, tx_bytes; /* of whole messages, UDP payload */
	const struct wgh_prefix *allowed_ips;
	size_t n_allowed_ips;
	const uint32_t *drops; /* wgh_n_drop_reasons counters */
};

struct wgh_snapshot {
	bool has_private_key;
	uint8_t private_key[WGH_KEY_BYTES];
	struct wgh_public_key public_key;
	uint16_t listen_port; /* the one really bound, 0 while down and none was set */
	uint32_t fwmark;
	uint32_t mtu_bytes;
	unsigned n_workers;
	unsigned offloads;     /* enum wgh_offload bits that are in use */
	const char *aead;      /* name of the back end */
	const uint64_t *drops; /* wgh_n_drop_reasons counters, whole hub */
	uint64_t n_forwarded;  /* packets from peer to peer */
	uint32_t n_flows, flows_max;
	uint64_t n_log_lost; /* begins and ends of flows that were not told */
	const struct wgh_prefix *addresses; /* the hub's own inner addresses */
	size_t n_addresses;
	struct wgh_peer_view *peers;
	size_t n_peers;
};

/* Consistent for each peer. Free with wgh_snapshot_free(), which wipes the keys. -ENOMEM. */
int wgh_device_snapshot(struct wgh_device *device, struct wgh_snapshot **snapshot);
void wgh_snapshot_free(struct wgh_snapshot *snapshot);

/* Names of the AEAD back ends that this machine can run, fastest first, NULL at the end. */
const char *const *wgh_aead_names(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
