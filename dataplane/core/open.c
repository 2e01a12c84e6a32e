/* open.c - from transport messages to authenticated inner packets: session, decryption, replay,
 * then and only then endpoint, key confirmation and timers. A message that fails authentication
 * changes nothing but a counter.
 *
 * Costs one session look-up and one AEAD job for each message; locks and shared counters are
 * touched once for each run of messages under one keypair.
 */
#include "core/worker.h"

#define PREFETCH_AHEAD 8

static void find_keypairs(struct worker *w, uint32_t first)
{
	struct session_array *sessions =
		atomic_load_explicit(&w->hub->sessions.array, memory_order_acquire);

	for (uint32_t i = first; i < w->n_packets; i++) {
		if (i + PREFETCH_AHEAD < w->n_packets)
			__builtin_prefetch(
				&sessions->entries[w->packets[i + PREFETCH_AHEAD].receiver_index &
					sessions->mask]);
		struct packet *p = &w->packets[i];

		p->keypair = session_keypair(sessions, p->receiver_index);
		if (p->keypair)
			__builtin_prefetch(p->keypair);
	}
}

/* Refuses what needs no decryption to be refused, and makes a job of the rest. */
static void make_jobs(struct worker *w, uint32_t first)
{
	w->n_jobs = 0;
	for (uint32_t i = first; i < w->n_packets; i++) {
		struct packet *p = &w->packets[i];

		if (!p->keypair) {
			p->verdict = DROP_NO_SESSION;
			worker_drop(w, DROP_NO_SESSION, 1);
			continue;
		}
		if (keypair_expired(p->keypair, w->now_ns) || p->counter >= REJECT_AFTER_MESSAGES) {
			p->verdict = DROP_EXPIRED;
			worker_drop_of(w, p->keypair->peer, DROP_EXPIRED);
			continue;
		}
		w->job_packet[w->n_jobs] = i;
		w->jobs[w->n_jobs++] = (struct aead_job){
			.data = p->data + sizeof(struct wire_data),
			.key = &p->keypair->receive,
			.counter = p->counter,
			.len_bytes = p->len_bytes,
		};
	}
}

/* What one run of messages under one keypair, from one sender, adds up to. */
struct run {
	uint32_t n_valid;
	uint64_t bytes;
	bool data;
};

/* After the run's replay checks: everything that authenticated packets are allowed to change. */
static void run_accepted(struct worker *w, struct keypair *keypair, const struct run *run,
	const struct wgh_endpoint *from)
{
	struct peer *peer = keypair->peer;

	relaxed_add(&peer->rx_bytes, run->bytes);
	if (peer_endpoint_learn(peer, from))
		IGNORE_RESULT(worker_tell(w, EVENT_ROAMED, peer, 0, NULL, 0)); /* only a report */
	if (relaxed_get(&keypair->unconfirmed))
		/* Again with the next packet if the queue is full. */
		IGNORE_RESULT(worker_tell(w, EVENT_CONFIRMED, peer, keypair->local_index, NULL, 0));
	/* The current key only: packets that were long on their way come under older ones. */
	if (keypair->initiator && keypair == relaxed_get(&peer->current) &&
		!relaxed_get(&keypair->renewal_asked) &&
		time_reached(w->now_ns, keypair->created_ns + REKEY_ON_RECEIVE_NS)) {
		relaxed_set(&keypair->renewal_asked, true);
		worker_ask_session(w, peer, keypair);
	}
	timers_packet_received(peer, run->data, w->now_ns);
	worker_arm_timer(w, peer);
}

/* The run of jobs from j on that share keypair and sender; returns where the next one starts. */
static uint32_t accept_run(struct worker *w, uint32_t j, const struct wgh_burst *bursts)
{
	struct packet *start = &w->packets[w->job_packet[j]];
	struct keypair *keypair = start->keypair;
	struct run run = {0};

	spin_lock(&keypair->replay_lock);
	for (; j < w->n_jobs; j++) {
		struct packet *p = &w->packets[w->job_packet[j]];

		if (p->keypair != keypair || p->burst != start->burst)
			break;
		if (!w->jobs[j].ok) {
			p->verdict = DROP_AUTH;
			worker_drop_of(w, keypair->peer, DROP_AUTH);
			continue;
		}
		if (!replay_accept(&keypair->replay, p->counter)) {
			p->verdict = DROP_REPLAY;
			worker_drop_of(w, keypair->peer, DROP_REPLAY);
			continue;
		}
		run.n_valid++;
		run.bytes += p->len_bytes + WIRE_DATA_MIN_BYTES;
		run.data |= p->len_bytes > 0;
	}
	spin_unlock(&keypair->replay_lock);
	if (run.n_valid)
		run_accepted(w, keypair, &run, &bursts[start->burst].endpoint);
	return j;
}

void stage_open(struct worker *w, uint32_t first, const struct wgh_burst *bursts)
{
	find_keypairs(w, first);
	make_jobs(w, first);
	for (uint32_t j = 0; j < w->n_jobs; j += AEAD_BATCH_MAX)
		aead_open(w->aead, w->jobs + j,
			w->n_jobs - j < AEAD_BATCH_MAX ? w->n_jobs - j : AEAD_BATCH_MAX);
	for (uint32_t j = 0; j < w->n_jobs;)
		j = accept_run(w, j, bursts);
}
