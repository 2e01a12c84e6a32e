/* fuzz_inner.c - any bytes as an inner packet: what ip_parse() accepts can be judged, changed and
 * answered without a byte outside of it, and every result is a packet that parses again. Corpus:
 * raw IP packets in tests/fuzz/corpus/inner. Every packet lives in a heap block of its exact size.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/icmp.h"
#include "core/ip.h"

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			abort();                                                                   \
	} while (0)

static const struct wgh_addr HUB4 = {{10, 0, 0, 254}, WGH_IPV4};
static const struct wgh_addr HUB6 = {{0xfd, [15] = 0xfe}, WGH_IPV6};

static uint8_t *copy(const uint8_t *data, size_t n)
{
	uint8_t *p = malloc(n ? n : 1);

	CHECK(p);
	memcpy(p, data, n);
	return p;
}

static struct ip_info parse(const uint8_t *packet, uint32_t len_bytes)
{
	struct ip_info info;

	CHECK(ip_parse(&info, packet, len_bytes) == DROP_NONE);
	return info;
}

static bool same(const struct ip_info *a, const struct ip_info *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

static void ttl(const uint8_t *data, const struct ip_info *info)
{
	uint8_t *p = copy(data, info->len_bytes);

	if (info->ttl) {
		ip_decrement_ttl(p);
		struct ip_info after = parse(p, info->len_bytes);
		CHECK(after.ttl == info->ttl - 1);
		after.ttl++;
		CHECK(same(&after, info));
		CHECK(!ip_header_checksum_ok(data) || ip_header_checksum_ok(p));
	}
	free(p);
}

static void ecn(const uint8_t *data, const struct ip_info *info)
{
	for (uint8_t outer = 0; outer < 4; outer++) {
		uint8_t *p = copy(data, info->len_bytes);
		ip_ecn_decapsulate(p, outer);
		struct ip_info after = parse(p, info->len_bytes);
		CHECK(after.ecn == (outer == 3 && info->ecn ? 3 : info->ecn));
		after.ecn = info->ecn;
		CHECK(same(&after, info));
		CHECK(!ip_header_checksum_ok(data) || ip_header_checksum_ok(p));
		free(p);
	}
}

static void echo(const uint8_t *data, const struct ip_info *info)
{
	uint8_t *p = copy(data, info->len_bytes);

	if (icmp_echo_reply(p, info)) {
		const struct ip_info reply = parse(p, info->len_bytes);
		CHECK(wgh_addr_equal(&reply.src, &info->dst) &&
			wgh_addr_equal(&reply.dst, &info->src));
		CHECK(ip_header_checksum_ok(p));
		CHECK(!icmp_echo_reply(p, &reply)); /* no ping-pong */
	} else {
		CHECK(memcmp(p, data, info->len_bytes) == 0);
	}
	free(p);
}

static void errors(const uint8_t *data, const struct ip_info *info)
{
	const bool v4 = info->src.family == WGH_IPV4;
	uint8_t *p = copy(data, info->len_bytes), *out = malloc(ICMP_ERROR_BYTES_MAX);

	CHECK(out);
	if (icmp_may_answer(p, info))
		for (enum icmp_error e = ICMP_TIME_EXCEEDED; e <= ICMP_TOO_BIG; e++) {
			const uint32_t n = icmp_error_write(
				out, e, info->len_bytes, v4 ? &HUB4 : &HUB6, p, info);
			CHECK(n <= (v4 ? 576 : ICMP_ERROR_BYTES_MAX));
			const struct ip_info error = parse(out, n);
			CHECK(error.len_bytes == n);
			CHECK(wgh_addr_equal(&error.dst, &info->src));
			CHECK(ip_header_checksum_ok(out));
			CHECK(!icmp_may_answer(out, &error)); /* no answer to an answer */
		}
	free(out);
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct ip_info zero = {0};
	uint8_t *packet = copy(data, n);
	struct ip_info info;
	const enum drop drop = ip_parse(&info, packet, (uint32_t)n);

	if (drop) {
		CHECK(drop == DROP_INNER_SHORT || drop == DROP_INNER_VERSION ||
			drop == DROP_INNER_HEADER);
		CHECK(same(&info, &zero));
		free(packet);
		return 0;
	}
	CHECK(info.len_bytes <= n && info.l4_offset <= info.len_bytes && info.proto_offset < n);
	CHECK(info.src.family == info.dst.family);

	/* Padding changes nothing. */
	uint8_t *exact = copy(data, info.len_bytes);
	const struct ip_info unpadded = parse(exact, info.len_bytes);
	CHECK(same(&unpadded, &info));
	free(exact);

	if (ip_forwardable(&info) == DROP_NONE)
		CHECK(ip_addr_is_unicast(&info.src) && ip_addr_is_unicast(&info.dst));
	ttl(packet, &info);
	ecn(packet, &info);
	echo(packet, &info);
	errors(packet, &info);
	free(packet);
	return 0;
}
