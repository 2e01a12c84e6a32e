#!/bin/bash
# test_device.sh - do device.sh and fioctl.py do what stock devices and operators do?
# The hub is a wireguard-go: these are checks of the parts, not of wghub.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh

dev=tests/factory/device.sh
fio=tests/factory/fioctl.py

ctl() { factory_ctl "$@" >/dev/null; }
quiet() { "$@" >$T/quiet 2>&1; }
file_of() {
	factory_ctl state | factory_get \
		"[d['active-config']['files'][0]['value'] for d in j['devices'] if d['name'] == '$1'][0]"
}
address_of() { file_of "$1" | sed -n 's/^address=//p'; }
enable() { $fio devices config wireguard "$1" enable; }
publish() { # [ENDPOINT [MORE-LINES]]
	local address='server_address=10.42.42.1'
	ctl config "{\"value\": \"endpoint=${1-10.99.1.1:5555}\\n$address\\npubkey=$(pub hub)${2-}\"}"
}
keyfile() { echo "$FACTORY_DIR/devices/$1/factory-vpn0.nmconnection"; }
link_of() { ip -n "$1" link show factory-vpn0 >/dev/null 2>&1; }
registered() { # N: a stock device press-N in pN with a key of its own
	$dev new "press-$1" "p$1"
	$dev checkin "press-$1"
}
start() { # N devices, none enabled
	local n
	world "$1"
	factory_start --dir $T/f
	publish
	for ((n = 1; n <= $1; n++)); do registered "$n"; done
}
# A hub of wireguard-go: hub_with DEVICE ADDRESS...
hub_with() {
	in_ns hub wireguard-go hub0 >$T/hub0.log 2>&1
	wait_for 60 wg show hub0
	wg set hub0 listen-port 5555 private-key $T/hub.key
	ip -n hub addr add 10.42.42.1/24 dev hub0
	ip -n hub link set hub0 up
	while [ $# -gt 0 ]; do
		wg set hub0 peer "$($dev key "$1")" allowed-ips "$2/32"
		shift 2
	done
}

# ---- the device ----

test_a_new_device_registers_its_key_disabled_and_without_address() {
	start 1
	equal "$(file_of press-1)" "enabled=0

pubkey=$($dev key press-1)"
	factory_ctl state >$T/state
	equal "$(factory_get '"on-changed" in str(j["devices"])' <$T/state)" False
	must_not "it has an interface" link_of p1
	equal "$(stat -c %a "$FACTORY_DIR/devices/press-1/wg-priv")" 600
	local key
	key=$($dev key press-1)
	$dev checkin press-1
	equal "$($dev key press-1)" "$key"
}

test_an_enabled_device_reaches_the_hub_and_the_hub_it() {
	start 1
	enable press-1
	$dev checkin press-1
	hub_with press-1 10.42.42.2
	ping_ok p1 10.42.42.1
	ping_ok hub 10.42.42.2
	equal "$($dev exec press-1 wg show factory-vpn0 allowed-ips)" "$(pub hub)	10.42.42.1/32"
	equal "$($dev exec press-1 wg show factory-vpn0 persistent-keepalive)" "$(pub hub)	25"
	must "no /24" grep -q 'inet 10.42.42.2/24' <<<"$(ip -n p1 addr show factory-vpn0)"
	must "no MTU of 1420" grep -q 'mtu 1420' <<<"$(ip -n p1 link show factory-vpn0)"
	equal "$($dev exec press-1 wg show factory-vpn0 preshared-keys)" "$(pub hub)	(none)"
	must "it knows no peer but the hub" [ "$($dev exec press-1 wg show factory-vpn0 peers | wc -l)" = 1 ]
	must_not "it reaches others" ping_once p1 10.42.42.3
}

test_two_devices_have_interfaces_of_the_same_name() {
	start 2
	enable press-1
	enable press-2
	$dev checkin press-1
	$dev checkin press-2
	equal "$(address_of press-1) $(address_of press-2)" "10.42.42.2 10.42.42.3"
	hub_with press-1 10.42.42.2 press-2 10.42.42.3
	publish 10.99.2.1:5555
	$dev checkin press-2
	ping_ok p1 10.42.42.1
	ping_ok p2 10.42.42.1
	local socket=/var/run/wireguard/factory-vpn0.sock
	must_not "the socket is outside" [ -e $socket ]
	must_not "one socket is both" \
		[ "$($dev exec press-1 stat -c %d $socket)" = "$($dev exec press-2 stat -c %d $socket)" ]
	must_not "one key is both" [ "$($dev key press-1)" = "$($dev key press-2)" ]
}

test_disabling_either_file_or_removing_one_takes_the_interface() {
	start 1
	enable press-1
	$dev checkin press-1
	must "no interface" link_of p1
	$fio devices config wireguard press-1 disable
	equal "$(file_of press-1)" "address=10.42.42.2
pubkey=$($dev key press-1)
enabled=0"
	$dev checkin press-1
	must_not "disabled, but the interface is there" link_of p1
	enable press-1
	$dev checkin press-1
	must "no interface again" link_of p1
	$fio config wireguard --disable
	$dev checkin press-1
	must_not "the server is disabled, but the interface is there" link_of p1
	publish
	$dev checkin press-1
	must "no interface after publishing" link_of p1
	ctl config '{"name": "wireguard-server"}'
	$dev checkin press-1
	must_not "the server file is gone, but the interface is there" link_of p1
}

test_an_unchanged_config_leaves_the_interface_alone_and_a_changed_one_makes_it_anew() {
	start 1
	enable press-1
	$dev checkin press-1
	local pid=$FACTORY_DIR/devices/press-1/pid first
	first=$(cat $pid)
	$dev checkin press-1
	equal "$(cat $pid)" "$first"
	ctl config '{"name": "motd", "value": "hello"}'
	$dev checkin press-1
	equal "$(cat $pid)" "$first"
	publish 10.99.1.1:6666
	$dev checkin press-1
	must "the interface is the old one" [ "$(cat $pid)" != "$first" ]
	equal "$($dev exec press-1 wg show factory-vpn0 endpoints)" "$(pub hub)	10.99.1.1:6666"
}

test_a_boot_brings_the_last_config_up_without_the_factory() {
	start 1
	enable press-1
	$dev checkin press-1
	factory_stop
	$dev boot press-1
	must "no interface" link_of p1
	must_not "it checks in without the Factory" $dev checkin press-1
	must "the interface went" link_of p1
	$dev off press-1
	must_not "the interface stayed" link_of p1
}

test_a_lost_key_is_replaced_and_only_the_key() {
	start 1
	enable press-1
	$dev checkin press-1
	local key
	key=$($dev key press-1)
	$dev lose press-1 key
	$dev checkin press-1
	must "the key is the old one" [ "$($dev key press-1)" != "$key" ]
	equal "$($dev exec press-1 wg show factory-vpn0 public-key)" "$key" "no handler ran"
	$fio devices config wireguard press-1 disable
	$dev checkin press-1
	enable press-1
	$dev checkin press-1
	equal "$($dev exec press-1 wg show factory-vpn0 public-key)" "$($dev key press-1)"
	ctl set '{"on_changed_kept": true}'
	$dev lose press-1 key
	$dev checkin press-1
	equal "$($dev exec press-1 wg show factory-vpn0 public-key)" "$($dev key press-1)"
	equal "$(file_of press-1)" "address=10.42.42.2
pubkey=$($dev key press-1)"
}

test_a_lost_config_makes_a_new_key_disabled_without_address() {
	start 1
	enable press-1
	$dev checkin press-1
	$dev lose press-1 config
	$dev checkin press-1
	equal "$(file_of press-1)" "enabled=0

pubkey=$($dev key press-1)"
	must_not "the interface is still there" link_of p1
}

test_a_refused_registration_leaves_no_key() {
	world 1
	factory_start --dir $T/f
	$dev new press-1 p1
	ctl fault '{"do": "status", "match": "PATCH /_gateway/*"}'
	must_not "it is content" $dev checkin press-1
	must_not "there is a key" [ -e "$FACTORY_DIR/devices/press-1/wg-priv" ]
	$dev checkin press-1
	must "there is no key" [ -e "$FACTORY_DIR/devices/press-1/wg-priv" ]
}

test_a_renamed_device_goes_on() {
	start 1
	ctl device '{"name": "press-1", "rename": "press-9"}'
	enable press-9
	$dev checkin press-1
	must "no interface" link_of p1
}

test_a_wide_device_allows_the_network() {
	world 1
	factory_start --dir $T/f
	publish
	$dev new press-1 p1 wide
	$dev checkin press-1
	enable press-1
	$dev checkin press-1
	equal "$($dev exec press-1 wg show factory-vpn0 allowed-ips)" "$(pub hub)	10.42.42.0/24"
}

# Comments and unknown keys do no harm; whatever a shell executes is executed; a CR stays.
test_the_handler_reads_as_a_shell_does() {
	start 1
	enable press-1
	publish 10.99.1.1:5555 '\n# a comment\n# a=b\n\n  unknown=1\nkeepalive=15'
	$dev checkin press-1
	equal "$($dev exec press-1 wg show factory-vpn0 persistent-keepalive)" "$(pub hub)	15"
	ctl config "{\"value\": \"endpoint=10.99.1.1:5555\\n    server_address=10.42.42.1\\n    pubkey=$(pub hub)\"}"
	$dev checkin press-1
	must "indented lines are not read" link_of p1
	publish "10.99.1.1:5555\$(touch $T/executed)"
	$dev checkin press-1
	must "it is no shell" [ -e $T/executed ]
	publish '10.99.1.1:5555\r'
	must_not "a CR does no harm" $dev checkin press-1
	must "the CR is not in the keyfile" grep -q $'^endpoint=10.99.1.1:5555\r$' "$(keyfile press-1)"
	must_not "the interface is there" link_of p1
	publish '[fd99:1::1]:5555'
	$dev checkin press-1
	equal "$($dev exec press-1 wg show factory-vpn0 endpoints)" "$(pub hub)	[fd99:1::1]:5555"
}

# ---- the operator ----

devices() { ctl devices "$1"; }
operator() {
	make_key hub
	factory_start --dir $T/f
	publish
}
ready() { ctl device "{\"name\": \"$1\", \"raw\": \"enabled=0\\n\\npubkey=$(pub hub)\"}"; }

test_fioctl_takes_the_first_free_address_enabled_or_not() {
	operator
	ready a
	ready b
	devices '{"generate": 3, "first_ip": "10.42.42.2", "enabled": false}'
	enable a
	equal "$(file_of a)" "address=10.42.42.5
pubkey=$(pub hub)"
	devices '{"generate": 250, "prefix": "more-", "first_ip": "10.42.42.6"}'
	ctl device '{"name": "a", "address": ""}'
	enable b
	equal "$(address_of b)" 10.42.42.5
}

test_fioctl_goes_beyond_the_24_and_skips_only_zero() {
	operator
	ready a
	ready b
	devices '{"generate": 253, "first_ip": "10.42.42.2"}'
	enable a
	enable b
	equal "$(address_of a) $(address_of b)" "10.42.42.255 10.42.43.1"
}

test_fioctl_keeps_an_address_and_loses_other_lines() {
	operator
	ctl device '{"name": "a", "raw": "address=10.9.9.9\npubkey=k\nenabled=0"}'
	enable a
	equal "$(file_of a)" "address=10.9.9.9
pubkey=k"
	equal "$(factory_ctl counts | factory_get '" ".join(sorted(k.split()[0] for k in j))')" "GET PATCH"
	equal "$($fio devices config wireguard a)" "Enabled: true
Address: 10.9.9.9
Public Key: k"
}

test_fioctl_refuses_with_a_reason() {
	operator
	refuses() {
		must_not "it takes $1" quiet enable "$1"
		must "it says $(cat $T/quiet)" grep -q "$2" $T/quiet
	}
	ctl device '{"name": "keyless"}'
	refuses keyless 'has no VPN key'
	refuses nobody 'has no VPN key'
	ctl device '{"name": "odd", "raw": "# a=b\npubkey=k"}'
	refuses odd 'unexpected key'
	ready a
	ctl config "{\"value\": \"endpoint=h:1\\nserver_address=10.42.42.1/24\\npubkey=k\"}"
	refuses a server_address
	ctl config "{\"value\": \"endpoint=h:1\\nserver_address=10.42.42.1\\npubkey=k\\nenabled=0\"}"
	refuses a 'no enabled VPN server'
	publish
	ctl fault '{"do": "status", "status": 403, "match": "PATCH *", "message": "Missing scope"}'
	refuses a 'HTTP 403.*Missing scope'
	equal "$($fio devices config wireguard a show)" "fioctl: the word must be enable or disable"
}

test_fioctl_shows_and_disables_the_server() {
	operator
	equal "$($fio config wireguard show)" "Enabled: true
Endpoint: 10.99.1.1:5555
Address: 10.42.42.1
Public Key: $(pub hub)"
	$fio config wireguard --disable
	equal "$(factory_ctl state | factory_get 'j["config"][0]["files"][0]["value"]')" \
		"endpoint=10.99.1.1:5555
server_address=10.42.42.1
pubkey=$(pub hub)
enabled=0"
	ctl config '{"name": "wireguard-server"}'
	equal "$($fio config wireguard)" "Enabled: false"
}

test_fioctl_lists_over_pages_and_encodes_its_access_token() {
	operator
	devices '{"generate": 7}'
	ctl set '{"page_items": 3, "auth": "base64"}'
	local access
	access=$(factory_ctl login | factory_get 'j["access_token"]')
	equal "$($fio -b "$access" devices list | wc -l)" 7
	must_not "the API token passes" quiet $fio devices list
}

test_two_enables_at_once_take_the_same_address() {
	operator
	ready a
	ready b
	ctl fault '{"do": "hold", "match": "PATCH /ota/devices/*", "times": 2}'
	enable a &
	enable b &
	both_wait() { [ "$(factory_ctl holding)" = '{"holding": 2}' ]; }
	wait_for 60 both_wait || fail "they do not meet"
	ctl release
	wait
	equal "$(address_of a) $(address_of b)" "10.42.42.2 10.42.42.2"
	equal "$(factory_ctl state | factory_get '[i["ip"] for i in j["ips"]]')" "['10.42.42.2', '10.42.42.2']"
}

run_tests "$@"
