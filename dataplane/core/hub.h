/* hub.h - the whole hub without I/O: one control side and any number of workers.
 *
 * The control side (hub_*) owns configuration, handshakes and timers; one thread at a time may call
 * it. A worker (worker_*, worker.h) carries packets; each belongs to one thread. They meet in what
 * hub_view, session_table and peer publish, and in each worker's two rings. In one thread, call
 * hub_run() after each worker call.
 *
 * Grace: objects that workers may still read are collected, not freed. Whoever runs the threads
 * calls hub_take_retired(), waits until every worker has been outside worker_input_*() once, then
 * hub_free_retired().
 *
 * Time: now_ns from a monotonic clock that counts suspend, wall_ns from CLOCK_REALTIME, both as
 * arguments.
 */
#ifndef CORE_HUB_H
#define CORE_HUB_H

#include "core/cookie.h"
#include "core/flow.h"
#include "core/fragment.h"
#include "core/peer.h"
#include "core/policy.h"
#include "core/ratelimit.h"
#include "core/route.h"
#include "core/session.h"
#include "core/timers.h"
#include "wghub.h"

#define COOKIE_NONCES 32 /* drawn at a time */

struct aead;
struct worker;

struct hub_options {
	unsigned n_workers;
	const char *aead; /* NULL: the fastest */
	bool has_tun; /* packets for the hub itself have somewhere to go */
	bool deliver_unowned;
	uint32_t mtu_bytes;
	struct mem_budget *budget; /* of everything the hub allocates but snapshots; NULL: none */
	/* Fresh random bytes; never fails. */
	void (*random)(void *arg, void *out, size_t len_bytes);
	/* Sends one datagram of the control side at once: handshakes, keepalives, packets that
	 * waited. */
	void (*send)(void *arg, const struct wgh_endpoint *to, const void *data, uint32_t len_bytes,
		uint8_t tos);
	/* NULL, or: has the caller no room for what one handshake, timer or message of a worker may
	 * send? Then hub_run() does the rest when it is called again. */
	bool (*full)(void *arg);
	void (*on_event)(void *arg, const struct wgh_event *event);
	void *arg;
	wgh_filter_fn *filter; /* called by workers; NULL: none */
	void *filter_arg;
};

/* A forward of the policy, and who it leads to. */
struct view_forward {
	struct peer *to; /* NULL: no such peer */
	struct wgh_addr addr[2]; /* its first of IPv4 and IPv6; family WGH_UNSPEC: none */
	uint16_t port;
};

/* What workers read once for each batch; never changes after publication. */
struct hub_view {
	struct retired retired;
	struct route_table *routes;
	const struct policy *policy; /* the hub's, as all these */
	struct flow_table *flows;
	struct fragment_table *fragments;
	struct view_forward *forwards; /* one for each of the policy's */
	uint32_t host_reach; /* as in struct peer: the host's own */
	struct wgh_addr self4, self6; /* family WGH_UNSPEC: none; where our ICMP comes from */
	uint32_t mtu_bytes;
	uint16_t listen_port; /* host order */
	bool has_tun, deliver_unowned;
};

struct hub {
	struct hub_options options;
	struct noise_identity *identity; /* locked memory, with the checker */
	struct cookie_checker *checker;
	struct ratelimit *ratelimit;
	struct peer_table peers;
	struct session_table sessions;
	struct route_set *routes; /* peers' prefixes and our own addresses */
	_Atomic(struct hub_view *) view;
	struct policy *policy;
	struct flow_table *flows;
	uint32_t flows_room; /* what it was made for */
	struct fragment_table *fragments;
	_Atomic uint64_t flow_sweep_ns; /* TIME_NEVER: no flows, and nobody sweeps */
	uint16_t probe_id; /* of our echo requests */
	struct wgh_prefix *addresses;
	size_t n_addresses;

	struct slab keypairs, handshakes;
	struct timer_heap timers;
	struct aead *aead;
	struct worker **workers;
	struct retired *retired;

	uint8_t cookie_nonces[COOKIE_NONCES][WIRE_NONCE_BYTES]; /* the first n are unused */
	uint32_t n_cookie_nonces;

	uint64_t under_load_until_ns;
	uint64_t replay_report_ns, loop_report_ns,
		unknown_report_ns; /* next event of these kinds may be reported then */
	uint64_t tai_s; /* our last timestamp */
	uint32_t tai_ns;
	_Atomic uint64_t staged_bytes; /* of all peers */
	uint16_t listen_port;
	bool up;
	_Atomic uint64_t drops[DROP_N]; /* of the control side; workers have their own */
	_Atomic uint64_t n_staged_sent;
	_Atomic uint64_t n_sent; /* datagrams of the control side */
	_Atomic uint64_t n_events_lost; /* by who collects them */
};

/* -ENOMEM, or the error of aead_new(). The hub starts down, without a key. */
MUST_CHECK int hub_new(struct hub **hub, const struct hub_options *options);
/* No worker may be running. */
void hub_free(struct hub *hub);

/* Everything the workers and the timers left to do. Returns when to call again: TIME_NEVER, or a
 * time. */
uint64_t hub_run(struct hub *hub, uint64_t now_ns, int64_t wall_ns);

/* Up: handshakes and keepalives may be sent. Down: sessions are wiped, waiting packets dropped. */
void hub_set_up(struct hub *hub, bool up, uint64_t now_ns);
/* The port in use, so that our own packets are recognised when they come back through the TUN.
 * -ENOMEM. */
MUST_CHECK int hub_set_port(struct hub *hub, uint16_t port);
MUST_CHECK int hub_set_mtu(struct hub *hub, uint32_t mtu_bytes);
/* The hub's own addresses, each with the length of its network. -EINVAL, -ENOMEM: nothing changed.
 */
MUST_CHECK int hub_set_addresses(struct hub *hub, const struct wgh_prefix *addresses, size_t n);
/* Sockets changed: which of our addresses a peer last used says nothing any more. */
void hub_forget_sources(struct hub *hub);
/* What of the set its author may not have meant: how many, and the first room of them; or the error
 * hub_apply() would give. Nothing changes. */
MUST_CHECK int hub_check(struct hub *hub, const struct wgh_change *change,
	struct wgh_conflict *conflicts, size_t room, struct wgh_error *error);
/* Keys and peers of a change set; port and fwmark are the caller's business. All or nothing. */
MUST_CHECK int hub_apply(
	struct hub *hub, const struct wgh_change *change, uint64_t now_ns, struct wgh_error *error);
/* Fills keys, counters, drops and peers; the caller adds what it knows about sockets. -ENOMEM. */
MUST_CHECK int hub_snapshot(struct hub *hub, struct wgh_snapshot **snapshot);
/* Adds up the counters; any thread. What is not the hub's to know stays as it is. -EINVAL: size. */
MUST_CHECK int hub_stats(const struct hub *hub, struct wgh_stats *stats);

void hub_retire(
	struct hub *hub, struct retired *item, void (*free_item)(struct retired *, void *hub));
struct retired *hub_take_retired(struct hub *hub);
void hub_free_retired(struct hub *hub, struct retired *list);

/* ---- for the other files of the control side ---- */

/* A view with these peers' prefixes, this policy, and the hub's present addresses, port and MTU.
 * NULL: no memory. */
MUST_CHECK struct hub_view *hub_view_new(
	const struct hub *hub, const struct route_set *routes, const struct policy *policy);
void hub_view_free(struct hub_view *view);
/* Whom the policy's forwards lead to, by the hub's present peers and prefixes. Before publishing.
 */
void hub_view_resolve(const struct hub *hub, struct hub_view *view);
/* What workers read from their next batch on; the old view is retired. */
void hub_publish(struct hub *hub, struct hub_view *view);

static inline void hub_transmit(struct hub *hub, const struct wgh_endpoint *to, const void *data,
	uint32_t len_bytes, uint8_t tos)
{
	owner_add(&hub->n_sent, 1);
	hub->options.send(hub->options.arg, to, data, len_bytes, tos);
}

static inline void hub_drop(struct hub *hub, enum drop reason, uint32_t n)
{
	owner_add(&hub->drops[reason], n);
}
/* Puts the peer where its next deadline is. */
static inline void hub_arm(struct hub *hub, struct peer *peer)
{
	if (hub->up)
		timer_arm(&hub->timers, peer);
	else
		timer_disarm(&hub->timers, peer);
}
/* An AEAD context within the budget, of the hub's back end. Errors as aead_new()'s. */
MUST_CHECK int hub_aead_new(struct hub *hub, struct aead **aead);
void hub_aead_free(struct hub *hub, struct aead *aead);
void hub_emit(struct hub *hub, enum wgh_event_kind kind, struct peer *peer, uint64_t now_ns);

#endif
