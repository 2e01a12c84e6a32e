/* policy.c - see policy.h and wghub_policy.h. Nothing here knows packets or peers: a question names
 * groups, keys, protocol and port.
 */
#include "core/policy.h"

#include "core/ip.h"
#include "core/limits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool has_ports(uint8_t proto)
{
	return proto == IP_PROTO_TCP || proto == IP_PROTO_UDP;
}

/* ---- asking ---- */

static bool party_is(const struct wgh_party *party, const struct wgh_public_key *key, uint8_t group)
{
	switch ((enum wgh_party_kind)party->kind) {
	case WGH_PARTY_ANY:
		return true;
	case WGH_PARTY_GROUP:
		return party->group == group;
	case WGH_PARTY_PEER:
		return key && !memcmp(&party->peer, key, sizeof *key);
	}
	return false;
}

static bool rule_matches(const struct wgh_rule *rule, const struct wgh_policy_question *q)
{
	if (rule->proto && rule->proto != q->proto)
		return false;
	if (has_ports(rule->proto) && (q->port < rule->port_first || q->port > rule->port_last))
		return false;
	return party_is(&rule->from, q->from, q->from_group) &&
		party_is(&rule->to, q->to, q->to_group);
}

enum wgh_verdict wgh_policy_decide(const struct wgh_policy *policy,
	const struct wgh_policy_question *q, const struct wgh_rule **why)
{
	const struct wgh_rule *rule = NULL;
	enum wgh_verdict verdict = WGH_DENY;

	for (size_t i = 0; i < policy->n_rules && !rule; i++)
		if (rule_matches(&policy->rules[i], q))
			rule = &policy->rules[i];
	if (rule)
		verdict = rule->verdict;
	else if (q->from_group < WGH_GROUPS_MAX && q->to_group < WGH_GROUPS_MAX)
		verdict = policy->table[q->from_group][q->to_group];
	if (why)
		*why = rule;
	if (verdict == WGH_PING && q->proto > IP_PROTO_ICMP)
		return WGH_DENY;
	return verdict;
}

bool policy_forward_allows(
	const struct wgh_forward *forward, const struct wgh_public_key *from, uint8_t group)
{
	return party_is(&forward->from, from, group);
}

bool policy_names(const struct policy *policy, const uint8_t key[WGH_KEY_BYTES])
{
	struct wgh_public_key k;

	memcpy(k.bytes, key, sizeof k.bytes);
	for (size_t i = 0; i < policy->said.n_rules; i++) {
		const struct wgh_rule *rule = &policy->said.rules[i];

		if ((rule->from.kind == WGH_PARTY_PEER && party_is(&rule->from, &k, 0)) ||
			(rule->to.kind == WGH_PARTY_PEER && party_is(&rule->to, &k, 0)))
			return true;
	}
	for (size_t i = 0; i < policy->said.n_forwards; i++)
		if (!memcmp(&policy->said.forwards[i].to, &k, sizeof k))
			return true;
	return false;
}

/* ---- the defaults ---- */

void wgh_policy_defaults(struct wgh_policy *policy)
{
	*policy = (struct wgh_policy){
		.nat_port_first = NAT_PORT_FIRST,
		.nat_port_last = NAT_PORT_LAST,
		.flows_max = FLOWS_MAX,
		.flows_per_peer_max = FLOWS_PER_PEER_MAX,
		.log_flows = true,
	};
	policy->table[WGH_GROUP_PEER][WGH_GROUP_PEER] = WGH_ALLOW;
	policy->table[WGH_GROUP_PEER][WGH_GROUP_HOST] = WGH_ALLOW;
	policy->table[WGH_GROUP_CLIENT][WGH_GROUP_DEVICE] = WGH_ALLOW;
	policy->table[WGH_GROUP_CLIENT][WGH_GROUP_HOST] = WGH_ALLOW;
	policy->table[WGH_GROUP_DEVICE][WGH_GROUP_HOST] = WGH_PING;
	for (unsigned to = 0; to < WGH_GROUPS_MAX; to++)
		policy->table[WGH_GROUP_HOST][to] = WGH_ALLOW;
}

/* ---- checks ---- */

__attribute__((format(printf, 2, 3))) static int fail(
	struct wgh_error *error, const char *format, ...)
{
	va_list args;

	if (error) {
		va_start(args, format);
		vsnprintf(error->text, sizeof error->text, format, args);
		va_end(args);
	}
	return -EINVAL;
}

/* NULL: nothing is wrong. */
static const char *party_wrong(const struct wgh_party *party)
{
	if (party->kind > WGH_PARTY_PEER)
		return "is neither anybody, a group nor a peer";
	if (party->kind == WGH_PARTY_GROUP && party->group >= WGH_GROUPS_MAX)
		return "is a group above 31";
	return NULL;
}

static const char *rule_wrong(const struct wgh_rule *rule)
{
	if (rule->verdict > WGH_PING)
		return "verdict must be deny, allow or ping";
	if (rule->proto == IP_PROTO_ICMPV6)
		return "protocol 58: say 1, which stands for ICMP of both families";
	if (rule->port_first > rule->port_last)
		return "the first port is above the last";
	if (!has_ports(rule->proto) && (rule->port_first || rule->port_last != UINT16_MAX))
		return "ports need the protocol tcp or udp";
	if (rule->verdict == WGH_PING && rule->proto > IP_PROTO_ICMP)
		return "ping is ICMP: name no other protocol";
	return NULL;
}

static int check_rule(const struct wgh_rule *rule, size_t number, struct wgh_error *error)
{
	const char *wrong = rule_wrong(rule);

	if (wrong)
		return fail(error, "policy: rule %zu: %s", number, wrong);
	wrong = party_wrong(&rule->from);
	if (wrong)
		return fail(error, "policy: rule %zu: who starts %s", number, wrong);
	wrong = party_wrong(&rule->to);
	if (wrong)
		return fail(error, "policy: rule %zu: its destination %s", number, wrong);
	return 0;
}

static int check_forward(const struct wgh_policy *p, size_t at, struct wgh_error *error)
{
	const struct wgh_forward *forward = &p->forwards[at];
	const char *wrong = party_wrong(&forward->from);

	if (wrong)
		return fail(error, "policy: forward %zu: who may use it %s", at + 1, wrong);
	if (!has_ports(forward->proto))
		return fail(error, "policy: forward %zu: the protocol must be tcp or udp", at + 1);
	if (!forward->port || !forward->to_port)
		return fail(error, "policy: forward %zu: its ports must be above 0", at + 1);
	if (forward->port >= p->nat_port_first && forward->port <= p->nat_port_last)
		return fail(error,
			"policy: forward %zu: port %u is among those for translation (%u-%u): "
			"choose another",
			at + 1, forward->port, p->nat_port_first, p->nat_port_last);
	for (size_t i = 0; i < at; i++)
		if (p->forwards[i].proto == forward->proto &&
			p->forwards[i].port == forward->port &&
			!memcmp(&p->forwards[i].from, &forward->from, sizeof forward->from))
			return fail(error,
				"policy: forward %zu: forward %zu has the same protocol and port, "
				"and serves the same",
				at + 1, i + 1);
	return 0;
}

static int check(const struct wgh_policy *p, struct wgh_error *error)
{
	int err = 0;

	for (unsigned from = 0; from < WGH_GROUPS_MAX; from++)
		for (unsigned to = 0; to < WGH_GROUPS_MAX; to++)
			if (p->table[from][to] > WGH_PING)
				return fail(error,
					"policy: group %u to %u: must be deny, allow or ping", from,
					to);
	if ((p->n_rules && !p->rules) || (p->n_forwards && !p->forwards))
		return fail(error, "policy: rules or forwards: NULL, but their number is not 0");
	if (p->n_rules > WGH_RULES_MAX)
		return fail(error, "policy: %zu rules: at most %d", p->n_rules, WGH_RULES_MAX);
	if (p->n_forwards > WGH_FORWARDS_MAX)
		return fail(
			error, "policy: %zu forwards: at most %d", p->n_forwards, WGH_FORWARDS_MAX);
	if (p->nat_port_first < NAT_PORT_LOWEST || p->nat_port_first > p->nat_port_last)
		return fail(error,
			"policy: ports for translation %u-%u: from %d on, the first not above the "
			"last",
			p->nat_port_first, p->nat_port_last, NAT_PORT_LOWEST);
	if ((p->probe4.family && p->probe4.family != WGH_IPV4) ||
		(p->probe6.family && p->probe6.family != WGH_IPV6))
		return fail(error, "policy: probe address: of the wrong family");
	if (p->flows_max < FLOWS_LEAST || p->flows_max > FLOWS_MOST)
		return fail(error, "policy: %u flows in all: must be %u to %u", p->flows_max,
			FLOWS_LEAST, FLOWS_MOST);
	if (!p->flows_per_peer_max || p->flows_per_peer_max > p->flows_max)
		return fail(error, "policy: %u flows of a peer: must be 1 to the %u in all",
			p->flows_per_peer_max, p->flows_max);
	for (size_t i = 0; i < p->n_rules && !err; i++)
		err = check_rule(&p->rules[i], i + 1, error);
	for (size_t i = 0; i < p->n_forwards && !err; i++)
		err = check_forward(p, i, error);
	return err;
}

/* ---- making ---- */

static bool party_may_be(const struct wgh_party *party, unsigned group)
{
	return party->kind == WGH_PARTY_ANY ||
		(party->kind == WGH_PARTY_GROUP && party->group == group);
}

/* Marks the pairs that rules about groups could concern. A rule about one peer marks none: packets
 * of and to that peer are known by policy_names(). */
static void mark_rules(struct policy *policy, const struct wgh_rule *rule)
{
	for (unsigned from = 0; from < WGH_GROUPS_MAX; from++)
		for (unsigned to = 0; to < WGH_GROUPS_MAX; to++)
			if (party_may_be(&rule->from, from) && party_may_be(&rule->to, to))
				policy->cells[from][to] |= CELL_RULES;
}

static void fill_cells(struct policy *policy)
{
	const struct wgh_policy *p = &policy->said;

	for (size_t i = 0; i < p->n_rules; i++)
		mark_rules(policy, &p->rules[i]);
	for (unsigned from = 0; from < WGH_GROUPS_MAX; from++)
		for (unsigned to = 0; to < WGH_GROUPS_MAX; to++)
			if (p->table[from][to] == WGH_ALLOW && p->table[to][from] == WGH_ALLOW &&
				!((policy->cells[from][to] | policy->cells[to][from]) & CELL_RULES))
				policy->cells[from][to] |= CELL_PLAIN;
}

static void *copy(struct mem_budget *budget, const void *array, size_t n, size_t item_bytes)
{
	void *p = mem_new(budget, n, item_bytes);

	if (p && n)
		memcpy(p, array, n * item_bytes);
	return p;
}

int policy_new(struct policy **out, const struct wgh_policy *said, struct mem_budget *budget,
	struct wgh_error *error)
{
	struct policy *policy;
	int err = check(said, error);

	if (err)
		return err;
	policy = mem_new(budget, 1, sizeof *policy);
	if (!policy)
		return -ENOMEM;
	policy->said = *said;
	policy->said.rules = copy(budget, said->rules, said->n_rules, sizeof *said->rules);
	policy->said.forwards =
		copy(budget, said->forwards, said->n_forwards, sizeof *said->forwards);
	if (!policy->said.rules || !policy->said.forwards) {
		policy_free(policy);
		return -ENOMEM;
	}
	fill_cells(policy);
	*out = policy;
	return 0;
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	mem_free((void *)policy->said.rules);
	mem_free((void *)policy->said.forwards);
	mem_free(policy);
}
