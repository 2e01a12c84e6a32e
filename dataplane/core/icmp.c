/* icmp.c - the few ICMP messages the hub speaks inside the tunnel: echo replies, made in place, and
 * a router's errors, written into the caller's buffer. No limit on their rate here: that is the
 * caller's. Costs: a checksum over the message; at most 1280 bytes for an error, the packet for an
 * echo.
 */
#include "core/icmp.h"

#include "core/be.h"

#include <string.h>

#define IPV4_HEADER_BYTES 20u
#define IPV6_HEADER_BYTES 40u
#define ICMP_HEADER_BYTES 8u
#define ICMP4_ERROR_BYTES_MAX 576u /* RFC 1812 4.3.2.3 */
#define HUB_TTL 64
#define TOS_INTERNETWORK_CONTROL 0xc0 /* RFC 1812 4.3.2.5 */
#define IPV4_DF 0x40

enum {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_ECHO = 8,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_REDIRECT = 137,
};

static bool is_ipv4(const struct ip_info *info)
{
	return info->src.family == WGH_IPV4;
}

/* What ICMPv6's checksum covers beyond the message itself; ICMP has nothing. */
static uint64_t pseudo_sum(const struct ip_info *info, const struct wgh_addr *src,
	const struct wgh_addr *dst, uint32_t message_bytes)
{
	return is_ipv4(info) ? 0 : ip_checksum_pseudo(src, dst, IP_PROTO_ICMPV6, message_bytes);
}

static void checksum_put(uint8_t *at, uint64_t sum)
{
	const uint16_t checksum = ip_checksum_finish(sum);

	memcpy(at, &checksum, 2);
}

/* ---- echo ---- */

bool icmp_is_echo_request(const uint8_t *packet, const struct ip_info *info)
{
	const bool v4 = is_ipv4(info);
	const uint8_t *message = packet + info->l4_offset;

	return info->proto == (v4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6) && info->l4_offset &&
		info->first_fragment && info->len_bytes - info->l4_offset >= ICMP_HEADER_BYTES &&
		message[0] == (v4 ? ICMP4_ECHO : ICMP6_ECHO) && message[1] == 0;
}

bool icmp_is_echo_reply(const uint8_t *packet, const struct ip_info *info, uint16_t id)
{
	const bool v4 = is_ipv4(info);
	const uint8_t *message = packet + info->l4_offset;

	return info->proto == (v4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6) && info->l4_offset &&
		!info->fragment && info->len_bytes - info->l4_offset >= ICMP_HEADER_BYTES &&
		message[0] == (v4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY) && message[1] == 0 &&
		(message[4] << 8 | message[5]) == id;
}

/* One that may be answered. */
static bool is_good_echo_request(const uint8_t *packet, const struct ip_info *info)
{
	const bool v4 = is_ipv4(info);
	const uint32_t message_bytes = info->len_bytes - info->l4_offset;
	const uint8_t *message = packet + info->l4_offset;

	if (!icmp_is_echo_request(packet, info) || info->fragment || info->source_route)
		return false;
	/* Extension headers are not for us to send back. */
	if (!v4 && info->l4_offset != IPV6_HEADER_BYTES)
		return false;

	const uint64_t sum = pseudo_sum(info, &info->src, &info->dst, message_bytes);

	return ip_header_checksum_ok(packet) &&
		ip_checksum_finish(ip_checksum_add(sum, message, message_bytes)) == 0;
}

bool icmp_echo_reply(uint8_t *packet, const struct ip_info *info)
{
	const uint32_t message_bytes = info->len_bytes - info->l4_offset;
	uint8_t *message = packet + info->l4_offset;

	if (!is_good_echo_request(packet, info))
		return false;
	if (is_ipv4(info)) {
		memcpy(packet + 12, info->dst.bytes, 4);
		memcpy(packet + 16, info->src.bytes, 4);
		packet[8] = HUB_TTL;
		be16_put(packet + 10, 0);
		checksum_put(packet + 10, ip_checksum_add(0, packet, info->l4_offset));
		message[0] = ICMP4_ECHO_REPLY;
	} else {
		memcpy(packet + 8, info->dst.bytes, 16);
		memcpy(packet + 24, info->src.bytes, 16);
		packet[7] = HUB_TTL;
		message[0] = ICMP6_ECHO_REPLY;
	}
	be16_put(message + 2, 0);
	checksum_put(message + 2,
		ip_checksum_add(pseudo_sum(info, &info->dst, &info->src, message_bytes), message,
			message_bytes));
	return true;
}

/* ---- errors ---- */

/* A question or its answer. What we do not know counts as an error: it gets no answer. */
static bool icmp4_is_query(uint8_t type)
{
	switch (type) {
	case ICMP4_ECHO_REPLY:
	case ICMP4_ECHO:
	case 9: /* router advertisement */
	case 10: /* router solicitation */
	case 13: /* timestamp */
	case 14:
	case 15: /* information */
	case 16:
	case 17: /* address mask */
	case 18:
		return true;
	default:
		return false;
	}
}

bool icmp_may_answer(const uint8_t *packet, const struct ip_info *info)
{
	const bool v4 = is_ipv4(info);

	if (!info->first_fragment || !ip_addr_is_unicast(&info->src) ||
		!ip_addr_is_unicast(&info->dst))
		return false;
	/* Behind too many extension headers there could be an ICMP error. */
	if (!info->l4_offset)
		return false;
	if (info->proto != (v4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6))
		return true;
	if (info->l4_offset >= info->len_bytes)
		return false;

	const uint8_t type = packet[info->l4_offset];

	return v4 ? icmp4_is_query(type) : type >= 128 && type != ICMP6_REDIRECT;
}

struct message {
	uint8_t type, code;
	uint32_t rest; /* the second four bytes */
};

static struct message message4(enum icmp_error error, uint32_t mtu_bytes)
{
	switch (error) {
	case ICMP_TIME_EXCEEDED:
		return (struct message){11, 0, 0};
	case ICMP_ADMIN_PROHIBITED:
		return (struct message){3, 13, 0};
	case ICMP_PORT_UNREACHABLE:
		return (struct message){3, 3, 0};
	case ICMP_PROTOCOL_UNREACHABLE:
		return (struct message){3, 2, 0};
	case ICMP_TOO_BIG: /* RFC 1191: the MTU has sixteen bits */
		return (struct message){3, 4, mtu_bytes < 65535 ? mtu_bytes : 65535};
	case ICMP_NO_ROUTE:
		break;
	}
	return (struct message){3, 1, 0};
}

static struct message message6(enum icmp_error error, uint32_t mtu_bytes, uint32_t pointer)
{
	switch (error) {
	case ICMP_TIME_EXCEEDED:
		return (struct message){3, 0, 0};
	case ICMP_ADMIN_PROHIBITED:
		return (struct message){1, 1, 0};
	case ICMP_PORT_UNREACHABLE:
		return (struct message){1, 4, 0};
	case ICMP_PROTOCOL_UNREACHABLE:
		return (struct message){4, 1, pointer};
	case ICMP_TOO_BIG:
		return (struct message){2, 0, mtu_bytes};
	case ICMP_NO_ROUTE:
		break;
	}
	return (struct message){1, 3, 0};
}

static void header4(
	uint8_t *out, const struct wgh_addr *hub, const struct wgh_addr *to, uint32_t len_bytes)
{
	memset(out, 0, IPV4_HEADER_BYTES);
	out[0] = 0x45;
	out[1] = TOS_INTERNETWORK_CONTROL;
	be16_put(out + 2, len_bytes);
	out[6] = IPV4_DF; /* small, and so it needs no identification: RFC 6864 */
	out[8] = HUB_TTL;
	out[9] = IP_PROTO_ICMP;
	memcpy(out + 12, hub->bytes, 4);
	memcpy(out + 16, to->bytes, 4);
	checksum_put(out + 10, ip_checksum_add(0, out, IPV4_HEADER_BYTES));
}

static void header6(
	uint8_t *out, const struct wgh_addr *hub, const struct wgh_addr *to, uint32_t len_bytes)
{
	memset(out, 0, IPV6_HEADER_BYTES);
	out[0] = 0x60;
	be16_put(out + 4, len_bytes - IPV6_HEADER_BYTES);
	out[6] = IP_PROTO_ICMPV6;
	out[7] = HUB_TTL;
	memcpy(out + 8, hub->bytes, 16);
	memcpy(out + 24, to->bytes, 16);
}

uint32_t icmp_error_write(uint8_t *out, enum icmp_error error, uint32_t mtu_bytes,
	const struct wgh_addr *hub, const uint8_t *packet, const struct ip_info *info)
{
	const bool v4 = is_ipv4(info);
	const uint32_t header_bytes = v4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
	const uint32_t room_bytes = (v4 ? ICMP4_ERROR_BYTES_MAX : ICMP_ERROR_BYTES_MAX) -
		header_bytes - ICMP_HEADER_BYTES;
	const uint32_t quote_bytes = info->len_bytes < room_bytes ? info->len_bytes : room_bytes;
	const uint32_t message_bytes = ICMP_HEADER_BYTES + quote_bytes;
	const uint32_t len_bytes = header_bytes + message_bytes;
	const struct message m =
		v4 ? message4(error, mtu_bytes) : message6(error, mtu_bytes, info->proto_offset);
	uint8_t *message = out + header_bytes;

	(v4 ? header4 : header6)(out, hub, &info->src, len_bytes);
	message[0] = m.type;
	message[1] = m.code;
	be16_put(message + 2, 0);
	be16_put(message + 4, m.rest >> 16);
	be16_put(message + 6, m.rest);
	memcpy(message + ICMP_HEADER_BYTES, packet, quote_bytes);
	checksum_put(message + 2,
		ip_checksum_add(
			pseudo_sum(info, hub, &info->src, message_bytes), message, message_bytes));
	return len_bytes;
}

uint32_t icmp_echo_write(uint8_t *out, const struct wgh_addr *from, const struct wgh_addr *to,
	uint16_t id, uint16_t sequence)
{
	const bool v4 = from->family == WGH_IPV4;
	const uint32_t header_bytes = v4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
	const uint32_t message_bytes = ICMP_HEADER_BYTES + 8;
	uint8_t *message = out + header_bytes;
	uint64_t sum = 0;

	(v4 ? header4 : header6)(out, from, to, header_bytes + message_bytes);
	memset(message, 0, message_bytes);
	message[0] = v4 ? ICMP4_ECHO : ICMP6_ECHO;
	be16_put(message + 4, id);
	be16_put(message + 6, sequence);
	if (!v4)
		sum = ip_checksum_pseudo(from, to, IP_PROTO_ICMPV6, message_bytes);
	checksum_put(message + 2, ip_checksum_add(sum, message, message_bytes));
	return header_bytes + message_bytes;
}
