/* facts.h - a running hub's answers as values, for those who reason about it: who is there, which
 * policy holds, what was dropped.
 *
 * The policy comes as its lines and is read and planned here as the hub itself did, by the same
 * code. Answers may be hostile: names are printable here, numbers checked, and what makes no sense
 * is left out. Threads: any; no I/O. Ownership: facts_fini(). Cost: about 700 bytes for each peer.
 */
#ifndef CONTROL_FACTS_H
#define CONTROL_FACTS_H

#include "control/ctl_client.h"
#include "control/policy_plan.h"
#include "control/text.h"

struct fact_peer {
	int64_t handshake_s; /* Unix time, 0: never */
	bool has_endpoint;
	char endpoint[TEXT_ENDPOINT_CHARS];
	uint8_t nat; /* enum wgh_nat */
	bool wide4, wide6;
	uint32_t n_flows;
	uint64_t rx_bytes, tx_bytes;
	uint32_t *drops; /* wgh_n_drop_reasons counters */
};

/* Of a Factory's hub: one that is not a peer, and why. */
struct fact_absent {
	char name[CONF_NAME_BYTES];
	struct wgh_public_key key;
	bool has_key;
	struct wgh_addr addr; /* or WGH_UNSPEC */
	char state[16]; /* refused, disabled, withdrawn, pending */
	char reason[24]; /* of refused: refusal_name() */
	char why[400]; /* a line */
};

struct facts {
	char ifname[TEXT_IFNAME_CHARS];
	bool has_tun;
	uint32_t mtu_bytes, n_flows, flows_max;
	uint64_t *drops; /* wgh_n_drop_reasons counters, whole hub */
	struct wgh_prefix *addresses;
	struct policy_world world; /* its peers are world_peers */
	struct policy_peer *world_peers;
	struct fact_peer *peers; /* in the world's order */
	size_t n_peers, peers_cap, world_cap, addresses_cap;
	struct fact_absent *absent;
	size_t n_absent, absent_cap;
	struct policy_file *file;
	struct policy_plan *plan;
	int64_t now_s;
};

/* From the answer to "get=wghub". -ENOMEM; -EPROTO: its policy cannot be read. */
MUST_CHECK int facts_init(struct facts *facts, const char *ifname, const struct ctl_answer *answer,
	int64_t now_s, struct wgh_error *error);
/* From the answers to "wghub=peers" and "wghub=pending" of a Factory's hub. -ENOMEM. */
MUST_CHECK int facts_add_absent(struct facts *facts, const struct ctl_answer *answer, bool pending);
void facts_fini(struct facts *facts);

/* Plans another file for the same peers: what would hold with it. Takes it over. */
MUST_CHECK int facts_use_file(
	struct facts *facts, struct policy_file *file, struct wgh_error *error);

#endif
