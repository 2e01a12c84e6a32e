/* The flow table against a naive twin: a list of all flows, searched from end to end. The twin
 * follows the table's choice of ports and victims, and checks that it might be chosen. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/flows.h"
#include "tests/lib/rng.h"

#define TWIN_MAX 48

struct twin {
	struct flow_key key[2];
	uint64_t began, seen, packets[2], bytes[2];
	bool answered, connected, fin[2], rst[2], live;
};

static struct twin twins[TWIN_MAX + 1];
static uint64_t twin_clock; /* orders what began */

static uint64_t twin_idle(const struct twin *t)
{
	switch (t->key[0].proto) {
	case IP_PROTO_TCP:
		if (t->rst[0] || t->rst[1])
			return 10 * S;
		if (!t->connected)
			return 120 * S;
		if (t->fin[0] && t->fin[1])
			return 60 * S;
		return t->fin[0] || t->fin[1] ? 1800 * S : 7440 * S;
	case IP_PROTO_UDP:
		return t->answered ? 180 * S : 30 * S;
	default:
		return 30 * S;
	}
}

static bool twin_expired(const struct twin *t)
{
	return now_ns - t->seen >= twin_idle(t);
}

static bool twin_half_open(const struct twin *t)
{
	return t->key[0].proto == IP_PROTO_TCP ? !t->connected : !t->answered;
}

static bool twin_closed(const struct twin *t)
{
	return t->rst[0] || t->rst[1] || (t->fin[0] && t->fin[1]);
}

static struct twin *twin_with(const struct flow_key *key, int *direction)
{
	for (struct twin *t = twins; t < twins + TWIN_MAX + 1; t++)
		for (int d = 0; d < 2; d++)
			if (t->live && !memcmp(&t->key[d], key, sizeof *key)) {
				*direction = d;
				return t;
			}
	return NULL;
}

static unsigned twin_count(const struct flow_party *initiator)
{
	unsigned n = 0;

	for (const struct twin *t = twins; t < twins + TWIN_MAX + 1; t++)
		n += t->live && (!initiator || flow_party_is(t->key[0].from, *initiator));
	return n;
}

/* The oldest half-open one of this initiator or of all, NULL if one is expired or there is none. */
static struct twin *twin_victim(const struct flow_party *initiator)
{
	struct twin *victim = NULL;

	for (struct twin *t = twins; t < twins + TWIN_MAX + 1; t++) {
		if (!t->live || (initiator && !flow_party_is(t->key[0].from, *initiator)))
			continue;
		if (twin_expired(t))
			return NULL;
		if (twin_half_open(t) && (!victim || t->began < victim->began))
			victim = t;
	}
	return victim;
}

static bool twin_any_expired(const struct flow_party *initiator)
{
	for (const struct twin *t = twins; t < twins + TWIN_MAX + 1; t++)
		if (t->live && (!initiator || flow_party_is(t->key[0].from, *initiator)) &&
			twin_expired(t))
			return true;
	return false;
}

static void twin_packet(struct twin *t, int d, uint8_t flags)
{
	t->seen = now_ns;
	t->packets[d]++;
	t->bytes[d] += 100;
	if (t->key[0].proto != IP_PROTO_TCP) {
		t->answered |= d;
		return;
	}
	t->rst[d] = flags & TCP_RST;
	if (flags & TCP_RST)
		return;
	t->fin[d] |= flags & TCP_FIN;
	t->connected |= !d && t->answered && (flags & TCP_ACK) && !(flags & TCP_SYN);
	t->answered |= d;
}

/* Who opens at the moment, for what on_twin_end() may see; NULL: nobody. */
static const struct flow_want *twin_opens;
static unsigned twin_per_peer;

static void on_twin_end(void *arg, const struct flow_report *r)
{
	int d;
	struct twin *t = twin_with(&r->key[0], &d);

	(void)arg;
	assert_non_null(t);
	assert_int_equal(d, 0);
	assert_memory_equal(&t->key[1], &r->key[1], sizeof r->key[1]);
	for (d = 0; d < 2; d++) {
		assert_int_equal(t->packets[d], r->packets[d]);
		assert_int_equal(t->bytes[d], r->bytes[d]);
	}
	assert_int_equal(r->answered, !twin_half_open(t));
	switch (r->why) {
	case FLOW_END_IDLE:
		assert_true(twin_expired(t));
		break;
	case FLOW_END_CLOSED:
		assert_int_equal(t->key[0].proto, IP_PROTO_TCP);
		assert_true(twin_closed(t));
		break;
	case FLOW_END_EVICTED: {
		const struct flow_party *who = &twin_opens->key.from;

		assert_ptr_equal(t,
			twin_victim(twin_count(who) >= twin_per_peer &&
						flow_party_is(t->key[0].from, *who)
					? who
					: NULL));
		break;
	}
	default:
		assert_int_equal(r->why, FLOW_END_PEER);
	}
	t->live = false;
}
static const struct flow_log TWIN_LOG = {on_twin_end, NULL};

/* The table's answer about one packet, and the twin's. */
static bool twin_find(const struct flow_key *key, uint8_t flags)
{
	int d = 0;
	struct twin *t = twin_with(key, &d);
	struct flow_hit hit;
	bool found = find(key, flags, &hit), want = t && !twin_expired(t);

	if (want && t->key[0].proto == IP_PROTO_TCP && (flags & (SYN | ACK | RST)) == SYN)
		want = d == 0 && !twin_closed(t);
	assert_int_equal(found, want);
	if (!found)
		return false;
	twin_packet(t, d, flags);
	assert_true(flow_party_is(hit.to, t->key[!d].from));
	if (hit.translated) {
		assert_memory_equal(hit.edit.src, t->key[!d].dst, 16);
		assert_memory_equal(hit.edit.dst, t->key[!d].src, 16);
		assert_int_equal(hit.edit.src_port, t->key[!d].dst_port);
		assert_int_equal(hit.edit.dst_port, t->key[!d].src_port);
	} else {
		const struct flow_key reverse = flow_key_reverse(key, t->key[!d].from);
		assert_memory_equal(&reverse, &t->key[!d], sizeof reverse);
	}
	return true;
}

/* `over` is the flow that stands at the newcomer's own key, if it is over. */
static bool twin_port_free(const struct flow_key *answers, const struct twin *over)
{
	int d;
	const struct twin *t = twin_with(answers, &d);

	return !t || t == over || twin_expired(t);
}

/* Is this verdict the right one, and the port one that may be taken? */
static void twin_open(const struct flow_want *want)
{
	struct flow_key answers = flow_key_reverse(&want->key, want->to);
	const struct flow_party *who = &want->key.from;
	unsigned n_free = 0;
	struct flow_hit hit;
	struct twin *t = twins, *over;
	bool keeps, own_free;
	enum drop drop;
	int d;

	over = twin_with(&want->key, &d);
	if (over && !twin_expired(over) && !twin_closed(over))
		over = NULL;
	if (want->translates_src)
		memcpy(answers.dst, want->new_src, 16);
	keeps = !want->translates_src || want->keeps_any_port ||
		(want->key.src_port >= 61000 && want->key.src_port <= 61005);
	own_free = keeps && twin_port_free(&answers, over);
	for (uint16_t port = 61000; port <= 61005; port++) {
		struct flow_key other = answers;
		other.dst_port = port;
		n_free += twin_port_free(&other, over);
	}
	twin_opens = want;
	drop = flow_open(table, want, &(struct flow_run){0}, now_ns, &TWIN_LOG);
	switch (drop) {
	case DROP_NONE:
		break;
	case DROP_NAT_PORTS:
		assert_true(!own_free && !n_free && want->translates_src);
		return;
	case DROP_FLOW_PEER_FULL:
		assert_true(twin_count(who) >= twin_per_peer);
		assert_true(!twin_any_expired(who) && !twin_victim(who));
		return;
	case DROP_FLOW_TABLE_FULL:
		assert_int_equal(twin_count(NULL), TWIN_MAX);
		assert_true(!twin_any_expired(NULL) && !twin_victim(NULL));
		return;
	default: {
		const bool mid =
			want->key.proto == IP_PROTO_TCP && (want->tcp_flags & SYNACK) != SYN;

		assert_int_equal(drop, DROP_NO_FLOW);
		t = twin_with(&want->key, &d);
		assert_true((t && d) || (mid && want->translates_src) || (want->tcp_flags & RST) ||
			(!want->translates_src && !own_free));
		return;
	}
	}
	assert_true(flow_find_related(table, &hit, &want->key, now_ns));
	answers = answer_to(&want->key, &hit);
	if (own_free)
		assert_int_equal(answers.dst_port, want->key.src_port);
	else
		assert_in_range(answers.dst_port, 61000, 61005);
	assert_true(twin_port_free(&answers, NULL));
	while (t->live)
		assert_true(++t < twins + TWIN_MAX + 1);
	*t = (struct twin){
		.key = {want->key, answers}, .began = ++twin_clock, .seen = now_ns, .live = true};
	twin_packet(t, 0, want->tcp_flags);
}

/* Four peers that talk to four, a few ports each: much of everything meets. */
static struct flow_want twin_want(struct rng *rng)
{
	static const uint8_t PROTOS[] = {IP_PROTO_TCP, IP_PROTO_TCP, IP_PROTO_UDP, IP_PROTO_ICMP};
	const uint8_t proto = PROTOS[rng_below(rng, 4)];
	const unsigned from = 1 + (unsigned)rng_below(rng, 5), to = 1 + (unsigned)rng_below(rng, 4);
	struct flow_key key = key_of(proto, from == 5 ? 254 : from,
		(uint16_t)((rng_below(rng, 2) ? 61000 : 1000) + rng_below(rng, 8)), to,
		proto == IP_PROTO_ICMP ? 0 : (uint16_t)(22 + rng_below(rng, 2)));
	struct flow_want want;

	if (from == 5)
		key.from = FLOW_HOST;
	want = from == 5 || rng_below(rng, 2) ? masked(&key, to, SYN) : plain(&key, to, SYN);
	want.keeps_any_port = from == 5;
	if (proto != IP_PROTO_TCP)
		want.tcp_flags = 0;
	else if (!rng_below(rng, 6))
		want.tcp_flags = (const uint8_t[]){ACK, RST, SYNACK, FIN}[rng_below(rng, 4)];
	return want;
}

static bool is_of(void *arg, const struct flow_report *flow)
{
	return flow_party_is(flow->key[0].from, party(*(unsigned *)arg));
}

static void test_flow_table_agrees_with_a_list_of_all_flows(void **state)
{
	static const uint8_t FLAGS[] = {ACK, ACK, ACK, SYNACK, FIN, RST, SYN};
	unsigned n_found = 0, n_opened = 0;

	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct rng rng = {seed};
		const struct flow_options options = {.max = TWIN_MAX,
			.per_peer_max = twin_per_peer = seed % 2 ? 10 : 24,
			.ports = {61000, 61005, 61000, 61005},
			.seed = {seed, rng_next(&rng)}};

		flows_teardown(state);
		flows_begin(&options);
		memset(twins, 0, sizeof twins);
		for (unsigned round = 0; round < 20000; round++) {
			const struct twin *t = &twins[rng_below(&rng, TWIN_MAX + 1)];
			struct flow_want want = twin_want(&rng);
			uint64_t what = rng_below(&rng, 1000);
			unsigned who = 1 + (unsigned)rng_below(&rng, 4);

			if (what < 450) {
				if (twin_find(&want.key, want.tcp_flags))
					n_found++;
				else
					twin_open(&want), n_opened++;
			} else if (what < 850) {
				if (t->live)
					n_found += twin_find(&t->key[rng_below(&rng, 2)],
						t->key[0].proto == IP_PROTO_TCP
							? FLAGS[rng_below(&rng, 7)]
							: 0);
			} else if (what < 980) {
				now_ns += rng_below(&rng, what < 970 ? 5 * S : 200 * S);
			} else if (what < 998) {
				flow_sweep(table, (uint32_t)rng_below(&rng, TWIN_MAX), now_ns,
					&TWIN_LOG);
			} else {
				flow_end_where(
					table, is_of, &who, FLOW_END_PEER, now_ns, &TWIN_LOG);
			}
			assert_int_equal(flow_count(table), twin_count(NULL));
			assert_int_equal(flow_count_of(table, party(who)),
				twin_count(&(struct flow_party){who, 1000 + who}));
		}
		now_ns += 8000 * S;
		flow_sweep(table, TWIN_MAX, now_ns, &TWIN_LOG);
		assert_int_equal(flow_count(table), 0);
	}
	assert_true(n_found > 10000 && n_opened > 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, flows_setup, flows_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flow_table_agrees_with_a_list_of_all_flows),
	};

	return cmocka_run_group_tests_name("flow_twin", tests, NULL, NULL);
}
