#!/bin/bash
# events.sh - what happens at a hub, as JSON lines that are only ever appended.
. "$(dirname "$0")/lib.sh"
. tests/lib/events.sh

is_sandboxed() { ! grep -q 'sandbox off' $T/hub0.log; } # builds for sanitizers are not

# up [OPTION...]: a hub from $T/private/hub0.conf, which only root can reach; pid in $hub_pid.
up() {
	LOG_LEVEL=debug ip netns exec hub "$wghub" up -f "$@" $T/private/hub0.conf >$T/hub0.out 2>$T/hub0.log &
	hub_pid=$!
	hub_pids=($hub_pid)
	wait_for 60 grep -q 'hub runs' $T/hub0.log || fail "the hub does not start: $(cat $T/hub0.log)"
}

# conf N: that file with peers p1 to pN.
conf() {
	local n
	mkdir -p -m 700 $T/private
	(
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = %s/24\n' \
			"$(cat $T/hub.key)" "$(inner4 0)"
		for ((n = 1; n <= $1; n++)); do
			printf '[Peer]\n# printer %s\nPublicKey = %s\nAllowedIPs = %s/32\n' \
				"$n" "$(pub "p$n")" "$(inner4 "$n")"
		done
	) >$T/private/hub0.conf
	chmod 600 $T/private/hub0.conf
}

ended() {
	kill -"${1:-TERM}" $hub_pid
	wait $hub_pid || [ "${1-}" = KILL ]
	hub_pids=()
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
	wait_for 60 eval '[ "$(said connect peer "$(pub p1)")" = 1 ]' || fail "$(cat $T/events)"
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

test_standard_output_has_them_too() {
	world 1
	conf 1
	up --no-tun --events -
	ended
	equal "$(said hub_start)$(events=$T/hub0.out said hub_start)" 01
	equal "$(events=$T/hub0.out said peer_added by conf)" 1
	equal "$(events=$T/hub0.out said hub_end)" 1
}

# Root's file in root's folder: after root is gone the keeper opens it again, and nothing else.
test_file_is_rotated_by_a_hub_that_is_not_root_any_more() {
	world 1
	conf 1
	mkdir -m 700 $T/log
	events=$T/log/events
	up --no-tun --events $events
	kill -HUP $hub_pid
	wait_for 60 eval '[ "$(grep -c "conf applied" $T/hub0.log)" = 2 ]'
	equal "$(said hub_start)" 1
	mv $events $events.1
	wg set hub0 peer "$(pub p1)" persistent-keepalive 20
	equal "$(events=$events.1 said peer_changed)" 1 "until it is told"
	kill -HUP $hub_pid
	wait_for 60 test -e $events || fail "$(cat $T/hub0.log)"
	equal "$(stat -c %a $events)" 600
	wg set hub0 peer "$(pub p1)" remove
	equal "$(said peer_removed by wg)" 1
	equal "$(events=$events.1 said peer_removed)" 0
	# A link there is not followed: lines go on into the file from before.
	mv $events $events.2
	ln -s $T/log/elsewhere $events
	kill -HUP $hub_pid
	wait_for 60 grep -q 'events file not opened again' $T/hub0.log
	must "the link was followed" [ ! -e $T/log/elsewhere ]
	rm $events
	ended
	equal "$(events=$events.2 said hub_end)" 1
}

test_hub_without_a_conf_file_rotates_too() {
	world 1
	hub 1 --events $T/events
	mv $T/events $T/events.1
	kill -HUP $hub_pid
	wait_for 60 test -e $T/events
	ended
	equal "$(said hub_end why SIGTERM)" 1
}

# ---- the command ----

# What it writes goes to a folder that its user may write in.
command_folder() { mkdir -m 1777 $T/open; }
helper() { pgrep -P $hub_pid -x wghub-events; }

test_command_gets_every_line_without_any_right() {
	world 1
	conf 1
	command_folder
	APITOKEN=secret up --events $T/events --events-command \
		"cat >>$T/open/told; id -u >$T/open/id; env >$T/open/env; grep -E 'Cap|NoNew' /proc/self/status >$T/open/status"
	must "no process of its own" helper
	wg set hub0 peer "$(pub p1)" persistent-keepalive 20
	wait_for 60 eval '[ "$(events=$T/open/told said peer_changed)" = 1 ]' || fail "$(tail -3 $T/hub0.log)"
	ended
	must "it has not got what the file has" cmp $T/open/told $T/events
	equal "$(said hub_end)" 1 "also in what it got"
	must_not "it knows a secret" grep -q APITOKEN $T/open/env
	is_sandboxed || return 0
	must "it is root" [ "$(cat $T/open/id)" != 0 ]
	equal "$(grep -c '0000000000000000$' $T/open/status)" 5 "$(cat $T/open/status)"
	equal "$(sed -n 's/^NoNewPrivs:[ \t]*//p' $T/open/status)" 1
}

test_command_process_ends_with_a_hub_that_is_killed() {
	local pid
	world 1
	conf 1
	up --no-tun --events-command 'cat >/dev/null'
	pid=$(helper)
	ended KILL
	wait_for 60 test ! -e "/proc/$pid" || fail "it still runs"
}

# No packet waits for a command that does not come back, and neither does a change or the end.
test_command_that_hangs_or_fails_delays_nobody() {
	world 1
	conf 1
	command_folder
	up --no-tun --events $T/events --events-command "echo . >>$T/open/runs; sleep 1000"
	peer 1
	ping_ok p1 "$(inner4 0)"
	wait_for 60 test -e $T/open/runs
	wg set hub0 peer "$(pub p1)" persistent-keepalive 20
	ping_ok p1 "$(inner4 0)"
	equal "$(said peer_changed)" 1
	ended
	up --no-tun --events-command 'echo it is broken >&2; exit 7'
	wait_for 60 grep -q 'events command failed why="exit code 7"' $T/hub0.log
	must "what it says is not in the log" grep -q '^it is broken$' $T/hub0.log
}

run_tests "$@"
