/* noise.c - see noise.h. Names follow the paper: ck is the chaining key, h the hash, es, ss, ee, se
 * the four DH results between static and ephemeral keys of initiator and responder.
 */
#include "core/noise.h"

#include "crypto/aead.h"
#include "crypto/blake2s.h"

#include <string.h>

static const char CONSTRUCTION[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char IDENTIFIER[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

static void mix_hash(uint8_t h[32], const void *data, size_t len_bytes)
{
	struct blake2s s;

	blake2s_init(&s, 32, NULL, 0);
	blake2s_update(&s, h, 32);
	blake2s_update(&s, data, len_bytes);
	blake2s_final(&s, h);
}

/* The chaining key before the first message: a constant. */
static void initial_chaining_key(uint8_t ck[32])
{
	blake2s(ck, 32, NULL, 0, CONSTRUCTION, sizeof CONSTRUCTION - 1);
}

static void initial_hash(uint8_t h[32], const struct x25519_public *responder)
{
	initial_chaining_key(h);
	mix_hash(h, IDENTIFIER, sizeof IDENTIFIER - 1);
	mix_hash(h, responder->bytes, 32);
}

/* An ephemeral public key goes into the hash and, because of the psk, into the chaining key too. */
static void mix_ephemeral(struct noise_state *s, const uint8_t ephemeral[32])
{
	mix_hash(s->hash, ephemeral, 32);
	blake2s_kdf(s->chaining_key, NULL, NULL, s->chaining_key, ephemeral, 32);
}

/* Mixes a DH result; key may be NULL. */
static bool mix_dh(struct noise_state *s, struct sym_key *key, const struct x25519_secret *ours,
	const struct x25519_public *theirs)
{
	uint8_t dh[32];
	bool ok = x25519(dh, ours, theirs);

	if (ok)
		blake2s_kdf(
			s->chaining_key, key ? key->bytes : NULL, NULL, s->chaining_key, dh, 32);
	secret_wipe(dh, sizeof dh);
	return ok;
}

static void seal_and_mix(struct noise_state *s, uint8_t *out, const void *in, size_t len_bytes,
	const struct sym_key *key)
{
	aead_seal_one(out, in, len_bytes, s->hash, 32, key, 0);
	mix_hash(s->hash, out, len_bytes + WIRE_TAG_BYTES);
}

static bool open_and_mix(struct noise_state *s, uint8_t *out, const uint8_t *in, size_t in_bytes,
	const struct sym_key *key)
{
	if (!aead_open_one(out, in, in_bytes, s->hash, 32, key, 0))
		return false;
	mix_hash(s->hash, in, in_bytes);
	return true;
}

static void mix_psk(struct noise_state *s, struct sym_key *key, const struct psk *psk)
{
	uint8_t tau[32];

	blake2s_kdf(s->chaining_key, tau, key->bytes, s->chaining_key, psk->bytes, 32);
	mix_hash(s->hash, tau, 32);
	secret_wipe(tau, sizeof tau);
}

void noise_identity_set(struct noise_identity *identity, const struct x25519_secret *secret)
{
	secret_wipe(identity, sizeof *identity);
	if (ct_is_zero(secret->bytes, sizeof secret->bytes))
		return;
	identity->secret = *secret;
	x25519_clamp(&identity->secret);
	identity->present = x25519_public_from_secret(&identity->public_key, &identity->secret);
	initial_hash(identity->hash, &identity->public_key);
}

bool noise_static_static(
	uint8_t ss[32], const struct noise_identity *identity, const struct x25519_public *theirs)
{
	return identity->present && x25519(ss, &identity->secret, theirs);
}

bool noise_initiation_create(struct noise_state *state, struct wire_initiation *msg,
	const struct noise_identity *identity, const struct x25519_public *theirs,
	const uint8_t ss[32], const uint8_t timestamp[WIRE_TIMESTAMP_BYTES],
	const uint8_t random[32])
{
	struct x25519_public ephemeral;
	struct sym_key key;
	bool ok = false;

	initial_chaining_key(state->chaining_key);
	initial_hash(state->hash, theirs);
	x25519_secret_from_random(&state->ephemeral, random);
	if (!x25519_public_from_secret(&ephemeral, &state->ephemeral))
		goto out;
	memcpy(msg->ephemeral, ephemeral.bytes, 32);
	mix_ephemeral(state, msg->ephemeral);
	if (!mix_dh(state, &key, &state->ephemeral, theirs)) /* es */
		goto out;
	seal_and_mix(state, msg->static_key, identity->public_key.bytes, 32, &key);
	blake2s_kdf(state->chaining_key, key.bytes, NULL, state->chaining_key, ss, 32);
	seal_and_mix(state, msg->timestamp, timestamp, WIRE_TIMESTAMP_BYTES, &key);
	ok = true;
out:
	secret_wipe(&key, sizeof key);
	return ok;
}

bool noise_initiation_open(struct noise_state *state, struct x25519_public *theirs,
	const struct wire_initiation *msg, const struct noise_identity *identity)
{
	struct sym_key key;
	bool ok;

	initial_chaining_key(state->chaining_key);
	memcpy(state->hash, identity->hash, 32);
	memcpy(state->their_ephemeral.bytes, msg->ephemeral, 32);
	mix_ephemeral(state, msg->ephemeral);
	ok = mix_dh(state, &key, &identity->secret, &state->their_ephemeral) && /* es */
		open_and_mix(state, theirs->bytes, msg->static_key, sizeof msg->static_key, &key);
	secret_wipe(&key, sizeof key);
	return ok;
}

bool noise_initiation_verify(struct noise_state *state, uint8_t timestamp[WIRE_TIMESTAMP_BYTES],
	const struct wire_initiation *msg, const uint8_t ss[32])
{
	struct sym_key key;
	bool ok;

	blake2s_kdf(state->chaining_key, key.bytes, NULL, state->chaining_key, ss, 32);
	ok = open_and_mix(state, timestamp, msg->timestamp, sizeof msg->timestamp, &key);
	secret_wipe(&key, sizeof key);
	return ok;
}

bool noise_response_create(struct noise_state *state, struct wire_response *msg,
	struct noise_keys *keys, const struct x25519_public *theirs, const struct psk *psk,
	const uint8_t random[32])
{
	struct x25519_public ephemeral;
	struct sym_key key;
	bool ok = false;

	x25519_secret_from_random(&state->ephemeral, random);
	if (!x25519_public_from_secret(&ephemeral, &state->ephemeral))
		goto out;
	memcpy(msg->ephemeral, ephemeral.bytes, 32);
	mix_ephemeral(state, msg->ephemeral);
	if (!mix_dh(state, NULL, &state->ephemeral, &state->their_ephemeral) || /* ee */
		!mix_dh(state, NULL, &state->ephemeral, theirs)) /* se */
		goto out;
	mix_psk(state, &key, psk);
	seal_and_mix(state, msg->empty, NULL, 0, &key);
	/* The initiator sends with the first key, we with the second. */
	blake2s_kdf(keys->receive.bytes, keys->send.bytes, NULL, state->chaining_key, NULL, 0);
	ok = true;
out:
	secret_wipe(&key, sizeof key);
	return ok;
}

bool noise_response_open(struct noise_state *state, struct noise_keys *keys,
	const struct wire_response *msg, const struct noise_identity *identity,
	const struct psk *psk)
{
	struct x25519_public theirs;
	struct sym_key key;
	uint8_t empty[1];
	bool ok = false;

	memcpy(theirs.bytes, msg->ephemeral, 32);
	mix_ephemeral(state, msg->ephemeral);
	if (!mix_dh(state, NULL, &state->ephemeral, &theirs) || /* ee */
		!mix_dh(state, NULL, &identity->secret, &theirs)) /* se */
		goto out;
	mix_psk(state, &key, psk);
	if (!open_and_mix(state, empty, msg->empty, sizeof msg->empty, &key))
		goto out;
	blake2s_kdf(keys->send.bytes, keys->receive.bytes, NULL, state->chaining_key, NULL, 0);
	ok = true;
out:
	secret_wipe(&key, sizeof key);
	return ok;
}
