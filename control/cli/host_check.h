/* host_check.h - could a hub run here: is its UDP port free, its inner address nobody else's, its
 * interface not another program's? A hub of ours that runs already is no obstacle.
 */
#ifndef CONTROL_HOST_CHECK_H
#define CONTROL_HOST_CHECK_H

#include "crypto/secret.h"
#include "wghub_device.h"

struct host_check {
	const char *ifname, *socket_dir; /* socket_dir: NULL where there is none */
	const char *factory; /* for the remedies */
	uint16_t port;
	struct wgh_addr address;
	bool no_tun;
};

/* -EADDRINUSE, -EEXIST: error says what is in the way and what to do. */
MUST_CHECK int host_check(const struct host_check *check, struct wgh_error *error);
/* The interface alone: what an old daemon leaves behind is in the way of a hub that starts. */
MUST_CHECK int host_check_interface(const struct host_check *check, struct wgh_error *error);

#endif
