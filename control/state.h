/* state.h - what the hub knew when it last knew it: one file, so that the VPN is up before the
 * first answer of the API, or without one.
 *
 * JSON, mode 0600, written whole by rename and fsync. Holds the last good set of devices and
 * clients with their endpoints, the published hub, and when the last sync was. No secret is in it.
 * Damage never stops a start: the file is moved aside, and the state is empty. Threads: any;
 * state_to_text() and state_parse() are pure, the others wait for the disk.
 */
#ifndef CONTROL_STATE_H
#define CONTROL_STATE_H

#include "control/factory_server_file.h"
#include "control/origin.h"
#include "wghub_device.h"

#define STATE_BYTES_MAX (64u << 20)

struct state_peer {
	struct wgh_public_key public_key;
	enum origin origin;
	struct wgh_addr address;
	char *name; /* "" if none */
	struct wgh_endpoint endpoint; /* without the local address, which may have changed */
	bool reserved; /* a disabled device: only its address is known */
};

struct state {
	char *factory; /* NULL: of none; a state of another factory is not for this hub */
	bool has_server;
	struct server_file server;
	double last_sync_s; /* CLOCK_REALTIME; 0: never */
	struct state_peer *peers;
	size_t n_peers, cap;
};

/* A peer more, zeroed; the caller fills it. NULL: no memory. */
MUST_CHECK struct state_peer *state_add(struct state *state);
/* free() *text. -ENOMEM. */
MUST_CHECK int state_to_text(char **text, size_t *n, const struct state *state);
/* -EINVAL: damaged. A peer that is wrong is a note, the rest is used. */
MUST_CHECK int state_parse(struct state *state, const char *text, size_t n, struct notes *notes,
	struct wgh_error *error);
/* -ENOENT: there is none yet. Any error: *state is empty and may be used. A damaged file is kept as
 * "PATH.damaged", and the error says so. */
MUST_CHECK int state_load(
	struct state *state, const char *path, struct notes *notes, struct wgh_error *error);
MUST_CHECK int state_save(const struct state *state, const char *path, struct wgh_error *error);
void state_fini(struct state *state);

#endif
