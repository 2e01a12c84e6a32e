/* tun.h - the TUN device: inner packets to and from the hub host's own stack, up to 64 KiB a system
 * call.
 *
 * With virtio headers (IFF_VNET_HDR) a read may be one large TCP or UDP packet that we segment, and
 * a write may be many packets of one flow that we coalesce; the kernel computes or trusts
 * checksums. Without, one packet a call. Both work the same from outside. Threads: one struct tun
 * (queue), rx and tx belong to one worker. Source: Documentation/networking/tuntap.rst,
 * include/uapi/linux/virtio_net.h of Linux.
 */
#ifndef IO_TUN_H
#define IO_TUN_H

#include "crypto/secret.h"
#include "wghub.h"

struct tun {
	int fd; /* -1: closed */
	bool vnet_hdr, tso, uso;
};

/* Opens one queue of the device called name, creating it if need be. name may hold "%d" and gets
 * the real name (16 bytes). multi_queue: further queues may be opened under the same name.
 * offloads_off: enum wgh_offload bits. -EBUSY: somebody uses it; -EPERM: no right; -ENOENT /
 * -ENODEV: no /dev/net/tun. */
MUST_CHECK int tun_open(struct tun *t, char name[16], bool multi_queue, unsigned offloads_off);
/* Takes over a descriptor somebody else opened (WG_TUN_FD); asks the kernel which headers it
 * carries and its name. */
MUST_CHECK int tun_adopt(struct tun *t, int fd, char name[16], unsigned offloads_off);
void tun_close(struct tun *t);

struct tun_rx;
struct tun_tx;
MUST_CHECK struct tun_rx *tun_rx_new(void);
void tun_rx_free(struct tun_rx *rx);
MUST_CHECK struct tun_tx *tun_tx_new(void);
void tun_tx_free(struct tun_tx *tx);

/* Reads until nothing is left, PACKETS_PER_BATCH packets are there or the buffer is full; large
 * packets come out segmented with right checksums. Each packet has WGH_HEADROOM_BYTES before and
 * WGH_TAILROOM_BYTES after it inside rx; packets of equal length lie at equal distance, headroom
 * directly after the padding to 16 and the 16 byte tag of the packet before, so that a segmented
 * send can carry them as one piece. Valid until the next call. *more: call again. Negative errno:
 * -EBADFD, -ENODEV and the like mean that the device is gone. n_bad is added to for packets whose
 * virtio header or lengths make no sense. */
MUST_CHECK int tun_read(struct tun *t, struct tun_rx *rx, struct wgh_packet **packets, size_t *n,
	uint32_t *n_bad, bool *more);

/* Writes whole inner packets (data, len_bytes exact). Each has at least WGH_HEADROOM_BYTES writable
 * bytes before it; packets may be changed. With offloads, runs of one TCP (in sequence, same flags)
 * or UDP flow leave as one write; order within a flow is kept. Returns the number of packets the
 * device refused. -ENODEV and the like through *err when the device is gone. */
uint32_t tun_write(
	struct tun *t, struct tun_tx *tx, struct wgh_packet *packets, size_t n, int *err);

#endif
