/* uapi_server.h - the UAPI socket of a running hub: several clients, several requests each, on the
 * main loop.
 *
 * Bounds: UAPI_CLIENTS_MAX clients; one more closes the one that has been silent longest. Each has
 * two buffers of 16 KiB and, while an answer is under way, one snapshot or text. A client that
 * neither sends nor reads for UAPI_IDLE_MS is closed, unless it waits for an answer. Threads: the
 * main thread.
 */
#ifndef CONTROL_UAPI_SERVER_H
#define CONTROL_UAPI_SERVER_H

#include "control/uapi.h"
#include "control/uapi_socket.h"

#include <uv.h>

#define UAPI_CLIENTS_MAX 16
#define UAPI_IDLE_MS 30000

/* Where the answer to a request of our own goes, now or later. */
struct uapi_reply;

/* What requests do. arg is passed to all. */
struct uapi_handler {
	int (*apply)(void *arg, const struct wgh_change *change, struct wgh_error *error);
	/* In place of apply, where the answer comes later: as request below. Or NULL. */
	void (*set)(void *arg, const struct wgh_change *change, struct uapi_reply *reply);
	int (*snapshot)(void *arg, struct wgh_snapshot **snapshot);
	void (*snapshot_free)(struct wgh_snapshot *snapshot);
	uapi_name_fn *name; /* may be NULL */
	struct uapi_extra extra; /* may be all NULL */
	/* "wghub=VERB": calls uapi_reply_send() exactly once, also when the server is gone
	 * meanwhile. The request is valid during the call. May be NULL. */
	void (*request)(void *arg, const struct uapi_request *request, struct uapi_reply *reply);
	/* Somebody removed the socket's file: by convention the hub ends. */
	void (*gone)(void *arg);
	void *arg;
};

struct uapi_server;

/* Takes the socket over, also where it fails. */
MUST_CHECK int uapi_server_new(struct uapi_server **server, uv_loop_t *loop,
	const struct uapi_socket *socket, const struct uapi_handler *handler,
	struct wgh_error *error);
/* Removes the file and closes everything; memory is freed by the loop's next turns. NULL is fine.
 */
void uapi_server_free(struct uapi_server *server);
/* text: lines of key=value, malloc()ed and taken over; may be NULL. error: 0, or a negative errno
 * with why, one printable line, which is sent with it; or logged where wg(8) asked, which takes
 * no words. */
void uapi_reply_send(
	struct uapi_reply *reply, int error, const char *why, char *text, size_t text_bytes);
/* From within apply, set and request: the user whose program asks, as it was when it connected.
 * False: the system does not tell. */
bool uapi_server_asker(const struct uapi_server *server, uid_t *uid);
/* For tests, which have no 30 seconds. */
void uapi_server_set_idle(struct uapi_server *server, uint64_t idle_ms);

#endif
