#!/bin/bash
# test_scan.sh - a device cannot open anything: from a stock and from a wide device to every port of
# every address, and nothing gets anywhere but what the policy lets through.
. "$(dirname "$0")/lib.sh"

declare -A watchers

watch() { # NAME
	local at=wg${number[$1]-}
	[ "$1" != hub ] || at=hub0
	ip netns exec "$(ns_of "$1")" tests/reach/scan.py watch "$at" 10.42.42.250 >"$T/watch-$1" &
	watchers[$1]=$!
	wait_for 60 grep -q watching "$T/watch-$1" || fail "nobody watches at $1"
}
# What came in there, in one line.
came() {
	kill -TERM "${watchers[$1]}"
	wait_for 60 grep -q '^end$' "$T/watch-$1" || fail "the watcher of $1 does not end"
	grep -vx -e watching -e end "$T/watch-$1" | paste -sd,
}

# How many packets of this peer the hub counts as dropped.
dropped() {
	"$wghub" show hub0 --json | python3 -c "import json, sys
p = [p for p in json.load(sys.stdin)['hub0']['peers'] if p['name'] == '$1'][0]
print(sum(p['drops'].values()))"
}

# scan FROM TO...: prints how many packets left
scan() {
	local from=$1 name words=()
	shift
	for name in "$@"; do words+=("$(addr4 "$name")"); done
	in_ns "$(ns_of "$from")" tests/reach/scan.py scan "$(addr4 "$from")" "$(addr4 hub)" "${words[@]}"
}

begin() {
	people c1 s1 s2 w1
	hub_up "$@"
	everybody_is_there c1 s1 s2 w1
	# While an engineer has a connection to each of them.
	local name
	: >$T/hold
	for name in s1 w1; do
		(in_ns p1 "$traffic" hold "$(addr4 $name)" >>$T/hold 2>&1 || true) &
	done
	wait_for 60 eval '[ "$(grep -c open $T/hold)" = 2 ]' || fail "no connections"
}

test_a_stock_device_finds_only_what_the_policy_allows() {
	policy 'allow device -> host tcp 22,8000-8001' 'forward 8883/tcp -> c1:7000 from s1'
	begin
	local name sent
	for name in hub c1 s2 w1; do watch $name; done
	sent=$(scan s1 hub c1 s2 w1)
	equal "$(came hub)" "icmp 8,tcp 22,tcp 8000,tcp 8001"
	equal "$(came c1)" "tcp 7000"
	equal "$(came s2)$(came w1)" ""
	equal "$sent" "$((4 * 131072)) 0"
	# Only what is for the hub left the device itself.
	must "the hub saw only $(dropped s1) of them" [ "$(dropped s1)" -ge 130000 ]
	must "the engineer's connections: $(cat $T/hold)" [ "$(cat $T/hold)" = $'open\nopen' ]
}

test_a_wide_device_finds_only_what_the_policy_allows() {
	policy 'allow w1 -> s2 udp 514'
	begin
	local name sent
	for name in hub c1 s1 s2; do watch $name; done
	sent=$(scan w1 hub c1 s1 s2)
	equal "$(came hub)" "icmp 8"
	equal "$(came c1)" ""
	equal "$(came s1)" ""
	equal "$(came s2)" "udp 514"
	equal "$sent" "$((4 * 131072)) 0"
	must "the hub saw only $(dropped w1) of them" [ "$(dropped w1)" -ge 520000 ]
	must "the engineer's connections: $(cat $T/hold)" [ "$(cat $T/hold)" = $'open\nopen' ]
}

run_tests "$@"
