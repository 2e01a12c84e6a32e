/* test_factory_http.c - requests with credentials against the test Factory: everything a server or
 * a network can do wrong, changes, and what is no option. Loopback only. */
#include "tests/control/factory_caller.h"

/* ---- a server's bad days ---- */

static void expect_fault(const char *fault, enum factory_outcome outcome, unsigned status)
{
	factory_do("fault", "%s", fault);
	get(IPS);
	assert_int_equal(got.outcome, outcome);
	assert_int_equal(got.status, status);
	assert_non_null(strstr(got.why, "GET " IPS));
	assert_null(strpbrk(got.why, "\n\r\x1b"));
	factory_do("clear", "{}");
}

static void test_statuses_are_told_apart(void **state)
{
	(void)state;
	begin_token();
	expect_fault("{\"do\": \"status\", \"status\": 500}", FACTORY_TRANSIENT, 500);
	expect_fault("{\"do\": \"status\", \"status\": 503, \"retry_after\": 7}", FACTORY_TRANSIENT,
		503);
	assert_int_equal(got.retry_after_s, 7);
	expect_fault("{\"do\": \"status\", \"status\": 429, \"retry_after\": 99999999}",
		FACTORY_TRANSIENT, 429);
	assert_int_equal(got.retry_after_s, HTTPS_RETRY_AFTER_MAX_S);
	expect_fault("{\"do\": \"status\", \"status\": 403, \"message\": \"Missing scope x\"}",
		FACTORY_REFUSED, 403);
	assert_non_null(strstr(got.why, "403: Missing scope x"));
	expect_fault("{\"do\": \"status\", \"status\": 404}", FACTORY_REFUSED, 404);
	expect_fault("{\"do\": \"status\", \"status\": 401}", FACTORY_REFUSED, 401);
	get_ok();
}

static void test_broken_answers_are_no_answers(void **state)
{
	(void)state;
	begin_token();
	expect_fault("{\"do\": \"short\"}", FACTORY_TRANSIENT, 0);
	expect_fault("{\"do\": \"drop\", \"times\": -1}", FACTORY_TRANSIENT, 0);
	expect_fault("{\"do\": \"reset\", \"times\": -1}", FACTORY_TRANSIENT, 0);
	expect_fault("{\"do\": \"huge\"}", FACTORY_TRANSIENT, 0);
	assert_non_null(strstr(got.why, "too large"));
	expect_fault("{\"do\": \"huge\", \"chunked\": true}", FACTORY_TRANSIENT, 0);
	assert_non_null(strstr(got.why, "too large"));
	get_ok();
}

static void test_silence_and_slowness_have_an_end(void **state)
{
	uint64_t begin_ns = uv_hrtime();

	(void)state;
	begin_token();
	https_set_timeouts(factory_http_client(http), 400, 600);
	expect_fault("{\"do\": \"silent\"}", FACTORY_TRANSIENT, 0);
	expect_fault("{\"do\": \"slow\", \"ms\": 50}", FACTORY_TRANSIENT, 0);
	factory_do("tls", "{\"cert\": \"silent\"}");
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_TRANSIENT);
	/* Without the limits these three would take more than 90 s. */
	assert_true(uv_hrtime() - begin_ns < UINT64_C(40000000000));
	factory_do("clear", "{}");
	https_set_timeouts(factory_http_client(http), 30000, 30000);
	get_ok();
}

/* 30 s for a request are 30 s for all its redirects together. */
static void test_redirects_share_one_time_limit(void **state)
{
	(void)state;
	json_decref(write_python_creds(100000));
	factory_do("set", "{\"token_slash\": \"redirect\"}");
	factory_do("revoke", "{\"access\": \"all\"}");
	begin_file();
	https_set_timeouts(factory_http_client(http), 4000, 4000);
	factory_do("fault",
		"{\"do\": \"delay\", \"ms\": 2700, \"times\": 2, \"match\": "
		"\"POST /oauth/*\"}");
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_REFUSED); /* with the old token */
	assert_int_equal(got.status, 401);
}

static void test_redirects_lead_nowhere_else(void **state)
{
	static const char *const places[] = {"other", "http"};
	json_t *counts;
	const char *name;
	json_t *value;

	(void)state;
	begin_token();
	for (unsigned i = 0; i < 2; i++) {
		char fault[100];

		snprintf(fault, sizeof fault, "{\"do\": \"redirect\", \"to\": \"%s\"}", places[i]);
		expect_fault(fault, FACTORY_TRANSIENT, 0);
		assert_non_null(strstr(got.why, "redirects"));
	}
	expect_fault(
		"{\"do\": \"redirect\", \"to\": \"main\", \"times\": -1}", FACTORY_TRANSIENT, 0);
	counts = factory_control("counts", "{}");
	json_object_foreach(counts, name, value)
	{
		assert_null(strstr(name, "other "));
		assert_null(strstr(name, "http "));
	}
	json_decref(counts);
	factory_do("fault", "{\"do\": \"redirect\", \"to\": \"main\"}");
	get_ok(); /* the same place is fine */
}

static void test_a_redirected_post_stays_a_post(void **state)
{
	(void)state;
	json_decref(write_python_creds(86400 - 300));
	factory_do("set", "{\"token_slash\": \"redirect\"}");
	begin_file();
	factory_do(
		"fault", "{\"do\": \"redirect\", \"to\": \"main\", \"match\": \"%s\"}", POST_TOKEN);
	get_ok();
	assert_int_equal(factory_count("GET /oauth/token"), 0);
	assert_true(factory_count(POST_TOKEN) >= 2);
}

static void test_wrong_certificates_get_no_request(void **state)
{
	static const char *const certs[] = {"untrusted", "wrongname", "garbage"};

	(void)state;
	begin_token();
	for (unsigned i = 0; i < 3; i++) {
		factory_do("tls", "{\"cert\": \"%s\"}", certs[i]);
		get(IPS);
		assert_int_equal(got.outcome, FACTORY_TRANSIENT);
		assert_int_equal(got.status, 0);
	}
	assert_int_equal(factory_count(GET_IPS), 0);
	factory_do("clear", "{}");
	get_ok();
}

static void test_without_the_ca_file_nothing_is_trusted(void **state)
{
	(void)state;
	begin_with((struct factory_http_options){.creds_text = factory_server_get("FACTORY_TOKEN"),
		.ca_file = "/etc/ssl/certs/ca-certificates.crt"});
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_TRANSIENT);
	assert_int_equal(factory_count(GET_IPS), 0);
}

static void test_server_that_is_not_there_comes_back(void **state)
{
	(void)state;
	begin_token();
	get_ok();
	factory_do("listen", "{\"on\": false}");
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_TRANSIENT);
	factory_do("listen", "{\"on\": true}");
	get_ok();
}

static void test_error_texts_are_short_printable_and_without_our_token(void **state)
{
	const char *token = factory_server_get("FACTORY_TOKEN");
	char *fault;

	(void)state;
	begin_token();
	assert_true(
		asprintf(&fault,
			"{\"do\": \"body\", \"status\": 500, \"body\": \"no %s \\u001b[2J %0*d\"}",
			token, 3000, 7) > 0);
	factory_do("fault", "%s", fault);
	get(IPS);
	assert_null(strstr(got.why, token));
	assert_non_null(strstr(got.why, "no ***"));
	assert_null(strpbrk(got.why, "\x1b\n"));
	assert_true(strlen(got.why) <= 512 + 100);
	free(fault);
}

static void test_no_part_of_our_token_is_quoted_where_a_text_is_cut(void **state)
{
	const char *token = factory_server_get("FACTORY_TOKEN");
	char beginning[9];

	(void)state;
	begin_token();
	snprintf(beginning, sizeof beginning, "%s", token);
	for (int n = 440; n < 520; n += 4) {
		factory_do("fault",
			"{\"do\": \"body\", \"status\": 500, \"body\": \"%0*d\\u0000 %s\"}", n, 7,
			token);
		get(IPS);
		assert_non_null(strstr(got.why, "500: 000"));
		if (strstr(got.why, beginning))
			fail_msg("%s", got.why);
	}
}

static void test_tokens_in_an_answer_with_a_wrong_status_are_not_quoted(void **state)
{
	char *log;

	(void)state;
	json_decref(write_python_creds(100000));
	factory_do("revoke", "{\"access\": \"all\"}");
	factory_do("fault",
		"{\"do\": \"status\", \"status\": 202, \"match\": \"%s\", \"json\": "
		"{\"access_token\": \"seen-nowhere-1\", \"refresh_token\": "
		"\"seen-nowhere-2\"}}",
		POST_TOKEN);
	begin_file();
	get(IPS);
	assert_null(strstr(got.why, "seen-nowhere"));
	log = read_text(log_path);
	assert_non_null(strstr(log, "/oauth/token: 202"));
	assert_null(strstr(log, "seen-nowhere"));
	free(log);
}

/* ---- changes ---- */

#define CONFIG "/ota/factories/acme-presses/config/"
#define PATCH_CONFIG "PATCH " CONFIG

static void patch(const char *body)
{
	done = false;
	assert_int_equal(factory_http_patch(http, CONFIG, body, strlen(body), on_answer, NULL), 0);
	assert_int_equal(factory_http_patch(http, CONFIG, "", 0, on_answer, NULL), -EBUSY);
	wait_answer();
}

/* Row 42: a 204 has no body, and is no error. */
static void test_each_good_status_of_a_patch_is_one(void **state)
{
	static const int statuses[] = {200, 201, 204};
	char body[100];

	(void)state;
	begin_token();
	for (int i = 0; i < 3; i++) {
		factory_do("set", "{\"patch_answer\": %d}", statuses[i]);
		snprintf(body, sizeof body, "{\"files\": [{\"name\": \"x\", \"value\": \"%d\"}]}",
			i);
		patch(body);
		assert_int_equal(got.outcome, FACTORY_OK);
		assert_int_equal(got.status, statuses[i]);
		get(CONFIG);
		snprintf(body, sizeof body, "\"value\": \"%d\"", i);
		assert_non_null(strstr(got_body, body));
	}
	factory_do("set", "{\"patch_answer\": 200}");
	patch("{\"files\": 7}");
	assert_int_equal(got.outcome, FACTORY_REFUSED);
	assert_non_null(strstr(got.why, PATCH_CONFIG ": 400: "));
}

static void test_a_patch_is_sent_again_with_a_new_token_whole(void **state)
{
	(void)state;
	json_decref(write_python_creds(0));
	factory_do("revoke", "{\"access\": \"all\"}");
	begin_file();
	patch("{\"files\": [{\"name\": \"x\", \"value\": \"again\"}]}");
	/* The token may only read: it was known, and that is what is said. */
	assert_int_equal(got.status, 403);
	assert_int_equal(factory_count(POST_TOKEN), 1);
	assert_true(factory_count(PATCH_CONFIG) >= 2);
	factory_http_free(http);
	begin_token();
	factory_do("forget", "{}");
	get(CONFIG); /* a connection that is used again is where libcurl would repeat it */
	factory_do("fault", "{\"do\": \"drop\", \"match\": \"PATCH *\"}");
	patch("{\"files\": []}");
	assert_int_equal(got.outcome, FACTORY_TRANSIENT); /* and not sent twice by itself */
	assert_int_equal(got.status, 0);
	assert_int_equal(factory_count(PATCH_CONFIG), 1);
}

/* ---- options ---- */

static void test_extra_headers_go_along(void **state)
{
	static const char *const headers[] = {"X-Test: one", NULL};
	json_t *requests, *sent;

	(void)state;
	begin_with((struct factory_http_options){
		.creds_text = factory_server_get("FACTORY_TOKEN"), .headers = headers});
	get_ok();
	requests = factory_control("requests", "{}");
	sent = json_object_get(json_array_get(requests, 0), "headers");
	assert_true(json_object_get(sent, "X-Test") || json_object_get(sent, "x-test"));
	json_decref(requests);
}

static void test_bases_and_headers_that_cannot_be_are_refused(void **state)
{
	static const char *const bad[] = {"http://127.0.0.1:1", "ftp://x", "", "https://", "api.x",
		"https://user@x", "https://x?y=1", "https://x#y", "file:///etc/passwd"};
	static const char *const headers[] = {"X: y\r\nHost: z", NULL};
	struct factory_http_options o = {.creds_text = "token"};
	struct wgh_error error;

	(void)state;
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		o.api_url = bad[i];
		assert_int_equal(factory_http_new(&http, &loop, &o, &error), -EINVAL);
		assert_null(http);
		o.api_url = NULL;
		o.oauth_url = bad[i];
		assert_int_equal(factory_http_new(&http, &loop, &o, &error), -EINVAL);
		o.oauth_url = NULL;
	}
	o.headers = headers;
	assert_int_equal(factory_http_new(&http, &loop, &o, &error), -EINVAL);
}

static void test_next_page_elsewhere_is_refused(void **state)
{
	char url[200];

	(void)state;
	begin_token();
	snprintf(url, sizeof url, "%s%s", factory_server_get("FACTORY_OTHER_URL"), IPS);
	assert_int_equal(factory_http_get(http, url, on_answer, NULL), -EPERM);
	snprintf(url, sizeof url, "%s%s", factory_server_get("FACTORY_URL"), IPS);
	get(url);
	assert_int_equal(got.outcome, FACTORY_OK);
}

static void test_it_ends_in_the_middle_of_a_request(void **state)
{
	(void)state;
	begin_token();
	factory_do("fault", "{\"do\": \"silent\"}");
	done = false;
	assert_int_equal(factory_http_get(http, IPS, on_answer, NULL), 0);
	for (int i = 0; i < 50; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(2000);
	}
	factory_http_free(http);
	http = NULL;
	assert_false(done);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_statuses_are_told_apart),
		T(test_broken_answers_are_no_answers),
		T(test_silence_and_slowness_have_an_end),
		T(test_redirects_share_one_time_limit),
		T(test_redirects_lead_nowhere_else),
		T(test_a_redirected_post_stays_a_post),
		T(test_wrong_certificates_get_no_request),
		T(test_without_the_ca_file_nothing_is_trusted),
		T(test_server_that_is_not_there_comes_back),
		T(test_error_texts_are_short_printable_and_without_our_token),
		T(test_no_part_of_our_token_is_quoted_where_a_text_is_cut),
		T(test_tokens_in_an_answer_with_a_wrong_status_are_not_quoted),
		T(test_each_good_status_of_a_patch_is_one),
		T(test_a_patch_is_sent_again_with_a_new_token_whole),
		T(test_extra_headers_go_along),
		T(test_bases_and_headers_that_cannot_be_are_refused),
		T(test_next_page_elsewhere_is_refused),
		T(test_it_ends_in_the_middle_of_a_request),
		T(test_no_secret_was_logged),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
