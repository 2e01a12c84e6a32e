/* noise.h - the cryptography of a handshake: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s.
 * Source: paper, section 5.4; the Noise Protocol Framework, revision 34.
 *
 * Each function works on one message and on a state of its own; none knows peers, indices, macs or
 * time. A message that fails leaves the outputs undefined and must change nothing else: callers
 * give a copy of the state. Threads: any; no state outside the arguments. Cost: 33 us for each
 * X25519 on a 2024 server core.
 */
#ifndef CORE_NOISE_H
#define CORE_NOISE_H

#include "core/wire.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"

/* Our static key and what follows from it once. */
struct noise_identity {
	struct x25519_secret secret;
	struct x25519_public public_key;
	uint8_t hash[32]; /* of the protocol's names and our public key: how every received
			     initiation begins */
	bool present;
};

/* One handshake in progress. The initiator keeps it between its two messages. */
struct noise_state {
	uint8_t chaining_key[32], hash[32];
	struct x25519_secret ephemeral;
	struct x25519_public their_ephemeral;
};

struct noise_keys {
	struct sym_key send, receive;
};

/* secret all zero: no identity. */
void noise_identity_set(struct noise_identity *identity, const struct x25519_secret *secret);
/* The DH of both static keys. False: zero result or no identity; no handshake with that peer then.
 */
MUST_CHECK bool noise_static_static(
	uint8_t ss[32], const struct noise_identity *identity, const struct x25519_public *theirs);

/* Initiator, first message: fills ephemeral, static_key and timestamp of msg. random: 32 fresh
 * bytes. */
MUST_CHECK bool noise_initiation_create(struct noise_state *state, struct wire_initiation *msg,
	const struct noise_identity *identity, const struct x25519_public *theirs,
	const uint8_t ss[32], const uint8_t timestamp[WIRE_TIMESTAMP_BYTES],
	const uint8_t random[32]);

/* Responder, first message, in two steps: who is it (one DH), then is it really them (no DH with a
 * cached ss). */
MUST_CHECK bool noise_initiation_open(struct noise_state *state, struct x25519_public *theirs,
	const struct wire_initiation *msg, const struct noise_identity *identity);
MUST_CHECK bool noise_initiation_verify(struct noise_state *state,
	uint8_t timestamp[WIRE_TIMESTAMP_BYTES], const struct wire_initiation *msg,
	const uint8_t ss[32]);

/* Responder, second message: fills ephemeral and empty of msg; two DH and a key generation. */
MUST_CHECK bool noise_response_create(struct noise_state *state, struct wire_response *msg,
	struct noise_keys *keys, const struct x25519_public *theirs, const struct psk *psk,
	const uint8_t random[32]);

/* Initiator, second message; two DH. */
MUST_CHECK bool noise_response_open(struct noise_state *state, struct noise_keys *keys,
	const struct wire_response *msg, const struct noise_identity *identity,
	const struct psk *psk);

#endif
