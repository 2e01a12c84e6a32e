/* The policy: what its defaults are, which rule decides, what is refused and why, and that the data
 * path and a hub's peers obey it from the change on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/admit.h"
#include "tests/lib/fixture.h"

enum { PEER = WGH_GROUP_PEER, HOST, CLIENT, DEVICE, OWN = 31 };
static const struct wgh_public_key KEY_A = {{1}}, KEY_B = {{2}};

static struct wgh_party anybody(void)
{
	return (struct wgh_party){WGH_PARTY_ANY};
}

static struct wgh_party group(uint8_t number)
{
	return (struct wgh_party){WGH_PARTY_GROUP, number};
}

static struct wgh_party peer(struct wgh_public_key key)
{
	return (struct wgh_party){WGH_PARTY_PEER, .peer = key};
}

static struct wgh_rule rule(struct wgh_party from, struct wgh_party to, uint8_t verdict)
{
	return (struct wgh_rule){
		.from = from, .to = to, .verdict = verdict, .port_last = UINT16_MAX};
}

static struct wgh_rule rule_port(
	struct wgh_party from, struct wgh_party to, uint8_t proto, uint16_t first, uint16_t last)
{
	struct wgh_rule r = rule(from, to, WGH_ALLOW);

	r.proto = proto;
	r.port_first = first;
	r.port_last = last;
	return r;
}

static struct wgh_policy defaults(void)
{
	struct wgh_policy p;

	wgh_policy_defaults(&p);
	return p;
}

static struct wgh_policy_question groups(uint8_t from, uint8_t to, uint8_t proto, uint16_t port)
{
	return (struct wgh_policy_question){
		.from_group = from, .to_group = to, .proto = proto, .port = port};
}

static void test_policy_defaults_are_the_table_of_the_documentation(void **state)
{
	const enum wgh_verdict want[4][4] = {
		/* to:       peer       host       client     device */
		[PEER] = {WGH_ALLOW, WGH_ALLOW, WGH_DENY, WGH_DENY},
		[HOST] = {WGH_ALLOW, WGH_ALLOW, WGH_ALLOW, WGH_ALLOW},
		[CLIENT] = {WGH_DENY, WGH_ALLOW, WGH_DENY, WGH_ALLOW},
		[DEVICE] = {WGH_DENY, WGH_PING, WGH_DENY, WGH_DENY},
	};
	const struct wgh_policy p = defaults();

	(void)state;
	for (uint8_t from = 0; from < WGH_GROUPS_MAX; from++)
		for (uint8_t to = 0; to < WGH_GROUPS_MAX; to++) {
			const struct wgh_policy_question q = groups(from, to, 0, 0);
			const struct wgh_rule *why = &(struct wgh_rule){0};
			enum wgh_verdict expected = from == HOST ? WGH_ALLOW : WGH_DENY;

			if (from < 4 && to < 4)
				expected = want[from][to];
			assert_int_equal(wgh_policy_decide(&p, &q, &why), expected);
			assert_null(why);
		}
}

static void test_policy_first_rule_that_matches_decides(void **state)
{
	const struct wgh_rule rules[] = {
		rule_port(group(DEVICE), peer(KEY_B), 6, 80, 90),
		rule(group(DEVICE), peer(KEY_B), WGH_DENY),
		rule(anybody(), peer(KEY_B), WGH_ALLOW),
		rule(peer(KEY_A), anybody(), WGH_PING),
	};
	struct wgh_policy p = defaults();
	struct wgh_policy_question q = groups(DEVICE, DEVICE, 6, 79);
	const struct wgh_rule *why;

	(void)state;
	p.rules = rules;
	p.n_rules = 4;
	q.to = &KEY_B;
	assert_int_equal(wgh_policy_decide(&p, &q, &why), WGH_DENY);
	assert_ptr_equal(why, &rules[1]);
	for (q.port = 80; q.port <= 90; q.port++) {
		assert_int_equal(wgh_policy_decide(&p, &q, &why), WGH_ALLOW);
		assert_ptr_equal(why, &rules[0]);
	}
	assert_int_equal(wgh_policy_decide(&p, &q, NULL), WGH_DENY); /* 91 */
	q.port = 85;
	q.proto = 17;
	assert_int_equal(wgh_policy_decide(&p, &q, NULL), WGH_DENY);
	q.from_group = CLIENT;
	assert_int_equal(wgh_policy_decide(&p, &q, &why), WGH_ALLOW);
	assert_ptr_equal(why, &rules[2]);
	q.from = &KEY_A;
	q.to = NULL; /* the host */
	q.to_group = HOST;
	assert_int_equal(wgh_policy_decide(&p, &q, &why), WGH_DENY); /* UDP is no ping */
	assert_ptr_equal(why, &rules[3]);
	q.proto = 1;
	assert_int_equal(wgh_policy_decide(&p, &q, &why), WGH_PING);
	q.proto = 0;
	assert_int_equal(wgh_policy_decide(&p, &q, &why), WGH_PING);
	q.from = &KEY_B;
	assert_int_equal(wgh_policy_decide(&p, &q, &why), WGH_ALLOW); /* the table */
	assert_null(why);
}

static void test_policy_rule_with_a_key_is_not_about_the_host(void **state)
{
	const struct wgh_rule all = rule(peer((struct wgh_public_key){{0}}), anybody(), WGH_DENY);
	struct wgh_policy p = defaults();
	struct wgh_policy_question q = groups(HOST, CLIENT, 6, 22);

	(void)state;
	p.rules = &all;
	p.n_rules = 1;
	assert_int_equal(wgh_policy_decide(&p, &q, NULL), WGH_ALLOW);
}

/* ---- what is refused ---- */

static void assert_refused(const struct wgh_policy *p, const char *words)
{
	struct wgh_error error = {{0}};
	struct policy *policy = NULL;

	assert_int_equal(policy_new(&policy, p, NULL, &error), -EINVAL);
	assert_null(policy);
	if (!strstr(error.text, words))
		fail_msg("\"%s\" is not in: %s", words, error.text);
	assert_int_equal(policy_new(&policy, p, NULL, NULL), -EINVAL); /* no words wanted */
}

static void test_policy_refusal_names_the_rule_and_what_is_wrong(void **state)
{
	const struct wgh_rule good = rule_port(group(31), anybody(), 17, 5, 5);
	struct wgh_rule rules[2] = {good, good}, *bad = &rules[1];
	struct wgh_policy p = defaults();

	(void)state;
	p.rules = rules;
	p.n_rules = 2;
	bad->verdict = 3;
	assert_refused(&p, "rule 2: verdict");
	*bad = good;
	bad->proto = 58;
	assert_refused(&p, "rule 2: protocol 58");
	*bad = good;
	bad->port_first = 6;
	assert_refused(&p, "rule 2: the first port");
	*bad = good;
	bad->proto = 0;
	assert_refused(&p, "rule 2: ports need");
	*bad = good;
	bad->verdict = WGH_PING;
	assert_refused(&p, "rule 2: ping is ICMP");
	*bad = good;
	bad->from.group = 32;
	assert_refused(&p, "rule 2: who starts is a group above 31");
	*bad = good;
	bad->to.kind = 3;
	assert_refused(&p, "rule 2: its destination is neither");
	p.n_rules = WGH_RULES_MAX + 1;
	assert_refused(&p, "1025 rules: at most 1024");
}

static void test_policy_one_port_may_lead_each_sender_elsewhere(void **state)
{
	struct wgh_forward forwards[2] = {
		{.from = group(DEVICE), .to = KEY_A, .proto = 6, .port = 8883, .to_port = 1},
		{.from = group(CLIENT), .to = KEY_A, .proto = 6, .port = 8883, .to_port = 2}};
	struct wgh_policy p = defaults();
	struct policy *policy;
	struct wgh_error error = {""};

	(void)state;
	p.forwards = forwards;
	p.n_forwards = 2;
	assert_int_equal(policy_new(&policy, &p, NULL, &error), 0);
	assert_true(policy_forward_allows(&policy->said.forwards[1], NULL, CLIENT));
	assert_false(policy_forward_allows(&policy->said.forwards[0], NULL, CLIENT));
	policy_free(policy);
}

static void test_policy_refusal_names_the_forward_and_what_is_wrong(void **state)
{
	const struct wgh_forward good = {
		.from = group(DEVICE), .to = KEY_A, .proto = 6, .port = 8883, .to_port = 8883};
	struct wgh_forward forwards[2] = {good, good}, *bad = &forwards[1];
	struct wgh_policy p = defaults();

	(void)state;
	p.forwards = forwards;
	p.n_forwards = 2;
	assert_refused(&p, "forward 2: forward 1 has the same");
	bad->proto = 1;
	assert_refused(&p, "forward 2: the protocol");
	bad->proto = 17;
	bad->to_port = 0;
	assert_refused(&p, "forward 2: its ports");
	bad->to_port = 1;
	bad->port = 61000;
	assert_refused(&p, "forward 2: port 61000 is among");
	bad->port = 60999;
	bad->from.kind = 7;
	assert_refused(&p, "forward 2: who may use it");
	p.n_forwards = WGH_FORWARDS_MAX + 1;
	assert_refused(&p, "257 forwards: at most 256");
}

static void test_policy_refusal_names_the_bound(void **state)
{
	struct wgh_policy p = defaults();

	(void)state;
	p.table[3][31] = 3;
	assert_refused(&p, "group 3 to 31");
	p = defaults();
	p.nat_port_first = 1023;
	assert_refused(&p, "1023-65535");
	p.nat_port_first = 2000;
	p.nat_port_last = 1999;
	assert_refused(&p, "2000-1999");
	p = defaults();
	p.probe4.family = WGH_IPV6;
	assert_refused(&p, "probe address");
	p = defaults();
	p.probe6.family = WGH_IPV4;
	assert_refused(&p, "probe address");
	p = defaults();
	p.flows_max = 15;
	assert_refused(&p, "15 flows in all");
	p = defaults();
	p.flows_per_peer_max = p.flows_max + 1;
	assert_refused(&p, "flows of a peer");
}

/* ---- what the data path asks first ---- */

static void test_policy_pairs_are_plain_where_no_rule_could_say_otherwise(void **state)
{
	const struct wgh_rule rules[] = {rule_port(group(OWN), group(CLIENT), 6, 22, 22),
		rule(peer(KEY_A), anybody(), WGH_DENY)};
	struct wgh_policy said = defaults();
	struct policy *p;

	(void)state;
	said.rules = rules;
	said.n_rules = 2;
	said.table[CLIENT][OWN] = said.table[OWN][CLIENT] = WGH_ALLOW;
	assert_int_equal(policy_new(&p, &said, NULL, NULL), 0);
	assert_true(admit_plain(p, PEER, PEER));
	assert_true(admit_plain(p, PEER, HOST));
	assert_true(admit_plain(p, HOST, CLIENT));
	assert_false(admit_plain(p, CLIENT, DEVICE)); /* the way back is closed */
	assert_false(admit_plain(p, DEVICE, CLIENT));
	assert_false(admit_plain(p, HOST, DEVICE)); /* there it is ping only */
	assert_false(admit_plain(p, CLIENT, OWN)); /* a rule about the way back */
	assert_false(admit_plain(p, OWN, CLIENT));
	assert_false(admit_plain(p, PEER | REACH_NAMED, PEER));
	assert_false(admit_plain(p, PEER, PEER | REACH_NAMED));
	assert_true(policy_names(p, KEY_A.bytes));
	assert_false(policy_names(p, KEY_B.bytes));
	policy_free(p);
}

/* ---- in a hub ---- */

static struct fixture f;
static struct remote a, b, c;

static int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_pair_connect(&f, &a, &b);
	remote_init(&f, &c, 3);
	return 0;
}

static int set_policy(const struct wgh_policy *p, struct wgh_error *error)
{
	const struct wgh_change change = {.flags = WGH_HAS_POLICY, .policy = p};

	return hub_apply(f.hub, &change, f.now_ns, error);
}

static void set_group(const struct remote *r, uint8_t number)
{
	struct wgh_peer_change change = {
		.public_key = remote_key(r), .flags = WGH_PEER_HAS_GROUP, .group = number};

	fixture_change_peer(&f, &change);
}

/* UDP of a to b's port 9 arrives. */
static bool passes(void)
{
	const struct inner p = inner4(1, 2, 10);
	bool there;

	fixture_forget(&f);
	remote_send(&f, &a, p.data, p.len_bytes);
	there = remote_sent(&f, &b, 0) != NULL;
	fixture_forget(&f);
	return there;
}

static void test_policy_of_a_hub_that_was_told_none_lets_plain_peers_talk(void **state)
{
	(void)state;
	assert_true(passes());
	set_group(&b, OWN);
	assert_false(passes());
	set_group(&b, PEER);
	assert_true(passes());
}

static void test_policy_change_counts_from_the_next_packet_and_keeps_sessions(void **state)
{
	struct wgh_policy p = defaults();
	struct keypair *before = relaxed_get(&remote_peer(&f, &b)->current);

	(void)state;
	p.table[PEER][PEER] = WGH_DENY;
	assert_int_equal(set_policy(&p, NULL), 0);
	assert_false(passes());
	p.table[PEER][PEER] = WGH_ALLOW;
	assert_int_equal(set_policy(&p, NULL), 0);
	assert_true(passes());
	assert_ptr_equal(relaxed_get(&remote_peer(&f, &b)->current), before);
}

static void test_policy_that_is_refused_changes_nothing(void **state)
{
	struct wgh_policy p = defaults();
	struct wgh_error error = {{0}};

	(void)state;
	p.table[PEER][PEER] = WGH_DENY;
	p.flows_max = 0;
	assert_int_equal(set_policy(&p, &error), -EINVAL);
	assert_non_null(strstr(error.text, "flows in all"));
	assert_true(passes());
	assert_int_equal(set_policy(NULL, &error), -EINVAL);
	assert_non_null(strstr(error.text, "none was given"));
}

static void test_policy_rule_about_a_peer_holds_also_when_the_peer_comes_later(void **state)
{
	struct wgh_rule only = rule(peer(remote_key(&a)), peer(remote_key(&c)), WGH_DENY);
	const struct inner p = inner4(1, 3, 10);
	struct wgh_policy said = defaults();

	(void)state;
	said.rules = &only;
	said.n_rules = 1;
	assert_int_equal(set_policy(&said, NULL), 0);
	memset(&only, 0xff, sizeof only); /* ours to reuse: it was copied */
	assert_true(passes()); /* to b */
	remote_add(&f, &c);
	remote_connect(&f, &c);
	remote_send(&f, &a, p.data, p.len_bytes);
	assert_int_equal(fixture_drops(&f, DROP_POLICY), 1);
	assert_null(remote_sent(&f, &c, 0));
	assert_int_equal(set_policy(&(struct wgh_policy){0}, NULL), -EINVAL);
	said = defaults();
	assert_int_equal(set_policy(&said, NULL), 0);
	hub_free_retired(f.hub, hub_take_retired(f.hub)); /* every worker has seen it */
	assert_int_equal(relaxed_get(&remote_peer(&f, &a)->reach), PEER);
	assert_int_equal(relaxed_get(&remote_peer(&f, &c)->reach), PEER);
	remote_send(&f, &a, p.data, p.len_bytes);
	assert_non_null(remote_sent(&f, &c, 0));
}

static void test_policy_peer_is_in_its_group_from_its_first_packet_on(void **state)
{
	struct wgh_allowed_ip ip = {.prefix = prefix4(10, 0, 0, 3, 32)};
	struct wgh_peer_change change = {.public_key = remote_key(&c),
		.flags = WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT | WGH_PEER_HAS_ENDPOINT,
		.endpoint = c.endpoint,
		.group = DEVICE,
		.nat = WGH_NAT_NEVER,
		.allowed_ips = &ip,
		.n_allowed_ips = 1};
	const struct inner p = inner4(1, 3, 10);
	struct wgh_snapshot *s;

	(void)state;
	fixture_change_peer(&f, &change);
	remote_send(&f, &a, p.data, p.len_bytes);
	assert_int_equal(fixture_drops(&f, DROP_POLICY), 1);
	assert_int_equal(hub_snapshot(f.hub, &s), 0);
	assert_int_equal(s->peers[2].group, DEVICE);
	assert_int_equal(s->peers[0].group, PEER);
	wgh_snapshot_free(s);
}

static void test_policy_change_of_a_peer_to_what_is_none_is_refused(void **state)
{
	struct wgh_peer_change change = {
		.public_key = remote_key(&a), .flags = WGH_PEER_HAS_GROUP, .group = 32};
	const struct wgh_change all = {.peers = &change, .n_peers = 1};
	struct wgh_error error;

	(void)state;
	assert_int_equal(hub_apply(f.hub, &all, f.now_ns, &error), -EINVAL);
	assert_non_null(strstr(error.text, "group: must be below 32"));
	change.group = HOST;
	assert_int_equal(hub_apply(f.hub, &all, f.now_ns, &error), -EINVAL);
	assert_non_null(strstr(error.text, "the host's"));
	change.flags = WGH_PEER_HAS_NAT;
	change.nat = 3;
	assert_int_equal(hub_apply(f.hub, &all, f.now_ns, &error), -EINVAL);
	assert_non_null(strstr(error.text, "nat: must be"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_defaults_are_the_table_of_the_documentation),
		cmocka_unit_test(test_policy_first_rule_that_matches_decides),
		cmocka_unit_test(test_policy_rule_with_a_key_is_not_about_the_host),
		cmocka_unit_test(test_policy_refusal_names_the_rule_and_what_is_wrong),
		cmocka_unit_test(test_policy_one_port_may_lead_each_sender_elsewhere),
		cmocka_unit_test(test_policy_refusal_names_the_forward_and_what_is_wrong),
		cmocka_unit_test(test_policy_refusal_names_the_bound),
		cmocka_unit_test(test_policy_pairs_are_plain_where_no_rule_could_say_otherwise),
		cmocka_unit_test_setup_teardown(
			test_policy_of_a_hub_that_was_told_none_lets_plain_peers_talk, setup,
			fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_policy_change_counts_from_the_next_packet_and_keeps_sessions, setup,
			fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_policy_that_is_refused_changes_nothing, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_policy_rule_about_a_peer_holds_also_when_the_peer_comes_later, setup,
			fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_policy_peer_is_in_its_group_from_its_first_packet_on, setup,
			fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_policy_change_of_a_peer_to_what_is_none_is_refused, setup,
			fixture_teardown),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
