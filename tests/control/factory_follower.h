/* factory_follower.h - a hub without a TUN that follows the test Factory, whose log goes into a
 * file. For test_factory_poll.c and test_factory_trouble.c, which are linked with
 * --wrap=wgh_device_apply: what the device is given is counted.
 */
#ifndef TESTS_CONTROL_FACTORY_FOLLOWER_H
#define TESTS_CONTROL_FACTORY_FOLLOWER_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/factory_hub_internal.h"

#include "control/log.h"
#include "control/text.h"
#include "crypto/key_text.h"
#include "tests/lib/factory_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define IPS "/ota/factories/acme-presses/wireguard-ips/"
#define CONFIG "/ota/factories/acme-presses/config/"
#define PRIVATE_KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define KEY1 "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define KEY2 "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define ENGINEER "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="

static uv_loop_t loop;
static uv_timer_t tick;
static struct wgh_device *device;
static struct names *names;
static struct policy_run *policy;
static struct factory_hub *hub;
static char dir[64], state_path[100], clients_path[100], hosts_path[100], log_path[100];
static char own_key[64];
static uint16_t port;
static int stderr_fd;
static uint64_t interval_ms;
static size_t n_peers_applied; /* of which something was changed */

int __real_wgh_device_apply(
	struct wgh_device *d, const struct wgh_change *change, struct wgh_error *error);
int __wrap_wgh_device_apply(
	struct wgh_device *d, const struct wgh_change *change, struct wgh_error *error);

int __wrap_wgh_device_apply(
	struct wgh_device *d, const struct wgh_change *change, struct wgh_error *error)
{
	n_peers_applied += change->n_peers;
	return __real_wgh_device_apply(d, change, error);
}

/* ---- the hub and its world ---- */

static inline uint16_t free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t n = sizeof addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &n), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static inline void publish(const char *address, const char *key, const char *more)
{
	factory_do("config",
		"{\"name\": \"wireguard-server\", \"unencrypted\": true, \"value\": "
		"\"endpoint=127.0.0.1:%u\\nserver_address=%s\\npubkey=%s%s\"}",
		port, address, key, more);
}

static inline void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static inline void begin(void)
{
	struct factory_hub_options o = {
		.poll = {.factory = "acme-presses",
			.interval_ms = interval_ms,
			.again_min_ms = 100,
			.http = {.api_url = factory_server_get("FACTORY_URL"),
				.ca_file = factory_server_get("FACTORY_CA"),
				.creds_text = factory_server_get("FACTORY_TOKEN")}},
		.state_path = state_path,
		.clients_path = clients_path,
		.hosts_path = hosts_path};
	struct wgh_device_options d = {
		.size = sizeof d, .ifname = "test0", .tun_fd = -1, .no_tun = true, .n_workers = 1};
	const struct policy_options no_policy = {.path = NULL};
	struct wgh_error error = {""};

	assert_true(key_from_base64(o.private_key, PRIVATE_KEY, strlen(PRIVATE_KEY)));
	assert_int_equal(uv_loop_init(&loop), 0);
	uv_timer_init(&loop, &tick);
	uv_timer_start(&tick, on_tick, 5, 5);
	names = names_new();
	assert_non_null(names);
	if (wgh_device_new(&device, &loop, &d, &error) ||
		policy_run_new(&policy, &no_policy, &error) ||
		factory_hub_new(&hub, &loop, device, names, policy, &o, &error))
		fail_msg("%s", error.text);
}

static inline void end(void)
{
	factory_hub_free(hub);
	wgh_device_free(device);
	names_free(names);
	policy_run_free(policy);
	hub = NULL;
	uv_close((uv_handle_t *)&tick, NULL);
	while (uv_run(&loop, UV_RUN_NOWAIT))
		usleep(1000);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* ---- questions ---- */

static inline void run_ms(unsigned ms)
{
	uint64_t end_ns = uv_hrtime() + ms * UINT64_C(1000000);

	while (uv_hrtime() < end_ns)
		uv_run(&loop, UV_RUN_ONCE);
}

static inline size_t n_peers(void)
{
	struct wgh_snapshot *s;
	size_t n;

	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	n = s->n_peers;
	wgh_snapshot_free(s);
	return n;
}

/* Does the device have this peer with exactly this one address? */
static inline bool has_peer(const char *key, const char *address)
{
	struct wgh_public_key wanted;
	struct wgh_snapshot *s;
	struct wgh_prefix prefix;
	bool found = false;

	assert_true(key_from_base64(wanted.bytes, key, strlen(key)));
	assert_null(text_prefix(&prefix, address, strlen(address)));
	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	for (size_t i = 0; i < s->n_peers; i++) {
		const struct wgh_peer_view *peer = &s->peers[i];

		found |= !memcmp(&peer->public_key, &wanted, sizeof wanted) &&
			peer->n_allowed_ips == 1 &&
			!memcmp(&peer->allowed_ips[0], &prefix, sizeof prefix);
	}
	wgh_snapshot_free(s);
	return found;
}

static inline bool is_logged(const char *words, int times)
{
	char *text = read_text(log_path);
	int n = 0;

	for (const char *at = text; (at = strstr(at, words)); at++)
		n++;
	free(text);
	return n == times;
}

static inline bool file_has(const char *path, const char *words)
{
	char *text = read_text(path);
	bool has = text && strstr(text, words);

	free(text);
	return has;
}

#define wait_until(condition)                                                                      \
	do {                                                                                       \
		uint64_t end_ns = uv_hrtime() + UINT64_C(60000000000);                             \
		while (!(condition) && uv_hrtime() < end_ns)                                       \
			uv_run(&loop, UV_RUN_ONCE);                                                \
		assert_true(condition);                                                            \
	} while (0)

static inline int n_rounds(void)
{
	return factory_count("GET " CONFIG);
}

/* Until no round is under way; and a little longer, for what must not happen. */
static inline void settle(void)
{
	wait_until(!factory_poll_is_running(hub->poll));
	run_ms(50);
}

/* One more whole round. */
static inline void one_round(void)
{
	int n = n_rounds();

	factory_hub_now(hub);
	wait_until(n_rounds() > n);
	settle();
}

static inline void device_is(const char *name, const char *key, const char *address, bool enabled)
{
	factory_do("device",
		"{\"name\": \"%s\", \"pubkey\": \"%s\", \"address\": \"%s\", \"enabled\": %s}",
		name, key, address, enabled ? "true" : "false");
}

static inline int group_setup(void **state)
{
	(void)state;
	assert_int_equal(secret_init(), 0);
	strcpy(dir, "/tmp/wghub-test-poll-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(state_path, sizeof state_path, "%s/state", dir);
	snprintf(clients_path, sizeof clients_path, "%s/clients", dir);
	snprintf(hosts_path, sizeof hosts_path, "%s/hosts", dir);
	snprintf(log_path, sizeof log_path, "%s/log", dir);
	stderr_fd = dup(STDERR_FILENO);
	return 0;
}

static inline int group_teardown(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

/* A Factory with a hub, two devices and an engineer. */
static inline int setup(void **state)
{
	struct wgh_public_key public;
	struct wgh_snapshot *s;
	int fd;

	(void)state;
	unlink(state_path);
	unlink(log_path);
	write_text(hosts_path, "127.0.0.1 localhost\n");
	write_text(clients_path, ENGINEER " 10.42.42.254 bench laptop\n");
	fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
	factory_server_start();
	port = free_port();
	interval_ms = 3600000; /* tests ask for rounds */
	if (!own_key[0]) {
		/* The device says which public key it is. */
		publish("10.42.42.1", KEY1, "");
		begin();
		assert_int_equal(wgh_device_snapshot(device, &s), 0);
		public = s->public_key;
		wgh_snapshot_free(s);
		end();
		key_to_base64(own_key, public.bytes);
		unlink(state_path);
		assert_int_equal(truncate(log_path, 0), 0);
	}
	publish("10.42.42.1", own_key, "");
	device_is("press-1", KEY1, "10.42.42.2", true);
	device_is("press-2", KEY2, "10.42.42.3", true);
	factory_do("forget", "{}");
	begin();
	n_peers_applied = 0;
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	if (hub)
		end();
	factory_server_stop();
	dup2(stderr_fd, STDERR_FILENO);
	return 0;
}

static inline void synced(void)
{
	wait_until(has_peer(KEY1, "10.42.42.2") && has_peer(KEY2, "10.42.42.3"));
	assert_true(has_peer(ENGINEER, "10.42.42.254"));
	assert_int_equal(n_peers(), 3);
	settle();
	n_peers_applied = 0;
}

#endif
