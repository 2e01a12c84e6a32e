/* slice.h - a piece of somebody else's text, for readers that go line by line. Threads: any; no
 * state. */
#ifndef CONTROL_SLICE_H
#define CONTROL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *at;
	size_t n;
};

static inline bool slice_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static inline struct slice slice_trim(struct slice s)
{
	while (s.n && slice_is_blank(s.at[0]))
		s.at++, s.n--;
	while (s.n && slice_is_blank(s.at[s.n - 1]))
		s.n--;
	return s;
}

/* Takes the next line off *text; line is without its end, raw is with it (raw may be NULL). False:
 * there is none. */
static inline bool slice_line(struct slice *text, struct slice *line, struct slice *raw)
{
	const char *end = text->n ? (const char *)memchr(text->at, '\n', text->n) : NULL;
	size_t n = end ? (size_t)(end - text->at) : text->n;

	if (text->n == 0)
		return false;
	*line = (struct slice){text->at, n};
	if (end)
		n++;
	if (raw)
		*raw = (struct slice){text->at, n};
	text->at += n;
	text->n -= n;
	return true;
}

/* Takes the next word (up to a blank) off *text; of n 0 where there is none. */
static inline struct slice slice_word(struct slice *text)
{
	struct slice word = *text = slice_trim(*text);
	size_t n = 0;

	while (n < text->n && !slice_is_blank(text->at[n]))
		n++;
	word.n = n;
	text->at += n;
	text->n -= n;
	return word;
}

static inline bool slice_is(struct slice s, const char *word)
{
	return s.n == strlen(word) && !memcmp(s.at, word, s.n);
}

#endif
