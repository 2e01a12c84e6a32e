/* Fragments: the later ones follow the first, overlaps end the datagram, and what is kept is
 * bounded for each sender and in all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/fragment.h"
#include "core/limits.h"
#include "tests/lib/naive.h"
#include "tests/lib/transport.h"

#define START_NS (1000 * NS_PER_S)
#define PER_SENDER 8

static const uint64_t SEED[2] = {1, 2};
static const struct flow_party SENDER = {1, 1};

static struct fragment_table *table;
static uint64_t now_ns;

static int begin(void **state)
{
	(void)state;
	table = fragment_table_new(SEED, NULL);
	assert_non_null(table);
	now_ns = START_NS;
	return 0;
}

static int end(void **state)
{
	(void)state;
	fragment_table_free(table);
	return 0;
}

/* One fragment of a datagram, as the table sees it: only headers matter. */
struct piece {
	uint8_t data[TRANSPORT_BYTES_MAX];
	uint32_t len_bytes;
	struct ip_info info;
};

/* Bytes from..to of the payload of UDP datagram id. to - from may be up to 1400. */
static struct piece piece(uint8_t family, uint32_t id, uint32_t from, uint32_t to, bool more)
{
	struct transport t = {.kind = TRANSPORT_UDP,
		.src = transport_addr(family == WGH_IPV4 ? "10.0.0.1" : "fd00::1"),
		.dst = transport_addr(family == WGH_IPV4 ? "10.0.0.2" : "fd00::2")};
	struct piece p;

	t.payload_bytes = to - from - 8 + (family == WGH_IPV4 ? 0 : 8);
	p.len_bytes = transport_build(p.data, &t);
	if (family == WGH_IPV4) {
		put16(p.data + 4, id);
		put16(p.data + 6, (more ? 0x2000u : 0) | from / 8);
		put16(p.data + 10, 0);
		uint16_t sum = ip_checksum_finish(ip_checksum_add(0, p.data, 20));
		memcpy(p.data + 10, &sum, 2);
	} else {
		p.data[6] = 44;
		memset(p.data + 40, 0, 8);
		p.data[40] = IP_PROTO_UDP;
		put16(p.data + 42, from | more);
		put16(p.data + 44, id >> 16);
		put16(p.data + 46, id);
	}
	assert_int_equal(ip_parse(&p.info, p.data, p.len_bytes), DROP_NONE);
	return p;
}

static enum drop first_of(struct flow_party sender, const struct piece *p, struct fragment_way *way)
{
	struct fragment_way none = {.to = {7, 7}};

	return fragment_first(table, p->data, &p->info, sender, way ? way : &none, now_ns);
}

static enum drop later_of(struct flow_party sender, const struct piece *p, struct fragment_way *way)
{
	struct fragment_way unused;

	return fragment_later(table, p->data, &p->info, sender, way ? way : &unused, now_ns);
}

static enum drop hand_in(uint8_t family, uint32_t id, uint32_t from, uint32_t to, bool more)
{
	const struct piece p = piece(family, id, from, to, more);

	return from ? later_of(SENDER, &p, NULL) : first_of(SENDER, &p, NULL);
}
#define IN4(id, from, to, more) hand_in(WGH_IPV4, id, from, to, more)

static void test_fragment_later_ones_go_where_the_first_went(void **state)
{
	(void)state;
	for (uint8_t family = WGH_IPV4; family <= WGH_IPV6; family += 2) {
		const struct piece a = piece(family, 5, 0, 800, true),
				   b = piece(family, 5, 800, 1600, true),
				   c = piece(family, 5, 1600, 1700, false);
		struct fragment_way way = {.to = {3, 4}, .translated = true}, got = {0};

		way.edit.src_port = 61001;
		assert_int_equal(first_of(SENDER, &a, &way), DROP_NONE);
		assert_int_equal(later_of(SENDER, &b, &got), DROP_NONE);
		assert_memory_equal(&got, &way, sizeof way);
		assert_int_equal(later_of(SENDER, &c, &got), DROP_NONE);
		assert_memory_equal(&got, &way, sizeof way);
		/* It is whole: its identification may be used again. */
		assert_int_equal(later_of(SENDER, &c, &got), DROP_FRAGMENT);
		assert_int_equal(first_of(SENDER, &a, &way), DROP_NONE);
	}
}

static void test_fragment_before_its_first_is_dropped(void **state)
{
	(void)state;
	assert_int_equal(IN4(5, 800, 1600, true), DROP_FRAGMENT);
	assert_int_equal(IN4(5, 0, 800, true), DROP_NONE);
	assert_int_equal(IN4(5, 800, 1600, true), DROP_NONE);
}

/* Everything in the key counts. */
static void test_fragment_of_another_datagram_does_not_follow(void **state)
{
	const struct piece first = piece(WGH_IPV4, 5, 0, 800, true);

	(void)state;
	assert_int_equal(first_of(SENDER, &first, NULL), DROP_NONE);
	for (int what = 0; what < 6; what++) {
		struct piece p = piece(WGH_IPV4, 5, 800, 1600, true);
		struct flow_party sender = SENDER;

		switch (what) {
		case 0:
			p.data[5] ^= 1; /* identification */
			break;
		case 1:
			p.info.src.bytes[3] ^= 1;
			break;
		case 2:
			p.info.dst.bytes[3] ^= 1;
			break;
		case 3:
			p.info.proto = IP_PROTO_TCP;
			break;
		case 4:
			sender.serial++;
			break;
		default:
			assert_int_equal(later_of(sender, &p, NULL), DROP_NONE);
			return;
		}
		assert_int_equal(later_of(sender, &p, NULL), DROP_FRAGMENT);
	}
}

static void test_fragment_takes_any_order_after_the_first(void **state)
{
	struct rng rng = {1};

	(void)state;
	for (uint32_t round = 0; round < 2000; round++) {
		unsigned order[8];

		assert_int_equal(IN4(round, 0, 80, true), DROP_NONE);
		for (unsigned i = 0; i < 8; i++) {
			unsigned k = (unsigned)rng_below(&rng, i + 1);
			order[i] = order[k];
			order[k] = i + 1;
		}
		for (unsigned i = 0; i < 8; i++)
			assert_int_equal(
				IN4(round, order[i] * 80, order[i] * 80 + 80, order[i] < 8),
				DROP_NONE);
		assert_int_equal(IN4(round, 80, 160, true), DROP_FRAGMENT); /* whole, and gone */
	}
}

/* Against a map of bytes: whatever overlaps is refused, and nothing passes after it. */
static void test_fragment_overlap_is_refused_and_ends_the_datagram(void **state)
{
	struct rng rng = {2};
	unsigned n_passed = 0, n_refused = 0;

	(void)state;
	for (uint32_t round = 0; round < 20000; round++) {
		bool map[64] = {false}, dead = false;
		uint32_t first = 1 + (uint32_t)rng_below(&rng, 8), last = 0;

		memset(map, true, first);
		assert_int_equal(IN4(round, 0, first * 8, true), DROP_NONE);
		for (unsigned i = 0; i < 6; i++) {
			uint32_t from = 1 + (uint32_t)rng_below(&rng, 40);
			uint32_t to = from + 1 + (uint32_t)rng_below(&rng, 8);
			bool more = rng_below(&rng, 4), whole = true;
			enum drop got = IN4(round, from * 8, to * 8, more);

			if (got == DROP_FRAGMENT)
				fail_msg("datagram %u was forgotten", round);
			for (uint32_t k = from; k < to; k++)
				dead |= map[k];
			dead |= last && (!more || to > last);
			for (uint32_t k = to; !more && k < 64; k++)
				dead |= map[k];
			assert_int_equal(got, dead ? DROP_FRAGMENT_OVERLAP : DROP_NONE);
			if (dead) {
				n_refused++;
				continue;
			}
			n_passed++;
			memset(map + from, true, to - from);
			if (!more)
				last = to;
			for (uint32_t k = 0; k < last; k++)
				whole &= map[k];
			if (last && whole)
				break;
		}
	}
	assert_true(n_passed > 10000 && n_refused > 10000);
}

static void test_fragment_second_first_one_ends_the_datagram(void **state)
{
	(void)state;
	assert_int_equal(IN4(5, 0, 800, true), DROP_NONE);
	assert_int_equal(IN4(5, 0, 800, true), DROP_FRAGMENT_OVERLAP);
	assert_int_equal(IN4(5, 800, 1600, true), DROP_FRAGMENT_OVERLAP);
}

static void test_fragment_with_many_gaps_ends_the_datagram(void **state)
{
	(void)state;
	assert_int_equal(IN4(5, 0, 80, true), DROP_NONE);
	for (uint32_t i = 1; i <= 7; i++)
		assert_int_equal(IN4(5, i * 160, i * 160 + 80, true), DROP_NONE);
	assert_int_equal(IN4(5, 8 * 160, 8 * 160 + 80, true), DROP_FRAGMENT_OVERLAP);
	assert_int_equal(IN4(5, 80, 160, true), DROP_FRAGMENT_OVERLAP);
}

static void test_fragment_lengths_that_no_fragment_has_are_refused(void **state)
{
	(void)state;
	for (uint8_t family = WGH_IPV4; family <= WGH_IPV6; family += 2) {
		assert_int_equal(hand_in(family, 5, 0, 801, true), DROP_INNER_HEADER);
		assert_int_equal(hand_in(family, 5, 0, 800, true), DROP_NONE);
		assert_int_equal(hand_in(family, 5, 800, 1601, true), DROP_INNER_HEADER);
		assert_int_equal(hand_in(family, 5, 65528, 65536, false), DROP_INNER_HEADER);
		assert_int_equal(hand_in(family, 5, 65520, 65535, false), DROP_NONE);
	}
}

static void test_fragment_datagram_ends_after_30_seconds(void **state)
{
	(void)state;
	assert_int_equal(IN4(5, 0, 800, true), DROP_NONE);
	now_ns += 30 * NS_PER_S - 1;
	assert_int_equal(IN4(5, 800, 1600, true), DROP_NONE);
	now_ns++;
	assert_int_equal(IN4(5, 1600, 2400, true), DROP_FRAGMENT);
	assert_int_equal(IN4(5, 0, 800, true), DROP_NONE);
}

static void test_fragment_sender_with_too_many_datagrams_loses_his_oldest(void **state)
{
	(void)state;
	for (uint32_t id = 0; id < PER_SENDER + 3; id++, now_ns++)
		assert_int_equal(IN4(id, 0, 800, true), DROP_NONE);
	for (uint32_t id = 0; id < PER_SENDER + 3; id++)
		assert_int_equal(IN4(id, 800, 1600, true), id < 3 ? DROP_FRAGMENT : DROP_NONE);
}

/* A thousand senders: some of them meet in every row. Who has one datagram under way keeps it, also
 * beside those who have as many as they may. */
static void test_fragment_greedy_senders_take_nothing_from_modest_ones(void **state)
{
	const struct piece first = piece(WGH_IPV4, 5, 0, 800, true),
			   later = piece(WGH_IPV4, 5, 800, 1600, true);
	unsigned n_lost = 0;

	(void)state;
	for (uint32_t n = 0; n < 1000; n++, now_ns++)
		assert_int_equal(first_of((struct flow_party){n, 1}, &first, NULL), DROP_NONE);
	for (uint32_t n = 5000; n < 5500; n++)
		for (uint32_t id = 0; id < 100; id++, now_ns++) {
			const struct piece p = piece(WGH_IPV4, id, 0, 800, true);
			assert_int_equal(first_of((struct flow_party){n, 1}, &p, NULL), DROP_NONE);
		}
	for (uint32_t n = 0; n < 1000; n++)
		n_lost += later_of((struct flow_party){n, 1}, &later, NULL) != DROP_NONE;
	/* Only where 16 or more of them are in one row by themselves. */
	assert_true(n_lost < 5);
}

static void test_fragments_of_several_sources_get_identifications_of_their_own(void **state)
{
	static bool seen[65536];
	struct fragment_way way = {.renumbered = true, .translated = true}, got;

	(void)state;
	memcpy(way.edit.dst, (uint8_t[]){10, 0, 0, 9}, 4);
	for (uint32_t n = 0; n < 65536; n++) {
		const struct flow_party sender = {n % 100, 1};
		struct piece a = piece(WGH_IPV4, 5, 0, 24, true),
			     b = piece(WGH_IPV4, 5, 24, 40, false);

		assert_int_equal(first_of(sender, &a, &way), DROP_NONE);
		fragment_renumber(a.data, &a.info, &way);
		assert_true(ip_header_checksum_ok(a.data));
		assert_int_equal(later_of(sender, &b, &got), DROP_NONE);
		fragment_renumber(b.data, &b.info, &got);
		assert_true(ip_header_checksum_ok(b.data));
		assert_memory_equal(a.data + 4, b.data + 4, 2);
		assert_false(seen[a.data[4] << 8 | a.data[5]]);
		seen[a.data[4] << 8 | a.data[5]] = true;
	}
}

static void test_fragment_renumbers_ipv6_behind_other_headers(void **state)
{
	struct fragment_way way = {.renumbered = true, .id = 0x89abcdef};
	struct piece p = piece(WGH_IPV6, 5, 0, 800, true);

	(void)state;
	fragment_renumber(p.data, &p.info, &way);
	assert_memory_equal(p.data + 44, ((uint8_t[]){0x89, 0xab, 0xcd, 0xef}), 4);

	/* A destination header before it. */
	memmove(p.data + 48, p.data + 40, p.len_bytes - 40);
	memcpy(p.data + 40, (uint8_t[]){44, 0, 1, 4, 0, 0, 0, 0}, 8);
	p.data[6] = 60;
	p.len_bytes += 8;
	put16(p.data + 4, p.len_bytes - 40);
	assert_int_equal(ip_parse(&p.info, p.data, p.len_bytes), DROP_NONE);
	assert_true(p.info.fragment);
	way.id = 0x01020304;
	fragment_renumber(p.data, &p.info, &way);
	assert_memory_equal(p.data + 52, ((uint8_t[]){1, 2, 3, 4}), 4);
	/* And nothing where nothing is asked. */
	way.renumbered = false;
	way.id = 0;
	fragment_renumber(p.data, &p.info, &way);
	assert_memory_equal(p.data + 52, ((uint8_t[]){1, 2, 3, 4}), 4);
}

static void test_fragment_memory_is_what_the_header_says(void **state)
{
	struct mem_budget budget = {.limit_bytes = 900 << 10};
	struct fragment_table *own = fragment_table_new(SEED, &budget);

	(void)state;
	assert_non_null(own);
	assert_true(budget.used_bytes > 700 << 10);
	fragment_table_free(own);
	assert_int_equal(budget.used_bytes, 0);
	budget.limit_bytes = 100 << 10;
	assert_null(fragment_table_new(SEED, &budget));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fragment_later_ones_go_where_the_first_went),
		TEST(test_fragment_before_its_first_is_dropped),
		TEST(test_fragment_of_another_datagram_does_not_follow),
		TEST(test_fragment_takes_any_order_after_the_first),
		TEST(test_fragment_overlap_is_refused_and_ends_the_datagram),
		TEST(test_fragment_second_first_one_ends_the_datagram),
		TEST(test_fragment_with_many_gaps_ends_the_datagram),
		TEST(test_fragment_lengths_that_no_fragment_has_are_refused),
		TEST(test_fragment_datagram_ends_after_30_seconds),
		TEST(test_fragment_sender_with_too_many_datagrams_loses_his_oldest),
		TEST(test_fragment_greedy_senders_take_nothing_from_modest_ones),
		TEST(test_fragments_of_several_sources_get_identifications_of_their_own),
		TEST(test_fragment_renumbers_ipv6_behind_other_headers),
		TEST(test_fragment_memory_is_what_the_header_says),
	};

	return cmocka_run_group_tests_name("fragment", tests, NULL, NULL);
}
