/* seal.c - from inner packets to transport messages: padding, counters, encryption, and the list of
 * what to send. Counters are taken from the shared keypair once for each peer and chunk.
 */
#include "core/worker.h"

#include <string.h>

/* Zero padding to a multiple of 16, but never past the MTU, and never past the room there is: in a
 * buffer full of datagrams the next one begins right behind this one. Messages of peers that pad as
 * they should always have it. */
static uint32_t pad(const struct worker *w, struct packet *p)
{
	uint32_t len = p->len_bytes, padded = (len + 15) & ~15u, mtu = w->view->mtu_bytes;

	if (padded > mtu)
		padded = len > mtu ? len : mtu;
	if (padded > p->room_bytes)
		padded = p->room_bytes > len ? p->room_bytes : len;
	memset(p->data + sizeof(struct wire_data) + len, 0, padded - len);
	return padded;
}

/* No usable session: the control side keeps the packets and starts a handshake. */
static void stage_packets(struct worker *w, struct tx *tx)
{
	for (uint32_t i = tx->pending; i != NO_PACKET; i = w->packets[i].next) {
		struct packet *p = &w->packets[i];

		if (worker_tell(w, EVENT_STAGE, tx->peer, 0, p->data + WGH_HEADROOM_BYTES,
			    p->len_bytes)) {
			owner_add(&w->stats.n_staged, 1);
			p->verdict = VERDICT_STAGED;
		} else {
			p->verdict = DROP_EVENT_QUEUE;
			worker_drop_of(w, tx->peer, DROP_EVENT_QUEUE);
		}
	}
}

static void seal_tx(struct worker *w, struct tx *tx)
{
	struct keypair *keypair = atomic_load_explicit(&tx->peer->current, memory_order_acquire);
	uint64_t counter, bytes = 0;

	if (!keypair || keypair_expired(keypair, w->now_ns) ||
		!keypair_reserve(keypair, tx->n_pending, &counter)) {
		stage_packets(w, tx);
		worker_ask_session(w, tx->peer, keypair);
		return;
	}
	for (uint32_t i = tx->pending; i != NO_PACKET; i = w->packets[i].next) {
		struct packet *p = &w->packets[i];
		struct wire_data *msg = (struct wire_data *)p->data;

		p->len_bytes = pad(w, p);
		le32_put(msg->type, WIRE_DATA);
		le32_put(msg->receiver, keypair->remote_index);
		le64_put(msg->counter, counter);
		w->jobs[w->n_jobs++] = (struct aead_job){
			.data = p->data + sizeof *msg,
			.key = &keypair->send,
			.counter = counter++,
			.len_bytes = p->len_bytes,
		};
		bytes += p->len_bytes + WIRE_DATA_MIN_BYTES;
	}
	relaxed_add(&tx->peer->tx_bytes, bytes);
	timers_packet_sent(tx->peer, true, w->now_ns);
	worker_arm_timer(w, tx->peer);
	if (keypair_wants_renewal(keypair, w->now_ns))
		worker_ask_session(w, tx->peer, keypair);
}

void stage_seal(struct worker *w)
{
	w->n_jobs = 0;
	for (uint32_t t = 0; t < w->n_tx; t++) {
		struct tx *tx = &w->tx[t];

		if (!tx->n_pending)
			continue;
		seal_tx(w, tx);
		tx->pending = NO_PACKET;
		tx->n_pending = 0;
	}
	for (uint32_t j = 0; j < w->n_jobs; j += AEAD_BATCH_MAX)
		aead_seal(w->aead, w->jobs + j,
			w->n_jobs - j < AEAD_BATCH_MAX ? w->n_jobs - j : AEAD_BATCH_MAX);
}

void stage_finish(struct worker *w)
{
	uint32_t n_out = 0;

	for (uint32_t t = 0; t < w->n_tx; t++) {
		struct wgh_burst *burst = &w->bursts[w->out.n_bursts];

		burst->packets = &w->out_packets[n_out];
		burst->n_packets = 0;
		for (uint32_t i = w->tx[t].first; i != NO_PACKET; i = w->packets[i].next) {
			const struct packet *p = &w->packets[i];

			if (p->verdict)
				continue;
			burst->packets[burst->n_packets++] = (struct wgh_packet){
				.data = p->data,
				.len_bytes = p->len_bytes + (uint32_t)WIRE_DATA_MIN_BYTES,
				.ecn = p->ecn,
			};
		}
		if (!burst->n_packets)
			continue;
		burst->endpoint = peer_endpoint(w->tx[t].peer);
		n_out += burst->n_packets;
		w->out.n_bursts++;
	}
	owner_add(&w->stats.n_to_udp, n_out);
}
