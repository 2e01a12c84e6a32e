/* factory_poll.h - asks the API again and again: which hub is published, which devices there are.
 *
 * A round is one request for wireguard-server and, unless the VPN is switched off, those for
 * wireguard-ips. After a good round, or a refusal, the next one comes an interval later, within 10
 * per cent; after a failure in 5 s, doubling up to 5 min, or when Retry-After says. An answer that
 * is no JSON of the right shape is a failure. Nothing of a failed round is handed on but the
 * server file, if that came first. Threads: the main thread.
 */
#ifndef CONTROL_FACTORY_POLL_H
#define CONTROL_FACTORY_POLL_H

#include "control/factory_http.h"
#include "control/factory_json.h"
#include "control/troubles.h"

#define POLL_INTERVAL_MS 60000
#define POLL_AGAIN_MIN_MS 5000
#define POLL_AGAIN_MAX_MS 300000
#define POLL_PAGES_MAX 1000

struct factory_poll_options {
	const char *factory; /* borrowed */
	uint64_t interval_ms, again_min_ms; /* 0: as above */
	struct factory_http_options http; /* borrowed */
};

/* The first two are called in each good round. */
struct factory_poll_handler {
	void (*server)(void *arg, const struct server_file *server);
	/* Not while switched off. The handler may take *peers and leave it zeroed. */
	void (*peers)(void *arg, struct factory_peers *peers);
	/* At the end of every round; why unless FACTORY_OK. May be NULL. */
	void (*round)(void *arg, enum factory_outcome outcome, const char *why);
	void *arg;
};

struct factory_poll;

/* The first round begins with the loop's next turn. troubles is borrowed. */
MUST_CHECK int factory_poll_new(struct factory_poll **poll, uv_loop_t *loop,
	const struct factory_poll_options *options, const struct factory_poll_handler *handler,
	struct troubles *troubles, struct wgh_error *error);
/* Not from the handler. NULL is fine. */
void factory_poll_free(struct factory_poll *poll);
/* A round now; one that is under way is followed by another. */
void factory_poll_now(struct factory_poll *poll);
/* Is a round under way? */
bool factory_poll_is_running(const struct factory_poll *poll);
void factory_poll_creds(struct factory_poll *poll, struct factory_creds_view *view);
/* How long after n failures in a row, before jitter. */
uint64_t factory_poll_wait_ms(uint64_t min_ms, unsigned n_failures, unsigned retry_after_s);

#endif
