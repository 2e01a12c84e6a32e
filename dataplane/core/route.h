/* route.h - allowed_ips: which peer owns an inner address.
 *
 * Two halves. A struct route_set is what the control side edits: every prefix with its owner. From
 * it route_table_new() makes a struct route_table, which never changes and is published whole;
 * workers look up in it without a lock. Longest prefix wins over all peers. The hub's own addresses
 * are in the same table with the owner ROUTE_SELF, so one look-up answers "whose is it"; subnet
 * broadcast addresses have ROUTE_BROADCAST, the addresses that probes come from ROUTE_PROBE.
 *
 * Shapes: addresses in network byte order, prefix length in bits. Source: paper, section 2.
 * Threads: look-ups from any worker, no lock; changes from the control thread only.
 * Ownership: borrows owners: remove a peer's routes and publish a new table before freeing it.
 * Cost: one hash probe for each prefix length in use, longest first: one for a table of hosts only.
 * Flat memory: 32 bytes per IPv4 and 64 per IPv6 prefix in the table; 60 to 110 in the set, by how
 * full its arrays are. 100,000 hosts build in 5 ms and answer in 11 ns (IPv4) to 50 ns (IPv6) on
 * one core of an AMD EPYC, everything else idle.
 */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

#include "core/mem.h"
#include "wghub.h"

struct peer; /* the route code never looks inside */

#define ROUTE_SELF ((struct peer *)1)
#define ROUTE_BROADCAST ((struct peer *)2)
#define ROUTE_PROBE ((struct peer *)3)
static inline bool route_is_peer(const struct peer *owner)
{
	return (uintptr_t)owner > 3;
}

struct route_set;
struct route_table;

/* seed keys the hash tables; random. NULL: no memory. */
MUST_CHECK struct route_set *route_set_new(uint64_t seed, struct mem_budget *budget);
void route_set_free(struct route_set *set);
/* An independent copy, so that a change set can be tried and thrown away. NULL: no memory. */
MUST_CHECK struct route_set *route_set_copy(const struct route_set *set);

/* Takes the prefix over if another owner held it: *before gets that owner, or NULL if it is new or
 * already this owner's (then it keeps its place among them); before may be NULL. Host bits are
 * masked. -EINVAL: too many bits, bad family or no owner; -ENOMEM: nothing changed. */
MUST_CHECK int route_insert(struct route_set *set, const struct wgh_prefix *prefix,
	struct peer *owner, struct peer **before);
/* Removes the prefix if this owner holds it; true if so. */
bool route_remove(struct route_set *set, const struct wgh_prefix *prefix, const struct peer *owner);
/* Removes all prefixes of an owner. Cost: the owner's own prefixes only. */
void route_remove_owner(struct route_set *set, const struct peer *owner);
size_t route_count(const struct route_set *set);
/* One owner's prefixes, oldest first: start with *cursor = 0; false at the end. A cursor dies when
 * the set changes. */
bool route_next_of(const struct route_set *set, const struct peer *owner, size_t *cursor,
	struct wgh_prefix *prefix);

/* All prefixes, in no order; the cursor as above. */
bool route_next(const struct route_set *set, size_t *cursor, struct wgh_prefix *prefix,
	struct peer **owner);

/* NULL: no memory. */
MUST_CHECK struct route_table *route_table_new(const struct route_set *set);
void route_table_free(struct route_table *table);

/* The owner of the most specific prefix that covers addr: a peer, ROUTE_SELF, ROUTE_BROADCAST,
 * ROUTE_PROBE, or NULL. */
struct peer *route_lookup(const struct route_table *table, const struct wgh_addr *addr);
/* True only if the most specific prefix covering src is this peer's. The only check of inner
 * sources. */
bool route_owner_is(
	const struct route_table *table, const struct wgh_addr *src, const struct peer *peer);

#endif
