/* note_once.c - see note_once.h. A hash that is hit by chance costs a line of the log. */
#include "control/note_once.h"

#include "control/log.h"

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/). */
static uint64_t hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return (h ^ '\n') * UINT64_C(0x100000001b3);
}

bool note_once_is_new(struct note_once *seen, const struct notes *notes)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) + notes->n_left_out;
	bool is_new;

	for (size_t i = 0; i < notes->n; i++)
		h = hash(h, notes->lines[i]);
	if (notes->n + notes->n_left_out == 0)
		h = 0;
	is_new = h != seen->hash;
	seen->hash = h;
	return is_new;
}

void note_once_log(struct note_once *seen, const char *what, const struct notes *notes)
{
	if (!note_once_is_new(seen, notes))
		return;
	for (size_t i = 0; i < notes->n; i++)
		log_warn("%s note=\"%s\"", what, notes->lines[i]);
	if (notes->n_left_out)
		log_warn("%s more_notes=%zu", what, notes->n_left_out);
}
