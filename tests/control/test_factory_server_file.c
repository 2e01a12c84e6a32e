/* test_factory_server_file.c - control/factory_server_file.c: what readers forgive and what writers
 * never send. The rows named are faults of the old Python daemon (tests/factory-faults.md). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "control/factory_server_file.h"

#define KEY "MZ8/BGa1UFB+H6KZtYrMFarKwnSDyIzUfpVIuCUez8E="
#define GOOD "endpoint=hub.example.net:5555\nserver_address=10.42.42.1\npubkey=" KEY

static int parse(struct server_file *file, const char *text, struct wgh_error *error)
{
	return server_file_parse(file, text, strlen(text), NULL, error);
}

static void test_server_file_of_every_writer_is_read(void **state)
{
	static const char *const texts[] = {GOOD, /* fioctl */
		/* row 41: the daemon's own second and third line are indented */
		"endpoint=hub.example.net:5555\n    server_address=10.42.42.1\n    pubkey=" KEY,
		/* row 30: empty lines and comments ended the daemon */
		"\n# a comment\n# a=b\n\n" GOOD "\n\n",
		/* Windows line ends, blanks around everything */
		" endpoint = hub.example.net:5555 "
		"\r\n\tserver_address\t=10.42.42.1\t\r\npubkey=" KEY " \r\n",
		/* the last one counts, as for the shell */
		"endpoint=other:1\nserver_address=x\n" GOOD, "enabled=1\n" GOOD, "enabled=\n" GOOD,
		"enabled=no\n" GOOD, "unknown=1\n" GOOD, "no equals sign\n" GOOD};
	struct wgh_error error;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct server_file f;

		assert_int_equal(parse(&f, texts[i], &error), 0);
		assert_string_equal(f.host, "hub.example.net");
		assert_int_equal(f.port, 5555);
		assert_memory_equal(f.address.bytes, ((uint8_t[]){10, 42, 42, 1}), 4);
		assert_int_equal(f.public_key.bytes[0], 0x31);
		assert_true(f.enabled);
	}
}

static void test_enabled_zero_switches_off(void **state)
{
	struct server_file f;
	struct wgh_error error;

	(void)state;
	assert_int_equal(parse(&f, GOOD "\nenabled=0", &error), 0);
	assert_false(f.enabled);
	assert_int_equal(parse(&f, GOOD "\nenabled=0\nenabled=1", &error), 0);
	assert_true(f.enabled);
}

static void test_missing_or_wrong_value_is_named_and_changes_nothing(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {{"", "endpoint"}, {"endpoint=a:1\npubkey=" KEY, "server_address"},
		{"endpoint=a:1\nserver_address=10.0.0.1", "pubkey"},
		{"endpoint=a:1\nserver_address=10.0.0.256\npubkey=" KEY, "server_address"},
		{"endpoint=a:1\nserver_address=fd00::1\npubkey=" KEY, "server_address"},
		{"endpoint=a:0\nserver_address=10.0.0.1\npubkey=" KEY, "endpoint"},
		{"endpoint=a\nserver_address=10.0.0.1\npubkey=" KEY, "endpoint"},
		{"endpoint=a;b:1\nserver_address=10.0.0.1\npubkey=" KEY, "endpoint"},
		{"endpoint=a:1\nserver_address=10.0.0.1\npubkey=A" KEY, "pubkey"},
		{"endpoint=a:1\nserver_address=10.0.0.1\npubkey="
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
			"pubkey"},
		{"pubkey", "endpoint"}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct server_file f = {.port = 77};
		struct wgh_error error = {""};

		assert_int_equal(parse(&f, cases[i].text, &error), -EINVAL);
		assert_non_null(strstr(error.text, cases[i].says));
		assert_int_equal(f.port, 77);
	}
}

static void test_surprises_are_noted(void **state)
{
	static const char *const texts[] = {"keepalive=15\n" GOOD, "pubkey\n" GOOD,
		("endpoint=hub.example.net:5555\nserver_address=10.42.42.1/24\npubkey=" KEY)};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct notes notes = {0};
		struct server_file f;
		struct wgh_error error;

		assert_int_equal(
			server_file_parse(&f, texts[i], strlen(texts[i]), &notes, &error), 0);
		assert_int_equal(notes.n, 1);
		notes_fini(&notes);
	}
}

static void test_written_text_is_exact(void **state)
{
	static const struct {
		const char *endpoint, *text;
		bool enabled;
	} cases[] = {{"hub.example.net:5555", GOOD, true},
		{"hub.example.net:5555", GOOD "\nenabled=0", false},
		{"192.0.2.1:65535",
			"endpoint=192.0.2.1:65535\nserver_address=10.42.42.1\npubkey=" KEY, true},
		/* row 31: the daemon died of this one */
		{"[2001:db8::1]:5555",
			"endpoint=[2001:db8::1]:5555\nserver_address=10.42.42.1\npubkey=" KEY,
			true}};
	struct server_file base;
	struct wgh_error error;

	(void)state;
	assert_int_equal(parse(&base, GOOD, &error), 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct server_file f = base, again;
		char out[FACTORY_FILE_CHARS];

		f.enabled = cases[i].enabled;
		assert_null(server_file_endpoint(&f, cases[i].endpoint, strlen(cases[i].endpoint)));
		assert_int_equal(server_file_write(out, &f, &error), 0);
		assert_string_equal(out, cases[i].text);
		assert_int_equal(parse(&again, out, &error), 0);
		assert_true(server_file_equal(&f, &again));
	}
}

/* These strings are run by root's shell on every device. */
static void test_nothing_a_shell_would_act_on_is_written(void **state)
{
	static const char *const hosts[] = {"", "a b", "a;reboot", "$(reboot)", "`reboot`", "a'b",
		"a\"b", "a\nb", "a\\b", "a&b", "a|b", "a>b", "a*b", "a_b", "~root", "a#b",
		"\xc3\xa4", "-a", "[::1]", "fe80::1%eth0", "::ffff:1.2.3.4", "10.0.0.256", "1.2.3",
		"a/b"};
	struct server_file good;
	struct wgh_error error;
	char out[FACTORY_FILE_CHARS], host[TEXT_HOST_CHARS];

	(void)state;
	assert_int_equal(parse(&good, GOOD, &error), 0);
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		struct server_file f = good;

		strcpy(f.host, hosts[i]);
		assert_int_equal(server_file_write(out, &f, &error), -EINVAL);
	}
	memset(host, 'a', sizeof host - 1);
	host[sizeof host - 1] = 0;
	strcpy(good.host, host);
	assert_int_equal(server_file_write(out, &good, &error), 0); /* the longest there is */
	good.port = 0;
	assert_int_equal(server_file_write(out, &good, &error), -EINVAL);
	good.port = 1;
	good.address.family = WGH_IPV6;
	assert_int_equal(server_file_write(out, &good, &error), -EINVAL);
	good.address.family = WGH_IPV4;
	memset(&good.public_key, 0, sizeof good.public_key);
	assert_int_equal(server_file_write(out, &good, &error), -EINVAL);
}

static void test_files_differ_where_a_reader_would_see_it(void **state)
{
	struct server_file a, b;
	struct wgh_error error;

	(void)state;
	assert_int_equal(parse(&a, GOOD, &error), 0);
	b = a;
	strcpy(b.host, "HUB.example.NET");
	assert_true(server_file_equal(&a, &b));
	strcpy(b.host, "hub2.example.net");
	assert_false(server_file_equal(&a, &b));
	b = a;
	b.port++;
	assert_false(server_file_equal(&a, &b));
	b = a;
	b.address.bytes[3]++;
	assert_false(server_file_equal(&a, &b));
	b = a;
	b.public_key.bytes[31]++;
	assert_false(server_file_equal(&a, &b));
	b = a;
	b.enabled = false;
	assert_false(server_file_equal(&a, &b));
}

static void test_device_file_of_every_writer_is_read(void **state)
{
	static const struct {
		const char *text;
		uint8_t last; /* of the address; 0: none */
		bool key, enabled;
		size_t n_notes;
	} cases[] = {{"enabled=0\n\npubkey=" KEY, 0, true, false, 0}, /* a device's first */
		{"address=10.42.42.2\npubkey=" KEY, 2, true, true, 0},
		{"address=10.42.42.2\npubkey=" KEY "\nenabled=0", 2, true, false, 0},
		{"", 0, false, true, 0}, {"address=10.42.42.2/24\npubkey=x", 0, false, true, 2},
		{"server_address=10.42.42.9", 0, false, true, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct notes notes = {0};
		struct device_file f;

		device_file_parse(&f, cases[i].text, strlen(cases[i].text), &notes);
		assert_int_equal(f.address.bytes[3], cases[i].last);
		assert_int_equal(f.address.family, cases[i].last ? WGH_IPV4 : WGH_UNSPEC);
		assert_int_equal(f.has_public_key, cases[i].key);
		assert_int_equal(f.enabled, cases[i].enabled);
		assert_int_equal(notes.n, cases[i].n_notes);
		notes_fini(&notes);
	}
}

static void test_device_file_is_written_as_fioctl_does(void **state)
{
	static const char *const texts[] = {"address=10.42.42.2\npubkey=" KEY,
		"address=10.42.42.2\npubkey=" KEY "\nenabled=0", "pubkey=" KEY "\nenabled=0"};
	char out[FACTORY_FILE_CHARS];
	struct wgh_error error;
	struct device_file f;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		device_file_parse(&f, texts[i], strlen(texts[i]), NULL);
		assert_int_equal(device_file_write(out, &f, &error), 0);
		assert_string_equal(out, texts[i]);
	}
	f.address.family = WGH_IPV6;
	assert_int_equal(device_file_write(out, &f, &error), -EINVAL);
	f.has_public_key = false;
	assert_int_equal(device_file_write(out, &f, &error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server_file_of_every_writer_is_read),
		cmocka_unit_test(test_enabled_zero_switches_off),
		cmocka_unit_test(test_missing_or_wrong_value_is_named_and_changes_nothing),
		cmocka_unit_test(test_surprises_are_noted),
		cmocka_unit_test(test_written_text_is_exact),
		cmocka_unit_test(test_nothing_a_shell_would_act_on_is_written),
		cmocka_unit_test(test_files_differ_where_a_reader_would_see_it),
		cmocka_unit_test(test_device_file_of_every_writer_is_read),
		cmocka_unit_test(test_device_file_is_written_as_fioctl_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
