/* test_why.c - control/facts.c, why*.c: from a hub's answer to the link that breaks, for each link;
 * and an explanation for everything that can be dropped or refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/wanted.h"
#include "control/why.h"

#define NOW_S 1800000000
#define HEX_ZEROS "00000000000000000000000000000000000000000000000000000000000000"
#define KEY_1 "01" HEX_ZEROS
#define KEY_2 "02" HEX_ZEROS
#define KEY_3 "03" HEX_ZEROS
#define BASE64_9 "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

#define HUB                                                                                        \
	"listen_port=5555\nmtu=1420\nforwarded=3\naddress=10.42.42.1/24\ntun=true\n"               \
	"flows=12\nflows_max=65536\npolicy_file=p.conf\n"
#define LAPTOP                                                                                     \
	"public_key=" KEY_1 "\nname=laptop1\nendpoint=192.0.2.1:1000\n"                            \
	"last_handshake_time_sec=1799999990\ngroup=client\nnat=never\nallowed_ip=10.42.42.254/"    \
	"32\n"
#define STOCK                                                                                      \
	"public_key=" KEY_2 "\nname=press-1\nendpoint=192.0.2.2:1000\n"                            \
	"last_handshake_time_sec=1799999990\ngroup=device\nnat=auto\nallowed_ip=10.42.42.2/32\n"
#define WIDE                                                                                       \
	"public_key=" KEY_3 "\nname=press-2\nendpoint=192.0.2.3:1000\n"                            \
	"last_handshake_time_sec=1799999990\ngroup=device, lab\nnat=auto\nwide=ipv4\n"             \
	"allowed_ip=10.42.42.3/32\n"

/* The text becomes the answer's. */
static struct ctl_answer answer_of(const char *text)
{
	struct ctl_answer a = {.text = strdup(text)};
	char *rest = a.text, *line;

	a.lines = calloc(200, sizeof *a.lines);
	while ((line = strsep(&rest, "\n"))) {
		char *equals = strchr(line, '=');

		if (!equals)
			continue;
		*equals = 0;
		a.lines[a.n_lines++] = (struct ctl_line){line, equals + 1};
	}
	return a;
}

static struct facts facts_of(const char *text)
{
	struct ctl_answer answer = answer_of(text);
	struct wgh_error error = {""};
	struct facts facts;

	if (facts_init(&facts, "hub0", &answer, NOW_S, &error))
		fail_msg("%s", error.text);
	ctl_answer_fini(&answer);
	return facts;
}

struct walked {
	struct facts facts;
	struct why_report report;
};

static struct walked walk(
	const char *text, const char *from, const char *to, uint8_t proto, uint16_t port)
{
	const struct why_question q = {from, to, proto, port};
	struct walked w = {.facts = facts_of(text)};
	struct wgh_error error = {""};

	if (why_walk(&w.report, &w.facts, &q, &error))
		fail_msg("%s", error.text);
	return w;
}

static void walked_fini(struct walked *w)
{
	why_report_fini(&w->report);
	facts_fini(&w->facts);
}

static const struct why_step *step_of(const struct walked *w, const char *link)
{
	for (size_t i = 0; i < w->report.n; i++) {
		if (!strcmp(w->report.steps[i].link, link))
			return &w->report.steps[i];
	}
	return NULL;
}

/* It breaks at this link, with these words and a remedy that has those; NULL: nowhere. */
static void breaks(const char *text, const char *from, const char *to, uint8_t proto, uint16_t port,
	const char *link, const char *words, const char *remedy)
{
	struct walked w = walk(text, from, to, proto, port);
	const struct why_step *broken = why_broken(&w.report);

	if (!link && broken)
		fail_msg("it breaks: %s", broken->text);
	if (link && !broken)
		fail_msg("it does not break at %s", link);
	if (link) {
		assert_string_equal(broken->link, link);
		if (!strstr(broken->text, words))
			fail_msg("'%s' does not say '%s'", broken->text, words);
		if (!strstr(broken->remedy, remedy))
			fail_msg("'%s' does not say '%s'", broken->remedy, remedy);
	}
	walked_fini(&w);
}

static void test_a_link_that_works_breaks_nowhere(void **state)
{
	struct walked w = walk(HUB LAPTOP STOCK WIDE, "laptop1", "press-1", 6, 22);

	(void)state;
	assert_null(why_broken(&w.report));
	assert_non_null(strstr(step_of(&w, "from")->text, "10.42.42.254/32"));
	assert_non_null(strstr(step_of(&w, "from_online")->text, "10 s ago, from 192.0.2.1:1000"));
	assert_non_null(strstr(step_of(&w, "source")->text, "from 10.42.42.254/32, and sent"));
	assert_non_null(
		strstr(step_of(&w, "policy")->text, "start tcp 22 to press-1 (by default)"));
	assert_non_null(strstr(step_of(&w, "to_reach")->text, "sees 10.42.42.1 as the sender"));
	assert_non_null(strstr(step_of(&w, "flows")->text, "12 flows of at most 65536"));
	assert_non_null(strstr(step_of(&w, "mtu")->text, "1420"));
	walked_fini(&w);
	w = walk(HUB LAPTOP STOCK WIDE, "laptop1", "press-2", 0, 0);
	assert_null(why_broken(&w.report));
	assert_non_null(strstr(step_of(&w, "to_reach")->text, "sees laptop1 itself"));
	walked_fini(&w);
}

static void test_ends_are_found_by_name_key_address_and_as_host(void **state)
{
	static const char *const froms[] = {"laptop1", "name:laptop1",
		"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "10.42.42.254", "host",
		"10.42.42.1"};

	(void)state;
	for (size_t i = 0; i < sizeof froms / sizeof *froms; i++)
		breaks(HUB LAPTOP STOCK, froms[i], "press-1", 6, 22, NULL, "", "");
	breaks(HUB LAPTOP STOCK, "laptop1", "10.42.42.1", 6, 22, NULL, "", "");
}

static void test_end_that_is_nobody_is_named_with_what_to_do(void **state)
{
	struct why_report report;
	struct facts facts = facts_of(HUB LAPTOP);
	const struct why_question q = {"key:x", "laptop1", 0, 0};
	struct wgh_error error = {""};

	(void)state;
	breaks(HUB LAPTOP, "laptop2", "laptop1", 0, 0, "from", "laptop2 is no peer",
		"wghub client add");
	breaks(HUB LAPTOP, "laptop1", "press-9", 0, 0, "to", "press-9 is no peer", "wghub sync");
	breaks(HUB LAPTOP, "laptop1", "10.42.42.99", 0, 0, "to", "nobody owns 10.42.42.99", "hub0");
	breaks(HUB LAPTOP, "laptop1", "device", 0, 0, "to", "device is a group", "policy test");
	breaks(HUB LAPTOP "public_key=" KEY_2 "\nname=laptop1\n", "laptop1", "host", 0, 0, "from",
		"several peers are called laptop1", "key");
	breaks(HUB "public_key=" KEY_1 "\nname=a\n" STOCK, "a", "press-1", 0, 0, "from", "none",
		"It owns no address");
	assert_int_equal(why_walk(&report, &facts, &q, &error), -EINVAL);
	why_report_fini(&report);
	facts_fini(&facts);
}

static void test_who_is_refused_disabled_or_knocks_is_told_so(void **state)
{
	static const char peers[] =
		"factory=acme\npeer=press-8\norigin=factory\naddress=10.42.42.8\n"
		"state=refused\nreason=address_taken\nwhy=laptop1 holds it\n"
		"peer=press-9\norigin=factory\nstate=disabled\n"
		"peer=laptop1\nstate=online\npeer=press-7\nstate=withdrawn\n";
	static const char pending[] = "public_key=" BASE64_9 "\ntries=3\n";
	static const struct {
		const char *to, *words, *remedy;
	} cases[] = {{"press-8", "laptop1 holds it", "Give one of the two another one"},
		{"10.42.42.8", "laptop1 holds it", "Give one of the two another one"},
		{"press-9", "press-9 is disabled", "wghub device enable press-9"},
		{"press-7", "enabled=0", "wghub enable"},
		{BASE64_9, "calls the hub, but it is no peer", "wghub client approve"}};
	struct facts facts = facts_of(HUB LAPTOP);
	struct ctl_answer a = answer_of(peers), b = answer_of(pending);
	struct wgh_error error = {""};

	(void)state;
	assert_int_equal(facts_add_absent(&facts, &a, false), 0);
	assert_int_equal(facts_add_absent(&facts, &b, true), 0);
	assert_int_equal(facts.n_absent, 4);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct why_question q = {"laptop1", cases[i].to, 0, 0};
		struct why_report report;

		assert_int_equal(why_walk(&report, &facts, &q, &error), 0);
		assert_string_equal(why_broken(&report)->link, "to");
		assert_non_null(strstr(why_broken(&report)->text, cases[i].words));
		assert_non_null(strstr(why_broken(&report)->remedy, cases[i].remedy));
		why_report_fini(&report);
	}
	ctl_answer_fini(&a);
	ctl_answer_fini(&b);
	facts_fini(&facts);
}

static void test_who_is_offline_is_told_so(void **state)
{
#define GONE(more)                                                                                 \
	"public_key=" KEY_2                                                                        \
	"\nname=press-1\ngroup=device\nnat=auto\nallowed_ip=10.42.42.2/32\n" more

	(void)state;
	breaks(HUB LAPTOP GONE(""), "laptop1", "press-1", 0, 0, "to_online",
		"has not connected since the hub started", "endpoint and public key");
	breaks(HUB LAPTOP GONE("last_handshake_time_sec=1799999000\nendpoint=192.0.2.9:1\n"),
		"laptop1", "press-1", 0, 0, "to_online",
		"offline: its last handshake was 16 min ago", "last seen at 192.0.2.9:1");
	breaks(HUB LAPTOP GONE("drop=no_endpoint 3\n"), "press-1", "host", 1, 0, "from_online",
		"has not connected", "");
	/* An engineer without keepalive is quiet between two uses. */
	breaks(HUB STOCK "public_key=" KEY_1 "\nname=laptop1\nendpoint=192.0.2.1:1\ngroup=client\n"
			 "allowed_ip=10.42.42.254/32\nlast_handshake_time_sec=1799990000\n",
		"laptop1", "press-1", 0, 0, NULL, "", "");
}

static void test_policy_that_denies_is_named_by_its_line(void **state)
{
	(void)state;
	breaks(HUB LAPTOP STOCK WIDE, "press-2", "laptop1", 6, 80, "policy",
		"does not let press-2 start tcp 80 to laptop1 (by default)",
		"in p.conf, above the line that decides: allow press-2 -> laptop1 tcp 80");
	breaks(HUB "policy=7 deny client -> device tcp 22\n" LAPTOP STOCK, "laptop1", "press-1", 6,
		22, "policy", "(p.conf:7: deny client -> device tcp 22)",
		"allow laptop1 -> press-1 tcp 22");
	breaks(HUB "policy=7 deny client -> device tcp 22\n" LAPTOP STOCK, "laptop1", "press-1", 6,
		23, NULL, "", "");
	breaks(HUB "policy=2 group lab = press-2\npolicy=3 deny client -> lab\n" LAPTOP WIDE,
		"laptop1", "press-2", 0, 0, "policy", "p.conf:3: deny client -> lab", "");
	breaks(HUB "policy=0 allow device -> device\n" WIDE STOCK, "press-2", "press-1", 6, 22,
		NULL, "", "");
	/* Only ping: no break for ping, one for TCP. */
	breaks(HUB LAPTOP STOCK, "press-1", "host", 1, 0, NULL, "", "");
	breaks(HUB LAPTOP STOCK, "press-1", "host", 6, 22, "policy", "does not let press-1", "");
}

static void test_stock_device_reaches_others_by_a_forward_only(void **state)
{
#define OPEN "policy=1 allow device -> client\n"
	struct walked w;

	(void)state;
	breaks(HUB OPEN LAPTOP STOCK, "press-1", "laptop1", 6, 8883, "from_stock",
		"press-1 is a stock device", "forward PORT/tcp -> laptop1:PORT from press-1");
	breaks(HUB OPEN LAPTOP WIDE, "press-2", "laptop1", 6, 8883, NULL, "", "");
	w = walk(HUB "policy=4 forward 1883/tcp -> laptop1:8883 from device\n" LAPTOP STOCK,
		"press-1", "laptop1", 6, 8883);
	assert_null(why_broken(&w.report));
	assert_non_null(strstr(step_of(&w, "forward")->text,
		"press-1 connects to 10.42.42.1 port 1883 (tcp), which leads to laptop1 port "
		"8883"));
	assert_null(step_of(&w, "policy"));
	walked_fini(&w);
	breaks(HUB "policy=4 forward 1883/tcp -> laptop1:8883 from press-9\n" LAPTOP STOCK,
		"press-1", "laptop1", 6, 8883, "policy", "", "");
}

static void test_hub_without_tun_offers_its_host_only_ping(void **state)
{
	static const char hub[] = "mtu=1420\naddress=10.42.42.1/24\ntun=false\n" LAPTOP;

	(void)state;
	breaks(hub, "laptop1", "host", 1, 0, NULL, "", "");
	breaks(hub, "laptop1", "host", 6, 22, "host", "not in the VPN", "without --no-tun");
	breaks(hub, "host", "laptop1", 0, 0, "host", "not in the VPN", "without --no-tun");
}

static void test_full_table_of_flows_breaks_it(void **state)
{
	(void)state;
	breaks("mtu=1420\ntun=true\nflows=100\nflows_max=100\n" LAPTOP STOCK, "laptop1", "press-1",
		0, 0, "flows", "100 flows and has no room", "flows N");
	breaks("mtu=1420\ntun=true\nflows=100\nflows_max=1000\npolicy=1 flows-per-peer 90\n" LAPTOP
	       "flows=90\n" STOCK,
		"laptop1", "press-1", 0, 0, "flows", "laptop1 has 90 flows", "flows-per-peer");
}

static void test_sender_and_receiver_are_not_the_same(void **state)
{
	(void)state;
	breaks(HUB LAPTOP, "laptop1", "10.42.42.254", 0, 0, "to", "are the same", "routes");
}

static void test_drops_of_both_ends_are_explained(void **state)
{
	struct walked w = walk(HUB "drop=mac1 4\ndrop=source 7\n" LAPTOP
				   "drop=source 7\ndrop=too_big 1\n" STOCK "drop=staged_full 2\n",
		"laptop1", "press-1", 0, 0);
	unsigned n = 0;

	(void)state;
	assert_null(why_broken(&w.report));
	for (size_t i = 0; i < w.report.n; i++) {
		if (!strcmp(w.report.steps[i].link, "drop"))
			n++;
	}
	assert_int_equal(n, 3);
	assert_string_equal(step_of(&w, "drop")->about, "source");
	assert_non_null(strstr(step_of(&w, "drop")->text, "7 packets of laptop1 dropped"));
	assert_int_equal(step_of(&w, "source")->state, WHY_NOTE);
	assert_non_null(strstr(step_of(&w, "source")->text, "7 packets came from other addresses"));
	assert_int_equal(step_of(&w, "mtu")->state, WHY_NOTE);
	assert_non_null(strstr(step_of(&w, "mtu")->remedy, "clamp-mss"));
	assert_null(step_of(&w, "hub_drop")); /* both connect */
	walked_fini(&w);
	/* Who cannot connect is among the datagrams of nobody; those of peers are not counted
	 * twice. */
	w = walk(HUB "drop=mac1 4\ndrop=source 7\n" LAPTOP "drop=source 7\n", "press-9", "laptop1",
		0, 0);
	assert_string_equal(step_of(&w, "hub_drop")->about, "mac1");
	assert_non_null(strstr(step_of(&w, "hub_drop")->text, "4 packets of nobody"));
	for (size_t i = 0; i < w.report.n; i++) {
		if (!strcmp(w.report.steps[i].link, "hub_drop"))
			assert_string_equal(w.report.steps[i].about, "mac1");
	}
	walked_fini(&w);
}

static void explained(const struct why_explanation *e, const char *name)
{
	if (!e)
		fail_msg("%s is not explained", name);
	assert_true(strlen(e->cause) > 20 && strlen(e->remedy) > 10);
	assert_true(strlen(e->cause) + strlen(e->remedy) < WHY_CHARS);
}

static void test_every_drop_reason_is_explained_with_a_remedy(void **state)
{
	char text[4000] = HUB LAPTOP;
	size_t n = strlen(text);
	unsigned n_shown = 0;
	struct walked w;

	(void)state;
	for (unsigned i = 1; i < wgh_n_drop_reasons(); i++) {
		explained(why_drop(wgh_drop_reason(i)->name), wgh_drop_reason(i)->name);
		n += (size_t)snprintf(
			text + n, sizeof text - n, "drop=%s %u\n", wgh_drop_reason(i)->name, i);
	}
	/* And every one of them is reached by the walk. */
	w = walk(text, "laptop1", "host", 6, 22);
	for (size_t i = 0; i < w.report.n; i++) {
		if (!strcmp(w.report.steps[i].link, "drop"))
			n_shown += w.report.steps[i].remedy[0] != 0;
	}
	assert_int_equal(n_shown, wgh_n_drop_reasons() - 1);
	walked_fini(&w);
}

static void test_every_refusal_is_explained_with_a_remedy(void **state)
{
	(void)state;
	for (unsigned i = REFUSED_NOTHING + 1; refusal_name(i); i++)
		explained(why_refusal(refusal_name(i)), refusal_name(i));
	assert_non_null(refusal_name(REFUSED_ADDRESS_TAKEN));
	assert_null(refusal_name(REFUSED_ADDRESS_TAKEN + 1));
}

static void test_hostile_answer_is_no_more_than_strange(void **state)
{
	static const char *const texts[] = {"", "public_key=zz\nname=x\n", "name=x\ngroup=device\n",
		"drop=nothing 1\ndrop=source x\ndrop=source\n", "policy=x allow\npolicy=\n",
		"address=x\nmtu=-1\nflows=99999999999999999999\n",
		LAPTOP "group=\nnat=x\nallowed_ip=x\nendpoint=\x1b[2J\nname=\x1b\n"};
	static const char disguised[] = HUB LAPTOP "name=lap\x1b[2Jtop\nendpoint=\x1b[2J\n";
	struct ctl_answer answer;
	struct wgh_error error = {""};
	struct facts facts;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct walked w = walk(texts[i], "laptop1", "press-1", 0, 0);

		for (size_t j = 0; j < w.report.n; j++)
			assert_null(strchr(w.report.steps[j].text, '\x1b'));
		walked_fini(&w);
	}
	{
		struct walked w = walk(disguised, "10.42.42.254", "host", 0, 0);

		assert_non_null(strstr(w.report.steps[0].text, "lap\\x1b[2Jtop"));
		for (size_t j = 0; j < w.report.n; j++)
			assert_null(strchr(w.report.steps[j].text, '\x1b'));
		walked_fini(&w);
	}
	answer = answer_of(HUB "policy=3 alow a -> b\n");
	assert_int_equal(facts_init(&facts, "hub0", &answer, NOW_S, &error), -EPROTO);
	ctl_answer_fini(&answer);
}

static void test_policy_is_decided_for_groups_and_peers(void **state)
{
	struct facts facts = facts_of(HUB
		"policy=2 allow device -> host tcp 22\npolicy=3 group lab = press-2\n" LAPTOP WIDE);
	struct wgh_error error = {""};
	long from, to;
	char by[200];

	(void)state;
	assert_true(why_find(&from, &facts, "device", &error));
	assert_true(why_find(&to, &facts, "host", &error));
	assert_int_equal(why_decide(&facts, from, to, 6, 22, by, sizeof by), WGH_ALLOW);
	assert_string_equal(by, "p.conf:2: allow device -> host tcp 22");
	assert_int_equal(why_decide(&facts, from, to, 6, 23, by, sizeof by), WGH_DENY);
	assert_string_equal(by, "by default");
	assert_true(why_find(&from, &facts, "press-2", &error));
	assert_int_equal(why_decide(&facts, from, to, 6, 22, by, sizeof by), WGH_ALLOW);
	assert_false(why_find(&from, &facts, "lab", &error));
	assert_false(why_find(&from, &facts, "press-9", &error));
	assert_non_null(strstr(error.text, "press-9 is no peer of hub0"));
	facts_fini(&facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_link_that_works_breaks_nowhere),
		cmocka_unit_test(test_ends_are_found_by_name_key_address_and_as_host),
		cmocka_unit_test(test_end_that_is_nobody_is_named_with_what_to_do),
		cmocka_unit_test(test_who_is_refused_disabled_or_knocks_is_told_so),
		cmocka_unit_test(test_who_is_offline_is_told_so),
		cmocka_unit_test(test_policy_that_denies_is_named_by_its_line),
		cmocka_unit_test(test_stock_device_reaches_others_by_a_forward_only),
		cmocka_unit_test(test_hub_without_tun_offers_its_host_only_ping),
		cmocka_unit_test(test_full_table_of_flows_breaks_it),
		cmocka_unit_test(test_sender_and_receiver_are_not_the_same),
		cmocka_unit_test(test_drops_of_both_ends_are_explained),
		cmocka_unit_test(test_every_drop_reason_is_explained_with_a_remedy),
		cmocka_unit_test(test_every_refusal_is_explained_with_a_remedy),
		cmocka_unit_test(test_hostile_answer_is_no_more_than_strange),
		cmocka_unit_test(test_policy_is_decided_for_groups_and_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
