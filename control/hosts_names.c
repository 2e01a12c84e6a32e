/* hosts_names.c - see hosts_names.h. A name in /etc/hosts decides where this host's programs
 * connect to, so one that is in any doubt is left out. Names are the same whatever their case. */
#include "control/hosts_names.h"

#include "control/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool hosts_is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '.' || c == '_' || c == '-';
}

/* [A-Za-z0-9][A-Za-z0-9._-]{0,252}, and no dot at the end, which would be another word for the same
 * host. */
bool hosts_name_is_valid(struct slice name)
{
	if (name.n == 0 || name.n > HOSTS_NAME_BYTES || strchr("._-", name.at[0]) ||
		name.at[name.n - 1] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (!hosts_is_name_char(name.at[i]))
			return false;
	}
	return true;
}

/* ---- names that the rest of the file has ---- */

struct names {
	struct slice *items;
	size_t n, cap;
};

static int compare_slices(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int order = n ? strncasecmp(x->at, y->at, n) : 0;

	return order ? order : x->n < y->n ? -1 : x->n > y->n;
}

static int collect_names(struct names *names, const char *text, size_t n)
{
	struct slice rest = {text, n}, line, word;

	while (slice_line(&rest, &line, NULL)) {
		const char *hash = line.n ? memchr(line.at, '#', line.n) : NULL;

		if (hash)
			line.n = (size_t)(hash - line.at);
		word = slice_word(&line); /* the address */
		while ((word = slice_word(&line)).n) {
			if (names->n == names->cap) {
				void *bigger =
					array_grow(names->items, &names->cap, sizeof *names->items);

				if (!bigger)
					return -ENOMEM;
				names->items = bigger;
			}
			names->items[names->n++] = word;
		}
	}
	if (names->n)
		qsort(names->items, names->n, sizeof *names->items, compare_slices);
	return 0;
}

static bool is_among(const struct names *names, const char *name)
{
	struct slice key = {name, strlen(name)};

	return names->n &&
		bsearch(&key, names->items, names->n, sizeof *names->items, compare_slices);
}

/* ---- choosing ---- */

static bool is_own_name(const char *own, const char *name)
{
	size_t short_n = own ? strcspn(own, ".") : 0;

	if (!strcasecmp(name, "localhost") || !strncasecmp(name, "localhost.", 10))
		return true;
	return own &&
		(!strcasecmp(own, name) ||
			(strlen(name) == short_n && !strncasecmp(own, name, short_n)));
}

static const char *why_left_out(
	const struct hosts_block *block, const struct names *elsewhere, const char *name)
{
	if (!hosts_name_is_valid((struct slice){name, strlen(name)}))
		return "it is no host name";
	if (is_own_name(block->own_name, name))
		return "it is this host's own";
	return is_among(elsewhere, name) ? "it stands elsewhere in the file" : NULL;
}

static int by_name(const void *a, const void *b)
{
	const struct hosts_entry *x = a, *y = b;
	int order = strcasecmp(x->name, y->name);

	return order ? order : memcmp(&x->address, &y->address, sizeof x->address);
}

static int by_address(const void *a, const void *b)
{
	const struct hosts_entry *x = a, *y = b;
	int order = memcmp(&x->address, &y->address, sizeof x->address);

	return order ? order : strcmp(x->name, y->name);
}

/* Drops every entry of a name that several have: nobody can say which one is meant. */
static size_t drop_repeats(struct hosts_entry *entries, size_t n, struct notes *notes)
{
	size_t kept = 0, run;

	qsort(entries, n, sizeof *entries, by_name);
	for (size_t i = 0; i < n; i += run) {
		for (run = 1; i + run < n && !strcasecmp(entries[i].name, entries[i + run].name);)
			run++;
		if (run == 1) {
			entries[kept++] = entries[i];
			continue;
		}
		notes_add(notes, "hosts: the name %s is left out: %zu devices have it",
			entries[i].name, run);
	}
	return kept;
}

int hosts_choose(struct hosts_entry **out, size_t *n, const struct hosts_block *block,
	const char *others, size_t others_n, struct notes *notes)
{
	struct hosts_entry *entries = calloc(block->n_entries + 1, sizeof *entries);
	struct names elsewhere = {0};
	size_t kept = 0;
	int err = entries ? collect_names(&elsewhere, others, others_n) : -ENOMEM;

	for (size_t i = 0; !err && i < block->n_entries; i++) {
		const struct hosts_entry *e = &block->entries[i];
		const char *why = why_left_out(block, &elsewhere, e->name);

		if (why)
			notes_add(notes, "hosts: the name %s is left out: %s", e->name, why);
		else
			entries[kept++] = *e;
	}
	free(elsewhere.items);
	if (err) {
		free(entries);
		return err;
	}
	*n = drop_repeats(entries, kept, notes);
	qsort(entries, *n, sizeof *entries, by_address);
	*out = entries;
	return 0;
}
