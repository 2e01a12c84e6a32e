/* policy_plan.h - a policy file and the peers there are, to what the device is told: names become
 * keys, groups become the device's groups, rules become a table wherever they can.
 *
 * A peer's place decides its built-in group; groups of the file come on top: a rule about devices
 * holds for a device that is in the group lab, too. So each set of groups that peers are really in
 * is one group of the device, its *class*. Names that no peer has yet are noted, and count from the
 * next plan in which one has. Where several peers have one name, deny counts for all of them and
 * everything else for none. Threads: any; pure. Cost: sorts the names; rules times what they expand
 * to. Errors: -ENOMEM; -E2BIG, and *error says what is too much: the device keeps what it has.
 */
#ifndef CONTROL_POLICY_PLAN_H
#define CONTROL_POLICY_PLAN_H

#include "control/policy_file.h"

struct policy_peer {
	struct wgh_public_key public_key;
	const char *name; /* as in names.h, or NULL */
	const struct wgh_prefix *prefixes;
	size_t n_prefixes;
	enum wgh_group group; /* CLIENT, DEVICE; PEER: the file may say which of these it is */
};

struct policy_world {
	const struct policy_peer *peers;
	size_t n_peers;
	const struct wgh_prefix *addresses; /* the hub's own */
	size_t n_addresses;
	struct wgh_addr spare; /* an unused address, for probing where the file names none */
	bool log_flows; /* where the file does not say */
};

struct policy_class {
	enum wgh_group base;
	uint32_t own; /* bits: the file's groups */
};

/* What the device is told of a peer. */
struct policy_setting {
	uint8_t group; /* the class */
	uint8_t nat; /* enum wgh_nat */
};

#define POLICY_BY_DEFAULT UINT16_MAX /* no line of the file */

struct policy_plan {
	struct wgh_policy policy; /* points into the rest */
	struct wgh_rule *rules;
	uint16_t *rule_lines; /* index in the file's lines */
	struct wgh_forward *forwards;
	uint16_t *forward_lines;
	uint16_t table_lines[WGH_GROUPS_MAX][WGH_GROUPS_MAX]; /* whose word a cell is */
	struct policy_class classes[WGH_GROUPS_MAX];
	unsigned n_classes;
	struct policy_setting *settings; /* of the world's peers, in their order */
	size_t n_settings;
	struct notes notes; /* names nobody has, and the like */
};

/* file NULL: what is built in. free it with policy_plan_free(). */
MUST_CHECK int policy_plan_make(struct policy_plan **plan, const struct policy_file *file,
	const struct policy_world *world, struct wgh_error *error);
void policy_plan_free(struct policy_plan *plan);
/* Would the device be told the same? Peers' settings aside. */
MUST_CHECK bool policy_plan_equal(const struct policy_plan *a, const struct policy_plan *b);

/* "device", "device, lab": what a class is for people. */
#define POLICY_CLASS_CHARS 200
void policy_class_text(char out[POLICY_CLASS_CHARS], const struct policy_plan *plan,
	const struct policy_file *file, unsigned class);
/* Which peer that is: index in the world's peers; -ENOENT: none; -EEXIST: several. */
MUST_CHECK long policy_find_peer(const struct policy_world *world, const struct policy_who *who);
/* What a peer of a built-in group is told that no plan knows yet. */
struct policy_setting policy_default_setting(enum wgh_group group);

#endif
