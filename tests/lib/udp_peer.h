/* udp_peer.h - a WireGuard peer inside a test: the core on one UDP socket on loopback, for tests of
 * a running device. One thread. Every failure of the system is a failed assertion.
 */
#ifndef TESTS_LIB_UDP_PEER_H
#define TESTS_LIB_UDP_PEER_H

#include "core/hub.h"

struct udp_peer {
	struct hub *hub; /* the core calls everything a hub, also a peer with one peer */
	int fd;
	uint16_t port;
	struct wgh_public_key public_key;
	struct wgh_addr address; /* IPv4, inside */
	uint32_t n_received; /* inner packets */
	uint8_t last[2048]; /* the newest of them */
	uint32_t last_bytes;
};

/* Its inner address is 10.9.0.host; everything in 10.9.0.0/24 goes to the hub. */
void udp_peer_init(struct udp_peer *p, uint8_t host);
void udp_peer_fini(struct udp_peer *p);
/* From now on this is the hub, at 127.0.0.1:port. */
void udp_peer_connect(struct udp_peer *p, const struct wgh_public_key *hub, uint16_t port);
/* An own source port from the next packet on, as behind a NAT that forgot. */
void udp_peer_rebind(struct udp_peer *p);
/* A UDP packet of len_bytes (at least 28) to 10.9.0.host, numbered by the caller. */
void udp_peer_send(struct udp_peer *p, uint8_t host, uint32_t len_bytes, uint32_t number);
/* An echo request of 84 bytes, numbered by the caller. */
void udp_peer_ping(struct udp_peer *p, uint8_t host, uint16_t number);
/* The number of the newest packet, if that came from 10.9.0.host by one of these two (for a ping:
 * if it is its answer). 0: it did not. */
uint32_t udp_peer_number(const struct udp_peer *p, uint8_t host);
/* Takes what has arrived and does what time asks for, until nothing has come for wait_ms. */
void udp_peer_poll(struct udp_peer *p, int wait_ms);
/* Sends numbered packets to the other one until it has one of them, and ends when it has the last:
 * the first ones may wait for two handshakes, and nothing of it is on its way afterwards. How many
 * that were; 0: nothing came in a minute. turn(arg) is called meanwhile, if not NULL. */
uint32_t udp_peer_reach(
	struct udp_peer *from, struct udp_peer *to, void (*turn)(void *arg), void *arg);
/* The same with pings of 10.9.0.host. */
uint32_t udp_peer_reach_by_ping(struct udp_peer *p, uint8_t host);
/* The change that makes it a peer of a hub: its /32. ip must live as long as the change. */
struct wgh_peer_change udp_peer_change(const struct udp_peer *p, struct wgh_allowed_ip *ip);

#endif
