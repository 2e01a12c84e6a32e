/* flow_key.h - which flow a packet belongs to, by its headers: addresses, ports or echo identifier,
 * and who sent it.
 *
 * The sender is part of the key, by slot and serial: an address that moves to another peer takes no
 * flows with it. Threads: any; no state. Cost: flow_key_read() reads the transport header; for an
 * ICMP error also the headers it quotes.
 */
#ifndef CORE_FLOW_KEY_H
#define CORE_FLOW_KEY_H

#include "core/ip.h"

/* A peer by its slot and serial (peer.h), or the hub's own host. */
struct flow_party {
	uint32_t slot, serial;
};
#define FLOW_HOST ((struct flow_party){.slot = UINT32_MAX})

static inline bool flow_party_is(struct flow_party a, struct flow_party b)
{
	return a.slot == b.slot && a.serial == b.serial;
}

/* A packet's view of its flow. No padding: compared and hashed as words. IPv4 addresses fill four
 * bytes, the rest is zero. An echo request has its identifier as source port, a reply as
 * destination port; protocols without ports have zeros. */
struct flow_key {
	uint8_t src[16], dst[16];
	uint16_t src_port, dst_port; /* host order */
	uint8_t family; /* enum wgh_family */
	uint8_t proto;
	uint8_t echo; /* enum flow_echo: a request never looks like an answer */
	uint8_t zero;
	struct flow_party from; /* who sends these packets */
};
_Static_assert(sizeof(struct flow_key) == 48, "six words without padding");

enum flow_echo { FLOW_ECHO_NONE, FLOW_ECHO_REQUEST, FLOW_ECHO_REPLY };

enum flow_kind {
	FLOW_KIND_PORTS, /* TCP, UDP, ICMP echo: can be translated */
	FLOW_KIND_OTHER, /* everything else: can have a flow, but cannot be translated */
	/* An ICMP error. The key is that of the flow it is about, in the direction in which the
	 * error travels: what the error's sender would itself send in that flow. */
	FLOW_KIND_ERROR,
	FLOW_KIND_FRAGMENT, /* not the first of its datagram: fragment.h; no key */
	/* Too short for its transport header, or an error that quotes too little or goes to
	 * somebody who did not send what it quotes. */
	FLOW_KIND_BROKEN,
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

/* Fills *key, and *tcp_flags (0 if it is no TCP). info is what ip_parse() made of the packet. */
enum flow_kind flow_key_read(struct flow_key *key, uint8_t *tcp_flags, const uint8_t *packet,
	const struct ip_info *info, struct flow_party from);
/* The key of the answers, which `from` sends. */
struct flow_key flow_key_reverse(const struct flow_key *key, struct flow_party from);

/* Where the transport header is in a quoted packet, of which at least 8 bytes of it are there. */
struct flow_quote {
	uint32_t l4_offset;
	uint8_t proto;
};
/* False: it is cut off before, or a later fragment. */
bool flow_quote_find(
	struct flow_quote *quote, uint8_t family, const uint8_t *packet, uint32_t len_bytes);

struct wgh_addr flow_key_src(const struct flow_key *key);
struct wgh_addr flow_key_dst(const struct flow_key *key);

#endif
