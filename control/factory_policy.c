/* factory_policy.c - the policy of a Factory's hub: devices are devices, those of the clients file
 * are clients, and an address of the network that nobody has is there for probing. */
#include "control/error.h"
#include "control/factory_alloc.h"
#include "control/factory_hub_internal.h"
#include "control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Who is there, for the policy: the Factory's are devices, those of the clients file clients. */
static int make_world(struct factory_hub *hub, struct policy_world *world,
	char (**names)[CONF_NAME_BYTES], const struct wgh_prefix *address)
{
	size_t n;
	const struct wanted_peer *wanted = wanted_peers(hub->wanted, &n);
	struct policy_peer *peers = calloc(n + 1, sizeof *peers);

	*names = calloc(n + 1, sizeof **names);
	*world = (struct policy_world){
		.peers = peers, .n_peers = n, .addresses = address, .n_addresses = hub->has_server};
	if (!peers || !*names)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		text_escape((*names)[i], sizeof(*names)[i], wanted[i].name, strlen(wanted[i].name));
		peers[i] = (struct policy_peer){.public_key = wanted[i].public_key,
			.name = *(*names)[i] ? (*names)[i] : NULL,
			.prefixes = wanted[i].prefixes,
			.n_prefixes = wanted[i].n_prefixes,
			.group = wanted[i].origin == ORIGIN_FACTORY  ? WGH_GROUP_DEVICE
				: wanted[i].origin == ORIGIN_CLIENTS ? WGH_GROUP_CLIENT
								     : WGH_GROUP_PEER};
	}
	return 0;
}

/* The highest address of the network that nobody has, for probing; the present one while it is
 * still free. WGH_UNSPEC: there is none. */
static struct wgh_addr spare_address(struct factory_hub *hub)
{
	struct wgh_addr spare = policy_run_probe(hub->policy), *taken = NULL;
	size_t n = 0;

	if (!hub->has_server)
		return (struct wgh_addr){.family = WGH_UNSPEC};
	if (spare.family != WGH_UNSPEC && wanted_is_free(hub->wanted, &spare))
		return spare;
	wanted_reserve(hub->wanted, NULL);
	if (wanted_taken(hub->wanted, &taken, &n) ||
		alloc_client(&spare, &hub->server.address, NULL, taken, n))
		spare = (struct wgh_addr){.family = WGH_UNSPEC};
	free(taken);
	return spare;
}

int factory_policy_apply(struct factory_hub *hub, const struct wgh_change *change,
	const struct wgh_snapshot *running, struct wgh_error *error)
{
	const struct wgh_prefix address = {.addr = hub->server.address, .bits = 32};
	struct policy_amended amended = {.plan = NULL};
	char(*names)[CONF_NAME_BYTES];
	struct wgh_addr probe;
	struct policy_world world;
	int err = make_world(hub, &world, &names, &address);

	if (!err) {
		world.spare = spare_address(hub);
		world.log_flows = true; /* devices cannot tell engineers apart */
		err = policy_run_amend(hub->policy, &amended, change, &world, running);
	}
	if (err)
		error_set(error, "out of memory");
	else if (!policy_amended_is_empty(&amended))
		err = wgh_device_apply(hub->device, &amended.change, error);
	if (!err) {
		policy_run_applied(hub->policy, &amended);
		probe = policy_run_probe(hub->policy);
		wanted_reserve(hub->wanted, &probe);
	}
	policy_amended_fini(&amended);
	free(names);
	free((void *)world.peers);
	return err;
}
