/* top_keys.c - see top_keys.h. For cli/top.c. */
#include "control/top_keys.h"

#include <string.h>

/* PLAIN -> ESCAPE -> CSI -> PLAIN; or back from any with what ends it. */
enum { PLAIN, ESCAPE, CSI };

enum {
	KEY_ESCAPE = 27,
	KEY_DELETE = 127,
	KEY_UP = 256,
	KEY_DOWN,
	KEY_HOME,
	KEY_END,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_OTHER
};

static void type(struct top_view *v, int key)
{
	size_t n = strlen(v->filter);

	if (key == '\r' || key == '\n' || key == KEY_ESCAPE) {
		v->typing = false;
		if (key == KEY_ESCAPE)
			v->filter[0] = 0;
	} else if (key == KEY_DELETE || key == '\b') {
		/* A character of UTF-8 goes with all of its bytes. */
		while (n > 0 && ((unsigned char)v->filter[--n] & 0xc0) == 0x80)
			;
		v->filter[n] = 0;
	} else if (key >= 0x20 && key < 256 && n + 1 < sizeof v->filter) {
		v->filter[n] = (char)key;
		v->filter[n + 1] = 0;
	}
}

/* Whether the program goes on. top_view_draw() keeps first within bounds. */
static bool press(struct top_view *v, int key)
{
	size_t page = v->page ? v->page : 1;

	if (v->typing) {
		type(v, key);
		return true;
	}
	if (v->help) {
		v->help = false;
		return key != 'q';
	}
	switch (key) {
	case 'q':
	case 'Q':
	case 3:
		return false;
	case 's':
		v->sort = (v->sort + 1) % TOP_N_SORTS;
		v->first = 0;
		break;
	case '/':
		v->typing = true;
		v->first = 0;
		break;
	case KEY_ESCAPE:
		v->filter[0] = 0;
		break;
	case 'p':
	case ' ':
		v->paused = !v->paused;
		break;
	case '?':
	case 'h':
		v->help = true;
		break;
	case KEY_UP:
	case 'k':
		v->first -= v->first > 0;
		break;
	case KEY_DOWN:
	case 'j':
		v->first++;
		break;
	case KEY_PAGE_UP:
		v->first -= v->first < page ? v->first : page;
		break;
	case KEY_PAGE_DOWN:
		v->first += page;
		break;
	case KEY_HOME:
		v->first = 0;
		break;
	case KEY_END:
		v->first = SIZE_MAX / 2;
		break;
	}
	return true;
}

static int sequence_key(char final, uint8_t param)
{
	switch (final) {
	case 'A':
		return KEY_UP;
	case 'B':
		return KEY_DOWN;
	case 'H':
		return KEY_HOME;
	case 'F':
		return KEY_END;
	case '~':
		return param == 1 || param == 7	   ? KEY_HOME
			: param == 4 || param == 8 ? KEY_END
			: param == 5		   ? KEY_PAGE_UP
			: param == 6		   ? KEY_PAGE_DOWN
						   : KEY_OTHER;
	default:
		return KEY_OTHER;
	}
}

static bool take_byte(struct top_keys *k, struct top_view *v, unsigned char byte)
{
	switch (k->state) {
	case ESCAPE:
		k->param = 0;
		k->state = byte == '[' || byte == 'O' ? CSI : PLAIN;
		if (k->state == CSI)
			return true;
		return press(v, KEY_ESCAPE) && take_byte(k, v, byte);
	case CSI:
		if (byte >= '0' && byte <= '9')
			k->param = (uint8_t)(k->param * 10 + byte - '0');
		if (byte < 0x40 || byte > 0x7e)
			return true;
		k->state = PLAIN;
		return press(v, sequence_key((char)byte, k->param));
	default:
		if (byte != KEY_ESCAPE)
			return press(v, byte);
		k->state = ESCAPE;
		return true;
	}
}

bool top_keys_take(struct top_keys *keys, struct top_view *view, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!take_byte(keys, view, (unsigned char)bytes[i]))
			return false;
	}
	if (keys->state == ESCAPE) {
		keys->state = PLAIN;
		return press(view, KEY_ESCAPE);
	}
	return true;
}
