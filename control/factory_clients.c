/* factory_clients.c - clients that people add and remove by request. A new one becomes a peer at
 * once, so that its key and its address are taken; when its line is in the clients file, which is
 * read again then, the file has adopted it and the answer goes out. If the line cannot be written,
 * the peer goes again: a client that the next start would forget is none. */
#include "control/factory_hub_internal.h"

#include "control/error.h"
#include "control/factory_alloc.h"
#include "control/journal.h"
#include "control/log.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 16 /* addresses of a network that are free but not permitted */
#define NETWORKS_ABOVE (FACTORY_ALLOC_SPAN / 256 - 1) /* those that lie in the range as a whole */

/* A change of the clients file under way, and who waits for it. */
struct operation {
	struct factory_hub *hub;
	struct uapi_reply *reply;
	struct wgh_public_key key;
	struct wgh_addr address;
	char name[CLIENT_NAME_BYTES + 1];
};

static void refuse(struct uapi_reply *reply, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void refuse(struct uapi_reply *reply, int err, const char *format, ...)
{
	char why[REFUSAL_CHARS + 200];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	journal_say("change_refused", "{s:s,s:s}", "by", "request", "why", why);
	uapi_reply_send(reply, err, why, NULL, 0);
}

/* The clients file brings the change, and does not know whose it is. */
static void tell_asked(const struct operation *op, const char *verb)
{
	char key[KEY_BASE64_CHARS + 1], name[CONF_NAME_BYTES];

	key_to_base64(key, op->key.bytes);
	text_escape(name, sizeof name, op->name, strlen(op->name));
	journal_say("change_asked", "{s:s,s:s,s:s,s:s}", "peer", key, "name", name, "by", "request",
		"verb", verb);
}

/* ---- questions ---- */

static bool same_key(const struct wgh_public_key *a, const struct wgh_public_key *b)
{
	return !memcmp(a, b, sizeof *a);
}

bool factory_client_may(const struct factory_hub *hub, const char *name,
	const struct wgh_public_key *key, const struct wgh_addr *address, char why[REFUSAL_CHARS])
{
	struct wanted_refusal refusal;
	const struct wanted_peer *owner;
	char text[TEXT_ADDR_CHARS];
	bool may = wanted_would_accept(hub->wanted, ORIGIN_CLIENTS, name, key, address, &refusal);

	/* A client that moves, or a peer that somebody made by hand, takes nothing from itself. */
	if (!may && refusal.reason == REFUSED_KEY_TAKEN && refusal.other_origin != ORIGIN_FACTORY) {
		owner = wanted_find_addr(hub->wanted, address);
		may = !owner || same_key(&owner->public_key, key);
		refusal.reason = REFUSED_ADDRESS_TAKEN;
		refusal.other_name = owner ? owner->name : NULL;
		refusal.other_origin = owner ? owner->origin : ORIGIN_WG;
	}
	if (!may) {
		wanted_refusal_text(why, &refusal);
		return false;
	}
	if (wanted_is_reserved(hub->wanted, address)) {
		text_from_addr(text, address);
		snprintf(why, REFUSAL_CHARS, "%s is kept for a device that is disabled", text);
		return false;
	}
	return true;
}

/* The hub's own network is number 0; those above it that devices may reach come from the top. */
static struct wgh_prefix network(const struct factory_hub *hub, unsigned i)
{
	struct wgh_prefix network = {.addr = hub->server.address, .bits = 24};
	unsigned third = network.addr.bytes[2] + (i ? NETWORKS_ABOVE + 1 - i : 0);

	network.addr.bytes[1] = (uint8_t)(network.addr.bytes[1] + (third >> 8));
	network.addr.bytes[2] = (uint8_t)third;
	return network;
}

/* The highest free and permitted one of a network. taken has room for TRIES_MAX more. */
static int find_in_network(struct wgh_addr *out, const struct factory_hub *hub,
	const struct operation *op, const struct wgh_prefix *range, struct wgh_addr *taken,
	size_t n, char why[REFUSAL_CHARS])
{
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		int err = alloc_client(out, &hub->server.address, range, taken, n);

		if (err || factory_client_may(hub, op->name, &op->key, out, why))
			return err;
		taken[n++] = *out;
	}
	return -ENOSPC;
}

static int find_address(struct operation *op, char why[REFUSAL_CHARS])
{
	struct wgh_addr *taken, *bigger;
	size_t n;
	int err = wanted_taken(op->hub->wanted, &taken, &n);

	snprintf(why, REFUSAL_CHARS, "no address is free");
	if (err)
		return err;
	bigger = realloc(taken, (n + TRIES_MAX) * sizeof *taken);
	if (!bigger) {
		free(taken);
		return -ENOMEM;
	}
	err = -ENOSPC;
	for (unsigned i = 0; err == -ENOSPC && i <= NETWORKS_ABOVE; i++) {
		const struct wgh_prefix range = network(op->hub, i);

		err = find_in_network(&op->address, op->hub, op, &range, bigger, n, why);
	}
	free(bigger);
	return err;
}

/* A client of this name: one that connects, or one whose line is refused. */
static unsigned find_name(const struct factory_hub *hub, const char *name,
	struct wgh_public_key *key, struct wgh_addr *address)
{
	size_t n;
	const struct wanted_peer *peers = wanted_peers(hub->wanted, &n);
	const struct wanted_refusal *refusals;
	unsigned found = 0;

	for (size_t i = 0; i < n; i++) {
		if (peers[i].origin != ORIGIN_CLIENTS || strcmp(peers[i].name, name))
			continue;
		*key = peers[i].public_key;
		*address = peers[i].prefixes[0].addr;
		found++;
	}
	refusals = wanted_refusals(hub->wanted, &n);
	for (size_t i = 0; i < n; i++) {
		if (refusals[i].origin != ORIGIN_CLIENTS || strcmp(refusals[i].name, name))
			continue;
		*key = refusals[i].public_key;
		*address = refusals[i].prefix.addr;
		found++;
	}
	return found;
}

/* ---- adding ---- */

static int apply(struct factory_hub *hub, const struct wgh_change *change, struct wgh_error *error)
{
	struct wgh_snapshot *before = NULL;
	int err = journal_is_open() ? wgh_device_snapshot(hub->device, &before) : 0;

	if (!err)
		err = wgh_device_apply(hub->device, change, error);
	if (!err && before)
		journal_change("request", change, before, hub->names);
	wgh_snapshot_free(before);
	return err;
}

static int set_peer(struct factory_hub *hub, const struct operation *op, struct wgh_error *error)
{
	const struct wgh_allowed_ip ip = {.prefix = {.addr = op->address, .bits = 32}};
	const struct wgh_peer_change peer = {.public_key = op->key,
		.flags = WGH_PEER_REPLACE_ALLOWED_IPS,
		.allowed_ips = &ip,
		.n_allowed_ips = 1};
	const struct wgh_change change = {.peers = &peer, .n_peers = 1};

	return apply(hub, &change, error);
}

static void remove_peer(struct factory_hub *hub, const struct wgh_public_key *key)
{
	const struct wgh_peer_change peer = {.public_key = *key, .flags = WGH_PEER_REMOVE};
	const struct wgh_change change = {.peers = &peer, .n_peers = 1};
	struct wgh_error error = {""};

	if (wanted_origin_of(hub->wanted, key) == ORIGIN_WG && apply(hub, &change, &error))
		log_error("peer not removed why=\"%s\"", error.text);
}

static void answer(const struct operation *op)
{
	char key[KEY_BASE64_CHARS + 1], address[TEXT_ADDR_CHARS], *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (!out) {
		refuse(op->reply, -ENOMEM, "out of memory");
		return;
	}
	key_to_base64(key, op->key.bytes);
	fprintf(out, "peer=%s\npublic_key=%s\n", op->name, key);
	if (op->address.family != WGH_UNSPEC) {
		text_from_addr(address, &op->address);
		fprintf(out, "address=%s\n", address);
	}
	factory_tell_hub(out, op->hub);
	if (fclose(out)) {
		free(text);
		refuse(op->reply, -ENOMEM, "out of memory");
		return;
	}
	uapi_reply_send(op->reply, 0, NULL, text, n);
}

static void on_added(void *arg, int err, const char *why)
{
	struct operation *op = arg;
	struct factory_hub *hub = op->hub;
	const struct wanted_peer *peer;
	char shown[TEXT_PEER_CHARS];

	if (err) {
		remove_peer(hub, &op->key);
		refuse(op->reply, err, "%s", why);
		free(op);
		return;
	}
	hub->linked = false; /* a peer that a file adopts is no change, but may need its route */
	clients_watch_now(hub->clients);
	pending_forget(&hub->pending, &op->key);
	peer = wanted_find(hub->wanted, &op->key);
	text_from_peer(shown, &op->key);
	if (peer && peer->origin == ORIGIN_CLIENTS) {
		log_info("client added peer=%s name=\"%s\"", shown, op->name);
		answer(op);
	} else {
		refuse(op->reply, -EADDRINUSE,
			"the line is in the clients file, but somebody else was faster: wghub "
			"client list says who");
	}
	free(op);
}

/* NULL: refused already. */
static struct operation *read_new(
	struct factory_hub *hub, const struct uapi_request *request, struct uapi_reply *reply)
{
	const char *name = uapi_param(request, "name"), *key = uapi_param(request, "public_key");
	struct operation *op = calloc(1, sizeof *op);
	struct wgh_public_key other;
	struct wgh_addr other_address;

	if (!op) {
		refuse(reply, -ENOMEM, "out of memory");
		return NULL;
	}
	*op = (struct operation){.hub = hub, .reply = reply};
	if (!name || !*name || *name == '#' || strlen(name) > CLIENT_NAME_BYTES ||
		!text_is_line(name, strlen(name)))
		refuse(reply, -EINVAL, "a client's name is one line of 1 to %u bytes",
			CLIENT_NAME_BYTES);
	else if (!key || !key_from_base64(op->key.bytes, key, strlen(key)))
		refuse(reply, -EINVAL, "a public key is 44 base64 characters");
	else if (!hub->changes)
		refuse(reply, -EOPNOTSUPP, "this hub has no clients file");
	else if (!hub->has_server)
		refuse(reply, -EAGAIN,
			"the factory publishes no hub yet, so it has no address and no network");
	else if (find_name(hub, name, &other, &other_address))
		refuse(reply, -EEXIST, "there is a client called %s; see wghub client list", name);
	else
		return strcpy(op->name, name), op;
	free(op);
	return NULL;
}

static bool choose_address(struct operation *op, const char *asked)
{
	const struct wanted_peer *now = wanted_find(op->hub->wanted, &op->key);
	char why[REFUSAL_CHARS];
	const char *wrong;
	int err;

	if (now && now->origin == ORIGIN_CLIENTS) {
		refuse(op->reply, -EEXIST, "this key is client %s", now->name);
		return false;
	}
	if (asked) {
		wrong = text_peer_addr(&op->address, asked, strlen(asked));
		if (wrong) {
			refuse(op->reply, -EINVAL,
				"the address must be one IPv4 address, as "
				"10.42.42.253");
			return false;
		}
		if (factory_client_may(op->hub, op->name, &op->key, &op->address, why))
			return true;
		err = -EADDRINUSE;
	} else {
		err = find_address(op, why);
	}
	if (err)
		refuse(op->reply, err, "%s", err == -ENOMEM ? "out of memory" : why);
	return !err;
}

void factory_client_add(
	struct factory_hub *hub, const struct uapi_request *request, struct uapi_reply *reply)
{
	struct operation *op = read_new(hub, request, reply);
	struct client client;
	struct wgh_error error = {""};
	int err;

	if (!op)
		return;
	if (!choose_address(op, uapi_param(request, "address"))) {
		free(op);
		return;
	}
	err = set_peer(hub, op, &error);
	if (!err) {
		factory_hub_apply(hub, "request");
		client = (struct client){
			.public_key = op->key, .address = op->address, .name = op->name};
		tell_asked(op, "client-add");
		err = clients_change_put(hub->changes, &client, on_added, op);
		if (!err)
			return;
		error_set(&error, "too many changes of the clients file wait");
		remove_peer(hub, &op->key);
	}
	refuse(reply, err, "%s", error.text);
	free(op);
}

/* ---- removing ---- */

static void on_removed(void *arg, int err, const char *why)
{
	struct operation *op = arg;
	char shown[TEXT_PEER_CHARS];

	if (err) {
		refuse(op->reply, err, "%s", why);
	} else {
		clients_watch_now(op->hub->clients);
		text_from_peer(shown, &op->key);
		log_info("client removed peer=%s name=\"%s\"", shown, op->name);
		answer(op);
	}
	free(op);
}

static bool find_client(struct operation *op, const char *name, const char *key)
{
	const struct wanted_peer *peer;
	unsigned n;

	if (key) {
		if (!key_from_base64(op->key.bytes, key, strlen(key))) {
			refuse(op->reply, -EINVAL, "a public key is 44 base64 characters");
			return false;
		}
		peer = wanted_find(op->hub->wanted, &op->key);
		if (peer && peer->origin == ORIGIN_FACTORY) {
			refuse(op->reply, -EPERM, "this key is a device's; see wghub help device");
			return false;
		}
		if (peer && peer->origin == ORIGIN_CLIENTS) {
			op->address = peer->prefixes[0].addr;
			snprintf(op->name, sizeof op->name, "%s", peer->name);
		}
		return true; /* its line may be refused: the file knows */
	}
	n = name && *name ? find_name(op->hub, name, &op->key, &op->address) : 0;
	if (n == 0)
		refuse(op->reply, -ENOENT, "no client is called so; see wghub client list");
	else if (n > 1)
		refuse(op->reply, -EEXIST,
			"%u clients are called so: give the key, as wghub client list shows it", n);
	if (n != 1)
		return false;
	snprintf(op->name, sizeof op->name, "%s", name);
	return true;
}

void factory_client_remove(
	struct factory_hub *hub, const struct uapi_request *request, struct uapi_reply *reply)
{
	struct operation *op = calloc(1, sizeof *op);
	int err;

	if (!op) {
		refuse(reply, -ENOMEM, "out of memory");
		return;
	}
	*op = (struct operation){.hub = hub, .reply = reply};
	if (!hub->changes) {
		refuse(reply, -EOPNOTSUPP, "this hub has no clients file");
	} else if (find_client(
			   op, uapi_param(request, "name"), uapi_param(request, "public_key"))) {
		tell_asked(op, "client-remove");
		err = clients_change_remove(hub->changes, &op->key, on_removed, op);
		if (!err)
			return;
		refuse(reply, err, "too many changes of the clients file wait");
	}
	free(op);
}
