/* peer.c - see peer.h. */
#include "core/peer.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define INITIAL_SLOTS 16u

int peer_table_init(struct peer_table *table, const uint8_t hash_key[16], struct mem_budget *budget)
{
	memset(table, 0, sizeof *table);
	memcpy(table->hash_key, hash_key, sizeof table->hash_key);
	table->budget = budget;
	slab_init(&table->memory, sizeof(struct peer), budget);
	sparse_init(&table->drops, DROP_N, budget);
	table->by_key_mask = INITIAL_SLOTS - 1;
	table->by_key = mem_new(budget, INITIAL_SLOTS, sizeof *table->by_key);
	return table->by_key ? 0 : -ENOMEM;
}

void peer_table_fini(struct peer_table *table)
{
	mem_free(table->slots);
	mem_free(table->free_slots);
	mem_free(table->by_key);
	slab_fini(&table->memory);
	sparse_fini(&table->drops);
}

static uint32_t hash(const struct peer_table *table, const struct x25519_public *key)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint32_t h;

	crypto_shorthash(out, key->bytes, sizeof key->bytes, table->hash_key);
	memcpy(&h, out, sizeof h);
	return h & table->by_key_mask;
}

struct peer *peer_find(const struct peer_table *table, const struct x25519_public *key)
{
	struct peer *peer = table->by_key[hash(table, key)];

	while (peer && memcmp(&peer->public_key, key, sizeof *key))
		peer = peer->by_key_next;
	return peer;
}

struct peer *peer_at(const struct peer_table *table, uint32_t slot, uint32_t serial)
{
	struct peer *peer = slot < table->n_slots ? table->slots[slot] : NULL;

	return peer && peer->serial == serial ? peer : NULL;
}

/* Twice the slots and buckets. */
static bool grow(struct peer_table *table)
{
	uint32_t n = table->n_slots ? table->n_slots * 2 : INITIAL_SLOTS;
	struct peer **by_key = mem_new(table->budget, n, sizeof *by_key);
	uint32_t *free_slots = mem_resize(table->budget, table->free_slots, n, sizeof *free_slots);
	struct peer **slots = mem_resize(table->budget, table->slots, n, sizeof *slots);

	if (free_slots)
		table->free_slots = free_slots;
	if (slots)
		table->slots = slots;
	if (!by_key || !free_slots || !slots) {
		mem_free(by_key);
		return false;
	}
	/* Low slots are used first, so that peers are listed in the order they came. */
	memmove(free_slots + n - table->n_slots, free_slots,
		table->n_free_slots * sizeof *free_slots);
	for (uint32_t i = table->n_slots; i < n; i++) {
		slots[i] = NULL;
		free_slots[n - 1 - i] = i;
	}
	table->n_free_slots += n - table->n_slots;
	mem_free(table->by_key);
	table->by_key = by_key;
	table->by_key_mask = n - 1;
	for (uint32_t i = 0; i < table->n_slots; i++) {
		struct peer *peer = slots[i];

		if (!peer)
			continue;
		struct peer **bucket = &by_key[hash(table, &peer->public_key)];

		peer->by_key_next = *bucket;
		*bucket = peer;
	}
	table->n_slots = n;
	return true;
}

int peer_reserve(struct peer_table *table, uint32_t n)
{
	while (table->n_free_slots < n)
		if (!grow(table))
			return -ENOMEM;
	return 0;
}

struct peer *peer_new(struct peer_table *table, const struct x25519_public *key)
{
	struct peer *peer = slab_get(&table->memory);

	if (!peer)
		return NULL;
	peer->drops = sparse_get(&table->drops);
	if (!peer->drops) {
		slab_put(&table->memory, peer);
		return NULL;
	}
	peer->public_key = *key;
	peer->wipe_at_ns = TIME_NEVER;
	relaxed_set(&peer->timer_armed_ns, TIME_NEVER);
	peer->heap_pos = UINT32_MAX;
	return peer;
}

void peer_insert(struct peer_table *table, struct peer *peer)
{
	struct peer **bucket = &table->by_key[hash(table, &peer->public_key)];

	peer->slot = table->free_slots[--table->n_free_slots];
	peer->serial = ++table->next_serial;
	table->slots[peer->slot] = peer;
	peer->by_key_next = *bucket;
	*bucket = peer;
	table->n_peers++;
}

void peer_unlink(struct peer_table *table, struct peer *peer)
{
	struct peer **link = &table->by_key[hash(table, &peer->public_key)];

	while (*link != peer)
		link = &(*link)->by_key_next;
	*link = peer->by_key_next;
	table->slots[peer->slot] = NULL;
	table->free_slots[table->n_free_slots++] = peer->slot;
	table->n_peers--;
}

void peer_free(struct peer_table *table, struct peer *peer)
{
	sparse_put(&table->drops, peer->drops);
	slab_put(&table->memory, peer);
}

struct wgh_endpoint peer_endpoint(struct peer *peer)
{
	struct wgh_endpoint endpoint;

	spin_lock(&peer->endpoint_lock);
	endpoint = peer->endpoint;
	spin_unlock(&peer->endpoint_lock);
	return endpoint;
}

static bool same_remote(const struct wgh_endpoint *a, const struct wgh_endpoint *b)
{
	return a->family == b->family && a->port == b->port && a->scope_id == b->scope_id &&
		!memcmp(a->addr, b->addr, sizeof a->addr);
}

static bool same_local(const struct wgh_endpoint *a, const struct wgh_endpoint *b)
{
	return a->local_ifindex == b->local_ifindex && !memcmp(a->local, b->local, sizeof a->local);
}

bool peer_endpoint_learn(struct peer *peer, const struct wgh_endpoint *endpoint)
{
	bool moved;

	spin_lock(&peer->endpoint_lock);
	moved = !same_remote(&peer->endpoint, endpoint);
	if (moved || (endpoint->local_ifindex && !same_local(&peer->endpoint, endpoint)))
		peer->endpoint = *endpoint;
	spin_unlock(&peer->endpoint_lock);
	if (moved)
		relaxed_set(&peer->has_endpoint, true);
	return moved;
}

void peer_endpoint_set(struct peer *peer, const struct wgh_endpoint *endpoint)
{
	spin_lock(&peer->endpoint_lock);
	peer->endpoint = *endpoint;
	spin_unlock(&peer->endpoint_lock);
	relaxed_set(&peer->has_endpoint, endpoint->family != WGH_UNSPEC);
	relaxed_set(&peer->silent, false);
}

void peer_endpoint_forget_source(struct peer *peer)
{
	spin_lock(&peer->endpoint_lock);
	memset(peer->endpoint.local, 0, sizeof peer->endpoint.local);
	peer->endpoint.local_ifindex = 0;
	spin_unlock(&peer->endpoint_lock);
}
