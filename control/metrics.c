/* metrics.c - see metrics.h. libmicrohttpd runs without threads of its own: its epoll descriptor is
 * watched by the loop, and a timer wakes it where it asks for that. The text is kept for a second,
 * as one response that any number of clients share, so that nobody can make the hub take snapshots
 * all day. */
#include "control/metrics.h"

#include "control/error.h"
#include "control/file.h"
#include "control/late_library.h"
#include "control/log.h"
#include "control/text.h"
#include "control/uapi_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 16
#define CLIENT_S 10
#define CLIENT_BYTES 16384
#define KEEP_TEXT_MS 1000
#define UNIX_PREFIX "unix:"

struct metrics {
	struct MHD_Daemon *daemon;
	struct MHD_Response *text; /* NULL: too old, or none yet */
	uv_poll_t poll;
	uv_timer_t wake, forget;
	unsigned n_open; /* handles */
	char *token; /* METRICS_TOKEN_MAX bytes, zeros behind; NULL: none is asked for */
	struct uapi_socket socket; /* path is empty where it is no unix socket */
	metrics_source_fn *source;
	void *arg;
};

/* ---- libmicrohttpd, loaded by those who serve metrics ---- */

/* clang-format off */
#define MHD_FUNCTIONS(X) \
	X(add_response_header) X(create_response_from_buffer) X(destroy_response) X(get_daemon_info) \
	X(get_timeout) X(lookup_connection_value) X(queue_response) X(run) X(start_daemon) X(stop_daemon)

#define X(name) typeof(&MHD_##name) name;
static struct { MHD_FUNCTIONS(X) } mhd;
#undef X
#define X(name) "MHD_" #name,
static const char *const mhd_names[] = {MHD_FUNCTIONS(X)};
#undef X
/* clang-format on */

static struct late_library libmicrohttpd = {.file = "libmicrohttpd.so.12",
	.package = "libmicrohttpd12",
	.names = mhd_names,
	.n = sizeof mhd_names / sizeof *mhd_names,
	.functions = &mhd};

/* ---- the place ---- */

/* *is_own: nobody on another machine reaches it. */
static const char *read_place(
	struct sockaddr_storage *addr, socklen_t *len, bool *is_own, const char *where)
{
	struct wgh_endpoint e;
	const char *why;

	memset(addr, 0, sizeof *addr);
	if (!strncmp(where, UNIX_PREFIX, strlen(UNIX_PREFIX))) {
		struct sockaddr_un *un = (struct sockaddr_un *)addr;
		const char *path = where + strlen(UNIX_PREFIX);

		if (path[0] != '/' || strlen(path) >= sizeof un->sun_path)
			return "a socket's path begins with / and has at most 107 bytes";
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, path);
		*len = sizeof *un;
		*is_own = true;
		return NULL;
	}
	why = text_endpoint(&e, where, strlen(where));
	if (why)
		return "a place is ADDRESS:PORT, as 127.0.0.1:9586 or [::1]:9586, or unix:/PATH";
	if (e.family == WGH_IPV4) {
		struct sockaddr_in *in = (struct sockaddr_in *)addr;

		in->sin_family = AF_INET;
		in->sin_port = htons(e.port);
		memcpy(&in->sin_addr, e.addr, 4);
		*len = sizeof *in;
		*is_own = e.addr[0] == 127;
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(e.port);
		in6->sin6_scope_id = e.scope_id;
		memcpy(&in6->sin6_addr, e.addr, 16);
		*len = sizeof *in6;
		*is_own = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	}
	return NULL;
}

const char *metrics_check(const char *where)
{
	struct sockaddr_storage addr;
	socklen_t len;
	bool is_own;

	return read_place(&addr, &len, &is_own, where);
}

/* Makes way where a hub was killed. */
static int make_way(const struct sockaddr_un *addr)
{
	int fd = uapi_socket_connect(addr);
	struct stat st;

	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (fd == -ECONNREFUSED && lstat(addr->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		return unlink(addr->sun_path) < 0 ? -errno : 0;
	return fd == -ENOENT ? 0 : -EADDRINUSE;
}

static int bind_unix(struct uapi_socket *s, const struct sockaddr_un *addr)
{
	int err = make_way(addr);
	struct stat st;
	mode_t old;

	if (err)
		return err;
	old = umask(0177);
	if (bind(s->fd, (const struct sockaddr *)addr, sizeof *addr) < 0 ||
		lstat(addr->sun_path, &st) < 0)
		err = -errno;
	umask(old);
	if (err)
		return err;
	strcpy(s->path, addr->sun_path);
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

static int open_place(struct uapi_socket *s, const struct sockaddr_storage *addr, socklen_t len)
{
	int on = 1;

	s->fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	if (addr->ss_family == AF_UNIX) {
		int err = bind_unix(s, (const struct sockaddr_un *)addr);

		if (err)
			return err;
	} else {
		setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (addr->ss_family == AF_INET6)
			setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
		if (bind(s->fd, (const struct sockaddr *)addr, len) < 0)
			return -errno;
	}
	return listen(s->fd, CLIENTS_MAX) < 0 ? -errno : 0;
}

/* ---- the token ---- */

static int read_token(struct metrics *m, const char *path, struct wgh_error *error)
{
	struct file_text text = {0};
	char shown[100];
	size_t n;
	int err;

	if (!path)
		return 0;
	text_escape(shown, sizeof shown, path, strlen(path));
	err = file_read(&text, path, 4096, error);
	if (err)
		return err;
	for (n = 0; n < text.n && text.bytes[n] > ' ' && text.bytes[n] < 0x7f;)
		n++;
	if (text.mode & 007) {
		error_set(error, "%s: others may read this token: chmod 600 it", shown);
		err = -EINVAL;
	} else if (n < METRICS_TOKEN_MIN || n > METRICS_TOKEN_MAX ||
		strspn(text.bytes + n, "\r\n") != text.n - n) {
		error_set(error,
			"%s: a token is one line of 16 to 512 letters, digits or signs, as of: "
			"openssl rand -hex 32",
			shown);
		err = -EINVAL;
	} else {
		m->token = secret_alloc(METRICS_TOKEN_MAX);
		if (m->token)
			memcpy(m->token, text.bytes, n);
		else
			err = -ENOMEM;
	}
	file_text_fini(&text);
	return err;
}

static bool may_read(const struct metrics *m, struct MHD_Connection *client)
{
	const char *given = mhd.lookup_connection_value(client, MHD_HEADER_KIND, "Authorization");
	char padded[METRICS_TOKEN_MAX] = {0};
	bool same;

	if (!m->token)
		return true;
	if (!given || strncasecmp(given, "Bearer ", 7) || strlen(given + 7) > sizeof padded)
		return false;
	memcpy(padded, given + 7, strlen(given + 7));
	same = ct_equal(padded, m->token, sizeof padded);
	secret_wipe(padded, sizeof padded);
	return same;
}

/* ---- requests ---- */

static enum MHD_Result refuse(struct MHD_Connection *client, unsigned status, char *words)
{
	struct MHD_Response *response =
		mhd.create_response_from_buffer(strlen(words), words, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	if (status == MHD_HTTP_UNAUTHORIZED)
		IGNORE_RESULT(mhd.add_response_header(response, "WWW-Authenticate", "Bearer"));
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		IGNORE_RESULT(mhd.add_response_header(response, "Allow", "GET, HEAD"));
	result = mhd.queue_response(client, status, response);
	mhd.destroy_response(response);
	return result;
}

static void forget_text(struct metrics *m)
{
	if (m->text)
		mhd.destroy_response(m->text);
	m->text = NULL;
}

static void on_forget(uv_timer_t *timer)
{
	forget_text(timer->data);
}

static bool make_text(struct metrics *m)
{
	char *text;
	size_t n;

	if (m->text)
		return true;
	if (m->source(m->arg, &text, &n))
		return false;
	m->text = mhd.create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
	if (!m->text) {
		free(text);
		return false;
	}
	IGNORE_RESULT(mhd.add_response_header(
		m->text, "Content-Type", "text/plain; version=0.0.4; charset=utf-8"));
	uv_timer_start(&m->forget, on_forget, KEEP_TEXT_MS, 0);
	return true;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *client, const char *url,
	const char *method, const char *version, const char *body, size_t *body_bytes, void **own)
{
	struct metrics *m = arg;

	(void)version, (void)body, (void)body_bytes, (void)own;
	if (!may_read(m, client))
		return refuse(client, MHD_HTTP_UNAUTHORIZED, "a bearer token is needed\n");
	if (strcmp(url, "/metrics"))
		return refuse(client, MHD_HTTP_NOT_FOUND, "there is only /metrics\n");
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return refuse(client, MHD_HTTP_METHOD_NOT_ALLOWED, "GET it\n");
	if (!make_text(m))
		return refuse(client, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
	return mhd.queue_response(client, MHD_HTTP_OK, m->text);
}

/* ---- the loop ---- */

static void turn(struct metrics *m);

static void on_wake(uv_timer_t *timer)
{
	turn(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	turn(poll->data);
}

static unsigned n_clients(const struct metrics *m)
{
	return mhd.get_daemon_info(m->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

static void turn(struct metrics *m)
{
	MHD_UNSIGNED_LONG_LONG ms;
	unsigned before;

	/* Where all places were taken, it listens again only in the turn after one that closes
	 * some. */
	do {
		before = n_clients(m);
		mhd.run(m->daemon);
	} while (n_clients(m) < before);
	if (mhd.get_timeout(m->daemon, &ms) == MHD_YES)
		uv_timer_start(&m->wake, on_wake, ms, 0);
	else
		uv_timer_stop(&m->wake);
}

/* What a client did wrong is not for standard error. */
static void no_log(void *arg, const char *format, va_list args)
{
	(void)arg, (void)format, (void)args;
}

static int start(struct metrics *m, uv_loop_t *loop)
{
	m->daemon = mhd.start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, m,
		MHD_OPTION_EXTERNAL_LOGGER, no_log, NULL, MHD_OPTION_LISTEN_SOCKET, m->socket.fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLIENTS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)CLIENT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CLIENT_BYTES,
		MHD_OPTION_END);
	if (!m->daemon)
		return -ENOMEM;
	m->socket.fd = -1; /* the daemon's now */
	m->poll.data = m->wake.data = m->forget.data = m;
	uv_timer_init(loop, &m->wake);
	uv_timer_init(loop, &m->forget);
	m->n_open = 2;
	if (uv_poll_init(loop, &m->poll,
		    mhd.get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd))
		return -EIO;
	m->n_open++;
	return uv_poll_start(&m->poll, UV_READABLE, on_poll) ? -EIO : 0;
}

int metrics_new(struct metrics **metrics, uv_loop_t *loop, const struct metrics_options *options,
	metrics_source_fn *source, void *arg, struct wgh_error *error)
{
	struct sockaddr_storage addr;
	struct metrics *m;
	const char *why;
	char shown[100];
	socklen_t len;
	bool is_own;
	int err;

	*metrics = NULL;
	if (!options->where)
		return 0;
	text_escape(shown, sizeof shown, options->where, strlen(options->where));
	why = read_place(&addr, &len, &is_own, options->where);
	if (!why && !is_own && !options->token_path)
		why = "other machines reach this address, so give --metrics-token FILE, too";
	if (why) {
		error_set(error, "--metrics %s: %s", shown, why);
		return -EINVAL;
	}
	m = calloc(1, sizeof *m);
	if (!m) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	m->source = source;
	m->arg = arg;
	m->socket.fd = -1;
	err = late_library_load(&libmicrohttpd, error);
	if (!err) {
		error_set(error, "out of memory");
		err = read_token(m, options->token_path, error);
	}
	if (!err) {
		err = open_place(&m->socket, &addr, len);
		if (!err)
			err = start(m, loop);
		if (err)
			error_set(error, "--metrics %s: %s", shown, strerror(-err));
	}
	if (err) {
		metrics_free(m);
		return err;
	}
	log_info("metrics served at=%s token=%s", shown, m->token ? "yes" : "no");
	*metrics = m;
	return 0;
}

const char *metrics_socket(const struct metrics *metrics)
{
	return metrics && metrics->socket.path[0] ? metrics->socket.path : NULL;
}

static void on_closed(uv_handle_t *handle)
{
	struct metrics *m = handle->data;

	if (--m->n_open == 0)
		free(m);
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	uapi_socket_remove(&m->socket);
	if (m->socket.fd >= 0)
		close(m->socket.fd);
	secret_free(m->token, METRICS_TOKEN_MAX);
	if (m->n_open == 3)
		uv_poll_stop(&m->poll);
	forget_text(m);
	if (m->daemon)
		mhd.stop_daemon(m->daemon);
	if (m->n_open == 3)
		uv_close((uv_handle_t *)&m->poll, on_closed);
	if (m->n_open >= 2) {
		uv_close((uv_handle_t *)&m->wake, on_closed);
		uv_close((uv_handle_t *)&m->forget, on_closed);
	} else {
		free(m);
	}
}
