/* flow.c - finding a packet's flow, counting it, and moving the flow's state: what every packet of
 * a known flow costs. One hash, one bucket's lock, three or four cache lines; for the next packets
 * of the same run one comparison. Beginning and ending flows: flow_open.c.
 */
#include "core/flow_table.h"

#include "core/time.h"

#define TCP_SYN_ACK_RST (TCP_SYN | TCP_ACK | TCP_RST)

/* How long it may be silent. */
static uint64_t idle_ns_of(const struct flow_key *key, uint8_t flags0, uint8_t flags1)
{
	const bool half_open = flow_is_half_open(key->proto, flags0, flags1);

	switch (key->proto) {
	case IP_PROTO_TCP:
		if ((flags0 | flags1) & FLOW_RST)
			return FLOW_TCP_RESET_NS;
		if (half_open)
			return FLOW_TCP_OPENING_NS;
		if (flags0 & flags1 & FLOW_FIN)
			return FLOW_TCP_CLOSED_NS;
		return (flags0 | flags1) & FLOW_FIN ? FLOW_TCP_HALF_CLOSED_NS : FLOW_TCP_OPEN_NS;
	case IP_PROTO_UDP:
		return half_open ? FLOW_UDP_UNANSWERED_NS : FLOW_UDP_NS;
	default:
		if (key->echo)
			return FLOW_ECHO_NS;
		return half_open ? FLOW_OTHER_UNANSWERED_NS : FLOW_OTHER_NS;
	}
}

static bool silent_since(const struct flow_half *half, uint64_t idle_ns, uint64_t now_ns)
{
	return time_since(now_ns, relaxed_get(&half->seen_ns)) >= idle_ns;
}

/* The flags of both directions, as this one's half knows them. */
struct both {
	uint8_t flags[2];
};

static struct both both_of(const struct flow_half *half, uint32_t direction)
{
	struct both both;

	both.flags[direction] = relaxed_get(&half->flags);
	both.flags[!direction] = relaxed_get(&half->other);
	return both;
}

/* With the bucket's lock. The other half, which another worker may be writing, is looked at only
 * where this one alone is too old. */
static bool is_live(
	const struct flow *flow, uint32_t direction, const struct both *both, uint64_t now_ns)
{
	const uint64_t idle_ns = idle_ns_of(&flow->key[0], both->flags[0], both->flags[1]);

	return !silent_since(&flow->half[direction], idle_ns, now_ns) ||
		!silent_since(&flow->half[!direction], idle_ns, now_ns);
}

/* Which flags the direction has after this packet. */
static uint8_t flags_after(
	const struct flow *flow, uint32_t direction, const struct both *both, uint8_t tcp_flags)
{
	uint8_t flags = both->flags[direction] | FLOW_SEEN;

	if (flow->key[0].proto != IP_PROTO_TCP)
		return flags;
	if (tcp_flags & TCP_RST)
		return flags | FLOW_RST;
	/* Who goes on talking was not reset: his reset was an old or a forged one. */
	flags &= (uint8_t)~FLOW_RST;
	if (tcp_flags & TCP_FIN)
		flags |= FLOW_FIN;
	if (direction)
		flags |= FLOW_ANSWERED;
	else if ((both->flags[1] & FLOW_ANSWERED) && (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_ACK)
		flags |= FLOW_ACKED;
	return flags;
}

/* A SYN that cannot be part of the flow, see flow_find(). */
static bool is_stray_syn(
	const struct flow *flow, uint32_t direction, const struct both *both, uint8_t tcp_flags)
{
	if (flow->key[0].proto != IP_PROTO_TCP || (tcp_flags & TCP_SYN_ACK_RST) != TCP_SYN)
		return false;
	return direction || flow_is_closed(IP_PROTO_TCP, both->flags[0], both->flags[1]);
}

static void count(struct flow_half *half, uint32_t n_packets, uint64_t n_bytes, uint64_t now_ns)
{
	owner_add(&half->packets, n_packets);
	owner_add(&half->bytes, n_bytes);
	relaxed_set(&half->seen_ns, now_ns);
}

/* With the bucket's lock. Packets of this key leave with the reverse of the other key. */
static void fill_hit(
	struct flow_hit *hit, const struct flow *flow, uint32_t link, struct flow_key *shall)
{
	const uint32_t direction = link & 1;
	const struct flow_key *answers = &flow->key[!direction];

	hit->ref = (struct flow_ref){.index = link >> 1,
		.generation = relaxed_get(&flow->half[direction].generation),
		.direction = (uint8_t)direction};
	hit->to = answers->from;
	hit->translated = flow->translated;
	if (flow->translated)
		*shall = flow_key_reverse(answers, answers->from);
}

bool flow_find(struct flow_table *t, struct flow_run *run, const struct flow_key *key,
	uint8_t tcp_flags, uint32_t len_bytes, uint64_t now_ns)
{
	const bool steady = !(tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));
	struct flow_bucket *bucket;
	struct flow_key shall;
	struct flow_half *half;
	struct flow *flow;
	struct both both;
	uint32_t link, direction;
	uint8_t flags;
	bool settled = false;

	if (run->valid && steady && flow_key_equal(&run->key, key)) {
		run->n_packets++;
		run->n_bytes += len_bytes;
		return true;
	}
	flow_run_end(t, run, now_ns);
	bucket = flow_bucket_of(t, key);
	spin_lock(&bucket->lock);
	link = flow_chain_find(t, bucket, key);
	if (!link)
		goto miss;
	flow = &t->flows[link >> 1];
	direction = link & 1;
	half = &flow->half[direction];
	both = both_of(half, direction);
	if (is_stray_syn(flow, direction, &both, tcp_flags) ||
		!is_live(flow, direction, &both, now_ns))
		goto miss;
	flags = flags_after(flow, direction, &both, tcp_flags);
	if (flags != both.flags[direction]) {
		const bool half_open = flow_is_half_open(key->proto, both.flags[0], both.flags[1]);

		both.flags[direction] = flags;
		settled = half_open && !flow_is_half_open(key->proto, both.flags[0], both.flags[1]);
		relaxed_set(&half->flags, flags);
		relaxed_set(&flow->half[!direction].other, flags);
	}
	count(half, 1, len_bytes, now_ns);
	fill_hit(&run->hit, flow, link, &shall);
	spin_unlock(&bucket->lock);

	run->key = *key;
	run->bucket = (uint32_t)(bucket - t->buckets);
	run->valid = steady;
	if (run->hit.translated)
		nat_edit_init(&run->hit.edit, key, &shall);
	if (settled)
		flow_settle(t, &run->hit.ref);
	return true;
miss:
	spin_unlock(&bucket->lock);
	return false;
}

void flow_run_end(struct flow_table *t, struct flow_run *run, uint64_t now_ns)
{
	const struct flow_ref *ref = &run->hit.ref;

	if (run->n_packets) {
		struct flow_half *half = &t->flows[ref->index].half[ref->direction];
		struct flow_bucket *bucket = &t->buckets[run->bucket];

		spin_lock(&bucket->lock);
		if (relaxed_get(&half->generation) == ref->generation)
			count(half, run->n_packets, run->n_bytes, now_ns);
		spin_unlock(&bucket->lock);
	}
	run->n_packets = 0;
	run->n_bytes = 0;
	run->valid = false;
}

bool flow_find_related(
	struct flow_table *t, struct flow_hit *hit, const struct flow_key *key, uint64_t now_ns)
{
	struct flow_bucket *bucket = flow_bucket_of(t, key);
	struct flow_key shall;
	bool found = false;
	uint32_t link;

	spin_lock(&bucket->lock);
	link = flow_chain_find(t, bucket, key);
	if (link) {
		const struct flow *flow = &t->flows[link >> 1];
		const struct both both = both_of(&flow->half[link & 1], link & 1);

		found = is_live(flow, link & 1, &both, now_ns);
		if (found)
			fill_hit(hit, flow, link, &shall);
	}
	spin_unlock(&bucket->lock);
	if (found && hit->translated)
		nat_edit_init(&hit->edit, key, &shall);
	return found;
}

bool flow_is_expired(const struct flow *flow, uint64_t now_ns)
{
	const uint64_t idle_ns = idle_ns_of(&flow->key[0], relaxed_get(&flow->half[0].flags),
		relaxed_get(&flow->half[1].flags));

	return silent_since(&flow->half[0], idle_ns, now_ns) &&
		silent_since(&flow->half[1], idle_ns, now_ns);
}

void flow_fill_report(struct flow_report *report, const struct flow *flow)
{
	const uint8_t flags[2] = {
		relaxed_get(&flow->half[0].flags), relaxed_get(&flow->half[1].flags)};

	*report = (struct flow_report){
		.began_ns = flow->began_ns,
		.answered = !flow_is_half_open(flow->key[0].proto, flags[0], flags[1]),
		.translated = flow->translated,
	};
	for (int d = 0; d < 2; d++) {
		const uint64_t seen_ns = relaxed_get(&flow->half[d].seen_ns);

		report->key[d] = flow->key[d];
		report->packets[d] = relaxed_get(&flow->half[d].packets);
		report->bytes[d] = relaxed_get(&flow->half[d].bytes);
		if (seen_ns > report->last_ns)
			report->last_ns = seen_ns;
	}
}
