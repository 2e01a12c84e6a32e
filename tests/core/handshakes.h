/* handshakes.h - two peers and the messages that begin their sessions, of which the hub knows
 * nothing yet. For test_handshake.c and test_handshake_load.c.
 */
#ifndef TESTS_CORE_HANDSHAKES_H
#define TESTS_CORE_HANDSHAKES_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/fixture.h"

#include <string.h>

#define S NS_PER_S

static struct fixture f;
static struct remote a, b;

static inline int setup(void **state)
{
	*state = &f;
	fixture_init(&f, &(struct fixture_options){.has_tun = true});
	remote_pair_add(&f, &a, &b);
	return 0;
}

static inline struct peer *peer(void)
{
	return remote_peer(&f, &a);
}

static inline struct keypair *current(void)
{
	return relaxed_get(&peer()->current);
}

static inline void give(const void *msg, uint32_t len_bytes)
{
	fixture_udp(&f, &a.endpoint, msg, len_bytes);
}

/* A begins: the i-th datagram sent must be the answer it can use. */
static inline void begin_from_remote(size_t i)
{
	struct wire_initiation msg;

	remote_initiation(&f, &a, &msg);
	give(&msg, sizeof msg);
	assert_int_equal(f.n_sent, i + 1);
	assert_true(remote_take_response(&a, &f.sent[i]));
}

static inline void want(void)
{
	handshake_want(f.hub, peer(), f.now_ns, f.wall_ns);
}

static inline struct remote stranger(unsigned n)
{
	struct remote r;

	remote_init(&f, &r, n);
	return r;
}

static inline void knock(struct remote *r)
{
	struct wire_initiation msg;

	remote_initiation(&f, r, &msg);
	fixture_udp(&f, &r->endpoint, &msg, sizeof msg);
}

#endif
