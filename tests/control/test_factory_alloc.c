/* test_factory_alloc.c - control/factory_alloc.c: devices from the bottom, as fioctl, clients from
 * the top. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/factory_alloc.h"
#include "control/text.h"

static struct wgh_addr addr(const char *text)
{
	struct wgh_addr a = {0};

	assert_null(text_addr(&a, text, strlen(text)));
	return a;
}

/* The addresses from first on, n of them. */
static struct wgh_addr *run(const char *first, uint32_t n)
{
	struct wgh_addr *list = calloc(n + 1, sizeof *list), a = addr(first);
	uint32_t number;

	memcpy(&number, a.bytes, 4);
	number = ntohl(number);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t net = htonl(number + i);

		list[i].family = WGH_IPV4;
		memcpy(list[i].bytes, &net, 4);
	}
	return list;
}

static void test_devices_get_the_first_free_after_the_hub(void **state)
{
	static const struct {
		const char *hub, *taken_from;
		uint32_t n_taken;
		const char *gets; /* NULL: none left */
	} cases[] = {{"10.42.42.1", "10.42.42.2", 0, "10.42.42.2"},
		{"10.42.42.1", "10.42.42.2", 8, "10.42.42.10"},
		{"10.42.42.1", "10.42.42.3", 8, "10.42.42.2"},
		/* device 254 gets .255, the next one skips .0 */
		{"10.42.42.1", "10.42.42.2", 253, "10.42.42.255"},
		{"10.42.42.1", "10.42.42.2", 254, "10.42.43.1"},
		{"10.42.42.1", "10.42.42.2", 9998, "10.42.81.16"},
		{"10.42.42.1", "10.42.42.2", 9999, NULL},
		{"255.255.255.254", "255.255.255.255", 0, "255.255.255.255"},
		{"255.255.255.254", "255.255.255.255", 1, NULL}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_addr *taken = run(cases[i].taken_from, cases[i].n_taken);
		struct wgh_addr hub = addr(cases[i].hub), got;
		char text[TEXT_ADDR_CHARS];

		assert_int_equal(alloc_device(&got, &hub, taken, cases[i].n_taken),
			cases[i].gets ? 0 : -ENOSPC);
		if (cases[i].gets) {
			text_from_addr(text, &got);
			assert_string_equal(text, cases[i].gets);
		}
		free(taken);
	}
}

static void test_clients_get_the_last_free_one(void **state)
{
	static const struct {
		const char *hub, *range, *taken_from;
		uint32_t n_taken;
		const char *gets;
	} cases[] = {{"10.42.42.1", NULL, "10.42.42.2", 3, "10.42.42.254"},
		{"10.42.42.1", NULL, "10.42.42.253", 2, "10.42.42.252"},
		{"10.42.42.254", NULL, "10.42.42.2", 0, "10.42.42.253"},
		{"10.42.42.1", NULL, "10.42.42.2", 253, NULL},
		{"10.42.42.1", "10.42.99.0/25", "10.42.42.2", 0, "10.42.99.126"},
		{"10.42.42.1", "10.42.98.0/23", "10.42.99.1", 254, "10.42.98.254"},
		{"10.42.42.1", "10.42.99.7/32", "10.42.42.2", 0, "10.42.99.7"},
		{"10.42.42.1", "10.42.99.6/31", "10.42.99.7", 1, "10.42.99.6"},
		{"10.42.42.1", "0.0.0.0/32", "10.42.42.2", 0, NULL}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct wgh_addr *taken = run(cases[i].taken_from, cases[i].n_taken);
		struct wgh_addr hub = addr(cases[i].hub), got;
		char text[TEXT_ADDR_CHARS];
		struct wgh_prefix range;

		if (cases[i].range)
			assert_null(text_prefix(&range, cases[i].range, strlen(cases[i].range)));
		assert_int_equal(alloc_client(&got, &hub, cases[i].range ? &range : NULL, taken,
					 cases[i].n_taken),
			cases[i].gets ? 0 : -ENOSPC);
		if (cases[i].gets) {
			text_from_addr(text, &got);
			assert_string_equal(text, cases[i].gets);
		}
		free(taken);
	}
}

static void test_only_ipv4_is_given(void **state)
{
	struct wgh_addr hub = addr("fd00::1"), got;
	struct wgh_prefix range = {.addr = addr("fd00::"), .bits = 64};

	(void)state;
	assert_int_equal(alloc_device(&got, &hub, NULL, 0), -EINVAL);
	assert_int_equal(alloc_client(&got, &hub, NULL, NULL, 0), -EINVAL);
	hub = addr("10.0.0.1");
	assert_int_equal(alloc_client(&got, &hub, &range, NULL, 0), -EINVAL);
	range = (struct wgh_prefix){.addr = addr("0.0.0.0"), .bits = 0};
	assert_int_equal(alloc_client(&got, &hub, &range, NULL, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices_get_the_first_free_after_the_hub),
		cmocka_unit_test(test_clients_get_the_last_free_one),
		cmocka_unit_test(test_only_ipv4_is_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
