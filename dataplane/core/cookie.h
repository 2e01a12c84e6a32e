/* cookie.h - mac1, mac2 and cookies: proof of knowing our key, and proof of address under load.
 * Source: paper, sections 5.3, 5.4.4, 5.4.7 and 6.6. A cookie binds address and port.
 * Threads: the control side.
 */
#ifndef CORE_COOKIE_H
#define CORE_COOKIE_H

#include "core/noise.h"
#include "wghub.h"

/* Responder's side, one for the hub. */
struct cookie_checker {
	struct sym_key mac1_key, cookie_key;
	uint8_t secret[32];
	uint64_t secret_born_ns;
	bool has_secret;
};

/* Initiator's side, one for each peer. */
struct cookie_jar {
	uint8_t cookie[WIRE_MAC_BYTES];
	uint8_t last_mac1[WIRE_MAC_BYTES]; /* of the message a reply may answer */
	uint64_t cookie_born_ns;
	bool has_cookie, awaits_reply;
};

/* The keys follow our public key; call again when it changes. */
void cookie_checker_set_key(struct cookie_checker *checker, const struct x25519_public *ours);
/* msg is a whole initiation or response of len_bytes; macs are its last 32 bytes. */
MUST_CHECK bool cookie_mac1_ok(
	const struct cookie_checker *checker, const uint8_t *msg, size_t len_bytes);
/* The next cookie_mac2_ok() needs a new secret. */
bool cookie_secret_is_old(const struct cookie_checker *checker, uint64_t now_ns);
/* random: 32 fresh bytes, used if the secret is too old to be kept, and only then. */
MUST_CHECK bool cookie_mac2_ok(struct cookie_checker *checker, const uint8_t *msg, size_t len_bytes,
	const struct wgh_endpoint *from, const uint8_t random[32], uint64_t now_ns);
/* The cookie reply to msg; random: 24 fresh bytes for the nonce. Call after cookie_mac2_ok() said
 * no. */
void cookie_reply_write(const struct cookie_checker *checker, struct wire_cookie *reply,
	uint32_t receiver_index, const uint8_t *msg, size_t len_bytes,
	const struct wgh_endpoint *from, const uint8_t random[WIRE_NONCE_BYTES]);

/* Fills both macs of a message of ours to that peer, the second with the cookie if we have a fresh
 * one. */
void cookie_jar_sign(struct cookie_jar *jar, const struct x25519_public *theirs, uint8_t *msg,
	size_t len_bytes, uint64_t now_ns);
/* Takes the cookie out of a reply. False: it answers nothing we sent; nothing changed. */
MUST_CHECK bool cookie_jar_open(struct cookie_jar *jar, const struct x25519_public *theirs,
	const struct wire_cookie *reply, uint64_t now_ns);

#endif
