/* device.h - what the files of a running device share. The public face is wghub_device.h.
 *
 * Threads and what guards what:
 *   main       the caller's loop, or one of ours (border.c): configuration, link state, events
 *   carriers   carrier.c: one for each worker, its sockets and TUN queue
 *   protocol   protocol_thread.c: handshakes and timers
 * The hub's control side is guarded by hub_lock, which main and protocol take through
 * device_lock(); carriers never take it. What carriers may still read is freed after an RCU grace
 * period: device_reclaim().
 */
#ifndef IO_DEVICE_H
#define IO_DEVICE_H

#include "core/hub.h"
#include "core/worker.h"
#include "io/netlink.h"
#include "io/tun.h"
#include "io/udp.h"
#include "io/wake.h"
#include "wghub_device.h"

#include <pthread.h>

#define EVENT_QUEUE 1024u

/* The two sockets of one carrier, with their watchers. Made and bound by main, closed by the
 * carrier. */
struct udp_pair {
	struct udp_socket v4, v6;
	uv_poll_t watch4, watch6;
	unsigned n_watched;
};

struct carrier {
	struct wgh_device *device;
	struct worker *worker;
	uv_thread_t thread;
	bool started;
	uv_loop_t loop;
	uv_async_t called;
	uv_poll_t watch_tun;
	uv_idle_t tun_again; /* running: the TUN had more than one turn's worth */
	struct tun tun;
	struct udp_pair *sockets; /* NULL while down */
	struct udp_rx *udp_rx;
	struct udp_tx *udp_tx;
	struct tun_rx *tun_rx;
	struct tun_tx *tun_tx;
	/* A call from main, which waits for done. Atomic: the thread may be woken for another
	 * reason and find it early. */
	void (*_Atomic call)(struct carrier *carrier, void *arg);
	void *call_arg;
	uv_sem_t done;
	_Atomic uint64_t n_readings; /* callbacks that are done with everything RCU guards */
	_Atomic uint64_t answered; /* device->asked, as this thread saw it last */
};

struct protocol_thread {
	uv_thread_t thread;
	bool started;
	uv_loop_t loop;
	uv_async_t stop;
	struct wake wake;
	uv_idle_t again; /* running: there was more than one turn's worth */
	uv_timer_t timer;
	uint64_t reclaim_at_ns; /* retired objects wait until then; TIME_NEVER: none do */
	_Atomic uint64_t answered; /* device->asked, as this thread saw it last */
};

struct own_thread;

struct wgh_device {
	struct own_thread *own; /* of border.c: main is ours; NULL: it is the caller's loop */
	struct wgh_device_options options; /* with defaults filled in; strings are ours */
	char name[16];
	struct mem_budget budget; /* the hub's */
	struct hub *hub;
	pthread_mutex_t turn_lock, hub_lock;
	struct carrier *carriers;
	struct protocol_thread protocol;
	struct udp_pair *send_sockets; /* where the protocol thread sends; behind hub_lock */

	uv_loop_t *loop;
	struct wake *notify; /* events wait, or the device has ended; freed when closed */
	uv_poll_t *watch_netlink;
	uv_timer_t *watch_moved; /* asks the TUN for its state where netlink does not reach it */
	struct netlink *netlink;
	unsigned ifindex;
	bool moved; /* the TUN is in another network namespace */
	struct wgh_prefix *addresses; /* of the interface, as netlink told */
	size_t n_addresses;
	/* Routes that configure_link() has seen in place, sorted; the kernel takes them away when
	 * the link goes down. */
	struct wgh_prefix *routes;
	size_t n_routes;

	/* The caller's sockets: each time the device goes up on their port, it uses duplicates. */
	int *handed_fds;
	size_t n_handed;
	uint16_t handed_port;

	_Atomic uint64_t asked; /* wgh_device_is_alive() */
	bool up;
	bool link_up; /* what the TUN says; without one, true */
	bool stopped; /* by the caller, until wgh_device_start() */
	uint16_t wanted_port, port; /* 0: any; what is bound */
	uint32_t fwmark;

	pthread_mutex_t event_lock;
	struct wgh_event events[EVENT_QUEUE];
	uint32_t n_events;
	_Atomic bool tun_gone;
	_Atomic bool gso_told; /* that it is lost; of the present sockets */
};

uint64_t device_now_ns(void);
/* The caller's hook, first thing in each of our threads. */
void device_thread_begins(struct wgh_device *device);

/* Both sides get their turn: a waiting thread is next, however busy the other is. */
void device_lock(struct wgh_device *device);
void device_unlock(struct wgh_device *device);
/* Frees what the hub has retired, once no carrier can be reading it. Takes the lock itself. */
void device_reclaim(struct wgh_device *device);

/* carrier.c */
MUST_CHECK int carrier_start(struct carrier *carrier);
void carrier_stop(struct carrier *carrier);
/* The carrier takes the sockets over and closes those it had; NULL: it only closes. Waits until it
 * is done. */
void carrier_adopt(struct carrier *carrier, struct udp_pair *sockets);

/* protocol_thread.c */
MUST_CHECK int protocol_start(struct wgh_device *device);
void protocol_stop(struct wgh_device *device);
/* Any thread: the control side has work. */
void protocol_wake(struct wgh_device *device);

/* sockets.c */
/* One pair for each carrier on one port. port 0: any free one. An array of n pairs, or NULL with
 * *err. */
struct udp_pair **sockets_open(
	const struct wgh_device *device, uint16_t port, uint32_t fwmark, uint16_t *bound, int *err);
void sockets_close(struct udp_pair **pairs, unsigned n);
/* Takes the options' descriptors over, and sets the number of workers to how many they serve. 0, or
 * negative errno with the error said. */
MUST_CHECK int sockets_take_handed(struct wgh_device *device, struct wgh_error *error);
void sockets_close_handed(struct wgh_device *device);

/* link.c */
MUST_CHECK int link_start(struct wgh_device *device);
void link_stop(struct wgh_device *device);

/* Writes one line for people and returns err. error may be NULL. */
int device_fail(struct wgh_error *error, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What wghub_device.h declares as wgh_device_*(), in the main thread. */
MUST_CHECK int device_new(struct wgh_device **device, uv_loop_t *loop,
	const struct wgh_device_options *options, struct wgh_error *error);
void device_free(struct wgh_device *device);
MUST_CHECK int device_start(struct wgh_device *device, struct wgh_error *error);
void device_stop(struct wgh_device *device);
bool device_is_alive(struct wgh_device *device);
MUST_CHECK int device_configure_link(
	struct wgh_device *device, const struct wgh_link *link, struct wgh_error *error);
MUST_CHECK int device_apply(
	struct wgh_device *device, const struct wgh_change *change, struct wgh_error *error);
MUST_CHECK int device_snapshot(struct wgh_device *device, struct wgh_snapshot **snapshot);

/* device.c: main's reaction to the link. */
void device_link_is(struct wgh_device *device, bool up);
void device_set_up(struct wgh_device *device, bool up);
/* With sockets on the wanted port. Negative errno: nothing has changed. */
MUST_CHECK int device_go_up(struct wgh_device *device);
/* They are gone, or may be. */
void device_forget_routes(struct wgh_device *device);

/* device_events.c. put: any thread. take: the oldest ones, any thread. */
void device_event_put(struct wgh_device *device, const struct wgh_event *event);
size_t device_events_take(struct wgh_device *device, struct wgh_event *events, size_t room);
/* Main: hands them to the caller; and that the TUN is gone. */
void device_on_notify(void *device);
void device_tun_gone(struct wgh_device *device);

#endif
