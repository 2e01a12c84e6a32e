/* udp_send.c - puts bursts on the wire: runs of equal packets as one segmented message, many
 * messages a call.
 *
 * Costs: one sendmmsg for up to 64 messages; per packet a few compares and, where it does not
 * follow the packet before it in memory, one iovec. Fails: each message for itself. A refused one
 * is tried once more in the way that its error suggests (one by one; without the sticky source),
 * off the hot path.
 */
#include "io/udp.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
	MESSAGES_MAX = 64,
	SEGMENTS_MAX = 64, /* UDP_MAX_SEGMENTS of Linux before 6.9; 128 since */
	IOVECS_MAX = 1024,
	/* 65,535 less the headers of IPv6 and UDP; IPv4's are shorter. */
	MESSAGE_BYTES_MAX = 65535 - 40 - 8,
	CONTROL_BYTES = CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
		CMSG_SPACE(sizeof(uint16_t)),
	/* Every IPv4 path is expected to carry 576 bytes (RFC 791), every IPv6 path 1,280 (RFC
	   8200). */
	SAFE_BYTES_IPV4 = 576 - 20 - 8,
	SAFE_BYTES_IPV6 = 1280 - 40 - 8,
};

/* The packets of one message: neighbours in one burst. */
struct run {
	const struct wgh_endpoint *to;
	const struct wgh_packet *packets;
	unsigned n;
};

struct udp_tx {
	unsigned n_messages, n_iovecs;
	int flags;
	struct run runs[MESSAGES_MAX];
	struct mmsghdr messages[MESSAGES_MAX];
	struct sockaddr_storage names[MESSAGES_MAX];
	_Alignas(struct cmsghdr) uint8_t controls[MESSAGES_MAX][CONTROL_BYTES];
	struct iovec iovecs[IOVECS_MAX];
};

struct udp_tx *udp_tx_new(void)
{
	return calloc(1, sizeof(struct udp_tx));
}

void udp_tx_free(struct udp_tx *tx)
{
	free(tx);
}

/* ---- ancillary data ---- */

static void cmsg_append(struct msghdr *h, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)h->msg_control + h->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	h->msg_controllen += CMSG_SPACE(len);
}

/* h->msg_control has CONTROL_BYTES. segment_bytes 0: not segmented. */
static void control_write(struct msghdr *h, const struct wgh_endpoint *to, bool with_source,
	uint8_t tos, uint16_t segment_bytes)
{
	bool v4 = to->family == WGH_IPV4;
	int value = tos;

	h->msg_controllen = 0;
	if (with_source && to->local_ifindex && v4) {
		struct in_pktinfo info = {.ipi_ifindex = (int)to->local_ifindex};

		memcpy(&info.ipi_spec_dst, to->local, 4);
		cmsg_append(h, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
	} else if (with_source && to->local_ifindex) {
		struct in6_pktinfo info = {.ipi6_ifindex = to->local_ifindex};

		memcpy(&info.ipi6_addr, to->local, 16);
		cmsg_append(h, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
	}
	if (tos)
		cmsg_append(h, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &value,
			sizeof value);
	if (segment_bytes)
		cmsg_append(h, IPPROTO_UDP, UDP_SEGMENT, &segment_bytes, sizeof segment_bytes);
}

/* ---- second tries ---- */

/* The address or interface that our sticky source names is gone. EINVAL up to about Linux 6.1,
 * ENETUNREACH later; the others come from routes that forbid it. */
static bool error_blames_source(int err)
{
	return err == EINVAL || err == ENETUNREACH || err == EADDRNOTAVAIL || err == EHOSTUNREACH ||
		err == ENODEV;
}

static bool error_blames_segments(int err)
{
	return err == EINVAL || err == EIO || err == EOPNOTSUPP || err == EMSGSIZE;
}

/* An ICMP error of an earlier packet, told to whoever sends next. */
static bool error_is_of_the_past(int err)
{
	return err == ECONNREFUSED || err == ECONNRESET || err == EHOSTDOWN || err == EPROTO;
}

/* 0 or a positive errno. */
static int message_send(int fd, const struct msghdr *h, int flags)
{
	int err = 0;

	for (unsigned tries = 0; tries < 3; tries++) {
		if (sendmsg(fd, h, flags) >= 0)
			return 0;
		err = errno;
		if (err != EINTR && !error_is_of_the_past(err))
			break;
	}
	return err;
}

/* Sends h, whose control data has just been written with the sticky source; if that is refused,
 * without. 0 or a positive errno. */
static int message_send_anyhow(
	int fd, struct msghdr *h, const struct wgh_endpoint *to, uint8_t tos, int flags, bool *lost)
{
	int err = message_send(fd, h, flags);

	if (err == 0 || !to->local_ifindex || !error_blames_source(err))
		return err;
	control_write(h, to, false, tos, 0);
	err = message_send(fd, h, flags);
	if (err == 0)
		*lost = true;
	return err;
}

static void run_count_sent(const struct run *run, struct udp_sent *sent)
{
	sent->n_packets += run->n;
	for (unsigned i = 0; i < run->n; i++)
		sent->n_bytes += run->packets[i].len_bytes;
}

/* Sends the packets of message i one by one. True: the segmentation was to blame for err. */
static bool run_send_singly(
	struct udp_socket *s, struct udp_tx *tx, unsigned i, int err, struct udp_sent *sent)
{
	const struct run *run = &tx->runs[i];
	struct msghdr h = tx->messages[i].msg_hdr;
	uint32_t safe = s->family == WGH_IPV4 ? SAFE_BYTES_IPV4 : SAFE_BYTES_IPV6;
	bool source_lost = false;
	unsigned n_sent = 0;

	for (unsigned k = 0; k < run->n; k++) {
		const struct wgh_packet *p = &run->packets[k];
		struct iovec iov = {.iov_base = p->data, .iov_len = p->len_bytes};

		h.msg_iov = &iov;
		h.msg_iovlen = 1;
		control_write(&h, run->to, !source_lost, p->ecn, 0);
		int e = message_send_anyhow(s->fd, &h, run->to, p->ecn, tx->flags, &source_lost);
		if (e == EAGAIN)
			tx->flags |= MSG_DONTWAIT;
		if (e) {
			sent->n_failed++;
			continue;
		}
		n_sent++;
		sent->n_packets++;
		sent->n_bytes += p->len_bytes;
	}
	if (source_lost)
		sent->source_lost = true;
	/* What was refused singly too says nothing about segmentation; and a segment larger than
	 * the path's MTU is refused with EMSGSIZE, by older kernels with EINVAL, where a whole
	 * packet is fragmented. */
	if (n_sent == 0 || source_lost || err == EMSGSIZE)
		return false;
	return err != EINVAL || run->packets[0].len_bytes <= safe;
}

/* Message i was refused with err. */
static void message_retry(
	struct udp_socket *s, struct udp_tx *tx, unsigned i, int err, struct udp_sent *sent)
{
	const struct run *run = &tx->runs[i];
	struct msghdr *h = &tx->messages[i].msg_hdr;
	uint16_t segment = run->n > 1 ? (uint16_t)run->packets[0].len_bytes : 0;

	if (error_is_of_the_past(err))
		err = message_send(s->fd, h, tx->flags);
	/* EINVAL may mean either: sending singly tells. */
	if (err && run->to->local_ifindex && error_blames_source(err) &&
		!(segment && err == EINVAL)) {
		control_write(h, run->to, false, run->packets[0].ecn, segment);
		err = message_send(s->fd, h, tx->flags);
		if (err == 0)
			sent->source_lost = true;
	}
	if (err == 0) {
		run_count_sent(run, sent);
		return;
	}
	if (segment && error_blames_segments(err)) {
		if (run_send_singly(s, tx, i, err, sent) && atomic_exchange(&s->gso, false))
			sent->gso_lost = true;
		return;
	}
	/* The wait for room in the socket buffer is paid once a call, not once a message. */
	if (err == EAGAIN)
		tx->flags |= MSG_DONTWAIT;
	sent->n_failed += run->n;
}

/* ---- the hot path ---- */

static void messages_flush(struct udp_socket *s, struct udp_tx *tx, struct udp_sent *sent)
{
	unsigned i = 0;

	while (i < tx->n_messages) {
		int n = sendmmsg(s->fd, tx->messages + i, tx->n_messages - i, tx->flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			message_retry(s, tx, i++, errno, sent);
			continue;
		}
		for (unsigned end = i + (unsigned)n; i < end; i++)
			run_count_sent(&tx->runs[i], sent);
	}
	tx->n_messages = tx->n_iovecs = 0;
}

/* How many of the n packets leave as one message: equal sizes, the last may be shorter, one ECN
 * value. */
static unsigned run_length(const struct wgh_packet *packets, uint32_t n, bool gso)
{
	uint32_t segment = packets[0].len_bytes, bytes = segment;
	unsigned max = n < SEGMENTS_MAX ? n : SEGMENTS_MAX;
	unsigned k = 1;

	if (!gso || segment == 0)
		return 1;
	for (; k < max; k++) {
		const struct wgh_packet *p = &packets[k];

		/* An empty datagram would vanish as the tail of a segmented send. */
		if (p->len_bytes > segment || p->len_bytes == 0 || p->ecn != packets[0].ecn)
			break;
		bytes += p->len_bytes;
		if (bytes > MESSAGE_BYTES_MAX)
			break;
		if (p->len_bytes < segment)
			return k + 1;
	}
	return k;
}

static void message_add(struct udp_tx *tx, const struct run *run)
{
	unsigned i = tx->n_messages++;
	struct msghdr *h = &tx->messages[i].msg_hdr;
	struct iovec *iov = &tx->iovecs[tx->n_iovecs];
	unsigned n_iov = 0;
	uintptr_t end = 0;

	for (unsigned k = 0; k < run->n; k++) {
		const struct wgh_packet *p = &run->packets[k];

		if (n_iov && (uintptr_t)p->data == end)
			iov[n_iov - 1].iov_len += p->len_bytes;
		else
			iov[n_iov++] = (struct iovec){.iov_base = p->data, .iov_len = p->len_bytes};
		end = (uintptr_t)p->data + p->len_bytes;
	}
	tx->n_iovecs += n_iov;
	tx->runs[i] = *run;
	*h = (struct msghdr){.msg_name = &tx->names[i],
		.msg_namelen = udp_endpoint_to_sockaddr(&tx->names[i], run->to),
		.msg_iov = iov,
		.msg_iovlen = n_iov,
		.msg_control = tx->controls[i]};
	control_write(h, run->to, true, run->packets[0].ecn,
		run->n > 1 ? (uint16_t)run->packets[0].len_bytes : 0);
}

void udp_send(struct udp_socket *s, struct udp_tx *tx, const struct wgh_burst *bursts, size_t n,
	struct udp_sent *sent)
{
	tx->flags = 0;
	for (size_t b = 0; b < n; b++) {
		const struct wgh_burst *burst = &bursts[b];

		if (burst->endpoint.family != s->family)
			continue;
		bool gso = atomic_load_explicit(&s->gso, memory_order_relaxed);
		for (uint32_t at = 0; at < burst->n_packets;) {
			struct run run = {.to = &burst->endpoint, .packets = &burst->packets[at]};

			run.n = run_length(run.packets, burst->n_packets - at, gso);
			if (tx->n_messages == MESSAGES_MAX || tx->n_iovecs + run.n > IOVECS_MAX) {
				messages_flush(s, tx, sent);
				gso = atomic_load_explicit(&s->gso, memory_order_relaxed);
				/* Segmentation may just have been lost. */
				run.n = gso ? run.n : 1;
			}
			message_add(tx, &run);
			at += run.n;
		}
	}
	messages_flush(s, tx, sent);
}

int udp_send_one(struct udp_socket *s, const struct wgh_endpoint *to, const void *data,
	uint32_t len_bytes, uint8_t tos, bool *source_lost)
{
	_Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
	struct sockaddr_storage name;
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len_bytes};
	struct msghdr h = {
		.msg_name = &name, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};

	*source_lost = false;
	if (to->family != s->family)
		return -EAFNOSUPPORT;
	h.msg_namelen = udp_endpoint_to_sockaddr(&name, to);
	control_write(&h, to, true, tos, 0);
	return -message_send_anyhow(s->fd, &h, to, tos, 0, source_lost);
}
