/* factory_server_file.c - see factory_server_file.h. What is written is read back and compared
 * before it is handed out: one more look at bytes that root's shell runs. */
#include "control/factory_server_file.h"

#include "control/error.h"
#include "control/slice.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_CHARS_STRICT "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-"
#define IPV6_CHARS_STRICT "0123456789abcdefABCDEF:"

/* ---- lines ---- */

enum key { KEY_ENDPOINT, KEY_SERVER_ADDRESS, KEY_ADDRESS, KEY_PUBKEY, KEY_ENABLED, N_KEYS };

static const char *const key_names[N_KEYS] = {
	"endpoint", "server_address", "address", "pubkey", "enabled"};

/* The last value of each key; at NULL: it is not there. Only these keys are no surprise. */
static void read_lines(struct slice values[N_KEYS], unsigned known, const char *text, size_t n,
	const char *file_name, struct notes *notes)
{
	struct slice rest = {text, n}, line;
	char shown[40];

	while (slice_line(&rest, &line, NULL)) {
		const char *equals;
		struct slice key;
		unsigned i;

		line = slice_trim(line);
		if (line.n == 0 || line.at[0] == '#')
			continue;
		equals = memchr(line.at, '=', line.n);
		key = slice_trim(
			(struct slice){line.at, equals ? (size_t)(equals - line.at) : line.n});
		for (i = 0; i < N_KEYS; i++) {
			if (equals && known & 1u << i && slice_is(key, key_names[i]))
				break;
		}
		if (i < N_KEYS) {
			values[i] = slice_trim((struct slice){
				equals + 1, line.n - (size_t)(equals + 1 - line.at)});
			continue;
		}
		text_escape(shown, sizeof shown, key.at, key.n);
		notes_add(notes, "%s: %s %s is ignored", file_name,
			equals ? "the unknown key" : "the line without =", shown);
	}
}

static bool is_off(struct slice value)
{
	return value.at && slice_is(value, "0");
}

static const char *read_key(struct wgh_public_key *out, struct slice value)
{
	struct wgh_public_key key;

	if (!key_from_base64(key.bytes, value.at, value.n) ||
		ct_is_zero(key.bytes, sizeof key.bytes))
		return "a key is 44 base64 characters";
	*out = key;
	return NULL;
}

/* ---- endpoints ---- */

static const char *read_endpoint(struct server_file *file, const char *text, size_t n)
{
	char host[TEXT_HOST_CHARS];
	struct wgh_endpoint endpoint;
	struct wgh_addr addr = {0};
	uint16_t port;
	const char *why;

	if (!text_endpoint(&endpoint, text, n)) {
		if (endpoint.scope_id)
			return "an address with an interface's name is of no use to others";
		addr.family = endpoint.family;
		memcpy(addr.bytes, endpoint.addr, sizeof addr.bytes);
		text_from_addr(file->host, &addr);
		file->port = endpoint.port;
		return NULL;
	}
	why = text_host_port(host, &port, text, n);
	if (why)
		return why;
	memcpy(file->host, host, sizeof host);
	file->port = port;
	return NULL;
}

const char *server_file_endpoint(struct server_file *file, const char *text, size_t n)
{
	bool ipv6 = n && text[0] == '[';
	const char *colon = n ? memrchr(text, ':', n) : NULL;
	size_t host_n = colon ? (size_t)(colon - text) : 0, from = ipv6 ? 1 : 0;

	if (host_n <= 2 * from)
		return "an endpoint is HOST:PORT, or [IPV6-ADDRESS]:PORT";
	for (size_t i = from; i < host_n - from; i++) {
		if (!text[i] || !strchr(ipv6 ? IPV6_CHARS_STRICT : HOST_CHARS_STRICT, text[i]))
			return "a published host has letters, digits, '-' and '.' only";
	}
	return read_endpoint(file, text, n);
}

void server_file_endpoint_text(char out[SERVER_ENDPOINT_CHARS], const struct server_file *file)
{
	bool ipv6 = strchr(file->host, ':') != NULL;

	snprintf(out, SERVER_ENDPOINT_CHARS, ipv6 ? "[%s]:%u" : "%s:%u", file->host, file->port);
}

/* ---- wireguard-server ---- */

/* With a prefix length the file breaks `fioctl ... enable`, but the devices may well run with it.
 */
static const char *read_server_address(
	struct wgh_addr *out, struct slice value, struct notes *notes)
{
	struct wgh_prefix prefix;

	if (text_prefix(&prefix, value.at, value.n) || prefix.addr.family != WGH_IPV4)
		return "it must be an IPv4 address, as 10.42.42.1";
	if (memchr(value.at, '/', value.n))
		notes_add(notes,
			SERVER_FILE_NAME
			": server_address has a prefix length, which stops fioctl from enabling "
			"devices");
	*out = prefix.addr;
	return NULL;
}

int server_file_parse(struct server_file *file, const char *text, size_t n, struct notes *notes,
	struct wgh_error *error)
{
	static const enum key required[] = {KEY_ENDPOINT, KEY_SERVER_ADDRESS, KEY_PUBKEY};
	struct slice values[N_KEYS] = {{0}};
	struct server_file f = {0};
	char shown[80];

	read_lines(values,
		1u << KEY_ENDPOINT | 1u << KEY_SERVER_ADDRESS | 1u << KEY_PUBKEY |
			1u << KEY_ENABLED,
		text, n, SERVER_FILE_NAME, notes);
	for (unsigned i = 0; i < sizeof required / sizeof *required; i++) {
		struct slice value = values[required[i]];
		const char *why = !value.at	      ? "it is missing"
			: required[i] == KEY_ENDPOINT ? read_endpoint(&f, value.at, value.n)
			: required[i] == KEY_PUBKEY   ? read_key(&f.public_key, value)
						    : read_server_address(&f.address, value, notes);

		if (!why)
			continue;
		text_escape(shown, sizeof shown, value.at ? value.at : "", value.n);
		error_set(
			error, SERVER_FILE_NAME ": %s=%s: %s", key_names[required[i]], shown, why);
		return -EINVAL;
	}
	f.enabled = !is_off(values[KEY_ENABLED]);
	*file = f;
	return 0;
}

bool server_file_equal(const struct server_file *a, const struct server_file *b)
{
	return !strcasecmp(a->host, b->host) && a->port == b->port && a->enabled == b->enabled &&
		!memcmp(&a->address, &b->address, sizeof a->address) &&
		!memcmp(&a->public_key, &b->public_key, sizeof a->public_key);
}

int server_file_write(
	char out[FACTORY_FILE_CHARS], const struct server_file *file, struct wgh_error *error)
{
	char endpoint[SERVER_ENDPOINT_CHARS], address[TEXT_ADDR_CHARS], key[KEY_BASE64_CHARS + 1];
	struct server_file check;
	struct wgh_error ignored;
	const char *why;

	server_file_endpoint_text(endpoint, file);
	why = server_file_endpoint(&check, endpoint, strlen(endpoint));
	if (why) {
		text_escape(address, sizeof address, endpoint, strlen(endpoint));
		error_set(error, "endpoint %s: %s", address, why);
		return -EINVAL;
	}
	if (file->address.family != WGH_IPV4) {
		error_set(error, "the hub's inner address must be an IPv4 address");
		return -EINVAL;
	}
	text_from_addr(address, &file->address);
	key_to_base64(key, file->public_key.bytes);
	snprintf(out, FACTORY_FILE_CHARS, "endpoint=%s\nserver_address=%s\npubkey=%s%s", endpoint,
		address, key, file->enabled ? "" : "\nenabled=0");
	if (server_file_parse(&check, out, strlen(out), NULL, &ignored) ||
		!server_file_equal(&check, file)) {
		error_set(error, "this hub cannot be published: its key or endpoint is not valid");
		out[0] = 0;
		return -EINVAL;
	}
	return 0;
}

/* ---- wireguard-client ---- */

void device_file_parse(struct device_file *file, const char *text, size_t n, struct notes *notes)
{
	struct slice values[N_KEYS] = {{0}};

	*file = (struct device_file){0};
	read_lines(values, 1u << KEY_ADDRESS | 1u << KEY_PUBKEY | 1u << KEY_ENABLED, text, n,
		DEVICE_FILE_NAME, notes);
	if (values[KEY_ADDRESS].at &&
		text_peer_addr(&file->address, values[KEY_ADDRESS].at, values[KEY_ADDRESS].n))
		notes_add(notes, DEVICE_FILE_NAME ": address is not an IPv4 address");
	if (values[KEY_PUBKEY].at) {
		file->has_public_key = !read_key(&file->public_key, values[KEY_PUBKEY]);
		if (!file->has_public_key)
			notes_add(notes, DEVICE_FILE_NAME ": pubkey is not a key");
	}
	file->enabled = !is_off(values[KEY_ENABLED]);
}

int device_file_write(
	char out[FACTORY_FILE_CHARS], const struct device_file *file, struct wgh_error *error)
{
	char address[TEXT_ADDR_CHARS + 9] = "", key[KEY_BASE64_CHARS + 1];

	if (!file->has_public_key) {
		error_set(error,
			"the device has no VPN key yet: it makes one at its next check-in "
			"if its image has the VPN option");
		return -EINVAL;
	}
	if (file->address.family != WGH_UNSPEC) {
		char text[TEXT_ADDR_CHARS];

		if (file->address.family != WGH_IPV4) {
			error_set(error, "a device's address must be an IPv4 address");
			return -EINVAL;
		}
		text_from_addr(text, &file->address);
		snprintf(address, sizeof address, "address=%s\n", text);
	}
	key_to_base64(key, file->public_key.bytes);
	snprintf(out, FACTORY_FILE_CHARS, "%spubkey=%s%s", address, key,
		file->enabled ? "" : "\nenabled=0");
	return 0;
}
