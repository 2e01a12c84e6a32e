/* wghub.h - the words that every user of libwghub shares: keys, addresses, packets, events.
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
	WGH_EVENT_FLOW_BEGIN,       /* where the policy logs flows; peer started it to other */
	WGH_EVENT_FLOW_END,
	WGH_EVENT_REACH, /* a peer has proved which sources it accepts, or does not prove it any more */
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
};

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
