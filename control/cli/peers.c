/* peers.c - the peers of a Factory's hub as a table or as JSON: `wghub devices`, `client list`. */
#include "control/cli/hubs.h"

#include "control/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_WIDTH_MAX 40

/* Numerically, those without an address last; then by name. */
static int compare_peers(const void *a, const void *b)
{
	const struct show_section *x = a, *y = b;
	const char *name_x = show_value(x, "peer"), *name_y = show_value(y, "peer");
	const char *text_x = show_value(x, "address"), *text_y = show_value(y, "address");
	struct wgh_addr addr_x = {.bytes = {255, 255, 255, 255}}, addr_y = addr_x;
	int order;

	if (text_x && text_addr(&addr_x, text_x, strlen(text_x)))
		text_x = NULL;
	if (text_y && text_addr(&addr_y, text_y, strlen(text_y)))
		text_y = NULL;
	order = memcmp(addr_x.bytes, addr_y.bytes, sizeof addr_x.bytes);
	return order ? order : strcmp(name_x ? name_x : "", name_y ? name_y : "");
}

/* NULL: no memory. */
static struct show_section *sort_peers(const struct ctl_answer *answer, size_t *n)
{
	struct show_section *peers, s;
	size_t at, begin;

	*n = 0;
	hub_head(&s, answer, "peer", &begin);
	for (at = begin; hub_next(&s, answer, "peer", &at);)
		++*n;
	peers = calloc(*n + 1, sizeof *peers);
	if (!peers)
		return NULL;
	*n = 0;
	for (at = begin; hub_next(&s, answer, "peer", &at);)
		peers[(*n)++] = s;
	qsort(peers, *n, sizeof *peers, compare_peers);
	return peers;
}

/* Columns a terminal shows: letters, not bytes. */
static int width(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void put_column(const char *text, int wide)
{
	printf("%s%*s", text, wide > width(text) ? wide - width(text) + 2 : 2, "");
}

static void bytes_text(char out[32], uint64_t n)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double scaled = (double)n;
	unsigned unit = 0;

	for (; scaled >= 1024 && unit < 6; unit++)
		scaled /= 1024;
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", scaled, units[unit]);
}

static void print_row(const struct show_section *s, int name_width)
{
	char text[HUB_VALUE_CHARS], span[HUB_SPAN_CHARS + 4] = "never", rx[32], tx[32];
	uint64_t handshake_s = show_number(s, "latest_handshake");

	put_column(hub_value(text, s, "peer"), name_width);
	put_column(hub_value(text, s, "address"), 15);
	put_column(hub_value(text, s, "state"), 9);
	if (show_value(s, "why")) {
		printf("%s\n", hub_value(text, s, "why"));
		return;
	}
	if (handshake_s) {
		hub_span(span, (int64_t)time(NULL) - (int64_t)handshake_s);
		strcat(span, " ago");
	}
	bytes_text(rx, show_number(s, "rx_bytes"));
	bytes_text(tx, show_number(s, "tx_bytes"));
	put_column(span, 12);
	put_column(hub_value(text, s, "endpoint"), 21);
	put_column(rx, 10);
	puts(tx);
}

static int print_table(const struct show_section *peers, size_t n)
{
	char text[HUB_VALUE_CHARS];
	int name_width = 4;

	for (size_t i = 0; i < n; i++) {
		int w = width(hub_value(text, &peers[i], "peer"));

		name_width = w > name_width ? w : name_width;
	}
	name_width = name_width > NAME_WIDTH_MAX ? NAME_WIDTH_MAX : name_width;
	put_column("NAME", name_width);
	put_column("ADDRESS", 15);
	put_column("STATE", 9);
	put_column("HANDSHAKE", 12);
	put_column("ENDPOINT", 21);
	put_column("RECEIVED", 10);
	puts("SENT");
	for (size_t i = 0; i < n; i++)
		print_row(&peers[i], name_width);
	return 0;
}

static void set_text(
	json_t *object, const struct show_section *s, const char *key, const char *member)
{
	char text[HUB_VALUE_CHARS];

	json_object_set_new(object, member,
		show_value(s, key) ? json_string(hub_value(text, s, key)) : json_null());
}

static json_t *peer_json(const struct show_section *s)
{
	json_t *peer = json_object();
	uint64_t handshake_s = show_number(s, "latest_handshake");

	set_text(peer, s, "peer", "name");
	set_text(peer, s, "address", "address");
	set_text(peer, s, "public_key", "public_key");
	set_text(peer, s, "origin", "origin");
	set_text(peer, s, "state", "state");
	json_object_set_new(peer, "online", json_boolean(hub_is(s, "state", "online")));
	set_text(peer, s, "why", "why");
	json_object_set_new(peer, "latest_handshake",
		handshake_s ? json_integer((json_int_t)handshake_s) : json_null());
	set_text(peer, s, "endpoint", "endpoint");
	json_object_set_new(peer, "rx_bytes", json_integer((json_int_t)show_number(s, "rx_bytes")));
	json_object_set_new(peer, "tx_bytes", json_integer((json_int_t)show_number(s, "tx_bytes")));
	return peer;
}

int hub_print_json(void *json, bool wanted)
{
	int code = 0;

	if (wanted &&
		(!json || json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) ||
			puts("") < 0 || fflush(stdout))) {
		say_error("the answer could not be written");
		code = EXIT_FAILED;
	}
	json_decref(json);
	return code;
}

int hub_print_peers(const struct ctl_answer *answer, bool as_json)
{
	size_t n;
	struct show_section *peers = sort_peers(answer, &n);
	json_t *list;
	int code;

	if (!peers) {
		say_error("out of memory");
		return EXIT_FAILED;
	}
	if (as_json) {
		list = json_array();
		for (size_t i = 0; i < n; i++)
			json_array_append_new(list, peer_json(&peers[i]));
		code = hub_print_json(list, true);
	} else {
		code = print_table(peers, n);
	}
	free(peers);
	return code;
}

/* ---- wghub devices ---- */

static int run(int argc, char **argv)
{
	struct ctl_answer answer;
	struct hub_ask ask;
	int code = hub_ask_read(&ask, &command_devices, HUB_ASK_JSON, argc, argv);

	if (code)
		return code;
	if (ask.n_words)
		return say_usage(&command_devices, "it takes no words; see also wghub help device");
	code = hub_ask(&ask, &answer, "devices", NULL, 0, CTL_TIMEOUT_S);
	if (code)
		return code;
	code = hub_print_peers(&answer, ask.json);
	ctl_answer_fini(&answer);
	return code;
}

const struct command command_devices = {"devices", run,
	"the Factory's devices: name, address, online, last handshake, endpoint, traffic",
	"Usage: wghub devices [--json] [-n INTERFACE] [--socket-dir DIR]\n"
	"\n"
	"Lists the devices that the API told of last, and what the hub's tunnel knows of each. "
	"STATE "
	"is online\n"
	"(a handshake in the last 3 minutes), offline, disabled (at the API), refused (and why), "
	"or "
	"withdrawn\n"
	"(the whole VPN is switched off). Devices that never had a VPN address are not in the "
	"API's "
	"list.\n" HUB_ASK_HELP};
