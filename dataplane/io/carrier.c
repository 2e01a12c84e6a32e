/* carrier.c - a worker's thread: waits on its sockets and its TUN queue, and carries each burst
 * from the system call that brought it to the one that takes it away.
 *
 * RCU: the thread is online from the start to the end of a callback and offline while it waits, so
 * that a grace period waits for a busy worker's present burst and never for an idle one.
 */
#include "io/device.h"

#include <stdlib.h>
#include <urcu/urcu-qsbr.h>

/* Receives in a row before the other descriptors get their turn. */
#define ROUNDS 4

/* Each socket finds out by itself; one of them is news. */
static void tell_gso_lost(struct wgh_device *device)
{
	const struct wgh_event event = {.kind = WGH_EVENT_OFFLOAD_LOST,
		.offload = WGH_OFFLOAD_UDP_GSO,
		.now_ns = device_now_ns()};

	if (!atomic_exchange(&device->gso_told, true))
		device_event_put(device, &event);
}

static void emit(struct carrier *c, const struct worker_output *out)
{
	struct udp_sent sent = {0};
	int err = 0;

	if (out->n_bursts && c->sockets) {
		if (c->sockets->v4.fd >= 0)
			udp_send(&c->sockets->v4, c->udp_tx, out->bursts, out->n_bursts, &sent);
		if (c->sockets->v6.fd >= 0)
			udp_send(&c->sockets->v6, c->udp_tx, out->bursts, out->n_bursts, &sent);
		if (sent.n_failed)
			worker_drop(c->worker, DROP_SEND, sent.n_failed);
		if (sent.source_lost)
			worker_forget_sources(c->worker);
		if (sent.gso_lost)
			tell_gso_lost(c->device);
	}
	if (out->n_to_tun) {
		uint32_t n_refused =
			tun_write(&c->tun, c->tun_tx, out->to_tun, out->n_to_tun, &err);

		if (n_refused)
			worker_drop(c->worker, DROP_TUN_WRITE, n_refused);
	}
	if (out->control)
		protocol_wake(c->device);
}

/* libuv calls back from inside its wait, so each callback says by itself from when to when it reads
 * what RCU guards. */
static void reading_begin(void)
{
	urcu_qsbr_thread_online();
}

static void reading_end(struct carrier *c)
{
	/* What the grace period itself guarantees, in a form that a race detector understands. */
	atomic_fetch_add_explicit(&c->n_readings, 1, memory_order_release);
	urcu_qsbr_thread_offline();
}

/* ---- UDP ---- */

/* The bursts of one receive, in portions a batch can hold. */
static void carry_received(struct carrier *c, const struct udp_received *received)
{
	uint64_t now_ns = device_now_ns();
	size_t first = 0;

	while (first < received->n_bursts) {
		uint32_t n_packets = 0;
		size_t n = 0;

		while (first + n < received->n_bursts &&
			n_packets + received->bursts[first + n].n_packets <= PACKETS_PER_BATCH)
			n_packets += received->bursts[first + n++].n_packets;
		emit(c, worker_input_udp(c->worker, &received->bursts[first], n, now_ns));
		first += n;
	}
}

static void on_udp(uv_poll_t *watch, int status, int events)
{
	struct carrier *c = watch->loop->data;
	struct udp_socket *s = watch == &c->sockets->watch4 ? &c->sockets->v4 : &c->sockets->v6;
	struct udp_received received = {0};

	(void)events;
	reading_begin();
	for (int round = 0; round < ROUNDS || received.kept; round++) {
		if (udp_receive(s, c->udp_rx, &received))
			break;
		if (received.n_truncated)
			worker_drop(c->worker, DROP_TRUNCATED, received.n_truncated);
		if (received.n_bursts)
			carry_received(c, &received);
		if (!received.more)
			break;
	}
	reading_end(c);
	/* libuv stops watching after an error on the socket; reading has cleared it. */
	if (status < 0)
		uv_poll_start(watch, UV_READABLE, on_udp);
}

static void watch_socket(struct carrier *c, uv_poll_t *watch, const struct udp_socket *s)
{
	if (s->fd < 0)
		return;
	uv_poll_init(&c->loop, watch, s->fd);
	uv_poll_start(watch, UV_READABLE, on_udp);
	c->sockets->n_watched++;
}

static void on_watch_closed(uv_handle_t *watch)
{
	struct udp_pair *pair = watch->data;

	if (!--pair->n_watched)
		free(pair);
}

static void close_sockets(struct udp_pair *pair)
{
	if (!pair)
		return;
	pair->watch4.data = pair->watch6.data = pair;
	if (pair->v4.fd >= 0)
		uv_close((uv_handle_t *)&pair->watch4, on_watch_closed);
	if (pair->v6.fd >= 0)
		uv_close((uv_handle_t *)&pair->watch6, on_watch_closed);
	udp_close(&pair->v4);
	udp_close(&pair->v6);
}

static void adopt(struct carrier *c, void *arg)
{
	close_sockets(c->sockets);
	c->sockets = arg;
	if (!c->sockets)
		return;
	watch_socket(c, &c->sockets->watch4, &c->sockets->v4);
	watch_socket(c, &c->sockets->watch6, &c->sockets->v6);
}

/* ---- TUN ---- */

static void on_tun(uv_poll_t *watch, int status, int events);

static void on_tun_again(uv_idle_t *idle)
{
	struct carrier *c = idle->loop->data;

	uv_idle_stop(idle);
	on_tun(&c->watch_tun, 0, UV_READABLE);
}

static void on_tun(uv_poll_t *watch, int status, int events)
{
	struct carrier *c = watch->loop->data;
	struct wgh_packet *packets;
	uint32_t n_bad = 0;
	bool more = true;
	size_t n;
	int err = 0;

	(void)events;
	reading_begin();
	for (int round = 0; round < ROUNDS && more; round++) {
		err = tun_read(&c->tun, c->tun_rx, &packets, &n, &n_bad, &more);
		if (err)
			break;
		if (n)
			emit(c, worker_input_tun(c->worker, packets, n, device_now_ns()));
	}
	if (n_bad)
		worker_drop(c->worker, DROP_INNER_HEADER, n_bad);
	reading_end(c);
	if (err) {
		uv_poll_stop(watch);
		atomic_store(&c->device->tun_gone, true);
		wake_send(c->device->notify);
		return;
	}
	if (more) /* perhaps the rest of a packet that was read already: do not wait for the next */
		uv_idle_start(&c->tun_again, on_tun_again);
	if (status < 0)
		uv_poll_start(watch, UV_READABLE, on_tun);
}

/* ---- the thread ---- */

static void on_called(uv_async_t *handle)
{
	struct carrier *c = handle->loop->data;
	void (*call)(struct carrier *, void *) = atomic_exchange(&c->call, NULL);

	atomic_store(&c->answered, atomic_load(&c->device->asked));
	if (!call)
		return;
	call(c, c->call_arg);
	uv_sem_post(&c->done);
}

static void call_and_wait(struct carrier *c, void (*call)(struct carrier *, void *), void *arg)
{
	c->call_arg = arg;
	atomic_store(&c->call, call);
	uv_async_send(&c->called);
	uv_sem_wait(&c->done);
}

static void run(void *arg)
{
	struct carrier *c = arg;

	device_thread_begins(c->device);
	urcu_qsbr_register_thread();
	urcu_qsbr_thread_offline();
	uv_run(&c->loop, UV_RUN_DEFAULT);
	urcu_qsbr_unregister_thread();
}

int carrier_start(struct carrier *c)
{
	int err = uv_loop_init(&c->loop);

	if (err)
		return err;
	c->loop.data = c;
	uv_sem_init(&c->done, 0);
	uv_async_init(&c->loop, &c->called, on_called);
	uv_idle_init(&c->loop, &c->tun_again);
	if (c->tun.fd >= 0) {
		uv_poll_init(&c->loop, &c->watch_tun, c->tun.fd);
		uv_poll_start(&c->watch_tun, UV_READABLE, on_tun);
	}
	err = uv_thread_create(&c->thread, run, c);
	c->started = !err;
	return err;
}

static void stop(struct carrier *c, void *arg)
{
	(void)arg;
	close_sockets(c->sockets);
	c->sockets = NULL;
	uv_close((uv_handle_t *)&c->called, NULL);
	uv_close((uv_handle_t *)&c->tun_again, NULL);
	if (c->tun.fd >= 0)
		uv_close((uv_handle_t *)&c->watch_tun, NULL);
}

void carrier_stop(struct carrier *c)
{
	if (c->started) {
		call_and_wait(c, stop, NULL);
		uv_thread_join(&c->thread);
		uv_loop_close(&c->loop);
		uv_sem_destroy(&c->done);
		c->started = false;
	}
	tun_close(&c->tun);
	udp_rx_free(c->udp_rx);
	udp_tx_free(c->udp_tx);
	tun_rx_free(c->tun_rx);
	tun_tx_free(c->tun_tx);
}

void carrier_adopt(struct carrier *c, struct udp_pair *sockets)
{
	call_and_wait(c, adopt, sockets);
}
