/* client_file.c - see client_file.h. */
#include "control/client_file.h"

#include "control/error.h"
#include "control/factory_server_file.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMENT_CHARS 160
#define PREFIX_ROOM (TEXT_PREFIX_CHARS + 2)

/* One line of printable ASCII. */
static void comment_text(char out[COMMENT_CHARS], const char *text)
{
	size_t n = 0;

	for (; text && *text && n < COMMENT_CHARS - 1; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c & 0xc0) == 0x80)
			continue; /* the rest of a letter */
		out[n++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	out[n] = 0;
}

static const char *check(const struct client_file *file)
{
	struct server_file server;
	struct wgh_public_key key;
	struct wgh_prefix prefix;
	struct wgh_addr addr;

	if (!file->address || text_peer_addr(&addr, file->address, strlen(file->address)))
		return "no address";
	if (!file->hub_key || !key_from_base64(key.bytes, file->hub_key, strlen(file->hub_key)))
		return "no public key of the hub";
	if (!file->endpoint ||
		server_file_endpoint(&server, file->endpoint, strlen(file->endpoint)))
		return "no endpoint: the factory publishes no hub yet";
	if (file->n_allowed_ips == 0)
		return "no network";
	for (size_t i = 0; i < file->n_allowed_ips; i++) {
		if (text_prefix(&prefix, file->allowed_ips[i], strlen(file->allowed_ips[i])))
			return "a network that is none";
	}
	return NULL;
}

static void append(char **at, const char *text)
{
	*at = stpcpy(*at, text);
}

int client_file_text(
	char **text, size_t *n, const struct client_file *file, struct wgh_error *error)
{
	char factory[COMMENT_CHARS], name[COMMENT_CHARS], key[KEY_BASE64_CHARS + 1], *at;
	const char *why = check(file);

	*text = NULL;
	*n = 0;
	if (why) {
		error_set(error, "no client file can be made: the hub gives %s", why);
		return -EINVAL;
	}
	comment_text(factory, file->factory);
	comment_text(name, file->name);
	*text = at = malloc(1024 + 2 * COMMENT_CHARS + strlen(file->endpoint) * 2 +
		file->n_allowed_ips * PREFIX_ROOM);
	if (!at) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	at += sprintf(at, "# %s VPN for %s, hub %.*s\n[Interface]\nPrivateKey = ", factory, name,
		(int)(strrchr(file->endpoint, ':') - file->endpoint), file->endpoint);
	if (file->private_key) {
		key_to_base64(key, file->private_key);
		append(&at, key);
		secret_wipe(key, sizeof key);
	} else {
		append(&at, "REPLACE-THIS-BY-YOUR-PRIVATE-KEY");
	}
	at += sprintf(at,
		"\nAddress = %.*s/32\n\n[Peer]\nPublicKey = %s\nEndpoint = %s\nAllowedIPs = ",
		(int)strcspn(file->address, "/"), file->address, file->hub_key, file->endpoint);
	for (size_t i = 0; i < file->n_allowed_ips; i++) {
		append(&at, i ? ", " : "");
		append(&at, file->allowed_ips[i]);
	}
	append(&at, "\nPersistentKeepalive = 25\n");
	*n = (size_t)(at - *text);
	return 0;
}

void client_file_free(char *text, size_t n)
{
	if (text)
		secret_wipe(text, n);
	free(text);
}
