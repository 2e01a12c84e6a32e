/* ctl_client.c - see ctl_client.h. */
#include "control/ctl_client.h"

#include "control/array.h"
#include "control/error.h"
#include "control/text.h"
#include "control/uapi_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX (256u << 20)

/* A connected descriptor, with the reason put into words. */
static int dial(const char *dir, const char *ifname, unsigned timeout_s, struct sockaddr_un *addr,
	struct wgh_error *error)
{
	const struct timeval timeout = {.tv_sec = timeout_s};
	int fd = uapi_socket_path(addr, dir, ifname, error);

	if (fd < 0)
		return fd;
	fd = uapi_socket_connect(addr);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		error_set(
			error, "no hub called %s runs here (looked at %s)", ifname, addr->sun_path);
	else if (fd == -EAGAIN)
		error_set(error, "%s: the hub lets nobody in: it hangs, or too many ask it",
			addr->sun_path);
	else if (fd == -EACCES || fd == -EPERM)
		error_set(error,
			"%s: no permission; try as root, or as the user who started the hub",
			addr->sun_path);
	else if (fd < 0)
		error_set(error, "%s: %s", addr->sun_path, strerror(-fd));
	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	return fd;
}

static bool ends_answer(const char *text, size_t n)
{
	return n >= 2 && text[n - 1] == '\n' && text[n - 2] == '\n';
}

/* Reads up to the empty line. */
static int read_answer(int fd, char **text, size_t *n)
{
	size_t cap = 64u << 10;

	*n = 0;
	*text = malloc(cap);
	while (*text) {
		ssize_t got = recv(fd, *text + *n, cap - *n - 1, 0);
		char *bigger;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (got == 0)
			return -EPROTO;
		*n += (size_t)got;
		if (ends_answer(*text, *n)) {
			(*text)[*n] = 0;
			return 0;
		}
		if (cap - *n > 1024)
			continue;
		if (cap >= ANSWER_BYTES_MAX)
			return -EPROTO;
		bigger = realloc(*text, cap * 2);
		if (!bigger)
			return -ENOMEM;
		*text = bigger;
		cap *= 2;
	}
	return -ENOMEM;
}

/* Cuts the text into lines; *remote is the hub's own verdict. -EPROTO: not an answer. */
static int parse_answer(struct ctl_answer *a, size_t n, int *remote)
{
	char *at = a->text, *end = a->text + n;

	if (memchr(a->text, 0, n))
		return -EPROTO;
	while (at < end && *at != '\n') {
		char *newline = memchr(at, '\n', (size_t)(end - at)), *equals;

		*newline = 0;
		equals = strchr(at, '=');
		if (!equals)
			return -EPROTO;
		*equals = 0;
		if (!strcmp(at, "errno")) {
			*remote = atoi(equals + 1);
			return 0;
		}
		if (a->n_lines == a->cap) {
			void *bigger = array_grow(a->lines, &a->cap, sizeof *a->lines);

			if (!bigger)
				return -ENOMEM;
			a->lines = bigger;
		}
		a->lines[a->n_lines++] = (struct ctl_line){at, equals + 1};
		at = newline + 1;
	}
	return -EPROTO;
}

/* 0: the hub has answered, and *remote is its verdict. */
static int exchange(struct ctl_answer *answer, const char *dir, const char *ifname,
	const char *request, size_t n_request, unsigned timeout_s, int *remote,
	struct wgh_error *error)
{
	struct sockaddr_un addr;
	int fd = dial(dir, ifname, timeout_s, &addr, error), err = 0;
	size_t n = 0;

	*answer = (struct ctl_answer){0};
	*remote = 0;
	if (fd < 0)
		return fd;
	if (send(fd, request, n_request, MSG_NOSIGNAL) != (ssize_t)n_request)
		err = -EPROTO;
	if (!err)
		err = read_answer(fd, &answer->text, &n);
	if (!err)
		err = parse_answer(answer, n, remote);
	close(fd);
	if (!err)
		return 0;
	if (err == -EPROTO)
		error_set(error, "%s: the program behind it is no wghub; try: wg show %s",
			addr.sun_path, ifname);
	else if (err == -ETIMEDOUT)
		error_set(error, "%s: no answer within %u s", addr.sun_path, timeout_s);
	else
		error_set(error, "%s: no answer: %s", addr.sun_path, strerror(-err));
	ctl_answer_fini(answer);
	return err;
}

int ctl_get(struct ctl_answer *answer, const char *dir, const char *ifname, struct wgh_error *error)
{
	static const char request[] = "get=wghub\n\n";
	int remote,
		err = exchange(answer, dir, ifname, request, sizeof request - 1, CTL_TIMEOUT_S,
			&remote, error);

	if (err || !remote)
		return err;
	error_set(error, "%s: the hub could not answer: out of memory", ifname);
	ctl_answer_fini(answer);
	return -EREMOTEIO;
}

/* NULL: no memory. */
static char *write_request(
	const char *verb, const struct ctl_line *params, size_t n_params, size_t *n)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, n);

	if (!out)
		return NULL;
	fprintf(out, "wghub=%s\n", verb);
	for (size_t i = 0; i < n_params; i++)
		fprintf(out, "%s=%s\n", params[i].key, params[i].value);
	fputc('\n', out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

int ctl_ask(struct ctl_answer *answer, const char *dir, const char *ifname, const char *verb,
	const struct ctl_line *params, size_t n_params, unsigned timeout_s, struct wgh_error *error)
{
	size_t n;
	char *request = write_request(verb, params, n_params, &n), shown[200];
	int remote, err;

	*answer = (struct ctl_answer){0};
	if (!request) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	err = exchange(answer, dir, ifname, request, n, timeout_s, &remote, error);
	free(request);
	if (err || !remote)
		return err;
	if (ctl_value(answer, "error")) {
		text_escape(shown, sizeof shown, ctl_value(answer, "error"),
			strlen(ctl_value(answer, "error")));
		error_set(error, "%s", shown);
	} else {
		error_set(error, "%s: the hub could not answer: out of memory", ifname);
	}
	ctl_answer_fini(answer);
	return remote < 0 ? remote : -EREMOTEIO;
}

const char *ctl_value(const struct ctl_answer *answer, const char *key)
{
	for (size_t i = 0; i < answer->n_lines; i++) {
		if (!strcmp(answer->lines[i].key, key))
			return answer->lines[i].value;
	}
	return NULL;
}

void ctl_answer_fini(struct ctl_answer *answer)
{
	free(answer->text);
	free(answer->lines);
	*answer = (struct ctl_answer){0};
}

/* True once the other side has closed. What it sends meanwhile does not matter. */
static bool wait_for_end(int fd)
{
	struct timespec start, now;
	char byte[64];

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		ssize_t got = recv(fd, byte, sizeof byte, 0);

		if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec >= CTL_TIMEOUT_S)
			return false;
	}
}

int ctl_stop(const char *dir, const char *ifname, struct wgh_error *error)
{
	struct sockaddr_un addr;
	int fd = dial(dir, ifname, CTL_TIMEOUT_S, &addr, error), err = 0;

	if (fd < 0)
		return fd;
	if (unlink(addr.sun_path) < 0) {
		err = -errno;
		error_set(error, "%s: cannot be removed: %s", addr.sun_path, strerror(-err));
	} else if (!wait_for_end(fd)) {
		err = -ETIMEDOUT;
		error_set(error, "%s: asked to end, but still runs after %d s", ifname,
			CTL_TIMEOUT_S);
	}
	close(fd);
	return err;
}
