/* names.c - see names.h. Open addressing with linear probing, never more than half full; nothing is
 * ever removed from it, a peer that is gone keeps its 50 bytes until the hub ends. */
#include "control/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct wgh_public_key key;
	char *name; /* or NULL */
	bool used, up;
};

struct names {
	struct entry *entries;
	size_t n, cap; /* cap: a power of two */
	uint64_t seed; /* peers choose their keys: they must not choose their place */
};

struct names *names_new(void)
{
	struct names *names = calloc(1, sizeof *names);

	if (!names)
		return NULL;
	names->cap = 64;
	names->entries = calloc(names->cap, sizeof *names->entries);
	if (!names->entries) {
		free(names);
		return NULL;
	}
	secret_random(&names->seed, sizeof names->seed);
	return names;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	for (size_t i = 0; i < names->cap; i++)
		free(names->entries[i].name);
	free(names->entries);
	free(names);
}

static struct entry *find(const struct names *names, const struct wgh_public_key *key)
{
	uint64_t h = names->seed, word;
	size_t at;

	for (size_t i = 0; i < sizeof key->bytes; i += sizeof word) {
		memcpy(&word, key->bytes + i, sizeof word);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	for (at = h & (names->cap - 1); names->entries[at].used; at = (at + 1) & (names->cap - 1)) {
		if (!memcmp(&names->entries[at].key, key, sizeof *key))
			break;
	}
	return &names->entries[at];
}

static bool make_room(struct names *names)
{
	struct names bigger = *names;

	if (names->n * 2 < names->cap)
		return true;
	bigger.cap *= 2;
	bigger.entries = calloc(bigger.cap, sizeof *bigger.entries);
	if (!bigger.entries)
		return false;
	for (size_t i = 0; i < names->cap; i++) {
		if (names->entries[i].used)
			*find(&bigger, &names->entries[i].key) = names->entries[i];
	}
	free(names->entries);
	*names = bigger;
	return true;
}

/* The peer's entry, made if need be. NULL: no memory. */
static struct entry *get(struct names *names, const struct wgh_public_key *key)
{
	struct entry *entry = find(names, key);

	if (entry->used)
		return entry;
	if (!make_room(names))
		return NULL;
	entry = find(names, key);
	entry->used = true;
	entry->key = *key;
	names->n++;
	return entry;
}

int names_from_conf(struct names *names, const struct conf *conf)
{
	int err = 0;

	for (size_t i = 0; i < names->cap; i++) {
		free(names->entries[i].name);
		names->entries[i].name = NULL;
	}
	for (size_t i = 0; i < conf->n_peers; i++) {
		const struct conf_peer *peer = &conf->peers[i];
		struct entry *entry = peer->name ? get(names, &peer->public_key) : NULL;

		if (entry)
			entry->name = strdup(peer->name);
		if (peer->name && (!entry || !entry->name))
			err = -ENOMEM;
	}
	return err;
}

bool names_set(struct names *names, const struct wgh_public_key *peer, const char *name)
{
	struct entry *entry = find(names, peer);
	char *copy = NULL;

	if (entry->name && name ? !strcmp(entry->name, name) : entry->name == name)
		return false;
	entry = get(names, peer);
	if (!entry || (name && !(copy = strdup(name))))
		return false; /* without memory it keeps the old one */
	free(entry->name);
	entry->name = copy;
	return true;
}

const char *names_get(void *names, const struct wgh_public_key *peer)
{
	return find(names, peer)->name;
}

bool names_set_up(struct names *names, const struct wgh_public_key *peer, bool up)
{
	struct entry *entry = get(names, peer);

	if (!entry || entry->up == up)
		return false;
	entry->up = up;
	return true;
}

bool names_is_up(const struct names *names, const struct wgh_public_key *peer)
{
	return find(names, peer)->up;
}
