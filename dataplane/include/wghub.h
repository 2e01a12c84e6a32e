/* wghub.h - the words that every user of libwghub shares: keys, addresses, packets, events, change
 * sets, snapshots.
 *
 * Shapes: addresses in network byte order, ports in host byte order, prefix lengths in bits, lengths
 * in bytes, times in nanoseconds. Errors are negative errno values.
 * Threads: plain values without hidden state; copy them freely.
 * Source: the WireGuard paper (https://www.wireguard.com/papers/wireguard.pdf) for keys and endpoints.
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
};

/* Datagrams that share the other end, in order: what one receive with UDP_GRO yields, and what one
 * send with UDP_SEGMENT can carry. */
struct wgh_burst {
	struct wgh_endpoint endpoint;
	struct wgh_packet *packets;
	uint32_t n_packets;
};

/* Why a packet was dropped: the whole list is in wgh_drop_reasons[], in the order of the counters. */
struct wgh_drop_reason {
	const char *name; /* stable, lower case with underscores: metrics and JSON use it */
	const char *text; /* for people */
};
extern const struct wgh_drop_reason wgh_drop_reasons[];
extern const unsigned wgh_n_drop_reasons;

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
};

struct wgh_event {
	enum wgh_event_kind kind;
	struct wgh_public_key peer;
	struct wgh_public_key other;  /* WGH_EVENT_ROUTE_MOVED: who had the prefix before */
	struct wgh_endpoint endpoint; /* HANDSHAKE, ROAMED, UNKNOWN_PEER */
	struct wgh_prefix prefix;     /* ROUTE_MOVED */
	uint64_t now_ns;              /* CLOCK_BOOTTIME, or the caller's time */
};

/* One line that says what is wrong, where, and what to do. Never contains a secret. */
struct wgh_error {
	char text[256];
};

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
};

enum wgh_change_flags {
	WGH_HAS_PRIVATE_KEY = 1u << 0, /* all zero removes it */
	WGH_HAS_LISTEN_PORT = 1u << 1, /* 0: any free port */
	WGH_HAS_FWMARK = 1u << 2,      /* 0: none */
	WGH_REPLACE_PEERS = 1u << 3,   /* all present peers go, also those that are listed again */
	WGH_HAS_POLICY = 1u << 4,
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
};

/* ---- looking at it ---- */

struct wgh_peer_view {
	struct wgh_public_key public_key;
	uint8_t preshared_key[WGH_KEY_BYTES]; /* zero: none */
	struct wgh_endpoint endpoint;         /* family WGH_UNSPEC: none */
	uint16_t keepalive_s;
	uint8_t group; /* enum wgh_group */
	uint8_t nat;   /* enum wgh_nat */
	int64_t last_handshake_s; /* CLOCK_REALTIME, 0: never */
	uint32_t last_handshake_ns;
	uint64_t rx_bytes, tx_bytes; /* of whole messages, UDP payload */
	const struct wgh_prefix *allowed_ips;
	size_t n_allowed_ips;
	const uint32_t *drops; /* wgh_n_drop_reasons counters */
};

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
	const uint64_t *drops; /* wgh_n_drop_reasons counters, whole hub */
	uint64_t n_forwarded;  /* packets from peer to peer */
	const struct wgh_prefix *addresses; /* the hub's own inner addresses */
	size_t n_addresses;
	struct wgh_peer_view *peers;
	size_t n_peers;
};

/* Wipes the keys in it. NULL is fine. */
void wgh_snapshot_free(struct wgh_snapshot *snapshot);

/* Names of the AEAD back ends that this machine can run, fastest first, NULL at the end. */
const char *const *wgh_aead_names(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
