/* policy_file.c - see policy_file.h: the file as a whole. Its lines are read by policy_lines.c, and
 * policy_check.c looks at what only all of them show. A line that fails adds one note and nothing
 * that counts; whoever has the file looks at errors before using it. */
#include "control/policy_file.h"

#include "control/array.h"
#include "control/error.h"
#include "control/file.h"
#include "control/policy_words.h"
#include "control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct policy_file *policy_file_new(const char *path)
{
	struct policy_file *file = calloc(1, sizeof *file);
	char shown[120];

	if (!file)
		return NULL;
	text_escape(shown, sizeof shown, path, strlen(path));
	file->path = strdup(shown);
	if (file->path)
		return file;
	free(file);
	return NULL;
}

/* Tabs are fine, other control characters are not. */
static bool is_text(struct slice line)
{
	for (size_t i = 0, n; i < line.n; i += n + 1) {
		for (n = 0; i + n < line.n && line.at[i + n] != '\t'; n++)
			;
		if (!text_is_line(line.at + i, n))
			return false;
	}
	return true;
}

/* 1: it is a line of the file now; 0: no room for it, said; -ENOMEM. */
static int keep_line(struct policy_file *file, struct slice text, unsigned number)
{
	void *bigger = file->lines;
	char *copy;

	if (file->n_lines == POLICY_LINES_MAX) {
		notes_add(&file->errors, "%s:%u: more than %u lines; make groups", file->path,
			number, POLICY_LINES_MAX);
		return 0;
	}
	if (file->n_lines == file->lines_cap)
		bigger = array_grow(file->lines, &file->lines_cap, sizeof *file->lines);
	if (!bigger)
		return -ENOMEM;
	file->lines = bigger;
	copy = strndup(text.at, text.n);
	if (!copy)
		return -ENOMEM;
	for (char *at = copy; *at; at++) {
		if (slice_is_blank(*at))
			*at = ' ';
	}
	file->lines[file->n_lines].text = copy;
	file->lines[file->n_lines++].number = number;
	return 1;
}

int policy_file_add(struct policy_file *file, unsigned number, const char *text, size_t n)
{
	struct slice line = slice_trim(words_without_comment((struct slice){text, n}));
	char room[POLICY_WHY_CHARS];
	const char *why = NULL;
	int err = 0;

	if (line.n == 0)
		return 0;
	if (line.n > POLICY_LINE_MAX)
		why = "longer than 800 bytes; write two lines";
	else if (!is_text(line))
		why = "control characters in it; type the line again";
	else
		err = keep_line(file, line, number);
	if (err > 0) {
		why = policy_line_read(file, (unsigned)file->n_lines - 1, room);
		err = why == policy_out_of_memory ? -ENOMEM : 0;
	}
	if (why && number)
		notes_add(&file->errors, "%s:%u: %s", file->path, number, why);
	else if (why)
		notes_add(&file->errors, "%.*s: %s", (int)line.n, line.at, why);
	return err;
}

int policy_file_parse(struct policy_file **out, const char *path, const char *text, size_t n)
{
	struct policy_file *file = policy_file_new(path);
	struct slice rest = {text, n}, line;
	unsigned number = 0;
	int err = file ? 0 : -ENOMEM;

	*out = NULL;
	while (!err && slice_line(&rest, &line, NULL))
		err = policy_file_add(file, ++number, line.at, line.n);
	if (!err)
		err = policy_file_finish(file);
	if (err)
		policy_file_free(file);
	else
		*out = file;
	return err;
}

int policy_file_read(struct policy_file **out, const char *path, struct wgh_error *error)
{
	struct file_text text;
	int err = file_read(&text, path, POLICY_BYTES_MAX, error);

	*out = NULL;
	if (err)
		return err;
	err = policy_file_parse(out, path, text.bytes, text.n);
	file_text_fini(&text);
	if (err)
		error_set(error, "out of memory");
	return err;
}

void policy_file_free(struct policy_file *file)
{
	if (!file)
		return;
	for (size_t i = 0; i < file->n_lines; i++)
		free(file->lines[i].text);
	for (size_t i = 0; i < file->n_rules; i++) {
		policy_who_fini(&file->rules[i].from);
		policy_who_fini(&file->rules[i].to);
	}
	for (size_t i = 0; i < file->n_members; i++)
		policy_who_fini(&file->members[i].who);
	for (size_t i = 0; i < file->n_nats; i++)
		policy_who_fini(&file->nats[i].who);
	for (size_t i = 0; i < file->n_forwards; i++) {
		policy_who_fini(&file->forwards[i].to);
		policy_who_fini(&file->forwards[i].from);
	}
	free(file->lines);
	free(file->groups);
	free(file->rules);
	free(file->members);
	free(file->nats);
	free(file->forwards);
	free(file->path);
	notes_fini(&file->errors);
	notes_fini(&file->notes);
	free(file);
}
