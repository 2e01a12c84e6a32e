/* yaml_pairs.c - see yaml_pairs.h. For creds.c only. */
#include "control/yaml_pairs.h"

#include "control/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-' || c == '.';
}

/* Takes blanks and a comment; false: something else follows. */
static bool only_comment(struct slice rest)
{
	bool blank = rest.n && slice_is_blank(rest.at[0]);

	rest = slice_trim(rest);
	return rest.n == 0 || (blank && rest.at[0] == '#');
}

/* Bytes of the quoted scalar at the start, 0 if it does not end or has an escape that is not \"
 * \\ \/. */
static size_t quoted_length(struct slice s)
{
	char quote = s.at[0];

	for (size_t i = 1; i < s.n; i++) {
		if (s.at[i] == '\\' && quote == '"') {
			if (i + 1 == s.n || !s.at[i + 1] || !strchr("\"\\/", s.at[i + 1]))
				return 0;
			i++;
		} else if (s.at[i] == quote) {
			if (quote == '"' || i + 1 == s.n || s.at[i + 1] != '\'')
				return i + 1;
			i++; /* '' is one ' */
		}
	}
	return 0;
}

/* Cuts the comment off a plain scalar; false: it is more than a plain scalar. */
static bool plain_scalar(struct slice *s)
{
	if (s->n && strchr("[]{}&*!|>%@`,?", s->at[0]) && !slice_is(*s, "{}") &&
		!slice_is(*s, "[]"))
		return false;
	if (s->n > 1 && (s->at[0] == '-' || s->at[0] == '?') && slice_is_blank(s->at[1]))
		return false;
	for (size_t i = 0; i < s->n; i++) {
		if (s->at[i] == '#' && (i == 0 || slice_is_blank(s->at[i - 1]))) {
			s->n = i;
			break;
		}
		if (s->at[i] == ':' && (i + 1 == s->n || slice_is_blank(s->at[i + 1])))
			return false;
	}
	*s = slice_trim(*s);
	return true;
}

static bool read_value(struct slice *raw, struct slice rest)
{
	size_t n;

	*raw = slice_trim(rest);
	if (raw->n == 0 || (raw->at[0] != '"' && raw->at[0] != '\''))
		return plain_scalar(raw);
	n = quoted_length(*raw);
	if (n == 0 || !only_comment((struct slice){raw->at + n, raw->n - n}))
		return false;
	raw->n = n;
	return true;
}

/* False: this line is not of our YAML. */
static bool read_line(struct yaml_pairs *yaml, struct slice *section, struct slice line)
{
	struct yaml_pair *pair = &yaml->pairs[yaml->n];
	size_t indent = 0, n = 0;

	while (indent < line.n && line.at[indent] == ' ')
		indent++;
	if (memchr(line.at, 0, line.n))
		return false;
	if (only_comment(line) || line.at[indent] == '#' || (yaml->n == 0 && slice_is(line, "---")))
		return true;
	line.at += indent;
	line.n -= indent;
	while (n < line.n && is_key_char(line.at[n]))
		n++;
	if (n == 0 || n == line.n || line.at[n] != ':' || yaml->n == YAML_PAIRS_MAX)
		return false;
	if (n + 1 < line.n && !slice_is_blank(line.at[n + 1]))
		return false;
	pair->key = (struct slice){line.at, n};
	if (!read_value(&pair->raw, (struct slice){line.at + n + 1, line.n - n - 1}))
		return false;
	if (indent && section->n == 0)
		return false;
	pair->section = indent ? *section : (struct slice){line.at, 0};
	if (!indent)
		*section = pair->raw.n ? (struct slice){NULL, 0} : pair->key;
	yaml->n++;
	return true;
}

int yaml_parse(struct yaml_pairs *yaml, const char *text, size_t n, struct wgh_error *error)
{
	struct slice rest = {text, n}, line, section = {NULL, 0};
	unsigned number = 0;

	yaml->n = 0;
	while (slice_line(&rest, &line, NULL)) {
		number++;
		while (line.n && line.at[line.n - 1] == '\r')
			line.n--;
		if (read_line(yaml, &section, line))
			continue;
		error_set(error,
			"line %u is more YAML than is read here; save the credentials as JSON, or "
			"get new ones with: wghub login",
			number);
		return -EINVAL;
	}
	return 0;
}

static const struct yaml_pair *find(
	const struct yaml_pairs *yaml, const char *section, const char *key)
{
	/* Of a key given twice the last one counts. */
	for (size_t i = yaml->n; i-- > 0;) {
		if (slice_is(yaml->pairs[i].section, section) && slice_is(yaml->pairs[i].key, key))
			return &yaml->pairs[i];
	}
	return NULL;
}

char *yaml_get(const struct yaml_pairs *yaml, const char *section, const char *key, int *err)
{
	const struct yaml_pair *pair = find(yaml, section, key);
	struct slice raw = pair ? pair->raw : (struct slice){NULL, 0};
	bool quoted = raw.n && (raw.at[0] == '"' || raw.at[0] == '\'');
	char *value, *out;

	if (raw.n == 0 || slice_is(raw, "null") || slice_is(raw, "~") || slice_is(raw, "{}") ||
		slice_is(raw, "[]") || (quoted && raw.n == 2))
		return NULL;
	value = out = calloc(1, raw.n + 1);
	if (!value) {
		*err = -ENOMEM;
		return NULL;
	}
	for (size_t i = quoted; i < raw.n - quoted; i++) {
		if (quoted && raw.at[i] == (raw.at[0] == '"' ? '\\' : '\''))
			i++;
		*out++ = raw.at[i];
	}
	return value;
}

/* The scalar as it will stand in the file; NULL: it cannot. */
static char *render(const char *value, bool quote)
{
	char *out = calloc(1, 2 * strlen(value) + 3), *at = out;

	if (!out)
		return NULL;
	if (quote)
		*at++ = '"';
	for (; *value; value++) {
		if (*value < 0x20 || *value >= 0x7f) {
			secret_wipe(out, (size_t)(at - out));
			free(out);
			return NULL;
		}
		if (quote && (*value == '"' || *value == '\\'))
			*at++ = '\\';
		*at++ = *value;
	}
	if (quote)
		*at = '"';
	return out;
}

/* text[0..from], the pieces, text[to..n]. */
static char *with_pieces(
	const char *text, size_t n, size_t from, size_t to, const char *const pieces[])
{
	size_t room = n + 1;
	char *out, *at;

	for (unsigned i = 0; pieces[i]; i++)
		room += strlen(pieces[i]);
	out = at = malloc(room);
	if (!out)
		return NULL;
	at = mempcpy(at, text, from);
	for (unsigned i = 0; pieces[i]; i++)
		at = stpcpy(at, pieces[i]);
	at = mempcpy(at, text + to, n - to);
	*at = 0;
	return out;
}

/* How deep the section's keys are: YAML wants them alike. */
static size_t indent_of(const struct yaml_pairs *yaml, const char *section, const char *text)
{
	for (size_t i = 0; i < yaml->n; i++) {
		const char *at = yaml->pairs[i].key.at;
		size_t indent = 0;

		if (!slice_is(yaml->pairs[i].section, section))
			continue;
		while (at > text && at[-1] == ' ')
			at--, indent++;
		return indent;
	}
	return 2;
}

static char *add_line(const struct yaml_pairs *yaml, const char *text, size_t n,
	const char *section, const char *key, const char *scalar)
{
	const struct yaml_pair *head = find(yaml, "", section);
	char *blanks, *out = NULL;
	const char *end;
	size_t from;

	if (!head || head->raw.n)
		return NULL;
	end = memchr(head->key.at, '\n', n - (size_t)(head->key.at - text));
	from = end ? (size_t)(end + 1 - text) : n;
	if (asprintf(&blanks, "%s%*s", end ? "" : "\n", (int)indent_of(yaml, section, text), "") >=
		0) {
		out = with_pieces(text, n, from, from,
			(const char *const[]){blanks, key, ": ", scalar, "\n", NULL});
		free(blanks);
	}
	return out;
}

char *yaml_set(const char *text, size_t n, const char *section, const char *key, const char *value,
	bool quote)
{
	struct yaml_pairs *yaml = malloc(sizeof *yaml);
	char *scalar = render(value, quote), *out = NULL;
	const struct yaml_pair *pair;
	struct wgh_error ignored;

	if (yaml && scalar && !yaml_parse(yaml, text, n, &ignored)) {
		pair = find(yaml, section, key);
		if (pair && pair->raw.n) {
			size_t from = (size_t)(pair->raw.at - text);

			out = with_pieces(text, n, from, from + pair->raw.n,
				(const char *const[]){scalar, NULL});
		} else if (pair) {
			/* Nothing stands behind the colon, perhaps not even a blank. */
			size_t from = (size_t)(pair->key.at + pair->key.n + 1 - text);

			out = with_pieces(
				text, n, from, from, (const char *const[]){" ", scalar, NULL});
		} else {
			out = add_line(yaml, text, n, section, key, scalar);
		}
	}
	if (scalar)
		secret_wipe(scalar, strlen(scalar));
	free(scalar);
	free(yaml);
	return out;
}
