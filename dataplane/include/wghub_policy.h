/* wghub_policy.h - who may start to talk to whom through the hub, and to whom the hub speaks under
 * its own address.
 *
 * Every peer is in one group. A table says for each pair of groups who may start; rules before it
 * make exceptions by group, peer, protocol and port. Replies to what was allowed always pass. A hub
 * without a policy has wgh_policy_defaults(), with which plain peers reach each other and the hub.
 *
 * Shapes: ports in host byte order. Protocols by their IP number; 1 stands for ICMP of either
 * family. Threads: pure functions of their arguments. Ownership: everything is borrowed for the
 * call.
 */
#ifndef WGHUB_POLICY_H
#define WGHUB_POLICY_H

#include "wghub.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define WGH_GROUPS_MAX 32
#define WGH_RULES_MAX 1024
#define WGH_FORWARDS_MAX 256

enum wgh_group {
	WGH_GROUP_PEER = 0, /* plain peers; what a peer is that nobody put anywhere */
	WGH_GROUP_HOST, /* the hub's own addresses, its stack, and all that goes to the TUN */
	WGH_GROUP_CLIENT, /* engineers */
	WGH_GROUP_DEVICE,
	WGH_GROUP_FIRST_FREE, /* from here to WGH_GROUPS_MAX - 1: the caller's own */
};

enum wgh_verdict {
	WGH_DENY,
	WGH_ALLOW,
	WGH_PING, /* echo requests, nothing else */
};

/* For packets to a peer: does it need to see the hub's own address as their source? */
enum wgh_nat {
	WGH_NAT_NEVER, /* it accepts the other peers' addresses */
	WGH_NAT_ALWAYS, /* its allowed-ips hold the hub's address only */
	WGH_NAT_AUTO, /* always, until it has proved that it accepts others */
};

enum wgh_party_kind { WGH_PARTY_ANY, WGH_PARTY_GROUP, WGH_PARTY_PEER };

/* One end of a rule. */
struct wgh_party {
	uint8_t kind; /* enum wgh_party_kind */
	uint8_t group;
	struct wgh_public_key peer;
};

/* The first rule that matches decides, before the table. */
struct wgh_rule {
	struct wgh_party from, to; /* who starts, with whom */
	uint8_t proto; /* 0: any; 1: ICMP of either family; 6; 17; or another one */
	uint8_t verdict; /* enum wgh_verdict */
	uint16_t port_first, port_last; /* of the destination; 0 and 65535: any */
	uint64_t reserved[2];
};

/* proto/port of the hub's own addresses leads to to_port of a peer: how a device that can send to
 * the hub only reaches others. It is permission enough: no rule is asked besides. Of several with
 * one port the first that serves the sender counts. */
struct wgh_forward {
	struct wgh_party from; /* who may use it */
	struct wgh_public_key to;
	uint8_t proto; /* 6 or 17 */
	uint16_t port, to_port;
	uint64_t reserved[2];
};

struct wgh_policy {
	uint8_t table[WGH_GROUPS_MAX][WGH_GROUPS_MAX]; /* enum wgh_verdict of [from][to] */
	const struct wgh_rule *rules;
	size_t n_rules;
	const struct wgh_forward *forwards;
	size_t n_forwards;
	/* Ports and echo identifiers that the hub uses where it speaks for others. The host of a
	 * hub with a TUN must not use them itself. */
	uint16_t nat_port_first, nat_port_last;
	/* Unused addresses of the network: a peer that answers an echo request from one of them
	 * accepts more than the hub's address. Family WGH_UNSPEC: nobody is asked. */
	struct wgh_addr probe4, probe6;
	uint32_t flows_max; /* that the hub remembers at a time */
	uint32_t flows_per_peer_max; /* of these, started by one peer */
	bool log_flows; /* begin and end of each flow are events */
	bool clamp_mss; /* TCP connections are told the hub's MTU when they begin */
	uint64_t reserved[8];
};

/* The table and bounds of a hub that was told nothing: client->device, client->host, host->all,
 * peer->peer, peer->host are allowed; device->host may ping; all else is denied. No rules. */
void wgh_policy_defaults(struct wgh_policy *policy);

struct wgh_policy_question {
	const struct wgh_public_key *from, *to; /* NULL: no peer (the hub's host) */
	uint8_t from_group, to_group;
	uint8_t proto; /* 0: none in particular, which rules about protocols do not match */
	uint16_t port; /* of the destination; 0 where there is none */
	uint64_t reserved[2];
};

/* May from start to talk to to? *why (if not NULL) gets the rule that says so, or NULL: the table.
 * WGH_PING is the answer to protocols 0 and 1 only. The data path decides by the same function. */
enum wgh_verdict wgh_policy_decide(const struct wgh_policy *policy,
	const struct wgh_policy_question *question, const struct wgh_rule **why);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
