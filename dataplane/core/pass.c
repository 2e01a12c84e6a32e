/* pass.c - the last step of a decision where the embedder has a filter: it sees a whole chunk of
 * packets at once, then they go on to their peer or to the host. Without one, pass() of worker.h
 * costs a branch.
 */
#include "core/worker.h"

static const struct wgh_public_key *key_of(const struct peer *peer)
{
	_Static_assert(sizeof peer->public_key == sizeof(struct wgh_public_key), "both are bytes");
	return peer ? (const struct wgh_public_key *)&peer->public_key : NULL;
}

void pass_asked(struct worker *w)
{
	const uint32_t n = w->n_asked;

	if (!n)
		return;
	w->n_asked = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct asked *a = &w->asked[i];
		const struct packet *p = &w->packets[a->packet_idx];

		w->questions[i] = (struct wgh_filter_packet){
			.from = key_of(a->from),
			.to = key_of(a->to),
			.from_tag = a->from ? relaxed_get(&a->from->tag) : 0,
			.to_tag = a->to ? relaxed_get(&a->to->tag) : 0,
			.packet = p->data + WGH_HEADROOM_BYTES,
			.len_bytes = p->len_bytes,
		};
	}
	w->filter(w->hub->options.filter_arg, w->questions, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct asked *a = &w->asked[i];

		if (!w->questions[i].drop) {
			pass_now(w, a->packet_idx, a->from, a->to);
			continue;
		}
		w->packets[a->packet_idx].verdict = DROP_FILTER;
		worker_drop(w, DROP_FILTER, 1);
		if (a->from || a->to)
			peer_drop(a->from ? a->from : a->to, DROP_FILTER, 1);
	}
}
