/* daemon.c - see daemon.h. For the commands `wghub IFNAME`, `wghub up` and `wghub daemon`.
 *
 * To go to the background the process forks first and does everything in the child, because neither
 * threads nor the loop survive a fork. The parent waits on a pipe for one byte that says "ready"
 * and ends with 0; the pipe's end without it means that the child has said what is wrong and ended.
 * So scripts may use the interface at once. */
#include "control/daemon.h"

#include "control/daemon_hub.h"
#include "control/error.h"
#include "control/hook.h"
#include "control/journal.h"
#include "control/log.h"
#include "control/sandbox.h"
#include "control/text.h"
#include "control/tidy.h"
#include "control/uapi.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

void daemon_hub_end(struct daemon_hub *hub, const char *why)
{
	if (hub->ending)
		return;
	hub->ending = true;
	log_info("hub ends name=%s why=\"%s\"", wgh_device_name(hub->device), why);
	journal_say("hub_end", "{s:s}", "why", why);
	service_tell(&hub->service, "STOPPING=1\nSTATUS=ends: %s", why);
	uv_stop(&hub->loop);
}

/* ---- ready, and read again ---- */

static void tell_ready(const struct daemon_hub *hub)
{
	struct wgh_snapshot *running;

	if (hub->service.notify_fd < 0 || wgh_device_snapshot(hub->device, &running))
		return;
	service_tell(&hub->service, "READY=1\nSTATUS=%s: UDP port %u, %zu peers",
		wgh_device_name(hub->device), running->listen_port, running->n_peers);
	wgh_snapshot_free(running);
}

/* What the kernel did not give, although it was asked for. */
static void tell_offloads(const struct daemon_hub *hub)
{
	unsigned wanted = WGH_OFFLOAD_ALL & ~hub->options->device.offloads_off;
	struct wgh_snapshot *running;

	if (!journal_is_open() || wgh_device_snapshot(hub->device, &running))
		return;
	if (hub->options->device.no_tun)
		wanted &= ~(unsigned)(WGH_OFFLOAD_TUN_TSO | WGH_OFFLOAD_TUN_USO);
	for (unsigned i = 0; uapi_offload_name(i); i++) {
		if (wanted & ~running->offloads & 1u << i)
			journal_say("offload_fallback", "{s:s,s:s}", "offload",
				uapi_offload_name(i), "when", "start");
	}
	wgh_snapshot_free(running);
}

static void reload(struct daemon_hub *hub)
{
	if (!hub->factory && !hub->options->conf_path && !hub->options->policy.path &&
		!journal_path()) {
		daemon_hub_end(hub, "SIGHUP, and there is no conf file to read again");
		return;
	}
	service_tell_reloading(&hub->service);
	journal_open_again();
	if (hub->options->policy.path)
		daemon_reload_policy(hub);
	if (hub->factory)
		factory_hub_now(hub->factory);
	else if (hub->options->conf_path)
		daemon_reload_conf(hub);
	tell_ready(hub);
	tidy_soon();
}

/* ---- watchdog ---- */

/* Nothing is told while a thread of the data path hangs: then the supervisor starts us again. */
static void on_watchdog(uv_timer_t *timer)
{
	struct daemon_hub *hub = timer->data;

	if (wgh_device_is_alive(hub->device))
		service_tell(&hub->service, "WATCHDOG=1");
	else
		log_warn("a thread does not answer");
}

static void start_watchdog(struct daemon_hub *hub)
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
	struct daemon_hub *hub = signal->data;

	if (number == SIGHUP) {
		reload(hub);
		return;
	}
	/* From here on the kernel's own answer holds: one more ends the process at once. */
	uv_signal_stop(&hub->signals[SIGNAL_TERM]);
	uv_signal_stop(&hub->signals[SIGNAL_INT]);
	daemon_hub_end(hub, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void start_signals(struct daemon_hub *hub)
{
	static const int numbers[N_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

	for (unsigned i = 0; i < N_SIGNALS; i++) {
		uv_signal_init(&hub->loop, &hub->signals[i]);
		hub->signals[i].data = hub;
		uv_signal_start(&hub->signals[i], on_signal, numbers[i]);
	}
}

/* ---- life ---- */

static void on_resolved(
	void *arg, const struct wgh_public_key *peer, const struct wgh_endpoint *endpoint)
{
	struct wgh_peer_change peer_change = {.public_key = *peer,
		.flags = WGH_PEER_UPDATE_ONLY | WGH_PEER_HAS_ENDPOINT,
		.endpoint = *endpoint};
	struct wgh_change change = {.peers = &peer_change, .n_peers = 1};
	char name[TEXT_PEER_CHARS], text[TEXT_ENDPOINT_CHARS];
	struct wgh_error error = {""};
	struct daemon_hub *hub = arg;

	text_from_peer(name, peer);
	text_from_endpoint(text, endpoint);
	if (wgh_device_apply(hub->device, &change, &error)) {
		log_warn("endpoint refused peer=%s endpoint=%s why=\"%s\"", name, text, error.text);
		return;
	}
	log_info("endpoint found peer=%s endpoint=%s", name, text);
	journal_peer("peer_changed", peer, hub->names, "{s:s,s:s,s:s}", "by", "dns", "what",
		"endpoint", "endpoint", text);
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

	int err = sandbox_begin(&options, error);

	/* Its process comes before threads, and after the limits that it inherits. */
	return err ? err
		   : hook_start(o->events_command, NULL, o->foreground || o->keep_stderr, error);
}

static int start(struct daemon_hub *hub, struct wgh_error *error)
{
	int err;

	hub->names = names_new();
	if (!hub->names) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	err = policy_run_new(&hub->policy, &hub->options->policy, error);
	if (!err)
		err = daemon_open(hub, error);
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
static bool close_loop(struct daemon_hub *hub)
{
	for (int turns = 0; turns < 100 && uv_run(&hub->loop, UV_RUN_NOWAIT); turns++)
		usleep(1000);
	return uv_loop_close(&hub->loop) == 0;
}

static bool stop(struct daemon_hub *hub)
{
	for (unsigned i = 0; i < N_SIGNALS; i++)
		uv_close((uv_handle_t *)&hub->signals[i], NULL);
	uv_close((uv_handle_t *)&hub->watchdog, NULL);
	tidy_end();
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
	if (hub->statm_fd >= 0)
		close(hub->statm_fd);
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

static int run_loop(struct daemon_hub *hub, int ready_fd)
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
		tidy_begin(&hub->loop);
		uv_run(&hub->loop, UV_RUN_DEFAULT);
	} else {
		fprintf(stderr, "wghub: %s\n", error.text);
		if (hub->conf != hub->options->conf)
			conf_free(hub->options->conf);
	}
	/* exit() would wait for libuv's threads. */
	if (!stop(hub)) {
		hook_stop();
		sandbox_end();
		_exit(err ? 1 : 0);
	}
	return err ? 1 : 0;
}

static int run(const struct daemon_options *options, int ready_fd)
{
	struct daemon_hub hub = {.options = options, .begun_ns = uv_hrtime()};
	struct wgh_error error = {""};
	int code;

	signal(SIGPIPE, SIG_IGN);
	tidy_init();
	if (service_init(&hub.service, &error) || begin_sandbox(options, &error)) {
		fprintf(stderr, "wghub: %s\n", error.text);
		conf_free(options->conf);
		code = 1;
	} else {
		code = run_loop(&hub, ready_fd);
	}
	hook_stop();
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
