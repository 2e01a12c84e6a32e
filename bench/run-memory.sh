#!/bin/bash
# run-memory.sh - what peers cost at rest, and how long configuring them takes, side by side. As root.
#
# For each hub and number of peers, in turn: a hub is started, "wg syncconf" gives it so many peers
# (each with one address), then the same file again, then a file in which one peer's address
# differs. Times are those of the whole command, wg's own part included; memory is resident, of the
# idle process two seconds after the last change. wireguard-go refuses more than 65,536 peers.
# lib/common.sh says what HUBS and WGHUB do.
#   bench/run-memory.sh [ROUNDS [PEERS...]]     5 rounds, 10000 and 100000 peers without being told
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh

rounds=${1:-5}
shift || true
sizes=${*:-10000 100000}

# keys_write N, even: base64 of 32 bytes is 44 characters, the last but one of which holds only 4
# bits; the 42 before are 31.5 random bytes.
keys_write() {
	head -c $(($1 * 63 / 2)) /dev/urandom | base64 -w 42 | sed 's/$/A=/'
}

conf_write() {
	keys_write "$1" | awk -v key="$(wg genkey)" '
		BEGIN { print "[Interface]\nPrivateKey = " key "\nListenPort = 51820" }
		{
			n = NR + 1
			printf "[Peer]\nPublicKey = %s\nAllowedIPs = 10.%d.%d.%d/32\n", $0,
				100 + int(n / 65536), int(n / 256) % 256, n % 256
		}'
}

# line METRIC UNIT VALUE
line() {
	printf '%s\t%s\tlower\t%s\t%d\t%s\n' "$1" "$2" "$label" "$round" "$3"
}

resident_mb() {
	awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$pid/status"
}

# sync FILE METRIC: false where the hub refuses so many peers.
sync() {
	local begin=${EPOCHREALTIME/./}
	ip netns exec wgb-memory wg syncconf wgb-memory "$1" 2>/dev/null || return 1
	line "$2" s "$(awk -v us=$((${EPOCHREALTIME/./} - begin)) 'BEGIN {printf "%.4f", us / 1e6}')"
}

# all_figures PEERS
all_figures() {
	line "resident, no peers" MB "$(resident_mb)"
	sync "$build/memory.conf" "first syncconf of $1" &&
		sync "$build/memory.conf" "syncconf, the same $1" &&
		sync "$build/memory-changed.conf" "syncconf, 1 of $1 changed" || return 1
	ip -n wgb-memory link set wgb-memory up
	sleep 2
	line "resident, $1 peers" MB "$(resident_mb)"
}

hub_measure() {
	program_of "$2" || return 0
	progress "round $round of $rounds: $label, $1 peers"
	tunnel_start wgb-memory wgb-memory 0 "${program[@]}"
	all_figures "$1" || say "$label refuses $1 peers"
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	rm -f /var/run/wireguard/wgb-memory.sock
}

bench_begin
namespace_add wgb-memory
for n in $sizes; do
	conf_write "$n" >"$build/memory.conf"
	sed '$s|AllowedIPs.*|AllowedIPs = 10.99.0.1/32|' "$build/memory.conf" >"$build/memory-changed.conf"
	for round in $(seq "$rounds"); do
		for hub in $hubs; do hub_measure "$n" "$hub"; done
	done
done | report memory "Memory at rest, and wg syncconf"
