/* tun_coalesce.h - finds runs of packets of one TCP or UDP flow that may enter the kernel as one.
 * Pure functions on memory; threads: one struct coalescer belongs to one. A packet joins a run only
 * when cutting the run again would give the same packet (under DF with another IPv4 identification,
 * which then means nothing), and only with right checksums: the kernel trusts what is coalesced.
 * Cost: per packet one hash look-up and, where it joins, one checksum. Source: RFC 9293, RFC 768,
 * RFC 6864; Documentation/networking/segmentation-offloads.rst of Linux.
 */
#ifndef IO_TUN_COALESCE_H
#define IO_TUN_COALESCE_H

#include "io/vnet.h"
#include "wghub.h"

enum { COALESCE_PACKETS_MAX = 512, COALESCE_BUCKETS = 256 };

struct packet_run {
	uint16_t first, last, n; /* indices into packets; the ones between by coalescer.next */
	uint16_t segment_bytes; /* payload of each packet but the last */
	uint16_t l4_offset, header_bytes;
	uint32_t total_bytes; /* as one packet */
	uint32_t next_seq; /* TCP */
	uint8_t proto;
	bool open; /* the next packet of the flow may join */
	bool head_right; /* the first packet's checksums were looked at, and are right */
	bool push;
};

struct coalescer {
	size_t n_runs;
	uint16_t next[COALESCE_PACKETS_MAX];
	uint16_t buckets[COALESCE_BUCKETS]; /* the newest run of a flow, plus 1 */
	struct packet_run runs[COALESCE_PACKETS_MAX];
};

/* Sorts n packets (at most COALESCE_PACKETS_MAX) into c->runs, to be written in that order; packets
 * of one flow keep theirs. */
void coalesce(struct coalescer *c, const struct wgh_packet *packets, size_t n, bool tcp, bool udp);
/* Makes the headers of the run's first packet those of the whole run, of at least 2, and says so in
 * h. Changes only the first header_bytes. */
void coalesce_head(const struct packet_run *run, uint8_t *head, struct vnet_hdr *h);

#endif
