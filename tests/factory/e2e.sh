#!/bin/bash
# e2e.sh - the product: a hub that follows the test Factory, with stock devices, a wide one and
# engineers (world.sh).
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh
. tests/factory/world.sh

test_stock_devices_reach_the_hub_and_an_engineer_a_wide_device() {
	everybody
	ping_ok p1 10.42.42.1
	ping_ok p2 10.42.42.1
	ping_ok p3 10.42.42.1
	ping_ok p3 "$wide_ip"
	must_not "a device reaches an engineer" ping_once p4 $engineer_ip
	ping_ok hub "$(address_of press-1)"
	ping_ok hub $engineer_ip
	must "hosts: $(cat $T/hosts)" grep -qxF "$(address_of press-2)	press-2" $T/hosts
	must "the hub's address" grep -q 'inet 10.42.42.1/24' <<<"$(ip -n hub addr show hub0)"
	equal "$(wg show hub0 listen-port)" 5555
	must "no names" grep -q '"press-1"' <<<"$("$wghub" show hub0 --json)"
}

# N made-up engineers, from 10.42.51.1 on.
made_up_clients() {
	/usr/bin/python3 -c 'import base64, os, sys
for i in range(int(sys.argv[1])):
    print(base64.b64encode(os.urandom(32)).decode(), "10.42.51.%d" % (i + 1), "made up")' "$1"
}

test_an_engineer_reaches_untouched_devices_by_every_way() {
	everybody
	local stock
	stock=$(address_of press-1)
	random_file file 2
	send_tcp p3 p1 "$stock" $T/file
	send_tcp p3 p4 "$wide_ip" $T/file
	send_udp p3 p2 "$(address_of press-2)" $T/file
	ping_ok p3 "$stock"
	hops p3 "$stock" 10.42.42.1 "$stock"
	"$wghub" why 'bench laptop' press-1 tcp 22 >$T/why || fail "why does not agree: $(cat $T/why)"
	must "it is no NAT: $(cat $T/why)" grep -q 'press-1 .* sees 10.42.42.1 as the sender' $T/why
	wait_for 60 eval "'$wghub' why 'bench laptop' press-4 >$T/why && grep -q 'nat auto: wide' $T/why" ||
		fail "press-4 is not found wide: $(cat $T/why)"
	must_not "why lets a device start to an engineer" "$wghub" why press-4 'bench laptop'
	must_not "a device reaches another" ping_once p4 "$stock"
	kill -TERM $hub_pid
	wait $hub_pid || fail "it ends with $?"
	hub_pids=()
	daemon --allow-device-to-device
	ping_ok hub "$wide_ip" # the hub calls first; they would take 15 s to notice
	ping_ok p4 "$stock"
}

test_devices_come_go_change_key_and_name_and_nobody_else_notices() {
	everybody
	local before after key begin=$SECONDS
	ping_ok p5 10.42.42.1
	before=$(wg show hub0 latest-handshakes | grep -F "$($dev key press-5)")
	cp $T/clients $T/clients.before
	ping_begins
	ctl devices '{"generate": 200, "prefix": "gen", "first_ip": "10.42.50.1"}'
	made_up_clients 200 >>$T/clients
	wait_for 60 peers_are $((n_peers + 400)) || fail "they are not added: $(wg show hub0 peers | wc -l)"
	# More than half of all: a second answer has to say it, too.
	ctl devices '{"remove_prefix": "gen"}'
	cat $T/clients.before >$T/clients
	wait_for 60 peers_are $n_peers || fail "they are not removed: $(wg show hub0 peers | wc -l)"
	$fio devices config wireguard press-2 disable
	wait_for 60 peers_are $((n_peers - 1)) || fail "press-2 is not disabled"
	$fio devices config wireguard press-2 enable
	wait_for 60 peers_are $n_peers || fail "press-2 is not enabled"
	key=$($dev key press-2)
	$dev lose press-2 key
	$dev checkin press-2
	must "the key is the same" [ "$key" != "$($dev key press-2)" ]
	$fio devices config wireguard press-2 enable
	wait_for 60 has_peer "$($dev key press-2)" "$(address_of press-2)" || fail "no new key"
	must_not "the old key is still there" has_key "$key"
	ctl device '{"name": "press-5", "rename": "hall-a-5"}'
	wait_for 60 grep -q 'hall-a-5' $T/hosts || fail "the new name is not in the hosts file"
	ping_ends 200
	after=$(wg show hub0 latest-handshakes | grep -F "$($dev key press-5)")
	same_sessions "$after" "$before" $begin
	$dev checkin press-2 # with the on-changed that its own PATCH did not have
	$dev boot press-2
	ping_ok p2 10.42.42.1
}

# They say of themselves what they like.
test_devices_that_claim_what_others_have_get_nothing() {
	everybody
	local before key name
	make_key thief
	key=$($dev key press-1)
	before=$(wg show hub0 allowed-ips)
	ping_begins
	ctl ips "{\"extra\": [
		{\"name\": \"a-key\", \"ip\": \"10.42.42.99\", \"enabled\": true, \"pubkey\": \"$key\"},
		{\"name\": \"an-address\", \"ip\": \"$stock_ip\", \"enabled\": true, \"pubkey\": \"$(pub thief)\"},
		{\"name\": \"the-hub\", \"ip\": \"10.42.42.1\", \"enabled\": true, \"pubkey\": \"$(pub thief)\"},
		{\"name\": \"all\", \"ip\": \"0.0.0.0/0\", \"enabled\": true, \"pubkey\": \"$(pub thief)\"},
		{\"name\": \"press-1\", \"ip\": \"$stock_ip\", \"enabled\": true, \"pubkey\": \"$key\"}]}"
	wait_for 60 grep -q 'peer refused why=.*an-address' $T/hub0.log || fail "nobody is refused"
	ctl device '{"name": "spoiler", "raw": "address=\ud800\u0000\npubkey=\u0000"}'
	ctl devices '{"generate": 1, "prefix": "gen", "first_ip": "10.42.42.100"}'
	wait_for 60 peers_are $((n_peers + 1)) || fail "one device spoils the list for all"
	ctl devices '{"remove_prefix": "gen"}'
	wait_for 60 peers_are $n_peers || fail "$(wg show hub0)"
	equal "$(wg show hub0 allowed-ips)" "$before"
	for name in a-key an-address the-hub; do
		must "no word of $name" grep -q "peer refused why=.*$name" $T/hub0.log
	done
	ping_ends 100
}

# Within a second, on a machine that is not busy.
test_an_engineer_is_added_and_removed_by_an_editor() {
	everybody
	make_key extra
	ping_begins
	echo "$(pub extra) 10.42.42.252 visitor" >>$T/clients
	wait_for 60 has_peer "$(pub extra)" 10.42.42.252 || fail "it is not added"
	sed -i '$d' $T/clients
	wait_for 60 peers_are $n_peers || fail "it is not removed"
	ping_ends 50
}

test_an_api_that_fails_changes_nothing() {
	everybody
	local before fault
	ctl devices '{"generate": 3, "prefix": "gen", "first_ip": "10.42.42.100"}'
	wait_for 60 peers_are $((n_peers + 3)) || fail "3 more are not added"
	before=$(wg show hub0 allowed-ips)
	ping_begins
	for fault in '{"do": "status", "status": 500, "times": -1}' '{"do": "html", "times": -1}' \
		'{"do": "truncate", "times": -1}' '{"do": "huge", "times": 1}' \
		'{"do": "body", "body": "[]", "match": "*wireguard-ips/", "times": 1}'; do
		ctl fault "$fault"
		kill -HUP $hub_pid
		wait_for 60 faults_are_met || fail "nobody asks: $fault"
		sleep 0.5
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
	wait_for 60 grep -q 'well again trouble="api unreachable"' $T/hub0.log ||
		fail "it is not logged that it ended"
}

# The hub's own endpoint is in the file, too.
endpoints_saved() { [ "$(grep -c '"endpoint": "10\.99\.' $T/state/*.json)" = $((n_peers + 1)) ]; }

test_kill_9_and_a_start_without_the_api_bring_the_same_peers_back() {
	everybody
	local before n
	for n in $stock; do ping_ok p$n 10.42.42.1; done
	before=$(wg show hub0 allowed-ips | sort)
	wait_for 60 endpoints_saved || fail "not all endpoints are saved: $(cat $T/state/*.json)"
	kill -KILL $hub_pid
	wait $hub_pid || true
	hub_pids=()
	ctl listen '{"on": false}'
	daemon
	wait_for 60 peers_are $n_peers || fail "not the same number"
	equal "$(wg show hub0 allowed-ips | sort)" "$before"
	# The hub knows where they are, and calls them itself.
	for n in $stock; do ping_ok hub "$(address_of press-$n)"; done
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
	wait_for 60 peers_are $n_peers || fail "no peers: $(cat $T/old.log)"
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
	ping_ok p3 "$wide_ip"
	must_not "there is an interface" ip -n hub link show hub0
}

test_switched_off_and_on_again() {
	everybody
	publish $'\\nenabled=0'
	wait_for 60 peers_are 2 || fail "devices stay"
	must "the engineer is gone" has_peer "$(pub p3)" $engineer_ip
	must "the process is gone" kill -0 $hub_pid
	$dev checkin press-4
	publish
	wait_for 60 peers_are $n_peers || fail "devices do not come back"
	$dev checkin press-4
	ping_ok p3 "$wide_ip"
}

run_tests "$@"
