#!/bin/bash
# clients.sh - engineers come and go: `wghub client` and what it prints, with a real wg-quick; `wg` as
# old guides tell people to type it; and what `wghub status`, `devices` and `sync` say.
#
# The world is world.sh's; p7 is an engineer who is no client yet.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh
. tests/factory/world.sh

w() { in_ns hub "$wghub" "$@"; }
json() { factory_get "$1"; }

# A hub with one stock device and the wide one.
small_hub() { # [DAEMON-OPTION...]
	empty_world
	new_ns p7
	cable 7
	make_key p7
	ip -n p7 route add 10.99.0.1 via 10.99.7.1
	daemon "$@"
	device 1
	device 4 wide
	wait_for 60 has_key "$($dev key press-4)" || fail "not everybody is a peer: $(wg show hub0)"
	wide_ip=$(address_of press-4)
}

# knock KEY-NAME: p7 starts a tunnel to the hub, with whatever address.
knock() {
	in_ns p7 wireguard-go wg7 >$T/wg7.log 2>&1
	wait_for 60 wg show wg7
	wg set wg7 private-key "$T/$1.key" peer "$(pub hub)" allowed-ips 10.42.42.0/24 \
		endpoint 10.99.0.1:5555 persistent-keepalive 5
	ip -n p7 link set wg7 up
}

test_the_printed_file_connects_wg_quick_and_the_qr_code_says_the_same() {
	small_hub
	local conf=$T/foundries.conf
	w client add laptop1 --qr >$conf 2>$T/qr
	equal "$(stat -c %a $conf)" 600
	# .254 and .253 are engineers', and the hub keeps one for its probes.
	must "no summary: $(cat $T/qr)" grep -q '^laptop1: 10.42.42.251, key ' $T/qr
	cat >$T/wanted <<-END
		# acme-presses VPN for laptop1, hub 10.99.0.1
		[Interface]
		PrivateKey = $(sed -n 's/^PrivateKey = //p' $conf)
		Address = 10.42.42.251/32

		[Peer]
		PublicKey = $(pub hub)
		Endpoint = 10.99.0.1:5555
		AllowedIPs = 10.42.42.0/24
		PersistentKeepalive = 25
	END
	must "another file: $(diff $T/wanted $conf)" cmp -s $T/wanted $conf
	tests/factory/qr.py <$T/qr >$T/qr.pgm
	zbarimg -q --raw --oneshot -Sbinary $T/qr.pgm >$T/decoded || fail "no QR code: $(cat $T/qr)"
	must "the QR code says something else" cmp -s $conf $T/decoded
	must "not in the clients file" grep -q ' 10.42.42.251 laptop1$' $T/clients
	in_ns p7 env WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go wg-quick up $conf >$T/quick.log 2>&1
	ping_ok p7 10.42.42.1
	ping_ok p7 "$wide_ip"
	must "check does not say online" grep -q '^online' <<<"$(w client check laptop1)"
	must_not "the private key is kept" grep -rqF "$(sed -n 3p $T/wanted | cut -c14-)" \
		$T/hub0.log $T/clients $T/state $T/qr
	in_ns p7 wg-quick down $conf >>$T/quick.log 2>&1
}

test_clients_are_added_listed_and_removed() {
	small_hub
	local before key
	make_key new
	printf '# by hand\r\n\tbad line\n' >>$T/clients
	before=$(cat $T/clients)
	w client add "Anna's phone" --pubkey "$(pub new)" --address 10.42.42.77 >$T/anna.conf 2>$T/anna.err
	must "no place for the key" grep -qx 'PrivateKey = REPLACE-THIS-BY-YOUR-PRIVATE-KEY' $T/anna.conf
	must "not at once" has_peer "$(pub new)" 10.42.42.77
	equal "$(cat $T/clients)" "$before
$(pub new) 10.42.42.77 Anna's phone"
	equal "$(w client list --json | json "[p['name'] for p in j if p['address'] == '10.42.42.77']")" \
		"[\"Anna's phone\"]"
	must "no table" grep -q "^Anna's phone  *10.42.42.77  *offline  *never" <<<"$(w client list)"
	# Nobody gets what somebody has, and a mistake changes nothing.
	before=$(cat $T/clients)
	make_key other
	must_not "a name twice" w client add "Anna's phone" >$T/out 2>&1
	must_not "a key twice" w client add x --pubkey "$(pub new)" >$T/out 2>&1
	must "not said whose: $(cat $T/out)" grep -q "this key is client Anna's phone" $T/out
	must_not "a device's key" w client add x --pubkey "$($dev key press-1)" >$T/out 2>&1
	must "not said whose: $(cat $T/out)" grep -q 'device "press-1" has the same key' $T/out
	must_not "an address twice" w client add x --address "$(address_of press-1)" >$T/out 2>&1
	must "not said whose: $(cat $T/out)" grep -q 'device "press-1" holds' $T/out
	must_not "the hub's address" w client add x --address 10.42.42.1 >$T/out 2>&1
	must_not "the hub's key" w client add x --pubkey "$(pub hub)" >$T/out 2>&1
	must_not "another network" w client add x --address 192.168.7.7 >$T/out 2>&1
	must_not "two lines" w client add $'x\nPostUp = reboot' >$T/out 2>&1
	must_not "a QR code of nothing" w client add x --pubkey "$(pub other)" --qr >$T/out 2>&1
	equal "$(cat $T/clients)" "$before"
	w client remove "Anna's phone" >$T/out
	must_not "it stays" has_key "$(pub new)"
	must_not "its line stays" grep -qF "$(pub new)" $T/clients
	must "the bad line is gone" grep -qx $'\tbad line' $T/clients
	must_not "removed twice" w client remove "Anna's phone" 2>$T/out
	# A script's unset variable is nobody, also where exactly one has no name.
	equal "$(grep -c '^[^ ]* [0-9.]*$' $T/clients)" 1 "clients without a name"
	before=$(cat $T/clients)
	must_not "somebody is removed" w client remove '' 2>$T/out
	must "somebody is removed by request" grep -q '^error=no client' <<<"$(printf 'wghub=client-remove\nname=\n\n' |
		timeout 20 socat -t 5 - UNIX-CONNECT:/run/wireguard/hub0.sock)"
	equal "$(cat $T/clients)" "$before"
	must_not "a device" w client remove "$($dev key press-1)" 2>$T/out
	must "a device is gone" has_key "$($dev key press-1)"
}

test_an_address_of_a_disabled_device_is_not_given_away() {
	small_hub
	local ip
	ip=$(address_of press-1)
	$fio devices config wireguard press-1 disable
	w sync >$T/out
	must_not "it is a peer" has_key "$($dev key press-1)"
	must_not "it is given away" w client add x --address "$ip" >$T/out 2>&1
	must "not said why: $(cat $T/out)" grep -q 'kept for a device that is disabled' $T/out
	must_not "by wg" wg set hub0 peer "$(pub p7)" allowed-ips "$ip/32" 2>/dev/null
	equal "$(w devices --json | json "[(p['name'], p['state']) for p in j if p['address'] == '$ip']")" \
		"[('press-1', 'disabled')]"
}

test_a_full_network_is_no_end_and_the_file_names_all_networks() {
	small_hub
	# 10.42.42.4 to 10.42.43.20, as fioctl hands them out; two are engineers'.
	ctl devices '{"generate": 272, "prefix": "gen", "first_ip": "10.42.42.4"}'
	w sync >$T/out || fail "$(cat $T/out)"
	w client add late >$T/late.conf 2>$T/out || fail "$(cat $T/out)"
	must "$(cat $T/late.conf)" grep -qx 'Address = 10.42.80.254/32' $T/late.conf
	must "$(cat $T/late.conf)" grep -qx 'AllowedIPs = 10.42.42.0/24, 10.42.43.0/24' $T/late.conf
	must "no route" grep -q 'dev hub0' <<<"$(ip -n hub route get 10.42.80.254)"
	make_key g1
	wg set hub0 peer "$(pub g1)" allowed-ips 10.42.70.7/32
	must "no route" grep -q 'dev hub0' <<<"$(ip -n hub route get 10.42.70.7)"
}

test_an_unknown_key_is_seen_and_approved() {
	small_hub
	local short
	short=$(pub p7 | cut -c1-8)
	must "somebody is there" grep -q '^no unknown key' <<<"$(w client pending)"
	must_not "check knows it" w client check "$(pub p7)" >$T/out
	knock p7
	wait_for 60 eval "w client pending | grep -qF '$(pub p7) from 10.99.7.2:'" ||
		fail "it is not seen: $(w client pending)"
	equal "$(w client pending --json | json "j[0]['public_key']")" "$(pub p7)"
	must_not "it is let in" has_key "$(pub p7)"
	must_not "check says online" w client check "$short" >$T/out
	must "check says: $(cat $T/out)" grep -q 'nobody let it in' $T/out
	must "status says: $(w status)" grep -q '^pending:    1 ' <<<"$(w status)"
	must_not "too short a key" w client approve "${short:0:3}" 2>/dev/null
	w client approve "$short" tablet >$T/tablet.conf 2>$T/out
	must "not at once" has_peer "$(pub p7)" 10.42.42.251
	must "no address in its file" grep -qx 'Address = 10.42.42.251/32' $T/tablet.conf
	ip -n p7 addr add 10.42.42.251/24 dev wg7
	wait_for 60 in_ns p7 ping -n -q -c 1 -W 2 10.42.42.1 || fail "it does not connect"
	must "check: $(w client check tablet)" w client check tablet >$T/out
	must "it is still pending" grep -q '^no unknown key' <<<"$(w client pending)"
	ping_ok p7 "$(address_of press-1)"
}

test_a_clients_file_that_cannot_be_written_is_said_and_changes_nothing() {
	mkdir $T/ro
	mount -t tmpfs -o mode=755 ro $T/ro
	: >$T/ro/clients
	small_hub --clients-file $T/ro/clients
	mount -o remount,ro $T/ro
	make_key g1
	make_key g2
	must_not "added" w client add x --pubkey "$(pub g1)" 2>$T/out
	must "not said: $(cat $T/out)" grep -q 'ead-only' $T/out
	must_not "a peer all the same" has_key "$(pub g1)"
	# wg's peer works, but the log says that it does not last.
	wg set hub0 peer "$(pub g1)" allowed-ips 10.42.42.200/32
	must "no peer" has_peer "$(pub g1)" 10.42.42.200
	noted 'forgotten with the next start'
	must_not "its address" wg set hub0 peer "$(pub g2)" allowed-ips 10.42.42.200/32 2>/dev/null
	wg set hub0 peer "$(pub g1)" remove
	must_not "it stays" has_key "$(pub g1)"
	# A client that cannot be taken out of the file is still one, and that is said.
	mount -o remount,rw $T/ro
	w client add y --pubkey "$(pub g2)" >$T/out 2>&1
	mount -o remount,ro $T/ro
	must_not "it says that it is gone" w client remove y 2>$T/out
	must_not "it says that it is gone" wg set hub0 peer "$(pub g2)" remove 2>/dev/null
	must "it is gone" has_key "$(pub g2)"
	umount -l $T/ro
}

# Whatever made the client, it may do what clients may: reach stock devices.
test_a_client_that_wg_made_reaches_a_stock_device() {
	small_hub
	wg set hub0 peer "$(pub p7)" allowed-ips 10.42.42.200/32
	knock p7
	ip -n p7 addr add 10.42.42.200/24 dev wg7
	ping_ok p7 "$(address_of press-1)"
	ping_ok p7 "$wide_ip"
}

test_what_old_guides_type_harms_nobody() {
	small_hub
	guides hub0
}

# Two names that old guides use; with the second the Factory's name is part of it.
test_the_same_with_the_interface_called_factory() {
	small_hub
	kill -TERM $hub_pid
	wait $hub_pid || true
	hub_pids=()
	daemon_called factory
	guides factory
}

test_the_same_with_the_interface_called_after_the_factory() {
	small_hub
	kill -TERM $hub_pid
	wait $hub_pid || true
	hub_pids=()
	daemon_called "fio$FACTORY_NAME"
	guides "fio$FACTORY_NAME"
}

daemon_called() {
	ip netns exec hub env LOG_LEVEL=debug "$wghub" --factory "$FACTORY_NAME" --oauthcreds $creds \
		--privatekey $T/hub.key --intf-name "$1" --api-url "$FACTORY_URL" --ca-file "$FACTORY_CA" \
		--state-dir $T/state --clients-file $T/clients --hosts-file $T/hosts daemon -i 1 \
		>>$T/hub0.log 2>&1 &
	hub_pids+=($!)
	wait_for 60 wg show "$1" || fail "the hub does not start: $(tail -3 $T/hub0.log)"
	wait_for 60 eval "[ \$(wg show $1 peers | wc -l) = 4 ]" || fail "no peers"
}

ips() { wg show "$1" allowed-ips | sort; }
noted() { wait_for 60 grep -q "$1" $T/hub0.log || fail "the log does not say: $1"; }
in_file() { grep -qxF "$1 $2 wg-${1:0:8}" $T/clients; }

guides() {
	local i=$1 dev1 before
	dev1=$($dev key press-1)
	make_key g1
	make_key g2
	before=$(ips $i)
	# An address that nobody has makes a client that stays.
	wg set $i peer "$(pub g1)" allowed-ips 10.42.42.200/32
	must "no client" in_file "$(pub g1)" 10.42.42.200
	must "grep -A 3" grep -q 'allowed ips: 10.42.42.200/32' <<<"$(wg show $i | grep -A 3 "$(pub g1)")"
	noted "$(pub g1 | cut -c1-8): becomes a client, 10.42.42.200/32"
	# The network is nobody's, and nobody's address is anybody else's.
	must_not "the network" wg set $i peer "$(pub g2)" allowed-ips 10.42.42.0/24 2>/dev/null
	must_not "half of it" wg set $i peer "$(pub g2)" allowed-ips 10.42.42.128/25 2>/dev/null
	must_not "all" wg set $i peer "$(pub g2)" allowed-ips 0.0.0.0/0 2>/dev/null
	must_not "a client's" wg set $i peer "$(pub g2)" allowed-ips 10.42.42.200/32 2>/dev/null
	must_not "a device's" wg set $i peer "$(pub g2)" allowed-ips "$(address_of press-1)/32" 2>/dev/null
	must_not "the hub's" wg set $i peer "$(pub g2)" allowed-ips 10.42.42.1/32 2>/dev/null
	must_not "outside" wg set $i peer "$(pub g2)" allowed-ips 172.16.9.9/32 2>/dev/null
	must_not "two" wg set $i peer "$(pub g2)" allowed-ips 10.42.42.201/32,10.42.42.202/32 2>/dev/null
	must_not "an IPv6 one" wg set $i peer "$(pub g2)" allowed-ips fd00::7/128 2>/dev/null
	noted "holds 10.42.42.200/32"
	equal "$(ips $i)" "$(printf '%s\n' "$before" "$(pub g1)	10.42.42.200/32" | sort)"
	# Somebody's address with the length of the network is that address.
	wg set $i peer "$(pub g2)" allowed-ips 10.42.42.201/24 2>/dev/null
	must "no client" in_file "$(pub g2)" 10.42.42.201
	# Devices and clients keep what they have, whatever is asked.
	before=$(ips $i)
	wg set $i peer "$dev1" allowed-ips 10.42.42.0/24
	wg set $i peer "$(pub g1)" allowed-ips 10.42.42.0/24
	wg set $i peer "$dev1" remove
	wg genpsk >$T/psk
	wg set $i peer "$dev1" preshared-key $T/psk
	equal "$(wg show $i preshared-keys | grep -F "$dev1")" "$dev1	(none)"
	noted 'press-1: no preshared key'
	must_not "another address" wg set $i peer "$dev1" allowed-ips 10.42.42.99/32 2>/dev/null
	must_not "another port" wg set $i listen-port 6000 2>/dev/null
	must_not "another key" wg set $i private-key $T/g1.key 2>/dev/null
	equal "$(ips $i)" "$before"
	equal "$(wg show $i listen-port)" 5555
	noted 'press-1: keeps'
	noted 'press-1: stays: devices come and go by the factory'
	# A client moves where nobody is, and keeps its name.
	wg set $i peer "$(pub g1)" allowed-ips 10.42.42.210/32
	must "it does not move" in_file "$(pub g1)" 10.42.42.210
	must "nor in the tunnel" grep -qF "$(pub g1)	10.42.42.210/32" <<<"$(ips $i)"
	# What says all there shall be knows neither factory nor clients file.
	before=$(ips $i)
	wg showconf $i >$T/all.conf
	wg setconf $i $T/all.conf
	wg syncconf $i $T/all.conf
	printf '[Interface]\nListenPort = 7777\n' >$T/none.conf
	wg setconf $i $T/none.conf
	wg syncconf $i $T/none.conf
	make_key g3
	printf '[Interface]\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.42.42.220/32\n' "$(pub g3)" >$T/more.conf
	wg syncconf $i $T/more.conf
	noted 'setconf and syncconf add nobody'
	# The old daemon left such a file.
	(umask 077 && echo '[Interface]' >$T/$i.conf)
	in_ns hub wg-quick save $T/$i.conf >$T/save.log 2>&1 || fail "wg-quick save: $(cat $T/save.log)"
	must "what wg-quick saved: $(cat $T/$i.conf)" grep -qF "$(pub g1)" $T/$i.conf
	wg-quick strip $T/$i.conf >$T/strip.conf
	wg syncconf $i $T/strip.conf
	equal "$(ips $i)" "$before"
	equal "$(wg show $i public-key)" "$(pub hub)"
	equal "$(wg show $i listen-port)" 5555
	ping_ok hub "$(address_of press-1)"
	# Removed is removed, also after the next reading of the file.
	wg set $i peer "$(pub g1)" remove
	must_not "it is still there" grep -qF "$(pub g1)" <<<"$(ips $i)"
	must_not "its line is still there" grep -qF "$(pub g1)" $T/clients
	echo "$(pub g1) 10.42.42.250 again" >>$T/clients
	wait_for 60 eval "ips $i | grep -qF '$(pub g1)	10.42.42.250/32'" || fail "a line is not read"
}

test_a_client_that_wg_made_outlives_kill_9_without_the_api() {
	small_hub
	make_key g1
	wg set hub0 peer "$(pub g1)" allowed-ips 10.42.42.200/32
	kill -KILL $hub_pid
	wait $hub_pid || true
	hub_pids=()
	ctl listen '{"on": false}'
	daemon
	wait_for 60 has_peer "$(pub g1)" 10.42.42.200 || fail "it is forgotten"
	must "another origin: $(w client list)" grep -q '10.42.42.200' <<<"$(w client list)"
}

test_sync_waits_for_the_outcome_and_says_it() {
	small_hub -i 3600
	ctl devices '{"generate": 3, "prefix": "gen", "first_ip": "10.42.42.100"}'
	equal "$(w sync)" "synced: 5 devices, 2 clients; 3 added, 0 changed, 0 removed"
	equal "$(w sync --json | json "[j[k] for k in ('outcome', 'outcome_why', 'devices', 'added', 'refused', 'troubles')]")" \
		"['ok', None, 5, 0, [], []]"
	must "not at once" peers_are 7
	equal "$(w sync)" "synced: 5 devices, 2 clients; 0 added, 0 changed, 0 removed"
	ctl fault '{"do": "status", "status": 403, "times": -1}'
	must_not "it says that all is well" w sync 2>$T/out
	must "not said why: $(cat $T/out)" grep -q '^wghub: not synced: GET .*403' $T/out
	ctl clear
	ctl listen '{"on": false}'
	must_not "it says that all is well" w sync 2>$T/out
	must "a peer is gone" peers_are 7
	ctl listen '{"on": true}'
	# Another request is answered while this one waits.
	ctl fault '{"do": "hold", "match": "GET */wireguard-ips/", "times": 1}'
	w sync >$T/out &
	local sync=$!
	wait_for 60 eval "[ \$(factory_ctl holding | factory_get \"j['holding']\") = 1 ]" || fail "nobody asks"
	must "status waits, too" timeout 50 ip netns exec hub "$wghub" status >/dev/null
	must "wg waits, too" timeout 50 wg show hub0 >/dev/null
	must "it does not wait" kill -0 $sync
	# A second one is not content with the round that began before it.
	ctl fault '{"do": "hold", "match": "GET */wireguard-ips/", "times": 1}'
	w sync >$T/out2 &
	local second=$!
	sleep 0.3
	ctl release
	wait $sync || fail "sync fails: $(cat $T/out)"
	wait_for 60 eval "[ \$(factory_ctl holding | factory_get \"j['holding']\") = 1 ]" || fail "nobody asks again"
	sleep 0.3
	must "it does not wait for its own round" kill -0 $second
	ctl release
	wait $second || fail "sync fails: $(cat $T/out2)"
}

test_status_and_devices_say_what_is_and_what_to_do() {
	small_hub
	local s
	ping_ok p1 10.42.42.1
	ping_ok p4 10.42.42.1
	s=$(w status)
	must "status: $s" grep -q '^factory:    acme-presses, interface hub0$' <<<"$s"
	must "status: $s" grep -qx "key:        $(pub hub), the published one" <<<"$s"
	must "status: $s" grep -qx 'devices:    2 of 2 online, 0 disabled' <<<"$s"
	must "status: $s" grep -q '^login:      API token' <<<"$s"
	must "status: $s" grep -qx 'next:       nothing, all is well' <<<"$s"
	equal "$(w status --json | json "j['key_matches'], j['outcome'], j['devices']['online']")" "(True, 'ok', 2)"
	equal "$(w devices --json | json "[(p['name'], p['online']) for p in j]")" \
		"[('press-1', True), ('press-4', True)]"
	must "a bad table: $(w devices)" grep -q '^press-1  *10.42.42.2  *online ' <<<"$(w devices)"
	# Two who want one address, a line that is none, another hub's key, no API.
	ctl device "{\"name\": \"thief\", \"address\": \"$engineer_ip\", \"enabled\": true}"
	echo "nonsense" >>$T/clients
	w sync >$T/out || fail "$(cat $T/out)"
	must "not said by sync: $(cat $T/out)" grep -q "\"thief\" is refused: client \"bench laptop\" holds $engineer_ip" $T/out
	s=$(w status)
	must "status: $s" grep -q "^refused:    device \"thief\" is refused: client \"bench laptop\"" <<<"$s"
	must "status: $s" grep -q "^left out:   $T/clients:3: " <<<"$s"
	must "devices: $(w devices)" grep -q "^thief  *$engineer_ip  *refused  *device \"thief\"" <<<"$(w devices)"
	ctl config "{\"unencrypted\": true, \"value\": \"endpoint=10.99.0.1:5555\nserver_address=10.42.42.1\npubkey=$(pub p7)\"}"
	must_not "sync is content" w sync >/dev/null 2>&1
	must "status: $(w status)" grep -q '^trouble:    factory points to another hub' <<<"$(w status)"
	equal "$(w status --json | json "j['key_matches'], j['troubles'][0]['name']")" \
		"(False, 'factory points to another hub')"
	ctl listen '{"on": false}'
	must_not "sync is content" w sync >/dev/null 2>&1
	must "status: $(w status)" grep -q '^trouble:    api unreachable' <<<"$(w status)"
	must_not "a secret in it" grep -qF -e "$FACTORY_TOKEN" -e "$(cat $T/hub.key)" \
		<<<"$(w status; w status --json; w devices --json; w client list)"
}

client_file_of() {
	factory_ctl state | factory_get "[f['value'] for d in j['devices'] if d['name'] == '$1'
		for f in d['active-config']['files']][0]"
}
patches() { factory_ctl counts | factory_get "j.get('PATCH /ota/devices/$1/config/', 0)"; }

test_a_device_is_switched_on_and_off_and_read_back() {
	small_hub
	local key n
	$dev new press-2 p2
	$dev checkin press-2
	key=$($dev key press-2)
	make_key g1
	# The next address is a client's, which the API does not know.
	w client add x --pubkey "$(pub g1)" --address 10.42.42.4 >$T/out 2>&1
	equal "$(w device enable press-2)" "press-2: on, 10.42.42.5; the device acts on it within 5 minutes"
	must "not a peer at once" has_peer "$key" 10.42.42.5
	equal "$(client_file_of press-2)" "address=10.42.42.5
pubkey=$key"
	n=$(patches press-2)
	equal "$(w device enable press-2)" "press-2: already on, 10.42.42.5"
	equal "$(patches press-2)" "$n" "a write for nothing"
	$dev checkin press-2
	ping_ok p2 10.42.42.1
	must "show: $(w device show press-2)" grep -q '^  tunnel: online, 10.99.2.2:' <<<"$(w device show press-2)"
	equal "$(w device show press-2 --json | json "j['enabled'], j['address'], j['state']")" \
		"(True, '10.42.42.5', 'online')"
	equal "$(w device disable press-2)" "press-2: off, 10.42.42.5; the device acts on it within 5 minutes"
	must_not "still a peer" has_key "$key"
	equal "$(client_file_of press-2)" "address=10.42.42.5
pubkey=$key
enabled=0"
	equal "$(w device disable press-2)" "press-2: already off, 10.42.42.5"
	equal "$(w device disable press-2 --json | json "list(j.items())")" \
		"[('name', 'press-2'), ('enabled', False), ('changed', False), ('address', '10.42.42.5'), ('refused', None)]"
	# Back to the same address, whatever a good answer to a PATCH looks like.
	ctl set '{"patch_answer": 204}'
	must "not on" grep -q '^press-2: on, 10.42.42.5' <<<"$(w device enable press-2)"
	# One that took effect although the answer says it did not; one that did not; one that nobody saw.
	ctl fault '{"do": "status", "status": 500, "apply": true, "match": "PATCH *", "times": 1}'
	must "not off" grep -q '^press-2: off' <<<"$(w device disable press-2)"
	ctl fault '{"do": "status", "status": 503, "match": "PATCH *", "times": 1}'
	must "not on" grep -q '^press-2: on' <<<"$(w device enable press-2)"
	ctl fault '{"do": "status", "status": 500, "match": "PATCH *", "times": -1}'
	must_not "it believes itself" w device disable press-2 2>$T/out
	must "not said: $(cat $T/out)" grep -q 'PATCH .*500' $T/out
	ctl clear
	must_not "a device that is none" w device enable nobody 2>$T/out
	must "not said: $(cat $T/out)" grep -q 'no device of this name' $T/out
	ctl device '{"name": "keyless"}'
	must_not "a device without a key" w device enable keyless 2>$T/out
	must "not said: $(cat $T/out)" grep -q 'no VPN key yet' $T/out
	must_not "a name that is a path" w device disable ../press-2 2>$T/out
	must_not "rights to read only" in_ns hub env APITOKEN="$(factory_ctl token \
		'{"scopes": ["devices:read"]}' | factory_get "j['token']")" "$wghub" device disable press-2 2>$T/out
	must "not said: $(cat $T/out)" grep -q 'devices:read-update' $T/out
	must "it is off" has_key "$key"
}

# Nothing at the API keeps two people from giving the same address to two devices.
test_whoever_is_late_takes_another_address() {
	small_hub
	local n
	for n in 2 5; do
		$dev new press-$n p$n
		$dev checkin press-$n
	done
	ctl fault '{"do": "hold", "match": "PATCH */press-2/*", "times": 1}'
	w device enable press-2 >$T/out 2>$T/err &
	n=$!
	wait_for 60 eval "[ \$(factory_ctl holding | factory_get \"j['holding']\") = 1 ]" || fail "no PATCH"
	$fio devices config wireguard press-5 enable
	ctl release
	wait $n || fail "it fails: $(cat $T/err)"
	equal "$(address_of press-5)" 10.42.42.4
	equal "$(cat $T/out)" "press-2: on, 10.42.42.5; the device acts on it within 5 minutes"
	must "not said: $(cat $T/err)" grep -q 'not 10.42.42.4 any more: press-5 has it, too' $T/err
	equal "$(address_of press-2)" 10.42.42.5
	must "not both peers: $(wg show hub0 allowed-ips)" has_peer "$($dev key press-2)" 10.42.42.5
	# The other way round the hub refuses the newcomer, and enabling it once more mends that.
	ctl device '{"name": "press-5", "address": "10.42.42.2"}'
	w sync >$T/out || true
	must "not refused: $(cat $T/out)" grep -q '"press-5" is refused: device "press-1" holds' $T/out
	equal "$(w device enable press-5 2>/dev/null)" "press-5: on, 10.42.42.4; the device acts on it within 5 minutes"
	must "no peer" has_peer "$($dev key press-5)" 10.42.42.4
	# Nobody has this one, and yet it is none.
	ctl device '{"name": "press-5", "address": "10.42.43.0"}'
	w sync >$T/out || true
	must "not refused: $(cat $T/out)" grep -q '"press-5" is refused: 10.42.43.0/32 is no address' $T/out
	equal "$(w device enable press-5 2>/dev/null)" "press-5: on, 10.42.42.4; the device acts on it within 5 minutes"
	must "still refused: $(w status)" grep -q 'nothing, all is well' <<<"$(w status)"
}

test_a_device_is_switched_without_a_hub_here() {
	small_hub
	kill -TERM $hub_pid
	wait $hub_pid || true
	hub_pids=()
	must_not "no factory" w device disable press-1 2>$T/out
	must "not said: $(cat $T/out)" grep -q -- '--factory NAME is missing' $T/out
	w --factory "$FACTORY_NAME" --oauthcreds $creds --api-url "$FACTORY_URL" --ca-file "$FACTORY_CA" \
		device disable press-1 >$T/out
	equal "$(cat $T/out)" "press-1: off, 10.42.42.2; the device acts on it within 5 minutes"
}

test_commands_find_the_one_factory_hub_or_ask_which() {
	small_hub
	hub_start plain0 # no Factory's hub
	must "not found" w status >/dev/null
	must_not "a plain hub is one" w status -n plain0 2>$T/out
	must "not said: $(cat $T/out)" grep -q 'plain0 is no Factory.s hub' $T/out
	must_not "a hub that does not run" w status -n nothing 2>$T/out
	must_not "an empty folder" w status --socket-dir $T 2>$T/out
	must "not said: $(cat $T/out)" grep -q "no Factory's hub runs here" $T/out
}

run_tests "$@"
