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

# One more Factory, whose variables count from then on.
factory_in_hub() { # DIRECTORY [SERVER-OPTION...]
	local lines
	lines=$(in_ns hub tests/factory/server.py --background --dir "$@")
	eval "$lines"
	export ${!FACTORY_*}
	api=(--api-url "$FACTORY_URL" --ca-file "$FACTORY_CA")
}

# A Factory, and a systemd that runs here.
begin() { # [SERVER-OPTION...]
	new_ns hub
	ip -n hub addr add 10.99.0.1/32 dev lo
	factory_in_hub $T/f "$@"
	mkdir -p /run/systemd/system $T/bin $T/units $T/state
	: >$T/asked
	cat >$T/bin/systemctl <<'END'
#!/bin/bash
T=/run/tmp
echo "$*" >>$T/asked
unit=${@: -1}
runs() { [ -e "$T/$unit.pid" ] && kill -0 "$(cat "$T/$unit.pid")" 2>/dev/null; }
stop() {
	runs || return
	kill -TERM "$(cat "$T/$unit.pid")"
	while runs; do sleep 0.02; done
}
case $1 in
is-active) runs ;;
stop) stop ;;
restart)
	stop
	setsid $T/bin/unit.py "$T/units/$unit" </dev/null >>$T/unit.log 2>&1 &
	echo $! >"$T/$unit.pid"
	;;
esac
END
	chmod +x $T/bin/systemctl
	cp tests/factory/unit.py $T/bin/unit.py
	PATH=$T/bin:$PATH
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
	in_ns hub systemctl stop "factory-vpn-$FACTORY_NAME.service"
	! grep -q 'Sanitizer\|runtime error' $T/unit.log || fail "a sanitizer complains"
}
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
	wait_for 20 [ -e "$T/here/state/$FACTORY_NAME.json" ] || fail "no state: $(cat $T/unit.log)"
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
	wait_for 20 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
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
	enable -e 192.0.2.1 -v 10.7.7.1 -i 600
	wait_for 20 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
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
	(sleep 0.3; echo "$1"; sleep 1) | timeout 60 ip netns exec hub script -qec "${*:2}" /dev/null >$T/out 2>&1 || code=$?
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
	wait_for 20 hub_listens 5555 || fail "the advice is bad: $(cat $T/advice.log)"
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
	wait_for 20 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
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

# ---- credentials of a person ----

code() { factory_ctl code "${1-{\}}" | factory_get 'j["code"]'; }
# piped TEXT WORD...: the text on standard input, which is still no terminal.
piped() {
	code=0
	timeout 60 ip netns exec hub "$wghub" "${@:2}" <<<"$1" >$T/out 2>$T/err || code=$?
}
login=()
as_person() { # [OPTION...]: what the commands below have in common
	login=(-f "$FACTORY_NAME" -a $T/creds "${api[@]}")
}
token_of() { factory_get 'j["access_token"]' <$T/creds; }
token_opens() { # METHOD PATH -> status
	factory_auth=(-H "Authorization: Bearer $(token_of)")
	in_ns hub curl -sS --cacert "$FACTORY_CA" -o /dev/null -w '%{http_code}' -X "$1" \
		"${factory_auth[@]}" "$FACTORY_URL$2" "${@:3}"
}

test_login_by_a_pasted_code_leaves_a_token_that_may_only_read() {
	begin
	as_person
	piped "$(code)" login "${login[@]}" --code-stdin
	equal $code 0 "$(cat $T/err)"
	equal "$(stat -c %a $T/creds)" 600
	equal "$(factory_get 'sorted(j)' <$T/creds)" \
		"['access_token', 'created', 'expires_in', 'refresh_token']"
	equal "$(token_opens GET "/ota/factories/$FACTORY_NAME/wireguard-ips/")" 200
	equal "$(token_opens PATCH "/ota/factories/$FACTORY_NAME/config/" -H 'Content-Type: application/json' -d '{"files": []}')" 403
	# The link is one that the page understands.
	local link
	link=$(grep -o 'https://.*/authorize?.*' $T/err)
	must "the link is bad: $link" in_ns hub curl -sSf --cacert "$FACTORY_CA" -o $T/page "$link"
	must "no code on the page" grep -q 'id="code">code\.' $T/page
	piped "$(sed -n 's/.*id="code">\([^<]*\).*/\1/p' $T/page)" login "${login[@]}" --code-stdin
	equal $code 0 "$(cat $T/err)"
	no_secret_in $T/out $T/err
}

test_login_on_another_device_waits_for_the_answer_there() {
	begin
	as_person
	ip netns exec hub "$wghub" login "${login[@]}" </dev/null >$T/out 2>$T/err &
	local pid=$!
	wait_for 10 grep -q 'Waiting for your answer' $T/err || fail "$(cat $T/err)"
	# Its code is for the person, its device code for nobody.
	ctl approve "{\"user_code\": \"$(sed -n 3p $T/err | tr -d ' ')\"}"
	wait $pid || fail "$(cat $T/err)"
	equal "$(stat -c %a $T/creds)" 600
	equal "$(token_opens GET "/ota/factories/$FACTORY_NAME/wireguard-ips/")" 200
	no_secret_in $T/out $T/err
	# Somebody says no.
	rm $T/creds $T/err
	ip netns exec hub "$wghub" login "${login[@]}" </dev/null >$T/out 2>$T/err &
	pid=$!
	wait_for 10 grep -q 'Waiting for your answer' $T/err
	ctl approve "{\"user_code\": \"$(sed -n 3p $T/err | tr -d ' ')\", \"deny\": true}"
	must_not "it went on without consent" wait $pid
	must "no word of it: $(cat $T/err)" grep -q 'access_denied' $T/err
	must "a file is there" [ ! -e $T/creds ]
}

test_a_server_without_the_device_grant_gets_a_pasted_code() {
	begin
	as_person
	ctl set '{"device_grant": false}'
	piped "$(code)" login "${login[@]}"
	equal $code 0 "$(cat $T/err)"
	equal "$(stat -c %a $T/creds)" 600
}

test_a_login_in_vain_leaves_everything_as_it_was() {
	begin
	as_person
	bad 1 'no code was given' login "${login[@]}" --browser
	local text
	for text in wrong 'two words' "$(head -c 3000 /dev/zero | tr '\0' x)"; do
		piped "$text" login "${login[@]}" --browser
		equal $code 1 "$text"
		must_not "the code is printed" grep -qF "$text" $T/err
	done
	ctl fault '{"do": "status", "status": 500, "match": "POST /oauth/token"}'
	piped "$(code)" login "${login[@]}" --browser
	equal $code 1
	# A code of another factory's.
	piped "$(code '{"scopes": ["other:devices:read"]}')" login "${login[@]}" --browser
	equal $code 1
	must "a file is there" [ ! -e $T/creds ]
	# Files that no login may replace.
	local before
	for before in "$FACTORY_TOKEN" $'clientcredentials:\n  access_token: x\n  client_id: y' '{"a": 1}'; do
		echo "$before" >$T/creds
		piped "$(code)" login "${login[@]}" --browser
		equal $code 1 "$before"
		equal "$(cat $T/creds)" "$before"
	done
}

test_enable_logs_in_once_and_keeps_what_it_has() { # rows 2, 39
	begin
	as_person
	local words=("${login[@]}" -k $T/key -n hub0 "${places[@]}" enable)
	bad 1 'wghub login --factory' "${words[@]}" -e hub.example.net # no terminal: nobody is asked
	equal "$(n_token_requests)" 0
	piped "$(code)" "${words[@]}" -e hub.example.net --code-stdin
	equal $code 0 "$(cat $T/err)"
	file_is "$(key_pub)" hub.example.net:5555
	equal "$(stat -c %a $T/creds)" 600
	equal "$(n_token_requests)" 2
	no_secret_in $T/out $T/err "$T/units/factory-vpn-$FACTORY_NAME.service"
	wait_for 20 hub_listens 5555 || fail "the hub does not run: $(cat $T/unit.log)"
	# The token that may publish is nowhere on the disk.
	equal "$(token_opens PATCH "/ota/factories/$FACTORY_NAME/config/" -H 'Content-Type: application/json' -d '{"files": []}')" 403
	good "${words[@]}" # nothing to publish: nobody has to log in
	equal "$(n_token_requests)" 2
	# Something to publish: the daemon's token does not do, and its file stays as it is.
	local before
	before=$(cat $T/creds)
	bad 1 'these credentials may read only' "${words[@]}" -e new.example.net
	file_is "$(key_pub)" hub.example.net:5555
	piped "$(code)" "${login[@]}" -k $T/key -n hub0 update_endpoint -e new.example.net --code-stdin
	equal $code 0 "$(cat $T/err)"
	file_is "$(key_pub)" new.example.net:5555
	equal "$(cat $T/creds)" "$before"
	equal "$(n_token_requests)" 3
	unit_ends
}

test_a_code_that_gives_only_the_token_to_publish_is_used_and_that_is_said() {
	begin
	as_person
	ctl fault '{"do": "status", "status": 400, "json": {"error": "invalid_grant"}, "match": "POST /oauth/token", "skip": 1}'
	piped "$(code)" "${login[@]}" -k $T/key -n hub0 "${places[@]}" enable -e hub.example.net --code-stdin
	equal $code 1
	must "not said: $(cat $T/err)" grep -q 'no credentials for the daemon' $T/err
	file_is "$(key_pub)" hub.example.net:5555
	unit_ends
}

test_one_url_tells_the_other_and_so_does_fioctls_file() {
	begin
	ctl client '{"id": "app", "secret": "secret.of.the.app", "scopes": ["devices:read", "devices:read-update"]}'
	cat >$T/fioctl.yaml <<END
clientcredentials:
  client_id: app
  client_secret: secret.of.the.app
  url: $FACTORY_OAUTH_URL
factory: $FACTORY_NAME
END
	chmod 600 $T/fioctl.yaml
	local before
	before=$(cat $T/fioctl.yaml)
	good server show -f "$FACTORY_NAME" -a $T/fioctl.yaml --ca-file "$FACTORY_CA"
	equal "$(n_token_requests)" 1
	# These may publish, so nobody has to log in; the file is fioctl's, and only read.
	good -f "$FACTORY_NAME" -a $T/fioctl.yaml -k $T/key -n hub0 --ca-file "$FACTORY_CA" \
		"${places[@]}" enable -e hub.example.net
	file_is "$(key_pub)" hub.example.net:5555
	equal "$(cat $T/fioctl.yaml)" "$before"
	unit_ends
	# The API's URL alone: the token is renewed beside it, not at Foundries.
	factory_ctl login | factory_get 'json.dumps(j | {"created": 1700000000})' >$T/creds
	ctl forget
	good server show -f "$FACTORY_NAME" -a $T/creds "${api[@]}"
	equal "$(n_token_requests)" 1
	as_person
	ctl set '{"device_grant": false}'
	piped "$(code)" login -f "$FACTORY_NAME" -a $T/creds2 --oauth-url "$FACTORY_OAUTH_URL" --ca-file "$FACTORY_CA"
	equal $code 0 "$(cat $T/err)"
}

# ---- the old container, the old unit, two factories ----

# container [VARIABLE=VALUE...] -- [OPTION...]: enable_run with this environment and nothing else.
container() {
	local variables=()
	while [ "$1" != -- ]; do
		variables+=("$1")
		shift
	done
	ip netns exec hub env -i "PATH=$PATH" "ASAN_OPTIONS=${ASAN_OPTIONS-}" "${variables[@]}" "$wghub" \
		enable_run "${api[@]}" --no-hosts --state-dir $T/volume --no-tun "${@:2}" \
		</dev/null >>$T/container.log 2>&1 &
	hub_pid=$!
	hub_pids+=($hub_pid)
}

test_the_old_containers_environment_works_with_one_volume() { # rows 25, 36, 39
	begin
	local before
	ctl devices '{"generate": 3, "first_ip": "10.8.8.2"}'
	container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" PORT=5557 VPNADDR=10.8.8.1 \
		INTERVAL=1 INTERF=hub0 ENDPOINT=hub.example.net NOCHECKIP=1 NOUSESYSCTL=1 --
	wait_for 20 hub_listens 5557 || fail "it does not run: $(cat $T/container.log)"
	wait_for 10 peers_are hub0 3 || fail "no devices: $(cat $T/container.log)"
	file_is "$(key_pub "$T/volume/$FACTORY_NAME.key")" hub.example.net:5557 10.8.8.1
	equal "$(stat -c %a "$T/volume/$FACTORY_NAME.key")" 600
	must_not "the token is in argv" grep -qF "$FACTORY_TOKEN" /proc/$hub_pid/cmdline
	must_not "the token is in the environment" grep -qF "$FACTORY_TOKEN" /proc/$hub_pid/environ
	# The next container of the same volume is the same hub, also while the API is away.
	before=$(wg show hub0 allowed-ips | sort)
	kill -KILL $hub_pid
	wait $hub_pid || true
	hub_pids=()
	ctl listen '{"on": false}'
	container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" INTERF=hub0 --
	wait_for 20 hub_listens 5557 || fail "it does not run again: $(cat $T/container.log)"
	equal "$(wg show hub0 allowed-ips | sort)" "$before"
	must "not said" grep -q 'not published now' $T/container.log
	kill -TERM $hub_pid
	wait $hub_pid
	hub_pids=()
	ctl listen '{"on": true}'
	container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" INTERF=hub0 --
	wait_for 20 hub_listens 5557 || fail "it does not run again: $(cat $T/container.log)"
	equal "$(n_patches)" 1
	no_secret_in $T/container.log
}

test_a_wrong_environment_is_said_and_nothing_runs() {
	begin
	local case
	for case in "FACTORY=|--factory NAME is missing" "FACTORY=a/b|FACTORY=a/b in the environment" \
		"PORT=x|PORT=x in the environment: a port is" "VPNADDR=1.2.3.4|VPNADDR=1.2.3.4" \
		"INTERVAL=0|INTERVAL=0" "INTERF=a/b|INTERF=a/b" "ENDPOINT=|where do devices reach"; do
		container FACTORY="$FACTORY_NAME" APITOKEN="$FACTORY_TOKEN" INTERF=hub0 \
			ENDPOINT=hub.example.net "${case%%|*}" --
		code=0
		wait $hub_pid || code=$?
		hub_pids=()
		equal $code 2 "$case: $(cat $T/container.log)"
		must "$case: $(tail -1 $T/container.log)" grep -qF -- "${case#*|}" <<<"$(tail -1 $T/container.log)"
	done
	container FACTORY="$FACTORY_NAME" INTERF=hub0 ENDPOINT=hub.example.net --
	code=0
	wait $hub_pid || code=$?
	hub_pids=()
	equal $code 2
	must "no word of credentials" grep -q 'credentials are missing' $T/container.log
	equal "$(n_patches)" 0
}

peers_are() { [ "$(wg show "$1" peers | wc -l)" = "$2" ]; }

# What the Python daemon's enable wrote, with the program's path changed and nothing else; every
# default is what it is on a host: addresses of the service, /etc/hosts, /var/lib.
old_unit() { # CREDENTIALS...
	cat >"$T/units/factory-vpn-$FACTORY_NAME.service" <<END
[Unit]
Description=Factory VPN Daemon
After=network.target

[Service]
Type=simple
User=root
WorkingDirectory=$T/old
ExecStart=/usr/bin/python3 $T/old/factory-wireguard.py -n hub0 -f $FACTORY_NAME $* -k factory.key daemon
Restart=always

[Install]
WantedBy=multi-user.target
END
	sed -i "s|/usr/bin/python3 $T/old/factory-wireguard.py|$wghub|" \
		"$T/units/factory-vpn-$FACTORY_NAME.service"
}

test_a_unit_of_the_old_daemon_runs_with_the_programs_path_changed() {
	printf '127.0.0.1 localhost\n127.0.0.1 api.foundries.io app.foundries.io\n' >$T/etc-hosts
	mount --bind $T/etc-hosts /etc/hosts # no rename is possible, as in a container
	mount -t tmpfs old /var/lib
	[ ! -d /etc/wireguard ] || mount -t tmpfs old /etc/wireguard
	begin --port 443 --dns api.foundries.io --dns app.foundries.io
	install -m 644 "$FACTORY_CA" $T/ca-certificates.crt # the service is not root for long
	mount --bind $T/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
	mkdir $T/old
	wg genkey >$T/old/factory.key
	chmod 644 $T/old/factory.key
	another_hub "$(key_pub $T/old/factory.key)"
	ctl devices '{"generate": 2}'
	# With an API token in it.
	old_unit -t "$FACTORY_TOKEN"
	in_ns hub systemctl restart "factory-vpn-$FACTORY_NAME.service"
	wait_for 20 hub_listens 5555 || fail "it does not run: $(cat $T/unit.log)"
	wait_for 10 peers_are hub0 2 || fail "no devices: $(cat $T/unit.log)"
	wait_for 10 grep -qF '10.42.42.2	press-00000' /etc/hosts || fail "$(cat /etc/hosts)"
	equal "$(stat -c %a $T/old/factory.key)" 600
	unit_ends
	# With the file of its login, as it left it: the token is over, and is renewed.
	factory_ctl login | factory_get 'json.dumps({k: j[k] for k in ("access_token", "refresh_token",
		"expires_in")} | {"created": 1700000000.25}, indent=2)' >$T/old/factory.creds
	chmod 644 $T/old/factory.creds
	old_unit -a factory.creds
	ctl devices '{"generate": 2, "prefix": "more-", "first_ip": "10.42.42.20"}'
	in_ns hub systemctl restart "factory-vpn-$FACTORY_NAME.service"
	wait_for 20 peers_are hub0 4 || fail "no devices: $(cat $T/unit.log)"
	equal "$(stat -c %a $T/old/factory.creds)" 600
	equal "$(n_token_requests)" 1
	unit_ends
	umount /etc/hosts /var/lib /etc/ssl/certs/ca-certificates.crt # other tests are on this machine, too
}

test_two_factories_have_a_hub_each_on_one_host() {
	begin
	echo "127.0.0.1 localhost" >$T/hosts
	local places=(--state-dir $T/state --clients-file $T/clients --hosts-file $T/hosts --unit-dir $T/units)
	enable -e hub.example.net -i 1
	ctl devices '{"generate": 2}'
	local first=$FACTORY_NAME first_socket=$FACTORY_SOCKET
	factory_in_hub $T/f2 --factory bakery
	ctl devices '{"generate": 3, "prefix": "oven-", "first_ip": "10.43.43.2"}'
	local second=(-f bakery -t "$FACTORY_TOKEN" -k $T/key2 -n hub1 "${api[@]}" "${places[@]}")
	wait_for 20 hub_listens 5555
	# What the first one has is not free.
	bad 1 'UDP port 5555 is in use' "${second[@]}" enable -e hub.example.net -v 10.43.43.1
	bad 1 'that of the interface hub0' "${second[@]}" enable -e hub.example.net -p 5556
	good "${second[@]}" enable -e hub.example.net -p 5556 -v 10.43.43.1 -i 1
	file_is "$(key_pub $T/key2)" hub.example.net:5556 10.43.43.1
	wait_for 20 peers_are hub0 2 || fail "devices of the first: $(cat $T/unit.log)"
	wait_for 20 peers_are hub1 3 || fail "devices of the second: $(cat $T/unit.log)"
	equal "$(wg show hub1 listen-port)" 5556
	wait_for 10 grep -qF '10.43.43.4	oven-00002' $T/hosts || fail "$(cat $T/hosts)"
	must "the first one's block: $(cat $T/hosts)" grep -qF '10.42.42.3	press-00001' $T/hosts
	equal "$(grep -c '^## ' $T/hosts)" 4
	equal "$(ls $T/state/*.json $T/units/*.service | wc -l)" 4
	# One ends; the other one does not notice, nor does its block.
	in_ns hub systemctl stop factory-vpn-$first.service
	must_not "hub0 is there" wg show hub0
	ctl devices '{"generate": 1, "prefix": "shelf-", "first_ip": "10.43.43.9"}'
	wait_for 20 peers_are hub1 4 || fail "the second follows no more"
	wait_for 10 grep -qF '10.43.43.9	shelf-00000' $T/hosts || fail "$(cat $T/hosts)"
	must "the first one's block is gone" grep -qF '10.42.42.3	press-00001' $T/hosts
	unit_ends
}

run_tests "$@"
