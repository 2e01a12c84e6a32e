/* wghub.h - a WireGuard hub without sockets, threads, clock or files: what came in goes in, what has
 * to go out comes out. Below it, the words that it shares with the running device of
 * wghub_device.h: keys, addresses, packets, events, change sets, snapshots.
 *
 *   wgh_hub_new(), wgh_hub_apply()          keys and peers
 *   wgh_hub_input_udp() / _input_tun()      up to WGH_BATCH_PACKETS at a time; send and deliver what
 *                                           comes out, before the next call for this hub
 *   wgh_hub_next_deadline() <= now?         then wgh_hub_tick(), and send what comes out
 *   wgh_hub_events(), _stats(), _snapshot() what happened, how much, who is there
 *
 * Shapes: addresses in network byte order, ports in host byte order, prefix lengths in bits, lengths
 * in bytes, times in nanoseconds. now_ns is any clock that never goes back and counts suspend
 * (CLOCK_BOOTTIME); wall_ns is the time since 1970.
 * Errors: 0 or a negative errno, wgh_strerror() has words; where a struct wgh_error is taken, it gets
 * one line for people, and NULL will do. After an error nothing has changed.
 * Threads: a hub belongs to one thread at a time, but wgh_hub_stats() may be called from any. Hubs
 * share nothing: as many as you like, in one thread or several. Nothing here waits, logs, installs
 * a signal handler or starts a thread. The environment's WGHUB_AEAD names a back end where the
 * options name none.
 * Ownership: what is passed in is borrowed until the call returns and copied where it is kept, but
 * for the packets: those are changed in place, see struct wgh_output.
 * ABI: libwghub.so.1 keeps every symbol and the layout of every struct below. Fields may be added
 * where a struct says its size or has reserved bytes (let them be zero).
 * Source: the WireGuard paper (https://www.wireguard.com/papers/wireguard.pdf).
 */
#ifndef WGHUB_H
#define WGHUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define WGH_KEY_BYTES 32
/* Most packets one call takes, and most bursts. */
#define WGH_BATCH_PACKETS 512
/* wgh_hub_next_deadline(): nothing to wait for. */
#define WGH_NEVER UINT64_MAX

/* Room that an inner packet handed to the hub needs before and after its bytes: the message header
 * in front, up to 15 bytes of padding and the 16 byte tag behind. */
#define WGH_HEADROOM_BYTES 16
#define WGH_TAILROOM_BYTES 32

/* An X25519 public key: the identity of a peer. */
struct wgh_public_key {
	uint8_t bytes[WGH_KEY_BYTES];
};

enum wgh_family { WGH_UNSPEC = 0, WGH_IPV4 = 4, WGH_IPV6 = 6 };

/* An address without a port. IPv4 uses the first 4 bytes, the other 12 are zero. */
struct wgh_addr {
	uint8_t bytes[16];
	uint8_t family; /* enum wgh_family */
};

/* An allowed_ips entry. Host bits may be set; they are masked when the prefix is stored. */
struct wgh_prefix {
	struct wgh_addr addr;
	uint8_t bits; /* 0..32 or 0..128 */
};

/* Where a peer's datagrams come from and go to. family WGH_UNSPEC: not known. An IPv4-mapped IPv6
 * address is always stored as IPv4. */
struct wgh_endpoint {
	uint8_t addr[16];
	uint8_t local[16];      /* our address the peer last used (sticky source) */
	uint32_t scope_id;      /* IPv6 link-local only */
	uint32_t local_ifindex; /* 0: local is not known */
	uint16_t port;
	uint8_t family; /* enum wgh_family; also that of local */
};

/* One UDP payload, or one inner IP packet, in the caller's memory. */
struct wgh_packet {
	uint8_t *data;
	uint32_t len_bytes;
	uint8_t ecn; /* the two ECN bits of the outer IP header (RFC 3168) */
	uint8_t dscp; /* of the outer header of what is sent: 34 for handshakes, else 0 */
	uint8_t reserved[2];
};

/* Datagrams that share the other end, in order: what one receive with UDP_GRO yields, and what one
 * send with UDP_SEGMENT can carry. */
struct wgh_burst {
	struct wgh_endpoint endpoint;
	struct wgh_packet *packets;
	uint32_t n_packets;
};

/* Why a packet was dropped. */
struct wgh_drop_reason {
	const char *name; /* stable, lower case with underscores: metrics and JSON use it */
	const char *text; /* for people */
};
/* Reasons are numbered from 0, "none", up; new ones may come in any release, so go by name. Every
 * list of counters is in this order. NULL: no such number. Constant; any thread. */
unsigned wgh_n_drop_reasons(void);
const struct wgh_drop_reason *wgh_drop_reason(unsigned number);

enum wgh_event_kind {
	WGH_EVENT_HANDSHAKE,        /* a session was established or renewed */
	WGH_EVENT_HANDSHAKE_GIVEUP, /* 90 s of unanswered initiations */
	WGH_EVENT_ROAMED,           /* the peer's endpoint changed */
	WGH_EVENT_EXPIRED,          /* the peer's keys were wiped for lack of use */
	WGH_EVENT_REPLAYED_INITIATION, /* an initiation with an old timestamp (rate limited) */
	WGH_EVENT_ROUTE_MOVED,      /* a prefix was taken over from another peer */
	WGH_EVENT_PORT_UNUSABLE,    /* the interface went up, but its port (endpoint.port) cannot be opened */
	WGH_EVENT_ROUTING_LOOP,     /* a peer's endpoint is routed into our own TUN (rate limited) */
	WGH_EVENT_UNKNOWN_PEER,     /* a valid initiation of a key that is no peer (rate limited) */
	WGH_EVENT_DROPS, /* so many packets were dropped for this reason since it was last told */
	WGH_EVENT_FLOW_BEGIN,       /* where the policy logs flows; peer started it to other */
	WGH_EVENT_FLOW_END,
	WGH_EVENT_REACH, /* a peer has proved which sources it accepts, or does not prove it any more */
	WGH_EVENT_OFFLOAD_LOST, /* the kernel refused an offload that was in use; it goes on without */
};

enum wgh_flow_end {
	WGH_FLOW_IDLE,
	WGH_FLOW_CLOSED,  /* TCP: closed both ways, or reset */
	WGH_FLOW_EVICTED, /* half-open, and another one needed its room */
	WGH_FLOW_MOVED,   /* an address of it belongs to another peer now */
	WGH_FLOW_POLICY,  /* a new policy forbids it */
	WGH_FLOW_PEER,    /* a peer of it was removed */
};

/* A connection, an exchange of datagrams or echoes. Addresses and ports as its initiator sees them. */
struct wgh_flow {
	struct wgh_public_key from, to; /* who started, with whom; zero: the hub's host, or a peer that
					   is gone */
	struct wgh_addr src, dst;
	uint16_t src_port, dst_port; /* src_port: an echo's identifier */
	uint16_t nat_port; /* of the hub, as the other end sees it; 0: not translated */
	uint8_t proto;     /* IP's number */
	uint8_t end;       /* enum wgh_flow_end; FLOW_END only */
	bool translated;
	bool answered;                 /* TCP: connected */
	uint64_t packets[2], bytes[2]; /* inner; [0] from its initiator, [1] back */
	uint64_t began_ns, ended_ns;   /* ended 0: it lives */
};

struct wgh_event {
	enum wgh_event_kind kind;
	struct wgh_public_key peer;
	struct wgh_public_key other;  /* ROUTE_MOVED: who had the prefix before; FLOW: its target */
	struct wgh_endpoint endpoint; /* HANDSHAKE, ROAMED, UNKNOWN_PEER */
	struct wgh_prefix prefix;     /* ROUTE_MOVED */
	struct wgh_flow flow;         /* FLOW_BEGIN, FLOW_END */
	bool wide4, wide6;            /* REACH: it accepts sources other than the hub, by family */
	uint64_t now_ns;              /* CLOCK_BOOTTIME, or the caller's time */
	uint64_t n_drops;             /* DROPS */
	uint32_t drop_reason;         /* DROPS: its number */
	uint32_t offload;             /* OFFLOAD_LOST: an enum wgh_offload */
	uint32_t reserved[4];
};

/* ---- errors and keys ---- */

/* One line that says what is wrong, where, and what to do. Never contains a secret. */
struct wgh_error {
	char text[256];
};

/* What a negative errno (or its positive twin) means when it comes from here. Constant; any thread. */
const char *wgh_strerror(int err);

/* A fresh private key, from the system's randomness. -EIO: there is none. */
int wgh_key_new(uint8_t private_key[WGH_KEY_BYTES]);
/* False: the private key is all zero. */
bool wgh_key_public(struct wgh_public_key *public_key, const uint8_t private_key[WGH_KEY_BYTES]);
/* Base64 as wg(8) writes it, 44 characters and a final zero byte; in constant time. */
#define WGH_KEY_TEXT_BYTES 45
void wgh_key_to_text(char text[WGH_KEY_TEXT_BYTES], const uint8_t key[WGH_KEY_BYTES]);
/* False: text is not exactly that; key is wiped. */
bool wgh_key_from_text(uint8_t key[WGH_KEY_BYTES], const char *text);

/* ---- configuration: one change set, checked whole, applied whole or not at all ---- */

struct wgh_allowed_ip {
	struct wgh_prefix prefix;
	bool remove; /* take it from this peer; no error if it is not there */
};

enum wgh_peer_change_flags {
	WGH_PEER_REMOVE = 1u << 0,
	WGH_PEER_UPDATE_ONLY = 1u << 1, /* an unknown peer is not created */
	WGH_PEER_REPLACE_ALLOWED_IPS = 1u << 2,
	WGH_PEER_HAS_PRESHARED_KEY = 1u << 3, /* all zero removes it */
	WGH_PEER_HAS_ENDPOINT = 1u << 4,
	WGH_PEER_HAS_KEEPALIVE = 1u << 5,
	WGH_PEER_HAS_GROUP = 1u << 6,
	WGH_PEER_HAS_NAT = 1u << 7,
	WGH_PEER_HAS_TAG = 1u << 16,
};

struct wgh_peer_change {
	struct wgh_public_key public_key;
	uint32_t flags; /* enum wgh_peer_change_flags */
	uint8_t preshared_key[WGH_KEY_BYTES];
	struct wgh_endpoint endpoint;
	uint16_t keepalive_s; /* 0: off */
	uint8_t group;        /* enum wgh_group; a new peer is in WGH_GROUP_PEER */
	uint8_t nat;          /* enum wgh_nat; a new peer has WGH_NAT_NEVER */
	const struct wgh_allowed_ip *allowed_ips;
	size_t n_allowed_ips; /* in order; a prefix another peer holds moves to this one */
	uint64_t tag; /* the caller's own number for the peer; a filter gets it. 0 for a new peer */
	uint64_t reserved[6];
};

enum wgh_change_flags {
	WGH_HAS_PRIVATE_KEY = 1u << 0, /* all zero removes it */
	WGH_HAS_LISTEN_PORT = 1u << 1, /* 0: any free port */
	WGH_HAS_FWMARK = 1u << 2,      /* 0: none */
	WGH_REPLACE_PEERS = 1u << 3,   /* all present peers go, also those that are listed again */
	WGH_HAS_POLICY = 1u << 4,
	/* This is the whole configuration: peers that are not listed go, allowed ips of the listed ones
	 * are those listed. Sessions of peers that stay go on. */
	WGH_WHOLE = 1u << 16,
	/* Refuse the set with -EEXIST if it has a conflict: see wgh_hub_check(). */
	WGH_STRICT = 1u << 17,
};

struct wgh_policy;

struct wgh_change {
	uint32_t flags; /* enum wgh_change_flags */
	uint8_t private_key[WGH_KEY_BYTES];
	uint16_t listen_port;
	uint32_t fwmark;
	/* wghub_policy.h; in place of the whole present one. Sessions stay, and so do flows that it still
	 * allows. */
	const struct wgh_policy *policy;
	const struct wgh_peer_change *peers;
	size_t n_peers; /* the same public key twice means the same peer, changed twice */
	uint64_t reserved[8];
};

enum wgh_conflict_kind {
	WGH_CONFLICT_KEY_TWICE = 1, /* peer is listed before already; both changes count */
	WGH_CONFLICT_OWN_KEY,       /* peer is the hub itself; the change is left out */
	WGH_CONFLICT_PREFIX,        /* prefix is other's, and would move to peer */
};

/* What a change set does and its author may not have meant. */
struct wgh_conflict {
	enum wgh_conflict_kind kind;
	uint32_t peer_no; /* in wgh_change.peers */
	struct wgh_public_key peer, other;
	struct wgh_prefix prefix;
	uint32_t reserved[4];
};

/* ---- looking at it ---- */

struct wgh_peer_view {
	struct wgh_public_key public_key;
	uint8_t preshared_key[WGH_KEY_BYTES]; /* zero: none */
	struct wgh_endpoint endpoint;         /* family WGH_UNSPEC: none */
	uint16_t keepalive_s;
	uint8_t group; /* enum wgh_group */
	uint8_t nat;   /* enum wgh_nat */
	bool wide4, wide6; /* WGH_NAT_AUTO: it has proved that it accepts other sources, by family */
	uint32_t n_flows;  /* that it started */
	int64_t last_handshake_s; /* CLOCK_REALTIME, 0: never */
	uint32_t last_handshake_ns;
	uint64_t rx_bytes, tx_bytes; /* of whole messages, UDP payload */
	const struct wgh_prefix *allowed_ips;
	size_t n_allowed_ips;
	const uint32_t *drops; /* wgh_n_drop_reasons() counters */
	uint64_t tag;
	uint64_t reserved[6];
};

/* Made by the library, which may add fields at its end. */
struct wgh_snapshot {
	bool has_private_key;
	uint8_t private_key[WGH_KEY_BYTES];
	struct wgh_public_key public_key;
	uint16_t listen_port; /* the one really bound, 0 while down and none was set */
	uint32_t fwmark;
	uint32_t mtu_bytes;
	unsigned n_workers;
	unsigned offloads;     /* enum wgh_offload bits that are in use */
	const char *aead;      /* name of the back end */
	const uint64_t *drops; /* wgh_n_drop_reasons() counters, whole hub */
	uint64_t n_forwarded;  /* packets from peer to peer */
	uint32_t n_flows, flows_max;
	uint64_t n_log_lost; /* begins and ends of flows that were not told */
	const struct wgh_prefix *addresses; /* the hub's own inner addresses */
	size_t n_addresses;
	struct wgh_peer_view *peers;
	size_t n_peers;
	/* A device's UDP sockets, all together: bytes that wait in the system, the most that may, and
	 * datagrams that found no room since the sockets were opened. */
	uint64_t udp_waiting_bytes, udp_waiting_max_bytes, n_udp_lost;
};

/* Wipes the keys in it. NULL is fine. */
void wgh_snapshot_free(struct wgh_snapshot *snapshot);

/* The same for a hub of one thread and for a device with several; counters only grow. */
struct wgh_stats {
	size_t size; /* in: sizeof(struct wgh_stats) */
	uint64_t *drops; /* in: room for n_drops counters by reason, or NULL */
	size_t n_drops;
	uint64_t n_peers;
	uint64_t n_udp_in, n_tun_in;   /* datagrams, and packets of the host, that came in */
	uint64_t n_udp_out, n_tun_out; /* that went out */
	uint64_t n_forwarded;          /* from peer to peer */
	uint64_t n_handshakes_in;      /* handshake messages, good or bad */
	uint64_t n_keepalives_in;
	uint64_t n_events_lost; /* the ring was full */
	uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes; /* limit 0: none */
	uint64_t n_memory_refused; /* allocations that the budget did not allow */
	/* What waits, and the most that may; what comes then is dropped with a reason, or counted in
	 * n_events_lost. */
	uint64_t n_handshakes_waiting, handshakes_waiting_max; /* messages */
	uint64_t control_waiting_bytes, control_waiting_max_bytes; /* from workers to the control side */
	uint64_t staged_bytes, staged_max_bytes; /* packets that wait for a session */
};

/* Names of the AEAD back ends that this machine can run, fastest first, NULL at the end. Constant. */
const char *const *wgh_aead_names(void);
/* False once the system refused to keep keys out of swap (RLIMIT_MEMLOCK); they are used all the same.
 * Of the whole process; any thread. */
bool wgh_memory_locked(void);
/* "0.1.0": the library's, at run time. */
const char *wgh_version(void);

/* ---- a filter: the caller's own policy ---- */

/* One inner packet that the hub is about to pass on, as it will leave: its source was the sender's, a
 * router would forward it, the policy allows it, and where the hub translates it is translated. */
struct wgh_filter_packet {
	const struct wgh_public_key *from, *to; /* NULL: the hub's own host */
	uint64_t from_tag, to_tag;              /* of the peers; 0 for the host */
	const uint8_t *packet;
	uint32_t len_bytes;
	bool drop; /* the answer; false before */
	uint8_t reserved[3];
};
/* Called once for each batch that has such packets, from inside wgh_hub_input_udp() or _tun(). It may
 * neither change the packets nor call the hub. What it drops is counted as "filter". */
typedef void wgh_filter_fn(void *arg, struct wgh_filter_packet *packets, size_t n);

/* ---- the hub ---- */

struct wgh_hub;

struct wgh_hub_options {
	size_t size; /* sizeof(struct wgh_hub_options) */
	const char *aead; /* back end by name, NULL: the fastest that passes its self-test */
	uint32_t mtu_bytes; /* of inner packets; 0: 1420 */
	uint32_t n_events; /* room in the ring of events; 0: 256 */
	/* All memory the hub may ever have, taken as it is needed; 0: no limit. A hub without peers
	 * needs about 2 MiB. Beyond it things are refused and counted: a change set (-ENOMEM), a new
	 * session (drop "no_memory"), a packet that waits for one ("staged_full"). Not in it: what
	 * malloc adds to each block, and snapshots, which are the caller's. */
	size_t memory_bytes;
	/* The hub's own inner addresses, each with the length of its network. */
	const struct wgh_prefix *addresses;
	size_t n_addresses;
	/* Packets for these addresses: true delivers them to the caller, false makes the hub answer
	 * ping and refuse the rest. */
	bool has_tun;
	/* With has_tun: packets that no peer owns are delivered too, as by a gateway; else dropped. */
	bool deliver_unowned;
	/* Fills out with random bytes for keys and cookies; must not fail. NULL: the system's. */
	void (*random)(void *arg, void *out, size_t len_bytes);
	void *random_arg;
	wgh_filter_fn *filter; /* NULL: everything passes */
	void *filter_arg;
};

/* Up from the start, without key and peers. -EINVAL: options; -ENOENT, -EIO: no such AEAD back end
 * here, or it computes something wrong; -ENOMEM: memory, or the budget. *hub is then NULL. */
int wgh_hub_new(
	struct wgh_hub **hub, const struct wgh_hub_options *options, struct wgh_error *error);
/* Wipes its keys. NULL is fine. */
void wgh_hub_free(struct wgh_hub *hub);

/* What apply would refuse (negative errno), or how many conflicts the set has; the first room of them
 * are listed. Changes nothing. conflicts may be NULL with room 0. */
int wgh_hub_check(struct wgh_hub *hub, const struct wgh_change *change,
	struct wgh_conflict *conflicts, size_t room, struct wgh_error *error);
/* All of the set or nothing. Listen port and fwmark are a device's business: -EINVAL, as are bad
 * endpoints, too many prefix bits and unknown flags; -EEXIST: WGH_STRICT and a conflict; -ENOMEM.
 * Cost: that of all prefixes, so one set for many peers is cheap. */
int wgh_hub_apply(struct wgh_hub *hub, const struct wgh_change *change, uint64_t now_ns,
	struct wgh_error *error);
/* In place of those before. -EINVAL: more bits than the address has; -ENOMEM. */
int wgh_hub_set_addresses(
	struct wgh_hub *hub, const struct wgh_prefix *addresses, size_t n_addresses);
/* The port the caller's datagrams leave from, so that they are recognised if they come back as inner
 * packets (a routing loop). 0, as at the start: not known. -ENOMEM. */
int wgh_hub_set_port(struct wgh_hub *hub, uint16_t port);
/* Down: sessions are wiped, waiting packets dropped, nothing is begun. */
void wgh_hub_set_up(struct wgh_hub *hub, bool up, uint64_t now_ns);

/* What a call leaves to do. The arrays are the hub's and stay until the next call for it. The bytes
 * they point to lie in the buffers that were handed in, which must stay as long and then are the
 * caller's again, or, for what the hub makes itself, in its own. */
struct wgh_output {
	const struct wgh_burst *bursts; /* to send: for each peer, in order */
	size_t n_bursts;
	const struct wgh_packet *packets; /* to deliver to the host: whole inner packets */
	size_t n_packets;
	uint64_t reserved[4];
};

/* Datagrams from the network: decrypted, checked, and encrypted again in place for those they are for;
 * no byte beside them is touched. Handshakes only wait for wgh_hub_tick(). -E2BIG: more than WGH_BATCH_PACKETS packets or bursts. */
int wgh_hub_input_udp(struct wgh_hub *hub, const struct wgh_burst *bursts, size_t n_bursts,
	uint64_t now_ns, struct wgh_output *output);
/* Packets of the host for peers. Each needs WGH_HEADROOM_BYTES of room before and WGH_TAILROOM_BYTES
 * behind it, in which it becomes a message. A packet whose peer has no session yet is copied and waits
 * for one. -E2BIG. */
int wgh_hub_input_tun(struct wgh_hub *hub, const struct wgh_packet *packets, size_t n_packets,
	uint64_t now_ns, struct wgh_output *output);
/* When wgh_hub_tick() has something to do: a time, 0 for at once, or WGH_NEVER. After any other call
 * it may be earlier than before. */
uint64_t wgh_hub_next_deadline(const struct wgh_hub *hub);
/* Handshakes that came in, timers that are due, packets that waited. It does a bounded part of them;
 * then the deadline stays "at once". */
void wgh_hub_tick(
	struct wgh_hub *hub, uint64_t now_ns, int64_t wall_ns, struct wgh_output *output);

/* Takes up to room events out of the ring, oldest first; returns how many. The last ones are of
 * WGH_EVENT_DROPS, one for each reason since it was last taken. */
size_t wgh_hub_events(struct wgh_hub *hub, struct wgh_event *events, size_t room, uint64_t now_ns);
/* Any thread, also while another is in the hub: counters are each exact, together nearly so.
 * -EINVAL: size. */
int wgh_hub_stats(const struct wgh_hub *hub, struct wgh_stats *stats);
/* A copy of everything, keys included; wgh_snapshot_free() it. -ENOMEM. */
int wgh_hub_snapshot(struct wgh_hub *hub, struct wgh_snapshot **snapshot);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
