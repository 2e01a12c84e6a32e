/* factory_hub.h - a device kept equal to a FoundriesFactory, with engineers from the clients file
 * beside its devices.
 *
 * At the start the device becomes what the state file remembers, so that it serves before anybody
 * has answered; then it follows the API and the clients file. Only what differs is touched. Peers
 * made by wg(8) are left alone. Whatever the API does, peers stay; what is wrong is in the log,
 * once. Threads: the main thread. Costs: a sync sorts the peers; the device is asked for a snapshot
 * each time.
 */
#ifndef CONTROL_FACTORY_HUB_H
#define CONTROL_FACTORY_HUB_H

#include "control/factory_poll.h"
#include "control/names.h"
#include "control/policy_run.h"
#include "control/uapi_server.h"

/* Endpoints change without anybody's asking: so often it is looked whether more are known than were
 * saved, and every so many looks they are saved anyway. */
#define FACTORY_HUB_LOOK_MS 5000
#define FACTORY_HUB_LOOKS 24

struct factory_hub_options {
	struct factory_poll_options poll; /* borrowed until the end */
	uint8_t private_key[WGH_KEY_BYTES];
	const char *state_path, *clients_path, *hosts_path; /* NULL: none */
	const struct wgh_prefix
		*ranges; /* where devices and clients live; borrowed until the end */
	size_t n_ranges; /* 0: as wanted.h says */
};

struct factory_hub;

/* device, names and policy are borrowed until factory_hub_free(). The options' key is not wiped
 * here. A port in use or a damaged state is no error but trouble. */
MUST_CHECK int factory_hub_new(struct factory_hub **hub, uv_loop_t *loop, struct wgh_device *device,
	struct names *names, struct policy_run *policy, const struct factory_hub_options *options,
	struct wgh_error *error);
/* Writes the state; runs the loop until that is done. Not from a callback. NULL is fine. */
void factory_hub_free(struct factory_hub *hub);
/* The policy or the peers made by hand are other ones now. */
void factory_hub_refresh(struct factory_hub *hub);
/* Asks the API now and reads the clients file again. */
void factory_hub_now(struct factory_hub *hub);
/* "set=1" of wg(8): whatever harms nobody. Devices and clients keep their one address, devices are
 * not removed, the key and the port stay; a new peer with one free address becomes a client, in the
 * clients file, too. What is changed or left out is one line of the log. -EINVAL: nothing has
 * changed. Answered when the clients file is written. */
void factory_hub_set(
	struct factory_hub *hub, const struct wgh_change *change, struct uapi_reply *reply);
/* "wghub=VERB": control/README.md lists them. */
void factory_hub_request(
	struct factory_hub *hub, const struct uapi_request *request, struct uapi_reply *reply);
/* What the device reports; the log is the caller's. */
void factory_hub_event(struct factory_hub *hub, const struct wgh_event *event);

#endif
