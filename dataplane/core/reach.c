/* reach.c - see reach.h. Costs three small packets for each session of a peer that does not answer
 * them. */
#include "core/reach.h"

#include "core/icmp.h"
#include "core/keys.h"
#include "core/worker.h"

#include <string.h>

#define PROBES_MAX 3
/* After each probe; what is not proved after the last is not true. */
#define PROBE_INTERVAL_NS (2 * NS_PER_S)
/* A peer that makes sessions as fast as it can is not asked as fast. */
#define PROBE_REST_NS NS_PER_S

#define REACH_STOCK (REACH_STOCK4 | REACH_STOCK6)

static uint32_t stock_bits(const struct peer *peer)
{
	return relaxed_get(&((struct peer *)peer)->reach) & REACH_STOCK;
}

void reach_learn(struct worker *w, struct peer *peer, uint8_t family)
{
	const uint32_t bit = family == WGH_IPV4 ? REACH_STOCK4 : REACH_STOCK6;

	atomic_fetch_and_explicit(&peer->reach, ~bit, memory_order_relaxed);
	IGNORE_RESULT(worker_tell(w, EVENT_WIDE, peer, 0, NULL, 0)); /* only a report */
}

/* ---- what people are told ---- */

static void tell(struct hub *hub, struct peer *peer, uint32_t wide, uint64_t now_ns)
{
	struct wgh_event event = {.kind = WGH_EVENT_REACH,
		.wide4 = wide & REACH_STOCK4,
		.wide6 = wide & REACH_STOCK6,
		.now_ns = now_ns};

	if (peer->wide == wide)
		return;
	peer->wide = wide;
	memcpy(event.peer.bytes, peer->public_key.bytes, sizeof event.peer.bytes);
	if (hub->options.on_event)
		hub->options.on_event(hub->options.arg, &event);
}

/* ---- asking ---- */

/* The peer's first address of the family. */
static bool address_of(const struct hub *hub, const struct peer *peer, enum wgh_family family,
	struct wgh_addr *addr)
{
	struct wgh_prefix prefix;
	size_t cursor = 0;

	while (route_next_of(hub->routes, peer, &cursor, &prefix))
		if (prefix.addr.family == family &&
			prefix.bits == (family == WGH_IPV4 ? 32 : 128)) {
			*addr = prefix.addr;
			return true;
		}
	return false;
}

static void probe(struct hub *hub, struct peer *peer, const struct wgh_addr *from, uint64_t now_ns)
{
	uint8_t message[WGH_HEADROOM_BYTES + ICMP_ECHO_BYTES_MAX + WGH_TAILROOM_BYTES];
	struct wgh_addr to;
	uint32_t len_bytes;

	if (!from->family || !address_of(hub, peer, from->family, &to))
		return;
	len_bytes = icmp_echo_write(
		message + WGH_HEADROOM_BYTES, from, &to, hub->probe_id, peer->n_probes);
	/* Nobody who is stock answers: it does not count as data that wants an answer. */
	IGNORE_RESULT(keys_send_unanswered(hub, peer, message, len_bytes, now_ns));
}

static void ask(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	const struct wgh_policy *policy = &hub->policy->said;

	peer->n_probes++;
	peer->last_probe_ns = now_ns;
	if (stock_bits(peer) & REACH_STOCK4)
		probe(hub, peer, &policy->probe4, now_ns);
	if (stock_bits(peer) & REACH_STOCK6)
		probe(hub, peer, &policy->probe6, now_ns);
	peer->probe_at_ns = now_ns + PROBE_INTERVAL_NS;
}

void reach_due(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	peer->probe_at_ns = 0;
	if (!stock_bits(peer))
		return;
	if (peer->n_probes < PROBES_MAX)
		ask(hub, peer, now_ns);
	else
		tell(hub, peer, REACH_STOCK & ~stock_bits(peer), now_ns);
}

void reach_session(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	if (peer->nat != WGH_NAT_AUTO)
		return;
	atomic_fetch_or_explicit(&peer->reach, REACH_STOCK, memory_order_relaxed);
	peer->n_probes = 0;
	if (peer->last_probe_ns && time_since(now_ns, peer->last_probe_ns) < PROBE_REST_NS)
		peer->probe_at_ns = peer->last_probe_ns + PROBE_REST_NS;
	else
		ask(hub, peer, now_ns);
	hub_arm(hub, peer);
}

void reach_proved(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	if (peer->nat == WGH_NAT_AUTO)
		tell(hub, peer, (REACH_STOCK & ~stock_bits(peer)) | peer->wide, now_ns);
}

bool reach_is_answer(const struct hub *hub, const uint8_t *packet, const struct ip_info *info)
{
	return icmp_is_echo_reply(packet, info, hub->probe_id);
}

/* ---- what the caller says ---- */

bool reach_set_mode(struct hub *hub, struct peer *peer, enum wgh_nat nat, uint64_t now_ns)
{
	if (peer->nat == nat)
		return false;
	peer->nat = nat;
	peer->wide = 0;
	peer->probe_at_ns = 0;
	atomic_fetch_and_explicit(&peer->reach, ~(uint32_t)(REACH_STOCK | REACH_NAT | REACH_LEARNS),
		memory_order_relaxed);
	if (nat == WGH_NAT_NEVER)
		return true;
	atomic_fetch_or_explicit(&peer->reach,
		REACH_STOCK | REACH_NAT | (nat == WGH_NAT_AUTO ? REACH_LEARNS : 0),
		memory_order_relaxed);
	if (keys_usable(peer, now_ns))
		reach_session(hub, peer, now_ns);
	return true;
}
