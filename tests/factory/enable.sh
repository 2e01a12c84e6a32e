#!/bin/bash
# enable.sh - a host becomes a factory's hub: enable, enable_run, update_endpoint, login and server
# show against the test Factory. systemd is a script here that notes what it is asked and starts
# ExecStart as it stands (unit.py). Standard input is no terminal, so nothing may ask.
#
# Comments name the rows of tests/factory-faults.md.
. "$(dirname "$0")/../interop/lib.sh"
. tests/factory/lib.sh

ctl() { factory_ctl "$@" >/dev/null; }
state() { factory_ctl state | factory_get "$1"; }
published() { state "next(f['value'] for f in j['config'][0]['files'] if f['name'] == 'wireguard-server')"; }
count() { factory_ctl counts | factory_get "j.get('$1', 0)"; }
n_patches() { count "PATCH /ota/factories/$FACTORY_NAME/config/"; }
n_token_requests() { echo $(($(count 'POST /oauth/token') + $(count 'POST /oauth/token/'))); }
file_is() { # PUBKEY ENDPOINT [ADDRESS]
	equal "$(published)" "endpoint=$2
server_address=${3:-10.42.42.1}
pubkey=$1"
}

# The Factory, and a systemd that runs here.
begin() { # [SERVER-OPTION...]
	local lines
	new_ns hub
	ip -n hub addr add 10.99.0.1/32 dev lo
	lines=$(in_ns hub tests/factory/server.py --background --dir $T/f "$@")
	eval "$lines"
	export ${!FACTORY_*}
	mkdir -p /run/systemd/system $T/bin $T/units $T/state
	: >$T/asked
	cat >$T/bin/systemctl <<'END'
#!/bin/bash
T=/run/tmp
echo "$*" >>$T/asked
runs() { [ -e $T/unit.pid ] && kill -0 "$(cat $T/unit.pid)" 2>/dev/null; }
case $1 in
is-active) runs ;;
restart)
	if runs; then
		kill -TERM "$(cat $T/unit.pid)"
		while runs; do sleep 0.02; done
	fi
	setsid $T/bin/unit.py "$T/units/$2" </dev/null >>$T/unit.log 2>&1 &
	echo $! >$T/unit.pid
	;;
esac
END
	chmod +x $T/bin/systemctl
	cp tests/factory/unit.py $T/bin/unit.py
	PATH=$T/bin:$PATH
	api=(--api-url "$FACTORY_URL" --ca-file "$FACTORY_CA")
	places=(--state-dir $T/state --clients-file $T/clients --no-hosts --unit-dir $T/units)
}
asked() { grep -c "^$1" $T/asked || true; }

# try WORD...: wghub in the hub's namespace; $code, $T/out, $T/err.
try() {
	code=0
	timeout 60 ip netns exec hub "$wghub" "$@" </dev/null >$T/out 2>$T/err || code=$?
	! grep -q 'Sanitizer\|runtime error' $T/err || fail "a sanitizer complains: $(cat $T/err)"
}
good() {
	try "$@"
	equal $code 0 "$* says $(cat $T/err)"
}
bad() { # CODE TEXT WORD...
	local wanted=$1 text=$2
	shift 2
	try "$@"
	equal $code "$wanted" "$* says $(cat $T/out $T/err)"
	must "$* says $(cat $T/err)" grep -qF -- "$text" $T/err
}
with_token=()
enable() { # [OPTION...]
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}")
	good "${with_token[@]}" "${places[@]}" enable "$@"
}
key_pub() { wg pubkey <"${1:-$T/key}"; }
unit() { cat "$T/units/factory-vpn-$FACTORY_NAME.service"; }
hub_listens() { [ "$(wg show hub0 listen-port 2>/dev/null)" = "$1" ]; }
unit_ends() {
	[ ! -e $T/unit.pid ] || kill -TERM "$(cat $T/unit.pid)" 2>/dev/null || return 0
	wait_for 10 not_running || fail "the hub does not end"
	! grep -q 'Sanitizer\|runtime error' $T/unit.log || fail "a sanitizer complains"
}
not_running() { ! kill -0 "$(cat $T/unit.pid)" 2>/dev/null; }
no_secret_in() { # FILE...: neither a token nor the private key
	factory_ctl secrets | factory_get "'\n'.join(j)" >$T/secrets
	[ ! -e $T/key ] || cat $T/key >>$T/secrets
	must_not "a secret is in one of $*" grep -qFf $T/secrets "$@"
}

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
	wait_for 20 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
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
	wait_for 20 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	if command -v systemd-analyze >/dev/null; then
		systemd-analyze verify "$T/units/factory-vpn-$FACTORY_NAME.service" >$T/verify.log 2>&1 ||
			fail "$(cat $T/verify.log)"
		must_not "systemd says $(cat $T/verify.log)" \
			grep -q "factory-vpn-$FACTORY_NAME" $T/verify.log
	fi
	unit_ends
}

test_a_second_enable_does_what_is_needed_and_no_more() { # rows 27, 38
	begin
	enable -e hub.example.net
	wait_for 20 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	equal "$(n_patches)" 1
	enable # its own port, address and interface are in nobody's way
	equal "$(n_patches)" 1
	equal "$(asked restart)" 1
	must "it does not say so" grep -q 'nothing has changed' $T/out
	enable -i 5
	equal "$(n_patches)" 1
	equal "$(asked restart)" 2
	enable -e other.example.net
	equal "$(n_patches)" 2
	equal "$(asked restart)" 3
	file_is "$(key_pub)" other.example.net:5555
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

another_hub() {
	ctl config "{\"value\": \"endpoint=other.example.net:5555\nserver_address=10.42.42.1\npubkey=$1${2-}\"}"
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
	enable -e 192.0.2.1 -v 10.7.7.1 -i 1
	wait_for 20 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	good "${with_token[@]}" update_endpoint -e 192.0.2.2
	file_is "$(key_pub)" 192.0.2.2:5555 10.7.7.1
	good "${with_token[@]}" update_endpoint -p 5556
	file_is "$(key_pub)" 192.0.2.2:5556 10.7.7.1
	wait_for 10 hub_listens 5556 || fail "the hub does not follow"
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

test_what_is_in_the_way_on_this_host_is_said_with_a_remedy() { # rows 37, 38
	begin
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}" "${places[@]}")
	ip netns exec hub socat -u UDP4-LISTEN:5555 /dev/null &
	wait_for 5 listens hub -u 5555
	# A name that does not resolve, or an address behind NAT, is no reason to refuse.
	bad 1 'UDP port 5555 is in use on this host' "${with_token[@]}" enable -e behind-nat.invalid
	kill %%
	wait %% 2>/dev/null || true
	ip netns exec hub socat -u UDP6-LISTEN:5555,ipv6only=1 /dev/null &
	wait_for 5 listens hub -u 5555
	bad 1 'UDP port 5555 is in use on this host' "${with_token[@]}" enable -e hub.example.net
	kill %%
	wait %% 2>/dev/null || true
	ip -n hub link add hub0 type veth peer name cable
	bad 1 'there is an interface hub0 already' "${with_token[@]}" enable -e hub.example.net
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
	wait_for 20 hub_listens 5555 || fail "the advice is bad: $(cat $T/advice.log)"
}

test_a_systemd_that_fails_is_not_a_success() {
	begin
	printf '#!/bin/sh\nexit 5\n' >$T/bin/systemctl
	with_token=(-f "$FACTORY_NAME" -t "$FACTORY_TOKEN" -k $T/key -n hub0 "${api[@]}" "${places[@]}")
	bad 1 'systemctl daemon-reload' "${with_token[@]}" enable -e hub.example.net
	equal "$(n_patches)" 1
}

run_tests "$@"
