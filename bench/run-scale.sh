#!/bin/bash
# run-scale.sh - wghub against itself: more peers, more cores. As root.
#
#   100 peers, 50 of which send to the other 50 in turn, against 2 peers;
#   10,000 and 100,000 configured peers, of which 1,000 are active, against 100 that all are;
#   two workers on both cores, which the load generator shares, against one worker on one core. The
#   generator may run on either core and sleeps where it waits, for both alike.
# Each is a hub of its own; they take turns under the load of bench/hub. Arguments go to it.
#   bench/run-scale.sh [peers|configured|cores] [ARGUMENTS...]     all without being told
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/common.sh

which=all
case ${1-} in peers | configured | cores)
	which=$1
	shift
	;;
esac

# place NAME LABEL WORDS [WORKERS [CORES]]
place() {
	label="wghub $2"
	program=("$wghub" --workers "${4-1}" ${WGHUB_OPTIONS:-})
	hub_place "$1" "${5-0}" "$3"
}

# compare NAME ARGUMENTS...: the first hub with those after it.
compare() {
	[ $which = all ] || [ $which = "$1" ] || return 0
	local name=$1
	shift
	targets=()
	"$name"
	load_run hub --over-first --json "$out/$name.json" "$@"
}

peers() {
	place 2 "2 peers" pairs=1
	place 100 "100 peers" pairs=50
}

configured() {
	place all "100 of 100 peers" pairs=50
	place 10k "1000 of 10000 peers" pairs=500,idle=9000
	place 100k "1000 of 100000 peers" pairs=500,idle=99000
}

cores() {
	place own "own core" pairs=50,shared
	place both "both cores" pairs=50,shared 2 0-1
}

bench_begin
namespace_add wgb-load
compare peers --bursts 64 "$@"
compare configured --bursts 64 "$@"
compare cores --bursts 64,4 "$@"
