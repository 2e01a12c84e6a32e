/* test_factory_json.c - control/factory_json*.c and control/json_text.c: answers as the API gives
 * them, as it might, and as nobody should. The rows named are faults of the old Python daemon
 * (tests/factory-faults.md). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/factory_json.h"
#include "control/json_text.h"

#define KEY_A "srHRaDGYLsx+b+YdpfPwmZG9eGIeuarApoBHomeiAyQ="
#define KEY_B "vnNp0DWXusNZLV7UMji6X/6t4orOUsIUTaHO2nu/PvY="
#define KEY_HUB "MZ8/BGa1UFB+H6KZtYrMFarKwnSDyIzUfpVIuCUez8E="
#define DEVICE_A                                                                                   \
	"{\"name\": \"press-line-07\", \"ip\": \"10.42.42.2\", \"enabled\": true, \"pubkey\": "    \
	"\"" KEY_A "\"}"
#define DEVICE_B                                                                                   \
	"{\"name\": \"press-line-08\", \"ip\": \"10.42.42.3\", \"enabled\": false, \"pubkey\": "   \
	"\"" KEY_B "\"}"

static int add(struct factory_peers *peers, const char *body, struct notes *notes)
{
	struct wgh_error error = {""};
	int err = factory_peers_add(peers, body, strlen(body), notes, &error);

	assert_int_equal(err != 0, error.text[0] != 0);
	return err;
}

static void test_peer_list_as_the_api_gives_it(void **state)
{
	struct factory_peers peers = {0};
	struct notes notes = {0};

	(void)state;
	assert_int_equal(add(&peers, "[" DEVICE_A ", " DEVICE_B "]", &notes), 0);
	assert_int_equal(peers.n, 2);
	assert_true(peers.certain);
	assert_null(peers.next);
	assert_string_equal(peers.items[0].name, "press-line-07");
	assert_true(peers.items[0].enabled);
	assert_true(peers.items[0].has_key);
	assert_null(peers.items[0].refused);
	assert_int_equal(peers.items[0].public_key.bytes[0], 0xb2);
	assert_int_equal(peers.items[0].address.bytes[3], 2);
	assert_false(peers.items[1].enabled);
	assert_int_equal(peers.items[1].address.bytes[3], 3); /* taken, though disabled */
	assert_int_equal(notes.n, 0);
	factory_peers_fini(&peers);
}

/* Row 34: one item without a member ended the daemon. Here it costs that item. */
static void test_wrong_item_is_refused_and_the_rest_is_used(void **state)
{
	static const struct {
		const char *item;
		bool kept, enabled, refused;
	} cases[] = {
		{"{\"name\": \"x\", \"ip\": \"10.42.42.9\", \"enabled\": true}", true, true, true},
		{"{\"name\": \"x\", \"enabled\": true, \"pubkey\": \"" KEY_B "\"}", true, true,
			true},
		{"{\"ip\": \"10.42.42.9\", \"enabled\": true, \"pubkey\": \"" KEY_B "\"}", true,
			true, true},
		{"{\"name\": \"x\", \"ip\": \"10.42.42.9\", \"pubkey\": \"" KEY_B "\"}", true,
			false, false},
		{"{\"name\": \"x\", \"ip\": \"10.42.42.9\", \"enabled\": \"1\", \"pubkey\": "
		 "\"" KEY_B "\"}",
			true, true, false},
		{"{\"name\": \"x\", \"ip\": \"10.42.42.9\", \"enabled\": \"0\", \"pubkey\": "
		 "\"" KEY_B "\"}",
			true, false, false},
		{"{\"name\": \"x\", \"ip\": \"10.42.42.9\", \"enabled\": 1, \"pubkey\": \"" KEY_B
		 "\"}",
			true, false, false},
		/* rows 11, 33: what a device says goes nowhere unchecked */
		{"{\"name\": \"x\", \"ip\": \"0.0.0.0/0\", \"enabled\": true, \"pubkey\": "
		 "\"" KEY_B "\"}",
			true, true, true},
		{"{\"name\": \"x\", \"ip\": \"(none)\", \"enabled\": true, \"pubkey\": \"" KEY_B
		 "\"}",
			true, true, true},
		{"{\"name\": \"x\", \"ip\": \"\", \"enabled\": true, \"pubkey\": \"" KEY_B "\"}",
			true, true, true},
		{"{\"name\": \"x\", \"ip\": null, \"enabled\": true, \"pubkey\": \"" KEY_B "\"}",
			true, true, true},
		{"{\"name\": \"x\", \"ip\": 4, \"enabled\": true, \"pubkey\": 5}", true, true,
			true},
		{"{\"name\": \"x\", \"ip\": \"10.42.42.9\", \"enabled\": true, \"pubkey\": "
		 "\"A" KEY_B "\"}",
			true, true, true},
		{"{\"name\": \"a\\nb\", \"ip\": \"10.42.42.9\", \"enabled\": true, \"pubkey\": "
		 "\"" KEY_B "\"}",
			true, true, true},
		{"{\"name\": [], \"ip\": {}, \"enabled\": [], \"pubkey\": {}}", true, false, false},
		{"{}", true, false, false}, {"null", false, false, false},
		{"[]", false, false, false}, {"7", false, false, false},
		{"\"x\"", false, false, false}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct factory_peers peers = {0};
		struct notes notes = {0};
		char body[1000];

		snprintf(body, sizeof body, "[%s, " DEVICE_A "]", cases[i].item);
		assert_int_equal(add(&peers, body, &notes), 0);
		assert_int_equal(peers.n, cases[i].kept ? 2 : 1);
		assert_null(peers.items[peers.n - 1].refused);
		if (cases[i].kept) {
			assert_int_equal(peers.items[0].enabled, cases[i].enabled);
			assert_int_equal(peers.items[0].refused != NULL, cases[i].refused);
			assert_null(strchr(peers.items[0].name, '\n'));
		} else {
			assert_int_equal(notes.n, 1);
		}
		factory_peers_fini(&peers);
		notes_fini(&notes);
	}
}

/* The server passes on what a device wrote into its own file, in whatever escapes. */
static void test_characters_that_are_none_spoil_only_their_own_item(void **state)
{
	static const char *const wrong[] = {"\\u0000", "10.42.42.9\\u0000", "\\ud800", "\\uDFFF",
		"\\ud83d\\ud83d\\ude00", "\\udc00\\ud83d", "\\\\u0000", "\\ud83dx",
		"\\ud83d\\u0041"};

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct factory_peers peers = {0};
		struct wgh_error error = {""};
		char body[1000];

		snprintf(body, sizeof body,
			"[{\"name\": \"bad\", \"ip\": \"%s\", \"enabled\": true, \"pubkey\": "
			"\"" KEY_B "\"}, {\"name\": \"\\ud83d\\ude00\\\\\", \"ip\": "
			"\"10.42.42.8\", \"enabled\": "
			"true, \"pubkey\": \"" KEY_A "\"}]",
			wrong[i]);
		if (factory_peers_add(&peers, body, strlen(body), NULL, &error))
			fail_msg("%s: %s", wrong[i], error.text);
		assert_int_equal(peers.n, 2);
		assert_non_null(peers.items[0].refused);
		assert_null(peers.items[1].refused);
		assert_string_equal(peers.items[1].name, "\xf0\x9f\x98\x80\\");
		factory_peers_fini(&peers);
	}
}

static void test_name_of_255_bytes_is_the_longest(void **state)
{
	struct factory_peers peers = {0};
	char body[1000], name[258];

	(void)state;
	for (size_t n = 255; n <= 256; n++) {
		memset(name, 'n', n);
		name[n] = 0;
		snprintf(body, sizeof body,
			"[{\"name\": \"%s\", \"ip\": \"10.42.42.9\", \"enabled\": true, "
			"\"pubkey\": \"" KEY_B "\"}]",
			name);
		assert_int_equal(add(&peers, body, NULL), 0);
	}
	assert_null(peers.items[0].refused);
	assert_string_equal(peers.items[1].refused, "its name is longer than 255 bytes");
	factory_peers_fini(&peers);
}

/* Whether "none" is [] or null, and whether there will ever be pages, nobody knows. */
static void test_answers_the_api_might_give_are_read(void **state)
{
	static const struct {
		const char *body;
		size_t n;
		bool certain;
		const char *next;
	} cases[] = {{"[]", 0, true, NULL}, {"null", 0, false, NULL},
		{"{\"devices\": [" DEVICE_A "], \"next\": null}", 1, false, NULL},
		{"{\"wireguard-ips\": [" DEVICE_A "], \"other\": []}", 1, false, NULL},
		{"{\"x\": [" DEVICE_A "], \"total\": 1, \"next\": \"/p?page=2\"}", 1, false,
			"/p?page=2"},
		/* duplicate members: the last */
		{"{\"x\": [], \"x\": [" DEVICE_A "]}", 1, false, NULL},
		{" \n [ " DEVICE_A " ] \n ", 1, true, NULL},
		{"[{\"name\": \"y\", \"n\": 1e300, \"m\": 99999999999999999999999999}]", 1, true,
			NULL}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct factory_peers peers = {0};

		assert_int_equal(add(&peers, cases[i].body, NULL), 0);
		assert_int_equal(peers.n, cases[i].n);
		assert_int_equal(peers.certain, cases[i].certain);
		assert_int_equal(peers.next != NULL, cases[i].next != NULL);
		if (peers.next)
			assert_string_equal(peers.next, cases[i].next);
		factory_peers_fini(&peers);
	}
}

/* Row 16: odd JSON ended the daemon. */
static void test_what_is_no_peer_list_is_refused_whole(void **state)
{
	static const char *const bodies[] = {"", " ", "{}", "7", "true", "\"x\"", "[", "[" DEVICE_A,
		"[" DEVICE_A ",]", "[] []", "[]x", "{\"error\": \"x\"}", "{\"a\": [], \"b\": []}",
		"<html>502 Bad Gateway</html>", "\xff", "[\"\xff\"]", "[\"\xc0\x80\"]", "[1e999]",
		"\xef\xbb\xbf[]", "[nan]", "['x']"};
	struct factory_peers peers = {0};

	(void)state;
	assert_int_equal(add(&peers, "[" DEVICE_A "]", NULL), 0);
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		assert_int_equal(add(&peers, bodies[i], NULL), -EINVAL);
		assert_int_equal(peers.n, 1);
	}
	factory_peers_fini(&peers);
}

static char *repeat(const char *before, const char *piece, size_t n, const char *after)
{
	size_t len = strlen(piece);
	char *text = malloc(strlen(before) + n * len + strlen(after) + 1),
	     *at = stpcpy(text, before);

	for (size_t i = 0; i < n; i++)
		at = stpcpy(at, piece);
	strcpy(at, after);
	return text;
}

static void test_limits_hold_before_anything_is_built(void **state)
{
	const struct {
		char *text;
		int err;
	} cases[] = {{repeat("", "[", 32, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"), 0},
		{repeat("", "[", 33, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"), -E2BIG},
		{repeat("", "{\"a\":", 33, "1}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}"), -E2BIG},
		{repeat("", "[", 1000000, ""), -E2BIG},
		{repeat("[", "[],", JSON_CONTAINERS_MAX - 2, "[]]"), 0},
		{repeat("[", "[],", JSON_CONTAINERS_MAX - 1, "[]]"), -E2BIG},
		{repeat("[", "1,", JSON_VALUES_MAX, "1]"), -E2BIG},
		/* brackets inside strings are none */
		{repeat("[\"\\\"", "[", 40, "\"]"), 0},
		{repeat("[\"", "\\\\", 3, "\", \"[\"]"), 0}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_error error = {""};
		json_t *root = NULL;

		assert_int_equal(json_text_load(&root, cases[i].text, strlen(cases[i].text),
					 JSON_NUMBERS_REAL, &error),
			cases[i].err);
		json_decref(root);
		free(cases[i].text);
	}
}

static void test_items_have_a_limit(void **state)
{
	char *body = repeat("[", "{},", FACTORY_ITEMS_MAX - 1, "{}]");
	struct factory_peers peers = {0};

	(void)state;
	assert_int_equal(add(&peers, body, NULL), 0);
	assert_int_equal(peers.n, FACTORY_ITEMS_MAX);
	assert_int_equal(add(&peers, "[{}]", NULL), -E2BIG);
	assert_int_equal(peers.n, FACTORY_ITEMS_MAX);
	free(body);
	factory_peers_fini(&peers);
}

/* ---- config ---- */

#define VALUE "endpoint=hub.example.net:5555\\nserver_address=10.42.42.1\\npubkey=" KEY_HUB
#define HANDLER "[\"/usr/share/fioconfig/handlers/factory-config-vpn\"]"
#define FILE_PLAIN                                                                                 \
	"{\"name\": \"wireguard-server\", \"value\": \"" VALUE                                     \
	"\", \"unencrypted\": true, \"on-changed\": " HANDLER "}"

static int find(struct server_file *server, const char *body, struct notes *notes)
{
	struct wgh_error error = {""};

	return factory_server_find(server, body, strlen(body), notes, &error);
}

static void test_hub_is_found_in_the_newest_element_only(void **state)
{
	static const struct {
		const char *body;
		int err;
		size_t n_notes;
	} cases[] = {{"{\"config\": [{\"files\": [" FILE_PLAIN "]}], \"next\": null}", 0, 0},
		{"{\"config\": [{\"files\": []}, {\"files\": [" FILE_PLAIN "]}]}", -ENOENT, 0},
		{"{\"config\": [{}, {\"files\": [" FILE_PLAIN "]}]}", -ENOENT, 0},
		{"{\"config\": []}", -ENOENT, 0}, {"{\"config\": null}", -ENOENT, 0},
		{"{\"config\": [7]}", -EINVAL, 0}, {"{\"config\": [{\"files\": 7}]}", -EINVAL, 0},
		{"{}", -EINVAL, 0}, {"[]", -EINVAL, 0}, {"null", -EINVAL, 0},
		/* the answer to a PATCH; a device */
		{"{\"reason\": \"x\", \"files\": [7, {}, {\"name\": 1}, " FILE_PLAIN "]}", 0, 0},
		{"{\"name\": \"d\", \"active-config\": {\"files\": [" FILE_PLAIN "]}}", 0, 0},
		{"{\"name\": \"d\", \"active-config\": null}", -ENOENT, 0},
		/* without unencrypted it is used if it can be read */
		{"{\"files\": [{\"name\": \"wireguard-server\", \"value\": \"" VALUE "\"}]}", 0, 1},
		{"{\"files\": [{\"name\": \"wireguard-server\", \"value\": \"" VALUE
		 "\", \"on-changed\": [\"/bin/sh\"]}]}",
			0, 1},
		{"{\"files\": [{\"name\": \"wireguard-server\", \"value\": \"BASE64==\"}]}",
			-EINVAL, 1},
		{"{\"files\": [{\"name\": \"wireguard-server\"}]}", -EINVAL, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct server_file server = {.port = 7};
		struct notes notes = {0};

		assert_int_equal(find(&server, cases[i].body, &notes), cases[i].err);
		assert_int_equal(notes.n, cases[i].n_notes);
		assert_int_equal(server.port, cases[i].err ? 7 : 5555);
		notes_fini(&notes);
	}
}

static void test_encrypted_file_is_called_so(void **state)
{
	static const char body[] =
		"{\"files\": [{\"name\": \"wireguard-server\", \"value\": \"TOPSECRET\"}]}";
	struct wgh_error error = {""};
	struct server_file server;

	(void)state;
	assert_int_equal(factory_server_find(&server, body, strlen(body), NULL, &error), -EINVAL);
	assert_non_null(strstr(error.text, "unencrypted: true"));
	assert_null(strstr(error.text, "TOPSECRET"));
}

static void test_patch_body_is_read_back_as_what_was_meant(void **state)
{
	struct server_file server, again;
	struct factory_file file;
	struct wgh_error error;
	char text[FACTORY_FILE_CHARS], *body;
	size_t n;

	(void)state;
	assert_int_equal(find(&server, "{\"files\": [" FILE_PLAIN "]}", NULL), 0);
	assert_int_equal(server_file_write(text, &server, &error), 0);
	assert_int_equal(
		factory_patch_body(&body, &n, SERVER_FILE_NAME, text, "publish \"hub\"\n"), 0);
	assert_int_equal(n, strlen(body));
	assert_int_equal(factory_file_find(&file, body, n, SERVER_FILE_NAME, &error), 0);
	assert_string_equal(file.value, text);
	assert_true(file.unencrypted);
	assert_true(file.on_changed);
	assert_int_equal(find(&again, body, NULL), 0);
	assert_true(server_file_equal(&server, &again));
	factory_file_fini(&file);
	free(body);
	assert_int_equal(factory_patch_body(&body, &n, SERVER_FILE_NAME, "\xff", "x"), -ENOMEM);
}

/* ---- device list ---- */

static void test_next_page_is_on_the_same_host_only(void **state)
{
	static const struct {
		const char *base, *next, *url; /* url NULL: err */
		int err;
	} cases[] = {{"https://api.example.net", "https://api.example.net/p?page=2",
			     "https://api.example.net/p?page=2", 0},
		{"https://api.example.net/", "HTTPS://API.example.net:443/p?page=2",
			"HTTPS://API.example.net:443/p?page=2", 0},
		{"https://api.example.net:8443/x", "/ota/?page=2",
			"https://api.example.net:8443/ota/?page=2", 0},
		{"http://127.0.0.1:80", "http://127.0.0.1/p", "http://127.0.0.1/p", 0},
		{"https://api.example.net", "https://evil.example.net/p", NULL, -EPERM},
		{"https://api.example.net", "http://api.example.net/p", NULL, -EPERM},
		{"https://api.example.net", "https://api.example.net:444/p", NULL, -EPERM},
		{"https://api.example.net", "https://api.example.net.evil.org/p", NULL, -EPERM},
		{"https://api.example.net", "https://api.example.net@evil.org/p", NULL, -EPERM},
		{"https://api.example.net", "https://u:p@api.example.net/p", NULL, -EPERM},
		{"https://api.example.net", "https://evil.org/https://api.example.net/", NULL,
			-EPERM},
		{"https://api.example.net", "https://api.example.net\\@evil.org/p", NULL, -EINVAL},
		{"https://api.example.net", "//evil.org/p", NULL, -EINVAL},
		{"https://api.example.net", "https:///p", NULL, -EINVAL},
		{"https://api.example.net", "file:///etc/passwd", NULL, -EINVAL},
		{"https://api.example.net", "p?page=2", NULL, -EINVAL},
		{"https://api.example.net", "", NULL, -EINVAL},
		{"https://api.example.net", "/p HTTP/1.1\r\nX: y", NULL, -EINVAL},
		{"api.example.net", "/p", NULL, -EINVAL}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *url;

		assert_int_equal(
			factory_next_url(&url, cases[i].base, cases[i].next), cases[i].err);
		if (cases[i].url)
			assert_string_equal(url, cases[i].url);
		else
			assert_null(url);
		free(url);
	}
}

/* ---- errors and logins ---- */

static void test_every_shape_of_error_says_what_it_has(void **state)
{
	static const struct {
		const char *body, *text, *code;
	} cases[] = {{"{\"msg\": \"Validation failed\", \"errors\": [\"files.0.name: too long\", "
		      "\"reason: required\"]}",
			     "Validation failed: files.0.name: too long; reason: required", ""},
		{"{\"message\": \"Validation failed\", \"errors\": {\"name\": \"too long\", "
		 "\"reason\": \"required\"}}",
			"Validation failed: name: too long; reason: required", ""},
		{"{\"error\": \"invalid_grant\", \"error_description\": \"used up\"}",
			"invalid_grant: used up", "invalid_grant"},
		{"{\"error\": \"authorization_pending\"}", "authorization_pending",
			"authorization_pending"},
		{"{\"detail\": \"x\"}", "{\"detail\": \"x\"}", ""},
		{"<html>\n\t<h1>502</h1>\r\n</html>", "<html> <h1>502</h1> </html>", ""},
		{"", "", ""}, {"bad \x1b[2J\xff", "bad \\x1b[2J\\xff", ""}, {"[1]", "[1]", ""},
		{"{\"msg\": 7, \"errors\": [7, {}]}", "{\"msg\": 7, \"errors\": [7, {}]}", ""}};
	struct factory_error e;
	char *longest = repeat("", "x", 5000, "");

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		factory_error_parse(&e, cases[i].body, strlen(cases[i].body), NULL);
		assert_string_equal(e.text, cases[i].text);
		assert_string_equal(e.code, cases[i].code);
	}
	factory_error_parse(&e, longest, 5000, NULL);
	assert_int_equal(strlen(e.text), FACTORY_ERROR_CHARS - 1);
	free(longest);
}

static void test_grant_is_read_and_its_times_are_bounded(void **state)
{
	static const struct {
		const char *body;
		int err;
		unsigned interval_s, expires_in_s;
	} cases[] = {{"{\"device_code\": \"d\", \"user_code\": \"AB-CD\", \"verification_uri\": "
		      "\"https://x/\", \"interval\": 7, \"expires_in\": 900}",
			     0, 7, 900},
		{"{\"device_code\": \"d\", \"user_code\": \"AB-CD\", \"verification_url\": "
		 "\"https://x/\"}",
			0, 5, 600},
		{"{\"device_code\": \"d\", \"user_code\": \"AB-CD\", \"verification_uri\": "
		 "\"https://x/\", \"interval\": -1, \"expires_in\": 1e300}",
			0, 1, 3600},
		{"{\"device_code\": \"\", \"user_code\": \"A\", \"verification_uri\": \"x\"}",
			-EINVAL, 0, 0},
		{"{\"device_code\": \"d\", \"user_code\": \"A\"}", -EINVAL, 0, 0},
		{"[]", -EINVAL, 0, 0}, {"x", -EINVAL, 0, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_error error;
		struct factory_grant grant;

		assert_int_equal(
			factory_grant_parse(&grant, cases[i].body, strlen(cases[i].body), &error),
			cases[i].err);
		assert_int_equal(grant.interval_s, cases[i].interval_s);
		assert_int_equal(grant.expires_in_s, cases[i].expires_in_s);
		if (!cases[i].err)
			assert_string_equal(grant.verification_uri, "https://x/");
		factory_grant_fini(&grant);
	}
}

/* What it says goes to the log, and tokens are read as JSON, too. */
static void test_error_about_json_quotes_nothing_of_it(void **state)
{
	struct wgh_error error = {""};
	json_t *root;

	(void)state;
	assert_int_equal(json_text_load(&root, "{\"token\": TOPSECRET}", 20,
				 JSON_NUMBERS_AS_WRITTEN, &error),
		-EINVAL);
	assert_null(strstr(error.text, "TOP"));
	assert_non_null(strstr(error.text, "line 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer_list_as_the_api_gives_it),
		cmocka_unit_test(test_wrong_item_is_refused_and_the_rest_is_used),
		cmocka_unit_test(test_characters_that_are_none_spoil_only_their_own_item),
		cmocka_unit_test(test_name_of_255_bytes_is_the_longest),
		cmocka_unit_test(test_answers_the_api_might_give_are_read),
		cmocka_unit_test(test_what_is_no_peer_list_is_refused_whole),
		cmocka_unit_test(test_limits_hold_before_anything_is_built),
		cmocka_unit_test(test_items_have_a_limit),
		cmocka_unit_test(test_hub_is_found_in_the_newest_element_only),
		cmocka_unit_test(test_encrypted_file_is_called_so),
		cmocka_unit_test(test_patch_body_is_read_back_as_what_was_meant),
		cmocka_unit_test(test_next_page_is_on_the_same_host_only),
		cmocka_unit_test(test_every_shape_of_error_says_what_it_has),
		cmocka_unit_test(test_grant_is_read_and_its_times_are_bounded),
		cmocka_unit_test(test_error_about_json_quotes_nothing_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
