/* A device in a thread of its own, called from others: what an embedder without a libuv loop has.
 * And what all devices do at the library's border: start, stop, reload, checks, numbers, a filter.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/drop.h"
#include "core/spin.h"
#include "tests/lib/udp_peer.h"
#include "wghub_device.h"

#define N_PEERS 2

struct fixture {
	struct wgh_device *device;
	struct wgh_public_key key;
	struct udp_peer peers[N_PEERS];
};

static void begin(struct fixture *f, struct wgh_device_options options)
{
	const struct wgh_prefix own = {
		.addr = {.bytes = {10, 9, 0, 1}, .family = WGH_IPV4}, .bits = 24};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};
	struct wgh_error error = {""};

	memset(f, 0, sizeof *f);
	options.size = sizeof options;
	options.ifname = "test";
	options.tun_fd = -1;
	options.no_tun = true;
	options.n_workers = 2;
	options.addresses = &own;
	options.n_addresses = 1;
	if (wgh_device_new(&f->device, NULL, &options, &error))
		fail_msg("%s", error.text);
	assert_int_equal(wgh_key_new(change.private_key), 0);
	assert_true(wgh_key_public(&f->key, change.private_key));
	assert_int_equal(wgh_device_apply(f->device, &change, NULL), 0);
}

static uint16_t port_of(struct wgh_device *device)
{
	struct wgh_snapshot *s;
	uint16_t port;

	assert_int_equal(wgh_device_snapshot(device, &s), 0);
	port = s->listen_port;
	wgh_snapshot_free(s);
	return port;
}

static void add_peers(struct fixture *f)
{
	struct wgh_peer_change changes[N_PEERS];
	struct wgh_allowed_ip ips[N_PEERS];

	for (unsigned i = 0; i < N_PEERS; i++) {
		udp_peer_init(&f->peers[i], (uint8_t)(i + 2));
		changes[i] = udp_peer_change(&f->peers[i], &ips[i]);
	}
	assert_int_equal(wgh_device_apply(f->device,
				 &(struct wgh_change){.peers = changes, .n_peers = N_PEERS}, NULL),
		0);
	for (unsigned i = 0; i < N_PEERS; i++)
		udp_peer_connect(&f->peers[i], &f->key, port_of(f->device));
}

static void end(struct fixture *f)
{
	wgh_device_free(f->device);
	for (unsigned i = 0; i < N_PEERS; i++)
		if (f->peers[i].hub)
			udp_peer_fini(&f->peers[i]);
}

static void ping_hub(struct fixture *f)
{
	for (unsigned i = 0; i < N_PEERS; i++)
		assert_true(udp_peer_reach_by_ping(&f->peers[i], 1) > 0);
}

static void must_reach(struct fixture *f, unsigned from, unsigned to)
{
	assert_true(udp_peer_reach(&f->peers[from], &f->peers[to], NULL, NULL) > 0);
}

static struct wgh_stats stats_of(const struct wgh_device *device)
{
	struct wgh_stats stats = {.size = sizeof stats};

	assert_int_equal(wgh_device_stats(device, &stats), 0);
	return stats;
}

/* Waits for n of the kind. */
static void must_hear(struct wgh_device *device, enum wgh_event_kind kind, unsigned n)
{
	struct wgh_event events[8];

	for (int tries = 0; tries < 3000; tries++) {
		size_t got = wgh_device_events(device, events, 8);

		for (size_t i = 0; i < got; i++)
			n -= n && events[i].kind == kind;
		if (!n)
			return;
		if (!got)
			usleep(20000);
	}
	fail_msg("%u events of kind %d did not come", n, (int)kind);
}

static void test_border_device_of_its_own_serves_peers_without_a_loop(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct wgh_device_options){0});
	add_peers(&f);
	assert_true(wgh_device_is_up(f.device));
	assert_string_equal(wgh_device_name(f.device), "test");
	ping_hub(&f);
	must_reach(&f, 0, 1);
	must_reach(&f, 1, 0);
	must_hear(f.device, WGH_EVENT_HANDSHAKE, 2);
	assert_true(stats_of(f.device).n_forwarded >= 2);
	assert_int_equal(stats_of(f.device).n_peers, 2);
	end(&f);
}

/* ---- many threads ---- */

struct caller {
	struct fixture *f;
	pthread_t thread;
	_Atomic bool *enough;
	_Atomic unsigned n_calls;
};

static void *call_often(void *arg)
{
	struct caller *caller = arg;
	struct wgh_device *device = caller->f->device;

	while (!atomic_load(caller->enough)) {
		struct wgh_change change = {.flags = WGH_HAS_FWMARK}; /* none: as it is */
		struct wgh_snapshot *s;

		if (!wgh_device_snapshot(device, &s))
			wgh_snapshot_free(s);
		if (wgh_device_apply(device, &change, NULL) || !wgh_device_is_up(device))
			return NULL;
		(void)stats_of(device);
		(void)wgh_device_is_alive(device);
		caller->n_calls++;
	}
	return caller;
}

static void test_border_any_thread_may_call_while_packets_pass(void **state)
{
	struct caller callers[4];
	_Atomic bool enough = false;
	struct fixture f;

	(void)state;
	begin(&f, (struct wgh_device_options){0});
	add_peers(&f);
	for (int i = 0; i < 4; i++) {
		callers[i] = (struct caller){.f = &f, .enough = &enough};
		assert_int_equal(
			pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
	}
	ping_hub(&f);
	for (int i = 0; i < 10; i++)
		must_reach(&f, i % 2, 1 - i % 2);
	for (int i = 0; i < 4; i++)
		for (int tries = 0; tries < 3000 && !atomic_load(&callers[i].n_calls); tries++)
			usleep(20000);
	atomic_store(&enough, true);
	for (int i = 0; i < 4; i++) {
		void *ok;

		assert_int_equal(pthread_join(callers[i].thread, &ok), 0);
		assert_non_null(ok);
		assert_true(callers[i].n_calls > 0);
	}
	end(&f);
}

struct listener {
	_Atomic(struct wgh_device *) device;
	_Atomic unsigned n_peers;
};

static void look_when_called(void *arg, const struct wgh_event *event)
{
	struct listener *listener = arg;
	struct wgh_device *device = atomic_load(&listener->device);
	struct wgh_snapshot *s;

	if (event->kind != WGH_EVENT_HANDSHAKE || !device || wgh_device_snapshot(device, &s))
		return;
	atomic_store(&listener->n_peers, (unsigned)s->n_peers);
	wgh_snapshot_free(s);
}

static void test_border_event_callback_may_ask_the_device(void **state)
{
	struct listener listener = {.n_peers = 0};
	struct wgh_event event;
	struct fixture f;

	(void)state;
	begin(&f, (struct wgh_device_options){.on_event = look_when_called, .arg = &listener});
	atomic_store(&listener.device, f.device);
	add_peers(&f);
	ping_hub(&f);
	for (int tries = 0; tries < 3000 && atomic_load(&listener.n_peers) != 2; tries++)
		usleep(20000);
	assert_int_equal(atomic_load(&listener.n_peers), 2);
	assert_int_equal(wgh_device_events(f.device, &event, 1), 0); /* all went there */
	end(&f);
}

static void test_border_two_devices_in_one_process_talk(void **state)
{
	struct fixture f[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		begin(&f[i], (struct wgh_device_options){0});
	for (int i = 0; i < 2; i++) {
		const struct wgh_peer_change peer = {.public_key = f[1 - i].key,
			.flags = WGH_PEER_HAS_ENDPOINT | WGH_PEER_HAS_KEEPALIVE,
			.endpoint = {.addr = {127, 0, 0, 1},
				.port = port_of(f[1 - i].device),
				.family = WGH_IPV4},
			.keepalive_s = 1};

		assert_int_equal(wgh_device_apply(f[i].device,
					 &(struct wgh_change){.peers = &peer, .n_peers = 1}, NULL),
			0);
	}
	for (int i = 0; i < 2; i++)
		must_hear(f[i].device, WGH_EVENT_HANDSHAKE, 1);
	for (int i = 0; i < 2; i++)
		end(&f[i]);
}

/* ---- start, stop, reload ---- */

static void test_border_stopped_device_starts_again_on_its_port(void **state)
{
	struct fixture f;
	uint16_t port;

	(void)state;
	begin(&f, (struct wgh_device_options){0});
	port = port_of(f.device);
	wgh_device_stop(f.device);
	wgh_device_stop(f.device);
	assert_false(wgh_device_is_up(f.device));
	assert_int_equal(wgh_device_start(f.device, NULL), 0);
	assert_int_equal(wgh_device_start(f.device, NULL), 0);
	assert_true(wgh_device_is_up(f.device));
	assert_int_equal(port_of(f.device), port);
	add_peers(&f);
	ping_hub(&f);
	end(&f);
}

static void test_border_start_says_that_the_port_was_taken_meanwhile(void **state)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct wgh_error error = {""};
	struct fixture f;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)state;
	begin(&f, (struct wgh_device_options){0});
	sin.sin_port = htons(port_of(f.device));
	wgh_device_stop(f.device);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(wgh_device_start(f.device, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "listen port"));
	assert_false(wgh_device_is_up(f.device));
	close(fd);
	assert_int_equal(wgh_device_start(f.device, &error), 0);
	assert_true(wgh_device_is_up(f.device));
	end(&f);
}

static void test_border_reload_keeps_sessions_and_removes_the_unlisted(void **state)
{
	struct wgh_allowed_ip ip;
	struct wgh_peer_change left;
	struct wgh_snapshot *s;
	struct wgh_stats before;
	struct fixture f;

	(void)state;
	begin(&f, (struct wgh_device_options){0});
	add_peers(&f);
	ping_hub(&f);
	before = stats_of(f.device);
	left = udp_peer_change(&f.peers[0], &ip);
	assert_int_equal(wgh_device_reload(f.device,
				 &(struct wgh_change){.peers = &left, .n_peers = 1}, NULL),
		0);
	assert_int_equal(wgh_device_snapshot(f.device, &s), 0);
	assert_int_equal(s->n_peers, 1);
	assert_memory_equal(s->peers[0].public_key.bytes, f.peers[0].public_key.bytes, 32);
	wgh_snapshot_free(s);
	assert_true(udp_peer_reach_by_ping(&f.peers[0], 1) > 0);
	assert_true(stats_of(f.device).n_udp_out > before.n_udp_out);
	assert_int_equal(stats_of(f.device).n_handshakes_in, before.n_handshakes_in);
	end(&f);
}

static void test_border_check_lists_a_stolen_prefix(void **state)
{
	struct wgh_allowed_ip ip;
	struct wgh_peer_change thief;
	struct wgh_conflict found;
	struct fixture f;

	(void)state;
	begin(&f, (struct wgh_device_options){0});
	add_peers(&f);
	thief = udp_peer_change(&f.peers[0], &ip);
	memset(thief.public_key.bytes, 9, 32);
	assert_int_equal(
		wgh_device_check(f.device, &(struct wgh_change){.peers = &thief, .n_peers = 1},
			&found, 1, NULL),
		1);
	assert_int_equal(found.kind, WGH_CONFLICT_PREFIX);
	assert_memory_equal(found.other.bytes, f.peers[0].public_key.bytes, 32);
	assert_int_equal(stats_of(f.device).n_peers, 2);
	end(&f);
}

/* ---- what options do ---- */

static void drop_between_peers(void *arg, struct wgh_filter_packet *packets, size_t n)
{
	_Atomic unsigned *n_asked = arg;

	for (size_t i = 0; i < n; i++)
		packets[i].drop = packets[i].from && packets[i].to;
	atomic_fetch_add(n_asked, (unsigned)n);
}

static void test_border_filter_is_asked_by_the_workers(void **state)
{
	_Atomic unsigned n_asked = 0;
	uint32_t before;
	uint64_t drops[DROP_N];
	struct wgh_stats stats = {.size = sizeof stats, .drops = drops, .n_drops = DROP_N};
	struct fixture f;

	(void)state;
	begin(&f,
		(struct wgh_device_options){.filter = drop_between_peers, .filter_arg = &n_asked});
	add_peers(&f);
	ping_hub(&f);
	before = f.peers[1].n_received;
	for (int tries = 0; tries < 3000 && !atomic_load(&n_asked); tries++) {
		udp_peer_send(&f.peers[0], 3, 100, 1);
		udp_peer_poll(&f.peers[0], 20);
	}
	assert_true(atomic_load(&n_asked) > 0);
	udp_peer_poll(&f.peers[1], 50);
	assert_int_equal(f.peers[1].n_received, before); /* the answers to its pings */
	wgh_device_stop(f.device); /* no worker counts any more */
	assert_int_equal(wgh_device_stats(f.device, &stats), 0);
	assert_int_equal(drops[DROP_FILTER], atomic_load(&n_asked));
	end(&f);
}

static void test_border_budget_refuses_a_change_and_keeps_the_device(void **state)
{
	struct wgh_peer_change *many = calloc(20000, sizeof *many);
	struct wgh_change change = {.peers = many, .n_peers = 20000};
	struct wgh_error error = {""};
	struct fixture f;

	(void)state;
	assert_non_null(many);
	for (uint32_t i = 0; i < 20000; i++)
		memcpy(many[i].public_key.bytes, &(uint32_t){i + 1}, 4);
	begin(&f, (struct wgh_device_options){.memory_bytes = 8u << 20});
	add_peers(&f);
	assert_int_equal(wgh_device_apply(f.device, &change, &error), -ENOMEM);
	assert_true(stats_of(f.device).n_memory_refused > 0);
	assert_true(stats_of(f.device).memory_peak_bytes <= 8u << 20);
	ping_hub(&f);
	must_reach(&f, 0, 1);
	free(many);
	end(&f);
}

static void test_border_options_that_are_wrong_leave_nothing_behind(void **state)
{
	struct wgh_device_options options = {
		.ifname = "test", .tun_fd = -1, .no_tun = true, .n_workers = 1};
	struct wgh_device *device = NULL;
	struct wgh_error error = {""};
	uv_loop_t loop;

	(void)state;
	assert_int_equal(wgh_device_new(&device, NULL, &options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "size"));
	options.size = sizeof options;
	options.aead = "rot13";
	assert_int_equal(wgh_device_new(&device, NULL, &options, &error), -ENOENT);
	options.aead = NULL;
	options.mtu_bytes = 575;
	assert_int_equal(wgh_device_new(&device, NULL, &options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "mtu_bytes"));
	options.mtu_bytes = 0;
	options.n_addresses = 1;
	assert_int_equal(wgh_device_new(&device, NULL, &options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "addresses: NULL"));
	options.n_addresses = 0;
	options.n_udp_fds = 1;
	assert_int_equal(wgh_device_new(&device, NULL, &options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "udp_fds: NULL"));
	options.n_udp_fds = 0;
	options.ifname = "sixteen-letters-";
	assert_int_equal(wgh_device_new(&device, NULL, &options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "ifname"));
	options.ifname = "test";
	options.memory_bytes = 1000;
	assert_int_equal(wgh_device_new(&device, NULL, &options, &error), -ENOMEM);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(wgh_device_new(&device, &loop, &options, &error), -ENOMEM);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_null(device);
	wgh_device_free(NULL);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* The header promises it for every error, so that callers need not know how far it came. */
static void test_border_descriptors_handed_in_are_closed_by_every_error(void **state)
{
	struct wgh_device_options options = {
		.size = sizeof options, .n_workers = 1, .n_udp_fds = 1};
	struct wgh_device *device;
	struct wgh_error error;
	int udp;

	(void)state;
	options.udp_fds = &udp;
	for (int round = 0; round < 3; round++) {
		options.tun_fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* no TUN */
		udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* round 1: not bound */
		options.mtu_bytes = round == 0 ? 1 : 0;
		options.n_udp_fds = round < 2;
		assert_true(wgh_device_new(&device, NULL, &options, &error) < 0);
		assert_false(is_open(options.tun_fd));
		assert_int_equal(is_open(udp), round == 2); /* that was not handed in */
	}
	assert_non_null(strstr(error.text, "not a TUN"));
	close(udp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_border_device_of_its_own_serves_peers_without_a_loop),
		cmocka_unit_test(test_border_any_thread_may_call_while_packets_pass),
		cmocka_unit_test(test_border_event_callback_may_ask_the_device),
		cmocka_unit_test(test_border_two_devices_in_one_process_talk),
		cmocka_unit_test(test_border_stopped_device_starts_again_on_its_port),
		cmocka_unit_test(test_border_start_says_that_the_port_was_taken_meanwhile),
		cmocka_unit_test(test_border_reload_keeps_sessions_and_removes_the_unlisted),
		cmocka_unit_test(test_border_check_lists_a_stolen_prefix),
		cmocka_unit_test(test_border_filter_is_asked_by_the_workers),
		cmocka_unit_test(test_border_budget_refuses_a_change_and_keeps_the_device),
		cmocka_unit_test(test_border_options_that_are_wrong_leave_nothing_behind),
		cmocka_unit_test(test_border_descriptors_handed_in_are_closed_by_every_error),
	};

	return cmocka_run_group_tests_name("border", tests, NULL, NULL);
}
