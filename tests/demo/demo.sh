#!/bin/bash
# demo.sh - shows that wghub is a WireGuard hub: stock wireguard-go peers, set up with wg, talk to
# each other through it, although the hub's kernel forwards nothing.
#
#   tests/demo/demo.sh            (make demo)
#
# As root: everything in namespaces that vanish with this script (tests/lib/sandbox.sh).
# As anybody else: tests/demo/unprivileged.sh. WGHUB names another program than ./wghub.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" = 0 ] || exec tests/demo/unprivileged.sh
. tests/lib/sandbox.sh
. tests/demo/steps.sh
sandbox "$@"

dir=/run/tmp
hub_ip=10.42.42.1
names=(press1 press2 laptop)
declare -A inner=([press1]=10.42.42.2 [press2]=10.42.42.3 [laptop]=10.42.42.253)

# A machine: a namespace, and a cable to the hub with the network 192.0.2.(4 * $2)/30.
new_machine() {
	ip netns add "$1"
	ip -n "$1" link set lo up
	ip link add "to-$1" netns hub type veth peer name uplink netns "$1"
	ip -n hub addr add "192.0.2.$(($2 * 4 + 1))/30" dev "to-$1"
	ip -n "$1" addr add "192.0.2.$(($2 * 4 + 2))/30" dev uplink
	ip -n hub link set "to-$1" up
	ip -n "$1" link set uplink up
}

say "Four machines"
tell "Each is a network namespace of this computer: a hub, two devices (press1, press2) and an"
tell "engineer's laptop. Each has a cable to the hub, none to another. Nothing outside is touched."
ip netns add hub
ip -n hub link set lo up
for i in 0 1 2; do new_machine "${names[i]}" "$i"; done
run ip netns exec hub sysctl -q -w net.ipv4.ip_forward=0
run ip netns exec hub sysctl net.ipv4.ip_forward
tell "The hub's kernel forwards nothing: what gets from one to another, wghub has carried."

say "Keys"
(umask 077; for n in hub "${names[@]}"; do wg genkey >"$dir/$n.key"; done)
for n in hub "${names[@]}"; do wg pubkey <"$dir/$n.key" >"$dir/$n.pub"; done
tell "Four private keys, made by 'wg genkey'."

say "The hub: wghub, one file, one command"
(
	umask 077
	exec >$dir/hub0.conf
	printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\nAddress = %s/24\n' \
		"$(cat $dir/hub.key)" $hub_ip
	for n in "${names[@]}"; do
		printf '\n[Peer]\n# friendly_name = %s\nPublicKey = %s\nAllowedIPs = %s/32\n' \
			"$n" "$(cat "$dir/$n.pub")" "${inner[$n]}"
	done
)
show sed 's/^PrivateKey.*/PrivateKey = (hidden)/' $dir/hub0.conf
run ip netns exec hub "$wghub" up $dir/hub0.conf

say "The peers: wireguard-go, configured with wg"
tell "Not our code, so that the talking proves something."
for i in 0 1 2; do
	n=${names[i]}
	run_quiet ip netns exec "$n" wireguard-go "wg-$n"
	run ip netns exec "$n" wg set "wg-$n" private-key "$dir/$n.key" \
		peer "$(cat $dir/hub.pub)" endpoint "192.0.2.$((i * 4 + 1)):51820" \
		allowed-ips 10.42.42.0/24 persistent-keepalive 25
	quiet ip -n "$n" addr add "${inner[$n]}/24" dev "wg-$n"
	quiet ip -n "$n" link set "wg-$n" up
done
for n in "${names[@]}"; do
	quiet wait_for 10 ip netns exec "$n" ping -q -c 1 -W 1 $hub_ip
done
tell "All three have done their handshake with the hub."

say "Laptop to device"
run ip netns exec laptop ping -c 3 -i 0.2 -W 2 "${inner[press1]}"

say "Device to device"
run ip netns exec press1 ping -c 3 -i 0.2 -W 2 "${inner[press2]}"

say "The way there: the hub is a hop, as an IP router should be"
run ip netns exec laptop traceroute -n -q 1 -w 2 "${inner[press2]}"
grep -q "^ *1  $hub_ip " $dir/out.log || die "the hub is not the first hop"
grep -q "^ *2  ${inner[press2]} " $dir/out.log || die "the device is not the second hop"

say "Three seconds of TCP from the laptop to press1 through the hub"
quiet ip netns exec press1 iperf3 -s -D --forceflush --logfile $dir/iperf3.log
quiet wait_for 5 grep -q listening $dir/iperf3.log
run ip netns exec laptop iperf3 -c "${inner[press1]}" -t 3 -f m
rate=$(sed -n 's/.* \([0-9.]*\) Mbits\/sec.*receiver.*/\1/p' $dir/out.log)
tell "Throughput, with hub and peers sharing $(nproc) processors: ${rate:-?} Mbit/s."

say "What the hub says"
run ip netns exec hub "$wghub" show hub0
for n in "${names[@]}"; do
	grep -q "$n" $dir/out.log || die "'wghub show' does not name $n"
done

say "The end"
run ip netns exec hub "$wghub" down hub0
tell "The four machines vanish with this script."
printf '\nDEMO OK: a laptop and two devices talked through wghub in user space, at %s Mbit/s.\n' "$rate"
