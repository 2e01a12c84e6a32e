/* factory_hub.c - see factory_hub.h.
 *
 *	state file, API, clients file -> wanted set -> the smallest change -> device
 *	                                                    └-> names, routes, state, hosts */
#include "control/factory_hub_internal.h"

#include "control/error.h"
#include "control/journal.h"
#include "control/log.h"
#include "control/note_once.h"
#include "control/text.h"

#include <errno.h>
#include <ifaddrs.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ORIGINS (ORIGIN_BIT(ORIGIN_FACTORY) | ORIGIN_BIT(ORIGIN_CLIENTS))
#define NETWORK_BITS 24 /* what a device takes the VPN's network for; others get a route each */
#define LINES_MAX 20 /* of one sync in the log */

/* ---- state, hosts ---- */

static size_t count_endpoints(const struct wgh_snapshot *running)
{
	size_t n = 0;

	for (size_t i = 0; i < running->n_peers; i++)
		n += running->peers[i].endpoint.family != WGH_UNSPEC;
	return n;
}

static int make_state(
	struct factory_hub *hub, const struct wgh_snapshot *running, struct state *state)
{
	int err = wanted_to_state(hub->wanted, running, state);

	if (err)
		return err;
	state->factory = strdup(hub->factory);
	state->has_server = hub->has_server;
	state->server = hub->server;
	state->last_sync_s = hub->last_sync_s;
	if (state->factory)
		return 0;
	state_fini(state);
	return -ENOMEM;
}

/* running: not from before a change. */
static void save_running(
	struct factory_hub *hub, const struct wgh_snapshot *running, bool with_hosts)
{
	struct state state;

	if (make_state(hub, running, &state)) {
		trouble_begin(&hub->troubles, TROUBLE_STATE, "out of memory");
		return;
	}
	hub->n_endpoints_saved = count_endpoints(running);
	hub->n_looks = 0;
	factory_save(hub->save, &state, with_hosts);
}

static void save(struct factory_hub *hub, bool with_hosts)
{
	struct wgh_snapshot *running;

	if (wgh_device_snapshot(hub->device, &running)) {
		trouble_begin(&hub->troubles, TROUBLE_STATE, "out of memory");
		return;
	}
	save_running(hub, running, with_hosts);
	wgh_snapshot_free(running);
}

static void on_save_timer(uv_timer_t *timer)
{
	struct factory_hub *hub = timer->data;
	struct wgh_snapshot *running;

	if (wgh_device_snapshot(hub->device, &running))
		return;
	if (++hub->n_looks >= FACTORY_HUB_LOOKS ||
		count_endpoints(running) > hub->n_endpoints_saved)
		save_running(hub, running, false);
	wgh_snapshot_free(running);
}

/* ---- from the wanted set to the device ---- */

static void addr_from_sockaddr(struct wgh_addr *addr, const struct sockaddr *from)
{
	*addr = (struct wgh_addr){.family = WGH_IPV4};
	memcpy(addr->bytes, &((const struct sockaddr_in *)from)->sin_addr, 4);
}

/* Addresses of this host that no peer may have: all but those of our own interface. free() it. */
static int local_addresses(const struct factory_hub *hub, struct wgh_addr **addresses, size_t *n)
{
	struct ifaddrs *all, *at;
	size_t cap = 0;

	*addresses = NULL;
	*n = 0;
	if (getifaddrs(&all))
		return -errno;
	for (at = all; at; at = at->ifa_next)
		cap++;
	*addresses = calloc(cap + 1, sizeof **addresses);
	for (at = all; *addresses && at; at = at->ifa_next) {
		if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET &&
			strcmp(at->ifa_name, wgh_device_name(hub->device)))
			addr_from_sockaddr(&(*addresses)[(*n)++], at->ifa_addr);
	}
	freeifaddrs(all);
	return *addresses ? 0 : -ENOMEM;
}

static int set_rules(struct factory_hub *hub)
{
	struct wanted_rules rules = {.own_key = hub->own_key,
		.has_own_key = true,
		.ranges = hub->ranges,
		.n_ranges = hub->n_ranges};
	struct wgh_addr *local;
	int err = local_addresses(hub, &local, &rules.n_local);

	if (err)
		return err;
	rules.local = local;
	if (hub->has_server)
		rules.hub = hub->server.address;
	err = wanted_set_rules(hub->wanted, &rules);
	free(local);
	return err;
}

/* Two that want one address, a device that wants the hub's: the conflicts of a Factory. */
static void tell_refusal(const struct wanted_refusal *refusal, const char *why)
{
	char name[CONF_NAME_BYTES], key[WGH_KEY_TEXT_BYTES];

	text_escape(name, sizeof name, refusal->name ? refusal->name : "",
		refusal->name ? strlen(refusal->name) : 0);
	wgh_key_to_text(key, refusal->public_key.bytes);
	journal_say("peer_refused", "{s:s,s:s,s:s,s:s,s:s}", "peer", key, "name", name, "by",
		origin_name(refusal->origin), "reason", refusal_name(refusal->reason), "why", why);
}

static void log_refusals(const struct factory_hub *hub)
{
	size_t n, n_left_out = 0, n_lines = 0;
	const struct wanted_refusal *refusals = wanted_refusals(hub->wanted, &n);
	char text[REFUSAL_CHARS];

	for (size_t i = 0; i < n; i++) {
		if (!refusals[i].is_new)
			continue;
		wanted_refusal_text(text, &refusals[i]);
		tell_refusal(&refusals[i], text);
		if (n_lines++ >= LINES_MAX) {
			n_left_out++;
			continue;
		}
		log_warn("peer refused why=\"%s\"", text);
	}
	if (n_left_out)
		log_warn("peers refused more=%zu", n_left_out);
}

/* True if one was renamed or is new. */
static bool set_names(struct factory_hub *hub)
{
	char shown[CONF_NAME_BYTES];
	bool changed = false;
	size_t n;
	const struct wanted_peer *peers = wanted_peers(hub->wanted, &n);

	for (size_t i = 0; i < n; i++) {
		text_escape(shown, sizeof shown, peers[i].name, strlen(peers[i].name));
		changed |= names_set(hub->names, &peers[i].public_key, *shown ? shown : NULL);
	}
	return changed;
}

/* The hub's own address with the network that devices take it for, so that the host reaches it, and
 * a route for each peer outside: never a wider one, which could hide the host's other networks. */
static int set_link(struct factory_hub *hub, struct wgh_error *error)
{
	struct wgh_prefix address = {.addr = hub->server.address, .bits = NETWORK_BITS};
	struct wgh_link link = {.addresses = &address, .n_addresses = 1, .up = true};
	size_t n;
	const struct wanted_peer *peers = wanted_peers(hub->wanted, &n);
	struct wgh_prefix *routes = calloc(n + 1, sizeof *routes);
	int err;

	if (!routes) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		if (peers[i].origin != ORIGIN_WG && peers[i].n_prefixes == 1 &&
			!text_prefix_covers(&address, peers[i].prefixes))
			routes[link.n_routes++] = peers[i].prefixes[0];
	}
	link.routes = routes;
	err = wgh_device_configure_link(hub->device, &link, error);
	free(routes);
	return err;
}

/* The port by itself: where another program has it, peers shall be applied all the same. */
static void set_up_device(
	struct factory_hub *hub, const struct wgh_snapshot *running, bool peers_changed)
{
	struct wgh_change change = {.flags = WGH_HAS_LISTEN_PORT, .listen_port = hub->server.port};
	struct wgh_error error = {""};
	int err = 0;

	if (!hub->has_server)
		return;
	if (running->listen_port != hub->server.port)
		err = wgh_device_apply(hub->device, &change, &error);
	if (!err && (!hub->linked || peers_changed))
		err = set_link(hub, &error);
	hub->linked = !err;
	if (err)
		trouble_begin(&hub->troubles, TROUBLE_PORT, error.text);
	else
		trouble_end(&hub->troubles, TROUBLE_PORT);
}

static int apply_change(struct factory_hub *hub, const struct sync *sync,
	const struct wgh_snapshot *running, struct wgh_error *error)
{
	int err = factory_policy_apply(hub, &sync->change, running, error);

	if (err)
		return err;
	err = wanted_applied(hub->wanted, ORIGINS);
	if (err)
		error_set(error, "out of memory");
	return err;
}

static int make_sync(struct factory_hub *hub, const struct wgh_snapshot *running, struct sync *sync)
{
	int err = set_rules(hub);

	*sync = (struct sync){0};
	if (!err)
		err = wanted_claim_running(hub->wanted, running);
	if (!err)
		err = wanted_resolve(hub->wanted);
	return err ? err : wanted_sync(hub->wanted, ORIGINS, running, sync);
}

void factory_hub_apply(struct factory_hub *hub, const char *source)
{
	struct wgh_snapshot *running;
	struct wgh_error error = {"out of memory"};
	struct sync sync = {0};
	bool renamed;
	int err = wgh_device_snapshot(hub->device, &running);

	if (err) {
		trouble_begin(&hub->troubles, TROUBLE_PEERS, error.text);
		return;
	}
	err = make_sync(hub, running, &sync);
	if (!err)
		err = apply_change(hub, &sync, running, &error);
	if (err) {
		trouble_begin(&hub->troubles, TROUBLE_PEERS, error.text);
		goto out;
	}
	trouble_end(&hub->troubles, TROUBLE_PEERS);
	renamed = set_names(hub);
	journal_change(source, &sync.change, running, hub->names);
	hub->n_added += sync.n_added;
	hub->n_changed += sync.n_changed;
	hub->n_removed += sync.n_removed;
	log_refusals(hub);
	set_up_device(hub, running, sync.change.n_peers > 0);
	if (sync.change.n_peers)
		log_info("peers synced source=%s added=%zu changed=%zu removed=%zu", source,
			sync.n_added, sync.n_changed, sync.n_removed);
	if (sync.change.n_peers || renamed)
		save(hub, true);
out:
	sync_fini(&sync);
	wgh_snapshot_free(running);
}

/* ---- what the API says ---- */

static bool is_ours(const struct factory_hub *hub, const struct server_file *server)
{
	return !memcmp(&server->public_key, &hub->own_key, sizeof hub->own_key);
}

static void log_server(const struct server_file *server)
{
	char endpoint[SERVER_ENDPOINT_CHARS], address[TEXT_ADDR_CHARS];

	server_file_endpoint_text(endpoint, server);
	text_from_addr(address, &server->address);
	log_info("hub as published endpoint=%s address=%s enabled=%d", endpoint, address,
		server->enabled);
}

static void switch_off(struct factory_hub *hub)
{
	if (wanted_claim_factory(hub->wanted, NULL))
		return; /* without memory: the next round */
	trouble_begin(&hub->troubles, TROUBLE_SWITCHED_OFF,
		"wireguard-server says enabled=0: the factory's peers are withdrawn");
	factory_hub_apply(hub, "factory");
}

static void on_server(void *arg, const struct server_file *server)
{
	struct factory_hub *hub = arg;
	bool ours = is_ours(hub, server);
	bool news = !hub->has_server || !server_file_equal(server, &hub->server);

	hub->published_key = server->public_key;
	if (ours)
		trouble_end(&hub->troubles, TROUBLE_OTHER_HUB);
	else
		trouble_begin(&hub->troubles, TROUBLE_OTHER_HUB,
			"the published public key is not that of our private key");
	/* Another hub's address and port are nothing to us, unless we have none at all. */
	if (news && (ours || !hub->has_server)) {
		if (hub->has_server &&
			memcmp(&server->address, &hub->server.address, sizeof server->address))
			log_warn("server_address changed note=\"the old one stays on the interface "
				 "until the hub is started again\"");
		hub->server = *server;
		hub->has_server = true;
		hub->linked = false;
		log_server(server);
		factory_hub_apply(hub, "server");
		save(hub, false);
	}
	if (server->enabled)
		trouble_end(&hub->troubles, TROUBLE_SWITCHED_OFF);
	else
		switch_off(hub);
}

double factory_hub_now_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void on_peers(void *arg, struct factory_peers *peers)
{
	struct factory_hub *hub = arg;

	if (!hub->has_server)
		return; /* nobody knows yet which addresses are the hub's to give */
	if (!vanish_guard_accepts(&hub->guard, hub->wanted, peers,
		    factory_hub_now_s(CLOCK_BOOTTIME), (double)hub->interval_ms / 1000)) {
		trouble_begin(&hub->troubles, TROUBLE_VANISHED,
			"all stay until a second answer, an interval later, says the same");
		return;
	}
	trouble_end(&hub->troubles, TROUBLE_VANISHED);
	if (wanted_claim_factory(hub->wanted, peers)) {
		trouble_begin(&hub->troubles, TROUBLE_PEERS, "out of memory");
		return;
	}
	factory_peers_fini(&hub->listed);
	hub->listed = *peers;
	*peers = (struct factory_peers){0};
	hub->last_sync_s = factory_hub_now_s(CLOCK_REALTIME);
	factory_hub_apply(hub, "factory");
}

static void on_round(void *arg, enum factory_outcome outcome, const char *why)
{
	struct factory_hub *hub = arg;

	hub->last_round_s = factory_hub_now_s(CLOCK_REALTIME);
	hub->outcome = outcome;
	snprintf(hub->outcome_why, sizeof hub->outcome_why, "%s", why);
	factory_ask_round_ended(hub);
}

static void on_clients(void *arg, const struct clients *clients)
{
	struct factory_hub *hub = arg;

	notes_fini(&hub->clients_notes);
	for (size_t i = 0; i < clients->errors.n; i++)
		notes_add(&hub->clients_notes, "%s", clients->errors.lines[i]);
	if (wanted_claim_clients(hub->wanted, clients))
		trouble_begin(&hub->troubles, TROUBLE_PEERS, "out of memory");
	else
		factory_hub_apply(hub, "clients");
}

/* ---- life ---- */

static int restore(struct factory_hub *hub)
{
	struct wgh_error error = {""};
	struct notes notes = {0};
	struct note_once said = {0};
	struct state state = {0};
	int err = state_load(&state, hub->state_path, &notes, &error);

	note_once_log(&said, "state", &notes);
	notes_fini(&notes);
	if (err && err != -ENOENT)
		log_warn("state not used why=\"%s\"", error.text);
	err = 0;
	if (state.factory && strcmp(state.factory, hub->factory)) {
		log_warn("state not used why=\"it is another factory's\"");
	} else if (state.factory) {
		hub->has_server = state.has_server;
		hub->server = state.server;
		hub->last_sync_s = state.last_sync_s;
		err = set_rules(hub);
		if (!err)
			err = wanted_restore(hub->wanted, &state);
		log_info("state restored peers=%zu", state.n_peers);
	}
	state_fini(&state);
	return err;
}

static int set_private_key(
	struct factory_hub *hub, const uint8_t key[WGH_KEY_BYTES], struct wgh_error *error)
{
	struct wgh_change change = {.flags = WGH_HAS_PRIVATE_KEY};
	struct wgh_snapshot *running;
	int err;

	memcpy(change.private_key, key, sizeof change.private_key);
	err = wgh_device_apply(hub->device, &change, error);
	secret_wipe(&change, sizeof change);
	if (err)
		return err;
	err = wgh_device_snapshot(hub->device, &running);
	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	hub->own_key = running->public_key;
	wgh_snapshot_free(running);
	return 0;
}

static int start(
	struct factory_hub *hub, const struct factory_hub_options *o, struct wgh_error *error)
{
	const struct factory_poll_handler handler = {
		.server = on_server, .peers = on_peers, .round = on_round, .arg = hub};
	int err = set_private_key(hub, o->private_key, error);

	if (err)
		return err;
	if (hub->state_path)
		err = restore(hub);
	if (err) {
		error_set(error, "cannot restore the state: %s", strerror(-err));
		return err;
	}
	if (o->clients_path) {
		hub->changes = clients_change_new(hub->loop, o->clients_path);
		hub->clients_path = strdup(o->clients_path);
		hub->clients = clients_watch_new(
			hub->loop, o->clients_path, &hub->troubles, on_clients, hub);
		if (!hub->changes || !hub->clients_path || !hub->clients) {
			error_set(error, "out of memory");
			return -ENOMEM;
		}
	}
	factory_hub_apply(hub, "state");
	return factory_poll_new(&hub->poll, hub->loop, &o->poll, &handler, &hub->troubles, error);
}

int factory_hub_new(struct factory_hub **out, uv_loop_t *loop, struct wgh_device *device,
	struct names *names, struct policy_run *policy, const struct factory_hub_options *o,
	struct wgh_error *error)
{
	struct factory_hub *hub = calloc(1, sizeof *hub);
	int err;

	*out = NULL;
	if (!hub) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	hub->loop = loop;
	hub->device = device;
	hub->names = names;
	hub->policy = policy;
	hub->ranges = o->ranges;
	hub->n_ranges = o->n_ranges;
	hub->http = o->poll.http;
	hub->interval_ms = o->poll.interval_ms ? o->poll.interval_ms : POLL_INTERVAL_MS;
	uv_timer_init(loop, &hub->save_timer);
	hub->save_timer.data = hub;
	uv_timer_start(&hub->save_timer, on_save_timer, FACTORY_HUB_LOOK_MS, FACTORY_HUB_LOOK_MS);
	hub->factory = strdup(o->poll.factory);
	hub->state_path = o->state_path ? strdup(o->state_path) : NULL;
	hub->wanted = wanted_new();
	hub->save = factory_save_new(loop, o->state_path, o->hosts_path, &hub->troubles);
	if (!hub->factory || (o->state_path && !hub->state_path) || !hub->wanted || !hub->save) {
		error_set(error, "out of memory");
		err = -ENOMEM;
	} else {
		err = start(hub, o, error);
	}
	if (err) {
		factory_hub_free(hub);
		return err;
	}
	*out = hub;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void factory_hub_free(struct factory_hub *hub)
{
	if (!hub)
		return;
	if (hub->changes)
		clients_change_wait(hub->changes);
	factory_ask_end(hub);
	factory_poll_free(hub->poll);
	clients_watch_free(hub->clients);
	clients_change_free(hub->changes);
	factory_peers_fini(&hub->listed);
	notes_fini(&hub->clients_notes);
	if (hub->save) {
		if (hub->poll)
			save(hub, false);
		factory_save_wait(hub->save);
		factory_save_free(hub->save);
	}
	wanted_free(hub->wanted);
	free(hub->factory);
	free(hub->state_path);
	free(hub->clients_path);
	uv_close((uv_handle_t *)&hub->save_timer, on_closed);
}

void factory_hub_refresh(struct factory_hub *hub)
{
	factory_hub_apply(hub, "policy");
}

void factory_hub_now(struct factory_hub *hub)
{
	if (hub->clients)
		clients_watch_now(hub->clients);
	factory_poll_now(hub->poll);
}
