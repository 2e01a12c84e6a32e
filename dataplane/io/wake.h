/* wake.h - one thread wakes another one's loop.
 *
 * Like uv_async_t, on an eventfd of our own: libuv 1.44 marks its handle busy around the write, and
 * where both threads share a core the woken one runs at once and spins 15 us on that mark before it
 * lets the other one finish. Threads: wake_send() from any, as often as they like: one call at
 * least follows, after everything that was done before it. The rest in the loop's thread.
 */
#ifndef IO_WAKE_H
#define IO_WAKE_H

#include "crypto/secret.h"

#include <stdatomic.h>
#include <uv.h>

struct wake {
	uv_poll_t watch; /* first: a close callback gets its address */
	int fd;
	_Atomic bool sent; /* and not yet received: no need to write again */
	void (*call)(void *arg);
	void *arg;
};

/* Negative errno: nothing has to be closed. */
MUST_CHECK int wake_init(struct wake *wake, uv_loop_t *loop, void (*call)(void *arg), void *arg);
void wake_send(struct wake *wake);
/* Nobody sends any more. The memory belongs to the loop until closed() is called with it, or, if
 * that is NULL, until the loop has ended. */
void wake_close(struct wake *wake, uv_close_cb closed);

#endif
