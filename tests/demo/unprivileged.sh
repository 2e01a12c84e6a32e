#!/bin/bash
# unprivileged.sh - the demonstration for somebody who is not root: a hub without TUN on loopback,
# and two peers that are small programs of ours (tests/demo/peer.c), for a stock WireGuard program
# needs a TUN. Nothing outside a temporary folder is touched.
#
#   tests/demo/unprivileged.sh            (make demo)
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/sandbox.sh
. tests/demo/steps.sh

peer=$PWD/build/release/tests/demo/peer
dir=$(mktemp -d "${TMPDIR:-/tmp}/wghub-demo.XXXXXX") || exit 1
hub_ip=10.42.42.1
device_ip=10.42.42.2
laptop_ip=10.42.42.253
device_pid=

end() {
	[ -z "$device_pid" ] || kill "$device_pid" 2>/dev/null
	rm -f "$dir/hub0.sock" # a hub ends when its socket is gone
	rm -rf "$dir"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

# A UDP port above 1023 that nobody has.
free_port() {
	for port in $(shuf -i 20000-60000 -n 50); do
		grep -qi ":$(printf %04X "$port") " /proc/net/udp /proc/net/udp6 || return 0
	done
	die "no free UDP port found"
}

say "You are $(id -un), not root"
tell "So this is the small demonstration: a hub without TUN on this computer's loopback, and two"
tell "peers. As root, 'make demo' shows stock wireguard-go peers in machines of their own."

say "Keys"
(umask 077; for n in hub device laptop; do "$wghub" genkey >"$dir/$n.key" || exit; done) || die genkey
for n in hub device laptop; do "$wghub" pubkey <"$dir/$n.key" >"$dir/$n.pub" || die pubkey; done
tell "Three private keys, made by 'wghub genkey'."

say "The hub: no TUN, no privilege, one file"
free_port
(
	umask 077
	exec >"$dir/hub0.conf"
	printf '[Interface]\nPrivateKey = %s\nListenPort = %s\nAddress = %s/24\n' \
		"$(cat "$dir/hub.key")" "$port" $hub_ip
	printf '\n[Peer]\n# friendly_name = device\nPublicKey = %s\nAllowedIPs = %s/32\n' \
		"$(cat "$dir/device.pub")" $device_ip
	printf '\n[Peer]\n# friendly_name = laptop\nPublicKey = %s\nAllowedIPs = %s/32\n' \
		"$(cat "$dir/laptop.pub")" $laptop_ip
)
show sed 's/^PrivateKey.*/PrivateKey = (hidden)/' "$dir/hub0.conf"
run "$wghub" up --no-tun --socket-dir "$dir" "$dir/hub0.conf"

say "A device connects"
"$peer" "$dir/device.key" "$(cat "$dir/hub.pub")" "$port" $device_ip 2>"$dir/device.log" &
device_pid=$!
handshake_done() { "$wghub" show --socket-dir "$dir" hub0 --json | grep -q '"latest_handshake": *[1-9]'; }
wait_for 10 handshake_done || die "the device did no handshake: $(cat "$dir/device.log")"
tell "The device has done its handshake with the hub."

say "The laptop pings the hub itself, which answers without a TUN"
run "$peer" "$dir/laptop.key" "$(cat "$dir/hub.pub")" "$port" $laptop_ip ping $hub_ip 3

say "The laptop pings the device through the hub (a hop: the TTL is one less)"
run "$peer" "$dir/laptop.key" "$(cat "$dir/hub.pub")" "$port" $laptop_ip ping $device_ip 3
grep -q ttl=63 "$dir/out.log" || die "the hub did not lower the TTL"

say "What the hub says"
run "$wghub" show --socket-dir "$dir" hub0

say "The end"
run "$wghub" down --socket-dir "$dir" hub0
printf '\nDEMO OK: two peers talked through wghub, run by %s without any privilege.\n' "$(id -un)"
