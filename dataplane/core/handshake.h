/* handshake.h - handshakes as a conversation: what to do with a message, when to send our own, and
 * the timers that depend on them. The cryptography is noise.h's, proof of address is cookie.h's.
 * Source: paper, sections 5.3, 5.4 and 6. Threads: the control side.
 */
#ifndef CORE_HANDSHAKE_H
#define CORE_HANDSHAKE_H

#include "core/hub.h"

struct worker_handshake;

/* Works on one message of exact length and known type. Silent about everything that is wrong with
 * it. */
void handshake_receive(
	struct hub *hub, const struct worker_handshake *msg, uint64_t now_ns, int64_t wall_ns);

/* Traffic wants a session: starts a fresh attempt, or lets the present one begin to count again.
 * Never more than one initiation in 5 s; a packet that waits is remembered until then. */
void handshake_want(struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns);
/* Forgets an attempt of ours. */
void handshake_drop(struct hub *hub, struct peer *peer);

/* The peer's deadline has come: does what is due and arms the next. */
void handshake_timer(struct hub *hub, struct peer *peer, uint64_t now_ns, int64_t wall_ns);

#endif
