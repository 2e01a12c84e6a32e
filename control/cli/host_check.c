/* host_check.c - see host_check.h. */
#include "control/cli/host_check.h"

#include "control/ctl_client.h"
#include "control/error.h"
#include "control/text.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The port of our own hub, if it runs: 0 otherwise. */
static uint16_t own_port(const struct host_check *check)
{
	struct wgh_error ignored;
	struct ctl_answer answer;
	uint16_t port = 0;

	if (!check->socket_dir || ctl_get(&answer, check->socket_dir, check->ifname, &ignored))
		return 0;
	for (size_t i = 0; i < answer.n_lines && !port; i++) {
		const char *value = answer.lines[i].value;

		if (!strcmp(answer.lines[i].key, "listen_port") &&
			text_port(&port, value, strlen(value)))
			break;
	}
	ctl_answer_fini(&answer);
	return port;
}

/* 0, or the errno of bind(). A host without this family has nothing in the way. */
static int try_bind(int family, uint16_t port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, err = 0;

	if (fd < 0)
		return 0;
	if (family == AF_INET6)
		IGNORE_RESULT(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
	if (bind(fd, family == AF_INET6 ? (struct sockaddr *)&six : (struct sockaddr *)&four,
		    family == AF_INET6 ? sizeof six : sizeof four))
		err = errno == EADDRNOTAVAIL ? 0 : errno;
	close(fd);
	return err;
}

static int check_port(const struct host_check *check, struct wgh_error *error)
{
	int err;

	if (own_port(check) == check->port)
		return 0;
	err = try_bind(AF_INET, check->port);
	if (!err)
		err = try_bind(AF_INET6, check->port);
	if (!err)
		return 0;
	if (err == EADDRINUSE)
		error_set(error,
			"UDP port %u is in use on this host, which `ss -ulnp` shows; if it is the "
			"old daemon: systemctl stop factory-vpn-%s; else: --port N, or "
			"--no-check-ip",
			check->port, check->factory);
	else
		error_set(error, "UDP port %u cannot be used: %s; --port N, or --no-check-ip",
			check->port, strerror(err));
	return -err;
}

static int check_address(const struct host_check *check, struct wgh_error *error)
{
	char text[TEXT_ADDR_CHARS];
	struct ifaddrs *all;
	int err = 0;

	if (getifaddrs(&all))
		return 0;
	for (struct ifaddrs *at = all; at && !err; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET ||
			!strcmp(at->ifa_name, check->ifname) ||
			memcmp(&((struct sockaddr_in *)at->ifa_addr)->sin_addr,
				check->address.bytes, 4))
			continue;
		text_from_addr(text, &check->address);
		error_set(error,
			"the inner address %s is that of the interface %s already: --vpnaddr "
			"ADDRESS, or --no-check-ip",
			text, at->ifa_name);
		err = -EADDRINUSE;
	}
	freeifaddrs(all);
	return err;
}

/* The old daemon leaves its interface, of the kernel's WireGuard, behind when it ends. */
int host_check_interface(const struct host_check *check, struct wgh_error *error)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {0};
	int fd, err;

	if (check->no_tun || !if_nametoindex(check->ifname))
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	memcpy(request.ifr_name, check->ifname, strlen(check->ifname));
	request.ifr_data = (char *)&info;
	err = ioctl(fd, SIOCETHTOOL, &request);
	close(fd);
	info.driver[sizeof info.driver - 1] = 0;
	if (!err && !strcmp(info.driver, "tun"))
		return 0;
	error_set(error,
		"there is an interface %s already, which is not wghub's; if the old daemon left "
		"it: systemctl stop factory-vpn-%s; ip link delete %s; else: --intf-name NAME",
		check->ifname, check->factory, check->ifname);
	return -EEXIST;
}

int host_check(const struct host_check *check, struct wgh_error *error)
{
	int err = host_check_interface(check, error);

	if (!err)
		err = check_port(check, error);
	return err ? err : check_address(check, error);
}
