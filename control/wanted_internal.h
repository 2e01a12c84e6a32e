/* wanted_internal.h - what the files of wanted.h share. For nobody else. */
#ifndef CONTROL_WANTED_INTERNAL_H
#define CONTROL_WANTED_INTERNAL_H

#include "control/wanted.h"

/* What an origin asks for: a peer that may yet be refused. */
struct claim {
	struct wgh_public_key public_key;
	enum origin origin;
	char *name;
	struct wgh_prefix one; /* what prefixes points to where there is one */
	const struct wgh_prefix *prefixes;
	size_t n_prefixes;
	struct wgh_endpoint endpoint;
	const char *item_error; /* static, or NULL */
};

struct claims {
	struct claim *items;
	size_t n;
	struct wgh_prefix *pool; /* prefixes of those that have several, or NULL */
};

/* Who owns a prefix, sorted by prefix. */
struct owner {
	struct wgh_prefix prefix; /* masked */
	uint32_t peer; /* index in the set */
};

struct set {
	struct wanted_peer *peers; /* sorted by key; names and prefixes are in the two below */
	size_t n_peers;
	struct wanted_refusal *refusals; /* sorted by key, reason, prefix, name */
	size_t n_refusals;
	char *names;
	struct wgh_prefix *prefixes;
	struct owner *owners;
	size_t n_owners;
};

/* A peer that the device has, by what was applied. */
struct applied {
	struct wgh_public_key public_key;
	enum origin origin;
};

struct wanted {
	struct wanted_rules rules; /* local and ranges are copies */
	struct claims claims[N_ORIGINS];
	struct wgh_addr *reserved; /* of disabled devices */
	size_t n_reserved;
	struct wgh_addr kept; /* for nobody, see wanted_reserve() */
	struct set set;
	struct applied *applied; /* sorted by key */
	size_t n_applied;
};

/* Is the claim refused whatever the others want? Fills reason and text. */
bool wanted_breaks_rules(const struct wanted_rules *rules, const struct claim *claim,
	struct wanted_refusal *refusal);
/* The owner of exactly this prefix, or NULL. */
const struct owner *set_find_owner(const struct set *set, const struct wgh_prefix *prefix);
const struct wanted_peer *set_find(const struct set *set, const struct wgh_public_key *key);
/* A set of these claims and refusals, which are sorted here; everything is copied. -ENOMEM. */
MUST_CHECK int set_build(struct set *set, const struct claim **accepted, size_t n_accepted,
	struct wanted_refusal *refusals, size_t n_refusals);
void set_fini(struct set *set);

#endif
