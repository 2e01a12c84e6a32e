/* test_resolve.c - control/resolve.c with the names every machine knows: localhost, and one that
 * never exists (RFC 6761). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "control/log.h"
#include "control/resolve.h"

struct found {
	unsigned n;
	uint8_t peer;
	struct wgh_endpoint endpoint;
};

static void on_resolved(
	void *arg, const struct wgh_public_key *peer, const struct wgh_endpoint *endpoint)
{
	struct found *found = arg;

	found->n++;
	found->peer = peer->bytes[0];
	found->endpoint = *endpoint;
}

/* Runs until n names are found, at most a minute. */
static void run_until(uv_loop_t *loop, const struct found *found, unsigned n)
{
	for (int i = 0; i < 60000 && found->n < n; i++) {
		uv_run(loop, UV_RUN_NOWAIT);
		uv_sleep(1);
	}
	assert_int_equal(found->n, n);
}

static void end(uv_loop_t *loop, struct resolver *r)
{
	resolver_free(r);
	while (uv_run(loop, UV_RUN_DEFAULT))
		;
	assert_int_equal(uv_loop_close(loop), 0);
}

static void test_name_becomes_the_peers_endpoint(void **state)
{
	struct conf_peer peer = {
		.public_key = {{7}}, .endpoint_host = (char *)"localhost", .endpoint_port = 51820};
	struct conf conf = {.peers = &peer, .n_peers = 1};
	struct found found = {0};
	struct resolver *r;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	r = resolver_new(&loop, on_resolved, &found);
	assert_int_equal(resolver_want(r, &conf), 0);
	run_until(&loop, &found, 1);
	assert_int_equal(found.peer, 7);
	assert_int_equal(found.endpoint.port, 51820);
	if (found.endpoint.family == WGH_IPV4)
		assert_int_equal(found.endpoint.addr[0], 127);
	else
		assert_int_equal(found.endpoint.addr[15], 1);
	/* Found is found: the same file does not ask again, another port does. */
	assert_int_equal(resolver_want(r, &conf), 0);
	for (int i = 0; i < 50; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		uv_sleep(1);
	}
	assert_int_equal(found.n, 1);
	peer.endpoint_port = 5;
	assert_int_equal(resolver_want(r, &conf), 0);
	run_until(&loop, &found, 2);
	assert_int_equal(found.endpoint.port, 5);
	end(&loop, r);
}

static void test_name_that_does_not_exist_is_tried_again_and_blocks_nobody(void **state)
{
	struct conf_peer peers[4] = {{.public_key = {{1}},
					     .endpoint_host = (char *)"nosuch1.invalid",
					     .endpoint_port = 1},
		{.public_key = {{2}}, .endpoint_host = (char *)"localhost", .endpoint_port = 2},
		{.public_key = {{3}}, .endpoint.family = WGH_IPV4},
		{.public_key = {{4}}, .endpoint_host = (char *)"localhost", .endpoint_port = 4}};
	struct conf conf = {.peers = peers, .n_peers = 4};
	struct found found = {0};
	struct resolver *r;
	uv_loop_t loop;

	(void)state;
	log_set_level(LEVEL_SILENT);
	uv_loop_init(&loop);
	r = resolver_new(&loop, on_resolved, &found);
	assert_int_equal(resolver_want(r, &conf), 0);
	run_until(&loop, &found, 2);
	/* The loop is still waiting to ask again, whatever else has ended. */
	assert_int_not_equal(uv_run(&loop, UV_RUN_NOWAIT), 0);
	end(&loop, r);
}

static void test_names_no_longer_wanted_are_forgotten_while_asked_for(void **state)
{
	struct conf_peer peers[20];
	struct conf conf = {.peers = peers, .n_peers = 20}, none = {0};
	struct found found = {0};
	struct resolver *r;
	uv_loop_t loop;

	(void)state;
	memset(peers, 0, sizeof peers);
	for (unsigned i = 0; i < 20; i++) {
		peers[i].public_key.bytes[0] = (uint8_t)i;
		peers[i].endpoint_host = (char *)"localhost";
		peers[i].endpoint_port = 1;
	}
	uv_loop_init(&loop);
	r = resolver_new(&loop, on_resolved, &found);
	assert_int_equal(resolver_want(r, &conf), 0);
	assert_int_equal(resolver_want(r, &none), 0);
	for (int i = 0; i < 100; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		uv_sleep(1);
	}
	assert_int_equal(found.n, 0);
	assert_int_equal(resolver_want(r, &conf), 0);
	end(&loop, r); /* with questions under way */
	assert_int_equal(found.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_becomes_the_peers_endpoint),
		cmocka_unit_test(test_name_that_does_not_exist_is_tried_again_and_blocks_nobody),
		cmocka_unit_test(test_names_no_longer_wanted_are_forgotten_while_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
