/* flows.c - see flows.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/flows.h"

struct flow_table *table;
uint64_t now_ns;
struct flow_report ends[256];
unsigned n_ends;

struct flow_party party(uint32_t n)
{
	return (struct flow_party){n, 1000 + n};
}

static void on_end(void *arg, const struct flow_report *report)
{
	assert_null(arg);
	assert_true(n_ends < sizeof ends / sizeof ends[0]);
	ends[n_ends++] = *report;
}
const struct flow_log LOG = {on_end, NULL};

const struct flow_options FLOWS_OPTIONS = {
	.max = 64, .per_peer_max = 32, .ports = {61000, 61009, 61000, 61009}, .seed = {1, 2}};

void flows_begin(const struct flow_options *options)
{
	assert_int_equal(flow_table_new(&table, options), 0);
	now_ns = FLOWS_START_NS;
	n_ends = 0;
}

int flows_setup(void **state)
{
	(void)state;
	flows_begin(&FLOWS_OPTIONS);
	return 0;
}

int flows_teardown(void **state)
{
	(void)state;
	flow_table_free(table);
	return 0;
}

void addr4(uint8_t out[16], unsigned n)
{
	memset(out, 0, 16);
	memcpy(out, (uint8_t[]){10, 0, 0, (uint8_t)n}, 4);
}

struct flow_key key_of(
	uint8_t proto, unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port)
{
	struct flow_key key = {.family = WGH_IPV4,
		.proto = proto,
		.src_port = src_port,
		.dst_port = dst_port,
		.from = party(from)};

	addr4(key.src, from);
	addr4(key.dst, to);
	if (proto == IP_PROTO_ICMP)
		key.echo = FLOW_ECHO_REQUEST;
	return key;
}

struct flow_want plain(const struct flow_key *key, unsigned to, uint8_t tcp_flags)
{
	return (struct flow_want){
		.key = *key, .to = party(to), .tcp_flags = tcp_flags, .len_bytes = 100};
}

/* Source translation to the hub's address. */
struct flow_want masked(const struct flow_key *key, unsigned to, uint8_t tcp_flags)
{
	struct flow_want want = plain(key, to, tcp_flags);

	want.translates_src = true;
	addr4(want.new_src, 254);
	return want;
}

/* Opens it and ends the run; what the packet's flow is. */
enum drop open_flow(const struct flow_want *want, struct flow_hit *hit)
{
	struct flow_run run = {0};
	const enum drop drop = flow_open(table, want, &run, now_ns, &LOG);

	if (hit)
		*hit = run.hit;
	flow_run_end(table, &run, now_ns);
	return drop;
}

bool find(const struct flow_key *key, uint8_t tcp_flags, struct flow_hit *hit)
{
	struct flow_run run = {0};
	const bool found = flow_find(table, &run, key, tcp_flags, 100, now_ns);

	if (hit)
		*hit = run.hit;
	flow_run_end(table, &run, now_ns);
	return found;
}

/* What the receiver of a packet with this key answers with, `to` being the receiver. */
struct flow_key answer_to(const struct flow_key *key, const struct flow_hit *hit)
{
	struct flow_key sent = *key;

	if (hit->translated) {
		memcpy(sent.src, hit->edit.src, 16);
		memcpy(sent.dst, hit->edit.dst, 16);
		sent.src_port = hit->edit.src_port;
		sent.dst_port = hit->edit.dst_port;
	}
	return flow_key_reverse(&sent, hit->to);
}

struct flow_key must_open(const struct flow_want *want)
{
	struct flow_hit hit;

	assert_int_equal(open_flow(want, &hit), DROP_NONE);
	return answer_to(&want->key, &hit);
}

struct flow_want nth(unsigned from, unsigned n)
{
	const struct flow_key key = key_of(IP_PROTO_UDP, from, (uint16_t)(1000 + n), DEVICE, 53);

	return plain(&key, DEVICE, 0);
}
