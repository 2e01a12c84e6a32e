/* state.c - see state.h. The same limits hold for our own file as for an answer of the API: who can
 * write it need not be us. */
#include "control/state.h"

#include "control/array.h"
#include "control/error.h"
#include "control/file.h"
#include "control/json_text.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 1

struct state_peer *state_add(struct state *state)
{
	void *bigger;

	if (state->n_peers == state->cap) {
		bigger = array_grow(state->peers, &state->cap, sizeof *state->peers);
		if (!bigger)
			return NULL;
		state->peers = bigger;
	}
	return &state->peers[state->n_peers++];
}

void state_fini(struct state *state)
{
	for (size_t i = 0; i < state->n_peers; i++)
		free(state->peers[i].name);
	free(state->peers);
	free(state->factory);
	*state = (struct state){0};
}

/* ---- to text ---- */

/* NULL: no memory, or a name that is not UTF-8, which no reader of ours lets in. */
static json_t *peer_to_json(const struct state_peer *peer)
{
	char key[KEY_BASE64_CHARS + 1], address[TEXT_ADDR_CHARS], endpoint[TEXT_ENDPOINT_CHARS];
	json_t *item;

	text_from_addr(address, &peer->address);
	if (peer->reserved)
		return json_pack("{s:s}", "reserved", address);
	key_to_base64(key, peer->public_key.bytes);
	item = json_pack("{s:s, s:s, s:s, s:s}", "origin", origin_name(peer->origin), "key", key,
		"address", address, "name", peer->name ? peer->name : "");
	if (!item || peer->endpoint.family == WGH_UNSPEC)
		return item;
	text_from_endpoint(endpoint, &peer->endpoint);
	if (json_object_set_new(item, "endpoint", json_string(endpoint))) {
		json_decref(item);
		return NULL;
	}
	return item;
}

static json_t *server_to_json(const struct server_file *server)
{
	char endpoint[SERVER_ENDPOINT_CHARS], address[TEXT_ADDR_CHARS], key[KEY_BASE64_CHARS + 1];

	server_file_endpoint_text(endpoint, server);
	text_from_addr(address, &server->address);
	key_to_base64(key, server->public_key.bytes);
	return json_pack("{s:s, s:s, s:s, s:b}", "endpoint", endpoint, "address", address, "key",
		key, "enabled", server->enabled);
}

static json_t *state_to_json(const struct state *state)
{
	json_t *root, *peers = json_array();
	bool ok = peers != NULL;

	for (size_t i = 0; ok && i < state->n_peers; i++)
		ok = !json_array_append_new(peers, peer_to_json(&state->peers[i]));
	root = json_pack("{s:i, s:f}", "version", STATE_VERSION, "last_sync", state->last_sync_s);
	ok = ok && root;
	if (ok && state->factory)
		ok = !json_object_set_new(root, "factory", json_string(state->factory));
	if (ok && state->has_server)
		ok = !json_object_set_new(root, "server", server_to_json(&state->server));
	if (ok)
		ok = !json_object_set(root, "peers", peers);
	json_decref(peers);
	if (ok)
		return root;
	json_decref(root);
	return NULL;
}

int state_to_text(char **text, size_t *n, const struct state *state)
{
	json_t *root;

	json_text_init();
	root = state_to_json(state);
	*text = root ? json_text_dump(root, n) : NULL;
	json_decref(root);
	return *text ? 0 : -ENOMEM;
}

/* ---- from text ---- */

static bool read_server(struct server_file *server, const json_t *value)
{
	const char *endpoint = json_text_string(value, "endpoint");
	const char *address = json_text_string(value, "address");
	const char *key = json_text_string(value, "key");
	struct server_file s = {.enabled = json_is_true(json_object_get(value, "enabled"))};

	if (!endpoint || !address || !key || server_file_endpoint(&s, endpoint, strlen(endpoint)) ||
		text_addr(&s.address, address, strlen(address)) ||
		!key_from_base64(s.public_key.bytes, key, strlen(key)))
		return false;
	*server = s;
	return true;
}

static bool read_origin(enum origin *origin, const char *name)
{
	for (unsigned i = 0; name && i < N_ORIGINS; i++) {
		if (!strcmp(name, origin_name(i))) {
			*origin = i;
			return true;
		}
	}
	return false;
}

/* NULL, or what is wrong. */
static const char *read_peer(struct state_peer *peer, const json_t *item)
{
	const char *reserved = json_text_string(item, "reserved");
	const char *address = reserved ? reserved : json_text_string(item, "address");
	const char *key = json_text_string(item, "key"), *name = json_text_string(item, "name");
	const char *endpoint = json_text_string(item, "endpoint");

	peer->reserved = reserved != NULL;
	if (!address || text_peer_addr(&peer->address, address, strlen(address)))
		return "its address";
	if (reserved)
		return NULL;
	if (!key || !key_from_base64(peer->public_key.bytes, key, strlen(key)))
		return "its key";
	if (!read_origin(&peer->origin, json_text_string(item, "origin")))
		return "its origin";
	if (name && (strlen(name) > 1024 || !text_is_line(name, strlen(name))))
		return "its name";
	/* An endpoint is a convenience: without one the peer calls. */
	if (endpoint && text_endpoint(&peer->endpoint, endpoint, strlen(endpoint)))
		peer->endpoint = (struct wgh_endpoint){0};
	return NULL;
}

static int read_peers(struct state *state, const json_t *list, struct notes *notes)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		const char *name = json_text_string(item, "name"), *why;
		struct state_peer peer = {0}, *place;

		why = read_peer(&peer, item);
		if (why) {
			notes_add(notes, "state: peer %zu is left out: %s is damaged", i, why);
			continue;
		}
		peer.name = strdup(name ? name : "");
		place = peer.name ? state_add(state) : NULL;
		if (!place) {
			free(peer.name);
			return -ENOMEM;
		}
		*place = peer;
	}
	return 0;
}

static int read_state(
	struct state *state, const json_t *root, struct notes *notes, struct wgh_error *error)
{
	const json_t *peers = json_object_get(root, "peers");
	const json_t *server = json_object_get(root, "server");
	const char *factory = json_text_string(root, "factory");
	int err;

	if (json_text_number(root, "version", 0) != STATE_VERSION || !json_is_array(peers)) {
		error_set(error, "this is no state of wghub, or of another version");
		return -EINVAL;
	}
	state->last_sync_s = json_text_number(root, "last_sync", 0);
	state->has_server = read_server(&state->server, server);
	if (server && !state->has_server)
		notes_add(notes, "state: the published hub is damaged");
	err = read_peers(state, peers, notes);
	if (!err && factory) {
		state->factory = strdup(factory);
		err = state->factory ? 0 : -ENOMEM;
	}
	if (err)
		error_set(error, "out of memory");
	return err;
}

int state_parse(struct state *state, const char *text, size_t n, struct notes *notes,
	struct wgh_error *error)
{
	json_t *root;
	int err = json_text_load(&root, text, n, JSON_NUMBERS_REAL, error);

	*state = (struct state){0};
	if (err)
		return err;
	err = read_state(state, root, notes, error);
	json_decref(root);
	if (err)
		state_fini(state);
	return err;
}

/* ---- the file ---- */

static void put_aside(const char *path, struct wgh_error *error)
{
	char why[sizeof error->text], shown[100];

	strcpy(why, error->text);
	text_escape(shown, sizeof shown, path, strlen(path));
	if (file_put_aside(path) == 0)
		error_set(error, "%s: %.100s; it is now %s.damaged", shown, why, shown);
	else
		error_set(error, "%s: %.100s", shown, why);
}

int state_load(struct state *state, const char *path, struct notes *notes, struct wgh_error *error)
{
	struct file_text file;
	int err = file_read(&file, path, STATE_BYTES_MAX, error);

	*state = (struct state){0};
	if (err)
		return err;
	err = state_parse(state, file.bytes, file.n, notes, error);
	if (err == -EINVAL || err == -E2BIG)
		put_aside(path, error);
	file_text_fini(&file);
	return err;
}

int state_save(const struct state *state, const char *path, struct wgh_error *error)
{
	size_t n = 0;
	char *text;
	int err = state_to_text(&text, &n, state);

	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	err = file_replace(path, text, n, 0600, FILE_IN_PLACE_OK, error);
	json_text_free(text);
	return err;
}
