/* tun.c - opens the TUN device and moves whole inner packets through it.
 *
 * Costs: one read per packet or per 64 KiB of a flow, and the copy that puts room around each
 * packet; one write per packet or per run of a flow, without a copy. Fails: a device that is gone
 * ends reading and writing with an errno; a packet that the kernel does not take is counted and the
 * next one is tried.
 */
#include "io/tun.h"

#include "core/limits.h"
#include "io/tun_coalesce.h"
#include "io/tun_segment.h"
#include "wghub_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux 6.2; not in the headers of Debian 12. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
	VNET_BYTES = sizeof(struct vnet_hdr),
	PACKET_BYTES_MAX = 65535 + 40, /* an IPv6 payload of 65,535 bytes */
	/* Puts the packet behind the virtio header on a multiple of 16. */
	STAGING_OFFSET = 16 - VNET_BYTES,
	/* A few large packets: what a burst should be to stay in the L2 cache with what is made of
	   it. */
	ARENA_BYTES = 320 << 10,
	HEADERS_BYTES_MAX = 128, /* of a packet that can be coalesced: 40 + 60 */
};

_Static_assert((int)COALESCE_PACKETS_MAX == (int)PACKETS_PER_BATCH, "one batch is one table");
_Static_assert(
	(int)WGH_HEADROOM_BYTES >= (int)VNET_BYTES, "the virtio header goes before the packet");

struct tun_rx {
	struct segmenter segmenter; /* a packet of the last read that was not handed out whole */
	uint8_t *arena;
	struct wgh_packet packets[PACKETS_PER_BATCH];
	_Alignas(64) uint8_t staging[STAGING_OFFSET + VNET_BYTES + PACKET_BYTES_MAX];
};

struct tun_tx {
	struct coalescer coalescer;
	struct iovec iovecs[PACKETS_PER_BATCH];
};

/* ---- opening ---- */

static int request(int fd, unsigned long what, void *arg)
{
	return ioctl(fd, what, arg) < 0 ? -errno : 0;
}

/* Tells the kernel which packets we can cut; the most it agrees to. Needs virtio headers. */
static int offloads_negotiate(struct tun *t, unsigned offloads_off)
{
	unsigned tso =
		offloads_off & WGH_OFFLOAD_TUN_TSO ? 0 : TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	unsigned uso = offloads_off & WGH_OFFLOAD_TUN_USO ? 0 : TUN_F_USO4 | TUN_F_USO6;
	const unsigned tries[] = {TUN_F_CSUM | tso | uso, TUN_F_CSUM | tso, TUN_F_CSUM, 0};
	int size = VNET_BYTES, err;

	err = request(t->fd, TUNSETVNETHDRSZ, &size);
	if (err)
		return err;
	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
		if (ioctl(t->fd, TUNSETOFFLOAD, tries[i]) < 0) {
			err = -errno;
			continue;
		}
		/* With nothing to cut, headers of zeros cost nothing. */
		t->tso = tries[i] & TUN_F_TSO4;
		t->uso = tries[i] & TUN_F_USO4;
		return 0;
	}
	return err;
}

static int descriptor_prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int tun_open(struct tun *t, char name[16], bool multi_queue, unsigned offloads_off)
{
	const unsigned both = WGH_OFFLOAD_TUN_TSO | WGH_OFFLOAD_TUN_USO;
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int err;

	*t = (struct tun){.fd = -1, .vnet_hdr = (offloads_off & both) != both};
	t->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0)
		return errno == EACCES ? -EPERM : -errno;
	if (t->vnet_hdr)
		ifr.ifr_flags |= IFF_VNET_HDR;
	if (multi_queue)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	err = request(t->fd, TUNSETIFF, &ifr);
	if (err == -EINVAL) {
		/* A device that exists was made with the other kind of queues. */
		ifr.ifr_flags ^= IFF_MULTI_QUEUE;
		err = request(t->fd, TUNSETIFF, &ifr);
	}
	if (!err && t->vnet_hdr)
		err = offloads_negotiate(t, offloads_off);
	else if (!err)
		/* A persistent device may still have those of its last user. */
		(void)ioctl(t->fd, TUNSETOFFLOAD, 0);
	if (err) {
		tun_close(t);
		return err;
	}
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

int tun_adopt(struct tun *t, int fd, char name[16], unsigned offloads_off)
{
	struct ifreq ifr = {0};
	int err = request(fd, TUNGETIFF, &ifr);

	*t = (struct tun){.fd = -1};
	if (err)
		return err;
	/* Ethernet frames are not for us. IFF_NO_PI cannot be asked for: IFF_NOFILTER has the same
	 * bit. */
	if (!(ifr.ifr_flags & IFF_TUN))
		return -EINVAL;
	err = descriptor_prepare(fd);
	if (err)
		return err;
	t->fd = fd;
	t->vnet_hdr = ifr.ifr_flags & IFF_VNET_HDR;
	if (t->vnet_hdr)
		err = offloads_negotiate(t, offloads_off);
	if (err) {
		/* Still the caller's. */
		t->fd = -1;
		return err;
	}
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

void tun_close(struct tun *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

struct tun_rx *tun_rx_new(void)
{
	struct tun_rx *rx = calloc(1, sizeof *rx);

	if (!rx)
		return NULL;
	rx->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rx->arena == MAP_FAILED) {
		free(rx);
		return NULL;
	}
	return rx;
}

void tun_rx_free(struct tun_rx *rx)
{
	if (!rx)
		return;
	munmap(rx->arena, ARENA_BYTES);
	free(rx);
}

struct tun_tx *tun_tx_new(void)
{
	return calloc(1, sizeof(struct tun_tx));
}

void tun_tx_free(struct tun_tx *tx)
{
	free(tx);
}

/* ---- reading ---- */

/* Takes on what one read gave. False: it makes no sense. */
static bool read_begin(const struct tun *t, struct tun_rx *rx, const uint8_t *at, size_t n)
{
	uint8_t *packet = rx->staging + STAGING_OFFSET + VNET_BYTES;
	struct vnet_hdr h = {0};

	if (t->vnet_hdr) {
		if (n < VNET_BYTES)
			return false;
		memcpy(&h, at, VNET_BYTES);
		n -= VNET_BYTES;
	}
	return n <= PACKET_BYTES_MAX && segment_start(&rx->segmenter, packet, (uint32_t)n, &h);
}

int tun_read(struct tun *t, struct tun_rx *rx, struct wgh_packet **packets, size_t *n,
	uint32_t *n_bad, bool *more)
{
	struct packet_room room = {.at = rx->arena,
		.end = rx->arena + ARENA_BYTES,
		.packets = rx->packets,
		.n_max = PACKETS_PER_BATCH};
	uint8_t *at = rx->staging + STAGING_OFFSET + (t->vnet_hdr ? 0 : VNET_BYTES);
	size_t room_bytes = (size_t)(rx->staging + sizeof rx->staging - at);
	int err = 0;

	*more = true;
	for (unsigned n_reads = 0;; n_reads++) {
		segment_put(&rx->segmenter, &room);
		/* Bad packets are no reason to stay in here for ever. */
		if (segment_pending(&rx->segmenter) || room.n == room.n_max ||
			n_reads == PACKETS_PER_BATCH)
			break;
		ssize_t got = read(t->fd, at, room_bytes);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			*more = errno != EAGAIN;
			err = errno == EAGAIN ? 0 : -errno;
			break;
		}
		if (!read_begin(t, rx, at, (size_t)got))
			++*n_bad;
	}
	*packets = rx->packets;
	*n = room.n;
	/* What was read before an error is handed out first; the error comes again. */
	return room.n ? 0 : err;
}

/* ---- writing ---- */

static bool error_means_gone(int err)
{
	return err == EBADFD || err == EBADF || err == ENODEV || err == ENXIO;
}

/* 0 or a positive errno. */
static int write_all(int fd, const struct iovec *iov, int n)
{
	for (;;) {
		if (writev(fd, iov, n) >= 0)
			return 0;
		if (errno != EINTR)
			return errno;
	}
}

static int write_single(const struct tun *t, const struct wgh_packet *p)
{
	size_t before = t->vnet_hdr ? VNET_BYTES : 0;
	struct iovec iov = {.iov_base = p->data - before, .iov_len = p->len_bytes + before};

	memset(p->data - before, 0, before);
	return write_all(t->fd, &iov, 1);
}

static int write_run(const struct tun *t, struct tun_tx *tx, const struct packet_run *run,
	const struct wgh_packet *packets)
{
	const struct wgh_packet *head = &packets[run->first];
	uint8_t saved[HEADERS_BYTES_MAX];
	struct vnet_hdr h;
	unsigned n = 1;
	int err;

	memcpy(saved, head->data, run->header_bytes);
	coalesce_head(run, head->data, &h);
	memcpy(head->data - VNET_BYTES, &h, VNET_BYTES);
	tx->iovecs[0] = (struct iovec){
		.iov_base = head->data - VNET_BYTES, .iov_len = head->len_bytes + VNET_BYTES};
	for (size_t i = run->first; i != run->last; n++) {
		i = tx->coalescer.next[i];
		tx->iovecs[n] = (struct iovec){.iov_base = packets[i].data + run->header_bytes,
			.iov_len = packets[i].len_bytes - run->header_bytes};
	}
	err = write_all(t->fd, tx->iovecs, (int)n);
	if (err)
		memcpy(head->data, saved, run->header_bytes);
	return err;
}

/* Adds to *n_refused. 0, or the errno of a device that is gone. */
static int run_write(const struct tun *t, struct tun_tx *tx, const struct packet_run *run,
	const struct wgh_packet *packets, uint32_t *n_refused)
{
	size_t i = run->first;
	int err;

	if (run->n > 1) {
		err = write_run(t, tx, run, packets);
		if (err == 0)
			return 0;
		if (error_means_gone(err)) {
			*n_refused += run->n;
			return err;
		}
		/* EIO: the link is down, for each of them. */
		if (err == EIO) {
			*n_refused += run->n;
			return 0;
		}
	}
	for (unsigned k = 0; k < run->n; k++, i = tx->coalescer.next[i]) {
		err = write_single(t, &packets[i]);
		if (err == 0)
			continue;
		++*n_refused;
		if (error_means_gone(err)) {
			*n_refused += run->n - k - 1;
			return err;
		}
	}
	return 0;
}

uint32_t tun_write(struct tun *t, struct tun_tx *tx, struct wgh_packet *packets, size_t n, int *err)
{
	struct coalescer *c = &tx->coalescer;
	uint32_t n_refused = 0;

	*err = 0;
	for (size_t at = 0; at < n && *err == 0; at += COALESCE_PACKETS_MAX) {
		size_t count = n - at < COALESCE_PACKETS_MAX ? n - at : COALESCE_PACKETS_MAX;
		size_t r = 0;

		coalesce(c, packets + at, count, t->tso, t->uso);
		for (; r < c->n_runs && *err == 0; r++)
			*err = -run_write(t, tx, &c->runs[r], packets + at, &n_refused);
		for (; r < c->n_runs; r++)
			n_refused += c->runs[r].n;
		if (*err)
			n_refused += (uint32_t)(n - at - count);
	}
	return n_refused;
}
