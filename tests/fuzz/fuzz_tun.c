/* fuzz_tun.c - any virtio header and packet into the segmenter, any packets into the coalescer:
 * nothing is read or written outside, no payload is lost or made up, and a run cut again gives its
 * packets. Corpus: tests/fuzz/corpus/tun. Input: one byte of mode; then a virtio header and a
 * packet (mode even), or packets, each behind two bytes of length (mode odd; 2: lengths and
 * checksums are made right first).
 */
#include "core/be.h"
#include "core/ip.h"
#include "io/tun_coalesce.h"
#include "io/tun_segment.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_BYTES = 1 << 18 };

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void fuzz_segment(const uint8_t *data, size_t size)
{
	struct wgh_packet packets[COALESCE_PACKETS_MAX];
	struct segmenter s;
	struct vnet_hdr h;
	uint32_t payload = 0, len = (uint32_t)(size - sizeof h);
	uint8_t *packet, *room;

	if (size < sizeof h)
		return;
	memcpy(&h, data, sizeof h);
	/* Exactly as long as it is, for the address sanitizer. */
	packet = malloc(len ? len : 1);
	room = malloc(ROOM_BYTES);
	require(packet && room);
	memcpy(packet, data + sizeof h, len);
	bool taken = segment_start(&s, packet, len, &h);
	require(taken == segment_pending(&s));
	while (segment_pending(&s)) {
		struct packet_room out = {.at = room,
			.end = room + ROOM_BYTES,
			.packets = packets,
			.n_max = COALESCE_PACKETS_MAX};

		segment_put(&s, &out);
		require(out.n > 0);
		for (size_t i = 0; i < out.n; i++) {
			const struct wgh_packet *p = &packets[i];

			require(p->len_bytes >= s.header_bytes);
			require(p->len_bytes - s.header_bytes <= s.segment_bytes);
			require(p->data + p->len_bytes + WGH_TAILROOM_BYTES <= out.end);
			payload += p->len_bytes - s.header_bytes;
		}
	}
	require(!taken || payload + s.header_bytes == len);
	free(packet);
	free(room);
}

/* Makes lengths and checksums of a plain TCP or UDP packet right. */
static void packet_mend(uint8_t *d, uint32_t len)
{
	struct ip_info info;
	uint16_t sum;
	bool v4 = len >= 20 && d[0] >> 4 == 4;

	if (v4)
		be16_put(d + 2, len);
	else if (len >= 40 && d[0] >> 4 == 6)
		be16_put(d + 4, len - 40);
	if (ip_parse(&info, d, len) != DROP_NONE || info.len_bytes != len)
		return;
	if (v4) {
		be16_put(d + 10, 0);
		sum = ip_checksum_finish(ip_checksum_add(0, d, (d[0] & 15u) * 4));
		memcpy(d + 10, &sum, 2);
	}
	uint32_t l4 = info.l4_offset, l4_bytes = len - l4;
	bool tcp = info.proto == IP_PROTO_TCP;
	if (l4 == 0 || info.fragment || (!tcp && info.proto != IP_PROTO_UDP) ||
		l4_bytes < (tcp ? TCP_HEADER_BYTES : UDP_HEADER_BYTES))
		return;
	if (!tcp)
		be16_put(d + l4 + UDP_LENGTH, l4_bytes);
	uint8_t *field = d + l4 + (tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
	be16_put(field, 0);
	sum = ip_checksum_finish(ip_checksum_add(
		ip_checksum_pseudo(&info.src, &info.dst, info.proto, l4_bytes), d + l4, l4_bytes));
	sum = sum ? sum : 0xffff;
	memcpy(field, &sum, 2);
}

/* Zeroes what cutting a run may change without meaning: the identification under DF, and which of
 * its two forms a checksum of zero has. */
static void meaningless_clear(uint8_t *d, const struct packet_run *run)
{
	uint8_t *field =
		d + run->l4_offset + (run->proto == IP_PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);

	if (d[0] >> 4 == 4 && (d[6] & 0x40))
		memset(d + 4, 0, 2);
	if (d[0] >> 4 == 4)
		memset(d + 10, 0, 2);
	if (be16_get(field) == 0xffff)
		be16_put(field, 0);
}

static void check_run(
	const struct coalescer *c, const struct packet_run *run, const struct wgh_packet *packets)
{
	struct wgh_packet pieces[COALESCE_PACKETS_MAX];
	uint8_t *merged = malloc(run->total_bytes), *room = malloc(ROOM_BYTES);
	struct packet_room out = {.at = room,
		.end = room + ROOM_BYTES,
		.packets = pieces,
		.n_max = COALESCE_PACKETS_MAX};
	uint32_t len = packets[run->first].len_bytes;
	size_t i = run->first;
	struct segmenter s;
	struct vnet_hdr h;

	require(merged && room && run->total_bytes <= 65535);
	memcpy(merged, packets[i].data, len);
	while (i != run->last) {
		i = c->next[i];
		memcpy(merged + len, packets[i].data + run->header_bytes,
			packets[i].len_bytes - run->header_bytes);
		len += packets[i].len_bytes - run->header_bytes;
	}
	require(len == run->total_bytes);
	coalesce_head(run, merged, &h);
	require(segment_start(&s, merged, len, &h));
	segment_put(&s, &out);
	require(!segment_pending(&s) && out.n == run->n);
	i = run->first;
	for (size_t k = 0; k < out.n; k++, i = c->next[i]) {
		uint8_t header[128];

		require(pieces[k].len_bytes == packets[i].len_bytes);
		memcpy(header, packets[i].data, run->header_bytes);
		meaningless_clear(header, run);
		meaningless_clear(pieces[k].data, run);
		require(memcmp(header, pieces[k].data, run->header_bytes) == 0);
		require(memcmp(packets[i].data + run->header_bytes,
				pieces[k].data + run->header_bytes,
				pieces[k].len_bytes - run->header_bytes) == 0);
	}
	free(merged);
	free(room);
}

static void fuzz_coalesce(const uint8_t *data, size_t size, bool mend, bool tcp, bool udp)
{
	static struct coalescer c;
	static struct wgh_packet packets[COALESCE_PACKETS_MAX];
	size_t n = 0, in_runs = 0;

	for (; size >= 2 && n < COALESCE_PACKETS_MAX; n++) {
		uint32_t len = be16_get(data);

		data += 2;
		size -= 2;
		len = len < size ? len : (uint32_t)size;
		packets[n] = (struct wgh_packet){.data = malloc(len ? len : 1), .len_bytes = len};
		require(packets[n].data);
		memcpy(packets[n].data, data, len);
		if (mend)
			packet_mend(packets[n].data, len);
		data += len;
		size -= len;
	}
	coalesce(&c, packets, n, tcp, udp);
	for (size_t r = 0; r < c.n_runs; r++) {
		in_runs += c.runs[r].n;
		if (c.runs[r].n > 1)
			check_run(&c, &c.runs[r], packets);
	}
	require(in_runs == n);
	while (n > 0)
		free(packets[--n].data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] & 1)
		fuzz_coalesce(data + 1, size - 1, data[0] & 2, !(data[0] & 4), !(data[0] & 8));
	else
		fuzz_segment(data + 1, size - 1);
	return 0;
}
