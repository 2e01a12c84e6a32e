/* daemon_conf.c - see daemon_hub.h: what the conf file and the policy make of the device. A file is
 * read whole before anything of it is applied; what cannot be applied leaves what runs, and the log
 * says why. */
#include "control/daemon_hub.h"

#include "control/error.h"
#include "control/journal.h"
#include "control/log.h"
#include "control/sync.h"
#include "control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the policy ---- */

/* A change as it is asked for, with what the policy makes of its peers. conf: with these peers
 * besides those that run. */
static int apply_with_policy(struct daemon_hub *hub, const struct wgh_change *change,
	const struct conf *conf, const struct wgh_snapshot *running, struct wgh_error *error)
{
	struct policy_amended amended = {.plan = NULL};
	struct policy_world world;
	int err = policy_world_of_conf(&world, conf, running);

	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	err = policy_run_amend(hub->policy, &amended, change, &world, running);
	if (err)
		error_set(error, "out of memory");
	else if (!policy_amended_is_empty(&amended))
		err = wgh_device_apply(hub->device, &amended.change, error);
	if (!err)
		policy_run_applied(hub->policy, &amended);
	policy_amended_fini(&amended);
	free((void *)world.peers);
	return err;
}

int daemon_apply_policy(struct daemon_hub *hub, struct wgh_error *error)
{
	const struct wgh_change nothing = {.flags = 0};
	struct wgh_snapshot *running;
	int err;

	if (hub->factory) {
		factory_hub_refresh(hub->factory);
		return 0;
	}
	err = wgh_device_snapshot(hub->device, &running);
	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	err = apply_with_policy(hub, &nothing, hub->conf, running, error);
	wgh_snapshot_free(running);
	return err;
}

/* ---- the conf file ---- */

/* Routes for what no address of the hub's own covers already. *routes is the caller's to free. */
static int make_routes(struct wgh_prefix **routes, size_t *n, const struct conf *conf)
{
	size_t n_ips = 0;

	*n = 0;
	for (size_t i = 0; i < conf->n_peers; i++)
		n_ips += conf->peers[i].n_allowed_ips;
	*routes = calloc(n_ips + 1, sizeof **routes);
	if (!*routes)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_peers && !conf->table_off; i++) {
		for (size_t j = 0; j < conf->peers[i].n_allowed_ips; j++) {
			struct wgh_prefix route = conf->peers[i].allowed_ips[j];
			bool covered = false;

			text_prefix_mask(&route);
			for (size_t k = 0; k < conf->n_addresses && !covered; k++)
				covered = text_prefix_covers(&conf->addresses[k], &route);
			if (!covered)
				(*routes)[(*n)++] = route;
		}
	}
	return 0;
}

static int configure_link(struct daemon_hub *hub, const struct conf *conf, struct wgh_error *error)
{
	struct wgh_link link = {.addresses = conf->addresses,
		.n_addresses = conf->n_addresses,
		.mtu_bytes = hub->options->device.mtu_bytes,
		.up = true};
	struct wgh_prefix *routes;
	int err = make_routes(&routes, &link.n_routes, conf);

	link.routes = routes;
	if (err)
		error_set(error, "out of memory");
	else
		err = wgh_device_configure_link(hub->device, &link, error);
	free(routes);
	return err;
}

static bool same_addresses(const struct conf *a, const struct conf *b)
{
	return a->n_addresses == b->n_addresses &&
		(a->n_addresses == 0 ||
			!memcmp(a->addresses, b->addresses, a->n_addresses * sizeof *a->addresses));
}

/* Those that came have their names already, those that went have them still. */
static void tell_conf(struct daemon_hub *hub, const struct conf *conf,
	const struct wgh_change *change, const struct wgh_snapshot *before)
{
	for (size_t i = 0; i < conf->n_peers; i++) {
		if (conf->peers[i].name)
			names_set(hub->names, &conf->peers[i].public_key, conf->peers[i].name);
	}
	journal_change("conf", change, before, hub->names);
}

int daemon_apply_conf(struct daemon_hub *hub, struct conf *conf, struct wgh_error *error)
{
	struct wgh_snapshot *running;
	struct sync sync;
	int err = wgh_device_snapshot(hub->device, &running);

	if (err) {
		error_set(error, "out of memory");
		return err;
	}
	err = sync_init(&sync, conf, hub->conf, running);
	if (err)
		error_set(error, "out of memory");
	else
		err = apply_with_policy(hub, &sync.change, conf, running, error);
	if (!err)
		tell_conf(hub, conf, &sync.change, running);
	wgh_snapshot_free(running);
	if (!err)
		err = configure_link(hub, conf, error);
	if (!err)
		log_info("conf applied added=%zu changed=%zu removed=%zu", sync.n_added,
			sync.n_changed, sync.n_removed);
	sync_fini(&sync);
	if (err)
		return err;
	if (hub->conf && !same_addresses(hub->conf, conf))
		log_warn("conf note=\"a changed Address is only added; to be rid of the old one: "
			 "wghub down and up\"");
	for (size_t i = 0; hub->conf && i < conf->n_notes;
		i++) /* the first time `wghub up` says them */
		log_warn("conf note=\"%s\"", conf->notes[i]);
	conf_free(hub->conf);
	hub->conf = conf;
	if (names_from_conf(hub->names, conf) ||
		(hub->resolver && resolver_want(hub->resolver, conf)))
		log_warn("conf incomplete why=\"out of memory\" lost=\"some names\"");
	return 0;
}

/* ---- both once more ---- */

void daemon_reload_policy(struct daemon_hub *hub)
{
	struct wgh_error error = {""};
	int err = policy_run_reload(hub->policy, &error);

	if (!err)
		err = daemon_apply_policy(hub, &error);
	if (err)
		policy_run_refused(hub->policy, error.text);
}

void daemon_reload_conf(struct daemon_hub *hub)
{
	struct wgh_error error = {""};
	struct conf *conf = NULL;
	int err;

	err = conf_read(&conf, hub->options->conf_path, &error);
	if (!err)
		err = daemon_apply_conf(hub, conf, &error);
	if (!err)
		return;
	if (hub->conf != conf)
		conf_free(conf);
	log_error("conf not applied why=\"%s\"", error.text);
	journal_say("change_refused", "{s:s,s:s}", "by", "conf", "why", error.text);
}
