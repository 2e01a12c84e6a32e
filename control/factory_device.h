/* factory_device.h - one device's VPN switched on or off at the API: what `fioctl devices config
 * wireguard D enable|disable` does, but read back, and without taking an address that somebody has.
 *
 * Nothing at the API keeps two people from giving the same address to two devices. So the config
 * and the list of addresses are read again after each write, until they say what is wanted and
 * nobody else has the address; whoever finds somebody else there waits a random moment and takes
 * another one. What already is as wanted is not written, because every write makes the device take
 * its tunnel down and up. Threads: the main thread; waits for the API.
 */
#ifndef CONTROL_FACTORY_DEVICE_H
#define CONTROL_FACTORY_DEVICE_H

#include "control/factory_json.h"
#include "control/factory_once.h"

#define DEVICE_TRIES_MAX 8

struct device_job {
	struct factory_once *once; /* borrowed, as all of these */
	const char *factory, *name;
	/* What the API does not know of: addresses of clients. */
	const struct wgh_addr *taken;
	size_t n_taken;
	struct wgh_addr refused; /* by the hub, for this device; WGH_UNSPEC: none */
};

struct device_result {
	struct device_file file; /* as it is now */
	bool on_changed; /* the device acts on it */
	bool changed; /* something was written */
};

/* All: -ENOENT: no such device, or it has no VPN key yet, or no hub is published; -EACCES: these
 * credentials may not; -EIO: the API; -EAGAIN: somebody else is always faster; -ENOSPC; -ENOMEM. */
MUST_CHECK int device_read(struct device_result *result, const struct device_job *job,
	struct notes *notes, struct wgh_error *error);
MUST_CHECK int device_enable(struct device_result *result, const struct device_job *job,
	struct notes *notes, struct wgh_error *error);
MUST_CHECK int device_disable(struct device_result *result, const struct device_job *job,
	struct notes *notes, struct wgh_error *error);

/* "/ota/devices/NAME/" and what follows, with the factory as a query. */
#define DEVICE_PATH_CHARS 1024
void device_path(char out[DEVICE_PATH_CHARS], const struct device_job *job, const char *below);

#endif
