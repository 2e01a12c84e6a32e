/* talk.h - two clients, two devices and a plain peer around a fixture's hub, in both families: who
 * says what to whom, and what arrives. For tests of policy, flows and translation as packets meet
 * them.
 *
 * Everybody is a number: 10.0.0.n and fd00::n; HUB is the hub's own address, PROBE the one it asks
 * from. What arrives must have right checksums, or the test fails.
 */
#ifndef TESTS_LIB_TALK_H
#define TESTS_LIB_TALK_H

#include "core/icmp.h"
#include "tests/lib/fixture.h"
#include "tests/lib/transport.h"

enum { CLIENT = 1, CLIENT2, DEVICE, DEVICE2, PLAIN, TALKERS, PROBE = 250, HUB = 254 };
enum {
	SYN = TCP_SYN,
	ACK = TCP_ACK,
	RST = TCP_RST,
	SYNACK = TCP_SYN | TCP_ACK,
	FINACK = TCP_FIN | TCP_ACK
};

extern struct fixture f;
extern struct remote talkers[TALKERS]; /* by number; 0 is nobody */
extern uint8_t family; /* of what is built from now on */
extern struct wgh_policy policy; /* the one in force; change it, then talk_policy() */

/* Clients and devices in their groups, all connected; the devices' nat as given. */
void talk_begin(bool has_tun, enum wgh_nat nat);
/* The same with room for so many flows; and with so many workers, of which the first one works. */
void talk_begin_with(bool has_tun, enum wgh_nat nat, uint32_t flows_max);
void talk_begin_workers(bool has_tun, enum wgh_nat nat, uint32_t flows_max, unsigned n_workers);
void talk_end(void);
/* For cmocka: as most tests of translation begin, without and with TUN; and as all end. */
int talk_setup_nat(void **state);
int talk_setup_nat_tun(void **state);
int talk_teardown(void **state);

void talk_policy(void);
void talk_set(unsigned n, uint32_t flags, uint8_t group, uint8_t nat);

struct transport tcp(
	unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port, uint8_t flags);
struct transport udp(unsigned from, uint16_t src_port, unsigned to, uint16_t dst_port);
struct transport echo(unsigned from, uint16_t id, unsigned to);

/* Sends it; what the hub sent before is forgotten. Any source is possible. */
void say(unsigned sender, struct transport t);
void say_bytes(unsigned sender, const uint8_t *packet, uint32_t len_bytes);

/* What arrived, first of all. */
struct heard {
	unsigned src, dst; /* numbers */
	uint16_t src_port, dst_port; /* of an echo as in struct transport */
	uint8_t proto, ttl, tcp_flags;
	uint8_t icmp_type, icmp_code;
	struct ip_info info;
	uint8_t packet[2048];
	uint32_t len_bytes;
};

/* False: nothing. n HUB: at the hub's host. */
bool heard_by(unsigned n, struct heard *h);
/* One packet arrived, there and nowhere else, from and to these. */
struct heard must_hear(
	unsigned at, unsigned src, uint16_t src_port, unsigned dst, uint16_t dst_port);
/* Nobody heard anything. */
void must_be_silent(void);
/* The sender, and nobody else, was told so by the hub: an ICMP error. */
void must_be_told(unsigned sender, enum icmp_error error);
/* The sender's connection was reset, as if by its other end. */
void must_be_reset(unsigned sender, unsigned other, uint16_t port);
/* This reason was counted once since the last call of this, and no other. */
void must_count(enum drop reason);

/* That the hub remembers. */
uint32_t talk_flows(void);

#define BOTH_FAMILIES for (family = WGH_IPV4; family <= WGH_IPV6; family += WGH_IPV6 - WGH_IPV4)

#endif
