/* admit.c - see admit.h. */
#include "core/admit.h"

#include "core/icmp.h"

static const struct wgh_public_key *key_of(const struct peer *peer)
{
	return peer ? (const struct wgh_public_key *)peer->public_key.bytes : NULL;
}

/* The destination port, 0 where there is none to see. */
static uint16_t port_of(const uint8_t *packet, const struct ip_info *info)
{
	const uint8_t *ports = packet + info->l4_offset;

	if ((info->proto != IP_PROTO_TCP && info->proto != IP_PROTO_UDP) || !info->l4_offset ||
		!info->first_fragment || info->len_bytes - info->l4_offset < 4)
		return 0;
	return (uint16_t)(ports[2] << 8 | ports[3]);
}

bool admit_start(const struct policy *policy, const struct peer *from, const struct peer *to,
	const uint8_t *packet, const struct ip_info *info)
{
	struct wgh_policy_question q = {
		.from = key_of(from),
		.to = key_of(to),
		.from_group = REACH_GROUP(reach_of(from)),
		.to_group = REACH_GROUP(reach_of(to)),
		.proto = info->proto == IP_PROTO_ICMPV6 ? IP_PROTO_ICMP : info->proto,
		.port = port_of(packet, info),
	};

	switch (wgh_policy_decide(&policy->said, &q, NULL)) {
	case WGH_ALLOW:
		return true;
	case WGH_PING:
		return icmp_is_echo_request(packet, info);
	case WGH_DENY:
		break;
	}
	return false;
}
