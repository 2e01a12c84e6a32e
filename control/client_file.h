/* client_file.h - the file that an engineer gets: for wg-quick, NetworkManager and the WireGuard
 * apps of Windows, macOS and phones, and for a QR code.
 *
 * Plain ASCII, LF, only keys that all of them know: no MTU, no DNS. Values that come from a socket
 * are checked here, because wg-quick runs as root whatever a line says. Threads: any; pure. The
 * text holds a private key: client_file_free() wipes it.
 */
#ifndef CONTROL_CLIENT_FILE_H
#define CONTROL_CLIENT_FILE_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define CLIENT_FILE_PREFIXES_MAX 64

struct client_file {
	const char *factory, *name; /* for the comment; anything but ASCII becomes '?' */
	const uint8_t *private_key; /* WGH_KEY_BYTES; NULL: whoever has it writes it in */
	const char *address; /* "10.42.42.253" */
	const char *hub_key; /* base64 */
	const char *endpoint; /* "hub.example.net:5555" */
	const char *allowed_ips[CLIENT_FILE_PREFIXES_MAX];
	size_t n_allowed_ips;
};

/* free() with client_file_free(). -EINVAL: a value is missing or is not what it should be; -ENOMEM.
 */
MUST_CHECK int client_file_text(
	char **text, size_t *n, const struct client_file *file, struct wgh_error *error);
void client_file_free(char *text, size_t n);

#endif
