/* test_creds.c - control/creds*.c and yaml_pairs.c: every form of credentials, when they are due,
 * and what a refresh leaves on the disk. The rows named are faults of the old Python daemon
 * (tests/factory-faults.md). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/creds.h"

#define NOW 1772439400.0 /* 70 s after CREATED, 2026-03-02T08:16:40Z */
#define PYTHON                                                                                     \
	"{\n  \"access_token\": \"aaaa.bbbb.cccc\",\n  \"refresh_token\": \"rrrr\",\n"             \
	"  \"expires_in\": 86400,\n  \"created\": 1772439330.25\n}"
#define EXPIRES_AT                                                                                 \
	"{\"access_token\": \"aaaa\", \"refresh_token\": \"rrrr\", \"expires_at\": 1772443000}"
#define CLIENT                                                                                     \
	"{\"access_token\": \"aaaa\", \"client_id\": \"cccc\", \"client_secret\": \"ssss\", "      \
	"\"created\": \"2026-03-02T08:15:30Z\", \"expires_in\": 86400, \"refresh_token\": "        \
	"\"rrrr\", \"token_type\": \"Bearer\", \"url\": \"https://app.example.net/oauth\"}"
#define YAML                                                                                       \
	"# fioctl\nclientcredentials:\n  access_token: aaaa.bbbb.cccc # mine\n"                    \
	"  client_id: 'it''s'\n  client_secret: \"s\\\\s\\\"s\"\n"                                 \
	"  created: \"2026-03-02T08:15:30Z\"\n  expires_in: 86400\n  refresh_token: rrrr\n"        \
	"  token_type: Bearer\n  url: https://app.example.net/oauth\nfactory: acme-presses\n"      \
	"server:\n  insecure_skip_verify: false\n  url: \"\"\n"

static struct creds *parse(const char *text)
{
	struct wgh_error error = {""};
	struct creds *c;

	assert_int_equal(creds_parse(&c, text, strlen(text), NOW, &error), 0);
	return c;
}

static void test_every_form_is_found_by_its_content(void **state)
{
	static const struct {
		const char *text;
		enum creds_form form;
		enum creds_header header;
		const char *access, *refresh;
		double expires_s; /* 0: unknown */
	} cases[] = {{"abcDEF-123\n", CREDS_API_TOKEN, CREDS_OSF_TOKEN, "abcDEF-123", NULL, 0},
		{"  tok:en=  \r\n", CREDS_API_TOKEN, CREDS_OSF_TOKEN, "tok:en=", NULL, 0},
		{PYTHON, CREDS_PYTHON, CREDS_BEARER_RAW, "aaaa.bbbb.cccc", "rrrr", 1772525730.25},
		/* created may be text in any JSON, and text may be a number */
		{"{\"access_token\": \"a\", \"created\": \"2026-03-02T09:15:30.5+01:00\", "
		 "\"expires_in\": \"100\"}",
			CREDS_PYTHON, CREDS_BEARER_RAW, "a", NULL, 1772439430.5},
		{"{\"access_token\": \"a\", \"created\": \"1772439330.25\", \"expires_in\": 100}",
			CREDS_PYTHON, CREDS_BEARER_RAW, "a", NULL, 1772439430.25},
		/* row 19: a member missing was the end of the daemon */
		{"{\"access_token\": \"a\"}", CREDS_PYTHON, CREDS_BEARER_RAW, "a", NULL, 0},
		{"{\"access_token\": \"a\", \"expires_in\": 100}", CREDS_PYTHON, CREDS_BEARER_RAW,
			"a", NULL, 0},
		{"{\"access_token\": \"a\", \"created\": 5, \"expires_in\": 0}", CREDS_PYTHON,
			CREDS_BEARER_RAW, "a", NULL, 0},
		{EXPIRES_AT, CREDS_EXPIRES_AT, CREDS_BEARER_RAW, "aaaa", "rrrr", 1772443000},
		{"{\"access_token\": \"a\", \"expires_at\": \"2026-03-02T09:16:40Z\"}",
			CREDS_EXPIRES_AT, CREDS_BEARER_RAW, "a", NULL, 1772443000},
		{CLIENT, CREDS_CLIENT_JSON, CREDS_BEARER_BASE64, "aaaa", "rrrr", 1772525730},
		{"{\"clientcredentials\": " CLIENT ", \"factory\": \"f\"}", CREDS_CLIENT_JSON,
			CREDS_BEARER_BASE64, "aaaa", "rrrr", 1772525730},
		{"{\"client_id\": \"c\", \"client_secret\": \"s\"}", CREDS_CLIENT_JSON,
			CREDS_BEARER_BASE64, NULL, NULL, 0},
		{YAML, CREDS_FIOCTL_YAML, CREDS_BEARER_BASE64, "aaaa.bbbb.cccc", "rrrr",
			1772525730},
		/* an API token wins over the rest */
		{YAML "token: tttt\n", CREDS_API_TOKEN, CREDS_OSF_TOKEN, "tttt", NULL, 0},
		{"{\"token\": \"tttt\", \"clientcredentials\": " CLIENT "}", CREDS_API_TOKEN,
			CREDS_OSF_TOKEN, "tttt", NULL, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct creds *c = parse(cases[i].text);

		assert_int_equal(c->form, cases[i].form);
		assert_int_equal(c->header, cases[i].header);
		assert_int_equal(c->access_token != NULL, cases[i].access != NULL);
		if (c->access_token)
			assert_string_equal(c->access_token, cases[i].access);
		assert_int_equal(c->refresh_token != NULL, cases[i].refresh != NULL);
		if (c->refresh_token)
			assert_string_equal(c->refresh_token, cases[i].refresh);
		if (cases[i].expires_s)
			assert_true(c->expires_s == cases[i].expires_s);
		else
			assert_true(isinf(c->expires_s));
		creds_free(c);
	}
}

static void test_yaml_scalars_are_decoded(void **state)
{
	struct creds *c = parse(YAML);

	(void)state;
	assert_string_equal(c->client_id, "it's");
	assert_string_equal(c->client_secret, "s\\s\"s");
	assert_string_equal(c->oauth_url, "https://app.example.net/oauth");
	assert_string_equal(c->factory, "acme-presses");
	assert_null(c->api_url); /* "" is none */
	creds_free(c);
}

static void test_what_is_no_credentials_is_refused_without_quoting_it(void **state)
{
	static const char *const bad[] = {"", "\n", " ", "{}", "{", "[]", "{\"access_token\": 7}",
		"{\"access_token\": \"\"}", "{\"access_token\": \"TOPSECRET with blank\"}",
		"{\"access_token\": \"TOPSECRET\\r\\nX-Header: y\"}", "TOPSECRET two words",
		"TOPSECRET\xc3\xa4", "access_token: TOPSECRET\nx: [a]\n",
		"clientcredentials:\n  access_token: &a TOPSECRET\n",
		"clientcredentials:\n  access_token:\n    deeper: TOPSECRET\n- list",
		"clientcredentials:\n  access_token: |\n    TOPSECRET\n",
		"clientcredentials:\n\taccess_token: TOPSECRET\n",
		"clientcredentials: {access_token: TOPSECRET}\n", "token: \"TOPSECRET\n",
		"token: \"TOP\\u0041SECRET\"\n", "  token: TOPSECRET\n", "factory: x\n",
		"TOP{SECRET}", "token: 'a' TOPSECRET\n", "token: a: TOPSECRET\n"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct wgh_error error = {""};
		struct creds *c = (void *)&error;

		assert_int_equal(creds_parse(&c, bad[i], strlen(bad[i]), NOW, &error), -EINVAL);
		assert_null(c);
		assert_true(error.text[0]);
		assert_null(strstr(error.text, "SECRET"));
	}
}

/* Row 22: a lifetime of up to 600 s meant a refresh at every request. */
static void test_refresh_is_due_600_s_early_or_a_quarter(void **state)
{
	static const struct {
		const char *text;
		double at_s; /* 0: never by the clock */
	} cases[] = {{"{\"access_token\": \"a\", \"created\": 1000, \"expires_in\": 86400}", 86800},
		{"{\"access_token\": \"a\", \"created\": 1000, \"expires_in\": 2400}", 2800},
		{"{\"access_token\": \"a\", \"created\": 1000, \"expires_in\": 600}", 1450},
		{"{\"access_token\": \"a\", \"created\": 1000, \"expires_in\": 1}", 1000.75},
		{"{\"access_token\": \"a\"}", 0},
		/* 3600 s are left of it */
		{EXPIRES_AT, 1772443000 - 600},
		{"{\"access_token\": \"a\", \"expires_at\": 1772439800}", 1772439700},
		{"{\"access_token\": \"a\", \"expires_at\": 5}", 5}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct creds *c = parse(cases[i].text);

		if (cases[i].at_s)
			assert_true(creds_refresh_at_s(c) == cases[i].at_s);
		else
			assert_true(isinf(creds_refresh_at_s(c)));
		creds_free(c);
	}
}

/* The hub's clock may be wrong at boot: then a 401 is the signal. */
static void test_created_in_the_future_counts_as_fresh(void **state)
{
	struct creds *c = parse("{\"access_token\": \"a\", \"created\": 9e9, \"expires_in\": 60}");

	(void)state;
	assert_true(creds_refresh_at_s(c) > NOW);
	creds_free(c);
}

static void test_header_has_the_form_of_the_credentials(void **state)
{
	static const struct {
		const char *text, *name, *value;
	} cases[] = {{"tok", "OSF-TOKEN", "tok"},
		{PYTHON, "Authorization", "Bearer aaaa.bbbb.cccc"},
		{CLIENT, "Authorization", "Bearer YWFhYQ=="},
		{YAML, "Authorization", "Bearer YWFhYS5iYmJiLmNjY2M="}};
	char value[CREDS_HEADER_CHARS], *large;
	const char *name;
	struct creds *c;
	struct wgh_error error;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		c = parse(cases[i].text);
		assert_int_equal(creds_header_text(c, &name, value), 0);
		assert_string_equal(name, cases[i].name);
		assert_string_equal(value, cases[i].value);
		creds_free(c);
	}
	c = parse("abcde");
	c->header = CREDS_BEARER_BASE64; /* five bytes: one '=' */
	assert_int_equal(creds_header_text(c, &name, value), 0);
	assert_string_equal(value, "Bearer YWJjZGU=");
	creds_free(c);
	c = parse("{\"client_id\": \"c\", \"client_secret\": \"s\"}");
	assert_int_equal(creds_header_text(c, &name, value), -EMSGSIZE);
	creds_free(c);
	large = malloc(12001);
	memset(large, 'x', 12001);
	assert_int_equal(creds_parse(&c, large, 12001, NOW, &error), -EINVAL);
	assert_int_equal(creds_parse(&c, large, 12000, NOW, &error), 0);
	c->header = CREDS_BEARER_BASE64;
	assert_int_equal(creds_header_text(c, &name, value), 0);
	assert_int_equal(strlen(value), 7 + 16000);
	creds_free(c);
	free(large);
}

static void test_refresh_goes_the_forms_own_way_first(void **state)
{
	static const struct {
		const char *text;
		const char *ways[3]; /* path, blank, body */
	} cases[] = {{"tok", {NULL}},
		{PYTHON, {"/token grant_type=refresh_token&refresh_token=rrrr"}},
		{"{\"access_token\": \"a\"}", {NULL}},
		{EXPIRES_AT, {"/token grant_type=refresh_token&refresh_token=rrrr"}},
		{"{\"access_token\": \"a\", \"expires_at\": 5, \"refresh_token\": \"r r&r\", "
		 "\"client_id\": \"c\", \"client_secret\": \"s\xc3\xa4\"}",
			{"/token grant_type=refresh_token&refresh_token=r%20r%26r",
				"/token/ grant_type=refresh_token&client_id=c&client_secret=s%C3%"
				"A4&refresh_token=r%20r%26r",
				"/token/ grant_type=client_credentials&client_id=c&client_secret=s%"
				"C3%A4"}},
		{CLIENT,
			{"/token/ grant_type=refresh_token&client_id=cccc&client_secret=ssss&"
			 "refresh_token=rrrr",
				"/token/ grant_type=client_credentials&client_id=cccc&client_"
				"secret=ssss"}},
		{"{\"client_id\": \"c\", \"client_secret\": \"s\"}",
			{"/token/ grant_type=client_credentials&client_id=c&client_secret=s"}},
		{YAML,
			{"/token/ grant_type=refresh_token&client_id=it%27s&client_secret=s%5Cs%"
			 "22s&refresh_token=rrrr",
				"/token/ grant_type=client_credentials&client_id=it%27s&client_"
				"secret=s%5Cs%22s"}}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct creds *c = parse(cases[i].text);
		struct creds_request r;
		unsigned attempt = 0;
		char both[300];

		for (; attempt < 3 && cases[i].ways[attempt]; attempt++) {
			assert_int_equal(creds_refresh_request(&r, c, attempt), 0);
			snprintf(both, sizeof both, "%s %s", r.path, r.body);
			assert_string_equal(both, cases[i].ways[attempt]);
			creds_request_fini(&r);
		}
		assert_int_equal(creds_refresh_request(&r, c, attempt), -ENOENT);
		assert_int_equal(creds_can_refresh(c), attempt > 0);
		creds_free(c);
	}
}

static const char rotated[] =
	"{\"access_token\": \"new\", \"refresh_token\": \"next\", \"expires_in\": 7200.0}";
static const char kept[] = "{\"access_token\": \"new\", \"refresh_token\": \"\"}";

static void test_token_answer_keeps_the_form_and_what_it_does_not_know(void **state)
{
	static const struct {
		const char *text, *answer, *after;
	} cases[] = {{PYTHON, rotated,
			     "{\n  \"access_token\": \"new\",\n  \"refresh_token\": \"next\",\n"
			     "  \"expires_in\": 7200,\n  \"created\": 1772439400.0\n}"},
		/* row 20: without a new refresh token the old one stays; the lifetime as well */
		{PYTHON, kept,
			"{\n  \"access_token\": \"new\",\n  \"refresh_token\": \"rrrr\",\n"
			"  \"expires_in\": 86400,\n  \"created\": 1772439400.0\n}"},
		{"{\"x\": [1, {\"y\": null}], \"access_token\": \"a\", \"refresh_token\": \"r\", "
		 "\"created\": \"2020-01-01T00:00:00Z\", \"expires_in\": 5, \"big\": 1e40}",
			rotated,
			"{\n  \"x\": [\n    1,\n    {\n      \"y\": null\n    }\n  ],\n"
			"  \"access_token\": \"new\",\n  \"refresh_token\": \"next\",\n"
			"  \"created\": \"2026-03-02T08:16:40Z\",\n  \"expires_in\": 7200,\n"
			"  \"big\": 1e40\n}"},
		{EXPIRES_AT, rotated,
			"{\n  \"access_token\": \"new\",\n  \"refresh_token\": \"next\",\n"
			"  \"expires_at\": 1772446600\n}"},
		{EXPIRES_AT, "{\"access_token\": \"new\"}",
			"{\n  \"access_token\": \"new\",\n  \"refresh_token\": \"rrrr\",\n"
			"  \"expires_at\": null\n}"},
		{"{\"clientcredentials\": {\"access_token\": \"a\", \"client_id\": \"c\", "
		 "\"client_secret\": \"s\"}, \"factory\": \"f\"}",
			rotated,
			"{\n  \"clientcredentials\": {\n    \"access_token\": \"new\",\n"
			"    \"client_id\": \"c\",\n    \"client_secret\": \"s\",\n"
			"    \"refresh_token\": \"next\",\n    \"created\": 1772439400.0,\n"
			"    \"expires_in\": 7200\n  },\n  \"factory\": \"f\"\n}"},
		{YAML, rotated,
			"# fioctl\nclientcredentials:\n  access_token: \"new\" # mine\n"
			"  client_id: 'it''s'\n  client_secret: \"s\\\\s\\\"s\"\n"
			"  created: \"2026-03-02T08:16:40Z\"\n  expires_in: 7200\n"
			"  refresh_token: \"next\"\n  token_type: Bearer\n"
			"  url: https://app.example.net/oauth\nfactory: acme-presses\nserver:\n"
			"  insecure_skip_verify: false\n  url: \"\"\n"},
		{"clientcredentials:\n    client_id: c\n    client_secret: s\n    access_token:",
			rotated,
			"clientcredentials:\n    expires_in: 7200\n"
			"    created: \"2026-03-02T08:16:40Z\"\n    refresh_token: \"next\"\n"
			"    client_id: c\n    client_secret: s\n    access_token: \"new\""}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct creds *c = parse(cases[i].text), *again;
		enum creds_form form = c->form;
		struct wgh_error error = {""};

		c->header = CREDS_BEARER_RAW; /* it was found out that this one works */
		assert_int_equal(
			creds_merge(c, cases[i].answer, strlen(cases[i].answer), NOW, &error), 0);
		assert_string_equal(c->text, cases[i].after);
		assert_string_equal(c->access_token, "new");
		assert_int_equal(c->header, CREDS_BEARER_RAW);
		assert_int_equal(c->form, form);
		again = parse(c->text);
		assert_true(creds_same_token(c, again));
		assert_true(c->expires_s == again->expires_s);
		creds_free(again);
		creds_free(c);
	}
}

static void test_bad_token_answer_changes_nothing(void **state)
{
	static const char *const answers[] = {"", "{}", "[]", "{\"access_token\": \"\"}",
		"{\"access_token\": 7}", "{\"access_token\": \"a b\"}",
		"{\"access_token\": \"x\\r\\nHost: y\"}",
		"{\"access_token\": \"x\", \"refresh_token\": \"a\\nb\"}", "<html>",
		"{\"error\": \"invalid_grant\"}"};
	struct creds *c = parse(PYTHON), *token = parse("tok");
	struct wgh_error error;

	(void)state;
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
		assert_int_equal(
			creds_merge(c, answers[i], strlen(answers[i]), NOW, &error), -EINVAL);
		assert_string_equal(c->text, PYTHON);
		assert_string_equal(c->access_token, "aaaa.bbbb.cccc");
		assert_string_equal(c->refresh_token, "rrrr");
	}
	assert_int_equal(creds_merge(token, rotated, strlen(rotated), NOW, &error), -EINVAL);
	creds_free(c);
	creds_free(token);
}

static void test_odd_lifetimes_in_an_answer_do_no_harm(void **state)
{
	static const struct {
		const char *expires_in;
		double lifetime_s;
	} cases[] = {{"0", 86400}, {"-5", 86400}, {"null", 86400}, {"\"x\"", 86400}, {"1", 1},
		{"\"3600\"", 3600}, {"1e300", 3e8}, {"0.5", 0.5}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct creds *c = parse(PYTHON);
		struct wgh_error error;
		char answer[100];

		snprintf(answer, sizeof answer, "{\"access_token\": \"n\", \"expires_in\": %s}",
			cases[i].expires_in);
		assert_int_equal(creds_merge(c, answer, strlen(answer), NOW, &error), 0);
		assert_true(c->lifetime_s == cases[i].lifetime_s);
		assert_true(c->expires_s == NOW + cases[i].lifetime_s);
		creds_free(c);
	}
}

static void test_login_makes_the_python_daemons_file(void **state)
{
	struct wgh_error error;
	struct creds *c;

	(void)state;
	assert_int_equal(creds_from_answer(&c, rotated, strlen(rotated), NOW, &error), 0);
	assert_string_equal(c->text,
		"{\n  \"access_token\": \"new\",\n  \"refresh_token\": \"next\",\n"
		"  \"expires_in\": 7200,\n  \"created\": 1772439400.0\n}");
	creds_free(c);
	assert_int_equal(creds_from_answer(&c, "{}", 2, NOW, &error), -EINVAL);
	assert_null(c);
}

static void test_redact_hides_every_secret(void **state)
{
	struct creds *c = parse(YAML);
	char text[] = "token aaaa.bbbb.cccc, rrrr and s\\s\"s; aaaa.bbbb.cccc again";
	char coded[] = "Bearer YWFhYS5iYmJiLmNjY2M=", cut[] = "no aaaa.b", shorter[] = "no aaa";

	(void)state;
	creds_redact(c, text);
	assert_string_equal(text, "token **************, **** and *****; ************** again");
	creds_redact(c, coded);
	assert_string_equal(coded, "Bearer ********************");
	creds_redact(c, cut);
	assert_string_equal(cut, "no ******");
	creds_redact(c, shorter);
	assert_string_equal(shorter, "no aaa");
	creds_free(c);
}

/* ---- on the disk ---- */

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/wghub-creds-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

/* Row 21: the daemon truncated the file first and left it readable by everybody. */
static void test_written_file_is_private_and_whole(void **state)
{
	struct creds *c, *again;
	struct wgh_error error = {""};
	char path[100], other[120];
	struct stat before, after;
	int fd;

	(void)state;
	snprintf(path, sizeof path, "%s/creds", folder);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, PYTHON, strlen(PYTHON)), strlen(PYTHON));
	assert_int_equal(fchmod(fd, 0644), 0);
	close(fd);
	assert_int_equal(creds_read(&c, path, NOW, &error), 0);
	assert_true(c->others_can_read);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(creds_merge(c, rotated, strlen(rotated), NOW, &error), 0);
	assert_int_equal(creds_write(c, path, false, &error), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_mode & 0777, 0600);
	assert_int_not_equal(before.st_ino, after.st_ino); /* by rename */
	assert_int_equal(creds_read(&again, path, NOW, &error), 0);
	assert_false(again->others_can_read);
	assert_true(creds_same_token(c, again));
	snprintf(other, sizeof other, "%s/.creds.new", folder);
	assert_int_equal(access(other, F_OK), -1);
	creds_free(again);
	creds_free(c);
}

static void test_fioctls_file_is_written_only_when_told(void **state)
{
	struct creds *c = parse(YAML);
	struct wgh_error error;
	char path[100];

	(void)state;
	snprintf(path, sizeof path, "%s/fioctl.yaml", folder);
	assert_int_equal(creds_write(c, path, false, &error), -EROFS);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(creds_write(c, path, true, &error), 0);
	assert_int_equal(access(path, F_OK), 0);
	creds_free(c);
}

static void test_unreadable_file_is_named_and_not_quoted(void **state)
{
	struct wgh_error error = {""};
	struct creds *c;
	char path[100];
	int fd;

	(void)state;
	snprintf(path, sizeof path, "%s/none", folder);
	assert_int_equal(creds_read(&c, path, NOW, &error), -ENOENT);
	assert_null(c);
	assert_non_null(strstr(error.text, "none"));
	assert_int_equal(creds_read(&c, folder, NOW, &error), -EINVAL);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "TOP SECRET", 10), 10);
	close(fd);
	assert_int_equal(creds_read(&c, path, NOW, &error), -EINVAL);
	assert_non_null(strstr(error.text, "none"));
	assert_null(strstr(error.text, "SECRET"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_form_is_found_by_its_content),
		cmocka_unit_test(test_yaml_scalars_are_decoded),
		cmocka_unit_test(test_what_is_no_credentials_is_refused_without_quoting_it),
		cmocka_unit_test(test_refresh_is_due_600_s_early_or_a_quarter),
		cmocka_unit_test(test_created_in_the_future_counts_as_fresh),
		cmocka_unit_test(test_header_has_the_form_of_the_credentials),
		cmocka_unit_test(test_refresh_goes_the_forms_own_way_first),
		cmocka_unit_test(test_token_answer_keeps_the_form_and_what_it_does_not_know),
		cmocka_unit_test(test_bad_token_answer_changes_nothing),
		cmocka_unit_test(test_odd_lifetimes_in_an_answer_do_no_harm),
		cmocka_unit_test(test_login_makes_the_python_daemons_file),
		cmocka_unit_test(test_redact_hides_every_secret),
		cmocka_unit_test(test_written_file_is_private_and_whole),
		cmocka_unit_test(test_fioctls_file_is_written_only_when_told),
		cmocka_unit_test(test_unreadable_file_is_named_and_not_quoted),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
