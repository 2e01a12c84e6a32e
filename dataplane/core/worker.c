/* worker.c - one thread's data path: the order of the stages, and what they share.
 * Costs about 320 KiB for a worker, mostly room for the packets of one batch and the two rings.
 */
#include "core/worker.h"

#include "core/flows.h"

#include <errno.h>
#include <string.h>

#define RING_BYTES (256u << 10) /* a little over HANDSHAKE_QUEUE_MESSAGES handshakes */
#define ASK_INTERVAL_NS NS_PER_S

_Static_assert(HANDSHAKE_QUEUE_MESSAGES *(sizeof(struct worker_handshake) + 12) <= RING_BYTES,
	"the handshake ring holds its messages");

int worker_new(struct worker **worker, struct hub *hub)
{
	struct worker *w = mem_new_lines(hub->options.budget, sizeof *w);
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct worker){.hub = hub};
	w->flow_log = flows_log_of_worker(w);
	err = hub_aead_new(hub, &w->aead);
	if (!err)
		err = ring_init(&w->handshakes, RING_BYTES, hub->options.budget);
	if (!err)
		err = ring_init(&w->events, RING_BYTES, hub->options.budget);
	if (err) {
		worker_free(w);
		return err;
	}
	*worker = w;
	return 0;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	ring_fini(&w->events);
	ring_fini(&w->handshakes);
	hub_aead_free(w->hub, w->aead);
	secret_wipe(w, sizeof *w);
	mem_free(w);
}

static void begin(struct worker *w, uint64_t now_ns)
{
	w->view = atomic_load_explicit(&w->hub->view, memory_order_acquire);
	w->filter = w->hub->options.filter;
	w->now_ns = now_ns;
	w->n_packets = w->n_jobs = w->n_tx = w->n_own = w->n_asked = 0;
	if (!++w->batch) { /* wrapped: no entry may look as if it were of this batch */
		memset(w->tx_map, 0, sizeof w->tx_map);
		w->batch = 1;
	}
	w->out = (struct worker_output){.bursts = w->bursts, .to_tun = w->tun_packets};
}

const struct worker_output *worker_input_udp(
	struct worker *w, const struct wgh_burst *bursts, size_t n_bursts, uint64_t now_ns)
{
	size_t next = 0;

	begin(w, now_ns);
	while (next < n_bursts) {
		uint32_t first = w->n_packets;

		do
			stage_classify(w, &bursts[next], (uint16_t)next);
		while (++next < n_bursts &&
			w->n_packets - first + bursts[next].n_packets <= WORKER_CHUNK);
		stage_open(w, first, bursts);
		stage_decide_udp(w, first);
		stage_seal(w);
	}
	flow_run_end(w->view->flows, &w->run, now_ns);
	stage_finish(w);
	return &w->out;
}

const struct worker_output *worker_input_tun(
	struct worker *w, const struct wgh_packet *packets, size_t n, uint64_t now_ns)
{
	size_t next = 0;

	begin(w, now_ns);
	owner_add(&w->stats.n_tun_in, n);
	while (next < n) {
		uint32_t first = w->n_packets;

		for (; next < n && w->n_packets - first < WORKER_CHUNK; next++)
			w->packets[w->n_packets++] = (struct packet){
				.data = packets[next].data - WGH_HEADROOM_BYTES,
				.len_bytes = packets[next].len_bytes,
				.room_bytes = packets[next].len_bytes + 15,
			};
		stage_decide_tun(w, first);
		stage_seal(w);
	}
	flow_run_end(w->view->flows, &w->run, now_ns);
	stage_finish(w);
	return &w->out;
}

static struct tx *tx_of(struct worker *w, struct peer *peer)
{
	uint32_t at = peer->slot & (TX_MAP_ENTRIES - 1);
	struct tx_map_entry *entry;

	if (w->n_tx && w->tx[w->n_tx - 1].peer == peer)
		return &w->tx[w->n_tx - 1];
	for (;; at = (at + 1) & (TX_MAP_ENTRIES - 1)) {
		entry = &w->tx_map[at];
		if (entry->batch != w->batch)
			break;
		if (w->tx[entry->tx].peer == peer)
			return &w->tx[entry->tx];
	}
	*entry = (struct tx_map_entry){.batch = w->batch, .tx = w->n_tx};
	w->tx[w->n_tx] = (struct tx){.peer = peer, .first = NO_PACKET, .pending = NO_PACKET};
	return &w->tx[w->n_tx++];
}

void tx_add(struct worker *w, struct peer *peer, uint32_t packet_idx)
{
	struct tx *tx = tx_of(w, peer);

	w->packets[packet_idx].next = NO_PACKET;
	if (tx->n)
		w->packets[tx->last].next = packet_idx;
	else
		tx->first = packet_idx;
	tx->last = packet_idx;
	tx->n++;
	if (!tx->n_pending++)
		tx->pending = packet_idx;
}

bool worker_tell(struct worker *w, enum worker_event kind, const struct peer *peer,
	uint32_t session_index, const void *bytes, uint32_t len_bytes)
{
	struct worker_record record = {kind, UINT32_MAX, 0, session_index};

	if (peer) {
		record.peer_slot = peer->slot;
		record.peer_serial = peer->serial;
	}
	w->out.control = true;
	return ring_push(&w->events, &record, sizeof record, bytes, len_bytes);
}

void worker_forget_sources(struct worker *w)
{
	for (uint32_t t = 0; t < w->n_tx; t++)
		peer_endpoint_forget_source(w->tx[t].peer);
}

void worker_drop_of(struct worker *w, struct peer *peer, enum drop reason)
{
	worker_drop(w, reason, 1);
	peer_drop(peer, reason, 1);
}

void worker_ask_session(struct worker *w, struct peer *peer, const struct keypair *present)
{
	uint64_t asked_ns = relaxed_get(&peer->handshake_asked_ns);

	if (asked_ns && time_since(w->now_ns, asked_ns) < ASK_INTERVAL_NS)
		return;
	if (worker_tell(w, EVENT_WANT_SESSION, peer, present ? present->local_index : 0, NULL, 0))
		relaxed_set(&peer->handshake_asked_ns, w->now_ns);
}

void worker_arm_timer(struct worker *w, struct peer *peer)
{
	if (!timers_must_ask(peer, w->now_ns) || relaxed_get(&peer->timer_asked))
		return;
	/* Noted first: the control side may have served it before worker_tell() returns. */
	relaxed_set(&peer->timer_asked, true);
	if (!worker_tell(w, EVENT_ARM_TIMER, peer, 0, NULL, 0))
		relaxed_set(&peer->timer_asked, false);
}
