/* events.c - see events.h. What somebody without a key can cause is logged at debug level only,
 * where it is rate limited. A renewed session is no news; the first one after a silence is. */
#include "control/events.h"

#include "control/log.h"
#include "control/text.h"

#include <stdio.h>

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

void event_log(const struct wgh_event *event, struct names *names)
{
	char peer[PEER_TEXT_CHARS], other[TEXT_PEER_CHARS];
	char endpoint[TEXT_ENDPOINT_CHARS], prefix[TEXT_PREFIX_CHARS];

	peer_text(peer, &event->peer, names);
	text_from_endpoint(endpoint, &event->endpoint);
	switch (event->kind) {
	case WGH_EVENT_HANDSHAKE:
		if (names_set_up(names, &event->peer, true))
			log_info("peer up peer=%s endpoint=%s", peer, endpoint);
		else
			log_debug("session renewed peer=%s endpoint=%s", peer, endpoint);
		break;
	case WGH_EVENT_HANDSHAKE_GIVEUP:
		log_debug("handshake unanswered for 90 s peer=%s", peer);
		break;
	case WGH_EVENT_ROAMED:
		/* The first endpoint of a peer that calls is part of its coming up. */
		if (names_is_up(names, &event->peer))
			log_info("peer roamed peer=%s endpoint=%s", peer, endpoint);
		break;
	case WGH_EVENT_EXPIRED:
		if (names_set_up(names, &event->peer, false))
			log_info("peer down peer=%s", peer);
		break;
	case WGH_EVENT_REPLAYED_INITIATION:
		log_debug("initiation replayed peer=%s", peer);
		break;
	case WGH_EVENT_ROUTE_MOVED:
		text_from_prefix(prefix, &event->prefix);
		text_from_peer(other, &event->other);
		log_warn("route moved prefix=%s from=%s to=%s", prefix, other, peer);
		break;
	case WGH_EVENT_PORT_UNUSABLE:
		log_error("port unusable port=%u: another program uses it; choose another: wg set "
			  "INTERFACE listen-port PORT",
			event->endpoint.port);
		break;
	case WGH_EVENT_UNKNOWN_PEER:
		log_debug("unknown peer peer=%s endpoint=%s", peer, endpoint);
		break;
	case WGH_EVENT_DROPS: /* a device counts drops, but makes no events of them */
		break;
	case WGH_EVENT_ROUTING_LOOP:
		log_warn("routing loop peer=%s: its endpoint is routed into the hub's own "
			 "interface; "
			 "its allowed ips must not cover it",
			peer);
		break;
	}
}
