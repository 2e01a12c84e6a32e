/* wanted.c - see wanted.h: claims going in, and questions about the set. How the set is made is in
 * wanted_resolve.c, what becomes of it in wanted_sync.c. */
#include "control/wanted.h"
#include "control/wanted_internal.h"

#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* n zeroed claims. NULL: no memory. */
MUST_CHECK static struct claim *claims_new(size_t n)
{
	return calloc(n + 1, sizeof(struct claim));
}

static void claims_fini(struct claims *claims)
{
	for (size_t i = 0; i < claims->n; i++)
		free(claims->items[i].name);
	free(claims->items);
	free(claims->pool);
	*claims = (struct claims){0};
}

struct wanted *wanted_new(void)
{
	return calloc(1, sizeof(struct wanted));
}

void wanted_free(struct wanted *w)
{
	if (!w)
		return;
	for (unsigned i = 0; i < N_ORIGINS; i++)
		claims_fini(&w->claims[i]);
	set_fini(&w->set);
	free((void *)w->rules.local);
	free((void *)w->rules.ranges);
	free(w->reserved);
	free(w->applied);
	free(w);
}

/* NULL and 0 give a copy, too. */
static void *copy_array(const void *items, size_t n, size_t item_bytes)
{
	void *copy = calloc(n + 1, item_bytes);

	if (copy && n)
		memcpy(copy, items, n * item_bytes);
	return copy;
}

int wanted_set_rules(struct wanted *w, const struct wanted_rules *rules)
{
	struct wgh_addr *local = copy_array(rules->local, rules->n_local, sizeof *local);
	struct wgh_prefix *ranges = copy_array(rules->ranges, rules->n_ranges, sizeof *ranges);

	if (!local || !ranges) {
		free(local);
		free(ranges);
		return -ENOMEM;
	}
	free((void *)w->rules.local);
	free((void *)w->rules.ranges);
	w->rules = *rules;
	w->rules.local = local;
	w->rules.ranges = ranges;
	return 0;
}

/* ---- claims ---- */

static void set_one_prefix(struct claim *claim, const struct wgh_addr *addr)
{
	claim->one =
		(struct wgh_prefix){.addr = *addr, .bits = addr->family == WGH_IPV6 ? 128 : 32};
	claim->prefixes = &claim->one;
	claim->n_prefixes = addr->family != WGH_UNSPEC;
}

/* A claim more in a list that has room. */
static int add_claim(struct claims *claims, enum origin origin, const struct wgh_public_key *key,
	const char *name, const struct wgh_addr *addr)
{
	struct claim *claim = &claims->items[claims->n];

	*claim = (struct claim){
		.public_key = *key, .origin = origin, .name = strdup(name ? name : "")};
	if (!claim->name)
		return -ENOMEM;
	if (addr)
		set_one_prefix(claim, addr);
	claims->n++;
	return 0;
}

static int replace_claims(struct wanted *w, enum origin origin, struct claims *fresh, int err)
{
	if (err) {
		claims_fini(fresh);
		return err;
	}
	claims_fini(&w->claims[origin]);
	w->claims[origin] = *fresh;
	return 0;
}

int wanted_claim_factory(struct wanted *w, const struct factory_peers *peers)
{
	size_t n = peers ? peers->n : 0, n_reserved = 0;
	struct claims fresh = {.items = claims_new(n)};
	struct wgh_addr *reserved = calloc(n + 1, sizeof *reserved);
	int err = fresh.items && reserved ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < n; i++) {
		const struct factory_peer *p = &peers->items[i];

		if (!p->enabled) {
			if (p->address.family != WGH_UNSPEC)
				reserved[n_reserved++] = p->address;
			continue;
		}
		err = add_claim(&fresh, ORIGIN_FACTORY, &p->public_key, p->name, &p->address);
		if (!err)
			fresh.items[fresh.n - 1].item_error = p->refused;
	}
	err = replace_claims(w, ORIGIN_FACTORY, &fresh, err);
	if (err) {
		free(reserved);
		return err;
	}
	free(w->reserved);
	w->reserved = reserved;
	w->n_reserved = n_reserved;
	return 0;
}

int wanted_claim_clients(struct wanted *w, const struct clients *clients)
{
	struct claims fresh = {.items = claims_new(clients->n)};
	int err = fresh.items ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < clients->n; i++) {
		const struct client *c = &clients->items[i];

		err = add_claim(&fresh, ORIGIN_CLIENTS, &c->public_key, c->name, &c->address);
	}
	return replace_claims(w, ORIGIN_CLIENTS, &fresh, err);
}

int wanted_claim_running(struct wanted *w, const struct wgh_snapshot *running)
{
	struct claims fresh = {.items = claims_new(running->n_peers)};
	size_t n_prefixes = 0;
	int err;

	for (size_t i = 0; i < running->n_peers; i++)
		n_prefixes += running->peers[i].n_allowed_ips;
	fresh.pool = calloc(n_prefixes + 1, sizeof *fresh.pool);
	err = fresh.items && fresh.pool ? 0 : -ENOMEM;
	n_prefixes = 0;
	for (size_t i = 0; !err && i < running->n_peers; i++) {
		const struct wgh_peer_view *view = &running->peers[i];
		struct claim *claim = &fresh.items[fresh.n];

		if (wanted_origin_of(w, &view->public_key) != ORIGIN_WG)
			continue;
		err = add_claim(&fresh, ORIGIN_WG, &view->public_key, "", NULL);
		if (err)
			break;
		claim->prefixes = fresh.pool + n_prefixes;
		claim->n_prefixes = view->n_allowed_ips;
		for (size_t j = 0; j < view->n_allowed_ips; j++)
			fresh.pool[n_prefixes++] = view->allowed_ips[j];
	}
	return replace_claims(w, ORIGIN_WG, &fresh, err);
}

/* What was saved becomes claims, and a set in which everybody holds what they had. */
static int restore(struct claims *factory, struct claims *clients, struct wgh_addr *reserved,
	size_t *n_reserved, struct set *set, const struct state *state)
{
	const struct claim **all = calloc(state->n_peers + 1, sizeof *all);
	size_t n = 0;
	int err = all ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < state->n_peers; i++) {
		const struct state_peer *p = &state->peers[i];
		struct claims *claims = p->origin == ORIGIN_FACTORY ? factory : clients;

		if (p->reserved) {
			reserved[(*n_reserved)++] = p->address;
			continue;
		}
		if (p->origin != ORIGIN_FACTORY && p->origin != ORIGIN_CLIENTS)
			continue;
		err = add_claim(claims, p->origin, &p->public_key, p->name, &p->address);
		if (err)
			break;
		claims->items[claims->n - 1].endpoint = p->endpoint;
		all[n++] = &claims->items[claims->n - 1];
	}
	if (!err)
		err = set_build(set, all, n, NULL, 0);
	free(all);
	return err;
}

int wanted_restore(struct wanted *w, const struct state *state)
{
	struct claims factory = {.items = claims_new(state->n_peers)};
	struct claims clients = {.items = claims_new(state->n_peers)};
	struct wgh_addr *reserved = calloc(state->n_peers + 1, sizeof *reserved);
	size_t n_reserved = 0;
	struct set set = {0};
	int err = -ENOMEM;

	if (factory.items && clients.items && reserved)
		err = restore(&factory, &clients, reserved, &n_reserved, &set, state);
	if (err) {
		claims_fini(&factory);
		claims_fini(&clients);
		free(reserved);
		return err;
	}
	IGNORE_RESULT(replace_claims(w, ORIGIN_FACTORY, &factory, 0)); /* cannot fail with 0 */
	IGNORE_RESULT(replace_claims(w, ORIGIN_CLIENTS, &clients, 0));
	free(w->reserved);
	w->reserved = reserved;
	w->n_reserved = n_reserved;
	set_fini(&w->set);
	w->set = set;
	return 0;
}

/* ---- questions ---- */

const struct wanted_peer *wanted_peers(const struct wanted *w, size_t *n)
{
	*n = w->set.n_peers;
	return w->set.peers;
}

const struct wanted_refusal *wanted_refusals(const struct wanted *w, size_t *n)
{
	*n = w->set.n_refusals;
	return w->set.refusals;
}

const struct wanted_peer *wanted_find(const struct wanted *w, const struct wgh_public_key *key)
{
	return set_find(&w->set, key);
}

const struct wanted_peer *wanted_find_addr(const struct wanted *w, const struct wgh_addr *addr)
{
	const struct wgh_prefix prefix = {
		.addr = *addr, .bits = addr->family == WGH_IPV6 ? 128 : 32};
	const struct owner *owner = set_find_owner(&w->set, &prefix);

	return owner ? &w->set.peers[owner->peer] : NULL;
}

bool wanted_is_reserved(const struct wanted *w, const struct wgh_addr *addr)
{
	for (size_t i = 0; i < w->n_reserved; i++) {
		if (!memcmp(&w->reserved[i], addr, sizeof *addr))
			return true;
	}
	return false;
}

bool wanted_would_accept(const struct wanted *w, enum origin origin, const char *name,
	const struct wgh_public_key *key, const struct wgh_addr *address,
	struct wanted_refusal *refusal)
{
	struct claim claim = {.public_key = *key, .origin = origin, .name = (char *)name};
	const struct wanted_peer *other;

	set_one_prefix(&claim, address);
	*refusal = (struct wanted_refusal){.origin = origin,
		.public_key = *key,
		.name = name,
		.prefix = claim.one,
		.is_new = true};
	if (wanted_breaks_rules(&w->rules, &claim, refusal))
		return false;
	other = wanted_find(w, key);
	if (other) {
		refusal->reason = REFUSED_KEY_TAKEN;
	} else {
		other = wanted_find_addr(w, address);
		if (!other)
			return true;
		refusal->reason = REFUSED_ADDRESS_TAKEN;
	}
	refusal->other_name = other->name;
	refusal->other_origin = other->origin;
	return false;
}

void wanted_reserve(struct wanted *w, const struct wgh_addr *addr)
{
	w->kept = addr ? *addr : (struct wgh_addr){.family = WGH_UNSPEC};
}

bool wanted_is_free(const struct wanted *w, const struct wgh_addr *addr)
{
	for (size_t i = 0; i < w->n_reserved; i++) {
		if (!memcmp(&w->reserved[i], addr, sizeof *addr))
			return false;
	}
	return !wanted_find_addr(w, addr);
}

int wanted_taken(const struct wanted *w, struct wgh_addr **taken, size_t *n)
{
	*n = 0;
	*taken = calloc(w->n_reserved + w->set.n_owners + 2, sizeof **taken);
	if (!*taken)
		return -ENOMEM;
	if (w->kept.family != WGH_UNSPEC)
		(*taken)[(*n)++] = w->kept;
	for (size_t i = 0; i < w->n_reserved; i++)
		(*taken)[(*n)++] = w->reserved[i];
	for (size_t i = 0; i < w->set.n_owners; i++) {
		const struct wgh_prefix *p = &w->set.owners[i].prefix;

		if (p->bits == (p->addr.family == WGH_IPV4 ? 32 : 128))
			(*taken)[(*n)++] = p->addr;
	}
	return 0;
}

/* ---- for people ---- */

static void say_who(char *out, size_t size, enum origin origin, const char *name,
	const struct wgh_public_key *key)
{
	static const char *const kinds[N_ORIGINS] = {
		[ORIGIN_FACTORY] = "device", [ORIGIN_CLIENTS] = "client", [ORIGIN_WG] = "peer"};
	char shown[100], peer[TEXT_PEER_CHARS];

	if (name && *name) {
		text_escape(shown, sizeof shown, name, strlen(name));
		snprintf(out, size, "%s \"%s\"", kinds[origin], shown);
	} else if (key) {
		text_from_peer(peer, key);
		snprintf(out, size, "%s %s", kinds[origin], peer);
	} else {
		snprintf(out, size, "a %s without a name", kinds[origin]);
	}
}

const char *refusal_name(enum refusal_reason reason)
{
	static const char *const names[] = {[REFUSED_NOTHING] = "nothing",
		[REFUSED_ITEM] = "item",
		[REFUSED_KEY_ZERO] = "key_zero",
		[REFUSED_KEY_OWN] = "key_own",
		[REFUSED_KEY_TAKEN] = "key_taken",
		[REFUSED_ADDRESS_UNUSABLE] = "address_unusable",
		[REFUSED_ADDRESS_HUB] = "address_hub",
		[REFUSED_ADDRESS_LOCAL] = "address_local",
		[REFUSED_ADDRESS_RANGE] = "address_range",
		[REFUSED_ADDRESS_TAKEN] = "address_taken"};

	return reason < sizeof names / sizeof *names ? names[reason] : NULL;
}

void wanted_refusal_text(char out[REFUSAL_CHARS], const struct wanted_refusal *r)
{
	char who[128], other[128], prefix[TEXT_PREFIX_CHARS] = "no address";

	say_who(who, sizeof who, r->origin, r->name, &r->public_key);
	say_who(other, sizeof other, r->other_origin, r->other_name, NULL);
	if (r->prefix.addr.family != WGH_UNSPEC)
		text_from_prefix(prefix, &r->prefix);
	switch (r->reason) {
	case REFUSED_NOTHING:
		snprintf(out, REFUSAL_CHARS, "%s is not refused", who);
		break;
	case REFUSED_ITEM:
		snprintf(out, REFUSAL_CHARS, "%s is refused: %s", who, r->text);
		break;
	case REFUSED_KEY_ZERO:
		snprintf(out, REFUSAL_CHARS, "%s is refused: its key is all zero", who);
		break;
	case REFUSED_KEY_OWN:
		snprintf(out, REFUSAL_CHARS, "%s is refused: its key is the hub's own", who);
		break;
	case REFUSED_KEY_TAKEN:
		snprintf(out, REFUSAL_CHARS, "%s is refused: %s has the same key", who, other);
		break;
	case REFUSED_ADDRESS_UNUSABLE:
		snprintf(out, REFUSAL_CHARS, "%s is refused: %s is no address for a host", who,
			prefix);
		break;
	case REFUSED_ADDRESS_HUB:
		snprintf(out, REFUSAL_CHARS, "%s is refused: %s is the hub's address", who, prefix);
		break;
	case REFUSED_ADDRESS_LOCAL:
		snprintf(out, REFUSAL_CHARS, "%s is refused: %s is an address of this host", who,
			prefix);
		break;
	case REFUSED_ADDRESS_RANGE:
		snprintf(out, REFUSAL_CHARS, "%s is refused: %s is outside the permitted range",
			who, prefix);
		break;
	case REFUSED_ADDRESS_TAKEN:
		snprintf(out, REFUSAL_CHARS, "%s is refused: %s holds %s", who, other, prefix);
		break;
	}
}
