/* netns.c - a network namespace of the test's own, set up with ioctls so that netlink.c is not
 * needed. */
#include "tests/lib/netns.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int netns_enter(void)
{
	int before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (before < 0 || unshare(CLONE_NEWNET) < 0)
		fail_msg("this test needs root, to make a network namespace: %s", strerror(errno));
	assert_int_equal(netns_link_set("lo", true, 0), 0);
	return before;
}

void netns_leave(int before)
{
	assert_int_equal(setns(before, CLONE_NEWNET), 0);
	close(before);
}

static int request(unsigned long what, struct ifreq *ifr, const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof ifr->ifr_name, "%s", name);
	err = ioctl(fd, what, ifr) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int netns_link_set(const char *name, bool up, int mtu_bytes)
{
	struct ifreq ifr = {0};
	int err;

	if (mtu_bytes) {
		ifr.ifr_mtu = mtu_bytes;
		err = request(SIOCSIFMTU, &ifr, name);
		if (err)
			return err;
	}
	err = request(SIOCGIFFLAGS, &ifr, name);
	if (err)
		return err;
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	return request(SIOCSIFFLAGS, &ifr, name);
}

int netns_address_set(const char *name, const char *addr, const char *mask)
{
	struct ifreq ifr = {0};
	struct sockaddr_in *sin = (struct sockaddr_in *)&ifr.ifr_addr;
	int err;

	sin->sin_family = AF_INET;
	if (inet_pton(AF_INET, addr, &sin->sin_addr) != 1)
		return -EINVAL;
	err = request(SIOCSIFADDR, &ifr, name);
	if (err)
		return err;
	sin->sin_family = AF_INET;
	if (inet_pton(AF_INET, mask, &sin->sin_addr) != 1)
		return -EINVAL;
	return request(SIOCSIFNETMASK, &ifr, name);
}
