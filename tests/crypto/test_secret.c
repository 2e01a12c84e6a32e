/* test_secret.c - wiping, comparing and the promises of locked memory, as the kernel sees them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "tests/lib/sanitizer.h"

static void test_secret_init_may_be_called_again(void **state)
{
	(void)state;
	assert_int_equal(secret_init(), 0);
	assert_int_equal(secret_init(), 0);
}

static void test_secret_wipe_clears_these_bytes_and_no_others(void **state)
{
	uint8_t buf[48];

	(void)state;
	memset(buf, 0xaa, sizeof buf);
	secret_wipe(buf + 8, 32);
	for (size_t i = 0; i < sizeof buf; i++)
		assert_int_equal(buf[i], i >= 8 && i < 40 ? 0 : 0xaa);
}

static void test_secret_comparison_sees_every_single_bit(void **state)
{
	uint8_t a[32], b[32];

	(void)state;
	memset(a, 0x5c, sizeof a);
	memset(b, 0x5c, sizeof b);
	assert_true(ct_equal(a, b, sizeof a));
	for (int bit = 0; bit < 256; bit++) {
		b[bit / 8] ^= 1 << bit % 8;
		assert_false(ct_equal(a, b, sizeof a));
		b[bit / 8] ^= 1 << bit % 8;
	}
	b[16] ^= 1;
	assert_true(ct_equal(a, b, 16));
}

static void test_secret_zero_test_sees_every_single_bit(void **state)
{
	uint8_t a[32] = {0};

	(void)state;
	assert_true(ct_is_zero(a, sizeof a));
	for (int bit = 0; bit < 256; bit++) {
		a[bit / 8] = 1 << bit % 8;
		assert_false(ct_is_zero(a, sizeof a));
		a[bit / 8] = 0;
	}
}

static void test_secret_random_differs_and_stays_in_its_bytes(void **state)
{
	uint8_t a[48], b[48];

	(void)state;
	memset(a, 0xaa, sizeof a);
	memset(b, 0xaa, sizeof b);
	secret_random(a + 8, 32);
	secret_random(b + 8, 32);
	assert_memory_not_equal(a + 8, b + 8, 32);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(a[i], 0xaa);
		assert_int_equal(a[40 + i], 0xaa);
	}
}

static void test_secret_alloc_gives_zeroed_whole_pages_that_can_be_used(void **state)
{
	static const size_t lens[] = {0, 1, 64, 4095, 4096, 4097, 100000};

	(void)state;
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		uint8_t *p = secret_alloc(lens[i]);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
		if (lens[i])
			assert_true(ct_is_zero(p, lens[i]));
		memset(p, 0xff, lens[i]);
		secret_free(p, lens[i]);
	}
	secret_free(NULL, 64);
}

static void test_secret_alloc_of_more_than_memory_is_refused(void **state)
{
	(void)state;
	assert_null(secret_alloc(SIZE_MAX));
	assert_null(secret_alloc(SIZE_MAX - 4096));
	assert_null(secret_alloc(SIZE_MAX / 2));
}

/* The VmFlags line of the mapping that holds p; /proc/PID/smaps, see proc(5). */
static void mapping_flags(const void *p, char *out, size_t out_bytes)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool here = false;

	assert_non_null(f);
	out[0] = 0;
	while (fgets(line, sizeof line, f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)p >= from && (uintptr_t)p < to;
		if (here && !strncmp(line, "VmFlags:", 8)) {
			snprintf(out, out_bytes, "%s", line);
			break;
		}
	}
	fclose(f);
	assert_true(out[0]);
}

static void test_secret_pages_are_locked_and_kept_out_of_core_dumps(void **state)
{
	char flags[512];
	void *p = secret_alloc(64);

	(void)state;
	assert_non_null(p);
	mapping_flags(p, flags, sizeof flags);
	assert_non_null(strstr(flags, " dd"));
	/* Sanitizers turn mlock() into nothing, and it then never fails. */
	if (!UNDER_SANITIZER && secret_memory_locked())
		assert_non_null(strstr(flags, " lo"));
	secret_free(p, 64);
}

static void test_secret_pages_are_zero_in_a_forked_child(void **state)
{
	uint8_t *p = secret_alloc(64);
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(p);
	memset(p, 0x77, 64);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(ct_is_zero(p, 64) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(p[63], 0x77);
	secret_free(p, 64);
}

#if !UNDER_SANITIZER
/* Runs as nobody in a child, because root may lock any amount. */
static int refused_lock_child(void)
{
	static const struct rlimit none;
	uint8_t *p;

	if (!secret_memory_locked())
		return 2; /* the limit of whoever runs the tests is too low to see a change */
	if (setrlimit(RLIMIT_MEMLOCK, &none) || (geteuid() == 0 && setuid(65534)))
		return 3;
	p = secret_alloc(64);
	if (!p)
		return 4;
	memset(p, 1, 64);
	secret_free(p, 64);
	return secret_memory_locked() ? 5 : 0;
}

static void test_secret_refused_lock_is_told_and_memory_still_given(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid)
		_exit(refused_lock_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_init_may_be_called_again),
		cmocka_unit_test(test_secret_wipe_clears_these_bytes_and_no_others),
		cmocka_unit_test(test_secret_comparison_sees_every_single_bit),
		cmocka_unit_test(test_secret_zero_test_sees_every_single_bit),
		cmocka_unit_test(test_secret_random_differs_and_stays_in_its_bytes),
		cmocka_unit_test(test_secret_alloc_gives_zeroed_whole_pages_that_can_be_used),
		cmocka_unit_test(test_secret_alloc_of_more_than_memory_is_refused),
		cmocka_unit_test(test_secret_pages_are_locked_and_kept_out_of_core_dumps),
		cmocka_unit_test(test_secret_pages_are_zero_in_a_forked_child),
#if !UNDER_SANITIZER
		cmocka_unit_test(test_secret_refused_lock_is_told_and_memory_still_given),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
