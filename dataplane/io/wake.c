/* wake.c - see wake.h. Costs: one write and one read for each time the receiver had to be told. */
#include "io/wake.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_readable(uv_poll_t *watch, int status, int events)
{
	struct wake *wake = (struct wake *)watch;
	uint64_t n;

	(void)status;
	(void)events;
	IGNORE_RESULT(read(wake->fd, &n, sizeof n)); /* never blocks */
	/* Before the call: what comes from now on is sent again. */
	atomic_exchange(&wake->sent, false);
	wake->call(wake->arg);
}

int wake_init(struct wake *wake, uv_loop_t *loop, void (*call)(void *arg), void *arg)
{
	int err;

	wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (wake->fd < 0)
		return -errno;
	err = uv_poll_init(loop, &wake->watch, wake->fd);
	if (err) {
		close(wake->fd);
		return err;
	}
	wake->call = call;
	wake->arg = arg;
	atomic_init(&wake->sent, false);
	uv_poll_start(&wake->watch, UV_READABLE, on_readable);
	return 0;
}

void wake_send(struct wake *wake)
{
	const uint64_t one = 1;

	if (!atomic_exchange(&wake->sent, true))
		IGNORE_RESULT(write(wake->fd, &one, sizeof one)); /* there is always room */
}

void wake_close(struct wake *wake, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&wake->watch, closed);
	close(wake->fd);
}
