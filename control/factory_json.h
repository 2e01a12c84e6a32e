/* factory_json.h - answers of the FoundriesFactory API to structs, and the one body we send.
 *
 * Every byte is hostile: json_text.h's limits hold, at most FACTORY_ITEMS_MAX items, names without
 * control characters and at most FACTORY_NAME_BYTES. An item that is wrong is kept with the reason
 * and the rest is used. The caller refuses bodies above FACTORY_BODY_MAX while they arrive.
 * Threads: any; pure. Errors: -EINVAL not such an answer, -E2BIG a limit, -ENOMEM; one line,
 * printable, nothing of the body in it.
 */
#ifndef CONTROL_FACTORY_JSON_H
#define CONTROL_FACTORY_JSON_H

#include "control/factory_server_file.h"

#define FACTORY_BODY_MAX (16u << 20)
#define FACTORY_ITEMS_MAX 100000
#define FACTORY_NAME_BYTES 255
#define FACTORY_ERROR_CHARS 513

/* ---- wireguard-ips ---- */

struct factory_peer {
	char *name; /* "" where there is none; valid UTF-8, no control characters */
	const char *refused; /* a phrase, static: enabled, but cannot be a peer. NULL: fine */
	bool enabled;
	bool has_key;
	struct wgh_public_key public_key;
	struct wgh_addr
		address; /* WGH_UNSPEC: none, or none that is valid. Also of disabled ones */
};

struct factory_peers {
	struct factory_peer *items;
	size_t n, cap;
	/* The answer was an array. False (null, a wrapper object): what it lacks is believed only
	 * when it is said twice, see vanish_guard_accepts(). */
	bool certain;
	char *next; /* a further page, as the answer has it, or NULL */
};

/* A page more; *peers begins zeroed. On an error it is what it was. */
MUST_CHECK int factory_peers_add(struct factory_peers *peers, const char *body, size_t n,
	struct notes *notes, struct wgh_error *error);
void factory_peers_fini(struct factory_peers *peers);

/* ---- config of a factory or a device ---- */

struct factory_file {
	char *value; /* NULL: the current element has no such file */
	bool unencrypted;
	bool on_changed; /* is the handler that devices need */
};

/* The file of this name in the current state: element 0 of a config's history, a bare element (the
 * answer to a PATCH) or a device's active-config. No element at all is a config without files. */
MUST_CHECK int factory_file_find(struct factory_file *file, const char *body, size_t n,
	const char *name, struct wgh_error *error);
void factory_file_fini(struct factory_file *file);
/* The hub in a factory's config. -ENOENT: none is published; -EINVAL: also when it is encrypted. */
MUST_CHECK int factory_server_find(struct server_file *server, const char *body, size_t n,
	struct notes *notes, struct wgh_error *error);
/* PATCH body for one file, with unencrypted and on-changed as devices need them. value must come
 * from server_file_write() or device_file_write(). free() it. -ENOMEM. */
MUST_CHECK int factory_patch_body(
	char **body, size_t *n, const char *name, const char *value, const char *reason);

/* Where a page's next leads, if that is the API's own origin (scheme, host, port). free() *url.
 * -EPERM: elsewhere; -EINVAL: no such URL; -ENOMEM. */
MUST_CHECK int factory_next_url(char **url, const char *api_base, const char *next);

/* ---- errors, and what a login answers ---- */

struct factory_error {
	char text[FACTORY_ERROR_CHARS]; /* printable, for the log; "" where the body has nothing */
	char code[64]; /* OAuth: "invalid_grant", "authorization_pending"; or "" */
};

struct factory_error_rules {
	bool members_only; /* a body that may hold tokens is never quoted as it stands */
	/* Stars over secrets, before anything is cut or escaped; or NULL. */
	void (*hide)(void *arg, char *text);
	void *arg;
};

/* Never fails: any body, also HTML or nothing. rules: or NULL. */
void factory_error_parse(struct factory_error *error, const char *body, size_t n,
	const struct factory_error_rules *rules);

/* Answer of the device authorization grant (RFC 8628). */
struct factory_grant {
	char *device_code; /* secret */
	char *user_code, *verification_uri; /* printable */
	unsigned interval_s, expires_in_s; /* within 1..60, 1..3600 */
};

MUST_CHECK int factory_grant_parse(
	struct factory_grant *grant, const char *body, size_t n, struct wgh_error *error);
void factory_grant_fini(struct factory_grant *grant); /* wipes */

#endif
