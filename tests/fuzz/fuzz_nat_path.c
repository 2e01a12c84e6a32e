/* fuzz_nat_path.c - any inner packets from a client, a device, a plain peer and the host through a
 * whole hub with NAT: a connection of two others goes on whatever they send, its ends hear nothing
 * they may not hear, and the flow table keeps its bounds. Input, tests/fuzz/corpus/nat_path:
 * records of one byte (bits 0 and 1: who sends; bit 2: time goes on; bit 3: leave a wrong IPv4
 * header checksum), two bytes of length, low first, and a packet.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/flow.h"
#include "tests/lib/talk.h"

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			abort();                                                                   \
	} while (0)

#define PORT 40000
#define PACKET_BYTES_MAX 1600

static const unsigned SENDERS[4] = {CLIENT2, DEVICE2, PLAIN, HUB};

/* Whether n got anything inside its tunnel. */
static bool hears(unsigned n)
{
	static uint8_t plain[4096];

	for (size_t i = 0; remote_sent(&f, &talkers[n], i); i++)
		if (remote_open(&talkers[n], remote_sent(&f, &talkers[n], i), plain) > 0)
			return true;
	return false;
}

static void mend_header(uint8_t *packet, uint32_t len_bytes)
{
	uint32_t header_bytes = (packet[0] & 15u) * 4;
	uint16_t sum;

	if (len_bytes < 20 || packet[0] >> 4 != 4 || header_bytes < 20 || header_bytes > len_bytes)
		return;
	packet[10] = packet[11] = 0;
	sum = ip_checksum_finish(ip_checksum_add(0, packet, header_bytes));
	memcpy(packet + 10, &sum, 2);
}

static void hostile(unsigned sender, bool mended, const uint8_t *data, uint32_t len_bytes)
{
	uint8_t packet[PACKET_BYTES_MAX];

	if (!len_bytes || len_bytes > sizeof packet)
		return;
	memcpy(packet, data, len_bytes);
	if (mended)
		mend_header(packet, len_bytes);
	say_bytes(sender, packet, len_bytes);
	CHECK(flow_count(f.hub->flows) <= policy.flows_max);
	/* Neither another client nor a device may begin anything with these two, and the host and
	 * they have nothing in common that these could answer. */
	if (sender == CLIENT2)
		CHECK(!hears(CLIENT));
	if (sender == DEVICE2)
		CHECK(!hears(CLIENT) && !hears(DEVICE));
}

/* A hub's device, a client's connection to it. */
static uint16_t connect_client(void)
{
	struct heard h;

	say(CLIENT, tcp(CLIENT, PORT, DEVICE, 22, SYN));
	CHECK(heard_by(DEVICE, &h) && h.src == HUB);
	say(DEVICE, tcp(DEVICE, 22, HUB, h.src_port, SYNACK));
	CHECK(hears(CLIENT));
	say(CLIENT, tcp(CLIENT, PORT, DEVICE, 22, ACK));
	CHECK(hears(DEVICE));
	return h.src_port;
}

static void still_connected(uint16_t port)
{
	struct heard h;

	family = WGH_IPV4;
	say(CLIENT, tcp(CLIENT, PORT, DEVICE, 22, ACK));
	CHECK(heard_by(DEVICE, &h));
	CHECK(h.src == HUB && h.src_port == port && h.dst == DEVICE && h.dst_port == 22);
	say(DEVICE, tcp(DEVICE, 22, HUB, port, ACK));
	CHECK(heard_by(CLIENT, &h));
	CHECK(h.src == DEVICE && h.src_port == 22 && h.dst == CLIENT && h.dst_port == PORT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint64_t left_ns = 100 * NS_PER_S; /* sessions live longer */
	uint16_t port;

	talk_begin(true, WGH_NAT_ALWAYS);
	policy.flows_max = FLOWS_LEAST;
	policy.flows_per_peer_max = FLOWS_LEAST / 2;
	policy.clamp_mss = true;
	talk_policy();
	port = connect_client();
	while (n >= 3) {
		const unsigned op = data[0];
		size_t len = data[1] | (size_t)data[2] << 8;

		data += 3;
		n -= 3;
		if (len > n)
			len = n;
		if (op & 4) {
			const uint64_t by_ns = len * len * NS_PER_MS;

			fixture_advance(&f, by_ns < left_ns ? by_ns : left_ns);
			left_ns -= by_ns < left_ns ? by_ns : left_ns;
			continue;
		}
		hostile(SENDERS[op & 3], !(op & 8), data, (uint32_t)len);
		data += len;
		n -= len;
	}
	still_connected(port);
	talk_end();
	return 0;
}
