#!/bin/bash
# garbage.sh - what anybody can send to the hub's port does not stop it, stall it, or end it.
. "$(dirname "$0")/lib.sh"

hub_with_two() {
	world 3
	hub 3 "$@"
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
}

# p1 and p2 talk while p3 shoots: shoot ADDRESS SEED N
shoot() {
	local n
	flow_begin p1 "$(inner4 2)" -i 0.01
	in_ns p3 "$bin/garbage" "$1" 51820 "$2" "$3" "$hub_pid"
	n=$(($(flow_last) + 1))
	[ $n -ge 100 ] || n=100
	flow_end $n
	must "$lost of $n pings were lost" [ $((lost * 20)) -le $n ]
	ping_ok p1 "$(inner4 2)"
	ping_ok p2 "$(inner4 0)"
	peer 3 # and a new session is possible
	ping_ok p3 "$(inner4 0)"
}

test_garbage_of_every_type_and_length_over_ipv4() {
	hub_with_two
	shoot 10.99.3.1 1 20000
	"$wghub" show hub0 >$T/show.out
	must "garbage is not counted: $(cat $T/show.out)" grep -q 'dropped: [0-9]* \(type\|short\)' $T/show.out
}

test_garbage_of_every_type_and_length_over_ipv6() {
	hub_with_two
	shoot fd99:3::1 2 20000
}

test_garbage_without_offloads() {
	hub_with_two --no-offload
	shoot 10.99.3.1 3 10000
}

test_garbage_from_the_address_of_a_peer_does_not_move_it() {
	hub_with_two
	local before
	before=$(endpoint_of hub0 p1)
	in_ns p1 "$bin/garbage" 10.99.1.1 51820 4 5000 "$hub_pid"
	equal "$(endpoint_of hub0 p1)" "$before" "p1's endpoint"
	ping_ok p1 "$(inner4 2)"
}

test_garbage_on_the_socket_of_wg() {
	world 1
	hub 1
	local i
	for i in $(seq 30); do
		head -c $((i * 300)) /dev/urandom | timeout 20 socat -t 0.1 - UNIX-CONNECT:/run/wireguard/hub0.sock >/dev/null 2>&1 || true
	done
	printf 'set=1\nprivate_key=' | timeout 20 socat -t 0.1 - UNIX-CONNECT:/run/wireguard/hub0.sock >/dev/null || true
	equal "$(wg show hub0 peers)" "$(pub p1)"
	peer 1
	ping_ok p1 "$(inner4 0)"
}

test_nonsense_inside_the_tunnel() {
	hub_with_two
	local i
	# Real peers do not make broken packets, but their hosts make odd ones.
	in_ns p1 ping -n -q -c 1 -W 1 -b 10.42.42.255 >/dev/null 2>&1 || true
	in_ns p1 ip route add 224.0.0.0/4 dev wg1
	wg set wg1 peer "$(pub hub)" allowed-ips 0.0.0.0/0,::/0
	in_ns p1 ping -n -q -c 1 -W 1 224.0.0.1 >/dev/null 2>&1 || true
	in_ns p1 ip route add 127.9.9.9/32 dev wg1 2>/dev/null || true
	in_ns p1 ip -6 route add ff05::/16 dev wg1 2>/dev/null || true
	in_ns p1 ping -6 -n -q -c 1 -W 1 ff05::2%wg1 >/dev/null 2>&1 || true
	is_counted() { [ "$(hub_drops hub0 "$1")" -ge 1 ]; }
	wait_for 60 is_counted multicast || fail "a multicast is not counted"
	wait_for 60 is_counted broadcast || fail "a broadcast is not counted"
	for i in 2 3 255; do ping_ok p1 "$(inner4 2)" -t $i; done
	ping_ok p1 "$(inner4 2)"
}

run_tests "$@"
