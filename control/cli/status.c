/* status.c - `wghub status`: a Factory's hub in one screen, and what to do next. */
#include "control/cli/hubs.h"

#include "control/text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- what to do next ---- */

/* For each trouble, by its name: what helps. */
static const struct {
	const char *trouble, *next;
} remedies[] = {
	{"api unreachable", "check network, DNS, proxy and clock; it is tried again by itself"},
	{"api refuses", "check the credentials' rights (devices:read) and the factory's name"},
	{"no usable wireguard-server", "publish this hub: wghub ... enable"},
	{"factory points to another hub",
		"stop one of the two hubs, or publish this one: wghub ... enable"},
	{"vpn switched off", "publish again where that was not meant: wghub ... enable"},
	{"too many devices gone", "wait: they go when the next answer says the same"},
	{"interface not usable", "free the port or the interface, then: wghub sync"},
	{"peers not applied", "read why; restart the hub if it stays"},
	{"clients file not usable", "put the clients file right; the last list is kept until then"},
	{"state not written", "make room or the folder writable, or the next start knows less"},
	{"hosts file not written", "make it writable for the hub, or start it with --no-hosts"},
};

#define NEXT_MAX 20

struct next {
	const char *lines[NEXT_MAX];
	unsigned n;
};

static void add_next(struct next *next, const char *line)
{
	for (unsigned i = 0; i < next->n; i++) {
		if (!strcmp(next->lines[i], line))
			return;
	}
	if (next->n < NEXT_MAX)
		next->lines[next->n++] = line;
}

static void find_next(struct next *next, const struct show_section *s)
{
	if (hub_is(s, "login_needed", "true"))
		add_next(next, "log in again: wghub login");
	else if (hub_is(s, "creds", "none"))
		add_next(next, "put a credentials file in its place, or log in: wghub login");
	for (size_t i = 0; i < s->n; i++) {
		for (size_t j = 0; j < sizeof remedies / sizeof *remedies; j++) {
			if (!strcmp(s->lines[i].key, "trouble") &&
				!strcmp(s->lines[i].value, remedies[j].trouble))
				add_next(next, remedies[j].next);
		}
		if (!strcmp(s->lines[i].key, "refused"))
			add_next(next,
				"give one of the two another address: wghub device enable NAME "
				"gives a device a free one; a client's is in the clients file");
	}
	if (show_value(s, "creds_others_can_read"))
		add_next(next, "chmod 600 the credentials file");
	if (show_number(s, "pending"))
		add_next(next, "somebody unknown tried to connect: wghub client pending");
}

/* ---- for people ---- */

static void ago(char out[HUB_SPAN_CHARS + 8], const struct show_section *s, const char *key)
{
	uint64_t then_s = show_number(s, key);
	int64_t span_s = (int64_t)time(NULL) - (int64_t)then_s;

	if (then_s) {
		hub_span(out, span_s > 0 ? span_s : 0); /* the hub rounds up */
		strcat(out, " ago");
	} else {
		strcpy(out, "never");
	}
}

static bool key_matches(const struct show_section *s)
{
	const char *ours = show_value(s, "hub_public_key"),
		   *theirs = show_value(s, "published_key");

	return ours && theirs && !strcmp(ours, theirs);
}

static void print_hub(const struct show_section *s)
{
	char a[HUB_VALUE_CHARS], b[HUB_VALUE_CHARS], when[HUB_SPAN_CHARS + 8];

	printf("factory:    %s, interface %s\n", hub_value(a, s, "factory"),
		hub_value(b, s, "interface"));
	if (show_value(s, "endpoint"))
		printf("endpoint:   %s, listening on port %" PRIu64 ", address %s\n",
			hub_value(a, s, "endpoint"), show_number(s, "listen_port"),
			hub_value(b, s, "server_address"));
	else
		puts("endpoint:   none is published yet");
	printf("key:        %s, ", hub_value(a, s, "hub_public_key"));
	if (key_matches(s))
		puts("the published one");
	else if (show_value(s, "published_key"))
		printf("but published is %s\n", hub_value(b, s, "published_key"));
	else
		puts("not seen at the API yet");
	ago(when, s, "last_sync");
	printf("last sync:  %s; last question: %s\n", when, hub_value(a, s, "outcome"));
}

static void print_creds(const struct show_section *s)
{
	char kind[HUB_VALUE_CHARS], span[HUB_SPAN_CHARS];
	uint64_t end_s = show_number(s, "creds_expire");
	int64_t left_s = (int64_t)end_s - (int64_t)time(NULL);

	printf("login:      %s", hub_value(kind, s, "creds"));
	hub_span(span, left_s < 0 ? -left_s : left_s);
	if (hub_is(s, "login_needed", "true"))
		printf(", of no use any more");
	else if (end_s)
		printf(left_s < 0 ? ", ended %s ago" : ", for another %s", span);
	else if (!hub_is(s, "creds", "none"))
		printf(", end not known");
	puts(hub_is(s, "creds_renewable", "true") && !hub_is(s, "login_needed", "true")
			? ", renewed by itself"
			: "");
}

static void print_people(const struct show_section *s, const struct next *next)
{
	char text[HUB_VALUE_CHARS], span[HUB_SPAN_CHARS];

	print_hub(s);
	printf("devices:    %" PRIu64 " of %" PRIu64 " online, %" PRIu64 " disabled\n",
		show_number(s, "devices_online"), show_number(s, "devices"),
		show_number(s, "devices_disabled"));
	printf("clients:    %" PRIu64 " of %" PRIu64 " online\n", show_number(s, "clients_online"),
		show_number(s, "clients"));
	if (show_number(s, "others"))
		printf("others:     %" PRIu64 " of %" PRIu64 " online, made with wg\n",
			show_number(s, "others_online"), show_number(s, "others"));
	print_creds(s);
	hub_print_lines(s, "refused", "refused:    ");
	hub_print_lines(s, "left_out", "left out:   ");
	for (size_t i = 0; i < s->n; i++) {
		struct show_section rest = {s->lines + i, s->n - i};

		text_escape(text, sizeof text, s->lines[i].value, strlen(s->lines[i].value));
		if (strcmp(s->lines[i].key, "trouble"))
			continue;
		hub_span(span, (int64_t)time(NULL) - (int64_t)show_number(&rest, "since"));
		printf("trouble:    %s for %s: ", text, span);
		puts(hub_value(text, &rest, "why"));
	}
	if (show_number(s, "pending"))
		printf("pending:    %" PRIu64 " unknown keys\n", show_number(s, "pending"));
	for (unsigned i = 0; i < next->n; i++)
		printf("%s  %s\n", i ? "          " : "next:     ", next->lines[i]);
	if (!next->n)
		puts("next:       nothing, all is well");
}

/* ---- for programs ---- */

static json_t *text_json(const struct show_section *s, const char *key)
{
	char text[HUB_VALUE_CHARS];

	return show_value(s, key) ? json_string(hub_value(text, s, key)) : json_null();
}

static json_t *time_json(const struct show_section *s, const char *key)
{
	return show_number(s, key) ? json_integer((json_int_t)show_number(s, key)) : json_null();
}

static json_t *number_json(const struct show_section *s, const char *key)
{
	return json_integer((json_int_t)show_number(s, key));
}

static json_t *bool_json(const struct show_section *s, const char *key)
{
	return json_boolean(hub_is(s, key, "true"));
}

void *hub_list_json(const struct show_section *s, const char *key)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++) {
		struct show_section rest = {s->lines + i, s->n - i};

		if (strcmp(s->lines[i].key, key))
			continue;
		if (strcmp(key, "trouble"))
			json_array_append_new(list, text_json(&rest, key));
		else
			json_array_append_new(list,
				json_pack("{s:o, s:o, s:o}", "name", text_json(&rest, key), "since",
					time_json(&rest, "since"), "why", text_json(&rest, "why")));
	}
	return list;
}

static json_t *counts_json(
	const struct show_section *s, const char *all, const char *online, const char *disabled)
{
	json_t *counts = json_object();

	json_object_set_new(counts, "total", number_json(s, all));
	json_object_set_new(counts, "online", number_json(s, online));
	if (disabled)
		json_object_set_new(counts, "disabled", number_json(s, disabled));
	return counts;
}

static json_t *status_json(const struct show_section *s, const struct next *next)
{
	static const char *const texts[] = {"factory", "interface", "hub_public_key",
		"published_key", "endpoint", "server_address", "outcome", "outcome_why", "api_url",
		"clients_file", "state_file"};
	json_t *hub = json_object(), *list = json_array();

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		json_object_set_new(hub, texts[i], text_json(s, texts[i]));
	json_object_set_new(hub, "key_matches", json_boolean(key_matches(s)));
	json_object_set_new(hub, "listen_port", number_json(s, "listen_port"));
	json_object_set_new(hub, "enabled", bool_json(s, "enabled"));
	json_object_set_new(hub, "last_sync", time_json(s, "last_sync"));
	json_object_set_new(hub, "last_round", time_json(s, "last_round"));
	json_object_set_new(
		hub, "devices", counts_json(s, "devices", "devices_online", "devices_disabled"));
	json_object_set_new(hub, "clients", counts_json(s, "clients", "clients_online", NULL));
	json_object_set_new(hub, "others", counts_json(s, "others", "others_online", NULL));
	json_object_set_new(hub, "allowed_ips", hub_list_json(s, "allowed_ip"));
	json_object_set_new(hub, "credentials",
		json_pack("{s:o, s:o, s:o, s:o, s:o}", "kind", text_json(s, "creds"), "path",
			text_json(s, "creds_path"), "expire", time_json(s, "creds_expire"),
			"renewable", bool_json(s, "creds_renewable"), "login_needed",
			bool_json(s, "login_needed")));
	json_object_set_new(hub, "refused", hub_list_json(s, "refused"));
	json_object_set_new(hub, "left_out", hub_list_json(s, "left_out"));
	json_object_set_new(hub, "troubles", hub_list_json(s, "trouble"));
	json_object_set_new(hub, "pending", number_json(s, "pending"));
	for (unsigned i = 0; i < next->n; i++)
		json_array_append_new(list, json_string(next->lines[i]));
	json_object_set_new(hub, "next", list);
	return hub;
}

static int run(int argc, char **argv)
{
	struct ctl_answer answer;
	struct show_section s;
	struct next next = {.n = 0};
	struct hub_ask ask;
	int code = hub_ask_read(&ask, &command_status, HUB_ASK_JSON, argc, argv);

	if (code)
		return code;
	if (ask.n_words)
		return say_usage(&command_status, "it takes no words; another interface: -n NAME");
	code = hub_ask(&ask, &answer, "status", NULL, 0, CTL_TIMEOUT_S);
	if (code)
		return code;
	s = (struct show_section){answer.lines, answer.n_lines};
	find_next(&next, &s);
	if (ask.json)
		code = hub_print_json(status_json(&s, &next), true);
	else
		print_people(&s, &next);
	ctl_answer_fini(&answer);
	return code;
}

const struct command command_status = {"status", run,
	"a Factory's hub in one screen, and what to do next",
	"Usage: wghub status [--json] [-n INTERFACE] [--socket-dir DIR]\n"
	"\n"
	"Says which factory, whether its published key is this hub's, when it was last asked and "
	"with what\n"
	"outcome, who is online, who is refused and for whom, what is wrong since when, how long "
	"the "
	"login\n"
	"lasts, and what to do next. The exit code is 0 wherever the hub answers.\n" HUB_ASK_HELP};
