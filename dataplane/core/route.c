/* route.c - the half of route.h that workers read: an immutable table of who owns which prefix.
 * Per family one flat array of slots, open addressing, half full, keyed by masked address and
 * length; and the lengths in use, longest first. A look-up of a host is one hash, one load, one
 * compare. Costs: building is one pass over the set. Fails only for want of memory.
 */
#include "core/route.h"

#include "core/route_hash.h"

#include <endian.h>
#include <string.h>

/* Addresses in host order. An empty slot has no owner. */
struct slot4 {
	uint32_t addr;
	uint32_t bits;
	struct peer *owner;
};
struct slot6 {
	uint64_t hi, lo;
	struct peer *owner;
	uint32_t bits;
};
_Static_assert(sizeof(void *) != 8 || (sizeof(struct slot4) == 16 && sizeof(struct slot6) == 32),
	"four hosts, or two of IPv6, fill a cache line");

struct length4 {
	uint32_t mask, bits;
};
struct length6 {
	uint64_t hi, lo;
	uint32_t bits;
};

struct route_table {
	uint64_t seed;
	struct slot4 *slots4;
	struct slot6 *slots6;
	uint32_t n_slots4, n_slots6;
	uint32_t n_lengths4, n_lengths6;
	struct length4 lengths4[33];
	struct length6 lengths6[129];
};

static inline uint32_t addr4(const struct wgh_addr *addr)
{
	uint32_t v;

	memcpy(&v, addr->bytes, 4);
	return be32toh(v);
}

static inline uint64_t addr6(const uint8_t *half)
{
	uint64_t v;

	memcpy(&v, half, 8);
	return be64toh(v);
}

/* Scales the hash to the array, which need not be a power of two, without a division. */
static inline uint32_t slot_of(uint64_t hash, uint32_t n_slots)
{
	return (uint32_t)((hash >> 32) * n_slots >> 32);
}

static inline uint32_t home4(const struct route_table *t, uint32_t addr, uint32_t bits)
{
	return slot_of(route_hash4(t->seed, addr, bits), t->n_slots4);
}

static inline uint32_t home6(const struct route_table *t, uint64_t hi, uint64_t lo, uint32_t bits)
{
	return slot_of(route_hash6(t->seed, hi, lo, bits), t->n_slots6);
}

/* The slot of this key, or the empty one where it would be. */
static inline struct slot4 *find4(const struct route_table *t, uint32_t addr, uint32_t bits)
{
	struct slot4 *slot = &t->slots4[home4(t, addr, bits)];

	while (slot->owner && (slot->addr != addr || slot->bits != bits))
		if (++slot == t->slots4 + t->n_slots4)
			slot = t->slots4;
	return slot;
}

static inline struct slot6 *find6(
	const struct route_table *t, uint64_t hi, uint64_t lo, uint32_t bits)
{
	struct slot6 *slot = &t->slots6[home6(t, hi, lo, bits)];

	while (slot->owner && (slot->lo != lo || slot->hi != hi || slot->bits != bits))
		if (++slot == t->slots6 + t->n_slots6)
			slot = t->slots6;
	return slot;
}

/* ---- building ---- */

static void table_add(struct route_table *t, const struct wgh_prefix *p, struct peer *owner)
{
	if (p->addr.family == WGH_IPV4) {
		const uint32_t addr = addr4(&p->addr);
		*find4(t, addr, p->bits) = (struct slot4){addr, p->bits, owner};
		return;
	}

	const uint64_t hi = addr6(p->addr.bytes), lo = addr6(p->addr.bytes + 8);

	*find6(t, hi, lo, p->bits) = (struct slot6){hi, lo, owner, p->bits};
}

/* n ones from the left; n may be 0 to 64. */
static uint64_t ones(unsigned n)
{
	return n ? ~UINT64_C(0) << (64 - n) : 0;
}

static void table_lengths(struct route_table *t, const uint32_t n4[33], const uint32_t n6[129])
{
	for (unsigned bits = 33; bits-- > 0;)
		if (n4[bits])
			t->lengths4[t->n_lengths4++] =
				(struct length4){(uint32_t)(ones(bits) >> 32), bits};
	for (unsigned bits = 129; bits-- > 0;)
		if (n6[bits])
			t->lengths6[t->n_lengths6++] = (struct length6){
				ones(bits < 64 ? bits : 64), ones(bits < 64 ? 0 : bits - 64), bits};
}

/* Zeroed, from the start of a cache line. A set holds so few entries that nothing here overflows.
 */
static void *slots_new(const struct route_set *set, size_t n, size_t slot_bytes)
{
	void *slots = mem_new_lines(route_budget(set), n * slot_bytes);

	if (slots)
		memset(slots, 0, n * slot_bytes);
	return slots;
}

struct route_table *route_table_new(const struct route_set *set)
{
	struct route_table *t = mem_new(route_budget(set), 1, sizeof *t);
	uint32_t n4[33] = {0}, n6[129] = {0};
	struct wgh_prefix p;
	struct peer *owner;

	if (!t)
		return NULL;
	t->seed = route_seed(set);
	for (size_t cursor = 0; route_next(set, &cursor, &p, &owner);) {
		const bool v4 = p.addr.family == WGH_IPV4;
		v4 ? n4[p.bits]++ : n6[p.bits]++;
		*(v4 ? &t->n_slots4 : &t->n_slots6) += 2; /* half stay empty */
	}
	table_lengths(t, n4, n6);
	t->slots4 = slots_new(set, t->n_slots4, sizeof *t->slots4);
	t->slots6 = slots_new(set, t->n_slots6, sizeof *t->slots6);
	if (!t->slots4 || !t->slots6) {
		route_table_free(t);
		return NULL;
	}
	for (size_t cursor = 0; route_next(set, &cursor, &p, &owner);)
		table_add(t, &p, owner);
	return t;
}

void route_table_free(struct route_table *table)
{
	if (!table)
		return;
	mem_free(table->slots4);
	mem_free(table->slots6);
	mem_free(table);
}

/* ---- the packet path ---- */

struct peer *route_lookup(const struct route_table *table, const struct wgh_addr *addr)
{
	if (addr->family == WGH_IPV4) {
		const uint32_t a = addr4(addr);
		for (uint32_t i = 0; i < table->n_lengths4; i++) {
			const struct length4 *len = &table->lengths4[i];
			struct peer *owner = find4(table, a & len->mask, len->bits)->owner;
			if (owner)
				return owner;
		}
		return NULL;
	}
	if (addr->family != WGH_IPV6)
		return NULL;

	const uint64_t hi = addr6(addr->bytes), lo = addr6(addr->bytes + 8);

	for (uint32_t i = 0; i < table->n_lengths6; i++) {
		const struct length6 *len = &table->lengths6[i];
		struct peer *owner = find6(table, hi & len->hi, lo & len->lo, len->bits)->owner;
		if (owner)
			return owner;
	}
	return NULL;
}

bool route_owner_is(
	const struct route_table *table, const struct wgh_addr *src, const struct peer *peer)
{
	return peer && route_lookup(table, src) == peer;
}
