/* fragment.h - the later fragments of a datagram go where its first went.
 *
 * Only the first fragment has ports, so it is decided like a whole packet and what was decided is
 * kept for the others: by sender, addresses, protocol and identification. A fragment that comes
 * before its first is dropped (hosts send the first one first, and a tunnel keeps the order of one
 * pair of peers). Fragments that overlap, repeat each other or leave more than 8 gaps end the
 * datagram: nothing of it passes from then on. Fragments of several sources behind one address get
 * identifications that are unique there.
 *
 * Threads: any worker, a spin lock for each of 256 rows. Memory: 4,096 datagrams, 0.8 MiB,
 * allocated at once and touched as used. A sender has at most 8 unfinished datagrams, then his
 * oldest is given up; in a full row (16) the sender with the most loses. 30 s without its end is
 * too long. Source: RFC 791, 8200 section 4.5, 5722 (overlaps), 6864 (identification).
 */
#ifndef CORE_FRAGMENT_H
#define CORE_FRAGMENT_H

#include "core/mem.h"
#include "core/limits.h"
#include "core/nat.h"

#define FRAGMENT_TIMEOUT_NS (30 * NS_PER_S)

struct fragment_table;

/* What was decided for the first fragment. */
struct fragment_way {
	struct flow_party to;
	struct nat_edit edit; /* if translated */
	bool translated;
	bool renumbered; /* its identification becomes id */
	uint32_t id;
};

/* seed: random and secret; budget may be NULL. NULL: no memory. */
MUST_CHECK struct fragment_table *fragment_table_new(
	const uint64_t seed[2], struct mem_budget *budget);
void fragment_table_free(struct fragment_table *table);

/* For a first fragment (info->fragment and info->first_fragment), as it came: keeps *way. If
 * way->renumbered, chooses way->id. DROP_FRAGMENT_OVERLAP: a second first one. DROP_INNER_HEADER:
 * lengths no fragment has. */
enum drop fragment_first(struct fragment_table *table, const uint8_t *packet,
	const struct ip_info *info, struct flow_party from, struct fragment_way *way,
	uint64_t now_ns);
/* For the others. DROP_FRAGMENT: the first did not come or was dropped, or too long ago. */
enum drop fragment_later(struct fragment_table *table, const uint8_t *packet,
	const struct ip_info *info, struct flow_party from, struct fragment_way *way,
	uint64_t now_ns);
/* Writes way->id if it is renumbered. For every fragment, first or later. */
void fragment_renumber(uint8_t *packet, const struct ip_info *info, const struct fragment_way *way);

#endif
