#!/bin/bash
# e2e.sh - a hub that follows the test Factory, with stock devices, a device whose allowed-ips is the
# whole network ("wide"), and an engineer from the clients file: all wireguard-go.
#
#   p1, p2 stock devices press-1, press-2    p3 the engineer, 10.42.42.254    p4 the wide device
#
# The hub's outer address is 10.99.0.1, port 5555. Its own kernel forwards nothing.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh

dev=tests/factory/device.sh
fio="in_ns hub tests/factory/fioctl.py"
engineer_ip=10.42.42.254

ctl() { factory_ctl "$@" >/dev/null; }
address_of() {
	factory_ctl state | factory_get \
		"[f['value'].split('address=')[1].split()[0] for d in j['devices']
		if d['name'] == '$1' for f in d['active-config']['files']][0]"
}
publish() {
	ctl config "{\"unencrypted\": true, \"value\": \"endpoint=10.99.0.1:5555\nserver_address=10.42.42.1\npubkey=$(pub hub)${1-}\"}"
}

# The Factory listens on loopback of the hub's namespace; its control is a socket for all.
factory_in_hub() {
	local lines
	lines=$(in_ns hub tests/factory/server.py --background --dir $T/f)
	eval "$lines"
	export ${!FACTORY_*}
}

# daemon [OPTION...]: the hub, one sync a second. Log in $T/hub0.log.
daemon() {
	ip netns exec hub env LOG_LEVEL=debug "$wghub" --factory "$FACTORY_NAME" --oauthcreds $T/token \
		--privatekey $T/hub.key --intf-name hub0 --no-sysctl --api-url "$FACTORY_URL" \
		--ca-file "$FACTORY_CA" --state-dir $T/state --clients-file $T/clients \
		--hosts-file $T/hosts "$@" daemon -i 1 >>$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids+=($hub_pid)
	wait_for 20 wg show hub0 || fail "the hub does not start: $(tail -3 $T/hub0.log)"
}

# device N [wide]: enabled, with its interface. The hub is told before the device calls: a first call
# to a hub that does not know it would be repeated after five seconds.
device() {
	$dev new "press-$1" "p$1" ${2-}
	$dev checkin "press-$1"
	$fio devices config wireguard "press-$1" enable
	kill -HUP $hub_pid
	wait_for 10 has_key "$($dev key "press-$1")" || fail "press-$1 does not become a peer"
	$dev checkin "press-$1"
}

engineer() {
	in_ns p3 wireguard-go wg3 >$T/wg3.log 2>&1
	wait_for 10 wg show wg3
	wg set wg3 private-key $T/p3.key peer "$(pub hub)" allowed-ips 10.42.42.0/24 endpoint 10.99.0.1:5555
	ip -n p3 addr add $engineer_ip/24 dev wg3
	ip -n p3 link set wg3 up
}

everybody() { # [DAEMON-OPTION...]
	local n
	world 4
	ip -n hub addr add 10.99.0.1/32 dev lo
	for n in 1 2 3 4; do ip -n p$n route add 10.99.0.1 via 10.99.$n.1; done
	factory_in_hub
	publish
	(umask 077 && echo "$FACTORY_TOKEN" >$T/token)
	echo "127.0.0.1 localhost" >$T/hosts
	echo "$(pub p3) $engineer_ip bench laptop" >$T/clients
	daemon "$@"
	for n in 1 2; do device $n; done
	device 4 wide
	engineer
	wait_for 10 peers_are 4 || fail "not everybody is a peer: $(wg show hub0)"
	wide_ip=$(address_of press-4)
	ping_ok p3 "$wide_ip"
}

peers_are() { [ "$(wg show hub0 peers | wc -l)" = "$1" ]; }
has_peer() { wg show hub0 allowed-ips | grep -qxF "$1	$2/32"; }
has_key() { wg show hub0 peers | grep -qxF "$1"; }
synced_since() { # N: two more rounds than there were, so one of them began after now
	[ "$(factory_ctl counts | factory_get "j.get('GET /ota/factories/$FACTORY_NAME/wireguard-ips/', 0)")" -ge $(($1 + 2)) ]
}
rounds() { factory_ctl counts | factory_get "j.get('GET /ota/factories/$FACTORY_NAME/wireguard-ips/', 0)"; }
a_round() { local n; n=$(rounds); wait_for 10 synced_since "$n"; }

# A ping at 100 Hz from the engineer to the wide device, until ping_ends AT_LEAST: none may be lost.
ping_begins() {
	in_ns p3 stdbuf -oL ping -n -i 0.01 "$wide_ip" >$T/ping.out 2>&1 &
	ping_pid=$!
	sleep 0.3
}
ping_ends() {
	local n
	sleep 0.3
	kill -TERM $ping_pid
	wait $ping_pid 2>/dev/null || true
	n=$(sed -n 's/.*icmp_seq=\([0-9]*\) ttl.*/\1/p' $T/ping.out | awk '
		$1 != NR % 65536 { print NR " is " $1; gap = 1; exit }
		END { if (!gap) print NR }')
	must "a ping is lost or late: number $n" [ "${n// /}" = "$n" ]
	must "only $n pings" [ "$n" -ge "$1" ]
}

test_stock_devices_reach_the_hub_and_an_engineer_a_wide_device() {
	everybody
	ping_ok p1 10.42.42.1
	ping_ok p2 10.42.42.1
	ping_ok p3 10.42.42.1
	ping_ok p4 $engineer_ip
	ping_ok hub "$(address_of press-1)"
	ping_ok hub $engineer_ip
	must "hosts: $(cat $T/hosts)" grep -qxF "$(address_of press-2)	press-2" $T/hosts
	must "the hub's address" grep -q 'inet 10.42.42.1/24' <<<"$(ip -n hub addr show hub0)"
	equal "$(wg show hub0 listen-port)" 5555
	must "no names" grep -q '"press-1"' <<<"$("$wghub" show hub0 --json)"
}

test_devices_come_go_change_key_and_name_and_nobody_else_notices() {
	everybody
	local before after key
	ping_ok p1 10.42.42.1
	before=$(wg show hub0 latest-handshakes | grep -F "$($dev key press-1)")
	ping_begins
	ctl devices '{"generate": 50, "prefix": "gen", "first_ip": "10.42.42.100"}'
	wait_for 10 peers_are 54 || fail "50 more are not added"
	# More than half of all: a second answer has to say it, too.
	ctl devices '{"remove_prefix": "gen"}'
	wait_for 10 peers_are 4 || fail "they are not removed: $(wg show hub0 peers | wc -l)"
	$fio devices config wireguard press-2 disable
	wait_for 10 peers_are 3 || fail "press-2 is not disabled"
	$fio devices config wireguard press-2 enable
	wait_for 10 peers_are 4 || fail "press-2 is not enabled"
	key=$($dev key press-2)
	$dev lose press-2 key
	$dev checkin press-2
	must "the key is the same" [ "$key" != "$($dev key press-2)" ]
	$fio devices config wireguard press-2 enable
	wait_for 10 has_peer "$($dev key press-2)" "$(address_of press-2)" || fail "no new key"
	must_not "the old key is still there" has_key "$key"
	ctl device '{"name": "press-1", "rename": "hall-a-1"}'
	wait_for 10 grep -q 'hall-a-1' $T/hosts || fail "the new name is not in the hosts file"
	ping_ends 200
	after=$(wg show hub0 latest-handshakes | grep -F "$($dev key press-1)")
	equal "$after" "$before" "the session of the renamed device"
	$dev checkin press-2 # with the on-changed that its own PATCH did not have
	$dev boot press-2
	ping_ok p2 10.42.42.1
}

test_an_engineer_is_added_and_removed_within_a_second() {
	everybody
	local begin
	make_key extra
	ping_begins
	begin=${EPOCHREALTIME/./}
	echo "$(pub extra) 10.42.42.253 visitor" >>$T/clients
	wait_for 3 has_peer "$(pub extra)" 10.42.42.253 || fail "it is not added"
	must "that took longer than a second" [ $((${EPOCHREALTIME/./} - begin)) -lt 1000000 ]
	sed -i '$d' $T/clients
	wait_for 3 peers_are 4 || fail "it is not removed"
	ping_ends 50
}

test_an_api_that_fails_changes_nothing() {
	everybody
	local before fault
	ctl devices '{"generate": 3, "prefix": "gen", "first_ip": "10.42.42.100"}'
	wait_for 10 peers_are 7 || fail "3 more are not added"
	before=$(wg show hub0 allowed-ips)
	ping_begins
	for fault in '{"do": "status", "status": 500, "times": -1}' '{"do": "html", "times": -1}' \
		'{"do": "truncate", "times": -1}' '{"do": "huge", "times": 1}' \
		'{"do": "body", "body": "[]", "match": "*wireguard-ips/", "times": 1}'; do
		ctl fault "$fault"
		kill -HUP $hub_pid
		sleep 0.7
		ctl clear
		equal "$(wg show hub0 allowed-ips)" "$before" "$fault"
	done
	ctl listen '{"on": false}'
	kill -HUP $hub_pid
	sleep 0.5
	equal "$(wg show hub0 allowed-ips)" "$before" "API down"
	ctl listen '{"on": true}'
	kill -HUP $hub_pid
	a_round
	equal "$(wg show hub0 allowed-ips)" "$before" "afterwards"
	ping_ends 200
	must "it is not logged that it began" grep -q 'degraded trouble="api unreachable"' $T/hub0.log
	must "it is not logged that it ended" grep -q 'well again trouble="api unreachable"' $T/hub0.log
}

# The hub's own endpoint is in the file, too.
endpoints_saved() { [ "$(grep -c '"endpoint": "10\.99\.' $T/state/*.json)" = 5 ]; }

test_kill_9_and_a_start_without_the_api_bring_the_same_peers_back() {
	everybody
	local before
	ping_ok p1 10.42.42.1
	ping_ok p2 10.42.42.1
	before=$(wg show hub0 allowed-ips | sort)
	wait_for 15 endpoints_saved || fail "not all endpoints are saved: $(cat $T/state/*.json)"
	kill -KILL $hub_pid
	wait $hub_pid || true
	hub_pids=()
	ctl listen '{"on": false}'
	daemon
	wait_for 5 peers_are 4 || fail "not the same number"
	equal "$(wg show hub0 allowed-ips | sort)" "$before"
	# The hub knows where they are, and calls them itself.
	ping_ok hub "$(address_of press-1)"
	ping_ok hub "$wide_ip"
	ping_ok hub $engineer_ip
	ping_ok p3 "$wide_ip"
	equal "$(stat -c %a $T/state/$FACTORY_NAME.json)" 600
}

test_the_old_command_line_works_and_the_token_is_seen_nowhere() {
	everybody
	kill -TERM $hub_pid
	wait $hub_pid || fail "it ends with $?"
	hub_pids=()
	chmod 644 $T/hub.key # as the Python daemon left it
	ip netns exec hub "$wghub" -n hub0 -f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/hub.key \
		--api-url "$FACTORY_URL" --ca-file "$FACTORY_CA" --state-dir $T/state2 --no-hosts \
		--clients-file $T/clients daemon >$T/old.log 2>&1 &
	hub_pid=$!
	hub_pids+=($hub_pid)
	wait_for 10 peers_are 4 || fail "no peers: $(cat $T/old.log)"
	must_not "the token is in argv" grep -qF "$FACTORY_TOKEN" /proc/$hub_pid/cmdline
	must "no warning" grep -q 'token on the command line' $T/old.log
	equal "$(stat -c %a $T/hub.key)" 600
	must_not "a secret is in the log" \
		grep -qF -e "$FACTORY_TOKEN" -e "$(cat $T/hub.key)" $T/old.log $T/hub0.log
	must_not "a secret is in the state" \
		grep -rqF -e "$FACTORY_TOKEN" -e "$(cat $T/hub.key)" $T/state $T/state2
}

test_without_a_tun_peers_reach_each_other_and_the_hub() {
	everybody --no-tun
	ping_ok p1 10.42.42.1
	ping_ok p4 $engineer_ip
	must_not "there is an interface" ip -n hub link show hub0
}

test_switched_off_and_on_again() {
	everybody
	publish $'\\nenabled=0'
	wait_for 10 peers_are 1 || fail "devices stay"
	must "the engineer is gone" has_peer "$(pub p3)" $engineer_ip
	must "the process is gone" kill -0 $hub_pid
	$dev checkin press-4
	publish
	wait_for 10 peers_are 4 || fail "devices do not come back"
	$dev checkin press-4
	ping_ok p3 "$wide_ip"
}

run_tests "$@"
