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

# A peer whose datagrams come from elsewhere, as after a change of networks.
test_peer_that_moves_is_a_line_with_its_new_place() {
	world 2
	conf 1
	up --events $T/events
	equal "$(said peer_added peer "$(pub p1)" name "printer 1" by conf allowed_ips "$(inner4 1)/32")" 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	equal "$(said roam)" 0
	ip -n p1 addr add 10.99.1.3/24 dev cable
	ip -n p1 addr del 10.99.1.2/24 dev cable
	ip -n p1 addr replace 10.99.1.3/24 dev cable # the kernel takes it away with the first one
	wg set wg1 listen-port 40404 # a socket without the address from before
	wait_for 60 eval 'ping_once p1 "$(inner4 0)" && [ "$(said roam name "printer 1" endpoint 10.99.1.3:40404)" = 1 ]' ||
		fail "$(tail -2 $T/events)"
}

test_change_is_told_with_who_asked_and_what_for() {
	world 2
	conf 1
	up --events $T/events
	wg set hub0 peer "$(pub p2)" allowed-ips "$(inner4 2)/32" endpoint 10.99.2.2:7
	equal "$(said peer_added peer "$(pub p2)" by wg uid 0 allowed_ips "$(inner4 2)/32" endpoint 10.99.2.2:7)" 1
	# The same again is no news, and neither is a file that says what is there.
	wg set hub0 peer "$(pub p2)" allowed-ips "$(inner4 2)/32"
	wg showconf hub0 >$T/same.conf
	wg syncconf hub0 $T/same.conf
	equal "$(said peer_changed by wg)$(said key_changed by wg)$(said port_changed by wg)" 000
	wg set hub0 peer "$(pub p2)" allowed-ips "$(inner4 1)/32"
	equal "$(said peer_changed what allowed_ips allowed_ips "$(inner4 1)/32" uid 0)" 1
	wait_for 60 eval '[ "$(said conflict peer "$(pub p2)" from "$(pub p1)" prefix "$(inner4 1)/32")" = 1 ]' ||
		fail "$(tail -3 $T/events)"
	wg set hub0 listen-port 51821 fwmark 3
	equal "$(said port_changed by wg port 51821)$(said fwmark_changed fwmark 3)" 11
	make_key other
	wg set hub0 private-key $T/other.key
	equal "$(said key_changed by wg uid 0)" 1
	# What is refused, and a file that is wrong.
	in_ns hub socat -u UDP-RECV:52000 - &
	wait_for 60 listens hub -u 52000
	must_not "a port that is in use" wg set hub0 listen-port 52000 2>/dev/null
	equal "$(said change_refused by wg uid 0)" 1
	echo nonsense >>$T/private/hub0.conf
	kill -HUP $hub_pid
	wait_for 60 eval '[ "$(said change_refused by conf)" = 1 ]'
	grep change_refused $T/events | grep -q 'hub0.conf:'
}

test_policy_is_told_when_it_changes_and_when_it_is_refused() {
	world 2
	conf 2
	printf 'log-flows\nping peer -> peer\n' >$T/private/rules
	up --no-tun --events $T/events --policy $T/private/rules
	equal "$(said policy_changed file $T/private/rules lines 2)" 1
	peer 1
	peer 2
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
	wait_for 60 eval '[ "$(said flow_begin from "$(pub p1)" to "$(pub p2)" proto 1)" -ge 1 ]' || fail "$(cat $T/events)"
	echo 'allow nobody ->' >$T/private/rules
	kill -HUP $hub_pid
	wait_for 60 eval '[ "$(said policy_refused file $T/private/rules)" = 1 ]' || fail "$(tail -3 $T/hub0.log)"
	printf 'log-flows\ndeny peer -> peer\n\n' >$T/private/rules
	kill -HUP $hub_pid
	wait_for 60 eval '[ "$(said policy_changed lines 2)" = 2 ]' || fail "$(tail -3 $T/hub0.log)"
	wait_for 60 eval '[ "$(said flow_end from "$(pub p1)" why policy)" -ge 1 ]' || fail "$(tail -3 $T/events)"
}

test_offload_that_is_lost_is_a_line_at_the_start_and_later() {
	world 2
	conf 2
	# Linux refuses segmented sends without checksum.
	cat >$T/activate.py <<-'EOF'
		import os, socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
		s.setsockopt(socket.SOL_SOCKET, 11, 1)
		s.bind(("0.0.0.0", 51820))
		os.dup2(os.dup(s.fileno()), 3, True)
		os.set_inheritable(3, True)
		os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
		os.execv(sys.argv[1], sys.argv[1:])
	EOF
	ip netns exec hub python3 $T/activate.py "$wghub" up -f --no-tun --events $T/events $T/private/hub0.conf >$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids=($hub_pid)
	wait_for 60 grep -q 'hub runs' $T/hub0.log || fail "$(cat $T/hub0.log)"
	equal "$(said offload_fallback when running)" 0
	peer 1
	peer 2
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner4 0)"
	random_file file 4
	bursts_are_refused() {
		send_udp p1 p2 "$(inner4 2)" $T/file gso
		[ "$(said offload_fallback offload udp-gso when running)" = 1 ]
	}
	wait_for 60 bursts_are_refused || fail "$(tail -3 $T/hub0.log)"
	"$wghub" show hub0 | grep -q 'offload:.*udp-gso' && fail "it is still in use" || true
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
	wait_for 60 helper || fail "no process of its own"
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
	wait_for 60 helper || fail "no process of its own"
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
