#!/bin/bash
# quick.sh - a hub from a file: by wg-quick with wghub as its user-space program, and by wghub up.
. "$(dirname "$0")/lib.sh"

no_link() { ! ip -n hub link show hub0 >/dev/null 2>&1; }

# The hub's file, for N peers; more lines for [Interface] as arguments.
write_conf() {
	local n peers=$1
	shift
	(
		umask 077
		exec >$T/hub0.conf
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = %s/24, %s/64\n' \
			"$(cat $T/hub.key)" "$(inner4 0)" "$(inner6 0)"
		[ $# = 0 ] || printf '%s\n' "$@"
		for ((n = 1; n <= peers; n++)); do
			printf '\n[Peer]\n# friendly_name = press %s\nPublicKey = %s\nAllowedIPs = %s/32, %s/128\n' \
				"$n" "$(pub "p$n")" "$(inner4 "$n")" "$(inner6 "$n")"
		done
	)
}
quick() { in_ns hub env WG_QUICK_USERSPACE_IMPLEMENTATION="$wghub" wg-quick "$@" >>$T/quick.log 2>&1; }

test_wg_quick_up_and_down() {
	world 2
	write_conf 2 'MTU = 1400'
	quick up $T/hub0.conf
	equal "$(ip -n hub -br addr show hub0 | grep -o '10.42.42.1/24')" 10.42.42.1/24
	equal "$(in_ns hub cat /sys/class/net/hub0/mtu)" 1400
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner6 0)"
	ping_ok p1 "$(inner4 2)"
	quick down $T/hub0.conf
	wait_for 60 no_link || fail "the interface is still there"
	wait_for 60 test ! -e /run/wireguard/hub0.sock || fail "the socket is still there"
	quick up $T/hub0.conf # and again
	peer 1 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	quick down $T/hub0.conf
}

test_wg_quick_makes_routes_for_networks_behind_peers() {
	world 1
	write_conf 1
	printf 'AllowedIPs = 172.20.0.0/16\n' >>$T/hub0.conf
	quick up $T/hub0.conf
	must "no route" grep -q 'dev hub0' <<<"$(ip -n hub route get 172.20.1.1)"
	quick down $T/hub0.conf
}

test_wg_quick_with_two_hubs_and_hooks() {
	world 1
	write_conf 1 "PostUp = touch $T/hook-%i" "PostDown = rm $T/hook-%i"
	quick up $T/hub0.conf
	must "PostUp did not run" [ -e $T/hook-hub0 ]
	sed '/^\[Peer/,$d; s/51820/51821/; s/10.42.42.1/10.44.0.1/; s/fd42::/fd44::/' $T/hub0.conf >$T/hub1.conf
	chmod 600 $T/hub1.conf
	quick up $T/hub1.conf
	equal "$(wg show interfaces | wc -w)" 2
	quick down $T/hub1.conf
	quick down $T/hub0.conf
	must "PostDown did not run" [ ! -e $T/hook-hub0 ]
}

test_wghub_up_and_down() {
	world 2
	write_conf 2 'MTU = 1400'
	in_ns hub "$wghub" up $T/hub0.conf
	equal "$(ip -n hub -br addr show hub0 | grep -o '10.42.42.1/24')" 10.42.42.1/24
	equal "$(in_ns hub cat /sys/class/net/hub0/mtu)" 1400
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	ping_ok p2 "$(inner6 0)"
	ping_ok p1 "$(inner6 2)"
	"$wghub" show hub0 >$T/show.out
	must "show does not name a peer" grep -q 'press 2' $T/show.out
	in_ns hub "$wghub" down hub0
	must "the socket is still there" [ ! -e /run/wireguard/hub0.sock ]
	must "the interface is still there" no_link
	in_ns hub "$wghub" up $T/hub0.conf # at once again
	peer 1 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	in_ns hub "$wghub" down $T/hub0.conf
}

test_wghub_up_makes_routes_unless_table_is_off() {
	world 1
	write_conf 1
	printf 'AllowedIPs = 172.20.0.0/16\n' >>$T/hub0.conf
	in_ns hub "$wghub" up $T/hub0.conf
	must "no route" grep -q 'dev hub0' <<<"$(ip -n hub route get 172.20.1.1)"
	in_ns hub "$wghub" down hub0
	write_conf 1 'Table = off'
	printf 'AllowedIPs = 172.20.0.0/16\n' >>$T/hub0.conf
	in_ns hub "$wghub" up $T/hub0.conf
	must_not "a route in spite of Table = off" grep -q hub0 <<<"$(ip -n hub route show 172.20.0.0/16)"
	in_ns hub "$wghub" down hub0
}

test_dns_is_ignored_with_a_note() {
	world 1
	write_conf 1 'DNS = 192.0.2.53'
	in_ns hub "$wghub" up $T/hub0.conf 2>$T/note.out
	must "no note: $(cat $T/note.out)" grep -q DNS $T/note.out
	in_ns hub "$wghub" down hub0
}

test_hub_is_a_client_of_an_endpoint_by_name() {
	world 1
	write_conf 1
	printf 'Endpoint = localhost:7001\n' >>$T/hub0.conf
	in_ns hub "$wghub" up $T/hub0.conf
	found() { grep -qE '^(127.0.0.1|\[::1\]):7001$' <<<"$(endpoint_of hub0 p1)"; }
	wait_for 60 found || fail "localhost was not found: $(endpoint_of hub0 p1)"
	in_ns hub "$wghub" down hub0
}

test_endpoint_name_that_does_not_resolve_is_kept_and_the_rest_works() {
	world 2
	write_conf 2
	printf 'Endpoint = no-such-host.invalid:7001\n' >>$T/hub0.conf
	LOG_LEVEL=info ip netns exec hub "$wghub" up -f $T/hub0.conf >$T/hub0.log 2>&1 &
	hub_pids=($!)
	wait_for 60 wg show hub0
	equal "$(wg show hub0 peers | wc -l)" 2
	peer 1
	ping_ok p1 "$(inner4 0)"
	wait_for 60 grep -q 'no-such-host.invalid' $T/hub0.log || fail "the log does not name it"
}

test_hangup_reads_the_file_again_and_sessions_stay() {
	world 2
	write_conf 1
	ip netns exec hub "$wghub" up -f $T/hub0.conf >$T/hub0.log 2>&1 &
	hub_pids=($!)
	wait_for 60 has_link_and_port
	peer 1 persistent-keepalive 25
	peer 2 persistent-keepalive 25
	ping_ok p1 "$(inner4 0)"
	must "p1 loses pings" in_ns p1 ping -n -q -c 5 -i 0.05 -s 1000 -W 5 "$(inner4 0)" >/dev/null
	local before
	before=$(received_from hub0 p1)
	must_not "p2 is there already" ping_once p2 "$(inner4 0)"
	write_conf 2
	kill -HUP "${hub_pids[0]}"
	ping_ok p2 "$(inner4 0)"
	ping_ok p1 "$(inner4 2)"
	must "p1 was made anew" [ "$(received_from hub0 p1)" -ge "$before" ]
}
has_link_and_port() { listens hub -u 51820; }

run_tests "$@"
