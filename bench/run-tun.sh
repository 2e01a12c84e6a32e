#!/bin/bash
# run-tun.sh - a tunnel from one host's stack to another's through TUN devices: iperf3, with wghub at
# both ends against wireguard-go at both ends. As root.
#
# Each program gets two namespaces joined by a veth pair, one tunnel between them. One end, with its
# iperf3, has core 0, the other one core 1, so the sum of all work of an end is what limits. Loads:
# TCP with one and with four streams, either way, and UDP; programs take turns within a round. CPU is
# that of the tunnel program at both ends for a gigabyte received.
#
# UDP has nobody who slows the sender down: with all that iperf3 can send it keeps its core to
# itself, fills the TUN's queue while the tunnel program waits for its turn, and nine packets of ten
# are lost whoever carries the rest. So 2, 3, 4 and 5 Gbit/s are offered one after the other, and the
# figure is the most that arrived. The packets are 1,400 bytes with their headers; so much payload
# would make two fragments of each at an MTU of 1,420.
#
# TCP's congestion control is Debian's default, cubic, whatever this machine has; CONGESTION=bbr is
# another one. bbr sends by the clock, one interrupt for each segment, which here is a seventh of
# wghub's time and hides that much of the difference; and it takes no notice of lost packets.
#
# lib/common.sh says what HUBS and WGHUB do.
#   bench/run-tun.sh [ROUNDS [SECONDS [LOADS...]]]     5 rounds of 1 s a load, all loads, without being told
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh

rounds=${1:-5}
seconds=${2:-1}
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
		ip -n "$ns" route replace 10.77.0.0/24 dev "$name" congctl "${CONGESTION:-cubic}"
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

# run ARGUMENTS...: sets bytes, gbit (received) and cpu_ns (both programs).
run() {
	local result=$build/iperf.json before
	before=$(($(cpu_ns "${near[$i]}") + $(cpu_ns "${far[$i]}")))
	ip netns exec "wgb-${suffixes[$i]}-0" taskset -c 0 iperf3 -c 10.77.0.2 -J -t "$seconds" "$@" \
		>"$result" 2>"$build/iperf.log" || die "${labels[$i]}: $(grep '"error"' "$result")"
	cpu_ns=$(($(cpu_ns "${near[$i]}") + $(cpu_ns "${far[$i]}") - before))
	read -r bytes gbit <<<"$(awk '
		/"end":/ { end = 1 }
		end && /"sum_received":/ { in_sum = 1 }
		in_sum && split($0, part, /[":, \t]+/) >= 3 { value[part[2]] = part[3] }
		in_sum && /}/ { exit }
		END { printf "%.0f %.4f\n", value["bytes"], value["bits_per_second"] / 1e9 }' "$result")"
}

udp_best() {
	local rate best=0 of_best
	for rate in 2G 3G 4G 5G; do
		run -u -l 1372 -b $rate --pacing-timer 100
		if awk "BEGIN {exit !($gbit > $best)}"; then
			best=$gbit of_best="$bytes $gbit $cpu_ns"
		fi
	done
	read -r bytes gbit cpu_ns <<<"$of_best"
}

turn() {
	local what
	progress "round $round of $rounds: $2, ${labels[$i]}"
	case $2 in
	tcp1) what="TCP, 1 stream" && run ;;
	tcp1-back) what="TCP, 1 stream, back" && run -R ;;
	tcp4) what="TCP, 4 streams" && run -P 4 ;;
	tcp4-back) what="TCP, 4 streams, back" && run -P 4 -R ;;
	udp) what="UDP, 1,400 bytes" && udp_best ;;
	*) die "unknown load $2" ;;
	esac
	line "$what" Gbit/s higher "$gbit"
	line "$what, CPU of both ends" s/GB lower \
		"$(awk -v ns="$cpu_ns" -v bytes="$bytes" 'BEGIN {printf "%.4f", ns / bytes}')"
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
