/* daemon.h - a running hub as a process: device, UAPI socket, names, signals, log; in the
 * background or not.
 *
 * SIGTERM, SIGINT: a clean end; once more: the end at once. SIGHUP: the policy file and
 * the conf file are read again, or the Factory is asked, and only what differs is applied; the
 * events file is opened again. The hub also ends when its socket's file or its interface is
 * removed. Once all is open it gives up root (sandbox.h), and tells a supervisor like systemd that
 * it is ready and, as long as its threads are, alive (service.h). Threads: the main thread, which
 * must have no others yet: the process may fork.
 */
#ifndef CONTROL_DAEMON_H
#define CONTROL_DAEMON_H

#include "control/conf.h"
#include "control/factory_hub.h"
#include "control/metrics.h"
#include "control/policy_run.h"

struct daemon_options {
	struct wgh_device_options
		device; /* ifname, tun_fd, addresses ..; events are the daemon's */
	const char *socket_dir;
	int uapi_fd; /* WG_UAPI_FD, or -1: make the socket */
	const char *tun_name_file; /* WG_TUN_NAME_FILE, or NULL */
	bool foreground;
	bool keep_stderr; /* in the background, too */
	const char *conf_path; /* NULL: nothing is configured but by the socket */
	struct conf *conf; /* of conf_path; the daemon frees it */
	struct policy_options policy;
	const struct factory_hub_options *factory; /* or NULL; not together with a conf file */
	struct metrics_options metrics;
	const char *events_path; /* of journal_open(), or NULL */
	const char *events_command; /* of hook_start(), or NULL */
	bool no_sandbox;
	const char *user; /* to become instead of root; NULL: wghub, or nobody */
};

/* Runs until the end of the hub, or in the background: until it is ready. The exit code: 0, or 1
 * when it could not start, with one line on standard error. */
MUST_CHECK int daemon_run(const struct daemon_options *options);

#endif
