# lib.sh - the world of tests/reach: that of tests/interop (which it sources), with engineers, stock
# devices and wide ones.
#
#   p1 p2 clients c1 c2     p3 p4 stock devices s1 s2     p5 p6 wide devices w1 w2
#
# A stock device is what a Factory makes: its own allowed-ips are the hub's addresses, its addresses
# have the whole network's length. A wide one accepts the network. The hub runs from a file with
# their names, and says by a policy file who is a client and who a device; all are wireguard-go, and
# each runs traffic.py. The hub's kernel forwards nothing.
. "$(dirname "$0")/../interop/lib.sh"

traffic=$PWD/tests/reach/traffic.py
names=(hub c1 c2 s1 s2 w1 w2)
probes="probe-address 10.42.42.250
probe-address fd42::250"
declare -A number=([c1]=1 [c2]=2 [s1]=3 [s2]=4 [w1]=5 [w2]=6)

ns_of() { if [ "$1" = hub ]; then echo hub; else echo "p${number[$1]}"; fi; }
addr4() { if [ "$1" = hub ]; then inner4 0; else inner4 "${number[$1]}"; fi; }
addr6() { if [ "$1" = hub ]; then inner6 0; else inner6 "${number[$1]}"; fi; }

# policy LINE...: the file, with what every test needs.
policy() {
	printf '%s\n' 'group client = c1, c2' 'group device = s1, s2, w1, w2' "$probes" "$@" >$T/policy
}

hub_file() {
	local name
	(
		umask 077
		exec >$T/hub0.conf
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = %s/24, %s/64\n' \
			"$(cat $T/hub.key)" "$(addr4 hub)" "$(addr6 hub)"
		for name in "$@"; do
			printf '\n[Peer]\n# friendly_name = %s\nPublicKey = %s\nAllowedIPs = %s/32, %s/128\n' \
				"$name" "$(pub "$(ns_of "$name")")" "$(addr4 "$name")" "$(addr6 "$name")"
		done
	)
}

# hub_up [OPTION...]
hub_up() {
	ip netns exec hub "$wghub" up -f --policy $T/policy "$@" $T/hub0.conf >>$T/hub0.log 2>&1 &
	hub_pid=$!
	hub_pids+=($hub_pid)
	wait_for 60 wg show hub0 || fail "the hub does not start: $(tail -3 $T/hub0.log)"
}

# member NAME: wireguard-go, as its kind has it, with a handshake, and its server.
member() {
	local n=${number[$1]} allowed=10.42.42.0/24,fd42::/64
	[ "${1#s}" = "$1" ] || allowed=$(addr4 hub)/32,$(addr6 hub)/128
	wggo "$n"
	wg set "wg$n" peer "$(pub hub)" allowed-ips "$allowed" endpoint "10.99.$n.1:51820" \
		persistent-keepalive 25
	in_ns "p$n" "$traffic" serve >$T/serve$n.log 2>&1 &
}

is_serving() { listens "$(ns_of "$1")" -t 7000; }

# people NAME...: the hub's file has those.
people() {
	world 6
	hub_file "$@"
}

# everybody_is_there NAME...: started after the hub, for a first call to nobody is repeated after five
# seconds only; with handshakes and, where the policy lets probes find it out, reach.
everybody_is_there() {
	local name
	for name in "$@"; do member "$name"; done
	for name in "$@"; do
		ping_ok "$(ns_of "$name")" "$(addr4 hub)"
		wait_for 60 is_serving "$name" || fail "$name does not serve"
		case $name in w*) wait_for 60 is_wide "$name" || fail "$name is not found wide: $(shown)" ;; esac
	done
}

shown() { "$wghub" show hub0; }
# Of one peer, a member of `wghub show --json`: peer_is NAME EXPRESSION of the peer p
peer_is() {
	"$wghub" show hub0 --json | python3 -c "import json, sys
p = [p for p in json.load(sys.stdin)['hub0']['peers'] if p['name'] == '$1'][0]
sys.exit(not ($2))"
}
is_wide() { peer_is "$1" "sorted(p['wide']) == ['ipv4', 'ipv6']"; }
