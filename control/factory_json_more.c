/* factory_json_more.c - the rest of factory_json.h: where the next page is, what errors say, and
 * the answer that begins a device login. */
#include "control/factory_json.h"

#include "control/error.h"
#include "control/json_text.h"
#include "control/slice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define URL_CHARS_MAX 4096

/* A copy, printable and at most max_bytes long; "" for NULL. */
static char *copy_shown(const char *text, size_t max_bytes)
{
	char shown[FACTORY_NAME_BYTES + 1];

	if (!text)
		text = "";
	text_escape(shown, max_bytes < sizeof shown ? max_bytes : sizeof shown, text, strlen(text));
	return strdup(shown);
}

/* ---- where the next page is ---- */

struct url {
	const char *scheme;
	struct slice authority; /* without the scheme's own port */
	size_t origin_n; /* of "scheme://authority" as it stands */
};

static bool split_url(struct url *url, const char *text)
{
	static const struct {
		const char *scheme, *port;
	} known[] = {{"https://", ":443"}, {"http://", ":80"}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		size_t n = strlen(known[i].scheme), port_n = strlen(known[i].port);
		struct slice *a = &url->authority;

		if (strncasecmp(text, known[i].scheme, n))
			continue;
		url->scheme = known[i].scheme;
		*a = (struct slice){text + n, strcspn(text + n, "/?#")};
		url->origin_n = n + a->n;
		if (a->n > port_n && !memcmp(a->at + a->n - port_n, known[i].port, port_n))
			a->n -= port_n;
		return a->n > 0;
	}
	return false;
}

/* Nothing that an HTTP library might read in two ways. */
static bool is_plain_url(const char *text)
{
	size_t n = strlen(text);

	if (n > URL_CHARS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] <= 0x20 || text[i] >= 0x7f || text[i] == '\\')
			return false;
	}
	return true;
}

int factory_next_url(char **url, const char *api_base, const char *next)
{
	struct url ours, theirs;
	int n;

	*url = NULL;
	if (!is_plain_url(next) || !split_url(&ours, api_base))
		return -EINVAL;
	if (next[0] == '/' && next[1] != '/') {
		n = asprintf(url, "%.*s%s", (int)ours.origin_n, api_base, next);
		if (n < 0)
			*url = NULL;
		return n < 0 ? -ENOMEM : 0;
	}
	if (!split_url(&theirs, next))
		return -EINVAL;
	if (ours.scheme != theirs.scheme || ours.authority.n != theirs.authority.n ||
		strncasecmp(ours.authority.at, theirs.authority.at, ours.authority.n))
		return -EPERM;
	*url = strdup(next);
	return *url ? 0 : -ENOMEM;
}

/* ---- errors ---- */

struct words {
	char text[FACTORY_ERROR_CHARS * 2];
	size_t n;
};

/* Blanks of all kinds become one space. */
static void say(struct words *w, const char *text, size_t n)
{
	for (size_t i = 0; i < n && w->n < sizeof w->text - 1; i++) {
		char c = slice_is_blank(text[i]) || text[i] == '\n' ? ' ' : text[i] ? text[i] : '?';

		if (c != ' ' || (w->n && w->text[w->n - 1] != ' '))
			w->text[w->n++] = c;
	}
}

static void say_part(struct words *w, const char *before, const char *text)
{
	if (!text)
		return;
	if (w->n)
		say(w, before, strlen(before));
	say(w, text, strlen(text));
}

static void say_errors(struct words *w, const json_t *errors)
{
	const char *field, *separator = ": ";
	const json_t *value;

	for (size_t i = 0; i < json_array_size(errors); i++) {
		say_part(w, separator, json_string_value(json_array_get(errors, i)));
		separator = "; ";
	}
	json_object_foreach((json_t *)errors, field, value)
	{
		say_part(w, separator, field);
		say_part(w, ": ", json_string_value(value));
		separator = "; ";
	}
}

void factory_error_parse(struct factory_error *error, const char *body, size_t n,
	const struct factory_error_rules *rules)
{
	static const struct factory_error_rules none;
	struct words w = {.n = 0};
	struct wgh_error ignored;
	json_t *root;

	if (!rules)
		rules = &none;
	*error = (struct factory_error){{0}, {0}};
	if (json_text_load(&root, body, n, JSON_NUMBERS_REAL, &ignored))
		root = NULL;
	if (json_is_object(root)) {
		const char *code = json_text_string(root, "error");

		say_part(&w, "", json_text_string(root, "msg"));
		if (!w.n)
			say_part(&w, "", json_text_string(root, "message"));
		say_errors(&w, json_object_get(root, "errors"));
		say_part(&w, ": ", code);
		say_part(&w, ": ", json_text_string(root, "error_description"));
		if (code)
			text_escape(error->code, sizeof error->code, code, strlen(code));
	}
	json_decref(root);
	if (!w.n && !rules->members_only)
		say(&w, body, n);
	w.text[w.n] = 0;
	if (rules->hide)
		rules->hide(rules->arg, w.text);
	text_escape(error->text, sizeof error->text, w.text, w.n);
}

/* ---- device authorization grant ---- */

static unsigned clamp(double value, unsigned least, unsigned most)
{
	return !(value > least) ? least : value > most ? most : (unsigned)value;
}

int factory_grant_parse(
	struct factory_grant *grant, const char *body, size_t n, struct wgh_error *error)
{
	struct factory_grant g = {0};
	const char *code, *user_code, *uri;
	json_t *root;
	int err = json_text_load(&root, body, n, JSON_NUMBERS_REAL, error);

	*grant = g;
	if (err)
		return err;
	code = json_text_string(root, "device_code");
	user_code = json_text_string(root, "user_code");
	uri = json_text_string(root, "verification_uri");
	if (!uri)
		uri = json_text_string(root, "verification_url");
	if (!code || !*code || !user_code || !*user_code || !uri) {
		error_set(error, "the answer lacks device_code, user_code or verification_uri");
		err = -EINVAL;
	} else {
		g.device_code = strdup(code);
		g.user_code = copy_shown(user_code, 64);
		g.verification_uri = copy_shown(uri, SIZE_MAX);
		g.interval_s = clamp(json_text_number(root, "interval", 5), 1, 60);
		g.expires_in_s = clamp(json_text_number(root, "expires_in", 600), 1, 3600);
		if (!g.device_code || !g.user_code || !g.verification_uri) {
			error_set(error, "out of memory");
			err = -ENOMEM;
		}
	}
	json_decref(root);
	if (err)
		factory_grant_fini(&g);
	*grant = g;
	return err;
}

void factory_grant_fini(struct factory_grant *grant)
{
	if (grant->device_code)
		secret_wipe(grant->device_code, strlen(grant->device_code));
	free(grant->device_code);
	free(grant->user_code);
	free(grant->verification_uri);
	*grant = (struct factory_grant){0};
}
