/* factory_hub_internal.h - what the files of factory_hub.h share. For nobody else. */
#ifndef CONTROL_FACTORY_HUB_INTERNAL_H
#define CONTROL_FACTORY_HUB_INTERNAL_H

#include "control/clients_change.h"
#include "control/clients_watch.h"
#include "control/factory_hub.h"
#include "control/factory_save.h"
#include "control/pending.h"
#include "control/wanted.h"

#include <stdio.h>

/* A peer with a session: its last handshake is no older than its key may be. */
#define ONLINE_S 180

/* A request for a sync that waits for the end of a round which began after it. */
struct sync_waiter {
	struct sync_waiter *next;
	struct uapi_reply *reply;
	unsigned n_rounds;
	size_t added, changed, removed; /* the totals when it came */
};

struct factory_hub {
	uv_loop_t *loop;
	struct wgh_device *device;
	struct names *names;
	struct policy_run *policy;
	char *factory, *state_path, *clients_path;
	struct factory_http_options http; /* its texts are borrowed until the end */
	const struct wgh_prefix *ranges;
	size_t n_ranges;
	uint64_t interval_ms;
	struct troubles troubles;
	struct wanted *wanted;
	struct wgh_public_key own_key;
	bool has_server;
	struct server_file server; /* as published when it was last ours and readable */
	struct wgh_public_key published_key; /* zero: none was seen yet */
	bool linked; /* the interface has its addresses and is up */
	double last_sync_s;
	struct factory_peers listed; /* wireguard-ips as it was last believed */
	struct vanish_guard guard;
	struct factory_poll *poll;
	struct clients_watch *clients;
	struct clients_change *changes;
	struct notes clients_notes; /* on the lines that are left out */
	struct factory_save *save;
	uv_timer_t save_timer;
	size_t n_endpoints_saved;
	unsigned n_looks;
	/* for those who ask */
	double last_round_s; /* 0: none ended yet */
	enum factory_outcome outcome; /* of the last round */
	char outcome_why[800];
	size_t n_added, n_changed, n_removed; /* since the start */
	struct sync_waiter *waiters;
	struct pending pending;
};

double factory_hub_now_s(clockid_t clock);
/* The device becomes what is wanted. source: for the log. */
void factory_hub_apply(struct factory_hub *hub, const char *source);

/* ---- factory_policy.c ---- */

/* The change, with groups and policy in it. running: from before it. */
MUST_CHECK int factory_policy_apply(struct factory_hub *hub, const struct wgh_change *change,
	const struct wgh_snapshot *running, struct wgh_error *error);

/* ---- factory_ask.c: requests of our own ---- */

void factory_ask_round_ended(struct factory_hub *hub);
/* Those that wait get an answer. */
void factory_ask_end(struct factory_hub *hub);

/* ---- factory_tell.c: answers as lines ---- */

void factory_tell_status(FILE *out, struct factory_hub *hub, const struct wgh_snapshot *running);
/* One section for each peer of these origins, refused ones and, of devices, all that the API lists.
 */
int factory_tell_peers(FILE *out, const struct factory_hub *hub, unsigned origins,
	const struct wgh_snapshot *running);
void factory_tell_pending(FILE *out, struct factory_hub *hub);
/* What a client's file needs besides its own key and address. */
void factory_tell_hub(FILE *out, const struct factory_hub *hub);

/* ---- factory_clients.c: clients come and go by request ---- */

void factory_client_add(
	struct factory_hub *hub, const struct uapi_request *request, struct uapi_reply *reply);
void factory_client_remove(
	struct factory_hub *hub, const struct uapi_request *request, struct uapi_reply *reply);
/* May this key have this address as a client, whatever it is at present? If not, *why is one line.
 */
MUST_CHECK bool factory_client_may(const struct factory_hub *hub, const char *name,
	const struct wgh_public_key *key, const struct wgh_addr *address, char why[REFUSAL_CHARS]);

#endif
