/* udp_receive.c - takes datagrams from a socket, many a system call, and cuts coalesced ones apart.
 *
 * Costs: one recvmmsg for up to 64 messages; per datagram a few stores. With UDP_GRO a message is
 * up to 64 datagrams, so few messages are asked for (the burst shall stay in the L2 cache); without
 * coalescing many (a system call costs more than a packet). The last receive decides for the next
 * one. Fails: nothing here ends reception but a descriptor that is no socket.
 */
#include "core/limits.h"
#include "io/udp.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	MESSAGES_MIN = 8,
	MESSAGES_MAX = 64,
	/* More than the largest UDP payload, 65,507 bytes over IPv4 and 65,527 over IPv6. */
	SLOT_BYTES = 1 << 16,
	/* Between slots: a power of two would put the first lines of all slots into the same cache
	   sets. */
	SLOT_SKEW_BYTES = 1536,
	CONTROL_BYTES = CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)),
};

struct udp_rx {
	unsigned n_messages; /* received by the last recvmmsg */
	unsigned next_message; /* first one not handed out yet */
	uint32_t next_byte; /* offset of the first datagram of it not handed out yet */
	unsigned n_ask; /* messages to ask for */
	uint32_t n_segments; /* handed out since the last recvmmsg */
	uint32_t slot_bytes, stride_bytes;
	uint8_t *slots;
	size_t map_bytes;
	struct wgh_burst bursts[MESSAGES_MAX];
	struct wgh_packet packets[PACKETS_PER_BATCH];
	struct mmsghdr messages[MESSAGES_MAX];
	struct iovec iovecs[MESSAGES_MAX];
	struct sockaddr_storage names[MESSAGES_MAX]; /* the kernel writes at most an in6 */
	_Alignas(struct cmsghdr) uint8_t controls[MESSAGES_MAX][CONTROL_BYTES];
};

struct udp_rx *udp_rx_new_sized(uint32_t slot_bytes)
{
	struct udp_rx *rx = calloc(1, sizeof *rx);

	if (!rx)
		return NULL;
	rx->n_ask = MESSAGES_MAX;
	rx->slot_bytes = slot_bytes;
	rx->stride_bytes = slot_bytes + SLOT_SKEW_BYTES;
	rx->map_bytes = (size_t)rx->stride_bytes * MESSAGES_MAX;
	/* Pages come when a datagram first touches them: short datagrams only ever take one page a
	 * slot. */
	rx->slots = mmap(NULL, rx->map_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rx->slots == MAP_FAILED) {
		free(rx);
		return NULL;
	}
	(void)madvise(rx->slots, rx->map_bytes, MADV_NOHUGEPAGE);
	for (unsigned i = 0; i < MESSAGES_MAX; i++) {
		rx->iovecs[i].iov_base = rx->slots + (size_t)i * rx->stride_bytes;
		rx->iovecs[i].iov_len = slot_bytes;
		rx->messages[i].msg_hdr = (struct msghdr){.msg_name = &rx->names[i],
			.msg_iov = &rx->iovecs[i],
			.msg_iovlen = 1,
			.msg_control = rx->controls[i]};
	}
	return rx;
}

struct udp_rx *udp_rx_new(void)
{
	return udp_rx_new_sized(SLOT_BYTES);
}

void udp_rx_free(struct udp_rx *rx)
{
	if (!rx)
		return;
	munmap(rx->slots, rx->map_bytes);
	free(rx);
}

/* What came beside the bytes of one message. */
struct ancillary {
	struct wgh_endpoint from;
	uint32_t segment_bytes; /* 0: none told */
	uint8_t ecn;
};

static void pktinfo_read(struct wgh_endpoint *from, const struct cmsghdr *c)
{
	struct in_pktinfo v4;
	struct in6_pktinfo v6;

	if (c->cmsg_level == IPPROTO_IP && c->cmsg_len >= CMSG_LEN(sizeof v4)) {
		memcpy(&v4, CMSG_DATA(c), sizeof v4);
		memcpy(from->local, &v4.ipi_spec_dst, 4);
		from->local_ifindex = (uint32_t)v4.ipi_ifindex;
	} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_len >= CMSG_LEN(sizeof v6)) {
		memcpy(&v6, CMSG_DATA(c), sizeof v6);
		memcpy(from->local, &v6.ipi6_addr, 16);
		from->local_ifindex = v6.ipi6_ifindex;
	}
}

/* IP_TOS arrives as one byte, IPV6_TCLASS and UDP_GRO as int. */
static uint32_t number_read(const struct cmsghdr *c)
{
	int value;

	if (c->cmsg_len < CMSG_LEN(sizeof value))
		return c->cmsg_len > CMSG_LEN(0) ? *CMSG_DATA(c) : 0;
	memcpy(&value, CMSG_DATA(c), sizeof value);
	return value < 0 ? 0 : (uint32_t)value;
}

static bool ancillary_read(struct ancillary *a, struct udp_rx *rx, unsigned i)
{
	struct msghdr *h = &rx->messages[i].msg_hdr;

	*a = (struct ancillary){0};
	if (!udp_endpoint_from_sockaddr(&a->from, &rx->names[i]))
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_UDP) {
			if (c->cmsg_type == UDP_GRO)
				a->segment_bytes = number_read(c);
		} else if (c->cmsg_level == IPPROTO_IP) {
			if (c->cmsg_type == IP_PKTINFO)
				pktinfo_read(&a->from, c);
			else if (c->cmsg_type == IP_TOS)
				a->ecn = number_read(c) & 3;
		} else if (c->cmsg_level == IPPROTO_IPV6) {
			if (c->cmsg_type == IPV6_PKTINFO)
				pktinfo_read(&a->from, c);
			else if (c->cmsg_type == IPV6_TCLASS)
				a->ecn = number_read(c) & 3;
		}
	}
	return true;
}

static bool endpoint_equal(const struct wgh_endpoint *a, const struct wgh_endpoint *b)
{
	return a->port == b->port && a->family == b->family && a->scope_id == b->scope_id &&
		a->local_ifindex == b->local_ifindex && memcmp(a->addr, b->addr, 16) == 0 &&
		memcmp(a->local, b->local, 16) == 0;
}

/* Hands out datagrams of message i from next_byte on, as many as packets has room for. True: all of
 * them. */
static bool message_cut(struct udp_rx *rx, unsigned i, const struct ancillary *a, size_t *n_packets)
{
	uint8_t *data = rx->iovecs[i].iov_base;
	uint32_t len = rx->messages[i].msg_len;
	uint32_t segment = a->segment_bytes;
	uint32_t at = rx->next_byte;
	size_t n = *n_packets;

	/* None told: one datagram. One larger than the message, which makes no sense, comes out the
	 * same. */
	if (segment == 0)
		segment = len;
	do {
		if (n == PACKETS_PER_BATCH) {
			rx->next_byte = at;
			*n_packets = n;
			return false;
		}
		uint32_t piece = len - at < segment ? len - at : segment;
		rx->packets[n++] =
			(struct wgh_packet){.data = data + at, .len_bytes = piece, .ecn = a->ecn};
		at += piece;
	} while (at < len);
	rx->next_byte = 0;
	*n_packets = n;
	return true;
}

/* Fills packets and bursts from messages that were received and not handed out yet. */
static void messages_hand_out(struct udp_rx *rx, struct udp_received *out)
{
	size_t n_packets = 0;

	while (rx->next_message < rx->n_messages && n_packets < PACKETS_PER_BATCH) {
		unsigned i = rx->next_message;
		size_t first = n_packets;
		struct ancillary a;

		if (rx->messages[i].msg_hdr.msg_flags & MSG_TRUNC) {
			out->n_truncated++;
			rx->next_message++;
			continue;
		}
		if (!ancillary_read(&a, rx, i)) {
			rx->next_message++;
			continue;
		}
		if (message_cut(rx, i, &a, &n_packets))
			rx->next_message++;
		struct wgh_burst *last = out->n_bursts ? &rx->bursts[out->n_bursts - 1] : NULL;
		if (last && endpoint_equal(&last->endpoint, &a.from)) {
			last->n_packets += (uint32_t)(n_packets - first);
			continue;
		}
		rx->bursts[out->n_bursts++] = (struct wgh_burst){.endpoint = a.from,
			.packets = &rx->packets[first],
			.n_packets = (uint32_t)(n_packets - first)};
	}
	rx->n_segments += (uint32_t)n_packets;
}

/* So many messages that they hold about one batch: 8 of 64 datagrams each, or 64 of up to 8. */
static unsigned messages_wanted(const struct udp_rx *rx)
{
	if (rx->n_messages == 0)
		return rx->n_ask;
	if (rx->n_segments <= 8 * rx->n_messages)
		return MESSAGES_MAX;
	if (rx->n_segments <= 16 * rx->n_messages)
		return MESSAGES_MAX / 2;
	return rx->n_segments <= 32 * rx->n_messages ? MESSAGES_MAX / 4 : MESSAGES_MIN;
}

/* Errors of a descriptor that will never be a working socket again; all others concern one
 * datagram, one ICMP message or one moment. */
static bool error_is_final(int err)
{
	return err == EBADF || err == ENOTSOCK || err == EFAULT || err == EINVAL || err == ENOSYS;
}

int udp_receive(struct udp_socket *s, struct udp_rx *rx, struct udp_received *out)
{
	int n;

	*out = (struct udp_received){.bursts = rx->bursts};
	if (rx->next_message < rx->n_messages) {
		messages_hand_out(rx, out);
		out->kept = rx->next_message < rx->n_messages;
		out->more = true;
		return 0;
	}
	rx->n_ask = messages_wanted(rx);
	for (unsigned i = 0; i < rx->n_ask; i++) {
		struct msghdr *h = &rx->messages[i].msg_hdr;

		h->msg_namelen = sizeof(struct sockaddr_in6);
		h->msg_controllen = CONTROL_BYTES;
	}
	rx->n_messages = rx->next_message = 0;
	rx->n_segments = rx->next_byte = 0;
	n = recvmmsg(s->fd, rx->messages, rx->n_ask, MSG_DONTWAIT, NULL);
	if (n < 0)
		return error_is_final(errno) ? -errno : 0;
	rx->n_messages = (unsigned)n;
	messages_hand_out(rx, out);
	out->kept = rx->next_message < rx->n_messages;
	out->more = out->kept || rx->n_messages == rx->n_ask;
	return 0;
}
