/* Session indices: against a naive twin, through growth and dead entries, and with a reader that
 * never stops while the writer rebuilds the array under it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "core/session.h"
#include "core/peer.h"
#include "tests/lib/rng.h"

/* Arrays nobody reads any more. */
static void free_old(struct session_array *old)
{
	if (old)
		old->retired.free(&old->retired, NULL);
}

static struct keypair *lookup(struct session_table *table, uint32_t index)
{
	return session_keypair(atomic_load_explicit(&table->array, memory_order_acquire), index);
}

static void add_keypair(struct session_table *table, struct keypair *keypair)
{
	struct session_array *old;

	assert_int_equal(session_add_keypair(table, keypair, &old), 0);
	free_old(old);
}

static void test_session_handshake_becomes_keypair_under_the_same_index(void **state)
{
	struct keypair keypair = {.local_index = 0xfffffff0};
	struct session_table table;
	struct session_array *old;
	struct peer *peer = aligned_alloc(64, sizeof *peer);

	(void)state;
	assert_int_equal(session_init(&table, NULL), 0);
	assert_false(session_taken(&table, 0xfffffff0));
	assert_int_equal(session_add_handshake(&table, 0xfffffff0, peer, &old), 0);
	assert_null(old);
	assert_true(session_taken(&table, 0xfffffff0));
	assert_ptr_equal(session_handshake(&table, 0xfffffff0), peer);
	assert_null(lookup(&table, 0xfffffff0)); /* no keypair yet */
	session_promote(&table, &keypair);
	assert_null(session_handshake(&table, 0xfffffff0)); /* a response is for handshakes only */
	assert_ptr_equal(lookup(&table, 0xfffffff0), &keypair);
	session_remove(&table, 0xfffffff0);
	assert_false(session_taken(&table, 0xfffffff0));
	assert_null(lookup(&table, 0xfffffff0));
	assert_null(session_handshake(&table, 0xfffffff0));
	session_remove(&table, 0xfffffff0); /* twice is nothing */
	assert_int_equal(table.n_live, 0);
	session_fini(&table);
	free(peer);
}

static void test_session_index_zero_is_an_index_like_any_other(void **state)
{
	struct keypair keypair = {.local_index = 0};
	struct session_table table;

	(void)state;
	assert_int_equal(session_init(&table, NULL), 0);
	assert_null(lookup(&table, 0));
	add_keypair(&table, &keypair);
	assert_ptr_equal(lookup(&table, 0), &keypair);
	session_remove(&table, 0);
	assert_null(lookup(&table, 0));
	session_fini(&table);
}

/* A random index may hit one that died since the array was built: the new owner must be found. */
static void test_session_index_that_died_may_be_taken_again(void **state)
{
	struct keypair first = {.local_index = 77}, second = {.local_index = 77};
	struct session_table table;

	(void)state;
	assert_int_equal(session_init(&table, NULL), 0);
	add_keypair(&table, &first);
	session_remove(&table, 77);
	assert_false(session_taken(&table, 77));
	add_keypair(&table, &second);
	assert_ptr_equal(lookup(&table, 77), &second);
	session_remove(&table, 77);
	assert_null(lookup(&table, 77));
	session_fini(&table);
}

#define N_INDICES 700u

/* Few indices, all colliding in clusters, so that chains, dead entries and rebuilds are common. */
static uint32_t index_of(uint32_t i)
{
	return i % 3 ? i * 64 : UINT32_MAX - i;
}

static void test_session_agrees_with_a_naive_twin(void **state)
{
	enum what { FREE, HANDSHAKE, KEYPAIR };
	static struct keypair keypairs[N_INDICES];
	static enum what twin[N_INDICES];
	struct peer *peer = aligned_alloc(64, sizeof *peer);
	struct rng rng = {5};
	struct session_table table;
	struct session_array *old;
	uint32_t n_live = 0, n_rebuilt = 0;

	(void)state;
	assert_int_equal(session_init(&table, NULL), 0);
	for (uint32_t i = 0; i < N_INDICES; i++)
		keypairs[i].local_index = index_of(i);
	for (unsigned round = 0; round < 200000; round++) {
		/* Waves of growth and shrinking. */
		const uint32_t range = round / 20000 % 2 ? 20 : N_INDICES;
		const uint32_t i = (uint32_t)rng_below(&rng, range);

		old = NULL;
		switch (rng_below(&rng, 4)) {
		case 0:
			if (twin[i] != FREE)
				break;
			assert_int_equal(session_add_handshake(&table, index_of(i), peer, &old), 0);
			twin[i] = HANDSHAKE;
			n_live++;
			break;
		case 1:
			if (twin[i] != FREE)
				break;
			assert_int_equal(session_add_keypair(&table, &keypairs[i], &old), 0);
			twin[i] = KEYPAIR;
			n_live++;
			break;
		case 2:
			if (twin[i] != HANDSHAKE)
				break;
			session_promote(&table, &keypairs[i]);
			twin[i] = KEYPAIR;
			break;
		case 3:
			n_live -= twin[i] != FREE;
			session_remove(&table, index_of(i));
			twin[i] = FREE;
			break;
		}
		n_rebuilt += old != NULL;
		free_old(old);
		const uint32_t k = (uint32_t)rng_below(&rng, N_INDICES);
		assert_ptr_equal(
			lookup(&table, index_of(k)), twin[k] == KEYPAIR ? &keypairs[k] : NULL);
		assert_ptr_equal(
			session_handshake(&table, index_of(k)), twin[k] == HANDSHAKE ? peer : NULL);
		assert_int_equal(session_taken(&table, index_of(k)), twin[k] != FREE);
		assert_int_equal(table.n_live, n_live);
	}
	assert_true(n_rebuilt > 10);
	session_fini(&table);
	free(peer);
}

static void test_session_array_follows_the_number_of_live_entries(void **state)
{
	static struct keypair keypairs[5000];
	struct session_table table;
	struct session_array *array;

	(void)state;
	assert_int_equal(session_init(&table, NULL), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		keypairs[i].local_index = i * 2654435761u;
		add_keypair(&table, &keypairs[i]);
	}
	array = relaxed_get(&table.array);
	assert_in_range(array->mask + 1, 2 * 5000, 8 * 5000);
	/* One session renewed for ever: the dead go with each rebuild, memory shrinks again. */
	for (uint32_t i = 1; i < 5000; i++)
		session_remove(&table, keypairs[i].local_index);
	for (uint32_t i = 0; i < 100000; i++) {
		struct keypair *k = &keypairs[1 + i % 4999];

		k->local_index = i * 2654435761u + 1;
		add_keypair(&table, k);
		session_remove(&table, k->local_index);
	}
	array = relaxed_get(&table.array);
	assert_int_equal(array->mask + 1, 64);
	assert_ptr_equal(lookup(&table, 0), &keypairs[0]);
	session_fini(&table);
}

/* ---- a reader beside the writer ---- */

#define N_STABLE 50u
#define N_RETIRED 4096u

static struct {
	struct session_table table;
	struct keypair stable[N_STABLE], moving[64];
	_Atomic bool done;
	_Atomic uint32_t n_rounds;
} shared;

static void *reader(void *arg)
{
	(void)arg;
	for (uint32_t n = 0; !atomic_load(&shared.done); n++) {
		struct session_array *array =
			atomic_load_explicit(&shared.table.array, memory_order_acquire);

		for (uint32_t i = 0; i < N_STABLE; i++)
			if (session_keypair(array, shared.stable[i].local_index) !=
				&shared.stable[i])
				return (void *)1;
		for (uint32_t i = 0; i < 64; i++) {
			struct keypair *k = session_keypair(array, 1000 + i);

			/* There or not, but never another's. */
			if (k && k != &shared.moving[i])
				return (void *)2;
		}
		atomic_store(&shared.n_rounds, n);
	}
	return NULL;
}

static void test_session_reader_sees_every_session_while_the_writer_rebuilds(void **state)
{
	static struct session_array *retired[N_RETIRED];
	uint32_t n_retired = 0;
	struct rng rng = {8};
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(session_init(&shared.table, NULL), 0);
	for (uint32_t i = 0; i < N_STABLE; i++) {
		shared.stable[i].local_index = i * 4096;
		add_keypair(&shared.table, &shared.stable[i]);
	}
	for (uint32_t i = 0; i < 64; i++)
		shared.moving[i].local_index = 1000 + i;
	assert_int_equal(pthread_create(&thread, NULL, reader, NULL), 0);
	while (n_retired < 1000 || atomic_load(&shared.n_rounds) < 100) {
		struct keypair *k = &shared.moving[rng_below(&rng, 64)];
		struct session_array *old = NULL;

		if (session_taken(&shared.table, k->local_index)) {
			session_remove(&shared.table, k->local_index);
			continue;
		}
		assert_int_equal(session_add_keypair(&shared.table, k, &old), 0);
		if (!old)
			continue;
		/* No grace period here: the reader may still be in it, so it stays to the end. */
		retired[n_retired++ % N_RETIRED] = old;
		if (n_retired == N_RETIRED)
			break;
	}
	atomic_store(&shared.done, true);
	pthread_join(thread, &result);
	assert_null(result);
	for (uint32_t i = 0; i < n_retired; i++)
		free_old(retired[i]);
	session_fini(&shared.table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session_handshake_becomes_keypair_under_the_same_index),
		cmocka_unit_test(test_session_index_zero_is_an_index_like_any_other),
		cmocka_unit_test(test_session_index_that_died_may_be_taken_again),
		cmocka_unit_test(test_session_agrees_with_a_naive_twin),
		cmocka_unit_test(test_session_array_follows_the_number_of_live_entries),
		cmocka_unit_test(test_session_reader_sees_every_session_while_the_writer_rebuilds),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
