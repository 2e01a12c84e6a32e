/* tun_segment.c - cuts large packets: copies the headers before each piece of payload and mends
 * them.
 *
 * For tun_read(). Costs: per piece one memcpy and one pass of checksum over bytes that are in the
 * L1 cache by then. Fails: a packet whose headers disagree with each other is refused whole, before
 * anything is put out.
 */
#include "io/tun_segment.h"

#include "core/be.h"
#include "core/ip.h"

#include <arpa/inet.h>
#include <string.h>

enum { TAG_BYTES = 16, PADDING = 16 };

static uint64_t checksum_add_be16(uint64_t sum, uint32_t value)
{
	return sum + htons((uint16_t)value);
}

/* 0 and 0xffff are the same sum; as UDP's field 0 would mean "none". */
static void checksum_put(uint8_t *at, uint64_t sum)
{
	uint16_t checksum = ip_checksum_finish(sum);

	if (checksum == 0)
		checksum = 0xffff;
	memcpy(at, &checksum, sizeof checksum);
}

/* The field holds the pseudo header's sum, so that the sum from start to end is the packet's. */
static bool checksum_complete(uint8_t *packet, uint32_t len_bytes, const struct vnet_hdr *h)
{
	uint32_t field = (uint32_t)h->csum_start + h->csum_offset;

	if (field + 2 > len_bytes)
		return false;
	checksum_put(packet + field,
		ip_checksum_add(0, packet + h->csum_start, len_bytes - h->csum_start));
	return true;
}

bool segment_start(
	struct segmenter *s, uint8_t *packet, uint32_t len_bytes, const struct vnet_hdr *h)
{
	uint8_t type = h->gso_type & (uint8_t)~VNET_GSO_ECN;
	struct ip_info info;
	uint32_t header;

	*s = (struct segmenter){
		.packet = packet, .len_bytes = len_bytes, .segment_bytes = len_bytes};
	if (len_bytes == 0)
		return false;
	if (type == VNET_GSO_NONE) {
		if ((h->flags & VNET_F_NEEDS_CSUM) && !checksum_complete(packet, len_bytes, h))
			return false;
		s->pending = true;
		return true;
	}
	if (type != VNET_GSO_TCPV4 && type != VNET_GSO_TCPV6 && type != VNET_GSO_UDP_L4)
		return false;
	s->proto = type == VNET_GSO_UDP_L4 ? IP_PROTO_UDP : IP_PROTO_TCP;
	if (ip_parse(&info, packet, len_bytes) != DROP_NONE || info.len_bytes != len_bytes)
		return false;
	if ((type == VNET_GSO_TCPV4 && info.src.family != WGH_IPV4) ||
		(type == VNET_GSO_TCPV6 && info.src.family != WGH_IPV6))
		return false;
	/* Segments carry new checksums, so the kernel must not have finished this one. */
	if (info.proto != s->proto || info.fragment || info.l4_offset == 0 || h->gso_size == 0 ||
		!(h->flags & VNET_F_NEEDS_CSUM) || h->csum_start != info.l4_offset)
		return false;
	header = s->proto == IP_PROTO_TCP ? TCP_HEADER_BYTES : UDP_HEADER_BYTES;
	if (len_bytes - info.l4_offset < header)
		return false;
	if (s->proto == IP_PROTO_TCP)
		header = (packet[info.l4_offset + TCP_DATA_OFFSET] >> 4) * 4u;
	if (header < TCP_HEADER_BYTES && s->proto == IP_PROTO_TCP)
		return false;
	if (header > len_bytes - info.l4_offset)
		return false;
	s->l4_offset = info.l4_offset;
	s->header_bytes = info.l4_offset + header;
	s->segment_bytes = h->gso_size;
	s->pseudo_sum = ip_checksum_pseudo(&info.src, &info.dst, s->proto, 0);
	s->pending = true;
	return true;
}

/* Mends the headers of piece number index. */
static void piece_mend(const struct segmenter *s, uint8_t *piece, uint32_t len_bytes, bool last)
{
	uint8_t *l4 = piece + s->l4_offset;
	uint32_t l4_bytes = len_bytes - s->l4_offset;
	uint64_t sum = checksum_add_be16(s->pseudo_sum, l4_bytes);
	uint8_t *checksum = l4 + (s->proto == IP_PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);

	if (piece[0] >> 4 == 4) {
		be16_put(piece + 2, len_bytes);
		be16_put(piece + 4, be16_get(piece + 4) + s->n_done);
		be16_put(piece + 10, 0);
		uint16_t header_sum =
			ip_checksum_finish(ip_checksum_add(0, piece, (piece[0] & 0xfu) * 4));
		memcpy(piece + 10, &header_sum, sizeof header_sum);
	} else {
		be16_put(piece + 4, len_bytes - 40);
	}
	if (s->proto == IP_PROTO_TCP) {
		be32_put(l4 + TCP_SEQ, be32_get(l4 + TCP_SEQ) + s->done_bytes);
		if (!last)
			l4[TCP_FLAGS] &= (uint8_t) ~(TCP_F_FIN | TCP_F_PSH);
		if (s->n_done > 0)
			l4[TCP_FLAGS] &= (uint8_t)~TCP_F_CWR;
	} else {
		be16_put(l4 + UDP_LENGTH, l4_bytes);
	}
	be16_put(checksum, 0);
	checksum_put(checksum, ip_checksum_add(sum, l4, l4_bytes));
}

void segment_put(struct segmenter *s, struct packet_room *room)
{
	while (s->pending && room->n < room->n_max) {
		uint32_t payload = s->len_bytes - s->header_bytes - s->done_bytes;
		bool last = payload <= s->segment_bytes;
		uint32_t piece = last ? payload : s->segment_bytes;
		uint32_t len_bytes = s->header_bytes + piece;
		uint8_t *data = room->at + WGH_HEADROOM_BYTES;

		if ((size_t)(room->end - room->at) <
			WGH_HEADROOM_BYTES + len_bytes + WGH_TAILROOM_BYTES)
			return;
		memcpy(data, s->packet, s->header_bytes);
		memcpy(data + s->header_bytes, s->packet + s->header_bytes + s->done_bytes, piece);
		if (s->header_bytes)
			piece_mend(s, data, len_bytes, last);
		room->packets[room->n++] =
			(struct wgh_packet){.data = data, .len_bytes = len_bytes};
		room->at = data + (len_bytes + PADDING - 1) / PADDING * PADDING + TAG_BYTES;
		s->done_bytes += piece;
		s->n_done++;
		s->pending = !last;
	}
}
