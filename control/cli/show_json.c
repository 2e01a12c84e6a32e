/* show_json.c - a hub's answer for programs. jansson takes well-formed UTF-8 only, which
 * text_escape() makes of anything. A member that could not be added for lack of memory is missing;
 * the last one decides about NULL. */
#include "control/cli/show.h"

#include "control/text.h"

#include <jansson.h>
#include <string.h>

static json_t *escaped(const char *value)
{
	char shown[256];

	text_escape(shown, sizeof shown, value, strlen(value));
	return json_string(shown);
}

static void set_string(
	json_t *object, const struct show_section *s, const char *key, const char *member)
{
	const char *value = show_value(s, key);

	json_object_set_new(object, member, value ? escaped(value) : json_null());
}

static void set_number(
	json_t *object, const struct show_section *s, const char *key, const char *member)
{
	json_object_set_new(object, member, json_integer((json_int_t)show_number(s, key)));
}

static void set_key(json_t *object, const struct show_section *s, const char *key)
{
	char text[SHOW_KEY_CHARS];

	if (!show_value(s, key)) {
		json_object_set_new(object, "public_key", json_null());
		return;
	}
	show_key(text, s, key);
	json_object_set_new(object, "public_key", json_string(text));
}

static void set_list(
	json_t *object, const struct show_section *s, const char *key, const char *member)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++) {
		if (!strcmp(s->lines[i].key, key))
			json_array_append_new(list, escaped(s->lines[i].value));
	}
	json_object_set_new(object, member, list);
}

/* {"no_route": 12}; reasons that never happened are left out. */
static void set_drops(json_t *object, const struct show_section *s)
{
	json_t *drops = json_object();

	for (size_t i = 0; i < s->n; i++) {
		const char *value = s->lines[i].value, *space = strchr(value, ' ');
		char name[64];
		uint64_t n;

		if (strcmp(s->lines[i].key, "drop") || !space ||
			!text_number(&n, space + 1, strlen(space + 1), INT64_MAX))
			continue;
		text_escape(name, sizeof name, value, (size_t)(space - value));
		json_object_set_new(drops, name, json_integer((json_int_t)n));
	}
	json_object_set_new(object, "drops", drops);
}

static json_t *peer_json(const struct show_section *s)
{
	json_t *peer = json_object();
	uint64_t handshake_s = show_number(s, "last_handshake_time_sec");

	set_key(peer, s, "public_key");
	set_string(peer, s, "name", "name");
	set_string(peer, s, "endpoint", "endpoint");
	set_list(peer, s, "allowed_ip", "allowed_ips");
	json_object_set_new(peer, "latest_handshake",
		handshake_s ? json_integer((json_int_t)handshake_s) : json_null());
	set_number(peer, s, "rx_bytes", "rx_bytes");
	set_number(peer, s, "tx_bytes", "tx_bytes");
	set_number(peer, s, "persistent_keepalive_interval", "persistent_keepalive");
	set_string(peer, s, "group", "group");
	set_string(peer, s, "nat", "nat");
	set_list(peer, s, "wide", "wide");
	set_number(peer, s, "flows", "flows");
	json_object_set_new(peer, "has_preshared_key",
		json_boolean(show_value(s, "has_preshared_key") != NULL));
	set_drops(peer, s);
	return peer;
}

void *show_json(const struct ctl_answer *answer)
{
	json_t *hub = json_object(), *peers = json_array();
	struct show_section s;
	size_t at;

	show_hub_section(&s, answer, &at);
	set_key(hub, &s, "hub_public_key");
	set_number(hub, &s, "listen_port", "listen_port");
	set_number(hub, &s, "fwmark", "fwmark");
	set_list(hub, &s, "address", "addresses");
	set_number(hub, &s, "mtu", "mtu");
	set_number(hub, &s, "workers", "workers");
	set_string(hub, &s, "aead", "aead");
	set_list(hub, &s, "offload", "offloads");
	set_string(hub, &s, "version", "version");
	set_number(hub, &s, "forwarded", "forwarded");
	set_number(hub, &s, "flows", "flows");
	set_number(hub, &s, "flows_max", "flows_max");
	set_list(hub, &s, "policy", "policy");
	set_drops(hub, &s);
	while (show_next_peer(&s, answer, &at))
		json_array_append_new(peers, peer_json(&s));
	json_object_set_new(hub, "peers", peers);
	return hub;
}
