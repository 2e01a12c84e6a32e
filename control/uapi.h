/* uapi.h - WireGuard's configuration protocol as text: requests to changes, snapshots to answers.
 *
 * Source: https://www.wireguard.com/xplatform/#cross-platform-userspace-implementation. Lines are
 * key=value, an empty line ends a request. Besides "get=1" and "set=1" there are our own
 * "get=wghub": what `wghub show` prints, and "wghub=VERB" with parameters: what the other commands
 * ask a running hub for (control/README.md lists both). No sockets, no clock, no log here: bytes
 * in, bytes out, so that it can be fuzzed. Threads: one at a time per object. Bounds: a line has at
 * most UAPI_LINE_MAX bytes; "set=1" has any number of lines, about 250 bytes of memory per peer and
 * 24 per allowed ip; "wghub=VERB" has UAPI_PARAMS_MAX lines and UAPI_REQUEST_BYTES in all.
 */
#ifndef CONTROL_UAPI_H
#define CONTROL_UAPI_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define UAPI_LINE_MAX 4096

enum uapi_event {
	UAPI_MORE, /* all bytes are used, the request goes on */
	UAPI_GET, /* "get=1" is complete */
	UAPI_GET_WGHUB, /* "get=wghub" is complete */
	UAPI_SET, /* "set=1" is complete: look at uapi_error(), then uapi_change() */
	UAPI_OWN, /* "wghub=VERB" is complete: look at uapi_error(), then uapi_request() */
	UAPI_CLOSE, /* none of them: close the connection */
};

#define UAPI_PARAMS_MAX 16
#define UAPI_REQUEST_BYTES 4096

/* "wghub=VERB": no key comes twice, none is empty. */
struct uapi_request {
	const char *verb;
	struct {
		const char *key, *value;
	} params[UAPI_PARAMS_MAX];
	size_t n_params;
};

struct uapi_parser;

/* NULL: no memory. */
MUST_CHECK struct uapi_parser *uapi_parser_new(void);
/* Wipes what it held. NULL is fine. */
void uapi_parser_free(struct uapi_parser *p);

/* Takes bytes until a request is complete; *used says how many it took. After an event other than
 * UAPI_MORE look at the results below, then call uapi_parser_reset() before the next bytes. */
enum uapi_event uapi_parse(struct uapi_parser *p, const char *bytes, size_t n, size_t *used);
/* 0, or what is wrong with the request: -EINVAL a key or value, -EPROTO a line without '=',
 * -EMSGSIZE a line too long, -ENOMEM. */
int uapi_error(const struct uapi_parser *p);
/* What and why, for the log: the key's name, never a value. Empty where there is no error. */
const char *uapi_error_text(const struct uapi_parser *p);
/* Only where uapi_error() is 0. Lives until the reset. */
const struct wgh_change *uapi_change(const struct uapi_parser *p);
/* The same. */
const struct uapi_request *uapi_request(const struct uapi_parser *p);
/* A parameter's value, or NULL. */
const char *uapi_param(const struct uapi_request *request, const char *key);
/* Forgets and wipes the request. */
void uapi_parser_reset(struct uapi_parser *p);

/* Gives a peer's name, or NULL. */
typedef const char *uapi_name_fn(void *arg, const struct wgh_public_key *peer);

/* What the answer to "get=wghub" has besides the snapshot. */
struct uapi_extra {
	/* The nth line of the hub, "key=value"; NULL: no more. */
	const char *(*line)(void *arg, size_t index, char *room, size_t size);
	/* A group of the device for people. */
	const char *(*group)(void *arg, unsigned group, char *room, size_t size);
	void *arg;
};

/* Writes an answer in pieces as large as the caller's buffer. Fields are uapi.c's own. */
struct uapi_writer {
	const struct wgh_snapshot *snapshot; /* borrowed until the answer is written */
	uapi_name_fn *name;
	void *name_arg;
	struct uapi_extra extra; /* may be all NULL */
	bool own;
	unsigned stage;
	size_t peer, item;
};

/* own: the answer to "get=wghub"; name may be NULL. */
void uapi_writer_init(struct uapi_writer *w, const struct wgh_snapshot *snapshot, bool own,
	uapi_name_fn *name, void *name_arg);
/* size at least UAPI_WRITE_MIN. Bytes written; 0: the answer is complete. out then holds keys: wipe
 * it. */
#define UAPI_WRITE_MIN 1024
size_t uapi_write(struct uapi_writer *w, char *out, size_t size);

/* Bits of enum wgh_offload by the names the command line uses: "udp-gro" .. "tun-uso". NULL past
 * the last. */
const char *uapi_offload_name(unsigned index);

#endif
