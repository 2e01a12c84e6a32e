#!/bin/bash
# test_reach.sh - what an engineer meets on the way to a stock device: path MTU, thousands of
# connections, a hub that starts anew, a device that is off, a policy that changes, port forwards; and
# what `wghub why`, `wghub show` and the log say about it.
. "$(dirname "$0")/lib.sh"

log_has() { grep -q "$1" $T/hub0.log; }
why() { "$wghub" why "$@" >$T/why 2>&1; }
# why_breaks LINK WORD... : it breaks there
why_breaks() {
	local link=$1
	shift
	must_not "wghub why $* finds nothing" why --json "$@"
	equal "$(sed -n 's/^  "broken": "\(.*\)",$/\1/p' $T/why)" "$link" "$(cat $T/why)"
}

# A connection of c1 to s1 that lasts.
hold() {
	(in_ns p1 "$traffic" hold "$(addr4 s1)" >$T/hold 2>&1 || true) &
	wait_for 60 grep -q open $T/hold || fail "no connection: $(cat $T/hold)"
}

# Its exit code says deny, too.
decided() { "$wghub" policy test "$@" || true; }

test_path_mtu_is_told_and_large_datagrams_pass_in_pieces() {
	policy
	people c1 s1 w1
	hub_up --mtu 1300
	everybody_is_there c1 s1 w1
	local to
	for to in s1 w1; do
		ping_says p1 "$(addr4 $to)" 'mtu *= *1300' -M do -s 1350
		ping_says p1 "$(addr6 $to)" 'mtu *= *1300' -M do -s 1350
		equal "$(in_ns p1 "$traffic" cells 3000000 "$to $(addr4 $to) yes")" \
			"$to yes $([ $to = s1 ] && addr4 hub || addr4 c1)"
	done
}

test_two_engineers_have_a_thousand_connections_each_to_one_stock_device() {
	policy 'flows-per-peer 2000'
	people c1 c2 s1
	hub_up --no-tun
	everybody_is_there c1 c2 s1
	# Both from the same ports.
	in_ns p1 "$traffic" many "$(addr4 s1)" 1000 >$T/many1 2>&1 &
	local one=$!
	in_ns p2 "$traffic" many "$(addr4 s1)" 1000 >$T/many2 2>&1 || fail "c2: $(cat $T/many2)"
	wait $one || fail "c1: $(cat $T/many1)"
	must "who began them is not told" peer_is c1 "p['flows'] >= 1000"
}

test_a_hub_that_starts_anew_ends_connections_at_once() {
	policy
	people c1 s1
	hub_up
	everybody_is_there c1 s1
	in_ns p1 "$traffic" hold "$(addr4 s1)" >$T/hold 2>&1 &
	local held=$!
	wait_for 60 grep -q open $T/hold || fail "no connection: $(cat $T/hold)"
	kill -TERM $hub_pid
	wait $hub_pid || fail "the hub ends with $?"
	hub_pids=()
	hub_up
	wait $held || fail "it does not end: $(cat $T/hold)"
	must "it ends otherwise: $(cat $T/hold)" grep -qE 'ECONNRESET|EPIPE' $T/hold
	equal "$(in_ns p1 "$traffic" tcp "$(addr4 s1)" 7000)" "$(addr4 hub)"
}

test_a_port_of_the_hub_leads_a_stock_device_to_an_engineer_and_another_device() {
	policy "forward $(addr4 hub):8883/tcp -> c1:7000 from device" \
		'forward 8884/tcp -> s2:7000 from s1' 'forward 8884/tcp -> c1:7000 from s2' 'forward [fd42::1]:8885/tcp -> w1:7000 from device'
	people c1 s1 s2 w1
	hub_up
	everybody_is_there c1 s1 s2 w1
	equal "$(in_ns p3 "$traffic" tcp "$(addr4 hub)" 8883)" "$(addr4 s1)" "an engineer sees the device"
	equal "$(in_ns p3 "$traffic" tcp "$(addr4 hub)" 8884)" "$(addr4 hub)" "a stock device sees the hub"
	equal "$(in_ns p3 "$traffic" tcp "$(addr6 hub)" 8885)" "$(addr6 s1)" "a wide device sees the device"
	equal "$(in_ns p4 "$traffic" tcp "$(addr4 hub)" 8884)" "$(addr4 s2)" "the same port of another"
	must_not "w1 may not use that port" in_ns p5 "$traffic" tcp "$(addr4 hub)" 8884
	must_not "a client may not use that port" in_ns p1 "$traffic" tcp "$(addr4 hub)" 8884
	must "why does not know it" why s1 c1 tcp 7000
	must "why does not tell the port: $(cat $T/why)" grep -q 'port 8883' $T/why
	why_breaks policy s1 c1 tcp 7001
}

test_a_device_that_is_off_is_unreachable_at_once() {
	policy
	people c1 s1 s2
	hub_up
	everybody_is_there c1
	ping_says p1 "$(addr4 s2)" "From $(addr4 hub) .*Destination Host Unreachable"
	ping_says p1 "$(addr6 s2)" "From $(addr6 hub) .*Address unreachable"
	why_breaks to_online c1 s2
	why_breaks from c9 s2
	why_breaks to c1 10.42.42.77
	must "no remedy: $(cat $T/why)" grep -q remedy $T/why
}

test_a_policy_is_read_again_without_touching_a_session() {
	policy
	people c1 s1 s2
	hub_up
	everybody_is_there c1 s1 s2
	local before after begin
	equal "$(decided c1 s1 tcp 7000)" 'allow (by default)'
	before=$(wg show hub0 latest-handshakes)
	begin=$SECONDS
	hold
	policy 'deny c1 -> s2'
	kill -HUP $hub_pid
	wait_for 60 log_has 'policy applied' || fail "it is not applied"
	equal "$(decided c1 s2)" "deny ($T/policy:5: deny c1 -> s2)"
	equal "$(in_ns p1 "$traffic" cells 1000 "s2 $(addr4 s2) no" "s1 $(addr4 s1) yes")" \
		"s1 yes $(addr4 hub)"$'\n'"s2 no"
	ping_says p1 "$(addr4 s2)" 'Packet filtered'
	why_breaks policy c1 s2
	must "not by its line: $(cat $T/why)" grep -q 'policy:5: deny c1 -> s2' $T/why
	# A mistake changes nothing.
	policy 'alow any -> any'
	kill -HUP $hub_pid
	wait_for 60 log_has 'policy not applied why=.*policy:5: a line begins with' || fail "no word"
	equal "$(in_ns p1 "$traffic" cells 1000 "s2 $(addr4 s2) no")" "s2 no"
	# What a new policy forbids ends; the rest goes on.
	must "the connection is gone: $(cat $T/hold)" [ "$(cat $T/hold)" = open ]
	policy 'deny c1 -> s1'
	kill -HUP $hub_pid
	wait_for 60 peer_is c1 "p['flows'] == 0" || fail "the forbidden connection goes on"
	wait_for 60 grep -qE 'ECONNRESET|EPIPE' $T/hold || fail "its program hangs: $(cat $T/hold)"
	after=$(wg show hub0 latest-handshakes)
	same_sessions "$after" "$before" $begin
}

test_flows_are_in_the_log_by_names() {
	policy log-flows
	people c1 s1 w1
	hub_up
	everybody_is_there c1 s1 w1
	in_ns p1 "$traffic" tcp "$(addr4 s1)" 7000 >/dev/null
	wait_for 60 log_has "flow begin from=[^ ]* name=\"c1\" to=[^ ]* name=\"s1\" proto=6 .*dst=$(addr4 s1):7000 nat_port=[1-9]" ||
		fail "no begin: $(grep flow $T/hub0.log)"
	hold
	policy log-flows 'deny c1 -> s1'
	kill -HUP $hub_pid
	wait_for 60 log_has 'flow end from=[^ ]* name="c1" to=[^ ]* name="s1" proto=6 .* sent=[1-9][0-9]* received=[1-9][0-9]* .*why=policy' ||
		fail "no end: $(grep flow $T/hub0.log)"
	must "it is not logged that w1 is wide" log_has 'peer reach peer=[^ ]* name="w1" ipv4=wide'
	must "no group: $(shown)" grep -q '^  group: device$' <<<"$(shown)"
	must "s1 is not shown as stock: $(shown)" peer_is s1 "p['nat'] == 'auto' and p['wide'] == []"
}

test_a_hub_of_plain_peers_knows_no_difference() {
	people c1 s1
	ip netns exec hub "$wghub" up -f $T/hub0.conf >>$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids+=($hub_pid)
	wait_for 60 wg show hub0 || fail "the hub does not start"
	everybody_is_there c1 s1
	equal "$(decided s1 c1 tcp 80)" 'allow (by default)'
	must_not "the hub speaks for another" in_ns p1 ping -n -c 1 -W 1 "$(addr4 s1)"
}

run_tests "$@"
