#!/bin/bash
# count.sh - instructions for each forwarded packet, without opening and sealing: what a change of the
# data path adds or saves, without the noise of a clock. Counted by callgrind (valgrind) in bench/core.
#
# Bursts of 64 and of 1 between 2 peers, bursts of 4 between 100, and these again with translation and
# both ways ("4 nat"); packets of 64 bytes: the cost hardly
# depends on their size. AEAD is left out because valgrind knows no AVX-512, so it would count a back
# end that nobody uses; bench/aead measures that. Exit: 1 if a count is above its bound, which is a
# quarter above what it was when it was set: then somebody has to say why, here.
#   bench/count.sh                    the counts
#   bench/count.sh --functions        also where they are spent, in bursts of 64
set -euo pipefail
cd "$(dirname "$0")/.."

program=${BENCH_CORE:-build/release/bench/core}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Set on 2026-11-22 at 795, 886, 955 and 1582 with gcc 12 on x86-64; 836, 935, 1000 and 1576 since a policy and a
# filter may be asked. Other machines have other instructions.
bound() {
	[ "$(uname -m)" = x86_64 ] || { echo 0; return; }
	case $1 in
	64) echo 1000 ;;
	4) echo 1110 ;;
	1) echo 1200 ;;
	"4 nat") echo 1980 ;;
	esac
}

# count BURST [nat]: leaves $work/inclusive and $work/BURST.out, prints instructions for a packet.
count() {
	local n_packets
	n_packets=$(WGHUB_AEAD= valgrind --tool=callgrind --callgrind-out-file="$work/$1${2-}.out" \
		--toggle-collect=worker_input_udp "$program" count "$@" 2>"$work/log") || {
		cat "$work/log" >&2
		return 1
	}
	callgrind_annotate --inclusive=yes --threshold=100 --auto=no "$work/$1${2-}.out" >"$work/inclusive"
	awk -v n="$n_packets" '
		{ gsub(",", "", $1) }
		/PROGRAM TOTALS/ { all = $1 }
		/:aead_(open|seal) \[/ { aead += $1; found++ }
		END {
			if (!all || found != 2)
				exit 1
			printf "%.0f\n", (all - aead) / n
		}' "$work/inclusive"
}

failed=0
for burst in 64 4 1 "4 nat"; do
	n=$(count $burst) || { echo "not ok bursts of $burst: callgrind has no count" && exit 1; }
	most=$(bound "$burst")
	if [ "$most" -gt 0 ] && [ "$n" -gt "$most" ]; then
		echo "not ok bursts of $burst: $n instructions for each packet, at most $most are allowed"
		failed=1
	else
		echo "ok bursts of $burst: $n instructions for each packet"
	fi
done
[ "${1-}" != --functions ] || callgrind_annotate --threshold=95 --auto=no "$work/64.out" |
	sed -n '/file:function/,$p' | grep -v 'crypto/\|avx2intrin'
exit $failed
