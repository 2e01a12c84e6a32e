/* flows.h - a flow table on virtual time for unit tests, packets' keys by small numbers, and every
 * report kept. Party n has the address 10.0.0.n, the hub's is 10.0.0.254.
 */
#ifndef TESTS_LIB_FLOWS_H
#define TESTS_LIB_FLOWS_H

#include "core/flow.h"

#define S NS_PER_S
#define SYN TCP_SYN
#define ACK TCP_ACK
#define FIN (TCP_FIN | TCP_ACK)
#define RST TCP_RST
#define SYNACK (TCP_SYN | TCP_ACK)
#define FLOWS_START_NS (100000 * NS_PER_S)

enum { CLIENT = 1, CLIENT2, DEVICE, DEVICE2, HUB = 254 };

/* One at a time. */
extern struct flow_table *table;
extern uint64_t now_ns;
extern struct flow_report ends[256]; /* what LOG was told */
extern unsigned n_ends;
extern const struct flow_log LOG;
extern const struct flow_options FLOWS_OPTIONS; /* 64 flows, 32 of each, ports 61000 to 61009 */

void flows_begin(const struct flow_options *options);
/* For cmocka: with FLOWS_OPTIONS. */
int flows_setup(void **state);
int flows_teardown(void **state);

struct flow_party party(uint32_t n);
void addr4(uint8_t out[16], unsigned n);
struct flow_key key_of(
	uint8_t proto, unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port);
/* What shall begin, with a packet of 100 bytes: as it is; with the hub's address as source. */
struct flow_want plain(const struct flow_key *key, unsigned to, uint8_t tcp_flags);
struct flow_want masked(const struct flow_key *key, unsigned to, uint8_t tcp_flags);
/* The n-th of many UDP flows of one initiator: plain, to DEVICE. */
struct flow_want nth(unsigned from, unsigned n);

/* Opens it and ends the run; hit may be NULL. */
enum drop open_flow(const struct flow_want *want, struct flow_hit *hit);
/* The same where nothing may go wrong; the answers' key. */
struct flow_key must_open(const struct flow_want *want);
/* One packet of 100 bytes. */
bool find(const struct flow_key *key, uint8_t tcp_flags, struct flow_hit *hit);
/* The key of what the receiver answers to a packet with this key. */
struct flow_key answer_to(const struct flow_key *key, const struct flow_hit *hit);

#endif
