/* route_set.c - the half of route.h that changes: every prefix with its owner, for the control
 * side. Three flat arrays and two hash indexes over them: entries (prefixes, dense), owners (with
 * the chain of their entries, oldest first), so that an owner's removal touches its own entries
 * only. Costs: insert, remove and a step of a listing are O(1). Fails only for want of memory, and
 * then before anything changed: room is reserved first.
 */
#include "core/route.h"

#include "core/ip.h"
#include "core/route_hash.h"

#include <errno.h>
#include <string.h>

#define NONE UINT32_MAX
/* Far beyond any hub; keeps all sizes below within 32 bits of items and size_t of bytes. */
#define ENTRIES_MAX (UINT32_C(1) << 24)

struct entry {
	struct wgh_prefix prefix; /* masked */
	uint32_t owner; /* in owners */
	uint32_t next, prev; /* of the same owner; NONE at the ends */
};

struct owner {
	struct peer *peer;
	uint32_t head, tail; /* in entries; a free owner's head is the next free one */
};

/* Open addressing, at most half full. A slot holds item + 1; 0 is empty. */
struct index {
	uint32_t *slots;
	uint32_t mask; /* slots - 1; a power of two less one */
};

struct route_set {
	struct mem_budget *budget; /* also of copies and tables made from it */
	uint64_t seed;
	struct entry *entries;
	struct owner *owners;
	struct index by_prefix, by_owner;
	uint32_t n_entries, entries_room;
	uint32_t n_owners, owners_room; /* n_owners: ever used, free ones included */
	uint32_t free_owner; /* NONE: no free one below n_owners */
};

/* ---- indexes ---- */

typedef uint64_t hash_fn(const struct route_set *set, uint32_t item);

static uint64_t prefix_hash(uint64_t seed, const struct wgh_prefix *p)
{
	uint64_t hi, lo;

	memcpy(&hi, p->addr.bytes, 8);
	memcpy(&lo, p->addr.bytes + 8, 8);
	return route_hash6(seed + p->addr.family, hi, lo, p->bits);
}

static uint64_t owner_hash(uint64_t seed, const struct peer *owner)
{
	return route_mix(seed ^ (uintptr_t)owner);
}

static uint64_t hash_of_entry(const struct route_set *set, uint32_t item)
{
	return prefix_hash(set->seed, &set->entries[item].prefix);
}

static uint64_t hash_of_owner(const struct route_set *set, uint32_t item)
{
	return owner_hash(set->seed, set->owners[item].peer);
}

static void index_put(struct index *index, uint64_t hash, uint32_t item)
{
	uint32_t i = (uint32_t)hash & index->mask;

	while (index->slots[i])
		i = (i + 1) & index->mask;
	index->slots[i] = item + 1;
}

static uint32_t *index_slot(const struct index *index, uint64_t hash, uint32_t item)
{
	uint32_t i = (uint32_t)hash & index->mask;

	while (index->slots[i] != item + 1)
		i = (i + 1) & index->mask;
	return &index->slots[i];
}

/* Closes the gap by moving up what would not be found behind an empty slot, so that there are no
 * tombstones. */
static void index_remove(
	const struct route_set *set, struct index *index, hash_fn *hash_of, uint32_t item)
{
	uint32_t hole = (uint32_t)(index_slot(index, hash_of(set, item), item) - index->slots);

	for (uint32_t i = (hole + 1) & index->mask; index->slots[i]; i = (i + 1) & index->mask) {
		const uint32_t home = (uint32_t)hash_of(set, index->slots[i] - 1);
		if (((i - home) & index->mask) < ((i - hole) & index->mask))
			continue;
		index->slots[hole] = index->slots[i];
		hole = i;
	}
	index->slots[hole] = 0;
}

/* Room for n_items in all. */
static int index_reserve(
	const struct route_set *set, struct index *index, hash_fn *hash_of, uint32_t n_items)
{
	struct index bigger = {.mask = index->mask};

	if (index->slots && n_items <= (index->mask + 1) / 2)
		return 0;
	if (!index->slots)
		bigger.mask = 7;
	while (n_items > (bigger.mask + 1) / 2)
		bigger.mask = bigger.mask * 2 + 1;
	bigger.slots = mem_new(set->budget, (size_t)bigger.mask + 1, sizeof *bigger.slots);
	if (!bigger.slots)
		return -ENOMEM;
	if (index->slots)
		for (size_t i = 0; i <= index->mask; i++)
			if (index->slots[i])
				index_put(&bigger, hash_of(set, index->slots[i] - 1),
					index->slots[i] - 1);
	mem_free(index->slots);
	*index = bigger;
	return 0;
}

static int array_reserve(
	const struct route_set *set, void **array, uint32_t *room, uint32_t n, size_t item_bytes)
{
	if (n <= *room)
		return 0;

	const uint32_t bigger = n + n / 2 + 4;
	void *p = mem_resize(set->budget, *array, bigger, item_bytes);

	if (!p)
		return -ENOMEM;
	*array = p;
	*room = bigger;
	return 0;
}

/* Room for one more prefix and one more owner. */
static int reserve(struct route_set *set)
{
	if (set->n_entries >= ENTRIES_MAX ||
		array_reserve(set, (void **)&set->entries, &set->entries_room, set->n_entries + 1,
			sizeof *set->entries) ||
		array_reserve(set, (void **)&set->owners, &set->owners_room, set->n_owners + 1,
			sizeof *set->owners) ||
		index_reserve(set, &set->by_prefix, hash_of_entry, set->n_entries + 1) ||
		index_reserve(set, &set->by_owner, hash_of_owner, set->n_owners + 1))
		return -ENOMEM;
	return 0;
}

/* ---- entries and owners ---- */

static uint32_t entry_find(const struct route_set *set, const struct wgh_prefix *masked)
{
	const struct index *index = &set->by_prefix;

	if (!index->slots)
		return NONE;
	for (uint32_t i = (uint32_t)prefix_hash(set->seed, masked) & index->mask; index->slots[i];
		i = (i + 1) & index->mask)
		if (!memcmp(&set->entries[index->slots[i] - 1].prefix, masked, sizeof *masked))
			return index->slots[i] - 1;
	return NONE;
}

static uint32_t owner_find(const struct route_set *set, const struct peer *owner)
{
	const struct index *index = &set->by_owner;

	if (!index->slots)
		return NONE;
	for (uint32_t i = (uint32_t)owner_hash(set->seed, owner) & index->mask; index->slots[i];
		i = (i + 1) & index->mask)
		if (set->owners[index->slots[i] - 1].peer == owner)
			return index->slots[i] - 1;
	return NONE;
}

/* Found or new; reserve() came before. */
static uint32_t owner_get(struct route_set *set, struct peer *owner)
{
	uint32_t o = owner_find(set, owner);

	if (o != NONE)
		return o;
	o = set->free_owner;
	if (o == NONE)
		o = set->n_owners++;
	else
		set->free_owner = set->owners[o].head;
	set->owners[o] = (struct owner){owner, NONE, NONE};
	index_put(&set->by_owner, hash_of_owner(set, o), o);
	return o;
}

/* Puts the entry last among its new owner's. */
static void chain_append(struct route_set *set, uint32_t e, struct peer *peer)
{
	const uint32_t o = owner_get(set, peer);
	struct owner *owner = &set->owners[o];

	set->entries[e].owner = o;
	set->entries[e].prev = owner->tail;
	set->entries[e].next = NONE;
	*(owner->tail == NONE ? &owner->head : &set->entries[owner->tail].next) = e;
	owner->tail = e;
}

/* What points at an entry: its neighbours in the chain, or its owner at the ends. */
static void chain_point(
	struct route_set *set, const struct entry *entry, uint32_t next, uint32_t prev)
{
	struct owner *owner = &set->owners[entry->owner];

	*(entry->prev == NONE ? &owner->head : &set->entries[entry->prev].next) = next;
	*(entry->next == NONE ? &owner->tail : &set->entries[entry->next].prev) = prev;
}

/* Takes the entry out of its owner's chain; an owner without entries is forgotten. */
static void chain_unlink(struct route_set *set, uint32_t e)
{
	const struct entry *entry = &set->entries[e];
	const uint32_t o = entry->owner;

	chain_point(set, entry, entry->next, entry->prev);
	if (set->owners[o].head != NONE)
		return;
	index_remove(set, &set->by_owner, hash_of_owner, o);
	set->owners[o].head = set->free_owner;
	set->free_owner = o;
}

/* The last entry moves into the gap. */
static void entry_remove(struct route_set *set, uint32_t e)
{
	const uint32_t last = set->n_entries - 1;

	chain_unlink(set, e);
	index_remove(set, &set->by_prefix, hash_of_entry, e);
	if (e != last) {
		*index_slot(&set->by_prefix, hash_of_entry(set, last), last) = e + 1;
		chain_point(set, &set->entries[last], e, e);
		set->entries[e] = set->entries[last];
	}
	set->n_entries--;
}

/* ---- public ---- */

struct route_set *route_set_new(uint64_t seed, struct mem_budget *budget)
{
	struct route_set *set = mem_new(budget, 1, sizeof *set);

	if (!set)
		return NULL;
	set->budget = budget;
	set->seed = seed;
	set->free_owner = NONE;
	return set;
}

void route_set_free(struct route_set *set)
{
	if (!set)
		return;
	mem_free(set->entries);
	mem_free(set->owners);
	mem_free(set->by_prefix.slots);
	mem_free(set->by_owner.slots);
	mem_free(set);
}

static void *duplicate(
	const struct route_set *set, const void *from, size_t n, size_t item_bytes, bool *failed)
{
	void *p = from ? mem_new(set->budget, n, item_bytes) : NULL;

	if (p)
		memcpy(p, from, n * item_bytes);
	else if (from)
		*failed = true;
	return p;
}

struct route_set *route_set_copy(const struct route_set *set)
{
	struct route_set *copy = mem_new(set->budget, 1, sizeof *copy);
	bool failed = false;

	if (!copy)
		return NULL;
	*copy = *set;
	copy->entries =
		duplicate(set, set->entries, set->entries_room, sizeof *set->entries, &failed);
	copy->owners = duplicate(set, set->owners, set->owners_room, sizeof *set->owners, &failed);
	copy->by_prefix.slots = duplicate(set, set->by_prefix.slots,
		(size_t)set->by_prefix.mask + 1, sizeof(uint32_t), &failed);
	copy->by_owner.slots = duplicate(set, set->by_owner.slots, (size_t)set->by_owner.mask + 1,
		sizeof(uint32_t), &failed);
	if (!failed)
		return copy;
	route_set_free(copy);
	return NULL;
}

int route_insert(struct route_set *set, const struct wgh_prefix *prefix, struct peer *owner,
	struct peer **before)
{
	struct wgh_prefix masked = *prefix;
	struct peer *was = NULL;

	if (!owner || ip_prefix_check(prefix))
		return -EINVAL;
	ip_prefix_mask(&masked);
	if (reserve(set))
		return -ENOMEM;

	uint32_t e = entry_find(set, &masked);

	if (e == NONE) {
		e = set->n_entries++;
		set->entries[e].prefix = masked;
		index_put(&set->by_prefix, hash_of_entry(set, e), e);
		chain_append(set, e, owner);
	} else if (set->owners[set->entries[e].owner].peer != owner) {
		was = set->owners[set->entries[e].owner].peer;
		chain_unlink(set, e);
		chain_append(set, e, owner);
	}
	if (before)
		*before = was;
	return 0;
}

bool route_remove(struct route_set *set, const struct wgh_prefix *prefix, const struct peer *owner)
{
	struct wgh_prefix masked = *prefix;

	if (ip_prefix_check(prefix))
		return false;
	ip_prefix_mask(&masked);

	const uint32_t e = entry_find(set, &masked);

	if (e == NONE || set->owners[set->entries[e].owner].peer != owner)
		return false;
	entry_remove(set, e);
	return true;
}

void route_remove_owner(struct route_set *set, const struct peer *owner)
{
	for (uint32_t o; (o = owner_find(set, owner)) != NONE;)
		entry_remove(set, set->owners[o].head);
}

size_t route_count(const struct route_set *set)
{
	return set->n_entries;
}

bool route_next_of(const struct route_set *set, const struct peer *owner, size_t *cursor,
	struct wgh_prefix *prefix)
{
	const uint32_t o = *cursor == 0 ? owner_find(set, owner) : NONE;
	/* A cursor is the next entry's number plus one; SIZE_MAX: there is none. */
	const size_t e = o != NONE ? set->owners[o].head : *cursor - 1;

	if (*cursor == 0 && o == NONE)
		*cursor = SIZE_MAX;
	if (*cursor == SIZE_MAX)
		return false;
	*prefix = set->entries[e].prefix;
	*cursor = set->entries[e].next == NONE ? SIZE_MAX : (size_t)set->entries[e].next + 1;
	return true;
}

bool route_next(
	const struct route_set *set, size_t *cursor, struct wgh_prefix *prefix, struct peer **owner)
{
	if (*cursor >= set->n_entries)
		return false;

	const struct entry *entry = &set->entries[(*cursor)++];

	*prefix = entry->prefix;
	*owner = set->owners[entry->owner].peer;
	return true;
}

uint64_t route_seed(const struct route_set *set)
{
	return set->seed;
}

struct mem_budget *route_budget(const struct route_set *set)
{
	return set->budget;
}
