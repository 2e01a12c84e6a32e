/* The first look at a datagram: every length and type, and nothing waits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;
static struct remote a;

static int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_init(&f, &a, 1);
	remote_add(&f, &a);
	remote_connect(&f, &a);
	return 0;
}

static uint64_t queued(void)
{
	return relaxed_get(&f.worker->stats.n_handshakes);
}

/* Type as 32 bits, then zeros. What became of it: a drop reason, or DROP_NONE if it was queued. */
static enum drop classified(uint32_t type, uint32_t len_bytes)
{
	uint8_t datagram[4 + 65535] = {0};
	uint64_t before[DROP_N], n_queued = queued();
	enum drop verdict = DROP_NONE;

	for (unsigned r = 0; r < DROP_N; r++)
		before[r] = fixture_drops(&f, r);
	le32_put(datagram, type);
	fixture_udp_only(&f, &a.endpoint, datagram, len_bytes);
	for (unsigned r = 0; r < DROP_N; r++)
		if (fixture_drops(&f, r) != before[r])
			verdict = r;
	assert_int_equal(queued() - n_queued, verdict == DROP_NONE);
	return verdict;
}

static void test_classify_takes_each_handshake_type_at_its_one_length_only(void **state)
{
	static const uint32_t lengths[] = {0, 148, 92, 64};

	(void)state;
	for (uint32_t type = WIRE_INITIATION; type <= WIRE_COOKIE; type++)
		for (uint32_t len = 0; len < 200; len++)
			assert_int_equal(classified(type, len),
				len == lengths[type] ? DROP_NONE : DROP_SHORT);
}

static void test_classify_takes_data_from_32_bytes_on(void **state)
{
	(void)state;
	for (uint32_t len = 0; len < 100; len++)
		assert_int_equal(
			classified(WIRE_DATA, len), len < 32 ? DROP_SHORT : DROP_NO_SESSION);
	assert_int_equal(classified(WIRE_DATA, 65507), DROP_NO_SESSION);
}

static void test_classify_refuses_every_other_type_and_any_reserved_bit(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < 256; type++)
		if (type < WIRE_INITIATION || type > WIRE_DATA)
			assert_int_equal(classified(type, 148), DROP_TYPE);
	for (uint32_t type = WIRE_INITIATION; type <= WIRE_DATA; type++)
		for (unsigned bit = 8; bit < 32; bit++)
			assert_int_equal(classified(type | UINT32_C(1) << bit, 148), DROP_TYPE);
}

/* Each one in a heap block of its exact size: a sanitizer sees a byte too many. */
static void test_classify_survives_every_length_of_garbage(void **state)
{
	struct rng rng = {13};
	uint8_t garbage[2048];

	(void)state;
	for (uint32_t len = 0; len < sizeof garbage; len++) {
		rng_fill(&rng, garbage, len);
		if (len && rng_below(&rng, 2))
			memcpy(garbage, (uint8_t[]){1 + len % 4, 0, 0, 0}, len < 4 ? len : 4);
		fixture_udp(&f, &a.endpoint, garbage, len);
	}
	static const uint8_t largest[65507];
	fixture_udp(&f, &a.endpoint, largest, sizeof largest);
	assert_int_equal(f.n_sent, 0);
}

static void test_classify_keeps_the_good_ones_of_a_mixed_burst(void **state)
{
	struct inner p = inner4(1, 254, 10);
	uint8_t bad[8] = {9}, short_one[2] = {4}, good[2][128];
	struct wgh_packet packets[5] = {{.data = bad, .len_bytes = 0}, {.data = good[0]},
		{.data = bad, .len_bytes = 8}, {.data = short_one, .len_bytes = 2},
		{.data = good[1]}};

	(void)state;
	packets[1].len_bytes = remote_seal(&a, good[0], p.data, p.len_bytes);
	packets[4].len_bytes = remote_seal(&a, good[1], p.data, p.len_bytes);
	fixture_burst(&f, &a.endpoint, packets, 5);
	assert_int_equal(f.n_tun, 2);
	assert_int_equal(fixture_drops(&f, DROP_SHORT), 2);
	assert_int_equal(fixture_drops(&f, DROP_TYPE), 1);
}

/* A full queue of handshakes drops handshakes and nothing else. */
static void test_classify_carries_data_while_the_handshake_queue_is_full(void **state)
{
	struct inner p = inner4(1, 254, 10);
	uint8_t message[128];
	uint32_t len = remote_seal(&a, message, p.data, p.len_bytes);

	(void)state;
	for (int i = 0; i < HANDSHAKE_QUEUE_MESSAGES; i++)
		assert_int_equal(classified(WIRE_INITIATION, 148), DROP_NONE);
	assert_int_equal(classified(WIRE_INITIATION, 148), DROP_HANDSHAKE_QUEUE);
	assert_int_equal(classified(WIRE_COOKIE, 64), DROP_HANDSHAKE_QUEUE);
	fixture_udp_only(&f, &a.endpoint, message, len);
	assert_int_equal(f.n_tun, 1);
}

static void test_classify_queues_the_message_with_its_source(void **state)
{
	struct wgh_stats stats = {.size = sizeof stats};
	struct worker_handshake record;
	struct wire_initiation msg;

	(void)state;
	fixture_advance(&f, NS_PER_S);
	remote_initiation(&f, &a, &msg);
	fixture_udp_only(&f, &a.endpoint, &msg, sizeof msg);
	assert_true(f.worker->out.control);
	assert_int_equal(hub_stats(f.hub, &stats), 0);
	assert_int_equal(stats.n_handshakes_waiting, 1);
	assert_int_equal(stats.handshakes_waiting_max, HANDSHAKE_QUEUE_MESSAGES);
	assert_true(ring_pop(&f.worker->handshakes, &record, sizeof record) > 0);
	assert_int_equal(hub_stats(f.hub, &stats), 0);
	assert_int_equal(stats.n_handshakes_waiting, 0);
	assert_int_equal(record.len_bytes, sizeof msg);
	assert_memory_equal(record.message, &msg, sizeof msg);
	assert_int_equal(record.from.port, a.endpoint.port);
	assert_memory_equal(record.from.addr, a.endpoint.addr, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(test_classify_takes_each_handshake_type_at_its_one_length_only),
		TEST(test_classify_takes_data_from_32_bytes_on),
		TEST(test_classify_refuses_every_other_type_and_any_reserved_bit),
		TEST(test_classify_survives_every_length_of_garbage),
		TEST(test_classify_keeps_the_good_ones_of_a_mixed_burst),
		TEST(test_classify_carries_data_while_the_handshake_queue_is_full),
		TEST(test_classify_queues_the_message_with_its_source),
	};

	return cmocka_run_group_tests_name("classify", tests, NULL, NULL);
}
