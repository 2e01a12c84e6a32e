#!/bin/bash
# run-factory.sh - a Factory's hub with many devices: start, syncs, memory. As root.
#
# The test Factory (tests/factory/server.py, on the other core) has so many devices. A hub that has
# never seen it syncs; ends; starts again from its state, while the API is off; then syncs, without a
# change and with one device of another address, whose log has to say that one peer was touched.
# CPU is that of all threads, per sync. The hub has a TUN, and the state and hosts file are written.
#   bench/run-factory.sh [ROUNDS [DEVICES...]]     3 rounds, 5000 and 50000 devices without being told
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh
. tests/factory/lib.sh

rounds=${1:-3}
shift || true
sizes=${*:-5000 50000}
label=wghub
dir=

ctl() { factory_ctl "$@" >/dev/null; }

# line METRIC UNIT VALUE
line() {
	printf '%s\t%s\tlower\t%s\t%d\t%s\n' "$1" "$2" "$label" "$round" "$3"
}
seconds_since() { awk -v us=$((${EPOCHREALTIME/./} - $1)) 'BEGIN {printf "%.3f", us / 1e6}'; }
resident_mb() { awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$pid/status"; }
n_peers() { ip netns exec wgb-factory wg show wgb-factory peers | wc -l; }

# has TEXT: waits until the log has a line with it.
has() {
	local i
	for ((i = 0; i < 12000; i++)); do
		! grep -q "$1" "$dir/log" || return 0
		kill -0 "$pid" 2>/dev/null || die "the hub has ended: $(tail -3 "$dir/log")"
		sleep 0.005
	done
	die "no \"$1\" in a minute: $(tail -3 "$dir/log")"
}
n_answers() { factory_ctl counts | factory_get "j.get('GET /ota/factories/$FACTORY_NAME/wireguard-ips/', 0)"; }

# One that is set up, with DEVICES devices.
factory_begin() {
	local lines
	dir=$(mktemp -d "$build/factory.XXXXXX")
	lines=$(ip netns exec wgb-factory taskset -c 1 tests/factory/server.py --background --dir "$PWD/$dir/f" 9>&-)
	eval "$lines"
	export ${!FACTORY_*}
	pids+=("$FACTORY_PID")
	(umask 077 && wg genkey >"$dir/key" && echo "$FACTORY_TOKEN" >"$dir/token")
	ctl config "{\"value\": \"endpoint=198.18.0.1:5555\nserver_address=10.42.42.1\npubkey=$(wg pubkey <"$dir/key")\"}"
	ctl devices "{\"generate\": $1, \"prefix\": \"press-\", \"first_ip\": \"10.43.0.2\"}"
	: >"$dir/hosts"
}
factory_end() {
	ctl stop
	rm -rf "${dir:?}"
}

hub_begin() {
	: >"$dir/log"
	ip netns exec wgb-factory taskset -c 0 "$wghub" ${WGHUB_OPTIONS:-} --factory "$FACTORY_NAME" \
		--oauthcreds "$dir/token" --privatekey "$dir/key" --intf-name wgb-factory \
		--api-url "$FACTORY_URL" --ca-file "$FACTORY_CA" --state-dir "$dir/state" --range 10.0.0.0/8 \
		--clients-file "$dir/clients" --hosts-file "$dir/hosts" --interval 86400 daemon \
		>>"$dir/log" 2>&1 9>&- &
	pid=$!
	pids+=("$pid")
}
hub_end() {
	kill "$pid"
	wait "$pid" || die "the hub has ended with $?"
}

# Until it has nothing to do any more.
settle() {
	local before=-1 now
	for (( ; ; )); do
		now=$(cpu_ns "$pid")
		[ $((now - before)) -gt 1000000 ] || return 0
		before=$now
		sleep 0.3
	done
}

# sync_cpu N: N syncs, one after the other; prints the CPU time of one in ms.
sync_cpu() {
	local before i answers
	before=$(cpu_ns "$pid")
	for ((i = 0; i < $1; i++)); do
		answers=$(n_answers)
		kill -HUP "$pid"
		until [ "$(n_answers)" -gt "$answers" ]; do sleep 0.02; done
		settle
	done
	awk -v ns=$(($(cpu_ns "$pid") - before)) -v n="$1" 'BEGIN {printf "%.1f", ns / n / 1e6}'
}

# measure DEVICES
measure() {
	local begin
	progress "round $round of $rounds: $1 devices"
	factory_begin "$1"
	begin=${EPOCHREALTIME/./}
	hub_begin
	has "peers synced source=factory added=$1 "
	line "first sync of $1 devices" s "$(seconds_since "$begin")"
	settle
	hub_end
	ctl listen '{"on": false}'
	begin=${EPOCHREALTIME/./}
	hub_begin
	has "hub runs"
	line "start with $1 devices" s "$(seconds_since "$begin")"
	[ "$(n_peers)" = "$1" ] || die "$(n_peers) peers after the start, not $1"
	ctl listen '{"on": true}'
	kill -HUP "$pid"
	has "well again"
	sync_cpu 1 >/dev/null
	line "sync of $1 without a change, CPU" ms "$(sync_cpu 5)"
	! grep -q "peers synced source=factory" "$dir/log" || die "there was a change: $(cat "$dir/log")"
	ctl device '{"name": "press-00007", "address": "10.42.200.9"}'
	line "sync of $1, one changed, CPU" ms "$(sync_cpu 1)"
	has "peers synced source=factory added=0 changed=1 removed=0"
	line "resident with $1 devices" MB "$(resident_mb)"
	hub_end
	factory_end
}

bench_begin
namespace_add wgb-factory
sockets+=(wgb-factory)
for n in $sizes; do
	for round in $(seq "$rounds"); do measure "$n"; done
done | report factory "A Factory's hub with many devices"
