/* test_aead_wipe.c - what our own back ends leave behind after a batch: no part of a key, neither
 * in their context nor on the stack. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead_backend.h"
#include "tests/lib/rng.h"
#include "tests/lib/sanitizer.h"

#define STACK_BYTES (256 * 1024)
#define MAX_LEN 700

static const struct aead_backend *const backends[] = {
#ifdef HAVE_AEAD_AVX512
	&aead_avx512,
#endif
#ifdef HAVE_AEAD_AVX2
	&aead_avx2,
#endif
#ifdef HAVE_AEAD_NEON
	&aead_neon,
#endif
	NULL};

struct batch {
	const struct aead_backend *backend;
	void *context;
	struct aead_job jobs[20];
	size_t n;
	bool opening;
};

static void *batch_do(void *arg)
{
	struct batch *b = arg;

	if (b->opening)
		b->backend->open(b->context, b->jobs, b->n);
	else
		b->backend->seal(b->context, b->jobs, b->n);
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

/* Two neighbouring words of a secret, or one twice: all lanes of a vector have the same key. */
static bool holds(const void *memory, size_t n_bytes, const uint8_t *secret, size_t secret_bytes)
{
	for (size_t i = 0; i + 8 <= secret_bytes; i += 4) {
		uint8_t twice[8];

		memcpy(twice, secret + i, 4);
		memcpy(twice + 4, secret + i, 4);
		if (memmem(memory, n_bytes, secret + i, 8) || memmem(memory, n_bytes, twice, 8))
			return true;
	}
	return false;
}

/* On a thread whose stack is ours, then looks for the key and for the MAC's keys. */
static void assert_leaves_nothing(struct batch *b, const struct sym_key *key, uint8_t *stack)
{
	size_t context_bytes = b->backend->context_bytes(b->context);
	pthread_attr_t attr;
	pthread_t thread;

	memset(stack, 0, STACK_BYTES);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstack(&attr, stack, STACK_BYTES), 0);
	assert_int_equal(pthread_create(&thread, &attr, batch_do, b), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
	assert_false(holds(b->context, context_bytes, key->bytes, 32));
	assert_false(holds(stack, STACK_BYTES, key->bytes, 32));
	for (size_t i = 0; i < b->n; i++) {
		uint8_t nonce[12] = {[4] = (uint8_t)b->jobs[i].counter}, mac_key[32];

		crypto_stream_chacha20_ietf(mac_key, sizeof mac_key, nonce, key->bytes);
		assert_false(holds(b->context, context_bytes, mac_key, sizeof mac_key));
		assert_false(holds(stack, STACK_BYTES, mac_key, sizeof mac_key));
	}
}

static void test_aead_leaves_no_part_of_a_key_behind(void **state)
{
	static const size_t batches[] = {1, 3, 20};
	static uint8_t data[20][MAX_LEN + AEAD_TAG_BYTES];
	struct rng rng = {7};
	struct sym_key key;
	pthread_t first;
	uint8_t *stack = NULL;
	int n_tried = 0;

	(void)state;
	if (UNDER_SANITIZER)
		skip(); /* it keeps locals elsewhere */
	assert_int_equal(posix_memalign((void **)&stack, 4096, STACK_BYTES), 0);
	/* The first end of a thread binds functions of libc, and registers go to its stack. */
	assert_int_equal(pthread_create(&first, NULL, nothing, NULL), 0);
	assert_int_equal(pthread_join(first, NULL), 0);
	rng_fill(&rng, key.bytes, sizeof key.bytes);
	for (size_t i = 0; backends[i]; i++) {
		struct batch b = {.backend = backends[i]};

		if (!b.backend->usable())
			continue;
		b.context = b.backend->context_new();
		assert_non_null(b.context);
		memset(b.context, 0, b.backend->context_bytes(b.context));
		for (size_t k = 0; k < 3; k++) {
			b.n = batches[k];
			for (size_t j = 0; j < b.n; j++)
				b.jobs[j] = (struct aead_job){.data = data[j],
					.key = &key,
					.counter = j,
					.len_bytes = (uint32_t)(MAX_LEN - 33 * j)};
			b.opening = false;
			assert_leaves_nothing(&b, &key, stack);
			b.opening = true;
			assert_leaves_nothing(&b, &key, stack);
			for (size_t j = 0; j < b.n; j++)
				assert_true(b.jobs[j].ok);
		}
		b.backend->context_free(b.context);
		n_tried++;
	}
	free(stack);
	if (!n_tried)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aead_leaves_no_part_of_a_key_behind),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
