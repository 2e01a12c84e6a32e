/* top_model.h - what `wghub top` knows of a hub: its last answer, and the rates since the one
 * before.
 *
 * Pure: answers and times go in, numbers come out. Counters may begin anew (a peer that was removed
 * and added, a hub that was started again): what they then show has come since. Text is printable:
 * hostile bytes of the answer are escaped here. Threads: one. Cost: about 600 bytes for each peer,
 * n log n for an answer.
 */
#ifndef CONTROL_TOP_MODEL_H
#define CONTROL_TOP_MODEL_H

#include "control/ctl_client.h"
#include "control/text.h"

#define TOP_HISTORY 256
#define TOP_PEER_HISTORY 16
#define TOP_DROPS_MAX 64
#define TOP_ONLINE_S 180 /* a handshake within: keys live no longer (paper, REJECT_AFTER_TIME) */

enum top_sort { TOP_BY_RATE, TOP_BY_TOTAL, TOP_BY_NAME, TOP_BY_HANDSHAKE, TOP_N_SORTS };

struct top_peer {
	uint8_t key[32];
	char name[96]; /* else its key's first characters */
	char addresses[96];
	char endpoint[TEXT_ENDPOINT_CHARS]; /* or "" */
	int64_t handshake_s; /* Unix time, 0: never */
	uint64_t in_bytes, out_bytes; /* as the hub sees it: in is from the peer */
	double in_rate, out_rate; /* bytes a second */
	float history[TOP_PEER_HISTORY]; /* both rates together, newest last; below 0: not known */
};

struct top_drop {
	char name[40];
	uint64_t count;
	double rate;
};

struct top_model {
	char version[24], aead[24], offloads[64];
	unsigned port, workers, flows, flows_max;
	int64_t uptime_ms; /* below 0: the hub does not say */
	uint64_t forwarded;
	double in_rate, out_rate, forwarded_rate;
	float in_history[TOP_HISTORY], out_history[TOP_HISTORY]; /* as a peer's */
	struct top_peer *peers; /* by key */
	size_t n_peers, peers_cap, n_online;
	uint32_t *order; /* numbers of the peers to be shown, first to last */
	size_t n_order;
	struct top_drop drops[TOP_DROPS_MAX]; /* most a second first, then most */
	size_t n_drops;
	char trouble[200]; /* why there is no newer answer, or "" */
	uint64_t taken_ms;
	int64_t now_s; /* Unix time of the last answer */
	bool has_answer, has_rates;
};

void top_model_init(struct top_model *m);
void top_model_fini(struct top_model *m);
/* Takes the answer to get=wghub, which came at now_ms of any steady clock. -ENOMEM: nothing
 * changed. */
MUST_CHECK int top_model_take(
	struct top_model *m, const struct ctl_answer *answer, uint64_t now_ms, int64_t now_s);
/* The hub does not answer: all it said last stays, but rates are not known. */
void top_model_lost(struct top_model *m, const char *why);
/* Makes order: the peers of whose name, key, addresses or endpoint filter is a part ("": all). */
void top_model_order(struct top_model *m, enum top_sort sort, const char *filter);
MUST_CHECK bool top_peer_is_online(const struct top_peer *peer, int64_t now_s);

#endif
