#!/bin/bash
# protocol.sh - the hub and wireguard-go speak the same WireGuard: handshakes in both directions,
# both IP versions outside and inside, preshared keys, keepalives, roaming.
. "$(dirname "$0")/lib.sh"

test_wireguard_go_begins_the_handshake() {
	world 1
	hub 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	has_handshake hub0 p1
	has_handshake wg1 hub
}

test_the_hub_begins_the_handshake() {
	world 1
	hub_start hub0
	hub_set_up
	hub_add 1 endpoint 10.99.1.2:7001
	wggo 1 7001
	wg set wg1 peer "$(pub hub)" allowed-ips "$(inner4 0)/32"
	ping_ok hub "$(inner4 1)"
	equal "$(endpoint_of wg1 hub)" 10.99.1.1:51820
}

test_outer_ipv6_in_both_directions() {
	world 2
	hub_start hub0
	hub_set_up
	hub_add 1
	hub_add 2 endpoint '[fd99:2::2]:7002'
	peer 1 endpoint '[fd99:1::1]:51820'
	wggo 2 7002
	wg set wg2 peer "$(pub hub)" allowed-ips 10.42.42.0/24
	ping_ok hub "$(inner4 2)"
	ping_ok p1 "$(inner4 0)"
	equal "$(endpoint_of wg2 hub)" '[fd99:2::1]:51820'
	must "endpoint $(endpoint_of hub0 p1) is not IPv6" \
		grep -q '^\[fd99:1::2\]:' <<<"$(endpoint_of hub0 p1)"
}

test_inner_ipv6_to_the_hub_and_through_it() {
	world 2
	hub 2
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	wait_for 60 has_handshake hub0 p1
	wait_for 60 has_handshake hub0 p2
	ping_ok p1 "$(inner6 0)"
	ping_ok p1 "$(inner6 2)"
	ping_ok hub "$(inner6 1)"
}

test_any_inner_version_over_any_outer_version() {
	world 2
	hub 2
	peer 1 persistent-keepalive 25 endpoint '[fd99:1::1]:51820'
	peer 2 persistent-keepalive 25
	wait_for 60 has_handshake hub0 p1
	wait_for 60 has_handshake hub0 p2
	ping_ok p1 "$(inner4 2)"
	ping_ok p2 "$(inner6 1)"
}

test_preshared_key() {
	world 2
	hub 2
	(umask 077; wg genpsk >$T/psk)
	wg set hub0 peer "$(pub p1)" preshared-key $T/psk
	peer 1 preshared-key $T/psk
	peer 2
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner4 0)" # another peer has none
}

test_wrong_preshared_key_gets_no_session() {
	world 1
	hub 1
	(umask 077; wg genpsk >$T/psk; wg genpsk >$T/other)
	wg set hub0 peer "$(pub p1)" preshared-key $T/psk
	peer 1 preshared-key $T/other
	must_not "a ping passes with a wrong preshared key" ping_once p1 "$(inner4 0)"
	must_not "a peer has a session with a wrong preshared key" has_handshake wg1 hub
	wg set hub0 peer "$(pub p1)" preshared-key $T/other # and a change is used at once
	ping_ok p1 "$(inner4 0)"
}

test_unknown_peer_gets_no_answer() {
	world 1
	hub_start hub0
	hub_set_up
	peer 1
	must_not "a peer that nobody added gets through" ping_once p1 "$(inner4 0)"
	equal "$(wg show wg1 transfer | cut -f2)" 0 "bytes the unknown peer received"
	hub_add 1
	ping_ok p1 "$(inner4 0)"
}

test_removed_peer_is_out_at_once() {
	world 1
	hub 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	wg set hub0 peer "$(pub p1)" remove
	must_not "a removed peer still gets through" ping_once p1 "$(inner4 0)"
}

test_persistent_keepalive_of_the_hub_and_of_the_peer() {
	world 2
	hub_start hub0
	hub_set_up
	hub_add 1 endpoint 10.99.1.2:7001 persistent-keepalive 1
	hub_add 2
	wggo 1 7001
	wg set wg1 peer "$(pub hub)" allowed-ips "$(inner4 0)/32"
	wait_for 60 has_handshake hub0 p1 # nobody has sent anything but keepalives
	# One a second, however long this machine takes for it: 32 bytes each.
	local before begin n ms
	begin=${EPOCHREALTIME/./}
	before=$(wg show wg1 transfer | cut -f2)
	three_more() {
		n=$((($(wg show wg1 transfer | cut -f2) - before) / 32))
		[ $n -ge 3 ]
	}
	wait_for 60 three_more || fail "no keepalives"
	ms=$(((${EPOCHREALTIME/./} - begin) / 1000))
	must "$n keepalives in $ms ms" [ $n -le $((ms / 1000 + 2)) ]
	peer 2 persistent-keepalive 1
	wait_for 60 has_handshake hub0 p2
	ping_ok hub "$(inner4 2)"
}

test_passive_keepalive_answers_data() {
	world 1
	hub 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	# Datagrams to a port that swallows them: nothing comes back but a keepalive after ten seconds.
	in_ns hub socat -u UDP-RECV:9000 /dev/null &
	wait_for 60 listens hub -u 9000
	local before
	before=$(wg show wg1 transfer | cut -f2)
	in_ns p1 bash -c "echo x >/dev/udp/$(inner4 0)/9000"
	# A peer that hears nothing for 15 s begins a handshake, whose answer is 92 bytes.
	local more
	grows() { more=$(($(wg show wg1 transfer | cut -f2) - before)) && [ $more != 0 ]; }
	must "no keepalive" wait_for 60 grows
	equal $more 32 "bytes that came first"
}

test_roaming_to_another_port_and_address_in_the_middle_of_a_flow() {
	world 2
	hub 2
	peer 1
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
	flow_begin p1 "$(inner4 2)" -i 0.05
	wait_for 60 flow_reached 20
	wg set wg1 listen-port 7777
	wait_for 60 eval '[ "$(endpoint_of hub0 p1)" = 10.99.1.2:7777 ]' ||
		fail "the hub did not follow to another port: $(endpoint_of hub0 p1)"
	wait_for 60 flow_reached $(($(flow_last) + 10)) || fail "no ping passes from another port"
	local begin=${EPOCHREALTIME/./} gone ms
	gone=$(flow_last)
	ip -n p1 addr del 10.99.1.2/24 dev cable
	ip -n p1 addr add 10.99.1.77/24 dev cable
	# Debian's wireguard-go keeps to its old source address, which is gone; naming the endpoint again
	# makes it forget.
	wg set wg1 peer "$(pub hub)" endpoint 10.99.1.1:51820
	ms=$(((${EPOCHREALTIME/./} - begin) / 1000))
	wait_for 60 eval '[ "$(endpoint_of hub0 p1)" = 10.99.1.77:7777 ]' ||
		fail "the hub did not follow to another address: $(endpoint_of hub0 p1)"
	wait_for 60 flow_reached $((gone + 1)) || fail "no ping passes from another address"
	flow_end $(($(flow_last) + 30))
	# Without an address nothing passes; that time is this machine's.
	must "$lost pings were lost while roaming, with $ms ms between the addresses" \
		[ $lost -le $((ms / 50 + 10)) ]
	wait_for 60 grep -q "roamed" $T/hub0.log || fail "the log does not tell of it"
}

test_roaming_from_ipv4_to_ipv6() {
	world 1
	hub 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	wg set wg1 peer "$(pub hub)" endpoint '[fd99:1::1]:51820'
	ping_ok p1 "$(inner4 0)"
	must "endpoint is $(endpoint_of hub0 p1)" grep -q '^\[fd99:1::2\]:' <<<"$(endpoint_of hub0 p1)"
	ping_ok hub "$(inner4 1)"
}

test_hub_answers_from_the_address_it_was_asked_at() {
	world 1
	ip -n hub addr add 10.99.1.200/24 dev to-p1
	hub 1
	peer 1
	wg set wg1 peer "$(pub hub)" endpoint 10.99.1.200:51820
	ping_ok p1 "$(inner4 0)"
	ping_ok hub "$(inner4 1)"
	equal "$(endpoint_of wg1 hub)" 10.99.1.200:51820 "the peer's view of the hub"
}

test_peer_that_restarts_is_back_at_once() {
	world 1
	hub 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	ip -n p1 link del wg1
	wait_for 60 test ! -e /run/wireguard/wg1.sock
	peer 1
	ping_ok p1 "$(inner4 0)"
}

run_tests "$@"
