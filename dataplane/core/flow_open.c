/* flow_open.c - beginning and ending flows: room, ports, lists, the sweep. All of it under the
 * table's one lock, which is held for a few hundred nanoseconds, and where the table is full or a
 * port is hard to find for some microseconds. Reports go out after it is released. Allocates in
 * flow_table_new() only.
 */
#include "core/flow_table.h"

#include <errno.h>
#include <stdlib.h>

#define PORT_TRIES 128u
#define EVICT_LOOKS 64u /* flows a newcomer looks at for an expired one */
#define SLICE 64u /* flows the control side looks at before it lets workers in */
#define SLICE_ENDS 16u
#define EVICTIONS 4u /* more than one only after the bound was lowered */

/* Flows that ended while the lock was held. */
struct ended {
	struct flow_report reports[SLICE_ENDS];
	uint32_t n;
};

static void report_all(struct ended *ended, const struct flow_log *log)
{
	for (uint32_t i = 0; i < ended->n && log && log->ended; i++)
		log->ended(log->arg, &ended->reports[i]);
	ended->n = 0;
}

/* ---- lists ---- */

static void own_append(struct flow_table *t, struct flow_list *list, uint32_t index)
{
	struct flow *flow = &t->flows[index];

	flow->own_previous = list->last;
	flow->own_next = 0;
	*(list->last ? &t->flows[list->last].own_next : &list->first) = index;
	list->last = index;
}

static void own_unlink(struct flow_table *t, struct flow_list *list, uint32_t index)
{
	const struct flow *flow = &t->flows[index];

	*(flow->own_previous ? &t->flows[flow->own_previous].own_next : &list->first) =
		flow->own_next;
	*(flow->own_next ? &t->flows[flow->own_next].own_previous : &list->last) =
		flow->own_previous;
}

static void queue_append(struct flow_table *t, uint32_t index)
{
	struct flow *flow = &t->flows[index];

	flow->queue_previous = t->queue.last;
	flow->queue_next = 0;
	*(t->queue.last ? &t->flows[t->queue.last].queue_next : &t->queue.first) = index;
	t->queue.last = index;
}

static void queue_unlink(struct flow_table *t, uint32_t index)
{
	const struct flow *flow = &t->flows[index];

	*(flow->queue_previous ? &t->flows[flow->queue_previous].queue_next : &t->queue.first) =
		flow->queue_next;
	*(flow->queue_next ? &t->flows[flow->queue_next].queue_previous : &t->queue.last) =
		flow->queue_previous;
}

/* ---- initiators ---- */

static uint32_t *initiator_head(struct flow_table *t, struct flow_party party)
{
	return &t->initiator_heads[route_mix(party.slot) & t->initiator_mask];
}

static uint32_t initiator_find(struct flow_table *t, struct flow_party party)
{
	uint32_t number = *initiator_head(t, party);

	while (number && !flow_party_is(t->initiators[number].party, party))
		number = t->initiators[number].next;
	return number;
}

/* There is room for as many as flows. */
static uint32_t initiator_get(struct flow_table *t, struct flow_party party)
{
	uint32_t number = initiator_find(t, party), *head = initiator_head(t, party);

	if (number)
		return number;
	number = t->free_initiators;
	if (number)
		t->free_initiators = t->initiators[number].next;
	else
		number = ++t->n_initiators_touched;
	t->initiators[number] = (struct flow_initiator){.party = party, .next = *head};
	*head = number;
	return number;
}

static void initiator_put(struct flow_table *t, uint32_t number)
{
	struct flow_initiator *initiator = &t->initiators[number];
	uint32_t *at = initiator_head(t, initiator->party);

	if (--initiator->n)
		return;
	while (*at != number)
		at = &t->initiators[*at].next;
	*at = initiator->next;
	initiator->next = t->free_initiators;
	t->free_initiators = number;
}

/* ---- one flow, with the table's lock ---- */

static void chain_insert(struct flow_table *t, uint32_t link)
{
	struct flow *flow = &t->flows[link >> 1];
	struct flow_bucket *bucket = flow_bucket_of(t, &flow->key[link & 1]);

	spin_lock(&bucket->lock);
	flow->next[link & 1] = bucket->first;
	bucket->first = link;
	spin_unlock(&bucket->lock);
}

/* From here on no worker touches this half: who counted a run for it finds another generation. */
static void chain_remove(struct flow_table *t, uint32_t link)
{
	struct flow *flow = &t->flows[link >> 1];
	struct flow_bucket *bucket = flow_bucket_of(t, &flow->key[link & 1]);
	uint32_t *at = &bucket->first;

	spin_lock(&bucket->lock);
	while (*at != link)
		at = &t->flows[*at >> 1].next[*at & 1];
	*at = flow->next[link & 1];
	owner_add(&flow->half[link & 1].generation, 1);
	spin_unlock(&bucket->lock);
}

static struct flow_list *own_list(struct flow_table *t, const struct flow *flow)
{
	struct flow_initiator *initiator = &t->initiators[flow->initiator];

	return flow->half_open ? &initiator->half_open : &initiator->others;
}

static void end_flow(struct flow_table *t, uint32_t index, enum flow_end why, uint64_t now_ns,
	struct ended *ended)
{
	struct flow *flow = &t->flows[index];
	struct flow_report *report = &ended->reports[ended->n++];

	chain_remove(t, index * 2);
	chain_remove(t, index * 2 + 1);
	flow_fill_report(report, flow);
	report->ended_ns = now_ns;
	if (why == FLOW_END_IDLE &&
		flow_is_closed(flow->key[0].proto, relaxed_get(&flow->half[0].flags),
			relaxed_get(&flow->half[1].flags)))
		why = FLOW_END_CLOSED;
	report->why = (uint8_t)why;
	own_unlink(t, own_list(t, flow), index);
	if (flow->half_open)
		queue_unlink(t, index);
	initiator_put(t, flow->initiator);
	flow->in_use = false;
	flow->next[0] = t->free_flows;
	t->free_flows = index;
	owner_add(&t->n_flows, (uint32_t)-1);
}

void flow_settle(struct flow_table *t, const struct flow_ref *ref)
{
	struct flow *flow = &t->flows[ref->index];

	spin_lock(&t->lock);
	if (flow->half_open &&
		relaxed_get(&flow->half[ref->direction].generation) == ref->generation) {
		own_unlink(t, own_list(t, flow), ref->index);
		queue_unlink(t, ref->index);
		flow->half_open = false;
		own_append(t, own_list(t, flow), ref->index);
	}
	spin_unlock(&t->lock);
}

/* ---- room ---- */

/* Ends the first expired flow of those that stand next in the round. */
static bool evict_expired(struct flow_table *t, uint64_t now_ns, struct ended *ended)
{
	const uint32_t n = t->n_flows_touched < EVICT_LOOKS ? t->n_flows_touched : EVICT_LOOKS;

	for (uint32_t i = 0; i < n; i++) {
		t->hand = t->hand % t->n_flows_touched + 1;
		if (t->flows[t->hand].in_use && flow_is_expired(&t->flows[t->hand], now_ns)) {
			end_flow(t, t->hand, FLOW_END_IDLE, now_ns, ended);
			return true;
		}
	}
	return false;
}

/* The same among one initiator's flows. Connected ones that live go to the end, so that the next
 * newcomer looks at others; half-open ones stay in their order. */
static bool evict_expired_of(struct flow_table *t, struct flow_initiator *initiator,
	uint64_t now_ns, struct ended *ended)
{
	uint32_t index = initiator->half_open.first, n = EVICT_LOOKS;

	for (; n && index; n--, index = t->flows[index].own_next)
		if (flow_is_expired(&t->flows[index], now_ns))
			goto found;
	for (n = EVICT_LOOKS; n && initiator->others.first; n--) {
		index = initiator->others.first;
		if (flow_is_expired(&t->flows[index], now_ns))
			goto found;
		own_unlink(t, &initiator->others, index);
		own_append(t, &initiator->others, index);
	}
	return false;
found:
	end_flow(t, index, FLOW_END_IDLE, now_ns, ended);
	return true;
}

static bool evict_half_open(
	struct flow_table *t, uint32_t oldest, uint64_t now_ns, struct ended *ended)
{
	if (!oldest)
		return false;
	end_flow(t, oldest,
		flow_is_expired(&t->flows[oldest], now_ns) ? FLOW_END_IDLE : FLOW_END_EVICTED,
		now_ns, ended);
	return true;
}

static enum drop make_room(
	struct flow_table *t, struct flow_party party, uint64_t now_ns, struct ended *ended)
{
	const uint32_t number = initiator_find(t, party);
	struct flow_initiator *initiator = &t->initiators[number];
	const uint32_t limit = flow_party_is(party, FLOW_HOST) ? (t->max + 1) / 2 : t->per_peer_max;

	if (number && initiator->n >= limit && !evict_expired_of(t, initiator, now_ns, ended) &&
		!evict_half_open(t, initiator->half_open.first, now_ns, ended))
		return DROP_FLOW_PEER_FULL;
	for (uint32_t i = 0; relaxed_get(&t->n_flows) >= t->max; i++)
		if (i == EVICTIONS ||
			(!evict_expired(t, now_ns, ended) &&
				!evict_half_open(t, t->queue.first, now_ns, ended)))
			return DROP_FLOW_TABLE_FULL;
	return DROP_NONE;
}

/* ---- keys that are free ---- */

/* True if no living flow has this key; one that is over goes. */
static bool free_key(
	struct flow_table *t, const struct flow_key *key, uint64_t now_ns, struct ended *ended)
{
	const uint32_t link = flow_chain_find(t, flow_bucket_of(t, key), key);

	if (!link)
		return true;
	if (!flow_is_expired(&t->flows[link >> 1], now_ns))
		return false;
	end_flow(t, link >> 1, FLOW_END_IDLE, now_ns, ended);
	return true;
}

static bool keeps_port(const struct flow_table *t, const struct flow_want *want, uint16_t port)
{
	return !want->translates_src || want->keeps_any_port ||
		(port >= t->ports.keep_first && port <= t->ports.keep_last);
}

/* The answers' key: with the initiator's own port where that can be, else with one of the range. */
static enum drop choose_answers(struct flow_table *t, const struct flow_want *want,
	struct flow_key *answers, uint64_t now_ns, struct ended *ended)
{
	const uint32_t n = t->ports.last - t->ports.first + 1u;
	const uint16_t own_port = want->key.src_port;
	struct flow_key shall = want->key;
	uint64_t hash;

	if (want->translates_src)
		memcpy(shall.src, want->new_src, sizeof shall.src);
	if (want->translates_dst) {
		memcpy(shall.dst, want->new_dst, sizeof shall.dst);
		shall.dst_port = want->key.echo ? 0 : want->new_dst_port;
	}
	*answers = flow_key_reverse(&shall, want->to);
	if (keeps_port(t, want, own_port) && free_key(t, answers, now_ns, ended))
		return DROP_NONE;
	if (!want->translates_src && !want->translates_dst)
		return DROP_NO_FLOW;
	/* Small ranges are tried whole, large ones in steps of the flow's own, so that neighbours
	 * do not search the same ports. */
	hash = flow_hash(t, &want->key);
	for (uint32_t i = 0, step = n > PORT_TRIES ? (uint32_t)(hash >> 32) | 1 : 1;
		i < n && i < PORT_TRIES; i++) {
		answers->dst_port = (uint16_t)(t->ports.first + ((uint32_t)hash + i * step) % n);
		if (free_key(t, answers, now_ns, ended))
			return DROP_NONE;
	}
	return DROP_NAT_PORTS;
}

/* A segment that is not the first of its connection: its translation would be another one than the
 * receiver knows. */
static bool is_mid_stream(const struct flow_want *want)
{
	return want->key.proto == IP_PROTO_TCP &&
		(want->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

static bool is_same(const struct flow_key *key, const struct flow_key *answers)
{
	const struct flow_key plain = flow_key_reverse(key, answers->from);

	return flow_key_equal(&plain, answers);
}

/* ---- begin ---- */

static void insert(struct flow_table *t, const struct flow_want *want,
	const struct flow_key *answers, uint64_t now_ns)
{
	const uint32_t initiator = initiator_get(t, want->key.from);
	uint32_t index = t->free_flows;
	struct flow *flow;

	if (index)
		t->free_flows = t->flows[index].next[0];
	else
		index = ++t->n_flows_touched;
	flow = &t->flows[index];
	flow->key[0] = want->key;
	flow->key[1] = *answers;
	flow->initiator = initiator;
	flow->in_use = flow->half_open = true;
	flow->translated = !is_same(&want->key, answers);
	flow->began_ns = now_ns;
	for (int d = 0; d < 2; d++) {
		struct flow_half *half = &flow->half[d];

		relaxed_set(&half->seen_ns, now_ns);
		relaxed_set(&half->packets, 0);
		relaxed_set(&half->bytes, 0);
		relaxed_set(&half->flags, 0);
		relaxed_set(&half->other, 0);
	}
	t->initiators[initiator].n++;
	own_append(t, &t->initiators[initiator].half_open, index);
	queue_append(t, index);
	owner_add(&t->n_flows, 1);
	chain_insert(t, index * 2 + 1);
	chain_insert(t, index * 2);
}

/* What stands in the way: the same flow, if another worker was faster (then *exists); one that is
 * over goes. */
static enum drop clear_way(struct flow_table *t, const struct flow_want *want, bool *exists,
	uint64_t now_ns, struct ended *ended)
{
	const uint32_t link = flow_chain_find(t, flow_bucket_of(t, &want->key), &want->key);
	const struct flow *flow = &t->flows[link >> 1];

	if (!link)
		return DROP_NONE;
	if (flow_is_expired(flow, now_ns) ||
		flow_is_closed(want->key.proto, relaxed_get(&flow->half[0].flags),
			relaxed_get(&flow->half[1].flags))) {
		end_flow(t, link >> 1, FLOW_END_IDLE, now_ns, ended);
		return DROP_NONE;
	}
	*exists = true;
	return link & 1 ? DROP_NO_FLOW : DROP_NONE;
}

static enum drop open_locked(
	struct flow_table *t, const struct flow_want *want, uint64_t now_ns, struct ended *ended)
{
	struct flow_key answers;
	bool exists = false;
	enum drop drop = clear_way(t, want, &exists, now_ns, ended);

	if (!drop && !exists)
		drop = choose_answers(t, want, &answers, now_ns, ended);
	if (drop || exists)
		return drop;
	if (is_mid_stream(want) && !is_same(&want->key, &answers))
		return DROP_NO_FLOW;
	drop = make_room(t, want->key.from, now_ns, ended);
	if (!drop)
		insert(t, want, &answers, now_ns);
	return drop;
}

static bool has_ports(const struct flow_key *key)
{
	return key->proto == IP_PROTO_TCP || key->proto == IP_PROTO_UDP || key->echo;
}

enum drop flow_open(struct flow_table *t, const struct flow_want *want, struct flow_run *run,
	uint64_t now_ns, const struct flow_log *log)
{
	struct ended ended = {.n = 0};
	enum drop drop;

	if (want->key.echo == FLOW_ECHO_REPLY ||
		(want->key.proto == IP_PROTO_TCP && (want->tcp_flags & TCP_RST)))
		return DROP_NO_FLOW;
	if ((want->translates_src || want->translates_dst) && !has_ports(&want->key))
		return DROP_NAT_PROTOCOL;
	spin_lock(&t->lock);
	drop = open_locked(t, want, now_ns, &ended);
	spin_unlock(&t->lock);
	report_all(&ended, log);
	if (drop)
		return drop;
	/* Its first packet is counted as every other. It can be gone again already: then the table
	 * is as good as full. */
	return flow_find(t, run, &want->key, want->tcp_flags, want->len_bytes, now_ns)
		? DROP_NONE
		: DROP_FLOW_TABLE_FULL;
}

/* ---- end ---- */

static bool is_there(const struct flow_table *t, const struct flow_ref *ref)
{
	const struct flow *flow = &t->flows[ref->index];

	return flow->in_use &&
		relaxed_get(&flow->half[ref->direction].generation) == ref->generation;
}

void flow_end(struct flow_table *t, const struct flow_ref *ref, enum flow_end why, uint64_t now_ns,
	const struct flow_log *log)
{
	struct ended ended = {.n = 0};

	spin_lock(&t->lock);
	if (is_there(t, ref))
		end_flow(t, ref->index, why, now_ns, &ended);
	spin_unlock(&t->lock);
	report_all(&ended, log);
}

bool flow_look(struct flow_table *t, const struct flow_ref *ref, struct flow_report *report)
{
	bool there;

	spin_lock(&t->lock);
	there = is_there(t, ref);
	if (there)
		flow_fill_report(report, &t->flows[ref->index]);
	spin_unlock(&t->lock);
	return there;
}

uint32_t flow_sweep(struct flow_table *t, uint32_t n, uint64_t now_ns, const struct flow_log *log)
{
	struct ended ended = {.n = 0};
	uint32_t n_ended = 0;

	for (uint32_t i = 0; i < n;) {
		spin_lock(&t->lock);
		if (n > t->n_flows_touched)
			n = t->n_flows_touched;
		for (uint32_t end = i + SLICE; i < n && i < end && ended.n < SLICE_ENDS; i++) {
			t->hand = t->hand % t->n_flows_touched + 1;
			if (t->flows[t->hand].in_use && flow_is_expired(&t->flows[t->hand], now_ns))
				end_flow(t, t->hand, FLOW_END_IDLE, now_ns, &ended);
		}
		spin_unlock(&t->lock);
		n_ended += ended.n;
		report_all(&ended, log);
	}
	return n_ended;
}

uint32_t flow_end_where(struct flow_table *t,
	bool (*ends)(void *arg, const struct flow_report *flow), void *arg, enum flow_end why,
	uint64_t now_ns, const struct flow_log *log)
{
	struct ended ended = {.n = 0};
	uint32_t n_ended = 0, n = UINT32_MAX;

	for (uint32_t i = 0; i < n;) {
		spin_lock(&t->lock);
		n = t->n_flows_touched;
		for (uint32_t end = i + SLICE; i < n && i < end && ended.n < SLICE_ENDS;) {
			struct flow_report report;

			if (!t->flows[++i].in_use)
				continue;
			flow_fill_report(&report, &t->flows[i]);
			if (ends(arg, &report))
				end_flow(t, i, why, now_ns, &ended);
		}
		spin_unlock(&t->lock);
		n_ended += ended.n;
		report_all(&ended, log);
	}
	return n_ended;
}

uint32_t flow_count(const struct flow_table *t)
{
	return relaxed_get(&t->n_flows);
}

uint32_t flow_count_of(struct flow_table *t, struct flow_party initiator)
{
	uint32_t number, n;

	spin_lock(&t->lock);
	number = initiator_find(t, initiator);
	n = number ? t->initiators[number].n : 0;
	spin_unlock(&t->lock);
	return n;
}

/* ---- the table ---- */

int flow_table_set(
	struct flow_table *t, uint32_t max, uint32_t per_peer_max, const struct flow_ports *ports)
{
	if (!max || !per_peer_max || !ports->first || ports->first > ports->last)
		return -EINVAL;
	spin_lock(&t->lock);
	t->max = max < t->room ? max : t->room;
	t->per_peer_max = per_peer_max;
	t->ports = *ports;
	spin_unlock(&t->lock);
	return 0;
}

static uint32_t power_of_two(uint32_t at_least)
{
	uint32_t n = 2;

	while (n < at_least)
		n *= 2;
	return n;
}

int flow_table_new(struct flow_table **table, const struct flow_options *options)
{
	struct flow_table *t;
	uint32_t n_buckets, n_heads;

	if (!options->max || options->max > FLOW_TABLE_MAX)
		return -EINVAL;
	t = aligned_alloc(64, (sizeof *t + 63) & ~(size_t)63);
	if (!t)
		return -ENOMEM;
	n_buckets = power_of_two(2 * options->max);
	n_heads = power_of_two(options->max);
	*t = (struct flow_table){.room = options->max,
		.bucket_mask = n_buckets - 1,
		.initiator_mask = n_heads - 1,
		.seed = {options->seed[0], options->seed[1]}};
	/* calloc() and not aligned_alloc(): fresh zero pages cost nothing until they are touched.
	 */
	t->flows_block = calloc(options->max + 2u, sizeof *t->flows);
	t->buckets = calloc(n_buckets, sizeof *t->buckets);
	t->initiators = calloc(options->max + 1u, sizeof *t->initiators);
	t->initiator_heads = calloc(n_heads, sizeof *t->initiator_heads);
	if (!t->flows_block || !t->buckets || !t->initiators || !t->initiator_heads) {
		flow_table_free(t);
		return -ENOMEM;
	}
	t->flows = (struct flow *)(((uintptr_t)t->flows_block + 63) & ~(uintptr_t)63);
	if (flow_table_set(t, options->max, options->per_peer_max, &options->ports)) {
		flow_table_free(t);
		return -EINVAL;
	}
	*table = t;
	return 0;
}

void flow_table_free(struct flow_table *t)
{
	if (!t)
		return;
	free(t->flows_block);
	free(t->buckets);
	free(t->initiators);
	free(t->initiator_heads);
	free(t);
}
