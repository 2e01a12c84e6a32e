/* policy_plan.c - see policy_plan.h.
 *
 * A line without protocol and peers only says what the table may say as well, and the table costs
 * the data path nothing. But the table is asked after all rules. So lines go to the table from the
 * last one upwards, each over what later lines wrote, as long as no later line that stayed a rule
 * is about one of its pairs. */
#include "control/policy_ends.h"

#include "control/error.h"
#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct maker {
	struct ends_finder finder;
	const struct policy_file *file;
	const struct policy_world *world;
	struct policy_plan *plan;
	uint32_t *own; /* of each peer: bits of the file's groups */
	uint8_t *base; /* of each peer */
	uint32_t kept[WGH_GROUPS_MAX]; /* pairs that rules are about: bits of [from] */
	struct wgh_error *error;
};

static unsigned line_number(const struct maker *m, unsigned line)
{
	return m->file->lines[line].number;
}

/* ---- groups become classes ---- */

static int take_member(struct maker *m, const struct policy_member *member)
{
	struct ends ends = {0};
	int err = ends_find_peers(&m->finder, &ends, &member->who);
	char text[POLICY_WHO_CHARS];

	policy_who_text(text, m->file, &member->who);
	if (!err && ends.n_peers == 0)
		ends_note(&m->finder, member->line,
			"there is no peer %s yet; the line counts when there is one", text);
	for (size_t i = 0; !err && i < ends.n_peers; i++) {
		size_t peer = ends.peers[i];

		if (member->is_own)
			m->own[peer] |= 1u << member->group;
		else if (m->base[peer] == WGH_GROUP_PEER)
			m->base[peer] = (uint8_t)member->group;
		else if (m->base[peer] != member->group)
			ends_note(&m->finder, member->line,
				m->base[peer] == WGH_GROUP_DEVICE ? "%s is a device already"
								  : "%s is a client already",
				text);
	}
	ends_fini(&ends);
	return err;
}

/* The number of this class, made if need be; -E2BIG. */
static int class_of(struct policy_plan *plan, enum wgh_group base, uint32_t own)
{
	unsigned i = 0;

	while (i < plan->n_classes &&
		(plan->classes[i].base != base || plan->classes[i].own != own))
		i++;
	if (i == WGH_GROUPS_MAX)
		return -E2BIG;
	if (i == plan->n_classes)
		plan->classes[plan->n_classes++] = (struct policy_class){base, own};
	return (int)i;
}

static int make_classes(struct maker *m)
{
	int err = 0;

	for (unsigned i = 0; i < WGH_GROUP_FIRST_FREE; i++)
		m->plan->classes[m->plan->n_classes++] = (struct policy_class){i, 0};
	for (size_t i = 0; i < m->world->n_peers; i++)
		m->base[i] = (uint8_t)m->world->peers[i].group;
	for (size_t i = 0; !err && m->file && i < m->file->n_members; i++)
		err = take_member(m, &m->file->members[i]);
	for (size_t i = 0; !err && i < m->world->n_peers; i++) {
		int class = class_of(m->plan, m->base[i], m->own[i]);

		if (class < 0) {
			error_set(m->error,
				"peers are in more than %d different combinations of groups; make "
				"fewer groups overlap",
				WGH_GROUPS_MAX);
			return class;
		}
		m->plan->settings[i] = policy_default_setting(m->base[i]);
		m->plan->settings[i].group = (uint8_t) class;
	}
	return err;
}

struct policy_setting policy_default_setting(enum wgh_group group)
{
	return (struct policy_setting){.group = (uint8_t)group,
		.nat = group == WGH_GROUP_DEVICE ? WGH_NAT_AUTO : WGH_NAT_NEVER};
}

/* ---- nat: the first line that fits ---- */

static int make_nat(struct maker *m)
{
	for (size_t i = m->file->n_nats; i-- > 0;) {
		const struct policy_nat *nat = &m->file->nats[i];
		struct ends ends;
		int err = ends_find(&m->finder, &ends, &nat->who, nat->line, true);

		for (size_t j = 0; !err && j < m->world->n_peers; j++) {
			if (ends.any || ends.classes >> m->plan->settings[j].group & 1)
				m->plan->settings[j].nat = (uint8_t)nat->nat;
		}
		for (size_t j = 0; !err && j < ends.n_peers; j++)
			m->plan->settings[ends.peers[j]].nat = (uint8_t)nat->nat;
		ends_fini(&ends);
		if (err)
			return err;
	}
	return 0;
}

/* ---- rules ---- */

static void base_table(struct policy_plan *plan)
{
	struct wgh_policy builtin;

	wgh_policy_defaults(&builtin);
	for (unsigned i = 0; i < WGH_GROUPS_MAX; i++) {
		for (unsigned j = 0; j < WGH_GROUPS_MAX; j++) {
			plan->table_lines[i][j] = POLICY_BY_DEFAULT;
			plan->policy.table[i][j] = WGH_DENY;
			if (i < plan->n_classes && j < plan->n_classes)
				plan->policy.table[i][j] =
					builtin.table[plan->classes[i].base][plan->classes[j].base];
		}
	}
}

static bool fits_table(const struct maker *m, const struct policy_rule *rule,
	const struct ends *from, const struct ends *to)
{
	if (rule->proto || from->n_peers || to->n_peers || from->key || to->key)
		return false;
	for (unsigned i = 0; i < WGH_GROUPS_MAX; i++) {
		if (from->touched >> i & 1 && m->kept[i] & to->touched)
			return false;
	}
	return true;
}

static void write_table(struct policy_plan *plan, const struct policy_rule *rule,
	const struct ends *from, const struct ends *to)
{
	for (unsigned i = 0; i < WGH_GROUPS_MAX; i++) {
		for (unsigned j = 0; j < WGH_GROUPS_MAX; j++) {
			if (!(from->touched >> i & 1) || !(to->touched >> j & 1))
				continue;
			plan->policy.table[i][j] = (uint8_t)rule->verdict;
			plan->table_lines[i][j] = (uint16_t)rule->line;
		}
	}
}

/* Rules are collected from the last to the first and turned round at the end. */
static int push_rule(struct maker *m, const struct wgh_rule *rule, unsigned line)
{
	struct policy_plan *plan = m->plan;

	if (plan->policy.n_rules == WGH_RULES_MAX) {
		error_set(m->error,
			"%s:%u: more than %d rules after names and groups were taken apart; make "
			"groups of the names",
			m->file->path, line_number(m, line), WGH_RULES_MAX);
		return -E2BIG;
	}
	plan->rules[plan->policy.n_rules] = *rule;
	plan->rule_lines[plan->policy.n_rules++] = (uint16_t)line;
	return 0;
}

static int keep_rule(struct maker *m, const struct policy_rule *rule, const struct ends *from,
	const struct ends *to)
{
	struct wgh_rule out = {.proto = rule->proto,
		.verdict = (uint8_t)rule->verdict,
		.port_first = rule->port_first,
		.port_last = rule->port_last};
	int err = 0;

	for (unsigned i = 0; i < WGH_GROUPS_MAX; i++) {
		if (from->touched >> i & 1)
			m->kept[i] |= to->touched;
	}
	for (size_t i = 0; !err && ends_party(&out.from, &m->finder, from, i); i++) {
		for (size_t j = 0; !err && ends_party(&out.to, &m->finder, to, j); j++)
			err = push_rule(m, &out, rule->line);
	}
	return err;
}

static int take_rule(struct maker *m, const struct policy_rule *rule)
{
	bool deny = rule->verdict == WGH_DENY;
	struct ends from, to = {0};
	int err = ends_find(&m->finder, &from, &rule->from, rule->line, deny);

	if (!err)
		err = ends_find(&m->finder, &to, &rule->to, rule->line, deny);
	if (!err && fits_table(m, rule, &from, &to))
		write_table(m->plan, rule, &from, &to);
	else if (!err)
		err = keep_rule(m, rule, &from, &to);
	ends_fini(&from);
	ends_fini(&to);
	return err;
}

static void turn_round(struct policy_plan *plan)
{
	for (size_t i = 0, j = plan->policy.n_rules; i + 1 < j; i++) {
		struct wgh_rule rule = plan->rules[--j];
		uint16_t line = plan->rule_lines[j];

		plan->rules[j] = plan->rules[i];
		plan->rule_lines[j] = plan->rule_lines[i];
		plan->rules[i] = rule;
		plan->rule_lines[i] = line;
	}
}

static int make_rules(struct maker *m)
{
	int err = 0;

	for (size_t i = m->file->n_rules; !err && i-- > 0;)
		err = take_rule(m, &m->file->rules[i]);
	turn_round(m->plan);
	return err;
}

/* ---- forwards ---- */

static bool is_own_addr(const struct policy_world *world, const struct wgh_addr *addr)
{
	for (size_t i = 0; i < world->n_addresses; i++) {
		if (!memcmp(&world->addresses[i].addr, addr, sizeof *addr))
			return true;
	}
	return false;
}

static int push_forwards(struct maker *m, const struct policy_forward *forward,
	const struct ends *from, const struct ends *to)
{
	struct wgh_forward out = {
		.proto = forward->proto, .port = forward->port, .to_port = forward->to_port};
	struct wgh_party target;

	if (!ends_party(&target, &m->finder, to, 0))
		return 0;
	out.to = target.peer;
	for (size_t i = 0; ends_party(&out.from, &m->finder, from, i); i++) {
		struct policy_plan *plan = m->plan;

		if (plan->policy.n_forwards == WGH_FORWARDS_MAX) {
			error_set(m->error, "%s:%u: more than %d forwards; make groups",
				m->file->path, line_number(m, forward->line), WGH_FORWARDS_MAX);
			return -E2BIG;
		}
		plan->forwards[plan->policy.n_forwards] = out;
		plan->forward_lines[plan->policy.n_forwards++] = (uint16_t)forward->line;
	}
	return 0;
}

static int take_forward(struct maker *m, const struct policy_forward *forward)
{
	struct ends from, to = {0};
	char addr[TEXT_ADDR_CHARS];
	int err;

	if (forward->addr.family != WGH_UNSPEC && !is_own_addr(m->world, &forward->addr)) {
		text_from_addr(addr, &forward->addr);
		ends_note(&m->finder, forward->line,
			"%s is not the hub's own address; the line does not count", addr);
		return 0;
	}
	err = ends_find(&m->finder, &from, &forward->from, forward->line, false);
	if (!err)
		err = ends_find(&m->finder, &to, &forward->to, forward->line, false);
	if (!err)
		err = push_forwards(m, forward, &from, &to);
	ends_fini(&from);
	ends_fini(&to);
	return err;
}

/* ---- the rest ---- */

/* True if it may be used. */
static bool check_probe(struct maker *m, const struct wgh_addr *probe)
{
	const struct policy_who who = {.kind = WHO_ADDR, .addr = *probe};
	char text[TEXT_ADDR_CHARS];

	if (!is_own_addr(m->world, probe) && policy_find_peer(m->world, &who) < 0)
		return true;
	text_from_addr(text, probe);
	notes_add(&m->plan->notes, "%s: probe-address %s is somebody's; choose an unused one",
		m->file->path, text);
	return false;
}

static void take_probes(struct maker *m)
{
	const struct policy_file *file = m->file;
	struct wgh_policy *policy = &m->plan->policy;

	if (m->world->spare.family == WGH_IPV4 && !file->probe_off)
		policy->probe4 = m->world->spare;
	if (file->probe4.family != WGH_UNSPEC && check_probe(m, &file->probe4))
		policy->probe4 = file->probe4;
	if (file->probe6.family != WGH_UNSPEC && check_probe(m, &file->probe6))
		policy->probe6 = file->probe6;
}

static void take_settings(struct maker *m)
{
	const struct policy_file *file = m->file;
	struct wgh_policy *policy = &m->plan->policy;

	policy->clamp_mss = file->clamp_mss;
	if (file->log_flows_said)
		policy->log_flows = file->log_flows;
	if (file->nat_port_first) {
		policy->nat_port_first = file->nat_port_first;
		policy->nat_port_last = file->nat_port_last;
	}
	if (file->flows_max)
		policy->flows_max = file->flows_max;
	if (file->flows_per_peer_max)
		policy->flows_per_peer_max = file->flows_per_peer_max;
	if (policy->flows_per_peer_max > policy->flows_max)
		policy->flows_per_peer_max = policy->flows_max;
}

/* Those of nat and rules were found from the last line to the first. */
static void turn_notes(struct notes *notes, size_t first)
{
	for (size_t i = first, j = notes->n; i + 1 < j; i++) {
		char *line = notes->lines[--j];

		notes->lines[j] = notes->lines[i];
		notes->lines[i] = line;
	}
}

static int fill(struct maker *m)
{
	int err = make_classes(m);
	size_t n_notes;

	if (err)
		return err;
	base_table(m->plan);
	m->plan->policy.log_flows = m->world->log_flows;
	if (!m->file) {
		m->plan->policy.probe4 = m->world->spare;
		return 0;
	}
	n_notes = m->plan->notes.n;
	err = make_nat(m);
	if (!err)
		err = make_rules(m);
	turn_notes(&m->plan->notes, n_notes);
	for (size_t i = 0; !err && i < m->file->n_forwards; i++)
		err = take_forward(m, &m->file->forwards[i]);
	take_probes(m);
	take_settings(m);
	return err;
}

int policy_plan_make(struct policy_plan **out, const struct policy_file *file,
	const struct policy_world *world, struct wgh_error *error)
{
	struct policy_plan *plan = calloc(1, sizeof *plan);
	struct maker m = {.file = file, .world = world, .plan = plan, .error = error};
	int err = -ENOMEM;

	*out = NULL;
	error_set(error, "out of memory");
	if (!plan)
		return err;
	wgh_policy_defaults(&plan->policy);
	plan->n_settings = world->n_peers;
	plan->settings = calloc(world->n_peers + 1, sizeof *plan->settings);
	plan->rules = calloc(WGH_RULES_MAX, sizeof *plan->rules);
	plan->rule_lines = calloc(WGH_RULES_MAX, sizeof *plan->rule_lines);
	plan->forwards = calloc(WGH_FORWARDS_MAX, sizeof *plan->forwards);
	plan->forward_lines = calloc(WGH_FORWARDS_MAX, sizeof *plan->forward_lines);
	plan->policy.rules = plan->rules;
	plan->policy.forwards = plan->forwards;
	m.own = calloc(world->n_peers + 1, sizeof *m.own);
	m.base = calloc(world->n_peers + 1, sizeof *m.base);
	if (plan->settings && plan->rules && plan->rule_lines && plan->forwards &&
		plan->forward_lines && m.own && m.base &&
		!ends_finder_init(&m.finder, file, world, plan))
		err = fill(&m);
	free(m.own);
	free(m.base);
	ends_finder_fini(&m.finder);
	if (err)
		policy_plan_free(plan);
	else
		*out = plan;
	return err;
}

void policy_plan_free(struct policy_plan *plan)
{
	if (!plan)
		return;
	free(plan->settings);
	free(plan->rules);
	free(plan->rule_lines);
	free(plan->forwards);
	free(plan->forward_lines);
	notes_fini(&plan->notes);
	free(plan);
}

bool policy_plan_equal(const struct policy_plan *a, const struct policy_plan *b)
{
	const struct wgh_policy *x = &a->policy, *y = &b->policy;

	return !memcmp(x->table, y->table, sizeof x->table) && x->n_rules == y->n_rules &&
		!memcmp(x->rules, y->rules, x->n_rules * sizeof *x->rules) &&
		x->n_forwards == y->n_forwards &&
		!memcmp(x->forwards, y->forwards, x->n_forwards * sizeof *x->forwards) &&
		x->nat_port_first == y->nat_port_first && x->nat_port_last == y->nat_port_last &&
		!memcmp(&x->probe4, &y->probe4, sizeof x->probe4) &&
		!memcmp(&x->probe6, &y->probe6, sizeof x->probe6) && x->flows_max == y->flows_max &&
		x->flows_per_peer_max == y->flows_per_peer_max && x->clamp_mss == y->clamp_mss;
}

void policy_class_text(char out[POLICY_CLASS_CHARS], const struct policy_plan *plan,
	const struct policy_file *file, unsigned class)
{
	size_t n;

	if (class >= plan->n_classes) {
		snprintf(out, POLICY_CLASS_CHARS, "(unknown)");
		return;
	}
	n = (size_t)snprintf(
		out, POLICY_CLASS_CHARS, "%s", policy_group_name(plan->classes[class].base));
	for (size_t i = 0; file && i < file->n_groups && n < POLICY_CLASS_CHARS; i++) {
		if (plan->classes[class].own >> i & 1)
			n += (size_t)snprintf(
				out + n, POLICY_CLASS_CHARS - n, ", %s", file->groups[i]);
	}
}
