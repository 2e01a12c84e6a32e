/* drop.h - every reason a packet can be dropped for: one list gives enum, name, text and counter.
 * A packet's verdict is an enum drop; DROP_NONE means it goes on.
 */
#ifndef CORE_DROP_H
#define CORE_DROP_H

#define DROP_REASONS(X)                                                                            \
	/* outer datagrams */                                                                      \
	X(DROP_TRUNCATED, "truncated", "datagram larger than the receive buffer")                  \
	X(DROP_SHORT, "short", "datagram shorter than its message type")                           \
	X(DROP_TYPE, "type", "unknown message type or non-zero reserved bytes")                    \
	X(DROP_NO_SESSION, "no_session", "receiver index of no session")                           \
	X(DROP_EXPIRED, "expired", "session is past its time or message limit")                    \
	X(DROP_AUTH, "auth", "authentication tag does not match")                                  \
	X(DROP_REPLAY, "replay", "counter already received or too old")                            \
	/* handshake messages */                                                                   \
	X(DROP_HANDSHAKE_QUEUE, "handshake_queue", "handshake queue is full")                      \
	X(DROP_NO_IDENTITY, "no_identity", "no private key is set")                                \
	X(DROP_MAC1, "mac1", "handshake message with a wrong mac1")                                \
	X(DROP_UNDER_LOAD, "under_load", "under load: cookie reply sent instead")                  \
	X(DROP_RATE_LIMIT, "rate_limit", "under load: source sends too many handshakes")           \
	X(DROP_HANDSHAKE, "handshake", "handshake message that fails authentication")              \
	X(DROP_UNKNOWN_PEER, "unknown_peer", "initiation of a key that is no peer")                \
	X(DROP_OLD_TIMESTAMP, "old_timestamp", "initiation with a replayed timestamp")             \
	X(DROP_FLOOD, "flood", "initiation too soon after the last one")                           \
	X(DROP_NO_MEMORY, "no_memory", "the memory budget allows no more sessions")                \
	X(DROP_STRAY_RESPONSE, "stray_response", "response that nobody waits for")                 \
	X(DROP_COOKIE, "cookie", "cookie reply that cannot be opened")                             \
	X(DROP_REPLY_ADDRESS, "reply_address", "source address that must not be answered")         \
	/* inner packets */                                                                        \
	X(DROP_INNER_SHORT, "inner_short", "inner packet shorter than its header or length field") \
	X(DROP_INNER_VERSION, "inner_version", "inner packet is neither IPv4 nor IPv6")            \
	X(DROP_INNER_HEADER, "inner_header", "inner IP header with wrong lengths or checksum")     \
	X(DROP_SOURCE, "source", "inner source address is not the sender's")                       \
	X(DROP_MARTIAN, "martian", "inner address that no router forwards")                        \
	X(DROP_BROADCAST, "broadcast", "inner destination is a broadcast address")                 \
	X(DROP_MULTICAST, "multicast", "inner destination is a multicast address")                 \
	X(DROP_SOURCE_ROUTE, "source_route", "source route option or routing header")              \
	X(DROP_LAND, "land", "inner source equals destination")                                    \
	X(DROP_HAIRPIN, "hairpin", "destination is owned by the sender itself")                    \
	X(DROP_TTL, "ttl", "time to live or hop limit used up")                                    \
	X(DROP_NO_ROUTE, "no_route", "destination is owned by nobody")                             \
	X(DROP_TOO_BIG, "too_big", "larger than the MTU and not to be fragmented")                 \
	X(DROP_NO_HOST, "no_host", "for the hub itself, which has no TUN and offers only ping")    \
	X(DROP_POLICY, "policy", "the policy does not let its sender start this")                  \
	X(DROP_FILTER, "filter", "refused by the program's own filter")                            \
	X(DROP_ROUTING_LOOP, "routing_loop", "our own outer packet came back through the TUN")     \
	/* flows, translation */                                                                   \
	X(DROP_NO_FLOW, "no_flow", "belongs to no flow and may not begin one")                     \
	X(DROP_FLOW_TABLE_FULL, "flow_table_full", "too many flows in all")                        \
	X(DROP_FLOW_PEER_FULL, "flow_peer_full", "peer has begun too many flows")                  \
	X(DROP_NAT_PORTS, "nat_ports", "no free port or identifier at the hub's address")          \
	X(DROP_NAT_PROTOCOL, "nat_protocol", "protocol that cannot be translated")                 \
	X(DROP_NAT_HEADER, "nat_header", "transport header too short to translate")                \
	X(DROP_FRAGMENT, "fragment", "fragment whose first one did not come before it")            \
	X(DROP_FRAGMENT_OVERLAP, "fragment_overlap", "fragments that overlap or leave many gaps")  \
	/* sending */                                                                              \
	X(DROP_NO_ENDPOINT, "no_endpoint", "peer has no endpoint")                                 \
	X(DROP_STAGED_FULL, "staged_full", "too many packets wait for a session")                  \
	X(DROP_STAGED_EXPIRED, "staged_expired", "packet waited for a session in vain")            \
	X(DROP_EVENT_QUEUE, "event_queue", "queue to the control thread is full")                  \
	X(DROP_SEND, "send", "the system refused to send")                                         \
	X(DROP_TUN_WRITE, "tun_write", "the TUN device refused the packet")

enum drop {
	DROP_NONE,
#define X(id, name, text) id,
	DROP_REASONS(X)
#undef X
	DROP_N, /* number of counters, DROP_NONE's unused one included */
};

#endif
