#!/bin/bash
# notun.sh - a hub without TUN, run by a user without any privilege: stock peers reach each other
# through it and can ping its own addresses.
. "$(dirname "$0")/lib.sh"

user=nobody
as_user() { setpriv --reuid=$user --regid=nogroup --clear-groups --bounding-set=-all --no-new-privs "$@"; }

# A hub without TUN for N peers, as $user, from a file of that user: notun N [OPTION...]
notun() {
	local peers=$1
	shift
	install -d -o $user -m 700 $T/user $T/user/sockets
	conf_file $T/user/hub0.conf "$peers"
	chown $user $T/user/hub0.conf
	# The program may lie where this user cannot go.
	[ -e $T/user/wghub ] || install -m 755 "$wghub" $T/user/wghub
	ip netns exec hub setpriv --reuid=$user --regid=nogroup --clear-groups --bounding-set=-all \
		--no-new-privs $T/user/wghub up -f --no-tun \
		--socket-dir $T/user/sockets "$@" $T/user/hub0.conf >$T/hub0.log 2>&1 &
	hub_pids=($!)
	wait_for 60 listens hub -u 51820 || fail "the hub does not start: $(cat $T/hub0.log)"
}
show() { as_user $T/user/wghub show --socket-dir $T/user/sockets "$@"; }

test_unprivileged_hub_connects_two_stock_peers() {
	world 2
	notun 2
	equal "$(stat -c %U "/proc/${hub_pids[0]}")" $user
	equal "$(sed -n 's/^CapEff:\t//p' "/proc/${hub_pids[0]}/status")" 0000000000000000
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner6 0)"
	ping_ok p2 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
	ping_ok p2 "$(inner6 1)"
	random_file file 8
	send_tcp p1 p2 "$(inner4 2)" $T/file
	send_udp p2 p1 "$(inner6 1)" $T/file gso
	must "there is an interface" [ "$(ip -n hub -br link | grep -cv -e '^lo' -e '^to-p')" = 0 ]
}

test_large_and_many_pings_of_the_hub() {
	world 1
	notun 1
	peer 1
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner4 0)" -s 1392 -M do
	ping_ok p1 "$(inner6 0)" -s 1372 -M do
	flow_begin p1 "$(inner4 0)" -i 0.01
	flow_end 200
	equal $lost 0 "lost pings"
}

test_traceroute_shows_it_and_its_closed_ports() {
	world 2
	notun 2
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
	hops p1 "$(inner4 2)" "$(inner4 0)" "$(inner4 2)"
	hops p1 "$(inner4 0)" "$(inner4 0)" # which reports that its port is closed
	must_not "a TCP port of the hub is open" \
		in_ns p1 timeout 3 bash -c "echo >/dev/tcp/$(inner4 0)/22" 2>/dev/null
	must "the drops are not counted" grep -q no_host <<<"$(show hub0)"
}

test_two_workers_and_no_offload() {
	world 2
	notun 2 --workers 2 --no-offload
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
	random_file file 8
	send_tcp p1 p2 "$(inner4 2)" $T/file
	send_udp p2 p1 "$(inner4 1)" $T/file
}

test_outer_ipv6() {
	world 2
	notun 2
	peer 1 persistent-keepalive 25 endpoint '[fd99:1::1]:51820'
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
}

test_peers_on_the_loopback_of_the_hubs_machine() {
	world 1
	notun 1
	# The peer's interface is made in the hub's namespace, so its datagrams come from 127.0.0.1.
	in_ns hub wireguard-go wg1 >$T/wg1.log 2>&1
	wait_for 60 wg show wg1
	wg set wg1 private-key $T/p1.key peer "$(pub hub)" allowed-ips "$(inner4 0)/32" endpoint 127.0.0.1:51820
	ip -n hub addr add "$(inner4 1)/24" dev wg1
	ip -n hub link set wg1 up
	ping_ok hub "$(inner4 0)"
}

test_without_privilege_a_tun_is_refused_in_one_line() {
	world 1
	notun 1
	local code=0
	in_ns hub setpriv --reuid=$user --regid=nogroup --clear-groups --bounding-set=-all --no-new-privs \
		$T/user/wghub -f --socket-dir $T/user/sockets hub9 2>$T/refused || code=$?
	equal $code 1 "exit code"
	equal "$(wc -l <$T/refused)" 1 "lines: $(cat $T/refused)"
	must "it does not say what to do: $(cat $T/refused)" grep -q -e '--no-tun' $T/refused
}

run_tests "$@"
