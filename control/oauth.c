/* oauth.c - see oauth.h. Requests and answers as the Python daemon, and devices that register,
 * send and get them; RFC 6749, RFC 8628. */
#include "control/oauth.h"

#include "control/error.h"
#include "control/factory_urls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX (256u << 10)
#define SCOPE_CHARS 160
#define URL_CHARS 2200
#define REDIRECT_URI                                                                               \
	"urn:ietf:wg:oauth:2.0:oob" /* the page shows the code instead of leading on               \
				     */
#define GRANT_TYPE "urn:ietf:params:oauth:grant-type:device_code"
#define SLOWER_S 5 /* RFC 8628, section 3.5 */

static double now_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *client_id(const struct oauth *oauth)
{
	return oauth->client_id ? oauth->client_id : OAUTH_CLIENT_ID;
}

static void free_wiped(char *text)
{
	if (text)
		secret_wipe(text, strlen(text));
	free(text);
}

static void star_out(void *secret, char *text)
{
	size_t n = strlen(secret);

	for (char *at = text; n && (at = strstr(at, secret));)
		memset(at, '*', n);
}

/* ---- requests ---- */

/* A form to the OAuth server. secret: not to be seen in a refusal. 0, -EACCES or -EIO; body: the
 * caller's, also when refused; code: the refusal's, "" where there is none. */
struct said {
	struct factory_reply reply;
	struct factory_error error;
};

static int post(struct said *said, const struct oauth *oauth, const char *path,
	const char *const *fields, const char *secret, struct wgh_error *error)
{
	const struct factory_error_rules rules = {
		.members_only = true, .hide = star_out, .arg = (char *)secret};
	char url[URL_CHARS], *form = creds_form_encode(fields);

	*said = (struct said){.reply = {0}};
	if (!form) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	snprintf(url, sizeof url, "%s%s", oauth->url, path);
	factory_once_fetch(oauth->once, url, form, ANSWER_MAX, &said->reply);
	free_wiped(form);
	if (said->reply.outcome != FACTORY_OK) {
		error_set(error, "%s", said->reply.why);
		return -EIO;
	}
	if (said->reply.status == 200)
		return 0;
	factory_error_parse(&said->error, said->reply.body, said->reply.n, &rules);
	error_set(error, "POST %s: %u%s%s", path, said->reply.status,
		said->error.text[0] ? ": " : "", said->error.text);
	return said->reply.status >= 400 && said->reply.status < 500 && said->reply.status != 408 &&
			said->reply.status != 429
		? -EACCES
		: -EIO;
}

static int take_creds(struct creds **creds, const struct said *said, struct wgh_error *error)
{
	struct wgh_error why = {""};

	if (!creds_from_answer(creds, said->reply.body, said->reply.n, now_s(CLOCK_REALTIME), &why))
		return 0;
	error_set(error, "the answer has no token: %s", why.text);
	return -EIO;
}

static void scope_text(char out[SCOPE_CHARS], const struct oauth *oauth, const char *scope)
{
	snprintf(out, SCOPE_CHARS, "%s:%s", oauth->factory, scope);
}

/* ---- a code that is pasted ---- */

char *oauth_link(const struct oauth *oauth)
{
	char scopes[2 * SCOPE_CHARS], *page = factory_url_authorize(oauth->url), *form, *link;
	const char *const fields[] = {"client_id", client_id(oauth), "response_type", "code",
		"redirect_uri", REDIRECT_URI, "scope", scopes, NULL};

	snprintf(scopes, sizeof scopes, "%s:%s %s:%s", oauth->factory, OAUTH_SCOPE_PUBLISH,
		oauth->factory, OAUTH_SCOPE_READ);
	form = creds_form_encode(fields);
	if (!page || !form || asprintf(&link, "%s?%s", page, form) < 0)
		link = NULL;
	free(page);
	free(form);
	return link;
}

bool oauth_is_code(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++) {
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return false;
	}
	return n > 0 && n <= OAUTH_CODE_MAX;
}

int oauth_redeem(struct creds **creds, const struct oauth *oauth, const char *code,
	const char *scope, const char *expires, struct wgh_error *error)
{
	char whole_scope[SCOPE_CHARS];
	const char *const fields[] = {"grant_type", "authorization_code", "code", code, "client_id",
		client_id(oauth), "redirect_uri", REDIRECT_URI, "scope", whole_scope,
		expires ? "expires" : NULL, expires, NULL};
	struct said said;
	int err;

	*creds = NULL;
	scope_text(whole_scope, oauth, scope);
	err = post(&said, oauth, "/token", fields, code, error);
	if (!err)
		err = take_creds(creds, &said, error);
	factory_reply_fini(&said.reply);
	return err;
}

/* ---- a code that is typed elsewhere ---- */

int oauth_grant_begin(struct factory_grant *grant, const struct oauth *oauth, const char *scope,
	struct wgh_error *error)
{
	char whole_scope[SCOPE_CHARS];
	const char *const fields[] = {"client_id", client_id(oauth), "scope", whole_scope, NULL};
	struct wgh_error why = {""};
	struct said said;
	int err;

	*grant = (struct factory_grant){0};
	scope_text(whole_scope, oauth, scope);
	err = post(&said, oauth, "/authorization/device/", fields, "", error);
	if (!err && factory_grant_parse(grant, said.reply.body, said.reply.n, &why)) {
		error_set(error, "POST /authorization/device/: %s", why.text);
		err = -ENOSYS;
	}
	factory_reply_fini(&said.reply);
	return err == -EACCES ? -ENOSYS : err;
}

/* 0: there is a token; -EAGAIN: not yet. */
static int poll_once(struct creds **creds, const struct oauth *oauth,
	const struct factory_grant *grant, const char *scope, unsigned *interval_s,
	struct wgh_error *error)
{
	const char *const fields[] = {"grant_type", GRANT_TYPE, "device_code", grant->device_code,
		"client_id", client_id(oauth), "scope", scope, NULL};
	struct said said;
	int err = post(&said, oauth, "/token/", fields, grant->device_code, error);

	if (!err)
		err = take_creds(creds, &said, error);
	else if (err == -EIO || !strcmp(said.error.code, "authorization_pending"))
		err = -EAGAIN; /* the next time may be better */
	else if (!strcmp(said.error.code, "slow_down"))
		*interval_s += SLOWER_S, err = -EAGAIN;
	else if (!strcmp(said.error.code, "expired_token"))
		err = -ETIMEDOUT;
	factory_reply_fini(&said.reply);
	return err;
}

int oauth_grant_wait(struct creds **creds, const struct oauth *oauth,
	const struct factory_grant *grant, const char *scope, struct wgh_error *error)
{
	double end_s = now_s(CLOCK_BOOTTIME) + grant->expires_in_s;
	unsigned interval_s = grant->interval_s;
	char whole_scope[SCOPE_CHARS];
	int err = -EAGAIN;

	*creds = NULL;
	scope_text(whole_scope, oauth, scope);
	/* What comes after the end is not worth waiting for. */
	while (err == -EAGAIN && now_s(CLOCK_BOOTTIME) + interval_s < end_s) {
		factory_once_wait(oauth->once, interval_s * 1000);
		err = poll_once(creds, oauth, grant, whole_scope, &interval_s, error);
	}
	if (err != -EAGAIN && err != -ETIMEDOUT)
		return err;
	error_set(error, "nobody has entered the code in time");
	return -ETIMEDOUT;
}
