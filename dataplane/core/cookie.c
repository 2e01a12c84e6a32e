/* cookie.c - see cookie.h. */
#include "core/cookie.h"

#include "core/limits.h"
#include "core/time.h"
#include "crypto/aead.h"
#include "crypto/blake2s.h"

#include <string.h>

#define LABEL_BYTES 8

static void labelled_key(
	struct sym_key *key, const char label[LABEL_BYTES + 1], const struct x25519_public *pub)
{
	struct blake2s s;

	blake2s_init(&s, 32, NULL, 0);
	blake2s_update(&s, label, LABEL_BYTES);
	blake2s_update(&s, pub->bytes, 32);
	blake2s_final(&s, key->bytes);
}

static const struct wire_macs *macs_of(const uint8_t *msg, size_t len_bytes)
{
	return (const struct wire_macs *)(msg + len_bytes - sizeof(struct wire_macs));
}

static void mac(uint8_t out[WIRE_MAC_BYTES], const void *key, size_t key_bytes, const uint8_t *msg,
	size_t len_bytes)
{
	blake2s(out, WIRE_MAC_BYTES, key, key_bytes, msg, len_bytes);
}

void cookie_checker_set_key(struct cookie_checker *checker, const struct x25519_public *ours)
{
	labelled_key(&checker->mac1_key, "mac1----", ours);
	labelled_key(&checker->cookie_key, "cookie--", ours);
}

bool cookie_mac1_ok(const struct cookie_checker *checker, const uint8_t *msg, size_t len_bytes)
{
	uint8_t want[WIRE_MAC_BYTES];

	mac(want, checker->mac1_key.bytes, 32, msg, len_bytes - sizeof(struct wire_macs));
	return ct_equal(want, macs_of(msg, len_bytes)->mac1, sizeof want);
}

/* The cookie of a source: address and port as they stand in the outer headers. */
static void make_cookie(const struct cookie_checker *checker, uint8_t cookie[WIRE_MAC_BYTES],
	const struct wgh_endpoint *from)
{
	uint8_t source[18];
	size_t addr_bytes = from->family == WGH_IPV6 ? 16 : 4;

	memcpy(source, from->addr, addr_bytes);
	source[addr_bytes] = (uint8_t)(from->port >> 8);
	source[addr_bytes + 1] = (uint8_t)from->port;
	mac(cookie, checker->secret, sizeof checker->secret, source, addr_bytes + 2);
}

bool cookie_secret_is_old(const struct cookie_checker *checker, uint64_t now_ns)
{
	return !checker->has_secret ||
		time_since(now_ns, checker->secret_born_ns) >= COOKIE_SECRET_MAX_AGE_NS;
}

bool cookie_mac2_ok(struct cookie_checker *checker, const uint8_t *msg, size_t len_bytes,
	const struct wgh_endpoint *from, const uint8_t random[32], uint64_t now_ns)
{
	static const uint8_t none[WIRE_MAC_BYTES];
	uint8_t cookie[WIRE_MAC_BYTES], want[WIRE_MAC_BYTES];

	if (cookie_secret_is_old(checker, now_ns)) {
		memcpy(checker->secret, random, sizeof checker->secret);
		checker->secret_born_ns = now_ns;
		checker->has_secret = true;
		return false; /* no cookie of the new secret exists yet */
	}
	/* Most have no cookie yet; two hashes fewer for each message of a flood. */
	if (!memcmp(macs_of(msg, len_bytes)->mac2, none, sizeof none))
		return false;
	make_cookie(checker, cookie, from);
	mac(want, cookie, sizeof cookie, msg, len_bytes - WIRE_MAC_BYTES);
	return ct_equal(want, macs_of(msg, len_bytes)->mac2, sizeof want);
}

void cookie_reply_write(const struct cookie_checker *checker, struct wire_cookie *reply,
	uint32_t receiver_index, const uint8_t *msg, size_t len_bytes,
	const struct wgh_endpoint *from, const uint8_t random[WIRE_NONCE_BYTES])
{
	uint8_t cookie[WIRE_MAC_BYTES];

	le32_put(reply->type, WIRE_COOKIE);
	le32_put(reply->receiver, receiver_index);
	memcpy(reply->nonce, random, WIRE_NONCE_BYTES);
	make_cookie(checker, cookie, from);
	xaead_seal(reply->cookie, cookie, sizeof cookie, macs_of(msg, len_bytes)->mac1,
		WIRE_MAC_BYTES, &checker->cookie_key, reply->nonce);
	secret_wipe(cookie, sizeof cookie);
}

void cookie_jar_sign(struct cookie_jar *jar, const struct x25519_public *theirs, uint8_t *msg,
	size_t len_bytes, uint64_t now_ns)
{
	struct wire_macs *macs = (struct wire_macs *)(msg + len_bytes - sizeof *macs);
	struct sym_key key;

	labelled_key(&key, "mac1----", theirs);
	mac(macs->mac1, key.bytes, 32, msg, len_bytes - sizeof *macs);
	memcpy(jar->last_mac1, macs->mac1, WIRE_MAC_BYTES);
	jar->awaits_reply = true;
	memset(macs->mac2, 0, WIRE_MAC_BYTES);
	if (jar->has_cookie && time_since(now_ns, jar->cookie_born_ns) < COOKIE_USE_NS)
		mac(macs->mac2, jar->cookie, WIRE_MAC_BYTES, msg, len_bytes - WIRE_MAC_BYTES);
}

bool cookie_jar_open(struct cookie_jar *jar, const struct x25519_public *theirs,
	const struct wire_cookie *reply, uint64_t now_ns)
{
	uint8_t cookie[WIRE_MAC_BYTES];
	struct sym_key key;

	if (!jar->awaits_reply)
		return false;
	labelled_key(&key, "cookie--", theirs);
	if (!xaead_open(cookie, reply->cookie, sizeof reply->cookie, jar->last_mac1, WIRE_MAC_BYTES,
		    &key, reply->nonce))
		return false;
	memcpy(jar->cookie, cookie, sizeof cookie);
	jar->cookie_born_ns = now_ns;
	jar->has_cookie = true;
	jar->awaits_reply = false;
	secret_wipe(cookie, sizeof cookie);
	return true;
}
