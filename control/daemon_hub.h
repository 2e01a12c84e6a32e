/* daemon_hub.h - the hub that daemon.c runs as a process, in its three parts: daemon.c (life and
 * signals), daemon_open.c (what is opened, and what that asks for), daemon_conf.c (conf file and
 * policy). For these three alone.
 *
 * Threads: the main loop's. Ownership: daemon.c begins and ends all that is in it.
 */
#ifndef CONTROL_DAEMON_HUB_H
#define CONTROL_DAEMON_HUB_H

#include "control/daemon.h"
#include "control/names.h"
#include "control/resolve.h"
#include "control/service.h"

enum { SIGNAL_TERM, SIGNAL_INT, SIGNAL_HUP, N_SIGNALS };

struct daemon_hub {
	const struct daemon_options *options;
	uv_loop_t loop;
	uv_signal_t signals[N_SIGNALS];
	struct service service;
	uv_timer_t watchdog;
	struct wgh_device *device;
	struct uapi_server *uapi;
	struct resolver *resolver;
	struct names *names;
	struct conf *conf; /* as it was applied last, or NULL */
	struct policy_run *policy;
	struct factory_hub *factory; /* or NULL */
	struct metrics *metrics; /* or NULL */
	uint64_t n_roams;
	int statm_fd; /* of /proc: the sandbox has none; -1: not there */
	double started_s;
	uint64_t begun_ns; /* uv_hrtime() */
	bool ending;
};

/* The loop turns no further; the log says why. Once is enough. */
void daemon_hub_end(struct daemon_hub *hub, const char *why);

/* With all rights: what only root may open. */
MUST_CHECK int daemon_open(struct daemon_hub *hub, struct wgh_error *error);

/* Who a name or a group means may be another one now. */
MUST_CHECK int daemon_apply_policy(struct daemon_hub *hub, struct wgh_error *error);
/* Makes the hub what the file says. On an error nothing of the peers has changed. Takes conf over
 * if all is well. */
MUST_CHECK int daemon_apply_conf(
	struct daemon_hub *hub, struct conf *conf, struct wgh_error *error);
/* The file is read again; what is wrong with it goes to the log, and the one before stays. */
void daemon_reload_policy(struct daemon_hub *hub);
void daemon_reload_conf(struct daemon_hub *hub);

#endif
