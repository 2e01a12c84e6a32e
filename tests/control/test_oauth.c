/* test_oauth.c - logins against the test Factory's OAuth server. Loopback only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/oauth.h"
#include "tests/lib/factory_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct oauth oauth;
static struct wgh_error error;
static struct creds *creds;

static int group_setup(void **state)
{
	(void)state;
	assert_int_equal(secret_init(), 0);
	factory_server_start();
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	factory_server_stop();
	return 0;
}

static int setup(void **state)
{
	static struct factory_http_options options = {.creds_text = "-"};

	(void)state;
	options.api_url = factory_server_get("FACTORY_URL");
	options.ca_file = factory_server_get("FACTORY_CA");
	oauth = (struct oauth){
		.url = factory_server_get("FACTORY_OAUTH_URL"), .factory = "acme-presses"};
	assert_int_equal(factory_once_new(&oauth.once, &options, &error), 0);
	factory_do("clear", "{}");
	factory_do("forget", "{}");
	factory_do("set",
		"{\"device_grant\": true, \"device_ttl\": 600, \"approve_after_polls\": null, "
		"\"code_uses\": 2}");
	error.text[0] = 0;
	creds = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	creds_free(creds);
	factory_once_free(oauth.once);
	return 0;
}

static void new_code(char out[128])
{
	json_t *answer = factory_control("code", "{}");

	snprintf(out, 128, "%s", json_string_value(json_object_get(answer, "code")));
	json_decref(answer);
}

static int redeem(const char *code, const char *scope, const char *expires)
{
	creds_free(creds);
	return oauth_redeem(&creds, &oauth, code, scope, expires, &error);
}

/* ---- a pasted code ---- */

static void test_oauth_link_asks_for_both_scopes_and_shows_the_code(void **state)
{
	char *link = oauth_link(&oauth);

	(void)state;
	assert_non_null(link);
	assert_memory_equal(
		link, factory_server_get("FACTORY_URL"), strlen(factory_server_get("FACTORY_URL")));
	assert_non_null(strstr(link,
		"/authorize?client_id=fioid_B68H03zaynCXzycBX9M3WKL7xLqJYJyf&response_type=code&"
		"redirect_uri=urn%3Aietf%3Awg%3Aoauth%3A2.0%3Aoob&"
		"scope=acme-presses%3Adevices%3Aread-update%20acme-presses%3Adevices%3Aread"));
	free(link);
}

static void test_oauth_code_is_good_for_a_token_to_publish_and_one_to_read(void **state)
{
	char code[128];

	(void)state;
	new_code(code);
	assert_int_equal(redeem(code, OAUTH_SCOPE_PUBLISH, OAUTH_PUBLISH_EXPIRES), 0);
	assert_true(creds->lifetime_s == 90);
	assert_int_equal(redeem(code, OAUTH_SCOPE_READ, NULL), 0);
	assert_true(creds->lifetime_s == 86400);
	assert_int_equal(creds->form, CREDS_PYTHON);
	assert_non_null(creds->refresh_token);
	assert_int_equal(factory_count("POST /oauth/token"), 2);
	/* And for no more. */
	assert_int_equal(redeem(code, OAUTH_SCOPE_READ, NULL), -EACCES);
	assert_null(creds);
	assert_non_null(strstr(error.text, "invalid_grant"));
}

static void test_oauth_refusals_never_quote_the_code_or_a_token(void **state)
{
	char code[128];

	(void)state;
	new_code(code);
	factory_do("fault",
		"{\"do\": \"body\", \"status\": 400, \"body\": \"{\\\"error\\\": \\\"x\\\", "
		"\\\"error_description\\\": \\\"code %s is bad\\\"}\"}",
		code);
	assert_int_equal(redeem(code, OAUTH_SCOPE_READ, NULL), -EACCES);
	assert_null(strstr(error.text, code));
	assert_non_null(strstr(error.text, "is bad"));
	factory_do("fault", "{\"do\": \"body\", \"status\": 500, \"body\": \"token abcdefgh\"}");
	assert_int_equal(redeem(code, OAUTH_SCOPE_READ, NULL), -EIO);
	assert_null(strstr(error.text, "abcdefgh"));
}

static void test_oauth_answer_without_a_token_is_none(void **state)
{
	static const char *const faults[] = {"{\"do\": \"truncate\"}", "{\"do\": \"html\"}",
		"{\"do\": \"status\", \"status\": 200, \"json\": {}}", "{\"do\": \"drop\"}",
		"{\"do\": \"status\", \"status\": 204}", "{\"do\": \"status\", \"status\": 503}",
		"{\"do\": \"huge\"}", "{\"do\": \"redirect\", \"to\": \"other\"}"};

	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		char code[128];

		new_code(code);
		factory_do("fault", "%s", faults[i]);
		assert_int_equal(redeem(code, OAUTH_SCOPE_READ, NULL), -EIO);
		assert_null(creds);
		assert_string_not_equal(error.text, "");
	}
	assert_int_equal(factory_count("other POST /oauth/token"), 0);
}

static void test_oauth_code_is_one_printable_word(void **state)
{
	char longest[OAUTH_CODE_MAX + 2];

	(void)state;
	memset(longest, 'x', sizeof longest);
	longest[OAUTH_CODE_MAX + 1] = 0;
	assert_false(oauth_is_code(longest));
	longest[OAUTH_CODE_MAX] = 0;
	assert_true(oauth_is_code(longest));
	assert_true(oauth_is_code("a.b-c_d/=+"));
	assert_false(oauth_is_code(""));
	assert_false(oauth_is_code("a b"));
	assert_false(oauth_is_code("a\x7f"));
	assert_false(oauth_is_code("\xc3\xa4"));
}

/* ---- a code that is typed elsewhere ---- */

static int grant_and_wait(void)
{
	struct factory_grant grant;
	int err = oauth_grant_begin(&grant, &oauth, OAUTH_SCOPE_READ, &error);

	if (!err)
		err = oauth_grant_wait(&creds, &oauth, &grant, OAUTH_SCOPE_READ, &error);
	factory_grant_fini(&grant);
	return err;
}

static void test_oauth_grant_waits_until_the_person_agrees(void **state)
{
	(void)state;
	factory_do("set", "{\"approve_after_polls\": 3}");
	/* A server that stumbles meanwhile is asked again. */
	factory_do("fault",
		"{\"do\": \"status\", \"status\": 500, \"match\": \"POST /oauth/token/\", "
		"\"skip\": 1}");
	assert_int_equal(grant_and_wait(), 0);
	assert_non_null(creds->access_token);
	assert_int_equal(factory_count("POST /oauth/token/"), 4);
}

static void test_oauth_grant_that_is_not_offered_is_told_from_a_failure(void **state)
{
	(void)state;
	factory_do("set", "{\"device_grant\": false}");
	assert_int_equal(grant_and_wait(), -ENOSYS);
	factory_do("set", "{\"device_grant\": true}");
	factory_do("fault", "{\"do\": \"html\"}");
	assert_int_equal(grant_and_wait(), -ENOSYS);
	factory_do("fault", "{\"do\": \"status\", \"status\": 503}");
	assert_int_equal(grant_and_wait(), -EIO);
	assert_int_equal(factory_count("POST /oauth/token/"), 0);
}

static void test_oauth_grant_ends_when_nobody_answers_and_slows_down_when_told(void **state)
{
	(void)state;
	factory_do("set", "{\"device_ttl\": 4}");
	factory_do("fault",
		"{\"do\": \"status\", \"status\": 400, \"json\": {\"error\": \"slow_down\"}, "
		"\"match\": \"POST /oauth/token/\"}");
	assert_int_equal(grant_and_wait(), -ETIMEDOUT);
	/* The second time it waits for longer than there is left. */
	assert_int_equal(factory_count("POST /oauth/token/"), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_oauth_link_asks_for_both_scopes_and_shows_the_code),
		T(test_oauth_code_is_good_for_a_token_to_publish_and_one_to_read),
		T(test_oauth_refusals_never_quote_the_code_or_a_token),
		T(test_oauth_answer_without_a_token_is_none),
		T(test_oauth_code_is_one_printable_word),
		T(test_oauth_grant_waits_until_the_person_agrees),
		T(test_oauth_grant_that_is_not_offered_is_told_from_a_failure),
		T(test_oauth_grant_ends_when_nobody_answers_and_slows_down_when_told),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
