/* flow.h - the table of flows: who started what to whom, how its packets are translated, and when
 * it ends.
 *
 * One table for all workers. It holds translated and plain flows of peers and the flows of the
 * hub's own host, so that a port which one of them has is never given to another. A flow has two
 * keys: of the initiator's packets as they come in, and of the responder's. Its translation is the
 * pair: a packet with one key leaves with the reverse of the other.
 *
 * The path of a packet: flow_key_read(), flow_find(); not found and allowed to begin: flow_open().
 * Then hit.edit with nat.h, if hit.translated, and the receiver must be hit.to: look up the owner
 * of hit's destination address, and if that is somebody else the address has moved: flow_end().
 *
 * Threads: workers find and open at once, the control side sweeps at the same time. A look-up takes
 * the spin lock of one bucket; what changes the table takes one lock for all. Nothing is pinned:
 * what a packet needs is copied out.
 * Memory: 310 bytes for each flow it may hold, 20 MiB for 65,536, which the system backs as it is
 * touched. Nothing is allocated later. When full, see flow_open().
 */
#ifndef CORE_FLOW_H
#define CORE_FLOW_H

#include "core/limits.h"
#include "core/mem.h"
#include "core/nat.h"

/* Idle times. RFC 5382 asks for 2 h 4 min, RFC 4787 for 2 min or more. */
#define FLOW_TCP_OPENING_NS (120 * NS_PER_S)
#define FLOW_TCP_OPEN_NS (7440 * NS_PER_S)
#define FLOW_TCP_HALF_CLOSED_NS (1800 * NS_PER_S) /* one FIN */
#define FLOW_TCP_CLOSED_NS (60 * NS_PER_S) /* FINs both ways */
#define FLOW_TCP_RESET_NS (10 * NS_PER_S)
#define FLOW_UDP_UNANSWERED_NS (30 * NS_PER_S)
#define FLOW_UDP_NS (180 * NS_PER_S)
#define FLOW_ECHO_NS (30 * NS_PER_S)
#define FLOW_OTHER_UNANSWERED_NS (30 * NS_PER_S)
#define FLOW_OTHER_NS (600 * NS_PER_S)

#define FLOW_TABLE_MAX (UINT32_C(1) << 24)

struct flow_table;

/* Which source ports and identifiers translated flows get. */
struct flow_ports {
	uint16_t first, last; /* to choose from; 1 or more */
	/* A flow keeps its own port if that is free and lies in here. With a TUN the same as
	 * first..last, because what the host has open is not known for sure; without one
	 * 1024..65535. */
	uint16_t keep_first, keep_last;
};

struct flow_options {
	uint32_t max, per_peer_max; /* flows; the hub's host may have half of all */
	struct flow_ports ports;
	uint64_t seed[2]; /* random and secret: keys the hash */
	struct mem_budget *budget; /* NULL: none */
};

enum flow_end {
	FLOW_END_IDLE,
	FLOW_END_CLOSED, /* FINs both ways, or reset */
	FLOW_END_EVICTED, /* half-open, and somebody needed the room */
	FLOW_END_MOVED, /* an address belongs to another peer now */
	FLOW_END_POLICY,
	FLOW_END_PEER, /* one of its peers was removed */
};

/* A flow as the flow log wants it. [0] is what the initiator sends, [1] what the responder sends.
 */
struct flow_report {
	struct flow_key key[2]; /* as they come in; key[1].dst_port is the port that NAT chose */
	uint64_t packets[2], bytes[2]; /* of inner packets */
	uint64_t began_ns, last_ns; /* the last packet */
	uint64_t ended_ns; /* 0: it lives */
	bool answered; /* TCP: connected; else: the responder has sent something */
	bool translated;
	uint8_t why; /* enum flow_end */
};
/* Must not call the table. */
typedef void flow_report_fn(void *arg, const struct flow_report *report);
struct flow_log {
	flow_report_fn *ended; /* NULL: nobody wants to know */
	void *arg;
};

/* Which flow; names nothing any more once that has ended. */
struct flow_ref {
	uint32_t index, generation;
	uint8_t direction; /* 0: the initiator's */
};

/* What a packet needs to know. */
struct flow_hit {
	struct flow_ref ref;
	struct flow_party to; /* who must be the receiver */
	bool translated;
	struct nat_edit edit; /* if translated */
};

/* Packets of one flow and direction in a row: looked up once. Zero it for each batch, and end it
 * with flow_run_end(). */
struct flow_run {
	struct flow_key key;
	struct flow_hit hit;
	uint64_t n_bytes; /* not counted in the flow yet */
	uint32_t n_packets, bucket;
	bool valid;
};

/* What shall begin. */
struct flow_want {
	struct flow_key key; /* of its first packet, as it came */
	struct flow_party to;
	uint8_t new_src[16], new_dst[16]; /* if translates_... */
	uint16_t new_dst_port; /* if translates_dst */
	bool translates_src, translates_dst;
	/* The host's own flow to somebody for whom others are translated: translates_src with the
	 * host's address, and another port only if its own is taken. */
	bool keeps_any_port;
	uint8_t tcp_flags;
	uint32_t len_bytes;
};

/* -EINVAL: no flows or more than FLOW_TABLE_MAX, or ports that are no range. -ENOMEM. */
MUST_CHECK int flow_table_new(struct flow_table **table, const struct flow_options *options);
void flow_table_free(struct flow_table *table);
/* New bounds for what begins from now on; max counts up to what the table was made for. Flows above
 * them stay until they end or something new needs their room. -EINVAL. */
MUST_CHECK int flow_table_set(struct flow_table *table, uint32_t max, uint32_t per_peer_max,
	const struct flow_ports *ports);

/* ---- workers ---- */

/* True: run->hit tells the packet's flow; it is counted and the flow's state moved. False: there is
 * none, or only one that this packet cannot belong to: a responder's SYN (nobody connects backwards
 * through a flow), an initiator's SYN where the old connection is closed. For FLOW_KIND_PORTS and
 * FLOW_KIND_OTHER. */
bool flow_find(struct flow_table *table, struct flow_run *run, const struct flow_key *key,
	uint8_t tcp_flags, uint32_t len_bytes, uint64_t now_ns);
/* Counts what the run has not counted yet. */
void flow_run_end(struct flow_table *table, struct flow_run *run, uint64_t now_ns);
/* The flow an ICMP error is about (FLOW_KIND_ERROR): moves nothing. */
bool flow_find_related(struct flow_table *table, struct flow_hit *hit, const struct flow_key *key,
	uint64_t now_ns);

/* Begins a flow with its first packet; if another worker was faster, that one's flow is hit.
 * DROP_FLOW_PEER_FULL: the initiator has per_peer_max flows, DROP_FLOW_TABLE_FULL: there are max;
 * first an expired flow goes (64 are looked at), then the oldest half-open one of that initiator or
 * of all. DROP_NAT_PORTS: no free port in 128 tries. DROP_NO_FLOW: nothing begins with this packet:
 * a TCP reset, a segment of a connection whose translation nobody knows any more (a reset is due:
 * tcp.h), an echo reply; or its key or its answers' key is that of another living flow.
 * DROP_NAT_PROTOCOL: to be translated, and without ports. */
enum drop flow_open(struct flow_table *table, const struct flow_want *want, struct flow_run *run,
	uint64_t now_ns, const struct flow_log *log);
/* Nothing if it has ended meanwhile. */
void flow_end(struct flow_table *table, const struct flow_ref *ref, enum flow_end why,
	uint64_t now_ns, const struct flow_log *log);
/* How the flow stands now. False: it has ended. */
bool flow_look(struct flow_table *table, const struct flow_ref *ref, struct flow_report *report);

/* ---- the control side ---- */

/* Ends what is expired among the next n flows, round and round. Returns how many ended. */
uint32_t flow_sweep(
	struct flow_table *table, uint32_t n, uint64_t now_ns, const struct flow_log *log);
/* Looks at every flow and ends those the caller says. ends() must be quick and must not call the
 * table: workers that begin a flow wait for it. */
uint32_t flow_end_where(struct flow_table *table,
	bool (*ends)(void *arg, const struct flow_report *flow), void *arg, enum flow_end why,
	uint64_t now_ns, const struct flow_log *log);
/* Any thread. */
uint32_t flow_count(const struct flow_table *table);
uint32_t flow_count_of(struct flow_table *table, struct flow_party initiator);

#endif
