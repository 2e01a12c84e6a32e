#!/bin/bash
# demo.sh - shows that wghub is the hub of a FoundriesFactory: devices come from a Factory's API, an
# engineer from one command, and all of them, stock wireguard-go, talk through the hub, although its
# kernel forwards nothing.
#
#   tests/demo/demo.sh            (make demo)
#
# As root: everything in namespaces that vanish with this script (tests/lib/sandbox.sh), the Factory,
# too (tests/factory/server.py). As anybody else: tests/demo/unprivileged.sh. WGHUB names another
# program than ./wghub.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" = 0 ] || exec tests/demo/unprivileged.sh
. tests/lib/sandbox.sh
. tests/demo/steps.sh
. tests/factory/lib.sh
sandbox "$@"

dir=/run/tmp
hub_ip=10.42.42.1
outer_ip=198.51.100.1
devices=(press-1 press-2)
export LC_ALL=C

in_ns() { ip netns exec "$@"; }
device() { tests/factory/device.sh "$@"; }
# One that is a peer already: the hub was told when it was enabled.
address_of() { in_ns hub "$wghub" device show "$1" --json -a $dir/token | factory_get 'j["address"]'; }

# A machine: a namespace, and a cable to the hub with the network 192.0.2.(4 * $2)/30.
new_machine() {
	ip netns add "$1"
	ip -n "$1" link set lo up
	ip link add "to-$1" netns hub type veth peer name uplink netns "$1"
	ip -n hub addr add "192.0.2.$(($2 * 4 + 1))/30" dev "to-$1"
	ip -n "$1" addr add "192.0.2.$(($2 * 4 + 2))/30" dev uplink
	ip -n hub link set "to-$1" up
	ip -n "$1" link set uplink up
	ip -n "$1" route add $outer_ip via "192.0.2.$(($2 * 4 + 1))"
}

show_machines() {
	local i=0 name
	say "Four machines"
	tell "Each is a network namespace of this computer: a hub, two devices (${devices[*]}) and an"
	tell "engineer's laptop. Each has a cable to the hub, none to another. Nothing outside is touched."
	ip netns add hub
	ip -n hub link set lo up
	ip -n hub addr add $outer_ip/32 dev lo
	for name in "${devices[@]}" laptop; do new_machine "$name" $((i++)); done
	run ip netns exec hub sysctl -q -w net.ipv4.ip_forward=0
	run ip netns exec hub sysctl net.ipv4.ip_forward
	tell "The hub's kernel forwards nothing: what gets from one to another, wghub has carried."
}

show_factory() {
	local lines
	say "A Factory"
	tell "tests/factory/server.py: HTTPS, with a certificate, tokens, devices and their config, as the"
	tell "service has them. Two devices have registered their keys; nobody has given them a VPN yet."
	lines=$(in_ns hub tests/factory/server.py --background --dir $dir/factory --factory demo) || die "no Factory"
	eval "$lines"
	export ${!FACTORY_*}
	(umask 077 && echo "$FACTORY_TOKEN" >$dir/token)
	tell "press-1 will be what its image makes of it: it takes packets from the hub's address and from"
	tell "no other. press-2 accepts the whole network, as devices in containers do."
	quiet device new press-1 press-1
	quiet device new press-2 press-2 wide
	for name in "${devices[@]}"; do quiet device checkin "$name"; done
}

show_hub() {
	local words=(ip netns exec hub "$wghub" --factory demo --oauthcreds $dir/token --privatekey $dir/hub.key
		--api-url "$FACTORY_URL" --ca-file "$FACTORY_CA" --state-dir $dir/state
		--clients-file $dir/clients --hosts-file $dir/hosts --allow-device-to-device
		enable_run --endpoint $outer_ip)
	say "The hub: wghub publishes itself and runs"
	: >$dir/hosts
	announce "${words[@]}" "&"
	env -u FACTORY_TOKEN "${words[@]}" </dev/null >$dir/hub.log 2>&1 &
	quiet wait_for 60 in_ns hub wg show fiodemo
	show sed 's/^/hub: /' $dir/hub.log
	tell "No key was there, so it made one. What devices are told of:"
	run ip netns exec hub "$wghub" server show -f demo -a $dir/token --api-url "$FACTORY_URL" --ca-file "$FACTORY_CA"
}

show_devices() {
	local name
	say "The devices: switched on at the API, and stock wireguard-go"
	for name in "${devices[@]}"; do
		run ip netns exec hub "$wghub" device enable "$name" -a $dir/token
		quiet device checkin "$name"
	done
	tell "Each has fetched its config and made its interface of it (tests/factory/device.sh). Not our"
	tell "code, so that the talking proves something."
	for name in "${devices[@]}"; do quiet wait_for 60 in_ns "$name" ping -q -c 1 -W 1 $hub_ip; done
	press1=$(address_of press-1)
	press2=$(address_of press-2)
}

show_laptop() {
	say "The laptop: one command, and wg-quick"
	announce ip netns exec hub "$wghub" client add laptop ">demo.conf"
	(umask 077 && in_ns hub "$wghub" client add laptop >$dir/demo.conf 2>$dir/out.log) || die "$(cat $dir/out.log)"
	show sed 's/^PrivateKey.*/PrivateKey = (hidden)/' $dir/demo.conf
	run_quiet env WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go ip netns exec laptop wg-quick up $dir/demo.conf
	quiet wait_for 60 in_ns laptop ping -q -c 1 -W 1 $hub_ip
	tell "It has done its handshake with the hub."
}

# way_to ADDRESS: from the laptop, over the hub
way_to() {
	run ip netns exec laptop traceroute -n -q 1 -w 2 "$1"
	grep -q "^ *1  $hub_ip " $dir/out.log || die "the hub is not the first hop"
	grep -q "^ *2  $1 " $dir/out.log || die "the device is not the second hop"
}

show_talking() {
	say "Laptop to an untouched device"
	tell "press-1 accepts the hub's address only, so the hub speaks for the laptop under its own: a NAT in"
	tell "user space. Nothing on the device was changed."
	run ip netns exec laptop ping -c 3 -i 0.2 -W 2 "$press1"

	say "Device to device"
	run ip netns exec press-2 ping -c 3 -i 0.2 -W 2 "$press1"

	say "The way there: the hub is a hop, as an IP router should be"
	way_to "$press1"

	say "Three seconds of TCP from the laptop to press-1 through the hub"
	quiet ip netns exec press-1 iperf3 -s -D --forceflush --logfile $dir/iperf3.log
	quiet wait_for 60 grep -q listening $dir/iperf3.log
	run ip netns exec laptop iperf3 -c "$press1" -t 3 -f m
	rate=$(sed -n 's/.* \([0-9.]*\) Mbits\/sec.*receiver.*/\1/p' $dir/out.log)
	tell "Throughput, with hub and peers sharing $(nproc) processors: ${rate:-?} Mbit/s."
}

# 20 pings a second while the API goes and comes back.
show_bad_day() {
	say "The Factory has a bad day, and nobody notices"
	tell "The laptop pings press-1 while the API is down, then answers with errors, then with nonsense."
	in_ns laptop ping -i 0.05 -c 40 "$press1" >$dir/ping.log &
	factory_ctl listen '{"on": false}' >/dev/null
	show in_ns hub "$wghub" sync
	factory_ctl listen '{"on": true}' >/dev/null
	factory_ctl fault '{"do": "status", "status": 500, "times": 2}' >/dev/null
	factory_ctl fault '{"do": "html"}' >/dev/null
	show in_ns hub "$wghub" sync
	wait $! || die "a ping is lost: $(tail -3 $dir/ping.log)"
	factory_ctl clear >/dev/null
	show grep -E 'transmitted' $dir/ping.log
	grep -q ' 0% packet loss' $dir/ping.log || die "a ping is lost"
	run ip netns exec hub "$wghub" sync
}

show_status() {
	say "What the hub says"
	run ip netns exec hub "$wghub" status
	run ip netns exec hub "$wghub" devices
	run ip netns exec hub "$wghub" show fiodemo
	for name in "${devices[@]}" laptop; do
		grep -q "$name" $dir/out.log || die "'wghub show' does not name $name"
	done
}

# explains FROM TO WORDS: it breaks, and so it says
explains() {
	announce ip netns exec hub "$wghub" why "$1" "$2"
	! show ip netns exec hub "$wghub" why "$1" "$2" || die "nothing is broken between $1 and $2"
	grep -qi "$3" $dir/out.log || die "'wghub why $1 $2' does not say '$3'"
}

show_why() {
	say "When something does not work: wghub why"
	tell "Devices may not start to engineers, and a stock device could not if they might:"
	explains press-1 laptop 'stock device'
	tell "Somebody has disabled press-2:"
	quiet ip netns exec hub "$wghub" device disable press-2 -a $dir/token
	explains laptop press-2 'wghub device enable press-2'
	quiet ip netns exec hub "$wghub" device enable press-2 -a $dir/token
}

# As nobody, without a capability: no interface, but everybody else reaches whom they reached.
show_unprivileged() {
	local words=("$wghub" --factory demo --oauthcreds $dir/token --privatekey $dir/hub.key
		--api-url "$FACTORY_URL" --ca-file $dir/run/ca.pem --state-dir $dir/state
		--clients-file $dir/clients --no-hosts --no-tun --socket-dir $dir/run daemon)
	say "The same hub without any privilege"
	run ip netns exec hub "$wghub" down fiodemo
	mkdir -p $dir/run
	cp "$FACTORY_CA" $dir/run/ca.pem
	chown -R nobody $dir/run $dir/token $dir/hub.key $dir/state $dir/clients
	chmod a+x $dir
	announce ip netns exec hub setpriv --reuid nobody --clear-groups --bounding-set -all "${words[@]}" "&"
	env -u FACTORY_TOKEN ip netns exec hub setpriv --reuid nobody --clear-groups --bounding-set -all \
		"${words[@]}" </dev/null >>$dir/hub.log 2>&1 &
	wait_for 60 in_ns hub "$wghub" show --socket-dir $dir/run fiodemo || die "$(tail -3 $dir/hub.log)"
	tell "User nobody, no capability, no TUN: the kernel of its host knows of no VPN."
	quiet wait_for 60 in_ns laptop ping -q -c 1 -W 1 "$press1"
	run ip netns exec laptop ping -c 3 -i 0.2 -W 2 "$press1"
	way_to "$press1"
	run ip netns exec laptop iperf3 -c "$press1" -t 1 -f m
}

show_end() {
	say "The end"
	run ip netns exec hub "$wghub" down --socket-dir $dir/run fiodemo
	tell "The four machines and the Factory vanish with this script."
	printf '\nDEMO OK: a laptop and two untouched devices of a Factory talked through wghub in user space, at %s Mbit/s.\n' "$rate"
}

show_machines
show_factory
show_hub
show_devices
show_laptop
show_talking
show_bad_day
show_status
show_why
show_unprivileged
show_end
