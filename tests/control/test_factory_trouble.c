/* test_factory_trouble.c - a hub that follows the test Factory, on bad days: what it says, when it
 * asks again, and what it remembers across a restart. Loopback only. */
#include "tests/control/factory_follower.h"

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
	uint64_t begin_ns;
	int n;

	(void)state;
	synced();
	factory_do("fault",
		"{\"do\": \"status\", \"status\": 429, \"retry_after\": 1, \"match\": \"GET " CONFIG
		"\"}");
	n = n_rounds();
	begin_ns = uv_hrtime();
	factory_hub_now(hub);
	wait_until(n_rounds() >= n + 2);
	/* Its own 100 ms were over long ago. */
	assert_true(uv_hrtime() - begin_ns >= UINT64_C(1000000000));
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
	(void)state;
	synced();
	wait_until(file_has(state_path, KEY1));
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
	wait_until(file_has(hosts_path, "## END"));
	text = read_text(hosts_path);
	assert_string_equal(text,
		"127.0.0.1 localhost\n\n## Factory(acme-presses) VPN Lookups\n"
		"10.42.42.2\tpress-1\n10.42.42.3\tpress-2\n## END Factory(acme-presses) VPN "
		"Lookups\n");
	free(text);
	device_is("press-2", KEY2, "10.42.42.3", false);
	one_round();
	wait_until(!file_has(hosts_path, "press-2"));
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
		T(test_a_failing_api_changes_nothing_and_is_said_once),
		T(test_a_refusal_is_said_once_and_asked_again_each_interval),
		T(test_half_of_a_fleet_gone_must_be_said_twice),
		T(test_waits_grow_to_five_minutes_and_respect_retry_after),
		T(test_retry_after_is_waited_for),
		T(test_state_brings_peers_and_endpoints_back_without_the_api),
		T(test_state_is_written_soon_after_a_change),
		T(test_a_damaged_state_is_put_aside),
		T(test_a_state_of_another_factory_is_not_used),
		T(test_hosts_file_has_the_devices),
		T(test_a_port_in_use_is_trouble_that_ends),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
