/* resolve.c - see resolve.h. */
#include "control/resolve.h"

#include "control/log.h"
#include "control/text.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 60000

/* WAITING -> ASKING -> FOUND, or back to WAITING with a later due_ms */
enum name_state { NAME_WAITING, NAME_ASKING, NAME_FOUND };

struct name {
	uv_getaddrinfo_t request;
	struct resolver *resolver; /* NULL: nobody wants the answer any more */
	struct name *next;
	struct wgh_public_key peer;
	enum name_state state;
	uint64_t due_ms, retry_ms;
	bool wanted;
	uint16_t port;
	char host[TEXT_HOST_CHARS];
};

struct resolver {
	uv_timer_t timer;
	uv_loop_t *loop;
	resolved_fn *resolved;
	void *arg;
	struct name *names;
	unsigned n_asking;
};

static void ask_next(struct resolver *r);

static void on_timer(uv_timer_t *timer)
{
	ask_next(timer->data);
}

static bool to_endpoint(struct wgh_endpoint *out, const struct addrinfo *list, uint16_t port)
{
	for (; list; list = list->ai_next) {
		*out = (struct wgh_endpoint){.port = port};
		if (list->ai_family == AF_INET) {
			out->family = WGH_IPV4;
			memcpy(out->addr, &((struct sockaddr_in *)list->ai_addr)->sin_addr, 4);
			return true;
		}
		if (list->ai_family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)list->ai_addr;

			out->family = WGH_IPV6;
			memcpy(out->addr, &in6->sin6_addr, 16);
			out->scope_id = in6->sin6_scope_id;
			return true;
		}
	}
	return false;
}

static void log_failure(struct name *n, const char *why)
{
	char peer[TEXT_PEER_CHARS];

	text_from_peer(peer, &n->peer);
	/* Once for people, then only for those who look for faults. */
	if (n->retry_ms == RETRY_FIRST_MS)
		log_warn("endpoint not found peer=%s host=%s port=%u why=\"%s\" retried=yes", peer,
			n->host, n->port, why);
	else
		log_debug("endpoint not found peer=%s host=%s port=%u why=\"%s\"", peer, n->host,
			n->port, why);
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct name *n = request->data;
	struct resolver *r = n->resolver;
	struct wgh_endpoint endpoint;

	if (!r) {
		uv_freeaddrinfo(list);
		free(n);
		return;
	}
	r->n_asking--;
	if (status == 0 && to_endpoint(&endpoint, list, n->port)) {
		n->state = NAME_FOUND;
		r->resolved(r->arg, &n->peer, &endpoint);
	} else {
		log_failure(n, status ? uv_strerror(status) : "no address");
		n->state = NAME_WAITING;
		n->due_ms = uv_now(r->loop) + n->retry_ms;
		n->retry_ms = n->retry_ms * 2 < RETRY_MAX_MS ? n->retry_ms * 2 : RETRY_MAX_MS;
	}
	uv_freeaddrinfo(list);
	ask_next(r);
}

static void ask(struct resolver *r, struct name *n)
{
	static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
	char port[8];

	snprintf(port, sizeof port, "%u", n->port);
	n->request.data = n;
	if (uv_getaddrinfo(r->loop, &n->request, on_answer, n->host, port, &hints)) {
		n->due_ms = uv_now(r->loop) + n->retry_ms;
		return;
	}
	n->state = NAME_ASKING;
	r->n_asking++;
}

static void ask_next(struct resolver *r)
{
	uint64_t now_ms = uv_now(r->loop), next_ms = UINT64_MAX;

	for (struct name *n = r->names; n && r->n_asking < RESOLVE_AT_ONCE; n = n->next) {
		if (n->state == NAME_WAITING && n->due_ms <= now_ms)
			ask(r, n);
		if (n->state == NAME_WAITING && n->due_ms < next_ms)
			next_ms = n->due_ms;
	}
	if (next_ms != UINT64_MAX)
		uv_timer_start(&r->timer, on_timer, next_ms > now_ms ? next_ms - now_ms : 1, 0);
}

struct resolver *resolver_new(uv_loop_t *loop, resolved_fn *resolved, void *arg)
{
	struct resolver *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->loop = loop;
	r->resolved = resolved;
	r->arg = arg;
	uv_timer_init(loop, &r->timer);
	r->timer.data = r;
	return r;
}

static void drop(struct resolver *r, struct name *n)
{
	if (n->state != NAME_ASKING) {
		free(n);
		return;
	}
	r->n_asking--;
	n->resolver = NULL;
	uv_cancel(
		(uv_req_t *)&n
			->request); /* helps where it has not begun; on_answer() frees either way */
}

static struct name *find(struct resolver *r, const struct conf_peer *peer)
{
	for (struct name *n = r->names; n; n = n->next) {
		if (!memcmp(&n->peer, &peer->public_key, sizeof n->peer) &&
			n->port == peer->endpoint_port && !strcmp(n->host, peer->endpoint_host))
			return n;
	}
	return NULL;
}

int resolver_want(struct resolver *r, const struct conf *conf)
{
	int err = 0;

	for (struct name *n = r->names; n; n = n->next)
		n->wanted = false;
	for (size_t i = 0; i < conf->n_peers; i++) {
		const struct conf_peer *peer = &conf->peers[i];
		struct name *n;

		if (!peer->endpoint_host)
			continue;
		n = find(r, peer);
		if (!n) {
			n = calloc(1, sizeof *n);
			if (!n) {
				err = -ENOMEM;
				continue;
			}
			n->resolver = r;
			n->peer = peer->public_key;
			n->port = peer->endpoint_port;
			n->retry_ms = RETRY_FIRST_MS;
			snprintf(n->host, sizeof n->host, "%s", peer->endpoint_host);
			n->next = r->names;
			r->names = n;
		}
		n->wanted = true;
	}
	for (struct name **at = &r->names; *at;) {
		struct name *n = *at;

		if (n->wanted) {
			at = &n->next;
			continue;
		}
		*at = n->next;
		drop(r, n);
	}
	ask_next(r);
	return err;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	while (r->names) {
		struct name *n = r->names;

		r->names = n->next;
		drop(r, n);
	}
	uv_close((uv_handle_t *)&r->timer, on_closed);
}
