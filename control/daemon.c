/* daemon.c - see daemon.h. For the commands `wghub IFNAME`, `wghub up` and `wghub daemon`.
 *
 * To go to the background the process forks first and does everything in the child, because neither
 * threads nor the loop survive a fork. The parent waits on a pipe for one byte that says "ready"
 * and ends with 0; the pipe's end without it means that the child has said what is wrong and ended.
 * So scripts may use the interface at once. */
#include "control/daemon.h"

#include "control/error.h"
#include "control/events.h"
#include "control/journal.h"
#include "control/log.h"
#include "control/metrics_text.h"
#include "control/names.h"
#include "control/policy_run.h"
#include "control/resolve.h"
#include "control/sandbox.h"
#include "control/service.h"
#include "control/sync.h"
#include "control/text.h"
#include "control/uapi_server.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SIGNAL_TERM, SIGNAL_INT, SIGNAL_HUP, N_SIGNALS };

struct hub {
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
	bool ending;
};

static void hub_end(struct hub *hub, const char *why)
{
	if (hub->ending)
		return;
	hub->ending = true;
	log_info("hub ends name=%s why=\"%s\"", wgh_device_name(hub->device), why);
	journal_say("hub_end", "{s:s}", "why", why);
	service_tell(&hub->service, "STOPPING=1\nSTATUS=ends: %s", why);
	uv_stop(&hub->loop);
}

/* ---- what the device and the socket ask for ---- */

static void on_event(void *arg, const struct wgh_event *event)
{
	struct hub *hub = arg;

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
	hub_end(arg, why);
}

/* A change as it is asked for, with what the policy makes of its peers. conf: with these peers
 * besides those that run. */
static int apply_with_policy(struct hub *hub, const struct wgh_change *change,
	const struct conf *conf, const struct wgh_snapshot *running, struct wgh_error *error)
{
	struct policy_amended amended = {.plan = NULL};
	struct policy_world world;
	int err = policy_world_of_conf(&world, conf, running);

	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	err = policy_run_amend(hub->policy, &amended, change, &world, running);
	if (err)
		error_set(error, "out of memory");
	else if (!policy_amended_is_empty(&amended))
		err = wgh_device_apply(hub->device, &amended.change, error);
	if (!err)
		policy_run_applied(hub->policy, &amended);
	policy_amended_fini(&amended);
	free((void *)world.peers);
	return err;
}

/* Who a name or a group means may be another one now. */
static int apply_policy(struct hub *hub, struct wgh_error *error)
{
	const struct wgh_change nothing = {.flags = 0};
	struct wgh_snapshot *running;
	int err;

	if (hub->factory) {
		factory_hub_refresh(hub->factory);
		return 0;
	}
	err = wgh_device_snapshot(hub->device, &running);
	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	err = apply_with_policy(hub, &nothing, hub->conf, running, error);
	wgh_snapshot_free(running);
	return err;
}

static int on_apply(void *arg, const struct wgh_change *change, struct wgh_error *error)
{
	struct wgh_snapshot *before = NULL;
	struct wgh_error why = {""};
	struct hub *hub = arg;
	int err = journal_is_open() ? wgh_device_snapshot(hub->device, &before) : 0;

	if (!err)
		err = wgh_device_apply(hub->device, change, error);
	if (!err && before)
		journal_change("wg", change, before, hub->names);
	wgh_snapshot_free(before);
	if (!err && apply_policy(hub, &why))
		log_error("policy not applied why=\"%s\"", why.text);
	return err;
}

static void on_set(void *arg, const struct wgh_change *change, struct uapi_reply *reply)
{
	struct hub *hub = arg;

	if (hub->ending || !hub->factory) /* what it would take is about to go */
		uapi_reply_send(reply, -ECANCELED, "the hub ends", NULL, 0);
	else
		factory_hub_set(hub->factory, change, reply);
}

static void on_request(void *arg, const struct uapi_request *request, struct uapi_reply *reply)
{
	struct hub *hub = arg;

	if (hub->ending || !hub->factory)
		uapi_reply_send(reply, -ECANCELED, "the hub ends", NULL, 0);
	else
		factory_hub_request(hub->factory, request, reply);
}

static int on_snapshot(void *arg, struct wgh_snapshot **snapshot)
{
	struct hub *hub = arg;

	return wgh_device_snapshot(hub->device, snapshot);
}

static const char *on_name(void *arg, const struct wgh_public_key *peer)
{
	struct hub *hub = arg;

	return names_get(hub->names, peer);
}

static const char *on_line(void *arg, size_t index, char *room, size_t size)
{
	struct hub *hub = arg;

	if (index == 0) {
		snprintf(room, size, "tun=%s", hub->options->device.no_tun ? "false" : "true");
		return room;
	}
	return policy_run_line(hub->policy, index - 1, room, size);
}

static const char *on_group(void *arg, unsigned group, char *room, size_t size)
{
	struct hub *hub = arg;

	return policy_run_group(hub->policy, group, room, size);
}

static int on_metrics(void *arg, char **text, size_t *n)
{
	struct hub *hub = arg;
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
	if (!err)
		err = metrics_text(text, n, &input);
	wgh_snapshot_free(running);
	free(drops);
	return err;
}

static void on_socket_gone(void *arg)
{
	hub_end(arg, "its socket was removed");
}

static void on_resolved(
	void *arg, const struct wgh_public_key *peer, const struct wgh_endpoint *endpoint)
{
	struct wgh_peer_change peer_change = {.public_key = *peer,
		.flags = WGH_PEER_UPDATE_ONLY | WGH_PEER_HAS_ENDPOINT,
		.endpoint = *endpoint};
	struct wgh_change change = {.peers = &peer_change, .n_peers = 1};
	char name[TEXT_PEER_CHARS], text[TEXT_ENDPOINT_CHARS];
	struct wgh_error error = {""};
	struct hub *hub = arg;

	text_from_peer(name, peer);
	text_from_endpoint(text, endpoint);
	if (wgh_device_apply(hub->device, &change, &error))
		log_warn("endpoint refused peer=%s endpoint=%s why=\"%s\"", name, text, error.text);
	else
		log_info("endpoint found peer=%s endpoint=%s", name, text);
}

/* ---- the conf file ---- */

/* Routes for what no address of the hub's own covers already. *routes is the caller's to free. */
static int make_routes(struct wgh_prefix **routes, size_t *n, const struct conf *conf)
{
	size_t n_ips = 0;

	*n = 0;
	for (size_t i = 0; i < conf->n_peers; i++)
		n_ips += conf->peers[i].n_allowed_ips;
	*routes = calloc(n_ips + 1, sizeof **routes);
	if (!*routes)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_peers && !conf->table_off; i++) {
		for (size_t j = 0; j < conf->peers[i].n_allowed_ips; j++) {
			struct wgh_prefix route = conf->peers[i].allowed_ips[j];
			bool covered = false;

			text_prefix_mask(&route);
			for (size_t k = 0; k < conf->n_addresses && !covered; k++)
				covered = text_prefix_covers(&conf->addresses[k], &route);
			if (!covered)
				(*routes)[(*n)++] = route;
		}
	}
	return 0;
}

static int configure_link(struct hub *hub, const struct conf *conf, struct wgh_error *error)
{
	struct wgh_link link = {.addresses = conf->addresses,
		.n_addresses = conf->n_addresses,
		.mtu_bytes = hub->options->device.mtu_bytes,
		.up = true};
	struct wgh_prefix *routes;
	int err = make_routes(&routes, &link.n_routes, conf);

	link.routes = routes;
	if (err)
		error_set(error, "out of memory");
	else
		err = wgh_device_configure_link(hub->device, &link, error);
	free(routes);
	return err;
}

static bool same_addresses(const struct conf *a, const struct conf *b)
{
	return a->n_addresses == b->n_addresses &&
		(a->n_addresses == 0 ||
			!memcmp(a->addresses, b->addresses, a->n_addresses * sizeof *a->addresses));
}

/* Makes the hub what the file says. On an error nothing of the peers has changed. Takes conf over
 * if all is well. */
static int apply_conf(struct hub *hub, struct conf *conf, struct wgh_error *error)
{
	struct wgh_snapshot *running;
	struct sync sync;
	int err = wgh_device_snapshot(hub->device, &running);

	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	err = sync_init(&sync, conf, hub->conf, running);
	if (err)
		error_set(error, "out of memory");
	else
		err = apply_with_policy(hub, &sync.change, conf, running, error);
	if (!err)
		journal_change("conf", &sync.change, running, hub->names);
	wgh_snapshot_free(running);
	if (!err)
		err = configure_link(hub, conf, error);
	if (!err)
		log_info("conf applied added=%zu changed=%zu removed=%zu", sync.n_added,
			sync.n_changed, sync.n_removed);
	sync_fini(&sync);
	if (err)
		return err;
	if (hub->conf && !same_addresses(hub->conf, conf))
		log_warn("conf note=\"a changed Address is only added; to be rid of the old one: "
			 "wghub down and up\"");
	for (size_t i = 0; hub->conf && i < conf->n_notes;
		i++) /* the first time `wghub up` says them */
		log_warn("conf note=\"%s\"", conf->notes[i]);
	conf_free(hub->conf);
	hub->conf = conf;
	if (names_from_conf(hub->names, conf) ||
		(hub->resolver && resolver_want(hub->resolver, conf)))
		log_warn("conf incomplete why=\"out of memory\" lost=\"some names\"");
	return 0;
}

static void tell_ready(const struct hub *hub)
{
	struct wgh_snapshot *running;

	if (hub->service.notify_fd < 0 || wgh_device_snapshot(hub->device, &running))
		return;
	service_tell(&hub->service, "READY=1\nSTATUS=%s: UDP port %u, %zu peers",
		wgh_device_name(hub->device), running->listen_port, running->n_peers);
	wgh_snapshot_free(running);
}

/* What the kernel did not give, although it was asked for. */
static void tell_offloads(const struct hub *hub)
{
	unsigned wanted = WGH_OFFLOAD_ALL & ~hub->options->device.offloads_off;
	struct wgh_snapshot *running;

	if (!journal_is_open() || wgh_device_snapshot(hub->device, &running))
		return;
	if (hub->options->device.no_tun)
		wanted &= ~(unsigned)(WGH_OFFLOAD_TUN_TSO | WGH_OFFLOAD_TUN_USO);
	for (unsigned i = 0; uapi_offload_name(i); i++) {
		if (wanted & ~running->offloads & 1u << i)
			journal_say("offload_fallback", "{s:s}", "offload", uapi_offload_name(i));
	}
	wgh_snapshot_free(running);
}

static void reload_policy(struct hub *hub)
{
	struct wgh_error error = {""};
	int err = policy_run_reload(hub->policy, &error);

	if (!err)
		err = apply_policy(hub, &error);
	if (err)
		log_error(
			"policy not applied why=\"%s\" note=\"the one before stays\"", error.text);
}

static void read_conf_again(struct hub *hub)
{
	struct wgh_error error = {""};
	struct conf *conf = NULL;
	int err;

	err = conf_read(&conf, hub->options->conf_path, &error);
	if (!err)
		err = apply_conf(hub, conf, &error);
	if (!err)
		return;
	if (hub->conf != conf)
		conf_free(conf);
	log_error("conf not applied why=\"%s\"", error.text);
}

static void reload(struct hub *hub)
{
	if (!hub->factory && !hub->options->conf_path && !hub->options->policy.path) {
		hub_end(hub, "SIGHUP, and there is no conf file to read again");
		return;
	}
	service_tell_reloading(&hub->service);
	if (hub->options->policy.path)
		reload_policy(hub);
	if (hub->factory)
		factory_hub_now(hub->factory);
	else if (hub->options->conf_path)
		read_conf_again(hub);
	tell_ready(hub);
}

/* ---- watchdog ---- */

/* Nothing is told while a thread of the data path hangs: then the supervisor starts us again. */
static void on_watchdog(uv_timer_t *timer)
{
	struct hub *hub = timer->data;

	if (wgh_device_is_alive(hub->device))
		service_tell(&hub->service, "WATCHDOG=1");
	else
		log_warn("a thread does not answer");
}

static void start_watchdog(struct hub *hub)
{
	uint64_t third_ms = hub->service.watchdog_ms / 3;

	uv_timer_init(&hub->loop, &hub->watchdog);
	hub->watchdog.data = hub;
	if (hub->service.watchdog_ms)
		uv_timer_start(&hub->watchdog, on_watchdog, third_ms, third_ms + !third_ms);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *signal, int number)
{
	struct hub *hub = signal->data;

	if (number == SIGHUP) {
		reload(hub);
		return;
	}
	/* From here on the kernel's own answer holds: one more ends the process at once. */
	uv_signal_stop(&hub->signals[SIGNAL_TERM]);
	uv_signal_stop(&hub->signals[SIGNAL_INT]);
	hub_end(hub, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void start_signals(struct hub *hub)
{
	static const int numbers[N_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

	for (unsigned i = 0; i < N_SIGNALS; i++) {
		uv_signal_init(&hub->loop, &hub->signals[i]);
		hub->signals[i].data = hub;
		uv_signal_start(&hub->signals[i], on_signal, numbers[i]);
	}
}

/* ---- life ---- */

static int start_device(struct hub *hub, struct wgh_error *error)
{
	struct wgh_device_options o = hub->options->device;
	struct sockaddr_un addr;
	int fd;

	/* The kernel would only say that the TUN is busy. */
	if (hub->options->uapi_fd < 0 && hub->service.uapi_fd < 0) {
		if (uapi_socket_path(&addr, hub->options->socket_dir, o.ifname, error))
			return -ENAMETOOLONG;
		fd = uapi_socket_connect(&addr);
		if (fd >= 0) {
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

static int start_uapi(struct hub *hub, struct wgh_error *error)
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

static int write_name_file(const struct hub *hub, struct wgh_error *error)
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

static bool has_low_port(const struct conf *conf)
{
	return conf->listen_port > 0 && conf->listen_port < 1024;
}

/* What is needed later: rights for what the socket, the conf file or the Factory may ask. */
static int begin_sandbox(const struct daemon_options *o, struct wgh_error *error)
{
	const struct sandbox_options options = {.off = o->no_sandbox,
		.user = o->user,
		.net_admin = !o->device.no_tun,
		.bind_service = !o->conf || has_low_port(o->conf)};

	return sandbox_begin(&options, error);
}

static int allow_files(const struct hub *hub, struct wgh_error *error)
{
	const struct factory_hub_options *f = hub->options->factory;
	int err = sandbox_allow_file(hub->options->conf_path, false, error);

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

/* With all rights: what only root may open. */
static int open_all(struct hub *hub, struct wgh_error *error)
{
	const struct wgh_link link = {.mtu_bytes = hub->options->device.mtu_bytes};
	struct conf *conf = hub->options->conf;
	int err = journal_open(hub->options->events_path, error);

	if (!err)
		err = start_device(hub, error);
	if (!err) {
		journal_set_interface(wgh_device_name(hub->device));
		journal_say("hub_start", "{s:s}", "version", WGHUB_VERSION);
	}
	if (!err && conf)
		err = apply_conf(hub, conf, error);
	if (!err && !conf && !hub->options->factory)
		err = apply_policy(hub, error);
	if (!err && !conf && link.mtu_bytes)
		err = wgh_device_configure_link(hub->device, &link, error);
	if (!err)
		err = start_uapi(hub, error);
	if (!err)
		err = metrics_new(
			&hub->metrics, &hub->loop, &hub->options->metrics, on_metrics, hub, error);
	if (!err)
		err = sandbox_allow_file(metrics_socket(hub->metrics), true, error);
	if (!err)
		err = write_name_file(hub, error);
	return err ? err : allow_files(hub, error);
}

static int start(struct hub *hub, struct wgh_error *error)
{
	int err;

	hub->names = names_new();
	if (!hub->names) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	err = policy_run_new(&hub->policy, &hub->options->policy, error);
	if (!err)
		err = open_all(hub, error);
	if (!err)
		err = sandbox_enter(error);
	if (err)
		return err;
	/* Only now what starts threads, for they inherit the rights there are: names and requests
	 * are looked up in libuv's pool and libcurl's. */
	hub->resolver = resolver_new(&hub->loop, on_resolved, hub);
	if (!hub->resolver || (hub->conf && resolver_want(hub->resolver, hub->conf))) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	return hub->options->factory
		? factory_hub_new(&hub->factory, &hub->loop, hub->device, hub->names, hub->policy,
			  hub->options->factory, error)
		: 0;
}

/* False: an answer of the resolver is under way, which may take long and nobody needs. */
static bool close_loop(struct hub *hub)
{
	for (int turns = 0; turns < 100 && uv_run(&hub->loop, UV_RUN_NOWAIT); turns++)
		usleep(1000);
	return uv_loop_close(&hub->loop) == 0;
}

static bool stop(struct hub *hub)
{
	for (unsigned i = 0; i < N_SIGNALS; i++)
		uv_close((uv_handle_t *)&hub->signals[i], NULL);
	uv_close((uv_handle_t *)&hub->watchdog, NULL);
	metrics_free(hub->metrics);
	factory_hub_free(hub->factory);
	hub->factory = NULL;
	resolver_free(hub->resolver);
	/* Clients see the end of their connection when the interface is gone, not before: `wghub
	 * down` waits for that. */
	wgh_device_free(hub->device);
	uapi_server_free(hub->uapi);
	names_free(hub->names);
	policy_run_free(hub->policy);
	conf_free(hub->conf);
	journal_close();
	return close_loop(hub);
}

/* Tells the parent that the hub is ready and lets go of the terminal. */
static void detach(int ready_fd, bool keep_stderr)
{
	int null;

	if (ready_fd < 0)
		return;
	IGNORE_RESULT(chdir("/"));
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (!keep_stderr)
			dup2(null, STDERR_FILENO);
		close(null);
	}
	IGNORE_RESULT(write(ready_fd, "+", 1));
	close(ready_fd);
}

/* Tables of thousands of peers come and go with each change. Mapped, they return to the system;
 * after the first time glibc would take them from the heap, which keeps what it once had. */
static void return_large_memory(void)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
}

static int run_loop(struct hub *hub, int ready_fd)
{
	int err = uv_loop_init(&hub->loop);
	struct wgh_error error = {""};

	if (err) {
		fprintf(stderr, "wghub: cannot start: %s\n", uv_strerror(err));
		conf_free(hub->options->conf);
		return 1;
	}
	start_signals(hub);
	start_watchdog(hub);
	err = start(hub, &error);
	if (!err) {
		log_info(
			"hub runs name=%s version=%s", wgh_device_name(hub->device), WGHUB_VERSION);
		if (!wgh_memory_locked())
			log_info("keys may be swapped out why=\"limit of locked memory (ulimit "
				 "-l)\"");
		detach(ready_fd, hub->options->keep_stderr);
		tell_offloads(hub);
		tell_ready(hub);
		uv_run(&hub->loop, UV_RUN_DEFAULT);
	} else {
		fprintf(stderr, "wghub: %s\n", error.text);
		if (hub->conf != hub->options->conf)
			conf_free(hub->options->conf);
	}
	/* exit() would wait for libuv's threads. */
	if (!stop(hub)) {
		sandbox_end();
		_exit(err ? 1 : 0);
	}
	return err ? 1 : 0;
}

static int run(const struct daemon_options *options, int ready_fd)
{
	struct hub hub = {.options = options};
	struct wgh_error error = {""};
	int code;

	signal(SIGPIPE, SIG_IGN);
	return_large_memory();
	if (service_init(&hub.service, &error) || begin_sandbox(options, &error)) {
		fprintf(stderr, "wghub: %s\n", error.text);
		conf_free(options->conf);
		code = 1;
	} else {
		code = run_loop(&hub, ready_fd);
	}
	sandbox_end();
	service_fini(&hub.service);
	return code;
}

int daemon_run(const struct daemon_options *options)
{
	char byte;
	int fds[2];
	pid_t pid;
	ssize_t n;

	if (options->foreground)
		return run(options, -1);
	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "wghub: cannot go to the background: %s\n", strerror(errno));
		conf_free(options->conf);
		return 1;
	}
	if (pid == 0) {
		close(fds[0]);
		setsid();
		return run(options, fds[1]);
	}
	close(fds[1]);
	conf_free(options->conf);
	do
		n = read(fds[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : 1;
}
