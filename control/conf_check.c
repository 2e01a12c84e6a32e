/* conf_check.c - what only the whole file shows: no key, the same peer twice, one prefix with two
 * owners. By sorting, so that 100,000 peers take no longer than reading them. */
#include "control/conf_check.h"

#include "control/error.h"
#include "control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_peers(const void *a, const void *b)
{
	const struct conf_peer *const *x = a, *const *y = b;
	int order = memcmp(&(*x)->public_key, &(*y)->public_key, sizeof(*x)->public_key);

	return order ? order : (*x)->line < (*y)->line ? -1 : (*x)->line > (*y)->line;
}

static int check_peers(const struct conf *c, const char *path, struct wgh_error *error)
{
	const struct conf_peer **sorted = calloc(c->n_peers + 1, sizeof *sorted);
	int err = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_peers; i++)
		sorted[i] = &c->peers[i];
	qsort(sorted, c->n_peers, sizeof *sorted, compare_peers);
	for (size_t i = 1; i < c->n_peers && !err; i++) {
		if (memcmp(&sorted[i - 1]->public_key, &sorted[i]->public_key, 32))
			continue;
		error_set(error,
			"%s:%u: this [Peer] has the PublicKey of the one in line %u; join them",
			path, sorted[i]->line, sorted[i - 1]->line);
		err = -EINVAL;
	}
	free(sorted);
	return err;
}

struct owned_prefix {
	struct wgh_prefix prefix; /* masked */
	const struct conf_peer *owner;
	unsigned line;
};

static int compare_prefixes(const void *a, const void *b)
{
	const struct owned_prefix *x = a, *y = b;
	int order = memcmp(&x->prefix, &y->prefix, sizeof x->prefix);

	return order ? order : x->line < y->line ? -1 : x->line > y->line;
}

static int check_prefixes(const struct conf *c, const char *path, struct wgh_error *error)
{
	struct owned_prefix *sorted;
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < c->n_peers; i++)
		n += c->peers[i].n_allowed_ips;
	sorted = calloc(n + 1, sizeof *sorted);
	if (!sorted)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < c->n_peers; i++) {
		const struct conf_peer *peer = &c->peers[i];

		for (size_t j = 0; j < peer->n_allowed_ips; j++, n++) {
			sorted[n] = (struct owned_prefix){
				peer->allowed_ips[j], peer, peer->allowed_lines[j]};
			text_prefix_mask(&sorted[n].prefix);
		}
	}
	qsort(sorted, n, sizeof *sorted, compare_prefixes);
	for (size_t i = 1; i < n && !err; i++) {
		char text[TEXT_PREFIX_CHARS];

		if (memcmp(&sorted[i - 1].prefix, &sorted[i].prefix, sizeof sorted[i].prefix) ||
			sorted[i - 1].owner == sorted[i].owner)
			continue;
		text_from_prefix(text, &sorted[i].prefix);
		error_set(error,
			"%s:%u: AllowedIPs %s already belongs to the peer of line %u (AllowedIPs "
			"in line %u); "
			"a prefix has one owner",
			path, sorted[i].line, text, sorted[i - 1].owner->line, sorted[i - 1].line);
		err = -EINVAL;
	}
	free(sorted);
	return err;
}

int conf_check(
	const struct conf *conf, const char *path, unsigned interface_line, struct wgh_error *error)
{
	int err;

	if (ct_is_zero(conf->private_key, WGH_KEY_BYTES)) {
		error_set(error, "%s:%u: no PrivateKey in [Interface]; make one with: wghub genkey",
			path, interface_line ? interface_line : 1);
		return -EINVAL;
	}
	err = check_peers(conf, path, error);
	return err ? err : check_prefixes(conf, path, error);
}
