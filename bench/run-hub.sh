#!/bin/bash
# run-hub.sh - wghub and wireguard-go side by side under the load of bench/hub, as root.
#
# Each hub runs in a network namespace of its own, pinned to core 0, with a TUN device; the load
# generator in another one, pinned to core 1; a veth pair joins it to each hub. The wireguard-go
# hubs forward through the kernel (ip_forward=1), wghub does not. Arguments go to bench/hub:
#   bench/run-hub.sh --bursts 64 --sizes 64,1420 --rounds 11 --json build/bench/hub.json
#
# Hubs: ./wghub, the wireguard-go 0.0.20231211 of bookworm-backports (fetched into build/bench/ by
# an apt configuration of its own: the system is not touched) and the system's wireguard-go.
#   HUBS="wghub backports debian"   which ones, in this order; the first is compared with the rest
#   WGHUB=path                      another wghub
#   WGHUB_OPTIONS="--aead sodium"   for it
# Everything it makes (namespaces wgb-*, processes, sockets) goes away at the end and on Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/bench
wghub=${WGHUB:-./wghub}
hubs=${HUBS:-wghub backports debian}
namespaces=()
pids=()
interfaces=()

say() { echo "run-hub: $*" >&2; }
die() { say "$*"; exit 1; }

cleanup() {
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	for name in "${interfaces[@]}"; do rm -f "/var/run/wireguard/$name.sock"; done
	for ns in "${namespaces[@]}"; do ip netns del "$ns" 2>/dev/null || true; done
}

# Unpacks the newer wireguard-go; prints its path, or nothing where it cannot be had.
backports_program() {
	local dir=$PWD/$build/apt program=$PWD/$build/wireguard-go/usr/bin/wireguard-go mirror
	[ -x "$program" ] && { echo "$program"; return; }
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 debian || true)
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"${mirror:-http://deb.debian.org/debian} bookworm-backports main" >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-END
		Dir::Etc::SourceList "$dir/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State::Lists "$dir/lists";
		Dir::Cache "$dir/cache";
		APT::Update::Post-Invoke-Success "";
		APT::Sandbox::User "root";
	END
	(
		cd "$dir"
		export APT_CONFIG=$dir/apt.conf
		apt-get -q update && apt-get -q download wireguard-go/bookworm-backports
		dpkg -x wireguard-go_*.deb ../wireguard-go
	) >"$dir/log" 2>&1 || say "bookworm-backports cannot be reached, see $build/apt/log"
	[ -x "$program" ] && echo "$program"
	return 0
}

namespace_add() {
	ip netns add "$1"
	namespaces+=("$1")
	ip -n "$1" link set lo up
}

# hub_start KIND LABEL PROGRAM...: namespace, link, process, TUN up; adds to targets.
hub_start() {
	local i=${#namespaces[@]} name=wgb-$1 label=$2 pid forward=1
	shift 2
	interfaces+=("$name")
	namespace_add "$name"
	ip link add "$name" netns wgb-load type veth peer name outer netns "$name"
	ip -n wgb-load addr add "198.18.$i.2/24" dev "$name"
	ip -n "$name" addr add "198.18.$i.1/24" dev outer
	ip -n wgb-load link set "$name" up
	ip -n "$name" link set outer up
	[ "$name" = wgb-wghub ] && forward=0
	ip netns exec "$name" sysctl -qw net.ipv4.ip_forward=$forward

	WG_PROCESS_FOREGROUND=1 LOG_LEVEL=error ip netns exec "$name" \
		taskset -c 0 "$@" -f "$name" >"$build/$name.log" 2>&1 &
	pid=$!
	pids+=("$pid")
	for _ in $(seq 50); do
		[ -S "/var/run/wireguard/$name.sock" ] && break
		kill -0 "$pid" 2>/dev/null || die "$label has ended: $(cat "$build/$name.log")"
		sleep 0.1
	done
	ip -n "$name" addr add 10.77.0.1/16 dev "$name"
	ip -n "$name" link set "$name" mtu 1420 up
	targets+=(--target "$label,$name,198.18.$i.1,$pid")
}

[ "$(id -u)" = 0 ] || die "needs root, for network namespaces"
[ "$(nproc)" -ge 2 ] || die "needs two cores: one for the hub, one for the load"
mkdir -p "$build" /var/run/wireguard
trap cleanup EXIT
trap 'exit 130' INT TERM
targets=()
namespace_add wgb-load
for hub in $hubs; do
	case $hub in
	wghub)
		# One core, one worker. Unquoted: several words.
		hub_start wghub wghub "$wghub" --workers 1 ${WGHUB_OPTIONS:-}
		;;
	backports)
		program=$(backports_program)
		[ -n "$program" ] && hub_start backports "wireguard-go 0.0.20231211" "$program"
		;;
	debian)
		program=$(command -v wireguard-go) || die "no wireguard-go here: apt-get install wireguard-go"
		version=$("$program" --version | sed -n '1s/.* v\?//p')
		hub_start debian "wireguard-go $version" "$program"
		;;
	*) die "unknown hub $hub: wghub, backports or debian" ;;
	esac
done
ip netns exec wgb-load build/release/bench/hub --core 1 --hub-core 0 "${targets[@]}" "$@"
