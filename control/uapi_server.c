/* uapi_server.c - see uapi_server.h. The daemon's only way in while it runs.
 *
 * A client is read until a request is complete; then reading stops until the answer has been
 * written, piece by piece, each after the one before has left. So neither a client that sends
 * without end nor one that does not read makes the hub's memory grow, and none of them makes
 * another wait. */
#include "control/uapi_server.h"

#include "control/error.h"
#include "control/log.h"
#include "control/tidy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (16u << 10)

struct client {
	uv_pipe_t pipe;
	uv_write_t write;
	struct uapi_server *server;
	struct client *next;
	struct uapi_parser *parser;
	/* Of the answer under way, or NULL: what the writer writes, or the text itself; or who will
	 * bring it. */
	struct wgh_snapshot *snapshot;
	struct uapi_writer writer;
	char *text;
	size_t text_at, text_bytes;
	struct uapi_reply *reply;
	uint64_t active_ms; /* when it last sent or read something */
	bool reading, closing;
	size_t in_at, in_n; /* bytes of in that no request has used yet */
	char in[BUFFER_BYTES], out[BUFFER_BYTES];
};

struct uapi_reply {
	struct client *client; /* NULL: it has gone */
	bool set; /* of wg(8), which takes an errno and nothing else */
};

struct uapi_server {
	uv_pipe_t listener;
	uv_timer_t sweep; /* runs while there are clients, or always where the file cannot be
			     watched */
	uv_fs_event_t watch; /* of the directory */
	struct uapi_socket socket;
	struct uapi_handler handler;
	struct client *clients;
	struct client *asker; /* while a handler is called */
	unsigned n_clients, n_handles;
	uint64_t idle_ms;
	bool watched, gone, closing;
	bool refused; /* a client waits that there was no memory for */
};

/* ---- the end ---- */

static void server_unref(struct uapi_server *s)
{
	if (--s->n_handles == 0)
		free(s);
}

static void on_server_handle_closed(uv_handle_t *handle)
{
	server_unref(handle->data);
}

static void on_client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;
	struct uapi_server *s = c->server;

	if (c->snapshot)
		s->handler.snapshot_free(c->snapshot);
	uapi_parser_free(c->parser);
	free(c->text);
	secret_wipe(c, sizeof *c);
	free(c);
	tidy_soon();
	server_unref(s);
}

static void client_close(struct client *c)
{
	struct uapi_server *s = c->server;

	if (c->closing)
		return;
	c->closing = true;
	if (c->reply)
		c->reply->client = NULL;
	for (struct client **at = &s->clients; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	s->n_clients--;
	if (s->n_clients == 0 && s->watched && !s->refused && !s->closing)
		uv_timer_stop(&s->sweep);
	uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

/* ---- answers ---- */

static void process(struct client *c);
static void on_written(uv_write_t *write, int status);

static void write_out(struct client *c, size_t n)
{
	uv_buf_t buf = uv_buf_init(c->out, (unsigned)n);

	uv_read_stop((uv_stream_t *)&c->pipe);
	c->reading = false;
	if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written))
		client_close(c);
}

static void write_errno(struct client *c, int error)
{
	write_out(c, (size_t)snprintf(c->out, sizeof c->out, "errno=%d\n\n", error));
}

/* Fills out; 0: the answer is complete. */
static size_t next_piece(struct client *c)
{
	size_t n = c->text_bytes - c->text_at;

	if (c->snapshot)
		return uapi_write(&c->writer, c->out, sizeof c->out);
	if (n > sizeof c->out)
		n = sizeof c->out;
	if (n)
		memcpy(c->out, c->text + c->text_at, n);
	c->text_at += n;
	return n;
}

static void on_written(uv_write_t *write, int status)
{
	struct client *c = write->data;
	size_t n;

	secret_wipe(c->out, sizeof c->out);
	if (c->closing)
		return;
	if (status < 0) {
		client_close(c);
		return;
	}
	c->active_ms = uv_now(c->pipe.loop);
	n = next_piece(c);
	if (n) {
		write_out(c, n);
		return;
	}
	if (c->snapshot)
		c->server->handler.snapshot_free(c->snapshot);
	c->snapshot = NULL;
	free(c->text);
	c->text = NULL;
	c->text_at = c->text_bytes = 0;
	process(c);
}

static void answer_get(struct client *c, bool own)
{
	const struct uapi_handler *h = &c->server->handler;
	int error = uapi_error(c->parser);

	if (!error)
		error = h->snapshot(h->arg, &c->snapshot);
	if (error) {
		c->snapshot = NULL;
		write_errno(c, -error); /* wg reads digits only here */
		return;
	}
	uapi_writer_init(&c->writer, c->snapshot, own, h->name, h->arg);
	c->writer.extra = h->extra;
	write_out(c, uapi_write(&c->writer, c->out, sizeof c->out));
}

/* ---- answers that may come later ---- */

static void send_text(struct client *c, int error, const char *why, char *text, size_t text_bytes)
{
	size_t room = text_bytes + (why ? strlen(why) : 0) + 40;

	c->text = malloc(room);
	if (!c->text) {
		free(text);
		write_errno(c, -ENOMEM);
		return;
	}
	if (text_bytes)
		memcpy(c->text, text, text_bytes);
	free(text);
	c->text_at = 0;
	c->text_bytes = text_bytes;
	if (error && why)
		c->text_bytes += (size_t)snprintf(
			c->text + c->text_bytes, room - c->text_bytes, "error=%s\n", why);
	c->text_bytes += (size_t)snprintf(
		c->text + c->text_bytes, room - c->text_bytes, "errno=%d\n\n", error);
	write_out(c, next_piece(c));
}

static void end_set(struct client *c, int error, const char *why)
{
	if (error)
		log_warn("set refused errno=%d why=\"%s\"", error, why);
	else
		log_debug("set applied");
	write_errno(c, error);
}

void uapi_reply_send(
	struct uapi_reply *reply, int error, const char *why, char *text, size_t text_bytes)
{
	struct client *c = reply->client;
	bool set = reply->set;

	free(reply);
	if (!c || set)
		free(text);
	if (!c)
		return;
	c->reply = NULL;
	c->active_ms = uv_now(c->pipe.loop);
	if (set)
		end_set(c, error, why);
	else
		send_text(c, error, why, text, text_bytes);
}

/* NULL: no memory, and that has been answered. Nothing is read until the reply is there. */
static struct uapi_reply *new_reply(struct client *c, bool set)
{
	c->reply = malloc(sizeof *c->reply);
	if (!c->reply) {
		write_errno(c, -ENOMEM);
		return NULL;
	}
	*c->reply = (struct uapi_reply){.client = c, .set = set};
	uv_read_stop((uv_stream_t *)&c->pipe);
	c->reading = false;
	return c->reply;
}

static void answer_set(struct client *c)
{
	const struct uapi_handler *h = &c->server->handler;
	struct wgh_error why = {""};
	int error = uapi_error(c->parser);
	struct uapi_reply *reply;

	if (error) {
		end_set(c, error, uapi_error_text(c->parser));
	} else if (h->set) {
		reply = new_reply(c, true);
		c->server->asker = c;
		if (reply)
			h->set(h->arg, uapi_change(c->parser), reply);
	} else {
		c->server->asker = c;
		error = h->apply(h->arg, uapi_change(c->parser), &why);
		end_set(c, error, why.text);
	}
}

static void answer_own(struct client *c)
{
	const struct uapi_handler *h = &c->server->handler;
	int error = uapi_error(c->parser);
	struct uapi_reply *reply;

	if (error) {
		send_text(c, error, uapi_error_text(c->parser), NULL, 0);
		return;
	}
	if (!h->request) {
		send_text(c, -EOPNOTSUPP, "this hub has no such request", NULL, 0);
		return;
	}
	reply = new_reply(c, false);
	c->server->asker = c;
	if (reply)
		h->request(h->arg, uapi_request(c->parser), reply);
}

bool uapi_server_asker(const struct uapi_server *s, uid_t *uid)
{
	struct ucred credentials;
	socklen_t len = sizeof credentials;
	uv_os_fd_t fd;

	if (!s || !s->asker || uv_fileno((uv_handle_t *)&s->asker->pipe, &fd) ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
		return false;
	*uid = credentials.uid;
	return true;
}

/* ---- requests ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct client *c = handle->data;

	(void)suggested;
	*buf = uv_buf_init(c->in, sizeof c->in);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = stream->data;

	(void)buf;
	if (n == 0)
		return;
	if (n < 0) {
		client_close(c);
		return;
	}
	c->active_ms = uv_now(stream->loop);
	c->in_at = 0;
	c->in_n = (size_t)n;
	process(c);
}

/* Uses what was read up to the end of the next request; reads on where there is none. */
static void process(struct client *c)
{
	struct uapi_server *s = c->server;
	enum uapi_event event = UAPI_MORE;
	size_t used;

	if (c->in_at < c->in_n) {
		event = uapi_parse(c->parser, c->in + c->in_at, c->in_n - c->in_at, &used);
		secret_wipe(c->in + c->in_at, used);
		c->in_at += used;
	}
	switch (event) {
	case UAPI_MORE:
		if (!c->reading && uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0)
			client_close(c);
		c->reading = true;
		return;
	case UAPI_GET:
	case UAPI_GET_WGHUB:
		answer_get(c, event == UAPI_GET_WGHUB);
		break;
	case UAPI_SET:
		answer_set(c);
		break;
	case UAPI_OWN:
		answer_own(c);
		break;
	case UAPI_CLOSE:
		client_close(c);
		return;
	}
	s->asker = NULL;
	uapi_parser_reset(c->parser);
}

/* ---- clients come and go ---- */

static void check_file(struct uapi_server *s)
{
	if (s->closing || s->gone || !s->socket.path[0] || uapi_socket_is_there(&s->socket))
		return;
	s->gone = true;
	s->handler.gone(s->handler.arg);
}

static void on_connection(uv_stream_t *listener, int status);

static void on_sweep(uv_timer_t *timer)
{
	struct uapi_server *s = timer->data;
	uint64_t now_ms = uv_now(timer->loop);

	for (struct client *c = s->clients, *next; c; c = next) {
		next = c->next;
		if (!c->reply && now_ms - c->active_ms >= s->idle_ms)
			client_close(c);
	}
	if (!s->watched)
		check_file(s);
	if (s->refused) {
		s->refused = false;
		on_connection((uv_stream_t *)&s->listener, 0);
	}
}

static void start_sweep(struct uapi_server *s)
{
	uint64_t period_ms = s->idle_ms / 4 + 1;

	if (!uv_is_active((uv_handle_t *)&s->sweep))
		uv_timer_start(&s->sweep, on_sweep, period_ms, period_ms);
}

static void close_longest_silent(struct uapi_server *s)
{
	struct client *longest = s->clients;

	for (struct client *c = s->clients; c; c = c->next) {
		if (c->active_ms <= longest->active_ms)
			longest = c;
	}
	client_close(longest);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct uapi_server *s = listener->data;
	struct client *c;

	if (status < 0) {
		log_warn("uapi accept failed why=\"%s\"", uv_strerror(status));
		return;
	}
	if (s->n_clients == UAPI_CLIENTS_MAX)
		close_longest_silent(s);
	c = calloc(1, sizeof *c);
	if (c)
		c->parser = uapi_parser_new();
	if (!c || !c->parser) {
		/* libuv accepts no further client until this one is taken; it is by the next turn.
		 */
		log_warn("uapi client refused why=\"out of memory\"");
		free(c);
		return;
	}
	c->server = s;
	c->pipe.data = c->write.data = c;
	c->active_ms = uv_now(listener->loop);
	uv_pipe_init(listener->loop, &c->pipe, 0);
	s->n_handles++;
	s->n_clients++;
	c->next = s->clients;
	s->clients = c;
	start_sweep(s);
	if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0) {
		client_close(c);
		return;
	}
	process(c);
}

static void on_dir_event(uv_fs_event_t *watch, const char *filename, int events, int status)
{
	(void)filename;
	(void)events;
	(void)status;
	check_file(watch->data);
}

static void watch_file(struct uapi_server *s)
{
	char dir[sizeof s->socket.path];
	char *slash;

	if (!s->socket.path[0]) {
		s->watched = true; /* nothing to watch */
		return;
	}
	memcpy(dir, s->socket.path, sizeof dir);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	s->watched = uv_fs_event_start(
			     &s->watch, on_dir_event, slash ? (*dir ? dir : "/") : ".", 0) == 0;
	if (!s->watched)
		start_sweep(s); /* out of inotify watches: look now and then instead */
}

int uapi_server_new(struct uapi_server **server, uv_loop_t *loop, const struct uapi_socket *socket,
	const struct uapi_handler *handler, struct wgh_error *error)
{
	struct uapi_server *s = calloc(1, sizeof *s);
	int err;

	if (!s) {
		close(socket->fd);
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	s->socket = *socket;
	s->handler = *handler;
	s->idle_ms = UAPI_IDLE_MS;
	s->listener.data = s->sweep.data = s->watch.data = s;
	uv_pipe_init(loop, &s->listener, 0);
	uv_timer_init(loop, &s->sweep);
	uv_fs_event_init(loop, &s->watch);
	s->n_handles = 3;
	err = uv_pipe_open(&s->listener, socket->fd);
	if (err)
		close(socket->fd);
	else
		err = uv_listen((uv_stream_t *)&s->listener, 16, on_connection);
	if (err) {
		error_set(error, "the UAPI socket cannot be listened on: %s", uv_strerror(err));
		uapi_server_free(s);
		return err;
	}
	watch_file(s);
	*server = s;
	return 0;
}

void uapi_server_free(struct uapi_server *s)
{
	if (!s)
		return;
	s->closing = true;
	uapi_socket_remove(&s->socket);
	while (s->clients)
		client_close(s->clients);
	uv_close((uv_handle_t *)&s->listener, on_server_handle_closed);
	uv_close((uv_handle_t *)&s->sweep, on_server_handle_closed);
	uv_close((uv_handle_t *)&s->watch, on_server_handle_closed);
}

void uapi_server_set_idle(struct uapi_server *s, uint64_t idle_ms)
{
	bool active = uv_is_active((uv_handle_t *)&s->sweep);

	s->idle_ms = idle_ms;
	uv_timer_stop(&s->sweep);
	if (active)
		start_sweep(s);
}
