#!/bin/bash
# life.sh - how a hub starts, lives beside another, and ends: as wireguard-go does, leaving nothing.
. "$(dirname "$0")/lib.sh"

sock=/run/wireguard/hub0.sock
gone() { ! kill -0 "$1" 2>/dev/null; }
link_is_there() { ip -n hub link show "${1:-hub0}" >/dev/null 2>&1; }
no_link() { ! link_is_there "$@"; }
hub_alone() {
	new_ns hub
	make_key hub
	hub_start hub0 "$@"
	wg set hub0 private-key $T/hub.key
}
# The hub has ended by itself, well, and left nothing.
must_have_ended() {
	wait_for 60 gone $hub_pid || fail "the hub still runs"
	wait $hub_pid || fail "the hub ended with code $?"
	hub_pids=()
	must "its socket is still there" [ ! -e $sock ]
	must_not "its interface is still there" link_is_there
}
test_sigterm_ends_it_and_leaves_nothing() {
	hub_alone
	must "no interface" link_is_there
	kill -TERM $hub_pid
	must_have_ended
	must "the log does not tell of it" grep -q "hub ends" $T/hub0.log
}

test_sigint_ends_it() {
	new_ns hub
	# A script's children in the background ignore SIGINT unless told otherwise.
	env --default-signal=INT ip netns exec hub "$wghub" -f hub0 >$T/hub0.log 2>&1 &
	hub_pid=$!
	wait_for 60 wg show hub0
	kill -INT $hub_pid
	must_have_ended
}

test_removing_the_socket_ends_it() {
	hub_alone
	rm $sock
	must_have_ended
}

test_removing_the_interface_ends_it() {
	hub_alone
	ip -n hub link del hub0
	must_have_ended
}

test_it_ends_under_traffic() {
	world 2
	hub 2
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
	in_ns p2 iperf3 -s -D
	wait_for 60 listens p2 -t 5201
	(in_ns p1 timeout 10 iperf3 -c "$(inner4 2)" -t 5 >/dev/null 2>&1 || true) &
	sleep 1
	kill -TERM $hub_pid
	must_have_ended
}

test_background_start_returns_when_it_is_ready() {
	new_ns hub
	make_key hub
	in_ns hub "$wghub" hub0
	must "no socket" [ -S $sock ]
	must "no interface" link_is_there
	wg set hub0 private-key $T/hub.key # at once, no waiting
	must "others can use its socket: $(stat -c %A $sock)" grep -q '00$' <<<"$(stat -c %a $sock)"
	# Not by name: other hubs may run on this machine. The one that keeps files is its child.
	hub_pid=$(ip netns pids hub | sort -n | head -1)
	must "it still has the caller's directory" [ "/proc/$hub_pid/cwd" -ef / ]
	kill -TERM "$hub_pid"
	wait_for 60 test ! -e $sock || fail "it does not end"
	wait_for 60 no_link || fail "its interface is still there"
}

test_background_start_that_fails_says_so() {
	hub_alone
	local code=0
	in_ns hub "$wghub" hub0 >$T/second.out 2>&1 || code=$?
	equal $code 1 "exit code of a second hub of that name"
	equal "$(wc -l <$T/second.out)" 1 "lines: $(cat $T/second.out)"
	equal "$(wg show hub0 public-key)" "$(pub hub)" "the first hub's key"
}

test_two_hubs_on_one_machine() {
	world 2
	hub_start hub0
	hub_set_up
	hub_add 1
	hub_start hub1
	make_key hub1
	wg set hub1 private-key $T/hub1.key listen-port 51821 \
		peer "$(pub p2)" allowed-ips 10.43.0.2/32
	ip -n hub addr add 10.43.0.1/24 dev hub1
	ip -n hub link set hub1 up
	peer 1
	wggo 2
	ip -n p2 addr add 10.43.0.2/24 dev wg2
	wg set wg2 peer "$(pub hub1)" allowed-ips 10.43.0.0/24 endpoint 10.99.2.1:51821
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 10.43.0.1
	equal "$(wg show interfaces | tr ' ' '\n' | grep -c hub)" 2
	kill -TERM "${hub_pids[1]}"
	wait "${hub_pids[1]}"
	hub_pids=("${hub_pids[0]}")
	ping_ok p1 "$(inner4 0)" # the other one does not care
	must_not "hub1 is still there" link_is_there hub1
}

test_stale_socket_of_a_killed_hub_is_replaced() {
	hub_alone
	kill -KILL $hub_pid
	wait $hub_pid 2>/dev/null || true
	hub_pids=()
	must "a killed hub left no socket: the test is void" [ -S $sock ]
	hub_start hub0
	equal "$(wg show hub0)" "interface: hub0"
}

test_no_secret_in_arguments_environment_or_log() {
	world 1
	(umask 077; wg genpsk >$T/psk)
	printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = %s/24\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = %s/32\n' \
		"$(cat $T/hub.key)" "$(inner4 0)" "$(pub p1)" "$(cat $T/psk)" "$(inner4 1)" >$T/hub0.conf
	chmod 600 $T/hub0.conf
	LOG_LEVEL=debug ip netns exec hub "$wghub" up -f $T/hub0.conf >$T/hub0.log 2>&1 &
	hub_pids=($!)
	wait_for 60 wg show hub0
	peer 1 preshared-key $T/psk
	ping_ok p1 "$(inner4 0)"
	"$wghub" show hub0 >$T/show.out
	"$wghub" show hub0 --json >>$T/show.out
	local secret form
	for secret in $T/hub.key $T/psk; do
		for form in "$(cat $secret)" "$(base64 -d <$secret | od -An -v -tx1 | tr -d ' \n')"; do
			must_not "a secret is in an argument" \
				grep -aqiF -- "$form" "/proc/${hub_pids[0]}/cmdline" "/proc/${hub_pids[0]}/environ"
			must_not "a secret is in the log" grep -aqiF -- "$form" $T/hub0.log
			must_not "a secret is in the output of show" grep -aqiF -- "$form" $T/show.out
		done
	done
	must_not "the hub may leave a core dump with keys" \
		grep -q '^Max core file size *[1-9u]' "/proc/${hub_pids[0]}/limits"
}

test_tun_name_file_is_written() {
	new_ns hub
	WG_TUN_NAME_FILE=$T/name in_ns hub "$wghub" hub0
	equal "$(cat $T/name)" hub0 "content of WG_TUN_NAME_FILE"
	"$wghub" down hub0
	must "its socket is still there" [ ! -e $sock ]
}

test_interface_goes_down_and_up_again() {
	world 1
	hub 1
	peer 1 persistent-keepalive 1
	ping_ok p1 "$(inner4 0)"
	ip -n hub link set hub0 down
	wait_for 60 eval '! listens hub -u 51820' || fail "its port is still open"
	must_not "a ping passes" ping_once p1 "$(inner4 0)"
	ip -n hub link set hub0 up
	ping_ok hub "$(inner4 1)"
}

run_tests "$@"
