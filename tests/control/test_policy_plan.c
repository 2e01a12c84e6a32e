/* test_policy_plan.c - control/policy_plan.c, policy_ends.c: what the device is told decides as the
 * file says, line by line, whatever of it became table, group or key. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy_plan.h"
#include "tests/lib/rng.h"

/* press-1 press-2: devices; anna bert: clients; box: a peer made by hand; two called twin. */
enum { PRESS_1, PRESS_2, ANNA, BERT, BOX, TWIN_A, TWIN_B, N_PEERS };

static struct wgh_prefix prefixes[N_PEERS];
static struct policy_peer peers[N_PEERS];
static struct wgh_prefix hub_address = {
	.addr = {.bytes = {10, 42, 42, 1}, .family = WGH_IPV4}, .bits = 24};

static struct policy_world world(void)
{
	static const struct {
		const char *name;
		enum wgh_group group;
	} all[N_PEERS] = {{"press-1", WGH_GROUP_DEVICE}, {"press-2", WGH_GROUP_DEVICE},
		{"anna", WGH_GROUP_CLIENT}, {"bert", WGH_GROUP_CLIENT}, {"box", WGH_GROUP_PEER},
		{"twin", WGH_GROUP_CLIENT}, {"twin", WGH_GROUP_DEVICE}};

	for (unsigned i = 0; i < N_PEERS; i++) {
		prefixes[i] = (struct wgh_prefix){
			{.bytes = {10, 42, 42, (uint8_t)(i + 2)}, .family = WGH_IPV4}, 32};
		/* Not in the order of their keys. */
		peers[i] = (struct policy_peer){.public_key.bytes = {(uint8_t)(100 - i)},
			.name = all[i].name,
			.group = all[i].group,
			.prefixes = &prefixes[i],
			.n_prefixes = 1};
	}
	return (struct policy_world){.peers = peers,
		.n_peers = N_PEERS,
		.addresses = &hub_address,
		.n_addresses = 1,
		.spare = {.bytes = {10, 42, 42, 254}, .family = WGH_IPV4}};
}

struct planned {
	struct policy_file *file;
	struct policy_plan *plan;
};

static struct planned plan_of(const char *text)
{
	struct policy_world w = world();
	struct wgh_error error;
	struct planned p;

	assert_int_equal(policy_file_parse(&p.file, "p.conf", text, strlen(text)), 0);
	if (p.file->errors.n)
		fail_msg("%s", p.file->errors.lines[0]);
	assert_int_equal(policy_plan_make(&p.plan, p.file, &w, &error), 0);
	return p;
}

static void planned_fini(struct planned *p)
{
	policy_plan_free(p->plan);
	policy_file_free(p->file);
}

/* HOST: the hub itself. */
#define HOST N_PEERS

static enum wgh_verdict decide(
	const struct policy_plan *plan, unsigned from, unsigned to, uint8_t proto, uint16_t port)
{
	const struct wgh_policy_question q = {.from = from == HOST ? NULL : &peers[from].public_key,
		.to = to == HOST ? NULL : &peers[to].public_key,
		.from_group = from == HOST ? WGH_GROUP_HOST : plan->settings[from].group,
		.to_group = to == HOST ? WGH_GROUP_HOST : plan->settings[to].group,
		.proto = proto,
		.port = port};

	return wgh_policy_decide(&plan->policy, &q, NULL);
}

static void test_without_a_file_the_table_is_the_built_in_one(void **state)
{
	struct policy_world w = world();
	struct policy_plan *plan;
	struct wgh_error error;

	(void)state;
	assert_int_equal(policy_plan_make(&plan, NULL, &w, &error), 0);
	assert_int_equal(plan->policy.n_rules, 0);
	assert_int_equal(decide(plan, ANNA, PRESS_1, 6, 22), WGH_ALLOW);
	assert_int_equal(decide(plan, PRESS_1, ANNA, 6, 22), WGH_DENY);
	assert_int_equal(decide(plan, PRESS_1, PRESS_2, 6, 22), WGH_DENY);
	assert_int_equal(decide(plan, ANNA, BERT, 6, 22), WGH_DENY);
	assert_int_equal(decide(plan, PRESS_1, HOST, 1, 0), WGH_PING);
	assert_int_equal(decide(plan, HOST, PRESS_1, 17, 53), WGH_ALLOW);
	assert_int_equal(plan->settings[PRESS_1].nat, WGH_NAT_AUTO);
	assert_int_equal(plan->settings[ANNA].nat, WGH_NAT_NEVER);
	assert_int_equal(plan->settings[BOX].nat, WGH_NAT_NEVER);
	assert_int_equal(plan->policy.probe4.bytes[3], 254);
	policy_plan_free(plan);
}

static void test_line_about_groups_alone_costs_no_rule(void **state)
{
	struct planned p = plan_of("allow device -> device\nallow client -> client\n"
				   "allow any -> host\ngroup lab = press-1\nallow lab -> client");

	(void)state;
	assert_int_equal(p.plan->policy.n_rules, 0);
	assert_int_equal(decide(p.plan, PRESS_1, PRESS_2, 6, 22), WGH_ALLOW);
	assert_int_equal(decide(p.plan, PRESS_1, ANNA, 6, 22), WGH_ALLOW);
	assert_int_equal(decide(p.plan, PRESS_2, ANNA, 6, 22), WGH_DENY);
	assert_int_equal(p.plan->table_lines[p.plan->settings[PRESS_1].group][WGH_GROUP_CLIENT], 4);
	assert_int_equal(
		p.plan->table_lines[WGH_GROUP_DEVICE][WGH_GROUP_CLIENT], POLICY_BY_DEFAULT);
	planned_fini(&p);
}

static void test_first_line_that_fits_decides_wherever_it_went(void **state)
{
	struct planned p = plan_of("deny client -> device tcp 23\n"
				   "allow client -> device\n"
				   "deny anna -> press-1\n" /* too late */
				   "deny device -> client\n"
				   "allow device -> client\n"); /* too late */

	(void)state;
	assert_int_equal(decide(p.plan, ANNA, PRESS_1, 6, 23), WGH_DENY);
	assert_int_equal(decide(p.plan, ANNA, PRESS_1, 6, 22), WGH_ALLOW);
	assert_int_equal(decide(p.plan, PRESS_1, ANNA, 6, 22), WGH_DENY);
	/* The last two lines are in the table; the first three had to stay. */
	assert_int_equal(p.plan->policy.n_rules, 3);
	assert_int_equal(p.plan->rule_lines[0], 0);
	assert_int_equal(p.plan->rule_lines[1], 1);
	assert_int_equal(p.plan->rule_lines[2], 2);
	planned_fini(&p);
}

static void test_member_of_a_group_stays_a_device(void **state)
{
	struct planned p = plan_of("group lab = press-1 anna\ngroup night = press-1\n"
				   "deny client -> night tcp 22\nallow lab -> lab tcp 80\n");
	char text[POLICY_CLASS_CHARS];

	(void)state;
	assert_int_equal(decide(p.plan, BERT, PRESS_1, 6, 22), WGH_DENY);
	assert_int_equal(decide(p.plan, BERT, PRESS_1, 6, 80), WGH_ALLOW); /* client to device */
	assert_int_equal(decide(p.plan, BERT, PRESS_2, 6, 22), WGH_ALLOW);
	assert_int_equal(decide(p.plan, PRESS_1, ANNA, 6, 80), WGH_ALLOW);
	assert_int_equal(decide(p.plan, PRESS_1, BERT, 6, 80), WGH_DENY);
	assert_int_equal(decide(p.plan, PRESS_1, HOST, 1, 0), WGH_PING);
	policy_class_text(text, p.plan, p.file, p.plan->settings[PRESS_1].group);
	assert_string_equal(text, "device, lab, night");
	policy_class_text(text, p.plan, p.file, p.plan->settings[ANNA].group);
	assert_string_equal(text, "client, lab");
	policy_class_text(text, p.plan, p.file, p.plan->settings[BERT].group);
	assert_string_equal(text, "client");
	planned_fini(&p);
}

static void test_only_a_plain_peer_may_be_made_client_or_device(void **state)
{
	struct planned p = plan_of("group client = box, press-1\n");

	(void)state;
	assert_int_equal(decide(p.plan, BOX, PRESS_1, 6, 22), WGH_ALLOW);
	assert_int_equal(p.plan->settings[PRESS_1].group, WGH_GROUP_DEVICE);
	assert_int_equal(p.plan->notes.n, 1);
	assert_string_equal(p.plan->notes.lines[0], "p.conf:1: press-1 is a device already");
	planned_fini(&p);
	p = plan_of("group device = box");
	assert_int_equal(p.plan->settings[BOX].nat, WGH_NAT_AUTO);
	planned_fini(&p);
}

static void test_name_of_nobody_is_noted_and_counts_when_somebody_has_it(void **state)
{
	static const char text[] = "deny press-9 -> any\ngroup lab = press-8\nallow lab -> any\n"
				   "nat press-9 = never\nforward 80/tcp -> press-9:80 from device";
	struct planned p = plan_of(text);
	struct policy_world w = world();
	struct wgh_error error;

	(void)state;
	assert_int_equal(p.plan->policy.n_rules, 0);
	assert_int_equal(p.plan->policy.n_forwards, 0);
	assert_int_equal(p.plan->notes.n, 5);
	assert_string_equal(p.plan->notes.lines[0],
		"p.conf:2: there is no peer press-8 yet; the line counts when there is one");
	policy_plan_free(p.plan);
	peers[PRESS_1].name = "press-9";
	assert_int_equal(policy_plan_make(&p.plan, p.file, &w, &error), 0);
	assert_int_equal(decide(p.plan, PRESS_1, HOST, 1, 0), WGH_DENY);
	assert_int_equal(decide(p.plan, PRESS_2, HOST, 1, 0), WGH_PING);
	assert_int_equal(p.plan->settings[PRESS_1].nat, WGH_NAT_NEVER);
	assert_int_equal(p.plan->policy.n_forwards, 1);
	assert_int_equal(p.plan->notes.n, 2); /* press-8, and its group is empty */
	planned_fini(&p);
}

static void test_of_a_name_that_several_have_only_deny_counts(void **state)
{
	struct planned p = plan_of("allow twin -> press-1 tcp 1\ndeny twin -> press-2 tcp 2");

	(void)state;
	assert_int_equal(decide(p.plan, TWIN_B, PRESS_1, 6, 1), WGH_DENY);
	assert_int_equal(decide(p.plan, TWIN_A, PRESS_2, 6, 2), WGH_DENY);
	assert_int_equal(decide(p.plan, TWIN_A, PRESS_2, 6, 3), WGH_ALLOW);
	assert_int_equal(p.plan->notes.n, 1);
	assert_non_null(strstr(p.plan->notes.lines[0], "several peers are called twin"));
	planned_fini(&p);
}

static void test_key_counts_also_before_it_is_a_peer(void **state)
{
	static const uint8_t unknown[32] = {7, 7};
	struct planned p = plan_of("deny BwcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= -> any\n"
				   "allow device -> device\n");

	(void)state;
	assert_int_equal(p.plan->policy.n_rules, 1);
	assert_int_equal(p.plan->rules[0].from.kind, WGH_PARTY_PEER);
	assert_memory_equal(p.plan->rules[0].from.peer.bytes, unknown, 32);
	assert_int_equal(decide(p.plan, PRESS_1, PRESS_2, 6, 1), WGH_ALLOW);
	planned_fini(&p);
	/* Whoever it will be: the first line goes before. */
	p = plan_of("allow device -> device\n"
		    "deny BwcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= -> device\n");
	assert_int_equal(p.plan->policy.n_rules, 2);
	assert_int_equal(p.plan->rules[0].verdict, WGH_ALLOW);
	planned_fini(&p);
}

static void test_address_means_the_peer_that_owns_it(void **state)
{
	struct planned p = plan_of("deny 10.42.42.4 -> device\nprobe-address 10.42.42.2\n"
				   "forward 10.42.42.9:80/tcp -> press-1:80 from device");

	(void)state;
	assert_int_equal(decide(p.plan, ANNA, PRESS_1, 6, 1), WGH_DENY);
	assert_int_equal(decide(p.plan, BERT, PRESS_1, 6, 1), WGH_ALLOW);
	/* Neither may a probe come from somebody's address, nor a forward be at another's. */
	assert_int_equal(p.plan->policy.probe4.bytes[3], 254);
	assert_int_equal(p.plan->policy.n_forwards, 0);
	assert_int_equal(p.plan->notes.n, 2);
	planned_fini(&p);
}

static void test_nat_is_what_the_first_line_that_fits_says(void **state)
{
	struct planned p =
		plan_of("nat press-1 = never\nnat device, anna = always\nnat any = auto");

	(void)state;
	assert_int_equal(p.plan->settings[PRESS_1].nat, WGH_NAT_NEVER);
	assert_int_equal(p.plan->settings[PRESS_2].nat, WGH_NAT_ALWAYS);
	assert_int_equal(p.plan->settings[ANNA].nat, WGH_NAT_ALWAYS);
	assert_int_equal(p.plan->settings[BERT].nat, WGH_NAT_AUTO);
	planned_fini(&p);
}

static void test_forward_has_the_parties_of_its_line(void **state)
{
	struct planned p = plan_of("forward 80/tcp -> press-1:8080 from device, anna\n"
				   "group lab = press-2");

	(void)state;
	/* device is two classes now: with lab and without. */
	assert_int_equal(p.plan->policy.n_forwards, 3);
	assert_int_equal(p.plan->forwards[0].from.kind, WGH_PARTY_GROUP);
	assert_int_equal(p.plan->forwards[1].from.kind, WGH_PARTY_GROUP);
	assert_int_equal(p.plan->forwards[2].from.kind, WGH_PARTY_PEER);
	assert_memory_equal(&p.plan->forwards[2].from.peer, &peers[ANNA].public_key, 32);
	for (unsigned i = 0; i < 3; i++) {
		assert_memory_equal(&p.plan->forwards[i].to, &peers[PRESS_1].public_key, 32);
		assert_int_equal(p.plan->forwards[i].port, 80);
		assert_int_equal(p.plan->forwards[i].to_port, 8080);
	}
	planned_fini(&p);
}

static void test_too_much_is_refused_with_the_line(void **state)
{
	size_t n = 0, cap = 200000;
	char *text = malloc(cap);
	struct policy_world w = world();
	struct policy_plan *plan = NULL;
	struct policy_file *file;
	struct wgh_error error;

	(void)state;
	for (unsigned i = 1; i <= WGH_RULES_MAX + 1; i++)
		n += (size_t)snprintf(text + n, cap - n, "deny anna -> press-1 tcp %u\n", i);
	assert_int_equal(policy_file_parse(&file, "p.conf", text, n), 0);
	assert_int_equal(file->errors.n, 0);
	assert_int_equal(policy_plan_make(&plan, file, &w, &error), -E2BIG);
	assert_null(plan);
	assert_memory_equal(error.text, "p.conf:1: more than", 19);
	policy_file_free(file);
	free(text);
}

/* Random files decide like a twin that reads their rules one by one. */
static enum wgh_verdict naive(const struct policy_file *file, const struct policy_plan *plan,
	unsigned from, unsigned to, uint8_t proto, uint16_t port)
{
	static const unsigned own_groups[2][3] = {{PRESS_1, ANNA, BOX}, {PRESS_1, BERT, BERT}};

	for (size_t i = 0; i < file->n_rules; i++) {
		const struct policy_rule *rule = &file->rules[i];
		const struct policy_who *ends[] = {&rule->from, &rule->to};
		const unsigned given[] = {from, to};
		bool fits = (!rule->proto || rule->proto == proto) && port >= rule->port_first &&
			port <= rule->port_last;

		for (unsigned j = 0; j < 2; j++) {
			enum wgh_group base =
				given[j] == HOST ? WGH_GROUP_HOST : peers[given[j]].group;
			bool is = ends[j]->kind == WHO_ANY;

			if (ends[j]->kind == WHO_GROUP)
				is = ends[j]->group == base;
			else if (ends[j]->kind == WHO_OWN_GROUP)
				for (unsigned k = 0; k < 3; k++)
					is |= own_groups[ends[j]->group][k] == given[j];
			else if (ends[j]->kind == WHO_NAME)
				is = given[j] != HOST &&
					!strcmp(peers[given[j]].name, ends[j]->name);
			fits &= is;
		}
		if (fits)
			return rule->verdict == WGH_PING && proto != 1 ? WGH_DENY : rule->verdict;
	}
	(void)plan;
	{
		struct wgh_policy builtin;
		enum wgh_verdict verdict;

		wgh_policy_defaults(&builtin);
		verdict = builtin.table[from == HOST ? WGH_GROUP_HOST : peers[from].group]
				       [to == HOST ? WGH_GROUP_HOST : peers[to].group];
		return verdict == WGH_PING && proto != 1 ? WGH_DENY : verdict;
	}
}

static void test_random_files_decide_like_a_naive_reading(void **state)
{
	static const char *const whos[] = {"any", "client", "device", "peer", "host", "lab",
		"night", "press-1", "anna", "box", "bert"};
	static const char *const verbs[] = {"allow", "deny", "ping"};
	static const char *const services[] = {"", "", "tcp", "tcp 5", "udp 3-6", "icmp"};
	static const uint8_t protos[] = {1, 6, 17};
	struct rng rng = {20261122};
	unsigned n_table = 0;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		char text[1000] = "group lab = press-1, anna, box\ngroup night = press-1, bert\n";
		size_t n = strlen(text);
		struct planned p;

		for (unsigned i = 0, lines = (unsigned)rng_below(&rng, 8); i < lines; i++) {
			unsigned verb = (unsigned)rng_below(&rng, 3);

			n += (size_t)sprintf(text + n, "%s %s -> %s %s\n", verbs[verb],
				whos[rng_below(&rng, 11)], whos[rng_below(&rng, 11)],
				verb == 2 ? "" : services[rng_below(&rng, 6)]);
		}
		p = plan_of(text);
		n_table += p.plan->policy.n_rules == 0;
		for (unsigned from = 0; from <= BOX + 1; from++) {
			for (unsigned to = 0; to <= BOX + 1; to++) {
				unsigned f = from > BOX ? HOST : from, t = to > BOX ? HOST : to;
				uint8_t proto = protos[rng_below(&rng, 3)];
				uint16_t port = proto == 1 ? 0 : (uint16_t)(1 + rng_below(&rng, 8));
				enum wgh_verdict wanted = naive(p.file, p.plan, f, t, proto, port);

				if (decide(p.plan, f, t, proto, port) != wanted)
					fail_msg("%s%u -> %u, protocol %u, port %u", text, f, t,
						proto, port);
			}
		}
		planned_fini(&p);
	}
	assert_true(n_table > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_a_file_the_table_is_the_built_in_one),
		cmocka_unit_test(test_line_about_groups_alone_costs_no_rule),
		cmocka_unit_test(test_first_line_that_fits_decides_wherever_it_went),
		cmocka_unit_test(test_member_of_a_group_stays_a_device),
		cmocka_unit_test(test_only_a_plain_peer_may_be_made_client_or_device),
		cmocka_unit_test(test_name_of_nobody_is_noted_and_counts_when_somebody_has_it),
		cmocka_unit_test(test_of_a_name_that_several_have_only_deny_counts),
		cmocka_unit_test(test_key_counts_also_before_it_is_a_peer),
		cmocka_unit_test(test_address_means_the_peer_that_owns_it),
		cmocka_unit_test(test_nat_is_what_the_first_line_that_fits_says),
		cmocka_unit_test(test_forward_has_the_parties_of_its_line),
		cmocka_unit_test(test_too_much_is_refused_with_the_line),
		cmocka_unit_test(test_random_files_decide_like_a_naive_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
