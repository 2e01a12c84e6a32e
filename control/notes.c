/* notes.c - see notes.h. */
#include "control/notes.h"

#include "control/array.h"
#include "control/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void notes_add(struct notes *notes, const char *format, ...)
{
	char raw[NOTE_CHARS], line[NOTE_CHARS];
	va_list args;
	void *bigger;

	if (!notes)
		return;
	notes->n_left_out++; /* until it is kept */
	if (notes->n == NOTES_MAX)
		return;
	va_start(args, format);
	vsnprintf(raw, sizeof raw, format, args);
	va_end(args);
	text_escape(line, sizeof line, raw, strlen(raw));
	if (notes->n == notes->cap) {
		bigger = array_grow(notes->lines, &notes->cap, sizeof *notes->lines);
		if (!bigger)
			return;
		notes->lines = bigger;
	}
	notes->lines[notes->n] = strdup(line);
	if (!notes->lines[notes->n])
		return;
	notes->n++;
	notes->n_left_out--;
}

void notes_fini(struct notes *notes)
{
	for (size_t i = 0; i < notes->n; i++)
		free(notes->lines[i]);
	free(notes->lines);
	*notes = (struct notes){0};
}
