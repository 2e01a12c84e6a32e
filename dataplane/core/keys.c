/* keys.c - see keys.h. */
#include "core/keys.h"

#include "core/handshake.h"
#include "core/reach.h"
#include "crypto/aead.h"

#include <errno.h>
#include <string.h>

/* A plaintext packet, with the room that makes it a message in place. */
struct staged_packet {
	struct staged_packet *next;
	uint32_t len_bytes;
	uint8_t message[];
};

static size_t staged_size(uint32_t len_bytes)
{
	return sizeof(struct staged_packet) + WGH_HEADROOM_BYTES + len_bytes + WGH_TAILROOM_BYTES;
}

uint32_t keys_new_index(struct hub *hub)
{
	uint32_t index;

	do
		hub->options.random(hub->options.arg, &index, sizeof index);
	while (!index || session_taken(&hub->sessions, index));
	return index;
}

static struct keypair *current_of(struct peer *peer)
{
	return relaxed_get(&peer->current);
}

static void keypair_free(struct retired *item, void *hub)
{
	struct keypair *keypair =
		(struct keypair *)((uint8_t *)item - offsetof(struct keypair, retired));

	slab_put(&((struct hub *)hub)->keypairs, keypair);
}

static void remove_keypair(struct hub *hub, struct keypair *keypair)
{
	if (!keypair)
		return;
	session_remove(&hub->sessions, keypair->local_index);
	hub_retire(hub, &keypair->retired, keypair_free);
}

static struct keypair *new_keypair(struct hub *hub, struct peer *peer,
	const struct noise_keys *keys, uint32_t local_index, uint32_t remote_index, uint64_t now_ns)
{
	struct keypair *keypair = slab_get(&hub->keypairs);

	if (!keypair)
		return NULL;
	keypair->send = keys->send;
	keypair->receive = keys->receive;
	keypair->peer = peer;
	keypair->created_ns = now_ns;
	keypair->local_index = local_index;
	keypair->remote_index = remote_index;
	replay_init(&keypair->replay);
	return keypair;
}

static void session_derived(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	peer->wipe_at_ns = now_ns + WIPE_AFTER_NS;
	hub_arm(hub, peer);
}

static void set_current(struct peer *peer, struct keypair *keypair)
{
	atomic_store_explicit(&peer->current, keypair, memory_order_release);
}

int keys_add_next(struct hub *hub, struct peer *peer, const struct noise_keys *keys,
	uint32_t local_index, uint32_t remote_index, uint64_t now_ns)
{
	struct keypair *keypair = new_keypair(hub, peer, keys, local_index, remote_index, now_ns);
	struct session_array *old;
	int err;

	if (!keypair)
		return -ENOMEM;
	relaxed_set(&keypair->unconfirmed, true);
	err = session_add_keypair(&hub->sessions, keypair, &old);
	if (err) {
		slab_put(&hub->keypairs, keypair);
		return err;
	}
	if (old)
		hub_retire(hub, &old->retired, old->retired.free);
	remove_keypair(hub, peer->next);
	remove_keypair(hub, peer->previous);
	peer->previous = NULL;
	peer->next = keypair;
	session_derived(hub, peer, now_ns);
	return 0;
}

int keys_add_current(struct hub *hub, struct peer *peer, const struct noise_keys *keys,
	uint32_t remote_index, uint64_t now_ns, int64_t wall_ns)
{
	struct keypair *keypair =
		new_keypair(hub, peer, keys, peer->handshake->local_index, remote_index, now_ns);

	if (!keypair)
		return -ENOMEM;
	keypair->initiator = true;
	session_promote(&hub->sessions, keypair); /* the handshake's entry is now the keypair's */
	peer->handshake->local_index = 0;
	remove_keypair(hub, peer->previous);
	if (peer->next) {
		peer->previous = peer->next;
		peer->next = NULL;
		remove_keypair(hub, current_of(peer));
	} else {
		peer->previous = current_of(peer);
	}
	set_current(peer, keypair);
	peer->last_handshake_wall_ns = wall_ns;
	session_derived(hub, peer, now_ns);
	hub_emit(hub, WGH_EVENT_HANDSHAKE, peer, now_ns);
	if (peer->n_staged)
		staged_send(hub, peer, now_ns);
	else
		IGNORE_RESULT(keys_send_keepalive(hub, peer, now_ns));
	reach_session(hub, peer, now_ns);
	return 0;
}

void keys_confirm(
	struct hub *hub, struct peer *peer, uint32_t local_index, uint64_t now_ns, int64_t wall_ns)
{
	struct keypair *next = peer->next;

	if (!next || next->local_index != local_index)
		return;
	relaxed_set(&next->unconfirmed, false);
	remove_keypair(hub, peer->previous);
	peer->previous = current_of(peer);
	peer->next = NULL;
	set_current(peer, next);
	peer->last_handshake_wall_ns = wall_ns;
	handshake_drop(hub, peer); /* an attempt of ours at the same time has lost */
	hub_emit(hub, WGH_EVENT_HANDSHAKE, peer, now_ns);
	staged_send(hub, peer, now_ns);
	reach_session(hub, peer, now_ns);
	hub_arm(hub, peer); /* what was just sent may stay unanswered */
}

void keys_drop(struct hub *hub, struct peer *peer)
{
	struct keypair *current = current_of(peer);

	set_current(peer, NULL);
	remove_keypair(hub, current);
	remove_keypair(hub, peer->previous);
	remove_keypair(hub, peer->next);
	peer->previous = peer->next = NULL;
}

bool keys_usable(struct peer *peer, uint64_t now_ns)
{
	struct keypair *current = current_of(peer);

	return current && !keypair_expired(current, now_ns) &&
		relaxed_get(&current->send_counter) < REJECT_AFTER_MESSAGES;
}

/* Seals in place and sends: message has a header's room before and 31 bytes after the packet. data:
 * the peer is expected to answer. */
static bool send_packet(struct hub *hub, struct peer *peer, uint8_t *message, uint32_t len_bytes,
	bool data, uint64_t now_ns)
{
	struct keypair *keypair = current_of(peer);
	struct wire_data *header = (struct wire_data *)message;
	struct wgh_endpoint to = peer_endpoint(peer);
	uint32_t padded = (len_bytes + 15) & ~15u, mtu = hub->options.mtu_bytes;
	uint64_t counter;

	if (!keys_usable(peer, now_ns) || to.family == WGH_UNSPEC ||
		!keypair_reserve(keypair, 1, &counter))
		return false;
	if (padded > mtu)
		padded = len_bytes > mtu ? len_bytes : mtu;
	memset(message + sizeof *header + len_bytes, 0, padded - len_bytes);
	le32_put(header->type, WIRE_DATA);
	le32_put(header->receiver, keypair->remote_index);
	le64_put(header->counter, counter);
	aead_seal(hub->aead,
		&(struct aead_job){.data = message + sizeof *header,
			.key = &keypair->send,
			.counter = counter,
			.len_bytes = padded},
		1);
	hub_transmit(hub, &to, message, padded + WIRE_DATA_MIN_BYTES, 0);
	relaxed_add(&peer->tx_bytes, padded + WIRE_DATA_MIN_BYTES);
	timers_packet_sent(peer, data, now_ns);
	return true;
}

bool keys_send_keepalive(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	uint8_t message[WIRE_DATA_MIN_BYTES];

	return send_packet(hub, peer, message, 0, false, now_ns);
}

bool keys_send_unanswered(
	struct hub *hub, struct peer *peer, uint8_t *message, uint32_t len_bytes, uint64_t now_ns)
{
	return send_packet(hub, peer, message, len_bytes, false, now_ns);
}

static struct staged_packet *staged_take(struct hub *hub, struct peer *peer)
{
	struct staged_packet *packet = peer->staged_first;

	peer->staged_first = packet->next;
	if (!packet->next)
		peer->staged_last = NULL;
	peer->n_staged--;
	owner_add(&hub->staged_bytes, -(uint64_t)staged_size(packet->len_bytes));
	return packet;
}

static void staged_free(struct staged_packet *packet)
{
	secret_wipe(packet, staged_size(packet->len_bytes));
	mem_free(packet);
}

void staged_add(struct hub *hub, struct peer *peer, const uint8_t *bytes, uint32_t len_bytes)
{
	struct staged_packet *packet = NULL;

	if (peer->n_staged >= STAGED_PACKETS_PER_PEER) {
		staged_free(staged_take(hub, peer));
		hub_drop(hub, DROP_STAGED_FULL, 1);
		peer_drop(peer, DROP_STAGED_FULL, 1);
	}
	if (relaxed_get(&hub->staged_bytes) + staged_size(len_bytes) <= STAGED_BYTES_TOTAL)
		packet = mem_new(hub->options.budget, 1, staged_size(len_bytes));
	if (!packet) {
		hub_drop(hub, DROP_STAGED_FULL, 1);
		peer_drop(peer, DROP_STAGED_FULL, 1);
		return;
	}
	packet->next = NULL;
	packet->len_bytes = len_bytes;
	memcpy(packet->message + WGH_HEADROOM_BYTES, bytes, len_bytes);
	if (peer->staged_last)
		peer->staged_last->next = packet;
	else
		peer->staged_first = packet;
	peer->staged_last = packet;
	peer->n_staged++;
	owner_add(&hub->staged_bytes, staged_size(len_bytes));
}

void staged_send(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	while (peer->n_staged && keys_usable(peer, now_ns)) {
		struct staged_packet *packet = staged_take(hub, peer);

		if (!send_packet(hub, peer, packet->message, packet->len_bytes, true, now_ns)) {
			hub_drop(hub, DROP_NO_ENDPOINT, 1);
			peer_drop(peer, DROP_NO_ENDPOINT, 1);
		} else {
			relaxed_add(&hub->n_staged_sent, 1);
		}
		staged_free(packet);
	}
}

void staged_each(struct hub *hub, struct peer *peer,
	void (*look)(struct hub *hub, struct peer *peer, const uint8_t *packet, uint32_t len_bytes,
		uint64_t now_ns),
	uint64_t now_ns)
{
	for (const struct staged_packet *p = peer->staged_first; p; p = p->next)
		look(hub, peer, p->message + WGH_HEADROOM_BYTES, p->len_bytes, now_ns);
}

void staged_drop(struct hub *hub, struct peer *peer, enum drop reason)
{
	if (!peer->n_staged)
		return; /* and its counters stay untouched */
	hub_drop(hub, reason, peer->n_staged);
	peer_drop(peer, reason, peer->n_staged);
	while (peer->n_staged)
		staged_free(staged_take(hub, peer));
}
