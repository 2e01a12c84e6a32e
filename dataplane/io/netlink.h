/* netlink.h - what rtnetlink tells and does for one interface: link state, MTU, addresses, routes.
 * Over libmnl. Threads: one. Needs CAP_NET_ADMIN for the functions that change something.
 */
#ifndef IO_NETLINK_H
#define IO_NETLINK_H

#include "crypto/secret.h"
#include "wghub.h"

struct netlink;

struct netlink_events {
	/* Link appeared or changed. */
	void (*link)(void *arg, unsigned ifindex, const char *name, bool up, uint32_t mtu_bytes);
	void (*link_gone)(void *arg, unsigned ifindex);
	/* An address (with its prefix length) was added to or removed from an interface. */
	void (*address)(void *arg, unsigned ifindex, const struct wgh_prefix *address, bool added);
	/* Events were lost: ask for everything again with netlink_dump(). */
	void (*overrun)(void *arg);
};

/* Subscribes to link and address changes. 0 or negative errno. events and arg stay the caller's,
 * until netlink_free(). */
MUST_CHECK int netlink_new(struct netlink **nl, const struct netlink_events *events, void *arg);
void netlink_free(struct netlink *nl);
/* Watch for reading; then call netlink_read(), which calls the events and does not wait. Those may
 * call the functions below. */
int netlink_fd(const struct netlink *nl);
MUST_CHECK int netlink_read(struct netlink *nl);
/* Reports the present state of all links and addresses through the events, before it returns. Those
 * must not call functions of this file. */
MUST_CHECK int netlink_dump(struct netlink *nl);

MUST_CHECK int netlink_set_link(struct netlink *nl, unsigned ifindex, bool up);
MUST_CHECK int netlink_set_mtu(struct netlink *nl, unsigned ifindex, uint32_t mtu_bytes);
/* An address that is already there is no error. */
MUST_CHECK int netlink_add_address(
	struct netlink *nl, unsigned ifindex, const struct wgh_prefix *address);
/* A route to prefix through the interface, link scope; one that is there is no error. -EEXIST:
 * another interface has it. */
MUST_CHECK int netlink_add_route(
	struct netlink *nl, unsigned ifindex, const struct wgh_prefix *prefix);

#endif
