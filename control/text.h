/* text.h - addresses, prefixes, endpoints and numbers to and from text; hostile bytes made
 * printable.
 *
 * Parsers are strict: the whole text must be one value, without sign, space or anything after it.
 * Text need not end with a zero byte. They return NULL when all is well and else a phrase that
 * completes "this is wrong:"; out is then untouched. Writers always end their output with a zero
 * byte. Threads: any; no state. Cost: no allocation.
 */
#ifndef CONTROL_TEXT_H
#define CONTROL_TEXT_H

#include "crypto/secret.h"
#include "wghub.h"

/* Room for the longest text and its zero byte. */
#define TEXT_ADDR_CHARS 46
#define TEXT_PREFIX_CHARS 50
#define TEXT_ENDPOINT_CHARS 72
#define TEXT_HOST_CHARS 254
#define TEXT_PEER_CHARS 9
#define TEXT_IFNAME_CHARS 16

/* Decimal digits only. False also above max. */
MUST_CHECK bool text_number(uint64_t *out, const char *text, size_t n, uint64_t max);
MUST_CHECK const char *text_port(uint16_t *out, const char *text, size_t n);
/* "10.0.0.1", "2001:db8::1"; no scope, no brackets. */
MUST_CHECK const char *text_addr(struct wgh_addr *out, const char *text, size_t n);
/* "10.0.0.0/8"; without a length it is the one address. Host bits are kept. */
MUST_CHECK const char *text_prefix(struct wgh_prefix *out, const char *text, size_t n);
/* The one address of a device or client: dotted quad, "/32" may follow and nothing else. */
MUST_CHECK const char *text_peer_addr(struct wgh_addr *out, const char *text, size_t n);
/* "192.0.2.1:51820", "[2001:db8::1]:51820", "[fe80::1%eth0]:51820"; no names, no port 0. An
 * IPv4-mapped address becomes IPv4. */
MUST_CHECK const char *text_endpoint(struct wgh_endpoint *out, const char *text, size_t n);
/* "vpn.example.org:51820": host gets the name. For what text_endpoint() refuses. */
MUST_CHECK const char *text_host_port(
	char host[TEXT_HOST_CHARS], uint16_t *port, const char *text, size_t n);
/* A name the kernel and wireguard-tools accept for an interface: 1..15 of [a-zA-Z0-9_=+.-], not "."
 * or "..". */
MUST_CHECK const char *text_ifname(const char *text, size_t n);

void text_from_addr(char out[TEXT_ADDR_CHARS], const struct wgh_addr *addr);
void text_from_prefix(char out[TEXT_PREFIX_CHARS], const struct wgh_prefix *prefix);
/* "(none)" where the family is unknown. */
void text_from_endpoint(char out[TEXT_ENDPOINT_CHARS], const struct wgh_endpoint *endpoint);
/* The first 8 base64 characters, as logs name a peer. */
void text_from_peer(char out[TEXT_PEER_CHARS], const struct wgh_public_key *key);

/* Bytes from outside as one printable line: ASCII and well-formed UTF-8 letters stay, everything
 * else (control characters, broken UTF-8, direction overrides) becomes \xNN; too long ends in
 * "...". Twice is the same as once. out_size at least 4. */
void text_escape(char *out, size_t out_size, const void *bytes, size_t n);

/* a is one slip of the finger away from b, or equal: a letter too many, too few, another one, or
 * two swapped. */
MUST_CHECK bool text_is_near(const char *a, const char *b);
/* Could these bytes be put on one line of text: no control characters, as far as they are UTF-8? */
MUST_CHECK bool text_is_line(const char *text, size_t n);

/* RFC 1918 (private) or RFC 6598 (shared) IPv4 space. */
MUST_CHECK bool text_is_private(const struct wgh_addr *addr);

/* Clears the host bits, so that equal networks compare equal. */
void text_prefix_mask(struct wgh_prefix *prefix);
/* Does a's network hold all of b's? Host bits do not matter. */
MUST_CHECK bool text_prefix_covers(const struct wgh_prefix *a, const struct wgh_prefix *b);

#endif
