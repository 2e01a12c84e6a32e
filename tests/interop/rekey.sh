#!/bin/bash
# rekey.sh - sessions are renewed after two minutes, by either side, and nothing is lost meanwhile.
# Takes 125 seconds, nearly all of it waiting: run.sh starts it first and lets it run beside.
. "$(dirname "$0")/lib.sh"
TEST_SECONDS=900

# renewed NAME SINCE
renewed() { [ $(($(handshake_at hub0 "$1") - $2)) -ge 110 ]; }
# The hub's clock looks when the first packet comes, the peer's when the answer does.
same_handshake() {
	local apart=$(($(handshake_at hub0 p1) - $(handshake_at wg1 hub)))
	[ ${apart#-} -le 3 ]
}

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
	flow_begin p1 "$(inner4 2)" -i 0.1
	wait_for 200 renewed p1 "$first1" || fail "p1's session was not renewed"
	wait_for 60 renewed p2 "$first2" || fail "p2's session was not renewed"
	wait_for 60 same_handshake || fail "p1's last handshake is not the same at both ends"
	flow_end $(($(flow_last) + 50))
	equal $lost 0 "lost pings"
}

run_tests "$@"
