/* pending.c - see pending.h. */
#include "control/pending.h"

#include <stdlib.h>
#include <string.h>

static struct pending_key *find(struct pending *pending, const struct wgh_public_key *key)
{
	for (unsigned i = 0; i < pending->n; i++) {
		if (!memcmp(&pending->keys[i].key, key, sizeof *key))
			return &pending->keys[i];
	}
	return NULL;
}

static struct pending_key *oldest(struct pending *pending)
{
	struct pending_key *oldest = &pending->keys[0];

	for (unsigned i = 1; i < pending->n; i++) {
		if (pending->keys[i].last_s < oldest->last_s)
			oldest = &pending->keys[i];
	}
	return oldest;
}

bool pending_note(struct pending *pending, const struct wgh_public_key *key,
	const struct wgh_endpoint *from, int64_t now_s)
{
	struct pending_key *entry = find(pending, key);
	bool is_new = !entry;

	if (is_new) {
		entry = pending->n < PENDING_MAX ? &pending->keys[pending->n++] : oldest(pending);
		*entry = (struct pending_key){.key = *key, .first_s = now_s};
	}
	entry->from = *from;
	entry->last_s = now_s;
	entry->n_tries++;
	return is_new;
}

void pending_forget(struct pending *pending, const struct wgh_public_key *key)
{
	struct pending_key *entry = find(pending, key);

	if (entry)
		*entry = pending->keys[--pending->n];
}

/* Also the other way about, where the clock was set. */
static bool is_old(const struct pending_key *entry, int64_t now_s)
{
	return now_s - entry->last_s > PENDING_S || entry->last_s - now_s > PENDING_S;
}

static int later_first(const void *a, const void *b)
{
	const struct pending_key *x = a, *y = b;

	return x->last_s > y->last_s ? -1 : x->last_s < y->last_s;
}

void pending_tidy(struct pending *pending, int64_t now_s)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < pending->n; i++) {
		if (!is_old(&pending->keys[i], now_s))
			pending->keys[kept++] = pending->keys[i];
	}
	pending->n = kept;
	qsort(pending->keys, pending->n, sizeof *pending->keys, later_first);
}
