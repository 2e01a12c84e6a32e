/* test_policy_run.c - control/policy_run.c: peers come with their groups in the same change, a file
 * that is wrong changes nothing, and what asks for too much leaves what there is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/policy_run.h"

static char path[64];

static void spill(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int make_path(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/wghub-test-policy-XXXXXX");
	fd = mkstemp(path);
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

static struct policy_run *begin(const struct policy_options *o)
{
	struct wgh_error error = {""};
	struct policy_run *run;

	if (policy_run_new(&run, o, &error))
		fail_msg("%s", error.text);
	return run;
}

static struct policy_run *begin_with(const char *text)
{
	spill(text);
	return begin(&(struct policy_options){.path = path});
}

/* Devices press-1 and press-2, a client anna. */
static struct policy_peer peers[] = {
	{.public_key.bytes = {1}, .name = "press-1", .group = WGH_GROUP_DEVICE},
	{.public_key.bytes = {2}, .name = "press-2", .group = WGH_GROUP_DEVICE},
	{.public_key.bytes = {3}, .name = "anna", .group = WGH_GROUP_CLIENT},
};
static const struct policy_world world = {.peers = peers, .n_peers = 3};
static const struct wgh_change nothing;

static struct policy_amended amend(
	struct policy_run *run, const struct wgh_change *change, struct wgh_snapshot *running)
{
	struct policy_amended amended;

	assert_int_equal(policy_run_amend(run, &amended, change, &world, running), 0);
	return amended;
}

static void test_new_peers_and_their_groups_are_one_change(void **state)
{
	struct policy_run *run = begin(&(struct policy_options){.path = NULL});
	struct wgh_peer_change added[] = {
		{.public_key.bytes = {1}, .flags = WGH_PEER_REPLACE_ALLOWED_IPS},
		{.public_key.bytes = {9}, .flags = WGH_PEER_REMOVE}};
	struct wgh_change change = {.peers = added, .n_peers = 2};
	struct wgh_snapshot running = {.n_peers = 0};
	struct policy_amended a = amend(run, &change, &running);

	(void)state;
	assert_int_equal(a.change.flags, WGH_HAS_POLICY);
	assert_int_equal(a.change.policy->table[WGH_GROUP_CLIENT][WGH_GROUP_DEVICE], WGH_ALLOW);
	assert_int_equal(a.change.n_peers, 4);
	/* The first one has it in its own change. */
	assert_int_equal(a.change.peers[0].flags,
		WGH_PEER_REPLACE_ALLOWED_IPS | WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT);
	assert_int_equal(a.change.peers[0].group, WGH_GROUP_DEVICE);
	assert_int_equal(a.change.peers[0].nat, WGH_NAT_AUTO);
	assert_int_equal(a.change.peers[1].flags, WGH_PEER_REMOVE);
	assert_int_equal(a.change.peers[3].public_key.bytes[0], 3);
	assert_int_equal(a.change.peers[3].flags,
		WGH_PEER_UPDATE_ONLY | WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT);
	assert_int_equal(a.change.peers[3].group, WGH_GROUP_CLIENT);
	policy_amended_fini(&a);
	policy_run_free(run);
}

static void test_peer_that_goes_is_given_nothing(void **state)
{
	struct policy_run *run = begin(&(struct policy_options){.path = NULL});
	struct wgh_peer_change removed = {.public_key.bytes = {2}, .flags = WGH_PEER_REMOVE};
	struct wgh_change change = {.peers = &removed, .n_peers = 1};
	struct wgh_snapshot running = {.n_peers = 0};
	struct policy_amended a = amend(run, &change, &running);

	(void)state;
	assert_int_equal(a.change.n_peers, 3);
	assert_int_equal(a.change.peers[0].flags, WGH_PEER_REMOVE);
	policy_amended_fini(&a);
	policy_run_free(run);
}

static struct wgh_peer_view views[] = {
	{.public_key.bytes = {3}, .group = WGH_GROUP_CLIENT, .nat = WGH_NAT_NEVER},
	{.public_key.bytes = {1}, .group = WGH_GROUP_DEVICE, .nat = WGH_NAT_AUTO},
	{.public_key.bytes = {2}, .group = WGH_GROUP_DEVICE, .nat = WGH_NAT_AUTO},
};
static struct wgh_snapshot all_there = {.peers = views, .n_peers = 3};

static void test_what_the_device_has_already_is_no_change(void **state)
{
	struct policy_run *run = begin_with("allow client -> host tcp 22\n");
	struct policy_amended a = amend(run, &nothing, &all_there);

	(void)state;
	assert_int_equal(a.change.flags, WGH_HAS_POLICY);
	assert_int_equal(a.change.n_peers, 0);
	policy_run_applied(run, &a);
	policy_amended_fini(&a);
	a = amend(run, &nothing, &all_there);
	assert_true(policy_amended_is_empty(&a));
	policy_amended_fini(&a);
	policy_run_free(run);
}

static void test_wrong_file_is_refused_at_the_start_and_changes_nothing_later(void **state)
{
	struct policy_options o = {.path = path};
	struct policy_run *run;
	struct wgh_error error = {""};
	struct policy_amended a;
	char room[1000];

	(void)state;
	spill("allow a -> b\nalow\n");
	assert_int_equal(policy_run_new(&run, &o, &error), -EINVAL);
	assert_null(run);
	assert_non_null(strstr(error.text, ":2: a line begins with"));
	run = begin_with("deny anna -> device # x\n");
	a = amend(run, &nothing, &all_there);
	policy_run_applied(run, &a);
	policy_amended_fini(&a);
	spill("alow\n");
	assert_int_equal(policy_run_reload(run, &error), -EINVAL);
	a = amend(run, &nothing, &all_there);
	assert_true(policy_amended_is_empty(&a));
	policy_amended_fini(&a);
	assert_non_null(strstr(policy_run_line(run, 0, room, sizeof room), path));
	assert_string_equal(
		policy_run_line(run, 1, room, sizeof room), "policy=1 deny anna -> device");
	assert_null(policy_run_line(run, 2, room, sizeof room));
	/* And a right one counts. */
	spill("deny anna -> device\nnat press-1 = never\n");
	assert_int_equal(policy_run_reload(run, &error), 0);
	a = amend(run, &nothing, &all_there);
	assert_int_equal(a.change.flags, 0);
	assert_int_equal(a.change.n_peers, 1);
	assert_int_equal(a.change.peers[0].nat, WGH_NAT_NEVER);
	/* What is told is what the device has taken. */
	assert_null(policy_run_line(run, 2, room, sizeof room));
	policy_run_applied(run, &a);
	assert_non_null(policy_run_line(run, 2, room, sizeof room));
	policy_amended_fini(&a);
	policy_run_free(run);
}

static void test_options_say_what_a_last_line_would(void **state)
{
	struct policy_run *run;
	struct policy_amended a;
	char room[1000];

	(void)state;
	spill("deny device -> host tcp 23\n");
	run = begin(&(struct policy_options){.path = path,
		.device_to_device = true,
		.device_to_host = true,
		.host_ports = "22-23,80"});
	a = amend(run, &nothing, &all_there);
	assert_int_equal(a.change.policy->table[WGH_GROUP_DEVICE][WGH_GROUP_DEVICE], WGH_ALLOW);
	assert_int_equal(a.change.policy->table[WGH_GROUP_DEVICE][WGH_GROUP_HOST], WGH_PING);
	assert_int_equal(a.change.policy->n_rules, 5);
	assert_int_equal(a.change.policy->rules[0].verdict, WGH_DENY);
	assert_int_equal(a.change.policy->rules[1].port_last, 23);
	policy_run_applied(run, &a);
	policy_amended_fini(&a);
	assert_string_equal(
		policy_run_line(run, 2, room, sizeof room), "policy=0 allow device -> device");
	policy_run_free(run);
	run = begin(&(struct policy_options){.device_to_host = true});
	a = amend(run, &nothing, &all_there);
	assert_int_equal(a.change.policy->table[WGH_GROUP_DEVICE][WGH_GROUP_HOST], WGH_ALLOW);
	policy_amended_fini(&a);
	policy_run_free(run);
	assert_null(policy_ports_wrong("22"));
	assert_null(policy_ports_wrong("22,80-90"));
	assert_non_null(policy_ports_wrong(""));
	assert_non_null(policy_ports_wrong("22,"));
	assert_non_null(policy_ports_wrong("22 80"));
	assert_non_null(policy_ports_wrong("ssh"));
}

static void test_too_much_leaves_what_there_is_and_new_peers_are_what_they_are(void **state)
{
	struct policy_run *run = begin_with("deny anna -> press-1\n");
	struct wgh_snapshot two = {.peers = views, .n_peers = 2};
	struct policy_amended a = amend(run, &nothing, &two);
	struct wgh_error error = {""};
	char *text = malloc(100000);
	size_t n = 0;

	(void)state;
	policy_run_applied(run, &a);
	policy_amended_fini(&a);
	for (unsigned i = 1; i <= WGH_RULES_MAX + 1; i++)
		n += (size_t)sprintf(text + n, "deny anna -> press-1 tcp %u\n", i);
	spill(text);
	free(text);
	assert_int_equal(policy_run_reload(run, &error), 0);
	/* press-2 is new. */
	a = amend(run, &nothing, &two);
	assert_int_equal(a.change.flags, 0);
	assert_int_equal(a.change.n_peers, 1);
	assert_int_equal(a.change.peers[0].public_key.bytes[0], 2);
	assert_int_equal(a.change.peers[0].group, WGH_GROUP_DEVICE);
	policy_run_applied(run, &a);
	policy_amended_fini(&a);
	policy_run_free(run);
}

static void test_class_is_told_by_its_groups(void **state)
{
	struct policy_run *run = begin_with("group lab = press-1\n");
	struct policy_amended a = amend(run, &nothing, &all_there);
	unsigned group = 0;
	char room[200];

	(void)state;
	for (size_t i = 0; i < a.change.n_peers; i++) {
		if (a.change.peers[i].public_key.bytes[0] == 1)
			group = a.change.peers[i].group;
	}
	assert_int_equal(group, WGH_GROUP_FIRST_FREE);
	assert_string_equal(policy_run_group(run, WGH_GROUP_DEVICE, room, sizeof room), "device");
	policy_run_applied(run, &a);
	policy_amended_fini(&a);
	assert_string_equal(policy_run_group(run, group, room, sizeof room), "device, lab");
	policy_run_free(run);
}

static void test_world_of_a_conf_file_has_its_peers_and_those_that_run_besides(void **state)
{
	struct wgh_prefix prefix = {{.bytes = {10, 0, 0, 2}, .family = WGH_IPV4}, 32};
	struct conf_peer conf_peers[] = {{.public_key.bytes = {1},
						 .name = (char *)"one",
						 .allowed_ips = &prefix,
						 .n_allowed_ips = 1},
		{.public_key.bytes = {7}, .name = (char *)"seven"}};
	struct wgh_prefix own = {{.bytes = {10, 0, 0, 1}, .family = WGH_IPV4}, 24};
	const struct conf conf = {
		.peers = conf_peers, .n_peers = 2, .addresses = &own, .n_addresses = 1};
	struct policy_world w;

	(void)state;
	assert_int_equal(policy_world_of_conf(&w, &conf, &all_there), 0);
	assert_int_equal(w.n_peers, 4);
	assert_string_equal(w.peers[0].name, "one");
	assert_int_equal(w.peers[0].n_prefixes, 1);
	assert_null(w.peers[2].name);
	assert_int_equal(w.peers[2].public_key.bytes[0], 3);
	assert_int_equal(w.peers[3].public_key.bytes[0], 2);
	assert_ptr_equal(w.addresses, &own);
	free((void *)w.peers);
	assert_int_equal(policy_world_of_conf(&w, NULL, &all_there), 0);
	assert_int_equal(w.n_peers, 3);
	free((void *)w.peers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_peers_and_their_groups_are_one_change),
		cmocka_unit_test(test_peer_that_goes_is_given_nothing),
		cmocka_unit_test(test_what_the_device_has_already_is_no_change),
		cmocka_unit_test(test_wrong_file_is_refused_at_the_start_and_changes_nothing_later),
		cmocka_unit_test(test_options_say_what_a_last_line_would),
		cmocka_unit_test(
			test_too_much_leaves_what_there_is_and_new_peers_are_what_they_are),
		cmocka_unit_test(test_class_is_told_by_its_groups),
		cmocka_unit_test(
			test_world_of_a_conf_file_has_its_peers_and_those_that_run_besides),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
