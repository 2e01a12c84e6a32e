/* metrics_text.c - see metrics_text.h. One function for each kind of series; a name, its HELP and
 * its TYPE are written in one place, head(), so that none can lack them. */
#include "control/metrics_text.h"

#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out {
	FILE *file;
	const struct metrics_input *in;
};

static void head(struct out *o, const char *name, const char *type, const char *help)
{
	fprintf(o->file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Backslash, quote and newline are escaped: the format's whole rule. */
static void put_label(struct out *o, const char *value)
{
	size_t n = strlen(value);

	if (n > METRICS_LABEL_MAX)
		n = METRICS_LABEL_MAX;
	for (size_t i = 0; i < n; i++) {
		if (value[i] == '\n')
			fputs("\\n", o->file);
		else if (value[i] == '"' || value[i] == '\\')
			fprintf(o->file, "\\%c", value[i]);
		else
			fputc(value[i], o->file);
	}
}

/* ---- of the hub ---- */

static void put_one(
	struct out *o, const char *name, const char *type, uint64_t value, const char *help)
{
	head(o, name, type, help);
	fprintf(o->file, "%s{interface=\"%s\"} %" PRIu64 "\n", name, o->in->interface, value);
}

static void put_hub(struct out *o)
{
	const struct wgh_snapshot *s = o->in->snapshot;

	head(o, "wghub_info", "gauge", "The hub: its version, AEAD back end and workers.");
	fprintf(o->file,
		"wghub_info{interface=\"%s\",version=\"%s\",aead=\"%s\",workers=\"%u\"} 1\n",
		o->in->interface, WGHUB_VERSION, s->aead ? s->aead : "", s->n_workers);
	head(o, "wghub_offload_enabled", "gauge", "Whether an offload of the kernel is in use.");
	for (unsigned i = 0; uapi_offload_name(i); i++)
		fprintf(o->file, "wghub_offload_enabled{interface=\"%s\",offload=\"%s\"} %u\n",
			o->in->interface, uapi_offload_name(i), s->offloads >> i & 1);
	put_one(o, "wghub_mtu_bytes", "gauge", s->mtu_bytes, "MTU of inner packets.");
}

static void put_packets(struct out *o)
{
	const struct wgh_stats *s = o->in->stats;

	put_one(o, "wghub_udp_received_datagrams_total", "counter", s->n_udp_in,
		"Datagrams from the network.");
	put_one(o, "wghub_udp_sent_datagrams_total", "counter", s->n_udp_out,
		"Datagrams to the network.");
	put_one(o, "wghub_tun_received_packets_total", "counter", s->n_tun_in,
		"Inner packets from the hub's host.");
	put_one(o, "wghub_tun_sent_packets_total", "counter", s->n_tun_out,
		"Inner packets to the hub's host.");
	put_one(o, "wghub_forwarded_packets_total", "counter", s->n_forwarded,
		"Inner packets from peer to peer.");
	put_one(o, "wghub_handshake_messages_total", "counter", s->n_handshakes_in,
		"Handshake messages that came in, good or bad.");
	put_one(o, "wghub_keepalives_total", "counter", s->n_keepalives_in,
		"Keepalives that came in.");
	head(o, "wghub_dropped_packets_total", "counter",
		"Packets that were dropped, by reason; wghub show has words for them.");
	for (unsigned i = 1; i < wgh_n_drop_reasons(); i++) /* 0 is "none" */
		fprintf(o->file,
			"wghub_dropped_packets_total{interface=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
			o->in->interface, wgh_drop_reason(i)->name, s->drops[i]);
}

static void put_state(struct out *o)
{
	const struct wgh_snapshot *s = o->in->snapshot;
	const struct wgh_stats *stats = o->in->stats;

	put_one(o, "wghub_roams_total", "counter", o->in->n_roams,
		"Changes of a connected peer's endpoint.");
	put_one(o, "wghub_flows", "gauge", s->n_flows, "Connections that the policy follows.");
	put_one(o, "wghub_flows_limit", "gauge", s->flows_max, "How many it can follow.");
	put_one(o, "wghub_flow_log_lost_total", "counter", s->n_log_lost,
		"Begins and ends of flows that were not told.");
	put_one(o, "wghub_events_lost_total", "counter", stats->n_events_lost,
		"Events that found no room.");
	put_one(o, "wghub_memory_bytes", "gauge", stats->memory_bytes,
		"Memory of the hub's tables, peers and sessions.");
	put_one(o, "wghub_memory_peak_bytes", "gauge", stats->memory_peak_bytes,
		"The most it has been.");
	put_one(o, "wghub_memory_limit_bytes", "gauge", stats->memory_limit_bytes,
		"The most it may be; 0 is no limit.");
	put_one(o, "wghub_memory_refused_total", "counter", stats->n_memory_refused,
		"Allocations that the limit did not allow.");
}

static void put_queues(struct out *o)
{
	const struct wgh_snapshot *s = o->in->snapshot;
	const struct wgh_stats *stats = o->in->stats;

	put_one(o, "wghub_handshake_queue_messages", "gauge", stats->n_handshakes_waiting,
		"Handshake messages that wait; from an eighth of the limit on cookies are asked "
		"for.");
	put_one(o, "wghub_handshake_queue_limit_messages", "gauge", stats->handshakes_waiting_max,
		"How many may wait.");
	put_one(o, "wghub_control_queue_bytes", "gauge", stats->control_waiting_bytes,
		"What workers have to tell the control side: packets without a session, flows.");
	put_one(o, "wghub_control_queue_limit_bytes", "gauge", stats->control_waiting_max_bytes,
		"How much may wait.");
	put_one(o, "wghub_staged_bytes", "gauge", stats->staged_bytes,
		"Packets that wait for a session.");
	put_one(o, "wghub_staged_limit_bytes", "gauge", stats->staged_max_bytes,
		"How much may wait.");
	put_one(o, "wghub_udp_queue_bytes", "gauge", s->udp_waiting_bytes,
		"Received datagrams that wait in the system.");
	put_one(o, "wghub_udp_queue_limit_bytes", "gauge", s->udp_waiting_max_bytes,
		"How much may wait there.");
	put_one(o, "wghub_udp_queue_lost_datagrams_total", "counter", s->n_udp_lost,
		"Datagrams that found no room there.");
}

static void put_events(struct out *o)
{
	const struct metrics_events *e = o->in->events;

	if (!e->to)
		return;
	head(o, "wghub_event_lines_total", "counter", "Events written, by where they go.");
	for (unsigned i = 0; e[i].to; i++)
		fprintf(o->file,
			"wghub_event_lines_total{interface=\"%s\",to=\"%s\"} %" PRIu64 "\n",
			o->in->interface, e[i].to, e[i].n_lines);
	head(o, "wghub_event_lines_lost_total", "counter",
		"Events that were not written there, or not taken by the command.");
	for (unsigned i = 0; e[i].to; i++)
		fprintf(o->file,
			"wghub_event_lines_lost_total{interface=\"%s\",to=\"%s\"} %" PRIu64 "\n",
			o->in->interface, e[i].to, e[i].n_lost);
	if (!o->in->has_command)
		return;
	put_one(o, "wghub_event_command_queue_bytes", "gauge", o->in->command_waiting_bytes,
		"Events that wait for the command.");
	put_one(o, "wghub_event_command_runs_total", "counter", o->in->n_command_runs,
		"How often the command was run.");
	put_one(o, "wghub_event_command_failures_total", "counter", o->in->n_command_failed,
		"How often it did not take its lines.");
}

/* Prometheus's own names for every process. */
static void put_process(struct out *o)
{
	if (o->in->resident_bytes) {
		head(o, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
		fprintf(o->file, "process_resident_memory_bytes %" PRIu64 "\n",
			o->in->resident_bytes);
	}
	if (!(o->in->started_s > 0))
		return;
	head(o, "process_cpu_seconds_total", "counter",
		"Total user and system CPU time spent in seconds.");
	fprintf(o->file, "process_cpu_seconds_total %.2f\n", o->in->cpu_s);
	head(o, "process_start_time_seconds", "gauge",
		"Start time of the process since unix epoch in seconds.");
	fprintf(o->file, "process_start_time_seconds %.2f\n", o->in->started_s);
}

/* ---- of the peers ---- */

enum column { SENT, RECEIVED, HANDSHAKE, N_COLUMNS };

static const struct {
	const char *name, *type, *help;
} columns[N_COLUMNS] = {
	[SENT] = {"wireguard_sent_bytes_total", "counter", "Bytes sent to the peer."},
	[RECEIVED] = {"wireguard_received_bytes_total", "counter", "Bytes received from the peer."},
	[HANDSHAKE] = {"wireguard_latest_handshake_seconds", "gauge",
		"Unix time of the last handshake; 0 where there was none."},
};

static uint64_t cell(const struct wgh_peer_view *peer, enum column column)
{
	switch (column) {
	case SENT:
		return peer->tx_bytes;
	case RECEIVED:
		return peer->rx_bytes;
	default:
		return peer->last_handshake_s > 0 ? (uint64_t)peer->last_handshake_s : 0;
	}
}

static void put_allowed_ips(struct out *o, const struct wgh_peer_view *peer)
{
	char text[TEXT_PREFIX_CHARS];
	size_t used = 0;

	for (size_t i = 0; i < peer->n_allowed_ips; i++) {
		text_from_prefix(text, &peer->allowed_ips[i]);
		used += strlen(text) + 1;
		if (used > METRICS_LABEL_MAX) {
			fputs(",...", o->file);
			return;
		}
		fprintf(o->file, "%s%s", i ? "," : "", text);
	}
}

static void put_peer(struct out *o, const struct wgh_peer_view *peer, enum column column)
{
	const char *name = o->in->name ? o->in->name(o->in->name_arg, &peer->public_key) : NULL;
	char key[KEY_BASE64_CHARS + 1];

	key_to_base64(key, peer->public_key.bytes);
	fprintf(o->file, "%s{interface=\"%s\",public_key=\"%s\",allowed_ips=\"",
		columns[column].name, o->in->interface, key);
	put_allowed_ips(o, peer);
	fputs("\",friendly_name=\"", o->file);
	put_label(o, name ? name : "");
	fprintf(o->file, "\"} %" PRIu64 "\n", cell(peer, column));
}

/* Those past the limit as one: sums of bytes, the newest handshake. */
static void put_others(struct out *o, size_t from, enum column column)
{
	const struct wgh_snapshot *s = o->in->snapshot;
	uint64_t all = 0;

	for (size_t i = from; i < s->n_peers; i++) {
		uint64_t value = cell(&s->peers[i], column);

		if (column != HANDSHAKE)
			all += value;
		else if (value > all)
			all = value;
	}
	fprintf(o->file,
		"%s{interface=\"%s\",public_key=\"others\",allowed_ips=\"\",friendly_name="
		"\"others\"} "
		"%" PRIu64 "\n",
		columns[column].name, o->in->interface, all);
}

static void put_peers(struct out *o)
{
	const struct wgh_snapshot *s = o->in->snapshot;
	size_t n = s->n_peers < o->in->peers_max ? s->n_peers : o->in->peers_max, n_connected = 0;

	for (size_t i = 0; i < s->n_peers; i++) {
		int64_t at = s->peers[i].last_handshake_s;

		n_connected += at > 0 && o->in->now_s - at < METRICS_CONNECTED_S;
	}
	put_one(o, "wghub_peers", "gauge", s->n_peers, "Peers of the hub.");
	put_one(o, "wghub_peers_connected", "gauge", n_connected,
		"Peers with a handshake within the last three minutes.");
	put_one(o, "wghub_peers_without_series", "gauge", s->n_peers - n,
		"Peers that are only in the sums with public_key others.");
	for (enum column c = 0; c < N_COLUMNS; c++) {
		head(o, columns[c].name, columns[c].type, columns[c].help);
		for (size_t i = 0; i < n; i++)
			put_peer(o, &s->peers[i], c);
		if (n < s->n_peers)
			put_others(o, n, c);
	}
}

int metrics_text(char **text, size_t *n, const struct metrics_input *input)
{
	struct out o = {.in = input};
	bool failed;

	*text = NULL;
	o.file = open_memstream(text, n);
	if (!o.file)
		return -ENOMEM;
	put_hub(&o);
	put_packets(&o);
	put_state(&o);
	put_queues(&o);
	put_events(&o);
	put_process(&o);
	put_peers(&o);
	failed = ferror(o.file) != 0;
	failed |= fclose(o.file) != 0;
	if (!failed)
		return 0;
	free(*text);
	*text = NULL;
	return -ENOMEM;
}
