/* test_factory_poll.c - a hub without a TUN that follows the test Factory: what it believes, what
 * it touches, what it says, what it remembers. Loopback only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/factory_hub.h"

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

static uint16_t free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t n = sizeof addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &n), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static void publish(const char *address, const char *key, const char *more)
{
	factory_do("config",
		"{\"name\": \"wireguard-server\", \"unencrypted\": true, \"value\": "
		"\"endpoint=127.0.0.1:%u\\nserver_address=%s\\npubkey=%s%s\"}",
		port, address, key, more);
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static void begin(void)
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

static void end(void)
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

static void run_ms(unsigned ms)
{
	uint64_t end_ns = uv_hrtime() + ms * UINT64_C(1000000);

	while (uv_hrtime() < end_ns)
		uv_run(&loop, UV_RUN_ONCE);
}

static size_t n_peers(void)
{
	struct wgh_snapshot *s;
	size_t n;

	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	n = s->n_peers;
	wgh_snapshot_free(s);
	return n;
}

/* Does the device have this peer with exactly this one address? */
static bool has_peer(const char *key, const char *address)
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

static bool is_logged(const char *words, int times)
{
	char *text = read_text(log_path);
	int n = 0;

	for (const char *at = text; (at = strstr(at, words)); at++)
		n++;
	free(text);
	return n == times;
}

static bool file_has(const char *path, const char *words)
{
	char *text = read_text(path);
	bool has = text && strstr(text, words);

	free(text);
	return has;
}

#define wait_until(condition)                                                                      \
	do {                                                                                       \
		uint64_t end_ns = uv_hrtime() + UINT64_C(8000000000);                              \
		while (!(condition) && uv_hrtime() < end_ns)                                       \
			uv_run(&loop, UV_RUN_ONCE);                                                \
		assert_true(condition);                                                            \
	} while (0)

static int n_rounds(void)
{
	return factory_count("GET " CONFIG);
}

/* One more whole round. */
static void one_round(void)
{
	int n = n_rounds();

	factory_hub_now(hub);
	wait_until(n_rounds() > n);
	run_ms(100);
}

static void device_is(const char *name, const char *key, const char *address, bool enabled)
{
	factory_do("device",
		"{\"name\": \"%s\", \"pubkey\": \"%s\", \"address\": \"%s\", \"enabled\": %s}",
		name, key, address, enabled ? "true" : "false");
}

static int group_setup(void **state)
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

static int group_teardown(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

/* A Factory with a hub, two devices and an engineer. */
static int setup(void **state)
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

static int teardown(void **state)
{
	(void)state;
	if (hub)
		end();
	factory_server_stop();
	dup2(stderr_fd, STDERR_FILENO);
	return 0;
}

static void synced(void)
{
	wait_until(has_peer(KEY1, "10.42.42.2") && has_peer(KEY2, "10.42.42.3"));
	assert_true(has_peer(ENGINEER, "10.42.42.254"));
	assert_int_equal(n_peers(), 3);
	run_ms(100);
	n_peers_applied = 0;
}

/* ---- following ---- */

static void test_the_hub_becomes_what_api_and_clients_file_say(void **state)
{
	struct wgh_snapshot *s;

	(void)state;
	/* Engineers do not wait for the API. */
	assert_true(has_peer(ENGINEER, "10.42.42.254"));
	synced();
	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	assert_int_equal(s->listen_port, port);
	assert_int_equal(s->n_addresses, 1);
	assert_int_equal(s->addresses[0].addr.bytes[3], 1);
	wgh_snapshot_free(s);
}

static void test_a_round_without_change_touches_nothing(void **state)
{
	(void)state;
	synced();
	for (int i = 0; i < 3; i++)
		one_round();
	assert_int_equal(n_peers_applied, 0);
}

static void test_only_the_device_that_changed_is_touched(void **state)
{
	const char *name;
	struct wgh_public_key key;

	(void)state;
	synced();
	factory_do("device",
		"{\"name\": \"press-3\", \"address\": \"10.42.42.4\", \"enabled\": true}");
	one_round();
	assert_int_equal(n_peers(), 4);
	assert_int_equal(n_peers_applied, 1);
	device_is("press-2", KEY2, "10.42.42.3", false);
	one_round();
	assert_false(has_peer(KEY2, "10.42.42.3"));
	assert_int_equal(n_peers_applied, 2);
	/* A name with another key: the old key goes, the new one has its address. */
	device_is("press-3", KEY2, "10.42.42.4", true);
	one_round();
	assert_true(has_peer(KEY2, "10.42.42.4"));
	assert_int_equal(n_peers(), 3);
	assert_int_equal(n_peers_applied, 4);
	/* A new name touches no peer. */
	factory_do("device", "{\"name\": \"press-1\", \"rename\": \"hall-b-1\"}");
	one_round();
	assert_int_equal(n_peers_applied, 4);
	assert_true(key_from_base64(key.bytes, KEY1, strlen(KEY1)));
	name = names_get(names, &key);
	assert_string_equal(name, "hall-b-1");
	wait_until(file_has(hosts_path, "10.42.42.2\thall-b-1\n"));
}

static void test_rounds_come_by_themselves(void **state)
{
	(void)state;
	synced();
	end();
	interval_ms = 100;
	factory_do("forget", "{}");
	begin();
	run_ms(1000);
	assert_in_range(n_rounds(), 3, 12);
}

static void test_asking_during_a_round_gives_one_more_round_and_no_third(void **state)
{
	int n;

	(void)state;
	synced();
	n = n_rounds();
	factory_do("fault", "{\"do\": \"delay\", \"ms\": 300, \"match\": \"GET " CONFIG "\"}");
	factory_hub_now(hub);
	run_ms(100);
	factory_hub_now(hub);
	factory_hub_now(hub);
	wait_until(n_rounds() == n + 2);
	run_ms(400);
	assert_int_equal(n_rounds(), n + 2);
}

static void test_hostile_items_are_refused_and_the_rest_is_used(void **state)
{
	(void)state;
	synced();
	factory_do("ips",
		"{\"extra\": [null, 7, {\"name\": \"a\", \"enabled\": true, \"pubkey\": \"x\", "
		"\"ip\": "
		"\"10.42.42.9\"}, {\"name\": \"b\", \"enabled\": true, \"ip\": \"0.0.0.0/0\", "
		"\"pubkey\": \"" ENGINEER "\"}, {\"name\": \"hub\", \"enabled\": true, \"ip\": "
		"\"10.42.42.1\", \"pubkey\": \"GDHJ2k85fYdbmXjQeOvLTUg05fTqGICpHlgpA9oAWmk=\"}, "
		"{\"name\": "
		"\"thief\", \"enabled\": true, \"ip\": \"10.42.42.2\", \"pubkey\": "
		"\"uk2yJoRNrJ1oOzN5v6xB9rSg6xU4Jw2hGc3n0C4YhUY=\"}, {\"name\": "
		"\"evil\\n\\u001b[2J\", "
		"\"enabled\": true, \"ip\": \"10.42.42.254\", \"pubkey\": "
		"\"5JqZc7m0Zl7ej0m6Zq3GkqkS3m0q1l0H8Hc0sVh0wVQ=\"}]}");
	one_round();
	one_round();
	assert_int_equal(n_peers_applied, 0);
	assert_int_equal(n_peers(), 3);
	assert_true(is_logged("thief", 1)); /* once, not each round */
}

static void test_enabled_0_withdraws_devices_and_leaves_engineers(void **state)
{
	(void)state;
	synced();
	publish("10.42.42.1", own_key, "\\nenabled=0");
	one_round();
	one_round();
	assert_int_equal(n_peers(), 1);
	assert_true(has_peer(ENGINEER, "10.42.42.254"));
	assert_true(is_logged("vpn switched off", 1));
	publish("10.42.42.1", own_key, "");
	one_round();
	assert_int_equal(n_peers(), 3);
	assert_true(is_logged("well again trouble=\"vpn switched off\"", 1));
}

static void test_a_start_while_switched_off_waits(void **state)
{
	(void)state;
	synced();
	end();
	unlink(state_path);
	publish("10.42.42.1", own_key, "\\nenabled=0");
	begin();
	wait_until(is_logged("degraded trouble=\"vpn switched off\"", 1));
	one_round();
	assert_int_equal(n_peers(), 1);
	publish("10.42.42.1", own_key, "");
	one_round();
	assert_int_equal(n_peers(), 3);
}

static void test_another_hubs_file_moves_nothing(void **state)
{
	uint16_t ours = port;
	struct wgh_snapshot *s;

	(void)state;
	synced();
	port = 1;
	publish("10.99.0.1", KEY2, "");
	factory_do("device",
		"{\"name\": \"press-3\", \"address\": \"10.42.42.4\", \"enabled\": true}");
	one_round();
	one_round();
	assert_true(is_logged("points to another hub", 1));
	assert_int_equal(n_peers(), 4); /* devices are followed all the same */
	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	assert_int_equal(s->listen_port, ours);
	wgh_snapshot_free(s);
}

static void test_a_moved_port_is_followed(void **state)
{
	struct wgh_snapshot *s;

	(void)state;
	synced();
	port = free_port();
	publish("10.42.42.1", own_key, "");
	one_round();
	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	assert_int_equal(s->listen_port, port);
	wgh_snapshot_free(s);
	assert_int_equal(n_peers_applied, 0);
}

static void test_a_deleted_server_file_is_trouble_and_nothing_else(void **state)
{
	(void)state;
	synced();
	factory_do("config", "{\"name\": \"wireguard-server\"}");
	one_round();
	one_round();
	assert_int_equal(n_peers_applied, 0);
	assert_int_equal(n_peers(), 3);
	assert_true(is_logged("no usable wireguard-server", 1));
}

/* ---- bad days ---- */

static void bad_day(const char *fault)
{
	int n = n_rounds();

	factory_do("fault", "%s", fault);
	factory_hub_now(hub);
	wait_until(n_rounds() >= n + 3); /* it tries again by itself, soon */
	factory_do("clear", "{}");
	wait_until(is_logged("well again trouble=\"api unreachable\"", 1));
	assert_int_equal(n_peers_applied, 0);
	assert_int_equal(n_peers(), 3);
	assert_true(is_logged("degraded trouble=\"api unreachable\"", 1));
	assert_int_equal(truncate(log_path, 0), 0);
}

static void test_a_failing_api_changes_nothing_and_is_said_once(void **state)
{
	(void)state;
	synced();
	bad_day("{\"do\": \"status\", \"status\": 500, \"times\": -1}");
	bad_day("{\"do\": \"html\", \"times\": -1}");
	bad_day("{\"do\": \"truncate\", \"match\": \"GET " IPS "\", \"times\": -1}");
	bad_day("{\"do\": \"body\", \"body\": \"{}\", \"match\": \"GET " IPS "\", \"times\": -1}");
	bad_day("{\"do\": \"body\", \"body\": \"\\\"x\\\"\", \"match\": \"GET " IPS
		"\", \"times\": -1}");
	bad_day("{\"do\": \"body\", \"body\": \"\", \"times\": -1}");
	bad_day("{\"do\": \"drop\", \"times\": -1}");
	bad_day("{\"do\": \"huge\", \"times\": 3}");
	bad_day("{\"do\": \"redirect\", \"times\": -1}");
}

static void test_a_refusal_is_said_once_and_asked_again_each_interval(void **state)
{
	static const int statuses[] = {401, 403, 404};

	(void)state;
	synced();
	for (unsigned i = 0; i < 3; i++) {
		factory_do("fault", "{\"do\": \"status\", \"status\": %d, \"times\": -1}",
			statuses[i]);
		one_round();
		one_round();
		assert_true(is_logged("degraded trouble=\"api refuses\"", 1));
		factory_do("clear", "{}");
		one_round();
		assert_true(is_logged("well again trouble=\"api refuses\"", 1));
		assert_int_equal(truncate(log_path, 0), 0);
	}
	assert_int_equal(n_peers_applied, 0);
}

static void test_half_of_a_fleet_gone_must_be_said_twice(void **state)
{
	(void)state;
	synced();
	end();
	interval_ms = 400;
	factory_do("devices",
		"{\"generate\": 10, \"prefix\": \"gen\", \"first_ip\": \"10.42.42.10\"}");
	begin();
	wait_until(n_peers() == 13);
	factory_do("fault", "{\"do\": \"body\", \"body\": \"[]\", \"match\": \"GET " IPS "\"}");
	wait_until(is_logged("degraded trouble=\"too many devices gone\"", 1));
	assert_int_equal(n_peers(), 13);
	wait_until(is_logged("well again trouble=\"too many devices gone\"", 1));
	assert_int_equal(n_peers(), 13); /* it was a slip */
	factory_do("devices", "{\"remove_prefix\": \"gen\"}");
	wait_until(n_peers() == 3); /* it is meant */
}

static void test_waits_grow_to_five_minutes_and_respect_retry_after(void **state)
{
	(void)state;
	assert_int_equal(factory_poll_wait_ms(5000, 1, 0), 5000);
	assert_int_equal(factory_poll_wait_ms(5000, 2, 0), 10000);
	assert_int_equal(factory_poll_wait_ms(5000, 6, 0), 160000);
	assert_int_equal(factory_poll_wait_ms(5000, 7, 0), 300000);
	assert_int_equal(factory_poll_wait_ms(5000, 4000000000u, 0), 300000);
	assert_int_equal(factory_poll_wait_ms(5000, 1, 77), 77000);
	assert_int_equal(factory_poll_wait_ms(5000, 7, 77), 300000);
}

static void test_retry_after_is_waited_for(void **state)
{
	int n;

	(void)state;
	synced();
	factory_do("fault",
		"{\"do\": \"status\", \"status\": 429, \"retry_after\": 1, \"match\": \"GET " CONFIG
		"\"}");
	n = n_rounds();
	factory_hub_now(hub);
	wait_until(n_rounds() == n + 1);
	run_ms(800); /* its own 100 ms are over long ago */
	assert_int_equal(n_rounds(), n + 1);
	wait_until(n_rounds() == n + 2);
}

/* ---- clients ---- */

static void test_clients_file_is_followed_within_a_second(void **state)
{
	uint64_t begin_ns;

	(void)state;
	synced();
	begin_ns = uv_hrtime();
	write_text(clients_path,
		ENGINEER " 10.42.42.254 bench laptop\n"
			 "GDHJ2k85fYdbmXjQeOvLTUg05fTqGICpHlgpA9oAWmk= 10.42.42.253\n"
			 "broken line\n");
	wait_until(n_peers() == 4);
	assert_true(uv_hrtime() - begin_ns < UINT64_C(1000000000));
	assert_int_equal(n_peers_applied, 1);
	assert_true(is_logged("clients:3:", 1));
	begin_ns = uv_hrtime();
	write_text(clients_path, ENGINEER " 10.42.42.254 bench laptop\n");
	wait_until(n_peers() == 3);
	assert_true(uv_hrtime() - begin_ns < UINT64_C(1000000000));
	assert_int_equal(n_peers_applied, 2);
}

static void test_a_half_written_clients_file_is_not_the_list(void **state)
{
	(void)state;
	synced();
	/* It is looked at each 250 ms; one of these moments is such a look. */
	for (int i = 0; i < 4; i++) {
		write_text(clients_path, "");
		run_ms(100);
		write_text(clients_path, ENGINEER " 10.42.42.254 bench laptop\n");
		run_ms(320);
	}
	assert_int_equal(n_peers_applied, 0);
}

static void test_a_clients_file_that_vanishes_keeps_its_clients(void **state)
{
	(void)state;
	synced();
	assert_int_equal(unlink(clients_path), 0);
	run_ms(1000);
	factory_hub_now(hub);
	run_ms(100);
	assert_true(has_peer(ENGINEER, "10.42.42.254"));
	assert_true(is_logged("degraded trouble=\"clients file not usable\"", 1));
	write_text(clients_path, "# nobody\n");
	wait_until(!has_peer(ENGINEER, "10.42.42.254"));
	assert_true(is_logged("well again trouble=\"clients file not usable\"", 1));
}

/* ---- by hand ---- */

static void test_a_peer_made_by_hand_is_left_alone(void **state)
{
	struct wgh_allowed_ip ip = {.prefix = {.addr = {{10, 42, 42, 77}, WGH_IPV4}, .bits = 32}};
	struct wgh_peer_change peer = {.allowed_ips = &ip, .n_allowed_ips = 1};
	const struct wgh_change change = {.peers = &peer, .n_peers = 1};
	struct wgh_error error;

	(void)state;
	synced();
	peer.public_key.bytes[0] = 9;
	assert_int_equal(wgh_device_apply(device, &change, &error), 0);
	one_round();
	one_round();
	assert_int_equal(n_peers(), 4);
	/* And it holds what it has. */
	factory_do(
		"device", "{\"name\": \"late\", \"address\": \"10.42.42.77\", \"enabled\": true}");
	one_round();
	assert_int_equal(n_peers(), 4);
	assert_true(is_logged("late", 1));
}

/* ---- memory ---- */

static void test_state_brings_peers_and_endpoints_back_without_the_api(void **state)
{
	struct wgh_peer_change peer = {.flags = WGH_PEER_UPDATE_ONLY | WGH_PEER_HAS_ENDPOINT,
		.endpoint = {.addr = {192, 0, 2, 7}, .port = 4711, .family = WGH_IPV4}};
	const struct wgh_change change = {.peers = &peer, .n_peers = 1};
	struct wgh_snapshot *s;
	struct wgh_error error;
	bool found = false;
	struct stat st;

	(void)state;
	synced();
	assert_true(key_from_base64(peer.public_key.bytes, KEY1, strlen(KEY1)));
	assert_int_equal(wgh_device_apply(device, &change, &error), 0);
	end();
	assert_int_equal(stat(state_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	factory_do("listen", "{\"on\": false}");
	begin();
	assert_int_equal(n_peers(), 3); /* before the loop has made a turn */
	assert_true(has_peer(KEY1, "10.42.42.2"));
	assert_true(has_peer(KEY2, "10.42.42.3"));
	assert_true(has_peer(ENGINEER, "10.42.42.254"));
	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	assert_int_equal(s->listen_port, port);
	for (size_t i = 0; i < s->n_peers; i++)
		found |= s->peers[i].endpoint.port == 4711;
	wgh_snapshot_free(s);
	assert_true(found);
	wait_until(is_logged("degraded trouble=\"api unreachable\"", 1));
	n_peers_applied = 0;
	factory_do("listen", "{\"on\": true}");
	wait_until(is_logged("well again trouble=\"api unreachable\"", 1));
	assert_int_equal(n_peers_applied, 0);
}

static void test_state_is_written_soon_after_a_change(void **state)
{
	char *text;

	(void)state;
	synced();
	run_ms(200);
	text = read_text(state_path);
	assert_non_null(text);
	assert_non_null(strstr(text, KEY1));
	free(text);
}

static void test_a_damaged_state_is_put_aside(void **state)
{
	char path[120];

	(void)state;
	synced();
	end();
	write_text(state_path, "{\"peers\": [");
	begin();
	synced();
	snprintf(path, sizeof path, "%s.damaged", state_path);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void test_a_state_of_another_factory_is_not_used(void **state)
{
	char *text, *at;

	(void)state;
	synced();
	end();
	text = read_text(state_path);
	at = strstr(text, "acme-presses");
	assert_non_null(at);
	at[0] = 'x';
	write_text(state_path, text);
	free(text);
	factory_do("listen", "{\"on\": false}");
	begin();
	assert_int_equal(n_peers(), 1); /* the clients file is this host's own */
	assert_true(is_logged("another factory", 1));
}

static void test_hosts_file_has_the_devices(void **state)
{
	char *text;

	(void)state;
	synced();
	run_ms(200);
	text = read_text(hosts_path);
	assert_string_equal(text,
		"127.0.0.1 localhost\n\n## Factory(acme-presses) VPN Lookups\n"
		"10.42.42.2\tpress-1\n10.42.42.3\tpress-2\n## END Factory(acme-presses) VPN "
		"Lookups\n");
	free(text);
	device_is("press-2", KEY2, "10.42.42.3", false);
	one_round();
	run_ms(200);
	text = read_text(hosts_path);
	assert_null(strstr(text, "press-2"));
	free(text);
}

static void test_a_port_in_use_is_trouble_that_ends(void **state)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct wgh_snapshot *s;

	(void)state;
	synced();
	port = free_port();
	addr.sin_port = htons(port);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	publish("10.42.42.1", own_key, "");
	one_round();
	one_round();
	assert_true(is_logged("degraded trouble=\"interface not usable\"", 1));
	assert_int_equal(n_peers(), 3);
	close(fd);
	one_round();
	assert_true(is_logged("well again trouble=\"interface not usable\"", 1));
	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	assert_int_equal(s->listen_port, port);
	wgh_snapshot_free(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_the_hub_becomes_what_api_and_clients_file_say),
		T(test_a_round_without_change_touches_nothing),
		T(test_only_the_device_that_changed_is_touched),
		T(test_rounds_come_by_themselves),
		T(test_asking_during_a_round_gives_one_more_round_and_no_third),
		T(test_hostile_items_are_refused_and_the_rest_is_used),
		T(test_enabled_0_withdraws_devices_and_leaves_engineers),
		T(test_a_start_while_switched_off_waits),
		T(test_another_hubs_file_moves_nothing),
		T(test_a_moved_port_is_followed),
		T(test_a_deleted_server_file_is_trouble_and_nothing_else),
		T(test_a_failing_api_changes_nothing_and_is_said_once),
		T(test_a_refusal_is_said_once_and_asked_again_each_interval),
		T(test_half_of_a_fleet_gone_must_be_said_twice),
		T(test_waits_grow_to_five_minutes_and_respect_retry_after),
		T(test_retry_after_is_waited_for),
		T(test_clients_file_is_followed_within_a_second),
		T(test_a_half_written_clients_file_is_not_the_list),
		T(test_a_clients_file_that_vanishes_keeps_its_clients),
		T(test_a_peer_made_by_hand_is_left_alone),
		T(test_state_brings_peers_and_endpoints_back_without_the_api),
		T(test_state_is_written_soon_after_a_change),
		T(test_a_damaged_state_is_put_aside),
		T(test_a_state_of_another_factory_is_not_used),
		T(test_hosts_file_has_the_devices),
		T(test_a_port_in_use_is_trouble_that_ends),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
