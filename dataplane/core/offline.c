/* offline.c - see offline.h. Costs, once for each silence of a peer: an ICMP error for each waiting
 * packet whose sender may be told.
 */
#include "core/offline.h"

#include "core/answer.h"
#include "core/keys.h"

/* The error about what was translated goes to the one who sent it, as if it came from the peer. */
static bool translate(struct hub *hub, const struct peer *silent, uint8_t *error,
	uint32_t len_bytes, struct ip_info *info, uint64_t now_ns)
{
	struct flow_key key;
	struct flow_hit hit;
	uint8_t tcp_flags;

	if (ip_parse(info, error, len_bytes) ||
		flow_key_read(&key, &tcp_flags, error, info,
			(struct flow_party){silent->slot, silent->serial}) != FLOW_KIND_ERROR ||
		!flow_find_related(hub->flows, &hit, &key, now_ns))
		return false;
	if (hit.translated && nat_rewrite_error(error, info, &hit.edit))
		return false;
	return !ip_parse(info, error, len_bytes);
}

static void tell_sender(struct hub *hub, struct peer *silent, const uint8_t *packet,
	uint32_t len_bytes, uint64_t now_ns)
{
	const struct hub_view *view = relaxed_get(&hub->view);
	uint8_t message[WGH_HEADROOM_BYTES + ICMP_ERROR_BYTES_MAX + WGH_TAILROOM_BYTES];
	uint8_t *error = message + WGH_HEADROOM_BYTES;
	const struct wgh_addr *self;
	struct ip_info info;
	struct peer *sender;
	uint32_t error_bytes;

	if (ip_parse(&info, packet, len_bytes) || !icmp_may_answer(packet, &info))
		return;
	self = info.src.family == WGH_IPV4 ? &view->self4 : &view->self6;
	if (self->family == WGH_UNSPEC)
		return;
	error_bytes = icmp_error_write(error, ICMP_NO_ROUTE, view->mtu_bytes, self, packet, &info);
	if (wgh_addr_equal(&info.src, self) &&
		!translate(hub, silent, error, error_bytes, &info, now_ns))
		return;
	/* After a translation info is the error's. */
	sender =
		route_lookup(view->routes, wgh_addr_equal(&info.src, self) ? &info.dst : &info.src);
	if (route_is_peer(sender) && answer_allowed(&sender->icmp_allowed_ns, now_ns))
		IGNORE_RESULT(keys_send_unanswered(hub, sender, message, error_bytes, now_ns));
}

void offline_begin(struct hub *hub, struct peer *peer, uint64_t now_ns)
{
	if (relaxed_get(&peer->silent))
		return;
	relaxed_set(&peer->silent, true);
	staged_each(hub, peer, tell_sender, now_ns);
}
