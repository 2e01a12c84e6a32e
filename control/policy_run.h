/* policy_run.h - the policy of a running hub: its file and options, and what the device was told.
 *
 * policy_run_amend() puts policy and groups into the change that brings the peers, so that there is
 * no moment at which a peer is there without them. A file that is wrong, or that asks for too much,
 * leaves what was before; new peers then have their built-in group. Threads: the main thread.
 * Ownership: pointers in a world are borrowed for the call.
 */
#ifndef CONTROL_POLICY_RUN_H
#define CONTROL_POLICY_RUN_H

#include "control/note_once.h"
#include "control/policy_plan.h"

struct policy_options {
	const char *path; /* or NULL: no file */
	bool device_to_device;
	bool device_to_host;
	const char *host_ports; /* of device_to_host: "22,80-90"; NULL: everything */
};

struct policy_run;

/* NULL, or what is wrong with the list of ports. */
MUST_CHECK const char *policy_ports_wrong(const char *ports);
/* Reads the file. Errors: the first is in *error, all are in the log. */
MUST_CHECK int policy_run_new(
	struct policy_run **run, const struct policy_options *options, struct wgh_error *error);
void policy_run_free(struct policy_run *run);
/* Reads the file again. On an error the present one stays. */
MUST_CHECK int policy_run_reload(struct policy_run *run, struct wgh_error *error);

/* What was asked for does not hold: for the log and the events. */
void policy_run_refused(const struct policy_run *run, const char *why);

/* What is to be applied: change's peers, then groups; and the policy where it is another one than
 * the device has. */
struct policy_amended {
	struct wgh_change change;
	struct wgh_peer_change *peers;
	size_t peers_cap;
	struct policy_plan *plan; /* NULL: it could not be made, and the old one stays */
};

/* running: from before the change. -ENOMEM. policy_amended_fini() it in any case. */
MUST_CHECK int policy_run_amend(struct policy_run *run, struct policy_amended *out,
	const struct wgh_change *change, const struct policy_world *world,
	const struct wgh_snapshot *running);
bool policy_amended_is_empty(const struct policy_amended *amended);
/* The device has taken it. */
void policy_run_applied(struct policy_run *run, struct policy_amended *amended);
/* Wipes. */
void policy_amended_fini(struct policy_amended *amended);

/* For `get=wghub`: the nth line of what this hub was told, "policy=NUMBER TEXT"; NULL: no more. */
const char *policy_run_line(struct policy_run *run, size_t index, char *room, size_t size);
/* A class for people: "device, lab". */
const char *policy_run_group(struct policy_run *run, unsigned class, char *room, size_t size);
/* The address that probes come from, WGH_UNSPEC: none. */
struct wgh_addr policy_run_probe(const struct policy_run *run);

/* The world of a hub without a Factory: the file's peers by name, and those that run besides. conf
 * may be NULL. free() the peers. -ENOMEM. */
MUST_CHECK int policy_world_of_conf(
	struct policy_world *world, const struct conf *conf, const struct wgh_snapshot *running);

#endif
