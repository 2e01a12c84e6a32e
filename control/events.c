/* events.c - see events.h. What somebody without a key can cause is logged at debug level only,
 * where it is rate limited. A renewed session is no news; the first one after a silence is. */
#include "control/events.h"

#include "control/journal.h"
#include "control/log.h"
#include "control/text.h"
#include "control/uapi.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define PEER_TEXT_CHARS (TEXT_PEER_CHARS + CONF_NAME_BYTES + 16)

/* "Xk3f9a2c", or "Xk3f9a2c name=\"printer\"". */
static void peer_text(
	char out[PEER_TEXT_CHARS], const struct wgh_public_key *peer, struct names *names)
{
	const char *name = names_get(names, peer);
	char key[TEXT_PEER_CHARS];

	text_from_peer(key, peer);
	if (name)
		snprintf(out, PEER_TEXT_CHARS, "%s name=\"%s\"", key, name);
	else
		snprintf(out, PEER_TEXT_CHARS, "%s", key);
}

/* The flow log. Who is "host" has no key: the hub's own host, or a peer that was removed meanwhile.
 */
static void flow_party_text(
	char out[PEER_TEXT_CHARS], const struct wgh_public_key *key, struct names *names)
{
	static const struct wgh_public_key none;

	if (memcmp(key, &none, sizeof none))
		peer_text(out, key, names);
	else
		snprintf(out, PEER_TEXT_CHARS, "host");
}

static void flow_tell(
	const struct wgh_flow *flow, bool began, const char *src, const char *dst, const char *why)
{
	char from[WGH_KEY_TEXT_BYTES], to[WGH_KEY_TEXT_BYTES];
	json_int_t sent = (json_int_t)flow->bytes[0], received = (json_int_t)flow->bytes[1];

	wgh_key_to_text(from, flow->from.bytes);
	wgh_key_to_text(to, flow->to.bytes);
	if (began)
		journal_say("flow_begin", "{s:s,s:s,s:i,s:s,s:s,s:i}", "from", from, "to", to,
			"proto", flow->proto, "src", src, "dst", dst, "nat_port", flow->nat_port);
	else
		journal_say("flow_end", "{s:s,s:s,s:i,s:s,s:s,s:i,s:I,s:I,s:s}", "from", from, "to",
			to, "proto", flow->proto, "src", src, "dst", dst, "nat_port",
			flow->nat_port, "sent", sent, "received", received, "why", why);
}

static void flow_log(const struct wgh_flow *flow, bool began, struct names *names)
{
	static const char *const ends[] = {[WGH_FLOW_IDLE] = "idle",
		[WGH_FLOW_CLOSED] = "closed",
		[WGH_FLOW_EVICTED] = "evicted",
		[WGH_FLOW_MOVED] = "moved",
		[WGH_FLOW_POLICY] = "policy",
		[WGH_FLOW_PEER] = "peer"};
	char from[PEER_TEXT_CHARS], to[PEER_TEXT_CHARS];
	char src[TEXT_ENDPOINT_CHARS], dst[TEXT_ENDPOINT_CHARS];
	struct wgh_endpoint ends_at[2] = {{.family = flow->src.family, .port = flow->src_port},
		{.family = flow->dst.family, .port = flow->dst_port}};

	memcpy(ends_at[0].addr, flow->src.bytes, sizeof ends_at[0].addr);
	memcpy(ends_at[1].addr, flow->dst.bytes, sizeof ends_at[1].addr);
	text_from_endpoint(src, &ends_at[0]);
	text_from_endpoint(dst, &ends_at[1]);
	flow_party_text(from, &flow->from, names);
	flow_party_text(to, &flow->to, names);
	if (journal_is_open())
		flow_tell(flow, began, src, dst, ends[flow->end % (sizeof ends / sizeof ends[0])]);
	if (began)
		log_flow("flow begin from=%s to=%s proto=%u src=%s dst=%s nat_port=%u", from, to,
			flow->proto, src, dst, flow->nat_port);
	else
		log_flow("flow end from=%s to=%s proto=%u src=%s dst=%s nat_port=%u sent=%llu "
			 "received=%llu seconds=%llu why=%s",
			from, to, flow->proto, src, dst, flow->nat_port,
			(unsigned long long)flow->bytes[0], (unsigned long long)flow->bytes[1],
			(unsigned long long)((flow->ended_ns - flow->began_ns) / 1000000000),
			flow->end < sizeof ends / sizeof ends[0] ? ends[flow->end] : "?");
}

static void offload_log(unsigned offloads)
{
	for (unsigned i = 0; uapi_offload_name(i); i++) {
		if (!(offloads >> i & 1))
			continue;
		log_warn("offload lost offload=%s why=\"the kernel refuses it\"",
			uapi_offload_name(i));
		journal_say("offload_fallback", "{s:s,s:s}", "offload", uapi_offload_name(i),
			"when", "running");
	}
}

void event_log(const struct wgh_event *event, struct names *names)
{
	char peer[PEER_TEXT_CHARS], other[TEXT_PEER_CHARS];
	char endpoint[TEXT_ENDPOINT_CHARS], prefix[TEXT_PREFIX_CHARS], key[WGH_KEY_TEXT_BYTES];

	peer_text(peer, &event->peer, names);
	text_from_endpoint(endpoint, &event->endpoint);
	switch (event->kind) {
	case WGH_EVENT_HANDSHAKE:
		if (names_set_up(names, &event->peer, true)) {
			log_info("peer up peer=%s endpoint=%s", peer, endpoint);
			journal_peer("connect", &event->peer, names, "{s:s}", "endpoint", endpoint);
		} else {
			log_debug("session renewed peer=%s endpoint=%s", peer, endpoint);
		}
		break;
	case WGH_EVENT_HANDSHAKE_GIVEUP:
		journal_peer("rekey_failed", &event->peer, names, "{}");
		log_debug("handshake unanswered for 90 s peer=%s", peer);
		break;
	case WGH_EVENT_ROAMED:
		/* The first endpoint of a peer that calls is part of its coming up. */
		if (names_is_up(names, &event->peer)) {
			log_info("peer roamed peer=%s endpoint=%s", peer, endpoint);
			journal_peer("roam", &event->peer, names, "{s:s}", "endpoint", endpoint);
		}
		break;
	case WGH_EVENT_EXPIRED:
		if (names_set_up(names, &event->peer, false)) {
			log_info("peer down peer=%s", peer);
			journal_peer("silence", &event->peer, names, "{}");
		}
		break;
	case WGH_EVENT_REPLAYED_INITIATION:
		log_debug("initiation replayed peer=%s", peer);
		break;
	case WGH_EVENT_ROUTE_MOVED:
		text_from_prefix(prefix, &event->prefix);
		text_from_peer(other, &event->other);
		wgh_key_to_text(key, event->other.bytes);
		journal_peer("conflict", &event->peer, names, "{s:s,s:s}", "prefix", prefix, "from",
			key);
		log_warn("route moved prefix=%s from=%s to=%s", prefix, other, peer);
		break;
	case WGH_EVENT_PORT_UNUSABLE:
		journal_say("port_unusable", "{s:i}", "port", event->endpoint.port);
		log_error("port unusable port=%u: another program uses it; choose another: wg set "
			  "INTERFACE listen-port PORT",
			event->endpoint.port);
		break;
	case WGH_EVENT_UNKNOWN_PEER:
		log_debug("unknown peer peer=%s endpoint=%s", peer, endpoint);
		break;
	case WGH_EVENT_FLOW_BEGIN:
	case WGH_EVENT_FLOW_END:
		flow_log(&event->flow, event->kind == WGH_EVENT_FLOW_BEGIN, names);
		break;
	case WGH_EVENT_OFFLOAD_LOST:
		offload_log(event->offload);
		break;
	case WGH_EVENT_REACH:
		journal_peer("reach", &event->peer, names, "{s:s,s:s}", "ipv4",
			event->wide4 ? "wide" : "stock", "ipv6", event->wide6 ? "wide" : "stock");
		log_info("peer reach peer=%s ipv4=%s ipv6=%s", peer,
			event->wide4 ? "wide" : "stock", event->wide6 ? "wide" : "stock");
		break;
	case WGH_EVENT_DROPS: /* a device counts drops, but makes no events of them */
		break;
	case WGH_EVENT_ROUTING_LOOP:
		journal_peer("routing_loop", &event->peer, names, "{}");
		log_warn("routing loop peer=%s: its endpoint is routed into the hub's own "
			 "interface; "
			 "its allowed ips must not cover it",
			peer);
		break;
	}
}
