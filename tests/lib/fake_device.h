/* fake_device.h - a hub that only remembers: what uapi_server and others are tested against.
 * It follows the rules of wgh_device_apply() by the simplest means: arrays and linear search.
 */
#ifndef TESTS_FAKE_DEVICE_H
#define TESTS_FAKE_DEVICE_H

#include "wghub_device.h"

struct fake_peer {
	struct wgh_peer_change config; /* allowed_ips points to ips */
	struct wgh_allowed_ip *ips;
};

struct fake_device {
	uint8_t private_key[WGH_KEY_BYTES];
	uint16_t listen_port;
	uint32_t fwmark;
	struct fake_peer *peers;
	size_t n_peers;
	unsigned n_applied;
	unsigned n_snapshots; /* that are not freed */
	int fail; /* the next apply or snapshot answers this */
};

/* All take a struct fake_device as arg. */
int fake_device_apply(void *arg, const struct wgh_change *change, struct wgh_error *error);
int fake_device_snapshot(void *arg, struct wgh_snapshot **snapshot);
void fake_device_snapshot_free(struct wgh_snapshot *snapshot);
void fake_device_fini(struct fake_device *d);

#endif
