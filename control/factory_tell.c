/* factory_tell.c - what a Factory's hub says about itself: the lines of `wghub status`, `devices`,
 * `client list` and others. control/README.md lists the keys. No secret is in them. Cost: the peer
 * lists sort the snapshot's peers once. */
#include "control/factory_hub_internal.h"

#include "control/key_index.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define NETWORK_BITS 24
#define NETWORKS_MAX 64 /* more than the range of addresses has */

/* ---- small ones ---- */

static void put_text(FILE *out, const char *key, const char *value)
{
	char shown[1024];

	text_escape(shown, sizeof shown, value, strlen(value));
	fprintf(out, "%s=%s\n", key, shown);
}

static void put_key(FILE *out, const char *what, const struct wgh_public_key *key)
{
	char text[KEY_BASE64_CHARS + 1];

	key_to_base64(text, key->bytes);
	fprintf(out, "%s=%s\n", what, text);
}

static void put_addr(FILE *out, const char *what, const struct wgh_addr *addr)
{
	char text[TEXT_ADDR_CHARS];

	text_from_addr(text, addr);
	fprintf(out, "%s=%s\n", what, text);
}

static void put_endpoint(FILE *out, const struct wgh_endpoint *endpoint)
{
	char text[TEXT_ENDPOINT_CHARS];

	if (endpoint->family == WGH_UNSPEC)
		return;
	text_from_endpoint(text, endpoint);
	fprintf(out, "endpoint=%s\n", text);
}

static void put_time(FILE *out, const char *what, double s)
{
	if (s > 0)
		fprintf(out, "%s=%.0f\n", what, s);
}

/* ---- the hub, as a client's file needs it ---- */

/* The hub's own network first, then those of devices outside it. */
static size_t list_networks(struct wgh_prefix networks[NETWORKS_MAX], const struct factory_hub *hub)
{
	size_t n_peers, n = 0;
	const struct wanted_peer *peers = wanted_peers(hub->wanted, &n_peers);

	networks[n++] = (struct wgh_prefix){.addr = hub->server.address, .bits = NETWORK_BITS};
	text_prefix_mask(&networks[0]);
	for (size_t i = 0; i < n_peers && n < NETWORKS_MAX; i++) {
		bool covered = peers[i].origin != ORIGIN_FACTORY;

		for (size_t j = 0; j < n && !covered; j++)
			covered = text_prefix_covers(&networks[j], peers[i].prefixes);
		if (covered)
			continue;
		networks[n] = (struct wgh_prefix){
			.addr = peers[i].prefixes[0].addr, .bits = NETWORK_BITS};
		text_prefix_mask(&networks[n++]);
	}
	return n;
}

void factory_tell_hub(FILE *out, const struct factory_hub *hub)
{
	char endpoint[SERVER_ENDPOINT_CHARS], prefix[TEXT_PREFIX_CHARS];
	struct wgh_prefix networks[NETWORKS_MAX];

	fprintf(out, "factory=%s\n", hub->factory);
	put_key(out, "hub_public_key", &hub->own_key);
	if (!hub->has_server)
		return;
	server_file_endpoint_text(endpoint, &hub->server);
	fprintf(out, "endpoint=%s\n", endpoint);
	put_addr(out, "server_address", &hub->server.address);
	for (size_t i = 0, n = list_networks(networks, hub); i < n; i++) {
		text_from_prefix(prefix, &networks[i]);
		fprintf(out, "allowed_ip=%s\n", prefix);
	}
}

/* ---- status ---- */

static bool is_online(const struct wgh_peer_view *view, double now_s)
{
	return view->last_handshake_s && now_s - (double)view->last_handshake_s <= ONLINE_S;
}

static void put_counts(FILE *out, const struct factory_hub *hub, const struct wgh_snapshot *running)
{
	double now_s = factory_hub_now_s(CLOCK_REALTIME);
	size_t n[N_ORIGINS] = {0}, online[N_ORIGINS] = {0}, disabled = 0;

	for (size_t i = 0; i < running->n_peers; i++) {
		const struct wgh_peer_view *view = &running->peers[i];
		enum origin origin = wanted_origin_of(hub->wanted, &view->public_key);

		n[origin]++;
		online[origin] += is_online(view, now_s);
	}
	for (size_t i = 0; i < hub->listed.n; i++)
		disabled += !hub->listed.items[i].enabled;
	fprintf(out, "devices=%zu\ndevices_online=%zu\ndevices_disabled=%zu\n", n[ORIGIN_FACTORY],
		online[ORIGIN_FACTORY], disabled);
	fprintf(out, "clients=%zu\nclients_online=%zu\nothers=%zu\nothers_online=%zu\n",
		n[ORIGIN_CLIENTS], online[ORIGIN_CLIENTS], n[ORIGIN_WG], online[ORIGIN_WG]);
}

static void put_troubles(FILE *out, const struct factory_hub *hub)
{
	double now_s = factory_hub_now_s(CLOCK_REALTIME);
	size_t n;
	const struct wanted_refusal *refusals = wanted_refusals(hub->wanted, &n);
	char text[REFUSAL_CHARS];

	for (unsigned i = 0; i < N_TROUBLES; i++) {
		uint64_t since_ns = hub->troubles.since_ns[i];

		if (!since_ns)
			continue;
		put_text(out, "trouble", trouble_name(i));
		put_time(out, "since", now_s - (double)(uv_hrtime() - since_ns) / 1e9);
		put_text(out, "why", hub->troubles.why[i]);
	}
	for (size_t i = 0; i < n; i++) {
		wanted_refusal_text(text, &refusals[i]);
		fprintf(out, "refused=%s\n", text);
	}
	for (size_t i = 0; i < hub->clients_notes.n; i++)
		fprintf(out, "left_out=%s\n", hub->clients_notes.lines[i]);
}

static void put_creds(FILE *out, const struct factory_hub *hub)
{
	struct factory_creds_view view;

	factory_poll_creds(hub->poll, &view);
	fprintf(out, "creds=%s\n", view.kind ? view.kind : "none");
	if (hub->http.creds_path)
		put_text(out, "creds_path", hub->http.creds_path);
	if (isfinite(view.expires_s) && view.kind)
		put_time(out, "creds_expire", view.expires_s);
	fprintf(out, "creds_renewable=%s\n", view.can_refresh ? "true" : "false");
	fprintf(out, "login_needed=%s\n", view.login_needed ? "true" : "false");
	if (view.others_can_read)
		fputs("creds_others_can_read=true\n", out);
}

static const char *outcome_name(const struct factory_hub *hub)
{
	static const char *const names[] = {[FACTORY_OK] = "ok",
		[FACTORY_TRANSIENT] = "unreachable",
		[FACTORY_REFUSED] = "refused"};

	return hub->last_round_s > 0 ? names[hub->outcome] : "none yet";
}

void factory_tell_status(FILE *out, struct factory_hub *hub, const struct wgh_snapshot *running)
{
	factory_tell_hub(out, hub);
	fprintf(out, "interface=%s\nlisten_port=%u\n", wgh_device_name(hub->device),
		running->listen_port);
	if (hub->has_server)
		fprintf(out, "enabled=%s\n", hub->server.enabled ? "true" : "false");
	if (!ct_is_zero(&hub->published_key, sizeof hub->published_key))
		put_key(out, "published_key", &hub->published_key);
	put_time(out, "last_sync", hub->last_sync_s);
	put_time(out, "last_round", hub->last_round_s);
	fprintf(out, "outcome=%s\n", outcome_name(hub));
	if (hub->outcome != FACTORY_OK)
		put_text(out, "outcome_why", hub->outcome_why);
	fprintf(out, "interval=%" PRIu64 "\n", hub->interval_ms / 1000);
	put_counts(out, hub, running);
	put_creds(out, hub);
	if (hub->http.api_url)
		put_text(out, "api_url", hub->http.api_url);
	if (hub->http.oauth_url)
		put_text(out, "oauth_url", hub->http.oauth_url);
	if (hub->http.ca_file)
		put_text(out, "ca_file", hub->http.ca_file);
	if (hub->clients_path)
		put_text(out, "clients_file", hub->clients_path);
	if (hub->state_path)
		put_text(out, "state_file", hub->state_path);
	pending_tidy(&hub->pending, (int64_t)factory_hub_now_s(CLOCK_REALTIME));
	fprintf(out, "pending=%u\n", hub->pending.n);
	put_troubles(out, hub);
}

/* ---- peers ---- */

KEY_INDEX_CAN_HOLD(struct wgh_peer_view);

struct views {
	struct key_index by_key; /* of the running peers */
	double now_s;
};

static void put_tunnel(FILE *out, const struct views *views, const struct wgh_public_key *key)
{
	const struct wgh_peer_view *view = key_index_find(&views->by_key, key);

	fprintf(out, "state=%s\n", view && is_online(view, views->now_s) ? "online" : "offline");
	if (!view)
		return;
	if (view->last_handshake_s)
		fprintf(out, "latest_handshake=%" PRId64 "\n", view->last_handshake_s);
	put_endpoint(out, &view->endpoint);
	fprintf(out, "rx_bytes=%" PRIu64 "\ntx_bytes=%" PRIu64 "\n", view->rx_bytes,
		view->tx_bytes);
}

static void put_peer(FILE *out, const struct views *views, const struct wanted_peer *peer)
{
	put_text(out, "peer", peer->name);
	fprintf(out, "origin=%s\n", origin_name(peer->origin));
	put_key(out, "public_key", &peer->public_key);
	if (peer->n_prefixes)
		put_addr(out, "address", &peer->prefixes[0].addr);
	put_tunnel(out, views, &peer->public_key);
}

static void put_refused(FILE *out, const struct wanted_refusal *refusal)
{
	char text[REFUSAL_CHARS];

	wanted_refusal_text(text, refusal);
	put_text(out, "peer", refusal->name);
	fprintf(out, "origin=%s\n", origin_name(refusal->origin));
	if (!ct_is_zero(&refusal->public_key, sizeof refusal->public_key))
		put_key(out, "public_key", &refusal->public_key);
	if (refusal->prefix.addr.family != WGH_UNSPEC)
		put_addr(out, "address", &refusal->prefix.addr);
	fprintf(out, "state=refused\nreason=%s\nwhy=%s\n", refusal_name(refusal->reason), text);
}

/* Of the API's list: one that is no peer. Refused ones are among the refusals. */
static void put_listed(FILE *out, const struct factory_peer *device)
{
	put_text(out, "peer", device->name);
	fprintf(out, "origin=%s\n", origin_name(ORIGIN_FACTORY));
	if (device->has_key)
		put_key(out, "public_key", &device->public_key);
	if (device->address.family != WGH_UNSPEC)
		put_addr(out, "address", &device->address);
	fprintf(out, "state=%s\n", device->enabled ? "withdrawn" : "disabled");
}

int factory_tell_peers(FILE *out, const struct factory_hub *hub, unsigned origins,
	const struct wgh_snapshot *running)
{
	struct views views = {.now_s = factory_hub_now_s(CLOCK_REALTIME)};
	bool off = trouble_is(&hub->troubles, TROUBLE_SWITCHED_OFF);
	size_t n;
	const struct wanted_peer *peers = wanted_peers(hub->wanted, &n);
	const struct wanted_refusal *refusals;
	int err = key_index_init(
		&views.by_key, running->peers, running->n_peers, sizeof *running->peers);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (origins & ORIGIN_BIT(peers[i].origin))
			put_peer(out, &views, &peers[i]);
	}
	refusals = wanted_refusals(hub->wanted, &n);
	for (size_t i = 0; i < n; i++) {
		if (origins & ORIGIN_BIT(refusals[i].origin))
			put_refused(out, &refusals[i]);
	}
	for (size_t i = 0; origins & ORIGIN_BIT(ORIGIN_FACTORY) && i < hub->listed.n; i++) {
		const struct factory_peer *device = &hub->listed.items[i];

		if (!device->enabled || off)
			put_listed(out, device);
	}
	key_index_fini(&views.by_key);
	return 0;
}

void factory_tell_pending(FILE *out, struct factory_hub *hub)
{
	pending_tidy(&hub->pending, (int64_t)factory_hub_now_s(CLOCK_REALTIME));
	for (unsigned i = 0; i < hub->pending.n; i++) {
		const struct pending_key *entry = &hub->pending.keys[i];

		put_key(out, "public_key", &entry->key);
		put_endpoint(out, &entry->from);
		fprintf(out, "first=%" PRId64 "\nlast=%" PRId64 "\ntries=%" PRIu64 "\n",
			entry->first_s, entry->last_s, entry->n_tries);
	}
}
