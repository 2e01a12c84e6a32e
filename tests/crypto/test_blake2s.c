/* test_blake2s.c - RFC 7693's vectors, HMAC and HKDF against their definitions, and no trace left.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/blake2s.h"
#include "tests/lib/hex.h"
#include "tests/lib/rng.h"
#include "tests/lib/sanitizer.h"

static void assert_hex(const uint8_t bytes[32], const char *hex)
{
	uint8_t want[32];

	assert_int_equal(hex_bytes(want, 32, hex), 32);
	assert_memory_equal(bytes, want, 32);
}

static void count_up(uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)i;
}

static void test_blake2s_of_abc_is_that_of_rfc7693_appendix_b(void **state)
{
	uint8_t out[32];

	(void)state;
	blake2s(out, 32, NULL, 0, "abc", 3);
	assert_hex(out, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

/* The generator of RFC 7693, appendix E. */
static void appendix_e_sequence(uint8_t *out, size_t len_bytes, uint32_t seed)
{
	uint32_t a = 0xdead4bad * seed, b = 1;

	for (size_t i = 0; i < len_bytes; i++) {
		uint32_t t = a + b;

		a = b;
		b = t;
		out[i] = (uint8_t)(t >> 24);
	}
}

static void test_blake2s_passes_the_self_test_of_rfc7693_appendix_e(void **state)
{
	static const size_t out_lens[] = {16, 20, 28, 32}, in_lens[] = {0, 3, 64, 65, 255, 1024};
	struct blake2s all;
	uint8_t in[1024], out[32], key[32];

	(void)state;
	blake2s_init(&all, 32, NULL, 0);
	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; j < 6; j++) {
			appendix_e_sequence(in, in_lens[j], (uint32_t)in_lens[j]);
			blake2s(out, out_lens[i], NULL, 0, in, in_lens[j]);
			blake2s_update(&all, out, out_lens[i]);
			appendix_e_sequence(key, out_lens[i], (uint32_t)out_lens[i]);
			blake2s(out, out_lens[i], key, out_lens[i], in, in_lens[j]);
			blake2s_update(&all, out, out_lens[i]);
		}
	}
	blake2s_final(&all, out);
	assert_hex(out, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

/* First and last line of blake2s-kat.txt of the reference package, github.com/BLAKE2/BLAKE2. */
static void test_blake2s_keyed_hash_is_that_of_the_reference(void **state)
{
	uint8_t key[32], in[255], out[32];

	(void)state;
	count_up(key, sizeof key);
	count_up(in, sizeof in);
	blake2s(out, 32, key, 32, NULL, 0);
	assert_hex(out, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49");
	blake2s(out, 32, key, 32, in, sizeof in);
	assert_hex(out, "3fb735061abc519dfe979e54c1ee5bfad0a9d858b3315bad34bde999efd724dd");
}

static void test_blake2s_in_any_pieces_is_the_same_hash(void **state)
{
	struct rng rng = {3};
	uint8_t in[700], key[32];

	(void)state;
	rng_fill(&rng, in, sizeof in);
	rng_fill(&rng, key, sizeof key);
	for (int round = 0; round < 5000; round++) {
		size_t len = rng_below(&rng, sizeof in + 1), key_len = rng_below(&rng, 33);
		size_t out_len = 1 + rng_below(&rng, 32);
		uint8_t whole[33], pieces[33];
		struct blake2s s;

		memset(whole, 0xaa, sizeof whole);
		memset(pieces, 0xaa, sizeof pieces);
		blake2s(whole, out_len, key, key_len, in, len);
		blake2s_init(&s, out_len, key, key_len);
		for (size_t at = 0; at < len;) {
			size_t n = rng_below(&rng, rng_next(&rng) % 2 ? 200 : 66);

			n = n < len - at ? n : len - at;
			blake2s_update(&s, in + at, n);
			at += n;
		}
		blake2s_final(&s, pieces);
		assert_memory_equal(whole, pieces, sizeof whole);
		assert_int_equal(whole[out_len], 0xaa);
	}
}

/* RFC 2104, section 2, word for word, with nothing but the hash. */
static void naive_hmac(
	uint8_t out[32], const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
	uint8_t k[64] = {0}, inner[64 + 1024], outer[64 + 32];

	assert_true(len <= 1024);
	if (key_len > 64)
		blake2s(k, 32, NULL, 0, key, key_len);
	else
		memcpy(k, key, key_len);
	for (int i = 0; i < 64; i++) {
		inner[i] = k[i] ^ 0x36;
		outer[i] = k[i] ^ 0x5c;
	}
	memcpy(inner + 64, in, len);
	blake2s(outer + 64, 32, NULL, 0, inner, 64 + len);
	blake2s(out, 32, NULL, 0, outer, sizeof outer);
}

static void test_blake2s_hmac_is_rfc2104_for_every_key_length(void **state)
{
	struct rng rng = {4};
	uint8_t key[200], in[1024];

	(void)state;
	rng_fill(&rng, key, sizeof key);
	rng_fill(&rng, in, sizeof in);
	for (size_t key_len = 0; key_len <= sizeof key; key_len++) {
		size_t len = rng_below(&rng, sizeof in + 1);
		uint8_t got[32], want[32];

		blake2s_hmac(got, key, key_len, in, len);
		naive_hmac(want, key, key_len, in, len);
		assert_memory_equal(got, want, 32);
	}
}

/* Computed with Python's hmac and hashlib modules (OpenSSL's and the reference's BLAKE2s). */
static void test_blake2s_hmac_gives_the_values_of_python(void **state)
{
	uint8_t buf[200], out[32];

	(void)state;
	count_up(buf, sizeof buf);
	blake2s_hmac(out, NULL, 0, NULL, 0);
	assert_hex(out, "eaf4bb25938f4d20e72656bbbc7a9bf63c0c18537333c35bdb67db1402661acd");
	blake2s_hmac(out, buf, 32, buf, 100);
	assert_hex(out, "a81c95080ba2a7c4ed1b7b4c21dec2c4fd6dc9f03ff37b6d65289dc95a7d1ef1");
	blake2s_hmac(out, buf, 100, buf, 200);
	assert_hex(out, "c4c95271905c6f69c1dd7c6fbc0cb3735457a660ccc2c4370f28825e7abef5af");
}

/* wireguard-go, device/kdf_test.go. A short key and the same key with zeros after it are one HMAC
 * key. */
static void test_blake2s_kdf_gives_the_values_of_wireguard_go(void **state)
{
	uint8_t key[32] = "test-key", out1[32], out2[32], out3[32];

	(void)state;
	blake2s_kdf(out1, out2, out3, key, "test-input", 10);
	assert_hex(out1, "6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633");
	assert_hex(out2, "df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a");
	assert_hex(out3, "fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24");
}

/* RFC 5869, sections 2.2 and 2.3, with empty info. */
static void naive_kdf(uint8_t out[3][32], const uint8_t key[32], const uint8_t *in, size_t len)
{
	uint8_t prk[32], t[33];

	naive_hmac(prk, key, 32, in, len);
	t[0] = 1;
	naive_hmac(out[0], prk, 32, t, 1);
	for (int i = 1; i < 3; i++) {
		memcpy(t, out[i - 1], 32);
		t[32] = (uint8_t)(i + 1);
		naive_hmac(out[i], prk, 32, t, 33);
	}
}

static void test_blake2s_kdf_is_rfc5869_with_one_two_or_three_outputs(void **state)
{
	struct rng rng = {5};

	(void)state;
	for (int round = 0; round < 300; round++) {
		uint8_t key[32], in[128], want[3][32], got[3][32];
		size_t len = rng_below(&rng, sizeof in + 1);

		rng_fill(&rng, key, sizeof key);
		rng_fill(&rng, in, sizeof in);
		naive_kdf(want, key, in, len);
		memset(got, 0xaa, sizeof got);
		blake2s_kdf(got[0], NULL, NULL, key, in, len);
		assert_memory_equal(got[0], want[0], 32);
		memset(got, 0xaa, sizeof got);
		blake2s_kdf(got[0], got[1], NULL, key, in, len);
		assert_memory_equal(got, want, 64);
		assert_int_equal(got[2][0], 0xaa);
		blake2s_kdf(got[0], got[1], got[2], key, in, len);
		assert_memory_equal(got, want, 96);
		/* without the middle one, and with the key's memory as an output */
		memset(got, 0xaa, sizeof got);
		blake2s_kdf(got[0], NULL, got[2], key, in, len);
		assert_memory_equal(got[2], want[2], 32);
		memcpy(got[1], key, 32);
		blake2s_kdf(got[1], got[0], got[2], got[1], in, len);
		assert_memory_equal(got[1], want[0], 32);
		assert_memory_equal(got[0], want[1], 32);
		assert_memory_equal(got[2], want[2], 32);
	}
}

/* The length is counted in two words; nobody wants to wait for 4 GiB, so the first is set near its
 * end. */
static void test_blake2s_counts_past_the_first_four_gib(void **state)
{
	uint8_t in[130] = {0};
	struct blake2s s;

	(void)state;
	blake2s_init(&s, 32, NULL, 0);
	s.t[0] = UINT32_MAX - 63;
	blake2s_update(&s, in, sizeof in);
	assert_int_equal(s.t[0], 64);
	assert_int_equal(s.t[1], 1);
}

static void test_blake2s_final_wipes_the_context(void **state)
{
	static const struct blake2s empty;
	struct blake2s s;
	uint8_t key[32], out[32];

	(void)state;
	count_up(key, sizeof key);
	blake2s_init(&s, 32, key, sizeof key);
	blake2s_update(&s, key, sizeof key);
	blake2s_final(&s, out);
	assert_memory_equal(&s, &empty, sizeof s);
}

/* A sanitizer keeps locals elsewhere, in memory the library cannot know. */
#if !UNDER_SANITIZER
#define STACK_BYTES (256 * 1024)

struct hash_of_secret {
	uint8_t key[32], in[64], out[3][32];
	int way;
};

static void *hash_of_secret(void *arg)
{
	struct hash_of_secret *h = arg;

	if (h->way == 0)
		blake2s(h->out[0], 32, h->key, 32, h->in, sizeof h->in);
	else if (h->way == 1)
		blake2s_hmac(h->out[0], h->key, 32, h->in, sizeof h->in);
	else
		blake2s_kdf(h->out[0], h->out[1], h->out[2], h->key, h->in, sizeof h->in);
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

/* What HMAC hashes last: an intermediate that must go as well. */
static void inner_hash(uint8_t out[32], const struct hash_of_secret *h)
{
	uint8_t block[64 + sizeof h->in];

	memset(block, 0x36, 64);
	for (size_t i = 0; i < sizeof h->key; i++)
		block[i] ^= h->key[i];
	memcpy(block + 64, h->in, sizeof h->in);
	blake2s(out, 32, NULL, 0, block, sizeof block);
}

/* Any 8 bytes of what, at any place, also the 4-byte words that a compression works on. */
static bool stack_holds(const uint8_t *stack, const uint8_t *what, size_t what_bytes, uint8_t mask)
{
	uint8_t part[8];

	for (size_t i = 0; i + sizeof part <= what_bytes; i += 4) {
		for (size_t k = 0; k < sizeof part; k++)
			part[k] = what[i + k] ^ mask;
		if (memmem(stack, STACK_BYTES, part, sizeof part))
			return true;
	}
	return false;
}

/* Hashes on a thread whose stack is ours, then looks through that stack for the secrets. */
static void test_blake2s_leaves_no_part_of_a_secret_on_the_stack(void **state)
{
	struct rng rng = {6};
	struct hash_of_secret h;
	pthread_t first;
	uint8_t *stack;

	(void)state;
	assert_int_equal(posix_memalign((void **)&stack, 4096, STACK_BYTES), 0);
	/* The first end of a thread binds functions of libc, and registers go to its stack. */
	assert_int_equal(pthread_create(&first, NULL, nothing, NULL), 0);
	assert_int_equal(pthread_join(first, NULL), 0);
	for (h.way = 0; h.way < 3; h.way++) {
		pthread_attr_t attr;
		pthread_t thread;
		uint8_t inner[32];

		memset(stack, 0, STACK_BYTES);
		rng_fill(&rng, h.key, sizeof h.key);
		rng_fill(&rng, h.in, sizeof h.in);
		assert_int_equal(pthread_attr_init(&attr), 0);
		assert_int_equal(pthread_attr_setstack(&attr, stack, STACK_BYTES), 0);
		assert_int_equal(pthread_create(&thread, &attr, hash_of_secret, &h), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		pthread_attr_destroy(&attr);
		assert_false(stack_holds(stack, h.key, sizeof h.key, 0));
		assert_false(stack_holds(stack, h.key, sizeof h.key, 0x36));
		assert_false(stack_holds(stack, h.key, sizeof h.key, 0x5c));
		assert_false(stack_holds(stack, h.in, sizeof h.in, 0));
		inner_hash(inner, &h);
		assert_false(stack_holds(stack, inner, sizeof inner, 0));
		for (int i = 0; i < (h.way == 2 ? 3 : 1); i++)
			assert_false(stack_holds(stack, h.out[i], 32, 0));
	}
	free(stack);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blake2s_of_abc_is_that_of_rfc7693_appendix_b),
		cmocka_unit_test(test_blake2s_passes_the_self_test_of_rfc7693_appendix_e),
		cmocka_unit_test(test_blake2s_keyed_hash_is_that_of_the_reference),
		cmocka_unit_test(test_blake2s_in_any_pieces_is_the_same_hash),
		cmocka_unit_test(test_blake2s_hmac_is_rfc2104_for_every_key_length),
		cmocka_unit_test(test_blake2s_hmac_gives_the_values_of_python),
		cmocka_unit_test(test_blake2s_kdf_gives_the_values_of_wireguard_go),
		cmocka_unit_test(test_blake2s_kdf_is_rfc5869_with_one_two_or_three_outputs),
		cmocka_unit_test(test_blake2s_counts_past_the_first_four_gib),
		cmocka_unit_test(test_blake2s_final_wipes_the_context),
#if !UNDER_SANITIZER
		cmocka_unit_test(test_blake2s_leaves_no_part_of_a_secret_on_the_stack),
#endif
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
