#!/bin/bash
# rekey.sh - sessions are renewed after two minutes, by either side, and nothing is lost meanwhile.
# Takes 130 seconds, nearly all of it waiting: run.sh starts it first and lets it run beside.
. "$(dirname "$0")/lib.sh"
TEST_SECONDS=200

test_sessions_are_renewed_by_either_side_and_no_packet_is_lost() {
	world 2
	hub_start hub0
	hub_set_up
	hub_add 1
	hub_add 2 endpoint 10.99.2.2:7002
	peer 1 # begins, so it renews
	wggo 2 7002
	wg set wg2 peer "$(pub hub)" allowed-ips 10.42.42.0/24
	ping_ok hub "$(inner4 2)" # the hub begins, so it renews
	ping_ok p1 "$(inner4 0)"
	local first1 first2
	first1=$(handshake_at hub0 p1)
	first2=$(handshake_at hub0 p2)
	in_ns p1 ping -n -q -i 0.1 -c 1280 -W 2 "$(inner4 2)" >$T/ping.log
	must "pings were lost: $(grep loss $T/ping.log)" grep -q ' 0% packet loss' $T/ping.log
	must "p1's session was not renewed" [ $(($(handshake_at hub0 p1) - first1)) -ge 110 ]
	must "p2's session was not renewed" [ $(($(handshake_at hub0 p2) - first2)) -ge 110 ]
	equal "$(handshake_at hub0 p1)" "$(handshake_at wg1 hub)" "time of p1's handshake at both ends"
}

run_tests "$@"
