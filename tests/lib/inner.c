/* inner.c - sums 16 bits at a time, as RFC 1071 says it in words; nothing of the code under test is
 * used. */
#include "tests/lib/inner.h"

#include "tests/lib/naive.h"

#include <string.h>

struct inner_spec inner_spec_default(uint8_t version, uint8_t proto)
{
	return (struct inner_spec){.version = version,
		.proto = proto,
		.ttl = 64,
		.flags = 0x10,
		.df = true,
		.id = 0xfff0,
		.src_port = 40000,
		.dst_port = 443,
		.window = 501,
		.seq = 0xffffff00,
		.ack = 77,
		.payload_bytes = 1000};
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

uint32_t inner_l4_offset(const uint8_t *packet)
{
	return packet[0] >> 4 == 4 ? (packet[0] & 15u) * 4 : 40;
}

static uint8_t proto_of(const uint8_t *packet)
{
	return packet[0] >> 4 == 4 ? packet[9] : packet[6];
}

uint32_t inner_header_bytes(const uint8_t *packet)
{
	uint32_t l4 = inner_l4_offset(packet);

	return l4 + (proto_of(packet) == 6 ? (packet[l4 + 12] >> 4) * 4u : 8);
}

uint16_t inner_pseudo_sum(const uint8_t *packet, uint32_t len_bytes)
{
	bool v4 = packet[0] >> 4 == 4;
	uint32_t sum = naive_sum(0, packet + (v4 ? 12 : 8), v4 ? 8 : 32);

	return (uint16_t)fold(sum + proto_of(packet) + (len_bytes - inner_l4_offset(packet)));
}

void inner_checksums_set(uint8_t *packet, uint32_t len_bytes)
{
	uint32_t l4 = inner_l4_offset(packet), sum;
	uint8_t *field = packet + l4 + (proto_of(packet) == 6 ? 16 : 6);

	if (packet[0] >> 4 == 4) {
		put16(packet + 10, 0);
		put16(packet + 10, ~naive_sum(0, packet, l4) & 0xffff);
	}
	put16(field, 0);
	sum = ~naive_sum(inner_pseudo_sum(packet, len_bytes), packet + l4, len_bytes - l4) & 0xffff;
	put16(field, sum ? sum : 0xffff);
}

bool inner_is_right(const uint8_t *packet, uint32_t len_bytes)
{
	bool v4 = packet[0] >> 4 == 4;
	uint32_t l4 = inner_l4_offset(packet);

	if (v4 ? get16(packet + 2) != len_bytes : get16(packet + 4) + 40 != len_bytes)
		return false;
	if (v4 && naive_sum(0, packet, l4) != 0xffff)
		return false;
	if (proto_of(packet) == 17 && get16(packet + l4 + 4) != len_bytes - l4)
		return false;
	return naive_sum(inner_pseudo_sum(packet, len_bytes), packet + l4, len_bytes - l4) ==
		0xffff;
}

static uint8_t pattern(uint32_t at)
{
	return (uint8_t)(at * 2654435761u >> 24 ^ at);
}

uint32_t inner_build(uint8_t *out, const struct inner_spec *spec)
{
	bool v4 = spec->version == 4, tcp = spec->proto == 6;
	uint32_t l4 = v4 ? 20 : 40;
	uint32_t header = l4 + (tcp ? 20u + spec->n_options : 8u);
	uint32_t len = header + spec->payload_bytes;

	memset(out, 0, header);
	if (v4) {
		out[0] = 0x45;
		out[1] = spec->tos;
		put16(out + 2, len);
		put16(out + 4, spec->id);
		put16(out + 6, spec->df ? 0x4000 : 0);
		out[8] = spec->ttl;
		out[9] = spec->proto;
		memcpy(out + 12, (uint8_t[]){10, 42, 42, 2, 10, 42, 42, 1}, 8);
	} else {
		put32(out, 0x60012345 | (uint32_t)spec->tos << 20);
		put16(out + 4, len - 40);
		out[6] = spec->proto;
		out[7] = spec->ttl;
		memcpy(out + 8, (uint8_t[16]){0xfd, 0x42, [15] = 2}, 16);
		memcpy(out + 24, (uint8_t[16]){0xfd, 0x42, [15] = 1}, 16);
	}
	put16(out + l4, spec->src_port);
	put16(out + l4 + 2, spec->dst_port);
	if (tcp) {
		put32(out + l4 + 4, spec->seq);
		put32(out + l4 + 8, spec->ack);
		out[l4 + 12] = (uint8_t)((5 + spec->n_options / 4) << 4);
		out[l4 + 13] = spec->flags;
		put16(out + l4 + 14, spec->window);
		memcpy(out + l4 + 20, spec->options, spec->n_options);
	} else {
		put16(out + l4 + 4, len - l4);
	}
	for (uint32_t i = 0; i < spec->payload_bytes; i++)
		out[header + i] = pattern(spec->payload_from + i);
	inner_checksums_set(out, len);
	return len;
}
