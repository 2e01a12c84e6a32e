/* worker.h - the data path of one thread: a batch of packets from the socket or the TUN to the
 * socket or the TUN.
 *
 *   worker_input_udp:  classify -> open -> decide -> seal        worker_input_tun:  decide -> seal
 *
 * Packets stay where they are: a message is opened, checked, sealed and sent in the buffer it came
 * in. Each stage takes a whole chunk of packets before the next one starts. Nothing here allocates,
 * waits, logs or asks the time. Threads: a struct worker belongs to one thread; its counters may be
 * read by others.
 */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include "core/hub.h"
#include "core/ip.h"
#include "core/ring.h"
#include "crypto/aead.h"

/* Packets that go through all stages together, so that they stay in the cache between opening and
 * sealing. */
#define WORKER_CHUNK 128
/* Packets the hub itself may add to one batch: errors and echo replies of its own making. */
#define WORKER_OWN_PACKETS 32
#define WORKER_PACKETS (PACKETS_PER_BATCH + WORKER_OWN_PACKETS)
#define TX_MAP_ENTRIES 2048u /* a power of two, at least twice WORKER_PACKETS */
#define NO_PACKET UINT32_MAX
/* No drop, but nothing to send either: the control side has the packet. */
#define VERDICT_STAGED DROP_N
/* The same: it was for the worker itself. */
#define VERDICT_ENDED (DROP_N + 1)

struct packet {
	uint8_t *data; /* of the message: the inner packet begins WGH_HEADROOM_BYTES later */
	uint32_t len_bytes; /* of the plaintext; exact from the inner check on */
	uint32_t room_bytes; /* plaintext may grow to this by padding */
	struct keypair *keypair; /* it came under; borrowed for the batch */
	uint64_t counter;
	uint32_t receiver_index;
	uint32_t next; /* of the same struct tx; NO_PACKET at the end */
	uint16_t burst; /* it came in */
	uint8_t ecn; /* of the outer header */
	uint8_t verdict; /* enum drop, or one of the above */
};

/* The packets of this batch for one peer. */
struct tx {
	struct peer *peer;
	uint32_t first, last, n;
	uint32_t pending, n_pending; /* not sealed yet: this chunk's */
};

/* Peer to tx of the present batch; entries of other batches count as empty. */
struct tx_map_entry {
	uint32_t batch, tx;
};

/* A packet that may pass if the embedder's filter lets it. */
struct asked {
	struct peer *from, *to; /* NULL: the hub's own host */
	uint32_t packet_idx;
};

enum worker_event {
	EVENT_CONFIRMED, /* first packet under a responder's keypair: index */
	EVENT_WANT_SESSION, /* a peer needs a new session: index of the present one, or 0 */
	EVENT_ARM_TIMER, /* a peer is active again */
	EVENT_STAGE, /* a packet waits for a session: its bytes follow */
	EVENT_ROAMED,
	EVENT_ROUTING_LOOP,
	EVENT_WIDE, /* a peer has proved that it accepts other sources than the hub */
	EVENT_FLOW, /* of no peer: a struct flow_report follows */
	EVENT_SWEEP, /* of no peer: there are flows now */
};

struct worker_record {
	uint32_t kind; /* enum worker_event */
	uint32_t peer_slot, peer_serial, session_index;
};

struct worker_handshake {
	struct wgh_endpoint from;
	uint32_t len_bytes;
	uint8_t message[WIRE_HANDSHAKE_MAX_BYTES];
};

/* A worker's counters; one writer. */
struct worker_stats {
	_Atomic uint64_t drops[DROP_N];
	_Atomic uint64_t n_udp_in, n_tun_in; /* packets handed in */
	_Atomic uint64_t n_handshakes, n_keepalives; /* went to the control side; ended here */
	_Atomic uint64_t n_staged; /* went to the control side to wait for a session */
	_Atomic uint64_t n_own; /* made here */
	_Atomic uint64_t n_to_tun, n_to_udp, n_forwarded;
	_Atomic uint64_t n_answers; /* to the hub's probes; ended here */
	_Atomic uint64_t n_log_lost; /* flows that began or ended unsaid */
};

/* What a batch leaves for the caller to send; valid until the next call. */
struct worker_output {
	struct wgh_burst *bursts; /* to the network: one for each peer */
	size_t n_bursts;
	struct wgh_packet *to_tun; /* whole inner packets with WGH_HEADROOM_BYTES before each */
	size_t n_to_tun;
	bool control; /* the control side has work: let hub_run() be called */
};

struct worker {
	struct hub *hub;
	struct aead *aead;
	struct worker_stats stats;
	struct ring handshakes, events;
	struct worker_output out;

	/* this batch */
	struct hub_view *view;
	wgh_filter_fn *filter; /* NULL: none */
	uint64_t now_ns;
	uint32_t n_packets, n_jobs, n_tx, batch;
	uint32_t n_own; /* own packets of this batch */
	uint32_t n_asked; /* this chunk's packets that wait for the filter's word */
	struct tx_map_entry tx_map[TX_MAP_ENTRIES];
	struct tx tx[WORKER_PACKETS];
	struct packet packets[WORKER_PACKETS];
	struct aead_job jobs[WORKER_PACKETS];
	uint32_t job_packet[WORKER_PACKETS];
	struct wgh_burst bursts[WORKER_PACKETS];
	struct wgh_packet out_packets[WORKER_PACKETS];
	struct wgh_packet tun_packets[WORKER_PACKETS];
	struct asked asked[WORKER_PACKETS];
	struct wgh_filter_packet questions[WORKER_PACKETS];
	struct flow_run run; /* of packets of one flow */
	struct flow_hit related;
	struct fragment_way way;
	struct flow_log flow_log;
	uint64_t icmp_allowed_ns; /* next error message may be sent then, in all */
	_Atomic uint64_t host_icmp_allowed_ns; /* to the host */
	uint8_t own_buffers[WORKER_OWN_PACKETS][WGH_HEADROOM_BYTES + 1280 + WGH_TAILROOM_BYTES];
};

MUST_CHECK int worker_new(struct worker **worker, struct hub *hub);
void worker_free(struct worker *worker);

/* At most PACKETS_PER_BATCH packets in all. The data is overwritten; it must stay until out is
 * used. */
const struct worker_output *worker_input_udp(
	struct worker *w, const struct wgh_burst *bursts, size_t n_bursts, uint64_t now_ns);
/* Inner packets of the hub's host, with the room wghub.h asks for around each. At most
 * PACKETS_PER_BATCH. */
const struct worker_output *worker_input_tun(
	struct worker *w, const struct wgh_packet *packets, size_t n, uint64_t now_ns);

/* Datagrams that never became packets, or outputs that were refused, are counted by who saw it. */
static inline void worker_drop(struct worker *w, enum drop reason, uint32_t n)
{
	owner_add(&w->stats.drops[reason], n);
}

/* The system refused a sticky source address among this batch's: let the kernel choose for its
 * peers from now on. */
void worker_forget_sources(struct worker *w);

/* ---- the stages, in the order a packet meets them; each in its own file ---- */

/* Sorts out handshakes and broken datagrams; appends a packet for each transport message. */
void stage_classify(struct worker *w, const struct wgh_burst *burst, uint16_t burst_no);
/* Decrypts packets first..n_packets, refuses replays, moves endpoints and timers. Dropped ones keep
 * a verdict. */
void stage_open(struct worker *w, uint32_t first, const struct wgh_burst *bursts);
/* Checks inner headers and sources, finds the receiver: a tx, the TUN, or a drop. */
void stage_decide_udp(struct worker *w, uint32_t first);
void stage_decide_tun(struct worker *w, uint32_t first);
/* Encrypts what the chunk added to the tx; packets without a session go to the control side to
 * wait. */
void stage_seal(struct worker *w);
/* Lists the sealed packets by peer in w->out. */
void stage_finish(struct worker *w);

/* At the end of a chunk: asks the filter about all that wait for it. */
void pass_asked(struct worker *w);
/* Puts the packet behind the others for this peer. */
void tx_add(struct worker *w, struct peer *peer, uint32_t packet_idx);
/* Tells the control side; peer may be NULL. DROP_EVENT_QUEUE is counted by the caller if it
 * matters. */
bool worker_tell(struct worker *w, enum worker_event kind, const struct peer *peer,
	uint32_t session_index, const void *bytes, uint32_t len_bytes);
void worker_drop_of(struct worker *w, struct peer *peer, enum drop reason);
/* A new session for the peer in place of this one (or NULL), asked for at most once a second. */
void worker_ask_session(struct worker *w, struct peer *peer, const struct keypair *present);
void worker_arm_timer(struct worker *w, struct peer *peer);

/* ---- on the way out of decide ---- */

static inline void pass_now(
	struct worker *w, uint32_t packet_idx, struct peer *from, struct peer *to)
{
	struct packet *p = &w->packets[packet_idx];

	if (!to) {
		w->tun_packets[w->out.n_to_tun++] = (struct wgh_packet){
			.data = p->data + WGH_HEADROOM_BYTES, .len_bytes = p->len_bytes};
		owner_add(&w->stats.n_to_tun, 1);
		return;
	}
	if (from)
		owner_add(&w->stats.n_forwarded, 1);
	tx_add(w, to, packet_idx);
}

/* The packet's way is clear: to a peer, or to NULL, the hub's own host. With a filter it waits for
 * pass_asked(). */
static inline void pass(struct worker *w, uint32_t packet_idx, struct peer *from, struct peer *to)
{
	if (w->filter)
		w->asked[w->n_asked++] =
			(struct asked){.from = from, .to = to, .packet_idx = packet_idx};
	else
		pass_now(w, packet_idx, from, to);
}

#endif
