/* fragment.c - see fragment.h. A row of 16 places for each hash of the sender, so that what one
 * sender does reaches no further than his row, and there no further than his share. A datagram's
 * ranges are kept as few joined intervals: fragments in order are one that grows. Costs: a look at
 * up to 16 keys under the row's lock. Allocates in fragment_table_new() only.
 */
#include "core/fragment.h"

#include "core/be.h"
#include "core/route_hash.h"
#include "core/spin.h"
#include "core/time.h"

#include <string.h>

#define ROWS 256u
#define PLACES 16u
#define PLACES_PER_SENDER 8u
#define RANGES 8u
#define DATAGRAM_BYTES_MAX 65535u
#define IPV6_HEADER_BYTES 40u

struct fragment_key {
	uint8_t src[16], dst[16];
	uint32_t id;
	uint8_t family, proto, zero[2];
	struct flow_party from;
};
_Static_assert(sizeof(struct fragment_key) == 48, "no padding");

struct range {
	uint32_t from, to; /* bytes of the datagram's payload; to is the first that is missing */
};

struct datagram {
	struct fragment_key key;
	struct fragment_way way;
	uint64_t began_ns;
	struct range ranges[RANGES]; /* disjoint, in order, not touching */
	uint32_t n_ranges;
	uint32_t end; /* where it ends; 0: not known yet */
	bool used, dead;
};

struct row {
	struct spin lock;
	struct datagram places[PLACES];
};

struct fragment_table {
	uint64_t seed[2];
	_Atomic uint32_t ids[ROWS]; /* the last identification, by destination */
	struct row rows[ROWS];
};

/* What the headers of one fragment say. */
struct fragment {
	struct fragment_key key;
	struct range range;
	bool more;
};

struct fragment_table *fragment_table_new(const uint64_t seed[2], struct mem_budget *budget)
{
	struct fragment_table *table = mem_new(budget, 1, sizeof *table);

	if (!table)
		return NULL;
	memcpy(table->seed, seed, sizeof table->seed);
	for (uint32_t i = 0; i < ROWS; i++) /* nobody guesses where they begin */
		relaxed_set(&table->ids[i], (uint32_t)route_mix(seed[1] + i));
	return table;
}

void fragment_table_free(struct fragment_table *table)
{
	mem_free(table);
}

/* ---- headers ---- */

/* The fragment header's place. ip_parse() has walked this chain already, and found all of it. */
static uint32_t ipv6_fragment_header(const uint8_t *packet, uint32_t end)
{
	enum { FRAGMENT = 44, AUTH = 51 };
	uint32_t at = IPV6_HEADER_BYTES;
	uint8_t next = packet[6];

	while (next != FRAGMENT && at + 8 <= end) {
		const uint8_t *header = packet + at;

		at += next == AUTH ? (header[1] + 2u) * 4 : (header[1] + 1u) * 8;
		next = header[0];
	}
	return next == FRAGMENT && at + 8 <= end ? at : 0;
}

static bool fragment_read(struct fragment *f, const uint8_t *packet, const struct ip_info *info,
	struct flow_party from)
{
	const bool v4 = info->src.family == WGH_IPV4;
	uint32_t offset, bytes, at;

	*f = (struct fragment){
		.key = {.family = info->src.family, .proto = info->proto, .from = from}};
	memcpy(f->key.src, info->src.bytes, sizeof f->key.src);
	memcpy(f->key.dst, info->dst.bytes, sizeof f->key.dst);
	if (v4) {
		f->key.id = be16_get(packet + 4);
		offset = (be16_get(packet + 6) & 0x1fff) * 8;
		f->more = packet[6] & 0x20;
		bytes = info->len_bytes - info->l4_offset;
	} else {
		at = ipv6_fragment_header(packet, info->len_bytes);
		if (!at)
			return false;
		/* Later fragments repeat the first one's next header, but need not: RFC 8200. */
		f->key.proto = 0;
		f->key.id = be16_get(packet + at + 4) << 16 | be16_get(packet + at + 6);
		offset = be16_get(packet + at + 2) & 0xfff8;
		f->more = packet[at + 3] & 1;
		bytes = info->len_bytes - at - 8;
	}
	f->range = (struct range){offset, offset + bytes};
	return bytes && f->range.to <= DATAGRAM_BYTES_MAX && !(f->more && bytes % 8);
}

/* ---- ranges ---- */

/* False: it overlaps, lies behind the end, or leaves too many gaps. */
static bool datagram_add(struct datagram *d, const struct fragment *f)
{
	const struct range new = f->range;
	uint32_t i = 0, n = d->n_ranges;

	while (i < n && d->ranges[i].to < new.from)
		i++;
	if (!f->more) {
		if (d->end || (n && d->ranges[n - 1].to > new.to))
			return false;
		d->end = new.to;
	} else if (d->end && new.to > d->end) {
		return false;
	}
	/* ranges[i] is the first that reaches new's beginning. */
	if (i < n && d->ranges[i].to == new.from) {
		if (i + 1 < n && d->ranges[i + 1].from < new.to)
			return false;
		d->ranges[i].to = new.to;
		if (i + 1 < n && d->ranges[i + 1].from == new.to) {
			d->ranges[i].to = d->ranges[i + 1].to;
			memmove(&d->ranges[i + 1], &d->ranges[i + 2],
				(n - i - 2) * sizeof d->ranges[0]);
			d->n_ranges--;
		}
		return true;
	}
	if (i < n && d->ranges[i].from < new.to)
		return false;
	if (i < n && d->ranges[i].from == new.to) {
		d->ranges[i].from = new.from;
		return true;
	}
	if (n == RANGES)
		return false;
	memmove(&d->ranges[i + 1], &d->ranges[i], (n - i) * sizeof d->ranges[0]);
	d->ranges[i] = new;
	d->n_ranges++;
	return true;
}

static bool datagram_is_whole(const struct datagram *d)
{
	return d->end && d->n_ranges == 1 && !d->ranges[0].from && d->ranges[0].to == d->end;
}

/* ---- places ---- */

static struct row *row_of(struct fragment_table *table, struct flow_party from)
{
	return &table->rows[route_mix(table->seed[0] ^ from.slot) % ROWS];
}

static bool is_live(const struct datagram *d, uint64_t now_ns)
{
	return d->used && time_since(now_ns, d->began_ns) < FRAGMENT_TIMEOUT_NS;
}

static struct datagram *find(struct row *row, const struct fragment_key *key, uint64_t now_ns)
{
	for (struct datagram *d = row->places; d < row->places + PLACES; d++)
		if (is_live(d, now_ns) && !memcmp(&d->key, key, sizeof *key))
			return d;
	return NULL;
}

static uint32_t count_of(const struct row *row, struct flow_party from, uint64_t now_ns)
{
	uint32_t n = 0;

	for (const struct datagram *d = row->places; d < row->places + PLACES; d++)
		n += is_live(d, now_ns) && flow_party_is(d->key.from, from);
	return n;
}

static struct datagram *oldest_of(struct row *row, struct flow_party from, uint64_t now_ns)
{
	struct datagram *oldest = NULL;

	for (struct datagram *d = row->places; d < row->places + PLACES; d++)
		if (is_live(d, now_ns) && flow_party_is(d->key.from, from) &&
			(!oldest || d->began_ns < oldest->began_ns))
			oldest = d;
	return oldest;
}

/* A place for a new datagram of this sender; somebody may lose his. */
static struct datagram *place_for(struct row *row, struct flow_party from, uint64_t now_ns)
{
	struct flow_party greediest = from;
	uint32_t most = count_of(row, from, now_ns);

	if (most >= PLACES_PER_SENDER)
		return oldest_of(row, from, now_ns);
	for (struct datagram *d = row->places; d < row->places + PLACES; d++) {
		uint32_t n;

		if (!is_live(d, now_ns))
			return d;
		n = count_of(row, d->key.from, now_ns);
		if (n > most) {
			most = n;
			greediest = d->key.from;
		}
	}
	return oldest_of(row, greediest, now_ns);
}

/* ---- the two questions ---- */

enum drop fragment_first(struct fragment_table *table, const uint8_t *packet,
	const struct ip_info *info, struct flow_party from, struct fragment_way *way,
	uint64_t now_ns)
{
	struct row *row = row_of(table, from);
	struct fragment f;
	struct datagram *d;
	enum drop drop = DROP_NONE;

	if (!fragment_read(&f, packet, info, from) || f.range.from)
		return DROP_INNER_HEADER;
	spin_lock(&row->lock);
	d = find(row, &f.key, now_ns);
	if (d) {
		d->dead = true;
		drop = DROP_FRAGMENT_OVERLAP;
	} else {
		if (way->renumbered) {
			const uint8_t *dst = way->translated ? way->edit.dst : info->dst.bytes;
			uint64_t words[2];

			memcpy(words, dst, sizeof words);
			way->id = 1 +
				relaxed_add(
					&table->ids[route_mix(words[0] +
							    route_mix(words[1] ^ table->seed[1])) %
						ROWS],
					1);
		}
		d = place_for(row, from, now_ns);
		*d = (struct datagram){.key = f.key,
			.way = *way,
			.began_ns = now_ns,
			.ranges = {f.range},
			.n_ranges = 1,
			.end = f.more ? 0 : f.range.to,
			.used = true};
	}
	spin_unlock(&row->lock);
	return drop;
}

enum drop fragment_later(struct fragment_table *table, const uint8_t *packet,
	const struct ip_info *info, struct flow_party from, struct fragment_way *way,
	uint64_t now_ns)
{
	struct row *row = row_of(table, from);
	enum drop drop = DROP_NONE;
	struct datagram *d;
	struct fragment f;

	if (!fragment_read(&f, packet, info, from) || !f.range.from)
		return DROP_INNER_HEADER;
	spin_lock(&row->lock);
	d = find(row, &f.key, now_ns);
	if (!d) {
		drop = DROP_FRAGMENT;
	} else if (d->dead || !datagram_add(d, &f)) {
		d->dead = true;
		drop = DROP_FRAGMENT_OVERLAP;
	} else {
		*way = d->way;
		if (datagram_is_whole(d))
			d->used = false;
	}
	spin_unlock(&row->lock);
	return drop;
}

void fragment_renumber(uint8_t *packet, const struct ip_info *info, const struct fragment_way *way)
{
	uint32_t at;

	if (!way->renumbered)
		return;
	if (info->src.family == WGH_IPV4) {
		ip_identify(packet, (uint16_t)way->id);
		return;
	}
	at = ipv6_fragment_header(packet, info->len_bytes);
	if (at)
		for (unsigned i = 0; i < 4; i++)
			packet[at + 4 + i] = (uint8_t)(way->id >> (24 - 8 * i));
}
