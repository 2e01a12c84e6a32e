/* sim_ip.h - inner packets for the simulated network: UDP with a number and a pattern inside, so
 * that whoever receives one can tell which it is and that nothing in it changed.
 */
#ifndef TESTS_LIB_SIM_IP_H
#define TESTS_LIB_SIM_IP_H

#include "tests/lib/sim.h"

/* IPv4 or IPv6 by the family of the addresses; payload_bytes at least 4. Returns the length. */
uint32_t sim_udp(uint8_t *out, const struct wgh_addr *src, const struct wgh_addr *dst, uint32_t id,
	uint32_t payload_bytes);
/* The number of such a packet. Ends the program if a byte of it or a checksum is wrong. */
uint32_t sim_udp_id(const uint8_t *packet, uint32_t len_bytes);
/* An echo request with that many bytes after the ICMP header. */
uint32_t sim_echo(
	uint8_t *out, const struct wgh_addr *src, const struct wgh_addr *dst, uint32_t data_bytes);
/* Writes the header's checksum again after a test changed it (IPv4). */
void sim_ip_mend(uint8_t *packet);
/* True if packet is ICMP or ICMPv6 with right checksums. */
bool sim_icmp_ok(const uint8_t *packet, uint32_t len_bytes);

/* From one hub's inner address to another's through the TUN of the first. */
void sim_send4(struct sim_hub *from, struct sim_hub *to, uint32_t id);
void sim_send6(struct sim_hub *from, struct sim_hub *to, uint32_t id);
/* The number of the oldest such packet that came out of the TUN; 0: none. ICMP is passed over: a
 * host hears of silent peers. */
uint32_t sim_take_id(struct sim_hub *h);

#endif
