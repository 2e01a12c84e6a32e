/* test_conf.c - control/conf*.c: what a file means, and for every mistake a line that says where
 * and what. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/conf.h"
#include "control/text.h"

#define SECRET "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define KEY1 "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define KEY2 "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define IFACE "[Interface]\nPrivateKey = " SECRET "\n"
#define PEER1 "[Peer]\nPublicKey = " KEY1 "\n"
#define PEER2 "[Peer]\nPublicKey = " KEY2 "\n"

static struct conf *parse_good(const char *text)
{
	struct wgh_error error = {""};
	struct conf *conf = NULL;
	int err = conf_parse(&conf, "hub.conf", text, strlen(text), &error);

	if (err)
		print_error("%s\n", error.text);
	assert_int_equal(err, 0);
	return conf;
}

static void test_whole_file(void **state)
{
	struct conf *conf = parse_good(
		"\xef\xbb\xbf# my hub\r\n[interface]\r\nprivatekey=" SECRET
		"\r\nListenPort = 51820 # udp\r\n"
		"FwMark = 0x1F\r\nAddress = 10.0.0.1/24, fd00::1/64\r\nAddress=10.1.0.1\r\nMTU = "
		"1380\r\n"
		"Table = off\r\nDNS = 1.1.1.1\r\nSaveConfig = true\r\n\r\n"
		"[Peer]\r\nPublicKey = " KEY1 "\r\nPresharedKey = " SECRET
		"\r\nAllowedIPs = 10.0.0.2/32, fd00::2/128\r\nAllowedIPs = 10.2.0.0/16\r\n"
		"Endpoint = [2001:db8::1]:5\r\nPersistentKeepalive = 25\r\n\r\n"
		"[PEER]\r\nPublicKey = " KEY2
		"\r\nEndpoint = vpn.example.org:51820\r\nAllowedIPs =\r\n"
		"PersistentKeepalive = off");
	const struct conf_peer *peer = conf->peers;
	char text[TEXT_ENDPOINT_CHARS];

	(void)state;
	assert_int_equal(conf->private_key[0], 0xc8);
	assert_int_equal(conf->listen_port, 51820);
	assert_int_equal(conf->fwmark, 0x1f);
	assert_int_equal(conf->mtu_bytes, 1380);
	assert_true(conf->table_off);
	assert_int_equal(conf->n_addresses, 3);
	assert_int_equal(conf->addresses[0].bits, 24);
	assert_int_equal(conf->addresses[1].bits, 64);
	assert_int_equal(conf->addresses[2].bits, 32);
	assert_int_equal(conf->n_notes, 2);
	assert_non_null(strstr(conf->notes[0], "hub.conf:10: DNS is ignored"));
	assert_non_null(strstr(conf->notes[1], "hub.conf:11: SaveConfig is ignored"));
	assert_int_equal(conf->n_peers, 2);
	assert_int_equal(peer[0].public_key.bytes[0], 0xc5);
	assert_int_equal(peer[0].preshared_key[0], 0xc8);
	assert_int_equal(peer[0].n_allowed_ips, 3);
	assert_int_equal(peer[0].allowed_ips[2].bits, 16);
	assert_int_equal(peer[0].allowed_lines[2], 17);
	assert_int_equal(peer[0].keepalive_s, 25);
	assert_int_equal(peer[0].line, 13);
	assert_null(peer[0].endpoint_host);
	text_from_endpoint(text, &peer[0].endpoint);
	assert_string_equal(text, "[2001:db8::1]:5");
	assert_string_equal(peer[1].endpoint_host, "vpn.example.org");
	assert_int_equal(peer[1].endpoint_port, 51820);
	assert_int_equal(peer[1].endpoint.family, WGH_UNSPEC);
	assert_int_equal(peer[1].n_allowed_ips, 0);
	assert_int_equal(peer[1].keepalive_s, 0);
	conf_free(conf);
}

static void test_defaults_are_those_of_wg(void **state)
{
	struct conf *conf = parse_good(IFACE);

	(void)state;
	assert_int_equal(conf->listen_port, 0);
	assert_int_equal(conf->fwmark, 0);
	assert_int_equal(conf->mtu_bytes, 0);
	assert_false(conf->table_off);
	assert_int_equal(conf->n_peers + conf->n_addresses + conf->n_notes, 0);
	conf_free(conf);
}

static void test_comments_name_peers(void **state)
{
	static const struct {
		const char *text, *name1, *name2;
	} cases[] = {
		{IFACE "# laptop\n" PEER1 "# printer\n" PEER2, "laptop", "printer"},
		{IFACE PEER1 "# laptop\n\n" PEER2 "# printer\n", "laptop", "printer"},
		{IFACE "### Client ann\n" PEER1 "\n\n" PEER2, "Client ann", NULL},
		{IFACE "# plain\n" PEER1 "# friendly_name = Ann's laptop\n" PEER2, "plain",
			"Ann's laptop"},
		{IFACE "# plain\n" PEER1 "#friendly_name=ann\nAllowedIPs=\n" PEER2, "ann", NULL},
		{IFACE PEER1 "# friendly_name = first\nAllowedIPs=\n# second\n", "first", NULL},
		{IFACE PEER1 "# first\nAllowedIPs=\n# second\n", "first", NULL},
		{IFACE "# plain\n# friendly_name = x\n# more\n" PEER1 PEER2, "x", NULL},
		/* not names: settings taken out, comments of the interface, empty ones */
		{IFACE PEER1 "# PersistentKeepalive = 25\n#\n\n" PEER2, NULL, NULL},
		{"# top\n" IFACE "# inside\n\n" PEER1, NULL, NULL},
		{IFACE PEER1 "AllowedIPs = 10.0.0.1/32 # trailing\n", NULL, NULL},
		/* hostile bytes */
		{IFACE "# a\x1b[31m\xff\n" PEER1, "a\\x1b[31m\\xff", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct conf *conf = parse_good(cases[i].text);
		const char *want[2] = {cases[i].name1, cases[i].name2};

		for (size_t j = 0; j < conf->n_peers; j++) {
			if (want[j]) {
				assert_non_null(conf->peers[j].name);
				assert_string_equal(conf->peers[j].name, want[j]);
			} else {
				assert_null(conf->peers[j].name);
			}
		}
		conf_free(conf);
	}
}

static void test_every_mistake_says_where_and_what(void **state)
{
	static const struct {
		const char *text, *where, *what;
	} cases[] = {
		{"", "hub.conf:1: ", "no PrivateKey in [Interface]"},
		{"[Interface]\n", "hub.conf:1: ", "wghub genkey"},
		{PEER1, "hub.conf:1: ", "no PrivateKey"},
		{"PrivateKey = " SECRET "\n", "hub.conf:1: ", "must begin with [Interface]"},
		{"\n[Network]\n", "hub.conf:2: ", "unknown section"},
		{"[Interface\n", "hub.conf:1: ", "unknown section"},
		{IFACE "Colour = red\n",
			"hub.conf:3: ", "unknown key Colour in [Interface]; known are"},
		{IFACE "AllowedIPs = 10.0.0.0/8\n",
			"hub.conf:3: ", "unknown key AllowedIPs in [Interface]"},
		{IFACE PEER1 "Address = 10.0.0.1\n",
			"hub.conf:5: ", "unknown key Address in [Peer]"},
		{IFACE "\x1b[2J = 1\n", "hub.conf:3: ", "unknown key \\x1b[2J in"},
		{IFACE SECRET "\n", "hub.conf:3: ", "unknown key (long) in"},
		{IFACE "ListenPort\n", "hub.conf:3: ", "Key = value"},
		{IFACE "ListenPort = 65536\n", "hub.conf:3: ", "ListenPort = 65536: a port is"},
		{IFACE "ListenPort = udp\n", "hub.conf:3: ", "a port is a number from 0"},
		{IFACE "ListenPort = 1\nListenPort = 2\n",
			"hub.conf:4: ", "already given in line 3"},
		{IFACE "FwMark = 0x1ffffffff\n", "hub.conf:3: ", "32 bits"},
		{IFACE "FwMark = 0xg\n", "hub.conf:3: ", "hex digits"},
		{IFACE "FwMark = -1\n", "hub.conf:3: ", "a mark is off"},
		{IFACE "Address = 10.0.0.300/24\n", "hub.conf:3: ", "a prefix is ADDRESS/LENGTH"},
		{IFACE "Address = 10.0.0.1/33\n", "hub.conf:3: ", "0 to 32"},
		{IFACE "Address = 10.0.0.1/24,\n", "hub.conf:3: ", "a prefix is ADDRESS/LENGTH"},
		{IFACE "Address =\n", "hub.conf:3: ", "a prefix is ADDRESS/LENGTH"},
		{IFACE "MTU = 100\n", "hub.conf:3: ", "from 576 to 65440"},
		{IFACE "Table = 7\n", "hub.conf:3: ", "write off or auto"},
		{IFACE "SaveConfig = maybe\n", "hub.conf:3: ", "true or false"},
		{IFACE "PostUp = iptables -A x\n",
			"hub.conf:3: PostUp: ", "wghub runs no commands"},
		{IFACE "PreUp = x\n", "hub.conf:3: PreUp: ", "wghub runs no commands"},
		{IFACE "PreDown = x\n", "hub.conf:3: PreDown: ", "wghub runs no commands"},
		{IFACE "PostDown = x\n", "hub.conf:3: PostDown: ", "wghub runs no commands"},
		{IFACE IFACE, "hub.conf:3: ", "already in line 1"},
		{"[Interface]\nPrivateKey = " KEY1 "x\n", "hub.conf:2: PrivateKey: ", "44 base64"},
		{"[Interface]\nPrivateKey =\n", "hub.conf:2: PrivateKey: ", "44 base64"},
		{IFACE "[Peer]\nAllowedIPs = 10.0.0.1\n\n" PEER1,
			"hub.conf:3: ", "has no PublicKey"},
		{IFACE "[Peer]", "hub.conf:3: ", "has no PublicKey"},
		{IFACE "[Peer]\nPublicKey = abc\n", "hub.conf:4: PublicKey: ", "44 base64"},
		{IFACE PEER1 "PublicKey = " KEY2 "\n", "hub.conf:5: ", "already given in line 4"},
		{IFACE PEER1 "PresharedKey = abc\n", "hub.conf:5: PresharedKey: ", "wghub genpsk"},
		{IFACE PEER1 "AllowedIPs = 10.0.0.1/32 10.0.0.2/32\n", "hub.conf:5: ", "prefix"},
		{IFACE PEER1 "AllowedIPs = fd00::/129\n", "hub.conf:5: ", "0 to 128"},
		{IFACE PEER1 "Endpoint = vpn.example.org\n", "hub.conf:5: ", "ADDRESS:PORT"},
		{IFACE PEER1 "Endpoint = vpn.example.org:0\n", "hub.conf:5: ", "from 1 to 65535"},
		{IFACE PEER1 "Endpoint = 10.0.0.256:1\n", "hub.conf:5: ", "ADDRESS:PORT"},
		{IFACE PEER1 "Endpoint = [fd00::x]:1\n", "hub.conf:5: ", "[IPV6-ADDRESS]:PORT"},
		{IFACE PEER1 "Endpoint = a b:1\n", "hub.conf:5: ", "host name"},
		{IFACE PEER1 "PersistentKeepalive = 65536\n", "hub.conf:5: ", "off, or seconds"},
		{IFACE PEER1 PEER2 PEER1, "hub.conf:7: ", "the one in line 3"},
		{IFACE PEER1 "AllowedIPs = 10.0.0.0/24\n" PEER2
			     "AllowedIPs = 10.9.0.0/24, 10.0.0.7/24\n",
			"hub.conf:8: ",
			"10.0.0.0/24 already belongs to the peer of line 3 (AllowedIPs in line 5)"},
		{IFACE PEER1 "AllowedIPs = fd00::/64\n" PEER2 "AllowedIPs = fd00::1/64\n",
			"hub.conf:8: ", "one owner"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_error error = {""};
		struct conf *conf = NULL;
		int err =
			conf_parse(&conf, "hub.conf", cases[i].text, strlen(cases[i].text), &error);

		if (err != -EINVAL || strncmp(error.text, cases[i].where, strlen(cases[i].where)) ||
			!strstr(error.text, cases[i].what))
			print_error("case %zu: %s-> %s\n", i, cases[i].text, error.text);
		assert_int_equal(err, -EINVAL);
		assert_null(conf);
		assert_memory_equal(error.text, cases[i].where, strlen(cases[i].where));
		assert_non_null(strstr(error.text, cases[i].what));
		assert_null(strchr(error.text, '\n'));
		assert_null(strstr(error.text, "yAnz5"));
		assert_null(strstr(error.text, "xTIBA"));
	}
}

static void test_zero_byte_is_refused(void **state)
{
	static const char text[] = IFACE "ListenPort = 1\0 2\n";
	struct wgh_error error = {""};
	struct conf *conf = NULL;

	(void)state;
	assert_int_equal(conf_parse(&conf, "hub.conf", text, sizeof text - 1, &error), -EINVAL);
	assert_non_null(strstr(error.text, "hub.conf:3: a zero byte"));
}

static void test_same_prefix_twice_for_one_peer_is_fine(void **state)
{
	struct conf *conf = parse_good(IFACE PEER1 "AllowedIPs = 10.0.0.1, 10.0.0.1/32\n" PEER2
						   "AllowedIPs = 10.0.0.0/24\n");

	(void)state;
	assert_int_equal(conf->peers[0].n_allowed_ips, 2);
	conf_free(conf);
}

static void test_many_peers(void **state)
{
	enum { N = 20000 };
	char *text = malloc(N * 100 + 200);
	size_t n = (size_t)sprintf(text, IFACE);
	struct conf *conf;

	(void)state;
	for (unsigned i = 0; i < N; i++)
		n += (size_t)sprintf(text + n,
			"[Peer]\nPublicKey = %08uAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
			"AllowedIPs = 10.%u.%u.%u\n",
			i, i >> 16, i >> 8 & 255, i & 255);
	conf = parse_good(text);
	assert_int_equal(conf->n_peers, N);
	assert_int_equal(conf->peers[N - 1].allowed_ips[0].addr.bytes[3], (N - 1) & 255);
	conf_free(conf);
	free(text);
}

/* ---- files ---- */

struct temp_file {
	char path[64];
};

static void temp_write(struct temp_file *f, const char *text, mode_t mode)
{
	int fd;

	strcpy(f->path, "/tmp/wghub-test-conf-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void test_file_that_others_can_read_is_refused_with_the_chmod(void **state)
{
	static const mode_t open_modes[] = {0604, 0644, 0602, 0601};
	struct wgh_error error = {""};
	struct conf *conf = NULL;
	struct temp_file f;
	char want[128];

	(void)state;
	for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
		temp_write(&f, IFACE, open_modes[i]);
		snprintf(want, sizeof want, "type: chmod 600 %s", f.path);
		assert_int_equal(conf_read(&conf, f.path, &error), -EPERM);
		assert_non_null(strstr(error.text, want));
		unlink(f.path);
	}
	temp_write(&f, IFACE, 0640);
	assert_int_equal(conf_read(&conf, f.path, &error), 0);
	conf_free(conf);
	unlink(f.path);
}

static void test_link_is_followed_and_its_target_judged(void **state)
{
	struct wgh_error error = {""};
	struct conf *conf = NULL;
	struct temp_file f;
	char link[80];

	(void)state;
	temp_write(&f, IFACE, 0600);
	snprintf(link, sizeof link, "%s.link", f.path);
	assert_int_equal(symlink(f.path, link), 0);
	assert_int_equal(conf_read(&conf, link, &error), 0);
	conf_free(conf);
	assert_int_equal(chmod(f.path, 0644), 0);
	assert_int_equal(conf_read(&conf, link, &error), -EPERM);
	unlink(link);
	unlink(f.path);
}

static void test_what_is_no_file_is_refused_without_waiting(void **state)
{
	struct wgh_error error = {""};
	struct conf *conf = NULL;
	struct temp_file f;

	(void)state;
	assert_int_equal(conf_read(&conf, "/tmp/wghub-no-such-file", &error), -ENOENT);
	assert_string_equal(error.text, "/tmp/wghub-no-such-file: there is no such file");
	assert_int_equal(conf_read(&conf, "/tmp", &error), -EINVAL);
	assert_non_null(strstr(error.text, "not a plain file"));
	temp_write(&f, "", 0600);
	unlink(f.path);
	assert_int_equal(mkfifo(f.path, 0600), 0);
	assert_int_equal(conf_read(&conf, f.path, &error), -EINVAL);
	unlink(f.path);
	/* A sparse file: refused by its size before anything is read. */
	temp_write(&f, IFACE, 0600);
	assert_int_equal(truncate(f.path, (off_t)CONF_BYTES_MAX + 1), 0);
	assert_int_equal(conf_read(&conf, f.path, &error), -EFBIG);
	unlink(f.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_file),
		cmocka_unit_test(test_defaults_are_those_of_wg),
		cmocka_unit_test(test_comments_name_peers),
		cmocka_unit_test(test_every_mistake_says_where_and_what),
		cmocka_unit_test(test_zero_byte_is_refused),
		cmocka_unit_test(test_same_prefix_twice_for_one_peer_is_fine),
		cmocka_unit_test(test_many_peers),
		cmocka_unit_test(test_file_that_others_can_read_is_refused_with_the_chmod),
		cmocka_unit_test(test_link_is_followed_and_its_target_judged),
		cmocka_unit_test(test_what_is_no_file_is_refused_without_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
