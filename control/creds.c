/* creds.c - see creds.h: from any of the forms to a struct, and what a request needs of it. Taking
 * in a new token and writing is creds_write.c. */
#include "control/creds.h"
#include "control/creds_internal.h"

#include "control/error.h"
#include "control/file.h"
#include "control/json_text.h"
#include "control/text.h"
#include "control/yaml_pairs.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REFRESH_EARLY_S 600
#define EXPIRES_IN_MAX_S 3e8 /* ten years: more is a mistake of somebody's */

void creds_string_free(char *text)
{
	if (text)
		secret_wipe(text, strlen(text));
	free(text);
}

bool creds_is_token(const char *text)
{
	size_t n = text ? strlen(text) : 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return false;
	}
	return n > 0 && n <= CREDS_TOKEN_BYTES_MAX;
}

/* ---- times ---- */

/* RFC 3339; without a zone it is UTC. */
static bool time_from_text(double *out, const char *text)
{
	int year, month, day, hour, minute, used = 0, zone_h = 0, zone_m = 0;
	struct tm tm = {0};
	char sign = '+';
	double second;

	if (strspn(text, "0123456789") != 4 ||
		sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%lf%n", &year, &month, &day, &hour,
			&minute, &second, &used) != 6 ||
		!used)
		return false;
	text += used;
	if (*text == '+' || *text == '-') {
		if (sscanf(text, "%c%2d:%2d", &sign, &zone_h, &zone_m) != 3)
			return false;
	} else if (*text && strcmp(text, "Z") && strcmp(text, "z")) {
		return false;
	}
	if (month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 ||
		minute > 59 || !(second >= 0 && second < 61))
		return false;
	tm = (struct tm){.tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute};
	*out = (double)timegm(&tm) + second -
		(sign == '-' ? -1 : 1) * (zone_h * 3600 + zone_m * 60);
	return true;
}

/* Number, or text: RFC 3339 or a number. */
static bool read_time(double *out, const json_t *value)
{
	const char *text = json_string_value(value);
	char *end;

	if (json_is_number(value))
		*out = json_number_value(value);
	else if (!text)
		return false;
	else if (!time_from_text(out, text)) {
		*out = strtod(text, &end);
		if (end == text || *end)
			return false;
	}
	return isfinite(*out);
}

bool creds_lifetime_read(double *out, const json_t *value)
{
	double seconds;

	if (!read_time(&seconds, value) || seconds <= 0)
		return false;
	*out = seconds < EXPIRES_IN_MAX_S ? seconds : EXPIRES_IN_MAX_S;
	return true;
}

/* expires_at says when, created and expires_in together as well; one alone says nothing. */
static void set_expiry(struct creds *c, const json_t *node, double now_s)
{
	double created_s, at_s, lifetime_s;

	c->expires_s = c->lifetime_s = INFINITY;
	if (creds_lifetime_read(&lifetime_s, json_object_get(node, "expires_in")))
		c->lifetime_s = lifetime_s;
	if (read_time(&at_s, json_object_get(node, "expires_at"))) {
		c->expires_s = at_s;
		if (isinf(c->lifetime_s)) /* what is left of it is the best guess */
			c->lifetime_s = at_s > now_s ? at_s - now_s : 0;
	} else if (!isinf(c->lifetime_s) &&
		read_time(&created_s, json_object_get(node, "created"))) {
		c->expires_s = created_s + c->lifetime_s;
	}
}

/* ---- JSON ---- */

const json_t *creds_node(const json_t *root)
{
	const json_t *inner = json_object_get(root, "clientcredentials");

	return json_is_object(inner) ? inner : root;
}

/* A copy of a member that is a string with something in it. */
static char *copy_member(const json_t *object, const char *member, int *err)
{
	const char *text = json_text_string(object, member);
	char *copy = text && *text ? strdup(text) : NULL;

	if (text && *text && !copy)
		*err = -ENOMEM;
	return copy;
}

static int read_json(
	struct creds *c, const char *text, size_t n, double now_s, struct wgh_error *error)
{
	const json_t *node;
	json_t *root;
	int err = json_text_load(&root, text, n, JSON_NUMBERS_AS_WRITTEN, error);

	if (err)
		return err;
	node = creds_node(root);
	c->access_token = copy_member(root, "token", &err);
	if (c->access_token) {
		c->form = CREDS_API_TOKEN;
	} else {
		c->access_token = copy_member(node, "access_token", &err);
		c->refresh_token = copy_member(node, "refresh_token", &err);
		c->client_id = copy_member(node, "client_id", &err);
		c->client_secret = copy_member(node, "client_secret", &err);
		c->oauth_url = copy_member(node, "url", &err);
		set_expiry(c, node, now_s);
		c->form = json_object_get(node, "expires_at") ? CREDS_EXPIRES_AT
			: c->client_id && c->client_secret    ? CREDS_CLIENT_JSON
							      : CREDS_PYTHON;
	}
	c->api_url = copy_member(json_object_get(root, "server"), "url", &err);
	c->factory = copy_member(root, "factory", &err);
	json_decref(root);
	if (err)
		error_set(error, "out of memory");
	return err;
}

/* ---- YAML ---- */

static void yaml_expiry(struct creds *c, const struct yaml_pairs *yaml, int *err)
{
	char *created = yaml_get(yaml, "clientcredentials", "created", err);
	char *expires_in = yaml_get(yaml, "clientcredentials", "expires_in", err);
	double created_s;
	char *end;

	c->expires_s = c->lifetime_s = INFINITY;
	if (expires_in) {
		double seconds = strtod(expires_in, &end);

		if (!*end && seconds > 0)
			c->lifetime_s = seconds < EXPIRES_IN_MAX_S ? seconds : EXPIRES_IN_MAX_S;
	}
	if (created && !isinf(c->lifetime_s) && time_from_text(&created_s, created))
		c->expires_s = created_s + c->lifetime_s;
	free(created);
	free(expires_in);
}

static int read_yaml(struct creds *c, const char *text, size_t n, struct wgh_error *error)
{
	struct yaml_pairs *yaml = malloc(sizeof *yaml);
	int err = yaml ? yaml_parse(yaml, text, n, error) : -ENOMEM;

	if (err == -EINVAL)
		goto out;
	c->form = CREDS_FIOCTL_YAML;
	if (!err)
		c->access_token = yaml_get(yaml, "", "token", &err);
	if (!err && c->access_token) {
		c->form = CREDS_API_TOKEN; /* an API token wins over all the rest */
	} else if (!err) {
		c->access_token = yaml_get(yaml, "clientcredentials", "access_token", &err);
		c->refresh_token = yaml_get(yaml, "clientcredentials", "refresh_token", &err);
		c->client_id = yaml_get(yaml, "clientcredentials", "client_id", &err);
		c->client_secret = yaml_get(yaml, "clientcredentials", "client_secret", &err);
		c->oauth_url = yaml_get(yaml, "clientcredentials", "url", &err);
		yaml_expiry(c, yaml, &err);
	}
	if (!err) {
		c->api_url = yaml_get(yaml, "server", "url", &err);
		c->factory = yaml_get(yaml, "", "factory", &err);
	}
	if (err)
		error_set(error, "out of memory");
out:
	free(yaml);
	return err;
}

/* ---- any of them ---- */

static int check(const struct creds *c, struct wgh_error *error)
{
	if (!c->access_token && !creds_can_refresh(c)) {
		error_set(error, "there is no access token in it, and nothing to get one with");
		return -EINVAL;
	}
	if ((c->access_token && !creds_is_token(c->access_token)) ||
		(c->refresh_token && strlen(c->refresh_token) > CREDS_TOKEN_BYTES_MAX)) {
		error_set(error,
			"the token is not one: it is too long, or has blanks or other "
			"characters in it that no token has");
		return -EINVAL;
	}
	return 0;
}

static int read_form(struct creds *c, struct slice text, double now_s, struct wgh_error *error)
{
	static const enum creds_header headers[] = {[CREDS_API_TOKEN] = CREDS_OSF_TOKEN,
		[CREDS_PYTHON] = CREDS_BEARER_RAW,
		[CREDS_EXPIRES_AT] = CREDS_BEARER_RAW,
		[CREDS_CLIENT_JSON] = CREDS_BEARER_BASE64,
		[CREDS_FIOCTL_YAML] = CREDS_BEARER_BASE64};
	struct slice trimmed = text;
	bool one_word = true;
	int err;

	while (trimmed.n && (slice_is_blank(trimmed.at[0]) || trimmed.at[0] == '\n'))
		trimmed.at++, trimmed.n--;
	while (trimmed.n &&
		(slice_is_blank(trimmed.at[trimmed.n - 1]) || trimmed.at[trimmed.n - 1] == '\n'))
		trimmed.n--;
	for (size_t i = 0; i < trimmed.n; i++)
		one_word &= (unsigned char)trimmed.at[i] > 0x20 && trimmed.at[i] != '{' &&
			trimmed.at[i] != '}';
	c->expires_s = c->lifetime_s = INFINITY;
	if (trimmed.n && (trimmed.at[0] == '{' || trimmed.at[0] == '[')) {
		err = read_json(c, text.at, text.n, now_s, error);
	} else if (trimmed.n && one_word && trimmed.at[trimmed.n - 1] != ':') {
		c->form = CREDS_API_TOKEN;
		c->access_token = strndup(trimmed.at, trimmed.n);
		err = c->access_token ? 0 : -ENOMEM;
	} else {
		err = read_yaml(c, text.at, text.n, error);
	}
	c->header = headers[c->form];
	return err ? err : check(c, error);
}

int creds_parse(
	struct creds **creds, const char *text, size_t n, double now_s, struct wgh_error *error)
{
	struct creds *c = calloc(1, sizeof *c);
	int err = -ENOMEM;

	*creds = NULL;
	if (!c || n > CREDS_BYTES_MAX) {
		error_set(error, c ? "it is too long for credentials" : "out of memory");
		free(c);
		return c ? -EINVAL : -ENOMEM;
	}
	c->text = calloc(1, n + 1);
	if (c->text) {
		if (n)
			memcpy(c->text, text, n);
		c->text_bytes = n;
		err = read_form(c, (struct slice){c->text, n}, now_s, error);
	}
	if (err) {
		if (err == -ENOMEM)
			error_set(error, "out of memory");
		creds_free(c);
		return err;
	}
	*creds = c;
	return 0;
}

int creds_read(struct creds **creds, const char *path, double now_s, struct wgh_error *error)
{
	struct wgh_error why = {""};
	struct file_text file;
	char shown[120];
	int err = file_read(&file, path, CREDS_BYTES_MAX, error);

	*creds = NULL;
	if (err)
		return err;
	err = creds_parse(creds, file.bytes, file.n, now_s, &why);
	if (err) {
		text_escape(shown, sizeof shown, path, strlen(path));
		error_set(error, "%s: %s", shown, why.text);
	} else {
		(*creds)->others_can_read = file.mode & 077;
	}
	file_text_fini(&file);
	return err;
}

void creds_free(struct creds *c)
{
	if (!c)
		return;
	creds_string_free(c->access_token);
	creds_string_free(c->refresh_token);
	creds_string_free(c->client_id);
	creds_string_free(c->client_secret);
	creds_string_free(c->oauth_url);
	creds_string_free(c->api_url);
	creds_string_free(c->factory);
	if (c->text)
		secret_wipe(c->text, c->text_bytes);
	free(c->text);
	free(c);
}

bool creds_same_token(const struct creds *a, const struct creds *b)
{
	size_t n = a->access_token ? strlen(a->access_token) : 0;
	size_t m = b->access_token ? strlen(b->access_token) : 0;

	return n == m && (n == 0 || ct_equal(a->access_token, b->access_token, n));
}

/* ---- for requests ---- */

double creds_refresh_at_s(const struct creds *c)
{
	double early_s = c->lifetime_s / 4;

	if (!c->access_token)
		return 0;
	return c->expires_s - (early_s < REFRESH_EARLY_S ? early_s : REFRESH_EARLY_S);
}

static void base64(char *out, const uint8_t *in, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (; n; in += 3, out += 4) {
		uint32_t bits = (uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0) |
			(n > 2 ? in[2] : 0);

		out[0] = digits[bits >> 18];
		out[1] = digits[bits >> 12 & 63];
		out[2] = n > 1 ? digits[bits >> 6 & 63] : '=';
		out[3] = n > 2 ? digits[bits & 63] : '=';
		n -= n < 3 ? n : 3;
	}
	*out = 0;
}

int creds_header_text(const struct creds *c, const char **name, char value[CREDS_HEADER_CHARS])
{
	_Static_assert(CREDS_TOKEN_BYTES_MAX * 4 / 3 + 16 < CREDS_HEADER_CHARS, "room");

	if (!c->access_token || strlen(c->access_token) > CREDS_TOKEN_BYTES_MAX)
		return -EMSGSIZE;
	*name = c->header == CREDS_OSF_TOKEN ? "OSF-TOKEN" : "Authorization";
	if (c->header == CREDS_BEARER_BASE64)
		base64(stpcpy(value, "Bearer "), (const uint8_t *)c->access_token,
			strlen(c->access_token));
	else
		snprintf(value, CREDS_HEADER_CHARS, "%s%s",
			c->header == CREDS_OSF_TOKEN ? "" : "Bearer ", c->access_token);
	return 0;
}

/* WHATWG's form encoding, but for the blank: %20 is understood everywhere. */
static char *encode(char *out, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (; *text; text++) {
		if (strchr(plain, *text))
			*out++ = *text;
		else
			out += sprintf(out, "%%%02X", (uint8_t)*text);
	}
	return out;
}

char *creds_form_encode(const char *const *fields)
{
	size_t room = 1;
	char *out, *at;

	for (size_t i = 0; fields[i]; i++)
		room += 3 * strlen(fields[i]) + 1;
	out = at = malloc(room);
	for (size_t i = 0; out && fields[i]; i++) {
		if (i)
			*at++ = i % 2 ? '=' : '&';
		at = encode(at, fields[i]);
	}
	if (out)
		*at = 0;
	return out;
}

enum way { WAY_REFRESH, WAY_CLIENT_REFRESH, WAY_CLIENT };

/* The ways to a new token that these credentials have, the form's own first. */
static unsigned find_ways(enum way ways[3], const struct creds *c)
{
	bool client = c->client_id && c->client_secret;
	bool raw = c->form == CREDS_PYTHON || c->form == CREDS_EXPIRES_AT;
	unsigned n = 0;

	if (c->form == CREDS_API_TOKEN)
		return 0;
	if (c->refresh_token && (raw || !client))
		ways[n++] = WAY_REFRESH;
	if (c->refresh_token && client)
		ways[n++] = WAY_CLIENT_REFRESH;
	if (client)
		ways[n++] = WAY_CLIENT;
	return n;
}

bool creds_can_refresh(const struct creds *c)
{
	enum way ways[3];

	return find_ways(ways, c) > 0;
}

int creds_refresh_request(struct creds_request *request, const struct creds *c, unsigned attempt)
{
	const char *fields[9] = {"grant_type"};
	enum way ways[3];
	size_t n = 1;

	*request = (struct creds_request){0};
	if (attempt >= find_ways(ways, c))
		return -ENOENT;
	fields[n++] = ways[attempt] == WAY_CLIENT ? "client_credentials" : "refresh_token";
	if (ways[attempt] != WAY_REFRESH) {
		fields[n++] = "client_id";
		fields[n++] = c->client_id;
		fields[n++] = "client_secret";
		fields[n++] = c->client_secret;
	}
	if (ways[attempt] != WAY_CLIENT) {
		fields[n++] = "refresh_token";
		fields[n++] = c->refresh_token;
	}
	/* Each flow's own form: nobody knows whether the server redirects between them. */
	request->path = ways[attempt] == WAY_REFRESH ? "/token" : "/token/";
	request->body = creds_form_encode(fields);
	return request->body ? 0 : -ENOMEM;
}

void creds_request_fini(struct creds_request *request)
{
	creds_string_free(request->body);
	*request = (struct creds_request){0};
}

/* Secrets of a few characters would be in every other word. */
#define HIDDEN_CHARS_MIN 4

void creds_hide(char *text, const char *secret)
{
	size_t n = secret ? strlen(secret) : 0, left = strlen(text);

	if (n < HIDDEN_CHARS_MIN)
		return;
	for (; left >= HIDDEN_CHARS_MIN; text++, left--) {
		size_t shown = left < n ? left : n;

		if (!memcmp(text, secret, shown))
			memset(text, '*', shown);
	}
}

void creds_redact(const struct creds *c, char *text)
{
	char value[CREDS_HEADER_CHARS];
	const char *name;

	creds_hide(text, c->access_token);
	creds_hide(text, c->refresh_token);
	creds_hide(text, c->client_secret);
	/* base64 of the token, too */
	if (c->header != CREDS_OSF_TOKEN && !creds_header_text(c, &name, value)) {
		creds_hide(text, value + strlen("Bearer "));
		secret_wipe(value, sizeof value);
	}
}
