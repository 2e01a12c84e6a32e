/* fake_device.c - see fake_device.h. Slow and simple on purpose. */
#include "tests/lib/fake_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_snapshot {
	struct wgh_snapshot s;
	struct fake_device *device;
	uint64_t *drops;
	uint32_t *peer_drops;
};

static struct fake_peer *find(struct fake_device *d, const struct wgh_public_key *key)
{
	for (size_t i = 0; i < d->n_peers; i++) {
		if (!memcmp(&d->peers[i].config.public_key, key, sizeof *key))
			return &d->peers[i];
	}
	return NULL;
}

static void take_ip(struct fake_peer *peer, const struct wgh_prefix *prefix)
{
	struct wgh_peer_change *c = &peer->config;

	for (size_t i = 0; i < c->n_allowed_ips; i++) {
		if (!memcmp(&peer->ips[i].prefix, prefix, sizeof *prefix)) {
			peer->ips[i] = peer->ips[--c->n_allowed_ips];
			return;
		}
	}
}

static void remove_peer(struct fake_device *d, struct fake_peer *peer)
{
	free(peer->ips);
	*peer = d->peers[--d->n_peers];
}

static void change_peer(struct fake_device *d, const struct wgh_peer_change *c)
{
	struct fake_peer *peer = find(d, &c->public_key);

	if (c->flags & WGH_PEER_REMOVE) {
		if (peer)
			remove_peer(d, peer);
		return;
	}
	if (!peer) {
		if (c->flags & WGH_PEER_UPDATE_ONLY)
			return;
		d->peers = realloc(d->peers, (d->n_peers + 1) * sizeof *d->peers);
		peer = &d->peers[d->n_peers++];
		*peer = (struct fake_peer){.config.public_key = c->public_key};
	}
	if (c->flags & WGH_PEER_HAS_PRESHARED_KEY)
		memcpy(peer->config.preshared_key, c->preshared_key, WGH_KEY_BYTES);
	if (c->flags & WGH_PEER_HAS_ENDPOINT)
		peer->config.endpoint = c->endpoint;
	if (c->flags & WGH_PEER_HAS_KEEPALIVE)
		peer->config.keepalive_s = c->keepalive_s;
	if (c->flags & WGH_PEER_REPLACE_ALLOWED_IPS)
		peer->config.n_allowed_ips = 0;
	for (size_t i = 0; i < c->n_allowed_ips; i++) {
		const struct wgh_prefix *prefix = &c->allowed_ips[i].prefix;

		if (c->allowed_ips[i].remove) {
			take_ip(peer, prefix);
			continue;
		}
		for (size_t j = 0; j < d->n_peers; j++)
			take_ip(&d->peers[j], prefix);
		peer->ips =
			realloc(peer->ips, (peer->config.n_allowed_ips + 1) * sizeof *peer->ips);
		peer->ips[peer->config.n_allowed_ips++] =
			(struct wgh_allowed_ip){.prefix = *prefix};
	}
}

int fake_device_apply(void *arg, const struct wgh_change *c, struct wgh_error *error)
{
	struct fake_device *d = arg;

	if (d->fail) {
		int fail = d->fail;

		d->fail = 0;
		snprintf(error->text, sizeof error->text, "told to fail");
		return fail;
	}
	d->n_applied++;
	if (c->flags & WGH_HAS_PRIVATE_KEY)
		memcpy(d->private_key, c->private_key, WGH_KEY_BYTES);
	if (c->flags & WGH_HAS_LISTEN_PORT)
		d->listen_port = c->listen_port;
	if (c->flags & WGH_HAS_FWMARK)
		d->fwmark = c->fwmark;
	if (c->flags & WGH_REPLACE_PEERS) {
		while (d->n_peers)
			remove_peer(d, &d->peers[0]);
	}
	for (size_t i = 0; i < c->n_peers; i++)
		change_peer(d, &c->peers[i]);
	return 0;
}

int fake_device_snapshot(void *arg, struct wgh_snapshot **snapshot)
{
	static const uint8_t zero[WGH_KEY_BYTES];
	struct fake_device *d = arg;
	struct fake_snapshot *f;

	if (d->fail) {
		int fail = d->fail;

		d->fail = 0;
		return fail;
	}
	f = calloc(1, sizeof *f);
	f->device = d;
	f->drops = calloc(wgh_n_drop_reasons(), sizeof *f->drops);
	f->peer_drops = calloc(wgh_n_drop_reasons(), sizeof *f->peer_drops);
	f->s = (struct wgh_snapshot){
		.has_private_key = memcmp(d->private_key, zero, sizeof zero) != 0,
		.listen_port = d->listen_port,
		.fwmark = d->fwmark,
		.mtu_bytes = 1420,
		.n_workers = 1,
		.aead = "sodium",
		.drops = f->drops,
		.n_peers = d->n_peers};
	memcpy(f->s.private_key, d->private_key, sizeof zero);
	f->s.peers = calloc(d->n_peers + 1, sizeof *f->s.peers);
	for (size_t i = 0; i < d->n_peers; i++) {
		const struct wgh_peer_change *c = &d->peers[i].config;
		struct wgh_prefix *ips = calloc(c->n_allowed_ips + 1, sizeof *ips);

		for (size_t j = 0; j < c->n_allowed_ips; j++)
			ips[j] = d->peers[i].ips[j].prefix;
		f->s.peers[i] = (struct wgh_peer_view){.public_key = c->public_key,
			.endpoint = c->endpoint,
			.keepalive_s = c->keepalive_s,
			.allowed_ips = ips,
			.n_allowed_ips = c->n_allowed_ips,
			.drops = f->peer_drops};
		memcpy(f->s.peers[i].preshared_key, c->preshared_key, WGH_KEY_BYTES);
	}
	d->n_snapshots++;
	*snapshot = &f->s;
	return 0;
}

void fake_device_snapshot_free(struct wgh_snapshot *snapshot)
{
	struct fake_snapshot *f = (struct fake_snapshot *)snapshot; /* its first member */

	f->device->n_snapshots--;
	for (size_t i = 0; i < f->s.n_peers; i++)
		free((void *)f->s.peers[i].allowed_ips);
	free(f->s.peers);
	free(f->drops);
	free(f->peer_drops);
	free(f);
}

void fake_device_fini(struct fake_device *d)
{
	while (d->n_peers)
		remove_peer(d, &d->peers[0]);
	free(d->peers);
	memset(d, 0, sizeof *d);
}
