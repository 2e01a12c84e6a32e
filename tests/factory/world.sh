# world.sh - a hub that follows the test Factory, for shell tests; source it after interop/lib.sh and
# lib.sh. All peers are wireguard-go.
#
#   p1, p2, p5  stock devices press-1, press-2, press-5     p4  press-4, "wide": its allowed-ips is the
#   p3, p6      engineers 10.42.42.254 and .253                 whole network
#
# The hub's outer address is 10.99.0.1, port 5555. Its own kernel forwards nothing.

dev=tests/factory/device.sh
fio="in_ns hub tests/factory/fioctl.py"
engineer_ip=10.42.42.254
second_ip=10.42.42.253
creds=$T/token
stock="1 2 5"
n_peers=6

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
	ip netns exec hub env -u FACTORY_TOKEN LOG_LEVEL=debug "$wghub" --factory "$FACTORY_NAME" --oauthcreds $creds \
		--privatekey $T/hub.key --intf-name hub0 --no-sysctl --api-url "$FACTORY_URL" \
		--oauth-url "$FACTORY_OAUTH_URL" --ca-file "$FACTORY_CA" --state-dir $T/state \
		--clients-file $T/clients --hosts-file $T/hosts "$@" daemon -i 1 >>$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids+=($hub_pid)
	wait_for 60 wg show hub0 || fail "the hub does not start: $(tail -3 $T/hub0.log)"
}

# device N [wide]: enabled, with its interface. The hub is told before the device calls: a first call
# to a hub that does not know it would be repeated after five seconds.
device() {
	$dev new "press-$1" "p$1" ${2-}
	$dev checkin "press-$1"
	$fio devices config wireguard "press-$1" enable
	kill -HUP $hub_pid
	wait_for 60 has_key "$($dev key "press-$1")" || fail "press-$1 does not become a peer"
	$dev checkin "press-$1"
}

# engineer N ADDRESS
engineer() {
	in_ns p$1 wireguard-go wg$1 >$T/wg$1.log 2>&1
	wait_for 60 wg show wg$1
	wg set wg$1 private-key $T/p$1.key peer "$(pub hub)" allowed-ips 10.42.42.0/24 \
		endpoint 10.99.0.1:5555
	ip -n p$1 addr add $2/24 dev wg$1
	ip -n p$1 link set wg$1 txqueuelen 10000 up
}

# The world without a hub: machines, the Factory with a published hub, and the hub's files.
empty_world() {
	local n
	world 6
	ip -n hub addr add 10.99.0.1/32 dev lo
	for n in 1 2 3 4 5 6; do ip -n p$n route add 10.99.0.1 via 10.99.$n.1; done
	factory_in_hub
	publish
	(umask 077 && echo "$FACTORY_TOKEN" >$T/token)
	echo "127.0.0.1 localhost" >$T/hosts
	printf '%s %s\n' "$(pub p3)" "$engineer_ip bench laptop" "$(pub p6)" $second_ip >$T/clients
}

everybody() { # [DAEMON-OPTION...]
	local n
	empty_world
	daemon "$@"
	for n in $stock; do device $n; done
	device 4 wide
	engineer 3 $engineer_ip
	engineer 6 $second_ip
	wait_for 60 peers_are $n_peers || fail "not everybody is a peer: $(wg show hub0)"
	wide_ip=$(address_of press-4)
	stock_ip=$(address_of press-1)
	ping_ok p3 "$wide_ip"
	ping_ok p6 "$wide_ip"
}

peers_are() { [ "$(wg show hub0 peers | wc -l)" = "$1" ]; }
has_peer() { wg show hub0 allowed-ips | grep -qxF "$1	$2/32"; }
has_key() { wg show hub0 peers | grep -qxF "$1"; }
synced_since() { # N: two more rounds than there were, so one of them began after now
	[ "$(rounds)" -ge $(($1 + 2)) ]
}
rounds() { factory_ctl counts | factory_get "j.get('GET /ota/factories/$FACTORY_NAME/wireguard-ips/', 0)"; }
a_round() { local n; n=$(rounds); wait_for 60 synced_since "$n"; }

# Each fault that was asked for has been met as often as it was asked for; those for ever once.
faults_are_met() {
	[ "$(factory_ctl faults | factory_get 'sum(r["left"] > 0 or not r["hits"] for r in j)')" = 0 ]
}

# Pings at 100 Hz from an engineer to the wide device and from the hub to press-1, until ping_ends
# AT_LEAST: none of them may be lost or come late.
pings_pid=()
ping_begins() {
	ping_ok hub $stock_ip
	in_ns p3 stdbuf -oL ping -n -i 0.01 "$wide_ip" >$T/ping.p3 2>&1 &
	pings_pid=($!)
	in_ns hub stdbuf -oL ping -n -i 0.01 "$stock_ip" >$T/ping.hub 2>&1 &
	pings_pid+=($!)
	wait_for 60 have_pings 10
}
have_pings() { grep -q "icmp_seq=$1 " $T/ping.p3 && grep -q "icmp_seq=$1 " $T/ping.hub; }
ping_ends() {
	local from n
	# A busy machine sends fewer in the same time.
	wait_for 60 have_pings "$1"
	sleep 0.3
	kill -TERM "${pings_pid[@]}"
	wait "${pings_pid[@]}" 2>/dev/null || true
	for from in p3 hub; do
		n=$(sed -n 's/.*icmp_seq=\([0-9]*\) ttl.*/\1/p' $T/ping.$from | awk '
			$1 != NR % 65536 { print NR " is " $1; gap = 1; exit }
			END { if (!gap) print NR }')
		must "a ping from $from is lost or late: number $n" [ "${n// /}" = "$n" ]
		must "only $n pings from $from" [ "$n" -ge "$1" ]
	done
}
