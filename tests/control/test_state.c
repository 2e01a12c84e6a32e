/* test_state.c - control/state.c: what was saved comes back, and damage never stops a start. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/state.h"

static void fill(struct state *state)
{
	static const char *const endpoints[] = {"192.0.2.1:5", "[2001:db8::1]:6", NULL};
	struct state_peer *peer;

	*state = (struct state){.factory = strdup("acme"),
		.has_server = true,
		.last_sync_s = 1772439330.25,
		.server = {.host = "2001:db8::9",
			.port = 5555,
			.address = {.bytes = {10, 42, 42, 1}, .family = WGH_IPV4},
			.public_key.bytes = {7},
			.enabled = true}};
	for (unsigned i = 0; i < 3; i++) {
		peer = state_add(state);
		peer->public_key.bytes[0] = (uint8_t)(i + 1);
		peer->origin = i == 1 ? ORIGIN_CLIENTS : ORIGIN_FACTORY;
		peer->address = (struct wgh_addr){
			.bytes = {10, 42, 42, (uint8_t)(i + 2)}, .family = WGH_IPV4};
		peer->name = strdup(i == 2 ? "" : "b\xc3\xa4nk \"1\"");
		if (endpoints[i])
			assert_null(
				text_endpoint(&peer->endpoint, endpoints[i], strlen(endpoints[i])));
	}
	peer = state_add(state);
	*peer = (struct state_peer){.reserved = true,
		.address = {.bytes = {10, 42, 42, 99}, .family = WGH_IPV4},
		.name = strdup("")};
}

static void assert_same(const struct state *a, const struct state *b)
{
	assert_string_equal(a->factory, b->factory);
	assert_true(a->last_sync_s == b->last_sync_s);
	assert_int_equal(a->has_server, b->has_server);
	assert_true(server_file_equal(&a->server, &b->server));
	assert_int_equal(a->n_peers, b->n_peers);
	for (size_t i = 0; i < a->n_peers; i++) {
		const struct state_peer *x = &a->peers[i], *y = &b->peers[i];

		assert_memory_equal(&x->public_key, &y->public_key, sizeof x->public_key);
		assert_memory_equal(&x->address, &y->address, sizeof x->address);
		assert_memory_equal(&x->endpoint, &y->endpoint, sizeof x->endpoint);
		assert_string_equal(x->name, y->name);
		assert_int_equal(x->origin, y->origin);
		assert_int_equal(x->reserved, y->reserved);
	}
}

static void test_everything_comes_back(void **state)
{
	char folder[] = "/tmp/wghub-state-XXXXXX", path[100];
	struct wgh_error error = {""};
	struct state a, b;
	struct stat st;

	(void)state;
	fill(&a);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/state", folder);
	assert_int_equal(state_load(&b, path, NULL, &error), -ENOENT);
	assert_int_equal(b.n_peers, 0);
	assert_int_equal(state_save(&a, path, &error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(state_load(&b, path, NULL, &error), 0);
	assert_same(&a, &b);
	state_fini(&a);
	state_fini(&b);
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
}

static void test_damaged_peer_costs_that_peer(void **state)
{
	static const char *const bad[] = {"7", "{}", "{\"key\": 1}",
		"{\"origin\": \"factory\", \"address\": \"10.0.0.1\", \"key\": \"x\"}",
		"{\"origin\": \"nobody\", \"address\": \"10.0.0.1\", "
		"\"key\": \"srHRaDGYLsx+b+YdpfPwmZG9eGIeuarApoBHomeiAyQ=\"}",
		"{\"origin\": \"factory\", \"address\": \"10.0.0.0/8\", "
		"\"key\": \"srHRaDGYLsx+b+YdpfPwmZG9eGIeuarApoBHomeiAyQ=\"}",
		"{\"origin\": \"factory\", \"address\": \"10.0.0.1\", \"name\": \"a\\nb\", "
		"\"key\": \"srHRaDGYLsx+b+YdpfPwmZG9eGIeuarApoBHomeiAyQ=\"}",
		"{\"reserved\": \"x\"}"};
	char text[600];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct notes notes = {0};
		struct wgh_error error;
		struct state s;

		snprintf(text, sizeof text,
			"{\"version\": 1, \"server\": {}, \"peers\": [%s, {\"origin\": "
			"\"clients\", "
			"\"key\": \"vnNp0DWXusNZLV7UMji6X/6t4orOUsIUTaHO2nu/PvY=\", \"address\": "
			"\"10.0.0.9\", \"endpoint\": \"junk\"}]}",
			bad[i]);
		assert_int_equal(state_parse(&s, text, strlen(text), &notes, &error), 0);
		assert_int_equal(s.n_peers, 1);
		assert_string_equal(s.peers[0].name, "");
		assert_int_equal(s.peers[0].endpoint.family, WGH_UNSPEC);
		assert_false(s.has_server);
		assert_int_equal(notes.n, 2); /* the peer, the server */
		notes_fini(&notes);
		state_fini(&s);
	}
}

static void test_damaged_file_is_put_aside_and_the_start_goes_on(void **state)
{
	static const char *const bad[] = {"\0\0\0", "{", "[]", "{}", "{\"version\": 1}",
		"{\"version\": 2, \"peers\": []}", "{\"version\": 1, \"peers\": {}}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["};
	char folder[] = "/tmp/wghub-state-XXXXXX", path[100], aside[120];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/state", folder);
	snprintf(aside, sizeof aside, "%s.damaged", path);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct wgh_error error = {""};
		struct state s = {.n_peers = 77};
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_true(write(fd, bad[i], bad[i][0] ? strlen(bad[i]) : 4) > 0);
		close(fd);
		assert_true(state_load(&s, path, NULL, &error) < 0);
		assert_int_equal(s.n_peers, 0);
		assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(access(aside, F_OK), 0);
		assert_non_null(strstr(error.text, ".damaged"));
		assert_int_equal(unlink(aside), 0);
	}
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_comes_back),
		cmocka_unit_test(test_damaged_peer_costs_that_peer),
		cmocka_unit_test(test_damaged_file_is_put_aside_and_the_start_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
