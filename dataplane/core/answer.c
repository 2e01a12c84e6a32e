/* answer.c - see answer.h. Costs one of the worker's own buffers for each answer; without a free
 * one there is none.
 */
#include "core/answer.h"

#include "core/tcp.h"

/* At most ten a second for each peer in bursts of ten, and a thousand a second in all, in bursts of
 * a hundred. The host counts as a peer. */
#define PEER_INTERVAL_NS (100 * NS_PER_MS)
#define PEER_BURST 10
#define TOTAL_INTERVAL_NS (1 * NS_PER_MS)
#define TOTAL_BURST 100

/* One more event now? Keeps the time at which the allowance is used up: full bursts, then one an
 * interval. */
static bool allowed(uint64_t used_until_ns, uint64_t interval_ns, unsigned burst, uint64_t now_ns,
	uint64_t *next)
{
	uint64_t from_ns = used_until_ns > now_ns ? used_until_ns : now_ns;

	*next = from_ns + interval_ns;
	return from_ns - now_ns <= burst * interval_ns;
}

bool answer_allowed(_Atomic uint64_t *of_sender, uint64_t now_ns)
{
	uint64_t next_ns;

	if (!allowed(relaxed_get(of_sender), PEER_INTERVAL_NS, PEER_BURST, now_ns, &next_ns))
		return false;
	relaxed_set(of_sender, next_ns);
	return true;
}

static bool may_answer(struct worker *w, struct peer *peer)
{
	_Atomic uint64_t *of_sender = peer ? &peer->icmp_allowed_ns : &w->host_icmp_allowed_ns;
	uint64_t total_ns;

	if (w->n_own >= WORKER_OWN_PACKETS ||
		!allowed(
			w->icmp_allowed_ns, TOTAL_INTERVAL_NS, TOTAL_BURST, w->now_ns, &total_ns) ||
		!answer_allowed(of_sender, w->now_ns))
		return false;
	w->icmp_allowed_ns = total_ns;
	return true;
}

/* Room for one more packet of the hub's own. */
static uint8_t *own_inner(struct worker *w)
{
	return w->own_buffers[w->n_own++] + WGH_HEADROOM_BYTES;
}

static void send_own(struct worker *w, struct peer *to, uint8_t *packet, uint32_t len_bytes)
{
	owner_add(&w->stats.n_own, 1);
	if (!to) {
		w->tun_packets[w->out.n_to_tun++] =
			(struct wgh_packet){.data = packet, .len_bytes = len_bytes};
		owner_add(&w->stats.n_to_tun, 1);
		return;
	}
	w->packets[w->n_packets] = (struct packet){.data = packet - WGH_HEADROOM_BYTES,
		.len_bytes = len_bytes,
		.room_bytes = len_bytes + 15};
	tx_add(w, to, w->n_packets++);
}

void answer_error(struct worker *w, struct peer *sender, const struct packet *p,
	const struct ip_info *info, enum icmp_error error)
{
	const uint8_t *packet = p->data + WGH_HEADROOM_BYTES;
	const struct wgh_addr *from =
		info->src.family == WGH_IPV4 ? &w->view->self4 : &w->view->self6;
	uint8_t *own;

	if (!sender)
		from = &info->dst;
	if (from->family == WGH_UNSPEC || !icmp_may_answer(packet, info) || !may_answer(w, sender))
		return;
	own = own_inner(w);
	send_own(w, sender, own,
		icmp_error_write(own, error, w->view->mtu_bytes, from, packet, info));
}

void answer_reset(
	struct worker *w, struct peer *sender, const struct packet *p, const struct ip_info *info)
{
	const uint8_t *packet = p->data + WGH_HEADROOM_BYTES;
	uint8_t *own;

	if (!tcp_may_reset(packet, info) || !may_answer(w, sender))
		return;
	own = own_inner(w);
	send_own(w, sender, own, tcp_reset_write(own, packet, info));
}
