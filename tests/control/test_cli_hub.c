/* test_cli_hub.c - the program itself: a hub without a TUN is started, shown, reloaded and ended.
 */
#include "tests/control/program.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

static int connect_to(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/wireguard/%s.sock", dir, name);
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
		return fd;
	close(fd);
	return -1;
}

static pid_t pid_of(const char *name)
{
	int fd = connect_to(name);
	struct ucred ucred;
	socklen_t len = sizeof ucred;

	assert_true(fd >= 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len), 0);
	close(fd);
	return ucred.pid;
}

static struct run *run_in_dir(const char *command, const char *rest)
{
	char line[512];

	snprintf(line, sizeof line, "%s --socket-dir %s/wireguard %s", command, dir, rest);
	return run(line);
}

static json_t *show(const char *name)
{
	struct run *r = run_in_dir("show --json", name);
	json_t *all, *hub;

	assert_int_equal(r->code, 0);
	all = json_loads(r->out, 0, NULL);
	assert_non_null(all);
	hub = json_incref(json_object_get(all, name));
	json_decref(all);
	assert_non_null(hub);
	return hub;
}

static void test_hub_goes_up_is_shown_and_goes_down(void **state)
{
	json_t *hub, *peer;
	struct run *r;

	(void)state;
	spill("wgt1.conf",
		"[Interface]\nPrivateKey = " SECRET "\nAddress = 10.9.0.1/24\nDNS = 1.1.1.1\n"
		"# Ann's \x1b[31mprinter\n[Peer]\nPublicKey = " KEY1 "\nPresharedKey = " SECRET
		"\nAllowedIPs = 10.9.0.2/32, fd09::2\nPersistentKeepalive = 25\n"
		"[Peer]\nPublicKey = " KEY2 "\nEndpoint = nosuch.invalid:9\n",
		0600);
	r = run_in_dir("up --no-tun", "wgt1.conf");
	assert_int_equal(r->code, 0);
	assert_non_null(strstr(r->err, "wgt1.conf:4: DNS is ignored"));
	hub = show("wgt1");
	/* The public key of SECRET, as wg pubkey says. */
	assert_string_equal(json_string_value(json_object_get(hub, "public_key")),
		"HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=");
	assert_true(json_integer_value(json_object_get(hub, "listen_port")) > 0);
	assert_string_equal(json_string_value(json_array_get(json_object_get(hub, "addresses"), 0)),
		"10.9.0.1/24");
	/* A peer whose endpoint's name does not resolve is there. */
	assert_int_equal(json_array_size(json_object_get(hub, "peers")), 2);
	for (size_t i = 0; i < 2; i++) {
		peer = json_array_get(json_object_get(hub, "peers"), i);
		if (strcmp(json_string_value(json_object_get(peer, "public_key")), KEY1))
			continue;
		assert_string_equal(
			json_string_value(json_object_get(peer, "name")), "Ann's \\x1b[31mprinter");
		assert_true(json_is_true(json_object_get(peer, "has_preshared_key")));
		assert_int_equal(
			json_integer_value(json_object_get(peer, "persistent_keepalive")), 25);
		assert_true(json_is_null(json_object_get(peer, "latest_handshake")));
		assert_int_equal(json_array_size(json_object_get(peer, "allowed_ips")), 2);
	}
	json_decref(hub);
	r = run_in_dir("show", "wgt1");
	assert_non_null(strstr(r->out, "peer: Ann's \\x1b[31mprinter\n"));
	assert_null(strstr(r->out, SECRET));
	r = run_in_dir("down", "wgt1.conf");
	assert_int_equal(r->code, 0);
	assert_int_equal(connect_to("wgt1"), -1);
	assert_int_equal(run_in_dir("down", "wgt1")->code, 1);
}

static void test_second_hub_of_a_name_is_refused_and_the_first_runs_on(void **state)
{
	struct run *r;
	pid_t pid;

	(void)state;
	assert_int_equal(run_in_dir("--no-tun", "wgt2")->code, 0);
	pid = pid_of("wgt2");
	r = run_in_dir("--no-tun", "wgt2");
	assert_int_equal(r->code, 1);
	assert_non_null(strstr(r->err, "wgt2 is already running"));
	assert_non_null(strstr(r->err, "wghub down wgt2"));
	assert_int_equal(pid_of("wgt2"), pid);
	assert_int_equal(run_in_dir("down", "wgt2")->code, 0);
}

static void test_port_in_use_is_refused_by_its_number(void **state)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char text[256], want[64];
	struct run *r;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(text, sizeof text, "[Interface]\nPrivateKey = " SECRET "\nListenPort = %u\n",
		ntohs(addr.sin_port));
	spill("wgt3.conf", text, 0600);
	r = run_in_dir("up --no-tun", "wgt3.conf");
	assert_int_equal(r->code, 1);
	snprintf(want, sizeof want, "listen port %u", ntohs(addr.sin_port));
	assert_non_null(strstr(r->err, want));
	assert_int_equal(connect_to("wgt3"), -1);
	close(fd);
	assert_int_equal(run_in_dir("up --no-tun", "wgt3.conf")->code, 0);
	assert_int_equal(run_in_dir("down", "wgt3.conf")->code, 0);
}

/* Peers of a hub, asked until there are n: a signal takes a moment. */
static void expect_peers(const char *name, size_t n)
{
	size_t seen = n + 1;

	for (int i = 0; i < 3000 && seen != n; i++) {
		json_t *hub = show(name);

		seen = json_array_size(json_object_get(hub, "peers"));
		json_decref(hub);
		if (seen != n)
			usleep(20000);
	}
	assert_int_equal(seen, n);
}

static void test_hangup_applies_the_file_and_a_bad_file_changes_nothing(void **state)
{
	static const char one[] =
		"[Interface]\nPrivateKey = " SECRET "\n[Peer]\nPublicKey = " KEY1 "\n";
	static const char two[] = "[Interface]\nPrivateKey = " SECRET "\n[Peer]\nPublicKey = " KEY1
				  "\n[Peer]\nPublicKey = " KEY2 "\n";
	pid_t pid;

	(void)state;
	spill("wgt4.conf", one, 0600);
	assert_int_equal(run_in_dir("up --no-tun", "wgt4.conf")->code, 0);
	pid = pid_of("wgt4");
	expect_peers("wgt4", 1);
	spill("wgt4.conf", two, 0600);
	kill(pid, SIGHUP);
	expect_peers("wgt4", 2);
	spill("wgt4.conf", "[Interface]\nPrivateKey = nonsense\n", 0600);
	kill(pid, SIGHUP);
	spill("in", "", 0600);
	usleep(100000);
	expect_peers("wgt4", 2);
	spill("wgt4.conf", one, 0600);
	kill(pid, SIGHUP);
	expect_peers("wgt4", 1);
	assert_int_equal(pid_of("wgt4"), pid);
	assert_int_equal(run_in_dir("down", "wgt4")->code, 0);
}

/* Waits until the hub answers. */
static void wait_until_up(const char *name)
{
	int fd = -1;

	for (int i = 0; i < 3000 && (fd = connect_to(name)) < 0; i++)
		usleep(20000);
	assert_true(fd >= 0);
	close(fd);
}

static void test_foreground_ends_with_signals_and_leaves_nothing(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	char line[256], path[128], err[4096];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		pid_t pid;

		snprintf(line, sizeof line, "-f --no-tun --socket-dir %s/wireguard wgt5", dir);
		pid = start(line);
		wait_until_up("wgt5");
		assert_int_equal(kill(pid, signals[i]), 0);
		assert_int_equal(wait_for(pid), 0);
		snprintf(path, sizeof path, "%s/wireguard/wgt5.sock", dir);
		assert_int_equal(access(path, F_OK), -1);
		slurp("err", err, sizeof err);
		assert_non_null(strstr(err, "hub runs name=wgt5"));
		assert_non_null(strstr(err, "hub ends name=wgt5"));
	}
}

static void test_environment_of_wireguard_go_is_honoured(void **state)
{
	char line[256], path[128], text[64];
	pid_t pid;

	(void)state;
	snprintf(path, sizeof path, "%s/name", dir);
	setenv("WG_PROCESS_FOREGROUND", "1", 1);
	setenv("WG_TUN_NAME_FILE", path, 1);
	setenv("LOG_LEVEL", "silent", 1);
	snprintf(line, sizeof line, "--no-tun --socket-dir %s/wireguard wgt6", dir);
	pid = start(line);
	unsetenv("WG_PROCESS_FOREGROUND");
	unsetenv("WG_TUN_NAME_FILE");
	unsetenv("LOG_LEVEL");
	wait_until_up("wgt6");
	text[0] = 0;
	for (int i = 0; i < 3000 && !strchr(text, '\n'); i++) {
		if (!access(path, F_OK))
			slurp("name", text, sizeof text);
		usleep(20000);
	}
	assert_string_equal(text, "wgt6\n");
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* it is the hub, not its parent */
	kill(pid, SIGTERM);
	assert_int_equal(wait_for(pid), 0);
	slurp("err", text, sizeof text);
	assert_string_equal(text, "");
}

/* wg's own protocol over the real thing. */
static void test_socket_speaks_uapi(void **state)
{
	static const char request[] = "set=1\nlisten_port=x\n\nset=1\nreplace_peers=true\n\n";
	char answer[256] = "";
	size_t n = 0;
	int fd;

	(void)state;
	assert_int_equal(run_in_dir("--no-tun", "wgt7")->code, 0);
	fd = connect_to("wgt7");
	assert_int_equal(write(fd, request, sizeof request - 1), (ssize_t)sizeof request - 1);
	shutdown(fd, SHUT_WR);
	for (ssize_t got; (got = read(fd, answer + n, sizeof answer - 1 - n)) > 0;)
		n += (size_t)got;
	assert_string_equal(answer, "errno=-22\n\nerrno=0\n\n");
	close(fd);
	assert_int_equal(run_in_dir("down", "wgt7")->code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hub_goes_up_is_shown_and_goes_down),
		cmocka_unit_test(test_second_hub_of_a_name_is_refused_and_the_first_runs_on),
		cmocka_unit_test(test_port_in_use_is_refused_by_its_number),
		cmocka_unit_test(test_hangup_applies_the_file_and_a_bad_file_changes_nothing),
		cmocka_unit_test(test_foreground_ends_with_signals_and_leaves_nothing),
		cmocka_unit_test(test_environment_of_wireguard_go_is_honoured),
		cmocka_unit_test(test_socket_speaks_uapi),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
