/* flow_open.c - beginning flows: is the key free, which port, is there room, and who must go for
 * it. All of it under the table's one lock, which is held for a few hundred nanoseconds, and where
 * the table is full or a port is hard to find for some microseconds. Reports of who went go out
 * after it is released. Allocates nothing.
 */
#include "core/flow_table.h"

#define PORT_TRIES 128u
#define EVICT_LOOKS 64u /* flows a newcomer looks at for an expired one */
#define EVICTIONS 4u /* more than one only after the bound was lowered */

/* ---- room ---- */

/* Ends the first expired flow of those that stand next in the round. */
static bool evict_expired(struct flow_table *t, uint64_t now_ns, struct flow_ended *ended)
{
	const uint32_t n = t->n_flows_touched < EVICT_LOOKS ? t->n_flows_touched : EVICT_LOOKS;

	for (uint32_t i = 0; i < n; i++) {
		t->hand = t->hand % t->n_flows_touched + 1;
		if (t->flows[t->hand].in_use && flow_is_expired(&t->flows[t->hand], now_ns)) {
			flow_end_locked(t, t->hand, FLOW_END_IDLE, now_ns, ended);
			return true;
		}
	}
	return false;
}

/* The same among one initiator's flows. Connected ones that live go to the end, so that the next
 * newcomer looks at others; half-open ones stay in their order. */
static bool evict_expired_of(struct flow_table *t, struct flow_initiator *initiator,
	uint64_t now_ns, struct flow_ended *ended)
{
	uint32_t index = initiator->half_open.first, n = EVICT_LOOKS;

	for (; n && index; n--, index = t->flows[index].own_next)
		if (flow_is_expired(&t->flows[index], now_ns))
			goto found;
	for (n = EVICT_LOOKS; n && initiator->others.first; n--) {
		index = initiator->others.first;
		if (flow_is_expired(&t->flows[index], now_ns))
			goto found;
		flow_to_end(t, index);
	}
	return false;
found:
	flow_end_locked(t, index, FLOW_END_IDLE, now_ns, ended);
	return true;
}

static bool evict_half_open(
	struct flow_table *t, uint32_t oldest, uint64_t now_ns, struct flow_ended *ended)
{
	if (!oldest)
		return false;
	flow_end_locked(t, oldest,
		flow_is_expired(&t->flows[oldest], now_ns) ? FLOW_END_IDLE : FLOW_END_EVICTED,
		now_ns, ended);
	return true;
}

static enum drop make_room(
	struct flow_table *t, struct flow_party party, uint64_t now_ns, struct flow_ended *ended)
{
	const uint32_t number = flow_initiator_find(t, party);
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
	struct flow_table *t, const struct flow_key *key, uint64_t now_ns, struct flow_ended *ended)
{
	const uint32_t link = flow_chain_find(t, flow_bucket_of(t, key), key);

	if (!link)
		return true;
	if (!flow_is_expired(&t->flows[link >> 1], now_ns))
		return false;
	flow_end_locked(t, link >> 1, FLOW_END_IDLE, now_ns, ended);
	return true;
}

static bool keeps_port(const struct flow_table *t, const struct flow_want *want, uint16_t port)
{
	return !want->translates_src || want->keeps_any_port ||
		(port >= t->ports.keep_first && port <= t->ports.keep_last);
}

/* The answers' key: with the initiator's own port where that can be, else with one of the range. */
static enum drop choose_answers(struct flow_table *t, const struct flow_want *want,
	struct flow_key *answers, uint64_t now_ns, struct flow_ended *ended)
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
	const uint32_t index = flow_take(t);
	struct flow *flow = &t->flows[index];

	flow->key[0] = want->key;
	flow->key[1] = *answers;
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
	flow_link(t, index);
}

/* What stands in the way: the same flow, if another worker was faster (then *exists); one that is
 * over goes. */
static enum drop clear_way(struct flow_table *t, const struct flow_want *want, bool *exists,
	uint64_t now_ns, struct flow_ended *ended)
{
	const uint32_t link = flow_chain_find(t, flow_bucket_of(t, &want->key), &want->key);
	const struct flow *flow = &t->flows[link >> 1];

	if (!link)
		return DROP_NONE;
	if (flow_is_expired(flow, now_ns) ||
		flow_is_closed(want->key.proto, relaxed_get(&flow->half[0].flags),
			relaxed_get(&flow->half[1].flags))) {
		flow_end_locked(t, link >> 1, FLOW_END_IDLE, now_ns, ended);
		return DROP_NONE;
	}
	*exists = true;
	return link & 1 ? DROP_NO_FLOW : DROP_NONE;
}

static enum drop open_locked(struct flow_table *t, const struct flow_want *want, uint64_t now_ns,
	struct flow_ended *ended)
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
	struct flow_ended ended = {.n = 0};
	enum drop drop;

	if (want->key.echo == FLOW_ECHO_REPLY ||
		(want->key.proto == IP_PROTO_TCP && (want->tcp_flags & TCP_RST)))
		return DROP_NO_FLOW;
	if ((want->translates_src || want->translates_dst) && !has_ports(&want->key))
		return DROP_NAT_PROTOCOL;
	spin_lock(&t->lock);
	drop = open_locked(t, want, now_ns, &ended);
	spin_unlock(&t->lock);
	flow_report_all(&ended, log);
	if (drop)
		return drop;
	/* Its first packet is counted as every other. It can be gone again already: then the table
	 * is as good as full. */
	return flow_find(t, run, &want->key, want->tcp_flags, want->len_bytes, now_ns)
		? DROP_NONE
		: DROP_FLOW_TABLE_FULL;
}
