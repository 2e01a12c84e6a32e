/* test_factory_plan.c - what publishing would change, and when it must not be done. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/factory_plan.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <string.h>

#define OURS "MZ8/BGa1UFB+H6KZtYrMFarKwnSDyIzUfpVIuCUez8E="
#define OTHERS "srHRaDGYLsx+b+YdpfPwmZG9eGIeuarApoBHomeiAyQ="
#define PUBLISHED "endpoint=hub.example.net:5555\nserver_address=10.42.42.1\npubkey=" OURS

static struct plan plan;
static struct wgh_error error;

static struct plan_wish wish(const char *host)
{
	struct plan_wish w = {.host = host};

	assert_true(key_from_base64(w.public_key.bytes, OURS, 44));
	return w;
}

static struct factory_file file(const char *value)
{
	return (struct factory_file){
		.value = (char *)value, .unencrypted = true, .on_changed = true};
}

static int make(struct plan_wish w, const char *value)
{
	struct factory_file f = file(value);

	plan_fini(&plan);
	error.text[0] = 0;
	return plan_make(&plan, &w, &f, &error);
}

static bool says(const char *words)
{
	for (size_t i = 0; i < plan.lines.n; i++) {
		if (strstr(plan.lines.lines[i], words))
			return true;
	}
	return false;
}

static int setup(void **state)
{
	(void)state;
	return secret_init();
}

static int teardown(void **state)
{
	(void)state;
	plan_fini(&plan);
	return 0;
}

static void test_plan_of_a_new_hub_has_the_defaults_and_the_strict_text(void **state)
{
	struct plan_wish w = wish("2001:DB8::1");

	(void)state;
	assert_int_equal(make(wish("hub.example.net"), NULL), 0);
	assert_true(plan.change && plan.anew);
	assert_string_equal(plan.text, PUBLISHED);
	assert_true(says("endpoint: hub.example.net:5555"));
	w.port = 65535;
	assert_null(plan_address(&w.address, "10.7.7.1"));
	assert_int_equal(make(w, NULL), 0);
	assert_string_equal(
		plan.text, "endpoint=[2001:db8::1]:65535\nserver_address=10.7.7.1\npubkey=" OURS);
}

static void test_plan_changes_nothing_where_the_fields_are_the_same(void **state)
{
	static const char *const same[] = {PUBLISHED, PUBLISHED "\n\n# x\nkeepalive=15\n",
		"pubkey = " OURS
		"\r\n    endpoint=HUB.example.net:5555\n\tserver_address=10.42.42.1",
		"endpoint=a:1\n" PUBLISHED, PUBLISHED "\nenabled=1"};

	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		assert_int_equal(make(wish("hub.example.net"), same[i]), 0);
		assert_false(plan.change);
		assert_false(plan.anew);
		assert_int_equal(plan.lines.n, 0);
		/* What is published is what is wanted where nobody says otherwise. */
		assert_int_equal(make(wish(NULL), same[i]), 0);
		assert_false(plan.change);
	}
}

static void test_plan_keeps_what_nobody_asked_to_change(void **state)
{
	static const char other[] =
		"endpoint=192.0.2.1:4000\nserver_address=10.7.7.1\npubkey=" OURS;
	struct plan_wish w = wish("192.0.2.2");

	(void)state;
	assert_int_equal(make(w, other), 0);
	assert_string_equal(
		plan.text, "endpoint=192.0.2.2:4000\nserver_address=10.7.7.1\npubkey=" OURS);
	assert_false(plan.anew);
	assert_int_equal(plan.lines.n, 1);
	assert_true(says("endpoint: 192.0.2.1:4000 -> 192.0.2.2:4000"));
	w = wish(NULL);
	w.port = 4001;
	assert_int_equal(make(w, other), 0);
	assert_string_equal(
		plan.text, "endpoint=192.0.2.1:4001\nserver_address=10.7.7.1\npubkey=" OURS);
	assert_null(plan_address(&w.address, "10.8.8.1"));
	assert_int_equal(make(w, other), 0);
	assert_true(plan.anew);
	assert_true(says("server_address: 10.7.7.1 -> 10.8.8.1"));
	assert_true(says("devices keep the addresses"));
}

static void test_plan_of_enable_switches_on_and_that_of_an_endpoint_does_not(void **state)
{
	struct plan_wish w = wish("new.example.net");

	(void)state;
	assert_int_equal(make(w, PUBLISHED "\nenabled=0"), 0);
	assert_null(strstr(plan.text, "enabled"));
	assert_true(says("enabled: 0 -> 1"));
	w.endpoint_only = true;
	assert_int_equal(make(w, PUBLISHED "\nenabled=0"), 0);
	assert_string_equal(plan.text,
		"endpoint=new.example.net:5555\nserver_address=10.42.42.1\npubkey=" OURS
		"\nenabled=0");
	assert_int_equal(plan.lines.n, 1);
}

static void test_plan_never_replaces_another_hub_unless_told(void **state)
{
	static const char others[] =
		"endpoint=other.example.net:5555\nserver_address=10.42.42.1\npubkey=" OTHERS;
	struct plan_wish w = wish("hub.example.net");

	(void)state;
	assert_int_equal(make(w, others), -EPERM);
	assert_non_null(strstr(error.text, OTHERS));
	assert_non_null(strstr(error.text, "--take-over"));
	w.endpoint_only = w.take_over = true;
	assert_int_equal(make(w, others), -EPERM);
	w.endpoint_only = false;
	assert_int_equal(make(w, others), 0);
	assert_string_equal(plan.text, PUBLISHED);
	assert_true(plan.anew);
	assert_true(says("pubkey: " OTHERS " -> " OURS));
	/* The other hub's place is not ours; its network is that of the devices. */
	w.host = NULL;
	assert_int_equal(make(w, others), -EDESTADDRREQ);
	w.host = "hub.example.net";
	assert_int_equal(
		make(w, "endpoint=o:7\nserver_address=10.9.9.1\npubkey=" OTHERS "\nenabled=0"), 0);
	assert_string_equal(
		plan.text, "endpoint=hub.example.net:7\nserver_address=10.9.9.1\npubkey=" OURS);
}

static void test_plan_replaces_what_nobody_can_read_only_if_told(void **state)
{
	static const char *const broken[] = {"", "x", "endpoint=a:1\npubkey=" OURS,
		"endpoint=a\nserver_address=10.42.42.1\npubkey=" OURS};
	struct plan_wish w = wish("hub.example.net");

	(void)state;
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		w.take_over = false;
		assert_int_equal(make(w, broken[i]), -EPERM);
		assert_non_null(strstr(error.text, "cannot be read"));
		w.take_over = true;
		assert_int_equal(make(w, broken[i]), 0);
		assert_string_equal(plan.text, PUBLISHED);
	}
	w.endpoint_only = true;
	assert_int_equal(make(w, NULL), -ENOENT);
}

static void test_plan_mends_a_file_that_devices_do_not_act_on(void **state)
{
	struct plan_wish w = wish(NULL);
	struct factory_file f = file(PUBLISHED);

	(void)state;
	f.on_changed = false;
	assert_int_equal(plan_make(&plan, &w, &f, &error), 0);
	assert_true(plan.change);
	assert_false(plan.anew);
	assert_true(says("on-changed"));
	plan_fini(&plan);
	f.on_changed = true;
	f.unencrypted = false;
	assert_int_equal(plan_make(&plan, &w, &f, &error), 0);
	assert_true(plan.change);
	assert_true(says("unencrypted"));
}

static void test_plan_says_which_lines_a_write_loses(void **state)
{
	(void)state;
	assert_int_equal(make(wish("new.example.net"), PUBLISHED "\nkeepalive=15"), 0);
	assert_true(says("not kept: wireguard-server: the unknown key keepalive"));
	assert_null(strstr(plan.text, "keepalive"));
}

/* Root's shell on every device reads it; and a slip of the finger goes to all of them. */
static void test_plan_refuses_hosts_that_are_none(void **state)
{
	static const char *const bad[] = {"", "a b", "a;b", "$(x)", "`x`", "a'b", "a\"b", "a\nb",
		"a_b", "a/b", "hub:5555", "hub:", "[::1", "::1]", "[]", "[hub]", "fe80::1%eth0",
		"::1", "::", "ff02::1", "127.0.0.1", "127.1.2.3", "0.0.0.0", "224.0.0.1",
		"255.255.255.255", "localhost", "LocalHost", "10.0.0.256", "10.0.0", "1", "::g"};
	char too_long[400];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (make(wish(bad[i]), NULL) != -EINVAL)
			fail_msg("%s was taken: %s", bad[i], plan.text);
		assert_null(strchr(error.text, '\n'));
		assert_string_equal(plan.text, "");
	}
	memset(too_long, 'a', sizeof too_long - 1);
	too_long[sizeof too_long - 1] = 0;
	assert_int_equal(make(wish(too_long), NULL), -EINVAL);
}

static void test_plan_refuses_inner_addresses_that_are_none(void **state)
{
	static const char *const bad[] = {"", "x", "10.42.42.1/24", "10.42.42.0", "10.42.42.255",
		"8.8.8.8", "127.0.0.1", "172.32.0.1", "100.128.0.1", "fd00::1", "10.42.42",
		"010.42.42.1"};
	static const char *const good[] = {
		"10.0.0.1", "172.16.0.1", "172.31.9.254", "192.168.1.1", "100.64.0.1"};
	struct wgh_addr addr = {.family = WGH_UNSPEC};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_non_null(plan_address(&addr, bad[i]));
		assert_int_equal(addr.family, WGH_UNSPEC);
	}
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_null(plan_address(&addr, good[i]));
}

static void test_plan_compares_what_was_published_afterwards(void **state)
{
	static const char *const others[] = {"", "x",
		"endpoint=hub.example.net:5556\nserver_address=10.42.42.1\npubkey=" OURS,
		"endpoint=hub.example.net:5555\nserver_address=10.42.42.2\npubkey=" OURS,
		"endpoint=hub.example.net:5555\nserver_address=10.42.42.1\npubkey=" OTHERS,
		PUBLISHED "\nenabled=0"};
	struct factory_file f = file(PUBLISHED), none = file(NULL);

	(void)state;
	assert_int_equal(make(wish("hub.example.net"), NULL), 0);
	assert_int_equal(plan_compare(&plan, &f, &error), 0);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		f = file(others[i]);
		error.text[0] = 0;
		assert_int_equal(plan_compare(&plan, &f, &error), -EINVAL);
		assert_string_not_equal(error.text, "");
	}
	assert_int_equal(plan_compare(&plan, &none, &error), -EINVAL);
	f = file(PUBLISHED);
	f.on_changed = false;
	assert_int_equal(plan_compare(&plan, &f, &error), -EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_plan_of_a_new_hub_has_the_defaults_and_the_strict_text),
		T(test_plan_changes_nothing_where_the_fields_are_the_same),
		T(test_plan_keeps_what_nobody_asked_to_change),
		T(test_plan_of_enable_switches_on_and_that_of_an_endpoint_does_not),
		T(test_plan_never_replaces_another_hub_unless_told),
		T(test_plan_replaces_what_nobody_can_read_only_if_told),
		T(test_plan_mends_a_file_that_devices_do_not_act_on),
		T(test_plan_says_which_lines_a_write_loses),
		T(test_plan_refuses_hosts_that_are_none),
		T(test_plan_refuses_inner_addresses_that_are_none),
		T(test_plan_compares_what_was_published_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
