#!/bin/sh
# handler.sh - what a device's root shell does when one of the two VPN files has changed.
#
#   handler.sh STATE     STATE/secrets has the files, STATE/wg-priv the key; makes or deletes
#                        STATE/factory-vpn0.nmconnection, the keyfile that NetworkManager reads
#
# The files are sourced, as on a device: whatever is executable in them is executed here. Tests feed
# it only what they wrote themselves.

state=$1
keyfile=$state/factory-vpn0.nmconnection
server=$state/secrets/wireguard-server
client=$state/secrets/wireguard-client

off() {
	rm -f "$keyfile"
	exit 0
}

[ -f "$server" ] && [ -f "$client" ] || off

. "$server"
[ "$enabled" != 0 ] || off
hub_key=$pubkey

unset enabled
. "$client"
[ "$enabled" != 0 ] || off

rm -f "$keyfile"
umask 077
cat >"$keyfile" <<END
[connection]
id=factory-vpn0
type=wireguard
interface-name=factory-vpn0

[wireguard]
private-key=$(cat "$state/wg-priv")

[wireguard-peer.$hub_key]
endpoint=$endpoint
persistent-keepalive=${keepalive:-25}
allowed-ips=$server_address

[ipv4]
address1=$address
method=manual

[ipv6]
method=ignore
END
