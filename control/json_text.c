/* json_text.c - see json_text.h. One pass over the bytes counts depth, containers and values before
 * jansson sees them: jansson itself has no limit but its own depth of 2048, and gives 80 bytes and
 * more to a "[]" of two. What the pass counts too much or too little in a text that is no JSON at
 * all does not matter, because jansson refuses that. */
#include "control/json_text.h"

#include "control/error.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void wiping_free(void *p)
{
	if (p)
		secret_wipe(p, malloc_usable_size(p));
	free(p);
}

static void set_functions(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
}

void json_text_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, set_functions);
}

/* NULL, or which limit it exceeds. */
static const char *over_limit(const char *text, size_t n)
{
	size_t depth = 0, containers = 0, values = 1;
	bool in_string = false;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			containers++;
			values++;
			if (++depth > JSON_DEPTH_MAX)
				return "it is nested too deeply";
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		} else if (c == ',') {
			values++;
		}
	}
	return containers > JSON_CONTAINERS_MAX || values > JSON_VALUES_MAX
		? "it has too many values"
		: NULL;
}

/* ---- escapes that stand for no character ---- */

/* The 16 bits of "\\uXXXX" at text, or -1. */
static int32_t unit_at(const char *text, size_t n)
{
	int32_t unit = 0;

	if (n < 6 || text[0] != '\\' || text[1] != 'u')
		return -1;
	for (size_t i = 2; i < 6; i++) {
		const char *digits = "0123456789abcdef", c = text[i] | 0x20;
		const char *digit = text[i] > ' ' ? strchr(digits, c) : NULL;

		if (!digit)
			return -1;
		unit = unit << 4 | (int32_t)(digit - digits);
	}
	return unit;
}

/* How many bytes at text, which begins with a backslash, belong together. *wrong: they stand for a
 * zero byte or for half of a surrogate pair. */
static size_t escape_bytes(bool *wrong, const char *text, size_t n)
{
	int32_t unit = unit_at(text, n), next;

	*wrong = unit == 0 || (unit >= 0xd800 && unit <= 0xdfff);
	if (unit < 0)
		return 2;
	if (unit < 0xd800 || unit > 0xdbff)
		return 6;
	next = unit_at(text + 6, n - 6);
	if (next < 0xdc00 || next > 0xdfff)
		return 6;
	*wrong = false;
	return 12;
}

/* A copy with U+FFFD in place of such escapes; NULL: there are none, or no memory. Outside of a
 * string a backslash is no JSON anyway. */
static char *mended(const char *text, size_t n)
{
	char *copy = NULL;
	bool wrong;

	for (const char *at = text; (at = memchr(at, '\\', n - (size_t)(at - text)));) {
		size_t left = n - (size_t)(at - text), used = escape_bytes(&wrong, at, left);

		if (wrong && !copy) {
			copy = malloc(n);
			if (!copy)
				return NULL;
			memcpy(copy, text, n);
		}
		if (wrong)
			memcpy(copy + (at - text), "\\ufffd", 6);
		if (used >= left)
			break;
		at += used;
	}
	return copy;
}

/* ---- loading ---- */

int json_text_load(json_t **root, const char *text, size_t n, enum json_text_numbers numbers,
	struct wgh_error *error)
{
	size_t flags = JSON_DECODE_ANY;
	const char *why = over_limit(text, n);
	json_error_t where;
	char *copy = NULL;

	if (why) {
		error_set(error, "this JSON is refused: %s", why);
		return -E2BIG;
	}
	json_text_init();
	if (numbers == JSON_NUMBERS_REAL) {
		flags |= JSON_DECODE_INT_AS_REAL;
		copy = n ? mended(text, n) : NULL;
	}
	*root = json_loadb(copy ? copy : n ? text : "", n, flags, &where);
	if (copy)
		secret_wipe(copy, n);
	free(copy);
	if (*root)
		return 0;
	if (json_error_code(&where) == json_error_out_of_memory) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	/* jansson's own words quote the text, which may be a secret. */
	error_set(error, "this is not JSON (line %d, column %d)", where.line, where.column);
	return -EINVAL;
}

char *json_text_dump(const json_t *root, size_t *n)
{
	char *text;

	json_text_init();
	text = json_dumps(root, JSON_INDENT(2) | JSON_ENCODE_ANY);
	*n = text ? strlen(text) : 0;
	return text;
}

void json_text_free(char *text)
{
	wiping_free(text);
}

const char *json_text_string(const json_t *object, const char *member)
{
	return json_string_value(json_object_get(object, member));
}

double json_text_number(const json_t *object, const char *member, double otherwise)
{
	const json_t *value = json_object_get(object, member);

	return json_is_number(value) ? json_number_value(value) : otherwise;
}
