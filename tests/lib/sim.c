/* sim.c - see sim.h: time, the wire, and what a hub takes from it and gives to it. Configuration
 * and the checks are in sim_hub.c. Cost: a few microseconds for a datagram, besides the core's own.
 */
#include "tests/lib/sim_internal.h"

#include "core/icmp.h"

#include <string.h>

/* A datagram that arrives, or a call of the test. */
struct sim_event {
	uint64_t at_ns, no;
	struct sim_datagram datagram;
	void (*call)(struct sim *sim, void *arg); /* NULL: the datagram */
	void *arg;
};

/* ---- the queue ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->no < b->no;
}

static void push(struct sim *sim, struct sim_event event)
{
	size_t pos = sim->n_events++;

	if (sim->n_events > sim->events_room) {
		sim->events_room = sim->events_room * 2 + 64;
		sim->events = realloc(sim->events, sim->events_room * sizeof *sim->events);
		SIM_MUST(sim->events);
	}
	event.no = sim->next_event_no++;
	for (; pos && before(&event, &sim->events[(pos - 1) / 2]); pos = (pos - 1) / 2)
		sim->events[pos] = sim->events[(pos - 1) / 2];
	sim->events[pos] = event;
}

static struct sim_event pop(struct sim *sim)
{
	struct sim_event first = sim->events[0], last = sim->events[--sim->n_events];
	size_t pos = 0;

	for (;;) {
		size_t child = 2 * pos + 1;

		if (child + 1 < sim->n_events &&
			before(&sim->events[child + 1], &sim->events[child]))
			child++;
		if (child >= sim->n_events || !before(&sim->events[child], &last))
			break;
		sim->events[pos] = sim->events[child];
		pos = child;
	}
	if (sim->n_events)
		sim->events[pos] = last;
	return first;
}

void sim_at(struct sim *sim, uint64_t at_ns, void (*call)(struct sim *sim, void *arg), void *arg)
{
	push(sim, (struct sim_event){.at_ns = at_ns, .call = call, .arg = arg});
}

/* ---- sending ---- */

static uint32_t type_of(const uint8_t *bytes, uint32_t len_bytes)
{
	uint32_t type = len_bytes < 4 ? 0 : le32_get(bytes);

	if (type == WIRE_DATA && len_bytes == WIRE_DATA_MIN_BYTES)
		return SIM_KEEPALIVE;
	return type <= WIRE_DATA ? type : 0;
}

static uint8_t *copy_bytes(const void *bytes, uint32_t len_bytes)
{
	uint8_t *copy = malloc(len_bytes + !len_bytes);

	SIM_MUST(copy);
	if (len_bytes)
		memcpy(copy, bytes, len_bytes);
	return copy;
}

static struct sim_datagram copy_datagram(const struct sim_datagram *datagram)
{
	struct sim_datagram copy = *datagram;

	copy.bytes = copy_bytes(datagram->bytes, datagram->len_bytes);
	return copy;
}

static void record(struct sim *sim, const struct sim_datagram *datagram)
{
	if (!sim->record)
		return;
	if (sim->n_log == sim->log_room) {
		sim->log_room = sim->log_room * 2 + 64;
		sim->log = realloc(sim->log, sim->log_room * sizeof *sim->log);
		SIM_MUST(sim->log);
	}
	sim->log[sim->n_log++] = copy_datagram(datagram);
}

static struct sim_hub *hub_at(struct sim *sim, const struct wgh_endpoint *where)
{
	for (unsigned i = 0; i < sim->n_hubs; i++) {
		const struct wgh_endpoint *outer = &sim->hubs[i]->outer;

		if (outer->family == where->family && outer->port == where->port &&
			!memcmp(outer->addr, where->addr, sizeof outer->addr))
			return sim->hubs[i];
	}
	return NULL;
}

static bool chance(struct sim *sim, uint32_t per_mille)
{
	return per_mille && rng_below(&sim->rng, 1000) < per_mille;
}

/* A bit flipped, a tail lost or a few bytes too many. */
static void corrupt(struct sim *sim, struct sim_datagram *datagram)
{
	uint32_t len = datagram->len_bytes, extra = 1 + (uint32_t)rng_below(&sim->rng, 40);

	if (!len)
		return;
	switch (rng_below(&sim->rng, 4)) {
	case 0:
		datagram->len_bytes = (uint32_t)rng_below(&sim->rng, len);
		break;
	case 1:
		datagram->bytes = realloc(datagram->bytes, len + extra);
		SIM_MUST(datagram->bytes);
		rng_fill(&sim->rng, datagram->bytes + len, extra);
		datagram->len_bytes = len + extra;
		break;
	default:
		datagram->bytes[rng_below(&sim->rng, len)] ^=
			(uint8_t)(1u << rng_below(&sim->rng, 8));
	}
}

static uint64_t delay_of(struct sim *sim, const struct sim_wire *wire)
{
	return wire->delay_ns + (wire->jitter_ns ? rng_below(&sim->rng, wire->jitter_ns) : 0);
}

/* Takes the datagram's bytes over. */
static void travel(struct sim *sim, struct sim_datagram datagram)
{
	static const struct sim_wire perfect;
	struct sim_hub *to = hub_at(sim, &datagram.dest);
	const struct sim_wire *wires[2] = {
		datagram.from ? &datagram.from->wire : &perfect, to ? &to->wire : &perfect};
	uint64_t arrives_ns = sim->now_ns;

	for (int i = 0; i < 2; i++) {
		if (chance(sim, wires[i]->loss_pm)) {
			free(datagram.bytes);
			return;
		}
		if (chance(sim, wires[i]->corrupt_pm))
			corrupt(sim, &datagram);
		if (chance(sim, wires[i]->duplicate_pm))
			push(sim,
				(struct sim_event){.at_ns = arrives_ns + delay_of(sim, wires[i]),
					.datagram = copy_datagram(&datagram)});
		arrives_ns += delay_of(sim, wires[i]);
	}
	push(sim, (struct sim_event){.at_ns = arrives_ns, .datagram = datagram});
}

void sim_transmit(struct sim_hub *from, const struct wgh_endpoint *to, const void *bytes,
	uint32_t len_bytes, uint8_t ecn, uint8_t tos)
{
	struct sim *sim = from->sim;
	struct sim_datagram datagram = {
		.sent_ns = sim->now_ns,
		.from = from,
		.source = from->outer,
		.dest = *to,
		.len_bytes = len_bytes,
		.type = type_of(bytes, len_bytes),
		.ecn = ecn,
		.tos = tos,
		.bytes = copy_bytes(bytes, len_bytes),
	};

	from->n_sent[datagram.type]++;
	record(sim, &datagram);
	if (sim->filter && !sim->filter(sim, &datagram, sim->filter_arg))
		free(datagram.bytes);
	else
		travel(sim, datagram);
}

/* ---- the control side ---- */

static void free_retired(struct sim_hub *h)
{
	hub_free_retired(h->hub, hub_take_retired(h->hub));
}

void sim_hub_run(struct sim_hub *h)
{
	struct sim *sim = h->sim;
	uint64_t next = hub_run(
		h->hub, sim->now_ns, SIM_WALL_START_NS + (int64_t)sim->now_ns + h->wall_offset_ns);

	SIM_MUST(next >= sim->now_ns); /* what is due is done */
	if (next != TIME_NEVER && h->run_delay_max_ns)
		next += rng_below(&sim->rng, h->run_delay_max_ns);
	h->next_run_ns = next;
	free_retired(h);
}

static void run_later(struct sim_hub *h, bool control)
{
	free_retired(h);
	if (!h->run_delay_max_ns)
		sim_hub_run(h);
	else if (control)
		h->next_run_ns = time_earlier(h->next_run_ns,
			h->sim->now_ns + rng_below(&h->sim->rng, h->run_delay_max_ns));
}

/* ---- workers ---- */

static void keep(struct sim_hub *h, const uint8_t *packet, uint32_t len_bytes)
{
	if (h->n_inbox == h->inbox_room) {
		h->inbox_room = h->inbox_room * 2 + 64;
		h->inbox = realloc(h->inbox, h->inbox_room * sizeof *h->inbox);
		SIM_MUST(h->inbox);
	}
	h->inbox[h->n_inbox++] = (struct sim_packet){.at_ns = h->sim->now_ns,
		.len_bytes = len_bytes,
		.bytes = copy_bytes(packet, len_bytes)};
}

/* What the host sends in a moment. */
struct later {
	struct sim_hub *h;
	uint32_t len_bytes;
	uint8_t packet[];
};

static void send_later(struct sim *sim, void *arg)
{
	struct later *l = arg;

	(void)sim;
	sim_tun_send(l->h, l->packet, l->len_bytes);
	free(l);
}

/* Not at once: the worker is still busy. */
static bool ping_back(struct sim_hub *h, const uint8_t *packet, uint32_t len_bytes)
{
	struct later *l = malloc(sizeof *l + len_bytes);
	struct ip_info info;

	SIM_MUST(l);
	*l = (struct later){.h = h, .len_bytes = len_bytes};
	memcpy(l->packet, packet, len_bytes);
	if (!ip_parse(&info, l->packet, len_bytes) && icmp_echo_reply(l->packet, &info)) {
		sim_at(h->sim, h->sim->now_ns, send_later, l);
		return true;
	}
	free(l);
	return false;
}

static bool is_one_of(const uint8_t *data, const struct wgh_packet *packets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (packets[i].data == data)
			return true;
	return false;
}

static void take_output(struct sim_hub *h, const struct worker_output *out,
	const struct wgh_packet *in, size_t n_in)
{
	for (size_t b = 0; b < out->n_bursts; b++)
		for (uint32_t i = 0; i < out->bursts[b].n_packets; i++) {
			const struct wgh_packet *p = &out->bursts[b].packets[i];

			h->n_in_place += is_one_of(p->data, in, n_in);
			sim_transmit(
				h, &out->bursts[b].endpoint, p->data, p->len_bytes, p->ecn, p->ecn);
		}
	for (size_t i = 0; i < out->n_to_tun; i++) {
		const struct wgh_packet *p = &out->to_tun[i];

		if (h->pings_back && ping_back(h, p->data, p->len_bytes))
			continue;
		if (h->on_tun)
			h->on_tun(h, p->data, p->len_bytes);
		else
			keep(h, p->data, p->len_bytes);
	}
}

/* As SO_REUSEPORT does: one sender, one worker. */
static unsigned worker_of(const struct sim_hub *h, const struct wgh_endpoint *source)
{
	unsigned sum = source->port;

	for (int i = 0; i < 16; i++)
		sum += source->addr[i];
	return sum % h->hub->options.n_workers;
}

static bool same_place(const struct wgh_endpoint *a, const struct wgh_endpoint *b)
{
	return a->family == b->family && a->port == b->port &&
		!memcmp(a->addr, b->addr, sizeof a->addr);
}

/* One batch for one worker: those of the datagrams that are its. */
static void input_udp(
	struct sim_hub *h, unsigned worker, const struct sim_datagram *datagrams, size_t n)
{
	struct wgh_packet packets[PACKETS_PER_BATCH];
	struct wgh_burst bursts[PACKETS_PER_BATCH];
	size_t n_packets = 0, n_bursts = 0;
	const struct worker_output *out;

	for (size_t i = 0; i < n; i++) {
		const struct sim_datagram *d = &datagrams[i];

		if (worker_of(h, &d->source) != worker)
			continue;
		if (!n_bursts || !same_place(&bursts[n_bursts - 1].endpoint, &d->source)) {
			bursts[n_bursts] = (struct wgh_burst){
				.endpoint = d->source, .packets = &packets[n_packets]};
			memcpy(bursts[n_bursts].endpoint.local, h->outer.addr, 16);
			bursts[n_bursts++].endpoint.local_ifindex = 1;
		}
		packets[n_packets++] = (struct wgh_packet){
			.data = d->bytes, .len_bytes = d->len_bytes, .ecn = d->ecn};
		bursts[n_bursts - 1].n_packets++;
	}
	if (!n_packets)
		return;
	out = worker_input_udp(h->hub->workers[worker], bursts, n_bursts, h->sim->now_ns);
	take_output(h, out, packets, n_packets);
	run_later(h, out->control);
}

static void deliver(struct sim_hub *h, struct sim_datagram *datagrams, size_t n)
{
	for (unsigned w = 0; w < h->hub->options.n_workers; w++)
		input_udp(h, w, datagrams, n);
	for (size_t i = 0; i < n; i++)
		free(datagrams[i].bytes);
}

void sim_inject(
	struct sim_hub *h, const struct wgh_endpoint *source, const void *bytes, uint32_t len_bytes)
{
	struct sim_datagram datagram = {
		.source = *source, .len_bytes = len_bytes, .bytes = copy_bytes(bytes, len_bytes)};

	deliver(h, &datagram, 1);
}

void sim_replay(struct sim_hub *h, const struct sim_datagram *datagram)
{
	struct sim_datagram copy = copy_datagram(datagram);

	deliver(h, &copy, 1);
}

void sim_tun_send_many(struct sim_hub *h, const struct sim_packet *packets, size_t n)
{
	struct wgh_packet in[PACKETS_PER_BATCH], messages[PACKETS_PER_BATCH];
	const struct worker_output *out;
	unsigned worker = 0;

	SIM_MUST(n && n <= PACKETS_PER_BATCH);
	for (size_t i = 0; i < n; i++) {
		uint32_t len = packets[i].len_bytes;
		uint8_t *room = malloc(WGH_HEADROOM_BYTES + len + WGH_TAILROOM_BYTES);

		SIM_MUST(room);
		memcpy(room + WGH_HEADROOM_BYTES, packets[i].bytes, len);
		messages[i] = (struct wgh_packet){.data = room};
		in[i] = (struct wgh_packet){.data = room + WGH_HEADROOM_BYTES, .len_bytes = len};
	}
	if (packets[0].len_bytes >= 20)
		worker = packets[0].bytes[19] % h->hub->options.n_workers;
	out = worker_input_tun(h->hub->workers[worker], in, n, h->sim->now_ns);
	take_output(h, out, messages, 0);
	for (size_t i = 0; i < n; i++)
		free(messages[i].data);
	run_later(h, out->control);
}

void sim_tun_send(struct sim_hub *h, const uint8_t *packet, uint32_t len_bytes)
{
	struct sim_packet one = {.bytes = (uint8_t *)packet, .len_bytes = len_bytes};

	sim_tun_send_many(h, &one, 1);
}

/* ---- time ---- */

/* What arrives at the same moment at the same hub comes in one batch. */
static void arrive(struct sim *sim, struct sim_event first)
{
	struct sim_datagram batch[PACKETS_PER_BATCH];
	struct sim_hub *to = hub_at(sim, &first.datagram.dest);
	size_t n = 0;

	if (!to) { /* nobody lives there (any more) */
		free(first.datagram.bytes);
		return;
	}
	batch[n++] = first.datagram;
	while (n < PACKETS_PER_BATCH && sim->n_events && !sim->events[0].call &&
		sim->events[0].at_ns == first.at_ns &&
		hub_at(sim, &sim->events[0].datagram.dest) == to)
		batch[n++] = pop(sim).datagram;
	deliver(to, batch, n);
}

static struct sim_hub *next_to_run(struct sim *sim)
{
	struct sim_hub *first = NULL;

	for (unsigned i = 0; i < sim->n_hubs; i++)
		if (!first || sim->hubs[i]->next_run_ns < first->next_run_ns)
			first = sim->hubs[i];
	return first;
}

void sim_run_until(struct sim *sim, uint64_t until_ns)
{
	for (;;) {
		struct sim_hub *h = next_to_run(sim);
		uint64_t run_ns = h ? h->next_run_ns : TIME_NEVER;
		uint64_t event_ns = sim->n_events ? sim->events[0].at_ns : TIME_NEVER;
		uint64_t next_ns = time_earlier(run_ns, event_ns);

		if (next_ns > until_ns)
			break;
		if (next_ns > sim->now_ns)
			sim->now_ns = next_ns;
		if (event_ns > run_ns) {
			sim_hub_run(h);
			continue;
		}
		struct sim_event event = pop(sim);

		if (event.call)
			event.call(sim, event.arg);
		else
			arrive(sim, event);
	}
	sim->now_ns = until_ns;
}

void sim_run(struct sim *sim, uint64_t duration_ns)
{
	sim_run_until(sim, sim->now_ns + duration_ns);
}

/* ---- life ---- */

struct sim *sim_new(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof *sim);

	SIM_MUST(sim && !secret_init());
	sim->rng.state = seed;
	/* A machine that has just started: the clock since boot shows less than any interval. */
	sim->now_ns = 3 * NS_PER_S;
	return sim;
}

void sim_forget(struct sim *sim)
{
	for (size_t i = 0; i < sim->n_log; i++)
		free(sim->log[i].bytes);
	sim->n_log = 0;
}

void sim_free(struct sim *sim)
{
	while (sim->n_events)
		free(pop(sim).datagram.bytes);
	for (unsigned i = 0; i < sim->n_hubs; i++) {
		struct sim_hub *h = sim->hubs[i];

		sim_forget_inbox(h);
		free(h->inbox);
		hub_free(h->hub);
		free(h);
	}
	sim_forget(sim);
	free(sim->log);
	free(sim->events);
	free(sim);
}

/* ---- looking ---- */

uint32_t sim_take(struct sim_hub *h, uint8_t packet[SIM_PACKET_BYTES_MAX])
{
	struct sim_packet *first;

	if (h->inbox_first == h->n_inbox)
		return 0;
	first = &h->inbox[h->inbox_first++];
	SIM_MUST(first->len_bytes <= SIM_PACKET_BYTES_MAX);
	memcpy(packet, first->bytes, first->len_bytes);
	return first->len_bytes;
}

size_t sim_n_taken_left(const struct sim_hub *h)
{
	return h->n_inbox - h->inbox_first;
}

void sim_forget_inbox(struct sim_hub *h)
{
	for (size_t i = 0; i < h->n_inbox; i++)
		free(h->inbox[i].bytes);
	h->n_inbox = h->inbox_first = 0;
}

unsigned sim_count(const struct sim *sim, const struct sim_hub *from, uint32_t type)
{
	unsigned n = 0;

	for (size_t i = 0; i < sim->n_log; i++)
		n += sim->log[i].type == type && (!from || sim->log[i].from == from);
	return n;
}

struct sim_datagram *sim_nth(struct sim *sim, const struct sim_hub *from, uint32_t type, unsigned n)
{
	for (size_t i = 0; i < sim->n_log; i++)
		if (sim->log[i].type == type && (!from || sim->log[i].from == from) && !n--)
			return &sim->log[i];
	SIM_MUST(!"a datagram of that type");
	return NULL;
}

struct sim_datagram *sim_last(struct sim *sim, const struct sim_hub *from, uint32_t type)
{
	unsigned n = sim_count(sim, from, type);

	SIM_MUST(n);
	return sim_nth(sim, from, type, n - 1);
}
