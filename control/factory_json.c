/* factory_json.c - see factory_json.h: the peer list, config files and the body of a PATCH.
 * Devices, errors and logins are in factory_json_more.c. */
#include "control/factory_json.h"

#include "control/array.h"
#include "control/error.h"
#include "control/json_text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What devices run when the file changes; without it a file is stored and nothing happens. */
#define HANDLER "/usr/share/fioconfig/handlers/factory-config-vpn"

/* ---- wireguard-ips ---- */

/* The API was only ever seen to answer with a bare array. If that changes, the likely ways are
 * these, or the one array there is. NULL: none. */
static const json_t *list_in(const json_t *root)
{
	static const char *const names[] = {"wireguard-ips", "devices", "results", "items"};
	const json_t *value, *only = NULL;
	const char *name;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		value = json_object_get(root, names[i]);
		if (json_is_array(value))
			return value;
	}
	json_object_foreach((json_t *)root, name, value)
	{
		if (!json_is_array(value))
			continue;
		if (only)
			return NULL;
		only = value;
	}
	return only;
}

static bool read_enabled(const json_t *value, const char *name, struct notes *notes)
{
	const char *text = json_string_value(value);

	if (text && (!strcmp(text, "1") || !strcmp(text, "true"))) {
		notes_add(
			notes, "device %.100s: enabled is the text %s, taken as true", name, text);
		return true;
	}
	return json_is_true(value);
}

/* What is wrong with an enabled item, or NULL. Everything that is right is taken. */
static const char *read_peer(struct factory_peer *peer, const json_t *item, const char *name)
{
	const json_t *key = json_object_get(item, "pubkey"), *ip = json_object_get(item, "ip");
	const char *bad_ip;

	peer->has_key = json_is_string(key) &&
		key_from_base64(
			peer->public_key.bytes, json_string_value(key), json_string_length(key));
	bad_ip = !json_is_string(ip)
		? "it has no address"
		: text_peer_addr(&peer->address, json_string_value(ip), json_string_length(ip));
	if (!peer->has_key)
		return json_is_string(key) ? "its key is not one" : "it has no key";
	if (bad_ip)
		return bad_ip;
	if (!*name)
		return "it has no name";
	if (strlen(name) > FACTORY_NAME_BYTES)
		return "its name is longer than 255 bytes";
	return text_is_line(name, strlen(name)) ? NULL : "its name has control characters";
}

static int add_peer(struct factory_peers *peers, const json_t *item, struct notes *notes)
{
	const char *name = json_text_string(item, "name");
	struct factory_peer peer = {0};
	char shown[FACTORY_NAME_BYTES + 1];
	void *bigger;

	if (!json_is_object(item)) {
		notes_add(notes, "wireguard-ips: an item that is no object is skipped");
		return 0;
	}
	if (!name)
		name = "";
	peer.refused = read_peer(&peer, item, name);
	/* A name that may be used stays as it is: it is compared with others. */
	if (strlen(name) > FACTORY_NAME_BYTES || !text_is_line(name, strlen(name))) {
		text_escape(shown, sizeof shown, name, strlen(name));
		name = shown;
	}
	peer.enabled = read_enabled(json_object_get(item, "enabled"), name, notes);
	if (!peer.enabled)
		peer.refused = NULL;
	if (peers->n == peers->cap) {
		bigger = array_grow(peers->items, &peers->cap, sizeof *peers->items);
		if (!bigger)
			return -ENOMEM;
		peers->items = bigger;
	}
	peer.name = strdup(name);
	if (!peer.name)
		return -ENOMEM;
	peers->items[peers->n++] = peer;
	return 0;
}

static int add_peers(struct factory_peers *peers, const json_t *list, struct notes *notes)
{
	size_t before = peers->n;
	int err = 0;

	for (size_t i = 0; i < json_array_size(list) && !err; i++)
		err = add_peer(peers, json_array_get(list, i), notes);
	if (err) {
		while (peers->n > before)
			free(peers->items[--peers->n].name);
	}
	return err;
}

int factory_peers_add(struct factory_peers *peers, const char *body, size_t n, struct notes *notes,
	struct wgh_error *error)
{
	const json_t *list;
	const char *next;
	char *next_copy = NULL;
	json_t *root;
	int err = json_text_load(&root, body, n, JSON_NUMBERS_REAL, error);

	if (err)
		return err;
	list = json_is_array(root) ? root : list_in(root);
	next = json_text_string(root, "next");
	if (!list && !json_is_null(root)) {
		error_set(error, "wireguard-ips: the answer is JSON, but no list of devices");
		err = -EINVAL;
	} else if (json_array_size(list) > FACTORY_ITEMS_MAX - peers->n) {
		error_set(error, "wireguard-ips: more than %u devices", FACTORY_ITEMS_MAX);
		err = -E2BIG;
	} else if ((next && !(next_copy = strdup(next))) || (err = add_peers(peers, list, notes))) {
		error_set(error, "out of memory");
		err = -ENOMEM;
	}
	if (err) {
		free(next_copy);
	} else {
		free(peers->next);
		peers->next = next_copy;
		peers->certain = json_is_array(root);
	}
	json_decref(root);
	return err;
}

void factory_peers_fini(struct factory_peers *peers)
{
	for (size_t i = 0; i < peers->n; i++)
		free(peers->items[i].name);
	array_free(peers->items, peers->cap, sizeof *peers->items);
	free(peers->next);
	*peers = (struct factory_peers){0};
}

/* ---- config ---- */

/* The current element: an object, NULL if nothing was ever configured. -EINVAL: no config at all.
 */
static int current_element(const json_t **element, const json_t *root)
{
	const json_t *history = json_object_get(root, "config");
	const json_t *active = json_object_get(root, "active-config");

	*element = NULL;
	if (json_is_array(history)) {
		/* Newest first. An older element never counts: what is not in the first was
		 * deleted. */
		*element = json_array_get(history, 0);
		return json_array_size(history) == 0 || json_is_object(*element) ? 0 : -EINVAL;
	}
	if (json_is_null(history) || json_is_null(active))
		return 0;
	*element = json_is_object(active) ? active : root;
	return json_is_array(json_object_get(*element, "files")) ? 0 : -EINVAL;
}

static int take_file(struct factory_file *file, const json_t *item)
{
	const json_t *handler = json_object_get(item, "on-changed");
	const char *value = json_text_string(item, "value");
	const char *first = json_string_value(json_array_get(handler, 0));

	factory_file_fini(file);
	file->value = strdup(value ? value : "");
	file->unencrypted = json_is_true(json_object_get(item, "unencrypted"));
	file->on_changed = json_array_size(handler) == 1 && first && !strcmp(first, HANDLER);
	return file->value ? 0 : -ENOMEM;
}

int factory_file_find(struct factory_file *file, const char *body, size_t n, const char *name,
	struct wgh_error *error)
{
	const json_t *element, *files;
	json_t *root;
	int err = json_text_load(&root, body, n, JSON_NUMBERS_REAL, error);

	*file = (struct factory_file){0};
	if (err)
		return err;
	err = current_element(&element, root);
	files = json_object_get(element, "files");
	if (err || (files && !json_is_array(files) && !json_is_null(files))) {
		error_set(error, "config: the answer is JSON, but no configuration");
		err = -EINVAL;
	}
	for (size_t i = 0; !err && i < json_array_size(files); i++) {
		const json_t *item = json_array_get(files, i);
		const char *item_name = json_text_string(item, "name");

		if (!item_name || strcmp(item_name, name))
			continue;
		err = take_file(file, item);
		if (err)
			error_set(error, "out of memory");
	}
	if (err)
		factory_file_fini(file);
	json_decref(root);
	return err;
}

void factory_file_fini(struct factory_file *file)
{
	free(file->value);
	*file = (struct factory_file){0};
}

int factory_server_find(struct server_file *server, const char *body, size_t n, struct notes *notes,
	struct wgh_error *error)
{
	struct factory_file file;
	int err = factory_file_find(&file, body, n, SERVER_FILE_NAME, error);

	if (err)
		return err;
	if (!file.value) {
		error_set(error,
			"the factory has no " SERVER_FILE_NAME
			"; publish this hub with: wghub enable");
		return -ENOENT;
	}
	err = server_file_parse(server, file.value, strlen(file.value), notes, error);
	if (err && !file.unencrypted)
		error_set(error,
			SERVER_FILE_NAME ": the file is encrypted; set it again with "
					 "unencrypted: true");
	if (!err && !file.on_changed)
		notes_add(notes,
			SERVER_FILE_NAME
			": on-changed is not the VPN's handler, so devices will not act on it; "
			"publish the hub again");
	factory_file_fini(&file);
	return err;
}

int factory_patch_body(
	char **body, size_t *n, const char *name, const char *value, const char *reason)
{
	json_t *root;

	json_text_init();
	root = json_pack("{s:s, s:[{s:s, s:b, s:s, s:[s]}]}", "reason", reason, "files", "name",
		name, "unencrypted", 1, "value", value, "on-changed", HANDLER);
	*body = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	if (!*body)
		return -ENOMEM;
	*n = strlen(*body);
	return 0;
}
