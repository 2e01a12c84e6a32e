/* embed.c - the hub of wghub.h: the control side and one worker, both in the caller's thread.
 *
 * Owns the ring of events and the memory in which datagrams of the control side wait for the
 * caller. There is room for what any one step of it may send, and hub_run() stops when there is no
 * more, so nothing is lost for want of it. Costs nothing on the packet path. Nobody else reads what
 * the hub retires, so that goes at the end of each call.
 */
#include "core/error.h"
#include "core/library.h"
#include "core/worker.h"

#include <errno.h>
#include <string.h>

#define EVENTS_UNASKED 256u
#define EVENTS_MAX (1u << 20)
#define MTU_MIN 576u
#define MTU_MAX 65535u
/* What a handshake, a timer or a worker's message makes the hub send at most. */
#define STEP_PACKETS (STAGED_PACKETS_PER_PEER + 4u)
/* Room for one more step than fits here: it is full when less is left. No datagram is shorter than
 * a keepalive, so the bytes run out before the packets do. */
#define MADE_MORE_BYTES (32u << 10)
#define MADE_PACKETS (MADE_MORE_BYTES / (uint32_t)WIRE_DATA_MIN_BYTES + STEP_PACKETS)
_Static_assert(WGH_BATCH_PACKETS == PACKETS_PER_BATCH, "the caller's bound is the worker's");
_Static_assert(WGH_NEVER == TIME_NEVER, "one word for it");

struct wgh_hub {
	struct mem_budget budget;
	struct hub *hub;
	struct worker *worker;
	uint64_t deadline_ns;

	/* made by the control side in this wgh_hub_tick() */
	struct wgh_burst *bursts;
	struct wgh_packet *packets;
	uint8_t *bytes;
	uint32_t n_bursts, n_packets, n_bytes;
	uint32_t room_bytes, step_bytes;

	struct wgh_event *events; /* a ring */
	uint32_t events_room, first_event, n_events;
	uint64_t told_drops[DROP_N];

	void (*random)(void *arg, void *out, size_t len_bytes);
	void *random_arg;
};

/* ---- what the core asks of us ---- */

static void get_random(void *arg, void *out, size_t len_bytes)
{
	struct wgh_hub *h = arg;

	if (h->random)
		h->random(h->random_arg, out, len_bytes);
	else
		secret_random(out, len_bytes);
}

static bool full(void *arg)
{
	const struct wgh_hub *h = arg;

	return h->n_bytes + h->step_bytes > h->room_bytes;
}

static bool same_end(const struct wgh_endpoint *a, const struct wgh_endpoint *b)
{
	return a->family == b->family && a->port == b->port && a->scope_id == b->scope_id &&
		a->local_ifindex == b->local_ifindex && !memcmp(a->addr, b->addr, sizeof a->addr) &&
		!memcmp(a->local, b->local, sizeof a->local);
}

/* One burst for neighbours to the same end. */
static void keep(
	void *arg, const struct wgh_endpoint *to, const void *data, uint32_t len_bytes, uint8_t tos)
{
	struct wgh_hub *h = arg;
	struct wgh_packet *packet = &h->packets[h->n_packets];
	struct wgh_burst *burst = h->n_bursts ? &h->bursts[h->n_bursts - 1] : NULL;

	/* Only packets that are larger than the MTU, and more of them than ever. */
	if (h->n_packets == MADE_PACKETS || len_bytes > h->room_bytes - h->n_bytes) {
		hub_drop(h->hub, DROP_SEND, 1);
		return;
	}
	*packet = (struct wgh_packet){.data = h->bytes + h->n_bytes,
		.len_bytes = len_bytes,
		.ecn = tos & 3,
		.dscp = tos >> 2};
	memcpy(packet->data, data, len_bytes);
	h->n_bytes += len_bytes;
	h->n_packets++;
	if (!burst || !same_end(&burst->endpoint, to)) {
		burst = &h->bursts[h->n_bursts++];
		*burst = (struct wgh_burst){.endpoint = *to, .packets = packet};
	}
	burst->n_packets++;
}

static void note(void *arg, const struct wgh_event *event)
{
	struct wgh_hub *h = arg;

	if (h->n_events == h->events_room) /* who does not look loses the newest */
		owner_add(&h->hub->n_events_lost, 1);
	else
		h->events[(h->first_event + h->n_events++) % h->events_room] = *event;
}

/* ---- life ---- */

static int check_options(const struct wgh_hub_options *o, struct wgh_error *error)
{
	if (o->mtu_bytes && (o->mtu_bytes < MTU_MIN || o->mtu_bytes > MTU_MAX))
		return error_fail(error, -EINVAL, "mtu_bytes: must be 576 to 65535, or 0");
	if (o->n_events > EVENTS_MAX)
		return error_fail(error, -EINVAL, "n_events: must be at most 1048576");
	if (o->n_addresses && !o->addresses)
		return error_fail(error, -EINVAL, "addresses: NULL, but n_addresses is not 0");
	return 0;
}

static int reserve(struct wgh_hub *h, const struct wgh_hub_options *o)
{
	const uint32_t mtu = o->mtu_bytes ? o->mtu_bytes : DEFAULT_MTU_BYTES;

	h->step_bytes = STEP_PACKETS * (mtu + 15 + (uint32_t)WIRE_DATA_MIN_BYTES);
	h->room_bytes = h->step_bytes + MADE_MORE_BYTES;
	h->events_room = o->n_events ? o->n_events : EVENTS_UNASKED;
	h->bursts = mem_new(&h->budget, MADE_PACKETS, sizeof *h->bursts);
	h->packets = mem_new(&h->budget, MADE_PACKETS, sizeof *h->packets);
	h->bytes = mem_new(&h->budget, 1, h->room_bytes);
	h->events = mem_new(&h->budget, h->events_room, sizeof *h->events);
	return h->bursts && h->packets && h->bytes && h->events ? 0 : -ENOMEM;
}

static int start(struct wgh_hub *h, const struct wgh_hub_options *o, struct wgh_error *error)
{
	const struct hub_options options = {.n_workers = 1,
		.aead = o->aead,
		.has_tun = o->has_tun,
		.deliver_unowned = o->deliver_unowned,
		.mtu_bytes = o->mtu_bytes,
		.budget = &h->budget,
		.random = get_random,
		.send = keep,
		.full = full,
		.on_event = note,
		.arg = h,
		.filter = o->filter,
		.filter_arg = o->filter_arg};
	int err = hub_new(&h->hub, &options);

	if (err == -ENOENT)
		return error_fail(error, err, "aead: no such back end on this machine");
	if (err == -EIO)
		return error_fail(error, err, "aead: the back end failed its self-test");
	if (err)
		return error_fail(
			error, err, "not enough memory, or memory_bytes is too small, for a hub");
	h->worker = h->hub->workers[0];
	err = hub_set_addresses(h->hub, o->addresses, o->n_addresses);
	if (err)
		return error_fail(error, err,
			err == -EINVAL ? "addresses: more prefix bits than the address has, or a "
					 "family that is not WGH_IPV4 or WGH_IPV6"
				       : "not enough memory for the addresses");
	hub_set_up(h->hub, true, 0);
	return 0;
}

/* The worker is at rest between two calls: nothing retired is read any more. */
static void reclaim(struct wgh_hub *h)
{
	hub_free_retired(h->hub, hub_take_retired(h->hub));
}

int wgh_hub_new(
	struct wgh_hub **out, const struct wgh_hub_options *options, struct wgh_error *error)
{
	struct wgh_hub_options o;
	struct wgh_hub *h;
	int err;

	*out = NULL;
	if (!library_options(&o, sizeof o, options, options->size))
		return error_fail(error, -EINVAL,
			"size: not that of this version's options, or more than it knows");
	err = check_options(&o, error);
	if (err)
		return err;
	if (secret_init())
		return error_fail(error, -EIO, "the system gives no randomness");
	h = mem_new(NULL, 1, sizeof *h);
	if (!h)
		return error_fail(error, -ENOMEM, "not enough memory for a hub");
	h->budget.limit_bytes = o.memory_bytes;
	h->random = o.random;
	h->random_arg = o.random_arg;
	err = mem_charge(&h->budget, sizeof *h + MEM_HEAD_BYTES) ? reserve(h, &o) : -ENOMEM;
	if (err)
		(void)error_fail(
			error, err, "not enough memory, or memory_bytes is too small, for a hub");
	else
		err = start(h, &o, error);
	if (err) {
		wgh_hub_free(h);
		return err;
	}
	reclaim(h);
	*out = h;
	return 0;
}

void wgh_hub_free(struct wgh_hub *h)
{
	if (!h)
		return;
	hub_free(h->hub);
	mem_free(h->bursts);
	mem_free(h->packets);
	mem_free(h->bytes);
	mem_free(h->events);
	mem_free(h);
}

/* ---- changes ---- */

static int check_change(const struct wgh_change *change, struct wgh_error *error)
{
	if (change->flags & (WGH_HAS_LISTEN_PORT | WGH_HAS_FWMARK))
		return error_fail(
			error, -EINVAL, "listen port, fwmark: a hub without sockets has none");
	return 0;
}

int wgh_hub_check(struct wgh_hub *h, const struct wgh_change *change,
	struct wgh_conflict *conflicts, size_t room, struct wgh_error *error)
{
	int err = check_change(change, error);

	return err ? err : hub_check(h->hub, change, conflicts, room, error);
}

int wgh_hub_apply(struct wgh_hub *h, const struct wgh_change *change, uint64_t now_ns,
	struct wgh_error *error)
{
	int err = check_change(change, error);

	if (!err)
		err = hub_apply(h->hub, change, now_ns, error);
	reclaim(h);
	h->deadline_ns = 0;
	return err;
}

int wgh_hub_set_addresses(struct wgh_hub *h, const struct wgh_prefix *addresses, size_t n_addresses)
{
	int err = hub_set_addresses(h->hub, addresses, n_addresses);

	reclaim(h);
	return err;
}

int wgh_hub_set_port(struct wgh_hub *h, uint16_t port)
{
	int err = hub_set_port(h->hub, port);

	reclaim(h);
	return err;
}

void wgh_hub_set_up(struct wgh_hub *h, bool up, uint64_t now_ns)
{
	hub_set_up(h->hub, up, now_ns);
	reclaim(h);
	h->deadline_ns = 0;
}

/* ---- packets ---- */

static void give(
	struct wgh_hub *h, struct wgh_output *output, const struct worker_output *from_worker)
{
	*output = (struct wgh_output){.bursts = from_worker->bursts,
		.n_bursts = from_worker->n_bursts,
		.packets = from_worker->to_tun,
		.n_packets = from_worker->n_to_tun};
	if (from_worker->control)
		h->deadline_ns = 0;
}

int wgh_hub_input_udp(struct wgh_hub *h, const struct wgh_burst *bursts, size_t n_bursts,
	uint64_t now_ns, struct wgh_output *output)
{
	uint64_t n_packets = 0;

	*output = (struct wgh_output){0};
	if (n_bursts > WGH_BATCH_PACKETS)
		return -E2BIG;
	for (size_t i = 0; i < n_bursts; i++)
		n_packets += bursts[i].n_packets;
	if (n_packets > WGH_BATCH_PACKETS)
		return -E2BIG;
	give(h, output, worker_input_udp(h->worker, bursts, n_bursts, now_ns));
	return 0;
}

int wgh_hub_input_tun(struct wgh_hub *h, const struct wgh_packet *packets, size_t n_packets,
	uint64_t now_ns, struct wgh_output *output)
{
	*output = (struct wgh_output){0};
	if (n_packets > WGH_BATCH_PACKETS)
		return -E2BIG;
	give(h, output, worker_input_tun(h->worker, packets, n_packets, now_ns));
	return 0;
}

uint64_t wgh_hub_next_deadline(const struct wgh_hub *h)
{
	return h->deadline_ns;
}

void wgh_hub_tick(struct wgh_hub *h, uint64_t now_ns, int64_t wall_ns, struct wgh_output *output)
{
	h->n_bursts = h->n_packets = h->n_bytes = 0;
	h->deadline_ns = hub_run(h->hub, now_ns, wall_ns);
	reclaim(h);
	*output = (struct wgh_output){.bursts = h->bursts, .n_bursts = h->n_bursts};
}

/* ---- looking at it ---- */

size_t wgh_hub_events(struct wgh_hub *h, struct wgh_event *events, size_t room, uint64_t now_ns)
{
	size_t n = 0;

	for (; n < room && h->n_events; n++, h->n_events--) {
		events[n] = h->events[h->first_event];
		h->first_event = (h->first_event + 1) % h->events_room;
	}
	for (unsigned r = 0; r < DROP_N && n < room; r++) {
		uint64_t total =
			relaxed_get(&h->hub->drops[r]) + relaxed_get(&h->worker->stats.drops[r]);

		if (total == h->told_drops[r])
			continue;
		events[n++] = (struct wgh_event){.kind = WGH_EVENT_DROPS,
			.now_ns = now_ns,
			.n_drops = total - h->told_drops[r],
			.drop_reason = r};
		h->told_drops[r] = total;
	}
	return n;
}

int wgh_hub_stats(const struct wgh_hub *h, struct wgh_stats *stats)
{
	return hub_stats(h->hub, stats);
}

int wgh_hub_snapshot(struct wgh_hub *h, struct wgh_snapshot **snapshot)
{
	return hub_snapshot(h->hub, snapshot);
}
