/* row.c - see row.h. For top_view.c. */
#include "control/row.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

/* One character as it is drawn. */
struct glyph {
	const char *text;
	size_t n; /* of text */
	unsigned cols;
};

/* Bytes of the character at p; glyph becomes what stands for it. */
static size_t next_glyph(struct glyph *glyph, const char *p, bool utf8)
{
	mbstate_t state = {0};
	size_t rest = 1, n;
	wchar_t wide;
	int cols;

	*glyph = (struct glyph){"?", 1, 1};
	if ((unsigned char)*p < 0x80) {
		if (*p >= 0x20 && *p < 0x7f)
			glyph->text = p;
		return 1;
	}
	while (((unsigned char)p[rest] & 0xc0) == 0x80 && rest < 4)
		rest++;
	n = utf8 ? mbrtowc(&wide, p, rest, &state) : 0;
	if (n == 0 || n > rest)
		return rest;
	cols = wcwidth(wide);
	if (cols >= 0 && cols <= 2)
		*glyph = (struct glyph){p, n, (unsigned)cols};
	return n;
}

static bool put_glyph(struct row *row, const struct glyph *glyph, unsigned cols)
{
	if (row->used + glyph->cols > cols || row->n + glyph->n >= sizeof row->text)
		return false;
	memcpy(row->text + row->n, glyph->text, glyph->n);
	row->n += glyph->n;
	row->text[row->n] = 0;
	row->used += glyph->cols;
	return true;
}

static void put_up_to(struct row *row, const char *text, unsigned cols)
{
	struct glyph glyph;

	for (; *text;) {
		text += next_glyph(&glyph, text, row->utf8);
		if (!put_glyph(row, &glyph, cols))
			return;
	}
}

void row_init(struct row *row, unsigned cols, bool utf8)
{
	row->text[0] = 0;
	row->n = row->used = 0;
	row->cols = cols < ROW_COLS_MAX ? cols : ROW_COLS_MAX;
	row->utf8 = utf8;
}

void row_put(struct row *row, const char *text)
{
	put_up_to(row, text, row->cols);
}

void row_printf(struct row *row, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	row_put(row, text);
}

void row_fill(struct row *row, unsigned cols)
{
	static const struct glyph space = {" ", 1, 1};

	if (cols > row->cols)
		cols = row->cols;
	while (row->used < cols && put_glyph(row, &space, cols))
		;
}

unsigned row_width(const char *text, bool utf8)
{
	struct glyph glyph;
	unsigned cols = 0;

	while (*text) {
		text += next_glyph(&glyph, text, utf8);
		cols += glyph.cols;
	}
	return cols;
}

void row_field(struct row *row, const char *text, unsigned cols, bool right)
{
	unsigned wide = row_width(text, row->utf8), end = row->used + cols;

	if (end > row->cols)
		end = row->cols;
	cols = end - row->used;
	if (wide > cols && cols > 0) {
		put_up_to(row, text, end - 1);
		row_fill(row, end - 1);
		put_up_to(row, row->utf8 ? "…" : "~", end);
	} else if (wide <= cols) {
		row_fill(row, right ? end - wide : row->used);
		put_up_to(row, text, end);
	}
	row_fill(row, end);
}

void row_spark(struct row *row, const float *values, size_t n)
{
	static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const ascii[] = {" ", ".", ",", ":", "-", "=", "+", "*", "#"};
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = values[i] > most ? values[i] : most;
	for (size_t i = 0; i < n; i++) {
		/* What is not nothing is seen. */
		unsigned level = values[i] > 0 ? 1 + (unsigned)(values[i] / most * 7) : 0;

		row_put(row, (row->utf8 ? blocks : ascii)[level < 9 ? level : 8]);
	}
}
