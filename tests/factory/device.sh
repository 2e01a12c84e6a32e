#!/bin/bash
# device.sh - a stock device in a network namespace: fioconfig, its VPN handler and NetworkManager.
#
#   device.sh new NAME NETNS [wide] registered with the Factory, switched on, nothing done yet;
#                                   wide: allowed-ips of the whole /24, as container devices have
#   device.sh checkin NAME          once what fioconfig does every 300 s: makes and registers a key
#                                   with enabled=0 if it has none, fetches both files, runs handlers
#   device.sh run NAME [SECONDS]    checks in for ever
#   device.sh boot NAME             power cycle: the files of the last check-in, handlers, no network
#   device.sh off NAME              the interface goes; key and config stay
#   device.sh lose NAME key|config  the key file, or the config and its files, are lost: the next
#                                   check-in registers another key. Its PATCH has no on-changed, so that
#                                   no handler runs until fioctl.py changes the file (disable, checkin,
#                                   enable, checkin), unless the setting on_changed_kept is true
#   device.sh exec NAME COMMAND...  inside: ping, wg show factory-vpn0
#   device.sh key NAME              its public key
#
# Needs FACTORY_SOCKET and FACTORY_DIR in the environment (lib.sh), root, wireguard-go. The network
# namespace is the caller's: interfaces and routes to the hub are there already. The interface is
# always factory-vpn0: each device has a mount namespace of its own for its UAPI socket.
# State is in FACTORY_DIR/devices/NAME, whatever name the Factory has for it later: the gateway knows
# it by its UUID. `log` there has the words of wg, ip and wireguard-go.
# Exit: 0; 1 the Factory gave no answer, or the interface could not be made as the keyfile says.
set -u

here=$(dirname "$(readlink -f "$0")")
[ $# -ge 2 ] || { sed -n '/^#   dev/p' "$0" >&2; exit 2; }
command=$1 name=$2
shift 2
state=$FACTORY_DIR/devices/$name
interface=factory-vpn0
python=/usr/bin/python3

gateway() { # METHOD [BODY]: prints the status, leaves the body in answer
	curl -sS --max-time 120 --unix-socket "$FACTORY_SOCKET" -X "$1" -A fioconfig-client/3 \
		-o "$state/answer" -w '%{http_code}' ${2+--data-raw "$2"} \
		"http://factory/_gateway/$(cat "$state/uuid")/config" 2>>"$state/log"
}

pid_alive() { [ -s "$state/pid" ] && [ -e "/proc/$(cat "$state/pid")/exe" ]; }

inside() { nsenter --mount --net --root -t "$(cat "$state/pid")" "$@"; }

# ---- fioconfig ----

# A new key reaches its file only after the gateway has taken its public half.
register() {
	local client=$state/secrets/wireguard-client private public value body
	[ ! -s "$state/wg-priv" ] || [ ! -e "$client" ] || return 0
	private=$(wg genkey)
	public=$(wg pubkey <<<"$private")
	value=$'enabled=0\n\npubkey='$public
	[ ! -e "$client" ] || value=$(sed "s|^[[:blank:]]*pubkey=.*|pubkey=$public|" "$client")
	body=$("$python" -c 'import json, sys
file = {"name": "wireguard-client", "value": sys.argv[1], "unencrypted": True}
print(json.dumps({"reason": "Set Wireguard pubkey", "files": [file], "public-key": ""}))' "$value")
	[ "$(gateway PATCH "$body")" = 201 ] || return 1
	(umask 077 && printf '%s\n' "$private" >"$state/wg-priv.new")
	mv "$state/wg-priv.new" "$state/wg-priv"
}

fetch() {
	case $(gateway GET) in
	200) mv "$state/answer" "$state/config.encrypted" ;;
	204) echo '{}' >"$state/config.encrypted" ;;
	*) return 1 ;;
	esac
}

# Puts the files into new/ and prints "FILE HANDLER" for those that differ from secrets/ or are gone,
# in an order nobody can rely on. The handler of a file that is gone is the one it last had.
unpack() {
	rm -rf "$state/new"
	mkdir -p "$state/new" "$state/secrets"
	"$python" - "$state" <<'END'
import json, os, random, re, sys
state = sys.argv[1]
files = json.load(open(state + "/config.encrypted"))
known = json.load(open(state + "/handlers")) if os.path.exists(state + "/handlers") else {}
handlers = {name: (file.get("OnChanged") or ["-"])[0] for name, file in files.items()}
names = [n for n in set(files) | set(os.listdir(state + "/secrets")) if re.fullmatch(r"[\w.-]+", n)]
random.shuffle(names)
for name in names:
    path = state + "/secrets/" + name
    present = open(path, newline="").read() if os.path.exists(path) else None
    wanted = files[name]["Value"] if name in files else None
    if wanted is not None and wanted != present:
        open(state + "/new/" + name, "w", newline="").write(wanted)
    if wanted != present:
        print(name, handlers.get(name) or known.get(name, "-"))
json.dump(handlers, open(state + "/handlers", "w"))
END
}

# File by file: a handler sees those before its own, not those after it.
extract() {
	local file handler failed=0
	while read -r file handler; do
		if [ -e "$state/new/$file" ]; then
			mv "$state/new/$file" "$state/secrets/$file"
		else
			rm "$state/secrets/$file"
		fi
		[ "$handler" = /usr/share/fioconfig/handlers/factory-config-vpn ] || continue
		env -i PATH="$PATH" "$here/handler.sh" "$state" >>"$state/log" 2>&1
		network_manager && failed=0 || failed=1
	done < <(unpack)
	return $failed
}

checkin() { register && fetch && extract; }

# ---- NetworkManager: what is in the keyfile becomes the interface, made anew each time ----

keyfile() { # SECTION KEY
	awk -v section="[$1]" -v key="$2" '$0 == section { on = 1; next } /^\[/ { on = 0 }
		on && index($0, key "=") == 1 { print substr($0, length(key) + 2) }' "$state/$interface.nmconnection"
}

network_manager() {
	interface_down
	[ -e "$state/$interface.nmconnection" ] || return 0
	{ interface_up || { interface_down; false; }; } >>"$state/log" 2>&1
}

interface_up() {
	local hub address allowed
	hub=$(sed -n 's/^\[wireguard-peer\.\(.*\)\]$/\1/p' "$state/$interface.nmconnection")
	address=$(keyfile ipv4 address1)
	allowed=$(keyfile "wireguard-peer.$hub" allowed-ips)
	[ ! -e "$state/wide" ] || allowed=${allowed%.*}.0/24
	mkdir -p /var/run/wireguard
	setsid ip netns exec "$(cat "$state/netns")" unshare --mount "$BASH" -c '
		mount -t tmpfs -o mode=755 device /var/run/wireguard && exec wireguard-go -f '"$interface" \
		</dev/null >>"$state/log" 2>&1 &
	echo $! >"$state/pid"
	local i
	for ((i = 0; i < 3000; i++)); do
		! inside test -S "/var/run/wireguard/$interface.sock" 2>/dev/null || break
		sleep 0.02
	done
	WG_ENDPOINT_RESOLUTION_RETRIES=1 inside wg set "$interface" \
		private-key <(keyfile wireguard private-key) \
		peer "$hub" endpoint "$(keyfile "wireguard-peer.$hub" endpoint)" allowed-ips "$allowed" \
		persistent-keepalive "$(keyfile "wireguard-peer.$hub" persistent-keepalive)" &&
		case $address in */*) ;; *) address=$address/24 ;; esac && # as NetworkManager reads it
		inside ip address add "$address" dev "$interface" &&
		inside ip link set "$interface" mtu 1420 txqueuelen 10000 up
}

# The kernel takes the interface away a moment after the process.
interface_down() {
	if pid_alive; then
		kill -KILL "$(cat "$state/pid")"
		while pid_alive || link_is_there; do sleep 0.01; done
	fi
	rm -f "$state/pid"
}
link_is_there() { ip -n "$(cat "$state/netns")" link show "$interface" >/dev/null 2>&1; }

case $command in
new)
	mkdir -p "$state/secrets"
	printf '%s\n' "$1" >"$state/netns"
	[ "${2-}" != wide ] || : >"$state/wide"
	. "$here/lib.sh"
	factory_ctl device "{\"name\": \"$name\"}" | factory_get 'j["uuid"]' >"$state/uuid"
	;;
checkin) checkin ;;
run)
	while :; do
		checkin
		sleep "${1-300}"
	done
	;;
boot)
	interface_down
	rm -rf "$state/secrets"
	extract
	;;
off) interface_down ;;
lose)
	case $1 in
	key) rm -f "$state/wg-priv" ;;
	config) rm -rf "$state/secrets" "$state/config.encrypted" "$state/handlers" ;;
	esac
	;;
exec) inside "$@" ;;
key) wg pubkey <"$state/wg-priv" ;;
*) sed -n '/^#   dev/p' "$0" >&2; exit 2 ;;
esac
