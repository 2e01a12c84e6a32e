/* handshake.c - see handshake.h. A message is checked on copies; the peer is changed only after all
 * checks. */
#include "core/handshake.h"

#include "core/ip.h"
#include "core/keys.h"
#include "core/offline.h"
#include "core/reach.h"
#include "core/worker.h"

#include <string.h>

#define HANDSHAKE_TOS 0x88 /* AF41 */
#define REPORT_INTERVAL_NS (10 * NS_PER_S)
/* Wall clock to TAI64: seconds since 1970 plus the 10 leap seconds of that time (as libtai counts).
 */
#define TAI64_EPOCH (UINT64_C(0x4000000000000000) + 10)
/* The fine grain of the clock stays private: steps of 2^24 ns. */
#define TAI64_STEP_NS (UINT32_C(1) << 24)

/* ---- what both directions need ---- */

static void random_bytes(struct hub *hub, void *out, size_t len_bytes)
{
	hub->options.random(hub->options.arg, out, len_bytes);
}

/* The DH of the static keys, computed when first needed. */
static bool static_static(struct hub *hub, struct peer *peer)
{
	if (!peer->has_static_static && !peer->static_static_bad) {
		peer->has_static_static =
			noise_static_static(peer->static_static, hub->identity, &peer->public_key);
		peer->static_static_bad = !peer->has_static_static;
	}
	return peer->has_static_static;
}

/* Strictly later than the last one, whatever the wall clock does. */
static void timestamp_now(struct hub *hub, int64_t wall_ns, uint8_t out[WIRE_TIMESTAMP_BYTES])
{
	uint64_t s = (uint64_t)(wall_ns / (int64_t)NS_PER_S);
	uint32_t ns = (uint32_t)(wall_ns % (int64_t)NS_PER_S) & ~(TAI64_STEP_NS - 1);

	if (s < hub->tai_s || (s == hub->tai_s && ns <= hub->tai_ns)) {
		s = hub->tai_s;
		ns = hub->tai_ns + TAI64_STEP_NS;
		if (ns >= NS_PER_S) {
			s++;
			ns = 0;
		}
	}
	hub->tai_s = s;
	hub->tai_ns = ns;
	s += TAI64_EPOCH;
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(s >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		out[8 + i] = (uint8_t)(ns >> (24 - 8 * i));
}

static uint64_t jitter(struct hub *hub)
{
	uint32_t random;

	random_bytes(hub, &random, sizeof random);
	return random % REKEY_TIMEOUT_JITTER_NS;
}

/* Every authenticated handshake message of a peer. */
static void message_authenticated(
	struct hub *hub, struct peer *peer, const struct worker_handshake *msg, uint64_t now_ns)
{
	relaxed_add(&peer->rx_bytes, msg->len_bytes);
	if (peer_endpoint_learn(peer, &msg->from))
		hub_emit(hub, WGH_EVENT_ROAMED, peer, now_ns);
	timers_packet_received(peer, false, now_ns);
}

/* Signs msg, an initiation or a response, and sends it. */
static void send_message(struct hub *hub, struct peer *peer, const struct wgh_endpoint *to,
	void *msg, uint32_t len_bytes, uint64_t now_ns)
{
	cookie_jar_sign(&peer->cookie, &peer->public_key, msg, len_bytes, now_ns);
	peer->last_handshake_sent_ns = now_ns;
	hub_transmit(hub, to, msg, len_bytes, HANDSHAKE_TOS);
	relaxed_add(&peer->tx_bytes, len_bytes);
	timers_packet_sent(peer, false, now_ns);
}

/* ---- our initiations ---- */

void handshake_drop(struct hub *hub, struct peer *peer)
{
	struct handshake *handshake = peer->handshake;

	if (!handshake)
		return;
	peer->handshake = NULL;
	if (handshake->local_index)
		session_remove(&hub->sessions, handshake->local_index);
	slab_put(&hub->handshakes, handshake);
}

static void send_initiation(struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns)
{
	struct handshake *handshake = peer->handshake;
	struct wire_initiation msg = {0};
	struct session_array *old = NULL;
	struct {
		uint8_t timestamp[WIRE_TIMESTAMP_BYTES], random[32];
		struct noise_state noise;
	} s;
	struct wgh_endpoint to;
	uint32_t index;

	handshake->n_sent++;
	handshake->retry_at_ns = now_ns + REKEY_TIMEOUT_NS + jitter(hub);
	if (handshake->n_sent > 1) {
		peer_endpoint_forget_source(peer);
		offline_begin(hub, peer, now_ns);
	}
	to = peer_endpoint(peer);
	if (to.family == WGH_UNSPEC || !static_static(hub, peer))
		return;
	timestamp_now(hub, wall_ns, s.timestamp);
	random_bytes(hub, s.random, sizeof s.random);
	if (!noise_initiation_create(&s.noise, &msg, hub->identity, &peer->public_key,
		    peer->static_static, s.timestamp, s.random))
		goto out;
	if (handshake->local_index)
		session_remove(&hub->sessions, handshake->local_index);
	handshake->local_index = 0;
	index = keys_new_index(hub);
	if (session_add_handshake(&hub->sessions, index, peer, &old))
		goto out;
	if (old)
		hub_retire(hub, &old->retired, old->retired.free);
	handshake->local_index = index;
	handshake->noise = s.noise;
	le32_put(msg.type, WIRE_INITIATION);
	le32_put(msg.sender, index);
	send_message(hub, peer, &to, &msg, sizeof msg, now_ns);
out:
	secret_wipe(&s, sizeof s);
}

void handshake_want(struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns)
{
	uint64_t earliest_ns = peer->last_handshake_sent_ns + REKEY_TIMEOUT_NS;

	if (!hub->up || !hub->identity->present || !relaxed_get(&peer->has_endpoint))
		return;
	if (peer->handshake) {
		if (peer->handshake->n_sent > 1)
			peer->handshake->n_sent = 1; /* fresh traffic: count anew */
		return;
	}
	peer->handshake = slab_get(&hub->handshakes);
	if (!peer->handshake)
		return;
	if (peer->last_handshake_sent_ns && !time_reached(now_ns, earliest_ns))
		peer->handshake->retry_at_ns = earliest_ns;
	else
		send_initiation(hub, peer, now_ns, wall_ns);
	hub_arm(hub, peer);
}

/* ---- their initiations ---- */

static enum drop send_response(struct hub *hub, struct peer *peer, struct noise_state *noise,
	uint32_t remote_index, uint64_t now_ns)
{
	enum drop verdict = DROP_HANDSHAKE;
	struct wire_response msg = {0};
	struct wgh_endpoint to = peer_endpoint(peer);
	struct {
		struct noise_keys keys;
		uint8_t random[32];
	} s;
	uint32_t index = keys_new_index(hub);

	random_bytes(hub, s.random, sizeof s.random);
	if (!noise_response_create(noise, &msg, &s.keys, &peer->public_key, &peer->psk, s.random))
		goto out;
	verdict = DROP_NO_MEMORY;
	if (keys_add_next(hub, peer, &s.keys, index, remote_index, now_ns))
		goto out;
	verdict = DROP_NONE;
	le32_put(msg.type, WIRE_RESPONSE);
	le32_put(msg.sender, index);
	le32_put(msg.receiver, remote_index);
	send_message(hub, peer, &to, &msg, sizeof msg, now_ns);
out:
	secret_wipe(&s, sizeof s);
	return verdict;
}

static void report_replay(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	if (!time_reached(now_ns, hub->replay_report_ns))
		return;
	hub->replay_report_ns = now_ns + REPORT_INTERVAL_NS;
	hub_emit(hub, WGH_EVENT_REPLAYED_INITIATION, peer, now_ns);
}

static bool is_under_load(const struct hub *hub, uint64_t now_ns)
{
	return hub->under_load_until_ns && !time_reached(now_ns, hub->under_load_until_ns);
}

/* A key that nobody let in yet: reported if its owner sent this, which the second DH tells. Anybody
 * who knows our public key can ask for it with keys made up, so it is done now and then, and never
 * under load. A recorded message passes, too: the report is a hint for people, no more. */
static void report_unknown(struct hub *hub, const struct worker_handshake *in,
	struct noise_state *noise, const struct x25519_public *key, uint64_t now_ns)
{
	struct wgh_event event = {
		.kind = WGH_EVENT_UNKNOWN_PEER, .endpoint = in->from, .now_ns = now_ns};
	uint8_t ss[32], timestamp[WIRE_TIMESTAMP_BYTES];

	if (!hub->options.on_event || is_under_load(hub, now_ns) ||
		!time_reached(now_ns, hub->unknown_report_ns))
		return;
	hub->unknown_report_ns = now_ns + UNKNOWN_INTERVAL_NS;
	if (noise_static_static(ss, hub->identity, key) &&
		noise_initiation_verify(
			noise, timestamp, (const struct wire_initiation *)in->message, ss) &&
		memcmp(key, &hub->identity->public_key, sizeof *key)) {
		memcpy(event.peer.bytes, key->bytes, sizeof event.peer.bytes);
		hub->options.on_event(hub->options.arg, &event);
	}
	secret_wipe(ss, sizeof ss);
}

static enum drop receive_initiation(
	struct hub *hub, const struct worker_handshake *in, uint64_t now_ns)
{
	const struct wire_initiation *msg = (const struct wire_initiation *)in->message;
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES];
	struct x25519_public key;
	struct noise_state noise;
	enum drop verdict = DROP_HANDSHAKE;
	struct peer *peer;

	if (!noise_initiation_open(&noise, &key, msg, hub->identity))
		goto out;
	verdict = DROP_UNKNOWN_PEER; /* our own key is never a peer's */
	peer = peer_find(&hub->peers, &key);
	if (!peer) {
		report_unknown(hub, in, &noise, &key, now_ns);
		goto out;
	}
	verdict = DROP_HANDSHAKE;
	if (!static_static(hub, peer) ||
		!noise_initiation_verify(&noise, timestamp, msg, peer->static_static))
		goto out;
	verdict = DROP_OLD_TIMESTAMP;
	if (memcmp(timestamp, peer->last_timestamp, sizeof timestamp) <= 0) {
		peer_drop(peer, verdict, 1);
		report_replay(hub, peer, now_ns);
		goto out;
	}
	verdict = DROP_FLOOD;
	if (peer->last_initiation_ns &&
		!time_reached(now_ns, peer->last_initiation_ns + INITIATION_INTERVAL_NS)) {
		peer_drop(peer, verdict, 1);
		goto out;
	}
	memcpy(peer->last_timestamp, timestamp, sizeof timestamp);
	peer->last_initiation_ns = now_ns;
	message_authenticated(hub, peer, in, now_ns);
	verdict = send_response(hub, peer, &noise, le32_get(msg->sender), now_ns);
	if (verdict)
		peer_drop(peer, verdict, 1);
out:
	secret_wipe(&noise, sizeof noise);
	return verdict;
}

/* ---- responses and cookie replies ---- */

static enum drop receive_response(
	struct hub *hub, const struct worker_handshake *in, uint64_t now_ns, int64_t wall_ns)
{
	const struct wire_response *msg = (const struct wire_response *)in->message;
	struct peer *peer = session_handshake(&hub->sessions, le32_get(msg->receiver));
	enum drop verdict = DROP_NONE;
	struct {
		struct noise_state noise;
		struct noise_keys keys;
	} s;

	if (!peer)
		return DROP_STRAY_RESPONSE;
	s.noise = peer->handshake->noise;
	if (!noise_response_open(&s.noise, &s.keys, msg, hub->identity, &peer->psk)) {
		peer_drop(peer, DROP_HANDSHAKE, 1);
		verdict = DROP_HANDSHAKE;
		goto out;
	}
	message_authenticated(hub, peer, in, now_ns);
	if (keys_add_current(hub, peer, &s.keys, le32_get(msg->sender), now_ns, wall_ns)) {
		peer_drop(peer, DROP_NO_MEMORY, 1);
		verdict = DROP_NO_MEMORY;
		goto out;
	}
	handshake_drop(hub, peer);
	hub_arm(hub, peer);
out:
	secret_wipe(&s, sizeof s);
	return verdict;
}

/* A cookie reply may answer an initiation (its index is a handshake's) or a response (a keypair's).
 */
static enum drop receive_cookie(struct hub *hub, const struct worker_handshake *in, uint64_t now_ns)
{
	const struct wire_cookie *msg = (const struct wire_cookie *)in->message;
	uint32_t index = le32_get(msg->receiver);
	struct peer *peer = session_handshake(&hub->sessions, index);

	if (!peer) {
		struct keypair *keypair = session_keypair(relaxed_get(&hub->sessions.array), index);

		peer = keypair ? keypair->peer : NULL;
	}
	return peer && cookie_jar_open(&peer->cookie, &peer->public_key, msg, now_ns) ? DROP_NONE
										      : DROP_COOKIE;
}

/* ---- the door ---- */

/* Addresses that get no reply: nothing there can be a peer. On loopback there can: the kernel lets
 * such a source in from this machine only. */
static bool answerable(const struct wgh_endpoint *from)
{
	static const uint8_t loopback6[16] = {[15] = 1};
	struct wgh_addr addr = {.family = from->family};
	bool loopback = from->family == WGH_IPV4
		? from->addr[0] == 127
		: from->family == WGH_IPV6 && !memcmp(from->addr, loopback6, sizeof loopback6);

	memcpy(addr.bytes, from->addr, sizeof addr.bytes);
	return from->port && (loopback || ip_addr_is_unicast(&addr));
}

/* Random, drawn many at a time: one by one they cost a system call for each reply. */
static const uint8_t *fresh_nonce(struct hub *hub)
{
	if (!hub->n_cookie_nonces) {
		random_bytes(hub, hub->cookie_nonces, sizeof hub->cookie_nonces);
		hub->n_cookie_nonces = COOKIE_NONCES;
	}
	return hub->cookie_nonces[--hub->n_cookie_nonces];
}

static void send_cookie_reply(struct hub *hub, const struct worker_handshake *in)
{
	struct wire_cookie reply;

	/* Both messages carry the sender's index behind the type. */
	cookie_reply_write(hub->checker, &reply, le32_get(in->message + 4), in->message,
		in->len_bytes, &in->from, fresh_nonce(hub));
	hub_transmit(hub, &in->from, &reply, sizeof reply, 0);
}

/* Under load only those pass who proved their address and do not ask too often. */
static enum drop load_check(struct hub *hub, const struct worker_handshake *in, uint64_t now_ns)
{
	uint8_t random[32] = {0};

	if (!is_under_load(hub, now_ns))
		return DROP_NONE;
	if (cookie_secret_is_old(hub->checker, now_ns))
		random_bytes(hub, random, sizeof random);
	if (!cookie_mac2_ok(hub->checker, in->message, in->len_bytes, &in->from, random, now_ns)) {
		send_cookie_reply(hub, in);
		return DROP_UNDER_LOAD;
	}
	return ratelimit_allow(hub->ratelimit, &in->from, now_ns) ? DROP_NONE : DROP_RATE_LIMIT;
}

static enum drop receive(
	struct hub *hub, const struct worker_handshake *in, uint64_t now_ns, int64_t wall_ns)
{
	uint32_t type = le32_get(in->message);
	enum drop verdict;

	if (!hub->up || !hub->identity->present)
		return DROP_NO_IDENTITY;
	if (!answerable(&in->from))
		return DROP_REPLY_ADDRESS;
	if (type == WIRE_COOKIE)
		return receive_cookie(hub, in, now_ns);
	if (!cookie_mac1_ok(hub->checker, in->message, in->len_bytes))
		return DROP_MAC1;
	verdict = load_check(hub, in, now_ns);
	if (verdict)
		return verdict;
	return type == WIRE_INITIATION ? receive_initiation(hub, in, now_ns)
				       : receive_response(hub, in, now_ns, wall_ns);
}

void handshake_receive(
	struct hub *hub, const struct worker_handshake *msg, uint64_t now_ns, int64_t wall_ns)
{
	enum drop verdict = receive(hub, msg, now_ns, wall_ns);

	if (verdict)
		hub_drop(hub, verdict, 1);
}

/* ---- timers ---- */

static bool due(const struct peer *peer, enum timer timer, uint64_t now_ns)
{
	return time_reached(now_ns, timers_deadline(peer, timer));
}

static void retry_due(struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns)
{
	uint64_t earliest_ns = peer->last_handshake_sent_ns + REKEY_TIMEOUT_NS;

	/* A response of ours may have gone out meanwhile: it gets its five seconds first. */
	if (peer->last_handshake_sent_ns && !time_reached(now_ns, earliest_ns)) {
		peer->handshake->retry_at_ns = earliest_ns;
		return;
	}
	if (peer->handshake->n_sent < HANDSHAKE_TRANSMISSIONS_MAX) {
		send_initiation(hub, peer, now_ns, wall_ns);
		return;
	}
	handshake_drop(hub, peer);
	staged_drop(hub, peer, DROP_STAGED_EXPIRED);
	if (peer->wipe_at_ns == TIME_NEVER)
		peer->wipe_at_ns = now_ns + WIPE_AFTER_NS;
	hub_emit(hub, WGH_EVENT_HANDSHAKE_GIVEUP, peer, now_ns);
}

/* Like any packet, one that goes out late in the life of its key asks for the next. False: no
 * session. */
static bool send_keepalive(struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns)
{
	if (!keys_send_keepalive(hub, peer, now_ns))
		return false;
	if (keypair_wants_renewal(relaxed_get(&peer->current), now_ns))
		handshake_want(hub, peer, now_ns, wall_ns);
	return true;
}

/* Ten seconds without an answer of ours to data of theirs. If more data came meanwhile, it has its
 * own ten. */
static void keepalive_due(struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns)
{
	bool more =
		relaxed_get(&peer->last_data_received_ns) > relaxed_get(&peer->unacked_since_ns);

	/* Without a session there is nothing to say. */
	IGNORE_RESULT(send_keepalive(hub, peer, now_ns, wall_ns));
	relaxed_set(&peer->unacked_since_ns, more ? now_ns : 0);
}

static void persistent_keepalive_due(
	struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns)
{
	relaxed_set(&peer->last_traversal_ns, now_ns); /* the next one, whatever becomes of this */
	if (!send_keepalive(hub, peer, now_ns, wall_ns))
		handshake_want(hub, peer, now_ns, wall_ns);
}

static void wipe_due(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	/* An attempt under way stays: its secrets are seconds old, and packets wait for it. */
	peer->wipe_at_ns = TIME_NEVER;
	keys_drop(hub, peer);
	hub_emit(hub, WGH_EVENT_EXPIRED, peer, now_ns);
}

void handshake_timer(struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns)
{
	if (due(peer, TIMER_RETRY_HANDSHAKE, now_ns))
		retry_due(hub, peer, now_ns, wall_ns);
	if (due(peer, TIMER_KEEPALIVE, now_ns))
		keepalive_due(hub, peer, now_ns, wall_ns);
	if (due(peer, TIMER_NEW_HANDSHAKE, now_ns)) {
		relaxed_set(&peer->unanswered_since_ns, 0);
		peer->unanswered_jitter_ns = jitter(hub);
		peer_endpoint_forget_source(peer);
		handshake_want(hub, peer, now_ns, wall_ns);
	}
	if (due(peer, TIMER_PERSISTENT_KEEPALIVE, now_ns))
		persistent_keepalive_due(hub, peer, now_ns, wall_ns);
	if (due(peer, TIMER_WIPE, now_ns))
		wipe_due(hub, peer, now_ns);
	if (due(peer, TIMER_PROBE, now_ns))
		reach_due(hub, peer, now_ns);
	hub_arm(hub, peer);
}
