/* test_factory_tokens.c - requests with credentials against the test Factory: forms of tokens and
 * their renewal. Loopback only. */
#include "tests/control/factory_caller.h"

#include "control/file.h"

#include <signal.h>
#include <sys/resource.h>

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
	/* For the hub; the server takes them for longer, should this machine be slow. */
	factory_do("set", "{\"report_expires_in\": 1}");
	json_decref(write_python_creds(10));
	begin_file();
	for (int i = 0; i < 3; i++) {
		get_ok();
		usleep(1100000);
	}
	assert_int_equal(factory_count(POST_TOKEN), 3);
	assert_int_equal(factory_count(GET_IPS), 3);
	factory_do("set", "{\"report_expires_in\": null}");
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
	uint64_t end_ns = uv_hrtime() + UINT64_C(60000000000);

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
		T(test_no_secret_was_logged),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
