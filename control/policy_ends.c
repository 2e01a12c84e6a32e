/* policy_ends.c - see policy_ends.h. */
#include "control/policy_ends.h"

#include "control/array.h"
#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ends_note(struct ends_finder *f, unsigned line, const char *format, const char *what)
{
	struct notes *notes = &f->plan->notes;
	char text[200], whole[NOTE_CHARS];

	snprintf(text, sizeof text, format, what);
	snprintf(
		whole, sizeof whole, "%s:%u: %s", f->file->path, f->file->lines[line].number, text);
	for (size_t i = 0; i < notes->n; i++) {
		if (!strcmp(notes->lines[i], whole))
			return;
	}
	notes_add(notes, "%s", whole);
}

/* ---- the indices ---- */

static int compare_named(const void *a, const void *b)
{
	const struct named_peer *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : x->peer < y->peer ? -1 : x->peer > y->peer;
}

static int compare_keys(const void *a, const void *b, void *arg)
{
	const struct policy_world *world = arg;

	return memcmp(&world->peers[*(const size_t *)a].public_key,
		&world->peers[*(const size_t *)b].public_key, sizeof(struct wgh_public_key));
}

int ends_finder_init(struct ends_finder *f, const struct policy_file *file,
	const struct policy_world *world, struct policy_plan *plan)
{
	*f = (struct ends_finder){.file = file, .world = world, .plan = plan};
	f->names = calloc(world->n_peers + 1, sizeof *f->names);
	f->keys = calloc(world->n_peers + 1, sizeof *f->keys);
	if (!f->names || !f->keys) {
		ends_finder_fini(f);
		return -ENOMEM;
	}
	for (size_t i = 0; i < world->n_peers; i++) {
		f->keys[i] = i;
		if (world->peers[i].name)
			f->names[f->n_names++] = (struct named_peer){world->peers[i].name, i};
	}
	qsort(f->names, f->n_names, sizeof *f->names, compare_named);
	qsort_r(f->keys, world->n_peers, sizeof *f->keys, compare_keys, (void *)world);
	return 0;
}

void ends_finder_fini(struct ends_finder *f)
{
	free(f->names);
	free(f->keys);
}

/* The first of that name; the others follow it. n_names: there is none. */
static size_t find_name(const struct ends_finder *f, const char *name)
{
	size_t low = 0, high = f->n_names;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(f->names[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < f->n_names && !strcmp(f->names[low].name, name) ? low : f->n_names;
}

static long find_key(const struct ends_finder *f, const struct wgh_public_key *key)
{
	size_t low = 0, high = f->world->n_peers;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(&f->world->peers[f->keys[middle]].public_key, key, sizeof *key);

		if (order == 0)
			return (long)f->keys[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -ENOENT;
}

/* Who has the longest prefix that covers it. */
static long find_addr(const struct policy_world *world, const struct wgh_addr *addr)
{
	const struct wgh_prefix one = {*addr, addr->family == WGH_IPV4 ? 32 : 128};
	long found = -ENOENT;
	int bits = -1;

	for (size_t i = 0; i < world->n_peers; i++) {
		const struct policy_peer *peer = &world->peers[i];

		for (size_t j = 0; j < peer->n_prefixes; j++) {
			if (peer->prefixes[j].bits > bits &&
				text_prefix_covers(&peer->prefixes[j], &one)) {
				found = (long)i;
				bits = peer->prefixes[j].bits;
			}
		}
	}
	return found;
}

long policy_find_peer(const struct policy_world *world, const struct policy_who *who)
{
	long found = -ENOENT;

	if (who->kind == WHO_ADDR)
		return find_addr(world, &who->addr);
	for (size_t i = 0; i < world->n_peers; i++) {
		const struct policy_peer *peer = &world->peers[i];

		if (who->kind == WHO_KEY
				? memcmp(&peer->public_key, &who->key, sizeof who->key) != 0
				: !who->name || !peer->name || strcmp(peer->name, who->name))
			continue;
		if (found >= 0)
			return -EEXIST;
		found = (long)i;
	}
	return found;
}

/* ---- whom it is about ---- */

static bool add_peer(struct ends *ends, size_t peer)
{
	void *bigger = ends->peers;

	if (ends->n_peers == ends->peers_cap)
		bigger = array_grow(ends->peers, &ends->peers_cap, sizeof *ends->peers);
	if (!bigger)
		return false;
	ends->peers = bigger;
	ends->peers[ends->n_peers++] = peer;
	return true;
}

int ends_find_peers(const struct ends_finder *f, struct ends *ends, const struct policy_who *who)
{
	size_t at = f->n_names;
	long found = -ENOENT;

	if (who->kind == WHO_KEY)
		found = find_key(f, &who->key);
	else if (who->kind == WHO_ADDR)
		found = find_addr(f->world, &who->addr);
	else
		at = find_name(f, who->name);
	if (found >= 0 && !add_peer(ends, (size_t)found))
		return -ENOMEM;
	for (; at < f->n_names && !strcmp(f->names[at].name, who->name); at++) {
		if (!add_peer(ends, f->names[at].peer))
			return -ENOMEM;
	}
	if (ends->n_peers == 0 && who->kind == WHO_KEY)
		ends->key = &who->key;
	return 0;
}

static uint32_t classes_of(const struct policy_plan *plan, const struct policy_who *who)
{
	uint32_t classes = 0;

	for (unsigned i = 0; i < plan->n_classes; i++) {
		const struct policy_class *class = &plan->classes[i];

		if (who->kind == WHO_GROUP ? class->base == who->group
					   : (class->own >> who->group & 1))
			classes |= 1u << i;
	}
	return classes;
}

int ends_find(struct ends_finder *f, struct ends *ends, const struct policy_who *who, unsigned line,
	bool all_of_a_name)
{
	char text[POLICY_WHO_CHARS];
	int err;

	*ends = (struct ends){.any = who->kind == WHO_ANY};
	policy_who_text(text, f->file, who);
	if (ends->any) {
		ends->touched = ALL_CLASSES;
		return 0;
	}
	if (who->kind == WHO_GROUP || who->kind == WHO_OWN_GROUP) {
		ends->classes = ends->touched = classes_of(f->plan, who);
		if (!ends->classes)
			ends_note(f, line, "group %s has no peer yet", text);
		return 0;
	}
	err = ends_find_peers(f, ends, who);
	if (err)
		return err;
	if (ends->n_peers == 0 && !ends->key)
		ends_note(f, line, "there is no peer %s yet; the line counts when there is one",
			text);
	if (ends->n_peers > 1 && !all_of_a_name) {
		ends_note(f, line,
			"several peers are called %s: this counts for none of them; write key: and "
			"the key of one",
			text);
		ends->n_peers = 0;
	}
	ends->touched = ends->key ? ALL_CLASSES : 0;
	for (size_t i = 0; i < ends->n_peers; i++)
		ends->touched |= 1u << f->plan->settings[ends->peers[i]].group;
	return 0;
}

void ends_fini(struct ends *ends)
{
	free(ends->peers);
}

bool ends_party(
	struct wgh_party *party, const struct ends_finder *f, const struct ends *ends, size_t n)
{
	*party = (struct wgh_party){.kind = WGH_PARTY_PEER};
	if (ends->any) {
		party->kind = WGH_PARTY_ANY;
		return n == 0;
	}
	for (unsigned i = 0; i < WGH_GROUPS_MAX; i++) {
		if (!(ends->classes >> i & 1) || n-- > 0)
			continue;
		party->kind = WGH_PARTY_GROUP;
		party->group = (uint8_t)i;
		return true;
	}
	if (ends->key) {
		party->peer = *ends->key;
		return n == 0;
	}
	if (n >= ends->n_peers)
		return false;
	party->peer = f->world->peers[ends->peers[n]].public_key;
	return true;
}
