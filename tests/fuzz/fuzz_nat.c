/* fuzz_nat.c - packets of several peers, each any bytes, through fragments, flow table and
 * translation: nothing outside a packet is read or written, what comes out is the packet with
 * exactly the other addresses and ports, its way back is the identity, and no bound is passed.
 * Input, tests/fuzz/corpus/nat: records of one byte (who sends: 0 to 2 clients, 3 the host, 4 to 6
 * devices; 7: time goes on; bit 3: without translation; bit 4: the last packet is answered), two
 * bytes of length, low first, and a packet.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/flow.h"
#include "core/fragment.h"
#include "core/tcp.h"

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			abort();                                                                   \
	} while (0)

#define FLOWS 24
#define FLOWS_EACH 10

static const uint8_t HUB4[16] = {10, 0, 0, 254};
static const uint8_t HUB6[16] = {0xfd, [15] = 0xfe};

struct scene {
	struct flow_table *flows;
	struct fragment_table *fragments;
	uint64_t now_ns;
	struct flow_key answer; /* to the last packet that was translated or passed */
};

static uint8_t *copy(const uint8_t *data, size_t n)
{
	uint8_t *p = malloc(n ? n : 1);

	CHECK(p);
	memcpy(p, data, n);
	return p;
}

/* The same, but that one form of zero in a checksum became the other. */
static bool same_packet(const uint8_t *before, const uint8_t *after, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (before[i] != after[i] && !(before[i] == 0xff && !after[i]))
			return false;
	return true;
}

static struct flow_key shall_be(const struct flow_key *is, const struct nat_edit *edit)
{
	struct flow_key shall = *is;

	memcpy(shall.src, edit->src, 16);
	memcpy(shall.dst, edit->dst, 16);
	shall.src_port = edit->src_port;
	shall.dst_port = edit->dst_port;
	return shall;
}

static void translate(const uint8_t *data, const struct ip_info *info, enum flow_kind kind,
	const struct flow_key *key, const struct nat_edit *edit)
{
	const struct flow_key shall = shall_be(key, edit);
	uint8_t *p = copy(data, info->len_bytes), flags;
	struct nat_edit back;
	struct ip_info after;
	struct flow_key got;

	nat_edit_init(&back, &shall, key);
	CHECK((kind == FLOW_KIND_ERROR ? nat_rewrite_error : nat_rewrite)(p, info, edit) ==
		DROP_NONE);
	CHECK(ip_parse(&after, p, info->len_bytes) == DROP_NONE);
	CHECK(!ip_header_checksum_ok(data) || ip_header_checksum_ok(p));
	CHECK(flow_key_read(&got, &flags, p, &after, key->from) == kind);
	CHECK(!memcmp(&got, &shall, sizeof got));
	if (kind == FLOW_KIND_ERROR) {
		CHECK(nat_rewrite_error(p, &after, &back) == DROP_NONE);
		/* A router on the way stays where its address is not hidden. */
		if (memcmp(info->src.bytes, key->src, 16)) {
			free(p);
			return;
		}
	} else {
		CHECK(nat_rewrite(p, &after, &back) == DROP_NONE);
	}
	CHECK(same_packet(data, p, info->len_bytes));
	free(p);
}

static void fragment(struct scene *s, const uint8_t *data, const struct ip_info *info,
	struct flow_party from, const struct flow_hit *hit)
{
	struct fragment_way way = {.renumbered = true};
	uint8_t *p = copy(data, info->len_bytes);
	struct ip_info after;
	enum drop drop;

	if (info->first_fragment) {
		way.to = hit->to;
		way.translated = hit->translated;
		if (hit->translated)
			way.edit = hit->edit;
		drop = fragment_first(s->fragments, p, info, from, &way, s->now_ns);
	} else {
		drop = fragment_later(s->fragments, p, info, from, &way, s->now_ns);
	}
	CHECK(drop == DROP_NONE || drop == DROP_FRAGMENT || drop == DROP_FRAGMENT_OVERLAP ||
		drop == DROP_INNER_HEADER);
	CHECK(!drop || !info->first_fragment || drop != DROP_FRAGMENT);
	if (!drop) {
		if (way.translated)
			nat_rewrite_fragment(p, &way.edit);
		fragment_renumber(p, info, &way);
		CHECK(ip_parse(&after, p, info->len_bytes) == DROP_NONE);
		CHECK(after.fragment && after.first_fragment == info->first_fragment);
		CHECK(!ip_header_checksum_ok(data) || ip_header_checksum_ok(p));
	}
	free(p);
}

static void reset_and_clamp(const uint8_t *data, const struct ip_info *info)
{
	uint8_t *p = copy(data, info->len_bytes), out[TCP_RESET_BYTES_MAX];
	struct ip_info after;

	if (tcp_may_reset(p, info)) {
		const uint32_t n = tcp_reset_write(out, p, info);

		CHECK(ip_parse(&after, out, n) == DROP_NONE && after.len_bytes == n);
		CHECK(wgh_addr_equal(&after.dst, &info->src) && ip_header_checksum_ok(out));
		CHECK(!tcp_may_reset(out, &after));
	}
	if (tcp_clamp_mss(p, info, 1000))
		CHECK(!tcp_clamp_mss(p, info, 1000));
	free(p);
}

static struct flow_party party(unsigned n)
{
	return n == 3 ? FLOW_HOST : (struct flow_party){n, 1};
}

static void packet(struct scene *s, unsigned who, bool plain, const uint8_t *data, uint32_t n)
{
	const struct flow_party from = party(who);
	struct flow_run run = {0};
	struct flow_hit related;
	struct ip_info info;
	struct flow_key key;
	enum flow_kind kind;
	uint8_t flags;

	if (ip_parse(&info, data, n))
		return;
	reset_and_clamp(data, &info);
	kind = flow_key_read(&key, &flags, data, &info, from);
	if (kind == FLOW_KIND_FRAGMENT)
		fragment(s, data, &info, from, NULL);
	if (kind == FLOW_KIND_ERROR && flow_find_related(s->flows, &related, &key, s->now_ns)) {
		CHECK(!flow_party_is(related.to, from));
		if (related.translated)
			translate(data, &info, kind, &key, &related.edit);
	}
	if (kind != FLOW_KIND_PORTS && kind != FLOW_KIND_OTHER)
		return;
	if (!flow_find(s->flows, &run, &key, flags, info.len_bytes, s->now_ns)) {
		struct flow_want want = {.key = key,
			.to = party(4 + (key.dst[3] & 1)),
			.translates_src = !plain,
			.keeps_any_port = who == 3,
			.tcp_flags = flags,
			.len_bytes = info.len_bytes};

		memcpy(want.new_src, key.family == WGH_IPV4 ? HUB4 : HUB6, 16);
		if (flow_party_is(want.to, from) ||
			flow_open(s->flows, &want, &run, s->now_ns, NULL))
			return;
	}
	CHECK(flow_count(s->flows) <= FLOWS && flow_count_of(s->flows, from) <= FLOWS_EACH + 2);
	CHECK(!run.hit.translated || kind == FLOW_KIND_PORTS);
	s->answer = key;
	if (run.hit.translated) {
		translate(data, &info, kind, &key, &run.hit.edit);
		s->answer = shall_be(&key, &run.hit.edit);
	}
	s->answer = flow_key_reverse(&s->answer, run.hit.to);
	if (info.fragment)
		fragment(s, data, &info, from, &run.hit);
	flow_run_end(s->flows, &run, s->now_ns);
}

/* Whatever passed has a way back, until its time is over. */
static void answer(struct scene *s)
{
	struct flow_hit hit;

	if (s->answer.family && flow_find_related(s->flows, &hit, &s->answer, s->now_ns))
		CHECK(!flow_party_is(hit.to, s->answer.from));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct flow_options options = {.max = FLOWS,
		.per_peer_max = FLOWS_EACH,
		.ports = {61000, 61007, 61000, 61007},
		.seed = {1, 2}};
	struct scene s = {.now_ns = 1000 * NS_PER_S};

	CHECK(flow_table_new(&s.flows, &options) == 0);
	CHECK((s.fragments = fragment_table_new(options.seed, NULL)));
	while (n >= 3) {
		const unsigned op = data[0], who = op & 7;
		size_t len = data[1] | (size_t)data[2] << 8;
		uint8_t *p;

		data += 3;
		n -= 3;
		if (len > n)
			len = n;
		if (who == 7) {
			s.now_ns += (uint64_t)len * len * NS_PER_MS;
			flow_sweep(s.flows, 16, s.now_ns, NULL);
			continue;
		}
		p = copy(data, len);
		packet(&s, who, op & 8, p, (uint32_t)len);
		free(p);
		if (op & 16)
			answer(&s);
		data += len;
		n -= len;
	}
	flow_table_free(s.flows);
	fragment_table_free(s.fragments);
	return 0;
}
