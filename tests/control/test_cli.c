/* test_cli.c - the program itself, for commands that end at once: every bad input is one line that
 * says what, where and what to do. */
#include "tests/control/program.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <sys/socket.h>

static void test_bad_input_is_one_line_and_an_exit_code(void **state)
{
	static const struct {
		const char *line;
		int code;
		const char *says;
	} cases[] = {
		{"", 2, "wghub --help"},
		{"--bogus", 2, "there is no option --bogus"},
		{"-x wg0", 2, "there is no option -x"},
		{"--mtu", 2, "--mtu needs a value"},
		{"--mtu 1 wg0", 2, "--mtu 1: an MTU is a number"},
		{"--workers 0 wg0", 2, "--workers 0: a number from 1 to 64"},
		{"--workers -1 wg0", 2, "--workers -1:"},
		{"--no-offload=udp wg0", 2, "kinds are udp-gro,udp-gso,tun-tso,tun-uso"},
		{"--deliver some wg0", 2, "own or all"},
		{"--aead rot13 wg0", 2, "wghub --version lists them"},
		{"--address 10.0.0.256 --no-tun wg0", 2, "--address 10.0.0.256: a prefix is"},
		{"--address 10.0.0.1 wg0", 2, "--address is for --no-tun"},
		{"--socket-dir relative wg0", 2, "must begin with /"},
		{"wg0 wg1", 2, "more than one name"},
		{"-f", 2, "a name is missing"},
		{"wg/0", 2, "wg/0: an interface name has"},
		{"sixteen-letters-", 2, "1 to 15 characters"},
		{"shwo", 2, "did you mean show?"},
		{"gen-key", 2, "did you mean genkey?"},
		{"help nosuch", 2, "no command nosuch"},
		{"up", 2, "a name is missing; see: wghub help up"},
		{"up missing.conf", 1, "missing.conf: there is no such file"},
		{"up .", 1, "an interface cannot be called . or .."},
		{"up open.conf", 1,
			"open.conf: others can use this file and it holds a private key; type: "
			"chmod 600 "
			"open.conf"},
		{"up badkey.conf", 1, "badkey.conf:2: PrivateKey: a key is 44 base64"},
		{"up badprefix.conf", 1,
			"badprefix.conf:5: AllowedIPs = 10.0.0.0/33: an IPv4 prefix length"},
		{"up badendpoint.conf", 1,
			"badendpoint.conf:5: Endpoint = nowhere: an endpoint is"},
		{"up badport.conf", 1, "badport.conf:3: ListenPort = 99999: a port is"},
		{"up unknown.conf", 1, "unknown.conf:3: unknown key Colour"},
		{"up twice.conf", 1,
			"twice.conf:8: AllowedIPs 10.0.0.0/24 already belongs to the peer of line "
			"3 "
			"(AllowedIPs in line 5)"},
		{"up postup.conf", 1, "postup.conf:3: PostUp: wghub runs no commands"},
		{"up default.conf", 1, "default.conf:5: AllowedIPs with length 0"},
		{"up --no-tun --bogus postup.conf", 2, "there is no option --bogus"},
		{"down", 2, "which hub?"},
		{"down nosuch", 1, "no hub called nosuch runs here"},
		{"down a/b*c", 1, "an interface name has"},
		{"show nosuch", 1, "no hub called nosuch runs here"},
		{"show nosuch --json", 1, "no hub called nosuch runs here"},
		{"show a b", 2, "more than one name"},
		{"show --socket-dir /nonexistent", 0, "no hub runs here"},
		{"--factory acme --oauthcreds= daemon", 2, "--oauthcreds : it is empty"},
		{"show --yaml", 2, "there is no option --yaml"},
		{"genkey now", 2, "it takes no arguments"},
		{"genpsk now", 2, "it takes no arguments"},
		{"pubkey " SECRET, 2, "a key given as one is seen by others"},
		{"pubkey", 1, "not a private key"},
		{"--factory acme", 2, "the subcommand is missing: enable, daemon"},
		{"-f acme -k openkey", 2, "the subcommand is missing: enable, daemon"},
		{"--api-url https://x enable_run", 2,
			"--factory NAME is missing; see: wghub help enable_run"},
		{"--endpoint=x --no-tun enable", 2,
			"--factory NAME is missing; see: wghub help enable"},
		{"daemon", 2, "--factory NAME is missing; see: wghub help daemon"},
		{"--factory ../x daemon", 2, "a factory's name is"},
		{"--factory acme/x -t a daemon", 2, "a factory's name is"},
		{"--factory acme frobnicate", 2, "there is no subcommand frobnicate, only"},
		{"--factory acme daemon daemon", 2, "more than one subcommand"},
		{"--factory acme daemon -i 0", 2, "-i 0: a number of seconds"},
		{"--factory acme --mtu 1 daemon", 2, "--mtu 1: an MTU is a number"},
		{"--factory acme -n sixteen-letters- daemon", 2, "1 to 15 characters"},
		{"--factory acme -k openkey daemon", 2, "credentials are missing"},
		{"--factory acme -t a -a b daemon", 2, "exclude each other"},
		{"--factory acme -t a --state-dir . daemon", 2, "--privatekey FILE is missing"},
		{"--factory acme -t a --state-dir . -k missing daemon", 1, "missing"},
		{"--factory acme -t a --state-dir . -k in daemon", 1, "in: not a private key"},
		{"--factory acme -t a --state-dir in/x -k in daemon", 1,
			"in/x: the state's folder"},
		{"--factory thirteen-long -t a --state-dir . -k in daemon", 2,
			"is too long for an interface's name"},
		{"--factory acme --api-url http://x daemon", 2, "must begin with https://"},
		{"--factory acme --ca-file missing daemon", 2, "--ca-file missing: No such file"},
		{"--factory acme --header X daemon", 2, "a header is \"Name: value\""},
		{"--factory acme --allow-device-to-host=22,x daemon", 2,
			"--allow-device-to-host 22,x: a list of ports and ranges"},
		{"--factory acme --policy missing daemon", 2, "--policy missing: No such file"},
		{"up --policy missing x.conf", 2, "--policy missing: No such file"},
		{"--factory acme -t a -p 5 daemon", 2, "daemon: it takes no -p"},
		{"--factory acme -t a enable -p 0", 2, "-p 0: a port is"},
		{"--factory acme -t a enable -v 10.42.42.1/24", 2, "without a length"},
		{"--factory acme -t a enable -v 8.8.8.8", 2, "one of a private network"},
		{"--factory acme -t a enable --header a:b -k in --state-dir .", 2,
			"--header may hold a secret"},
		{"--factory acme -t a -k in --json enable", 2, "it takes no --json"},
		{"enable", 2, "enable: --factory NAME is missing"},
		{"enable_run", 2, "enable_run: --factory NAME is missing"},
		{"-t a -f acme -k missing update_endpoint -p 5", 1, "missing"},
		{"-t a -f acme -k in update_endpoint", 2, "what is new?"},
		{"-t a -f acme update_endpoint -p 5", 2, "--privatekey FILE is missing"},
		{"login -f acme", 2, "--oauthcreds FILE is missing"},
		{"login -f acme -t a -a b", 2, "an API token needs no login"},
		{"login -f acme -a in", 1, "a login does not replace it"},
		{"server -f acme -t a", 2, "wghub server show"},
		{"server show", 2, "server: --factory NAME is missing"},
		{"policy", 2, "check or test?"},
		{"policy chekc in", 2, "there is no chekc"},
		{"policy check", 2, "check takes one file"},
		{"policy check missing", 1, "missing: "},
		{"policy check rules", 1, "rules:2: a line begins with"},
		{"policy test a", 2, "it takes FROM and TO"},
		{"policy test a b tpc", 2, "the third word is"},
		{"policy test a b icmp 3", 2, "the fourth word is"},
		{"policy test --file rules client device", 1, "rules:2: "},
		{"policy test --file in client device", 1, "in:1: "},
		{"why a", 2, "it takes FROM and TO"},
		{"why --socket-dir /nonexistent a b", 1, "no hub runs here"},
		{"bench now", 2, "it takes no arguments"},
		{"bench --seconds 0", 2, "--seconds: a number from 1 to 3600"},
		{"bench --aead rot13", 2, "--aead rot13: not a back end here"},
	};

	(void)state;
	spill("in", "not a key\n", 0600);
	spill("rules", "allow a -> b\nalow\n", 0600);
	spill("open.conf", "[Interface]\nPrivateKey = " SECRET "\n", 0644);
	spill("badkey.conf", "[Interface]\nPrivateKey = x" SECRET "\n", 0600);
	spill("badport.conf", "[Interface]\nPrivateKey = " SECRET "\nListenPort = 99999\n", 0600);
	spill("unknown.conf", "[Interface]\nPrivateKey = " SECRET "\nColour = red\n", 0600);
	spill("postup.conf", "[Interface]\nPrivateKey = " SECRET "\nPostUp = true\n", 0600);
	spill("badprefix.conf",
		"[Interface]\nPrivateKey = " SECRET "\n[Peer]\nPublicKey = " KEY1
		"\nAllowedIPs = 10.0.0.0/33\n",
		0600);
	spill("badendpoint.conf",
		"[Interface]\nPrivateKey = " SECRET "\n[Peer]\nPublicKey = " KEY1
		"\nEndpoint = nowhere\n",
		0600);
	spill("default.conf",
		"[Interface]\nPrivateKey = " SECRET "\n[Peer]\nPublicKey = " KEY1
		"\nAllowedIPs = 0.0.0.0/0\n",
		0600);
	spill("twice.conf",
		"[Interface]\nPrivateKey = " SECRET "\n[Peer]\nPublicKey = " KEY1
		"\nAllowedIPs = 10.0.0.0/24\n[Peer]\nPublicKey = " KEY2
		"\nAllowedIPs = 10.0.0.1/24\n",
		0600);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char line[256];
		struct run *r;

		/* Sockets in the test's directory, also for root. */
		if (!strncmp(cases[i].line, "show", 4) || !strncmp(cases[i].line, "down", 4))
			snprintf(line, sizeof line, "%.4s --socket-dir %s/wireguard%s",
				cases[i].line, dir, cases[i].line + 4);
		else
			snprintf(line, sizeof line, "%s", cases[i].line);
		r = run(line);
		if (r->code != cases[i].code || !strstr(r->err, cases[i].says))
			print_error("wghub %s -> %d %s\n", cases[i].line, r->code, r->err);
		assert_int_equal(r->code, cases[i].code);
		assert_non_null(strstr(r->err, cases[i].says));
		assert_string_equal(r->out, "");
		assert_memory_equal(r->err, "wghub", 5);
		assert_ptr_equal(strchr(r->err, '\n'), r->err + strlen(r->err) - 1);
		assert_null(strstr(r->err, "yAnz5"));
	}
}

static void test_bad_environment_is_said(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} cases[] = {{"LOG_LEVEL", "loud", "LOG_LEVEL: one of silent"},
		{"WG_TUN_FD", "x", "WG_TUN_FD: not the number of an open descriptor"},
		{"WG_TUN_FD", "999", "WG_TUN_FD: not the number of an open descriptor"},
		{"WG_UAPI_FD", "-1", "WG_UAPI_FD: not the number"}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct run *r;

		setenv(cases[i].name, cases[i].value, 1);
		r = run("wgt0");
		unsetenv(cases[i].name);
		assert_int_not_equal(r->code, 0);
		assert_non_null(strstr(r->err, cases[i].says));
	}
}

static void test_help_is_there_for_every_command(void **state)
{
	static const char *const commands[] = {"up", "down", "show", "daemon", "genkey", "genpsk",
		"pubkey", "bench", "enable", "enable_run", "update_endpoint", "login", "server"};
	static const char *const factory[] = {"daemon", "enable", "enable_run", "update_endpoint"};
	struct run *r = run("--help");
	char line[64], want[64], whole[65536];

	(void)state;
	assert_int_equal(r->code, 0);
	strcpy(whole, r->out);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		snprintf(want, sizeof want, "\n  %s ", commands[i]);
		assert_non_null(strstr(whole, want));
		/* These have the command line of the Python daemon: the word comes last. */
		snprintf(want, sizeof want, "\nUsage: wghub %s", commands[i]);
		for (size_t j = 0; j < sizeof factory / sizeof *factory; j++) {
			if (!strcmp(commands[i], factory[j]))
				strcpy(want, "\nUsage: wghub --factory");
		}
		snprintf(line, sizeof line, "%s --help", commands[i]);
		r = run(line);
		assert_int_equal(r->code, 0);
		assert_non_null(strstr(r->out, want));
		snprintf(line, sizeof line, "help %s", commands[i]);
		assert_int_equal(run(line)->code, 0);
	}
	assert_non_null(strstr(run("help run")->out, "WG_QUICK_USERSPACE_IMPLEMENTATION=wghub"));
	assert_non_null(strstr(run("--version")->out, ", AEAD "));
}

static void test_bench_measures_what_it_says(void **state)
{
	static const char *const says[] = {"wghub ", "\nAEAD, ns", "  sodium ",
		"\nThe hub in memory", "2 peers, single packets",
		"\nThe hub on the loopback interface", " Gbit/s of large packets"};
	struct run *r = run("bench --seconds 1 --aead sodium");

	(void)state;
	assert_int_equal(r->code, 0);
	assert_string_equal(r->err, "");
	for (size_t i = 0; i < sizeof says / sizeof *says; i++)
		assert_non_null(strstr(r->out, says[i]));
}

static void test_keys_are_those_of_wireguard(void **state)
{
	struct run *r;
	char key[64];

	(void)state;
	/* RFC 7748, section 6.1: Alice's private and public key. */
	spill("in", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n", 0600);
	r = run("pubkey");
	assert_int_equal(r->code, 0);
	assert_string_equal(r->out, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n");
	r = run("genkey");
	assert_int_equal(r->code, 0);
	assert_int_equal(strlen(r->out), 45);
	strcpy(key, r->out);
	assert_string_not_equal(run("genkey")->out, key);
	spill("in", key, 0600);
	assert_int_equal(run("pubkey")->code, 0);
	assert_int_equal(strlen(run("genpsk")->out), 45);
}

/* What doctor says with this port, after it was checked: its exit code is its verdict, and whatever
 * is not well has a meaning and a remedy. */
static json_t *doctor_findings(unsigned port, bool *healthy)
{
	json_t *root, *list, *finding;
	char line[128];
	struct run *r;
	size_t i, n_bad = 0;

	snprintf(line, sizeof line, "doctor --json --port %u --socket-dir %s", port, dir);
	r = run(line);
	root = json_loads(r->out, 0, NULL);
	assert_non_null(root);
	list = json_object_get(root, "findings");
	assert_int_equal(json_array_size(list), 10);
	json_array_foreach(list, i, finding)
	{
		const char *state = json_string_value(json_object_get(finding, "state"));
		bool well = !strcmp(state, "ok");

		n_bad += !strcmp(state, "bad");
		assert_int_equal(!*json_string_value(json_object_get(finding, "meaning")), well);
		assert_int_equal(!*json_string_value(json_object_get(finding, "remedy")), well);
		assert_int_not_equal(json_string_length(json_object_get(finding, "found")), 0);
	}
	*healthy = json_is_true(json_object_get(root, "healthy"));
	assert_int_equal(*healthy, n_bad == 0);
	assert_int_equal(r->code, *healthy ? 0 : 1);
	return root;
}

static const char *doctor_state(json_t *root, const char *name)
{
	json_t *finding;
	size_t i;

	json_array_foreach(json_object_get(root, "findings"), i, finding)
	{
		if (!strcmp(json_string_value(json_object_get(finding, "name")), name))
			return json_string_value(json_object_get(finding, "state"));
	}
	return "missing";
}

static void test_doctor_finds_a_port_that_is_taken_and_tries_offload(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool healthy;
	json_t *root;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	root = doctor_findings(ntohs(at.sin_port), &healthy);
	assert_false(healthy);
	assert_string_equal(doctor_state(root, "port"), "bad");
	json_decref(root);
	close(fd);
	root = doctor_findings(ntohs(at.sin_port), &healthy);
	assert_string_equal(doctor_state(root, "port"), "ok");
	assert_string_not_equal(doctor_state(root, "offload"), "bad");
	assert_string_not_equal(doctor_state(root, "aead"), "bad");
	json_decref(root);
}

/* A script that goes on with half an answer does harm; and no socket of ours may become standard
 * output. */
static void test_answer_that_nobody_gets_is_an_error(void **state)
{
	static const char *const lines[] = {"--help", "--version", "help up",
		"show --json --socket-dir /nonexistent", "genkey",
		"policy test --file in client device",
		"device show x --json --factory f -t t --api-url https://127.0.0.1:1"};
	static const char *const places[] = {"/dev/full", NULL};

	(void)state;
	spill("in", "", 0600);
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
			char err[4096];
			int code;

			stdout_goes_to = places[k];
			code = wait_for(start(lines[i]));
			stdout_goes_to = "out";
			slurp("err", err, sizeof err);
			if (code != 1 || !strchr(err, '\n') || strchr(err, '\n')[1])
				fail_msg("%s: %d %s", lines[i], code, err);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_input_is_one_line_and_an_exit_code),
		cmocka_unit_test(test_bad_environment_is_said),
		cmocka_unit_test(test_help_is_there_for_every_command),
		cmocka_unit_test(test_answer_that_nobody_gets_is_an_error),
		cmocka_unit_test(test_bench_measures_what_it_says),
		cmocka_unit_test(test_keys_are_those_of_wireguard),
		cmocka_unit_test(test_doctor_finds_a_port_that_is_taken_and_tries_offload),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
