/* wanted.h - the wanted set: which peers the hub should have, who asked for each, and who was
 * refused.
 *
 * Origins put in claims, each its whole list at a time. wanted_resolve() makes the set of them: a
 * pure function of the claims, the rules and who holds what at present. Identity is the public key;
 * a name is a label, so a name that comes with another key is another peer and the old one goes.
 * Devices and clients own exactly one address, whatever anybody asks. Where two want one address or
 * one key, the present holder stays and the newcomer is refused, with both names; among newcomers:
 * wg, client, device, then the lower name. A peer made by hand whose key somebody writes into a
 * file becomes the file's. Then:
 *
 *	wanted_claim_*(); wanted_resolve(); wanted_sync(); wgh_device_apply(); wanted_applied()
 *
 * Threads: one at a time per object. Cost: sorts, n log n; about 200 bytes per peer. Errors:
 * -ENOMEM, and then nothing has changed. Text in it comes from outside: text_escape() before
 * printing.
 */
#ifndef CONTROL_WANTED_H
#define CONTROL_WANTED_H

#include "control/clients_file.h"
#include "control/factory_json.h"
#include "control/state.h"
#include "control/sync.h"

struct wanted;

struct wanted_rules {
	struct wgh_public_key own_key;
	bool has_own_key;
	struct wgh_addr hub; /* server_address; WGH_UNSPEC: not known yet */
	/* Addresses of this host's interfaces. Borrowed for the call, as ranges. */
	const struct wgh_addr *local;
	size_t n_local;
	/* Where devices and clients may live. None: the 9999 addresses after hub (those that fioctl
	 * hands out) as far as they are private or shared space. */
	const struct wgh_prefix *ranges;
	size_t n_ranges;
};

struct wanted_peer {
	struct wgh_public_key public_key;
	enum origin origin;
	const char *name; /* "" if none */
	const struct wgh_prefix *prefixes; /* devices and clients: exactly one /32 */
	size_t n_prefixes;
	struct wgh_endpoint endpoint; /* where it was last time */
};

enum refusal_reason {
	REFUSED_NOTHING,
	REFUSED_ITEM, /* the source's own words are wrong: text says how */
	REFUSED_KEY_ZERO,
	REFUSED_KEY_OWN, /* the hub's */
	REFUSED_KEY_TAKEN,
	REFUSED_ADDRESS_UNUSABLE, /* not IPv4 unicast, or ends in .0 */
	REFUSED_ADDRESS_HUB,
	REFUSED_ADDRESS_LOCAL, /* of one of this host's interfaces */
	REFUSED_ADDRESS_RANGE,
	REFUSED_ADDRESS_TAKEN,
};

struct wanted_refusal {
	enum refusal_reason reason;
	enum origin origin, other_origin;
	struct wgh_public_key public_key;
	struct wgh_prefix prefix; /* bits 0 and WGH_UNSPEC: none */
	const char *name;
	const char *other_name; /* KEY_TAKEN, ADDRESS_TAKEN: who holds it; or NULL */
	const char *text; /* REFUSED_ITEM; or NULL */
	bool is_new; /* not refused for the same reason by the resolve before: warn now */
};

/* NULL: no memory. */
MUST_CHECK struct wanted *wanted_new(void);
void wanted_free(struct wanted *w);
MUST_CHECK int wanted_set_rules(struct wanted *w, const struct wanted_rules *rules);

/* ---- claims: each call replaces all of its origin ---- */

/* Enabled devices; the addresses of disabled ones are only kept from being given to clients.
 * peers NULL withdraws all. */
MUST_CHECK int wanted_claim_factory(struct wanted *w, const struct factory_peers *peers);
MUST_CHECK int wanted_claim_clients(struct wanted *w, const struct clients *clients);
/* What runs and was never applied from here: peers made by hand. They hold what they have. */
MUST_CHECK int wanted_claim_running(struct wanted *w, const struct wgh_snapshot *running);
/* At the start: devices and clients as they were saved, as claims and as present holders. */
MUST_CHECK int wanted_restore(struct wanted *w, const struct state *state);

/* ---- the set ---- */

MUST_CHECK int wanted_resolve(struct wanted *w);
/* All valid until the next wanted_resolve(). Peers are sorted by key. */
const struct wanted_peer *wanted_peers(const struct wanted *w, size_t *n);
const struct wanted_refusal *wanted_refusals(const struct wanted *w, size_t *n);
const struct wanted_peer *wanted_find(const struct wanted *w, const struct wgh_public_key *key);
/* Who owns exactly this address, or NULL. */
const struct wanted_peer *wanted_find_addr(const struct wanted *w, const struct wgh_addr *addr);
/* "address_taken" of REFUSED_ADDRESS_TAKEN, and so on: for programs. NULL past the last. */
const char *refusal_name(enum refusal_reason reason);
/* One line for people: who, what, why, who else. */
#define REFUSAL_CHARS 400
void wanted_refusal_text(char out[REFUSAL_CHARS], const struct wanted_refusal *refusal);

/* Is it the address of a disabled device, which may be enabled again? */
MUST_CHECK bool wanted_is_reserved(const struct wanted *w, const struct wgh_addr *addr);
/* Would this newcomer be accepted beside the present set? For `client add` and `wg set`. *refusal
 * borrows name and the set's strings. */
MUST_CHECK bool wanted_would_accept(const struct wanted *w, enum origin origin, const char *name,
	const struct wgh_public_key *key, const struct wgh_addr *address,
	struct wanted_refusal *refusal);
/* Keeps an address from being given to anybody; NULL or WGH_UNSPEC: none any more. Who claims it
 * all the same gets it. */
void wanted_reserve(struct wanted *w, const struct wgh_addr *addr);
/* Does it belong to nobody, not even to a disabled device? */
MUST_CHECK bool wanted_is_free(const struct wanted *w, const struct wgh_addr *addr);
/* Every address that is owned or reserved; free() it. For factory_alloc.h. */
MUST_CHECK int wanted_taken(const struct wanted *w, struct wgh_addr **taken, size_t *n);

/* ---- to the device ---- */

/* What must change for the device to be the set, for these origins (ORIGIN_BIT()s; not ORIGIN_WG).
 * Empty where nothing does. sync_fini() it. */
MUST_CHECK int wanted_sync(const struct wanted *w, unsigned origins,
	const struct wgh_snapshot *running, struct sync *sync);
/* The device has taken it: these peers are now running for their origins. */
MUST_CHECK int wanted_applied(struct wanted *w, unsigned origins);
/* Whose running peer this is, by what was applied. arg is a struct wanted: a sync_origin_fn. */
enum origin wanted_origin_of(void *arg, const struct wgh_public_key *key);

/* The set and the endpoints of those that run, for state_save(). state_fini() it. */
MUST_CHECK int wanted_to_state(
	const struct wanted *w, const struct wgh_snapshot *running, struct state *state);

/* ---- an answer that lacks too much ---- */

/* More than half of at least 4 devices gone at once, or any from an answer that was no plain array:
 * believed when a second answer, an interval later, wants the same. A zeroed struct is unarmed. */
struct vanish_guard {
	bool armed;
	double since_s;
	uint64_t seed, set; /* what that answer wanted, as a sum of hashes */
};

/* False: keep what there is and ask again in an interval. now_s: any clock that only goes forward.
 */
MUST_CHECK bool vanish_guard_accepts(struct vanish_guard *guard, const struct wanted *w,
	const struct factory_peers *answer, double now_s, double interval_s);

#endif
