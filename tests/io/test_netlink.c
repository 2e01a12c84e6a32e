/* test_netlink.c - links, addresses and routes of a network namespace of the test's own. Needs
 * root. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/netlink.h"
#include "tests/lib/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What the events said last, and a device to say it about. */
struct fixture {
	int before, tun_fd;
	unsigned ifindex;
	struct netlink *nl;
	unsigned n_links, n_gone, n_added, n_removed, n_overruns;
	bool up;
	uint32_t mtu_bytes;
	char name[IFNAMSIZ];
	struct wgh_prefix added, removed;
	bool asks; /* inside the link event */
	unsigned n_asked;
};

static const struct wgh_prefix v4 = {{{10, 42, 42, 1}, WGH_IPV4}, 24};

static void on_link(void *arg, unsigned ifindex, const char *name, bool up, uint32_t mtu_bytes)
{
	struct fixture *f = arg;

	if (ifindex != f->ifindex)
		return;
	f->n_links++;
	f->up = up;
	f->mtu_bytes = mtu_bytes;
	snprintf(f->name, sizeof f->name, "%s", name);
	if (f->asks) {
		assert_int_equal(netlink_add_address(f->nl, f->ifindex, &v4), 0);
		f->n_asked++;
	}
}

static void on_link_gone(void *arg, unsigned ifindex)
{
	struct fixture *f = arg;

	f->n_gone += ifindex == f->ifindex;
}

static void on_address(void *arg, unsigned ifindex, const struct wgh_prefix *address, bool added)
{
	struct fixture *f = arg;

	/* The kernel gives an IPv6 device a link-local address by itself, at some time. */
	if (ifindex != f->ifindex || address->addr.bytes[0] == 0xfe)
		return;
	if (added) {
		f->n_added++;
		f->added = *address;
	} else {
		f->n_removed++;
		f->removed = *address;
	}
}

static void on_overrun(void *arg)
{
	struct fixture *f = arg;

	f->n_overruns++;
}

static const struct netlink_events events = {on_link, on_link_gone, on_address, on_overrun};

static int setup(void **state)
{
	static struct fixture fixture;
	struct fixture *f = &fixture;
	struct ifreq ifr = {.ifr_name = "wghtun", .ifr_flags = IFF_TUN | IFF_NO_PI};

	*f = (struct fixture){.before = netns_enter()};
	f->tun_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_true(f->tun_fd >= 0);
	assert_int_equal(ioctl(f->tun_fd, TUNSETIFF, &ifr), 0);
	f->ifindex = if_nametoindex("wghtun");
	assert_int_not_equal(f->ifindex, 0);
	assert_int_equal(netlink_new(&f->nl, &events, f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	netlink_free(f->nl);
	if (f->tun_fd >= 0)
		close(f->tun_fd);
	netns_leave(f->before);
	return 0;
}

/* Reads events until *n is at least want or nothing comes for a minute. */
static void events_wait(struct fixture *f, const unsigned *n, unsigned want)
{
	struct pollfd pfd = {.fd = netlink_fd(f->nl), .events = POLLIN};

	while (*n < want && poll(&pfd, 1, 60000) > 0)
		assert_int_equal(netlink_read(f->nl), 0);
	assert_true(*n >= want);
}

static const struct wgh_prefix v6 = {{{0xfd, 0x42, [15] = 1}, WGH_IPV6}, 64};

static void test_reading_without_events_does_not_wait(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(netlink_read(f->nl), 0);
	assert_int_equal(f->n_links + f->n_added + f->n_overruns, 0);
	assert_int_equal(fcntl(netlink_fd(f->nl), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void test_link_state_and_mtu_are_set_and_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(netlink_set_mtu(f->nl, f->ifindex, 1420), 0);
	events_wait(f, &f->n_links, 1);
	assert_int_equal(f->mtu_bytes, 1420);
	assert_false(f->up);
	assert_string_equal(f->name, "wghtun");
	f->n_links = 0;
	assert_int_equal(netlink_set_link(f->nl, f->ifindex, true), 0);
	events_wait(f, &f->n_links, 1);
	assert_true(f->up);
	f->n_links = 0;
	assert_int_equal(netlink_set_link(f->nl, f->ifindex, false), 0);
	events_wait(f, &f->n_links, 1);
	assert_false(f->up);
}

static void test_link_of_an_unknown_index_is_an_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(netlink_set_link(f->nl, 9999, true), -ENODEV);
	assert_int_equal(netlink_set_mtu(f->nl, 9999, 1420), -ENODEV);
	assert_int_equal(netlink_add_address(f->nl, 9999, &v4), -ENODEV);
	/* And the socket still answers. */
	assert_int_equal(netlink_set_mtu(f->nl, f->ifindex, 1400), 0);
}

static void test_addresses_are_added_and_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(netlink_add_address(f->nl, f->ifindex, &v4), 0);
	events_wait(f, &f->n_added, 1);
	assert_memory_equal(&f->added, &v4, sizeof v4);
	assert_int_equal(netlink_set_link(f->nl, f->ifindex, true), 0);
	f->n_added = 0;
	assert_int_equal(netlink_add_address(f->nl, f->ifindex, &v6), 0);
	events_wait(f, &f->n_added, 1);
	assert_memory_equal(&f->added, &v6, sizeof v6);
}

static void test_address_that_is_there_is_no_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(netlink_add_address(f->nl, f->ifindex, &v4), 0);
	assert_int_equal(netlink_add_address(f->nl, f->ifindex, &v4), 0);
	assert_int_equal(netlink_add_address(f->nl, f->ifindex, &v6), 0);
	assert_int_equal(netlink_add_address(f->nl, f->ifindex, &v6), 0);
}

static void test_removed_address_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(netns_address_set("wghtun", "192.0.2.1", "255.255.255.0"), 0);
	events_wait(f, &f->n_added, 1);
	assert_int_equal(netns_address_set("wghtun", "192.0.2.2", "255.255.255.0"), 0);
	events_wait(f, &f->n_removed, 1);
	assert_memory_equal(f->removed.addr.bytes, ((uint8_t[]){192, 0, 2, 1}), 4);
}

static void test_bad_prefix_is_refused_before_the_kernel(void **state)
{
	struct fixture *f = *state;
	struct wgh_prefix bad = v4;

	bad.bits = 33;
	assert_int_equal(netlink_add_address(f->nl, f->ifindex, &bad), -EINVAL);
	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &bad), -EINVAL);
}

static void test_route_is_added_once_and_with_host_bits(void **state)
{
	struct fixture *f = *state;
	struct wgh_prefix host_bits = {{{10, 9, 8, 7}, WGH_IPV4}, 16};
	struct wgh_prefix all = {{{0}, WGH_IPV4}, 0};
	char line[256], name[64];
	unsigned dst, n = 0;
	FILE *routes;

	assert_int_equal(netlink_set_link(f->nl, f->ifindex, true), 0);
	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &host_bits), 0);
	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &host_bits), 0);
	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &all), 0);
	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &all), 0);
	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &v6), 0);
	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &v6), 0);
	/* The kernel's own list: 10.9.0.0/16 and the default, in host order as hexadecimal. */
	routes = fopen("/proc/thread-self/net/route", "r");
	assert_non_null(routes);
	while (fgets(line, sizeof line, routes))
		if (sscanf(line, "%63s %x", name, &dst) == 2 && strcmp(name, "wghtun") == 0) {
			uint8_t b[4];

			memcpy(b, &dst, 4);
			assert_true(dst == 0 || (b[0] == 10 && b[1] == 9 && !b[2] && !b[3]));
			n++;
		}
	fclose(routes);
	assert_int_equal(n, 2);
}

static void test_route_of_another_interface_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct wgh_prefix net = {{{10, 9, 0, 0}, WGH_IPV4}, 16};

	assert_int_equal(netlink_set_link(f->nl, f->ifindex, true), 0);
	assert_int_equal(netlink_add_route(f->nl, if_nametoindex("lo"), &net), 0);
	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &net), -EEXIST);
}

static void test_route_through_a_link_that_is_down_is_an_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(netlink_add_route(f->nl, f->ifindex, &v4), -ENETDOWN);
}

static void test_dump_tells_the_present_state(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(netlink_add_address(f->nl, f->ifindex, &v4), 0);
	assert_int_equal(netlink_set_mtu(f->nl, f->ifindex, 1333), 0);
	assert_int_equal(netlink_dump(f->nl), 0);
	assert_int_equal(f->n_links, 1);
	assert_int_equal(f->mtu_bytes, 1333);
	assert_int_equal(f->n_added, 1);
	assert_memory_equal(&f->added, &v4, sizeof v4);
}

static void test_link_that_goes_is_told(void **state)
{
	struct fixture *f = *state;

	close(f->tun_fd);
	f->tun_fd = -1;
	events_wait(f, &f->n_gone, 1);
	assert_int_equal(f->n_gone, 1);
}

static void test_lost_events_are_told(void **state)
{
	struct fixture *f = *state;
	int small = 4096;

	assert_int_equal(
		setsockopt(netlink_fd(f->nl), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(netlink_set_mtu(f->nl, f->ifindex, 1300 + (i & 1)), 0);
	assert_int_equal(netlink_read(f->nl), 0);
	assert_true(f->n_overruns > 0);
	/* And later ones arrive again. */
	f->n_links = 0;
	assert_int_equal(netlink_set_mtu(f->nl, f->ifindex, 1444), 0);
	events_wait(f, &f->n_links, 1);
	assert_int_equal(f->mtu_bytes, 1444);
}

static void test_event_may_make_a_request(void **state)
{
	struct fixture *f = *state;

	f->asks = true;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(netlink_set_mtu(f->nl, f->ifindex, 1300 + i), 0);
	events_wait(f, &f->n_links, 3);
	assert_int_equal(f->n_asked, 3);
	assert_int_equal(f->mtu_bytes, 1302);
}

#define WITH_DEVICE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DEVICE(test_reading_without_events_does_not_wait),
		WITH_DEVICE(test_link_state_and_mtu_are_set_and_told),
		WITH_DEVICE(test_link_of_an_unknown_index_is_an_error),
		WITH_DEVICE(test_addresses_are_added_and_told),
		WITH_DEVICE(test_address_that_is_there_is_no_error),
		WITH_DEVICE(test_removed_address_is_told),
		WITH_DEVICE(test_bad_prefix_is_refused_before_the_kernel),
		WITH_DEVICE(test_route_is_added_once_and_with_host_bits),
		WITH_DEVICE(test_route_of_another_interface_is_an_error),
		WITH_DEVICE(test_route_through_a_link_that_is_down_is_an_error),
		WITH_DEVICE(test_dump_tells_the_present_state),
		WITH_DEVICE(test_link_that_goes_is_told),
		WITH_DEVICE(test_lost_events_are_told),
		WITH_DEVICE(test_event_may_make_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
