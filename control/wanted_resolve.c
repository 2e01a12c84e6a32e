/* wanted_resolve.c - from claims to the set of wanted.h. Three sieves, each over what the one
 * before left: the rules (which need no other claim), the keys, the addresses. Everything is
 * decided by sorting, so that the order of an answer's items changes nothing. */
#include "control/wanted_internal.h"

#include "control/factory_alloc.h"
#include "control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- rules ---- */

static uint32_t ipv4(const struct wgh_addr *addr)
{
	const uint8_t *b = addr->bytes;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* One host's: not 0/8, loopback, multicast or above, and not what looks like a network. .255 is
 * one, because fioctl hands it out. */
static bool is_usable(const struct wgh_addr *addr)
{
	const uint8_t *b = addr->bytes;

	return addr->family == WGH_IPV4 && b[0] != 0 && b[0] != 127 && b[0] < 224 && b[3] != 0;
}

static bool is_in_range(const struct wanted_rules *rules, const struct wgh_prefix *prefix)
{
	uint32_t after;

	for (size_t i = 0; i < rules->n_ranges; i++) {
		if (text_prefix_covers(&rules->ranges[i], prefix))
			return true;
	}
	if (rules->n_ranges || !text_is_private(&prefix->addr))
		return false;
	if (rules->hub.family != WGH_IPV4)
		return true;
	after = ipv4(&prefix->addr) - ipv4(&rules->hub);
	return after >= 1 && after <= FACTORY_ALLOC_SPAN;
}

static enum refusal_reason address_breaks(
	const struct wanted_rules *rules, const struct wgh_prefix *prefix)
{
	if (!is_usable(&prefix->addr))
		return REFUSED_ADDRESS_UNUSABLE;
	if (!memcmp(&prefix->addr, &rules->hub, sizeof rules->hub))
		return REFUSED_ADDRESS_HUB;
	for (size_t i = 0; i < rules->n_local; i++) {
		if (!memcmp(&prefix->addr, &rules->local[i], sizeof prefix->addr))
			return REFUSED_ADDRESS_LOCAL;
	}
	return is_in_range(rules, prefix) ? REFUSED_NOTHING : REFUSED_ADDRESS_RANGE;
}

bool wanted_breaks_rules(
	const struct wanted_rules *rules, const struct claim *claim, struct wanted_refusal *refusal)
{
	static const struct wgh_public_key zero;
	bool one_address = claim->origin == ORIGIN_FACTORY || claim->origin == ORIGIN_CLIENTS;

	refusal->reason = REFUSED_NOTHING;
	if (claim->origin == ORIGIN_WG)
		return false; /* it runs already, whatever we think of it */
	if (claim->item_error) {
		refusal->reason = REFUSED_ITEM;
		refusal->text = claim->item_error;
	} else if (!memcmp(&claim->public_key, &zero, sizeof zero)) {
		refusal->reason = REFUSED_KEY_ZERO;
	} else if (rules->has_own_key &&
		!memcmp(&claim->public_key, &rules->own_key, sizeof zero)) {
		refusal->reason = REFUSED_KEY_OWN;
	} else if (one_address) {
		refusal->reason = address_breaks(rules, &claim->one);
	}
	return refusal->reason != REFUSED_NOTHING;
}

/* ---- who comes first ---- */

/* Of newcomers: what people wrote before what devices say. */
static int newcomer_order(const struct claim *a, const struct claim *b)
{
	static const int ranks[N_ORIGINS] = {
		[ORIGIN_WG] = 0, [ORIGIN_CLIENTS] = 1, [ORIGIN_FACTORY] = 2};
	int order = ranks[a->origin] - ranks[b->origin];

	if (!order)
		order = strcmp(a->name, b->name);
	if (!order)
		order = memcmp(&a->public_key, &b->public_key, sizeof a->public_key);
	return order ? order : memcmp(&a->one, &b->one, sizeof a->one);
}

/* A claim on its way, with how well it holds the key or the addresses it asks for; 0 is best. */
struct contender {
	const struct claim *claim;
	int rank;
};

static bool same_prefixes(const struct claim *claim, const struct wanted_peer *holder)
{
	return claim->n_prefixes == holder->n_prefixes &&
		(claim->n_prefixes == 0 ||
			!memcmp(claim->prefixes, holder->prefixes,
				claim->n_prefixes * sizeof *claim->prefixes));
}

/* Does the key belong to this claim now? Best the same name and address, then the same name, the
 * same address, the same origin. Of newcomers a file that people wrote comes before the peer that
 * somebody made by hand, so that a line in it adopts that peer; a device's word does not. */
static int key_rank(const struct set *now, const struct claim *claim)
{
	static const int newcomers[N_ORIGINS] = {
		[ORIGIN_CLIENTS] = 4, [ORIGIN_WG] = 5, [ORIGIN_FACTORY] = 6};
	const struct wanted_peer *holder = set_find(now, &claim->public_key);

	if (!holder || holder->origin != claim->origin || claim->origin == ORIGIN_WG)
		return newcomers[claim->origin];
	return (strcmp(holder->name, claim->name) ? 2 : 0) + !same_prefixes(claim, holder);
}

/* And its addresses: by its key, which decides; or by its name, so that a device with a new key
 * keeps its address before a stranger gets it. */
static int address_rank(const struct set *now, const struct claim *claim)
{
	int rank = claim->n_prefixes ? 0 : 2;

	for (size_t i = 0; i < claim->n_prefixes; i++) {
		const struct owner *owner = set_find_owner(now, &claim->prefixes[i]);
		const struct wanted_peer *holder = owner ? &now->peers[owner->peer] : NULL;

		if (!holder && claim->origin == ORIGIN_WG)
			continue; /* it runs, so it holds */
		if (!holder)
			return 2;
		if (!memcmp(&holder->public_key, &claim->public_key, sizeof claim->public_key))
			continue;
		if (holder->origin != claim->origin || !*claim->name ||
			strcmp(holder->name, claim->name))
			return 2;
		rank = 1;
	}
	return rank;
}

static int by_key_and_rank(const void *a, const void *b)
{
	const struct contender *x = a, *y = b;
	int order =
		memcmp(&x->claim->public_key, &y->claim->public_key, sizeof x->claim->public_key);

	if (!order)
		order = x->rank - y->rank;
	return order ? order : newcomer_order(x->claim, y->claim);
}

static int by_rank(const void *a, const void *b)
{
	const struct contender *x = a, *y = b;

	return x->rank != y->rank ? x->rank - y->rank : newcomer_order(x->claim, y->claim);
}

/* ---- the sieves ---- */

struct work {
	const struct wanted *w;
	struct contender *in; /* those still in */
	size_t n_in;
	struct wanted_refusal *refusals; /* room for all */
	size_t n_refusals;
};

static void refuse(struct work *work, const struct claim *claim,
	const struct wanted_refusal *refusal, const struct claim *other)
{
	struct wanted_refusal *r = &work->refusals[work->n_refusals++];

	*r = *refusal;
	r->origin = claim->origin;
	r->public_key = claim->public_key;
	r->name = claim->name;
	if (r->prefix.addr.family == WGH_UNSPEC && claim->n_prefixes)
		r->prefix = claim->prefixes[0];
	if (other) {
		r->other_name = other->name;
		r->other_origin = other->origin;
	}
}

static void sieve_rules(struct work *work)
{
	for (unsigned origin = 0; origin < N_ORIGINS; origin++) {
		const struct claims *claims = &work->w->claims[origin];

		for (size_t i = 0; i < claims->n; i++) {
			struct wanted_refusal why = {0};

			if (wanted_breaks_rules(&work->w->rules, &claims->items[i], &why))
				refuse(work, &claims->items[i], &why, NULL);
			else
				work->in[work->n_in++].claim = &claims->items[i];
		}
	}
}

static void sieve_keys(struct work *work)
{
	const struct wanted_refusal why = {.reason = REFUSED_KEY_TAKEN};
	const struct claim *winner = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < work->n_in; i++)
		work->in[i].rank = key_rank(&work->w->set, work->in[i].claim);
	qsort(work->in, work->n_in, sizeof *work->in, by_key_and_rank);
	for (size_t i = 0; i < work->n_in; i++) {
		const struct claim *claim = work->in[i].claim;

		if (winner &&
			!memcmp(&winner->public_key, &claim->public_key,
				sizeof claim->public_key)) {
			/* A running peer that a file has adopted is refused nothing. */
			if (claim->origin != ORIGIN_WG)
				refuse(work, claim, &why, winner);
			continue;
		}
		winner = claim;
		work->in[kept++] = work->in[i];
	}
	work->n_in = kept;
}

static int compare_owners(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;

	return memcmp(&x->prefix, &y->prefix, sizeof x->prefix);
}

#define NOBODY UINT32_MAX

/* Every prefix that anybody in the list asks for, once, without an owner. */
static struct owner *list_prefixes(size_t *n, const struct work *work)
{
	size_t n_all = 0, kept = 0;
	struct owner *owners;

	for (size_t i = 0; i < work->n_in; i++)
		n_all += work->in[i].claim->n_prefixes;
	owners = calloc(n_all + 1, sizeof *owners);
	if (!owners)
		return NULL;
	n_all = 0;
	for (size_t i = 0; i < work->n_in; i++) {
		const struct claim *claim = work->in[i].claim;

		for (size_t j = 0; j < claim->n_prefixes; j++) {
			owners[n_all] = (struct owner){claim->prefixes[j], NOBODY};
			text_prefix_mask(&owners[n_all++].prefix);
		}
	}
	qsort(owners, n_all, sizeof *owners, compare_owners);
	for (size_t i = 0; i < n_all; i++) {
		if (kept == 0 || compare_owners(&owners[kept - 1], &owners[i]))
			owners[kept++] = owners[i];
	}
	*n = kept;
	return owners;
}

static struct owner *find_owner(struct owner *owners, size_t n, const struct wgh_prefix *prefix)
{
	struct owner key = {.prefix = *prefix};

	text_prefix_mask(&key.prefix);
	return n ? bsearch(&key, owners, n, sizeof *owners, compare_owners) : NULL;
}

/* One after the other, the best first: whoever finds all that it asks for free takes it. */
static int sieve_addresses(struct work *work)
{
	size_t n_owners, kept = 0;
	struct owner *owners = list_prefixes(&n_owners, work);

	if (!owners)
		return -ENOMEM;
	for (size_t i = 0; i < work->n_in; i++)
		work->in[i].rank = address_rank(&work->w->set, work->in[i].claim);
	qsort(work->in, work->n_in, sizeof *work->in, by_rank);
	for (size_t i = 0; i < work->n_in; i++) {
		const struct claim *claim = work->in[i].claim;
		struct wanted_refusal why = {.reason = REFUSED_NOTHING};
		uint32_t other = NOBODY;

		for (size_t j = 0; j < claim->n_prefixes && other == NOBODY; j++) {
			other = find_owner(owners, n_owners, &claim->prefixes[j])->peer;
			why.prefix = claim->prefixes[j];
		}
		if (other != NOBODY) {
			why.reason = REFUSED_ADDRESS_TAKEN;
			refuse(work, claim, &why, work->in[other].claim);
			continue;
		}
		for (size_t j = 0; j < claim->n_prefixes; j++)
			find_owner(owners, n_owners, &claim->prefixes[j])->peer = (uint32_t)kept;
		work->in[kept++] = work->in[i];
	}
	work->n_in = kept;
	free(owners);
	return 0;
}

/* ---- the set ---- */

const struct owner *set_find_owner(const struct set *set, const struct wgh_prefix *prefix)
{
	return find_owner(set->owners, set->n_owners, prefix);
}

static int compare_peers(const void *a, const void *b)
{
	const struct wanted_peer *x = a, *y = b;

	return memcmp(&x->public_key, &y->public_key, sizeof x->public_key);
}

const struct wanted_peer *set_find(const struct set *set, const struct wgh_public_key *key)
{
	const struct wanted_peer wanted = {.public_key = *key};

	return set->n_peers
		? bsearch(&wanted, set->peers, set->n_peers, sizeof *set->peers, compare_peers)
		: NULL;
}

static int compare_refusals(const void *a, const void *b)
{
	const struct wanted_refusal *x = a, *y = b;
	int order = memcmp(&x->public_key, &y->public_key, sizeof x->public_key);

	if (!order)
		order = (int)x->reason - (int)y->reason;
	if (!order)
		order = memcmp(&x->prefix, &y->prefix, sizeof x->prefix);
	return order ? order : strcmp(x->name, y->name);
}

void set_fini(struct set *set)
{
	free(set->peers);
	free(set->refusals);
	free(set->names);
	free(set->prefixes);
	free(set->owners);
	*set = (struct set){0};
}

static size_t name_room(const char *name)
{
	return name ? strlen(name) + 1 : 0;
}

/* Copies to *at, which goes on behind it. */
static const char *keep_name(char **at, const char *name)
{
	const char *kept = *at;

	if (!name)
		return NULL;
	*at = stpcpy(*at, name) + 1;
	return kept;
}

static int set_allocate(struct set *s, const struct claim **accepted, size_t n_accepted,
	const struct wanted_refusal *refusals, size_t n_refusals)
{
	size_t names = 1, prefixes = 0;

	for (size_t i = 0; i < n_accepted; i++) {
		names += name_room(accepted[i]->name);
		prefixes += accepted[i]->n_prefixes;
	}
	for (size_t i = 0; i < n_refusals; i++)
		names += name_room(refusals[i].name) + name_room(refusals[i].other_name);
	*s = (struct set){.peers = calloc(n_accepted + 1, sizeof *s->peers),
		.refusals = calloc(n_refusals + 1, sizeof *s->refusals),
		.names = malloc(names),
		.prefixes = calloc(prefixes + 1, sizeof *s->prefixes),
		.owners = calloc(prefixes + 1, sizeof *s->owners)};
	if (s->peers && s->refusals && s->names && s->prefixes && s->owners)
		return 0;
	set_fini(s);
	return -ENOMEM;
}

static void index_owners(struct set *s)
{
	for (size_t i = 0; i < s->n_peers; i++) {
		for (size_t j = 0; j < s->peers[i].n_prefixes; j++) {
			struct owner *owner = &s->owners[s->n_owners++];

			*owner = (struct owner){s->peers[i].prefixes[j], (uint32_t)i};
			text_prefix_mask(&owner->prefix);
		}
	}
	qsort(s->owners, s->n_owners, sizeof *s->owners, compare_owners);
}

int set_build(struct set *set, const struct claim **accepted, size_t n_accepted,
	struct wanted_refusal *refusals, size_t n_refusals)
{
	size_t n_prefixes = 0;
	struct set s;
	char *at;

	if (set_allocate(&s, accepted, n_accepted, refusals, n_refusals))
		return -ENOMEM;
	at = s.names;
	for (size_t i = 0; i < n_accepted; i++) {
		const struct claim *claim = accepted[i];

		s.peers[s.n_peers++] = (struct wanted_peer){.public_key = claim->public_key,
			.origin = claim->origin,
			.name = keep_name(&at, claim->name),
			.prefixes = s.prefixes + n_prefixes,
			.n_prefixes = claim->n_prefixes,
			.endpoint = claim->endpoint};
		for (size_t j = 0; j < claim->n_prefixes; j++)
			s.prefixes[n_prefixes++] = claim->prefixes[j];
	}
	qsort(s.peers, s.n_peers, sizeof *s.peers, compare_peers);
	index_owners(&s);
	for (size_t i = 0; i < n_refusals; i++) {
		s.refusals[i] = refusals[i];
		s.refusals[i].name = keep_name(&at, refusals[i].name);
		s.refusals[i].other_name = keep_name(&at, refusals[i].other_name);
	}
	s.n_refusals = n_refusals;
	qsort(s.refusals, s.n_refusals, sizeof *s.refusals, compare_refusals);
	*set = s;
	return 0;
}

/* From the set before: where peers were, and which refusals have been told already. */
static void carry_over(struct set *fresh, const struct set *before)
{
	for (size_t i = 0; i < fresh->n_peers; i++) {
		struct wanted_peer *peer = &fresh->peers[i];
		const struct wanted_peer *then = set_find(before, &peer->public_key);

		if (then && peer->endpoint.family == WGH_UNSPEC)
			peer->endpoint = then->endpoint;
	}
	for (size_t i = 0; i < fresh->n_refusals; i++)
		fresh->refusals[i].is_new = !before->n_refusals ||
			!bsearch(&fresh->refusals[i], before->refusals, before->n_refusals,
				sizeof *before->refusals, compare_refusals);
}

int wanted_resolve(struct wanted *w)
{
	const struct claim **accepted = NULL;
	struct work work = {.w = w};
	struct set fresh;
	size_t n = 0;
	int err = -ENOMEM;

	for (unsigned i = 0; i < N_ORIGINS; i++)
		n += w->claims[i].n;
	work.in = calloc(n + 1, sizeof *work.in);
	work.refusals = calloc(n + 1, sizeof *work.refusals);
	accepted = calloc(n + 1, sizeof *accepted);
	if (!work.in || !work.refusals || !accepted)
		goto out;
	sieve_rules(&work);
	sieve_keys(&work);
	if (sieve_addresses(&work))
		goto out;
	for (size_t i = 0; i < work.n_in; i++)
		accepted[i] = work.in[i].claim;
	err = set_build(&fresh, accepted, work.n_in, work.refusals, work.n_refusals);
	if (err)
		goto out;
	carry_over(&fresh, &w->set);
	set_fini(&w->set);
	w->set = fresh;
out:
	free(accepted);
	free(work.refusals);
	free(work.in);
	return err;
}
