/* fuzz_datagram.c - any datagrams into a hub with three peers: as they are, and sealed or signed
 * correctly around any content. No byte outside a buffer, no packet unaccounted for, nothing sent
 * to an address that is no peer's, nothing in the TUN whose source is not its sender's but errors
 * of the hub.
 *
 * Input: a byte of options, then steps, each a byte that says what to do and about which peer, two
 * bytes of length, and so many bytes. Peer 1 has a session it began, peer 2 one the hub began,
 * peer 3 has an endpoint and no session. Corpus: tests/fuzz/corpus/datagram.
 */
#include "tests/lib/fixture.h"

#include <stdlib.h>
#include <string.h>

#define N_REMOTES 3
#define STEPS_MAX 200

enum step {
	STEP_RAW, /* a datagram as it is */
	STEP_SEALED, /* an inner packet, sealed under the peer's session; outer ECN from the first
			byte */
	STEP_SIGNED, /* the bytes become a handshake message of the nearest length, with a right
			mac1 */
	STEP_INITIATION, /* a right initiation, some bytes changed, signed again */
	STEP_RESPONSE, /* an answer to the hub's last initiation, some bytes changed, signed again
			*/
	STEP_HOST, /* an inner packet from the hub's host */
	STEP_TIME, /* time goes by: 13 bits of tenths of a second */
	STEP_CHANGE, /* the peer is removed, added, given prefixes, an endpoint, a keepalive */
	N_STEPS,
};

static struct fixture f;
static struct remote remotes[N_REMOTES];

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* Changes bytes at offsets the input names: pairs of offset and value. */
static void change_bytes(uint8_t *msg, size_t len, const uint8_t *data, size_t n)
{
	for (; n >= 2; data += 2, n -= 2)
		msg[data[0] % len] ^= data[1];
}

static void step_sealed(struct remote *r, const uint8_t *data, size_t n)
{
	struct wgh_packet packet;
	uint8_t *message;

	if (!n)
		return;
	message = malloc(n + 15 + WIRE_DATA_MIN_BYTES);
	require(message);
	packet.len_bytes = (data[0] & 4 ? remote_seal_unpadded : remote_seal)(
		r, message, data + 1, (uint32_t)n - 1);
	packet.data = message;
	packet.ecn = data[0] & 3;
	fixture_burst(&f, &r->endpoint, &packet, 1);
	free(message);
}

static void step_signed(struct remote *r, const uint8_t *data, size_t n)
{
	uint8_t msg[sizeof(struct wire_initiation)] = {0};
	size_t len = n < 64 ? 64 : n < 92 ? 92 : 148;

	memcpy(msg, data, n < len ? n : len);
	le32_put(msg, len == 64 ? WIRE_COOKIE : len == 92 ? WIRE_RESPONSE : WIRE_INITIATION);
	if (len != 64)
		remote_sign(&f, r, msg, len);
	fixture_udp(&f, &r->endpoint, msg, (uint32_t)len);
}

static void step_initiation(struct remote *r, const uint8_t *data, size_t n)
{
	struct wire_initiation msg;

	remote_initiation(&f, r, &msg);
	change_bytes((uint8_t *)&msg, sizeof msg, data, n);
	remote_sign(&f, r, &msg, sizeof msg);
	fixture_udp(&f, &r->endpoint, &msg, sizeof msg);
	if (f.n_sent && remote_take_response(r, &f.sent[f.n_sent - 1]))
		remote_send(&f, r, NULL, 0);
}

static void step_response(struct remote *r, const uint8_t *data, size_t n)
{
	struct wire_response msg;

	for (size_t i = f.n_sent; i--;) {
		if (!remote_answer(&f, r, &f.sent[i], &msg))
			continue;
		change_bytes((uint8_t *)&msg, sizeof msg, data, n);
		remote_sign(&f, r, &msg, sizeof msg);
		fixture_udp(&f, &r->endpoint, &msg, sizeof msg);
		return;
	}
}

static void step_change(struct remote *r, const uint8_t *data, size_t n)
{
	struct wgh_allowed_ip ips[4];
	struct wgh_peer_change peer = {.public_key = remote_key(r), .allowed_ips = ips};
	struct wgh_change change = {.peers = &peer, .n_peers = 1};

	if (n < 2)
		return;
	peer.flags = data[0] &
		(WGH_PEER_REMOVE | WGH_PEER_UPDATE_ONLY | WGH_PEER_REPLACE_ALLOWED_IPS |
			WGH_PEER_HAS_KEEPALIVE);
	if (data[0] & 0x80) {
		peer.flags |= WGH_PEER_HAS_ENDPOINT;
		peer.endpoint = r->endpoint;
	}
	peer.keepalive_s = data[1];
	for (data += 2, n -= 2; n >= 6 && peer.n_allowed_ips < 4; data += 6, n -= 6)
		ips[peer.n_allowed_ips++] = (struct wgh_allowed_ip){
			.prefix = prefix4(data[0], data[1], data[2], data[3], data[4] % 33),
			.remove = data[5] & 1};
	require(hub_apply(f.hub, &change, f.now_ns, NULL) == 0);
	fixture_run(&f);
}

static void take_step(uint8_t what, struct remote *r, const uint8_t *data, size_t n)
{
	switch ((enum step)(what % N_STEPS)) {
	case STEP_RAW:
		fixture_udp(&f, &r->endpoint, data, (uint32_t)n);
		break;
	case STEP_SEALED:
		step_sealed(r, data, n);
		break;
	case STEP_SIGNED:
		step_signed(r, data, n);
		break;
	case STEP_INITIATION:
		step_initiation(r, data, n);
		break;
	case STEP_RESPONSE:
		step_response(r, data, n);
		break;
	case STEP_HOST:
		fixture_tun(&f, data, (uint32_t)n);
		break;
	case STEP_TIME:
		if (n >= 2)
			fixture_advance(&f, (data[0] | (data[1] & 0x1f) << 8) * (NS_PER_S / 10));
		break;
	case STEP_CHANGE:
		step_change(r, data, n);
		break;
	case N_STEPS:
		break;
	}
}

/* What the hub tells its own host, in the name of the address that the packet was for. */
static bool is_error(const uint8_t *packet, const struct ip_info *info)
{
	const uint8_t type = packet[info->l4_offset];

	if (info->proto == IP_PROTO_ICMP)
		return type == 3 || type == 11;
	return info->proto == IP_PROTO_ICMPV6 && type >= 1 && type <= 3;
}

/* What must hold whatever came in; the TUN's packets from first_tun on are of this step, sender
 * NULL if it was the host's. */
static void check(const struct remote *sender, size_t first_tun)
{
	fixture_check_sum(&f);
	for (size_t i = 0; i < f.n_sent; i++) {
		bool known = false;

		for (int k = 0; k < N_REMOTES; k++)
			known |= f.sent[i].to.port == remotes[k].endpoint.port &&
				!memcmp(f.sent[i].to.addr, remotes[k].endpoint.addr, 16);
		require(known);
		require(f.sent[i].len_bytes >= 32);
	}
	for (size_t i = first_tun; i < f.n_tun; i++) {
		struct ip_info info;
		struct peer *owner;

		require(ip_parse(&info, f.tun[i].data, f.tun[i].len_bytes) == DROP_NONE);
		require(info.len_bytes == f.tun[i].len_bytes);
		owner = route_lookup(relaxed_get(&f.hub->view)->routes, &info.src);
		require(sender ? owner && owner == remote_peer(&f, sender)
			       : is_error(f.tun[i].data, &info));
	}
	require(f.hub->keypairs.n_used <= 3 * f.hub->peers.n_peers);
	require(f.hub->handshakes.n_used <= f.hub->peers.n_peers);
	require(f.hub->sessions.n_live <= 4 * f.hub->peers.n_peers);
	require(f.hub->staged_bytes <= STAGED_BYTES_TOTAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	fixture_init(&f,
		&(struct fixture_options){.has_tun = data[0] & 1, .deliver_unowned = data[0] & 2});
	for (unsigned i = 0; i < N_REMOTES; i++)
		remote_init(&f, &remotes[i], i + 1);
	remote_add(&f, &remotes[0]);
	remote_add_with_endpoint(&f, &remotes[1]);
	remote_add_with_endpoint(&f, &remotes[2]);
	remote_connect(&f, &remotes[0]);
	remote_connect_from_hub(&f, &remotes[1]);
	data++;
	size--;
	for (int i = 0; size >= 3 && i < STEPS_MAX; i++) {
		const uint8_t what = data[0];
		size_t n = data[1] | (size_t)data[2] << 8;

		data += 3;
		size -= 3;
		n = n < size ? n : size;
		struct remote *r = &remotes[what / N_STEPS % N_REMOTES];
		const size_t n_tun = f.n_tun;

		take_step(what, r, data, n);
		check(what % N_STEPS == STEP_HOST ? NULL : r, n_tun);
		/* The hub's last words may be an initiation to answer, so they are kept for a
		 * while. Time can add a keepalive a second for each peer. */
		if (f.n_sent > SENT_MAX / 4 || f.n_tun > SENT_MAX / 4)
			fixture_forget(&f);
		data += n;
		size -= n;
	}
	fixture_fini(&f);
	return 0;
}
