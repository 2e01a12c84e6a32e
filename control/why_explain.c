/* why_explain.c - what each reason to drop a packet or to refuse a peer means to whoever runs the
 * hub, and what to do about it. Constant data. */
#include "control/why.h"

#include <string.h>

static const struct why_explanation drops[] = {
	/* outer datagrams */
	{"truncated", "Somebody sends datagrams larger than any WireGuard message.",
		"Nothing is lost but theirs; if they come from a peer, lower its MTU."},
	{"short", "Something that is not WireGuard sends to the hub's port.",
		"Harmless; keep other programs away from the port if it is much."},
	{"type", "Something that is not WireGuard, or a modified one, sends to the hub's port.",
		"Harmless; a peer that uses an obfuscating variant must use plain WireGuard."},
	{"no_session", "A peer uses a session that the hub does not know, as after its restart.",
		"It mends itself when the peer's next handshake comes, within about 15 seconds of "
		"sending."},
	{"expired", "A peer went on using a session for more than three minutes.",
		"It mends itself with the next handshake; if it repeats, the peer's handshakes do "
		"not "
		"arrive: look at its firewall."},
	{"auth", "Data that was changed on the way, or made up by somebody.",
		"If it grows while a peer has trouble, a device on its path damages packets: try "
		"another network or a smaller MTU."},
	{"replay", "Packets that came twice, or more than 8,000 packets late.",
		"A few are normal on networks that duplicate; if it grows fast, look for a bridge "
		"loop or a bonded link that reorders."},
	/* handshake messages */
	{"handshake_queue", "More handshakes at once than the hub can answer.",
		"It mends itself; after a restart with many peers it takes some seconds."},
	{"no_identity", "The hub has no private key yet.",
		"wg set INTERFACE private-key FILE, or start it with a file that has one."},
	{"mac1", "Somebody calls with another public key for this hub.",
		"Compare the public key in the peer's file with the one in wghub show; devices get "
		"theirs from the Factory: wghub server show."},
	{"under_load", "Many handshakes at once: callers were asked to prove their address first.",
		"It mends itself: they repeat within five seconds."},
	{"rate_limit", "One address sends more than 20 handshakes a second.",
		"If many peers share it (a NAT), they take some seconds longer; else somebody "
		"floods "
		"the hub: block that address."},
	{"handshake", "A handshake that fails its checks: a wrong preshared key or damaged data.",
		"Compare the peer's PresharedKey with the hub's."},
	{"unknown_peer", "Somebody calls whose key is no peer of this hub.",
		"An engineer: wghub client pending, then wghub client approve. A device: it may "
		"have "
		"a new key: wghub sync, wghub devices."},
	{"old_timestamp",
		"A first message with a time before that of the last one: the peer's clock "
		"went back, or somebody repeats old messages.",
		"Set the peer's clock right; if it was far in the future once, remove the peer and "
		"add "
		"it again."},
	{"flood", "A peer sends first messages faster than 50 a second.",
		"Two machines may use the same private key: give each its own."},
	{"stray_response",
		"An answer to a handshake that the hub did not ask for, or asked long ago.",
		"A few are normal on slow networks."},
	{"cookie", "A cookie that cannot be opened: it is not for us, or the hub's key changed.",
		"It mends itself with the next attempt."},
	{"reply_address", "A handshake from an address that nothing can be sent to.",
		"Somebody forges addresses; harmless."},
	/* inner packets */
	{"inner_short", "A packet whose length field does not fit, or that is cut.",
		"The sender's program or driver is broken: update its WireGuard."},
	{"inner_version", "Something that is neither IPv4 nor IPv6 was put into the tunnel.",
		"The sender's program is broken: update its WireGuard."},
	{"inner_header", "A packet with a wrong IP header: lengths or checksum.",
		"The sender's driver is broken: switch checksum offload off there (ethtool -K)."},
	{"source", "The sender uses an address that is not its own at the hub.",
		"Give its interface exactly the address that wghub show lists as its allowed ip; "
		"in an "
		"engineer's file: Address = that address/32. Traffic from networks behind it does "
		"not "
		"pass."},
	{"martian", "An address that no router forwards, as 127.0.0.1 or 0.0.0.0.",
		"Look which program at the sender uses it; nothing to do at the hub."},
	{"broadcast", "A packet to all machines of the network: the VPN has no broadcasts.",
		"Name the receiver by its address; discovery protocols do not work through a VPN."},
	{"multicast", "A packet to a group, as mDNS sends: the VPN has no multicast.",
		"Name the receiver by its address, or by a name from the hub's hosts file."},
	{"source_route", "A packet that says itself which way to go, which is forbidden.",
		"Switch source routing off at the sender."},
	{"land", "A packet from an address to itself.",
		"Look which program at the sender makes it; nothing to do at the hub."},
	{"hairpin", "A packet to an address of the sender's own.",
		"The sender's routes are wrong: its own address must not lead into the tunnel."},
	{"ttl", "A packet that went through too many hops, as traceroute makes them.",
		"Normal with traceroute; else there is a routing loop between hub and peer."},
	{"no_route", "Nobody owns the address it was sent to.",
		"Compare the address with wghub show; the peer may have been removed, or its "
		"device "
		"disabled. For networks behind the hub's host: --deliver all."},
	{"too_big", "A packet larger than the MTU that must not be taken apart.",
		"Its sender was told. If connections hang, something on the sender's side drops "
		"that "
		"message: put clamp-mss into the policy file, or lower the MTU there."},
	{"no_host", "It was for the hub itself, which runs without TUN and answers only ping.",
		"To reach services of the hub's host, run it with a TUN (without --no-tun)."},
	{"policy", "The policy does not let the sender start this.",
		"wghub why FROM TO tcp PORT says which line decides; wghub help policy says how to "
		"change it."},
	{"routing_loop", "The hub's own datagrams were routed back into its interface.",
		"The peer's endpoint lies inside its allowed ips: take that address out of them, "
		"or "
		"give the host a route to the endpoint."},
	/* flows, translation */
	{"no_flow",
		"It belongs to nothing that was started: a reply that came too late, or an "
		"attempt from the wrong side.",
		"After a restart of the hub connections have to be made again. A device cannot "
		"start "
		"to the ports that engineers' flows use."},
	{"flow_table_full", "The hub remembers as many flows as it may, in all.",
		"See who has most of them in wghub show; raise flows N in the policy file."},
	{"flow_peer_full", "This peer has started as many flows as one may.",
		"Look for a scanner or a runaway program there; raise flows-per-peer N in the "
		"policy "
		"file."},
	{"nat_ports", "All ports that the hub may use towards this device are taken.",
		"Widen nat-ports in the policy file, or end some connections to the device."},
	{"nat_protocol",
		"A stock device can be reached by TCP, UDP and ping only; this was another "
		"protocol.",
		"Use TCP or UDP, or make the device accept the whole network."},
	{"nat_header", "A packet that is too short to have ports.",
		"The sender's program is broken, or somebody tests the hub."},
	{"fragment", "A piece of a large packet whose first piece did not come before it.",
		"Make the sender's packets smaller: lower its MTU, or the size of its datagrams."},
	{"fragment_overlap", "Pieces of a large packet that overlap or leave gaps, as attacks do.",
		"If it is no attack, lower the sender's MTU so that it need not cut packets."},
	/* sending */
	{"no_endpoint",
		"The hub does not know where this peer is: it has not called since the hub "
		"started.",
		"Switch it on and connect it to a network; it needs PersistentKeepalive = 25 if "
		"the "
		"hub shall reach it any time."},
	{"staged_full", "Many packets waited for a handshake with this peer.",
		"The peer does not answer: see its handshake; it mends itself when it does."},
	{"staged_expired", "Packets waited for a handshake with this peer in vain.",
		"The peer is off, or its address changed while nothing kept the way open: it needs "
		"PersistentKeepalive = 25."},
	{"filter", "The program that embeds the hub refused it.",
		"Ask whoever made that program: its filter decides before the policy does."},
	{"no_memory", "The hub may use no more memory for sessions.",
		"Give it more, where it was given a limit, or remove peers that are not needed."},
	{"event_queue", "The hub's own threads could not keep up.",
		"It mends itself; if it grows, the machine is too busy: wghub bench says what it "
		"can "
		"do."},
	{"send", "The hub's host refused to send to this peer's address.",
		"Look at the host's routes and firewall: can it reach the endpoint in wghub show?"},
	{"tun_write", "The hub's host did not take a packet from the interface.",
		"The interface may be down or its queue full: ip -s link show INTERFACE."},
};

static const struct why_explanation refusals[] = {
	{"item", "What its source says about it is wrong.", "Correct what the line names."},
	{"key_zero", "Its public key is all zero, which is nobody's.",
		"Have the device make a new key, or correct the key in the clients file."},
	{"key_own", "Its public key is the hub's own.",
		"Two machines use one key: make a new one for it (wghub genkey)."},
	{"key_taken", "Another peer has the same public key.",
		"A copied disk image carries its key along: let one of the two make a new one "
		"(a device does when /var/sota/wg-priv is removed)."},
	{"address_unusable", "Its address is none that a machine can have.",
		"Give it another one: for a device fioctl devices config wireguard NAME enable, "
		"for an "
		"engineer the clients file."},
	{"address_hub", "Its address is the hub's.",
		"Give it another one: wghub device disable NAME, then enable; an engineer: the "
		"clients "
		"file."},
	{"address_local", "Its address is one of the hub's host.",
		"Give it another one, or move the host's interface to another network."},
	{"address_range", "Its address is outside the VPN's network.",
		"Give it an address of the network; a device: wghub device disable NAME, then "
		"enable."},
	{"address_taken", "Another peer has the same address.",
		"Give one of the two another one: wghub status names both."},
};

static const struct why_explanation *find(
	const struct why_explanation *all, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(all[i].name, name))
			return &all[i];
	}
	return NULL;
}

const struct why_explanation *why_drop(const char *name)
{
	return find(drops, sizeof drops / sizeof *drops, name);
}

const struct why_explanation *why_refusal(const char *name)
{
	return find(refusals, sizeof refusals / sizeof *refusals, name);
}
