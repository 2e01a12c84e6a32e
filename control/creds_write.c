/* creds_write.c - the half of creds.h that changes credentials: a token answer into the text they
 * came from, and that text onto the disk. */
#include "control/creds.h"
#include "control/creds_internal.h"

#include "control/error.h"
#include "control/file.h"
#include "control/json_text.h"
#include "control/yaml_pairs.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CLIENT_SECTION "clientcredentials"

/* What a token answer says; borrowed from its JSON. */
struct answer {
	const char *access_token, *refresh_token; /* refresh_token NULL: keep the old one */
	double lifetime_s; /* INFINITY: it does not say */
	double now_s;
};

static int read_answer(struct answer *a, const json_t *root, double now_s, struct wgh_error *error)
{
	*a = (struct answer){.access_token = json_text_string(root, "access_token"),
		.refresh_token = json_text_string(root, "refresh_token"),
		.lifetime_s = INFINITY,
		.now_s = now_s};
	if (a->refresh_token && !*a->refresh_token)
		a->refresh_token = NULL;
	if (!creds_lifetime_read(&a->lifetime_s, json_object_get(root, "expires_in")))
		a->lifetime_s = INFINITY;
	if (!creds_is_token(a->access_token)) {
		error_set(error, "the answer has no access token");
		return -EINVAL;
	}
	if (a->refresh_token && !creds_is_token(a->refresh_token)) {
		error_set(error, "the answer's refresh token is not one");
		return -EINVAL;
	}
	return 0;
}

static void time_to_text(char out[32], double time_s)
{
	time_t seconds = (time_t)time_s;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* ---- into JSON ---- */

/* In the shape the member has: text stays text, an integer an integer. */
static int set_time(json_t *node, const char *member, double time_s)
{
	const json_t *old = json_object_get(node, member);
	char text[32];

	if (json_is_string(old)) {
		time_to_text(text, time_s);
		return json_object_set_new(node, member, json_string(text));
	}
	if (json_is_integer(old) || !strcmp(member, "expires_at"))
		return json_object_set_new(node, member, json_integer((json_int_t)time_s));
	return json_object_set_new(node, member, json_real(time_s));
}

static json_t *lifetime_value(double seconds)
{
	return seconds == floor(seconds) ? json_integer((json_int_t)seconds) : json_real(seconds);
}

static int set_members(json_t *node, const struct creds *c, const struct answer *a)
{
	int err = json_object_set_new(node, "access_token", json_string(a->access_token));

	if (a->refresh_token)
		err |= json_object_set_new(node, "refresh_token", json_string(a->refresh_token));
	if (c->form == CREDS_EXPIRES_AT) {
		if (!isinf(a->lifetime_s))
			err |= set_time(node, "expires_at", a->now_s + a->lifetime_s);
		else /* the old one would call the new token expired */
			err |= json_object_set_new(node, "expires_at", json_null());
		if (!isinf(a->lifetime_s) && json_object_get(node, "expires_in"))
			err |= json_object_set_new(
				node, "expires_in", lifetime_value(a->lifetime_s));
		return err;
	}
	err |= set_time(node, "created", a->now_s);
	if (!isinf(a->lifetime_s))
		err |= json_object_set_new(node, "expires_in", lifetime_value(a->lifetime_s));
	return err;
}

static char *json_with(const struct creds *c, const struct answer *a, size_t *n)
{
	struct wgh_error ignored;
	char *text = NULL;
	json_t *root;

	if (json_text_load(&root, c->text, c->text_bytes, JSON_NUMBERS_AS_WRITTEN, &ignored))
		return NULL;
	if (!set_members((json_t *)creds_node(root), c, a))
		text = json_text_dump(root, n);
	json_decref(root);
	return text;
}

/* ---- into YAML ---- */

static char *yaml_with(const struct creds *c, const struct answer *a, size_t *n)
{
	char created[32], expires_in[32];
	const struct {
		const char *key, *value;
		bool quote;
	} set[] = {{"access_token", a->access_token, true},
		{"refresh_token", a->refresh_token, true}, {"created", created, true},
		{"expires_in", isinf(a->lifetime_s) ? NULL : expires_in, false}};
	char *text = strndup(c->text, c->text_bytes), *next;

	time_to_text(created, a->now_s);
	snprintf(expires_in, sizeof expires_in, "%.0f", a->lifetime_s);
	for (size_t i = 0; text && i < sizeof set / sizeof *set; i++) {
		if (!set[i].value)
			continue;
		next = yaml_set(
			text, strlen(text), CLIENT_SECTION, set[i].key, set[i].value, set[i].quote);
		creds_string_free(text);
		text = next;
	}
	*n = text ? strlen(text) : 0;
	return text;
}

/* ---- public ---- */

/* The new text is parsed like a file: what was written can be read, and says the same. */
static int take_answer(struct creds *c, const struct answer *a, struct wgh_error *error)
{
	struct creds *fresh, old;
	size_t n = 0;
	char *text = c->form == CREDS_FIOCTL_YAML ? yaml_with(c, a, &n) : json_with(c, a, &n);
	int err;

	if (!text) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	err = creds_parse(&fresh, text, n, a->now_s, error);
	creds_string_free(text);
	if (err)
		return err;
	fresh->header = c->header;
	fresh->header_worked = c->header_worked;
	fresh->others_can_read = c->others_can_read;
	old = *c;
	*c = *fresh;
	*fresh = old;
	creds_free(fresh);
	return 0;
}

int creds_merge(
	struct creds *creds, const char *body, size_t n, double now_s, struct wgh_error *error)
{
	struct answer answer;
	json_t *root;
	int err;

	if (creds->form == CREDS_API_TOKEN) {
		error_set(error, "an API token cannot be refreshed");
		return -EINVAL;
	}
	err = json_text_load(&root, body, n, JSON_NUMBERS_REAL, error);
	if (err)
		return err;
	err = read_answer(&answer, root, now_s, error);
	if (!err)
		err = take_answer(creds, &answer, error);
	json_decref(root);
	return err;
}

int creds_from_answer(
	struct creds **creds, const char *body, size_t n, double now_s, struct wgh_error *error)
{
	/* The Python daemon's four members in its order; the answer fills them. */
	static const char empty[] = "{\"access_token\": \"-\", \"refresh_token\": \"\", "
				    "\"expires_in\": 0, \"created\": 0.0}";
	int err = creds_parse(creds, empty, strlen(empty), now_s, error);

	if (!err)
		err = creds_merge(*creds, body, n, now_s, error);
	if (err) {
		creds_free(*creds);
		*creds = NULL;
	}
	return err;
}

int creds_write(
	const struct creds *creds, const char *path, bool fioctl_too, struct wgh_error *error)
{
	if (creds->form == CREDS_FIOCTL_YAML && !fioctl_too) {
		error_set(error, "fioctl's own file is only read; it would be changed by two");
		return -EROFS;
	}
	return file_replace(path, creds->text, creds->text_bytes, 0600, FILE_IN_PLACE_OK, error);
}
