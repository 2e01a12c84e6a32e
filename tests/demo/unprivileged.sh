#!/bin/bash
# unprivileged.sh - the demonstration for somebody who is not root: a Factory's hub without TUN on
# loopback, and two peers that are small programs of ours (tests/demo/peer.c), for a stock WireGuard program
# needs a TUN. Nothing outside a temporary folder is touched.
#
#   tests/demo/unprivileged.sh            (make demo)
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/sandbox.sh
. tests/demo/steps.sh
. tests/factory/lib.sh

peer=$PWD/build/release/tests/demo/peer
dir=$(mktemp -d "${TMPDIR:-/tmp}/wghub-demo.XXXXXX") || exit 1
hub_ip=10.42.42.1
device_ip=10.42.42.2
device_pid=

end() {
	[ -z "$device_pid" ] || kill "$device_pid" 2>/dev/null
	[ -z "${FACTORY_PID-}" ] || kill "$FACTORY_PID" 2>/dev/null
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

# The Factory tells the hub of the device, whose part is played by tests/demo/peer.c.
show_factory() {
	local lines
	say "A Factory"
	tell "tests/factory/server.py: HTTPS on loopback, with a token and one device, whose key is below."
	lines=$(tests/factory/server.py --background --dir "$dir/factory" --factory demo) || die "no Factory"
	eval "$lines"
	(umask 077 && echo "$FACTORY_TOKEN" >"$dir/token" && "$wghub" genkey >"$dir/device.key")
	"$wghub" pubkey <"$dir/device.key" >"$dir/device.pub"
	quiet factory_ctl device "{\"name\": \"press-1\", \"address\": \"$device_ip\", \"pubkey\": \"$(cat "$dir/device.pub")\"}"
}

show_hub() {
	local words=("$wghub" --factory demo --oauthcreds "$dir/token" --privatekey "$dir/hub.key" --intf-name hub0
		--api-url "$FACTORY_URL" --ca-file "$FACTORY_CA" --state-dir "$dir" --clients-file "$dir/clients"
		--no-hosts --no-tun --socket-dir "$dir" enable_run --endpoint hub.example.net --port "$port" --no-check-ip)
	say "The hub: no TUN, no privilege, one command"
	announce "${words[@]}" "&"
	"${words[@]}" </dev/null >"$dir/hub.log" 2>&1 &
	wait_for 60 hub_has_device || die "$(cat "$dir/hub.log")"
	show sed 's/^/hub: /' "$dir/hub.log"
	tell "Peers of this demonstration find it on loopback, whatever name is published."
	"$wghub" pubkey <"$dir/hub.key" >"$dir/hub.pub"
}
hub_has_device() { "$wghub" show --socket-dir "$dir" hub0 | grep -q press-1; }

free_port
show_factory
show_hub

say "The laptop: one command"
(umask 077 && "$wghub" client add laptop --socket-dir "$dir" >"$dir/demo.conf" 2>"$dir/out.log") || die "$(cat "$dir/out.log")"
announce "$wghub" client add laptop ">demo.conf"
show sed 's/^PrivateKey.*/PrivateKey = (hidden)/' "$dir/demo.conf"
(umask 077 && sed -n 's/^PrivateKey = //p' "$dir/demo.conf" >"$dir/laptop.key")
laptop_ip=$(sed -n 's/^Address = \(.*\)\/32/\1/p' "$dir/demo.conf")

say "A device connects"
"$peer" "$dir/device.key" "$(cat "$dir/hub.pub")" "$port" $device_ip 2>"$dir/device.log" &
device_pid=$!
handshake_done() { "$wghub" show --socket-dir "$dir" hub0 --json | grep -q '"latest_handshake": *[1-9]'; }
wait_for 60 handshake_done || die "the device did no handshake: $(cat "$dir/device.log")"
tell "The device has done its handshake with the hub."

say "The laptop pings the hub itself, which answers without a TUN"
run "$peer" "$dir/laptop.key" "$(cat "$dir/hub.pub")" "$port" $laptop_ip ping $hub_ip 3

say "The laptop pings the device through the hub (a hop: the TTL is one less)"
run "$peer" "$dir/laptop.key" "$(cat "$dir/hub.pub")" "$port" $laptop_ip ping $device_ip 3
grep -q ttl=63 "$dir/out.log" || die "the hub did not lower the TTL"

say "What the hub says"
run "$wghub" status --socket-dir "$dir"
run "$wghub" show --socket-dir "$dir" hub0

say "The end"
run "$wghub" down --socket-dir "$dir" hub0
printf '\nDEMO OK: two peers talked through wghub, run by %s without any privilege.\n' "$(id -un)"
