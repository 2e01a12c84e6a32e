/* show_text.c - a hub's answer for people. */
#include "control/cli/show.h"

#include "control/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void print_escaped(const char *value)
{
	char shown[256];

	text_escape(shown, sizeof shown, value, strlen(value));
	fputs(shown, stdout);
}

static void print_value(const struct show_section *s, const char *key, const char *label)
{
	const char *value = show_value(s, key);

	if (!value)
		return;
	printf("  %s: ", label);
	print_escaped(value);
	putchar('\n');
}

static void print_list(
	const struct show_section *s, const char *key, const char *label, const char *none)
{
	const char *between = "";

	if (!show_value(s, key) && !none)
		return;
	printf("  %s: %s", label, show_value(s, key) ? "" : none);
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->lines[i].key, key))
			continue;
		fputs(between, stdout);
		print_escaped(s->lines[i].value);
		between = ", ";
	}
	putchar('\n');
}

/* What the hub calls by a word, in a sentence. */
static const char *drop_text(const char *name, size_t n)
{
	for (unsigned i = 0; i < wgh_n_drop_reasons(); i++) {
		if (strlen(wgh_drop_reason(i)->name) == n &&
			!memcmp(wgh_drop_reason(i)->name, name, n))
			return wgh_drop_reason(i)->text;
	}
	return NULL;
}

/* "no_route 12" as "dropped: 12 no_route (destination is owned by nobody)". */
static void print_drops(const struct show_section *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *value = s->lines[i].value, *space = strchr(value, ' '), *text;

		if (strcmp(s->lines[i].key, "drop") || !space)
			continue;
		text = drop_text(value, (size_t)(space - value));
		fputs("  dropped: ", stdout);
		print_escaped(space + 1);
		putchar(' ');
		if (text)
			printf("%.*s (%s)\n", (int)(space - value), value, text);
		else
			puts("for another reason");
	}
}

static void bytes_text(char out[32], uint64_t n)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double scaled = (double)n;
	int unit = -1;

	for (; scaled >= 1024 && unit < 5; unit++)
		scaled /= 1024;
	if (unit < 0)
		snprintf(out, 32, "%" PRIu64 " B", n);
	else
		snprintf(out, 32, "%.2f %s", scaled, units[unit]);
}

static void print_ago(uint64_t then_s)
{
	static const struct {
		uint64_t seconds;
		const char *word;
	} units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
	uint64_t now_s = (uint64_t)time(NULL), ago = now_s > then_s ? now_s - then_s : 0;
	unsigned printed = 0;

	if (!ago) {
		puts("  latest handshake: now");
		return;
	}
	fputs("  latest handshake: ", stdout);
	for (unsigned i = 0; i < 4 && printed < 2; i++) {
		uint64_t n = ago / units[i].seconds;

		ago %= units[i].seconds;
		if (!n)
			continue;
		printf("%s%" PRIu64 " %s%s", printed++ ? ", " : "", n, units[i].word,
			n == 1 ? "" : "s");
	}
	puts(" ago");
}

/* "group: device" and, where the hub may speak in others' place, what it knows: "reach: stock
 * (sees the hub's address)". */
static void print_reach(const struct show_section *s)
{
	const char *nat = show_value(s, "nat");

	print_value(s, "group", "group");
	if (nat && !strcmp(nat, "always"))
		puts("  reach: stock, as the policy says: it sees the hub's address");
	else if (nat && !strcmp(nat, "auto") && show_value(s, "wide"))
		print_list(s, "wide", "reach: wide, it sees who calls", NULL);
	else if (nat && !strcmp(nat, "auto"))
		puts("  reach: stock: it sees the hub's address");
	print_value(s, "flows", "flows");
}

static void print_peer(const struct show_section *s)
{
	char key[SHOW_KEY_CHARS], rx[32], tx[32];
	const char *name = show_value(s, "name");
	uint64_t handshake_s = show_number(s, "last_handshake_time_sec");
	uint64_t keepalive_s = show_number(s, "persistent_keepalive_interval");

	show_key(key, s, "public_key");
	fputs("\npeer: ", stdout);
	if (name) {
		print_escaped(name);
		printf("\n  public key: %s\n", key);
	} else {
		puts(key);
	}
	if (show_value(s, "has_preshared_key"))
		puts("  preshared key: (hidden)");
	print_value(s, "endpoint", "endpoint");
	print_list(s, "allowed_ip", "allowed ips", "(none)");
	print_reach(s);
	if (handshake_s)
		print_ago(handshake_s);
	bytes_text(rx, show_number(s, "rx_bytes"));
	bytes_text(tx, show_number(s, "tx_bytes"));
	if (show_number(s, "rx_bytes") || show_number(s, "tx_bytes"))
		printf("  transfer: %s received, %s sent\n", rx, tx);
	if (keepalive_s)
		printf("  persistent keepalive: every %" PRIu64 " second%s\n", keepalive_s,
			keepalive_s == 1 ? "" : "s");
	print_drops(s);
}

void show_text(const char *ifname, const struct ctl_answer *answer)
{
	struct show_section s;
	char key[SHOW_KEY_CHARS];
	size_t at;

	show_hub_section(&s, answer, &at);
	printf("hub: %s\n", ifname);
	if (show_value(&s, "hub_public_key")) {
		show_key(key, &s, "hub_public_key");
		printf("  public key: %s\n", key);
	} else {
		puts("  public key: (none: it has no private key yet)");
	}
	print_value(&s, "listen_port", "listening port");
	print_value(&s, "fwmark", "fwmark");
	print_list(&s, "address", "addresses", NULL);
	print_value(&s, "mtu", "mtu");
	print_value(&s, "workers", "workers");
	print_value(&s, "aead", "aead");
	print_list(&s, "offload", "offloads", "none");
	print_value(&s, "forwarded", "packets forwarded");
	printf("  flows: %" PRIu64 " of at most %" PRIu64 "\n", show_number(&s, "flows"),
		show_number(&s, "flows_max"));
	print_value(&s, "policy_file", "policy file");
	print_drops(&s);
	while (show_next_peer(&s, answer, &at))
		print_peer(&s);
}
