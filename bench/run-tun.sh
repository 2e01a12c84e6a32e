#!/bin/bash
# run-tun.sh - a tunnel from one host's stack to another's through TUN devices: iperf3, with wghub at
# both ends against wireguard-go at both ends. As root.
#
# Each program gets two namespaces joined by a veth pair, one tunnel between them. One end, with its
# iperf3, has core 0, the other one core 1, so the sum of all work of an end is what limits. Loads:
# TCP with one and with four streams, either way, and UDP of 1,400 bytes; programs take turns within
# a round. CPU is that of the tunnel program at each end for a gigabyte received.
# lib/common.sh says what HUBS and WGHUB do.
#   bench/run-tun.sh [ROUNDS [SECONDS [LOADS...]]]     5 rounds of 2 s, all loads, without being told
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh

rounds=${1:-5}
seconds=${2:-2}
loads=${*:3}
loads=${loads:-tcp1 tcp1-back tcp4 tcp4-back udp}
labels=() suffixes=() near=() far=()

# tunnel_add HUB: two ends; near and far get the pids.
tunnel_add() {
	local i=${#labels[@]} hub=$1 end core key=()
	program_of "$hub" || return 0
	for end in 0 1; do
		namespace_add "wgb-$hub-$end"
		key+=("$(wg genkey)")
	done
	ip link add outer netns "wgb-$hub-0" type veth peer name outer netns "wgb-$hub-1"
	for end in 0 1; do
		local ns=wgb-$hub-$end name=wgb-$hub-$end peer=$((1 - end))
		ip -n "$ns" addr add "198.18.$i.$((end + 1))/24" dev outer
		ip -n "$ns" link set outer up
		tunnel_start "$ns" "$name" "$end" "${program[@]}"
		[ $end = 0 ] && near+=("$pid") || far+=("$pid")
		ip netns exec "$ns" wg set "$name" listen-port 51820 private-key <(echo "${key[$end]}") \
			peer "$(echo "${key[$peer]}" | wg pubkey)" allowed-ips "10.77.0.$((peer + 1))/32" \
			endpoint "198.18.$i.$((peer + 1)):51820"
		ip -n "$ns" addr add "10.77.0.$((end + 1))/24" dev "$name"
		ip -n "$ns" link set "$name" mtu 1420 up
	done
	ip netns exec "wgb-$hub-1" taskset -c 1 iperf3 -s -B 10.77.0.2 >/dev/null 2>&1 9>&- &
	pids+=("$!")
	ip netns exec "wgb-$hub-0" ping -q -c 3 -i 0.2 -W 2 10.77.0.2 >/dev/null ||
		die "$label: no way through the tunnel"
	labels+=("$label")
	suffixes+=("$hub")
}

line() {
	printf '%s\t%s\t%s\t%s\t%d\t%s\n' "$1" "$2" "$3" "${labels[$i]}" "$round" "$4"
}

# load_arguments LOAD: sets what, arguments.
load_arguments() {
	case $1 in
	tcp1) what="TCP, 1 stream" arguments=() ;;
	tcp1-back) what="TCP, 1 stream, back" arguments=(-R) ;;
	tcp4) what="TCP, 4 streams" arguments=(-P 4) ;;
	tcp4-back) what="TCP, 4 streams, back" arguments=(-P 4 -R) ;;
	udp) what="UDP, 1,400 bytes" arguments=(-u -b 0 -l 1400) ;;
	*) die "unknown load $1" ;;
	esac
}

turn() {
	local result=$build/iperf.json near_ns far_ns bytes gbit per_gb
	load_arguments "$2"
	progress "round $round of $rounds: $what, ${labels[$i]}"
	near_ns=$(cpu_ns "${near[$i]}")
	far_ns=$(cpu_ns "${far[$i]}")
	ip netns exec "wgb-${suffixes[$i]}-0" taskset -c 0 iperf3 -c 10.77.0.2 -J -t "$seconds" \
		"${arguments[@]}" >"$result" 2>"$build/iperf.log" || die "${labels[$i]}: iperf3: $(grep '"error"' "$result")"
	near_ns=$(($(cpu_ns "${near[$i]}") - near_ns))
	far_ns=$(($(cpu_ns "${far[$i]}") - far_ns))
	read -r bytes gbit <<<"$(awk '
		/"end":/ { end = 1 }
		end && /"sum_received":/ { in_sum = 1 }
		in_sum && split($0, part, /[":, \t]+/) >= 3 { value[part[2]] = part[3] }
		in_sum && /}/ { exit }
		END { printf "%.0f %.4f\n", value["bytes"], value["bits_per_second"] / 1e9 }' "$result")"
	per_gb=$(awk -v ns=$((near_ns + far_ns)) -v bytes="$bytes" 'BEGIN {printf "%.4f", ns / bytes}')
	line "$what" Gbit/s higher "$gbit"
	line "$what, CPU of both ends" s/GB lower "$per_gb"
}

bench_begin
for hub in $hubs; do tunnel_add "$hub"; done
for round in $(seq "$rounds"); do
	for load in $loads; do
		for i in "${!labels[@]}"; do
			turn "$i" "$load"
		done
	done
done | report tun "Host to host through TUN devices, a core for each end"
