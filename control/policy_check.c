/* policy_check.c - what only the whole of a policy file shows: names that are groups defined in
 * another line, ports that collide, and notes on what looks like a mistake. */
#include "control/policy_words.h"

#include "control/text.h"

#include <string.h>

#define SHADOWS_RULES_MAX 2000 /* the search compares each with each */
#define NAT_PORT_FIRST 61000 /* of a file that says nothing */
#define NAT_PORT_LAST 65535

static unsigned number_of(const struct policy_file *file, unsigned line)
{
	return file->lines[line].number;
}

static int find_group(const struct policy_file *file, const char *name)
{
	for (size_t i = 0; i < file->n_groups; i++) {
		if (!strcmp(file->groups[i], name))
			return (int)i;
	}
	return -1;
}

/* A word that no other line could explain becomes the group it names. */
static void settle_who(const struct policy_file *file, struct policy_who *who)
{
	int group = who->may_be_group ? find_group(file, who->name) : -1;

	if (group < 0)
		return;
	policy_who_fini(who);
	*who = (struct policy_who){.kind = WHO_OWN_GROUP, .group = (unsigned)group};
}

static void note_near_name(struct policy_file *file, const struct policy_who *who, unsigned line)
{
	static const char *const words[] = {"any", "client", "device", "peer", "host"};
	const char *meant = NULL;

	if (who->kind != WHO_NAME || !who->may_be_group)
		return;
	for (size_t i = 1; i < sizeof words / sizeof *words; i++) {
		if (text_is_near(who->name, words[i]))
			meant = words[i];
	}
	for (size_t i = 0; i < file->n_groups; i++) {
		if (strlen(file->groups[i]) > 3 && text_is_near(who->name, file->groups[i]))
			meant = file->groups[i];
	}
	if (meant)
		notes_add(&file->notes,
			"%s:%u: %s is taken for a peer's name; for the group write %s, for a peer "
			"name:%s",
			file->path, number_of(file, line), who->name, meant, who->name);
}

static void settle(struct policy_file *file)
{
	for (size_t i = 0; i < file->n_rules; i++) {
		settle_who(file, &file->rules[i].from);
		settle_who(file, &file->rules[i].to);
		note_near_name(file, &file->rules[i].from, file->rules[i].line);
		note_near_name(file, &file->rules[i].to, file->rules[i].line);
	}
	for (size_t i = 0; i < file->n_nats; i++)
		settle_who(file, &file->nats[i].who);
	for (size_t i = 0; i < file->n_forwards; i++) {
		settle_who(file, &file->forwards[i].to);
		settle_who(file, &file->forwards[i].from);
	}
}

static void check_members(struct policy_file *file)
{
	for (size_t i = 0; i < file->n_members; i++) {
		const struct policy_member *m = &file->members[i];

		if (m->who.kind == WHO_NAME && m->who.may_be_group &&
			find_group(file, m->who.name) >= 0)
			notes_add(&file->errors,
				"%s:%u: %s is a group, and a group's members are peers; for a peer "
				"of that name write name:%s",
				file->path, number_of(file, m->line), m->who.name, m->who.name);
	}
}

static void check_forwards(struct policy_file *file)
{
	unsigned first = file->nat_port_first ? file->nat_port_first : NAT_PORT_FIRST;
	unsigned last = file->nat_port_first ? file->nat_port_last : NAT_PORT_LAST;

	for (size_t i = 0; i < file->n_forwards; i++) {
		const struct policy_forward *f = &file->forwards[i];

		if (f->to.kind == WHO_OWN_GROUP)
			notes_add(&file->errors,
				"%s:%u: a forward leads to one peer, and %s is a group", file->path,
				number_of(file, f->line), file->groups[f->to.group]);
		if (f->port >= first && f->port <= last)
			notes_add(&file->errors,
				"%s:%u: port %u is one of nat-ports (%u-%u); forward another one",
				file->path, number_of(file, f->line), f->port, first, last);
	}
}

static bool who_covers(const struct policy_who *all, const struct policy_who *one)
{
	return all->kind == WHO_ANY || policy_who_equal(all, one);
}

static bool rule_covers(const struct policy_rule *all, const struct policy_rule *one)
{
	return who_covers(&all->from, &one->from) && who_covers(&all->to, &one->to) &&
		(all->proto == 0 || all->proto == one->proto) &&
		all->port_first <= one->port_first && all->port_last >= one->port_last &&
		all->verdict != WGH_PING;
}

static void note_shadows(struct policy_file *file)
{
	for (size_t i = 1; i < file->n_rules && file->n_rules <= SHADOWS_RULES_MAX; i++) {
		const struct policy_rule *rule = &file->rules[i];
		size_t j = 0;

		while (j < i &&
			(file->rules[j].line == rule->line || !rule_covers(&file->rules[j], rule)))
			j++;
		if (j == i || number_of(file, rule->line) == 0 ||
			file->rules[i - 1].line == rule->line)
			continue;
		notes_add(&file->notes,
			"%s:%u: line %u decides this already, and the first rule that fits counts; "
			"put this one above it or remove it",
			file->path, number_of(file, rule->line),
			number_of(file, file->rules[j].line));
	}
}

int policy_file_finish(struct policy_file *file)
{
	settle(file);
	check_members(file);
	check_forwards(file);
	note_shadows(file);
	if (file->flows_max && file->flows_per_peer_max > file->flows_max)
		notes_add(&file->notes, "%s: flows-per-peer is more than flows", file->path);
	return 0;
}

const char *policy_who_parse(
	struct policy_who *who, const struct policy_file *file, const char *text)
{
	struct words words = {{text, strlen(text)}};
	struct word word = words_next(&words);
	const char *why;

	if (words_peek(&words).kind != WORD_END) /* a name with blanks, which the shell kept */
		word = (struct word){WORD_QUOTED, {text, strlen(text)}};
	why = policy_word_who(who, &word);
	if (!why && file)
		settle_who(file, who);
	return why;
}
