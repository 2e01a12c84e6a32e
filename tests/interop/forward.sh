#!/bin/bash
# forward.sh - what goes through the hub and into its TUN arrives as it was sent: whole files by TCP
# and UDP in both directions, with each offload on and off, with one worker and with two.
. "$(dirname "$0")/lib.sh"

# Two peers with sessions: hub_with_two [OPTION...]. Once more: another hub for the same peers.
hub_with_two() {
	[ -e $T/p1.key ] || world 2
	hub 2 "$@"
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner4 0)"
}
hub_stop() {
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
}

# through_hub MIB, through_tun MIB: both directions, both protocols, both IP versions.
through_hub() {
	random_file file "$1"
	send_tcp p1 p2 "$(inner4 2)" $T/file
	send_tcp p2 p1 "$(inner6 1)" $T/file
	send_udp p1 p2 "$(inner6 2)" $T/file
	send_udp p2 p1 "$(inner4 1)" $T/file gso
}
through_tun() {
	random_file file "$1"
	send_tcp p1 hub "$(inner4 0)" $T/file
	send_tcp hub p1 "$(inner4 1)" $T/file
	send_tcp p2 hub "$(inner6 0)" $T/file
	send_tcp hub p2 "$(inner6 2)" $T/file
	send_udp p1 hub "$(inner4 0)" $T/file gso
	send_udp hub p1 "$(inner4 1)" $T/file
	send_udp hub p2 "$(inner6 2)" $T/file gso
	send_udp p2 hub "$(inner6 0)" $T/file
}

offloads() { "$wghub" show hub0 | sed -n 's/^ *offloads: //p'; }

# without KIND: that offload is off, all others are on, and data passes.
without() {
	hub_with_two "--no-offload=$1"
	must_not "$1 is on: $(offloads)" grep -qw "$1" <<<"$(offloads)"
	through_hub 4
	through_tun 4
}

test_transfers_through_the_hub() {
	hub_with_two
	through_hub 32
	must "forwarded packets are not counted" \
		[ "$("$wghub" show hub0 | sed -n 's/.*packets forwarded: //p')" -gt 10000 ]
}

test_transfers_through_the_tun() {
	hub_with_two
	through_tun 24
}

test_the_kernel_forwards_nothing() {
	hub_with_two
	ping_ok p1 "$(inner4 2)"
	ping_ok p1 "$(inner6 2)"
	equal "$(in_ns hub cat /proc/sys/net/ipv4/ip_forward)" 0
	# No packet of theirs came out of the TUN into the kernel.
	local before
	before=$(in_ns hub cat /sys/class/net/hub0/statistics/rx_packets)
	flow_begin p1 "$(inner4 2)" -i 0.01
	flow_end 50
	local after
	after=$(in_ns hub cat /sys/class/net/hub0/statistics/rx_packets)
	must "$((after - before)) packets came out of the TUN" [ $((after - before)) -lt 10 ]
}

test_all_offloads_are_on_where_the_kernel_has_them() {
	hub_with_two
	equal "$(offloads)" "udp-gro, udp-gso, tun-tso, tun-uso"
}

test_without_udp_gro() { without udp-gro; }
test_without_udp_gso() { without udp-gso; }
test_without_tun_tso() { without tun-tso; }
test_without_tun_uso() { without tun-uso; }

test_without_any_offload() {
	hub_with_two --no-offload
	must_not "offloads are on: $(offloads)" grep -q '[ug][ds]o\?' <<<"$(offloads)"
	through_hub 8
	through_tun 8
}

test_one_worker_and_two_workers() {
	hub_with_two --workers 1
	equal "$("$wghub" show hub0 | sed -n 's/^ *workers: //p')" 1
	through_hub 4
	hub_stop
	hub_with_two --workers 2
	equal "$("$wghub" show hub0 | sed -n 's/^ *workers: //p')" 2
	through_hub 4
	through_tun 4
}

test_aead_back_ends_agree_with_wireguard_go() {
	local aead
	for aead in $("$wghub" --version | sed 's/.*AEAD //; s/(--aead also://; s/[,)]//g'); do
		hub_with_two --aead "$aead"
		equal "$("$wghub" show hub0 | sed -n 's/^ *aead: //p')" "$aead"
		random_file file 2
		send_tcp p1 p2 "$(inner4 2)" $T/file
		send_tcp hub p1 "$(inner4 1)" $T/file
		hub_stop
	done
}

test_three_peers_reach_each_other() {
	local a b
	world 3
	hub 3
	for a in 1 2 3; do peer $a persistent-keepalive 25; done
	for a in 1 2 3; do ping_ok p$a "$(inner4 0)"; done
	for a in 1 2 3; do
		for b in 1 2 3; do
			[ $a = $b ] || ping_ok p$a "$(inner4 $b)"
			[ $a = $b ] || ping_ok p$a "$(inner6 $b)"
		done
	done
	random_file file 4
	send_tcp p1 p2 "$(inner4 2)" $T/file
	send_tcp p2 p3 "$(inner4 3)" $T/file
	send_tcp p3 p1 "$(inner4 1)" $T/file
}

test_the_hub_is_a_hop() {
	hub_with_two
	hops p1 "$(inner4 2)" "$(inner4 0)" "$(inner4 2)"
	hops p1 "$(inner6 2)" "$(inner6 0)" "$(inner6 2)"
}

test_a_source_address_that_is_another_peers_is_dropped() {
	hub_with_two
	ip -n p1 addr add "$(inner4 2)/32" dev wg1
	must_not "p1 passes for p2" in_ns p1 ping -n -q -c 2 -W 1 -I "$(inner4 2)" "$(inner4 0)"
	wait_for 60 eval '[ "$(hub_drops hub0 source)" -ge 2 ]' || fail "the drop is not counted"
	ping_ok p1 "$(inner4 0)"
}

test_an_address_of_nobody_is_reported_as_unreachable() {
	hub_with_two
	ping_says p1 10.42.42.99 "From $(inner4 0) .*Destination .*[Uu]nreachable"
	wait_for 60 eval '[ "$(hub_drops hub0 no_route)" -ge 1 ]' || fail "the drop is not counted"
}

test_large_packets_and_the_path_mtu() {
	hub_with_two
	ping_ok p1 "$(inner4 2)" -M do -s 1392
	ping_ok p1 "$(inner6 2)" -M do -s 1372
	ping_ok p1 "$(inner4 2)" -s 20000 # in fragments
	ping_ok hub "$(inner4 1)" -s 20000
	ip -n p1 link set wg1 mtu 1440
	ping_says p1 "$(inner4 2)" 'mtu *= *1420' -M do -s 1412
}

run_tests "$@"
