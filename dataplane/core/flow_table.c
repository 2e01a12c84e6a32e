/* flow_table.c - the table's memory and lists, and how flows end: one, the expired, or those the
 * control side picks, which lets workers in after every few. Reports go out after the lock is
 * released. Allocates in flow_table_new() only.
 */
#include "core/flow_table.h"

#include <errno.h>

#define SLICE 64u /* flows the control side looks at before it lets workers in */

void flow_report_all(struct flow_ended *ended, const struct flow_log *log)
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

uint32_t flow_initiator_find(struct flow_table *t, struct flow_party party)
{
	uint32_t number = *initiator_head(t, party);

	while (number && !flow_party_is(t->initiators[number].party, party))
		number = t->initiators[number].next;
	return number;
}

/* There is room for as many as flows. */
static uint32_t initiator_get(struct flow_table *t, struct flow_party party)
{
	uint32_t number = flow_initiator_find(t, party), *head = initiator_head(t, party);

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

uint32_t flow_take(struct flow_table *t)
{
	const uint32_t index = t->free_flows;

	if (!index)
		return ++t->n_flows_touched;
	t->free_flows = t->flows[index].next[0];
	return index;
}

void flow_link(struct flow_table *t, uint32_t index)
{
	struct flow *flow = &t->flows[index];

	flow->initiator = initiator_get(t, flow->key[0].from);
	flow->in_use = flow->half_open = true;
	t->initiators[flow->initiator].n++;
	own_append(t, own_list(t, flow), index);
	queue_append(t, index);
	owner_add(&t->n_flows, 1);
	chain_insert(t, index * 2 + 1);
	chain_insert(t, index * 2);
}

void flow_end_locked(struct flow_table *t, uint32_t index, enum flow_end why, uint64_t now_ns,
	struct flow_ended *ended)
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

void flow_to_end(struct flow_table *t, uint32_t index)
{
	struct flow_list *list = own_list(t, &t->flows[index]);

	own_unlink(t, list, index);
	own_append(t, list, index);
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
	struct flow_ended ended = {.n = 0};

	spin_lock(&t->lock);
	if (is_there(t, ref))
		flow_end_locked(t, ref->index, why, now_ns, &ended);
	spin_unlock(&t->lock);
	flow_report_all(&ended, log);
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
	struct flow_ended ended = {.n = 0};
	uint32_t n_ended = 0;

	for (uint32_t i = 0; i < n;) {
		spin_lock(&t->lock);
		if (n > t->n_flows_touched)
			n = t->n_flows_touched;
		for (uint32_t end = i + SLICE; i < n && i < end && ended.n < FLOW_ENDED_MAX; i++) {
			t->hand = t->hand % t->n_flows_touched + 1;
			if (t->flows[t->hand].in_use && flow_is_expired(&t->flows[t->hand], now_ns))
				flow_end_locked(t, t->hand, FLOW_END_IDLE, now_ns, &ended);
		}
		spin_unlock(&t->lock);
		n_ended += ended.n;
		flow_report_all(&ended, log);
	}
	return n_ended;
}

uint32_t flow_end_where(struct flow_table *t,
	bool (*ends)(void *arg, const struct flow_report *flow), void *arg, enum flow_end why,
	uint64_t now_ns, const struct flow_log *log)
{
	struct flow_ended ended = {.n = 0};
	uint32_t n_ended = 0, n = UINT32_MAX;

	for (uint32_t i = 0; i < n;) {
		spin_lock(&t->lock);
		n = t->n_flows_touched;
		for (uint32_t end = i + SLICE; i < n && i < end && ended.n < FLOW_ENDED_MAX;) {
			struct flow_report report;

			if (!t->flows[++i].in_use)
				continue;
			flow_fill_report(&report, &t->flows[i]);
			if (ends(arg, &report))
				flow_end_locked(t, i, why, now_ns, &ended);
		}
		spin_unlock(&t->lock);
		n_ended += ended.n;
		flow_report_all(&ended, log);
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
	number = flow_initiator_find(t, initiator);
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
	t = mem_new_lines(options->budget, sizeof *t);
	if (!t)
		return -ENOMEM;
	n_buckets = power_of_two(2 * options->max);
	n_heads = power_of_two(options->max);
	*t = (struct flow_table){.room = options->max,
		.bucket_mask = n_buckets - 1,
		.initiator_mask = n_heads - 1,
		.seed = {options->seed[0], options->seed[1]}};
	/* Zeroed, and so not mem_new_lines(): fresh pages cost nothing until they are touched. */
	t->flows_block = mem_new(options->budget, options->max + 2u, sizeof *t->flows);
	t->buckets = mem_new(options->budget, n_buckets, sizeof *t->buckets);
	t->initiators = mem_new(options->budget, options->max + 1u, sizeof *t->initiators);
	t->initiator_heads = mem_new(options->budget, n_heads, sizeof *t->initiator_heads);
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
	mem_free(t->flows_block);
	mem_free(t->buckets);
	mem_free(t->initiators);
	mem_free(t->initiator_heads);
	mem_free(t);
}
