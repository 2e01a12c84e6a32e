/* service.h - what systemd hands to a service: where to tell how it is (NOTIFY_SOCKET), how often
 * it must show that it lives (WATCHDOG_USEC), sockets that are open already (LISTEN_FDS).
 *
 * Own code instead of libsystemd: the protocol is a datagram of text and three variables, promised
 * stable by systemd; the library would bring four others (compression, hashing) into a process that
 * holds keys, and is missing where libc is musl. Threads: main. Costs: a datagram for each news.
 * Fails: a supervisor that does not listen changes nothing.
 */
#ifndef CONTROL_SERVICE_H
#define CONTROL_SERVICE_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define SERVICE_UDP_FDS_MAX 128

struct service {
	int notify_fd; /* -1: nobody listens */
	uint64_t watchdog_ms; /* the supervisor's patience; 0: endless */
	int uapi_fd; /* the listening unix socket, or -1 */
	int udp_fds[SERVICE_UDP_FDS_MAX];
	size_t n_udp_fds;
};

/* Takes the variables out of the environment. Variables meant for another process are passed over.
 * -EINVAL with the error said: a descriptor that is of no use here. */
MUST_CHECK int service_init(struct service *service, struct wgh_error *error);
void service_fini(struct service *service);

/* Lines of sd_notify(3): "READY=1", "STATUS=...". */
void service_tell(const struct service *service, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The configuration is being read again; "READY=1" says that this is over. */
void service_tell_reloading(const struct service *service);

#endif
