/* login.c - `wghub login`: credentials for the daemon, from a person with a browser; see login.h.
 *
 *	--code-stdin, --browser, or the server offers nothing else: a link, and a code to paste
 *	otherwise: a page and a code to type there (RFC 8628)
 */
#include "control/cli/login.h"

#include "control/factory_urls.h"
#include "control/file.h"
#include "control/log.h"
#include "control/oauth.h"
#include "control/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCK_WAIT_MS 20000

struct session {
	struct oauth oauth;
	struct factory_urls urls;
};

/* ---- asking ---- */

bool login_can_ask(const struct factory_options *o)
{
	return o->code_stdin || isatty(STDIN_FILENO);
}

/* Not by stdio, whose buffer nobody would wipe. */
bool login_read_line(const char *prompt, char *out, size_t size)
{
	size_t n = 0;
	char c = 0;

	fprintf(stderr, "%s", prompt);
	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
		if (n + 1 < size)
			out[n] = c;
		n++;
	}
	if (n >= size)
		return false;
	while (n && (out[n - 1] == '\r' || out[n - 1] == ' '))
		n--;
	out[n] = 0;
	return n > 0;
}

/* ---- a session with the OAuth server ---- */

static void session_end(struct session *s)
{
	factory_once_free(s->oauth.once);
	free(s->urls.api);
	free(s->urls.oauth);
}

static int session_begin(struct session *s, const struct factory_options *o)
{
	const struct factory_http_options *http = &o->factory.poll.http;
	struct factory_http_options bare = {.api_url = http->api_url,
		.oauth_url = http->oauth_url,
		.ca_file = http->ca_file,
		.creds_text = "-"}; /* nothing is asked of the API */
	struct wgh_error error = {"out of memory"};

	*s = (struct session){{0}};
	if (factory_urls_find(&s->urls,
		    &(struct factory_urls_known){.api = http->api_url, .oauth = http->oauth_url}) ||
		factory_once_new(&s->oauth.once, &bare, &error)) {
		say_error("%s", error.text);
		session_end(s);
		return EXIT_FAILED;
	}
	s->oauth.url = s->urls.oauth;
	s->oauth.client_id = o->client_id;
	s->oauth.factory = o->name;
	return 0;
}

/* ---- the file ---- */

/* What is there already must be what a login may replace. */
static int check_file(const char *path)
{
	struct wgh_error error = {""};
	char shown[120];
	struct creds *creds;
	enum creds_form form;

	if (access(path, F_OK) && errno == ENOENT)
		return 0;
	if (creds_read(&creds, path, 0, &error)) {
		say_error("%s; a login does not replace it: give another file, or remove it",
			error.text);
		return EXIT_FAILED;
	}
	form = creds->form;
	creds_free(creds);
	if (form == CREDS_PYTHON || form == CREDS_EXPIRES_AT)
		return 0;
	text_escape(shown, sizeof shown, path, strlen(path));
	say_error("%s: %s; a login does not replace it: give another file", shown,
		form == CREDS_API_TOKEN ? "there is an API token in it, which needs no login"
					: "it is fioctl's, which has a login of its own");
	return EXIT_FAILED;
}

static int write_file(const struct creds *creds, const char *path)
{
	struct wgh_error error = {""};
	int lock_fd = -1, err = file_lock(&lock_fd, path, LOCK_WAIT_MS, &error);

	if (!err) {
		err = creds_write(creds, path, false, &error);
		file_unlock(lock_fd);
	}
	if (!err)
		return 0;
	say_error("%s; the credentials are lost: log in again", error.text);
	return EXIT_FAILED;
}

/* ---- a code that is pasted ---- */

static int ask_code(const struct session *s, char code[OAUTH_CODE_MAX + 1])
{
	char *link = oauth_link(&s->oauth);

	if (!link) {
		say_error("out of memory");
		return EXIT_FAILED;
	}
	fprintf(stderr, "Open this page, allow access, and copy the code that it shows:\n  %s\n",
		link);
	free(link);
	if (login_read_line("Code: ", code, OAUTH_CODE_MAX + 1) && oauth_is_code(code))
		return 0;
	say_error("no code was given; nothing has changed");
	return EXIT_FAILED;
}

static int redeem_both(const struct session *s, const char *code, const char *path,
	struct creds **publish, bool *daemon)
{
	struct wgh_error error = {""};
	struct creds *kept;
	int code_out;

	if (oauth_redeem(
		    publish, &s->oauth, code, OAUTH_SCOPE_PUBLISH, OAUTH_PUBLISH_EXPIRES, &error)) {
		say_error("the code was not accepted: %s", error.text);
		return EXIT_FAILED;
	}
	if (!*daemon)
		return 0;
	if (oauth_redeem(&kept, &s->oauth, code, OAUTH_SCOPE_READ, NULL, &error)) {
		say_error("the code is good for publishing, but there are no credentials for the "
			  "daemon: %s; get some with: wghub login",
			error.text);
		*daemon = false;
		return 0;
	}
	code_out = write_file(kept, path);
	creds_free(kept);
	*daemon = !code_out;
	return 0;
}

int login_by_code(const struct factory_options *o, struct creds **publish, bool *daemon)
{
	const char *path = o->factory.poll.http.creds_path;
	char code[OAUTH_CODE_MAX + 1];
	struct session s;
	int err = session_begin(&s, o);

	*publish = NULL;
	if (err)
		return err;
	err = ask_code(&s, code);
	if (!err)
		err = redeem_both(&s, code, path, publish, daemon);
	secret_wipe(code, sizeof code);
	session_end(&s);
	return err;
}

/* ---- wghub login ---- */

/* -ENOSYS: not offered. */
static int by_grant(const struct session *s, struct creds **creds)
{
	struct wgh_error error = {""};
	struct factory_grant grant;
	int err = oauth_grant_begin(&grant, &s->oauth, OAUTH_SCOPE_READ, &error);

	if (!err) {
		fprintf(stderr,
			"Open this page on any device and enter the code:\n  %s\n  %s\n"
			"Waiting for your answer there ...\n",
			grant.verification_uri, grant.user_code);
		progress_begin("waiting for your answer there");
		err = oauth_grant_wait(creds, &s->oauth, &grant, OAUTH_SCOPE_READ, &error);
		progress_end();
	}
	factory_grant_fini(&grant);
	if (err && err != -ENOSYS)
		say_error("no login: %s; another way is: --browser", error.text);
	return err;
}

static int by_code(const struct session *s, struct creds **creds)
{
	struct wgh_error error = {""};
	char code[OAUTH_CODE_MAX + 1];
	int err = ask_code(s, code);

	if (!err && oauth_redeem(creds, &s->oauth, code, OAUTH_SCOPE_READ, NULL, &error)) {
		say_error("the code was not accepted: %s", error.text);
		err = EXIT_FAILED;
	}
	secret_wipe(code, sizeof code);
	return err;
}

/* Does the new token open this factory? Only a plain no is an error. */
static int try_token(const struct factory_options *o, const struct creds *creds)
{
	struct factory_http_options http = o->factory.poll.http;
	struct wgh_error error = {""};
	struct factory_once *once;
	struct factory_reply reply;
	char path[160];
	int code = 0;

	http.creds_path = NULL;
	http.creds_text = creds->text;
	if (factory_once_new(&once, &http, &error)) {
		say_error("%s", error.text);
		return EXIT_FAILED;
	}
	snprintf(path, sizeof path, "/ota/factories/%s/wireguard-ips/", o->name);
	factory_once_get(once, path, &reply);
	if (reply.outcome == FACTORY_REFUSED) {
		say_error("the login went well, but the API refuses: %s; nothing is written",
			reply.why);
		code = EXIT_FAILED;
	} else if (reply.outcome == FACTORY_TRANSIENT) {
		say_error("note: not tried, because the API does not answer: %s", reply.why);
	}
	factory_reply_fini(&reply);
	factory_once_free(once);
	return code;
}

static int log_in(const struct factory_options *o, struct creds **creds)
{
	struct session s;
	int err = session_begin(&s, o);

	if (err)
		return err;
	err = o->browser || o->code_stdin ? -ENOSYS : by_grant(&s, creds);
	if (err == -ENOSYS)
		err = by_code(&s, creds);
	session_end(&s);
	return err ? EXIT_FAILED : 0;
}

static int run(int argc, char **argv)
{
	struct factory_options o;
	struct creds *creds = NULL;
	const char *path;
	char shown[120];
	int code = factory_options_read(&o, &command_login, FOR_LOGIN, argc, argv);

	log_set_level(LEVEL_WARN);
	path = o.factory.poll.http.creds_path;
	if (!code && (o.n_words || o.token))
		code = say_usage(
			&command_login, o.token ? "an API token needs no login" : "too many words");
	if (!code && !path)
		code = say_usage(&command_login, "--oauthcreds FILE is missing");
	if (!code)
		code = check_file(path);
	if (!code)
		code = log_in(&o, &creds);
	if (!code)
		code = try_token(&o, creds);
	if (!code)
		code = write_file(creds, path);
	creds_free(creds);
	if (!code) {
		text_escape(shown, sizeof shown, path, strlen(path));
		printf("credentials of %s: %s; a hub that waits for them goes on by itself\n",
			o.name, shown);
	}
	factory_options_fini(&o);
	return code;
}

const struct command command_login = {"login", run,
	"get credentials for a factory's hub, with a browser anywhere",
	"Usage: wghub login --factory F --oauthcreds FILE [--browser] [--code-stdin]\n"
	"\n"
	"Writes FILE (0600), which the daemon uses and renews. It may then read the factory's "
	"config and devices,\n"
	"nothing else. Where the server offers it, a page and a short code are shown, to be "
	"entered on any device;\n"
	"otherwise, or with --browser, a link, whose page shows a code to be pasted here.\n"
	"  --code-stdin           read that code from standard input, also where it is no "
	"terminal\n"
	"  --client-id ID         the program's identifier at the OAuth server\n" FACTORY_API_HELP};
