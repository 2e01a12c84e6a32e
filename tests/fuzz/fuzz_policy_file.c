/* fuzz_policy_file.c - any bytes as a policy file: no crash, no leak; every error and note is one
 * line with the file's name; a file without errors gives a plan that the device's own check could
 * take, and reading its lines again says the same. Corpus: tests/fuzz/corpus/policy_file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy_plan.h"

static void check_notes(const struct notes *notes)
{
	for (size_t i = 0; i < notes->n; i++) {
		if (strncmp(notes->lines[i], "f:", 2) || strchr(notes->lines[i], '\n'))
			abort();
	}
}

static void check_plan(const struct policy_plan *plan)
{
	const struct wgh_policy *p = &plan->policy;

	if (p->n_rules > WGH_RULES_MAX || p->n_forwards > WGH_FORWARDS_MAX ||
		p->nat_port_first > p->nat_port_last || p->flows_per_peer_max > p->flows_max)
		abort();
	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i].verdict > WGH_PING ||
			p->rules[i].port_first > p->rules[i].port_last ||
			p->rules[i].from.group >= WGH_GROUPS_MAX)
			abort();
	}
	for (unsigned i = 0; i < WGH_GROUPS_MAX; i++) {
		for (unsigned j = 0; j < WGH_GROUPS_MAX; j++) {
			if (p->table[i][j] > WGH_PING)
				abort();
		}
	}
}

static struct policy_plan *make(const struct policy_file *file)
{
	static const struct wgh_prefix addresses[] = {
		{{.bytes = {10, 42, 42, 2}, .family = WGH_IPV4}, 32},
		{{.bytes = {10, 42, 42, 3}, .family = WGH_IPV4}, 32}};
	static const struct policy_peer peers[] = {{.public_key.bytes = {2},
							   .name = "a",
							   .prefixes = &addresses[0],
							   .n_prefixes = 1,
							   .group = WGH_GROUP_DEVICE},
		{.public_key.bytes = {1},
			.name = "b",
			.prefixes = &addresses[1],
			.n_prefixes = 1,
			.group = WGH_GROUP_PEER}};
	const struct policy_world world = {.peers = peers, .n_peers = 2};
	struct policy_plan *plan;
	struct wgh_error error;

	if (policy_plan_make(&plan, file, &world, &error))
		return NULL;
	check_plan(plan);
	check_notes(&plan->notes);
	return plan;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_file *file, *again;
	struct policy_plan *plan, *same;

	if (policy_file_parse(&file, "f", (const char *)data, size))
		abort();
	check_notes(&file->errors);
	check_notes(&file->notes);
	if (file->errors.n) {
		policy_file_free(file);
		return 0;
	}
	again = policy_file_new("f");
	if (!again)
		abort();
	for (size_t i = 0; i < file->n_lines; i++) {
		if (policy_file_add(again, file->lines[i].number, file->lines[i].text,
			    strlen(file->lines[i].text)))
			abort();
	}
	if (policy_file_finish(again) || again->errors.n || again->n_lines != file->n_lines)
		abort();
	plan = make(file);
	same = make(again);
	if (!plan != !same || (plan && !policy_plan_equal(plan, same)))
		abort();
	policy_plan_free(plan);
	policy_plan_free(same);
	policy_file_free(file);
	policy_file_free(again);
	return 0;
}
