/* test_tun_coalesce.c - runs of packets: what may join, what must not, and that cutting gives back
 * the packets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/tun_coalesce.h"
#include "io/tun_segment.h"
#include "tests/lib/inner.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_BYTES = 4 << 20 };

struct fixture {
	struct coalescer c;
	struct wgh_packet packets[COALESCE_PACKETS_MAX];
	size_t n, used;
	uint8_t *arena, *merged, *cut;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	f->arena = malloc(ARENA_BYTES);
	f->merged = malloc(1 << 17);
	f->cut = malloc(1 << 20);
	assert_true(f->arena && f->merged && f->cut);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->arena);
	free(f->merged);
	free(f->cut);
	free(f);
	return 0;
}

static uint8_t *add(struct fixture *f, const struct inner_spec *spec)
{
	uint8_t *data = f->arena + f->used + WGH_HEADROOM_BYTES;

	assert_true(f->n < COALESCE_PACKETS_MAX);
	f->packets[f->n] = (struct wgh_packet){.data = data, .len_bytes = inner_build(data, spec)};
	f->used += WGH_HEADROOM_BYTES + f->packets[f->n].len_bytes;
	assert_true(f->used <= ARENA_BYTES);
	f->n++;
	return data;
}

/* The next packet of a flow: what follows spec. */
static void advance(struct inner_spec *spec)
{
	spec->seq += spec->payload_bytes;
	spec->payload_from += spec->payload_bytes;
	spec->id++;
}

static void forget(struct fixture *f)
{
	f->n = f->used = 0;
}

static size_t runs(struct fixture *f)
{
	coalesce(&f->c, f->packets, f->n, true, true);
	return f->c.n_runs;
}

/* Puts the packets of a run together as tun_write() would, in f->merged; its length. */
static uint32_t merge(struct fixture *f, const struct packet_run *run, struct vnet_hdr *h)
{
	const struct wgh_packet *head = &f->packets[run->first];
	uint32_t len = head->len_bytes;
	size_t i = run->first;

	memcpy(f->merged, head->data, len);
	if (run->n == 1) {
		*h = (struct vnet_hdr){0};
		return len;
	}
	while (i != run->last) {
		i = f->c.next[i];
		memcpy(f->merged + len, f->packets[i].data + run->header_bytes,
			f->packets[i].len_bytes - run->header_bytes);
		len += f->packets[i].len_bytes - run->header_bytes;
	}
	coalesce_head(run, f->merged, h);
	assert_int_equal(len, run->total_bytes);
	return len;
}

/* Cutting every run gives the packets that went in, those of a run in order; order within flows,
 * which are told apart by the source port, is kept. */
static void assert_cutting_gives_back(struct fixture *f)
{
	static bool seen[COALESCE_PACKETS_MAX];
	static int newest[0x10000];
	struct wgh_packet out[COALESCE_PACKETS_MAX];
	size_t total = 0;

	memset(seen, 0, sizeof seen);
	memset(newest, -1, sizeof newest);
	for (size_t r = 0; r < f->c.n_runs; r++) {
		const struct packet_run *run = &f->c.runs[r];
		struct packet_room room = {.at = f->cut,
			.end = f->cut + (1 << 20),
			.packets = out,
			.n_max = COALESCE_PACKETS_MAX};
		struct segmenter s;
		struct vnet_hdr h;
		uint32_t len = merge(f, run, &h);
		size_t i = run->first;

		assert_true(len <= 65535);
		assert_true(segment_start(&s, f->merged, len, &h));
		segment_put(&s, &room);
		assert_int_equal(room.n, run->n);
		for (size_t k = 0; k < room.n; k++, i = f->c.next[i]) {
			const struct wgh_packet *p = &f->packets[i];
			uint32_t l4 = inner_l4_offset(p->data);
			unsigned port = p->data[l4] << 8 | p->data[l4 + 1];

			assert_false(seen[i]);
			seen[i] = true;
			assert_int_equal(out[k].len_bytes, p->len_bytes);
			assert_memory_equal(out[k].data, p->data, p->len_bytes);
			assert_true(newest[port] < (int)i);
			newest[port] = (int)i;
			total++;
			if (k + 1 == room.n)
				assert_int_equal(i, run->last);
		}
	}
	assert_int_equal(total, f->n);
}

static const struct {
	uint8_t version, proto;
} kinds[] = {{4, 6}, {6, 6}, {4, 17}, {6, 17}};

#define FOR_EACH_KIND(spec)                                                                        \
	for (size_t kind_ = 0; kind_ < 4; kind_++)                                                 \
		for (struct inner_spec spec =                                                      \
				inner_spec_default(kinds[kind_].version, kinds[kind_].proto);      \
			spec.version; spec.version = 0)

static void test_packets_in_sequence_become_one_and_cut_again_the_same(void **state)
{
	struct fixture *f = *state;

	FOR_EACH_KIND(spec)
	{
		for (unsigned n = 2; n <= 40; n++) {
			struct inner_spec next = spec;

			forget(f);
			for (unsigned k = 0; k < n; k++) {
				next.payload_bytes = k + 1 == n ? 700 : 1380;
				add(f, &next);
				advance(&next);
			}
			assert_int_equal(runs(f), 1);
			assert_cutting_gives_back(f);
		}
	}
}

static void test_virtio_header_says_what_the_run_is(void **state)
{
	struct fixture *f = *state;
	static const uint8_t types[] = {
		VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_UDP_L4, VNET_GSO_UDP_L4};

	FOR_EACH_KIND(spec)
	{
		bool tcp = spec.proto == 6;
		uint32_t l4 = spec.version == 4 ? 20 : 40;
		struct vnet_hdr h;
		uint32_t len;

		forget(f);
		spec.n_options = tcp ? 12 : 0;
		add(f, &spec);
		advance(&spec);
		add(f, &spec);
		assert_int_equal(runs(f), 1);
		len = merge(f, &f->c.runs[0], &h);
		assert_int_equal(h.flags, VNET_F_NEEDS_CSUM);
		assert_int_equal(h.gso_type, types[kind_]);
		assert_int_equal(h.gso_size, 1000);
		assert_int_equal(h.hdr_len, l4 + (tcp ? 32 : 8));
		assert_int_equal(h.csum_start, l4);
		assert_int_equal(h.csum_offset, tcp ? 16 : 6);
		/* What the kernel does: it finishes the sum that is in the field. */
		uint16_t partial = inner_pseudo_sum(f->merged, len);
		assert_int_equal(f->merged[l4 + h.csum_offset], partial >> 8);
		assert_int_equal(f->merged[l4 + h.csum_offset + 1], partial & 0xff);
		inner_checksums_set(f->merged, len);
		assert_true(inner_is_right(f->merged, len));
	}
}

/* Changes the second of three packets, at an offset from the transport header or from the start. */
struct change {
	const char *what;
	uint8_t version, proto; /* 0: any */
	bool l4;
	uint8_t at, flip;
	bool fix_checksums;
};

static const struct change changes[] = {
	{"TOS or traffic class", 0, 0, false, 1, 0x10, true},
	{"ECN in TOS", 4, 0, false, 1, 3, true},
	{"flow label", 6, 0, false, 3, 1, true},
	{"TTL", 4, 0, false, 8, 1, true},
	{"hop limit", 6, 0, false, 7, 1, true},
	{"DF", 4, 0, false, 6, 0x40, true},
	{"reserved IPv4 flag", 4, 0, false, 6, 0x80, true},
	{"more fragments", 4, 0, false, 6, 0x20, true},
	{"fragment offset", 4, 0, false, 7, 1, true},
	{"source address", 4, 0, false, 15, 1, true},
	{"destination address", 4, 0, false, 19, 1, true},
	{"source address", 6, 0, false, 23, 1, true},
	{"destination address", 6, 0, false, 39, 1, true},
	{"source port", 0, 0, true, 1, 1, true},
	{"destination port", 0, 0, true, 3, 1, true},
	{"sequence", 0, 6, true, 7, 1, true},
	{"acknowledgement", 0, 6, true, 11, 1, true},
	{"data offset", 0, 6, true, 12, 0x10, true},
	{"reserved TCP bit", 0, 6, true, 12, 1, true},
	{"FIN", 0, 6, true, 13, 1, true},
	{"SYN", 0, 6, true, 13, 2, true},
	{"RST", 0, 6, true, 13, 4, true},
	{"no ACK", 0, 6, true, 13, 0x10, true},
	{"URG", 0, 6, true, 13, 0x20, true},
	{"ECE", 0, 6, true, 13, 0x40, true},
	{"CWR", 0, 6, true, 13, 0x80, true},
	{"window", 0, 6, true, 15, 1, true},
	{"urgent pointer", 0, 6, true, 19, 1, true},
	{"option", 0, 6, true, 25, 1, true},
	{"payload that fails the checksum", 0, 0, true, 60, 1, false},
	{"transport checksum", 0, 6, true, 16, 1, false},
	{"transport checksum", 0, 17, true, 6, 1, false},
	{"IPv4 checksum", 4, 0, false, 10, 1, false},
};

static void test_packet_that_differs_joins_nothing_and_nothing_passes_it(void **state)
{
	struct fixture *f = *state;
	unsigned n_checked = 0;

	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		const struct change *c = &changes[i];

		FOR_EACH_KIND(spec)
		{
			uint8_t *second;

			if ((c->version && c->version != spec.version) ||
				(c->proto && c->proto != spec.proto))
				continue;
			forget(f);
			spec.n_options = spec.proto == 6 ? 12 : 0;
			add(f, &spec);
			advance(&spec);
			second = add(f, &spec);
			advance(&spec);
			add(f, &spec);
			assert_int_equal(runs(f), 1);
			second[(c->l4 ? inner_l4_offset(second) : 0) + c->at] ^= c->flip;
			if (c->fix_checksums)
				inner_checksums_set(second, f->packets[1].len_bytes);
			if (runs(f) < 2)
				fail_msg("%s joined", c->what);
			/* The changed packet is not in one run with the first, and the third not
			 * with either (but another flow may lie between). */
			for (size_t r = 0; r < f->c.n_runs; r++)
				if (f->c.runs[r].first <= 1 && f->c.runs[r].n > 1 &&
					f->c.next[f->c.runs[r].first] == 1)
					fail_msg("%s joined", c->what);
			for (size_t r = 0, last = 0; r < f->c.n_runs; r++) {
				bool other_flow =
					strstr(c->what, "port") || strstr(c->what, "address");

				if (!other_flow && f->c.runs[r].first < last)
					fail_msg("%s was passed", c->what);
				last = f->c.runs[r].last;
			}
			n_checked++;
		}
	}
	assert_true(n_checked > 60);
}

static void test_first_packet_that_is_corrupted_is_not_made_good(void **state)
{
	struct fixture *f = *state;

	FOR_EACH_KIND(spec)
	{
		uint8_t *first, before[64];

		forget(f);
		first = add(f, &spec);
		advance(&spec);
		add(f, &spec);
		advance(&spec);
		add(f, &spec);
		first[f->packets[0].len_bytes - 1] ^= 1;
		memcpy(before, first, sizeof before);
		assert_int_equal(runs(f), 2);
		assert_int_equal(f->c.runs[0].n, 1);
		assert_int_equal(f->c.runs[1].n, 2);
		assert_memory_equal(first, before, sizeof before);
		assert_false(inner_is_right(first, f->packets[0].len_bytes));
	}
}

static void test_ipv4_identification_must_count_up_unless_df(void **state)
{
	struct fixture *f = *state;
	struct inner_spec spec = inner_spec_default(4, 6);

	spec.df = false;
	for (unsigned step = 0; step < 3; step++) {
		struct inner_spec next = spec;

		forget(f);
		add(f, &next);
		advance(&next);
		next.id = (uint16_t)(spec.id + step);
		add(f, &next);
		assert_int_equal(runs(f), step == 1 ? 1 : 2);
	}
	spec.df = true;
	forget(f);
	add(f, &spec);
	advance(&spec);
	spec.id = 0;
	add(f, &spec);
	assert_int_equal(runs(f), 1);
}

static void test_push_ends_a_run_and_stays(void **state)
{
	struct fixture *f = *state;
	struct inner_spec spec = inner_spec_default(6, 6);

	for (unsigned k = 0; k < 6; k++) {
		spec.flags = k == 2 ? 0x18 : 0x10;
		add(f, &spec);
		advance(&spec);
	}
	assert_int_equal(runs(f), 2);
	assert_int_equal(f->c.runs[0].n, 3);
	assert_int_equal(f->c.runs[1].n, 3);
	assert_cutting_gives_back(f);
	/* A push at once is a run of one. */
	forget(f);
	spec.flags = 0x18;
	add(f, &spec);
	advance(&spec);
	add(f, &spec);
	assert_int_equal(runs(f), 2);
}

static void test_short_packet_ends_a_run_and_a_longer_one_begins_one(void **state)
{
	struct fixture *f = *state;

	FOR_EACH_KIND(spec)
	{
		static const uint16_t sizes[] = {1000, 1000, 500, 500, 500, 600, 600, 1000};

		forget(f);
		for (size_t k = 0; k < 8; k++) {
			spec.payload_bytes = sizes[k];
			add(f, &spec);
			advance(&spec);
		}
		assert_int_equal(runs(f), 4);
		assert_int_equal(f->c.runs[0].n, 3);
		assert_int_equal(f->c.runs[1].n, 2);
		assert_int_equal(f->c.runs[2].n, 2);
		assert_int_equal(f->c.runs[3].n, 1);
		assert_cutting_gives_back(f);
	}
}

static void test_empty_segment_keeps_its_place(void **state)
{
	struct fixture *f = *state;

	FOR_EACH_KIND(spec)
	{
		forget(f);
		for (unsigned k = 0; k < 5; k++) {
			spec.payload_bytes = k == 2 ? 0 : 800;
			add(f, &spec);
			advance(&spec);
		}
		assert_int_equal(runs(f), 3);
		assert_int_equal(f->c.runs[0].n, 2);
		assert_int_equal(f->c.runs[1].n, 1);
		assert_int_equal(f->c.runs[2].n, 2);
		assert_cutting_gives_back(f);
	}
}

static void test_udp_without_checksum_stays_alone(void **state)
{
	struct fixture *f = *state;
	struct inner_spec spec = inner_spec_default(4, 17);

	for (unsigned k = 0; k < 3; k++) {
		uint8_t *d = add(f, &spec);

		d[26] = d[27] = 0;
		advance(&spec);
	}
	assert_int_equal(runs(f), 3);
}

static void test_runs_stay_within_64_kib_and_udp_within_64_packets(void **state)
{
	struct fixture *f = *state;

	FOR_EACH_KIND(spec)
	{
		forget(f);
		for (unsigned k = 0; k < 200; k++) {
			spec.payload_bytes = k < 130 ? 60 : 1400;
			add(f, &spec);
			advance(&spec);
		}
		assert_true(runs(f) >= 3);
		for (size_t r = 0; r < f->c.n_runs; r++)
			assert_true(spec.proto == 6 || f->c.runs[r].n <= 64);
		assert_cutting_gives_back(f);
	}
}

static void test_fragment_is_not_passed_by_any_flow(void **state)
{
	struct fixture *f = *state;
	struct inner_spec spec = inner_spec_default(4, 17), other = spec;
	uint8_t *fragment;

	other.src_port++;
	add(f, &spec);
	advance(&spec);
	add(f, &other);
	fragment = add(f, &spec);
	fragment[6] = 0x20;
	advance(&spec);
	add(f, &spec);
	advance(&other);
	add(f, &other);
	assert_int_equal(runs(f), 5);
	for (size_t r = 0; r < 5; r++)
		assert_int_equal(f->c.runs[r].first, r);
}

static void test_ping_does_not_part_flows(void **state)
{
	struct fixture *f = *state;
	struct inner_spec spec = inner_spec_default(4, 6);
	uint8_t *ping;

	add(f, &spec);
	advance(&spec);
	ping = add(f, &spec);
	ping[9] = 1;
	add(f, &spec);
	assert_int_equal(runs(f), 2);
	assert_int_equal(f->c.runs[0].n, 2);
}

static void test_offload_that_is_off_leaves_packets_alone(void **state)
{
	struct fixture *f = *state;
	struct inner_spec tcp = inner_spec_default(4, 6), udp = inner_spec_default(6, 17);

	for (unsigned k = 0; k < 4; k++) {
		add(f, &tcp);
		advance(&tcp);
		add(f, &udp);
		advance(&udp);
	}
	coalesce(&f->c, f->packets, f->n, true, false);
	assert_int_equal(f->c.n_runs, 5);
	coalesce(&f->c, f->packets, f->n, false, true);
	assert_int_equal(f->c.n_runs, 5);
	coalesce(&f->c, f->packets, f->n, false, false);
	assert_int_equal(f->c.n_runs, 8);
	coalesce(&f->c, f->packets, f->n, true, true);
	assert_int_equal(f->c.n_runs, 2);
}

static void test_random_flows_cut_again_the_same_and_in_order(void **state)
{
	struct fixture *f = *state;
	uint32_t seed = 3;
	size_t n_joined = 0;

	for (unsigned round = 0; round < 300; round++) {
		struct inner_spec flows[12];
		unsigned n_flows = 1 + round % 12;

		forget(f);
		for (unsigned k = 0; k < n_flows; k++) {
			flows[k] = inner_spec_default(kinds[k & 3].version, kinds[k & 3].proto);
			flows[k].src_port = (uint16_t)(1000 + k);
			flows[k].df = false;
		}
		for (unsigned k = 0; k < 400; k++) {
			seed = seed * 1664525 + 1013904223;
			struct inner_spec *flow = &flows[(seed >> 16) % n_flows];
			unsigned dice = seed >> 24;

			flow->payload_bytes = dice < 200 ? 300 : dice & 0xff;
			flow->flags = dice == 7 ? 0x18 : dice == 8 ? 0x11 : 0x10;
			if (dice == 9)
				flow->seq += 1000;
			if (dice == 10)
				flow->ack++;
			add(f, flow);
			advance(flow);
		}
		n_joined += f->n - runs(f);
		assert_cutting_gives_back(f);
	}
	assert_true(n_joined > 50000);
}

static void test_rubbish_is_left_as_it_came(void **state)
{
	struct fixture *f = *state;
	uint8_t *copy = malloc(ARENA_BYTES);
	uint32_t seed = 5;

	assert_non_null(copy);
	for (unsigned round = 0; round < 300; round++) {
		forget(f);
		for (unsigned k = 0; k < 300; k++) {
			/* Each in an allocation of its own would be slow; the lengths are what
			 * matters. */
			seed = seed * 1664525 + 1013904223;
			uint8_t *data = f->arena + f->used;
			uint32_t len = seed >> 16 & 63;

			for (uint32_t i = 0; i < len; i++) {
				seed = seed * 1664525 + 1013904223;
				data[i] = (uint8_t)(seed >> 24);
			}
			if (len && seed & 1 << 20)
				data[0] = seed & 1 << 21 ? 0x45 : 0x60;
			f->packets[f->n++] = (struct wgh_packet){.data = data, .len_bytes = len};
			f->used += len;
		}
		memcpy(copy, f->arena, f->used);
		assert_int_equal(runs(f), 300);
		assert_memory_equal(copy, f->arena, f->used);
	}
	free(copy);
}

#define WITH_ROOM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOM(test_packets_in_sequence_become_one_and_cut_again_the_same),
		WITH_ROOM(test_virtio_header_says_what_the_run_is),
		WITH_ROOM(test_packet_that_differs_joins_nothing_and_nothing_passes_it),
		WITH_ROOM(test_first_packet_that_is_corrupted_is_not_made_good),
		WITH_ROOM(test_ipv4_identification_must_count_up_unless_df),
		WITH_ROOM(test_push_ends_a_run_and_stays),
		WITH_ROOM(test_short_packet_ends_a_run_and_a_longer_one_begins_one),
		WITH_ROOM(test_empty_segment_keeps_its_place),
		WITH_ROOM(test_udp_without_checksum_stays_alone),
		WITH_ROOM(test_runs_stay_within_64_kib_and_udp_within_64_packets),
		WITH_ROOM(test_fragment_is_not_passed_by_any_flow),
		WITH_ROOM(test_ping_does_not_part_flows),
		WITH_ROOM(test_offload_that_is_off_leaves_packets_alone),
		WITH_ROOM(test_random_flows_cut_again_the_same_and_in_order),
		WITH_ROOM(test_rubbish_is_left_as_it_came),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
