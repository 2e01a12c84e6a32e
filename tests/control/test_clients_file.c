/* test_clients_file.c - control/clients_file.c: every good line counts, every bad one is named, and
 * changing one leaves the others as they are. */
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

#include "control/clients_file.h"
#include "control/file.h"
#include "crypto/key_text.h"

#define KEY_A "1Hl7NEyHHBLIEd5uEAwTY9q5z9joVJ3qzvIEikljrJI="
#define KEY_B "srHRaDGYLsx+b+YdpfPwmZG9eGIeuarApoBHomeiAyQ="
#define KEY_C "vnNp0DWXusNZLV7UMji6X/6t4orOUsIUTaHO2nu/PvY="

static struct clients parse(const char *text)
{
	struct clients clients;

	assert_int_equal(clients_parse(&clients, "f.conf", text, strlen(text)), 0);
	return clients;
}

static void test_lines_as_the_fork_writes_and_reads_them(void **state)
{
	struct clients c =
		parse("# who may connect besides devices\n" KEY_A
		      " 10.42.42.254 bench laptop\n\n" KEY_B "\t10.42.42.253/32\t client \r\n"
		      "   " KEY_C "   10.42.42.252\n  # an indented comment\n#" KEY_A);

	(void)state;
	assert_int_equal(c.n, 3);
	assert_int_equal(c.errors.n, 0);
	assert_int_equal(c.items[0].public_key.bytes[0], 0xd4);
	assert_int_equal(c.items[0].address.bytes[3], 254);
	assert_string_equal(c.items[0].name, "bench laptop");
	assert_int_equal(c.items[0].line, 2);
	assert_string_equal(c.items[1].name, "client");
	assert_string_equal(c.items[2].name, "");
	assert_int_equal(c.items[2].line, 5);
	clients_fini(&c);
}

static void test_bad_line_is_named_and_the_rest_is_used(void **state)
{
	static const char *const bad[] = {KEY_A, "x 10.42.42.254", KEY_A " x",
		KEY_A " 10.42.42.0/24", KEY_A " 0.0.0.0/0", KEY_A " 10.42.42.256", KEY_A " fd00::1",
		KEY_A " hub.example.net", "A" KEY_A " 10.42.42.254", "key=" KEY_A,
		"\xff\xff\x1b[2J", KEY_A " 10.42.42.254,10.0.0.1", "[Peer]", KEY_A "\v"};
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct clients c;

		snprintf(text, sizeof text, "\n%s\n" KEY_B " 10.42.42.2 good\n", bad[i]);
		c = parse(text);
		assert_int_equal(c.n, 1);
		assert_string_equal(c.items[0].name, "good");
		assert_int_equal(c.errors.n, 1);
		assert_memory_equal(c.errors.lines[0], "f.conf:2: ", 10);
		assert_null(strchr(c.errors.lines[0], '\x1b'));
		clients_fini(&c);
	}
}

static void test_of_a_key_or_address_given_twice_the_first_counts(void **state)
{
	struct clients c = parse(KEY_A " 10.0.0.1 one\n" KEY_B " 10.0.0.2 two\n" KEY_A
				       " 10.0.0.3 three\n" KEY_C " 10.0.0.2 four\n");

	(void)state;
	assert_int_equal(c.n, 2);
	assert_string_equal(c.items[0].name, "one");
	assert_string_equal(c.items[1].name, "two");
	assert_int_equal(c.errors.n, 2);
	assert_string_equal(
		c.errors.lines[0], "f.conf:3: this key is already in line 1; the first counts");
	assert_string_equal(
		c.errors.lines[1], "f.conf:4: this address is already in line 2; the first counts");
	clients_fini(&c);
	/* A line that does not count takes no address away. */
	c = parse(KEY_A " 10.0.0.1\n" KEY_A " 10.0.0.3\n" KEY_B " 10.0.0.3\n");
	assert_int_equal(c.n, 2);
	assert_int_equal(c.errors.n, 1);
	clients_fini(&c);
}

static void test_name_becomes_printable(void **state)
{
	struct clients c = parse(KEY_A " 10.0.0.1 b\xc3\xa4nk\x1b[2J\xff # x");

	(void)state;
	assert_string_equal(c.items[0].name, "b\xc3\xa4nk\\x1b[2J\\xff # x");
	clients_fini(&c);
}

/* ---- changing ---- */

static struct client client(const char *key, uint8_t last, const char *name)
{
	struct client c = {
		.address = {.bytes = {10, 42, 42, last}, .family = WGH_IPV4}, .name = (char *)name};

	assert_true(key_from_base64(c.public_key.bytes, key, strlen(key)));
	return c;
}

static void test_adding_keeps_every_byte_that_was_there(void **state)
{
	static const struct {
		const char *before, *after;
	} cases[] = {{"", KEY_A " 10.42.42.254 lap top\n"},
		{"# c\n", "# c\n" KEY_A " 10.42.42.254 lap top\n"},
		{"no end", "no end\n" KEY_A " 10.42.42.254 lap top\n"},
		{" \t" KEY_B "\t10.0.0.1  \r\n\n\xff junk\r\n",
			" \t" KEY_B "\t10.0.0.1  \r\n\n\xff junk\r\n" KEY_A
			" 10.42.42.254 lap top\n"}};
	struct client c = client(KEY_A, 254, "lap top");

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_error error;
		char *out;
		size_t n;

		assert_int_equal(clients_text_add(&out, &n, cases[i].before,
					 strlen(cases[i].before), &c, &error),
			0);
		assert_int_equal(n, strlen(cases[i].after));
		assert_memory_equal(out, cases[i].after, n);
		free(out);
	}
}

static void test_adding_refuses_what_would_not_count(void **state)
{
	static const char before[] = "\n" KEY_A " 10.42.42.254 a\n" KEY_B " 10.42.42.253\n";
	char long_name[258];
	const struct {
		struct client client;
		int err;
	} cases[] = {{client(KEY_A, 1, ""), -EEXIST}, {client(KEY_C, 253, ""), -EADDRINUSE},
		{client(KEY_C, 1, "a\n" KEY_A " 10.42.42.1"), -EINVAL},
		{client(KEY_C, 1, long_name), -EINVAL}, {client(KEY_C, 1, ""), 0}};

	(void)state;
	memset(long_name, 'n', 256);
	long_name[256] = 0;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_error error = {""};
		char *out;
		size_t n;

		assert_int_equal(clients_text_add(&out, &n, before, strlen(before),
					 &cases[i].client, &error),
			cases[i].err);
		assert_int_equal(out == NULL, cases[i].err != 0);
		if (cases[i].err == -EEXIST)
			assert_non_null(strstr(error.text, "line 2"));
		free(out);
	}
}

static void test_removing_keeps_all_other_lines(void **state)
{
	static const struct {
		const char *before, *after;
	} cases[] = {{KEY_A " 10.0.0.1 x", ""},
		{"# c\r\n" KEY_A " 10.0.0.1 x\nrest", "# c\r\nrest"},
		/* all of them, also with an address that is none */
		{KEY_A " 10.0.0.1\n#" KEY_A " 10.0.0.1\n" KEY_B " 10.0.0.2 " KEY_A "\n  " KEY_A
		       " x\n",
			"#" KEY_A " 10.0.0.1\n" KEY_B " 10.0.0.2 " KEY_A "\n"},
		{"", NULL}, {KEY_B " 10.0.0.1\n", NULL}};
	struct client c = client(KEY_A, 1, "");

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_error error;
		char *out;
		size_t n;
		int err = clients_text_remove(
			&out, &n, cases[i].before, strlen(cases[i].before), &c.public_key, &error);

		assert_int_equal(err, cases[i].after ? 0 : -ENOENT);
		if (!err) {
			assert_int_equal(n, strlen(cases[i].after));
			assert_memory_equal(out, cases[i].after, n);
		}
		free(out);
	}
}

static void test_file_is_made_changed_and_read(void **state)
{
	char folder[] = "/tmp/wghub-clients-XXXXXX", path[100];
	struct client a = client(KEY_A, 254, "a"), b = client(KEY_B, 253, "b");
	struct wgh_error error = {""};
	struct clients clients;
	struct stat st;
	int lock;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/factory-clients.conf", folder);
	assert_int_equal(clients_read(&clients, path, &error), -ENOENT);
	assert_int_equal(clients_remove(path, &a.public_key, &error), -ENOENT);
	assert_int_equal(clients_replace(path, &a, &error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(clients_replace(path, &b, &error), 0);
	assert_int_equal(clients_remove(path, &a.public_key, &error), 0);
	assert_int_equal(clients_read(&clients, path, &error), 0);
	assert_int_equal(clients.n, 1);
	assert_string_equal(clients.items[0].name, "b");
	clients_fini(&clients);
	/* The key's line becomes another one, whether there was one or not. */
	b.address.bytes[3]--;
	assert_int_equal(clients_replace(path, &b, &error), 0);
	assert_int_equal(clients_replace(path, &a, &error), 0);
	assert_int_equal(clients_read(&clients, path, &error), 0);
	assert_int_equal(clients.n, 2);
	assert_memory_equal(&clients.items[0].address, &b.address, sizeof b.address);
	assert_string_equal(clients.items[1].name, a.name);
	clients_fini(&clients);
	/* But not if somebody else has the address; then nothing has changed. */
	b.address = a.address;
	assert_int_equal(clients_replace(path, &b, &error), -EADDRINUSE);
	assert_int_equal(clients_read(&clients, path, &error), 0);
	assert_int_equal(clients.n, 2);
	clients_fini(&clients);
	/* Somebody else is at it. */
	assert_int_equal(file_lock(&lock, path, 0, &error), 0);
	assert_int_equal(clients_replace(path, &a, &error), -EAGAIN);
	file_unlock(lock);
	unlink(path);
	strcat(path, ".lock");
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_as_the_fork_writes_and_reads_them),
		cmocka_unit_test(test_bad_line_is_named_and_the_rest_is_used),
		cmocka_unit_test(test_of_a_key_or_address_given_twice_the_first_counts),
		cmocka_unit_test(test_name_becomes_printable),
		cmocka_unit_test(test_adding_keeps_every_byte_that_was_there),
		cmocka_unit_test(test_adding_refuses_what_would_not_count),
		cmocka_unit_test(test_removing_keeps_all_other_lines),
		cmocka_unit_test(test_file_is_made_changed_and_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
