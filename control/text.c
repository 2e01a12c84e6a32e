/* text.c - see text.h. Used by everything that reads a human's or another program's words: UAPI,
 * conf files, the command line. Addresses go through inet_pton(), which is strict in glibc and
 * musl. */
#include "control/text.h"

#include "crypto/key_text.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static const char not_a_port[] = "a port is a number from 1 to 65535";
static const char not_an_endpoint[] = "an endpoint is ADDRESS:PORT or [IPV6-ADDRESS]:PORT";

bool text_number(uint64_t *out, const char *text, size_t n, uint64_t max)
{
	uint64_t value = 0;

	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value) ||
			value > max)
			return false;
	}
	*out = value;
	return true;
}

const char *text_port(uint16_t *out, const char *text, size_t n)
{
	uint64_t port;

	if (!text_number(&port, text, n, UINT16_MAX) || port == 0)
		return not_a_port;
	*out = (uint16_t)port;
	return NULL;
}

/* inet_pton() wants a zero byte at the end; a zero byte inside would hide what follows it. */
static bool copy_text(char *out, size_t out_size, const char *text, size_t n)
{
	if (n == 0 || n >= out_size || memchr(text, 0, n))
		return false;
	memcpy(out, text, n);
	out[n] = 0;
	return true;
}

const char *text_addr(struct wgh_addr *out, const char *text, size_t n)
{
	char copy[TEXT_ADDR_CHARS];
	struct wgh_addr addr = {0};

	if (!copy_text(copy, sizeof copy, text, n))
		return "this is not an IPv4 or IPv6 address";
	if (inet_pton(AF_INET, copy, addr.bytes) == 1)
		addr.family = WGH_IPV4;
	else if (inet_pton(AF_INET6, copy, addr.bytes) == 1)
		addr.family = WGH_IPV6;
	else
		return "this is not an IPv4 or IPv6 address";
	*out = addr;
	return NULL;
}

const char *text_prefix(struct wgh_prefix *out, const char *text, size_t n)
{
	const char *slash = n ? memchr(text, '/', n) : NULL;
	size_t addr_n = slash ? (size_t)(slash - text) : n;
	struct wgh_prefix prefix;
	uint64_t bits, max;

	if (text_addr(&prefix.addr, text, addr_n))
		return "a prefix is ADDRESS/LENGTH, as 10.0.0.2/32 or fd00::2/128";
	max = prefix.addr.family == WGH_IPV4 ? 32 : 128;
	bits = max;
	if (slash && !text_number(&bits, slash + 1, n - addr_n - 1, max))
		return prefix.addr.family == WGH_IPV4 ? "an IPv4 prefix length is 0 to 32"
						      : "an IPv6 prefix length is 0 to 128";
	prefix.bits = (uint8_t)bits;
	*out = prefix;
	return NULL;
}

const char *text_peer_addr(struct wgh_addr *out, const char *text, size_t n)
{
	struct wgh_addr addr;

	if (n > 3 && !memcmp(text + n - 3, "/32", 3))
		n -= 3;
	if (text_addr(&addr, text, n) || addr.family != WGH_IPV4)
		return "it needs one IPv4 address, as 10.42.42.2 or 10.42.42.2/32";
	*out = addr;
	return NULL;
}

static bool is_link_local(const struct wgh_addr *addr)
{
	return addr->family == WGH_IPV6 && addr->bytes[0] == 0xfe &&
		(addr->bytes[1] & 0xc0) == 0x80;
}

static const char *parse_scope(uint32_t *scope_id, const char *text, size_t n)
{
	char name[IFNAMSIZ];
	uint64_t number;

	if (text_number(&number, text, n, UINT32_MAX) && number) {
		*scope_id = (uint32_t)number;
		return NULL;
	}
	if (!copy_text(name, sizeof name, text, n) || !(*scope_id = if_nametoindex(name)))
		return "no interface has the name after %";
	return NULL;
}

/* Splits "host:port" and "[host]:port"; host is borrowed from text. */
static const char *split_port(const char **host, size_t *host_n, bool *brackets, uint16_t *port,
	const char *text, size_t n)
{
	const char *colon = n ? memrchr(text, ':', n) : NULL;

	if (!colon || colon == text)
		return not_an_endpoint;
	*host = text;
	*host_n = (size_t)(colon - text);
	*brackets = text[0] == '[';
	if (*brackets) {
		if (*host_n < 3 || colon[-1] != ']')
			return not_an_endpoint;
		*host += 1;
		*host_n -= 2;
	}
	return text_port(port, colon + 1, n - (size_t)(colon + 1 - text));
}

const char *text_endpoint(struct wgh_endpoint *out, const char *text, size_t n)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct wgh_endpoint endpoint = {0};
	const char *host, *percent, *why;
	struct wgh_addr addr;
	size_t host_n, addr_n;
	bool brackets;

	why = split_port(&host, &host_n, &brackets, &endpoint.port, text, n);
	if (why)
		return why;
	percent = memchr(host, '%', host_n);
	addr_n = percent ? (size_t)(percent - host) : host_n;
	if (text_addr(&addr, host, addr_n) || brackets != (addr.family == WGH_IPV6))
		return not_an_endpoint;
	if (percent) {
		if (!is_link_local(&addr))
			return "only a link-local address (fe80::) takes %INTERFACE";
		why = parse_scope(&endpoint.scope_id, percent + 1, host_n - addr_n - 1);
		if (why)
			return why;
	}
	endpoint.family = addr.family;
	if (addr.family == WGH_IPV6 && !memcmp(addr.bytes, mapped, sizeof mapped)) {
		endpoint.family = WGH_IPV4;
		memcpy(endpoint.addr, addr.bytes + 12, 4);
	} else {
		memcpy(endpoint.addr, addr.bytes, sizeof endpoint.addr);
	}
	*out = endpoint;
	return NULL;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

const char *text_host_port(char host[TEXT_HOST_CHARS], uint16_t *port, const char *text, size_t n)
{
	static const char not_a_host[] =
		"an endpoint is HOST:PORT; a host name has letters, digits, '-' and '.'";
	const char *name, *why;
	bool brackets, letter = false;
	uint16_t value;
	size_t name_n;

	why = split_port(&name, &name_n, &brackets, &value, text, n);
	if (why)
		return why;
	if (brackets || name_n >= TEXT_HOST_CHARS || name[0] == '-' || name[0] == '.')
		return not_a_host;
	for (size_t i = 0; i < name_n; i++) {
		letter |= is_alnum(name[i]) && !(name[i] >= '0' && name[i] <= '9');
		if (!is_alnum(name[i]) && name[i] != '-' && name[i] != '.' && name[i] != '_')
			return not_a_host;
	}
	/* "10.0.0.256" is a mistyped address, and getaddrinfo() reads "10.1" as 10.0.0.1. */
	if (!letter)
		return not_an_endpoint;
	memcpy(host, name, name_n);
	host[name_n] = 0;
	*port = value;
	return NULL;
}

const char *text_ifname(const char *text, size_t n)
{
	if (n == 0 || n >= TEXT_IFNAME_CHARS)
		return "an interface name has 1 to 15 characters";
	if (text[0] == '-')
		return "an interface name begins with no -";
	if ((n == 1 && text[0] == '.') || (n == 2 && text[0] == '.' && text[1] == '.'))
		return "an interface cannot be called . or ..";
	for (size_t i = 0; i < n; i++) {
		if (!is_alnum(text[i]) && !(text[i] && strchr("_=+.-", text[i])))
			return "an interface name has letters, digits and _ = + . -";
	}
	return NULL;
}

void text_from_addr(char out[TEXT_ADDR_CHARS], const struct wgh_addr *addr)
{
	int family = addr->family == WGH_IPV4 ? AF_INET : AF_INET6;

	if (!inet_ntop(family, addr->bytes, out, TEXT_ADDR_CHARS))
		out[0] = 0;
}

void text_from_prefix(char out[TEXT_PREFIX_CHARS], const struct wgh_prefix *prefix)
{
	char addr[TEXT_ADDR_CHARS];

	text_from_addr(addr, &prefix->addr);
	snprintf(out, TEXT_PREFIX_CHARS, "%s/%u", addr, prefix->bits);
}

void text_from_endpoint(char out[TEXT_ENDPOINT_CHARS], const struct wgh_endpoint *endpoint)
{
	char text[TEXT_ADDR_CHARS], scope[IFNAMSIZ + 1] = "";
	struct wgh_addr addr = {.family = endpoint->family};

	if (endpoint->family == WGH_UNSPEC) {
		strcpy(out, "(none)");
		return;
	}
	memcpy(addr.bytes, endpoint->addr, sizeof addr.bytes);
	text_from_addr(text, &addr);
	if (endpoint->family == WGH_IPV4) {
		snprintf(out, TEXT_ENDPOINT_CHARS, "%s:%u", text, endpoint->port);
		return;
	}
	if (endpoint->scope_id) {
		scope[0] = '%';
		/* The interface may be gone: its number is the name that remains. */
		if (!if_indextoname(endpoint->scope_id, scope + 1))
			snprintf(scope + 1, sizeof scope - 1, "%u", endpoint->scope_id);
	}
	snprintf(out, TEXT_ENDPOINT_CHARS, "[%s%s]:%u", text, scope, endpoint->port);
}

void text_from_peer(char out[TEXT_PEER_CHARS], const struct wgh_public_key *key)
{
	char base64[KEY_BASE64_CHARS + 1];

	key_to_base64(base64, key->bytes);
	memcpy(out, base64, TEXT_PEER_CHARS - 1);
	out[TEXT_PEER_CHARS - 1] = 0;
}

/* Bytes of the well-formed UTF-8 character at p, 0 if it is none (RFC 3629); its number goes to
 * *code. */
static size_t utf8_length(const uint8_t *p, size_t n, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = p[0] < 0x80 ? 1
		: p[0] < 0xc2	 ? 0
		: p[0] < 0xe0	 ? 2
		: p[0] < 0xf0	 ? 3
		: p[0] < 0xf5	 ? 4
				 : 0;

	if (len <= 1 || len > n) {
		*code = p[0];
		return len == 1;
	}
	*code = p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (p[i] & 0x3f);
	}
	if (*code < least[len] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return len;
}

/* No control characters, and none that reorders the text around it (Unicode's bidirectional
 * controls). */
static bool printable(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		return false;
	return !(code >= 0x200b && code <= 0x200f) && !(code >= 0x2028 && code <= 0x202e) &&
		!(code >= 0x2060 && code <= 0x206f) && code != 0xfeff && code != 0x061c;
}

void text_escape(char *out, size_t out_size, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	size_t used = 0, safe = 0; /* safe: up to here "..." still fits behind */

	for (size_t i = 0; i < n;) {
		char piece[8];
		uint32_t code;
		size_t len = utf8_length(p + i, n - i, &code), piece_n;

		if (len && printable(code)) {
			memcpy(piece, p + i, len);
			piece_n = len;
		} else {
			len = 1;
			piece_n = (size_t)snprintf(piece, sizeof piece, "\\x%02x", p[i]);
		}
		if (used + piece_n >= out_size) {
			strcpy(out + safe, "...");
			return;
		}
		memcpy(out + used, piece, piece_n);
		used += piece_n;
		if (used + 3 < out_size)
			safe = used;
		i += len;
	}
	out[used] = 0;
}

bool text_is_near(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), head = 0, tail = 0;

	while (a[head] && a[head] == b[head])
		head++;
	while (tail < n - head && tail < m - head && a[n - 1 - tail] == b[m - 1 - tail])
		tail++;
	n -= head + tail;
	m -= head + tail;
	return (n <= 1 && m <= 1) ||
		(n == 2 && m == 2 && a[head] == b[head + 1] && a[head + 1] == b[head]);
}

bool text_is_line(const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			return false;
		if (p[i] == 0xc2 && i + 1 < n && p[i + 1] < 0xa0) /* U+0080 to U+009F */
			return false;
	}
	return true;
}

bool text_is_private(const struct wgh_addr *addr)
{
	const uint8_t *b = addr->bytes;

	return addr->family == WGH_IPV4 &&
		(b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
			(b[0] == 192 && b[1] == 168) || (b[0] == 100 && (b[1] & 0xc0) == 64));
}

void text_prefix_mask(struct wgh_prefix *prefix)
{
	for (unsigned i = 0; i < sizeof prefix->addr.bytes; i++) {
		unsigned keep = prefix->bits > i * 8 ? prefix->bits - i * 8 : 0;

		if (keep < 8)
			prefix->addr.bytes[i] &= (uint8_t)(0xff00u >> keep);
	}
}

bool text_prefix_covers(const struct wgh_prefix *a, const struct wgh_prefix *b)
{
	struct wgh_prefix x = *a, y = *b;

	if (x.addr.family != y.addr.family || x.bits > y.bits)
		return false;
	y.bits = x.bits;
	text_prefix_mask(&x);
	text_prefix_mask(&y);
	return !memcmp(&x, &y, sizeof x);
}
