/* test_factory_http.c - requests with credentials against the test Factory: forms of tokens, their
 * renewal, everything a server or a network can do wrong. Loopback only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/factory_http.h"

#include "control/file.h"
#include "control/log.h"
#include "tests/lib/factory_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IPS "/ota/factories/acme-presses/wireguard-ips/"
#define GET_IPS "GET " IPS
#define POST_TOKEN "POST /oauth/token"
#define POST_TOKEN_SLASH "POST /oauth/token/"

static uv_loop_t loop;
static int stderr_fd, log_fd;
static struct factory_http *http;
static char dir[64], creds_path[100], log_path[100];
static struct factory_answer got;
static char *got_body;
static bool done;

/* How far the hub's clock is ahead of the server's. */
static time_t clock_ahead_s;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int err = __real_clock_gettime(clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec += clock_ahead_s;
	return err;
}

static double now_s(void)
{
	return (double)time(NULL);
}

static int group_setup(void **state)
{
	(void)state;
	assert_int_equal(secret_init(), 0);
	factory_server_start();
	strcpy(dir, "/tmp/wghub-test-http-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(creds_path, sizeof creds_path, "%s/creds", dir);
	snprintf(log_path, sizeof log_path, "%s/log", dir);
	/* The log, to look for secrets in. */
	log_fd = open(log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	stderr_fd = dup(STDERR_FILENO);
	assert_true(log_fd >= 0 && stderr_fd >= 0);
	log_set_level(LEVEL_DEBUG);
	return 0;
}

static int group_teardown(void **state)
{
	char command[100];

	(void)state;
	factory_server_stop();
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

static int setup(void **state)
{
	(void)state;
	dup2(log_fd, STDERR_FILENO);
	uv_loop_init(&loop);
	factory_do("clear", "{}");
	factory_do("set",
		"{\"auth\": \"any\", \"expires_in\": 86400, \"rotate\": true, "
		"\"omit_expires_in\": false, \"token_slash\": \"both\"}");
	factory_do("forget", "{}");
	unlink(creds_path);
	return 0;
}

static int teardown(void **state)
{
	char lock[120];

	(void)state;
	factory_http_free(http);
	http = NULL;
	while (uv_run(&loop, UV_RUN_NOWAIT))
		usleep(1000);
	assert_int_equal(uv_loop_close(&loop), 0);
	free(got_body);
	got_body = NULL;
	snprintf(lock, sizeof lock, "%s.lock", creds_path);
	unlink(lock);
	dup2(stderr_fd, STDERR_FILENO);
	return 0;
}

static void begin_with(struct factory_http_options options)
{
	struct wgh_error error = {""};

	options.api_url = factory_server_get("FACTORY_URL");
	options.oauth_url = factory_server_get("FACTORY_OAUTH_URL");
	if (!options.ca_file)
		options.ca_file = factory_server_get("FACTORY_CA");
	if (factory_http_new(&http, &loop, &options, &error))
		fail_msg("%s", error.text);
}

static void begin_token(void)
{
	begin_with(
		(struct factory_http_options){.creds_text = factory_server_get("FACTORY_TOKEN")});
}

static void begin_file(void)
{
	begin_with((struct factory_http_options){.creds_path = creds_path});
}

static void on_answer(void *arg, const struct factory_answer *answer)
{
	(void)arg;
	assert_false(done);
	done = true;
	got = *answer;
	free(got_body);
	got_body = strndup(answer->body, answer->body_bytes);
}

static void wait_answer(void)
{
	uint64_t end_ns = uv_hrtime() + UINT64_C(15000000000);

	while (!done && uv_hrtime() < end_ns) {
		if (!uv_run(&loop, UV_RUN_NOWAIT))
			break;
		usleep(500);
	}
	assert_true(done);
}

static void get(const char *path)
{
	done = false;
	assert_int_equal(factory_http_get(http, path, on_answer, NULL), 0);
	assert_false(done); /* never from within */
	wait_answer();
}

static void get_ok(void)
{
	get(IPS);
	if (got.outcome != FACTORY_OK)
		fail_msg("%s", got.why);
	assert_int_equal(got_body[0], '[');
}

/* Format P with fresh tokens of the server. created: seconds ago. */
static json_t *write_python_creds(double ago_s)
{
	json_t *login = factory_control("login", "{}");
	json_t *file = json_pack("{s:O, s:O, s:O, s:f}", "access_token",
		json_object_get(login, "access_token"), "refresh_token",
		json_object_get(login, "refresh_token"), "expires_in",
		json_object_get(login, "expires_in"), "created", now_s() - ago_s);
	char *text = json_dumps(file, JSON_INDENT(2));

	write_text(creds_path, text);
	free(text);
	json_decref(file);
	return login;
}

static json_t *creds_now(void)
{
	json_t *now = json_load_file(creds_path, 0, NULL);

	assert_non_null(now);
	return now;
}

/* ---- tokens ---- */

static void test_api_token_goes_as_osf_token(void **state)
{
	(void)state;
	factory_do("set", "{\"auth\": \"osf\"}");
	begin_token();
	get_ok();
	assert_int_equal(factory_count(GET_IPS), 1);
}

static void test_answers_come_one_at_a_time_and_never_from_within(void **state)
{
	(void)state;
	begin_token();
	done = false;
	assert_int_equal(factory_http_get(http, IPS, on_answer, NULL), 0);
	assert_int_equal(factory_http_get(http, IPS, on_answer, NULL), -EBUSY);
	wait_answer();
	get_ok();
}

static void test_bearer_form_changes_once_and_the_one_that_worked_stays(void **state)
{
	(void)state;
	json_decref(write_python_creds(0));
	factory_do("set", "{\"auth\": \"base64\"}");
	begin_file();
	get_ok();
	assert_int_equal(factory_count(GET_IPS), 2);
	get_ok();
	assert_int_equal(factory_count(GET_IPS), 3);
	/* Now the server changes its mind: no way back, but one renewal. */
	factory_do("set", "{\"auth\": \"bearer\"}");
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_REFUSED);
	assert_int_equal(factory_count(GET_IPS), 5);
	assert_int_equal(factory_count(POST_TOKEN), 1);
}

static void test_other_credentials_may_have_the_other_form(void **state)
{
	(void)state;
	write_text(creds_path, factory_server_get("FACTORY_TOKEN"));
	begin_file();
	get_ok();
	factory_do("set", "{\"auth\": \"base64\"}");
	json_decref(write_python_creds(0));
	get_ok();
	assert_int_equal(factory_count(POST_TOKEN), 0);
}

static void test_no_credentials_at_all_is_an_answer_and_a_file_may_come_later(void **state)
{
	(void)state;
	begin_file();
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_REFUSED);
	assert_true(got.login_needed);
	assert_non_null(strstr(got.why, "no credentials"));
	json_decref(write_python_creds(0));
	get_ok();
	assert_false(got.login_needed);
}

/* ---- renewal ---- */

static void test_token_is_renewed_before_it_ends_and_the_file_rotates(void **state)
{
	json_t *before = write_python_creds(86400 - 300), *after;
	struct stat st;

	(void)state;
	begin_file();
	get_ok();
	assert_int_equal(factory_count(POST_TOKEN), 1);
	assert_int_equal(factory_count(GET_IPS), 1);
	after = creds_now();
	assert_string_not_equal(json_string_value(json_object_get(before, "refresh_token")),
		json_string_value(json_object_get(after, "refresh_token")));
	assert_string_not_equal(json_string_value(json_object_get(before, "access_token")),
		json_string_value(json_object_get(after, "access_token")));
	assert_int_equal(stat(creds_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	json_decref(before);
	json_decref(after);
	get_ok();
	assert_int_equal(factory_count(POST_TOKEN), 1);
}

static void test_each_renewal_uses_the_newest_refresh_token(void **state)
{
	(void)state;
	factory_do("set", "{\"expires_in\": 1}");
	json_decref(write_python_creds(10));
	begin_file();
	for (int i = 0; i < 3; i++) {
		get_ok();
		usleep(1100000);
	}
	assert_int_equal(factory_count(POST_TOKEN), 3);
	assert_int_equal(factory_count(GET_IPS), 3);
}

static void test_401_renews_once(void **state)
{
	(void)state;
	json_decref(write_python_creds(0));
	begin_file();
	get_ok();
	factory_do("revoke", "{\"access\": \"all\"}");
	get_ok();
	assert_int_equal(factory_count(POST_TOKEN), 1);
}

static void test_renewal_in_vain_is_not_repeated(void **state)
{
	(void)state;
	json_decref(write_python_creds(0));
	begin_file();
	factory_do("fault",
		"{\"do\": \"status\", \"status\": 401, \"match\": \"%s\", \"times\": -1}", GET_IPS);
	for (int i = 0; i < 3; i++) {
		get(IPS);
		assert_int_equal(got.outcome, FACTORY_REFUSED);
		assert_int_equal(got.status, 401);
	}
	assert_int_equal(factory_count(POST_TOKEN), 1);
	factory_do("clear", "{}");
	get_ok();
}

/* Again and again, because it may take five seconds, until it has the token renewed n times. */
static void get_until_renewed(int n)
{
	uint64_t end_ns = uv_hrtime() + UINT64_C(20000000000);

	while (factory_count(POST_TOKEN) < n && uv_hrtime() < end_ns) {
		get(IPS);
		usleep(200000);
	}
	assert_int_equal(factory_count(POST_TOKEN), n);
}

/* The first answer after a renewal is a bad one, and when the next one comes that token has ended,
 * too. */
static void test_one_renewal_in_vain_is_not_the_last(void **state)
{
	(void)state;
	json_decref(write_python_creds(0));
	begin_file();
	factory_do("fault", "{\"do\": \"status\", \"match\": \"%s\", \"skip\": 2}", GET_IPS);
	factory_do("revoke", "{\"access\": \"all\"}");
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_TRANSIENT);
	factory_do("revoke", "{\"access\": \"all\"}");
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_REFUSED);
	get_until_renewed(2);
	get_ok();
}

static void test_clock_that_is_set_back_does_not_end_renewals(void **state)
{
	(void)state;
	json_decref(write_python_creds(0));
	begin_file();
	factory_do("fault", "{\"do\": \"status\", \"match\": \"%s\"}", POST_TOKEN);
	clock_ahead_s = 1000000000;
	get_ok();
	assert_int_equal(factory_count(POST_TOKEN), 1);
	clock_ahead_s = 0;
	factory_do("revoke", "{\"access\": \"all\"}");
	get_until_renewed(2);
	get_ok();
}

static void test_refused_renewal_needs_a_login_and_a_new_file_is_one(void **state)
{
	(void)state;
	json_decref(write_python_creds(0));
	begin_file();
	factory_do("revoke", "{\"access\": \"all\", \"refresh\": \"all\"}");
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_REFUSED);
	assert_true(got.login_needed);
	get(IPS);
	assert_int_equal(factory_count(POST_TOKEN), 1);
	json_decref(write_python_creds(0));
	get_ok();
	assert_false(got.login_needed);
}

static void test_old_token_serves_while_the_oauth_server_is_down(void **state)
{
	(void)state;
	json_decref(write_python_creds(86400 - 300));
	begin_file();
	factory_do("fault",
		"{\"do\": \"status\", \"status\": 500, \"match\": \"%s\", \"times\": -1}",
		POST_TOKEN);
	get_ok();
	get_ok(); /* and it is not asked each time */
	assert_int_equal(factory_count(POST_TOKEN), 1);
}

static void test_who_asks_for_it_gets_a_renewal_at_once(void **state)
{
	(void)state;
	json_decref(write_python_creds(100000));
	factory_do("revoke", "{\"access\": \"all\"}");
	factory_do("fault", "{\"do\": \"status\", \"match\": \"%s\"}", POST_TOKEN);
	begin_file();
	get(IPS);
	get(IPS);
	assert_int_equal(got.outcome, FACTORY_REFUSED);
	assert_int_equal(factory_count(POST_TOKEN), 1);
	factory_http_hurry(http);
	get_ok();
	assert_int_equal(factory_count(POST_TOKEN), 2);
}

static void test_token_renewed_by_another_process_is_taken(void **state)
{
	struct wgh_error error;
	json_t *other;
	int lock;

	(void)state;
	json_decref(write_python_creds(86400 - 300));
	begin_file();
	assert_int_equal(file_lock(&lock, creds_path, 0, &error), 0);
	done = false;
	assert_int_equal(factory_http_get(http, IPS, on_answer, NULL), 0);
	for (int i = 0; i < 100; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(3000);
	}
	assert_false(done); /* it waits, and the loop runs */
	other = write_python_creds(0);
	file_unlock(lock);
	wait_answer();
	assert_int_equal(got.outcome, FACTORY_OK);
	assert_int_equal(factory_count(POST_TOKEN), 0);
	json_decref(other);
}

/* A full disk, also for root. */
static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_new_token_that_cannot_be_written_stays_in_use_and_is_written_later(void **state)
{
	json_t *before = write_python_creds(86400 - 300), *after;
	char *text = read_text(creds_path), *left;

	(void)state;
	begin_file();
	limit_files(16);
	get_ok();
	get_ok();
	limit_files(RLIM_INFINITY);
	assert_int_equal(factory_count(POST_TOKEN), 1);
	left = read_text(creds_path);
	assert_string_equal(left, text); /* whole all the time */
	get_ok();
	after = creds_now();
	assert_string_not_equal(json_string_value(json_object_get(before, "refresh_token")),
		json_string_value(json_object_get(after, "refresh_token")));
	assert_int_equal(factory_count(POST_TOKEN), 1);
	json_decref(before);
	json_decref(after);
	free(text);
	free(left);
}

/* What touches it may be a backup; the old token in it is no login. */
static void test_file_that_is_touched_does_not_bring_the_old_token_back(void **state)
{
	const struct timespec then[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	json_t *before = write_python_creds(86400 - 300), *after;

	(void)state;
	begin_file();
	limit_files(16);
	get_ok();
	limit_files(RLIM_INFINITY);
	assert_int_equal(utimensat(AT_FDCWD, creds_path, then, 0), 0);
	get_ok();
	assert_int_equal(factory_count(POST_TOKEN), 1);
	after = creds_now();
	assert_string_not_equal(json_string_value(json_object_get(before, "refresh_token")),
		json_string_value(json_object_get(after, "refresh_token")));
	json_decref(before);
	json_decref(after);
}

static void write_fioctl_yaml(void)
{
	json_t *login;
	char text[2000];

	factory_do("client", "{\"id\": \"id1\", \"secret\": \"secret-of-id1\"}");
	login = factory_control("login", "{\"client_id\": \"id1\"}");
	snprintf(text, sizeof text,
		"clientcredentials:\n  access_token: %s\n  client_id: id1\n"
		"  client_secret: secret-of-id1\n  created: \"2020-03-02T08:15:30Z\"\n"
		"  expires_in: 86400\n  refresh_token: %s\n  token_type: Bearer\n"
		"  url: https://ignored.example/oauth\nfactory: acme-presses\n",
		json_string_value(json_object_get(login, "access_token")),
		json_string_value(json_object_get(login, "refresh_token")));
	write_text(creds_path, text);
	json_decref(login);
}

static void test_fioctl_file_is_only_read_and_its_refresh_token_not_used(void **state)
{
	char *before, *after;
	json_t *requests;
	bool seen = false;
	size_t i;
	json_t *request;

	(void)state;
	write_fioctl_yaml();
	before = read_text(creds_path);
	begin_file();
	get_ok();
	after = read_text(creds_path);
	assert_string_equal(before, after);
	requests = factory_control("requests", "{}");
	json_array_foreach(requests, i, request)
	{
		const char *grant = json_string_value(json_object_get(request, "grant"));

		if (grant)
			assert_string_equal(grant, "client_credentials");
		seen |= grant != NULL;
	}
	assert_true(seen);
	json_decref(requests);
	free(before);
	free(after);
}

static void test_fioctl_file_is_written_when_told_so(void **state)
{
	char *before, *after;

	(void)state;
	write_fioctl_yaml();
	before = read_text(creds_path);
	begin_with((struct factory_http_options){.creds_path = creds_path, .write_fioctl = true});
	get_ok();
	after = read_text(creds_path);
	assert_string_not_equal(before, after);
	assert_non_null(strstr(after, "factory: acme-presses\n"));
	assert_int_equal(factory_count(POST_TOKEN_SLASH), 1);
	free(before);
	free(after);
}

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
	assert_true(uv_hrtime() - begin_ns < UINT64_C(5000000000));
	factory_do("clear", "{}");
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
	https_set_timeouts(factory_http_client(http), 2000, 2000);
	factory_do("fault",
		"{\"do\": \"delay\", \"ms\": 1400, \"times\": 2, \"match\": "
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

/* Last: everything above has logged by now. */
static void test_no_secret_was_logged(void **state)
{
	json_t *secrets = factory_control("secrets", "{}"), *secret;
	char *text = read_text(log_path);
	size_t i;

	(void)state;
	assert_non_null(strstr(text, "login needed")); /* it is the log */
	assert_true(json_array_size(secrets) > 10);
	json_array_foreach(secrets, i, secret)
	{
		if (strstr(text, json_string_value(secret)))
			fail_msg("the log has %s", json_string_value(secret));
	}
	json_decref(secrets);
	free(text);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_api_token_goes_as_osf_token),
		T(test_answers_come_one_at_a_time_and_never_from_within),
		T(test_bearer_form_changes_once_and_the_one_that_worked_stays),
		T(test_other_credentials_may_have_the_other_form),
		T(test_no_credentials_at_all_is_an_answer_and_a_file_may_come_later),
		T(test_token_is_renewed_before_it_ends_and_the_file_rotates),
		T(test_each_renewal_uses_the_newest_refresh_token),
		T(test_401_renews_once),
		T(test_renewal_in_vain_is_not_repeated),
		T(test_one_renewal_in_vain_is_not_the_last),
		T(test_clock_that_is_set_back_does_not_end_renewals),
		T(test_refused_renewal_needs_a_login_and_a_new_file_is_one),
		T(test_old_token_serves_while_the_oauth_server_is_down),
		T(test_who_asks_for_it_gets_a_renewal_at_once),
		T(test_token_renewed_by_another_process_is_taken),
		T(test_new_token_that_cannot_be_written_stays_in_use_and_is_written_later),
		T(test_file_that_is_touched_does_not_bring_the_old_token_back),
		T(test_fioctl_file_is_only_read_and_its_refresh_token_not_used),
		T(test_fioctl_file_is_written_when_told_so),
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
