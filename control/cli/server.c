/* server.c - `wghub server show`: the hub that is published, ours or another. */
#include "control/cli/factory_options.h"

#include "control/ctl_client.h"
#include "control/factory_json.h"
#include "control/factory_once.h"
#include "control/log.h"
#include "control/uapi_socket.h"
#include "crypto/key_text.h"
#include "crypto/x25519.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct published_hub {
	bool is_there, is_readable, on_changed, unencrypted;
	struct server_file file;
	struct notes notes;
	struct wgh_error why; /* not readable */
};

enum whose { WHOSE_UNKNOWN, WHOSE_OURS, WHOSE_ANOTHERS };

/* ---- reading ---- */

static int read_hub(struct published_hub *hub, const struct factory_reply *reply)
{
	struct wgh_error error = {""};
	struct factory_file file;

	*hub = (struct published_hub){0};
	if (factory_file_find(&file, reply->body, reply->n, SERVER_FILE_NAME, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	hub->is_there = file.value;
	hub->on_changed = file.on_changed;
	hub->unencrypted = file.unencrypted;
	if (file.value)
		hub->is_readable = !server_file_parse(
			&hub->file, file.value, strlen(file.value), &hub->notes, &hub->why);
	factory_file_fini(&file);
	return 0;
}

static int ask(struct published_hub *hub, const struct factory_options *o)
{
	struct wgh_error error = {""};
	struct factory_once *once;
	struct factory_reply reply;
	char path[160];
	int code;

	if (factory_once_new(&once, &o->factory.poll.http, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	snprintf(path, sizeof path, "/ota/factories/%s/config/", o->name);
	factory_once_get(once, path, &reply);
	if (reply.outcome == FACTORY_OK) {
		code = read_hub(hub, &reply);
	} else {
		say_error("%s", reply.why);
		code = EXIT_FAILED;
	}
	factory_reply_fini(&reply);
	factory_once_free(once);
	return code;
}

/* Our key: of --privatekey, else of the hub that runs here. */
static bool own_key(uint8_t key[32], struct factory_options *o)
{
	const char *dir =
		o->hub.daemon.socket_dir ? o->hub.daemon.socket_dir : uapi_socket_default_dir();
	struct x25519_secret secret;
	struct x25519_public public;
	struct ctl_answer answer;
	struct wgh_error ignored;
	bool found = false;

	if (o->key_path) {
		memcpy(secret.bytes, o->factory.private_key, sizeof secret.bytes);
		found = x25519_public_from_secret(&public, &secret);
		secret_wipe(&secret, sizeof secret);
		memcpy(key, public.bytes, 32);
		return found;
	}
	if (!dir || ctl_get(&answer, dir, o->ifname, &ignored))
		return false;
	for (size_t i = 0; i < answer.n_lines && !found; i++) {
		const char *value = answer.lines[i].value;

		if (!strcmp(answer.lines[i].key, "hub_public_key"))
			found = key_from_hex(key, value, strlen(value));
	}
	ctl_answer_fini(&answer);
	return found;
}

static enum whose whose_hub(const struct published_hub *hub, struct factory_options *o)
{
	uint8_t key[32];

	if (!hub->is_readable || !own_key(key, o))
		return WHOSE_UNKNOWN;
	return memcmp(key, hub->file.public_key.bytes, sizeof key) ? WHOSE_ANOTHERS : WHOSE_OURS;
}

/* ---- printing ---- */

static void print_text(
	const struct factory_options *o, const struct published_hub *hub, enum whose whose)
{
	static const char *const this_hub[] = {
		[WHOSE_UNKNOWN] = "not known: no hub runs here, and no --privatekey is given",
		[WHOSE_OURS] = "yes",
		[WHOSE_ANOTHERS] = "no, another one"};
	char endpoint[SERVER_ENDPOINT_CHARS], address[TEXT_ADDR_CHARS], key[KEY_BASE64_CHARS + 1];

	printf("factory: %s\n", o->name);
	if (!hub->is_there) {
		printf("  published: no; to publish this host: wghub enable\n");
		return;
	}
	if (!hub->is_readable) {
		printf("  published: yes, but it cannot be read: %s%s\n", hub->why.text,
			hub->unencrypted ? "" : " (it may be encrypted)");
		return;
	}
	server_file_endpoint_text(endpoint, &hub->file);
	text_from_addr(address, &hub->file.address);
	key_to_base64(key, hub->file.public_key.bytes);
	printf("  endpoint: %s\n  server address: %s\n  public key: %s\n  enabled: %s\n"
	       "  this hub: %s\n",
		endpoint, address, key,
		hub->file.enabled ? "yes" : "no, the VPN is off on all devices", this_hub[whose]);
	if (!hub->on_changed)
		printf("  note: without the VPN's handler in on-changed devices do not act on it; "
		       "wghub enable mends it\n");
	for (size_t i = 0; i < hub->notes.n; i++)
		printf("  note: %s\n", hub->notes.lines[i]);
}

static json_t *make_json(
	const struct factory_options *o, const struct published_hub *hub, enum whose whose)
{
	char address[TEXT_ADDR_CHARS], key[KEY_BASE64_CHARS + 1], endpoint[SERVER_ENDPOINT_CHARS];
	json_t *notes = json_array(), *published = json_null(), *ours = json_null();

	for (size_t i = 0; i < hub->notes.n; i++)
		json_array_append_new(notes, json_string(hub->notes.lines[i]));
	if (hub->is_readable) {
		server_file_endpoint_text(endpoint, &hub->file);
		text_from_addr(address, &hub->file.address);
		key_to_base64(key, hub->file.public_key.bytes);
		published = json_pack("{s:s, s:s, s:i, s:s, s:s, s:b, s:b}", "endpoint", endpoint,
			"host", hub->file.host, "port", hub->file.port, "server_address", address,
			"public_key", key, "enabled", hub->file.enabled, "on_changed",
			hub->on_changed);
	}
	if (whose != WHOSE_UNKNOWN)
		ours = json_boolean(whose == WHOSE_OURS);
	return json_pack("{s:s, s:b, s:o, s:s?, s:o, s:o}", "factory", o->name, "exists",
		hub->is_there, "published", published, "error",
		hub->is_there && !hub->is_readable ? hub->why.text : NULL, "is_this_hub", ours,
		"notes", notes);
}

static int print_json(
	const struct factory_options *o, const struct published_hub *hub, enum whose whose)
{
	json_t *json = make_json(o, hub, whose);
	int err = !json || json_dumpf(json, stdout, JSON_INDENT(2)) || puts("") < 0;

	json_decref(json);
	if (err)
		say_error("out of memory, or standard output is gone");
	return err ? EXIT_FAILED : 0;
}

/* ---- the command ---- */

static int run(int argc, char **argv)
{
	struct factory_options o;
	struct published_hub hub = {0};
	int code = factory_options_read(&o, &command_server, FOR_SERVER, argc, argv);

	log_set_level(LEVEL_WARN);
	if (!code && (o.n_words != 1 || strcmp(o.words[0], "show")))
		code = say_usage(&command_server, "what about the server? wghub server show");
	if (!code)
		code = factory_find_creds(&o);
	if (!code)
		code = factory_find_ifname(&o);
	if (!code && o.key_path)
		code = factory_read_key(&o);
	if (!code)
		code = ask(&hub, &o);
	if (!code && o.json)
		code = print_json(&o, &hub, whose_hub(&hub, &o));
	else if (!code)
		print_text(&o, &hub, whose_hub(&hub, &o));
	notes_fini(&hub.notes);
	factory_options_fini(&o);
	return code;
}

const struct command command_server = {"server", run,
	"show the hub that a factory's devices are told of: wghub server show",
	"Usage: wghub server show --factory F (--oauthcreds FILE | --apitoken T) [-k FILE] "
	"[--json]\n"
	"\n"
	"Shows wireguard-server of the factory's config, and whether it is this hub: by the "
	"private key given, or\n"
	"by the hub that runs here under --intf-name.\n"
	"  -k, --privatekey FILE  this hub's key\n"
	"  -n, --intf-name NAME   its interface (fio and the factory's name)\n"
	"  --socket-dir DIR       where its socket is\n"
	"  --json                 one object: factory, exists, published, error, is_this_hub, "
	"notes\n" FACTORY_API_HELP};
