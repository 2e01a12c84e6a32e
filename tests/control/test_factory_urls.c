/* test_factory_urls.c - which servers belong together. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/factory_urls.h"

#include <stdlib.h>

static void expect(struct factory_urls_known known, const char *api, const char *oauth)
{
	struct factory_urls urls;

	assert_int_equal(factory_urls_find(&urls, &known), 0);
	assert_string_equal(urls.api, api);
	assert_string_equal(urls.oauth, oauth);
	free(urls.api);
	free(urls.oauth);
}

static void test_urls_nothing_known_is_foundries(void **state)
{
	(void)state;
	expect((struct factory_urls_known){0}, "https://api.foundries.io",
		"https://app.foundries.io/oauth");
	expect((struct factory_urls_known){.api = "", .creds_oauth = ""},
		"https://api.foundries.io", "https://app.foundries.io/oauth");
}

static void test_urls_one_follows_the_other_to_the_same_factory(void **state)
{
	(void)state;
	/* As fioctl: the first "app" of the host. */
	expect((struct factory_urls_known){.creds_oauth = "https://app.app.example/oauth"},
		"https://api.app.example", "https://app.app.example/oauth");
	expect((struct factory_urls_known){.api = "https://api.example:8443//"},
		"https://api.example:8443", "https://app.example:8443/oauth");
	/* A host with neither has both; "app" in a path means nothing. */
	expect((struct factory_urls_known){.oauth = "https://127.0.0.1:4/app/oauth/"},
		"https://127.0.0.1:4", "https://127.0.0.1:4/app/oauth");
	expect((struct factory_urls_known){.creds_api = "https://127.0.0.1:4"},
		"https://127.0.0.1:4", "https://127.0.0.1:4/oauth");
}

static void test_urls_what_is_asked_for_wins_over_the_credentials(void **state)
{
	const struct factory_urls_known all = {.api = "https://a",
		.oauth = "https://b",
		.creds_api = "https://c",
		.creds_oauth = "https://d"};

	(void)state;
	expect(all, "https://a", "https://b");
	expect((struct factory_urls_known){.oauth = "https://b", .creds_api = "https://c"},
		"https://c", "https://b");
}

static void expect_page(const char *oauth, const char *page)
{
	char *url = factory_url_authorize(oauth);

	assert_string_equal(url, page);
	free(url);
}

static void test_urls_page_for_a_person_is_beside_the_oauth_base(void **state)
{
	(void)state;
	expect_page("https://app.foundries.io/oauth", "https://app.foundries.io/authorize");
	expect_page("https://app.foundries.io/oauth/", "https://app.foundries.io/authorize");
	expect_page("https://login.example", "https://login.example/authorize");
	expect_page("https://x.example/xoauth", "https://x.example/xoauth/authorize");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls_nothing_known_is_foundries),
		cmocka_unit_test(test_urls_one_follows_the_other_to_the_same_factory),
		cmocka_unit_test(test_urls_what_is_asked_for_wins_over_the_credentials),
		cmocka_unit_test(test_urls_page_for_a_person_is_beside_the_oauth_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
