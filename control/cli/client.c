/* client.c - `wghub client`: engineers come, go, and find out why they cannot connect.
 *
 * A private key is made here, printed once in the client's file, and wiped; the hub gets the public
 * one. The file goes to standard output, everything for people to standard error. */
#include "control/cli/hubs.h"
#include "control/client_file.h"
#include "control/qr_text.h"
#include "control/text.h"
#include "crypto/key_text.h"
#include "crypto/x25519.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEY_PREFIX_MIN 4 /* characters that approve and check take for a key */

/* ---- add, approve ---- */

static void fill_file(struct client_file *file, const struct ctl_answer *answer)
{
	file->factory = ctl_value(answer, "factory");
	file->name = ctl_value(answer, "peer");
	file->address = ctl_value(answer, "address");
	file->hub_key = ctl_value(answer, "hub_public_key");
	file->endpoint = ctl_value(answer, "endpoint");
	for (size_t i = 0; i < answer->n_lines && file->n_allowed_ips < CLIENT_FILE_PREFIXES_MAX;
		i++) {
		if (!strcmp(answer->lines[i].key, "allowed_ip"))
			file->allowed_ips[file->n_allowed_ips++] = answer->lines[i].value;
	}
}

static int print_file(const char *text, size_t n, bool qr)
{
	struct stat st;
	int err = 0;

	if (!fstat(STDOUT_FILENO, &st) && S_ISREG(st.st_mode) && st.st_mode & 077 &&
		fchmod(STDOUT_FILENO, st.st_mode & 0700))
		say_error("others can read the file this goes to: chmod 600 it");
	if (fwrite(text, 1, n, stdout) != n || fflush(stdout))
		err = -EIO;
	if (!err && qr)
		err = qr_text(stderr, text, n, isatty(STDERR_FILENO));
	if (err == -EFBIG)
		say_error("the file is too long for a QR code");
	else if (err)
		say_error("the file could not be written; remove the client and add it again");
	return err ? EXIT_FAILED : 0;
}

/* The hub has it; now for whoever shall connect. private_key: NULL where they have it. */
static int hand_out(
	const struct hub_ask *ask, const struct ctl_answer *answer, const uint8_t *private_key)
{
	struct client_file file = {.private_key = private_key};
	struct show_section s = {answer->lines, answer->n_lines};
	char name[HUB_VALUE_CHARS], address[HUB_VALUE_CHARS], key[HUB_VALUE_CHARS], *text;
	struct wgh_error error = {""};
	size_t n;
	int code;

	fprintf(stderr, "%s: %s, key %.8s, active now\n", hub_value(name, &s, "peer"),
		hub_value(address, &s, "address"), hub_value(key, &s, "public_key"));
	fill_file(&file, answer);
	if (client_file_text(&text, &n, &file, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	if (private_key)
		fputs("This file is shown once, its private key is kept nowhere:\n", stderr);
	else
		fputs("The file for whoever has the private key:\n", stderr);
	code = print_file(text, n, ask->qr);
	client_file_free(text, n);
	return code;
}

static int add_client(
	struct hub_ask *ask, const char *name, const char *public_key, const uint8_t *private_key)
{
	const struct ctl_line params[] = {
		{"name", name}, {"public_key", public_key}, {"address", ask->address}};
	struct ctl_answer answer;
	int code = hub_ask(ask, &answer, "client-add", params, ask->address ? 3 : 2, CTL_TIMEOUT_S);

	if (code)
		return code;
	code = hand_out(ask, &answer, private_key);
	ctl_answer_fini(&answer);
	return code;
}

static int run_add(struct hub_ask *ask)
{
	struct {
		uint8_t random[32];
		struct x25519_secret secret;
	} s;
	struct x25519_public public;
	char key[KEY_BASE64_CHARS + 1];
	int code;

	if (ask->n_words != 1 || !*ask->words[0])
		return say_usage(ask->command, "add takes one name");
	if (strpbrk(ask->words[0], "\r\n") || (ask->address && strpbrk(ask->address, "\r\n")) ||
		(ask->public_key && strpbrk(ask->public_key, "\r\n")))
		return say_usage(ask->command, "a line break in a value");
	if (ask->public_key && ask->qr)
		return say_usage(ask->command,
			"--qr needs the private key, which --pubkey leaves with its owner");
	if (ask->public_key)
		return add_client(ask, ask->words[0], ask->public_key, NULL);
	secret_random(s.random, sizeof s.random);
	x25519_secret_from_random(&s.secret, s.random);
	if (x25519_public_from_secret(&public, &s.secret)) {
		key_to_base64(key, public.bytes);
		code = add_client(ask, ask->words[0], key, s.secret.bytes);
	} else {
		code = EXIT_FAILED; /* a key made of random bytes is not zero */
	}
	secret_wipe(&s, sizeof s);
	return code;
}

/* The one pending key that begins so; key gets all of it. */
static int find_pending(struct hub_ask *ask, const char *begin, char key[KEY_BASE64_CHARS + 1])
{
	struct ctl_answer answer;
	struct show_section s;
	size_t at = 0, n_found = 0;
	int code = hub_ask(ask, &answer, "pending", NULL, 0, CTL_TIMEOUT_S);

	if (code)
		return code;
	while (hub_next(&s, &answer, "public_key", &at)) {
		const char *value = show_value(&s, "public_key");

		if (strlen(value) != KEY_BASE64_CHARS || strncmp(value, begin, strlen(begin)))
			continue;
		strcpy(key, value);
		n_found++;
	}
	ctl_answer_fini(&answer);
	if (n_found == 1)
		return 0;
	if (n_found)
		say_error("several keys that tried to connect begin so: give more of it");
	else
		say_error(
			"no key that begins so tried to connect lately; see wghub client pending");
	return EXIT_FAILED;
}

static int run_approve(struct hub_ask *ask)
{
	char key[KEY_BASE64_CHARS + 1], name[TEXT_PEER_CHARS];
	int code;

	if (ask->n_words < 1 || ask->n_words > 2)
		return say_usage(ask->command, "approve takes a key and perhaps a name");
	if (strlen(ask->words[0]) < KEY_PREFIX_MIN)
		return say_usage(ask->command, "give at least the first 4 characters of the key");
	if (ask->qr || ask->public_key)
		return say_usage(ask->command, "approve takes neither --qr nor --pubkey");
	code = find_pending(ask, ask->words[0], key);
	if (code)
		return code;
	snprintf(name, sizeof name, "%.8s", key);
	return add_client(ask, ask->n_words > 1 ? ask->words[1] : name, key, NULL);
}

/* ---- remove ---- */

static bool is_key(const char *text)
{
	uint8_t key[32];

	return key_from_base64(key, text, strlen(text));
}

static int run_remove(struct hub_ask *ask)
{
	char name[HUB_VALUE_CHARS], address[HUB_VALUE_CHARS];
	struct ctl_line param;
	struct ctl_answer answer;
	struct show_section s;
	int code;

	/* An empty word is a script's unset variable, and not the first client without a name. */
	if (ask->n_words != 1 || !*ask->words[0] || strpbrk(ask->words[0], "\r\n"))
		return say_usage(ask->command, "remove takes one name or key");
	param = (struct ctl_line){is_key(ask->words[0]) ? "public_key" : "name", ask->words[0]};
	code = hub_ask(ask, &answer, "client-remove", &param, 1, CTL_TIMEOUT_S);
	if (code)
		return code;
	s = (struct show_section){answer.lines, answer.n_lines};
	hub_value(name, &s, "peer");
	printf("removed: %s %s\n", *name ? name : ask->words[0], hub_value(address, &s, "address"));
	ctl_answer_fini(&answer);
	return 0;
}

/* ---- pending ---- */

static int run_pending(struct hub_ask *ask)
{
	char key[HUB_VALUE_CHARS], from[HUB_VALUE_CHARS], span[HUB_SPAN_CHARS];
	int64_t now_s = (int64_t)time(NULL);
	json_t *list = json_array();
	struct ctl_answer answer;
	struct show_section s;
	size_t at = 0;
	int code;

	if (ask->n_words)
		code = say_usage(ask->command, "pending takes no words");
	else
		code = hub_ask(ask, &answer, "pending", NULL, 0, CTL_TIMEOUT_S);
	if (code) {
		json_decref(list);
		return code;
	}
	if (!ask->json && !answer.n_lines)
		puts("no unknown key tried to connect in the last hour");
	while (hub_next(&s, &answer, "public_key", &at)) {
		hub_value(key, &s, "public_key");
		hub_value(from, &s, "endpoint");
		hub_span(span, now_s - (int64_t)show_number(&s, "last"));
		if (!ask->json)
			printf("%s from %s, %" PRIu64 " tries, the last %s ago\n", key, from,
				show_number(&s, "tries"), span);
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:I, s:I, s:I}", "public_key", key, "endpoint", from,
				"first", (json_int_t)show_number(&s, "first"), "last",
				(json_int_t)show_number(&s, "last"), "tries",
				(json_int_t)show_number(&s, "tries")));
	}
	if (!ask->json && answer.n_lines)
		puts("Compare the key with its owner's, then: wghub client approve KEY NAME");
	ctl_answer_fini(&answer);
	return hub_print_json(list, ask->json);
}

/* ---- check ---- */

/* Three things can be wrong at an engineer's machine, and it cannot tell them apart; the hub can.
 */
static int explain(const struct show_section *s)
{
	char name[HUB_VALUE_CHARS], text[HUB_VALUE_CHARS], from[HUB_VALUE_CHARS];
	char span[HUB_SPAN_CHARS];
	uint64_t handshake_s = show_number(s, "latest_handshake");

	printf("%s: %s, address %s, key %.8s\n", hub_value(name, s, "peer"),
		hub_is(s, "origin", "factory")		 ? "a device"
			: hub_is(s, "origin", "clients") ? "a client"
							 : "a peer made with wg set",
		hub_value(text, s, "address"), hub_value(from, s, "public_key"));
	if (hub_is(s, "state", "refused")) {
		printf("refused: %s\n", hub_value(text, s, "why"));
		return EXIT_FAILED;
	}
	if (hub_is(s, "state", "disabled") || hub_is(s, "state", "withdrawn")) {
		printf("not let in: it is %s\n", hub_value(text, s, "state"));
		return EXIT_FAILED;
	}
	hub_span(span, (int64_t)time(NULL) - (int64_t)handshake_s);
	hub_value(from, s, "endpoint");
	if (hub_is(s, "state", "online")) {
		printf("online: last handshake %s ago, from %s\n"
		       "If nothing comes back through the tunnel, the address in its file is not "
		       "the one above.\n",
			span, from);
		return 0;
	}
	if (handshake_s)
		printf("offline: last handshake %s ago, from %s\n", span, from);
	else
		puts("let in, but it never completed a handshake: in its file the hub's key or "
		     "the\n"
		     "endpoint is wrong, or UDP does not get here; or it has not been started");
	return EXIT_FAILED;
}

/* By name, by key, or by the beginning of a key. */
static bool is_meant(const struct show_section *s, const char *word)
{
	const char *name = show_value(s, "peer"), *key = show_value(s, "public_key");

	return (name && !strcmp(name, word)) ||
		(key && strlen(word) >= KEY_PREFIX_MIN && !strncmp(key, word, strlen(word)));
}

static int check_pending(struct hub_ask *ask, const char *word)
{
	char key[HUB_VALUE_CHARS], from[HUB_VALUE_CHARS], span[HUB_SPAN_CHARS];
	struct ctl_answer answer;
	struct show_section s;
	bool found = false;
	size_t at = 0;
	int code = hub_ask(ask, &answer, "pending", NULL, 0, CTL_TIMEOUT_S);

	if (code)
		return code;
	while (hub_next(&s, &answer, "public_key", &at)) {
		if (!is_meant(&s, word))
			continue;
		found = true;
		hub_span(span, (int64_t)time(NULL) - (int64_t)show_number(&s, "last"));
		printf("unknown: %s tried to connect from %s %s ago: it gets here, and nobody let "
		       "it in\nwghub client approve %.8s NAME\n",
			hub_value(key, &s, "public_key"), hub_value(from, &s, "endpoint"), span,
			key);
	}
	ctl_answer_fini(&answer);
	if (!found)
		puts("unknown: no client or device is called so or has such a key, and none tried "
		     "to connect in\nthe last hour: compare the key, and the hub's key and "
		     "endpoint in its file; perhaps UDP does\nnot get here");
	return EXIT_FAILED;
}

static int run_check(struct hub_ask *ask)
{
	struct ctl_answer answer;
	struct show_section s;
	bool found = false;
	size_t at;
	int code;

	if (ask->n_words != 1 || !*ask->words[0])
		return say_usage(ask->command, "check takes one key or name");
	code = hub_ask(ask, &answer, "peers", NULL, 0, CTL_TIMEOUT_S);
	if (code)
		return code;
	hub_head(&s, &answer, "peer", &at);
	while (hub_next(&s, &answer, "peer", &at)) {
		if (!is_meant(&s, ask->words[0]))
			continue;
		found = true;
		code |= explain(&s);
	}
	ctl_answer_fini(&answer);
	return found ? code : check_pending(ask, ask->words[0]);
}

/* ---- the command ---- */

static int run_list(struct hub_ask *ask)
{
	struct ctl_answer answer;
	int code;

	if (ask->n_words)
		return say_usage(ask->command, "list takes no words");
	code = hub_ask(ask, &answer, "clients", NULL, 0, CTL_TIMEOUT_S);
	if (code)
		return code;
	code = hub_print_peers(&answer, ask->json);
	ctl_answer_fini(&answer);
	return code;
}

static int run(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct hub_ask *ask);
	} verbs[] = {{"add", run_add}, {"list", run_list}, {"remove", run_remove},
		{"check", run_check}, {"pending", run_pending}, {"approve", run_approve}};
	struct hub_ask ask;
	int code = hub_ask_read(&ask, &command_client, HUB_ASK_JSON | HUB_ASK_CLIENT, argc, argv);
	const char *verb;

	if (code)
		return code;
	if (!ask.n_words)
		return say_usage(
			&command_client, "say what: add, list, remove, check, pending or approve");
	verb = ask.words[0];
	ask.words++;
	ask.n_words--;
	for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].run(&ask);
	}
	return say_usage(&command_client,
		"there is no such word; it knows add, list, remove, "
		"check, pending and approve");
}

const struct command command_client = {"client", run,
	"engineers of a Factory's hub: add, list, remove, check, pending, approve",
	"Usage: wghub client add NAME [--pubkey KEY] [--address A] [--qr]\n"
	"       wghub client list [--json]\n"
	"       wghub client remove NAME|KEY\n"
	"       wghub client check KEY|NAME\n"
	"       wghub client pending [--json]\n"
	"       wghub client approve KEY [NAME] [--address A]\n"
	"\n"
	"add makes a key pair, takes the highest free address of the network, writes a line into "
	"the\n"
	"clients file, lets the client in at once, and prints the file that wg-quick, "
	"NetworkManager\n"
	"and the WireGuard apps import. The private key in it is shown this once and kept "
	"nowhere.\n"
	"  --pubkey KEY           the engineer's own public key; the file then has a place for the "
	"private one\n"
	"  --address A            this address\n"
	"  --qr                   the file as a QR code, too, for a phone; on standard error, so "
	"that\n"
	"                         wghub client add NAME --qr >foundries.conf  keeps both apart\n"
	"pending lists unknown keys whose owners tried to connect in the last hour, so an engineer "
	"only\nhas to start the tunnel; compare the key before you approve it. approve and check "
	"take "
	"the first\ncharacters of a key, too. check says why a client cannot connect; 0 means that "
	"it "
	"is online.\n" HUB_ASK_HELP};
