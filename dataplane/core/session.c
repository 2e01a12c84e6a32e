/* session.c - see session.h. An entry's index is written before its target is published and never
 * again; a removed entry stays as SESSION_DEAD until the array is rebuilt, so readers never see one
 * index turn into another.
 */
#include "core/session.h"

#include <errno.h>

#define INITIAL_ENTRIES 64u

static struct session_array *array_of(const struct session_table *table)
{
	return atomic_load_explicit(&((struct session_table *)table)->array, memory_order_relaxed);
}

static void array_free(struct retired *item, void *arg)
{
	(void)arg;
	mem_free(item); /* retired is the first member */
}

static struct session_array *array_new(struct mem_budget *budget, uint32_t n_entries)
{
	struct session_array *array =
		mem_new(budget, 1, sizeof *array + n_entries * sizeof array->entries[0]);

	if (!array)
		return NULL;
	array->retired.free = array_free;
	array->mask = n_entries - 1;
	return array;
}

int session_init(struct session_table *table, struct mem_budget *budget)
{
	struct session_array *array = array_new(budget, INITIAL_ENTRIES);

	table->budget = budget;
	table->n_live = 0;
	atomic_init(&table->array, array);
	return array ? 0 : -ENOMEM;
}

void session_fini(struct session_table *table)
{
	mem_free(array_of(table));
}

static struct session_entry *find(const struct session_table *table, uint32_t index)
{
	struct session_array *array = array_of(table);

	for (uint32_t at = index & array->mask;; at = (at + 1) & array->mask) {
		struct session_entry *entry = &array->entries[at];
		uintptr_t target = relaxed_get(&entry->target);

		if (!target)
			return NULL;
		if (entry->index == index && target != SESSION_DEAD)
			return entry;
	}
}

static void place(struct session_array *array, uint32_t index, uintptr_t target)
{
	uint32_t at = index & array->mask;

	while (relaxed_get(&array->entries[at].target))
		at = (at + 1) & array->mask;
	array->entries[at].index = index;
	atomic_store_explicit(&array->entries[at].target, target, memory_order_release);
	array->n_used++;
}

/* A fresh array without the dead, sized so that a quarter is used. */
static struct session_array *rebuilt(const struct session_table *table)
{
	struct session_array *from = array_of(table), *to;
	uint32_t n_entries = INITIAL_ENTRIES;

	while (n_entries / 4 < table->n_live + 1)
		n_entries *= 2;
	to = array_new(table->budget, n_entries);
	if (!to)
		return NULL;
	for (uint32_t i = 0; i <= from->mask; i++) {
		uintptr_t target = relaxed_get(&from->entries[i].target);

		if (target && target != SESSION_DEAD)
			place(to, from->entries[i].index, target);
	}
	return to;
}

static int add(
	struct session_table *table, uint32_t index, uintptr_t target, struct session_array **old)
{
	struct session_array *array = array_of(table);

	*old = NULL;
	if (array->n_used >= (array->mask + 1) / 2) {
		struct session_array *bigger = rebuilt(table);

		if (!bigger)
			return -ENOMEM;
		*old = array;
		array = bigger;
		atomic_store_explicit(&table->array, array, memory_order_release);
	}
	place(array, index, target);
	table->n_live++;
	return 0;
}

bool session_taken(const struct session_table *table, uint32_t index)
{
	return find(table, index);
}

int session_add_keypair(
	struct session_table *table, struct keypair *keypair, struct session_array **old)
{
	return add(table, keypair->local_index, (uintptr_t)keypair, old);
}

int session_add_handshake(
	struct session_table *table, uint32_t index, struct peer *peer, struct session_array **old)
{
	return add(table, index, (uintptr_t)peer | SESSION_HANDSHAKE, old);
}

struct peer *session_handshake(const struct session_table *table, uint32_t index)
{
	struct session_entry *entry = find(table, index);
	uintptr_t target = entry ? relaxed_get(&entry->target) : 0;

	return target & SESSION_HANDSHAKE ? (struct peer *)(target & ~SESSION_HANDSHAKE) : NULL;
}

void session_promote(struct session_table *table, struct keypair *keypair)
{
	struct session_entry *entry = find(table, keypair->local_index);

	atomic_store_explicit(&entry->target, (uintptr_t)keypair, memory_order_release);
}

void session_remove(struct session_table *table, uint32_t index)
{
	struct session_entry *entry = find(table, index);

	if (!entry)
		return;
	relaxed_set(&entry->target, SESSION_DEAD);
	table->n_live--;
}
