/* conf.h - a hub's configuration file, in the format of wg-quick(8).
 *
 * Known: [Interface] PrivateKey, ListenPort, FwMark, Address, MTU, Table (off or auto); [Peer]
 * PublicKey, PresharedKey, AllowedIPs, Endpoint, PersistentKeepalive. DNS and SaveConfig are
 * ignored with a note. PreUp, PostUp, PreDown and PostDown are refused: wghub runs no commands. A
 * peer's name: "# friendly_name = X" inside its section, or else the comment line directly before
 * [Peer] or the first one inside that is no commented-out setting. Errors: one line with file,
 * line, key and what to do. Keys' values are never in it. Bounds: CONF_BYTES_MAX. Ownership: a
 * struct conf is the caller's; conf_free() wipes its keys.
 */
#ifndef CONTROL_CONF_H
#define CONTROL_CONF_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define CONF_BYTES_MAX (64u << 20)
#define CONF_NAME_BYTES 96

struct conf_peer {
	struct wgh_public_key public_key;
	uint8_t preshared_key[WGH_KEY_BYTES]; /* zero: none */
	struct wgh_endpoint endpoint; /* family WGH_UNSPEC: none, or a name */
	char *endpoint_host; /* a name to be resolved, or NULL */
	uint16_t endpoint_port; /* of endpoint_host */
	uint16_t keepalive_s;
	unsigned line; /* of its [Peer] */
	char *name; /* printable (text_escape()), or NULL */
	struct wgh_prefix *allowed_ips;
	unsigned *allowed_lines; /* for messages */
	size_t n_allowed_ips;
};

struct conf {
	uint8_t private_key[WGH_KEY_BYTES];
	uint16_t listen_port; /* 0: any */
	uint32_t fwmark;
	uint32_t mtu_bytes; /* 0: the default */
	bool table_off; /* make no routes */
	struct wgh_prefix *addresses;
	size_t n_addresses;
	struct conf_peer *peers;
	size_t n_peers;
	char **notes; /* one line each, for the log */
	size_t n_notes;
};

/* path is for messages only. -EINVAL: *error says where and what; -ENOMEM. */
MUST_CHECK int conf_parse(struct conf **conf, const char *path, const char *text, size_t len_bytes,
	struct wgh_error *error);
/* Reads a file that nobody but its owner and group may read. */
MUST_CHECK int conf_read(struct conf **conf, const char *path, struct wgh_error *error);
void conf_free(struct conf *conf);

#endif
