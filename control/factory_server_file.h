/* factory_server_file.h - the two texts that a factory's devices run as shell: `wireguard-server`
 * (the hub, in the factory's config) and `wireguard-client` (a device, in its own).
 *
 * Lists of key=value. Readers are tolerant: blanks, CR, comments, unknown keys (a note), the last
 * of repeated keys. Writers are strict, because a root shell on every device reads what they write:
 * nothing but these keys, in this order, and only values of the shapes below. Threads: any; pure.
 */
#ifndef CONTROL_FACTORY_SERVER_FILE_H
#define CONTROL_FACTORY_SERVER_FILE_H

#include "control/notes.h"
#include "control/text.h"
#include "wghub_device.h"

#define SERVER_FILE_NAME "wireguard-server"
#define DEVICE_FILE_NAME "wireguard-client"
#define FACTORY_FILE_CHARS 512 /* the longest text of either, and its zero byte */

struct server_file {
	char host[TEXT_HOST_CHARS]; /* name or address, IPv6 without brackets */
	uint16_t port;
	struct wgh_addr address; /* server_address: the hub's inner address, IPv4 */
	struct wgh_public_key public_key;
	bool enabled;
};

/* -EINVAL: a key is missing or its value wrong; *file is untouched. notes may be NULL. */
MUST_CHECK int server_file_parse(struct server_file *file, const char *text, size_t n,
	struct notes *notes, struct wgh_error *error);
/* -EINVAL: not of the strict shape, nothing is written. */
MUST_CHECK int server_file_write(
	char out[FACTORY_FILE_CHARS], const struct server_file *file, struct wgh_error *error);
/* Would a reader see the same in both? Host names do not depend on case. */
MUST_CHECK bool server_file_equal(const struct server_file *a, const struct server_file *b);
/* "host:port", "192.0.2.1:5555", "[2001:db8::1]:5555" in its strict shape; and back. */
MUST_CHECK const char *server_file_endpoint(struct server_file *file, const char *text, size_t n);
#define SERVER_ENDPOINT_CHARS (TEXT_HOST_CHARS + 8)
void server_file_endpoint_text(char out[SERVER_ENDPOINT_CHARS], const struct server_file *file);

struct device_file {
	struct wgh_addr address; /* family WGH_UNSPEC: none yet */
	bool has_public_key;
	struct wgh_public_key public_key;
	bool enabled;
};

/* Missing keys are no error here (a device writes its key first); a wrong value is a note, and as
 * if missing. */
void device_file_parse(struct device_file *file, const char *text, size_t n, struct notes *notes);
/* address and pubkey as fioctl writes them, enabled=0 only where it is off. -EINVAL: no key. */
MUST_CHECK int device_file_write(
	char out[FACTORY_FILE_CHARS], const struct device_file *file, struct wgh_error *error);

#endif
