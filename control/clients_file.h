/* clients_file.h - factory-clients.conf: who may connect besides devices. "KEY ADDRESS [name]" a
 * line.
 *
 * Reading uses every good line and notes the others by number; of a key or an address given twice
 * the first counts. Changing keeps all other lines byte for byte. Format: the DynamicDevices fork
 * of the Python daemon, which must go on reading ours. Threads: any; pure but for _read, _add,
 * _remove, _replace.
 */
#ifndef CONTROL_CLIENTS_FILE_H
#define CONTROL_CLIENTS_FILE_H

#include "control/notes.h"
#include "wghub_device.h"

#define CLIENTS_BYTES_MAX (16u << 20)
#define CLIENTS_MAX 100000
#define CLIENT_NAME_BYTES 255

struct client {
	struct wgh_public_key public_key;
	struct wgh_addr address;
	char *name; /* the comment, "" if none: UTF-8 without control characters */
	unsigned line;
};

struct clients {
	struct client *items;
	size_t n, cap;
	struct notes errors; /* "PATH:LINE: what is wrong" */
};

/* path is for the errors. -ENOMEM; *clients is then empty. */
MUST_CHECK int clients_parse(struct clients *clients, const char *path, const char *text, size_t n);
/* -ENOENT and others: the caller keeps its last list and warns, or has none at the start. */
MUST_CHECK int clients_read(struct clients *clients, const char *path, struct wgh_error *error);
void clients_fini(struct clients *clients);

/* Text to text; free() *out. -EEXIST: the key is there; -EADDRINUSE: the address is; -EINVAL: a
 * name that would not be one line; -ENOENT: no such key. */
MUST_CHECK int clients_text_add(char **out, size_t *out_n, const char *text, size_t n,
	const struct client *client, struct wgh_error *error);
MUST_CHECK int clients_text_remove(char **out, size_t *out_n, const char *text, size_t n,
	const struct wgh_public_key *key, struct wgh_error *error);
/* The same for the file: under its lock, by rename, 0600 where it is new. */
MUST_CHECK int clients_remove(
	const char *path, const struct wgh_public_key *key, struct wgh_error *error);
/* The key's old line goes, if there is one, and the new one comes. */
MUST_CHECK int clients_replace(
	const char *path, const struct client *client, struct wgh_error *error);

#endif
