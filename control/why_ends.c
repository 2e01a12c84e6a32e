/* why_ends.c - who a word on the command line is, and what the policy says between two of them. For
 * `wghub why` and `wghub policy test`. */
#include "control/error.h"
#include "control/why.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_hub_address(const struct facts *f, const struct policy_who *who)
{
	for (size_t i = 0; who->kind == WHO_ADDR && i < f->world.n_addresses; i++) {
		if (!memcmp(&f->addresses[i].addr, &who->addr, sizeof who->addr))
			return true;
	}
	return false;
}

long why_end_of(const struct facts *f, const struct policy_who *who)
{
	if ((who->kind == WHO_GROUP && who->group == WGH_GROUP_HOST) || is_hub_address(f, who))
		return WHY_HOST;
	if (who->kind == WHO_ANY || who->kind == WHO_GROUP || who->kind == WHO_OWN_GROUP)
		return -EISDIR;
	return policy_find_peer(&f->world, who);
}

unsigned why_class(const struct facts *f, long end)
{
	if (end == WHY_HOST)
		return WGH_GROUP_HOST;
	return end >= 0 ? f->plan->settings[end].group : (unsigned)(-2 - end);
}

enum wgh_verdict why_decide(const struct facts *f, long from, long to, uint8_t proto, uint16_t port,
	char *by, size_t size)
{
	const struct wgh_policy_question q = {
		.from = from >= 0 ? &f->world_peers[from].public_key : NULL,
		.to = to >= 0 ? &f->world_peers[to].public_key : NULL,
		.from_group = (uint8_t)why_class(f, from),
		.to_group = (uint8_t)why_class(f, to),
		.proto = proto,
		.port = port};
	const struct policy_plan *plan = f->plan;
	const struct wgh_rule *rule;
	enum wgh_verdict verdict = wgh_policy_decide(&plan->policy, &q, &rule);
	unsigned line = rule ? plan->rule_lines[rule - plan->policy.rules]
			     : plan->table_lines[q.from_group][q.to_group];

	if (line == POLICY_BY_DEFAULT || line >= f->file->n_lines)
		snprintf(by, size, "by default");
	else if (f->file->lines[line].number)
		snprintf(by, size, "%s:%u: %s", f->file->path, f->file->lines[line].number,
			f->file->lines[line].text);
	else
		snprintf(by, size, "an option of the hub: %s", f->file->lines[line].text);
	return verdict;
}

bool why_find(long *end, const struct facts *f, const char *word, struct wgh_error *error)
{
	struct policy_who who;
	const char *why = policy_who_parse(&who, f->file, word);
	char shown[60];

	text_escape(shown, sizeof shown, word, strlen(word));
	if (why) {
		error_set(error, "%s: %s", shown, why);
		return false;
	}
	*end = why_end_of(f, &who);
	if (*end == -EISDIR && who.kind == WHO_GROUP)
		*end = -2 - (long)who.group;
	else if (*end == -EISDIR)
		error_set(error, "%s: peers of other groups may be in it; name one of them", shown);
	else if (*end == -EEXIST)
		error_set(error, "several peers are called %s; give the key of one", shown);
	else if (*end < WHY_HOST)
		error_set(error, "%s is no peer of %s; wghub show %s lists them", shown, f->ifname,
			f->ifname);
	why = *end >= WHY_HOST || who.kind == WHO_GROUP ? NULL : error->text;
	policy_who_fini(&who);
	return !why;
}
