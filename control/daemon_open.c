/* daemon_open.c - see daemon_hub.h: opens the device, the UAPI socket and the metrics, and answers
 * what they ask for. */
#include "control/daemon_hub.h"

#include "control/error.h"
#include "control/events.h"
#include "control/hook.h"
#include "control/https.h"
#include "control/journal.h"
#include "control/metrics_text.h"
#include "control/sandbox.h"
#include "control/text.h"
#include "control/uapi_server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- what the device, the socket and the metrics ask for ---- */

static void on_event(void *arg, const struct wgh_event *event)
{
	struct daemon_hub *hub = arg;

	hub->n_roams += event->kind == WGH_EVENT_ROAMED && names_is_up(hub->names, &event->peer);
	event_log(event, hub->names);
	if (hub->factory && !hub->ending)
		factory_hub_event(hub->factory, event);
}

static void on_thread(void *arg)
{
	(void)arg;
	sandbox_thread();
}

static void on_device_end(void *arg, const char *why)
{
	daemon_hub_end(arg, why);
}

/* What is told from now on was asked for by whom the socket has connected; NULL: by nobody. */
static void tell_asker(const struct daemon_hub *hub)
{
	uid_t uid;

	journal_asked_by(hub && uapi_server_asker(hub->uapi, &uid) ? &uid : NULL);
}

static int apply(struct daemon_hub *hub, const struct wgh_change *change, struct wgh_error *error)
{
	struct wgh_snapshot *before = NULL;
	struct wgh_error why = {""};
	int err = journal_is_open() ? wgh_device_snapshot(hub->device, &before) : 0;

	if (!err)
		err = wgh_device_apply(hub->device, change, error);
	if (!err && before)
		journal_change("wg", change, before, hub->names);
	else if (err)
		journal_say("change_refused", "{s:s,s:s}", "by", "wg", "why", error->text);
	wgh_snapshot_free(before);
	if (!err && daemon_apply_policy(hub, &why))
		policy_run_refused(hub->policy, why.text);
	return err;
}

static int on_apply(void *arg, const struct wgh_change *change, struct wgh_error *error)
{
	int err;

	tell_asker(arg);
	err = apply(arg, change, error);
	tell_asker(NULL);
	return err;
}

static void on_set(void *arg, const struct wgh_change *change, struct uapi_reply *reply)
{
	struct daemon_hub *hub = arg;

	if (hub->ending || !hub->factory) { /* what it would take is about to go */
		uapi_reply_send(reply, -ECANCELED, "the hub ends", NULL, 0);
		return;
	}
	tell_asker(hub);
	factory_hub_set(hub->factory, change, reply);
	tell_asker(NULL);
}

static void on_request(void *arg, const struct uapi_request *request, struct uapi_reply *reply)
{
	struct daemon_hub *hub = arg;

	if (hub->ending || !hub->factory) {
		uapi_reply_send(reply, -ECANCELED, "the hub ends", NULL, 0);
		return;
	}
	tell_asker(hub);
	factory_hub_request(hub->factory, request, reply);
	tell_asker(NULL);
}

static int on_snapshot(void *arg, struct wgh_snapshot **snapshot)
{
	struct daemon_hub *hub = arg;

	return wgh_device_snapshot(hub->device, snapshot);
}

static const char *on_name(void *arg, const struct wgh_public_key *peer)
{
	struct daemon_hub *hub = arg;

	return names_get(hub->names, peer);
}

static const char *on_line(void *arg, size_t index, char *room, size_t size)
{
	struct daemon_hub *hub = arg;

	if (index == 0) {
		snprintf(room, size, "tun=%s", hub->options->device.no_tun ? "false" : "true");
		return room;
	}
	if (index == 1) {
		snprintf(room, size, "uptime_ms=%" PRIu64, (uv_hrtime() - hub->begun_ns) / 1000000);
		return room;
	}
	return policy_run_line(hub->policy, index - 2, room, size);
}

static const char *on_group(void *arg, unsigned group, char *room, size_t size)
{
	struct daemon_hub *hub = arg;

	return policy_run_group(hub->policy, group, room, size);
}

static void metrics_of_events(struct metrics_input *in)
{
	struct hook_numbers command = hook_numbers();
	unsigned n = 0;

	for (unsigned i = 0; i < N_JOURNAL_SINKS; i++) {
		struct journal_numbers numbers;

		if (journal_numbers(i, &numbers))
			in->events[n++] = (struct metrics_events){
				numbers.to, numbers.n_lines, numbers.n_lost};
	}
	in->has_command = hook_fd() >= 0;
	in->command_waiting_bytes = command.waiting_bytes;
	in->n_command_runs = command.n_runs;
	in->n_command_failed = command.n_failed;
}

static void metrics_of_process(const struct daemon_hub *hub, struct metrics_input *in)
{
	unsigned long long whole, resident;
	struct timespec cpu = {0};
	char text[100] = "";

	if (hub->statm_fd >= 0 && pread(hub->statm_fd, text, sizeof text - 1, 0) > 0 &&
		sscanf(text, "%llu %llu", &whole, &resident) == 2)
		in->resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	in->cpu_s = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
	in->started_s = hub->started_s;
}

static int on_metrics(void *arg, char **text, size_t *n)
{
	struct daemon_hub *hub = arg;
	uint64_t *drops = calloc(wgh_n_drop_reasons(), sizeof *drops);
	struct wgh_stats stats = {
		.size = sizeof stats, .drops = drops, .n_drops = wgh_n_drop_reasons()};
	struct metrics_input input = {.interface = wgh_device_name(hub->device),
		.stats = &stats,
		.name = on_name,
		.name_arg = hub,
		.n_roams = hub->n_roams,
		.now_s = time(NULL),
		.peers_max = METRICS_PEERS_MAX};
	struct wgh_snapshot *running = NULL;
	int err = drops ? wgh_device_stats(hub->device, &stats) : -ENOMEM;

	if (!err)
		err = wgh_device_snapshot(hub->device, &running);
	input.snapshot = running;
	metrics_of_events(&input);
	metrics_of_process(hub, &input);
	if (!err)
		err = metrics_text(text, n, &input);
	wgh_snapshot_free(running);
	free(drops);
	return err;
}

static void on_socket_gone(void *arg)
{
	daemon_hub_end(arg, "its socket was removed");
}

/* ---- opening ---- */

static int start_device(struct daemon_hub *hub, struct wgh_error *error)
{
	struct wgh_device_options o = hub->options->device;
	struct sockaddr_un addr;
	int fd;

	/* The kernel would only say that the TUN is busy. */
	if (hub->options->uapi_fd < 0 && hub->service.uapi_fd < 0) {
		if (uapi_socket_path(&addr, hub->options->socket_dir, o.ifname, error))
			return -ENAMETOOLONG;
		fd = uapi_socket_connect(&addr);
		if (fd >= 0 || fd == -EAGAIN) {
			if (fd >= 0)
				close(fd);
			error_set(error, "%s is already running (%s); stop it with: wghub down %s",
				o.ifname, addr.sun_path, o.ifname);
			return -EADDRINUSE;
		}
	}
	o.size = sizeof o;
	o.udp_fds = hub->service.udp_fds;
	o.n_udp_fds = hub->service.n_udp_fds;
	o.on_thread = on_thread;
	o.on_event = on_event;
	o.on_end = on_device_end;
	o.arg = hub;
	return wgh_device_new(&hub->device, &hub->loop, &o, error);
}

static int start_uapi(struct daemon_hub *hub, struct wgh_error *error)
{
	const struct uapi_handler handler = {.apply = on_apply,
		.snapshot = on_snapshot,
		.snapshot_free = wgh_snapshot_free,
		.name = on_name,
		.extra = {.line = on_line, .group = on_group, .arg = hub},
		.set = hub->options->factory ? on_set : NULL,
		.request = hub->options->factory ? on_request : NULL,
		.gone = on_socket_gone,
		.arg = hub};
	const struct daemon_options *o = hub->options;
	struct uapi_socket socket;
	int err;

	if (o->uapi_fd >= 0)
		err = uapi_socket_adopt(&socket, o->uapi_fd, error);
	else if (hub->service.uapi_fd >= 0)
		err = uapi_socket_adopt(&socket, hub->service.uapi_fd, error);
	else
		err = uapi_socket_make(&socket, o->socket_dir, wgh_device_name(hub->device), error);
	if (err)
		return err;
	socket.is_lent = o->uapi_fd < 0 && hub->service.uapi_fd >= 0;
	err = uapi_server_new(&hub->uapi, &hub->loop, &socket, &handler, error);
	if (!err && socket.path[0])
		err = sandbox_allow_file(socket.path, true, error);
	return err;
}

static int write_name_file(const struct daemon_hub *hub, struct wgh_error *error)
{
	const char *path = hub->options->tun_name_file;
	char shown[120];
	int fd, n;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0400);
	n = fd < 0 ? -1 : dprintf(fd, "%s\n", wgh_device_name(hub->device));
	if (fd >= 0)
		close(fd);
	if (n > 0)
		return 0;
	text_escape(shown, sizeof shown, path, strlen(path));
	error_set(error, "WG_TUN_NAME_FILE: cannot write %s: %s", shown, strerror(errno));
	return -EIO;
}

static int allow_files(const struct daemon_hub *hub, struct wgh_error *error)
{
	const struct factory_hub_options *f = hub->options->factory;
	int err = sandbox_allow_append(journal_path(), error);

	if (!err)
		err = sandbox_allow_file(hub->options->conf_path, false, error);
	if (!err)
		err = sandbox_allow_file(hub->options->policy.path, false, error);
	if (err || !f)
		return err;
	err = sandbox_allow_file(f->poll.http.creds_path, true, error);
	if (!err)
		err = sandbox_allow_file(f->poll.http.ca_file, false, error);
	if (!err)
		err = sandbox_allow_file(f->state_path, true, error);
	if (!err)
		err = sandbox_allow_file(f->clients_path, true, error);
	return err ? err : sandbox_allow_file(f->hosts_path, true, error);
}

int daemon_open(struct daemon_hub *hub, struct wgh_error *error)
{
	const struct wgh_link link = {.mtu_bytes = hub->options->device.mtu_bytes};
	struct conf *conf = hub->options->conf;
	int err = journal_open(hub->options->events_path, hook_fd(), error);

	if (!err && hub->options->factory)
		err = https_load(error);
	if (!err)
		err = start_device(hub, error);
	if (!err) {
		journal_set_interface(wgh_device_name(hub->device));
		journal_say("hub_start", "{s:s}", "version", WGHUB_VERSION);
	}
	if (!err && conf)
		err = daemon_apply_conf(hub, conf, error);
	if (!err && !conf && !hub->options->factory)
		err = daemon_apply_policy(hub, error);
	if (!err && !conf && link.mtu_bytes)
		err = wgh_device_configure_link(hub->device, &link, error);
	if (!err)
		err = start_uapi(hub, error);
	hub->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	hub->started_s = (double)time(NULL);
	if (!err)
		err = metrics_new(
			&hub->metrics, &hub->loop, &hub->options->metrics, on_metrics, hub, error);
	if (!err)
		err = sandbox_allow_file(metrics_socket(hub->metrics), true, error);
	if (!err)
		err = write_name_file(hub, error);
	return err ? err : allow_files(hub, error);
}
