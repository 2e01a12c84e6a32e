/* udp.h - the outer sockets: many datagrams a system call.
 *
 * Receive: recvmmsg into slots of 64 KiB; with UDP_GRO one slot holds up to 64 datagrams of one
 * sender. The packets that come out point into the slots and stay valid until the next
 * udp_receive() with that rx. Send: packets of a burst that have the same size (the last may be
 * shorter) and ECN leave as one message with UDP_SEGMENT; packets that lie next to each other in
 * memory share an iovec. Offloads are probed when a socket opens and can be switched off. A refused
 * segmented send is sent again one by one; where the refusal means the system or the device (EIO,
 * or EINVAL for sizes that every path carries) and not just packets larger than this path's MTU,
 * segmentation stays off.
 *
 * Threads: a struct udp_socket may be sent on by several threads; rx and tx objects belong to one
 * thread. Source: udp(7), ip(7), ipv6(7), recvmmsg(2).
 */
#ifndef IO_UDP_H
#define IO_UDP_H

#include "crypto/secret.h"
#include "wghub.h"

struct udp_socket {
	int fd; /* -1: closed */
	uint8_t family; /* enum wgh_family */
	bool gro; /* receives may be coalesced */
	_Atomic bool gso; /* sends may be segmented; cleared for good by a refusal */
};

struct udp_options {
	uint16_t port; /* host order; 0: any */
	uint32_t fwmark;
	bool reuseport; /* further sockets of this user may share the port */
	bool no_gro, no_gso;
};

/* Opens, binds and prepares: IPV6_V6ONLY, SO_REUSEPORT, SO_MARK, packet info, ECN, path MTU
 * discovery off (outer packets may be fragmented), GRO and GSO by probe, buffers as large as the
 * system lets us. On success *port is the bound port. Negative errno: -EAFNOSUPPORT (no IPv6 here),
 * -EADDRINUSE, -EPERM (fwmark). */
MUST_CHECK int udp_open(struct udp_socket *s, enum wgh_family family,
	const struct udp_options *options, uint16_t *port);
/* The same for a duplicate of fd, which was opened and bound by somebody else. */
MUST_CHECK int udp_adopt(struct udp_socket *s, int fd, const struct udp_options *options);
/* Is fd a UDP socket that is bound? Its family and port. False: it is something else; an IPv6 one
 * that takes IPv4 too (no IPV6_V6ONLY) is. */
MUST_CHECK bool udp_describe(int fd, enum wgh_family *family, uint16_t *port);
void udp_close(struct udp_socket *s);
/* -EPERM without CAP_NET_ADMIN. */
MUST_CHECK int udp_set_fwmark(struct udp_socket *s, uint32_t fwmark);

struct udp_rx;
struct udp_tx;
/* NULL: no memory. */
MUST_CHECK struct udp_rx *udp_rx_new(void);
/* With slots of another size than 64 KiB: shorter ones make datagrams truncated. */
MUST_CHECK struct udp_rx *udp_rx_new_sized(uint32_t slot_bytes);
void udp_rx_free(struct udp_rx *rx);
MUST_CHECK struct udp_tx *udp_tx_new(void);
void udp_tx_free(struct udp_tx *tx);

struct udp_received {
	struct wgh_burst *bursts; /* owned by rx */
	size_t n_bursts;
	uint32_t n_truncated; /* datagrams that did not fit their slot; dropped */
	bool kept; /* datagrams are left in rx: call again before waiting */
	bool more; /* there may be more at once: call again */
};

/* One recvmmsg, does not wait; at most PACKETS_PER_BATCH packets, the rest waits in rx for the next
 * call. Neighbouring messages of one sender share a burst. 0 with n_bursts 0 when nothing is there;
 * a queued ICMP error (ECONNREFUSED and its like) is swallowed. Negative errno only for a socket
 * that is really broken. Zero-length datagrams are packets like any other. */
MUST_CHECK int udp_receive(struct udp_socket *s, struct udp_rx *rx, struct udp_received *out);

struct udp_sent {
	uint64_t n_packets, n_bytes; /* accepted by the system */
	uint32_t n_failed; /* refused: unreachable, EPERM, no buffers */
	bool source_lost; /* a sticky source address was refused; those packets were sent without it
			   */
	bool gso_lost; /* segmentation was refused and is off from now on */
};

/* Sends all bursts of one address family; bursts of another family are skipped. Uses each
 * endpoint's local address as source (IP_PKTINFO); when the kernel refuses that with EINVAL,
 * ENETUNREACH, EADDRNOTAVAIL or EHOSTUNREACH, sends once more without. A full socket buffer is
 * waited for, at most 100 ms, then counts as failed. Errors of one destination never keep the
 * others from being sent. *sent is added to. */
void udp_send(struct udp_socket *s, struct udp_tx *tx, const struct wgh_burst *bursts, size_t n,
	struct udp_sent *sent);

/* What waits in the system, of how much, and what found no room; added to all three. Where the
 * system does not tell (before Linux 4.12), nothing. */
void udp_add_queue(
	const struct udp_socket *s, uint64_t *bytes, uint64_t *max_bytes, uint64_t *n_lost);

/* One small message (handshakes): tos is the whole IP_TOS / traffic class byte. 0 or negative
 * errno; the same second try without the sticky source, *source_lost says so. */
int udp_send_one(struct udp_socket *s, const struct wgh_endpoint *to, const void *data,
	uint32_t len_bytes, uint8_t tos, bool *source_lost);

/* sockaddr to endpoint and back; IPv4-mapped IPv6 becomes IPv4. False: another family. */
struct sockaddr_storage;
bool udp_endpoint_from_sockaddr(struct wgh_endpoint *out, const struct sockaddr_storage *from);
unsigned udp_endpoint_to_sockaddr(
	struct sockaddr_storage *out, const struct wgh_endpoint *endpoint);

#endif
