#!/bin/bash
# events.sh - what happens at a hub, as JSON lines that are only ever appended.
. "$(dirname "$0")/lib.sh"

# said EVENT [MEMBER VALUE]: how many such lines there are; each line must be an object.
said() {
	python3 - $T/events "$@" <<-'EOT'
		import json, sys
		lines = [json.loads(line) for line in open(sys.argv[1])]
		assert all({"time", "event", "interface"} <= set(line) for line in lines)
		print(sum(l["event"] == sys.argv[2] and (len(sys.argv) < 5 or l.get(sys.argv[3]) == sys.argv[4]) for l in lines))
	EOT
}

test_peers_that_come_call_and_go_are_lines() {
	world 1
	hub 1 --events $T/events
	equal "$(stat -c %a $T/events)" 600
	equal "$(said hub_start interface hub0)" 1
	equal "$(said peer_added peer "$(pub p1)")" 1
	equal "$(said peer_added by wg)" 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	wait_for 10 eval '[ "$(said connect peer "$(pub p1)")" = 1 ]' || fail "$(cat $T/events)"
	wg set hub0 peer "$(pub p1)" persistent-keepalive 20
	equal "$(said peer_changed peer "$(pub p1)")" 1
	wg set hub0 peer "$(pub p1)" remove
	equal "$(said peer_removed peer "$(pub p1)")" 1
	must_not "a private key is told" grep -qF "$(cat $T/hub.key)" $T/events
	cp $T/events $T/before
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
	equal "$(said hub_end why SIGTERM)" 1
	hub 1 --events $T/events
	equal "$(head -c "$(stat -c %s $T/before)" $T/events | sha256sum)" "$(sha256sum <$T/before)" "what was written first"
	equal "$(said hub_start)" 2
}

run_tests "$@"
