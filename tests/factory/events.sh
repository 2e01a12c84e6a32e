#!/bin/bash
# events.sh - what happens at a Factory's hub, as JSON lines: who asked for which change, what was granted,
# refused, and why.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh
. tests/factory/world.sh
. tests/lib/events.sh

w() { in_ns hub "$wghub" "$@"; }

# A hub with a stock device and two engineers, who are not there.
small_hub() { # [DAEMON-OPTION...]
	empty_world
	daemon --events $T/events "$@"
	device 1
	device_key=$($dev key press-1)
	device_ip=$(address_of press-1)
}

test_devices_and_clients_come_and_go_by_whom_they_belong_to() {
	small_hub
	equal "$(said peer_added peer "$device_key" name press-1 by factory allowed_ips "$device_ip/32")" 1
	equal "$(said peer_added peer "$(pub p3)" name "bench laptop" by clients)" 1
	equal "$(said peer_added)" 3
	wait_for 60 eval '[ "$(said connect name press-1)" = 1 ]' || fail "$(cat $T/events)"
	printf '%s %s\n' "$(pub p3)" "$engineer_ip bench laptop" >$T/clients
	wait_for 60 eval '[ "$(said peer_removed peer "$(pub p6)" by clients)" = 1 ]' || fail "$(tail -3 $T/events)"
	$fio devices config wireguard press-1 disable
	kill -HUP $hub_pid
	wait_for 60 eval '[ "$(said peer_removed name press-1 by factory)" = 1 ]' || fail "$(tail -3 $T/events)"
	must_not "a token is told" grep -qF "$FACTORY_TOKEN" $T/events
	must_not "the private key is told" grep -qF "$(cat $T/hub.key)" $T/events
}

test_what_wg_asks_for_is_told_with_what_it_got() {
	small_hub
	make_key g1
	# A wider network than there is becomes one address.
	wg set hub0 peer "$(pub g1)" allowed-ips 10.42.42.200/24
	equal "$(said peer_added peer "$(pub g1)" by wg uid 0 allowed_ips 10.42.42.200/32)" 1
	equal "$(said change_amended by wg uid 0)" 1
	grep change_amended $T/events | grep -q 'becomes a client, 10.42.42.200/32 and no wider network'
	must_not "a device's address" wg set hub0 peer "$(pub g1)" allowed-ips "$device_ip/32" 2>/dev/null
	equal "$(said change_refused by wg uid 0)" 1
	grep change_refused $T/events | grep -q press-1
	must_not "another key" wg set hub0 private-key $T/g1.key 2>/dev/null
	equal "$(said change_refused by wg)" 2
	wg set hub0 peer "$(pub g1)" remove
	equal "$(said change_amended by wg)" 2
	wait_for 60 eval '[ "$(said peer_removed peer "$(pub g1)")" = 1 ]' || fail "$(tail -3 $T/events)"
}

test_clients_by_request_are_told_with_their_user() {
	small_hub
	make_key g1
	w client add anna --pubkey "$(pub g1)" >$T/anna.conf 2>$T/out
	equal "$(said change_asked verb client-add peer "$(pub g1)" name anna by request uid 0)" 1
	equal "$(said peer_added peer "$(pub g1)" by request uid 0)" 1
	must_not "twice" w client add anna --pubkey "$(pub g1)" 2>/dev/null
	equal "$(said change_refused by request uid 0)" 1
	w client remove anna >$T/out
	equal "$(said change_asked verb client-remove peer "$(pub g1)" by request uid 0)" 1
	wait_for 60 eval '[ "$(said peer_removed peer "$(pub g1)" name anna by clients)" = 1 ]' || fail "$(tail -3 $T/events)"
}

test_two_that_want_one_address_are_a_line_once() {
	small_hub
	make_key g1
	echo "$(pub g1) $device_ip intruder" >>$T/clients
	wait_for 60 eval '[ "$(said peer_refused by clients name intruder reason address_taken peer "$(pub g1)")" = 1 ]' ||
		fail "$(tail -3 $T/events)"
	a_round
	a_round
	equal "$(said peer_refused)" 1
}

test_trouble_is_told_when_it_begins_and_when_it_ends() {
	small_hub
	ctl fault '{"do": "status", "status": 503, "times": 3}'
	kill -HUP $hub_pid
	wait_for 60 eval '[ "$(said trouble_begin trouble "api unreachable")" = 1 ]' || fail "$(tail -3 $T/events)"
	wait_for 60 eval '[ "$(said trouble_end trouble "api unreachable")" = 1 ]' || fail "$(tail -3 $T/events)"
	equal "$(said trouble_begin trouble "api unreachable")" 1
}

run_tests "$@"
