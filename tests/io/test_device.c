/* test_device.c - a running device with real threads and sockets, between peers on loopback: what
 * is done to it while packets flow. Run under the thread sanitizer too.
 */
#include "tests/lib/netns.h"
#include "tests/lib/udp_peer.h"

#include "crypto/secret.h"
#include "io/device.h"
#include "wghub_device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_PEERS 4

struct fixture {
	uv_loop_t loop;
	struct wgh_device *device;
	struct wgh_public_key key;
	struct udp_peer peers[N_PEERS];
	unsigned n_events[16];
	struct wgh_event roamed, lost; /* the newest of its kind: ROAMED, OFFLOAD_LOST */
};

static void on_event(void *arg, const struct wgh_event *event)
{
	struct fixture *f = arg;

	f->n_events[event->kind]++;
	if (event->kind == WGH_EVENT_ROAMED)
		f->roamed = *event;
	else if (event->kind == WGH_EVENT_OFFLOAD_LOST)
		f->lost = *event;
}

static void turn_loop(void *arg)
{
	struct fixture *f = arg;

	uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* A minute is for busy machines. */
#define wait_until(f, condition)                                                                   \
	do {                                                                                       \
		for (int tries = 0; tries < 6000 && !(condition); tries++) {                       \
			turn_loop(f);                                                              \
			usleep(10000);                                                             \
		}                                                                                  \
		assert_true(condition);                                                            \
	} while (0)

static struct wgh_snapshot *snapshot(struct fixture *f)
{
	struct wgh_snapshot *s;

	assert_int_equal(wgh_device_snapshot(f->device, &s), 0);
	return s;
}

static uint16_t listen_port(struct fixture *f)
{
	struct wgh_snapshot *s = snapshot(f);
	uint16_t port = s->listen_port;

	wgh_snapshot_free(s);
	return port;
}

static void apply(struct fixture *f, const struct wgh_change *change)
{
	struct wgh_error error = {""};

	if (wgh_device_apply(f->device, change, &error))
		fail_msg("change refused: %s", error.text);
}

static void add_peers(struct fixture *f)
{
	struct wgh_allowed_ip ips[N_PEERS];
	struct wgh_peer_change changes[N_PEERS];

	for (unsigned i = 0; i < N_PEERS; i++)
		changes[i] = udp_peer_change(&f->peers[i], &ips[i]);
	apply(f, &(struct wgh_change){.peers = changes, .n_peers = N_PEERS});
}

/* In threads of the device; main looks after they have begun. */
static _Atomic unsigned n_threads_begun;

static void on_thread(void *arg)
{
	(void)arg;
	n_threads_begun++;
}

/* ifname NULL: without a TUN. udp_fds NULL: its own sockets. */
static void start_handed(struct fixture *f, unsigned n_workers, unsigned offloads_off,
	const char *ifname, const int *udp_fds, size_t n_udp_fds)
{
	struct wgh_prefix own = {.addr = {.bytes = {10, 9, 0, 1}, .family = WGH_IPV4}, .bits = 24};
	struct wgh_device_options options = {.size = sizeof options,
		.ifname = ifname ? ifname : "test",
		.tun_fd = -1,
		.no_tun = !ifname,
		.n_workers = n_workers,
		.offloads_off = offloads_off,
		.addresses = &own,
		.n_addresses = 1,
		.udp_fds = udp_fds,
		.n_udp_fds = n_udp_fds,
		.on_thread = on_thread,
		.on_event = on_event,
		.arg = f};
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};
	struct wgh_snapshot *s;
	struct wgh_error error;

	memset(f, 0, sizeof *f);
	uv_loop_init(&f->loop);
	if (wgh_device_new(&f->device, &f->loop, &options, &error))
		fail_msg("%s", error.text);
	if (ifname) {
		assert_int_equal(netns_address_set(ifname, "10.9.0.1", "255.255.255.0"), 0);
		assert_int_equal(netns_link_set(ifname, true, 1420), 0);
		wait_until(f, wgh_device_is_up(f->device));
	}
	assert_true(wgh_device_is_up(f->device));
	secret_random(change.private_key, sizeof change.private_key);
	apply(f, &change);
	s = snapshot(f);
	f->key = s->public_key;
	assert_int_equal(s->n_workers, n_workers);
	wgh_snapshot_free(s);
	for (unsigned i = 0; i < N_PEERS; i++)
		udp_peer_init(&f->peers[i], (uint8_t)(i + 2));
	add_peers(f);
	for (unsigned i = 0; i < N_PEERS; i++)
		udp_peer_connect(&f->peers[i], &f->key, listen_port(f));
}

static void start_with(
	struct fixture *f, unsigned n_workers, unsigned offloads_off, const char *ifname)
{
	start_handed(f, n_workers, offloads_off, ifname, NULL, 0);
}

static void start(struct fixture *f, unsigned n_workers, unsigned offloads_off)
{
	start_with(f, n_workers, offloads_off, NULL);
}

static void stop(struct fixture *f)
{
	for (unsigned i = 0; i < N_PEERS; i++)
		udp_peer_fini(&f->peers[i]);
	wgh_device_free(f->device);
	while (uv_run(&f->loop, UV_RUN_DEFAULT))
		;
	assert_int_equal(uv_loop_close(&f->loop), 0);
}

/* How many packets were sent for it; all have arrived. */
static uint32_t must_reach(struct fixture *f, unsigned from, unsigned to)
{
	uint32_t n = udp_peer_reach(&f->peers[from], &f->peers[to], turn_loop, f);

	assert_true(n > 0);
	assert_int_equal(f->peers[to].last[15], from + 2); /* its source */
	assert_int_equal(f->peers[to].last[8], 63); /* one hop less */
	return n;
}

/* A peer that has no session yet cannot be called without an endpoint: it calls the hub first. */
static void all_ping_hub(struct fixture *f)
{
	for (unsigned i = 0; i < N_PEERS; i++)
		assert_true(udp_peer_reach_by_ping(&f->peers[i], 1) > 0);
}

static void everybody_reaches_everybody(unsigned n_workers, unsigned offloads_off)
{
	struct fixture f;

	start(&f, n_workers, offloads_off);
	all_ping_hub(&f);
	for (unsigned a = 0; a < N_PEERS; a++)
		for (unsigned b = 0; b < N_PEERS; b++)
			if (a != b)
				must_reach(&f, a, b);
	wait_until(&f, f.n_events[WGH_EVENT_HANDSHAKE] >= N_PEERS);
	stop(&f);
}

static void test_device_forwards_with_one_worker(void **state)
{
	(void)state;
	everybody_reaches_everybody(1, 0);
}

static void test_device_forwards_with_three_workers(void **state)
{
	(void)state;
	everybody_reaches_everybody(3, 0);
}

static void test_device_forwards_without_offloads(void **state)
{
	(void)state;
	everybody_reaches_everybody(2, WGH_OFFLOAD_ALL);
}

static void test_device_keeps_sessions_on_a_new_port(void **state)
{
	struct fixture f;
	uint16_t before, after;

	(void)state;
	start(&f, 2, 0);
	all_ping_hub(&f);
	before = listen_port(&f);
	apply(&f, &(struct wgh_change){.flags = WGH_HAS_LISTEN_PORT, .listen_port = 0});
	after = listen_port(&f);
	assert_int_not_equal(before, after);
	/* The hub still knows where its peers are, and tells them its new port with the first
	 * packet. */
	for (unsigned i = 0; i < N_PEERS; i++)
		udp_peer_connect(&f.peers[i], &f.key, after);
	must_reach(&f, 0, 1);
	wait_until(&f, f.n_events[WGH_EVENT_ROAMED] >= N_PEERS); /* when they first called */
	assert_int_equal(f.n_events[WGH_EVENT_ROAMED], N_PEERS);
	stop(&f);
}

static void test_device_refuses_a_taken_port_and_keeps_its_own(void **state)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t len = sizeof sin;
	struct wgh_error error = {""};
	struct wgh_change change = {.flags = WGH_HAS_LISTEN_PORT};
	struct fixture f;
	uint16_t before;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	start(&f, 2, 0);
	all_ping_hub(&f);
	before = listen_port(&f);
	change.listen_port = ntohs(sin.sin_port);
	assert_int_equal(wgh_device_apply(f.device, &change, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "another program uses it"));
	assert_int_equal(listen_port(&f), before);
	must_reach(&f, 0, 1);
	close(fd);
	stop(&f);
}

/* Down wiped the hub's sessions: new peers, new handshakes. */
static void connect_again(struct fixture *f, uint16_t port)
{
	for (unsigned p = 0; p < N_PEERS; p++) {
		udp_peer_fini(&f->peers[p]);
		udp_peer_init(&f->peers[p], (uint8_t)(p + 2));
		udp_peer_connect(&f->peers[p], &f->key, port);
	}
	add_peers(f);
}

static void test_device_comes_up_again_on_the_same_port(void **state)
{
	struct fixture f;
	uint16_t before;

	(void)state;
	start(&f, 2, 0);
	all_ping_hub(&f);
	before = listen_port(&f);
	device_set_up(f.device, false);
	assert_false(wgh_device_is_up(f.device));
	device_set_up(f.device, true);
	assert_true(wgh_device_is_up(f.device));
	assert_int_equal(listen_port(&f), before);
	connect_again(&f, before);
	all_ping_hub(&f);
	must_reach(&f, 0, 1);
	stop(&f);
}

static void test_device_follows_a_peer_that_roams(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, 2, 0);
	all_ping_hub(&f);
	must_reach(&f, 0, 1);
	wait_until(&f, f.n_events[WGH_EVENT_ROAMED] == N_PEERS); /* when they first called */
	udp_peer_rebind(&f.peers[1]);
	must_reach(&f, 1, 0);
	must_reach(&f, 0, 1);
	wait_until(&f, f.n_events[WGH_EVENT_ROAMED] == N_PEERS + 1);
	assert_int_equal(f.roamed.endpoint.port, f.peers[1].port);
	stop(&f);
}

static void test_device_survives_removing_and_adding_peers_under_traffic(void **state)
{
	struct fixture f;
	struct wgh_snapshot *s;

	(void)state;
	start(&f, 2, 0);
	all_ping_hub(&f);
	for (uint32_t round = 0; round < 60; round++) {
		struct wgh_peer_change remove = {.public_key = f.peers[round % N_PEERS].public_key,
			.flags = WGH_PEER_REMOVE};

		for (uint32_t i = 0; i < 20; i++)
			for (unsigned p = 0; p < N_PEERS; p++)
				udp_peer_send(
					&f.peers[p], (uint8_t)((p + 1 + i) % N_PEERS + 2), 200, i);
		apply(&f, &(struct wgh_change){.peers = &remove, .n_peers = 1});
		s = snapshot(&f);
		assert_int_equal(s->n_peers, N_PEERS - 1);
		wgh_snapshot_free(s);
		add_peers(&f);
		for (unsigned p = 0; p < N_PEERS; p++)
			udp_peer_poll(&f.peers[p], 0);
		turn_loop(&f);
	}
	s = snapshot(&f);
	assert_int_equal(s->n_peers, N_PEERS);
	wgh_snapshot_free(s);
	/* New peers know no replayed timestamps but also no sessions: a fresh identity proves the
	 * hub is well. */
	for (unsigned p = 0; p < N_PEERS; p++) {
		udp_peer_fini(&f.peers[p]);
		udp_peer_init(&f.peers[p], (uint8_t)(p + 2));
		udp_peer_connect(&f.peers[p], &f.key, listen_port(&f));
	}
	add_peers(&f);
	all_ping_hub(&f);
	must_reach(&f, 2, 3);
	stop(&f);
}

static uint64_t forwarded(struct fixture *f)
{
	struct wgh_snapshot *s = snapshot(f);
	uint64_t n = s->n_forwarded;

	wgh_snapshot_free(s);
	return n;
}

static uint64_t drops(struct fixture *f, enum drop reason)
{
	struct wgh_snapshot *s = snapshot(f);
	uint64_t n = s->drops[reason];

	wgh_snapshot_free(s);
	return n;
}

static void wait_for_drops(struct fixture *f, enum drop reason, uint64_t n)
{
	for (int tries = 0; tries < 6000 && drops(f, reason) < n; tries++)
		usleep(10000);
	assert_int_equal(drops(f, reason), n);
}

static void test_device_counts_what_it_forwards_and_drops(void **state)
{
	struct fixture f;
	uint64_t n;

	(void)state;
	start(&f, 1, 0);
	all_ping_hub(&f);
	n = must_reach(&f, 0, 1);
	for (uint32_t i = 0; i < 10; i++) {
		udp_peer_send(&f.peers[0], 3, 100, i);
		udp_peer_send(&f.peers[0], 99, 100, i); /* nobody's */
	}
	wait_for_drops(&f, DROP_NO_ROUTE, 10);
	wait_until(&f, forwarded(&f) == n + 10);
	stop(&f);
}

static void test_device_counts_truncated_datagrams(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, 1, 0);
	/* No datagram is larger than a real slot: a device that is down gets smaller ones. */
	device_set_up(f.device, false);
	udp_rx_free(f.device->carriers[0].udp_rx);
	f.device->carriers[0].udp_rx = udp_rx_new_sized(512);
	assert_non_null(f.device->carriers[0].udp_rx);
	device_set_up(f.device, true);
	all_ping_hub(&f);
	must_reach(&f, 0, 1);
	udp_peer_send(&f.peers[0], 3, 1000, 1);
	wait_for_drops(&f, DROP_TRUNCATED, 1);
	must_reach(&f, 0, 1); /* and goes on */
	stop(&f);
}

static void test_device_counts_refused_sends(void **state)
{
	struct wgh_peer_change nowhere = {.flags = WGH_PEER_HAS_ENDPOINT,
		.endpoint = {.addr = {255, 255, 255, 255}, .port = 9, .family = WGH_IPV4}};
	struct fixture f;

	(void)state;
	start(&f, 1, 0);
	all_ping_hub(&f);
	must_reach(&f, 0, 1);
	must_reach(&f, 2, 3);
	nowhere.public_key = f.peers[1].public_key;
	apply(&f, &(struct wgh_change){.peers = &nowhere, .n_peers = 1});
	for (uint32_t i = 0; i < 5; i++)
		udp_peer_send(&f.peers[0], 3, 200, i);
	wait_for_drops(&f, DROP_SEND, 5);
	must_reach(&f, 2, 3); /* others are not disturbed */
	stop(&f);
}

static void test_device_that_was_stopped_ignores_its_link(void **state)
{
	int before = netns_enter();
	struct fixture f;

	(void)state;
	start_with(&f, 2, 0, "wgtest0");
	wgh_device_stop(f.device);
	assert_int_equal(netns_link_set("wgtest0", false, 1420), 0);
	turn_loop(&f);
	assert_int_equal(wgh_device_start(f.device, NULL), 0); /* it waits for the link */
	assert_false(wgh_device_is_up(f.device));
	wgh_device_stop(f.device);
	assert_int_equal(netns_link_set("wgtest0", true, 1420), 0);
	turn_loop(&f);
	assert_false(wgh_device_is_up(f.device));
	assert_int_equal(wgh_device_start(f.device, NULL), 0);
	assert_true(wgh_device_is_up(f.device));
	for (int up = 0; up < 2; up++) { /* and follows it again */
		assert_int_equal(netns_link_set("wgtest0", up, 1420), 0);
		turn_loop(&f);
		assert_int_equal(wgh_device_is_up(f.device), up);
	}
	stop(&f);
	netns_leave(before);
}

static void test_device_counts_refused_tun_writes(void **state)
{
	int before = netns_enter();
	struct fixture f;

	(void)state;
	start_with(&f, 2, 0, "wgtest0");
	all_ping_hub(&f); /* through the TUN: the kernel answers */
	/* The device learns of this when its loop turns; until then it goes on writing. */
	assert_int_equal(netns_link_set("wgtest0", false, 1420), 0);
	for (uint32_t i = 0; i < 5; i++)
		udp_peer_send(&f.peers[0], 1, 200, i);
	wait_for_drops(&f, DROP_TUN_WRITE, 5);
	turn_loop(&f);
	assert_false(wgh_device_is_up(f.device));
	stop(&f);
	netns_leave(before);
}

/* ---- routes ---- */

static unsigned count_routes(const char *ifname)
{
	FILE *file = fopen("/proc/thread-self/net/route", "r");
	unsigned n = 0, mask;
	char line[300], name[20];

	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "%19s %*x %*x %*x %*d %*d %*d %x", name, &mask) == 2)
			n += !strcmp(name, ifname) && mask == 0xffffffff;
	}
	fclose(file);
	return n;
}

static void configure_routes(struct fixture *f, size_t n)
{
	struct wgh_prefix routes[300];
	struct wgh_link link = {.up = true, .routes = routes, .n_routes = n};
	struct wgh_error error = {""};

	for (size_t i = 0; i < n; i++)
		routes[i] = (struct wgh_prefix){
			{{10, 77, (uint8_t)(9 - i / 100), (uint8_t)(i * 7)}, WGH_IPV4}, 32};
	if (wgh_device_configure_link(f->device, &link, &error))
		fail_msg("%s", error.text);
}

/* What was added once is not asked for again, but the kernel forgets it with the link. */
static void test_device_routes_are_added_once_and_again_after_the_link_was_down(void **state)
{
	int before = netns_enter();
	struct fixture f;

	(void)state;
	start_with(&f, 1, 0, "wgtest0");
	configure_routes(&f, 200);
	assert_int_equal(count_routes("wgtest0"), 200);
	configure_routes(&f, 201);
	assert_int_equal(count_routes("wgtest0"), 201);
	assert_int_equal(netns_link_set("wgtest0", false, 1420), 0);
	assert_int_equal(count_routes("wgtest0"), 0);
	assert_int_equal(netns_link_set("wgtest0", true, 1420), 0);
	configure_routes(&f, 201);
	assert_int_equal(count_routes("wgtest0"), 201);
	stop(&f);
	netns_leave(before);
}

/* ---- sockets handed in ---- */

/* n sockets of one family on one port (0: any, which is the answer), all addresses. */
static uint16_t bound_sockets(int *fds, unsigned n, int family, bool v6only, uint16_t port)
{
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6};
	struct sockaddr_in any4 = {.sin_family = AF_INET};
	struct sockaddr *any =
		family == AF_INET ? (struct sockaddr *)&any4 : (struct sockaddr *)&any6;
	socklen_t len = family == AF_INET ? sizeof any4 : sizeof any6;
	int on = 1, v6 = v6only;

	for (unsigned i = 0; i < n; i++) {
		any4.sin_port = any6.sin6_port = htons(port);
		fds[i] = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_true(fds[i] >= 0);
		setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
		if (family == AF_INET6)
			setsockopt(fds[i], IPPROTO_IPV6, IPV6_V6ONLY, &v6, sizeof v6);
		assert_int_equal(bind(fds[i], any, len), 0);
		assert_int_equal(getsockname(fds[i], any, &len), 0);
		port = ntohs(family == AF_INET ? any4.sin_port : any6.sin6_port);
	}
	return port;
}

static void test_device_serves_on_sockets_handed_in(void **state)
{
	struct fixture f;
	uint16_t port;
	int fds[2];

	(void)state;
	port = bound_sockets(fds, 2, AF_INET, true, 0);
	start_handed(&f, 2, 0, NULL, fds, 2); /* two workers: as many as sockets */
	assert_int_equal(listen_port(&f), port);
	all_ping_hub(&f);
	/* Down and up again: the same sockets, which nobody else could have taken meanwhile. */
	device_set_up(f.device, false);
	device_set_up(f.device, true);
	assert_int_equal(listen_port(&f), port);
	connect_again(&f, port);
	all_ping_hub(&f);
	stop(&f);
}

/* Linux refuses segmented sends without checksum; what comes in bursts leaves segmented. */
static void test_device_tells_once_that_the_kernel_refuses_segmentation(void **state)
{
	struct wgh_snapshot *s;
	struct fixture f;
	int fds[1], on = 1;

	(void)state;
	bound_sockets(fds, 1, AF_INET, true, 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
	start_handed(&f, 1, 0, NULL, fds, 1);
	all_ping_hub(&f);
	must_reach(&f, 0, 1);
	for (int tries = 0; tries < 1000 && !f.n_events[WGH_EVENT_OFFLOAD_LOST]; tries++) {
		for (uint32_t i = 0; i < 64; i++)
			udp_peer_send(&f.peers[0], 3, 100, i);
		udp_peer_poll(&f.peers[1], 1);
		turn_loop(&f);
	}
	assert_int_equal(f.n_events[WGH_EVENT_OFFLOAD_LOST], 1);
	assert_int_equal(f.lost.offload, WGH_OFFLOAD_UDP_GSO);
	s = snapshot(&f);
	assert_false(s->offloads & WGH_OFFLOAD_UDP_GSO);
	wgh_snapshot_free(s);
	must_reach(&f, 0, 1);
	assert_int_equal(f.n_events[WGH_EVENT_OFFLOAD_LOST], 1);
	stop(&f);
}

static void test_device_leaves_sockets_handed_in_for_another_port(void **state)
{
	struct wgh_change change = {.flags = WGH_HAS_LISTEN_PORT};
	struct fixture f;
	uint16_t port;
	int fds[1];

	(void)state;
	port = bound_sockets(fds, 1, AF_INET, true, 0);
	start_handed(&f, 1, 0, NULL, fds, 1);
	apply(&f, &change);
	assert_int_not_equal(listen_port(&f), port);
	change.listen_port = port;
	apply(&f, &change);
	assert_int_equal(listen_port(&f), port);
	all_ping_hub(&f);
	stop(&f);
}

static void refuse_handed(const int *fds, size_t n, const char *why)
{
	struct wgh_device_options options = {.size = sizeof options,
		.ifname = "test",
		.tun_fd = -1,
		.no_tun = true,
		.udp_fds = fds,
		.n_udp_fds = n};
	struct wgh_device *device;
	struct wgh_error error;
	uv_loop_t loop;

	uv_loop_init(&loop);
	assert_int_equal(wgh_device_new(&device, &loop, &options, &error), -EINVAL);
	if (!strstr(error.text, why))
		fail_msg("%s", error.text);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_device_refuses_sockets_it_cannot_serve(void **state)
{
	int fds[3];

	(void)state;
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	refuse_handed(fds, 1, "not a bound UDP socket");
	fds[0] = socket(AF_INET, SOCK_DGRAM, 0);
	refuse_handed(fds, 1, "not a bound UDP socket");
	bound_sockets(fds, 1, AF_INET6, false, 0);
	refuse_handed(fds, 1, "BindIPv6Only");
	bound_sockets(fds, 1, AF_INET, true, 0);
	bound_sockets(fds + 1, 1, AF_INET, true, 0);
	refuse_handed(fds, 2, "different ports");
	bound_sockets(fds + 2, 1, AF_INET6, true, bound_sockets(fds, 2, AF_INET, true, 0));
	refuse_handed(fds, 3, "as many of each");
}

/* ---- its threads ---- */

static void test_device_calls_the_hook_in_each_thread(void **state)
{
	struct fixture f;

	(void)state;
	n_threads_begun = 0;
	start(&f, 3, 0);
	all_ping_hub(&f);
	wait_until(&f, n_threads_begun >= 4);
	assert_int_equal(n_threads_begun, 4); /* workers and protocol */
	stop(&f);
}

/* False until the thread that hangs goes on. */
static bool alive_again(struct fixture *f)
{
	wgh_device_is_alive(f->device);
	for (int i = 0; i < 6000; i++) {
		usleep(10000);
		if (wgh_device_is_alive(f->device))
			return true;
	}
	return false;
}

static void test_device_that_hangs_is_not_alive(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, 2, 0);
	assert_true(alive_again(&f));
	/* The protocol thread needs this lock to do anything at all. */
	device_lock(f.device);
	wgh_device_is_alive(f.device);
	usleep(50000);
	assert_false(wgh_device_is_alive(f.device));
	device_unlock(f.device);
	assert_true(alive_again(&f));
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_forwards_with_one_worker),
		cmocka_unit_test(test_device_forwards_with_three_workers),
		cmocka_unit_test(test_device_forwards_without_offloads),
		cmocka_unit_test(test_device_keeps_sessions_on_a_new_port),
		cmocka_unit_test(test_device_refuses_a_taken_port_and_keeps_its_own),
		cmocka_unit_test(test_device_comes_up_again_on_the_same_port),
		cmocka_unit_test(test_device_follows_a_peer_that_roams),
		cmocka_unit_test(test_device_survives_removing_and_adding_peers_under_traffic),
		cmocka_unit_test(test_device_counts_what_it_forwards_and_drops),
		cmocka_unit_test(test_device_counts_truncated_datagrams),
		cmocka_unit_test(test_device_counts_refused_sends),
		cmocka_unit_test(test_device_that_was_stopped_ignores_its_link),
		cmocka_unit_test(test_device_counts_refused_tun_writes),
		cmocka_unit_test(
			test_device_routes_are_added_once_and_again_after_the_link_was_down),
		cmocka_unit_test(test_device_serves_on_sockets_handed_in),
		cmocka_unit_test(test_device_tells_once_that_the_kernel_refuses_segmentation),
		cmocka_unit_test(test_device_leaves_sockets_handed_in_for_another_port),
		cmocka_unit_test(test_device_refuses_sockets_it_cannot_serve),
		cmocka_unit_test(test_device_calls_the_hook_in_each_thread),
		cmocka_unit_test(test_device_that_hangs_is_not_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
