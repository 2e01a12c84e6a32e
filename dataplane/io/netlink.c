/* netlink.c - link state, MTU, addresses and routes of one namespace, over rtnetlink by libmnl.
 *
 * Two sockets: one is subscribed to changes and never waits; the other carries requests, each of
 * which waits for the kernel's answer (microseconds; the kernel answers within the call). So an
 * event cannot be taken for an answer. Costs: control path only. Fails: with the errno that the
 * kernel answers.
 */
#include "io/netlink.h"

#include "core/ip.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	/* Dumps come in pieces as large as the reader's buffer, at most 32 KiB. */
	ANSWER_BYTES = 32 << 10,
	REQUEST_BYTES = 512,
	EVENTS_BUFFER_BYTES = 1 << 20,
	DUMP_TRIES = 5,
};

struct netlink {
	struct mnl_socket *events_socket, *request_socket;
	const struct netlink_events *events;
	void *arg;
	uint32_t seq;
	/* Apart, so that an event may make a request. */
	_Alignas(struct nlmsghdr) uint8_t event[ANSWER_BYTES];
	_Alignas(struct nlmsghdr) uint8_t answer[ANSWER_BYTES];
};

static struct mnl_socket *socket_new(int flags, unsigned groups)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);
	int err;

	if (!s || mnl_socket_bind(s, groups, MNL_SOCKET_AUTOPID) == 0)
		return s;
	err = errno;
	mnl_socket_close(s);
	errno = err;
	return NULL;
}

int netlink_new(struct netlink **out, const struct netlink_events *events, void *arg)
{
	struct netlink *nl = calloc(1, sizeof *nl);
	int bytes = EVENTS_BUFFER_BYTES, err;

	if (!nl)
		return -ENOMEM;
	nl->events = events;
	nl->arg = arg;
	nl->request_socket = socket_new(0, 0);
	nl->events_socket =
		socket_new(SOCK_NONBLOCK, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
	if (!nl->request_socket || !nl->events_socket) {
		err = -errno;
		netlink_free(nl);
		return err;
	}
	/* A refusal only makes an overrun likelier, and overruns are told. */
	(void)setsockopt(
		mnl_socket_get_fd(nl->events_socket), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	nl->seq = (uint32_t)time(NULL);
	*out = nl;
	return 0;
}

void netlink_free(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->request_socket)
		mnl_socket_close(nl->request_socket);
	if (nl->events_socket)
		mnl_socket_close(nl->events_socket);
	free(nl);
}

int netlink_fd(const struct netlink *nl)
{
	return mnl_socket_get_fd(nl->events_socket);
}

/* ---- messages in ---- */

static void link_read(struct netlink *nl, const struct nlmsghdr *m)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(m);
	const char *name = NULL;
	uint32_t mtu = 0;
	const struct nlattr *attr;

	/* Other families speak of the link as a bridge port or the like: their "gone" means
	 * unplugged. */
	if (info->ifi_family != AF_UNSPEC)
		return;
	if (m->nlmsg_type == RTM_DELLINK) {
		nl->events->link_gone(nl->arg, (unsigned)info->ifi_index);
		return;
	}
	mnl_attr_for_each(attr, m, sizeof *info)
	{
		uint16_t type = mnl_attr_get_type(attr);

		if (type == IFLA_IFNAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
			name = mnl_attr_get_str(attr);
		else if (type == IFLA_MTU && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			mtu = mnl_attr_get_u32(attr);
	}
	if (name && mtu)
		nl->events->link(nl->arg, (unsigned)info->ifi_index, name,
			(info->ifi_flags & IFF_UP) != 0, mtu);
}

/* False: not an address of IPv4 or IPv6. */
static bool address_parse(struct wgh_prefix *out, const struct nlmsghdr *m)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(m);
	size_t len = info->ifa_family == AF_INET ? 4 : 16;
	bool found = false;
	const struct nlattr *attr;

	*out = (struct wgh_prefix){.bits = info->ifa_prefixlen};
	if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
		return false;
	out->addr.family = info->ifa_family == AF_INET ? WGH_IPV4 : WGH_IPV6;
	if (info->ifa_prefixlen > len * 8)
		return false;
	mnl_attr_for_each(attr, m, sizeof *info)
	{
		uint16_t type = mnl_attr_get_type(attr);

		if ((type != IFA_LOCAL && type != IFA_ADDRESS) ||
			mnl_attr_get_payload_len(attr) != len)
			continue;
		/* On a point-to-point link IFA_ADDRESS is the other end's. */
		if (type == IFA_LOCAL || !found)
			memcpy(out->addr.bytes, mnl_attr_get_payload(attr), len);
		found = true;
		if (type == IFA_LOCAL)
			break;
	}
	return found;
}

static int event_read(const struct nlmsghdr *m, void *arg)
{
	struct netlink *nl = arg;
	struct wgh_prefix address;

	switch (m->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (mnl_nlmsg_get_payload_len(m) >= sizeof(struct ifinfomsg))
			link_read(nl, m);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (mnl_nlmsg_get_payload_len(m) < sizeof(struct ifaddrmsg) ||
			!address_parse(&address, m))
			break;
		const struct ifaddrmsg *info = mnl_nlmsg_get_payload(m);
		nl->events->address(
			nl->arg, info->ifa_index, &address, m->nlmsg_type == RTM_NEWADDR);
		break;
	}
	return MNL_CB_OK;
}

int netlink_read(struct netlink *nl)
{
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl->events_socket, nl->event, sizeof nl->event);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
			nl->events->overrun(nl->arg);
			continue;
		}
		if (n < 0)
			return -errno;
		if (mnl_cb_run(nl->event, (size_t)n, 0, 0, event_read, nl) < 0 && errno != EINTR)
			return -errno;
	}
}

/* ---- requests out ---- */

/* Sends m and gives each message of the answer to cb. 0 or negative errno. */
static int request(struct netlink *nl, struct nlmsghdr *m, mnl_cb_t cb, void *arg)
{
	unsigned portid = mnl_socket_get_portid(nl->request_socket);
	int run;

	m->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->request_socket, m, m->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t n = mnl_socket_recvfrom(nl->request_socket, nl->answer, sizeof nl->answer);

		if (n < 0 && errno == EINTR) {
			run = MNL_CB_OK;
			continue;
		}
		if (n < 0)
			return -errno;
		run = mnl_cb_run(nl->answer, (size_t)n, m->nlmsg_seq, portid, cb, arg);
		/* Answers to an earlier dump that was given up. */
		if (run < 0 && errno == EPROTO)
			run = MNL_CB_OK;
	} while (run > MNL_CB_STOP);
	return run < 0 ? -errno : 0;
}

static int dump(struct netlink *nl, uint16_t type, uint8_t family, mnl_cb_t cb, void *arg)
{
	_Alignas(struct nlmsghdr) uint8_t buf[REQUEST_BYTES];
	int err = -EINTR;

	/* EINTR: something changed while the kernel was listing. */
	for (unsigned tries = 0; err == -EINTR && tries < DUMP_TRIES; tries++) {
		struct nlmsghdr *m = mnl_nlmsg_put_header(buf);

		m->nlmsg_type = type;
		m->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		/* The family is the first byte of the header of links, addresses and routes alike;
		 * the longest of them is the links'. */
		struct ifinfomsg *info = mnl_nlmsg_put_extra_header(m, sizeof *info);
		info->ifi_family = family;
		err = request(nl, m, cb, arg);
	}
	return err;
}

int netlink_dump(struct netlink *nl)
{
	int err = dump(nl, RTM_GETLINK, AF_UNSPEC, event_read, nl);

	return err ? err : dump(nl, RTM_GETADDR, AF_UNSPEC, event_read, nl);
}

static struct ifinfomsg *link_request(struct nlmsghdr **m, void *buf, unsigned ifindex)
{
	struct ifinfomsg *info;

	*m = mnl_nlmsg_put_header(buf);
	(*m)->nlmsg_type = RTM_NEWLINK;
	(*m)->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	info = mnl_nlmsg_put_extra_header(*m, sizeof *info);
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)ifindex;
	return info;
}

int netlink_set_link(struct netlink *nl, unsigned ifindex, bool up)
{
	_Alignas(struct nlmsghdr) uint8_t buf[REQUEST_BYTES];
	struct nlmsghdr *m;
	struct ifinfomsg *info = link_request(&m, buf, ifindex);

	info->ifi_change = IFF_UP;
	info->ifi_flags = up ? IFF_UP : 0;
	return request(nl, m, NULL, NULL);
}

int netlink_set_mtu(struct netlink *nl, unsigned ifindex, uint32_t mtu_bytes)
{
	_Alignas(struct nlmsghdr) uint8_t buf[REQUEST_BYTES];
	struct nlmsghdr *m;

	(void)link_request(&m, buf, ifindex);
	mnl_attr_put_u32(m, IFLA_MTU, mtu_bytes);
	return request(nl, m, NULL, NULL);
}

static uint8_t system_family(const struct wgh_addr *addr)
{
	return addr->family == WGH_IPV4 ? AF_INET : AF_INET6;
}

static size_t addr_bytes(const struct wgh_addr *addr)
{
	return addr->family == WGH_IPV4 ? 4 : 16;
}

int netlink_add_address(struct netlink *nl, unsigned ifindex, const struct wgh_prefix *address)
{
	_Alignas(struct nlmsghdr) uint8_t buf[REQUEST_BYTES];
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	int err = ip_prefix_check(address);

	if (err)
		return err;
	m->nlmsg_type = RTM_NEWADDR;
	m->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(m, sizeof *info);
	info->ifa_family = system_family(&address->addr);
	info->ifa_prefixlen = address->bits;
	/* Nobody else is on the link to have the same address. */
	info->ifa_flags = address->addr.family == WGH_IPV6 ? IFA_F_NODAD : 0;
	info->ifa_index = ifindex;
	mnl_attr_put(m, IFA_LOCAL, addr_bytes(&address->addr), address->addr.bytes);
	mnl_attr_put(m, IFA_ADDRESS, addr_bytes(&address->addr), address->addr.bytes);
	err = request(nl, m, NULL, NULL);
	return err == -EEXIST ? 0 : err;
}

/* Is there a route to prefix (masked) through ifindex? */
struct route_search {
	const struct wgh_prefix *prefix;
	unsigned ifindex;
	bool found;
};

static int route_compare(const struct nlmsghdr *m, void *arg)
{
	struct route_search *search = arg;
	const struct rtmsg *info = mnl_nlmsg_get_payload(m);
	size_t len = addr_bytes(&search->prefix->addr);
	bool same_dst = search->prefix->bits == 0, same_link = false;
	const struct nlattr *attr;

	if (m->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(m) < sizeof *info ||
		info->rtm_family != system_family(&search->prefix->addr) ||
		info->rtm_table != RT_TABLE_MAIN || info->rtm_dst_len != search->prefix->bits)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, m, sizeof *info)
	{
		uint16_t type = mnl_attr_get_type(attr);

		if (type == RTA_DST && mnl_attr_get_payload_len(attr) == len)
			same_dst = memcmp(mnl_attr_get_payload(attr), search->prefix->addr.bytes,
					   len) == 0;
		else if (type == RTA_OIF && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			same_link = mnl_attr_get_u32(attr) == search->ifindex;
	}
	if (same_dst && same_link)
		search->found = true;
	return MNL_CB_OK;
}

int netlink_add_route(struct netlink *nl, unsigned ifindex, const struct wgh_prefix *prefix)
{
	_Alignas(struct nlmsghdr) uint8_t buf[REQUEST_BYTES];
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	struct wgh_prefix masked = *prefix;
	int err = ip_prefix_check(prefix);

	if (err)
		return err;
	/* The kernel refuses IPv4 routes with host bits. */
	ip_prefix_mask(&masked);
	m->nlmsg_type = RTM_NEWROUTE;
	m->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	struct rtmsg *info = mnl_nlmsg_put_extra_header(m, sizeof *info);
	info->rtm_family = system_family(&masked.addr);
	info->rtm_dst_len = masked.bits;
	info->rtm_table = RT_TABLE_MAIN;
	info->rtm_protocol = RTPROT_BOOT;
	info->rtm_scope = RT_SCOPE_LINK;
	info->rtm_type = RTN_UNICAST;
	if (masked.bits)
		mnl_attr_put(m, RTA_DST, addr_bytes(&masked.addr), masked.addr.bytes);
	mnl_attr_put_u32(m, RTA_OIF, ifindex);
	err = request(nl, m, NULL, NULL);
	if (err != -EEXIST)
		return err;
	/* Through us, or does another interface have it? */
	struct route_search search = {.prefix = &masked, .ifindex = ifindex};
	err = dump(nl, RTM_GETROUTE, system_family(&masked.addr), route_compare, &search);
	if (err)
		return err;
	return search.found ? 0 : -EEXIST;
}
