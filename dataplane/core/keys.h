/* keys.h - a peer's three keypair slots and the packets that wait for them: current to send with,
 * next of an unconfirmed responder, previous for what is still on its way. Source: paper, section
 * 6; slot rules as in the Linux module's noise.c. Threads: the control side. Workers see a change
 * through peer->current and the session table.
 */
#ifndef CORE_KEYS_H
#define CORE_KEYS_H

#include "core/hub.h"

/* A free random index for a new session; never 0, which stands for none. */
uint32_t keys_new_index(struct hub *hub);

/* A handshake of theirs was answered: the keypair waits as next until something arrives under it.
 * local_index is fresh. -ENOMEM: nothing changed. */
MUST_CHECK int keys_add_next(struct hub *hub, struct peer *peer, const struct noise_keys *keys,
	uint32_t local_index, uint32_t remote_index, uint64_t now_ns);
/* Our handshake was answered: the keypair is current, and its first packets (those that waited, or
 * a keepalive) confirm it. It takes over the handshake's index. -ENOMEM: nothing changed. */
MUST_CHECK int keys_add_current(struct hub *hub, struct peer *peer, const struct noise_keys *keys,
	uint32_t remote_index, uint64_t now_ns, int64_t wall_ns);
/* Something arrived under the keypair with this index: if it is next, it becomes current. */
void keys_confirm(
	struct hub *hub, struct peer *peer, uint32_t local_index, uint64_t now_ns, int64_t wall_ns);
/* All three are dead and will be wiped. */
void keys_drop(struct hub *hub, struct peer *peer);
bool keys_usable(struct peer *peer, uint64_t now_ns);

/* An inner packet waits for a session. The oldest goes when there are too many. */
void staged_add(struct hub *hub, struct peer *peer, const uint8_t *packet, uint32_t len_bytes);
/* Sends what waits under the current keypair, in order. */
void staged_send(struct hub *hub, struct peer *peer, uint64_t now_ns);
/* Shows each waiting packet, the oldest first. */
void staged_each(struct hub *hub, struct peer *peer,
	void (*look)(struct hub *hub, struct peer *peer, const uint8_t *packet, uint32_t len_bytes,
		uint64_t now_ns),
	uint64_t now_ns);
void staged_drop(struct hub *hub, struct peer *peer, enum drop reason);
/* Seals message in place and sends it: a header's room before and 31 bytes after len_bytes. It does
 * not count as data that wants an answer. False: there is no session to use. */
bool keys_send_unanswered(
	struct hub *hub, struct peer *peer, uint8_t *message, uint32_t len_bytes, uint64_t now_ns);
/* An empty packet under the current keypair. False: there is none to use. */
bool keys_send_keepalive(struct hub *hub, struct peer *peer, uint64_t now_ns);

#endif
