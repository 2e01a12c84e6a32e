/* test_client_file.c - control/client_file.c and qr_text.c: exactly what an engineer imports, and
 * nothing that somebody else put into it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/client_file.h"
#include "control/conf.h"
#include "control/qr_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HUB "MZ8/BGa1UFB+H6KZtYrMFarKwnSDyIzUfpVIuCUez8E="

static const uint8_t secret[32] = {[0] = 0x40, [31] = 0x7f};

static struct client_file good(void)
{
	return (struct client_file){.factory = "acme-presses",
		.name = "laptop1",
		.private_key = secret,
		.address = "10.42.42.253",
		.hub_key = HUB,
		.endpoint = "hub.example.net:5555",
		.allowed_ips = {"10.42.42.0/24", "10.42.43.0/24"},
		.n_allowed_ips = 2};
}

static char *text_of(const struct client_file *file)
{
	struct wgh_error error = {""};
	char *text;
	size_t n;

	assert_int_equal(client_file_text(&text, &n, file, &error), 0);
	assert_int_equal(n, strlen(text));
	return text;
}

static void test_file_is_exactly_what_all_programs_import(void **state)
{
	struct client_file file = good();
	char *text = text_of(&file);
	struct wgh_error error = {""};
	struct conf *conf;

	(void)state;
	assert_string_equal(text,
		"# acme-presses VPN for laptop1, hub hub.example.net\n"
		"[Interface]\n"
		"PrivateKey = QAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAH8=\n"
		"Address = 10.42.42.253/32\n"
		"\n"
		"[Peer]\n"
		"PublicKey = " HUB "\n"
		"Endpoint = hub.example.net:5555\n"
		"AllowedIPs = 10.42.42.0/24, 10.42.43.0/24\n"
		"PersistentKeepalive = 25\n");
	/* Our own reader of wg-quick's format takes it, too. */
	assert_int_equal(conf_parse(&conf, "foundries.conf", text, strlen(text), &error), 0);
	assert_int_equal(conf->n_peers, 1);
	assert_memory_equal(conf->private_key, secret, sizeof secret);
	assert_int_equal(conf->peers[0].n_allowed_ips, 2);
	conf_free(conf);
	client_file_free(text, strlen(text));
}

static void test_without_the_private_key_no_program_takes_it_by_mistake(void **state)
{
	struct client_file file = good();
	struct wgh_error error = {""};
	struct conf *conf;
	char *text;

	(void)state;
	file.private_key = NULL;
	text = text_of(&file);
	assert_non_null(strstr(text, "\nPrivateKey = REPLACE-THIS-BY-YOUR-PRIVATE-KEY\n"));
	assert_int_equal(conf_parse(&conf, "foundries.conf", text, strlen(text), &error), -EINVAL);
	free(text);
}

/* wg-quick runs as root whatever "PostUp = ..." says. */
static void test_comment_stays_one_line_of_ascii(void **state)
{
	static const char begin[] =
		"# acme-presses VPN for Zo??PostUp = reboot??[1m, hub hub.example.net\n"
		"[Interface]\n";
	struct client_file file = good();
	char *text;

	(void)state;
	file.name = "Zo\xc3\xab\nPostUp = reboot\r\x1b[1m";
	text = text_of(&file);
	assert_memory_equal(text, begin, sizeof begin - 1);
	assert_null(strstr(text, "\nPostUp"));
	free(text);
}

static void test_values_that_are_none_make_no_file(void **state)
{
	static const char *const bad[] = {NULL, "", "x", "10.42.42.253\nPostUp = reboot",
		"hub.example.net:5555\nPostUp = reboot", "hub.example.net", "10.0.0.0/8;reboot",
		"hub $(reboot):5555", HUB "="};
	struct wgh_error error;
	char *text;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		for (unsigned field = 0; field < 4; field++) {
			struct client_file file = good();

			*(field == 0		     ? &file.address
					: field == 1 ? &file.hub_key
					: field == 2 ? &file.endpoint
						     : &file.allowed_ips[1]) = bad[i] ? bad[i] : "";
			assert_int_equal(client_file_text(&text, &n, &file, &error), -EINVAL);
			assert_null(text);
			assert_non_null(strstr(error.text, "no client file"));
		}
	}
}

/* The code itself is read back by another program: tests/factory/clients.sh. */
static void test_qr_code_has_an_edge_and_a_limit(void **state)
{
	static char longest[2954];
	char *text = NULL, *line;
	size_t n = 0, rows = 0;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_int_equal(qr_text(out, "hello", 5, false), 0);
	fclose(out);
	/* Version 1 has 21 modules; with its edge 29, two rows of them in a line. */
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), rows++) {
		if (rows < 2)
			assert_int_equal(strlen(line), 29 * 3); /* all of it light */
	}
	assert_int_equal(rows, 15);
	free(text);
	memset(longest, 'x', sizeof longest);
	out = open_memstream(&text, &n);
	assert_int_equal(qr_text(out, longest, 2953, true), 0);
	assert_int_equal(qr_text(out, longest, 2954, true), -EFBIG);
	fclose(out);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_is_exactly_what_all_programs_import),
		cmocka_unit_test(test_without_the_private_key_no_program_takes_it_by_mistake),
		cmocka_unit_test(test_comment_stays_one_line_of_ascii),
		cmocka_unit_test(test_values_that_are_none_make_no_file),
		cmocka_unit_test(test_qr_code_has_an_edge_and_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
