/* test_vanish_guard.c - control/wanted_sync.c: an answer that makes half of a fleet vanish is
 * believed when it has been said twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/fleet.h"

static bool accepts(struct vanish_guard *g, struct fleet *f, const struct dev *devs, size_t n,
	bool certain, double now_s)
{
	struct factory_peers peers = fleet_answer(devs, n);
	bool yes;

	peers.certain = certain;
	yes = vanish_guard_accepts(g, f->w, &peers, now_s, 60);
	factory_peers_fini(&peers);
	return yes;
}

static void test_half_a_fleet_is_gone_when_it_is_said_twice(void **state)
{
	static const struct dev four[] = {
		{"a", 1, 42, 2}, {"b", 2, 42, 3}, {"c", 3, 42, 4}, {"d", 4, 42, 5}};
	static const struct dev off[] = {{"a", 1, 42, 2}, {"b", 2, 42, 3, true},
		{"c", 3, 42, 4, true}, {"d", 4, 42, 5, true}};
	struct vanish_guard g = {0};
	struct fleet *f = *state;

	fleet_claim_devices(f->w, four, 4);
	fleet_apply(f);
	assert_true(accepts(&g, f, four, 4, true, 0));
	assert_true(accepts(&g, f, four, 2, true, 0)); /* half is not more than half */
	assert_false(accepts(&g, f, four, 1, true, 100));
	assert_false(accepts(&g, f, four, 1, true, 110)); /* "sync now", twice */
	assert_false(accepts(&g, f, four, 0, true, 150)); /* something else: begin again */
	assert_false(accepts(&g, f, four, 1, true, 160));
	assert_true(accepts(&g, f, four, 1, true, 220));
	assert_false(accepts(&g, f, off, 4, true, 300)); /* disabled is gone as well */
	assert_true(accepts(&g, f, four, 4, true, 330)); /* all is well again: disarmed */
	assert_false(accepts(&g, f, off, 4, true, 360));
	assert_true(accepts(&g, f, off, 4, true, 420));
}

static void test_small_fleet_is_believed_unless_the_answer_is_odd(void **state)
{
	static const struct dev three[] = {{"a", 1, 42, 2}, {"b", 2, 42, 3}, {"c", 3, 42, 4}};
	struct vanish_guard g = {0};
	struct fleet *f = *state;

	assert_true(accepts(&g, f, NULL, 0, true, 0)); /* nothing is known yet */
	assert_true(accepts(&g, f, NULL, 0, false, 0));
	fleet_claim_devices(f->w, three, 3);
	fleet_apply(f);
	assert_true(accepts(&g, f, NULL, 0, true, 0));
	assert_false(accepts(&g, f, NULL, 0, false, 0)); /* null */
	assert_true(accepts(&g, f, NULL, 0, false, 60));
	assert_true(accepts(&g, f, three, 3, false, 61));
	assert_false(accepts(&g, f, three, 2, false, 62));
}

#define FLEET_TEST(f) cmocka_unit_test_setup_teardown(f, fleet_setup, fleet_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLEET_TEST(test_half_a_fleet_is_gone_when_it_is_said_twice),
		FLEET_TEST(test_small_fleet_is_believed_unless_the_answer_is_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
