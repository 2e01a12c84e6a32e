#!/bin/bash
# service.sh - the hub as a service: it gives root up and goes on working, tells its supervisor how it is, and
# serves on sockets that were opened for it.
. "$(dirname "$0")/lib.sh"

sock=/run/wireguard/hub0.sock

# A line of /proc/PID/task/TID/status
status_of() { sed -n "s/^$2:[ \t]*//p" "/proc/$hub_pid/task/${1:-$hub_pid}/status"; }
threads() { ls "/proc/$hub_pid/task"; }
keeper() { pgrep -P $hub_pid -x wghub-files; }
is_sandboxed() { ! grep -q 'sandbox off' $T/hub0.log; } # builds for sanitizers are not
listed() { "$wghub" show hub0 | grep -c "$1"; }

# up N [OPTION...]: a hub with N peers from a file that only root can reach.
up() {
	local peers=$1
	shift
	mkdir -p -m 700 $T/private
	conf_file $T/private/hub0.conf "$peers"
	[ "${1-}" != --again ] || return 0
	LOG_LEVEL=debug ip netns exec hub "$wghub" up -f "$@" $T/private/hub0.conf >$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids=($hub_pid)
	wait_for 60 wg show hub0 || fail "the hub does not start: $(cat $T/hub0.log)"
	wait_for 60 grep -q 'hub runs' $T/hub0.log
}

test_root_becomes_nobody_special_and_threads_still_less() {
	local tid
	world 1
	up 1
	is_sandboxed || return 0
	peer 1
	ping_ok p1 "$(inner4 0)"
	equal "$(status_of '' NoNewPrivs)" 1
	equal "$(status_of '' CapEff)$(status_of '' CapPrm)" 00000000000010000000000000001000 "CAP_NET_ADMIN alone"
	for tid in $(threads); do
		must "thread $tid is root" [ "$(status_of "$tid" Uid | cut -f2)" != 0 ]
		equal "$(status_of "$tid" Groups)" "" "groups of thread $tid"
		equal "$(status_of "$tid" CapBnd)" 0000000000000000 "thread $tid"
		equal "$(status_of "$tid" Seccomp)" 2 "thread $tid"
		[ "$tid" = $hub_pid ] || equal "$(status_of "$tid" CapPrm)" 0000000000000000 "thread $tid"
	done
	must "no thread but main" [ "$(threads | wc -l)" -gt 2 ]
	# The keeper stays root, for files alone.
	equal "$(sed -n 's/^CapPrm:[ \t]*//p' "/proc/$(keeper)/status")" 000000000000000f
	equal "$(sed -n 's/^Seccomp:[ \t]*//p' "/proc/$(keeper)/status")" 2
	equal "$(ls "/proc/$(keeper)/fd" | tr '\n' ' ')" "0 1 2 3 " "what it has open"
	local pid
	pid=$(keeper)
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
	must "the keeper has not ended" [ ! -e "/proc/$pid" ]
	must "the socket is still there" [ ! -e $sock ]
}

test_keeper_ends_with_a_hub_that_is_killed() {
	local pid
	world 1
	up 1
	is_sandboxed || return 0
	pid=$(keeper)
	kill -KILL $hub_pid
	wait $hub_pid || true
	hub_pids=()
	wait_for 60 test ! -e "/proc/$pid" || fail "it still runs"
}

test_without_tun_no_capability_is_kept() {
	world 1
	up 1 --no-tun
	is_sandboxed || return 0
	equal "$(status_of '' CapPrm)" 0000000000000000
	peer 1
	ping_ok p1 "$(inner4 0)"
}

test_file_of_root_is_read_again_with_sessions_kept() {
	local before
	world 2
	up 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	must "p1 loses pings" in_ns p1 ping -n -q -c 5 -i 0.05 -s 1000 -W 5 "$(inner4 0)" >/dev/null
	before=$(received_from hub0 p1)
	up 2 --again
	kill -HUP $hub_pid
	wait_for 60 grep -q 'conf applied added=1' $T/hub0.log || fail "$(tail -2 $T/hub0.log)"
	peer 2
	ping_ok p2 "$(inner4 1)"
	must "p1 was made anew" [ "$(received_from hub0 p1)" -ge "$before" ]
	# A file that became worse changes nothing, and one that is gone neither.
	echo nonsense >>$T/private/hub0.conf
	kill -HUP $hub_pid
	wait_for 60 grep -q 'conf not applied why=".*hub0.conf:1' $T/hub0.log
	rm $T/private/hub0.conf
	kill -HUP $hub_pid
	wait_for 60 grep -q 'conf not applied why=".*no such file' $T/hub0.log
	ping_ok p2 "$(inner4 1)"
}

test_interface_and_port_change_after_root_is_gone() {
	world 1
	up 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	wg set hub0 listen-port 51900 fwmark 7
	wait_for 60 listens hub -u 51900
	wg set wg1 peer "$(pub hub)" endpoint 10.99.1.1:51900
	ping_ok p1 "$(inner4 0)"
	ip -n hub link set hub0 down
	wait_for 60 eval '! listens hub -u 51900'
	ip -n hub link set hub0 up # without its sessions
	wait_for 60 listens hub -u 51900
	peer 1
	wg set wg1 peer "$(pub hub)" endpoint 10.99.1.1:51900
	ping_ok p1 "$(inner4 0)"
}

test_user_of_choice_or_root_with_everything() {
	world 1
	up 1 --user daemon
	if is_sandboxed; then
		equal "$(stat -c %U /proc/$hub_pid/task/$hub_pid/status)$(status_of '' Uid | cut -f2)" \
			"root$(id -u daemon)" # root: others must not look into it
	fi
	kill -TERM $hub_pid
	wait $hub_pid
	up 1 --no-sandbox
	equal "$(status_of '' Uid | cut -f2)" 0
	equal "$(status_of '' Seccomp)" 0
	must "there is no line about it" grep -q 'sandbox off' $T/hub0.log
	must_not "there is a keeper" keeper
}

# ---- a supervisor ----

# Prints what it is told, a line each, into $T/told.
listen_to_it() {
	python3 - $T/notify >$T/told 2>$T/told.log <<-'EOF' &
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1])
		while True:
		    print(s.recv(1000).decode().replace("\n", " "), flush=True)
	EOF
	wait_for 60 test -S $T/notify
}
told() { grep -c "^$1" $T/told; }

test_supervisor_is_told_of_each_state() {
	world 1
	listen_to_it
	export NOTIFY_SOCKET=$T/notify WATCHDOG_USEC=600000
	up 1
	wait_for 60 told 'READY=1 STATUS=hub0: UDP port 51820, 1 peers' || fail "$(cat $T/told)"
	wait_for 60 eval '[ "$(told WATCHDOG=1)" -ge 3 ]' || fail "it does not show that it lives"
	up 1 --again
	kill -HUP $hub_pid
	wait_for 60 told 'RELOADING=1 MONOTONIC_USEC=[0-9]'
	wait_for 60 eval '[ "$(told READY=1)" = 2 ]'
	kill -TERM $hub_pid
	wait_for 60 told 'STOPPING=1 STATUS=ends: SIGTERM'
	wait $hub_pid
	hub_pids=()
}

test_hub_that_cannot_start_is_never_ready() {
	local code=0
	world 1
	listen_to_it
	export NOTIFY_SOCKET=$T/notify
	up 1 --no-tun
	wait_for 60 told READY=1
	in_ns hub "$wghub" up -f --no-tun $T/private/hub0.conf >$T/second.out 2>&1 || code=$?
	equal $code 1
	equal "$(told READY=1)" 1
}

# ---- sockets opened by the supervisor ----

# activated [OPTION...]: with a UDP socket of each family on port 51820 and a UAPI socket.
activated() {
	cat >$T/activate.py <<-'EOF'
		import os, socket, sys
		four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		four.bind(("0.0.0.0", 51820))
		six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
		six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
		six.bind(("::", 51820))
		uapi = socket.socket(socket.AF_UNIX)
		uapi.bind(sys.argv[1])
		uapi.listen()
		for i, s in enumerate([four, six, uapi]):
		    os.dup2(os.dup(s.fileno()), 103 + i)
		for i in range(3):
		    os.dup2(103 + i, 3 + i, True)
		os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="3", LISTEN_FDNAMES="udp:udp:uapi")
		os.execv(sys.argv[2], sys.argv[2:])
	EOF
	ip netns exec hub python3 $T/activate.py $sock "$wghub" up -f "$@" $T/private/hub0.conf >$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids=($hub_pid)
	wait_for 60 grep -q 'hub runs' $T/hub0.log || fail "the hub does not start: $(cat $T/hub0.log)"
}

test_sockets_that_were_opened_for_it_are_served() {
	world 1
	up 1 --again
	activated
	peer 1
	ping_ok p1 "$(inner4 0)"
	wg set wg1 peer "$(pub hub)" endpoint "[fd99:1::1]:51820"
	ping_ok p1 "$(inner6 0)"
	equal "$(wg show hub0 listen-port)" 51820
	equal "$(in_ns hub ss -Hlnu 'sport = :51820' | wc -l)" 2 "sockets on the port"
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
	must "the supervisor's socket was removed" [ -S $sock ]
}

test_sockets_that_were_opened_for_it_serve_without_tun() {
	world 2
	up 2 --again
	activated --no-tun
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
}

run_tests "$@"
