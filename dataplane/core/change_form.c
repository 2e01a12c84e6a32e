/* change_form.c - see change_form.h. For the authors of programs: an error says which member of
 * which peer is wrong, by its number in the set and the beginning of its key.
 */
#include "core/change_form.h"

#include "core/error.h"
#include "crypto/key_text.h"
#include "wghub_policy.h"

#include <errno.h>
#include <stdio.h>

#define CHANGE_FLAGS                                                                               \
	(WGH_HAS_PRIVATE_KEY | WGH_HAS_LISTEN_PORT | WGH_HAS_FWMARK | WGH_REPLACE_PEERS |          \
		WGH_HAS_POLICY | WGH_WHOLE | WGH_STRICT)
#define PEER_FLAGS                                                                                 \
	(WGH_PEER_REMOVE | WGH_PEER_UPDATE_ONLY | WGH_PEER_REPLACE_ALLOWED_IPS |                   \
		WGH_PEER_HAS_PRESHARED_KEY | WGH_PEER_HAS_ENDPOINT | WGH_PEER_HAS_KEEPALIVE |      \
		WGH_PEER_HAS_GROUP | WGH_PEER_HAS_NAT | WGH_PEER_HAS_TAG)
#define N(array) (sizeof(array) / sizeof *(array))

/* NULL: nothing is wrong. */
static const char *prefix_wrong(const struct wgh_prefix *prefix)
{
	switch (prefix->addr.family) {
	case WGH_IPV4:
		return prefix->bits <= 32 ? NULL : "more prefix bits than the 32 of its address";
	case WGH_IPV6:
		return prefix->bits <= 128 ? NULL : "more prefix bits than the 128 of its address";
	default:
		return "family must be WGH_IPV4 or WGH_IPV6 (which are not AF_INET, AF_INET6)";
	}
}

static bool any(const uint64_t *reserved, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (reserved[i])
			return true;
	return false;
}

static const char *peer_wrong(const struct wgh_peer_change *p)
{
	if (p->flags & ~PEER_FLAGS)
		return "flags that this version does not know";
	if (any(p->reserved, N(p->reserved)))
		return "reserved: must be zero";
	if (p->n_allowed_ips && !p->allowed_ips)
		return "allowed_ips: NULL, but n_allowed_ips is not 0";
	if ((p->flags & WGH_PEER_HAS_ENDPOINT) && p->endpoint.family != WGH_IPV4 &&
		p->endpoint.family != WGH_IPV6)
		return "endpoint: family must be WGH_IPV4 or WGH_IPV6 (which are not AF_INET, "
		       "AF_INET6)";
	if ((p->flags & WGH_PEER_HAS_ENDPOINT) && !p->endpoint.port)
		return "endpoint: needs a port above 0";
	if ((p->flags & WGH_PEER_HAS_GROUP) && p->group >= WGH_GROUPS_MAX)
		return "group: must be below 32";
	if ((p->flags & WGH_PEER_HAS_GROUP) && p->group == WGH_GROUP_HOST)
		return "group: a peer cannot be in the host's";
	if ((p->flags & WGH_PEER_HAS_NAT) && p->nat > WGH_NAT_AUTO)
		return "nat: must be never, always or auto";
	return NULL;
}

/* ---- the whole set ---- */

/* "peers[3] Xk3f9a2c: allowed_ips[0]: what" */
static int fail_peer(struct wgh_error *error, const struct wgh_change *change, size_t at,
	const char *member, const char *what)
{
	char key[KEY_BASE64_CHARS + 1];

	if (!error)
		return -EINVAL;
	key_to_base64(key, change->peers[at].public_key.bytes);
	snprintf(error->text, sizeof error->text, "peers[%zu] %.8s: %s%s", at, key, member, what);
	return -EINVAL;
}

int change_check_form(const struct wgh_change *change, struct wgh_error *error)
{
	if (change->flags & ~CHANGE_FLAGS)
		return error_fail(
			error, -EINVAL, "change set: flags that this version does not know");
	if (any(change->reserved, N(change->reserved)))
		return error_fail(error, -EINVAL, "change set: reserved: must be zero");
	if ((change->flags & WGH_HAS_POLICY) && !change->policy)
		return error_fail(error, -EINVAL, "policy: none was given");
	if (change->n_peers && !change->peers)
		return error_fail(error, -EINVAL, "peers: NULL, but n_peers is not 0");
	for (size_t i = 0; i < change->n_peers; i++) {
		const struct wgh_peer_change *p = &change->peers[i];
		const char *wrong = peer_wrong(p);
		char member[40];

		if (wrong)
			return fail_peer(error, change, i, "", wrong);
		for (size_t k = 0; k < p->n_allowed_ips; k++) {
			wrong = prefix_wrong(&p->allowed_ips[k].prefix);
			if (!wrong)
				continue;
			snprintf(member, sizeof member, "allowed_ips[%zu]: ", k);
			return fail_peer(error, change, i, member, wrong);
		}
	}
	return 0;
}
