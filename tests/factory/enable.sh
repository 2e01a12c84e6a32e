#!/bin/bash
# enable.sh - a host becomes a factory's hub and says so: enable, update_endpoint, server show.
#
# Comments name the rows of tests/factory-faults.md.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh
. tests/factory/host.sh

test_enable_makes_a_key_publishes_and_starts_the_hub() { # rows 23, 25, 26, 41, 44
	begin
	enable -e hub.example.net -i 7 --mtu 1400
	equal "$(stat -c %a $T/key)" 600
	file_is "$(key_pub)" hub.example.net:5555
	equal "$(state "j['config'][0]['files'][0]['on-changed']")" \
		"['/usr/share/fioconfig/handlers/factory-config-vpn']"
	equal "$(state "j['config'][0]['files'][0]['unencrypted']")" True
	equal "$(stat -c %a "$T/units/factory-vpn-$FACTORY_NAME.service")" 644
	equal "$(stat -c %a "$T/state/$FACTORY_NAME.apitoken")" 600
	equal "$(cat "$T/state/$FACTORY_NAME.apitoken")" "$FACTORY_TOKEN"
	no_secret_in $T/out $T/err "$T/units/factory-vpn-$FACTORY_NAME.service"
	must "the interval" grep -q -- 'ExecStart=/.* --interval=7 --mtu=1400 .*daemon$' <<<"$(unit)"
	must "wg-quick is not needed, nor asked for" [ ! -e $T/state/wg-quick ]
	equal "$(grep -v is-active $T/asked | tr '\n' ';')" \
		"daemon-reload;enable factory-vpn-$FACTORY_NAME.service;restart factory-vpn-$FACTORY_NAME.service;"
	wait_for 60 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	equal "$(wg show hub0 public-key)" "$(key_pub)"
	unit_ends
	no_secret_in $T/unit.log
}

test_the_unit_is_one_that_systemd_understands_and_never_gives_up() { # row 17
	begin
	mkdir "$T/with space"
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -n hub0 "${api[@]}")
	good "${with_token[@]}" -k "$T/with space/k%ey" --state-dir "$T/a \$b" --unit-dir $T/units \
		--no-hosts --no-tun enable -e hub.example.net
	must "no limit of starts" grep -qx 'StartLimitIntervalSec=0' <<<"$(unit)"
	must "no restart" grep -qx 'Restart=on-failure' <<<"$(unit)"
	wait_for 60 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	if command -v systemd-analyze >/dev/null; then
		systemd-analyze verify "$T/units/factory-vpn-$FACTORY_NAME.service" >$T/verify.log 2>&1 ||
			fail "$(cat $T/verify.log)"
		must_not "systemd says $(cat $T/verify.log)" \
			grep -q "factory-vpn-$FACTORY_NAME" $T/verify.log
	fi
	unit_ends
}

test_relative_paths_and_all_options_reach_the_service() { # row 26
	begin
	mkdir $T/here
	cd $T/here
	mkdir sockets
	good -f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k key -n hub0 --no-sysctl "${api[@]}" \
		--ca-file ../f/ca.pem --state-dir state --clients-file clients --hosts-file hosts \
		--socket-dir $T/here/sockets --unit-dir $T/units --workers 1 --no-offload --no-offload=tun-uso enable -i 5 -e hub.example.net
	cd - >/dev/null
	equal "$(sed -n 's/^ExecStart=[^ ]* //p' <<<"$(unit)")" "--factory $FACTORY_NAME\
 --privatekey $T/here/key --intf-name hub0 --no-sysctl --api-url=$FACTORY_URL --ca-file=$FACTORY_CA\
 --ca-file=$T/here/../f/ca.pem --state-dir=$T/here/state --clients-file=$T/here/clients\
 --hosts-file=$T/here/hosts --socket-dir=$T/here/sockets --workers=1 --no-offload --no-offload=tun-uso --interval=5 daemon"
	equal "$(sed -n 's/^ReadWritePaths=//p' <<<"$(unit)")" "-$T/here -$T/here -$T/here/state -$T/here/sockets"
	wait_for 60 [ -e "$T/here/state/$FACTORY_NAME.json" ] || fail "no state: $(cat $T/unit.log)"
	unit_ends
}

test_a_second_enable_does_what_is_needed_and_no_more() { # rows 27, 38
	begin
	enable -e hub.example.net
	wait_for 60 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	equal "$(n_patches)" 1
	enable # its own port, address and interface are in nobody's way
	equal "$(n_patches)" 1
	equal "$(asked restart)" 1
	must "it does not say so" grep -q 'nothing has changed' $T/out
	enable -i 5
	equal "$(n_patches)" 1
	equal "$(asked restart)" 2
	wait_for 60 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	enable -i 5 -e other.example.net
	equal "$(n_patches)" 2
	equal "$(asked restart)" 2 # a running hub is told; its sessions stay
	must "the hub was not told: $(cat $T/out $T/err)" grep -q 'has followed' $T/out
	file_is "$(key_pub)" other.example.net:5555
	enable -i 5 -v 10.7.7.1
	equal "$(asked restart)" 3
	unit_ends
}

test_an_old_key_is_kept_and_made_private() { # row 23
	begin
	wg genkey >$T/key
	chmod 644 $T/key
	local before
	before=$(cat $T/key)
	enable -e 10.99.0.1
	equal "$(cat $T/key)" "$before"
	equal "$(stat -c %a $T/key)" 600
	file_is "$(key_pub)" 10.99.0.1:5555
	unit_ends
}

test_only_strict_values_are_published_and_nothing_else_happens() {
	begin
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}" "${places[@]}")
	local host
	for host in 'a;reboot' 'a b' '$(id)' '`id`' "a'b" '"x"' 'a_b' '' 'hub:5555' 127.0.0.1 \
		localhost 0.0.0.0 '[::1]' 10.0.0.256 'x
y'; do
		try "${with_token[@]}" enable -e "$host"
		must_not "$host was taken" [ $code = 0 ]
	done
	bad 2 'a port is' "${with_token[@]}" enable -e hub.example.net -p 70000
	bad 2 'without a length' "${with_token[@]}" enable -e hub.example.net -v 10.42.42.1/24
	equal "$(n_patches)" 0
	must "a key was made" [ ! -e $T/key ]
	must "a unit was written" [ ! -e "$T/units/factory-vpn-$FACTORY_NAME.service" ]
	enable -e 2001:db8::1 -p 4000 -v 10.7.7.1
	file_is "$(key_pub)" '[2001:db8::1]:4000' 10.7.7.1
	unit_ends
}

test_another_hub_is_not_replaced_unless_told() {
	begin
	local other
	other=$(wg genkey | wg pubkey)
	another_hub "$other"
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}")
	bad 1 "$other" "${with_token[@]}" "${places[@]}" enable -e hub.example.net
	bad 2 '--endpoint HOST' "${with_token[@]}" "${places[@]}" enable --take-over
	must "a key was made" [ ! -e $T/key ]
	wg genkey >$T/key
	bad 1 "$other" "${with_token[@]}" update_endpoint -e hub.example.net
	bad 2 'it takes no --take-over' "${with_token[@]}" update_endpoint --take-over
	equal "$(n_patches)" 0
	enable -e hub.example.net --take-over
	file_is "$(key_pub)" hub.example.net:5555
	must "the change was not shown" grep -q "pubkey: $other -> $(key_pub)" $T/out
	unit_ends
}

test_a_file_that_nobody_can_read_is_replaced_only_if_told() {
	begin
	ctl config '{"value": "nonsense", "unencrypted": false}'
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}")
	bad 1 'cannot be read' "${with_token[@]}" "${places[@]}" enable -e hub.example.net
	enable -e hub.example.net --take-over
	file_is "$(key_pub)" hub.example.net:5555
	unit_ends
}

test_update_endpoint_changes_the_endpoint_and_the_hub_follows() { # rows 1, 2, 3
	begin
	enable -e 192.0.2.1 -v 10.7.7.1 -i 600
	wait_for 60 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	good "${with_token[@]}" update_endpoint -e 192.0.2.2
	file_is "$(key_pub)" 192.0.2.2:5555 10.7.7.1
	good "${with_token[@]}" update_endpoint -p 5556
	file_is "$(key_pub)" 192.0.2.2:5556 10.7.7.1
	must "the hub was not told: $(cat $T/out $T/err)" grep -q 'has followed' $T/out
	must "the hub does not follow" hub_listens 5556
	# enabled=0 is not its business; what old tools wrote is read as they meant it.
	ctl config "{\"value\": \"endpoint=192.0.2.2:5556\n    server_address=10.7.7.1\n    pubkey=$(key_pub)\nenabled=0\"}"
	good "${with_token[@]}" update_endpoint -e 192.0.2.3
	equal "$(published)" "endpoint=192.0.2.3:5556
server_address=10.7.7.1
pubkey=$(key_pub)
enabled=0"
	equal "$(n_token_requests)" 0
	bad 2 'what is new?' "${with_token[@]}" update_endpoint
	unit_ends
}

test_enable_switches_a_hub_on_again_and_says_what_is_not_kept() {
	begin
	enable -e hub.example.net
	ctl config "{\"value\": \"endpoint=hub.example.net:5555\nserver_address=10.42.42.1\npubkey=$(key_pub)\nkeepalive=15\"}"
	enable # it says the same: no device shall drop its tunnel for that
	equal "$(n_patches)" 1
	must "keepalive is gone" grep -q keepalive=15 <<<"$(published)"
	ctl config "{\"value\": \"endpoint=hub.example.net:5555\nserver_address=10.42.42.1\npubkey=$(key_pub)\nkeepalive=15\nenabled=0\"}"
	enable
	file_is "$(key_pub)" hub.example.net:5555
	must "not said: $(cat $T/out)" grep -q 'not kept.*keepalive' $T/out
	must "not said: $(cat $T/out)" grep -q 'enabled: 0 -> 1' $T/out
	# A file that devices do not act on is published again.
	ctl config "{\"value\": \"endpoint=hub.example.net:5555\nserver_address=10.42.42.1\npubkey=$(key_pub)\", \"on-changed\": []}"
	enable
	equal "$(n_patches)" 3
	unit_ends
}

test_every_good_answer_to_a_patch_is_one_and_the_result_is_read_back() { # rows 1, 42
	begin
	local n=0 answer
	for answer in 204 201 200; do
		n=$((n + 1))
		ctl set "{\"patch_answer\": $answer}"
		enable -e "hub$n.example.net"
		file_is "$(key_pub)" "hub$n.example.net:5555"
	done
	# The answer is lost, but it took effect.
	ctl fault '{"do": "drop", "apply": true, "match": "PATCH *"}'
	enable -e hub4.example.net
	file_is "$(key_pub)" hub4.example.net:5555
	# It says yes, and did nothing.
	ctl fault '{"do": "status", "status": 200, "json": {}, "match": "PATCH *"}'
	bad 1 'not published as it should be' "${with_token[@]}" "${places[@]}" enable -e hub5.example.net
	ctl fault '{"do": "status", "status": 403, "message": "Missing scope: x:devices:read-update", "match": "PATCH *"}'
	bad 1 'PATCH /ota/factories/acme-presses/config/: 403: Missing scope' \
		"${with_token[@]}" "${places[@]}" enable -e hub5.example.net
	file_is "$(key_pub)" hub4.example.net:5555
	unit_ends
}

test_the_public_address_is_asked_for_only_if_told_and_only_by_https() { # row 36
	begin
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}" "${places[@]}")
	bad 2 'where do devices reach this hub?' "${with_token[@]}" enable
	bad 2 'must begin with https://' "${with_token[@]}" enable -e auto --address-url "$FACTORY_HTTP_URL/my"
	ctl fault '{"do": "body", "body": "198.51.100.7\n", "type": "text/plain", "match": "GET /my"}'
	ctl fault '{"do": "body", "body": "<html>;reboot", "match": "GET /my"}'
	enable -e auto --address-url "$FACTORY_URL/my"
	file_is "$(key_pub)" 198.51.100.7:5555
	bad 1 'the answer is no address' "${with_token[@]}" enable -e auto --address-url "$FACTORY_URL/my"
	enable # what is published stays
	equal "$(count 'GET /my')" 2
	file_is "$(key_pub)" 198.51.100.7:5555
	unit_ends
}

# on_terminal TEXT WORD...: the text is typed on a terminal.
on_terminal() {
	code=0
	: >$T/out
	(wait_for 60 test -s $T/out; sleep 0.3; echo "$1"; sleep 1) | timeout 60 ip netns exec hub script -qec "${*:2}" /dev/null >$T/out 2>&1 || code=$?
}

test_on_a_terminal_it_asks_for_what_is_missing_and_has_it_confirmed() { # row 36
	begin
	local words="$wghub -f $FACTORY_NAME -t $FACTORY_TOKEN -k $T/key -n hub0 ${api[*]} ${places[*]}"
	ctl fault '{"do": "body", "body": "198.51.100.7", "match": "GET /my", "times": -1}'
	on_terminal n "$words enable -e auto --address-url $FACTORY_URL/my"
	equal $code 1 "$(cat $T/out)"
	must "it was not shown: $(cat $T/out)" grep -q '198.51.100.7' $T/out
	equal "$(n_patches)" 0
	must "a key was made" [ ! -e $T/key ]
	on_terminal hub.example.net "$words enable"
	equal $code 0 "$(cat $T/out)"
	file_is "$(key_pub)" hub.example.net:5555
	on_terminal y "$words enable -e auto --address-url $FACTORY_URL/my"
	equal $code 0 "$(cat $T/out)"
	file_is "$(key_pub)" 198.51.100.7:5555
	unit_ends
}

test_what_is_in_the_way_on_this_host_is_said_with_a_remedy() { # rows 37, 38
	begin
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}" "${places[@]}")
	ip netns exec hub socat -u UDP4-LISTEN:5555 /dev/null &
	wait_for 60 listens hub -u 5555
	# A name that does not resolve, or an address behind NAT, is no reason to refuse.
	bad 1 'UDP port 5555 is in use on this host' "${with_token[@]}" enable -e behind-nat.invalid
	kill %%
	wait %% 2>/dev/null || true
	ip netns exec hub socat -u UDP6-LISTEN:5555,ipv6only=1 /dev/null &
	wait_for 60 listens hub -u 5555
	bad 1 'UDP port 5555 is in use on this host' "${with_token[@]}" enable -e hub.example.net
	kill %%
	wait %% 2>/dev/null || true
	ip -n hub link add hub0 type veth peer name cable
	bad 1 'there is an interface hub0 already' "${with_token[@]}" enable -e hub.example.net
	wg genkey >$T/daemon.key
	bad 1 'ip link delete hub0' -f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/daemon.key -n hub0 \
		"${api[@]}" --state-dir $T/state --no-hosts daemon
	ip -n hub link set hub0 name other0
	ip -n hub addr add 10.42.42.1/24 dev other0
	bad 1 'the inner address 10.42.42.1 is that of the interface other0' \
		"${with_token[@]}" enable -e hub.example.net
	equal "$(n_patches)" 0
	enable -e hub.example.net --no-check-ip
	equal "$(n_patches)" 1
	unit_ends
}

test_without_systemd_it_says_what_to_do() {
	begin
	rmdir /run/systemd/system
	enable -e hub.example.net
	equal "$(cat $T/asked)" ""
	must "no advice: $(cat $T/out)" grep -q -- "--privatekey $T/key .*daemon" $T/out
	no_secret_in $T/out $T/err
	must "no unit for when it does" grep -q '^ExecStart=' <<<"$(unit)"
	ip netns exec hub $(grep -o '/.* daemon$' $T/out) --no-tun >$T/advice.log 2>&1 &
	hub_pids+=($!)
	wait_for 60 hub_listens 5555 || fail "the advice is bad: $(cat $T/advice.log)"
}

test_a_systemd_that_fails_is_not_a_success() {
	begin
	printf '#!/bin/sh\nexit 5\n' >$T/bin/systemctl
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}" "${places[@]}")
	bad 1 'systemctl daemon-reload' "${with_token[@]}" enable -e hub.example.net
	equal "$(n_patches)" 1
}

test_server_show_tells_whose_hub_is_published() {
	begin
	show() { good server show -f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -n hub0 "${api[@]}" "$@"; }
	says() { must "$1: $(cat $T/out)" grep -qF -- "$1" $T/out; }
	json_is() { equal "$(factory_get "$1" <$T/out)" "$2" "$(cat $T/out)"; }
	show
	says 'published: no'
	show --json
	json_is '(j["exists"], j["published"], j["is_this_hub"])' '(False, None, None)'
	local other
	other=$(wg genkey | wg pubkey)
	another_hub "$other" $'\\nkeepalive=9'
	show
	says "public key: $other"
	says 'this hub: not known'
	says 'note: wireguard-server: the unknown key keepalive'
	wg genkey >$T/key
	show -k $T/key
	says 'this hub: no'
	enable -e hub.example.net --take-over
	wait_for 60 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	show # the hub that runs has the key
	says 'this hub: yes'
	show -k $T/key --json
	json_is '(j["factory"], j["published"]["endpoint"], j["published"]["enabled"], j["is_this_hub"])' \
		"('acme-presses', 'hub.example.net:5555', True, True)"
	ctl config '{"value": "nonsense", "unencrypted": false}'
	show
	says 'cannot be read'
	unit_ends
}

run_tests "$@"
