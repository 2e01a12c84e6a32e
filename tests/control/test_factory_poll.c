/* test_factory_poll.c - a hub that follows the test Factory: what it believes and what it touches.
 * Loopback only. */
#include "tests/control/factory_follower.h"

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
	uint64_t begin_ns;

	(void)state;
	synced();
	end();
	interval_ms = 100;
	factory_do("forget", "{}");
	begin_ns = uv_hrtime();
	begin();
	wait_until(n_rounds() >= 6);
	/* Five intervals, each shorter by a tenth at most. */
	assert_true(uv_hrtime() - begin_ns >= UINT64_C(450000000));
}

static int n_holding(void)
{
	json_t *answer = factory_control("holding", "{}");
	int n = (int)json_integer_value(json_object_get(answer, "holding"));

	json_decref(answer);
	return n;
}

static void test_asking_during_a_round_gives_one_more_round_and_no_third(void **state)
{
	int n;

	(void)state;
	synced();
	n = n_rounds();
	factory_do("fault", "{\"do\": \"hold\", \"match\": \"GET " CONFIG "\"}");
	factory_hub_now(hub);
	wait_until(n_holding() == 1);
	factory_hub_now(hub);
	factory_hub_now(hub);
	factory_do("release", "{}");
	wait_until(n_rounds() == n + 2);
	settle();
	run_ms(300);
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

/* ---- clients ---- */

/* How long it took until n peers were there. */
static uint64_t followed_ms(const char *text, size_t n)
{
	uint64_t begin_ns = uv_hrtime();

	write_text(clients_path, text);
	wait_until(n_peers() == n);
	return (uv_hrtime() - begin_ns) / 1000000;
}

static void test_clients_file_is_followed_within_a_second(void **state)
{
	static const char one[] = ENGINEER " 10.42.42.254 bench laptop\n";
	static const char two[] =
		ENGINEER " 10.42.42.254 bench laptop\n"
			 "GDHJ2k85fYdbmXjQeOvLTUg05fTqGICpHlgpA9oAWmk= 10.42.42.253\nbroken line\n";
	bool added = false, removed = false;
	size_t tries;

	(void)state;
	synced();
	/* On a busy machine not each time. */
	for (tries = 0; tries < 30 && !(added && removed); tries++) {
		added |= followed_ms(two, 4) < 1000;
		assert_int_equal(n_peers_applied, 2 * tries + 1);
		assert_true(is_logged("clients:3:", (int)tries + 1));
		removed |= followed_ms(one, 3) < 1000;
		assert_int_equal(n_peers_applied, 2 * tries + 2);
	}
	assert_true(added && removed);
}

static void test_a_half_written_clients_file_is_not_the_list(void **state)
{
	int n = 0;

	(void)state;
	synced();
	/* It is looked at each 250 ms; one of these moments is such a look. Where the machine made
	 * two of one of them, it rightly is the list for a while. */
	for (int tries = 0; tries < 100 && n < 4; tries++) {
		uint64_t begin_ns = uv_hrtime();

		write_text(clients_path, "");
		run_ms(100);
		write_text(clients_path, ENGINEER " 10.42.42.254 bench laptop\n");
		if (uv_hrtime() - begin_ns < UINT64_C(240000000)) {
			n++;
			run_ms(320);
			assert_int_equal(n_peers_applied, 0);
		} else {
			run_ms(1000);
			wait_until(has_peer(ENGINEER, "10.42.42.254"));
			n_peers_applied = 0;
		}
	}
	assert_int_equal(n, 4);
}

static void test_a_clients_file_that_vanishes_keeps_its_clients(void **state)
{
	(void)state;
	synced();
	assert_int_equal(unlink(clients_path), 0);
	run_ms(1000);
	one_round();
	wait_until(is_logged("degraded trouble=\"clients file not usable\"", 1));
	assert_true(has_peer(ENGINEER, "10.42.42.254"));
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
		T(test_clients_file_is_followed_within_a_second),
		T(test_a_half_written_clients_file_is_not_the_list),
		T(test_a_clients_file_that_vanishes_keeps_its_clients),
		T(test_a_peer_made_by_hand_is_left_alone),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
