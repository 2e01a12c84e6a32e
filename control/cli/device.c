/* device.c - `wghub device`: a device's VPN switched on and off at the API, and shown.
 *
 * What the command line does not say is learned from the hub that runs here: the factory, where the
 * API is, its credentials' file, and the addresses of clients, which the API does not know. The hub
 * is told to sync afterwards. Without a hub on this host everything works that the API can do. */
#include "control/cli/factory_options.h"
#include "control/cli/hubs.h"

#include "control/factory_device.h"
#include "control/json_text.h"
#include "control/log.h"
#include "control/uapi_socket.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYNC_TIMEOUT_S 90

struct device {
	struct factory_options o;
	struct hub_ask ask;
	bool has_hub;
	struct ctl_answer hub; /* status; options may point into it */
	struct ctl_answer peers;
	struct wgh_addr *taken;
	struct device_job job;
	struct notes notes;
};

/* ---- the hub here ---- */

static void learn_places(struct device *d)
{
	struct factory_http_options *http = &d->o.factory.poll.http;
	const char *factory = ctl_value(&d->hub, "factory");

	if (!d->o.name) {
		d->o.name = factory;
		d->o.factory.poll.factory = factory;
	}
	if (!factory || strcmp(factory, d->o.name))
		return; /* another factory's credentials go nowhere */
	if (!http->api_url && !http->oauth_url && !http->ca_file) {
		http->api_url = ctl_value(&d->hub, "api_url");
		http->oauth_url = ctl_value(&d->hub, "oauth_url");
		http->ca_file = ctl_value(&d->hub, "ca_file");
	}
	if (!d->o.token && !http->creds_path && !getenv("CREDENTIALS_DIRECTORY") &&
		!getenv("APITOKEN"))
		http->creds_path = ctl_value(&d->hub, "creds_path");
	d->has_hub = true;
}

/* Of everybody who is no device; and this device's own, where the hub does not take it. */
static int learn_addresses(struct device *d)
{
	struct show_section s;
	size_t at, n = 0;

	if (!d->has_hub || hub_ask_quietly(&d->ask, &d->peers, "peers", CTL_TIMEOUT_S))
		return 0;
	hub_head(&s, &d->peers, "peer", &at);
	for (size_t i = at; hub_next(&s, &d->peers, "peer", &i);)
		n++;
	d->taken = calloc(n + 1, sizeof *d->taken);
	if (!d->taken)
		return -ENOMEM;
	while (hub_next(&s, &d->peers, "peer", &at)) {
		const char *text = show_value(&s, "address");
		struct wgh_addr *addr = &d->taken[d->job.n_taken];

		if (!text || text_peer_addr(addr, text, strlen(text)))
			continue;
		if (!hub_is(&s, "origin", "factory"))
			d->job.n_taken++;
		else if (hub_is(&s, "peer", d->job.name) && show_value(&s, "reason") &&
			!strncmp(show_value(&s, "reason"), "address", 7))
			d->job.refused = *addr;
	}
	d->job.taken = d->taken;
	return 0;
}

static void find_hub(struct device *d)
{
	d->ask.command = &command_device;
	d->ask.socket_dir =
		d->o.hub.daemon.socket_dir ? d->o.hub.daemon.socket_dir : uapi_socket_default_dir();
	snprintf(d->ask.found, sizeof d->ask.found, "%s", d->o.ifname);
	if (!d->ask.socket_dir || hub_ask_quietly(&d->ask, &d->hub, "status", CTL_TIMEOUT_S))
		return;
	learn_places(d);
}

/* What the hub's tunnel knows of the device. False: nothing. */
static bool find_peer(struct device *d, struct show_section *s)
{
	size_t at;

	ctl_answer_fini(&d->peers);
	if (!d->has_hub || hub_ask_quietly(&d->ask, &d->peers, "devices", CTL_TIMEOUT_S))
		return false;
	hub_head(s, &d->peers, "peer", &at);
	while (hub_next(s, &d->peers, "peer", &at)) {
		if (hub_is(s, "peer", d->job.name))
			return true;
	}
	return false;
}

/* ---- enable, disable ---- */

static void say_notes(struct device *d)
{
	for (size_t i = 0; i < d->notes.n; i++)
		say_error("%s: note: %s", d->job.name, d->notes.lines[i]);
}

static int say_failure(int err, const struct wgh_error *error)
{
	say_error("%s", error->text);
	if (err == -EACCES)
		say_error("it takes credentials that may change devices (devices:read-update): "
			  "--oauthcreds FILE or APITOKEN=...");
	return EXIT_FAILED;
}

/* Why the hub that runs here refuses the device; NULL: it does not, or there is none. */
static const char *tell_hub(struct device *d, char text[HUB_VALUE_CHARS])
{
	struct show_section s;
	struct ctl_answer sync;

	if (!d->has_hub)
		return NULL;
	if (hub_ask_quietly(&d->ask, &sync, "sync", SYNC_TIMEOUT_S)) {
		say_error("the hub here could not be told; it will ask by itself");
		return NULL;
	}
	ctl_answer_fini(&sync);
	if (!find_peer(d, &s) || !hub_is(&s, "state", "refused"))
		return NULL;
	return hub_value(text, &s, "why");
}

static int print_switched(
	const struct device *d, bool on, bool changed, const char *address, const char *refused)
{
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(d->job.name));
	json_object_set_new(json, "enabled", json_boolean(on));
	json_object_set_new(json, "changed", json_boolean(changed));
	json_object_set_new(json, "address", address ? json_string(address) : json_null());
	json_object_set_new(json, "refused", refused ? json_string(refused) : json_null());
	return hub_print_json(json, true);
}

static int switch_device(struct device *d, bool on)
{
	char address[TEXT_ADDR_CHARS] = "no address", shown[200], why[HUB_VALUE_CHARS];
	const char *refused;
	struct wgh_error error = {""};
	struct device_result result;
	bool has_address;
	int err = on ? device_enable(&result, &d->job, &d->notes, &error)
		     : device_disable(&result, &d->job, &d->notes, &error);

	text_escape(shown, sizeof shown, d->job.name, strlen(d->job.name));
	say_notes(d);
	if (err)
		return say_failure(err, &error);
	has_address = result.file.address.family != WGH_UNSPEC;
	if (has_address)
		text_from_addr(address, &result.file.address);
	if (!d->o.json)
		printf("%s: %s%s, %s%s\n", shown, result.changed ? "" : "already ",
			on ? "on" : "off", address,
			result.changed ? "; the device acts on it within 5 minutes" : "");
	fflush(stdout);
	refused = tell_hub(d, why);
	if (d->o.json &&
		print_switched(d, on, result.changed, has_address ? address : NULL, refused))
		return EXIT_FAILED;
	if (refused)
		say_error("but the hub: %s", refused);
	return refused ? EXIT_FAILED : 0;
}

static int run_enable(struct device *d)
{
	return switch_device(d, true);
}

static int run_disable(struct device *d)
{
	return switch_device(d, false);
}

/* ---- show ---- */

/* Members of the API's device that people ask for. */
static const struct {
	const char *member, *label;
} members[] = {{"uuid", "uuid"}, {"last-seen", "last seen by the API"}, {"status", "status"},
	{"target-name", "target"}, {"tag", "tag"}};

static json_t *show_json_of(struct device *d, const struct device_result *now, const json_t *api,
	struct show_section *s)
{
	char address[TEXT_ADDR_CHARS], key[KEY_BASE64_CHARS + 1], text[HUB_VALUE_CHARS];
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(d->job.name));
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		const char *value = json_text_string(api, members[i].member);

		json_object_set_new(
			json, members[i].member, value ? json_string(value) : json_null());
	}
	text_from_addr(address, &now->file.address);
	key_to_base64(key, now->file.public_key.bytes);
	json_object_set_new(json, "enabled", json_boolean(now->file.enabled));
	json_object_set_new(json, "address",
		now->file.address.family == WGH_UNSPEC ? json_null() : json_string(address));
	json_object_set_new(
		json, "public_key", now->file.has_public_key ? json_string(key) : json_null());
	json_object_set_new(json, "acts_on_changes", json_boolean(now->on_changed));
	json_object_set_new(
		json, "state", s ? json_string(hub_value(text, s, "state")) : json_null());
	json_object_set_new(json, "endpoint",
		s && show_value(s, "endpoint") ? json_string(hub_value(text, s, "endpoint"))
					       : json_null());
	json_object_set_new(json, "latest_handshake",
		s && show_number(s, "latest_handshake")
			? json_integer((json_int_t)show_number(s, "latest_handshake"))
			: json_null());
	return json;
}

static void show_text_of(struct device *d, const struct device_result *now, const json_t *api,
	struct show_section *s)
{
	char text[HUB_VALUE_CHARS], address[TEXT_ADDR_CHARS] = "none",
				    key[KEY_BASE64_CHARS + 1] = "none";

	text_escape(text, sizeof text, d->job.name, strlen(d->job.name));
	printf("device: %s\n", text);
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		const char *value = json_text_string(api, members[i].member);

		if (!value)
			continue;
		text_escape(text, sizeof text, value, strlen(value));
		printf("  %s: %s\n", members[i].label, text);
	}
	if (now->file.address.family != WGH_UNSPEC)
		text_from_addr(address, &now->file.address);
	if (now->file.has_public_key)
		key_to_base64(key, now->file.public_key.bytes);
	printf("  VPN: %s\n  address: %s\n  public key: %s\n", now->file.enabled ? "on" : "off",
		address, key);
	if (now->file.has_public_key && now->file.enabled && !now->on_changed)
		printf("  note: the device does not act on it: the VPN's handler is not in "
		       "on-changed; wghub device enable mends it\n");
	if (!s)
		return;
	printf("  tunnel: %s", hub_value(text, s, "state"));
	if (show_value(s, "why"))
		printf(": %s", hub_value(text, s, "why"));
	else if (show_value(s, "endpoint"))
		printf(", %s", hub_value(text, s, "endpoint"));
	puts("");
}

static int run_show(struct device *d)
{
	struct wgh_error error = {""};
	struct device_result now = {.changed = false};
	struct factory_reply reply;
	struct show_section s;
	char path[DEVICE_PATH_CHARS];
	json_t *api = NULL;
	bool known;
	int code = 0, err = device_read(&now, &d->job, &d->notes, &error);

	say_notes(d);
	if (err)
		return say_failure(err, &error);
	device_path(path, &d->job, "");
	factory_once_get(d->job.once, path, &reply);
	if (reply.outcome == FACTORY_OK &&
		json_text_load(&api, reply.body, reply.n, JSON_NUMBERS_REAL, &error))
		api = NULL;
	factory_reply_fini(&reply);
	known = find_peer(d, &s);
	if (d->o.json)
		code = hub_print_json(show_json_of(d, &now, api, known ? &s : NULL), true);
	else
		show_text_of(d, &now, api, known ? &s : NULL);
	json_decref(api);
	return code;
}

/* ---- the command ---- */

static int run_verb(struct device *d, int (*verb)(struct device *))
{
	struct wgh_error error = {""};
	int code;

	find_hub(d);
	if (!d->o.name)
		return say_usage(&command_device,
			"--factory NAME is missing, and no Factory's hub runs here that would "
			"know");
	code = factory_find_creds(&d->o);
	if (code)
		return code;
	if (factory_once_new(&d->job.once, &d->o.factory.poll.http, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	d->job.factory = d->o.name;
	if (learn_addresses(d)) {
		say_error("out of memory");
		return EXIT_FAILED;
	}
	return verb(d);
}

static int run(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct device *);
	} verbs[] = {{"enable", run_enable}, {"disable", run_disable}, {"show", run_show}};
	int (*verb)(struct device *) = NULL;
	struct device d = {.has_hub = false};
	int code = factory_options_read(&d.o, &command_device, FOR_DEVICE, argc, argv);

	log_set_level(LEVEL_WARN);
	for (size_t i = 0; !code && d.o.n_words && i < sizeof verbs / sizeof *verbs; i++) {
		if (!strcmp(d.o.words[0], verbs[i].name))
			verb = verbs[i].run;
	}
	if (!code && (!verb || d.o.n_words != 2 || !*d.o.words[1]))
		code = say_usage(
			&command_device, "say enable, disable or show, and a device's name");
	if (!code) {
		d.job.name = d.o.words[1];
		code = run_verb(&d, verb);
	}
	factory_once_free(d.job.once);
	notes_fini(&d.notes);
	free(d.taken);
	ctl_answer_fini(&d.peers);
	ctl_answer_fini(&d.hub);
	factory_options_fini(&d.o);
	return code;
}

const struct command command_device = {"device", run,
	"one device's VPN at the Factory: enable, disable, show",
	"Usage: wghub device enable|disable NAME [--json] [OPTIONS]\n"
	"       wghub device show NAME [--json] [OPTIONS]\n"
	"\n"
	"enable gives the device the first address after the hub's that no device and no client "
	"has, "
	"unless it\n"
	"has one, and switches its VPN on; disable switches it off and keeps the address. Both "
	"read "
	"back what\n"
	"they wrote, take another address where somebody was faster, write nothing that is so "
	"already, "
	"and tell\n"
	"the hub that runs here. The device acts on it when it next asks for its config, within 5 "
	"minutes.\n"
	"Where a hub runs here the factory, the API and its credentials' file are known; changing "
	"a "
	"device takes\n"
	"the right devices:read-update, which the hub itself does not need.\n"
	"--json of enable and disable: name, enabled, changed, address, and refused: why the hub "
	"here does not "
	"take it.\n"
	"  -n, --intf-name NAME   which hub, where several Factories' run here\n"
	"  --socket-dir DIR       where its socket is (/var/run/wireguard)\n" FACTORY_API_HELP};
