/* sim_ip.c - see sim_ip.h. Checksums are computed here once more, not with the code under test. */
#include "tests/lib/sim_ip.h"

#include "tests/lib/naive.h"

#include <string.h>

static bool is4(const uint8_t *packet)
{
	return packet[0] >> 4 == 4;
}

static uint32_t header_bytes(const uint8_t *packet)
{
	return is4(packet) ? (packet[0] & 15u) * 4 : 40;
}

static uint32_t total_bytes(const uint8_t *packet)
{
	return is4(packet) ? get16(packet + 2) : get16(packet + 4) + 40;
}

/* Of the transport message with its pseudo header; 0xffff if it is right. */
static uint32_t l4_sum(const uint8_t *packet, uint8_t proto, bool pseudo)
{
	uint32_t start = header_bytes(packet), len = total_bytes(packet) - start, sum = 0;

	if (pseudo) {
		sum = naive_sum(proto + len, packet + (is4(packet) ? 12 : 8), is4(packet) ? 8 : 32);
	}
	return naive_sum(sum, packet + start, len);
}

void sim_ip_mend(uint8_t *packet)
{
	if (!is4(packet))
		return;
	put16(packet + 10, 0);
	put16(packet + 10, 0xffff ^ naive_sum(0, packet, header_bytes(packet)));
}

static uint8_t *ip_header(uint8_t *out, const struct wgh_addr *src, const struct wgh_addr *dst,
	uint8_t proto, uint32_t l4_bytes)
{
	if (src->family == WGH_IPV4) {
		memset(out, 0, 20);
		out[0] = 0x45;
		put16(out + 2, 20 + l4_bytes);
		out[6] = 0x40; /* DF */
		out[8] = 64;
		out[9] = proto;
		memcpy(out + 12, src->bytes, 4);
		memcpy(out + 16, dst->bytes, 4);
		sim_ip_mend(out);
		return out + 20;
	}
	memset(out, 0, 40);
	out[0] = 0x60;
	put16(out + 4, l4_bytes);
	out[6] = proto;
	out[7] = 64;
	memcpy(out + 8, src->bytes, 16);
	memcpy(out + 24, dst->bytes, 16);
	return out + 40;
}

static uint8_t pattern(uint32_t id, uint32_t at)
{
	return (uint8_t)(id * 31 + at * 7 + (at >> 8));
}

uint32_t sim_udp(uint8_t *out, const struct wgh_addr *src, const struct wgh_addr *dst, uint32_t id,
	uint32_t payload_bytes)
{
	uint8_t *udp = ip_header(out, src, dst, IP_PROTO_UDP, 8 + payload_bytes);

	SIM_MUST(payload_bytes >= 4);
	put16(udp, 4000);
	put16(udp + 2, 4001);
	put16(udp + 4, 8 + payload_bytes);
	put16(udp + 6, 0);
	le32_put(udp + 8, id);
	for (uint32_t i = 4; i < payload_bytes; i++)
		udp[8 + i] = pattern(id, i);
	put16(udp + 6, 0xffff ^ l4_sum(out, IP_PROTO_UDP, true));
	if (!get16(udp + 6))
		put16(udp + 6, 0xffff);
	return total_bytes(out);
}

uint32_t sim_udp_id(const uint8_t *packet, uint32_t len_bytes)
{
	const uint8_t *udp = packet + header_bytes(packet);
	uint32_t id, payload_bytes = get16(udp + 4) - 8;

	SIM_MUST(total_bytes(packet) == len_bytes);
	SIM_MUST((is4(packet) ? packet[9] : packet[6]) == IP_PROTO_UDP);
	SIM_MUST(!is4(packet) || naive_sum(0, packet, header_bytes(packet)) == 0xffff);
	SIM_MUST(l4_sum(packet, IP_PROTO_UDP, true) == 0xffff);
	id = le32_get(udp + 8);
	for (uint32_t i = 4; i < payload_bytes; i++)
		SIM_MUST(udp[8 + i] == pattern(id, i));
	return id;
}

uint32_t sim_echo(
	uint8_t *out, const struct wgh_addr *src, const struct wgh_addr *dst, uint32_t data_bytes)
{
	bool v4 = src->family == WGH_IPV4;
	uint8_t proto = v4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6;
	uint8_t *icmp = ip_header(out, src, dst, proto, 8 + data_bytes);

	memset(icmp, 0, 8);
	icmp[0] = v4 ? 8 : 128;
	put16(icmp + 4, 0x1234);
	put16(icmp + 6, 7);
	for (uint32_t i = 0; i < data_bytes; i++)
		icmp[8 + i] = pattern(9, i);
	put16(icmp + 2, 0xffff ^ l4_sum(out, proto, !v4));
	return total_bytes(out);
}

bool sim_icmp_ok(const uint8_t *packet, uint32_t len_bytes)
{
	bool v4 = is4(packet);

	return len_bytes == total_bytes(packet) && len_bytes >= header_bytes(packet) + 8 &&
		(v4 ? packet[9] == IP_PROTO_ICMP : packet[6] == IP_PROTO_ICMPV6) &&
		(!v4 || naive_sum(0, packet, header_bytes(packet)) == 0xffff) &&
		l4_sum(packet, IP_PROTO_ICMPV6, !v4) == 0xffff;
}

static void send_udp(
	struct sim_hub *from, const struct wgh_addr *src, const struct wgh_addr *dst, uint32_t id)
{
	uint8_t packet[SIM_PACKET_BYTES_MAX];

	sim_tun_send(from, packet, sim_udp(packet, src, dst, id, 4 + id % 90));
}

void sim_send4(struct sim_hub *from, struct sim_hub *to, uint32_t id)
{
	send_udp(from, &from->inner4, &to->inner4, id);
}

void sim_send6(struct sim_hub *from, struct sim_hub *to, uint32_t id)
{
	send_udp(from, &from->inner6, &to->inner6, id);
}

uint32_t sim_take_id(struct sim_hub *h)
{
	uint8_t packet[SIM_PACKET_BYTES_MAX];
	uint32_t len;

	do
		len = sim_take(h, packet);
	while (len && sim_icmp_ok(packet, len));
	return len ? sim_udp_id(packet, len) : 0;
}
