#!/bin/bash
# run-all.sh - every benchmark, one after the other: make bench. As root, on an idle machine.
#
# A table for each topic, then all targets (targets.txt) with what was measured, in bench/out/ also
# as JSON, as text (bench.txt: everything printed here) and as a picture (bench.svg). A benchmark
# that fails is named, its targets count as not measured, and the others go on.
# HUBS as in lib/common.sh; "wghub backports" without being told, so that it takes about 9 minutes.
#   bench/run-all.sh [STEPS...]      some steps only: aead core hub backends scale tun ping
#                                    handshakes memory factory; the summary is then of old figures too
set -euo pipefail
cd "$(dirname "$0")/.."

out=bench/out
export HUBS=${HUBS:-wghub backports}
all="aead core hub backends scale tun ping handshakes memory factory"
steps=${*:-$all}

# files STEP: what it writes to bench/out/.
files() {
	case $1 in
	aead | core) ;;
	scale) echo peers configured cores ;;
	handshakes) echo handshakes flood ;;
	*) echo "$1" ;;
	esac
}

run() {
	case $1 in
	aead | core) "build/release/bench/$1" ;;
	hub) bench/run-hub.sh --json "$out/hub.json" ;;
	backends) bench/run-aead.sh --bursts 64 ;;
	scale)
		bench/run-scale.sh peers --sizes 64,1420 --rounds 7
		bench/run-scale.sh configured --sizes 64,1420
		bench/run-scale.sh cores --sizes 512,1420 --rounds 9
		;;
	tun | ping | handshakes | memory | factory) "bench/run-$1.sh" ;;
	*) echo "run-all.sh: unknown step $1: $all" >&2 && return 1 ;;
	esac
}

benches() {
	local begin=$SECONDS n=0 step file from failed=
	echo "wghub $(git describe --always --dirty 2>/dev/null || ./wghub --version | head -1), $(date -u +%FT%RZ)"
	for step in $steps; do
		n=$((n + 1)) from=$SECONDS
		printf '\n==== %d of %d: %s\n\n' $n "$(wc -w <<<"$steps")" "$step"
		for file in $(files "$step"); do rm -f "$out/$file.json"; done
		run "$step" || failed="$failed $step"
		echo "(${step}: $((SECONDS - from)) s)"
	done
	printf '\n==== targets\n\n'
	awk -v out=$out -f bench/lib/rows.awk -f bench/lib/summary.awk bench/targets.txt
	awk -f bench/lib/rows.awk -f bench/lib/plot.awk $out/{hub,tun,ping,handshakes,flood,memory}.json \
		2>/dev/null >$out/bench.svg || true
	echo "It took $((SECONDS - begin)) s; $out/ has it as JSON, bench.txt and bench.svg."
	[ -z "$failed" ] || { echo "Failed:$failed" && return 1; }
}

mkdir -p $out
benches | tee $out/bench.txt
