/* factory_caller.h - one that asks the test Factory with credentials, and what it was answered; the
 * log goes into a file, where no secret may be. For test_factory_http.c and test_factory_tokens.c.
 */
#ifndef TESTS_CONTROL_FACTORY_CALLER_H
#define TESTS_CONTROL_FACTORY_CALLER_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/factory_http.h"

#include "control/log.h"
#include "tests/lib/factory_server.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static inline double now_s(void)
{
	return (double)time(NULL);
}

static inline int group_setup(void **state)
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

static inline int group_teardown(void **state)
{
	char command[100];

	(void)state;
	factory_server_stop();
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void begin_with(struct factory_http_options options)
{
	struct wgh_error error = {""};

	options.api_url = factory_server_get("FACTORY_URL");
	options.oauth_url = factory_server_get("FACTORY_OAUTH_URL");
	if (!options.ca_file)
		options.ca_file = factory_server_get("FACTORY_CA");
	if (factory_http_new(&http, &loop, &options, &error))
		fail_msg("%s", error.text);
}

static inline void begin_token(void)
{
	begin_with(
		(struct factory_http_options){.creds_text = factory_server_get("FACTORY_TOKEN")});
}

static inline void begin_file(void)
{
	begin_with((struct factory_http_options){.creds_path = creds_path});
}

static inline void on_answer(void *arg, const struct factory_answer *answer)
{
	(void)arg;
	assert_false(done);
	done = true;
	got = *answer;
	free(got_body);
	got_body = strndup(answer->body, answer->body_bytes);
}

static inline void wait_answer(void)
{
	uint64_t end_ns = uv_hrtime() + UINT64_C(60000000000);

	while (!done && uv_hrtime() < end_ns) {
		if (!uv_run(&loop, UV_RUN_NOWAIT))
			break;
		usleep(500);
	}
	assert_true(done);
}

static inline void get(const char *path)
{
	done = false;
	assert_int_equal(factory_http_get(http, path, on_answer, NULL), 0);
	assert_false(done); /* never from within */
	wait_answer();
}

static inline void get_ok(void)
{
	get(IPS);
	if (got.outcome != FACTORY_OK)
		fail_msg("%s", got.why);
	assert_int_equal(got_body[0], '[');
}

/* Format P with fresh tokens of the server. created: seconds ago. */
static inline json_t *write_python_creds(double ago_s)
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

static inline json_t *creds_now(void)
{
	json_t *now = json_load_file(creds_path, 0, NULL);

	assert_non_null(now);
	return now;
}

/* The last test: all others have logged by now. */
static inline void test_no_secret_was_logged(void **state)
{
	json_t *secrets = factory_control("secrets", "{}"), *secret;
	char *text = read_text(log_path);
	size_t i;

	(void)state;
	assert_non_null(strstr(text, "token renewed")); /* it is the log */
	assert_true(json_array_size(secrets) > 10);
	json_array_foreach(secrets, i, secret)
	{
		if (strstr(text, json_string_value(secret)))
			fail_msg("the log has %s", json_string_value(secret));
	}
	json_decref(secrets);
	free(text);
}

#endif
