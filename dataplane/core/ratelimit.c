/* ratelimit.c - token buckets of handshake sources: a fixed table of 1024 rows with 8 places each,
 * found by a keyed hash, so that nobody can choose whom he crowds out. A row whose 8 places are all
 * in use denies newcomers: under such a flood the known ones are worth more. Costs: one SipHash and
 * a look at one row (three to four cache lines). Allocates in ratelimit_new() only.
 */
#include "core/ratelimit.h"

#include "core/limits.h"
#include "core/time.h"

#include <sodium.h>
#include <string.h>

#define ROWS 1024u
#define PLACES 8u
#define TOKEN_NS (50 * NS_PER_MS) /* 20 a second */
#define FULL_NS (5 * TOKEN_NS) /* bursts of 5 */
#define FORGET_NS (1 * NS_PER_S)

struct source {
	uint8_t id[9]; /* family, then the IPv4 address or the first half of an IPv6 one; 0: free */
	uint32_t credit_ns; /* at last_ns; at most FULL_NS */
	uint64_t last_ns;
};

struct ratelimit {
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct source rows[ROWS][PLACES];
};
_Static_assert(crypto_shorthash_KEYBYTES == 16, "ratelimit_new() takes 16 bytes");

struct ratelimit *ratelimit_new(const uint8_t key[16], struct mem_budget *budget)
{
	struct ratelimit *limit = mem_new(budget, 1, sizeof *limit);

	if (limit)
		memcpy(limit->key, key, sizeof limit->key);
	return limit;
}

void ratelimit_free(struct ratelimit *limit)
{
	if (!limit)
		return;
	secret_wipe(limit, sizeof *limit);
	mem_free(limit);
}

static struct source *row_of(struct ratelimit *limit, const uint8_t id[9])
{
	uint8_t hash[crypto_shorthash_BYTES];

	crypto_shorthash(hash, id, 9, limit->key);
	return limit->rows[(hash[0] | hash[1] << 8) % ROWS];
}

/* The source's own place, else one that nobody uses now, else NULL. */
static struct source *find(struct source *row, const uint8_t id[9], uint64_t now_ns)
{
	struct source *unused = NULL;

	for (struct source *s = row; s < row + PLACES; s++) {
		const bool live = s->id[0] && time_since(now_ns, s->last_ns) <= FORGET_NS;
		if (live && !memcmp(s->id, id, sizeof s->id))
			return s;
		if (!live)
			unused = s;
	}
	if (!unused)
		return NULL;
	memcpy(unused->id, id, sizeof unused->id);
	unused->credit_ns = FULL_NS;
	unused->last_ns = now_ns;
	return unused;
}

bool ratelimit_allow(struct ratelimit *limit, const struct wgh_endpoint *from, uint64_t now_ns)
{
	uint8_t id[9] = {from->family};

	if (from->family != WGH_IPV4 && from->family != WGH_IPV6)
		return false;
	memcpy(id + 1, from->addr, from->family == WGH_IPV4 ? 4 : 8);

	struct source *s = find(row_of(limit, id), id, now_ns);

	if (!s)
		return false;

	const uint64_t credit_ns = s->credit_ns + time_since(now_ns, s->last_ns);
	const bool allowed = credit_ns >= TOKEN_NS;

	s->credit_ns = (uint32_t)time_earlier(credit_ns, FULL_NS);
	if (allowed)
		s->credit_ns -= (uint32_t)TOKEN_NS;
	if (now_ns > s->last_ns)
		s->last_ns = now_ns;
	return allowed;
}
