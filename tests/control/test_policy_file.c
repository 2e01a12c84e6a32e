/* test_policy_file.c - control/policy_file.c, policy_lines.c, policy_words.c, policy_check.c: what
 * people write is understood, and what is wrong is named by file and line, with what to do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy_file.h"

#define KEY_A "1Hl7NEyHHBLIEd5uEAwTY9q5z9joVJ3qzvIEikljrJI="

static struct policy_file *parse(const char *text)
{
	struct policy_file *file;

	assert_int_equal(policy_file_parse(&file, "p.conf", text, strlen(text)), 0);
	return file;
}

static struct policy_file *parse_well(const char *text)
{
	struct policy_file *file = parse(text);

	if (file->errors.n)
		fail_msg("%s", file->errors.lines[0]);
	return file;
}

static void assert_who(
	const struct policy_file *file, const struct policy_who *who, const char *text)
{
	char shown[POLICY_WHO_CHARS];

	policy_who_text(shown, file, who);
	assert_string_equal(shown, text);
}

static void test_rule_says_who_whom_and_what(void **state)
{
	struct policy_file *file = parse_well("# rules\n\n  allow client -> device tcp 22\n"
					      "deny name:laptop1->device # no more\n"
					      "ping\tdevices ->\tpeers\r\n"
					      "allow any -> host");

	(void)state;
	assert_int_equal(file->n_rules, 4);
	assert_int_equal(file->rules[0].verdict, WGH_ALLOW);
	assert_who(file, &file->rules[0].from, "client");
	assert_who(file, &file->rules[0].to, "device");
	assert_int_equal(file->rules[0].proto, 6);
	assert_int_equal(file->rules[0].port_first, 22);
	assert_int_equal(file->rules[0].port_last, 22);
	assert_int_equal(file->lines[file->rules[0].line].number, 3);
	assert_int_equal(file->rules[1].verdict, WGH_DENY);
	assert_int_equal(file->rules[1].from.kind, WHO_NAME);
	assert_who(file, &file->rules[1].from, "laptop1");
	assert_int_equal(file->rules[1].proto, 0);
	assert_int_equal(file->rules[1].port_first, 0);
	assert_int_equal(file->rules[1].port_last, 65535);
	assert_string_equal(file->lines[file->rules[1].line].text, "deny name:laptop1->device");
	assert_int_equal(file->rules[2].verdict, WGH_PING);
	assert_int_equal(file->rules[2].from.group, WGH_GROUP_DEVICE);
	assert_int_equal(file->rules[2].to.group, WGH_GROUP_PEER);
	assert_int_equal(file->rules[3].from.kind, WHO_ANY);
	assert_int_equal(file->rules[3].to.group, WGH_GROUP_HOST);
	policy_file_free(file);
}

static void test_ports_are_lists_of_numbers_and_ranges_for_each_protocol(void **state)
{
	static const struct {
		uint8_t proto;
		uint16_t first, last;
	} wanted[] = {{6, 22, 22}, {6, 80, 90}, {17, 0, 65535}, {1, 0, 65535}, {6, 1, 65535}};
	struct policy_file *file =
		parse_well("allow peer -> peer tcp 22, 80-90 udp icmp tcp 1-65535");

	(void)state;
	assert_int_equal(file->n_rules, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(file->rules[i].proto, wanted[i].proto);
		assert_int_equal(file->rules[i].port_first, wanted[i].first);
		assert_int_equal(file->rules[i].port_last, wanted[i].last);
	}
	policy_file_free(file);
}

static void test_somebody_is_a_group_a_name_a_key_or_an_address(void **state)
{
	static const struct {
		const char *text;
		enum policy_who_kind kind;
		const char *shown;
	} cases[] = {{"any", WHO_ANY, "any"}, {"clients", WHO_GROUP, "client"},
		{"host", WHO_GROUP, "host"}, {"lab", WHO_OWN_GROUP, "lab"},
		{"name:lab", WHO_NAME, "lab"}, {"\"lab\"", WHO_NAME, "lab"},
		{"name:device", WHO_NAME, "device"}, {"press-1", WHO_NAME, "press-1"},
		{"\"bench laptop\"", WHO_NAME, "bench laptop"},
		{"caf\xc3\xa9", WHO_NAME, "caf\xc3\xa9"},
		{"\"a # b, c -> d\"", WHO_NAME, "a # b, c -> d"}, {KEY_A, WHO_KEY, "1Hl7NEyH"},
		{"key:" KEY_A, WHO_KEY, "1Hl7NEyH"}, {"10.42.42.7", WHO_ADDR, "10.42.42.7"},
		{"fd42::7", WHO_ADDR, "fd42::7"}};
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct policy_file *file;

		snprintf(text, sizeof text, "deny %s -> any\ngroup lab = press-2\ndeny any -> %s",
			cases[i].text, cases[i].text);
		file = parse_well(text);
		assert_int_equal(file->n_rules, 2);
		assert_int_equal(file->rules[0].from.kind, cases[i].kind);
		assert_who(file, &file->rules[0].from, cases[i].shown);
		assert_int_equal(file->rules[1].to.kind, cases[i].kind);
		assert_who(file, &file->rules[1].to, cases[i].shown);
		policy_file_free(file);
	}
}

static void test_lists_of_both_sides_are_taken_apart(void **state)
{
	struct policy_file *file = parse_well("deny a, b -> c, d tcp 1,2");

	(void)state;
	assert_int_equal(file->n_rules, 8);
	assert_who(file, &file->rules[7].from, "b");
	assert_who(file, &file->rules[7].to, "d");
	assert_int_equal(file->rules[7].port_first, 2);
	policy_file_free(file);
}

static void test_groups_collect_peers_over_several_lines(void **state)
{
	struct policy_file *file = parse_well("group lab = press-1 press-2, \"bench laptop\"\n"
					      "group lab = " KEY_A "\ngroup client = 10.42.42.9\n"
					      "group night.shift = press-1");

	(void)state;
	assert_int_equal(file->n_groups, 2);
	assert_string_equal(file->groups[0], "lab");
	assert_string_equal(file->groups[1], "night.shift");
	assert_int_equal(file->n_members, 6);
	assert_true(file->members[3].is_own);
	assert_int_equal(file->members[3].group, 0);
	assert_int_equal(file->members[3].who.kind, WHO_KEY);
	assert_false(file->members[4].is_own);
	assert_int_equal(file->members[4].group, WGH_GROUP_CLIENT);
	assert_int_equal(file->members[5].group, 1);
	policy_file_free(file);
}

static void test_forward_names_port_receiver_and_users(void **state)
{
	struct policy_file *file =
		parse_well("forward 8883/tcp -> press-07:8884 from device\n"
			   "forward 10.42.42.1:53/udp -> \"bench laptop\":5353 from a, b\n"
			   "forward [fd42::1]:80/tcp -> name:client:8080 from any\n"
			   "forward 81/tcp -> " KEY_A ":82 from any\n"
			   "forward 82/tcp -> [fd42::9]:82 from any\n"
			   "forward 83/tcp -> 10.42.42.9:82 from any");

	(void)state;
	assert_int_equal(file->n_forwards, 7);
	assert_int_equal(file->forwards[0].port, 8883);
	assert_int_equal(file->forwards[0].to_port, 8884);
	assert_int_equal(file->forwards[0].proto, 6);
	assert_int_equal(file->forwards[0].addr.family, WGH_UNSPEC);
	assert_who(file, &file->forwards[0].to, "press-07");
	assert_who(file, &file->forwards[0].from, "device");
	assert_int_equal(file->forwards[1].addr.bytes[3], 1);
	assert_int_equal(file->forwards[1].proto, 17);
	assert_who(file, &file->forwards[1].to, "bench laptop");
	assert_who(file, &file->forwards[2].from, "b");
	assert_int_equal(file->forwards[3].addr.family, WGH_IPV6);
	assert_who(file, &file->forwards[3].to, "client");
	assert_int_equal(file->forwards[4].to.kind, WHO_KEY);
	assert_who(file, &file->forwards[5].to, "fd42::9");
	assert_who(file, &file->forwards[6].to, "10.42.42.9");
	policy_file_free(file);
}

static void test_settings_are_read(void **state)
{
	struct policy_file *file = parse_well(
		"nat press-2, device = never\nprobe-address 10.42.42.250\nnat-ports 50000-60000\n"
		"clamp-mss\nlog-flows\nprobe-address fd42::fe\nflows 1000\nflows-per-peer 100");

	(void)state;
	assert_int_equal(file->n_nats, 2);
	assert_int_equal(file->nats[0].nat, WGH_NAT_NEVER);
	assert_who(file, &file->nats[1].who, "device");
	assert_int_equal(file->probe4.bytes[3], 250);
	assert_int_equal(file->nat_port_first, 50000);
	assert_int_equal(file->nat_port_last, 60000);
	assert_true(file->clamp_mss);
	assert_true(file->log_flows_said && file->log_flows);
	assert_int_equal(file->probe6.bytes[15], 0xfe);
	assert_int_equal(file->flows_max, 1000);
	assert_int_equal(file->flows_per_peer_max, 100);
	policy_file_free(file);
	file = parse_well("probe-address off\nclamp-mss off\nnat a = always\nnat b = auto");
	assert_true(file->probe_off);
	assert_false(file->clamp_mss);
	assert_int_equal(file->nats[0].nat, WGH_NAT_ALWAYS);
	assert_int_equal(file->nats[1].nat, WGH_NAT_AUTO);
	policy_file_free(file);
}

static void test_mistake_is_named_by_file_and_line_with_the_remedy(void **state)
{
	static const struct {
		const char *line, *part; /* of the error */
	} cases[] = {{"alow client -> device", "a line begins with allow, deny"},
		{"allow", "a rule is: allow FROM -> TO"},
		{"allow client device", "a rule is: allow FROM -> TO"},
		{"allow client ->", "a rule is: allow FROM -> TO"},
		{"allow client -> device tcp 0", "ports are numbers from 1 to 65535"},
		{"allow client -> device tcp 90-80", "ports are numbers"},
		{"allow client -> device tcp 65536", "ports are numbers"},
		{"allow client -> device tcp 22,", "ports are numbers"},
		{"allow client -> device 22", "tcp or udp"},
		{"allow client -> device sctp", "tcp or udp"},
		{"ping client -> device tcp 22", "ping takes no protocol"},
		{"allow \"client -> device", "a rule is"},
		{"allow name: -> device", "a name is missing"},
		{"allow key:abc -> device", "44 base64"},
		{"allow a=b -> device", "between quotation marks"},
		{"allow 10.42.42.0/24 -> device", "between quotation marks"}, {"group lab", "="},
		{"group lab=press-1", "up to 32 letters"}, {"group any = press-1", "built in"},
		{"group host = press-1", "built in"}, {"group lab = device", "peers, not groups"},
		{"group abcdefghijklmnopqrstuvwxyzabcdefg = a", "up to 32 letters"},
		{"nat press-2 never", "nat is:"}, {"nat press-2 = maybe", "auto, always or never"},
		{"nat host = always", "nat is for peers"},
		{"forward 8883 -> press-07:8883 from device", "a forward is:"},
		{"forward 8883/icmp -> press-07:8883 from device", "a forward is:"},
		{"forward 8883/tcp -> press-07 from device", "the receiver and its port"},
		{"forward 8883/tcp -> press-07:0 from device", "the receiver and its port"},
		{"forward 8883/tcp -> press-07:8883", "who may use it? Add: from device"},
		{"forward 8883/tcp -> device:8883 from device", "to one peer, not to a group"},
		{"forward 10.42.42:8883/tcp -> press-07:8883 from device", "a forward is:"},
		{"forward 61000/tcp -> press-07:8883 from device", "one of nat-ports"},
		{"probe-address 10.42.42.0/24", "an unused address"},
		{"nat-ports 80-100", "at least 256 ports above 1023"},
		{"nat-ports 61000-61010", "at least 256 ports"}, {"clamp-mss 1400", "stands alone"},
		{"log-flows maybe", "stands alone"},
		{"probe-address 10.0.0.1\nprobe-address 10.0.0.2", "remove one of them"},
		{"clamp-mss\nclamp-mss", "remove one of them"},
		{"flows 15", "a number of flows from 16"},
		{"flows-per-peer 1048577", "a number of flows"},
		{"flows 100 20", "means nothing here"},
		{"allow client -> device icmp = 3", "after the receiver"},
		{"\xff\xfe", "a line begins with"}, {"allow a\x1b[2J -> any", "control characters"},
		{"group lab = a\ngroup b = lab", "a group's members are peers"},
		{"forward 1/tcp -> lab:1 from any\ngroup lab = a", "lab is a group"},
		{"forward 1/tcp -> a:1 from any\nforward 1/tcp -> b:1 from any",
			"in line 2 already"}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct policy_file *file;
		char text[200];

		snprintf(text, sizeof text, "\n%s\nallow client -> device\n", cases[i].line);
		file = parse(text);
		if (file->errors.n != 1)
			fail_msg("%s: %zu errors", cases[i].line, file->errors.n);
		if (strncmp(file->errors.lines[0], "p.conf:2: ", 10) &&
			strncmp(file->errors.lines[0], "p.conf:3: ", 10))
			fail_msg("%s", file->errors.lines[0]);
		if (!strstr(file->errors.lines[0], cases[i].part))
			fail_msg("%s: %s", cases[i].line, file->errors.lines[0]);
		policy_file_free(file);
	}
}

static void test_all_mistakes_are_named_at_once(void **state)
{
	struct policy_file *file = parse("alow a -> b\ndeny a -> b\nflows none\n");

	(void)state;
	assert_int_equal(file->errors.n, 2);
	assert_memory_equal(file->errors.lines[0], "p.conf:1: ", 10);
	assert_memory_equal(file->errors.lines[1], "p.conf:3: ", 10);
	policy_file_free(file);
}

static void test_rule_that_never_counts_is_noted(void **state)
{
	struct policy_file *file = parse_well("deny client -> device\n"
					      "allow client -> device tcp 22\n"
					      "allow client -> host tcp 22\n"
					      "allow client -> host\n"
					      "ping any -> peer\n"
					      "allow client -> peer tcp 1\n"
					      "allow client -> peer udp 1");

	(void)state;
	assert_int_equal(file->notes.n, 1);
	assert_memory_equal(file->notes.lines[0], "p.conf:2: line 1 decides this already", 37);
	policy_file_free(file);
}

static void test_name_that_looks_like_a_group_is_noted(void **state)
{
	struct policy_file *file =
		parse_well("allow deivce -> host\nallow \"clint\" -> presss\ngroup press = a\n");

	(void)state;
	assert_int_equal(file->notes.n, 2);
	assert_non_null(strstr(file->notes.lines[0], "deivce is taken for a peer's name"));
	assert_non_null(strstr(file->notes.lines[0], "write device"));
	assert_non_null(strstr(file->notes.lines[1], "write press,"));
	policy_file_free(file);
}

static void test_file_has_bounds(void **state)
{
	size_t n = 0, cap = 300000;
	char *text = malloc(cap);
	struct policy_file *file;

	(void)state;
	for (unsigned i = 0; i < POLICY_LINES_MAX + 1; i++)
		n += (size_t)snprintf(text + n, cap - n, "deny a%u -> any\n", i);
	file = parse(text);
	assert_int_equal(file->errors.n, 1);
	assert_int_equal(file->n_lines, POLICY_LINES_MAX);
	policy_file_free(file);
	memset(text, 'a', 1000);
	memcpy(text, "deny ", 5);
	memcpy(text + 1000, " -> b", 6);
	file = parse(text);
	assert_int_equal(file->errors.n, 1);
	assert_non_null(strstr(file->errors.lines[0], "write two lines"));
	policy_file_free(file);
	/* 200 times 200 pieces for each of two ports is more than may be. */
	n = (size_t)sprintf(text, "allow a");
	for (unsigned i = 0; i < 198; i++)
		n += (size_t)sprintf(text + n, ",a");
	n += (size_t)sprintf(text + n, " -> b");
	for (unsigned i = 0; i < 164; i++)
		n += (size_t)sprintf(text + n, ",b");
	sprintf(text + n, " tcp 1,2");
	file = parse(text);
	assert_int_equal(file->errors.n, 1);
	assert_non_null(strstr(file->errors.lines[0], "too many rules"));
	policy_file_free(file);
	for (n = 0; n < 25 * 16;)
		n += (size_t)sprintf(text + n, "group g%zu = a\n", n);
	file = parse(text);
	assert_true(file->errors.n > 0);
	assert_non_null(strstr(file->errors.lines[0], "at most 24 groups"));
	policy_file_free(file);
	free(text);
}

static void test_option_says_its_words_without_a_line_number(void **state)
{
	struct policy_file *file = policy_file_new("");
	static const char option[] = "allow device -> host tcp 22x";

	(void)state;
	assert_non_null(file);
	assert_int_equal(policy_file_add(file, 0, option, strlen(option)), 0);
	assert_int_equal(file->errors.n, 1);
	assert_memory_equal(file->errors.lines[0], option, strlen(option));
	policy_file_free(file);
}

static void test_word_on_a_command_line_is_somebody(void **state)
{
	struct policy_file *file = parse_well("group lab = a");
	struct policy_who who;

	(void)state;
	assert_null(policy_who_parse(&who, file, "lab"));
	assert_int_equal(who.kind, WHO_OWN_GROUP);
	policy_who_fini(&who);
	assert_null(policy_who_parse(&who, NULL, "lab"));
	assert_int_equal(who.kind, WHO_NAME);
	policy_who_fini(&who);
	assert_null(policy_who_parse(&who, file, "bench laptop"));
	assert_int_equal(who.kind, WHO_NAME);
	assert_string_equal(who.name, "bench laptop");
	policy_who_fini(&who);
	assert_null(policy_who_parse(&who, file, "host"));
	assert_int_equal(who.group, WGH_GROUP_HOST);
	policy_who_fini(&who);
	assert_non_null(policy_who_parse(&who, file, ""));
	assert_non_null(policy_who_parse(&who, file, "key:x"));
	policy_file_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_says_who_whom_and_what),
		cmocka_unit_test(test_ports_are_lists_of_numbers_and_ranges_for_each_protocol),
		cmocka_unit_test(test_somebody_is_a_group_a_name_a_key_or_an_address),
		cmocka_unit_test(test_lists_of_both_sides_are_taken_apart),
		cmocka_unit_test(test_groups_collect_peers_over_several_lines),
		cmocka_unit_test(test_forward_names_port_receiver_and_users),
		cmocka_unit_test(test_settings_are_read),
		cmocka_unit_test(test_mistake_is_named_by_file_and_line_with_the_remedy),
		cmocka_unit_test(test_all_mistakes_are_named_at_once),
		cmocka_unit_test(test_rule_that_never_counts_is_noted),
		cmocka_unit_test(test_name_that_looks_like_a_group_is_noted),
		cmocka_unit_test(test_file_has_bounds),
		cmocka_unit_test(test_option_says_its_words_without_a_line_number),
		cmocka_unit_test(test_word_on_a_command_line_is_somebody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
