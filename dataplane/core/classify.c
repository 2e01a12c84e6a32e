/* classify.c - the first look at a datagram: length, then type, then whose session.
 * Reads 16 bytes of each datagram. Handshakes are copied to the control side's queue and never wait
 * here.
 */
#include "core/worker.h"

/* The handshake types have one length each; everything else that is not data is unknown. */
static enum drop handshake_check(uint32_t type, uint32_t len_bytes)
{
	switch (type) {
	case WIRE_INITIATION:
		return len_bytes == sizeof(struct wire_initiation) ? DROP_NONE : DROP_SHORT;
	case WIRE_RESPONSE:
		return len_bytes == sizeof(struct wire_response) ? DROP_NONE : DROP_SHORT;
	case WIRE_COOKIE:
		return len_bytes == sizeof(struct wire_cookie) ? DROP_NONE : DROP_SHORT;
	default:
		return DROP_TYPE;
	}
}

static void queue_handshake(
	struct worker *w, const struct wgh_endpoint *from, const struct wgh_packet *datagram)
{
	struct worker_handshake record = {.from = *from, .len_bytes = datagram->len_bytes};

	w->out.control = true;
	if (ring_count(&w->handshakes) < HANDSHAKE_QUEUE_MESSAGES &&
		ring_push(&w->handshakes, &record, offsetof(struct worker_handshake, message),
			datagram->data, datagram->len_bytes))
		owner_add(&w->stats.n_handshakes, 1);
	else
		worker_drop(w, DROP_HANDSHAKE_QUEUE, 1);
}

void stage_classify(struct worker *w, const struct wgh_burst *burst, uint16_t burst_no)
{
	owner_add(&w->stats.n_udp_in, burst->n_packets);
	for (uint32_t i = 0; i < burst->n_packets; i++) {
		const struct wgh_packet *datagram = &burst->packets[i];
		const struct wire_data *msg = (const struct wire_data *)datagram->data;
		uint32_t type;

		if (datagram->len_bytes < sizeof msg->type) {
			worker_drop(w, DROP_SHORT, 1);
			continue;
		}
		type = le32_get(msg->type);
		if (type == WIRE_DATA && datagram->len_bytes >= WIRE_DATA_MIN_BYTES) {
			uint32_t len = datagram->len_bytes - (uint32_t)WIRE_DATA_MIN_BYTES;

			w->packets[w->n_packets++] = (struct packet){
				.data = datagram->data,
				.len_bytes = len,
				.room_bytes = len,
				.counter = le64_get(msg->counter),
				.receiver_index = le32_get(msg->receiver),
				.burst = burst_no,
				.ecn = datagram->ecn,
			};
			continue;
		}
		enum drop verdict =
			type == WIRE_DATA ? DROP_SHORT : handshake_check(type, datagram->len_bytes);

		if (verdict)
			worker_drop(w, verdict, 1);
		else
			queue_handshake(w, &burst->endpoint, datagram);
	}
}
