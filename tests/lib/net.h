/* net.h - hubs as an embedder has them, on a network in memory and a clock of its own. Uses wghub.h
 * and nothing else of the project, so that it can be built against an installed library too.
 *
 * Node n (from 0) is outside 192.0.2.(n+1):51820 and inside 10.0.0.(n+1). What cannot happen in a
 * right test ends the program with file and line. Threads: a net belongs to one.
 */
#ifndef TESTS_LIB_NET_H
#define TESTS_LIB_NET_H

#include <wghub.h>

#define NET_NODES 3
#define NET_SECOND UINT64_C(1000000000)

#define NET_MUST(condition) ((condition) ? (void)0 : net_fail(__FILE__, __LINE__, #condition))
void net_fail(const char *file, int line, const char *what) __attribute__((noreturn));

struct net_datagram {
	struct net_datagram *next;
	unsigned from;
	struct wgh_endpoint to;
	uint32_t len_bytes;
	uint8_t bytes[];
};

struct net_node {
	struct wgh_hub *hub;
	uint8_t private_key[WGH_KEY_BYTES];
	struct wgh_public_key public_key;
	struct wgh_endpoint outer;
	struct wgh_addr inner;
	uint64_t n_sent, n_delivered; /* datagrams; inner packets */
};

struct net {
	struct net_node nodes[NET_NODES];
	struct net_datagram *first, *last;
	uint64_t now_ns;
	bool lost; /* datagrams go nowhere; they are counted as sent */
};

/* All zero first. The nodes have keys, but no hubs yet. */
void net_init(struct net *net);
void net_fini(struct net *net);
/* size, addresses and has_tun are filled in where they are zero. */
void net_hub_new(struct net *net, unsigned node, struct wgh_hub_options options);
/* a knows b's address as 10.0.0.0/bits. Sets a's key, too. */
void net_peer(struct net *net, unsigned a, unsigned b, uint8_t bits);
/* Node 0 is the hub of the others, who know it only. */
void net_star(struct net *net);
/* Hands n inner packets of UDP, len_bytes each, to the hub of from, for to. */
void net_give(struct net *net, unsigned from, unsigned to, uint32_t len_bytes, unsigned n);
/* Sends and delivers all of it. */
void net_carry_out(struct net *net, unsigned node, const struct wgh_output *output);
/* Until all is quiet. */
void net_run(struct net *net);
/* Time goes on; deadlines on the way are kept. */
void net_advance(struct net *net, uint64_t by_ns);

#endif
